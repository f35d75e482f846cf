//! A device as exact as can be: what it holds survives every cut, and it
//! notes everything that should not happen.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::json;
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::command::{CommandStatus, ResultAnswer};
use tidegate_protocol::cursor::Cursor;
use tidegate_protocol::entry::{CommandBody, CommandClosedBody, Entry, kind};
use tidegate_protocol::id::{CommandId, DeviceId, Epoch, Seq, StreamName, UserId};
use tidegate_protocol::server::{Events, ServerMessage, Snapshot, Verdict, Welcome};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::crash::wire::{Heard, Wire};
use crate::seed;

/// How long something that must come may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(15);

/// Between two attempts while the gateway is gone.
const RETRY: Duration = Duration::from_millis(10);

/// Whether commands may be tried again, and end without being applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Repeats {
    #[default]
    Never,
    /// The gateway's clock jumps: their time is over, or that of an attempt.
    WhenTimeJumps,
}

/// A device. Clones are the same device.
#[derive(Clone)]
pub(super) struct Device {
    pub(super) user: UserId,
    pub(super) id: DeviceId,
    seed: u64,
    log: watch::Sender<Log>,
}

/// What it holds, and what it saw.
#[derive(Default)]
pub(super) struct Log {
    pub(super) cursor: Option<Cursor>,
    is_drained: bool,
    repeats: Repeats,
    /// Attempts of each command, as they came.
    pub(super) seen: HashMap<CommandId, Vec<i32>>,
    /// What was told live or from the journal, by epoch and position: the kind,
    /// and the command.
    pub(super) told: BTreeMap<(Epoch, Seq), (String, CommandId)>,
    /// The final statuses that it was told of.
    pub(super) closed: HashMap<CommandId, Vec<CommandStatus>>,
    /// Carried out, and not confirmed.
    outbox: Vec<CommandId>,
    /// Results that were confirmed.
    pub(super) confirmed: HashSet<CommandId>,
    pub(super) faults: Vec<String>,
}

impl Log {
    /// Whether it has taken its first snapshot: items of one may come again
    /// as entries.
    pub(super) const fn is_up_to_date(&self) -> bool {
        self.cursor.is_some()
    }

    /// Every result was answered.
    pub(super) const fn has_reported(&self) -> bool {
        self.outbox.is_empty()
    }

    pub(super) const fn is_drained(&self) -> bool {
        self.is_drained
    }

    fn check(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            self.faults.push(fault());
        }
    }

    fn welcome(&mut self, welcome: &Welcome, own: &StreamName) {
        let status = &welcome.streams[own];
        let held = self.cursor.as_ref();
        let is_ahead = held.is_some_and(|held| status.head.is_none_or(|head| held.seq > head));
        self.check(!is_ahead, || format!("holds more than there is: {status:?}"));
        let expected = if self.cursor.is_some() { Verdict::Resumed } else { Verdict::Reset };
        self.check(status.verdict == expected, || format!("not {expected:?} but {status:?}"));
    }

    fn snapshot(&mut self, snapshot: &Snapshot) {
        for item in &snapshot.items {
            self.command(item.body.get());
        }
        if snapshot.last {
            self.cursor = Some(Cursor { epoch: snapshot.epoch.clone(), seq: snapshot.seq });
        }
    }

    fn events(&mut self, events: &Events) {
        let prev = Some(Cursor { epoch: events.epoch.clone(), seq: events.prev });
        let held = self.cursor.clone();
        self.check(held == prev, || format!("a gap: holds {held:?}, next is after {prev:?}"));
        let mut last = events.prev;
        for entry in &events.entries {
            self.check(entry.seq > last, || format!("{} came after {last}", entry.seq));
            last = entry.seq;
            if let Some(command) = self.entry(entry) {
                let at = (events.epoch.clone(), entry.seq);
                self.told.insert(at, (entry.kind.clone(), command));
            }
        }
        self.check(last <= events.seq, || format!("{last} is beyond {}", events.seq));
        self.cursor = Some(Cursor { epoch: events.epoch.clone(), seq: events.seq });
    }

    /// The command that the entry is about.
    fn entry(&mut self, entry: &Entry) -> Option<CommandId> {
        match entry.kind.as_str() {
            kind::COMMAND => Some(self.command(entry.body.get())),
            kind::COMMAND_CLOSED => {
                let body: CommandClosedBody = serde_json::from_str(entry.body.get()).unwrap();
                self.closed.entry(body.command_id.clone()).or_default().push(body.status);
                Some(body.command_id)
            }
            other => {
                self.faults.push(format!("an entry of kind {other}"));
                None
            }
        }
    }

    /// Carried out once; each attempt is answered.
    fn command(&mut self, body: &str) -> CommandId {
        let body: CommandBody = serde_json::from_str(body).unwrap();
        let may_be = body.attempt == 1 || self.repeats == Repeats::WhenTimeJumps;
        self.check(may_be, || format!("attempt {} for no reason", body.attempt));
        self.seen.entry(body.command_id.clone()).or_default().push(body.attempt);
        if !self.outbox.contains(&body.command_id) {
            self.outbox.push(body.command_id.clone());
        }
        body.command_id
    }

    /// A result is known, or came too late.
    fn result(&mut self, row: &ResultAnswer) {
        if row.accepted {
            self.confirmed.insert(row.command_id.clone());
        }
        let is_late =
            self.repeats == Repeats::WhenTimeJumps && row.status == CommandStatus::Expired;
        self.check(row.accepted || is_late, || format!("refused: {row:?}"));
        self.outbox.retain(|id| *id != row.command_id);
    }
}

