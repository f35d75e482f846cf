//! What every request passes through, whatever its route: request id, span,
//! figures, a net for panics, CORS, compression, and answers to paths and methods
//! that do not exist.
//!
//! Layers never decide who may do what.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use http::header::{
    AUTHORIZATION, CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderName, Method};
use tidegate_protocol::code::ErrorCode;
use tokio::time::Instant;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{And, NotForContentType, Predicate as _, SizeAbove};
use tower_http::cors::{AllowOrigin, CorsLayer};
use tracing::Instrument as _;

use crate::config::Config;
use crate::error::ApiError;
use crate::hub::peer::{REQUEST_ID, request_id};
use crate::metrics::Metrics;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Answers shorter than this cost more to compress than they save.
const COMPRESS_FROM_BYTES: u64 = 1024;

/// How long browsers may remember a preflight's answer.
const PREFLIGHT_AGE: Duration = Duration::from_mins(10);

/// The route's label for paths that no route has.
const NO_ROUTE: &str = "none";

/// Puts the layers around all routes. Call it last: routes added later have
/// none of them.
pub fn apply(router: Router, config: &Config, metrics: Metrics) -> Router {
    let router = router
        .fallback(async || ApiError::new(ErrorCode::NotFound, "there is no such path"))
        .method_not_allowed_fallback(async || {
            ApiError::new(ErrorCode::MethodNotAllowed, "the path has no such method")
        })
        .layer(CompressionLayer::new().gzip(true).zstd(true).compress_when(worth_compressing()));
    let router = match cors(&config.http.cors_origins) {
        Some(cors) => router.layer(cors),
        None => router,
    };
    router.layer(middleware::from_fn_with_state(metrics, observe))
}

