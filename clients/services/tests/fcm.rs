//! Every row of FCM's error table, and what the client does about it.

use std::time::Duration;

use serde_json::json;
use tidegate_fakes::answer::RetryAfter;
use tidegate_fakes::fcm::answer::Answer;
use tidegate_protocol::time::Timestamp;
use tidegate_services::fcm::data::Data;
use tidegate_services::fcm::error::{FcmError, FcmRefusal};
use tidegate_services::fcm::message::{Message, Notification};
use tidegate_services::fcm::{Mode, Sent};
use tidegate_services::outcome::Action;
use tidegate_services::transport::TransportError;
use tidegate_services::wake::{Ttl, Urgency};

use crate::stage::{self, FcmStage, token, wake};

const TTL: Ttl = Ttl::seconds(60);

impl FcmStage {
    /// Sends one wake-up to `to`.
    async fn wake(&self, to: &str) -> Result<Sent, FcmError> {
        self.client.send_wake(&token(to), &wake(10), Urgency::High, TTL).await
    }

    /// What the client makes of one scripted answer.
    async fn action_on(&self, answer: Answer) -> Action {
        self.fake.script("device", [answer]);
        self.wake("device").await.unwrap_err().action()
    }
}

fn retry(seconds: u64) -> Action {
    Action::RetryAfter { floor: Duration::from_secs(seconds) }
}

/// A wake-up arrives whole, once, with one access token for many messages.
#[tokio::test]
async fn a_wake_up_arrives() {
    let stage = stage::fcm().await;
    let sent = stage.wake("device").await.unwrap();
    assert_eq!(sent.message_id, "0:1795000000000000%31bd1c9631bd1c96");
    stage.wake("device").await.unwrap();
    let delivered = stage.fake.delivered("device");
    assert_eq!(delivered.len(), 2);
    assert_eq!(delivered[0]["data"]["action"], "write_health");
    assert_eq!(delivered[0]["apns"]["headers"]["apns-expiration"], "1795000060");
    assert_eq!(stage.fake.collapse_keys("device"), ["sync"]);
    assert_eq!(stage.fake.google().outcomes(), ["granted"]);
}

/// A command of any size passes FCM's limit, as itself or as a hint.
#[tokio::test]
async fn a_command_that_does_not_fit_arrives_as_a_hint() {
    let stage = stage::fcm().await;
    let send = async |bytes: usize| {
        let wake = wake(bytes);
        stage.client.send_wake(&token("device"), &wake, Urgency::Normal, TTL).await.unwrap();
    };
    send(3900).await;
    send(4096).await;
    let delivered = stage.fake.delivered("device");
    assert_eq!(delivered[0]["data"]["action"], "write_health");
    let hint = json!({"action": "sync", "stream": "user:u1", "seq": "42"});
    assert_eq!(delivered[1]["data"], hint);
    assert_eq!(delivered[1]["android"]["priority"], "NORMAL");
}

/// A visible message shows its texts and carries its data.
#[tokio::test]
async fn a_notification_arrives() {
    let stage = stage::fcm().await;
    let shown = Notification::new("Title".into(), "Body".into(), None, Data::default()).unwrap();
    stage.client.send_notification(&token("device"), &shown, TTL).await.unwrap();
    let delivered = stage.fake.delivered("device");
    assert_eq!(delivered[0]["notification"], json!({"title": "Title", "body": "Body"}));
    assert!(stage.fake.collapse_keys("device").is_empty());
}

/// Validation delivers nothing.
#[tokio::test]
async fn a_validated_message_is_not_delivered() {
    let stage = stage::fcm().await;
    let (to, data) = (token("device"), Data::default());
    let message = Message::silent(&to, &data, Urgency::High, TTL, Timestamp::default());
    let sent = stage.client.send(message, Mode::Validate).await.unwrap();
    assert_eq!(sent.message_id, "fake_message_id");
    assert!(stage.fake.delivered("device").is_empty());
    assert_eq!(stage.fake.validated("device").len(), 1);
}

