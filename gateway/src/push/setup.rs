//! From settings and files to push services that can send.

use std::time::Duration;

use anyhow::Context as _;
use tidegate_clock::Clock;
use tidegate_services::fcm::{Fcm, FcmSettings};
use tidegate_services::oauth::account::ServiceAccount;
use tidegate_services::webpush::vapid::Vapid;
use tidegate_services::webpush::{WebPush, WebPushSettings};

use crate::config::Config;
use crate::push::Push;
use crate::push::circuit::Circuits;
use crate::push::send::SEND_TIMEOUT;

/// Opens what is configured. Without credentials there is no push tier, and
/// everything else works: said once.
pub fn open(config: &Config, clock: &Clock) -> anyhow::Result<Push> {
    let fcm = fcm(config, clock).context("push.fcm")?;
    let webpush = webpush(config, clock).context("push.webpush")?;
    if fcm.is_none() && webpush.is_none() {
        tracing::info!("no push service is configured: devices are reached by socket and poll");
    }
    Ok(Push::new(fcm, webpush, Circuits::new(config.push.circuit_ms)))
}

fn fcm(config: &Config, clock: &Clock) -> anyhow::Result<Option<Fcm>> {
    let settings = &config.push.fcm;
    if settings.credentials_file.is_empty() {
        return Ok(None);
    }
    let account = ServiceAccount::from_json(&read(&settings.credentials_file)?)?;
    let options = FcmSettings {
        base_url: settings.base_url.parse().context("push.fcm.base_url")?,
        project_id: Some(settings.project_id.clone()).filter(|id| !id.is_empty()),
        request_timeout: SEND_TIMEOUT,
    };
    Ok(Some(Fcm::new(account, &options, clock.clone())?))
}

fn webpush(config: &Config, clock: &Clock) -> anyhow::Result<Option<WebPush>> {
    let settings = &config.push.webpush;
    if settings.private_key_file.is_empty() {
        return Ok(None);
    }
    let vapid = Vapid::new(read(&settings.private_key_file)?.trim(), &settings.subject)?;
    let options =
        WebPushSettings { request_timeout: SEND_TIMEOUT, policy: config.endpoint_policy() };
    Ok(Some(WebPush::new(vapid, &options, clock.clone())?))
}

fn read(path: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}

/// How long a claim holds: a node that is killed delays its wake-ups by no
/// more than this.
pub(super) const CLAIM: Duration = Duration::from_secs(10);
