//! Writing a batch of what may be late, inside the caller's transaction.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;

use sea_orm::{ConnectionTrait, DbErr};
use tidegate_entity::{command, command_delivery, device, device_cursor};
use tidegate_protocol::command::{Channel, TimelineEvent};
use tidegate_protocol::id::CommandId;
use tidegate_protocol::time::Timestamp;

use crate::ingest::IngestOptions;
use crate::ingest::behind::{BehindBatch, Delivery, DeliveryKey, PushNote};
use crate::ingest::commands::is_eligible;
use crate::store;
use crate::store::command::AckedRange;
use crate::store::device::DeviceKey;
use crate::store::event::NewEvent;

/// Writes a batch inside the caller's transaction.
pub(crate) async fn write(
    db: &impl ConnectionTrait,
    batch: &BehindBatch,
    now: Timestamp,
    latest: Timestamp,
    options: &IngestOptions,
) -> Result<(), DbErr> {
    let mut deliveries = Cow::Borrowed(&batch.deliveries);
    for (key, delivery) in looked_up(db, batch).await? {
        let known = deliveries.to_mut().entry(key);
        known.and_modify(|known| known.extend(delivery)).or_insert(delivery);
    }
    let mut cursors = cursor_rows(batch);
    let devices: Vec<DeviceKey> = batch.acks.keys().map(|(device, _)| device.clone()).collect();
    // One that was deleted meanwhile must not leave cursors to its successor.
    let existing = store::device::existing(db, &devices).await?;
    cursors.retain(|row| existing.contains_key(&row_device(row)));
    store::device::advance_cursors(db, cursors).await?;
    let rows = deliveries.iter().map(|(key, delivery)| delivery_row(key, delivery));
    store::delivery::upsert(db, rows.collect()).await?;
    store::event::insert(db, batch.pushed.iter().flat_map(push_events).collect()).await?;
    for (provider, ids) in pushed_by(batch) {
        store::command::mark_pushed(db, &ids, provider).await?;
    }
    let due_at = now.plus_millis(options.retry_after_ms()).millis();
    for (attempt, ids) in &acked_late(&deliveries, &looks_to_come(now, latest, options)) {
        store::command::start_retry_clock(db, ids, *attempt, due_at).await?;
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

/// The looks that are certainly to come and not too late. Half of the wait is left
/// for what is written late and for the clocks of other nodes; a look farther ahead
/// than the wait was set by a clock that was wrong.
pub(super) fn looks_to_come(
    now: Timestamp,
    latest: Timestamp,
    options: &IngestOptions,
) -> RangeInclusive<Timestamp> {
    let first = latest.plus_millis(options.result_timeout_ms());
    first..=now.plus_millis(options.retry_after_ms())
}

/// The commands whose retry clock an ack starts, by the attempt acked.
fn acked_late(
    deliveries: &BTreeMap<DeliveryKey, Delivery>,
    looks: &RangeInclusive<Timestamp>,
) -> BTreeMap<i32, Vec<String>> {
    let mut acked: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    for (key, delivery) in deliveries {
        if delivery.starts_clock(key.attempt, looks) {
            acked.entry(key.attempt).or_default().push(key.command_id.as_str().to_owned());
        }
    }
    acked
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
) -> Result<Vec<(DeliveryKey, Delivery)>, DbErr> {
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
    Ok(pass(&open, &moves, &capable))
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
) -> Vec<(DeliveryKey, Delivery)> {
    let mut acked = Vec::new();
    for command in open {
        let Ok(command_id) = CommandId::parse(&command.id) else { continue };
        for step in moves.get(&*command.user_id).into_iter().flatten() {
            let device_id = &step.device.device_id;
            let passed = step.after < command.last_seq && command.last_seq <= step.upto;
            let device = devices
                .iter()
                .find(|row| row.user_id == command.user_id && row.device_id == *device_id);
            if !passed || !device.is_some_and(|device| is_eligible(command, device)) {
                continue;
            }
            let key = DeliveryKey {
                command_id: command_id.clone(),
                device_id: device_id.clone(),
                attempt: command.attempt,
            };
            acked.push((key, Delivery { acked: Some(step.at), ..Delivery::default() }));
        }
    }
    acked
}
