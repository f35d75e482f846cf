//! More writes than the writer takes, and a drain that clients try to hold up.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use sea_orm::{ConnectionTrait as _, DatabaseBackend};
use serde_json::json;
use tidegate::store::write::Transaction;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::limits::expect_busy;
use crate::support::{Gateway, Setup, bounded, eventually};

/// Keeps the writer from writing until dropped.
async fn block_writer(gateway: &Gateway) -> Transaction {
    let store = &gateway.running().state().store;
    let blocking = store.begin_write().await.unwrap();
    if store.backend() == DatabaseBackend::Postgres {
        blocking.execute_unprepared("LOCK TABLE stream_head IN EXCLUSIVE MODE").await.unwrap();
    }
    blocking
}

/// What does not fit into the queue is refused at once; what was taken is
/// committed when the writer goes on.
#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let gateway = Setup::new()
        .set("limits.write_queue", "1")
        .set("database.acquire_timeout_ms", "60000")
        .set("database.lock_timeout_ms", "60000")
        .set("database.statement_timeout_ms", "60000")
        .start()
        .await;
    let backend = gateway.backend().quiet();
    backend.make("u1", "steps").await;
    let blocking = block_writer(&gateway).await;
    let body = json!({ "user_id": "u1", "data_type": "steps", "value": 1 });
    let mut asked = FuturesUnordered::new();
    let refused = bounded("a full queue", async {
        loop {
            asked.push(backend.post("/api/v1/commands", &body));
            // Time for it to be refused; one that was taken waits for us.
            let wait = Duration::from_millis(50);
            if let Ok(Some(answer)) = tokio::time::timeout(wait, asked.next()).await {
                return answer;
            }
        }
    });
    let refused = refused.await;
    expect_busy(refused, 503, "unavailable");
    blocking.rollback().await;
    let mut committed = 0;
    while let Some(answer) = asked.next().await {
        // Another one may have been refused before the first was heard.
        if answer.status == 503 {
            expect_busy(answer, 503, "unavailable");
        } else {
            answer.expect(202);
            committed += 1;
        }
    }
    assert!(committed > 0);
    let list = backend.get("/api/v1/commands?user_id=u1&limit=100").await.expect(200);
    assert_eq!(list["items"].as_array().unwrap().len(), committed + 1);
}

/// Peers that never close, never read, never ask: the drain has an end.
#[tokio::test]
async fn a_drain_waits_for_nobody_beyond_its_deadline() {
    let setup = Setup::new()
        .set("session.close_timeout_ms", "60000")
        .set("http.header_timeout_ms", "60000")
        .set("drain.deadline_ms", "1000");
    let mut gateway = setup.start().await;
    let address = gateway.address();
    let live = gateway.device("live", "u1").open().await;
    let before_hello = gateway.device("silent", "u1").connect().await;
    let mut half = TcpStream::connect(&address).await.unwrap();
    half.write_all(b"GET /healthz HTT").await.unwrap();
    let metrics = gateway.running().state().metrics.clone();
    eventually("connected", async || (metrics.connections.get() >= 3).then_some(())).await;
    let begin = Instant::now();
    // Which is bounded, well below what the peers would make it wait.
    gateway.stop().await;
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(700), "it waits for clients to close: {took:?}");
    drop((live, before_hello, half));
}

/// Clients that do as they are told are not made to wait for the deadline.
#[tokio::test]
async fn a_drain_ends_when_everybody_has_gone() {
    let mut gateway = Setup::new().set("drain.deadline_ms", "60000").start().await;
    let mut sockets = Vec::new();
    for number in 0..20 {
        sockets.push(gateway.device("phone", &format!("u{number}")).open().await);
    }
    let leaving = futures_util::future::join_all(sockets.into_iter().map(async |mut socket| {
        socket.expect("drain").await;
        socket.expect_close(1012, "drain").await;
        socket.close().await;
    }));
    // Which is bounded, well below that deadline.
    tokio::join!(gateway.stop(), leaving);
}

/// A device that says hello while the drain begins hears of it all the same:
/// it is told by the drain, or turned away after it.
#[tokio::test]
async fn a_drain_misses_nobody_who_says_hello() {
    let setup = Setup::new()
        .set("drain.deadline_ms", "60000")
        .set("drain.spread_ms", "200")
        .set("database.acquire_timeout_ms", "60000")
        .set("database.lock_timeout_ms", "60000");
    let mut gateway = setup.start().await;
    let device = gateway.device("phone", "u1");
    let mut socket = device.connect().await;
    let state = gateway.running().state().clone();
    let blocking = block_writer(&gateway).await;
    socket.send(&device.hello()).await;
    let heard = async || state.hub.topic("user:u1");
    eventually("hello was heard", heard).await;
    let joining = async {
        state.draining.cancelled().await;
        // The drain has looked for sessions by now; the hello waits for us.
        tokio::time::sleep(Duration::from_millis(400)).await;
        blocking.rollback().await;
        socket.expect_close_after_frames(1012, "drain").await;
        socket.close().await;
    };
    tokio::join!(gateway.stop(), joining);
}
