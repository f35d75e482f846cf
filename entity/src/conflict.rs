//! A conflict, open or resolved: the row of a verdict. Losers can be restored
//! from it.

use sea_orm::entity::prelude::*;
use tidegate_protocol::entry::{ConflictStatus, Severity};

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "conflict")]
pub struct Model {
    /// A time-ordered UUID.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub id: String,
    /// What it is about: `skill:{id}`, `rating:{skill_id}:{user_id}`.
    #[sea_orm(column_type = "Text")]
    pub subject: String,
    /// Who edited last.
    #[sea_orm(column_type = "Text", nullable)]
    pub user_id: Option<String>,
    /// Everybody whose edit is in it, as a JSON list: their devices are told. Null
    /// in rows of before there was more than one: `user_id` alone.
    #[sea_orm(column_type = "Text", nullable)]
    pub editors: Option<String>,
    /// Whether somebody still has to decide.
    #[sea_orm(column_type = "Text")]
    pub status: ConflictStatus,
    /// How grave it is.
    #[sea_orm(column_type = "Text")]
    pub severity: Severity,
    /// Base, local, remote, result and all that was decided, as JSON text.
    #[sea_orm(column_type = "Text")]
    pub verdict: String,
    /// When it was found, milliseconds.
    pub created_at: i64,
    /// When it was decided, milliseconds; null while open.
    pub resolved_at: Option<i64>,
    /// When a loser was brought back, milliseconds.
    pub restored_at: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}
