//! Nights of a user.

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use serde::Deserialize;
use serde_json::Value as Json;
use tidegate_protocol::rest::Page;
use tidegate_protocol::rest::health::SleepNight;
use utoipa::IntoParams;

use crate::error::ApiResult;
use crate::health::date;
use crate::health::night::Nights;
use crate::http::extract::QueryOf;
use crate::http::health::{DaysQuery, Subject, UserQuery, internal, list_text};
use crate::http::page::next_cursor;
use crate::http::tag::tagged_text;
use crate::state::AppState;
use crate::store;
use crate::store::health::Days;

/// Which nights are listed.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Shown {
    /// Only the one that is shown for a day (default), or those of all sources.
    #[serde(default)]
    canonical: Option<bool>,
}

/// Nights of a user, the newest day first. `limit` counts days.
#[utoipa::path(get, path = "/api/v1/sleep", tag = "health",
    operation_id = "list_sleep",
    params(UserQuery, DaysQuery, Shown, ("If-None-Match" = Option<String>, Header)),
    security(("bearer" = ["device", "service"])),
    responses((status = 200, body = Page<SleepNight>)))]
pub(in crate::http) async fn list(
    State(state): State<AppState>,
    subject: Subject,
    headers: HeaderMap,
    QueryOf(query): QueryOf<DaysQuery>,
    QueryOf(shown): QueryOf<Shown>,
) -> ApiResult<Response> {
    let (page, days) = (query.page(), query.days()?);
    let (below, limit) = (page.after()?, page.limit()?);
    let days = Days { below: below.as_deref(), ..days };
    let db = state.store.readers();
    let rows = store::health::night::page(db, &subject.user_id, days, limit + 1).await;
    let mut rows = rows.map_err(internal)?;
    let next = next_cursor(&mut rows, limit, |row| &row.date);
    let mut items = Vec::with_capacity(rows.len());
    for row in rows {
        if shown.canonical.unwrap_or(true) {
            items.extend(row.body);
            continue;
        }
        let nights: Nights = serde_json::from_str(&row.nights).map_err(internal)?;
        let date = date::parse(&row.date).unwrap_or_default();
        let all = nights.sources().into_iter().filter_map(|source| nights.row(date, source));
        items.extend(all.map(|night| Json::Object(night).to_string()));
    }
    Ok(tagged_text(&headers, list_text(&items, next.as_deref())))
}
