//! What to do about a wake-up that is due, and what follows from the
//! provider's answer: pure decisions.

use std::time::Duration;

use tidegate_entity::{command, device, push_wake};
use tidegate_protocol::id::{CommandId, Seq, StreamName};
use tidegate_protocol::time::Timestamp;
use tidegate_services::wake::{Ttl, Urgency, Wake, WriteHealth};

use crate::retry::{Jitter, Waits};
use crate::store::wake::NEVER;

/// Times and choices of the tier.
#[derive(Clone, Debug)]
pub struct PlanOptions {
    /// How long a live session may take before the next tier is tried.
    pub result_timeout_ms: i64,
    /// Waits before failed sends are tried again.
    pub backoff: Waits,
    /// Waits after refusals of one token in a row; one more ends it.
    pub refusal_backoff: Waits,
    /// Whether a single command travels inside its wake-up.
    pub inline: bool,
}

/// What is known of a device when its wake-up is due.
#[derive(Debug)]
pub struct Look<'a> {
    /// The wake-up.
    pub wake: &'a push_wake::Model,
    /// The device, if it still exists.
    pub device: Option<&'a device::Model>,
    /// Commands that wait for it, oldest first.
    pub waiting: &'a [command::Model],
    /// How long it has had a live session here.
    pub online_for: Option<Duration>,
    /// A shared stream it lacks, and that stream's head.
    pub delta: Option<&'a (StreamName, Seq)>,
    /// Now.
    pub now: Timestamp,
}

/// What to do.
#[derive(Clone, Debug)]
pub enum Plan {
    /// Nothing until something is wanted again.
    Idle,
    /// Look again at this time.
    Later(i64),
    /// Send.
    Send(Order),
}

/// A wake-up to send.
#[derive(Clone, Debug)]
pub struct Order {
    /// What it says.
    pub wake: Wake,
    /// How urgent it is.
    pub urgency: Urgency,
    /// How long the provider keeps it.
    pub ttl: Ttl,
    /// The commands it is for.
    pub commands: Vec<CommandId>,
    /// Whether it is for data, not for commands.
    pub is_delta: bool,
}

/// Wake-ups for one command at most: the first, and one repeat.
const REPEATS_MAX: i32 = 2;

/// Life of a wake-up for data: after a day the device has polled anyway.
const DELTA_TTL_S: u32 = 86_400;

/// Decides about a wake-up that is due.
pub fn plan(look: &Look<'_>, options: &PlanOptions) -> Plan {
    let has_token = look.device.is_some_and(|device| device.push_token.is_some());
    if !has_token {
        return Plan::Idle;
    }
    if look.waiting.is_empty() {
        return delta(look);
    }
    if look.wake.repeats >= REPEATS_MAX {
        return Plan::Idle;
    }
    match live_until(look, options.result_timeout_ms) {
        Some(until_ms) if until_ms > look.now.millis() => Plan::Later(until_ms),
        _ => command_order(look, options).map_or(Plan::Idle, Plan::Send),
    }
}

/// Until when the live session may still answer: from the newer of its
/// beginning and the oldest command, as long as the first tier has.
fn live_until(look: &Look<'_>, result_timeout_ms: i64) -> Option<i64> {
    let online_ms = i64::try_from(look.online_for?.as_millis()).unwrap_or(i64::MAX);
    let entered_ms = look.now.millis().saturating_sub(online_ms);
    let oldest_ms = look.waiting.iter().map(|command| command.created_at).min()?;
    // Made under a clock that was wrong, it may lie ahead.
    let oldest_ms = oldest_ms.min(look.now.millis());
    Some(entered_ms.max(oldest_ms) + result_timeout_ms)
}

fn delta(look: &Look<'_>) -> Plan {
    let Some((stream, head)) = look.delta.filter(|_| look.online_for.is_none()) else {
        return Plan::Idle;
    };
    Plan::Send(Order {
        wake: Wake { stream: stream.clone(), seq: *head, command: None },
        urgency: Urgency::Normal,
        ttl: Ttl::seconds(DELTA_TTL_S),
        commands: Vec::new(),
        is_delta: true,
    })
}

/// `None` if a stored value is not what the gateway writes.
fn command_order(look: &Look<'_>, options: &PlanOptions) -> Option<Order> {
    let newest = look.waiting.iter().map(|command| command.last_seq).max()?;
    let ends = look.waiting.iter().map(|command| command.expires_at).max()?;
    let is_urgent =
        look.waiting.iter().any(|command| Urgency::of_command(command.priority) == Urgency::High);
    let command = match look.waiting {
        [only] if options.inline => Some(inline(only)?),
        _ => None,
    };
    let ids = look.waiting.iter().map(|command| CommandId::parse(&command.id).ok());
    Some(Order {
        wake: Wake {
            stream: StreamName::parse(&format!("user:{}", look.wake.user_id)).ok()?,
            seq: Seq::new(newest),
            command,
        },
        urgency: if is_urgent { Urgency::High } else { Urgency::Normal },
        ttl: Ttl::until(Timestamp::from_millis(ends), look.now),
        commands: ids.collect::<Option<_>>()?,
        is_delta: false,
    })
}

