//! What operators ask of the marketplace's synchronisation.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde::Serialize;
use tidegate_entity::{skill_rating, sync_state};
use tidegate_protocol::rest::Page;
use tidegate_protocol::rest::marketplace::{
    Asked, CacheSummary, ChangeSyncConfig, FailedRating, ItemFault, ItemFaults, PollStatus,
    SocketStatus, SocketSummary, SyncConfig, SyncStatus, SyncTriggered,
};
use tidegate_protocol::time::Timestamp;
use utoipa::ToSchema;

use crate::auth::Role;
use crate::config::check;
use crate::config::mask::masked_url;
use crate::error::{ApiError, ApiResult};
use crate::http::body::{Admin, Sent};
use crate::http::extract::{Caller, PathOf, QueryOf};
use crate::http::page::{PageQuery, next_cursor};
use crate::marketplace::admin::{self, Change, Faults};
use crate::marketplace::health::Health;
use crate::resolve::rules::Strategy;
use crate::state::AppState;
use crate::store;

fn time(millis: Option<i64>) -> Option<Timestamp> {
    millis.map(Timestamp::from_millis)
}

/// How the synchronisation stands.
#[utoipa::path(get, path = "/api/v1/admin/sync/status", tag = "admin", security(("bearer" = ["admin"])),
    responses((status = 200, body = SyncStatus)))]
pub(super) async fn sync_status(
    State(state): State<AppState>,
    caller: Caller,
) -> ApiResult<Json<SyncStatus>> {
    caller.require_role(Role::Admin)?;
    let standing = admin::standing(&state.marketplace).await?;
    let (skills_count, categories_count) = admin::counts(&state.marketplace).await?;
    let faults = admin::faults(&state.marketplace).await?;
    let row = standing.sync;
    let now = state.clock.now().millis();
    Ok(Json(SyncStatus {
        sync: PollStatus {
            status: row.status.to_string(),
            last_sync_at: time(row.last_sync_at),
            last_successful_sync_at: time(row.last_successful_sync_at),
            total_syncs: row.total_syncs,
            successful_syncs: row.successful_syncs,
            failed_syncs: row.failed_syncs,
            error_count: row.error_count,
            last_error: row.last_error,
            last_complete_listing_at: time(Some(row.listed_at).filter(|at| *at > 0)),
            asked_until: time(row.asked_until.filter(|until| *until > now)),
        },
        websocket: SocketSummary {
            connected: row.socket_connected && standing.is_led,
            last_connected_at: time(row.socket_connected_at),
            last_message_at: time(row.socket_message_at),
            fallback_to_polling: row.fallback_to_polling,
            reconnect_attempts: row.socket_attempts,
        },
        cache: CacheSummary { skills_count, categories_count },
        faults: fault_view(faults, row.unnamed_faults),
    }))
}

fn fault_view(faults: Faults, unnamed_count: i64) -> ItemFaults {
    let items = faults.named.into_iter().map(|faulty| ItemFault {
        kind: faulty.key.0.to_string(),
        id: faulty.key.1,
        fault: faulty.fault.to_string(),
        since: Timestamp::from_millis(faulty.at),
    });
    ItemFaults {
        count: faults.count,
        unnamed_count,
        withdrawn_count: faults.withdrawn,
        items: items.collect(),
    }
}

/// Runs a synchronisation now.
#[utoipa::path(post, path = "/api/v1/admin/sync/trigger", tag = "admin", security(("bearer" = ["admin"])),
    responses((status = 202, body = SyncTriggered), (status = 409, description = "One runs already"),
        (status = 501, description = "No marketplace is configured")))]
pub(super) async fn sync_trigger(
    State(state): State<AppState>,
    caller: Caller,
) -> ApiResult<(StatusCode, Json<SyncTriggered>)> {
    caller.require_role(Role::Admin)?;
    let sync_id = admin::trigger(&state.marketplace, caller.0.sub.as_str()).await?;
    let message = "a synchronisation begins".to_owned();
    let triggered = SyncTriggered { sync_id, status: "accepted".to_owned(), message };
    Ok((StatusCode::ACCEPTED, Json(triggered)))
}

