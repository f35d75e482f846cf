//! Writing a batch of what may be late, inside the caller's transaction.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use sea_orm::{ConnectionTrait, DbErr};
use tidegate_entity::{command, command_delivery, device, device_cursor};
use tidegate_protocol::command::{Channel, TimelineEvent};
use tidegate_protocol::limits::COMMAND_ATTEMPTS;
use tidegate_protocol::time::Timestamp;

use crate::ingest::behind::{BehindBatch, Delivery, DeliveryKey, PushNote};
use crate::ingest::commands::is_eligible;
use crate::store;
use crate::store::command::{AckedRange, Step};
use crate::store::device::DeviceKey;
use crate::store::event::NewEvent;

/// Writes a batch inside the caller's transaction.
pub(crate) async fn write(
    db: &impl ConnectionTrait,
    batch: &BehindBatch,
    now: Timestamp,
    result_timeout_ms: u64,
) -> Result<(), DbErr> {
    let mut deliveries: Vec<command_delivery::Model> =
        batch.deliveries.iter().map(|(key, delivery)| delivery_row(key, delivery)).collect();
    let mut progress = Progress::default();
    for (key, delivery) in &batch.deliveries {
        progress.add(key.command_id.as_str(), key.attempt, *delivery);
    }
    deliveries.extend(looked_up(db, batch, &mut progress).await?);
    let mut cursors = cursor_rows(batch);
    let devices: Vec<DeviceKey> = batch.acks.keys().map(|(device, _)| device.clone()).collect();
    // One that was deleted meanwhile must not leave cursors to its successor.
    let existing = store::device::existing(db, &devices).await?;
    cursors.retain(|row| existing.contains_key(&row_device(row)));
    store::device::advance_cursors(db, cursors).await?;
    store::delivery::upsert(db, merged(deliveries)).await?;
    store::event::insert(db, batch.pushed.iter().flat_map(push_events).collect()).await?;
    for (provider, ids) in pushed_by(batch) {
        store::command::mark_pushed(db, &ids, provider).await?;
    }
    let wait_ms = i64::try_from(result_timeout_ms.saturating_mul(2)).unwrap_or(i64::MAX);
    let due_at = now.plus_millis(wait_ms).millis();
    for (step, ids) in &progress.by_step() {
        store::command::note_delivery(db, ids, *step, due_at).await?;
    }
    let long_ago = now.millis() - SEEN_BY_ACK_MS;
    let acking = existing.into_iter().filter(|(_, seen_at)| *seen_at < long_ago);
    let mut seen: BTreeSet<DeviceKey> = acking.map(|(device, _)| device).collect();
    seen.extend(batch.seen.iter().cloned());
    let seen: Vec<DeviceKey> = seen.into_iter().collect();
    store::device::touch(db, &seen, now.millis()).await
}

/// How long a device may ack until it is noted again that it was here: a device
/// with a socket is known to be here, and its row lies in a page of its own.
const SEEN_BY_ACK_MS: i64 = 60_000;

fn delivery_row(key: &DeliveryKey, delivery: &Delivery) -> command_delivery::Model {
    command_delivery::Model {
        command_id: key.command_id.as_str().to_owned(),
        device_id: key.device_id.clone(),
        attempt: key.attempt,
        socket_at: delivery.socket.map(Timestamp::millis),
        poll_at: delivery.poll.map(Timestamp::millis),
        acked_at: delivery.acked.map(Timestamp::millis),
    }
}

/// One row a key, in the order of the keys: one that was looked up may be known
/// from its delivery too.
fn merged(rows: Vec<command_delivery::Model>) -> Vec<command_delivery::Model> {
    let mut merged: BTreeMap<(String, String, i32), command_delivery::Model> = BTreeMap::new();
    for row in rows {
        let key = (row.command_id.clone(), row.device_id.clone(), row.attempt);
        match merged.entry(key) {
            Entry::Vacant(place) => drop(place.insert(row)),
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                known.acked_at = known.acked_at.or(row.acked_at);
            }
        }
    }
    merged.into_values().collect()
}

/// How far deliveries and acks bring commands.
#[derive(Default)]
struct Progress(BTreeMap<String, Step>);

impl Progress {
    fn add(&mut self, id: &str, attempt: i32, delivery: Delivery) {
        let step = self.0.entry(id.to_owned()).or_default();
        step.is_sent |= delivery.is_sent();
        // Another attempt is made only if one is left.
        if delivery.acked.is_some() && attempt < COMMAND_ATTEMPTS {
            step.acked = step.acked.max(Some(attempt));
        }
    }

    fn by_step(self) -> BTreeMap<Step, Vec<String>> {
        let mut steps: BTreeMap<Step, Vec<String>> = BTreeMap::new();
        for (id, step) in self.0 {
            if step != Step::default() {
                steps.entry(step).or_default().push(id);
            }
        }
        steps
    }
}

