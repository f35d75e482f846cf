//! A command's way to its final status: closing, retrying, expiring.

use sea_orm::DbErr;
use tidegate_entity::{command, command_delivery, device};
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::command::{Channel, CommandStatus};
use tidegate_protocol::entry::{CommandClosedBody, kind};
use tidegate_protocol::id::{CommandId, Seq};
use tidegate_protocol::limits::COMMAND_ATTEMPTS;
use tidegate_protocol::time::Timestamp;

use crate::error::{ApiError, ApiResult};
use crate::ingest::IngestOptions;
use crate::ingest::commands::is_eligible;
use crate::ingest::unit::{NewEntry, ReadSet, UnitOfWork, user_stream};
use crate::ingest::wakes;
use crate::ingest::write::Write;
use crate::journal::snapshot::command_body;
use crate::metrics::Metrics;
use crate::metrics::label::FinalStatus;
use crate::store;
use crate::store::command::Command;
use crate::store::write::Transaction;

/// The status as it reads at `now`: an expiry shows at once. That an open command
/// was sent is known from its deliveries.
pub(crate) fn status_at(row: &command::Model, now: Timestamp) -> CommandStatus {
    if row.open && row.expires_at <= now.millis() {
        return CommandStatus::Expired;
    }
    row.status
}

/// Appends an entry about a command, for the devices it concerns.
pub(in crate::ingest) fn append_command(
    unit: &mut UnitOfWork,
    row: &command::Model,
    kind: &'static str,
    body: String,
) {
    unit.append(NewEntry {
        stream: user_stream(&row.user_id),
        seq: Seq::ZERO,
        kind,
        body,
        device_id: row.device_id.clone(),
        requires: row.requires.clone(),
        command_id: Some(row.id.clone()),
    });
}

/// Who decided a command.
#[derive(Clone, Debug)]
pub(in crate::ingest) struct Decision {
    pub(in crate::ingest) device_id: String,
    pub(in crate::ingest) attempt: i32,
    pub(in crate::ingest) error: Option<String>,
    pub(in crate::ingest) channel: Channel,
}

/// Gives an open command its final status and tells the devices it concerned.
pub(in crate::ingest) fn close(
    unit: &mut UnitOfWork,
    id: &String,
    status: CommandStatus,
    decision: Option<Decision>,
) {
    let now = unit.now.millis();
    let Some(state) = unit.edit_command(id) else { return };
    debug_assert!(state.row.open && status.is_final());
    state.row.open = false;
    state.row.status = status;
    state.row.closed_at = Some(now);
    state.row.due_at = state.row.expires_at;
    let tier = decision.as_ref().map(|decision| tier(&state.row, decision.channel));
    if let Some(decision) = decision {
        state.row.decided_by = Some(decision.device_id);
        state.row.decided_attempt = Some(decision.attempt);
        state.row.decided_error = decision.error;
    }
    let row = state.row.clone();
    unit.add_pending(user_stream(&row.user_id), -1);
    let age_ms = now - row.created_at;
    unit.after_commit(move |metrics| count_closed(metrics, status, tier, age_ms));
    let Ok(command_id) = CommandId::parse(&row.id) else { return };
    let body = CommandClosedBody { command_id, status };
    let body = serde_json::to_string(&body).expect("two words serialise");
    append_command(unit, &row, kind::COMMAND_CLOSED, body);
}

/// The tier that won: the push provider that woke a device for the command,
/// the socket, or else the poll.
fn tier(row: &command::Model, reported_by: Channel) -> Channel {
    row.pushed_by.unwrap_or(if reported_by == Channel::Socket {
        Channel::Socket
    } else {
        Channel::Poll
    })
}

