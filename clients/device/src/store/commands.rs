//! The inbox: commands from their arrival until 24 h after their expiry.
//!
//! Ids are remembered for as long as a repeat may come, so that each is
//! carried out once across restarts.

use std::sync::LazyLock;

use sea_orm::{ConnectionTrait, QueryResult};
use serde_json::value::RawValue;
use tidegate_durable::WriteTransaction;
use tidegate_protocol::command::{CommandResult, Outcome as OutcomeWord, Priority};
use tidegate_protocol::entry::CommandBody;
use tidegate_protocol::id::{CommandId, StreamName};
use tidegate_protocol::limits::COMMAND_TTL_S;
use tidegate_protocol::time::Timestamp;

use crate::handler::{Command, Outcome};
use crate::inbox::{self, Arrival, Known, Stage};
use crate::push::PushedCommand;
use crate::store::{Store, StoreError, outbox, statement, text};

/// How long after its expiry an id is remembered: repeats come no later.
const REMEMBERED_MS: i64 = 24 * 60 * 60 * 1000;

/// Expired commands handled in one transaction: a user may have thousands.
const EXPIRED_AT_ONCE: u64 = 100;

/// In a column for the attempt: not known, for a push does not say.
pub(super) const NO_ATTEMPT: i32 = 0;

/// The condition on a row of the inbox for [`Stage::is_open`].
pub(super) static IS_OPEN: LazyLock<String> = LazyLock::new(|| {
    let open = Stage::ALL.into_iter().filter(|stage| stage.is_open());
    let words: Vec<_> = open.map(|stage| format!("'{}'", stage.as_str())).collect();
    format!("stage IN ({})", words.join(", "))
});

/// That the gateway closed a command.
#[derive(Debug)]
pub(super) struct Closing {
    pub(super) command_id: CommandId,
    pub(super) at: Timestamp,
}

impl Store {
    /// Takes the next command to carry out and marks it as begun: by priority,
    /// then in the order of arrival, but first those that were interrupted
    /// least: one that ends the process every time must not keep the others
    /// from being carried out. Those past their expiry stay.
    pub(crate) async fn take_next(
        &self,
        gateway_now: Timestamp,
    ) -> Result<Option<Command>, StoreError> {
        let transaction = self.begin().await?;
        let select = statement(
            "SELECT id, attempt, data_type, value, rank, expires_at_ms, stage FROM command \
             WHERE stage IN ('waiting', 'started') AND expires_at_ms > ? \
             ORDER BY interrupted, rank, arrival LIMIT 1",
            [gateway_now.millis().into()],
        );
        let row = transaction.query_one_raw(select).await?;
        let command = row.map(|row| read_command(&row)).transpose()?;
        if let Some(command) = &command {
            set_stage(&transaction, &command.id, Stage::Started).await?;
        }
        transaction.commit().await?;
        Ok(command)
    }

    /// Commands whose life ended before they had an outcome, oldest first; at
    /// most [`EXPIRED_AT_ONCE`]. `gateway_now` must be what the gateway said,
    /// not what this device's clock makes of it.
    pub(crate) async fn expired(&self, gateway_now: Timestamp) -> Result<Vec<Command>, StoreError> {
        let sql = format!(
            "SELECT id, attempt, data_type, value, rank, expires_at_ms, stage FROM command \
             WHERE {} AND expires_at_ms <= ? ORDER BY expires_at_ms LIMIT ?",
            *IS_OPEN
        );
        let select = statement(&sql, [gateway_now.millis().into(), EXPIRED_AT_ONCE.into()]);
        let rows = self.connection.query_all_raw(select).await?;
        rows.iter().map(read_command).collect()
    }

    /// Whether a command waits for an outcome of this device.
    pub(crate) async fn has_open_commands(&self) -> Result<bool, StoreError> {
        let sql = format!("SELECT 1 FROM command WHERE {} LIMIT 1", *IS_OPEN);
        let select = statement(&sql, []);
        Ok(self.connection.query_one_raw(select).await?.is_some())
    }

    /// Ends these as failed, and queues the reports; which they were. Those that
    /// the gateway closed meanwhile it knows to be over.
    pub(crate) async fn expire(&self, expired: Vec<Command>) -> Result<Vec<Command>, StoreError> {
        let transaction = self.begin().await?;
        let mut ended = Vec::with_capacity(expired.len());
        for command in expired {
            let known = known(&transaction, &command.id).await?;
            let Some(known) = known.filter(|known| known.stage.is_open()) else { continue };
            let error = match known.stage {
                Stage::Started => "expired after an interruption: it may have taken effect",
                _ => "expired before it was carried out",
            };
            let outcome = Outcome::Failed { error: error.to_owned(), retryable: false };
            if let Some(result) = outcome.report(&command.id, known.attempt) {
                settle(&transaction, &result).await?;
            }
            ended.push(command);
        }
        transaction.commit().await?;
        Ok(ended)
    }

