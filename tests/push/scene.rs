//! A gateway with push services: fakes that share its clock.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate::store::wake;
use tidegate_fakes::fcm::{FakeFcm, FcmRequest};
use tidegate_fakes::webpush::{FakeWebPush, TestSubscription};

use crate::support::{Caller, Device, Gateway, Setup, bounded, eventually};

/// A VAPID key of these tests: 32 bytes, base64url.
const VAPID_KEY: &str = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw";

/// Longer than the gateway's loop sleeps at most.
const NUDGE: Duration = Duration::from_millis(1_100);

/// A gateway, the services it pushes through, and their common clock.
pub(super) struct Scene {
    pub(super) gateway: Gateway,
    pub(super) backend: Caller,
    pub(super) fcm: FakeFcm,
    pub(super) webpush: FakeWebPush,
    _files: TempDir,
}

impl Scene {
    /// Both services, short waits, no ramp.
    /// Waits short enough to be waited for.
    pub(super) fn setup() -> Setup {
        Setup::new()
            .set("push.ramp_s", "0")
            .set("push.result_timeout_ms", "600")
            .set("push.backoff_ms", "[200, 400]")
            .set("push.delta_interval_ms", "100")
    }

    /// Waits that only a moved clock ends.
    pub(super) fn patient() -> Setup {
        Self::setup()
            .set("push.result_timeout_ms", "600000")
            .set("push.backoff_ms", "[60000, 120000]")
    }

    pub(super) async fn start_with(setup: Setup) -> Self {
        let fcm = FakeFcm::start_with(setup.clock()).await;
        let webpush = FakeWebPush::start_on(0, setup.clock()).await.unwrap();
        let files = TempDir::new().unwrap();
        let credentials = files.path().join("account.json");
        std::fs::write(&credentials, fcm.credentials()).unwrap();
        let key = files.path().join("vapid");
        std::fs::write(&key, VAPID_KEY).unwrap();
        let setup = setup
            .set("push.fcm.credentials_file", credentials.to_str().unwrap())
            .set("push.fcm.base_url", &fcm.url())
            .set("push.webpush.private_key_file", key.to_str().unwrap())
            .set("push.webpush.subject", "mailto:push@example.com");
        let gateway = setup.start().await;
        let backend = gateway.backend().quiet();
        Self { gateway, backend, fcm, webpush, _files: files }
    }

    /// An app install of a user, registered with an FCM token.
    pub(super) async fn phone(&self, name: &str, user: &str) -> Device {
        let phone = self.gateway.device(name, user);
        self.register(&phone, json!({ "provider": "fcm", "token": format!("token-{name}") })).await;
        phone
    }

    /// A browser of a user, registered with a subscription.
    pub(super) async fn browser(&self, name: &str, user: &str) -> (Device, TestSubscription) {
        let key = self.backend.get("/api/v1/push/webpush-key").await.expect(200);
        let subscription = self.webpush.subscribe(Some(key["public_key"].as_str().unwrap()));
        let browser = self.gateway.device(name, user);
        let push = json!({ "provider": "webpush", "token": subscription.json });
        self.register(&browser, push).await;
        (browser, subscription)
    }

    /// A phone of another system than Android.
    pub(super) async fn phone_on(&self, platform: &str, name: &str, user: &str) -> Device {
        let phone = self.gateway.device(name, user);
        let push = json!({ "provider": "fcm", "token": format!("token-{name}") });
        self.register_on(platform, &phone, push).await;
        phone
    }

    /// Registers a device over HTTP.
    pub(super) async fn register(&self, device: &Device, push: Value) {
        self.register_on("android", device, push).await;
    }

    async fn register_on(&self, platform: &str, device: &Device, push: Value) {
        let body = json!({ "device_id": device.id, "platform": platform, "push": push });
        self.calls(device).post("/api/v1/devices/register", &body).await.expect(200);
    }

    /// The device's calls, not written down.
    pub(super) fn calls(&self, device: &Device) -> Caller {
        self.gateway.calls_of(device).quiet()
    }

