//! A raw WebSocket client, written down.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tidegate_protocol::encoding::Encoding;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::token::Token;
use crate::support::transcript::Transcript;
use crate::support::wait::LIMIT;

/// An app install: what it needs to connect.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) name: String,
    pub(crate) user: String,
    pub(crate) id: String,
    address: String,
    transcript: Transcript,
}

impl Device {
    pub(crate) fn new(
        name: &str,
        user: &str,
        id: &str,
        address: String,
        transcript: Transcript,
    ) -> Self {
        let (name, user, id) = (name.to_owned(), user.to_owned(), id.to_owned());
        Self { name, user, id, address, transcript }
    }

    /// The user's own stream.
    pub(crate) fn stream(&self) -> String {
        format!("user:{}", self.user)
    }

    /// A `hello` without cursors; change it as the test needs.
    pub(crate) fn hello(&self) -> Value {
        json!({
            "type": "hello",
            "protocol": 1,
            "device": { "id": self.id, "platform": "ios" },
            "cursors": {},
            "subscribe": [],
        })
    }

    /// The upgrade request, with the user's token in its header.
    pub(crate) fn request(&self) -> Request {
        self.request_with(Some(&Token::device(&self.user).sign()))
    }

    pub(crate) fn request_with(&self, token: Option<&str>) -> Request {
        let url = format!("ws://{}/api/v1/sync/ws", self.address);
        let mut request = url.into_client_request().unwrap();
        let headers = request.headers_mut();
        headers.insert("sec-websocket-protocol", "tidegate.v1".parse().unwrap());
        if let Some(token) = token {
            headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        request
    }

    /// Connects; the device has not said hello yet.
    pub(crate) async fn connect(&self) -> Socket {
        self.connect_with(self.request()).await.expect("the upgrade is accepted")
    }

    /// Connects with a request of the test's own.
    pub(crate) async fn connect_with(&self, request: Request) -> Result<Socket, Error> {
        let connecting = async {
            let tcp = TcpStream::connect(&self.address).await?;
            tcp.set_nodelay(true)?;
            tokio_tungstenite::client_async(request, tcp).await
        };
        let connected = tokio::time::timeout(LIMIT, connecting).await.expect("connecting");
        let (ws, response) = connected?;
        assert_eq!(response.headers()["sec-websocket-protocol"], "tidegate.v1");
        Ok(Socket {
            name: self.name.clone(),
            ws,
            encoding: None,
            transcript: self.transcript.clone(),
            is_quiet: false,
            last_text: String::new(),
            last_was_binary: false,
        })
    }

    /// Connects and says this hello; the socket and its `welcome`.
    pub(crate) async fn open_with(&self, hello: &Value) -> (Socket, Value) {
        let mut socket = self.connect().await;
        let welcome = socket.begin(hello).await;
        (socket, welcome)
    }

    /// Connects without cursors and takes the user stream's snapshot.
    pub(crate) async fn open(&self) -> Socket {
        let (mut socket, _) = self.open_with(&self.hello()).await;
        socket.snapshot().await;
        socket
    }
}

/// A connected socket.
pub(crate) struct Socket {
    name: String,
    pub(crate) ws: WebSocketStream<TcpStream>,
    /// Agreed in `welcome`.
    encoding: Option<Encoding>,
    transcript: Transcript,
    is_quiet: bool,
    /// The text of the frame received last.
    pub(crate) last_text: String,
    /// Whether it came compressed.
    pub(crate) last_was_binary: bool,
}

impl Socket {
    /// Does not write down what follows, or does so again.
    pub(crate) fn quiet(&mut self, is_quiet: bool) {
        self.is_quiet = is_quiet;
    }

    pub(crate) async fn send(&mut self, frame: &Value) {
        self.write(&format!("{} ->", self.name), frame);
        self.send_raw(Message::text(frame.to_string())).await;
    }

    /// Sends a text as it is.
    pub(crate) async fn send_text(&mut self, text: &str) {
        let shown: String = text.chars().take(80).collect();
        self.transcript.say(&format!("{} -> {shown}", self.name));
        self.send_raw(Message::text(text)).await;
    }

    /// Sends a frame compressed, whatever its size.
    pub(crate) async fn send_packed(&mut self, encoding: Encoding, frame: &Value) {
        self.write(&format!("{} -> (binary)", self.name), frame);
        let bytes = encoding.encode(&frame.to_string()).unwrap();
        self.send_raw(Message::binary(bytes)).await;
    }

    pub(crate) async fn send_raw(&mut self, message: Message) {
        let sent = tokio::time::timeout(LIMIT, self.ws.send(message)).await;
        sent.unwrap_or_else(|_| self.fail("sending took too long")).unwrap();
    }

    /// Says hello and takes the welcome.
    pub(crate) async fn begin(&mut self, hello: &Value) -> Value {
        self.send(hello).await;
        let welcome = self.expect("welcome").await;
        let encoding = welcome["encoding"].as_str();
        self.encoding = encoding.map(|name| Encoding::from_name(name).expect("known encoding"));
        welcome
    }

