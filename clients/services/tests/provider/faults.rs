//! What failures of the services mean, and what answers say of rates.

use std::time::Duration;

use tidegate_clock::Clock;
use tidegate_fakes::answer::RetryAfter;
use tidegate_fakes::provider::Service;
use tidegate_fakes::provider::answer::Answer;
use tidegate_protocol::time::Timestamp;
use tidegate_services::provider::{
    CauseKind, Failed, Kind, Provider, ProviderClient, ProviderError, Usage, WindowUsage,
};
use tidegate_services::transport::TransportError;

use super::stage::{USER, client, days, fitbit, google, oura, strava};
use crate::stage::START_MS;

async fn first(client: &ProviderClient, token: &str) -> Result<Usage, Failed> {
    let kind = client.provider().kinds()[0];
    client.list(token, kind, &days(1), None).await.map(|answer| answer.usage)
}

fn window(usage: &Usage, name: &str) -> WindowUsage {
    let mut windows = usage.windows.iter();
    *windows.find(|window| window.window == name).unwrap_or_else(|| panic!("no `{name}`"))
}

/// Every row of the mapping, for every provider.
#[tokio::test]
async fn every_status_has_its_meaning() {
    let (strava, google, oura, fitbit) =
        (strava().await, google().await, oura().await, fitbit().await);
    let stages: [(&ProviderClient, &Service); 4] = [
        (&strava.client, &strava.fake),
        (&google.client, &google.fake),
        (&oura.client, &oura.fake),
        (&fitbit.client, &fitbit.fake),
    ];
    for (client, fake) in stages {
        let token = fake.connect(USER).access_token;
        for (answer, expected) in [
            (Answer::Status(401), "unauthorized"),
            (Answer::Status(410), "gone"),
            (Answer::RateLimited(None), "rate_limited"),
            (Answer::Status(400), "refused"),
            (Answer::Status(403), "refused"),
            (Answer::Status(404), "refused"),
            (Answer::Status(422), "refused"),
            (Answer::Status(426), "refused"),
            (Answer::Status(302), "unavailable"),
            (Answer::Status(408), "unavailable"),
            (Answer::Status(500), "unavailable"),
            (Answer::Unavailable(None), "unavailable"),
            (Answer::Html502, "unavailable"),
            (Answer::Html404, "unavailable"),
            (Answer::EmptyBody, "unavailable"),
            (Answer::HalfBody, "unavailable"),
            (Answer::CutBody, "unavailable"),
            (Answer::IllShaped, "unavailable"),
            (Answer::NotJson, "unavailable"),
            (Answer::Drop, "unavailable"),
        ] {
            fake.script().extend("list", [answer.clone()]);
            let failed = first(client, &token).await.unwrap_err();
            let provider = client.provider();
            assert_eq!(failed.error.as_str(), expected, "{provider:?} {answer:?}");
            assert!(!failed.to_string().contains(&token));
        }
        first(client, &token).await.unwrap();
        fake.set_gone(true);
        assert_eq!(first(client, &token).await.unwrap_err().error, ProviderError::Gone);
        assert_eq!(client.refresh("r").await, Err(ProviderError::Gone));
        fake.set_gone(false);
        fake.set_down(true);
        assert_eq!(first(client, &token).await.unwrap_err().error.as_str(), "unavailable");
    }
}

#[tokio::test]
async fn a_404_takes_an_item_away_only_in_the_services_own_words() {
    let stage = strava().await;
    let token = stage.token();
    stage.fake.script().extend("one", [Answer::Html404, Answer::Status(404)]);
    let proxy = stage.client.one(&token, Kind::Activity, "7").await.unwrap_err();
    assert_eq!(proxy.error.as_str(), "unavailable");
    let gone = stage.client.one(&token, Kind::Activity, "7").await.unwrap();
    assert!(gone.value.is_none());
}

#[tokio::test]
async fn an_application_that_is_not_active_is_nobodys_token() {
    let stage = strava().await;
    let token = stage.token();
    stage.fake.script().set_standing("list", Some(Answer::Inactive));
    let failed = first(&stage.client, &token).await.unwrap_err();
    assert_eq!(failed.error, ProviderError::Inactive);
    assert_eq!(failed.usage.windows.len(), 4, "failures say it too");
}

