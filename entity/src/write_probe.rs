//! One row a node, written when nothing else is: to learn whether writing works.

use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "write_probe")]
pub struct Model {
    /// The node's name.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub node: String,
    /// When it was written, milliseconds.
    pub at: i64,
    /// Which history of the database the node saw: another one may lack what
    /// the node announced.
    #[sea_orm(column_type = "Text", nullable)]
    pub history: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}
