//! Devices and what they have acked.

use std::collections::HashMap;

use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseBackend, DbErr, EntityTrait, IdenStatic,
    Iterable, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};
use sha2::{Digest as _, Sha256};
use tidegate_entity::{device, device_cursor};
use tidegate_protocol::command::PushProvider;
use tidegate_protocol::rest::PushState;

use crate::limits::CLOCK_SKEW;
use crate::store::bulk::{KEYS_PER_STATEMENT, in_pairs, insert_rows, one_of, packed};
use crate::store::order::Place;
use crate::store::write::Transaction;

mod table;

pub use table::Wanted;

/// One device of a user.
pub async fn get(
    db: &impl ConnectionTrait,
    user_id: &str,
    device_id: &str,
) -> Result<Option<device::Model>, DbErr> {
    device::Entity::find_by_id((user_id.to_owned(), device_id.to_owned())).one(db).await
}

/// All devices of these users.
pub async fn of_users(
    db: &impl ConnectionTrait,
    users: &[String],
) -> Result<Vec<device::Model>, DbErr> {
    select(db, users, |query| query).await
}

/// As [`of_users`], keeping other writers away until the transaction ends:
/// rows are written back whole, and a push token that was ended meanwhile must
/// not come back.
pub async fn lock_of_users(
    db: &Transaction,
    users: &[String],
) -> Result<Vec<device::Model>, DbErr> {
    db.locks(Place::Device);
    select(db, users, QuerySelect::lock_exclusive).await
}

async fn select(
    db: &impl ConnectionTrait,
    users: &[String],
    with: fn(Select<device::Entity>) -> Select<device::Entity>,
) -> Result<Vec<device::Model>, DbErr> {
    let mut found = Vec::new();
    for chunk in users.chunks(KEYS_PER_STATEMENT) {
        let query = device::Entity::find()
            .filter(one_of(db, device::Column::UserId, chunk.iter().map(String::as_str)))
            .order_by_asc(device::Column::UserId)
            .order_by_asc(device::Column::DeviceId);
        found.extend(with(query).all(db).await?);
    }
    Ok(found)
}

/// Which of these devices exist, and when they were seen.
pub async fn existing(
    db: &impl ConnectionTrait,
    devices: &[DeviceKey],
) -> Result<HashMap<DeviceKey, i64>, DbErr> {
    use device::Column;
    const COLUMNS: [Column; 3] = [Column::UserId, Column::DeviceId, Column::LastSeenAt];
    let mut found = HashMap::new();
    for chunk in devices.chunks(KEYS_PER_STATEMENT) {
        let of_devices = in_pairs(db, [Column::UserId, Column::DeviceId], pairs(chunk));
        let mut query = device::Entity::find().select_only().columns(COLUMNS).filter(of_devices);
        let rows: Vec<(String, String, i64)> = match db.get_database_backend() {
            DatabaseBackend::Sqlite => {
                let select = std::mem::take(QuerySelect::query(&mut query));
                packed(db, select, COLUMNS.map(|column| column.as_str())).await?
            }
            _ => query.into_tuple().all(db).await?,
        };
        found.extend(
            rows.into_iter()
                .map(|(user_id, device_id, seen_at)| (DeviceKey { user_id, device_id }, seen_at)),
        );
    }
    Ok(found)
}

/// A user's devices after an id, in id order.
pub async fn page(
    db: &impl ConnectionTrait,
    user_id: &str,
    after: &str,
    limit: u64,
) -> Result<Vec<device::Model>, DbErr> {
    device::Entity::find()
        .filter(device::Column::UserId.eq(user_id))
        .filter(device::Column::DeviceId.gt(after))
        .order_by_asc(device::Column::DeviceId)
        .limit(limit)
        .all(db)
        .await
}

/// How many devices there are, for operators.
pub async fn count(db: &impl ConnectionTrait) -> Result<u64, DbErr> {
    device::Entity::find().count(db).await
}

