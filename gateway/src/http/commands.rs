//! Commands: making, watching, listing, taking back.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::{Extension, Json};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::command::CommandStatus;
use tidegate_protocol::id::{CommandId, StreamName, UserId};
use tidegate_protocol::limits::{COMMAND_TTL_S, COMMANDS_PER_BATCH, POLL_WAIT_S, SHORT_TEXT_BYTES};
use tidegate_protocol::rest::history::CommandView;
use tidegate_protocol::rest::{
    BatchRow, CommandAccepted, CommandsAccepted, CreateCommand, CreateCommands, Page,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;

use crate::auth::Role;
use crate::error::{ApiError, ApiResult};
use crate::health::command;
use crate::http::body::{Sent, SentRows, Service, ServiceBatch};
use crate::http::extract::{Caller, PathOf, QueryOf, parse_json};
use crate::http::page::{PageQuery, next_cursor};
use crate::hub::peer::Peer;
use crate::hub::signal::Signal;
use crate::ingest::commands::{Created, NewCommand};
use crate::ingest::idempotency::CallerKey;
use crate::state::AppState;
use crate::store;
use crate::store::command::ListFilter;

mod view;

/// Makes a command. Accepted means durable.
#[utoipa::path(post, path = "/api/v1/commands", tag = "commands",
    security(("bearer" = ["service"])),
    params(("Idempotency-Key" = Option<String>, Header)), request_body = CreateCommand,
    responses((status = 202, body = CommandAccepted),
        (status = 200, description = "Made before with the same key", body = CommandAccepted),
        (status = 404, description = "The user has no such device"),
        (status = 409, description = "The key was used with another request"),
        (status = 429, description = "Too many commands wait for this user")))]
pub(super) async fn create(
    State(state): State<AppState>,
    headers: HeaderMap,
    Sent { caller, body: request, .. }: Sent<Service, CreateCommand>,
) -> ApiResult<(StatusCode, Json<CommandAccepted>)> {
    accept(&state, &caller, &headers, &request).await
}

/// Checks, commits, answers.
pub(super) async fn accept(
    state: &AppState,
    caller: &Caller,
    headers: &HeaderMap,
    request: &CreateCommand,
) -> ApiResult<(StatusCode, Json<CommandAccepted>)> {
    check(request)?;
    let key = idempotency_key(headers, caller)?;
    let command = state.ingest.prepare(request, key)?;
    let created = state.ingest.create(vec![command]).await?.pop();
    let created = created.ok_or_else(|| ApiError::internal(&"no answer for a command"))??;
    Ok((status_of(&created), Json(created.accepted)))
}

const fn status_of(created: &Created) -> StatusCode {
    if created.is_new { StatusCode::ACCEPTED } else { StatusCode::OK }
}

fn check(request: &CreateCommand) -> ApiResult<()> {
    let short = 1..=SHORT_TEXT_BYTES;
    if !short.contains(&request.data_type.len()) {
        return Err(ApiError::invalid("data_type", format!("1 to {SHORT_TEXT_BYTES} bytes")));
    }
    if request.requires.as_ref().is_some_and(|requires| !short.contains(&requires.len())) {
        return Err(ApiError::invalid("requires", format!("1 to {SHORT_TEXT_BYTES} bytes")));
    }
    if request.ttl_s.is_some_and(|ttl_s| !COMMAND_TTL_S.contains(&ttl_s)) {
        let range = format!("{} to {} seconds", COMMAND_TTL_S.start(), COMMAND_TTL_S.end());
        return Err(ApiError::invalid("ttl_s", range));
    }
    command::check(&request.data_type, &request.value)
        .map_err(|wrong| ApiError::invalid(format!("value.{}", wrong.field), wrong.reason))
}

/// The Idempotency-Key of a request, with its caller.
pub(super) fn idempotency_key(headers: &HeaderMap, caller: &Caller) -> ApiResult<CallerKey> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    let key = key.to_str().unwrap_or_default();
    check_key(key, "Idempotency-Key")?;
    Ok(Some((caller.0.sub.as_str().to_owned(), key.to_owned())))
}

fn check_key(key: &str, field: &str) -> ApiResult<()> {
    if (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Ok(());
    }
    Err(ApiError::invalid(field, "1 to 255 visible ASCII characters"))
}

