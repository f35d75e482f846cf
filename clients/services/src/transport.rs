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

/// Why a client could not be built.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Usually the system has no root certificates.
    #[error("the HTTP client could not be built: {0}")]
    Http(#[from] reqwest::Error),
    /// As [`ClientError::Http`], for a socket.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The named address has another scheme, no host, or a user name.
    #[error("{0} is not an address of the expected kind")]
    Address(&'static str),
    /// The named value cannot stand in a header.
    #[error("{0} must be visible ASCII, and not empty")]
    Header(&'static str),
}

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

/// Why an answer's body was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// It has more bytes than allowed.
    TooLarge,
    /// The rest did not come.
    Transport(TransportError),
}

/// Reads the whole body, or nothing of one with more than `limit_bytes`.
pub(crate) async fn read_whole(
    mut response: Response,
    limit_bytes: usize,
) -> Result<Vec<u8>, BodyError> {
    let announced = response.content_length().unwrap_or_default();
    let announced = usize::try_from(announced).map_err(|_| BodyError::TooLarge)?;
    if announced > limit_bytes {
        return Err(BodyError::TooLarge);
    }
    let mut body = Vec::with_capacity(announced.min(ANSWER_BYTES));
    let broken = |error: &reqwest::Error| BodyError::Transport(TransportError::of(error));
    while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error))? {
        if chunk.len() > limit_bytes - body.len() {
            return Err(BodyError::TooLarge);
        }
        body.extend_from_slice(&chunk);
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
