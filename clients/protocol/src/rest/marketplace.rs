//! The marketplace's cache, ratings and synchronisation, as the API shows
//! them.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::time::Timestamp;

/// Longest comment of a rating, in characters.
pub const COMMENT_CHARS: usize = 1_000;

/// A skill or a category as it stands.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ItemView {
    /// The skill's id, the category's name.
    pub id: String,
    /// Raised by every change; what `If-Match` takes.
    pub version: i64,
    /// The effective value: upstream's, with the local edit on it.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub data: Box<RawValue>,
    /// When it changed last.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub updated_at: Timestamp,
    /// When upstream confirmed it last.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub confirmed_at: Timestamp,
    /// Until when that counts as fresh.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub expires_at: Timestamp,
    /// Whether that time is over.
    pub stale: bool,
    /// Seconds since upstream confirmed it.
    pub age_s: i64,
    /// The local edit on it, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited: Option<LocalEdit>,
    /// The open conflict that keeps further edits waiting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflict_id: Option<String>,
    /// Why upstream's newest word on it was not taken: `unreadable`, `too_large`
    /// or `not_found`. What stands here is older, and nothing confirms it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// All categories.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CategoryPage {
    /// In order of names.
    pub items: Vec<ItemView>,
    /// More that are not served: upstream has not confirmed them for too long.
    /// Left out where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withheld: Option<u64>,
    /// Always null: they come at once.
    pub next_cursor: Option<String>,
}

/// A local edit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LocalEdit {
    /// Who made it.
    pub by: String,
    /// When.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub at: Timestamp,
    /// The version it started from.
    pub base_version: i64,
}

/// A numbered page of skills. `cursor` and `limit` do the same as `page` and
/// `page_size`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SkillPage {
    /// The page, in order of ids.
    pub items: Vec<ItemView>,
    /// Its number, from 1.
    pub page: u64,
    /// Items in a page.
    pub page_size: u64,
    /// Skills that match and are served.
    pub total: u64,
    /// More that match and are not served: upstream has not confirmed them for
    /// too long. Left out where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withheld: Option<u64>,
    /// Pages of them.
    pub total_pages: u64,
    /// Send it as `cursor` for the next page; null at the end.
    #[cfg_attr(feature = "openapi", schema(required = true))]
    pub next_cursor: Option<String>,
}

/// `POST /api/v1/marketplace/skills/{id}/rate`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RateSkill {
    /// 1 to 5.
    pub rating: i64,
    /// At most [`COMMENT_CHARS`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// A rating, kept and to be uploaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RatingView {
    /// Always true.
    pub success: bool,
    /// Stays the same while the user changes the rating.
    pub rating_id: String,
    /// The skill.
    pub skill_id: String,
    /// 1 to 5.
    pub rating: i64,
    /// What the user wrote.
    pub comment: Option<String>,
    /// `pending`: it is uploaded with the next batch.
    pub status: String,
    /// When it was given.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub rated_at: Timestamp,
}

/// `DELETE /api/v1/marketplace/skills/{id}/rate`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct RatingWithdrawn {
    /// Always true.
    pub success: bool,
    /// The rating that is no more.
    pub rating_id: String,
    /// The skill.
    pub skill_id: String,
    /// Whether upstream has it and keeps it: it offers no way to take a rating
    /// back.
    pub kept_upstream: bool,
}

/// `GET /api/v1/admin/sync/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SyncStatus {
    /// The polls.
    pub sync: PollStatus,
    /// The socket.
    pub websocket: SocketSummary,
    /// What they filled.
    pub cache: CacheSummary,
    /// What is wrong with items.
    pub faults: ItemFaults,
}

/// What is wrong with items of upstream's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ItemFaults {
    /// Items whose newest state was not taken.
    pub count: u64,
    /// Items of the last listing whose ids could not be read either.
    pub unnamed_count: i64,
    /// Items that were taken back from devices because upstream has not confirmed
    /// them for too long.
    pub withdrawn_count: u64,
    /// The first 100 of `count`.
    pub items: Vec<ItemFault>,
}

/// What is wrong with an item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ItemFault {
    /// `skill` or `category`.
    pub kind: String,
    /// The skill's id, the category's name.
    pub id: String,
    /// `unreadable`, `too_large` (more than 128 KiB, also merged with a local
    /// edit) or `not_found`.
    pub fault: String,
    /// Since when.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub since: Timestamp,
}

