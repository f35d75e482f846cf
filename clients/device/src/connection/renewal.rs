//! The token of a session, and its successor when it ends soon.
//!
//! Asks the provider and nobody else; never writes a frame.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, OptionFuture};
use tidegate_protocol::time::Timestamp;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::device::Device;
use crate::handler::Handler;
use crate::retry::Delays;
use crate::state::Closed;
use crate::token::{Token, TokenProvider};

/// Two answers to warnings are at least so far apart. Tokens that live for two
/// seconds can do with it, and a gateway that warns of each new token at once
/// cannot make a loop of it.
pub(super) const SPACING: Duration = Duration::from_secs(1);

pub(super) struct SessionToken<'d> {
    /// The one that the gateway goes by.
    in_use: Token,
    /// Its successor, written and not yet taken: until then the one in use may
    /// end, and that says nothing about this one.
    shown: Option<Token>,
    /// Under way since the gateway warned.
    search: Option<BoxFuture<'d, Option<Token>>>,
    renewed_at: Option<Instant>,
}

impl<'d> SessionToken<'d> {
    pub(super) fn new(in_use: Token) -> Self {
        Self { in_use, shown: None, search: None, renewed_at: None }
    }

    /// The one that a close is about, of those that it blames.
    pub(super) fn blamed(&self, closed: &Closed) -> &Token {
        match &self.shown {
            Some(shown) if !closed.is_token_ended() => shown,
            _ => &self.in_use,
        }
    }

    /// The gateway goes by the successor from now on.
    pub(super) fn taken(&mut self) {
        if let Some(token) = self.shown.take() {
            self.in_use = token;
        }
    }

    /// The gateway warns that the token in use ends then. A search under way
    /// answers this warning too.
    pub(super) fn warned<H: Handler, T: TokenProvider>(
        &mut self,
        device: &'d Device<H, T>,
        ends: Timestamp,
    ) {
        if self.search.is_none() {
            let not_before = self.renewed_at.map_or_else(Instant::now, |at| at + SPACING);
            let newest = self.shown.as_ref().unwrap_or(&self.in_use).clone();
            self.search = Some(another(device, newest, not_before, ends).boxed());
        }
    }

    /// Waits for the end of a search; for ever while there is none. What it
    /// found counts once the gateway takes it; `None`: the token ended first. Safe to
    /// drop while it waits.
    pub(super) async fn renewed(&mut self) -> Option<Token> {
        let Some(found) = OptionFuture::from(self.search.as_mut()).await else {
            return std::future::pending().await;
        };
        self.search = None;
        if let Some(token) = &found {
            self.shown = Some(token.clone());
            self.renewed_at = Some(Instant::now());
        }
        found
    }
}

/// Asks until the provider gives another token than the one shown last, with
/// growing delays: most providers keep theirs until shortly before its end.
/// `None` when that end came first.
async fn another<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
    shown: Token,
    not_before: Instant,
    ends: Timestamp,
) -> Option<Token> {
    let settings = device.settings();
    let left = device.clock().until(ends);
    // A few times at least before the end.
    let longest = settings.retry_longest.min(left / 4).max(settings.retry_initial);
    let mut delays = Delays::new(settings.retry_initial, longest);
    let asking = async {
        sleep_until(not_before).await;
        loop {
            match device.tokens().token().await {
                Ok(token) if token != shown => return token,
                Ok(_) => tracing::debug!("the provider still gives the token that ends"),
                Err(error) => tracing::warn!(%error, "no new token for the session"),
            }
            sleep(delays.next_delay()).await;
        }
    };
    timeout(left + settings.write_timeout, asking).await.ok()
}
