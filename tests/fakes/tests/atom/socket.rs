//! The socket: what is told, heartbeats, and how it ends.

use std::time::Duration;

use serde_json::json;
use tidegate_fakes::atom::answer::Answer;
use tidegate_fakes::atom::{Generation, skill_id};
use tokio::time::advance;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::stage::{Stage, refusal};

const NOW: &str = "2026-11-18T11:06:40Z";

#[tokio::test]
async fn only_the_token_opens_it() {
    for generation in [Generation::A, Generation::B, Generation::C] {
        let stage = Stage::new(generation).await;
        for query in ["", "?token=", "?token=at_saas_of_somebody_else", "?key=x"] {
            let opened = connect_async(format!("{}{query}", stage.atom.ws_url())).await;
            let Err(tokio_tungstenite::tungstenite::Error::Http(response)) = opened else {
                panic!("`{query}` was let in");
            };
            assert_eq!(response.status(), 401);
        }
        assert_eq!(stage.atom.sockets(), 0);
        let _socket = stage.connect().await.unwrap();
        stage.atom.socket_connected().await;
        assert_eq!(stage.atom.sockets(), 1);
        let answers: Vec<_> =
            stage.atom.request_seen("ws", 5).await.iter().map(|request| request.status).collect();
        assert_eq!(answers, [401, 401, 401, 401, 101].map(Some));
    }
}

#[tokio::test]
async fn a_plain_request_is_told_to_upgrade() {
    let stage = Stage::filled(1).await;
    let path = format!("/ws?token={}", stage.atom.token());
    assert_eq!(stage.get(&path).await.status(), 426);
}

#[tokio::test]
async fn all_sockets_hear_what_is_said_in_order_and_as_it_is() {
    let stage = Stage::filled(2).await;
    stage.atom.broadcast_text("nobody hears this".into());
    let mut sockets = [stage.connect().await.unwrap(), stage.connect().await.unwrap()];
    let large = "x".repeat(2 * 1024 * 1024);
    stage.atom.broadcast(json!({"type": "unknown", "data": {}}));
    stage.atom.broadcast_text("{not json".into());
    stage.atom.broadcast_text(large.clone());
    for number in 0..1000 {
        stage.atom.broadcast_text(number.to_string());
    }
    for socket in &mut sockets {
        assert_eq!(socket.message().await, json!({"type": "unknown", "data": {}}));
        assert_eq!(socket.text().await, "{not json");
        assert_eq!(socket.text().await, large);
        for number in 0..1000 {
            assert_eq!(socket.text().await, number.to_string());
        }
    }
}

#[tokio::test]
async fn changes_are_announced_as_the_platform_does() {
    let stage = Stage::filled(2).await;
    let (atom, id) = (&stage.atom, skill_id(1));
    let mut socket = stage.connect().await.unwrap();
    atom.edit_skill(&id, |skill| skill["version"] = "9.0.0".into());
    atom.announce_skill(&id);
    let told = socket.message().await;
    let skill = atom.skill(&id).unwrap();
    assert_eq!(told, json!({"type": "skill_update", "data": skill, "timestamp": NOW}));
    assert_eq!(
        (&told["data"]["version"], &told["data"]["updated_at"]),
        (&json!("9.0.0"), &json!(NOW))
    );

    atom.put_skill(json!({"skill_id": "s", "average_rating": 4.0, "rating_count": 1}));
    atom.announce_rating("s", 5);
    let told = socket.message().await;
    let expected = json!({
        "skill_id": "s", "rating": 5, "average_rating": 4.5, "rating_count": 2, "updated_at": NOW
    });
    assert_eq!((&told["type"], &told["data"]), (&json!("rating_update"), &expected));
    let counted = json!({"skill_id": "s", "average_rating": 4.5, "rating_count": 2});
    assert_eq!(atom.skill("s").unwrap(), counted);

    atom.announce_category("automation");
    let told = socket.message().await;
    let fields: Vec<_> = told["data"].as_object().unwrap().keys().collect();
    assert_eq!(told["type"], "category_update");
    assert_eq!(fields, ["name", "description", "skill_count", "icon_url", "updated_at"]);

    atom.announce_delete("s");
    let told = socket.message().await;
    let data = json!({"skill_id": "s", "deleted_at": NOW});
    assert_eq!(told, json!({"type": "skill_delete", "data": data, "timestamp": NOW}));
    assert!(atom.skill("s").is_some(), "told, not done");
}

