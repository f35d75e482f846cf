//! Snapshots: current state in pages, before a stream's first events.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Gateway, Socket, check, put};

/// The pages up to the last one.
async fn pages(socket: &mut Socket) -> Vec<Value> {
    let mut pages = Vec::new();
    loop {
        pages.push(socket.expect("snapshot").await);
        if pages.last().unwrap()["last"] == true {
            return pages;
        }
    }
}

fn items(pages: &[Value]) -> Vec<&Value> {
    pages.iter().flat_map(|page| page["items"].as_array().unwrap()).collect()
}

/// Open commands are in the snapshot; closed, expired and others' are not.
#[tokio::test]
async fn a_snapshot_holds_the_open_commands_of_this_device() {
    let gateway = Gateway::start().await;
    let (phone, tablet) = (gateway.device("phone", "u1"), gateway.device("tablet", "u1"));
    let backend = gateway.backend();
    gateway.calls_of(&tablet).register(&tablet).await;
    gateway.calls_of(&phone).register(&phone).await;
    let quiet = backend.quiet();
    let cancelled = quiet.make("u1", "cancelled").await;
    quiet.delete(&format!("/api/v1/commands/{cancelled}")).await.expect(200);
    quiet.make_for(&tablet, "for the tablet").await;
    let brief = json!({ "user_id": "u1", "data_type": "brief", "value": 1, "ttl_s": 1 });
    let brief = quiet.make_with(&brief).await;
    quiet
        .make_with(&json!({ "user_id": "u1", "data_type": "needs", "value": 1, "requires": "x" }))
        .await;
    gateway.move_clock(Duration::from_secs(1));
    // Journals the expiry, unless the sweep was faster.
    quiet.delete(&format!("/api/v1/commands/{brief}")).await.expect_error(409, "command_final");
    backend.make("u1", "for all").await;
    backend.make_for(&phone, "for the phone").await;
    phone.open().await;
    check!("open_commands", gateway.said());
}

/// Records come whole, at their version, without those deleted.
#[tokio::test]
async fn a_snapshot_holds_the_records_of_a_shared_stream() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let first =
        [put("b", &json!({ "t": 1, "s": "x" })), put("a", &json!({})), put("c", &json!({}))];
    backend.publish("news", json!(first)).await;
    let changes = json!([
        { "collection": "items", "id": "b", "op": "patch", "patch": { "t": 2 } },
        { "collection": "items", "id": "c", "op": "delete" },
        { "collection": "heads", "id": "z", "op": "put", "data": { "k": [] } },
    ]);
    backend.publish("news", changes).await;
    let mut hello = phone.hello();
    hello["subscribe"] = json!(["news"]);
    let (mut socket, _) = phone.open_with(&hello).await;
    socket.snapshot().await;
    socket.snapshot().await;
    check!("records", gateway.said());
}

/// Pages end at 200 items at the latest; the cursor is set only by the last,
/// and the next events follow on the seq of all pages.
#[tokio::test]
async fn a_long_snapshot_comes_in_pages() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let ids = backend.make_many("u1", 450, 1).await;
    let (mut socket, welcome) = phone.open_with(&phone.hello()).await;
    let pages = pages(&mut socket).await;
    assert!(pages.len() > 2);
    for page in &pages {
        let count = page["items"].as_array().unwrap().len();
        assert!((1..=200).contains(&count), "{count}");
        assert_eq!(page["seq"], 450);
        assert_eq!(page["epoch"], welcome["streams"]["user:u1"]["epoch"]);
    }
    let seen: Vec<_> = items(&pages).iter().map(|i| i["body"]["command_id"].clone()).collect();
    assert_eq!(seen, ids);
    backend.make("u1", "next").await;
    let events = socket.expect("events").await;
    assert_eq!((&events["prev"], &events["seq"]), (&json!(450), &json!(451)));
}

/// Pages end at the item that reaches 64 KiB.
#[tokio::test]
async fn a_heavy_snapshot_comes_in_pages() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    backend.make_many("u1", 10, 20_000).await;
    backend.make_many("u1", 2, 120_000).await;
    let (mut socket, _) = phone.open_with(&phone.hello()).await;
    let pages = pages(&mut socket).await;
    let counts: Vec<_> = pages.iter().map(|p| p["items"].as_array().unwrap().len()).collect();
    assert_eq!(counts, [4, 4, 3, 1]);
}

/// A cut in the middle starts the snapshot anew: nothing of it was a cursor.
#[tokio::test]
async fn a_cut_snapshot_starts_anew() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let ids = backend.make_many("u1", 250, 1).await;
    let (mut socket, _) = phone.open_with(&phone.hello()).await;
    let first = socket.expect("snapshot").await;
    assert_eq!(first["last"], false);
    drop(socket);
    let (mut socket, welcome) = phone.open_with(&phone.hello()).await;
    assert_eq!(welcome["streams"]["user:u1"]["reason"], "new");
    assert_eq!(items(&pages(&mut socket).await).len(), ids.len());
}
