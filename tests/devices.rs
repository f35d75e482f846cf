//! Devices: registering, listing, deleting, signing out.

use serde_json::{Value, json};

use crate::support::{Gateway, Token, check};

const REGISTER: &str = "/api/v1/devices/register";

/// Registering is an upsert: absent is unchanged, null is removed. A device
/// that names no id gets one.
#[tokio::test]
async fn devices_are_registered_and_refreshed() {
    let gateway = Gateway::start().await;
    let phone = gateway.device("phone", "u1");
    let calls = gateway.calls_of(&phone);
    let full = json!({
        "device_id": phone.id, "platform": "ios", "name": "My phone", "app_version": "1.2",
        "capabilities": ["healthkit"], "push": { "provider": "fcm", "token": "t1" },
    });
    calls.post(REGISTER, &full).await.expect(200);
    calls.get("/api/v1/devices").await.expect(200);
    let absent = json!({ "device_id": phone.id, "platform": "android" });
    calls.post(REGISTER, &absent).await.expect(200);
    calls.get("/api/v1/devices").await.expect(200);
    let removed = json!({
        "device_id": phone.id, "platform": "ios", "push": null, "capabilities": [],
    });
    calls.post(REGISTER, &removed).await.expect(200);
    calls.get("/api/v1/devices").await.expect(200);
    calls.post(REGISTER, &json!({ "platform": "web" })).await.expect(200);
    check!("registered", gateway.said());
}

/// `hello` registers by the same rules.
#[tokio::test]
async fn hello_registers_too() {
    let gateway = Gateway::start().await;
    let phone = gateway.device("phone", "u1");
    let calls = gateway.calls_of(&phone);
    let mut hello = phone.hello();
    hello["device"]["name"] = json!("My phone");
    hello["device"]["push"] = json!({ "provider": "fcm", "token": "t1" });
    phone.open_with(&hello).await.0.close().await;
    let of = |page: Value| page["items"][0].clone();
    let first = of(calls.get("/api/v1/devices").await.expect(200));
    assert_eq!((&first["name"], &first["push_state"]), (&json!("My phone"), &json!("active")));
    phone.open_with(&phone.hello()).await.0.close().await;
    let second = of(calls.get("/api/v1/devices").await.expect(200));
    assert_eq!((&second["name"], &second["push_state"]), (&json!("My phone"), &json!("active")));
    hello["device"]["push"] = json!(null);
    phone.open_with(&hello).await.0.close().await;
    let third = of(calls.get("/api/v1/devices").await.expect(200));
    assert_eq!(third["push_state"], "none");
}

/// What is null is removed, by HTTP as in `hello`; what is absent stays.
#[tokio::test]
async fn null_removes_what_a_device_said_of_itself() {
    let gateway = Gateway::start().await;
    let phone = gateway.device("phone", "u1");
    let calls = gateway.calls_of(&phone);
    let full = json!({ "device_id": phone.id, "platform": "ios", "fcm_token": "t1",
        "name": "N", "app_version": "1", "capabilities": ["ble"] });
    let state = async || {
        let item = calls.get("/api/v1/devices").await.expect(200)["items"][0].clone();
        (item["name"].clone(), item["capabilities"].clone(), item["push_state"].clone())
    };
    let kept = (json!("N"), json!(["ble"]), json!("active"));
    let removed = (json!(null), json!([]), json!("none"));

    calls.post(REGISTER, &full).await.expect(200);
    calls.post(REGISTER, &json!({ "device_id": phone.id, "platform": "ios" })).await.expect(200);
    assert_eq!(state().await, kept);
    let nulls = json!({ "device_id": phone.id, "platform": "ios", "fcm_token": null,
        "name": null, "app_version": null, "capabilities": null });
    calls.post(REGISTER, &nulls).await.expect(200);
    assert_eq!(state().await, removed);

    calls.post(REGISTER, &full).await.expect(200);
    let mut hello = phone.hello();
    for field in ["name", "app_version", "capabilities", "push", "wants_delta_push"] {
        hello["device"][field] = json!(null);
    }
    phone.open_with(&hello).await.0.close().await;
    assert_eq!(state().await, removed);
}

/// `fcm_token` is another name for an FCM registration; both must agree.
#[tokio::test]
async fn fcm_token_is_an_alias() {
    let gateway = Gateway::start().await;
    let phone = gateway.device("phone", "u1");
    let calls = gateway.calls_of(&phone);
    let body = |push: Value| {
        let mut body = json!({ "device_id": phone.id, "platform": "ios", "fcm_token": "t1" });
        if !push.is_null() {
            body["push"] = push;
        }
        body
    };
    calls.post(REGISTER, &body(json!(null))).await.expect(200);
    let same = json!({ "provider": "fcm", "token": "t1" });
    calls.post(REGISTER, &body(same)).await.expect(200);
    for push in [
        json!({ "provider": "fcm", "token": "t2" }),
        json!({ "provider": "webpush", "token": "t1" }),
    ] {
        calls.post(REGISTER, &body(push)).await.expect_error(422, "invalid");
    }
    let both = json!({ "device_id": phone.id, "platform": "ios", "fcm_token": null,
        "push": { "provider": "fcm", "token": "t1" } });
    calls.post(REGISTER, &both).await.expect_error(422, "invalid");
    let devices = calls.get("/api/v1/devices").await.expect(200);
    assert_eq!(devices["items"][0]["push_state"], "active");
    check!("fcm_token", gateway.said());
}

