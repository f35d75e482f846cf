//! Reading pages of a stream's current state from the database in wire form.
//!
//! Owns how pages are filled and how far one has come. What a stream's state is
//! made of, its sources know: a file each, registered in `SOURCES`.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sea_orm::DbErr;
use serde::de::{DeserializeOwned, Error as _};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use tidegate_protocol::entry::Item;
use tidegate_protocol::limits::{PAGE_BYTES, PAGE_ENTRIES};
use tidegate_protocol::time::Timestamp;

use crate::journal::frame::StreamId;
use crate::journal::{Attempt, Viewer};
use crate::store::Store;
use crate::store::portion::{Cost, Portion, Portioned};

mod commands;
mod conflicts;
mod health;
mod integrations;
mod market;
mod records;

pub use commands::command_body;
pub use conflicts::conflict_body;
pub use integrations::integration_body;

/// Where current state comes from. A stream's snapshot holds its sources in
/// this order.
const SOURCES: [&dyn AnySource; 8] = [
    &commands::Commands,
    &conflicts::Conflicts,
    &integrations::Integrations,
    &health::Days,
    &health::Nights,
    &health::Activities,
    &market::Items,
    &records::Records,
];

/// A kind of current state.
pub(crate) trait Source: Send + Sync {
    /// After which item a page begins; part of cursors that devices hold.
    type After: Serialize + DeserializeOwned + Send;

    /// Its name in those cursors.
    const NAME: &'static str;

    /// Whether a stream tells of it.
    fn tells_of(stream: &StreamId) -> bool;

    /// What follows `after`, from the beginning without one. Also where there is
    /// no room: whether anything follows must be known.
    fn read(
        reading: Reading<'_>,
        after: Option<Self::After>,
        room: Room,
    ) -> impl Future<Output = Result<Part<Self::After>, DbErr>> + Send;
}

/// What is read, for whom, and when.
#[derive(Clone, Copy)]
pub(crate) struct Reading<'a> {
    pub(crate) store: &'a Store,
    pub(crate) stream: &'a StreamId,
    pub(crate) viewer: &'a Viewer,
    pub(crate) now: Timestamp,
    /// Days of health data that are current.
    pub(crate) days: u32,
}

/// What one source gives to a page.
#[derive(Debug)]
pub(crate) struct Part<A> {
    pub(crate) items: Vec<Item>,
    /// Commands among them.
    pub(crate) commands: Vec<Attempt>,
    pub(crate) next: Next<A>,
    pub(crate) cost: Cost,
}

/// Where a source goes on in the next page.
#[derive(Debug)]
pub(crate) enum Next<A> {
    /// Nothing is left of it.
    End,
    /// At its beginning: the page had no room for it.
    Start,
    /// After this item.
    After(A),
}

impl<A> Next<A> {
    fn map<B>(self, to: impl FnOnce(A) -> B) -> Next<B> {
        match self {
            Self::End => Next::End,
            Self::Start => Next::Start,
            Self::After(at) => Next::After(to(at)),
        }
    }
}

impl<A> Default for Part<A> {
    fn default() -> Self {
        Self { items: Vec::new(), commands: Vec::new(), next: Next::End, cost: Cost::default() }
    }
}

/// A [`Source`] of any kind.
trait AnySource: Sync {
    fn name(&self) -> &'static str;
    fn tells_of(&self, stream: &StreamId) -> bool;
    fn read<'a>(
        &'a self,
        reading: Reading<'a>,
        after: Value,
        room: Room,
    ) -> BoxFuture<'a, Result<Part<Value>, DbErr>>;
}

impl<S: Source> AnySource for S {
    fn name(&self) -> &'static str {
        S::NAME
    }

    fn tells_of(&self, stream: &StreamId) -> bool {
        S::tells_of(stream)
    }

    fn read<'a>(
        &'a self,
        reading: Reading<'a>,
        after: Value,
        room: Room,
    ) -> BoxFuture<'a, Result<Part<Value>, DbErr>> {
        async move {
            // One that this version does not understand begins anew.
            let after = serde_json::from_value(after).unwrap_or_default();
            let Part { items, commands, next, cost } = S::read(reading, after, room).await?;
            let next = next.map(|at| serde_json::to_value(at).unwrap_or_default());
            Ok(Part { items, commands, next, cost })
        }
        .boxed()
    }
}

/// How far a snapshot has come: after which item the next page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SnapshotAt {
    /// At the beginning.
    Start,
    /// In one of the sources, after an item; null at its beginning.
    In(&'static str, Value),
}

