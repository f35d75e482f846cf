//! Lists, whole and in order, and single items.

use tidegate_fakes::provider::fitbit::{self as fitbit_items};
use tidegate_fakes::provider::google_health::{self as google_items};
use tidegate_fakes::provider::oura::{self as oura_items};
use tidegate_fakes::provider::strava::{self as strava_items, activity};
use tidegate_protocol::time::Timestamp;
use tidegate_services::provider::{Kind, ProviderError, Span};

use super::stage::{DAY_MS, USER, days, fitbit, google, oura, strava};
use crate::stage::START_MS;

/// A number no type can hold, as the documentation has it.
const HUGE: &str = "987654321234567891234";

#[tokio::test]
async fn strava_is_read_to_its_empty_page_oldest_first() {
    let stage = strava().await;
    stage.fake.fill(USER, 450, 3600);
    let token = stage.token();
    let (items, pages) = stage.all(&token, Kind::Activity, days(30)).await;
    assert_eq!((items.len(), pages), (450, 4));
    let expected: Vec<_> =
        stage.fake.items(USER, strava_items::ACTIVITY).into_iter().map(|item| item.body).collect();
    assert_eq!(items, expected, "as they came, oldest first");
    assert_eq!(stage.all(&token, Kind::Activity, Span { to: days(0).from, ..days(0) }).await.1, 1);
}

#[tokio::test]
async fn a_short_page_of_strava_is_no_end() {
    let stage = strava().await;
    for id in 0..300 {
        let activity =
            activity(id, START_MS - DAY_MS + i64::try_from(id).unwrap() * 1000, 60, "Run");
        let is_private = id < 200 && id % 2 == 0;
        stage.fake.put_activity(USER, if is_private { activity.private() } else { activity });
    }
    let token = stage.fake.connect_with(USER, &["activity:read"]).access_token;
    let (items, pages) = stage.all(&token, Kind::Activity, days(30)).await;
    assert_eq!((items.len(), pages), (200, 3));
}

#[tokio::test]
async fn a_span_holds_its_first_moment_and_not_its_last() {
    let stage = strava().await;
    let token = stage.token();
    for (id, start_ms) in (1..).zip([0, 1000, 59_000, 60_000]) {
        stage.fake.put_activity(USER, activity(id, START_MS + start_ms, 1, "Run"));
    }
    let count = async |from_ms: i64, to_ms: i64| {
        let at = |ms| Timestamp::from_millis(START_MS + ms);
        let span = Span { from: at(from_ms), to: at(to_ms) };
        stage.all(&token, Kind::Activity, span).await.0.len()
    };
    assert_eq!(count(0, 60_000).await, 3);
    assert_eq!(count(1, 60_001).await, 3);
    assert_eq!(count(1000, 59_000).await, 1);
}

#[tokio::test]
async fn strange_activities_come_as_they_are() {
    let stage = strava().await;
    let strange = activity(7, START_MS - 1000, 60, "Kiteboarding2030")
        .with("upload_id", HUGE)
        .with("distance", "1e400")
        .with("name", "null")
        .without("start_date");
    stage.fake.put_activity(USER, strange.clone());
    let token = stage.token();
    let (items, _) = stage.all(&token, Kind::Activity, days(1)).await;
    assert_eq!(items, [strange.body]);
    let detail = stage.client.one(&token, Kind::Activity, "7").await.unwrap().value.unwrap();
    assert!(detail.get().contains(HUGE) && detail.get().contains("\"calories\":870.2"));
}

#[tokio::test]
async fn google_is_read_by_pages_of_25_sessions() {
    let stage = google().await;
    stage.fake.fill(USER, 60);
    let token = stage.token();
    for kind in [Kind::Exercise, Kind::Sleep] {
        let (items, pages) = stage.all(&token, kind, days(61)).await;
        assert_eq!((items.len(), pages), (60, 3), "{kind:?}");
    }
    assert_eq!(stage.all(&token, Kind::Weight, days(61)).await.0.len(), 60);
    assert_eq!(stage.all(&token, Kind::Steps, days(61)).await, {
        let mut items = stage.fake.items(USER, google_items::STEPS);
        items.reverse();
        (items.into_iter().map(|item| item.body).collect(), 1)
    });
    let refused =
        stage.fake.requests().iter().filter(|request| request.status != Some(200)).count();
    assert_eq!(refused, 0, "every filter is one that the type takes");
    // The last page is `{}`.
    assert_eq!(stage.all(&token, Kind::Weight, days(0)).await, (Vec::new(), 1));
}

