//! The HTTP calls a device makes (register, poll, report), and the two by which
//! a backend sends commands, for the load generator.
//!
//! Never retries and keeps no token; what an error means for the device is
//! said by [`RestError`].

use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use tidegate_protocol::cursor::Cursors;
use tidegate_protocol::id::{DeviceId, StreamName};
use tidegate_protocol::limits::{ENTRY_BYTES, POLL_LIMIT_MAX};
use tidegate_protocol::rest::{
    CommandAccepted, CommandsAccepted, CreateCommand, CreateCommands, ErrorBody, PollAnswer,
    RegisterDevice, Registered, ResultsAnswer, ResultsRequest,
};
use tidegate_protocol::time::Timestamp;

use crate::endpoint::Endpoint;
use crate::retry_after;
use crate::token::Token;

/// Longest wait for a connection, and for an answer beyond what it was asked
/// to wait.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// No honest answer is larger: a full poll of the largest entries.
const ANSWER_BYTES_MAX: usize = POLL_LIMIT_MAX * ENTRY_BYTES + ENTRY_BYTES;

/// [`RestError::Refused::code`] of an answer that has no stable word: it came
/// from something between device and gateway.
pub const UNKNOWN_CODE: &str = "unknown";

/// Why a call did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    /// The token was refused: another one is needed.
    #[error("the gateway refused the token")]
    Unauthorized,
    /// The call was refused with a stable word.
    #[error("the gateway refused the call: {status} {code}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The stable word, or [`UNKNOWN_CODE`].
        code: String,
    },
    /// Overload, drain, or too many calls.
    #[error("the gateway asks to wait")]
    Wait {
        /// How long at least, where it said; as it said, without a bound.
        retry_after: Option<Duration>,
    },
    /// No answer, or one that cannot be read.
    #[error("the gateway cannot be reached: {0}")]
    Unreachable(String),
}

/// An answer, and when the gateway wrote it.
#[derive(Debug)]
pub struct Answer<T> {
    /// The body.
    pub body: T,
    /// The `Date` header; whole seconds.
    pub date: Option<Timestamp>,
}

/// What to ask of a poll.
#[derive(Clone, Copy, Debug)]
pub struct PollQuestion<'a> {
    /// Who asks.
    pub device_id: &'a DeviceId,
    /// How long the answer may be held, seconds.
    pub wait_s: u32,
    /// Entries and items at most.
    pub limit: usize,
    /// Shared streams.
    pub subscribe: &'a [StreamName],
    /// The last answer's cursor.
    pub cursor: Option<&'a str>,
    /// Instead of it: what is held.
    pub held: &'a Cursors,
}

/// Calls to one gateway.
#[derive(Clone, Debug)]
pub struct Rest {
    endpoint: Endpoint,
    client: reqwest::Client,
}

impl Rest {
    /// Calls to this gateway.
    pub fn new(endpoint: Endpoint) -> Result<Self, RestError> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(endpoint.tls().as_ref().clone())
            .connect_timeout(CALL_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .pool_idle_timeout(Duration::from_secs(90))
            .build()
            .map_err(unreachable)?;
        Ok(Self { endpoint, client })
    }

    /// `POST /api/v1/devices/register`.
    pub async fn register(
        &self,
        token: &Token,
        device: &RegisterDevice,
    ) -> Result<Registered, RestError> {
        Ok(self.post(token, "/api/v1/devices/register", device).await?.body)
    }

    /// `POST /api/v1/sync/results`.
    pub async fn results(
        &self,
        token: &Token,
        results: &ResultsRequest,
    ) -> Result<ResultsAnswer, RestError> {
        Ok(self.post(token, "/api/v1/sync/results", results).await?.body)
    }

