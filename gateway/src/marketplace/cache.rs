//! How fresh an item is: a pure rule.

use tidegate_entity::market_item;
use tidegate_protocol::time::Timestamp;

use crate::config::marketplace::Marketplace;
use crate::store::market::shown::confirmed_at;

/// How fresh an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Upstream confirmed it within its time.
    Fresh,
    /// It did so too long ago.
    Stale,
    /// So long ago that it is not served any more.
    Gone,
}

/// An item's age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age {
    /// How fresh it is.
    pub freshness: Freshness,
    /// Since upstream confirmed it, milliseconds.
    pub age_ms: i64,
    /// When its time is over.
    pub expires_at: Timestamp,
}

/// The age of what was confirmed at a time.
pub fn age(settings: &Marketplace, confirmed_at: i64, now: Timestamp) -> Age {
    let ttl_ms = i64::from(settings.ttl_s) * 1000;
    let age_ms = (now.millis() - confirmed_at).max(0);
    let freshness = if age_ms < ttl_ms {
        Freshness::Fresh
    } else if age_ms < settings.kept_ms() {
        Freshness::Stale
    } else {
        Freshness::Gone
    };
    Age { freshness, age_ms, expires_at: Timestamp::from_millis(confirmed_at + ttl_ms) }
}

/// How old an item is. One that was taken back from devices is not served
/// either; what upstream has no more is ours, and does not age.
pub fn age_of(settings: &Marketplace, item: &market_item::Model, now: Timestamp) -> Age {
    let age = age(settings, confirmed_at(item), now);
    let freshness = match (item.remote_data.is_some(), item.withdrawn_at.is_some()) {
        (false, _) => Freshness::Fresh,
        (true, true) => Freshness::Gone,
        (true, false) => age.freshness,
    };
    Age { freshness, ..age }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Marketplace {
        let loaded = crate::config::load::load(None, []);
        let mut settings = loaded.unwrap().marketplace;
        (settings.ttl_s, settings.stale_max_s) = (60, 30);
        settings
    }

    #[test]
    fn items_are_fresh_then_stale_then_gone() {
        let settings = settings();
        for (now, freshness) in [
            (1_000, Freshness::Fresh),
            (60_999, Freshness::Fresh),
            (61_000, Freshness::Stale),
            (90_999, Freshness::Stale),
            (91_000, Freshness::Gone),
        ] {
            let age = age(&settings, 1_000, Timestamp::from_millis(now));
            assert_eq!(age.freshness, freshness, "{now}");
            assert_eq!((age.age_ms, age.expires_at.millis()), (now - 1_000, 61_000));
        }
        let early = age(&settings, 1_000, Timestamp::from_millis(0));
        assert_eq!(early.age_ms, 0, "a clock that went back");
    }

    #[test]
    fn what_is_served_is_what_is_not_gone() {
        let settings = settings();
        for millis in [90_999, 91_000, 91_001] {
            let now = Timestamp::from_millis(millis);
            let is_gone = age(&settings, 1_000, now).freshness == Freshness::Gone;
            assert_eq!(1_000 < settings.served_since(now), is_gone, "{now}");
        }
    }
}
