//! Outages at every page, of every kind. Atom's own client makes "no skills,
//! success" of each; here the cache stays whole, and the next run mends it.

use serde_json::{Value, json};
use tidegate_fakes::atom::answer::Answer;
use tidegate_fakes::atom::skill_id;

use crate::marketplace::world::{Stage, World};

const SKILLS: usize = 250;

/// Everything that a run asks for.
const PLACES: [&str; 4] = ["categories", "skills?page=1", "skills?page=2", "skills?page=3"];

/// As often as a run asks for the same thing: once, and after each wait.
const TRIES: usize = 3;

/// What the reason in the state begins with.
fn named(place: &str) -> String {
    match place.strip_prefix("skills?page=") {
        Some(page) => format!("skills, page {page}: "),
        None => format!("{place}: "),
    }
}

async fn assert_whole(world: &World, case: &str) {
    let cache = world.status().await["cache"].take();
    assert_eq!(cache, json!({ "skills_count": SKILLS, "categories_count": 8 }), "{case}");
    world.assert_same(SKILLS).await;
}

/// One run at which `answers` go out at a place; how it ended.
async fn run_with(world: &World, place: &str, answers: Vec<Answer>) -> Value {
    world.atom.script().extend(place, answers);
    world.sync().await
}

/// What lasts is an error with its reason; the cache stays as it was, and the
/// next run ends well.
#[tokio::test]
async fn an_outage_that_lasts_is_an_error_and_changes_nothing() {
    let world = Stage::new().await.filled(SKILLS).synced().await;
    let cases: [(Answer, &str); 8] = [
        (Answer::Drop, "no answer"),
        (Answer::Html502, "(HTTP 502)"),
        (Answer::Status(500), "(HTTP 500)"),
        (Answer::Unavailable { retry_after: None }, "(HTTP 503)"),
        (Answer::EmptyBody, "cannot be read"),
        (Answer::HalfBody, "cannot be read"),
        (Answer::CutBody, "no answer"),
        (Answer::NotJson, "cannot be read"),
    ];
    let (rows, head) = (world.dump().await, world.head().await);
    let mut failed = 0;
    for (answer, reason) in cases {
        for place in PLACES {
            let case = format!("{answer:?} at {place}");
            let run = run_with(&world, place, vec![answer.clone(); TRIES]).await;
            failed += 1;
            assert_eq!(run["status"], "error", "{case}");
            assert_eq!((&run["error_count"], &run["failed_syncs"]), (&json!(1), &json!(failed)));
            let error = run["last_error"].as_str().unwrap();
            assert!(error.starts_with(&named(place)) && error.contains(reason), "{case}: {error}");
            assert_whole(&world, &case).await;
            let run = world.sync().await;
            assert_eq!(run["status"], "idle", "{case}: {run}");
            assert_eq!((&run["error_count"], &run["last_error"]), (&json!(0), &Value::Null));
        }
    }
    assert!(world.dump().await == rows && world.head().await == head, "nothing was written");
}

/// What passes within the tries of one run is not even an error.
#[tokio::test]
async fn an_outage_that_passes_is_tried_again() {
    let world = Stage::new().await.filled(SKILLS).synced().await;
    for answer in [Answer::Drop, Answer::Html502, Answer::EmptyBody, Answer::HalfBody] {
        for place in PLACES {
            let before = world.atom.count(place);
            let run = run_with(&world, place, vec![answer.clone(); TRIES - 1]).await;
            assert_eq!(run["status"], "idle", "{answer:?} at {place}: {run}");
            assert_eq!(world.atom.count(place), before + TRIES);
            assert_whole(&world, place).await;
        }
    }
    assert_eq!(world.status().await["sync"]["failed_syncs"], 0);
}

/// How the reason begins for which a run fails that gets this answer there
/// once; `None`: it reads everything all the same.
fn found_out(answer: &Answer, place: &str) -> Option<String> {
    let is_later = matches!(place, "skills?page=2" | "skills?page=3");
    match (answer, place) {
        // Alone, and agreeing with itself: the skills it lacks give it away.
        (
            Answer::EmptyListing | Answer::BareEmptyListing | Answer::WrongTotal(100),
            "skills?page=1",
        ) => Some("skills: ".to_owned()),
        // The last page lacks what a larger total promises.
        (Answer::HalfPage, "skills?page=1") | (Answer::WrongTotal(9_999), "skills?page=3") => {
            Some(named(place))
        }
        (Answer::WrongTotal(_), _) => None,
        _ => is_later.then(|| named(place)),
    }
}

