//! Current state of a record of a shared stream. A deleted one stays as a row
//! without data, so that its versions go on.

use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "shared_record")]
pub struct Model {
    /// The stream.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub stream: String,
    /// The collection.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub collection: String,
    /// The record's id in its collection.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub id: String,
    /// From 1.
    pub version: i64,
    /// JSON text; null when deleted.
    #[sea_orm(column_type = "Text", nullable)]
    pub data: Option<String>,
    /// Milliseconds since the epoch.
    pub updated_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}
