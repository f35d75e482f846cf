//! Bodies of those who have no token.

use axum::extract::{FromRef, FromRequest, Request};
use tidegate_protocol::id::UserId;

use crate::auth::Holder;
use crate::error::{ApiError, ApiResult};
use crate::http::body::{Intake, Place, in_time};
use crate::limits::{WEBHOOK_BODIES_BYTES, WEBHOOK_BODY_BYTES};

/// A body of somebody who has no token: of a webhook. 413 beyond 64 KiB, 429 and 503
/// where such bodies take all the memory they may, 408 when it does not come.
#[derive(Debug)]
pub struct Nameless {
    bytes: Vec<u8>,
    _place: Place,
}

impl Nameless {
    /// What came.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl<S> FromRequest<S> for Nameless
where
    S: Send + Sync,
    Intake: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> ApiResult<Self> {
        let intake = Intake::from_ref(state);
        // All of them together are one: nobody knows who they are.
        let sub = UserId::parse("webhooks").map_err(|error| ApiError::internal(&error))?;
        let share = intake.budget.share(Holder { is_device: false, sub }, WEBHOOK_BODIES_BYTES);
        let mut place = Place { share, metrics: intake.metrics.clone() };
        let bytes = in_time(&intake, request.into_body(), WEBHOOK_BODY_BYTES, &mut place).await?;
        Ok(Self { bytes, _place: place })
    }
}
