//! One socket session: drives the machine, the socket and the timers.
//!
//! One task owns the connection. Never decides what a frame means; that is
//! the machine's.

use std::time::Duration;

use tidegate_protocol::server::ErrorFrame;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::connection::Ended;
use crate::connection::apply::{ApplyError, apply, begin_anew};
use crate::connection::refusals;
use crate::connection::renewal::SessionToken;
use crate::connection::wire::{Incoming, Lost, Wire};
use crate::device::Device;
use crate::endpoint::{DialError, Socket};
use crate::handler::{Direction, Handler};
use crate::machine::streams::{Fault, Page};
use crate::machine::{AckNeed, Confirmed, Effect, Live, Machine};
use crate::state::State;
use crate::store::StoreError;
use crate::token::{Token, TokenProvider};

/// What a transcript shows instead of an `auth` frame.
const AUTH_BLANKED: &str = r#"{"type":"auth","token":"[blanked]"}"#;

/// Dials and serves one session.
pub(super) async fn run<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
    cancel: &CancellationToken,
) -> Ended {
    let connecting = cancel.run_until_cancelled(connect(device));
    let session = match connecting.await {
        None => return Ended::Cancelled,
        Some(Err(ended)) => return ended,
        Some(Ok(session)) => session,
    };
    // The session's state is large and short-lived next to the device's own.
    Box::pin(session.serve(cancel)).await
}

/// Reads the store first: a slow one would keep an open socket silent for longer
/// than the gateway waits for `hello`, and a broken one needs none.
async fn connect<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
) -> Result<Session<'_, H, T>, Ended> {
    let machine = machine(device).await.map_err(|error| {
        tracing::error!(%error, "no session without the store");
        Ended::by_store(&error, Ended::NotConnected)
    })?;
    let settings = device.settings();
    let token = device.token().await.map_err(|error| {
        tracing::warn!(%error, "no token");
        Ended::Unauthorized { worked: false }
    })?;
    if !device.is_polling() {
        device.set_state(State::Connecting);
    }
    let dialling = device.endpoint().dial(&token, settings.read_buffer_bytes);
    match tokio::time::timeout(settings.connect_timeout, dialling).await {
        Ok(Ok(socket)) => Ok(Session::new(device, socket, machine, token)),
        Ok(Err(DialError::Unauthorized)) => {
            device.refused().note(&token);
            Err(Ended::Unauthorized { worked: false })
        }
        Ok(Err(DialError::Failed { cause, retry_after })) => {
            tracing::info!(%cause, "the gateway cannot be reached by socket");
            if let Some(wait) = retry_after {
                device.hold_off(wait);
            }
            Err(Ended::NotConnected)
        }
        Err(_) => {
            tracing::info!("dialling took too long");
            Err(Ended::NotConnected)
        }
    }
}

async fn machine<H: Handler, T: TokenProvider>(
    device: &Device<H, T>,
) -> Result<Machine, StoreError> {
    let (held, owner) = (device.store().cursors().await?, device.store().owner().await?);
    Ok(Machine::new(device.profile().clone(), held, owner))
}

struct Session<'d, H, T> {
    device: &'d Device<H, T>,
    wire: Wire,
    machine: Machine,
    welcomed_at: Option<Instant>,
    heartbeat: Duration,
    token: SessionToken<'d>,
    /// What the frame that came last refused.
    refused: Option<ErrorFrame>,
    /// Doubts since this session began.
    doubts: watch::Receiver<()>,
    /// When the last frame came.
    heard_at: Instant,
    /// Silence until then means that the path is dead.
    silent_at: Instant,
    ack_at: Option<Instant>,
    results_at: Option<Instant>,
    reconnect_at: Option<Instant>,
}

/// What woke the session.
enum Woken {
    Cancelled,
    Deadline,
    Token(Option<Token>),
    Results,
    Doubt,
    Frame(Result<Incoming, Lost>),
}

/// The session is over: in this way, or as the close code says.
struct Over(Option<Ended>);

impl From<Lost> for Over {
    fn from(_: Lost) -> Self {
        Self(None)
    }
}

impl From<StoreError> for Over {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the session ends: nothing can be made durable");
        Self(error.stops().map(Ended::Stopped))
    }
}

impl<'d, H: Handler, T: TokenProvider> Session<'d, H, T> {
    fn new(device: &'d Device<H, T>, socket: Socket, machine: Machine, token: Token) -> Self {
        Self {
            device,
            wire: Wire::new(socket, device.settings().write_timeout),
            machine,
            welcomed_at: None,
            heartbeat: Duration::ZERO,
            token: SessionToken::new(token),
            refused: None,
            doubts: device.doubt().subscribe(),
            heard_at: Instant::now(),
            silent_at: Instant::now() + device.settings().connect_timeout,
            ack_at: None,
            results_at: None,
            reconnect_at: None,
        }
    }

