//! Stable words: error codes with their HTTP status, and close codes with
//! their reason. Clients branch on these and never on messages.

use serde::{Deserialize, Serialize};

// A word is taken as a bare token: wrapped as a `literal`, utoipa does not see it
// in the attribute, and the OpenAPI document would show Rust's names.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:tt $(, $number:literal)?;)+ }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant,)+ }

        impl $name {
            /// Every word there is, in the order of this table.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The stable word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// What the word stands for; `None` for a word not in the table.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }

            words!(@number $($variant $($number)?;)+);
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        #[cfg(feature = "rows")]
        $crate::stored!($name);
    };
    (@number $($variant:ident $number:literal;)+) => {
        /// The number that goes with the word: an HTTP status for errors, a
        /// WebSocket close code for closes.
        pub const fn number(self) -> u16 {
            match self { $(Self::$variant => $number),+ }
        }
    };
    (@number $($variant:ident;)+) => {};
}
pub(crate) use words;

words! {
    /// Why a request or a frame was refused.
    ErrorCode {
        /// The body or query is not what its syntax asks: not JSON, not UTF-8.
        Malformed = "malformed", 400;
        /// The state of an authorization is unknown, used or too old.
        InvalidState = "invalid_state", 400;
        /// A cloud provider was not connected: the user or the provider refused, or
        /// the grant leaves out activities.
        ConnectRefused = "connect_refused", 400;
        /// The upgrade lacks the subprotocol `tidegate.v1`.
        SubprotocolRequired = "subprotocol_required", 400;
        /// The request is not a WebSocket upgrade of version 13.
        UpgradeRequired = "upgrade_required", 426;
        /// No valid token.
        Unauthenticated = "unauthenticated", 401;
        /// The token's role may not do this.
        Forbidden = "forbidden", 403;
        /// The token is bound to another device.
        DeviceMismatch = "device_mismatch", 403;
        /// No such thing, or not visible to the caller.
        NotFound = "not_found", 404;
        /// No such device of this user.
        DeviceNotFound = "device_not_found", 404;
        /// No such shared stream is configured.
        StreamNotFound = "stream_not_found", 404;
        /// The path exists, the method does not.
        MethodNotAllowed = "method_not_allowed", 405;
        /// The body did not come in time.
        BodyTimeout = "body_timeout", 408;
        /// The same Idempotency-Key came with another body.
        IdempotencyMismatch = "idempotency_mismatch", 409;
        /// The cursor belongs to another epoch of the stream.
        EpochChanged = "epoch_changed", 409;
        /// The command already has its final status.
        CommandFinal = "command_final", 409;
        /// `base_version` is not the record's current version.
        VersionConflict = "version_conflict", 409;
        /// The published state moved since the caller looked.
        RemoteMoved = "remote_moved", 409;
        /// The conflict is not in the state that this needs: open, or decided.
        ConflictState = "conflict_state", 409;
        /// An open conflict of the item has to be resolved first.
        ConflictOpen = "conflict_open", 409;
        /// A synchronisation runs already.
        SyncInProgress = "sync_already_in_progress", 409;
        /// The provider accepts the tokens no more: the user has to connect again.
        ReconnectRequired = "reconnect_required", 409;
        /// The provider's service was switched off.
        ProviderGone = "provider_gone", 410;
        /// The body, an entry or a frame is larger than its limit.
        TooLarge = "too_large", 413;
        /// The body is not `application/json`.
        UnsupportedMediaType = "unsupported_media_type", 415;
        /// Valid JSON with wrong values; `details` names the fields.
        Invalid = "invalid", 422;
        /// The user has the most commands without a final status allowed.
        TooManyPending = "too_many_pending", 429;
        /// The user has the most devices allowed, and all of them are online.
        TooManyDevices = "too_many_devices", 429;
        /// The user has the most concurrent polls allowed.
        TooManyPollers = "too_many_pollers", 429;
        /// A connection limit is reached.
        TooManyConnections = "too_many_connections", 429;
        /// The caller sends more bodies at once than may be held in memory.
        TooManyBodies = "too_many_bodies", 429;
        /// Something failed inside; the request id finds it in the log.
        Internal = "internal", 500;
        /// Part of the protocol, not yet of this gateway.
        NotSupported = "not_supported", 501;
        /// Try again after `Retry-After`: overload, drain, or a commit whose
        /// outcome is not known.
        Unavailable = "unavailable", 503;
        /// The type of a frame is not known.
        UnknownType = "unknown_type", 422;
    }
}

