//! How a user's integrations stand, and asking for a run.

use tidegate_entity::integration::{Model, Phase};
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::entry::IntegrationStatus;
use tidegate_protocol::rest::integrations::IntegrationView;
use tidegate_protocol::time::Timestamp;
use tidegate_services::provider::Provider;

use crate::error::{ApiError, ApiResult};
use crate::ingest::integration::Whose;
use crate::providers::connect::{not_configured, queue};
use crate::providers::{ProvidersHandle, rate};
use crate::store;
use crate::store::integration::initial;

/// All integrations of a user, connected or not.
pub async fn list(handle: &ProvidersHandle, user_id: &str) -> ApiResult<Vec<IntegrationView>> {
    let rows = store::integration::of_user(handle.store.readers(), user_id).await;
    let mut rows = rows.map_err(|error| ApiError::internal(&error))?;
    let mut views = Vec::with_capacity(Provider::ALL.len());
    for provider in Provider::ALL {
        let at = rows.iter().position(|row| row.provider == provider.as_str());
        let row = at.map(|at| rows.swap_remove(at));
        let row = row.unwrap_or_else(|| initial(user_id, provider.as_str()));
        views.push(view(handle, provider, row).await?);
    }
    Ok(views)
}

async fn view(
    handle: &ProvidersHandle,
    provider: Provider,
    row: Model,
) -> ApiResult<IntegrationView> {
    let time = |millis: Option<i64>| millis.map(Timestamp::from_millis);
    let is_under_way = matches!(row.phase, Phase::Queued | Phase::Running);
    let next_sync_at = next_sync(handle, provider, &row).await?;
    Ok(IntegrationView {
        connected: row.connected,
        sync_status: if is_under_way { IntegrationStatus::Syncing } else { row.status },
        sync_error: row.error,
        sync_error_detail: row.error_detail,
        last_synced_at: time(row.last_synced_at),
        next_sync_at: time(next_sync_at),
        connected_at: time(row.connected_at),
        scopes: row.scopes.map(|scopes| scopes.split(' ').map(str::to_owned).collect()),
        provider: row.provider,
    })
}

/// When the next run begins: when it is due, and not before the rate window that
/// all wait for is over.
async fn next_sync(
    handle: &ProvidersHandle,
    provider: Provider,
    row: &Model,
) -> ApiResult<Option<i64>> {
    let is_on = row.connected && handle.client(provider).is_some();
    let Some(due_at) = row.due_at.filter(|_| is_on) else { return Ok(None) };
    let room = rate::room(handle, provider).await.map_err(|error| ApiError::internal(&error))?;
    let now = handle.clock.now().millis();
    Ok(Some(due_at.max(now).max(room.closed_until.unwrap_or(now))))
}

/// Asks for a run now; its id.
pub async fn request(
    handle: &ProvidersHandle,
    provider: Provider,
    user_id: &str,
) -> ApiResult<String> {
    let key = (user_id.to_owned(), provider.as_str().to_owned());
    let whose = Whose { key, connection: None, fence: None };
    let is_configured = handle.client(provider).is_some();
    let change = move |row: &mut Model, now: Timestamp| {
        if !row.connected {
            let message = "the provider is not connected";
            return Err(ApiError::new(ErrorCode::NotFound, message));
        }
        if row.due_at.is_none() {
            let message = "the provider accepts the tokens no more; connect again";
            return Err(ApiError::new(ErrorCode::ReconnectRequired, message));
        }
        if matches!(row.phase, Phase::Queued | Phase::Running) {
            let message = "a synchronisation is under way";
            return Err(ApiError::new(ErrorCode::SyncInProgress, message));
        }
        if !is_configured {
            return Err(not_configured());
        }
        Ok(queue(row, now).into())
    };
    let run_id = handle.ingest.change_integration(whose, change).await?;
    handle.look.notify_one();
    Ok(run_id)
}
