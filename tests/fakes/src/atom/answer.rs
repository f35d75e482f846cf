//! How the marketplace answers, and how it fails.

use std::time::{Duration, SystemTime};

use axum::response::Response;
use http::HeaderValue;
use http::header::{CONTENT_LENGTH, RETRY_AFTER, WWW_AUTHENTICATE};
use serde_json::{Value, json};

use crate::answer;

/// How a request is answered. What says something about a listing only is
/// [`Answer::Ok`] for everything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// By its merits.
    Ok,
    /// By its merits, but late.
    Slow(Duration),
    /// By its merits, a rating is taken; but the connection is closed before
    /// the answer.
    OkThenDrop,
    /// A status with an error in JSON; 401 with `WWW-Authenticate`.
    Status(u16),
    /// 429.
    RateLimited {
        /// Seconds, for the header and the body.
        retry_after: Option<u32>,
    },
    /// 429 that names the time by which it is over, as an HTTP date.
    RateLimitedUntil {
        /// Seconds from now.
        seconds: u32,
    },
    /// 503: maintenance.
    Unavailable {
        /// Seconds, for the header.
        retry_after: Option<u32>,
    },
    /// 502 with a page in HTML.
    Html502,
    /// 200 and nothing.
    EmptyBody,
    /// 200 with the first half of the JSON, and a `Content-Length` that is
    /// true of that half.
    HalfBody,
    /// 200 with the true `Content-Length`, and a connection that is closed
    /// after half of the body.
    CutBody,
    /// Half of the page's skills (or of the categories), with the true total.
    HalfPage,
    /// 200 with an empty listing and a total of 0: a failure that looks like
    /// success.
    EmptyListing,
    /// 200 with `{"skills": []}` (or no categories) and nothing else.
    BareEmptyListing,
    /// The first page of the listing, whichever was asked for.
    FirstPage,
    /// A page without `total` and `total_pages`.
    MissingTotal,
    /// The truth, but the first name has a byte in it that is no UTF-8.
    BadBytes,
    /// 200 with a page that is not JSON.
    NotJson,
    /// A page with this total.
    WrongTotal(u64),
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
            Self::RateLimited { .. } => "rate_limited",
            Self::RateLimitedUntil { .. } => "rate_limited_until",
            Self::BadBytes => "bad_bytes",
            Self::Unavailable { .. } => "unavailable",
            Self::Html502 => "html_502",
            Self::EmptyBody => "empty_body",
            Self::HalfBody => "half_body",
            Self::CutBody => "cut_body",
            Self::HalfPage => "half_page",
            Self::EmptyListing => "empty_listing",
            Self::BareEmptyListing => "bare_empty_listing",
            Self::FirstPage => "first_page",
            Self::MissingTotal => "missing_total",
            Self::NotJson => "not_json",
            Self::WrongTotal(_) => "wrong_total",
            Self::Hang => "hang",
            Self::Drop => "drop",
        }
    }

    /// Whether the caller gets what it asked for, whole and as it is.
    pub(crate) const fn is_plain(&self) -> bool {
        matches!(self, Self::Ok | Self::Slow(_))
    }

    /// The answer to a request that is not even looked at.
    pub(crate) fn without_looking(&self) -> Option<Response> {
        match self {
            Self::Status(status) => Some(error(*status)),
            Self::RateLimited { retry_after } => Some(rate_limited(*retry_after)),
            Self::RateLimitedUntil { seconds } => Some(rate_limited_until(*seconds)),
            Self::Unavailable { retry_after } => Some(with_retry_after(error(503), *retry_after)),
            Self::Html502 => Some(answer::typed(502, "text/html; charset=UTF-8", BAD_GATEWAY_PAGE)),
            Self::EmptyBody => Some(answer::typed(200, "application/json", "")),
            Self::NotJson => Some(answer::typed(200, "text/html", "<html>Please wait</html>")),
            Self::Hang | Self::Drop => Some(answer::drop_connection()),
            _ => None,
        }
    }

    /// Spoils what would be sent.
    pub(crate) fn spoil(&self, body: &mut Value) {
        match self {
            Self::HalfPage => {
                if let Some(items) = items(body) {
                    items.truncate(items.len() / 2);
                }
            }
            Self::EmptyListing => {
                if let Some(items) = items(body) {
                    items.clear();
                }
                set_total(body, 0);
            }
            Self::BareEmptyListing => {
                let is_listing = items(body).map(Vec::clear).is_some();
                if let Some(page) = body.as_object_mut().filter(|_| is_listing) {
                    page.retain(|_, value| value.is_array());
                }
            }
            Self::MissingTotal => {
                if let Some(page) = body.as_object_mut() {
                    page.remove("total");
                    page.remove("total_pages");
                }
            }
            Self::WrongTotal(total) => set_total(body, *total),
            _ => {}
        }
    }

    /// Sends a body, or as much of it as this answer sends.
    pub(crate) fn send(&self, status: u16, body: &Value) -> Response {
        let mut text = body.to_string().into_bytes();
        let half = text.len() / 2;
        match self {
            Self::OkThenDrop => answer::drop_connection(),
            Self::HalfBody => {
                text.truncate(half);
                answer::typed(status, JSON, text)
            }
            Self::CutBody => {
                let length = text.len();
                text.truncate(half);
                let mut response = answer::typed(status, JSON, answer::cut_after(text.into()));
                response.headers_mut().insert(CONTENT_LENGTH, length.into());
                response
            }
            Self::BadBytes => {
                let name = b"\"name\":\"";
                if let Some(at) = text.windows(name.len()).position(|window| window == name) {
                    text.insert(at + name.len(), 0xff);
                }
                answer::typed(status, JSON, text)
            }
            _ => answer::typed(status, JSON, text),
        }
    }
}

