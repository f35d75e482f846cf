//! How the synchronisation with an upstream stands: one row per upstream.

use sea_orm::entity::prelude::*;

use crate::word::words;

/// A row.
#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sync_state")]
pub struct Model {
    /// `marketplace_sync`.
    #[sea_orm(primary_key, auto_increment = false, column_type = "Text")]
    pub id: String,
    /// Whether a run is under way, and if not how the last one ended.
    #[sea_orm(column_type = "Text")]
    pub status: Status,
    /// The run that is under way, or was last.
    #[sea_orm(column_type = "Text", nullable)]
    pub run_id: Option<String>,
    /// When somebody asked for a run that has not begun.
    pub requested_at: Option<i64>,
    /// When the last run ended, however.
    pub last_sync_at: Option<i64>,
    /// When a run last ended well.
    pub last_successful_sync_at: Option<i64>,
    /// Runs that ended, failed ones included.
    pub total_syncs: i64,
    /// Runs that ended well.
    pub successful_syncs: i64,
    /// Runs that failed.
    pub failed_syncs: i64,
    /// Failures in a row.
    pub error_count: i64,
    /// Why the last run failed; null after one that ended well.
    #[sea_orm(column_type = "Text", nullable)]
    pub last_error: Option<String>,
    /// Where a run that was cut goes on, as JSON text.
    #[sea_orm(column_type = "Text", nullable)]
    pub cursor: Option<String>,
    /// When the last complete listing began.
    pub listed_at: i64,
    /// Until when upstream asked for patience, milliseconds: nothing is asked of
    /// it before.
    pub asked_until: Option<i64>,
    /// Items of the last listing that could not be read, not even their ids.
    pub unnamed_faults: i64,
    /// Changed at run time: seconds between runs.
    pub interval_s: Option<i64>,
    /// Changed at run time: how conflicts are decided.
    #[sea_orm(column_type = "Text", nullable)]
    pub strategy: Option<String>,
    /// Whether the socket may be used.
    pub socket_enabled: bool,
    /// Whether the socket is up.
    pub socket_connected: bool,
    /// When it last came up.
    pub socket_connected_at: Option<i64>,
    /// When it last brought a message.
    pub socket_message_at: Option<i64>,
    /// Attempts to bring it up since it was last up.
    pub socket_attempts: i64,
    /// Attempts that failed in a row.
    pub socket_failures: i64,
    /// Why it went down last.
    #[sea_orm(column_type = "Text", nullable)]
    pub socket_reason: Option<String>,
    /// Whether only polling is used for a while.
    pub fallback_to_polling: bool,
    /// When the socket is tried again.
    pub next_attempt_at: Option<i64>,
    /// When somebody asked for the socket to be brought up anew.
    pub reconnect_requested_at: Option<i64>,
    /// When somebody asked for ratings to be uploaded; null once they are.
    pub ratings_requested_at: Option<i64>,
}

impl ActiveModelBehavior for ActiveModel {}

words! {
    /// How runs stand.
    Status {
        /// Nothing runs, and the last run ended well.
        Idle = "idle";
        /// A run is under way.
        Syncing = "syncing";
        /// The last run failed.
        Error = "error";
    }
}
