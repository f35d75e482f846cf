//! One request of a run, and what follows from its answer: facts are stored first,
//! then where to go on. What was stored twice after a crash says nothing new.

use std::collections::BTreeMap;

use futures_util::FutureExt as _;
use serde::{Deserialize, Serialize};
use tidegate_entity::integration::{Model, Phase};
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::entry::{IntegrationError, IntegrationStatus};
use tidegate_protocol::time::Timestamp;
use tidegate_services::provider::{Kind, Page, Provider, Span};
use uuid::Uuid;

use crate::error::{ApiError, ApiResult};
use crate::health::fact::{Context, Fact};
use crate::ingest::integration::{Changed, Whose};
use crate::limits::PROVIDER_PAGES;
use crate::metrics::label::provider::RunResult;
use crate::providers::fault::{Fault, is_permanent};
use crate::providers::lead::Leader;
use crate::providers::rate::{self, Urgency};
use crate::providers::read;
use crate::providers::spread::next_due;
use crate::providers::turn::{Called, call};
use crate::store;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// Where a run goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Checkpoint {
    /// Which of the provider's kinds.
    kind: usize,
    /// The page of its listing; the first one without.
    page: Option<String>,
    /// Pages of it that were read.
    pages: u32,
    /// The newest start among them, milliseconds.
    newest: Option<i64>,
    /// What the listing of this kind began with, milliseconds.
    from: i64,
    /// Up to when this run reads, milliseconds.
    to: i64,
}

/// The newest start read of each kind, milliseconds.
type Newest = BTreeMap<String, i64>;

fn newest_of(row: &Model) -> Newest {
    row.newest.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default()
}

/// A write on behalf of the leader.
pub(super) fn whose(leader: &Leader, row: &Model) -> Whose {
    let key = (row.user_id.clone(), row.provider.clone());
    Whose { key, connection: Some(row.connection), fence: Some(leader.term.fence.clone()) }
}

/// Makes the next request of a run, which it begins if need be; whether there was
/// something to do.
pub(super) async fn step(leader: &Leader, provider: Provider, row: Model) -> bool {
    match page(leader, provider, &row).await {
        Ok(()) => true,
        Err(Fault::Over | Fault::Ours) => false,
        Err(Fault::Spent { until }) => {
            pause(leader, provider, &row, until).await;
            false
        }
        Err(Fault::Failed(error, detail)) => {
            fail(leader, &row, error, detail).await;
            true
        }
    }
}

async fn page(leader: &Leader, provider: Provider, row: &Model) -> Result<(), Fault> {
    if row.owner_id.is_none() {
        return owner(leader, provider, row).await;
    }
    let now = leader.handle.clock.now().millis();
    let checkpoint = row.checkpoint.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let at = checkpoint.unwrap_or_else(|| begin(leader, provider, row, now));
    let Some(kind) = provider.kinds().get(at.kind).copied() else {
        return finish(leader, row.clone(), newest_of(row)).await;
    };
    let span = Span { from: Timestamp::from_millis(at.from), to: Timestamp::from_millis(at.to) };
    let position = at.page.clone();
    let called = call(leader, provider, row, Urgency::Run, |client, token| {
        let position = position.clone();
        async move { client.list(token.reveal(), kind, &span, position.as_deref()).await }.boxed()
    });
    let Called { value: Page { items, next }, row } = called.await?;
    let facts = read_facts(leader, provider, kind, &row, &items).await?;
    let newest = read::newest(&facts).map(|newest| newest.min(now));
    take_in(leader, &row, facts).await?;
    let mut at = at;
    at.newest = at.newest.max(newest);
    at.pages += 1;
    if at.pages >= PROVIDER_PAGES && next.is_some() {
        let detail = "the listing does not end".to_owned();
        return Err(Fault::Failed(IntegrationError::ProviderUnavailable, detail));
    }
    go_on(leader, provider, row, (at, kind), next).await
}

