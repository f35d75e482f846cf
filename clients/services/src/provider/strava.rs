//! Strava, API version 3: activities by when they start.

use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use crate::limits::STRAVA_PAGE_ITEMS;
use crate::provider::call::join;
use crate::provider::{Defaults, Kind, Page, Span, dates, raw};

pub(super) const DEFAULTS: Defaults = Defaults {
    base_url: "https://www.strava.com/api/v3",
    authorize_url: "https://www.strava.com/oauth/authorize",
    token_url: "https://www.strava.com/oauth/token",
    revoke_url: "https://www.strava.com/oauth/revoke",
    scopes: &["read", "activity:read_all"],
};

/// Oldest first, for `after` is given. Pages are counted from 1.
pub(super) fn list(base: &Url, span: &Span, page: Option<&str>) -> Option<Url> {
    let number = number(page)?;
    let mut url = join(base, &["athlete", "activities"]);
    // Both bounds are open, and starts are whole seconds.
    url.query_pairs_mut()
        .append_pair("after", &(dates::seconds_from(span.from) - 1).max(0).to_string())
        .append_pair("before", &dates::seconds_from(span.to).to_string())
        .append_pair("page", &number.to_string())
        .append_pair("per_page", &STRAVA_PAGE_ITEMS.to_string());
    Some(url)
}

/// An empty page is the end. A short one is not: what the application may not
/// see is taken out after the page was cut.
pub(super) fn page(body: &[u8], page: Option<&str>) -> Option<Page> {
    let items: Vec<Box<RawValue>> = serde_json::from_slice(body).ok()?;
    let next = (!items.is_empty()).then_some(number(page)?.checked_add(1)?);
    Some(Page { items, next: next.map(|number| number.to_string()) })
}

pub(super) fn one(kind: Kind, id: &str) -> Option<Vec<String>> {
    (kind == Kind::Activity && raw::is_id(id)).then(|| vec!["activities".into(), id.into()])
}

pub(super) fn owner(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Athlete {
        id: Box<RawValue>,
    }

    raw::id(&raw::object::<Athlete>(body)?.id)
}

fn number(page: Option<&str>) -> Option<u32> {
    match page {
        None => Some(1),
        Some(page) => page.parse().ok().filter(|page| *page > 0),
    }
}
