//! Holds every answer against the OpenAPI document: its status, its headers,
//! its media type and its body. Nothing that a test hears may be undocumented.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use jsonschema::Validator;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::http::Answer;

/// Headers that say something about the answer itself.
const HEADERS: [&str; 4] = ["ETag", "Retry-After", "WWW-Authenticate", "X-Request-Id"];

/// Answers of the HTTP server to what is no request: without a body.
const NO_REQUEST: [u16; 3] = [400, 408, 431];

/// The socket's door, which OpenAPI cannot describe.
const SOCKET: &str = "/api/v1/sync/ws";

static CONTRACT: LazyLock<Contract> = LazyLock::new(|| {
    let document = tidegate::http::openapi::document();
    Contract { document, validators: Mutex::default() }
});

/// A documented operation.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    /// `post`.
    pub(crate) method: &'static str,
    /// `/api/v1/devices/{id}`.
    pub(crate) path: &'static str,
    /// What the document says of it.
    pub(crate) said: &'static Value,
}

impl Operation {
    /// All of them.
    pub(crate) fn all() -> Vec<Self> {
        let paths = CONTRACT.document["paths"].as_object().unwrap();
        let operations = paths.iter().flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().iter();
            methods.map(move |(method, said)| Self { method, path, said })
        });
        operations.collect()
    }

    /// `post /api/v1/commands`.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.method, self.path)
    }

    pub(crate) fn method(&self) -> Method {
        self.method.to_uppercase().parse().unwrap()
    }

    /// The statuses it may answer with.
    pub(crate) fn statuses(&self) -> BTreeSet<u16> {
        let responses = self.said["responses"].as_object().unwrap();
        responses.keys().map(|status| status.parse().unwrap()).collect()
    }

    /// Roles of which the caller's token must have one; `None`: no token.
    pub(crate) fn roles(&self) -> Option<Vec<&'static str>> {
        let roles = match self.said.get("security") {
            None => return Some(Vec::new()),
            Some(security) => security[0]["bearer"].as_array()?,
        };
        Some(roles.iter().filter_map(Value::as_str).collect())
    }

    /// Whether it stands under this heading.
    pub(crate) fn is_of(&self, tag: &str) -> bool {
        self.said["tags"].as_array().is_some_and(|tags| tags.iter().any(|one| one == tag))
    }

    pub(crate) fn has_body(&self) -> bool {
        self.said.get("requestBody").is_some()
    }

    /// Whether it takes parameters of this kind: `path`, `query`, `header`.
    pub(crate) fn has_parameter_in(&self, place: &str) -> bool {
        let parameters = self.said["parameters"].as_array();
        parameters.is_some_and(|all| all.iter().any(|parameter| parameter["in"] == place))
    }

    /// The operation of a path that may be called with parameters. A written
    /// part of a path counts more than a `{parameter}`.
    fn of(method: &Method, path: &str) -> Result<Self, Absent> {
        let path = path.split('?').next().unwrap_or_default();
        let of_path = Self::all().into_iter().filter(|operation| operation.matches(path));
        let most_written = of_path.clone().map(|operation| operation.parameters()).min();
        let Some(least) = most_written else { return Err(Absent::Path) };
        let method = if *method == Method::HEAD { &Method::GET } else { method };
        of_path
            .filter(|operation| operation.parameters() == least)
            .find(|operation| operation.method() == *method)
            .ok_or(Absent::Method)
    }

    fn matches(&self, path: &str) -> bool {
        let (mut ours, mut theirs) = (self.path.split('/'), path.split('/'));
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return true,
                (Some(ours), Some(theirs)) if ours == theirs => {}
                (Some(ours), Some(theirs)) if ours.starts_with('{') && !theirs.is_empty() => {}
                _ => return false,
            }
        }
    }

    fn parameters(&self) -> usize {
        self.path.matches('{').count()
    }
}

enum Absent {
    Path,
    Method,
}

