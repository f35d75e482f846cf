//! Activities.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;

use sea_orm::sea_query::{Expr, ExprTrait as _, OnConflict};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};
use tidegate_entity::activity::{ActiveModel, Column, Entity, Model, State};
use tidegate_entity::activity_raw;

use crate::health::source::Source;
use crate::health::walk::{CLASSES_MS, Index, Span, earliest};
use crate::store::bulk::{KEYS_PER_STATEMENT, in_pairs, insert_rows};
use crate::store::health::Days;
use crate::store::order::Place;
use crate::store::portion::{Portion, Portioned};
use crate::store::table::{Changes, Table};
use crate::store::write::Transaction;

/// Names an activity: user, id.
pub type ActivityKey = (String, String);

/// Times that one statement looks for.
const TIMES_PER_STATEMENT: usize = 8;

/// Times that lie no farther apart are looked for as one, milliseconds.
const NEAR_MS: i64 = 6 * 3_600_000;

/// What a row is compared by; `None` where it is not there, or its source is not
/// one that this version knows.
pub fn span(row: &Model) -> Option<Span> {
    let source = Source::from_word(&row.source)?;
    (row.state == State::Live).then(|| Span {
        id: row.id.clone(),
        source,
        start_ms: row.start_at,
        end_ms: row.end_at,
        elapsed_s: row.elapsed_s,
    })
}

/// One activity, also one that is not there any more.
pub async fn one(
    db: &impl ConnectionTrait,
    user_id: &str,
    id: &str,
) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id((user_id.to_owned(), id.to_owned())).one(db).await
}

/// An activity as it came.
pub async fn raw(
    db: &impl ConnectionTrait,
    user_id: &str,
    id: &str,
) -> Result<Option<String>, DbErr> {
    let found = activity_raw::Entity::find_by_id((user_id.to_owned(), id.to_owned()));
    Ok(found.one(db).await?.map(|row| row.raw))
}

/// Ids of the duplicates of an activity.
pub async fn duplicates_of(
    db: &impl ConnectionTrait,
    user_id: &str,
    id: &str,
) -> Result<Vec<String>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::UserId.eq(user_id))
        .filter(Column::DuplicateOf.eq(id))
        .filter(Column::State.eq(State::Live))
        .order_by_asc(Column::Id)
        .into_tuple()
        .all(db)
        .await
}

/// Which activities are listed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Filter<'a> {
    /// On which days; `below` is not used.
    pub days: Days<'a>,
    /// Of this source only.
    pub source: Option<&'a str>,
    /// Only those that are shown.
    pub is_canonical: bool,
}

/// Activities of a user before (date, start, id), newest first.
pub async fn page(
    db: &impl ConnectionTrait,
    user_id: &str,
    filter: Filter<'_>,
    below: Option<(&str, i64, &str)>,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    let live = Condition::all().add(Column::UserId.eq(user_id)).add(Column::State.eq(State::Live));
    let mut query = filter.days.of(Entity::find().filter(live), Column::Date);
    if let Some(source) = filter.source {
        query = query.filter(Column::Source.eq(source));
    }
    if filter.is_canonical {
        query = query.filter(Column::DuplicateOf.is_null());
    }
    if let Some((date, start_at, id)) = below {
        let keys = [Column::Date, Column::StartAt, Column::Id].map(Expr::col);
        let values = [Expr::val(date), Expr::val(start_at), Expr::val(id)];
        query = query.filter(Expr::tuple(keys).lt(Expr::tuple(values)));
    }
    query
        .order_by_desc(Column::Date)
        .order_by_desc(Column::StartAt)
        .order_by_desc(Column::Id)
        .limit(limit)
        .all(db)
        .await
}

/// Activities of a user from a day on after (date, id), in that order.
pub async fn after(
    db: &impl ConnectionTrait,
    user_id: &str,
    (date, id): (&str, &str),
    portion: Portion,
) -> Result<Portioned<Model>, DbErr> {
    let keys = [Column::Date, Column::Id];
    let later = |date: &str, id: &str| {
        Condition::all()
            .add(Column::UserId.eq(user_id))
            .add(Column::State.eq(State::Live))
            .add(crate::store::later(keys, [date, id]))
    };
    let query =
        Entity::find().filter(later(date, id)).order_by_asc(Column::Date).order_by_asc(Column::Id);
    // Rows of activities are small and much alike.
    let rows = query.limit(portion.rows.min(MOST_OF_A_READ) as u64).all(db).await?;
    let bytes = |_: &Model| ROW_BYTES;
    let portion = Portion { rows: portion.rows.min(MOST_OF_A_READ), ..portion };
    portion.of::<Entity, _>(db, rows, bytes, |row| later(&row.date, &row.id)).await
}

