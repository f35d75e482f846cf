//! Commands as the API shows them, with their timelines.

use std::collections::HashMap;

use tidegate_entity::{command, command_delivery, command_event, command_outcome};
use tidegate_protocol::command::{Channel, CommandStatus, TimelineEvent};
use tidegate_protocol::id::{CommandId, DeviceId, Seq, StreamName, UserId};
use tidegate_protocol::rest::history::{CommandOutcome, CommandView, TimelineRow};
use tidegate_protocol::time::Timestamp;

use crate::error::{ApiError, ApiResult};
use crate::ingest::commands::status_at;
use crate::state::AppState;
use crate::store;

/// The commands with what happened to them.
pub(super) async fn with_timelines(
    state: &AppState,
    rows: Vec<command::Model>,
) -> ApiResult<Vec<CommandView>> {
    let ids: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
    let db = state.store.readers();
    let events = store::event::of_commands(db, &ids).await;
    let deliveries = store::delivery::of_commands(db, &ids).await;
    let outcomes = store::outcome::of_commands(db, &ids).await;
    let mut timelines: HashMap<String, Vec<TimelineRow>> = HashMap::new();
    for event in events.map_err(|error| ApiError::internal(&error))? {
        let timeline = timelines.entry(event.command_id.clone()).or_default();
        timeline.push(event_row(event));
    }
    for delivery in deliveries.map_err(|error| ApiError::internal(&error))? {
        let timeline = timelines.entry(delivery.command_id.clone()).or_default();
        timeline.extend(delivery_rows(&delivery));
    }
    for outcome in outcomes.map_err(|error| ApiError::internal(&error))? {
        let timeline = timelines.entry(outcome.command_id.clone()).or_default();
        timeline.push(outcome_row(outcome));
    }
    let now = state.clock.now();
    rows.into_iter()
        .map(|row| {
            let timeline = timelines.remove(&row.id).unwrap_or_default();
            view(row, timeline, now)
                .ok_or_else(|| ApiError::internal(&"a stored command is broken"))
        })
        .collect()
}

fn event_row(event: command_event::Model) -> TimelineRow {
    TimelineRow {
        at: Timestamp::from_millis(event.at),
        event: event.event,
        channel: event.channel,
        device_id: event.device_id.as_deref().and_then(|id| DeviceId::parse(id).ok()),
        status: None,
        late: None,
        detail: event.detail,
    }
}

fn delivery_rows(delivery: &command_delivery::Model) -> impl Iterator<Item = TimelineRow> {
    let steps = [
        (TimelineEvent::Sent, Some(Channel::Socket), delivery.socket_at),
        (TimelineEvent::Sent, Some(Channel::Poll), delivery.poll_at),
        (TimelineEvent::Acked, None, delivery.acked_at),
    ];
    steps.into_iter().filter_map(|(event, channel, at)| {
        Some(TimelineRow {
            at: Timestamp::from_millis(at?),
            event,
            channel,
            device_id: DeviceId::parse(&delivery.device_id).ok(),
            status: None,
            late: None,
            detail: (delivery.attempt > 1).then(|| format!("attempt {}", delivery.attempt)),
        })
    })
}

fn outcome_row(outcome: command_outcome::Model) -> TimelineRow {
    let attempt = (outcome.attempt > 1).then(|| format!("attempt {}", outcome.attempt));
    let detail = match (attempt, outcome.error) {
        (Some(attempt), Some(error)) => Some(format!("{attempt}: {error}")),
        (attempt, error) => attempt.or(error),
    };
    TimelineRow {
        at: Timestamp::from_millis(outcome.at),
        event: TimelineEvent::Result,
        channel: Some(outcome.channel),
        device_id: DeviceId::parse(&outcome.device_id).ok(),
        status: Some(outcome.status.status()),
        late: outcome.late.then_some(true),
        detail,
    }
}

/// `None` if a stored value is not what the gateway writes.
fn view(row: command::Model, events: Vec<TimelineRow>, now: Timestamp) -> Option<CommandView> {
    let is_sent = events.iter().any(|event| event.event == TimelineEvent::Sent);
    let status = match status_at(&row, now) {
        CommandStatus::Pending if is_sent => CommandStatus::Sent,
        status => status,
    };
    let user_id = UserId::parse(&row.user_id).ok()?;
    let device_id = row.decided_by.as_deref().and_then(|id| DeviceId::parse(id).ok());
    let result = device_id.map(|device_id| CommandOutcome {
        device_id,
        attempt: row.decided_attempt.unwrap_or(1),
        status,
        error: row.decided_error.clone(),
    });
    Some(CommandView {
        command_id: CommandId::parse(&row.id).ok()?,
        stream: StreamName::of_user(&user_id),
        user_id,
        device_id: row.device_id.as_deref().and_then(|id| DeviceId::parse(id).ok()),
        value: serde_json::value::RawValue::from_string(row.value.clone()).ok()?,
        priority: row.priority,
        status,
        seq: Seq::new(row.seq),
        created_at: Timestamp::from_millis(row.created_at),
        expires_at: Timestamp::from_millis(row.expires_at),
        attempts: row.attempt,
        result,
        timeline: timeline(&row, events, status),
        data_type: row.data_type,
    })
}

/// Beginning and end follow from the command itself; what lies between was
/// written as it happened.
fn timeline(
    row: &command::Model,
    mut events: Vec<TimelineRow>,
    status: CommandStatus,
) -> Vec<TimelineRow> {
    events.push(plain(row.created_at, TimelineEvent::Accepted, Some(Channel::Http)));
    let ended_at = row.closed_at.unwrap_or(row.expires_at);
    match status {
        CommandStatus::Expired => events.push(plain(ended_at, TimelineEvent::Expired, None)),
        CommandStatus::Cancelled => {
            events.push(plain(ended_at, TimelineEvent::Cancelled, Some(Channel::Http)));
        }
        _ => {}
    }
    // Of the same millisecond: in the order of a command's life.
    events.sort_by_key(|event| (event.at, event.event as u8, event.late));
    events
}

fn plain(at: i64, event: TimelineEvent, channel: Option<Channel>) -> TimelineRow {
    TimelineRow {
        at: Timestamp::from_millis(at),
        event,
        channel,
        device_id: None,
        status: None,
        late: None,
        detail: None,
    }
}
