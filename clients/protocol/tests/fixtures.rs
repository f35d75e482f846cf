//! Golden frames: what stands in `fixtures/` is read and written back without
//! a change, key order included.

use std::collections::BTreeMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tidegate_protocol::client::{self, ClientMessage};
use tidegate_protocol::code::{CloseReason, ErrorCode};
use tidegate_protocol::command::{
    Channel, CommandStatus, Outcome, Platform, Priority, PushProvider, TimelineEvent,
};
use tidegate_protocol::entry::health::{ActivityBody, SleepBody};
use tidegate_protocol::entry::{
    CommandBody, CommandClosedBody, ConflictBody, ConflictStatus, Entry, IntegrationBody,
    IntegrationError, IntegrationStatus, ItemBody, RatingBody, RecordBody, RecordOp,
};
use tidegate_protocol::rest::health::day::{CorrectDay, DailyEntry};
use tidegate_protocol::rest::health::plain::SendAll;
use tidegate_protocol::rest::health::sent::{
    SendEntry, SendMetrics, SendSleep, SendSteps, SendWorkouts,
};
use tidegate_protocol::rest::health::{
    Activity, HealthProfile, Ingested, ProfileChange, SleepNight,
};
use tidegate_protocol::rest::history::CommandView;
use tidegate_protocol::rest::integrations::{
    ConnectAnswer, ConnectIntegration, IntegrationView, SyncAccepted,
};
use tidegate_protocol::rest::marketplace::{
    Asked, CategoryPage, ChangeSyncConfig, FailedRating, ItemView, RateSkill, RatingView,
    RatingWithdrawn, SkillPage, SocketStatus, SyncConfig, SyncStatus, SyncTriggered,
};
use tidegate_protocol::rest::{
    AckAnswer, AckRequest, CommandAccepted, CommandsAccepted, CreateCommand, CreateCommands,
    DeviceView, ErrorBody, Page, PollAnswer, PublishRecords, Published, PushState, RegisterDevice,
    Registered, ResultsAnswer, ResultsRequest, TriggerWrite,
};
use tidegate_protocol::server::{ResetReason, ServerMessage, Verdict};

