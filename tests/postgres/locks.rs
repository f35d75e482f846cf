//! Rows that somebody else keeps locked.

use sea_orm::{ConnectionTrait as _, TransactionTrait as _};

use crate::postgres::{impatient, readiness, steps, until_accepted};

/// A head that a frozen node or a person keeps locked stops its own stream:
/// writes to it are refused, and all others are accepted meanwhile.
#[tokio::test]
async fn a_locked_head_stops_only_its_own_stream() {
    let Some(gateway) = impatient().await else { return };
    let backend = gateway.backend().quiet();
    for user in ["held", "u1", "u2"] {
        backend.make(user, "steps").await;
    }
    let console = gateway.database().unwrap().console().await;
    let holding = console.begin().await.unwrap();
    let lock = "SELECT 1 FROM stream_head WHERE stream = 'user:held' FOR UPDATE";
    holding.execute_unprepared(lock).await.unwrap();
    for _ in 0..5 {
        let (held, command_1, command_2) = (steps("held"), steps("u1"), steps("u2"));
        let (refused, one, two) = tokio::join!(
            backend.post("/api/v1/commands", &held),
            backend.post("/api/v1/commands", &command_1),
            backend.post("/api/v1/commands", &command_2),
        );
        refused.expect_error(503, "unavailable");
        one.expect(202);
        two.expect(202);
    }
    assert_eq!(readiness(&gateway).await.0, 200, "the database itself is fine");
    holding.rollback().await.unwrap();
    until_accepted(&backend, &steps("held")).await;
    console.close().await.unwrap();
}

/// Any other row: the batch is halved until only what needs it is refused.
#[tokio::test]
async fn a_locked_row_refuses_only_what_needs_it() {
    let Some(gateway) = impatient().await else { return };
    let backend = gateway.backend().quiet();
    let held = backend.make("u1", "steps").await;
    backend.make("u2", "steps").await;
    let console = gateway.database().unwrap().console().await;
    let holding = console.begin().await.unwrap();
    let lock = format!("SELECT 1 FROM command WHERE id = '{held}' FOR UPDATE");
    holding.execute_unprepared(&lock).await.unwrap();
    let (path, command) = (format!("/api/v1/commands/{held}"), steps("u2"));
    let (refused, accepted) =
        tokio::join!(backend.delete(&path), backend.post("/api/v1/commands", &command));
    refused.expect_error(503, "unavailable");
    accepted.expect(202);
    holding.rollback().await.unwrap();
    assert_eq!(backend.delete(&path).await.status, 200);
    console.close().await.unwrap();
}
