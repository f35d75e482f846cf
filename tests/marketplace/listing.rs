//! Whole listings: what the first run takes over, and what the next ones
//! leave alone.

use serde_json::{Value, json};
use tidegate_fakes::atom::answer::Answer;
use tidegate_fakes::atom::skill_id;

use crate::marketplace::world::Stage;
use crate::support::eventually;

/// Requests at the same time that a marketplace can expect of a listing.
const AT_ONCE: usize = 3;

/// Ten thousand skills come over page by page, never many requests at once.
#[tokio::test]
async fn ten_thousand_skills_come_over() {
    let world = Stage::new().await.filled(10_000).start().await;
    for held in (1_000..=10_000).step_by(1_000) {
        eventually("the next thousand", async || {
            let status = world.status().await;
            let count = status["cache"]["skills_count"].as_u64().unwrap();
            (count >= held).then_some(())
        })
        .await;
    }
    let run = world.ended(1).await;
    assert_eq!((&run["status"], &run["successful_syncs"]), (&json!("idle"), &json!(1)));
    assert_eq!((&run["failed_syncs"], &run["last_error"]), (&json!(0), &Value::Null));
    let cache = world.status().await["cache"].take();
    assert_eq!(cache, json!({ "skills_count": 10_000, "categories_count": 8 }));
    world.assert_same(10_000).await;
    assert_eq!(world.categories().await.len(), 8);

    let asked = world.atom.requests();
    assert_eq!((world.atom.count("categories"), world.atom.count("skills")), (1, 100));
    assert!(asked.iter().skip(1).all(|request| {
        request.uri.query().is_some_and(|query| query.contains("page_size=100"))
    }));
    assert!(world.atom.most_at_once() <= AT_ONCE, "{}", world.atom.most_at_once());
    assert_eq!(world.head().await, 10_008, "one entry for each item");

    let (rows, head) = (world.dump().await, world.head().await);
    world.trigger().await;
    for pages in (110..=200).step_by(10) {
        let is_read = async || (world.atom.count("skills") >= pages).then_some(());
        eventually("the next ten pages", is_read).await;
    }
    let run = world.ended(2).await;
    assert_eq!((&run["total_syncs"], &run["successful_syncs"]), (&json!(2), &json!(2)));
    assert_eq!(world.head().await, head, "unchanged items are not journalled");
    assert!(world.dump().await == rows, "unchanged items are not written");
}

/// A listing whose last page is full ends there; without totals it ends with
/// the page that is not full.
#[tokio::test]
async fn full_last_pages_end_a_listing() {
    let world = Stage::new().await.filled(200).synced().await;
    assert_eq!(world.atom.count("skills"), 2);
    world.atom.script().extend("skills", vec![Answer::MissingTotal; 3]);
    let run = world.sync().await;
    assert_eq!((run["status"].as_str(), world.atom.count("skills")), (Some("idle"), 5));
    world.assert_same(200).await;
}

/// An item that cannot be read is left out, and the others come all the same.
#[tokio::test]
async fn an_unreadable_item_does_not_stop_the_others() {
    let stage = Stage::new().await.filled(5);
    let nameless = json!({ "skill_id": "nameless", "version": "1.0.0" });
    let large = json!({ "skill_id": "large", "name": "L", "code": "x".repeat(140_000) });
    stage.atom.put_skill(nameless);
    stage.atom.put_skill(large);
    stage.atom.put_skill(json!({ "id": "old", "name": "With the older name of its id" }));
    let world = stage.synced().await;
    let ids: Vec<String> = world.skills().await.into_keys().collect();
    assert_eq!(ids.len(), 6);
    assert!(ids.contains(&"old".to_owned()));
    let run = world.sync().await;
    assert_eq!(run["status"], "idle");
    assert_eq!(world.skills().await.len(), 6);
}

/// A marketplace that offers `ETag`s is asked "has it changed?", and what it
/// has no more is noticed all the same.
#[tokio::test]
async fn conditional_runs_read_only_what_changed_and_still_sweep() {
    let stage = Stage::new().await.filled(250);
    stage.atom.offer_etags(true);
    let world = stage.synced().await;
    let (rows, asked) = (world.dump().await, world.atom.requests().len());
    world.sync().await;
    let second = world.atom.requests_after(asked);
    assert_eq!(second.len(), 4);
    for request in &second {
        assert!(request.is_conditional && request.status == Some(304), "{request:?}");
    }
    assert!(world.dump().await == rows);

    // One page changes: the others are confirmed by their tags.
    world.atom.edit_skill(&skill_id(120), |skill| skill["version"] = json!("9.9.9"));
    let asked = world.atom.requests().len();
    world.sync().await;
    let statuses: Vec<_> =
        world.atom.requests_after(asked).iter().map(|request| request.status.unwrap()).collect();
    assert_eq!(statuses, [304, 304, 200, 304]);
    world.assert_same(250).await;

    // Gone from the last page: the total changes, and with it every page.
    world.atom.remove_skill(&skill_id(249));
    world.sync().await;
    assert_eq!(world.atom.count("skill"), 0, "a whole listing needs no second opinion");
    world.assert_same(250).await;
    world.sync().await;
    world.assert_same(250).await;
    assert_eq!(world.skills().await.len(), 249);
}

/// "It has not changed" is said of what the listing was, not of what the
/// socket told since: what it told wrongly is mended all the same.
#[tokio::test]
async fn an_unchanged_page_still_mends_what_the_socket_told_wrongly() {
    let stage = Stage::new().await.filled(250).with_socket();
    stage.atom.offer_etags(true);
    let world = stage.synced().await;
    let (gone, changed) = (skill_id(20), skill_id(130));
    world.atom.announce_delete(&gone);
    let phantom = json!({ "skill_id": changed, "name": "Never listed like this" });
    world.atom.broadcast(json!({ "type": "skill_update", "data": phantom }));
    let category = json!({ "name": "data", "description": "Never listed like this" });
    world.atom.broadcast(json!({ "type": "category_update", "data": category }));
    world.skill_is_gone(&gone).await;
    eventually("the messages", async || (world.messages("taken").await == 3).then_some(())).await;
    assert_eq!(world.skill(&changed).await["data"]["name"], "Never listed like this");

    let asked = world.atom.requests().len();
    world.sync().await;
    world.assert_same(250).await;
    let path = "/api/v1/marketplace/categories";
    let categories = world.user().get(path).await.expect(200);
    let items = categories["items"].as_array().unwrap();
    let data = items.iter().find(|item| item["id"] == "data").unwrap();
    assert_eq!(Some(&data["data"]), world.atom.category("data").as_ref());
    let again = world.atom.requests_after(asked);
    let untouched = again.iter().filter(|request| request.addressee == "skills?page=3");
    let statuses: Vec<_> = untouched.map(|request| request.status.unwrap()).collect();
    assert_eq!(statuses, [304], "what nobody touched is not read again");
    let asked = world.atom.requests().len();
    world.sync().await;
    assert!(world.atom.requests_after(asked).iter().all(|request| request.status == Some(304)));
}