#[tokio::test]
async fn failures_can_be_one_users_alone() {
    let stage = oura().await;
    let (one, two) = (stage.fake.connect("u1").access_token, stage.fake.connect("u2").access_token);
    stage.fake.script().set_standing("@u1", Some(Answer::Status(401)));
    assert!(first(&stage.client, &one).await.is_err());
    assert!(first(&stage.client, &two).await.is_ok());
    assert_eq!(stage.fake.calls_of("u1", Some("list")), 1);
}

#[tokio::test]
async fn missing_scopes_are_told() {
    let strava = strava().await;
    let token = strava.fake.connect_with(USER, &["read"]).access_token;
    assert_eq!(first(&strava.client, &token).await.unwrap_err().error, ProviderError::Unauthorized);
    let google = google().await;
    let token = google.fake.connect_with(USER, &[]).access_token;
    let said = Some("ACCESS_TOKEN_SCOPE_INSUFFICIENT".to_owned());
    let expected = ProviderError::Refused { status: 403, said };
    assert_eq!(first(&google.client, &token).await.unwrap_err().error, expected);
    let oura = oura().await;
    let token = oura.fake.connect_with(USER, &["daily"]).access_token;
    assert_eq!(
        first(&oura.client, &token).await.unwrap_err().error,
        ProviderError::Refused { status: 403, said: None }
    );
    let fitbit = fitbit().await;
    let token = fitbit.fake.connect_with(USER, &["sleep"]).access_token;
    let said = Some("insufficient_scope".to_owned());
    let expected = ProviderError::Refused { status: 403, said };
    assert_eq!(first(&fitbit.client, &token).await.unwrap_err().error, expected);
}

#[tokio::test]
async fn stravas_four_windows_are_read_and_end_at_quarters_and_midnight() {
    let stage = strava().await;
    let token = stage.token();
    stage.fake.spend(USER, 97);
    // 11:06:40 UTC.
    let usage = first(&stage.client, &token).await.unwrap();
    let quarter = window(&usage, "read_15m");
    assert_eq!((quarter.limit, quarter.used, quarter.left()), (100, 98, 2));
    assert_eq!(quarter.resets_in, Some(Duration::from_secs(8 * 60 + 20)));
    let day = window(&usage, "all_day");
    assert_eq!((day.limit, day.used), (2000, 98));
    assert_eq!(day.resets_in, Some(Duration::from_secs(12 * 3600 + 53 * 60 + 20)));
    assert_eq!(window(&usage, "read_day").limit, 1000);
    assert_eq!(window(&usage, "all_15m").limit, 200);
    first(&stage.client, &token).await.unwrap();
    first(&stage.client, &token).await.unwrap();
    let over = first(&stage.client, &token).await.unwrap_err();
    assert_eq!(over.error, ProviderError::RateLimited { retry_after: None });
    assert_eq!(window(&over.usage, "read_15m").left(), 0);
    assert_eq!(window(&over.usage, "read_15m").used, 101, "refused ones count");
    stage.hands.advance(Duration::from_secs(500));
    let usage = first(&stage.client, &token).await.unwrap();
    assert_eq!(window(&usage, "read_15m").used, 1);
    assert_eq!(window(&usage, "read_day").used, 102);
}

#[tokio::test]
async fn fitbits_hour_is_each_users_own() {
    let stage = fitbit().await;
    let token = stage.token();
    let usage = first(&stage.client, &token).await.unwrap();
    let hour = window(&usage, "user_hour");
    assert_eq!((hour.limit, hour.used), (150, 1));
    assert_eq!(hour.resets_in, Some(Duration::from_secs(53 * 60 + 20)));
    stage.fake.spend(USER, 149);
    let over = first(&stage.client, &token).await.unwrap_err();
    let wait = Duration::from_secs(53 * 60 + 20);
    assert_eq!(over.error, ProviderError::RateLimited { retry_after: Some(wait) });
    assert_eq!(window(&over.usage, "user_hour").left(), 0);
    let other = stage.fake.connect("2").access_token;
    assert!(first(&stage.client, &other).await.is_ok());
}

#[tokio::test]
async fn oura_says_how_long_to_wait() {
    let stage = oura().await;
    let token = stage.token();
    assert_eq!(first(&stage.client, &token).await.unwrap().windows, [], "it names no remainder");
    stage.fake.spend(USER, 5000);
    let over = first(&stage.client, &token).await.unwrap_err();
    let wait = Duration::from_secs(200);
    assert_eq!(over.error, ProviderError::RateLimited { retry_after: Some(wait) });
    let five = window(&over.usage, "app_5m");
    assert_eq!((five.limit, five.left(), five.resets_in), (5000, 0, Some(wait)));
    stage.hands.advance(wait);
    assert!(first(&stage.client, &token).await.is_ok());
}

