//! What is written late and in batches: cursors acked, timeline rows for
//! delivery and acks, when a device was last seen. A crash may lose the newest
//! of it; devices ack again with their next hello.

use std::collections::HashMap;
use std::sync::Mutex;

use sea_orm::{ConnectionTrait, DbErr};
use tidegate_entity::device_cursor;
use tidegate_protocol::command::{Channel, TimelineEvent};
use tidegate_protocol::cursor::Cursor;
use tidegate_protocol::id::{CommandId, StreamName};
use tidegate_protocol::limits::COMMAND_ATTEMPTS;
use tidegate_protocol::time::Timestamp;

use crate::hub::lock;
use crate::limits::{BEHIND_CURSORS, BEHIND_EVENTS};
use crate::metrics::Metrics;
use crate::store::command::AckedRange;
use crate::store::device::DeviceKey;
use crate::store::event::NewEvent;
use crate::store::{self};

/// Collects what is written late.
#[derive(Debug)]
pub struct Behind {
    batch: Mutex<BehindBatch>,
    metrics: Metrics,
}

/// What one transaction writes of it.
#[derive(Clone, Debug, Default)]
pub struct BehindBatch {
    sent: Vec<Sent>,
    acks: HashMap<(DeviceKey, StreamName), Acked>,
    seen: HashMap<DeviceKey, Timestamp>,
}

#[derive(Clone, Debug)]
struct Sent {
    command_id: CommandId,
    attempt: i32,
    device_id: String,
    channel: Channel,
    at: Timestamp,
}

#[derive(Clone, Debug)]
struct Acked {
    cursor: Cursor,
    at: Timestamp,
}

impl BehindBatch {
    /// How many rows it writes, about.
    pub fn len(&self) -> usize {
        self.sent.len() + self.acks.len() + self.seen.len()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Notes that a device holds a stream up to a position.
    pub fn ack(&mut self, device: &DeviceKey, stream: &StreamName, cursor: Cursor, at: Timestamp) {
        self.seen.insert(device.clone(), at);
        let key = (device.clone(), stream.clone());
        let newer =
            |known: &Acked| known.cursor.epoch != cursor.epoch || known.cursor.seq < cursor.seq;
        if self.acks.get(&key).is_none_or(newer) {
            self.acks.insert(key, Acked { cursor, at });
        }
    }
}

impl Behind {
    /// Nothing noted yet.
    pub fn new(metrics: Metrics) -> Self {
        Self { batch: Mutex::default(), metrics }
    }

    /// Notes that commands were written to a device.
    pub fn sent(
        &self,
        device: &DeviceKey,
        commands: impl IntoIterator<Item = (CommandId, i32)>,
        channel: Channel,
        at: Timestamp,
    ) {
        let mut batch = lock(&self.batch);
        for (command_id, attempt) in commands {
            if batch.sent.len() >= BEHIND_EVENTS {
                self.metrics.behind_dropped.inc();
                continue;
            }
            let device_id = device.device_id.clone();
            batch.sent.push(Sent { command_id, attempt, device_id, channel, at });
        }
    }

    /// Notes that a device holds a stream up to a position.
    pub fn ack(&self, device: &DeviceKey, stream: &StreamName, cursor: Cursor, at: Timestamp) {
        let mut batch = lock(&self.batch);
        if batch.acks.len() < BEHIND_CURSORS {
            batch.ack(device, stream, cursor, at);
        } else {
            self.metrics.behind_dropped.inc();
        }
    }

    /// Notes that a device was seen.
    pub fn seen(&self, device: &DeviceKey, at: Timestamp) {
        let mut batch = lock(&self.batch);
        if batch.seen.len() < BEHIND_CURSORS {
            batch.seen.insert(device.clone(), at);
        }
    }

