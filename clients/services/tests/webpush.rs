//! Web Push against a service that verifies and a browser that decrypts.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_clock::Clock;
use tidegate_fakes::answer::{Reply, RetryAfter};
use tidegate_fakes::webpush::answer::Answer;
use tidegate_services::outcome::Action;
use tidegate_services::transport::TransportError;
use tidegate_services::wake::{Ttl, Urgency};
use tidegate_services::webpush::Accepted;
use tidegate_services::webpush::address::{EndpointError, Policy};
use tidegate_services::webpush::error::{WebPushError, WebPushRefusal};
use tidegate_services::webpush::message::{Message, Payload, Topic};
use tidegate_services::webpush::seal::Ephemeral;
use tidegate_services::webpush::subscription::Subscription;

use crate::stage::{self, WebPushStage, wake, webpush_client};

const TTL: Ttl = Ttl::seconds(60);

fn parse(json: &str) -> Subscription {
    Subscription::from_json(json).unwrap()
}

fn retry(seconds: u64) -> Action {
    Action::RetryAfter { floor: Duration::from_secs(seconds) }
}

impl WebPushStage {
    fn subscribe(&self) -> (String, Subscription) {
        let made = self.fake.subscribe(Some(self.client.public_key()));
        (made.id, parse(&made.json))
    }

    async fn wake(&self, to: &Subscription) -> Result<Accepted, WebPushError> {
        self.client.send_wake(to, &wake(10), Urgency::High, TTL).await
    }

    /// What the service refuses with, and its status.
    async fn refusal(&self, to: &Subscription) -> (WebPushRefusal, u16) {
        match self.wake(to).await {
            Err(WebPushError::Refused(refusal)) => (refusal.kind, refusal.status),
            other => panic!("{other:?}"),
        }
    }
}

/// A wake-up is authorised, encrypted, and read by the service worker.
#[tokio::test]
async fn a_wake_up_arrives() {
    let stage = stage::webpush().await;
    let (id, to) = stage.subscribe();
    let message_id = Some("1".to_owned());
    assert_eq!(stage.wake(&to).await, Ok(Accepted { ttl_s: Some(60), message_id }));
    let [message] = stage.fake.messages(&id).try_into().unwrap();
    assert_eq!(message.urgency, "high");
    assert_eq!(message.topic.as_deref(), Some("sync"));
    let payload: Value = serde_json::from_slice(&message.payload).unwrap();
    assert_eq!(payload["action"], "write_health");
    assert_eq!(payload["value"], "\"xxxxxxxx\"");
}

/// The largest message is taken; a larger command becomes a hint.
#[tokio::test]
async fn a_command_that_does_not_fit_arrives_as_a_hint() {
    let stage = stage::webpush().await;
    let (id, to) = stage.subscribe();
    let payload = Payload::new(vec![b'x'; 3993]).unwrap();
    let message = Message { payload, ttl: TTL, urgency: Urgency::Normal, topic: None };
    stage.client.send(&to, &message).await.unwrap();
    stage.client.send_wake(&to, &wake(4000), Urgency::Normal, TTL).await.unwrap();
    let messages = stage.fake.messages(&id);
    assert_eq!(messages[0].payload.len(), 3993);
    let hint: Value = serde_json::from_slice(&messages[1].payload).unwrap();
    assert_eq!(hint, json!({"action": "sync", "stream": "user:u1", "seq": "42"}));
}

/// A service that finds the command too large gets the hint at once.
#[tokio::test]
async fn a_service_with_a_smaller_limit_gets_the_hint() {
    let stage = stage::webpush().await;
    let (id, to) = stage.subscribe();
    stage.fake.script(&id, [Answer::TooLarge]);
    stage.wake(&to).await.unwrap();
    let [message] = stage.fake.messages(&id).try_into().unwrap();
    assert!(message.payload.starts_with(b"{\"action\":\"sync\""));
    stage.fake.script(&id, [Answer::TooLarge, Answer::TooLarge]);
    assert_eq!(stage.wake(&to).await.unwrap_err().action(), Action::MessageInvalid);
}

