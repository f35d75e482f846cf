//! Command rows.

use std::collections::BTreeSet;

use sea_orm::sea_query::{Expr, ExprTrait, OnConflict, Query};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, Iterable, QueryFilter, QueryOrder,
    QuerySelect, Select,
};
use tidegate_entity::command::{ActiveModel, Column, Entity, Model};
use tidegate_entity::command_delivery;
use tidegate_protocol::command::{Channel, CommandStatus};

use crate::store::bulk::{KEYS_PER_STATEMENT, insert_rows, one_of};
use crate::store::head;
use crate::store::order::Place;
use crate::store::portion::{Portion, Portioned};
use crate::store::write::Transaction;

mod table;

pub use table::{Command, Wanted};

/// One command.
pub async fn get(db: &impl ConnectionTrait, id: &str) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id).one(db).await
}

/// These commands, kept from other writers until the transaction ends.
pub async fn lock(db: &Transaction, ids: &[String]) -> Result<Vec<Model>, DbErr> {
    db.locks(Place::Command);
    let mut sorted: Vec<&str> = ids.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    let mut found = Vec::new();
    for chunk in sorted.chunks(KEYS_PER_STATEMENT) {
        let query = Entity::find()
            .filter(one_of(db, Column::Id, chunk.iter().copied()))
            .order_by_asc(Column::Id)
            .lock_exclusive();
        found.extend(query.all(db).await?);
    }
    Ok(found)
}

/// Whose these commands are: (command, user) pairs of those that exist.
pub async fn owners(
    db: &impl ConnectionTrait,
    ids: &[String],
) -> Result<Vec<(String, String)>, DbErr> {
    let mut found: Vec<(String, String)> = Vec::new();
    for chunk in ids.chunks(KEYS_PER_STATEMENT) {
        let query = Entity::find()
            .select_only()
            .column(Column::Id)
            .column(Column::UserId)
            .filter(one_of(db, Column::Id, chunk.iter().map(String::as_str)));
        found.extend(query.into_tuple::<(String, String)>().all(db).await?);
    }
    Ok(found)
}

/// Ids of open commands whose time has come, earliest first.
pub async fn due(db: &impl ConnectionTrait, now: i64, limit: u64) -> Result<Vec<String>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::Open.eq(true))
        .filter(Column::DueAt.lte(now))
        .order_by_asc(Column::DueAt)
        .limit(limit)
        .into_tuple()
        .all(db)
        .await
}

/// Ids of a user's open commands: those addressed to `device_id`, or, with
/// none, those addressed to nobody.
pub async fn open_ids(
    db: &impl ConnectionTrait,
    user_id: &str,
    device_id: Option<&str>,
) -> Result<Vec<String>, DbErr> {
    let addressed = match device_id {
        Some(device_id) => Column::DeviceId.eq(device_id),
        None => Column::DeviceId.is_null(),
    };
    Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::UserId.eq(user_id))
        .filter(Column::Open.eq(true))
        .filter(addressed)
        .into_tuple()
        .all(db)
        .await
}

/// Ids of a user's open commands that require one of these capabilities.
pub async fn open_requiring(
    db: &impl ConnectionTrait,
    user_id: &str,
    capabilities: &[String],
) -> Result<Vec<String>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::UserId.eq(user_id))
        .filter(Column::Open.eq(true))
        .filter(Column::Requires.is_in(capabilities.iter().map(String::as_str)))
        .into_tuple()
        .all(db)
        .await
}

/// The user's open commands after a position that the portion holds, in order.
pub async fn open_after(
    db: &impl ConnectionTrait,
    user_id: &str,
    after: i64,
    portion: Portion,
) -> Result<Portioned<Model>, DbErr> {
    let open = |after: i64| {
        Condition::all()
            .add(Column::UserId.eq(user_id))
            .add(Column::Open.eq(true))
            .add(Column::LastSeq.gt(after))
    };
    let in_portion = portion.holds::<Entity, _>([Column::LastSeq], &[Column::Value], open(after));
    let query = Entity::find().filter(open(after)).filter(in_portion);
    let rows = query.order_by_asc(Column::LastSeq).limit(portion.rows as u64).all(db).await?;
    let bytes = |row: &Model| row.value.len();
    portion.of::<Entity, _>(db, rows, bytes, |row| open(row.last_seq)).await
}

