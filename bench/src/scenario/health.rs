//! Health data: items in calls of 500, an exporter's body of 100,000 points, and a
//! new workout of a user who has 100,000. Beside them a table made by hand, and a
//! tree made of the same body, in the same run.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::ensure;
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};

use crate::clock;
use crate::load::device::user;
use crate::load::world::World;
use crate::numbers::{Random, float, percentile};
use crate::report::{Budget, Row};
use crate::scenario::{ACK_COALESCED, Scale, expect, rate};
use crate::server::Server;
use crate::token::Tokens;

/// Items of a call.
const ITEMS: usize = 500;

/// Callers that send at the same time.
const CALLERS: usize = 16;

/// Users that items are about.
const USERS: usize = 200;

/// Points of an exporter's body.
const POINTS: usize = 100_000;

/// Workouts that a user has.
const WORKOUTS: usize = 100_000;

/// New ones that come one by one.
const NEW: usize = 300;

pub(super) fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let mut rows = items(scale)?;
    rows.extend(export(scale)?);
    rows.extend(workouts(scale)?);
    Ok(rows)
}

fn world(gateway: &Server, callers: usize) -> anyhow::Result<World> {
    let tokens = Tokens::new();
    let mut world = World::new(gateway.address(), &tokens, ACK_COALESCED)?;
    world.add_callers(callers)?;
    Ok(world)
}

/// A call, answered with 200; how long it took.
fn call(world: &mut World, path: &str, body: &str) -> anyhow::Result<Duration> {
    let began = clock::now();
    world.post(0, path, body)?;
    let mut answer = None;
    world.until("a call was answered", |world| {
        answer = answer.take().or(world.responses.first().map(|it| expect(it, 200)));
        answer.is_some().then_some(())
    })?;
    answer.unwrap_or(Ok(()))?;
    Ok(began.elapsed())
}

