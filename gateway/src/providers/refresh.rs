//! Keeping tokens good: one refresh of an integration at a time, whichever nodes
//! want it.
//!
//! What comes back is stored before it is used. A crash between the provider's
//! answer and that leaves the row with the old refresh token, which is tried again:
//! Strava and Google take it, and Fitbit answers the same pair for two minutes.
//! Oura's works once, and its successor was in the answer that is lost: that user
//! has to connect again, and nothing on our side can prevent it. What can be done
//! is done: the answer is written before anything else happens, and while the
//! database does not take it, it is held and tried again.

use std::time::Duration;

use tidegate_entity::integration::Model;
use tidegate_protocol::entry::IntegrationError;
use tidegate_protocol::time::Timestamp;
use tidegate_services::provider::{Provider, ProviderClient, ProviderError, Tokens, Usage};
use uuid::Uuid;

use crate::error::ApiResult;
use crate::ingest::integration::Whose;
use crate::limits::CLOCK_SKEW;
use crate::metrics::label::provider::RefreshResult;
use crate::providers::fault::Fault;
use crate::providers::lead::Leader;
use crate::providers::rate::{self, Asked, Taking, Urgency};
use crate::providers::tokens::{self, Field};
use crate::providers::{ProvidersHandle, connect};
use crate::sealing::Secret;

/// How soon who waits for another one's refresh looks again.
const LOOK: Duration = Duration::from_millis(250);

/// How long an answer is held that the database does not take.
const HOLD: Duration = Duration::from_mins(10);
const HOLD_LOOK: Duration = Duration::from_secs(1);

/// How long a node that goes away still waits for an answer with new tokens: they
/// are in nothing else.
const LAST_ANSWER: Duration = Duration::from_secs(3);

/// A token that ends sooner than this is refreshed before it is used.
pub(super) const SOON_MS: i64 = 60_000;

/// What came of the wish to refresh.
#[derive(Clone, Debug)]
enum Claim {
    /// It is ours to do.
    Ours(Box<Model>),
    /// Somebody else does it.
    Busy,
    /// It was done meanwhile.
    Done(Box<Model>),
}

fn whose(row: &Model) -> Whose {
    let key = (row.user_id.clone(), row.provider.clone());
    Whose { key, connection: Some(row.connection), fence: None }
}

/// How long one may take: both tokens are tried.
fn claim_ms(handle: &ProvidersHandle) -> i64 {
    i64::try_from(handle.timeout().as_millis()).unwrap_or(i64::MAX).saturating_mul(2) + 10_000
}

/// Trades the refresh token, unless that was done since `row` was read; the row
/// with tokens that are good.
pub(super) async fn refresh(
    leader: &Leader,
    provider: Provider,
    row: &Model,
) -> Result<Model, Fault> {
    let handle = &leader.handle;
    let claim_id = Uuid::new_v4().to_string();
    let deadline = tokio::time::Instant::now() + handle.timeout() * 2;
    loop {
        match claim(handle, row, &claim_id).await.map_err(|error| Fault::of(&error))? {
            Claim::Ours(row) => return trade(leader, provider, *row, claim_id).await,
            Claim::Done(row) => return Ok(*row),
            Claim::Busy if tokio::time::Instant::now() >= deadline => return Err(Fault::Ours),
            Claim::Busy if !leader.term.wait(LOOK).await => return Err(Fault::Over),
            Claim::Busy => {}
        }
    }
}

async fn claim(handle: &ProvidersHandle, row: &Model, claim_id: &str) -> ApiResult<Claim> {
    let (seen, claim_id) = (row.token_version, claim_id.to_owned());
    let claim_ms = claim_ms(handle);
    let skew = i64::try_from(CLOCK_SKEW.as_millis()).unwrap_or(i64::MAX);
    let change = move |row: &mut Model, now: Timestamp| {
        if row.token_version != seen {
            return Ok(Claim::Done(Box::new(row.clone())).into());
        }
        let until = now.millis() + claim_ms;
        // One that ends later than any can is of a clock that was wrong.
        let is_held = row
            .refresh_claimed_until
            .is_some_and(|end| end > now.millis() && end <= until.saturating_add(skew));
        if is_held && row.refresh_claim.as_ref() != Some(&claim_id) {
            return Ok(Claim::Busy.into());
        }
        row.refresh_claim = Some(claim_id.clone());
        row.refresh_claimed_until = Some(until);
        Ok(Claim::Ours(Box::new(row.clone())).into())
    };
    handle.ingest.change_integration(whose(row), change).await
}

async fn trade(
    leader: &Leader,
    provider: Provider,
    row: Model,
    claim_id: String,
) -> Result<Model, Fault> {
    let handle = &leader.handle;
    let traded = trade_tokens(leader, provider, &row).await;
    let result = match &traded {
        Ok(_) => RefreshResult::Refreshed,
        Err(Fault::Failed(IntegrationError::ReconnectRequired, _)) => RefreshResult::Refused,
        Err(_) => RefreshResult::Failed,
    };
    handle.metrics.provider_refreshes.of(result).inc();
    match traded {
        Ok((tokens, used)) => keep(leader, provider, &row, tokens, used).await,
        Err(fault) => {
            let_go(handle, &row, claim_id).await;
            Err(fault)
        }
    }
}