    async fn serve(mut self, cancel: &CancellationToken) -> Ended {
        let hello = self.machine.hello_blanked();
        self.device.handler().on_frame(Direction::FromDevice, &hello);
        let over = match self.wire.write(self.machine.hello()).await {
            Err(lost) => lost.into(),
            Ok(()) => loop {
                let woken = self.wait(cancel).await;
                if let Err(over) = self.on(woken).await {
                    break over;
                }
            },
        };
        let closed = self.wire.close().await;
        if self.welcomed_at.is_some() {
            self.device.forget_wake();
        }
        refusals::note_close(self.device, &closed, self.refused.as_ref(), &self.token);
        match (over.0, self.welcomed_at) {
            (Some(ended), _) => ended,
            // A close code tells more than the lack of a welcome.
            (None, None) if closed.code.is_none() => Ended::NotConnected,
            (None, welcomed_at) => Ended::Closed {
                closed,
                lived: welcomed_at.map(|at| at.elapsed()),
                reconnect_at: self.reconnect_at,
            },
        }
    }

    /// Biased: the app's wish first, then what is due, so that a flood of
    /// frames starves neither acks nor results; frames last.
    async fn wait(&mut self, cancel: &CancellationToken) -> Woken {
        let due = [self.ack_at, self.results_at, self.reconnect_at, Some(self.silent_at)];
        let due = due.into_iter().flatten().min().unwrap_or(self.silent_at);
        tokio::select! {
            biased;
            () = cancel.cancelled() => Woken::Cancelled,
            () = tokio::time::sleep_until(due) => Woken::Deadline,
            token = self.token.renewed() => Woken::Token(token),
            () = self.device.results().notified(), if self.machine.can_send_results() => {
                Woken::Results
            }
            Ok(()) = self.doubts.changed() => Woken::Doubt,
            frame = self.wire.read() => Woken::Frame(frame),
        }
    }

    async fn on(&mut self, woken: Woken) -> Result<(), Over> {
        match woken {
            Woken::Cancelled => {
                self.send_ack().await?;
                Err(Over(Some(Ended::Cancelled)))
            }
            Woken::Deadline => self.on_deadline().await,
            Woken::Token(token) => self.on_token(token).await,
            Woken::Results => self.send_results().await,
            Woken::Doubt => self.on_doubt(),
            Woken::Frame(frame) => self.on_frame(frame?).await,
        }
    }

    async fn on_deadline(&mut self) -> Result<(), Over> {
        let now = Instant::now();
        if self.ack_at.is_some_and(|at| at <= now) {
            self.send_ack().await?;
        }
        if self.results_at.is_some_and(|at| at <= now) {
            self.results_at = None;
            self.machine.forget_results_in_flight();
            self.send_results().await?;
        }
        if self.silent_at <= now || self.reconnect_at.is_some_and(|at| at <= now) {
            return Err(Over(None));
        }
        Ok(())
    }

    /// Answers the warning, once. Without a successor the session lives until
    /// its token ends.
    async fn on_token(&mut self, token: Option<Token>) -> Result<(), Over> {
        let Some(token) = token else { return Ok(()) };
        self.device.handler().on_frame(Direction::FromDevice, AUTH_BLANKED);
        Ok(self.wire.write(Machine::auth(token.expose())).await?)
    }

    /// The gateway pushes to devices that it does not reach otherwise. A phone
    /// that slept may hold a socket that ended long ago, and its results would
    /// wait in it for the next heartbeat.
    fn on_doubt(&self) -> Result<(), Over> {
        if self.heard_at.elapsed() < self.device.settings().doubt_after {
            return Ok(());
        }
        tracing::info!("connecting anew: a push brought what the socket did not");
        Err(Over(None))
    }

    async fn on_frame(&mut self, frame: Incoming) -> Result<(), Over> {
        self.heard_at = Instant::now();
        if self.welcomed_at.is_some() {
            let patience = 2 * self.heartbeat + self.device.settings().write_timeout;
            self.silent_at = Instant::now() + patience;
        }
        match frame {
            Incoming::Alive => Ok(()),
            Incoming::Text(text) => self.on_text(&text).await,
            Incoming::Binary(bytes) => match self.machine.decode(&bytes) {
                Ok(text) => self.on_text(&text).await,
                Err(fault) => self.reconnect(&fault).await,
            },
        }
    }