    /// A push brought a command; what it asks for.
    pub(crate) async fn arrive_by_push(
        &self,
        command: &PushedCommand,
    ) -> Result<Arrival, StoreError> {
        let transaction = self.begin().await?;
        let arrival = arrive(&transaction, &command.stream, command.into()).await?;
        transaction.commit().await?;
        Ok(arrival)
    }

    /// Stores an outcome and queues its report, together. The report names the
    /// newest attempt known, if any: it is the one the gateway waits for.
    pub(crate) async fn finish(
        &self,
        command_id: &CommandId,
        outcome: &Outcome,
    ) -> Result<(), StoreError> {
        let transaction = self.begin().await?;
        let attempt = known(&transaction, command_id).await?.and_then(|known| known.attempt);
        match outcome.report(command_id, attempt) {
            None => postpone(&transaction, command_id).await?,
            Some(result) => settle(&transaction, &result).await?,
        }
        transaction.commit().await?;
        Ok(())
    }

    /// Forgets ids that no repeat can name any more, once they have ended here.
    /// `gateway_now` as for [`Store::expired`]: one forgotten too early would be
    /// carried out twice.
    pub(crate) async fn prune(&self, gateway_now: Timestamp) -> Result<(), StoreError> {
        let delete = statement(
            "DELETE FROM command WHERE expires_at_ms < ? AND stage IN ('done', 'closed') \
             AND id NOT IN (SELECT command_id FROM outbox)",
            [gateway_now.plus_millis(-REMEMBERED_MS).millis().into()],
        );
        let transaction = self.begin().await?;
        transaction.execute_raw(delete).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// A command as it arrives, whatever brought it.
pub(super) struct Arriving<'a> {
    command_id: &'a CommandId,
    /// `None` when a push brought it.
    attempt: Option<i32>,
    data_type: &'a str,
    value: &'a RawValue,
    priority: Priority,
    expires_at: Timestamp,
}

impl<'a> From<&'a CommandBody> for Arriving<'a> {
    fn from(body: &'a CommandBody) -> Self {
        Self {
            command_id: &body.command_id,
            attempt: Some(body.attempt),
            data_type: &body.data_type,
            value: &body.value,
            priority: body.priority,
            expires_at: body.expires_at,
        }
    }
}

impl<'a> From<&'a PushedCommand> for Arriving<'a> {
    fn from(command: &'a PushedCommand) -> Self {
        Self {
            command_id: &command.id,
            attempt: None,
            data_type: &command.data_type,
            value: &command.value,
            priority: Priority::Normal,
            expires_at: command.expires_at,
        }
    }
}

/// A command arrived.
pub(super) async fn arrive(
    transaction: &WriteTransaction,
    stream: &StreamName,
    command: Arriving<'_>,
) -> Result<Arrival, StoreError> {
    let known = known(transaction, command.command_id).await?;
    let arrival = inbox::arrival(known.as_ref(), command.attempt);
    match arrival {
        Arrival::Ignore | Arrival::LookUp => {}
        Arrival::Insert => insert(transaction, stream, &command).await?,
        Arrival::Note => note_attempt(transaction, &command).await?,
        Arrival::Requeue => {
            let delete =
                statement("DELETE FROM command WHERE id = ?", [command.command_id.as_str().into()]);
            transaction.execute_raw(delete).await?;
            insert(transaction, stream, &command).await?;
        }
        Arrival::Answer => {
            note_attempt(transaction, &command).await?;
            answer(transaction, &command).await?;
        }
    }
    Ok(arrival)
}

/// The gateway closed a command: it is not begun any more. One that runs at
/// this moment runs to its end; its outcome is reported and counts as late.
///
/// A command never heard of is remembered too: it was left out of the stream
/// because it was final, but a push that brings it may be under way.
pub(super) async fn closed(
    transaction: &WriteTransaction,
    stream: &StreamName,
    closing: &Closing,
) -> Result<(), StoreError> {
    let sql = format!(
        "INSERT INTO command \
         (id, stream, arrival, attempt, data_type, value, rank, expires_at_ms, stage) \
         VALUES (?, ?, 0, ?, '', 'null', 0, ?, 'closed') \
         ON CONFLICT (id) DO UPDATE SET stage = 'closed' WHERE {}",
        *IS_OPEN
    );
    let upsert = statement(
        &sql,
        [
            closing.command_id.as_str().into(),
            stream.as_str().into(),
            NO_ATTEMPT.into(),
            closing.at.plus_millis(COMMAND_TTL_S.end() * 1000).millis().into(),
        ],
    );
    transaction.execute_raw(upsert).await?;
    Ok(())
}

