//! What devices call: the socket's door, poll, ack, results.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use axum::{Extension, Json};
use serde::Deserialize;
use tidegate_protocol::client::Results;
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::command::Channel;
use tidegate_protocol::cursor::{Cursor, Cursors};
use tidegate_protocol::id::{DeviceId, Seq, StreamName};
use tidegate_protocol::limits::{POLL_LIMIT_DEFAULT, POLL_LIMIT_MAX, POLL_WAIT_S};
use tidegate_protocol::rest::{AckAnswer, AckRequest, PollAnswer, ResultsAnswer, ResultsRequest};
use utoipa::IntoParams;

use crate::error::{ApiError, ApiResult};
use crate::http::body::{Device, DeviceFrame, Sent};
use crate::http::extract::{Caller, QueryOf, bearer};
use crate::hub::peer::Peer;
use crate::ingest::behind::BehindBatch;
use crate::ingest::commands::Report;
use crate::state::AppState;
use crate::store;
use crate::store::device::DeviceKey;
use crate::transport::open::{Wanted, device_key};
use crate::transport::poll::{self, PollCursor, PollRequest, Position};
use crate::transport::ws;

/// `GET /api/v1/sync/ws`: upgrades to the socket. Not in the OpenAPI document.
pub(super) async fn socket(State(state): State<AppState>, request: Request) -> ApiResult<Response> {
    let (mut parts, _) = request.into_parts();
    let claims = match bearer(&parts.headers) {
        Some(token) => Some(state.auth.verify(token).await?),
        None if parts.headers.contains_key(http::header::AUTHORIZATION) => {
            return Err(state.auth.missing());
        }
        // Browsers cannot set headers: the token comes with `hello`.
        None => None,
    };
    ws::upgrade(&state, &mut parts, claims)
}

/// The query of a poll.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PollQuery {
    /// The device that polls.
    #[param(value_type = String)]
    device_id: DeviceId,
    /// How long to wait for something: 0 to 55 seconds, default 0.
    wait_s: Option<u32>,
    /// Entries and items at most: 1 to 500, default 200.
    limit: Option<usize>,
    /// Shared streams, separated by commas.
    subscribe: Option<String>,
    /// The cursor of the last answer.
    cursor: Option<String>,
    /// Instead of `cursor`: the JSON of hello's cursors.
    cursors: Option<String>,
}

/// What is new for a device. Sending a cursor acks what it holds.
#[utoipa::path(get, path = "/api/v1/sync/poll", tag = "sync",
    security(("bearer" = ["device"])), params(PollQuery),
    responses((status = 200, body = PollAnswer), (status = 404, description = "Unknown device")))]
pub(super) async fn poll(
    State(state): State<AppState>,
    caller: Caller,
    peer: Option<Extension<Peer>>,
    QueryOf(query): QueryOf<PollQuery>,
) -> ApiResult<Json<PollAnswer>> {
    caller.require_device(&query.device_id)?;
    let wait_s = query.wait_s.unwrap_or(0);
    if wait_s > POLL_WAIT_S {
        return Err(ApiError::invalid("wait_s", format!("0 to {POLL_WAIT_S}")));
    }
    let limit = query.limit.unwrap_or(POLL_LIMIT_DEFAULT);
    if !(1..=POLL_LIMIT_MAX).contains(&limit) {
        return Err(ApiError::invalid("limit", format!("1 to {POLL_LIMIT_MAX}")));
    }
    let subscribe = subscribe_of(&state, query.subscribe.as_deref())?;
    // Nothing is told to who shows a token that has ended meanwhile.
    let left_ms = caller.0.exp.millis().saturating_sub(state.clock.now().millis());
    let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0));
    let request = PollRequest {
        user_id: caller.0.sub,
        device_id: query.device_id,
        wait: Duration::from_secs(u64::from(wait_s)).min(left),
        limit,
        subscribe,
        position: position(query.cursor.as_deref(), query.cursors.as_deref())?,
        finished: peer.map(|Extension(peer)| peer.finished).unwrap_or_default(),
    };
    poll::poll(&state, request).await.map(Json)
}

fn subscribe_of(state: &AppState, names: Option<&str>) -> ApiResult<Vec<StreamName>> {
    let names = names.unwrap_or_default().split(',').filter(|name| !name.is_empty());
    let parse = |name: &str| {
        StreamName::parse(name).map_err(|e| ApiError::invalid("subscribe", e.to_string()))
    };
    let names = names.map(parse).collect::<ApiResult<Vec<_>>>()?;
    let streams_max = state.config.limits.streams_per_session;
    if names.len() >= streams_max {
        let reason = format!("at most {streams_max} streams, the user's own included");
        return Err(ApiError::invalid("subscribe", reason));
    }
    Ok(names)
}