/// Writes new and changed devices.
pub async fn upsert(db: &impl ConnectionTrait, rows: Vec<device::Model>) -> Result<(), DbErr> {
    use device::Column;
    let fixed = [Column::UserId, Column::DeviceId, Column::CreatedAt];
    let changeable = Column::iter()
        .filter(|column| !fixed.iter().any(|fixed| fixed.as_str() == column.as_str()));
    let keys = [Column::UserId, Column::DeviceId];
    let on_conflict = OnConflict::columns(keys).update_columns(changeable).to_owned();
    insert_rows(db, rows.into_iter().map(device::ActiveModel::from), Some(&on_conflict)).await
}

/// What a push token is found by.
pub fn token_hash(token: &str) -> String {
    format!("{:x}", Sha256::digest(token))
}

/// A push token and the device that holds it.
#[derive(Clone, Debug)]
pub struct TokenOwner {
    /// The token.
    pub token: String,
    /// Its provider.
    pub provider: PushProvider,
    /// Whose device.
    pub user_id: String,
    /// The device.
    pub device_id: String,
}

/// Ends a device's push token, unless it has another one by now, and keeps why.
/// The device stays: it still polls.
pub async fn end_token(
    db: &impl ConnectionTrait,
    owner: &TokenOwner,
    reason: &str,
) -> Result<u64, DbErr> {
    use device::Column;
    let ended = device::Entity::update_many()
        .col_expr(Column::PushToken, Expr::value(Option::<String>::None))
        .col_expr(Column::PushTokenHash, Expr::value(Option::<String>::None))
        .col_expr(Column::PushState, Expr::value(PushState::Invalid))
        .col_expr(Column::PushError, Expr::value(Some(reason)))
        .filter(Column::UserId.eq(owner.user_id.as_str()))
        .filter(Column::DeviceId.eq(owner.device_id.as_str()))
        .filter(Column::PushToken.eq(owner.token.as_str()))
        .exec(db)
        .await?;
    Ok(ended.rows_affected)
}

/// Devices whose token was not refreshed since `before`.
pub async fn not_refreshed_since(
    db: &impl ConnectionTrait,
    before: i64,
    limit: u64,
) -> Result<Vec<DeviceKey>, DbErr> {
    use device::Column;
    let query = device::Entity::find()
        .filter(Column::PushState.eq(PushState::Active))
        .filter(Column::PushRefreshedAt.lt(before));
    keys_of(query, db, limit).await
}

/// Marks the tokens of these as stale, unless they were refreshed meanwhile.
pub async fn mark_stale(
    db: &impl ConnectionTrait,
    devices: &[DeviceKey],
    before: i64,
) -> Result<(), DbErr> {
    use device::Column;
    for chunk in devices.chunks(KEYS_PER_STATEMENT) {
        device::Entity::update_many()
            .col_expr(Column::PushState, Expr::value(PushState::Stale))
            .filter(in_pairs(db, [Column::UserId, Column::DeviceId], pairs(chunk)))
            .filter(Column::PushState.eq(PushState::Active))
            .filter(Column::PushRefreshedAt.lt(before))
            .exec(db)
            .await?;
    }
    Ok(())
}

async fn keys_of(
    query: Select<device::Entity>,
    db: &impl ConnectionTrait,
    limit: u64,
) -> Result<Vec<DeviceKey>, DbErr> {
    use device::Column;
    let query = query.select_only().column(Column::UserId).column(Column::DeviceId);
    let rows: Vec<(String, String)> = query.limit(limit).into_tuple().all(db).await?;
    Ok(rows.into_iter().map(|(user_id, device_id)| DeviceKey { user_id, device_id }).collect())
}

/// A device of a user.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceKey {
    /// Whose.
    pub user_id: String,
    /// Which.
    pub device_id: String,
}

/// Keys as pairs of texts.
pub(super) fn pairs(keys: &[DeviceKey]) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
    keys.iter().map(|key| (key.user_id.as_str(), key.device_id.as_str()))
}

