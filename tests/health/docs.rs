//! `docs/health.md` is true: its examples are performed in order, and every call
//! about health data has one.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::{Method, Url};
use serde_json::Value;
use tidegate_fakes::provider::strava::FakeStrava;
use tidegate_fakes::provider::{CLIENT_ID, CLIENT_SECRET};

use crate::health::world::World;
use crate::support::{Answer, Caller, Operation, Setup, Token, eventually};

/// Stands for any value; as a name or as the last of a list, for what else is
/// there.
const ANY: &str = "…";

/// A request, and what is answered.
#[derive(Debug, PartialEq, Eq)]
struct Example {
    /// The first line of it in the document.
    line: usize,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
    status: u16,
    answer_headers: Vec<(String, String)>,
    answer: Option<String>,
}

fn text() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/health.md");
    std::fs::read_to_string(path).unwrap()
}

/// The fences marked `http`, each with its first line's number.
fn fences(text: &str) -> Vec<(usize, Vec<&str>)> {
    let mut fences = Vec::new();
    let mut open: Option<(usize, bool, Vec<&str>)> = None;
    for (at, line) in text.lines().enumerate() {
        let Some(mark) = line.strip_prefix("```") else {
            if let Some((.., lines)) = &mut open {
                lines.push(line);
            }
            continue;
        };
        match open.take() {
            Some((line, true, lines)) => fences.push((line, lines)),
            Some(_) => {}
            None => open = Some((at + 2, mark == "http", Vec::new())),
        }
    }
    assert!(open.is_none(), "a fence is not closed");
    fences
}

/// Headers to the first empty line, and the text after it.
fn message(lines: &[&str]) -> (Vec<(String, String)>, Option<String>) {
    let end = lines.iter().position(|line| line.is_empty()).unwrap_or(lines.len());
    let headers = lines[..end].iter().map(|line| {
        let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("`{line}`: a header"));
        (name.to_owned(), value.to_owned())
    });
    let body = lines[end..].join("\n").trim().to_owned();
    (headers.collect(), (!body.is_empty()).then_some(body))
}

fn example(line: usize, lines: &[&str]) -> Example {
    let answer = lines.iter().position(|line| line.starts_with("HTTP/1.1 "));
    let answer = answer.unwrap_or_else(|| panic!("line {line}: an example without an answer"));
    let (method, path) = lines[0].split_once(' ').unwrap();
    let status = lines[answer].split(' ').nth(1).unwrap().parse().unwrap();
    let (headers, body) = message(&lines[1..answer]);
    let (answer_headers, answer) = message(&lines[answer + 1..]);
    let (method, path) = (method.to_owned(), path.to_owned());
    Example { line, method, path, headers, body, status, answer_headers, answer }
}

/// Values that the document names with a `$`, as they were answered.
type Known = BTreeMap<String, String>;

fn fill(text: &str, known: &Known) -> String {
    // The longest names first: one may begin with another.
    let names = known.iter().rev();
    names.fold(text.to_owned(), |text, (name, value)| text.replace(name, value))
}

/// Whether a value is what the document shows; where it is not.
fn compare(at: &str, shown: &Value, said: &Value, known: &mut Known) -> Result<(), String> {
    let differs = || Err(format!("{at}: {shown} is shown, {said} is said"));
    match (shown, said) {
        (Value::String(word), _) if word == ANY => Ok(()),
        (Value::String(word), Value::String(text)) if word.starts_with('$') => {
            if known.entry(word.clone()).or_insert_with(|| text.clone()) == text {
                Ok(())
            } else {
                differs()
            }
        }
        (Value::Object(shown), Value::Object(said)) => {
            for (name, value) in shown.iter().filter(|(name, _)| *name != ANY) {
                let at = format!("{at}.{name}");
                let said = said.get(name).ok_or_else(|| format!("{at} is not said"))?;
                compare(&at, value, said, known)?;
            }
            let more = said.keys().find(|name| !shown.contains_key(*name));
            match more {
                Some(name) if !shown.contains_key(ANY) => Err(format!("{at}.{name} is not shown")),
                _ => Ok(()),
            }
        }
        (Value::Array(shown), Value::Array(said)) => {
            let is_open = shown.last().is_some_and(|last| last == ANY);
            let shown = if is_open { &shown[..shown.len() - 1] } else { shown };
            if said.len() < shown.len() || (said.len() > shown.len() && !is_open) {
                return Err(format!("{at}: {} items are shown, {} said", shown.len(), said.len()));
            }
            let pairs = shown.iter().zip(said).enumerate();
            let mut pairs =
                pairs.map(|(index, (shown, said))| (format!("{at}[{index}]"), shown, said));
            pairs.try_for_each(|(at, shown, said)| compare(&at, shown, said, known))
        }
        _ if shown == said => Ok(()),
        _ => differs(),
    }
}

async fn perform(anyone: &Caller, example: &Example, known: &Known) -> Answer {
    let fill = |text: &String| fill(text, known);
    let mut caller = anyone.clone();
    for (name, value) in &example.headers {
        caller = caller.with_header(&name.to_lowercase(), &fill(value));
    }
    let method: Method = example.method.parse().unwrap();
    let body = example.body.as_ref().map(fill);
    caller.call(method, &fill(&example.path), body.as_deref()).await
}

