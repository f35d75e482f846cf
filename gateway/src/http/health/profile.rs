//! What is known of a user: where the user lives, and the newest body metrics.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::HeaderMap;
use tidegate_protocol::rest::health::{BodyMetric, HealthProfile, ProfileChange};
use tidegate_protocol::time::Timestamp;

use crate::error::{ApiError, ApiResult};
use crate::health::field::{Field, real_json};
use crate::http::body::{Anyone, Sent};
use crate::http::health::{Subject, UserQuery, internal};
use crate::http::tag::tagged_text;
use crate::state::AppState;
use crate::store;

/// The user's time zone, and the newest body metrics.
#[utoipa::path(get, path = "/api/v1/profile", tag = "health",
    operation_id = "get_profile",
    params(UserQuery, ("If-None-Match" = Option<String>, Header)),
    security(("bearer" = ["device", "service"])),
    responses((status = 200, body = HealthProfile)))]
pub(in crate::http) async fn get(
    State(state): State<AppState>,
    subject: Subject,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let profile = profile(&state, &subject.user_id).await?;
    Ok(tagged_text(&headers, serde_json::to_string(&profile).map_err(internal)?))
}

/// Says where the user lives. Days that are known already stay where they are.
#[utoipa::path(patch, path = "/api/v1/profile", tag = "health",
    operation_id = "change_profile", params(UserQuery),
    security(("bearer" = ["device", "service"])), request_body = ProfileChange,
    responses((status = 200, body = HealthProfile)))]
pub(in crate::http) async fn change(
    State(state): State<AppState>,
    subject: Subject,
    Sent { body: change, .. }: Sent<Anyone, ProfileChange>,
) -> ApiResult<Response> {
    if let Some(time_zone) = change.time_zone {
        let time_zone = time_zone.as_deref();
        if time_zone.is_some_and(|name| name.parse::<chrono_tz::Tz>().is_err()) {
            return Err(ApiError::invalid("time_zone", "an IANA name, such as Europe/Berlin"));
        }
        let by = subject.by.as_deref();
        state.ingest.set_time_zone(&subject.user_id, time_zone, by).await?;
    }
    Ok(Json(profile(&state, &subject.user_id).await?).into_response())
}

async fn profile(state: &AppState, user_id: &str) -> ApiResult<HealthProfile> {
    let db = state.store.readers();
    let known = store::health::profile::load(db, user_id).await.map_err(internal)?;
    let newest = async |field: Field| {
        let row = store::health::metric::newest(db, user_id, field.as_str()).await;
        let metric = |row: tidegate_entity::body_metric::Model| {
            let value = real_json(row.value).as_number().cloned()?;
            Some(BodyMetric { value, at: Timestamp::from_millis(row.at), source: row.source })
        };
        ApiResult::Ok(row.map_err(internal)?.and_then(metric))
    };
    Ok(HealthProfile {
        time_zone: known.and_then(|known| known.time_zone),
        weight_kg: newest(Field::WeightKg).await?,
        height_m: newest(Field::HeightM).await?,
        body_fat_percentage: newest(Field::BodyFatPercentage).await?,
        lean_body_mass_kg: newest(Field::LeanBodyMassKg).await?,
    })
}
