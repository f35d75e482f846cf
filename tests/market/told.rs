//! Who is told of conflicts: the devices of the user whose edit is in them,
//! and nobody else.

use serde_json::{Value, json};

use crate::market::world::{EDITOR, World};
use crate::support::{Socket, check};

async fn device(world: &World, user: &str) -> Socket {
    world.gateway.device(&format!("phone of {user}"), user).open().await
}

/// Opening and resolving come as entries, to the editor's devices.
#[tokio::test]
async fn the_editors_devices_hear_of_conflicts() {
    let world = World::start().await;
    let mut own = device(&world, EDITOR).await;
    let mut other = device(&world, "bea").await;
    let conflict = world.open_conflict("s1").await;
    let opened = own.entries(1).await.remove(0);
    assert_eq!(opened["kind"], "conflict");
    assert_eq!(opened["body"]["conflict_id"], conflict["conflict_id"]);
    assert_eq!(opened["body"]["status"], "open");
    let local = json!({ "choice": "local", "expected_remote_version": 3 });
    world.resolve(&conflict, &local).await.expect(200);
    let resolved = own.entries(1).await.remove(0);
    assert_eq!(resolved["body"]["status"], "resolved");

    world.strategy("remote_wins").await;
    world.edit("s2", json!({ "code": "ours" })).await;
    world.remote("s2", &json!({ "code": "theirs" }));
    world.sync().await;
    let decided = own.entries(1).await.remove(0);
    assert_eq!(decided["body"]["decided_by"], "strategy");
    let decided_id = world.conflict("s2").await;
    world.restore(&decided_id, "local", 3).await.expect(200);
    let restored = own.entries(1).await.remove(0);
    assert_eq!(restored["body"]["version"], world.skill("s2").await["version"]);
    assert!(restored["body"]["restored_at"].is_string(), "{restored}");
    own.expect_nothing_pending().await;
    other.expect_nothing_pending().await;
    world.shown();
    for (what, entry) in
        [("opened", opened), ("resolved", resolved), ("decided", decided), ("restored", restored)]
    {
        world.show(what, &entry);
    }
    check!("conflict_entries", world.shown());
}

/// A page of a snapshot has one room for all that a user's stream holds: what
/// commands filled is not there for conflicts.
#[tokio::test]
async fn conflicts_have_what_commands_left_of_a_page() {
    let world = World::start().await;
    world.open_conflict("s1").await;
    let command = json!({ "user_id": EDITOR, "data_type": "t", "value": "x".repeat(100_000) });
    world.gateway.backend().make_with(&command).await;
    let phone = world.gateway.device("phone", EDITOR);
    let (mut socket, _) = phone.open_with(&phone.hello()).await;
    for (kind, last) in [("command", false), ("conflict", true)] {
        let page = socket.expect("snapshot").await;
        let kinds: Vec<_> =
            page["items"].as_array().unwrap().iter().map(|item| &item["kind"]).collect();
        assert_eq!((kinds, &page["last"]), (vec![&json!(kind)], &json!(last)));
    }
}

/// A device that begins anew finds the conflicts that are open, and only its
/// own user's.
#[tokio::test]
async fn snapshots_hold_open_conflicts() {
    let world = World::start().await;
    let first = world.open_conflict("s1").await;
    let second = world.open_conflict("s2").await;
    let items = |user: &str| {
        let device = world.gateway.device("phone", user);
        async move {
            let (mut socket, _) = device.open_with(&device.hello()).await;
            socket.snapshot().await
        }
    };
    let open = |items: &[Value]| -> Vec<Value> {
        items
            .iter()
            .map(|item| {
                assert_eq!(
                    (&item["kind"], &item["body"]["status"]),
                    (&json!("conflict"), &json!("open"))
                );
                item["body"]["conflict_id"].clone()
            })
            .collect()
    };
    let ids = [&first, &second].map(|conflict| conflict["conflict_id"].clone());
    assert_eq!(open(&items(EDITOR).await), ids);
    assert!(items("bea").await.is_empty());
    let remote = json!({ "choice": "remote", "expected_remote_version": 3 });
    world.resolve(&first, &remote).await.expect(200);
    assert_eq!(open(&items(EDITOR).await), ids[1..]);
    world.resolve(&second, &remote).await.expect(200);
    assert!(items(EDITOR).await.is_empty());
}

