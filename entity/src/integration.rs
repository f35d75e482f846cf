//! A user's connection to a cloud provider: its tokens, sealed, and how the
//! synchronisation stands. A connection that was ended stays as a row without
//! tokens.

use sea_orm::entity::prelude::*;
use tidegate_protocol::entry::{IntegrationError, IntegrationStatus};

use crate::word::words;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "integration")]
pub struct Model {
    /// Whose it is.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub user_id: String,
    /// The provider's word.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub provider: String,
    /// Whether there are tokens.
    pub connected: bool,
    /// Raised by each connect and each end: who works on an older connection
    /// changes nothing.
    pub connection: i64,
    /// The provider's id of the user, where it is known.
    #[sea_orm(column_type = "Text", nullable)]
    pub owner_id: Option<String>,
    /// How it stands, as devices were told.
    #[sea_orm(column_type = "Text")]
    pub status: IntegrationStatus,
    /// Why the last run failed.
    #[sea_orm(column_type = "Text", nullable)]
    pub error: Option<IntegrationError>,
    /// A sentence about that.
    #[sea_orm(column_type = "Text", nullable)]
    pub error_detail: Option<String>,
    /// What requests are made with, sealed.
    #[sea_orm(column_type = "Text", nullable)]
    pub access_token: Option<String>,
    /// What it is renewed with, sealed.
    #[sea_orm(column_type = "Text", nullable)]
    pub refresh_token: Option<String>,
    /// The one before, sealed: kept until the newest access token has worked.
    #[sea_orm(column_type = "Text", nullable)]
    pub refresh_token_before: Option<String>,
    /// When the access token ends, milliseconds.
    pub token_expires_at: Option<i64>,
    /// Raised by each change of the tokens.
    pub token_version: i64,
    /// Who renews them just now.
    #[sea_orm(column_type = "Text", nullable)]
    pub refresh_claim: Option<String>,
    /// Until when that one may take, milliseconds.
    pub refresh_claimed_until: Option<i64>,
    /// What the user granted, separated by spaces.
    #[sea_orm(column_type = "Text", nullable)]
    pub scopes: Option<String>,
    /// Since when it is connected, milliseconds.
    pub connected_at: Option<i64>,
    /// When a run last ended well, milliseconds.
    pub last_synced_at: Option<i64>,
    /// When there is something to be done, milliseconds; null: nothing until the
    /// user connects again.
    pub due_at: Option<i64>,
    /// When a request was last made for it, milliseconds: who waits for longest is
    /// served first.
    pub served_at: i64,
    /// Where a run is.
    #[sea_orm(column_type = "Text")]
    pub phase: Phase,
    /// The run that is under way, or was last.
    #[sea_orm(column_type = "Text", nullable)]
    pub run_id: Option<String>,
    /// Whether devices are told of its end: a first run, or one asked for.
    pub is_told: bool,
    /// Where the run goes on, as JSON text.
    #[sea_orm(column_type = "Text", nullable)]
    pub checkpoint: Option<String>,
    /// The newest start read of each kind, as JSON text.
    #[sea_orm(column_type = "Text", nullable)]
    pub newest: Option<String>,
}

impl ActiveModelBehavior for ActiveModel {}

words! {
    /// Where a run is.
    Phase {
        /// There is none.
        None = "none";
        /// It has not begun.
        Queued = "queued";
        /// It has begun.
        Running = "running";
        /// It has begun, and waits for a rate window.
        Waiting = "waiting";
    }
}