const JSON: &str = "application/json";

const BAD_GATEWAY_PAGE: &str = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n\
    <center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n";

/// An error in JSON.
pub(crate) fn error(status: u16) -> Response {
    let sentence = match status {
        400 => "Bad request",
        401 => "Invalid or expired token",
        403 => "Forbidden",
        404 => "Resource not found",
        500 => "Internal server error",
        503 => "Maintenance mode",
        _ => "Error",
    };
    let mut response = answer::json(status, &json!({"error": sentence}));
    if status == 401 {
        let challenge = HeaderValue::from_static("Bearer realm=\"atom-saas\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

/// 429 as the platform's requirements have it.
pub(crate) fn rate_limited(retry_after: Option<u32>) -> Response {
    let mut body = json!({"error": "Rate limit exceeded"});
    if let Some(seconds) = retry_after {
        body["retry_after"] = seconds.into();
    }
    with_retry_after(answer::json(429, &body), retry_after)
}

/// 429 with a date: by the system's clock, as the `Date` of the answer.
fn rate_limited_until(seconds: u32) -> Response {
    let mut response = answer::json(429, &json!({"error": "Rate limit exceeded"}));
    let until = SystemTime::now() + Duration::from_secs(seconds.into());
    if let Ok(value) = HeaderValue::from_str(&httpdate::fmt_http_date(until)) {
        response.headers_mut().insert(RETRY_AFTER, value);
    }
    response
}

fn with_retry_after(mut response: Response, seconds: Option<u32>) -> Response {
    if let Some(seconds) = seconds {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

/// What a listing lists, if this is one.
fn items(body: &mut Value) -> Option<&mut Vec<Value>> {
    if body.is_array() {
        return body.as_array_mut();
    }
    let is_page = body.get("total").is_some();
    let field = if is_page { "skills" } else { "categories" };
    body.get_mut(field)?.as_array_mut()
}

/// Changes the totals of a page; what has none stays.
fn set_total(body: &mut Value, total: u64) {
    let Some(page_size) = body.get("page_size").and_then(Value::as_u64) else { return };
    body["total"] = total.into();
    body["total_pages"] = total.div_ceil(page_size).into();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listings_are_spoiled() {
        let page = json!({"skills": [1, 2, 3, 4], "page_size": 4, "total": 9, "total_pages": 3});
        let spoilt = |answer: Answer, body: &Value| {
            let mut body = body.clone();
            answer.spoil(&mut body);
            body
        };
        assert_eq!(
            spoilt(Answer::HalfPage, &page),
            json!({"skills": [1, 2], "page_size": 4, "total": 9, "total_pages": 3})
        );
        assert_eq!(
            spoilt(Answer::EmptyListing, &page),
            json!({"skills": [], "page_size": 4, "total": 0, "total_pages": 0})
        );
        assert_eq!(
            spoilt(Answer::MissingTotal, &page),
            json!({"skills": [1, 2, 3, 4], "page_size": 4})
        );
        assert_eq!(
            spoilt(Answer::WrongTotal(13), &page),
            json!({"skills": [1, 2, 3, 4], "page_size": 4, "total": 13, "total_pages": 4})
        );
        assert_eq!(spoilt(Answer::BareEmptyListing, &page), json!({"skills": []}));
        assert_eq!(spoilt(Answer::HalfPage, &json!([1, 2, 3])), json!([1]));
        assert_eq!(
            spoilt(Answer::EmptyListing, &json!({"categories": [1]})),
            json!({"categories": []})
        );
        let skill = json!({"skill_id": "a", "tags": [1, 2]});
        for answer in [
            Answer::HalfPage,
            Answer::EmptyListing,
            Answer::BareEmptyListing,
            Answer::WrongTotal(1),
        ] {
            assert_eq!(spoilt(answer, &skill), skill);
        }
    }
}
