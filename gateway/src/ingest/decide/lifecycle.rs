//! A command's way to its final status: closing, retrying, expiring.

use tidegate_entity::command;
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::command::{Channel, CommandStatus};
use tidegate_protocol::entry::{CommandClosedBody, kind};
use tidegate_protocol::id::{CommandId, Seq};
use tidegate_protocol::limits::COMMAND_ATTEMPTS;
use tidegate_protocol::time::Timestamp;

use crate::error::{ApiError, ApiResult};
use crate::ingest::decide::wake;
use crate::ingest::working::{Append, Closed, Working, is_eligible, user_stream};
use crate::journal::snapshot::command_body;

/// The status as it reads at `now`: an expiry shows at once.
pub(crate) fn status_at(row: &command::Model, now: Timestamp) -> CommandStatus {
    if row.open && row.expires_at <= now.millis() {
        return CommandStatus::Expired;
    }
    CommandStatus::from_word(&row.status).unwrap_or(CommandStatus::Pending)
}

/// Appends an entry about a command, for the devices it concerns.
pub(super) fn append_command(
    working: &mut Working,
    row: &command::Model,
    kind: &'static str,
    body: String,
) {
    working.changes.appends.push(Append {
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
pub(super) struct Decision {
    pub(super) device_id: String,
    pub(super) attempt: i32,
    pub(super) error: Option<String>,
    pub(super) channel: Channel,
}

/// Gives an open command its final status and tells the devices it concerned.
pub(super) fn close(
    working: &mut Working,
    id: &str,
    status: CommandStatus,
    decision: Option<Decision>,
) {
    let Some(state) = working.commands.get_mut(id) else { return };
    debug_assert!(state.row.open && status.is_final());
    state.row.open = false;
    status.as_str().clone_into(&mut state.row.status);
    state.row.closed_at = Some(working.now.millis());
    state.row.due_at = state.row.expires_at;
    let tier = decision.as_ref().map(|decision| tier(&state.row, decision.channel));
    if let Some(decision) = decision {
        state.row.decided_by = Some(decision.device_id);
        state.row.decided_attempt = Some(decision.attempt);
        state.row.decided_error = decision.error;
    }
    let row = state.row.clone();
    *working.changes.pending.entry(user_stream(&row.user_id)).or_default() -= 1;
    working.changes.changed_commands.insert(row.id.clone());
    working.changes.closed.push(Closed { command_id: row.id.clone(), tier });
    let Ok(command_id) = CommandId::parse(&row.id) else { return };
    let body = CommandClosedBody { command_id, status };
    let body = serde_json::to_string(&body).expect("two words serialise");
    append_command(working, &row, kind::COMMAND_CLOSED, body);
}

/// The tier that won: the push provider that woke a device for the command,
/// the socket, or else the poll.
fn tier(row: &command::Model, reported_by: Channel) -> Channel {
    let pushed_by = row.pushed_by.as_deref().and_then(Channel::from_word);
    pushed_by.unwrap_or(if reported_by == Channel::Socket {
        Channel::Socket
    } else {
        Channel::Poll
    })
}

/// Makes another attempt of an open command.
pub(super) fn retry(working: &mut Working, id: &str) {
    let Some(state) = working.commands.get_mut(id) else { return };
    debug_assert!(state.row.open && state.row.attempt < COMMAND_ATTEMPTS);
    state.row.attempt += 1;
    state.row.due_at = state.row.expires_at;
    let row = state.row.clone();
    working.changes.changed_commands.insert(row.id.clone());
    append_attempt(working, &row);
}

/// Appends the entry of a command's current attempt.
pub(super) fn append_attempt(working: &mut Working, row: &command::Model) {
    let Some(body) = command_body(row) else { return };
    let body = serde_json::to_string(&body).expect("a command's body serialises");
    append_command(working, row, kind::COMMAND, body);
    wake::for_command(working, row);
}

/// Closes the command as expired if its life is over and nobody did yet.
pub(super) fn expire_if_over(working: &mut Working, id: &str) {
    let now = working.now.millis();
    let is_over = working.commands.get(id).is_some_and(|c| c.row.open && c.row.expires_at <= now);
    if is_over {
        close(working, id, CommandStatus::Expired, None);
    }
}

/// Closes an open command with the last outcome if no device is left that may
/// still carry it out.
pub(super) fn close_if_settled(working: &mut Working, id: &str, channel: Channel) {
    let Some(state) = working.commands.get(id).filter(|state| state.row.open) else { return };
    let settled = |device_id: &str| {
        state.outcomes.iter().any(|outcome| outcome.settles && outcome.device_id == device_id)
    };
    let devices = working.devices.get(&state.row.user_id);
    let is_left = devices
        .into_iter()
        .flat_map(|devices| devices.values())
        .any(|device| is_eligible(&state.row, device) && !settled(&device.device_id));
    let Some(last) = state.outcomes.iter().rev().find(|outcome| outcome.settles) else { return };
    if is_left {
        return;
    }
    let status = CommandStatus::from_word(&last.status).unwrap_or(CommandStatus::Failed);
    let decision = Decision {
        device_id: last.device_id.clone(),
        attempt: last.attempt,
        error: last.error.clone(),
        channel,
    };
    close(working, id, status, Some(decision));
}

/// The backend takes a command back.
pub(super) fn cancel(working: &mut Working, id: &CommandId) -> ApiResult<()> {
    if !working.commands.contains_key(id.as_str()) {
        return Err(ApiError::new(ErrorCode::NotFound, "there is no such command"));
    }
    expire_if_over(working, id.as_str());
    let row = &working.commands[id.as_str()].row;
    if !row.open {
        let message = format!("the command already has its final status, `{}`", row.status);
        return Err(ApiError::new(ErrorCode::CommandFinal, message));
    }
    close(working, id.as_str(), CommandStatus::Cancelled, None);
    Ok(())
}

/// Ends or retries a command whose time has come.
pub(super) fn sweep(working: &mut Working, id: &str) {
    expire_if_over(working, id);
    let now = working.now.millis();
    let Some(state) = working.commands.get_mut(id) else { return };
    if !state.row.open || state.row.due_at > now {
        return;
    }
    if state.row.attempt < COMMAND_ATTEMPTS {
        retry(working, id);
    } else {
        state.row.due_at = state.row.expires_at;
        working.changes.changed_commands.insert(id.to_owned());
    }
}
