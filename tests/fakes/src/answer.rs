//! Pieces that answers of all fakes are made of.

use std::time::{Duration, SystemTime};

use axum::body::{Body, Bytes};
use axum::response::Response;
use futures_util::stream;
use http::header::{CONTENT_TYPE, DATE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde_json::Value;
use tidegate_clock::Clock;

/// The two forms of `Retry-After`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// Seconds.
    Seconds(u64),
    /// The date that many seconds from now.
    DateInSeconds(u64),
}

impl RetryAfter {
    pub(crate) fn header(self, clock: &Clock) -> HeaderValue {
        match self {
            Self::Seconds(seconds) => seconds.into(),
            Self::DateInSeconds(seconds) => {
                let date = date(clock) + Duration::from_secs(seconds);
                HeaderValue::from_str(&httpdate::fmt_http_date(date))
                    .expect("a formatted date is a header")
            }
        }
    }
}

/// An answer made by hand: what stands between, or services that are not
/// imitated otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status, 100 to 999.
    pub status: u16,
    /// Headers: names in lower case, and values.
    pub headers: Vec<(&'static str, String)>,
    /// When to come back.
    pub retry_after: Option<RetryAfter>,
    /// The body.
    pub body: String,
}

impl Reply {
    /// A status and nothing else.
    pub const fn bare(status: u16) -> Self {
        Self { status, headers: Vec::new(), retry_after: None, body: String::new() }
    }

    /// As Microsoft's service (WNS) says no: in headers.
    pub fn wns(status: u16, description: &str) -> Self {
        let headers = vec![
            ("x-wns-error-description", description.to_owned()),
            ("x-wns-status", "dropped".to_owned()),
            ("x-wns-msg-id", "1D2C3B4A5F6E7D8C".to_owned()),
        ];
        Self { headers, ..Self::bare(status) }
    }

    pub(crate) fn respond(&self) -> Response {
        let mut response = typed(self.status, "text/plain", self.body.clone());
        for (name, value) in &self.headers {
            let value = HeaderValue::from_str(value).expect("visible text is a header");
            response.headers_mut().insert(*name, value);
        }
        response
    }
}

/// Marks a response that is not sent: the connection is closed instead.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DropConnection;

/// A response that closes the connection without a byte.
pub(crate) fn drop_connection() -> Response {
    let mut response = Response::default();
    response.extensions_mut().insert(DropConnection);
    response
}

/// Whether this response is not sent.
pub(crate) fn is_dropped(response: &Response) -> bool {
    response.extensions().get::<DropConnection>().is_some()
}

/// A JSON response.
pub(crate) fn json(status: u16, body: &Value) -> Response {
    typed(status, "application/json; charset=UTF-8", body.to_string())
}

/// A response with a body of any type.
pub(crate) fn typed(status: u16, content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(status).expect("a status between 100 and 999");
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// A body that fails after these bytes, when they have had time to leave.
pub(crate) fn cut_after(bytes: Bytes) -> Body {
    Body::from_stream(stream::unfold(Some(bytes), |left| async move {
        if let Some(bytes) = left {
            return Some((Ok(bytes), None));
        }
        tokio::task::yield_now().await;
        Some((Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)), None))
    }))
}

/// Now, as headers name it.
fn date(clock: &Clock) -> SystemTime {
    let since_epoch = u64::try_from(clock.now().millis()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_millis(since_epoch)
}

/// Adds `Retry-After`, if there is one.
pub(crate) fn with_retry_after(
    mut response: Response,
    retry_after: Option<RetryAfter>,
    clock: &Clock,
) -> Response {
    if let Some(retry_after) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, retry_after.header(clock));
        // The server's own clock would be the system's.
        let date = httpdate::fmt_http_date(date(clock));
        let date = HeaderValue::from_str(&date).expect("a formatted date is a header");
        response.headers_mut().insert(DATE, date);
    }
    response
}
