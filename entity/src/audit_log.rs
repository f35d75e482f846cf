//! Who did what that an operator must be able to look up.

use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_log")]
pub struct Model {
    /// A time-ordered UUID.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub id: String,
    /// Milliseconds since the epoch.
    pub at: i64,
    /// `sub` of the caller.
    #[sea_orm(column_type = "Text")]
    pub actor: String,
    /// A stable word, such as `conflict.resolve`.
    #[sea_orm(column_type = "Text")]
    pub action: String,
    /// What it was done to.
    #[sea_orm(column_type = "Text")]
    pub subject: String,
    /// More, as JSON text; never payloads.
    #[sea_orm(column_type = "Text", nullable)]
    pub detail: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
