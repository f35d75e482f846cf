//! Lists in pages: `cursor` and `limit` in the query, `items` and
//! `next_cursor` in the answer.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::error::{ApiError, ApiResult};

/// Items in a page when none are asked for.
const LIMIT_DEFAULT: u64 = 100;

/// Items in a page at most.
const LIMIT_MAX: u64 = 500;

/// What part of a list is asked for.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// `next_cursor` of the page before.
    #[serde(default)]
    pub(super) cursor: Option<String>,
    /// Items at most: 1 to 500, default 100.
    #[serde(default)]
    pub(super) limit: Option<u64>,
}

impl PageQuery {
    /// The key after which the page begins.
    pub(super) fn after(&self) -> ApiResult<Option<String>> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
        let key = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        // No key holds U+0000, and PostgreSQL takes no text with it.
        let key = key.filter(|key| !key.contains('\0'));
        key.map(Some).ok_or_else(|| ApiError::invalid("cursor", "not a cursor of this list"))
    }

    /// How many items.
    pub(super) fn limit(&self) -> ApiResult<u64> {
        let limit = self.limit.unwrap_or(LIMIT_DEFAULT);
        if (1..=LIMIT_MAX).contains(&limit) {
            Ok(limit)
        } else {
            Err(ApiError::invalid("limit", format!("1 to {LIMIT_MAX}")))
        }
    }
}

/// The cursor of the next page; `None` at the end. `found` may hold one item
/// more than the page, which is taken away.
pub(super) fn next_cursor<T>(
    found: &mut Vec<T>,
    limit: u64,
    key: impl Fn(&T) -> &str,
) -> Option<String> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if found.len() <= limit {
        return None;
    }
    found.truncate(limit);
    found.last().map(|last| URL_SAFE_NO_PAD.encode(key(last)))
}
