//! Which push services refuse this project: on whose evidence a circuit opens,
//! and how it closes again.
//!
//! A refusal is a matter between one token and its service until several
//! tokens meet the same, with no success in between; then it is the service's,
//! and no token is blamed for it. An open circuit lets one send through at a
//! time, and not one of those that opened it. Kept in memory and in monotonic
//! time: after a restart the evidence comes again by itself.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::Duration;

use tidegate_protocol::command::Platform;
use tokio::time::Instant;

use crate::hub::lock;
use crate::limits::{
    PUSH_CIRCUIT_FORGOTTEN, PUSH_CIRCUITS, PUSH_PROBE_TIME, PUSH_PROBE_WAIT, PUSH_SEVERAL_TOKENS,
    PUSH_SUSPECTS,
};
use crate::store::device::DeviceKey;

/// What may be refused as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Circuit {
    /// The FCM project.
    Fcm,
    /// The project's credentials for one platform, whose devices it
    /// is.
    FcmPlatform(Platform),
    /// One Web Push service, by its origin: devices choose it, so that one
    /// says nothing about another.
    WebPush(String),
}

/// The circuits that a send to one device passes.
#[derive(Clone, Debug)]
pub struct Route {
    /// Of the service.
    pub service: Circuit,
    /// Of the device's platform there, where the service keeps them apart.
    pub platform: Option<Circuit>,
}

impl Route {
    fn all(&self) -> impl Iterator<Item = &Circuit> {
        std::iter::once(&self.service).chain(&self.platform)
    }
}

/// The circuits, all closed at first.
#[derive(Debug)]
pub struct Circuits {
    states: Mutex<HashMap<Circuit, State>>,
    pause: Duration,
}

#[derive(Debug)]
struct State {
    /// Refused since the last success.
    suspects: HashSet<DeviceKey>,
    /// Refused while others were served: their refusals are their own.
    loners: HashSet<DeviceKey>,
    open: Option<Open>,
    touched: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    /// From when on one send may try.
    probe_at: Instant,
    /// Until when one that tries is waited for.
    probing_until: Option<Instant>,
}

/// Leave to send to one device; given back with what came of it.
#[derive(Debug)]
pub struct Leave {
    device: DeviceKey,
    circuits: Route,
    /// Those of them that are open: this send tries them.
    probes: Vec<Circuit>,
}

/// Why a send was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The answer does not tell whose fault it is.
    OneToken,
    /// The answer is about the project, whatever the token.
    Project,
}

/// Whose fault a refusal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The token's, as far as can be known.
    Token,
    /// The service's, or the project's with it.
    Service {
        /// How long the device whose send met it leaves the first try to
        /// others.
        wait: Duration,
        /// Whether this refusal opened the circuit.
        is_new: bool,
    },
}

impl Leave {
    /// The circuit of the service itself.
    pub fn service(&self) -> &Circuit {
        &self.circuits.service
    }

    /// The circuit of the token's platform; the service's, where it knows
    /// none.
    pub fn platform(&self) -> &Circuit {
        self.circuits.platform.as_ref().unwrap_or(&self.circuits.service)
    }
}

impl Circuits {
    /// All closed. After a try that fails, the next one comes `pause_ms` later.
    pub fn new(pause_ms: u64) -> Self {
        Self { states: Mutex::default(), pause: Duration::from_millis(pause_ms) }
    }

    /// The longest that a circuit makes a device wait.
    pub fn longest_wait(&self) -> Duration {
        self.pause + self.grace() + PUSH_PROBE_WAIT
    }

    /// How long those that opened a circuit leave the try to others.
    fn grace(&self) -> Duration {
        self.pause / 4
    }

    /// Leave to send, unless one of these circuits is open; then how long to
    /// wait before asking again.
    pub fn admit(
        &self,
        circuits: Route,
        device: &DeviceKey,
        now: Instant,
    ) -> Result<Leave, Duration> {
        let mut states = lock(&self.states);
        let mut wait = Duration::ZERO;
        let mut probes = Vec::new();
        for circuit in circuits.all() {
            let Some(state) = states.get(circuit) else { continue };
            let Some(open) = state.open else { continue };
            wait = wait.max(self.wait_of(state, open, device, now));
            probes.push(circuit.clone());
        }
        if !wait.is_zero() {
            return Err(wait);
        }
        for circuit in &probes {
            let open = states.get_mut(circuit).and_then(|state| state.open.as_mut());
            if let Some(open) = open {
                open.probing_until = Some(now + PUSH_PROBE_TIME);
            }
        }
        Ok(Leave { device: device.clone(), circuits, probes })
    }