/// Each refusal of the table leads to its action.
#[tokio::test]
async fn every_refusal_has_its_action() {
    let stage = stage::fcm().await;
    let seconds = |s| Some(RetryAfter::Seconds(s));
    let date = Some(RetryAfter::DateInSeconds(30));
    for (answer, expected) in [
        (Answer::Unregistered, Action::TokenDead),
        (Answer::InvalidToken, Action::TokenDead),
        (Answer::InvalidTokenSentence, Action::TokenDead),
        (Answer::SenderIdMismatch, Action::TokenForeign),
        (Answer::ThirdPartyAuth, Action::PlatformRefused),
        (Answer::PermissionDenied, Action::OperatorAlert),
        (Answer::WrongAddress, Action::TokenRefused),
        (Answer::Empty(404), Action::TokenRefused),
        (Answer::Empty(403), Action::OperatorAlert),
        (Answer::Empty(400), Action::MessageInvalid),
        (Answer::QuotaExceeded { retry_after: None }, retry(60)),
        (Answer::QuotaExceeded { retry_after: seconds(90) }, retry(90)),
        (Answer::QuotaExceeded { retry_after: date }, retry(30)),
        (Answer::Empty(429), retry(60)),
        (Answer::Internal, retry(0)),
        (Answer::Empty(500), retry(0)),
        (Answer::Unavailable { retry_after: None }, retry(0)),
        (Answer::Unavailable { retry_after: seconds(120) }, retry(120)),
        (Answer::Unavailable { retry_after: date }, retry(30)),
        (Answer::BadGateway, retry(30)),
        (Answer::SentThenEmpty, retry(0)),
        (Answer::Json(200, json!({"name": 7})), retry(0)),
    ] {
        let name = answer.name();
        assert_eq!(stage.action_on(answer).await, expected, "{name}");
    }
    assert_eq!(stage.fake.google().outcomes(), ["granted"], "no refusal costs a token");
}

/// The checks of the service itself are told apart from faults of the token.
#[tokio::test]
async fn a_message_the_service_refuses_is_dropped_and_the_token_kept() {
    use tidegate_fakes::fcm::check::Fault;
    let stage = stage::fcm().await;
    for fault in [
        Fault::TooLarge,
        Fault::NotText("message.data[0].value".into()),
        Fault::ReservedKey,
        Fault::Ttl,
        Fault::Recipient,
        Fault::UnknownName("message".into()),
    ] {
        assert_eq!(stage.action_on(Answer::Refuse(fault)).await, Action::MessageInvalid);
    }
}

/// A dropped connection after delivery looks like a fault; a retry delivers
/// twice, which the command's id makes harmless.
#[tokio::test]
async fn an_answer_that_never_comes_may_mean_delivered() {
    let stage = stage::fcm().await;
    stage.fake.script("device", [Answer::SentThenDrop]);
    let error = stage.wake("device").await.unwrap_err();
    assert_eq!(error, FcmError::Transport(TransportError::Broken));
    assert_eq!(error.action(), retry(0));
    stage.wake("device").await.unwrap();
    let ids = stage.fake.delivered("device");
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0]["data"]["command_id"], ids[1]["data"]["command_id"]);
}

/// Silence ends after the time-out.
#[tokio::test]
async fn silence_is_a_time_out() {
    let stage = stage::fcm().await;
    stage.fake.script("device", [Answer::Hang]);
    let error = stage.wake("device").await.unwrap_err();
    assert_eq!(error, FcmError::Transport(TransportError::TimedOut));
    assert_eq!(error.action(), retry(0));
}

/// Nobody listens: a fault that passes.
#[tokio::test]
async fn an_unreachable_service_is_retried() {
    let stage = stage::fcm().await;
    stage.wake("device").await.unwrap();
    let FcmStage { fake, client, .. } = stage;
    drop(fake);
    let answer = client.send_wake(&token("device"), &wake(10), Urgency::High, TTL).await;
    assert_eq!(answer.unwrap_err().action(), retry(0));
}

