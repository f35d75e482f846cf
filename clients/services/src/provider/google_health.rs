//! Google Health, API version 4: data points by type.

use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use crate::limits::{GOOGLE_POINTS, GOOGLE_SESSIONS};
use crate::provider::call::join;
use crate::provider::dates::{self, Dates};
use crate::provider::{Defaults, Kind, Page, Span, raw};

pub(super) const DEFAULTS: Defaults = Defaults {
    base_url: "https://health.googleapis.com/v4",
    authorize_url: "https://accounts.google.com/o/oauth2/v2/auth",
    token_url: "https://oauth2.googleapis.com/token",
    revoke_url: "https://oauth2.googleapis.com/revoke",
    scopes: &[
        "https://www.googleapis.com/auth/googlehealth.activity_and_fitness.readonly",
        "https://www.googleapis.com/auth/googlehealth.health_metrics_and_measurements.readonly",
        "https://www.googleapis.com/auth/googlehealth.sleep.readonly",
    ],
};

/// Each type can be filtered by members of its own only.
pub(super) fn list(base: &Url, kind: Kind, span: &Span, page: Option<&str>) -> Option<Url> {
    let (from, to) = (dates::rfc3339(span.from), dates::rfc3339_up(span.to));
    let (size, filter) = match kind {
        Kind::Exercise => {
            let Dates { first, last } = Dates::of(span);
            let after = last.succ_opt().unwrap_or(last);
            let filter = within(
                "exercise.interval.civil_start_time",
                &first.to_string(),
                &after.to_string(),
            );
            (GOOGLE_SESSIONS, filter)
        }
        Kind::Sleep => (GOOGLE_SESSIONS, within("sleep.interval.end_time", &from, &to)),
        Kind::Steps => (GOOGLE_POINTS, within("steps.interval.start_time", &from, &to)),
        Kind::Weight => (GOOGLE_POINTS, within("weight.sample_time.physical_time", &from, &to)),
        Kind::Activity | Kind::Workout | Kind::DailyActivity => return None,
    };
    let mut url = join(base, &["users", "me", "dataTypes", kind.as_str(), "dataPoints"]);
    let mut query = url.query_pairs_mut();
    query.append_pair("pageSize", &size.to_string()).append_pair("filter", &filter);
    if let Some(page) = page {
        query.append_pair("pageToken", page);
    }
    drop(query);
    Some(url)
}

fn within(member: &str, from: &str, to: &str) -> String {
    format!("{member} >= \"{from}\" AND {member} < \"{to}\"")
}

/// The last page may be `{}`; an object that says something else is no page.
pub(super) fn page(body: &[u8], page: Option<&str>) -> Option<Page> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Listed {
        data_points: Option<Vec<Box<RawValue>>>,
        next_page_token: Option<String>,
    }

    let listed: Listed = raw::object(body)?;
    if listed.data_points.is_none() && listed.next_page_token.is_none() && !raw::is_empty(body) {
        return None;
    }
    let next = raw::next(listed.next_page_token, page).ok()?;
    Some(Page { items: listed.data_points.unwrap_or_default(), next })
}

/// By its id, or by the name it is listed with. Steps have neither.
pub(super) fn one(kind: Kind, id: &str) -> Option<Vec<String>> {
    let id = id.rsplit_once("/dataPoints/").map_or(id, |(_, id)| id);
    let has_names = matches!(kind, Kind::Exercise | Kind::Sleep | Kind::Weight);
    (has_names && raw::is_id(id)).then(|| {
        ["users", "me", "dataTypes", kind.as_str(), "dataPoints", id].map(str::to_owned).to_vec()
    })
}

pub(super) fn owner(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Identity {
        health_user_id: Box<RawValue>,
    }

    raw::id(&raw::object::<Identity>(body)?.health_user_id)
}
