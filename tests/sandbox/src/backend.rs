//! The backend of an app: sends commands and asks what became of them.

use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tidegate_protocol::command::{Channel, CommandStatus, TimelineEvent};
use tidegate_protocol::id::{CommandId, DeviceId, UserId};
use tidegate_protocol::rest::history::CommandView;
use tidegate_protocol::rest::{CommandAccepted, CreateCommand, DeviceView, Page, PushState};
use tokio::time::{Instant, sleep};

/// Longest wait for an answer of the gateway.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest wait for something to become of a command: many times what the
/// slowest tier of the story takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often to look.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What has to be in a timeline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    pub(crate) event: TimelineEvent,
    pub(crate) channel: Channel,
}

impl Mark {
    pub(crate) fn is_in(self, view: &CommandView) -> bool {
        let mut rows = view.timeline.iter();
        rows.any(|row| row.event == self.event && row.channel == Some(self.channel))
    }
}

/// Calls with a `service` token.
#[derive(Clone, Debug)]
pub(crate) struct Backend {
    client: reqwest::Client,
    url: String,
    token: String,
    user: UserId,
}

impl Backend {
    pub(crate) fn new(url: &str, token: String, user: UserId) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().no_proxy().timeout(CALL_TIMEOUT).build()?;
        Ok(Self { client, url: url.to_owned(), token, user })
    }

    /// Sends a command to one device.
    pub(crate) async fn send(
        &self,
        device: &DeviceId,
        data_type: &str,
        value: &str,
    ) -> anyhow::Result<CommandId> {
        let command = CreateCommand {
            user_id: self.user.clone(),
            device_id: Some(device.clone()),
            data_type: data_type.to_owned(),
            value: RawValue::from_string(value.to_owned())?,
            priority: None,
            ttl_s: None,
            requires: None,
        };
        let request = self.client.post(format!("{}/api/v1/commands", self.url)).json(&command);
        Ok(self.call::<CommandAccepted>(request).await?.command_id)
    }

    /// The command with its timeline.
    pub(crate) async fn command(&self, id: &CommandId) -> anyhow::Result<CommandView> {
        self.call(self.client.get(format!("{}/api/v1/commands/{id}", self.url))).await
    }

    /// Waits until this stands in the command's timeline.
    pub(crate) async fn until_marked(&self, id: &CommandId, mark: Mark) -> anyhow::Result<()> {
        self.until(id, |view| mark.is_in(view)).await
    }

    /// Waits until the command has its final status.
    pub(crate) async fn until_final(&self, id: &CommandId) -> anyhow::Result<CommandStatus> {
        self.until(id, |view| view.status.is_final()).await?;
        Ok(self.command(id).await?.status)
    }

    /// Whether the device can be woken.
    pub(crate) async fn push_state(&self, device: &DeviceId) -> anyhow::Result<PushState> {
        let url = format!("{}/api/v1/users/{}/devices", self.url, self.user);
        let devices: Page<DeviceView> = self.call(self.client.get(url)).await?;
        let mut devices = devices.items.into_iter();
        let found = devices.find(|view| view.device_id == *device);
        Ok(found.context("the gateway does not know the device")?.push_state)
    }

    async fn until(
        &self,
        id: &CommandId,
        is_so: impl Fn(&CommandView) -> bool,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let view = self.command(id).await?;
            if is_so(&view) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!("command {id} is `{}` and goes no further", view.status.as_str());
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn call<T: DeserializeOwned>(
        &self,
        request: reqwest::RequestBuilder,
    ) -> anyhow::Result<T> {
        let answer = request.bearer_auth(&self.token).send().await?;
        let status = answer.status();
        let body = answer.text().await?;
        if !status.is_success() {
            bail!("the gateway answers {status}: {body}");
        }
        serde_json::from_str(&body).context("the gateway's answer cannot be read")
    }
}
