//! Polls: the same frames without a socket.

use flate2::read::GzDecoder;
use serde_json::{Value, json};

use crate::support::{Answer, Caller, Device, Gateway, NO_EPOCH, check, cursor, put};

fn path(device: &Device, query: &str) -> String {
    format!("/api/v1/sync/poll?device_id={}{query}", device.id)
}

async fn poll(calls: &Caller, device: &Device, query: &str) -> Value {
    calls.get(&path(device, query)).await.expect(200)
}

/// Polls on from an answer.
async fn poll_on(calls: &Caller, device: &Device, answer: &Value, query: &str) -> Value {
    let cursor = answer["cursor"].as_str().unwrap();
    poll(calls, device, &format!("&cursor={cursor}{query}")).await
}

fn encoded(cursors: &Value) -> String {
    cursors.to_string().replace('"', "%22").replace('{', "%7B").replace('}', "%7D")
}

fn entries(answer: &Value) -> Vec<Value> {
    let frames = answer["frames"].as_array().unwrap().iter();
    let entries = frames.filter_map(|frame| frame["entries"].as_array());
    entries.flatten().cloned().collect()
}

/// A snapshot first, then what is new, then nothing; the cursor carries on.
#[tokio::test]
async fn a_device_polls() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let calls = gateway.calls_of(&phone);
    calls.register(&phone).await;
    let first = poll(&calls, &phone, "").await;
    backend.make("u1", "steps").await;
    let second = poll_on(&calls, &phone, &first, "").await;
    let third = poll_on(&calls, &phone, &second, "").await;
    assert_eq!(third["frames"], json!([]));
    check!("polled", gateway.said());
}

/// `cursors` takes the JSON of hello's cursors, with all its verdicts.
#[tokio::test]
async fn cursors_are_taken_as_in_hello() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let calls = gateway.calls_of(&phone);
    calls.register(&phone).await;
    let first = poll(&calls, &phone, "").await;
    let epoch = &first["streams"]["user:u1"]["epoch"];
    backend.make("u1", "steps").await;
    gateway.said();
    for cursors in [
        cursor("user:u1", epoch, 0),
        cursor("user:u1", epoch, 1),
        cursor("user:u1", epoch, 2),
        cursor("user:u1", &json!(NO_EPOCH), 0),
        json!({}),
    ] {
        poll(&calls.quiet(), &phone, &format!("&cursors={}", encoded(&cursors))).await;
        gateway.transcript().said("phone polls with", &cursors);
        let answer = poll(&calls.quiet(), &phone, &format!("&cursors={}", encoded(&cursors))).await;
        gateway.transcript().said("gateway ->", &answer);
    }
    check!("cursors", gateway.said());
}

/// Shared streams are named in `subscribe`; those refused have their verdict.
#[tokio::test]
async fn shared_streams_are_polled() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let calls = gateway.calls_of(&phone);
    calls.register(&phone).await;
    backend.publish("news", json!([put("a", &json!({ "t": 1 }))])).await;
    let query = "&subscribe=news,user:u2,nowhere";
    let first = poll(&calls, &phone, query).await;
    backend.publish("news", json!([put("a", &json!({ "t": 2 }))])).await;
    poll_on(&calls, &phone, &first, query).await;
    check!("shared", gateway.said());
}

/// `limit` counts entries; `more` says that the next poll need not wait.
#[tokio::test]
async fn answers_are_limited() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let calls = gateway.calls_of(&phone).quiet();
    calls.register(&phone).await;
    let mut answer = poll(&calls, &phone, "").await;
    backend.make_many("u1", 5, 1).await;
    for (count, more) in [(2, true), (2, true), (1, false), (0, false)] {
        answer = poll_on(&calls, &phone, &answer, "&limit=2").await;
        assert_eq!((entries(&answer).len(), &answer["more"]), (count, &json!(more)));
    }
    let all = poll(&calls, &phone, "&limit=500").await;
    assert_eq!(all["frames"][0]["items"].as_array().unwrap().len(), 5);
}

/// Without a limit an answer holds 200 entries.
#[tokio::test]
async fn an_answer_holds_200_entries() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let calls = gateway.calls_of(&phone).quiet();
    calls.register(&phone).await;
    let mut answer = poll(&calls, &phone, "").await;
    backend.make_many("u1", 450, 1).await;
    for (count, more) in [(200, true), (200, true), (50, false)] {
        answer = poll_on(&calls, &phone, &answer, "").await;
        assert_eq!((entries(&answer).len(), &answer["more"]), (count, &json!(more)));
    }
}

