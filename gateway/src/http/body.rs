//! The one way to a body: who may send it is settled first, then how much of
//! it, and only then it is read.
//!
//! A route names its [`Door`] and gets a body that came through it. Bodies are
//! read from their text as received, so that payloads keep their key order and
//! spelling.

use std::marker::PhantomData;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use axum::extract::{FromRef, FromRequest, FromRequestParts as _, Request};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::id::DeviceId;
use tokio::time::timeout;

use crate::auth::{Authenticator, Holder};
use crate::budget::{Budget, Full, Share};
use crate::config::Config;
use crate::error::{ApiError, ApiResult};
use crate::http::body::door::Sizes;
use crate::http::extract::{Caller, device_mismatch, parse_json, parse_unchecked};
use crate::metrics::Metrics;
use crate::state::AppState;

mod door;
mod nameless;

pub use door::{
    Admin, AdminBatch, Anyone, Device, DeviceFrame, Door, HealthData, HealthExport, Service,
    ServiceBatch,
};
pub use nameless::Nameless;

/// How long a body may take at least, from the end of its head.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// How slowly the largest body that a door lets in may come: 70 KB/s.
const SLOWEST_BYTES_PER_S: usize = 70_000;

/// Memory that a body takes at first; it doubles as the body comes.
const FIRST_BYTES: usize = 4 * 1024;

/// A JSON object that came through a [`Door`]. In this order: 401 without a
/// good token, 403 where the role may not, 415 unless it is called
/// `application/json` and comes without a `Content-Encoding`, 413 beyond the
/// door's size, 429 and 503 where bodies take all the memory they may, 408 when
/// it does not come, 400 where it is not JSON, 403 where it names another
/// device than the one the token is bound to, 422 with the field where a value
/// is wrong.
///
/// Take it apart with `..`: what is left holds the body's place in memory until
/// the route has answered.
#[derive(Debug)]
pub struct Sent<D, T> {
    /// Who sent it.
    pub caller: Caller,
    /// What it says.
    pub body: T,
    _place: Place,
    _door: PhantomData<D>,
}

impl<S, D, T> FromRequest<S> for Sent<D, T>
where
    S: Send + Sync,
    Authenticator: FromRef<S>,
    Intake: FromRef<S>,
    D: Door,
    T: DeserializeOwned,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> ApiResult<Self> {
        let Received { caller, bytes, place } = receive::<S, D>(request, state).await?;
        let text = text_of(&bytes)?;
        check_binding(&caller, text)?;
        Ok(Self { body: parse_json(text)?, caller, _place: place, _door: PhantomData })
    }
}

/// The same for a list of things judged one by one: each is to be read by
/// [`parse_json`], so that what is wrong in one refuses only that one. `T` must
/// take them as raw values, which are read without recursion.
#[derive(Debug)]
pub struct SentRows<D, T> {
    /// Who sent it.
    pub caller: Caller,
    /// What it says.
    pub body: T,
    _place: Place,
    _door: PhantomData<D>,
}

impl<S, D, T> FromRequest<S> for SentRows<D, T>
where
    S: Send + Sync,
    Authenticator: FromRef<S>,
    Intake: FromRef<S>,
    D: Door,
    T: DeserializeOwned,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> ApiResult<Self> {
        let Received { caller, bytes, place } = receive::<S, D>(request, state).await?;
        let body = parse_unchecked(text_of(&bytes)?)?;
        Ok(Self { body, caller, _place: place, _door: PhantomData })
    }
}

/// The text of a JSON object that came through a [`Door`], for those who read it
/// without making a tree of it. Refused as [`Sent`] is, but for values.
#[derive(Debug)]
pub struct SentText<D> {
    /// Who sent it.
    pub caller: Caller,
    text: String,
    _place: Place,
    _door: PhantomData<D>,
}

impl<D> SentText<D> {
    /// What it says.
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl<S, D> FromRequest<S> for SentText<D>
where
    S: Send + Sync,
    Authenticator: FromRef<S>,
    Intake: FromRef<S>,
    D: Door,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> ApiResult<Self> {
        let Received { caller, bytes, place } = receive::<S, D>(request, state).await?;
        let bytes_len = bytes.len();
        let checked = move || {
            let text = String::from_utf8(bytes).map_err(|_| not_utf8())?;
            let IgnoredObject = parse_json(&text)?;
            ApiResult::Ok(text)
        };
        let text = aside(bytes_len, checked).await??;
        check_binding(&caller, &text)?;
        Ok(Self { caller, text, _place: place, _door: PhantomData })
    }
}

/// Bodies beyond this are read on a thread of their own: it takes long enough to hold
/// others up.
const ASIDE_BYTES: usize = 64 * 1024;

