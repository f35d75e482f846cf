//! The marketplace's cache: searching, reading, editing, rating.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value};
use tidegate_entity::market_item::Kind;
use tidegate_entity::skill_rating::UploadState;
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::limits::SHORT_TEXT_BYTES;
use tidegate_protocol::rest::marketplace::{
    COMMENT_CHARS, CategoryPage, ItemView, RateSkill, RatingView, RatingWithdrawn, SkillPage,
};
use tidegate_protocol::time::Timestamp;
use utoipa::IntoParams;

use crate::error::{ApiError, ApiResult};
use crate::http::body::{Admin, Anyone, Sent};
use crate::http::extract::{Caller, PathOf, QueryOf};
use crate::http::tag::{expected_version, short_hash, tagged};
use crate::ingest::market::{SkillEdit, WithdrawnRating};
use crate::marketplace::cache::Freshness;
use crate::marketplace::ratings;
use crate::state::AppState;
use crate::store;
use crate::store::market::shown::confirmed_at;
use crate::store::market::{Found, Search};

mod view;

use view::{Shown, View};

/// Skills in a page when none are asked for.
const PAGE_SIZE: u64 = 100;

/// Skills in a page at most.
const PAGE_SIZE_MAX: u64 = 500;

/// Categories in an answer at most: upstream has a few dozen.
const CATEGORIES_MAX: u64 = 10_000;

/// Which skills are asked for.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct SkillQuery {
    /// Part of the name or the description, in any case.
    #[serde(default)]
    query: Option<String>,
    /// The category.
    #[serde(default)]
    category: Option<String>,
    /// From 1.
    #[serde(default)]
    page: Option<u64>,
    /// 1 to 500, default 100.
    #[serde(default)]
    page_size: Option<u64>,
    /// `next_cursor` of the page before, instead of `page`.
    #[serde(default)]
    cursor: Option<String>,
    /// The same as `page_size`.
    #[serde(default)]
    limit: Option<u64>,
}

impl SkillQuery {
    fn size(&self) -> ApiResult<u64> {
        let field = if self.page_size.is_some() { "page_size" } else { "limit" };
        let size = self.page_size.or(self.limit).unwrap_or(PAGE_SIZE);
        if (1..=PAGE_SIZE_MAX).contains(&size) {
            Ok(size)
        } else {
            Err(ApiError::invalid(field, format!("1 to {PAGE_SIZE_MAX}")))
        }
    }

    fn number(&self) -> ApiResult<u64> {
        let of_cursor = self.cursor.as_deref().map(|cursor| {
            cursor.parse().map_err(|_| ApiError::invalid("cursor", "not a cursor of this list"))
        });
        let number = self.page.map(Ok).or(of_cursor).transpose()?.unwrap_or(1);
        if (1..=1_000_000_000).contains(&number) {
            Ok(number)
        } else {
            Err(ApiError::invalid("page", "1 or more"))
        }
    }

    fn search(&self) -> ApiResult<Search> {
        for (field, text) in [("query", &self.query), ("category", &self.category)] {
            if text.as_ref().is_some_and(|text| text.len() > SHORT_TEXT_BYTES) {
                return Err(ApiError::invalid(field, format!("at most {SHORT_TEXT_BYTES} bytes")));
            }
        }
        Ok(Search {
            text: self.query.as_deref().unwrap_or_default().trim().to_lowercase(),
            category: self.category.clone().filter(|category| !category.is_empty()),
            confirmed_since: 0,
        })
    }
}

/// Skills that match, in order of ids.
#[utoipa::path(get, path = "/api/v1/marketplace/skills", tag = "marketplace",
    params(SkillQuery, ("If-None-Match" = Option<String>, Header)),
    responses((status = 200, body = SkillPage)))]
