//! Answers of FCM, with the bodies of the real service.

use std::time::Duration;

use axum::response::Response;
use serde_json::{Value, json};
use tidegate_clock::Clock;

use crate::answer::{self, Reply, RetryAfter};
use crate::fcm::check::Fault;
use crate::fixtures::PROJECT_ID;

const FCM_ERROR: &str = "type.googleapis.com/google.firebase.fcm.v1.FcmError";
const APNS_ERROR: &str = "type.googleapis.com/google.firebase.fcm.v1.ApnsError";
const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";
const QUOTA_FAILURE: &str = "type.googleapis.com/google.rpc.QuotaFailure";
const ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";

/// How a message is answered.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Taken.
    Sent,
    /// Found good, as asked for with `validate_only`, and not taken.
    Validated,
    /// Taken, and answered late.
    Slow(Duration),
    /// Taken, but the connection is closed before the answer.
    SentThenDrop,
    /// Taken, and answered with 200 and nothing.
    SentThenEmpty,
    /// A check failed.
    Refuse(Fault),
    /// 404: the token is dead.
    Unregistered,
    /// 400: not a token, with the field.
    InvalidToken,
    /// 400: not a token, in a sentence and without the field.
    InvalidTokenSentence,
    /// 403: a token of another project.
    SenderIdMismatch,
    /// 429.
    QuotaExceeded {
        /// When to come back.
        retry_after: Option<RetryAfter>,
    },
    /// 500.
    Internal,
    /// 503.
    Unavailable {
        /// When to come back.
        retry_after: Option<RetryAfter>,
    },
    /// 502 with a page in HTML.
    BadGateway,
    /// 401 without FCM's code.
    Unauthenticated,
    /// 401 because of the project's APNs key.
    ThirdPartyAuth,
    /// 403 without FCM's code.
    PermissionDenied,
    /// 404 with a page: no such address.
    WrongAddress,
    /// A status with an empty body.
    Empty(u16),
    /// A status with JSON of your choice.
    Json(u16, Value),
    /// Made by hand.
    Reply(Reply),
    /// No answer ever; not taken.
    Hang,
}

impl Answer {
    /// The answer as a word.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Validated => "validated",
            Self::Slow(_) => "slow",
            Self::SentThenDrop => "sent_then_drop",
            Self::SentThenEmpty => "sent_then_empty",
            Self::Refuse(fault) => fault.name(),
            Self::Unregistered => "unregistered",
            Self::InvalidToken => "invalid_token",
            Self::InvalidTokenSentence => "invalid_token_sentence",
            Self::SenderIdMismatch => "sender_id_mismatch",
            Self::QuotaExceeded { .. } => "quota_exceeded",
            Self::Internal => "internal",
            Self::Unavailable { .. } => "unavailable",
            Self::BadGateway => "bad_gateway",
            Self::Unauthenticated => "unauthenticated",
            Self::ThirdPartyAuth => "third_party_auth",
            Self::PermissionDenied => "permission_denied",
            Self::WrongAddress => "wrong_address",
            Self::Empty(_) => "empty",
            Self::Json(..) => "json",
            Self::Reply(_) => "reply",
            Self::Hang => "hang",
        }
    }

    /// Whether the device gets the message.
    pub(crate) const fn is_taken(&self) -> bool {
        matches!(self, Self::Sent | Self::Slow(_) | Self::SentThenDrop | Self::SentThenEmpty)
    }

    pub(crate) async fn respond(self, clock: &Clock) -> Response {
        match self {
            Self::Slow(delay) => tokio::time::sleep(delay).await,
            Self::Hang => std::future::pending().await,
            _ => {}
        }
        answer::with_retry_after(self.response(), self.retry_after(), clock)
    }

    const fn retry_after(&self) -> Option<RetryAfter> {
        match self {
            Self::QuotaExceeded { retry_after } | Self::Unavailable { retry_after } => *retry_after,
            Self::Reply(reply) => reply.retry_after,
            _ => None,
        }
    }

    fn response(&self) -> Response {
        match self {
            Self::Sent | Self::Slow(_) => sent("0:1795000000000000%31bd1c9631bd1c96"),
            Self::Validated => sent("fake_message_id"),
            Self::SentThenDrop | Self::Hang => answer::drop_connection(),
            Self::SentThenEmpty => answer::typed(200, "application/json", ""),
            Self::Refuse(fault) => fault.respond(),
            Self::Unregistered => {
                coded(404, "NOT_FOUND", "Requested entity was not found.", "UNREGISTERED")
            }
            Self::InvalidToken => invalid_token(),
            Self::InvalidTokenSentence => coded(
                400,
                "INVALID_ARGUMENT",
                "The registration token is not a valid FCM registration token",
                "INVALID_ARGUMENT",
            ),
            Self::SenderIdMismatch => {
                coded(403, "PERMISSION_DENIED", "SenderId mismatch", "SENDER_ID_MISMATCH")
            }
            Self::QuotaExceeded { .. } => quota_exceeded(),
            Self::Internal => coded(500, "INTERNAL", "Internal error encountered.", "INTERNAL"),
            Self::Unavailable { .. } => {
                coded(503, "UNAVAILABLE", "The service is currently unavailable.", "UNAVAILABLE")
            }
            Self::BadGateway => answer::typed(502, "text/html; charset=UTF-8", BAD_GATEWAY_PAGE),
            Self::Unauthenticated => error(401, "UNAUTHENTICATED", UNAUTHENTICATED, &[]),
            Self::ThirdPartyAuth => third_party_auth(),
            Self::PermissionDenied => permission_denied(),
            Self::WrongAddress => answer::typed(404, "text/html; charset=UTF-8", NOT_FOUND_PAGE),
            Self::Empty(status) => answer::typed(*status, "text/plain", ""),
            Self::Json(status, body) => answer::json(*status, body),
            Self::Reply(reply) => reply.respond(),
        }
    }
}

