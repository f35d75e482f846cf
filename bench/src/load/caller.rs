//! A backend's connection to the HTTP API: one request at a time, kept alive.

use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::clock;
use crate::load::link::{Link, Scratch};
use crate::wire::http;

/// A connection to the HTTP API.
#[derive(Debug)]
pub(crate) struct Caller {
    link: Link,
    connected: bool,
    busy: bool,
    /// The gateway closed it, as it does after a while without requests.
    closed: bool,
    used: Instant,
}

/// Idle for longer, and the gateway may be closing it just now (it does after
/// 10 s): use another one.
const IDLE_MAX: Duration = Duration::from_secs(5);

/// An answer that came.
#[derive(Debug)]
pub(crate) struct Response {
    /// Which connection.
    pub(crate) caller: usize,
    /// Its status.
    pub(crate) status: u16,
    /// Its body.
    pub(crate) body: Vec<u8>,
    /// When it came.
    pub(crate) at: Instant,
}

impl Caller {
    pub(crate) fn new(link: Link) -> Self {
        Self { link, connected: false, busy: false, closed: false, used: clock::now() }
    }

    /// Whether it waits for no answer.
    pub(crate) const fn is_idle(&self) -> bool {
        self.connected && !self.busy
    }

    /// Whether it was idle for so long that a request may cross its end.
    pub(crate) fn is_stale(&self) -> bool {
        self.closed || self.used.elapsed() > IDLE_MAX
    }

    /// Sends a request; on a new connection as soon as it stands.
    pub(crate) fn post(&mut self, path: &str, token: &str, body: &str) -> anyhow::Result<()> {
        ensure!(!self.busy, "a caller has one request at a time");
        self.busy = true;
        http::post(&mut self.link.out, path, token, body);
        self.link.flush()
    }

    /// The connection can be written or read.
    pub(crate) fn ready(
        &mut self,
        index: usize,
        scratch: &mut Scratch,
        responses: &mut Vec<Response>,
    ) -> anyhow::Result<()> {
        if !self.connected {
            self.link.connected()?;
            self.connected = true;
        }
        self.link.flush()?;
        let open = self.link.read(scratch)?;
        let bytes = scratch.filled();
        match http::parse(bytes)? {
            None if bytes.is_empty() => {}
            Some(answer) => {
                ensure!(answer.total == bytes.len(), "an answer nobody asked for");
                let body = bytes[answer.body_at..].to_vec();
                self.busy = false;
                let at = clock::now();
                self.used = at;
                responses.push(Response { caller: index, status: answer.status, body, at });
            }
            None => self.link.keep(bytes),
        }
        ensure!(open || !self.busy, "the gateway closed a connection instead of answering");
        self.closed = !open;
        Ok(())
    }
}
