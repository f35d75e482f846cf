//! The `Atom SaaS` marketplace: its skills, categories and ratings over HTTP,
//! and its socket.
//!
//! Owns the requests and what their answers mean. An outage, a page of a
//! proxy, a half body or an answer without the list that was asked for is
//! always an error, never an empty success. One request per call: it never
//! retries, keeps no cache and does not count requests (the service allows 100
//! a minute and 10 at once); those are the caller's decisions.
//!
//! Source of what is not said elsewhere: `Atom SaaS` marketplace requirements
//! v1.0.0.

pub mod answer;
pub mod contract;
mod dial;
pub mod error;
pub mod item;
pub mod message;
pub mod rate;
pub mod socket;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use reqwest::{Client, Method, Request, Response, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;
use tidegate_clock::Clock;
use url::Url;

use crate::atom::answer::{Categories, Conditional, Rated, SkillsPage, Validator};
use crate::atom::contract::{Contract, Operation};
use crate::atom::dial::Dial;
use crate::atom::error::{AtomError, ErrorKind, SocketError};
use crate::atom::item::is_key;
use crate::atom::socket::{AtomSocket, SocketOptions};
use crate::limits::{
    ANSWER_BYTES, ATOM_COMMENT_CHARS, ATOM_PAGE_BYTES, ATOM_PAGE_ITEMS, ATOM_SKILL_BYTES,
};
use crate::retry_after;
use crate::transport::{self, ClientError, TransportError};

/// Where the marketplace is, and who asks. `Debug` shows neither the token nor
/// what an address may carry besides its host.
#[derive(Clone)]
pub struct AtomOptions {
    /// Which generation of the contract it speaks.
    pub contract: Contract,
    /// Its address, `http` or `https`; the contract's paths follow its own.
    pub base_url: Url,
    /// The address of its socket, `ws` or `wss`; `None`: there is none.
    pub ws_url: Option<Url>,
    /// The token of this installation.
    pub token: String,
    /// Its name, for [`Contract::C`]; `None`: made from the token.
    pub instance_id: Option<String>,
    /// How long one request may take.
    pub timeout: Duration,
    /// What dates in `Retry-After` are measured by where an answer has no date of
    /// its own.
    pub clock: Clock,
}

impl fmt::Debug for AtomOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AtomOptions")
            .field("contract", &self.contract)
            .field("base_url", &self.base_url.host_str())
            .field("ws_url", &self.ws_url.as_ref().map(Url::host_str))
            .field("instance_id", &self.instance_id)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// A rating to hand in. `Debug` shows neither the user nor the comment.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct NewRating {
    /// The skill.
    pub skill_id: String,
    /// Who rates, by the name the marketplace is to know.
    pub user_id: String,
    /// 1 to 5.
    pub rating: u8,
    /// At most [`ATOM_COMMENT_CHARS`] characters.
    pub comment: Option<String>,
}

impl NewRating {
    /// Whether the marketplace could take it.
    fn is_acceptable(&self) -> bool {
        let comment = self.comment.as_deref().unwrap_or_default();
        (1..=5).contains(&self.rating)
            && is_key(&self.skill_id)
            && !self.user_id.is_empty()
            && comment.chars().count() <= ATOM_COMMENT_CHARS
    }
}

impl fmt::Debug for NewRating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewRating")
            .field("skill_id", &self.skill_id)
            .field("rating", &self.rating)
            .finish_non_exhaustive()
    }
}

/// The client. Cheap to clone.
#[derive(Clone)]
pub struct Atom(Arc<Inner>);

struct Inner {
    http: Client,
    contract: Contract,
    base_url: Url,
    /// Who asks.
    headers: HeaderMap,
    clock: Clock,
    dial: Option<Dial>,
}

impl fmt::Debug for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Atom").field("contract", &self.0.contract).finish_non_exhaustive()
    }
}

impl Atom {
    /// A client. Connects to nothing yet.
    pub fn new(options: AtomOptions) -> Result<Self, ClientError> {
        let AtomOptions { contract, base_url, ws_url, token, instance_id, timeout, clock } =
            options;
        let is_http = matches!(base_url.scheme(), "http" | "https");
        if !is_http || !base_url.has_host() || has_user(&base_url) {
            return Err(ClientError::Address("the marketplace's base URL"));
        }
        let http = transport::client(timeout, None)?;
        let mut headers = contract.headers(&token, instance_id.as_deref())?;
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let dial = match ws_url {
            Some(url) if has_user(&url) => {
                return Err(ClientError::Address("the marketplace's WebSocket URL"));
            }
            Some(url) => {
                let headers = contract.socket_headers(&token, instance_id.as_deref())?;
                Some(Dial::new(url, &token, headers, clock.clone())?)
            }
            None => None,
        };
        Ok(Self(Arc::new(Inner { http, contract, base_url, headers, clock, dial })))
    }