/// Rows without their value, which is most of them and may be large.
fn without_value() -> Select<Entity> {
    let columns = Column::iter().filter(|column| !matches!(column, Column::Value));
    Entity::find().select_only().columns(columns).expr_as(Expr::val(""), "value")
}

/// A user's open commands after a position, in order, with empty values.
pub async fn open_after_without_value(
    db: &impl ConnectionTrait,
    user_id: &str,
    after: i64,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    without_value()
        .filter(Column::UserId.eq(user_id))
        .filter(Column::Open.eq(true))
        .filter(Column::LastSeq.gt(after))
        .order_by_asc(Column::LastSeq)
        .limit(limit)
        .all(db)
        .await
}

/// A stretch of a user's stream that a device has acked.
#[derive(Clone, Debug)]
pub struct AckedRange {
    /// The user.
    pub user_id: String,
    /// Acked before, exclusive.
    pub after: i64,
    /// Acked now, inclusive.
    pub upto: i64,
}

/// Open commands whose current attempt lies in one of these stretches, with
/// empty values.
pub async fn open_in(
    db: &impl ConnectionTrait,
    ranges: &[AckedRange],
) -> Result<Vec<Model>, DbErr> {
    let mut found = Vec::new();
    for chunk in ranges.chunks(RANGES_PER_STATEMENT) {
        let any = chunk.iter().fold(Condition::any(), |any, range| {
            any.add(
                Condition::all()
                    .add(Column::UserId.eq(range.user_id.as_str()))
                    .add(Column::Open.eq(true))
                    .add(Column::LastSeq.gt(range.after))
                    .add(Column::LastSeq.lte(range.upto)),
            )
        });
        found.extend(without_value().filter(any).all(db).await?);
    }
    Ok(found)
}

/// SQLite parses an expression at most 1,000 levels deep.
const RANGES_PER_STATEMENT: usize = 200;

/// New commands.
pub async fn insert(db: &impl ConnectionTrait, rows: Vec<Model>) -> Result<(), DbErr> {
    insert_rows(db, rows.into_iter().map(ActiveModel::from), None).await
}

/// Writes changed commands back, many in one statement.
pub async fn update(db: &impl ConnectionTrait, rows: Vec<Model>) -> Result<(), DbErr> {
    let changeable = Column::iter().filter(|column| !matches!(column, Column::Id));
    let on_conflict = OnConflict::column(Column::Id).update_columns(changeable).to_owned();
    insert_rows(db, rows.into_iter().map(ActiveModel::from), Some(&on_conflict)).await
}

/// The statuses of open commands, for statements that name their rows by id.
/// With `open` in its place SQLite prefers the index that begins with it to
/// more than a few ids, and reads every open command there is.
const OPEN: [CommandStatus; 2] = [CommandStatus::Pending, CommandStatus::Sent];

/// Starts the clock for another attempt, at `due_at` unless life ends first. Of
/// the current attempt the first ack counts, and a look that comes before finds
/// this one too.
pub async fn start_retry_clock(
    db: &impl ConnectionTrait,
    ids: &[String],
    attempt: i32,
    due_at: i64,
) -> Result<(), DbErr> {
    for chunk in ids.chunks(KEYS_PER_STATEMENT) {
        Entity::update_many()
            .col_expr(Column::DueAt, Expr::value(due_at))
            .filter(one_of(db, Column::Id, chunk.iter().map(String::as_str)))
            .filter(Column::Status.is_in(OPEN))
            .filter(Column::Attempt.eq(attempt))
            .filter(Column::DueAt.gt(due_at))
            .exec(db)
            .await?;
    }
    Ok(())
}

/// Notes which push provider took a wake-up for these commands.
pub async fn mark_pushed(
    db: &impl ConnectionTrait,
    ids: &[String],
    provider: Channel,
) -> Result<(), DbErr> {
    for chunk in ids.chunks(KEYS_PER_STATEMENT) {
        Entity::update_many()
            .col_expr(Column::PushedBy, Expr::value(provider))
            .filter(one_of(db, Column::Id, chunk.iter().map(String::as_str)))
            .filter(Column::Status.is_in(OPEN))
            .exec(db)
            .await?;
    }
    Ok(())
}