fn config_view(state: &AppState, row: &sync_state::Model) -> SyncConfig {
    let settings = &state.config.marketplace;
    let built_in = || state.rules.skill.strategy.as_str().to_owned();
    SyncConfig {
        enabled: settings.is_on(),
        strategy: row.strategy.clone().unwrap_or_else(built_in),
        interval_s: row.interval_s.unwrap_or(i64::from(settings.interval_s)),
        page_size: settings.page_size,
        ttl_s: settings.ttl_s,
        websocket_enabled: settings.ws_enabled && row.socket_enabled,
    }
}

/// What the synchronisation goes by.
#[utoipa::path(get, path = "/api/v1/admin/sync/config", tag = "admin", security(("bearer" = ["admin"])),
    responses((status = 200, body = SyncConfig)))]
pub(super) async fn sync_config(
    State(state): State<AppState>,
    caller: Caller,
) -> ApiResult<Json<SyncConfig>> {
    caller.require_role(Role::Admin)?;
    let standing = admin::standing(&state.marketplace).await?;
    Ok(Json(config_view(&state, &standing.sync)))
}

/// Changes strategy or interval for all nodes, at once.
#[utoipa::path(put, path = "/api/v1/admin/sync/config", tag = "admin", security(("bearer" = ["admin"])),
    request_body = ChangeSyncConfig, responses((status = 200, body = SyncConfig)))]
pub(super) async fn change_sync_config(
    State(state): State<AppState>,
    Sent { caller, body: request, .. }: Sent<Admin, ChangeSyncConfig>,
) -> ApiResult<Json<SyncConfig>> {
    let strategy = request.strategy.as_deref().map(str::parse::<Strategy>).transpose();
    let strategy = strategy.map_err(|error| ApiError::invalid("strategy", error.to_string()))?;
    let range = check::range_of("marketplace.interval_s");
    if request.interval_s.is_some_and(|seconds| !range.contains(&i64::from(seconds))) {
        let reason = format!("{} to {}", range.start(), range.end());
        return Err(ApiError::invalid("interval_s", reason));
    }
    let wanted = Change { strategy, interval_s: request.interval_s };
    let row = admin::configure(&state.marketplace, caller.0.sub.as_str(), wanted).await?;
    Ok(Json(config_view(&state, &row)))
}

/// Uploads ratings now instead of with the next batch, also those that wait
/// after a failure.
#[utoipa::path(post, path = "/api/v1/admin/sync/ratings", tag = "admin", security(("bearer" = ["admin"])),
    responses((status = 202, body = Asked),
        (status = 501, description = "No marketplace is configured")))]
pub(super) async fn upload_ratings(
    State(state): State<AppState>,
    caller: Caller,
) -> ApiResult<(StatusCode, Json<Asked>)> {
    caller.require_role(Role::Admin)?;
    let pending = admin::upload_ratings(&state.marketplace, caller.0.sub.as_str()).await?;
    let asked = Asked { pending_count: Some(pending), ..asked("ratings are uploaded") };
    Ok((StatusCode::ACCEPTED, Json(asked)))
}

fn asked(message: &str) -> Asked {
    Asked {
        success: true,
        message: message.to_owned(),
        reconnect_triggered: None,
        websocket_enabled: None,
        retry_triggered: None,
        pending_count: None,
    }
}

/// How the upstream socket stands.
#[utoipa::path(get, path = "/api/v1/admin/websocket/status", tag = "admin", security(("bearer" = ["admin"])),
    responses((status = 200, body = SocketStatus)))]