    /// The next frame, of whatever type.
    pub(crate) async fn receive(&mut self) -> Value {
        let message = self.message().await;
        let (text, mark) = match message {
            Message::Text(text) => (text.to_string(), ""),
            Message::Binary(bytes) => {
                let encoding = self.encoding.expect("binary frames only with an encoding");
                (encoding.decode(&bytes).expect("one complete stream"), " (binary)")
            }
            Message::Close(frame) => self.fail(&format!("closed: {frame:?}")),
            other => self.fail(&format!("unexpected {other:?}")),
        };
        let frame: Value = serde_json::from_str(&text).expect("frames are JSON");
        self.last_text = text;
        self.last_was_binary = !mark.is_empty();
        self.write(&format!("gateway -> {}{mark}", self.name), &frame);
        frame
    }

    /// The next message of the WebSocket itself, bounded.
    pub(crate) async fn message(&mut self) -> Message {
        match tokio::time::timeout(LIMIT, self.ws.next()).await {
            Ok(Some(Ok(message))) => message,
            Ok(other) => self.fail(&format!("the connection ended: {other:?}")),
            Err(_) => self.fail("nothing came"),
        }
    }

    /// The next frame, which must be of this type.
    pub(crate) async fn expect(&mut self, frame_type: &str) -> Value {
        let frame = self.receive().await;
        if frame["type"] != frame_type {
            self.fail(&format!("expected `{frame_type}`, got {frame}"));
        }
        frame
    }

    /// Takes snapshot pages up to the last; all items.
    pub(crate) async fn snapshot(&mut self) -> Vec<Value> {
        let mut items = Vec::new();
        loop {
            let page = self.expect("snapshot").await;
            items.extend(page["items"].as_array().unwrap().iter().cloned());
            if page["last"] == true {
                return items;
            }
        }
    }

    /// Takes `events` until so many entries have come; all of them.
    pub(crate) async fn entries(&mut self, count: usize) -> Vec<Value> {
        let mut entries = Vec::new();
        while entries.len() < count {
            let events = self.expect("events").await;
            entries.extend(events["entries"].as_array().unwrap().iter().cloned());
        }
        assert_eq!(entries.len(), count, "{}", self.transcript.so_far());
        entries
    }

    /// Acks a frame that was received: `events` or a snapshot's last page.
    pub(crate) async fn ack(&mut self, frame: &Value) {
        let stream = frame["stream"].as_str().unwrap();
        let cursor = json!({ "epoch": frame["epoch"], "seq": frame["seq"] });
        self.send(&json!({ "type": "ack", "cursors": { stream: cursor } })).await;
    }

    /// The gateway closes with this code and reason, and nothing before.
    pub(crate) async fn expect_close(&mut self, code: u16, reason: &str) {
        let Message::Close(Some(frame)) = self.message().await else {
            self.fail(&format!("expected close {code} {reason}"))
        };
        assert_eq!((u16::from(frame.code), frame.reason.as_str()), (code, reason));
        self.transcript.say(&format!("gateway -> {} close {code} {reason}", self.name));
        // The answer to a close leaves with the next read.
        let end = tokio::time::timeout(LIMIT, self.ws.next()).await;
        assert!(matches!(end, Ok(None | Some(Err(_)))), "after the close: {end:?}");
    }

    /// Like [`Socket::expect_close`], past frames that come before.
    pub(crate) async fn expect_close_after_frames(&mut self, code: u16, reason: &str) {
        loop {
            match self.message().await {
                Message::Close(Some(frame)) => {
                    assert_eq!((u16::from(frame.code), frame.reason.as_str()), (code, reason));
                    return;
                }
                Message::Close(None) => self.fail("closed without a code"),
                _ => {}
            }
        }
    }

    /// Nothing that was caused by now is still to come: the gateway answers
    /// frames of one socket in order.
    pub(crate) async fn expect_nothing_pending(&mut self) {
        let was_quiet = std::mem::replace(&mut self.is_quiet, true);
        self.send(&json!({ "type": "unsubscribe", "streams": [], "ref": "fence" })).await;
        let answer = self.expect("streams").await;
        assert_eq!(answer["ref"], "fence");
        self.is_quiet = was_quiet;
    }

    /// Closes from the device's side.
    pub(crate) async fn close(mut self) {
        let _ = tokio::time::timeout(LIMIT, self.ws.close(None)).await;
        while let Ok(Some(Ok(_))) = tokio::time::timeout(LIMIT, self.ws.next()).await {}
    }

    fn write(&self, head: &str, frame: &Value) {
        if !self.is_quiet {
            self.transcript.said(head, frame);
        }
    }

    #[track_caller]
    fn fail(&self, what: &str) -> ! {
        panic!("{}: {what}\nso far:\n{}", self.name, self.transcript.so_far())
    }
}
