//! Conveniences for developing an app; not there in production.

use axum::Json;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use tidegate_protocol::rest::{CommandAccepted, CreateCommand, TriggerWrite};

use crate::error::ApiResult;
use crate::http::body::{Device, Sent};
use crate::http::commands;
use crate::state::AppState;

/// Makes a command for the caller's own devices.
#[utoipa::path(post, path = "/api/v1/dev/trigger-write", tag = "development",
    security(("bearer" = ["device"])),
    params(("Idempotency-Key" = Option<String>, Header)), request_body = TriggerWrite,
    responses((status = 202, body = CommandAccepted),
        (status = 200, description = "Made before with the same key", body = CommandAccepted),
        (status = 404, description = "No such device"),
        (status = 409, description = "The key was used with another request")))]
pub(super) async fn trigger_write(
    State(state): State<AppState>,
    headers: HeaderMap,
    Sent { caller, body: request, .. }: Sent<Device, TriggerWrite>,
) -> ApiResult<(StatusCode, Json<CommandAccepted>)> {
    let command = CreateCommand {
        user_id: caller.0.sub.clone(),
        // A token bound to a device speaks for that one only.
        device_id: request.device_id.or_else(|| caller.0.device_id.clone()),
        data_type: request.data_type,
        value: request.value,
        priority: None,
        ttl_s: None,
        requires: None,
    };
    commands::accept(&state, &caller, &headers, &command).await
}