    /// The device reports a command as applied, over HTTP.
    pub(super) async fn applied(&self, device: &Device, id: &str) {
        let results = json!([{ "command_id": id, "status": "applied" }]);
        let body = json!({ "device_id": device.id, "results": results });
        self.calls(device).post("/api/v1/sync/results", &body).await.expect(200);
    }

    /// The state of the device's push token.
    pub(super) async fn push_state(&self, device: &Device) -> String {
        self.shown(device).await["push_state"].as_str().unwrap().to_owned()
    }

    /// The device as lists show it.
    pub(super) async fn shown(&self, device: &Device) -> Value {
        let path = format!("/api/v1/users/{}/devices", device.user);
        let page = self.backend.get(&path).await.expect(200);
        let devices = page["items"].as_array().unwrap();
        devices.iter().find(|found| found["device_id"] == device.id).unwrap().clone()
    }

    /// Waits until the device's push token has this state.
    pub(super) async fn until_push_state(&self, device: &Device, state: &str) {
        eventually(state, async || (self.push_state(device).await == state).then_some(())).await;
    }

    /// Time passes for the gateway and for the services, and the gateway looks.
    /// Claims last by the clock, so that none may be under way.
    pub(super) async fn pass(&self, by: Duration) {
        self.idle().await;
        self.jump(by).await;
    }

    /// Time passes whatever is under way.
    pub(super) async fn jump(&self, by: Duration) {
        self.gateway.move_clock(by);
        self.gateway.pass_time(NUDGE).await;
    }

    /// Both clocks go on, as in life: pauses in memory end too.
    pub(super) async fn elapse(&self, by: Duration) {
        self.idle().await;
        self.gateway.move_clock(by);
        self.gateway.pass_time(by).await;
    }

    /// The wall clock is set back; the gateway looks.
    pub(super) async fn set_clock_back(&self, by: Duration) {
        self.gateway.set_clock_back(by);
        self.gateway.pass_time(NUDGE).await;
    }

    /// The requests to FCM for one token, once there are so many.
    pub(super) async fn pushes(&self, token: &str, count: usize) -> Vec<FcmRequest> {
        eventually("pushes", async || {
            let mut requests = self.fcm.requests();
            requests.retain(|request| request.token == token);
            assert!(requests.len() <= count, "{} pushes for {token}", requests.len());
            (requests.len() == count).then_some(requests)
        })
        .await
    }

    /// Waits until everything that is due is sent and settled.
    pub(super) async fn idle(&self) {
        eventually("idle", async || {
            let store = &self.gateway.running().state().store;
            // Claimed ones too, until they are settled.
            let next = wake::next_due(store.readers(), i64::MAX, i64::MAX).await.unwrap();
            next.is_none_or(|due_at| due_at > self.gateway.now_ms()).then_some(())
        })
        .await;
    }

    /// The command has so many `push_ok` and `push_failed` rows; those.
    pub(super) async fn settled(&self, id: &str, rows: usize) -> Vec<Value> {
        eventually("push rows", async || {
            let command = self.backend.command(id).await;
            let mut found = command["timeline"].as_array().unwrap().clone();
            found.retain(|row| row["event"].as_str().unwrap().starts_with("push_"));
            assert!(found.len() <= rows, "{command}");
            (found.len() == rows).then_some(found)
        })
        .await
    }

    /// What `/readyz` says of the tier.
    pub(super) async fn readiness(&self) -> String {
        let answer = self.backend.get("/readyz").await.expect(200);
        answer["push"].as_str().unwrap().to_owned()
    }

    /// A figure of `/metrics`.
    pub(super) async fn figure(&self, name: &str) -> f64 {
        let answer = self.backend.get("/metrics").await;
        let value = answer.text().lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        value.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
    }

    /// Waits until a figure has a value.
    pub(super) async fn until_figure(&self, name: &str, value: f64) {
        eventually(name, async || {
            let now = self.figure(name).await;
            (now.to_bits() == value.to_bits()).then_some(())
        })
        .await;
    }

    /// Waits for a request to the token endpoint.
    pub(super) async fn token_requests(&self, count: usize) -> Vec<&'static str> {
        bounded("token requests", self.fcm.google().wait_for(count)).await
    }
}
