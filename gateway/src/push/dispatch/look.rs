//! What the dispatcher looks at: what waits for a device, who lags, and what
//! was never noted.

use sea_orm::{ConnectionTrait, DbErr};
use tidegate_entity::{command, device, push_wake};
use tidegate_protocol::id::{Seq, StreamName};
use tidegate_protocol::time::Timestamp;
use tokio::time::Instant;

use crate::ingest::commands::is_eligible;
use crate::push::Handles;
use crate::push::bucket::DeviceBucket;
use crate::push::circuit::Leave;
use crate::push::dispatch::{Dispatcher, answer};
use crate::push::plan::{self, Look, Order, Plan};
use crate::push::send::{Address, NoAddress};
use crate::store;
use crate::store::device::{DeviceKey, skewed};
use crate::store::wake::{Cause, NEVER, WantedWake};

/// Commands one wake-up is for at most; the device finds the others in its
/// stream.
const COMMANDS_PER_WAKE: usize = 100;

/// Open commands of a user read at once.
const COMMANDS_PER_STEP: u64 = 100;

/// Devices that lag on data, found by one step of the scan.
const DEVICES_PER_STEP: u64 = 500;

/// Users looked at by one step of the sweep at start.
const USERS_PER_STEP: u64 = 500;

/// A wake-up to send, with everything it needs.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) wake: push_wake::Model,
    pub(super) device: device::Model,
    pub(super) address: Address,
    pub(super) order: Order,
    pub(super) leave: Leave,
}

/// Decides about a claimed wake-up: a job to send, or `None` once it is
/// settled.
pub(super) async fn decide(
    dispatcher: &mut Dispatcher,
    mut wake: push_wake::Model,
) -> Result<Option<Job>, DbErr> {
    let state = &dispatcher.state;
    let key = DeviceKey { user_id: wake.user_id.clone(), device_id: wake.device_id.clone() };
    let db = state.store.readers();
    let device = store::device::get(db, &key.user_id, &key.device_id).await?;
    let waiting = match &device {
        Some(device) => waiting(state, device).await?,
        None => Vec::new(),
    };
    let online_for = state.hub.online_for(&key.user_id, &key.device_id);
    let delta = match &device {
        Some(device) if waiting.is_empty() && online_for.is_none() => {
            let may_hear = may_hear(&wake, device, state.clock.now());
            if may_hear { lag_of(state, &key).await? } else { None }
        }
        _ => None,
    };
    let now = state.clock.now();
    let look = Look {
        wake: &wake,
        device: device.as_ref(),
        waiting: &waiting,
        // Asked again: it may have connected during the reads.
        online_for: state.hub.online_for(&key.user_id, &key.device_id),
        delta: delta.as_ref(),
        now,
    };
    let plan = plan::plan(&look, &dispatcher.options);
    wake.not_before = now.millis();
    match (plan, device) {
        (Plan::Send(order), Some(device)) => {
            return Ok(send_or_wait(dispatcher, wake, device, order));
        }
        // Holds nothing back: without its session it may be woken at once.
        (Plan::Later(at), _) => wake.due_at = at,
        (Plan::Idle | Plan::Send(_), _) => {
            if !waiting.is_empty() {
                // It had its wake-ups: data gives it no other.
                wake.delta_sent_at = Some(now.millis());
            }
            wake.due_at = NEVER;
        }
    }
    dispatcher.settle(wake);
    Ok(None)
}

/// The job, if the device has an address, and its circuits and its bucket
/// allow it; settles the wake-up otherwise.
fn send_or_wait(
    dispatcher: &mut Dispatcher,
    mut wake: push_wake::Model,
    device: device::Model,
    order: Order,
) -> Option<Job> {
    let now_ms = dispatcher.state.clock.now().millis();
    wake.due_at = match Address::of(&dispatcher.push, &device) {
        Ok(address) => match leave(dispatcher, &mut wake, &device, &address) {
            Ok(leave) => return Some(Job { wake, device, address, order, leave }),
            Err(at) => {
                wake.not_before = at;
                at
            }
        },
        Err(NoAddress::NotConfigured) => {
            wake.delta_sent_at = Some(now_ms);
            NEVER
        }
        Err(NoAddress::Invalid) => {
            answer::end_token(dispatcher, &device, "the token cannot be one");
            NEVER
        }
    };
    dispatcher.settle(wake);
    None
}

/// Asks the circuits and the device's bucket; when to ask again.
fn leave(
    dispatcher: &Dispatcher,
    wake: &mut push_wake::Model,
    device: &device::Model,
    address: &Address,
) -> Result<Leave, i64> {
    let now_ms = dispatcher.state.clock.now().millis();
    let circuits = &dispatcher.push.0.circuits;
    let key = DeviceKey { user_id: wake.user_id.clone(), device_id: wake.device_id.clone() };
    let leave = circuits.admit(address.route(device.platform), &key, Instant::now());
    let leave = leave.map_err(|wait| {
        // Rounded up, so that the circuit lets one through then.
        let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX).saturating_add(1);
        now_ms.saturating_add(wait_ms)
    })?;
    dispatcher.bucket.take(wake, now_ms).inspect_err(|_| circuits.release(&leave))?;
    Ok(leave)
}

