//! A connection with what is not written and not complete yet.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

/// A connection.
#[derive(Debug)]
pub(crate) struct Link {
    stream: TcpStream,
    /// Waits to be written.
    pub(crate) out: Vec<u8>,
    /// The beginning of a message whose end has not come.
    partial: Vec<u8>,
}

/// One place to read into, for all connections.
#[derive(Debug)]
pub(crate) struct Scratch {
    bytes: Vec<u8>,
    filled: usize,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        const BYTES: usize = 256 * 1024;
        Self { bytes: vec![0; BYTES], filled: 0 }
    }

    /// What was read.
    pub(crate) fn filled(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

impl Link {
    /// Begins to connect.
    pub(crate) fn open(
        registry: &Registry,
        address: SocketAddr,
        token: Token,
    ) -> anyhow::Result<Self> {
        let mut stream = TcpStream::connect(address).context("cannot connect")?;
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self { stream, out: Vec::new(), partial: Vec::new() })
    }

    /// The connection stands or failed: reports which.
    pub(crate) fn connected(&self) -> anyhow::Result<()> {
        if let Some(error) = self.stream.take_error()? {
            bail!("cannot connect: {error}");
        }
        Ok(self.stream.set_nodelay(true)?)
    }

    /// Writes what waits; the rest follows when the socket takes more.
    pub(crate) fn flush(&mut self) -> anyhow::Result<()> {
        let mut written = 0;
        while written < self.out.len() {
            match self.stream.write(&self.out[written..]) {
                Ok(bytes) => written += bytes,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::NotConnected => break,
                Err(error) => return Err(error).context("cannot write"),
            }
        }
        if written == self.out.len() {
            // A large body is rare: its memory is not kept.
            if written > 4096 { self.out = Vec::new() } else { self.out.clear() }
        } else {
            self.out.drain(..written);
        }
        Ok(())
    }

    /// Reads all there is behind what was kept. False when the peer closed.
    pub(crate) fn read(&mut self, scratch: &mut Scratch) -> anyhow::Result<bool> {
        scratch.filled = 0;
        if !self.partial.is_empty() {
            scratch.bytes[..self.partial.len()].copy_from_slice(&self.partial);
            scratch.filled = self.partial.len();
            self.partial = Vec::new();
        }
        loop {
            if scratch.filled == scratch.bytes.len() {
                scratch.bytes.resize(2 * scratch.filled, 0);
            }
            match self.stream.read(&mut scratch.bytes[scratch.filled..]) {
                Ok(0) => return Ok(false),
                Ok(bytes) => {
                    scratch.filled += bytes;
                    // Less than there was room for: nothing is left, and the
                    // next bytes bring the next event.
                    if scratch.filled < scratch.bytes.len() {
                        return Ok(true);
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("cannot read"),
            }
        }
    }

    /// Keeps the beginning of a message until its end comes.
    pub(crate) fn keep(&mut self, rest: &[u8]) {
        self.partial.extend_from_slice(rest);
    }
}
