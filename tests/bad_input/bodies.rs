//! Bodies with what no text holds: U+0000, which PostgreSQL cannot store, and
//! half of a surrogate pair, which no UTF-8 can say.

use serde_json::json;

use crate::bad_input::Scene;
use crate::support::Answer;

/// A call with this JSON text as payload.
async fn with_payload(scene: &Scene, call: &str, payload: &str) -> Answer {
    let command = format!(r#"{{"user_id":"u1","data_type":"steps","value":{payload}}}"#);
    let (path, body) = match call {
        "command" => ("/api/v1/commands", command),
        "batch" => ("/api/v1/commands/batch", format!(r#"{{"commands":[{command}]}}"#)),
        "record" => (
            "/api/v1/streams/news/records",
            format!(
                r#"{{"records":[{{"collection":"c","id":"a","op":"put","data":{{"x":{payload}}}}}]}}"#
            ),
        ),
        other => unreachable!("no call is named {other}"),
    };
    scene.backend.post_text(path, &body).await
}

/// Wherever a payload comes in, and wherever in it such a text stands, the
/// call is refused and nothing is stored.
#[tokio::test]
async fn texts_that_cannot_be_sent_on_are_refused() {
    let mut scene = Scene::start().await;
    for payload in [
        r#""\ud800""#,
        r#""\uDFFF""#,
        r#""\udc00\ud800""#,
        r#""\ud800\ud800\udc00""#,
        r#""\ud83dx\ude00""#,
        r#""\u0000""#,
        r#"[{"x":["\ud800"]}]"#,
        r#"{"\ud800":1}"#,
    ] {
        for call in ["command", "record"] {
            with_payload(&scene, call, payload).await.expect_error(422, "invalid");
        }
        let batch = with_payload(&scene, "batch", payload).await.expect(207);
        assert_eq!(batch["results"][0]["status"], 422, "{batch}");
        assert_eq!(batch["results"][0]["error"]["code"], "invalid", "{batch}");
    }
    let commands = scene.backend.get("/api/v1/commands?user_id=u1").await.expect(200);
    assert_eq!(commands["items"], json!([]));
    scene.nobody_noticed().await;
}

/// Bodies are read as they come: one that says it is compressed is not.
#[tokio::test]
async fn encoded_bodies_are_refused() {
    let scene = Scene::start().await;
    let command = r#"{"user_id":"u1","data_type":"steps","value":1}"#;
    for (encoding, status) in [("gzip", 415), ("identity", 202)] {
        let backend = scene.backend.clone().with_header("content-encoding", encoding);
        let answer = backend.post_text("/api/v1/commands", command).await;
        if status == 202 {
            answer.expect(status);
        } else {
            answer.expect_error(status, "unsupported_media_type");
        }
    }
}

/// Whole pairs, and backslashes that only look like one half, pass as they
/// were written.
#[tokio::test]
async fn texts_that_look_like_them_pass() {
    let scene = Scene::start().await;
    for payload in [r#""\ud83d\ude00""#, r#""\\ud800""#, r#""\ud7ff\ue000""#, r#""\\u0000""#] {
        for call in ["command", "record"] {
            with_payload(&scene, call, payload).await.expect(202);
        }
        let batch = with_payload(&scene, "batch", payload).await.expect(207);
        assert_eq!(batch["results"][0]["status"], 202, "{batch}");
    }
}
