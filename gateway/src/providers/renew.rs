//! What recurs beside runs: tokens that end soon are refreshed, subscriptions to
//! webhooks kept, and times that a wrong clock wrote set right.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use sea_orm::DbErr;
use tidegate_entity::integration::Model;
use tidegate_services::provider::Provider;

use crate::limits::CLOCK_SKEW;
use crate::providers::fault::{Fault, is_permanent};
use crate::providers::lead::Leader;
use crate::providers::{refresh, run};
use crate::store;

/// How often it is looked whether something is due. By the wall clock, like
/// everything that tokens and windows are about.
const LOOK: Duration = Duration::from_secs(1);

/// Rows of one look, and refreshes at once.
const ROWS: u64 = 100;
const AT_ONCE: usize = 4;

/// How often subscriptions are looked at, how soon again after a failure, and how
/// long before their end they are renewed.
const SUBSCRIBE_MS: i64 = 6 * 3_600_000;
const SUBSCRIBE_AGAIN_MS: i64 = 300_000;
const RENEW_BEFORE: Duration = Duration::from_hours(7 * 24);

/// Does what is due until the term is over.
pub(super) async fn renew(leader: &Leader) {
    let handle = &leader.handle;
    let (mut refresh_at, mut subscribe_at) = (0, 0);
    loop {
        let now = handle.clock.now().millis();
        let interval_ms = i64::from(handle.settings.refresh_interval_s) * 1_000;
        // A clock that was set back would let it wait for ever.
        if now >= refresh_at || refresh_at > now + interval_ms {
            refresh_at = now + interval_ms;
            if let Err(error) = all(leader).await {
                tracing::warn!(%error, "tokens that end soon cannot be read");
            }
        }
        if now >= subscribe_at || subscribe_at > now + SUBSCRIBE_MS {
            let kept = subscribe(leader).await;
            subscribe_at = now + if kept { SUBSCRIBE_MS } else { SUBSCRIBE_AGAIN_MS };
        }
        if !leader.term.wait(LOOK).await {
            return;
        }
    }
}

async fn all(leader: &Leader) -> Result<(), DbErr> {
    set_right(leader).await?;
    let handle = &leader.handle;
    let before_ms = i64::from(handle.settings.refresh_before_s) * 1_000;
    for provider in handle.clients.keys().copied() {
        let mut after = String::new();
        loop {
            let (db, now) = (handle.store.readers(), handle.clock.now().millis());
            let word = provider.as_str();
            let found = store::integration::expiring(db, word, now + before_ms, &after, ROWS);
            let rows = found.await?;
            let Some(last) = rows.last() else { break };
            after.clone_from(&last.user_id);
            let mut under_way = FuturesUnordered::new();
            for row in &rows {
                if under_way.len() >= AT_ONCE {
                    under_way.next().await;
                }
                under_way.push(one(leader, provider, row));
            }
            while under_way.next().await.is_some() {}
            if leader.term.over.is_cancelled() {
                return Ok(());
            }
        }
    }
    Ok(())
}

async fn one(leader: &Leader, provider: Provider, row: &Model) {
    if leader.term.over.is_cancelled() {
        return;
    }
    match refresh::refresh(leader, provider, row).await {
        Err(Fault::Failed(error, detail)) if is_permanent(error) => {
            run::fail(leader, row, error, detail).await;
        }
        // Tried again by the next run, or the next look.
        Err(Fault::Failed(error, detail)) => {
            tracing::debug!(%error, detail, "a token could not be refreshed");
        }
        Ok(_) | Err(_) => {}
    }
}

/// What is due later than anything can be was written under a wrong clock.
async fn set_right(leader: &Leader) -> Result<(), DbErr> {
    let handle = &leader.handle;
    let day_ms = 24 * 3_600_000;
    let skew_ms = i64::try_from(CLOCK_SKEW.as_millis()).unwrap_or(i64::MAX);
    let longest = (leader.interval_ms() * 2).max(day_ms) + skew_ms;
    let latest = handle.clock.now().plus_millis(longest).millis();
    let redated = leader
        .term
        .write(&handle.store, |tx| async move { store::integration::redate(&tx, latest).await });
    match redated.await {
        Ok(0) | Err(_) => {}
        Ok(count) => tracing::warn!(count, "integrations were due in a far future"),
    }
    Ok(())
}

/// Keeps the subscriptions to webhooks; whether all are.
async fn subscribe(leader: &Leader) -> bool {
    let handle = &leader.handle;
    let mut are_kept = true;
    for (provider, client) in &handle.clients {
        let settings = handle.settings_of(*provider);
        if !settings.webhooks {
            continue;
        }
        let url = handle.webhook_url(*provider);
        let subscribed = tokio::select! {
            biased;
            () = leader.term.over.cancelled() => return false,
            subscribed = client.subscribe(&url, settings.verify_token(), RENEW_BEFORE) => subscribed,
        };
        if let Err(error) = subscribed {
            let provider = provider.as_str();
            tracing::warn!(provider, %error, "the webhook could not be subscribed to");
            are_kept = false;
        }
    }
    are_kept
}