pub(super) async fn socket_status(
    State(state): State<AppState>,
    caller: Caller,
) -> ApiResult<Json<SocketStatus>> {
    caller.require_role(Role::Admin)?;
    let standing = admin::standing(&state.marketplace).await?;
    let (row, settings) = (standing.sync, &state.config.marketplace);
    Ok(Json(SocketStatus {
        connected: row.socket_connected && standing.is_led,
        websocket_enabled: settings.ws_enabled && row.socket_enabled,
        ws_url: masked_url(&settings.ws_url),
        last_connected_at: time(row.socket_connected_at),
        last_message_at: time(row.socket_message_at),
        reconnect_attempts: row.socket_attempts,
        consecutive_failures: row.socket_failures,
        last_disconnect_reason: row.socket_reason,
        fallback_to_polling: row.fallback_to_polling,
        next_attempt_at: time(row.next_attempt_at),
        rate_limit_messages_per_sec: settings.ws_messages_per_s,
    }))
}

/// Brings the upstream socket up anew.
#[utoipa::path(post, path = "/api/v1/admin/websocket/reconnect", tag = "admin", security(("bearer" = ["admin"])),
    responses((status = 202, body = Asked), (status = 409, description = "It is disabled"),
        (status = 501, description = "No marketplace is configured")))]
pub(super) async fn socket_reconnect(
    State(state): State<AppState>,
    caller: Caller,
) -> ApiResult<(StatusCode, Json<Asked>)> {
    caller.require_role(Role::Admin)?;
    admin::reconnect_socket(&state.marketplace, caller.0.sub.as_str()).await?;
    let asked = Asked { reconnect_triggered: Some(true), ..asked("the socket reconnects") };
    Ok((StatusCode::ACCEPTED, Json(asked)))
}

/// Lets the upstream socket be used.
#[utoipa::path(post, path = "/api/v1/admin/websocket/enable", tag = "admin", security(("bearer" = ["admin"])),
    responses((status = 200, body = Asked)))]
pub(super) async fn socket_enable(
    State(state): State<AppState>,
    caller: Caller,
) -> ApiResult<Json<Asked>> {
    set_socket(&state, &caller, true).await
}

/// Uses polling only.
#[utoipa::path(post, path = "/api/v1/admin/websocket/disable", tag = "admin", security(("bearer" = ["admin"])),
    responses((status = 200, body = Asked)))]
pub(super) async fn socket_disable(
    State(state): State<AppState>,
    caller: Caller,
) -> ApiResult<Json<Asked>> {
    set_socket(&state, &caller, false).await
}

async fn set_socket(state: &AppState, caller: &Caller, is_enabled: bool) -> ApiResult<Json<Asked>> {
    caller.require_role(Role::Admin)?;
    let row = admin::enable_socket(&state.marketplace, caller.0.sub.as_str(), is_enabled).await?;
    let message = if is_enabled { "the socket is used" } else { "only polling is used" };
    Ok(Json(Asked { websocket_enabled: Some(row.socket_enabled), ..asked(message) }))
}

/// Ratings that upstream did not take, oldest first.
#[utoipa::path(get, path = "/api/v1/admin/ratings/failed", tag = "admin", security(("bearer" = ["admin"])), params(PageQuery),
    responses((status = 200, body = Page<FailedRating>)))]
pub(super) async fn failed_ratings(
    State(state): State<AppState>,
    caller: Caller,
    QueryOf(query): QueryOf<PageQuery>,
) -> ApiResult<Json<Page<FailedRating>>> {
    caller.require_role(Role::Admin)?;
    let (after, limit) = (query.after()?.unwrap_or_default(), query.limit()?);
    let rows = store::rating::failed(state.store.readers(), &after, limit + 1).await;
    let mut rows = rows.map_err(|error| ApiError::internal(&error))?;
    let next_cursor = next_cursor(&mut rows, limit, |row| &row.id);
    let items = rows.into_iter().map(failed_rating).collect();
    Ok(Json(Page { items, next_cursor }))
}

fn failed_rating(row: skill_rating::Model) -> FailedRating {
    FailedRating {
        id: row.id,
        skill_id: row.skill_id,
        user_id: row.user_id,
        rating: row.rating,
        error_message: row.last_error,
        failed_at: time(row.last_try_at),
        retry_count: row.retry_count,
    }
}