    /// A page of the skills, counted from 1, of 1 to [`ATOM_PAGE_ITEMS`]
    /// skills. `known`: what the same page answered with last time.
    pub async fn skills(
        &self,
        page: u32,
        page_size: u32,
        known: Option<&Validator>,
    ) -> Result<Conditional<SkillsPage>, AtomError> {
        if page == 0 || !(1..=ATOM_PAGE_ITEMS).contains(&page_size) {
            return Err(AtomError::local(ErrorKind::BadRequest));
        }
        let mut url = self.url(Operation::Skills)?;
        url.query_pairs_mut()
            .append_pair("page", &page.to_string())
            .append_pair("page_size", &page_size.to_string());
        self.conditional(url, known, answer::skills_page).await
    }

    /// One skill as it came; `None` for 404. By itself that proves nothing: a
    /// proxy says it too while the marketplace is away. Who takes it for a
    /// deletion has seen by a listing that the marketplace is there.
    pub async fn skill(&self, id: &str) -> Result<Option<Box<RawValue>>, AtomError> {
        if !is_key(id) {
            return Err(AtomError::local(ErrorKind::BadRequest));
        }
        let url = self.url(Operation::Skill(id))?;
        let response = self.send(self.request(Method::GET, url)).await?;
        let status = response.status();
        if status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        self.read(response, ATOM_SKILL_BYTES, answer::skill).await.map(Some)
    }

    /// All categories. `known`: what they answered with last time.
    pub async fn categories(
        &self,
        known: Option<&Validator>,
    ) -> Result<Conditional<Categories>, AtomError> {
        let url = self.url(Operation::Categories)?;
        self.conditional(url, known, answer::categories).await
    }

    /// Hands in a rating. A rating that breaks the rules is not sent.
    ///
    /// The marketplace knows no idempotency key: after an error whose
    /// [`AtomError::retry`] is not `Never` the rating may have been taken, and
    /// a second try then ends with [`ErrorKind::Conflict`].
    pub async fn rate(&self, rating: &NewRating) -> Result<Rated, AtomError> {
        let bad_request = || AtomError::local(ErrorKind::BadRequest);
        if !rating.is_acceptable() {
            return Err(bad_request());
        }
        let body = serde_json::to_vec(rating).map_err(|_| bad_request())?;
        let url = self.url(Operation::Rate(&rating.skill_id))?;
        let mut request = self.request(Method::POST, url);
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *request.body_mut() = Some(body.into());
        self.read(self.send(request).await?, ANSWER_BYTES, answer::rated).await
    }

    /// Whether the marketplace says that it is well. [`Contract::A`] has no
    /// such report: answered without asking.
    pub async fn health(&self) -> Result<(), AtomError> {
        let Some(url) = self.0.contract.url(&self.0.base_url, Operation::Health) else {
            return Ok(());
        };
        let response = self.send(self.request(Method::GET, url)).await?;
        self.read(response, ANSWER_BYTES, answer::healthy).await
    }

    /// Opens the socket, in at most [`SocketOptions::connect_timeout`].
    pub async fn connect(&self, options: SocketOptions) -> Result<AtomSocket, SocketError> {
        let none = || SocketError::from(AtomError::local(ErrorKind::NotConfigured));
        let dial = self.0.dial.as_ref().ok_or_else(none)?;
        Ok(AtomSocket::new(dial.open(&options).await?, options))
    }

    fn url(&self, operation: Operation<'_>) -> Result<Url, AtomError> {
        let url = self.0.contract.url(&self.0.base_url, operation);
        url.ok_or(AtomError::local(ErrorKind::NotConfigured))
    }

    fn request(&self, method: Method, url: Url) -> Request {
        let mut request = Request::new(method, url);
        request.headers_mut().clone_from(&self.0.headers);
        request
    }

    async fn send(&self, request: Request) -> Result<Response, AtomError> {
        let answer = self.0.http.execute(request).await;
        Ok(answer.map_err(|error| TransportError::of(&error))?)
    }

