//! What providers tell by webhooks: read, checked, and kept before it is answered.
//! It is looked at later.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::DateTime;
use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use tidegate_entity::integration;
use tidegate_entity::webhook_event::{Model, State};
use tidegate_protocol::time::Timestamp;
use tidegate_services::provider::{Kind, Provider, signature};

use crate::error::{ApiError, ApiResult};
use crate::ingest::integration::Whose;
use crate::limits::{WEBHOOK_EVENTS, WEBHOOK_EVENTS_PER_USER, WEBHOOK_EVENTS_TOTAL, WEBHOOK_USERS};
use crate::metrics::label::provider::WebhookResult;
use crate::providers::ProvidersHandle;
use crate::providers::event::Told;
use crate::store;

/// Longest id that a provider gives anything.
const ID_BYTES: usize = 200;

/// Longest span that is read again because of one event.
const SPAN_MS: i64 = 31 * DAY_MS;
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// One thing that was told.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Note {
    owner_id: String,
    key: String,
    told: Told,
    /// Whether the same one may come again and mean something new.
    may_repeat: bool,
}

/// Whether Strava's signature, where there is one, is ours.
pub fn is_of_strava(handle: &ProvidersHandle, header: Option<&str>, body: &[u8]) -> bool {
    let secret = &handle.settings.strava.client_secret;
    header.is_none_or(|header| signature::strava(secret, header, body, handle.clock.now()))
}

/// Whether Oura signed this lately.
pub fn is_of_oura(
    handle: &ProvidersHandle,
    (signed, timestamp): (&str, &str),
    body: &[u8],
) -> bool {
    let secret = &handle.settings.oura.client_secret;
    signature::oura(secret, signed, timestamp, body, handle.clock.now())
}

/// Whether a secret is the one configured, in a time that tells nothing of it.
pub fn is_secret(sent: &str, configured: &str) -> bool {
    let [sent, configured] = [sent, configured].map(Sha256::digest);
    aws_lc_rs::constant_time::verify_slices_are_equal(&sent, &configured).is_ok()
}

/// Reads and keeps what a body tells. What nobody here can use is no error: the
/// provider would send it again. `None`: the body cannot be read.
pub async fn take_in(
    handle: &ProvidersHandle,
    provider: Provider,
    body: &[u8],
) -> ApiResult<Option<()>> {
    let now = handle.clock.now();
    let notes = match provider {
        Provider::Strava => strava(body),
        Provider::Oura => oura(body),
        Provider::GoogleHealth => google(body, now),
        Provider::Fitbit => None,
    };
    let Some(notes) = notes else {
        handle.metrics.webhook_events.of(WebhookResult::Unreadable).inc();
        return Ok(None);
    };
    for note in notes {
        let result = keep(handle, provider, note, now).await?;
        handle.metrics.webhook_events.of(result).inc();
    }
    handle.look.notify_one();
    Ok(Some(()))
}

async fn keep(
    handle: &ProvidersHandle,
    provider: Provider,
    note: Note,
    now: Timestamp,
) -> ApiResult<WebhookResult> {
    let db = handle.store.readers();
    let word = provider.as_str();
    let users = store::integration::of_owner(db, word, &note.owner_id, WEBHOOK_USERS).await;
    let users = users.map_err(|error| ApiError::internal(&error))?;
    let mut result = WebhookResult::UnknownOwner;
    for user_id in users {
        result = keep_for(handle, provider, &note, (user_id, now)).await?;
    }
    Ok(result)
}

async fn keep_for(
    handle: &ProvidersHandle,
    provider: Provider,
    note: &Note,
    (user_id, now): (String, Timestamp),
) -> ApiResult<WebhookResult> {
    let row = Model {
        user_id,
        key: note.key.clone(),
        provider: provider.as_str().to_owned(),
        state: State::Pending,
        what: serde_json::to_string(&note.told).map_err(|error| ApiError::internal(&error))?,
        page: None,
        received_at: now.millis(),
        due_at: now.millis(),
        attempts: 0,
    };
    let row = &row;
    let kept = handle.store.write(|tx| async move {
        let own = store::webhook_event::pending_count(&tx, Some(&row.user_id)).await?;
        if own >= WEBHOOK_EVENTS_PER_USER
            || store::webhook_event::pending_count(&tx, None).await? >= WEBHOOK_EVENTS_TOTAL
        {
            return Ok(WebhookResult::Dropped);
        }
        if store::webhook_event::insert(&tx, row.clone()).await? {
            return Ok(WebhookResult::Taken);
        }
        if note.may_repeat {
            store::webhook_event::renew(&tx, row.clone()).await?;
        }
        Ok(WebhookResult::Known)
    });
    let result = kept.await?;
    if result == WebhookResult::Dropped {
        read_soon(handle, provider, &row.user_id).await?;
    }
    Ok(result)
}

/// Too much waits to be looked at one by one: a run reads all that is new.
async fn read_soon(handle: &ProvidersHandle, provider: Provider, user_id: &str) -> ApiResult<()> {
    let key = (user_id.to_owned(), provider.as_str().to_owned());
    let whose = Whose { key, connection: None, fence: None };
    let change = |row: &mut integration::Model, now: Timestamp| {
        row.due_at = row.due_at.map(|due| due.min(now.millis()));
        Ok(().into())
    };
    handle.ingest.change_integration(whose, change).await
}

