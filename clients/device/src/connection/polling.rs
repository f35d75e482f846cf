//! Long polling: the transport of last resort, and the short wake-up.
//!
//! The gateway's cursor is opaque, is stored only when its frames are durable,
//! and acks them by being sent back.

use serde::Serialize;
use tidegate_protocol::command::CommandResult;
use tidegate_protocol::id::CommandId;
use tidegate_protocol::rest::{PollAnswer, RegisterDevice, ResultsRequest};
use tidegate_protocol::server::ServerMessage;
use tidegate_protocol::time::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::connection::Ended;
use crate::connection::apply::{ApplyError, apply, begin_anew};
use crate::connection::refusals::call;
use crate::device::Device;
use crate::executor;
use crate::handler::{Direction, Handler};
use crate::machine::streams::{Fault, Overlap, Streams};
use crate::rest::{Answer, PollQuestion, RestError, UNKNOWN_CODE};
use crate::state::{State, StopReason};
use crate::store::StoreError;
use crate::token::{Token, TokenError, TokenProvider};

/// Why a round of polling did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The call.
    #[error(transparent)]
    Rest(#[from] RestError),
    /// The provider has no token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store belongs to another user, or the call is refused for good.
    #[error(transparent)]
    Stopped(#[from] StopReason),
    /// The answer could not be applied; the next round begins anew.
    #[error("the answer could not be applied: {0}")]
    NotApplied(String),
}

/// Polls until a socket is due, or for ever.
pub(super) async fn run<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
    cancel: &CancellationToken,
    socket_due: Option<Instant>,
) -> Ended {
    // The first answer must not be held: it tells the app that polling works.
    let mut wait_s = 0;
    let (mut worked, mut pruned) = (false, false);
    loop {
        let round = async {
            tokio::select! {
                answer = round(device, wait_s) => answer.map(|_| false),
                failed = report_as_they_come(device) => failed.map(|()| false),
                () = device.woken().notified(), if socket_due.is_some() => Ok(true),
            }
        };
        match cancel.run_until_cancelled(round).await {
            None => return Ended::Cancelled,
            Some(Err(error)) => return ended(error, worked),
            Some(Ok(true)) => return Ended::SocketDue,
            Some(Ok(false)) => device.set_state(State::Polling),
        }
        worked = true;
        if socket_due.is_none() {
            device.forget_wake();
        }
        if !pruned {
            match prune(device).await {
                Ok(done) => pruned = done,
                Err(error) => return ended(error.into(), worked),
            }
        }
        if socket_due.is_some_and(|due| due <= Instant::now()) {
            return Ended::SocketDue;
        }
        wait_s = device.settings().poll_wait_s;
    }
}

/// Outcomes that become ready while an answer is held go out at once. Ends
/// only by failing.
async fn report_as_they_come<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
) -> Result<(), SyncError> {
    loop {
        device.results().notified().await;
        report(device).await?;
    }
}

fn ended(error: SyncError, worked: bool) -> Ended {
    tracing::warn!(%error, "polling failed");
    match error {
        SyncError::Stopped(reason) => Ended::Stopped(reason),
        SyncError::Token(_) | SyncError::Rest(RestError::Unauthorized) => {
            Ended::Unauthorized { worked }
        }
        SyncError::Store(error) => Ended::by_store(&error, Ended::PollFailed { worked }),
        SyncError::Rest(_) | SyncError::NotApplied(_) => Ended::PollFailed { worked },
    }
}

/// Forgets old ids, once it is known how old they are; whether it is.
async fn prune<H: Handler, T: TokenProvider>(device: &Device<H, T>) -> Result<bool, StoreError> {
    let Some(now) = device.clock().gateway_now() else { return Ok(false) };
    device.store().prune(now).await?;
    Ok(true)
}

/// See `Device::sync_once`.
pub(crate) async fn sync_once<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
    wait_s: u32,
) -> Result<(), SyncError> {
    catch_up(device, wait_s).await?;
    settle(device).await
}

