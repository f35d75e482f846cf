//! Which devices a commit wants woken by push. Only noted here, in the same
//! transaction; the dispatcher looks again before it sends.

use tidegate_entity::{command, device};

use crate::ingest::working::{Working, is_eligible, user_stream};
use crate::store::device::DeviceKey;
use crate::store::wake::{Cause, WantedWake};

/// A command was appended: the devices that may carry it out and can be woken.
/// One with a live session gets the time of the first tier.
pub(super) fn for_command(working: &mut Working, row: &command::Model) {
    let Some(bucket_milli) = working.options.push_bucket_milli else { return };
    let devices = working.devices.get(&row.user_id);
    let wakes: Vec<WantedWake> = devices
        .into_iter()
        .flat_map(|devices| devices.values())
        .filter(|device| device.push_token.is_some() && is_eligible(row, device))
        .map(|device| {
            let is_online = working.hub.is_online(&device.user_id, &device.device_id);
            wanted(working, device, Cause::Command, is_online, bucket_milli)
        })
        .collect();
    for wake in wakes {
        working.changes.wakes.entry(wake.device.clone()).or_insert(wake);
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
    working: &mut Working,
    key: &DeviceKey,
    change: TokenChange,
    has_socket: bool,
) {
    let Some(bucket_milli) = working.options.push_bucket_milli else { return };
    let is_needed = change == TokenChange::Another;
    if !is_needed && working.pending_of(&user_stream(&key.user_id)) == 0 {
        return;
    }
    let device = working.devices.get(&key.user_id).and_then(|devices| devices.get(&key.device_id));
    if let Some(device) = device {
        let cause = match change {
            TokenChange::Same => Cause::Command,
            TokenChange::First | TokenChange::Another => Cause::Token,
        };
        let is_online = has_socket || working.hub.is_online(&key.user_id, &key.device_id);
        let wake = wanted(working, device, cause, is_online, bucket_milli);
        working.changes.wakes.insert(key.clone(), wake);
    }
}

fn wanted(
    working: &Working,
    device: &device::Model,
    cause: Cause,
    is_online: bool,
    bucket_milli: i64,
) -> WantedWake {
    let head_start_ms = if is_online { working.options.ack_timeout_ms } else { 0 };
    let due_at = working.now.plus_millis(i64::try_from(head_start_ms).unwrap_or(i64::MAX));
    WantedWake {
        device: DeviceKey { user_id: device.user_id.clone(), device_id: device.device_id.clone() },
        due_at: due_at.millis(),
        cause,
        bucket_milli,
    }
}
