//! A device: says hello, follows its streams, checks that nothing is missing,
//! doubled or out of order, and acks.

use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};

use crate::clock;
use crate::load::link::{Link, Scratch};
use crate::wire::facts::{Events, Message, Reader, Snapshot, Welcome};
use crate::wire::{http, ws};

/// What all devices of a run do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// Ack once so many positions wait for it.
    pub(crate) ack_entries: i64,
    /// Report every command as applied.
    pub(crate) report: bool,
    /// Who is at the other end.
    pub(crate) peer: Peer,
}

/// What devices talk to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// The gateway.
    Gateway,
    /// The hand-made outbox: messages come, and nothing is said.
    Outbox,
}

/// Entries that came.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// Which device.
    pub(crate) device: usize,
    /// What came.
    pub(crate) events: Rc<Events>,
    /// When.
    pub(crate) at: Instant,
}

/// Where a device is on its way to a live session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Upgrading,
    Greeting,
    Live,
}

/// A stream as the device holds it.
#[derive(Debug)]
struct Follow {
    stream: String,
    epoch: String,
    /// Everything up to here has come.
    held: i64,
    acked: i64,
    /// Whether the position is known: resumed, or the snapshot has ended.
    ready: bool,
}

/// A device.
#[derive(Debug)]
pub(crate) struct Device {
    index: usize,
    token: String,
    shared: Option<&'static str>,
    follows: Vec<Follow>,
    /// The last message of the hand-made outbox.
    last_id: i64,
    /// Reports that were not answered yet.
    reports: usize,
    phase: Phase,
    link: Option<Link>,
}

/// What a device works with while it reads.
pub(crate) struct Desk<'a> {
    pub(crate) scratch: &'a mut Scratch,
    pub(crate) reader: &'a mut Reader,
    pub(crate) arrivals: &'a mut Vec<Arrival>,
    pub(crate) policy: Policy,
}

/// The user that device number `index` belongs to.
pub(crate) fn user(index: usize) -> String {
    format!("u{index}")
}

impl Device {
    /// A device without a connection. `shared` is the shared stream it follows
    /// besides its own.
    pub(crate) fn new(index: usize, token: String, shared: Option<&'static str>) -> Self {
        Self {
            index,
            token,
            shared,
            follows: Vec::new(),
            last_id: 0,
            reports: 0,
            phase: Phase::Connecting,
            link: None,
        }
    }

    /// Begins to connect.
    pub(crate) fn connect(&mut self, link: Link) {
        self.phase = Phase::Connecting;
        self.follows.iter_mut().for_each(|follow| follow.ready = false);
        self.link = Some(link);
    }

    /// Closes the connection; what it holds stays.
    pub(crate) fn disconnect(&mut self) {
        self.link = None;
    }

    /// Whether its session lives and all its streams have begun.
    pub(crate) fn is_live(&self) -> bool {
        self.phase == Phase::Live && self.follows.iter().all(|follow| follow.ready)
    }

    /// Whether everything it reported was answered.
    pub(crate) fn is_reported(&self) -> bool {
        self.reports == 0
    }

    /// The connection can be written or read.
    pub(crate) fn ready(&mut self, desk: &mut Desk<'_>) -> anyhow::Result<()> {
        let Some(mut link) = self.link.take() else { return Ok(()) };
        let handled = self.handle(&mut link, desk);
        self.link = Some(link);
        handled.with_context(|| format!("device {}", self.index))
    }

    fn handle(&mut self, link: &mut Link, desk: &mut Desk<'_>) -> anyhow::Result<()> {
        if self.phase == Phase::Connecting {
            link.connected()?;
            http::upgrade(&mut link.out, &self.token);
            self.phase = Phase::Upgrading;
        }
        link.flush()?;
        let open = link.read(desk.scratch)?;
        let mut at = 0;
        if self.phase == Phase::Upgrading {
            let Some(answer) = http::parse(desk.scratch.filled())? else {
                ensure!(open, "the gateway closed before it answered");
                link.keep(desk.scratch.filled());
                return Ok(());
            };
            ensure!(answer.status == 101, "the upgrade was answered with {}", answer.status);
            at = answer.total;
            self.phase = match desk.policy.peer {
                Peer::Gateway => {
                    ws::text(&mut link.out, &self.hello());
                    Phase::Greeting
                }
                Peer::Outbox => Phase::Live,
            };
        }
        while let Some((frame, bytes)) = ws::parse(&desk.scratch.filled()[at..])? {
            at += bytes;
            match frame {
                ws::Frame::Text(text) => {
                    let message = desk.reader.read(text)?;
                    self.message(link, message, desk.policy, desk.arrivals)?;
                }
                ws::Frame::Close(code, reason) => bail!("closed with {code} {reason}"),
            }
        }
        link.keep(&desk.scratch.filled()[at..]);
        ensure!(open, "the gateway closed the connection");
        self.ack_from(link, desk.policy.ack_entries);
        link.flush()
    }

