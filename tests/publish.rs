//! Publishing to shared streams: versions, conflicts, all or none.

use serde_json::{Value, json};

use crate::support::{Gateway, SecondNode, Setup, Socket, Token, check, put};

const NEWS: &str = "/api/v1/streams/news/records";

fn change(id: &str, op: &str) -> Value {
    json!({ "collection": "items", "id": id, "op": op })
}

fn patch(id: &str, patch: &Value) -> Value {
    json!({ "collection": "items", "id": id, "op": "patch", "patch": patch })
}

/// A device that follows `news`.
async fn follower(gateway: &Gateway) -> Socket {
    let phone = gateway.device("phone", "u1");
    let mut hello = phone.hello();
    hello["subscribe"] = json!(["news"]);
    let (mut socket, _) = phone.open_with(&hello).await;
    socket.snapshot().await;
    socket.snapshot().await;
    gateway.said();
    socket
}

/// Versions count every change, and go on after a delete.
#[tokio::test]
async fn records_have_versions() {
    let gateway = Gateway::start().await;
    let backend = gateway.backend();
    let mut socket = follower(&gateway).await;
    let long = json!({ "title": "a title that is long enough", "n": 1 });
    backend.publish("news", json!([put("a", &long)])).await;
    socket.entries(1).await;
    backend.publish("news", json!([patch("a", &json!({ "n": 2 }))])).await;
    socket.entries(1).await;
    backend.publish("news", json!([change("a", "delete")])).await;
    socket.entries(1).await;
    backend.publish("news", json!([put("a", &json!({ "n": 3 }))])).await;
    socket.entries(1).await;
    check!("versions", gateway.said());
}

/// A patch is sent as the whole record where it holds null, or is not smaller.
#[tokio::test]
async fn a_patch_is_sent_only_where_it_says_the_same() {
    let gateway = Gateway::start().await;
    let backend = gateway.backend();
    let mut socket = follower(&gateway).await;
    let whole = json!({ "a": { "b": 1, "c": [1, 2] }, "text": "a text that is long enough" });
    backend.publish("news", json!([put("r", &whole)])).await;
    socket.entries(1).await;
    for (merge, op, after) in [
        (json!({ "a": { "b": null } }), "put", json!({ "a": { "c": [1, 2] } })),
        (json!({ "a": { "c": [3] } }), "patch", json!({ "a": { "c": [3] } })),
        (
            json!({ "new": { "x": [null] } }),
            "put",
            json!({ "a": { "c": [3] }, "new": { "x": [null] } }),
        ),
        (json!({ "text": null, "new": null }), "put", json!({ "a": { "c": [3] } })),
        (
            json!({ "a": { "c": [4, 5, 6, 7, 8, 9] } }),
            "put",
            json!({ "a": { "c": [4, 5, 6, 7, 8, 9] } }),
        ),
    ] {
        backend.publish("news", json!([patch("r", &merge)])).await;
        let entries = socket.entries(1).await;
        let body = &entries[0]["body"];
        assert_eq!(body["op"], op, "{body}");
        if op == "patch" {
            assert_eq!(body["patch"], merge);
        } else {
            let mut data = body["data"].clone();
            data.as_object_mut().unwrap().remove("text");
            assert_eq!(data, after);
        }
    }
}

/// A base that moved is a conflict with the current version; of a call with a
/// conflict nothing is done.
#[tokio::test]
async fn a_base_that_moved_is_a_conflict() {
    let gateway = Gateway::start().await;
    let backend = gateway.backend();
    let based = |mut change: Value, version: i64| {
        change["base_version"] = json!(version);
        change
    };
    let one = json!({ "n": 1 });
    backend.publish("news", json!([based(put("a", &one), 0)])).await;
    backend.publish("news", json!([based(put("a", &one), 1)])).await;
    for records in [
        json!([based(put("a", &one), 1)]),
        json!([based(put("a", &one), 0)]),
        json!([put("new", &one), based(patch("a", &one), 3)]),
        json!([based(put("b", &one), 1)]),
        json!([patch("b", &one)]),
        json!([change("b", "delete")]),
        json!([change("a", "delete"), patch("a", &one)]),
    ] {
        let answer = backend.post(NEWS, &json!({ "records": records })).await;
        answer.expect_error(409, "version_conflict");
    }
    let published = backend.publish("news", json!([based(put("new", &one), 0)])).await;
    assert_eq!(published["seq"], 3);
    check!("conflicts", gateway.said());
}

/// Several changes of one record in one call build on each other.
#[tokio::test]
async fn changes_of_one_call_build_on_each_other() {
    let gateway = Gateway::start().await;
    let backend = gateway.backend();
    let mut socket = follower(&gateway).await;
    let mut last = patch("a", &json!({ "m": 3 }));
    last["base_version"] = json!(2);
    let records = json!([put("a", &json!({ "n": 1 })), patch("a", &json!({ "n": 2 })), last]);
    let published = backend.publish("news", records).await;
    assert_eq!(published["versions"], json!([1, 2, 3]));
    socket.entries(3).await;
    check!("in_one_call", gateway.said());
}