/// Makes many commands, each accepted or refused by itself.
#[utoipa::path(post, path = "/api/v1/commands/batch", tag = "commands",
    security(("bearer" = ["service"])),
    request_body = CreateCommands, responses((status = 207, body = CommandsAccepted)))]
pub(super) async fn create_batch(
    State(state): State<AppState>,
    SentRows { caller, body: request, .. }: SentRows<ServiceBatch, CreateCommands>,
) -> ApiResult<(StatusCode, Json<CommandsAccepted>)> {
    if request.commands.len() > COMMANDS_PER_BATCH {
        let reason = format!("at most {COMMANDS_PER_BATCH} commands");
        return Err(ApiError::invalid("commands", reason));
    }
    let mut prepared = Vec::with_capacity(request.commands.len());
    let mut refused: Vec<Option<ApiError>> = Vec::with_capacity(request.commands.len());
    for raw in &request.commands {
        match prepare(&state, &caller, raw) {
            Ok(command) => {
                prepared.push(command);
                refused.push(None);
            }
            Err(error) => refused.push(Some(error)),
        }
    }
    let created =
        if prepared.is_empty() { Vec::new() } else { state.ingest.create(prepared).await? };
    let mut created = created.into_iter();
    let results = refused.into_iter().map(|refused| {
        let outcome = match refused {
            Some(error) => Err(error),
            None => created.next().unwrap_or_else(|| Err(ApiError::internal(&"no answer"))),
        };
        row(outcome)
    });
    let results = results.collect();
    Ok((StatusCode::MULTI_STATUS, Json(CommandsAccepted { results })))
}

fn prepare(state: &AppState, caller: &Caller, raw: &RawValue) -> ApiResult<NewCommand> {
    #[derive(Deserialize)]
    struct Key {
        #[serde(default)]
        idempotency_key: Option<String>,
    }
    let request: CreateCommand = parse_json(raw.get())?;
    check(&request)?;
    let key = if may_name(raw.get(), "idempotency_key") {
        parse_json::<Key>(raw.get())?.idempotency_key
    } else {
        None
    };
    if let Some(key) = &key {
        check_key(key, "idempotency_key")?;
    }
    let key = key.map(|key| (caller.0.sub.as_str().to_owned(), key));
    state.ingest.prepare(&request, key)
}

/// Whether a JSON text may have a field of this name: most have not, and need not
/// be read a second time. A name may be written with escapes.
fn may_name(json: &str, name: &str) -> bool {
    json.contains(name) || json.contains("\\u")
}

fn row(outcome: ApiResult<Created>) -> BatchRow {
    match outcome {
        Ok(created) => BatchRow {
            status: status_of(&created).as_u16(),
            command: Some(created.accepted),
            error: None,
        },
        Err(error) => {
            BatchRow { status: error.code.number(), command: None, error: Some(error.detail()) }
        }
    }
}

/// The query of one command.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct GetQuery {
    /// Waits for a final status: 0 to 55 seconds, default 0.
    wait_s: Option<u32>,
}

/// A command with its timeline.
#[utoipa::path(get, path = "/api/v1/commands/{id}", tag = "commands",
    security(("bearer" = ["service"])),
    params(("id" = String, Path), GetQuery),
    responses((status = 200, body = CommandView), (status = 404, description = "No such command")))]
pub(super) async fn get(
    State(state): State<AppState>,
    caller: Caller,
    peer: Option<Extension<Peer>>,
    PathOf(id): PathOf,
    QueryOf(query): QueryOf<GetQuery>,
) -> ApiResult<Json<CommandView>> {
    caller.require_role(Role::Service)?;
    let wait_s = query.wait_s.unwrap_or(0);
    if wait_s > POLL_WAIT_S {
        return Err(ApiError::invalid("wait_s", format!("0 to {POLL_WAIT_S}")));
    }
    let id = parse_id(&id)?;
    // What this node noted for later belongs to the timeline too.
    if let Err(error) = state.ingest.catch_up_behind().await {
        tracing::debug!(%error, "the timeline is told without its newest rows");
    }
    let mut view = load(&state, &id).await?;
    if wait_s > 0 && !view.status.is_final() {
        let wait = Duration::from_secs(u64::from(wait_s));
        let finished = peer.map(|Extension(peer)| peer.finished).unwrap_or_default();
        view = wait_for_final(&state, &id, &view.user_id, wait, &finished).await?;
    }
    Ok(Json(view))
}