/// A refused access token is replaced and the message sent again, once.
#[tokio::test]
async fn a_revoked_access_token_is_replaced_once() {
    let stage = stage::fcm().await;
    stage.wake("device").await.unwrap();
    stage.fake.google().revoke_all();
    stage.wake("device").await.unwrap();
    assert_eq!(stage.fake.google().outcomes().len(), 2);
    let answers: Vec<_> = stage.fake.requests().iter().map(|request| request.answer).collect();
    assert_eq!(answers, ["sent", "unauthenticated", "sent"]);
}

/// A second refusal calls an operator instead of looping.
#[tokio::test]
async fn a_second_refusal_of_the_access_token_is_an_alert() {
    let stage = stage::fcm().await;
    stage.fake.script("device", [Answer::Unauthenticated, Answer::Unauthenticated]);
    let error = stage.wake("device").await.unwrap_err();
    assert!(matches!(&error, FcmError::Refused(refusal)
        if refusal.kind == FcmRefusal::Unauthenticated));
    assert_eq!(error.action(), Action::OperatorAlert);
    assert_eq!(stage.fake.requests().len(), 2);
}

/// A bad APNs key also answers 401, and must not cost access tokens.
#[tokio::test]
async fn a_bad_apns_key_does_not_refresh_the_access_token() {
    let stage = stage::fcm().await;
    stage.fake.script("device", [Answer::ThirdPartyAuth]);
    let error = stage.wake("device").await.unwrap_err();
    assert!(error.to_string().ends_with("APNs 403, InvalidProviderToken"));
    assert_eq!(stage.fake.requests().len(), 1);
    assert_eq!(stage.fake.google().outcomes().len(), 1);
}

/// No error shows the device's token, the access token or a value.
#[tokio::test]
async fn errors_show_no_secret() {
    let stage = stage::fcm().await;
    for answer in [
        Answer::InvalidToken,
        Answer::SentThenDrop,
        Answer::Hang,
        Answer::Json(400, json!({"error": {"message": "secret-token ya29.c.sandbox-1 xxxxxxxx"}})),
    ] {
        stage.fake.script("secret-token", [answer]);
        let error = stage.wake("secret-token").await.unwrap_err();
        let shown = format!("{error} {error:?} {:?}", stage.client);
        for secret in ["secret-token", "ya29", "xxxxxxxx", "PRIVATE KEY"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

/// A token endpoint that refuses or fails shows in the action.
#[tokio::test]
async fn without_an_access_token_nothing_is_sent() {
    use tidegate_fakes::google::TokenAnswer;
    use tidegate_fakes::google::assertion::Refusal;
    let stage = stage::fcm().await;
    let unavailable =
        TokenAnswer::Status { status: 503, retry_after: Some(RetryAfter::Seconds(5)) };
    let google = stage.fake.google();
    google.script([unavailable, TokenAnswer::Refuse(Refusal::Signature)]);
    assert_eq!(stage.wake("device").await.unwrap_err().action(), retry(5));
    assert_eq!(stage.wake("device").await.unwrap_err().action(), Action::OperatorAlert);
    stage.wake("device").await.unwrap();
    assert_eq!(stage.fake.requests().len(), 1);
}

/// Access tokens are renewed before they end, so that no message meets 401.
#[tokio::test]
async fn access_tokens_are_renewed_early() {
    let stage = stage::fcm().await;
    for _ in 0..10 {
        stage.wake("device").await.unwrap();
        stage.hands.advance(Duration::from_mins(10));
    }
    let refused = stage.fake.requests().iter().filter(|r| r.answer != "sent").count();
    assert_eq!(refused, 0);
    assert_eq!(stage.fake.google().outcomes().len(), 2);
}
