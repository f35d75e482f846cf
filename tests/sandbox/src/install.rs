//! A simulated install of the app: the device SDK, an app that says what it
//! does, and the system that hands pushes to it.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tidegate_device::device::Device;
use tidegate_device::handler::{Change, Command, Handler, HandlerError, Outcome};
use tidegate_device::state::State;
use tidegate_device::store::IN_MEMORY;
use tidegate_device::token::{StaticToken, Token};
use tidegate_fakes::feed::Feed;
use tidegate_protocol::command::{Platform, PushRegistration, ResultAnswer};
use tidegate_protocol::id::{DeviceId, StreamName};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::screen::Screen;

/// The stream of skills and categories.
const MARKETPLACE: &str = "marketplace";

/// Connecting takes milliseconds; this is for a machine under load.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Who an install is.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) name: &'static str,
    pub(crate) platform: Platform,
    pub(crate) push: PushRegistration,
}

/// An install; its tasks end when it is dropped.
pub(crate) struct Install {
    name: &'static str,
    screen: Screen,
    device: Arc<Device<App, StaticToken>>,
    run: Option<Run>,
    /// The system's part: it lives on while the app has no socket.
    listening: JoinSet<()>,
    /// Skills that changed while the app was live.
    changes: watch::Receiver<HashSet<String>>,
}

struct Run {
    cancel: CancellationToken,
    task: JoinSet<()>,
}

impl Install {
    /// Installs the app. Nothing is sent yet.
    pub(crate) async fn new(
        screen: &Screen,
        url: &str,
        token: &str,
        profile: Profile,
    ) -> anyhow::Result<Self> {
        let (told, changes) = watch::channel(HashSet::new());
        let app = App { name: profile.name, screen: screen.clone(), changed: told };
        let builder = Device::builder(url, StaticToken(Token::new(token)), app)
            .store(IN_MEMORY)
            .name(profile.name)
            .platform(profile.platform)
            .subscribe([StreamName::parse(MARKETPLACE)?])
            .push(Some(profile.push));
        Ok(Self {
            name: profile.name,
            screen: screen.clone(),
            device: Arc::new(builder.build().await?),
            run: None,
            listening: JoinSet::new(),
            changes,
        })
    }

    pub(crate) fn id(&self) -> &DeviceId {
        self.device.device_id()
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// Hands what a push service delivers to the app, as its system does.
    pub(crate) fn listen<T: Send + 'static>(
        &mut self,
        service: &'static str,
        mut feed: Feed<T>,
        data_map: fn(&T) -> BTreeMap<String, String>,
    ) {
        let (device, screen, name) = (Arc::clone(&self.device), self.screen.clone(), self.name);
        self.listening.spawn(async move {
            loop {
                let map = data_map(&feed.next().await);
                let action = map.get("action").map_or("nothing", String::as_str);
                screen.say(service, &format!("delivers `{action}` to the {name}"));
                match device.handle_push(map).await {
                    Ok(handled) => screen.say(name, &format!("push handled: {handled}")),
                    Err(error) => screen.say(name, &format!("push not handled yet: {error}")),
                }
            }
        });
    }

    /// Opens the app: a socket, until [`Install::cut`].
    pub(crate) async fn connect(&mut self) -> anyhow::Result<()> {
        let (device, cancel) = (Arc::clone(&self.device), CancellationToken::new());
        let (screen, name, run_cancel) = (self.screen.clone(), self.name, cancel.clone());
        let mut task = JoinSet::new();
        task.spawn(async move {
            if let Err(reason) = device.run(run_cancel).await {
                screen.say(name, &format!("stops: {reason}"));
            }
        });
        self.run = Some(Run { cancel, task });
        let mut state = self.device.state();
        let live = timeout(CONNECT_TIMEOUT, state.wait_for(|state| *state == State::Live)).await;
        live.with_context(|| format!("the {name} does not get a socket"))??;
        self.screen.say(self.name, "is live on a socket");
        Ok(())
    }

    /// Takes the socket away: the app is not running any more.
    pub(crate) async fn cut(&mut self) {
        if let Some(mut run) = self.run.take() {
            run.cancel.cancel();
            while run.task.join_next().await.is_some() {}
            self.screen.say(self.name, "has no socket any more");
        }
    }

    /// Waits until a change of this skill has come.
    pub(crate) async fn until_holds(&mut self, skill: &str) -> anyhow::Result<()> {
        let held = self.changes.wait_for(|changes| changes.contains(skill));
        let held = timeout(CONNECT_TIMEOUT, held).await;
        held.with_context(|| format!("the {} does not get the change", self.name))??;
        Ok(())
    }

    /// One round of polling, as the system grants it in the background.
    pub(crate) async fn poll(&self) -> anyhow::Result<()> {
        self.screen.say(self.name, "polls");
        Ok(self.device.sync_once(0).await?)
    }
}

/// The app: carries out every command, and says so.
#[derive(Debug)]
struct App {
    name: &'static str,
    screen: Screen,
    changed: watch::Sender<HashSet<String>>,
}

impl Handler for App {
    async fn execute(&self, command: &Command) -> Outcome {
        let source = if command.attempt.is_none() { "from the push" } else { "from its stream" };
        let what = format!("writes {} {} {source}", command.data_type, command.value);
        self.screen.say(self.name, &what);
        Outcome::Applied
    }

    async fn on_changes(
        &self,
        stream: &StreamName,
        changes: &[Change],
    ) -> Result<(), HandlerError> {
        for change in changes.iter().filter(|_| stream.as_str() == MARKETPLACE) {
            let what = format!("has the {} {}, version {}", change.kind, change.id, change.version);
            self.screen.say(self.name, &what);
            self.changed.send_modify(|changed| {
                changed.insert(change.id.clone());
            });
        }
        Ok(())
    }

    async fn on_snapshot(&self, stream: &StreamName, items: &[Change]) -> Result<(), HandlerError> {
        if stream.as_str() == MARKETPLACE {
            self.screen.say(self.name, &format!("holds {} items of the marketplace", items.len()));
        }
        Ok(())
    }

    fn on_confirmed(&self, answer: &ResultAnswer) {
        let status = answer.status.as_str();
        self.screen.say("gateway", &format!("has the {}'s result: {status}", self.name));
    }
}