#[tokio::test]
async fn google_is_asked_for_no_more_than_the_span() {
    let stage = google().await;
    stage.fake.fill(USER, 60);
    let token = stage.token();
    assert_eq!(stage.all(&token, Kind::Sleep, days(3)).await.0.len(), 3);
    assert_eq!(stage.all(&token, Kind::Weight, days(3)).await.0.len(), 3);
    // By the date on the user's wall, whichever it is.
    let exercises = stage.all(&token, Kind::Exercise, days(3)).await.0.len();
    assert!((3..=5).contains(&exercises), "{exercises}");
}

#[tokio::test]
async fn oura_is_read_until_next_token_is_null() {
    let stage = oura().await;
    stage.fake.fill(USER, 120);
    let token = stage.token();
    for kind in [Kind::Workout, Kind::Sleep, Kind::DailyActivity] {
        let (items, pages) = stage.all(&token, kind, days(120)).await;
        assert_eq!((items.len(), pages), (120, 3), "{kind:?}");
    }
    let days_of_a_user_far_away = oura_items::workout("east", START_MS - 60_000, 60, "run", 50_400);
    stage.fake.put_document(USER, oura_items::WORKOUT, days_of_a_user_far_away);
    let (items, _) = stage.all(&token, Kind::Workout, days(0)).await;
    assert!(items.iter().any(|item| item.contains("\"east\"")), "tomorrow is today there");
}

#[tokio::test]
async fn fitbits_links_are_followed_on_the_host_of_the_settings() {
    let stage = fitbit().await;
    for id in 0..250 {
        let item = fitbit_items::activity(id, START_MS - DAY_MS, 60, "Run");
        stage.fake.put(USER, fitbit_items::ACTIVITY, item);
    }
    let token = stage.token();
    let (items, pages) = stage.all(&token, Kind::Activity, days(2)).await;
    assert_eq!((items.len(), pages), (250, 3));
    // Links name another host; the token was not sent there, but here.
    assert_eq!(stage.fake.calls_of(USER, Some("list")), 3);
}

#[tokio::test]
async fn fitbits_ranges_are_at_most_100_days() {
    let stage = fitbit().await;
    stage.fake.fill(USER, 250);
    let token = stage.token();
    let (nights, pages) = stage.all(&token, Kind::Sleep, days(250)).await;
    assert_eq!((nights.len(), pages), (250, 3));
    let (steps, pages) = stage.all(&token, Kind::Steps, days(250)).await;
    let walked = steps.iter().filter(|day| day.contains("\"13474\"")).count();
    assert_eq!((walked, pages), (250, 3));
    assert_eq!(steps.len(), 253, "the dates of all zones, with zeros");
}

#[tokio::test]
async fn what_is_not_there_is_no_error_if_the_service_says_so() {
    let stage = oura().await;
    stage.fake.fill(USER, 1);
    let token = stage.token();
    let id = format!("s-{USER}-1");
    let there = stage.client.one(&token, Kind::Sleep, &id).await.unwrap().value;
    assert!(there.is_some_and(|document| document.get().starts_with('{')));
    let gone = stage.client.one(&token, Kind::Sleep, "other").await.unwrap().value;
    assert!(gone.is_none());
    for bad in ["", "..", "a/b", "a?b", "x\u{0}", &"x".repeat(200)] {
        let refused = stage.client.one(&token, Kind::Sleep, bad).await.unwrap_err();
        assert_eq!(refused.error.as_str(), "refused", "{bad}");
    }
    assert_eq!(stage.fake.calls_of(USER, Some("one")), 2, "no path was made of those");
}

#[tokio::test]
async fn google_is_asked_by_id_or_by_name() {
    let stage = google().await;
    stage.fake.fill(USER, 1);
    let token = stage.token();
    for id in ["1", "users/1000000000000000001/dataTypes/exercise/dataPoints/1"] {
        let there = stage.client.one(&token, Kind::Exercise, id).await.unwrap().value;
        assert!(there.unwrap().get().contains("\"exerciseType\":\"RUNNING\""), "{id}");
    }
    assert!(stage.client.one(&token, Kind::Weight, "2").await.unwrap().value.is_none());
    assert!(stage.client.one(&token, Kind::Steps, "1").await.is_err(), "steps have no name");
}

#[tokio::test]
async fn what_a_provider_does_not_list_is_not_asked_for() {
    let stage = strava().await;
    let token = stage.token();
    let refused = stage.client.list(&token, Kind::Sleep, &days(1), None).await.unwrap_err();
    assert_eq!(refused.error, ProviderError::Refused { status: 400, said: Some("kind".into()) });
    let page = stage.client.list(&token, Kind::Activity, &days(1), Some("x")).await.unwrap_err();
    assert_eq!(page.error, ProviderError::Refused { status: 400, said: Some("page".into()) });
    assert_eq!(stage.fake.calls(), 0);
}
