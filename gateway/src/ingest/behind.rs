//! What is written late and in batches: cursors acked, timeline rows for
//! delivery and acks, when a device was last seen. A crash may lose the newest
//! of it; devices ack again with their next hello.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use tidegate_protocol::command::Channel;
use tidegate_protocol::cursor::Cursor;
use tidegate_protocol::id::{CommandId, StreamName};
use tidegate_protocol::limits::COMMAND_ATTEMPTS;
use tidegate_protocol::time::Timestamp;
use uuid::Uuid;

use crate::hub::lock;
use crate::journal::Attempt;
use crate::limits::{BEHIND_CURSORS, BEHIND_EVENTS, BEHIND_SLICE_ROWS, BEHIND_SLICES};
use crate::metrics::Metrics;
use crate::store::device::DeviceKey;

mod calls;
mod write;

use write::looks_to_come;
pub(super) use write::write;

/// Collects what is written late.
#[derive(Debug)]
pub struct Behind {
    batch: Mutex<BehindBatch>,
    /// Batches that the writer has and did not settle yet.
    in_writer: Mutex<Vec<Arc<BehindBatch>>>,
    /// The latest time seen, milliseconds: a clock that was set back does not
    /// undo what was done by it.
    latest: AtomicI64,
    metrics: Metrics,
}

/// What one transaction writes of it.
#[derive(Clone, Debug, Default)]
pub struct BehindBatch {
    /// In the order of the commands: a slice is rows that lie together.
    deliveries: BTreeMap<DeliveryKey, Delivery>,
    pushed: Vec<PushNote>,
    acks: HashMap<(DeviceKey, StreamName), Acked>,
    /// Those that called; who only acks is seen by its acks.
    seen: HashSet<DeviceKey>,
}

/// An attempt of a command that went to a device.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct DeliveryKey {
    command_id: CommandId,
    device_id: String,
    attempt: i32,
}

/// When it went there for the first time, by channel, and when the device acked
/// its position.
#[derive(Clone, Copy, Debug, Default)]
struct Delivery {
    socket: Option<Timestamp>,
    poll: Option<Timestamp>,
    acked: Option<Timestamp>,
    /// As [`Attempt::look_at`].
    look_at: Option<Timestamp>,
}

impl Delivery {
    /// Adds what was noted later.
    fn extend(&mut self, later: Self) {
        self.socket = self.socket.or(later.socket);
        self.poll = self.poll.or(later.poll);
        self.acked = self.acked.or(later.acked);
        self.look_at = self.look_at.or(later.look_at);
    }

    /// Whether the command's row must say when it is tried again: another
    /// attempt is left, and it is not certain that a look is to come in time
    /// which finds the row of this ack.
    fn starts_clock(&self, attempt: i32, looks: &RangeInclusive<Timestamp>) -> bool {
        let is_to_come = self.look_at.is_some_and(|look_at| looks.contains(&look_at));
        self.acked.is_some() && attempt < COMMAND_ATTEMPTS && !is_to_come
    }
}

/// What came of a wake-up by push.
#[derive(Clone, Debug)]
pub struct PushNote {
    /// Makes its rows those of this attempt.
    pub id: Uuid,
    /// The commands it was for.
    pub commands: Vec<CommandId>,
    /// The device.
    pub device_id: String,
    /// The provider.
    pub channel: Channel,
    /// Whether the provider took it.
    pub is_ok: bool,
    /// The provider's message id or its refusal, and how long it took.
    pub detail: String,
    /// When it answered.
    pub at: Timestamp,
}

#[derive(Clone, Debug)]
struct Acked {
    cursor: Cursor,
    at: Timestamp,
    /// Which commands it passed must be looked up: the session that delivered
    /// them is gone, or there was none.
    look_up: bool,
}

