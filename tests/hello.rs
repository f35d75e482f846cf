//! The first frames of a session: `hello` and `welcome`.

use crate::support::{Gateway, check};

/// A device without cursors is welcomed with a reset and an empty snapshot.
#[tokio::test]
async fn a_new_device_gets_an_empty_snapshot() {
    let gateway = Gateway::start().await;
    let phone = gateway.device("phone", "u1");
    phone.open().await;
    check!("new_device", gateway.said());
}
