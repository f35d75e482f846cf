//! Items that upstream has not confirmed for too long: taken back from devices,
//! so that these hold nothing that HTTP denies.

use tidegate_entity::market_item;

use crate::config::check::MARKETPLACE;
use crate::error::ApiResult;
use crate::ingest::IngestOptions;
use crate::ingest::market::Overdue;
use crate::ingest::market::item;
use crate::ingest::unit::{ReadSet, UnitOfWork};
use crate::ingest::write::Write;
use crate::store::market::shown::confirmed_at;

impl Write for Overdue {
    type Draft = ();
    type Answer = ();

    fn weight(&self) -> usize {
        self.keys.len()
    }

    fn reads(&self, reads: &mut ReadSet, _: &IngestOptions) {
        reads.streams.insert(MARKETPLACE.to_owned());
        for key in &self.keys {
            reads.rows.want::<market_item::Entity>(key.clone());
        }
    }

    fn decide(&self, unit: &mut UnitOfWork) -> ApiResult<()> {
        withdraw(unit, self);
        Ok(())
    }

    fn answer(&self, _: &mut UnitOfWork, (): ()) -> ApiResult<()> {
        Ok(())
    }
}

/// Takes back those that were not confirmed meanwhile.
fn withdraw(unit: &mut UnitOfWork, overdue: &Overdue) {
    for key in &overdue.keys {
        let Some(mut row) = unit.rows.get::<market_item::Entity>(key).cloned() else { continue };
        let is_upstreams = row.data.is_some() && row.remote_data.is_some();
        let is_held = is_upstreams && row.withdrawn_at.is_none();
        if is_held && confirmed_at(&row) < overdue.since {
            item::take_back(unit, &mut row);
            unit.rows.put::<market_item::Entity>(row);
        }
    }
}
