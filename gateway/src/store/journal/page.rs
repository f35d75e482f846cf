//! Reading a stretch of a stream.
//!
//! What stands at the position of a command's first attempt is the command
//! itself: its row says all that the entry tells, and devices are told of it
//! only while it is open. So it is not stored twice, and a user's stream is read
//! from two tables.

use sea_orm::sea_query::{
    CommonTableExpression, Expr, ExprTrait, Query, SelectStatement, UnionType, WithClause,
};
use sea_orm::{ConnectionTrait, DatabaseBackend, DbErr, FromQueryResult, JoinType};
use serde::{Deserialize, Deserializer};
use tidegate_entity::journal_entry::{Column, Entity, Model};
use tidegate_entity::{command, stream_head};
use tidegate_protocol::command::Priority;
use tidegate_protocol::entry::kind;

use crate::store::bulk::packed;
use crate::store::head::seq_of;
use crate::store::portion::{BYTES, Cost, Portion, single, size};

/// An entry with what delivery must know of its command.
#[derive(Clone, Debug)]
pub struct JournalRow {
    /// The entry; of a command's first attempt the command's value is its body.
    pub entry: Model,
    /// Its command as it stands at the read, where it has one.
    pub command: Option<CommandState>,
    /// What else the entry of a command's first attempt tells.
    pub first: Option<FirstAttempt>,
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

/// What the row of a command says that its entry tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstAttempt {
    /// What to write, in the app's words.
    pub data_type: String,
    /// The priority.
    pub priority: Priority,
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
    /// The position read up to: between the rows and after them nothing stands
    /// that anybody is told.
    pub upto: i64,
    /// Entries after the position asked for, in order.
    pub rows: Vec<JournalRow>,
}

/// A row of the answer. The head's is the one at position 0.
#[derive(Debug, Deserialize, FromQueryResult)]
struct Read {
    seq: i64,
    /// The head's epoch.
    kind: String,
    /// The head's position.
    at: i64,
    body: String,
    device_id: Option<String>,
    requires: Option<String>,
    command_id: Option<String>,
    #[serde(deserialize_with = "truth")]
    open: Option<bool>,
    /// The highest position removed, in the head's row.
    expires_at: Option<i64>,
    attempt: Option<i32>,
    data_type: Option<String>,
    priority: Option<Priority>,
}

const COLUMNS: [&str; 12] = [
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
    "data_type",
    "priority",
];

/// Reads the entries after `after` that the portion holds, with the head, in one
/// statement: head, trimmed and entries belong to the same moment on both
/// databases. `None` when the stream does not exist.
pub async fn page(
    db: &impl ConnectionTrait,
    stream: &str,
    after: i64,
    portion: Portion,
) -> Result<Option<JournalPage>, DbErr> {
    let user_id = stream.strip_prefix("user:");
    let mut sizes = sizes_of_entries(stream, after);
    if let Some(user_id) = user_id {
        sizes.union(UnionType::All, sizes_of_commands(user_id, after));
    }
    let mut end = CommonTableExpression::new();
    end.query(portion.last_of(["seq"], sizes)).column("seq").table_name(PAGE_END);
    let mut statement = entries(stream, after);
    statement.union(UnionType::All, head(stream, db.get_database_backend()));
    if let Some(user_id) = user_id {
        statement.union(UnionType::All, commands(user_id, after));
    }
    statement.with_cte(WithClause::new().cte(end).to_owned());
    let rows: Vec<Read> = if db.get_database_backend() == DatabaseBackend::Sqlite {
        packed(db, statement, COLUMNS).await?
    } else {
        let rows = db.query_all(&statement).await?;
        rows.iter().map(|row| Read::from_query_result(row, "")).collect::<Result<_, _>>()?
    };
    Ok(gather(stream, after, rows, portion))
}

const PAGE_END: &str = "page_end";

/// Up to the last row of the page.
fn is_in_page(seq: Expr) -> Expr {
    seq.lte(single(Query::select().column("seq").from(PAGE_END).take()))
}

fn entry(column: Column) -> Expr {
    Expr::col((Entity, column))
}

fn of_command(column: command::Column) -> Expr {
    Expr::col((command::Entity, column))
}

fn sizes_of_entries(stream: &str, after: i64) -> SelectStatement {
    let mut sizes = Query::select();
    sizes.expr_as(Expr::col(Column::Seq), "seq").expr_as(size(&[Column::Body]), BYTES);
    sizes.from(Entity).and_where(Expr::col(Column::Stream).eq(stream));
    sizes.and_where(Expr::col(Column::Seq).gt(after)).take()
}

