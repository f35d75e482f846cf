//! A node that goes away, and comes back.

use serde_json::json;
use tokio_tungstenite::tungstenite::Error;

use crate::support::{Gateway, Setup, cursor, eventually};

/// Every session is told when to come back, and closed 1012.
#[tokio::test]
async fn sessions_are_told_to_come_back() {
    let mut gateway = Gateway::start().await;
    let (phone, tablet) = (gateway.device("phone", "u1"), gateway.device("tablet", "u2"));
    let (mut phones, mut tablets) = (phone.open().await, tablet.open().await);
    tokio::join!(gateway.stop(), async {
        for socket in [&mut phones, &mut tablets] {
            let drain = socket.expect("drain").await;
            assert!(drain["reconnect_after_ms"].as_u64().is_some_and(|ms| ms <= 5_000));
            socket.expect_close(1012, "drain").await;
        }
    });
}

/// While it drains, a node is not ready and takes no new sockets.
#[tokio::test]
async fn a_draining_node_is_not_ready() {
    let mut gateway = Setup::new().set("drain.spread_ms", "500").start().await;
    let (phone, tablet) = (gateway.device("phone", "u1"), gateway.device("tablet", "u1"));
    let mut sockets = [phone.open().await, tablet.open().await];
    let operator = gateway.caller("operator", "").quiet();
    tokio::join!(gateway.stop(), async {
        eventually("readiness to tell", async || {
            let readiness = operator.get("/readyz").await;
            (readiness.status == 503).then_some(readiness.body)
        })
        .await;
        let Err(Error::Http(refused)) = phone.connect_with(phone.request()).await else {
            panic!("the upgrade was accepted, or not answered")
        };
        assert_eq!(refused.status(), 503);
        for socket in &mut sockets {
            socket.expect("drain").await;
            socket.expect_close(1012, "drain").await;
        }
    });
}

/// After a restart positions still hold: nothing is lost and nothing doubled.
#[tokio::test]
async fn positions_survive_a_restart() {
    let mut gateway = Gateway::start().await;
    let phone = gateway.device("phone", "u1");
    let mut socket = phone.open().await;
    let ids =
        [gateway.backend().make("u1", "steps").await, gateway.backend().make("u1", "weight").await];
    let events = socket.expect("events").await;
    drop(socket);
    gateway.restart().await;
    let phone = gateway.device_with_id("phone", "u1", &phone.id);
    let mut hello = phone.hello();
    hello["cursors"] = cursor("user:u1", &events["epoch"], 1);
    let (mut socket, welcome) = phone.open_with(&hello).await;
    assert_eq!(welcome["streams"]["user:u1"]["verdict"], "resumed");
    let entries = socket.entries(1).await;
    assert_eq!(entries[0]["body"]["command_id"], json!(ids[1]));
}
