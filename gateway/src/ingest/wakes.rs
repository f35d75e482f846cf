//! Which devices a commit wants woken by push. Only noted here, in the same
//! transaction; the dispatcher looks again before it sends.

use tidegate_entity::{command, device, push_wake};

use crate::ingest::commands::is_eligible;
use crate::ingest::unit::{UnitOfWork, user_stream};
use crate::store::device::DeviceKey;
use crate::store::wake::{Cause, WantedWake};

/// A command was appended: the devices that may carry it out and can be woken.
/// One with a live session gets the time of the first tier.
pub(super) fn for_command(unit: &mut UnitOfWork, row: &command::Model) {
    let Some(bucket_milli) = unit.options.push_bucket_milli else { return };
    let wakes: Vec<WantedWake> = unit
        .devices_of(&row.user_id)
        .filter(|device| device.push_token.is_some() && is_eligible(row, device))
        .map(|device| {
            let is_online = unit.hub.is_online(&device.user_id, &device.device_id);
            wanted(unit, device, Cause::Command, is_online, bucket_milli)
        })
        .collect();
    for wake in wakes {
        if unit.rows.get::<push_wake::Entity>(&wake.device).is_none() {
            unit.rows.put::<push_wake::Entity>(wake);
        }
    }
}

/// How a token that is registered stands to the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenChange {
    /// The device's first.
    First,
    /// The same again.
    Same,
    /// Another one, or one after the last has ended.
    Another,
}

/// A device registered a token: if commands wait for its user, it is looked
/// at. Another token than before ends whatever held back the old one, also
/// where nothing waits: what comes next must not wait for it. The same one
/// again does not, for a provider that asked to wait meant this token. One
/// that registers over its socket is about to get everything there.
pub(super) fn for_token(
    unit: &mut UnitOfWork,
    key: &DeviceKey,
    change: TokenChange,
    has_socket: bool,
) {
    let Some(bucket_milli) = unit.options.push_bucket_milli else { return };
    let is_needed = change == TokenChange::Another;
    if !is_needed && unit.pending_of(&user_stream(&key.user_id)) == 0 {
        return;
    }
    if let Some(device) = unit.device(key) {
        let cause = match change {
            TokenChange::Same => Cause::Command,
            TokenChange::First | TokenChange::Another => Cause::Token,
        };
        let is_online = has_socket || unit.hub.is_online(&key.user_id, &key.device_id);
        let wake = wanted(unit, device, cause, is_online, bucket_milli);
        unit.rows.put::<push_wake::Entity>(wake);
    }
}

fn wanted(
    unit: &UnitOfWork,
    device: &device::Model,
    cause: Cause,
    is_online: bool,
    bucket_milli: i64,
) -> WantedWake {
    let head_start_ms = if is_online { unit.options.result_timeout_ms } else { 0 };
    let due_at = unit.now.plus_millis(i64::try_from(head_start_ms).unwrap_or(i64::MAX));
    WantedWake {
        device: DeviceKey { user_id: device.user_id.clone(), device_id: device.device_id.clone() },
        due_at: due_at.millis(),
        cause,
        bucket_milli,
    }
}
