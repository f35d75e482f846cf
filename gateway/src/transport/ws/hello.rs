//! From the upgrade to `welcome`: who is it, what does it hold, how does each
//! stream begin.

use std::sync::Arc;
use std::time::Duration;

use tidegate_protocol::client::{self, ClientMessage, Hello, ParseError};
use tidegate_protocol::code::{CloseReason, ErrorCode};
use tidegate_protocol::encoding::Encoding;
use tidegate_protocol::id::StreamName;
use tidegate_protocol::json::WrongField;
use tidegate_protocol::limits as wire;
use tidegate_protocol::server::{ErrorFrame, FrameLimits, ServerMessage, StreamStatuses, Welcome};
use uuid::Uuid;

use crate::auth::{AuthError, Claims, Role};
use crate::error::{ApiError, ApiResult};
use crate::hub::SessionKey;
use crate::hub::presence::Presence;
use crate::hub::signal::{Order, Signal};
use crate::hub::silent::Place;
use crate::ingest::devices::Registration;
use crate::metrics::label::{FrameIn, SocketEnd};
use crate::session::bucket::Bucket;
use crate::session::verdict::Beginning;
use crate::session::{Session, SessionOptions};
use crate::state::AppState;
use crate::transport::open::{self, Opened, Wanted};
use crate::transport::ws::live::Live;
use crate::transport::ws::socket::{Incoming, Lost, Socket};

/// Why a socket ends before it lives.
enum Stop {
    /// With a close frame.
    Close(CloseReason),
    /// With an `error` frame that says more, then a close frame.
    Refuse(CloseReason, ApiError),
    /// The connection is gone.
    Gone,
}

impl From<CloseReason> for Stop {
    fn from(reason: CloseReason) -> Self {
        Self::Close(reason)
    }
}

impl From<Lost> for Stop {
    fn from(_: Lost) -> Self {
        Self::Gone
    }
}

/// Takes the socket to its live session; `None` when it ended before.
pub(super) async fn open(
    state: &AppState,
    upgraded: hyper::upgrade::Upgraded,
    claims: Option<Claims>,
    place: Place,
    session_id: Uuid,
) -> Option<Box<Live>> {
    let mut socket = Socket::accept(upgraded, state.metrics.clone());
    let reason = match begin(state, &mut socket, claims, place, session_id).await {
        Ok(begun) => return Some(begun.into_live(state.clone(), socket, session_id)),
        Err(Stop::Gone) => {
            state.metrics.sockets_closed.of(SocketEnd::Lost).inc();
            return None;
        }
        Err(Stop::Close(reason)) => reason,
        Err(Stop::Refuse(reason, error)) => {
            let frame = error_frame(&error);
            if socket.feed_message(&frame, None).await.is_err() {
                state.metrics.sockets_closed.of(SocketEnd::Lost).inc();
                return None;
            }
            reason
        }
    };
    state.metrics.sockets_closed.of(SocketEnd::Closed(reason)).inc();
    tracing::debug!(%reason, "socket closed before its session began");
    let close_timeout = Duration::from_millis(state.config.session.close_timeout_ms);
    socket.close(reason, close_timeout).await;
    None
}

/// A session that may live.
struct Begun {
    registration: crate::ingest::devices::Registered,
    presence: Presence,
    signal: Arc<Signal>,
    session: Session,
    opened: Vec<Opened>,
}

impl Begun {
    fn into_live(self, state: AppState, socket: Socket, session_id: Uuid) -> Box<Live> {
        let mut session = self.session;
        let device = self.registration.device;
        for opened in self.opened {
            session.follow(opened.state);
        }
        Live::new(state, socket, session, self.signal, self.presence, &device, session_id)
    }
}

