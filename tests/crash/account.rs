//! The account after the last trouble: every command, every device.

use std::collections::{HashMap, HashSet};

use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tidegate_protocol::command::CommandStatus;
use tidegate_protocol::id::{CommandId, DeviceId, StreamName};

use crate::crash::device::{Device, Log, Repeats};
use crate::crash::load::{AT_ONCE, Asked, Load};
use crate::support::Token;

/// How a command ended, and who reported of it.
struct Ended {
    status: CommandStatus,
    reporters: HashSet<String>,
}

type Ends = HashMap<CommandId, Ended>;

/// Waits for the end of everything and judges it.
pub(super) async fn settle(
    load: &Load,
    devices: &[Device],
    repeats: Repeats,
) -> Result<(), String> {
    load.ask_again().await?;
    let (mut ends, asked) = (Ends::new(), load.asked().clone());
    for some in asked.chunks(AT_ONCE) {
        let accepted = some.iter().filter_map(|asked| asked.accepted.as_ref());
        try_join_all(accepted.map(|accepted| ended(load, &accepted.id))).await?;
    }
    // One device may report what another one's result has ended.
    for each in devices {
        each.until("rid of its results", Log::has_reported).await?;
    }
    for some in asked.chunks(AT_ONCE) {
        let judged = some.iter().map(|asked| command(load, asked, devices, repeats));
        ends.extend(try_join_all(judged).await?);
    }
    if ends.len() != asked.len() {
        return Err("two keys made one command".to_owned());
    }
    try_join_all(devices.iter().map(|each| device(load, each, &asked, &ends, repeats))).await?;
    let mut counts = load.counts();
    counts.commands = ends.len();
    counts.expired = ends.values().filter(|end| end.status == CommandStatus::Expired).count();
    counts.published = load.published().len();
    counts.walks = load.walks().len();
    for device in devices {
        counts.entries += device.read(|log| log.told.len());
        counts.results += device.read(|log| log.confirmed.len());
    }
    Ok(())
}

/// Asks for a command until it has ended.
async fn ended(load: &Load, id: &CommandId) -> Result<Value, String> {
    const TURNS: usize = 6;
    let mut view = Value::Null;
    for _ in 0..TURNS {
        view = load.get(&format!("/api/v1/commands/{id}?wait_s=10"), None).await?;
        if view["status"] != "pending" && view["status"] != "sent" {
            return Ok(view);
        }
    }
    Err(format!("does not end: {view}"))
}

/// The command is there, and ended once: applied, at the first attempt unless
/// the clock jumped.
async fn command(
    load: &Load,
    asked: &Asked,
    devices: &[Device],
    repeats: Repeats,
) -> Result<(CommandId, Ended), String> {
    let id = &asked.accepted.as_ref().ok_or("not accepted")?.id;
    let view = ended(load, id).await?;
    let status: CommandStatus =
        serde_json::from_value(view["status"].clone()).map_err(|error| error.to_string())?;
    let may_be = match repeats {
        Repeats::Never => status == CommandStatus::Applied && view["attempts"] == 1,
        Repeats::WhenTimeJumps => {
            matches!(status, CommandStatus::Applied | CommandStatus::Expired)
        }
    };
    if !may_be {
        return Err(format!("not applied at once: {view}"));
    }
    let rows = view["timeline"].as_array().ok_or("no timeline")?;
    let results: Vec<&Value> = rows.iter().filter(|row| row["event"] == "result").collect();
    let deciding = results.iter().filter(|row| row["late"] != true).count();
    let expired = rows.iter().filter(|row| row["event"] == "expired").count();
    if deciding + expired != 1 || (deciding == 1) != (status == CommandStatus::Applied) {
        return Err(format!("decided {deciding} times, expired {expired} times: {view}"));
    }
    let named = results.iter().filter_map(|row| Some(row["device_id"].as_str()?.to_owned()));
    let reporters: HashSet<String> = named.collect();
    if repeats == Repeats::Never && reporters.len() != results.len() {
        return Err(format!("{} results of {} devices: {view}", results.len(), reporters.len()));
    }
    let seen = devices.iter().filter(|each| each.read(|log| log.seen.contains_key(id))).count();
    if seen == 0 && status == CommandStatus::Applied {
        return Err(format!("applied, and seen by nobody: {view}"));
    }
    Ok((id.clone(), Ended { status, reporters }))
}

fn concerns(asked: &Asked, device: &Device) -> bool {
    asked.user == device.user && asked.device.as_ref().is_none_or(|only| *only == device.id)
}

/// The device saw what it should, each attempt once, and nothing else; what was
/// confirmed to it is known; and it holds everything that there is.
async fn device(
    load: &Load,
    device: &Device,
    asked: &[Asked],
    ends: &Ends,
    repeats: Repeats,
) -> Result<(), String> {
    let own: HashSet<&CommandId> = asked
        .iter()
        .filter(|asked| concerns(asked, device))
        .filter_map(|asked| Some(&asked.accepted.as_ref()?.id))
        .collect();
    device
        .until("told of every end", |log| own.iter().all(|id| log.closed.contains_key(*id)))
        .await?;
    device.read(|log| {
        if let Some(fault) = log.faults.first() {
            return Err(format!("{}: {fault}", device.id));
        }
        for (id, attempts) in &log.seen {
            let is_first = attempts[..] == [1];
            let may_be = is_first || repeats == Repeats::WhenTimeJumps;
            if !may_be || !attempts.is_sorted_by(|a, b| a < b) || !own.contains(id) {
                return Err(format!("{} saw attempts {attempts:?} of {id}", device.id));
            }
        }
        for (id, told) in &log.closed {
            if !own.contains(id) || told[..] != [ends[id].status] {
                return Err(format!("{} was told that {id} ended: {told:?}", device.id));
            }
        }
        log.confirmed.iter().try_for_each(|id| is_known(&device.id, id, ends))
    })?;
    holds_everything(load, device).await
}

/// A result that was confirmed has its row.
fn is_known(device: &DeviceId, id: &CommandId, ends: &Ends) -> Result<(), String> {
    if ends.get(id).is_some_and(|end| end.reporters.contains(device.as_str())) {
        return Ok(());
    }
    Err(format!("{device} was told that its result of {id} is known; it is not"))
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