    /// `GET /api/v1/sync/poll`.
    pub async fn poll(
        &self,
        token: &Token,
        question: PollQuestion<'_>,
    ) -> Result<Answer<PollAnswer>, RestError> {
        let mut query = vec![
            ("device_id", question.device_id.to_string()),
            ("wait_s", question.wait_s.to_string()),
            ("limit", question.limit.to_string()),
        ];
        if !question.subscribe.is_empty() {
            let names: Vec<_> = question.subscribe.iter().map(StreamName::as_str).collect();
            query.push(("subscribe", names.join(",")));
        }
        if let Some(cursor) = question.cursor {
            query.push(("cursor", cursor.to_owned()));
        } else if !question.held.is_empty() {
            let held = serde_json::to_string(question.held).map_err(unreachable)?;
            query.push(("cursors", held));
        }
        let wait = Duration::from_secs(u64::from(question.wait_s));
        let request = self.client.request(Method::GET, self.endpoint.http_url("/api/v1/sync/poll"));
        read(token, request.query(&query).timeout(CALL_TIMEOUT + wait)).await
    }

    /// `POST /api/v1/commands`, for backends; `key` makes a repeat harmless.
    pub async fn command(
        &self,
        token: &Token,
        key: &str,
        command: &CreateCommand,
    ) -> Result<CommandAccepted, RestError> {
        let url = self.endpoint.http_url("/api/v1/commands");
        let request = self.client.request(Method::POST, url).json(command);
        let request = request.header("Idempotency-Key", key).timeout(CALL_TIMEOUT);
        Ok(read(token, request).await?.body)
    }

    /// `POST /api/v1/commands/batch`, for backends.
    pub async fn commands(
        &self,
        token: &Token,
        commands: &CreateCommands,
    ) -> Result<CommandsAccepted, RestError> {
        Ok(self.post(token, "/api/v1/commands/batch", commands).await?.body)
    }

    async fn post<B: serde::Serialize, T: DeserializeOwned>(
        &self,
        token: &Token,
        path: &str,
        body: &B,
    ) -> Result<Answer<T>, RestError> {
        let request = self.client.request(Method::POST, self.endpoint.http_url(path));
        read(token, request.json(body).timeout(CALL_TIMEOUT)).await
    }
}

async fn read<T: DeserializeOwned>(
    token: &Token,
    request: RequestBuilder,
) -> Result<Answer<T>, RestError> {
    let answer = request.bearer_auth(token.expose()).send().await.map_err(no_answer)?;
    let status = answer.status();
    let date = retry_after::date(answer.headers());
    let retry_after = retry_after::from_answer(answer.headers());
    let body = bounded_body(answer).await?;
    if status.is_success() {
        let body = serde_json::from_slice(&body).map_err(unreachable)?;
        return Ok(Answer { body, date });
    }
    Err(refusal(status, retry_after, &body))
}

fn refusal(status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> RestError {
    if status == StatusCode::UNAUTHORIZED {
        return RestError::Unauthorized;
    }
    if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
        return RestError::Wait { retry_after };
    }
    let error = serde_json::from_slice::<ErrorBody>(body).ok();
    let code = error.map_or(UNKNOWN_CODE, |body| body.error.code.as_str()).to_owned();
    RestError::Refused { status: status.as_u16(), code }
}

async fn bounded_body(mut answer: Response) -> Result<Vec<u8>, RestError> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(no_answer)? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(RestError::Unreachable("the answer is too large".to_owned()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Without the URL: its query carries cursors, which belong in no log.
fn no_answer(error: reqwest::Error) -> RestError {
    unreachable(error.without_url())
}

fn unreachable(error: impl std::error::Error) -> RestError {
    // reqwest says only "error sending request": the causes say why.
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    RestError::Unreachable(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_say_what_helps() {
        let body = br#"{"error":{"code":"device_not_found","message":"no"}}"#;
        assert!(matches!(
            refusal(StatusCode::NOT_FOUND, None, body),
            RestError::Refused { status: 404, code } if code == "device_not_found"
        ));
        assert!(matches!(refusal(StatusCode::UNAUTHORIZED, None, b""), RestError::Unauthorized));
        assert!(matches!(
            refusal(StatusCode::BAD_GATEWAY, None, b"<html>"),
            RestError::Wait { .. }
        ));
    }
}
