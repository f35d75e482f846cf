//! Why a turn came to nothing, in terms of what follows from it.

use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::entry::IntegrationError;
use tidegate_services::provider::{CauseKind, ProviderError};

use crate::error::ApiError;

/// Why a turn came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Another node leads, or the connection ended: nothing is to be noted.
    Over,
    /// Our own database, or writer: tried again soon, and nobody's fault.
    Ours,
    /// A rate window is spent until then; milliseconds.
    Spent { until: i64 },
    /// The run failed.
    Failed(IntegrationError, String),
}

impl Fault {
    /// What a refusal of the writer means.
    pub(super) fn of(error: &ApiError) -> Self {
        match error.code {
            ErrorCode::NotFound => Self::Over,
            _ => Self::Ours,
        }
    }

    /// What a provider's refusal means. A rate limit closes windows, which says
    /// until when: `until`.
    pub(super) fn of_provider(error: &ProviderError, until: i64) -> Self {
        let failed = |error, detail: &str| Self::Failed(error, detail.to_owned());
        match error {
            ProviderError::RateLimited { .. } => Self::Spent { until },
            ProviderError::Unauthorized | ProviderError::DeadRefresh => failed(
                IntegrationError::ReconnectRequired,
                "the provider does not accept the tokens any more",
            ),
            ProviderError::Gone => failed(
                IntegrationError::ProviderGone,
                "the provider's service was switched off (HTTP 410)",
            ),
            ProviderError::Inactive => failed(
                IntegrationError::AppInactive,
                "the provider does not serve this installation: its owner must act",
            ),
            ProviderError::Refused { status, said } => {
                let said = said.as_deref().map_or(String::new(), |said| format!(" {said}"));
                Self::Failed(IntegrationError::ProviderError, format!("HTTP {status}{said}"))
            }
            ProviderError::Unavailable(cause) => {
                let detail = match cause.kind {
                    CauseKind::Status(status) => format!("HTTP {status}"),
                    CauseKind::Transport(_) => "no answer, or a part of one".to_owned(),
                    CauseKind::TooLarge => "the answer is too large".to_owned(),
                    CauseKind::Unreadable => "the answer cannot be read".to_owned(),
                };
                Self::Failed(IntegrationError::ProviderUnavailable, detail)
            }
        }
    }
}

/// Whether calls end until the user connects again.
pub(super) const fn is_permanent(error: IntegrationError) -> bool {
    matches!(error, IntegrationError::ReconnectRequired | IntegrationError::ProviderGone)
}
