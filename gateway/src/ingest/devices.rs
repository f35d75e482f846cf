//! Devices: registering, refreshing, deleting.

use tidegate_entity::device::Capabilities;
use tidegate_entity::{command, device, device_cursor, push_wake};
use tidegate_protocol::client::HelloDevice;
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::command::{Channel, CommandStatus, Platform, PushRegistration};
use tidegate_protocol::id::{StreamName, UserId};
use tidegate_protocol::rest::PushState;

use crate::error::{ApiError, ApiResult};
use crate::hub::SessionKey;
use crate::ingest::commands::lifecycle;
use crate::ingest::devices::shift::Shift;
use crate::ingest::streams::heads_of;
use crate::ingest::unit::{ReadSet, UnitOfWork, devices_of, stream_key, user_stream};
use crate::ingest::wakes::{self, TokenChange};
use crate::ingest::write::Write;
use crate::ingest::{Ingest, IngestOptions};
use crate::store::command::Wanted as WantedCommands;
use crate::store::device::{DeviceKey, Wanted, token_hash};
use crate::store::head::Heads;
use crate::store::table::Tables;

mod room;
mod shift;

/// A device says hello or registers.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Whose device.
    pub user_id: UserId,
    /// What it says of itself.
    pub device: HelloDevice,
    /// Streams that must exist, the user's own among them.
    pub streams: Vec<StreamName>,
    /// Whether it says so over its socket, which is about to live.
    pub has_socket: bool,
}

/// A device as registered.
#[derive(Clone, Debug)]
pub struct Registered {
    /// The device.
    pub device: device::Model,
    /// Heads of the streams asked for.
    pub heads: Heads,
}

impl Ingest {
    /// Registers or refreshes a device and makes sure its streams exist.
    pub async fn register(&self, registration: Registration) -> ApiResult<Registered> {
        self.submit(registration).await
    }

    /// Deletes a device and cancels what was addressed to it.
    pub async fn remove_device(&self, key: DeviceKey) -> ApiResult<()> {
        self.submit(Remove(key)).await
    }
}

impl Write for Registration {
    type Draft = DeviceKey;
    type Answer = Registered;

    fn reads(&self, reads: &mut ReadSet, _: &IngestOptions) {
        reads.streams.extend(self.streams.iter().map(stream_key));
        let user_id = self.user_id.as_str().to_owned();
        reads.rows.want::<device::Entity>(Wanted::Of { user_id });
        if let Some(Some(push)) = &self.device.push {
            let (provider, token) = (push.provider, push.token.clone());
            reads.rows.want::<device::Entity>(Wanted::Holding { provider, token });
        }
    }

    /// What another device leaves behind that makes room for this one, and what
    /// this one can carry out from now on, or no longer.
    fn follow(&self, rows: &mut Tables, options: &IngestOptions) {
        let key = key_of(self);
        let Some(known) = rows.get::<device::Entity>(&key) else {
            if devices_of(rows, &key.user_id).count() >= options.devices_per_user {
                rows.want::<command::Entity>(WantedCommands::OpenOf { user_id: key.user_id });
            }
            return;
        };
        let Some(capabilities) = capabilities_of(&self.device) else { return };
        let shift = Shift::between(known, capabilities);
        let capabilities = [shift.gained, shift.lost].concat();
        if !capabilities.is_empty() {
            let user_id = key.user_id;
            rows.want::<command::Entity>(WantedCommands::OpenRequiring { user_id, capabilities });
        }
    }

    fn decide(&self, unit: &mut UnitOfWork) -> ApiResult<DeviceKey> {
        let key = register(unit, self)?;
        unit.ensure(self.streams.iter().map(stream_key));
        Ok(key)
    }

    fn answer(&self, unit: &mut UnitOfWork, key: DeviceKey) -> ApiResult<Registered> {
        let device = unit.device(&key).cloned().ok_or_else(|| {
            // Another write of the batch deleted it.
            ApiError::new(ErrorCode::DeviceNotFound, "the device was just deleted")
        })?;
        Ok(Registered { device, heads: heads_of(unit, &self.streams) })
    }
}

/// A device is deleted.
struct Remove(DeviceKey);

impl Write for Remove {
    type Draft = ();
    type Answer = ();

    fn reads(&self, reads: &mut ReadSet, _: &IngestOptions) {
        let DeviceKey { user_id, device_id } = self.0.clone();
        reads.streams.insert(user_stream(&user_id));
        reads.rows.want::<device::Entity>(Wanted::Of { user_id: user_id.clone() });
        reads.rows.want::<command::Entity>(WantedCommands::OpenFor { user_id, device_id });
    }

    fn decide(&self, unit: &mut UnitOfWork) -> ApiResult<()> {
        remove(unit, &self.0)
    }

