//! An app with the device SDK that follows the marketplace, and keeps what it
//! holds over its restarts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde_json::Value;
use tempfile::TempDir;
use tidegate_device::device::Device;
use tidegate_device::handler::{Command, Handler, Outcome};
use tidegate_device::settings::Settings;
use tidegate_device::state::StopReason;
use tidegate_device::token::{Token as SdkToken, TokenError};
use tidegate_protocol::id::{DeviceId, StreamName};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::marketplace::world::{STREAM, World};
use crate::support::{Token, bounded, eventually};

/// No commands come to it.
#[derive(Clone)]
struct App;

impl Handler for App {
    async fn execute(&self, _: &Command) -> Outcome {
        Outcome::Applied
    }
}

type Tokens = Box<dyn Fn() -> BoxFuture<'static, Result<SdkToken, TokenError>> + Send + Sync>;

/// An install of the app.
pub(super) struct Phone {
    id: DeviceId,
    store: TempDir,
}

/// The app while it runs.
pub(super) struct Running {
    device: Arc<Device<App, Tokens>>,
    cancel: CancellationToken,
    task: JoinSet<Result<(), StopReason>>,
}

fn stream() -> StreamName {
    StreamName::parse(STREAM).unwrap()
}

impl Phone {
    pub(super) fn new() -> Self {
        Self { id: DeviceId::generate(), store: TempDir::new().unwrap() }
    }

    async fn open(&self, world: &World) -> Device<App, Tokens> {
        let token = Token::device("u1").sign();
        let tokens: Tokens = Box::new(move || {
            let token = SdkToken::new(token.clone());
            Box::pin(async move { Ok(token) })
        });
        let settings = Settings {
            ack_delay: Duration::from_millis(2),
            retry_initial: Duration::from_millis(5),
            retry_longest: Duration::from_millis(50),
            ..Settings::default()
        };
        let url = format!("http://{}", world.gateway.address());
        let builder = Device::builder(url, tokens, App).store(self.store.path().join("device.db"));
        let builder = builder.device_id(self.id.clone()).subscribe([stream()]).settings(settings);
        builder.build().await.unwrap()
    }

    /// Opens the app for one round of polling.
    pub(super) async fn sync_once(&self, world: &World) {
        let device = self.open(world).await;
        bounded("one round", device.sync_once(0)).await.unwrap();
        device.close().await.unwrap();
    }

    /// Starts the app.
    pub(super) async fn start(&self, world: &World) -> Running {
        let device = Arc::new(self.open(world).await);
        let cancel = CancellationToken::new();
        let mut task = JoinSet::new();
        let (running, until) = (Arc::clone(&device), cancel.clone());
        task.spawn(async move { running.run(until).await });
        Running { device, cancel, task }
    }
}

impl Running {
    /// What it holds of this kind: data by id.
    pub(super) async fn held(&self, kind: &str) -> BTreeMap<String, Value> {
        let replica = self.device.replica(&stream()).await.unwrap();
        let of_kind = replica.into_iter().filter(|change| change.kind == kind);
        of_kind
            .filter_map(|change| {
                Some((change.id, serde_json::from_str(change.data?.get()).unwrap()))
            })
            .collect()
    }

    /// Waits until it has everything up to the stream's head.
    pub(super) async fn until_caught_up(&self, world: &World) {
        let head = world.head().await;
        eventually("the phone holds everything", async || {
            let cursors = self.device.cursors().await.unwrap();
            cursors.get(&stream()).is_some_and(|cursor| cursor.seq.get() >= head).then_some(())
        })
        .await;
    }

    /// Ends the app as a person does.
    pub(super) async fn stop(mut self) {
        self.cancel.cancel();
        bounded("the app's end", self.task.join_next()).await.unwrap().unwrap().unwrap();
        let device = Arc::into_inner(self.device).expect("the run has ended");
        bounded("closing the store", device.close()).await.unwrap();
    }
}
