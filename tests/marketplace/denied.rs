//! What nobody vouches for any more: HTTP denies it, and devices do not hold it
//! either, whenever they come; until the marketplace is heard again.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use tidegate_fakes::atom::skill_id;

use crate::marketplace::world::{STREAM, Stage, World};
use crate::support::{Socket, eventually};

const SKILLS: usize = 20;

/// Beyond `ttl_s` and `stale_max_s`.
const TOO_LONG: Duration = Duration::from_hours(3);

async fn world() -> World {
    let stage = Stage::new().await.filled(SKILLS).set("ttl_s", "3600").set("stale_max_s", "3600");
    stage.set("interval_s", "3600").synced().await
}

/// What a device holds after entries: versions and data by kind and id.
type Replica = BTreeMap<String, (i64, Value)>;

fn fold(replica: &mut Replica, entries: &[Value]) {
    for entry in entries {
        let (kind, body) = (entry["kind"].as_str().unwrap(), &entry["body"]);
        let key = format!("{kind}:{}", body["id"].as_str().unwrap());
        let version = body["version"].as_i64().unwrap();
        let known = replica.get(&key).map_or(0, |(version, _)| *version);
        assert!(version > known, "{entry} after version {known}");
        match body["op"].as_str().unwrap() {
            "put" => drop(replica.insert(key, (version, body["data"].clone()))),
            "delete" => drop(replica.remove(&key)),
            other => panic!("{other}: {entry}"),
        }
    }
}

fn held_by(items: &[Value]) -> Replica {
    let mut replica = Replica::new();
    fold(&mut replica, items);
    replica
}

/// Everything that HTTP serves, as a device would hold it.
async fn served(world: &World) -> BTreeMap<String, Value> {
    let mut served = BTreeMap::new();
    for (kind, path) in [("skill", "skills?page_size=500"), ("category", "categories")] {
        let answer = world.user().get(&format!("/api/v1/marketplace/{path}")).await;
        if answer.status == 503 {
            continue;
        }
        for item in answer.expect(200)["items"].as_array().unwrap() {
            served.insert(format!("{kind}:{}", item["id"].as_str().unwrap()), item["data"].clone());
        }
    }
    served
}

async fn assert_devices_hold_what_is_served(world: &World, replica: &Replica) {
    let served = served(world).await;
    let held: BTreeMap<String, Value> =
        replica.iter().map(|(key, (_, data))| (key.clone(), data.clone())).collect();
    assert_eq!(held, served);
    let (_socket, items) = world.follow("new").await;
    let new: BTreeMap<String, Value> =
        held_by(&items).into_iter().map(|(key, (_, data))| (key, data)).collect();
    assert_eq!(new, served, "a device that comes now");
}

async fn take(socket: &mut Socket, replica: &mut Replica, entries: usize) {
    fold(replica, &socket.entries(entries).await);
}

/// An outage that lasts: everything is taken back, from devices that are there,
/// that come back, and that come new; and given again when it is over.
#[tokio::test]
async fn devices_do_not_hold_what_http_denies() {
    let world = world().await;
    let (mut phone, items) = world.follow("phone").await;
    let mut replica = held_by(&items);
    assert_devices_hold_what_is_served(&world, &replica).await;
    let away = world.gateway.device("tablet", "u1");
    let mut hello = away.hello();
    hello["subscribe"] = json!([STREAM]);
    let (mut tablet, welcome) = away.open_with(&hello).await;
    tablet.quiet(true);
    tablet.snapshot().await;
    let mut kept = held_by(&tablet.snapshot().await);
    tablet.close().await;

    world.atom.set_down(true);
    world.move_clock(TOO_LONG);
    take(&mut phone, &mut replica, SKILLS + 8).await;
    assert!(replica.is_empty());
    assert_devices_hold_what_is_served(&world, &replica).await;
    let status = world.status().await;
    assert_eq!(status["faults"]["withdrawn_count"], SKILLS + 8);
    assert_eq!(status["cache"]["skills_count"], SKILLS, "kept all the same");
    hello["cursors"] = json!({ STREAM: {
        "epoch": welcome["streams"][STREAM]["epoch"], "seq": welcome["streams"][STREAM]["head"],
    } });
    let (mut tablet, welcome) = away.open_with(&hello).await;
    assert_eq!(welcome["streams"][STREAM]["verdict"], "resumed");
    tablet.quiet(true);
    assert!(tablet.snapshot().await.is_empty(), "the user's own stream");
    take(&mut tablet, &mut kept, SKILLS + 8).await;
    assert!(kept.is_empty());

    // An edit would be one of what nobody vouches for.
    let edited = format!("/api/v1/marketplace/skills/{}", skill_id(3));
    let patch = json!({ "description": "edited" }).to_string();
    let refused =
        world.operator().quiet().call(reqwest::Method::PATCH, &edited, Some(&patch)).await;
    refused.expect_error(503, "unavailable");

    assert_eq!(world.ended(2).await["status"], "error");
    // It is heard again: as it was, changed, and without one.
    world.atom.edit_skill(&skill_id(1), |skill| skill["name"] = json!("Renamed"));
    world.atom.remove_skill(&skill_id(2));
    world.atom.set_down(false);
    assert_eq!(world.sync().await["status"], "idle");
    take(&mut phone, &mut replica, SKILLS + 7).await;
    assert_devices_hold_what_is_served(&world, &replica).await;
    world.assert_same(SKILLS).await;
    let head = world.head().await;
    world.sync().await;
    assert_eq!(world.head().await, head, "given again once");
    phone.expect_nothing_pending().await;
}

