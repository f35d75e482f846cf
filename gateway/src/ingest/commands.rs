//! Commands: accepting them, what devices report about them, and how they end.

use tidegate_entity::{command, device};
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::command::{Channel, CommandResult, CommandStatus, Priority, ResultAnswer};
use tidegate_protocol::entry::CommandBody;
use tidegate_protocol::id::{CommandId, DeviceId, UserId};
use tidegate_protocol::limits::{COMMAND_TTL_DEFAULT_S, ENTRY_BYTES};
use tidegate_protocol::rest::{CommandAccepted, CreateCommand};
use tidegate_protocol::time::Timestamp;

use crate::error::{ApiError, ApiResult};
use crate::ingest::Ingest;
use crate::ingest::idempotency::{CallerKey, Idempotency};

mod create;
pub(super) mod lifecycle;
mod report;

pub(crate) use lifecycle::status_at;

/// Bytes of an entry around its body: position, kind and time.
pub(super) const ENTRY_FRAME_BYTES: usize = 96;

/// A command ready to be stored: checked and serialised by its caller, so
/// that the writer does neither.
#[derive(Clone, Debug)]
pub struct NewCommand {
    /// The row, without positions.
    pub(super) row: command::Model,
    /// The body of its first entry.
    pub(super) body: String,
    /// The caller's key.
    pub(super) idempotency: Option<Idempotency>,
}

/// A command as accepted now or before.
#[derive(Clone, Debug)]
pub struct Created {
    /// The command as it stands.
    pub accepted: CommandAccepted,
    /// Whether this request made it.
    pub is_new: bool,
}

/// Outcomes a device reports.
#[derive(Clone, Debug)]
pub struct Report {
    /// Whose device.
    pub user_id: UserId,
    /// Which device.
    pub device_id: DeviceId,
    /// How the report came: socket or HTTP.
    pub channel: Channel,
    /// At most 100.
    pub results: Vec<CommandResult>,
}

impl Ingest {
    /// Makes a checked request a command: id, times, entry body.
    pub fn prepare(&self, request: &CreateCommand, key: CallerKey) -> ApiResult<NewCommand> {
        let now = self.clock().now();
        let ttl_s = request.ttl_s.unwrap_or(COMMAND_TTL_DEFAULT_S);
        let body = CommandBody {
            command_id: CommandId::generate(),
            attempt: 1,
            data_type: request.data_type.clone(),
            value: request.value.clone(),
            priority: request.priority.unwrap_or(Priority::Normal),
            expires_at: now.plus_millis(ttl_s * 1000),
            device_id: request.device_id.clone(),
        };
        let body_json = serde_json::to_string(&body).map_err(|e| ApiError::internal(&e))?;
        if body_json.len() + ENTRY_FRAME_BYTES > ENTRY_BYTES {
            return Err(ApiError::new(ErrorCode::TooLarge, "the command is larger than 128 KiB"));
        }
        let idempotency = Idempotency::of(key, "command", request);
        Ok(NewCommand { row: new_row(request, &body, now), body: body_json, idempotency })
    }

    /// Commits new commands; an answer for each, in order.
    pub async fn create(&self, commands: Vec<NewCommand>) -> ApiResult<Vec<ApiResult<Created>>> {
        self.submit(create::Create(commands)).await
    }

    /// Commits outcomes a device reports; an answer for each, in order.
    pub async fn report(&self, report: Report) -> ApiResult<Vec<ResultAnswer>> {
        self.submit(report).await
    }

    /// Takes a command back.
    pub async fn cancel(&self, id: CommandId) -> ApiResult<()> {
        self.submit(lifecycle::Cancel(id)).await
    }

    /// Ends or retries commands whose time has come.
    pub async fn settle_due(&self, ids: Vec<String>) -> ApiResult<()> {
        self.submit(lifecycle::SettleDue(ids)).await
    }
}

fn new_row(request: &CreateCommand, body: &CommandBody, now: Timestamp) -> command::Model {
    command::Model {
        id: body.command_id.as_str().to_owned(),
        user_id: request.user_id.as_str().to_owned(),
        device_id: request.device_id.as_ref().map(|id| id.as_str().to_owned()),
        data_type: request.data_type.clone(),
        value: request.value.get().to_owned(),
        priority: body.priority,
        requires: request.requires.clone(),
        status: CommandStatus::Pending,
        open: true,
        attempt: 1,
        seq: 0,
        last_seq: 0,
        created_at: now.millis(),
        expires_at: body.expires_at.millis(),
        closed_at: None,
        due_at: body.expires_at.millis(),
        decided_by: None,
        decided_attempt: None,
        decided_error: None,
        pushed_by: None,
    }
}

/// Whether the command is one the device may carry out.
pub(crate) fn is_eligible(command: &command::Model, device: &device::Model) -> bool {
    let addressed =
        command.device_id.as_ref().is_none_or(|device_id| *device_id == device.device_id);
    addressed && command.requires.as_ref().is_none_or(|needed| device.capabilities.contains(needed))
}
