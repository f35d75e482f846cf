//! What follows from a provider's answer: for the wake-up, for the token, and
//! for the circuits.

use rand::Rng as _;
use tidegate_entity::{device, push_wake};
use tidegate_protocol::command::PushProvider;
use tidegate_services::outcome::Action;
use tokio::time::Instant;
use uuid::Uuid;

use crate::ingest::behind::PushNote;
use crate::metrics::label::PushOutcome;
use crate::push::circuit::{Circuit, Evidence, Fault, Leave};
use crate::push::dispatch::{Dispatcher, EndedToken, Sent};
use crate::push::plan::{self, Outcome};
use crate::store::device::TokenOwner;

/// Takes an answer in.
pub(super) fn take(dispatcher: &mut Dispatcher, sent: Sent) {
    let Sent { mut wake, device, address, order, answer, leave } = sent;
    let metrics = &dispatcher.state.metrics;
    metrics.push_seconds.observe(answer.seconds);
    metrics.pushes.of(label(answer.result.as_ref().err())).inc();
    let outcome = match answer.result {
        Ok(_) => taken(dispatcher, &leave),
        Err(action) => {
            let refusal = Refusal { action, reason: &answer.reason, leave: &leave };
            refused(dispatcher, &refusal, &wake, &device)
        }
    };
    let now = dispatcher.state.clock.now();
    dispatcher.state.ingest.behind().pushed(PushNote {
        id: Uuid::now_v7(),
        commands: order.commands,
        device_id: wake.device_id.clone(),
        channel: address.channel(),
        is_ok: outcome == Outcome::Taken,
        detail: answer.detail,
        at: now,
    });
    let jitter = rand::rng().random_range(0.0..1.0);
    plan::settle(&mut wake, outcome, order.is_delta, &dispatcher.options, now, jitter);
    dispatcher.settle(wake);
}

/// The figure that counts a refusal, or none.
fn label(refusal: Option<&Action>) -> PushOutcome {
    match refusal {
        None => PushOutcome::Ok,
        Some(Action::RetryAfter { .. }) => PushOutcome::Retry,
        Some(Action::TokenDead) => PushOutcome::TokenDead,
        Some(Action::TokenForeign) => PushOutcome::TokenForeign,
        Some(Action::TokenRefused) => PushOutcome::TokenRefused,
        Some(Action::PlatformRefused) => PushOutcome::PlatformRefused,
        Some(Action::OperatorAlert) => PushOutcome::OperatorAlert,
        Some(Action::MessageInvalid) => PushOutcome::MessageInvalid,
    }
}

fn taken(dispatcher: &Dispatcher, leave: &Leave) -> Outcome {
    for circuit in dispatcher.push.0.circuits.taken(leave, Instant::now()) {
        tracing::info!(?circuit, "a push service takes wake-ups again: sending goes on");
    }
    Outcome::Taken
}

/// A send that was refused.
struct Refusal<'a> {
    action: Action,
    /// The provider's words, safe to show.
    reason: &'a str,
    leave: &'a Leave,
}

/// Does what a refusal asks for besides waiting; what it means for the
/// wake-up.
fn refused(
    dispatcher: &mut Dispatcher,
    refusal: &Refusal<'_>,
    wake: &push_wake::Model,
    device: &device::Model,
) -> Outcome {
    let provider = device.push_provider.map_or("", PushProvider::as_str);
    let reason = refusal.reason;
    let release = || dispatcher.push.0.circuits.release(refusal.leave);
    match refusal.action {
        Action::TokenRefused => blame(dispatcher, refusal, refusal.leave.service(), wake, device),
        Action::PlatformRefused => {
            blame(dispatcher, refusal, refusal.leave.platform(), wake, device)
        }
        Action::OperatorAlert => {
            let circuit = refusal.leave.service();
            match judge(dispatcher, refusal, circuit, Evidence::Project) {
                Fault::Service { wait, .. } => Outcome::ServiceRefused { wait },
                Fault::Token => Outcome::TokenRefused,
            }
        }
        Action::RetryAfter { floor } => {
            release();
            Outcome::Later { floor }
        }
        Action::TokenForeign => {
            release();
            tracing::error!(
                provider,
                reason,
                "a push token belongs to other credentials: check the project configured"
            );
            end_token(dispatcher, device, reason);
            Outcome::Over
        }
        Action::MessageInvalid => {
            release();
            tracing::error!(provider, reason, "a push message was refused as invalid");
            Outcome::Over
        }
        Action::TokenDead => {
            release();
            end_token(dispatcher, device, reason);
            Outcome::Over
        }
    }
}

/// A refusal that does not tell whose fault it is.
fn blame(
    dispatcher: &mut Dispatcher,
    refusal: &Refusal<'_>,
    circuit: &Circuit,
    wake: &push_wake::Model,
    device: &device::Model,
) -> Outcome {
    match judge(dispatcher, refusal, circuit, Evidence::OneToken) {
        Fault::Service { wait, .. } => {
            let own = plan::wait_after_refusals(wake, &dispatcher.options, 0.0);
            Outcome::ServiceRefused { wait: wait.max(own) }
        }
        Fault::Token => {
            let reason = refusal.reason;
            let refusals = wake.refusals.saturating_add(1);
            if plan::is_last_refusal(wake, &dispatcher.options) {
                tracing::warn!(?circuit, reason, refusals, "a push token was refused to its end");
                end_token(dispatcher, device, reason);
                return Outcome::Over;
            }
            tracing::warn!(?circuit, reason, refusals, "a push token was refused: it waits alone");
            Outcome::TokenRefused
        }
    }
}

/// Whose fault it is; calls the operator if that is news.
fn judge(
    dispatcher: &Dispatcher,
    refusal: &Refusal<'_>,
    circuit: &Circuit,
    evidence: Evidence,
) -> Fault {
    let circuits = &dispatcher.push.0.circuits;
    let fault = circuits.refused(refusal.leave, circuit, evidence, Instant::now());
    if matches!(fault, Fault::Service { is_new: true, .. }) {
        dispatcher.state.metrics.push_circuits_opened.inc();
        tracing::error!(
            ?circuit,
            reason = refusal.reason,
            "a push service refuses this project: sending pauses"
        );
    }
    fault
}

/// Ends the device's token, once what was settled is written.
pub(super) fn end_token(dispatcher: &mut Dispatcher, device: &device::Model, reason: &str) {
    let (Some(token), Some(provider)) = (&device.push_token, device.push_provider) else {
        return;
    };
    dispatcher.state.metrics.push_tokens_ended.inc();
    let owner = TokenOwner {
        token: token.clone(),
        provider,
        user_id: device.user_id.clone(),
        device_id: device.device_id.clone(),
    };
    dispatcher.settled.ended.push(EndedToken { owner, reason: reason.to_owned() });
}
