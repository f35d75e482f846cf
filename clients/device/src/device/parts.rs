//! What the drivers use of a device. Not for apps.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tidegate_protocol::server::ErrorFrame;
use tokio::sync::{Notify, watch};

use crate::clock::Clock;
use crate::device::Device;
use crate::endpoint::Endpoint;
use crate::handler::Handler;
use crate::hold::Hold;
use crate::machine::Profile;
use crate::rest::Rest;
use crate::settings::Settings;
use crate::state::State;
use crate::store::Store;
use crate::token::{Refused, Token, TokenError, TokenProvider};
use crate::turn::Turns;

impl<H: Handler, T: TokenProvider> Device<H, T> {
    pub(crate) fn set_state(&self, state: State) {
        self.state.send_if_modified(|current| {
            let is_new = *current != state;
            *current = state;
            is_new
        });
    }

    pub(crate) fn is_polling(&self) -> bool {
        *self.state.borrow() == State::Polling
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(crate) fn rest(&self) -> &Rest {
        &self.rest
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn profile(&self) -> &Arc<Profile> {
        &self.profile
    }

    pub(crate) fn tokens(&self) -> &T {
        &self.tokens
    }

    /// A token to call with. One that was refused a moment ago is as good as
    /// none: shown again, it would be refused again.
    pub(crate) async fn token(&self) -> Result<Token, TokenError> {
        let token = self.tokens.token().await?;
        if self.refused.is_fresh(&token, self.settings.refused_token_wait) {
            let said = "the provider still gives the one that was refused or has ended";
            return Err(TokenError(said.to_owned()));
        }
        Ok(token)
    }

    pub(crate) fn refused(&self) -> &Refused {
        &self.refused
    }

    pub(crate) fn hold(&self) -> &Hold {
        &self.hold
    }

    /// How long a refusal asks to wait, within bounds.
    pub(crate) fn wait_of(&self, refusal: &ErrorFrame) -> Option<Duration> {
        let wait = Duration::from_millis(refusal.retry_after_ms?);
        Some(wait.min(self.settings.retry_after_longest))
    }

    /// The gateway asks to be left alone for so long.
    pub(crate) fn hold_off(&self, wait: Duration) {
        self.hold.ask(wait.min(self.settings.retry_after_longest));
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn turns(&self) -> &Turns {
        &self.turns
    }

    pub(crate) fn woken(&self) -> &Notify {
        &self.wake
    }

    /// What the app asked for is done: a wake from before must not end a wait
    /// that begins later.
    pub(crate) fn forget_wake(&self) {
        let _ = self.wake.notified().now_or_never();
    }

    pub(crate) fn doubt(&self) -> &watch::Sender<()> {
        &self.doubt
    }

    pub(crate) fn work(&self) -> &Notify {
        &self.work
    }

    pub(crate) fn results(&self) -> &Notify {
        &self.results
    }
}
