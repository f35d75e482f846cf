//! Who may not send a body is refused before one byte of it came.

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Gateway, Token, bounded};

/// Every call with a body, and the role it is for; empty: any.
const DOORS: [(&str, &str, &str); 27] = [
    ("post", "/api/v1/devices/register", "device"),
    ("post", "/api/v1/sync/ack", "device"),
    ("post", "/api/v1/sync/results", "device"),
    ("post", "/api/v1/dev/trigger-write", "device"),
    ("post", "/api/v1/marketplace/skills/{id}/rate", ""),
    ("post", "/api/v1/commands", "service"),
    ("post", "/api/v1/commands/batch", "service"),
    ("post", "/api/v1/streams/{stream}/records", "service"),
    ("post", "/api/v1/ingest/steps", ""),
    ("post", "/api/v1/ingest/sleep", ""),
    ("post", "/api/v1/ingest/workouts", ""),
    ("post", "/api/v1/ingest/profile", ""),
    ("post", "/api/v1/ingest/entry", ""),
    ("post", "/api/v1/ingest/zuralog", ""),
    ("post", "/api/v1/health/ingest", ""),
    ("post", "/api/v1/ingest/{format}", ""),
    ("post", "/api/v1/integrations/{provider}/connect", ""),
    ("patch", "/api/v1/entries/{date}", ""),
    ("patch", "/api/v1/profile", ""),
    ("patch", "/api/v1/marketplace/skills/{id}", "admin"),
    ("post", "/api/v1/conflicts/{id}/resolve", "admin"),
    ("post", "/api/v1/conflicts/{id}/restore", "admin"),
    ("post", "/api/v1/conflicts/bulk-resolve", "admin"),
    ("post", "/api/v1/admin/conflicts/{id}/resolve", "admin"),
    ("post", "/api/v1/admin/conflicts/{id}/restore", "admin"),
    ("post", "/api/v1/admin/conflicts/bulk-resolve", "admin"),
    ("put", "/api/v1/admin/sync/config", "admin"),
];

/// The status that a call gets which announces a body and sends none; `None`
/// while the gateway waits for it. `Expect` has it say so.
async fn status(gateway: &Gateway, method: &str, path: &str, token: Option<&str>) -> u16 {
    let mut peer = TcpStream::connect(gateway.address()).await.unwrap();
    let mut path = path.replace("{id}", "x").replace("{stream}", "news");
    path = path.replace("{format}", "hc-webhook").replace("{date}", "2026-11-20");
    path = path.replace("{provider}", "strava");
    if ["/ingest", "/entries", "/profile", "/integrations"].iter().any(|part| path.contains(part)) {
        path.push_str("?user_id=u1");
    }
    let token = token.map(|token| format!("authorization: Bearer {token}\r\n"));
    let head = format!(
        "{} {path} HTTP/1.1\r\nhost: g\r\n{}content-type: application/json\r\n\
         content-length: 1000\r\nexpect: 100-continue\r\n\r\n",
        method.to_uppercase(),
        token.unwrap_or_default()
    );
    peer.write_all(head.as_bytes()).await.unwrap();
    let mut said = [0; 12];
    bounded("an answer", peer.read_exact(&mut said)).await.unwrap();
    std::str::from_utf8(&said[9..]).unwrap().parse().unwrap()
}

/// On every route that takes a body.
#[tokio::test]
async fn the_role_is_judged_before_the_body() {
    let gateway = Gateway::start().await;
    let documented = gateway.backend().quiet().get("/api/v1/openapi.json").await.expect(200);
    for (path, operations) in documented["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let is_known = DOORS.iter().any(|door| (door.0, door.1) == (method, path));
            let takes_body = operation["requestBody"] != Value::Null;
            assert_eq!(takes_body, is_known, "{method} {path}: does the table above hold it?");
        }
    }
    let tokens = ["device", "service", "admin"]
        .map(|role| (role, Token::device("u1").claim("role", role).sign()));
    for (method, path, wanted) in DOORS {
        assert_eq!(status(&gateway, method, path, None).await, 401, "{method} {path}");
        for (role, token) in &tokens {
            let may =
                wanted.is_empty() || wanted == *role || (wanted == "service" && *role == "admin");
            let expected = if may { 100 } else { 403 };
            let said = status(&gateway, method, path, Some(token)).await;
            assert_eq!(said, expected, "{method} {path} as {role}");
        }
    }
}
