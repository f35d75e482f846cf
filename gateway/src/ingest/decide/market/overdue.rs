//! Items that upstream has not confirmed for too long: taken back from devices,
//! so that these hold nothing that HTTP denies.

use crate::config::check::MARKETPLACE;
use crate::ingest::decide::market::item;
use crate::ingest::market::Overdue;
use crate::ingest::working::{Needs, Working};
use crate::store::market::shown::confirmed_at;

pub(crate) fn needs(overdue: &Overdue, needs: &mut Needs) {
    needs.streams.insert(MARKETPLACE.to_owned());
    needs.market.extend(overdue.keys.iter().cloned());
}

/// Takes back those that were not confirmed meanwhile.
pub(crate) fn withdraw(working: &mut Working, overdue: &Overdue) {
    for key in &overdue.keys {
        let Some(mut row) = working.market.get(key).cloned() else { continue };
        let is_upstreams = row.data.is_some() && row.remote_data.is_some();
        let is_held = is_upstreams && row.withdrawn_at.is_none();
        if is_held && confirmed_at(&row) < overdue.since {
            item::take_back(working, &mut row);
            working.keep_item(row);
        }
    }
}
