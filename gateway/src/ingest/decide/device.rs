//! Devices: registering, refreshing, deleting.

use tidegate_entity::{command, device};
use tidegate_protocol::client::HelloDevice;
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::command::{Channel, CommandStatus, PushRegistration};
use tidegate_protocol::rest::PushState;

use crate::error::{ApiError, ApiResult};
use crate::hub::SessionKey;
use crate::ingest::decide::wake::TokenChange;
use crate::ingest::decide::{lifecycle, wake};
use crate::ingest::job::Registration;
use crate::ingest::working::{Needs, Shift, Working, stream_key};
use crate::store::device::{DeviceKey, TokenOwner, token_hash};

/// Notes what a registration needs loaded.
pub(super) fn needs(registration: &Registration, needs: &mut Needs) {
    needs.streams.extend(registration.streams.iter().map(stream_key));
    needs.users.insert(registration.user_id.as_str().to_owned());
    needs.registering.insert(key_of(registration));
    if let Some(capabilities) = capabilities_of(&registration.device) {
        needs.capabilities.push((key_of(registration), capabilities.to_vec()));
    }
}

fn key_of(registration: &Registration) -> DeviceKey {
    DeviceKey {
        user_id: registration.user_id.as_str().to_owned(),
        device_id: registration.device.id.as_str().to_owned(),
    }
}

/// What it says of its capabilities: null stands for none.
fn capabilities_of(device: &HelloDevice) -> Option<&[String]> {
    device.capabilities.as_ref().map(|given| given.as_deref().unwrap_or_default())
}

/// Registers or refreshes a device; its key and the streams to answer with.
pub(super) fn register(
    working: &mut Working,
    registration: &Registration,
) -> ApiResult<(DeviceKey, Vec<String>)> {
    let key = key_of(registration);
    let now = working.now.millis();
    make_room(working, &key)?;
    let devices = working.devices.entry(key.user_id.clone()).or_default();
    let capabilities = capabilities_of(&registration.device);
    let shift = devices
        .get(&key.device_id)
        .zip(capabilities)
        .map(|(known, capabilities)| Shift::between(known, capabilities))
        .unwrap_or_default();
    let is_known = devices.contains_key(&key.device_id);
    let row = devices.entry(key.device_id.clone()).or_insert_with(|| new_device(&key, now));
    let token_before = row.push_token.clone();
    refresh(row, &registration.device, now);
    working.changes.changed_devices.insert(key.clone());
    if let Some(Some(push)) = &registration.device.push {
        claim_token(working, &key, push);
        let change = match (is_known, token_before) {
            (false, _) => TokenChange::First,
            (true, Some(before)) if before == push.token => TokenChange::Same,
            (true, _) => TokenChange::Another,
        };
        wake::for_token(working, &key, change, registration.has_socket);
    }
    deliver_again(working, &key, &shift.gained);
    // Its own session begins with the new ones.
    if !registration.has_socket && (!shift.gained.is_empty() || !shift.lost.is_empty()) {
        working.changes.outdated.push(SessionKey {
            user_id: registration.user_id.clone(),
            device_id: registration.device.id.clone(),
        });
    }
    let channel = if registration.has_socket { Channel::Socket } else { Channel::Http };
    settle_without(working, &key, &shift.lost, channel);
    let streams: Vec<String> = registration.streams.iter().map(stream_key).collect();
    working.changes.ensured.extend(streams.iter().cloned());
    Ok((key, streams))
}

/// Seconds after which a device that found no room tries again: one of the
/// others may have gone offline.
const RETRY_AFTER_S: u32 = 60;

/// Removes the device of the user that is offline and unseen for longest, if a
/// new one needs its place.
fn make_room(working: &mut Working, new: &DeviceKey) -> ApiResult<()> {
    let devices_max = working.options.devices_per_user;
    let Some(devices) = working.devices.get(&new.user_id) else { return Ok(()) };
    if devices.contains_key(&new.device_id) || devices.len() < devices_max {
        return Ok(());
    }
    let mut replaceable = working.replaceable.remove(&new.user_id).unwrap_or_default();
    let oldest = loop {
        let Some(key) = replaceable.pop_front() else { break None };
        // It may have come online, or have been deleted, since it was found.
        let is_online = working.hub.is_online(&key.user_id, &key.device_id);
        if devices.contains_key(&key.device_id) && !is_online {
            break Some(key);
        }
    };
    working.replaceable.insert(new.user_id.clone(), replaceable);
    let Some(oldest) = oldest else {
        let is_online = |device_id: &String| working.hub.is_online(&new.user_id, device_id);
        if !devices.keys().all(is_online) {
            // It came in this same batch, or went offline just now.
            return Err(ApiError::unavailable("too many devices come at once; try again"));
        }
        let message = format!("the user has {devices_max} devices, and all of them are online");
        let error = ApiError::new(ErrorCode::TooManyDevices, message);
        return Err(error.with_retry_after(RETRY_AFTER_S));
    };
    remove(working, &oldest)?;
    working.changes.replaced_devices.push(oldest);
    Ok(())
}