/// The fixtures of a file, by name, without white space.
fn fixtures(file: &str) -> BTreeMap<String, String> {
    let path = format!("{}/fixtures/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).expect("the file is there");
    let all: Map<String, Value> = serde_json::from_str(&text).expect("it is one object");
    all.into_iter().map(|(name, value)| (name, value.to_string())).collect()
}

/// Writes a frame of a client back.
fn client_frame(text: &str) -> String {
    let frame = client::parse(text).expect("a client's frame");
    let reference = frame.reference.map(|reference| {
        serde_json::from_str::<String>(reference.get()).expect("fixtures have a text as `ref`")
    });
    let reference = reference.as_deref();
    match &frame.body {
        ClientMessage::Hello(body) => client::write("hello", reference, body),
        ClientMessage::Ack(body) => client::write("ack", reference, body),
        ClientMessage::Results(body) => client::write("results", reference, body),
        ClientMessage::Subscribe(body) => client::write("subscribe", reference, body),
        ClientMessage::Unsubscribe(body) => client::write("unsubscribe", reference, body),
        ClientMessage::Auth(body) => client::write("auth", reference, body),
        ClientMessage::Pong => client::write("pong", reference, &Map::new()),
        other => panic!("no fixture for {other:?}"),
    }
}

/// Every frame of a client.
#[test]
fn client_frames_survive() {
    let fixtures = fixtures("client_frames");
    for (name, text) in &fixtures {
        assert_eq!(client_frame(text), *text, "{name}");
    }
    for frame_type in ["hello", "ack", "results", "subscribe", "unsubscribe", "auth", "pong"] {
        assert!(fixtures.contains_key(frame_type), "{frame_type}");
    }
}

/// Every frame of the gateway.
#[test]
fn server_frames_survive() {
    let fixtures = fixtures("server_frames");
    for (name, text) in &fixtures {
        let (message, _) = ServerMessage::parse(text).unwrap();
        assert!(!matches!(message, ServerMessage::Unknown), "{name}");
        let frame: Value = serde_json::from_str(text).unwrap();
        let reference =
            frame.get("ref").map(|value| serde_json::value::to_raw_value(value).unwrap());
        assert_eq!(message.write(reference.as_deref()), *text, "{name}");
    }
    for frame_type in [
        "welcome",
        "streams",
        "snapshot",
        "events",
        "results_ok",
        "auth_ok",
        "auth_expiring",
        "ping",
        "drain",
        "error",
    ] {
        assert!(fixtures.contains_key(frame_type), "{frame_type}");
    }
}

/// Reads a text as a `T` and writes it back.
fn again<T: DeserializeOwned + Serialize>(text: &str) -> String {
    let read: T = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    serde_json::to_string(&read).expect("it is written back")
}

/// Every kind of entry, with its body; of a kind nobody knows the body stays
/// as it is.
#[test]
fn entries_survive() {
    for (name, text) in fixtures("entries") {
        assert_eq!(again::<Entry>(&text), text, "{name}");
        let entry: Entry = serde_json::from_str(&text).unwrap();
        let body = entry.body.get();
        let written = match entry.kind.as_str() {
            "command" => again::<CommandBody>(body),
            "command_closed" => again::<CommandClosedBody>(body),
            "record" => again::<RecordBody>(body),
            "skill" | "category" => again::<ItemBody>(body),
            "rating" => again::<RatingBody>(body),
            "daily_entry" => again::<DailyEntry>(body),
            "sleep" => again::<SleepBody>(body),
            "activity" => again::<ActivityBody>(body),
            "conflict" => again::<ConflictBody>(body),
            "integration" => again::<IntegrationBody>(body),
            _ => again::<Value>(body),
        };
        assert_eq!(written, body, "{name}");
    }
}

/// A body about health data.
fn health_body(type_name: &str, text: &str) -> Option<String> {
    Some(match type_name {
        "SendSteps" => again::<SendSteps>(text),
        "SendSleep" => again::<SendSleep>(text),
        "SendWorkouts" => again::<SendWorkouts>(text),
        "SendMetrics" => again::<SendMetrics>(text),
        "SendEntry" => again::<SendEntry>(text),
        "SendAll" => again::<SendAll>(text),
        "Ingested" => again::<Ingested>(text),
        "CorrectDay" => again::<CorrectDay>(text),
        "Page_of_DailyEntry" => again::<Page<DailyEntry>>(text),
        "Page_of_SleepNight" => again::<Page<SleepNight>>(text),
        "Activity" => again::<Activity>(text),
        "HealthProfile" => again::<HealthProfile>(text),
        "ProfileChange" => again::<ProfileChange>(text),
        _ => return None,
    })
}

/// Every body of the HTTP calls.
#[test]
fn http_bodies_survive() {
    for (name, text) in fixtures("http") {
        let type_name = name.split("_with_").next().unwrap().split("_that_").next().unwrap();
        let written = match type_name.split("_for_").next().unwrap() {
            "ErrorBody" => again::<ErrorBody>(&text),
            "RegisterDevice" => again::<RegisterDevice>(&text),
            "Registered" => again::<Registered>(&text),
            "Page_of_DeviceView" => again::<Page<DeviceView>>(&text),
            "PollAnswer" => again::<PollAnswer>(&text),
            "AckRequest" => again::<AckRequest>(&text),
            "AckAnswer" => again::<AckAnswer>(&text),
            "ResultsRequest" => again::<ResultsRequest>(&text),
            "ResultsAnswer" => again::<ResultsAnswer>(&text),
            "CreateCommand" => again::<CreateCommand>(&text),
            "CommandAccepted" => again::<CommandAccepted>(&text),
            "CreateCommands" => again::<CreateCommands>(&text),
            "CommandsAccepted" => again::<CommandsAccepted>(&text),
            "CommandView" => again::<CommandView>(&text),
            "Page_of_CommandView" => again::<Page<CommandView>>(&text),
            "TriggerWrite" => again::<TriggerWrite>(&text),
            "PublishRecords" => again::<PublishRecords>(&text),
            "Published" => again::<Published>(&text),
            "ItemView" => again::<ItemView>(&text),
            "SkillPage" => again::<SkillPage>(&text),
            "RateSkill" => again::<RateSkill>(&text),
            "RatingView" => again::<RatingView>(&text),
            "RatingWithdrawn" => again::<RatingWithdrawn>(&text),
            "CategoryPage" => again::<CategoryPage>(&text),
            "SyncStatus" => again::<SyncStatus>(&text),
            "SyncTriggered" => again::<SyncTriggered>(&text),
            "SyncConfig" => again::<SyncConfig>(&text),
            "ChangeSyncConfig" => again::<ChangeSyncConfig>(&text),
            "SocketStatus" => again::<SocketStatus>(&text),
            "Asked" => again::<Asked>(&text),
            "Page_of_IntegrationView" => again::<Page<IntegrationView>>(&text),
            "ConnectIntegration" => again::<ConnectIntegration>(&text),
            "ConnectAnswer" => again::<ConnectAnswer>(&text),
            "SyncAccepted" => again::<SyncAccepted>(&text),
            "Page_of_FailedRating" => again::<Page<FailedRating>>(&text),
            other => health_body(other, &text).unwrap_or_else(|| panic!("no type for {other}")),
        };
        assert_eq!(written, text, "{name}");
    }
}

/// The tables of codes and of the other stable words.
#[test]
fn codes_are_the_ones_in_the_tables() {
    macro_rules! words {
        ($type:ty) => {
            <$type>::ALL.iter().map(|word| word.as_str()).collect::<Vec<_>>().into()
        };
    }
    macro_rules! numbers {
        ($type:ty) => {{
            let rows = <$type>::ALL.iter();
            let rows = rows.map(|word| (word.as_str().to_owned(), word.number().into()));
            Value::Object(rows.collect())
        }};
    }
    let tables: [(&str, Value); 15] = [
        ("errors", numbers!(ErrorCode)),
        ("closes", numbers!(CloseReason)),
        ("verdicts", words!(Verdict)),
        ("reset_reasons", words!(ResetReason)),
        ("command_statuses", words!(CommandStatus)),
        ("outcomes", words!(Outcome)),
        ("priorities", words!(Priority)),
        ("timeline_events", words!(TimelineEvent)),
        ("channels", words!(Channel)),
        ("platforms", words!(Platform)),
        ("push_states", words!(PushState)),
        ("record_ops", words!(RecordOp)),
        ("conflict_statuses", words!(ConflictStatus)),
        ("integration_statuses", words!(IntegrationStatus)),
        ("integration_errors", words!(IntegrationError)),
    ];
    let mut expected: BTreeMap<String, String> =
        tables.into_iter().map(|(name, table)| (name.to_owned(), table.to_string())).collect();
    let providers: Value = words!(PushProvider);
    expected.insert("push_providers".to_owned(), providers.to_string());
    assert_eq!(fixtures("codes"), expected);
}
