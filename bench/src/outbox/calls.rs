//! Connections of backends, and the upgrade of those that become sockets.

use std::borrow::Cow;
use std::cell::Cell;
use std::convert::Infallible;
use std::rc::Rc;

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::outbox::commit::Call;
use crate::outbox::sockets::{self, Sockets};
use crate::outbox::table::Message;
use crate::token::SECRET;

/// What all connections share.
pub(super) struct Shared {
    queue: mpsc::Sender<Call>,
    sockets: Rc<Sockets>,
    key: DecodingKey,
    validation: Validation,
}

/// A socket to be: whose it is and how it is had.
type Socket = Cell<Option<(String, OnUpgrade)>>;

/// Why a call is not taken.
type Refusal = StatusCode;

#[derive(Deserialize)]
struct Claims {
    sub: String,
    role: String,
}

#[derive(Deserialize)]
struct Batch<'a> {
    #[serde(borrow)]
    commands: Vec<Command<'a>>,
}

#[derive(Deserialize)]
struct Command<'a> {
    #[serde(borrow)]
    user_id: Cow<'a, str>,
    #[serde(borrow)]
    value: &'a RawValue,
}

impl Shared {
    pub(super) fn new(queue: mpsc::Sender<Call>, sockets: Rc<Sockets>) -> Self {
        let key = DecodingKey::from_secret(SECRET.as_bytes());
        Self { queue, sockets, key, validation: Validation::new(Algorithm::HS256) }
    }

    fn claims(&self, headers: &HeaderMap) -> Result<Claims, Refusal> {
        let bearer = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = bearer.and_then(|value| value.strip_prefix("Bearer "));
        let token = token.ok_or(StatusCode::UNAUTHORIZED)?;
        let decoded = jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation);
        Ok(decoded.map_err(|_| StatusCode::UNAUTHORIZED)?.claims)
    }

    /// Stores messages; returns once they are committed.
    async fn store(&self, messages: Vec<Message>) -> Result<(), Refusal> {
        let (done, committed) = oneshot::channel();
        let sent = self.queue.send(Call { messages, done }).await;
        sent.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
        committed.await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
    }
}

/// Serves a connection until it ends.
pub(super) async fn serve(stream: TcpStream, shared: Rc<Shared>) {
    let upgraded = Socket::default();
    let service = service_fn(|request| {
        let (shared, upgraded) = (&shared, &upgraded);
        async move {
            let answer = answer(shared, upgraded, request).await;
            Ok::<_, Infallible>(answer.unwrap_or_else(|status| reply(status, Bytes::new())))
        }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // A peer that went away is no news.
    if connection.with_upgrades().await.is_err() {
        return;
    }
    let Some((user, upgrade)) = upgraded.take() else { return };
    let Ok(Ok(parts)) = upgrade.await.map(Upgraded::downcast::<TokioIo<TcpStream>>) else { return };
    sockets::serve(parts.io.into_inner(), parts.read_buf, user, &shared.sockets).await;
}

async fn answer(
    shared: &Shared,
    upgraded: &Socket,
    mut request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Refusal> {
    if request.uri().path() == "/healthz" {
        return Ok(reply(StatusCode::OK, Bytes::new()));
    }
    let claims = shared.claims(request.headers())?;
    if *request.method() == Method::GET {
        let key = request.headers().get(SEC_WEBSOCKET_KEY).ok_or(StatusCode::BAD_REQUEST)?;
        let accept = derive_accept_key(key.as_bytes());
        upgraded.set(Some((claims.sub, hyper::upgrade::on(&mut request))));
        let mut answer = reply(StatusCode::SWITCHING_PROTOCOLS, Bytes::new());
        let headers = answer.headers_mut();
        headers.insert(UPGRADE, http::HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, http::HeaderValue::from_static("upgrade"));
        let accept = accept.try_into().map_err(|_| StatusCode::BAD_REQUEST)?;
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        return Ok(answer);
    }
    if claims.role != "service" {
        return Err(StatusCode::FORBIDDEN);
    }
    let is_batch = request.uri().path().ends_with("/batch");
    let body = request.into_body().collect().await.map_err(|_| StatusCode::BAD_REQUEST)?;
    let (status, body) = take(shared, is_batch, &body.to_bytes()).await?;
    let mut answer = reply(status, body);
    answer.headers_mut().insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    Ok(answer)
}

/// Stores what a call brings, and says so for each message.
async fn take(
    shared: &Shared,
    is_batch: bool,
    body: &[u8],
) -> Result<(StatusCode, Bytes), Refusal> {
    const TAKEN: &str = r#"{"status":202}"#;
    let commands = if is_batch {
        serde_json::from_slice::<Batch<'_>>(body).map(|batch| batch.commands)
    } else {
        serde_json::from_slice::<Command<'_>>(body).map(|command| vec![command])
    };
    let messages = commands.map_err(|_| StatusCode::BAD_REQUEST)?.into_iter().map(|command| {
        let (user, body) = (command.user_id.into_owned(), command.value.get().to_owned());
        Message { user, body }
    });
    let messages: Vec<_> = messages.collect();
    let count = messages.len();
    shared.store(messages).await?;
    if !is_batch {
        return Ok((StatusCode::ACCEPTED, Bytes::from_static(TAKEN.as_bytes())));
    }
    let results = vec![TAKEN; count].join(",");
    Ok((StatusCode::MULTI_STATUS, Bytes::from(format!(r#"{{"results":[{results}]}}"#))))
}

fn reply(status: StatusCode, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response
}
