//! The document as a document: what readers and generators of it rely on.

use std::collections::BTreeSet;

use serde_json::Value;
use tidegate::http::openapi::document;
use tidegate_protocol::code::ErrorCode;

use crate::support::Operation;

fn walk<'a>(value: &'a Value, look: &mut impl FnMut(&'a Value)) {
    look(value);
    match value {
        Value::Object(fields) => fields.values().for_each(|field| walk(field, look)),
        Value::Array(items) => items.iter().for_each(|item| walk(item, look)),
        _ => {}
    }
}

/// Generators make functions of ids, and refuse two with one name.
#[test]
fn operations_have_names_of_their_own() {
    let operations = Operation::all();
    let ids: BTreeSet<_> = operations.iter().map(|one| one.said["operationId"].as_str()).collect();
    assert_eq!(ids.len(), operations.len());
    assert!(!ids.contains(&None));
}

/// An answer without a description makes the document invalid, and a reference
/// to nothing useless.
#[test]
fn everything_is_said_and_every_reference_leads_somewhere() {
    let document = document();
    for operation in Operation::all() {
        for (status, response) in operation.said["responses"].as_object().unwrap() {
            let target = response["$ref"].as_str().map(|target| &target[1..]);
            let response = target.map_or(Some(response), |target| document.pointer(target));
            let description = response.and_then(|response| response["description"].as_str());
            let is_said = description.is_some_and(|description| !description.is_empty());
            assert!(is_said, "{} -> {status}", operation.name());
        }
    }
    walk(&document, &mut |value| {
        if let Some(target) = value["$ref"].as_str() {
            assert!(document.pointer(&target[1..]).is_some(), "{target}");
        }
    });
}

/// Words of the protocol, not names of Rust's.
#[test]
fn enums_hold_what_is_sent() {
    let document = document();
    walk(&document, &mut |value| {
        for word in value["enum"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let letters = |of: fn(&u8) -> bool| word.bytes().all(|byte| byte == b'_' || of(&byte));
            let is_a_word = letters(u8::is_ascii_lowercase) || letters(u8::is_ascii_uppercase);
            assert!(is_a_word, "`{word}` in {value}");
        }
    });
    let codes: Vec<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(document["components"]["schemas"]["ErrorCode"]["enum"], Value::from(codes));
}