    fn answer(&self, _: &mut UnitOfWork, (): ()) -> ApiResult<()> {
        Ok(())
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

/// Registers or refreshes a device; its key.
fn register(unit: &mut UnitOfWork, registration: &Registration) -> ApiResult<DeviceKey> {
    let key = key_of(registration);
    let now = unit.now.millis();
    room::make(unit, &key)?;
    let known = unit.device(&key).cloned();
    let shift = known
        .as_ref()
        .zip(capabilities_of(&registration.device))
        .map(|(known, capabilities)| Shift::between(known, capabilities))
        .unwrap_or_default();
    let is_known = known.is_some();
    let mut row = known.unwrap_or_else(|| new_device(&key, registration.device.platform, now));
    let token_before = row.push_token.clone();
    refresh(&mut row, &registration.device, now);
    unit.rows.put::<device::Entity>(row);
    if let Some(Some(push)) = &registration.device.push {
        claim_token(unit, &key, push);
        let change = match (is_known, token_before) {
            (false, _) => TokenChange::First,
            (true, Some(before)) if before == push.token => TokenChange::Same,
            (true, _) => TokenChange::Another,
        };
        wakes::for_token(unit, &key, change, registration.has_socket);
    }
    deliver_again(unit, &key, &shift.gained);
    // Its own session begins with the new ones.
    if !registration.has_socket && (!shift.gained.is_empty() || !shift.lost.is_empty()) {
        unit.outdated.push(SessionKey {
            user_id: registration.user_id.clone(),
            device_id: registration.device.id.clone(),
        });
    }
    let channel = if registration.has_socket { Channel::Socket } else { Channel::Http };
    settle_without(unit, &key, &shift.lost, channel);
    Ok(key)
}

/// Commands that wait for a capability this device has from now on: its cursor
/// may have passed them while they did not concern it.
fn deliver_again(unit: &mut UnitOfWork, key: &DeviceKey, gained: &[String]) {
    for row in waiting_for(unit, key, gained) {
        lifecycle::append_attempt(unit, &row);
    }
}

/// Commands that this device may no longer carry out: those that every other
/// one refused get their final status.
fn settle_without(unit: &mut UnitOfWork, key: &DeviceKey, lost: &[String], channel: Channel) {
    for row in waiting_for(unit, key, lost) {
        lifecycle::expire_if_over(unit, &row.id);
        lifecycle::close_if_settled(unit, &row.id, channel);
    }
}

/// Open commands for the device that require one of these capabilities, in
/// order of delivery.
fn waiting_for(unit: &UnitOfWork, key: &DeviceKey, capabilities: &[String]) -> Vec<command::Model> {
    let mut waiting: Vec<command::Model> = unit
        .rows
        .all::<command::Entity>()
        .map(|state| &state.row)
        .filter(|row| row.open && row.user_id == key.user_id && row.last_seq > 0)
        .filter(|row| row.device_id.as_ref().is_none_or(|device_id| *device_id == key.device_id))
        .filter(|row| row.requires.as_ref().is_some_and(|needed| capabilities.contains(needed)))
        .cloned()
        .collect();
    waiting.sort_unstable_by_key(|row| row.last_seq);
    waiting
}

fn new_device(key: &DeviceKey, platform: Platform, now: i64) -> device::Model {
    device::Model {
        user_id: key.user_id.clone(),
        device_id: key.device_id.clone(),
        platform,
        name: None,
        app_version: None,
        capabilities: Capabilities::default(),
        push_provider: None,
        push_token: None,
        push_token_hash: None,
        push_state: PushState::None,
        push_error: None,
        push_refreshed_at: None,
        wants_delta_push: false,
        created_at: now,
        last_seen_at: now,
    }
}

/// Absent means unchanged, null means removed.
fn refresh(row: &mut device::Model, device: &HelloDevice, now: i64) {
    row.platform = device.platform;
    row.last_seen_at = now;
    if let Some(name) = &device.name {
        row.name.clone_from(name);
    }
    if let Some(version) = &device.app_version {
        row.app_version.clone_from(version);
    }
    if let Some(capabilities) = capabilities_of(device) {
        row.capabilities = capabilities.into();
    }
    if let Some(wants) = device.wants_delta_push {
        row.wants_delta_push = wants.unwrap_or_default();
    }
    if let Some(push) = &device.push {
        row.push_provider = push.as_ref().map(|push| push.provider);
        row.push_token = push.as_ref().map(|push| push.token.clone());
        row.push_token_hash = push.as_ref().map(|push| token_hash(&push.token));
        row.push_error = None;
        row.push_refreshed_at = push.as_ref().map(|_| now);
        row.push_state = if push.is_some() { PushState::Active } else { PushState::None };
    }
}

/// A token belongs to the device that registered it last.
fn claim_token(unit: &mut UnitOfWork, key: &DeviceKey, push: &PushRegistration) {
    let holds = |row: &&device::Model| {
        row.push_token.as_deref() == Some(&*push.token)
            && row.push_provider == Some(push.provider)
            && (row.user_id != key.user_id || row.device_id != key.device_id)
    };
    let holders: Vec<device::Model> =
        unit.rows.all::<device::Entity>().filter(holds).cloned().collect();
    for mut row in holders {
        row.push_token = None;
        row.push_token_hash = None;
        row.push_provider = None;
        row.push_state = PushState::None;
        unit.rows.put::<device::Entity>(row);
    }
}

/// Deletes a device: what was addressed to it is cancelled, and what only
/// waited for it gets its final status.
fn remove(unit: &mut UnitOfWork, key: &DeviceKey) -> ApiResult<()> {
    if unit.rows.remove::<device::Entity>(key).is_none() {
        return Err(ApiError::new(ErrorCode::DeviceNotFound, "the user has no such device"));
    }
    unit.rows.forget::<push_wake::Entity>(key.clone());
    unit.rows.forget::<device_cursor::Entity>(key.clone());
    let open: Vec<String> = unit
        .rows
        .all::<command::Entity>()
        .filter(|state| state.row.open && state.row.user_id == key.user_id)
        .map(|state| state.row.id.clone())
        .collect();
    for id in open {
        lifecycle::expire_if_over(unit, &id);
        let is_for_it =
            |row: &command::Model| row.open && row.device_id.as_ref() == Some(&key.device_id);
        if unit.command(&id).is_some_and(|state| is_for_it(&state.row)) {
            lifecycle::close(unit, &id, CommandStatus::Cancelled, None);
        } else {
            lifecycle::close_if_settled(unit, &id, Channel::Http);
        }
    }
    Ok(())
}
