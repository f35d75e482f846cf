//! What the dispatcher looks at: what waits for a device, who lags, and what
//! was never noted.

use sea_orm::DbErr;
use tidegate_entity::{command, device, push_wake};
use tidegate_protocol::id::{Seq, StreamName};

use crate::ingest::is_eligible;
use crate::push::bucket::DeviceBucket;
use crate::push::dispatch::Dispatcher;
use crate::push::plan::{self, Look, Order, Plan};
use crate::push::send::{Address, NoAddress};
use crate::state::AppState;
use crate::store;
use crate::store::device::DeviceKey;
use crate::store::wake::{NEVER, WantedWake};

/// Commands one wake-up is for at most; the device finds the others in its
/// stream.
const COMMANDS_PER_WAKE: u64 = 100;

/// Users looked at by one step of the sweep at start.
const USERS_PER_STEP: u64 = 500;

/// A wake-up to send, with everything it needs.
pub(super) type Job = (push_wake::Model, device::Model, Address, Order);

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
    let now = state.clock.now();
    let look = Look {
        wake: &wake,
        device: device.as_ref(),
        waiting: &waiting,
        online_for: state.hub.online_for(&key.user_id, &key.device_id),
        delta: dispatcher.deltas.get(&key),
        now,
    };
    let plan = plan::plan(&look, &dispatcher.options);
    dispatcher.deltas.remove(&key);
    wake.not_before = now.millis();
    let (due_at, job) = match (plan, device) {
        (Plan::Send(order), Some(device)) => send_or_wait(dispatcher, &mut wake, device, order),
        (Plan::Later(at), _) => (at, None),
        (Plan::Idle | Plan::Send(_), _) => (NEVER, None),
    };
    if let Some((device, address, order)) = job {
        return Ok(Some((wake, device, address, order)));
    }
    wake.due_at = due_at;
    if due_at < NEVER {
        wake.not_before = due_at;
    }
    dispatcher.settle(wake);
    Ok(None)
}

/// Asks the circuit and the device's bucket.
fn send_or_wait(
    dispatcher: &mut Dispatcher,
    wake: &mut push_wake::Model,
    device: device::Model,
    order: Order,
) -> (i64, Option<(device::Model, Address, Order)>) {
    let now_ms = dispatcher.state.clock.now().millis();
    let address = match Address::of(&dispatcher.push, &device) {
        Ok(address) => address,
        Err(NoAddress::NotConfigured) => return (NEVER, None),
        Err(NoAddress::Invalid) => {
            dispatcher.end_token(&device);
            return (NEVER, None);
        }
    };
    let circuits = &dispatcher.push.0.circuits;
    if let Some(until_ms) = circuits.paused_until(&address.circuit(), now_ms) {
        return (until_ms, None);
    }
    match dispatcher.bucket.take(wake, now_ms) {
        Ok(()) => (NEVER, Some((device, address, order))),
        Err(at) => (at, None),
    }
}

/// Commands that wait for the device, oldest first.
async fn waiting(state: &AppState, device: &device::Model) -> Result<Vec<command::Model>, DbErr> {
    let db = state.store.readers();
    let open = store::command::open_after(db, &device.user_id, 0, COMMANDS_PER_WAKE).await?;
    let now_ms = state.clock.now().millis();
    let mut waiting: Vec<command::Model> = open
        .into_iter()
        .filter(|command| command.expires_at > now_ms && is_eligible(command, device))
        .collect();
    let ids: Vec<String> = waiting.iter().map(|command| command.id.clone()).collect();
    let settled = store::outcome::settled_by(db, &device.device_id, &ids).await?;
    waiting.retain(|command| !settled.contains(&command.id));
    Ok(waiting)
}

/// Notes wake-ups for devices that lag on data; what each lacks.
pub(super) async fn note_lagging(
    state: &AppState,
    bucket: DeviceBucket,
    limit: u64,
) -> Result<Vec<(DeviceKey, (StreamName, Seq))>, DbErr> {
    let lagging = store::wake::lagging(state.store.readers(), limit).await?;
    let found: Vec<_> = lagging
        .into_iter()
        .filter(|(key, ..)| !state.hub.is_online(&key.user_id, &key.device_id))
        .filter_map(|(key, stream, head)| {
            Some((key, (StreamName::parse(&stream).ok()?, Seq::new(head))))
        })
        .collect();
    let keys: Vec<DeviceKey> = found.iter().map(|(key, _)| key.clone()).collect();
    want(state, keys, bucket).await?;
    Ok(found)
}

/// Notes wake-ups for commands that came while no push tier was configured.
pub(super) async fn note_missing(state: &AppState, bucket: DeviceBucket) -> Result<(), DbErr> {
    let mut after = String::new();
    loop {
        let db = state.store.readers();
        let users = store::command::users_with_open(db, &after, USERS_PER_STEP).await?;
        let Some(last) = users.last() else { return Ok(()) };
        after.clone_from(last);
        let devices = store::device::of_users(db, &users).await?;
        let with_token = devices.into_iter().filter(|device| device.push_token.is_some());
        let keys: Vec<DeviceKey> = with_token
            .map(|device| DeviceKey { user_id: device.user_id, device_id: device.device_id })
            .collect();
        want(state, keys, bucket).await?;
    }
}

async fn want(
    state: &AppState,
    mut keys: Vec<DeviceKey>,
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
        .map(|device| WantedWake { device, due_at: now_ms, is_fresh: false, bucket_milli })
        .collect();
    let tx = state.store.begin_write().await?;
    store::wake::want(&tx, &wanted, now_ms).await?;
    tx.commit().await
}
