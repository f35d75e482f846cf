//! The device: what an app holds on to.
//!
//! Puts store, executor and connection together. Never decides protocol
//! questions; those are the machine's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ClientConfig;
use tidegate_protocol::client::HelloDevice;
use tidegate_protocol::command::{Platform, PushRegistration};
use tidegate_protocol::cursor::Cursors;
use tidegate_protocol::encoding::Encoding;
use tidegate_protocol::id::{DeviceId, StreamName};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::connection;
use crate::endpoint::{Endpoint, EndpointError};
use crate::executor;
use crate::handler::{Change, Handler};
use crate::hold::Hold;
use crate::machine::Profile;
use crate::push::PushHandled;
use crate::rest::{Rest, RestError};
use crate::settings::Settings;
use crate::state::{State, StopReason};
use crate::store::{Store, StoreError};
use crate::token::{Refused, TokenProvider};
use crate::turn::Turns;

mod parts;

/// Why a device cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The address or TLS.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The HTTP client.
    #[error(transparent)]
    Rest(#[from] RestError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a device needs to begin. Made by [`Device::builder`].
#[derive(Debug)]
pub struct Builder<H, T> {
    url: String,
    tokens: T,
    handler: H,
    store: PathBuf,
    device_id: Option<DeviceId>,
    /// As `hello` sends it; its id is settled when the store is open.
    device: HelloDevice,
    subscribe: Vec<StreamName>,
    encodings: Vec<Encoding>,
    settings: Settings,
    clock: Clock,
    tls: Option<Arc<ClientConfig>>,
}

impl<H: Handler, T: TokenProvider> Builder<H, T> {
    /// Path of the SQLite file; default `tidegate-device.db`.
    #[must_use]
    pub fn store(mut self, path: impl AsRef<Path>) -> Self {
        path.as_ref().clone_into(&mut self.store);
        self
    }

    /// Shared streams to follow besides the user's own.
    #[must_use]
    pub fn subscribe(mut self, streams: impl IntoIterator<Item = StreamName>) -> Self {
        self.subscribe = streams.into_iter().collect();
        self
    }

    /// The device's id; by default one is made at the first start and kept.
    #[must_use]
    pub fn device_id(mut self, id: DeviceId) -> Self {
        self.device_id = Some(id);
        self
    }

    /// The system; default `other`.
    #[must_use]
    pub fn platform(mut self, platform: Platform) -> Self {
        self.device.platform = platform;
        self
    }

    /// A name a person recognises.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.device.name = Some(Some(name.into()));
        self
    }

    /// The app's version.
    #[must_use]
    pub fn app_version(mut self, version: impl Into<String>) -> Self {
        self.device.app_version = Some(Some(version.into()));
        self
    }

    /// What commands this device can carry out. Not called: unchanged at the
    /// gateway.
    #[must_use]
    pub fn capabilities(mut self, capabilities: impl IntoIterator<Item = String>) -> Self {
        self.device.capabilities = Some(Some(capabilities.into_iter().collect()));
        self
    }

    /// Where the device can be woken; `None` takes it back. Not called:
    /// unchanged at the gateway.
    #[must_use]
    pub fn push(mut self, push: Option<PushRegistration>) -> Self {
        self.device.push = Some(push);
        self
    }

    /// Whether data changes may wake the device too, not only commands.
    #[must_use]
    pub fn wants_delta_push(mut self, wants: bool) -> Self {
        self.device.wants_delta_push = Some(Some(wants));
        self
    }

    /// Encodings to offer, best first; default zstd, then raw deflate.
    #[must_use]
    pub fn encodings(mut self, encodings: impl IntoIterator<Item = Encoding>) -> Self {
        self.encodings = encodings.into_iter().collect();
        self
    }

    /// Waits and bounds.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// The clock; tests own it.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Trust these certificates instead of the operating system's.
    #[must_use]
    pub fn tls(mut self, tls: Arc<ClientConfig>) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Opens the store. Nothing is sent before [`Device::run`].
    pub async fn build(self) -> Result<Device<H, T>, BuildError> {
        let endpoint = Endpoint::new(&self.url, self.tls)?;
        let rest = Rest::new(endpoint.clone())?;
        let store = Store::open(&self.store).await?;
        let id = store.device_id(self.device_id).await?;
        let profile = Arc::new(Profile {
            device: HelloDevice { id, ..self.device },
            subscribe: self.subscribe,
            encodings: self.encodings,
            heartbeat_s: self.settings.heartbeat_s,
        });
        Ok(Device {
            endpoint,
            rest,
            store,
            profile,
            handler: self.handler,
            tokens: self.tokens,
            refused: Refused::default(),
            hold: Hold::default(),
            settings: self.settings,
            clock: self.clock,
            state: watch::Sender::new(State::Offline),
            turns: Turns::new(),
            wake: Notify::new(),
            doubt: watch::Sender::new(()),
            work: Notify::new(),
            results: Notify::new(),
        })
    }
}

