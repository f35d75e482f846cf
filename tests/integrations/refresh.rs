//! Tokens: refreshed before they end, rotated without being lost, and once where
//! they are not accepted.

use std::time::Duration;

use tidegate_entity::integration::Model;
use tidegate_fakes::provider::Rotation;
use tidegate_fakes::provider::answer::Answer as Said;

use crate::integrations::world::{GOOGLE, OURA, STRAVA, World};
use crate::support::eventually;

async fn row(world: &World, user: &str, provider: &str) -> Model {
    let readers = world.gateway.running().state().store.readers();
    let key = (user.to_owned(), provider.to_owned());
    tidegate::store::integration::load(readers, &key).await.unwrap().unwrap()
}

fn refreshes(world: &World, provider: &str) -> usize {
    let requests = world.providers.of(provider).requests();
    requests.iter().filter(|request| request.body.contains("grant_type=refresh_token")).count()
}

/// Tokens that end within half an hour are refreshed, with no run in between.
#[tokio::test]
async fn tokens_are_refreshed_before_they_end() {
    let world = World::start().await;
    world.connect("ana", STRAVA, "1001").await;
    let before = row(&world, "ana", STRAVA).await;
    // Only the hourly look: runs hang.
    world.providers.strava.script().set_standing("list", Some(Said::Hang));
    world.pass(Duration::from_hours(4)).await;
    world.look().await;
    assert_eq!(refreshes(&world, STRAVA), 0, "more than half an hour is left");
    world.pass(Duration::from_mins(105)).await;
    eventually("the refresh", async || {
        (row(&world, "ana", STRAVA).await.token_version > before.token_version).then_some(())
    })
    .await;
    let after = row(&world, "ana", STRAVA).await;
    assert_ne!(after.access_token, before.access_token);
    assert!(after.token_expires_at > before.token_expires_at);
}

/// A token that ended while the gateway was away is refreshed before it is used; a
/// token that is not accepted is, once.
#[tokio::test]
async fn a_token_that_is_not_accepted_is_refreshed_once() {
    let world = World::start().await;
    world.connect("ana", OURA, "o1").await;
    world.providers.oura.fill("o1", 2);
    world.providers.oura.expire_access("o1");
    let view = world.sync("ana", OURA).await;
    assert_eq!(view["sync_status"], "idle", "{view}");
    assert_eq!(world.activities("ana").await.len(), 2);
    assert_eq!(refreshes(&world, OURA), 1);
    let row = row(&world, "ana", OURA).await;
    assert_eq!(row.refresh_token_before, None, "the new access token worked");
    let texts = format!("{row:?}");
    let pair = world.providers.oura.pairs_of("o1").pop().unwrap();
    assert!(!texts.contains(&pair.access_token) && !texts.contains(&pair.refresh_token));
}

/// Not accepted after that: the user has to connect again, nothing is asked until
/// then, and then all is well.
#[tokio::test]
async fn a_second_refusal_needs_a_reconnect() {
    let world = World::start().await;
    world.run_of("1001", 1, 3);
    world.connect("ana", STRAVA, "1001").await;
    world.providers.strava.script().set_standing("list", Some(Said::Status(401)));
    let view = world.sync("ana", STRAVA).await;
    assert_eq!(view["sync_error"], "reconnect_required", "{view}");
    assert_eq!(refreshes(&world, STRAVA), 1);
    assert_eq!(view["connected"], true, "{view}");
    let path = "/api/v1/integrations/strava/sync";
    let again = world.phone("ana").call(reqwest::Method::POST, path, None).await;
    again.expect_error(409, "reconnect_required");
    let calls = world.providers.strava.calls();
    world.pass(Duration::from_hours(7)).await;
    world.look().await;
    assert_eq!(world.providers.strava.calls(), calls, "calls end, refreshes included");
    world.providers.strava.script().set_standing("list", None);
    let view = world.connect("ana", STRAVA, "1001").await;
    assert_eq!(view["sync_status"], "idle", "{view}");
}

