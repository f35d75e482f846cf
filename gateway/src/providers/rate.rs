//! Rate windows of providers: counted in the database for all nodes, before a
//! request is made, and corrected by what answers say.
//!
//! A window is aligned to the provider's clock. What answers say counts more than
//! our own count wherever it is higher; runs leave a part of each window to what
//! cannot wait.

use sea_orm::DbErr;
use tidegate_entity::rate_window::Model;
use tidegate_services::provider::{Provider, ProviderError, Usage};

use crate::limits::{CLOCK_SKEW, PROVIDER_BOUNDARY, PROVIDER_PATIENCE_MAX};
use crate::providers::ProvidersHandle;
use crate::store;
use crate::store::write::{Transaction, WriteError};

const SECOND_MS: i64 = 1_000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// Name of the window that a `Retry-After` closes.
const ASKED: &str = "asked";

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// A run: it leaves the reserve alone.
    Run,
    /// A webhook, a refresh, the end of something begun: it takes what there is.
    Urgent,
}

/// What is asked for: tokens do not count where only data are limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Data,
    Tokens,
}

/// A window as the settings and the provider's documents have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Spec {
    name: &'static str,
    length_ms: i64,
    allowed: i64,
    counts_tokens: bool,
}

/// Whether a request may be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Taking {
    /// It may: it is counted.
    Taken(Permit),
    /// Not before then, milliseconds.
    Spent(i64),
}

/// A request that was counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Permit {
    provider: Provider,
    user_id: String,
    /// The windows it was counted in, and when each ends.
    windows: Vec<(String, i64)>,
}

/// How a provider's windows stand for runs of all users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// Until when they are closed, milliseconds; `None`: open.
    pub closed_until: Option<i64>,
    /// Requests that are left.
    pub left: u64,
}

fn specs(handle: &ProvidersHandle, provider: Provider) -> Vec<Spec> {
    let spec = |name, length_ms, allowed: u32, counts_tokens| Spec {
        name,
        length_ms,
        allowed: i64::from(allowed),
        counts_tokens,
    };
    match provider {
        Provider::Strava => {
            let own = &handle.settings.strava;
            let read = own.read_limits.unwrap_or([100, 1_000]);
            let all = own.limits.unwrap_or([200, 2_000]);
            vec![
                // Nothing says that tokens count. If they do, the next answer tells.
                spec("all_15m", 15 * MINUTE_MS, all[0], false),
                spec("all_day", DAY_MS, all[1], false),
                spec("read_15m", 15 * MINUTE_MS, read[0], false),
                spec("read_day", DAY_MS, read[1], false),
            ]
        }
        Provider::Oura => vec![spec("app_5m", 5 * MINUTE_MS, 5_000, true)],
        Provider::GoogleHealth => vec![spec("user_minute", MINUTE_MS, 300, false)],
        Provider::Fitbit => vec![spec("user_hour", 60 * MINUTE_MS, 150, false)],
    }
}

/// For whom a provider counts: everybody together, or each user.
fn counted_for(provider: Provider, user_id: &str) -> &str {
    match provider {
        Provider::Strava | Provider::Oura => "",
        Provider::GoogleHealth | Provider::Fitbit => user_id,
    }
}

/// Whether windows are those of all users together.
pub(super) fn is_shared(provider: Provider) -> bool {
    counted_for(provider, "user").is_empty()
}

/// The window of a spec that this moment is in.
fn fresh(provider: Provider, user_id: &str, spec: &Spec, now: i64) -> Model {
    Model {
        provider: provider.as_str().to_owned(),
        user_id: user_id.to_owned(),
        name: spec.name.to_owned(),
        ends_at: now - now.rem_euclid(spec.length_ms) + spec.length_ms,
        used: 0,
        allowed: spec.allowed,
    }
}