/// Users after `after` with open commands for which no push provider took a
/// wake-up, in id order.
pub async fn users_with_unpushed(
    db: &impl ConnectionTrait,
    after: &str,
    limit: u64,
) -> Result<Vec<String>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::UserId)
        .distinct()
        .filter(Column::UserId.gt(after))
        .filter(Column::Open.eq(true))
        .filter(Column::PushedBy.is_null())
        .order_by_asc(Column::UserId)
        .limit(limit)
        .into_tuple()
        .all(db)
        .await
}

/// What a list asks for.
#[derive(Clone, Debug, Default)]
pub struct ListFilter {
    /// Whose commands; all users' where absent.
    pub user_id: Option<String>,
    /// The status.
    pub status: Option<CommandStatus>,
    /// Commands older than this id (ids are time-ordered).
    pub before: Option<String>,
    /// To judge expiry by, milliseconds since the epoch.
    pub now: i64,
}

/// Whether an open command went to a device: its deliveries tell. Older versions
/// noted it in the row.
fn is_sent() -> Expr {
    let delivery = |column| Expr::col((command_delivery::Entity, column));
    let went = Query::select()
        .expr(Expr::val(1))
        .from(command_delivery::Entity)
        .and_where(delivery(command_delivery::Column::CommandId).equals((Entity, Column::Id)))
        .and_where(
            delivery(command_delivery::Column::SocketAt)
                .is_not_null()
                .or(delivery(command_delivery::Column::PollAt).is_not_null()),
        )
        .take();
    Column::Status.eq(CommandStatus::Sent).or(Expr::exists(went))
}

/// Commands, newest first.
pub async fn list(
    db: &impl ConnectionTrait,
    filter: &ListFilter,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    let mut query = Entity::find().order_by_desc(Column::Id).limit(limit);
    if let Some(user_id) = &filter.user_id {
        query = query.filter(Column::UserId.eq(user_id.as_str()));
    }
    if let Some(before) = &filter.before {
        query = query.filter(Column::Id.lt(before.as_str()));
    }
    query = match filter.status {
        None => query,
        // An expiry shows at once, even where it is not journalled yet.
        Some(CommandStatus::Expired) => query.filter(
            Condition::any()
                .add(Column::Status.eq(CommandStatus::Expired))
                .add(Column::Open.eq(true).and(Column::ExpiresAt.lte(filter.now))),
        ),
        Some(open @ (CommandStatus::Pending | CommandStatus::Sent)) => {
            let is_sent = is_sent();
            query
                .filter(Column::Status.is_in(OPEN))
                .filter(if open == CommandStatus::Sent { is_sent } else { is_sent.not() })
                .filter(Column::ExpiresAt.gt(filter.now))
        }
        Some(status) => query.filter(Column::Status.eq(status)),
    };
    query.all(db).await
}

/// Ids of commands closed before `closed_before`, for retention.
pub async fn closed_before(
    db: &impl ConnectionTrait,
    closed_before: i64,
    limit: u64,
) -> Result<Vec<String>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::Open.eq(false))
        .filter(Column::DueAt.lt(closed_before))
        .filter(Column::ClosedAt.lt(closed_before))
        .limit(limit)
        .into_tuple()
        .all(db)
        .await
}

/// Forgets commands.
pub async fn remove(db: &Transaction, ids: &[String]) -> Result<(), DbErr> {
    if db.is_embedded() {
        let owners = owners(db, ids).await?;
        let streams: BTreeSet<String> =
            owners.iter().map(|(_, user_id)| format!("user:{user_id}")).collect();
        head::settle(db, &streams.into_iter().collect::<Vec<_>>()).await?;
    }
    for chunk in ids.chunks(KEYS_PER_STATEMENT) {
        Entity::delete_many()
            .filter(one_of(db, Column::Id, chunk.iter().map(String::as_str)))
            .exec(db)
            .await?;
    }
    Ok(())
}
