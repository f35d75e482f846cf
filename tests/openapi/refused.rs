//! Refusals that follow from what a call is, of every call alike.

use crate::openapi::call::{Call, ROLES, Seen, caller, entitled, is_let_in};
use crate::support::{Answer, Gateway, Operation, Setup};

fn expect(answer: &Answer, status: u16, what: &str) {
    assert_eq!(answer.status, status, "{what}: {}", answer.body);
}

/// Tokens: none, and one of each role.
async fn by_token(gateway: &Gateway, operation: &Operation) {
    let name = operation.name();
    for role in ROLES {
        let answer = Call::of(operation).by(&caller(gateway, role)).await;
        let is_refused = answer.status == 403;
        assert_eq!(is_refused, !is_let_in(operation, role), "{name} by {role}: {}", answer.body);
    }
    let stranger = caller(gateway, "admin").without_token();
    let answer = Call::of(operation).by(&stranger).await;
    assert_eq!(answer.status == 401, operation.roles().is_some(), "{name}: {}", answer.body);
}

/// Bodies that cannot be read, or do not say what they should.
async fn by_body(gateway: &Gateway, operation: &Operation) {
    let (name, caller) = (operation.name(), entitled(gateway, operation));
    let call = || Call::of(operation);
    expect(&call().with_body("{").by(&caller).await, 400, &name);
    expect(&call().with_body("[]").by(&caller).await, 422, &name);
    let config = gateway.config();
    let is_health = operation.is_of("health");
    let most = if is_health { config.health.body_bytes } else { config.limits.body_bytes };
    let large = format!("{{{}}}", " ".repeat(most));
    expect(&call().with_body(&large).by(&caller).await, 413, &name);
    let other = caller.with_header("content-type", "text/plain");
    expect(&call().by(&other).await, 415, &name);
}

/// All of them; what was seen.
pub(super) async fn all() -> Seen {
    let setup = Setup::new().set("limits.body_bytes", "1024");
    let setup = setup.set("health.body_bytes", "65536").set("health.format_body_bytes", "65536");
    let gateway = setup.start().await;
    for operation in Operation::all() {
        by_token(&gateway, &operation).await;
        if operation.has_body() {
            by_body(&gateway, &operation).await;
        }
        let caller = entitled(&gateway, &operation);
        if operation.has_parameter_in("path") {
            // No text at all.
            let answer = Call::of(&operation).with_part("%FF").by(&caller).await;
            expect(&answer, 404, &operation.name());
        }
        if operation.has_parameter_in("query") {
            let answer = Call::of(&operation).with_query("limit=%00").by(&caller).await;
            expect(&answer, 422, &operation.name());
        }
    }
    gateway.transcript().answers()
}
