//! Access tokens: what the endpoint checks, sharing, renewal.

use std::sync::Arc;
use std::time::Duration;

use tidegate_clock::{Clock, Hands};
use tidegate_fakes::answer::RetryAfter;
use tidegate_fakes::fixtures::{AccountKey, PROJECT_ID};
use tidegate_fakes::google::assertion::Refusal as Fault;
use tidegate_fakes::google::{FakeGoogle, TokenAnswer};
use tidegate_services::oauth::account::ServiceAccount;
use tidegate_services::oauth::error::{OauthError, Refusal};
use tidegate_services::oauth::{FIREBASE_MESSAGING, TokenSource};
use tidegate_services::transport::TransportError;
use tokio::task::JoinSet;

use crate::stage::{TIMEOUT, standing_at};

struct Stage {
    google: FakeGoogle,
    tokens: Arc<TokenSource>,
    hands: Hands,
}

fn source(credentials: &str, scope: &'static str, clock: Clock) -> TokenSource {
    let account = ServiceAccount::from_json(credentials).unwrap();
    let http = reqwest::Client::builder().timeout(TIMEOUT).build().unwrap();
    TokenSource::new(account, scope, http, clock)
}

async fn stage() -> Stage {
    let (clock, hands) = standing_at(0);
    let google = FakeGoogle::start_on(0, clock.clone()).await.unwrap();
    let tokens = source(&google.credentials(), FIREBASE_MESSAGING, clock.clone());
    Stage { google, tokens: Arc::new(tokens), hands }
}

/// Many callers at once cost one request, and share its token.
#[tokio::test]
async fn one_request_serves_all_who_wait() {
    let Stage { google, tokens, .. } = stage().await;
    google.script([TokenAnswer::Slow(Duration::from_millis(100))]);
    let mut callers = JoinSet::new();
    for _ in 0..50 {
        let tokens = Arc::clone(&tokens);
        callers.spawn(async move { tokens.token().await.unwrap().secret().to_owned() });
    }
    for token in callers.join_all().await {
        assert_eq!(token, "ya29.c.sandbox-1");
    }
    assert_eq!(google.outcomes(), ["granted"]);
}

/// A failure is shared as well: a dead endpoint is not asked by each in turn.
#[tokio::test]
async fn one_failure_serves_all_who_wait() {
    let Stage { google, tokens, .. } = stage().await;
    google.script([TokenAnswer::Hang]);
    let mut callers = JoinSet::new();
    for _ in 0..20 {
        let tokens = Arc::clone(&tokens);
        callers.spawn(async move { tokens.token().await.unwrap_err() });
    }
    for error in callers.join_all().await {
        assert_eq!(error, OauthError::Transport(TransportError::TimedOut));
    }
    assert_eq!(google.outcomes(), ["hang"]);
    tokens.token().await.unwrap();
}

/// A caller that gives up does not take the others with it.
#[tokio::test]
async fn a_caller_that_goes_away_leaves_the_way_free() {
    let Stage { google, tokens, .. } = stage().await;
    google.script([TokenAnswer::Hang]);
    let impatient = tokio::time::timeout(Duration::from_millis(50), tokens.token()).await;
    assert!(impatient.is_err());
    tokens.token().await.unwrap();
}

/// Renewal begins five minutes early, one caller at a time, and may fail
/// while the old token lives.
#[tokio::test]
async fn a_failed_renewal_keeps_the_old_token_while_it_lives() {
    let Stage { google, tokens, hands } = stage().await;
    let first = tokens.token().await.unwrap();
    hands.advance(Duration::from_secs(3599 - 301));
    assert_eq!(tokens.token().await.unwrap(), first, "not due yet");
    assert_eq!(google.outcomes().len(), 1);

    hands.advance(Duration::from_secs(2));
    google.script([TokenAnswer::Status { status: 503, retry_after: None }]);
    assert_eq!(tokens.token().await.unwrap(), first, "due, but the renewal failed");
    assert_eq!(tokens.token().await.unwrap(), first, "no second try right away");
    assert_eq!(google.outcomes().len(), 2);

    hands.advance(Duration::from_secs(30));
    assert_ne!(tokens.token().await.unwrap(), first, "the second try renewed it");
}

/// A token that lives for a minute or for seconds is not due as soon as it is
/// there: it serves for half of its life.
#[tokio::test]
async fn a_short_token_is_not_asked_for_with_every_call() {
    let Stage { google, tokens, hands } = stage().await;
    for (renewed, life_s) in (1..).step_by(2).zip([300, 60, 20]) {
        google.script([TokenAnswer::Living(life_s)]);
        hands.advance(Duration::from_hours(1));
        let token = tokens.token().await.unwrap();
        let second = Duration::from_secs(1);
        let half = Duration::from_secs(life_s.unsigned_abs()) / 2;
        let nearly_half = half.saturating_sub(second);
        for _ in 0..5 {
            assert_eq!(tokens.token().await.unwrap(), token, "{life_s} s");
            hands.advance(nearly_half / 5);
        }
        assert_eq!(tokens.token().await.unwrap(), token, "{life_s} s");
        assert_eq!(google.outcomes().len(), renewed, "{life_s} s");
        hands.advance(second);
        assert_ne!(tokens.token().await.unwrap(), token, "half of {life_s} s is over");
        assert_eq!(google.outcomes().len(), renewed + 1, "{life_s} s");
    }
}

