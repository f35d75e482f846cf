//! What must hold whatever happens, over random histories.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::results::report;
use crate::support::{Gateway, put};

mod replica;

use replica::{History, Step};

const CASES: u32 = 8;

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: CASES,
        max_shrink_iters: 30,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Runs a case on a runtime of its own, as `#[tokio::test]` does.
fn run(case: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(Box::pin(case));
}

fn step() -> impl Strategy<Value = Step> {
    let change = (0..4_u8, 0..4_u8, any::<u8>());
    prop_oneof![
        4 => vec(change, 1..6).prop_map(Step::Publish),
        2 => Just(Step::Connect),
        2 => Just(Step::Cut),
        2 => Just(Step::Read),
        2 => (1..4_u8).prop_map(Step::Poll),
        1 => Just(Step::Ack),
        1 => any::<u8>().prop_map(Step::GoBack),
        1 => Just(Step::Forget),
    ]
}

proptest! {
    #![proptest_config(config())]

    /// A replica equals the fold of its stream, from any position it ever
    /// held, over sockets and polls, through any number of cuts; and no
    /// position runs ahead: acked ≤ sent ≤ head.
    #[test]
    fn replicas_equal_the_fold(steps in vec(step(), 1..30)) {
        run(async {
            let mut history = History::begin().await;
            for step in steps {
                history.take(step).await;
            }
            history.finish().await;
        });
    }

    /// The same input gives the same frames, apart from ids and times.
    #[test]
    fn the_same_input_gives_the_same_frames(program in vec((0..4_u8, any::<u8>()), 1..12)) {
        run(async {
            let first = said_by(&program).await;
            prop_assert_eq_text(&first, &said_by(&program).await);
        });
    }

    /// No device sees what is not for it, whatever ids users share.
    #[test]
    fn devices_see_their_own_entries_only(
        commands in vec((0..3_usize, prop::option::of(0..2_usize)), 1..20),
    ) {
        run(only_their_own(&commands));
    }
}

fn prop_assert_eq_text(first: &str, second: &str) {
    for (a, b) in first.lines().zip(second.lines()) {
        assert_eq!(a, b);
    }
    assert_eq!(first.lines().count(), second.lines().count());
}

/// Runs a program on a gateway of its own; the transcript.
async fn said_by(program: &[(u8, u8)]) -> String {
    let gateway = Gateway::start().await;
    let (phone, backend) = (gateway.device("phone", "u1"), gateway.backend());
    let mut hello = phone.hello();
    hello["subscribe"] = json!(["news"]);
    let (mut socket, _) = phone.open_with(&hello).await;
    socket.snapshot().await;
    socket.snapshot().await;
    let mut open: Option<String> = None;
    for (what, n) in program {
        match what {
            0 => {
                open = Some(backend.make("u1", &format!("t{n}")).await);
                socket.entries(1).await;
            }
            1 => {
                let record = put(&format!("r{}", n % 3), &json!({ "n": n }));
                backend.publish("news", json!([record])).await;
                socket.entries(1).await;
            }
            2 => {
                let Some(id) = open.take() else { continue };
                report(&mut socket, json!({ "command_id": id, "status": "applied" })).await;
                socket.entries(1).await;
            }
            _ => {
                let (mut again, _) = phone.open_with(&hello).await;
                socket.expect_close(4409, "replaced").await;
                again.snapshot().await;
                again.snapshot().await;
                socket = again;
            }
        }
    }
    gateway.said()
}

async fn only_their_own(commands: &[(usize, Option<usize>)]) {
    let gateway = Gateway::start().await;
    let backend = gateway.backend();
    let ids = [uuid::Uuid::new_v4().to_string(), uuid::Uuid::new_v4().to_string()];
    let mut all = Vec::new();
    for user in 0..3 {
        for (index, id) in ids.iter().enumerate() {
            let name = format!("{user}-{index}");
            let device = gateway.device_with_id(&name, &format!("u{user}"), id);
            let socket = device.open().await;
            all.push((user, index, device, socket));
        }
    }
    for (number, (user, address)) in commands.iter().enumerate() {
        let mut command =
            json!({ "user_id": format!("u{user}"), "data_type": "t", "value": number });
        if let Some(address) = address {
            command["device_id"] = json!(ids[*address]);
        }
        backend.make_with(&command).await;
    }
    for (user, index, device, socket) in &mut all {
        let is_for = |(to, address): &(usize, Option<usize>)| {
            to == user && address.is_none_or(|a| a == *index)
        };
        let expected: Vec<Value> = commands
            .iter()
            .enumerate()
            .filter(|(_, command)| is_for(command))
            .map(|(number, _)| json!(number))
            .collect();
        let mut seen = Vec::new();
        while seen.len() < expected.len() {
            let events = socket.expect("events").await;
            assert_eq!(events["stream"], device.stream());
            let entries = events["entries"].as_array().unwrap();
            seen.extend(entries.iter().map(|entry| entry["body"]["value"].clone()));
        }
        assert_eq!(seen, expected);
        socket.expect_nothing_pending().await;
    }
}
