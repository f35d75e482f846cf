//! Devices that lag on data and asked to be woken for it.

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, JoinType, Order, QueryFilter,
    QueryOrder, QuerySelect, Select,
};
use tidegate_entity::push_wake::{Column, Entity};
use tidegate_entity::{device, device_cursor, stream_head};

use crate::store::device::{DeviceKey, skewed};
use crate::store::wake::{NEVER, stored};

/// Devices after `after` that asked for wake-ups on data, lag behind a shared
/// stream they follow, were seen since the last such wake-up, and are not to be
/// looked at anyway; in key order, one row for each stream they lack. What is
/// said to have been after `now` was so under a clock that was wrong.
pub async fn devices(
    db: &impl ConnectionTrait,
    after: Option<&DeviceKey>,
    now: i64,
    limit: u64,
) -> Result<Vec<DeviceKey>, DbErr> {
    let last_seen = Expr::col((device::Entity, device::Column::LastSeenAt));
    let mut query = lagging()
        .join(JoinType::LeftJoin, wakes_of_device())
        .filter(stored(Column::DueAt).is_null().or(stored(Column::DueAt).eq(NEVER)))
        .filter(
            Condition::any()
                .add(stored(Column::DeltaSentAt).is_null())
                .add(
                    stored(Column::DeltaSentAt)
                        .lt(last_seen.clone())
                        .and(last_seen.lte(skewed(now))),
                )
                .add(stored(Column::DeltaSentAt).gt(now)),
        )
        .order_by(device::Column::UserId, Order::Asc)
        .order_by(device::Column::DeviceId, Order::Asc)
        .limit(limit);
    if let Some(after) = after {
        let (user_id, device_id) = (after.user_id.as_str(), after.device_id.as_str());
        query =
            query.filter(device::Column::UserId.gt(user_id).or(
                device::Column::UserId.eq(user_id).and(device::Column::DeviceId.gt(device_id)),
            ));
    }
    let rows: Vec<(String, String, String, i64)> = query.into_tuple().all(db).await?;
    Ok(rows.into_iter().map(|(user_id, device_id, ..)| DeviceKey { user_id, device_id }).collect())
}

/// A shared stream that this device asked to be woken for and lacks, with that
/// stream's head.
pub async fn of(
    db: &impl ConnectionTrait,
    key: &DeviceKey,
) -> Result<Option<(String, i64)>, DbErr> {
    let row: Option<(String, String, String, i64)> = lagging()
        .filter(device::Column::UserId.eq(key.user_id.as_str()))
        .filter(device::Column::DeviceId.eq(key.device_id.as_str()))
        .order_by_asc(device_cursor::Column::Stream)
        .limit(1)
        .into_tuple()
        .one(db)
        .await?;
    Ok(row.map(|(_, _, stream, head)| (stream, head)))
}

fn lagging() -> Select<device::Entity> {
    device::Entity::find()
        .select_only()
        .column(device::Column::UserId)
        .column(device::Column::DeviceId)
        .column_as(Expr::col((device_cursor::Entity, device_cursor::Column::Stream)), "stream")
        .column_as(Expr::col((stream_head::Entity, stream_head::Column::Seq)), "head")
        .join(JoinType::InnerJoin, cursors_of_device())
        .join(JoinType::InnerJoin, heads_of_cursor())
        .filter(device::Column::WantsDeltaPush.eq(true))
        .filter(device::Column::PushToken.is_not_null())
        .filter(device_cursor::Column::Stream.not_like("user:%"))
        .filter(
            Expr::col((stream_head::Entity, stream_head::Column::Seq))
                .gt(Expr::col((device_cursor::Entity, device_cursor::Column::Seq))),
        )
}

fn cursors_of_device() -> sea_orm::RelationDef {
    use device_cursor::Column as Cursor;
    device::Entity::belongs_to(device_cursor::Entity)
        .from((device::Column::UserId, device::Column::DeviceId))
        .to((Cursor::UserId, Cursor::DeviceId))
        .into()
}

fn heads_of_cursor() -> sea_orm::RelationDef {
    use device_cursor::Column as Cursor;
    device_cursor::Entity::belongs_to(stream_head::Entity)
        .from((Cursor::Stream, Cursor::Epoch))
        .to((stream_head::Column::Stream, stream_head::Column::Epoch))
        .into()
}

fn wakes_of_device() -> sea_orm::RelationDef {
    device::Entity::belongs_to(Entity)
        .from((device::Column::UserId, device::Column::DeviceId))
        .to((Column::UserId, Column::DeviceId))
        .into()
}
