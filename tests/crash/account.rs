//! The account after the last kill: every command, every device.

use std::collections::HashSet;

use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tidegate_protocol::command::CommandStatus;
use tidegate_protocol::id::{CommandId, StreamName};

use crate::crash::device::Device;
use crate::crash::load::{Asked, Load};
use crate::support::Token;

/// Waits for the end of everything and judges it. How many commands there
/// were.
pub(super) async fn settle(load: &Load, devices: &[Device]) -> Result<usize, String> {
    load.ask_again().await?;
    let asked = load.asked().clone();
    try_join_all(asked.iter().map(|asked| command(load, asked, devices))).await?;
    let ids: HashSet<_> = asked.iter().filter_map(|asked| asked.accepted.clone()).collect();
    if ids.len() != asked.len() {
        return Err("two keys made one command".to_owned());
    }
    try_join_all(devices.iter().map(|each| device(load, each, &asked))).await?;
    Ok(asked.len())
}

/// The command is there, and was applied once.
async fn command(load: &Load, asked: &Asked, devices: &[Device]) -> Result<(), String> {
    let id = asked.accepted.as_ref().ok_or("not accepted")?;
    let view = load.get(&format!("/api/v1/commands/{id}?wait_s=10"), None).await?;
    if view["status"] != "applied" || view["attempts"] != 1 {
        return Err(format!("not applied at once: {view}"));
    }
    let rows = view["timeline"].as_array().ok_or("no timeline")?;
    let results: Vec<&Value> = rows.iter().filter(|row| row["event"] == "result").collect();
    let deciding = results.iter().filter(|row| row["late"] != true).count();
    let reporters: HashSet<_> = results.iter().map(|row| row["device_id"].as_str()).collect();
    if deciding != 1 || reporters.len() != results.len() {
        return Err(format!("decided {deciding} times, {} results: {view}", results.len()));
    }
    let seen = devices.iter().filter(|each| each.read(|log| log.seen.contains_key(id))).count();
    if seen == 0 { Err(format!("applied, and seen by nobody: {view}")) } else { Ok(()) }
}

fn concerns(asked: &Asked, device: &Device) -> bool {
    asked.user == device.user && asked.device.as_ref().is_none_or(|only| *only == device.id)
}

/// The device saw what it should, once, and nothing else; and it holds
/// everything that there is.
async fn device(load: &Load, device: &Device, asked: &[Asked]) -> Result<(), String> {
    let own: HashSet<CommandId> = asked
        .iter()
        .filter(|asked| concerns(asked, device))
        .filter_map(|asked| asked.accepted.clone())
        .collect();
    device
        .until("told of every end", |log| own.iter().all(|id| log.closed.contains_key(id)))
        .await?;
    device.read(|log| {
        if let Some(fault) = log.faults.first() {
            return Err(format!("{}: {fault}", device.id));
        }
        for (id, times) in &log.seen {
            if *times != 1 || !own.contains(id) {
                return Err(format!("{} saw {id} {times} times", device.id));
            }
        }
        for (id, ends) in &log.closed {
            if ends[..] != [CommandStatus::Applied] || !own.contains(id) {
                return Err(format!("{} was told that {id} ended: {ends:?}", device.id));
            }
        }
        Ok(())
    })?;
    holds_everything(load, device).await
}

async fn holds_everything(load: &Load, device: &Device) -> Result<(), String> {
    let own = StreamName::of_user(&device.user);
    let cursor = device.read(|log| log.cursor.clone()).ok_or("no cursor")?;
    let mut query = form(&[
        ("device_id", device.id.as_str()),
        ("cursors", &json!({ own.as_str(): cursor }).to_string()),
    ]);
    query.insert_str(0, "/api/v1/sync/poll?");
    let token = Token::device(device.user.as_str()).sign();
    let answer = load.get(&query, Some(&token)).await?;
    let status = &answer["streams"][own.as_str()];
    let head = status["head"].as_i64().unwrap_or_default();
    let is_whole = answer["frames"].as_array().is_some_and(Vec::is_empty);
    if status["verdict"] == "resumed" && is_whole && cursor.seq.get() <= head {
        return Ok(());
    }
    Err(format!("{} lacks something at {}: {answer}", device.id, cursor.seq))
}

fn form(pairs: &[(&str, &str)]) -> String {
    let mut url = reqwest::Url::parse("http://gateway/").expect("a fixed address");
    url.query_pairs_mut().extend_pairs(pairs);
    url.query().unwrap_or_default().to_owned()
}
