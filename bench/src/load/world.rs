//! All connections of a run and the loop that serves them.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::ensure;
use mio::{Events, Poll, Token};

use crate::clock;
use crate::load::caller::{Caller, Response};
use crate::load::device::{Arrival, Desk, Device, Policy};
use crate::load::link::{Link, Scratch};
use crate::token::Tokens;
use crate::wire::facts::Reader;

/// Tokens from here on are callers; those below are devices.
const CALLERS: usize = 1 << 32;

/// Devices between connect and welcome at a time: below the gateway's
/// `limits.sockets_before_hello`.
const OPENING: usize = 256;

/// Nothing that is waited for takes longer, even on a machine that does much
/// else.
const PATIENCE: Duration = Duration::from_mins(10);

/// All connections of a run.
pub(crate) struct World {
    address: SocketAddr,
    poll: Poll,
    events: Events,
    scratch: Scratch,
    reader: Reader,
    devices: Vec<Device>,
    callers: Vec<Caller>,
    service_token: String,
    /// What all devices do.
    pub(crate) policy: Policy,
    /// Entries that came in the last turn.
    pub(crate) arrivals: Vec<Arrival>,
    /// Answers that came in the last turn.
    pub(crate) responses: Vec<Response>,
}

impl World {
    /// No connections yet.
    pub(crate) fn new(
        address: SocketAddr,
        tokens: &Tokens,
        policy: Policy,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            address,
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            scratch: Scratch::new(),
            reader: Reader::default(),
            devices: Vec::new(),
            callers: Vec::new(),
            service_token: tokens.service()?,
            policy,
            arrivals: Vec::new(),
            responses: Vec::new(),
        })
    }

    /// Adds devices, each another user's, and brings them to live sessions.
    pub(crate) fn add_devices(
        &mut self,
        count: usize,
        tokens: &Tokens,
        shared: Option<&'static str>,
    ) -> anyhow::Result<()> {
        for index in self.devices.len()..count {
            self.devices.push(Device::new(index, tokens.device(index)?, shared));
        }
        self.connect_devices(|_, _| {})
    }

    /// Connects all devices and waits until their sessions live. What comes
    /// meanwhile is handed to `each_turn`.
    pub(crate) fn connect_devices(
        &mut self,
        mut each_turn: impl FnMut(&mut Self, usize),
    ) -> anyhow::Result<()> {
        let (mut next, mut opening) = (0, Vec::new());
        let deadline = clock::now() + PATIENCE;
        while next < self.devices.len() || !opening.is_empty() {
            while opening.len() < OPENING && next < self.devices.len() {
                let link = Link::open(self.poll.registry(), self.address, Token(next))?;
                self.devices[next].connect(link);
                opening.push(next);
                next += 1;
            }
            self.turn(Duration::from_millis(10))?;
            opening.retain(|index| !self.devices[*index].is_live());
            each_turn(self, next - opening.len());
            ensure!(clock::now() < deadline, "{} devices did not come to life", opening.len());
        }
        Ok(())
    }

    /// Closes the connections of all devices; what they hold stays.
    pub(crate) fn disconnect_devices(&mut self) {
        self.devices.iter_mut().for_each(Device::disconnect);
    }

    /// Goes on with a gateway at another address: callers are gone, devices
    /// hold what they held.
    pub(crate) fn move_to(&mut self, address: SocketAddr) {
        self.callers.clear();
        self.address = address;
    }

    /// Adds connections for callers.
    pub(crate) fn add_callers(&mut self, count: usize) -> anyhow::Result<()> {
        for index in 0..count {
            let token = Token(CALLERS + index);
            let link = Link::open(self.poll.registry(), self.address, token)?;
            self.callers.push(Caller::new(link));
        }
        self.until("the callers connected", |world| {
            world.callers.iter().all(Caller::is_idle).then_some(())
        })
    }

    /// How many callers there are.
    pub(crate) fn callers(&self) -> usize {
        self.callers.len()
    }

    /// Sends a request on a connection that waits for no answer.
    pub(crate) fn post(&mut self, caller: usize, path: &str, body: &str) -> anyhow::Result<()> {
        if self.callers[caller].is_stale() {
            let token = Token(CALLERS + caller);
            let link = Link::open(self.poll.registry(), self.address, token)?;
            self.callers[caller] = Caller::new(link);
        }
        self.callers[caller].post(path, &self.service_token, body)
    }

    /// Serves what is ready, waiting at most so long for it.
    pub(crate) fn turn(&mut self, wait: Duration) -> anyhow::Result<()> {
        self.arrivals.clear();
        self.responses.clear();
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        for event in &self.events {
            let Token(token) = event.token();
            if let Some(index) = token.checked_sub(CALLERS) {
                let caller = &mut self.callers[index];
                caller.ready(index, &mut self.scratch, &mut self.responses)?;
            } else {
                self.devices[token].ready(&mut Desk {
                    scratch: &mut self.scratch,
                    reader: &mut self.reader,
                    arrivals: &mut self.arrivals,
                    policy: self.policy,
                })?;
            }
        }
        Ok(())
    }

    /// Takes turns until `done` gives something.
    pub(crate) fn until<T>(
        &mut self,
        what: &str,
        mut done: impl FnMut(&mut Self) -> Option<T>,
    ) -> anyhow::Result<T> {
        let deadline = clock::now() + PATIENCE;
        loop {
            self.turn(Duration::from_millis(10))?;
            if let Some(done) = done(self) {
                return Ok(done);
            }
            ensure!(clock::now() < deadline, "waited too long until {what}");
        }
    }

    /// Whether everything that devices reported was answered.
    pub(crate) fn is_reported(&self) -> bool {
        self.devices.iter().all(Device::is_reported)
    }

    /// Has every device ack what came.
    pub(crate) fn ack_all(&mut self) -> anyhow::Result<()> {
        self.devices.iter_mut().try_for_each(Device::ack_all)
    }
}
