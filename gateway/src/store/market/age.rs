//! When items were confirmed, and what that makes of them.

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter,
    QuerySelect, Select,
};
use tidegate_entity::market_item::{Column, Entity, Kind};

use crate::store::bulk::{KEYS_PER_STATEMENT, one_of};
use crate::store::market::ItemKey;

/// When upstream last confirmed any item of a kind that it has, milliseconds;
/// `None` where it has none.
pub async fn last_confirmed(db: &impl ConnectionTrait, kind: Kind) -> Result<Option<i64>, DbErr> {
    let found: Option<(Option<i64>, Option<i64>)> = Entity::find()
        .select_only()
        .expr(Expr::col(Column::ConfirmedAt).max())
        .expr(Expr::col(Column::ListedAt).max())
        .filter(Column::Kind.eq(kind))
        .filter(Column::Data.is_not_null())
        .filter(Column::RemoteData.is_not_null())
        .into_tuple()
        .one(db)
        .await?;
    Ok(found.and_then(|(confirmed_at, listed_at)| Ord::max(confirmed_at, listed_at)))
}

/// Notes that a listing named these items as they are here. Those that were
/// taken back from devices are left out: they have to be told anew.
pub async fn confirm(
    db: &impl ConnectionTrait,
    kind: Kind,
    ids: &[String],
    at: i64,
) -> Result<(), DbErr> {
    for chunk in ids.chunks(KEYS_PER_STATEMENT) {
        Entity::update_many()
            .col_expr(Column::ListedAt, Expr::value(at))
            .filter(Column::Kind.eq(kind))
            .filter(one_of(db, Column::Id, chunk.iter().map(String::as_str)))
            .filter(Column::RemoteData.is_not_null())
            .filter(Column::Fault.is_null())
            .filter(Column::WithdrawnAt.is_null())
            .filter(Column::ListedAt.lt(at))
            .exec(db)
            .await?;
    }
    Ok(())
}

/// Items that devices hold although upstream has not confirmed them since a
/// time; some of them where there are many.
pub async fn overdue(
    db: &impl ConnectionTrait,
    since: i64,
    limit: u64,
) -> Result<Vec<ItemKey>, DbErr> {
    overdue_since(since)
        .select_only()
        .columns([Column::Kind, Column::Id])
        .limit(limit)
        .into_tuple()
        .all(db)
        .await
}

/// When upstream confirmed the item that it has not confirmed for longest, of
/// those that devices hold; `None` where they hold none of upstream's.
pub async fn oldest_confirmed(db: &impl ConnectionTrait) -> Result<Option<i64>, DbErr> {
    let confirmed = Expr::case(
        Expr::col(Column::ListedAt).gt(Expr::col(Column::ConfirmedAt)),
        Expr::col(Column::ListedAt),
    )
    .finally(Expr::col(Column::ConfirmedAt));
    let found: Option<Option<i64>> = overdue_since(i64::MAX)
        .select_only()
        .expr(Expr::expr(confirmed).min())
        .into_tuple()
        .one(db)
        .await?;
    Ok(found.flatten())
}

fn overdue_since(since: i64) -> Select<Entity> {
    Entity::find()
        .filter(Column::Data.is_not_null())
        .filter(Column::RemoteData.is_not_null())
        .filter(Column::WithdrawnAt.is_null())
        .filter(Column::ConfirmedAt.lt(since))
        .filter(Column::ListedAt.lt(since))
}

/// Makes items confirmed now that were confirmed later than `latest`: that was
/// under a clock that was wrong. The head of the stream is locked, as for every
/// change of items. How many there were.
pub async fn redate(db: &impl ConnectionTrait, now: i64, latest: i64) -> Result<u64, DbErr> {
    let earlier = |column: Column| {
        Expr::case(Expr::col(column).gt(now), Expr::value(now)).finally(Expr::col(column))
    };
    let done = Entity::update_many()
        .col_expr(Column::ConfirmedAt, earlier(Column::ConfirmedAt).into())
        .col_expr(Column::ListedAt, earlier(Column::ListedAt).into())
        .filter(misdated(latest))
        .exec(db)
        .await?;
    Ok(done.rows_affected)
}

/// Whether there is an item for [`redate`].
pub async fn is_any_misdated(db: &impl ConnectionTrait, latest: i64) -> Result<bool, DbErr> {
    let query = Entity::find().select_only().column(Column::Id).filter(misdated(latest));
    let found: Option<String> = query.limit(1).into_tuple().one(db).await?;
    Ok(found.is_some())
}

fn misdated(latest: i64) -> Condition {
    Condition::any().add(Column::ConfirmedAt.gt(latest)).add(Column::ListedAt.gt(latest))
}

/// How many of these items are as a list named them that was asked for at a
/// time: nothing else was heard of them since. What is faulty or was taken back
/// has to be told anew.
pub async fn count_as_listed(
    db: &impl ConnectionTrait,
    kind: Kind,
    ids: &[String],
    as_of: i64,
) -> Result<u64, DbErr> {
    let mut count = 0;
    for chunk in ids.chunks(KEYS_PER_STATEMENT) {
        let query = Entity::find()
            .filter(Column::Kind.eq(kind))
            .filter(one_of(db, Column::Id, chunk.iter().map(String::as_str)))
            .filter(Column::RemoteData.is_not_null())
            .filter(Column::ConfirmedAt.lte(as_of))
            .filter(Column::Fault.is_null())
            .filter(Column::WithdrawnAt.is_null());
        count += query.count(db).await?;
    }
    Ok(count)
}