/// Does what is to be done with a body of so many bytes, where it holds nobody up.
pub(super) async fn aside<T: Send + 'static>(
    bytes: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> ApiResult<T> {
    if bytes <= ASIDE_BYTES {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(|error| ApiError::internal(&error))
}

/// An object, whatever it holds: numbers are not looked at.
struct IgnoredObject;

impl<'de> Deserialize<'de> for IgnoredObject {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// What bodies are read by.
#[derive(Clone, Debug)]
pub struct Intake {
    sizes: Sizes,
    stall: Duration,
    budget: Budget<Holder>,
    metrics: Metrics,
}

impl Intake {
    /// As configured; `budget` is that of the node.
    pub fn new(config: &Config, budget: Budget<Holder>, metrics: Metrics) -> Self {
        let stall = Duration::from_millis(config.http.body_stall_ms);
        let sizes = Sizes::of(config);
        Self { sizes, stall, budget, metrics }
    }

    /// A place for a body of this caller; it takes nothing yet.
    fn place(&self, caller: &Caller) -> Place {
        let holder = caller.0.holder();
        let most = if holder.is_device {
            self.sizes.limits.bodies_per_user_bytes
        } else {
            self.sizes.limits.bodies_per_backend_bytes
        };
        let share = self.budget.share(holder, most);
        Place { share, metrics: self.metrics.clone() }
    }
}

impl FromRef<AppState> for Intake {
    fn from_ref(state: &AppState) -> Self {
        Self::new(&state.config, state.bodies.clone(), state.metrics.clone())
    }
}

/// What a body takes of the memory for bodies.
#[derive(Debug)]
struct Place {
    share: Share<Holder>,
    metrics: Metrics,
}

impl Place {
    fn grow(&mut self, bytes: usize) -> ApiResult<()> {
        let grown = self.share.grow(bytes);
        match grown {
            Ok(()) => {
                self.metrics.body_bytes.add(i64::try_from(bytes).unwrap_or(i64::MAX));
                return Ok(());
            }
            Err(_) => self.metrics.bodies_refused.inc(),
        }
        Err(match grown {
            Err(Full::Caller) => {
                let message = "you are sending too many bodies at once; try again";
                ApiError::new(ErrorCode::TooManyBodies, message).with_retry_after(1)
            }
            _ => ApiError::unavailable("too many bodies come at once; try again"),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.body_bytes.sub(i64::try_from(self.share.bytes()).unwrap_or(i64::MAX));
    }
}

/// A body that came whole.
struct Received {
    caller: Caller,
    bytes: Vec<u8>,
    place: Place,
}

async fn receive<S, D>(request: Request, state: &S) -> ApiResult<Received>
where
    S: Send + Sync,
    Authenticator: FromRef<S>,
    Intake: FromRef<S>,
    D: Door,
{
    let (mut parts, body) = request.into_parts();
    let caller = Caller::from_request_parts(&mut parts, state).await?;
    if let Some(role) = D::ROLE {
        caller.require_role(role)?;
    }
    check_type(&parts.headers)?;
    let intake = Intake::from_ref(state);
    let most = D::most(&intake.sizes);
    let mut place = intake.place(&caller);
    let bytes = in_time(&intake, body, most, &mut place).await?;
    Ok(Received { caller, bytes, place })
}

/// Reads a body, as long as a body of that size may take.
async fn in_time(
    intake: &Intake,
    body: Body,
    most: usize,
    place: &mut Place,
) -> ApiResult<Vec<u8>> {
    let reading = read(body, most, intake.stall, place);
    let longest = Duration::from_secs((most / SLOWEST_BYTES_PER_S) as u64).max(BODY_TIMEOUT);
    let read = timeout(longest, reading).await.unwrap_or_else(|_| Err(too_slow()));
    read.inspect_err(|error| {
        if error.code == ErrorCode::BodyTimeout {
            intake.metrics.bodies_stalled.inc();
        }
    })
}

fn check_type(headers: &HeaderMap) -> ApiResult<()> {
    let unsupported = |message| Err(ApiError::new(ErrorCode::UnsupportedMediaType, message));
    if !is_json(headers) {
        return unsupported("the body must be `application/json`");
    }
    if headers.get(CONTENT_ENCODING).is_some_and(|value| value != "identity") {
        return unsupported("the body must not have a `Content-Encoding`");
    }
    Ok(())
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default();
    let media_type = media_type.trim();
    // RFC 7396 gives patches a name of their own.
    ["application/json", "application/merge-patch+json"]
        .iter()
        .any(|known| media_type.eq_ignore_ascii_case(known))
}

/// Reads a body into memory that its place was made for.
async fn read(
    mut body: Body,
    most: usize,
    stall: Duration,
    place: &mut Place,
) -> ApiResult<Vec<u8>> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > most {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    loop {
        let next = timeout(stall, body.frame()).await.map_err(|_| too_slow())?;
        let Some(frame) = next else { return Ok(bytes) };
        let frame = frame.map_err(|_| {
            ApiError::new(ErrorCode::Malformed, "the body could not be read to its end")
        })?;
        let Ok(chunk) = frame.into_data() else { continue };
        let needed = bytes.len() + chunk.len();
        if needed > most {
            return Err(too_large());
        }
        if needed > bytes.capacity() {
            let capacity = needed.max(bytes.capacity() * 2).max(FIRST_BYTES).min(most);
            place.grow(capacity - bytes.capacity())?;
            bytes.reserve_exact(capacity - bytes.len());
        }
        bytes.extend_from_slice(&chunk);
    }
}

fn too_large() -> ApiError {
    ApiError::new(ErrorCode::TooLarge, "the body is larger than allowed")
}

fn too_slow() -> ApiError {
    ApiError::new(ErrorCode::BodyTimeout, "the body did not come in time")
}

fn text_of(bytes: &[u8]) -> ApiResult<&str> {
    std::str::from_utf8(bytes).map_err(|_| not_utf8())
}

fn not_utf8() -> ApiError {
    ApiError::new(ErrorCode::Malformed, "the body is not UTF-8")
}

/// Refuses a body that names another device than the one its sender's token is
/// bound to, before anything else of it is judged.
fn check_binding(caller: &Caller, text: &str) -> ApiResult<()> {
    #[derive(Deserialize)]
    struct Named {
        #[serde(default)]
        device_id: Option<DeviceId>,
    }
    if caller.0.device_id.is_none() {
        return Ok(());
    }
    match parse_json::<Named>(text) {
        Ok(Named { device_id: Some(named) }) if !caller.0.is_for(&named) => Err(device_mismatch()),
        // What is wrong with it is said when the whole of it is read.
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
