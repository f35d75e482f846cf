//! A marketplace that was restored from a backup lists what is older than what is
//! known, and means it.

use serde_json::{Value, json};
use tidegate_fakes::atom::answer::Answer;
use tidegate_fakes::atom::skill_id;

use crate::marketplace::world::{Stage, World};

/// Skills that were edited, and the backup of before.
async fn edited(world: &World, ids: &[String]) -> Vec<Value> {
    let backup: Vec<_> = ids.iter().map(|id| world.atom.skill(id).unwrap()).collect();
    for id in ids {
        world.atom.edit_skill(id, |skill| skill["version"] = json!("9.0.0"));
    }
    world.sync().await;
    for id in ids {
        assert_eq!(world.skill(id).await["data"]["version"], "9.0.0");
    }
    backup
}

/// The first listing may lag; the second that says the same is adopted, with a
/// version. A run that fails in between is no listing.
#[tokio::test]
async fn two_listings_that_agree_on_an_older_state_are_adopted() {
    for etags in [false, true] {
        let stage = Stage::new().await.filled(150);
        stage.atom.offer_etags(etags);
        let world = stage.synced().await;
        let ids = [skill_id(3), skill_id(120)];
        let backup = edited(&world, &ids).await;
        let (mut phone, _) = world.follow("phone").await;
        for skill in backup {
            world.atom.put_skill(skill);
        }
        let head = world.head().await;
        world.sync().await;
        assert_eq!(world.head().await, head, "once is not enough");
        world.atom.script().extend("skills?page=2", [Answer::HalfPage]);
        assert_eq!(world.sync().await["status"], "error");
        assert_eq!(world.head().await, head, "half a listing is none");
        let run = world.sync().await;
        assert_eq!(run["status"], "idle", "{run}");
        world.assert_same(150).await;
        let entries = phone.entries(2).await;
        assert!(entries.iter().all(|entry| entry["body"]["version"] == 3), "{entries:?}");
        for _ in 0..2 {
            world.sync().await;
        }
        assert_eq!(world.head().await, head + 2, "adopted once");
        // Upstream goes on from there.
        world.atom.edit_skill(&ids[0], |skill| skill["version"] = json!("1.5.0"));
        world.sync().await;
        world.assert_same(150).await;
    }
}

/// Listings that do not agree adopt nothing, and neither does one that the socket
/// contradicts.
#[tokio::test]
async fn listings_that_differ_adopt_nothing() {
    let world = Stage::new().await.filled(20).with_socket().synced().await;
    let id = skill_id(3);
    let backup = edited(&world, std::slice::from_ref(&id)).await.remove(0);
    let head = world.head().await;
    for turn in 0..4 {
        let mut older = backup.clone();
        older["description"] = json!(format!("turn {turn}"));
        world.atom.put_skill(older);
        world.sync().await;
        assert_eq!(world.head().await, head, "turn {turn}");
    }
    // The socket told of something newer while a listing lagged.
    world.atom.put_skill(backup.clone());
    world.sync().await;
    world.atom.edit_skill(&id, |skill| skill["version"] = json!("9.1.0"));
    world.atom.announce_skill(&id);
    world.skill_is(&id, |skill| skill["data"]["version"] == "9.1.0").await;
    let newest = world.atom.skill(&id).unwrap();
    let told = newest.clone();
    world.atom.put_skill(backup);
    world.atom.before_page(1, move |market| market.put_skill(newest));
    world.sync().await;
    assert_eq!(world.skill(&id).await["data"], told);
}
