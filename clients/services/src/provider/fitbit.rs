//! Fitbit's Web API: activities by pages that lead to each other, nights and
//! steps by dates.

use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;

use crate::limits::{FITBIT_DAYS, FITBIT_PAGE_ITEMS};
use crate::provider::call::join;
use crate::provider::dates::{self, Dates};
use crate::provider::raw::Misshapen;
use crate::provider::{Defaults, Kind, Page, Span, raw};

pub(super) const DEFAULTS: Defaults = Defaults {
    base_url: "https://api.fitbit.com",
    authorize_url: "https://www.fitbit.com/oauth2/authorize",
    token_url: "https://api.fitbit.com/oauth2/token",
    revoke_url: "https://api.fitbit.com/oauth2/revoke",
    scopes: &["activity", "heartrate", "profile", "sleep"],
};

/// Activities know no last date: what is listed goes on to now.
pub(super) fn list(base: &Url, kind: Kind, span: &Span, page: Option<&str>) -> Option<Url> {
    if kind == Kind::Activity {
        let mut url = join(base, &["1", "user", "-", "activities", "list.json"]);
        if let Some(query) = page {
            url.set_query(Some(query));
            return Some(url);
        }
        url.query_pairs_mut()
            .append_pair("afterDate", &day_before(span))
            .append_pair("sort", "asc")
            .append_pair("limit", &FITBIT_PAGE_ITEMS.to_string())
            .append_pair("offset", "0");
        return Some(url);
    }
    let (Dates { first, last }, _) = portion(span, page)?;
    let path: &[&str] = match kind {
        Kind::Sleep => &["1.2", "user", "-", "sleep", "date"],
        Kind::Steps => &["1", "user", "-", "activities", "steps", "date"],
        _ => return None,
    };
    Some(join(&join(base, path), &[&first.to_string(), &format!("{last}.json")]))
}

pub(super) fn page(body: &[u8], kind: Kind, span: &Span, page: Option<&str>) -> Option<Page> {
    #[derive(Deserialize)]
    struct Activities {
        activities: Vec<Box<RawValue>>,
        pagination: Box<RawValue>,
    }
    #[derive(Deserialize)]
    struct Pagination {
        next: Option<String>,
    }
    #[derive(Deserialize)]
    struct Nights {
        sleep: Vec<Box<RawValue>>,
    }
    #[derive(Deserialize)]
    struct Steps {
        #[serde(rename = "activities-steps")]
        days: Vec<Box<RawValue>>,
    }

    let items = match kind {
        Kind::Activity => {
            let listed: Activities = raw::object(body)?;
            let pagination: Pagination = raw::object(listed.pagination.get().as_bytes())?;
            let next = query_of(pagination.next).ok()?;
            let next = raw::next(next, page).ok()?;
            return Some(Page { items: listed.activities, next });
        }
        Kind::Sleep => raw::object::<Nights>(body)?.sleep,
        Kind::Steps => raw::object::<Steps>(body)?.days,
        _ => return None,
    };
    let (_, next) = portion(span, page)?;
    Some(Page { items, next: next.map(|date| date.to_string()) })
}

/// What a link asks for. Where it leads is not looked at: the token goes to the
/// host of the settings and to no other.
fn query_of(link: Option<String>) -> Result<Option<String>, Misshapen> {
    let Some(link) = link.filter(|link| !link.is_empty()) else { return Ok(None) };
    let url: Url = link.parse().map_err(|_| Misshapen)?;
    let query = url.query().filter(|query| !query.is_empty());
    query.map(|query| Some(query.to_owned())).ok_or(Misshapen)
}

/// The dates of a page, and where the next one begins.
fn portion(span: &Span, page: Option<&str>) -> Option<(Dates, Option<chrono::NaiveDate>)> {
    let all = Dates::of(span);
    let first = match page {
        None => all.first,
        Some(page) => dates::parse(page)?,
    };
    Some(all.portion(first, FITBIT_DAYS))
}

/// `afterDate` may or may not hold its own day.
fn day_before(span: &Span) -> String {
    let first = Dates::of(span).first;
    first.pred_opt().unwrap_or(first).to_string()
}

pub(super) fn owner(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Profile {
        user: User,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct User {
        encoded_id: Box<RawValue>,
    }

    raw::id(&raw::object::<Profile>(body)?.user.encoded_id)
}