async fn begin(
    state: &AppState,
    socket: &mut Socket,
    header: Option<Claims>,
    place: Place,
    session_id: Uuid,
) -> Result<Begun, Stop> {
    if let Some(claims) = &header {
        check_role(claims)?;
    }
    let (hello, reference) = wait_for_hello(state, socket, place).await?;
    let claims = authenticate(state, &hello, header).await?;
    check(state, &hello).map_err(|error| Stop::Refuse(CloseReason::InvalidField, error))?;
    let signal = Arc::new(Signal::default());
    let own = StreamName::of_user(&claims.sub);
    let mut names = vec![own.clone()];
    names.extend(hello.subscribe.iter().cloned());
    let wanted = Wanted::sort(state, &claims.sub, &names);
    let watches = open::watch(&state.hub, &wanted.open, &signal);
    let key = SessionKey { user_id: claims.sub.clone(), device_id: hello.device.id.clone() };
    // Before the device is registered: an order that comes from here on, such
    // as its deletion or a drain, waits in the signal.
    let presence = enter(state, &key, &signal)?;
    let registration = Registration {
        user_id: claims.sub.clone(),
        device: hello.device.clone(),
        streams: wanted.open.clone(),
        has_socket: true,
    };
    let registered = state.ingest.register(registration).await.map_err(refuse)?;
    let opened = open::begin(watches, &registered.heads, &hello.cursors).map_err(refuse)?;
    if let Some(Order::Close(reason)) = signal.order() {
        return Err(reason.into());
    }
    // A drain tells those that have entered; it may have looked just before.
    if state.draining.is_cancelled() {
        return Err(CloseReason::Drain.into());
    }
    ack_claims(state, &key, &opened);
    let heartbeat_s = heartbeat(&hello);
    let session = Session::new(
        Arc::clone(&state.session_options),
        u64::from(heartbeat_s) * 1000,
        claims.exp,
        state.now(),
    );
    let encoding = hello.encodings.iter().find_map(|name| Encoding::from_name(name));
    let mut streams: StreamStatuses = wanted.refused;
    streams.extend(opened.iter().map(|one| (one.state.id.name.clone(), one.status.clone())));
    let welcome = ServerMessage::Welcome(Welcome {
        session_id: session_id.to_string(),
        device_id: hello.device.id.clone(),
        server_time: state.clock.now(),
        heartbeat_s,
        encoding,
        limits: LIMITS,
        streams,
    });
    socket.feed_message(&welcome, reference.as_deref()).await?;
    socket.encoding = encoding;
    Ok(Begun { registration: registered, presence, signal, session, opened })
}

fn enter(state: &AppState, key: &SessionKey, signal: &Arc<Signal>) -> Result<Presence, Stop> {
    let sessions_max = state.config.limits.connections_per_user;
    state.hub.enter(key.clone(), signal, sessions_max).map_err(|_| {
        let message = format!("the user has {sessions_max} sockets");
        let error = ApiError::new(ErrorCode::TooManyConnections, message);
        Stop::Refuse(CloseReason::TooManyConnections, error)
    })
}

/// What `welcome` tells of the bounds in force.
const LIMITS: FrameLimits = FrameLimits {
    frame_bytes: wire::FRAME_BYTES,
    entry_bytes: wire::ENTRY_BYTES,
    page_entries: wire::PAGE_ENTRIES,
    window_entries: wire::WINDOW_ENTRIES,
};

async fn wait_for_hello(
    state: &AppState,
    socket: &mut Socket,
    place: Place,
) -> Result<(Hello, Option<Box<serde_json::value::RawValue>>), Stop> {
    let wait = Duration::from_millis(state.config.session.hello_timeout_ms);
    let first = tokio::select! {
        biased;
        () = state.draining.cancelled() => return Err(CloseReason::Drain.into()),
        () = place.needed() => return Err(CloseReason::TooManyConnections.into()),
        first = tokio::time::timeout(wait, first_frame(state, socket)) => first,
    };
    // It is not silent any more, whatever it said.
    drop(place);
    let text = first.map_err(|_| Stop::Close(CloseReason::HelloTimeout))??;
    let frame = client::parse(&text).map_err(|error| {
        state.metrics.frames_received.of(FrameIn::Invalid).inc();
        unreadable(error)
    })?;
    state.metrics.frames_received.of(FrameIn::from(&frame.body)).inc();
    match frame.body {
        ClientMessage::Hello(hello) => Ok((*hello, frame.reference)),
        _ => Err(CloseReason::HelloExpected.into()),
    }
}

/// Waits for the first frame. Pings before it count as frames do in a session.
async fn first_frame(state: &AppState, socket: &mut Socket) -> Result<String, Stop> {
    let SessionOptions { frames_per_second, frames_burst, .. } = *state.session_options;
    let mut bucket = Bucket::full(frames_burst, state.now().mono_ms);
    loop {
        let incoming = socket.next().await;
        if !matches!(incoming, Incoming::Gone)
            && !bucket.take(state.now().mono_ms, frames_per_second, frames_burst)
        {
            return Err(CloseReason::TooManyFrames.into());
        }
        match incoming {
            Incoming::Frame(text) => return Ok(text),
            Incoming::Alive => {}
            Incoming::Refused(reason) => return Err(Stop::Close(reason)),
            Incoming::Gone => return Err(Stop::Gone),
        }
    }
}

