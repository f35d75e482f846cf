//! Wake requests in units of work: noted without being loaded.

use std::convert::Infallible;

use sea_orm::DbErr;
use tidegate_entity::push_wake::Entity;

use crate::store::device::DeviceKey;
use crate::store::order::Place;
use crate::store::table::{Changes, Table};
use crate::store::wake::{WantedWake, remove, want};
use crate::store::write::Transaction;

impl Table for Entity {
    type Key = DeviceKey;
    type Row = WantedWake;
    type Select = Infallible;

    const PLACE: Place = Place::PushWake;

    fn key(wake: &WantedWake) -> DeviceKey {
        wake.device.clone()
    }

    async fn load(_: &Transaction, _: &[Infallible]) -> Result<Vec<WantedWake>, DbErr> {
        Ok(Vec::new())
    }

    async fn write(tx: &Transaction, changes: Changes<Self>) -> Result<(), DbErr> {
        remove(tx, &changes.removed).await?;
        let now = changes.now;
        want(tx, &changes.upserts(), now).await
    }
}
