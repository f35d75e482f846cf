//! Codes, refresh tokens, revoking, and whose they are.

use std::time::Duration;

use tidegate_fakes::provider::answer::Answer;
use tidegate_fakes::provider::{Rotation, Service};
use tidegate_services::provider::{Kind, ProviderClient, ProviderError, Tokens};
use url::Url;

use super::stage::{USER, days, fitbit, google, oura, strava};
use crate::stage::START_MS;

const BACK: &str = "https://gate.example/api/v1/integrations/x/callback";

/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// Sends a browser to the provider, and returns the query it comes back with.
async fn consent(url: Url) -> Vec<(String, String)> {
    let browser = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let answer = browser.no_proxy().build().unwrap().get(url).send().await.unwrap();
    assert_eq!(answer.status(), 302);
    let back: Url = answer.headers()["location"].to_str().unwrap().parse().unwrap();
    assert!(back.as_str().starts_with(BACK));
    back.query_pairs().into_owned().collect()
}

fn value<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

async fn connect(client: &ProviderClient, fake: &Service) -> Tokens {
    fake.consent_as(USER);
    let pkce = client.provider().has_pkce().then_some((CHALLENGE, VERIFIER));
    let url = client.authorize_url("state-1", BACK, pkce.map(|(challenge, _)| challenge));
    let back = consent(url).await;
    assert_eq!(value(&back, "state"), Some("state-1"));
    let code = value(&back, "code").unwrap();
    let verifier = pkce.map(|(_, verifier)| verifier);
    let tokens = client.exchange(code, BACK, verifier).await.unwrap();
    let again = client.exchange(code, BACK, verifier).await;
    assert_eq!(again, Err(ProviderError::DeadRefresh), "a code works once");
    tokens
}

fn life_s(tokens: &Tokens) -> i64 {
    (tokens.expires_at.millis() - START_MS) / 1000
}

#[tokio::test]
async fn strava_tells_scopes_in_the_callback_and_the_athlete_with_the_tokens() {
    let stage = strava().await;
    let tokens = connect(&stage.client, &stage.fake).await;
    assert_eq!(tokens.owner_id.as_deref(), Some(USER));
    assert_eq!((tokens.scopes.as_ref(), life_s(&tokens)), (None, 21_600));
    stage.fake.grant_only(Some(&["read"]));
    let back = consent(stage.client.authorize_url("s", BACK, None)).await;
    assert_eq!(value(&back, "scope"), Some("read"));
    stage.fake.deny(true);
    let back = consent(stage.client.authorize_url("s", BACK, None)).await;
    assert_eq!(value(&back, "error"), Some("access_denied"));
}

#[tokio::test]
async fn strava_gives_the_same_token_while_it_has_an_hour_left() {
    let stage = strava().await;
    let first = connect(&stage.client, &stage.fake).await;
    let refresh = first.refresh_token.clone().unwrap();
    let early = stage.client.refresh(&refresh).await.unwrap();
    assert_eq!(early.access_token, first.access_token);
    assert_eq!(early.refresh_token.as_deref(), Some(refresh.as_str()));
    stage.hands.advance(Duration::from_hours(5));
    let late = stage.client.refresh(&refresh).await.unwrap();
    assert_ne!(late.access_token, first.access_token);
    assert_ne!(late.refresh_token.as_deref(), Some(refresh.as_str()));
    assert_eq!(stage.client.refresh(&refresh).await, Err(ProviderError::DeadRefresh));
    let old = stage.client.owner(&first.access_token).await.unwrap_err();
    assert_eq!(old.error, ProviderError::Unauthorized, "the old one has ended");
    assert_eq!(stage.client.owner(&late.access_token).await.unwrap().value, USER);
}

#[tokio::test]
async fn google_keeps_the_refresh_token() {
    let stage = google().await;
    let tokens = connect(&stage.client, &stage.fake).await;
    assert_eq!((tokens.owner_id.as_ref(), life_s(&tokens)), (None, 3599));
    assert_eq!(tokens.scopes.as_ref().map(Vec::len), Some(3));
    let refresh = tokens.refresh_token.unwrap();
    stage.hands.advance(Duration::from_hours(2));
    let next = stage.client.refresh(&refresh).await.unwrap();
    assert_eq!(next.refresh_token, None);
    assert_eq!(stage.client.owner(&next.access_token).await.unwrap().value, USER);
    let old = stage.client.owner(&tokens.access_token).await.unwrap_err();
    assert_eq!(old.error, ProviderError::Unauthorized);
    stage.fake.kill_refresh(USER);
    assert_eq!(stage.client.refresh(&refresh).await, Err(ProviderError::DeadRefresh));
}