impl Device {
    pub(super) fn new(user: &str, seed: u64, repeats: Repeats) -> Self {
        let log = watch::Sender::new(Log { repeats, ..Log::default() });
        Self { user: UserId::parse(user).unwrap(), id: DeviceId::generate(), seed, log }
    }

    pub(super) fn read<T>(&self, read: impl FnOnce(&Log) -> T) -> T {
        read(&self.log.borrow())
    }

    /// Waits until the log says so.
    pub(super) async fn until(
        &self,
        what: &str,
        holds: impl FnMut(&Log) -> bool,
    ) -> Result<(), String> {
        let mut log = self.log.subscribe();
        if tokio::time::timeout(PATIENCE, log.wait_for(holds)).await.is_ok() {
            return Ok(());
        }
        let (cursor, faults) = self.read(|log| (log.cursor.clone(), log.faults.join("; ")));
        Err(format!("{} of {} is not {what}: {cursor:?} {faults}", self.id, self.user))
    }

    /// Stays connected until the end, whatever happens to the gateway.
    pub(super) async fn live(self, addresses: watch::Receiver<SocketAddr>, end: CancellationToken) {
        let living = async {
            let mut rng = seed::rng(self.seed);
            loop {
                let address = *addresses.borrow();
                self.session(address, &mut rng).await;
                tokio::time::sleep(RETRY).await;
            }
        };
        end.run_until_cancelled(living).await;
    }

    /// One session; how the gateway closed it.
    pub(super) async fn live_once(self, address: SocketAddr) -> Option<(u16, String)> {
        self.session(address, &mut seed::rng(self.seed)).await
    }

    async fn session(&self, address: SocketAddr, rng: &mut StdRng) -> Option<(u16, String)> {
        let mut wire = Wire::connect(address, &self.user).await?;
        let own = StreamName::of_user(&self.user);
        let cursors = self.read(|log| match &log.cursor {
            Some(cursor) => json!({ own.as_str(): cursor }),
            None => json!({}),
        });
        let device = json!({ "id": self.id, "platform": "other" });
        let hello = json!({ "type": "hello", "protocol": 1, "device": device, "cursors": cursors });
        wire.send(&hello).await?;
        loop {
            let message = match wire.next().await {
                Heard::Message(message) => message,
                Heard::Closed(code, reason) => return Some((code, reason)),
                Heard::Cut => return None,
            };
            let is_new = matches!(
                message,
                ServerMessage::Welcome(_) | ServerMessage::Snapshot(_) | ServerMessage::Events(_)
            );
            self.log.send_modify(|log| take(log, &message, &own));
            if matches!(message, ServerMessage::Ping(_)) {
                wire.send(&json!({ "type": "pong" })).await?;
            }
            if let ServerMessage::Error(error) = &message
                && error.code == ErrorCode::Unavailable
            {
                // The results: said again, until they are taken.
                tokio::time::sleep(RETRY).await;
                self.answer(&mut wire, rng, &own).await?;
            }
            if is_new {
                self.answer(&mut wire, rng, &own).await?;
            }
        }
    }

    /// Acks and reports: both, one of them, in either order. What is left out
    /// is said with a later frame, and with `hello`.
    async fn answer(&self, wire: &mut Wire, rng: &mut StdRng, own: &StreamName) -> Option<()> {
        let (cursor, outbox) = self.read(|log| (log.cursor.clone(), log.outbox.clone()));
        let ack =
            cursor.map(|cursor| json!({ "type": "ack", "cursors": { own.as_str(): cursor } }));
        let ack_first = rng.random_bool(0.5);
        if let Some(ack) = ack.as_ref().filter(|_| ack_first) {
            wire.send(ack).await?;
        }
        for some in outbox.chunks(100) {
            let row = |id| json!({ "command_id": id, "attempt": 1, "status": "applied" });
            let rows: Vec<_> = some.iter().map(row).collect();
            wire.send(&json!({ "type": "results", "results": rows })).await?;
        }
        if let Some(ack) = ack.as_ref().filter(|_| !ack_first && rng.random_bool(0.5)) {
            wire.send(ack).await?;
        }
        Some(())
    }
}

fn take(log: &mut Log, message: &ServerMessage, own: &StreamName) {
    match message {
        ServerMessage::Welcome(welcome) => log.welcome(welcome, own),
        ServerMessage::Snapshot(snapshot) => log.snapshot(snapshot),
        ServerMessage::Events(events) => log.events(events),
        ServerMessage::ResultsOk(answer) => {
            answer.results.iter().for_each(|row| log.result(row));
        }
        ServerMessage::Drain(_) => log.is_drained = true,
        ServerMessage::Ping(_) => {}
        ServerMessage::Error(error) if error.code == ErrorCode::Unavailable => {}
        other => log.faults.push(format!("unexpected {other:?}")),
    }
}