/// The close reason of a frame that cannot be read, and the field at fault
/// where there is one: an `error` frame names it first.
pub(super) fn refusal(error: ParseError) -> (CloseReason, Option<ApiError>) {
    match error {
        ParseError::InvalidJson => (CloseReason::InvalidJson, None),
        ParseError::MissingType => {
            (CloseReason::MissingType, Some(ApiError::invalid("type", "must be a text")))
        }
        ParseError::InvalidField(WrongField { field, reason }) => {
            (CloseReason::InvalidField, Some(ApiError::invalid(field, reason)))
        }
        ParseError::UnsupportedProtocol => (CloseReason::ProtocolUnsupported, None),
    }
}

fn unreadable(error: ParseError) -> Stop {
    match refusal(error) {
        (reason, Some(error)) => Stop::Refuse(reason, error),
        (reason, None) => Stop::Close(reason),
    }
}

/// The claims the session lives by: those of the header or of `hello`; with
/// both, the same user is required, either may bind the device, and the one of
/// `hello` counts.
async fn authenticate(
    state: &AppState,
    hello: &Hello,
    header: Option<Claims>,
) -> Result<Claims, Stop> {
    let own = match &hello.token {
        Some(token) => {
            Some(state.auth.verify(token).await.map_err(|error| match error {
                // Nothing can be said about the token: come back.
                AuthError::Unavailable => CloseReason::Unavailable,
                _ => CloseReason::Unauthenticated,
            })?)
        }
        None => None,
    };
    let mut given = header.iter().chain(&own);
    let is_for_another = given.any(|claims| !claims.is_for(&hello.device.id));
    let claims = match (header, own) {
        (Some(header), Some(own)) if header.sub != own.sub => {
            return Err(CloseReason::Forbidden.into());
        }
        (_, Some(claims)) | (Some(claims), None) => claims,
        (None, None) => return Err(CloseReason::Unauthenticated.into()),
    };
    check_role(&claims)?;
    if is_for_another {
        return Err(CloseReason::DeviceMismatch.into());
    }
    Ok(claims)
}

/// Only devices have a socket.
pub(super) fn check_role(claims: &Claims) -> Result<(), CloseReason> {
    if claims.role == Role::Device { Ok(()) } else { Err(CloseReason::Forbidden) }
}

fn check(state: &AppState, hello: &Hello) -> ApiResult<()> {
    let streams_max = state.config.limits.streams_per_session;
    if hello.subscribe.len() >= streams_max {
        let reason = format!("at most {streams_max} streams, the user's own included");
        return Err(ApiError::invalid("subscribe", reason));
    }
    open::check_device(state, &hello.device, "device.")
}

fn heartbeat(hello: &Hello) -> u32 {
    let (least, most) =
        (i64::from(*wire::HEARTBEAT_S.start()), i64::from(*wire::HEARTBEAT_S.end()));
    hello.heartbeat_s.map_or(wire::HEARTBEAT_DEFAULT_S, |wished| {
        u32::try_from(wished.clamp(least, most)).unwrap_or(wire::HEARTBEAT_DEFAULT_S)
    })
}

/// A valid cursor in `hello` acks what it claims.
fn ack_claims(state: &AppState, key: &SessionKey, opened: &[Opened]) {
    let device = open::device_key(&key.user_id, &key.device_id);
    let now = state.clock.now();
    for one in opened {
        if let Beginning::Resumed(seq) = one.beginning {
            let epoch = one.state.id.epoch.clone();
            let cursor = tidegate_protocol::cursor::Cursor { epoch, seq };
            state.ingest.behind().ack(&device, &one.state.id.name, cursor, now);
        }
    }
}

/// A refusal of the writer: retryable ones end with a code that is retried.
fn refuse(mut error: ApiError) -> Stop {
    if error.code.number() >= 500 {
        return Stop::Refuse(error.close_reason(), error);
    }
    if error.code == ErrorCode::TooManyDevices {
        return Stop::Refuse(CloseReason::TooManyDevices, error);
    }
    // A client does not come back after this code without a change.
    error.retry_after_s = None;
    Stop::Refuse(CloseReason::Forbidden, error)
}

/// The `error` frame that tells of a refusal.
pub(super) fn error_frame(error: &ApiError) -> ServerMessage {
    let mut message = error.message.clone();
    for detail in &error.details {
        message.push_str("; `");
        message.push_str(&detail.field);
        message.push_str("`: ");
        message.push_str(&detail.reason);
    }
    ServerMessage::Error(ErrorFrame {
        code: error.code,
        message,
        retry_after_ms: error.retry_after_s.map(|seconds| u64::from(seconds) * 1000),
    })
}
