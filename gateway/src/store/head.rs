//! Stream heads: positions are given out here and nowhere else.
//!
//! The last position of a user's stream is that of the user's newest command or
//! entry, and so it is in their indexes already. On SQLite its row is not written
//! for each of them: it says what is true without rows that were removed, and
//! `current` says the rest. Who removes rows notes the head before: see
//! [`settle`]. On PostgreSQL the row must be locked anyway, and says all of it.

use std::collections::BTreeMap;

use sea_orm::sea_query::{Expr, ExprTrait, LockBehavior, LockType, OnConflict, Query};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseBackend, DbErr, EntityTrait,
    FromQueryResult, IdenStatic as _, Order, QueryFilter, QueryOrder, QuerySelect, Select,
};
use tidegate_entity::journal_entry;
use tidegate_entity::stream_head::{ActiveModel, Column, Entity, Model};

use crate::store::bulk::{KEYS_PER_STATEMENT, insert_and_read, insert_rows, one_of, packed};
use crate::store::order::Place;
use crate::store::portion::single;
use crate::store::write::Transaction;

mod known;

pub(in crate::store) use known::{Known, Moving};

/// What a transaction adds to a head.
#[derive(Clone, Debug, Default)]
pub struct Advance {
    /// Positions to give out; 0 only makes sure that the stream exists.
    pub entries: i64,
    /// Change of the number of commands without a final status.
    pub pending: i64,
    /// Epoch for a stream that does not exist yet.
    pub new_epoch: String,
}

/// Heads by stream name, in the order that every transaction locks them.
pub type Heads = BTreeMap<String, Model>;

/// The heads of these streams; streams without a row are missing. How many
/// commands are pending is told by [`lock`] only: counting them takes longer.
pub async fn load(db: &impl ConnectionTrait, streams: &[String]) -> Result<Heads, DbErr> {
    match db.get_database_backend() {
        DatabaseBackend::Sqlite => {
            load_packed(db, streams, Expr::col((Entity, Column::Pending))).await
        }
        _ => select(db, streams, |query| query).await,
    }
}

/// As [`load`], keeping other writers away until the transaction ends.
pub async fn lock(db: &Transaction, streams: &[String]) -> Result<Heads, DbErr> {
    db.locks(Place::StreamHead);
    // A write transaction of SQLite has the whole database locked.
    let Some(moving) = db.heads() else {
        return select(db, streams, QuerySelect::lock_exclusive).await;
    };
    let (mut heads, others) = moving.known().split(streams);
    if cfg!(debug_assertions) {
        let known: Vec<String> = heads.keys().cloned().collect();
        debug_assert_eq!(
            heads,
            load_packed(db, &known, current(Column::Pending)).await?,
            "what is remembered is true"
        );
    }
    let loaded = load_packed(db, &others, current(Column::Pending)).await?;
    moving.known().keep(loaded.clone());
    heads.extend(loaded);
    Ok(heads)
}

/// What a head says now, beside what its row says: of SQLite.
fn current(column: Column) -> Expr {
    let of_user = |sql: &str| {
        let own = format!(
            r#"CASE WHEN substr("stream_head"."stream", 1, 5) = 'user:' THEN {sql}
               ELSE "stream_head"."{}" END"#,
            column.as_str()
        );
        Expr::cust(own)
    };
    match column {
        Column::Seq => of_user(NEWEST),
        Column::Pending => of_user(OPEN_COMMANDS),
        _ => Expr::col((Entity, column)),
    }
}

/// Each is one look at the end of an index.
const NEWEST: &str = r#"max("stream_head"."seq",
    coalesce((SELECT max("last_seq") FROM "command"
        WHERE "user_id" = substr("stream_head"."stream", 6) AND "open" = 1), 0),
    coalesce((SELECT max("last_seq") FROM "command"
        WHERE "user_id" = substr("stream_head"."stream", 6) AND "open" = 0), 0),
    coalesce((SELECT max("seq") FROM "journal_entry"
        WHERE "journal_entry"."stream" = "stream_head"."stream"), 0))"#;

const OPEN_COMMANDS: &str = r#"(SELECT count(*) FROM "command"
    WHERE "user_id" = substr("stream_head"."stream", 6) AND "open" = 1)"#;