/// A number or a text, as text; `None` where it is no id.
fn id(value: &RawValue) -> Option<String> {
    let text = value.get();
    let text = match text.strip_prefix('"') {
        Some(_) => serde_json::from_str::<String>(text).ok()?,
        None => text.to_owned(),
    };
    let is_of_id = |byte: u8| byte.is_ascii_graphic() && byte != b'/';
    let is_id = (1..=ID_BYTES).contains(&text.len()) && text.bytes().all(is_of_id);
    (is_id && !text.starts_with(['{', '['])).then_some(text)
}

/// What names an event: none of its parts can be mistaken for another.
fn key(provider: Provider, parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    hash.update(provider.as_str());
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    URL_SAFE_NO_PAD.encode(hash.finalize())
}

fn strava(body: &[u8]) -> Option<Vec<Note>> {
    #[derive(Deserialize)]
    struct Event {
        object_type: String,
        object_id: Box<RawValue>,
        aspect_type: String,
        #[serde(default)]
        updates: Option<Updates>,
        owner_id: Box<RawValue>,
        #[serde(rename = "event_time")]
        at: Box<RawValue>,
    }
    #[derive(Deserialize)]
    struct Updates {
        #[serde(default)]
        authorized: Option<serde_json::Value>,
    }
    let event: Event = serde_json::from_slice(body).ok()?;
    let (object_id, owner_id) = (id(&event.object_id)?, id(&event.owner_id)?);
    let is_withdrawn = event
        .updates
        .and_then(|updates| updates.authorized)
        .is_some_and(|said| said == "false" || said == serde_json::Value::Bool(false));
    let told = match event.object_type.as_str() {
        "activity" => Told::Item { kind: Kind::Activity, id: object_id.clone() },
        "athlete" if is_withdrawn => Told::Deauthorized,
        _ => return Some(Vec::new()),
    };
    let parts = [&event.object_type, &object_id, &event.aspect_type, event.at.get(), &owner_id];
    let key = key(Provider::Strava, &parts);
    Some(vec![Note { owner_id, key, told, may_repeat: false }])
}

fn oura(body: &[u8]) -> Option<Vec<Note>> {
    #[derive(Deserialize)]
    struct Event {
        #[serde(rename = "event_type")]
        change: String,
        data_type: String,
        object_id: Box<RawValue>,
        #[serde(rename = "event_time")]
        at: Box<RawValue>,
        user_id: Box<RawValue>,
    }
    let event: Event = serde_json::from_slice(body).ok()?;
    let (object_id, owner_id) = (id(&event.object_id)?, id(&event.user_id)?);
    let kind = Kind::from_word(&event.data_type);
    let Some(kind) = kind.filter(|kind| Provider::Oura.kinds().contains(kind)) else {
        return Some(Vec::new());
    };
    let parts = [&event.change, &event.data_type, &object_id, event.at.get(), &owner_id];
    let key = key(Provider::Oura, &parts);
    let told = Told::Item { kind, id: object_id };
    Some(vec![Note { owner_id, key, told, may_repeat: false }])
}

fn google(body: &[u8], now: Timestamp) -> Option<Vec<Note>> {
    #[derive(Deserialize)]
    struct Event {
        data: Box<RawValue>,
    }
    let body = std::str::from_utf8(body).ok()?.trim();
    let events: Vec<Event> = if body.starts_with('[') {
        serde_json::from_str(body).ok()?
    } else {
        vec![serde_json::from_str(body).ok()?]
    };
    // What is beyond is read by a run, as everything else.
    let events = events.iter().take(WEBHOOK_EVENTS);
    Some(events.filter_map(|event| google_one(&event.data, now)).collect())
}

fn google_one(data: &RawValue, now: Timestamp) -> Option<Note> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Data {
        health_user_id: Box<RawValue>,
        #[serde(rename = "dataType")]
        word: String,
        #[serde(default)]
        intervals: Vec<Interval>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Interval {
        #[serde(default)]
        physical_time_interval: Option<Times>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Times {
        #[serde(default)]
        start_time: Option<String>,
        #[serde(default)]
        end_time: Option<String>,
    }
    let read: Data = serde_json::from_str(data.get()).ok()?;
    let owner_id = id(&read.health_user_id)?;
    let word = read.word.replace('-', "_").to_ascii_lowercase();
    let kind = Kind::from_word(&word);
    let kind = kind.filter(|kind| Provider::GoogleHealth.kinds().contains(kind))?;
    let times = read.intervals.iter().filter_map(|interval| {
        let times = interval.physical_time_interval.as_ref()?;
        Some([millis(times.start_time.as_deref()?)?, millis(times.end_time.as_deref()?)?])
    });
    let (starts, ends): (Vec<i64>, Vec<i64>) = times.map(|[start, end]| (start, end)).unzip();
    let now = now.millis();
    let to = ends.into_iter().max().map_or(now, |end| end.min(now)).saturating_add(DAY_MS);
    let from = starts.into_iter().min().unwrap_or(now).saturating_sub(DAY_MS);
    let from = from.clamp(to - SPAN_MS, to - DAY_MS);
    // Nothing tells two changes of the same span apart: what was looked at is
    // looked at again.
    let parts = [owner_id.as_str(), &word, &from.to_string(), &to.to_string()];
    let key = key(Provider::GoogleHealth, &parts);
    Some(Note { owner_id, key, told: Told::Span { kind, from, to }, may_repeat: true })
}

fn millis(text: &str) -> Option<i64> {
    DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_millis())
}