    /// Takes what was noted.
    pub fn take(&self) -> BehindBatch {
        std::mem::take(&mut lock(&self.batch))
    }
}

/// Writes a batch inside the caller's transaction.
pub(crate) async fn write(
    db: &impl ConnectionTrait,
    batch: &BehindBatch,
    now: Timestamp,
    ack_timeout_ms: u64,
) -> Result<(), DbErr> {
    let mut events: Vec<NewEvent> = batch.sent.iter().map(sent_event).collect();
    let mut sent: Vec<String> =
        batch.sent.iter().map(|sent| sent.command_id.as_str().to_owned()).collect();
    sent.sort_unstable();
    sent.dedup();
    let acked = acked_commands(db, batch).await?;
    events.extend(acked.events);
    store::device::advance_cursors(db, cursor_rows(batch)).await?;
    store::event::insert(db, events).await?;
    store::command::mark_sent(db, &sent).await?;
    let wait_ms = i64::try_from(ack_timeout_ms.saturating_mul(2)).unwrap_or(i64::MAX);
    let due_at = now.plus_millis(wait_ms).millis();
    store::command::start_retry_clock(db, &acked.retryable, due_at).await?;
    let mut seen: Vec<DeviceKey> = batch.seen.keys().cloned().collect();
    seen.sort_unstable();
    store::device::touch(db, &seen, now.millis()).await
}

fn sent_event(sent: &Sent) -> NewEvent {
    NewEvent {
        command_id: sent.command_id.as_str().to_owned(),
        at: sent.at.millis(),
        event: TimelineEvent::Sent.as_str(),
        channel: Some(sent.channel.as_str()),
        device_id: Some(sent.device_id.clone()),
        detail: (sent.attempt > 1).then(|| format!("attempt {}", sent.attempt)),
    }
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

#[derive(Default)]
struct AckedCommands {
    events: Vec<NewEvent>,
    /// Those that may be tried again if no result comes.
    retryable: Vec<String>,
}

/// Which open commands these acks pass for the first time.
async fn acked_commands(
    db: &impl ConnectionTrait,
    batch: &BehindBatch,
) -> Result<AckedCommands, DbErr> {
    let own = |stream: &StreamName, device: &DeviceKey| stream.owner() == Some(&*device.user_id);
    let devices: Vec<DeviceKey> = batch
        .acks
        .keys()
        .filter(|(device, stream)| own(stream, device))
        .map(|(device, _)| device.clone())
        .collect();
    if devices.is_empty() {
        return Ok(AckedCommands::default());
    }
    let known = store::device::cursors(db, &devices).await?;
    let mut steps: HashMap<&str, Vec<Step<'_>>> = HashMap::new();
    for ((device, stream), acked) in &batch.acks {
        if !own(stream, device) {
            continue;
        }
        let before = known
            .get(&(device.clone(), stream.as_str().to_owned()))
            .filter(|row| row.epoch == acked.cursor.epoch.as_str())
            .map_or(0, |row| row.seq);
        let step = Step { device, after: before, upto: acked.cursor.seq.get(), at: acked.at };
        steps.entry(&device.user_id).or_default().push(step);
    }
    let ranges: Vec<AckedRange> = steps.iter().filter_map(|(user, s)| range(user, s)).collect();
    let open = store::command::open_in(db, &ranges).await?;
    if open.is_empty() {
        return Ok(AckedCommands::default());
    }
    let users: Vec<String> = open.iter().map(|command| command.user_id.clone()).collect();
    let capable = store::device::of_users(db, &users).await?;
    Ok(pass(&open, &steps, &capable))
}

/// A device's cursor moved from `after` to `upto`.
struct Step<'a> {
    device: &'a DeviceKey,
    after: i64,
    upto: i64,
    at: Timestamp,
}

fn range(user_id: &str, steps: &[Step<'_>]) -> Option<AckedRange> {
    let after = steps.iter().map(|step| step.after).min()?;
    let upto = steps.iter().map(|step| step.upto).max()?;
    (after < upto).then(|| AckedRange { user_id: user_id.to_owned(), after, upto })
}

fn pass(
    open: &[tidegate_entity::command::Model],
    steps: &HashMap<&str, Vec<Step<'_>>>,
    devices: &[tidegate_entity::device::Model],
) -> AckedCommands {
    let mut acked = AckedCommands::default();
    for command in open {
        let mut is_acked = false;
        for step in steps.get(&*command.user_id).into_iter().flatten() {
            let device_id = &step.device.device_id;
            let passed = step.after < command.last_seq && command.last_seq <= step.upto;
            let device = devices
                .iter()
                .find(|row| row.user_id == command.user_id && row.device_id == *device_id);
            if !passed
                || !device
                    .is_some_and(|device| crate::ingest::working::is_eligible(command, device))
            {
                continue;
            }
            is_acked = true;
            acked.events.push(NewEvent {
                command_id: command.id.clone(),
                at: step.at.millis(),
                event: TimelineEvent::Acked.as_str(),
                channel: None,
                device_id: Some(device_id.clone()),
                detail: (command.attempt > 1).then(|| format!("attempt {}", command.attempt)),
            });
        }
        if is_acked && command.attempt < COMMAND_ATTEMPTS {
            acked.retryable.push(command.id.clone());
        }
    }
    acked
}
