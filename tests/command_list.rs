//! Listing and watching commands.

use std::time::Duration;

use serde_json::{Value, json};

use crate::results::report;
use crate::support::{Gateway, check};

fn ids(page: &Value) -> Vec<&str> {
    page["items"].as_array().unwrap().iter().map(|c| c["command_id"].as_str().unwrap()).collect()
}

/// Newest first, by user and by status, an expiry included that nothing has
/// journalled yet.
#[tokio::test]
async fn lists_are_filtered() {
    let gateway = Gateway::start().await;
    let backend = gateway.backend().quiet();
    let first = backend.make("u1", "first").await;
    let second = backend.make("u1", "second").await;
    let other = backend.make("u2", "other").await;
    let brief = json!({ "user_id": "u1", "data_type": "brief", "value": 1, "ttl_s": 1 });
    let brief = backend.make_with(&brief).await;
    backend.delete(&format!("/api/v1/commands/{second}")).await.expect(200);
    gateway.move_clock(Duration::from_secs(1));
    for (query, expected) in [
        ("", vec![&brief, &other, &second, &first]),
        ("?user_id=u1", vec![&brief, &second, &first]),
        ("?user_id=u1&status=pending", vec![&first]),
        ("?user_id=u1&status=expired", vec![&brief]),
        ("?status=cancelled", vec![&second]),
        ("?user_id=u3", vec![]),
    ] {
        let page = backend.get(&format!("/api/v1/commands{query}")).await.expect(200);
        assert_eq!(ids(&page), expected, "{query}");
        assert_eq!(page["next_cursor"], json!(null));
    }
    for query in ["?status=gone", "?user_id=", "?limit=0", "?limit=501", "?cursor=%00", "?limit=x"]
    {
        backend.get(&format!("/api/v1/commands{query}")).await.expect_error(422, "invalid");
    }
}

/// Pages follow each other without a gap or a double.
#[tokio::test]
async fn lists_come_in_pages() {
    let gateway = Gateway::start().await;
    let backend = gateway.backend();
    let mut made = backend.make_many("u1", 5, 1).await;
    made.reverse();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/v1/commands?user_id=u1&limit=2{cursor}");
        let page = backend.get(&path).await.expect(200);
        seen.extend(ids(&page).into_iter().map(str::to_owned));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, made);
    check!("pages", gateway.said());
}

/// `wait_s` answers as soon as the status is final, and at the end of the
/// wait otherwise.
#[tokio::test]
async fn a_final_status_is_waited_for() {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend().quiet());
    let mut socket = phone.open().await;
    let id = backend.make("u1", "steps").await;
    socket.entries(1).await;
    let path = format!("/api/v1/commands/{id}?wait_s=9");
    let (watched, ()) = tokio::join!(backend.get(&path), async {
        report(&mut socket, json!({ "command_id": id, "status": "applied" })).await;
    });
    assert_eq!(watched.expect(200)["status"], "applied");
    assert_eq!(backend.get(&path).await.expect(200)["status"], "applied");
    let open = backend.make("u1", "weight").await;
    let path = format!("/api/v1/commands/{open}");
    let waited = backend.get(&format!("{path}?wait_s=1")).await.expect(200);
    assert!(["pending", "sent"].contains(&waited["status"].as_str().unwrap()));
    for wait_s in ["56", "-1", "x"] {
        backend.get(&format!("{path}?wait_s={wait_s}")).await.expect_error(422, "invalid");
    }
}
