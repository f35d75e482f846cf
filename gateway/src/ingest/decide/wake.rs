//! Which devices a commit wants woken by push. Only noted here, in the same
//! transaction; the dispatcher looks again before it sends.

use tidegate_entity::{command, device};

use crate::ingest::working::{Working, is_eligible, user_stream};
use crate::store::device::DeviceKey;
use crate::store::wake::WantedWake;

/// A command was appended: the devices that may carry it out and can be woken.
/// One with a live session gets the time of the first tier.
pub(super) fn for_command(working: &mut Working, row: &command::Model) {
    let Some(bucket_milli) = working.options.push_bucket_milli else { return };
    let devices = working.devices.get(&row.user_id);
    let wakes: Vec<WantedWake> = devices
        .into_iter()
        .flat_map(|devices| devices.values())
        .filter(|device| device.push_token.is_some() && is_eligible(row, device))
        .map(|device| wanted(working, device, false, bucket_milli))
        .collect();
    for wake in wakes {
        working.changes.wakes.entry(wake.device.clone()).or_insert(wake);
    }
}

/// A device registered a token: if commands wait for its user, it is looked at
/// at once, whatever held back its old token.
pub(super) fn for_token(working: &mut Working, key: &DeviceKey) {
    let Some(bucket_milli) = working.options.push_bucket_milli else { return };
    if working.pending_of(&user_stream(&key.user_id)) == 0 {
        return;
    }
    let device = working.devices.get(&key.user_id).and_then(|devices| devices.get(&key.device_id));
    if let Some(device) = device {
        let wake = wanted(working, device, true, bucket_milli);
        working.changes.wakes.insert(key.clone(), wake);
    }
}

fn wanted(
    working: &Working,
    device: &device::Model,
    is_fresh: bool,
    bucket_milli: i64,
) -> WantedWake {
    let is_online = working.hub.is_online(&device.user_id, &device.device_id);
    let head_start_ms = if is_online { working.options.ack_timeout_ms } else { 0 };
    let due_at = working.now.plus_millis(i64::try_from(head_start_ms).unwrap_or(i64::MAX));
    WantedWake {
        device: DeviceKey { user_id: device.user_id.clone(), device_id: device.device_id.clone() },
        due_at: due_at.millis(),
        is_fresh,
        bucket_milli,
    }
}
