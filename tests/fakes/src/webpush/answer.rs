//! Answers of push services, with the bodies of the real ones.

use std::time::Duration;

use axum::response::Response;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, LOCATION};
use serde_json::{Value, json};
use tidegate_clock::Clock;

use crate::answer::{self, Reply, RetryAfter};

/// How a message is answered.
#[derive(Clone, Debug)]
pub enum Answer {
    /// 201.
    Created,
    /// 201, but late.
    Slow(Duration),
    /// Taken, but the connection is closed before the answer.
    CreatedThenDrop,
    /// 400, Mozilla: a header or the encryption is wrong; the `errno`.
    BadRequest(u16),
    /// 401, Mozilla: VAPID is missing or wrong.
    Unauthorized,
    /// 403, Google: the subscription was made with another VAPID key.
    OtherCredentials,
    /// 400, Apple: the same.
    HashMismatch,
    /// 403, Apple: the token is not accepted.
    BadJwt,
    /// 404: no such subscription.
    NotFound,
    /// 410: unsubscribed.
    Gone,
    /// 413.
    TooLarge,
    /// 429.
    RateLimited {
        /// When to come back.
        retry_after: Option<RetryAfter>,
    },
    /// 500.
    Internal,
    /// 503; Mozilla asks for 120 s.
    Unavailable {
        /// When to come back.
        retry_after: Option<RetryAfter>,
    },
    /// 307 to an address of your choice.
    Redirect(String),
    /// A status with an empty body.
    Empty(u16),
    /// Made by hand.
    Reply(Reply),
    /// No answer ever; not taken.
    Hang,
}

impl Answer {
    /// The answer as a word.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Slow(_) => "slow",
            Self::CreatedThenDrop => "created_then_drop",
            Self::BadRequest(_) => "bad_request",
            Self::Unauthorized => "unauthorized",
            Self::OtherCredentials => "other_credentials",
            Self::HashMismatch => "hash_mismatch",
            Self::BadJwt => "bad_jwt",
            Self::NotFound => "not_found",
            Self::Gone => "gone",
            Self::TooLarge => "too_large",
            Self::RateLimited { .. } => "rate_limited",
            Self::Internal => "internal",
            Self::Unavailable { .. } => "unavailable",
            Self::Redirect(_) => "redirect",
            Self::Empty(_) => "empty",
            Self::Reply(_) => "reply",
            Self::Hang => "hang",
        }
    }

    /// Whether the browser gets the message.
    pub(crate) const fn is_taken(&self) -> bool {
        matches!(self, Self::Created | Self::Slow(_) | Self::CreatedThenDrop)
    }

    pub(crate) async fn respond(self, location: &str, ttl_s: u32, clock: &Clock) -> Response {
        match self {
            Self::Slow(delay) => tokio::time::sleep(delay).await,
            Self::Hang => std::future::pending().await,
            _ => {}
        }
        answer::with_retry_after(self.response(location, ttl_s), self.retry_after(), clock)
    }

    const fn retry_after(&self) -> Option<RetryAfter> {
        match self {
            Self::RateLimited { retry_after } | Self::Unavailable { retry_after } => *retry_after,
            Self::Reply(reply) => reply.retry_after,
            _ => None,
        }
    }

    fn response(&self, location: &str, ttl_s: u32) -> Response {
        match self {
            Self::Created | Self::Slow(_) => created(location, ttl_s),
            Self::CreatedThenDrop | Self::Hang => answer::drop_connection(),
            Self::BadRequest(errno) => mozilla(400, *errno, "Bad Request"),
            Self::Unauthorized => mozilla(401, 109, "Unauthorized"),
            Self::OtherCredentials => answer::typed(403, "text/plain", OTHER_CREDENTIALS),
            Self::HashMismatch => apple(400, "VapidPkHashMismatch"),
            Self::BadJwt => apple(403, "BadJwtToken"),
            Self::NotFound => mozilla(404, 102, "Not Found"),
            Self::Gone => gone(),
            Self::TooLarge => mozilla(413, 104, "Payload Too Large"),
            Self::RateLimited { .. } => answer::typed(429, "text/plain", ""),
            Self::Internal => mozilla(500, 999, "Internal Server Error"),
            Self::Unavailable { .. } => mozilla(503, 201, "Service Unavailable"),
            Self::Redirect(to) => redirect(to),
            Self::Empty(status) => answer::typed(*status, "text/plain", ""),
            Self::Reply(reply) => reply.respond(),
        }
    }
}

const OTHER_CREDENTIALS: &str = "the VAPID credentials in the authorization header do not \
    correspond to the credentials used to create the subscriptions.\n";

fn created(location: &str, ttl_s: u32) -> Response {
    let mut response = answer::typed(201, "text/plain", "");
    let location = HeaderValue::from_str(location).expect("an address is a header");
    response.headers_mut().insert(LOCATION, location);
    response.headers_mut().insert("ttl", HeaderValue::from(ttl_s));
    response
}

fn mozilla(code: u16, errno: u16, error: &str) -> Response {
    let more_info = "http://autopush.readthedocs.io/en/latest/http.html#error-codes";
    let body: Value = json!({
        "code": code, "errno": errno, "error": error, "message": error, "more_info": more_info
    });
    answer::json(code, &body)
}

fn gone() -> Response {
    let mut response = mozilla(410, 106, "Gone");
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("max-age=86400"));
    response
}

fn apple(status: u16, reason: &str) -> Response {
    answer::json(status, &json!({"reason": reason}))
}

fn redirect(to: &str) -> Response {
    let mut response = answer::typed(307, "text/plain", "");
    let location = HeaderValue::from_str(to).expect("an address is a header");
    response.headers_mut().insert(LOCATION, location);
    response
}
