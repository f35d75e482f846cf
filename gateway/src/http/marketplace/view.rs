//! Items of the marketplace as the API shows them.

use serde_json::value::RawValue;
use tidegate_entity::market_item;
use tidegate_protocol::rest::marketplace::{ItemView, LocalEdit};
use tidegate_protocol::time::Timestamp;

use crate::config::marketplace::Marketplace;
use crate::error::{ApiError, ApiResult};
use crate::state::AppState;
use crate::store;
use crate::upstream::cache::{self, Age, Freshness};

/// What the age of items is judged by.
pub(super) struct View<'a> {
    pub(super) settings: &'a Marketplace,
    /// When the last complete listing began.
    pub(super) listed_at: i64,
    pub(super) now: Timestamp,
}

impl<'a> View<'a> {
    pub(super) async fn read(state: &'a AppState) -> ApiResult<Self> {
        let sync = store::sync_state::read(state.store.readers()).await;
        let sync = sync.map_err(|error| ApiError::internal(&error))?;
        let settings = &state.config.marketplace;
        Ok(Self { settings, listed_at: sync.listed_at, now: state.clock.now() })
    }

    pub(super) fn age(&self, row: &market_item::Model) -> Age {
        let age = cache::age(self.settings, cache::confirmed_at(row, self.listed_at), self.now);
        // What upstream has no more is ours, and does not age.
        let is_ours = row.remote_data.is_none();
        Age { freshness: if is_ours { Freshness::Fresh } else { age.freshness }, ..age }
    }

    /// Whether the item may be served.
    pub(super) fn is_served(&self, row: &market_item::Model) -> bool {
        self.age(row).freshness != Freshness::Gone
    }

    /// `None` for a deleted item.
    pub(super) fn item(&self, row: market_item::Model) -> Option<ItemView> {
        let age = self.age(&row);
        let confirmed_at = cache::confirmed_at(&row, self.listed_at);
        let edited = row.base_version.zip(row.edited_by).map(|(base_version, by)| LocalEdit {
            by,
            at: Timestamp::from_millis(row.edited_at.unwrap_or_default()),
            base_version,
        });
        Some(ItemView {
            id: row.id,
            version: row.version,
            data: RawValue::from_string(row.data?).ok()?,
            updated_at: Timestamp::from_millis(row.updated_at),
            confirmed_at: Timestamp::from_millis(confirmed_at),
            expires_at: age.expires_at,
            stale: age.freshness != Freshness::Fresh,
            age_s: age.age_ms / 1000,
            edited,
            conflict_id: row.conflict_id,
        })
    }
}