/// The cursor carries the progress of a snapshot: it ends once, and the next
/// events follow on it, though commands came in between.
#[tokio::test]
async fn a_snapshot_goes_on_across_polls() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let calls = gateway.calls_of(&phone).quiet();
    calls.register(&phone).await;
    let ids = backend.make_many("u1", 5, 1).await;
    let (mut seen, mut answer) = (Vec::new(), poll(&calls, &phone, "&limit=2").await);
    backend.make("u1", "in between").await;
    loop {
        let frames = answer["frames"].as_array().unwrap();
        let snapshots = frames.iter().filter(|frame| frame["type"] == "snapshot");
        for page in snapshots {
            assert_eq!(page["seq"], 5);
            seen.extend(
                page["items"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|item| item["body"]["command_id"].as_str().unwrap().to_owned()),
            );
        }
        if frames.iter().any(|frame| frame["last"] == true) {
            break;
        }
        assert_eq!(answer["more"], true);
        answer = poll_on(&calls, &phone, &answer, "&limit=2").await;
    }
    assert_eq!(&seen[..5], ids);
    let rest = entries(&answer);
    let rest = if rest.is_empty() {
        let next = poll_on(&calls, &phone, &answer, "").await;
        assert_eq!(next["frames"][0]["prev"], 5);
        entries(&next)
    } else {
        rest
    };
    assert_eq!(rest.len(), 1);
}

/// Positions that do not concern the device are carried silently.
#[tokio::test]
async fn entries_for_others_are_passed_over() {
    let gateway = Gateway::start().await;
    let (phone, tablet) = (gateway.device("phone", "u1"), gateway.device("tablet", "u1"));
    let backend = gateway.backend();
    let calls = gateway.calls_of(&phone);
    calls.register(&phone).await;
    gateway.calls_of(&tablet).register(&tablet).await;
    let first = poll(&calls, &phone, "").await;
    gateway.said();
    backend.make_for(&tablet, "steps").await;
    let second = poll_on(&calls, &phone, &first, "").await;
    backend.make("u1", "weight").await;
    poll_on(&calls, &phone, &second, "").await;
    check!("passed_over", gateway.said());
}

/// A poll leaves a live session of the same device alone.
#[tokio::test]
async fn a_live_session_is_not_disturbed() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let calls = gateway.calls_of(&phone).quiet();
    let mut socket = phone.open().await;
    let first = poll(&calls, &phone, "").await;
    backend.make("u1", "steps").await;
    let second = poll_on(&calls, &phone, &first, "").await;
    poll_on(&calls, &phone, &second, "").await;
    let events = socket.expect("events").await;
    assert_eq!((&events["prev"], &events["seq"]), (&json!(0), &json!(1)));
    socket.ack(&events).await;
    socket.expect_nothing_pending().await;
}

/// The timeline names the channel of the delivery; the next cursor acks it.
#[tokio::test]
async fn the_timeline_names_the_poll() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let calls = gateway.calls_of(&phone).quiet();
    calls.register(&phone).await;
    let first = poll(&calls, &phone, "").await;
    let id = backend.make("u1", "steps").await;
    let second = poll_on(&calls, &phone, &first, "").await;
    backend.timeline(&id, 2).await;
    poll_on(&calls, &phone, &second, "").await;
    let command = backend.timeline(&id, 3).await;
    gateway.said();
    gateway.transcript().said("the command:", &command);
    check!("timeline", gateway.said());
}

/// Wrong polls are refused by name.
#[tokio::test]
async fn wrong_polls_are_refused() {
    let gateway = Gateway::start().await;
    let phone = gateway.device("phone", "u1");
    let calls = gateway.calls_of(&phone);
    calls.get(&path(&phone, "")).await.expect_error(404, "device_not_found");
    calls.register(&phone).await;
    for query in [
        "&wait_s=56",
        "&wait_s=-1",
        "&limit=0",
        "&limit=501",
        "&cursor=rubbish",
        "&cursor=",
        "&cursors=rubbish",
        "&cursor=e30&cursors=%7B%7D",
        "&subscribe=no%20stream",
    ] {
        calls.get(&path(&phone, query)).await.expect_error(422, "invalid");
    }
    calls.get("/api/v1/sync/poll").await.expect_error(422, "invalid");
    calls.get("/api/v1/sync/poll?device_id=7").await.expect_error(422, "invalid");
    gateway.backend().get(&path(&phone, "")).await.expect_error(403, "forbidden");
    check!("refused", gateway.said());
}

/// Long answers are compressed when asked.
#[tokio::test]
async fn answers_are_compressed() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let calls = gateway.calls_of(&phone).quiet();
    calls.register(&phone).await;
    backend.make_many("u1", 50, 100).await;
    let plain = calls.get(&path(&phone, "")).await;
    assert_eq!(plain.header("content-encoding"), None);
    let unpack = |answer: &Answer| -> Value {
        match answer.header("content-encoding").unwrap() {
            "gzip" => serde_json::from_reader(GzDecoder::new(&*answer.bytes)).unwrap(),
            "zstd" => serde_json::from_slice(&zstd::decode_all(&*answer.bytes).unwrap()).unwrap(),
            other => panic!("{other}"),
        }
    };
    for encoding in ["gzip", "zstd"] {
        let packed = calls.clone().with_header("accept-encoding", encoding);
        let packed = packed.get(&path(&phone, "")).await;
        assert_eq!(packed.header("content-encoding"), Some(encoding));
        assert!(packed.bytes.len() < plain.bytes.len() / 3);
        assert_eq!(unpack(&packed)["frames"], plain.body["frames"]);
    }
}
