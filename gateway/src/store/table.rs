//! How a table joins units of work: it says once how its rows are named,
//! loaded and written, and the unit of work does the rest.
//!
//! Owns the rows that one transaction reads and changes. Never decides
//! anything about them.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeBounds;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sea_orm::DbErr;

use crate::store::order::Place;
use crate::store::write::Transaction;

/// A table whose rows units of work read and change.
pub trait Table: Send + Sync + 'static {
    /// What names a row.
    type Key: Ord + Clone + Send + Sync;
    /// A row, or a row with what belongs to it alone.
    type Row: Clone + Send + Sync;
    /// What rows are asked for by: often the key, or what many share.
    type Select: Ord + Send + Sync;

    /// Its place in the order in which rows are locked and written.
    const PLACE: Place;

    /// Whether rows are locked when they are loaded. Others are guarded by the
    /// head of a stream or by a unique index, and are loaded before.
    const LOCKS: bool = false;

    /// The row's name.
    fn key(row: &Self::Row) -> Self::Key;

    /// The rows asked for, locked where the head of a stream does not guard
    /// them already. What does not exist is left out.
    fn load(
        tx: &Transaction,
        wanted: &[Self::Select],
    ) -> impl Future<Output = Result<Vec<Self::Row>, DbErr>> + Send;

    /// Asks for rows of later tables that a loaded row leads to.
    fn follow(_row: &Self::Row, _later: &mut Tables) {}

    /// Writes what changed; rows and keys come in key order.
    fn write(
        tx: &Transaction,
        changes: Changes<Self>,
    ) -> impl Future<Output = Result<(), DbErr>> + Send;
}

/// What a unit of work changed in a table.
#[derive(Debug)]
pub struct Changes<T: Table + ?Sized> {
    /// Rows to be removed; they go before the others are written.
    pub removed: Vec<T::Key>,
    /// Rows that do not exist yet.
    pub new: Vec<T::Row>,
    /// Rows that exist.
    pub changed: Vec<T::Row>,
    /// When, milliseconds since the epoch.
    pub now: i64,
}

impl<T: Table + ?Sized> Changes<T> {
    /// New and changed rows alike, for tables that write both by one statement.
    pub fn upserts(self) -> Vec<T::Row> {
        let mut rows = self.new;
        rows.extend(self.changed);
        rows
    }
}

/// How a row that is held stands to the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Loaded,
    Changed,
    New,
}

#[derive(Debug)]
struct Held<R> {
    row: R,
    state: State,
}

/// The rows of one table: first what is wanted of it, then what was loaded,
/// then what changed.
struct Rows<T: Table> {
    wanted: BTreeSet<T::Select>,
    /// What was wanted when it was loaded, in order.
    loaded: Vec<T::Select>,
    held: BTreeMap<T::Key, Held<T::Row>>,
    removed: BTreeSet<T::Key>,
}

impl<T: Table> Default for Rows<T> {
    fn default() -> Self {
        Self {
            wanted: BTreeSet::new(),
            loaded: Vec::new(),
            held: BTreeMap::new(),
            removed: BTreeSet::new(),
        }
    }
}

impl<T: Table> Rows<T> {
    fn put(&mut self, row: T::Row) {
        let key = T::key(&row);
        let stored = self.held.get(&key).map(|held| held.state);
        let state = match stored {
            Some(State::Loaded | State::Changed) => State::Changed,
            Some(State::New) | None => State::New,
        };
        self.held.insert(key, Held { row, state });
    }

    fn remove(&mut self, key: &T::Key) -> Option<T::Row> {
        let held = self.held.remove(key)?;
        if held.state != State::New {
            self.removed.insert(key.clone());
        }
        Some(held.row)
    }
}

/// [`Rows`] of any table.
trait AnyRows: Send + Sync {
    fn place(&self) -> Place;
    fn locks(&self) -> bool;
    fn load<'a>(&'a mut self, tx: &'a Transaction) -> BoxFuture<'a, Result<(), DbErr>>;
    fn follow(&self, later: &mut Tables);
    fn write<'a>(
        &'a self,
        tx: &'a Transaction,
        now: i64,
    ) -> Option<BoxFuture<'a, Result<(), DbErr>>>;
    fn as_any(&self) -> &dyn Any;
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

impl<T: Table> AnyRows for Rows<T> {
    fn place(&self) -> Place {
        T::PLACE
    }

    fn locks(&self) -> bool {
        T::LOCKS
    }

    fn load<'a>(&'a mut self, tx: &'a Transaction) -> BoxFuture<'a, Result<(), DbErr>> {
        async move {
            self.loaded = std::mem::take(&mut self.wanted).into_iter().collect();
            if self.loaded.is_empty() {
                return Ok(());
            }
            for row in T::load(tx, &self.loaded).await? {
                let held = Held { row, state: State::Loaded };
                self.held.entry(T::key(&held.row)).or_insert(held);
            }
            Ok(())
        }
        .boxed()
    }

    fn follow(&self, later: &mut Tables) {
        self.held.values().for_each(|held| T::follow(&held.row, later));
    }

