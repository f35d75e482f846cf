//! What calls about integrations and webhooks answer when they do their work, and
//! refusals of their own.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tidegate_fakes::provider::answer::Answer as Said;
use tidegate_fakes::provider::google_health::FakeGoogleHealth;
use tidegate_fakes::provider::oura::FakeOura;
use tidegate_fakes::provider::strava::FakeStrava;
use tidegate_fakes::provider::{CLIENT_ID, CLIENT_SECRET, Service};

use crate::openapi::call::{Seen, caller};
use crate::support::{Caller, Gateway, Setup, eventually, is_documented};

const PUBLIC: &str = "http://tidegate.test";
const APP: &str = "https://app.example/done";
const STRAVA: &str = "/api/v1/integrations/strava";
const SECRET: &str = "Bearer agreed-on";

struct World {
    gateway: Gateway,
    strava: FakeStrava,
    oura: FakeOura,
    _google: FakeGoogleHealth,
    phone: Caller,
    nobody: Caller,
}

fn with(mut setup: Setup, provider: &str, service: &Service) -> Setup {
    for (key, value) in [
        ("client_id", CLIENT_ID),
        ("client_secret", CLIENT_SECRET),
        ("base_url", &service.base_url()),
        ("authorize_url", &service.authorize_url()),
        ("token_url", &service.token_url()),
        ("revoke_url", &service.revoke_url()),
    ] {
        setup = setup.set(&format!("providers.{provider}.{key}"), value);
    }
    setup
}

impl World {
    async fn start() -> Self {
        let setup = Setup::new();
        let strava = FakeStrava::start(setup.clock()).await.unwrap();
        let oura = FakeOura::start(setup.clock()).await.unwrap();
        let google = FakeGoogleHealth::start(setup.clock()).await.unwrap();
        let mut setup = setup
            .set("providers.public_url", PUBLIC)
            .set("providers.return_urls", &format!("[{APP:?}]"))
            .set("providers.strava.verify_token", "token-of-strava")
            .set("providers.oura.verify_token", "token-of-oura")
            .set("providers.google_health.webhook_secret", SECRET);
        setup = with(setup, "strava", &strava);
        setup = with(setup, "oura", &oura);
        setup = with(setup, "google_health", &google);
        let gateway = setup.start().await;
        let phone = caller(&gateway, "device");
        let nobody = phone.without_token();
        let phone = caller(&gateway, "device");
        Self { gateway, strava, oura, _google: google, phone, nobody }
    }

    /// Where the browser comes back to.
    async fn back(&self, return_url: Option<&str>) -> String {
        let body = json!({ "return_url": return_url });
        let answer = self.phone.post(&format!("{STRAVA}/connect"), &body).await.expect(200);
        let page = answer["authorize_url"].as_str().unwrap();
        let answer = browser().get(page).send().await.unwrap();
        let back = answer.headers()["location"].to_str().unwrap();
        back.strip_prefix(PUBLIC).unwrap().to_owned()
    }

    async fn view(&self) -> Value {
        // A run that has just begun changes it.
        let list = eventually("a list that stays as it is", async || {
            let list = self.phone.get("/api/v1/integrations").await;
            let tag = list.header("etag").unwrap().to_owned();
            let known = self.phone.clone().with_header("if-none-match", &tag);
            let again = known.get("/api/v1/integrations").await;
            (again.status == 304).then_some(list)
        });
        let list = list.await.expect(200);
        list["items"][0].clone()
    }

    async fn connecting(&self, seen: &mut Seen) {
        let path = format!("{STRAVA}/connect");
        let fitbit = "/api/v1/integrations/fitbit/connect";
        self.phone.post(fitbit, &json!({})).await.expect_error(410, "provider_gone");
        let elsewhere = json!({ "return_url": "https://elsewhere.example" });
        self.phone.post(&path, &elsewhere).await.expect_error(422, "invalid");
        self.nobody.get(&format!("{STRAVA}/callback")).await.expect_error(400, "invalid_state");
        self.strava.script().extend("token", [Said::Drop]);
        self.nobody.get(&self.back(None).await).await.expect_error(503, "unavailable");
        // A client that follows would leave.
        let back = self.back(Some(APP)).await;
        let url = format!("http://{}{back}", self.gateway.address());
        let response = browser().get(url).send().await.unwrap();
        let answer = crate::support::Answer {
            status: response.status(),
            headers: response.headers().clone(),
            bytes: response.bytes().await.unwrap().to_vec(),
            body: Value::Null,
        };
        let name = is_documented(&Method::GET, &back, None, &answer);
        seen.extend(name.map(|name| (name, answer.status.as_u16())));
        self.nobody.get(&self.back(None).await).await.expect(200);
    }

