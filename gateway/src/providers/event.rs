//! Looking at what a webhook told: the item is read from the provider, and what is
//! stored is what that says. Order and repetition of events change nothing.

use futures_util::FutureExt as _;
use serde::{Deserialize, Serialize};
use tidegate_entity::integration::Model;
use tidegate_entity::webhook_event::{self, State};
use tidegate_protocol::entry::IntegrationError;
use tidegate_protocol::time::Timestamp;
use tidegate_services::provider::{Kind, Page, Provider, Span};

use crate::health::fact::{Fact, What};
use crate::limits::WEBHOOK_ATTEMPTS;
use crate::metrics::label::provider::EventResult;
use crate::providers::connect;
use crate::providers::fault::{Fault, is_permanent};
use crate::providers::lead::Leader;
use crate::providers::rate::{self, Urgency};
use crate::providers::turn::{Called, call, is_reconnect};
use crate::providers::{run, source};
use crate::store;

/// The first wait after a look that failed, doubled by each further one.
const RETRY_MS: i64 = 60_000;
const RETRY_MAX_MS: i64 = 3_600_000;

/// What is to be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Told {
    /// An item was made, changed or deleted: which of these, the provider's answer
    /// says.
    Item { kind: Kind, id: String },
    /// Something changed within a span of time; milliseconds.
    Span { kind: Kind, from: i64, to: i64 },
    /// The user withdrew what was granted.
    Deauthorized,
}

/// Looks at an event; whether that came to an end of some kind.
pub(super) async fn step(leader: &Leader, event: webhook_event::Model, rows: &[Model]) -> bool {
    let provider = Provider::from_word(&event.provider);
    let told: Option<Told> = serde_json::from_str(&event.what).ok();
    let row = rows.iter().find(|row| row.provider == event.provider);
    // One whose calls ended needs no look: a reconnect reads all that is new. But what
    // the provider said then, that it accepts the tokens no more, confirms a withdrawal.
    let is_withdrawn = told == Some(Told::Deauthorized);
    let row = row.filter(|row| row.connected && (row.due_at.is_some() || is_withdrawn));
    let (Some(provider), Some(told), Some(row)) = (provider, told, row) else {
        return end(leader, event, EventResult::Void).await;
    };
    let Err(fault) = look(leader, provider, row, &event, told).await else { return true };
    match fault {
        Fault::Over | Fault::Ours => false,
        Fault::Spent { until } => {
            put_off(leader, provider, &event.user_id, until).await;
            false
        }
        Fault::Failed(error, detail) if is_permanent(error) => {
            run::fail(leader, row, error, detail).await;
            end(leader, event, EventResult::Void).await
        }
        Fault::Failed(error, detail) => {
            tracing::debug!(%error, detail, "an event of a webhook could not be looked at");
            again(leader, event).await
        }
    }
}

async fn look(
    leader: &Leader,
    provider: Provider,
    row: &Model,
    event: &webhook_event::Model,
    told: Told,
) -> Result<(), Fault> {
    let result = match told {
        Told::Item { kind, id } => item(leader, provider, row, (kind, &id)).await?,
        Told::Span { kind, from, to } => {
            let [from, to] = [from, to].map(Timestamp::from_millis);
            let span = Span { from, to };
            if let Some(next) = listed(leader, provider, row, (kind, &span, event)).await? {
                let event = webhook_event::Model { page: Some(next), ..event.clone() };
                return write(leader, event).await;
            }
            EventResult::Fetched
        }
        Told::Deauthorized => deauthorized(leader, provider, row).await?,
    };
    end(leader, event.clone(), result).await;
    Ok(())
}

async fn item(
    leader: &Leader,
    provider: Provider,
    row: &Model,
    (kind, id): (Kind, &str),
) -> Result<EventResult, Fault> {
    let called = call(leader, provider, row, Urgency::Urgent, |client, token| {
        let id = id.to_owned();
        async move { client.one(token.reveal(), kind, &id).await }.boxed()
    });
    let Called { value, row } = called.await?;
    let (facts, result) = match value {
        Some(item) => {
            let facts = run::read_facts(leader, provider, kind, &row, &[item]).await?;
            (facts, EventResult::Fetched)
        }
        // It is there no more, whatever the event said.
        None => (gone(provider, kind, id).into_iter().collect(), EventResult::Gone),
    };
    run::take_in(leader, &row, facts).await?;
    Ok(result)
}

