//! Whose edits are in which conflict: the way from a user to the conflicts.

use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "conflict_editor")]
pub struct Model {
    /// Whose edit is in it.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub user_id: String,
    /// The conflict.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub conflict_id: String,
}

impl ActiveModelBehavior for ActiveModel {}
