//! The rows a batch works on: loaded once for all its jobs, changed in memory
//! by pure decisions, written back in a few statements.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use sea_orm::{ConnectionTrait, DbErr};
use tidegate_entity::{
    audit_log, command, command_outcome, conflict, device, idempotency_key, journal_entry,
    market_item, shared_record, skill_rating, sync_state,
};
use tidegate_protocol::id::{Seq, StreamName};
use tidegate_protocol::time::Timestamp;

use crate::hub::{Hub, SessionKey};
use crate::ingest::IngestOptions;
use crate::ingest::behind::{Behind, BehindBatch};
use crate::ingest::market::Confirmed;
use crate::resolve::conflict::Conflict;
use crate::resolve::rules::Strategy;
use crate::store::device::{DeviceKey, TokenOwner};
use crate::store::head::{Advance, Heads};
use crate::store::market::ItemKey;
use crate::store::rating::RatingKey;
use crate::store::record::RecordKey;
use crate::store::wake::WantedWake;
use crate::store::{self};

mod heads;
mod late;
mod market;
mod room;
mod shift;

pub(crate) use heads::new_epoch;
pub(crate) use late::Late;
pub(crate) use shift::Shift;

/// Devices by user and id.
pub(crate) type Devices = HashMap<String, BTreeMap<String, device::Model>>;

/// Everything a batch reads and changes.
pub(crate) struct Working {
    pub(crate) now: Timestamp,
    pub(crate) options: IngestOptions,
    /// Only asked who is online.
    pub(crate) hub: Arc<Hub>,
    /// Locked: whoever holds a stream's head may change what the stream tells.
    pub(crate) heads: Heads,
    pub(crate) devices: Devices,
    /// Devices that may make room for a new one of their user, first to last;
    /// what they leave behind is loaded.
    pub(crate) replaceable: HashMap<String, VecDeque<DeviceKey>>,
    pub(crate) commands: HashMap<String, CommandState>,
    pub(crate) idempotency: HashMap<(String, String), idempotency_key::Model>,
    pub(crate) records: HashMap<RecordKey, shared_record::Model>,
    pub(crate) market: HashMap<ItemKey, market_item::Model>,
    pub(crate) conflicts: HashMap<String, conflict::Model>,
    /// Locked.
    pub(crate) ratings: HashMap<RatingKey, skill_rating::Model>,
    /// Generations of leases, locked.
    pub(crate) fences: HashMap<String, i64>,
    /// Locked, where a job needs it.
    pub(crate) sync_state: Option<sync_state::Model>,
    /// Changes so far, in the order decided.
    pub(crate) changes: Changes,
}

/// A command with what devices reported about it.
#[derive(Debug)]
pub(crate) struct CommandState {
    pub(crate) row: command::Model,
    pub(crate) outcomes: Vec<command_outcome::Model>,
}

/// What the batch will write.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Entries in order; positions are given out per stream in this order.
    pub(crate) appends: Vec<Append>,
    /// Streams that must exist though nothing is appended.
    pub(crate) ensured: BTreeSet<String>,
    pub(crate) pending: HashMap<String, i64>,
    pub(crate) new_commands: Vec<String>,
    pub(crate) changed_commands: HashSet<String>,
    pub(crate) closed: Vec<Closed>,
    pub(crate) outcomes: Vec<command_outcome::Model>,
    pub(crate) changed_devices: BTreeSet<DeviceKey>,
    pub(crate) removed_devices: Vec<DeviceKey>,
    /// Those among them that made room for another one; for log and metrics.
    pub(crate) replaced_devices: Vec<DeviceKey>,
    /// Streams whose history went back: they begin anew, in a new epoch.
    pub(crate) restarted: Vec<String>,
    /// Streams with a commit of unknown outcome, and their heads as they are.
    pub(crate) settled: Vec<(String, Seq)>,
    /// Devices with other capabilities than their live sessions judge by.
    pub(crate) outdated: Vec<SessionKey>,
    pub(crate) tokens: HashMap<(String, String), TokenOwner>,
    pub(crate) idempotency: Vec<idempotency_key::Model>,
    pub(crate) changed_records: HashSet<RecordKey>,
    pub(crate) wakes: BTreeMap<DeviceKey, WantedWake>,
    pub(crate) changed_items: BTreeSet<ItemKey>,
    pub(crate) changed_conflicts: BTreeSet<String>,
    pub(crate) changed_ratings: BTreeSet<RatingKey>,
    pub(crate) removed_ratings: BTreeSet<RatingKey>,
    /// Items that listings named as they are: only the time is written.
    pub(crate) confirmed: Vec<Confirmed>,
    pub(crate) audit: Vec<audit_log::Model>,
    /// Whether the sync state changed.
    pub(crate) sync_state: bool,
    /// Conflicts found in this batch; for the metrics.
    pub(crate) verdicts: Vec<Conflict>,
    /// Strategies of conflicts that a person decided; for the metrics.
    pub(crate) decided: Vec<Strategy>,
}

