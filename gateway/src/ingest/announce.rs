//! What follows a commit: figures, and the new entries for those who follow
//! their streams. Nothing here is done before the commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use tidegate_protocol::command::{Channel, CommandStatus};
use tidegate_protocol::id::Seq;
use tidegate_protocol::time::Timestamp;
use tokio::time::Instant;

use crate::ingest::job::Job;
use crate::ingest::working::Working;
use crate::ingest::writer::Writer;
use crate::journal::Ready;
use crate::metrics::Metrics;
use crate::metrics::label::{EntryKind, FinalStatus};

impl Writer {
    pub(super) fn count(&self, working: &Working, jobs: &[&Job]) {
        let metrics = &self.metrics;
        for append in &working.changes.appends {
            metrics.entries_appended.of(EntryKind::of(append.kind)).inc();
        }
        metrics.commands_accepted.inc_by(working.changes.new_commands.len() as u64);
        for job in jobs {
            if let Job::Report(report) = job {
                report.results.iter().for_each(|r| metrics.results.of(r.status).inc());
            }
        }
        for device in &working.changes.replaced_devices {
            metrics.devices_replaced.inc();
            tracing::info!(device.id = device.device_id, "a device made room for a new one");
        }
        for found in &working.changes.verdicts {
            metrics.conflicts_detected.of(found.conflict_type).inc();
            if !found.is_open() {
                metrics.conflicts_resolved.of(found.strategy).inc();
            }
        }
        for strategy in &working.changes.decided {
            metrics.conflicts_resolved.of(*strategy).inc();
        }
        for closed in &working.changes.closed {
            let Some(state) = working.commands.get(&closed.command_id) else { continue };
            let status = CommandStatus::from_word(&state.row.status).and_then(FinalStatus::of);
            if let Some(status) = status {
                metrics.commands_closed.of(status).inc();
            }
            if let Some(tier) = closed.tier {
                observe_latency(metrics, tier, working.now.millis() - state.row.created_at);
            }
        }
    }

    /// Hands the new entries to those who follow their streams here. Only
    /// after the commit: an entry must never be seen that a crash could undo.
    pub(super) fn announce(&self, working: &mut Working) {
        let committed = Instant::now();
        let mut streams: BTreeMap<String, Vec<Arc<Ready>>> = BTreeMap::new();
        for append in std::mem::take(&mut working.changes.appends) {
            self.history.announced(&append.stream, append.seq);
            if !self.hub.is_watched(&append.stream) {
                continue;
            }
            let row = append.into_row(working.now);
            let command = row.command_id.as_ref().and_then(|id| working.commands.get(id));
            let (attempt, expires_at) =
                command.map_or((0, 0), |state| (state.row.attempt, state.row.expires_at));
            let expires_at = Timestamp::from_millis(expires_at);
            let ready = Ready::committed(&row, attempt, expires_at, committed);
            streams.entry(row.stream).or_default().push(ready);
        }
        for (stream, entries) in streams {
            let head = entries.last().map_or(Seq::ZERO, |entry| entry.seq);
            self.hub.publish(&stream, entries, head);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "ages of commands in milliseconds")]
fn observe_latency(metrics: &Metrics, channel: Channel, millis: i64) {
    metrics.command_latency_seconds.of(channel).observe(millis as f64 / 1000.0);
}