/// Polls until nothing more waits.
pub(super) async fn catch_up<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
    wait_s: u32,
) -> Result<(), SyncError> {
    let mut wait_s = wait_s;
    while round(device, wait_s).await? {
        wait_s = 0;
    }
    prune(device).await?;
    Ok(())
}

/// Carries out what waits and reports it.
pub(super) async fn settle<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
) -> Result<(), SyncError> {
    executor::drain(device).await?;
    report(device).await
}

/// One poll, applied and its cursor stored; whether more waits.
async fn round<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
    wait_s: u32,
) -> Result<bool, SyncError> {
    report(device).await?;
    let (answer, streams) = ask(device, wait_s).await?;
    note_date(device, answer.date);
    let answer = answer.body;
    check_owner(device, &answer).await?;
    let more = answer.more;
    take(device, streams, answer).await?;
    Ok(more)
}

/// Asks, and once more where the refusal says what to put right: registers an
/// unknown device, drops a cursor that cannot be read. A second refusal is an
/// error, so that no loop runs hot. Nobody else tells the gateway of a new
/// push token or capability where no socket can be had, so that comes first.
async fn ask<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
    wait_s: u32,
) -> Result<(Answer<PollAnswer>, Streams), SyncError> {
    let token = device.token().await?;
    if device.store().registered().await?.as_deref() != Some(&*device.profile().fingerprint()) {
        register(device, &token).await?;
    }
    match question(device, &token, wait_s).await {
        Err(SyncError::Rest(RestError::Refused { code, .. })) if code == "device_not_found" => {
            register(device, &token).await?;
        }
        Err(SyncError::Rest(RestError::Refused { status: 422, .. })) => {
            tracing::warn!("the gateway cannot read its cursor any more");
            device.store().forget_poll_cursor().await?;
        }
        other => return other,
    }
    question(device, &token, wait_s).await.map_err(|error| match error {
        SyncError::Rest(error) => permanent(error),
        other => other,
    })
}

async fn register<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
    token: &Token,
) -> Result<(), SyncError> {
    let registration = registration(device);
    let registering = device.rest().register(token, &registration);
    call(device, token, registering).await.map_err(permanent)?;
    Ok(device.store().set_registered(&device.profile().fingerprint()).await?)
}

async fn question<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
    token: &Token,
    wait_s: u32,
) -> Result<(Answer<PollAnswer>, Streams), SyncError> {
    let store = device.store();
    let cursor = store.poll_cursor().await?;
    let mut streams = Streams::new(store.cursors().await?);
    if cursor.is_some() {
        streams = streams.continuing(store.unfinished_snapshots().await?);
    }
    let question = PollQuestion {
        device_id: device.device_id(),
        wait_s,
        limit: device.settings().poll_limit,
        subscribe: &device.profile().subscribe,
        cursor: cursor.as_deref(),
        held: streams.held(),
    };
    let answer = call(device, token, device.rest().poll(token, question)).await?;
    Ok((answer, streams))
}

/// A refusal that is not about the token or the load stays one.
fn permanent(error: RestError) -> SyncError {
    match error {
        // Without a stable word it was a proxy that refused, not the gateway;
        // and 404 is what one of them says while a gateway moves.
        RestError::Refused { status, code } if status != 404 && code != UNKNOWN_CODE => {
            SyncError::Stopped(StopReason::Refused { status, code })
        }
        other => SyncError::Rest(other),
    }
}

fn registration<H: Handler, T: TokenProvider>(device: &Device<H, T>) -> RegisterDevice {
    let profile = &device.profile().device;
    RegisterDevice {
        device_id: Some(profile.id.clone()),
        platform: profile.platform,
        push: profile.push.clone(),
        fcm_token: None,
        name: profile.name.clone(),
        app_version: profile.app_version.clone(),
        capabilities: profile.capabilities.clone(),
    }
}

