//! What is measured: one file per budget.

use std::time::Duration;

use anyhow::ensure;

use crate::load::caller::Response;
use crate::load::device::{Peer, Policy};
use crate::numbers::float;
use crate::report::Row;

mod durable;
mod fanout;
mod health;
mod latency;
mod market;
mod memory;
mod push;
mod reconnect;
mod storage;
mod unicast;

/// A scenario: gives its figures, or fails where something was lost.
type Scenario = fn(&Scale) -> anyhow::Result<Vec<Row>>;

/// Their names, for the command line.
pub(crate) const NAMES: [&str; 10] = [
    "memory",
    "fanout",
    "unicast",
    "latency",
    "durable",
    "storage",
    "reconnect",
    "push",
    "market",
    "health",
];

/// All of them, in the order they run.
pub(crate) const SCENARIOS: [(&str, Scenario); 10] = [
    ("memory", memory::run),
    ("fanout", fanout::run),
    ("unicast", unicast::run),
    ("latency", latency::run),
    ("durable", durable::run),
    ("storage", storage::run),
    ("reconnect", reconnect::run),
    ("push", push::run),
    ("market", market::run),
    ("health", health::run),
];

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// Devices of the scenarios with many.
    pub(crate) devices: usize,
    /// Length of one measurement.
    pub(crate) run: Duration,
    /// How often a measurement is repeated; the median counts.
    pub(crate) repeats: usize,
    /// Commands that each device catches up.
    pub(crate) backlog: usize,
    wanted: usize,
}

impl Scale {
    pub(crate) fn new(quick: bool, devices_max: usize) -> Self {
        let (wanted, run, repeats, backlog) = if quick {
            (1_000, Duration::from_secs(1), 1, 100)
        } else {
            (10_000, Duration::from_secs(4), 3, 100)
        };
        Self { devices: wanted.min(devices_max), run, repeats, backlog, wanted }
    }

    /// What a person must know of the scale.
    pub(crate) fn note(&self) -> Option<String> {
        (self.devices < self.wanted).then(|| {
            format!(
                "only {} of {} devices: raise the limit of open files (ulimit -n)",
                self.devices, self.wanted
            )
        })
    }
}

/// For devices that do not report results: no command is tried again while a
/// run lasts.
const NO_RETRIES: (&str, &str) = ("TIDEGATE_PUSH__ACK_TIMEOUT_MS", "600000");

/// Devices that ack a hundred entries at a time.
const ACK_COALESCED: Policy = Policy { ack_entries: 100, report: false, peer: Peer::Gateway };

/// A payload of `bytes` bytes that carries its number.
fn payload(number: usize, bytes: usize) -> String {
    let head = format!(r#"{{"number":{number},"text":""#);
    let padding = bytes.saturating_sub(head.len() + 2);
    format!(r#"{head}{}"}}"#, "x".repeat(padding))
}

/// A command for a user, as `POST /commands` takes it.
fn command(user: &str, number: usize, bytes: usize) -> String {
    let value = payload(number, bytes);
    format!(r#"{{"user_id":"{user}","data_type":"bench","value":{value}}}"#)
}

/// Refuses an answer with another status.
fn expect(response: &Response, status: u16) -> anyhow::Result<()> {
    let body = String::from_utf8_lossy(&response.body);
    ensure!(response.status == status, "answered {} instead of {status}: {body}", response.status);
    Ok(())
}

/// Refuses a batch in which a command was not accepted.
fn expect_batch(response: &Response, commands: usize) -> anyhow::Result<()> {
    expect(response, 207)?;
    let body = std::str::from_utf8(&response.body)?;
    let accepted = body.matches(r#""status":202"#).count();
    ensure!(accepted == commands, "{accepted} of {commands} commands were accepted: {body}");
    Ok(())
}

/// So many in a time, per second.
fn rate(count: usize, seconds: f64) -> f64 {
    float(count) / seconds
}

/// Says how much of the gateway's core went to something else.
fn foreign(share: f64) -> String {
    format!("{:.0} % of the gateway's core was foreign", share * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_have_their_size() {
        assert_eq!(payload(7, 128).len(), 128);
        assert_eq!(payload(123_456, 32), r#"{"number":123456,"text":"xxxxx"}"#);
    }

    #[test]
    fn every_scenario_can_be_named() {
        assert_eq!(SCENARIOS.map(|(name, _)| name), NAMES);
    }
}
