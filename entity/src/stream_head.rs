//! The head of a stream: its epoch, the last position given out, how far it was
//! trimmed, and how many of its user's commands have no final status.

use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "stream_head")]
pub struct Model {
    /// `user:{user_id}` or the name of a shared stream.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub stream: String,
    /// 8 characters of `[0-9a-z]`, made with the row; renewed after a restore.
    #[sea_orm(column_type = "Text")]
    pub epoch: String,
    /// The last position given out; 0 before the first.
    pub seq: i64,
    /// The highest position removed; 0 while none is.
    pub trimmed: i64,
    /// Commands of the stream's user without a final status.
    pub pending: i64,
}

impl ActiveModelBehavior for ActiveModel {}
