//! A handler for people: prints frames and answers commands as it was told.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use tidegate_device::handler::{Change, Command, Direction, Handler, HandlerError, Outcome};
use tidegate_protocol::command::ResultAnswer;
use tidegate_protocol::id::{CommandId, StreamName};
use tokio_util::sync::CancellationToken;

use crate::cli::health;

/// How to answer commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Answer {
    /// Carried out.
    #[default]
    Applied,
    /// Refused for good.
    Rejected,
    /// Could not be carried out; another attempt may succeed.
    Failed,
    /// No answer.
    None,
}

/// Prints to standard output.
#[derive(Debug)]
pub(crate) struct Console {
    answer: Answer,
    until_commands: Option<usize>,
    counted: Mutex<BTreeSet<String>>,
    done: CancellationToken,
}

impl Console {
    pub(crate) fn new(
        answer: Answer,
        until_commands: Option<usize>,
        done: CancellationToken,
    ) -> Self {
        Self { answer, until_commands, counted: Mutex::default(), done }
    }

    /// Whether as many commands came as were asked for.
    pub(crate) fn is_complete(&self) -> bool {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner).len();
        self.until_commands.is_none_or(|wanted| counted >= wanted)
    }

    fn count(&self, command_id: &CommandId) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.insert(command_id.to_string());
        drop(counted);
        if self.until_commands.is_some() && self.is_complete() {
            self.done.cancel();
        }
    }

    /// Health data is for people; of other changes the frame says enough.
    fn show(&self, changes: &[Change]) {
        for line in changes.iter().filter_map(health::line) {
            self.print(format_args!("device: {line}"));
        }
    }

    fn print(&self, line: std::fmt::Arguments<'_>) {
        // Whoever read the output went away (`| head`): nothing is left to do.
        if writeln!(std::io::stdout().lock(), "{line}").is_err() {
            self.done.cancel();
        }
    }
}

impl Handler for Console {
    async fn execute(&self, command: &Command) -> Outcome {
        self.print(format_args!(
            "device: {} {} ({}{}) {}",
            match self.answer {
                Answer::Applied => "applies",
                Answer::Rejected => "rejects",
                Answer::Failed => "fails",
                Answer::None => "leaves",
            },
            command.data_type,
            command.attempt.map_or_else(|| "by push".to_owned(), |n| format!("attempt {n}")),
            if command.resumed { ", resumed" } else { "" },
            command.value,
        ));
        match self.answer {
            Answer::Applied => Outcome::Applied,
            Answer::Rejected => Outcome::Rejected { error: "asked to reject".to_owned() },
            Answer::Failed => {
                Outcome::Failed { error: "asked to fail".to_owned(), retryable: true }
            }
            Answer::None => {
                self.count(&command.id);
                Outcome::Postponed
            }
        }
    }

    fn on_expired(&self, command: &Command) {
        self.print(format_args!("device: finds {} {} expired", command.data_type, command.id));
    }

    async fn on_changes(&self, _: &StreamName, changes: &[Change]) -> Result<(), HandlerError> {
        self.show(changes);
        Ok(())
    }

    async fn on_snapshot(&self, _: &StreamName, items: &[Change]) -> Result<(), HandlerError> {
        self.show(items);
        Ok(())
    }

    fn on_confirmed(&self, answer: &ResultAnswer) {
        self.count(&answer.command_id);
    }

    fn on_frame(&self, direction: Direction, frame: &str) {
        #[derive(Deserialize)]
        struct Head<'a> {
            #[serde(rename = "type", borrow)]
            frame_type: std::borrow::Cow<'a, str>,
        }
        let head = serde_json::from_str::<Head<'_>>(frame).ok();
        let frame_type = head.as_ref().map_or("?", |head| head.frame_type.as_ref());
        let who = match direction {
            Direction::FromGateway => "gateway",
            Direction::FromDevice => "device",
        };
        self.print(format_args!("{who} -> {frame_type} {frame}"));
    }
}