/// Waits until the command has its final status, at most so long. Every final
/// status is an entry of the user's stream, so the stream's wake-up serves.
async fn wait_for_final(
    state: &AppState,
    id: &CommandId,
    user_id: &UserId,
    wait: Duration,
    finished: &CancellationToken,
) -> ApiResult<CommandView> {
    let deadline = Instant::now() + wait;
    let signal = Arc::new(Signal::default());
    let _watch = state.hub.watch(&StreamName::of_user(user_id), &signal);
    loop {
        let view = load(state, id).await?;
        let expires_in = view.expires_at.millis() - state.clock.now().millis();
        let expires_in = Duration::from_millis(u64::try_from(expires_in).unwrap_or(0));
        let must_end = state.draining.is_cancelled() || finished.is_cancelled();
        if view.status.is_final() || Instant::now() >= deadline || must_end {
            let _ = state.ingest.catch_up_behind().await;
            return load(state, id).await;
        }
        tokio::select! {
            () = signal.woken() => {}
            () = state.draining.cancelled() => {}
            // The caller may have gone.
            () = finished.cancelled() => {}
            () = tokio::time::sleep_until(deadline) => {}
            // Its end shows by itself, before it is journalled.
            () = tokio::time::sleep(expires_in) => {}
        }
    }
}

fn parse_id(text: &str) -> ApiResult<CommandId> {
    CommandId::parse(text).map_err(|_| not_found())
}

fn not_found() -> ApiError {
    ApiError::new(ErrorCode::NotFound, "there is no such command")
}

async fn load(state: &AppState, id: &CommandId) -> ApiResult<CommandView> {
    let row = store::command::get(state.store.readers(), id.as_str()).await;
    let row = row.map_err(|error| ApiError::internal(&error))?.ok_or_else(not_found)?;
    let mut views = view::with_timelines(state, vec![row]).await?;
    views.pop().ok_or_else(not_found)
}

/// The query of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// Whose commands.
    user_id: Option<String>,
    /// Only those with this status.
    #[param(value_type = Option<CommandStatus>)]
    status: Option<CommandStatus>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Items at most: 1 to 500, default 100.
    limit: Option<u64>,
}

/// Commands, newest first.
#[utoipa::path(get, path = "/api/v1/commands", tag = "commands",
    security(("bearer" = ["service"])), params(ListQuery),
    responses((status = 200, body = Page<CommandView>)))]
pub(super) async fn list(
    State(state): State<AppState>,
    caller: Caller,
    QueryOf(query): QueryOf<ListQuery>,
) -> ApiResult<Json<Page<CommandView>>> {
    caller.require_role(Role::Service)?;
    if let Some(user_id) = &query.user_id {
        UserId::parse(user_id).map_err(|e| ApiError::invalid("user_id", e.to_string()))?;
    }
    let page = PageQuery { cursor: query.cursor, limit: query.limit };
    let filter = ListFilter {
        user_id: query.user_id,
        status: query.status,
        before: page.after()?,
        now: state.clock.now().millis(),
    };
    let limit = page.limit()?;
    let rows = store::command::list(state.store.readers(), &filter, limit + 1).await;
    let mut rows = rows.map_err(|error| ApiError::internal(&error))?;
    let next_cursor = next_cursor(&mut rows, limit, |row| &row.id);
    let items = view::with_timelines(&state, rows).await?;
    Ok(Json(Page { items, next_cursor }))
}

/// Takes a command back.
#[utoipa::path(delete, path = "/api/v1/commands/{id}", tag = "commands",
    security(("bearer" = ["service"])),
    params(("id" = String, Path)),
    responses((status = 200, body = CommandView), (status = 409, description = "It has its final status")))]
pub(super) async fn cancel(
    State(state): State<AppState>,
    caller: Caller,
    PathOf(id): PathOf,
) -> ApiResult<Json<CommandView>> {
    caller.require_role(Role::Service)?;
    let id = parse_id(&id)?;
    state.ingest.cancel(id.clone()).await?;
    load(&state, &id).await.map(Json)
}
