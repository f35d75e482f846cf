//! How far a device has acked a stream.

use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "device_cursor")]
pub struct Model {
    /// The device's user.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub user_id: String,
    /// The device.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub device_id: String,
    /// The stream.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub stream: String,
    /// The epoch the position belongs to.
    #[sea_orm(column_type = "Text")]
    pub epoch: String,
    /// The position.
    pub seq: i64,
    /// Milliseconds since the epoch.
    pub at: i64,
}

impl ActiveModelBehavior for ActiveModel {}
