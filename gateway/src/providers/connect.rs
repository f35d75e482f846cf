//! Connecting a user to a provider, and ending that.
//!
//! A state is a random text that is kept as its hash, for one user and provider,
//! good once and for a few minutes.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Url;
use sha2::{Digest as _, Sha256};
use tidegate_entity::integration::{Model, Phase};
use tidegate_entity::oauth_state;
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::entry::IntegrationStatus;
use tidegate_protocol::rest::integrations::RETURN_URL_BYTES;
use tidegate_protocol::time::Timestamp;
use tidegate_services::provider::{Provider, ProviderClient, ProviderError, Tokens};
use uuid::Uuid;

use crate::error::{ApiError, ApiResult};
use crate::ingest::integration::{Changed, Whose};
use crate::limits::{OAUTH_STATE_LIFE, OAUTH_STATES};
use crate::providers::rate::{self, Asked, Urgency};
use crate::providers::{ProvidersHandle, tokens};
use crate::store;

/// How long who ends a connection waits for the provider to take the tokens back.
const REVOKE: Duration = Duration::from_secs(5);

/// Who connects whom to what.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Whose data it is.
    pub user_id: String,
    /// Who asks.
    pub actor: String,
    /// Where the browser goes at the end.
    pub return_url: Option<String>,
}

/// What a browser brings back.
#[derive(Clone, Default)]
pub struct Brought {
    /// The state it was sent away with.
    pub state: Option<String>,
    /// The code that is traded for tokens.
    pub code: Option<String>,
    /// What the user granted, where the provider says so here.
    pub scope: Option<String>,
    /// Why there is no code.
    pub error: Option<String>,
}

impl std::fmt::Debug for Brought {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Brought").finish_non_exhaustive()
    }
}

/// What came of an authorization.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Where the browser goes, with what came of it.
    pub return_url: Option<String>,
    /// What came of it.
    pub result: ApiResult<()>,
}

fn random() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

fn hash(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(text))
}

/// The client of a provider that can be connected.
fn connectable(handle: &ProvidersHandle, provider: Provider) -> ApiResult<&ProviderClient> {
    if handle.settings_of(provider).enabled == Some(false) {
        let message = "the provider's service was switched off";
        return Err(ApiError::new(ErrorCode::ProviderGone, message));
    }
    handle.client(provider).ok_or_else(not_configured)
}

/// The provider is not set up.
pub(super) fn not_configured() -> ApiError {
    ApiError::new(ErrorCode::NotSupported, "the provider is not configured")
}

/// Where to send a user, and until when that is good.
pub async fn begin(
    handle: &ProvidersHandle,
    provider: Provider,
    wish: Wish,
) -> ApiResult<(Url, Timestamp)> {
    let client = connectable(handle, provider)?;
    if let Some(url) = &wish.return_url
        && (url.len() > RETURN_URL_BYTES || !handle.settings.allows_return(url))
    {
        return Err(ApiError::invalid("return_url", "begins with one of those configured"));
    }
    let state = random();
    let life_ms = i64::try_from(OAUTH_STATE_LIFE.as_millis()).unwrap_or(i64::MAX);
    let expires_at = handle.clock.now().plus_millis(life_ms);
    let mut row = oauth_state::Model {
        state_hash: hash(&state),
        user_id: wish.user_id,
        provider: provider.as_str().to_owned(),
        actor: wish.actor,
        verifier: None,
        return_url: wish.return_url,
        expires_at: expires_at.millis(),
    };
    let mut challenge = None;
    if provider.has_pkce() {
        let verifier = random();
        row.verifier = Some(tokens::seal_verifier(&handle.sealing, &row, &verifier)?);
        challenge = Some(hash(&verifier));
    }
    let row = &row;
    let kept = handle.store.write(|tx| async move {
        store::oauth_state::insert(&tx, row.clone(), OAUTH_STATES).await
    });
    kept.await?;
    let url = client.authorize_url(&state, &handle.redirect_uri(provider), challenge.as_deref());
    Ok((url, expires_at))
}

