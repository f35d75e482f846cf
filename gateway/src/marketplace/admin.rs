//! What operators may ask of the synchronisation, from any node: each is a
//! change of the sync state with a row in the audit log, and a hint to the
//! service of this node. The node that leads sees it within a second.

use sea_orm::DbErr;
use serde_json::{Value, json};
use tidegate_entity::market_item::Kind;
use tidegate_entity::skill_rating::UploadState;
use tidegate_entity::sync_state::Status;
use tidegate_entity::{audit_log, skill_rating, sync_state};
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::time::Timestamp;
use tokio::time::Instant;
use uuid::Uuid;

use crate::error::{ApiError, ApiResult};
use crate::marketplace::lead::{LEASE, lease_time};
use crate::marketplace::status::request;
use crate::marketplace::{MarketplaceHandle, Work, patience};
use crate::resolve::rules::Strategy;
use crate::store;
use crate::store::device::skewed;
use crate::store::write::Transaction;

/// How everything stands.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The sync state.
    pub sync: sync_state::Model,
    /// Whether some node leads.
    pub is_led: bool,
}

/// What can be changed at run time.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change {
    /// How conflicts are decided.
    pub strategy: Option<Strategy>,
    /// Seconds between two polls.
    pub interval_s: Option<u32>,
}

/// Reads how everything stands.
pub async fn standing(market: &MarketplaceHandle) -> ApiResult<Standing> {
    let db = market.store.readers();
    let work = async {
        let now = market.clock.now();
        let lease = lease_time(&market.settings).as_millis();
        let latest = skewed(now.plus_millis(i64::try_from(lease).unwrap_or(i64::MAX)).millis());
        let held = store::lease::holder(db, LEASE, now.millis(), latest).await?;
        Ok::<_, DbErr>(Standing {
            sync: store::sync_state::read(db).await?,
            is_led: held.is_some(),
        })
    };
    work.await.map_err(|error| ApiError::internal(&error))
}

/// How many skills and categories exist: reads all of them.
pub async fn counts(market: &MarketplaceHandle) -> ApiResult<(u64, u64)> {
    let db = market.store.readers();
    let work = async {
        let skills = store::market::count(db, Kind::Skill).await?;
        Ok::<_, DbErr>((skills, store::market::count(db, Kind::Category).await?))
    };
    work.await.map_err(|error| ApiError::internal(&error))
}

/// Items with something wrong that are named.
const FAULTY_MAX: u64 = 100;

/// What is wrong with items.
#[derive(Clone, Debug)]
pub struct Faults {
    /// Some of the faulty ones, in order.
    pub named: Vec<store::market::Faulty>,
    /// How many there are.
    pub count: u64,
    /// Items that devices lack because upstream has not confirmed them.
    pub withdrawn: u64,
}

/// What is wrong with items: reads all of them.
pub async fn faults(market: &MarketplaceHandle) -> ApiResult<Faults> {
    let db = market.store.readers();
    let work = async {
        let (named, count) = store::market::faulty(db, FAULTY_MAX).await?;
        let withdrawn = store::market::withdrawn(db).await?;
        Ok::<_, DbErr>(Faults { named, count, withdrawn })
    };
    work.await.map_err(|error| ApiError::internal(&error))
}

/// Asks for a run now; its id. Refused while one is under way or asked for, and
/// while upstream asks for patience.
pub async fn trigger(market: &MarketplaceHandle, actor: &str) -> ApiResult<String> {
    require(market)?;
    let now = market.clock.now().millis();
    let settings = &market.settings;
    let asked = change(market, actor, "sync.trigger", json!({}), |row| {
        patience::refuse(settings, row.asked_until, Timestamp::from_millis(now))?;
        if row.status == Status::Syncing || row.requested_at.is_some() {
            let message = "a synchronisation is under way";
            return Err(ApiError::new(ErrorCode::SyncInProgress, message));
        }
        request(row, now);
        Ok(())
    });
    let row = asked.await?;
    market.hint(|hints| hints.work.hasten(Work::Run, Instant::now()));
    Ok(row.run_id.unwrap_or_default())
}

/// Changes strategy or interval at run time; the state after it.
pub async fn configure(
    market: &MarketplaceHandle,
    actor: &str,
    wanted: Change,
) -> ApiResult<sync_state::Model> {
    let detail = json!({
        "strategy": wanted.strategy.map(Strategy::as_str),
        "interval_s": wanted.interval_s,
    });
    let row = change(market, actor, "sync.config", detail, |row| {
        if let Some(strategy) = wanted.strategy {
            row.strategy = Some(strategy.as_str().to_owned());
        }
        if let Some(interval_s) = wanted.interval_s {
            row.interval_s = Some(i64::from(interval_s));
        }
        Ok(())
    });
    let row = row.await?;
    market.hint(|hints| hints.work.hasten(Work::Run, Instant::now()));
    Ok(row)
}

