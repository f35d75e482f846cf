//! Tells a client that a connection limit is reached: 503 in all, 429 by
//! address.
//!
//! A courtesy with bounds of its own: when too many are being told already, or
//! the client reads too slowly, the connection is closed without a word.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use tidegate_protocol::code::ErrorCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::error::ApiError;
use crate::hub::peer::{REQUEST_ID, request_id};
use crate::metrics::label::ConnectionRefusal;

/// Most that are being told at once: each takes a file beyond the limit.
const TOLD_AT_ONCE: usize = 64;

/// Longest time for telling one.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Most bytes of a request that are read and thrown away.
const DISCARD_BYTES: u64 = 64 * 1024;

/// Answers to connections that are not admitted.
pub(crate) struct Refusals {
    places: Arc<Semaphore>,
}

/// Told to the clients of an address that has its limit.
pub(crate) fn too_many() -> ApiError {
    let message = "this address has as many connections as it may";
    ApiError::new(ErrorCode::TooManyConnections, message).with_retry_after(1)
}

/// Told to everybody while all connections are taken.
fn full() -> ApiError {
    ApiError::unavailable("the gateway has as many connections as it can")
}

impl Refusals {
    pub(crate) fn new() -> Self {
        Self { places: Arc::new(Semaphore::new(TOLD_AT_ONCE)) }
    }

    /// Tells the client in a task of its own, if there is a place.
    pub(crate) fn answer(&self, tasks: &TaskTracker, stream: TcpStream, why: ConnectionRefusal) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return };
        let (status, error) = match why {
            ConnectionRefusal::PerAddress => ("429 Too Many Requests", too_many()),
            _ => ("503 Service Unavailable", full()),
        };
        tasks.spawn(async move {
            let answer = answer(status, &error);
            // Best effort: neither a client that hangs up nor a slow one matters.
            let _ = tokio::time::timeout(TIMEOUT, tell(stream, &answer)).await;
            drop(place);
        });
    }
}

/// Closing with unread bytes would reset the connection and destroy the answer
/// before the client reads it, so its request is read and thrown away.
async fn tell(mut stream: TcpStream, answer: &str) -> std::io::Result<()> {
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(DISCARD_BYTES), &mut tokio::io::sink()).await?;
    Ok(())
}

/// The whole answer, under an id of its own: the one that the client may have
/// sent is not read.
fn answer(status: &str, error: &ApiError) -> String {
    let body = serde_json::to_string(&error.body())
        .expect("an error body is a struct of texts and lists of them");
    let (length, id) = (body.len(), request_id(&HeaderMap::new()));
    let id = id.to_str().unwrap_or_default();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         retry-after: 1\r\n{REQUEST_ID}: {id}\r\nconnection: close\r\n\r\n{body}"
    )
}
