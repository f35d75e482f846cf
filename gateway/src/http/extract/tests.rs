//! Each refusal of the extractors, through a router.

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::get;
use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tidegate_clock::Clock;
use tidegate_protocol::id::UserId;
use tower::ServiceExt as _;

use super::*;
use crate::config::load::load;
use crate::metrics::Metrics;

#[derive(Debug, Deserialize)]
struct Command {
    user_id: String,
    #[serde(default)]
    tags: Vec<Tag>,
    value: Option<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "read by serde only")]
struct Tag {
    rank: u8,
}

#[derive(Debug, Deserialize)]
struct Page {
    limit: Option<u16>,
}

fn refused(text: &str) -> (ErrorCode, String) {
    let error = parse_json::<Command>(text).unwrap_err();
    let field = error.details.first().map(|detail| detail.field.clone()).unwrap_or_default();
    (error.code, field)
}

async fn body(response: Response) -> Value {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&bytes).unwrap()
}

#[test]
fn payloads_stay_as_received() {
    let text = r#"{"user_id":"u","value": { "b" : 1.0,  "a":[1e3] } }"#;
    let command: Command = parse_json(text).unwrap();
    assert_eq!(command.value.unwrap().get(), r#"{ "b" : 1.0,  "a":[1e3] }"#);
    assert_eq!((command.user_id.as_str(), command.tags.len()), ("u", 0));
}

#[test]
fn what_is_not_json_is_malformed() {
    for text in [
        "",
        "{",
        "{\"user_id\":}",
        "{\"user_id\":\"u\"} x",
        "{'user_id':'u'}",
        "{\"user_id\":7, oops}",
        "{\"user_id\":\"u\",\"tags\":[{\"rank\":300]}",
    ] {
        assert_eq!(refused(text), (ErrorCode::Malformed, String::new()), "{text}");
    }
}

#[test]
fn wrong_values_are_named_by_their_path() {
    for (text, field) in [
        ("{}", "user_id"),
        ("[\"u\"]", ""),
        ("{\"user_id\":7}", "user_id"),
        ("{\"user_id\":\"u\",\"tags\":[{\"rank\":1},{\"rank\":300}]}", "tags[1].rank"),
        ("{\"user_id\":\"u\",\"tags\":[{}]}", "tags[0].rank"),
        ("7", ""),
    ] {
        assert_eq!(refused(text), (ErrorCode::Invalid, field.to_owned()), "{text}");
    }
    let echo = format!("{{\"user_id\":\"u\",\"tags\":[\"{}\"]}}", "x".repeat(10_000));
    let error = parse_json::<Command>(&echo).unwrap_err();
    assert!(error.details[0].reason.len() <= 200);
    assert!(!error.details[0].reason.contains("at line"));
}

#[test]
fn depth_and_nul_are_refused_before_parsing() {
    let deep = format!("{{\"user_id\":\"u\",\"value\":{}1{}}}", "[".repeat(64), "]".repeat(64));
    assert_eq!(refused(&deep).0, ErrorCode::Invalid);
    assert_eq!(refused("{\"user_id\":\"a\\u0000\"}").0, ErrorCode::Invalid);
    let fits = format!("{{\"user_id\":\"u\",\"value\":{}1{}}}", "[".repeat(63), "]".repeat(63));
    assert!(parse_json::<Command>(&fits).is_ok());
}

#[test]
fn queries_name_the_parameter() {
    assert_eq!(parse_query::<Page>("limit=7&other=1").unwrap().limit, Some(7));
    assert_eq!(parse_query::<Page>("").unwrap().limit, None);
    for query in ["limit=x", "limit=70000", "limit=", "limit=1&limit=2", "limit=%00"] {
        let error = parse_query::<Page>(query).unwrap_err();
        assert_eq!(error.code, ErrorCode::Invalid);
        assert_eq!(error.details.len(), 1, "{query}");
    }
    assert_eq!(parse_query::<Page>("limit=x").unwrap_err().details[0].field, "limit");
}

#[tokio::test]
async fn callers_are_known_by_their_token() {
    let secret = ("TIDEGATE_AUTH__HS256_SECRET".to_owned(), "s".repeat(32));
    let config = load(None, [secret]).unwrap();
    let auth = Authenticator::new(&config.auth, Clock::system(), Metrics::new()).await.unwrap();
    let user = UserId::parse("u1").unwrap();
    let token = auth.issue(&user, Role::Device, 60, None).unwrap();
    let who =
        async |caller: Caller| caller.require_role(Role::Device).map(|()| caller.0.sub.to_string());
    let service = async |caller: Caller| caller.require_role(Role::Service);
    let app = Router::new().route("/", get(who)).route("/service", get(service)).with_state(auth);
    let get = async |path: &str, header: Option<&str>| {
        let mut request = Request::get(path);
        if let Some(header) = header {
            request = request.header(AUTHORIZATION, header);
        }
        app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    };
    for scheme in ["Bearer", "bearer", "BEARER"] {
        assert_eq!(get("/", Some(&format!("{scheme} {token}"))).await.status(), 200);
    }
    for header in [None, Some("Bearer"), Some("Bearer x"), Some("Basic dTpw")] {
        let response = get("/", header).await;
        assert_eq!(response.status(), 401, "{header:?}");
        assert_eq!(response.headers()[WWW_AUTHENTICATE], "Bearer");
        assert_eq!(body(response).await["error"]["code"], "unauthenticated");
    }
    let response = get("/service", Some(&format!("Bearer {token}"))).await;
    assert_eq!(response.status(), 403);
}

#[test]
fn a_token_bound_to_a_device_is_refused_for_another() {
    let device = DeviceId::generate();
    let caller = Caller(Claims {
        sub: UserId::parse("u").unwrap(),
        exp: Clock::system().now(),
        device_id: Some(device.clone()),
        role: Role::Device,
    });
    assert!(caller.require_device(&device).is_ok());
    let error = caller.require_device(&DeviceId::generate()).unwrap_err();
    assert_eq!(error.code, ErrorCode::DeviceMismatch);
}

#[test]
fn every_code_makes_an_answer() {
    for code in ErrorCode::ALL {
        let response = ApiError::new(*code, "x").with_retry_after(3).into_response();
        assert_eq!(response.status().as_u16(), code.number());
        assert_eq!(response.headers()[RETRY_AFTER], "3");
    }
}
