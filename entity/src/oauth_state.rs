//! An authorization that a user was sent away for.

use sea_orm::entity::prelude::*;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "oauth_state")]
pub struct Model {
    /// SHA-256 of the state, base64url: who reads the row cannot use it.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub state_hash: String,
    /// Whose it is.
    #[sea_orm(column_type = "Text")]
    pub user_id: String,
    /// For which provider.
    #[sea_orm(column_type = "Text")]
    pub provider: String,
    /// Who asked for it.
    #[sea_orm(column_type = "Text")]
    pub actor: String,
    /// The PKCE verifier, sealed; null where the provider has none.
    #[sea_orm(column_type = "Text", nullable)]
    pub verifier: Option<String>,
    /// Where the browser goes at the end.
    #[sea_orm(column_type = "Text", nullable)]
    pub return_url: Option<String>,
    /// Until when it is good, milliseconds.
    pub expires_at: i64,
}

impl ActiveModelBehavior for ActiveModel {}
