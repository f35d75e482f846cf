//! The phone's clock, and tokens that live for a minute.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_device::clock::Clock;
use tidegate_device::state::State;

use crate::sdk::network::Network;
use crate::sdk::phone::Phone;
use crate::sdk::setup;
use crate::support::{Gateway, Token, eventually};

/// More than any command lives.
const CENTURY_MS: i64 = 100 * 365 * 24 * 3_600_000;

/// Set forward or back, while it is connected or between two runs: no command
/// expires that the gateway holds for alive.
#[tokio::test]
async fn a_phone_whose_clock_is_set_carries_everything_out() {
    let gateway = setup().start().await;
    let backend = gateway.backend().quiet();
    let network = Network::to(&gateway.address()).await;
    let mut phone = Phone::with_token(Token::device("u1").sign());
    let (local, mut hands) = tidegate_clock::Clock::movable();
    phone.clock = Clock::on(local);
    let mut running = phone.start(&network.url()).await;
    let mut ids = Vec::new();
    for jump_ms in [CENTURY_MS, -CENTURY_MS] {
        running.until(State::Live).await;
        hands.go_ahead_ms(jump_ms);
        ids.push(backend.make("u1", "steps").await);
        phone.app.until_done(ids.last().unwrap()).await;

        // One is under way and one waits when the app ends.
        phone.app.be_stuck(true);
        for _ in 0..2 {
            ids.push(backend.make("u1", "steps").await);
            let acked = async || is_acked(&gateway, ids.last().unwrap()).await.then_some(());
            eventually("the phone holds the command", acked).await;
        }
        running.stop().await;
        phone.app.be_stuck(false);
        // The next jump is one of the clock that the next run has.
        let (local, next_hands) = tidegate_clock::Clock::movable();
        (phone.clock, hands) = (Clock::on(local), next_hands);
        hands.go_ahead_ms(jump_ms);
        running = phone.start(&network.url()).await;
        for id in &ids {
            phone.app.until_done(id).await;
        }
    }
    for id in &ids {
        let view = backend.get(&format!("/api/v1/commands/{id}?wait_s=8")).await.expect(200);
        assert_eq!(view["status"], "applied", "{view}");
    }
    running.stop().await;
}

async fn is_acked(gateway: &Gateway, id: &str) -> bool {
    let view = gateway.backend().command(id).await;
    view["timeline"].as_array().unwrap().iter().any(|row| row["event"] == "acked")
}

/// A token of a minute is warned of once and answered once, by its successor;
/// without one the session ends with it, and the phone comes back with the
/// next.
#[tokio::test]
async fn tokens_of_a_minute_make_no_loop() {
    let gateway = setup().start().await;
    let network = Network::to(&gateway.address()).await;
    let of_a_minute = || Token::device("u1").expires_at_s(gateway.now_ms() / 1000 + 60).sign();
    let given = Arc::new(Mutex::new(of_a_minute()));
    let tokens = Arc::clone(&given);
    let phone = Phone::with_tokens(move || {
        Ok(tidegate_device::token::Token::new(tokens.lock().unwrap().clone()))
    });
    let running = phone.start(&network.url()).await;
    running.until(State::Live).await;
    let counted = || ["auth_expiring", "auth", "auth_ok"].map(|name| phone.app.frames(name));
    for round in 1..=3 {
        gateway.move_clock(Duration::from_secs(31));
        // The session looks at the clock at its next turn.
        let id = gateway.backend().make("u1", "steps").await;
        phone.app.until_done(&id).await;
        let warned = async || (phone.app.frames("auth_expiring") == round).then_some(());
        eventually("the warning", warned).await;
        assert_eq!(counted(), [round, round - 1, round - 1], "not with the same token");
        *given.lock().unwrap() = of_a_minute();
        let renewed = async || (phone.app.frames("auth_ok") == round).then_some(());
        eventually("the successor", renewed).await;
    }
    gateway.move_clock(Duration::from_secs(61));
    gateway.backend().make("u1", "steps").await;
    running.until(State::NeedsAuth).await;
    assert_eq!(phone.app.frames("welcome"), 1);
    *given.lock().unwrap() = of_a_minute();
    running.until(State::Live).await;
    assert_eq!(counted(), [3, 3, 3]);
    running.stop().await;
}
