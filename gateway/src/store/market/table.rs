//! Items of the marketplace, and when listings named them, in units of work.

use std::convert::Infallible;

use sea_orm::DbErr;
use tidegate_entity::conflict;
use tidegate_entity::market_item::{Entity, Kind, Model};
use tidegate_protocol::time::Timestamp;

use crate::store::conflict::Wanted;
use crate::store::market::{ItemKey, confirm, load, upsert};
use crate::store::order::Place;
use crate::store::table::{Changes, Table, Tables};
use crate::store::write::Transaction;

impl Table for Entity {
    type Key = ItemKey;
    type Row = Model;
    type Select = ItemKey;

    const PLACE: Place = Place::MarketItem;

    fn key(row: &Model) -> ItemKey {
        (row.kind, row.id.clone())
    }

    async fn load(tx: &Transaction, wanted: &[ItemKey]) -> Result<Vec<Model>, DbErr> {
        load(tx, wanted).await
    }

    fn follow(row: &Model, later: &mut Tables) {
        if let Some(id) = &row.conflict_id {
            later.want::<conflict::Entity>(Wanted::Id(id.clone()));
        }
    }

    async fn write(tx: &Transaction, changes: Changes<Self>) -> Result<(), DbErr> {
        upsert(tx, changes.upserts()).await
    }
}

/// Items that a listing named as they are here.
#[derive(Clone, Debug)]
pub struct Confirmed {
    /// What they are.
    pub kind: Kind,
    /// Their ids.
    pub ids: Vec<String>,
    /// When they were asked for, by our clock.
    pub at: Timestamp,
}

/// When listings named items: written without loading them.
#[derive(Debug)]
pub struct Listings;

impl Table for Listings {
    /// The first item named, and when.
    type Key = (Kind, Option<String>, Timestamp);
    type Row = Confirmed;
    type Select = Infallible;

    const PLACE: Place = Place::MarketListing;

    fn key(row: &Confirmed) -> Self::Key {
        (row.kind, row.ids.first().cloned(), row.at)
    }

    async fn load(_: &Transaction, _: &[Infallible]) -> Result<Vec<Confirmed>, DbErr> {
        Ok(Vec::new())
    }

    async fn write(tx: &Transaction, changes: Changes<Self>) -> Result<(), DbErr> {
        for listed in changes.new {
            confirm(tx, listed.kind, &listed.ids, listed.at.millis()).await?;
        }
        Ok(())
    }
}