impl BehindBatch {
    /// How many rows it writes, about.
    pub fn len(&self) -> usize {
        self.deliveries.len() + self.pushed.len() + self.acks.len() + self.seen.len()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The users whose devices it tells of.
    fn users(&self) -> impl Iterator<Item = String> {
        let devices = self.acks.keys().map(|(device, _)| device).chain(&self.seen);
        devices.map(|device| device.user_id.clone())
    }

    /// The commands whose rows it changes.
    fn commands(&self, looks: &RangeInclusive<Timestamp>) -> impl Iterator<Item = String> {
        let starts =
            |(key, delivery): &(&DeliveryKey, &Delivery)| delivery.starts_clock(key.attempt, looks);
        let acked = self.deliveries.iter().filter(starts).map(|(key, _)| &key.command_id);
        let pushed = self.pushed.iter().flat_map(|note| &note.commands);
        acked.chain(pushed).map(|id| id.as_str().to_owned())
    }

    /// The devices of a user that it tells of: they were seen just now.
    pub fn seen_of(&self, user_id: &str) -> HashSet<String> {
        let acking = self.acks.keys().map(|(device, _)| device);
        let of_user = acking.chain(&self.seen).filter(|device| device.user_id == user_id);
        of_user.map(|device| device.device_id.clone()).collect()
    }

    /// Notes that a device holds a stream up to a position; which commands
    /// that passes is looked up when it is written.
    pub fn ack(&mut self, device: &DeviceKey, stream: &StreamName, cursor: Cursor, at: Timestamp) {
        self.move_cursor(device, stream, Acked { cursor, at, look_up: true });
    }

    /// Takes at most so many rows, deliveries first, those of old commands before
    /// those of newer ones.
    fn split(&mut self, most: usize) -> Self {
        let mut slice = Self::default();
        slice.deliveries = std::iter::from_fn(|| self.deliveries.pop_first()).take(most).collect();
        slice.pushed = take_first(&mut self.pushed, most - slice.len());
        slice.acks = self.acks.extract_if(|_, _| true).take(most - slice.len()).collect();
        slice.seen = self.seen.extract_if(|_| true).take(most - slice.len()).collect();
        slice
    }

    /// Adds what came later. Written one after the other, two batches would lock
    /// rows out of order.
    pub(crate) fn absorb(&mut self, later: Self) {
        for (key, delivery) in later.deliveries {
            self.deliveries
                .entry(key)
                .and_modify(|known| known.extend(delivery))
                .or_insert(delivery);
        }
        self.pushed.extend(later.pushed);
        for ((device, stream), acked) in later.acks {
            self.move_cursor(&device, &stream, acked);
        }
        self.seen.extend(later.seen);
    }

    /// Notes a delivery; false if there is no room for another one.
    fn deliver(&mut self, key: DeliveryKey, delivery: Delivery) -> bool {
        let has_room = self.deliveries.len() < BEHIND_EVENTS;
        match self.deliveries.entry(key) {
            Entry::Occupied(mut known) => known.get_mut().extend(delivery),
            Entry::Vacant(place) if has_room => {
                place.insert(delivery);
            }
            Entry::Vacant(_) => return false,
        }
        true
    }

    fn move_cursor(&mut self, device: &DeviceKey, stream: &StreamName, mut acked: Acked) {
        let key = (device.clone(), stream.clone());
        let known = self.acks.get(&key);
        acked.look_up |= known.is_some_and(|known| known.look_up);
        let is_newer = known.is_none_or(|known| {
            known.cursor.epoch != acked.cursor.epoch || known.cursor.seq < acked.cursor.seq
        });
        if is_newer {
            self.acks.insert(key, acked);
        } else if acked.look_up {
            self.acks.entry(key).and_modify(|known| known.look_up = true);
        }
    }
}

fn take_first<T>(list: &mut Vec<T>, most: usize) -> Vec<T> {
    let rest = list.split_off(most.min(list.len()));
    std::mem::replace(list, rest)
}

/// Puts rows before others, as many as there is room for; how many there was
/// none for.
fn put_first<T>(list: &mut Vec<T>, mut rows: Vec<T>) -> u64 {
    let room = BEHIND_EVENTS.saturating_sub(list.len());
    let dropped = rows.len().saturating_sub(room);
    rows.truncate(room);
    list.splice(0..0, rows);
    dropped as u64
}

impl Behind {
    /// Nothing noted yet.
    pub fn new(metrics: Metrics) -> Self {
        Self {
            batch: Mutex::default(),
            in_writer: Mutex::default(),
            latest: AtomicI64::new(i64::MIN),
            metrics,
        }
    }

    /// The latest time seen so far, `now` included.
    pub(in crate::ingest) fn latest(&self, now: Timestamp) -> Timestamp {
        let before = self.latest.fetch_max(now.millis(), Ordering::Relaxed);
        Timestamp::from_millis(before).max(now)
    }

    /// Notes that commands were written to a device.
    pub fn sent(
        &self,
        device: &DeviceKey,
        attempts: impl IntoIterator<Item = Attempt>,
        channel: Channel,
        at: Timestamp,
    ) {
        let delivery = match channel {
            Channel::Poll => Delivery { poll: Some(at), ..Delivery::default() },
            _ => Delivery { socket: Some(at), ..Delivery::default() },
        };
        self.deliver(device, attempts, delivery);
    }

