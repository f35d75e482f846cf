//! Answers of which none was promised, byte by byte.

use std::fmt::Write as _;

use tidegate_clock::Clock;
use tidegate_protocol::time::Timestamp;
use tidegate_services::provider::{Kind, Provider, ProviderClient, ProviderError};

use super::stage::{TIMEOUT, client_of, days};
use crate::atom::stage::{Answer, Stage, answer, json};
use crate::stage::START_MS;

const TOKEN: &str = "access-token-of-a-user";

fn client(provider: Provider, stage: &Stage) -> ProviderClient {
    let urls = std::array::from_fn(|_| stage.base_url().to_owned());
    client_of(provider, urls, Clock::standing(Timestamp::from_millis(START_MS)).0, TIMEOUT)
}

/// The items and the next position of a page, or the failure as a word.
async fn read(
    provider: Provider,
    kind: Kind,
    body: &str,
) -> Result<(usize, Option<String>), &'static str> {
    let stage = Stage::new([json(body)]).await;
    let page = client(provider, &stage).list(TOKEN, kind, &days(1), None).await;
    match page {
        Ok(answer) => Ok((answer.value.items.len(), answer.value.next)),
        Err(failed) => Err(failed.error.as_str()),
    }
}

#[tokio::test]
async fn pages_of_another_shape_are_no_pages() {
    const ILL: Result<(usize, Option<String>), &str> = Err("unavailable");
    for (provider, kind, bodies) in [
        (
            Provider::Strava,
            Kind::Activity,
            &["{}", "null", "", "[", "[1", "[]]", "\"\"", r#"{"message":"x"}"#, "[\"\u{1}\"]"][..],
        ),
        (
            Provider::GoogleHealth,
            Kind::Sleep,
            &[
                "[]",
                "null",
                r#"{"dataPoints":{}}"#,
                r#"{"dataPoints":[],"nextPageToken":7}"#,
                r#"{"error":{"code":500}}"#,
                r#"{"a":1}"#,
                r#"{"dataPoints":[],"dataPoints":[]}"#,
            ],
        ),
        (
            Provider::Oura,
            Kind::Sleep,
            &["[]", "{}", r#"{"data":null}"#, r#"{"data":{}}"#, r#"{"data":[],"next_token":{}}"#],
        ),
        (
            Provider::Fitbit,
            Kind::Activity,
            &[
                "{}",
                r#"{"activities":[]}"#,
                r#"{"activities":[],"pagination":[]}"#,
                r#"{"activities":[],"pagination":{"next":"no link"}}"#,
                r#"{"activities":[],"pagination":{"next":"https://h/no-query"}}"#,
            ],
        ),
        (Provider::Fitbit, Kind::Steps, &["{}", "[]", r#"{"activities-steps":7}"#]),
        (Provider::Fitbit, Kind::Sleep, &["{}", "[]", r#"{"sleep":{}}"#]),
    ] {
        for body in bodies {
            assert_eq!(read(provider, kind, body).await, ILL, "{provider:?} {body}");
        }
    }
}

#[tokio::test]
async fn what_stands_in_items_spoils_no_page() {
    const ITEM: &str =
        r#"{"id":987654321234567891234,"n":1e99999,"a":null,"b":[[{}]],"s":"\ud800","id":1}"#;
    let strava = format!("[{ITEM},7,null]");
    assert_eq!(read(Provider::Strava, Kind::Activity, &strava).await, Ok((3, Some("2".into()))));
    let google = format!(r#"{{"dataPoints":[{ITEM}],"nextPageToken":null,"other":1}}"#);
    assert_eq!(read(Provider::GoogleHealth, Kind::Steps, &google).await, Ok((1, None)));
    assert_eq!(read(Provider::GoogleHealth, Kind::Steps, " { } ").await, Ok((0, None)));
    let oura = format!(r#"{{"data":[{ITEM}],"next_token":""}}"#);
    assert_eq!(read(Provider::Oura, Kind::Workout, &oura).await, Ok((1, None)));
    let fitbit = format!(r#"{{"activities":[{ITEM}],"pagination":{{"next":null}}}}"#);
    assert_eq!(read(Provider::Fitbit, Kind::Activity, &fitbit).await, Ok((1, None)));
}

#[tokio::test]
async fn a_list_that_leads_back_to_its_own_page_is_ill_shaped() {
    let page = r#"{"data":[],"next_token":"again"}"#;
    let stage = Stage::new([json(page)]).await;
    let oura = client(Provider::Oura, &stage);
    let first = oura.list(TOKEN, Kind::Sleep, &days(1), None).await.unwrap().value;
    let again = oura.list(TOKEN, Kind::Sleep, &days(1), first.next.as_deref()).await.unwrap_err();
    assert_eq!(again.error.as_str(), "unavailable");
    let long = format!(r#"{{"data":[],"next_token":"{}"}}"#, "x".repeat(3000));
    assert_eq!(read(Provider::Oura, Kind::Sleep, &long).await, Err("unavailable"));
}

#[tokio::test]
async fn a_link_to_another_host_is_asked_of_our_own() {
    let page = r#"{"activities":[],"pagination":{"next":"http://evil.example:1/steal?afterDate=2026-01-01&x=%2F"}}"#;
    let stage = Stage::new([json(page)]).await;
    let fitbit = client(Provider::Fitbit, &stage);
    let next = fitbit.list(TOKEN, Kind::Activity, &days(1), None).await.unwrap().value.next;
    let next = next.unwrap();
    assert_eq!(next, "afterDate=2026-01-01&x=%2F");
    let again = fitbit.list(TOKEN, Kind::Activity, &days(1), Some(&next)).await;
    assert!(again.is_err(), "it leads to itself");
    let path = "GET /base/1/user/-/activities/list.json?afterDate=2026-01-01&x=%2F HTTP/1.1";
    assert!(stage.requests()[1].starts_with(path), "{}", stage.requests()[1]);
}

#[tokio::test]
async fn endless_answers_are_not_read_to_their_end() {
    let mut items = String::from("[0");
    while items.len() < 8 * 1024 * 1024 {
        let _ = write!(items, ",{}", "1".repeat(1000));
    }
    items.push(']');
    assert_eq!(read(Provider::Strava, Kind::Activity, &items).await, Err("unavailable"));
    let chunked = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{items}");
    let stage = Stage::new([Answer::Bytes(chunked.into_bytes())]).await;
    let strava = client(Provider::Strava, &stage);
    let failed = strava.list(TOKEN, Kind::Activity, &days(1), None).await.unwrap_err();
    assert_eq!(failed.to_string(), "not available: the answer is too large");
}

#[tokio::test]
async fn rate_headers_come_in_any_case_and_may_be_nonsense() {
    let used = async |provider, head: &str| {
        let stage = Stage::new([answer("500 Oops", head, "")]).await;
        let kind = Provider::kinds(provider)[0];
        let failed = client(provider, &stage).list(TOKEN, kind, &days(1), None).await;
        let windows = failed.unwrap_err().usage.windows;
        windows.iter().map(|window| (window.window, window.used)).collect::<Vec<_>>()
    };
    let both = "X-RATELIMIT-LIMIT: 200,2000\r\nx-ratelimit-usage: 12, 340\r\n\
                x-readratelimit-limit:100,1000\r\nX-ReadRateLimit-Usage: 9,300\r\n";
    assert_eq!(
        used(Provider::Strava, both).await,
        [("read_15m", 9), ("read_day", 300), ("all_15m", 12), ("all_day", 340)]
    );
    for nonsense in [
        "X-RateLimit-Limit: 200\r\nX-RateLimit-Usage: 1,2\r\n",
        "X-RateLimit-Limit: 200,2000\r\n",
        "X-RateLimit-Limit: a,b\r\nX-RateLimit-Usage: -1,2\r\n",
        "X-RateLimit-Limit: 1,99999999999999999999999\r\nX-RateLimit-Usage: 1,2\r\n",
    ] {
        assert_eq!(used(Provider::Strava, nonsense).await, [], "{nonsense}");
    }
    let fitbit = "fitbit-rate-limit-limit: 150\r\nFitbit-Rate-Limit-Remaining: 149\r\n";
    assert_eq!(used(Provider::Fitbit, fitbit).await, [("user_hour", 1)]);
    let more = "fitbit-rate-limit-limit: 150\r\nfitbit-rate-limit-remaining: 151\r\n";
    assert_eq!(used(Provider::Fitbit, more).await, [("user_hour", 0)]);
}

/// Seconds, or the second it happens: the documentation says neither.
#[tokio::test]
async fn a_reset_is_a_wait_or_a_time() {
    for (reset, wait_s) in [("60", 60), ("1795000060", 60), ("1", 1), ("99999999999", 86_400)] {
        let head = format!("X-RateLimit-Limit: 5000\r\nX-RateLimit-Reset: {reset}\r\n");
        let stage = Stage::new([answer("429 Too Many Requests", &head, "")]).await;
        let oura = client(Provider::Oura, &stage);
        let failed = oura.list(TOKEN, Kind::Sleep, &days(1), None).await.unwrap_err();
        let resets_in = failed.usage.windows[0].resets_in.unwrap();
        assert_eq!(resets_in.as_secs(), wait_s, "{reset}");
    }
}

#[tokio::test]
async fn a_refusal_repeats_no_secret() {
    let said = async |body: String| {
        let stage = Stage::new([answer("400 Bad Request", "", &body)]).await;
        let strava = client(Provider::Strava, &stage);
        match strava.list(TOKEN, Kind::Activity, &days(1), None).await.unwrap_err().error {
            ProviderError::Refused { status: 400, said } => said,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(said(r#"{"error":"a_word"}"#.to_owned()).await.as_deref(), Some("a_word"));
    for secret in [TOKEN, "sandbox-app-secret-5f2c", "access-token", "see http://h/x?y", ""] {
        assert_eq!(said(format!(r#"{{"error":"{secret}"}}"#)).await, None, "{secret}");
    }
    assert_eq!(said(format!(r#"{{"error":"x.{TOKEN}"}}"#)).await, None);
}

#[tokio::test]
async fn what_cannot_be_a_token_is_not_sent() {
    let stage = Stage::new([json("[]")]).await;
    let strava = client(Provider::Strava, &stage);
    for bad in ["", "a b", "a\r\nx: y", "é", &"x".repeat(5000)] {
        let failed = strava.list(bad, Kind::Activity, &days(1), None).await.unwrap_err();
        assert_eq!(failed.error, ProviderError::Unauthorized, "{bad}");
    }
    assert!(stage.requests().is_empty());
}

#[tokio::test]
async fn requests_are_made_as_documented() {
    let line = async |provider, kind, body: &str| {
        let stage = Stage::new([json(body)]).await;
        let _ = client(provider, &stage).list(TOKEN, kind, &days(1), None).await;
        let request = stage.requests().remove(0);
        assert!(request.contains("\nauthorization: bearer access-token-of-a-user\n"), "{request}");
        request.split(" HTTP").next().unwrap().replace("GET /base/", "")
    };
    assert_eq!(
        line(Provider::Strava, Kind::Activity, "[]").await,
        "athlete/activities?after=1794913599&before=1795000000&page=1&per_page=200"
    );
    assert_eq!(
        line(Provider::GoogleHealth, Kind::Exercise, "{}").await,
        "users/me/dataTypes/exercise/dataPoints?pageSize=25&filter=\
         exercise.interval.civil_start_time+%3E%3D+%222026-11-16%22+AND+\
         exercise.interval.civil_start_time+%3C+%222026-11-20%22"
    );
    assert_eq!(
        line(Provider::GoogleHealth, Kind::Sleep, "{}").await,
        "users/me/dataTypes/sleep/dataPoints?pageSize=25&filter=\
         sleep.interval.end_time+%3E%3D+%222026-11-17T11%3A06%3A40Z%22+AND+\
         sleep.interval.end_time+%3C+%222026-11-18T11%3A06%3A40Z%22"
    );
    assert_eq!(
        line(Provider::Oura, Kind::DailyActivity, "{}").await,
        "usercollection/daily_activity?start_date=2026-11-16&end_date=2026-11-19"
    );
    assert_eq!(
        line(Provider::Fitbit, Kind::Activity, "{}").await,
        "1/user/-/activities/list.json?afterDate=2026-11-15&sort=asc&limit=100&offset=0"
    );
    assert_eq!(
        line(Provider::Fitbit, Kind::Sleep, "{}").await,
        "1.2/user/-/sleep/date/2026-11-16/2026-11-19.json"
    );
    assert_eq!(
        line(Provider::Fitbit, Kind::Steps, "{}").await,
        "1/user/-/activities/steps/date/2026-11-16/2026-11-19.json"
    );
}
