//! What a caller's Idempotency-Key stands for.

use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "idempotency_key")]
pub struct Model {
    /// `sub` of the caller.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub caller: String,
    /// The key as sent.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub key: String,
    /// SHA-256 of the request, hex.
    #[sea_orm(column_type = "Text")]
    pub request_hash: String,
    /// The command made, where it was one.
    #[sea_orm(column_type = "Text", nullable)]
    pub command_id: Option<String>,
    /// The answer given, where it was not a command; JSON.
    #[sea_orm(column_type = "Text", nullable)]
    pub answer: Option<String>,
    /// When it may be forgotten, milliseconds since the epoch.
    pub expires_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}
