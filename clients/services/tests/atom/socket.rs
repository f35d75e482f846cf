//! The socket: its handshake, its messages, its heartbeat and its ends.

use std::sync::Mutex;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tidegate_services::atom::contract::Contract;
use tidegate_services::atom::error::{Retry, SocketError};
use tidegate_services::atom::message::InvalidMessage;
use tidegate_services::atom::socket::{AtomSocket, CloseReason, SocketEvent, SocketOptions};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::atom::stage::{Answer, Stage, TOKEN, answer, client};

type Server = WebSocketStream<TcpStream>;

/// Long enough for a busy machine.
const LONG: Duration = Duration::from_secs(10);

const DELETE: &str = r#"{"type":"skill_delete","data":{"skill_id":"s"}}"#;

/// No heartbeat within any test.
fn quiet() -> SocketOptions {
    SocketOptions {
        heartbeat: Duration::from_mins(1),
        pong_timeout: LONG,
        connect_timeout: LONG,
        message_bytes: 1000,
    }
}

/// Opens a socket and lets both sides play their part.
async fn play(
    options: SocketOptions,
    server: impl AsyncFnOnce(Server),
    client: impl AsyncFnOnce(AtomSocket),
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ws_url = format!("ws://{}/ws", listener.local_addr().unwrap());
    let atom = self::client(Contract::B, "http://127.0.0.1:9", Some(&ws_url), LONG);
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        server(tokio_tungstenite::accept_async(stream).await.unwrap()).await;
    };
    let ask = async { client(atom.connect(options).await.unwrap()).await };
    let both = async { tokio::join!(serve, ask) };
    timeout(LONG, both).await.expect("the play ends");
}

/// Sends texts, and keeps the socket.
async fn say(server: &mut Server, texts: &[&str]) {
    for text in texts {
        server.send(Message::text(*text)).await.unwrap();
    }
}

/// Waits for a text of the client.
async fn hear(server: &mut Server) -> String {
    match server.next().await {
        Some(Ok(Message::Text(text))) => text.to_string(),
        other => panic!("{other:?}"),
    }
}

/// Reads until the client is gone.
async fn drain(mut server: Server) {
    while let Some(Ok(_)) = server.next().await {}
}

/// An event in one word.
async fn word(socket: &mut AtomSocket) -> &'static str {
    match socket.next().await {
        SocketEvent::Message(message) => message.as_str(),
        SocketEvent::Invalid(invalid) => invalid.as_str(),
        SocketEvent::Closed(reason) => reason.as_str(),
    }
}

async fn words(socket: &mut AtomSocket, many: usize) -> Vec<&'static str> {
    let mut words = Vec::new();
    for _ in 0..many {
        words.push(word(socket).await);
    }
    words
}

/// The token is in the address; generation C shows its headers too.
#[tokio::test]
async fn the_handshake_says_who_asks() {
    for contract in [Contract::A, Contract::B, Contract::C] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ws_url = format!("ws://{}/ws?v=1", listener.local_addr().unwrap());
        let atom = client(contract, "http://127.0.0.1:9", Some(&ws_url), LONG);
        let asked = Mutex::new(None);
        #[expect(clippy::result_large_err, reason = "the type of tungstenite's callback")]
        let note = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
            *asked.lock().unwrap() = Some(request.clone());
            Ok(response)
        };
        let serve = async {
            let (stream, _) = listener.accept().await.unwrap();
            tokio_tungstenite::accept_hdr_async(stream, note).await.unwrap()
        };
        let (_server, socket) = tokio::join!(serve, atom.connect(quiet()));
        assert!(socket.is_ok());
        let request = asked.lock().unwrap().take().unwrap();
        assert_eq!(request.uri(), format!("/ws?v=1&token={TOKEN}").as_str());
        let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap());
        let in_c = |value| Some(value).filter(|_| contract == Contract::C);
        assert_eq!(header("x-api-token"), in_c(TOKEN));
        assert_eq!(header("x-federation-key"), in_c(TOKEN));
        assert_eq!(header("x-instance-id"), in_c("instance-1"));
        assert_eq!(header("authorization"), None);
    }
}

