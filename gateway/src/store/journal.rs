//! Journal rows: appended in the caller's transaction, read in order, removed
//! from the old end.

use sea_orm::sea_query::{Expr, ExprTrait, Func, Query, SelectStatement};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseBackend, DbErr, EntityTrait, FromQueryResult,
    JoinType, Order, QueryFilter, QueryOrder, QuerySelect,
};
use serde::{Deserialize, Deserializer};
use tidegate_entity::journal_entry::{ActiveModel, Column, Entity, Model};
use tidegate_entity::{command, stream_head};

use crate::store::bulk::insert_rows;
use crate::store::portion::Portion;

/// An entry with what delivery must know of its command.
#[derive(Clone, Debug)]
pub struct JournalRow {
    /// The entry.
    pub entry: Model,
    /// Its command as it stands at the read, where it has one.
    pub command: Option<CommandState>,
}

/// A command as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandState {
    /// Whether it has no final status.
    pub open: bool,
    /// End of its life, milliseconds since the epoch.
    pub expires_at: i64,
    /// Its current attempt.
    pub attempt: i32,
}

/// A stretch of a stream and its head, read as of one moment.
#[derive(Clone, Debug)]
pub struct JournalPage {
    /// Epoch at the read.
    pub epoch: String,
    /// Last position given out.
    pub head: i64,
    /// Highest position removed.
    pub trimmed: i64,
    /// Entries after the position asked for, in order.
    pub rows: Vec<JournalRow>,
}

#[derive(Deserialize, FromQueryResult)]
struct Joined {
    epoch: String,
    head: i64,
    trimmed: i64,
    seq: Option<i64>,
    kind: Option<String>,
    at: Option<i64>,
    body: Option<String>,
    device_id: Option<String>,
    requires: Option<String>,
    command_id: Option<String>,
    #[serde(deserialize_with = "truth")]
    open: Option<bool>,
    expires_at: Option<i64>,
    attempt: Option<i32>,
}

/// Appends entries; their positions were given out in the same transaction.
pub async fn insert(db: &impl ConnectionTrait, rows: Vec<Model>) -> Result<(), DbErr> {
    insert_rows(db, rows.into_iter().map(ActiveModel::from), None).await
}

/// Reads the entries after `after` that the portion holds, with the head, in one
/// statement: head, trimmed and entries belong to the same moment on both
/// databases. `None` when the stream does not exist.
pub async fn page(
    db: &impl ConnectionTrait,
    stream: &str,
    after: i64,
    portion: Portion,
) -> Result<Option<JournalPage>, DbErr> {
    let newer = Condition::all().add(Column::Stream.eq(stream)).add(Column::Seq.gt(after));
    let in_portion = portion.holds::<Entity, _>([Column::Seq], &[Column::Body], newer);
    let head = |column| Expr::col((stream_head::Entity, column));
    let entry = |column| Expr::col((Entity, column));
    let state = |column| Expr::col((command::Entity, column));
    let statement = Query::select()
        .expr_as(head(stream_head::Column::Epoch), "epoch")
        .expr_as(head(stream_head::Column::Seq), "head")
        .expr_as(head(stream_head::Column::Trimmed), "trimmed")
        .expr_as(entry(Column::Seq), "seq")
        .expr_as(entry(Column::Kind), "kind")
        .expr_as(entry(Column::At), "at")
        .expr_as(entry(Column::Body), "body")
        .expr_as(entry(Column::DeviceId), "device_id")
        .expr_as(entry(Column::Requires), "requires")
        .expr_as(entry(Column::CommandId), "command_id")
        .expr_as(state(command::Column::Open), "open")
        .expr_as(state(command::Column::ExpiresAt), "expires_at")
        .expr_as(state(command::Column::Attempt), "attempt")
        .from(stream_head::Entity)
        .join(
            JoinType::LeftJoin,
            Entity,
            entry(Column::Stream)
                .equals((stream_head::Entity, stream_head::Column::Stream))
                .and(entry(Column::Seq).gt(after))
                .and(in_portion),
        )
        .join(
            JoinType::LeftJoin,
            command::Entity,
            state(command::Column::Id).equals((Entity, Column::CommandId)),
        )
        .and_where(head(stream_head::Column::Stream).eq(stream))
        .order_by((Entity, Column::Seq), Order::Asc)
        .limit(portion.rows as u64)
        .take();
    let rows: Vec<Joined> = if db.get_database_backend() == DatabaseBackend::Sqlite {
        packed(db, statement).await?
    } else {
        let rows = db.query_all(&statement).await?;
        rows.iter().map(|row| Joined::from_query_result(row, "")).collect::<Result<_, _>>()?
    };
    let mut page = None;
    for joined in rows {
        add(&mut page, stream, joined);
    }
    Ok(page)
}

