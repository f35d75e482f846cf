//! Google's token endpoint: trades assertions of the fake service account for
//! access tokens.
//!
//! Owns which access tokens are valid. Refuses in the order and with the
//! sentences that the real endpoint has shown (2026-09).

pub mod assertion;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use serde_json::json;
use tidegate_clock::Clock;

use crate::answer::{self, RetryAfter};
use crate::fixtures::{AccountKey, PROJECT_ID};
use crate::google::assertion::{Refusal, Verdict};
use crate::record::Record;
use crate::script::Script;
use crate::server::{Bound, Server};

/// How long an access token is valid, in seconds; as Google says it.
const EXPIRES_IN_S: i64 = 3599;

/// All requests share one queue of scripted answers.
const ANYONE: &str = "";

/// How a token request is answered.
#[derive(Clone, Debug)]
pub enum TokenAnswer {
    /// By its merits.
    Checked,
    /// By its merits, but late.
    Slow(Duration),
    /// By its merits, with a token that lives for so many seconds.
    Living(i64),
    /// As Google refuses.
    Refuse(Refusal),
    /// 200 without an access token, as for an unrecognised scope.
    IdTokenOnly,
    /// A status with an empty body.
    Status {
        /// The status.
        status: u16,
        /// When to come back.
        retry_after: Option<RetryAfter>,
    },
    /// 200 with a page.
    Garbage,
    /// The connection is closed without an answer.
    Drop,
    /// No answer ever.
    Hang,
}

/// A running token endpoint.
#[derive(Debug)]
pub struct FakeGoogle {
    server: Server,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    key: &'static AccountKey,
    token_uri: String,
    clock: Clock,
    script: Script<TokenAnswer>,
    /// What became of each request, as a word.
    outcomes: Record<&'static str>,
    /// Access tokens and the second they end.
    valid: Mutex<HashMap<String, i64>>,
}

impl FakeGoogle {
    /// Starts on a free port with the system's clock.
    pub async fn start() -> Self {
        Self::start_on(0, Clock::system()).await.expect("loopback has a free port")
    }

    /// Starts on a chosen port (0: a free one) with a chosen clock.
    pub async fn start_on(port: u16, clock: Clock) -> std::io::Result<Self> {
        let bound = Bound::to(port).await?;
        let shared = Arc::new(Shared {
            key: AccountKey::shared(),
            token_uri: format!("{}/token", bound.url()),
            clock,
            script: Script::new(TokenAnswer::Checked),
            outcomes: Record::default(),
            valid: Mutex::default(),
        });
        let router = Router::new().route("/token", post(token)).with_state(Arc::clone(&shared));
        Ok(Self { server: bound.serve(router), shared })
    }

    /// The server's origin.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// Where assertions are traded.
    pub fn token_uri(&self) -> &str {
        &self.shared.token_uri
    }

    /// The key file of the account this endpoint knows.
    pub fn credentials(&self) -> String {
        self.shared.key.credentials(PROJECT_ID, self.token_uri())
    }

    /// Lays down answers, each used once; then requests are checked again.
    pub fn script(&self, answers: impl IntoIterator<Item = TokenAnswer>) {
        self.shared.script.extend(ANYONE, answers);
    }

    /// Makes every access token so far invalid.
    pub fn revoke_all(&self) {
        self.lock_valid().clear();
    }

    /// What became of each request: `granted`, or the reason why not.
    pub fn outcomes(&self) -> Vec<&'static str> {
        self.shared.outcomes.all()
    }

    /// Waits for `count` requests in all. Panics after 10 s.
    pub async fn wait_for(&self, count: usize) -> Vec<&'static str> {
        self.shared.outcomes.wait_for(count).await
    }

    /// Whether the services accept this access token now.
    pub(crate) fn checker(&self) -> impl Fn(&str) -> bool + Send + Sync + 'static {
        let shared = Arc::clone(&self.shared);
        move |token| {
            let valid = shared.valid.lock().unwrap_or_else(PoisonError::into_inner);
            valid.get(token).is_some_and(|end_s| shared.clock.unix_seconds() < *end_s)
        }
    }

    fn lock_valid(&self) -> std::sync::MutexGuard<'_, HashMap<String, i64>> {
        self.shared.valid.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn token(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let answer = shared.script.next(ANYONE);
    if let TokenAnswer::Slow(delay) = answer {
        tokio::time::sleep(delay).await;
    }
    let (outcome, response) = match answer {
        TokenAnswer::Checked | TokenAnswer::Slow(_) => by_merits(&shared, &body, EXPIRES_IN_S),
        TokenAnswer::Living(life_s) => by_merits(&shared, &body, life_s),
        TokenAnswer::Refuse(refusal) => refused(refusal),
        TokenAnswer::IdTokenOnly => id_token_only(),
        TokenAnswer::Status { status, retry_after } => {
            let response = answer::typed(status, "text/plain", "");
            ("status", answer::with_retry_after(response, retry_after, &shared.clock))
        }
        TokenAnswer::Garbage => ("garbage", answer::typed(200, "text/html", "<html></html>")),
        TokenAnswer::Drop => ("drop", answer::drop_connection()),
        TokenAnswer::Hang => ("hang", Response::default()),
    };
    tracing::info!(outcome, "token request");
    shared.outcomes.push(outcome);
    if outcome == "hang" {
        std::future::pending::<()>().await;
    }
    response
}

fn by_merits(shared: &Shared, body: &[u8], life_s: i64) -> (&'static str, Response) {
    let form = url::form_urlencoded::parse(body).into_owned().collect::<HashMap<_, _>>();
    if form.get("grant_type").map(String::as_str) != Some(assertion::GRANT_TYPE) {
        return refused(Refusal::GrantType);
    }
    let assertion = form.get("assertion").map_or("", String::as_str);
    let now_s = shared.clock.unix_seconds();
    match assertion::check(assertion, shared.key.public_der(), &shared.token_uri, now_s) {
        Err(refusal) => refused(refusal),
        Ok(Verdict::UnknownScope) => id_token_only(),
        Ok(Verdict::Good) => granted(shared, now_s, life_s),
    }
}

fn granted(shared: &Shared, now_s: i64, life_s: i64) -> (&'static str, Response) {
    let number = shared.outcomes.count() + 1;
    let token = format!("ya29.c.sandbox-{number}");
    let mut valid = shared.valid.lock().unwrap_or_else(PoisonError::into_inner);
    valid.insert(token.clone(), now_s + life_s);
    let body = json!({"access_token": token, "expires_in": life_s, "token_type": "Bearer"});
    ("granted", answer::json(200, &body))
}

fn refused(refusal: Refusal) -> (&'static str, Response) {
    let (error, description) = refusal.words();
    let body = json!({"error": error, "error_description": description});
    (description, answer::json(400, &body))
}

fn id_token_only() -> (&'static str, Response) {
    ("id token only", answer::json(200, &json!({"id_token": "eyJhbGciOiJSUzI1NiJ9.e30.c2ln"})))
}
