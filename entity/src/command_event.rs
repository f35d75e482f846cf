//! What happened on a command's way, written behind: pushes, and in databases of
//! before `command_delivery` also what was sent and acked. A crash may lose the
//! newest rows; nothing depends on them.

use sea_orm::entity::prelude::*;
use tidegate_protocol::command::{Channel, TimelineEvent};

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "command_event")]
pub struct Model {
    /// Row number; gives rows of the same millisecond their order.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The command.
    #[sea_orm(column_type = "Text")]
    pub command_id: String,
    /// Milliseconds since the epoch.
    pub at: i64,
    /// What happened.
    #[sea_orm(column_type = "Text")]
    pub event: TimelineEvent,
    /// What carried it.
    #[sea_orm(column_type = "Text", nullable)]
    pub channel: Option<Channel>,
    /// The device.
    #[sea_orm(column_type = "Text", nullable)]
    pub device_id: Option<String>,
    /// More, in words.
    #[sea_orm(column_type = "Text", nullable)]
    pub detail: Option<String>,
    /// What must not be told twice: event, device, channel and attempt of a
    /// delivery or its ack. Null for what may repeat.
    #[sea_orm(column_type = "Text", nullable)]
    pub once: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
