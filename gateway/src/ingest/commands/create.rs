//! New commands: idempotency, address, bound, entry.

use tidegate_entity::{command, device};
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::entry::kind;
use tidegate_protocol::id::{CommandId, Seq, StreamName};
use tidegate_protocol::rest::CommandAccepted;
use tidegate_protocol::time::Timestamp;

use crate::error::{ApiError, ApiResult};
use crate::ingest::IngestOptions;
use crate::ingest::commands::lifecycle::{append_command, first_look, status_with_deliveries};
use crate::ingest::commands::{Created, NewCommand};
use crate::ingest::idempotency::Idempotency;
use crate::ingest::unit::{ReadSet, UnitOfWork, user_stream};
use crate::ingest::wakes;
use crate::ingest::write::Write;
use crate::store::command::Command;
use crate::store::device::{DeviceKey, Wanted};

/// New commands, judged one by one.
pub(super) struct Create(pub(super) Vec<NewCommand>);

impl Write for Create {
    /// Each command's id, and whether it is new.
    type Draft = Vec<ApiResult<(String, bool)>>;
    type Answer = Vec<ApiResult<Created>>;

    fn weight(&self) -> usize {
        self.0.len()
    }

    fn reads(&self, reads: &mut ReadSet, options: &IngestOptions) {
        for command in &self.0 {
            let row = &command.row;
            reads.streams.insert(user_stream(&row.user_id));
            if row.device_id.is_some() || options.push_bucket_milli.is_some() {
                let user_id = row.user_id.clone();
                reads.rows.want::<device::Entity>(Wanted::Of { user_id });
            }
            if let Some(idempotency) = &command.idempotency {
                idempotency.reads(reads);
            }
        }
    }

    fn decide(&self, unit: &mut UnitOfWork) -> ApiResult<Self::Draft> {
        let drafts: Self::Draft = self.0.iter().map(|command| create(unit, command)).collect();
        let new = drafts.iter().flatten().filter(|(_, is_new)| *is_new).count() as u64;
        unit.after_commit(move |metrics| metrics.commands_accepted.inc_by(new));
        Ok(drafts)
    }

    fn answer(&self, unit: &mut UnitOfWork, drafts: Self::Draft) -> ApiResult<Self::Answer> {
        Ok(drafts.into_iter().map(|draft| draft.and_then(|draft| created(unit, &draft))).collect())
    }
}

fn created(unit: &UnitOfWork, (id, is_new): &(String, bool)) -> ApiResult<Created> {
    let command = unit.command(id);
    let row = &command.ok_or_else(|| ApiError::internal(&"a command of the batch is gone"))?.row;
    let accepted = CommandAccepted {
        command_id: CommandId::parse(&row.id).map_err(|e| ApiError::internal(&e))?,
        status: status_with_deliveries(unit, row),
        stream: StreamName::parse(&user_stream(&row.user_id))
            .map_err(|e| ApiError::internal(&e))?,
        seq: Seq::new(row.seq),
        expires_at: Timestamp::from_millis(row.expires_at),
    };
    Ok(Created { accepted, is_new: *is_new })
}

/// Accepts a command; its id, and whether it is new.
fn create(unit: &mut UnitOfWork, command: &NewCommand) -> ApiResult<(String, bool)> {
    if let Some(idempotency) = &command.idempotency
        && let Some(known) = idempotency.known(unit)?
    {
        let id = known.command_id.clone().ok_or_else(Idempotency::mismatch)?;
        return Ok((id, false));
    }
    let row = &command.row;
    if let Some(device_id) = &row.device_id {
        let key = DeviceKey { user_id: row.user_id.clone(), device_id: device_id.clone() };
        if unit.device(&key).is_none() {
            return Err(ApiError::new(ErrorCode::DeviceNotFound, "the user has no such device"));
        }
    }
    let stream = user_stream(&row.user_id);
    let pending_max = unit.options.pending_per_user;
    if unit.pending_of(&stream) >= pending_max {
        let message = format!("the user has {pending_max} commands without a final status");
        return Err(ApiError::new(ErrorCode::TooManyPending, message).with_retry_after(60));
    }
    if let Some(idempotency) = &command.idempotency {
        idempotency.keep(unit, Some(row.id.clone()), None, row.expires_at);
    }
    unit.add_pending(stream, 1);
    append_command(unit, row, kind::COMMAND, command.body.clone());
    wakes::for_command(unit, row);
    let due_at = first_look(unit, row);
    let row = command::Model { due_at, ..row.clone() };
    unit.rows.put::<command::Entity>(Command::new(row));
    Ok((command.row.id.clone(), true))
}