/// About what an activity takes on the wire.
const ROW_BYTES: usize = 350;

/// Activities of one read.
const MOST_OF_A_READ: usize = 200;

/// Ids of a source's activities of a user that are there.
pub async fn of_source(
    db: &impl ConnectionTrait,
    user_id: &str,
    source: &str,
    limit: u64,
) -> Result<Vec<String>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::UserId.eq(user_id))
        .filter(Column::Source.eq(source))
        .filter(Column::State.eq(State::Live))
        .limit(limit)
        .into_tuple()
        .all(db)
        .await
}

/// Which activities a unit of work asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// One, and all that are connected with it.
    Id(ActivityKey),
    /// All that are connected with an activity that comes in.
    Around {
        /// The user.
        user_id: String,
        /// Milliseconds since the epoch.
        start_ms: i64,
        /// Milliseconds since the epoch.
        end_ms: i64,
        /// Seconds.
        elapsed_s: i64,
        /// Who tells.
        source: Source,
    },
}

async fn by_ids(tx: &Transaction, keys: &[&ActivityKey]) -> Result<Vec<Model>, DbErr> {
    let mut found = Vec::new();
    for chunk in keys.chunks(KEYS_PER_STATEMENT) {
        let pairs = chunk.iter().map(|(user_id, id)| (user_id.as_str(), id.as_str()));
        let these = in_pairs(tx, [Column::UserId, Column::Id], pairs);
        found.extend(Entity::find().filter(these).all(tx).await?);
    }
    Ok(found)
}

/// Which one a row is another name of.
fn alias_of(row: &Model) -> Option<ActivityKey> {
    let main = row.duplicate_of.clone().filter(|_| row.state == State::Alias);
    main.map(|main| (row.user_id.clone(), main))
}

/// Times that overlap those of activities, merged where they are near.
fn times(spans: &[Span]) -> Vec<(i64, i64)> {
    let mut times: Vec<_> = spans.iter().map(|span| (span.start_ms, span.end_ms)).collect();
    times.sort_unstable();
    let mut merged: Vec<(i64, i64)> = Vec::new();
    for (start, end) in times {
        match merged.last_mut() {
            Some(last) if start <= last.1.saturating_add(NEAR_MS) => last.1 = Ord::max(last.1, end),
            _ => merged.push((start, end)),
        }
    }
    merged
}

/// A user's activities that overlap these times.
async fn overlapping(
    tx: &Transaction,
    user_id: &str,
    times: &[(i64, i64)],
) -> Result<Vec<Model>, DbErr> {
    let mut found = Vec::new();
    for chunk in times.chunks(TIMES_PER_STATEMENT) {
        // Filled up by the last one: the statement stays the same.
        let size = if chunk.len() == 1 { 1 } else { TIMES_PER_STATEMENT };
        let last = chunk.last().into_iter().cycle();
        let filled = chunk.iter().chain(last).take(size);
        let mut any = Condition::any();
        for (start, end) in filled {
            for class in 0..=CLASSES_MS.len() {
                // Whole in each part: SQLite looks each of them up by the index.
                let of_class = i32::try_from(class).unwrap_or(i32::MAX);
                any = any.add(
                    Condition::all()
                        .add(Column::UserId.eq(user_id))
                        .add(Column::LengthClass.eq(of_class))
                        .add(Column::StartAt.gte(earliest(class, *start)))
                        .add(Column::StartAt.lt(*end))
                        .add(Column::EndAt.gt(*start)),
                );
            }
        }
        let live = Entity::find().filter(any).filter(Column::State.eq(State::Live));
        found.extend(live.all(tx).await?);
    }
    Ok(found)
}

