//! Tells a client that a connection limit is reached: 503 in all, 429 by
//! address.
//!
//! A courtesy with bounds of its own: when too many are being told already, or
//! the client reads too slowly, the connection is closed without a word.

use std::sync::Arc;
use std::time::Duration;

use tidegate_protocol::code::ErrorCode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::error::ApiError;
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
    unavailable: Arc<[u8]>,
    too_many: Arc<[u8]>,
}

/// Told to the clients of an address that has its limit.
pub(crate) fn too_many() -> ApiError {
    let message = "this address has as many connections as it may";
    ApiError::new(ErrorCode::TooManyConnections, message).with_retry_after(1)
}

impl Refusals {
    pub(crate) fn new() -> Self {
        let busy = ApiError::unavailable("the gateway has as many connections as it can");
        Self {
            places: Arc::new(Semaphore::new(TOLD_AT_ONCE)),
            unavailable: answer("503 Service Unavailable", &busy),
            too_many: answer("429 Too Many Requests", &too_many()),
        }
    }

    /// Tells the client in a task of its own, if there is a place.
    pub(crate) fn answer(&self, tasks: &TaskTracker, stream: TcpStream, why: ConnectionRefusal) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return };
        let answer = match why {
            ConnectionRefusal::PerAddress => Arc::clone(&self.too_many),
            _ => Arc::clone(&self.unavailable),
        };
        tasks.spawn(async move {
            // Best effort: neither a client that hangs up nor a slow one matters.
            let _ = tokio::time::timeout(TIMEOUT, tell(stream, &answer)).await;
            drop(place);
        });
    }
}

/// Closing with unread bytes would reset the connection and destroy the answer
/// before the client reads it, so its request is read and thrown away.
async fn tell(mut stream: TcpStream, answer: &[u8]) -> std::io::Result<()> {
    stream.write_all(answer).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(DISCARD_BYTES), &mut tokio::io::sink()).await?;
    Ok(())
}

fn answer(status: &str, error: &ApiError) -> Arc<[u8]> {
    let body = serde_json::to_string(&error.body())
        .expect("an error body is a struct of texts and lists of them");
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         retry-after: 1\r\nconnection: close\r\n\r\n{body}"
    )
    .into_bytes()
    .into()
}
