//! What operators and their machines ask: alive, ready, figures.

use axum::Json;
use axum::extract::State;
use http::{StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::state::AppState;

/// Whether the node can serve.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Readiness {
    /// `ready` or `not_ready`.
    status: &'static str,
    /// `ok` or `unreachable`.
    database: &'static str,
    /// `ok`: a node does not start on an old schema.
    migrations: &'static str,
    /// `ok`, `not_configured` (sockets and polls only), or `circuit_open`
    /// while an error pauses it that an operator must mend.
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
    let database = state.store.ping().await.is_ok();
    let draining = state.draining.is_cancelled();
    let ready = database && !draining;
    let readiness = Readiness {
        status: if ready { "ready" } else { "not_ready" },
        database: if database { "ok" } else { "unreachable" },
        migrations: "ok",
        push: state.push.status(state.clock.now().millis()),
        bus: "local",
        draining,
    };
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness))
}

/// Figures for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "operation", security(()),
    responses((status = 200, body = String, content_type = "text/plain")))]
pub(super) async fn metrics(
    State(state): State<AppState>,
) -> ([(header::HeaderName, &'static str); 1], String) {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], state.metrics.render())
}