/// Asks who the user is to the provider, whose webhooks name nobody else. One that
/// does not tell is not asked again.
async fn owner(leader: &Leader, provider: Provider, row: &Model) -> Result<(), Fault> {
    let called = call(leader, provider, row, Urgency::Run, |client, token| {
        async move { client.owner(token.reveal()).await }.boxed()
    });
    let owner_id = match called.await {
        Ok(called) => called.value,
        Err(Fault::Failed(IntegrationError::ProviderError, _)) => String::new(),
        Err(fault) => return Err(fault),
    };
    let change = move |row: &mut Model, now: Timestamp| {
        row.served_at = now.millis();
        row.owner_id = Some(owner_id.clone());
        Ok(().into())
    };
    changed(leader, row, change).await
}

/// A run from the beginning.
fn begin(leader: &Leader, provider: Provider, row: &Model, now: i64) -> Checkpoint {
    let mut at =
        Checkpoint { kind: 0, page: None, pages: 0, newest: None, from: 0, to: now + DAY_MS };
    at.from = from(leader, provider, 0, &newest_of(row), now);
    at
}

/// What a kind's listing begins with: so far before the newest start that was read,
/// since providers do not tell of changes.
fn from(leader: &Leader, provider: Provider, kind: usize, newest: &Newest, now: i64) -> i64 {
    let settings = &leader.handle.settings;
    let kind = provider.kinds().get(kind);
    match kind.and_then(|kind| newest.get(kind.as_str())) {
        Some(newest) => (*newest).min(now) - i64::from(settings.reread_d) * DAY_MS,
        None => now - i64::from(settings.first_sync_d) * DAY_MS,
    }
}

/// Notes that a run is under way, before its first request: who asks hears so.
pub(super) async fn begun(leader: &Leader, row: Model) -> Result<Model, Fault> {
    if row.phase == Phase::Running {
        return Ok(row);
    }
    let change = |row: &mut Model, _: Timestamp| {
        if row.run_id.is_none() || row.phase == Phase::None {
            row.run_id = Some(Uuid::now_v7().to_string());
        }
        row.phase = Phase::Running;
        Ok(row.clone().into())
    };
    let changed = leader.handle.ingest.change_integration(whose(leader, &row), change).await;
    changed.map_err(|error| Fault::of(&error))
}

/// What the items of a page say.
pub(super) async fn read_facts(
    leader: &Leader,
    provider: Provider,
    kind: Kind,
    row: &Model,
    items: &[Box<serde_json::value::RawValue>],
) -> Result<Vec<Fact>, Fault> {
    let handle = &leader.handle;
    let profile = store::health::profile::load(handle.store.readers(), &row.user_id).await;
    let profile = profile.map_err(|_| Fault::Ours)?;
    let zone = profile.and_then(|profile| profile.time_zone?.parse().ok());
    let now = handle.clock.now();
    let context = Context { now, zone, items_max: None, may_name_all: true };
    let facts = read::facts(provider, kind, items, &context);
    let wrong = u64::try_from(facts.errors.len()).unwrap_or(u64::MAX);
    handle.metrics.provider_items.inc_by(facts.total.saturating_sub(wrong));
    handle.metrics.provider_items_wrong.inc_by(wrong);
    Ok(facts.facts)
}

/// Stores facts of a user.
pub(super) async fn take_in(leader: &Leader, row: &Model, facts: Vec<Fact>) -> Result<(), Fault> {
    if facts.is_empty() {
        return Ok(());
    }
    let taken = leader.handle.ingest.take_in(&row.user_id, facts, None).await;
    taken.map(drop).map_err(|error| {
        if error.code == ErrorCode::Unavailable {
            return Fault::Ours;
        }
        // Tried again it would be the same, and for ever.
        let detail = "an answer could not be stored".to_owned();
        Fault::Failed(IntegrationError::ProviderError, detail)
    })
}