/// Commands that wait for the device, oldest first; their values are empty where
/// there is more than one.
async fn waiting(state: &Handles, device: &device::Model) -> Result<Vec<command::Model>, DbErr> {
    let db = state.store.readers();
    let now_ms = state.clock.now().millis();
    let (mut waiting, mut after) = (Vec::new(), 0);
    loop {
        let user_id = &device.user_id;
        let open = store::command::open_after_without_value(db, user_id, after, COMMANDS_PER_STEP);
        let mut open: Vec<command::Model> = open.await?;
        let Some(last) = open.last() else { return with_value(db, waiting).await };
        after = last.last_seq;
        let is_last = (open.len() as u64) < COMMANDS_PER_STEP;
        open.retain(|command| command.expires_at > now_ms && is_eligible(command, device));
        let ids: Vec<String> = open.iter().map(|command| command.id.clone()).collect();
        let settled = store::outcome::settled_by(db, &device.device_id, &ids).await?;
        open.retain(|command| !settled.contains(&command.id));
        waiting.append(&mut open);
        // Those of the user's other devices may come first.
        if is_last || waiting.len() >= COMMANDS_PER_WAKE {
            waiting.truncate(COMMANDS_PER_WAKE);
            return with_value(db, waiting).await;
        }
    }
}

/// A command that waits alone may travel inside its wake-up.
async fn with_value(
    db: &impl ConnectionTrait,
    waiting: Vec<command::Model>,
) -> Result<Vec<command::Model>, DbErr> {
    match waiting.as_slice() {
        [alone] => Ok(store::command::get(db, &alone.id).await?.into_iter().collect()),
        _ => Ok(waiting),
    }
}

/// Whether data may wake the device: it asked for that, and was seen since its
/// last wake-up.
fn may_hear(wake: &push_wake::Model, device: &device::Model, now: Timestamp) -> bool {
    // What happened in the future did so under a clock that was wrong.
    let now_ms = now.millis();
    let was_seen = device.last_seen_at <= skewed(now_ms);
    let is_due = |at| (at < device.last_seen_at && was_seen) || at > now_ms;
    device.wants_delta_push && wake.delta_sent_at.is_none_or(is_due)
}

async fn lag_of(state: &Handles, key: &DeviceKey) -> Result<Option<(StreamName, Seq)>, DbErr> {
    let lag = store::wake::lag::of(state.store.readers(), key).await?;
    Ok(lag.and_then(|(stream, head)| Some((StreamName::parse(&stream).ok()?, Seq::new(head)))))
}

/// Notes wake-ups for devices after `after` that lag on data; the last device
/// looked at, if there may be more.
pub(super) async fn note_lagging(
    state: &Handles,
    bucket: DeviceBucket,
    after: Option<&DeviceKey>,
) -> Result<Option<DeviceKey>, DbErr> {
    let now_ms = state.clock.now().millis();
    let found = store::wake::lag::devices(state.store.readers(), after, now_ms, DEVICES_PER_STEP);
    let mut found = found.await?;
    let is_last = (found.len() as u64) < DEVICES_PER_STEP;
    let last = found.last().filter(|_| !is_last).cloned();
    found.retain(|key| !state.hub.is_online(&key.user_id, &key.device_id));
    want(state, found, Cause::Data, bucket).await?;
    Ok(last)
}

/// Notes wake-ups for commands that came while no push tier was configured.
/// What was pushed before the restart is not pushed anew.
pub(super) async fn note_missing(state: &Handles, bucket: DeviceBucket) -> Result<(), DbErr> {
    let mut after = String::new();
    loop {
        let db = state.store.readers();
        let users = store::command::users_with_unpushed(db, &after, USERS_PER_STEP).await?;
        let Some(last) = users.last() else { return Ok(()) };
        after.clone_from(last);
        let devices = store::device::of_users(db, &users).await?;
        let with_token = devices.into_iter().filter(|device| device.push_token.is_some());
        let keys: Vec<DeviceKey> = with_token
            .map(|device| DeviceKey { user_id: device.user_id, device_id: device.device_id })
            .collect();
        want(state, keys, Cause::Command, bucket).await?;
    }
}

async fn want(
    state: &Handles,
    mut keys: Vec<DeviceKey>,
    cause: Cause,
    bucket: DeviceBucket,
) -> Result<(), DbErr> {
    if keys.is_empty() {
        return Ok(());
    }
    keys.sort_unstable();
    keys.dedup();
    let now_ms = state.clock.now().millis();
    let bucket_milli = bucket.full_milli();
    let wanted: Vec<WantedWake> = keys
        .into_iter()
        .map(|device| WantedWake { device, due_at: now_ms, cause, bucket_milli })
        .collect();
    let wanted = &wanted;
    let noted = state.store.write(|tx| async move { store::wake::want(&tx, wanted, now_ms).await });
    Ok(noted.await?)
}