/// The rows of a page in one row of JSON: SQLite's rows come one by one from
/// another thread, and waking for each costs more than reading it. A device
/// that comes back reads a hundred.
async fn packed(
    db: &impl ConnectionTrait,
    statement: SelectStatement,
) -> Result<Vec<Joined>, DbErr> {
    const COLUMNS: [&str; 13] = [
        "epoch",
        "head",
        "trimmed",
        "seq",
        "kind",
        "at",
        "body",
        "device_id",
        "requires",
        "command_id",
        "open",
        "expires_at",
        "attempt",
    ];
    let row = Func::cust("json_array").args(COLUMNS.map(Expr::col));
    let statement = Query::select()
        .expr(Func::cust("json_group_array").arg(row))
        .from_subquery(statement, "page")
        .take();
    let Some(packed) = db.query_one(&statement).await? else { return Ok(Vec::new()) };
    let packed: String = packed.try_get_by_index(0)?;
    serde_json::from_str(&packed).map_err(|error| DbErr::Json(error.to_string()))
}

/// SQLite has no truth values: they are numbers.
fn truth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    Ok(Option::<i64>::deserialize(deserializer)?.map(|number| number != 0))
}

fn add(page: &mut Option<JournalPage>, stream: &str, joined: Joined) {
    let Joined { epoch, head, trimmed, .. } = &joined;
    let page = page.get_or_insert_with(|| JournalPage {
        epoch: epoch.clone(),
        head: *head,
        trimmed: *trimmed,
        rows: Vec::new(),
    });
    // The one row of a stream with nothing after the position.
    let (Some(seq), Some(kind), Some(at), Some(body)) =
        (joined.seq, joined.kind, joined.at, joined.body)
    else {
        return;
    };
    let command = match (joined.open, joined.expires_at, joined.attempt) {
        (Some(open), Some(expires_at), Some(attempt)) => {
            Some(CommandState { open, expires_at, attempt })
        }
        _ => None,
    };
    page.rows.push(JournalRow {
        entry: Model {
            stream: stream.to_owned(),
            seq,
            kind,
            at,
            body,
            device_id: joined.device_id,
            requires: joined.requires,
            command_id: joined.command_id,
        },
        command,
    });
}

/// Removes entries up to and including `upto`, at most `limit` positions of
/// them; returns the highest position removed and how many rows went.
pub async fn remove_upto(
    db: &impl ConnectionTrait,
    stream: &str,
    trimmed: i64,
    upto: i64,
    limit: i64,
) -> Result<(i64, u64), DbErr> {
    let bound = Ord::min(upto, trimmed.saturating_add(limit));
    let removed = Entity::delete_many()
        .filter(Column::Stream.eq(stream))
        .filter(Column::Seq.gt(trimmed))
        .filter(Column::Seq.lte(bound))
        .exec(db)
        .await?;
    Ok((bound, removed.rows_affected))
}

/// The time of the entry at `seq`.
pub async fn time_at(
    db: &impl ConnectionTrait,
    stream: &str,
    seq: i64,
) -> Result<Option<i64>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::At)
        .filter(Column::Stream.eq(stream))
        .filter(Column::Seq.eq(seq))
        .order_by_asc(Column::Seq)
        .into_tuple()
        .one(db)
        .await
}