/// Tries the newest refresh token, and where the provider refuses it the one
/// before: which of them it knows depends on how far it came before a crash.
async fn trade_tokens(
    leader: &Leader,
    provider: Provider,
    row: &Model,
) -> Result<(Tokens, Secret), Fault> {
    let handle = &leader.handle;
    let Some(client) = handle.client(provider) else { return Err(Fault::Over) };
    let open = |sealed| tokens::open(&handle.sealing, row, Field::Refresh, sealed);
    let mut candidates = vec![open(row.refresh_token.as_ref())?];
    if row.refresh_token_before.is_some() {
        candidates.push(open(row.refresh_token_before.as_ref())?);
    }
    let mut refused = ProviderError::DeadRefresh;
    for candidate in candidates {
        match ask(leader, client, row, &candidate).await? {
            Ok(tokens) => return Ok((tokens, candidate)),
            Err(error @ ProviderError::DeadRefresh) => refused = error,
            Err(error) => return Err(Fault::of_provider(&error, until_after(handle, &error))),
        }
    }
    Err(Fault::of_provider(&refused, 0))
}

async fn ask(
    leader: &Leader,
    client: &ProviderClient,
    row: &Model,
    candidate: &Secret,
) -> Result<Result<Tokens, ProviderError>, Fault> {
    let handle = &leader.handle;
    let (provider, urgency) = (client.provider(), Urgency::Urgent);
    let taken = rate::take(handle, provider, &row.user_id, Asked::Tokens, urgency).await;
    let permit = match taken.map_err(|_| Fault::Ours)? {
        Taking::Taken(permit) => permit,
        Taking::Spent(until) => return Err(Fault::Spent { until }),
    };
    handle.metrics.provider_requests.of(provider.into()).inc();
    let answer = tokio::select! {
        biased;
        answer = client.refresh(candidate.reveal()) => answer,
        () = last_answer(leader) => return Err(Fault::Over),
    };
    let refusal = answer.as_ref().err();
    handle.metrics.provider_answers.of(refusal.into()).inc();
    // A window that is not corrected now is by the next answer.
    let _ = rate::heard(handle, &permit, &Usage::default(), refusal).await;
    Ok(answer)
}

/// Ends some time after the term.
async fn last_answer(leader: &Leader) {
    leader.term.over.cancelled().await;
    tokio::time::sleep(LAST_ANSWER).await;
}

/// Until when a refusal of the token endpoint is heeded.
fn until_after(handle: &ProvidersHandle, error: &ProviderError) -> i64 {
    let wait = error.retry_after().unwrap_or(Duration::from_mins(1));
    let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
    handle.clock.now().plus_millis(wait_ms).millis()
}

/// Stores new tokens, before anybody uses them. They are the only copy: while the
/// database does not take them, it is asked again.
async fn keep(
    leader: &Leader,
    provider: Provider,
    row: &Model,
    tokens: Tokens,
    used: Secret,
) -> Result<Model, Fault> {
    let handle = &leader.handle;
    let deadline = tokio::time::Instant::now() + HOLD;
    loop {
        let (sealing, tokens_now) = (handle.0.clone(), tokens.clone());
        let (seen, used) = (row.token_version, used.clone());
        let change = move |row: &mut Model, _: Timestamp| {
            let sealing = &sealing.sealing;
            if row.token_version == seen {
                tokens::put(sealing, row, &tokens_now, Some(&used))?;
            } else if let Some(refresh_token) = &tokens_now.refresh_token {
                // Our claim ran out, and somebody else was faster. Which of the two
                // answers the provider knows as the last one, only it can tell.
                let sealed = tokens::seal(sealing, row, Field::Refresh, refresh_token)?;
                row.refresh_token_before = Some(sealed);
            }
            Ok(row.clone().into())
        };
        match handle.ingest.change_integration(whose(row), change).await {
            Ok(row) => return Ok(row),
            Err(error) => match Fault::of(&error) {
                Fault::Over => {
                    // The connection ended: nobody needs them any more.
                    connect::revoke(handle, provider, &tokens).await;
                    return Err(Fault::Over);
                }
                fault
                    if tokio::time::Instant::now() >= deadline
                        || !leader.term.wait(HOLD_LOOK).await =>
                {
                    tracing::error!("new tokens of a provider were not stored, and are lost");
                    return Err(fault);
                }
                _ => {}
            },
        }
    }
}

/// Lets others try; a claim that stays only runs out.
async fn let_go(handle: &ProvidersHandle, row: &Model, claim_id: String) {
    let change = move |row: &mut Model, _: Timestamp| {
        if row.refresh_claim.as_ref() == Some(&claim_id) {
            row.refresh_claim = None;
            row.refresh_claimed_until = None;
        }
        Ok(().into())
    };
    if let Err(error) = handle.ingest.change_integration(whose(row), change).await {
        tracing::debug!(%error, "a claim to refresh was not given back; it runs out");
    }
}
