//! A plain WebSocket to the gateway that takes every cut calmly.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tidegate_protocol::id::UserId;
use tidegate_protocol::server::ServerMessage;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::support::Token;

/// A connection.
pub(super) struct Wire(WebSocketStream<TcpStream>);

/// What came.
pub(super) enum Heard {
    Message(ServerMessage),
    Closed(u16, String),
    Cut,
}

impl Wire {
    /// `None` when the gateway is not there.
    pub(super) async fn connect(address: SocketAddr, user: &UserId) -> Option<Self> {
        let mut request = format!("ws://{address}/api/v1/sync/ws").into_client_request().ok()?;
        let token = Token::device(user.as_str()).sign();
        let headers = request.headers_mut();
        headers.insert("authorization", format!("Bearer {token}").parse().ok()?);
        headers.insert("sec-websocket-protocol", "tidegate.v1".parse().ok()?);
        let tcp = TcpStream::connect(address).await.ok()?;
        tcp.set_nodelay(true).ok()?;
        let (socket, _) = tokio_tungstenite::client_async(request, tcp).await.ok()?;
        Some(Self(socket))
    }

    pub(super) async fn send(&mut self, frame: &Value) -> Option<()> {
        self.0.send(Message::text(frame.to_string())).await.ok()
    }

    pub(super) async fn next(&mut self) -> Heard {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Text(text))) => {
                    let (message, _) = ServerMessage::parse(&text).expect("frames are readable");
                    return Heard::Message(message);
                }
                Some(Ok(Message::Close(Some(frame)))) => {
                    return Heard::Closed(frame.code.into(), frame.reason.to_string());
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                _ => return Heard::Cut,
            }
        }
    }
}
