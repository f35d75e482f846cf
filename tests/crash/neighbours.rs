//! Others that use the gateway at the same time: all kinds of calls, of which
//! none may fail in another way than to be tried again.

use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::crash::load::{Load, Said};
use crate::seed;
use crate::support::Token;

/// Between two calls, at most.
const PAUSE_MS: u64 = 40;

/// A user of their own: what becomes of their commands is not looked at.
const USER: &str = "neighbour";

/// Calls until `end`.
pub(super) async fn live(load: &Load, seed: u64, end: &CancellationToken) -> Result<(), String> {
    let mut rng = seed::rng(seed);
    let device = Uuid::from_u128(rng.random()).to_string();
    while !end.is_cancelled() {
        match rng.random_range(0..6) {
            0 => publish(load, &mut rng).await?,
            1 => batch(load).await?,
            2 => create_and_cancel(load).await?,
            _ => use_device(load, &device, &mut rng).await?,
        }
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..PAUSE_MS))).await;
    }
    Ok(())
}

fn command() -> Value {
    json!({ "user_id": USER, "data_type": "steps", "value": { "n": 1 } })
}

/// The body of an answer with this status.
fn body(said: Said, expected: StatusCode) -> Result<Option<Value>, String> {
    match said {
        Said::Answered(status, text) if status == expected => {
            serde_json::from_str(&text).map(Some).map_err(|error| error.to_string())
        }
        Said::Answered(status, text) => Err(format!("{status} instead of {expected}: {text}")),
        Said::Refused | Said::Cut => Ok(None),
    }
}

async fn post(load: &Load, path: &str, token: Option<&str>, body: &Value) -> Result<Said, String> {
    load.send(load.request(Method::POST, path, token).json(body)).await
}

async fn publish(load: &Load, rng: &mut StdRng) -> Result<(), String> {
    let id = format!("r{}", rng.random_range(0..5));
    let record = json!({ "collection": "items", "id": id, "op": "put", "data": { "n": 1 } });
    let records = json!({ "records": [record] });
    let said = post(load, "/api/v1/streams/news/records", None, &records).await?;
    if let Some(answer) = body(said, StatusCode::ACCEPTED)? {
        let seq = answer["seq"].as_i64().ok_or_else(|| answer.to_string())?;
        let version = answer["versions"][0].as_i64().ok_or_else(|| answer.to_string())?;
        load.was_published(seq, id, version);
    }
    Ok(())
}

async fn batch(load: &Load) -> Result<(), String> {
    let commands = json!({ "commands": [command(), command()] });
    let said = post(load, "/api/v1/commands/batch", None, &commands).await?;
    let Some(answer) = body(said, StatusCode::MULTI_STATUS)? else { return Ok(()) };
    let rows = answer["results"].as_array().ok_or_else(|| answer.to_string())?;
    match rows.iter().find(|row| row["status"] != 202 && row["status"] != 503) {
        Some(row) => Err(format!("a row of a batch: {row}")),
        None => Ok(()),
    }
}

async fn create_and_cancel(load: &Load) -> Result<(), String> {
    let said = post(load, "/api/v1/commands", None, &command()).await?;
    let Some(answer) = body(said, StatusCode::ACCEPTED)? else { return Ok(()) };
    let path = format!("/api/v1/commands/{}", answer["command_id"].as_str().unwrap_or_default());
    let said = load.send(load.request(Method::DELETE, &path, None)).await?;
    body(said, StatusCode::OK).map(drop)
}

/// Registers a device, polls for it, and acks what came.
async fn use_device(load: &Load, device: &str, rng: &mut StdRng) -> Result<(), String> {
    let token = Token::device(USER).sign();
    let register = json!({ "device_id": device, "platform": "ios" });
    let said = post(load, "/api/v1/devices/register", Some(&token), &register).await?;
    if body(said, StatusCode::OK)?.is_none() {
        return Ok(());
    }
    let path = format!("/api/v1/sync/poll?device_id={device}&subscribe=news");
    let said = load.send(load.request(Method::GET, &path, Some(&token))).await?;
    let Some(poll) = body(said, StatusCode::OK)? else { return Ok(()) };
    let own = format!("user:{USER}");
    let status = &poll["streams"][&own];
    let seq = rng.random_range(0..=status["head"].as_i64().unwrap_or_default());
    let cursors = json!({ own: { "epoch": status["epoch"], "seq": seq } });
    let ack = json!({ "device_id": device, "cursors": cursors });
    let said = post(load, "/api/v1/sync/ack", Some(&token), &ack).await?;
    body(said, StatusCode::OK).map(drop)
}
