//! A phone: an app with the SDK in it, whose store and effects survive
//! restarts of the app.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tempfile::TempDir;
use tidegate_device::clock::Clock;
use tidegate_device::device::Device;
use tidegate_device::handler::{Command, Direction, Handler, Outcome};
use tidegate_device::settings::Settings;
use tidegate_device::state::{State, StopReason};
use tidegate_device::token::{Token, TokenError};
use tidegate_protocol::id::{DeviceId, StreamName};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::{bounded, fill};

/// What the app did; it survives its restarts, as a health store does.
#[derive(Clone, Default)]
pub(super) struct App {
    effects: watch::Sender<HashMap<String, usize>>,
    /// While it stands, whatever is begun does not end.
    stuck: Arc<AtomicBool>,
    frames: Arc<Mutex<Vec<String>>>,
}

impl App {
    /// How often each command took effect, by id.
    pub(super) fn effects(&self) -> HashMap<String, usize> {
        self.effects.borrow().clone()
    }

    /// From now on nothing that is begun ends, or everything does again.
    pub(super) fn be_stuck(&self, stuck: bool) {
        self.stuck.store(stuck, Ordering::Relaxed);
    }

    /// Waits until this command took effect.
    pub(super) async fn until_done(&self, id: &str) {
        let mut effects = self.effects.subscribe();
        let done = effects.wait_for(|effects| effects.contains_key(id));
        bounded("the command's effect", done).await.unwrap();
    }

    /// How many frames of this type the gateway sent, or the device.
    pub(super) fn frames(&self, frame_type: &str) -> usize {
        let mark = format!(r#""type":"{frame_type}""#);
        self.frames.lock().unwrap().iter().filter(|frame| frame.contains(&mark)).count()
    }
}

impl Handler for App {
    async fn execute(&self, command: &Command) -> Outcome {
        if self.stuck.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        let id = command.id.as_str();
        // What an app does that was interrupted: it looks before it writes.
        let has_effect = self.effects.borrow().contains_key(id);
        if !(command.resumed && has_effect) {
            self.effects.send_modify(|effects| *effects.entry(id.to_owned()).or_default() += 1);
        }
        Outcome::Applied
    }

    fn on_frame(&self, _: Direction, frame: &str) {
        self.frames.lock().unwrap().push(frame.to_owned());
    }
}

type Tokens = Arc<dyn Fn() -> BoxFuture<'static, Result<Token, TokenError>> + Send + Sync>;

/// An install of the app.
pub(super) struct Phone {
    pub(super) app: App,
    pub(super) id: DeviceId,
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) subscribe: Vec<StreamName>,
    store: TempDir,
    tokens: Tokens,
}

type PhoneDevice =
    Device<App, Box<dyn Fn() -> BoxFuture<'static, Result<Token, TokenError>> + Send + Sync>>;

/// The app while it runs.
pub(super) struct Running {
    pub(super) device: Arc<PhoneDevice>,
    cancel: CancellationToken,
    task: JoinSet<Result<(), StopReason>>,
}

/// Settings of a phone that has no time to lose.
pub(super) fn hasty() -> Settings {
    Settings {
        ack_delay: Duration::from_millis(2),
        results_timeout: Duration::from_millis(500),
        socket_attempts: 2,
        socket_interval: Duration::from_millis(200),
        replaced_wait: None,
        retry_initial: Duration::from_millis(5),
        retry_longest: Duration::from_millis(50),
        poll_wait_s: 1,
        ..Settings::default()
    }
}

impl Phone {
    /// With a token that is always good.
    pub(super) fn with_token(token: String) -> Self {
        Self::with_tokens(move || Ok(Token::new(token.clone())))
    }

    /// With tokens as the test gives them.
    pub(super) fn with_tokens(
        tokens: impl Fn() -> Result<Token, TokenError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            app: App::default(),
            id: DeviceId::generate(),
            settings: hasty(),
            clock: Clock::system(),
            subscribe: Vec::new(),
            store: TempDir::new().unwrap(),
            tokens: Arc::new(move || {
                let token = tokens();
                Box::pin(async move { token })
            }),
        }
    }

    /// Begins on a store with this in it.
    pub(super) async fn on(self, dump: &str) -> Self {
        fill(&self.store.path().join("device.db"), dump).await;
        self
    }

    /// Opens the app without running it.
    pub(super) async fn open(&self, url: &str) -> PhoneDevice {
        let tokens = Arc::clone(&self.tokens);
        let tokens: Box<dyn Fn() -> BoxFuture<'static, Result<Token, TokenError>> + Send + Sync> =
            Box::new(move || tokens());
        Device::builder(url, tokens, self.app.clone())
            .store(self.store.path().join("device.db"))
            .device_id(self.id.clone())
            .subscribe(self.subscribe.iter().cloned())
            .settings(self.settings.clone())
            .clock(self.clock.clone())
            .build()
            .await
            .unwrap()
    }

    /// Starts the app.
    pub(super) async fn start(&self, url: &str) -> Running {
        let device = Arc::new(self.open(url).await);
        let cancel = CancellationToken::new();
        let mut task = JoinSet::new();
        let (running, until) = (Arc::clone(&device), cancel.clone());
        task.spawn(async move { running.run(until).await });
        Running { device, cancel, task }
    }
}

impl Running {
    /// Waits until it stands like this.
    pub(super) async fn until(&self, state: State) {
        let mut states = self.device.state();
        let what = format!("the state {state:?}");
        bounded(&what, states.wait_for(|current| *current == state)).await.unwrap();
    }

    /// Ends the app as a person does.
    pub(super) async fn stop(mut self) {
        self.cancel.cancel();
        bounded("the app's end", self.task.join_next()).await.unwrap().unwrap().unwrap();
        let device = Arc::into_inner(self.device).expect("the run has ended");
        bounded("closing the store", device.close()).await.unwrap();
    }

    /// How it stopped by itself.
    pub(super) async fn stopped(mut self) -> Result<(), StopReason> {
        bounded("the app's own end", self.task.join_next()).await.unwrap().unwrap()
    }
}