/// A device of one user.
#[derive(Debug)]
pub struct Device<H, T> {
    endpoint: Endpoint,
    rest: Rest,
    store: Store,
    profile: Arc<Profile>,
    handler: H,
    tokens: T,
    refused: Refused,
    /// The gateway asked to be left alone.
    hold: Hold,
    settings: Settings,
    clock: Clock,
    state: watch::Sender<State>,
    turns: Turns,
    /// Connect now.
    wake: Notify,
    /// The socket that is open now may be dead.
    doubt: watch::Sender<()>,
    /// Commands may wait in the inbox.
    work: Notify,
    /// Outcomes may wait in the outbox.
    results: Notify,
}

impl<H: Handler, T: TokenProvider> Device<H, T> {
    /// Begins to build a device for the gateway at this base URL.
    pub fn builder(url: impl Into<String>, tokens: T, handler: H) -> Builder<H, T> {
        Builder {
            url: url.into(),
            tokens,
            handler,
            store: PathBuf::from("tidegate-device.db"),
            device_id: None,
            device: HelloDevice {
                id: DeviceId::generate(),
                platform: Platform::Other,
                name: None,
                app_version: None,
                capabilities: None,
                push: None,
                wants_delta_push: None,
            },
            subscribe: Vec::new(),
            encodings: vec![Encoding::Zstd, Encoding::DeflateRaw],
            settings: Settings::default(),
            clock: Clock::system(),
            tls: None,
        }
    }

    /// Keeps the device in step until `cancel`, or until it stops for a reason
    /// that trying again cannot mend. It may be run again afterwards; a second
    /// run at the same time waits for the first to end.
    pub async fn run(&self, cancel: CancellationToken) -> Result<(), StopReason> {
        let Some(_turn) = cancel.run_until_cancelled(self.turns.run()).await else {
            return Ok(());
        };
        // Whichever of the two ends by itself ends the other.
        let over = cancel.child_token();
        // Boxed: the drivers' state is large, and it would sit in every future
        // of the app above this one.
        let connection = Box::pin(async {
            let ended = connection::run(self, &over).await;
            over.cancel();
            ended
        });
        let executor = async {
            let ended = executor::run(self, &over).await;
            over.cancel();
            ended
        };
        let (connected, executed) = tokio::join!(connection, executor);
        let ended = connected.and(executed);
        self.set_state(match &ended {
            Ok(()) => State::Offline,
            Err(reason) => State::Stopped { reason: reason.clone() },
        });
        ended
    }

    /// One round for a short wake-up in the background: polls until nothing
    /// more waits, carries out what came, reports it, and returns. Never
    /// opens a socket. Waits for a [`Device::run`] under way to end.
    pub async fn sync_once(&self, wait_s: u32) -> Result<(), connection::SyncError> {
        let _turn = self.turns.take().await;
        Box::pin(connection::sync_once(self, wait_s)).await
    }

    /// Acts on the data map of a push. An inline command goes through the same
    /// inbox as one from a socket or a poll, so it is carried out once, and its
    /// outcome is reported; a wake-up makes one round of polling, unless what it
    /// announces is here. Maps that are malformed, unknown or for another user
    /// do nothing but leave a line in the log.
    ///
    /// While [`Device::run`] is under way this returns at once and the run does
    /// the work, on a new socket if the one it has did not bring what the push
    /// announces; otherwise when the work is done, so that the app may sleep
    /// again. After an error nothing is lost: what came is durable, and an
    /// outcome is reported by the next push, round or run.
    pub async fn handle_push(
        &self,
        map: impl IntoIterator<Item = (String, String)>,
    ) -> Result<PushHandled, connection::SyncError> {
        let map: BTreeMap<_, _> = map.into_iter().collect();
        Box::pin(connection::handle_push(self, &map)).await
    }

    /// Connects at once if the device waits for its next attempt: the user
    /// asked for it, the network came back, or a push arrived. A wait that the
    /// gateway asked for ends too. While a session or polling works it does
    /// nothing.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Where the device stands, as it changes.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// The device's id.
    pub fn device_id(&self) -> &DeviceId {
        &self.profile.device.id
    }

    /// Where each stream stands, durably.
    pub async fn cursors(&self) -> Result<Cursors, StoreError> {
        self.store.cursors().await
    }

    /// Everything the device holds of a stream.
    pub async fn replica(&self, stream: &StreamName) -> Result<Vec<Change>, StoreError> {
        self.store.replica(stream).await
    }

    /// Closes the store, so that another process may open it at once.
    pub async fn close(self) -> Result<(), StoreError> {
        self.store.close().await
    }

    /// What the app does.
    pub fn handler(&self) -> &H {
        &self.handler
    }
}
