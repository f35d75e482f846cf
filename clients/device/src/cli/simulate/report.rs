//! The account of a simulation: what was promised against what came.

use std::io::Write;
use std::sync::atomic::Ordering;

use serde::Serialize;

use crate::cli::simulate::Shared;
use crate::cli::simulate::device::{Arrived, Tally};
use crate::cli::simulate::sender::Sent;

/// Counts of a whole run; printed as a table and as one JSON line.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    seed: u64,
    devices: usize,
    sent: u64,
    pub(super) accepted: u64,
    pub(super) delivered: u64,
    pub(super) missing: u64,
    pub(super) duplicate: u64,
    pub(super) out_of_order: u64,
    /// Further attempts of commands that had come: allowed, not duplicates.
    repeated: u64,
    pub(super) results_ok: u64,
    pub(super) reconnects: u64,
    latency_p50_ms: f64,
    latency_p99_ms: f64,
    #[serde(skip)]
    latency_us: Vec<u32>,
}

impl Report {
    pub(super) fn new(seed: u64, sent: &[Sent]) -> Self {
        let sent_to = |user: &Sent| user.accepted.len() as u64;
        Self { seed, devices: sent.len(), sent: sent.iter().map(sent_to).sum(), ..Self::default() }
    }

    /// Adds one device's account.
    pub(super) fn add(&mut self, sent: &Sent, tally: &Tally) {
        for (number, accepted_at) in sent.accepted.iter().enumerate() {
            let seen = tally.seen.get(number).copied().flatten();
            self.accepted += u64::from(accepted_at.is_some());
            self.delivered += u64::from(seen.is_some());
            match (accepted_at, seen) {
                (Some(_), None) => self.missing += 1,
                // The first attempt must come at the position it was accepted
                // at: that, and rising positions, is the order.
                (Some(at), Some(Arrived::Entry(seq))) if seq < *at => self.out_of_order += 1,
                _ => {}
            }
        }
        self.duplicate += tally.duplicate;
        self.out_of_order += tally.out_of_order;
        self.repeated += tally.repeated;
        self.results_ok += tally.confirmed;
        self.latency_us.extend_from_slice(&tally.latency_us);
    }

    pub(super) fn finish(&mut self, shared: &Shared) {
        self.reconnects = shared.reconnects.load(Ordering::Relaxed);
        self.latency_us.sort_unstable();
        self.latency_p50_ms = self.percentile_ms(50);
        self.latency_p99_ms = self.percentile_ms(99);
    }

    /// Whether the gateway kept its promises; it must have made some.
    pub(super) fn is_clean(&self) -> bool {
        self.accepted > 0 && self.missing == 0 && self.duplicate == 0 && self.out_of_order == 0
    }

    pub(super) fn print(&self) -> std::io::Result<()> {
        let mut out = std::io::stdout().lock();
        for (name, value) in [
            ("sent", self.sent),
            ("accepted", self.accepted),
            ("delivered", self.delivered),
            ("missing", self.missing),
            ("duplicate", self.duplicate),
            ("out of order", self.out_of_order),
            ("further attempts", self.repeated),
            ("results confirmed", self.results_ok),
            ("reconnects", self.reconnects),
        ] {
            writeln!(out, "{name:<20}{value:>12}")?;
        }
        writeln!(out, "{:<20}{:>9.2} ms", "latency p50", self.latency_p50_ms)?;
        writeln!(out, "{:<20}{:>9.2} ms", "latency p99", self.latency_p99_ms)?;
        writeln!(out, "{}", serde_json::to_string(self).map_err(std::io::Error::other)?)
    }

    fn percentile_ms(&self, percent: usize) -> f64 {
        let rank = (self.latency_us.len() * percent).div_ceil(100).max(1) - 1;
        self.latency_us.get(rank).map_or(0.0, |us| f64::from(*us) / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::id::Seq;

    use super::*;

    /// Every way in which a command can go wrong is counted once.
    #[test]
    fn the_account_finds_what_is_wrong() {
        let at = |seq| Some(Seq::new(seq));
        let sent = Sent { accepted: vec![at(1), at(2), None, at(4)] };
        let entry = |seq| Some(Arrived::Entry(Seq::new(seq)));
        let seen = vec![entry(1), None, None, entry(3)];
        let tally = Tally { seen, duplicate: 1, latency_us: vec![3000, 1000], ..Tally::default() };
        let mut report = Report::new(7, std::slice::from_ref(&sent));
        report.add(&sent, &tally);
        report.latency_us.sort_unstable();
        assert_eq!((report.sent, report.accepted, report.delivered), (4, 3, 2));
        assert_eq!((report.missing, report.duplicate, report.out_of_order), (1, 1, 1));
        assert!(!report.is_clean());
        assert!((report.percentile_ms(50) - 1.0).abs() < f64::EPSILON);
        assert!((report.percentile_ms(99) - 3.0).abs() < f64::EPSILON);
    }
}
