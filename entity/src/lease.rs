//! Who may do what only one node may do at a time.

use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "lease")]
pub struct Model {
    /// What is leased.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub name: String,
    /// The node that holds it, or held it last.
    #[sea_orm(column_type = "Text")]
    pub holder: String,
    /// Raised whenever it is taken: who lost it cannot write with it.
    pub generation: i64,
    /// Until when it holds unless renewed, milliseconds.
    pub held_until: i64,
}

impl ActiveModelBehavior for ActiveModel {}
