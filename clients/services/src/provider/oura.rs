//! Oura, API version 2: documents by day.

use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use crate::provider::call::join;
use crate::provider::dates::Dates;
use crate::provider::{Defaults, Kind, Page, Span, raw};

pub(super) const DEFAULTS: Defaults = Defaults {
    base_url: "https://api.ouraring.com/v2",
    authorize_url: "https://cloud.ouraring.com/oauth/authorize",
    token_url: "https://api.ouraring.com/oauth/token",
    revoke_url: "https://api.ouraring.com/oauth/revoke",
    scopes: &["personal", "daily", "workout"],
};

pub(super) fn list(base: &Url, kind: Kind, span: &Span, page: Option<&str>) -> Url {
    let Dates { first, last } = Dates::of(span);
    let mut url = join(base, &["usercollection", kind.as_str()]);
    let mut query = url.query_pairs_mut();
    query.append_pair("start_date", &first.to_string()).append_pair("end_date", &last.to_string());
    if let Some(page) = page {
        query.append_pair("next_token", page);
    }
    drop(query);
    url
}

pub(super) fn page(body: &[u8], page: Option<&str>) -> Option<Page> {
    #[derive(Deserialize)]
    struct Listed {
        data: Vec<Box<RawValue>>,
        next_token: Option<String>,
    }

    let listed: Listed = raw::object(body)?;
    Some(Page { items: listed.data, next: raw::next(listed.next_token, page).ok()? })
}

pub(super) fn one(kind: Kind, id: &str) -> Option<Vec<String>> {
    let is_listed = matches!(kind, Kind::Workout | Kind::Sleep | Kind::DailyActivity);
    (is_listed && raw::is_id(id))
        .then(|| ["usercollection", kind.as_str(), id].map(str::to_owned).to_vec())
}

pub(super) fn owner(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct PersonalInfo {
        id: Box<RawValue>,
    }

    raw::id(&raw::object::<PersonalInfo>(body)?.id)
}