/// The outermost layer: names the request, runs it in its span, and counts it.
async fn observe(State(metrics): State<Metrics>, request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or(NO_ROUTE, MatchedPath::as_str);
    let span = tracing::info_span!(
        "request",
        request.id = id.to_str().unwrap_or_default(),
        http.method = %request.method(),
        http.route = route,
    );
    let start = Instant::now();
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind();
    let mut response = async {
        // The panic hook has logged the place; the caller learns nothing of it.
        answer.await.unwrap_or_else(|_| {
            ApiError::internal(&"the handler of the request panicked").into_response()
        })
    }
    .instrument(span)
    .await;
    metrics.http_request(route, response.status(), start.elapsed().as_secs_f64());
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

fn worth_compressing() -> And<SizeAbove, NotForContentType> {
    SizeAbove::new(COMPRESS_FROM_BYTES).and(NotForContentType::IMAGES)
}

fn cors(origins: &[String]) -> Option<CorsLayer> {
    let allowed = match origins {
        [] => return None,
        [any] if any == "*" => AllowOrigin::any(),
        _ => AllowOrigin::list(origins.iter().filter_map(|origin| origin.parse().ok())),
    };
    let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
    let sent = [AUTHORIZATION, CONTENT_TYPE, IDEMPOTENCY_KEY, IF_MATCH, IF_NONE_MATCH, REQUEST_ID];
    let layer = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods(methods)
        .allow_headers(sent)
        .expose_headers([ETAG, REQUEST_ID, RETRY_AFTER, WWW_AUTHENTICATE])
        .max_age(PREFLIGHT_AGE);
    Some(layer)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use axum::body::Body;
    use axum::routing::{get, post};
    use http::StatusCode;
    use http::header::{
        ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ALLOW, CONTENT_ENCODING,
        ORIGIN,
    };
    use http_body_util::BodyExt as _;
    use serde_json::Value;
    use tower::ServiceExt as _;

    use super::*;
    use crate::config::load::load;

    fn app(env: &[(&str, &str)]) -> (Router, Metrics) {
        let env = env.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        let metrics = Metrics::new();
        let routes = Router::new()
            .route("/long", get(async || "x".repeat(2000)))
            .route("/short", get(async || "x"))
            .route("/items/{id}", post(async || ()))
            .route("/panic", get(async || -> () { panic!("on purpose") }));
        (apply(routes, &load(None, env).unwrap(), metrics.clone()), metrics)
    }

    async fn get_with(app: &Router, path: &str, header: (HeaderName, &str)) -> Response {
        let request = Request::get(path).header(header.0, header.1).body(Body::empty()).unwrap();
        app.clone().oneshot(request).await.unwrap()
    }

    async fn code(response: Response) -> String {
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let body: Value = serde_json::from_slice(&bytes).unwrap();
        body["error"]["code"].as_str().unwrap().to_owned()
    }

    #[tokio::test]
    async fn request_ids_are_echoed_where_usable_and_made_otherwise() {
        let (app, _) = app(&[]);
        let long = "x".repeat(129);
        for (sent, echoed) in
            [("abc-1", true), (&long[..128], true), (&long, false), ("a b", false), ("", false)]
        {
            let response = get_with(&app, "/short", (REQUEST_ID, sent)).await;
            let id = response.headers()[REQUEST_ID].to_str().unwrap();
            assert_eq!(id == sent, echoed, "{sent}");
            assert!(!id.is_empty());
        }
        let missing = get_with(&app, "/nowhere", (REQUEST_ID, "n")).await;
        assert_eq!(missing.headers()[REQUEST_ID], "n");
    }

    #[tokio::test]
    async fn what_does_not_exist_is_refused_with_our_envelope() {
        let (app, metrics) = app(&[]);
        let response = get_with(&app, "/nowhere", (ORIGIN, "x")).await;
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(code(response).await, "not_found");
        let response = get_with(&app, "/items/7", (ORIGIN, "x")).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()[ALLOW], "POST");
        assert_eq!(code(response).await, "method_not_allowed");

        let text = metrics.render();
        assert!(text.contains(r#"{route="none",status="404"} 1"#), "{text}");
        assert!(text.contains(r#"{route="/items/{id}",status="405"} 1"#), "{text}");
    }

    #[tokio::test]
    async fn a_panic_is_answered_and_does_not_end_the_connection() {
        let (app, metrics) = app(&[]);
        let response = get_with(&app, "/panic", (ORIGIN, "x")).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(code(response).await, "internal");
        assert!(metrics.render().contains(r#"{route="/panic",status="500"} 1"#));
    }

    #[tokio::test]
    async fn long_answers_are_compressed_when_asked() {
        let (app, _) = app(&[]);
        for (path, asked, used) in [
            ("/long", "gzip", Some("gzip")),
            ("/long", "gzip, zstd", Some("zstd")),
            ("/long", "br", None),
            ("/short", "gzip", None),
        ] {
            let response = get_with(&app, path, (ACCEPT_ENCODING, asked)).await;
            let encoding = response.headers().get(CONTENT_ENCODING);
            assert_eq!(encoding.map(|value| value.to_str().unwrap()), used, "{path} {asked}");
        }
    }

    #[tokio::test]
    async fn cors_answers_configured_origins_only() {
        let (closed, _) = app(&[]);
        let (listed, _) = app(&[("TIDEGATE_HTTP__CORS_ORIGINS", r#"["https://app.example"]"#)]);
        let (open, _) = app(&[("TIDEGATE_HTTP__CORS_ORIGINS", r#"["*"]"#)]);
        for (app, origin, allowed) in [
            (&closed, "https://app.example", None),
            (&listed, "https://app.example", Some("https://app.example")),
            (&listed, "https://evil.example", None),
            (&open, "https://evil.example", Some("*")),
        ] {
            let response = get_with(app, "/short", (ORIGIN, origin)).await;
            let answer = response.headers().get(ACCESS_CONTROL_ALLOW_ORIGIN);
            assert_eq!(answer.map(|value| value.to_str().unwrap()), allowed);
        }
        let preflight = Request::options("/items/7")
            .header(ORIGIN, "https://app.example")
            .header(ACCESS_CONTROL_REQUEST_METHOD, "POST");
        let response = listed.oneshot(preflight.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }

    /// Browsers send and show only what CORS names.
    #[tokio::test]
    async fn cors_names_every_header_of_the_document() {
        let document = crate::http::openapi::document();
        let mut sent = BTreeSet::from(["authorization".to_owned(), "content-type".to_owned()]);
        let paths = document["paths"].as_object().unwrap().values();
        let operations = paths.flat_map(|path| path.as_object().unwrap().values());
        for operation in operations {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let headers = parameters.filter(|parameter| parameter["in"] == "header");
            sent.extend(headers.map(|header| header["name"].as_str().unwrap().to_lowercase()));
        }
        let shown = document["components"]["headers"].as_object().unwrap().keys();
        let shown: BTreeSet<String> = shown.map(|name| name.to_lowercase()).collect();

        let (app, _) = app(&[("TIDEGATE_HTTP__CORS_ORIGINS", r#"["*"]"#)]);
        let named = |response: &Response, header: HeaderName| -> BTreeSet<String> {
            let names = response.headers()[header].to_str().unwrap().split(',');
            names.map(|name| name.trim().to_owned()).collect()
        };
        let answer = get_with(&app, "/short", (ORIGIN, "https://app.example")).await;
        let exposed = named(&answer, ACCESS_CONTROL_EXPOSE_HEADERS);
        assert!(exposed.is_superset(&shown), "{exposed:?} {shown:?}");
        let preflight = Request::options("/items/7")
            .header(ORIGIN, "https://app.example")
            .header(ACCESS_CONTROL_REQUEST_METHOD, "POST");
        let answer = app.oneshot(preflight.body(Body::empty()).unwrap()).await.unwrap();
        let allowed = named(&answer, ACCESS_CONTROL_ALLOW_HEADERS);
        assert!(allowed.is_superset(&sent), "{allowed:?} {sent:?}");
    }
}