/// How the polls stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PollStatus {
    /// `idle`, `syncing` or `error`.
    pub status: String,
    /// When the last run ended, however.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub last_sync_at: Option<Timestamp>,
    /// When one last ended well.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub last_successful_sync_at: Option<Timestamp>,
    /// Runs that ended, failed ones included.
    pub total_syncs: i64,
    /// Runs that ended well.
    pub successful_syncs: i64,
    /// Runs that failed.
    pub failed_syncs: i64,
    /// Failures in a row.
    pub error_count: i64,
    /// Why the last run failed; null after one that ended well.
    pub last_error: Option<String>,
    /// When the last complete listing began.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub last_complete_listing_at: Option<Timestamp>,
    /// Until when upstream asked to be left alone: nothing is asked of it before.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub asked_until: Option<Timestamp>,
}

/// How the upstream socket stands, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SocketSummary {
    /// Whether it is up.
    pub connected: bool,
    /// When it last came up.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub last_connected_at: Option<Timestamp>,
    /// When it last brought a change.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub last_message_at: Option<Timestamp>,
    /// Whether only polling is used for a while.
    pub fallback_to_polling: bool,
    /// Failed attempts since it was last up.
    pub reconnect_attempts: i64,
}

/// What the cache holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CacheSummary {
    /// Skills.
    pub skills_count: u64,
    /// Categories.
    pub categories_count: u64,
}

/// `POST /api/v1/admin/sync/trigger`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SyncTriggered {
    /// The run that will begin.
    pub sync_id: String,
    /// `accepted`.
    pub status: String,
    /// The same for people.
    pub message: String,
}

/// `PUT /api/v1/admin/sync/config`: what is given changes, at once and for all
/// nodes, until it is changed again.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ChangeSyncConfig {
    /// `remote_wins`, `local_wins`, `newest_wins`, `merge` or `manual`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<String>,
    /// Seconds between two polls: 300 to 3600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_s: Option<u32>,
}

/// `GET /api/v1/admin/sync/config`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SyncConfig {
    /// Whether a marketplace is configured and on.
    pub enabled: bool,
    /// How conflicts are decided.
    pub strategy: String,
    /// Seconds between two polls.
    pub interval_s: i64,
    /// Skills asked for at once.
    pub page_size: u32,
    /// How long an item is fresh, seconds.
    pub ttl_s: u32,
    /// Whether the socket may be used.
    pub websocket_enabled: bool,
}

/// `GET /api/v1/admin/websocket/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SocketStatus {
    /// Whether it is up.
    pub connected: bool,
    /// Whether it may be used.
    pub websocket_enabled: bool,
    /// Where it is, without its token; empty where none is configured.
    pub ws_url: String,
    /// When it last came up.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub last_connected_at: Option<Timestamp>,
    /// When it last brought a change.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub last_message_at: Option<Timestamp>,
    /// Failed attempts since it was last up.
    pub reconnect_attempts: i64,
    /// Attempts that failed in a row.
    pub consecutive_failures: i64,
    /// Why it went down last.
    pub last_disconnect_reason: Option<String>,
    /// Whether only polling is used for a while.
    pub fallback_to_polling: bool,
    /// Until when.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub next_attempt_at: Option<Timestamp>,
    /// Messages taken in within a second.
    pub rate_limit_messages_per_sec: u32,
}

/// Answers to what an operator asks of the socket or of a rating.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Asked {
    /// Always true.
    pub success: bool,
    /// What happens now, for people.
    pub message: String,
    /// With `websocket/reconnect`: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconnect_triggered: Option<bool>,
    /// With `websocket/enable` and `disable`: whether it may be used now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub websocket_enabled: Option<bool>,
    /// With `ratings/failed/{id}/retry`: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_triggered: Option<bool>,
    /// With `sync/ratings`: ratings that wait for their upload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_count: Option<u64>,
}

/// A rating that upstream did not take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FailedRating {
    /// The rating.
    pub id: String,
    /// The skill.
    pub skill_id: String,
    /// Who rated it.
    pub user_id: String,
    /// 1 to 5.
    pub rating: i64,
    /// Why upstream did not take it: a stable word.
    pub error_message: Option<String>,
    /// When it was tried last.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub failed_at: Option<Timestamp>,
    /// How often it was.
    pub retry_count: i64,
}
