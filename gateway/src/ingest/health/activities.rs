//! Activities that a unit of work changes, and which of them are one workout.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};
use tidegate_entity::activity::{self, State};
use tidegate_entity::{activity_raw, command};
use tidegate_protocol::entry::kind;
use tidegate_protocol::id::CommandId;
use uuid::Uuid;

use crate::health::activity::Activity;
use crate::health::source::Source;
use crate::health::walk::{self, Span, class};
use crate::ingest::health::Fate;
use crate::ingest::unit::{NewEntry, ReadSet, UnitOfWork, user_stream};
use crate::journal::health::activity_put;
use crate::store;
use crate::store::health::activity::{Wanted, span};

/// Most bytes of an activity as it came that are kept: exporters put whole routes
/// in, and a day's ride has some hundred kilobytes of it.
const RAW_BYTES: usize = 1024 * 1024;

/// The activities of a user that a write changes, as they were before.
pub(super) struct Activities<'a> {
    user_id: &'a str,
    before: BTreeMap<String, Option<activity::Model>>,
}

/// The id that a name makes, the same wherever it is taken in.
fn id_of(user_id: &str, space: &str, name: &str) -> String {
    let mut hash = Sha256::new();
    for part in [user_id, space, name] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let hash: [u8; 32] = hash.finalize().into();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    Uuid::new_v8(bytes).to_string()
}

/// The id of what a source names by an id of its own.
pub(super) fn id_of_source(user_id: &str, source: Source, source_id: &str) -> String {
    id_of(user_id, source.as_str(), source_id)
}

fn plain_id(user_id: &str, activity: &Activity) -> String {
    if let Some(source_id) = &activity.source_id {
        return id_of_source(user_id, activity.source, source_id);
    }
    let space = format!("{} without id", activity.source);
    let kind = activity.activity_type.as_str();
    id_of(user_id, &space, &format!("{kind} {} {}", activity.start_ms, activity.end_ms))
}

/// The command that may have made a device write it.
fn command_of(activity: &Activity) -> Option<String> {
    let id = activity.external_id.as_deref()?;
    // Phones write UUIDs in upper case.
    Some(CommandId::parse(&id.to_ascii_lowercase()).ok()?.to_string())
}

fn id_of_command(user_id: &str, command_id: &str) -> String {
    id_of(user_id, "command", command_id)
}

/// Asks for what an activity is judged by.
pub(super) fn reads(reads: &mut ReadSet, user_id: &str, activity: &Activity) {
    let key = |id: String| Wanted::Id((user_id.to_owned(), id));
    reads.rows.want::<activity::Entity>(key(plain_id(user_id, activity)));
    reads.rows.want::<activity::Entity>(Wanted::Around {
        user_id: user_id.to_owned(),
        start_ms: activity.start_ms,
        end_ms: activity.end_ms,
        elapsed_s: activity.elapsed_s,
        source: activity.source,
    });
    if let Some(command_id) = command_of(activity) {
        reads.rows.want::<activity::Entity>(key(id_of_command(user_id, &command_id)));
        reads.rows.want::<command::Entity>(store::command::Wanted::Id(command_id));
    }
}

impl<'a> Activities<'a> {
    pub(super) const fn of(user_id: &'a str) -> Self {
        Self { user_id, before: BTreeMap::new() }
    }

