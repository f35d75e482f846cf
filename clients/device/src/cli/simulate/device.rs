//! One simulated device: the real machine, a socket with small buffers, and a
//! cursor in memory instead of a store.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use tidegate_device::endpoint::Socket;
use tidegate_device::machine::streams::Page;
use tidegate_device::machine::{Effect, Machine, Profile};
use tidegate_device::retry::Delays;
use tidegate_device::token::Token;
use tidegate_protocol::client::HelloDevice;
use tidegate_protocol::command::{CommandResult, Outcome, Platform};
use tidegate_protocol::cursor::Cursors;
use tidegate_protocol::encoding::Encoding;
use tidegate_protocol::entry::{CommandBody, kind};
use tidegate_protocol::id::{CommandId, DeviceId, Seq};
use tidegate_protocol::limits::RESULTS_PER_FRAME;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

use crate::cli::simulate::Shared;

/// Enough for a command and its frame; thousands of these live in one process.
const READ_BUFFER_BYTES: usize = 1024;

/// Dialling, and a write that makes no progress.
const PATIENCE: Duration = Duration::from_secs(15);

/// What one device saw.
#[derive(Default)]
pub(super) struct Tally {
    /// By number: how the command came first.
    pub(super) seen: Vec<Option<Arrived>>,
    /// Entries that repeat one already seen at its first attempt.
    pub(super) duplicate: u64,
    /// Positions that do not rise.
    pub(super) out_of_order: u64,
    /// Further attempts: the gateway asked again, as it may.
    pub(super) repeated: u64,
    pub(super) confirmed: u64,
    pub(super) latency_us: Vec<u32>,
    pub(super) last_seq: Seq,
}

/// How a command came.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrived {
    Entry(Seq),
    Item,
}

#[derive(Deserialize)]
struct Value {
    n: usize,
    at_us: u64,
}

struct Simulated<'s> {
    shared: &'s Shared,
    profile: Arc<Profile>,
    held: Cursors,
    outbox: Vec<CommandResult>,
    tally: Tally,
    was_live: bool,
}

/// Why a session ended.
enum Over {
    Cut,
    Lost,
}

/// Runs until cancelled, reconnecting from the cursor it holds.
pub(super) async fn run(
    shared: &Shared,
    index: usize,
    token: Token,
    cancel: &CancellationToken,
) -> Tally {
    let device = HelloDevice {
        id: DeviceId::generate(),
        platform: Platform::Other,
        name: None,
        app_version: None,
        capabilities: None,
        push: None,
        wants_delta_push: None,
    };
    let profile = Profile {
        device,
        subscribe: Vec::new(),
        encodings: vec![Encoding::Zstd],
        heartbeat_s: None,
    };
    let mut simulated = Simulated {
        shared,
        profile: Arc::new(profile),
        held: Cursors::new(),
        outbox: Vec::new(),
        tally: Tally::default(),
        was_live: false,
    };
    let mut delays = Delays::new(Duration::from_millis(50), Duration::from_secs(5));
    let sessions = async {
        loop {
            let cut = shared.cuts[index].notified();
            match simulated.session(&token, cut).await {
                Over::Cut => delays.reset(),
                Over::Lost => tokio::time::sleep(delays.next_delay()).await,
            }
            shared.reconnects.fetch_add(1, Ordering::Relaxed);
        }
    };
    cancel.run_until_cancelled(sessions).await;
    simulated.tally
}