/// Near its end a token is not used any more, renewed or not.
#[tokio::test]
async fn a_token_near_its_end_is_not_used() {
    let Stage { google, tokens, hands } = stage().await;
    tokens.token().await.unwrap();
    hands.advance(Duration::from_secs(3599 - 30));
    google.script([TokenAnswer::Garbage]);
    assert_eq!(tokens.token().await.unwrap_err(), OauthError::InvalidAnswer);
}

/// Each refusal of the endpoint has a name of its own, and is permanent.
#[tokio::test]
async fn every_refusal_is_told_apart() {
    let Stage { google, tokens, .. } = stage().await;
    google.script(Fault::OF_ASSERTIONS.map(TokenAnswer::Refuse));
    for expected in [
        Refusal::InvalidRequest,
        Refusal::Signature,
        Refusal::UnknownAccount,
        Refusal::NoIssuedAt,
        Refusal::NoExpiry,
        Refusal::Window,
        Refusal::Scope,
        Refusal::Audience,
    ] {
        let error = tokens.token().await.unwrap_err();
        assert!(error.is_permanent());
        assert_eq!(error, OauthError::Refused(expected));
    }
}

/// Faults of the endpoint pass; they say how long to wait.
#[tokio::test]
async fn faults_of_the_endpoint_are_temporary() {
    let Stage { google, tokens, .. } = stage().await;
    let wait = Some(RetryAfter::DateInSeconds(20));
    for (answer, floor_s) in [
        (TokenAnswer::Status { status: 500, retry_after: None }, 0),
        (TokenAnswer::Status { status: 503, retry_after: wait }, 20),
        (TokenAnswer::Status { status: 429, retry_after: Some(RetryAfter::Seconds(7)) }, 7),
        (TokenAnswer::Garbage, 0),
        (TokenAnswer::Drop, 0),
    ] {
        google.script([answer.clone()]);
        let error = tokens.token().await.unwrap_err();
        assert!(!error.is_permanent(), "{answer:?}");
        assert_eq!(error.retry_floor(), Duration::from_secs(floor_s), "{answer:?}");
    }
}

/// The fake's own checks see what is really wrong with an assertion.
#[tokio::test]
async fn real_faults_are_refused_as_google_does() {
    let (clock, _) = standing_at(0);
    let google = FakeGoogle::start_on(0, clock.clone()).await.unwrap();
    let other_key = AccountKey::generate().credentials(PROJECT_ID, google.token_uri());
    let other_account = AccountKey::shared().credentials("elsewhere", google.token_uri());
    let other_audience = google.credentials().replace("/token", "/token?x=1");
    let late = |seconds: i64| standing_at(seconds).0;
    for (credentials, scope, clock, expected) in [
        (other_key, FIREBASE_MESSAGING, clock.clone(), Some(Refusal::Signature)),
        (other_account, FIREBASE_MESSAGING, clock.clone(), Some(Refusal::UnknownAccount)),
        (other_audience, FIREBASE_MESSAGING, clock.clone(), Some(Refusal::Audience)),
        (google.credentials(), " ", clock.clone(), Some(Refusal::Scope)),
        (google.credentials(), FIREBASE_MESSAGING, late(-7200), Some(Refusal::Window)),
        (google.credentials(), FIREBASE_MESSAGING, late(600), Some(Refusal::Window)),
        (google.credentials(), FIREBASE_MESSAGING, late(-3600), None),
        (google.credentials(), FIREBASE_MESSAGING, late(300), None),
    ] {
        let answer = source(&credentials, scope, clock).token().await;
        assert_eq!(answer.map(drop), expected.map_or(Ok(()), |r| Err(OauthError::Refused(r))));
    }
}

/// An unrecognised scope is granted, with 200, but without an access token.
#[tokio::test]
async fn an_unrecognised_scope_grants_no_access_token() {
    let (clock, _) = standing_at(0);
    let google = FakeGoogle::start_on(0, clock.clone()).await.unwrap();
    let tokens = source(&google.credentials(), "https://example.com/x", clock.clone());
    let error = tokens.token().await.unwrap_err();
    assert_eq!(error, OauthError::NoAccessToken);
    assert!(error.is_permanent());
    google.script([TokenAnswer::IdTokenOnly]);
    assert_eq!(tokens.token().await.unwrap_err(), OauthError::NoAccessToken);
}
