//! Sends commands at a steady rate and knows which ones were accepted.
//!
//! A call whose outcome is unknown is repeated with the same idempotency key
//! until it is known: only so can what is missing be told from what was never
//! accepted.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::value::RawValue;
use tidegate_device::rest::RestError;
use tidegate_device::retry::Delays;
use tidegate_device::token::Token;
use tidegate_protocol::id::Seq;
use tidegate_protocol::limits::COMMANDS_PER_BATCH;
use tidegate_protocol::rest::{BatchCommand, CreateCommand, CreateCommands};
use tokio::time::Instant;

use crate::cli::simulate::Shared;

/// How often a sender looks how many commands are due.
const TICK: Duration = Duration::from_millis(10);

/// One sender's share of the load.
#[derive(Clone, Copy)]
pub(super) struct Load {
    /// Commands per second.
    pub(super) rate: f64,
    /// Whether several travel in one call.
    pub(super) is_batched: bool,
    pub(super) duration: Duration,
    /// How long a call is repeated before its outcome counts as unknown.
    pub(super) patience: Duration,
}

/// What was sent to one user, by number: the position it was accepted at.
#[derive(Clone, Default)]
pub(super) struct Sent {
    pub(super) accepted: Vec<Option<Seq>>,
}

/// A command on its way.
struct Outgoing {
    /// Index into the sender's users.
    slot: usize,
    number: usize,
    key: String,
    command: CreateCommand,
}

/// Sends for the time asked; returns what each user was sent.
pub(super) async fn run(
    shared: &Shared,
    service: &Token,
    load: Load,
    users: Vec<usize>,
    mut random: StdRng,
) -> anyhow::Result<Vec<(usize, Sent)>> {
    let mut sent: Vec<_> = users.into_iter().map(|user| (user, Sent::default())).collect();
    let begin = Instant::now();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut done = 0_u64;
    while begin.elapsed() < load.duration {
        ticks.tick().await;
        let due = due(load.rate, begin.elapsed()).saturating_sub(done);
        let mut left = usize::try_from(due).unwrap_or(usize::MAX);
        while left > 0 {
            let count = if load.is_batched { left.min(COMMANDS_PER_BATCH) } else { 1 };
            let mut batch = Vec::with_capacity(count);
            for _ in 0..count {
                let at = random.random_range(0..sent.len());
                batch.push(outgoing(shared, at, &mut sent[at])?);
            }
            deliver(shared, service, &load, batch, &mut sent).await?;
            left -= count;
            done += count as u64;
        }
    }
    Ok(sent)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count of commands is positive and far below 2^53"
)]
fn due(rate: f64, elapsed: Duration) -> u64 {
    (rate * elapsed.as_secs_f64()) as u64
}

fn outgoing(
    shared: &Shared,
    slot: usize,
    (user, sent): &mut (usize, Sent),
) -> anyhow::Result<Outgoing> {
    let number = sent.accepted.len();
    sent.accepted.push(None);
    let value = format!(r#"{{"user":{user},"n":{number},"at_us":{}}}"#, shared.elapsed_us());
    let command = CreateCommand {
        user_id: shared.user(*user)?,
        device_id: None,
        data_type: "simulated".to_owned(),
        value: RawValue::from_string(value)?,
        priority: None,
        ttl_s: None,
        requires: None,
    };
    let key = format!("sim-{}-{user}-{number}", shared.run);
    Ok(Outgoing { slot, number, key, command })
}

/// Sends until each command's outcome is known.
async fn deliver(
    shared: &Shared,
    service: &Token,
    load: &Load,
    mut batch: Vec<Outgoing>,
    sent: &mut [(usize, Sent)],
) -> anyhow::Result<()> {
    let mut delays = Delays::new(Duration::from_millis(50), Duration::from_secs(2));
    let until = Instant::now() + load.patience;
    loop {
        let known = if load.is_batched {
            send_batch(shared, service, &batch).await
        } else {
            send_one(shared, service, &batch[0]).await
        };
        let wait = match known {
            Ok(known) => {
                let mut unknown = Vec::new();
                for (outgoing, known) in batch.into_iter().zip(known) {
                    match known {
                        Known::Accepted(seq) => {
                            sent[outgoing.slot].1.accepted[outgoing.number] = Some(seq);
                            shared.accepted.fetch_add(1, Ordering::Relaxed);
                        }
                        Known::Refused => {}
                        Known::Not => unknown.push(outgoing),
                    }
                }
                batch = unknown;
                None
            }
            Err(RestError::Wait { retry_after }) => retry_after,
            Err(RestError::Unreachable(_)) => None,
            Err(error) => return Err(error).context("sending commands"),
        };
        if batch.is_empty() {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < until, "{} commands have no known outcome", batch.len());
        let wait = wait.unwrap_or_default().max(delays.next_delay());
        tokio::time::sleep(wait.min(until.saturating_duration_since(Instant::now()))).await;
    }
}

/// What became of one command of a call.
enum Known {
    /// At this position of the user's stream.
    Accepted(Seq),
    Refused,
    /// Overload or an unknown commit: ask again.
    Not,
}

async fn send_one(
    shared: &Shared,
    service: &Token,
    outgoing: &Outgoing,
) -> Result<Vec<Known>, RestError> {
    let accepted = shared.rest.command(service, &outgoing.key, &outgoing.command).await?;
    Ok(vec![Known::Accepted(accepted.seq)])
}

async fn send_batch(
    shared: &Shared,
    service: &Token,
    batch: &[Outgoing],
) -> Result<Vec<Known>, RestError> {
    let mut commands = Vec::with_capacity(batch.len());
    for outgoing in batch {
        let command = BatchCommand {
            idempotency_key: Some(outgoing.key.clone()),
            command: outgoing.command.clone(),
        };
        let command = serde_json::value::to_raw_value(&command)
            .map_err(|error| RestError::Unreachable(error.to_string()))?;
        commands.push(command);
    }
    let answer = shared.rest.commands(service, &CreateCommands { commands }).await?;
    if answer.results.len() != batch.len() {
        return Err(RestError::Unreachable("rows are missing in a batch answer".to_owned()));
    }
    let known = answer.results.iter().map(|row| match (row.status, &row.command) {
        (200..=299, Some(command)) => Known::Accepted(command.seq),
        (429 | 500..=599, _) => Known::Not,
        _ => Known::Refused,
    });
    Ok(known.collect())
}