/// When an attempt made now is looked at for the first time. Where somebody
/// follows the user's stream here, as soon as it may be tried again, were it acked
/// at once: until then an ack is written nowhere but in the row of its delivery,
/// and most commands are closed by then. Others wait for their end, and an ack
/// sets the time.
pub(in crate::ingest) fn first_look(unit: &UnitOfWork, row: &command::Model) -> i64 {
    let is_followed = || unit.hub.topic(&user_stream(&row.user_id)).is_some();
    if row.attempt < COMMAND_ATTEMPTS && is_followed() {
        let at = unit.now.plus_millis(unit.options.retry_after_ms());
        row.expires_at.min(at.millis())
    } else {
        row.expires_at
    }
}

/// Makes another attempt of an open command.
pub(in crate::ingest) fn retry(unit: &mut UnitOfWork, id: &String) {
    let Some(state) = unit.edit_command(id) else { return };
    debug_assert!(state.row.open && state.row.attempt < COMMAND_ATTEMPTS);
    state.row.attempt += 1;
    let mut row = state.row.clone();
    row.due_at = first_look(unit, &row);
    if let Some(state) = unit.edit_command(id) {
        state.row.due_at = row.due_at;
    }
    append_attempt(unit, &row);
}

/// Appends the entry of a command's current attempt.
pub(in crate::ingest) fn append_attempt(unit: &mut UnitOfWork, row: &command::Model) {
    let Some(body) = command_body(row) else { return };
    let body = serde_json::to_string(&body).expect("a command's body serialises");
    append_command(unit, row, kind::COMMAND, body);
    wakes::for_command(unit, row);
}

/// Closes the command as expired if its life is over and nobody did yet.
pub(in crate::ingest) fn expire_if_over(unit: &mut UnitOfWork, id: &String) {
    let now = unit.now.millis();
    let is_over = unit.command(id).is_some_and(|c| c.row.open && c.row.expires_at <= now);
    if is_over {
        close(unit, id, CommandStatus::Expired, None);
    }
}

/// Closes an open command with the last outcome if no device is left that may
/// still carry it out.
pub(in crate::ingest) fn close_if_settled(unit: &mut UnitOfWork, id: &String, channel: Channel) {
    let Some(state) = unit.command(id).filter(|state| state.row.open) else { return };
    let settled = |device_id: &str| {
        state.outcomes.iter().any(|outcome| outcome.settles && outcome.device_id == device_id)
    };
    let is_left = unit
        .devices_of(&state.row.user_id)
        .any(|device| is_eligible(&state.row, device) && !settled(&device.device_id));
    let Some(last) = state.outcomes.iter().rev().find(|outcome| outcome.settles) else { return };
    if is_left {
        return;
    }
    let status = last.status.status();
    let decision = Decision {
        device_id: last.device_id.clone(),
        attempt: last.attempt,
        error: last.error.clone(),
        channel,
    };
    close(unit, id, status, Some(decision));
}

/// The backend takes a command back.
pub(super) struct Cancel(pub(super) CommandId);

impl Write for Cancel {
    type Draft = ();
    type Answer = ();

    fn reads(&self, _: &mut ReadSet, _: &IngestOptions) {}

    async fn locate(&self, tx: &Transaction, reads: &mut ReadSet) -> Result<(), DbErr> {
        locate(tx, reads, &[self.0.as_str().to_owned()]).await
    }

    fn decide(&self, unit: &mut UnitOfWork) -> ApiResult<()> {
        let id = self.0.as_str().to_owned();
        expire_if_over(unit, &id);
        let command = unit.command(&id);
        let row = &command.ok_or_else(no_such_command)?.row;
        if !row.open {
            let message = format!("the command already has its final status, `{}`", row.status);
            return Err(ApiError::new(ErrorCode::CommandFinal, message));
        }
        close(unit, &id, CommandStatus::Cancelled, None);
        Ok(())
    }

    fn answer(&self, _: &mut UnitOfWork, (): ()) -> ApiResult<()> {
        Ok(())
    }
}

fn no_such_command() -> ApiError {
    ApiError::new(ErrorCode::NotFound, "there is no such command")
}

/// Commands whose time has come: ended, or tried again.
pub(super) struct SettleDue(pub(super) Vec<String>);

