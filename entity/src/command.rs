//! A write the backend wants a device to perform, and where it stands.

use sea_orm::entity::prelude::*;
use tidegate_protocol::command::{Channel, CommandStatus, Priority};

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "command")]
pub struct Model {
    /// Lower-case UUID, time-ordered.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub id: String,
    /// Whose device shall act.
    #[sea_orm(column_type = "Text")]
    pub user_id: String,
    /// The only device, where one was named.
    #[sea_orm(column_type = "Text", nullable)]
    pub device_id: Option<String>,
    /// What to write, in the app's words.
    #[sea_orm(column_type = "Text")]
    pub data_type: String,
    /// Payload as JSON text, as received.
    #[sea_orm(column_type = "Text")]
    pub value: String,
    /// For the push and the device, not for the order.
    #[sea_orm(column_type = "Text")]
    pub priority: Priority,
    /// Capability a device must have.
    #[sea_orm(column_type = "Text", nullable)]
    pub requires: Option<String>,
    /// Status on the wire, except that an expiry not yet journalled still
    /// reads `pending` or `sent`.
    #[sea_orm(column_type = "Text")]
    pub status: CommandStatus,
    /// Whether it has no final status yet.
    pub open: bool,
    /// Attempts made, from 1.
    pub attempt: i32,
    /// Position of its first entry.
    pub seq: i64,
    /// Position of its current attempt's entry.
    pub last_seq: i64,
    /// Milliseconds since the epoch.
    pub created_at: i64,
    /// End of its life.
    pub expires_at: i64,
    /// When it got its final status.
    pub closed_at: Option<i64>,
    /// What comes next if no result does: the end of its life, or, once the
    /// current attempt is acked, the moment of another attempt.
    pub due_at: i64,
    /// The device whose outcome decided it.
    #[sea_orm(column_type = "Text", nullable)]
    pub decided_by: Option<String>,
    /// The attempt that decided it.
    pub decided_attempt: Option<i32>,
    /// The deciding device's words.
    #[sea_orm(column_type = "Text", nullable)]
    pub decided_error: Option<String>,
    /// The push provider that took a wake-up for it, if one did.
    #[sea_orm(column_type = "Text", nullable)]
    pub pushed_by: Option<Channel>,
}

impl ActiveModelBehavior for ActiveModel {}
