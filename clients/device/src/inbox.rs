//! What to do with a command that arrives: pure rules, no storage.
//!
//! Owns the rule that an id is carried out once. The inbox itself is a table
//! of the store.

use tidegate_protocol::command::{Outcome as OutcomeWord, Priority};

/// Where a command stands on this device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Durable here, not begun.
    Waiting,
    /// Begun. Found so at the start, it was interrupted and runs again.
    Started,
    /// The app could not do it now.
    Postponed,
    /// Its outcome is stored.
    Done,
    /// Closed by the gateway, or expired, without an outcome of this device.
    Closed,
}

impl Stage {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Started => "started",
            Self::Postponed => "postponed",
            Self::Done => "done",
            Self::Closed => "closed",
        }
    }

    pub(crate) fn from_word(word: &str) -> Option<Self> {
        let all = [Self::Waiting, Self::Started, Self::Postponed, Self::Done, Self::Closed];
        all.into_iter().find(|stage| stage.as_str() == word)
    }
}

/// A command already in the inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) stage: Stage,
    pub(crate) attempt: i32,
    /// With [`Stage::Done`].
    pub(crate) outcome: Option<OutcomeWord>,
    pub(crate) retryable: bool,
}

/// What an arriving command entry or item asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Put it into the inbox.
    Insert,
    /// It is there and has no outcome yet: note the newer attempt.
    Note,
    /// Carry it out again: the last outcome was not final.
    Requeue,
    /// Report the stored outcome again, for this attempt.
    Answer,
    /// Nothing.
    Ignore,
}

pub(crate) fn arrival(known: Option<&Known>, attempt: i32) -> Arrival {
    let Some(known) = known else { return Arrival::Insert };
    let is_newer = attempt > known.attempt;
    match known.stage {
        Stage::Waiting | Stage::Started => Arrival::Note,
        Stage::Postponed if is_newer => Arrival::Requeue,
        Stage::Postponed | Stage::Closed => Arrival::Ignore,
        Stage::Done => {
            let asked_to_retry = known.outcome == Some(OutcomeWord::Failed) && known.retryable;
            if asked_to_retry && is_newer { Arrival::Requeue } else { Arrival::Answer }
        }
    }
}

/// The order of execution: lower first.
pub(crate) const fn rank(priority: Priority) -> i64 {
    match priority {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
    }
}

/// The priority with this rank.
pub(crate) const fn priority(rank: i64) -> Priority {
    match rank {
        0 => Priority::High,
        1 => Priority::Normal,
        _ => Priority::Low,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(stage: Stage, outcome: Option<OutcomeWord>, retryable: bool) -> Known {
        Known { stage, attempt: 1, outcome, retryable }
    }

    #[test]
    fn only_a_retryable_failure_runs_again() {
        let done = |outcome, retryable| known(Stage::Done, Some(outcome), retryable);
        assert_eq!(arrival(None, 1), Arrival::Insert);
        assert_eq!(arrival(Some(&done(OutcomeWord::Applied, false)), 2), Arrival::Answer);
        assert_eq!(arrival(Some(&done(OutcomeWord::Rejected, false)), 2), Arrival::Answer);
        assert_eq!(arrival(Some(&done(OutcomeWord::Failed, false)), 2), Arrival::Answer);
        assert_eq!(arrival(Some(&done(OutcomeWord::Failed, true)), 2), Arrival::Requeue);
        assert_eq!(arrival(Some(&done(OutcomeWord::Failed, true)), 1), Arrival::Answer);
    }

    #[test]
    fn a_closed_command_never_comes_back() {
        assert_eq!(arrival(Some(&known(Stage::Closed, None, false)), 5), Arrival::Ignore);
        assert_eq!(arrival(Some(&known(Stage::Waiting, None, false)), 2), Arrival::Note);
        assert_eq!(arrival(Some(&known(Stage::Postponed, None, false)), 1), Arrival::Ignore);
        assert_eq!(arrival(Some(&known(Stage::Postponed, None, false)), 2), Arrival::Requeue);
    }
}