fn position(cursor: Option<&str>, cursors: Option<&str>) -> ApiResult<Position> {
    match (cursor, cursors) {
        (Some(_), Some(_)) => {
            Err(ApiError::invalid("cursors", "send `cursor` or `cursors`, not both"))
        }
        (Some(cursor), None) => PollCursor::decode(cursor).map(Position::Opaque),
        (None, Some(cursors)) => serde_json::from_str::<Cursors>(cursors)
            .map(Position::Cursors)
            .map_err(|error| ApiError::invalid("cursors", error.to_string())),
        (None, None) => Ok(Position::Cursors(Cursors::new())),
    }
}

/// Says what a device holds, without a socket or a poll.
#[utoipa::path(post, path = "/api/v1/sync/ack", tag = "sync",
    security(("bearer" = ["device"])), request_body = AckRequest,
    responses((status = 200, body = AckAnswer), (status = 404, description = "Unknown device"),
        (status = 409, description = "Another epoch")))]
pub(super) async fn ack(
    State(state): State<AppState>,
    Sent { caller, body: request, .. }: Sent<Device, AckRequest>,
) -> ApiResult<Json<AckAnswer>> {
    let device = known_device(&state, &caller, &request.device_id).await?;
    let names: Vec<StreamName> = request.cursors.keys().cloned().collect();
    let wanted = Wanted::sort(&state, &caller.0.sub, &names).open;
    let keys: Vec<String> = wanted.iter().map(|name| name.as_str().to_owned()).collect();
    let heads = store::head::load(state.store.readers(), &keys);
    let heads = heads.await.map_err(|error| ApiError::internal(&error))?;
    let (mut batch, now) = (BehindBatch::default(), state.clock.now());
    for name in &wanted {
        let (Some(cursor), Some(head)) = (request.cursors.get(name), heads.get(name.as_str()))
        else {
            continue;
        };
        if cursor.epoch.as_str() != head.epoch {
            let message = "a cursor belongs to another epoch of its stream";
            return Err(ApiError::new(ErrorCode::EpochChanged, message)
                .with_detail(format!("cursors.{name}.epoch"), "not the epoch in force"));
        }
        if cursor.seq.get() > head.seq {
            let field = format!("cursors.{name}.seq");
            return Err(ApiError::invalid(field, format!("beyond the head, {}", head.seq)));
        }
        batch.ack(&device, name, cursor.clone(), now);
    }
    state.ingest.write_behind(batch).await?;
    acked(&state, &device, &wanted).await.map(|cursors| Json(AckAnswer { cursors }))
}

/// The stored positions of a device in these streams.
async fn acked(state: &AppState, device: &DeviceKey, names: &[StreamName]) -> ApiResult<Cursors> {
    let stored = store::device::cursors(state.store.readers(), std::slice::from_ref(device));
    let stored = stored.await.map_err(|error| ApiError::internal(&error))?;
    let mut cursors = Cursors::new();
    for name in names {
        let Some(row) = stored.get(&(device.clone(), name.as_str().to_owned())) else { continue };
        let epoch = crate::journal::read::epoch(&row.epoch);
        let epoch = epoch.map_err(|error| ApiError::internal(&error))?;
        cursors.insert(name.clone(), Cursor { epoch, seq: Seq::new(row.seq) });
    }
    Ok(cursors)
}

/// Reports outcomes of commands, for devices without a socket.
#[utoipa::path(post, path = "/api/v1/sync/results", tag = "sync",
    security(("bearer" = ["device"])), request_body = ResultsRequest,
    responses((status = 200, body = ResultsAnswer), (status = 404, description = "Unknown device")))]
pub(super) async fn results(
    State(state): State<AppState>,
    Sent { caller, body: request, .. }: Sent<DeviceFrame, ResultsRequest>,
) -> ApiResult<Json<ResultsAnswer>> {
    let device = known_device(&state, &caller, &request.device_id).await?;
    state.ingest.behind().seen(&device);
    let results = Results { results: request.results };
    ws::check_results(&results)?;
    let report = Report {
        user_id: caller.0.sub,
        device_id: request.device_id,
        channel: Channel::Http,
        results: results.results,
    };
    let results = state.ingest.report(report).await?;
    Ok(Json(ResultsAnswer { results }))
}

/// Offline edits: not part of this gateway yet.
#[utoipa::path(post, path = "/api/v1/sync/mutate", tag = "sync",
    responses((status = 501, description = "`not_supported`")))]
pub(super) async fn mutate(_: Caller) -> ApiError {
    ApiError::new(ErrorCode::NotSupported, "offline edits are not part of this gateway yet")
}

/// The device, if the caller may speak for it and it is registered.
async fn known_device(
    state: &AppState,
    caller: &Caller,
    device_id: &DeviceId,
) -> ApiResult<DeviceKey> {
    caller.require_device(device_id)?;
    let key = device_key(&caller.0.sub, device_id);
    let row = store::device::get(state.store.readers(), &key.user_id, &key.device_id).await;
    match row.map_err(|error| ApiError::internal(&error))? {
        Some(_) => Ok(key),
        None => Err(ApiError::new(ErrorCode::DeviceNotFound, "register the device first")),
    }
}
