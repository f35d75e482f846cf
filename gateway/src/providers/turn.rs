//! A user's turn: one request, for what is due of that user: what a webhook told
//! first, then the run of the provider that was asked longest ago.

use std::cmp::Reverse;

use futures_util::future::BoxFuture;
use tidegate_entity::integration::Model;
use tidegate_protocol::entry::IntegrationError;
use tidegate_services::provider::{Answer, Failed, Provider, ProviderClient, ProviderError, Usage};
use tokio::time::Instant;

use crate::providers::fault::Fault;
use crate::providers::lead::Leader;
use crate::providers::rate::{self, Asked, Permit, Taking, Urgency};
use crate::providers::{event, refresh, run, tokens};
use crate::sealing::Secret;
use crate::store;

/// Takes a user's turn. What is due next stands in the database.
pub(super) async fn turn(leader: &Leader, user_id: String) -> Option<Instant> {
    if leader.term.over.is_cancelled() {
        return None;
    }
    let taken = take(leader, &user_id).await;
    leader.ended(user_id);
    match taken {
        // There may be more, or room for others.
        Ok(true) => leader.handle.look.notify_one(),
        Ok(false) => {}
        Err(error) => tracing::warn!(%error, "a turn of an integration was not taken"),
    }
    None
}

async fn take(leader: &Leader, user_id: &str) -> Result<bool, sea_orm::DbErr> {
    let handle = &leader.handle;
    let (db, now) = (handle.store.readers(), handle.clock.now().millis());
    let rows = store::integration::of_user(db, user_id).await?;
    if let Some(event) = store::webhook_event::first_due(db, user_id, now).await?.into_iter().next()
    {
        return Ok(event::step(leader, event, &rows).await);
    }
    let mut due: Vec<(Provider, Model)> = rows
        .into_iter()
        .filter(|row| row.connected && row.due_at.is_some_and(|due| due <= now))
        .filter_map(|row| Some((Provider::from_word(&row.provider)?, row)))
        .filter(|(provider, _)| handle.client(*provider).is_some())
        .collect();
    due.sort_by_key(|(_, row)| Reverse(row.served_at));
    while let Some((provider, row)) = due.pop() {
        if rate::room(handle, provider).await?.closed_until.is_none() {
            return Ok(run::step(leader, provider, row).await);
        }
    }
    Ok(false)
}

/// A request under way.
pub(super) type Asking<'a, T> = BoxFuture<'a, Result<Answer<T>, Failed>>;

/// An answer, and the row as it is since.
#[derive(Debug)]
pub(super) struct Called<T> {
    pub(super) value: T,
    pub(super) row: Model,
}

/// Asks a provider with a user's token. A token that ends is refreshed before, and
/// one that is not accepted once; then the same is asked again. A run is begun when
/// its request may be made.
pub(super) async fn call<T: Send>(
    leader: &Leader,
    provider: Provider,
    row: &Model,
    urgency: Urgency,
    ask: impl for<'a> Fn(&'a ProviderClient, Secret) -> Asking<'a, T> + Send + Sync,
) -> Result<Called<T>, Fault> {
    let handle = &leader.handle;
    let Some(client) = handle.client(provider) else { return Err(Fault::Over) };
    let mut row = row.clone();
    let soon = handle.clock.now().plus_millis(refresh::SOON_MS).millis();
    if row.token_expires_at.is_none_or(|end| end <= soon) {
        row = refresh::refresh(leader, provider, &row).await?;
    }
    // Right before the request: one that is counted and not made is lost for all.
    let mut permit = Some(permit(leader, provider, &row.user_id, urgency).await?);
    if urgency == Urgency::Run {
        row = run::begun(leader, row).await?;
    }
    let mut has_refreshed = false;
    loop {
        let permit = match permit.take() {
            Some(permit) => permit,
            None => self::permit(leader, provider, &row.user_id, Urgency::Urgent).await?,
        };
        let token = tokens::access(&handle.sealing, &row)?;
        handle.metrics.provider_requests.of(provider.into()).inc();
        // Who goes away leaves it: it is asked for again.
        let answer = tokio::select! {
            biased;
            () = leader.term.over.cancelled() => return Err(Fault::Over),
            answer = ask(client, token) => answer,
        };
        let (refusal, usage) = match &answer {
            Ok(answer) => (None, &answer.usage),
            Err(failed) => (Some(&failed.error), &failed.usage),
        };
        handle.metrics.provider_answers.of(refusal.into()).inc();
        let until = heard(leader, &permit, usage, refusal).await;
        match answer {
            Ok(answer) => return Ok(Called { value: answer.value, row }),
            Err(Failed { error: ProviderError::Unauthorized, .. }) if !has_refreshed => {
                has_refreshed = true;
                row = refresh::refresh(leader, provider, &row).await?;
            }
            Err(failed) => return Err(Fault::of_provider(&failed.error, until)),
        }
    }
}

async fn permit(
    leader: &Leader,
    provider: Provider,
    user_id: &str,
    urgency: Urgency,
) -> Result<Permit, Fault> {
    match rate::take(&leader.handle, provider, user_id, Asked::Data, urgency).await {
        Ok(Taking::Taken(permit)) => Ok(permit),
        Ok(Taking::Spent(until)) => Err(Fault::Spent { until }),
        Err(error) => {
            tracing::debug!(%error, "a rate window cannot be counted");
            Err(Fault::Ours)
        }
    }
}

/// Takes in what an answer said of rates; until when a refusal asks to wait.
async fn heard(
    leader: &Leader,
    permit: &Permit,
    usage: &Usage,
    refusal: Option<&ProviderError>,
) -> i64 {
    let heard = rate::heard(&leader.handle, permit, usage, refusal).await;
    heard.unwrap_or_else(|error| {
        tracing::debug!(%error, "a rate window was not corrected; the next answer does");
        leader.handle.clock.now().plus_millis(60_000).millis()
    })
}

/// What is told where tokens are there no more.
pub(super) fn is_reconnect(fault: &Fault) -> bool {
    matches!(fault, Fault::Failed(IntegrationError::ReconnectRequired, _))
}
