//! The network between the gateway and its database.

use serde_json::json;

use crate::postgres::{impatient, readiness, steps, until_accepted, until_found, until_ready};
use crate::support::eventually;

/// Connections that are swallowed without a reset are given up, and writing goes
/// on over new ones; nobody waits longer than agreed, and nothing is half done.
#[tokio::test]
async fn swallowed_connections_are_given_up() {
    let Some(gateway) = impatient().await else { return };
    let backend = gateway.backend().quiet();
    let mut socket = gateway.device("phone", "u1").open().await;
    for round in 0..3 {
        gateway.proxy().swallow();
        let accepted = until_accepted(&backend, &steps("u1")).await;
        let events = socket.expect("events").await;
        assert_eq!(events["seq"], accepted["seq"], "round {round}");
        assert_eq!(events["entries"].as_array().unwrap().len(), 1);
        until_found(&backend, accepted["command_id"].as_str().unwrap()).await;
        until_ready(&gateway).await;
    }
}

/// While the database does not answer, every call is answered all the same: 503
/// with a time to come back, readiness too, and a hello ends with 1013.
#[tokio::test]
async fn while_the_database_hangs_everybody_is_answered() {
    let Some(gateway) = impatient().await else { return };
    let backend = gateway.backend().quiet();
    let id = backend.make("u1", "steps").await;
    let phone = gateway.device("phone", "u1");
    gateway.calls_of(&phone).register(&phone).await;
    gateway.proxy().hang();
    let calls = gateway.calls_of(&phone).quiet();
    let poll = format!("/api/v1/sync/poll?device_id={}", phone.id);
    let ack = json!({ "device_id": phone.id, "cursors": {} });
    let result = json!({ "command_id": id, "status": "applied" });
    let results = json!({ "device_id": phone.id, "results": [result] });
    let batch = json!({ "commands": [steps("u1")] });
    let command = format!("/api/v1/commands/{id}");
    let answers = [
        backend.post("/api/v1/commands", &steps("u1")).await,
        backend.get(&command).await,
        backend.get("/api/v1/commands?user_id=u1").await,
        backend.delete(&command).await,
        calls.get(&poll).await,
        calls.post("/api/v1/sync/results", &results).await,
        calls.get("/api/v1/devices").await,
    ];
    for answer in answers {
        assert!(answer.header("retry-after").is_some(), "{answer:?}");
        answer.expect_error(503, "unavailable");
    }
    let batched = backend.post("/api/v1/commands/batch", &batch).await;
    assert!(matches!(batched.status.as_u16(), 207 | 503), "{batched:?}");
    if batched.status == 207 {
        assert_eq!(batched.body["results"][0]["status"], 503);
    }
    // A read may know the device still; it must not say 500.
    let acked = calls.post("/api/v1/sync/ack", &ack).await;
    assert!(matches!(acked.status.as_u16(), 200 | 503), "{acked:?}");
    let mut socket = phone.connect().await;
    socket.send(&phone.hello()).await;
    socket.expect_close_after_frames(1013, "unavailable").await;
    assert_eq!(readiness(&gateway).await, (503, "unreachable".to_owned()));
    gateway.proxy().heal();
    until_ready(&gateway).await;
    until_accepted(&backend, &steps("u1")).await;
}

/// The answer to a COMMIT is lost: the caller hears 503, memory asks the database
/// what became of it, and devices get every position once and in order.
#[tokio::test]
async fn a_lost_answer_to_commit_leaves_no_gap_and_no_double() {
    let Some(gateway) = impatient().await else { return };
    let backend = gateway.backend().quiet();
    let mut socket = gateway.device("phone", "u1").open().await;
    let mut last = 0;
    for round in 0..5 {
        gateway.proxy().lose_next_commit();
        let key = format!("round-{round}");
        let keyed = backend.clone().with_key(&key);
        // Recurring work may commit first, and lose its answer.
        eventually("a commit of unknown outcome", async || {
            let answer = keyed.post("/api/v1/commands", &steps("u1")).await;
            if answer.status == 503 {
                return Some(());
            }
            gateway.proxy().lose_next_commit();
            None
        })
        .await;
        assert!(gateway.proxy().has_lost_it());
        let again = eventually("the same key", async || {
            let answer = keyed.post("/api/v1/commands", &steps("u1")).await;
            (answer.status != 503).then_some(answer)
        })
        .await;
        assert!(matches!(again.status.as_u16(), 200 | 202), "{again:?}");
        let fence = until_accepted(&backend, &steps("u1")).await;
        let upto = fence["seq"].as_i64().unwrap();
        while last < upto {
            let events = socket.expect("events").await;
            assert_eq!(events["prev"], last, "{events}");
            for entry in events["entries"].as_array().unwrap() {
                last += 1;
                assert_eq!(entry["seq"], last, "{events}");
            }
        }
        assert_eq!(last, upto);
    }
}

/// Backends that an operator terminated, or that went with a server that was
/// restarted, fail nobody who comes later: the connections are found dead and
/// replaced.
#[tokio::test]
async fn terminated_backends_are_replaced() {
    let Some(gateway) = impatient().await else { return };
    let backend = gateway.backend().quiet();
    let database = gateway.database().unwrap();
    for _ in 0..5 {
        // Waits until they are gone.
        database
            .run(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            .await;
        let accepted = backend.post("/api/v1/commands", &steps("u1")).await.expect(202);
        let id = accepted["command_id"].as_str().unwrap();
        backend.get(&format!("/api/v1/commands/{id}")).await.expect(200);
        assert_eq!(readiness(&gateway).await, (200, "ok".to_owned()));
    }
}

/// A database that was made read-only refuses writes with 503, `/readyz` says so
/// until it takes them again, and reads go on.
#[tokio::test]
async fn a_read_only_database_says_so() {
    let Some(gateway) = impatient().await else { return };
    let backend = gateway.backend().quiet();
    let id = backend.make("u1", "steps").await;
    let database = gateway.database().unwrap();
    database.set("default_transaction_read_only", "on").await;
    gateway.proxy().swallow();
    eventually("read-only", async || {
        let answer = backend.post("/api/v1/commands", &steps("u1")).await;
        answer.expect_error(503, "unavailable");
        (readiness(&gateway).await == (503, "read_only".to_owned())).then_some(())
    })
    .await;
    until_found(&backend, &id).await;
    database.set("default_transaction_read_only", "off").await;
    gateway.proxy().swallow();
    until_ready(&gateway).await;
    until_accepted(&backend, &steps("u1")).await;
}

/// Where commits do not wait for the disk, a node says so.
#[tokio::test]
async fn weak_commits_are_told() {
    let Some(gateway) = impatient().await else { return };
    let operator = gateway.caller("operator", "").without_token().quiet();
    assert_eq!(operator.get("/readyz").await.body["commits"], "durable");
    gateway.database().unwrap().set("synchronous_commit", "off").await;
    gateway.proxy().swallow();
    eventually("told", async || {
        let answer = operator.get("/readyz").await;
        (answer.status == 200 && answer.body["commits"] == "not_durable").then_some(())
    })
    .await;
}
