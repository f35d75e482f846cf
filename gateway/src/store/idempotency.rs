//! What callers' Idempotency-Keys stand for.

use sea_orm::sea_query::{Expr, ExprTrait as _};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};
use tidegate_entity::idempotency_key::{ActiveModel, Column, Entity, Model};
use tidegate_entity::{command, command_delivery};

use crate::store::bulk::{KEYS_PER_STATEMENT, in_pairs, insert_rows, one_of};
use crate::store::command::Wanted;
use crate::store::order::Place;
use crate::store::table::{Changes, Table, Tables};
use crate::store::write::Transaction;

/// The rows of these (caller, key) pairs.
pub async fn load(
    db: &impl ConnectionTrait,
    keys: &[(String, String)],
) -> Result<Vec<Model>, DbErr> {
    let mut found = Vec::new();
    for chunk in keys.chunks(KEYS_PER_STATEMENT) {
        let pairs = chunk.iter().map(|(caller, key)| (caller.as_str(), key.as_str()));
        let query = Entity::find()
            // One caller may have millions of keys.
            .filter(one_of(db, Column::Key, chunk.iter().map(|(_, key)| key.as_str())))
            .filter(in_pairs(db, [Column::Caller, Column::Key], pairs));
        found.extend(query.all(db).await?);
    }
    Ok(found)
}

/// New keys.
pub async fn insert(db: &impl ConnectionTrait, rows: Vec<Model>) -> Result<(), DbErr> {
    insert_rows(db, rows.into_iter().map(ActiveModel::from), None).await
}

/// (caller, key) pairs that had their time.
pub async fn expired(
    db: &impl ConnectionTrait,
    now: i64,
    limit: u64,
) -> Result<Vec<(String, String)>, DbErr> {
    let query = Entity::find().select_only().column(Column::Caller).column(Column::Key);
    query.filter(Column::ExpiresAt.lte(now)).limit(limit).into_tuple().all(db).await
}

/// Forgets these, unless one was given anew.
pub async fn remove_expired(
    db: &impl ConnectionTrait,
    keys: &[(String, String)],
    now: i64,
) -> Result<(), DbErr> {
    for chunk in keys.chunks(KEYS_PER_STATEMENT) {
        let pairs = chunk.iter().map(|(caller, key)| (caller.as_str(), key.as_str()));
        Entity::delete_many()
            .filter(one_of(db, Column::Key, chunk.iter().map(|(_, key)| key.as_str())))
            .filter(in_pairs(db, [Column::Caller, Column::Key], pairs))
            // Not the bare column: its index would find every expired key.
            .filter(Expr::col(Column::ExpiresAt).add(0).lte(now))
            .exec(db)
            .await?;
    }
    Ok(())
}

impl Table for Entity {
    /// Caller and key.
    type Key = (String, String);
    type Row = Model;
    type Select = (String, String);

    const PLACE: Place = Place::IdempotencyKey;

    fn key(row: &Model) -> Self::Key {
        (row.caller.clone(), row.key.clone())
    }

    async fn load(tx: &Transaction, wanted: &[Self::Select]) -> Result<Vec<Model>, DbErr> {
        load(tx, wanted).await
    }

    fn follow(row: &Model, later: &mut Tables) {
        if let Some(id) = &row.command_id {
            later.want::<command::Entity>(Wanted::Id(id.clone()));
            later.want::<command_delivery::Entity>(id.clone());
        }
    }

    async fn write(tx: &Transaction, changes: Changes<Self>) -> Result<(), DbErr> {
        insert(tx, changes.new).await
    }
}
