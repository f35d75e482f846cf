//! Outcomes that devices report.

use tidegate_entity::{command, command_outcome, device};
use tidegate_protocol::code::ErrorCode;
use tidegate_protocol::command::{CommandResult, CommandStatus, Outcome, ResultAnswer};
use tidegate_protocol::limits::COMMAND_ATTEMPTS;

use crate::error::ApiResult;
use crate::ingest::IngestOptions;
use crate::ingest::commands::lifecycle::{self, Decision};
use crate::ingest::commands::{Report, is_eligible};
use crate::ingest::unit::{ReadSet, UnitOfWork, user_stream};
use crate::ingest::write::Write;
use crate::store::command::{Command, Wanted};
use crate::store::device::DeviceKey;

/// Judges each outcome; a row for each, in order.
impl Write for Report {
    type Draft = Vec<ResultAnswer>;
    type Answer = Vec<ResultAnswer>;

    const HEARS_FIRST: bool = true;

    fn weight(&self) -> usize {
        self.results.len()
    }

    fn reads(&self, reads: &mut ReadSet, _: &IngestOptions) {
        let user_id = self.user_id.as_str().to_owned();
        reads.streams.insert(user_stream(&user_id));
        reads.rows.want::<device::Entity>(crate::store::device::Wanted::Of { user_id });
        for result in &self.results {
            let id = result.command_id.as_str().to_owned();
            reads.rows.want::<command::Entity>(Wanted::Id(id));
        }
    }

    fn decide(&self, unit: &mut UnitOfWork) -> ApiResult<Vec<ResultAnswer>> {
        let statuses: Vec<Outcome> = self.results.iter().map(|result| result.status).collect();
        unit.after_commit(move |metrics| {
            for status in statuses {
                metrics.results.of(status).inc();
            }
        });
        Ok(self.results.iter().map(|result| one(unit, self, result)).collect())
    }

    fn answer(&self, _: &mut UnitOfWork, rows: Vec<ResultAnswer>) -> ApiResult<Vec<ResultAnswer>> {
        Ok(rows)
    }
}

fn one(unit: &mut UnitOfWork, report: &Report, result: &CommandResult) -> ResultAnswer {
    let id = result.command_id.as_str().to_owned();
    let refuse = |error| ResultAnswer {
        command_id: result.command_id.clone(),
        status: result.status.status(),
        accepted: false,
        error: Some(error),
    };
    let Some(command) = unit.command(&id).filter(|command| is_for(command, report)) else {
        return refuse(ErrorCode::NotFound);
    };
    let attempt = result.attempt.unwrap_or(command.row.attempt);
    if !(1..=command.row.attempt).contains(&attempt) {
        return refuse(ErrorCode::Invalid);
    }
    lifecycle::expire_if_over(unit, &id);
    if !unit.command(&id).is_some_and(|known| is_resend(known, report, result, attempt)) {
        record(unit, report, result, attempt);
    }
    unit.command(&id).map_or_else(|| refuse(ErrorCode::NotFound), |known| answer(known, result))
}

fn is_for(state: &Command, report: &Report) -> bool {
    state.row.user_id == report.user_id.as_str()
        && state.row.device_id.as_ref().is_none_or(|id| id == report.device_id.as_str())
}

fn is_resend(state: &Command, report: &Report, result: &CommandResult, attempt: i32) -> bool {
    state.outcomes.iter().any(|known| {
        known.device_id == report.device_id.as_str()
            && known.attempt == attempt
            && known.status == result.status
    })
}

/// Notes a new outcome and lets it take effect.
fn record(unit: &mut UnitOfWork, report: &Report, result: &CommandResult, attempt: i32) {
    let id = result.command_id.as_str().to_owned();
    let now = unit.now.millis();
    let key = DeviceKey {
        user_id: report.user_id.as_str().to_owned(),
        device_id: report.device_id.as_str().to_owned(),
    };
    let Some(state) = unit.command(&id) else { return };
    // One that cannot carry it out does not speak for those that can.
    let is_eligible = unit.device(&key).is_some_and(|device| is_eligible(&state.row, device));
    let Some(state) = unit.edit_command(&id) else { return };
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
        command_id: id.clone(),
        device_id: report.device_id.as_str().to_owned(),
        attempt,
        status: result.status,
        error: result.error.clone(),
        settles,
        late: !counts,
        channel: report.channel,
        at: now,
    };
    state.outcomes.push(outcome);
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
        lifecycle::close(unit, &id, CommandStatus::Applied, Some(decision));
    } else if wants_retry {
        lifecycle::retry(unit, &id);
    } else {
        lifecycle::close_if_settled(unit, &id, report.channel);
    }
}

/// The standing final status, or while there is none the one reported.
fn answer(state: &Command, result: &CommandResult) -> ResultAnswer {
    let reported = result.status.status();
    let status = if state.row.open { reported } else { state.row.status };
    ResultAnswer {
        command_id: result.command_id.clone(),
        status,
        accepted: status == reported,
        error: None,
    }
}