#[tokio::test]
async fn google_counts_users_minutes_and_says_nothing() {
    let stage = google().await;
    let token = stage.token();
    stage.fake.spend(USER, 300);
    let over = first(&stage.client, &token).await.unwrap_err();
    assert_eq!(over.error, ProviderError::RateLimited { retry_after: None });
    assert_eq!(over.usage, Usage::default());
}

#[tokio::test]
async fn waits_are_seconds_or_dates_and_never_longer_than_a_day() {
    let stage = google().await;
    let token = stage.token();
    let waited = async |answer: Answer| {
        stage.fake.script().extend("list", [answer]);
        let failed = first(&stage.client, &token).await.unwrap_err();
        failed.error.retry_after().map(|wait| wait.as_secs())
    };
    let seconds = |seconds| Some(RetryAfter::Seconds(seconds));
    assert_eq!(waited(Answer::RateLimited(seconds(90))).await, Some(90));
    assert_eq!(waited(Answer::Unavailable(seconds(7200))).await, Some(7200));
    assert_eq!(waited(Answer::Unavailable(seconds(999_999_999))).await, Some(86_400));
    let date = Some(RetryAfter::DateInSeconds(120));
    assert_eq!(waited(Answer::RateLimited(date)).await, Some(120));
    assert_eq!(waited(Answer::RateLimited(None)).await, None);
}

#[tokio::test]
async fn a_service_that_hangs_costs_the_time_out() {
    let stage = strava().await;
    let token = stage.token();
    let clock = Clock::standing(Timestamp::from_millis(START_MS)).0;
    let hasty = client(Provider::Strava, &stage.fake, clock, Duration::from_millis(50));
    stage.fake.script().extend("list", [Answer::Hang]);
    let failed = first(&hasty, &token).await.unwrap_err();
    let ProviderError::Unavailable(cause) = failed.error else { panic!("{failed:?}") };
    assert_eq!(cause.kind, CauseKind::Transport(TransportError::TimedOut));
}

#[tokio::test]
async fn refusals_of_tokens_tell_users_from_the_application() {
    let (strava, google, oura, fitbit) =
        (strava().await, google().await, oura().await, fitbit().await);
    let stages: [(&ProviderClient, &Service); 4] = [
        (&strava.client, &strava.fake),
        (&google.client, &google.fake),
        (&oura.client, &oura.fake),
        (&fitbit.client, &fitbit.fake),
    ];
    let text = |status, text: &str| Answer::Text(status, text.to_owned());
    let of_strava = |resource: &str, field: &str| {
        format!(
            r#"{{"message":"Bad Request","errors":[{{"resource":"{resource}","field":"{field}","code":"invalid"}}]}}"#
        )
    };
    for (client, fake) in stages {
        for (answer, expected) in [
            (
                text(400, r#"{"error":"invalid_grant","error_description":"Bad Request"}"#),
                "dead_refresh",
            ),
            (
                text(400, r#"{"errors":[{"errorType":"invalid_grant"}],"success":false}"#),
                "dead_refresh",
            ),
            (text(400, &of_strava("RefreshToken", "refresh_token")), "dead_refresh"),
            (text(400, &of_strava("AuthorizationCode", "code")), "dead_refresh"),
            (text(401, "{}"), "dead_refresh"),
            (text(401, r#"{"error":"invalid_client"}"#), "refused"),
            (
                text(401, r#"{"errors":[{"errorType":"invalid_client"}],"success":false}"#),
                "refused",
            ),
            (text(400, &of_strava("Application", "client_id")), "refused"),
            (text(401, &of_strava("Application", "client_secret")), "refused"),
            (text(400, "<html>"), "refused"),
            (Answer::RateLimited(None), "rate_limited"),
            (Answer::Unavailable(None), "unavailable"),
            (Answer::CutBody, "unavailable"),
            (Answer::IllShaped, "unavailable"),
            (Answer::EmptyBody, "unavailable"),
        ] {
            let pair = fake.connect(USER);
            fake.script().extend("token", [answer.clone()]);
            let failed = client.refresh(&pair.refresh_token).await.unwrap_err();
            let provider = client.provider();
            assert_eq!(failed.as_str(), expected, "{provider:?} {answer:?}");
        }
    }
}