    async fn conditional<T>(
        &self,
        url: Url,
        known: Option<&Validator>,
        parse: fn(&[u8]) -> Result<T, ErrorKind>,
    ) -> Result<Conditional<T>, AtomError> {
        let mut request = self.request(Method::GET, url);
        if let Some(known) = known {
            let value = HeaderValue::from_str(known.as_str())
                .map_err(|_| AtomError::local(ErrorKind::BadRequest))?;
            request.headers_mut().insert(IF_NONE_MATCH, value);
        }
        let response = self.send(request).await?;
        if known.is_some() && response.status() == StatusCode::NOT_MODIFIED {
            return Ok(Conditional::NotModified);
        }
        let validator = response.headers().get(ETAG).and_then(Validator::of_header);
        let value = self.read(response, ATOM_PAGE_BYTES, parse).await?;
        Ok(Conditional::Fresh { value, validator })
    }

    /// Reads a success; anything else becomes an error.
    async fn read<T>(
        &self,
        response: Response,
        limit_bytes: usize,
        parse: fn(&[u8]) -> Result<T, ErrorKind>,
    ) -> Result<T, AtomError> {
        let status = response.status();
        if !status.is_success() {
            let retry_after = retry_after::from_headers(response.headers(), &self.0.clock);
            // The status alone says enough when the body does not come.
            let body = transport::read_body(response).await.unwrap_or_default();
            return Err(error::classify(status.as_u16(), retry_after, &body));
        }
        let status = status.as_u16();
        let body = transport::read_whole(response, limit_bytes)
            .await
            .map_err(|error| AtomError::of_body(status, error))?;
        parse(&body).map_err(|kind| AtomError::answered(status, kind))
    }
}

fn has_user(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(base_url: &str, ws_url: Option<&str>) -> AtomOptions {
        AtomOptions {
            contract: Contract::C,
            base_url: base_url.parse().unwrap(),
            ws_url: ws_url.map(|url| url.parse().unwrap()),
            token: "at_saas_secret".into(),
            instance_id: None,
            timeout: Duration::from_secs(1),
            clock: Clock::standing(tidegate_protocol::time::Timestamp::default()).0,
        }
    }

    #[test]
    fn addresses_are_checked_at_once() {
        let is_ok = |base, ws| Atom::new(options(base, ws)).is_ok();
        assert!(is_ok("http://h/api", None));
        assert!(is_ok("https://h", Some("ws://h/ws")));
        assert!(is_ok("https://h", Some("wss://h/ws?x=1")));
        assert!(!is_ok("ftp://h", None));
        assert!(!is_ok("https://user:password@h", None));
        assert!(!is_ok("https://h", Some("https://h/ws")));
        assert!(!is_ok("https://h", Some("wss://user@h/ws")));
        assert!(
            Atom::new(AtomOptions { token: "a b".into(), ..options("http://h", None) }).is_err()
        );
    }

    #[test]
    fn debug_output_hides_what_is_secret() {
        let options = options("http://u:hidden@h/hidden", Some("ws://h/ws?key=hidden"));
        let shown = format!("{options:?}");
        assert!(!shown.contains("secret") && !shown.contains("hidden"), "{shown}");
        let rating = NewRating {
            skill_id: "s".into(),
            user_id: "hidden@example.com".into(),
            rating: 5,
            comment: Some("hidden".into()),
        };
        assert!(!format!("{rating:?}").contains("hidden"));
    }

    #[test]
    fn ratings_are_checked_before_they_are_sent() {
        let rating = |skill_id: &str, user_id: &str, rating, chars| NewRating {
            skill_id: skill_id.into(),
            user_id: user_id.into(),
            rating,
            comment: Some("é".repeat(chars)),
        };
        assert!(rating("s", "u", 1, 0).is_acceptable());
        assert!(rating("s", "u", 5, 1000).is_acceptable());
        for bad in [
            rating("s", "u", 0, 0),
            rating("s", "u", 6, 0),
            rating("s", "u", 5, 1001),
            rating("", "u", 5, 0),
            rating("..", "u", 5, 0),
            rating("s", "", 5, 0),
        ] {
            assert!(!bad.is_acceptable(), "{bad:?}");
        }
    }

    #[test]
    fn a_rating_without_a_comment_says_so() {
        let rating =
            NewRating { skill_id: "s".into(), user_id: "u".into(), rating: 5, comment: None };
        let json = serde_json::to_string(&rating).unwrap();
        assert_eq!(json, r#"{"skill_id":"s","user_id":"u","rating":5,"comment":null}"#);
    }
}