    fn wait_of(&self, state: &State, open: Open, device: &DeviceKey, now: Instant) -> Duration {
        if let Some(until) = open.probing_until.filter(|until| *until > now) {
            return (until - now).min(PUSH_PROBE_WAIT);
        }
        let is_culprit = state.suspects.contains(device) || state.loners.contains(device);
        let grace = if is_culprit { self.grace() } else { Duration::ZERO };
        (open.probe_at + grace).saturating_duration_since(now)
    }

    /// Nothing can be said: it was not sent, or the answer is about something
    /// else. Another one may try.
    pub fn release(&self, leave: &Leave) {
        let mut states = lock(&self.states);
        for circuit in &leave.probes {
            if let Some(open) = states.get_mut(circuit).and_then(|state| state.open.as_mut()) {
                open.probing_until = None;
            }
        }
    }

    /// The service took it; the circuits that this closed. A send that was
    /// under way when a circuit opened closes nothing.
    pub fn taken(&self, leave: &Leave, now: Instant) -> Vec<Circuit> {
        let mut states = lock(&self.states);
        let mut closed = Vec::new();
        for circuit in leave.circuits.all() {
            let Some(state) = states.get_mut(circuit) else { continue };
            state.touched = now;
            state.suspects.remove(&leave.device);
            state.loners.remove(&leave.device);
            if state.open.is_some() {
                if !leave.probes.contains(circuit) {
                    continue;
                }
                state.open = None;
                closed.push(circuit.clone());
            }
            // The others were refused, this one was served: it is theirs.
            let suspects = std::mem::take(&mut state.suspects);
            for suspect in suspects {
                insert_bounded(&mut state.loners, suspect);
            }
        }
        closed
    }

    /// The service refused it; whose fault that is.
    pub fn refused(
        &self,
        leave: &Leave,
        circuit: &Circuit,
        evidence: Evidence,
        now: Instant,
    ) -> Fault {
        self.release(leave);
        let mut states = lock(&self.states);
        // A probe that met another refusal says nothing of the circuits it was
        // let into: the next one waits for its turn.
        for probed in leave.probes.iter().filter(|probed| *probed != circuit) {
            if let Some(open) = states.get_mut(probed).and_then(|state| state.open.as_mut()) {
                open.probe_at = open.probe_at.max(now + self.pause);
            }
        }
        let state = entry(&mut states, circuit, now);
        let was_open = state.open.is_some();
        let is_loner = state.loners.contains(&leave.device);
        if evidence == Evidence::Project || was_open || !is_loner {
            insert_bounded(&mut state.suspects, leave.device.clone());
        }
        let probe_at = match (evidence, state.open) {
            (_, Some(_)) if leave.probes.contains(circuit) => now + self.pause,
            (_, Some(open)) => open.probe_at,
            (Evidence::Project, None) => now + self.pause,
            // One that did not meet it may try at once.
            (Evidence::OneToken, None) if state.suspects.len() >= PUSH_SEVERAL_TOKENS => now,
            (Evidence::OneToken, None) => return Fault::Token,
        };
        let probing_until = state.open.and_then(|open| open.probing_until);
        state.open = Some(Open { probe_at, probing_until });
        let wait = (probe_at + self.grace()).saturating_duration_since(now);
        Fault::Service { wait, is_new: !was_open }
    }

    /// How many circuits are open. One that nobody tried for long is not
    /// counted: nothing is known of it any more.
    pub fn count_open(&self, now: Instant) -> usize {
        let states = lock(&self.states);
        let open = states.values().filter_map(|state| state.open);
        open.filter(|open| now < open.probe_at + PUSH_CIRCUIT_FORGOTTEN).count()
    }
}

fn entry<'a>(
    states: &'a mut HashMap<Circuit, State>,
    circuit: &Circuit,
    now: Instant,
) -> &'a mut State {
    if states.len() >= PUSH_CIRCUITS && !states.contains_key(circuit) {
        let oldest = states.iter().min_by_key(|(_, state)| (state.open.is_some(), state.touched));
        if let Some(oldest) = oldest.map(|(circuit, _)| circuit.clone()) {
            states.remove(&oldest);
        }
    }
    let state = states.entry(circuit.clone()).or_insert_with(|| State {
        suspects: HashSet::new(),
        loners: HashSet::new(),
        open: None,
        touched: now,
    });
    state.touched = now;
    state
}

/// Which one goes does not matter: it may count as evidence once more.
fn insert_bounded(devices: &mut HashSet<DeviceKey>, device: DeviceKey) {
    if devices.len() >= PUSH_SUSPECTS && !devices.contains(&device) {
        let one = devices.iter().next().cloned();
        one.map(|one| devices.remove(&one));
    }
    devices.insert(device);
}

#[cfg(test)]
mod tests;
