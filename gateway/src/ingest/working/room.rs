//! Which devices may make room for new ones of users that have the most
//! devices allowed, and the commands that are looked at because devices come, go
//! or change.

use std::collections::{HashMap, HashSet, VecDeque};

use sea_orm::{ConnectionTrait, DbErr};

use crate::hub::Hub;
use crate::ingest::behind::Behind;
use crate::ingest::working::{Devices, Needs, Shift};
use crate::store;
use crate::store::device::DeviceKey;

/// Finds for each new device one that may make room for it: offline, and unseen
/// for longest. What these leave behind must be loaded before anything is
/// decided, as of a device that is deleted.
pub(super) fn find(
    needs: &mut Needs,
    devices: &Devices,
    devices_max: usize,
    hub: &Hub,
    behind: &Behind,
) -> HashMap<String, VecDeque<DeviceKey>> {
    let mut new_devices: HashMap<&str, usize> = HashMap::new();
    for key in &needs.registering {
        let known = devices.get(&key.user_id);
        if known.is_none_or(|known| !known.contains_key(&key.device_id)) {
            *new_devices.entry(&key.user_id).or_default() += 1;
        }
    }
    let mut replaceable = HashMap::new();
    for (user_id, new_count) in new_devices {
        let known = devices.get(user_id).into_iter().flat_map(|known| known.values());
        if known.clone().count() + new_count <= devices_max {
            continue;
        }
        // What is written late tells of devices that were seen just now.
        let mut seen: HashSet<String> = behind.seen_of(user_id);
        seen.extend(needs.behind.iter().flat_map(|batch| batch.seen_of(user_id)));
        let mut offline: Vec<_> = known
            .filter(|row| !hub.is_online(user_id, &row.device_id))
            .map(|row| {
                let key =
                    DeviceKey { user_id: user_id.to_owned(), device_id: row.device_id.clone() };
                (seen.contains(&row.device_id), row.last_seen_at, key)
            })
            .filter(|(_, _, key)| !needs.registering.contains(key))
            .collect();
        offline.sort_unstable();
        let first: VecDeque<DeviceKey> =
            offline.into_iter().map(|(_, _, key)| key).take(new_count).collect();
        replaceable.insert(user_id.to_owned(), first);
    }
    needs.removed_devices.extend(replaceable.values().flatten().cloned());
    replaceable
}

/// Adds the commands that a deleted device leaves behind, and those that a
/// device can carry out from now on, or no longer.
pub(super) async fn commands(
    db: &impl ConnectionTrait,
    needs: &mut Needs,
    devices: &Devices,
) -> Result<(), DbErr> {
    for key in &needs.removed_devices {
        let device_id = Some(key.device_id.as_str());
        needs.commands.extend(store::command::open_ids(db, &key.user_id, device_id).await?);
        needs.commands.extend(store::command::open_ids(db, &key.user_id, None).await?);
    }
    for (key, capabilities) in &needs.capabilities {
        let row = devices.get(&key.user_id).and_then(|devices| devices.get(&key.device_id));
        let shift = row.map(|row| Shift::between(row, capabilities)).unwrap_or_default();
        let concerned = [shift.gained, shift.lost].concat();
        if !concerned.is_empty() {
            let ids = store::command::open_requiring(db, &key.user_id, &concerned).await?;
            needs.commands.extend(ids);
        }
    }
    Ok(())
}
