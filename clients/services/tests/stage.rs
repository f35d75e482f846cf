//! Fakes and clients that tell the same time.

use std::time::Duration;

use tidegate_clock::{Clock, Hands};
use tidegate_fakes::fcm::FakeFcm;
use tidegate_fakes::webpush::FakeWebPush;
use tidegate_protocol::id::{CommandId, Seq, StreamName};
use tidegate_protocol::time::Timestamp;
use tidegate_services::fcm::message::DeviceToken;
use tidegate_services::fcm::{Fcm, FcmSettings};
use tidegate_services::oauth::account::ServiceAccount;
use tidegate_services::wake::{Wake, WriteHealth};
use tidegate_services::webpush::address::Policy;
use tidegate_services::webpush::vapid::{Vapid, generate_private_key};
use tidegate_services::webpush::{WebPush, WebPushSettings};

/// 2026-11-18T11:06:40Z.
pub(crate) const START_MS: i64 = 1_795_000_000_000;

/// Long enough for a busy machine, short enough for tests of time-outs.
pub(crate) const TIMEOUT: Duration = Duration::from_millis(1500);

/// A clock that stands so many seconds after the start.
pub(crate) fn standing_at(seconds: i64) -> (Clock, Hands) {
    Clock::standing(Timestamp::from_millis(START_MS + seconds * 1000))
}

pub(crate) struct FcmStage {
    pub(crate) fake: FakeFcm,
    pub(crate) client: Fcm,
    pub(crate) hands: Hands,
}

pub(crate) async fn fcm() -> FcmStage {
    let (clock, hands) = standing_at(0);
    let fake = FakeFcm::start_with(clock.clone()).await;
    let account = ServiceAccount::from_json(&fake.credentials()).unwrap();
    let base_url = fake.url().parse().unwrap();
    let settings = FcmSettings { base_url, project_id: None, request_timeout: TIMEOUT };
    let client = Fcm::new(account, &settings, clock.clone()).unwrap();
    FcmStage { fake, client, hands }
}

pub(crate) struct WebPushStage {
    pub(crate) fake: FakeWebPush,
    pub(crate) client: WebPush,
}

pub(crate) async fn webpush() -> WebPushStage {
    let (clock, _) = standing_at(0);
    let fake = FakeWebPush::start_on(0, clock.clone()).await.unwrap();
    let client = webpush_client(clock.clone(), Policy::AllowInsecure);
    WebPushStage { fake, client }
}

pub(crate) fn webpush_client(clock: Clock, policy: Policy) -> WebPush {
    let vapid = Vapid::new(&generate_private_key().unwrap(), "mailto:ops@example.com").unwrap();
    let settings = WebPushSettings { request_timeout: TIMEOUT, policy };
    WebPush::new(vapid, &settings, clock).unwrap()
}

pub(crate) fn token(text: &str) -> DeviceToken {
    DeviceToken::parse(text).unwrap()
}

/// A wake-up whose command's value is a JSON text of `value_bytes` bytes.
pub(crate) fn wake(value_bytes: usize) -> Wake {
    let value = format!("\"{}\"", "x".repeat(value_bytes - 2));
    Wake {
        stream: StreamName::parse("user:u1").unwrap(),
        seq: Seq::new(42),
        command: Some(WriteHealth {
            command_id: CommandId::parse("01890a5d-ac96-774b-bcce-b302099a8057").unwrap(),
            data_type: "weight".into(),
            value: serde_json::value::RawValue::from_string(value).unwrap(),
            timestamp: Timestamp::from_millis(START_MS),
            expires_at: Timestamp::from_millis(START_MS + 60_000),
        }),
    }
}