    async fn running(&self) {
        let path = format!("{STRAVA}/sync");
        let sync = async || self.phone.call(Method::POST, &path, None).await;
        let idle = async || {
            eventually("the end of a run", async || {
                (self.view().await["sync_status"] != "syncing").then_some(())
            })
            .await;
        };
        idle().await;
        self.strava.script().extend("list", [Said::Slow(Duration::from_millis(200))]);
        sync().await.expect(202);
        sync().await.expect_error(409, "sync_already_in_progress");
        idle().await;
        self.phone.delete(STRAVA).await.expect(204);
        sync().await.expect_error(404, "not_found");
    }

    /// Nobody asks for another user with a device's token.
    async fn of_others(&self) {
        let other = "?user_id=somebody";
        self.phone.get(&format!("/api/v1/integrations{other}")).await.expect(403);
        self.phone.post(&format!("{STRAVA}/connect{other}"), &json!({})).await.expect(403);
        self.phone.call(Method::POST, &format!("{STRAVA}/sync{other}"), None).await.expect(403);
        self.phone.delete(&format!("{STRAVA}{other}")).await.expect(403);
    }

    async fn hearing(&self) {
        let hooks = "/api/v1/webhooks";
        let get = async |path: &str| self.nobody.get(&format!("{hooks}/{path}")).await;
        get("strava?hub.challenge=c&hub.verify_token=token-of-strava").await.expect(200);
        get("strava").await.expect_error(403, "forbidden");
        get("oura?challenge=c&verification_token=token-of-oura").await.expect(200);
        get("oura").await.expect_error(403, "forbidden");
        let event = self.strava.activity_event("1", "1", "create").body;
        let strava = format!("{hooks}/strava");
        self.nobody.post_text(&strava, &event).await.expect(200);
        let signed = self.nobody.clone().with_header("x-strava-signature", "t=1,v1=0");
        signed.post_text(&strava, &event).await.expect_error(403, "forbidden");
        self.oura.sign_events(true);
        self.oura.set_callback_url(&format!("http://{}{hooks}/oura", self.gateway.address()));
        let google = self.nobody.clone().with_header("authorization", SECRET);
        let large = " ".repeat(70_000);
        for (caller, path) in [(&self.nobody, "strava"), (&google, "google_health")] {
            let path = format!("{hooks}/{path}");
            caller.post_text(&path, "x").await.expect_error(400, "malformed");
            caller.post_text(&path, &large).await.expect_error(413, "too_large");
        }
        let path = format!("{hooks}/google_health");
        google.post_text(&path, "[]").await.expect(200);
        self.nobody.post_text(&path, "[]").await.expect_error(401, "unauthenticated");
        let path = format!("{hooks}/oura");
        self.nobody.post_text(&path, "{}").await.expect_error(403, "forbidden");
        self.nobody.post_text(&path, &large).await.expect_error(413, "too_large");
        for (body, status) in
            [("x", 400), (self.oura.event("1", "workout", "w", "create").body.as_str(), 200)]
        {
            let (signature, timestamp) = self.oura.signature_of(body);
            let signed = self.nobody.clone().with_header("x-oura-signature", &signature);
            let signed = signed.with_header("x-oura-timestamp", &timestamp);
            assert_eq!(signed.post_text(&path, body).await.status, status);
        }
    }
}

fn browser() -> reqwest::Client {
    let browser = reqwest::Client::builder().no_proxy();
    browser.redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

/// What is not set up: no webhook, no connection, and no run of one that was.
async fn without_providers(seen: &mut Seen) {
    let gateway = Gateway::start().await;
    let phone = caller(&gateway, "device");
    let connect = phone.post(&format!("{STRAVA}/connect"), &json!({})).await;
    connect.expect_error(501, "not_supported");
    for path in ["strava", "oura", "google_health"] {
        let path = format!("/api/v1/webhooks/{path}");
        phone.post_text(&path, "{}").await.expect_error(404, "not_found");
        if !path.ends_with("google_health") {
            phone.get(&path).await.expect_error(404, "not_found");
        }
    }
    seen.extend(gateway.transcript().answers());
}

pub(super) async fn all() -> Seen {
    let mut seen = Seen::new();
    without_providers(&mut seen).await;
    let mut world = World::start().await;
    world.connecting(&mut seen).await;
    world.running().await;
    world.of_others().await;
    world.hearing().await;
    seen.extend(world.gateway.transcript().answers());
    // The provider is taken out of the settings.
    world.nobody.get(&world.back(None).await).await.expect(200);
    eventually("the end of a run", async || {
        (world.view().await["sync_status"] != "syncing").then_some(())
    })
    .await;
    world.gateway.change(|config| config.providers.strava.client_id.clear());
    world.gateway.restart().await;
    let phone = caller(&world.gateway, "device");
    let answer = phone.call(Method::POST, &format!("{STRAVA}/sync"), None).await;
    answer.expect_error(501, "not_supported");
    seen.extend(world.gateway.transcript().answers());
    seen
}