/// An entry without a position yet.
#[derive(Clone, Debug)]
pub(crate) struct Append {
    pub(crate) stream: String,
    pub(crate) seq: Seq,
    pub(crate) kind: &'static str,
    pub(crate) body: String,
    pub(crate) device_id: Option<String>,
    pub(crate) requires: Option<String>,
    pub(crate) command_id: Option<String>,
}

impl Append {
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

/// A command that got its final status in this batch; for the metrics.
#[derive(Debug)]
pub(crate) struct Closed {
    pub(crate) command_id: String,
    /// The tier that won, where a device's outcome decided it.
    pub(crate) tier: Option<tidegate_protocol::command::Channel>,
}

/// What must be loaded for a batch.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    pub(crate) streams: BTreeSet<String>,
    pub(crate) users: BTreeSet<String>,
    pub(crate) commands: BTreeSet<String>,
    /// Commands whose user must be found out before anything is locked.
    pub(crate) unplaced_commands: BTreeSet<String>,
    pub(crate) removed_devices: Vec<DeviceKey>,
    /// Devices that register.
    pub(crate) registering: BTreeSet<DeviceKey>,
    /// What the batch writes late, with the devices that were seen.
    pub(crate) behind: Vec<Arc<BehindBatch>>,
    /// What registering devices say they can do.
    pub(crate) capabilities: Vec<(DeviceKey, Vec<String>)>,
    pub(crate) keys: BTreeSet<(String, String)>,
    pub(crate) records: BTreeSet<RecordKey>,
    pub(crate) market: BTreeSet<ItemKey>,
    pub(crate) conflicts: BTreeSet<String>,
    /// Subjects whose newest and open conflicts are looked at.
    pub(crate) subjects: BTreeSet<String>,
    pub(crate) ratings: BTreeSet<RatingKey>,
    /// Leases that must still be held.
    pub(crate) fences: BTreeSet<String>,
    pub(crate) sync_state: bool,
    /// Where others write too: rows that are written late are locked as well.
    pub(crate) late: Option<Late>,
}

impl Working {
    /// Locks the streams and loads the rows.
    pub(crate) async fn load(
        db: &impl ConnectionTrait,
        mut needs: Needs,
        now: Timestamp,
        options: IngestOptions,
        hub: &Arc<Hub>,
        behind: &Behind,
    ) -> Result<Self, DbErr> {
        place(db, &mut needs).await?;
        let heads = heads::lock(db, &needs.streams).await?;
        needs.lock_written_late();
        let keys: Vec<_> = needs.keys.iter().cloned().collect();
        let idempotency = store::idempotency::load(db, &keys).await?;
        needs.commands.extend(idempotency.iter().filter_map(|row| row.command_id.clone()));
        let mut devices = Devices::new();
        for row in store::device::lock_of_users(db, &list(&needs.users)).await? {
            devices.entry(row.user_id.clone()).or_default().insert(row.device_id.clone(), row);
        }
        let replaceable = room::find(&mut needs, &devices, options.devices_per_user, hub, behind);
        room::commands(db, &mut needs, &devices).await?;
        let ids = list(&needs.commands);
        let mut commands: HashMap<_, _> = store::command::lock(db, &ids)
            .await?
            .into_iter()
            .map(|row| (row.id.clone(), CommandState { row, outcomes: Vec::new() }))
            .collect();
        for outcome in store::outcome::of_commands(db, &ids).await? {
            if let Some(state) = commands.get_mut(&outcome.command_id) {
                state.outcomes.push(outcome);
            }
        }
        let records = store::record::load(db, &list(&needs.records)).await?;
        let rows = market::load(db, &needs).await?;
        Ok(Self {
            now,
            options,
            hub: Arc::clone(hub),
            heads,
            devices,
            replaceable,
            commands,
            idempotency: idempotency
                .into_iter()
                .map(|row| ((row.caller.clone(), row.key.clone()), row))
                .collect(),
            records: records
                .into_iter()
                .map(|row| ((row.stream.clone(), row.collection.clone(), row.id.clone()), row))
                .collect(),
            market: rows.items,
            conflicts: rows.conflicts,
            ratings: rows.ratings,
            fences: rows.fences,
            sync_state: rows.sync_state,
            changes: Changes::default(),
        })
    }