fn check(example: &Example, answer: &Answer, known: &mut Known) {
    let line = example.line;
    let said = String::from_utf8_lossy(&answer.bytes);
    assert_eq!(answer.status, example.status, "line {line}: {said}");
    for (name, value) in &example.answer_headers {
        let said = answer.header(name).unwrap_or_else(|| panic!("line {line}: no {name}"));
        assert_eq!(said, fill(value, known), "line {line}: {name}");
    }
    let Some(shown) = &example.answer else {
        assert_eq!(said, "", "line {line}: a body that is not shown");
        return;
    };
    if shown == ANY {
        return;
    }
    let shown: Value = serde_json::from_str(shown).unwrap_or_else(|e| panic!("line {line}: {e}"));
    if let Err(difference) = compare("answer", &shown, &answer.body, known) {
        panic!("line {line}: {difference}\n{}", answer.body);
    }
}

/// A gateway whose Strava is a fake.
async fn stage() -> (World, FakeStrava) {
    let mut setup = Setup::new().clock_at("2026-11-26T12:00:00Z");
    let strava = FakeStrava::start(setup.clock()).await.unwrap();
    for (key, value) in [
        ("client_id", CLIENT_ID),
        ("client_secret", CLIENT_SECRET),
        ("verify_token", "a-random-text"),
        ("base_url", &strava.base_url()),
        ("authorize_url", &strava.authorize_url()),
        ("token_url", &strava.token_url()),
        ("revoke_url", &strava.revoke_url()),
    ] {
        setup = setup.set(&format!("providers.strava.{key}"), value);
    }
    let setup = setup.set("providers.public_url", "http://tidegate.test");
    (World::with(setup).await, strava)
}

/// Allows the access, as a person does on the provider's page: what the browser is
/// sent back with.
async fn allow(strava: &FakeStrava, page: &str, known: &mut Known) {
    strava.consent_as("1001");
    let browser = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let answer = browser.build().unwrap().get(page).send().await.unwrap();
    let back: Url = answer.headers()["location"].to_str().unwrap().parse().unwrap();
    for (name, value) in back.query_pairs() {
        known.insert(format!("${}", name.to_uppercase()), value.into_owned());
    }
}

/// Waits for the end of what is under way with a provider.
async fn until_idle(world: &World) {
    let list = world.phone_of("ada");
    eventually("the end of a run", async || {
        let page = list.get("/api/v1/integrations").await.expect(200);
        let mut items = page["items"].as_array().unwrap().iter();
        items.all(|item| item["sync_status"] != "syncing").then_some(())
    })
    .await;
}

#[tokio::test]
async fn every_example_does_what_it_says() {
    let (world, strava) = stage().await;
    let anyone = world.gateway.caller("reader", "").quiet().without_token();
    let tokens = [("$PHONE", Token::device("ada")), ("$COACH", Token::service("coach"))];
    let mut known: Known =
        tokens.into_iter().map(|(name, token)| (name.to_owned(), token.sign())).collect();
    let text = text();
    for (line, lines) in fences(&text) {
        let example = example(line, &lines);
        if example.path.ends_with("/sync") {
            until_idle(&world).await;
        }
        let answer = perform(&anyone, &example, &known).await;
        check(&example, &answer, &mut known);
        if let Some(page) = known.remove("$AUTHORIZE") {
            allow(&strava, &page, &mut known).await;
        }
    }
    let seen = world.gateway.transcript().answers();
    let shown: BTreeSet<_> = seen.iter().filter(|(_, status)| *status < 300).collect();
    let is_about =
        |operation: &Operation| ["health", "integrations"].iter().any(|tag| operation.is_of(tag));
    for operation in Operation::all().iter().filter(|operation| is_about(operation)) {
        let is_shown = shown.iter().any(|(name, _)| *name == operation.name());
        assert!(is_shown, "docs/health.md has no example of {}", operation.name());
    }
}

/// Headings as links name them: in lower case, a hyphen for a space.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

#[test]
fn every_link_within_the_document_leads_somewhere() {
    let text = text();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    let anchors: BTreeSet<_> =
        headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect();
    let mut links = text.split("](#").skip(1).map(|rest| rest.split(')').next().unwrap());
    assert!(links.clone().count() > 5);
    assert_eq!(links.find(|link| !anchors.contains(*link)), None);
}

/// The runner itself: what differs is told, and where.
#[test]
fn differences_are_found() {
    let mut known = Known::new();
    let mut judge = |shown: Value, said: Value| compare("x", &shown, &said, &mut known);
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    judge(json(r#"{"a":"…","b":[1,"…"]}"#), json(r#"{"a":7,"b":[1,2]}"#)).unwrap();
    judge(json(r#"{"a":1,"…":"…"}"#), json(r#"{"b":2,"a":1}"#)).unwrap();
    judge(json(r#"{"id":"$ID"}"#), json(r#"{"id":"one"}"#)).unwrap();
    let told = [
        judge(json(r#"{"id":"$ID"}"#), json(r#"{"id":"two"}"#)),
        judge(json(r#"{"a":{"b":[1]}}"#), json(r#"{"a":{"b":[2]}}"#)),
        judge(json(r#"{"a":1}"#), json(r#"{"a":1,"b":2}"#)),
        judge(json(r#"{"a":"…"}"#), json("{}")),
        judge(json("[1]"), json("[1,2]")),
        judge(json("[1,2]"), json("[1]")),
    ];
    let told = told.map(Result::unwrap_err);
    let expected = [
        r#"x.id: "$ID" is shown, "two" is said"#,
        "x.a.b[0]: 1 is shown, 2 is said",
        "x.b is not shown",
        "x.a is not said",
        "x: 1 items are shown, 2 said",
        "x: 2 items are shown, 1 said",
    ];
    assert_eq!(told, expected);
    assert_eq!(known["$ID"], "one");
}
