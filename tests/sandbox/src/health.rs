//! A run that a watch and Strava both recorded: connected as a person would, told
//! by both, shown once.

use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::header::LOCATION;
use serde_json::{Value, json};
use tidegate_clock::Clock;
use tidegate_protocol::time::Timestamp;
use tokio::time::{Instant, sleep};

use crate::gateway::Fakes;
use crate::screen::Screen;

/// Longest wait for an answer of the gateway.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest wait for a synchronisation: it takes well under a second.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often to look.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The person at Strava.
const ATHLETE: &str = "1";

/// How long ago the run began, and how long it took, seconds.
const AGO_S: i64 = 7_200;
const LASTED_S: i64 = 3_600;

/// The app of a person, and that person's browser.
pub(crate) struct Person {
    client: reqwest::Client,
    url: String,
    token: String,
}

impl Person {
    pub(crate) fn new(url: &str, token: String) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(CALL_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        Ok(Self { client, url: url.to_owned(), token })
    }

    /// Plays the scene.
    pub(crate) async fn run_twice(&self, screen: &Screen, fakes: &Fakes) -> anyhow::Result<()> {
        screen.title("Health data: a run that a watch and Strava recorded appears once");
        fakes.strava.fill(ATHLETE, 1, AGO_S);
        fakes.strava.consent_as(ATHLETE);
        self.connect(screen).await?;
        let from_strava = self.activities("canonical=false", 1).await?;
        screen.say("gateway", &format!("has from Strava: {}", shown(&from_strava[0])));
        self.report(screen).await?;
        let one = self.activities("canonical=true", 1).await?;
        screen.say("gateway", &format!("shows: {}", shown(&one[0])));
        let both = self.activities("canonical=false", 2).await?;
        let hidden = both.iter().find(|activity| !activity["duplicate_of"].is_null());
        let hidden = hidden.context("nothing is hidden")?;
        screen.say("gateway", &format!("keeps as its duplicate: {}", shown(hidden)));
        if one[0]["source"] != "apple_health" || hidden["source"] != "strava" {
            bail!("the watch's report is to be shown, and Strava's hidden");
        }
        Ok(())
    }

    /// Connects with Strava: the app opens the address, the person agrees there, and
    /// the browser is sent back.
    async fn connect(&self, screen: &Screen) -> anyhow::Result<()> {
        let path = "/api/v1/integrations/strava/connect";
        let begun = self.call(self.client.post(self.at(path)).json(&json!({}))).await?;
        let authorize = begun["authorize_url"].as_str().context("no address to open")?;
        let agreed = self.client.get(authorize).send().await?;
        let back = agreed.headers().get(LOCATION).context("Strava sends nobody back")?;
        let back = back.to_str()?.to_owned();
        let answer = self.client.get(&back).send().await?;
        if !answer.status().is_success() {
            bail!("the gateway answers {} to who comes back from Strava", answer.status());
        }
        screen.say("person", "agrees at Strava, and is sent back");
        Ok(())
    }

    /// The watch's report, as the phone's health store has it.
    async fn report(&self, screen: &Screen) -> anyhow::Result<()> {
        let start = Clock::system().now().plus_millis(-AGO_S * 1000);
        let end: Timestamp = start.plus_millis(LASTED_S * 1000);
        let workout = json!({
            "workout_type": "running", "start_time": start, "end_time": end,
            "distance_meters": 10_012, "source_device": "Watch",
        });
        let body = json!({ "source": "apple_health", "workouts": [workout] });
        self.call(self.client.post(self.at("/api/v1/ingest/workouts")).json(&body)).await?;
        screen.say("phone", "reports the same run from its health store");
        Ok(())
    }

    /// Waits until so many are listed.
    async fn activities(&self, which: &str, count: usize) -> anyhow::Result<Vec<Value>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let path = format!("/api/v1/activities?{which}");
            let page = self.call(self.client.get(self.at(&path))).await?;
            let items = page["items"].as_array().cloned().unwrap_or_default();
            if items.len() == count {
                return Ok(items);
            }
            if Instant::now() >= deadline {
                bail!("{} activities instead of {count}: {page}", items.len());
            }
            sleep(LOOK_EVERY).await;
        }
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    async fn call(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Value> {
        let answer = request.bearer_auth(&self.token).send().await?;
        let status = answer.status();
        let body = answer.text().await?;
        if !status.is_success() {
            bail!("the gateway answers {status}: {body}");
        }
        serde_json::from_str(&body).context("the gateway's answer cannot be read")
    }
}

fn shown(activity: &Value) -> String {
    let word = |name: &str| activity[name].as_str().unwrap_or_default().to_owned();
    let (kind, source, start) = (word("activity_type"), word("source"), word("start"));
    format!("{kind} from {start} by {source}")
}
