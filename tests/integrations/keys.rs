//! Keys: everything is sealed again, beside a gateway, and after a kill.

use std::path::Path;
use std::process::Stdio;

use tidegate::app::rotate::{Rotated, rotate};
use tidegate::config::Config;
use tidegate::sealing::Key;
use tidegate_clock::Clock;
use tokio::process::Command;

use crate::crash::process::program;
use crate::integrations::world::{GOOGLE, OURA, STRAVA, Stage, World};
use crate::support::bounded;

fn keys(keys: &[&Key]) -> String {
    let keys: Vec<String> = keys.iter().map(|key| format!("{:?}", key.text())).collect();
    format!("[{}]", keys.join(","))
}

async fn sealed(world: &World) -> Vec<String> {
    let readers = world.gateway.running().state().store.readers();
    let rows = tidegate::store::integration::sealed(readers, ("", ""), 1_000).await.unwrap();
    rows.into_iter()
        .flat_map(|row| [row.access_token, row.refresh_token, row.refresh_token_before])
        .flatten()
        .collect()
}

async fn run(config: &Config) -> Rotated {
    bounded("rotate-keys", Box::pin(rotate(config, &Clock::system()))).await.unwrap()
}

/// A new key in front, beside a gateway that runs with both; then the old one is
/// not needed any more.
#[tokio::test]
async fn everything_is_sealed_with_the_new_key() {
    let (old, new) = (Key::random(), Key::random());
    let mut world = Stage::new().await.set("sealing.keys", &keys(&[&old])).start().await;
    for number in 0..5 {
        let user = format!("user{number}");
        world.connect(&user, STRAVA, &(4_000 + number).to_string()).await;
        world.connect(&user, OURA, &format!("o{number}")).await;
    }
    world.begin("ana", GOOGLE, None).await;
    assert!(sealed(&world).await.iter().all(|text| text.contains(old.id())));
    world.gateway.change(|config| config.sealing.keys = vec![new.text(), old.text()]);
    world.gateway.restart().await;
    let config = world.gateway.config().clone();
    let done = run(&config).await;
    assert_eq!((done.resealed, done.unreadable, done.left), (11, 0, 0));
    assert_eq!(done.key, new.id());
    let texts = sealed(&world).await;
    assert_eq!(texts.len(), 20);
    assert!(texts.iter().all(|text| text.contains(new.id())));
    // Again there is nothing to do.
    assert_eq!(run(&config).await.resealed, 0);
    world.gateway.change(|config| config.sealing.keys = vec![new.text()]);
    world.gateway.restart().await;
    let view = world.sync("user3", STRAVA).await;
    assert_eq!(view["sync_status"], "idle", "{view}");
    let readers = world.gateway.running().state().store.readers();
    let noted = tidegate::store::audit::about(readers, "sealing").await.unwrap();
    assert!(noted.iter().all(|row| row.action == "keys.rotate"));
    assert_eq!(noted.len(), 2);
    assert!(noted.iter().any(|row| row.detail.as_ref().unwrap().contains("\"resealed\":11")));
}

/// A key that is not there is an error of its integrations until it is back.
#[tokio::test]
async fn an_unknown_key_is_said() {
    let (old, new) = (Key::random(), Key::random());
    let mut world = Stage::new().await.set("sealing.keys", &keys(&[&old])).start().await;
    world.connect("ana", STRAVA, "1001").await;
    world.gateway.change(|config| config.sealing.keys = vec![new.text()]);
    world.gateway.restart().await;
    let view = world.sync("ana", STRAVA).await;
    assert_eq!(view["sync_error"], "unknown_key", "{view}");
    assert!(view["sync_error_detail"].as_str().unwrap().contains(old.id()), "{view}");
    let done = run(&world.gateway.config().clone()).await;
    assert_eq!((done.resealed, done.unreadable), (0, 1));
    world.gateway.change(|config| config.sealing.keys = vec![new.text(), old.text()]);
    world.gateway.restart().await;
    let view = world.sync("ana", STRAVA).await;
    assert_eq!(view["sync_status"], "idle", "{view}");
}

async fn tidegate(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(program())
        .args(arguments)
        .env_clear()
        .env("TIDEGATE_DATA_DIR", folder)
        .stdin(Stdio::null())
        .output();
    let output = bounded("the program", output).await.unwrap();
    (output.status.success(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
}

/// The command line makes keys, and says what was rotated.
#[tokio::test]
async fn the_command_line_makes_keys() {
    let folder = tempfile::tempdir().unwrap();
    let (is_done, said) = tidegate(folder.path(), &["sealing-key"]).await;
    assert!(is_done && Key::parse(said.trim()).is_some(), "{said}");
    let (is_done, said) = tidegate(folder.path(), &["rotate-keys"]).await;
    assert!(!is_done && said.contains("`sealing.keys` is empty"), "{said}");
}
