//! The devices' view: what a newcomer gets, and that a replica equals the
//! marketplace's catalogue after whatever happened on the way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::json;
use tidegate_fakes::atom::answer::Answer;
use tidegate_fakes::atom::skill_id;

use crate::marketplace::phone::{Phone, Running};
use crate::marketplace::world::{STREAM, Stage, World};
use crate::seed;
use crate::support::eventually;

/// A newcomer gets everything in pages, categories first, then what changes.
#[tokio::test]
async fn a_newcomer_gets_everything_in_pages_and_then_what_changes() {
    let world = Stage::new().await.filled(450).with_socket().synced().await;
    let device = world.gateway.device("phone", "u1");
    let mut hello = device.hello();
    hello["subscribe"] = json!([STREAM]);
    let mut socket = device.connect().await;
    socket.quiet(true);
    let welcome = socket.begin(&hello).await;
    assert_eq!(welcome["streams"][STREAM]["verdict"], "reset");
    assert_eq!(welcome["streams"][STREAM]["head"], 458);
    socket.snapshot().await;
    let (mut items, mut pages) = (Vec::new(), 0);
    loop {
        let page = socket.expect("snapshot").await;
        assert_eq!((&page["stream"], &page["seq"]), (&json!(STREAM), &json!(458)));
        let of_page = page["items"].as_array().unwrap();
        assert!((1..=200).contains(&of_page.len()));
        items.extend(of_page.iter().cloned());
        pages += 1;
        if page["last"] == true {
            break;
        }
    }
    assert!(pages > 2, "{pages}");
    let kinds: Vec<_> = items.iter().map(|item| item["kind"].as_str().unwrap()).collect();
    assert!(kinds[..8].iter().all(|kind| *kind == "category"), "categories come first");
    assert!(kinds[8..].iter().all(|kind| *kind == "skill") && kinds.len() == 458);
    for item in &items[8..] {
        let body = &item["body"];
        assert_eq!((&body["op"], &body["version"]), (&json!("put"), &json!(1)));
        assert_eq!(world.atom.skill(body["id"].as_str().unwrap()).as_ref(), Some(&body["data"]));
    }
    let id = skill_id(2);
    world.atom.edit_skill(&id, |skill| skill["version"] = json!("2.0.0"));
    world.atom.announce_skill(&id);
    let events = socket.expect("events").await;
    assert_eq!((&events["prev"], &events["seq"]), (&json!(458), &json!(459)));
    assert_eq!(events["entries"][0]["body"]["op"], "patch");
}

/// A device that was away resumes and gets only what it missed.
#[tokio::test]
async fn a_device_that_was_away_gets_what_it_missed() {
    let world = Stage::new().await.filled(50).synced().await;
    let device = world.gateway.device("phone", "u1");
    let mut hello = device.hello();
    hello["subscribe"] = json!([STREAM]);
    let mut socket = device.connect().await;
    socket.quiet(true);
    let welcome = socket.begin(&hello).await;
    drop(socket);
    for index in 0..3 {
        world.atom.edit_skill(&skill_id(index), |skill| skill["version"] = json!("4.0.0"));
    }
    world.sync().await;
    let epoch = &welcome["streams"][STREAM]["epoch"];
    hello["cursors"] = json!({ STREAM: { "epoch": epoch, "seq": 58 } });
    let mut socket = device.connect().await;
    socket.quiet(true);
    let welcome = socket.begin(&hello).await;
    assert_eq!(welcome["streams"][STREAM]["verdict"], "resumed");
    socket.snapshot().await;
    let entries = socket.entries(3).await;
    assert!(entries.iter().all(|entry| entry["body"]["patch"]["version"] == "4.0.0"));
}

/// One that was away for longer than the journal remembers starts from a
/// snapshot of what there is now.
#[tokio::test]
async fn a_device_that_was_away_for_too_long_starts_anew() {
    let stage = Stage::new().await.filled(150);
    let stage = stage.set_any("journal.retention_entries", "100");
    let world = stage.set_any("journal.trim_interval_s", "1").synced().await;
    let phone = Phone::new();
    phone.sync_once(&world).await;
    for index in 0..140 {
        world.atom.edit_skill(&skill_id(index), |skill| skill["version"] = json!("5.0.0"));
    }
    world.atom.remove_skill(&skill_id(149));
    world.sync().await;
    let readers = world.gateway.running().state().store.readers();
    eventually("the trim", async || {
        let heads = tidegate::store::head::load(readers, &[STREAM.to_owned()]).await.unwrap();
        (heads[STREAM].trimmed > 158).then_some(())
    })
    .await;
    let running = phone.start(&world).await;
    running.until_caught_up(&world).await;
    assert_eq!(running.held("skill").await, world.truth(150));
    running.stop().await;
}

const SKILLS: usize = 60;

const STEPS: usize = 40;

