//! Nothing of tokens, codes and states is in what the program says, at any level.

use std::time::Duration;

use reqwest::redirect::Policy;
use serde_json::{Value, json};
use tidegate::sealing::Key;
use tidegate_clock::Clock;
use tidegate_fakes::provider::answer::Answer as Said;
use tidegate_fakes::provider::strava::FakeStrava;
use tidegate_fakes::provider::{CLIENT_ID, CLIENT_SECRET};

use crate::crash::data::Data;
use crate::crash::process::Process;
use crate::integrations::world::PUBLIC;
use crate::support::Token;

const VERIFY: &str = "verify-me-but-tell-nobody";

struct Scene {
    strava: FakeStrava,
    process: Process,
    http: reqwest::Client,
    secrets: Vec<String>,
}

impl Scene {
    async fn start(data: &Data) -> Self {
        let strava = FakeStrava::start(Clock::system()).await.unwrap();
        let key = Key::random().text();
        let mut variables = vec![("TIDEGATE_LOG__FILTER".to_owned(), "trace".to_owned())];
        for (name, value) in [
            ("SEALING__KEYS", format!("[{key:?}]")),
            ("PROVIDERS__PUBLIC_URL", PUBLIC.to_owned()),
            ("PROVIDERS__STRAVA__CLIENT_ID", CLIENT_ID.to_owned()),
            ("PROVIDERS__STRAVA__CLIENT_SECRET", CLIENT_SECRET.to_owned()),
            ("PROVIDERS__STRAVA__VERIFY_TOKEN", VERIFY.to_owned()),
            ("PROVIDERS__STRAVA__WEBHOOKS", "true".to_owned()),
            ("PROVIDERS__STRAVA__BASE_URL", strava.base_url()),
            ("PROVIDERS__STRAVA__AUTHORIZE_URL", strava.authorize_url()),
            ("PROVIDERS__STRAVA__TOKEN_URL", strava.token_url()),
            ("PROVIDERS__STRAVA__REVOKE_URL", strava.revoke_url()),
        ] {
            variables.push((format!("TIDEGATE_{name}"), value));
        }
        let process = Process::start_with(data, &variables).await.unwrap();
        let http = reqwest::Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
        let key = key.split_once(':').unwrap().1.to_owned();
        let secrets = vec![CLIENT_SECRET.to_owned(), VERIFY.to_owned(), key];
        Self { strava, process, http, secrets }
    }

    async fn call(&self, method: &str, path: &str) -> Value {
        let url = format!("http://{}/api/v1/integrations{path}", self.process.address());
        let request = self.http.request(method.parse().unwrap(), url);
        let request = request.bearer_auth(Token::device("ana").sign()).json(&json!({}));
        request.send().await.unwrap().json().await.unwrap_or_default()
    }

    fn note_tokens(&mut self) {
        for pair in self.strava.pairs_of("1001") {
            self.secrets.extend([pair.access_token, pair.refresh_token]);
        }
    }

    /// The way there and back; `answer`: that of the token endpoint.
    async fn connect(&mut self, answer: Said) {
        self.strava.consent_as("1001");
        let page = self.call("POST", "/strava/connect").await["authorize_url"].clone();
        let answered = self.http.get(page.as_str().unwrap()).send().await.unwrap();
        let back: reqwest::Url = answered.headers()["location"].to_str().unwrap().parse().unwrap();
        let query = back.query_pairs();
        let secret = query.filter(|(name, _)| matches!(&**name, "state" | "code"));
        self.secrets.extend(secret.map(|(_, value)| value.into_owned()));
        self.strava.script().extend("token", [answer]);
        let path = format!("{}?{}", back.path(), back.query().unwrap());
        let url = format!("http://{}{path}", self.process.address());
        self.http.get(url).send().await.unwrap();
        self.note_tokens();
    }

    /// A run; until it has ended.
    async fn sync(&mut self) {
        self.call("POST", "/strava/sync").await;
        for _ in 0..1_000 {
            let list = self.call("GET", "").await;
            if list["items"][0]["sync_status"] != "syncing" {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        self.note_tokens();
    }
}

#[tokio::test]
async fn no_secret_is_told() {
    let data = Data::fresh().await;
    let mut scene = Scene::start(&data).await;
    scene.strava.fill("1001", 2, 86_400);
    for answer in [Said::Status(400), Said::Status(500), Said::NotJson, Said::Ok] {
        scene.connect(answer).await;
    }
    scene.sync().await;
    for answer in [Said::Ok, Said::Status(500), Said::Status(400)] {
        scene.strava.expire_access("1001");
        scene.strava.script().extend("token", [answer]);
        scene.sync().await;
    }
    scene.connect(Said::Ok).await;
    scene.call("DELETE", "/strava").await;
    scene.process.terminate().await;
    let log = scene.process.log();
    assert!(log.contains("TRACE") && scene.secrets.len() > 10, "{}", scene.secrets.len());
    for secret in &scene.secrets {
        assert!(!log.contains(secret.as_str()), "`{secret}` is in the log");
    }
}