fn millis(time: std::time::Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Whether a row's window is the present one. An end that lies farther ahead than
/// the window is long is of a clock that was wrong.
fn is_present(row: &Model, length_ms: i64, now: i64) -> bool {
    row.ends_at > now && row.ends_at <= now + length_ms + millis(CLOCK_SKEW)
}

/// The windows as they are now, from the rows as they were written last.
fn present(
    provider: Provider,
    user_id: &str,
    specs: &[Spec],
    rows: &[Model],
    now: i64,
) -> Vec<Model> {
    let of = |spec: &Spec| {
        let known = rows.iter().find(|row| row.name == spec.name);
        let known = known.filter(|row| is_present(row, spec.length_ms, now));
        known.cloned().unwrap_or_else(|| fresh(provider, user_id, spec, now))
    };
    specs.iter().map(of).collect()
}

/// Until when the provider asked to be left alone.
fn asked_until(rows: &[Model], now: i64) -> Option<i64> {
    let longest = millis(PROVIDER_PATIENCE_MAX);
    let asked = rows.iter().find(|row| row.name == ASKED);
    asked.filter(|row| is_present(row, longest, now)).map(|row| row.ends_at)
}

/// Strava's clock and ours differ a little: what is asked for at a boundary may
/// be counted on either side of it. So nothing is, for a moment.
fn boundary(provider: Provider, rows: &[Model], now: i64) -> Option<i64> {
    let pause = millis(PROVIDER_BOUNDARY);
    let ended = rows.iter().filter(|row| row.name != ASKED && row.used > 0);
    let ended = ended.map(|row| row.ends_at).filter(|end| (*end..*end + pause).contains(&now));
    ended.max().filter(|_| provider == Provider::Strava).map(|end| end + pause)
}

/// What a request of this urgency may use of a window.
fn usable(handle: &ProvidersHandle, window: &Model, urgency: Urgency) -> i64 {
    let reserve = match urgency {
        Urgency::Run => window.allowed * i64::from(handle.settings.reserve_percent) / 100,
        Urgency::Urgent => 0,
    };
    (window.allowed - reserve).max(0)
}

/// Counts a request that is about to be made, if it may be.
pub(super) async fn take(
    handle: &ProvidersHandle,
    provider: Provider,
    user_id: &str,
    asked: Asked,
    urgency: Urgency,
) -> Result<Taking, WriteError> {
    let owner = &counted_for(provider, user_id);
    let mut counted = specs(handle, provider);
    counted.retain(|spec| asked == Asked::Data || spec.counts_tokens);
    if counted.is_empty() {
        return Ok(Taking::Taken(Permit {
            provider,
            user_id: (*owner).to_owned(),
            windows: Vec::new(),
        }));
    }
    let counted = &counted;
    let taken = handle.store.write(|tx| async move {
        let now = handle.clock.now().millis();
        let rows = locked(&tx, provider, owner, counted, now).await?;
        let closed = asked_until(&rows, now).or(boundary(provider, &rows, now));
        let mut windows = present(provider, owner, counted, &rows, now);
        let full = windows.iter().filter(|row| row.used >= usable(handle, row, urgency));
        if let Some(until) = full.map(|row| row.ends_at).chain(closed).max() {
            return Ok(Taking::Spent(until));
        }
        for window in &mut windows {
            window.used += 1;
        }
        store::rate_window::write(&tx, &windows).await?;
        let windows = windows.into_iter().map(|row| (row.name, row.ends_at)).collect();
        Ok(Taking::Taken(Permit { provider, user_id: (*owner).to_owned(), windows }))
    });
    taken.await
}

async fn locked(
    tx: &Transaction,
    provider: Provider,
    owner: &str,
    specs: &[Spec],
    now: i64,
) -> Result<Vec<Model>, DbErr> {
    let fresh: Vec<_> = specs.iter().map(|spec| fresh(provider, owner, spec, now)).collect();
    store::rate_window::lock(tx, &fresh).await
}

/// Takes in what an answer said of rates; until when a refusal closed them,
/// milliseconds.
pub(super) async fn heard(
    handle: &ProvidersHandle,
    permit: &Permit,
    usage: &Usage,
    refusal: Option<&ProviderError>,
) -> Result<i64, WriteError> {
    let retry_after = refusal.and_then(ProviderError::retry_after);
    let is_limited = matches!(refusal, Some(ProviderError::RateLimited { .. }));
    let now = handle.clock.now().millis();
    if usage.windows.is_empty() && retry_after.is_none() && !is_limited {
        return Ok(now);
    }
    let specs = &specs(handle, permit.provider);
    let written = handle.store.write(|tx| async move {
        let rows = locked(&tx, permit.provider, &permit.user_id, specs, now).await?;
        let mut windows = present(permit.provider, &permit.user_id, specs, &rows, now);
        for (window, spec) in windows.iter_mut().zip(specs) {
            correct(window, spec, permit, usage, now);
        }
        let mut until = asked_until(&rows, now).unwrap_or(now);
        if let Some(asked) = retry_after.map(|asked| asked.min(PROVIDER_PATIENCE_MAX)) {
            until = until.max(now + millis(asked));
            windows.push(Model { ends_at: until, used: 1, allowed: 1, ..asked_row(permit) });
        }
        let full = |row: &&Model| row.name != ASKED && row.used >= row.allowed;
        if is_limited && retry_after.is_none() && !windows.iter().any(|row| full(&row)) {
            // It does not say which one: the one that is over first.
            if let Some(first) = windows.iter_mut().min_by_key(|row| row.ends_at) {
                first.used = first.allowed;
            }
        }
        let closed = windows.iter().filter(full).map(|row| row.ends_at).max();
        store::rate_window::write(&tx, &windows).await?;
        Ok(until.max(closed.unwrap_or(now)))
    });
    written.await
}

fn asked_row(permit: &Permit) -> Model {
    Model {
        provider: permit.provider.as_str().to_owned(),
        user_id: permit.user_id.clone(),
        name: ASKED.to_owned(),
        ends_at: 0,
        used: 0,
        allowed: 0,
    }
}

/// Sets a window right by what an answer says of it. Not by one to a request of
/// the window before: whether it tells of that one or of this one, nobody knows.
fn correct(window: &mut Model, spec: &Spec, permit: &Permit, usage: &Usage, now: i64) {
    let said = usage.windows.iter().find(|said| said.window == spec.name);
    let counted = permit.windows.iter().find(|(name, _)| *name == window.name);
    let Some(said) = said.filter(|_| counted.is_none_or(|(_, end)| *end > now)) else { return };
    window.allowed = i64::try_from(said.limit).unwrap_or(i64::MAX);
    window.used = window.used.max(i64::try_from(said.used).unwrap_or(i64::MAX));
    let is_aligned = permit.provider == Provider::Strava;
    if let Some(left) = said.resets_in.filter(|_| !is_aligned) {
        window.ends_at = now + millis(left).clamp(1, spec.length_ms);
    }
}

/// How a provider's windows stand for runs; those of single users are not looked
/// at.
pub(super) async fn room(handle: &ProvidersHandle, provider: Provider) -> Result<Room, DbErr> {
    if !is_shared(provider) {
        return Ok(Room { closed_until: None, left: u64::MAX });
    }
    let rows = store::rate_window::of(handle.store.readers(), provider.as_str(), "").await?;
    let now = handle.clock.now().millis();
    let windows = present(provider, "", &specs(handle, provider), &rows, now);
    let left = |row: &Model| (usable(handle, row, Urgency::Run) - row.used).max(0);
    let full = windows.iter().filter(|row| left(row) == 0).map(|row| row.ends_at);
    let closed = asked_until(&rows, now).or(boundary(provider, &rows, now));
    let closed_until = full.chain(closed).max();
    let least = windows.iter().map(left).min().unwrap_or_default();
    Ok(Room { closed_until, left: u64::try_from(least).unwrap_or_default() })
}