impl Serialize for SnapshotAt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Start => serializer.serialize_str("start"),
            Self::In(source, after) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry(source, after)?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for SnapshotAt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let said = Value::deserialize(deserializer)?;
        if said == "start" {
            return Ok(Self::Start);
        }
        let Value::Object(said) = said else { return Err(D::Error::custom("no position")) };
        let first = said.into_iter().next();
        let (name, after) = first.ok_or_else(|| D::Error::custom("no position"))?;
        let source = SOURCES.iter().find(|source| source.name() == name);
        let source = source.ok_or_else(|| D::Error::custom("no such source"))?;
        Ok(Self::In(source.name(), after))
    }
}

/// A page of current state.
#[derive(Debug)]
pub struct SnapshotPage {
    /// The items.
    pub items: Vec<Item>,
    /// Commands among them.
    pub commands: Vec<Attempt>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<SnapshotAt>,
    /// What was read from the database for it.
    pub cost: Cost,
}

/// Reads a page of current state of a stream.
pub(crate) async fn snapshot(
    reading: Reading<'_>,
    at: &SnapshotAt,
    limit: usize,
) -> Result<SnapshotPage, DbErr> {
    let Reading { store, stream, .. } = reading;
    let _turn = store.turn().await;
    let limit = limit.min(PAGE_ENTRIES);
    let mut page =
        SnapshotPage { items: Vec::new(), commands: Vec::new(), next: None, cost: Cost::default() };
    let (first, mut after) = match at {
        SnapshotAt::Start => (None, Value::Null),
        SnapshotAt::In(source, after) => (Some(*source), after.clone()),
    };
    let told = SOURCES.iter().filter(|source| source.tells_of(stream));
    // A source that the stream does not have begins all of them anew.
    let first = first.filter(|first| told.clone().any(|source| source.name() == *first));
    let left = told.skip_while(|source| first.is_some_and(|first| first != source.name()));
    let mut taken = 0;
    for source in left {
        // What is left of the page takes what comes next.
        let room = Room { items: limit - page.items.len(), taken };
        let part = source.read(reading, std::mem::take(&mut after), room).await?;
        taken += part.items.iter().map(|item| item.body.get().len()).sum::<usize>();
        page.items.extend(part.items);
        page.commands.extend(part.commands);
        page.cost += part.cost;
        let after = match part.next {
            Next::End => continue,
            Next::Start => Value::Null,
            Next::After(at) => at,
        };
        page.next = Some(SnapshotAt::In(source.name(), after));
        break;
    }
    Ok(page)
}

/// What a page may still take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    pub(crate) items: usize,
    /// Bytes that it holds already.
    pub(crate) taken: usize,
}

impl Room {
    /// What to read for it. Also where there is no room: whether anything
    /// follows must be known.
    pub(crate) fn portion(self) -> Portion {
        Portion { rows: self.items.max(1), bytes: PAGE_BYTES.saturating_sub(self.taken).max(1) }
    }
}

/// Fills a part from what one read brought. `item` tells of a row where the page
/// after it begins, and its item if it makes one. A part without room goes on
/// from `start`.
fn gather<T, A>(
    start: Option<A>,
    read: Portioned<T>,
    item: impl Fn(T) -> (A, Option<Item>),
    room: Room,
) -> Part<A> {
    let Portioned { rows, is_last, cost } = read;
    let mut part = Part { cost, ..Part::default() };
    let mut bytes = room.taken;
    let mut last = start.map_or(Next::Start, Next::After);
    for (at, item) in rows.into_iter().map(item) {
        if part.items.len() >= room.items || bytes >= PAGE_BYTES {
            part.next = last;
            return part;
        }
        last = Next::After(at);
        if let Some(item) = item {
            bytes += item.body.get().len();
            part.items.push(item);
        }
    }
    if !is_last {
        part.next = last;
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Devices hold them in cursors of polls, also across an update.
    #[test]
    fn positions_read_as_they_always_did() {
        for text in [
            r#""start""#,
            r#"{"commands":5}"#,
            r#"{"conflicts":"0197"}"#,
            r#"{"integrations":"oura"}"#,
            r#"{"days":"2026-11-21"}"#,
            r#"{"nights":"2026-11-21"}"#,
            r#"{"activities":["2026-11-21","0197"]}"#,
            r#"{"records":["notes","a"]}"#,
            r#"{"market":["skill","s1"]}"#,
        ] {
            let at: SnapshotAt = serde_json::from_str(text).unwrap();
            assert_eq!(serde_json::to_string(&at).unwrap(), text);
        }
        for text in [r#""end""#, "{}", r#"{"mail":5}"#, "5"] {
            assert!(serde_json::from_str::<SnapshotAt>(text).is_err(), "{text}");
        }
    }
}
