//! The loop that sends wake-ups: claims what is due, looks again, sends, and
//! settles. Everything it must remember is in the database; a node that is
//! killed leaves claims that end by themselves.

use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use sea_orm::DbErr;
use tidegate_entity::{device, push_wake};
use tidegate_services::limits::RETRY_AFTER_MAX;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::push::Handles;
use crate::push::Push;
use crate::push::bucket::DeviceBucket;
use crate::push::circuit::Leave;
use crate::push::dispatch::look::Job;
use crate::push::plan::{self, Order, PlanOptions};
use crate::push::rate::Rate;
use crate::push::send::{self, Address, Answer, SEND_TIMEOUT};
use crate::push::setup::CLAIM;
use crate::retry::Waits;
use crate::store;
use crate::store::device::{DeviceKey, TokenOwner, skewed};
use crate::store::wake::Claim;

mod answer;
mod look;

/// How long the loop waits at most before it looks again: what another node
/// committed gives no notice here.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Wake-ups that one step makes due after the clock was set back.
const REDATED_PER_STEP: u64 = 500;

/// How long to wait when what is due is in another node's hands.
const TAKEN_WAIT: Duration = Duration::from_millis(50);

/// Sends wake-ups until it is told to stop.
pub async fn run(state: Handles, push: Push, stop: CancellationToken) -> anyhow::Result<()> {
    let mut dispatcher = Dispatcher::new(state, push)?;
    while let Err(error) = dispatcher.begin().await {
        tracing::warn!(%error, "the push tier could not begin; it is tried again");
        if stop.run_until_cancelled(tokio::time::sleep(LOOK_AGAIN)).await.is_none() {
            return Ok(());
        }
    }
    dispatcher.run(stop).await;
    Ok(())
}

/// What sends wake-ups, step by step.
pub struct Dispatcher {
    state: Handles,
    push: Push,
    node: String,
    options: PlanOptions,
    bucket: DeviceBucket,
    rate: Rate,
    /// The longest that anything makes a wake-up wait.
    longest_wait_ms: i64,
    /// When rows were last looked at that a wrong clock may have left.
    dates_checked: Option<Instant>,
    sending: FuturesUnordered<BoxFuture<'static, Sent>>,
    /// Where the scan for devices that lag on data stands; `None` between two.
    scan: Option<Scan>,
    /// Moved on, not written yet.
    settled: Settled,
}

/// A scan for devices that lag on data.
#[derive(Default)]
struct Scan {
    /// The last device of the page before.
    after: Option<DeviceKey>,
}

/// A wake-up that was sent, with its answer.
struct Sent {
    wake: push_wake::Model,
    device: device::Model,
    address: Address,
    order: Order,
    answer: Answer,
    leave: Leave,
}

#[derive(Default)]
struct Settled {
    wakes: Vec<push_wake::Model>,
    ended: Vec<EndedToken>,
}

/// A token that ended, and why.
#[derive(Debug)]
struct EndedToken {
    owner: TokenOwner,
    reason: String,
}

impl Dispatcher {
    /// Ready to begin.
    pub fn new(state: Handles, push: Push) -> anyhow::Result<Self> {
        let settings = &state.settings;
        let ramp = Duration::from_secs(u64::from(settings.ramp_s));
        let options = PlanOptions {
            result_timeout_ms: i64::try_from(settings.result_timeout_ms)?,
            backoff: Waits::new(&settings.backoff_ms, plan::JITTER),
            refusal_backoff: Waits::new(&settings.refusal_backoff_ms, plan::JITTER),
            inline: settings.inline,
        };
        let bucket = bucket(settings);
        let refill = Duration::from_millis(u64::try_from(bucket.refill_ms)?);
        let others = [RETRY_AFTER_MAX, push.0.circuits.longest_wait(), refill];
        Ok(Self {
            node: state.node.clone(),
            longest_wait_ms: options.longest_wait_ms(others),
            dates_checked: None,
            options,
            bucket,
            rate: Rate::new(settings.project_per_minute, ramp, Instant::now()),
            sending: FuturesUnordered::new(),
            scan: None,
            settled: Settled::default(),
            state,
            push,
        })
    }

    /// Takes back what this node had claimed before it was killed, and notes
    /// wake-ups for commands that came while there was no push tier.
    pub async fn begin(&mut self) -> Result<(), DbErr> {
        let node = &self.node;
        let store = &self.state.store;
        let retake = store.write(|tx| async move { store::wake::retake(&tx, node).await });
        let retaken = retake.await?;
        if retaken > 0 {
            tracing::info!(claims = retaken, "took back wake-ups claimed before the restart");
        }
        look::note_missing(&self.state, self.bucket).await
    }

