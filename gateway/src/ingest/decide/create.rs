//! New commands: idempotency, address, bound, entry.

use tidegate_entity::idempotency_key;
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::entry::kind;

use crate::error::{ApiError, ApiResult};
use crate::ingest::IngestOptions;
use crate::ingest::decide::lifecycle::append_command;
use crate::ingest::decide::wake;
use crate::ingest::job::{Idempotency, NewCommand};
use crate::ingest::working::{CommandState, Needs, Working, user_stream};

/// A key is kept at least this long, and at least as long as its command:
/// 24 h in milliseconds.
pub(super) const KEY_LIFE_MS: i64 = 24 * 3600 * 1000;

pub(super) fn needs(commands: &[NewCommand], options: &IngestOptions, needs: &mut Needs) {
    for command in commands {
        needs.streams.insert(user_stream(&command.row.user_id));
        if command.row.device_id.is_some() || options.push_bucket_milli.is_some() {
            needs.users.insert(command.row.user_id.clone());
        }
        if let Some(idempotency) = &command.idempotency {
            needs.keys.insert((idempotency.caller.clone(), idempotency.key.clone()));
        }
    }
}

/// Accepts a command; its id, and whether it is new.
pub(super) fn create(working: &mut Working, command: &NewCommand) -> ApiResult<(String, bool)> {
    if let Some(idempotency) = &command.idempotency
        && let Some(known) = known(working, idempotency)?
    {
        return Ok((known, false));
    }
    let row = &command.row;
    if let Some(device_id) = &row.device_id {
        let devices = working.devices.get(&row.user_id);
        if !devices.is_some_and(|devices| devices.contains_key(device_id)) {
            return Err(ApiError::new(ErrorCode::DeviceNotFound, "the user has no such device"));
        }
    }
    let stream = user_stream(&row.user_id);
    let pending_max = working.options.pending_per_user;
    if working.pending_of(&stream) >= pending_max {
        let message = format!("the user has {pending_max} commands without a final status");
        return Err(ApiError::new(ErrorCode::TooManyPending, message).with_retry_after(60));
    }
    if let Some(idempotency) = &command.idempotency {
        remember(working, idempotency, command);
    }
    *working.changes.pending.entry(stream).or_default() += 1;
    working.changes.new_commands.push(row.id.clone());
    append_command(working, row, kind::COMMAND, command.body.clone());
    wake::for_command(working, row);
    let state = CommandState { row: row.clone(), outcomes: Vec::new() };
    working.commands.insert(row.id.clone(), state);
    Ok((row.id.clone(), true))
}

/// The command this key stands for already.
fn known(working: &Working, idempotency: &Idempotency) -> ApiResult<Option<String>> {
    let key = (idempotency.caller.clone(), idempotency.key.clone());
    let Some(known) = working.idempotency.get(&key) else { return Ok(None) };
    match &known.command_id {
        Some(id) if known.request_hash == idempotency.request_hash => Ok(Some(id.clone())),
        _ => Err(mismatch()),
    }
}

/// The refusal of a key that came with another request before.
pub(super) fn mismatch() -> ApiError {
    ApiError::new(
        ErrorCode::IdempotencyMismatch,
        "this Idempotency-Key was used with another request",
    )
}

fn remember(working: &mut Working, idempotency: &Idempotency, command: &NewCommand) {
    let row = idempotency_key::Model {
        caller: idempotency.caller.clone(),
        key: idempotency.key.clone(),
        request_hash: idempotency.request_hash.clone(),
        command_id: Some(command.row.id.clone()),
        answer: None,
        expires_at: Ord::max(command.row.expires_at, working.now.plus_millis(KEY_LIFE_MS).millis()),
    };
    working.idempotency.insert((row.caller.clone(), row.key.clone()), row.clone());
    working.changes.idempotency.push(row);
}
