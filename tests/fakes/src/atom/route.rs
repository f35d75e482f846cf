//! A request's way: who asks, what a test has laid down, what the catalogue
//! says.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use http::header::{ETAG, IF_NONE_MATCH, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::answer;
use crate::atom::answer::Answer;
use crate::atom::catalogue::Catalogue;
use crate::atom::limit::REQUESTS;
use crate::atom::listing::Wanted;
use crate::atom::rating::{self, Verdict};
use crate::atom::{AtomRequest, Marketplace, etag, socket};

/// Largest body that is read.
const BODY_BYTES: usize = 1024 * 1024;

/// What is asked for.
#[derive(Debug)]
pub(crate) enum Call {
    Listing(Result<Wanted, &'static str>),
    Skill(String),
    Categories,
    /// With the id in the path, where the contract has it there.
    Rate(Option<String>, Bytes),
    Health,
}

/// What the catalogue says to a call.
struct Said {
    status: u16,
    word: &'static str,
    body: Value,
}

/// What becomes of a request.
struct Outcome {
    answer: Answer,
    word: &'static str,
    response: Response,
}

pub(crate) fn router(market: Marketplace) -> Router {
    let generation = market.generation();
    let paths = generation.paths();
    let mut router = Router::new()
        .route(paths.skills, get(listing))
        .route(paths.skill, get(skill))
        .route(paths.categories, get(categories))
        .route(generation.socket(), get(socket::upgrade));
    router = if paths.rate.contains("{id}") {
        router.route(paths.rate, post(rate_in_path))
    } else {
        router.route(paths.rate, post(rate))
    };
    if let Some(path) = paths.health {
        router = router.route(path, get(health));
    }
    router.layer(DefaultBodyLimit::max(BODY_BYTES)).with_state(market)
}

async fn listing(State(market): State<Marketplace>, parts: Parts) -> Response {
    let wanted = Wanted::parse(parts.uri.query().unwrap_or_default());
    market.respond(Call::Listing(wanted), parts).await
}

async fn skill(
    State(market): State<Marketplace>,
    Path(id): Path<String>,
    parts: Parts,
) -> Response {
    market.respond(Call::Skill(id), parts).await
}

async fn categories(State(market): State<Marketplace>, parts: Parts) -> Response {
    market.respond(Call::Categories, parts).await
}

async fn rate(State(market): State<Marketplace>, parts: Parts, body: Bytes) -> Response {
    market.respond(Call::Rate(None, body), parts).await
}

async fn rate_in_path(
    State(market): State<Marketplace>,
    Path(id): Path<String>,
    parts: Parts,
    body: Bytes,
) -> Response {
    market.respond(Call::Rate(Some(id), body), parts).await
}

async fn health(State(market): State<Marketplace>, parts: Parts) -> Response {
    market.respond(Call::Health, parts).await
}

impl Call {
    /// Most precise first.
    fn addressees(&self) -> Vec<String> {
        match self {
            Self::Listing(wanted) => {
                let page = wanted.as_ref().map_or(0, |wanted| wanted.page);
                vec![format!("skills?page={page}"), "skills".into()]
            }
            Self::Skill(id) => vec![format!("skill/{id}"), "skill".into()],
            Self::Categories => vec!["categories".into()],
            Self::Rate(..) => vec!["rate".into()],
            Self::Health => vec!["health".into()],
        }
    }

    const fn is_listing(&self) -> bool {
        matches!(self, Self::Listing(_) | Self::Categories)
    }
}

impl Marketplace {
    async fn respond(&self, call: Call, parts: Parts) -> Response {
        let _underway = self.shared.limit.enter();
        let outcome = self.decide(&call, &parts.headers);
        let body = match &call {
            Call::Rate(_, body) => serde_json::from_slice(body).unwrap_or_default(),
            _ => Value::Null,
        };
        let addressee = call.addressees().swap_remove(0);
        self.note(addressee, parts, body, &outcome.response, outcome.word);
        match outcome.answer {
            Answer::Slow(delay) => tokio::time::sleep(delay).await,
            Answer::Hang => std::future::pending().await,
            _ => {}
        }
        outcome.response
    }

    /// Records a request and its answer.
    pub(crate) fn note(
        &self,
        addressee: String,
        parts: Parts,
        body: Value,
        response: &Response,
        word: &'static str,
    ) {
        let is_sent = !answer::is_dropped(response);
        let status = is_sent.then(|| response.status().as_u16());
        tracing::info!(addressee, status, answer = word, "marketplace request");
        self.shared.requests.push(AtomRequest {
            addressee,
            method: parts.method,
            uri: parts.uri,
            is_conditional: parts.headers.contains_key(IF_NONE_MATCH),
            headers: parts.headers,
            body,
            status,
            answer: word,
            at_ms: self.shared.clock.now().millis(),
        });
    }