fn sizes_of_commands(user_id: &str, after: i64) -> SelectStatement {
    let mut sizes = Query::select();
    sizes.expr_as(of_command(command::Column::LastSeq), "seq");
    sizes.expr_as(size(&[command::Column::Value]), BYTES);
    of_first_attempts(&mut sizes, user_id, after);
    sizes
}

fn entries(stream: &str, after: i64) -> SelectStatement {
    let state = of_command;
    Query::select()
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
        .expr_as(Expr::cust("NULL"), "data_type")
        .expr_as(Expr::cust("NULL"), "priority")
        .from(Entity)
        .join(
            JoinType::LeftJoin,
            command::Entity,
            state(command::Column::Id).equals((Entity, Column::CommandId)),
        )
        .and_where(entry(Column::Stream).eq(stream))
        .and_where(entry(Column::Seq).gt(after))
        .and_where(is_in_page(entry(Column::Seq)))
        .take()
}

fn head(stream: &str, backend: DatabaseBackend) -> SelectStatement {
    let mut head = Query::select();
    head.expr(Expr::cust("0")).column(stream_head::Column::Epoch).expr(seq_of(backend));
    head.expr(Expr::cust("''")).exprs([Expr::cust("NULL"), Expr::cust("NULL")]);
    head.exprs([Expr::cust("NULL"), Expr::cust("NULL")]).column(stream_head::Column::Trimmed);
    head.exprs([Expr::cust("NULL"), Expr::cust("NULL"), Expr::cust("NULL")]);
    head.from(stream_head::Entity).and_where(Expr::col(stream_head::Column::Stream).eq(stream));
    head
}

fn commands(user_id: &str, after: i64) -> SelectStatement {
    use command::Column;
    let mut commands = Query::select();
    commands.column((command::Entity, Column::LastSeq)).expr(Expr::val(kind::COMMAND));
    commands.columns(
        [
            Column::CreatedAt,
            Column::Value,
            Column::DeviceId,
            Column::Requires,
            Column::Id,
            Column::Open,
            Column::ExpiresAt,
            Column::Attempt,
            Column::DataType,
            Column::Priority,
        ]
        .map(|column| (command::Entity, column)),
    );
    of_first_attempts(&mut commands, user_id, after);
    commands.and_where(is_in_page(of_command(Column::LastSeq)));
    commands
}

/// A user's open commands that were not tried again.
fn of_first_attempts(select: &mut SelectStatement, user_id: &str, after: i64) {
    use command::Column;
    select.from(command::Entity);
    select.and_where(of_command(Column::UserId).eq(user_id));
    select.and_where(of_command(Column::Open).eq(true));
    select.and_where(of_command(Column::LastSeq).gt(after));
    select.and_where(of_command(Column::Attempt).eq(1));
}

/// SQLite has no truth values: they are numbers.
fn truth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    Ok(Option::<i64>::deserialize(deserializer)?.map(|number| number != 0))
}

fn gather(stream: &str, after: i64, mut rows: Vec<Read>, portion: Portion) -> Option<JournalPage> {
    let head = rows.iter().position(|row| row.seq == 0)?;
    let head = rows.swap_remove(head);
    rows.sort_unstable_by_key(|row| row.seq);
    let rows: Vec<JournalRow> = rows.into_iter().map(|row| row.into_row(stream)).collect();
    let cost = Cost::of(rows.iter().map(|row| row.entry.body.len()));
    let upto = match rows.last() {
        Some(last) if portion.is_full(cost) => last.entry.seq,
        _ => Ord::max(head.at, after),
    };
    Some(JournalPage {
        epoch: head.kind,
        head: head.at,
        trimmed: head.expires_at.unwrap_or(0),
        upto,
        rows,
    })
}

impl Read {
    fn into_row(self, stream: &str) -> JournalRow {
        let command = match (self.open, self.expires_at, self.attempt) {
            (Some(open), Some(expires_at), Some(attempt)) => {
                Some(CommandState { open, expires_at, attempt })
            }
            _ => None,
        };
        let first = match (self.data_type, self.priority) {
            (Some(data_type), Some(priority)) => Some(FirstAttempt { data_type, priority }),
            _ => None,
        };
        let entry = Model {
            stream: stream.to_owned(),
            seq: self.seq,
            kind: self.kind,
            at: self.at,
            body: self.body,
            device_id: self.device_id,
            requires: self.requires,
            command_id: self.command_id,
        };
        JournalRow { entry, command, first }
    }
}
