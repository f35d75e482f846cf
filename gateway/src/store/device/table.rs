//! Devices in units of work.

use std::convert::Infallible;

use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use tidegate_entity::device::{Column, Entity, Model};
use tidegate_entity::device_cursor;
use tidegate_protocol::command::PushProvider;

use crate::store::device::{DeviceKey, lock_of_users, remove, remove_cursors, token_hash, upsert};
use crate::store::order::Place;
use crate::store::table::{Changes, Table};
use crate::store::write::Transaction;

/// Which devices a unit of work asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    /// All of a user.
    Of {
        /// The user.
        user_id: String,
    },
    /// The one that holds a push token.
    Holding {
        /// The provider that gave the token.
        provider: PushProvider,
        /// The token.
        token: String,
    },
}

impl Table for Entity {
    type Key = DeviceKey;
    type Row = Model;
    type Select = Wanted;

    const PLACE: Place = Place::Device;
    const LOCKS: bool = true;

    fn key(row: &Model) -> DeviceKey {
        DeviceKey { user_id: row.user_id.clone(), device_id: row.device_id.clone() }
    }

    async fn load(tx: &Transaction, wanted: &[Wanted]) -> Result<Vec<Model>, DbErr> {
        let (mut users, mut tokens) = (Vec::new(), Vec::new());
        for wanted in wanted {
            match wanted {
                Wanted::Of { user_id } => users.push(user_id.clone()),
                Wanted::Holding { provider, token } => tokens.push((*provider, token)),
            }
        }
        let mut found = lock_of_users(tx, &users).await?;
        for (provider, token) in tokens {
            tx.locks(Place::Device);
            let holders = Entity::find()
                .filter(Column::PushProvider.eq(provider))
                .filter(Column::PushTokenHash.eq(token_hash(token)))
                .order_by_asc(Column::UserId)
                .lock_exclusive();
            found.extend(holders.all(tx).await?);
        }
        Ok(found)
    }

    async fn write(tx: &Transaction, changes: Changes<Self>) -> Result<(), DbErr> {
        for key in &changes.removed {
            remove(tx, key).await?;
        }
        let mut rows = changes.upserts();
        // A token changes hands only after its old holder has let go.
        rows.sort_by_key(|row| row.push_token.is_some());
        upsert(tx, rows).await
    }
}

/// What devices have acked, in units of work: only forgotten there.
impl Table for device_cursor::Entity {
    type Key = DeviceKey;
    type Row = Infallible;
    type Select = Infallible;

    const PLACE: Place = Place::DeviceCursor;

    fn key(row: &Infallible) -> DeviceKey {
        match *row {}
    }

    async fn load(_: &Transaction, _: &[Infallible]) -> Result<Vec<Infallible>, DbErr> {
        Ok(Vec::new())
    }

    async fn write(tx: &Transaction, changes: Changes<Self>) -> Result<(), DbErr> {
        remove_cursors(tx, &changes.removed).await
    }
}
