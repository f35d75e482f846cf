//! The hosted marketplace of Atom: its listing, its ratings and its socket, in
//! the three generations of its contract.
//!
//! Owns a catalogue that tests change at will. Checks who calls and how; what
//! passes gets the next scripted answer for its addressee, or the truth. It
//! tells the catalogue's changes on the socket only when it is asked to.

mod announce;
pub mod answer;
mod catalogue;
mod etag;
mod filling;
mod generation;
mod limit;
mod listing;
mod rating;
mod route;
mod socket;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, SecondsFormat};
use http::{HeaderMap, Method, Uri};
use serde_json::Value;
use tidegate_clock::Clock;

use crate::atom::answer::Answer;
use crate::atom::catalogue::{Catalogue, id_of};
use crate::atom::limit::Limit;
use crate::atom::socket::Sockets;
use crate::record::Record;
use crate::script::Script;
use crate::server::{Bound, Server};

/// The token that is accepted.
const TOKEN: &str = "at_saas_sandbox_7d1f0c52e9";

/// A generation of the contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Generation {
    /// The client of phases 60 and 61.
    A,
    /// The platform's requirements, version 1.0.0.
    #[default]
    B,
    /// The client of 2026-08.
    C,
}

/// The id of the skill with this index in [`Marketplace::fill`].
pub fn skill_id(index: usize) -> String {
    filling::skill_id(index)
}

/// A request and what became of it.
#[derive(Clone, Debug)]
pub struct AtomRequest {
    /// What it was for: `skills?page=N`, `skill/ID`, `categories`, `rate`,
    /// `health` or `ws`.
    pub addressee: String,
    /// The method.
    pub method: Method,
    /// Path and query.
    pub uri: Uri,
    /// All headers.
    pub headers: HeaderMap,
    /// Whether it had `If-None-Match`.
    pub is_conditional: bool,
    /// The body of a rating; null if it was not JSON.
    pub body: Value,
    /// The answered status; `None` if there was no answer.
    pub status: Option<u16>,
    /// The answer, as a word: `ok`, `not_modified`, a scripted one, or why
    /// not.
    pub answer: &'static str,
    /// When it came, milliseconds since the Unix epoch.
    pub at_ms: i64,
}

/// A running marketplace. Everything ends when it is dropped; all that one
/// can do with it is in [`Marketplace`].
#[derive(Debug)]
pub struct FakeAtom {
    market: Marketplace,
    _server: Server,
}

/// A handle of a marketplace. Cheap to clone; does not keep the server alive.
#[derive(Clone)]
pub struct Marketplace {
    shared: Arc<Shared>,
}

type Act = Box<dyn FnOnce(&Marketplace) + Send>;

struct Shared {
    origin: String,
    generation: Generation,
    clock: Clock,
    skew_ms: AtomicI64,
    catalogue: Mutex<Catalogue>,
    script: Script<Answer>,
    acts: Mutex<HashMap<u32, VecDeque<Act>>>,
    limit: Limit,
    sockets: Sockets,
    requests: Record<AtomRequest>,
    is_down: AtomicBool,
    wraps_categories: AtomicBool,
    offers_etags: AtomicBool,
    echoes_ratings: AtomicBool,
}

impl FakeAtom {
    /// Starts generation B on a free port.
    pub async fn start(clock: Clock) -> io::Result<Self> {
        Self::start_on(0, Generation::B, clock).await
    }

    /// Starts on a chosen port; 0 picks a free one.
    pub async fn start_on(port: u16, generation: Generation, clock: Clock) -> io::Result<Self> {
        let bound = Bound::to(port).await?;
        let shared = Arc::new(Shared {
            origin: bound.url(),
            generation,
            clock,
            skew_ms: AtomicI64::default(),
            catalogue: Mutex::default(),
            script: Script::new(Answer::Ok),
            acts: Mutex::default(),
            limit: Limit::default(),
            sockets: Sockets::default(),
            requests: Record::default(),
            is_down: AtomicBool::default(),
            wraps_categories: AtomicBool::new(true),
            offers_etags: AtomicBool::default(),
            echoes_ratings: AtomicBool::default(),
        });
        let market = Marketplace { shared };
        let server = bound.serve(route::router(market.clone()));
        Ok(Self { market, _server: server })
    }
}

impl Deref for FakeAtom {
    type Target = Marketplace;

