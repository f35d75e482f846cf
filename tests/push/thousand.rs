//! A thousand commands to a thousand devices that are away, through a push
//! service that fails in every way, and a gateway that is killed in the middle.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::stream::{self, FuturesUnordered};
use futures_util::{FutureExt as _, StreamExt as _};
use rand::Rng as _;
use rand::seq::SliceRandom as _;
use tidegate_fakes::answer::RetryAfter;
use tidegate_fakes::fcm::answer::Answer;
use tidegate_fakes::fcm::{FakeFcm, FcmRequest};
use tokio::time::Instant;

use crate::push::world::{Calls, Install, World};
use crate::seed;
use crate::support::Token;

const DEVICES: usize = 1_000;

/// Wake-ups that a device may get at once, and the time in which one comes
/// back.
const BURST: usize = 2;
const REFILL_MS: i64 = 1_000;

/// A request may arrive this much later than it was paid for.
const LATE_MS: i64 = 400;

/// Calls at the same time.
const AT_ONCE: usize = 32;

/// How long all of it may take.
const LIMIT: Duration = Duration::from_mins(1);

const SETTINGS: [(&str, &str); 6] = [
    ("push.device_burst", "2"),
    ("push.device_refill_s", "1"),
    ("push.backoff_ms", "[200, 400, 800, 1600, 3200]"),
    ("push.result_timeout_ms", "3000"),
    ("push.concurrency", "50"),
    ("session.behind_ms", "100"),
];

/// Every command ends in a final status, no device carries one out twice,
/// buckets are respected: with 10 % 503, 5 % 429 with `Retry-After`, 2 % dead
/// tokens, one message taken without an answer, and a SIGKILL.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_commands_to_a_thousand_absent_devices() {
    let mut rng = seed::rng(seed::pick("a thousand pushes"));
    let started = Instant::now();
    let mut world = World::start(&SETTINGS).await;
    let calls = world.calls();
    let mut installs: Vec<Install> = (0..DEVICES).map(Install::new).collect();
    installs.shuffle(&mut rng);
    script(&world.fcm, &installs, &mut rng);
    let registering = stream::iter(&installs).map(|install| calls.register(install));
    registering.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    let mut crowd = Crowd::new(&calls, &installs);
    crowd.dozing = dropped(&installs).token.clone();
    let ids: HashSet<String> = calls.make(&installs).await.into_iter().collect();
    let kill_after = rng.random_range(150..700);
    let mut is_killed = false;
    while crowd.ended.len() < DEVICES {
        crowd.turn(&world.fcm).await;
        if !is_killed && crowd.seen >= kill_after {
            is_killed = true;
            world.kill_and_restart().await;
        }
        let so_far = crowd.ended.len();
        assert!(started.elapsed() < LIMIT, "{so_far} ended\n{}", world.log());
    }
    assert!(is_killed);
    assert_eq!(crowd.ended, ids);
    assert_eq!(crowd.carried_out.len(), DEVICES);
    assert!(crowd.carried_out.values().all(|times| *times == 1));
    let requests = world.fcm.requests();
    let doubles = crowd.doubles;
    assert!(doubles > 0, "the one taken without an answer is sent again");
    judge(&calls, &requests, &ids).await;
    seed::say(&format!(
        "{} requests, {doubles} delivered twice, killed after {kill_after}, {:?} in all",
        requests.len(),
        started.elapsed()
    ));
}

/// Some devices meet trouble, each in its own way.
fn script(fcm: &FakeFcm, installs: &[Install], rng: &mut impl rand::Rng) {
    let (unavailable, rest) = installs.split_at(DEVICES / 10);
    let (limited, rest) = rest.split_at(DEVICES / 20);
    let dead = &rest[..DEVICES / 50];
    for install in unavailable {
        let times = rng.random_range(1..=3);
        let answer = || Answer::Unavailable { retry_after: None };
        fcm.script(&install.token, (0..times).map(|_| answer()));
    }
    for install in limited {
        let retry_after = Some(RetryAfter::Seconds(1));
        fcm.script(&install.token, [Answer::QuotaExceeded { retry_after }]);
    }
    for install in dead {
        fcm.script(&install.token, [Answer::Unregistered]);
    }
    fcm.script(&dropped(installs).token, [Answer::SentThenDrop]);
}

/// The device whose message is taken without an answer. It carries its command
/// out at once and comes to report it only when it is woken again.
fn dropped(installs: &[Install]) -> &Install {
    &installs[DEVICES - 1]
}

