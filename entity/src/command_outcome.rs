//! What a device reported about an attempt of a command. Resends add no row.

use sea_orm::entity::prelude::*;
use tidegate_protocol::command::{Channel, Outcome};

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "command_outcome")]
pub struct Model {
    /// The command.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub command_id: String,
    /// The device that reported.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub device_id: String,
    /// The attempt it reported on.
    #[sea_orm(primary_key, auto_increment = false)]
    pub attempt: i32,
    /// What it made of it.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub status: Outcome,
    /// The device's words.
    #[sea_orm(column_type = "Text", nullable)]
    pub error: Option<String>,
    /// Whether it takes the device out of the eligible ones.
    pub settles: bool,
    /// Whether it came too late to change anything.
    pub late: bool,
    /// `socket` or `http`.
    #[sea_orm(column_type = "Text")]
    pub channel: Channel,
    /// Milliseconds since the epoch.
    pub at: i64,
}

impl ActiveModelBehavior for ActiveModel {}