    fn write<'a>(
        &'a self,
        tx: &'a Transaction,
        now: i64,
    ) -> Option<BoxFuture<'a, Result<(), DbErr>>> {
        let removed: Vec<T::Key> = self.removed.iter().cloned().collect();
        let (mut new, mut changed) = (Vec::new(), Vec::new());
        for held in self.held.values() {
            match held.state {
                State::Loaded => {}
                State::Changed => changed.push(held.row.clone()),
                State::New => new.push(held.row.clone()),
            }
        }
        if removed.is_empty() && new.is_empty() && changed.is_empty() {
            return None;
        }
        Some(T::write(tx, Changes { removed, new, changed, now }).boxed())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// The rows of all tables that a unit of work reads and changes.
#[derive(Default)]
pub struct Tables {
    rows: [Option<Box<dyn AnyRows>>; Place::COUNT],
    /// Tables that are loaded: nothing more of them can be wanted.
    loaded: [bool; Place::COUNT],
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Rows hold what users sent.
        f.debug_struct("Tables").finish_non_exhaustive()
    }
}

impl Tables {
    fn of<T: Table>(&self) -> Option<&Rows<T>> {
        self.rows[T::PLACE as usize].as_ref()?.as_any().downcast_ref()
    }

    fn of_mut<T: Table>(&mut self) -> &mut Rows<T> {
        let rows = self.rows[T::PLACE as usize].get_or_insert_with(|| Box::<Rows<T>>::default());
        rows.as_any_mut().downcast_mut().expect("each table has a place of its own")
    }

    /// Asks for rows. Tables are loaded in order, so that what a loaded row
    /// leads to must be of a later one.
    pub fn want<T: Table>(&mut self, select: T::Select) {
        debug_assert!(!self.loaded[T::PLACE as usize], "{:?} is loaded already", T::PLACE);
        self.of_mut::<T>().wanted.insert(select);
    }

    /// Whether these rows were asked for when the table was loaded.
    pub fn was_wanted<T: Table>(&self, select: &T::Select) -> bool {
        self.of::<T>().is_some_and(|rows| rows.loaded.binary_search(select).is_ok())
    }

    /// Loads what is wanted: first of tables that are not locked, then of those
    /// that are, in order, up to and including a place.
    pub async fn load(&mut self, tx: &Transaction, upto: Place) -> Result<(), DbErr> {
        for locks in [false, true] {
            for at in 0..Place::COUNT {
                let is_now = self.rows[at].as_ref().is_some_and(|rows| rows.locks() == locks);
                if !is_now || self.loaded[at] || (locks && at > upto as usize) {
                    continue;
                }
                let Some(mut rows) = self.rows[at].take() else { continue };
                rows.load(tx).await?;
                rows.follow(self);
                self.rows[at] = Some(rows);
                self.loaded[at] = true;
            }
        }
        Ok(())
    }

    /// Writes what changed in tables of these places, in order.
    pub async fn write(
        &self,
        tx: &Transaction,
        places: impl RangeBounds<Place>,
        now: i64,
    ) -> Result<(), DbErr> {
        for rows in self.rows.iter().flatten().filter(|rows| places.contains(&rows.place())) {
            if let Some(writing) = rows.write(tx, now) {
                writing.await?;
            }
        }
        Ok(())
    }

    /// A row, if it exists and was asked for.
    pub fn get<T: Table>(&self, key: &T::Key) -> Option<&T::Row> {
        self.of::<T>()?.held.get(key).map(|held| &held.row)
    }

    /// Whether a row is written by this transaction, as new or changed.
    pub fn is_written<T: Table>(&self, key: &T::Key) -> bool {
        let held = self.of::<T>().and_then(|rows| rows.held.get(key));
        held.is_some_and(|held| held.state != State::Loaded)
    }

    /// A row to be changed: it will be written.
    pub fn edit<T: Table>(&mut self, key: &T::Key) -> Option<&mut T::Row> {
        let held = self.of_mut::<T>().held.get_mut(key)?;
        if held.state == State::Loaded {
            held.state = State::Changed;
        }
        Some(&mut held.row)
    }

    /// Keeps a row as it is now.
    pub fn put<T: Table>(&mut self, row: T::Row) {
        self.of_mut::<T>().put(row);
    }

    /// Removes a row; the row as it was.
    pub fn remove<T: Table>(&mut self, key: &T::Key) -> Option<T::Row> {
        self.of_mut::<T>().remove(key)
    }

    /// Removes what a key names, whether it was loaded or not.
    pub fn forget<T: Table>(&mut self, key: T::Key) {
        let rows = self.of_mut::<T>();
        rows.held.remove(&key);
        rows.removed.insert(key);
    }

    /// All rows held, in key order.
    pub fn all<T: Table>(&self) -> impl Iterator<Item = &T::Row> {
        self.of::<T>().into_iter().flat_map(|rows| rows.held.values().map(|held| &held.row))
    }

    /// The rows of a range of keys, in order.
    pub fn range<T: Table>(
        &self,
        keys: impl RangeBounds<T::Key> + Clone,
    ) -> impl Iterator<Item = &T::Row> {
        let held = self.of::<T>().into_iter();
        held.flat_map(move |rows| rows.held.range(keys.clone()).map(|(_, held)| &held.row))
    }
}
