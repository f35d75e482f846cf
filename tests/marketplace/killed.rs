//! SIGKILL in the middle of a listing: the next process goes on where this
//! one was, and then reads everything once more in one piece.

use serde_json::{Value, json};
use tidegate_fakes::atom::answer::Answer;
use tidegate_fakes::atom::skill_id;

use crate::crash::data::Data;
use crate::crash::process::Process;
use crate::marketplace::world::Stage;
use crate::support::{Token, eventually};

/// The page that hangs when the process is killed.
const PAGE: usize = 5;

async fn get(process: &Process, path: &str) -> Value {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.get(format!("http://{}{path}", process.address()));
    let answer = request.bearer_auth(Token::admin("operator").sign()).send().await.unwrap();
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_goes_on_where_it_was() {
    let Stage { atom, .. } = Stage::new().await.filled(1_000);
    let variables = [
        ("BASE_URL", atom.url()),
        ("TOKEN", atom.token().to_owned()),
        ("BACKOFF_MS", "[10, 20]".to_owned()),
        // How long the next process waits for the lease of the dead one.
        ("LEASE_S", "5".to_owned()),
    ];
    let variables = variables.map(|(name, value)| (format!("TIDEGATE_MARKETPLACE__{name}"), value));
    let data = Data::fresh().await;
    let hanging = format!("skills?page={PAGE}");
    atom.script().extend(&hanging, [Answer::Hang]);

    let mut process = Process::start_with(&data, &variables).await.unwrap();
    atom.request_seen(&hanging, 1).await;
    let status = get(&process, "/api/v1/admin/sync/status").await;
    assert_eq!(status["sync"]["status"], "syncing");
    assert_eq!(status["cache"]["skills_count"], 100 * (PAGE - 1), "each page is stored");
    process.kill().await;
    let before = atom.requests().len();
    // Its own listing has no page for this one: only a run in one piece sees.
    atom.remove_skill(&skill_id(3));

    let process = Process::start_with(&data, &variables).await.unwrap();
    atom.request_seen(&hanging, 3).await;
    let ended = eventually("two runs", async || {
        let status = get(&process, "/api/v1/admin/sync/status").await;
        let sync = &status["sync"];
        (sync["total_syncs"] == 2 && sync["status"] == "idle").then_some(status)
    });
    let status = ended.await;
    assert_eq!(status["sync"]["successful_syncs"], 2);
    assert_eq!(status["cache"]["skills_count"], 999);
    let asked: Vec<_> =
        atom.requests_after(before).into_iter().map(|request| request.addressee).collect();
    let pages = |from: usize| (from..=10).map(|page| format!("skills?page={page}"));
    let whole = std::iter::once("categories".to_owned()).chain(pages(1));
    // The skill that moved to a page read before may be asked for by itself.
    let asked: Vec<_> = asked.into_iter().filter(|who| !who.starts_with("skill/")).collect();
    assert_eq!(asked, pages(PAGE).chain(whole).collect::<Vec<_>>(), "{}", process.log());
}

/// The same when the node is stopped in good order: nothing is read twice but
/// the page that was under way, and no run is counted as failed.
#[tokio::test]
async fn a_run_that_is_stopped_goes_on_where_it_was() {
    let stage = Stage::new().await.filled(400);
    stage.atom.script().extend("skills?page=3", [Answer::Hang]);
    let mut world = stage.start().await;
    world.atom.request_seen("skills?page=3", 1).await;
    world.gateway.restart().await;
    let run = world.ended(2).await;
    assert_eq!((&run["status"], &run["failed_syncs"]), (&json!("idle"), &json!(0)));
    world.assert_same(400).await;
    for (page, count) in [(1, 2), (2, 2), (3, 3), (4, 2)] {
        assert_eq!(world.atom.count(&format!("skills?page={page}")), count, "page {page}");
    }
}