/// Requires that the document allows this answer to this call, and the call
/// itself where it was carried out. The name of its operation, if it has one.
pub(crate) fn check(
    method: &Method,
    path: &str,
    body: Option<&str>,
    answer: &Answer,
) -> Option<String> {
    let status = answer.status.as_u16();
    let call = format!("{method} {path} -> {status}");
    let no_request = NO_REQUEST.contains(&status) && answer.bytes.is_empty();
    if no_request || *method == Method::OPTIONS || path.starts_with(SOCKET) {
        return None;
    }
    let operation = match Operation::of(method, path) {
        Ok(operation) => operation,
        Err(absent) => {
            let expected = if matches!(absent, Absent::Path) { 404 } else { 405 };
            assert_eq!(status, expected, "{call}: an answer of a call that is not documented");
            let error = json!({ "$ref": "#/components/schemas/ErrorBody" });
            CONTRACT.require(&call, &error, &answer.body, Strictness::Answer);
            return None;
        }
    };
    let response = &operation.said["responses"][status.to_string()];
    assert!(response.is_object(), "{call}: this status is not documented");
    let response = CONTRACT.resolve(response);
    check_headers(&call, response, answer);
    // Compressed ones are decoded by the test that asked for it.
    if *method != Method::HEAD && answer.header("content-encoding").is_none() {
        check_body(&call, response, answer);
    }
    // Rows of a 207 were judged one by one.
    let request = &operation.said["requestBody"]["content"]["application/json"]["schema"];
    if answer.status.is_success() && status != 207 && !request.is_null() {
        let body = body.map(serde_json::from_str::<Value>).and_then(Result::ok);
        let body = body.unwrap_or_default();
        CONTRACT.require(&format!("{call}, the request"), request, &body, Strictness::Request);
    }
    Some(operation.name())
}

/// Every header documented, and every one documented there.
fn check_headers(call: &str, response: &Value, answer: &Answer) {
    let documented = response["headers"].as_object();
    for name in HEADERS {
        let header = documented.and_then(|headers| headers.get(name));
        let value = answer.header(name);
        let Some(header) = header else {
            assert_eq!(value, None, "{call}: the header {name} is not documented");
            continue;
        };
        let header = CONTRACT.resolve(header);
        let is_due = match name {
            "Retry-After" => answer.body.get("error").is_some(),
            _ => header["required"] == true,
        };
        assert!(!is_due || value.is_some(), "{call}: the header {name} is missing");
        let Some(value) = value else { continue };
        let is_number = header["schema"]["type"] == "integer";
        let read = if is_number { value.parse::<i64>().map(Value::from).ok() } else { None };
        let read = read.unwrap_or_else(|| value.into());
        let schema = &header["schema"];
        CONTRACT.require(&format!("{call}, header {name}"), schema, &read, Strictness::Answer);
    }
}

fn check_body(call: &str, response: &Value, answer: &Answer) {
    let media_type = answer.header("content-type").unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default();
    let Some(content) = response["content"].as_object() else {
        assert!(answer.bytes.is_empty(), "{call}: a body that is not documented");
        return;
    };
    let schema = content.get(media_type).map(|content| &content["schema"]);
    let schema = schema.unwrap_or_else(|| panic!("{call}: `{media_type}` is not documented"));
    let body =
        if media_type == "application/json" { answer.body.clone() } else { answer.text().into() };
    CONTRACT.require(call, schema, &body, Strictness::Answer);
}

/// How a schema is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Strictness {
    /// An answer holds nothing that the document does not name.
    Answer,
    /// What a request holds beyond that is ignored.
    Request,
}

struct Contract {
    document: Value,
    validators: Mutex<HashMap<(String, Strictness), Arc<Validator>>>,
}

impl Contract {
    /// Follows a reference of the document to itself.
    fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        let target = value["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
        target.map_or(value, |target| self.document.pointer(target).unwrap())
    }

    fn require(&self, what: &str, schema: &Value, value: &Value, strictness: Strictness) {
        let validator = self.validator(schema, strictness);
        let wrong = validator.iter_errors(value);
        // The value may be large.
        let wrong =
            wrong.map(|error| format!("{}: {:.300}", error.instance_path(), error.to_string()));
        let wrong: Vec<_> = wrong.take(5).collect();
        assert!(wrong.is_empty(), "{what} is not what the document says:\n{}", wrong.join("\n"));
    }

    fn validator(&self, schema: &Value, strictness: Strictness) -> Arc<Validator> {
        let key = (schema.to_string(), strictness);
        let known = self.validators.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(validator) = known.get(&key) {
            return Arc::clone(validator);
        }
        drop(known);
        let mut whole = schema.clone();
        whole["components"] = json!({ "schemas": self.document["components"]["schemas"] });
        if strictness == Strictness::Answer {
            close(&mut whole);
        }
        let options = jsonschema::draft202012::options().should_validate_formats(true);
        let validator = Arc::new(options.build(&whole).unwrap());
        let mut known = self.validators.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(key, Arc::clone(&validator));
        validator
    }
}

/// Has objects with named properties hold no others.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("properties").is_some_and(Value::is_object) {
                fields.entry("additionalProperties").or_insert(Value::Bool(false));
            }
            // What is put together of several schemas holds what each one names.
            fields
                .iter_mut()
                .filter(|(name, _)| *name != "allOf")
                .for_each(|(_, part)| close(part));
        }
        Value::Array(parts) => parts.iter_mut().for_each(close),
        _ => {}
    }
}