async fn insert(
    transaction: &WriteTransaction,
    stream: &StreamName,
    command: &Arriving<'_>,
) -> Result<(), StoreError> {
    let insert = statement(
        "INSERT INTO command \
         (id, stream, arrival, attempt, data_type, value, rank, expires_at_ms, stage) \
         SELECT ?, ?, coalesce(max(arrival), 0) + 1, ?, ?, ?, ?, ?, 'waiting' FROM command",
        [
            command.command_id.as_str().into(),
            stream.as_str().into(),
            command.attempt.unwrap_or(NO_ATTEMPT).into(),
            command.data_type.into(),
            command.value.get().into(),
            inbox::rank(command.priority).into(),
            command.expires_at.millis().into(),
        ],
    );
    transaction.execute_raw(insert).await?;
    Ok(())
}

async fn note_attempt(
    transaction: &WriteTransaction,
    command: &Arriving<'_>,
) -> Result<(), StoreError> {
    let update = statement(
        "UPDATE command SET attempt = max(attempt, ?) WHERE id = ?",
        [command.attempt.unwrap_or(NO_ATTEMPT).into(), command.command_id.as_str().into()],
    );
    transaction.execute_raw(update).await?;
    Ok(())
}

/// Queues the stored outcome again, for the attempt that asks.
async fn answer(transaction: &WriteTransaction, command: &Arriving<'_>) -> Result<(), StoreError> {
    let select = statement(
        "SELECT outcome, error, retryable FROM command WHERE id = ?",
        [command.command_id.as_str().into()],
    );
    let Some(row) = transaction.query_one_raw(select).await? else { return Ok(()) };
    let result = CommandResult {
        command_id: command.command_id.clone(),
        attempt: command.attempt,
        status: outcome_word(&text(&row, "outcome")?)?,
        error: row.try_get("", "error")?,
        retryable: row.try_get("", "retryable")?,
    };
    outbox::queue(transaction, &result).await
}

async fn known(
    transaction: &WriteTransaction,
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
        attempt: attempt(&row)?,
        outcome: outcome.map(|word| outcome_word(&word)).transpose()?,
        retryable: retryable.unwrap_or_default(),
    }))
}

/// Stores an outcome and queues its report.
async fn settle(transaction: &WriteTransaction, result: &CommandResult) -> Result<(), StoreError> {
    let update = statement(
        "UPDATE command SET stage = 'done', outcome = ?, error = ?, retryable = ? WHERE id = ?",
        [
            result.status.as_str().into(),
            result.error.clone().into(),
            result.retryable.into(),
            result.command_id.as_str().into(),
        ],
    );
    transaction.execute_raw(update).await?;
    outbox::queue(transaction, result).await
}

/// Unless the gateway closed it while the app was asked.
async fn postpone(
    transaction: &WriteTransaction,
    command_id: &CommandId,
) -> Result<(), StoreError> {
    let update = statement(
        "UPDATE command SET stage = 'postponed' WHERE id = ? AND stage = 'started'",
        [command_id.as_str().into()],
    );
    transaction.execute_raw(update).await?;
    Ok(())
}

async fn set_stage(
    transaction: &WriteTransaction,
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
        attempt: attempt(row)?,
        data_type: text(row, "data_type")?,
        value: RawValue::from_string(text(row, "value")?)?,
        priority: inbox::priority(row.try_get("", "rank")?),
        expires_at: Timestamp::from_millis(row.try_get("", "expires_at_ms")?),
        resumed: stage(row)? == Stage::Started,
    })
}

/// The attempt in a row of the inbox or the outbox.
pub(super) fn attempt(row: &QueryResult) -> Result<Option<i32>, StoreError> {
    let attempt: i32 = row.try_get("", "attempt")?;
    Ok(Some(attempt).filter(|attempt| *attempt != NO_ATTEMPT))
}

fn stage(row: &QueryResult) -> Result<Stage, StoreError> {
    let word = text(row, "stage")?;
    Stage::from_word(&word).ok_or_else(|| StoreError::Damaged(format!("stage `{word}`")))
}

pub(super) fn outcome_word(word: &str) -> Result<OutcomeWord, StoreError> {
    OutcomeWord::from_word(word).ok_or_else(|| StoreError::Damaged(format!("outcome `{word}`")))
}
