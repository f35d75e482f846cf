//! Skills and categories of the marketplace.

use sea_orm::sea_query::{Expr, ExprTrait, LikeExpr, OnConflict};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect, Select,
};
use tidegate_entity::market_item::{ActiveModel, Column, Entity, Fault, Kind, Model};

use crate::store::bulk::{KEYS_PER_STATEMENT, in_pairs, insert_rows, one_of};
use crate::store::later;
use crate::store::portion::{Portion, Portioned};

mod age;
pub mod shown;
mod table;

pub use table::{Confirmed, Listings};

pub use age::{
    confirm, count_as_listed, is_any_misdated, last_confirmed, oldest_confirmed, overdue, redate,
};

/// Names an item: its kind and its id.
pub type ItemKey = (Kind, String);

/// These items, deleted ones included. The head of the stream is locked by
/// the transaction that changes them, which keeps other writers away.
pub async fn load(db: &impl ConnectionTrait, keys: &[ItemKey]) -> Result<Vec<Model>, DbErr> {
    let mut found = Vec::new();
    for chunk in keys.chunks(KEYS_PER_STATEMENT) {
        found.extend(these(db, chunk).all(db).await?);
    }
    Ok(found)
}

fn these(db: &impl ConnectionTrait, keys: &[ItemKey]) -> Select<Entity> {
    let pairs = keys.iter().map(|(kind, id)| (kind.as_str(), id.as_str()));
    Entity::find()
        // All items are of one of two kinds.
        .filter(one_of(db, Column::Id, keys.iter().map(|(_, id)| id.as_str())))
        .filter(in_pairs(db, [Column::Kind, Column::Id], pairs))
}

/// What a local edit left on an item.
#[derive(Clone, Debug)]
pub struct Edited {
    /// Everybody whose edit is in it.
    pub editors: Vec<String>,
    /// The open conflict about it.
    pub conflict_id: Option<String>,
}

/// The columns of [`Edited`]: the newest editor, all of them, the conflict.
type EditedRow = (Option<String>, Option<String>, Option<String>);

/// Those of these items that were edited here, without what they hold.
pub async fn edited(db: &impl ConnectionTrait, keys: &[ItemKey]) -> Result<Vec<Edited>, DbErr> {
    let is_edited = Condition::any()
        .add(Column::EditedBy.is_not_null())
        .add(Column::Editors.is_not_null())
        .add(Column::ConflictId.is_not_null());
    let mut found = Vec::new();
    for chunk in keys.chunks(KEYS_PER_STATEMENT) {
        let rows: Vec<EditedRow> = these(db, chunk)
            .select_only()
            .columns([Column::EditedBy, Column::Editors, Column::ConflictId])
            .filter(is_edited.clone())
            .into_tuple()
            .all(db)
            .await?;
        found.extend(rows.into_iter().map(|(edited_by, editors, conflict_id)| Edited {
            editors: shown::editors_of(editors.as_deref(), edited_by.as_deref()),
            conflict_id,
        }));
    }
    Ok(found)
}

/// What devices hold of an item.
#[derive(Clone, Debug)]
pub struct Held {
    /// What it is.
    pub kind: Kind,
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: i64,
    /// Its data.
    pub data: String,
    /// Figures of a rating that replace those in it.
    pub rated: Option<String>,
}

/// The columns of [`Held`], in order.
type HeldRow = (Kind, String, i64, String, Option<String>);

/// Existing items that devices hold, after this kind and id, in that order:
/// categories, then skills.
pub async fn page(
    db: &impl ConnectionTrait,
    after: (&str, &str),
    portion: Portion,
) -> Result<Portioned<Held>, DbErr> {
    let keys = [Column::Kind, Column::Id];
    let existing = |after: [&str; 2]| {
        let is_held =
            Condition::all().add(Column::Data.is_not_null()).add(Column::WithdrawnAt.is_null());
        is_held.add(later(keys, after))
    };
    let after = [after.0, after.1];
    let query = Entity::find()
        .select_only()
        .columns([Column::Kind, Column::Id, Column::Version, Column::Data, Column::Rated])
        .filter(existing(after))
        .filter(portion.holds::<Entity, _>(keys, &[Column::Data], existing(after)))
        .order_by_asc(Column::Kind)
        .order_by_asc(Column::Id)
        .limit(portion.rows as u64);
    let rows: Vec<HeldRow> = query.into_tuple().all(db).await?;
    let rows = rows.into_iter().map(|(kind, id, version, data, rated)| Held {
        kind,
        id,
        version,
        data,
        rated,
    });
    let bytes = |row: &Held| row.data.len();
    let after = |row: &Held| existing([row.kind.as_str(), &row.id]);
    portion.of::<Entity, _>(db, rows.collect(), bytes, after).await
}

/// What a sweep needs to know of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its id.
    pub id: String,
    /// When upstream last spoke of it, by our clock.
    pub confirmed_at: i64,
}

/// Items that upstream had when it last spoke of them, also those of which it
/// said nothing that could be taken, after an id, in order of ids.
pub async fn of_upstream(
    db: &impl ConnectionTrait,
    kind: Kind,
    after: &str,
    limit: u64,
) -> Result<Vec<Known>, DbErr> {
    let rows: Vec<(String, i64)> = Entity::find()
        .select_only()
        .columns([Column::Id, Column::ConfirmedAt])
        .filter(Column::Kind.eq(kind))
        .filter(
            Condition::any().add(Column::RemoteData.is_not_null()).add(Column::Fault.is_not_null()),
        )
        .filter(Column::Id.gt(after))
        .order_by_asc(Column::Id)
        .limit(limit)
        .into_tuple()
        .all(db)
        .await?;
    Ok(rows.into_iter().map(|(id, confirmed_at)| Known { id, confirmed_at }).collect())
}

