//! PostgreSQL's own ways to fail: connections that hang, are swallowed or cut
//! in COMMIT, rows that somebody keeps locked, and a history that goes back.
//!
//! They run on the server of `DATABASE_URL` or, without it, on one that they
//! start; where PostgreSQL is not installed they say that they were skipped.

use serde_json::{Value, json};

use crate::support::{Caller, Gateway, Setup, eventually};

mod history;
mod keys;
mod locks;
mod network;

/// A gateway that gives up soon. `None`, and says so, where PostgreSQL is not
/// installed.
async fn impatient() -> Option<Gateway> {
    let setup = Setup::new()
        .set("database.statement_timeout_ms", "700")
        .set("database.acquire_timeout_ms", "700")
        .set("database.write_probe_s", "1")
        .through_a_proxy();
    Some(setup.on_postgres().await?.start().await)
}

fn steps(user: &str) -> Value {
    json!({ "user_id": user, "data_type": "steps", "value": { "count": 1 } })
}

/// What `/readyz` says of the database, and its status.
async fn readiness(gateway: &Gateway) -> (u16, String) {
    let operator = gateway.caller("operator", "").without_token().quiet();
    let answer = operator.get("/readyz").await;
    (answer.status.as_u16(), answer.body["database"].as_str().unwrap().to_owned())
}

async fn until_ready(gateway: &Gateway) {
    eventually("ready", async || (readiness(gateway).await.0 == 200).then_some(())).await;
}

/// Sends until a command is accepted; every refusal before says when to try
/// again. The accepted answer.
async fn until_accepted(backend: &Caller, command: &Value) -> Value {
    eventually("accepted", async || {
        let answer = backend.post("/api/v1/commands", command).await;
        if answer.status == 202 {
            return Some(answer.body);
        }
        assert_eq!(answer.header("retry-after"), Some("1"));
        answer.expect_error(503, "unavailable");
        None
    })
    .await
}

/// Reads a command until it is found; every refusal before is the database's
/// trouble.
async fn until_found(backend: &Caller, id: &str) {
    eventually("found", async || {
        let answer = backend.get(&format!("/api/v1/commands/{id}")).await;
        assert!(matches!(answer.status.as_u16(), 200 | 503), "{answer:?}");
        (answer.status == 200).then_some(())
    })
    .await;
}
