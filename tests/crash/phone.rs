//! Proves that a device loses nothing: the real `tidegate-device` carries out
//! commands while its disk fills, fails, becomes read-only or hangs, and is
//! killed with SIGKILL; and every command that the gateway accepted, every
//! execution, and everything that the gateway holds for acked is accounted for
//! in its store.

use std::ops::Range;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use crate::crash::phone::app::App;
use crate::crash::trouble::{fault, files, skip};
use crate::seed;
use crate::support::{Fault, Gateway, eventually};

mod app;
mod ends;
mod kept;

const ROUNDS: usize = 12;

/// Rounds under way at once: a phone mostly waits.
const AT_ONCE: usize = 3;

/// Troubles of a round, and how long one lasts, milliseconds.
const TROUBLES: Range<usize> = 1..4;
const LASTS_MS: Range<u64> = 10..500;

/// Commands made before, in and after a trouble.
const COMMANDS: Range<usize> = 1..5;

/// A phone waits longer after each failure: longer than its longest trouble
/// made it wait.
const LOOKS: u64 = 5;
const WAIT_S: u64 = 8;

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_loses_nothing() {
    let gateway = Gateway::start().await;
    let gateway = &gateway;
    let rounds = stream::iter(seed::rounds("phone", ROUNDS)).map(async |seed| {
        seed::say(&format!("phone: {}", seed::replay(seed)));
        round(gateway, seed).await;
    });
    rounds.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

/// A backend, and the phone of one user of its own.
struct Round<'a> {
    gateway: &'a Gateway,
    app: App,
}

async fn round(gateway: &Gateway, seed: u64) {
    let mut rng = seed::rng(seed);
    let mut round = Round { gateway, app: App::start(gateway) };
    for _ in 0..rng.random_range(TROUBLES) {
        round.make(rng.random_range(COMMANDS)).await;
        if rng.random() {
            round.all_applied().await;
        }
        round.trouble(&mut rng).await;
        round.make(rng.random_range(COMMANDS)).await;
    }
    round.all_applied().await;
    round.kill().await;
}

impl Round<'_> {
    /// Makes so many commands, each with a number of its own as its value.
    async fn make(&mut self, count: usize) {
        for _ in 0..count {
            let number = self.app.made.len();
            let command = json!({
                "user_id": self.app.user, "data_type": "steps", "value": { "n": number },
            });
            let id = self.gateway.backend().quiet().make_with(&command).await;
            self.app.made.push(id);
        }
    }

    async fn trouble(&mut self, rng: &mut StdRng) {
        let lasts = Duration::from_millis(rng.random_range(LASTS_MS));
        if rng.random_bool(0.75) {
            self.app.is_up().await;
            self.app.disk.fail_after(fault(rng), files(rng), skip(rng));
            self.make(rng.random_range(COMMANDS)).await;
            tokio::time::sleep(lasts).await;
        }
        let is_killed = rng.random_bool(0.4);
        if is_killed {
            self.kill().await;
        }
        self.app.disk.heal();
        if is_killed {
            self.app.start_again();
        }
    }

    /// Waits until every command that was accepted is applied.
    async fn all_applied(&self) {
        let backend = self.gateway.backend().quiet();
        for id in &self.app.made {
            let path = format!("/api/v1/commands/{id}?wait_s={WAIT_S}");
            let mut command = Value::Null;
            for _ in 0..LOOKS {
                command = backend.get(&path).await.expect(200);
                if command["status"] == "applied" {
                    break;
                }
            }
            assert_eq!(command["status"], "applied", "{command}\n{}", self.app.log());
        }
        self.app.is_carried_out_once();
    }

    /// SIGKILL; then what the store holds is compared with what was done and
    /// what the gateway was told.
    async fn kill(&mut self) {
        self.app.kill().await;
        kept::account(self.gateway, &mut self.app).await;
    }
}

/// Whatever the disk does, nothing is acked or carried out meanwhile that is
/// not stored; and when it works again, so does the phone, by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_goes_on_when_its_disk_works_again() {
    let gateway = Gateway::start().await;
    let gateway = &gateway;
    let faults = [
        Fault::Full { room: None },
        Fault::WriteError,
        Fault::SyncError,
        Fault::ReadOnly,
        Fault::Hang,
    ];
    let phones = stream::iter(faults).map(async |fault| {
        let mut round = Round { gateway, app: App::start(gateway) };
        round.make(2).await;
        round.all_applied().await;
        let process = round.app.process();
        round.app.disk.fail(fault);
        round.make(3).await;
        // Again and again: what a failed COMMIT left is not acked later either.
        let strikes = if fault == Fault::Hang { 1 } else { 6 };
        eventually("the fault strikes", async || {
            (round.app.disk.struck() >= strikes).then_some(())
        })
        .await;
        assert_eq!(round.app.executions().len(), 2, "{fault:?}: not stored, and carried out");
        for id in &round.app.made[2..] {
            let command = gateway.backend().command(id).await;
            assert!(!was_acked(&command), "{fault:?}: {command}");
        }
        round.app.disk.heal();
        round.all_applied().await;
        assert_eq!(round.app.process(), process, "{fault:?}: it went on by itself");
        round.kill().await;
    });
    bounded_by_recovery(phones.buffer_unordered(AT_ONCE).collect::<Vec<()>>()).await;
}

async fn bounded_by_recovery(rounds: impl Future<Output = Vec<()>>) {
    let patience = Duration::from_secs(2 * LOOKS * WAIT_S);
    tokio::time::timeout(patience, rounds).await.expect("some phone does not go on");
}

/// Whether a device acked the command's entry, as its timeline tells.
fn was_acked(command: &Value) -> bool {
    let timeline = command["timeline"].as_array().unwrap();
    timeline.iter().any(|row| row["event"] == "acked")
}
