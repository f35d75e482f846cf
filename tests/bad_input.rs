//! Proves that bad input ends at most the session it came on, with a code and
//! a reason that arrive, and that nobody else notices.

use futures_util::SinkExt as _;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::{Caller, Device, Gateway, Setup, Socket, bounded};

mod bodies;
mod doors;
mod frames;
mod packed;
mod positions;
mod stuck;
mod tokens;

/// A gateway with a live session of somebody who has nothing to do with it.
struct Scene {
    gateway: Gateway,
    backend: Caller,
    bystander: Socket,
    /// Where the bystander stands.
    seq: i64,
}

impl Scene {
    async fn start() -> Self {
        Self::with(Setup::new()).await
    }

    async fn with(setup: Setup) -> Self {
        let gateway = setup.start().await;
        let backend = gateway.backend().quiet();
        let device = gateway.device("bystander", "bystander");
        let mut bystander = device.connect().await;
        bystander.quiet(true);
        bystander.begin(&device.hello()).await;
        bystander.snapshot().await;
        gateway.said();
        Self { gateway, backend, bystander, seq: 0 }
    }

    fn device(&self) -> Device {
        self.gateway.device("device", "u1")
    }

    fn say(&self, line: &str) {
        self.gateway.transcript().say(line);
    }

    /// Makes a command; its id.
    async fn command(&self, body: &Value) -> String {
        let accepted = self.backend.post("/api/v1/commands", body).await.expect(202);
        accepted["command_id"].as_str().unwrap().to_owned()
    }

    /// The bystander's session is the one of the beginning, the next thing it
    /// hears is its own next command, and nothing came before it.
    async fn nobody_noticed(&mut self) {
        let body = json!({ "user_id": "bystander", "data_type": "steps", "value": self.seq });
        let id = self.command(&body).await;
        let events = self.bystander.expect("events").await;
        assert_eq!(events["prev"], self.seq);
        let entries = events["entries"].as_array().unwrap();
        assert_eq!(entries.len(), 1, "{events}");
        assert_eq!(entries[0]["body"]["command_id"], json!(id));
        self.seq += 1;
        assert_eq!(events["seq"], self.seq);
        self.bystander.ack(&events).await;
    }
}

/// The answer to an upgrade that is refused: its status and error code.
async fn refused(device: &Device, request: Request) -> (u16, String) {
    match device.connect_with(request).await.map(drop) {
        Err(Error::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            let body: Value = serde_json::from_slice(body).unwrap();
            let code = body["error"]["code"].as_str().unwrap().to_owned();
            (response.status().as_u16(), code)
        }
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// Sends a message so many times, as fast as the gateway takes it.
async fn flood(socket: &mut Socket, message: &Message, times: usize) {
    let sending = async {
        for _ in 0..times {
            socket.ws.feed(message.clone()).await.unwrap();
        }
        socket.ws.flush().await.unwrap();
    };
    bounded("a flood", sending).await;
}
