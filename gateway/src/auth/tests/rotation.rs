//! Keys that change while the gateway runs, through a loopback server.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_clock::Clock;
use tidegate_protocol::code::ErrorCode;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Signer, authenticator, good, jwks, settings};
use crate::auth::{AuthError, Authenticator};
use crate::config::Auth;
use crate::error::ApiError;
use crate::metrics::Metrics;

/// A JWKS server on loopback whose answer the test changes.
struct Issuer {
    url: String,
    answer: Arc<Mutex<Option<String>>>,
    hits: Arc<AtomicUsize>,
    tasks: TaskTracker,
}

impl Issuer {
    async fn start(first: Option<String>) -> Self {
        let (answer, hits) = (Arc::new(Mutex::new(first)), Arc::new(AtomicUsize::new(0)));
        let (body, count) = (Arc::clone(&answer), Arc::clone(&hits));
        let route = axum::routing::get(move || async move {
            count.fetch_add(1, Ordering::SeqCst);
            body.lock().unwrap().clone().ok_or(http::StatusCode::INTERNAL_SERVER_ERROR)
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        let tasks = TaskTracker::new();
        let serve = axum::serve(listener, axum::Router::new().route("/jwks", route));
        tasks.spawn(serve.into_future());
        Self { url, answer, hits, tasks }
    }

    fn publish(&self, answer: Option<String>) {
        *self.answer.lock().unwrap() = answer;
    }

    fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }

    async fn authenticator(&self) -> Authenticator {
        let auth = authenticator(&Auth { jwks_url: self.url.clone(), ..settings() }).await;
        let kept = auth.clone();
        self.tasks.spawn(async move { kept.keep_fresh(CancellationToken::new()).await });
        auth
    }
}

/// Stops the clock: without a parked blocking task, a paused clock would run
/// ahead while sockets are waited for.
fn stop_the_clock() -> std::sync::mpsc::Sender<()> {
    let (keep, parked) = std::sync::mpsc::channel::<()>();
    drop(tokio::task::spawn_blocking(move || parked.recv()));
    tokio::time::pause();
    keep
}

#[tokio::test]
async fn a_rotated_key_is_fetched_once_and_not_too_often() {
    let (old, new) = (Signer::ec("old"), Signer::ec("new"));
    let issuer = Issuer::start(Some(jwks(&[&old]))).await;
    let auth = issuer.authenticator().await;
    let _stopped = stop_the_clock();
    assert!(auth.verify(&old.sign(&good())).await.is_ok());

    issuer.publish(Some(jwks(&[&new])));
    let unknown = Err(AuthError::NotAccepted("its key is not known"));
    assert_eq!(auth.verify(&new.sign(&good())).await, unknown, "the set was read just now");
    assert_eq!(issuer.hits(), 1);

    tokio::time::advance(Duration::from_secs(10)).await;
    assert!(auth.verify(&new.sign(&good())).await.is_ok());
    assert_eq!(auth.verify(&old.sign(&good())).await, unknown, "rotated out");
    for _ in 0..100 {
        assert_eq!(auth.verify(&Signer::ed("made-up").sign(&good())).await, unknown);
    }
    assert_eq!(issuer.hits(), 2);
}

#[tokio::test]
async fn a_backend_s_token_ends_with_its_key() {
    let (old, new) = (Signer::ec("old"), Signer::ec("new"));
    let issuer = Issuer::start(Some(jwks(&[&old]))).await;
    let auth = issuer.authenticator().await;
    let _stopped = stop_the_clock();
    let mut claims = good();
    claims["role"] = "service".into();
    let token = old.sign(&claims);
    for _ in 0..2 {
        assert!(auth.verify(&token).await.is_ok());
    }
    issuer.publish(Some(jwks(&[&new])));
    next_reading(&auth).await;
    let unknown = Err(AuthError::NotAccepted("its key is not known"));
    assert_eq!(auth.verify(&token).await, unknown);
}

#[tokio::test]
async fn the_set_is_read_at_its_interval_and_a_failure_keeps_the_old_one() {
    let (old, new) = (Signer::ec("old"), Signer::ec("new"));
    let issuer = Issuer::start(Some(jwks(&[&old]))).await;
    let auth = issuer.authenticator().await;
    let _stopped = stop_the_clock();
    for (broken, hits) in [(None, 2), (Some("{}".to_owned()), 3), (Some(jwks(&[])), 4)] {
        issuer.publish(broken);
        next_reading(&auth).await;
        assert_eq!(issuer.hits(), hits);
        assert!(auth.verify(&old.sign(&good())).await.is_ok());
    }
    issuer.publish(Some(jwks(&[&new])));
    next_reading(&auth).await;
    assert!(auth.verify(&new.sign(&good())).await.is_ok());
}

#[tokio::test]
async fn without_any_keys_nothing_is_said_about_a_token_until_they_come() {
    let signer = Signer::ec("k");
    let issuer = Issuer::start(None).await;
    let auth = issuer.authenticator().await;
    let _stopped = stop_the_clock();
    let token = signer.sign(&good());
    assert_eq!(auth.verify(&token).await, Err(AuthError::Unavailable));
    let error = ApiError::from(AuthError::Unavailable);
    assert_eq!((error.code, error.retry_after_s), (ErrorCode::Unavailable, Some(1)));

    issuer.publish(Some(jwks(&[&signer])));
    next_reading(&auth).await;
    assert!(auth.verify(&token).await.is_ok());
}

#[tokio::test]
async fn a_file_that_cannot_be_read_stops_the_start() {
    let auth = Auth { jwks_file: "/nowhere/jwks.json".to_owned(), ..settings() };
    assert!(Authenticator::new(&auth, Clock::system(), Metrics::new()).await.is_err());
}

/// Moves the clock to the next reading and waits for its end.
async fn next_reading(auth: &Authenticator) {
    let mut updates = auth.0.source.as_ref().unwrap().updates();
    tokio::task::yield_now().await;
    // Timers are kept in whole milliseconds: a little more than the interval.
    tokio::time::advance(Duration::from_secs(301)).await;
    updates.changed().await.unwrap();
}
