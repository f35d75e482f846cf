//! Rows that somebody else keeps locked.

use sea_orm::{ConnectionTrait as _, DbBackend, Statement, TransactionTrait as _};
use serde_json::json;
use tidegate::ingest::Ingest;
use tidegate::ingest::behind::PushNote;
use tidegate::store;
use tidegate_protocol::command::Channel;
use tidegate_protocol::id::CommandId;
use uuid::Uuid;

use crate::postgres::{impatient, readiness, steps, until_accepted};
use crate::support::{SecondNode, Setup, Token};

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

/// Two nodes that write late about the same commands, in opposite order, do not
/// wait for each other: PostgreSQL counts no deadlock.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_write_late_do_not_wait_for_each_other() {
    let Some(setup) = Setup::new().on_postgres().await else { return };
    let gateway = setup.start().await;
    let second = SecondNode::beside(&gateway).await;
    let backend = gateway.backend().quiet();
    let phone = gateway.device("phone", "u1");
    gateway.calls_of(&phone).register(&phone).await;
    let ids = backend.make_many("u1", 40, 1).await;
    let ids: Vec<CommandId> = ids.iter().map(|id| CommandId::parse(id).unwrap()).collect();
    let (first_half, second_half) = ids.split_at(20);
    // Written provider by provider.
    let write_late = async |ingest: &Ingest, fcm: &[CommandId], webpush: &[CommandId]| {
        for _ in 0..30 {
            for (channel, pushed) in [(Channel::Fcm, fcm), (Channel::Webpush, webpush)] {
                ingest.behind().pushed(PushNote {
                    id: Uuid::now_v7(),
                    commands: pushed.iter().rev().cloned().collect(),
                    device_id: phone.id.clone(),
                    channel,
                    is_ok: true,
                    detail: String::new(),
                    at: ingest.clock().now(),
                });
            }
            ingest.flush_behind().await.unwrap();
        }
    };
    let (one, two) = (&gateway.running().state().ingest, &second.running().state().ingest);
    tokio::join!(
        write_late(one, first_half, second_half),
        write_late(two, second_half, first_half),
    );
    second.stop().await;
    let console = gateway.database().unwrap().console().await;
    let sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let row = console.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await;
    let deadlocks: i64 = row.unwrap().unwrap().try_get_by_index(0).unwrap();
    assert_eq!(deadlocks, 0);
    console.close().await.unwrap();
}

/// Two nodes that both register the first device of a user keep to the most
/// that a user may have: the head of the user's stream is locked although it was
/// not there.
#[tokio::test]
async fn two_nodes_do_not_both_register_the_last_device() {
    let setup = Setup::new().set("limits.devices_per_user", "1");
    let Some(setup) = setup.on_postgres().await else { return };
    let gateway = setup.start().await;
    let second = SecondNode::beside(&gateway).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let register = async |node: String, user: &str, device: &str| {
        let url = format!("http://{node}/api/v1/devices/register");
        let body = json!({ "device_id": device, "platform": "android" });
        let token = Token::device(user).sign();
        let answer = http.post(url).bearer_auth(token).json(&body).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    };
    let nodes = [gateway.address().clone(), second.address()];
    let store = &gateway.running().state().store;
    for user in (0..30).map(|number| format!("new{number}")) {
        let [first, other] = nodes.clone();
        let [a, b] = [Uuid::new_v4(), Uuid::new_v4()].map(|id| id.to_string());
        tokio::join!(register(first, &user, &a), register(other, &user, &b));
        let devices = store::device::of_users(store.readers(), &[user]).await.unwrap();
        assert_eq!(devices.len(), 1);
    }
    second.stop().await;
}