    fn decide(&self, call: &Call, headers: &HeaderMap) -> Outcome {
        if self.is_down() {
            return Outcome::new("down", answer::drop_connection());
        }
        if !matches!(call, Call::Health)
            && let Some(refusal) = self.refuse(headers)
        {
            return refusal;
        }
        if let Call::Listing(Ok(wanted)) = call {
            self.act_before(wanted.page);
        }
        let names = call.addressees();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let answer = self.shared.script.next_of(&names);
        if let Some(response) = answer.without_looking() {
            return Outcome { word: answer.name(), answer, response };
        }
        let mut said = match call {
            Call::Listing(Ok(wanted)) if answer == Answer::FirstPage => {
                self.look(&Call::Listing(Ok(wanted.first())))
            }
            _ => self.look(call),
        };
        let mut word = if answer.is_plain() { said.word } else { answer.name() };
        if said.status == 200 {
            answer.spoil(&mut said.body);
        }
        let mut response = answer.send(said.status, &said.body);
        if said.status == 200 && answer.is_plain() && call.is_listing() && self.offers_etags() {
            let etag = etag::of(&said.body);
            if etag::is_met(headers, &etag) {
                (word, response) = ("not_modified", Response::default());
                *response.status_mut() = StatusCode::NOT_MODIFIED;
            }
            response.headers_mut().insert(ETAG, etag);
        }
        Outcome { answer, word, response }
    }

    /// The answer to who may not call, or not now.
    fn refuse(&self, headers: &HeaderMap) -> Option<Outcome> {
        let Some(instance) = self.generation().instance(headers, self.token()) else {
            return Some(Outcome::new("unauthorized", self.unauthorized()));
        };
        let now_ms = self.shared.clock.now().millis();
        if !self.shared.limit.allows(&instance, REQUESTS, now_ms) {
            return Some(Outcome::new("limited", crate::atom::answer::rate_limited(Some(60))));
        }
        None
    }

    pub(crate) fn unauthorized(&self) -> Response {
        let mut response = crate::atom::answer::error(401);
        let challenge = HeaderValue::from_static(self.generation().challenge());
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        response
    }

    /// What the catalogue says.
    fn look(&self, call: &Call) -> Said {
        match call {
            Call::Listing(Err(sentence)) => Said::error(400, "bad_request", sentence),
            Call::Listing(Ok(wanted)) => {
                Said::ok(self.with_catalogue(|catalogue| wanted.page_of(catalogue.skills())))
            }
            Call::Skill(id) => self
                .with_catalogue(|catalogue| catalogue.detail(id))
                .map_or_else(|| Said::error(404, "not_found", "Skill not found"), Said::ok),
            Call::Categories => {
                let bare = self.with_catalogue(|catalogue| json!(catalogue.categories()));
                Said::ok(if self.wraps_categories() { json!({"categories": bare}) } else { bare })
            }
            Call::Rate(id, body) => self.rate(id.as_deref(), body),
            Call::Health => Said::ok(
                json!({"status": "healthy", "timestamp": self.stamp(), "version": "1.0.0"}),
            ),
        }
    }

    fn rate(&self, id: Option<&str>, body: &[u8]) -> Said {
        let stamp = self.stamp();
        let take = |catalogue: &mut Catalogue| rating::take(catalogue, id, body, &stamp);
        match self.with_catalogue(take) {
            Verdict::Taken(answer, rating) => {
                self.echo_rating(&answer, rating);
                Said::ok(answer)
            }
            Verdict::Bad(sentence) => Said::error(400, "bad_request", sentence),
            Verdict::NoSkill => Said::error(404, "not_found", "Skill not found"),
            Verdict::Again => {
                Said::error(409, "already_rated", "Rating already exists (update only)")
            }
        }
    }
}

impl Said {
    const fn ok(body: Value) -> Self {
        Self { status: 200, word: "ok", body }
    }

    fn error(status: u16, word: &'static str, sentence: &str) -> Self {
        Self { status, word, body: json!({"error": sentence}) }
    }
}

impl Outcome {
    const fn new(word: &'static str, response: Response) -> Self {
        Self { answer: Answer::Ok, word, response }
    }
}
