//! Items of the marketplace as the API shows them.

use serde_json::value::RawValue;
use tidegate_entity::market_item;
use tidegate_entity::market_item::Fault;
use tidegate_protocol::rest::marketplace::{ItemView, LocalEdit};
use tidegate_protocol::time::Timestamp;

use crate::config::marketplace::Marketplace;
use crate::error::ApiError;
use crate::http::tag::short_hash;
use crate::marketplace::cache::{self, Age, Freshness};
use crate::state::AppState;
use crate::store::market::shown::{confirmed_at, shown};

/// When it makes sense to ask again for what upstream has not confirmed.
const RETRY_S: u32 = 60;

/// What the age of items is judged by.
pub(super) struct View<'a> {
    pub(super) settings: &'a Marketplace,
    pub(super) now: Timestamp,
}

/// An item as it is served, and the `ETag` of that.
pub(super) struct Shown {
    pub(super) item: ItemView,
    pub(super) tag: String,
}

impl<'a> View<'a> {
    pub(super) fn new(state: &'a AppState) -> Self {
        Self { settings: &state.config.marketplace, now: state.clock.now() }
    }

    pub(super) fn age(&self, row: &market_item::Model) -> Age {
        cache::age_of(self.settings, row, self.now)
    }

    /// Whether the item may be served.
    pub(super) fn is_served(&self, row: &market_item::Model) -> bool {
        self.age(row).freshness != Freshness::Gone
    }

    /// Refuses what upstream has not confirmed for too long, and says for how
    /// long.
    pub(super) fn unconfirmed(&self, what: &str, confirmed_at: i64) -> ApiError {
        let age_s = (self.now.millis() - confirmed_at).max(0) / 1000;
        let message = format!("the marketplace has not confirmed {what} for {age_s} s, too long");
        let age = format!("{age_s}");
        ApiError::unavailable(message).with_retry_after(RETRY_S).with_detail("age_s", age)
    }

    /// `None` for a deleted item.
    pub(super) fn item(&self, row: market_item::Model) -> Option<Shown> {
        let age = self.age(&row);
        let confirmed_at = confirmed_at(&row);
        let data = shown(&row)?;
        let tag = tag(&row, age.freshness);
        let edited = row.base_version.zip(row.edited_by).map(|(base_version, by)| LocalEdit {
            by,
            at: Timestamp::from_millis(row.edited_at.unwrap_or_default()),
            base_version,
        });
        let item = ItemView {
            id: row.id,
            version: row.version,
            data: RawValue::from_string(data).ok()?,
            updated_at: Timestamp::from_millis(row.updated_at),
            confirmed_at: Timestamp::from_millis(confirmed_at),
            expires_at: age.expires_at,
            stale: age.freshness != Freshness::Fresh,
            age_s: age.age_ms / 1000,
            edited,
            conflict_id: row.conflict_id,
            fault: row.fault.map(|fault| fault.to_string()),
        };
        Some(Shown { item, tag })
    }
}

/// Weak, because ages go on while nothing changes. An edit, a conflict, a fault
/// and figures of ratings come and go without a new version.
fn tag(row: &market_item::Model, freshness: Freshness) -> String {
    let mut tag = format!("W/\"{}", row.version);
    for (is_so, word) in [
        (freshness != Freshness::Fresh, "-stale"),
        (row.base_version.is_some(), "-edited"),
        (row.conflict_id.is_some(), "-conflict"),
    ] {
        if is_so {
            tag.push_str(word);
        }
    }
    let fault = row.fault.map(Fault::as_str);
    for (name, text) in [("fault", fault), ("rated", row.rated.as_deref())] {
        if let Some(text) = text {
            tag.extend(["-", name, "-", &short_hash(text.as_bytes())]);
        }
    }
    tag.push('"');
    tag
}
