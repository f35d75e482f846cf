//! Room for a new device of a user that has the most devices allowed: the one
//! that is offline and unseen for longest makes it.

use std::collections::HashSet;

use tidegate_entity::{command, device};
use tidegate_protocol::code::ErrorCode;

use crate::error::{ApiError, ApiResult};
use crate::ingest::devices::remove;
use crate::ingest::unit::UnitOfWork;
use crate::store::command::Wanted;
use crate::store::device::DeviceKey;

/// Seconds after which a device that found no room tries again: one of the
/// others may have gone offline.
const RETRY_AFTER_S: u32 = 60;

/// Removes the device of the user that is offline and unseen for longest, if a
/// new one needs its place. What it leaves behind is loaded.
pub(super) fn make(unit: &mut UnitOfWork, new: &DeviceKey) -> ApiResult<()> {
    let devices_max = unit.options.devices_per_user;
    let devices = || unit.devices_of(&new.user_id);
    if unit.device(new).is_some() || devices().count() < devices_max {
        return Ok(());
    }
    // Others came in this same transaction: what any of them leaves behind is
    // not loaded.
    let left_behind = Wanted::OpenOf { user_id: new.user_id.clone() };
    if !unit.rows.was_wanted::<command::Entity>(&left_behind) {
        return Err(ApiError::unavailable("too many devices come at once; try again"));
    }
    // What is written late tells of devices that were seen just now.
    let seen: HashSet<String> = unit.behind.seen_of(&new.user_id);
    let is_offline = |row: &&device::Model| !unit.hub.is_online(&row.user_id, &row.device_id);
    // One that registered in this same transaction is not away.
    let is_away = |row: &&device::Model| {
        is_offline(row) && !unit.rows.is_written::<device::Entity>(&key_of(row))
    };
    let oldest = devices()
        .filter(is_away)
        .min_by_key(|row| (seen.contains(&row.device_id), row.last_seen_at))
        .map(key_of);
    let Some(oldest) = oldest else {
        if devices().any(|row| is_offline(&row)) {
            return Err(ApiError::unavailable("too many devices come at once; try again"));
        }
        let message = format!("the user has {devices_max} devices, and all of them are online");
        let error = ApiError::new(ErrorCode::TooManyDevices, message);
        return Err(error.with_retry_after(RETRY_AFTER_S));
    };
    remove(unit, &oldest)?;
    unit.after_commit(move |metrics| {
        metrics.devices_replaced.inc();
        tracing::info!(device.id = oldest.device_id, "a device made room for a new one");
    });
    Ok(())
}

fn key_of(row: &device::Model) -> DeviceKey {
    DeviceKey { user_id: row.user_id.clone(), device_id: row.device_id.clone() }
}