fn push_events(note: &PushNote) -> impl Iterator<Item = NewEvent> {
    let event = if note.is_ok { TimelineEvent::PushOk } else { TimelineEvent::PushFailed };
    note.commands.iter().map(move |command_id| NewEvent {
        command_id: command_id.as_str().to_owned(),
        at: note.at.millis(),
        event,
        channel: Some(note.channel),
        device_id: Some(note.device_id.clone()),
        detail: Some(note.detail.clone()),
        // A batch whose commit ended unclear is written again.
        once: Some(format!("{event} {}", note.id)),
    })
}

/// The commands for which each provider took a wake-up.
fn pushed_by(batch: &BehindBatch) -> BTreeMap<Channel, Vec<String>> {
    let mut pushed: BTreeMap<Channel, Vec<String>> = BTreeMap::new();
    for note in batch.pushed.iter().filter(|note| note.is_ok) {
        let ids = note.commands.iter().map(|id| id.as_str().to_owned());
        pushed.entry(note.channel).or_default().extend(ids);
    }
    pushed
}

fn row_device(row: &device_cursor::Model) -> DeviceKey {
    DeviceKey { user_id: row.user_id.clone(), device_id: row.device_id.clone() }
}

fn cursor_rows(batch: &BehindBatch) -> Vec<device_cursor::Model> {
    let mut rows: Vec<_> = batch
        .acks
        .iter()
        .map(|((device, stream), acked)| device_cursor::Model {
            user_id: device.user_id.clone(),
            device_id: device.device_id.clone(),
            stream: stream.as_str().to_owned(),
            epoch: acked.cursor.epoch.as_str().to_owned(),
            seq: acked.cursor.seq.get(),
            at: acked.at.millis(),
        })
        .collect();
    // One order for all nodes, so that two of them cannot wait for each other.
    rows.sort_unstable_by(|a, b| {
        (&a.user_id, &a.device_id, &a.stream).cmp(&(&b.user_id, &b.device_id, &b.stream))
    });
    rows
}

/// Which open commands these acks pass for the first time, where the session
/// that delivered them does not tell.
async fn looked_up(
    db: &impl ConnectionTrait,
    batch: &BehindBatch,
    progress: &mut Progress,
) -> Result<Vec<command_delivery::Model>, DbErr> {
    let own: Vec<_> = batch
        .acks
        .iter()
        .filter(|((device, stream), acked)| {
            acked.look_up && stream.owner() == Some(&*device.user_id)
        })
        .collect();
    if own.is_empty() {
        return Ok(Vec::new());
    }
    let devices: Vec<DeviceKey> = own.iter().map(|((device, _), _)| device.clone()).collect();
    let known = store::device::cursors(db, &devices).await?;
    let mut moves: HashMap<&str, Vec<Move<'_>>> = HashMap::new();
    for ((device, stream), acked) in own {
        let before = known
            .get(&(device.clone(), stream.as_str().to_owned()))
            .filter(|row| row.epoch == acked.cursor.epoch.as_str())
            .map_or(0, |row| row.seq);
        let step = Move { device, after: before, upto: acked.cursor.seq.get(), at: acked.at };
        moves.entry(&device.user_id).or_default().push(step);
    }
    let ranges: Vec<AckedRange> = moves.iter().filter_map(|(user, m)| range(user, m)).collect();
    let open = store::command::open_in(db, &ranges).await?;
    if open.is_empty() {
        return Ok(Vec::new());
    }
    let users: Vec<String> = open.iter().map(|command| command.user_id.clone()).collect();
    let capable = store::device::of_users(db, &users).await?;
    Ok(pass(&open, &moves, &capable, progress))
}

/// A device's cursor moved from `after` to `upto`.
struct Move<'a> {
    device: &'a DeviceKey,
    after: i64,
    upto: i64,
    at: Timestamp,
}

fn range(user_id: &str, moves: &[Move<'_>]) -> Option<AckedRange> {
    let after = moves.iter().map(|step| step.after).min()?;
    let upto = moves.iter().map(|step| step.upto).max()?;
    (after < upto).then(|| AckedRange { user_id: user_id.to_owned(), after, upto })
}

fn pass(
    open: &[command::Model],
    moves: &HashMap<&str, Vec<Move<'_>>>,
    devices: &[device::Model],
    progress: &mut Progress,
) -> Vec<command_delivery::Model> {
    let mut acked = Vec::new();
    for command in open {
        for step in moves.get(&*command.user_id).into_iter().flatten() {
            let device_id = &step.device.device_id;
            let passed = step.after < command.last_seq && command.last_seq <= step.upto;
            let device = devices
                .iter()
                .find(|row| row.user_id == command.user_id && row.device_id == *device_id);
            if !passed || !device.is_some_and(|device| is_eligible(command, device)) {
                continue;
            }
            let delivery = Delivery { acked: Some(step.at), ..Delivery::default() };
            progress.add(&command.id, command.attempt, delivery);
            acked.push(command_delivery::Model {
                command_id: command.id.clone(),
                device_id: device_id.clone(),
                attempt: command.attempt,
                socket_at: None,
                poll_at: None,
                acked_at: Some(step.at.millis()),
            });
        }
    }
    acked
}