pub(super) async fn skills(
    State(state): State<AppState>,
    _: Caller,
    headers: HeaderMap,
    QueryOf(query): QueryOf<SkillQuery>,
) -> ApiResult<Response> {
    let (page, page_size) = (query.number()?, query.size()?);
    let view = View::new(&state);
    let mut search = query.search()?;
    search.confirmed_since = view.settings.served_since(view.now);
    let offset = (page - 1) * page_size;
    let found = store::market::search(state.store.readers(), &search, offset, page_size).await;
    let Found { rows, total, withheld } = found.map_err(|error| ApiError::internal(&error))?;
    require_vouched(&state, &view, Kind::Skill, (total, withheld)).await?;
    let shown: Vec<Shown> = rows.into_iter().filter_map(|row| view.item(row)).collect();
    let total_pages = total.div_ceil(page_size);
    let next_cursor = (page < total_pages).then(|| (page + 1).to_string());
    let (items, tag) = tagged_items(shown, total, withheld);
    let withheld = Some(withheld).filter(|withheld| *withheld > 0);
    let body = SkillPage { items, page, page_size, total, withheld, total_pages, next_cursor };
    Ok(tagged(&headers, &tag, &body))
}

/// Refuses a list of which upstream vouches for nothing: neither for anything of
/// this kind, nor for any of what was asked for. An empty list would say that
/// there is nothing.
async fn require_vouched(
    state: &AppState,
    view: &View<'_>,
    kind: Kind,
    (total, withheld): (u64, u64),
) -> ApiResult<()> {
    if total > 0 {
        return Ok(());
    }
    let last = store::market::last_confirmed(state.store.readers(), kind).await;
    let Some(last) = last.map_err(|error| ApiError::internal(&error))? else { return Ok(()) };
    if withheld > 0 || last < view.settings.served_since(view.now) {
        let what = match kind {
            Kind::Skill => "these skills",
            Kind::Category => "the categories",
        };
        return Err(view.unconfirmed(what, last));
    }
    Ok(())
}

/// All categories, in order of names.
#[utoipa::path(get, path = "/api/v1/marketplace/categories", tag = "marketplace",
    params(("If-None-Match" = Option<String>, Header)),
    responses((status = 200, body = CategoryPage)))]
pub(super) async fn categories(
    State(state): State<AppState>,
    _: Caller,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let view = View::new(&state);
    let rows = store::market::categories(state.store.readers(), CATEGORIES_MAX).await;
    let mut rows = rows.map_err(|error| ApiError::internal(&error))?;
    let all = rows.len();
    rows.retain(|row| view.is_served(row));
    let count = |items: usize| u64::try_from(items).unwrap_or(u64::MAX);
    let (total, withheld) = (count(rows.len()), count(all - rows.len()));
    require_vouched(&state, &view, Kind::Category, (total, withheld)).await?;
    let shown = rows.into_iter().filter_map(|row| view.item(row)).collect();
    let (items, tag) = tagged_items(shown, total, withheld);
    let withheld = Some(withheld).filter(|withheld| *withheld > 0);
    Ok(tagged(&headers, &tag, &CategoryPage { items, withheld, next_cursor: None }))
}

/// One skill.
#[utoipa::path(get, path = "/api/v1/marketplace/skills/{id}", tag = "marketplace",
    params(("id" = String, Path), ("If-None-Match" = Option<String>, Header)),
    responses((status = 200, body = ItemView),
        (status = 404, description = "No such skill"),
        (status = 503, description = "Upstream has been away for too long to vouch for it")))]
pub(super) async fn skill(
    State(state): State<AppState>,
    _: Caller,
    headers: HeaderMap,
    PathOf(id): PathOf,
) -> ApiResult<Response> {
    let shown = load(&state, &id).await?;
    Ok(tagged(&headers, &shown.tag, &shown.item))
}

/// Edits a skill: an RFC 7396 merge patch on its data. `If-Match` names the
/// version it was made on.
#[utoipa::path(patch, path = "/api/v1/marketplace/skills/{id}", tag = "marketplace",
    security(("bearer" = ["admin"])),
    params(("id" = String, Path), ("If-Match" = Option<String>, Header)),
    request_body(content((Object = "application/json"), (Object = "application/merge-patch+json"))),
    responses((status = 200, body = ItemView), (status = 404, description = "No such skill"),
        (status = 409, description = "The version moved, or a conflict is open")))]