    fn deref(&self) -> &Marketplace {
        &self.market
    }
}

impl Marketplace {
    /// The base address for clients, as their defaults have it: with `/api`
    /// in generation A, with `/api/v1/marketplace` in generation C.
    pub fn url(&self) -> String {
        format!("{}{}", self.shared.origin, self.generation().base())
    }

    /// The socket's address, without `?token=`.
    pub fn ws_url(&self) -> String {
        let host = self.shared.origin.trim_start_matches("http");
        format!("ws{host}{}", self.generation().socket())
    }

    /// The only token that is accepted.
    pub fn token(&self) -> &str {
        TOKEN
    }

    /// The generation that is spoken.
    pub fn generation(&self) -> Generation {
        self.shared.generation
    }

    /// Adds a skill at the end of the listing, or replaces it where it is.
    /// Leaves `updated_at` as it is given.
    pub fn put_skill(&self, skill: Value) {
        self.with_catalogue(|catalogue| catalogue.put_skill(skill));
    }

    /// Lists a skill once more at the end, under an id that is there already.
    pub fn repeat_skill(&self, skill: Value) {
        self.with_catalogue(|catalogue| catalogue.repeat_skill(skill));
    }

    /// Changes a skill and sets its `updated_at` to now. Panics without it.
    pub fn edit_skill(&self, id: &str, edit: impl FnOnce(&mut Value)) {
        let stamp = self.stamp();
        self.with_catalogue(|catalogue| {
            let skill = catalogue.skill_mut(id);
            let skill = skill.unwrap_or_else(|| panic!("there is no skill `{id}`"));
            edit(skill);
            skill["updated_at"] = stamp.into();
            assert_eq!(id_of(skill), id, "an edit must keep the id");
        });
    }

    /// Removes a skill; those after it move up.
    pub fn remove_skill(&self, id: &str) {
        self.with_catalogue(|catalogue| catalogue.remove_skill(id));
    }

    /// Adds a category at the end of the list, or replaces it where it is.
    pub fn put_category(&self, category: Value) {
        self.with_catalogue(|catalogue| catalogue.put_category(category));
    }

    /// Removes a category; its skills stay.
    pub fn remove_category(&self, name: &str) {
        self.with_catalogue(|catalogue| catalogue.remove_category(name));
    }

    /// Puts this many skills and categories, always the same. They were last
    /// changed between an hour and 30 days ago.
    pub fn fill(&self, skills: usize, categories: usize) {
        let now_ms = self.now_ms().div_euclid(1000) * 1000;
        let stamp = |ago_s: i64| stamp_of(now_ms - ago_s * 1000);
        let created_at = stamp(365 * 86_400);
        self.with_catalogue(|catalogue| {
            for index in 0..categories {
                catalogue.put_category(filling::category(index, categories, skills, &created_at));
            }
            for index in 0..skills {
                catalogue.put_skill(filling::skill(index, categories, stamp));
            }
        });
    }

    /// A skill as it is listed.
    pub fn skill(&self, id: &str) -> Option<Value> {
        self.with_catalogue(|catalogue| catalogue.skill(id).cloned())
    }

    /// A category as it is listed.
    pub fn category(&self, name: &str) -> Option<Value> {
        self.with_catalogue(|catalogue| catalogue.category(name).cloned())
    }

    /// How many skills there are.
    pub fn len(&self) -> usize {
        self.with_catalogue(|catalogue| catalogue.skills().len())
    }

    /// Whether there is no skill.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts the marketplace's clock this far ahead of the given one, or
    /// behind.
    pub fn skew_clock(&self, ms: i64) {
        self.shared.skew_ms.store(ms, Ordering::SeqCst);
    }

    /// Answers by addressee: `skills`, `skills?page=3`, `skill`, `skill/ID`,
    /// `categories`, `rate`, `health`, `ws`. The more precise goes first.
    pub fn script(&self) -> &Script<Answer> {
        &self.shared.script
    }

    /// An outage: sockets are cut, and every connection is closed without an
    /// answer until it is over.
    pub fn set_down(&self, is_down: bool) {
        self.shared.is_down.store(is_down, Ordering::SeqCst);
        if is_down {
            self.drop_sockets();
        }
    }

    /// Whether categories come as `{"categories": […]}`, as at first, or as a
    /// bare list.
    pub fn wrap_categories(&self, is_on: bool) {
        self.shared.wraps_categories.store(is_on, Ordering::SeqCst);
    }