fn inline(command: &command::Model) -> Option<WriteHealth> {
    Some(WriteHealth {
        command_id: CommandId::parse(&command.id).ok()?,
        data_type: command.data_type.clone(),
        value: serde_json::value::RawValue::from_string(command.value.clone()).ok()?,
        timestamp: Timestamp::from_millis(command.created_at),
        expires_at: Timestamp::from_millis(command.expires_at),
    })
}

/// What came of a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The provider took it.
    Taken,
    /// Not now.
    Later {
        /// Shortest wait.
        floor: Duration,
    },
    /// It refused this token, and may take it another time.
    TokenRefused,
    /// It refuses this project, or everything: not the token's fault.
    ServiceRefused {
        /// Shortest wait.
        wait: Duration,
    },
    /// The token ended, or the message can never be taken.
    Over,
}

/// Whether one more refusal of the token ends it.
pub fn is_last_refusal(wake: &push_wake::Model, options: &PlanOptions) -> bool {
    usize::try_from(wake.refusals).is_ok_and(|count| count >= options.refusal_backoff.count())
}

/// Moves the wake-up on after a send. `jitter` is 0 to 1.
pub fn settle(
    wake: &mut push_wake::Model,
    outcome: Outcome,
    is_delta: bool,
    options: &PlanOptions,
    now: Timestamp,
    jitter: f64,
) {
    let now_ms = now.millis();
    wake.not_before = now_ms;
    wake.due_at = NEVER;
    match outcome {
        Outcome::Taken if is_delta => {
            wake.failures = 0;
            wake.refusals = 0;
        }
        Outcome::Taken => {
            wake.failures = 0;
            wake.refusals = 0;
            wake.repeats += 1;
            if wake.repeats < REPEATS_MAX {
                wake.due_at = now_ms + 2 * options.result_timeout_ms;
            }
        }
        Outcome::Later { floor } => retry(wake, floor, options, now, jitter),
        Outcome::TokenRefused => {
            let wait = wait_after_refusals(wake, options, jitter);
            wake.refusals = wake.refusals.saturating_add(1);
            hold(wake, later(now, wait));
        }
        Outcome::ServiceRefused { wait } => {
            hold(wake, later(now, wait));
        }
        Outcome::Over => {
            wake.failures = 0;
            wake.refusals = 0;
        }
    }
    if outcome == Outcome::Taken || wake.due_at == NEVER {
        // Whatever woke it, or was given up: data alone gives it no other
        // until it is seen.
        wake.delta_sent_at = Some(now_ms);
    }
}

/// The next wait of the schedule, never below the provider's floor; after the
/// last one the device is left to its poll.
fn retry(
    wake: &mut push_wake::Model,
    floor: Duration,
    options: &PlanOptions,
    now: Timestamp,
    jitter: f64,
) {
    let before = usize::try_from(wake.failures).unwrap_or(usize::MAX);
    wake.not_before = later(now, floor);
    let Some(wait) = options.backoff.wait(before, floor, jitter) else {
        wake.failures = 0;
        return;
    };
    wake.failures += 1;
    hold(wake, later(now, wait));
}

/// Due then, and not before.
fn hold(wake: &mut push_wake::Model, at_ms: i64) {
    wake.due_at = at_ms;
    wake.not_before = at_ms;
}

/// The wait that this many refusals in a row ask for; the last one, after
/// more of them. `jitter` is 0 to 1.
pub fn wait_after_refusals(
    wake: &push_wake::Model,
    options: &PlanOptions,
    jitter: f64,
) -> Duration {
    let before = usize::try_from(wake.refusals).unwrap_or_default();
    options.refusal_backoff.wait_or_last(before, Duration::ZERO, jitter)
}

fn later(now: Timestamp, wait: Duration) -> i64 {
    now.millis().saturating_add(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX))
}

impl PlanOptions {
    /// The longest that anything here makes a wake-up wait, `others` included:
    /// a row that is due later was written under a wrong clock.
    pub fn longest_wait_ms(&self, others: [Duration; 3]) -> i64 {
        let listed = self.backoff.longest().max(self.refusal_backoff.longest());
        let longest = others.into_iter().fold(listed, Duration::max);
        i64::try_from(longest.as_millis()).unwrap_or(i64::MAX).max(2 * self.result_timeout_ms)
    }
}

/// By how much waits differ: the lists are what providers ask for at least.
pub const JITTER: Jitter = Jitter::Above(0.25);

#[cfg(test)]
mod tests;
