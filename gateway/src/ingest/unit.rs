//! A unit of work: the rows that the writes of one transaction read and
//! change, and the entries they append. Loaded once for all of them, changed
//! in memory by pure decisions, written in a few statements.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use sea_orm::DbErr;
use tidegate_entity::{command, device, journal_entry};
use tidegate_protocol::entry::kind;
use tidegate_protocol::id::{Seq, StreamName};
use tidegate_protocol::time::Timestamp;

use crate::hub::{Hub, SessionKey};
use crate::ingest::IngestOptions;
use crate::ingest::behind::{self, Behind, BehindBatch};
use crate::metrics::Metrics;
use crate::store;
use crate::store::command::Command;
use crate::store::device::DeviceKey;
use crate::store::head::{Advance, Heads};
use crate::store::order::Place;
use crate::store::table::Tables;
use crate::store::write::Transaction;

pub(crate) mod heads;

use heads::new_epoch;

/// What must be locked and loaded for a batch.
#[derive(Debug, Default)]
pub(crate) struct ReadSet {
    /// Streams whose heads are locked before anything else.
    pub(crate) streams: BTreeSet<String>,
    /// Rows.
    pub(crate) rows: Tables,
}

/// Everything that the writes of a transaction read and change.
pub(crate) struct UnitOfWork {
    pub(crate) now: Timestamp,
    /// The latest time that this node has seen.
    latest: Timestamp,
    pub(crate) options: Arc<IngestOptions>,
    /// Only asked who is online.
    pub(crate) hub: Arc<Hub>,
    /// Only asked who was seen lately.
    pub(crate) behind: Arc<Behind>,
    /// Locked: whoever holds a stream's head may change what the stream tells.
    pub(crate) heads: Heads,
    /// The rows.
    pub(crate) rows: Tables,
    /// Entries in order; positions are given out per stream in this order.
    entries: Vec<NewEntry>,
    /// Streams that must exist though nothing is appended.
    ensured: BTreeSet<String>,
    /// Changes of the numbers of commands without a final status.
    pending: HashMap<String, i64>,
    /// Devices with other capabilities than their live sessions judge by.
    pub(crate) outdated: Vec<SessionKey>,
    /// What is written late, of all batches: one after the other they would
    /// lock rows out of order.
    late: Option<Arc<BehindBatch>>,
    after_commit: Vec<AfterCommit>,
}

type AfterCommit = Box<dyn FnOnce(&Metrics) + Send + Sync>;

/// An entry without a position yet.
#[derive(Clone, Debug)]
pub(crate) struct NewEntry {
    pub(crate) stream: String,
    pub(crate) seq: Seq,
    pub(crate) kind: &'static str,
    pub(crate) body: String,
    pub(crate) device_id: Option<String>,
    pub(crate) requires: Option<String>,
    pub(crate) command_id: Option<String>,
}

impl NewEntry {
    /// One for everybody who follows the stream.
    pub(crate) const fn for_all(stream: String, kind: &'static str, body: String) -> Self {
        Self {
            stream,
            seq: Seq::ZERO,
            kind,
            body,
            device_id: None,
            requires: None,
            command_id: None,
        }
    }

    /// The entry as a row.
    pub(crate) fn into_row(self, now: Timestamp) -> journal_entry::Model {
        journal_entry::Model {
            stream: self.stream,
            seq: self.seq.get(),
            kind: self.kind.to_owned(),
            at: now.millis(),
            body: self.body,
            device_id: self.device_id,
            requires: self.requires,
            command_id: self.command_id,
        }
    }
}

/// Names an entry of this transaction before it has a position.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryRef(usize);

/// What a unit of work asks others: the parts of the writer it may use.
pub(crate) struct Surroundings<'a> {
    pub(crate) now: Timestamp,
    pub(crate) options: &'a Arc<IngestOptions>,
    pub(crate) hub: &'a Arc<Hub>,
    pub(crate) behind: &'a Arc<Behind>,
}

impl UnitOfWork {
    /// On heads that are locked and rows that are loaded.
    pub(crate) fn new(around: &Surroundings<'_>, heads: Heads, rows: Tables) -> Self {
        Self {
            now: around.now,
            latest: around.behind.latest(around.now),
            options: Arc::clone(around.options),
            hub: Arc::clone(around.hub),
            behind: Arc::clone(around.behind),
            heads,
            rows,
            entries: Vec::new(),
            ensured: BTreeSet::new(),
            pending: HashMap::new(),
            outdated: Vec::new(),
            late: None,
            after_commit: Vec::new(),
        }
    }

    /// Appends an entry to its stream.
    pub(crate) fn append(&mut self, entry: NewEntry) -> EntryRef {
        self.entries.push(entry);
        EntryRef(self.entries.len() - 1)
    }

    /// Where the entry is; zero before positions are given out.
    pub(crate) fn position(&self, entry: EntryRef) -> Seq {
        self.entries[entry.0].seq
    }

    /// Makes sure that streams exist.
    pub(crate) fn ensure(&mut self, streams: impl IntoIterator<Item = String>) {
        self.ensured.extend(streams);
    }

    /// Streams that this transaction tells something of, or makes.
    pub(crate) fn streams(&self) -> impl Iterator<Item = String> {
        self.entries.iter().map(|entry| entry.stream.clone()).chain(self.ensured.iter().cloned())
    }

    /// Takes the entries away, to be announced.
    pub(crate) fn take_entries(&mut self) -> Vec<NewEntry> {
        std::mem::take(&mut self.entries)
    }

