//! How to reach a gateway: addresses, TLS, and dialling a socket.
//!
//! One rustls configuration serves the socket and HTTP alike, so both trust
//! the same certificates: by default those the operating system trusts, which
//! includes a company's own authority. Never retries.

use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Error as SocketError};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream};

use tidegate_protocol::limits::FRAME_BYTES;

use crate::retry_after;
use crate::token::Token;

/// An open socket.
pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Small on purpose: tungstenite's defaults allocate 128 KiB at once for every
/// socket. Writes are coalesced up to this many bytes.
const WRITE_BUFFER_BYTES: usize = 4 * 1024;

/// A frame that the gateway does not take off our hands within this bound is
/// an error instead of memory growth: two of the largest frames.
const WRITE_BUFFER_MAX_BYTES: usize = 2 * FRAME_BYTES;

/// Why an address or a TLS set-up is of no use.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Not `http://host[:port][/path]` or `https://…`.
    #[error("`{0}` is not an http:// or https:// URL")]
    Url(String),
    /// The system's trust store or TLS provider cannot be used.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The gateway refused the token.
    #[error("the gateway refused the token")]
    Unauthorized,
    /// Anything else: may go away by itself.
    #[error("no socket: {cause}")]
    Failed {
        /// Why.
        cause: String,
        /// How long at least to stay away, where the answer said so; without a
        /// bound.
        retry_after: Option<Duration>,
    },
}

/// A gateway's address.
#[derive(Clone, Debug)]
pub struct Endpoint {
    http_base: String,
    socket_url: String,
    tls: Arc<ClientConfig>,
}

impl Endpoint {
    /// From a base URL; `tls` replaces the operating system's trust.
    pub fn new(base: &str, tls: Option<Arc<ClientConfig>>) -> Result<Self, EndpointError> {
        let invalid = || EndpointError::Url(base.to_owned());
        let http_base = base.trim_end_matches('/').to_owned();
        let url = reqwest::Url::parse(&http_base).map_err(|_| invalid())?;
        let socket_base = match url.scheme() {
            "http" => http_base.replacen("http", "ws", 1),
            "https" => http_base.replacen("https", "wss", 1),
            _ => return Err(invalid()),
        };
        if url.query().is_some() || url.fragment().is_some() {
            return Err(invalid());
        }
        let tls = match tls {
            Some(tls) => tls,
            None => Arc::new(platform_tls()?),
        };
        let socket_url = format!("{socket_base}/api/v1/sync/ws");
        Ok(Self { http_base, socket_url, tls })
    }

    /// The URL of an HTTP call: `path` begins with a slash.
    pub(crate) fn http_url(&self, path: &str) -> String {
        format!("{}{path}", self.http_base)
    }

    /// The TLS configuration.
    pub(crate) fn tls(&self) -> &Arc<ClientConfig> {
        &self.tls
    }

    /// Opens a socket; the caller bounds the time. The token travels in a
    /// header, never in the URL, which proxies log.
    pub async fn dial(&self, token: &Token, read_buffer: usize) -> Result<Socket, DialError> {
        let mut request = self.socket_url.as_str().into_client_request().map_err(failed)?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
            .map_err(|_| no_socket("the token is not visible ASCII".to_owned()))?;
        bearer.set_sensitive(true);
        let headers = request.headers_mut();
        headers.insert(header::AUTHORIZATION, bearer);
        headers.insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(tidegate_protocol::SUBPROTOCOL),
        );
        let connector = Connector::Rustls(Arc::clone(&self.tls));
        let config = socket_config(read_buffer);
        let dialled = tokio_tungstenite::connect_async_tls_with_config(
            request,
            Some(config),
            true,
            Some(connector),
        );
        // Boxed: the handshake's state (TLS, request head) would stay part of the
        // session's future for as long as that lives.
        match Box::pin(dialled).await {
            Ok((socket, _)) => Ok(socket),
            Err(tungstenite::Error::Http(answer))
                if answer.status() == StatusCode::UNAUTHORIZED =>
            {
                Err(DialError::Unauthorized)
            }
            Err(error) => Err(failed(error)),
        }
    }
}

/// An answer that is no upgrade may say when to come back.
#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn failed(error: SocketError) -> DialError {
    let retry_after = match &error {
        SocketError::Http(answer) => retry_after::from_answer(answer.headers()),
        _ => None,
    };
    DialError::Failed { cause: error.to_string(), retry_after }
}

fn no_socket(cause: String) -> DialError {
    DialError::Failed { cause, retry_after: None }
}

fn socket_config(read_buffer: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(read_buffer)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(WRITE_BUFFER_MAX_BYTES)
        .max_message_size(Some(FRAME_BYTES))
        .max_frame_size(Some(FRAME_BYTES))
        .accept_unmasked_frames(false)
}

/// The provider is named: with two of them compiled into an app, asking for
/// "the default" panics.
fn platform_tls() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_platform_verifier()?.with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_become_socket_urls() {
        let socket = |base: &str| Endpoint::new(base, None).map(|endpoint| endpoint.socket_url);
        assert_eq!(socket("http://h:1/").unwrap(), "ws://h:1/api/v1/sync/ws");
        assert_eq!(socket("https://h/http").unwrap(), "wss://h/http/api/v1/sync/ws");
        for bad in ["ftp://h", "h:80", "", "http://h/?token=x"] {
            assert!(socket(bad).is_err(), "{bad}");
        }
    }

    /// The socket trusts what it is told to, and nothing else.
    #[tokio::test]
    async fn wss_verifies_the_gateway() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
        let provider = || Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let server = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key.unwrap())
            .unwrap();
        let serve = async {
            let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // A client that does not trust us breaks off here.
                let Ok(stream) = acceptor.accept(stream).await else { continue };
                let socket = tokio_tungstenite::accept_hdr_async(stream, accept_subprotocol).await;
                assert!(socket.is_ok());
            }
        };
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate).unwrap();
        let trusting = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let dial = async {
            let token = Token::new("t");
            let trusting = Endpoint::new(&base, Some(Arc::new(trusting))).unwrap();
            assert!(trusting.dial(&token, 1024).await.is_ok());
            let strict = Endpoint::new(&base, None).unwrap();
            assert!(strict.dial(&token, 1024).await.is_err());
        };
        tokio::select! {
            () = dial => {}
            () = serve => {}
        }
    }

    #[expect(
        clippy::result_large_err,
        clippy::unnecessary_wraps,
        reason = "the type of tungstenite's callback"
    )]
    fn accept_subprotocol(
        _: &tungstenite::handshake::server::Request,
        mut response: tungstenite::handshake::server::Response,
    ) -> Result<
        tungstenite::handshake::server::Response,
        tungstenite::handshake::server::ErrorResponse,
    > {
        let protocol = HeaderValue::from_static(tidegate_protocol::SUBPROTOCOL);
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
        Ok(response)
    }
}
