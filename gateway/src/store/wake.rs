//! Wake-ups by push: wanted in the transaction of what waits, claimed by one
//! node at a time, settled with what came of them.

use std::collections::BTreeMap;

use sea_orm::sea_query::{CaseStatement, Expr, ExprTrait, LockBehavior, LockType, OnConflict};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseBackend, DbErr, EntityTrait, Iterable,
    QueryFilter, QueryOrder, QuerySelect,
};
use tidegate_entity::push_wake::{ActiveModel, Column, Entity, Model};

use crate::store::bulk::{KEYS_PER_STATEMENT, in_pairs, insert_rows};
use crate::store::device::{DeviceKey, pairs};

pub mod lag;
mod table;

/// Nothing is to be done.
pub const NEVER: i64 = i64::MAX;

/// A wake-up that something committed wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedWake {
    /// The device.
    pub device: DeviceKey,
    /// When, at the earliest.
    pub due_at: i64,
    /// Why.
    pub cause: Cause,
    /// Pushes in a new device's bucket, in thousandths.
    pub bucket_milli: i64,
}

/// Why a device is to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// A command waits. It gets its own wake-up and repeat, also where one
    /// was under way or had its share.
    Command,
    /// The device registered another token: what held back the old one is
    /// over, a send to it under way included.
    Token,
    /// The device lags on data: only a look. What commands are due to is
    /// untouched.
    Data,
}

/// Notes wake-ups. One that is due sooner stays so; what holds a device back
/// (`not_before`) keeps doing so.
///
/// Rows are locked in the order of their keys, as [`settle`] does. What a
/// statement does with a row that is there depends on the cause, so that each
/// run of one cause is a statement.
pub async fn want(db: &impl ConnectionTrait, wanted: &[WantedWake], now: i64) -> Result<(), DbErr> {
    for run in in_runs(wanted, db.get_database_backend()).chunk_by(|a, b| a.cause == b.cause) {
        let rows = run.iter().map(|wake| new_row(wake, now));
        insert_rows(db, rows, Some(&on_wanted(run[0].cause))).await?;
    }
    Ok(())
}

/// In the order in which they are written. SQLite locks no rows: there the
/// causes need a statement each at most.
fn in_runs(wanted: &[WantedWake], backend: DatabaseBackend) -> Vec<&WantedWake> {
    let mut sorted: Vec<&WantedWake> = wanted.iter().collect();
    match backend {
        DatabaseBackend::Sqlite => sorted.sort_by_key(|wake| wake.cause),
        _ => sorted.sort_by(|a, b| a.device.cmp(&b.device)),
    }
    sorted
}

fn new_row(wake: &WantedWake, now: i64) -> ActiveModel {
    ActiveModel::from(Model {
        user_id: wake.device.user_id.clone(),
        device_id: wake.device.device_id.clone(),
        due_at: wake.due_at,
        not_before: 0,
        wanted: 1,
        failures: 0,
        refusals: 0,
        repeats: 0,
        delta_sent_at: None,
        bucket_milli: wake.bucket_milli,
        bucket_at: now,
        claimed_by: None,
        claimed_until: 0,
        claim: 0,
    })
}

fn stored(column: Column) -> Expr {
    Expr::col((Entity, column))
}

fn new(column: Column) -> Expr {
    Expr::col(("excluded", column))
}

/// The larger of two; SQLite's `MAX` and PostgreSQL's `GREATEST` differ.
fn later(a: Expr, b: Expr) -> CaseStatement {
    CaseStatement::new().case(a.clone().gt(b.clone()), a).finally(b)
}

fn on_wanted(cause: Cause) -> OnConflict {
    let sooner = CaseStatement::new()
        .case(
            new(Column::DueAt).lt(stored(Column::DueAt)),
            later(new(Column::DueAt), stored(Column::NotBefore)),
        )
        .finally(stored(Column::DueAt));
    let more = stored(Column::Wanted).add(1);
    let mut on_conflict = OnConflict::columns([Column::UserId, Column::DeviceId]);
    match cause {
        Cause::Command => on_conflict
            .value(Column::DueAt, sooner)
            .value(Column::Wanted, more)
            .value(Column::Repeats, 0),
        Cause::Token => on_conflict
            .value(Column::DueAt, new(Column::DueAt))
            .value(Column::NotBefore, 0)
            .value(Column::Wanted, more)
            .value(Column::Failures, 0)
            .value(Column::Refusals, 0)
            .value(Column::Repeats, 0)
            .value(Column::Claim, stored(Column::Claim).add(1))
            .value(Column::ClaimedUntil, 0),
        Cause::Data => on_conflict.value(Column::DueAt, sooner),
    };
    on_conflict
}

