//! Proves that what reads bytes from outside is total: any input gives a value
//! or an error, within its bounds, and never a panic.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use tidegate::transport::poll::PollCursor;
use tidegate_protocol::client::{self, ClientMessage};
use tidegate_protocol::encoding::Encoding;
use tidegate_protocol::json;
use tidegate_protocol::limits::{FRAME_BYTES, JSON_DEPTH};
use tidegate_protocol::server::ServerMessage;

/// Good ones to spoil: random text alone rarely gets past the first brace.
const GOOD: [&str; 9] = [
    r#"{"type":"hello","protocol":1,"device":{"id":"6f1c2a4e-0b7d-4c55-9a3e-2f8f4f1f0d11","platform":"ios","push":null,"capabilities":["a"]},"cursors":{"user:u1":{"epoch":"0a1b2c3d","seq":7}},"subscribe":["news"],"encodings":["zstd"],"heartbeat_s":30,"ref":1}"#,
    r#"{"type":"ack","cursors":{"user:u1":{"epoch":"0a1b2c3d","seq":9007199254740991}}}"#,
    r#"{"type":"results","results":[{"command_id":"00000000-0000-7000-8000-000000000001","attempt":1,"status":"failed","error":"e\u00e9\ud83d\ude00","retryable":true}]}"#,
    r#"{"type":"subscribe","streams":["news","a.b-c_d"],"cursors":{},"ref":"x"}"#,
    r#"{"type":"auth","token":"a.b.c"}"#,
    r#"{"type":"welcome","session_id":"s","device_id":"6f1c2a4e-0b7d-4c55-9a3e-2f8f4f1f0d11","server_time":"2026-01-01T00:00:00.000Z","heartbeat_s":30,"limits":{"frame_bytes":1,"entry_bytes":1,"page_entries":1,"window_entries":1},"streams":{"user:u1":{"epoch":"0a1b2c3d","head":1,"verdict":"reset","reason":"new"}}}"#,
    r#"{"type":"events","stream":"user:u1","epoch":"0a1b2c3d","prev":0,"seq":1,"entries":[{"seq":1,"kind":"command","at":"2026-01-01T00:00:00.000Z","body":{"a":[1,{"b":null}]}}]}"#,
    r#"{"type":"error","code":"invalid","message":"m","retry_after_ms":1}"#,
    r#"{"s":{"user:u1":{"e":"0a1b2c3d","q":1,"r":2,"p":{"records":["c","i"]}},"news":{"e":"0a1b2c3d","q":1,"r":2,"p":"start"}}}"#,
];

/// What to do to a good one.
#[derive(Clone, Debug)]
enum Spoil {
    Cut(prop::sample::Index),
    Set(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Double(prop::sample::Index, prop::sample::Index),
}

fn spoils() -> impl Strategy<Value = Vec<Spoil>> {
    let index = any::<prop::sample::Index>;
    let spoil = prop_oneof![
        index().prop_map(Spoil::Cut),
        (index(), any::<u8>()).prop_map(|(at, byte)| Spoil::Set(at, byte)),
        (index(), prop::sample::select(b"{}[]\":,\\0u-9e.\0 ".to_vec()))
            .prop_map(|(at, byte)| Spoil::Set(at, byte)),
        (index(), prop::collection::vec(any::<u8>(), 1..80))
            .prop_map(|(at, bytes)| Spoil::Insert(at, bytes)),
        (index(), index()).prop_map(|(from, to)| Spoil::Double(from, to)),
    ];
    prop::collection::vec(spoil, 0..4)
}

fn spoil(mut bytes: Vec<u8>, spoils: Vec<Spoil>) -> Vec<u8> {
    for spoil in spoils {
        if bytes.is_empty() {
            return bytes;
        }
        match spoil {
            Spoil::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Spoil::Set(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            Spoil::Insert(at, more) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, more);
            }
            Spoil::Double(from, to) => {
                let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
                let part = bytes[from.min(to)..from.max(to)].to_vec();
                bytes.splice(to..to, part);
            }
        }
    }
    bytes
}

/// Anything, or something nearly good.
fn texts() -> impl Strategy<Value = String> {
    let spoiled = (prop::sample::select(GOOD.to_vec()), spoils()).prop_map(|(good, spoils)| {
        String::from_utf8_lossy(&spoil(good.as_bytes().to_vec(), spoils)).into_owned()
    });
    let brackets = prop::collection::vec(prop::sample::select(b"{}[]\"\\,:1".to_vec()), 0..300)
        .prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    prop_oneof![4 => spoiled, 1 => any::<String>(), 1 => brackets]
}

/// How deep a JSON value is nested.
fn depth(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        serde_json::Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn config() -> ProptestConfig {
    // A failure prints its smallest input; nothing is written beside the code.
    ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn client_frames_are_read_or_refused(text in texts()) {
        if let Ok(frame) = client::parse(&text) {
            match serde_json::from_str::<serde_json::Value>(&text) {
                Ok(value) => prop_assert!(value.is_object() && depth(&value) <= JSON_DEPTH),
                // Half a surrogate pair in a field that nobody reads passes.
                Err(_) => prop_assert!(text.to_lowercase().contains(r"\ud"), "{text}"),
            }
            if let ClientMessage::Hello(hello) = frame.body {
                // What was read can be written, and reads as the same.
                let again = client::write("hello", None, &*hello);
                prop_assert!(matches!(client::parse(&again).unwrap().body, ClientMessage::Hello(_)));
            }
        }
    }

    #[test]
    fn server_frames_are_read_or_refused(text in texts()) {
        if let Ok((message, _)) = ServerMessage::parse(&text)
            && !matches!(message, ServerMessage::Unknown)
        {
            let again = message.write(None);
            let (read, _) = ServerMessage::parse(&again).unwrap();
            prop_assert_eq!(read.frame_type(), message.frame_type());
        }
    }

    #[test]
    fn json_is_judged_before_it_is_parsed(text in texts()) {
        let judged = json::check(&text);
        if let Ok(value) = serde_json::from_str::<serde_json::Value>(&text) {
            let has_nul = value.to_string().replace(r"\\", "").contains(r"\u0000");
            prop_assert!(judged.is_err() || (depth(&value) <= JSON_DEPTH && !has_nul), "{text}");
            // The value shows only the last of members with one name; the text
            // shows them all.
            let may_refuse = text.contains(r"\u0000")
                || text.contains('\0')
                || text.matches(['[', '{']).count() > JSON_DEPTH;
            prop_assert!(judged.is_ok() || may_refuse, "{text}");
        }
    }

    #[test]
    fn poll_cursors_are_read_or_refused(text in texts()) {
        let _ = PollCursor::decode(&text);
        let packed = URL_SAFE_NO_PAD.encode(&text);
        if let Ok(cursor) = PollCursor::decode(&packed) {
            prop_assert_eq!(PollCursor::decode(&cursor.encode()).unwrap(), cursor);
        }
    }

    #[test]
    fn packed_frames_are_read_within_the_limit_or_refused(
        good in prop::sample::select(GOOD.to_vec()),
        times in prop::sample::select(vec![1_usize, 10]),
        spoils in spoils(),
        noise in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        for encoding in [Encoding::Zstd, Encoding::DeflateRaw] {
            let _ = encoding.decode(&noise);
            let packed = spoil(encoding.encode(&good.repeat(times)).unwrap(), spoils.clone());
            if let Ok(text) = encoding.decode(&packed) {
                prop_assert!(text.len() <= FRAME_BYTES);
            }
        }
    }
}
