//! What a body metric of a user is on a day: derived from the day's entry.

use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "body_metric")]
pub struct Model {
    /// The user.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub user_id: String,
    /// The field of the entry.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub metric: String,
    /// The local day, `yyyy-mm-dd`.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub date: String,
    /// In thousandths.
    pub value: i64,
    /// When it was measured, or arrived; milliseconds since the epoch.
    pub at: i64,
    /// Who says so.
    #[sea_orm(column_type = "Text")]
    pub source: String,
}

impl ActiveModelBehavior for ActiveModel {}
