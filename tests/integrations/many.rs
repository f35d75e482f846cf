//! A hundred runs at once: each user has what is the user's own, and one that fails
//! touches no other.

use futures_util::future::join_all;
use reqwest::Method;
use tidegate_fakes::provider::answer::Answer as Said;

use crate::integrations::world::{OURA, World};

const USERS: usize = 100;

/// Days of data that each of them has.
const DAYS: u64 = 3;

/// The one whom Oura fails.
const UNLUCKY: usize = 42;

#[tokio::test]
async fn a_hundred_syncs_at_once_touch_no_other() {
    let world = World::start().await;
    let names = |number: usize| (format!("user{number}"), (5_000 + number).to_string());
    for number in 0..USERS {
        let (user, account) = names(number);
        world.providers.oura.fill(&account, DAYS);
        world.authorize(&user, OURA, &account).await.expect(200);
    }
    join_all((0..USERS).map(|number| {
        let world = &world;
        async move { world.rests(&names(number).0, OURA).await }
    }))
    .await;
    let own = world.activities(&names(0).0).await;
    assert!(!own.is_empty());
    let (_, account) = names(UNLUCKY);
    world.providers.oura.script().set_standing(&format!("@{account}"), Some(Said::Status(500)));
    let path = format!("/api/v1/integrations/{OURA}/sync");
    let asked = (0..USERS).map(|number| {
        let (world, path) = (&world, &path);
        async move { world.phone(&names(number).0).call(Method::POST, path, None).await }
    });
    for answer in join_all(asked).await {
        answer.expect(202);
    }
    for number in 0..USERS {
        let (user, account) = names(number);
        let view = world.rests(&user, OURA).await;
        let expected = if number == UNLUCKY { "error" } else { "idle" };
        assert_eq!(view["sync_status"], expected, "{user}: {view}");
        let mut ids = world.activities(&user).await;
        assert_eq!(ids.len(), own.len(), "{user}: what was there stays");
        ids.dedup();
        assert_eq!(ids.len(), own.len(), "{user}: nothing is doubled");
        let list = world.phone(&user).get("/api/v1/activities?limit=500").await.expect(200);
        let of_others =
            world.providers.oura.items(&account, tidegate_fakes::provider::oura::WORKOUT);
        let theirs: Vec<&str> = of_others.iter().map(|item| item.id.as_str()).collect();
        for item in list["items"].as_array().unwrap() {
            assert!(theirs.contains(&item["source_id"].as_str().unwrap()), "{user}: {item}");
        }
    }
}
