//! What every HTTP answer has in common: request ids and the shape of errors.

use reqwest::Method;
use serde_json::json;

use crate::support::{Gateway, check};

const COMMANDS: &str = "/api/v1/commands";

/// An id that can be used is echoed, another one is replaced, and each answer
/// has one.
#[tokio::test]
async fn request_ids_are_echoed_or_made() {
    let gateway = Gateway::start().await;
    let backend = gateway.backend();
    for path in ["/healthz", COMMANDS, "/nowhere"] {
        let answer = backend.clone().with_header("x-request-id", "r-1").get(path).await;
        assert_eq!(answer.header("x-request-id"), Some("r-1"));
        let made = backend.get(path).await;
        let id = made.header("x-request-id").unwrap();
        assert!(uuid::Uuid::try_parse(id).is_ok(), "{id}");
    }
}

/// Every refusal has the same envelope.
#[tokio::test]
async fn refusals_have_one_shape() {
    let gateway = Gateway::start().await;
    let backend = gateway.backend();
    backend.get("/nowhere").await.expect_error(404, "not_found");
    backend.get("/api/v1/nowhere").await.expect_error(404, "not_found");
    let put = backend.call(Method::PUT, COMMANDS, Some("{}")).await;
    put.expect_error(405, "method_not_allowed");
    let text = backend.clone().with_header("content-type", "text/plain");
    text.post_text(COMMANDS, "{}").await.expect_error(415, "unsupported_media_type");
    for body in ["", "{", "nonsense", r#"{"a":1} x"#, r#"{"user_id":7"#] {
        backend.post_text(COMMANDS, body).await.expect_error(400, "malformed");
    }
    for body in ["[]", "7", "null", r#""text""#] {
        backend.post_text(COMMANDS, body).await.expect_error(422, "invalid");
    }
    let quiet = backend.quiet();
    let deep = format!(r#"{{"value":{}{}}}"#, "[".repeat(64), "]".repeat(64));
    quiet.post_text(COMMANDS, &deep).await.expect_error(422, "invalid");
    let large = json!({ "value": "x".repeat(3_000_000) });
    quiet.post(COMMANDS, &large).await.expect_error(413, "too_large");
    check!("refusals", gateway.said());
}

/// The best media type is not picky about its parameters and its case.
#[tokio::test]
async fn media_types_may_have_parameters() {
    let gateway = Gateway::start().await;
    let body = r#"{"user_id":"u1","data_type":"t","value":1}"#;
    let backend = gateway.backend().with_header("content-type", "Application/JSON; charset=utf-8");
    backend.post_text(COMMANDS, body).await.expect(202);
}

/// A 401 says how to authenticate; a 405 says what is allowed.
#[tokio::test]
async fn refusals_have_their_headers() {
    let gateway = Gateway::start().await;
    let backend = gateway.backend();
    let answer = backend.clone().without_token().get(COMMANDS).await;
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    answer.expect_error(401, "unauthenticated");
    let answer = backend.call(Method::PATCH, COMMANDS, None).await;
    let mut allowed: Vec<_> = answer.header("allow").unwrap().split(',').map(str::trim).collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
}
