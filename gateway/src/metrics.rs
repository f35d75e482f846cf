//! Everything the gateway measures: one table of names, each with its help
//! line, and the typed handles that the rest of the gateway counts on.
//!
//! Names carry the unit, labels come from closed sets ([`label`]). This module
//! never takes a name or a label from outside, except the route and status of
//! an HTTP request, which the router's table of routes closes.

use std::ops::Deref;
use std::sync::Arc;

use http::StatusCode;
use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};
use tidegate_durable::Fault;
use tidegate_protocol::command::{Channel, Outcome};

use crate::metrics::family::{Family, Register, Spec};
use crate::metrics::label::health::HealthItem;
use crate::metrics::label::provider::{
    EventResult, ProviderAnswer, ProviderName, RefreshResult, RunResult, WebhookResult,
};
use crate::metrics::label::{
    AuthFailure, CommitResult, ConnectionRefusal, EntryKind, FinalStatus, FrameIn, FrameOut,
    JournalSource, PushOutcome, SocketEnd, SyncResult, UploadResult, UpstreamMessage,
};
use crate::resolve::conflict::ConflictType;
use crate::resolve::rules::Strategy;

pub mod family;
pub mod label;

/// From a fast commit (one fsync, about 200 µs) to a stalled disk.
const COMMIT_SECONDS: &[f64] =
    &[0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
/// The budget is 2 ms for the median and 10 ms for the 99th percentile.
const DELIVERY_SECONDS: &[f64] =
    &[0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];
/// From a live device's answer to one that came back after a day.
const COMMAND_SECONDS: &[f64] =
    &[0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 21_600.0, 86_400.0];
/// Long polls are held for up to 55 s.
const REQUEST_SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// From a run that found nothing new to a first one over a slow line.
const SYNC_SECONDS: &[f64] = &[0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0];
/// Up to the default of `limits.commit_batch`.
const BATCH_SIZES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];
/// 0 is the healthy case, one window is 500 entries.
const LAG_ENTRIES: &[f64] = &[0.0, 1.0, 10.0, 100.0, 500.0, 1_000.0, 10_000.0, 100_000.0];

