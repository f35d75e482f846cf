//! What callers' Idempotency-Keys stand for.

use sha2::{Digest as _, Sha256};
use tidegate_entity::idempotency_key::{Entity, Model};
use tidegate_protocol::code::ErrorCode;

use crate::error::{ApiError, ApiResult};
use crate::ingest::unit::{ReadSet, UnitOfWork};

/// A key is kept at least this long, and at least as long as its command:
/// 24 h in milliseconds.
pub(super) const KEY_LIFE_MS: i64 = 24 * 3600 * 1000;

/// A caller and its key, before the request is known.
pub type CallerKey = Option<(String, String)>;

/// A caller's Idempotency-Key.
#[derive(Clone, Debug)]
pub struct Idempotency {
    /// `sub` of the caller.
    pub caller: String,
    /// The key: 1 to 255 visible ASCII characters.
    pub key: String,
    /// What the request was.
    request_hash: String,
}

impl Idempotency {
    /// A key with its request: every field as the gateway understood it, so that
    /// white space around them does not matter.
    pub(super) fn of<T: serde::Serialize>(key: CallerKey, what: &str, request: &T) -> Option<Self> {
        let (caller, key) = key?;
        let mut hasher = Sha256::new();
        hasher.update(what);
        hasher.update(serde_json::to_vec(request).unwrap_or_default());
        Some(Self { caller, key, request_hash: format!("{:x}", hasher.finalize()) })
    }

    /// The key as rows are named.
    pub(super) fn name(&self) -> (String, String) {
        (self.caller.clone(), self.key.clone())
    }

    /// Asks for what the key stands for.
    pub(super) fn reads(&self, reads: &mut ReadSet) {
        reads.rows.want::<Entity>(self.name());
    }

    /// What the key stands for already; refused where that was another request.
    pub(super) fn known<'a>(&self, unit: &'a UnitOfWork) -> ApiResult<Option<&'a Model>> {
        match unit.rows.get::<Entity>(&self.name()) {
            Some(known) if known.request_hash != self.request_hash => Err(Self::mismatch()),
            known => Ok(known),
        }
    }

    /// The refusal of a key that came with another request before.
    pub(super) fn mismatch() -> ApiError {
        ApiError::new(
            ErrorCode::IdempotencyMismatch,
            "this Idempotency-Key was used with another request",
        )
    }

    /// The key from now on stands for this: a command, or an answer.
    pub(super) fn keep(
        &self,
        unit: &mut UnitOfWork,
        command_id: Option<String>,
        answer: Option<String>,
        expires_at: i64,
    ) {
        let least = unit.now.plus_millis(KEY_LIFE_MS).millis();
        unit.rows.put::<Entity>(Model {
            caller: self.caller.clone(),
            key: self.key.clone(),
            request_hash: self.request_hash.clone(),
            command_id,
            answer,
            expires_at: expires_at.max(least),
        });
    }
}
