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
    /// Closed by the gateway, without an outcome of this device.
    Closed,
}

impl Stage {
    pub(crate) const ALL: [Self; 5] =
        [Self::Waiting, Self::Started, Self::Postponed, Self::Done, Self::Closed];

    /// Whether it has no outcome yet and is not closed.
    pub(crate) const fn is_open(self) -> bool {
        matches!(self, Self::Waiting | Self::Started | Self::Postponed)
    }

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
        Self::ALL.into_iter().find(|stage| stage.as_str() == word)
    }
}

/// A command already in the inbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) stage: Stage,
    /// `None` when it came by push only, which does not say.
    pub(crate) attempt: Option<i32>,
    /// With [`Stage::Done`].
    pub(crate) outcome: Option<OutcomeWord>,
    pub(crate) retryable: bool,
}

/// What an arriving command asks for, whatever brought it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Put it into the inbox.
    Insert,
    /// It is there and has nothing to report: note the newer attempt.
    Note,
    /// Carry it out again: the last outcome was not final.
    Requeue,
    /// Report the stored outcome again, for this attempt.
    Answer,
    /// Nothing: the gateway closed it.
    Ignore,
    /// Ask the stream: a push does not say whether it is for another attempt.
    LookUp,
}

/// `attempt` is `None` for a command in a push. The first number that an entry
/// then names is taken for the attempt that the push was about.
pub(crate) fn arrival(known: Option<&Known>, attempt: Option<i32>) -> Arrival {
    let Some(known) = known else { return Arrival::Insert };
    let is_newer = match (attempt, known.attempt) {
        (Some(attempt), Some(known)) => attempt > known,
        _ => false,
    };
    let may_run_again = match known.stage {
        Stage::Waiting | Stage::Started => return Arrival::Note,
        Stage::Closed => return Arrival::Ignore,
        Stage::Postponed => true,
        Stage::Done => known.outcome == Some(OutcomeWord::Failed) && known.retryable,
    };
    match known.stage {
        _ if may_run_again && is_newer => Arrival::Requeue,
        _ if may_run_again && attempt.is_none() => Arrival::LookUp,
        Stage::Postponed => Arrival::Note,
        _ => Arrival::Answer,
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
        Known { stage, attempt: Some(1), outcome, retryable }
    }

    fn done(outcome: OutcomeWord, retryable: bool) -> Known {
        known(Stage::Done, Some(outcome), retryable)
    }

    #[test]
    fn only_a_retryable_failure_runs_again() {
        let again = |known: &Known, attempt| arrival(Some(known), Some(attempt));
        assert_eq!(arrival(None, Some(1)), Arrival::Insert);
        assert_eq!(again(&done(OutcomeWord::Applied, false), 2), Arrival::Answer);
        assert_eq!(again(&done(OutcomeWord::Rejected, false), 2), Arrival::Answer);
        assert_eq!(again(&done(OutcomeWord::Failed, false), 2), Arrival::Answer);
        assert_eq!(again(&done(OutcomeWord::Failed, true), 2), Arrival::Requeue);
        assert_eq!(again(&done(OutcomeWord::Failed, true), 1), Arrival::Answer);
    }

    #[test]
    fn a_closed_command_never_comes_back() {
        let again = |stage, attempt| arrival(Some(&known(stage, None, false)), attempt);
        assert_eq!(again(Stage::Closed, Some(5)), Arrival::Ignore);
        assert_eq!(again(Stage::Closed, None), Arrival::Ignore);
        assert_eq!(again(Stage::Waiting, Some(2)), Arrival::Note);
        assert_eq!(again(Stage::Postponed, Some(1)), Arrival::Note);
        assert_eq!(again(Stage::Postponed, Some(2)), Arrival::Requeue);
    }

    /// A push is a repeat unless the stream says that it is another attempt.
    #[test]
    fn a_push_never_runs_a_command_a_second_time() {
        let pushed = |known: &Known| arrival(Some(known), None);
        assert_eq!(arrival(None, None), Arrival::Insert);
        assert_eq!(pushed(&known(Stage::Started, None, false)), Arrival::Note);
        assert_eq!(pushed(&done(OutcomeWord::Applied, false)), Arrival::Answer);
        assert_eq!(pushed(&done(OutcomeWord::Failed, true)), Arrival::LookUp);
        assert_eq!(pushed(&known(Stage::Postponed, None, false)), Arrival::LookUp);
    }

    /// What a push brought is the attempt that the stream names first.
    #[test]
    fn the_first_numbered_attempt_is_that_of_the_push() {
        let by_push = |known: Known| Known { attempt: None, ..known };
        let again = |known: Known| arrival(Some(&by_push(known)), Some(1));
        assert_eq!(again(done(OutcomeWord::Failed, true)), Arrival::Answer);
        assert_eq!(again(known(Stage::Postponed, None, false)), Arrival::Note);
    }
}