/// One skill that is asked for by itself comes back alone.
#[tokio::test]
async fn what_is_refreshed_comes_back_alone() {
    let world = world().await;
    let (mut phone, items) = world.follow("phone").await;
    let mut replica = held_by(&items);
    world.atom.set_down(true);
    world.move_clock(TOO_LONG);
    take(&mut phone, &mut replica, SKILLS + 8).await;
    assert_eq!(world.ended(2).await["status"], "error");
    world.atom.set_down(false);
    let path = format!("/api/v1/marketplace/skills/{}", skill_id(4));
    world.user().get(&path).await.expect_error(503, "unavailable");
    take(&mut phone, &mut replica, 1).await;
    assert_eq!(world.user().get(&path).await.expect(200)["version"], 3);
    assert_devices_hold_what_is_served(&world, &replica).await;
}

/// A skill that nobody can read any more ages alone: its neighbours are there,
/// and the list says how many it withholds.
#[tokio::test]
async fn one_item_that_is_not_confirmed_is_withheld_alone() {
    let world = world().await;
    let (mut phone, items) = world.follow("phone").await;
    let mut replica = held_by(&items);
    let id = skill_id(5);
    world.atom.edit_skill(&id, |skill| skill["name"] = Value::Null);
    for _ in 0..3 {
        world.move_clock(Duration::from_mins(59));
        let run = world.sync().await;
        assert_eq!(run["status"], "idle", "{run}");
    }
    take(&mut phone, &mut replica, 1).await;
    assert!(!replica.contains_key(&format!("skill:{id}")));
    let path = format!("/api/v1/marketplace/skills/{id}");
    world.user().get(&path).await.expect_error(503, "unavailable");
    let page = world.user().get("/api/v1/marketplace/skills").await.expect(200);
    assert_eq!((&page["total"], &page["withheld"]), (&json!(SKILLS - 1), &json!(1)));
    assert_devices_hold_what_is_served(&world, &replica).await;
    world.atom.edit_skill(&id, |skill| skill["name"] = json!("Readable again"));
    world.sync().await;
    take(&mut phone, &mut replica, 1).await;
    world.assert_same(SKILLS).await;
    assert_devices_hold_what_is_served(&world, &replica).await;
}

/// It holds over a restart, and where the marketplace is switched off: nobody
/// confirms anything then.
#[tokio::test]
async fn it_holds_without_a_marketplace() {
    let mut world = world().await;
    let asked = world.atom.requests().len();
    world.gateway.stop().await;
    world.gateway.change(|config| config.marketplace.enabled = false);
    world.move_clock(TOO_LONG);
    world.gateway.restart().await;
    eventually("the withdrawal", async || {
        let status = world.status().await;
        (status["faults"]["withdrawn_count"] == SKILLS + 8).then_some(())
    })
    .await;
    assert_devices_hold_what_is_served(&world, &Replica::new()).await;
    assert_eq!(world.atom.requests().len(), asked, "it is switched off");
}
