//! Memory that answers take until their clients have read them: in all, and of
//! each caller. A page of a list can be large, and a client that reads slowly
//! holds it for as long as it likes.

use std::sync::{Arc, OnceLock};

use axum::body::{Body, HttpBody as _};
use axum::extract::{FromRef, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http_body_util::BodyExt as _;

use crate::auth::Holder;
use crate::budget::{Budget, Full, Share};
use crate::config::Limits;
use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::state::AppState;

/// Smaller answers are not counted: connections are, and each holds one.
const COUNTED_FROM_BYTES: usize = 64 * 1024;

/// What answers are held by.
#[derive(Clone, Debug)]
pub struct Outgoing {
    limits: Limits,
    budget: Budget<Holder>,
    metrics: Metrics,
}

impl Outgoing {
    /// As configured; `budget` is that of the node.
    pub const fn new(limits: Limits, budget: Budget<Holder>, metrics: Metrics) -> Self {
        Self { limits, budget, metrics }
    }

    fn place(&self, caller: &Holder, bytes: usize) -> Result<Place, Full> {
        let most = if caller.is_device {
            self.limits.answers_per_user_bytes
        } else {
            self.limits.answers_per_backend_bytes
        };
        let mut share = self.budget.share(caller.clone(), most);
        share.grow(bytes).inspect_err(|_| self.metrics.answers_refused.inc())?;
        self.metrics.answer_bytes.add(signed(bytes));
        Ok(Place { share, metrics: self.metrics.clone() })
    }
}

impl FromRef<AppState> for Outgoing {
    fn from_ref(state: &AppState) -> Self {
        Self::new(state.config.limits.clone(), state.answers.clone(), state.metrics.clone())
    }
}

/// Who asked, once a route has found out.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked(Arc<OnceLock<Holder>>);

impl Asked {
    pub(super) fn by(&self, caller: Holder) {
        let _ = self.0.set(caller);
    }
}

/// Finds a place for each large answer, or answers that there is none.
pub(super) async fn hold(
    State(outgoing): State<Outgoing>,
    mut request: Request,
    next: Next,
) -> Response {
    let asked = Asked::default();
    request.extensions_mut().insert(asked.clone());
    let answer = next.run(request).await;
    let bytes = answer.body().size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
    let (Some(caller), Some(bytes)) = (asked.0.get(), bytes) else { return answer };
    if bytes < COUNTED_FROM_BYTES {
        return answer;
    }
    let place = match outgoing.place(caller, bytes) {
        Ok(place) => place,
        Err(full) => return refusal(full).into_response(),
    };
    let (parts, body) = answer.into_parts();
    // Of known size: it is here already.
    match body.collect().await {
        Ok(body) => {
            let held = Bytes::from_owner(Held { bytes: body.to_bytes(), _place: place });
            Response::from_parts(parts, Body::from(held))
        }
        Err(error) => ApiError::internal(&error).into_response(),
    }
}

fn refusal(full: Full) -> ApiError {
    ApiError::unavailable(match full {
        Full::Caller => "read your other answers first, or ask for smaller pages",
        Full::Total => "too many answers wait to be read; try again",
    })
}

/// What an answer takes of the memory for answers, until it is written or given
/// up.
#[derive(Debug)]
struct Place {
    share: Share<Holder>,
    metrics: Metrics,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.answer_bytes.sub(signed(self.share.bytes()));
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

struct Held {
    bytes: Bytes,
    _place: Place,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
