//! Opening streams for a device, the same way for a socket and a poll: follow
//! first, then look at the heads, so that no commit falls between.

use std::sync::Arc;

use tidegate_entity::device;
use tidegate_protocol::client::HelloDevice;
use tidegate_protocol::command::{PushProvider, PushRegistration};
use tidegate_protocol::cursor::Cursors;
use tidegate_protocol::id::{DeviceId, Seq, StreamName, UserId};
use tidegate_protocol::limits::{CAPABILITIES, PUSH_TOKEN_BYTES, SHORT_TEXT_BYTES};
use tidegate_protocol::server::{ResetReason, StreamStatus, StreamStatuses, Verdict};

use tidegate_services::webpush::address::check_literal;
use tidegate_services::webpush::subscription::Subscription;

use crate::error::{ApiError, ApiResult};
use crate::hub::signal::Signal;
use crate::hub::{Hub, Watch};
use crate::journal::frame::StreamId;
use crate::journal::{Viewer, read};
use crate::metrics::Metrics;
use crate::session::stream::StreamState;
use crate::session::verdict::{Beginning, judge};
use crate::state::AppState;
use crate::store::device::DeviceKey;
use crate::store::head::Heads;
use crate::store::portion::Cost;

/// Streams asked for, sorted by what the caller may have of them.
#[derive(Debug, Default)]
pub struct Wanted {
    /// Those that can be followed, without doubles, in the order asked.
    pub open: Vec<StreamName>,
    /// The others, with their verdict.
    pub refused: StreamStatuses,
}

impl Wanted {
    /// Sorts the names. The user's own stream is one that can be followed.
    pub fn sort(state: &AppState, user_id: &UserId, names: &[StreamName]) -> Self {
        let mut wanted = Self::default();
        for name in names {
            let verdict = match name.owner() {
                Some(owner) if owner == user_id.as_str() => None,
                Some(_) => Some(Verdict::Forbidden),
                None if state.shared_streams.contains(name) => None,
                None => Some(Verdict::Unknown),
            };
            match verdict {
                None if wanted.open.contains(name) => {}
                None => wanted.open.push(name.clone()),
                Some(verdict) => {
                    let status = StreamStatus { epoch: None, head: None, verdict, reason: None };
                    wanted.refused.insert(name.clone(), status);
                }
            }
        }
        wanted
    }
}

/// A stream that begins.
#[derive(Debug)]
pub struct Opened {
    /// Its state in the session.
    pub state: StreamState,
    /// The verdict for the client.
    pub status: StreamStatus,
    /// How it begins.
    pub beginning: Beginning,
}

/// Follows the streams. Must come before their heads are read.
pub fn watch(hub: &Arc<Hub>, names: &[StreamName], signal: &Arc<Signal>) -> Vec<Watch> {
    names.iter().map(|name| hub.watch(name, signal)).collect()
}

/// Judges the cursors against the heads.
pub fn begin(watches: Vec<Watch>, heads: &Heads, cursors: &Cursors) -> ApiResult<Vec<Opened>> {
    watches.into_iter().map(|watch| begin_one(watch, heads, cursors)).collect()
}

fn begin_one(watch: Watch, heads: &Heads, cursors: &Cursors) -> ApiResult<Opened> {
    let name = watch.topic().name().clone();
    let row = heads
        .get(name.as_str())
        .ok_or_else(|| ApiError::internal(&"a stream that was ensured does not exist"))?;
    let epoch = read::epoch(&row.epoch).map_err(|error| ApiError::internal(&error))?;
    let head = Seq::new(row.seq);
    let beginning = judge(cursors.get(&name), row);
    if beginning == Beginning::Reset(ResetReason::Ahead) {
        // The name of a user's stream is personal; that of a shared one is not.
        let stream = if name.owner().is_some() { "user" } else { name.as_str() };
        tracing::warn!(stream, head = row.seq, "a client's cursor is ahead of the head");
    }
    watch.begin(epoch.as_str(), head);
    let id = StreamId { name, epoch };
    let status = beginning.status(&id, head);
    Ok(Opened { state: beginning.state(id, head, watch), status, beginning })
}

/// What the device sees, from its row.
pub fn viewer(device: &device::Model) -> ApiResult<Viewer> {
    let device_id =
        DeviceId::parse(&device.device_id).map_err(|error| ApiError::internal(&error))?;
    Ok(Viewer { device_id, capabilities: device.capabilities.clone() })
}

/// Counts what was read from the database to be delivered.
pub fn count(metrics: &Metrics, cost: Cost) {
    metrics.delivery_rows_read.inc_by(cost.rows as u64);
    metrics.delivery_bytes_read.inc_by(cost.bytes as u64);
}

/// The device's key.
pub fn device_key(user_id: &UserId, device_id: &DeviceId) -> DeviceKey {
    DeviceKey { user_id: user_id.as_str().to_owned(), device_id: device_id.as_str().to_owned() }
}

/// Checks what a device says of itself. `prefix` is the path of the device
/// object in the request, with its dot.
pub fn check_device(state: &AppState, device: &HelloDevice, prefix: &str) -> ApiResult<()> {
    let short = |field: &str, text: Option<&String>| match text {
        Some(text) if text.len() > SHORT_TEXT_BYTES => Err(ApiError::invalid(
            format!("{prefix}{field}"),
            format!("at most {SHORT_TEXT_BYTES} bytes"),
        )),
        _ => Ok(()),
    };
    short("name", device.name.as_ref().and_then(Option::as_ref))?;
    short("app_version", device.app_version.as_ref().and_then(Option::as_ref))?;
    let capabilities = device.capabilities.as_ref().and_then(Option::as_deref);
    let capabilities = capabilities.unwrap_or_default();
    if capabilities.len() > CAPABILITIES {
        let reason = format!("at most {CAPABILITIES} capabilities");
        return Err(ApiError::invalid(format!("{prefix}capabilities"), reason));
    }
    for (index, capability) in capabilities.iter().enumerate() {
        if capability.is_empty() || capability.len() > SHORT_TEXT_BYTES {
            let field = format!("{prefix}capabilities[{index}]");
            return Err(ApiError::invalid(field, format!("1 to {SHORT_TEXT_BYTES} bytes")));
        }
    }
    let push = device.push.as_ref().and_then(Option::as_ref);
    push.map_or(Ok(()), |push| check_push(state, push, &format!("{prefix}push.token")))
}

/// A push token must be one, and a Web Push endpoint one that the gateway may
/// contact: devices choose it.
fn check_push(state: &AppState, push: &PushRegistration, field: &str) -> ApiResult<()> {
    if !(1..=PUSH_TOKEN_BYTES).contains(&push.token.len()) {
        return Err(ApiError::invalid(field, format!("1 to {PUSH_TOKEN_BYTES} bytes")));
    }
    match push.provider {
        PushProvider::Fcm => Ok(()),
        PushProvider::Webpush => {
            let subscription = Subscription::from_json(&push.token);
            let subscription = subscription.map_err(|e| ApiError::invalid(field, e.to_string()))?;
            check_literal(subscription.endpoint(), state.config.endpoint_policy())
                .map_err(|error| ApiError::invalid(field, error.to_string()))
        }
    }
}