/// Takes in what a browser brings back.
pub async fn finish(handle: &ProvidersHandle, provider: Provider, brought: Brought) -> Outcome {
    let invalid = || {
        let message = "the authorization is not known, was used, or took too long; connect again";
        ApiError::new(ErrorCode::InvalidState, message)
    };
    let state = match taken(handle, brought.state.as_deref()).await {
        Ok(state) => state,
        Err(error) => return Outcome { return_url: None, result: Err(error) },
    };
    let now = handle.clock.now().millis();
    let is_good =
        |state: &oauth_state::Model| state.expires_at > now && state.provider == provider.as_str();
    let Some(state) = state.filter(is_good) else {
        return Outcome { return_url: None, result: Err(invalid()) };
    };
    let return_url = state.return_url.clone();
    let result = connect(handle, provider, state, brought).await;
    Outcome { return_url, result }
}

async fn taken(
    handle: &ProvidersHandle,
    state: Option<&str>,
) -> ApiResult<Option<oauth_state::Model>> {
    let Some(state) = state else { return Ok(None) };
    let state_hash = &hash(state);
    let taken =
        handle.store.write(|tx| async move { store::oauth_state::take(&tx, state_hash).await });
    Ok(taken.await?)
}

fn refused(message: &str) -> ApiError {
    ApiError::new(ErrorCode::ConnectRefused, message)
}

async fn connect(
    handle: &ProvidersHandle,
    provider: Provider,
    state: oauth_state::Model,
    brought: Brought,
) -> ApiResult<()> {
    if brought.error.is_some() {
        return Err(refused("the access was not granted"));
    }
    let code = brought.code.filter(|code| !code.is_empty());
    let code = code.ok_or_else(|| refused("the provider sent no code"))?;
    let client = connectable(handle, provider)?;
    let verifier = tokens::open_verifier(&handle.sealing, &state)?;
    // It counts, but nobody who is half-way is turned back for it.
    let counted = rate::take(handle, provider, &state.user_id, Asked::Tokens, Urgency::Urgent);
    let _ = counted.await;
    handle.metrics.provider_requests.of(provider.into()).inc();
    let verifier = verifier.as_ref().map(crate::sealing::Secret::reveal);
    let traded = client.exchange(&code, &handle.redirect_uri(provider), verifier).await;
    handle.metrics.provider_answers.of(traded.as_ref().err().into()).inc();
    let tokens = traded.map_err(|error| not_traded(provider, &error))?;
    let scopes = granted(&tokens, brought.scope.as_deref());
    if !has_activities(provider, scopes.as_deref()) {
        revoke(handle, provider, &tokens).await;
        return Err(refused("the access to activities was not granted"));
    }
    let kept = keep(handle, provider, state, tokens.clone(), scopes).await;
    if kept.is_err() {
        revoke(handle, provider, &tokens).await;
    }
    kept
}

fn not_traded(provider: Provider, error: &ProviderError) -> ApiError {
    match error {
        ProviderError::Unavailable(_) | ProviderError::RateLimited { .. } => {
            tracing::warn!(provider = provider.as_str(), %error, "a code could not be traded");
            ApiError::unavailable("the provider does not answer; connect again")
        }
        ProviderError::DeadRefresh | ProviderError::Unauthorized => {
            refused("the provider does not accept the code")
        }
        // Not the user's fault: an operator must look.
        _ => {
            tracing::warn!(provider = provider.as_str(), %error, "a provider refuses us");
            refused("the provider refused")
        }
    }
}

/// What the user granted; `None`: nobody says, so that it is what was asked for.
fn granted(tokens: &Tokens, said: Option<&str>) -> Option<Vec<String>> {
    let words = |text: &str| {
        let words = text.split([',', ' ']).filter(|word| !word.is_empty());
        words.map(str::to_owned).collect::<Vec<_>>()
    };
    let said = said.map(words).filter(|scopes| !scopes.is_empty());
    tokens.scopes.clone().filter(|scopes| !scopes.is_empty()).or(said)
}

/// Whether workouts may be read.
fn has_activities(provider: Provider, scopes: Option<&[String]>) -> bool {
    let is_of_activities = |scope: &String| match provider {
        Provider::Strava => matches!(scope.as_str(), "activity:read" | "activity:read_all"),
        Provider::GoogleHealth => scope.contains("activity_and_fitness"),
        Provider::Oura => scope == "workout",
        Provider::Fitbit => scope == "activity",
    };
    scopes.is_none_or(|scopes| scopes.iter().any(is_of_activities))
}

