//! Conflicts, open and resolved.

use sea_orm::sea_query::{OnConflict, Query, SelectStatement};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect,
};
use tidegate_entity::conflict::{ActiveModel, Column, Entity, Model};
use tidegate_entity::conflict_editor;
use tidegate_protocol::entry::{ConflictStatus, Severity};

use crate::store::bulk::{KEYS_PER_STATEMENT, insert_rows, one_of};
use crate::store::order::Place;
use crate::store::portion::{Portion, Portioned};
use crate::store::table::{Changes, Table};
use crate::store::write::Transaction;

/// Which conflicts are asked for; what is not given matches all.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Whether they wait for a decision.
    pub status: Option<ConflictStatus>,
    /// How grave they are.
    pub severity: Option<Severity>,
    /// `skill:{id}` …
    pub subject: Option<String>,
    /// Whose edit is in it.
    pub user_id: Option<String>,
}

/// Everybody whose edit is in a conflict.
pub fn editors(row: &Model) -> Vec<String> {
    let listed = row.editors.as_deref().and_then(|text| serde_json::from_str(text).ok());
    listed.unwrap_or_else(|| row.user_id.iter().cloned().collect())
}

/// Ids of the conflicts that hold an edit of a user.
fn of_editor(user_id: &str) -> SelectStatement {
    Query::select()
        .column(conflict_editor::Column::ConflictId)
        .from(conflict_editor::Entity)
        .and_where(conflict_editor::Column::UserId.eq(user_id))
        .take()
}

/// These conflicts.
pub async fn load(db: &impl ConnectionTrait, ids: &[String]) -> Result<Vec<Model>, DbErr> {
    let mut found = Vec::new();
    for chunk in ids.chunks(KEYS_PER_STATEMENT) {
        let query = Entity::find().filter(one_of(db, Column::Id, chunk.iter().map(String::as_str)));
        found.extend(query.all(db).await?);
    }
    Ok(found)
}

/// Conflicts that match, newest first, below an id (empty: from the newest).
pub async fn page(
    db: &impl ConnectionTrait,
    filter: &Filter,
    below: &str,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    let mut query = Entity::find();
    if let Some(status) = filter.status {
        query = query.filter(Column::Status.eq(status));
    }
    if let Some(severity) = filter.severity {
        query = query.filter(Column::Severity.eq(severity));
    }
    if let Some(subject) = &filter.subject {
        query = query.filter(Column::Subject.eq(subject));
    }
    if let Some(user_id) = &filter.user_id {
        query = query.filter(Column::Id.in_subquery(of_editor(user_id)));
    }
    if !below.is_empty() {
        query = query.filter(Column::Id.lt(below));
    }
    query.order_by_desc(Column::Id).limit(limit).all(db).await
}

/// The conflicts of a subject that still matter: all that are open, and the
/// newest.
pub async fn standing(db: &impl ConnectionTrait, subject: &str) -> Result<Vec<Model>, DbErr> {
    let all = || Entity::find().filter(Column::Subject.eq(subject)).order_by_desc(Column::Id);
    let mut standing = all().filter(Column::Status.eq(ConflictStatus::Open)).all(db).await?;
    standing.extend(
        all().limit(1).one(db).await?.filter(|newest| newest.status != ConflictStatus::Open),
    );
    Ok(standing)
}

/// Open conflicts of a user after an id that the portion holds, in order of ids.
pub async fn open_of_user(
    db: &impl ConnectionTrait,
    user_id: &str,
    after: &str,
    portion: Portion,
) -> Result<Portioned<Model>, DbErr> {
    let open = |after: &str| {
        Condition::all()
            .add(Column::Id.in_subquery(of_editor(user_id)))
            .add(Column::Status.eq(ConflictStatus::Open))
            .add(Column::Id.gt(after))
    };
    let in_portion = portion.holds::<Entity, _>([Column::Id], &[Column::Verdict], open(after));
    let query = Entity::find().filter(open(after)).filter(in_portion);
    let rows = query.order_by_asc(Column::Id).limit(portion.rows as u64).all(db).await?;
    let bytes = |row: &Model| row.verdict.len();
    portion.of::<Entity, _>(db, rows, bytes, |row| open(&row.id)).await
}

/// How many are open.
pub async fn open_count(db: &impl ConnectionTrait) -> Result<u64, DbErr> {
    Entity::find().filter(Column::Status.eq(ConflictStatus::Open)).count(db).await
}

/// Writes new and changed ones.
pub async fn upsert(db: &impl ConnectionTrait, rows: Vec<Model>) -> Result<(), DbErr> {
    let on_conflict = OnConflict::column(Column::Id)
        .update_columns([Column::Status, Column::Severity, Column::Verdict])
        .update_columns([Column::ResolvedAt, Column::RestoredAt])
        .to_owned();
    let of_row = |row: &Model| {
        let id = row.id.clone();
        let edits = editors(row).into_iter();
        edits.map(move |user_id| conflict_editor::Model { user_id, conflict_id: id.clone() })
    };
    let editors: Vec<_> = rows.iter().flat_map(of_row).collect();
    insert_rows(db, rows.into_iter().map(ActiveModel::from), Some(&on_conflict)).await?;
    let known =
        OnConflict::columns([conflict_editor::Column::UserId, conflict_editor::Column::ConflictId])
            .do_nothing()
            .to_owned();
    let editors = editors.into_iter().map(conflict_editor::ActiveModel::from);
    insert_rows(db, editors, Some(&known)).await
}

/// Ids of conflicts that were resolved before a time.
pub async fn resolved_before(
    db: &impl ConnectionTrait,
    before: i64,
    limit: u64,
) -> Result<Vec<String>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::ResolvedAt.lt(before))
        .limit(limit)
        .into_tuple()
        .all(db)
        .await
}

/// Forgets conflicts.
pub async fn remove(db: &impl ConnectionTrait, ids: &[String]) -> Result<(), DbErr> {
    for chunk in ids.chunks(KEYS_PER_STATEMENT) {
        let these = one_of(db, Column::Id, chunk.iter().map(String::as_str));
        Entity::delete_many().filter(these).exec(db).await?;
        let of_these =
            one_of(db, conflict_editor::Column::ConflictId, chunk.iter().map(String::as_str));
        conflict_editor::Entity::delete_many().filter(of_these).exec(db).await?;
    }
    Ok(())
}

/// Which conflicts a unit of work asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// One.
    Id(String),
    /// Those of a subject that still matter: see [`standing`].
    StandingOf(String),
}

impl Table for Entity {
    type Key = String;
    type Row = Model;
    type Select = Wanted;

    const PLACE: Place = Place::Conflict;

    fn key(row: &Model) -> String {
        row.id.clone()
    }

    async fn load(tx: &Transaction, wanted: &[Wanted]) -> Result<Vec<Model>, DbErr> {
        let (mut ids, mut found) = (Vec::new(), Vec::new());
        for wanted in wanted {
            match wanted {
                Wanted::Id(id) => ids.push(id.clone()),
                Wanted::StandingOf(subject) => found.extend(standing(tx, subject).await?),
            }
        }
        found.extend(load(tx, &ids).await?);
        Ok(found)
    }

    async fn write(tx: &Transaction, changes: Changes<Self>) -> Result<(), DbErr> {
        upsert(tx, changes.upserts()).await
    }
}
