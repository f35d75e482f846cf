//! What senders bring: in the gateway's own shapes, and in those of apps and
//! exporters.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{FromRequestParts, State};
use http::StatusCode;
use http::request::Parts;
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::rest::health::plain::SendAll;
use tidegate_protocol::rest::health::sent::{
    SendEntry, SendMetrics, SendSleep, SendSteps, SendWorkouts,
};
use tidegate_protocol::rest::health::{IngestFault, Ingested};
use tokio::time::Instant;

use crate::auth::Role;
use crate::error::{ApiError, ApiResult};
use crate::health::fact::{Context, DaySamples, Facts, ItemError, LOCAL_CHANNEL, Refusal, What};
use crate::health::field::Field;
use crate::health::format::{self, Format};
use crate::http::body::{Door, HealthData, HealthExport, SentText, aside};
use crate::http::extract::PathOf;
use crate::http::health::{Subject, UserQuery, internal};
use crate::ingest::health::Tally;
use crate::metrics::Metrics;
use crate::metrics::label::health::HealthItem;
use crate::state::AppState;
use crate::store;

/// Faults that a refusal names at most: a body may hold a hundred thousand.
const FAULTS_MAX: usize = 1_000;

type Answer = ApiResult<(StatusCode, Json<Ingested>)>;

macro_rules! native {
    ($($(#[$doc:meta])* $name:ident($body:ident): $path:literal, $format:expr;)+) => {$(
        $(#[$doc])*
        #[utoipa::path(post, path = $path, tag = "health", params(UserQuery),
            operation_id = concat!("ingest_", stringify!($name)),
            security(("bearer" = ["device", "service"])), request_body = $body,
            responses((status = 200, body = Ingested),
                (status = 207, description = "Some items are wrong", body = Ingested)))]
        pub(in crate::http) async fn $name(
            State(state): State<AppState>,
            subject: Subject,
            sent: SentText<HealthData>,
        ) -> Answer {
            let items_max = Some(state.config.health.items_per_call);
            let taken = take_in(&state, &subject, sent, $format, items_max).await?;
            Ok(taken.answer())
        }
    )+};
}

native! {
    /// Steps of days.
    steps(SendSteps): "/api/v1/ingest/steps", Format::Steps;
    /// Nights, and other periods of sleep.
    sleep(SendSleep): "/api/v1/ingest/sleep", Format::Sleep;
    /// Workouts, and ids of those that are gone.
    workouts(SendWorkouts): "/api/v1/ingest/workouts", Format::Workouts;
    /// Measurements of a body.
    profile(SendMetrics): "/api/v1/ingest/profile", Format::Profile;
    /// Fields of a day or of several, by hand unless it says otherwise.
    entry(SendEntry): "/api/v1/ingest/entry", Format::Entry;
    /// All kinds at once, as Zuralog's apps send them.
    zuralog(SendAll): "/api/v1/ingest/zuralog", Format::Zuralog;
}

/// As `POST /api/v1/ingest/zuralog`, with a sentence and counts by list.
#[utoipa::path(post, path = "/api/v1/health/ingest", tag = "health", params(UserQuery),
    operation_id = "ingest_all",
    security(("bearer" = ["device", "service"])), request_body = SendAll,
    responses((status = 200, body = Ingested),
        (status = 207, description = "Some items are wrong", body = Ingested)))]
pub(in crate::http) async fn all(
    State(state): State<AppState>,
    subject: Subject,
    sent: SentText<HealthData>,
) -> Answer {
    let items_max = Some(state.config.health.items_per_call);
    let taken = take_in(&state, &subject, sent, Format::Zuralog, items_max).await?;
    let counts = taken.counts.iter().map(|(list, items)| ((*list).to_owned(), *items));
    let counts: BTreeMap<String, u64> = counts.collect();
    let (status, Json(mut body)) = taken.answer();
    body.message = Some(format!("{} of {} items are stored", body.processed, body.total));
    body.counts = Some(counts);
    Ok((status, Json(body)))
}

/// An exporter's format, by its name in the path.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct Exporter(Format);

impl FromRequestParts<AppState> for Exporter {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> ApiResult<Self> {
        let PathOf(name) = PathOf::from_request_parts(parts, state).await?;
        match name.as_str() {
            "health-auto-export" => Ok(Self(Format::HealthAutoExport)),
            "hc-webhook" => Ok(Self(Format::HcWebhook)),
            "open-wearables" => Ok(Self(Format::OpenWearables)),
            _ => Err(ApiError::new(ErrorCode::NotFound, "there is no such format")),
        }
    }
}

/// A body in an exporter's own format: `health-auto-export`, `hc-webhook` or
/// `open-wearables`. Its items are not counted.
#[utoipa::path(post, path = "/api/v1/ingest/{format}", tag = "health",
    operation_id = "ingest_export",
    params(UserQuery, ("format" = String, Path)),
    security(("bearer" = ["device", "service"])), request_body = BTreeMap<String, serde_json::Value>,
    responses((status = 200, body = Ingested),
        (status = 207, description = "Some items are wrong", body = Ingested)))]
