//! Integrations with cloud providers of health data.

use serde::{Deserialize, Serialize};

use crate::entry::{IntegrationError, IntegrationStatus};
use crate::time::Timestamp;

/// Longest `return_url`, in bytes.
pub const RETURN_URL_BYTES: usize = 2_048;

/// How an integration stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct IntegrationView {
    /// `strava`, `google_health`, `oura`, `fitbit`.
    pub provider: String,
    /// Whether the user has connected it.
    pub connected: bool,
    /// How it stands; `syncing` also while a run is queued.
    pub sync_status: IntegrationStatus,
    /// Why the last run failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_error: Option<IntegrationError>,
    /// A sentence about that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_error_detail: Option<String>,
    /// When a run last ended well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub last_synced_at: Option<Timestamp>,
    /// When the next run begins, or the one under way goes on, at the earliest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub next_sync_at: Option<Timestamp>,
    /// Since when it is connected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, format = DateTime))]
    pub connected_at: Option<Timestamp>,
    /// What the user granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
}

/// Asks where to send a user who is to connect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConnectIntegration {
    /// Where the browser goes at the end, with `provider`, `status` (`connected` or
    /// `error`) and `error` in its query; begins with one of those configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub return_url: Option<String>,
}

/// Where to send the user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConnectAnswer {
    /// The provider's page, to be opened in a browser.
    pub authorize_url: String,
    /// Until when the user may come back from it.
    #[cfg_attr(feature = "openapi", schema(value_type = String, format = DateTime))]
    pub expires_at: Timestamp,
}

/// A run was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SyncAccepted {
    /// The run.
    pub sync_id: String,
    /// Always `accepted`.
    pub status: String,
}
