//! A provider's word that something changed; it is looked at later, once.

use sea_orm::entity::prelude::*;

use crate::word::words;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "webhook_event")]
pub struct Model {
    /// Whom it concerns.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub user_id: String,
    /// What makes it the same one when it is sent again, hashed, with the provider.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub key: String,
    /// The provider's word.
    #[sea_orm(column_type = "Text")]
    pub provider: String,
    /// Whether it waits.
    #[sea_orm(column_type = "Text")]
    pub state: State,
    /// What is to be looked at, as JSON text.
    #[sea_orm(column_type = "Text")]
    pub what: String,
    /// Where looking goes on that takes several pages.
    #[sea_orm(column_type = "Text", nullable)]
    pub page: Option<String>,
    /// When it came, milliseconds.
    pub received_at: i64,
    /// When it may be looked at, milliseconds.
    pub due_at: i64,
    /// Looks that failed.
    pub attempts: i64,
}

impl ActiveModelBehavior for ActiveModel {}

words! {
    /// Whether it waits.
    State {
        /// It does.
        Pending = "pending";
        /// It was looked at; kept, so that it is known when it is sent again.
        Done = "done";
    }
}
