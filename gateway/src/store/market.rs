//! Skills and categories of the marketplace.

use sea_orm::sea_query::{Expr, ExprTrait, LikeExpr, OnConflict};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect, Select,
};
use tidegate_entity::market_item::{ActiveModel, Column, Entity, Model};

use crate::store::bulk::{KEYS_PER_STATEMENT, in_pairs, insert_rows, one_of};
use crate::store::later;
use crate::store::portion::{Portion, Portioned};

/// Names an item: `skill` or `category`, and its id.
pub type ItemKey = (String, String);

/// `kind` of skills.
pub const SKILL: &str = "skill";

/// `kind` of categories.
pub const CATEGORY: &str = "category";

/// These items, deleted ones included. The head of the stream is locked by
/// the transaction that changes them, which keeps other writers away.
pub async fn load(db: &impl ConnectionTrait, keys: &[ItemKey]) -> Result<Vec<Model>, DbErr> {
    let mut found = Vec::new();
    for chunk in keys.chunks(KEYS_PER_STATEMENT) {
        let pairs = chunk.iter().map(|(kind, id)| (kind.as_str(), id.as_str()));
        let query = Entity::find()
            // All items are of one of two kinds.
            .filter(one_of(Column::Id, chunk.iter().map(|(_, id)| id.as_str())))
            .filter(in_pairs([Column::Kind, Column::Id], pairs));
        found.extend(query.all(db).await?);
    }
    Ok(found)
}

/// What devices hold of an item.
#[derive(Clone, Debug)]
pub struct Held {
    /// `skill` or `category`.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Its version.
    pub version: i64,
    /// Its data.
    pub data: String,
}

/// Existing items after this kind and id, in that order: categories, then
/// skills.
pub async fn page(
    db: &impl ConnectionTrait,
    after: (&str, &str),
    portion: Portion,
) -> Result<Portioned<Held>, DbErr> {
    let keys = [Column::Kind, Column::Id];
    let existing =
        |after: [&str; 2]| Condition::all().add(Column::Data.is_not_null()).add(later(keys, after));
    let after = [after.0, after.1];
    let query = Entity::find()
        .select_only()
        .columns([Column::Kind, Column::Id, Column::Version, Column::Data])
        .filter(existing(after))
        .filter(portion.holds::<Entity, _>(keys, &[Column::Data], existing(after)))
        .order_by_asc(Column::Kind)
        .order_by_asc(Column::Id)
        .limit(portion.rows as u64);
    let rows: Vec<(String, String, i64, String)> = query.into_tuple().all(db).await?;
    let rows = rows.into_iter().map(|(kind, id, version, data)| Held { kind, id, version, data });
    let bytes = |row: &Held| row.data.len();
    let after = |row: &Held| existing([&row.kind, &row.id]);
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

/// Items that upstream had when it last spoke of them, after an id, in order
/// of ids.
pub async fn of_upstream(
    db: &impl ConnectionTrait,
    kind: &str,
    after: &str,
    limit: u64,
) -> Result<Vec<Known>, DbErr> {
    let rows: Vec<(String, i64)> = Entity::find()
        .select_only()
        .columns([Column::Id, Column::ConfirmedAt])
        .filter(Column::Kind.eq(kind))
        .filter(Column::RemoteData.is_not_null())
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
    /// Leaves out what upstream has not confirmed since, milliseconds, unless
    /// a complete listing confirmed everything.
    pub confirmed_since: Option<i64>,
}

fn searched(search: &Search) -> Select<Entity> {
    let mut query =
        Entity::find().filter(Column::Kind.eq(SKILL)).filter(Column::Data.is_not_null());
    if !search.text.is_empty() {
        let pattern = LikeExpr::new(format!("%{}%", escaped(&search.text))).escape('\\');
        query = query.filter(Expr::col(Column::Search).like(pattern));
    }
    if let Some(category) = &search.category {
        query = query.filter(Column::Category.eq(category));
    }
    if let Some(since) = search.confirmed_since {
        // What upstream has no more is ours, and does not age.
        query = query.filter(
            Condition::any().add(Column::ConfirmedAt.gte(since)).add(Column::RemoteData.is_null()),
        );
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

/// Skills that match, in order of ids, from `offset`; and how many there are.
pub async fn search(
    db: &impl ConnectionTrait,
    search: &Search,
    offset: u64,
    limit: u64,
) -> Result<(Vec<Model>, u64), DbErr> {
    let query = searched(search);
    let total = query.clone().count(db).await?;
    let rows = query.order_by_asc(Column::Id).offset(offset).limit(limit).all(db).await?;
    Ok((rows, total))
}

/// All existing categories, in order of names; at most `limit`.
pub async fn categories(db: &impl ConnectionTrait, limit: u64) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::Kind.eq(CATEGORY))
        .filter(Column::Data.is_not_null())
        .order_by_asc(Column::Id)
        .limit(limit)
        .all(db)
        .await
}

/// How many items of a kind exist.
pub async fn count(db: &impl ConnectionTrait, kind: &str) -> Result<u64, DbErr> {
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
            Column::BaseVersion,
            Column::BaseData,
            Column::EditedBy,
            Column::EditedAt,
            Column::ConflictId,
            Column::UpdatedAt,
        ])
        .to_owned();
    insert_rows(db, rows.into_iter().map(ActiveModel::from), Some(&on_conflict)).await
}
