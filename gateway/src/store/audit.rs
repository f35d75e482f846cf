//! The audit log: appended to in the transaction of what it tells.

use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};
use tidegate_entity::audit_log::{ActiveModel, Column, Entity, Model};

use crate::store::insert_rows;

/// Appends rows.
pub async fn insert(db: &impl ConnectionTrait, rows: Vec<Model>) -> Result<(), DbErr> {
    insert_rows(db, rows.into_iter().map(ActiveModel::from), None).await
}

/// Rows about a subject, in no order.
pub async fn about(db: &impl ConnectionTrait, subject: &str) -> Result<Vec<Model>, DbErr> {
    Entity::find().filter(Column::Subject.eq(subject)).all(db).await
}
