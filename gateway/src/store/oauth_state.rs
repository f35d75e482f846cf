//! Authorizations that users were sent away for.

use sea_orm::sea_query::Expr;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel as _, QueryFilter,
    QueryOrder, QuerySelect,
};
use tidegate_entity::oauth_state::{Column, Entity, Model};

use crate::store::bulk::{KEYS_PER_STATEMENT, one_of};
use crate::store::order::Place;
use crate::store::write::Transaction;

/// Keeps one; forgets the oldest of the same user and provider beyond `most`.
pub async fn insert(db: &Transaction, row: Model, most: u64) -> Result<(), DbErr> {
    db.locks(Place::OauthState);
    let surplus: Vec<String> = Entity::find()
        .select_only()
        .column(Column::StateHash)
        .filter(Column::UserId.eq(&row.user_id))
        .filter(Column::Provider.eq(&row.provider))
        .order_by_desc(Column::ExpiresAt)
        .order_by_desc(Column::StateHash)
        .offset(most.saturating_sub(1))
        .limit(KEYS_PER_STATEMENT as u64)
        .into_tuple()
        .all(db)
        .await?;
    remove(db, &surplus).await?;
    Entity::insert(row.into_active_model()).exec_without_returning(db).await.map(drop)
}

/// Takes one away: it is good once, whether its time is over or not.
pub async fn take(db: &Transaction, state_hash: &str) -> Result<Option<Model>, DbErr> {
    db.locks(Place::OauthState);
    let query = Entity::find().filter(Column::StateHash.eq(state_hash));
    let Some(row) = query.lock_exclusive().one(db).await? else { return Ok(None) };
    let removed = Entity::delete_by_id(state_hash).exec(db).await?;
    Ok((removed.rows_affected > 0).then_some(row))
}

/// Those whose time is over.
pub async fn expired(
    db: &impl ConnectionTrait,
    now: i64,
    limit: u64,
) -> Result<Vec<String>, DbErr> {
    let query = Entity::find().select_only().column(Column::StateHash);
    query.filter(Column::ExpiresAt.lte(now)).limit(limit).into_tuple().all(db).await
}

/// Forgets some.
pub async fn remove(db: &Transaction, hashes: &[String]) -> Result<(), DbErr> {
    for chunk in hashes.chunks(KEYS_PER_STATEMENT) {
        let these = one_of(db, Column::StateHash, chunk.iter().map(String::as_str));
        Entity::delete_many().filter(these).exec(db).await?;
    }
    Ok(())
}

/// Those with a sealed verifier, after one, in order.
pub async fn sealed(
    db: &impl ConnectionTrait,
    after: &str,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::Verifier.is_not_null())
        .filter(Column::StateHash.gt(after))
        .order_by_asc(Column::StateHash)
        .limit(limit)
        .all(db)
        .await
}

/// Puts another sealed text in the place of the verifier; whether it was there.
pub async fn reseal(
    db: &Transaction,
    state_hash: &str,
    before: &str,
    after: &str,
) -> Result<bool, DbErr> {
    let done = Entity::update_many()
        .col_expr(Column::Verifier, Expr::value(after))
        .filter(Column::StateHash.eq(state_hash))
        .filter(Column::Verifier.eq(before))
        .exec(db)
        .await?;
    Ok(done.rows_affected > 0)
}