/// One change of the catalogue, said on the socket or left to the next poll.
fn change(world: &World, rng: &mut StdRng) {
    let id = skill_id(rng.random_range(0..SKILLS));
    let is_said = rng.random_bool(0.6);
    let Some(skill) = world.atom.skill(&id) else {
        world.atom.put_skill(json!({
            "skill_id": id, "name": "Back again", "tags": [], "updated_at": world.atom.stamp(),
        }));
        if is_said {
            world.atom.announce_skill(&id);
        }
        return;
    };
    match rng.random_range(0..10) {
        0 => {
            world.atom.remove_skill(&id);
            if is_said {
                world.atom.announce_delete(&id);
            }
        }
        1 => world.atom.announce_rating(&id, rng.random_range(1..=5)),
        2 => {
            // What the marketplace said before, once more.
            world.atom.broadcast(json!({ "type": "skill_update", "data": skill }));
        }
        field => {
            let field = format!("field{field}");
            let value: u16 = rng.random();
            let is_gone = rng.random_bool(0.2);
            world.atom.edit_skill(&id, |skill| {
                if is_gone {
                    skill.as_object_mut().unwrap().remove(&field);
                } else {
                    skill[field.as_str()] = json!({ "n": value, "tags": [value % 3] });
                }
            });
            if is_said {
                world.atom.announce_skill(&id);
            }
        }
    }
}

/// Whatever happens on the way, in an order that a seed gives.
async fn history(seed: u64) {
    let mut rng = seed::rng(seed);
    let stage = Stage::new().await.filled(SKILLS).with_socket();
    stage.atom.offer_etags(rng.random_bool(0.5));
    let mut world = stage
        .set("page_size", "20")
        .set("ws_messages_per_s", "20")
        .set("ws_attempts", "100")
        .synced()
        .await;
    let (phone, is_over) = (Phone::new(), Arc::new(AtomicBool::default()));
    let mut running = None;
    for _ in 0..STEPS {
        for _ in 0..rng.random_range(0..5) {
            change(&world, &mut rng);
        }
        match rng.random_range(0..10) {
            0 => world.atom.drop_sockets(),
            1 => world.atom.close_sockets(1012),
            2 => {
                // Refused while one is under way: then that one does it.
                let path = "/api/v1/admin/sync/trigger";
                world.operator().quiet().post(path, &json!({})).await;
            }
            3 => world.atom.script().extend("skills", [Answer::HalfBody, Answer::Drop]),
            4 => {
                let id = skill_id(rng.random_range(0..SKILLS));
                let is_over = Arc::clone(&is_over);
                world.atom.before_page(2, move |market| {
                    if !is_over.load(Ordering::SeqCst) {
                        market.remove_skill(&id);
                    }
                });
            }
            5 => match running.take() {
                None => running = Some(phone.start(&world).await),
                Some(app) => Running::stop(app).await,
            },
            6 => {
                let service = world.gateway.backend().quiet();
                service.delete("/api/v1/users/u1/sessions").await;
            }
            8 if running.is_none() => {
                // Phones of this test do not look for another address.
                world.gateway.restart().await;
            }
            7 if running.is_none() => phone.sync_once(&world).await,
            _ => {}
        }
    }
    let running = match running {
        Some(running) => running,
        None => phone.start(&world).await,
    };
    is_over.store(true, Ordering::SeqCst);
    settle(&world).await;
    judge(&world, &running).await;
    running.stop().await;
}

/// The phone holds what the marketplace has.
async fn judge(world: &World, running: &Running) {
    running.until_caught_up(world).await;
    let truth = world.truth(SKILLS);
    let held = running.held("skill").await;
    assert_eq!(held.keys().collect::<Vec<_>>(), truth.keys().collect::<Vec<_>>());
    assert_eq!(held, truth);
    let categories = running.held("category").await;
    for (name, category) in &categories {
        assert_eq!(world.atom.category(name).as_ref(), Some(category));
    }
    assert_eq!(categories.len(), 8);
}

/// Lets runs end well after the last change: answers that were laid down may
/// be left, and the first one may have begun before the last change.
async fn settle(world: &World) {
    world.connected(true).await;
    let mut well = 0;
    while well < 3 {
        let before = eventually("a run of one's own", async || {
            let runs = world.status().await["sync"]["total_syncs"].as_i64();
            let path = "/api/v1/admin/sync/trigger";
            let answer = world.operator().quiet().post(path, &json!({})).await;
            runs.filter(|_| answer.status == 202)
        })
        .await;
        let status = eventually("the run's end", async || {
            let sync = world.status().await["sync"].take();
            let has_ended = sync["total_syncs"].as_i64() > Some(before);
            (has_ended && sync["status"] != "syncing").then_some(sync)
        })
        .await;
        well += i32::from(status["status"] == "idle");
    }
    world.assert_same(SKILLS).await;
}

#[tokio::test]
async fn a_replica_equals_the_catalogue() {
    for seed in seed::rounds("a_replica_equals_the_catalogue", 6) {
        seed::say(&seed::replay(seed));
        history(seed).await;
    }
}
