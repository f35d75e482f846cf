//! The store that an earlier version of the SDK left works with this one.

use tidegate_device::state::State;
use tidegate_protocol::id::DeviceId;

use crate::sdk::phone::Phone;
use crate::support::{Setup, Token, named_server, skip};

/// The store of the phone in the database beside it: one command done, its cursor
/// behind it, a record of `news`.
const STORE: &str = include_str!("../versions/2026-11-26-device.sql");
const DATABASE: &str = include_str!("../versions/2026-11-26.sql");
const PHONE: &str = "6f1c2a4e-0b7d-4c55-9a3e-2f8f4f1f0d11";

/// What waits in that database.
const WAITING: &str = "01a21879-ebf2-72a5-990c-31ef10ce7573";

/// It resumes where it was: nothing is carried out again, and no snapshot comes.
#[tokio::test]
async fn a_phone_from_before_health_data_goes_on() {
    if named_server().is_some() {
        return skip("the database of the earlier version is SQLite");
    }
    let gateway = Setup::new().on(DATABASE).start().await;
    let mut phone = Phone::with_token(Token::device("ann").sign()).on(STORE).await;
    phone.id = DeviceId::parse(PHONE).unwrap();
    let running = phone.start(&format!("http://{}", gateway.address())).await;
    phone.app.until_done(WAITING).await;
    running.until(State::Live).await;
    assert_eq!(phone.app.effects().len(), 1, "what was done before is not done again");
    assert_eq!(phone.app.frames("snapshot"), 0);
    running.stop().await;
}