/// The last position given out, as an expression on a head's row.
pub(super) fn seq_of(backend: DatabaseBackend) -> Expr {
    match backend {
        DatabaseBackend::Sqlite => current(Column::Seq),
        _ => Expr::col((Entity, Column::Seq)),
    }
}

/// Notes the heads of these streams in their rows: before entries or commands
/// are removed, which may be the newest.
pub async fn settle(db: &Transaction, streams: &[String]) -> Result<(), DbErr> {
    if !db.is_embedded() {
        return Ok(());
    }
    for chunk in streams.chunks(KEYS_PER_STATEMENT) {
        Entity::update_many()
            .col_expr(Column::Seq, current(Column::Seq))
            .filter(one_of(db, Column::Stream, chunk.iter().map(String::as_str)))
            .exec(db)
            .await?;
    }
    Ok(())
}

/// As [`lock`], leaving out those that somebody else has locked: it waits for
/// nobody, so that it is in order at any time.
pub async fn lock_free(db: &Transaction, streams: &[String]) -> Result<Heads, DbErr> {
    let skip = |query: Select<Entity>| {
        query.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
    };
    match db.get_database_backend() {
        DatabaseBackend::Sqlite => load(db, streams).await,
        _ => select(db, streams, skip).await,
    }
}

async fn load_packed(
    db: &impl ConnectionTrait,
    streams: &[String],
    pending: Expr,
) -> Result<Heads, DbErr> {
    const COLUMNS: [Column; 5] =
        [Column::Stream, Column::Epoch, Column::Seq, Column::Trimmed, Column::Pending];
    let mut heads = Heads::new();
    for chunk in streams.chunks(KEYS_PER_STATEMENT) {
        let mut rows = Query::select();
        for column in COLUMNS {
            let value =
                if matches!(column, Column::Pending) { pending.clone() } else { current(column) };
            rows.expr_as(value, column.as_str());
        }
        let rows = rows
            .from(Entity)
            .and_where(one_of(db, Column::Stream, chunk.iter().map(String::as_str)))
            .take();
        let rows: Vec<(String, String, i64, i64, i64)> =
            packed(db, rows, COLUMNS.map(|column| column.as_str())).await?;
        for (stream, epoch, seq, trimmed, pending) in rows {
            heads.insert(stream.clone(), Model { stream, epoch, seq, trimmed, pending });
        }
    }
    Ok(heads)
}

async fn select(
    db: &impl ConnectionTrait,
    streams: &[String],
    with: fn(Select<Entity>) -> Select<Entity>,
) -> Result<Heads, DbErr> {
    let mut sorted: Vec<&str> = streams.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let mut heads = Heads::new();
    for chunk in sorted.chunks(KEYS_PER_STATEMENT) {
        let query = Entity::find()
            .filter(one_of(db, Column::Stream, chunk.iter().copied()))
            .order_by_asc(Column::Stream);
        for head in with(query).all(db).await? {
            heads.insert(head.stream.clone(), head);
        }
    }
    Ok(heads)
}

/// Gives out positions on many streams, and creates the streams that do not
/// exist. The heads returned are those after the advance: a stream's new
/// positions are `seq - entries + 1 ..= seq`.
///
/// `locked` are heads that this transaction has locked: nobody else moves
/// them, so where they go is known and need not be read back row by row.
pub async fn advance(
    db: &Transaction,
    locked: &Heads,
    advances: &BTreeMap<String, Advance>,
) -> Result<Heads, DbErr> {
    let (known, new): (Vec<_>, Vec<_>) =
        advances.iter().partition(|(stream, _)| locked.contains_key(*stream));
    let mut heads = Heads::new();
    let is_told = |stream: &str| db.is_embedded() && stream.starts_with("user:");
    let written = known.iter().filter(|(stream, _)| !is_told(stream));
    let rows: Vec<ActiveModel> = written.map(row_of).collect();
    insert_rows(db, rows.into_iter(), Some(&add_to_known())).await?;
    for (stream, advance) in known {
        let mut head = locked[stream].clone();
        head.seq += advance.entries;
        head.pending += advance.pending;
        heads.insert(stream.clone(), head);
    }
    let rows: Vec<ActiveModel> = new.iter().map(row_of).collect();
    let created = insert_and_read(db, rows.into_iter(), Some(&add_to_known())).await?;
    heads.extend(created.into_iter().map(|head| (head.stream.clone(), head)));
    if let Some(moving) = db.heads() {
        moving.moved(&heads);
    }
    Ok(heads)
}

