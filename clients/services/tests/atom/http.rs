//! What is asked for in each generation of the contract, and what becomes of
//! every kind of answer.

use std::time::Duration;

use tidegate_services::atom::NewRating;
use tidegate_services::atom::answer::{Conditional, SkillsPage, Validator};
use tidegate_services::atom::contract::Contract;
use tidegate_services::atom::error::{AtomError, Retry};

use crate::atom::stage::{Answer, Stage, TOKEN, answer, client, json};

const PAGE: &str = r#"{"skills":[{"skill_id":"s","name":"n"}],"page":1,"total":1}"#;

fn rating() -> NewRating {
    NewRating {
        skill_id: "a/b".to_owned(),
        user_id: "user@example.com".to_owned(),
        rating: 5,
        comment: Some("Great skill!".to_owned()),
    }
}

/// What a page, the categories and a skill each make of one answer.
async fn words(answer: Answer) -> [&'static str; 3] {
    let stage = Stage::new([answer]).await;
    let atom = stage.atom();
    let word = |error: Option<AtomError>| error.map_or("ok", |error| error.as_str());
    [
        word(atom.skills(1, 100, None).await.err()),
        word(atom.categories(None).await.err()),
        word(atom.skill("s").await.err()),
    ]
}

async fn refusal(answer: Answer) -> AtomError {
    let stage = Stage::new([answer]).await;
    stage.atom().skills(1, 100, None).await.unwrap_err()
}

async fn listing(answer: Answer, known: Option<&Validator>) -> Conditional<SkillsPage> {
    Stage::new([answer]).await.atom().skills(1, 100, known).await.unwrap()
}

/// Lets a client of `contract` ask for everything, and checks what it sends.
async fn speak(contract: Contract, paths: &[&str], auth: &[String]) {
    let all = r#"{"skills":[],"categories":[],"rating_id":"r","status":"healthy"}"#;
    let stage = Stage::new([json(all)]).await;
    let atom = stage.client(contract, Duration::from_secs(5));
    atom.skills(2, 100, None).await.unwrap();
    atom.skill("a/b").await.unwrap();
    atom.categories(None).await.unwrap();
    assert_eq!(atom.rate(&rating()).await.unwrap().rating_id, "r");
    atom.health().await.unwrap();
    let requests = stage.requests();
    assert_eq!(requests.len(), paths.len(), "{contract}");
    for (request, path) in requests.iter().zip(paths) {
        let line = format!("{path} HTTP/1.1\n");
        assert!(request.starts_with(&line), "{contract}: {request} should be {line}");
        for header in auth {
            assert!(request.contains(header), "{contract}: no {header} in {request}");
        }
        assert_eq!(request.contains("authorization"), contract != Contract::C);
        assert_eq!(request.contains("x-"), contract == Contract::C);
    }
    let body =
        r#"{"skill_id":"a/b","user_id":"user@example.com","rating":5,"comment":"Great skill!"}"#;
    assert!(requests[3].ends_with(body), "{}", requests[3]);
    assert!(requests[3].contains("content-type: application/json"));
}

/// Each generation is asked at its own paths, with its own headers.
#[tokio::test]
async fn every_generation_is_spoken() {
    let bearer = [format!("authorization: bearer {TOKEN}")];
    let paths = [
        "GET /base/marketplace/skills?page=2&page_size=100",
        "GET /base/marketplace/skills/a%2Fb",
        "GET /base/marketplace/categories",
        "POST /base/marketplace/skills/a%2Fb/rate",
    ];
    speak(Contract::A, &paths, &bearer).await;
    let paths = [
        "GET /base/api/v1/skills?page=2&page_size=100",
        "GET /base/api/v1/skills/a%2Fb",
        "GET /base/api/v1/categories",
        "POST /base/api/v1/ratings",
        "GET /base/health",
    ];
    speak(Contract::B, &paths, &bearer).await;
    let federation = [
        format!("x-api-token: {TOKEN}"),
        format!("x-federation-key: {TOKEN}"),
        "x-instance-id: instance-1".to_owned(),
    ];
    let paths = [
        "GET /base/skills/marketplace/skills?page=2&page_size=100",
        "GET /base/skills/marketplace/skills/a%2Fb",
        "GET /base/skills/marketplace/categories",
        "POST /base/skills/marketplace/skills/a%2Fb/rate",
        "GET /base/health",
    ];
    speak(Contract::C, &paths, &federation).await;
}

