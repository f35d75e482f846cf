//! Changes of integrations with cloud providers, and what devices are told of
//! them.
//!
//! What changes is a function of the row, made by whoever works with the provider;
//! here it runs in the transaction that tells of it.

use tidegate_entity::{audit_log, integration, lease};
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::entry::kind;
use tidegate_protocol::time::Timestamp;
use uuid::Uuid;

use crate::error::{ApiError, ApiResult};
use crate::ingest::unit::{NewEntry, ReadSet, UnitOfWork, user_stream};
use crate::ingest::write::Write;
use crate::ingest::{Ingest, IngestOptions};
use crate::journal::snapshot::integration_body;
use crate::store::integration::{IntegrationKey, initial};
use crate::store::lease::Fence;

/// Whose integration is changed, and by whose right.
#[derive(Clone, Debug)]
pub struct Whose {
    /// User and provider.
    pub key: IntegrationKey,
    /// The connection that it must still be; `None`: whichever there is.
    pub connection: Option<i64>,
    /// The lease that must still be held; `None`: none.
    pub fence: Option<Fence>,
}

/// What a change came to.
#[derive(Clone, Debug)]
pub struct Changed<T> {
    /// What the caller hears.
    pub answer: T,
    /// What is noted in the audit log: who did what.
    pub audit: Option<(String, &'static str)>,
}

impl<T> From<T> for Changed<T> {
    fn from(answer: T) -> Self {
        Self { answer, audit: None }
    }
}

struct Change<F> {
    whose: Whose,
    change: F,
}

impl Ingest {
    /// Changes an integration. Devices are told if what they would be told is not
    /// what it was. The function runs again where the transaction does; what it
    /// refuses is not written.
    pub async fn change_integration<T, F>(&self, whose: Whose, change: F) -> ApiResult<T>
    where
        T: Clone + Send + Sync + 'static,
        F: Fn(&mut integration::Model, Timestamp) -> ApiResult<Changed<T>> + Send + Sync + 'static,
    {
        self.submit(Change { whose, change }).await
    }
}

impl<T, F> Write for Change<F>
where
    T: Clone + Send + Sync + 'static,
    F: Fn(&mut integration::Model, Timestamp) -> ApiResult<Changed<T>> + Send + Sync + 'static,
{
    type Draft = T;
    type Answer = T;

    fn reads(&self, reads: &mut ReadSet, _: &IngestOptions) {
        reads.streams.insert(user_stream(&self.whose.key.0));
        reads.rows.want::<integration::Entity>(self.whose.key.clone());
        if let Some(fence) = &self.whose.fence {
            reads.rows.want::<lease::Entity>(fence.name.clone());
        }
    }

    fn decide(&self, unit: &mut UnitOfWork) -> ApiResult<T> {
        let Whose { key, connection, fence } = &self.whose;
        if let Some(fence) = fence {
            let held = unit.rows.get::<lease::Entity>(&fence.name);
            if held.is_none_or(|held| held.generation != fence.generation) {
                let message = "another node took over the synchronisation";
                return Err(ApiError::new(ErrorCode::Unavailable, message));
            }
        }
        let before = unit.rows.get::<integration::Entity>(key).cloned();
        let before = before.unwrap_or_else(|| initial(&key.0, &key.1));
        if connection.is_some_and(|connection| connection != before.connection) {
            return Err(ended());
        }
        let mut row = before.clone();
        let Changed { answer, audit } = (self.change)(&mut row, unit.now)?;
        if let Some((actor, action)) = audit {
            unit.rows.put::<audit_log::Entity>(audit_log::Model {
                id: Uuid::now_v7().to_string(),
                at: unit.now.millis(),
                actor,
                action: action.to_owned(),
                subject: format!("user:{}/integration:{}", key.0, key.1),
                detail: None,
            });
        }
        if row == before {
            return Ok(answer);
        }
        let (told, tells) = (integration_body(&before), integration_body(&row));
        let is_same = before.connection == row.connection
            && told.connected == tells.connected
            && told.sync_status == tells.sync_status
            && told.sync_error == tells.sync_error;
        if !is_same {
            let body = serde_json::to_string(&tells).map_err(|error| ApiError::internal(&error))?;
            unit.append(NewEntry::for_all(user_stream(&key.0), kind::INTEGRATION, body));
        }
        unit.rows.put::<integration::Entity>(row);
        Ok(answer)
    }

    fn answer(&self, _: &mut UnitOfWork, draft: T) -> ApiResult<T> {
        Ok(draft)
    }
}

/// The connection that somebody works on is not there any more.
fn ended() -> ApiError {
    ApiError::new(ErrorCode::NotFound, "the integration was connected again, or ended")
}