    async fn run(&mut self, stop: CancellationToken) {
        let delta_interval = Duration::from_millis(self.state.settings.delta_interval_ms);
        let mut delta_ticks = tokio::time::interval(delta_interval);
        delta_ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let wakes = self.state.ingest.wakes().clone();
        loop {
            let wait = match self.turn().await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::warn!(%error, "the push tier could not reach the database");
                    LOOK_AGAIN
                }
            };
            tokio::select! {
                biased;
                () = stop.cancelled() => return self.finish().await,
                Some(sent) = self.sending.next() => self.take(sent),
                () = wakes.notified() => {}
                _ = delta_ticks.tick(), if self.scan.is_none() => self.scan = Some(Scan::default()),
                () = tokio::time::sleep(wait) => {}
            }
            self.take_ready();
        }
    }

    /// Does all that is due, one scan for devices that lag on data included, up
    /// to the last answer: what the loop does over time, for a simulation.
    pub async fn finish_due(&mut self) -> Result<(), DbErr> {
        self.scan.get_or_insert_default();
        loop {
            let wait = self.turn().await?;
            while let Some(sent) = self.sending.next().await {
                self.take(sent);
            }
            if !wait.is_zero() {
                return self.write().await;
            }
        }
    }

    /// Moves what is being sent on, and takes in the answers that are there.
    fn take_ready(&mut self) {
        while let Some(Some(sent)) = self.sending.next().now_or_never() {
            self.take(sent);
        }
    }

    /// Writes what was settled, sends what is due, or looks for devices that
    /// lag on data; how long to wait then.
    async fn turn(&mut self) -> Result<Duration, DbErr> {
        self.write().await?;
        self.check_dates().await?;
        let now = Instant::now();
        let metrics = &self.state.metrics;
        metrics.pushes_in_flight.set(i64::try_from(self.sending.len()).unwrap_or(0));
        let open = self.push.0.circuits.count_open(now);
        metrics.push_circuits_open.set(i64::try_from(open).unwrap_or(0));
        let room = self.state.settings.concurrency.saturating_sub(self.sending.len());
        if room == 0 {
            return Ok(LOOK_AGAIN);
        }
        // Looking costs nothing; claiming takes the write lock.
        let now_ms = self.state.clock.now().millis();
        let longest = longest_claim(now_ms);
        let next = store::wake::next_due(self.state.store.readers(), now_ms, longest).await?;
        let wait_ms = next.map_or(i64::MAX, |due_at| due_at.saturating_sub(now_ms));
        if wait_ms > 0 {
            if self.scan.is_some() {
                self.scan_page().await?;
                return Ok(Duration::ZERO);
            }
            let wait = Duration::from_millis(u64::try_from(wait_ms).unwrap_or(0));
            return Ok(wait.min(LOOK_AGAIN));
        }
        let allowed = self.rate.take(room, Instant::now());
        if allowed == 0 {
            return Ok(self.rate.until_next().min(LOOK_AGAIN));
        }
        let claimed = match self.claim(allowed).await {
            Ok(claimed) => claimed,
            Err(error) => {
                self.rate.give_back(allowed);
                return Err(error);
            }
        };
        let wait = if claimed.is_empty() { TAKEN_WAIT } else { Duration::ZERO };
        let (begun, sent) = self.send(claimed).await;
        self.rate.give_back(allowed - begun);
        sent.map(|()| wait)
    }

    /// Makes wake-ups due that lie farther ahead than anything makes them
    /// wait: the clock was wrong when they were written, and was set right.
    async fn check_dates(&mut self) -> Result<(), DbErr> {
        let now = Instant::now();
        if self.dates_checked.is_some_and(|at| now < at + LOOK_AGAIN) {
            return Ok(());
        }
        self.dates_checked = Some(now);
        let now_ms = self.state.clock.now().millis();
        let latest = skewed(now_ms.saturating_add(self.longest_wait_ms));
        if !store::wake::is_any_misdated(self.state.store.readers(), latest).await? {
            return Ok(());
        }
        let redate = self.state.store.write(|tx| async move {
            store::wake::redate(&tx, now_ms, latest, REDATED_PER_STEP).await
        });
        let redated = redate.await?;
        tracing::warn!(redated, "wake-ups lay in the far future: was a clock set back?");
        Ok(())
    }

    /// Sends each as soon as it was looked at; how many it began to send.
    /// Where the database is slow, claims whose turn did not come are given
    /// back before they run out: one that ends under way is sent twice.
    async fn send(&mut self, claimed: Vec<push_wake::Model>) -> (usize, Result<(), DbErr>) {
        let until = Instant::now() + CLAIM / 4;
        let (mut begun, mut failed) = (0, Ok(()));
        for wake in claimed {
            let mut kept = wake.clone();
            if failed.is_ok() && Instant::now() < until {
                let before = self.sending.len();
                let looked = self.look(wake).await;
                begun += self.sending.len() - before;
                self.take_ready();
                let Err(error) = looked else { continue };
                // Later than the others: it may be the row itself.
                kept.due_at = kept.claimed_until;
                failed = Err(error);
            }
            self.settle(kept);
        }
        (begun, failed)
    }

    async fn claim(&mut self, limit: usize) -> Result<Vec<push_wake::Model>, DbErr> {
        let now_ms = self.state.clock.now().millis();
        let until_ms = now_ms + i64::try_from(CLAIM.as_millis()).unwrap_or(i64::MAX);
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        let longest = longest_claim(now_ms);
        let claim = Claim { node: &self.node, now: now_ms, until: until_ms, longest };
        let charge = |wake: &mut push_wake::Model| {
            // Empty: it will not be sent.
            let _ = self.bucket.take(wake, now_ms);
        };
        let claimed = self
            .state
            .store
            .write(|tx| async move { store::wake::claim(&tx, claim, limit, charge).await });
        Ok(claimed.await?)
    }

    fn take(&mut self, sent: Sent) {
        answer::take(self, sent);
    }

    /// Gives the claim back.
    fn settle(&mut self, mut wake: push_wake::Model) {
        wake.claimed_by = None;
        wake.claimed_until = 0;
        self.settled.wakes.push(wake);
    }

    async fn write(&mut self) -> Result<(), DbErr> {
        if self.settled.wakes.is_empty() && self.settled.ended.is_empty() {
            return Ok(());
        }
        self.settled.ended.sort_unstable_by(
            |EndedToken { owner: a, .. }, EndedToken { owner: b, .. }| {
                (&a.user_id, &a.device_id).cmp(&(&b.user_id, &b.device_id))
            },
        );
        let settled = &self.settled;
        let written = self.state.store.write(|tx| async move {
            for EndedToken { owner, reason } in &settled.ended {
                store::device::end_token(&tx, owner, reason).await?;
            }
            store::wake::settle(&tx, settled.wakes.clone()).await
        });
        written.await?;
        self.settled = Settled::default();
        Ok(())
    }

    /// Looks for devices that lag on data, a page at a time, and notes
    /// wake-ups for them.
    async fn scan_page(&mut self) -> Result<(), DbErr> {
        let Some(Scan { after }) = self.scan.take() else { return Ok(()) };
        let last = look::note_lagging(&self.state, self.bucket, after.as_ref()).await?;
        self.scan = last.map(|after| Scan { after: Some(after) });
        Ok(())
    }

    /// Waits for the sends under way; what does not end in time is claimed
    /// again after a restart.
    async fn finish(&mut self) {
        let deadline = Instant::now() + SEND_TIMEOUT;
        while let Ok(Some(sent)) = tokio::time::timeout_at(deadline, self.sending.next()).await {
            self.take(sent);
        }
        if let Err(error) = self.write().await {
            tracing::warn!(%error, "the last wake-ups were not settled; they may be sent again");
        }
    }

    /// Looks at a claimed wake-up again and sends it, or settles it.
    async fn look(&mut self, wake: push_wake::Model) -> Result<(), DbErr> {
        if let Some(Job { wake, device, address, order, leave }) = look::decide(self, wake).await? {
            let push = self.push.clone();
            let sending = async move {
                let answer = send::send(&push, &address, &order).await;
                Sent { wake, device, address, order, answer, leave }
            };
            self.sending.push(sending.boxed());
        }
        Ok(())
    }
}

/// Later than any claim can end that a node makes now, were its clock a little
/// ahead.
fn longest_claim(now_ms: i64) -> i64 {
    skewed(now_ms.saturating_add(i64::try_from(CLAIM.as_millis()).unwrap_or(i64::MAX)))
}

/// The bucket of each device, as configured.
pub fn bucket(settings: &crate::config::Push) -> DeviceBucket {
    DeviceBucket {
        burst: settings.device_burst,
        refill_ms: i64::from(settings.device_refill_s) * 1000,
    }
}
