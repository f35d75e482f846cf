//! What the app does: carries out commands and takes over changes.

use std::future::Future;

use serde_json::value::RawValue;
use tidegate_protocol::command::{CommandResult, Outcome as OutcomeWord, Priority, ResultAnswer};
use tidegate_protocol::id::{CommandId, StreamName};
use tidegate_protocol::limits::RESULT_ERROR_BYTES;
use tidegate_protocol::time::Timestamp;

/// A write that the backend wants this device to perform.
#[derive(Clone, Debug)]
pub struct Command {
    /// Its id: carried out once per device under this id.
    pub id: CommandId,
    /// The attempt, from 1; raised by a retry. `None`: it came by push, which
    /// does not say.
    pub attempt: Option<i32>,
    /// What to write, in the app's words.
    pub data_type: String,
    /// The payload, as the backend sent it.
    pub value: Box<RawValue>,
    /// The order of execution; earlier ones first within the same priority.
    pub priority: Priority,
    /// Never carried out past this, by the gateway's clock.
    pub expires_at: Timestamp,
    /// An earlier execution began and the process ended before its outcome was
    /// stored. It may have taken effect or not: look before writing again.
    pub resumed: bool,
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Carried out.
    Applied,
    /// Refused for good.
    Rejected {
        /// Why, in words for the backend's timeline.
        error: String,
    },
    /// Could not be carried out.
    Failed {
        /// Why.
        error: String,
        /// Whether another attempt may succeed; the gateway then sends one.
        retryable: bool,
    },
    /// Not now (a locked phone, a missing permission that the user is asked
    /// for): nothing is reported. Tried again when the gateway sends another
    /// attempt, or at the next start.
    Postponed,
}

impl Outcome {
    /// The row to report; `None` when there is nothing to report. Without an
    /// attempt it answers the gateway's current one.
    pub fn report(&self, command_id: &CommandId, attempt: Option<i32>) -> Option<CommandResult> {
        let (status, error, retryable) = match self {
            Self::Applied => (OutcomeWord::Applied, None, None),
            Self::Rejected { error } => (OutcomeWord::Rejected, Some(bounded(error)), None),
            Self::Failed { error, retryable } => {
                (OutcomeWord::Failed, Some(bounded(error)), Some(*retryable))
            }
            Self::Postponed => return None,
        };
        let command_id = command_id.clone();
        Some(CommandResult { command_id, attempt, status, error, retryable })
    }
}

/// Makes an error text what the protocol carries: cut between characters, and
/// without U+0000, for which the gateway would close the session each time.
fn bounded(error: &str) -> String {
    error[..error.floor_char_boundary(RESULT_ERROR_BYTES)].replace('\0', " ")
}

/// One change to the replica.
#[derive(Clone, Debug)]
pub struct Change {
    /// `record`, `skill`, `daily_entry`, …
    pub kind: String,
    /// The collection; empty for kinds that have none.
    pub collection: String,
    /// The id in its collection.
    pub id: String,
    /// The version after the change; 0 for kinds without versions.
    pub version: i64,
    /// The whole value after the change; `None`: deleted.
    pub data: Option<Box<RawValue>>,
}

/// The app could not take changes over. The device connects again later and
/// hands them over anew.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the app did not take the changes: {0}")]
pub struct HandlerError(pub String);

/// Who said a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The gateway.
    FromGateway,
    /// This device.
    FromDevice,
}

/// The app's side of the device.
///
/// Runs on the task that drives the device: do blocking work elsewhere
/// (`spawn_blocking`), or heartbeats are missed.
pub trait Handler: Send + Sync {
    /// Carries out one command. One runs at a time, by priority, then in the
    /// stream's order.
    ///
    /// The outcome is stored before it is reported, and a repeat is answered
    /// from the store. What no client can promise is the moment between the
    /// effect and storing its outcome: a process killed there runs the command
    /// again, with [`Command::resumed`] set.
    fn execute(&self, command: &Command) -> impl Future<Output = Outcome> + Send;

    /// A command's life ended, by the gateway's clock, before it was carried
    /// out: the phone was away or off. It is reported as failed and never
    /// carried out. With [`Command::resumed`] it was begun, and may have taken
    /// effect. At most once: told when it is durable, so a process or a run that
    /// ends just then does not tell it.
    fn on_expired(&self, command: &Command) {
        let _ = command;
    }

    /// Takes over changes in their order, before the cursor moves past them.
    /// At least once: after a crash the same ones may come again, with the
    /// same versions.
    fn on_changes(
        &self,
        stream: &StreamName,
        changes: &[Change],
    ) -> impl Future<Output = Result<(), HandlerError>> + Send {
        let _ = (stream, changes);
        async { Ok(()) }
    }

    /// Takes over the complete state of a stream: what is not in it is gone.
    /// Before the cursor is set, at least once.
    fn on_snapshot(
        &self,
        stream: &StreamName,
        items: &[Change],
    ) -> impl Future<Output = Result<(), HandlerError>> + Send {
        let _ = (stream, items);
        async { Ok(()) }
    }

    /// The gateway has an outcome; it will not be sent again.
    fn on_confirmed(&self, answer: &ResultAnswer) {
        let _ = answer;
    }

    /// Sees every frame, for transcripts. Tokens are blanked.
    fn on_frame(&self, direction: Direction, frame: &str) {
        let _ = (direction, frame);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_errors_are_cut_between_characters() {
        let error = "é".repeat(RESULT_ERROR_BYTES);
        let outcome = Outcome::Failed { error: format!("x{error}"), retryable: true };
        let report = outcome.report(&CommandId::generate(), Some(1)).unwrap();
        assert_eq!(report.error.unwrap().len(), RESULT_ERROR_BYTES - 1);
        assert_eq!(Outcome::Postponed.report(&CommandId::generate(), None), None);
    }
}