/// An Idempotency-Key makes a publish once.
#[tokio::test]
async fn a_repeated_publish_is_done_once() {
    let gateway = Gateway::start().await;
    let backend = gateway.backend().with_key("p-1");
    let body = json!({ "records": [put("a", &json!({ "n": 1 }))] });
    let posts: Vec<_> = (0..4).map(|_| backend.post(NEWS, &body)).collect();
    let answers = futures_util::future::join_all(posts).await;
    let mut statuses: Vec<_> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 202]);
    let expected = json!({ "stream": "news", "seq": 1, "versions": [1] });
    assert!(answers.iter().all(|answer| answer.body == expected));
    let other = json!({ "records": [put("a", &json!({ "n": 2 }))] });
    backend.post(NEWS, &other).await.expect_error(409, "idempotency_mismatch");
    let prices = "/api/v1/streams/prices/records";
    backend.post(prices, &body).await.expect_error(409, "idempotency_mismatch");
    assert_eq!(backend.post(NEWS, &body).await.expect(200), expected);
}

/// Only shared streams of the settings can be written, only by backends.
#[tokio::test]
async fn only_configured_streams_are_written() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let body = json!({ "records": [put("a", &json!({}))] });
    for stream in ["nowhere", "marketplace", "user:u1", "News", "a%20b"] {
        let answer = backend.post(&format!("/api/v1/streams/{stream}/records"), &body).await;
        answer.expect_error(404, "stream_not_found");
    }
    gateway.calls_of(&phone).post(NEWS, &body).await.expect_error(403, "forbidden");
    check!("streams", gateway.said());
}

/// Wrong changes are named; a record has a largest size.
#[tokio::test]
async fn wrong_changes_are_named() {
    let gateway = Gateway::start().await;
    let backend = gateway.backend();
    let mut with_data = patch("a", &json!({}));
    with_data["data"] = json!({});
    let mut negative = put("a", &json!({}));
    negative["base_version"] = json!(-1);
    for records in [
        json!([]),
        json!([change("a", "put")]),
        json!([change("a", "patch")]),
        json!([put("a", &json!([1]))]),
        json!([put("", &json!({}))]),
        json!([change("a", "move")]),
        json!([with_data]),
        json!([put("fine", &json!({})), negative]),
    ] {
        backend.post(NEWS, &json!({ "records": records })).await.expect_error(422, "invalid");
    }
    let quiet = backend.quiet();
    let many = json!({ "records": vec![put("a", &json!({})); 501] });
    quiet.post(NEWS, &many).await.expect_error(422, "invalid");
    let large = json!({ "records": [put("a", &json!({ "t": "x".repeat(128 * 1024) }))] });
    quiet.post(NEWS, &large).await.expect_error(413, "too_large");
    check!("wrong", gateway.said());
}

/// A patch may not grow a record beyond the largest size.
#[tokio::test]
async fn a_patch_does_not_grow_a_record_beyond_its_size() {
    let gateway = Gateway::start().await;
    let backend = gateway.backend().quiet();
    let half = "x".repeat(70 * 1024);
    backend.publish("news", json!([put("a", &json!({ "a": half }))])).await;
    let body = json!({ "records": [patch("a", &json!({ "b": half }))] });
    backend.post(NEWS, &body).await.expect_error(413, "too_large");
}

/// Two nodes that both write the first record of a stream give out each
/// version once: the stream's head is locked although it was not there.
#[tokio::test]
async fn two_nodes_do_not_both_write_the_first_version() {
    let names: Vec<String> = (0..30).map(|number| format!("new{number}")).collect();
    let setup = Setup::new().set("streams.shared", &json!(names).to_string());
    let Some(setup) = setup.on_postgres().await else { return };
    let gateway = setup.start().await;
    let second = SecondNode::beside(&gateway).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let token = Token::service("backend").sign();
    let publish = async |node: String, stream: &str| -> i64 {
        let url = format!("http://{node}/api/v1/streams/{stream}/records");
        let body = json!({ "records": [put("a", &json!({ "n": 1 }))] });
        let answer = http.post(url).bearer_auth(&token).json(&body).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        answer["versions"][0].as_i64().unwrap_or_else(|| panic!("{answer}"))
    };
    let nodes = [gateway.address().clone(), second.address()];
    for name in &names {
        let [first, other] = nodes.clone();
        let (first, other) = tokio::join!(publish(first, name), publish(other, name));
        assert_eq!(first + other, 3, "{name}: versions {first} and {other}");
    }
    second.stop().await;
}
