//! Tokens that are refused, that end, and their successors.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::script::{Gateway, Given, Peer, Recorder, given, play, quick};
use crate::connection::renewal::SPACING;
use crate::device::Device;
use crate::settings::Settings;
use crate::state::State;
use crate::store::IN_MEMORY;
use crate::token::TokenProvider;

/// Longer than any test takes.
const LONG: Duration = Duration::from_mins(10);

fn first() -> Given {
    Arc::new(Mutex::new("first".to_owned()))
}

async fn device(
    gateway: &Gateway,
    token: &Given,
    refused_token_wait: Duration,
) -> Device<Recorder, impl TokenProvider + use<>> {
    let settings = Settings { refused_token_wait, ..quick() };
    let building = Device::builder(&gateway.url, given(token), Recorder::default());
    building.store(IN_MEMORY).settings(settings).build().await.unwrap()
}

/// The token ends in ten minutes, by the scripted gateway's clock.
async fn warn(peer: &mut Peer) {
    peer.send(&json!({"type": "auth_expiring", "expires_at": "2026-11-21T08:10:00Z"})).await;
}

fn auth(token: &str) -> Value {
    json!({"type": "auth", "token": token})
}

/// After a refusal, by 401 or by 4401, only another token is shown.
#[tokio::test]
async fn a_refused_token_is_not_shown_again() {
    let (gateway, token) = (Gateway::bind().await, first());
    let device = device(&gateway, &token, LONG).await;
    let mut state = device.state();
    Box::pin(play(&device, async {
        gateway.refuse("401 Unauthorized").await;
        state.wait_for(|state| *state == State::NeedsAuth).await.unwrap();
        assert!(!gateway.is_called_within(Duration::from_millis(200)).await);
        for (next, reason) in [("second", "token_expired"), ("third", "unauthenticated")] {
            next.clone_into(&mut token.lock().unwrap());
            let (peer, _) = gateway.accept_live().await;
            assert_eq!(peer.token, next);
            peer.close_with(4401, reason).await;
            state.wait_for(|state| *state == State::NeedsAuth).await.unwrap();
            assert!(!gateway.is_called_within(Duration::from_millis(200)).await);
        }
    }))
    .await
    .unwrap();
}

/// A gateway may refuse a good token for a while, or end a session without
/// blaming the token.
#[tokio::test]
async fn a_refused_token_has_another_chance() {
    let (gateway, token) = (Gateway::bind().await, first());
    let wait = Duration::from_millis(300);
    let device = device(&gateway, &token, wait).await;
    play(&device, async {
        let refused = Instant::now();
        gateway.refuse("401 Unauthorized").await;
        let (peer, _) = gateway.accept_live().await;
        assert!(refused.elapsed() >= wait);
        peer.close_with(4401, "session_ended").await;
        gateway.accept_live().await;
    })
    .await
    .unwrap();
}

/// Warned of the token in use, the device waits for another one; one answer
/// is one answer, however often it is warned meanwhile.
#[tokio::test]
async fn a_warning_is_answered_once_and_with_another_token() {
    let (gateway, token) = (Gateway::bind().await, first());
    let device = device(&gateway, &token, LONG).await;
    play(&device, async {
        let (mut peer, _) = gateway.accept_live().await;
        for _ in 0..3 {
            warn(&mut peer).await;
            assert_eq!(peer.said().await, [Value::Null; 0], "the same token renews nothing");
        }
        "second".clone_into(&mut token.lock().unwrap());
        assert_eq!(peer.recv().await, auth("second"));
        assert_eq!(peer.said().await, [Value::Null; 0]);
        warn(&mut peer).await;
        assert_eq!(peer.said().await, [Value::Null; 0]);
        "third".clone_into(&mut token.lock().unwrap());
        assert_eq!(peer.recv().await, auth("third"));
    })
    .await
    .unwrap();
}

/// The token in use may end before its successor is taken, and may not blame it.
#[tokio::test]
async fn the_end_of_a_token_does_not_blame_its_successor() {
    for (reason, blames_successor) in [("token_expired", false), ("unauthenticated", true)] {
        let (gateway, token) = (Gateway::bind().await, first());
        let device = device(&gateway, &token, LONG).await;
        let mut state = device.state();
        Box::pin(play(&device, async {
            let (mut peer, _) = gateway.accept_live().await;
            warn(&mut peer).await;
            "second".clone_into(&mut token.lock().unwrap());
            assert_eq!(peer.recv().await, auth("second"));
            peer.close_with(4401, reason).await;
            if blames_successor {
                state.wait_for(|state| *state == State::NeedsAuth).await.unwrap();
                "third".clone_into(&mut token.lock().unwrap());
            }
            let (peer, _) = gateway.accept_live().await;
            assert_eq!(peer.token, if blames_successor { "third" } else { "second" });
        }))
        .await
        .unwrap();
    }
}

/// Once it was taken it is the one in use.
#[tokio::test]
async fn a_successor_that_was_taken_ends_as_any_token() {
    let (gateway, token) = (Gateway::bind().await, first());
    let device = device(&gateway, &token, LONG).await;
    Box::pin(play(&device, async {
        let (mut peer, _) = gateway.accept_live().await;
        warn(&mut peer).await;
        "second".clone_into(&mut token.lock().unwrap());
        assert_eq!(peer.recv().await, auth("second"));
        peer.send(&json!({"type": "auth_ok", "expires_at": "2026-11-21T08:20:00Z"})).await;
        peer.close_with(4401, "token_expired").await;
        // The one that ended is not shown, though another one was in between.
        device.state().wait_for(|state| *state == State::NeedsAuth).await.unwrap();
        assert!(!gateway.is_called_within(Duration::from_millis(200)).await);
        "third".clone_into(&mut token.lock().unwrap());
        assert_eq!(gateway.accept_live().await.0.token, "third");
    }))
    .await
    .unwrap();
}

/// A gateway that warns of each new token at once does not make the device
/// spin, though its provider makes a new token each time.
#[tokio::test]
async fn answers_to_warnings_keep_their_distance() {
    let gateway = Gateway::bind().await;
    let made = Arc::new(Mutex::new(0));
    let tokens = move || {
        let mut made = made.lock().unwrap();
        *made += 1;
        std::future::ready(Ok(crate::token::Token::new(format!("token {made}"))))
    };
    let building = Device::builder(&gateway.url, tokens, Recorder::default());
    let device = building.store(IN_MEMORY).settings(quick()).build().await.unwrap();
    play(&device, async {
        let (mut peer, _) = gateway.accept_live().await;
        let warned = Instant::now();
        warn(&mut peer).await;
        assert_eq!(peer.recv().await["type"], "auth");
        warn(&mut peer).await;
        assert_eq!(peer.recv().await["type"], "auth");
        assert!(warned.elapsed() >= SPACING);
    })
    .await
    .unwrap();
}