/// Stores a connection, and queues its first run.
async fn keep(
    handle: &ProvidersHandle,
    provider: Provider,
    state: oauth_state::Model,
    tokens: Tokens,
    scopes: Option<Vec<String>>,
) -> ApiResult<()> {
    let key = (state.user_id.clone(), provider.as_str().to_owned());
    let whose = Whose { key, connection: None, fence: None };
    let (parts, actor) = (handle.0.clone(), state.actor);
    let change = move |row: &mut Model, now: Timestamp| {
        if row.owner_id != tokens.owner_id || tokens.owner_id.is_none() {
            // Perhaps another account: what was read of the last one says nothing.
            row.newest = None;
        }
        row.connected = true;
        row.connection += 1;
        row.owner_id.clone_from(&tokens.owner_id);
        tokens::clear(row);
        tokens::put(&parts.sealing, row, &tokens, None)?;
        row.scopes = scopes.as_ref().map(|scopes| scopes.join(" "));
        row.connected_at = Some(now.millis());
        row.error = None;
        row.error_detail = None;
        row.checkpoint = None;
        queue(row, now);
        Ok(Changed { answer: (), audit: Some((actor.clone(), "integration.connect")) })
    };
    handle.ingest.change_integration(whose, change).await?;
    handle.look.notify_one();
    Ok(())
}

/// Queues a run that devices are told of; its id.
pub(super) fn queue(row: &mut Model, now: Timestamp) -> String {
    let run_id = Uuid::now_v7().to_string();
    row.phase = Phase::Queued;
    row.run_id = Some(run_id.clone());
    row.is_told = true;
    row.status = IntegrationStatus::Syncing;
    row.error = None;
    row.error_detail = None;
    row.due_at = Some(now.millis());
    run_id
}

/// Ends a connection: the tokens are gone, and what was read stays. The row as it
/// was; `None`: there was none.
pub(super) async fn end(
    handle: &ProvidersHandle,
    whose: Whose,
    actor: Option<String>,
) -> ApiResult<Option<Model>> {
    let actor = actor.unwrap_or_else(|| whose.key.1.clone());
    let change = move |row: &mut Model, _: Timestamp| {
        if !row.connected {
            return Ok(None.into());
        }
        let before = row.clone();
        row.connected = false;
        row.connection += 1;
        tokens::clear(row);
        row.status = IntegrationStatus::Idle;
        row.error = None;
        row.error_detail = None;
        row.scopes = None;
        row.connected_at = None;
        row.due_at = None;
        row.phase = Phase::None;
        row.is_told = false;
        row.checkpoint = None;
        let audit = Some((actor.clone(), "integration.disconnect"));
        Ok(Changed { answer: Some(before), audit })
    };
    handle.ingest.change_integration(whose, change).await
}

/// Ends a user's connection, and asks the provider to take the tokens back.
pub async fn disconnect(
    handle: &ProvidersHandle,
    provider: Provider,
    user_id: &str,
    actor: &str,
) -> ApiResult<()> {
    let key = (user_id.to_owned(), provider.as_str().to_owned());
    let whose = Whose { key, connection: None, fence: None };
    let Some(row) = end(handle, whose, Some(actor.to_owned())).await? else { return Ok(()) };
    let opened = tokens::access(&handle.sealing, &row).and_then(|access| {
        let refresh = row.refresh_token.as_ref();
        Ok((access, tokens::open(&handle.sealing, &row, tokens::Field::Refresh, refresh)?))
    });
    if let Ok((access, refresh)) = opened {
        give_back(handle, provider, access.reveal(), refresh.reveal()).await;
    } else {
        let provider = provider.as_str();
        tracing::warn!(provider, "tokens could not be opened, and are not revoked");
    }
    Ok(())
}

/// Asks the provider to take back tokens that nobody keeps.
pub(super) async fn revoke(handle: &ProvidersHandle, provider: Provider, tokens: &Tokens) {
    let refresh = tokens.refresh_token.as_deref().unwrap_or(&tokens.access_token);
    give_back(handle, provider, &tokens.access_token, refresh).await;
}

async fn give_back(handle: &ProvidersHandle, provider: Provider, access: &str, refresh: &str) {
    let Some(client) = handle.client(provider) else { return };
    let what = "tokens were not revoked at the provider; they are forgotten here";
    match tokio::time::timeout(REVOKE, client.revoke(access, refresh)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(provider = provider.as_str(), %error, "{what}"),
        Err(_) => tracing::warn!(provider = provider.as_str(), "no answer: {what}"),
    }
}