    /// Gives out positions for everything appended, in the order in which
    /// every transaction locks streams.
    pub(crate) async fn allocate(&mut self, db: &impl ConnectionTrait) -> Result<(), DbErr> {
        let mut advances: BTreeMap<String, Advance> = BTreeMap::new();
        for append in &self.changes.appends {
            advances.entry(append.stream.clone()).or_default().entries += 1;
        }
        for (stream, pending) in &self.changes.pending {
            advances.entry(stream.clone()).or_default().pending += pending;
        }
        for stream in &self.changes.ensured {
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
        let heads = store::head::advance(db, &self.heads, &advances).await?;
        let mut next: HashMap<&str, i64> = heads
            .iter()
            .map(|(stream, head)| (stream.as_str(), head.seq - advances[stream].entries + 1))
            .collect();
        for append in &mut self.changes.appends {
            if let Some(seq) = next.get_mut(append.stream.as_str()) {
                append.seq = Seq::new(*seq);
                *seq += 1;
            }
        }
        self.heads.extend(heads);
        self.place_commands();
        Ok(())
    }

    /// Tells commands the positions of their entries.
    fn place_commands(&mut self) {
        for append in &self.changes.appends {
            let state = append.command_id.as_ref().and_then(|id| self.commands.get_mut(id));
            if let Some(state) = state
                && append.kind == tidegate_protocol::entry::kind::COMMAND
            {
                state.row.last_seq = append.seq.get();
                if state.row.seq == 0 {
                    state.row.seq = append.seq.get();
                }
            }
        }
    }

    /// Writes everything that changed.
    pub(crate) async fn write(&self, db: &impl ConnectionTrait) -> Result<(), DbErr> {
        let changes = &self.changes;
        store::command::insert(db, self.command_rows(changes.new_commands.iter())).await?;
        let is_new: HashSet<&String> = changes.new_commands.iter().collect();
        let mut old: Vec<&String> =
            changes.changed_commands.iter().filter(|id| !is_new.contains(id)).collect();
        old.sort_unstable();
        store::command::update(db, self.command_rows(old.into_iter())).await?;
        store::outcome::insert(db, changes.outcomes.clone()).await?;
        self.write_devices(db).await?;
        store::idempotency::insert(db, changes.idempotency.clone()).await?;
        let mut records: Vec<_> =
            changes.changed_records.iter().filter_map(|key| self.records.get(key)).collect();
        records.sort_unstable_by(|a, b| {
            (&a.stream, &a.collection, &a.id).cmp(&(&b.stream, &b.collection, &b.id))
        });
        store::record::upsert(db, records.into_iter().cloned().collect()).await?;
        self.write_market(db).await?;
        let wakes: Vec<WantedWake> = changes.wakes.values().cloned().collect();
        store::wake::want(db, &wakes, self.now.millis()).await?;
        store::journal::insert(db, self.journal_rows().collect()).await
    }

    async fn write_devices(&self, db: &impl ConnectionTrait) -> Result<(), DbErr> {
        let changes = &self.changes;
        let devices: Vec<device::Model> = changes
            .changed_devices
            .iter()
            .filter_map(|key| self.devices.get(&key.user_id)?.get(&key.device_id).cloned())
            .collect();
        // What was deleted may be back already, and a token changes hands only
        // after its old holder has let go.
        for key in &changes.removed_devices {
            store::device::remove(db, key).await?;
        }
        store::wake::remove(db, &changes.removed_devices).await?;
        for owner in changes.tokens.values() {
            store::device::release_token(db, owner).await?;
        }
        store::device::upsert(db, devices).await
    }

    fn command_rows<'a>(&self, ids: impl Iterator<Item = &'a String>) -> Vec<command::Model> {
        ids.filter_map(|id| self.commands.get(id)).map(|state| state.row.clone()).collect()
    }

    /// The entries as rows.
    fn journal_rows(&self) -> impl Iterator<Item = journal_entry::Model> {
        self.changes.appends.iter().map(|append| append.clone().into_row(self.now))
    }

    /// Commands of a user without a final status, this batch's included.
    pub(crate) fn pending_of(&self, stream: &str) -> i64 {
        let stored = self.heads.get(stream).map_or(0, |head| head.pending);
        stored + self.changes.pending.get(stream).copied().unwrap_or(0)
    }
}

/// Finds out whose the commands are, so that their streams can be locked
/// before anything is decided.
pub(crate) async fn place(db: &impl ConnectionTrait, needs: &mut Needs) -> Result<(), DbErr> {
    market::place(db, needs).await?;
    if needs.unplaced_commands.is_empty() {
        return Ok(());
    }
    let ids = list(&needs.unplaced_commands);
    for (id, user_id) in store::command::owners(db, &ids).await? {
        needs.streams.insert(format!("user:{user_id}"));
        needs.users.insert(user_id);
        needs.commands.insert(id);
    }
    Ok(())
}

fn list<T: Clone>(set: &BTreeSet<T>) -> Vec<T> {
    set.iter().cloned().collect()
}

/// Whether the command is one the device may carry out.
pub(crate) fn is_eligible(command: &command::Model, device: &device::Model) -> bool {
    let addressed =
        command.device_id.as_ref().is_none_or(|device_id| *device_id == device.device_id);
    addressed
        && command.requires.as_ref().is_none_or(|needed| {
            let has: Vec<String> = serde_json::from_str(&device.capabilities).unwrap_or_default();
            has.contains(needed)
        })
}

/// The stream of a user, from a stored user id.
pub(crate) fn user_stream(user_id: &str) -> String {
    format!("user:{user_id}")
}

/// Names of streams as rows are keyed by.
pub(crate) fn stream_key(stream: &StreamName) -> String {
    stream.as_str().to_owned()
}
