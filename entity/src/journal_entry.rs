//! An entry of a stream, as it is delivered.

use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "journal_entry")]
pub struct Model {
    /// The stream.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub stream: String,
    /// Its position: dense from 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub seq: i64,
    /// Kind on the wire.
    #[sea_orm(column_type = "Text")]
    pub kind: String,
    /// Commit time, milliseconds since the epoch.
    pub at: i64,
    /// Body as JSON text, delivered as stored.
    #[sea_orm(column_type = "Text")]
    pub body: String,
    /// The only device it concerns, where it names one.
    #[sea_orm(column_type = "Text", nullable)]
    pub device_id: Option<String>,
    /// The capability a device needs for it to concern it.
    #[sea_orm(column_type = "Text", nullable)]
    pub requires: Option<String>,
    /// The command it carries or closes.
    #[sea_orm(column_type = "Text", nullable)]
    pub command_id: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