pub(super) async fn edit(
    State(state): State<AppState>,
    headers: HeaderMap,
    PathOf(id): PathOf,
    Sent { caller, body: patch, .. }: Sent<Admin, Map<String, Value>>,
) -> ApiResult<Response> {
    let expected_version = expected_version(&headers)?;
    let editor = caller.0.sub.as_str().to_owned();
    let row = state.ingest.edit_skill(SkillEdit { id, patch, expected_version, editor }).await?;
    let shown = View::new(&state).item(row).ok_or_else(not_found)?;
    Ok(tagged(&HeaderMap::new(), &shown.tag, &shown.item))
}

/// Rates a skill: the caller's newest word counts.
#[utoipa::path(post, path = "/api/v1/marketplace/skills/{id}/rate", tag = "marketplace",
    params(("id" = String, Path)), request_body = RateSkill,
    responses((status = 202, body = RatingView), (status = 404, description = "No such skill")))]
pub(super) async fn rate(
    State(state): State<AppState>,
    PathOf(id): PathOf,
    Sent { caller, body: request, .. }: Sent<Anyone, RateSkill>,
) -> ApiResult<(StatusCode, Json<RatingView>)> {
    let rating = u8::try_from(request.rating).ok().filter(|rating| (1..=5).contains(rating));
    let rating = rating.ok_or_else(|| ApiError::invalid("rating", "a whole number, 1 to 5"))?;
    let comment = request.comment.filter(|comment| !comment.is_empty());
    if comment.as_ref().is_some_and(|comment| comment.chars().count() > COMMENT_CHARS) {
        let reason = format!("at most {COMMENT_CHARS} characters");
        return Err(ApiError::invalid("comment", reason));
    }
    load(&state, &id).await?;
    let row =
        ratings::keep(&state.marketplace, &id, caller.0.sub.as_str(), rating, comment).await?;
    Ok((
        StatusCode::ACCEPTED,
        Json(RatingView {
            success: true,
            rating_id: row.id,
            skill_id: row.skill_id,
            rating: row.rating,
            comment: row.comment,
            status: row.state.to_string(),
            rated_at: Timestamp::from_millis(row.rated_at),
        }),
    ))
}

/// Takes the caller's rating of a skill back. The marketplace offers no way to
/// do so: one that it has stays there, and the answer says so.
#[utoipa::path(delete, path = "/api/v1/marketplace/skills/{id}/rate", tag = "marketplace",
    params(("id" = String, Path)),
    responses((status = 200, body = RatingWithdrawn),
        (status = 404, description = "The caller has not rated it")))]
pub(super) async fn withdraw_rating(
    State(state): State<AppState>,
    caller: Caller,
    PathOf(id): PathOf,
) -> ApiResult<Json<RatingWithdrawn>> {
    let user_id = caller.0.sub.as_str().to_owned();
    let row = state.ingest.withdraw_rating(WithdrawnRating { skill_id: id, user_id }).await?;
    Ok(Json(RatingWithdrawn {
        success: true,
        kept_upstream: row.remote_id.is_some() || row.state == UploadState::Uploaded,
        rating_id: row.id,
        skill_id: row.skill_id,
    }))
}

/// A skill that is served. One whose time is over is asked for again.
async fn load(state: &AppState, id: &str) -> ApiResult<Shown> {
    let key = (Kind::Skill, id.to_owned());
    let found = store::market::load(state.store.readers(), std::slice::from_ref(&key)).await;
    let row = found.map_err(|error| ApiError::internal(&error))?.pop();
    let row = row.filter(|row| row.data.is_some()).ok_or_else(not_found)?;
    let view = View::new(state);
    let age = view.age(&row);
    if age.freshness != Freshness::Fresh {
        state.marketplace.refresh(id);
    }
    if age.freshness == Freshness::Gone {
        return Err(view.unconfirmed("this skill", confirmed_at(&row)));
    }
    view.item(row).ok_or_else(not_found)
}

fn not_found() -> ApiError {
    ApiError::new(ErrorCode::NotFound, "there is no such skill")
}

/// Items and the tag of all of them.
fn tagged_items(shown: Vec<Shown>, total: u64, withheld: u64) -> (Vec<ItemView>, String) {
    let mut text = format!("{total} {withheld}");
    let mut items = Vec::with_capacity(shown.len());
    for one in shown {
        text.extend(["\0", &one.item.id, "\0", &one.tag]);
        items.push(one.item);
    }
    (items, format!("W/\"{}\"", short_hash(text.as_bytes())))
}
