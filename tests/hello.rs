//! The first frames of a session: `hello` and `welcome`.

use std::time::Duration;

use serde_json::json;

use crate::support::{Gateway, NO_EPOCH, Setup, check, cursor, eventually};

/// A device without cursors is welcomed with a reset and an empty snapshot.
#[tokio::test]
async fn a_new_device_gets_an_empty_snapshot() {
    let gateway = Gateway::start().await;
    let phone = gateway.device("phone", "u1");
    phone.open().await;
    check!("new_device", gateway.said());
}

/// A cursor of this epoch resumes after it, at the head and before it.
#[tokio::test]
async fn a_valid_cursor_resumes() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let mut socket = phone.open().await;
    backend.make("u1", "steps").await;
    let events = socket.expect("events").await;
    socket.close().await;
    gateway.said();
    for seq in [1, 0] {
        let mut hello = phone.hello();
        hello["cursors"] = cursor("user:u1", &events["epoch"], seq);
        let (mut socket, _) = phone.open_with(&hello).await;
        if seq == 0 {
            socket.entries(1).await;
        }
        socket.expect_nothing_pending().await;
        socket.close().await;
    }
    check!("resumed", gateway.said());
}

/// A cursor of another epoch and one beyond the head begin anew.
#[tokio::test]
async fn cursors_that_cannot_be_resumed_begin_anew() {
    let gateway = Gateway::start().await;
    let phone = gateway.device("phone", "u1");
    let (_, welcome) = phone.open_with(&phone.hello()).await;
    let epoch = welcome["streams"]["user:u1"]["epoch"].clone();
    gateway.said();
    for (epoch, seq) in [(json!(NO_EPOCH), 0), (epoch, 1)] {
        let mut hello = phone.hello();
        hello["cursors"] = cursor("user:u1", &epoch, seq);
        let (mut socket, _) = phone.open_with(&hello).await;
        socket.snapshot().await;
        socket.close().await;
    }
    check!("begin_anew", gateway.said());
}

/// A cursor below the highest position removed begins anew; one at it resumes.
#[tokio::test]
async fn a_trimmed_journal_begins_anew() {
    let setup = Setup::new().set("journal.retention_h", "1").set("journal.trim_interval_s", "1");
    let gateway = setup.start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let (_, welcome) = phone.open_with(&phone.hello()).await;
    let epoch = welcome["streams"]["user:u1"]["epoch"].clone();
    let calls = gateway.calls_of(&phone).quiet();
    let id = backend.make("u1", "steps").await;
    backend.make("u1", "weight").await;
    backend.quiet().delete(&format!("/api/v1/commands/{id}")).await.expect(200);
    gateway.move_clock(Duration::from_hours(2));
    gateway.pass_time(Duration::from_secs(1)).await;
    let cursors = cursor("user:u1", &epoch, 1).to_string();
    let cursors: String = cursors.replace('"', "%22").replace(' ', "");
    let path = format!("/api/v1/sync/poll?device_id={}&cursors={cursors}", phone.id);
    eventually("the trim", async || {
        let answer = calls.get(&path).await.expect(200);
        (answer["streams"]["user:u1"]["reason"] == "trimmed").then_some(())
    })
    .await;
    gateway.said();
    for seq in [1, 3] {
        let mut hello = phone.hello();
        hello["cursors"] = cursor("user:u1", &epoch, seq);
        let (mut socket, _) = phone.open_with(&hello).await;
        if seq == 1 {
            assert_eq!(socket.snapshot().await.len(), 1);
        }
        socket.expect_nothing_pending().await;
        socket.close().await;
    }
    check!("trimmed", gateway.said());
}

/// Streams of others and streams that do not exist are named with their
/// verdict and nothing else; cursors of streams not asked for are not named.
#[tokio::test]
async fn forbidden_and_unknown_streams_do_not_end_the_session() {
    let gateway = Gateway::start().await;
    let phone = gateway.device("phone", "u1");
    let mut hello = phone.hello();
    hello["subscribe"] = json!(["news", "user:u2", "nowhere", "marketplace"]);
    hello["cursors"] = cursor("prices", &json!(NO_EPOCH), 7);
    let (mut socket, _) = phone.open_with(&hello).await;
    for _ in 0..3 {
        socket.snapshot().await;
    }
    socket.expect_nothing_pending().await;
    check!("verdicts", gateway.said());
}

/// `ref` comes back as it was, whatever its type.
#[tokio::test]
async fn the_reference_of_hello_is_echoed() {
    let gateway = Gateway::start().await;
    let phone = gateway.device("phone", "u1");
    for reference in [json!("r-1"), json!(7), json!({ "a": [1.5, null] })] {
        let mut hello = phone.hello();
        hello["ref"] = reference.clone();
        let (_, welcome) = phone.open_with(&hello).await;
        assert_eq!(welcome["ref"], reference);
    }
    let (_, welcome) = phone.open_with(&phone.hello()).await;
    assert_eq!(welcome.get("ref"), None);
}

/// The heartbeat asked for is clamped to 10 to 300 s; 30 s without a wish.
#[tokio::test]
async fn the_heartbeat_is_clamped() {
    let gateway = Gateway::start().await;
    let phone = gateway.device("phone", "u1");
    for (wished, given) in
        [(json!(1), 10), (json!(-5), 10), (json!(60), 60), (json!(9_000), 300), (json!(null), 30)]
    {
        let mut hello = phone.hello();
        hello["heartbeat_s"] = wished;
        let (_, welcome) = phone.open_with(&hello).await;
        assert_eq!(welcome["heartbeat_s"], given);
    }
}

/// The first encoding that the gateway knows is agreed on; none otherwise.
#[tokio::test]
async fn the_first_known_encoding_is_agreed_on() {
    let gateway = Gateway::start().await;
    let phone = gateway.device("phone", "u1");
    for (offered, agreed) in [
        (json!(["br", "deflate-raw", "zstd"]), json!("deflate-raw")),
        (json!(["zstd", "deflate-raw"]), json!("zstd")),
        (json!(["gzip"]), json!(null)),
        (json!([]), json!(null)),
    ] {
        let mut hello = phone.hello();
        hello["encodings"] = offered;
        let (_, welcome) = phone.open_with(&hello).await;
        assert_eq!(welcome["encoding"], agreed);
    }
}

/// Another protocol version closes 4406, and fields it may have are not read.
#[tokio::test]
async fn another_protocol_version_is_refused() {
    let gateway = Gateway::start().await;
    let phone = gateway.device("phone", "u1");
    let mut socket = phone.connect().await;
    let mut hello = phone.hello();
    hello["protocol"] = json!(2);
    socket.send(&hello).await;
    socket.expect_close(4406, "protocol_unsupported").await;
}

/// A socket that says nothing is closed after the time-out of `hello`.
#[tokio::test]
async fn silence_before_hello_is_closed() {
    let gateway = Gateway::start().await;
    let mut socket = gateway.device("phone", "u1").connect().await;
    gateway.pass_time(Duration::from_secs(10)).await;
    socket.expect_close(4408, "hello_timeout").await;
}
