//! Several nodes, and PostgreSQL.

use std::time::Duration;

use tidegate::sealing::Key;
use tidegate_fakes::provider::Rotation;

use crate::integrations::world::{OURA, STRAVA, Stage};
use crate::support::SecondNode;

/// Two nodes never refresh the same token twice, and one goes on when the other one
/// is gone.
#[tokio::test]
async fn nodes_share_the_work() {
    let Some(stage) = Stage::new().await.on_postgres().await else { return };
    // What one node seals, the other one has to open.
    let key = format!("[{:?}]", Key::random().text());
    let mut world = stage.set("sealing.keys", &key).start().await;
    let second = SecondNode::beside(&world.gateway).await;
    world.providers.oura.set_rotation(Rotation::SingleUse);
    world.providers.oura.fill("o1", 3);
    world.connect("ana", OURA, "o1").await;
    world.connect("bob", STRAVA, "1001").await;
    for _ in 0..3 {
        world.providers.oura.expire_access("o1");
        let view = world.sync("ana", OURA).await;
        assert_eq!(view["sync_status"], "idle", "{view}");
    }
    let refreshes = |world: &crate::integrations::world::World| {
        let requests = world.providers.oura.requests();
        requests.iter().filter(|r| r.body.contains("grant_type=refresh_token")).count()
    };
    assert_eq!(refreshes(&world), 3);
    // The other one takes over.
    world.gateway.stop().await;
    let calls = world.providers.oura.calls();
    world.gateway.move_clock(Duration::from_hours(1));
    // Longer than the harness waits for anything.
    for _ in 0..100 {
        world.gateway.pass_time(Duration::from_secs(11)).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        if world.providers.oura.calls() > calls {
            break;
        }
    }
    assert!(world.providers.oura.calls() > calls, "the other node goes on");
    second.stop().await;
}

/// The whole way on PostgreSQL.
#[tokio::test]
async fn everything_works_on_postgres() {
    let Some(stage) = Stage::new().await.on_postgres().await else { return };
    let world = stage.start().await;
    world.providers.strava.fill("1001", 5, 86_400);
    let view = world.connect("ana", STRAVA, "1001").await;
    assert_eq!(view["sync_status"], "idle", "{view}");
    world.has("ana", 5).await;
    world.providers.strava.expire_access("1001");
    world.sync("ana", STRAVA).await;
    world.phone("ana").delete("/api/v1/integrations/strava").await.expect(204);
    assert_eq!(world.view("ana", STRAVA).await["connected"], false);
}