#[tokio::test]
async fn a_wrong_verifier_gets_no_tokens() {
    let stage = google().await;
    let back = consent(stage.client.authorize_url("s", BACK, Some(CHALLENGE))).await;
    let code = value(&back, "code").unwrap();
    let refused = stage.client.exchange(code, BACK, Some("another-verifier")).await;
    assert_eq!(refused, Err(ProviderError::DeadRefresh));
}

#[tokio::test]
async fn ouras_refresh_tokens_work_once() {
    let stage = oura().await;
    let tokens = connect(&stage.client, &stage.fake).await;
    assert_eq!((tokens.scopes.as_ref(), life_s(&tokens)), (None, 86_400));
    assert_eq!(stage.client.owner(&tokens.access_token).await.unwrap().value, USER);
    let refresh = tokens.refresh_token.unwrap();
    let next = stage.client.refresh(&refresh).await.unwrap();
    assert_eq!(stage.client.refresh(&refresh).await, Err(ProviderError::DeadRefresh));
    assert!(stage.client.refresh(&next.refresh_token.unwrap()).await.is_ok());
}

#[tokio::test]
async fn fitbit_names_the_user_and_forgives_a_repeat() {
    let stage = fitbit().await;
    let tokens = connect(&stage.client, &stage.fake).await;
    assert_eq!((tokens.owner_id.as_deref(), life_s(&tokens)), (Some(USER), 28_800));
    assert_eq!(stage.client.owner(&tokens.access_token).await.unwrap().value, USER);
    let refresh = tokens.refresh_token.unwrap();
    let next = stage.client.refresh(&refresh).await.unwrap();
    assert_eq!(stage.client.refresh(&refresh).await.as_ref(), Ok(&next));
    stage.hands.advance(Duration::from_secs(121));
    assert_eq!(stage.client.refresh(&refresh).await, Err(ProviderError::DeadRefresh));
}

/// A pair that was traded but never arrived: only the old one is known.
#[tokio::test]
async fn a_lost_answer_is_not_a_refusal() {
    let stage = oura().await;
    let pair = stage.fake.connect(USER);
    stage.fake.script().extend("token", [Answer::OkThenDrop]);
    let lost = stage.client.refresh(&pair.refresh_token).await.unwrap_err();
    assert_eq!(lost.as_str(), "unavailable");
    let again = stage.client.refresh(&pair.refresh_token).await;
    assert_eq!(again, Err(ProviderError::DeadRefresh));
    let span = days(1);
    let old = stage.client.list(&pair.access_token, Kind::Sleep, &span, None).await;
    assert!(old.is_ok(), "the old access token is still good");
    stage.fake.set_rotation(Rotation::Repeated);
    let pair = stage.fake.connect(USER);
    stage.fake.script().extend("token", [Answer::OkThenDrop]);
    assert!(stage.client.refresh(&pair.refresh_token).await.is_err());
    assert!(stage.client.refresh(&pair.refresh_token).await.is_ok());
}

#[tokio::test]
async fn revoked_tokens_are_dead() {
    let (strava, google, oura, fitbit) =
        (strava().await, google().await, oura().await, fitbit().await);
    let stages: [(&ProviderClient, &Service); 4] = [
        (&strava.client, &strava.fake),
        (&google.client, &google.fake),
        (&oura.client, &oura.fake),
        (&fitbit.client, &fitbit.fake),
    ];
    for (client, fake) in stages {
        let pair = fake.connect(USER);
        let revoke = async || client.revoke(&pair.access_token, &pair.refresh_token).await;
        assert_eq!(revoke().await, Ok(()), "{:?}", client.provider());
        assert!(fake.pairs_of(USER).is_empty());
        assert_eq!(fake.calls_of(USER, Some("revoke")), 1);
        assert_eq!(revoke().await, Ok(()), "{:?}: already", client.provider());
        fake.script().extend("revoke", [Answer::Status(503)]);
        assert_eq!(revoke().await.unwrap_err().as_str(), "unavailable");
        let dead = client.refresh(&pair.refresh_token).await;
        assert_eq!(dead, Err(ProviderError::DeadRefresh), "{:?}", client.provider());
    }
}