/// A device that was away hears of both when it comes back.
#[tokio::test]
async fn a_device_that_was_away_resumes_into_its_conflicts() {
    let world = World::start().await;
    let phone = world.gateway.device("phone", EDITOR);
    let (mut socket, welcome) = phone.open_with(&phone.hello()).await;
    socket.snapshot().await;
    socket.close().await;
    let conflict = world.open_conflict("s1").await;
    let remote = json!({ "choice": "remote", "expected_remote_version": 3 });
    world.resolve(&conflict, &remote).await.expect(200);
    let mut hello = phone.hello();
    let epoch = &welcome["streams"]["user:ann"]["epoch"];
    hello["cursors"] = json!({ "user:ann": { "epoch": epoch, "seq": 0 } });
    let (mut socket, welcome) = phone.open_with(&hello).await;
    assert_eq!(welcome["streams"]["user:ann"]["verdict"], "resumed");
    let entries = socket.entries(2).await;
    let statuses: Vec<&Value> = entries.iter().map(|entry| &entry["body"]["status"]).collect();
    assert_eq!(statuses, ["open", "resolved"]);
}

/// Several people edited the skill: each of them sees the conflict, is told of
/// it, and finds it in a snapshot; nobody else does.
#[tokio::test]
async fn every_editor_in_a_conflict_sees_it() {
    let world = World::start().await;
    world.strategy("manual").await;
    let edit = async |editor: &str, patch: &Value| {
        let path = "/api/v1/marketplace/skills/s1";
        let caller = world.caller(&crate::support::Token::admin(editor));
        caller.call(reqwest::Method::PATCH, path, Some(&patch.to_string())).await.expect(200)
    };
    let mut devices = Vec::new();
    for editor in ["bea", EDITOR, "cat"] {
        devices.push(device(&world, editor).await);
    }
    let mut other = device(&world, "dan").await;
    edit("bea", &json!({ "description": "bea's" })).await;
    edit(EDITOR, &json!({ "tags": ["ann's"] })).await;
    edit("bea", &json!({ "code": "bea's" })).await;
    edit("cat", &json!({ "command": "cat's" })).await;
    world.remote("s1", &json!({ "description": "theirs" }));
    world.sync().await;
    let conflict = world.conflict("s1").await;
    assert_eq!(conflict["editors"], json!([EDITOR, "bea", "cat"]));
    let id = conflict["conflict_id"].as_str().unwrap();
    for (editor, socket) in ["bea", EDITOR, "cat"].into_iter().zip(&mut devices) {
        let told = socket.entries(1).await.remove(0);
        assert_eq!(told["body"]["conflict_id"], id, "{editor}");
        let caller = world.caller(&crate::support::Token::device(editor));
        let page = caller.get("/api/v1/conflicts?status=open").await.expect(200);
        assert_eq!(page["items"][0]["conflict_id"], id, "{editor}");
        caller.get(&format!("/api/v1/conflicts/{id}")).await.expect(200);
        let phone = world.gateway.device("tablet", editor);
        let (mut socket, _) = phone.open_with(&phone.hello()).await;
        assert_eq!(socket.snapshot().await[0]["body"]["conflict_id"], id, "{editor}");
    }
    let stranger = world.caller(&crate::support::Token::device("dan"));
    let page = stranger.get("/api/v1/conflicts").await.expect(200);
    assert_eq!(page["items"], json!([]));
    stranger.get(&format!("/api/v1/conflicts/{id}")).await.expect_error(404, "not_found");
    let version = conflict["current_version"].clone();
    let local = json!({ "choice": "local", "expected_remote_version": version });
    world.resolve(&conflict, &local).await.expect(200);
    for socket in &mut devices {
        assert_eq!(socket.entries(1).await[0]["body"]["status"], "resolved");
    }
    other.expect_nothing_pending().await;

    // What was decided is the edit of all of them, and of who decided.
    world.remote("s1", &json!({ "description": "theirs again" }));
    world.sync().await;
    let again = world.conflicts("s1").await.remove(0);
    assert_ne!(again["conflict_id"], conflict["conflict_id"]);
    assert_eq!(again["editors"], json!(["bea", "cat", EDITOR]));
}
