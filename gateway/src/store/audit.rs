//! The audit log: appended to in the transaction of what it tells.

use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};
use tidegate_entity::audit_log::{ActiveModel, Column, Entity, Model};

use crate::store::bulk::{KEYS_PER_STATEMENT, insert_rows, one_of};
use crate::store::order::Place;
use crate::store::table::{Changes, Table};
use crate::store::write::Transaction;
use std::convert::Infallible;

/// Appends rows.
pub async fn insert(db: &impl ConnectionTrait, rows: Vec<Model>) -> Result<(), DbErr> {
    insert_rows(db, rows.into_iter().map(ActiveModel::from), None).await
}

/// Rows about a subject, in no order.
pub async fn about(db: &impl ConnectionTrait, subject: &str) -> Result<Vec<Model>, DbErr> {
    Entity::find().filter(Column::Subject.eq(subject)).all(db).await
}

/// Ids of rows older than a time.
pub async fn before(
    db: &impl ConnectionTrait,
    before: i64,
    limit: u64,
) -> Result<Vec<String>, DbErr> {
    Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Column::At.lt(before))
        .limit(limit)
        .into_tuple()
        .all(db)
        .await
}

/// Forgets rows.
pub async fn remove(db: &impl ConnectionTrait, ids: &[String]) -> Result<(), DbErr> {
    for chunk in ids.chunks(KEYS_PER_STATEMENT) {
        let these = one_of(db, Column::Id, chunk.iter().map(String::as_str));
        Entity::delete_many().filter(these).exec(db).await?;
    }
    Ok(())
}

impl Table for Entity {
    type Key = String;
    type Row = Model;
    /// Nothing decides by what is in it.
    type Select = Infallible;

    const PLACE: Place = Place::AuditLog;

    fn key(row: &Model) -> String {
        row.id.clone()
    }

    async fn load(_: &Transaction, _: &[Infallible]) -> Result<Vec<Model>, DbErr> {
        Ok(Vec::new())
    }

    async fn write(tx: &Transaction, changes: Changes<Self>) -> Result<(), DbErr> {
        insert(tx, changes.new).await
    }
}
