//! Commands through restarts, cuts, and the fallback to polling.

use rand::Rng as _;
use tidegate_device::state::State;

use crate::sdk::network::Network;
use crate::sdk::phone::Phone;
use crate::sdk::setup;
use crate::seed;
use crate::support::{Caller, Token, bounded};

/// The command's end, as the backend sees it.
async fn end_of(backend: &Caller, id: &str) -> serde_json::Value {
    let path = format!("/api/v1/commands/{id}?wait_s=8");
    bounded("the command's end", backend.get(&path)).await.expect(200)
}

/// Whatever restarts and is cut, in whatever order: each command takes effect
/// once, and its outcome arrives.
#[tokio::test]
async fn commands_take_effect_once_through_restarts() {
    let mut rng = seed::rng(seed::pick("commands_take_effect_once_through_restarts"));
    let mut gateway = setup().start().await;
    let network = Network::to(&gateway.address()).await;
    let phone = Phone::with_token(Token::device("u1").sign());
    let mut running = Some(phone.start(&network.url()).await);
    let mut ids = Vec::new();
    for _ in 0..12 {
        let backend = gateway.backend().quiet();
        for _ in 0..rng.random_range(1..=4) {
            ids.push(backend.make("u1", "steps").await);
        }
        match rng.random_range(0..6) {
            0 => network.cut(),
            1 => {
                gateway.restart().await;
                network.lead_to(&gateway.address());
                network.cut();
            }
            2 => network.refuse_sockets(rng.random_bool(0.5)),
            3 if running.is_some() => phone.app.until_done(ids.last().unwrap()).await,
            _ => match running.take() {
                Some(running) => running.stop().await,
                None => running = Some(phone.start(&network.url()).await),
            },
        }
        if running.is_none() && rng.random_bool(0.7) {
            running = Some(phone.start(&network.url()).await);
        }
    }
    network.refuse_sockets(false);
    let running = match running {
        Some(running) => running,
        None => phone.start(&network.url()).await,
    };
    let backend = gateway.backend().quiet();
    for id in &ids {
        let view = end_of(&backend, id).await;
        assert_eq!((&view["status"], &view["attempts"]), (&"applied".into(), &1.into()), "{view}");
    }
    let effects = phone.app.effects();
    assert_eq!(effects.len(), ids.len());
    assert!(effects.values().all(|times| *times == 1), "{effects:?}");
    running.stop().await;
}

/// An app that was away for many commands takes them all when it comes back,
/// in one go by poll, and the backend learns how.
#[tokio::test]
async fn a_short_wake_up_catches_up_without_a_socket() {
    let gateway = setup().start().await;
    let backend = gateway.backend().quiet();
    let network = Network::to(&gateway.address()).await;
    network.refuse_sockets(true);
    let phone = Phone::with_token(Token::device("u1").sign());
    let ids = backend.make_many("u1", 250, 10).await;
    let device = phone.open(&network.url()).await;
    bounded("one round", device.sync_once(0)).await.unwrap();
    device.close().await.unwrap();
    assert_eq!(phone.app.effects().len(), ids.len());
    let view = end_of(&backend, &ids[0]).await;
    assert_eq!(
        (&view["status"], &view["result"]["device_id"]),
        (&"applied".into(), &phone.id.as_str().into())
    );
    let channels: Vec<_> =
        view["timeline"].as_array().unwrap().iter().map(|row| &row["channel"]).collect();
    assert!(!channels.contains(&&"socket".into()), "{view}");
}

/// Sockets refused: the phone polls, commands still arrive, and it returns to
/// the socket when it can be had again.
#[tokio::test]
async fn the_phone_falls_back_to_polling_and_returns() {
    let gateway = setup().start().await;
    let backend = gateway.backend().quiet();
    let network = Network::to(&gateway.address()).await;
    let phone = Phone::with_token(Token::device("u1").sign());
    let running = phone.start(&network.url()).await;
    running.until(State::Live).await;
    let mut channels = Vec::new();
    for refuses in [false, true, false] {
        network.refuse_sockets(refuses);
        if refuses {
            network.cut();
        }
        running.until(if refuses { State::Polling } else { State::Live }).await;
        let id = backend.make("u1", "steps").await;
        phone.app.until_done(&id).await;
        let view = end_of(&backend, &id).await;
        let rows = view["timeline"].as_array().unwrap();
        let result = rows.iter().find(|row| row["event"] == "result").unwrap();
        channels.push(result["channel"].as_str().unwrap().to_owned());
    }
    assert_eq!(channels, ["socket", "http", "socket"]);
    assert!(phone.app.effects().values().all(|times| *times == 1));
    running.stop().await;
}
