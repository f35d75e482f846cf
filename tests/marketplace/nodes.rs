//! Two gateways on one database: one of them speaks with the marketplace.

use serde_json::json;

use crate::marketplace::world::Stage;
use crate::support::{SecondNode, Token, eventually};

/// One polls; the other one serves, takes orders for it, and takes over when
/// it is stopped.
#[tokio::test]
async fn one_of_two_nodes_polls_and_the_other_takes_over() {
    let stage = Stage::new().await.filled(250).with_socket().set("lease_s", "5");
    let Some(stage) = stage.on_postgres().await else { return };
    let mut world = stage.synced().await;
    let second = SecondNode::beside(&world.gateway).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = |path: &str| format!("http://{}{path}", second.address());
    let token = Token::admin("operator").sign();

    // An order at the node that does not lead.
    world.atom.edit_skill(&skill_of(9), |skill| skill["name"] = json!("Renamed"));
    let request = http.post(url("/api/v1/admin/sync/trigger")).bearer_auth(&token).json(&json!({}));
    assert_eq!(request.send().await.unwrap().status(), 202);
    world.ended(2).await;
    world.assert_same(250).await;
    assert_eq!(world.atom.count("skills"), 6, "one node polls");
    assert_eq!((world.atom.sockets(), world.atom.count("ws")), (1, 1), "one node listens");

    // The leader goes; the other one takes its lease and opens a socket.
    world.gateway.stop().await;
    world.atom.sockets_gone().await;
    world.atom.socket_connected().await;
    world.atom.edit_skill(&skill_of(10), |skill| skill["name"] = json!("Renamed too"));
    world.atom.announce_skill(&skill_of(10));
    let path = format!("/api/v1/marketplace/skills/{}", skill_of(10));
    eventually("the second node hears it", async || {
        let answer = http.get(url(&path)).bearer_auth(&token).send().await.unwrap();
        answer.text().await.unwrap().contains("Renamed too").then_some(())
    })
    .await;
    second.stop().await;
}

fn skill_of(index: usize) -> String {
    tidegate_fakes::atom::skill_id(index)
}