/// Whose claim, and until when.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    /// The node.
    pub node: &'a str,
    /// Now.
    pub now: i64,
    /// The end of the claim.
    pub until: i64,
    /// Later than any claim can end now.
    pub longest: i64,
}

/// Whether nobody has claimed it: a claim that ends later than any can was
/// made under a clock that was wrong, and has ended.
fn unclaimed(now: i64, longest: i64) -> Condition {
    Condition::any().add(Column::ClaimedUntil.lte(now)).add(Column::ClaimedUntil.gt(longest))
}

/// Takes at most `limit` wake-ups that are due, for one node: nobody else sees
/// them until the claim ends. A claim that was not settled in time is due again
/// by itself.
///
/// Each is stored as `charge` leaves it and given as it was before: settling
/// what was not sent gives it back, and a node that is killed has paid.
pub async fn claim(
    db: &impl ConnectionTrait,
    claim: Claim<'_>,
    limit: u64,
    charge: impl Fn(&mut Model),
) -> Result<Vec<Model>, DbErr> {
    let Claim { node, now, until, .. } = claim;
    let due = Entity::find()
        .filter(Column::DueAt.lte(now))
        .filter(unclaimed(now, claim.longest))
        .order_by_asc(Column::DueAt)
        .limit(limit)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .all(db)
        .await?;
    let claimed: Vec<Model> = due
        .into_iter()
        .map(|row| Model {
            claimed_by: Some(node.to_owned()),
            claimed_until: until,
            claim: row.claim + 1,
            ..row
        })
        .collect();
    let on_conflict = OnConflict::columns([Column::UserId, Column::DeviceId])
        .update_columns([
            Column::ClaimedBy,
            Column::ClaimedUntil,
            Column::Claim,
            Column::BucketMilli,
            Column::BucketAt,
        ])
        .to_owned();
    let charged = |row: &Model| {
        let mut row = row.clone();
        charge(&mut row);
        ActiveModel::from(row)
    };
    let rows: Vec<ActiveModel> = claimed.iter().map(charged).collect();
    insert_rows(db, rows.into_iter(), Some(&on_conflict)).await?;
    Ok(claimed)
}

/// Settles claimed wake-ups. A claim that was lost meanwhile changes nothing;
/// a wake-up wanted meanwhile is due as soon as the device may be sent to.
///
/// Rows are locked in the order in which the writer writes them, so that the
/// two cannot wait for each other.
pub async fn settle(db: &impl ConnectionTrait, rows: Vec<Model>) -> Result<(), DbErr> {
    let mut newest: BTreeMap<DeviceKey, Model> = BTreeMap::new();
    for row in rows {
        let key = DeviceKey { user_id: row.user_id.clone(), device_id: row.device_id.clone() };
        // No statement may touch a row twice.
        if newest.get(&key).is_none_or(|known| known.claim < row.claim) {
            newest.insert(key, row);
        }
    }
    let mut left = Vec::new();
    for key in lock(db, newest.keys()).await? {
        left.extend(newest.remove(&key));
    }
    insert_rows(db, left.into_iter().map(ActiveModel::from), Some(&on_settled())).await
}

/// Those of these wake-ups that still exist, locked: a device that was removed
/// meanwhile must not leave a row.
async fn lock(
    db: &impl ConnectionTrait,
    devices: impl Iterator<Item = &DeviceKey>,
) -> Result<Vec<DeviceKey>, DbErr> {
    let keys: Vec<DeviceKey> = devices.cloned().collect();
    let mut found = Vec::new();
    for chunk in keys.chunks(KEYS_PER_STATEMENT) {
        let rows: Vec<(String, String)> = Entity::find()
            .select_only()
            .column(Column::UserId)
            .column(Column::DeviceId)
            .filter(in_pairs(db, [Column::UserId, Column::DeviceId], pairs(chunk)))
            .order_by_asc(Column::UserId)
            .order_by_asc(Column::DeviceId)
            .lock_exclusive()
            .into_tuple()
            .all(db)
            .await?;
        found.extend(rows.into_iter().map(|(user_id, device_id)| DeviceKey { user_id, device_id }));
    }
    Ok(found)
}