/// A refused, missing or silent server is told apart, without the address.
#[tokio::test]
async fn a_failed_handshake_says_why() {
    let connect = async |answer: Answer, connect_timeout: Duration| -> SocketError {
        let stage = Stage::new([answer]).await;
        let options = SocketOptions { connect_timeout, ..quiet() };
        stage.atom().connect(options).await.unwrap_err()
    };
    let after = |seconds| Retry::After(Duration::from_secs(seconds));
    for (answer, word, retry) in [
        (answer("401 Unauthorized", "", "{}"), "unauthorized", Retry::Never),
        (answer("403 Forbidden", "", "{}"), "forbidden", Retry::Never),
        (answer("429 Slow", "retry-after: 7\r\n", ""), "rate_limited", after(7)),
        (answer("503 Down", "", "<html>"), "unavailable", Retry::Backoff),
        (answer("200 OK", "", "{}"), "unexpected", Retry::Never),
        (answer("101 Switching Protocols", "", ""), "handshake", Retry::Never),
        (Answer::Bytes(Vec::new()), "broken", Retry::Backoff),
    ] {
        let error = connect(answer, LONG).await;
        assert_eq!((error.as_str(), error.retry), (word, retry));
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(TOKEN) && !shown.contains("127.0.0.1"), "{shown}");
    }
    let silent = connect(Answer::Hang(Vec::new()), Duration::from_millis(100)).await;
    assert_eq!((silent.as_str(), silent.retry), ("timed_out", Retry::Backoff));
    let nobody = client(Contract::B, "http://127.0.0.1:9", None, LONG);
    assert_eq!(nobody.connect(quiet()).await.unwrap_err().as_str(), "not_configured");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ws_url = format!("ws://{}/ws", listener.local_addr().unwrap());
    drop(listener);
    let absent = client(Contract::B, "http://127.0.0.1:9", Some(&ws_url), LONG);
    assert_eq!(absent.connect(quiet()).await.unwrap_err().as_str(), "connect");
}