/// Days with steps, from one day on.
fn steps(first: usize, random: &mut Random) -> String {
    let mut body = String::from(r#"{"steps":["#);
    for day in first..first + ITEMS {
        let comma = if day == first { "" } else { "," };
        let total = random.below(30_000);
        let date = date(day);
        let _ = write!(body, r#"{comma}{{"date":"{date}","total_steps":{total}}}"#);
    }
    body.push_str("]}");
    body
}

/// A day of the years from 2000 on, each month of 28 days.
fn date(day: usize) -> String {
    format!("{}-{:02}-{:02}", 2000 + day / 336 % 26, day / 28 % 12 + 1, day % 28 + 1)
}

fn items(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let gateway = Server::gateway(&[])?;
    let mut world = world(&gateway, CALLERS)?;
    let mut random = Random::new();
    let before = gateway.usage()?;
    let end = clock::now() + scale.run;
    let (mut idle, mut calls): (Vec<usize>, usize) = ((0..CALLERS).collect(), 0);
    while clock::now() < end || idle.len() < CALLERS {
        if clock::now() < end {
            for caller in std::mem::take(&mut idle) {
                let of = user(random.below(USERS));
                let path = format!("/api/v1/ingest/steps?user_id={of}");
                let first = random.below(7_000);
                world.post(caller, &path, &steps(first, &mut random))?;
            }
        }
        world.turn(Duration::from_millis(10))?;
        for response in &world.responses {
            expect(response, 200)?;
            calls += 1;
            idle.push(response.caller);
        }
        ensure!(clock::now() < end + Duration::from_mins(1), "a call was not answered");
    }
    let used = gateway.used_since(&before)?;
    let items = calls * ITEMS;
    let per_s = rate(items, used.wall_s);
    let by_hand = by_hand(scale.run)?;
    Ok(vec![
        Row::new("health items taken in, 500 a call, 16 callers", per_s, "items/s")
            .note("each a row of a day with its candidates and its journal entry"),
        Row::new("the same, CPU", used.cpu_s / float(items) * 1e6, "CPU-µs per item"),
        Row::new("a table made by hand, one upsert an item, no journal", by_hand, "items/s"),
        Row::new("the gateway against it", per_s / by_hand, "×"),
    ])
}

/// What somebody would write: a row a day, upserted in a transaction a call.
fn by_hand(length: Duration) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let options = SqliteConnectOptions::new()
            .filename(folder.path().join("days.db"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let mut db = SqliteConnection::connect_with(&options).await?;
        let table = "CREATE TABLE day (user TEXT, date TEXT, steps INTEGER, source TEXT, \
                     at INTEGER, PRIMARY KEY (user, date)) WITHOUT ROWID";
        sqlx::query(table).execute(&mut db).await?;
        let mut random = Random::new();
        let (began, mut items) = (clock::now(), 0);
        while began.elapsed() < length {
            let (of, first) = (user(random.below(USERS)), random.below(7_000));
            let mut tx = db.begin().await?;
            for day in first..first + ITEMS {
                let upsert = "INSERT INTO day VALUES (?, ?, ?, 'apple_health', 0) ON CONFLICT \
                              (user, date) DO UPDATE SET steps = excluded.steps";
                let steps = i64::try_from(random.below(30_000))?;
                sqlx::query(upsert).bind(&of).bind(date(day)).bind(steps).execute(&mut *tx).await?;
            }
            tx.commit().await?;
            items += ITEMS;
        }
        Ok(rate(items, began.elapsed().as_secs_f64()))
    })
}

/// A body as Health Auto Export sends it: points of a minute each, 15 MB.
fn exported() -> String {
    let mut body =
        String::from(r#"{"data":{"metrics":[{"name":"step_count","units":"count","data":["#);
    for point in 0..POINTS {
        let comma = if point == 0 { "" } else { "," };
        let (day, minute) = (point / 1_440, point % 1_440);
        let date = date(8_000 + day);
        let (hour, minute) = (minute / 60, minute % 60);
        let _ = write!(
            body,
            "{comma}{{\n  \"date\" : \"{date} {hour:02}:{minute:02}:00 +0100\",\n  \"qty\" : \
             {}.{},\n  \"source\" : \"Apple Watch of somebody|iPhone of somebody\",\n  \
             \"note\" : \"\"\n}}",
            point % 140,
            point % 97
        );
    }
    body.push_str("]}]}}");
    body
}

fn export(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let gateway = Server::gateway(&[])?;
    let mut world = world(&gateway, 1)?;
    let body = exported();
    let path = format!("/api/v1/ingest/health-auto-export?user_id={}", user(0));
    let idle = gateway.resident_bytes()?;
    let (mut first, mut again, mut most) = (Vec::new(), Vec::new(), idle);
    for _ in 0..scale.repeats {
        for times in [&mut first, &mut again] {
            let began = clock::now();
            world.post(0, &path, &body)?;
            let mut answer = None;
            world.until("an export was taken", |world| {
                most = most.max(gateway.resident_bytes().unwrap_or_default());
                answer = answer.take().or(world.responses.first().map(|it| expect(it, 200)));
                answer.is_some().then_some(())
            })?;
            answer.unwrap_or(Ok(()))?;
            times.push(began.elapsed().as_secs_f64() * 1e3);
        }
    }
    let began = clock::now();
    let tree: serde_json::Value = serde_json::from_str(&body)?;
    let tree_ms = began.elapsed().as_secs_f64() * 1e3;
    ensure!(tree["data"]["metrics"].is_array(), "the body is not what it should be");
    let grown = float(most.saturating_sub(idle)) / 1e6;
    Ok(vec![
        Row::new("an export of 100,000 points, first", first[0], "ms")
            .note(format!("{:.1} MB", float(body.len()) / 1e6)),
        Row::new("the same again: nothing is new", percentile(&mut again, 50), "ms"),
        Row::new("a tree of the same body, nothing else", tree_ms, "ms"),
        Row::new("memory that it took beside its own bytes", grown - float(body.len()) / 1e6, "MB"),
    ])
}

/// A workout of half an hour, `number` times two hours after the beginning of 2000.
fn workout(number: usize, minute: usize) -> String {
    let start = 946_684_800 + number * 7_200 + minute * 60;
    let time = |seconds: usize| {
        let (days, rest) = (seconds / 86_400, seconds % 86_400);
        let date = civil(days);
        format!("{date}T{:02}:{:02}:{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60)
    };
    let (start, end) = (time(start), time(start + 1_800));
    format!(r#"{{"workout_type":"running","start_time":"{start}","end_time":"{end}"}}"#)
}

/// The date so many days after 1970-01-01.
fn civil(days: usize) -> String {
    let leap = |year: usize| {
        let by = |number: usize| year.is_multiple_of(number);
        usize::from(by(4) && (!by(100) || by(400)))
    };
    let (mut year, mut left) = (1970, days);
    while left >= 365 + leap(year) {
        left -= 365 + leap(year);
        year += 1;
    }
    let months = [31, 28 + leap(year), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while left >= months[month] {
        left -= months[month];
        month += 1;
    }
    format!("{year}-{:02}-{:02}", month + 1, left + 1)
}

fn workouts(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let gateway = Server::gateway(&[])?;
    let mut world = world(&gateway, 1)?;
    let path = format!("/api/v1/ingest/workouts?user_id={}", user(0));
    let wanted = if scale.repeats > 1 { WORKOUTS } else { WORKOUTS / 10 };
    let began = clock::now();
    for first in (0..wanted).step_by(ITEMS) {
        let many: Vec<String> = (first..first + ITEMS).map(|number| workout(number, 0)).collect();
        call(&mut world, &path, &format!(r#"{{"workouts":[{}]}}"#, many.join(",")))?;
    }
    let filled = rate(wanted, began.elapsed().as_secs_f64());
    let mut random = Random::new();
    let mut times = Vec::with_capacity(NEW);
    for _ in 0..NEW {
        // The same run by another app: a duplicate to be found.
        let one = workout(random.below(wanted), 1);
        let body = format!(r#"{{"source":"strava","workouts":[{one}]}}"#);
        times.push(call(&mut world, &path, &body)?.as_secs_f64() * 1e3);
    }
    Ok(vec![
        Row::new("workouts taken in, 500 a call, one caller", filled, "items/s"),
        Row::new(format!("a new workout among {wanted}, p50"), percentile(&mut times, 50), "ms")
            .against(Budget::AtMost(5.0))
            .note("call, commit and the duplicate that it is"),
        Row::new("the same, p99", percentile(&mut times, 99), "ms"),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(civil(0), "1970-01-01");
        assert_eq!(civil(11_016), "2000-02-29");
        assert_eq!(civil(20_783), "2026-11-26");
        assert!(workout(0, 1).contains("2000-01-01T00:01:00Z"));
    }
}
