//! How much of a provider's rate window all nodes together have used.

use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "rate_window")]
pub struct Model {
    /// The provider's word.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub provider: String,
    /// The user that it is counted for; empty: all of them together.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub user_id: String,
    /// Which window.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub name: String,
    /// When it ends, milliseconds.
    pub ends_at: i64,
    /// Requests that were made in it.
    pub used: i64,
    /// Requests that it allows.
    pub allowed: i64,
}

impl ActiveModelBehavior for ActiveModel {}
