//! A push token belongs to the device that registered it last.

use serde_json::json;

use crate::support::{Device, Gateway};

/// A subscription as browsers give it (the keys are those of RFC 8291).
const SUBSCRIPTION: &str = r#"{"endpoint":"https://push.example.com/1","keys":{"p256dh":"BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4","auth":"BTBZMqHH6r4Tts7J_aSIgg"}}"#;

async fn register(gateway: &Gateway, device: &Device, provider: &str, token: &str) {
    let body = json!({
        "device_id": device.id, "platform": "ios",
        "push": { "provider": provider, "token": token },
    });
    gateway.calls_of(device).post("/api/v1/devices/register", &body).await.expect(200);
}

async fn push_state(gateway: &Gateway, device: &Device) -> String {
    let path = format!("/api/v1/users/{}/devices", device.user);
    let page = gateway.backend().get(&path).await.expect(200);
    let devices = page["items"].as_array().unwrap();
    let device = devices.iter().find(|found| found["device_id"] == device.id).unwrap();
    device["push_state"].as_str().unwrap().to_owned()
}

/// It moves between the devices of a user and between users, also where both
/// have the same device id.
#[tokio::test]
async fn a_token_moves_to_its_last_owner() {
    let gateway = Gateway::start().await;
    let (phone, tablet) = (gateway.device("phone", "u1"), gateway.device("tablet", "u1"));
    let next_user = gateway.device_with_id("next", "u2", &phone.id);
    let mut owner: Option<&Device> = None;
    for device in [&phone, &tablet, &next_user, &phone] {
        register(&gateway, device, "fcm", SUBSCRIPTION).await;
        assert_eq!(push_state(&gateway, device).await, "active");
        if let Some(before) = owner.replace(device) {
            assert_eq!(push_state(&gateway, before).await, "none");
        }
    }
    // Of another provider the same text is another token.
    register(&gateway, &tablet, "webpush", SUBSCRIPTION).await;
    assert_eq!(push_state(&gateway, &phone).await, "active");
}

/// `hello` moves it, too.
#[tokio::test]
async fn hello_moves_a_token() {
    let gateway = Gateway::start().await;
    let (phone, stranger) = (gateway.device("phone", "u1"), gateway.device("stranger", "u2"));
    register(&gateway, &phone, "fcm", "token-1").await;
    let mut hello = stranger.hello();
    hello["device"]["push"] = json!({ "provider": "fcm", "token": "token-1" });
    stranger.open_with(&hello).await;
    assert_eq!(push_state(&gateway, &phone).await, "none");
    assert_eq!(push_state(&gateway, &stranger).await, "active");
}