impl Write for SettleDue {
    type Draft = ();
    type Answer = ();

    fn weight(&self) -> usize {
        self.0.len()
    }

    fn reads(&self, _: &mut ReadSet, _: &IngestOptions) {}

    async fn locate(&self, tx: &Transaction, reads: &mut ReadSet) -> Result<(), DbErr> {
        locate(tx, reads, &self.0).await
    }

    fn decide(&self, unit: &mut UnitOfWork) -> ApiResult<()> {
        self.0.iter().for_each(|id| settle_due(unit, id));
        Ok(())
    }

    fn answer(&self, _: &mut UnitOfWork, (): ()) -> ApiResult<()> {
        Ok(())
    }
}

/// Finds out whose commands these are (their streams tell of them) and where they
/// went.
async fn locate(tx: &Transaction, reads: &mut ReadSet, ids: &[String]) -> Result<(), DbErr> {
    for (id, user_id) in store::command::owners(tx, ids).await? {
        reads.streams.insert(user_stream(&user_id));
        reads.rows.want::<device::Entity>(store::device::Wanted::Of { user_id });
        reads.rows.want::<command_delivery::Entity>(id.clone());
        reads.rows.want::<command::Entity>(store::command::Wanted::Id(id));
    }
    Ok(())
}

/// Ends or retries a command whose time has come.
fn settle_due(unit: &mut UnitOfWork, id: &String) {
    expire_if_over(unit, id);
    let now = unit.now.millis();
    let due = |command: &Command| command.row.open && command.row.due_at <= now;
    let Some(command) = unit.command(id).filter(|command| due(command)) else { return };
    let retry_at = retry_at(unit, &command.row);
    if retry_at.is_some_and(|at| at <= now) {
        retry(unit, id);
    } else if let Some(command) = unit.edit_command(id) {
        let end = command.row.expires_at;
        command.row.due_at = retry_at.map_or(end, |at| at.min(end));
    }
}

/// When a command that is looked at should be tried again; `None` where another
/// attempt waits for an ack or is not left.
fn retry_at(unit: &UnitOfWork, row: &command::Model) -> Option<i64> {
    if row.attempt >= COMMAND_ATTEMPTS {
        return None;
    }
    let acked = deliveries(unit, &row.id).filter(|delivery| delivery.attempt == row.attempt);
    match acked.filter_map(|delivery| delivery.acked_at).min() {
        Some(acked_at) => Some(acked_at.saturating_add(unit.options.retry_after_ms())),
        // Older versions noted acks elsewhere, and the time to try again here.
        None if row.status == CommandStatus::Sent => Some(row.due_at),
        None => None,
    }
}

/// Where a command went, where that was asked for.
fn deliveries<'a>(
    unit: &'a UnitOfWork,
    id: &str,
) -> impl Iterator<Item = &'a command_delivery::Model> {
    let first = (id.to_owned(), String::new(), 0);
    let id = id.to_owned();
    unit.rows.range::<command_delivery::Entity>(first..).take_while(move |row| row.command_id == id)
}

/// As [`status_at`], also of a command that was sent: its deliveries must have
/// been asked for.
pub(super) fn status_with_deliveries(unit: &UnitOfWork, row: &command::Model) -> CommandStatus {
    let went = |row: &command_delivery::Model| row.socket_at.is_some() || row.poll_at.is_some();
    match status_at(row, unit.now) {
        CommandStatus::Pending if deliveries(unit, &row.id).any(went) => CommandStatus::Sent,
        status => status,
    }
}

fn count_closed(metrics: &Metrics, status: CommandStatus, tier: Option<Channel>, age_ms: i64) {
    if let Some(status) = FinalStatus::of(status) {
        metrics.commands_closed.of(status).inc();
    }
    #[expect(clippy::cast_precision_loss, reason = "ages of commands in milliseconds")]
    if let Some(tier) = tier {
        metrics.command_latency_seconds.of(tier).observe(age_ms as f64 / 1000.0);
    }
}