fn on_settled() -> OnConflict {
    let more_came = stored(Column::Wanted).ne(new(Column::Wanted));
    let due = CaseStatement::new()
        .case(more_came.clone(), new(Column::NotBefore))
        .finally(new(Column::DueAt));
    let repeats = CaseStatement::new().case(more_came, 0).finally(new(Column::Repeats));
    let plain = Column::iter().filter(|column| {
        matches!(
            column,
            Column::NotBefore
                | Column::Failures
                | Column::Refusals
                | Column::DeltaSentAt
                | Column::BucketMilli
                | Column::BucketAt
                | Column::ClaimedBy
                | Column::ClaimedUntil
        )
    });
    OnConflict::columns([Column::UserId, Column::DeviceId])
        .value(Column::DueAt, due)
        .value(Column::Repeats, repeats)
        .update_columns(plain)
        .action_and_where(stored(Column::Claim).eq(new(Column::Claim)))
        .to_owned()
}

/// Ends the claims of a node that was killed and has come back.
pub async fn retake(db: &impl ConnectionTrait, node: &str) -> Result<u64, DbErr> {
    let ended = Entity::update_many()
        .col_expr(Column::ClaimedUntil, Expr::value(0))
        .filter(Column::ClaimedBy.eq(node))
        .filter(Column::ClaimedUntil.gt(0))
        .exec(db)
        .await?;
    Ok(ended.rows_affected)
}

/// Makes wake-ups due now that are due later than `latest`, which nothing asks
/// for: they were written under a clock that was wrong. At most `limit`; how
/// many there were. Those in somebody's hands are left for the next time.
pub async fn redate(
    db: &impl ConnectionTrait,
    now: i64,
    latest: i64,
    limit: u64,
) -> Result<u64, DbErr> {
    let found: Vec<(String, String)> = Entity::find()
        .select_only()
        .column(Column::UserId)
        .column(Column::DeviceId)
        .filter(misdated(latest))
        .limit(limit)
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .into_tuple()
        .all(db)
        .await?;
    let mut redated = 0;
    for chunk in found.chunks(KEYS_PER_STATEMENT) {
        let keys = chunk.iter().map(|(user_id, device_id)| (user_id.as_str(), device_id.as_str()));
        let done = Entity::update_many()
            .col_expr(Column::DueAt, Expr::value(now))
            .col_expr(Column::NotBefore, Expr::value(now))
            .filter(in_pairs(db, [Column::UserId, Column::DeviceId], keys))
            .exec(db)
            .await?;
        redated += done.rows_affected;
    }
    Ok(redated)
}

/// Whether there is a wake-up for [`redate`].
pub async fn is_any_misdated(db: &impl ConnectionTrait, latest: i64) -> Result<bool, DbErr> {
    let query = Entity::find().select_only().column(Column::DueAt).filter(misdated(latest));
    let found: Option<i64> = query.limit(1).into_tuple().one(db).await?;
    Ok(found.is_some())
}

fn misdated(latest: i64) -> Condition {
    Condition::all().add(Column::DueAt.gt(latest)).add(Column::DueAt.lt(NEVER))
}

/// When the next look is due, among wake-ups that nobody has claimed. No claim
/// can end later than `longest`.
pub async fn next_due(
    db: &impl ConnectionTrait,
    now: i64,
    longest: i64,
) -> Result<Option<i64>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::DueAt)
        .filter(unclaimed(now, longest))
        .order_by_asc(Column::DueAt)
        .limit(1)
        .into_tuple()
        .one(db)
        .await
}

/// Forgets the wake-ups of devices that are gone.
pub async fn remove(db: &impl ConnectionTrait, devices: &[DeviceKey]) -> Result<(), DbErr> {
    for chunk in devices.chunks(KEYS_PER_STATEMENT) {
        Entity::delete_many()
            .filter(in_pairs(db, [Column::UserId, Column::DeviceId], pairs(chunk)))
            .exec(db)
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wake(user_id: &str, cause: Cause) -> WantedWake {
        let device = DeviceKey { user_id: user_id.to_owned(), device_id: "phone".to_owned() };
        WantedWake { device, due_at: 0, cause, bucket_milli: 0 }
    }

    /// Another transaction settles the rows in the order of their keys.
    #[test]
    fn rows_are_written_in_the_order_of_their_keys() {
        let wanted = [
            wake("u3", Cause::Token),
            wake("u1", Cause::Command),
            wake("u4", Cause::Command),
            wake("u2", Cause::Token),
        ];
        let users = |backend| -> Vec<String> {
            let sorted = in_runs(&wanted, backend);
            sorted.into_iter().map(|wake| wake.device.user_id.clone()).collect()
        };
        assert_eq!(users(DatabaseBackend::Postgres), ["u1", "u2", "u3", "u4"]);
        assert_eq!(users(DatabaseBackend::Sqlite), ["u1", "u4", "u3", "u2"]);
    }
}
