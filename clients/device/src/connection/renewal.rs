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
use crate::token::{Token, TokenProvider};

/// Two answers to warnings are at least so far apart. Tokens that live for two
/// seconds can do with it, and a gateway that warns of each new token at once
/// cannot make a loop of it.
pub(super) const SPACING: Duration = Duration::from_secs(1);

pub(super) struct SessionToken<'d> {
    in_use: Token,
    /// Under way since the gateway warned.
    search: Option<BoxFuture<'d, Option<Token>>>,
    renewed_at: Option<Instant>,
}

impl<'d> SessionToken<'d> {
    pub(super) fn new(in_use: Token) -> Self {
        Self { in_use, search: None, renewed_at: None }
    }

    pub(super) fn in_use(&self) -> &Token {
        &self.in_use
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
            self.search = Some(another(device, self.in_use.clone(), not_before, ends).boxed());
        }
    }

    /// Waits for the end of a search; for ever while there is none. What it
    /// found is in use from then on; `None`: the token ended first. Safe to
    /// drop while it waits.
    pub(super) async fn renewed(&mut self) -> Option<Token> {
        let Some(found) = OptionFuture::from(self.search.as_mut()).await else {
            return std::future::pending().await;
        };
        self.search = None;
        if let Some(token) = &found {
            self.in_use = token.clone();
            self.renewed_at = Some(Instant::now());
        }
        found
    }
}

/// Asks until the provider gives another token than the one `in_use`, with
/// growing delays: most providers keep theirs until shortly before its end.
/// `None` when that end came first.
async fn another<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
    in_use: Token,
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
                Ok(token) if token != in_use => return token,
                Ok(_) => tracing::debug!("the provider still gives the token that ends"),
                Err(error) => tracing::warn!(%error, "no new token for the session"),
            }
            sleep(delays.next_delay()).await;
        }
    };
    timeout(left + settings.write_timeout, asking).await.ok()
}
