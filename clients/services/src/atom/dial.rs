//! Opening the marketplace's socket: address, headers, TLS.
//!
//! Owns what the handshake says and what its refusal means. Never retries.
//! The token travels in the address, as the `Atom SaaS` marketplace requirements
//! v1.0.0 demand (`?token=`), so the address stands in no error and no log.

use std::sync::Arc;

use reqwest::header::HeaderMap;
use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt;
use tidegate_clock::Clock;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Error as WsError};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream};
use url::Url;

use crate::atom::error::{AtomError, ErrorKind, classify};
use crate::atom::socket::SocketOptions;
use crate::limits::{
    ATOM_FRAME_FACTOR, ATOM_READ_BUFFER_BYTES, ATOM_WRITE_BUFFER_BYTES, ATOM_WRITE_BUFFER_MAX_BYTES,
};
use crate::retry_after;
use crate::transport::{ClientError, TransportError};

/// An open WebSocket.
pub(crate) type Wire = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Everything a handshake needs.
pub(crate) struct Dial {
    /// With the token.
    url: Url,
    headers: HeaderMap,
    connector: Connector,
    clock: Clock,
}

impl Dial {
    /// Checks the address and loads the certificates that are trusted.
    pub(crate) fn new(
        mut url: Url,
        token: &str,
        headers: HeaderMap,
        clock: Clock,
    ) -> Result<Self, ClientError> {
        let connector = match url.scheme() {
            "ws" => Connector::Plain,
            "wss" => Connector::Rustls(Arc::new(platform_tls()?)),
            _ => return Err(ClientError::Address("the marketplace's WebSocket URL")),
        };
        if !url.has_host() {
            return Err(ClientError::Address("the marketplace's WebSocket URL"));
        }
        url.set_fragment(None);
        url.query_pairs_mut().append_pair("token", token);
        Ok(Self { url, headers, connector, clock })
    }

    /// Connects and shakes hands, in limited time.
    pub(crate) async fn open(&self, options: &SocketOptions) -> Result<Wire, AtomError> {
        let mut request = self
            .url
            .as_str()
            .into_client_request()
            .map_err(|_| AtomError::local(ErrorKind::Handshake))?;
        request.headers_mut().extend(self.headers.clone());
        let dialled = tokio_tungstenite::connect_async_tls_with_config(
            request,
            Some(config(options.message_bytes)),
            true,
            Some(self.connector.clone()),
        );
        // Boxed: the handshake's state (TLS, request head) would stay part of
        // the future of whoever keeps the socket.
        match timeout(options.connect_timeout, Box::pin(dialled)).await {
            Ok(Ok((wire, _))) => Ok(wire),
            Ok(Err(error)) => Err(refusal(&error, &self.clock)),
            Err(_) => Err(TransportError::TimedOut.into()),
        }
    }
}

fn config(message_bytes: usize) -> WebSocketConfig {
    // A message a little too large is dropped above the library, which could
    // only end the connection.
    let most = message_bytes.saturating_mul(ATOM_FRAME_FACTOR);
    WebSocketConfig::default()
        .read_buffer_size(ATOM_READ_BUFFER_BYTES)
        .write_buffer_size(ATOM_WRITE_BUFFER_BYTES)
        .max_write_buffer_size(ATOM_WRITE_BUFFER_MAX_BYTES)
        .max_message_size(Some(most))
        .max_frame_size(Some(most))
        .accept_unmasked_frames(false)
}

fn refusal(error: &WsError, clock: &Clock) -> AtomError {
    match error {
        WsError::Http(answer) => {
            let wait = retry_after::from_headers(answer.headers(), clock);
            let body = answer.body().as_deref().unwrap_or_default();
            classify(answer.status().as_u16(), wait, body)
        }
        WsError::Io(_) | WsError::Tls(_) => TransportError::Connect.into(),
        WsError::Protocol(ProtocolError::HandshakeIncomplete)
        | WsError::ConnectionClosed
        | WsError::AlreadyClosed => TransportError::Broken.into(),
        tungstenite::Error::Url(_) => AtomError::local(ErrorKind::NotConfigured),
        _ => AtomError::local(ErrorKind::Handshake),
    }
}

/// The operating system's trust, as for HTTP. The provider is named: with two
/// of them compiled in, asking for "the default" panics.
fn platform_tls() -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_platform_verifier()?.with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::time::Timestamp;

    use super::*;

    fn clock() -> Clock {
        Clock::standing(Timestamp::default()).0
    }

    #[test]
    fn the_token_joins_the_addresss_query() {
        let dialled = |url: &str, token: &str| {
            let dial = Dial::new(url.parse().unwrap(), token, HeaderMap::new(), clock());
            dial.map(|dial| dial.url.to_string()).unwrap()
        };
        assert_eq!(dialled("ws://h/ws", "t-1.x_y"), "ws://h/ws?token=t-1.x_y");
        assert_eq!(dialled("ws://h/ws?", "t"), "ws://h/ws?token=t");
        assert_eq!(dialled("ws://h:1/ws?v=1#f", "a&b=c"), "ws://h:1/ws?v=1&token=a%26b%3Dc");
        assert!(Dial::new("http://h".parse().unwrap(), "t", HeaderMap::new(), clock()).is_err());
        assert!(Dial::new("wss://h".parse().unwrap(), "t", HeaderMap::new(), clock()).is_ok());
    }
}
