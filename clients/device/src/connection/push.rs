//! Acting on a push: the inbox that socket and polls use, or one round of
//! polling.
//!
//! Never opens a socket, and never executes beside a run: only who holds the
//! device's turn does.

use std::collections::BTreeMap;

use crate::connection::polling::{self, SyncError, settle};
use crate::device::Device;
use crate::handler::Handler;
use crate::inbox::Arrival;
use crate::push::{Ignored, Push, PushHandled, PushedCommand};
use crate::state::State;
use crate::store::StoreError;
use crate::token::TokenProvider;
use crate::turn::Turn;

/// See `Device::handle_push`.
pub(crate) async fn handle<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
    map: &BTreeMap<String, String>,
) -> Result<PushHandled, SyncError> {
    let handled = match Push::read(map) {
        Ok(push) => follow(device, push).await?,
        Err(ignored) => PushHandled::Ignored(ignored),
    };
    match &handled {
        PushHandled::Ignored(reason) => tracing::warn!(%reason, "a push is ignored"),
        handled => tracing::debug!(?handled, "a push is handled"),
    }
    Ok(handled)
}

async fn follow<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
    push: Push,
) -> Result<PushHandled, SyncError> {
    let owner = device.store().owner().await?;
    let stream = push.stream();
    if stream.owner().is_none() {
        if !device.profile().subscribe.contains(stream) {
            return Ok(PushHandled::Ignored(Ignored::NotFollowed));
        }
    } else if owner.as_ref().is_some_and(|owner| owner != stream) {
        return Ok(PushHandled::Ignored(Ignored::AnotherUser));
    }
    match push {
        // Nothing says yet whose device this is: the gateway does.
        Push::Command(_) if owner.is_none() => catch_up(device, None).await,
        Push::Command(command) => take(device, &command).await,
        Push::Sync { .. } => catch_up(device, Some(&push)).await,
    }
}

/// Makes the command durable and has it carried out, or ended where its life is
/// over: the inbox does that, however late the push came and whether or not the
/// time was known when it did.
async fn take<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
    command: &PushedCommand,
) -> Result<PushHandled, SyncError> {
    let handled = match device.store().arrive_by_push(command).await? {
        Arrival::Insert | Arrival::Requeue => PushHandled::Executed(command.id.clone()),
        Arrival::Note | Arrival::Answer => PushHandled::Repeated(command.id.clone()),
        Arrival::Ignore => return Ok(PushHandled::Ignored(Ignored::Closed)),
        Arrival::LookUp => return catch_up(device, None).await,
    };
    match device.turns().take_unless_running().await {
        Turn::Running => {
            device.work().notify_one();
            device.results().notify_one();
            nudge(device, matches!(handled, PushHandled::Executed(_)));
            Ok(PushHandled::HandedOver)
        }
        Turn::Ours(_turn) => {
            learn_time(device).await?;
            let now = device.clock().gateway_now_or_guess();
            let is_over = now.is_some_and(|now| command.expires_at <= now);
            settle(device).await?;
            Ok(match handled {
                PushHandled::Executed(_) if is_over => PushHandled::Ignored(Ignored::Expired),
                handled => handled,
            })
        }
    }
}

/// One round of polling, unless what the push announced is here.
async fn catch_up<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
    announced: Option<&Push>,
) -> Result<PushHandled, SyncError> {
    match device.turns().take_unless_running().await {
        Turn::Running => {
            if !is_held(device, announced).await? {
                nudge(device, announced.is_some());
            }
            Ok(PushHandled::HandedOver)
        }
        Turn::Ours(_turn) if is_held(device, announced).await? => {
            // The gateway pushes again when it misses a result: one may wait.
            learn_time(device).await?;
            settle(device).await?;
            Ok(PushHandled::UpToDate)
        }
        Turn::Ours(_turn) => {
            polling::sync_once(device, 0).await?;
            Ok(PushHandled::CaughtUp)
        }
    }
}

/// Has the run under way get to the gateway soon. With news that a socket
/// should have brought, the socket is in doubt.
fn nudge<H: Handler, T: TokenProvider>(device: &Device<H, T>, is_news: bool) {
    let state = device.state().borrow().clone();
    match state {
        State::Offline | State::NeedsAuth if device.hold().left().is_none() => device.wake(),
        State::Live if is_news => {
            device.doubt().send_replace(());
        }
        // On its way, or a poll that is answered by itself.
        _ => {}
    }
}

async fn is_held<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
    announced: Option<&Push>,
) -> Result<bool, StoreError> {
    let Some(Push::Sync { stream, seq }) = announced else { return Ok(false) };
    let held = device.store().cursors().await?;
    Ok(held.get(stream).is_some_and(|cursor| cursor.seq >= *seq))
}

/// Before the gateway has said its time nothing may be carried out: where
/// something waits, a round asks for it.
async fn learn_time<H: Handler, T: TokenProvider>(device: &Device<H, T>) -> Result<(), SyncError> {
    if device.clock().gateway_now().is_none() && device.store().has_open_commands().await? {
        polling::catch_up(device, 0).await?;
    }
    Ok(())
}
