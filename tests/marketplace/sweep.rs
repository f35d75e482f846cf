//! What the marketplace has no more: noticed by whole listings only, and
//! never guessed.

use serde_json::{Value, json};
use tidegate_fakes::atom::answer::Answer;
use tidegate_fakes::atom::skill_id;

use crate::marketplace::world::{Stage, World};

const SKILLS: usize = 250;

/// The ids of what one run deleted.
async fn deleted(world: &World, socket: &mut crate::support::Socket, count: usize) -> Vec<String> {
    let run = world.sync().await;
    assert_eq!(run["status"], "idle", "{run}");
    let entries = socket.entries(count).await;
    let id = |entry: Value| {
        assert_eq!((&entry["kind"], &entry["body"]["op"]), (&json!("skill"), &json!("delete")));
        entry["body"]["id"].as_str().unwrap().to_owned()
    };
    let mut ids: Vec<_> = entries.into_iter().map(id).collect();
    ids.sort();
    ids
}

fn skill(id: &str) -> Value {
    json!({ "skill_id": id, "name": id, "version": "1.0.0", "tags": [] })
}

/// A whole listing that does not name a skill deletes it, for devices too.
#[tokio::test]
async fn a_deleted_skill_disappears() {
    let world = Stage::new().await.filled(SKILLS).synced().await;
    let (mut socket, _) = world.follow("phone").await;
    let gone = [skill_id(0), skill_id(100), skill_id(249)];
    for id in &gone {
        world.atom.remove_skill(id);
    }
    let mut sorted = gone.to_vec();
    sorted.sort();
    assert_eq!(deleted(&world, &mut socket, 3).await, sorted);
    assert_eq!(world.atom.count("skill"), 0, "a whole listing is believed");
    assert_eq!(world.skill(&gone[0]).await, Value::Null);
    world.assert_same(SKILLS).await;
    let head = world.head().await;
    world.sync().await;
    assert_eq!(world.head().await, head, "deleted once");

    // It comes back: versions go on.
    world.atom.put_skill(skill(&gone[1]));
    world.sync().await;
    assert_eq!(world.skill(&gone[1]).await["version"], 3);
}

/// A skill deleted while pages are read moves those after it up: one is on no
/// page. It exists, and stays.
#[tokio::test]
async fn a_shift_between_pages_deletes_nothing_that_exists() {
    let world = Stage::new().await.filled(SKILLS).synced().await;
    world.atom.before_page(2, |market| market.remove_skill(&skill_id(5)));
    let run = world.sync().await;
    assert_eq!(run["status"], "idle");
    assert_eq!(world.atom.count(&format!("skill/{}", skill_id(100))), 1, "it is asked for");
    let held = world.skills().await;
    assert!(held.contains_key(&skill_id(100)));
    world.sync().await;
    world.assert_same(SKILLS).await;
}

/// The same when another skill comes at the end meanwhile, so that the total
/// and the number of ids are as they were.
#[tokio::test]
async fn a_shift_that_the_total_hides_deletes_nothing_that_exists() {
    let world = Stage::new().await.filled(SKILLS).synced().await;
    world.atom.before_page(2, |market| {
        market.remove_skill(&skill_id(5));
        market.put_skill(skill("new"));
    });
    world.sync().await;
    let held = world.skills().await;
    assert!(held.contains_key(&skill_id(100)), "it is on no page, and exists");
    assert!(held.contains_key("new"));
    world.sync().await;
    let held = world.skills().await;
    assert!(held.contains_key(&skill_id(100)) && !held.contains_key(&skill_id(5)));
    assert_eq!(held.len(), SKILLS);
}

/// More than a twentieth at once is not believed: each is asked for, and gone
/// only if it is not found.
#[tokio::test]
async fn many_deletions_are_confirmed_one_by_one() {
    let world = Stage::new().await.filled(SKILLS).synced().await;
    let (mut socket, _) = world.follow("phone").await;
    let mut gone: Vec<_> = (20..40).map(skill_id).collect();
    for id in &gone {
        world.atom.remove_skill(id);
    }
    gone.sort();
    assert_eq!(deleted(&world, &mut socket, 20).await, gone);
    let asked = world.atom.requests();
    let single: Vec<_> = asked.iter().filter(|request| request.is_for("skill")).collect();
    assert_eq!(single.len(), 20);
    assert!(single.iter().all(|request| request.status == Some(404)));
    assert!(world.atom.most_at_once() <= 6, "{}", world.atom.most_at_once());
    world.assert_same(SKILLS).await;
}

/// The same where many are deleted at once: the total falls by as many as are
/// on no page, which explains them.
#[tokio::test]
async fn a_large_shift_is_no_failure() {
    let world = Stage::new().await.filled(SKILLS).synced().await;
    world.atom.before_page(2, |market| {
        for index in 0..20 {
            market.remove_skill(&skill_id(index));
        }
    });
    let run = world.sync().await;
    assert_eq!(run["status"], "idle", "{run}");
    assert_eq!(world.atom.count("skill"), 20, "each is found");
    assert!((100..120).all(|index| world.atom.count(&format!("skill/{}", skill_id(index))) == 1));
    assert_eq!(world.skills().await.len(), SKILLS);
    assert_eq!(world.sync().await["status"], "idle");
    world.assert_same(SKILLS).await;
}