    /// Notes that a device holds a stream up to a position; which commands
    /// that passes is looked up when it is written.
    pub fn ack(&self, device: &DeviceKey, stream: &StreamName, cursor: Cursor, at: Timestamp) {
        self.move_cursor(device, stream, Acked { cursor, at, look_up: true });
    }

    /// Notes that a device holds a stream up to a position, by the session
    /// that delivered it and so knows which commands that passes.
    pub fn ack_delivered(
        &self,
        device: &DeviceKey,
        stream: &StreamName,
        cursor: Cursor,
        attempts: impl IntoIterator<Item = Attempt>,
        at: Timestamp,
    ) {
        self.move_cursor(device, stream, Acked { cursor, at, look_up: false });
        self.deliver(device, attempts, Delivery { acked: Some(at), ..Delivery::default() });
    }

    fn deliver(
        &self,
        device: &DeviceKey,
        attempts: impl IntoIterator<Item = Attempt>,
        delivery: Delivery,
    ) {
        let mut batch = lock(&self.batch);
        for Attempt { id: command_id, number: attempt, look_at } in attempts {
            let device_id = device.device_id.clone();
            let delivery = Delivery { look_at, ..delivery };
            if !batch.deliver(DeliveryKey { command_id, device_id, attempt }, delivery) {
                self.metrics.behind_dropped.inc();
            }
        }
    }

    fn move_cursor(&self, device: &DeviceKey, stream: &StreamName, acked: Acked) {
        let mut batch = lock(&self.batch);
        if batch.acks.len() < BEHIND_CURSORS {
            batch.move_cursor(device, stream, acked);
        } else {
            self.metrics.behind_dropped.inc();
        }
    }

    /// Notes that a device was here.
    pub fn seen(&self, device: &DeviceKey) {
        let mut batch = lock(&self.batch);
        if batch.seen.len() < BEHIND_CURSORS {
            batch.seen.insert(device.clone());
        }
    }

    /// The devices of a user that were seen and whose rows do not say so yet.
    pub fn seen_of(&self, user_id: &str) -> HashSet<String> {
        let mut seen = lock(&self.batch).seen_of(user_id);
        for batch in lock(&self.in_writer).iter() {
            seen.extend(batch.seen_of(user_id));
        }
        seen
    }

    /// Notes what came of a wake-up by push.
    pub fn pushed(&self, note: PushNote) {
        let mut batch = lock(&self.batch);
        if batch.pushed.len() < BEHIND_EVENTS {
            batch.pushed.push(note);
        } else {
            self.metrics.behind_dropped.inc();
        }
    }

    /// A batch goes to the writer.
    fn hand_in(&self, batch: &Arc<BehindBatch>) {
        lock(&self.in_writer).push(Arc::clone(batch));
    }

    /// The writer is done with a batch.
    fn settle(&self, batch: &Arc<BehindBatch>) {
        lock(&self.in_writer).retain(|other| !Arc::ptr_eq(other, batch));
    }

    /// Whether the writer has a batch.
    pub fn is_being_written(&self) -> bool {
        !lock(&self.in_writer).is_empty()
    }

    /// Takes back what could not be written, within the bounds; what was noted
    /// meanwhile is newer and stays. It may have been written all the same:
    /// writing it again changes nothing.
    pub fn put_back(&self, slice: BehindBatch) {
        let mut batch = lock(&self.batch);
        let mut dropped = put_first(&mut batch.pushed, slice.pushed);
        for (key, mut delivery) in slice.deliveries {
            if let Some(newer) = batch.deliveries.remove(&key) {
                delivery.extend(newer);
            }
            dropped += u64::from(!batch.deliver(key, delivery));
        }
        for ((device, stream), acked) in slice.acks {
            batch.move_cursor(&device, &stream, acked);
        }
        batch.seen.extend(slice.seen);
        self.metrics.behind_dropped.inc_by(dropped);
    }

    /// How many rows wait, about.
    pub fn len(&self) -> usize {
        lock(&self.batch).len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the next slice of what was noted. One transaction of everything
    /// would keep commits waiting for as long as it takes; slices let them in
    /// between. The more waits, the larger the slice: it must not grow faster
    /// than it is written.
    pub fn take_slice(&self) -> BehindBatch {
        let mut batch = lock(&self.batch);
        let most = (batch.len() / BEHIND_SLICES).max(BEHIND_SLICE_ROWS);
        if batch.len() <= most {
            return std::mem::take(&mut batch);
        }
        batch.split(most)
    }
}

#[cfg(test)]
mod tests;
