//! Outcomes that devices report.

use tidegate_entity::command_outcome;
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::command::{CommandResult, CommandStatus, Outcome, ResultAnswer};
use tidegate_protocol::limits::COMMAND_ATTEMPTS;

use crate::ingest::decide::lifecycle::{self, Decision};
use crate::ingest::job::Report;
use crate::ingest::working::{CommandState, Working, is_eligible};

/// Judges a device's outcomes; a row for each, in order.
pub(super) fn report(working: &mut Working, report: &Report) -> Vec<ResultAnswer> {
    report.results.iter().map(|result| one(working, report, result)).collect()
}

fn one(working: &mut Working, report: &Report, result: &CommandResult) -> ResultAnswer {
    let id = result.command_id.as_str();
    let refuse = |error| ResultAnswer {
        command_id: result.command_id.clone(),
        status: result.status.status(),
        accepted: false,
        error: Some(error),
    };
    let Some(state) = working.commands.get(id).filter(|state| is_for(state, report)) else {
        return refuse(ErrorCode::NotFound);
    };
    let attempt = result.attempt.unwrap_or(state.row.attempt);
    if !(1..=state.row.attempt).contains(&attempt) {
        return refuse(ErrorCode::Invalid);
    }
    lifecycle::expire_if_over(working, id);
    if !is_resend(&working.commands[id], report, result, attempt) {
        record(working, report, result, attempt);
    }
    answer(&working.commands[id], result)
}

fn is_for(state: &CommandState, report: &Report) -> bool {
    state.row.user_id == report.user_id.as_str()
        && state.row.device_id.as_ref().is_none_or(|id| id == report.device_id.as_str())
}

fn is_resend(state: &CommandState, report: &Report, result: &CommandResult, attempt: i32) -> bool {
    state.outcomes.iter().any(|known| {
        known.device_id == report.device_id.as_str()
            && known.attempt == attempt
            && known.status == result.status.as_str()
    })
}

/// Notes a new outcome and lets it take effect.
fn record(working: &mut Working, report: &Report, result: &CommandResult, attempt: i32) {
    let id = result.command_id.as_str();
    let device = working
        .devices
        .get(report.user_id.as_str())
        .and_then(|devices| devices.get(report.device_id.as_str()));
    let Some(state) = working.commands.get_mut(id) else { return };
    // One that cannot carry it out does not speak for those that can.
    let is_eligible = device.is_some_and(|device| is_eligible(&state.row, device));
    let is_current = attempt == state.row.attempt;
    let is_applied = result.status == Outcome::Applied;
    let has_settled = state
        .outcomes
        .iter()
        .any(|known| known.settles && known.device_id == report.device_id.as_str());
    let counts = state.row.open && (is_applied || (is_current && is_eligible && !has_settled));
    let wants_retry = result.status == Outcome::Failed
        && result.retryable == Some(true)
        && state.row.attempt < COMMAND_ATTEMPTS;
    let settles = counts && !is_applied && !wants_retry;
    let outcome = command_outcome::Model {
        command_id: id.to_owned(),
        device_id: report.device_id.as_str().to_owned(),
        attempt,
        status: result.status.as_str().to_owned(),
        error: result.error.clone(),
        settles,
        late: !counts,
        channel: report.channel.as_str().to_owned(),
        at: working.now.millis(),
    };
    state.outcomes.push(outcome.clone());
    working.changes.outcomes.push(outcome);
    if !counts {
        return;
    }
    if is_applied {
        let decision = Decision {
            device_id: report.device_id.as_str().to_owned(),
            attempt,
            error: result.error.clone(),
            channel: report.channel,
        };
        lifecycle::close(working, id, CommandStatus::Applied, Some(decision));
    } else if wants_retry {
        lifecycle::retry(working, id);
    } else {
        lifecycle::close_if_settled(working, id, report.channel);
    }
}

/// The standing final status, or while there is none the one reported.
fn answer(state: &CommandState, result: &CommandResult) -> ResultAnswer {
    let reported = result.status.status();
    let standing = CommandStatus::from_word(&state.row.status).filter(|_| !state.row.open);
    let status = standing.unwrap_or(reported);
    ResultAnswer {
        command_id: result.command_id.clone(),
        status,
        accepted: status == reported,
        error: None,
    }
}