fn row_of((stream, advance): &(&String, &Advance)) -> ActiveModel {
    ActiveModel {
        stream: Set((*stream).clone()),
        epoch: Set(advance.new_epoch.clone()),
        seq: Set(advance.entries),
        trimmed: Set(0),
        pending: Set(advance.pending),
    }
}

fn add_to_known() -> OnConflict {
    let add = |column: Column| Expr::col((Entity, column)).add(Expr::col(("excluded", column)));
    OnConflict::column(Column::Stream)
        .value(Column::Seq, add(Column::Seq))
        .value(Column::Pending, add(Column::Pending))
        .to_owned()
}

/// Names of streams after `after`, in order, for sweeps over all of them.
pub async fn names(
    db: &impl ConnectionTrait,
    after: &str,
    limit: u64,
) -> Result<Vec<String>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::Stream)
        .filter(Column::Stream.gt(after))
        .order_by_asc(Column::Stream)
        .limit(limit)
        .into_tuple()
        .all(db)
        .await
}

/// Moves `trimmed` forward; never back.
pub async fn set_trimmed(db: &Transaction, stream: &str, trimmed: i64) -> Result<(), DbErr> {
    changes(db, stream);
    Entity::update_many()
        .col_expr(Column::Trimmed, Expr::value(trimmed))
        .filter(Column::Stream.eq(stream))
        .filter(Column::Trimmed.lt(trimmed))
        .exec(db)
        .await?;
    Ok(())
}

/// Gives a stream a new epoch.
pub async fn renew_epoch(db: &Transaction, stream: &str, epoch: &str) -> Result<(), DbErr> {
    changes(db, stream);
    Entity::update_many()
        .col_expr(Column::Epoch, Expr::value(epoch))
        .filter(Column::Stream.eq(stream))
        .exec(db)
        .await?;
    Ok(())
}

fn changes(db: &Transaction, stream: &str) {
    if let Some(moving) = db.heads() {
        moving.changes(stream);
    }
}

/// A stream with entries that had their time.
#[derive(Clone, Debug, FromQueryResult)]
pub struct Trimmable {
    /// The stream.
    pub stream: String,
    /// Last position given out.
    pub seq: i64,
    /// Highest position removed.
    pub trimmed: i64,
}

/// Streams after `after` in name order whose oldest entry is older than
/// `cutoff`, or that hold more than `kept` entries.
pub async fn trimmable(
    db: &impl ConnectionTrait,
    after: &str,
    cutoff: i64,
    kept: i64,
    limit: u64,
) -> Result<Vec<Trimmable>, DbErr> {
    let head = |column| Expr::col((Entity, column));
    let entry = |column| Expr::col((journal_entry::Entity, column));
    let oldest = Query::select()
        .expr(entry(journal_entry::Column::At))
        .from(journal_entry::Entity)
        .and_where(entry(journal_entry::Column::Stream).equals((Entity, Column::Stream)))
        .and_where(entry(journal_entry::Column::Seq).gt(head(Column::Trimmed)))
        .order_by((journal_entry::Entity, journal_entry::Column::Seq), Order::Asc)
        .limit(1)
        .take();
    let seq = seq_of(db.get_database_backend());
    let statement = Query::select()
        .columns([Column::Stream, Column::Trimmed].map(|column| (Entity, column)))
        .expr_as(seq.clone(), Column::Seq.as_str())
        .from(Entity)
        .and_where(head(Column::Stream).gt(after))
        .and_where(single(oldest).lt(cutoff).or(seq.sub(head(Column::Trimmed)).gt(kept)))
        .order_by((Entity, Column::Stream), Order::Asc)
        .limit(limit)
        .take();
    let rows = db.query_all(&statement).await?;
    rows.iter().map(|row| Trimmable::from_query_result(row, "")).collect()
}
