//! Rate windows of providers, shared by all nodes.

use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel as _, QueryFilter,
    QueryOrder, QuerySelect,
};
use tidegate_entity::rate_window::{Column, Entity, Model};

use crate::store::bulk::{KEYS_PER_STATEMENT, one_of};
use crate::store::order::Place;
use crate::store::write::Transaction;

/// The windows of a provider that are counted for all users (empty) or for one.
pub async fn of(
    db: &impl ConnectionTrait,
    provider: &str,
    user_id: &str,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::Provider.eq(provider))
        .filter(Column::UserId.eq(user_id))
        .order_by_asc(Column::Name)
        .all(db)
        .await
}

/// The same, locked for the rest of the transaction; those of `fresh` that are not
/// there yet are made.
pub async fn lock(db: &Transaction, fresh: &[Model]) -> Result<Vec<Model>, DbErr> {
    db.locks(Place::RateWindow);
    let Some(first) = fresh.first() else { return Ok(Vec::new()) };
    let find = || {
        Entity::find()
            .filter(Column::Provider.eq(&first.provider))
            .filter(Column::UserId.eq(&first.user_id))
            .order_by_asc(Column::Name)
            .lock_exclusive()
    };
    let found = find().all(db).await?;
    let is_known = |row: &&Model| found.iter().any(|known| known.name == row.name);
    let missing: Vec<_> = fresh.iter().filter(|row| !is_known(row)).collect();
    if missing.is_empty() {
        return Ok(found);
    }
    let known = OnConflict::columns([Column::Provider, Column::UserId, Column::Name])
        .do_nothing()
        .to_owned();
    for row in missing {
        let insert = Entity::insert(row.clone().into_active_model());
        insert.on_conflict(known.clone()).exec_without_returning(db).await?;
    }
    find().all(db).await
}

/// Writes windows, which this transaction has locked.
pub async fn write(db: &Transaction, rows: &[Model]) -> Result<(), DbErr> {
    let known = OnConflict::columns([Column::Provider, Column::UserId, Column::Name])
        .update_columns([Column::EndsAt, Column::Used, Column::Allowed])
        .to_owned();
    for row in rows {
        let insert = Entity::insert(row.clone().into_active_model());
        insert.on_conflict(known.clone()).exec_without_returning(db).await?;
    }
    Ok(())
}

/// Users with windows that ended before a time.
pub async fn ended(
    db: &impl ConnectionTrait,
    before: i64,
    limit: u64,
) -> Result<Vec<String>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::UserId)
        .distinct()
        .filter(Column::EndsAt.lt(before))
        .filter(Column::UserId.ne(""))
        .limit(limit)
        .into_tuple()
        .all(db)
        .await
}

/// Forgets windows of these users that ended before a time.
pub async fn remove(db: &Transaction, user_ids: &[String], before: i64) -> Result<(), DbErr> {
    for chunk in user_ids.chunks(KEYS_PER_STATEMENT) {
        let these = one_of(db, Column::UserId, chunk.iter().map(String::as_str));
        Entity::delete_many().filter(these).filter(Column::EndsAt.lt(before)).exec(db).await?;
    }
    Ok(())
}