/// Backends see any user's devices, with presence, in pages.
#[tokio::test]
async fn backends_see_presence() {
    let gateway = Gateway::start().await;
    let id = |n: u8| format!("00000000-0000-4000-8000-00000000000{n}");
    let phone = gateway.device_with_id("phone", "u1", &id(1));
    let tablet = gateway.device_with_id("tablet", "u1", &id(2));
    let stranger = gateway.device_with_id("stranger", "u2", &id(3));
    let backend = gateway.backend();
    let socket = phone.open().await;
    for device in [&tablet, &stranger] {
        gateway.calls_of(device).register(device).await;
    }
    gateway.said();
    backend.get("/api/v1/users/u1/devices").await.expect(200);
    let first = backend.get("/api/v1/users/u1/devices?limit=1").await.expect(200);
    let next = first["next_cursor"].as_str().unwrap();
    let path = format!("/api/v1/users/u1/devices?limit=1&cursor={next}");
    backend.get(&path).await.expect(200);
    backend.get("/api/v1/users/nobody/devices").await.expect(200);
    gateway.calls_of(&phone).get("/api/v1/users/u1/devices").await.expect_error(403, "forbidden");
    socket.close().await;
    crate::support::eventually("the phone to be offline", async || {
        let page = backend.quiet().get("/api/v1/users/u1/devices").await.expect(200);
        (page["items"][0]["online"] == false).then_some(())
    })
    .await;
    check!("presence", gateway.said());
}

/// Deleting a device ends its session and takes back what was addressed to it.
#[tokio::test]
async fn a_deleted_device_is_gone() {
    let gateway = Gateway::start().await;
    let (phone, tablet) = (gateway.device("phone", "u1"), gateway.device("tablet", "u1"));
    let backend = gateway.backend();
    let (mut phones, mut tablets) = (phone.open().await, tablet.open().await);
    let own = backend.make_for(&phone, "steps").await;
    let shared = backend.make("u1", "weight").await;
    phones.entries(2).await;
    tablets.entries(1).await;
    backend.timeline(&own, 2).await;
    gateway.said();
    let path = format!("/api/v1/devices/{}", phone.id);
    gateway.calls_of(&tablet).delete(&path).await.expect(204);
    phones.expect_close_after_frames(4403, "device_deleted").await;
    backend.get(&format!("/api/v1/commands/{own}")).await.expect(200);
    assert_ne!(backend.command(&shared).await["status"], "cancelled");
    gateway.calls_of(&tablet).delete(&path).await.expect_error(404, "device_not_found");
    gateway.calls_of(&tablet).get("/api/v1/devices").await.expect(200);
    check!("deleted", gateway.said());
}

/// The end of all sessions of a user closes them and nobody else's.
#[tokio::test]
async fn a_user_is_signed_out_everywhere() {
    let gateway = Gateway::start().await;
    let (phone, tablet) = (gateway.device("phone", "u1"), gateway.device("tablet", "u1"));
    let stranger = gateway.device("stranger", "u2");
    let (mut phones, mut tablets) = (phone.open().await, tablet.open().await);
    let mut strangers = stranger.open().await;
    let path = "/api/v1/users/u1/sessions";
    gateway.calls_of(&phone).delete(path).await.expect_error(403, "forbidden");
    gateway.backend().delete(path).await.expect(204);
    phones.expect_close(4401, "session_ended").await;
    tablets.expect_close(4401, "session_ended").await;
    strangers.expect_nothing_pending().await;
    phone.open().await;
}

/// The same id under another user is another device: nothing is inherited,
/// and deleting one leaves the other.
#[tokio::test]
async fn users_do_not_share_a_device_id() {
    let gateway = Gateway::start().await;
    let phone = gateway.device("phone", "u1");
    let same = gateway.device_with_id("same", "u2", &phone.id);
    let mut first = phone.open().await;
    gateway.backend().make_for(&phone, "steps").await;
    first.entries(1).await;
    let mut second = same.open().await;
    second.expect_nothing_pending().await;
    first.expect_nothing_pending().await;
    let path = format!("/api/v1/devices/{}", phone.id);
    gateway.calls_of(&same).delete(&path).await.expect(204);
    second.expect_close(4403, "device_deleted").await;
    first.expect_nothing_pending().await;
}

