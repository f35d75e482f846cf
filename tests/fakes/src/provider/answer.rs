//! How a provider answers, and how it fails.

use std::time::Duration;

use axum::response::Response;
use http::header::CONTENT_LENGTH;
use tidegate_clock::Clock;

use crate::answer::{self, RetryAfter};

/// How a request is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// By its merits.
    Ok,
    /// By its merits, but late.
    Slow(Duration),
    /// By its merits, a token is traded too; but the connection is closed
    /// before the answer.
    OkThenDrop,
    /// A status, with the provider's own body for it: 401, 404, 410, 500 and
    /// whatever else.
    Status(u16),
    /// 403 for an application that is not active.
    Inactive,
    /// 429.
    RateLimited(Option<RetryAfter>),
    /// 503.
    Unavailable(Option<RetryAfter>),
    /// 502 with a page in HTML.
    Html502,
    /// 404 with a page in HTML: of who stands between.
    Html404,
    /// 200 and nothing.
    EmptyBody,
    /// 200 with the first half of the body, and a `Content-Length` that is true
    /// of that half.
    HalfBody,
    /// 200 with the true `Content-Length`, and a connection that is closed
    /// after half of the body.
    CutBody,
    /// 200 with JSON of another shape.
    IllShaped,
    /// 200 with a page that is not JSON.
    NotJson,
    /// This status and body, whatever they are.
    Text(u16, String),
    /// No answer ever.
    Hang,
    /// The connection is closed without an answer.
    Drop,
}

impl Answer {
    /// The answer as a word.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Slow(_) => "slow",
            Self::OkThenDrop => "ok_then_drop",
            Self::Status(_) => "status",
            Self::Inactive => "inactive",
            Self::RateLimited(_) => "rate_limited",
            Self::Unavailable(_) => "unavailable",
            Self::Html502 => "html_502",
            Self::Html404 => "html_404",
            Self::EmptyBody => "empty_body",
            Self::HalfBody => "half_body",
            Self::CutBody => "cut_body",
            Self::IllShaped => "ill_shaped",
            Self::NotJson => "not_json",
            Self::Text(..) => "text",
            Self::Hang => "hang",
            Self::Drop => "drop",
        }
    }

    /// Whether the caller gets what it asked for, whole and as it is.
    pub(crate) const fn is_plain(&self) -> bool {
        matches!(self, Self::Ok | Self::Slow(_))
    }

    /// The answer to a request that is not even looked at. `error`: the
    /// provider's body for a status.
    pub(crate) fn without_looking(
        &self,
        error: fn(u16) -> String,
        inactive: &str,
        clock: &Clock,
    ) -> Option<Response> {
        let said = |status| answer::typed(status, JSON, error(status));
        let html = |status| answer::typed(status, "text/html", "<html>Please wait</html>");
        match self {
            Self::Status(status) => Some(said(*status)),
            Self::Inactive => Some(answer::typed(403, JSON, inactive.to_owned())),
            Self::RateLimited(after) => Some(answer::with_retry_after(said(429), *after, clock)),
            Self::Unavailable(after) => Some(answer::with_retry_after(said(503), *after, clock)),
            Self::Html502 => Some(html(502)),
            Self::Html404 => Some(html(404)),
            Self::EmptyBody => Some(answer::typed(200, JSON, "")),
            Self::IllShaped => Some(answer::typed(200, JSON, r#"{"status":"maintenance"}"#)),
            Self::NotJson => Some(html(200)),
            Self::Text(status, text) => Some(answer::typed(*status, JSON, text.clone())),
            Self::Hang | Self::Drop => Some(answer::drop_connection()),
            Self::Ok | Self::Slow(_) | Self::OkThenDrop | Self::HalfBody | Self::CutBody => None,
        }
    }

    /// Sends what was found, spoilt as it is to be.
    pub(crate) fn send(&self, status: u16, mut body: String) -> Response {
        let length = body.len();
        let half = (0..=length / 2).rev().find(|at| body.is_char_boundary(*at)).unwrap_or(0);
        match self {
            Self::OkThenDrop => answer::drop_connection(),
            Self::HalfBody => {
                body.truncate(half);
                answer::typed(status, JSON, body)
            }
            Self::CutBody => {
                body.truncate(half);
                let cut = answer::cut_after(body.into_bytes().into());
                let mut response = answer::typed(status, JSON, cut);
                response.headers_mut().insert(CONTENT_LENGTH, length.into());
                response
            }
            _ => answer::typed(status, JSON, body),
        }
    }
}

const JSON: &str = "application/json; charset=utf-8";