/// That the provider deleted an item. Days are not deleted: what they say is.
fn gone(provider: Provider, kind: Kind, id: &str) -> Option<Fact> {
    let (source, source_id) = (source(provider), id.to_owned());
    let what = match kind {
        Kind::Activity | Kind::Exercise | Kind::Workout => What::ActivityGone { source, source_id },
        Kind::Sleep => What::NightGone { source, source_id },
        Kind::Steps | Kind::Weight | Kind::DailyActivity => return None,
    };
    Some(Fact { items: 1, what })
}

/// Reads a page of what changed; where the next one is.
async fn listed(
    leader: &Leader,
    provider: Provider,
    row: &Model,
    (kind, span, event): (Kind, &Span, &webhook_event::Model),
) -> Result<Option<String>, Fault> {
    let called = call(leader, provider, row, Urgency::Urgent, |client, token| {
        let (span, page) = (*span, event.page.clone());
        async move { client.list(token.reveal(), kind, &span, page.as_deref()).await }.boxed()
    });
    let Called { value: Page { items, next }, row } = called.await?;
    let facts = run::read_facts(leader, provider, kind, &row, &items).await?;
    run::take_in(leader, &row, facts).await?;
    Ok(next)
}

/// Asks the provider itself: anybody could say so. Only where it accepts the tokens
/// no more, they are dropped, and with them what was read.
async fn deauthorized(
    leader: &Leader,
    provider: Provider,
    row: &Model,
) -> Result<EventResult, Fault> {
    if row.error != Some(IntegrationError::ReconnectRequired) {
        if row.due_at.is_none() {
            return Ok(EventResult::Void);
        }
        let called = call(leader, provider, row, Urgency::Urgent, |client, token| {
            async move { client.owner(token.reveal()).await }.boxed()
        });
        match called.await {
            Ok(_) => return Ok(EventResult::Void),
            Err(fault) if !is_reconnect(&fault) => return Err(fault),
            Err(_) => {}
        }
    }
    let handle = &leader.handle;
    // The connection last: cut before that, the event is looked at once more.
    let forgotten = handle.ingest.forget_activities(&row.user_id, source(provider)).await;
    forgotten.map_err(|error| Fault::of(&error))?;
    connect::end(handle, run::whose(leader, row), None).await.map_err(|e| Fault::of(&e))?;
    tracing::info!(provider = row.provider, "a user withdrew what was granted to us");
    Ok(EventResult::Deauthorized)
}

/// Notes that an event was looked at.
async fn end(leader: &Leader, event: webhook_event::Model, result: EventResult) -> bool {
    leader.handle.metrics.webhook_events_done.of(result).inc();
    let event = webhook_event::Model { state: State::Done, page: None, ..event };
    write(leader, event).await.is_ok()
}

/// Looks again later; after some time the runs have read what it told of.
async fn again(leader: &Leader, event: webhook_event::Model) -> bool {
    let attempts = event.attempts + 1;
    if attempts >= WEBHOOK_ATTEMPTS {
        return end(leader, event, EventResult::GivenUp).await;
    }
    let doublings = u32::try_from(attempts - 1).unwrap_or_default().min(16);
    let wait = (RETRY_MS << doublings).min(RETRY_MAX_MS);
    let due_at = leader.handle.clock.now().plus_millis(wait).millis();
    write(leader, webhook_event::Model { attempts, due_at, ..event }).await.is_ok()
}

async fn write(leader: &Leader, event: webhook_event::Model) -> Result<(), Fault> {
    let (handle, event) = (&leader.handle, &event);
    let written = leader.term.write(&handle.store, |tx| async move {
        store::webhook_event::update(&tx, event.clone()).await
    });
    written.await.map_err(|_| Fault::Ours)
}

/// Nothing can be looked at before a window ends: of all users where they share it.
async fn put_off(leader: &Leader, provider: Provider, user_id: &str, until: i64) {
    let user_id = (!rate::is_shared(provider)).then_some(user_id);
    let handle = &leader.handle;
    let now = handle.clock.now().millis();
    let written = leader.term.write(&handle.store, |tx| async move {
        store::webhook_event::put_off(&tx, provider.as_str(), user_id, now, until).await
    });
    if let Err(error) = written.await {
        tracing::debug!(%error, "events were not put off");
    }
}
