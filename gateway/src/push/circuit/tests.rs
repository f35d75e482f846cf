//! Who opens a circuit, who tries it, and who closes it.

use super::*;

const PAUSE: Duration = Duration::from_mins(1);
const GRACE: Duration = Duration::from_secs(15);

struct Bench {
    circuits: Circuits,
    now: Instant,
}

fn circuit() -> Circuit {
    Circuit::WebPush("https://push.example.com".to_owned())
}

fn route(service: Circuit) -> Route {
    Route { service, platform: None }
}

impl Bench {
    fn new() -> Self {
        Self { circuits: Circuits::new(60_000), now: Instant::now() }
    }

    fn leave(&self, name: &str) -> Result<Leave, Duration> {
        let device = DeviceKey { user_id: name.to_owned(), device_id: name.to_owned() };
        self.circuits.admit(route(circuit()), &device, self.now)
    }

    fn refused_as(&self, leave: &Leave, evidence: Evidence) -> Fault {
        self.circuits.refused(leave, &circuit(), evidence, self.now)
    }

    fn refused(&self, name: &str) -> Fault {
        self.refused_as(&self.leave(name).unwrap(), Evidence::OneToken)
    }

    fn taken(&self, name: &str) -> usize {
        self.circuits.taken(&self.leave(name).unwrap(), self.now).len()
    }

    fn opened() -> Self {
        let bench = Self::new();
        assert_eq!(bench.refused("a"), Fault::Token);
        assert_eq!(bench.refused("b"), Fault::Token);
        assert_eq!(bench.refused("c"), Fault::Service { wait: GRACE, is_new: true });
        bench
    }
}

#[test]
fn one_token_never_opens_it_however_often_it_is_refused() {
    let bench = Bench::new();
    for _ in 0..10 {
        assert_eq!(bench.refused("a"), Fault::Token);
    }
    assert_eq!(bench.circuits.count_open(bench.now), 0);
}

#[test]
fn several_tokens_open_it_and_one_that_met_nothing_may_try_at_once() {
    let bench = Bench::opened();
    assert_eq!(bench.leave("a").unwrap_err(), GRACE, "not one of those that opened it");
    let probe = bench.leave("d").unwrap();
    assert_eq!(bench.leave("e").unwrap_err(), PUSH_PROBE_WAIT, "one at a time");
    assert_eq!(bench.circuits.taken(&probe, bench.now), [circuit()]);
    bench.leave("e").unwrap();
    bench.leave("a").unwrap();
}

#[test]
fn a_success_in_between_makes_it_their_own() {
    let bench = Bench::new();
    bench.refused("a");
    bench.refused("b");
    bench.taken("healthy");
    // Known by now: neither is evidence any more, a third alone is not enough.
    for name in ["a", "b", "c", "a", "b", "c"] {
        assert_eq!(bench.refused(name), Fault::Token, "{name}");
    }
}

#[test]
fn a_try_that_fails_pauses_and_the_culprits_come_last() {
    let mut bench = Bench::opened();
    let probe = bench.leave("d").unwrap();
    let wait = PAUSE + GRACE;
    assert_eq!(
        bench.refused_as(&probe, Evidence::OneToken),
        Fault::Service { wait, is_new: false }
    );
    assert_eq!(bench.leave("e").unwrap_err(), PAUSE);
    bench.now += PAUSE;
    assert_eq!(bench.leave("d").unwrap_err(), GRACE);
    bench.now += GRACE;
    // Nobody else came: then one of them.
    assert_eq!(bench.taken("d"), 1);
}

#[test]
fn what_was_under_way_neither_closes_nor_delays_it() {
    let bench = Bench::new();
    let (good, bad) = (bench.leave("x").unwrap(), bench.leave("y").unwrap());
    for name in ["a", "b", "c"] {
        bench.refused(name);
    }
    assert!(bench.circuits.taken(&good, bench.now).is_empty());
    bench.refused_as(&bad, Evidence::OneToken);
    assert_eq!(bench.circuits.count_open(bench.now), 1);
    bench.leave("d").unwrap();
}

#[test]
fn a_refusal_of_the_project_opens_it_for_everybody_for_a_pause() {
    let mut bench = Bench::new();
    let leave = bench.leave("a").unwrap();
    let wait = PAUSE + GRACE;
    assert_eq!(bench.refused_as(&leave, Evidence::Project), Fault::Service { wait, is_new: true });
    assert_eq!(bench.leave("b").unwrap_err(), PAUSE);
    bench.now += PAUSE;
    let probe = bench.leave("b").unwrap();
    bench.circuits.release(&probe);
    assert_eq!(bench.taken("c"), 1, "a try that says nothing makes room for another");
}

#[test]
fn a_try_that_never_ends_makes_room_in_time() {
    let mut bench = Bench::opened();
    bench.leave("d").unwrap();
    bench.now += PUSH_PROBE_TIME;
    bench.leave("e").unwrap();
}

#[test]
fn one_origin_or_platform_does_not_silence_another() {
    let circuits = Circuits::new(60_000);
    let now = Instant::now();
    let device = DeviceKey { user_id: "u".to_owned(), device_id: "d".to_owned() };
    let platform = Circuit::FcmPlatform;
    let all = |of: Platform| Route { service: Circuit::Fcm, platform: Some(platform(of)) };
    let leave = circuits.admit(all(Platform::Ios), &device, now).unwrap();
    circuits.refused(&leave, &platform(Platform::Ios), Evidence::Project, now);
    circuits.admit(all(Platform::Android), &device, now).unwrap();
    circuits.admit(all(Platform::Ios), &device, now).unwrap_err();
    circuits.admit(route(circuit()), &device, now).unwrap();
}

#[test]
fn what_is_remembered_is_bounded_and_open_ones_stay() {
    let circuits = Circuits::new(60_000);
    let now = Instant::now();
    let device = DeviceKey { user_id: "u".to_owned(), device_id: "d".to_owned() };
    let refuse = |circuit: Circuit, evidence| {
        let leave = circuits.admit(route(circuit.clone()), &device, now).unwrap();
        circuits.refused(&leave, &circuit, evidence, now)
    };
    refuse(Circuit::Fcm, Evidence::Project);
    for number in 0..PUSH_CIRCUITS + 10 {
        refuse(Circuit::WebPush(format!("https://h{number}.example.com")), Evidence::OneToken);
    }
    assert_eq!(lock(&circuits.states).len(), PUSH_CIRCUITS);
    assert_eq!(circuits.count_open(now), 1);
    assert_eq!(circuits.count_open(now + PAUSE + PUSH_CIRCUIT_FORGOTTEN), 0);
}