impl Simulated<'_> {
    async fn session(&mut self, token: &Token, cut: impl Future<Output = ()>) -> Over {
        let Some(mut socket) = self.dial(token).await else { return Over::Lost };
        let mut machine = Machine::new(Arc::clone(&self.profile), self.held.clone(), None);
        let serving = async {
            if send(&mut socket, machine.hello()).await.is_err() {
                return Over::Lost;
            }
            loop {
                let Some(Ok(message)) = socket.next().await else { return Over::Lost };
                let text = match &message {
                    Message::Text(text) => text.as_str().to_owned(),
                    Message::Binary(bytes) => match machine.decode(bytes) {
                        Ok(text) => text,
                        Err(_) => return Over::Lost,
                    },
                    _ => continue,
                };
                if self.on_text(&mut machine, &mut socket, &text).await.is_err() {
                    return Over::Lost;
                }
            }
        };
        let over = tokio::select! {
            over = serving => over,
            // Dropped without a goodbye: that is what a cut is.
            () = cut => Over::Cut,
        };
        self.held.clone_from(machine.held());
        over
    }

    async fn dial(&self, token: &Token) -> Option<Socket> {
        let _permit = self.shared.dials.acquire().await.ok()?;
        let dialling = self.shared.endpoint.dial(token, READ_BUFFER_BYTES);
        timeout(PATIENCE, dialling).await.ok()?.ok()
    }

    async fn on_text(
        &mut self,
        machine: &mut Machine,
        socket: &mut Socket,
        text: &str,
    ) -> Result<(), Lost> {
        for effect in machine.text(text) {
            match effect {
                Effect::Send(frame) => send(socket, frame).await?,
                Effect::Live(_) => self.on_live(),
                Effect::Apply(page) => {
                    machine.applied(&page.receipt());
                    self.take(page);
                }
                Effect::Confirmed(rows) => {
                    for row in rows {
                        self.confirm(&row.answer.command_id);
                    }
                }
                Effect::TokenWanted(_)
                | Effect::TokenTaken
                | Effect::Drain(_)
                | Effect::Refused(_) => {}
                Effect::Reconnect(_) | Effect::Stop(_) => return Err(Lost),
            }
        }
        if let Some(ack) = machine.take_ack() {
            send(socket, ack).await?;
        }
        let upto = self.outbox.len().min(RESULTS_PER_FRAME);
        match machine.results(self.outbox[..upto].to_vec()) {
            Some(results) => send(socket, results).await,
            None => Ok(()),
        }
    }

    fn on_live(&mut self) {
        if !self.was_live {
            self.was_live = true;
            self.shared.live.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn take(&mut self, page: Page) {
        match page {
            Page::Events(page) => {
                for entry in page.entries {
                    if entry.seq <= self.tally.last_seq {
                        self.tally.out_of_order += 1;
                    }
                    self.tally.last_seq = entry.seq;
                    if entry.kind == kind::COMMAND {
                        self.command(entry.body.get(), Arrived::Entry(entry.seq));
                    }
                }
            }
            Page::Snapshot(page) => {
                for item in page.items {
                    if item.kind == kind::COMMAND {
                        self.command(item.body.get(), Arrived::Item);
                    }
                }
            }
        }
    }

    fn command(&mut self, body: &str, arrived: Arrived) {
        let Ok(body) = serde_json::from_str::<CommandBody>(body) else { return };
        let Ok(value) = serde_json::from_str::<Value>(body.value.get()) else { return };
        let seen = &mut self.tally.seen;
        if seen.len() <= value.n {
            seen.resize(value.n + 1, None);
        }
        match seen[value.n] {
            None => {
                seen[value.n] = Some(arrived);
                self.shared.delivered.fetch_add(1, Ordering::Relaxed);
                let latency = self.shared.elapsed_us().saturating_sub(value.at_us);
                self.tally.latency_us.push(u32::try_from(latency).unwrap_or(u32::MAX));
            }
            Some(_) if body.attempt > 1 => self.tally.repeated += 1,
            // A snapshot is state: it may hold what is known already.
            Some(_) if arrived == Arrived::Item => {}
            Some(_) => self.tally.duplicate += 1,
        }
        self.outbox.retain(|result| result.command_id != body.command_id);
        self.outbox.push(CommandResult {
            command_id: body.command_id,
            attempt: Some(body.attempt),
            status: Outcome::Applied,
            error: None,
            retryable: None,
        });
    }

    fn confirm(&mut self, command_id: &CommandId) {
        let before = self.outbox.len();
        self.outbox.retain(|result| result.command_id != *command_id);
        if self.outbox.len() < before {
            self.tally.confirmed += 1;
            self.shared.confirmed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

struct Lost;

async fn send(socket: &mut Socket, frame: String) -> Result<(), Lost> {
    match timeout(PATIENCE, socket.send(Message::text(frame))).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Lost),
    }
}