    fn hello(&self) -> String {
        let mut cursors = String::new();
        for follow in &self.follows {
            let comma = if cursors.is_empty() { "" } else { "," };
            let Follow { stream, epoch, held, .. } = follow;
            let _ = write!(cursors, r#"{comma}"{stream}":{{"epoch":"{epoch}","seq":{held}}}"#);
        }
        let subscribe = self.shared.map(|name| format!("\"{name}\"")).unwrap_or_default();
        let id = format!("00000000-0000-4000-8000-{:012x}", self.index);
        format!(
            r#"{{"type":"hello","protocol":1,"device":{{"id":"{id}","platform":"other"}},"cursors":{{{cursors}}},"subscribe":[{subscribe}],"heartbeat_s":300}}"#
        )
    }

    fn message(
        &mut self,
        link: &mut Link,
        message: Message,
        policy: Policy,
        arrivals: &mut Vec<Arrival>,
    ) -> anyhow::Result<()> {
        match message {
            Message::Welcome(welcome) => self.welcome(welcome),
            Message::Snapshot(snapshot) => self.snapshot(&snapshot),
            Message::Events(events) => {
                self.take(&events)?;
                if policy.report && report(link, &events) {
                    self.reports += 1;
                }
                arrivals.push(Arrival { device: self.index, events, at: clock::now() });
                Ok(())
            }
            Message::Stored(events) => {
                ensure!(events.prev >= self.last_id, "messages out of order");
                self.last_id = events.seq;
                arrivals.push(Arrival { device: self.index, events, at: clock::now() });
                Ok(())
            }
            Message::Ping => {
                ws::text(&mut link.out, r#"{"type":"pong"}"#);
                Ok(())
            }
            Message::ResultsOk => {
                self.reports = self.reports.checked_sub(1).context("nothing was reported")?;
                Ok(())
            }
        }
    }

    fn welcome(&mut self, welcome: Welcome) -> anyhow::Result<()> {
        self.phase = Phase::Live;
        for (stream, status) in welcome.streams {
            let known = self.follows.iter_mut().find(|follow| follow.stream == stream);
            match (known, status.verdict.as_str()) {
                (Some(follow), "resumed") => follow.ready = true,
                (None, "reset") => self.follows.push(Follow {
                    stream,
                    epoch: status.epoch,
                    held: 0,
                    acked: 0,
                    ready: false,
                }),
                (_, verdict) => bail!("{stream} began with {verdict}"),
            }
        }
        Ok(())
    }

    fn snapshot(&mut self, snapshot: &Snapshot) -> anyhow::Result<()> {
        let follow = self.follow(&snapshot.stream)?;
        if snapshot.last {
            (follow.held, follow.acked, follow.ready) = (snapshot.seq, snapshot.seq, true);
        }
        Ok(())
    }

    fn follow(&mut self, stream: &str) -> anyhow::Result<&mut Follow> {
        let found = self.follows.iter_mut().find(|follow| follow.stream == stream);
        found.with_context(|| format!("a frame of {stream}, which is not followed"))
    }

    /// Checks a frame against what is held. Every entry here concerns its
    /// device, so positions are dense unless commands close.
    fn take(&mut self, events: &Events) -> anyhow::Result<()> {
        let follow = self.follow(&events.stream)?;
        ensure!(
            follow.held == events.prev,
            "held {} of {}, then came what follows {}",
            follow.held,
            events.stream,
            events.prev
        );
        let mut last = events.prev;
        for entry in &events.entries {
            ensure!(entry.seq > last && entry.seq <= events.seq, "entries out of order");
            last = entry.seq;
        }
        follow.held = events.seq;
        Ok(())
    }

    /// Acks everything that came.
    pub(crate) fn ack_all(&mut self) -> anyhow::Result<()> {
        let Some(mut link) = self.link.take() else { return Ok(()) };
        self.ack_from(&mut link, 1);
        let flushed = link.flush();
        self.link = Some(link);
        flushed
    }

    /// Acks streams of which so many positions wait.
    fn ack_from(&mut self, link: &mut Link, positions: i64) {
        for follow in &mut self.follows {
            if follow.ready && follow.held - follow.acked >= positions {
                follow.acked = follow.held;
                let Follow { stream, epoch, held, .. } = follow;
                let ack = format!(
                    r#"{{"type":"ack","cursors":{{"{stream}":{{"epoch":"{epoch}","seq":{held}}}}}}}"#
                );
                ws::text(&mut link.out, &ack);
            }
        }
    }
}

/// Reports commands as applied; whether there were any.
fn report(link: &mut Link, events: &Events) -> bool {
    let mut results = String::new();
    for id in events.entries.iter().filter_map(|entry| entry.command_id.as_ref()) {
        let comma = if results.is_empty() { "" } else { "," };
        let _ = write!(results, r#"{comma}{{"command_id":"{id}","status":"applied"}}"#);
    }
    if results.is_empty() {
        return false;
    }
    ws::text(&mut link.out, &format!(r#"{{"type":"results","results":[{results}]}}"#));
    true
}