/// A token bound to a device speaks for that device only.
#[tokio::test]
async fn a_bound_token_speaks_for_one_device() {
    let gateway = Gateway::start().await;
    let (phone, tablet) = (gateway.device("phone", "u1"), gateway.device("tablet", "u1"));
    gateway.calls_of(&tablet).register(&tablet).await;
    let bound = Token::device("u1").claim("device_id", phone.id.clone()).sign();
    let calls = gateway.caller("phone", &bound);
    let registered = calls.post(REGISTER, &json!({ "platform": "ios" })).await.expect(200);
    assert_eq!(registered["device_id"], phone.id);
    let other = json!({ "device_id": tablet.id, "platform": "ios" });
    calls.post(REGISTER, &other).await.expect_error(403, "device_mismatch");
    let path = format!("/api/v1/devices/{}", tablet.id);
    calls.delete(&path).await.expect_error(403, "device_mismatch");
    let path = format!("/api/v1/sync/poll?device_id={}", tablet.id);
    calls.get(&path).await.expect_error(403, "device_mismatch");
}

/// A device id is taken in any case, everywhere, and answered in lower case:
/// iOS writes UUIDs in capitals.
#[tokio::test]
async fn a_device_is_the_same_in_any_case() {
    let gateway = Gateway::start().await;
    let phone = gateway.device("phone", "u1");
    let capitals = phone.id.to_uppercase();
    let bound = Token::device("u1").claim("device_id", capitals.clone()).sign();
    let calls = gateway.caller("phone", &bound).quiet();
    let lower = json!(phone.id);

    let body = json!({ "device_id": capitals, "platform": "ios" });
    assert_eq!(calls.post(REGISTER, &body).await.expect(200)["device_id"], lower);
    let mut hello = phone.hello();
    hello["device"]["id"] = json!(capitals);
    let mut socket = phone.connect_with(phone.request_with(Some(&bound))).await.unwrap();
    assert_eq!(socket.begin(&hello).await["device_id"], lower);
    socket.snapshot().await;
    let page = calls.get("/api/v1/devices").await.expect(200);
    assert_eq!(page["items"].as_array().unwrap().len(), 1, "{page}");
    assert_eq!(
        (&page["items"][0]["device_id"], &page["items"][0]["online"]),
        (&lower, &json!(true))
    );

    let command = json!({ "user_id": "u1", "device_id": capitals, "data_type": "t", "value": 1 });
    let backend = gateway.backend().quiet();
    let id = backend.make_with(&command).await;
    let entry = socket.entries(1).await.remove(0);
    assert_eq!((&entry["body"]["command_id"], &entry["body"]["device_id"]), (&json!(id), &lower));

    let poll = format!("/api/v1/sync/poll?device_id={capitals}");
    let polled = calls.get(&poll).await.expect(200);
    assert!(polled["frames"].to_string().contains(&id), "{polled}");
    let epoch = polled["streams"]["user:u1"]["epoch"].clone();
    let ack = json!({
        "device_id": capitals, "cursors": { "user:u1": { "epoch": epoch, "seq": 1 } },
    });
    calls.post("/api/v1/sync/ack", &ack).await.expect(200);
    let results = json!({
        "device_id": capitals, "results": [{ "command_id": id, "status": "applied" }],
    });
    let answer = calls.post("/api/v1/sync/results", &results).await.expect(200);
    assert_eq!(answer["results"][0]["accepted"], true, "{answer}");
    let command = backend.command(&id).await;
    assert_eq!((&command["device_id"], &command["status"]), (&lower, &json!("applied")));

    calls.delete(&format!("/api/v1/devices/{capitals}")).await.expect(204);
    socket.expect_close_after_frames(4403, "device_deleted").await;
}

/// So it is where a device makes a command for itself: another one of the same
/// user is refused, and where it names none it means its own.
#[tokio::test]
async fn a_bound_token_makes_commands_for_one_device() {
    const TRIGGER: &str = "/api/v1/dev/trigger-write";
    let gateway = Gateway::start().await;
    let (phone, tablet) = (gateway.device("phone", "u1"), gateway.device("tablet", "u1"));
    for device in [&phone, &tablet] {
        gateway.calls_of(device).quiet().register(device).await;
    }
    let bound = Token::device("u1").claim("device_id", phone.id.clone()).sign();
    let calls = gateway.caller("phone", &bound).quiet();
    let body =
        |device_id: Value| json!({ "data_type": "steps", "value": 1, "device_id": device_id });
    let other = body(json!(tablet.id));
    calls.post(TRIGGER, &other).await.expect_error(403, "device_mismatch");
    // Whatever else is wrong with it.
    let wrong = json!({ "device_id": tablet.id, "data_type": 7 });
    calls.post(TRIGGER, &wrong).await.expect_error(403, "device_mismatch");
    for own in [json!(phone.id), json!(null)] {
        let made = calls.post(TRIGGER, &body(own)).await.expect(202);
        let id = made["command_id"].as_str().unwrap();
        assert_eq!(gateway.backend().command(id).await["device_id"], json!(phone.id));
    }
    let free = gateway.calls_of(&phone).quiet();
    let made = free.post(TRIGGER, &body(json!(null))).await.expect(202);
    let id = made["command_id"].as_str().unwrap();
    assert_eq!(gateway.backend().command(id).await["device_id"], json!(null));
}