#[tokio::test]
async fn pings_are_answered_unless_muted() {
    let stage = Stage::filled(1).await;
    let mut socket = stage.connect().await.unwrap();
    socket.send(r#"{"type":"ping"}"#).await;
    assert_eq!(socket.message().await, json!({"type": "pong", "timestamp": NOW}));
    stage.atom.mute_pongs(true);
    socket.send(r#"{"type":"ping"}"#).await;
    socket.send("hello").await;
    let heard = stage.atom.heard_at_least(3).await;
    assert_eq!(heard, [json!({"type": "ping"}), json!({"type": "ping"}), json!("hello")]);
    stage.atom.broadcast_text("next".into());
    assert_eq!(socket.text().await, "next", "no pong came before");
}

/// Time moves only where the test moves it.
#[tokio::test(start_paused = true)]
async fn who_does_not_answer_pings_is_closed() {
    // While a blocking task runs, tokio's clock does not jump by itself.
    let (release, held) = std::sync::mpsc::channel::<()>();
    let blocking = tokio::task::spawn_blocking(move || held.recv());
    let stage = Stage::filled(1).await;
    let mut socket = stage.connect().await.unwrap();
    stage.atom.send_pings(Duration::from_secs(30));
    // An answer proves that the period was noticed.
    socket.send(r#"{"type":"ping"}"#).await;
    assert_eq!(socket.message().await["type"], "pong");

    let ping = json!({"type": "ping", "timestamp": NOW});
    advance(Duration::from_secs(30)).await;
    assert_eq!(socket.message().await, ping);
    socket.send(r#"{"type":"pong"}"#).await;
    stage.atom.heard_at_least(2).await;
    advance(Duration::from_secs(29)).await;
    stage.atom.broadcast_text("still here".into());
    assert_eq!(socket.text().await, "still here");
    advance(Duration::from_secs(1)).await;
    assert_eq!(socket.message().await, ping);
    advance(Duration::from_secs(10)).await;
    assert_eq!(socket.end().await, Some(1011));
    stage.atom.sockets_gone().await;
    drop(release);
    assert!(blocking.await.unwrap().is_err(), "it ends when it is let go");
}

#[tokio::test]
async fn sockets_are_refused_cut_closed_and_come_back() {
    let stage = Stage::filled(1).await;
    stage.atom.refuse_sockets(2);
    stage.atom.script().extend("ws", [Answer::Html502, Answer::Drop]);
    for expected in [Some(503), Some(503), Some(502), None] {
        let refused = refusal(stage.connect().await);
        assert_eq!(refused.map(|status| status.as_u16()), expected);
    }
    let mut socket = stage.connect().await.unwrap();
    stage.atom.drop_sockets();
    let cut = socket.next().await;
    assert!(!matches!(cut, Some(Ok(Message::Close(_)))), "{cut:?}");
    stage.atom.sockets_gone().await;

    let mut socket = stage.connect().await.unwrap();
    stage.atom.broadcast_text("last words".into());
    stage.atom.close_sockets(1012);
    assert_eq!(socket.text().await, "last words");
    assert_eq!(socket.end().await, Some(1012));
    stage.atom.sockets_gone().await;
}

#[tokio::test]
async fn a_frozen_socket_is_up_and_silent() {
    let stage = Stage::filled(1).await;
    let mut socket = stage.connect().await.unwrap();
    stage.atom.freeze_sockets(true);
    socket.send(r#"{"type":"ping"}"#).await;
    stage.atom.broadcast_text("later".into());
    let silence = tokio::time::timeout(Duration::from_millis(50), socket.next()).await;
    assert!(silence.is_err(), "{silence:?}");
    assert_eq!((stage.atom.sockets(), stage.atom.heard().len()), (1, 0));
    stage.atom.freeze_sockets(false);
    let mut after = [socket.text().await, socket.text().await];
    after.sort();
    assert_eq!(after[0], "later");
    assert!(after[1].contains("pong"));
}

#[tokio::test]
async fn a_stirred_catalogue_tells_its_changes() {
    let stage = Stage::filled(20).await;
    let mut socket = stage.connect().await.unwrap();
    for turn in 0..10 {
        let id = stage.atom.stir(turn);
        let told = socket.message().await;
        let expected = if turn % 5 == 4 { "rating_update" } else { "skill_update" };
        assert_eq!((&told["type"], &told["data"]["skill_id"]), (&json!(expected), &json!(id)));
    }
}

#[tokio::test]
async fn sockets_may_be_limited() {
    let stage = Stage::filled(1).await;
    stage.atom.limit_requests(true);
    for _ in 0..10 {
        stage.connect().await.unwrap();
    }
    assert_eq!(refusal(stage.connect().await).map(|status| status.as_u16()), Some(429));
}