/// Notes where the run goes on, or that it is over.
async fn go_on(
    leader: &Leader,
    provider: Provider,
    row: Model,
    (mut at, kind): (Checkpoint, Kind),
    next: Option<String>,
) -> Result<(), Fault> {
    let mut newest = newest_of(&row);
    at.page = next;
    if at.page.is_none() {
        // Only a listing that was read to its end says where the next one begins:
        // not all of them come oldest first.
        if let Some(start) = at.newest.take() {
            let known = newest.entry(kind.as_str().to_owned()).or_insert(start);
            *known = (*known).max(start);
        }
        at.kind += 1;
        at.pages = 0;
        let now = leader.handle.clock.now().millis();
        at.from = from(leader, provider, at.kind, &newest, now);
    }
    if at.kind >= provider.kinds().len() {
        return finish(leader, row, newest).await;
    }
    let used = row.token_version;
    let change = move |row: &mut Model, now: Timestamp| {
        row.served_at = now.millis();
        row.checkpoint = Some(json(&at)?);
        row.newest = Some(json(&newest)?);
        prove(row, used);
        Ok(().into())
    };
    changed(leader, &row, change).await
}

async fn finish(leader: &Leader, row: Model, newest: Newest) -> Result<(), Fault> {
    let (interval_ms, used) = (leader.interval_ms(), row.token_version);
    let change = move |row: &mut Model, now: Timestamp| {
        let now = now.millis();
        row.served_at = now;
        row.newest = Some(json(&newest)?);
        row.last_synced_at = Some(now);
        row.error = None;
        row.error_detail = None;
        row.due_at = Some(next_due(&row.user_id, &row.provider, interval_ms, now));
        end(row, IntegrationStatus::Idle);
        prove(row, used);
        Ok(().into())
    };
    changed(leader, &row, change).await?;
    leader.handle.metrics.provider_runs.of(RunResult::Done).inc();
    Ok(())
}

/// An access token that worked proves its refresh token good: the one before is not
/// needed any more.
pub(super) fn prove(row: &mut Model, used: i64) {
    if row.token_version == used {
        row.refresh_token_before = None;
    }
}

/// A run is over.
fn end(row: &mut Model, status: IntegrationStatus) {
    row.phase = Phase::None;
    row.checkpoint = None;
    row.status = status;
    row.is_told = false;
}

fn json(value: &impl Serialize) -> ApiResult<String> {
    serde_json::to_string(value).map_err(|error| ApiError::internal(&error))
}

async fn changed<F>(leader: &Leader, row: &Model, change: F) -> Result<(), Fault>
where
    F: Fn(&mut Model, Timestamp) -> ApiResult<Changed<()>> + Send + Sync + 'static,
{
    let changed = leader.handle.ingest.change_integration(whose(leader, row), change).await;
    changed.map_err(|error| Fault::of(&error))
}

/// A run waits for a rate window; devices that were told of it hear that nothing is
/// under way.
pub(super) async fn pause(leader: &Leader, provider: Provider, row: &Model, until: i64) {
    let is_shared = rate::is_shared(provider);
    let change = move |row: &mut Model, _: Timestamp| {
        if matches!(row.phase, Phase::Queued | Phase::Running) {
            row.phase = Phase::Waiting;
        }
        if row.status == IntegrationStatus::Syncing {
            row.status = IntegrationStatus::Idle;
        }
        row.is_told = false;
        // Where all wait for the same window, who waits for longest goes on first.
        if !is_shared {
            row.due_at = Some(until);
        }
        Ok(().into())
    };
    if changed(leader, row, change).await.is_ok() {
        leader.handle.metrics.provider_runs.of(RunResult::Waiting).inc();
    }
}

/// A run failed: this integration says why, and no other one notices.
pub(super) async fn fail(leader: &Leader, row: &Model, error: IntegrationError, detail: String) {
    tracing::debug!(provider = row.provider, %error, detail, "a run of an integration failed");
    let interval_ms = leader.interval_ms();
    let change = move |row: &mut Model, now: Timestamp| {
        let now = now.millis();
        row.served_at = now;
        row.error = Some(error);
        row.error_detail = Some(detail.clone());
        row.due_at =
            (!is_permanent(error)).then(|| next_due(&row.user_id, &row.provider, interval_ms, now));
        end(row, IntegrationStatus::Error);
        Ok(().into())
    };
    if changed(leader, row, change).await.is_ok() {
        leader.handle.metrics.provider_runs.of(RunResult::Failed).inc();
    }
}
