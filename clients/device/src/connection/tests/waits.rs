//! Refusals that say when to come back, and closes before `welcome`.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::script::{EPOCH, Gateway, Http, play, quick};
use crate::connection::SyncError;
use crate::rest::RestError;
use crate::settings::{Settings, Transport};
use crate::state::State;

/// What the refusals of these tests ask for. It is measured from before they are
/// written, so that no pause of the test counts for the device.
const ASKED: Duration = Duration::from_secs(1);

const IN_SECONDS: &str = "503 Service Unavailable\r\nretry-after: 1";
const AS_DATE: &str = "429 Too Many Requests\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
    retry-after: Sun, 06 Nov 1994 08:49:38 GMT";

fn nothing_new() -> serde_json::Value {
    json!({"streams": {"user:u1": {"epoch": EPOCH, "head": 0, "verdict": "reset"}},
        "frames": [{"type": "snapshot", "stream": "user:u1", "epoch": EPOCH, "seq": 0,
            "items": [], "last": true}],
        "cursor": "opaque", "more": false})
}

/// Proxies that let the upgrade through and then close, each in its way.
#[tokio::test]
async fn sockets_closed_before_the_welcome_lead_to_polling() {
    let gateway = Gateway::bind().await;
    let device = gateway.builder().build().await.unwrap();
    play(&device, async {
        for code in [1000, 1008, 1013] {
            gateway.accept().await.0.close(code).await;
        }
        gateway
            .http(|target, _| {
                assert!(target.starts_with("/api/v1/sync/poll"), "{target}");
                Http::Last(nothing_new())
            })
            .await;
        device.state().wait_for(|state| *state == State::Polling).await.unwrap();
    })
    .await
    .unwrap();
}

/// On the way to a socket and in polls alike, in seconds and as a date.
#[tokio::test]
async fn retry_after_is_waited_for() {
    for transport in [Transport::SocketOnly, Transport::PollOnly] {
        for refusal in [IN_SECONDS, AS_DATE] {
            let gateway = Gateway::bind().await;
            let settings = Settings { transport, ..quick() };
            let device = gateway.builder().settings(settings).build().await.unwrap();
            play(&device, async {
                // A poll registers the device first.
                let refused = Instant::now();
                gateway.refuse(refusal).await;
                gateway.tcp().await;
                assert!(refused.elapsed() >= ASKED, "{refusal}");
            })
            .await
            .unwrap();
        }
    }
}

/// A proxy that says a day is not believed.
#[tokio::test]
async fn a_wait_has_a_bound() {
    let gateway = Gateway::bind().await;
    let longest = Duration::from_millis(100);
    let transport = Transport::SocketOnly;
    let settings = Settings { retry_after_longest: longest, transport, ..quick() };
    let device = gateway.builder().settings(settings).build().await.unwrap();
    play(&device, async {
        for asked in ["86400", "99999999999999999999999", "Fri, 06 Nov 2894 08:49:37 GMT"] {
            gateway.refuse(&format!("503 Service Unavailable\r\nretry-after: {asked}")).await;
        }
        gateway.accept_live().await;
    })
    .await
    .unwrap();
}

/// Rounds and pushes between runs keep away too, and so does the next run,
/// whatever woke the device before it.
#[tokio::test]
async fn what_one_round_was_told_holds_for_the_next() {
    let gateway = Gateway::bind().await;
    let device = gateway.builder().build().await.unwrap();
    let refused = Instant::now();
    let (first, ()) = tokio::join!(device.sync_once(0), gateway.refuse(IN_SECONDS));
    assert!(matches!(first, Err(SyncError::Rest(RestError::Wait { retry_after: Some(_) }))));
    device.wake();
    let second = device.sync_once(0).await;
    assert!(matches!(second, Err(SyncError::Rest(RestError::Wait { retry_after: Some(_) }))));
    assert!(!gateway.is_called_within(Duration::from_millis(50)).await);
    play(&device, async {
        gateway.accept_live().await;
        assert!(refused.elapsed() >= ASKED);
    })
    .await
    .unwrap();
}

/// The `error` frame before a close says when: no place for this device, or a
/// database that is away; also where a cut takes the close frame.
#[tokio::test]
async fn a_refused_session_comes_back_when_it_was_told() {
    let gateway = Gateway::bind().await;
    let device = gateway.builder().build().await.unwrap();
    play(&device, async {
        for (code, word) in
            [(Some(4403), "too_many_devices"), (Some(1013), "unavailable"), (None, "unavailable")]
        {
            let (mut peer, _) = gateway.accept().await;
            let refused = Instant::now();
            let error = json!({"type": "error", "code": word, "message": "m",
                "retry_after_ms": 400});
            peer.send(&error).await;
            match code {
                Some(code) => peer.close_with(code, word).await,
                None => drop(peer),
            }
            let (peer, _) = gateway.accept_live().await;
            assert!(refused.elapsed() >= Duration::from_millis(400), "{code:?}");
            drop(peer);
        }
    })
    .await
    .unwrap();
}
