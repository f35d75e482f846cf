//! SIGKILL at the worst moments: between the decision and the send, and in the
//! middle of sending. And what the process does while it waits.

use std::time::Duration;

use futures_util::future::join_all;
use tidegate_fakes::fcm::answer::Answer;

use crate::push::world::{Install, World};
use crate::support::{bounded, eventually};

async fn registered(world: &World, count: usize) -> Vec<Install> {
    let installs: Vec<Install> = (0..count).map(Install::new).collect();
    let calls = world.calls();
    join_all(installs.iter().map(|install| calls.register(install))).await;
    installs
}

/// Waits until every device got its wake-up.
async fn all_delivered(world: &World, installs: &[Install]) {
    eventually("every device is woken", async || {
        let lacks = |install: &&Install| world.fcm.delivered(&install.token).is_empty();
        installs.iter().find(lacks).is_none().then_some(())
    })
    .await;
}

/// Wake-ups that were decided and not sent yet are sent by the next process.
#[tokio::test(flavor = "multi_thread")]
async fn wake_ups_survive_between_decision_and_send() {
    // One wake-up a minute: the others wait for the rate.
    let mut world = World::start(&[("push.project_per_minute", "1")]).await;
    let installs = registered(&world, 20).await;
    world.calls().make(&installs).await;
    bounded("the first", world.fcm.wait_for(1)).await;
    assert!(world.fcm.requests().len() <= 2);
    world.set("push.project_per_minute", "600000");
    world.kill_and_restart().await;
    all_delivered(&world, &installs).await;
}

/// Sends that were under way are taken up by the next process at once: it
/// retakes its own claims.
#[tokio::test(flavor = "multi_thread")]
async fn sends_under_way_are_taken_up_at_once() {
    let mut world = World::start(&[("push.project_per_minute", "600000")]).await;
    let installs = registered(&world, 20).await;
    for install in &installs {
        world.fcm.script(&install.token, [Answer::Hang]);
    }
    world.calls().make(&installs).await;
    bounded("all under way", world.fcm.wait_for(installs.len())).await;
    world.kill_and_restart().await;
    all_delivered(&world, &installs).await;
    assert!(world.log().contains("took back wake-ups claimed before the restart"));
}

/// While a send is under way that does not end, the process has next to
/// nothing to do, and none of it with the write lock in its hand.
#[tokio::test(flavor = "multi_thread")]
async fn a_tier_that_waits_is_idle() {
    const SPAN: Duration = Duration::from_secs(2);
    let world = World::start(&[("push.project_per_minute", "600000")]).await;
    let installs = registered(&world, 1).await;
    world.fcm.script(&installs[0].token, [Answer::Hang]);
    world.calls().make(&installs).await;
    bounded("under way", world.fcm.wait_for(1)).await;
    let Some(before) = world.cpu() else { return };
    tokio::time::sleep(SPAN).await;
    let used = world.cpu().unwrap().saturating_sub(before);
    crate::seed::say(&format!("idle with a send under way: {used:?} of CPU in {SPAN:?}"));
    assert!(used < SPAN / 8, "{used:?}");
}
