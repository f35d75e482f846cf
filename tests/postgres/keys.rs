//! Lists of keys, which PostgreSQL is given as arrays.

use futures_util::future::join_all;
use sea_orm::{ConnectionTrait as _, DatabaseBackend, Statement};
use serde_json::Value;
use tidegate::store;
use tidegate::store::device::DeviceKey;

use crate::postgres::steps;
use crate::support::{Gateway, Setup};

/// Each would be another key, several, or none, in an array that does not quote
/// it.
const HOSTILE: [&str; 8] = [r#"a"b"#, r"a\b\", r#"\""#, r#"a","b"#, "{a,b}", "NULL", "{}", "';--"];

async fn on_postgres() -> Option<Gateway> {
    Some(Setup::new().on_postgres().await?.start().await)
}

/// One batch of commands, and lookups by one column and by two.
#[tokio::test]
async fn rows_of_hostile_users_are_found() {
    let Some(gateway) = on_postgres().await else { return };
    let backend = gateway.backend().quiet();
    let mut devices = Vec::new();
    for user in HOSTILE {
        let phone = gateway.device("phone", user);
        gateway.calls_of(&phone).quiet().register(&phone).await;
        devices.push(DeviceKey { user_id: user.to_owned(), device_id: phone.id.clone() });
    }
    // New streams, and then known ones.
    for _ in 0..2 {
        let commands = HOSTILE.map(steps);
        let made = commands.iter().map(|command| backend.post("/api/v1/commands", command));
        for made in join_all(made).await {
            made.expect(202);
        }
    }
    let readers = gateway.running().state().store.readers();
    let streams = HOSTILE.map(|user| format!("user:{user}"));
    let heads = store::head::load(readers, &streams).await.unwrap();
    let known: Vec<(&str, i64)> = heads.values().map(|head| (&*head.stream, head.seq)).collect();
    let mut expected = streams.each_ref().map(|stream| (stream.as_str(), 2));
    expected.sort_unstable();
    assert_eq!(known, expected);
    // What others hold is not found by these users' names.
    let swapped = devices.iter().zip(devices.iter().rev()).map(|(one, other)| DeviceKey {
        user_id: one.user_id.clone(),
        device_id: other.device_id.clone(),
    });
    let asked: Vec<DeviceKey> = devices.iter().cloned().chain(swapped).collect();
    let found = store::device::existing(readers, &asked).await.unwrap();
    let mut found: Vec<DeviceKey> = found.into_keys().collect();
    found.sort_unstable();
    devices.sort_unstable();
    assert_eq!(found, devices);
}

/// A key repeats what it made, also where all callers are looked up at once.
#[tokio::test]
async fn hostile_idempotency_keys_are_found() {
    let Some(gateway) = on_postgres().await else { return };
    let backend = gateway.backend().quiet();
    let made = async || {
        let commands = HOSTILE.map(|key| (key, steps("u1")));
        let asked = commands.iter().map(|(key, command)| {
            let keyed = backend.clone().with_key(key);
            async move { keyed.post("/api/v1/commands", command).await.body["command_id"].clone() }
        });
        join_all(asked).await
    };
    let first = made().await;
    assert!(first.iter().all(Value::is_string), "{first:?}");
    assert_eq!(made().await, first);
}

/// The plan that a connection keeps was made when the table was empty.
#[tokio::test]
async fn plans_made_for_small_tables_use_the_index() {
    let Some(gateway) = on_postgres().await else { return };
    let store = &gateway.running().state().store;
    let writing = store.begin_write().await.unwrap();
    for statement in [
        "SET LOCAL plan_cache_mode = force_generic_plan",
        "PREPARE small(text) AS SELECT id FROM command WHERE id = ANY($1::text::text[])",
    ] {
        writing.execute_unprepared(statement).await.unwrap();
    }
    let explain = Statement::from_string(DatabaseBackend::Postgres, "EXPLAIN EXECUTE small('{a}')");
    let plan = writing.query_all_raw(explain).await.unwrap();
    let plan: Vec<String> = plan.iter().map(|row| row.try_get_by_index(0).unwrap()).collect();
    assert!(plan.iter().any(|line| line.contains("command_pkey")), "{plan:?}");
    writing.execute_unprepared("DEALLOCATE small").await.unwrap();
    writing.rollback().await;
}
