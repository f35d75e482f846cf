//! Journal rows: appended in the caller's transaction, read in order, removed
//! from the old end.

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use tidegate_entity::journal_entry::{ActiveModel, Column, Entity, Model};

use crate::store::bulk::insert_rows;
use crate::store::head;
use crate::store::write::Transaction;

mod page;

pub use page::{CommandState, FirstAttempt, JournalPage, JournalRow, page};

/// Appends entries; their positions were given out in the same transaction. What
/// tells of a command's first attempt is the command's own row: see [`page`].
pub async fn insert(db: &impl ConnectionTrait, rows: Vec<Model>) -> Result<(), DbErr> {
    insert_rows(db, rows.into_iter().map(ActiveModel::from), None).await
}

/// Removes entries up to and including `upto`, at most `limit` positions of
/// them; returns the highest position removed and how many rows went.
pub async fn remove_upto(
    db: &Transaction,
    stream: &str,
    trimmed: i64,
    upto: i64,
    limit: i64,
) -> Result<(i64, u64), DbErr> {
    head::settle(db, &[stream.to_owned()]).await?;
    let bound = Ord::min(upto, trimmed.saturating_add(limit));
    let removed = Entity::delete_many()
        .filter(Column::Stream.eq(stream))
        .filter(Column::Seq.gt(trimmed))
        .filter(Column::Seq.lte(bound))
        .exec(db)
        .await?;
    Ok((bound, removed.rows_affected))
}

/// The time of the first entry from `seq` on.
pub async fn time_from(
    db: &impl ConnectionTrait,
    stream: &str,
    seq: i64,
) -> Result<Option<i64>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::At)
        .filter(Column::Stream.eq(stream))
        .filter(Column::Seq.gte(seq))
        .order_by_asc(Column::Seq)
        .limit(1)
        .into_tuple()
        .one(db)
        .await
}