/// A skill that no page names and that cannot be asked for stays, however long
/// that lasts, and keeps none of the others. Where the marketplace fails over
/// many it is not these skills.
#[tokio::test]
async fn what_is_unclear_stays_alone() {
    let world = Stage::new().await.filled(SKILLS).synced().await;
    let head = world.head().await;
    for index in 0..20 {
        world.atom.remove_skill(&skill_id(index));
    }
    let unclear = |index: usize| format!("skill/{}", skill_id(index));
    world.atom.script().extend(&unclear(7), vec![Answer::Status(500); 3]);
    let run = world.sync().await;
    assert_eq!(run["status"], "idle", "{run}");
    assert!(world.skills().await.contains_key(&skill_id(7)));
    assert_eq!(world.head().await, head + 19);
    // It is asked for until the marketplace can say it.
    world.sync().await;
    world.assert_same(SKILLS).await;
    assert_eq!(world.head().await, head + 20);

    for index in 20..40 {
        world.atom.remove_skill(&skill_id(index));
        world.atom.script().extend(&unclear(index), vec![Answer::Status(500); 3]);
    }
    let run = world.sync().await;
    assert_eq!(
        (&run["status"], run["last_error"].as_str().unwrap()),
        (&json!("error"), "one skill: the service is not available (HTTP 500)")
    );
    assert_eq!(world.skills().await.len(), SKILLS - 20);
}

/// What the socket told of during a run is not missed by its listing.
#[tokio::test]
async fn what_the_socket_tells_of_during_a_run_is_not_swept() {
    let stage = Stage::new().await.filled(SKILLS).with_socket().set("timeout_s", "1");
    let world = stage.synced().await;
    world.atom.script().extend("skills?page=3", [Answer::Hang]);
    world.trigger().await;
    let before = world.atom.count("skills?page=3");
    world.atom.request_seen("skills?page=3", before.max(2)).await;
    // Not in the listing: that lags behind the socket.
    let news = json!({ "type": "skill_update", "data": skill("announced") });
    world.atom.broadcast(news);
    world.skill_is("announced", |skill| !skill.is_null()).await;
    let run = world.ended(2).await;
    assert_eq!(run["status"], "idle");
    assert_ne!(world.skill("announced").await, Value::Null);
    // The next listing does not name it either: then it is gone.
    world.sync().await;
    assert_eq!(world.skill("announced").await, Value::Null);
    world.assert_same(SKILLS).await;
}

/// Categories come and go with the list of them; a list with only half of
/// them must say so twice.
#[tokio::test]
async fn categories_are_swept_too() {
    let world = Stage::new().await.filled(20).synced().await;
    world.atom.script().extend("categories", [Answer::HalfPage]);
    let before = world.atom.count("categories");
    world.sync().await;
    assert_eq!(world.categories().await.len(), 8);
    assert_eq!(world.atom.count("categories"), before + 2, "asked for again");

    let (mut socket, _) = world.follow("phone").await;
    world.atom.remove_category("finance");
    world.sync().await;
    let entries = socket.entries(1).await;
    assert_eq!(entries[0]["kind"], "category");
    assert_eq!(entries[0]["body"], json!({ "id": "finance", "version": 2, "op": "delete" }));
    assert_eq!(world.categories().await.len(), 7);
    assert!(!world.categories().await.contains(&"finance".to_owned()));

    for name in ["automation", "data", "security"] {
        world.atom.remove_category(name);
    }
    world.sync().await;
    assert_eq!(world.categories().await.len(), 4);
}

/// Ids are asked for as they are, whatever is in them, and each by itself.
#[tokio::test]
async fn odd_ids_come_and_go() {
    const IDS: [&str; 12] =
        ["Füße/1", "a b?c#d", "100%", "x+y", "ÄB", "äb", "Z", "a", "_", "~", "🚀", "%2e%2e"];
    let stage = Stage::new().await.filled(20);
    for id in IDS {
        stage.atom.put_skill(skill(id));
    }
    let world = stage.synced().await;
    assert_eq!(world.skills().await.len(), 32);
    // On no page, but there.
    world.atom.script().extend("skills?page=1", [Answer::EmptyListing]);
    world.sync().await;
    assert_eq!(world.skills().await.len(), 32);
    for id in &IDS[..6] {
        world.atom.remove_skill(id);
    }
    world.sync().await;
    let held = world.skills().await;
    assert_eq!(held.len(), 26);
    assert!(IDS[6..].iter().all(|id| held.contains_key(*id)), "{:?}", held.keys());
    for id in IDS[..6].iter().map(|id| format!("skill/{id}")) {
        let requests = world.atom.requests();
        let statuses: Vec<_> =
            requests.iter().filter(|request| request.addressee == id).map(|r| r.status).collect();
        assert_eq!(statuses, [Some(200), Some(404)], "{id}");
    }
}

/// An empty list of categories, however often, is an outage that looks like
/// success.
#[tokio::test]
async fn no_categories_and_success_never_empties_the_cache() {
    let world = Stage::new().await.filled(20).synced().await;
    let head = world.head().await;
    world.atom.script().extend("categories", vec![Answer::EmptyListing; 4]);
    for _ in 0..2 {
        world.sync().await;
        assert_eq!(world.categories().await.len(), 8);
    }
    assert_eq!(world.head().await, head);
}