/// Which skills are asked for.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// Part of the name or the description, in lower case; empty: any.
    pub text: String,
    /// The category; `None`: any.
    pub category: Option<String>,
    /// Leaves out what upstream has not confirmed since, milliseconds.
    pub confirmed_since: i64,
}

/// Skills that match.
#[derive(Clone, Debug)]
pub struct Found {
    /// A page of those that are served.
    pub rows: Vec<Model>,
    /// How many are served.
    pub total: u64,
    /// How many more there are that upstream has not confirmed for too long.
    pub withheld: u64,
}

/// Picks what may be served: what upstream confirmed since a time, and what is
/// ours alone, which does not age.
fn served(since: i64) -> Condition {
    let is_confirmed =
        Condition::any().add(Column::ConfirmedAt.gte(since)).add(Column::ListedAt.gte(since));
    let is_held = Condition::all().add(Column::WithdrawnAt.is_null()).add(is_confirmed);
    Condition::any().add(Column::RemoteData.is_null()).add(is_held)
}

fn searched(search: &Search) -> Select<Entity> {
    let mut query =
        Entity::find().filter(Column::Kind.eq(Kind::Skill)).filter(Column::Data.is_not_null());
    if !search.text.is_empty() {
        let pattern = LikeExpr::new(format!("%{}%", escaped(&search.text))).escape('\\');
        query = query.filter(Expr::col(Column::Search).like(pattern));
    }
    if let Some(category) = &search.category {
        query = query.filter(Column::Category.eq(category));
    }
    query
}

/// What `%`, `_` and `\` mean in a pattern is taken from them.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// Skills that match, in order of ids, from `offset`.
pub async fn search(
    db: &impl ConnectionTrait,
    search: &Search,
    offset: u64,
    limit: u64,
) -> Result<Found, DbErr> {
    let is_served = served(search.confirmed_since);
    let counted: Option<(i64, i64)> = searched(search)
        .select_only()
        .expr(Expr::col(Column::Id).count())
        .expr(Expr::expr(Expr::case(is_served.clone(), 1)).count())
        .into_tuple()
        .one(db)
        .await?;
    let (all, total) = counted.unwrap_or_default();
    let count = |rows: i64| u64::try_from(rows).unwrap_or_default();
    let query = searched(search).filter(is_served).order_by_asc(Column::Id);
    let rows = query.offset(offset).limit(limit).all(db).await?;
    Ok(Found { rows, total: count(total), withheld: count(all - total) })
}

/// An item with what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faulty {
    /// Which item.
    pub key: ItemKey,
    /// What.
    pub fault: Fault,
    /// Since when, milliseconds.
    pub at: i64,
}

/// Items with something wrong, at most `limit`; and how many there are.
pub async fn faulty(db: &impl ConnectionTrait, limit: u64) -> Result<(Vec<Faulty>, u64), DbErr> {
    let query = Entity::find().filter(Column::Fault.is_not_null());
    let count = query.clone().count(db).await?;
    let rows: Vec<(Kind, String, Fault, Option<i64>)> = query
        .select_only()
        .columns([Column::Kind, Column::Id, Column::Fault, Column::FaultAt])
        .order_by_asc(Column::Kind)
        .order_by_asc(Column::Id)
        .limit(limit)
        .into_tuple()
        .all(db)
        .await?;
    let faulty = rows.into_iter().map(|(kind, id, fault, at)| Faulty {
        key: (kind, id),
        fault,
        at: at.unwrap_or_default(),
    });
    Ok((faulty.collect(), count))
}

/// How many items devices lack because upstream has not confirmed them.
pub async fn withdrawn(db: &impl ConnectionTrait) -> Result<u64, DbErr> {
    Entity::find().filter(Column::WithdrawnAt.is_not_null()).count(db).await
}

/// All existing categories, in order of names; at most `limit`.
pub async fn categories(db: &impl ConnectionTrait, limit: u64) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::Kind.eq(Kind::Category))
        .filter(Column::Data.is_not_null())
        .order_by_asc(Column::Id)
        .limit(limit)
        .all(db)
        .await
}

/// How many items of a kind exist.
pub async fn count(db: &impl ConnectionTrait, kind: Kind) -> Result<u64, DbErr> {
    Entity::find().filter(Column::Kind.eq(kind)).filter(Column::Data.is_not_null()).count(db).await
}

/// Writes new and changed items.
pub async fn upsert(db: &impl ConnectionTrait, rows: Vec<Model>) -> Result<(), DbErr> {
    let on_conflict = OnConflict::columns([Column::Kind, Column::Id])
        .update_columns([
            Column::Version,
            Column::Data,
            Column::Search,
            Column::Category,
            Column::RemoteData,
            Column::RemoteUpdatedAt,
            Column::RatingUpdatedAt,
            Column::ConfirmedAt,
            // Not `ListedAt`, which only `confirm` moves.
            Column::Fault,
            Column::FaultAt,
            Column::WithdrawnAt,
            Column::Rated,
            Column::BaseVersion,
            Column::BaseData,
            Column::EditedBy,
            Column::Editors,
            Column::EditedAt,
            Column::ConflictId,
            Column::UpdatedAt,
        ])
        .to_owned();
    insert_rows(db, rows.into_iter().map(ActiveModel::from), Some(&on_conflict)).await
}
