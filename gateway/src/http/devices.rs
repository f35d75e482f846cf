//! Devices: registering, listing, deleting, ending sessions.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use tidegate_entity::device;
use tidegate_protocol::client::HelloDevice;
use tidegate_protocol::code::{CloseReason, ErrorCode};
use tidegate_protocol::command::{PushProvider, PushRegistration};
use tidegate_protocol::id::{DeviceId, StreamName, UserId};
use tidegate_protocol::rest::{DeviceView, Page, RegisterDevice, Registered};
use tidegate_protocol::time::Timestamp;
use utoipa::ToSchema;

use crate::auth::Role;
use crate::error::{ApiError, ApiResult};
use crate::http::body::{Device, Sent};
use crate::http::extract::{Caller, PathOf, QueryOf};
use crate::http::page::{PageQuery, next_cursor};
use crate::hub::SessionKey;
use crate::ingest::devices::Registration;
use crate::state::AppState;
use crate::store;
use crate::transport::open::{check_device, device_key};

/// Registers a device, or refreshes what is known of it.
#[utoipa::path(post, path = "/api/v1/devices/register", tag = "devices",
    security(("bearer" = ["device"])), request_body = RegisterDevice,
    responses((status = 200, body = Registered)))]
pub(super) async fn register(
    State(state): State<AppState>,
    Sent { caller, body: request, .. }: Sent<Device, RegisterDevice>,
) -> ApiResult<Json<Registered>> {
    let push = push_of(&request)?;
    let bound = caller.0.device_id.clone();
    let device_id = request.device_id.or(bound).unwrap_or_else(DeviceId::generate);
    caller.require_device(&device_id)?;
    let device = HelloDevice {
        id: device_id.clone(),
        platform: request.platform,
        name: request.name,
        app_version: request.app_version,
        capabilities: request.capabilities,
        push,
        wants_delta_push: None,
    };
    check_device(&state, &device, "")?;
    let user_id = caller.0.sub;
    let streams = vec![StreamName::of_user(&user_id)];
    let registration = Registration { user_id, device, streams, has_socket: false };
    state.ingest.register(registration).await?;
    Ok(Json(Registered { success: true, device_id }))
}

/// `fcm_token` is another name for an FCM registration; both may be given if
/// they agree.
#[expect(clippy::option_option, reason = "absent and null mean different things")]
fn push_of(request: &RegisterDevice) -> ApiResult<Option<Option<PushRegistration>>> {
    let Some(token) = &request.fcm_token else { return Ok(request.push.clone()) };
    let alias = token
        .as_ref()
        .map(|token| PushRegistration { provider: PushProvider::Fcm, token: token.clone() });
    match &request.push {
        None => Ok(Some(alias)),
        Some(push) if *push == alias => Ok(Some(alias)),
        Some(_) => Err(ApiError::invalid("fcm_token", "differs from `push`; send one of them")),
    }
}

/// The caller's own devices.
#[utoipa::path(get, path = "/api/v1/devices", tag = "devices",
    security(("bearer" = ["device"])), params(PageQuery),
    responses((status = 200, body = Page<DeviceView>)))]
pub(super) async fn list(
    State(state): State<AppState>,
    caller: Caller,
    QueryOf(query): QueryOf<PageQuery>,
) -> ApiResult<Json<Page<DeviceView>>> {
    caller.require_role(Role::Device)?;
    page_of(&state, &caller.0.sub, &query).await.map(Json)
}

/// Any user's devices, with presence.
#[utoipa::path(get, path = "/api/v1/users/{user_id}/devices", tag = "devices",
    security(("bearer" = ["service"])), params(("user_id" = String, Path), PageQuery),
    responses((status = 200, body = Page<DeviceView>)))]
pub(super) async fn list_of_user(
    State(state): State<AppState>,
    caller: Caller,
    PathOf(user_id): PathOf,
    QueryOf(query): QueryOf<PageQuery>,
) -> ApiResult<Json<Page<DeviceView>>> {
    caller.require_role(Role::Service)?;
    page_of(&state, &parse_user(&user_id)?, &query).await.map(Json)
}

