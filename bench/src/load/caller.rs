//! A backend's connection to the HTTP API: one request at a time, kept alive.

use std::time::Instant;

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
}

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
    pub(crate) const fn new(link: Link) -> Self {
        Self { link, connected: false, busy: false }
    }

    /// Whether it waits for no answer.
    pub(crate) const fn is_idle(&self) -> bool {
        self.connected && !self.busy
    }

    /// Sends a request.
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
            Some(answer) => {
                ensure!(answer.total == bytes.len(), "an answer nobody asked for");
                let body = bytes[answer.body_at..].to_vec();
                self.busy = false;
                let at = clock::now();
                responses.push(Response { caller: index, status: answer.status, body, at });
            }
            None => self.link.keep(bytes),
        }
        ensure!(open, "the gateway closed the connection of a caller");
        Ok(())
    }
}
