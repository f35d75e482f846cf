//! A request's way: who asks, what the windows allow, what a test has laid
//! down, what the service says.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::response::Response;
use http::header::{AUTHORIZATION, LOCATION};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};

use crate::answer;
use crate::provider::accounts::Caller;
use crate::provider::answer::Answer;
use crate::provider::record::ProviderRequest;
use crate::provider::{Person, Service, lock};

/// What a request is for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) kind: &'static str,
}

impl Call {
    pub(crate) const fn named(name: &'static str) -> Self {
        Self { name, kind: "" }
    }

    pub(crate) const fn list(kind: &'static str) -> Self {
        Self { name: "list", kind }
    }

    pub(crate) const fn one(kind: &'static str) -> Self {
        Self { name: "one", kind }
    }
}

/// What the service says.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: u16,
    pub(crate) word: &'static str,
    pub(crate) body: String,
    pub(crate) location: Option<String>,
}

impl Said {
    pub(crate) fn ok(body: impl ToString) -> Self {
        Self::with(200, "ok", body)
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "texts and JSON are made where they are said"
    )]
    pub(crate) fn with(status: u16, word: &'static str, body: impl ToString) -> Self {
        Self { status, word, body: body.to_string(), location: None }
    }

    pub(crate) fn redirect(word: &'static str, location: String) -> Self {
        Self { status: 302, word, body: String::new(), location: Some(location) }
    }
}

impl Service {
    /// Answers a request for a user's data.
    pub(crate) async fn data(
        &self,
        parts: Parts,
        call: Call,
        look: impl FnOnce(&Caller, &Person) -> Said,
    ) -> Response {
        let caller = self.caller(&parts.headers);
        let user = caller.as_ref().map(|caller| Arc::clone(&caller.user));
        let now_ms = self.clock.now().millis();
        let name = user.as_deref().unwrap_or_default();
        let (windows, is_over) = lock(&self.windows).take(name, true, 1, now_ms);
        let answer = self.planned(call, user.as_deref());
        let (word, mut response) = if let Some(response) = self.without_looking(&answer) {
            (answer.name(), response)
        } else if is_over {
            ("limited", answer.send(429, (self.dialect.error)(429)))
        } else {
            let said = match &caller {
                None => Said::with(401, "unauthorized", (self.dialect.error)(401)),
                Some(caller) => {
                    let mut people = lock(&self.people);
                    look(caller, people.entry(caller.user.to_string()).or_default())
                }
            };
            send(&answer, said)
        };
        let is_limited = response.status() == 429;
        (self.dialect.headers)(&windows, is_limited, response.headers_mut());
        self.finish(parts, call, user, String::new(), answer, word, response).await
    }

    /// Answers any other request. `user`: whom it concerns.
    pub(crate) async fn plain(
        &self,
        parts: Parts,
        call: Call,
        user: Option<Arc<str>>,
        body: String,
        look: impl Future<Output = Said>,
    ) -> Response {
        let answer = self.planned(call, user.as_deref());
        let (word, response) = match self.without_looking(&answer) {
            Some(response) => (answer.name(), response),
            None => send(&answer, look.await),
        };
        self.finish(parts, call, user, body, answer, word, response).await
    }

    /// Answers what nobody serves.
    pub(crate) async fn unknown(&self, parts: Parts) -> Response {
        let user = self.caller(&parts.headers).map(|caller| caller.user);
        let said = Said::with(404, "not_found", (self.dialect.error)(404));
        let look = std::future::ready(said);
        self.plain(parts, Call::named("unknown"), user, String::new(), look).await
    }

    fn caller(&self, headers: &HeaderMap) -> Option<Caller> {
        let token = bearer(headers)?;
        lock(&self.accounts).caller(token, self.clock.unix_seconds())
    }

    fn planned(&self, call: Call, user: Option<&str>) -> Answer {
        if self.is_down.load(Ordering::SeqCst) {
            return Answer::Drop;
        }
        if self.is_gone.load(Ordering::SeqCst) {
            return Answer::Status(410);
        }
        let Call { name, kind } = call;
        let mut names = Vec::with_capacity(5);
        if let Some(user) = user {
            names.extend([format!("{name}/{kind}@{user}"), format!("{name}@{user}")]);
            names.push(format!("@{user}"));
        }
        names.extend([format!("{name}/{kind}"), name.to_owned()]);
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        self.script.next_of(&names)
    }

    fn without_looking(&self, answer: &Answer) -> Option<Response> {
        answer.without_looking(self.dialect.error, self.dialect.inactive, &self.clock)
    }

    #[expect(clippy::too_many_arguments, reason = "what is noted of a request")]
    async fn finish(
        &self,
        parts: Parts,
        call: Call,
        user: Option<Arc<str>>,
        body: String,
        answer: Answer,
        word: &'static str,
        response: Response,
    ) -> Response {
        let is_sent = !answer::is_dropped(&response);
        self.log.note(ProviderRequest {
            call: call.name,
            kind: call.kind,
            user,
            method: parts.method,
            uri: parts.uri.to_string(),
            body,
            status: is_sent.then(|| response.status().as_u16()),
            answer: word,
            at_ms: self.clock.now().millis(),
        });
        match answer {
            Answer::Slow(delay) => tokio::time::sleep(delay).await,
            Answer::Hang => std::future::pending().await,
            _ => {}
        }
        response
    }
}

/// The token of an `Authorization` header.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    value.strip_prefix("Bearer ").map(str::trim)
}

fn send(answer: &Answer, said: Said) -> (&'static str, Response) {
    let word = if answer.is_plain() { said.word } else { answer.name() };
    let mut response = answer.send(said.status, said.body);
    if let Some(location) = said.location {
        let location = HeaderValue::try_from(location).expect("an address is a header");
        response.headers_mut().insert(LOCATION, location);
    }
    (word, response)
}
