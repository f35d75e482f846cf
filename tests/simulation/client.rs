//! What a device holds: cursors, commands, records and conflicts, folded from
//! frames by the rules of the protocol and nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;
use serde_json::value::RawValue;
use tidegate_protocol::command::CommandStatus;
use tidegate_protocol::cursor::{Cursor, Cursors};
use tidegate_protocol::entry::{
    CommandBody, CommandClosedBody, ConflictBody, ConflictStatus, ItemBody, RecordBody, RecordOp,
    kind,
};
use tidegate_protocol::id::{CommandId, StreamName};
use tidegate_protocol::server::{Events, ServerMessage, Snapshot};

/// Records by collection and id: version, and data unless it was deleted.
pub(super) type Records = BTreeMap<String, (i64, Option<Value>)>;

/// A patch does not fit what is held: the stream must begin anew.
#[derive(Debug)]
pub(super) struct Mismatch(pub(super) StreamName);

/// A change of a record or of an item of the marketplace.
pub(super) struct Change {
    key: String,
    version: i64,
    op: RecordOp,
    base_version: Option<i64>,
    data: Option<Box<RawValue>>,
    patch: Option<Box<RawValue>>,
}

impl Change {
    /// The change in an entry; `None` when it is something else.
    pub(super) fn read(what: &str, body: &str) -> Option<Self> {
        match what {
            kind::RECORD => {
                let RecordBody { collection, id, version, op, base_version, data, patch } =
                    serde_json::from_str(body).unwrap();
                let key = format!("{collection}/{id}");
                Some(Self { key, version, op, base_version, data, patch })
            }
            kind::SKILL | kind::CATEGORY => {
                let ItemBody { id, version, op, base_version, data, patch } =
                    serde_json::from_str(body).unwrap();
                let key = format!("{what}/{id}");
                Some(Self { key, version, op, base_version, data, patch })
            }
            _ => None,
        }
    }
}

/// A device's own state; it survives every cut.
#[derive(Default)]
pub(super) struct Client {
    cursors: Cursors,
    /// Pages of a snapshot that is not complete.
    staged: BTreeMap<StreamName, Vec<(String, String)>>,
    pub(super) records: BTreeMap<StreamName, Records>,
    /// Commands that came and are not known to have ended.
    pub(super) open: BTreeSet<CommandId>,
    /// Every command that ever came, with its highest attempt.
    pub(super) seen: HashMap<CommandId, i32>,
    pub(super) closed: HashMap<CommandId, CommandStatus>,
    /// Conflicts that wait for a person.
    pub(super) conflicts: BTreeSet<String>,
}

impl Client {
    pub(super) fn cursors(&self) -> Cursors {
        self.cursors.clone()
    }

    /// A session begins: what was staged is void.
    pub(super) fn begin(&mut self) {
        self.staged.clear();
    }

    /// The stream begins anew: what was staged of it is void.
    pub(super) fn reset(&mut self, stream: &StreamName) {
        self.staged.remove(stream);
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
        let records = self.records.entry(events.stream.clone()).or_default();
        for entry in &events.entries {
            let changes = Change::read(&entry.kind, entry.body.get());
            if let Some(change) = changes
                && !fold(records, change)
            {
                return Err(Mismatch(events.stream.clone()));
            }
        }
        for entry in &events.entries {
            match entry.kind.as_str() {
                kind::COMMAND => self.command(entry.body.get()),
                kind::COMMAND_CLOSED => self.close(entry.body.get()),
                kind::CONFLICT => self.conflict(entry.body.get()),
                kind::RECORD | kind::SKILL | kind::CATEGORY => {}
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
            self.conflicts.clear();
        }
        let mut records = Records::new();
        for (what, body) in items {
            if let Some(change) = Change::read(&what, &body) {
                assert_eq!(change.op, RecordOp::Put, "items are whole");
                let key = change.key.clone();
                assert!(!records.contains_key(&key), "an item came twice");
                assert!(fold(&mut records, change));
            } else if what == kind::COMMAND {
                self.command(&body);
            } else {
                assert_eq!(what, kind::CONFLICT);
                self.conflict(&body);
            }
        }
        self.records.insert(snapshot.stream.clone(), records);
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

    fn conflict(&mut self, body: &str) {
        let body: ConflictBody = serde_json::from_str(body).unwrap();
        match body.status {
            ConflictStatus::Open => self.conflicts.insert(body.conflict_id),
            ConflictStatus::Resolved => self.conflicts.remove(&body.conflict_id),
        };
    }
}

/// Folds a change in; false when it is a patch on a version not held.
pub(super) fn fold(records: &mut Records, change: Change) -> bool {
    let (version, data) = records.get(&change.key).cloned().unwrap_or_default();
    if change.version <= version {
        return true;
    }
    let parsed =
        |raw: Option<Box<RawValue>>| -> Value { serde_json::from_str(raw.unwrap().get()).unwrap() };
    let after = match change.op {
        RecordOp::Put => Some(parsed(change.data)),
        RecordOp::Delete => None,
        RecordOp::Patch => {
            let Some(mut data) = data.filter(|_| change.base_version == Some(version)) else {
                return false;
            };
            merge(&mut data, parsed(change.patch));
            Some(data)
        }
    };
    records.insert(change.key, (change.version, after));
    true
}

/// RFC 7396, written anew. A patch that takes fields away is not sent.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(fields) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(serde_json::Map::default());
    }
    let held = target.as_object_mut().unwrap();
    for (name, value) in fields {
        assert!(!value.is_null(), "a patch on the wire holds no nulls");
        merge(held.entry(name).or_insert(Value::Null), value);
    }
}
