//! Outcomes to report, kept until the gateway confirms them.

use sea_orm::ConnectionTrait;
use tidegate_durable::WriteTransaction;
use tidegate_protocol::command::CommandResult;
use tidegate_protocol::id::CommandId;
use tidegate_protocol::limits::{FRAME_BYTES, RESULTS_PER_FRAME};

use crate::store::commands::{NO_ATTEMPT, attempt, outcome_word};
use crate::store::{Store, StoreError, statement, text};

/// Half of what a frame may have. A single outcome always fits.
const RESULTS_BYTES: usize = FRAME_BYTES / 2;

impl Store {
    /// The oldest outcomes not confirmed yet, as many as travel together: the
    /// gateway bounds a frame by number and by bytes. All of them durable: what
    /// was reported is not carried out again.
    pub(crate) async fn outbox(&self) -> Result<Vec<CommandResult>, StoreError> {
        self.ensure_durable().await?;
        let limit = u64::try_from(RESULTS_PER_FRAME).unwrap_or(u64::MAX);
        let select = statement(
            "SELECT command_id, attempt, status, error, retryable FROM outbox \
             ORDER BY rowid LIMIT ?",
            [limit.into()],
        );
        let rows = self.connection.query_all_raw(select).await?;
        let mut results = Vec::with_capacity(rows.len());
        let mut bytes = 0;
        for row in &rows {
            let result = CommandResult {
                command_id: CommandId::parse(&text(row, "command_id")?)?,
                attempt: attempt(row)?,
                status: outcome_word(&text(row, "status")?)?,
                error: row.try_get("", "error")?,
                retryable: row.try_get("", "retryable")?,
            };
            bytes += serde_json::to_string(&result)?.len();
            if bytes > RESULTS_BYTES && !results.is_empty() {
                break;
            }
            results.push(result);
        }
        Ok(results)
    }

    /// These reports arrived; 0 stands for one without an attempt. A newer
    /// attempt queued meanwhile stays.
    pub(crate) async fn confirm(&self, reports: &[(CommandId, i32)]) -> Result<(), StoreError> {
        let transaction = self.begin().await?;
        for (command_id, attempt) in reports {
            let delete = statement(
                "DELETE FROM outbox WHERE command_id = ? AND attempt = ?",
                [command_id.as_str().into(), (*attempt).into()],
            );
            transaction.execute_raw(delete).await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

/// Queues a report in the caller's transaction; it replaces the report of an
/// earlier attempt.
pub(super) async fn queue(
    transaction: &WriteTransaction,
    result: &CommandResult,
) -> Result<(), StoreError> {
    let upsert = statement(
        "INSERT INTO outbox (command_id, attempt, status, error, retryable) \
         VALUES (?, ?, ?, ?, ?) ON CONFLICT (command_id) DO UPDATE SET \
         attempt = excluded.attempt, status = excluded.status, \
         error = excluded.error, retryable = excluded.retryable",
        [
            result.command_id.as_str().into(),
            result.attempt.unwrap_or(NO_ATTEMPT).into(),
            result.status.as_str().into(),
            result.error.clone().into(),
            result.retryable.into(),
        ],
    );
    transaction.execute_raw(upsert).await?;
    Ok(())
}
