//! The OpenAPI document, generated from the routes. The socket cannot be
//! expressed in it: its contract is the protocol's fixtures.
//!
//! A route names what is its own: who may call it, what it takes, what it
//! answers. What follows from that (`openapi::answers`) is added here, so that no
//! route can forget it.

use serde_json::{Map, Value, json};
use tidegate_protocol::rest::ErrorBody;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;

use crate::config::Environment;
use crate::state::AppState;

mod answers;

/// Where the document is served.
pub(super) const PATH: &str = "/api/v1/openapi.json";

/// Calls below the first path are there for operators below the second too.
const FOR_OPERATORS: (&str, &str) = ("/api/v1/conflicts", "/api/v1/admin/conflicts");

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tidegate",
        description = "WebSocket-first realtime sync gateway.\n\nNot described here: the socket at `/api/v1/sync/ws`, which speaks the subprotocol `tidegate.v1`; 404 for paths and 405 for methods that do not exist; and 400, 408 and 431 without a body for what is not HTTP/1.1, comes too slowly or has a head beyond 16 KiB.",
        license(name = "Apache-2.0")
    ),
    components(schemas(ErrorBody)),
    modifiers(&BearerToken),
    security(("bearer" = []))
)]
struct Document;

struct BearerToken;

impl utoipa::Modify for BearerToken {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let description = "A JWT. Where a call names a role, the token's `role` must be that one; `admin` may do what `service` may, and neither of them is a `device`.";
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT");
        let scheme = scheme.description(Some(description)).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// The router that routes are added to.
pub(super) fn base() -> OpenApiRouter<AppState> {
    OpenApiRouter::with_openapi(Document::openapi())
}

/// The document of a gateway in development, which has every route.
pub fn document() -> Value {
    finish(super::routes(Environment::Development).into_openapi())
}

/// The document that is served, from what the routes say of themselves.
pub(super) fn finish(routes: utoipa::openapi::OpenApi) -> Value {
    let mut document = serde_json::to_value(routes)
        .expect("the document is made of texts, lists and maps with text keys");
    open_free_objects(&mut document);
    if let Some(paths) = document["paths"].as_object_mut() {
        paths.insert(PATH.to_owned(), json!({ "get": own_operation() }));
        add_operators_paths(paths);
        for operation in operations(paths) {
            name(operation);
            clean_parameters(operation);
            answers::complete(operation);
        }
    }
    let components = &mut document["components"];
    components["responses"] = answers::shared_responses();
    components["headers"] = answers::shared_headers();
    document
}

fn own_operation() -> Value {
    json!({
        "tags": ["operation"],
        "summary": "This document.",
        "operationId": "openapi",
        "security": [{}],
        "responses": { "200": { "content": { "application/json": {
            "schema": { "type": "object", "additionalProperties": true },
        } } } },
    })
}

/// `{}` as schema of an object says nothing; generators take it for an object
/// that has no field.
fn open_free_objects(value: &mut Value) {
    match value {
        Value::Object(object) => {
            let is_object = object.get("type").is_some_and(|kind| {
                kind == "object"
                    || kind.as_array().is_some_and(|kinds| kinds.contains(&json!("object")))
            });
            if is_object
                && !["properties", "additionalProperties"]
                    .iter()
                    .any(|key| object.contains_key(*key))
            {
                object.insert("additionalProperties".to_owned(), Value::Bool(true));
            }
            object.values_mut().for_each(open_free_objects);
        }
        Value::Array(list) => list.iter_mut().for_each(open_free_objects),
        _ => {}
    }
}

fn add_operators_paths(paths: &mut Map<String, Value>) {
    let (below, operators) = FOR_OPERATORS;
    let mut added = Map::new();
    for (path, item) in paths.iter() {
        let Some(rest) = path.strip_prefix(below) else { continue };
        let mut item = item.clone();
        for operation in item.as_object_mut().into_iter().flat_map(Map::values_mut) {
            operation["operationId"] =
                format!("conflicts_{}", text(&operation["operationId"])).into();
            operation["tags"] = json!(["admin"]);
            operation["security"] = json!([{ "bearer": ["admin"] }]);
        }
        added.insert(format!("{operators}{rest}"), item);
    }
    paths.extend(added);
}

fn operations(paths: &mut Map<String, Value>) -> impl Iterator<Item = &mut Map<String, Value>> {
    let items = paths.values_mut().filter_map(Value::as_object_mut);
    items.flat_map(Map::values_mut).filter_map(Value::as_object_mut)
}

/// The route's function has its name within its area only; ids are unique.
fn name(operation: &mut Map<String, Value>) {
    let tag = text(&operation["tags"][0]).to_owned();
    let id = format!("{tag}_{}", text(&operation["operationId"]));
    operation.insert("operationId".to_owned(), id.into());
}

/// A header or a part of a path that is not sent is absent, never null.
fn clean_parameters(operation: &mut Map<String, Value>) {
    let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        let kinds = parameter["schema"]["type"].as_array().cloned().unwrap_or_default();
        if let [kind, null] = kinds.as_slice()
            && null == "null"
        {
            parameter["schema"]["type"] = kind.clone();
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