async fn page_of(
    state: &AppState,
    user_id: &UserId,
    query: &PageQuery,
) -> ApiResult<Page<DeviceView>> {
    let (after, limit) = (query.after()?.unwrap_or_default(), query.limit()?);
    let rows = store::device::page(state.store.readers(), user_id.as_str(), &after, limit + 1);
    let mut rows = rows.await.map_err(|error| ApiError::internal(&error))?;
    let next_cursor = next_cursor(&mut rows, limit, |row| &row.device_id);
    let items = rows.into_iter().map(|row| view(state, user_id, row)).collect::<ApiResult<_>>()?;
    Ok(Page { items, next_cursor })
}

fn view(state: &AppState, user_id: &UserId, row: device::Model) -> ApiResult<DeviceView> {
    let device_id = DeviceId::parse(&row.device_id).map_err(|error| ApiError::internal(&error))?;
    Ok(DeviceView {
        online: state.hub.is_online(user_id.as_str(), device_id.as_str()),
        device_id,
        platform: row.platform,
        name: row.name,
        capabilities: row.capabilities.to_vec(),
        last_seen_at: Timestamp::from_millis(row.last_seen_at),
        push_state: row.push_state,
        push_error: row.push_error,
    })
}

/// Deletes one of the caller's devices: ends its session, forgets its push
/// token, cancels the commands addressed to it.
#[utoipa::path(delete, path = "/api/v1/devices/{id}", tag = "devices",
    security(("bearer" = ["device"])), params(("id" = String, Path)),
    responses((status = 204), (status = 404, description = "No such device")))]
pub(super) async fn remove(
    State(state): State<AppState>,
    caller: Caller,
    PathOf(id): PathOf,
) -> ApiResult<StatusCode> {
    let missing = |_| ApiError::new(ErrorCode::DeviceNotFound, "you have no such device");
    let device_id = DeviceId::parse(&id).map_err(missing)?;
    caller.require_device(&device_id)?;
    let user_id = caller.0.sub;
    state.ingest.remove_device(device_key(&user_id, &device_id)).await?;
    state.hub.close_device(&SessionKey { user_id, device_id }, CloseReason::DeviceDeleted);
    Ok(StatusCode::NO_CONTENT)
}

/// What browsers subscribe to Web Push with.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WebPushKey {
    /// The VAPID public key: base64url, for `applicationServerKey`.
    public_key: String,
}

/// The key that browsers subscribe to Web Push with.
#[utoipa::path(get, path = "/api/v1/push/webpush-key", tag = "devices",
    responses((status = 200, body = WebPushKey), (status = 404, description = "No Web Push here")))]
pub(super) async fn webpush_key(
    State(state): State<AppState>,
    _: Caller,
) -> ApiResult<Json<WebPushKey>> {
    match state.push.webpush_key() {
        Some(public_key) => Ok(Json(WebPushKey { public_key: public_key.to_owned() })),
        None => Err(ApiError::new(ErrorCode::NotFound, "Web Push is not configured here")),
    }
}

/// Ends all sessions of a user: for a sign-out everywhere.
#[utoipa::path(delete, path = "/api/v1/users/{user_id}/sessions", tag = "devices",
    security(("bearer" = ["service"])), params(("user_id" = String, Path)),
    responses((status = 204), (status = 422, description = "No user has such an id")))]
pub(super) async fn end_sessions(
    State(state): State<AppState>,
    caller: Caller,
    PathOf(user_id): PathOf,
) -> ApiResult<StatusCode> {
    caller.require_role(Role::Service)?;
    state.hub.close_user(&parse_user(&user_id)?, CloseReason::SessionEnded);
    Ok(StatusCode::NO_CONTENT)
}

fn parse_user(text: &str) -> ApiResult<UserId> {
    UserId::parse(text).map_err(|error| ApiError::invalid("user_id", error.to_string()))
}
