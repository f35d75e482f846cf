//! The rows of the marketplace and its conflicts that a batch works on.

use std::collections::{BTreeSet, HashMap};

use sea_orm::{ConnectionTrait, DbErr};
use tidegate_entity::{conflict, market_item, skill_rating, sync_state};

use crate::ingest::decide;
use crate::ingest::working::{Needs, Working, list, user_stream};
use crate::store;
use crate::store::market::ItemKey;
use crate::store::rating::RatingKey;

/// What was loaded.
pub(super) struct Rows {
    pub(super) items: HashMap<ItemKey, market_item::Model>,
    pub(super) conflicts: HashMap<String, conflict::Model>,
    pub(super) ratings: HashMap<RatingKey, skill_rating::Model>,
    /// Generations of leases.
    pub(super) fences: HashMap<String, i64>,
    pub(super) sync_state: Option<sync_state::Model>,
}

/// Loads the rows; leases and the sync state are locked, items are guarded by
/// the head of their stream.
pub(super) async fn load(db: &impl ConnectionTrait, needs: &Needs) -> Result<Rows, DbErr> {
    let mut fences = HashMap::new();
    for name in &needs.fences {
        fences.extend(store::lease::lock(db, name).await?.map(|row| (row.name, row.generation)));
    }
    let sync_state = if needs.sync_state { Some(store::sync_state::lock(db).await?) } else { None };
    let items = store::market::load(db, &list(&needs.market)).await?;
    let open = items.iter().filter_map(|row| row.conflict_id.clone());
    let wanted: BTreeSet<String> = needs.conflicts.iter().cloned().chain(open).collect();
    let mut conflicts = store::conflict::load(db, &list(&wanted)).await?;
    for subject in &needs.subjects {
        conflicts.extend(store::conflict::standing(db, subject).await?);
    }
    let mut ratings = HashMap::new();
    for (skill_id, user_id) in &needs.ratings {
        let row = store::rating::lock(db, skill_id, user_id).await?;
        ratings.extend(row.map(|row| ((row.skill_id.clone(), row.user_id.clone()), row)));
    }
    Ok(Rows {
        items: items.into_iter().map(|row| ((row.kind.clone(), row.id.clone()), row)).collect(),
        conflicts: conflicts.into_iter().map(|row| (row.id.clone(), row)).collect(),
        ratings,
        fences,
        sync_state,
    })
}

/// Finds out what conflicts are about and whom they concern, and who edited
/// items: those users' streams tell of it.
pub(super) async fn place(db: &impl ConnectionTrait, needs: &mut Needs) -> Result<(), DbErr> {
    for row in store::conflict::load(db, &list(&needs.conflicts)).await? {
        needs.streams.extend(streams_of(&store::conflict::editors(&row)));
        needs.market.extend(decide::item_of(&row.subject));
        needs.ratings.extend(decide::rating_of(&row));
    }
    let mut open = Vec::new();
    for item in store::market::edited(db, &list(&needs.market)).await? {
        needs.streams.extend(streams_of(&item.editors));
        open.extend(item.conflict_id);
    }
    for row in store::conflict::load(db, &open).await? {
        needs.streams.extend(streams_of(&store::conflict::editors(&row)));
    }
    Ok(())
}

fn streams_of(users: &[String]) -> impl Iterator<Item = String> {
    users.iter().map(|user_id| user_stream(user_id))
}

impl Working {
    pub(super) async fn write_market(&self, db: &impl ConnectionTrait) -> Result<(), DbErr> {
        let changes = &self.changes;
        let items = changes.changed_items.iter().filter_map(|key| self.market.get(key)).cloned();
        store::market::upsert(db, items.collect()).await?;
        let conflicts =
            changes.changed_conflicts.iter().filter_map(|id| self.conflicts.get(id)).cloned();
        store::conflict::upsert(db, conflicts.collect()).await?;
        for key in &changes.changed_ratings {
            if let Some(row) = self.ratings.get(key) {
                store::rating::upsert(db, row.clone()).await?;
            }
        }
        for key in &changes.removed_ratings {
            store::rating::remove(db, key).await?;
        }
        for confirmed in &changes.confirmed {
            let at = confirmed.at.millis();
            store::market::confirm(db, confirmed.kind, &confirmed.ids, at).await?;
        }
        store::audit::insert(db, changes.audit.clone()).await?;
        match &self.sync_state {
            Some(state) if changes.sync_state => store::sync_state::write(db, state.clone()).await,
            _ => Ok(()),
        }
    }

    /// Keeps an item as it is now.
    pub(crate) fn keep_item(&mut self, row: market_item::Model) {
        let key = (row.kind.clone(), row.id.clone());
        self.changes.changed_items.insert(key.clone());
        self.market.insert(key, row);
    }

    /// Keeps a rating as it is now.
    pub(crate) fn keep_rating(&mut self, row: skill_rating::Model) {
        let key = (row.skill_id.clone(), row.user_id.clone());
        self.changes.changed_ratings.insert(key.clone());
        self.changes.removed_ratings.remove(&key);
        self.ratings.insert(key, row);
    }

    /// Forgets a rating.
    pub(crate) fn drop_rating(&mut self, key: RatingKey) {
        self.ratings.remove(&key);
        self.changes.changed_ratings.remove(&key);
        self.changes.removed_ratings.insert(key);
    }

    /// Keeps a conflict as it is now.
    pub(crate) fn keep_conflict(&mut self, row: conflict::Model) {
        self.changes.changed_conflicts.insert(row.id.clone());
        self.conflicts.insert(row.id.clone(), row);
    }
}