/// Pages that look like success and are not: half of one, an empty one, the
/// first one again, none or another total. None of them makes a skill
/// disappear, and where something was not read the run has failed.
#[tokio::test]
async fn pages_that_only_look_whole_delete_nothing() {
    let world = Stage::new().await.filled(SKILLS).synced().await;
    let head = world.head().await;
    let odd = [
        Answer::HalfPage,
        Answer::EmptyListing,
        Answer::BareEmptyListing,
        Answer::FirstPage,
        Answer::MissingTotal,
        Answer::WrongTotal(0),
        Answer::WrongTotal(100),
        Answer::WrongTotal(245),
        Answer::WrongTotal(9_999),
    ];
    for answer in odd {
        for place in PLACES {
            let case = format!("{answer:?} at {place}");
            let run = run_with(&world, place, vec![answer.clone()]).await;
            let expected = found_out(&answer, place);
            let status = if expected.is_some() { "error" } else { "idle" };
            assert_eq!(run["status"], status, "{case}: {run}");
            if let Some(begin) = expected {
                let error = run["last_error"].as_str().unwrap();
                assert!(error.starts_with(&begin), "{case}: {error}");
            }
            assert_whole(&world, &case).await;
            assert_eq!(world.sync().await["status"], "idle", "{case}");
        }
    }
    assert_eq!(world.head().await, head, "nothing was journalled");
}

/// A first run has nothing to compare with: what page 1 said is enough to see
/// that the rest did not come. What did come is taken all the same.
#[tokio::test]
async fn a_first_listing_that_is_read_by_half_is_an_error() {
    for (answer, taken, reason) in [
        (Answer::EmptyListing, 150, "skills, page 2: no skill of 0, after 100 came"),
        (Answer::BareEmptyListing, 150, "skills, page 2: the total is missing"),
        (Answer::MissingTotal, 250, "skills, page 2: the total is missing"),
        (Answer::FirstPage, 150, "skills, page 2: nothing but what came before"),
    ] {
        let stage = Stage::new().await.filled(SKILLS);
        stage.atom.script().extend("skills?page=2", [answer.clone()]);
        let world = stage.start().await;
        let run = world.ended(1).await;
        assert_eq!((&run["status"], &run["last_error"]), (&json!("error"), &json!(reason)));
        assert_eq!(world.status().await["cache"]["skills_count"], taken, "{answer:?}");
        assert_eq!(world.sync().await["status"], "idle");
        assert_whole(&world, reason).await;
    }
}

/// Every page empty with a total of zero: what Atom's client makes of an
/// outage. Skills are asked for by themselves: they exist, so that the listing
/// is no listing, and upstream is spared the rest.
#[tokio::test]
async fn no_skills_and_success_never_empties_the_cache() {
    let world = Stage::new().await.filled(SKILLS).synced().await;
    let head = world.head().await;
    let run = run_with(&world, "skills?page=1", vec![Answer::EmptyListing]).await;
    let reason = "skills: 100 exist that are not among the 0 listed";
    assert_eq!((&run["status"], &run["last_error"]), (&json!("error"), &json!(reason)));
    assert_eq!(world.atom.count("skill"), 100);
    assert_whole(&world, "an empty listing").await;
    assert_eq!(world.head().await, head);

    // The same while single skills cannot be had: that is an outage.
    world.atom.script().extend("skill", vec![Answer::Html502; 100]);
    let run = run_with(&world, "skills?page=1", vec![Answer::EmptyListing]).await;
    assert_eq!(run["status"], "error", "{run}");
    assert!(run["last_error"].as_str().unwrap().starts_with("one skill: "), "{run}");
    assert_whole(&world, "an outage behind an empty listing").await;
}

/// An empty listing of a marketplace that is empty is a success: upstream says
/// so of each skill.
#[tokio::test]
async fn a_marketplace_may_become_empty() {
    let world = Stage::new().await.filled(SKILLS).synced().await;
    for index in 0..SKILLS {
        world.atom.remove_skill(&skill_id(index));
    }
    assert_eq!(world.sync().await["status"], "idle");
    assert_eq!(world.status().await["cache"]["skills_count"], 0);
}

/// Everything away at once, for several runs: they are counted, and the first
/// one after it ends well.
#[tokio::test]
async fn a_long_outage_is_counted_and_ends() {
    let world = Stage::new().await.filled(SKILLS).synced().await;
    world.atom.set_down(true);
    for failures in 1..=3 {
        let run = world.sync().await;
        assert_eq!((&run["status"], &run["error_count"]), (&json!("error"), &json!(failures)));
    }
    assert_whole(&world, "while it is down").await;
    world.atom.remove_skill(&skill_id(3));
    world.atom.set_down(false);
    let run = world.sync().await;
    assert_eq!((&run["status"], &run["error_count"]), (&json!("idle"), &json!(0)));
    assert_eq!((&run["total_syncs"], &run["failed_syncs"]), (&json!(5), &json!(3)));
    world.assert_same(SKILLS).await;
}
