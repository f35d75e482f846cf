//! When attempts of commands went to devices and were acked: part of timelines,
//! written behind. Says as well whether an open command was sent, and to the first
//! look at an attempt whether it was acked: see `ingest/commands/lifecycle.rs`.

use sea_orm::sea_query::{Expr, ExprTrait, Func, OnConflict};
use sea_orm::{Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder};
use tidegate_entity::command_delivery::{ActiveModel, Column, Entity, Model};

use crate::store::bulk::{KEYS_PER_STATEMENT, insert_rows, one_of};
use crate::store::order::Place;
use crate::store::table::{Changes, Table};
use crate::store::write::Transaction;

/// Notes deliveries, one row a key; the first time of each step stays.
pub async fn upsert(db: &impl ConnectionTrait, rows: Vec<Model>) -> Result<(), DbErr> {
    const STEPS: [Column; 3] = [Column::SocketAt, Column::PollAt, Column::AckedAt];
    let known = |step: Column| Expr::col((Entity, step));
    let new = |step: Column| Expr::col(("excluded", step));
    let is_new = STEPS.into_iter().fold(Condition::any(), |any, step| {
        any.add(known(step).is_null().and(new(step).is_not_null()))
    });
    let mut on_conflict =
        OnConflict::columns([Column::CommandId, Column::DeviceId, Column::Attempt]);
    for step in STEPS {
        on_conflict.value(step, Func::coalesce([known(step), new(step)]));
    }
    on_conflict.action_cond_where(is_new);
    insert_rows(db, rows.into_iter().map(ActiveModel::from), Some(&on_conflict)).await
}

/// Those of these commands.
pub async fn of_commands(db: &impl ConnectionTrait, ids: &[String]) -> Result<Vec<Model>, DbErr> {
    let mut found = Vec::new();
    for chunk in ids.chunks(KEYS_PER_STATEMENT) {
        let query = Entity::find()
            .filter(one_of(db, Column::CommandId, chunk.iter().map(String::as_str)))
            .order_by_asc(Column::CommandId)
            .order_by_asc(Column::DeviceId)
            .order_by_asc(Column::Attempt);
        found.extend(query.all(db).await?);
    }
    Ok(found)
}

impl Table for Entity {
    type Key = (String, String, i32);
    type Row = Model;
    /// A command.
    type Select = String;

    const PLACE: Place = Place::CommandDelivery;

    fn key(row: &Model) -> Self::Key {
        (row.command_id.clone(), row.device_id.clone(), row.attempt)
    }

    async fn load(tx: &Transaction, wanted: &[String]) -> Result<Vec<Model>, DbErr> {
        of_commands(tx, wanted).await
    }

    async fn write(tx: &Transaction, changes: Changes<Self>) -> Result<(), DbErr> {
        upsert(tx, changes.upserts()).await
    }
}

/// Forgets those of these commands.
pub async fn remove_of(db: &impl ConnectionTrait, ids: &[String]) -> Result<(), DbErr> {
    for chunk in ids.chunks(KEYS_PER_STATEMENT) {
        Entity::delete_many()
            .filter(one_of(db, Column::CommandId, chunk.iter().map(String::as_str)))
            .exec(db)
            .await?;
    }
    Ok(())
}