/// Off line, only the newest wake-up waits; with no life left none does.
#[tokio::test]
async fn waiting_wake_ups_replace_one_another() {
    let stage = stage::webpush().await;
    let (id, to) = stage.subscribe();
    stage.fake.go_offline(&id);
    stage.wake(&to).await.unwrap();
    stage.wake(&to).await.unwrap();
    stage.fake.go_online(&id);
    assert_eq!(stage.fake.messages(&id).len(), 1);
    stage.fake.go_offline(&id);
    stage.client.send_wake(&to, &wake(10), Urgency::High, Ttl::seconds(0)).await.unwrap();
    stage.fake.go_online(&id);
    assert_eq!(stage.fake.messages(&id).len(), 1);
}

/// Each refusal of the table leads to its action.
#[tokio::test]
async fn every_refusal_has_its_action() {
    let stage = stage::webpush().await;
    let (id, to) = stage.subscribe();
    let wait = Some(RetryAfter::Seconds(120));
    for (answer, expected) in [
        (Answer::BadRequest(110), Action::MessageInvalid),
        (Answer::Unauthorized, Action::TokenRefused),
        (Answer::BadJwt, Action::TokenRefused),
        (Answer::OtherCredentials, Action::TokenForeign),
        (Answer::HashMismatch, Action::TokenForeign),
        (Answer::NotFound, Action::TokenDead),
        (Answer::Gone, Action::TokenDead),
        (Answer::RateLimited { retry_after: None }, retry(60)),
        (Answer::RateLimited { retry_after: wait }, retry(120)),
        (Answer::RateLimited { retry_after: Some(RetryAfter::DateInSeconds(30)) }, retry(30)),
        (Answer::Unavailable { retry_after: None }, retry(0)),
        (Answer::Unavailable { retry_after: wait }, retry(120)),
        (Answer::Internal, retry(0)),
        (Answer::Empty(502), retry(0)),
        (Answer::Empty(418), Action::TokenRefused),
        (Answer::Empty(404), Action::TokenRefused),
        (Answer::Empty(406), retry(60)),
    ] {
        let name = answer.name();
        stage.fake.script(&id, [answer]);
        assert_eq!(stage.wake(&to).await.unwrap_err().action(), expected, "{name}");
    }
    stage.fake.unsubscribe(&id);
    assert_eq!(stage.refusal(&to).await, (WebPushRefusal::Gone, 410));
}

/// A subscription made with another VAPID key is foreign.
#[tokio::test]
async fn another_vapid_key_is_noticed() {
    let stage = stage::webpush().await;
    let made = stage.fake.subscribe(Some("BOther"));
    assert_eq!(stage.refusal(&parse(&made.json)).await.0, WebPushRefusal::KeyMismatch);
}

/// The service believes no VAPID token outside of its day, which clocks that
/// differ by some hours do not leave.
#[tokio::test]
async fn clocks_may_differ_by_hours_but_not_by_days() {
    let stage = stage::webpush().await;
    let made = stage.fake.subscribe(None);
    for (hours, is_accepted) in [(-13, false), (-11, true), (11, true), (13, false)] {
        let (clock, _) = stage::standing_at(hours * 3_600);
        let client = webpush_client(clock, Policy::AllowInsecure);
        let answer = client.send_wake(&parse(&made.json), &wake(10), Urgency::High, TTL).await;
        assert_eq!(answer.is_ok(), is_accepted, "{hours} h");
    }
}

/// No answer, or an answer that leads elsewhere.
#[tokio::test]
async fn broken_connections_time_outs_and_redirects() {
    let stage = stage::webpush().await;
    let (id, to) = stage.subscribe();
    let (other, _) = stage.subscribe();
    let elsewhere = format!("{}/push/{other}", stage.fake.url());
    stage.fake.script(&id, [Answer::CreatedThenDrop, Answer::Hang, Answer::Redirect(elsewhere)]);
    let broken = WebPushError::Transport(TransportError::Broken);
    assert_eq!(stage.wake(&to).await, Err(broken));
    let timed_out = WebPushError::Transport(TransportError::TimedOut);
    assert_eq!(stage.wake(&to).await, Err(timed_out));
    assert_eq!(stage.refusal(&to).await, (WebPushRefusal::Other, 307));
    assert!(stage.fake.messages(&other).is_empty(), "redirects are not followed");
}

