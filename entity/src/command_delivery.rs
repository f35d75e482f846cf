//! When an attempt of a command went to a device and was acked, written behind. A
//! crash may lose the newest rows; nothing depends on them.

use sea_orm::entity::prelude::*;

/// A row. Times are the first ones, in milliseconds since the epoch.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "command_delivery")]
pub struct Model {
    /// The command.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub command_id: String,
    /// The device.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub device_id: String,
    /// The attempt.
    #[sea_orm(primary_key, auto_increment = false)]
    pub attempt: i32,
    /// When it was written to the device's socket.
    pub socket_at: Option<i64>,
    /// When it was an answer to the device's poll.
    pub poll_at: Option<i64>,
    /// When the device had acked its position.
    pub acked_at: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
