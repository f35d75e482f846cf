//! The nights of a user that end on one day, one of each source.

use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sleep_record")]
pub struct Model {
    /// The user.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub user_id: String,
    /// The local day, `yyyy-mm-dd`.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub date: String,
    /// From 1; goes on when all nights are gone.
    pub version: i64,
    /// JSON text: the nights by source.
    #[sea_orm(column_type = "Text")]
    pub nights: String,
    /// JSON text: the night that devices hold; null when there is none.
    #[sea_orm(column_type = "Text", nullable)]
    pub body: Option<String>,
    /// Milliseconds since the epoch.
    pub updated_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}