    /// Counts commands of a user without a final status.
    pub(crate) fn add_pending(&mut self, stream: String, count: i64) {
        *self.pending.entry(stream).or_default() += count;
    }

    /// Commands of a user without a final status, this transaction's included.
    pub(crate) fn pending_of(&self, stream: &str) -> i64 {
        let stored = self.heads.get(stream).map_or(0, |head| head.pending);
        stored + self.pending.get(stream).copied().unwrap_or(0)
    }

    /// Writes a batch of what is late, after all rows.
    pub(crate) fn write_late(&mut self, batch: &Arc<BehindBatch>) {
        match &mut self.late {
            Some(late) => Arc::make_mut(late).absorb(BehindBatch::clone(batch)),
            late => *late = Some(Arc::clone(batch)),
        }
    }

    /// Counts something once it is committed.
    pub(crate) fn after_commit(&mut self, count: impl FnOnce(&Metrics) + Send + Sync + 'static) {
        self.after_commit.push(Box::new(count));
    }

    /// Counts what is committed.
    pub(crate) fn count(&mut self, metrics: &Metrics) {
        for count in std::mem::take(&mut self.after_commit) {
            count(metrics);
        }
    }

    /// A command that was asked for and exists.
    pub(crate) fn command(&self, id: &String) -> Option<&Command> {
        self.rows.get::<command::Entity>(id)
    }

    /// A command that is about to change.
    pub(crate) fn edit_command(&mut self, id: &String) -> Option<&mut Command> {
        self.rows.edit::<command::Entity>(id)
    }

    /// A device that was asked for and exists.
    pub(crate) fn device(&self, key: &DeviceKey) -> Option<&device::Model> {
        self.rows.get::<device::Entity>(key)
    }

    /// A user's devices, in id order.
    pub(crate) fn devices_of<'a>(
        &'a self,
        user_id: &'a str,
    ) -> impl Iterator<Item = &'a device::Model> {
        devices_of(&self.rows, user_id)
    }

    /// Gives out positions for everything appended, in the order in which
    /// every transaction locks streams.
    pub(crate) async fn allocate(&mut self, tx: &Transaction) -> Result<(), DbErr> {
        let mut advances: BTreeMap<String, Advance> = BTreeMap::new();
        for entry in &self.entries {
            advances.entry(entry.stream.clone()).or_default().entries += 1;
        }
        for (stream, pending) in &self.pending {
            advances.entry(stream.clone()).or_default().pending += pending;
        }
        for stream in &self.ensured {
            if !self.heads.contains_key(stream) {
                advances.entry(stream.clone()).or_default();
            }
        }
        for (stream, advance) in &mut advances {
            if !self.heads.contains_key(stream) {
                advance.new_epoch = new_epoch();
            }
        }
        if advances.is_empty() {
            return Ok(());
        }
        let heads = store::head::advance(tx, &self.heads, &advances).await?;
        let mut next: HashMap<&str, i64> = heads
            .iter()
            .map(|(stream, head)| (stream.as_str(), head.seq - advances[stream].entries + 1))
            .collect();
        for entry in &mut self.entries {
            if let Some(seq) = next.get_mut(entry.stream.as_str()) {
                entry.seq = Seq::new(*seq);
                *seq += 1;
            }
        }
        self.heads.extend(heads);
        self.place_commands();
        Ok(())
    }

    /// Tells commands the positions of their entries.
    fn place_commands(&mut self) {
        for entry in self.entries.iter().filter(|entry| entry.kind == kind::COMMAND) {
            let id = entry.command_id.as_ref();
            if let Some(command) = id.and_then(|id| self.rows.edit::<command::Entity>(id)) {
                command.row.last_seq = entry.seq.get();
                if command.row.seq == 0 {
                    command.row.seq = entry.seq.get();
                }
            }
        }
    }

    /// The entries as rows, without those of new commands: their own rows tell
    /// of them.
    fn journal_rows(&self) -> impl Iterator<Item = journal_entry::Model> {
        let stored = self.entries.iter().filter(|entry| {
            let command = entry.command_id.as_ref().and_then(|id| self.command(id));
            entry.kind != kind::COMMAND || command.is_none_or(|c| c.row.seq != entry.seq.get())
        });
        stored.map(|entry| entry.clone().into_row(self.now))
    }

    /// Writes everything that changed, in the order in which rows are locked.
    pub(crate) async fn write(&self, tx: &Transaction) -> Result<(), DbErr> {
        let now = self.now.millis();
        self.rows.write(tx, ..Place::JournalEntry, now).await?;
        store::journal::insert(tx, self.journal_rows().collect()).await?;
        self.rows.write(tx, Place::JournalEntry.., now).await?;
        if let Some(late) = &self.late {
            behind::write(tx, late, self.now, self.latest, &self.options).await?;
        }
        Ok(())
    }
}

/// A user's devices among the rows, in id order.
pub(crate) fn devices_of<'a>(
    rows: &'a Tables,
    user_id: &'a str,
) -> impl Iterator<Item = &'a device::Model> {
    let first = DeviceKey { user_id: user_id.to_owned(), device_id: String::new() };
    rows.range::<device::Entity>(first..).take_while(move |row| row.user_id == user_id)
}

/// The stream of a user, from a stored user id.
pub(crate) fn user_stream(user_id: &str) -> String {
    format!("user:{user_id}")
}

/// Names of streams as rows are keyed by.
pub(crate) fn stream_key(stream: &StreamName) -> String {
    stream.as_str().to_owned()
}