/// Uploads a dead letter again.
#[utoipa::path(post, path = "/api/v1/admin/ratings/failed/{id}/retry", tag = "admin", security(("bearer" = ["admin"])),
    params(("id" = String, Path)),
    responses((status = 202, body = Asked), (status = 404, description = "No such dead letter"),
        (status = 501, description = "No marketplace is configured")))]
pub(super) async fn retry_rating(
    State(state): State<AppState>,
    caller: Caller,
    PathOf(id): PathOf,
) -> ApiResult<(StatusCode, Json<Asked>)> {
    caller.require_role(Role::Admin)?;
    admin::retry_rating(&state.marketplace, caller.0.sub.as_str(), &id).await?;
    let asked = Asked { retry_triggered: Some(true), ..asked("the rating is uploaded again") };
    Ok((StatusCode::ACCEPTED, Json(asked)))
}

/// `GET /health/sync`.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SyncHealth {
    /// `healthy`, `degraded` or `unhealthy`.
    status: &'static str,
    /// When a run last ended well.
    #[schema(value_type = Option<String>, format = DateTime)]
    last_sync: Option<Timestamp>,
    /// Minutes since then; before the first one, since this node started.
    sync_age_minutes: i64,
    /// Whether the upstream socket is up.
    websocket_connected: bool,
    /// Whether some node polls.
    scheduler_running: bool,
    /// Runs that failed since the last one that ended well.
    recent_errors: i64,
    /// The same for people.
    details: String,
    /// Each part by itself.
    checks: SyncChecks,
}

/// The parts of [`SyncHealth`].
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SyncChecks {
    /// The age of the last success.
    sync: &'static str,
    /// The socket: `healthy`, or `degraded` while it is down.
    websocket: &'static str,
    /// The schedule.
    scheduler: &'static str,
}

/// How healthy the synchronisation is, by the age of its last success. 503
/// only when unhealthy.
#[utoipa::path(get, path = "/health/sync", tag = "operation", security(()),
    responses((status = 200, body = SyncHealth), (status = 503, body = SyncHealth)))]
pub(super) async fn health(
    State(state): State<AppState>,
) -> ApiResult<(StatusCode, Json<SyncHealth>)> {
    let standing = admin::standing(&state.marketplace).await?;
    let row = standing.sync;
    let is_on = state.marketplace.is_on();
    let now = state.now();
    let up_ms = i64::try_from(now.mono_ms).unwrap_or(i64::MAX);
    let age_ms = row.last_successful_sync_at.map_or(up_ms, |at| now.wall.millis() - at);
    let minutes = age_ms.max(0) / 60_000;
    let interval_s = row.interval_s.unwrap_or(i64::from(state.config.marketplace.interval_s));
    let health = if is_on { Health::of_age(minutes, interval_s / 60) } else { Health::Healthy };
    let is_up = row.socket_connected && standing.is_led;
    let details = match (is_on, health) {
        (false, _) => "no marketplace is configured".to_owned(),
        (true, _) if row.last_successful_sync_at.is_none() => {
            "no run has ended well yet".to_owned()
        }
        (true, _) => format!("the last run that ended well is {minutes} minutes ago"),
    };
    let word = |is_well: bool| if is_well || !is_on { "healthy" } else { "degraded" };
    let body = SyncHealth {
        status: health.as_str(),
        last_sync: time(row.last_successful_sync_at),
        sync_age_minutes: minutes,
        websocket_connected: is_up,
        scheduler_running: standing.is_led,
        recent_errors: row.error_count,
        details,
        checks: SyncChecks {
            sync: health.as_str(),
            websocket: word(is_up || state.config.marketplace.ws_url.is_empty()),
            scheduler: word(standing.is_led),
        },
    };
    let status = match health {
        Health::Unhealthy => StatusCode::SERVICE_UNAVAILABLE,
        Health::Healthy | Health::Degraded => StatusCode::OK,
    };
    Ok((status, Json(body)))
}