    fn row<'u>(&self, unit: &'u UnitOfWork, id: &str) -> Option<&'u activity::Model> {
        unit.rows.get::<activity::Entity>(&(self.user_id.to_owned(), id.to_owned()))
    }

    fn put(&mut self, unit: &mut UnitOfWork, row: activity::Model) {
        let before = self.row(unit, &row.id).cloned();
        self.before.entry(row.id.clone()).or_insert(before);
        unit.rows.put::<activity::Entity>(row);
    }

    /// Under which id an activity is kept: under that of the user's command which made
    /// it, whoever reports it, or under its own. Whichever is known first; the other
    /// one leads to it from then on.
    fn id(&mut self, unit: &mut UnitOfWork, activity: &Activity) -> String {
        let plain = plain_id(self.user_id, activity);
        let Some(command_id) = command_of(activity) else { return self.main(unit, &plain) };
        let of_command = id_of_command(self.user_id, &command_id);
        let is_of_user =
            unit.command(&command_id).is_some_and(|command| command.row.user_id == self.user_id);
        if self.row(unit, &of_command).is_some() {
            let main = self.main(unit, &of_command);
            self.lead(unit, activity, &plain, &main);
            main
        } else if !is_of_user {
            self.main(unit, &plain)
        } else if self.row(unit, &plain).is_some() {
            let main = self.main(unit, &plain);
            self.lead(unit, activity, &of_command, &main);
            main
        } else {
            self.lead(unit, activity, &plain, &of_command);
            of_command
        }
    }

    /// The id under which something is kept: another one may lead to it.
    fn main(&self, unit: &UnitOfWork, id: &str) -> String {
        let row = self.row(unit, id).filter(|row| row.state == State::Alias);
        row.and_then(|row| row.duplicate_of.clone()).unwrap_or_else(|| id.to_owned())
    }

    /// Has an id lead to another one. What was kept under it is one with that.
    fn lead(&mut self, unit: &mut UnitOfWork, activity: &Activity, id: &str, main: &str) {
        if id == main || self.row(unit, id).is_some_and(|row| row.state == State::Alias) {
            return;
        }
        let is_told = self.remove(unit, id, State::Alias);
        let known = self.row(unit, id).cloned();
        let row = known.unwrap_or_else(|| row_of(self.user_id, id.to_owned(), activity));
        let duplicate_of = Some(main.to_owned());
        let row = activity::Model { state: State::Alias, duplicate_of, ..row };
        if is_told { self.put(unit, row) } else { unit.rows.put::<activity::Entity>(row) }
    }

    /// A source's own activity, by its id; whichever way it is kept.
    pub(super) fn of_source(&self, unit: &UnitOfWork, source: Source, id: &str) -> Option<String> {
        let main = self.main(unit, &id_of_source(self.user_id, source, id));
        let row = self.row(unit, &main)?;
        (row.source == source.as_str()).then_some(main)
    }

    /// Takes an activity in.
    pub(super) fn activity(&mut self, unit: &mut UnitOfWork, activity: &Activity) -> Fate {
        let id = self.id(unit, activity);
        let known = self.row(unit, &id);
        let mut row = row_of(self.user_id, id, activity);
        if let Some(known) = known {
            // The first to report it, under its own id, goes on to tell of it.
            let is_of_other = known.source != row.source || known.source_id != row.source_id;
            let is_of_other = is_of_other && known.state == State::Live;
            if known.start_at == row.start_at && known.utc_offset_s == row.utc_offset_s {
                // Days are fixed when something arrives.
                row.date.clone_from(&known.date);
            }
            row.version = known.version;
            row.state = State::Live;
            row.duplicate_of.clone_from(&known.duplicate_of);
            row.updated_at = known.updated_at;
            if known.state == State::Deleted || is_of_other || row == *known {
                return Fate::Unchanged;
            }
        }
        let fate = if known.is_some() { Fate::Updated } else { Fate::Created };
        if activity.raw.len() <= RAW_BYTES {
            unit.rows.put::<activity_raw::Entity>(activity_raw::Model {
                user_id: self.user_id.to_owned(),
                id: row.id.clone(),
                raw: activity.raw.clone(),
            });
        }
        self.put(unit, row);
        fate
    }

    /// Takes one away; whether it was there.
    pub(super) fn remove(&mut self, unit: &mut UnitOfWork, id: &str, state: State) -> bool {
        let Some(known) = self.row(unit, id).filter(|known| known.state == State::Live) else {
            return false;
        };
        let row = activity::Model { state, duplicate_of: None, ..known.clone() };
        self.put(unit, row);
        true
    }

    /// Finds out anew which of those that are connected with a change are one
    /// workout, and says what changed.
    pub(super) fn end(mut self, unit: &mut UnitOfWork) {
        if self.before.is_empty() {
            return;
        }
        for (id, duplicate_of) in self.walk(unit) {
            let Some(row) = self.row(unit, &id) else { continue };
            if row.duplicate_of != duplicate_of {
                let row = activity::Model { duplicate_of, ..row.clone() };
                self.put(unit, row);
            }
        }
        let now = unit.now.millis();
        for id in self.before.keys() {
            let key = (self.user_id.to_owned(), id.clone());
            let Some(row) = unit.rows.edit::<activity::Entity>(&key) else { continue };
            row.version += 1;
            row.updated_at = now;
            let body = told(row);
            unit.append(NewEntry::for_all(user_stream(self.user_id), kind::ACTIVITY, body));
        }
    }

    /// What activities are duplicates of, of all that may have changed.
    fn walk(&self, unit: &UnitOfWork) -> Vec<(String, Option<String>)> {
        let first = (self.user_id.to_owned(), String::new());
        let rows = unit.rows.range::<activity::Entity>(first..);
        let of_user = rows.take_while(|row| row.user_id == self.user_id);
        let spans: Vec<Span> = of_user.filter_map(span).collect();
        let was: Vec<Span> = self.before.values().flatten().filter_map(span).collect();
        let mut index = walk::Index::default();
        was.iter().enumerate().for_each(|(number, span)| index.insert(number, span));
        // Those that changed, and those that were connected with what they were.
        let is_first = |span: &Span| {
            self.before.contains_key(&span.id)
                || index.overlapping(span).any(|number| was[number].is_same_workout(span))
        };
        let first: Vec<usize> =
            (0..spans.len()).filter(|number| is_first(&spans[*number])).collect();
        let touched = walk::connected(&spans, first);
        let part: Vec<Span> = touched.iter().map(|number| spans[*number].clone()).collect();
        let duplicates = walk::duplicates(&part);
        let named = |number: usize| part[number].id.clone();
        (0..part.len()).map(|at| (named(at), duplicates[at].map(named))).collect()
    }
}

fn row_of(user_id: &str, id: String, activity: &Activity) -> activity::Model {
    let length_class = class(activity.end_ms.saturating_sub(activity.start_ms));
    activity::Model {
        user_id: user_id.to_owned(),
        id,
        version: 0,
        state: State::Live,
        source: activity.source.to_string(),
        source_id: activity.source_id.clone(),
        activity_type: activity.activity_type.as_str().to_owned(),
        sport: activity.sport.clone(),
        date: activity.date.to_string(),
        start_at: activity.start_ms,
        end_at: activity.end_ms,
        duration_s: activity.duration_s,
        elapsed_s: activity.elapsed_s,
        length_class: i32::try_from(length_class).unwrap_or(i32::MAX),
        distance: activity.distance_m,
        calories: activity.calories_kcal,
        avg_heart_rate: activity.avg_heart_rate,
        max_heart_rate: activity.max_heart_rate,
        device: activity.device.clone(),
        utc_offset_s: activity.utc_offset_s.map(i64::from),
        duplicate_of: None,
        updated_at: 0,
    }
}

/// What devices are told of it.
fn told(row: &activity::Model) -> String {
    if row.state != State::Live {
        return json!({"id": row.id, "version": row.version, "op": "delete"}).to_string();
    }
    Json::Object(activity_put(row)).to_string()
}