words! {
    /// Why a socket was closed: the reason of the close frame, with its code.
    CloseReason {
        /// The frame is not a JSON object.
        InvalidJson = "invalid_json", 4400;
        /// The frame has no `type`.
        MissingType = "missing_type", 4400;
        /// The first frame is not `hello`.
        HelloExpected = "hello_expected", 4400;
        /// A second `hello`.
        SecondHello = "second_hello", 4400;
        /// A binary frame that is not one complete stream of the encoding.
        Undecodable = "undecodable", 4400;
        /// A field is missing, mistyped, or (in `hello`) has a wrong value.
        InvalidField = "invalid_field", 4400;
        /// An ack beyond what was sent, or for a stream still in reset.
        AckBeyondSent = "ack_beyond_sent", 4400;
        /// No valid token.
        Unauthenticated = "unauthenticated", 4401;
        /// The token ended and no new one came.
        TokenExpired = "token_expired", 4401;
        /// The backend ended the user's sessions.
        SessionEnded = "session_ended", 4401;
        /// The token's role has no socket.
        Forbidden = "forbidden", 4403;
        /// The token is bound to another device.
        DeviceMismatch = "device_mismatch", 4403;
        /// The device was deleted.
        DeviceDeleted = "device_deleted", 4403;
        /// The user has the most devices allowed, and all of them are online.
        /// The `error` frame before says when trying again makes sense.
        TooManyDevices = "too_many_devices", 4403;
        /// `hello.protocol` is not supported.
        ProtocolUnsupported = "protocol_unsupported", 4406;
        /// No `hello` in time.
        HelloTimeout = "hello_timeout", 4408;
        /// No frame of any kind for two heartbeats.
        HeartbeatTimeout = "heartbeat_timeout", 4408;
        /// The window stayed full too long.
        AckTimeout = "ack_timeout", 4408;
        /// The device connected again.
        Replaced = "replaced", 4409;
        /// The journal was trimmed past the session's position.
        Overtaken = "overtaken", 4410;
        /// More frames than allowed.
        TooManyFrames = "too_many_frames", 4429;
        /// The user has the most sockets allowed, or the place of a socket that
        /// had not said hello was needed.
        TooManyConnections = "too_many_connections", 4429;
        /// A frame that RFC 6455 does not allow: not masked, a reserved bit or
        /// opcode, a fragment out of order.
        ProtocolError = "protocol_error", 1002;
        /// A text that is not UTF-8.
        InvalidUtf8 = "invalid_utf8", 1007;
        /// A frame larger than the limit.
        TooLarge = "too_large", 1009;
        /// Something failed inside.
        Internal = "internal", 1011;
        /// The node goes away; reconnect elsewhere.
        Drain = "drain", 1012;
        /// The database is away, full, or does not answer; come back later.
        Unavailable = "unavailable", 1013;
    }
}

impl CloseReason {
    /// Whether a client may reconnect with nothing changed. After
    /// [`CloseReason::Replaced`] only on a user's action or after 60 s.
    pub const fn is_retryable(code: u16) -> bool {
        matches!(code, 4408 | 4409 | 4410 | 4429 | 1000..=1015)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_reasons_fit_a_close_frame() {
        for reason in CloseReason::ALL {
            assert!(reason.as_str().len() <= 123, "{reason}");
        }
    }
}