/// Bad messages are named and dropped; the connection stays.
#[tokio::test]
async fn bad_messages_keep_the_connection() {
    let rating = r#"{"type":"rating_update","data":{"skill_id":"s","rating":true}}"#;
    let server = async |mut server: Server| {
        say(&mut server, &["nonsense", "[]", "{}", r#"{"type":"skill_update"}"#, rating]).await;
        server.send(Message::binary(DELETE)).await.unwrap();
        say(&mut server, &[r#"{"type":"other"}"#, DELETE]).await;
        drain(server).await;
    };
    play(quiet(), server, async |mut socket| {
        let expected = [
            "not_an_object",
            "not_an_object",
            "type",
            "data",
            "rating",
            "binary",
            "unknown",
            "skill_delete",
        ];
        assert_eq!(words(&mut socket, 8).await, expected);
    })
    .await;
}

/// A message over the limit is dropped; one far over it ends the connection.
#[tokio::test]
async fn large_messages_are_dropped() {
    let padded = |bytes: usize| format!("{DELETE}{}", " ".repeat(bytes - DELETE.len()));
    let server = async |mut server: Server| {
        say(&mut server, &[&padded(1000), &padded(1001), &padded(4000), DELETE]).await;
        say(&mut server, &[&padded(4001)]).await;
        drain(server).await;
    };
    play(quiet(), server, async |mut socket| {
        let expected =
            ["skill_delete", "too_large", "too_large", "skill_delete", "message_too_large"];
        assert_eq!(words(&mut socket, 5).await, expected);
        assert_eq!(word(&mut socket).await, "message_too_large", "the end is the end");
    })
    .await;
    let options = SocketOptions { message_bytes: 1024 * 1024, ..quiet() };
    let server = async |mut server: Server| {
        say(&mut server, &[&padded(1024 * 1024 + 1), &padded(1024 * 1024)]).await;
        drain(server).await;
    };
    play(options, server, async |mut socket| {
        let event = socket.next().await;
        assert!(matches!(event, SocketEvent::Invalid(InvalidMessage::TooLarge)), "{event:?}");
        assert_eq!(word(&mut socket).await, "skill_delete");
    })
    .await;
}

/// Pings of the server are answered, in the marketplace's own messages and in
/// those of the WebSocket protocol.
#[tokio::test]
async fn the_servers_pings_are_answered() {
    let server = async |mut server: Server| {
        say(&mut server, &[r#"{"type":"ping","timestamp":"2026-02-19T10:30:00Z"}"#]).await;
        assert_eq!(hear(&mut server).await, r#"{"type":"pong"}"#);
        server.send(Message::Ping(Bytes::from_static(b"x"))).await.unwrap();
        let pong = server.next().await.unwrap().unwrap();
        assert_eq!(pong, Message::Pong(Bytes::from_static(b"x")));
        server.close(None).await.unwrap();
        drain(server).await;
    };
    play(quiet(), server, async |mut socket| {
        assert_eq!(words(&mut socket, 2).await, ["ping", "closed_by_server"]);
    })
    .await;
}

/// A pong keeps the connection, in either form; the next ping follows.
#[tokio::test]
async fn pongs_keep_the_connection() {
    let options = SocketOptions { heartbeat: Duration::from_millis(20), ..quiet() };
    let server = async |mut server: Server| {
        assert_eq!(hear(&mut server).await, r#"{"type":"ping"}"#);
        say(&mut server, &[r#"{"type":"pong"}"#]).await;
        assert_eq!(hear(&mut server).await, r#"{"type":"ping"}"#);
        server.send(Message::Pong(Bytes::new())).await.unwrap();
        assert_eq!(hear(&mut server).await, r#"{"type":"ping"}"#);
        server.close(None).await.unwrap();
        drain(server).await;
    };
    play(options, server, async |mut socket| {
        assert_eq!(words(&mut socket, 2).await, ["pong", "closed_by_server"]);
    })
    .await;
}

/// Without a pong the connection ends, though messages go on coming.
#[tokio::test]
async fn messages_are_no_pongs() {
    let options = SocketOptions {
        heartbeat: Duration::from_millis(20),
        pong_timeout: Duration::from_millis(60),
        ..quiet()
    };
    let server = async |mut server: Server| {
        // Until the client is gone.
        while server.send(Message::text(DELETE)).await.is_ok() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    play(options, server, async |mut socket| {
        let mut messages = 0;
        let end = loop {
            match socket.next().await {
                SocketEvent::Message(_) => messages += 1,
                SocketEvent::Closed(reason) => break reason,
                SocketEvent::Invalid(invalid) => panic!("{invalid}"),
            }
        };
        assert_eq!(end, CloseReason::PongTimeout);
        assert!(messages > 0);
    })
    .await;
}

/// A flood cannot hold off the time-out for ever.
#[tokio::test]
async fn a_flood_is_no_pong() {
    let options = SocketOptions {
        heartbeat: Duration::from_millis(5),
        pong_timeout: Duration::from_millis(5),
        ..quiet()
    };
    let server = async |mut server: Server| {
        while server.feed(Message::text(DELETE)).await.is_ok() {}
    };
    play(options, server, async |mut socket| {
        while word(&mut socket).await == "skill_delete" {}
        assert_eq!(word(&mut socket).await, "pong_timeout");
    })
    .await;
}

/// A pong that came in time counts, however late its reader is.
#[tokio::test]
async fn a_slow_reader_is_no_dead_server() {
    let options = SocketOptions {
        heartbeat: Duration::from_millis(10),
        pong_timeout: Duration::from_millis(200),
        ..quiet()
    };
    let (all_said, is_all_said) = oneshot::channel();
    let server = async |mut server: Server| {
        assert_eq!(hear(&mut server).await, r#"{"type":"ping"}"#);
        say(&mut server, &[DELETE, DELETE, r#"{"type":"pong"}"#]).await;
        server.close(None).await.unwrap();
        all_said.send(()).unwrap();
        drain(server).await;
    };
    play(options, server, async |mut socket| {
        assert_eq!(word(&mut socket).await, "skill_delete");
        is_all_said.await.unwrap();
        sleep(Duration::from_millis(250)).await;
        let expected = ["skill_delete", "pong", "closed_by_server"];
        assert_eq!(words(&mut socket, 3).await, expected);
    })
    .await;
}

/// Every end has its reason.
#[tokio::test]
async fn the_end_says_why() {
    let close = async |mut server: Server| {
        use tokio_tungstenite::tungstenite::protocol::CloseFrame;
        let frame = CloseFrame { code: 1012.into(), reason: "restart".into() };
        server.close(Some(frame)).await.unwrap();
        // The client answers the goodbye.
        assert!(matches!(server.next().await, Some(Ok(Message::Close(_)))));
    };
    play(quiet(), close, async |mut socket| {
        let end = socket.next().await;
        let expected = CloseReason::Server { code: Some(1012) };
        assert!(matches!(end, SocketEvent::Closed(reason) if reason == expected), "{end:?}");
    })
    .await;
    let vanish = async |server: Server| drop(server);
    play(quiet(), vanish, async |mut socket| {
        assert_eq!(word(&mut socket).await, "connection_broken");
    })
    .await;
    let garble = async |mut server: Server| {
        let frame = Frame::message(Bytes::from_static(b"\xff"), OpCode::Data(Data::Text), true);
        server.send(Message::Frame(frame)).await.unwrap();
        drain(server).await;
    };
    play(quiet(), garble, async |mut socket| {
        assert_eq!(word(&mut socket).await, "protocol_error");
    })
    .await;
}

/// A client that leaves says so.
#[tokio::test]
async fn leaving_is_announced() {
    let server = async |mut server: Server| {
        say(&mut server, &[DELETE]).await;
        assert!(matches!(server.next().await, Some(Ok(Message::Close(_)))));
        drain(server).await;
    };
    play(quiet(), server, async |socket| socket.close().await).await;
}

/// Waiting for an event may be broken off at any time: nothing is lost.
#[tokio::test]
async fn waiting_can_be_broken_off() {
    let server = async |mut server: Server| {
        for number in 0..100 {
            let text = format!(r#"{{"type":"skill_delete","data":{{"skill_id":"{number}"}}}}"#);
            server.send(Message::text(text)).await.unwrap();
            if number % 10 == 0 {
                sleep(Duration::from_millis(5)).await;
            }
        }
        drain(server).await;
    };
    play(quiet(), server, async |mut socket| {
        use tidegate_services::atom::message::Message::SkillDelete;
        for number in 0..100 {
            let event = loop {
                if let Ok(event) = timeout(Duration::from_millis(1), socket.next()).await {
                    break event;
                }
            };
            let SocketEvent::Message(SkillDelete { skill_id, .. }) = event else {
                panic!("{event:?}")
            };
            assert_eq!(skill_id, number.to_string());
        }
    })
    .await;
}