/// In production no request leaves for a private address, whether it stands
/// in the endpoint or behind a name, and whether it was checked before.
#[tokio::test]
async fn private_endpoints_are_never_contacted() {
    let stage = stage::webpush().await;
    let made = stage.fake.subscribe(None);
    let client = webpush_client(Clock::system(), Policy::PublicHttps);
    let https = made.json.replace("http://", "https://");
    for (json, expected) in [
        (made.json.clone(), EndpointError::NotHttps),
        (https.clone(), EndpointError::NotPublic),
        (https.replace("127.0.0.1", "[::1]"), EndpointError::NotPublic),
        (https.replace("127.0.0.1", "localhost"), EndpointError::Reserved),
    ] {
        let to = parse(&json);
        assert_eq!(client.check(&to).await, Err(expected));
        let error = client.send_wake(&to, &wake(10), Urgency::High, TTL).await.unwrap_err();
        assert_eq!(error, WebPushError::Endpoint(expected));
    }
    assert!(stage.fake.requests().is_empty());
}

/// The resolver's verdict on a name reaches the caller through the client.
#[tokio::test]
async fn a_name_that_does_not_resolve_is_said() {
    let stage = stage::webpush().await;
    let made = stage.fake.subscribe(None);
    // No label is longer than 63 characters: no server is asked.
    let name = format!("{}.example.com", "a".repeat(64));
    let to = parse(&made.json.replace("127.0.0.1", &name));
    assert_eq!(stage.client.check(&to).await, Err(EndpointError::Unresolved));
    let error = stage.wake(&to).await.unwrap_err();
    assert_eq!(error, WebPushError::Endpoint(EndpointError::Unresolved));
}

/// What a service says in headers is told, bounded, and without the endpoint.
#[tokio::test]
async fn reason_headers_are_told() {
    let stage = stage::webpush().await;
    let (id, to) = stage.subscribe();
    let quoted = format!("Channel {} is throttled", to.endpoint());
    let reply = Reply { retry_after: Some(RetryAfter::Seconds(75)), ..Reply::wns(406, &quoted) };
    stage.fake.script(&id, [Answer::Reply(reply)]);
    let error = stage.wake(&to).await.unwrap_err();
    assert_eq!(error.action(), retry(75));
    let expected = "the service limits the rate (HTTP 406): x-wns-error-description: Channel \
        [hidden] is throttled, x-wns-status: dropped; it asks to wait 75 s";
    assert_eq!(error.to_string(), expected);
}

/// Development may use plain loopback.
#[tokio::test]
async fn development_may_use_loopback() {
    let stage = stage::webpush().await;
    let (_, to) = stage.subscribe();
    assert_eq!(stage.client.check(&to).await, Ok(()));
    let named = stage.fake.subscribe(None).json.replace("127.0.0.1", "localhost");
    // The token is signed for another origin than the service goes by.
    assert_eq!(stage.refusal(&parse(&named)).await, (WebPushRefusal::Unauthorized, 401));
}

/// All of a request but the signature is fixed by its inputs.
#[tokio::test]
async fn requests_can_be_reproduced() {
    let stage = stage::webpush().await;
    let (_, to) = stage.subscribe();
    let message = Message {
        payload: Payload::hint(&wake(10)),
        ttl: TTL,
        urgency: Urgency::High,
        topic: Some(Topic::sync()),
    };
    let parts = || {
        let ephemeral = Ephemeral::from_parts(&[7; 32], [9; 16]).unwrap();
        stage.client.parts(&to, &message, ephemeral).unwrap()
    };
    assert_eq!(parts().body, parts().body);
    let headers = parts().headers;
    let shown = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert_eq!(shown("ttl"), "60");
    assert_eq!(shown("urgency"), "high");
    assert_eq!(shown("topic"), "sync");
    assert_eq!(shown("content-encoding"), "aes128gcm");
    assert_eq!(shown("content-type"), "application/octet-stream");
    assert_eq!(shown("content-length"), parts().body.len().to_string());
    assert!(shown("authorization").starts_with("vapid t=eyJ"));
    assert_eq!(headers.len(), 7);
}

/// No error and no debug output shows the endpoint or the payload.
#[tokio::test]
async fn errors_show_no_secret() {
    let stage = stage::webpush().await;
    let (id, to) = stage.subscribe();
    stage.fake.script(&id, [Answer::CreatedThenDrop, Answer::Gone]);
    for _ in 0..2 {
        let error = stage.wake(&to).await.unwrap_err();
        let shown = format!("{error} {error:?} {to:?} {:?}", stage.client);
        assert!(!shown.contains(&id) && !shown.contains("vapid t="), "{shown}");
    }
}
