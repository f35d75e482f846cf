//! A call of an operation, with everything in it that the operation asks for.

use serde_json::{Value, json};

use crate::openapi::health;
use crate::support::{Answer, Caller, Gateway, Operation, Token};

/// A device that nobody has.
pub(super) const NO_DEVICE: &str = "00000000-0000-4000-8000-000000000001";

/// What answers of tests are collected as.
pub(super) type Seen = std::collections::BTreeSet<(String, u16)>;

/// A call in the making; what it does not say is as it should be.
pub(super) struct Call<'a> {
    operation: &'a Operation,
    part: String,
    query: String,
    body: Option<String>,
}

impl<'a> Call<'a> {
    pub(super) fn of(operation: &'a Operation) -> Self {
        let has_body = operation.has_body();
        Self {
            operation,
            part: NO_DEVICE.to_owned(),
            query: query(operation),
            body: has_body.then(|| body(operation).to_string()),
        }
    }

    /// With this instead of each parameter of the path.
    pub(super) fn with_part(self, part: &str) -> Self {
        Self { part: part.to_owned(), ..self }
    }

    pub(super) fn with_query(self, query: &str) -> Self {
        Self { query: format!("{}{query}&", self.query), ..self }
    }

    pub(super) fn with_body(self, body: &str) -> Self {
        Self { body: Some(body.to_owned()), ..self }
    }

    pub(super) fn path(&self) -> String {
        let parts = self.operation.path.split('/').map(|part| match part {
            // Shared streams are named in the settings.
            "{stream}" if self.part == NO_DEVICE => "news",
            "{format}" if self.part == NO_DEVICE => "hc-webhook",
            part if part.starts_with('{') => &self.part,
            part => part,
        });
        format!("{}?{}", parts.collect::<Vec<_>>().join("/"), self.query)
    }

    pub(super) async fn by(&self, caller: &Caller) -> Answer {
        caller.call(self.operation.method(), &self.path(), self.body.as_deref()).await
    }
}

/// Parameters of the query that have to be there.
fn query(operation: &Operation) -> String {
    let parameters = operation.said["parameters"].as_array();
    let required = parameters
        .into_iter()
        .flatten()
        .filter(|parameter| parameter["in"] == "query" && parameter["required"] == true);
    let pairs = required.map(|parameter| match parameter["name"].as_str() {
        Some("device_id") => format!("device_id={NO_DEVICE}&"),
        name => panic!("write down a value for the parameter {name:?}"),
    });
    pairs.collect()
}

/// A body that every operation with one can be called with.
fn body(operation: &Operation) -> Value {
    if operation.is_of("health") {
        return health::body(operation);
    }
    match operation.path.rsplit('/').next().unwrap() {
        "register" => json!({ "platform": "ios" }),
        "ack" => json!({ "device_id": NO_DEVICE, "cursors": {} }),
        "results" => json!({ "device_id": NO_DEVICE, "results": [] }),
        "commands" => json!({ "user_id": "u1", "data_type": "steps", "value": 1 }),
        "batch" => json!({ "commands": [] }),
        "records" => {
            json!({ "records": [{ "collection": "items", "id": "a", "op": "put", "data": {} }] })
        }
        "trigger-write" => json!({ "data_type": "steps", "value": 1 }),
        "config" | "connect" => json!({}),
        "{id}" => json!({ "description": "ours" }),
        "rate" => json!({ "rating": 5 }),
        "resolve" => json!({ "choice": "local", "expected_remote_version": 1 }),
        "restore" => json!({ "loser": "local", "expected_remote_version": 1 }),
        "bulk-resolve" => json!({ "conflicts": [
            { "conflict_id": "nobody", "choice": "local", "expected_remote_version": 1 },
        ] }),
        _ => panic!("write down a body for {}", operation.name()),
    }
}

/// All that a token may say its bearer is.
pub(super) const ROLES: [&str; 3] = ["device", "service", "admin"];

/// A caller in this role.
pub(super) fn caller(gateway: &Gateway, role: &str) -> Caller {
    let token = match role {
        "device" => Token::device("u1"),
        "service" => Token::service("backend"),
        "admin" => Token::admin("ann"),
        _ => panic!("{role} is no role"),
    };
    gateway.caller(role, &token.sign()).quiet()
}

/// Whether the document lets this role call the operation.
pub(super) fn is_let_in(operation: &Operation, role: &str) -> bool {
    let Some(roles) = operation.roles() else { return true };
    let includes = |asked: &&str| *asked == role || (*asked == "service" && role == "admin");
    roles.is_empty() || roles.iter().any(includes)
}

/// Somebody who may call the operation.
pub(super) fn entitled(gateway: &Gateway, operation: &Operation) -> Caller {
    let role = ROLES.into_iter().find(|role| is_let_in(operation, role));
    caller(gateway, role.unwrap_or_else(|| panic!("nobody may call {}", operation.name())))
}
