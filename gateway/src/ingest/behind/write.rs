//! Writing a batch of what may be late, inside the caller's transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sea_orm::{ConnectionTrait, DbErr};
use tidegate_entity::{command, device, device_cursor};
use tidegate_protocol::command::{Channel, TimelineEvent};
use tidegate_protocol::limits::COMMAND_ATTEMPTS;
use tidegate_protocol::time::Timestamp;

use crate::ingest::behind::{BehindBatch, Delivery, PushNote};
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
    result_timeout_ms: u64,
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
    events.append(&mut acked.events);
    for delivery in &batch.acked {
        acked.may_retry(delivery.command_id.as_str(), delivery.attempt);
    }
    let mut cursors = cursor_rows(batch);
    let devices: Vec<DeviceKey> = batch.acks.keys().map(|(device, _)| device.clone()).collect();
    // One that was deleted meanwhile must not leave cursors to its successor.
    let existing = store::device::existing(db, &devices).await?;
    cursors.retain(|row| existing.contains_key(&row_device(row)));
    store::device::advance_cursors(db, cursors).await?;
    store::event::insert(db, events).await?;
    store::command::mark_sent(db, &sent).await?;
    for (provider, ids) in pushed_by(batch) {
        store::command::mark_pushed(db, &ids, provider).await?;
    }
    let wait_ms = i64::try_from(result_timeout_ms.saturating_mul(2)).unwrap_or(i64::MAX);
    let due_at = now.plus_millis(wait_ms).millis();
    for (attempt, ids) in &acked.retryable {
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

fn delivery_event(delivery: &Delivery, event: TimelineEvent) -> NewEvent {
    NewEvent {
        command_id: delivery.command_id.as_str().to_owned(),
        at: delivery.at.millis(),
        event: event.as_str(),
        channel: delivery.channel.map(Channel::as_str),
        device_id: Some(delivery.device_id.clone()),
        detail: (delivery.attempt > 1).then(|| format!("attempt {}", delivery.attempt)),
        once: Some(once(event, &delivery.device_id, delivery.channel, delivery.attempt)),
    }
}

/// What a device is told once: a poll that is repeated adds no row.
fn once(event: TimelineEvent, device_id: &str, channel: Option<Channel>, attempt: i32) -> String {
    format!("{event} {device_id} {} {attempt}", channel.map_or("", Channel::as_str))
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
        // A batch whose commit ended unclear is written again.
        once: Some(format!("{event} {}", note.id)),
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

#[derive(Default)]
struct AckedCommands {
    events: Vec<NewEvent>,
    /// Those that may be tried again if no result comes, by the attempt that
    /// was acked.
    retryable: BTreeMap<i32, Vec<String>>,
}

impl AckedCommands {
    fn may_retry(&mut self, id: &str, attempt: i32) {
        if attempt < COMMAND_ATTEMPTS {
            self.retryable.entry(attempt).or_default().push(id.to_owned());
        }
    }
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
    open: &[command::Model],
    steps: &HashMap<&str, Vec<Step<'_>>>,
    devices: &[device::Model],
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
            if !passed || !device.is_some_and(|device| is_eligible(command, device)) {
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
                once: Some(once(TimelineEvent::Acked, device_id, None, command.attempt)),
            });
        }
        if is_acked {
            acked.may_retry(&command.id, command.attempt);
        }
    }
    acked
}
