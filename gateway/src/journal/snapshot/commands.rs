//! A user's open commands that concern a device.

use sea_orm::DbErr;
use serde_json::value::{RawValue, to_raw_value};
use tidegate_entity::command;
use tidegate_protocol::entry::{CommandBody, Item, kind};
use tidegate_protocol::id::{CommandId, DeviceId};
use tidegate_protocol::limits::PAGE_BYTES;
use tidegate_protocol::time::Timestamp;

use crate::journal::Attempt;
use crate::journal::frame::StreamId;
use crate::journal::snapshot::{Next, Part, Reading, Room, Source};
use crate::store;
use crate::store::portion::Portioned;

pub(super) struct Commands;

impl Source for Commands {
    /// The position of its current attempt.
    type After = i64;

    const NAME: &'static str = "commands";

    fn tells_of(stream: &StreamId) -> bool {
        stream.name.owner().is_some()
    }

    async fn read(
        reading: Reading<'_>,
        after: Option<i64>,
        room: Room,
    ) -> Result<Part<i64>, DbErr> {
        let Some(user_id) = reading.stream.name.owner() else { return Ok(Part::default()) };
        let (db, viewer) = (reading.store.readers(), reading.viewer);
        let mut at = after.unwrap_or_default();
        let read = store::command::open_after(db, user_id, at, room.portion()).await?;
        let Portioned { rows, is_last, cost } = read;
        let retried: Vec<String> =
            rows.iter().filter(|row| row.attempt > 1).map(|row| row.id.clone()).collect();
        let device_id = viewer.device_id.as_str();
        let settled = store::outcome::settled_by(db, device_id, &retried).await?;
        let mut part = Part { cost, ..Part::default() };
        let mut bytes = room.taken;
        for row in &rows {
            if part.items.len() >= room.items || bytes >= PAGE_BYTES {
                part.next = Next::After(at);
                return Ok(part);
            }
            at = row.last_seq;
            let concerned = viewer.is_concerned(row.device_id.as_deref(), row.requires.as_deref());
            let is_over = row.expires_at <= reading.now.millis();
            if !concerned || is_over || settled.contains(&row.id) {
                continue;
            }
            if let Some((command_id, item)) = command_item(row) {
                bytes += item.body.get().len();
                part.items.push(item);
                let (number, look_at) = (row.attempt, None);
                part.commands.push(Attempt { id: command_id, number, look_at });
            }
        }
        if !is_last {
            part.next = Next::After(at);
        }
        Ok(part)
    }
}

fn command_item(row: &command::Model) -> Option<(CommandId, Item)> {
    let body = command_body(row)?;
    let body_json = to_raw_value(&body).ok()?;
    Some((body.command_id, Item { kind: kind::COMMAND.to_owned(), body: body_json }))
}

/// The body of a command's entry for its current attempt. `None` if a stored
/// value is not what the gateway writes.
pub fn command_body(row: &command::Model) -> Option<CommandBody> {
    Some(CommandBody {
        command_id: CommandId::parse(&row.id).ok()?,
        attempt: row.attempt,
        data_type: row.data_type.clone(),
        value: RawValue::from_string(row.value.clone()).ok()?,
        priority: row.priority,
        expires_at: Timestamp::from_millis(row.expires_at),
        device_id: row.device_id.as_deref().and_then(|id| DeviceId::parse(id).ok()),
    })
}
