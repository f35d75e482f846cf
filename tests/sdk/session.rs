//! Sessions: their states, tokens that end, and another install that takes
//! over.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_device::state::{State, StopReason};
use tidegate_device::token::TokenError;

use crate::sdk::network::Network;
use crate::sdk::phone::Phone;
use crate::sdk::setup;
use crate::support::{Token, bounded, eventually};

/// An app can show where it stands, through a restart of the gateway.
#[tokio::test]
async fn states_follow_the_connection() {
    let mut gateway = setup().start().await;
    let network = Network::to(&gateway.address()).await;
    let mut phone = Phone::with_token(Token::device("u1").sign());
    // Time enough for the watcher to see each state.
    phone.settings.retry_initial = Duration::from_millis(80);
    phone.settings.retry_longest = Duration::from_millis(80);
    let running = phone.start(&network.url()).await;
    let mut states = running.device.state();
    let seeing = async {
        let mut seen = vec![states.borrow_and_update().clone()];
        while seen.iter().filter(|state| **state == State::Live).count() < 2 {
            states.changed().await.unwrap();
            seen.push(states.borrow_and_update().clone());
        }
        seen
    };
    let restarting = async {
        running.until(State::Live).await;
        gateway.stop().await;
        gateway.restart().await;
        network.lead_to(&gateway.address());
    };
    let (seen, ()) = bounded("a second session", async { tokio::join!(seeing, restarting) }).await;
    let first_live = seen.iter().position(|state| *state == State::Live).unwrap();
    assert_eq!(seen[..=first_live].last(), Some(&State::Live));
    assert!(seen[first_live..].contains(&State::Offline), "{seen:?}");
    assert!(
        seen.iter().all(|s| matches!(
            s,
            State::Offline | State::Connecting | State::Live | State::Polling
        )),
        "{seen:?}"
    );
    running.stop().await;
    assert_eq!(*states.borrow(), State::Offline);
}

/// The provider is asked when the token in use ends soon; the session goes on
/// past the first token's end.
#[tokio::test]
async fn a_token_is_renewed_within_the_session() {
    let gateway = setup().set("session.auth_warning_ms", "3600000").start().await;
    let network = Network::to(&gateway.address()).await;
    let now_s = gateway.now_ms() / 1000;
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let phone = Phone::with_tokens(move || {
        let life_s = if counted.fetch_add(1, Ordering::Relaxed) == 0 { 600 } else { 100_000 };
        let token = Token::device("u1").expires_at_s(now_s + life_s).sign();
        Ok(tidegate_device::token::Token::new(token))
    });
    let running = phone.start(&network.url()).await;
    running.until(State::Live).await;
    // Past half of the token's life. The session looks at its next turn.
    gateway.move_clock(Duration::from_secs(301));
    gateway.backend().make("u1", "steps").await;
    let renewed = async || (phone.app.frames("auth_ok") == 1).then_some(());
    eventually("the token is renewed", renewed).await;
    gateway.move_clock(Duration::from_mins(20));
    let id = gateway.backend().make("u1", "steps").await;
    phone.app.until_done(&id).await;
    assert_eq!(phone.app.frames("welcome"), 1, "one session");
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    running.stop().await;
}

/// A token that is refused, and a provider that has none: the app is told,
/// and the device goes on when there is one again.
#[tokio::test]
async fn a_phone_waits_for_a_token_and_goes_on() {
    let gateway = setup().start().await;
    let network = Network::to(&gateway.address()).await;
    let given = Arc::new(Mutex::new(Ok(Token::device("u1").expires_at_s(1).sign())));
    let tokens = Arc::clone(&given);
    let phone = Phone::with_tokens(move || {
        let token: Result<String, TokenError> = tokens.lock().unwrap().clone();
        token.map(tidegate_device::token::Token::new)
    });
    let running = phone.start(&network.url()).await;
    running.until(State::NeedsAuth).await;
    *given.lock().unwrap() = Err(TokenError("signed out".to_owned()));
    running.until(State::NeedsAuth).await;
    *given.lock().unwrap() = Ok(Token::device("u1").sign());
    running.until(State::Live).await;

    // Its sessions are ended by the backend: it asks again, and comes back.
    gateway.backend().delete("/api/v1/users/u1/sessions").await;
    let back = async || (phone.app.frames("welcome") == 2).then_some(());
    eventually("it comes back", back).await;
    running.stop().await;
}

/// The same install twice: the newer one lives, the older one stays away until
/// a person asks, and then takes over.
#[tokio::test]
async fn a_replaced_phone_stays_away_until_it_is_asked() {
    let gateway = setup().start().await;
    let network = Network::to(&gateway.address()).await;
    let older = Phone::with_token(Token::device("u1").sign());
    let mut newer = Phone::with_token(Token::device("u1").sign());
    newer.id = older.id.clone();
    let first = older.start(&network.url()).await;
    first.until(State::Live).await;
    let second = newer.start(&network.url()).await;
    second.until(State::Live).await;
    first.until(State::Offline).await;

    let id = gateway.backend().make("u1", "steps").await;
    newer.app.until_done(&id).await;
    assert_eq!(*first.device.state().borrow(), State::Offline, "it did not fight back");
    assert_eq!((older.app.frames("welcome"), newer.app.frames("welcome")), (1, 1));
    first.device.wake();
    first.until(State::Live).await;
    second.until(State::Offline).await;
    first.stop().await;
    second.stop().await;
}

/// A user's devices take all places: another one waits for its own.
#[tokio::test]
async fn a_phone_without_a_place_waits_for_one() {
    let gateway = setup().set("limits.devices_per_user", "1").start().await;
    let network = Network::to(&gateway.address()).await;
    let older = Phone::with_token(Token::device("u1").sign());
    let first = older.start(&network.url()).await;
    first.until(State::Live).await;
    let mut newer = Phone::with_token(Token::device("u1").sign());
    newer.settings.retry_after_longest = Duration::from_millis(100);
    let second = newer.start(&network.url()).await;
    let refused = async || (newer.app.frames("hello") >= 3).then_some(());
    eventually("it tries again", refused).await;
    assert_eq!(newer.app.frames("welcome"), 0);
    let path = format!("/api/v1/devices/{}", older.id);
    gateway.caller("owner", &Token::device("u1").sign()).delete(&path).await;
    second.until(State::Live).await;
    second.stop().await;
}

/// What trying again cannot mend ends the run, with the reason.
#[tokio::test]
async fn a_phone_stops_where_trying_again_cannot_help() {
    let gateway = setup().start().await;
    let network = Network::to(&gateway.address()).await;
    let phone = Phone::with_token(Token::service("u1").sign());
    let running = phone.start(&network.url()).await;
    let forbidden = StopReason::Closed { code: 4403, reason: "forbidden".to_owned() };
    assert_eq!(running.stopped().await, Err(forbidden));

    let phone = Phone::with_token(Token::device("u1").sign());
    let running = phone.start(&network.url()).await;
    running.until(State::Live).await;
    let path = format!("/api/v1/devices/{}", phone.id);
    gateway.caller("owner", &Token::device("u1").sign()).delete(&path).await;
    let deleted = StopReason::Closed { code: 4403, reason: "device_deleted".to_owned() };
    assert_eq!(running.stopped().await, Err(deleted));
}
