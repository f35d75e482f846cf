//! What operators and their machines ask: alive, ready, figures.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use http::{StatusCode, header};
use serde::Serialize;
use tidegate_durable::{Fault, Health};
use utoipa::ToSchema;

use crate::state::AppState;

/// Whether the node can serve.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Readiness {
    /// `ready` or `not_ready`.
    status: &'static str,
    /// `ok`: it can be read and written. Otherwise why not: `unreachable`,
    /// `full`, `read_only`, `io_error`, `contended` (another process keeps the
    /// write lock), or `corrupt`, which ends only with the process.
    database: &'static str,
    /// `durable`: an accepted write survives a power cut. `not_durable`: the
    /// settings of the database, looked at every few seconds, do not wait for
    /// the disk. Says nothing about being ready.
    commits: &'static str,
    /// `ok`: a node does not start on an old schema.
    migrations: &'static str,
    /// `ok`, `not_configured` (sockets and polls only), or `circuit_open`
    /// while a push service refuses this project: an operator must look.
    push: &'static str,
    /// `local`: one node, no bus.
    bus: &'static str,
    /// Whether the node is going away.
    draining: bool,
}

/// The process is alive.
#[utoipa::path(get, path = "/healthz", tag = "operation", security(()),
    responses((status = 200, body = String)))]
pub(super) async fn healthz() -> &'static str {
    "ok"
}

/// The node can serve.
#[utoipa::path(get, path = "/readyz", tag = "operation", security(()),
    responses((status = 200, body = Readiness), (status = 503, body = Readiness)))]
pub(super) async fn readyz(State(state): State<AppState>) -> (StatusCode, Json<Readiness>) {
    let database = database(&state).await;
    let draining = state.draining.is_cancelled();
    let ready = database == DATABASE_OK && !draining;
    let readiness = Readiness {
        status: if ready { "ready" } else { "not_ready" },
        database,
        commits: if state.store.is_durable() { "durable" } else { "not_durable" },
        migrations: "ok",
        push: state.push.status(),
        bus: "local",
        draining,
    };
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness))
}

const DATABASE_OK: &str = "ok";

/// How long readiness waits for a read: whoever asks wants to know now.
const READ_TIMEOUT: Duration = Duration::from_secs(1);

/// What reading now, and the last writes, say of the database.
async fn database(state: &AppState) -> &'static str {
    match state.store.health() {
        Health::Stopped => return Fault::Corrupt.as_str(),
        Health::Failing(fault) => return fault.as_str(),
        Health::Writing => {}
    }
    match tokio::time::timeout(READ_TIMEOUT, state.store.ping()).await {
        Ok(Ok(())) => DATABASE_OK,
        Ok(Err(error)) => Fault::of(&error).as_str(),
        Err(_) => Fault::Unreachable.as_str(),
    }
}

/// Figures for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "operation", security(()),
    responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn metrics(
    State(state): State<AppState>,
) -> ([(header::HeaderName, &'static str); 1], String) {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], state.metrics.render())
}
