//! What webhooks told.

use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveModelTrait as _, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel as _,
    PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
};
use tidegate_entity::webhook_event::{Column, Entity, Model, State};

use crate::store::bulk::{KEYS_PER_STATEMENT, one_of};
use crate::store::order::Place;
use crate::store::write::Transaction;

/// Keeps an event; false where it is there already.
pub async fn insert(db: &Transaction, row: Model) -> Result<bool, DbErr> {
    db.locks(Place::WebhookEvent);
    let known = OnConflict::columns([Column::UserId, Column::Key]).do_nothing().to_owned();
    let insert = Entity::insert(row.into_active_model()).on_conflict(known);
    Ok(insert.exec_without_returning(db).await? > 0)
}

/// How many wait; of one user, or in all.
pub async fn pending_count(db: &impl ConnectionTrait, user_id: Option<&str>) -> Result<u64, DbErr> {
    let query = Entity::find().filter(Column::State.eq(State::Pending));
    match user_id {
        Some(user_id) => query.filter(Column::UserId.eq(user_id)).count(db).await,
        None => query.count(db).await,
    }
}

/// Users and providers with events that are due, those that wait for longest first.
pub async fn due(
    db: &impl ConnectionTrait,
    now: i64,
    limit: u64,
) -> Result<Vec<(String, String)>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::UserId)
        .column(Column::Provider)
        .filter(Column::State.eq(State::Pending))
        .filter(Column::DueAt.lte(now))
        .order_by_asc(Column::DueAt)
        .limit(limit)
        .into_tuple()
        .all(db)
        .await
}

/// The event of a user that is due for longest.
pub async fn first_due(
    db: &impl ConnectionTrait,
    user_id: &str,
    now: i64,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::State.eq(State::Pending))
        .filter(Column::DueAt.lte(now))
        .order_by_asc(Column::DueAt)
        .order_by_asc(Column::ReceivedAt)
        .limit(4)
        .all(db)
        .await
}

/// Writes an event that came again; nothing where it is not any more.
pub async fn renew(db: &Transaction, row: Model) -> Result<(), DbErr> {
    let key = (row.user_id.clone(), row.key.clone());
    let update = Entity::update_many()
        .set(row.into_active_model().reset_all())
        .filter(Column::UserId.eq(key.0))
        .filter(Column::Key.eq(key.1));
    update.exec(db).await.map(drop)
}

/// Writes what came of looking at an event; nothing where it is not any more, or came
/// again meanwhile: what it tells now was not looked at.
pub async fn update(db: &Transaction, row: Model) -> Result<(), DbErr> {
    let (key, received_at) = ((row.user_id.clone(), row.key.clone()), row.received_at);
    let update = Entity::update_many()
        .set(row.into_active_model().reset_all())
        .filter(Column::UserId.eq(key.0))
        .filter(Column::Key.eq(key.1))
        .filter(Column::ReceivedAt.eq(received_at));
    update.exec(db).await.map(drop)
}

/// Puts off everything of a provider that waits, or of one user's there.
pub async fn put_off(
    db: &Transaction,
    provider: &str,
    user_id: Option<&str>,
    now: i64,
    until: i64,
) -> Result<(), DbErr> {
    let mut update = Entity::update_many()
        .col_expr(Column::DueAt, sea_orm::sea_query::Expr::value(until))
        .filter(Column::State.eq(State::Pending))
        .filter(Column::DueAt.lte(now))
        .filter(Column::Provider.eq(provider));
    if let Some(user_id) = user_id {
        update = update.filter(Column::UserId.eq(user_id));
    }
    update.exec(db).await.map(drop)
}

/// Forgets what waits of a user's connection that ended.
pub async fn remove_of(db: &Transaction, user_id: &str, provider: &str) -> Result<(), DbErr> {
    Entity::delete_many()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::Provider.eq(provider))
        .filter(Column::State.eq(State::Pending))
        .exec(db)
        .await
        .map(drop)
}

/// Keys of events that came before a time.
pub async fn before(
    db: &impl ConnectionTrait,
    before: i64,
    limit: u64,
) -> Result<Vec<String>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::Key)
        .filter(Column::ReceivedAt.lt(before))
        .limit(limit)
        .into_tuple()
        .all(db)
        .await
}

/// Forgets events by key that came before a time.
pub async fn remove(db: &Transaction, keys: &[String], before: i64) -> Result<(), DbErr> {
    for chunk in keys.chunks(KEYS_PER_STATEMENT) {
        let these = one_of(db, Column::Key, chunk.iter().map(String::as_str));
        Entity::delete_many().filter(these).filter(Column::ReceivedAt.lt(before)).exec(db).await?;
    }
    Ok(())
}
