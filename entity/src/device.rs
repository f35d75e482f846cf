//! One app install of a user.

use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "device")]
pub struct Model {
    /// Its user. The same device id under another user is another device.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub user_id: String,
    /// Client-made UUID, in lower case.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub device_id: String,
    /// `ios`, `android`, `web` or `other`.
    #[sea_orm(column_type = "Text")]
    pub platform: String,
    /// A name a person recognises.
    #[sea_orm(column_type = "Text", nullable)]
    pub name: Option<String>,
    /// The app's version.
    #[sea_orm(column_type = "Text", nullable)]
    pub app_version: Option<String>,
    /// JSON array of texts.
    #[sea_orm(column_type = "Text")]
    pub capabilities: String,
    /// `fcm` or `webpush`.
    #[sea_orm(column_type = "Text", nullable)]
    pub push_provider: Option<String>,
    /// The provider's token; a secret. One device holds it at a time.
    #[sea_orm(column_type = "Text", nullable)]
    pub push_token: Option<String>,
    /// SHA-256 of the token, hex: what makes it unique, for tokens are longer
    /// than an index takes.
    #[sea_orm(column_type = "Text", nullable)]
    pub push_token_hash: Option<String>,
    /// `none`, `active`, `invalid` or `stale`.
    #[sea_orm(column_type = "Text")]
    pub push_state: String,
    /// Why the last token ended, in words for an operator.
    #[sea_orm(column_type = "Text", nullable)]
    pub push_error: Option<String>,
    /// When the token was last registered.
    pub push_refreshed_at: Option<i64>,
    /// Whether data changes may wake it.
    pub wants_delta_push: bool,
    /// Milliseconds since the epoch.
    pub created_at: i64,
    /// When it last said hello, polled, acked or reported.
    pub last_seen_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}
