//! A day of a user, with what every source said of each field.

use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "daily_entry")]
pub struct Model {
    /// The user.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub user_id: String,
    /// The local day, `yyyy-mm-dd`.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub date: String,
    /// From 1.
    pub version: i64,
    /// JSON text: what every source said.
    #[sea_orm(column_type = "Text")]
    pub said: String,
    /// JSON text: the row as devices hold it.
    #[sea_orm(column_type = "Text")]
    pub body: String,
    /// Milliseconds since the epoch.
    pub updated_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}