/// A refresh token that is dead ends the calls; a token endpoint that is down does
/// not.
#[tokio::test]
async fn only_a_dead_refresh_token_is_final() {
    let world = World::start().await;
    world.connect("ana", GOOGLE, "g1").await;
    world.providers.google.expire_access("g1");
    world.providers.google.script().extend("token", [Said::Status(503)]);
    let view = world.sync("ana", GOOGLE).await;
    assert_eq!(view["sync_error"], "provider_unavailable", "{view}");
    let view = world.sync("ana", GOOGLE).await;
    assert_eq!(view["sync_status"], "idle", "{view}");
    world.providers.google.expire_access("g1");
    world.providers.google.kill_refresh("g1");
    let view = world.sync("ana", GOOGLE).await;
    assert_eq!(view["sync_error"], "reconnect_required", "{view}");
}

/// Rotated refresh tokens are used one after the other, each once.
#[tokio::test]
async fn rotated_tokens_follow_each_other() {
    let world = World::start().await;
    world.providers.oura.set_rotation(Rotation::SingleUse);
    world.connect("ana", OURA, "o1").await;
    for _ in 0..5 {
        world.providers.oura.expire_access("o1");
        let view = world.sync("ana", OURA).await;
        assert_eq!(view["sync_status"], "idle", "{view}");
    }
    assert_eq!(refreshes(&world, OURA), 5);
}

/// The answer with the new tokens does not come; where the provider takes the old
/// one again, the user notices nothing.
#[tokio::test]
async fn an_answer_that_is_lost_locks_nobody_out() {
    for rotation in [Rotation::Stays, Rotation::Repeated, Rotation::Forgiving] {
        let world = World::start().await;
        world.providers.strava.set_rotation(rotation);
        world.connect("ana", STRAVA, "1001").await;
        world.providers.strava.expire_access("1001");
        world.providers.strava.script().extend("token", [Said::OkThenDrop]);
        let view = world.sync("ana", STRAVA).await;
        assert_eq!(view["sync_error"], "provider_unavailable", "{rotation:?} {view}");
        let view = world.sync("ana", STRAVA).await;
        assert_eq!(view["sync_status"], "idle", "{rotation:?} {view}");
    }
}

/// The gateway is gone between the provider's answer and its use: the new pair was
/// stored by then, or the old one is tried again.
#[tokio::test]
async fn a_crash_around_a_refresh_locks_nobody_out() {
    let mut world = World::start().await;
    world.providers.strava.set_rotation(Rotation::Forgiving);
    world.connect("ana", STRAVA, "1001").await;
    for said in [Said::Hang, Said::Slow(Duration::from_millis(50))] {
        world.providers.strava.expire_access("1001");
        world.providers.strava.script().extend("token", [said]);
        let known = refreshes(&world, STRAVA);
        let path = "/api/v1/integrations/strava/sync";
        world.phone("ana").call(reqwest::Method::POST, path, None).await.expect(202);
        eventually("the refresh", async || (refreshes(&world, STRAVA) > known).then_some(())).await;
        world.gateway.restart().await;
        // A claim of before has to run out.
        world.pass(Duration::from_mins(2)).await;
        let view = world.stands("ana", STRAVA, |view| view["sync_status"] == "idle").await;
        assert!(view["sync_error"].is_null(), "{view}");
    }
}

/// Both refresh tokens are tried: which one the provider knows depends on how far it
/// came.
#[tokio::test]
async fn one_refused_the_other_is_tried() {
    let world = World::start().await;
    world.providers.oura.set_rotation(Rotation::SingleUse);
    world.connect("ana", OURA, "o1").await;
    // The newest one was rotated and stored; its access token was never used.
    world.providers.oura.expire_access("o1");
    world.providers.oura.script().extend("list", [Said::Status(401), Said::Status(500)]);
    let view = world.sync("ana", OURA).await;
    assert_eq!(view["sync_error"], "provider_unavailable", "{view}");
    let kept = row(&world, "ana", OURA).await;
    assert!(kept.refresh_token_before.is_some(), "kept until the new access token works");
    // The provider lost the newest one, and knows only the one before.
    world.providers.oura.expire_access("o1");
    world
        .providers
        .oura
        .script()
        .extend("token", [Said::Text(400, r#"{"error":"invalid_grant"}"#.to_owned())]);
    let known = refreshes(&world, OURA);
    let _ = world.sync("ana", OURA).await;
    assert_eq!(refreshes(&world, OURA) - known, 2);
}