/// Items come as they were written, and both shapes of categories are read.
#[tokio::test]
async fn items_come_unchanged() {
    let Conditional::Fresh { value, validator } = listing(json(PAGE), None).await else {
        panic!("not fresh")
    };
    assert_eq!(value.skills[0].get(), r#"{"skill_id":"s","name":"n"}"#);
    assert_eq!((value.page, value.total, validator), (Some(1), Some(1), None));
    for body in [r#"{"categories":[{"name": "a"}]}"#, r#"[{"name": "a"}]"#] {
        let stage = Stage::new([json(body)]).await;
        let list = stage.atom().categories(None).await.unwrap();
        let Conditional::Fresh { value, .. } = list else { panic!("not fresh") };
        assert_eq!(value.categories[0].get(), r#"{"name": "a"}"#);
    }
    let stage = Stage::new([json(r#" {"skill_id": "s", "x": 1e2}"#)]).await;
    let skill = stage.atom().skill("s").await.unwrap().unwrap();
    assert_eq!(skill.get(), r#"{"skill_id": "s", "x": 1e2}"#);
}

/// A validator goes back to the service, which may then leave the body out.
#[tokio::test]
async fn what_is_known_is_not_sent_again() {
    let fresh = answer("200 OK", "etag: W/\"v1\"\r\n", PAGE);
    let Conditional::Fresh { validator: Some(validator), .. } = listing(fresh, None).await else {
        panic!("no validator")
    };
    assert_eq!(validator.as_str(), "W/\"v1\"");
    let stage = Stage::new([answer("304 Not Modified", "etag: W/\"v1\"\r\n", "")]).await;
    let atom = stage.atom();
    let page = atom.skills(1, 100, Some(&validator)).await.unwrap();
    assert!(matches!(page, Conditional::NotModified));
    let list = atom.categories(Some(&validator)).await.unwrap();
    assert!(matches!(list, Conditional::NotModified));
    assert!(stage.requests().iter().all(|request| request.contains("if-none-match: w/\"v1\"")));
    let unasked = atom.skills(1, 100, None).await.unwrap_err();
    assert_eq!((unasked.as_str(), unasked.status), ("unexpected", Some(304)));
}

/// Whatever body comes with it.
#[tokio::test]
async fn a_missing_skill_is_no_error() {
    for body in [r#"{"error":"Skill not found"}"#, "404: Not Found", ""] {
        let gone = answer("404 Not Found", "", body);
        assert!(Stage::new([gone]).await.atom().skill("s").await.unwrap().is_none(), "{body}");
    }
    let refused = refusal(answer("404 Not Found", "", "{}")).await;
    assert_eq!((refused.as_str(), refused.retry), ("not_found", Retry::Never));
}

/// Nothing but a list makes a listing, nothing but an object a skill.
#[tokio::test]
async fn no_answer_is_taken_for_an_empty_success() {
    for (body, expected) in [
        ("", ["unreadable"; 3]),
        ("<html>login</html>", ["unreadable"; 3]),
        (r#"{"skills":[{"skill_id":"s"},{"#, ["unreadable"; 3]),
        (r#"{"skills":null,"categories":null}"#, ["unreadable", "unreadable", "ok"]),
        (r#"{"total":0}"#, ["unreadable", "unreadable", "ok"]),
        ("[]", ["unreadable", "ok", "unreadable"]),
        ("null", ["unreadable"; 3]),
        (r#"{"success":false,"error":"x","skills":[],"categories":[]}"#, ["failed"; 3]),
    ] {
        assert_eq!(words(json(body)).await, expected, "{body}");
    }
    let no_content = answer("204 No Content", "", "");
    assert_eq!(words(no_content).await, ["unreadable"; 3]);
    let redirect = answer("302 Found", "location: /login\r\n", "");
    assert_eq!(words(redirect).await, ["unexpected"; 3]);
}

/// Refusals say when to ask again.
#[tokio::test]
async fn waits_are_taken_from_the_answer() {
    let after = |seconds| Retry::After(Duration::from_secs(seconds));
    let body = r#"{"error":"Rate limit exceeded","retry_after":30}"#;
    for (status, head, body, word, retry) in [
        ("429 Too Many Requests", "retry-after: 7\r\n", body, "rate_limited", after(7)),
        ("429 Too Many Requests", "", body, "rate_limited", after(30)),
        ("429 Too Many Requests", "", "<html>", "rate_limited", after(60)),
        ("503 Service Unavailable", "retry-after: 90\r\n", "{}", "unavailable", after(90)),
        (
            "503 Service Unavailable",
            "date: Sun, 06 Nov 1994 08:49:37 GMT\r\nretry-after: Sun, 06 Nov 1994 08:50:07 GMT\r\n",
            "",
            "unavailable",
            after(30),
        ),
        ("503 Service Unavailable", "", "{}", "unavailable", Retry::Backoff),
        ("502 Bad Gateway", "", "<html>502</html>", "unavailable", Retry::Backoff),
        ("500 Internal Server Error", "", "", "unavailable", Retry::Backoff),
        ("401 Unauthorized", "www-authenticate: Bearer\r\n", "{}", "unauthorized", Retry::Never),
        ("403 Forbidden", "", "{}", "forbidden", Retry::Never),
        ("400 Bad Request", "", "{}", "bad_request", Retry::Never),
        ("422 Unprocessable Content", "", "{}", "bad_request", Retry::Never),
    ] {
        let error = refusal(answer(status, head, body)).await;
        assert_eq!((error.as_str(), error.retry), (word, retry), "{status}");
        assert_eq!(error.status, status[..3].parse().ok());
    }
}

/// A service that stops answering is an outage, wherever it stops.
#[tokio::test]
async fn silence_is_an_error() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"skills\":[";
    let (short, long) = (Duration::from_millis(150), Duration::from_secs(5));
    for (answer, timeout, word) in [
        (Answer::Hang(Vec::new()), short, "timed_out"),
        (Answer::Hang(half.into()), short, "timed_out"),
        (Answer::Bytes(half.into()), long, "broken"),
        (Answer::Bytes(Vec::new()), long, "broken"),
        (Answer::Bytes(b"SSH-2.0-OpenSSH_9.6\r\n".to_vec()), long, "broken"),
    ] {
        let stage = Stage::new([answer]).await;
        let atom = stage.client(Contract::B, timeout);
        let error = atom.skills(1, 100, None).await.unwrap_err();
        assert_eq!((error.as_str(), error.retry), (word, Retry::Backoff));
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let atom = client(Contract::B, &base_url, None, Duration::from_secs(5));
    assert_eq!(atom.skills(1, 100, None).await.unwrap_err().as_str(), "connect");
}

/// A body that is announced as too large, or grows too large, is not kept.
#[tokio::test]
async fn bodies_are_bounded() {
    let announced = "HTTP/1.1 200 OK\r\ncontent-length: 16777217\r\n\r\n";
    let error = refusal(Answer::Hang(announced.into())).await;
    assert_eq!((error.as_str(), error.retry), ("too_large", Retry::Never));
    let mut growing = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"skills\":[\"".to_vec();
    growing.resize(16 * 1024 * 1024 + 1024, b'x');
    assert_eq!(refusal(Answer::Bytes(growing)).await.as_str(), "too_large");
    let largest = format!("{{\"skills\":[\"{}\"]}}", "x".repeat(16 * 1024 * 1024 - 15));
    assert_eq!(largest.len(), 16 * 1024 * 1024);
    let Conditional::Fresh { value, .. } = listing(json(&largest), None).await else {
        panic!("not fresh")
    };
    assert_eq!(value.skills.len(), 1);
}

/// A rating is taken when there is an id to prove it.
#[tokio::test]
async fn ratings_are_taken_refused_or_unclear() {
    let rate = async |answer: Answer| {
        let rated = Stage::new([answer]).await.atom().rate(&rating()).await;
        rated.map(|rated| rated.rating_id).map_err(|error| (error.as_str(), error.status))
    };
    let created = answer("201 Created", "", r#"{"success":true,"rating_id":"r-1"}"#);
    assert_eq!(rate(created).await, Ok("r-1".to_owned()));
    assert_eq!(rate(json(r#"{"id":"r-2"}"#)).await, Ok("r-2".to_owned()));
    let failed = json(r#"{"success":false,"error":"upstream is down"}"#);
    assert_eq!(rate(failed).await, Err(("failed", Some(200))));
    assert_eq!(rate(json(r#"{"success":true}"#)).await, Err(("unreadable", Some(200))));
    let exists = answer("409 Conflict", "", r#"{"error":"Rating exists"}"#);
    assert_eq!(rate(exists).await, Err(("conflict", Some(409))));
    let unknown = answer("404 Not Found", "", "{}");
    assert_eq!(rate(unknown).await, Err(("not_found", Some(404))));
}

/// What cannot succeed is not sent.
#[tokio::test]
async fn senseless_requests_stay_here() {
    let stage = Stage::new([json("{}")]).await;
    let atom = stage.atom();
    let word = |error: AtomError| (error.as_str(), error.status);
    for (page, page_size) in [(0, 100), (1, 0), (1, 1001)] {
        let error = atom.skills(page, page_size, None).await.unwrap_err();
        assert_eq!(word(error), ("bad_request", None));
    }
    for id in ["", "..", "a\nb", &"x".repeat(201)] {
        assert_eq!(word(atom.skill(id).await.unwrap_err()), ("bad_request", None));
    }
    let error = atom.rate(&NewRating { rating: 6, ..rating() }).await.unwrap_err();
    assert_eq!(word(error), ("bad_request", None));
    assert!(stage.requests().is_empty());
}

/// Health is what the service reports; generation A reports none.
#[tokio::test]
async fn health_is_reported() {
    let well = json(r#"{"status":"healthy","version":"1.0.0"}"#);
    assert!(Stage::new([well]).await.atom().health().await.is_ok());
    for (answer, word) in [
        (json(r#"{"status":"unhealthy"}"#), "unavailable"),
        (json("OK"), "unreadable"),
        (answer("503 Service Unavailable", "", ""), "unavailable"),
    ] {
        let stage = Stage::new([answer]).await;
        assert_eq!(stage.atom().health().await.unwrap_err().as_str(), word);
        assert!(stage.client(Contract::A, Duration::from_secs(5)).health().await.is_ok());
    }
}

/// No error and no `Debug` output carries the address, the token or the body.
#[tokio::test]
async fn errors_keep_secrets() {
    let stage = Stage::new([answer("500 Oops", "", "secret of the body")]).await;
    let atom = stage.atom();
    let error = atom.skills(1, 100, None).await.unwrap_err();
    let shown = format!("{error} {error:?} {atom:?}");
    assert_eq!(error.to_string(), "the service is not available (HTTP 500)");
    for secret in [TOKEN, "127.0.0.1", "secret"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
