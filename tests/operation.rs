//! What operators and developers look at.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Gateway, Setup, check, put};

/// Alive and ready, without a token.
#[tokio::test]
async fn a_node_is_alive_and_ready() {
    let gateway = Setup::new().set("database.synchronous", "full").start().await;
    let operator = gateway.caller("operator", "").without_token();
    let alive = operator.quiet().get("/healthz").await;
    assert_eq!((alive.status.as_u16(), alive.text()), (200, "ok"));
    operator.get("/readyz").await.expect(200);
    check!("ready", gateway.said());
}

/// Every figure has a name that dashboards can rely on.
#[tokio::test]
async fn figures_keep_their_names() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let mut socket = phone.open().await;
    backend.make("u1", "steps").await;
    backend.publish("news", json!([put("a", &json!({}))])).await;
    socket.entries(1).await;
    let answer = gateway.caller("operator", "").without_token().quiet().get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4"));
    let names: BTreeSet<String> = answer
        .text()
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .map(str::to_owned)
        .collect();
    assert!(names.iter().all(|name| name.starts_with("tidegate_")), "{names:?}");
    check!("metrics", names.into_iter().collect::<Vec<_>>().join("\n"));
}

fn calls(document: &Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().unwrap().iter();
    let calls = paths.flat_map(|(path, methods)| {
        methods.as_object().unwrap().keys().map(move |method| format!("{method} {path}"))
    });
    calls.collect()
}

/// The OpenAPI document names every call; in production there is none for
/// development.
#[tokio::test]
async fn the_openapi_document_names_every_call() {
    let gateway = Gateway::start().await;
    let anyone = gateway.caller("anyone", "").without_token().quiet();
    let document = anyone.get("/api/v1/openapi.json").await;
    assert_eq!(document.header("content-type"), Some("application/json"));
    let development = calls(&document.expect(200));
    let setup = Setup::new().set("environment", "production");
    let gateway = setup.start().await;
    let anyone = gateway.caller("anyone", "").without_token().quiet();
    let production = calls(&anyone.get("/api/v1/openapi.json").await.expect(200));
    let only: Vec<_> = development.difference(&production).collect();
    assert_eq!(only, ["post /api/v1/dev/trigger-write"]);
    assert!(production.is_subset(&development));
    check!("openapi", development.into_iter().collect::<Vec<_>>().join("\n"));
}

/// A developer can send a command to the own device; not in production.
#[tokio::test]
async fn developers_can_trigger_a_write() {
    const PATH: &str = "/api/v1/dev/trigger-write";
    let gateway = Gateway::start().await;
    let phone = gateway.device("phone", "u1");
    let calls = gateway.calls_of(&phone);
    let mut socket = phone.open().await;
    gateway.said();
    let body = json!({ "data_type": "steps", "value": { "n": 5000 } });
    calls.post(PATH, &body).await.expect(202);
    socket.entries(1).await;
    let mut addressed = body.clone();
    addressed["device_id"] = json!(phone.id);
    calls.post(PATH, &addressed).await.expect(202);
    socket.entries(1).await;
    addressed["device_id"] = json!("00000000-0000-4000-8000-000000000001");
    calls.post(PATH, &addressed).await.expect_error(404, "device_not_found");
    gateway.backend().post(PATH, &body).await.expect_error(403, "forbidden");
    check!("trigger_write", gateway.said());
    let gateway = Setup::new().set("environment", "production").start().await;
    let calls = gateway.calls_of(&gateway.device("phone", "u1"));
    calls.post(PATH, &body).await.expect_error(404, "not_found");
}