macro_rules! table {
    ($($(#[doc = $help:literal])+ $field:ident: $kind:ty = $name:literal $(, by $label:literal)? $(, in $buckets:ident)?;)+) => {
        /// One handle for each row of the table.
        #[derive(Debug)]
        pub struct Handles {
            registry: Registry,
            http_requests: IntCounterVec,
            $($(#[doc = $help])+ pub $field: $kind,)+
        }

        impl Handles {
            fn register(registry: Registry) -> prometheus::Result<Self> {
                Ok(Self {
                    $($field: <$kind>::register(&registry, &Spec {
                        name: $name,
                        help: concat!($($help),+).trim_start(),
                        label: table!(@label $($label)?),
                        buckets: table!(@buckets $($buckets)?),
                    })?,)+
                    http_requests: http_requests(&registry)?,
                    registry,
                })
            }
        }
    };
    (@label) => { "" };
    (@label $label:literal) => { $label };
    (@buckets) => { &[] };
    (@buckets $buckets:ident) => { $buckets };
}

table! {
    /// Sessions open: sockets after `welcome`.
    sessions: IntGauge = "tidegate_sessions";
    /// TCP connections open, sockets included.
    connections: IntGauge = "tidegate_connections";
    /// Connections turned away before a request was read, by the limit or fault.
    connections_refused: Family<ConnectionRefusal, IntCounter> = "tidegate_connections_refused_total", by "reason";
    /// Sockets accepted: upgrades answered with 101.
    sockets_accepted: IntCounter = "tidegate_sockets_accepted_total";
    /// Sockets ended, by the reason of the close frame the gateway sent.
    sockets_closed: Family<SocketEnd, IntCounter> = "tidegate_sockets_closed_total", by "reason";
    /// Frames received, by type.
    frames_received: Family<FrameIn, IntCounter> = "tidegate_frames_received_total", by "type";
    /// Frames sent, by type.
    frames_sent: Family<FrameOut, IntCounter> = "tidegate_frames_sent_total", by "type";
    /// Bytes of frame payloads received, before decompression.
    socket_bytes_received: IntCounter = "tidegate_socket_bytes_received_total";
    /// Bytes of frame payloads sent, after compression.
    socket_bytes_sent: IntCounter = "tidegate_socket_bytes_sent_total";
    /// Write transactions, by how they ended.
    commits: Family<CommitResult, IntCounter> = "tidegate_commits_total", by "result";
    /// Writes in one transaction.
    commit_batch_size: Histogram = "tidegate_commit_batch_size", in BATCH_SIZES;
    /// From the start of a write transaction to its commit.
    commit_seconds: Histogram = "tidegate_commit_seconds", in COMMIT_SECONDS;
    /// Whether writing to the database works, as the last writes showed: 1 or 0.
    database_writable: IntGauge = "tidegate_database_writable";
    /// Times that writing to the database stopped working, by why.
    database_faults: Family<Fault, IntCounter> = "tidegate_database_faults_total", by "reason";
    /// Writes waiting for the writer.
    write_queue_length: IntGauge = "tidegate_write_queue_length";
    /// Journal entries committed, by kind.
    entries_appended: Family<EntryKind, IntCounter> = "tidegate_entries_appended_total", by "kind";
    /// Journal entries removed by retention.
    entries_trimmed: IntCounter = "tidegate_entries_trimmed_total";
    /// Reads of the journal, by what answered.
    journal_reads: Family<JournalSource, IntCounter> = "tidegate_journal_reads_total", by "source";
    /// Rows read from the database for delivery: entries, and items of snapshots.
    delivery_rows_read: IntCounter = "tidegate_delivery_rows_read_total";
    /// Bytes of these rows.
    delivery_bytes_read: IntCounter = "tidegate_delivery_bytes_read_total";
    /// Entries between a session's position and the head, seen at its heartbeat.
    journal_lag_entries: Histogram = "tidegate_journal_lag_entries", in LAG_ENTRIES;
    /// Long polls that wait right now.
    poll_waiters: IntGauge = "tidegate_poll_waiters";
    /// Polls answered.
    polls: IntCounter = "tidegate_polls_total";
    /// Commands accepted: durable in the journal.
    commands_accepted: IntCounter = "tidegate_commands_accepted_total";
    /// Commands that got their final status, by that status.
    commands_closed: Family<FinalStatus, IntCounter> = "tidegate_commands_closed_total", by "status";
    /// Outcomes reported by devices, by outcome.
    results: Family<Outcome, IntCounter> = "tidegate_results_total", by "status";
    /// From accepting a command to the outcome that closed it, by how that came.
    command_latency_seconds: Family<Channel, Histogram> = "tidegate_command_latency_seconds", by "channel", in COMMAND_SECONDS;
    /// From the commit of an entry to its write on a socket.
    delivery_seconds: Histogram = "tidegate_delivery_seconds", in DELIVERY_SECONDS;
    /// Wake-ups by push, by what the provider answered.
    pushes: Family<PushOutcome, IntCounter> = "tidegate_pushes_total", by "outcome";
    /// From the start of a wake-up's request to its answer.
    push_seconds: Histogram = "tidegate_push_seconds", in REQUEST_SECONDS;
    /// Wake-ups under way.
    pushes_in_flight: IntGauge = "tidegate_pushes_in_flight";
    /// Push services, or platforms of one, that refuse this project.
    push_circuits_open: IntGauge = "tidegate_push_circuits_open";
    /// How often one began to.
    push_circuits_opened: IntCounter = "tidegate_push_circuits_opened_total";
    /// Push tokens ended because their provider said so.
    push_tokens_ended: IntCounter = "tidegate_push_tokens_ended_total";
    /// Conflicts found, by type.
    conflicts_detected: Family<ConflictType, IntCounter> = "tidegate_conflicts_detected_total", by "type";
    /// Conflicts resolved, by the strategy asked; persons' decisions included.
    conflicts_resolved: Family<Strategy, IntCounter> = "tidegate_conflicts_resolved_total", by "strategy";
    /// Conflicts that wait for a person.
    conflicts_open: IntGauge = "tidegate_conflicts_open";
    /// Synchronisations with the marketplace's upstream that ended, by how.
    sync_runs: Family<SyncResult, IntCounter> = "tidegate_marketplace_syncs_total", by "result";
    /// From the start of a synchronisation to its end.
    sync_seconds: Histogram = "tidegate_marketplace_sync_seconds", in SYNC_SECONDS;
    /// Whether the upstream socket is up on this node.
    upstream_connected: IntGauge = "tidegate_marketplace_socket_connected";
    /// Attempts to bring the upstream socket up.
    upstream_attempts: IntCounter = "tidegate_marketplace_socket_attempts_total";
    /// Messages that came over the upstream socket, by what became of them.
    upstream_messages: Family<UpstreamMessage, IntCounter> = "tidegate_marketplace_messages_total", by "result";
    /// Uploads of ratings, by how they ended.
    rating_uploads: Family<UploadResult, IntCounter> = "tidegate_rating_uploads_total", by "result";
    /// Items of health data that senders brought, by what became of them.
    health_items: Family<HealthItem, IntCounter> = "tidegate_health_items_total", by "result";
    /// Bytes of the bodies that health data came in.
    health_body_bytes: IntCounter = "tidegate_health_body_bytes_total";
    /// How long it took to read the items of such a body.
    health_read_seconds: Histogram = "tidegate_health_read_seconds", in REQUEST_SECONDS;
    /// From such a body, once it had come, to its answer.
    health_ingest_seconds: Histogram = "tidegate_health_ingest_seconds", in REQUEST_SECONDS;
    /// Runs of integrations with cloud providers, by how they ended.
    provider_runs: Family<RunResult, IntCounter> = "tidegate_provider_runs_total", by "result";
    /// Requests made to cloud providers.
    provider_requests: Family<ProviderName, IntCounter> = "tidegate_provider_requests_total", by "provider";
    /// What cloud providers answered.
    provider_answers: Family<ProviderAnswer, IntCounter> = "tidegate_provider_answers_total", by "answer";
    /// Refreshes of tokens, by how they ended.
    provider_refreshes: Family<RefreshResult, IntCounter> = "tidegate_provider_refreshes_total", by "result";
    /// Whether a rate window that all users share is spent for runs: 1 or 0.
    provider_windows_spent: Family<ProviderName, IntGauge> = "tidegate_provider_windows_spent", by "provider";
    /// Items of cloud providers that could be read.
    provider_items: IntCounter = "tidegate_provider_items_total";
    /// Items of cloud providers that could not.
    provider_items_wrong: IntCounter = "tidegate_provider_items_wrong_total";
    /// Events that webhooks told, by what became of them.
    webhook_events: Family<WebhookResult, IntCounter> = "tidegate_webhook_events_total", by "result";
    /// Events that were looked at, by what came of it.
    webhook_events_done: Family<EventResult, IntCounter> = "tidegate_webhook_events_done_total", by "result";
    /// Devices removed to make room for a new one of their user.
    devices_replaced: IntCounter = "tidegate_devices_replaced_total";
    /// Memory that bodies of requests take until they are answered.
    body_bytes: IntGauge = "tidegate_body_bytes";
    /// Bodies refused because bodies took all the memory they may.
    bodies_refused: IntCounter = "tidegate_bodies_refused_total";
    /// Bodies given up because they did not come in time.
    bodies_stalled: IntCounter = "tidegate_bodies_stalled_total";
    /// Memory that large answers take until their clients have read them.
    answer_bytes: IntGauge = "tidegate_answer_bytes";
    /// Answers refused because answers took all the memory they may.
    answers_refused: IntCounter = "tidegate_answers_refused_total";
    /// Timeline rows dropped because the queue written behind was full.
    behind_dropped: IntCounter = "tidegate_behind_dropped_total";
    /// From the end of the request head to the start of the answer.
    http_request_seconds: Histogram = "tidegate_http_request_seconds", in REQUEST_SECONDS;
    /// Tokens refused, by why.
    auth_failures: Family<AuthFailure, IntCounter> = "tidegate_auth_failures_total", by "reason";
}

/// All metrics of one gateway. Cheap to clone; gateways in one process do not
/// share figures.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Handles>);

impl Metrics {
    /// Registers the whole table, every figure at zero.
    pub fn new() -> Self {
        let handles = Handles::register(Registry::new())
            .expect("names in the table are valid and distinct: a test registers them");
        Self(Arc::new(handles))
    }

    /// Counts an answered request. `route` is the router's pattern, never the
    /// path, so that the number of label values stays that of the routes.
    pub fn http_request(&self, route: &str, status: StatusCode, seconds: f64) {
        self.0.http_requests.with_label_values(&[route, status.as_str()]).inc();
        self.0.http_request_seconds.observe(seconds);
    }

    /// The figures in Prometheus' text format.
    pub fn render(&self) -> String {
        TextEncoder::new()
            .encode_to_string(&self.0.registry.gather())
            .expect("gathered families have names and values")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for Metrics {
    type Target = Handles;

    fn deref(&self) -> &Handles {
        &self.0
    }
}

/// Counts one in a gauge for as long as it lives.
#[derive(Debug)]
pub struct Held(IntGauge);

impl Held {
    /// Adds one to `gauge`; dropping takes it off again.
    pub fn in_gauge(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The one family whose label values are not known here: routes belong to the
/// router. HTTP is not the hot path.
fn http_requests(registry: &Registry) -> prometheus::Result<IntCounterVec> {
    let options = Opts::new("tidegate_http_requests_total", "Requests answered, by route.");
    let requests = IntCounterVec::new(options, &["route", "status"])?;
    registry.register(Box::new(requests.clone()))?;
    Ok(requests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_rendered_before_anything_happened() {
        let metrics = Metrics::new();
        metrics.http_request("/healthz", StatusCode::OK, 0.001);
        let text = metrics.render();
        assert!(text.contains("\ntidegate_sessions 0\n"), "{text}");
        assert!(text.contains("tidegate_sockets_closed_total{reason=\"replaced\"} 0"));
        assert!(text.contains("tidegate_http_requests_total{route=\"/healthz\",status=\"200\"} 1"));
        assert!(text.contains("# HELP tidegate_polls_total Polls answered.\n"));
    }

    #[test]
    fn names_carry_the_prefix_and_counters_end_in_total() {
        let text = Metrics::new().render();
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        for (name, kind) in types.map(|line| line.split_once(' ').unwrap()) {
            assert!(name.starts_with("tidegate_"), "{name}");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
        }
    }

    #[test]
    fn clones_share_and_registries_do_not() {
        let (one, other) = (Metrics::new(), Metrics::new());
        one.clone().commands_closed.of(FinalStatus::Expired).inc();
        assert_eq!(one.commands_closed.of(FinalStatus::Expired).get(), 1);
        assert_eq!(other.commands_closed.of(FinalStatus::Expired).get(), 0);
    }

    #[test]
    fn a_held_gauge_falls_when_it_is_dropped() {
        let metrics = Metrics::new();
        let held = Held::in_gauge(&metrics.poll_waiters);
        assert_eq!(metrics.poll_waiters.get(), 1);
        drop(held);
        assert_eq!(metrics.poll_waiters.get(), 0);
    }
}