/// Without a socket there is no `server_time`; the `Date` header does.
fn note_date<H: Handler, T: TokenProvider>(device: &Device<H, T>, date: Option<Timestamp>) {
    let clock = device.clock();
    let was_known = clock.gateway_now().is_some();
    match date {
        Some(date) => clock.hear_date(date),
        None if was_known => {}
        // The gateway dates its answers; something on the way took it off.
        None => {
            tracing::warn!("an answer without a date: this device's clock has to do");
            clock.guess();
        }
    }
    if !was_known {
        // Commands from before this run wait for it.
        device.work().notify_one();
    }
}

async fn check_owner<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
    answer: &PollAnswer,
) -> Result<(), SyncError> {
    let Some(own) = answer.streams.keys().find(|stream| stream.owner().is_some()) else {
        return Ok(());
    };
    match device.store().owner().await? {
        Some(owner) if owner != *own => Err(StopReason::StoreOfAnotherUser.into()),
        Some(_) => Ok(()),
        None => Ok(device.store().set_owner(own).await?),
    }
}

/// Applies an answer's frames and then stores its cursor.
async fn take<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
    mut streams: Streams,
    answer: PollAnswer,
) -> Result<(), SyncError> {
    match streams.open(&answer.streams) {
        Ok(resets) if resets.is_empty() => {}
        Ok(resets) => device.store().forget_cursors(&resets).await?,
        Err(fault) => return Err(not_applied(device, fault).await),
    }
    for frame in &answer.frames {
        device.handler().on_frame(Direction::FromGateway, frame.get());
        let page = match ServerMessage::parse(frame.get()) {
            Ok((ServerMessage::Events(events), _)) => streams.events(events, Overlap::Trimmed),
            Ok((ServerMessage::Snapshot(snapshot), _)) => streams.snapshot(snapshot),
            Ok(_) => Ok(None),
            Err(_) => Err(Fault::Unreadable),
        };
        let page = match page {
            Ok(Some(page)) => page,
            Ok(None) => continue,
            Err(fault) => return Err(not_applied(device, fault).await),
        };
        let receipt = page.receipt();
        match apply(device, page).await {
            Ok(()) => streams.applied(&receipt),
            Err(ApplyError::Mismatch(stream)) => {
                return Err(not_applied(device, Fault::Gap(stream)).await);
            }
            Err(ApplyError::Store(error)) => return Err(error.into()),
            Err(ApplyError::Handler(error)) => {
                return Err(SyncError::NotApplied(error.to_string()));
            }
        }
    }
    Ok(device.store().set_poll_cursor(&answer.cursor).await?)
}

async fn not_applied<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
    fault: Fault,
) -> SyncError {
    if let Fault::Gap(stream) = &fault {
        begin_anew(device, stream).await;
    }
    SyncError::NotApplied(fault.to_string())
}

/// Reports everything in the outbox.
async fn report<H: Handler, T: TokenProvider>(device: &Device<H, T>) -> Result<(), SyncError> {
    loop {
        let results = device.store().outbox().await?;
        if results.is_empty() {
            return Ok(());
        }
        let reports: Vec<(CommandId, i32)> = results.iter().map(key).collect();
        let request = ResultsRequest { device_id: device.device_id().clone(), results };
        show(device, Direction::FromDevice, "results", &request.results);
        let token = device.token().await?;
        let reporting = device.rest().results(&token, &request);
        let answer = call(device, &token, reporting).await.map_err(permanent)?;
        show(device, Direction::FromGateway, "results_ok", &answer.results);
        device.store().confirm(&reports).await?;
        for row in &answer.results {
            device.handler().on_confirmed(row);
        }
    }
}

/// Shows an HTTP exchange as the frame it stands for.
fn show<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
    direction: Direction,
    frame_type: &str,
    results: &impl Serialize,
) {
    if let Ok(results) = serde_json::to_string(results) {
        let frame = format!(r#"{{"type":"{frame_type}","results":{results}}}"#);
        device.handler().on_frame(direction, &frame);
    }
}

fn key(result: &CommandResult) -> (CommandId, i32) {
    (result.command_id.clone(), result.attempt.unwrap_or_default())
}