/// Adds what is connected with these by pairs that are the same workout. A whole
/// round is asked for at once; there are as many rounds as the longest chain has
/// links.
async fn connected(
    tx: &Transaction,
    user_id: &str,
    mut open: Vec<Span>,
    found: &mut HashMap<String, Model>,
) -> Result<(), DbErr> {
    while !open.is_empty() {
        let mut index = Index::default();
        open.iter().enumerate().for_each(|(number, span)| index.insert(number, span));
        let mut next = Vec::new();
        for row in overlapping(tx, user_id, &times(&open)).await? {
            let Some(span) = span(&row) else { continue };
            let is_linked =
                index.overlapping(&span).any(|other| open[other].is_same_workout(&span));
            if is_linked && !found.contains_key(&row.id) {
                next.push(span);
                found.insert(row.id.clone(), row);
            }
        }
        open = next;
    }
    Ok(())
}

impl Table for Entity {
    type Key = ActivityKey;
    type Row = Model;
    type Select = Wanted;

    const PLACE: Place = Place::Activity;

    fn key(row: &Model) -> ActivityKey {
        (row.user_id.clone(), row.id.clone())
    }

    async fn load(tx: &Transaction, wanted: &[Wanted]) -> Result<Vec<Model>, DbErr> {
        let mut ids = Vec::new();
        let mut open: BTreeMap<&str, Vec<Span>> = BTreeMap::new();
        for wanted in wanted {
            match wanted {
                Wanted::Id(key) => ids.push(key),
                Wanted::Around { user_id, start_ms, end_ms, elapsed_s, source } => {
                    let (start_ms, end_ms, elapsed_s) = (*start_ms, *end_ms, *elapsed_s);
                    let id = String::new();
                    let span = Span { id, source: *source, start_ms, end_ms, elapsed_s };
                    open.entry(user_id).or_default().push(span);
                }
            }
        }
        let mut named = by_ids(tx, &ids).await?;
        let leads_to: Vec<ActivityKey> = named.iter().filter_map(alias_of).collect();
        named.extend(by_ids(tx, &leads_to.iter().collect::<Vec<_>>()).await?);
        let mut by_user: BTreeMap<&str, HashMap<String, Model>> = BTreeMap::new();
        for row in &named {
            open.entry(&row.user_id).or_default().extend(span(row));
            by_user.entry(&row.user_id).or_default().insert(row.id.clone(), row.clone());
        }
        for (user_id, open) in open {
            connected(tx, user_id, open, by_user.entry(user_id).or_default()).await?;
        }
        Ok(by_user.into_values().flat_map(HashMap::into_values).collect())
    }

    async fn write(tx: &Transaction, changes: Changes<Self>) -> Result<(), DbErr> {
        let known = OnConflict::columns([Column::UserId, Column::Id])
            .update_columns([Column::Version, Column::State, Column::ActivityType, Column::Sport])
            .update_columns([Column::Date, Column::StartAt, Column::EndAt, Column::DurationS])
            .update_columns([Column::ElapsedS, Column::LengthClass, Column::Distance])
            .update_columns([Column::Calories, Column::AvgHeartRate, Column::MaxHeartRate])
            .update_columns([Column::Device, Column::UtcOffsetS, Column::DuplicateOf])
            .update_columns([Column::UpdatedAt])
            .to_owned();
        insert_rows(tx, changes.upserts().into_iter().map(ActiveModel::from), Some(&known)).await
    }
}

impl Table for activity_raw::Entity {
    type Key = ActivityKey;
    type Row = activity_raw::Model;
    /// Nothing decides by what is in it.
    type Select = Infallible;

    const PLACE: Place = Place::ActivityRaw;

    fn key(row: &activity_raw::Model) -> ActivityKey {
        (row.user_id.clone(), row.id.clone())
    }

    async fn load(_: &Transaction, _: &[Infallible]) -> Result<Vec<activity_raw::Model>, DbErr> {
        Ok(Vec::new())
    }

    async fn write(tx: &Transaction, changes: Changes<Self>) -> Result<(), DbErr> {
        use activity_raw::{ActiveModel, Column};
        let known =
            OnConflict::columns([Column::UserId, Column::Id]).update_column(Column::Raw).to_owned();
        insert_rows(tx, changes.upserts().into_iter().map(ActiveModel::from), Some(&known)).await
    }
}