/// All devices: each carries out what it is woken for, once, and reports it.
struct Crowd<'a> {
    calls: Calls,
    by_token: HashMap<&'a str, &'a Install>,
    /// Requests of the push service looked at.
    seen: usize,
    /// Wake-ups for what was carried out before.
    doubles: usize,
    /// The token of the one that reports late.
    dozing: String,
    /// By device and command: devices remember what they did.
    carried_out: HashMap<(String, String), usize>,
    reporting: FuturesUnordered<futures_util::future::BoxFuture<'a, Vec<(&'a Install, String)>>>,
    /// Commands with a final status, as devices were told.
    ended: HashSet<String>,
}

impl<'a> Crowd<'a> {
    fn new(calls: &Calls, installs: &'a [Install]) -> Self {
        Self {
            calls: calls.clone(),
            by_token: installs.iter().map(|install| (install.token.as_str(), install)).collect(),
            seen: 0,
            doubles: 0,
            dozing: String::new(),
            carried_out: HashMap::new(),
            reporting: FuturesUnordered::new(),
            ended: HashSet::new(),
        }
    }

    /// Takes what came since the last turn, and what was reported.
    async fn turn(&mut self, fcm: &FakeFcm) {
        for request in fcm.requests_after(self.seen) {
            self.seen += 1;
            self.take(&request);
        }
        let next = async {
            match self.reporting.next().await {
                Some(reported) => reported,
                None => std::future::pending().await,
            }
        };
        let pause = tokio::time::sleep(Duration::from_millis(5));
        let mut reported = tokio::select! {
            reported = next => reported,
            () = pause => return,
        };
        while let Some(Some(more)) = self.reporting.next().now_or_never() {
            reported.extend(more);
        }
        for (install, id) in reported {
            // Found by a poll, and reported by it.
            let key = (install.id.clone(), id.clone());
            self.carried_out.entry(key).or_insert(1);
            self.ended.insert(id);
        }
    }

    fn take(&mut self, request: &FcmRequest) {
        let install = self.by_token[&*request.token];
        let calls = self.calls.clone();
        match request.answer {
            "sent" | "sent_then_drop" => {
                let data = &request.body["message"]["data"];
                let id =
                    data["command_id"].as_str().expect("one command travels inside").to_owned();
                let done = self.carried_out.entry((install.id.clone(), id.clone())).or_default();
                let is_double = *done > 0;
                self.doubles += usize::from(is_double);
                if !is_double {
                    *done += 1;
                }
                if is_double || install.token != self.dozing {
                    self.reporting.push(report(calls, install, id).boxed());
                }
            }
            // The app was told by its own means that its token is gone.
            "unregistered" => self.reporting.push(poll(calls, install).boxed()),
            _ => {}
        }
    }
}

async fn report(calls: Calls, install: &Install, id: String) -> Vec<(&Install, String)> {
    let row = calls.applied(install, &id).await;
    assert_eq!((row["status"].as_str(), row["accepted"].as_bool()), (Some("applied"), Some(true)));
    vec![(install, id)]
}

async fn poll(calls: Calls, install: &Install) -> Vec<(&Install, String)> {
    let mut reported = Vec::new();
    for id in calls.poll(install).await {
        reported.extend(report(calls.clone(), install, id).await);
    }
    reported
}

async fn judge(calls: &Calls, requests: &[FcmRequest], ids: &HashSet<String>) {
    let mut by_token: HashMap<&str, Vec<i64>> = HashMap::new();
    for request in requests {
        by_token.entry(&request.token).or_default().push(request.at_ms);
    }
    for (token, times) in &by_token {
        for (from, first) in times.iter().enumerate() {
            for (upto, last) in times.iter().enumerate().skip(from) {
                let back = usize::try_from((last - first + LATE_MS) / REFILL_MS).unwrap();
                assert!(upto - from < BURST + back, "{token}: {times:?}");
            }
        }
    }
    let mut path = "/api/v1/commands?limit=100".to_owned();
    let mut found = HashSet::new();
    loop {
        let page = calls.get(&path, &Token::service("backend")).await;
        for command in page["items"].as_array().unwrap() {
            assert_eq!(
                (command["status"].as_str(), command["attempts"].as_i64()),
                (Some("applied"), Some(1)),
                "{command}"
            );
            found.insert(command["command_id"].as_str().unwrap().to_owned());
        }
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/api/v1/commands?limit=100&cursor={cursor}");
    }
    assert_eq!(found, *ids);
}