pub(in crate::http) async fn export(
    State(state): State<AppState>,
    subject: Subject,
    Exporter(format): Exporter,
    sent: SentText<HealthExport>,
) -> Answer {
    Ok(take_in(&state, &subject, sent, format, None).await?.answer())
}

/// What became of a body.
struct Taken {
    tally: Tally,
    total: u64,
    ignored: u64,
    errors: Vec<ItemError>,
    counts: Vec<(&'static str, u64)>,
}

async fn take_in<D: Door + Send + 'static>(
    state: &AppState,
    subject: &Subject,
    sent: SentText<D>,
    format: Format,
    items_max: Option<usize>,
) -> ApiResult<Taken> {
    let db = state.store.readers();
    let profile = store::health::profile::load(db, &subject.user_id).await.map_err(internal)?;
    let zone = profile.and_then(|profile| profile.time_zone?.parse().ok());
    let may_name_all = sent.caller.0.role.includes(Role::Service);
    let context = Context { now: state.clock.now(), zone, items_max, may_name_all };
    let metrics = &state.metrics;
    let began = Instant::now();
    metrics.health_body_bytes.inc_by(sent.text().len() as u64);
    let bytes = sent.text().len();
    let read = move || (format::read(format, sent.text(), &context), sent);
    // The body keeps its place in memory until all of it is stored.
    let (facts, _sent) = aside(bytes, read).await?;
    metrics.health_read_seconds.observe(began.elapsed().as_secs_f64());
    let Facts { facts, total, ignored, mut errors, unlisted: _, counts } =
        facts.map_err(refused)?;
    let sums: Vec<Option<&str>> = facts.iter().map(|fact| sum_of(&fact.what)).collect();
    let tally = state.ingest.take_in(&subject.user_id, facts, subject.by.as_deref()).await?;
    for (at, reason) in &tally.refused {
        let list = sums.get(*at).copied().flatten().unwrap_or_default().to_owned();
        let reason = (*reason).to_owned();
        errors.push(ItemError { list, index: 0, field: String::new(), reason });
    }
    metrics.health_ingest_seconds.observe(began.elapsed().as_secs_f64());
    let taken = Taken { tally, total, ignored, errors, counts };
    taken.count(metrics);
    if taken.tally.stored() == 0 && !taken.errors.is_empty() {
        return Err(nothing_stored(&taken.errors));
    }
    Ok(taken)
}

fn sum_of(what: &What) -> Option<&'static str> {
    match what {
        What::Samples(samples) => Some(list_of(samples)),
        _ => None,
    }
}

/// What the sender calls the list of these parts.
fn list_of(samples: &DaySamples) -> &'static str {
    match samples.field {
        Field::Steps if samples.channel == LOCAL_CHANNEL => "step_count",
        Field::ActiveCalories if samples.channel == LOCAL_CHANNEL => "active_energy",
        Field::DistanceM if samples.channel == LOCAL_CHANNEL => "walking_running_distance",
        Field::DistanceM => "distance",
        field => field.as_str(),
    }
}

fn refused(Refusal { field, reason }: Refusal) -> ApiError {
    ApiError::invalid(field, reason)
}

fn nothing_stored(errors: &[ItemError]) -> ApiError {
    let message = "no item has values that are allowed";
    let error = ApiError::new(ErrorCode::Invalid, message);
    errors.iter().take(FAULTS_MAX).fold(error, |error, fault| {
        let ItemError { list, index, field, reason } = fault;
        let dot = if field.is_empty() { "" } else { "." };
        error.with_detail(format!("{list}[{index}]{dot}{field}"), reason)
    })
}

impl Taken {
    fn count(&self, metrics: &Metrics) {
        let Tally { created, updated, unchanged, .. } = self.tally;
        for (result, items) in [
            (HealthItem::Created, created),
            (HealthItem::Updated, updated),
            (HealthItem::Unchanged, unchanged),
            (HealthItem::Refused, self.errors.len() as u64),
            (HealthItem::Ignored, self.ignored),
        ] {
            metrics.health_items.of(result).inc_by(items);
        }
    }

    fn answer(self) -> (StatusCode, Json<Ingested>) {
        let Tally { created, updated, unchanged, .. } = self.tally;
        let status = if self.errors.is_empty() { StatusCode::OK } else { StatusCode::MULTI_STATUS };
        let fault =
            |ItemError { list, index, field, reason }| IngestFault { list, index, field, reason };
        let body = Ingested {
            success: true,
            processed: self.tally.stored(),
            total: self.total,
            created,
            updated,
            unchanged,
            ignored: self.ignored,
            errors: self.errors.into_iter().map(fault).collect(),
            message: None,
            counts: None,
        };
        (status, Json(body))
    }
}
