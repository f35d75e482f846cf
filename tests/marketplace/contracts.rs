//! The three contracts, and the settings that a deployment of Atom brings
//! along.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::json;
use tidegate_fakes::atom::{Generation, skill_id};
use tokio::process::Command;

use crate::marketplace::world::Stage;
use crate::support::{Gateway, bounded};

/// Listing, socket and a refresh in each generation, as far as paths and
/// headers differ; categories wrapped, as the requirements have them, and
/// bare, as the clients do.
#[tokio::test]
async fn each_contract_is_spoken() {
    for generation in [Generation::A, Generation::B, Generation::C] {
        for is_wrapped in [true, false] {
            let stage = Stage::of(generation).await.filled(120).with_socket();
            stage.atom.wrap_categories(is_wrapped);
            let world = stage.synced().await;
            world.assert_same(120).await;
            assert_eq!(world.categories().await.len(), 8, "{generation:?} {is_wrapped}");
            let id = skill_id(5);
            world.atom.edit_skill(&id, |skill| skill["version"] = json!("3.0.0"));
            world.atom.announce_skill(&id);
            world.skill_is(&id, |skill| skill["data"]["version"] == "3.0.0").await;
            // More than a twentieth: each is asked for by itself.
            for index in 10..20 {
                world.atom.remove_skill(&skill_id(index));
            }
            world.sync().await;
            assert_eq!(world.atom.count("skill"), 10);
            world.assert_same(120).await;
            let requests = world.atom.requests();
            let refused: Vec<_> =
                requests.iter().filter(|request| request.answer == "unauthorized").collect();
            assert!(refused.is_empty(), "{refused:?}");
        }
    }
}

/// A gateway without a marketplace serves all else, and says so.
#[tokio::test]
async fn a_marketplace_that_is_off_is_off() {
    let gateway = Gateway::start().await;
    let operator = gateway.caller("operator", &crate::support::Token::admin("o").sign()).quiet();
    for path in ["sync/trigger", "sync/ratings", "websocket/reconnect"] {
        let answer = operator.post(&format!("/api/v1/admin/{path}"), &json!({})).await;
        answer.expect_error(501, "not_supported");
    }
    assert_eq!(operator.get("/api/v1/admin/sync/config").await.expect(200)["enabled"], false);
    let health = operator.without_token().get("/health/sync").await.expect(200);
    assert_eq!(
        (&health["status"], &health["scheduler_running"]),
        (&json!("healthy"), &json!(false))
    );
    assert_eq!(health["details"], "no marketplace is configured");

    let stage = Stage::new().await.filled(5).set("enabled", "false");
    let world = stage.start().await;
    let answer = world.operator().quiet().post("/api/v1/admin/sync/trigger", &json!({})).await;
    answer.expect_error(501, "not_supported");
    assert!(world.atom.requests().is_empty());
}

/// Only admins have a say.
#[tokio::test]
async fn the_admin_calls_need_the_role() {
    let world = Stage::new().await.filled(5).synced().await;
    for path in ["sync/status", "sync/config", "websocket/status", "ratings/failed"] {
        let answer = world.user().get(&format!("/api/v1/admin/{path}")).await;
        answer.expect_error(403, "forbidden");
    }
    for path in ["sync/trigger", "sync/ratings", "websocket/disable", "websocket/enable"] {
        let answer = world.user().post(&format!("/api/v1/admin/{path}"), &json!({})).await;
        answer.expect_error(403, "forbidden");
    }
    assert_eq!(world.status().await["sync"]["total_syncs"], 1);
}

fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(|deps| deps.parent()).unwrap();
    folder.join(format!("tidegate{}", std::env::consts::EXE_SUFFIX))
}

/// `tidegate check-config` with these variables only: whether it is content,
/// and what it says.
async fn check_config(variables: &[(&str, &str)]) -> (bool, String) {
    let mut command = Command::new(program());
    command.arg("check-config").env_clear().envs(variables.iter().copied()).kill_on_drop(true);
    let output = bounded("check-config", command.output()).await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let said = format!("{}{}", text(output.stdout), text(output.stderr));
    (output.status.success(), said)
}

/// The section of the marketplace in what is in force.
async fn in_force(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    let (is_content, said) = check_config(variables).await;
    assert!(is_content, "{said}");
    let lines = said.lines().skip_while(|line| *line != "[marketplace]").skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    let pairs = lines.filter_map(|line| line.split_once(" = "));
    pairs.map(|(key, value)| (key.to_owned(), value.trim_matches('"').to_owned())).collect()
}

/// Variables of the origin system are understood; the gateway's own ones
/// count more; wrong ones are refused by their own name.
#[tokio::test]
async fn variables_of_atom_are_understood() {
    let of_atom = [
        ("ATOM_SAAS_API_URL", "https://market.example"),
        ("ATOM_SAAS_API_TOKEN", "at_saas_0123456789abcdef"),
        ("ATOM_SAAS_WS_URL", "wss://market.example/ws"),
        ("ATOM_SAAS_WS_ENABLED", "False"),
        ("ATOM_SAAS_WS_HEARTBEAT_INTERVAL", "20"),
        ("ATOM_SAAS_WS_RECONNECT_ATTEMPTS", "10"),
        ("ATOM_SAAS_SYNC_INTERVAL_MINUTES", "20"),
        ("ATOM_SAAS_RATING_SYNC_INTERVAL_MINUTES", "60"),
        ("ATOM_SAAS_CONFLICT_STRATEGY", "Local_Wins"),
        ("ATOM_SAAS_API_TIMEOUT_SECONDS", "12"),
        ("ATOM_SAAS_CACHE_TTL", "7200"),
        ("MARKETPLACE_ENABLED", "true"),
    ];
    let settings = in_force(&of_atom).await;
    for (key, value) in [
        ("enabled", "true"),
        ("base_url", "https://market.example"),
        ("ws_enabled", "false"),
        ("ws_heartbeat_s", "20"),
        ("ws_attempts", "10"),
        ("interval_s", "1200"),
        ("rating_interval_s", "3600"),
        ("strategy", "local_wins"),
        ("timeout_s", "12"),
        ("ttl_s", "7200"),
    ] {
        assert_eq!(settings[key].trim_end_matches('/'), value, "{key}");
    }
    assert!(!settings["token"].contains("0123456789"), "{}", settings["token"]);

    let mut both = of_atom.to_vec();
    both.push(("TIDEGATE_MARKETPLACE__INTERVAL_S", "600"));
    both.push(("TIDEGATE_MARKETPLACE__STRATEGY", "merge"));
    let settings = in_force(&both).await;
    assert_eq!((&*settings["interval_s"], &*settings["strategy"]), ("600", "merge"));
    assert_eq!(settings["ttl_s"], "7200", "the others count still");

    for (variable, value) in [
        ("ATOM_SAAS_SYNC_INTERVAL_MINUTES", "4"),
        ("ATOM_SAAS_SYNC_INTERVAL_MINUTES", "often"),
        ("ATOM_SAAS_CONFLICT_STRATEGY", "longer_wins"),
        ("ATOM_SAAS_WS_ENABLED", "perhaps"),
        ("ATOM_SAAS_API_URL", "market.example"),
    ] {
        let (is_content, said) = check_config(&[(variable, value)]).await;
        let key = variable.trim_start_matches("ATOM_SAAS_");
        assert!(
            !is_content && said.contains("marketplace") | said.contains(key),
            "{variable}={value}: {said}"
        );
    }
}