    async fn on_text(&mut self, text: &str) -> Result<(), Over> {
        self.device.handler().on_frame(Direction::FromGateway, text);
        self.refused = None;
        for effect in self.machine.text(text) {
            self.run_effect(effect).await?;
        }
        match self.machine.ack_need(self.device.settings().ack_entries) {
            AckNeed::None => Ok(()),
            AckNeed::Now => self.send_ack().await,
            AckNeed::Soon => {
                let at = Instant::now() + self.device.settings().ack_delay;
                self.ack_at.get_or_insert(at);
                Ok(())
            }
        }
    }

    async fn run_effect(&mut self, effect: Effect) -> Result<(), Over> {
        match effect {
            Effect::Send(frame) => self.send(frame).await,
            Effect::Live(live) => self.on_live(live).await,
            Effect::Apply(page) => self.apply(page).await,
            Effect::Confirmed(confirmed) => self.on_confirmed(confirmed).await,
            Effect::TokenWanted(ends) => {
                self.token.warned(self.device, ends);
                Ok(())
            }
            Effect::TokenTaken => {
                self.token.taken();
                Ok(())
            }
            Effect::Drain(after) => {
                self.reconnect_at = Some(Instant::now() + after);
                Ok(())
            }
            Effect::Refused(error) => {
                self.on_refused(error);
                Ok(())
            }
            Effect::Reconnect(fault) => self.reconnect(&fault).await,
            Effect::Stop(reason) => Err(Over(Some(Ended::Stopped(reason)))),
        }
    }

    /// Of a frame, or of the session that is closed next.
    fn on_refused(&mut self, error: ErrorFrame) {
        tracing::warn!(%error.code, error.message, "the gateway refused a frame");
        if let (Some(at), Some(wait)) = (self.results_at, self.device.wait_of(&error)) {
            self.results_at = Some(at.max(Instant::now() + wait));
        }
        self.refused = Some(error);
    }

    async fn on_live(&mut self, live: Live) -> Result<(), Over> {
        let store = self.device.store();
        self.welcomed_at = Some(Instant::now());
        self.heartbeat = live.heartbeat;
        self.device.clock().hear(live.server_time);
        self.device.hold().lift();
        store.begin_session(&live, &self.device.profile().fingerprint()).await?;
        store.prune(live.server_time).await?;
        self.device.set_state(State::Live);
        // Commands from before this run wait for the gateway's time.
        self.device.work().notify_one();
        self.send_results().await
    }

    async fn apply(&mut self, page: Page) -> Result<(), Over> {
        let receipt = page.receipt();
        match apply(self.device, page).await {
            Ok(()) => {
                self.machine.applied(&receipt);
                Ok(())
            }
            Err(ApplyError::Mismatch(stream)) => self.reconnect(&Fault::Gap(stream)).await,
            Err(ApplyError::Store(error)) => Err(error.into()),
            Err(ApplyError::Handler(error)) => {
                tracing::error!(%error, "the session ends: a page could not be applied");
                Err(Over(None))
            }
        }
    }

    async fn on_confirmed(&mut self, confirmed: Vec<Confirmed>) -> Result<(), Over> {
        let reports: Vec<_> =
            confirmed.iter().map(|row| (row.answer.command_id.clone(), row.attempt)).collect();
        self.device.store().confirm(&reports).await?;
        for row in &confirmed {
            self.device.handler().on_confirmed(&row.answer);
        }
        if self.machine.can_send_results() {
            self.results_at = None;
        }
        self.send_results().await
    }

    async fn reconnect(&mut self, fault: &Fault) -> Result<(), Over> {
        tracing::warn!(%fault, "connecting anew");
        if let Fault::Gap(stream) = fault {
            begin_anew(self.device, stream).await;
        }
        Err(Over(None))
    }

    async fn send_ack(&mut self) -> Result<(), Over> {
        self.ack_at = None;
        match self.machine.take_ack() {
            Some(frame) => self.send(frame).await,
            None => Ok(()),
        }
    }

    async fn send_results(&mut self) -> Result<(), Over> {
        if !self.machine.can_send_results() {
            return Ok(());
        }
        let outbox = self.device.store().outbox().await?;
        let Some(frame) = self.machine.results(outbox) else { return Ok(()) };
        self.results_at = Some(Instant::now() + self.device.settings().results_timeout);
        self.send(frame).await
    }

    async fn send(&mut self, frame: String) -> Result<(), Over> {
        self.device.handler().on_frame(Direction::FromDevice, &frame);
        Ok(self.wire.write(frame).await?)
    }
}