/// Lets the socket be used, or not; the state after it.
pub async fn enable_socket(
    market: &MarketplaceHandle,
    actor: &str,
    is_enabled: bool,
) -> ApiResult<sync_state::Model> {
    let action = if is_enabled { "socket.enable" } else { "socket.disable" };
    let row = change(market, actor, action, json!({}), |row| {
        row.socket_enabled = is_enabled;
        row.fallback_to_polling = !is_enabled;
        row.next_attempt_at = None;
        row.socket_failures = 0;
        Ok(())
    });
    let row = row.await?;
    market.hint(|hints| hints.socket.notify_one());
    Ok(row)
}

/// Brings the socket up anew, also where it was given up for a while.
pub async fn reconnect_socket(market: &MarketplaceHandle, actor: &str) -> ApiResult<()> {
    require(market)?;
    let now = market.clock.now().millis();
    let settings = &market.settings;
    let asked = change(market, actor, "socket.reconnect", json!({}), |row| {
        if !row.socket_enabled {
            let message = "the socket is disabled; enable it first";
            return Err(ApiError::new(ErrorCode::ConflictState, message));
        }
        patience::refuse(settings, row.asked_until, Timestamp::from_millis(now))?;
        row.fallback_to_polling = false;
        row.next_attempt_at = None;
        row.socket_failures = 0;
        row.reconnect_requested_at = Some(now);
        Ok(())
    });
    asked.await?;
    market.hint(|hints| hints.socket.notify_one());
    Ok(())
}

/// Uploads ratings now, also those that wait after a failure: the operator may
/// know that it is over. Refused while upstream asks for patience. How many wait
/// in all.
pub async fn upload_ratings(market: &MarketplaceHandle, actor: &str) -> ApiResult<u64> {
    require(market)?;
    let now = market.clock.now().millis();
    let asked = market.store.write_unless_refused(|tx| async move {
        let mut sync = store::sync_state::lock(&tx).await?;
        let (settings, at) = (&market.settings, Timestamp::from_millis(now));
        if let Err(refused) = patience::refuse(settings, sync.asked_until, at) {
            return Ok(Err(refused));
        }
        sync.ratings_requested_at = Some(now);
        store::sync_state::write(&tx, sync).await?;
        store::rating::bring_forward(&tx, now).await?;
        let subject = store::sync_state::MARKETPLACE;
        audit(&tx, now, actor, "ratings.upload", subject, &json!({})).await?;
        store::rating::count(&tx, UploadState::Pending).await.map(Ok)
    });
    let waiting = asked.await??;
    market.hint(|hints| hints.work.hasten(Work::Ratings, Instant::now()));
    Ok(waiting)
}

/// Uploads a dead letter again; the rating after it.
pub async fn retry_rating(
    market: &MarketplaceHandle,
    actor: &str,
    id: &str,
) -> ApiResult<skill_rating::Model> {
    require(market)?;
    let now = market.clock.now().millis();
    let retried = market.store.write_unless_refused(|tx| async move {
        let mut sync = store::sync_state::lock(&tx).await?;
        let found = store::rating::lock_by_id(&tx, id)
            .await?
            .filter(|row| row.state == UploadState::Failed);
        let Some(mut row) = found else {
            let message = "there is no such dead letter";
            return Ok(Err(ApiError::new(ErrorCode::NotFound, message)));
        };
        row.state = UploadState::Pending;
        row.retry_count = 0;
        row.due_at = now;
        store::rating::upsert(&tx, row.clone()).await?;
        sync.ratings_requested_at = Some(now);
        store::sync_state::write(&tx, sync).await?;
        audit(&tx, now, actor, "rating.retry", &format!("rating:{id}"), &json!({})).await?;
        Ok(Ok(row))
    });
    let row = retried.await??;
    market.hint(|hints| hints.work.hasten(Work::Ratings, Instant::now()));
    Ok(row)
}

fn require(market: &MarketplaceHandle) -> ApiResult<()> {
    if market.is_on() {
        return Ok(());
    }
    Err(ApiError::new(ErrorCode::NotSupported, "no marketplace is configured"))
}

/// Changes the sync state and notes who did it, together.
async fn change(
    market: &MarketplaceHandle,
    actor: &str,
    action: &str,
    detail: Value,
    change: impl Fn(&mut sync_state::Model) -> ApiResult<()> + Send + Sync,
) -> ApiResult<sync_state::Model> {
    let now = market.clock.now().millis();
    let (change, detail) = (&change, &detail);
    let changed = market.store.write_unless_refused(|tx| async move {
        let mut row = store::sync_state::lock(&tx).await?;
        if let Err(refused) = change(&mut row) {
            return Ok(Err(refused));
        }
        store::sync_state::write(&tx, row.clone()).await?;
        audit(&tx, now, actor, action, store::sync_state::MARKETPLACE, detail).await?;
        Ok(Ok(row))
    });
    changed.await?
}

async fn audit(
    tx: &Transaction,
    at: i64,
    actor: &str,
    action: &str,
    subject: &str,
    detail: &Value,
) -> Result<(), DbErr> {
    let row = audit_log::Model {
        id: Uuid::now_v7().to_string(),
        at,
        actor: actor.to_owned(),
        action: action.to_owned(),
        subject: subject.to_owned(),
        detail: Some(detail.to_string()),
    };
    store::audit::insert(tx, vec![row]).await
}