/// Commands that wait for a capability this device has from now on: its cursor
/// may have passed them while they did not concern it.
fn deliver_again(working: &mut Working, key: &DeviceKey, gained: &[String]) {
    for row in waiting_for(working, key, gained) {
        working.changes.changed_commands.insert(row.id.clone());
        lifecycle::append_attempt(working, &row);
    }
}

/// Commands that this device may no longer carry out: those that every other
/// one refused get their final status.
fn settle_without(working: &mut Working, key: &DeviceKey, lost: &[String], channel: Channel) {
    for row in waiting_for(working, key, lost) {
        lifecycle::expire_if_over(working, &row.id);
        lifecycle::close_if_settled(working, &row.id, channel);
    }
}

/// Open commands for the device that require one of these capabilities, in
/// order of delivery.
fn waiting_for(working: &Working, key: &DeviceKey, capabilities: &[String]) -> Vec<command::Model> {
    let mut waiting: Vec<command::Model> = working
        .commands
        .values()
        .map(|state| &state.row)
        .filter(|row| row.open && row.user_id == key.user_id && row.last_seq > 0)
        .filter(|row| row.device_id.as_ref().is_none_or(|device_id| *device_id == key.device_id))
        .filter(|row| row.requires.as_ref().is_some_and(|needed| capabilities.contains(needed)))
        .cloned()
        .collect();
    waiting.sort_unstable_by_key(|row| row.last_seq);
    waiting
}

fn new_device(key: &DeviceKey, now: i64) -> device::Model {
    device::Model {
        user_id: key.user_id.clone(),
        device_id: key.device_id.clone(),
        platform: String::new(),
        name: None,
        app_version: None,
        capabilities: "[]".to_owned(),
        push_provider: None,
        push_token: None,
        push_token_hash: None,
        push_state: PushState::None.as_str().to_owned(),
        push_error: None,
        push_refreshed_at: None,
        wants_delta_push: false,
        created_at: now,
        last_seen_at: now,
    }
}

/// Absent means unchanged, null means removed.
fn refresh(row: &mut device::Model, device: &HelloDevice, now: i64) {
    device.platform.as_str().clone_into(&mut row.platform);
    row.last_seen_at = now;
    if let Some(name) = &device.name {
        row.name.clone_from(name);
    }
    if let Some(version) = &device.app_version {
        row.app_version.clone_from(version);
    }
    if let Some(capabilities) = capabilities_of(device) {
        row.capabilities = serde_json::to_string(capabilities).expect("a list of texts serialises");
    }
    if let Some(wants) = device.wants_delta_push {
        row.wants_delta_push = wants.unwrap_or_default();
    }
    if let Some(push) = &device.push {
        row.push_provider = push.as_ref().map(|push| push.provider.as_str().to_owned());
        row.push_token = push.as_ref().map(|push| push.token.clone());
        row.push_token_hash = push.as_ref().map(|push| token_hash(&push.token));
        row.push_error = None;
        row.push_refreshed_at = push.as_ref().map(|_| now);
        let state = if push.is_some() { PushState::Active } else { PushState::None };
        state.as_str().clone_into(&mut row.push_state);
    }
}

/// A token belongs to the device that registered it last.
fn claim_token(working: &mut Working, key: &DeviceKey, push: &PushRegistration) {
    let provider = push.provider.as_str();
    for devices in working.devices.values_mut() {
        for row in devices.values_mut() {
            let is_owner = row.user_id == key.user_id && row.device_id == key.device_id;
            let holds = row.push_token.as_deref() == Some(&*push.token)
                && row.push_provider.as_deref() == Some(provider);
            if holds && !is_owner {
                row.push_token = None;
                row.push_token_hash = None;
                row.push_provider = None;
                PushState::None.as_str().clone_into(&mut row.push_state);
            }
        }
    }
    let owner = TokenOwner {
        token: push.token.clone(),
        provider: provider.to_owned(),
        user_id: key.user_id.clone(),
        device_id: key.device_id.clone(),
    };
    working.changes.tokens.insert((provider.to_owned(), push.token.clone()), owner);
}

/// Deletes a device: what was addressed to it is cancelled, and what only
/// waited for it gets its final status.
pub(super) fn remove(working: &mut Working, key: &DeviceKey) -> ApiResult<()> {
    let devices = working.devices.get_mut(&key.user_id);
    if devices.and_then(|devices| devices.remove(&key.device_id)).is_none() {
        return Err(ApiError::new(ErrorCode::DeviceNotFound, "the user has no such device"));
    }
    working.changes.changed_devices.remove(key);
    working.changes.removed_devices.push(key.clone());
    working.changes.wakes.remove(key);
    let mut open: Vec<String> = working
        .commands
        .values()
        .filter(|state| state.row.open && state.row.user_id == key.user_id)
        .map(|state| state.row.id.clone())
        .collect();
    open.sort_unstable();
    for id in open {
        lifecycle::expire_if_over(working, &id);
        let row = &working.commands[&id].row;
        if row.open && row.device_id.as_deref() == Some(&key.device_id) {
            lifecycle::close(working, &id, CommandStatus::Cancelled, None);
        } else {
            lifecycle::close_if_settled(working, &id, Channel::Http);
        }
    }
    Ok(())
}