    /// Whether pages and categories have an `ETag`, and `If-None-Match` gets
    /// a 304; at first not.
    pub fn offer_etags(&self, is_on: bool) {
        self.shared.offers_etags.store(is_on, Ordering::SeqCst);
    }

    /// Whether 100 requests per minute, 10 at once, and 10 new sockets per
    /// minute are the most; at first there is no bound.
    pub fn limit_requests(&self, is_on: bool) {
        self.shared.limit.switch(is_on);
    }

    /// Acts once, just before this page of the listing is made. Several for
    /// one page act one a request, in order.
    pub fn before_page(&self, page: u32, act: impl FnOnce(&Self) + Send + 'static) {
        let mut acts = self.shared.acts.lock().unwrap_or_else(PoisonError::into_inner);
        acts.entry(page).or_default().push_back(Box::new(act));
    }

    /// All requests, refused ones and those for sockets included.
    pub fn requests(&self) -> Vec<AtomRequest> {
        self.shared.requests.all()
    }

    /// The requests after the first `count`.
    pub fn requests_after(&self, count: usize) -> Vec<AtomRequest> {
        self.shared.requests.after(count)
    }

    /// How many requests there were for an addressee, as in
    /// [`Marketplace::script`].
    pub fn count(&self, addressee: &str) -> usize {
        count_for(addressee, &self.requests())
    }

    /// Waits for `count` requests for an addressee in all. Panics after 10 s.
    pub async fn request_seen(&self, addressee: &str, count: usize) -> Vec<AtomRequest> {
        let is_enough = |requests: &[AtomRequest]| count_for(addressee, requests) >= count;
        let mut seen = self.shared.requests.wait_until(is_enough).await;
        seen.retain(|request| request.is_for(addressee));
        seen
    }

    /// The most requests that were being answered at the same time.
    pub fn most_at_once(&self) -> usize {
        self.shared.limit.most_at_once()
    }

    /// All ratings that were taken or put, in order.
    pub fn ratings(&self) -> Vec<Value> {
        self.with_catalogue(|catalogue| catalogue.ratings().to_vec())
    }

    /// Puts a rating that somebody left elsewhere: `skill_id`, `user_id`,
    /// `rating`, `comment`, `created_at`. Does not count it.
    pub fn put_rating(&self, rating: Value) {
        let is_new = self.with_catalogue(|catalogue| catalogue.keep_rating(rating));
        assert!(is_new, "this user rated this skill already");
    }

    /// The marketplace's time, as it writes it.
    pub fn stamp(&self) -> String {
        stamp_of(self.now_ms())
    }

    fn now_ms(&self) -> i64 {
        self.shared.clock.now().millis() + self.shared.skew_ms.load(Ordering::SeqCst)
    }

    fn is_down(&self) -> bool {
        self.shared.is_down.load(Ordering::SeqCst)
    }

    fn wraps_categories(&self) -> bool {
        self.shared.wraps_categories.load(Ordering::SeqCst)
    }

    fn offers_etags(&self) -> bool {
        self.shared.offers_etags.load(Ordering::SeqCst)
    }

    fn act_before(&self, page: u32) {
        let mut acts = self.shared.acts.lock().unwrap_or_else(PoisonError::into_inner);
        let act = acts.get_mut(&page).and_then(VecDeque::pop_front);
        drop(acts);
        if let Some(act) = act {
            act(self);
        }
    }

    fn with_catalogue<T>(&self, act: impl FnOnce(&mut Catalogue) -> T) -> T {
        act(&mut self.shared.catalogue.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl AtomRequest {
    /// Whether it is for this addressee: `skills` are all pages, `skill` are
    /// all single skills.
    pub fn is_for(&self, addressee: &str) -> bool {
        let kind = self.addressee.split(['?', '/']).next();
        self.addressee == addressee || kind == Some(addressee)
    }
}

impl fmt::Debug for Marketplace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Marketplace").field("url", &self.url()).finish_non_exhaustive()
    }
}

fn count_for(addressee: &str, requests: &[AtomRequest]) -> usize {
    requests.iter().filter(|request| request.is_for(addressee)).count()
}

fn stamp_of(ms: i64) -> String {
    let time = DateTime::from_timestamp_millis(ms).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}
