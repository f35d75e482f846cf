//! What is written late and in batches: cursors acked, timeline rows for
//! delivery and acks, when a device was last seen. A crash may lose the newest
//! of it; devices ack again with their next hello.

use std::collections::{BTreeMap, HashMap};
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
    sent: Vec<Delivery>,
    acked: Vec<Delivery>,
    pushed: Vec<PushNote>,
    acks: HashMap<(DeviceKey, StreamName), Acked>,
    seen: HashMap<DeviceKey, Timestamp>,
}

/// A command that went to a device, or whose position the device acked.
#[derive(Clone, Debug)]
struct Delivery {
    command_id: CommandId,
    attempt: i32,
    device_id: String,
    channel: Option<Channel>,
    at: Timestamp,
}

/// What came of a wake-up by push.
#[derive(Clone, Debug)]
pub struct PushNote {
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
        self.sent.len() + self.acked.len() + self.pushed.len() + self.acks.len() + self.seen.len()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Notes that a device holds a stream up to a position; which commands
    /// that passes is looked up when it is written.
    pub fn ack(&mut self, device: &DeviceKey, stream: &StreamName, cursor: Cursor, at: Timestamp) {
        self.move_cursor(device, stream, Acked { cursor, at, look_up: true });
    }

    fn move_cursor(&mut self, device: &DeviceKey, stream: &StreamName, mut acked: Acked) {
        self.seen.insert(device.clone(), acked.at);
        let key = (device.clone(), stream.clone());
        let known = self.acks.get(&key);
        acked.look_up |= known.is_some_and(|known| known.look_up);
        let is_newer = known.is_none_or(|known| {
            known.cursor.epoch != acked.cursor.epoch || known.cursor.seq < acked.cursor.seq
        });
        if is_newer {
            self.acks.insert(key, acked);
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
            let device_id = device.device_id.clone();
            let sent = Delivery { command_id, attempt, device_id, channel: Some(channel), at };
            self.push(&mut batch, |batch| &mut batch.sent, sent);
        }
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
        commands: impl IntoIterator<Item = (CommandId, i32)>,
        at: Timestamp,
    ) {
        self.move_cursor(device, stream, Acked { cursor, at, look_up: false });
        let mut batch = lock(&self.batch);
        for (command_id, attempt) in commands {
            let device_id = device.device_id.clone();
            let acked = Delivery { command_id, attempt, device_id, channel: None, at };
            self.push(&mut batch, |batch| &mut batch.acked, acked);
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

    fn push(
        &self,
        batch: &mut BehindBatch,
        list: impl Fn(&mut BehindBatch) -> &mut Vec<Delivery>,
        delivery: Delivery,
    ) {
        let list = list(batch);
        if list.len() < BEHIND_EVENTS {
            list.push(delivery);
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

    /// Notes what came of a wake-up by push.
    pub fn pushed(&self, note: PushNote) {
        let mut batch = lock(&self.batch);
        if batch.pushed.len() < BEHIND_EVENTS {
            batch.pushed.push(note);
        } else {
            self.metrics.behind_dropped.inc();
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
    let sent_events = batch.sent.iter().map(|sent| delivery_event(sent, TimelineEvent::Sent));
    let acked_events = batch.acked.iter().map(|acked| delivery_event(acked, TimelineEvent::Acked));
    let mut events: Vec<NewEvent> = sent_events.chain(acked_events).collect();
    events.extend(batch.pushed.iter().flat_map(push_events));
    let mut sent: Vec<String> =
        batch.sent.iter().map(|sent| sent.command_id.as_str().to_owned()).collect();
    sent.sort_unstable();
    sent.dedup();
    let mut acked = acked_commands(db, batch).await?;
    events.extend(acked.events);
    let retryable = batch.acked.iter().filter(|acked| acked.attempt < COMMAND_ATTEMPTS);
    acked.retryable.extend(retryable.map(|acked| acked.command_id.as_str().to_owned()));
    store::device::advance_cursors(db, cursor_rows(batch)).await?;
    store::event::insert(db, events).await?;
    store::command::mark_sent(db, &sent).await?;
    for (provider, ids) in pushed_by(batch) {
        store::command::mark_pushed(db, &ids, provider).await?;
    }
    let wait_ms = i64::try_from(ack_timeout_ms.saturating_mul(2)).unwrap_or(i64::MAX);
    let due_at = now.plus_millis(wait_ms).millis();
    store::command::start_retry_clock(db, &acked.retryable, due_at).await?;
    let mut seen: Vec<DeviceKey> = batch.seen.keys().cloned().collect();
    seen.sort_unstable();
    store::device::touch(db, &seen, now.millis()).await
}

fn delivery_event(delivery: &Delivery, event: TimelineEvent) -> NewEvent {
    NewEvent {
        command_id: delivery.command_id.as_str().to_owned(),
        at: delivery.at.millis(),
        event: event.as_str(),
        channel: delivery.channel.map(Channel::as_str),
        device_id: Some(delivery.device_id.clone()),
        detail: (delivery.attempt > 1).then(|| format!("attempt {}", delivery.attempt)),
    }
}

fn push_events(note: &PushNote) -> impl Iterator<Item = NewEvent> {
    let event = if note.is_ok { TimelineEvent::PushOk } else { TimelineEvent::PushFailed };
    note.commands.iter().map(move |command_id| NewEvent {
        command_id: command_id.as_str().to_owned(),
        at: note.at.millis(),
        event: event.as_str(),
        channel: Some(note.channel.as_str()),
        device_id: Some(note.device_id.clone()),
        detail: Some(note.detail.clone()),
    })
}

/// The commands for which each provider took a wake-up.
fn pushed_by(batch: &BehindBatch) -> BTreeMap<&'static str, Vec<String>> {
    let mut pushed: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    for note in batch.pushed.iter().filter(|note| note.is_ok) {
        let ids = note.commands.iter().map(|id| id.as_str().to_owned());
        pushed.entry(note.channel.as_str()).or_default().extend(ids);
    }
    pushed
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
    let own: Vec<_> = batch
        .acks
        .iter()
        .filter(|((device, stream), acked)| {
            acked.look_up && stream.owner() == Some(&*device.user_id)
        })
        .collect();
    if own.is_empty() {
        return Ok(AckedCommands::default());
    }
    let devices: Vec<DeviceKey> = own.iter().map(|((device, _), _)| device.clone()).collect();
    let known = store::device::cursors(db, &devices).await?;
    let mut steps: HashMap<&str, Vec<Step<'_>>> = HashMap::new();
    for ((device, stream), acked) in own {
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
