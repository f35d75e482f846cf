//! What a caller is told when something is refused: one value that HTTP turns
//! into a status and a body, and the socket into an `error` frame.
//!
//! Detail from inside (database texts, chains of causes) is logged once where
//! it is turned into [`ApiError::internal`], and never sent.

use std::any::Any;

use sea_orm::DbErr;
use tidegate_durable::Fault;
use tidegate_protocol::code::{CloseReason, ErrorCode};
use tidegate_protocol::rest::{ErrorBody, ErrorDetail, FieldError};

/// A refusal with a stable code and a sentence that is safe to show.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// The stable word; it fixes the HTTP status.
    pub code: ErrorCode,
    /// A safe sentence.
    pub message: String,
    /// The fields at fault.
    pub details: Vec<FieldError>,
    /// Seconds after which trying again makes sense.
    pub retry_after_s: Option<u32>,
}

/// Shorthand for results that a caller may see.
pub type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    /// A refusal.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Vec::new(), retry_after_s: None }
    }

    /// Valid JSON with a wrong value at `field`.
    pub fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(ErrorCode::Invalid, "a field has a value that is not allowed")
            .with_detail(field, reason)
    }

    /// Something failed inside. Logs the cause; the caller learns nothing of it.
    ///
    /// The database's own trouble (full, away, late, locked) passes and is not a
    /// fault of ours: it answers [`unavailable`](Self::unavailable), whoever
    /// asks, and is logged where its state changes.
    pub fn internal<E: std::fmt::Display + 'static>(cause: &E) -> Self {
        let database: Option<&DbErr> = (cause as &dyn Any).downcast_ref();
        if let Some(fault) = database.map(Fault::of).filter(|fault| fault.is_passing()) {
            tracing::debug!(error = %cause, %fault, "the database refused");
            return Self::unavailable("the database cannot do this now; try again");
        }
        tracing::error!(error = %cause, "request failed inside");
        Self::new(ErrorCode::Internal, "something failed inside; try again later")
    }

    /// Not now; try again.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Unavailable, message).with_retry_after(1)
    }

    /// Names a field at fault.
    #[must_use]
    pub fn with_detail(mut self, field: impl Into<String>, reason: impl Into<String>) -> Self {
        let (field, reason) = (field.into(), reason.into());
        self.details.push(FieldError { field, reason, current_version: None });
        self
    }

    /// Names a field whose base moved, and the version that stands.
    #[must_use]
    pub fn with_current_version(mut self, field: impl Into<String>, version: i64) -> Self {
        self.details.push(FieldError {
            field: field.into(),
            reason: format!("the current version is {version}"),
            current_version: Some(version),
        });
        self
    }

    /// Says when trying again makes sense.
    #[must_use]
    pub const fn with_retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// The close code of a session that it ends, where it is the gateway's fault
    /// and not the client's.
    pub fn close_reason(&self) -> CloseReason {
        if self.code == ErrorCode::Unavailable {
            CloseReason::Unavailable
        } else {
            CloseReason::Internal
        }
    }

    /// The answer's body.
    pub fn body(&self) -> ErrorBody {
        ErrorBody { error: self.detail() }
    }

    /// The part of the body that a batch row carries.
    pub fn detail(&self) -> ErrorDetail {
        ErrorDetail {
            code: self.code,
            message: self.message.clone(),
            details: self.details.clone(),
        }
    }
}
