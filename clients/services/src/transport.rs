//! HTTP as these clients use it: explicit time-outs, no redirects, no proxy,
//! bounded answers. Knows no service, and keeps no address in its errors.

use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::Resolve;
use reqwest::{Client, Response};

use crate::limits::{ANSWER_BYTES, CONNECT_TIMEOUT, POOL_IDLE_PER_HOST, POOL_IDLE_TIMEOUT};

/// Why no answer came. Whether the request was carried out is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// No full answer in time.
    #[error("timed out")]
    TimedOut,
    /// No connection: name, network or certificate.
    #[error("could not connect")]
    Connect,
    /// The connection ended in the middle.
    #[error("the connection broke")]
    Broken,
}

impl TransportError {
    /// Sorts the error and drops its text, which holds the address.
    pub(crate) fn of(error: &reqwest::Error) -> Self {
        if error.is_timeout() {
            Self::TimedOut
        } else if error.is_connect() {
            Self::Connect
        } else {
            Self::Broken
        }
    }
}

/// The HTTP client could not be built; usually the system has no root
/// certificates.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client could not be built: {0}")]
pub struct ClientError(#[from] reqwest::Error);

/// A client with this project's settings; `resolver` replaces the system's.
pub(crate) fn client(
    request_timeout: Duration,
    resolver: Option<Arc<dyn Resolve>>,
) -> Result<Client, ClientError> {
    let mut builder = Client::builder()
        .user_agent(concat!("tidegate/", env!("CARGO_PKG_VERSION")))
        .timeout(request_timeout)
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .pool_max_idle_per_host(POOL_IDLE_PER_HOST)
        .tcp_nodelay(true)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy();
    if let Some(resolver) = resolver {
        builder = builder.dns_resolver(resolver);
    }
    Ok(builder.build()?)
}

/// Reads the answer's body, at most [`ANSWER_BYTES`] of it.
pub(crate) async fn read_body(mut response: Response) -> Result<Vec<u8>, TransportError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| TransportError::of(&error))? {
        let room = ANSWER_BYTES - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == ANSWER_BYTES {
            break;
        }
    }
    Ok(body)
}

/// A word from an answer that may stand in an error: letters, digits and a
/// little punctuation, short. Anything else could carry a secret back.
pub(crate) fn safe_word(text: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.[]-".contains(&byte);
    let short = (1..=crate::limits::ERROR_WORD_BYTES).contains(&text.len());
    (short && text.bytes().all(allowed)).then(|| text.to_owned())
}
