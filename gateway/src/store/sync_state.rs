//! How the synchronisation with an upstream stands: a singleton row.

use crate::store::order::Place;
use crate::store::table::{Changes, Table};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel,
    QueryFilter, QuerySelect,
};
use tidegate_entity::sync_state::{ActiveModel, Column, Entity, Model, Status};

use crate::store::write::Transaction;

/// The marketplace's row.
pub const MARKETPLACE: &str = "marketplace_sync";

/// The row as it is before anything happened.
pub fn initial() -> Model {
    Model {
        id: MARKETPLACE.to_owned(),
        status: Status::Idle,
        run_id: None,
        requested_at: None,
        last_sync_at: None,
        last_successful_sync_at: None,
        total_syncs: 0,
        successful_syncs: 0,
        failed_syncs: 0,
        error_count: 0,
        last_error: None,
        cursor: None,
        listed_at: 0,
        asked_until: None,
        unnamed_faults: 0,
        interval_s: None,
        strategy: None,
        socket_enabled: true,
        socket_connected: false,
        socket_connected_at: None,
        socket_message_at: None,
        socket_attempts: 0,
        socket_failures: 0,
        socket_reason: None,
        fallback_to_polling: false,
        next_attempt_at: None,
        reconnect_requested_at: None,
        ratings_requested_at: None,
    }
}

/// The row as it stands; the initial one where there is none yet.
pub async fn read(db: &impl ConnectionTrait) -> Result<Model, DbErr> {
    let row = Entity::find_by_id(MARKETPLACE).one(db).await?;
    Ok(row.unwrap_or_else(initial))
}

/// The row, locked for the rest of the transaction; made if need be.
pub async fn lock(db: &Transaction) -> Result<Model, DbErr> {
    db.locks(Place::SyncState);
    let find = || Entity::find().filter(Column::Id.eq(MARKETPLACE)).lock_exclusive();
    if let Some(row) = find().one(db).await? {
        return Ok(row);
    }
    let on_conflict = OnConflict::column(Column::Id).do_nothing().to_owned();
    let row: ActiveModel = initial().into();
    Entity::insert(row).on_conflict(on_conflict).exec_without_returning(db).await?;
    let row = find().one(db).await?;
    row.ok_or_else(|| DbErr::RecordNotFound("the row just made is gone".to_owned()))
}

/// Writes the row, which this transaction has locked.
pub async fn write(db: &impl ConnectionTrait, row: Model) -> Result<(), DbErr> {
    row.into_active_model().reset_all().update(db).await.map(drop)
}

impl Table for Entity {
    type Key = String;
    type Row = Model;
    type Select = ();

    const PLACE: Place = Place::SyncState;
    const LOCKS: bool = true;

    fn key(row: &Model) -> String {
        row.id.clone()
    }

    async fn load(tx: &Transaction, _: &[()]) -> Result<Vec<Model>, DbErr> {
        Ok(vec![lock(tx).await?])
    }

    async fn write(tx: &Transaction, changes: Changes<Self>) -> Result<(), DbErr> {
        for row in changes.upserts() {
            write(tx, row).await?;
        }
        Ok(())
    }
}
