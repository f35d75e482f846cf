//! What a call answers because of what it is: a call with a body can be
//! refused for its body, a call with a role for the caller's, and every call
//! when the gateway has too much to do.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tidegate_protocol::code::ErrorCode;

use crate::http::openapi::text;

/// Refusals that any call may get: limits on connections, a fault inside, and
/// a gateway, a database or keys that are away.
const ANY: [u16; 3] = [429, 500, 503];

/// Statuses with `Retry-After`.
const RETRY: [&str; 2] = ["429", "503"];

/// A refusal's name in the document, and what it means.
const REFUSALS: [(u16, &str, &str); 13] = [
    (400, "Malformed", "The body is not JSON, or did not come to its end"),
    (401, "Unauthenticated", "No valid token"),
    (403, "Forbidden", "The token's role or device may not do this"),
    (404, "NotFound", "There is no such thing, or the caller may not see it"),
    (409, "Conflict", "Something else is there already, or moved meanwhile"),
    (410, "Gone", "It was there, and will not be again"),
    (413, "TooLarge", "The body, or what it makes, is larger than allowed"),
    (415, "UnsupportedMediaType", "The body is not `application/json`"),
    (422, "Invalid", "A value is wrong; `details` names the fields"),
    (429, "TooMany", "A limit is reached"),
    (500, "Internal", "Something failed inside"),
    (501, "NotSupported", "Not part of this gateway, or not configured"),
    (503, "Unavailable", "Not now; a repeat with the same Idempotency-Key is safe"),
];

/// Adds the answers that follow from what the operation is, and to each answer
/// its headers, and to refusals their body.
pub(super) fn complete(operation: &mut Map<String, Value>) {
    let own = operation.remove("responses").unwrap_or_default();
    let own = own.as_object().cloned().unwrap_or_default();
    let has_tag = has_parameter(operation, "If-None-Match") || has_parameter(operation, "If-Match");
    let mut responses: BTreeMap<String, Value> = own
        .into_iter()
        .map(|(status, response)| {
            let response = own_response(&status, response, has_tag);
            (status, response)
        })
        .collect();
    if has_parameter(operation, "If-None-Match") {
        let response = json!({ "description": "As it was", "headers": headers(&["ETag"]) });
        responses.insert("304".to_owned(), response);
    }
    for status in common(operation) {
        responses.entry(status.to_string()).or_insert_with(|| reference(status));
    }
    operation.insert("responses".to_owned(), responses.into_iter().collect());
}

/// The refusals that follow from what the operation is.
fn common(operation: &Map<String, Value>) -> Vec<u16> {
    let mut statuses = ANY.to_vec();
    // Without a requirement of its own, the document's counts: a token.
    let roles = match operation.get("security") {
        None => Some(Vec::new()),
        Some(security) => security[0]["bearer"].as_array().cloned(),
    };
    if let Some(roles) = roles {
        statuses.push(401);
        if !roles.is_empty() {
            statuses.push(403);
        }
    }
    if operation.contains_key("requestBody") {
        statuses.extend([400, 413, 415, 422]);
    }
    let parameters = operation.get("parameters").and_then(Value::as_array);
    for parameter in parameters.into_iter().flatten() {
        statuses.extend(match (text(&parameter["in"]), text(&parameter["name"])) {
            ("path", _) => Some(404),
            ("query", _) => Some(422),
            (_, "Idempotency-Key" | "If-Match") => Some(409),
            _ => None,
        });
    }
    statuses
}

fn has_parameter(operation: &Map<String, Value>, name: &str) -> bool {
    let parameters = operation.get("parameters").and_then(Value::as_array);
    parameters.is_some_and(|all| all.iter().any(|parameter| parameter["name"] == name))
}

/// An answer that the route names itself: what it says stays.
fn own_response(status: &str, mut response: Value, has_tag: bool) -> Value {
    let refusal = REFUSALS.iter().find(|(number, ..)| number.to_string() == status);
    let mut names = Vec::new();
    if has_tag && status.starts_with('2') {
        names.push("ETag");
    }
    if RETRY.contains(&status) {
        names.push("Retry-After");
    }
    if status == "401" {
        names.push("WWW-Authenticate");
    }
    response["headers"] = headers(&names);
    if text(&response["description"]).is_empty() {
        let meaning = refusal.map_or("Done", |(.., meaning)| meaning);
        response["description"] = meaning.into();
    }
    let Some((number, ..)) = refusal else { return response };
    let error = json!({ "$ref": "#/components/schemas/ErrorBody" });
    let content = &mut response["content"]["application/json"]["schema"];
    *content = match content.take() {
        Value::Null => error,
        // The call's own words for it, unless the call was never reached.
        own if ANY.contains(number) => json!({ "oneOf": [own, error] }),
        own => own,
    };
    response
}

fn reference(status: u16) -> Value {
    let name = REFUSALS.iter().find(|(number, ..)| *number == status).map(|(_, name, _)| *name);
    json!({ "$ref": format!("#/components/responses/{}", name.unwrap_or_default()) })
}

fn headers(more: &[&str]) -> Value {
    let names = std::iter::once(&"X-Request-Id").chain(more);
    let header = |name: &&str| {
        let reference = format!("#/components/headers/{name}");
        ((*name).to_owned(), json!({ "$ref": reference }))
    };
    names.map(header).collect::<Map<_, _>>().into()
}

/// The refusals by name, each with the codes it comes with.
pub(super) fn shared_responses() -> Value {
    let response = |(status, name, meaning): (u16, &str, &str)| {
        let codes = ErrorCode::ALL.iter().filter(|code| code.number() == status);
        let codes: Vec<String> = codes.map(|code| format!("`{code}`")).collect();
        let more = match status {
            401 => ["WWW-Authenticate"].as_slice(),
            429 | 503 => &["Retry-After"],
            _ => &[],
        };
        let response = json!({
            "description": format!("{meaning} ({}).", codes.join(", ")),
            "headers": headers(more),
            "content": { "application/json": {
                "schema": { "$ref": "#/components/schemas/ErrorBody" },
            } },
        });
        (name.to_owned(), response)
    };
    REFUSALS.into_iter().map(response).collect::<Map<_, _>>().into()
}

/// The headers that answers carry.
pub(super) fn shared_headers() -> Value {
    let header = |required: bool, schema: Value, description: &str| json!({ "description": description, "required": required, "schema": schema });
    let word = || json!({ "type": "string" });
    json!({
        "ETag": header(true, word(), "Weak. Send it as `If-None-Match` or `If-Match`."),
        "Retry-After": header(
            false,
            json!({ "type": "integer", "minimum": 1 }),
            "Seconds after which trying again makes sense; with every error body of this status.",
        ),
        "WWW-Authenticate": header(true, json!({ "const": "Bearer" }), "How to authenticate."),
        "X-Request-Id": header(
            true,
            word(),
            "As sent, or made by the gateway; always made where a limit on connections refused the request unread.",
        ),
    })
}