/// Notes that devices were seen. A time before stays, unless it lies so far
/// ahead that the clock was wrong.
pub async fn touch(db: &impl ConnectionTrait, devices: &[DeviceKey], at: i64) -> Result<(), DbErr> {
    use device::Column;
    for chunk in devices.chunks(KEYS_PER_STATEMENT) {
        device::Entity::update_many()
            .col_expr(Column::LastSeenAt, Expr::value(at))
            .filter(in_pairs(db, [Column::UserId, Column::DeviceId], pairs(chunk)))
            // Not the bare column: its index would find every device there is.
            .filter(
                Condition::any()
                    .add(Expr::col(Column::LastSeenAt).add(0).lt(at))
                    .add(Expr::col(Column::LastSeenAt).add(0).gt(skewed(at))),
            )
            .exec(db)
            .await?;
    }
    Ok(())
}

/// Later than a node whose clock is a little ahead can have written at that
/// time.
pub fn skewed(at: i64) -> i64 {
    at.saturating_add(i64::try_from(CLOCK_SKEW.as_millis()).unwrap_or(i64::MAX))
}

/// Removes a device; what it acked is removed by [`remove_cursors`].
pub async fn remove(db: &impl ConnectionTrait, key: &DeviceKey) -> Result<(), DbErr> {
    device::Entity::delete_by_id((key.user_id.clone(), key.device_id.clone())).exec(db).await?;
    Ok(())
}

/// Forgets what devices that are gone have acked.
pub async fn remove_cursors(db: &impl ConnectionTrait, devices: &[DeviceKey]) -> Result<(), DbErr> {
    use device_cursor::Column;
    for chunk in devices.chunks(KEYS_PER_STATEMENT) {
        device_cursor::Entity::delete_many()
            .filter(in_pairs(db, [Column::UserId, Column::DeviceId], pairs(chunk)))
            .exec(db)
            .await?;
    }
    Ok(())
}

/// Devices not seen since `before`.
pub async fn unseen_since(
    db: &impl ConnectionTrait,
    before: i64,
    limit: u64,
) -> Result<Vec<DeviceKey>, DbErr> {
    let query = device::Entity::find().filter(device::Column::LastSeenAt.lt(before));
    keys_of(query, db, limit).await
}

/// Cursors by device and stream.
pub type CursorMap = HashMap<(DeviceKey, String), device_cursor::Model>;

/// What these devices have acked.
pub async fn cursors(db: &impl ConnectionTrait, devices: &[DeviceKey]) -> Result<CursorMap, DbErr> {
    use device_cursor::Column;
    let mut found = CursorMap::new();
    for chunk in devices.chunks(KEYS_PER_STATEMENT) {
        let of_devices = in_pairs(db, [Column::UserId, Column::DeviceId], pairs(chunk));
        let query = device_cursor::Entity::find().filter(of_devices);
        for row in query.all(db).await? {
            let key = DeviceKey { user_id: row.user_id.clone(), device_id: row.device_id.clone() };
            found.insert((key, row.stream.clone()), row);
        }
    }
    Ok(found)
}

/// Moves cursors forward: lower positions of the same epoch change nothing.
pub async fn advance_cursors(
    db: &impl ConnectionTrait,
    rows: Vec<device_cursor::Model>,
) -> Result<(), DbErr> {
    use device_cursor::{ActiveModel, Column, Entity};
    let excluded = |column: Column| Expr::col(("excluded", column));
    let newer = excluded(Column::Seq)
        .gt(Expr::col((Entity, Column::Seq)))
        .or(excluded(Column::Epoch).ne(Expr::col((Entity, Column::Epoch))));
    let on_conflict = OnConflict::columns([Column::UserId, Column::DeviceId, Column::Stream])
        .update_columns([Column::Epoch, Column::Seq, Column::At])
        .action_and_where(newer)
        .to_owned();
    insert_rows(db, rows.into_iter().map(ActiveModel::from), Some(&on_conflict)).await
}
