//! Health data: what senders bring, and what everybody may read and correct.

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::Deserialize;
use tidegate_protocol::id::UserId;
use utoipa::IntoParams;

use crate::auth::Role;
use crate::error::{ApiError, ApiResult};
use crate::health::date;
use crate::http::extract::{Caller, QueryOf};
use crate::state::AppState;
use crate::store::health::Days;

pub(super) mod activities;
pub(super) mod entries;
pub(super) mod ingest;
pub(super) mod profile;
pub(super) mod sleep;

/// Whose data a call is about.
#[derive(Clone, Debug)]
pub(super) struct Subject {
    /// The user.
    pub(super) user_id: String,
    /// Who calls, where that is not the user.
    pub(super) by: Option<String>,
}

/// Names the user to a backend's call.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct UserQuery {
    /// Required of backends; of devices their own user, who is meant anyway.
    #[serde(default)]
    #[param(value_type = Option<String>)]
    user_id: Option<String>,
}

impl FromRequestParts<AppState> for Subject {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> ApiResult<Self> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let QueryOf(query) = QueryOf::<UserQuery>::from_request_parts(parts, state).await?;
        let own = &caller.0.sub;
        if caller.0.role == Role::Device {
            if query.user_id.is_some_and(|asked| asked != own.as_str()) {
                let code = tidegate_protocol::code::ErrorCode::Forbidden;
                return Err(ApiError::new(code, "the token is another user's"));
            }
            return Ok(Self { user_id: own.to_string(), by: None });
        }
        let named = query.user_id.as_deref().map(UserId::parse);
        let user_id = match named {
            Some(Ok(user_id)) => user_id.to_string(),
            Some(Err(error)) => return Err(ApiError::invalid("user_id", error.to_string())),
            None => return Err(ApiError::invalid("user_id", "must be there")),
        };
        Ok(Self { user_id, by: Some(own.to_string()) })
    }
}

/// Which days are listed, both inclusive.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DaysQuery {
    /// The first local day, `yyyy-mm-dd`.
    #[serde(default)]
    from: Option<String>,
    /// The last local day, `yyyy-mm-dd`.
    #[serde(default)]
    to: Option<String>,
    /// `next_cursor` of the page before.
    #[serde(default)]
    cursor: Option<String>,
    /// Items at most: 1 to 500, default 100.
    #[serde(default)]
    limit: Option<u64>,
}

impl DaysQuery {
    fn page(&self) -> crate::http::page::PageQuery {
        crate::http::page::PageQuery { cursor: self.cursor.clone(), limit: self.limit }
    }

    /// Checked bounds, without where the page begins.
    fn days(&self) -> ApiResult<Days<'_>> {
        for (field, text) in [("from", &self.from), ("to", &self.to)] {
            if text.as_deref().is_some_and(|text| date::parse(text).is_none()) {
                return Err(ApiError::invalid(field, "a day as yyyy-mm-dd"));
            }
        }
        if let (Some(from), Some(to)) = (&self.from, &self.to)
            && from > to
        {
            return Err(ApiError::invalid("from", "not after `to`"));
        }
        Ok(Days { from: self.from.as_deref(), upto: self.to.as_deref(), below: None })
    }
}

/// A list's answer from texts of JSON.
fn list_text(items: &[String], next_cursor: Option<&str>) -> String {
    let next_cursor = serde_json::to_string(&next_cursor).unwrap_or_default();
    format!(r#"{{"items":[{}],"next_cursor":{next_cursor}}}"#, items.join(","))
}

fn internal<E: std::fmt::Display + 'static>(error: E) -> ApiError {
    ApiError::internal(&error)
}
