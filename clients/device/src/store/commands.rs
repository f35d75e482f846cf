//! The inbox: commands from their arrival until 24 h after their expiry.
//!
//! Ids are remembered for as long as a repeat may come, so that each is
//! carried out once across restarts.

use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult};
use serde_json::value::RawValue;
use tidegate_protocol::command::{CommandResult, Outcome as OutcomeWord};
use tidegate_protocol::entry::CommandBody;
use tidegate_protocol::id::{CommandId, StreamName};
use tidegate_protocol::time::Timestamp;

use crate::handler::{Command, Outcome};
use crate::inbox::{self, Arrival, Known, Stage};
use crate::store::{Store, StoreError, outbox, statement, text};

/// How long after its expiry an id is remembered: repeats come no later.
const REMEMBERED_MS: i64 = 24 * 60 * 60 * 1000;

impl Store {
    /// Takes the next command to carry out and marks it as begun: by priority,
    /// then in the order of arrival. Those past their expiry are closed first.
    pub(crate) async fn take_next(
        &self,
        gateway_now: Timestamp,
    ) -> Result<Option<Command>, StoreError> {
        let transaction = self.begin().await?;
        let expire = statement(
            "UPDATE command SET stage = 'closed' \
             WHERE stage IN ('waiting', 'started') AND expires_at_ms <= ?",
            [gateway_now.millis().into()],
        );
        transaction.execute_raw(expire).await?;
        let select = statement(
            "SELECT id, attempt, data_type, value, rank, expires_at_ms, stage FROM command \
             WHERE stage IN ('waiting', 'started') ORDER BY rank, arrival LIMIT 1",
            [],
        );
        let row = transaction.query_one_raw(select).await?;
        let command = row.map(|row| read_command(&row)).transpose()?;
        if let Some(command) = &command {
            set_stage(&transaction, &command.id, Stage::Started).await?;
        }
        transaction.commit().await?;
        Ok(command)
    }

