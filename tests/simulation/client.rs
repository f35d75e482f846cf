//! What a device holds: cursors, commands and records, folded from frames by
//! the rules of the protocol and nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;
use tidegate_protocol::command::CommandStatus;
use tidegate_protocol::cursor::{Cursor, Cursors};
use tidegate_protocol::entry::{CommandBody, CommandClosedBody, RecordBody, RecordOp, kind};
use tidegate_protocol::id::{CommandId, StreamName};
use tidegate_protocol::server::{Events, ServerMessage, Snapshot};

/// Records by id: version, and data unless it was deleted.
pub(super) type Records = BTreeMap<String, (i64, Option<Value>)>;

/// A patch does not fit what is held: the stream must begin anew.
#[derive(Debug)]
pub(super) struct Mismatch(pub(super) StreamName);

/// A device's own state; it survives every cut.
#[derive(Default)]
pub(super) struct Client {
    cursors: Cursors,
    /// Pages of a snapshot that is not complete.
    staged: BTreeMap<StreamName, Vec<(String, String)>>,
    pub(super) records: Records,
    /// Commands that came and are not known to have ended.
    pub(super) open: BTreeSet<CommandId>,
    /// Every command that ever came, with its highest attempt.
    pub(super) seen: HashMap<CommandId, i32>,
    pub(super) closed: HashMap<CommandId, CommandStatus>,
}

impl Client {
    pub(super) fn cursors(&self) -> Cursors {
        self.cursors.clone()
    }

    /// A session begins: what was staged is void.
    pub(super) fn begin(&mut self) {
        self.staged.clear();
    }

    /// The stream must begin anew.
    pub(super) fn forget(&mut self, stream: &StreamName) {
        self.cursors.remove(stream);
    }

    /// Takes a frame in.
    pub(super) fn take(&mut self, text: &str) -> Result<(), Mismatch> {
        let (message, _) = ServerMessage::parse(text).unwrap();
        match message {
            ServerMessage::Events(events) => self.events(&events),
            ServerMessage::Snapshot(snapshot) => {
                self.snapshot(snapshot);
                Ok(())
            }
            other => panic!("unexpected {other:?}"),
        }
    }

    fn events(&mut self, events: &Events) -> Result<(), Mismatch> {
        let held = &self.cursors[&events.stream];
        assert_eq!((&held.epoch, held.seq), (&events.epoch, events.prev), "a gap or a double");
        let mut last = events.prev;
        for entry in &events.entries {
            assert!(entry.seq > last && entry.seq <= events.seq, "{} after {last}", entry.seq);
            last = entry.seq;
        }
        for entry in &events.entries {
            match entry.kind.as_str() {
                kind::COMMAND => self.command(entry.body.get()),
                kind::COMMAND_CLOSED => self.close(entry.body.get()),
                kind::RECORD => {
                    let body: RecordBody = serde_json::from_str(entry.body.get()).unwrap();
                    if !fold(&mut self.records, body) {
                        return Err(Mismatch(events.stream.clone()));
                    }
                }
                other => panic!("an entry of kind {other}"),
            }
        }
        let cursor = Cursor { epoch: events.epoch.clone(), seq: events.seq };
        self.cursors.insert(events.stream.clone(), cursor);
        Ok(())
    }

    fn snapshot(&mut self, snapshot: Snapshot) {
        let items = snapshot.items.into_iter().map(|item| (item.kind, item.body.get().to_owned()));
        let staged = self.staged.entry(snapshot.stream.clone()).or_default();
        staged.extend(items);
        if !snapshot.last {
            return;
        }
        // It replaces everything that was held of the stream.
        let items = std::mem::take(staged);
        if snapshot.stream.owner().is_some() {
            self.open.clear();
        } else {
            self.records.clear();
        }
        for (kind, body) in items {
            if kind == kind::COMMAND {
                self.command(&body);
            } else {
                let body: RecordBody = serde_json::from_str(&body).unwrap();
                assert_eq!(body.op, RecordOp::Put, "items are whole");
                let data = serde_json::from_str(body.data.unwrap().get()).unwrap();
                let known = self.records.insert(body.id, (body.version, Some(data)));
                assert!(known.is_none(), "an item came twice");
            }
        }
        let cursor = Cursor { epoch: snapshot.epoch, seq: snapshot.seq };
        self.cursors.insert(snapshot.stream, cursor);
    }

    fn command(&mut self, body: &str) {
        let body: CommandBody = serde_json::from_str(body).unwrap();
        let id = body.command_id;
        assert!(!self.closed.contains_key(&id), "{id} came after its end");
        let attempt = self.seen.entry(id.clone()).or_default();
        *attempt = body.attempt.max(*attempt);
        self.open.insert(id);
    }

    fn close(&mut self, body: &str) {
        let body: CommandClosedBody = serde_json::from_str(body).unwrap();
        self.open.remove(&body.command_id);
        let known = self.closed.insert(body.command_id.clone(), body.status);
        assert!(known.is_none(), "{} ended twice", body.command_id);
    }
}

/// Folds a change in; false when it is a patch on a version not held.
pub(super) fn fold(records: &mut Records, body: RecordBody) -> bool {
    let (version, data) = records.get(&body.id).cloned().unwrap_or_default();
    if body.version <= version {
        return true;
    }
    let parsed = |raw: Option<Box<serde_json::value::RawValue>>| -> Value {
        serde_json::from_str(raw.unwrap().get()).unwrap()
    };
    let after = match body.op {
        RecordOp::Put => Some(parsed(body.data)),
        RecordOp::Delete => None,
        RecordOp::Patch => {
            let Some(mut data) = data.filter(|_| body.base_version == Some(version)) else {
                return false;
            };
            for (name, value) in parsed(body.patch).as_object().unwrap() {
                assert!(!value.is_null(), "a patch on the wire holds no nulls");
                data[name] = value.clone();
            }
            Some(data)
        }
    };
    records.insert(body.id, (body.version, after));
    true
}