const UNAUTHENTICATED: &str = "Request had invalid authentication credentials. Expected OAuth 2 \
    access token, login cookie or other valid authentication credential.";

const BAD_GATEWAY_PAGE: &str = "<!DOCTYPE html>\n<html lang=en>\n<title>Error 502 (Server \
    Error)!!1</title>\n<p><b>502.</b> <ins>That's an error.</ins>\n<p>The server encountered a \
    temporary error and could not complete your request.<p>Please try again in 30 seconds.\n";

const NOT_FOUND_PAGE: &str =
    "<!DOCTYPE html>\n<html lang=en>\n<title>Error 404 (Not Found)!!1</title>\n";

fn sent(id: &str) -> Response {
    answer::json(200, &json!({"name": format!("projects/{PROJECT_ID}/messages/{id}")}))
}

/// An error body; `details` is left out when empty, as the real one does.
pub(crate) fn error(code: u16, status: &str, message: &str, details: &[Value]) -> Response {
    let mut error = json!({"code": code, "message": message, "status": status});
    if !details.is_empty() {
        error["details"] = json!(details);
    }
    answer::json(code, &json!({"error": error}))
}

pub(crate) fn fcm_error(code: &str) -> Value {
    json!({"@type": FCM_ERROR, "errorCode": code})
}

pub(crate) fn bad_request(field: &str, description: &str) -> Value {
    let violation = json!({"field": field, "description": description});
    json!({"@type": BAD_REQUEST, "fieldViolations": [violation]})
}

fn coded(code: u16, status: &str, message: &str, fcm_code: &str) -> Response {
    error(code, status, message, &[fcm_error(fcm_code)])
}

fn invalid_token() -> Response {
    let details =
        [fcm_error("INVALID_ARGUMENT"), bad_request("message.token", "Invalid registration token")];
    error(400, "INVALID_ARGUMENT", "Request contains an invalid argument.", &details)
}

fn quota_exceeded() -> Response {
    let violation = json!({"subject": "project", "description": "message rate"});
    let quota = json!({"@type": QUOTA_FAILURE, "violations": [violation]});
    // The quota detail comes first: clients must search.
    let details = [quota, fcm_error("QUOTA_EXCEEDED")];
    error(429, "RESOURCE_EXHAUSTED", "Quota exceeded.", &details)
}

fn third_party_auth() -> Response {
    let apns = json!({"@type": APNS_ERROR, "statusCode": 403, "reason": "InvalidProviderToken"});
    let details = [fcm_error("THIRD_PARTY_AUTH_ERROR"), apns];
    error(401, "UNAUTHENTICATED", "Auth error from APNS or Web Push Service", &details)
}

fn permission_denied() -> Response {
    let info = json!({
        "@type": ERROR_INFO, "reason": "IAM_PERMISSION_DENIED", "domain": "iam.googleapis.com"
    });
    let message = "Permission 'cloudmessaging.messages.create' denied on resource (or it may not \
        exist).";
    error(403, "PERMISSION_DENIED", message, &[info])
}
