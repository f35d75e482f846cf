//! Frames that cannot be read, come at the wrong moment, are too large, or too
//! many.

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::bad_input::{Scene, flood, refused};
use crate::support::{Setup, Token, check};

/// The largest frame (`welcome.limits.frame_bytes`).
const FRAME_BYTES: usize = 256 * 1024;

/// What is wrong, the frame, and the reason of the close frame.
fn unreadable() -> Vec<(&'static str, String, &'static str)> {
    let text = |text: &str| text.to_owned();
    let deep = |levels: usize| {
        let (open, close) = ("[".repeat(levels - 1), "]".repeat(levels - 1));
        format!(r#"{{"type":"pong","x":{open}{close}}}"#)
    };
    vec![
        ("empty", text(""), "invalid_json"),
        ("not JSON", text("good day"), "invalid_json"),
        ("cut", text(r#"{"type":"pong""#), "invalid_json"),
        ("two values", text(r#"{"type":"pong"}{"type":"pong"}"#), "invalid_json"),
        ("a list", text(r#"[{"type":"pong"}]"#), "invalid_json"),
        ("10,000 levels deep", deep(10_000), "invalid_json"),
        ("65 levels deep", deep(65), "invalid_json"),
        ("U+0000, escaped", text(r#"{"type":"pong","x":"\u0000"}"#), "invalid_json"),
        ("U+0000, raw", text("{\"type\":\"pong\",\"x\":\"\0\"}"), "invalid_json"),
        ("half a surrogate pair", text(r#"{"type":"pong","x":"\ud800"}"#), "invalid_json"),
        ("its other half", text(r#"{"type":"pong","x":"\udc00\ud800"}"#), "invalid_json"),
        ("half a pair as a name", text(r#"{"type":"pong","\uDBFF":1}"#), "invalid_json"),
        ("no type", text("{}"), "missing_type"),
        ("a number as type", text(r#"{"type":7}"#), "missing_type"),
    ]
}

/// Frames with a wrong value: what is wrong, the frame, and the field that an
/// `error` frame names before the close.
const WRONG_FIELDS: [(&str, &str, &str); 8] = [
    ("no cursors", r#"{"type":"ack"}"#, "cursors"),
    ("cursors as list", r#"{"type":"ack","cursors":[]}"#, "cursors"),
    (
        "a negative seq",
        r#"{"type":"ack","cursors":{"user:u1":{"epoch":"aaaaaaaa","seq":-1}}}"#,
        "cursors.user:u1.seq",
    ),
    (
        "a seq of 2^53",
        r#"{"type":"ack","cursors":{"user:u1":{"epoch":"aaaaaaaa","seq":9007199254740992}}}"#,
        "cursors.user:u1.seq",
    ),
    (
        "a status that is none",
        r#"{"type":"results","results":[{"command_id":"00000000-0000-7000-8000-000000000001","status":"done"}]}"#,
        "results[0].status",
    ),
    (
        "an id that is none",
        r#"{"type":"results","results":[{"command_id":"no command","status":"applied"}]}"#,
        "results[0].command_id",
    ),
    ("no token", r#"{"type":"auth"}"#, "token"),
    ("a stream's name", r#"{"type":"subscribe","streams":["no stream"]}"#, "streams[0]"),
];

/// In a live session and as its first frame, each is closed with 4400 and the
/// word for what is wrong.
#[tokio::test]
async fn unreadable_frames_end_their_session_only() {
    let mut scene = Scene::start().await;
    let device = scene.device();
    let wrong = WRONG_FIELDS
        .map(|(what, frame, field)| (what, frame.to_owned(), "invalid_field", Some(field)));
    let unreadable = unreadable().into_iter().map(|(what, frame, reason)| {
        (what, frame, reason, (reason == "missing_type").then_some("type"))
    });
    for (what, frame, reason, field) in unreadable.chain(wrong) {
        scene.say(&format!("-- {what}"));
        let mut live = device.open().await;
        scene.gateway.said();
        live.quiet(true);
        for mut socket in [live, device.connect().await] {
            socket.send_text(&frame).await;
            if let Some(field) = field {
                let error = socket.expect("error").await;
                assert_eq!(error["code"], "invalid", "{what}");
                let message = error["message"].as_str().unwrap();
                assert!(message.contains(&format!("`{field}`: ")), "{what}: {message}");
            }
            socket.expect_close(4400, reason).await;
        }
        scene.nobody_noticed().await;
    }
}

/// A text must be UTF-8, whole, in a fragment, and as the reason of a close;
/// tungstenite would not send these.
#[tokio::test]
async fn a_text_that_is_not_utf_8_ends_its_session_only() {
    let mut scene = Scene::start().await;
    let device = scene.device();
    let masked_with_zeros: [&[u8]; 3] = [
        &[0x81, 0x82, 0, 0, 0, 0, 0xFF, 0xFE],
        &[0x01, 0x81, 0, 0, 0, 0, 0xFF],
        &[0x88, 0x83, 0, 0, 0, 0, 0x03, 0xE8, 0xFF],
    ];
    for bytes in masked_with_zeros {
        for mut socket in [device.open().await, device.connect().await] {
            socket.ws.get_mut().write_all(bytes).await.unwrap();
            socket.expect_close(1007, "invalid_utf8").await;
        }
        scene.nobody_noticed().await;
    }
}

/// A type that a later version may know gets an error, and the session stays.
#[tokio::test]
async fn unknown_types_are_answered_and_the_session_stays() {
    let mut scene = Scene::start().await;
    let mut socket = scene.device().open().await;
    scene.gateway.said();
    for frame in [
        json!({ "type": "dance", "ref": "r1" }),
        json!({ "type": "welcome", "ref": "r2" }),
        json!({ "type": "mutate", "producer_epoch": 0, "mutations": [], "ref": "r3" }),
    ] {
        socket.send(&frame).await;
        assert_eq!(socket.expect("error").await["ref"], frame["ref"]);
    }
    check!("unknown_types", scene.gateway.said());
    socket.expect_nothing_pending().await;
    scene.nobody_noticed().await;
}

#[tokio::test]
async fn hello_comes_first_once_and_in_time() {
    // Two gateways: on the one that waits for a moment only, whoever is to be
    // heard may be late.
    let setup = Setup::new().set("session.hello_timeout_ms", "200");
    let impatient = setup.start().await;
    let device = impatient.device("device", "u1");
    impatient.transcript().say("-- silence");
    let mut socket = device.connect().await;
    socket.expect_close(4408, "hello_timeout").await;

    impatient.transcript().say("-- half a frame");
    let mut socket = device.connect().await;
    socket.ws.get_mut().write_all(&[0x81, 0xFE, 0x01]).await.unwrap();
    socket.expect_close(4408, "hello_timeout").await;

    let mut scene = Scene::start().await;
    let device = scene.device();
    scene.say("-- another frame first");
    let mut socket = device.connect().await;
    socket.send(&json!({ "type": "pong" })).await;
    socket.expect_close(4400, "hello_expected").await;

    scene.say("-- hello again");
    let (mut socket, _) = device.open_with(&device.hello()).await;
    socket.snapshot().await;
    socket.send(&device.hello()).await;
    socket.expect_close(4400, "second_hello").await;
    check!("hello_first", impatient.said() + &scene.gateway.said());
    scene.nobody_noticed().await;
}

/// Values that `hello` cannot have, and one that is only bent to fit.
#[tokio::test]
async fn hello_is_checked_field_by_field() {
    let mut scene = Scene::start().await;
    let device = scene.device();
    let long = "x".repeat(256);
    for (pointer, value, code, reason) in [
        ("/protocol", json!(2), 4406, "protocol_unsupported"),
        ("/protocol", json!("1"), 4400, "invalid_field"),
        ("/device/id", json!("phone"), 4400, "invalid_field"),
        ("/device/id", json!(device.id.replace('-', "")), 4400, "invalid_field"),
        ("/device/platform", json!("toaster"), 4400, "invalid_field"),
        ("/device/name", json!(long), 4400, "invalid_field"),
        ("/device/capabilities", json!([""]), 4400, "invalid_field"),
        ("/device/capabilities", json!(vec!["c"; 65]), 4400, "invalid_field"),
        ("/device/push", json!({ "provider": "pigeon", "token": "t" }), 4400, "invalid_field"),
        ("/device/push", json!({ "provider": "fcm", "token": "" }), 4400, "invalid_field"),
        ("/cursors", json!({ "user:u1": { "seq": 0 } }), 4400, "invalid_field"),
        ("/subscribe", json!(["news", "no stream"]), 4400, "invalid_field"),
        ("/heartbeat_s", json!("30"), 4400, "invalid_field"),
    ] {
        let mut hello = device.hello();
        for field in ["name", "capabilities", "push"] {
            hello["device"][field] = json!(null);
        }
        hello["heartbeat_s"] = json!(30);
        hello["device"].as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let (object, field) = pointer.rsplit_once('/').unwrap();
        hello.pointer_mut(object).unwrap()[field] = value;
        let mut socket = device.connect().await;
        socket.send_raw(Message::text(hello.to_string())).await;
        if code == 4400 {
            let error = socket.expect("error").await;
            let named = pointer[1..].replace('/', ".");
            let message = error["message"].as_str().unwrap();
            assert!(message.contains(&format!("`{named}")), "{pointer}: {message}");
        }
        socket.expect_close(code, reason).await;
        scene.nobody_noticed().await;
    }
    for (asked, given) in [(-5, 10), (1_000_000, 300), (77, 77)] {
        let mut hello = device.hello();
        hello["heartbeat_s"] = json!(asked);
        let (_, welcome) = device.open_with(&hello).await;
        assert_eq!(welcome["heartbeat_s"], json!(given));
    }
    scene.nobody_noticed().await;
}

#[tokio::test]
async fn the_upgrade_needs_the_subprotocol() {
    let mut scene = Scene::start().await;
    let device = scene.device();
    let (protocol, version, key) =
        ("sec-websocket-protocol", "sec-websocket-version", "sec-websocket-key");
    for (header, value, status, error) in [
        (protocol, None, 400, "subprotocol_required"),
        (protocol, Some("chat"), 400, "subprotocol_required"),
        (protocol, Some("tidegate.v2"), 400, "subprotocol_required"),
        (protocol, Some("Tidegate.V1"), 400, "subprotocol_required"),
        (version, Some("8"), 426, "upgrade_required"),
        (version, None, 426, "upgrade_required"),
        ("upgrade", Some("h2c"), 426, "upgrade_required"),
        ("connection", Some("keep-alive"), 426, "upgrade_required"),
        (key, None, 400, "malformed"),
        (key, Some(""), 400, "malformed"),
        (key, Some("sixteen bytes..."), 400, "malformed"),
        (key, Some("MTUgYnl0ZXMgbG9uZy4="), 400, "malformed"),
        (key, Some("MTcgYnl0ZXMgbG9uZyAuLi4="), 400, "malformed"),
        (key, Some("MTYgYnl0ZXMgbG9uZyAuLg"), 400, "malformed"),
    ] {
        let mut request = device.request();
        request.headers_mut().remove(header);
        if let Some(value) = value {
            request.headers_mut().insert(header, value.parse().unwrap());
        }
        // The client library refuses to send some of these: ask over plain HTTP.
        let mut caller = scene.gateway.calls_of(&device).quiet();
        for (name, value) in request.headers() {
            caller = caller.with_header(name.as_str(), value.to_str().unwrap());
        }
        let answer = caller.get("/api/v1/sync/ws").await;
        if status == 426 {
            assert_eq!(answer.header("sec-websocket-version"), Some("13"));
            assert_eq!(answer.header("upgrade"), Some("websocket"));
        }
        answer.expect_error(status, error);
    }
    let mut request = device.request();
    request.headers_mut().insert("sec-websocket-protocol", "chat".parse().unwrap());
    assert_eq!(refused(&device, request).await, (400, "subprotocol_required".to_owned()));
    let caller = scene.gateway.calls_of(&device).quiet();
    caller.get("/api/v1/sync/ws").await.expect_error(426, "upgrade_required");
    scene.nobody_noticed().await;
}

/// A frame one byte over the limit closes 1009, however it comes; one at the
/// limit is read.
#[tokio::test]
async fn frames_that_are_too_large_end_their_session_only() {
    let mut scene = Scene::start().await;
    let device = scene.device();
    let padded = |bytes: usize| {
        let frame = r#"{"type":"pong","x":""}"#;
        frame.replace(r#""""#, &format!("\"{}\"", "x".repeat(bytes - frame.len())))
    };
    let mut socket = device.open().await;
    socket.send_text(&padded(FRAME_BYTES)).await;
    socket.expect_nothing_pending().await;
    socket.send_text(&padded(FRAME_BYTES + 1)).await;
    socket.expect_close(1009, "too_large").await;
    scene.nobody_noticed().await;

    // In pieces, each within the limit.
    let mut socket = device.open().await;
    let piece = vec![b' '; FRAME_BYTES / 2];
    for (opcode, is_last) in [(Data::Text, false), (Data::Continue, false), (Data::Continue, true)]
    {
        let frame = Frame::message(piece.clone(), OpCode::Data(opcode), is_last);
        socket.send_raw(Message::Frame(frame)).await;
    }
    socket.expect_close(1009, "too_large").await;
    scene.nobody_noticed().await;

    // Announced and never sent; also before hello.
    for is_live in [true, false] {
        let mut socket = if is_live { device.open().await } else { device.connect().await };
        let mut header = vec![0x81, 0xFF];
        header.extend_from_slice(&(1_u64 << 40).to_be_bytes());
        header.extend_from_slice(&[0; 4]);
        socket.ws.get_mut().write_all(&header).await.unwrap();
        socket.expect_close(1009, "too_large").await;
    }
    scene.nobody_noticed().await;
}

/// What breaks the WebSocket itself closes 1002, live and before hello, and
/// the code arrives although more comes behind it.
#[tokio::test]
async fn broken_framing_ends_its_session_only() {
    let mut scene = Scene::start().await;
    let device = scene.device();
    let broken: [(&str, &[u8]); 7] = [
        ("not masked", &[0x81, 0x02, b'{', b'}']),
        ("a reserved bit", &[0xF1, 0x80, 0, 0, 0, 0]),
        ("a reserved data frame", &[0x83, 0x80, 0, 0, 0, 0]),
        ("a reserved control frame", &[0x8B, 0x80, 0, 0, 0, 0]),
        ("a ping in pieces", &[0x09, 0x80, 0, 0, 0, 0]),
        ("a piece of nothing", &[0x80, 0x80, 0, 0, 0, 0]),
        ("a close of one byte", &[0x88, 0x81, 0, 0, 0, 0, 0x03]),
    ];
    for (what, bytes) in broken {
        scene.say(&format!("-- {what}"));
        for mut socket in [device.open().await, device.connect().await] {
            let more = [bytes.to_vec(), vec![0xFF; 64 * 1024]].concat();
            socket.ws.get_mut().write_all(&more).await.unwrap();
            socket.expect_close(1002, "protocol_error").await;
        }
        scene.nobody_noticed().await;
    }
}

/// 10,000 frames as fast as they go: 4429 after the burst, whatever they are.
#[tokio::test]
async fn floods_end_their_session_only() {
    let mut scene = Scene::start().await;
    let device = scene.device();
    let cursors = json!({ "type": "ack", "cursors": {} }).to_string();
    for message in [
        Message::text(r#"{"type":"pong"}"#),
        Message::text(cursors),
        Message::text(r#"{"type":"unsubscribe","streams":[]}"#),
        Message::Ping(b"flood".as_slice().into()),
        Message::Pong(b"flood".as_slice().into()),
    ] {
        let mut socket = device.open().await;
        flood(&mut socket, &message, 10_000).await;
        socket.expect_close_after_frames(4429, "too_many_frames").await;
        scene.nobody_noticed().await;
    }
    // Before hello only what is no message can be many.
    for message in
        [Message::Ping(b"flood".as_slice().into()), Message::Pong(b"flood".as_slice().into())]
    {
        for header in [None, Some(Token::device("u1").sign())] {
            let request = device.request_with(header.as_deref());
            let mut socket = device.connect_with(request).await.unwrap();
            flood(&mut socket, &message, 10_000).await;
            socket.expect_close_after_frames(4429, "too_many_frames").await;
            scene.nobody_noticed().await;
        }
    }
}