    /// Stores an outcome and queues its report, together. The report names the
    /// newest attempt known: it is the one the gateway waits for.
    pub(crate) async fn finish(
        &self,
        command_id: &CommandId,
        outcome: &Outcome,
    ) -> Result<(), StoreError> {
        let transaction = self.begin().await?;
        let attempt = known(&transaction, command_id).await?.map_or(1, |known| known.attempt);
        match outcome.report(command_id, attempt) {
            None => set_stage(&transaction, command_id, Stage::Postponed).await?,
            Some(result) => {
                let update = statement(
                    "UPDATE command SET stage = 'done', outcome = ?, error = ?, retryable = ? \
                     WHERE id = ?",
                    [
                        result.status.as_str().into(),
                        result.error.clone().into(),
                        result.retryable.into(),
                        command_id.as_str().into(),
                    ],
                );
                transaction.execute_raw(update).await?;
                outbox::queue(&transaction, &result).await?;
            }
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Forgets ids that no repeat can name any more.
    pub(crate) async fn prune(&self, gateway_now: Timestamp) -> Result<(), StoreError> {
        let delete = statement(
            "DELETE FROM command WHERE expires_at_ms < ? \
             AND id NOT IN (SELECT command_id FROM outbox)",
            [gateway_now.plus_millis(-REMEMBERED_MS).millis().into()],
        );
        self.connection.execute_raw(delete).await?;
        Ok(())
    }
}

/// A command entry or item arrived.
pub(super) async fn arrive(
    transaction: &DatabaseTransaction,
    stream: &StreamName,
    body: &CommandBody,
) -> Result<(), StoreError> {
    let known = known(transaction, &body.command_id).await?;
    match inbox::arrival(known.as_ref(), body.attempt) {
        Arrival::Ignore => Ok(()),
        Arrival::Insert => insert(transaction, stream, body).await,
        Arrival::Note => {
            let update = statement(
                "UPDATE command SET attempt = max(attempt, ?) WHERE id = ?",
                [body.attempt.into(), body.command_id.as_str().into()],
            );
            transaction.execute_raw(update).await?;
            Ok(())
        }
        Arrival::Requeue => {
            let delete =
                statement("DELETE FROM command WHERE id = ?", [body.command_id.as_str().into()]);
            transaction.execute_raw(delete).await?;
            insert(transaction, stream, body).await
        }
        Arrival::Answer => answer(transaction, body).await,
    }
}

/// The gateway closed a command: it is not begun any more. One that runs at
/// this moment runs to its end; its outcome is reported and counts as late.
pub(super) async fn closed(
    transaction: &DatabaseTransaction,
    command_id: &CommandId,
) -> Result<(), StoreError> {
    let update = statement(
        "UPDATE command SET stage = 'closed' \
         WHERE id = ? AND stage IN ('waiting', 'started', 'postponed')",
        [command_id.as_str().into()],
    );
    transaction.execute_raw(update).await?;
    Ok(())
}

async fn insert(
    transaction: &DatabaseTransaction,
    stream: &StreamName,
    body: &CommandBody,
) -> Result<(), StoreError> {
    let insert = statement(
        "INSERT INTO command \
         (id, stream, arrival, attempt, data_type, value, rank, expires_at_ms, stage) \
         SELECT ?, ?, coalesce(max(arrival), 0) + 1, ?, ?, ?, ?, ?, 'waiting' FROM command",
        [
            body.command_id.as_str().into(),
            stream.as_str().into(),
            body.attempt.into(),
            body.data_type.as_str().into(),
            body.value.get().into(),
            inbox::rank(body.priority).into(),
            body.expires_at.millis().into(),
        ],
    );
    transaction.execute_raw(insert).await?;
    Ok(())
}

/// Queues the stored outcome again, for the attempt that asks.
async fn answer(transaction: &DatabaseTransaction, body: &CommandBody) -> Result<(), StoreError> {
    let select = statement(
        "SELECT outcome, error, retryable FROM command WHERE id = ?",
        [body.command_id.as_str().into()],
    );
    let Some(row) = transaction.query_one_raw(select).await? else { return Ok(()) };
    let result = CommandResult {
        command_id: body.command_id.clone(),
        attempt: Some(body.attempt),
        status: outcome_word(&text(&row, "outcome")?)?,
        error: row.try_get("", "error")?,
        retryable: row.try_get("", "retryable")?,
    };
    outbox::queue(transaction, &result).await
}

async fn known(
    transaction: &DatabaseTransaction,
    command_id: &CommandId,
) -> Result<Option<Known>, StoreError> {
    let select = statement(
        "SELECT stage, attempt, outcome, retryable FROM command WHERE id = ?",
        [command_id.as_str().into()],
    );
    let Some(row) = transaction.query_one_raw(select).await? else { return Ok(None) };
    let outcome: Option<String> = row.try_get("", "outcome")?;
    let retryable: Option<bool> = row.try_get("", "retryable")?;
    Ok(Some(Known {
        stage: stage(&row)?,
        attempt: row.try_get("", "attempt")?,
        outcome: outcome.map(|word| outcome_word(&word)).transpose()?,
        retryable: retryable.unwrap_or_default(),
    }))
}

async fn set_stage(
    transaction: &DatabaseTransaction,
    command_id: &CommandId,
    stage: Stage,
) -> Result<(), StoreError> {
    let update = statement(
        "UPDATE command SET stage = ? WHERE id = ?",
        [stage.as_str().into(), command_id.as_str().into()],
    );
    transaction.execute_raw(update).await?;
    Ok(())
}

fn read_command(row: &QueryResult) -> Result<Command, StoreError> {
    Ok(Command {
        id: CommandId::parse(&text(row, "id")?)?,
        attempt: row.try_get("", "attempt")?,
        data_type: text(row, "data_type")?,
        value: RawValue::from_string(text(row, "value")?)?,
        priority: inbox::priority(row.try_get("", "rank")?),
        expires_at: Timestamp::from_millis(row.try_get("", "expires_at_ms")?),
        resumed: stage(row)? == Stage::Started,
    })
}

fn stage(row: &QueryResult) -> Result<Stage, StoreError> {
    let word = text(row, "stage")?;
    Stage::from_word(&word).ok_or_else(|| StoreError::Damaged(format!("stage `{word}`")))
}

pub(super) fn outcome_word(word: &str) -> Result<OutcomeWord, StoreError> {
    OutcomeWord::from_word(word).ok_or_else(|| StoreError::Damaged(format!("outcome `{word}`")))
}
