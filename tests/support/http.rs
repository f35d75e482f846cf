//! HTTP calls, written down.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::support::contract;
use crate::support::transcript::Transcript;
use crate::support::wait::bounded;

/// Someone who calls the gateway over HTTP.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    name: String,
    base: String,
    client: reqwest::Client,
    headers: HeaderMap,
    transcript: Transcript,
    is_quiet: bool,
}

/// What the gateway answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Vec<u8>,
    /// Null where the body is not JSON.
    pub(crate) body: Value,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap()
    }

    /// Requires this status; the body.
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", String::from_utf8_lossy(&self.bytes));
        self.body
    }

    /// Requires this status and this error code; the error.
    pub(crate) fn expect_error(self, status: u16, code: &str) -> Value {
        let error = self.expect(status)["error"].clone();
        assert_eq!(error["code"], code, "{error}");
        assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{error}");
        error
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

impl Caller {
    pub(crate) fn new(
        name: &str,
        base: String,
        client: reqwest::Client,
        transcript: Transcript,
    ) -> Self {
        let name = name.to_owned();
        Self { name, base, client, headers: HeaderMap::new(), transcript, is_quiet: false }
    }

    pub(crate) fn with_token(self, token: &str) -> Self {
        self.with_header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn without_token(mut self) -> Self {
        self.headers.remove("authorization");
        self
    }

    pub(crate) fn with_header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        self.headers.insert(name, HeaderValue::from_str(value).unwrap());
        self
    }

    pub(crate) fn with_key(self, key: &str) -> Self {
        self.with_header("idempotency-key", key)
    }

    /// The same caller, not written down.
    pub(crate) fn quiet(&self) -> Self {
        Self { is_quiet: true, ..self.clone() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_text(path, &body.to_string()).await
    }

    /// Posts a body as it is spelled.
    pub(crate) async fn post_text(&self, path: &str, body: &str) -> Answer {
        self.call(Method::POST, path, Some(body)).await
    }

    /// Calls; bodies are `application/json` unless a header says otherwise. The
    /// answer must be one that the OpenAPI document allows.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Option<&str>) -> Answer {
        self.write_request(&method, path, body);
        let mut request = self.client.request(method.clone(), format!("{}{path}", self.base));
        if let Some(body) = body {
            if !self.headers.contains_key("content-type") {
                request = request.header("content-type", "application/json");
            }
            request = request.body(body.to_owned());
        }
        let request = request.headers(self.headers.clone());
        let answer = bounded(path, async {
            let response = request.send().await.unwrap();
            let (status, headers) = (response.status(), response.headers().clone());
            let bytes = response.bytes().await.unwrap().to_vec();
            let body = serde_json::from_slice(&bytes).unwrap_or_default();
            Answer { status, headers, bytes, body }
        });
        let answer = answer.await;
        if let Some(operation) = contract::check(&method, path, body, &answer) {
            self.transcript.answered(operation, answer.status.as_u16());
        }
        self.write_answer(&answer);
        answer
    }

    fn write_request(&self, method: &Method, path: &str, body: Option<&str>) {
        if self.is_quiet {
            return;
        }
        let key = self.headers.get("idempotency-key");
        let key = key.map(|key| format!(" (Idempotency-Key {})", key.to_str().unwrap()));
        let line =
            format!("{} -> {method} {}{}", self.name, hide_cursor(path), key.unwrap_or_default());
        match body.map(serde_json::from_str::<Value>) {
            Some(Ok(body)) => self.transcript.said(&line, &body),
            Some(Err(_)) => self.transcript.say(&format!("{line} {}", body.unwrap_or_default())),
            None => self.transcript.say(&line),
        }
    }

    fn write_answer(&self, answer: &Answer) {
        if self.is_quiet {
            return;
        }
        let retry = answer.header("retry-after").map(|s| format!(" (Retry-After {s})"));
        let line = format!(
            "gateway -> {} {}{}",
            self.name,
            answer.status.as_u16(),
            retry.unwrap_or_default()
        );
        if answer.bytes.is_empty() {
            self.transcript.say(&line);
        } else {
            self.transcript.said(&line, &answer.body);
        }
    }
}

/// Opaque cursors differ from run to run.
fn hide_cursor(path: &str) -> String {
    let hide = |part: &str| match part.split_once("cursor=") {
        Some((before, _)) if before.is_empty() || before.ends_with('?') => {
            format!("{before}cursor=[cursor]")
        }
        _ => part.to_owned(),
    };
    path.split('&').map(hide).collect::<Vec<_>>().join("&")
}
