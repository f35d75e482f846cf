//! Each refusal of the doors, through a router.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::response::Response;
use axum::routing::post;
use http::StatusCode;
use http::header::AUTHORIZATION;
use serde_json::{Value, json};
use tidegate_clock::Clock;
use tidegate_protocol::id::UserId;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tower::ServiceExt as _;

use super::*;
use crate::auth::Role;
use crate::config::load::load;

/// What the doors look at.
#[derive(Clone)]
struct Gatehouse {
    auth: Authenticator,
    intake: Intake,
    /// A route that is asked to wait does so until this is notified.
    go_on: Arc<Notify>,
}

impl FromRef<Gatehouse> for Authenticator {
    fn from_ref(state: &Gatehouse) -> Self {
        state.auth.clone()
    }
}

impl FromRef<Gatehouse> for Intake {
    fn from_ref(state: &Gatehouse) -> Self {
        state.intake.clone()
    }
}

impl Gatehouse {
    async fn new(settings: &[(&str, &str)]) -> Self {
        let secret = ("TIDEGATE_AUTH__HS256_SECRET".to_owned(), "s".repeat(32));
        let settings = settings.iter().map(|(key, text)| {
            let key = key.replace('.', "__").to_uppercase();
            (format!("TIDEGATE_{key}"), (*text).to_owned())
        });
        let config = load(None, settings.chain([secret])).unwrap();
        let metrics = Metrics::new();
        let auth = Authenticator::new(&config.auth, Clock::system(), metrics.clone()).await;
        let budget = Budget::new(config.limits.bodies_total_bytes);
        let intake = Intake::new(&config, budget, metrics);
        Self { auth: auth.unwrap(), intake, go_on: Arc::default() }
    }

    /// A route for each role; `/wait` answers when it is told to.
    fn router(&self) -> Router {
        let go_on = Arc::clone(&self.go_on);
        let wait = async move |Sent { body, .. }: Sent<Device, Value>| {
            go_on.notified().await;
            body.to_string()
        };
        Router::new()
            .route("/device", post(async |Sent { body, .. }: Sent<Device, Value>| body.to_string()))
            .route("/anyone", post(async |_: Sent<Anyone, Value>| ()))
            .route("/service", post(async |_: Sent<Service, Value>| ()))
            .route("/batch", post(async |_: SentRows<ServiceBatch, Value>| ()))
            .route("/admin", post(async |_: Sent<Admin, Value>| ()))
            .route("/wait", post(wait))
            .with_state(self.clone())
    }

    fn token(&self, user: &str, role: Role, device: Option<&DeviceId>) -> String {
        self.auth.issue(&UserId::parse(user).unwrap(), role, 60, device).unwrap()
    }

    fn held(&self) -> usize {
        self.intake.budget.held()
    }
}

fn request(path: &str, token: &str, body: Body) -> Request {
    Request::post(path)
        .header(CONTENT_TYPE, "application/json")
        .header(AUTHORIZATION, format!("Bearer {token}"))
        .body(body)
        .unwrap()
}

/// A body whose chunks the test sends.
fn slow() -> (mpsc::Sender<Bytes>, Body) {
    let (chunks, rest) = mpsc::channel::<Bytes>(8);
    let stream = futures_util::stream::unfold(rest, async |mut rest| {
        rest.recv().await.map(|chunk| (Ok::<_, std::io::Error>(chunk), rest))
    });
    (chunks, Body::from_stream(stream))
}

/// A body that must not be asked for.
fn untouched() -> Body {
    Body::from_stream(futures_util::stream::poll_fn(
        |_| -> std::task::Poll<Option<std::io::Result<Bytes>>> {
            panic!("the body was read before its sender was judged")
        },
    ))
}

async fn refused(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&bytes).unwrap();
    (status, body["error"]["code"].as_str().unwrap().to_owned())
}

fn code(status: u16, word: &str) -> (u16, String) {
    (status, word.to_owned())
}

#[tokio::test]
async fn who_may_not_send_is_refused_before_a_byte_is_read() {
    let house = Gatehouse::new(&[]).await;
    let app = house.router();
    for (path, welcome) in [
        ("/device", &[Role::Device][..]),
        ("/anyone", &[Role::Device, Role::Service, Role::Admin]),
        ("/service", &[Role::Service, Role::Admin]),
        ("/batch", &[Role::Service, Role::Admin]),
        ("/admin", &[Role::Admin]),
    ] {
        let answer = app.clone().oneshot(request(path, "no token", untouched())).await;
        assert_eq!(refused(answer.unwrap()).await, code(401, "unauthenticated"), "{path}");
        for role in [Role::Device, Role::Service, Role::Admin] {
            let token = house.token("u1", role, None);
            if welcome.contains(&role) {
                let answer = app.clone().oneshot(request(path, &token, Body::from("{}"))).await;
                assert_eq!(answer.unwrap().status(), StatusCode::OK, "{path} {role:?}");
            } else {
                let answer = app.clone().oneshot(request(path, &token, untouched())).await;
                assert_eq!(refused(answer.unwrap()).await, code(403, "forbidden"), "{path}");
            }
        }
    }
}

#[tokio::test]
async fn bodies_are_refused_with_our_envelope() {
    let house = Gatehouse::new(&[("limits.device_body_bytes", "1024")]).await;
    let (app, token) = (house.router(), house.token("u1", Role::Device, None));
    let send = async |content_type: &str, body: Body| {
        let mut request = request("/device", &token, body);
        request.headers_mut().insert(CONTENT_TYPE, content_type.parse().unwrap());
        app.clone().oneshot(request).await.unwrap()
    };
    for content_type in ["application/json", "Application/JSON; charset=utf-8"] {
        assert_eq!(send(content_type, Body::from("{}")).await.status(), StatusCode::OK);
    }
    for (content_type, text, expected) in [
        ("text/plain", "{}".to_owned(), code(415, "unsupported_media_type")),
        ("application/jsonx", "{}".to_owned(), code(415, "unsupported_media_type")),
        ("application/json", "x".repeat(1025), code(413, "too_large")),
        ("application/json", String::new(), code(400, "malformed")),
        ("application/json", "[]".to_owned(), code(422, "invalid")),
    ] {
        assert_eq!(refused(send(content_type, Body::from(text)).await).await, expected);
    }
    // One that does not say how long it is, too.
    let (chunks, body) = slow();
    for _ in 0..3 {
        chunks.send(Bytes::from("x".repeat(512))).await.unwrap();
    }
    let answer = send("application/json", body).await;
    assert_eq!(refused(answer).await, code(413, "too_large"));
    assert_eq!(house.held(), 0);
}

#[tokio::test]
async fn each_door_has_its_size() {
    let house = Gatehouse::new(&[]).await;
    let app = house.router();
    for (path, role, most) in [
        ("/device", Role::Device, 64 * 1024),
        ("/anyone", Role::Device, 64 * 1024),
        ("/service", Role::Service, 256 * 1024),
        ("/batch", Role::Service, 2 * 1024 * 1024),
        ("/admin", Role::Admin, 256 * 1024),
    ] {
        let token = house.token("u1", role, None);
        for (bytes, status) in [(most, 200), (most + 1, 413)] {
            let text = format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
            let answer = app.clone().oneshot(request(path, &token, Body::from(text)));
            assert_eq!(answer.await.unwrap().status().as_u16(), status, "{path}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_makes_no_progress_is_given_up() {
    let house = Gatehouse::new(&[]).await;
    let (app, token) = (house.router(), house.token("u1", Role::Device, None));
    let (chunks, body) = slow();
    let answer = app.clone().oneshot(request("/device", &token, body));
    let sending = async {
        for part in ["{", "\"a\":", "1"] {
            chunks.send(part.into()).await.unwrap();
            tokio::time::sleep(Duration::from_secs(9)).await;
        }
        assert!(house.held() > 0);
        std::future::pending::<()>().await;
    };
    let answer = tokio::select! { answer = answer => answer.unwrap(), () = sending => panic!() };
    assert_eq!(refused(answer).await, code(408, "body_timeout"));
    assert_eq!((house.held(), house.intake.metrics.bodies_stalled.get()), (0, 1));

    // A byte now and then is progress, but not for ever.
    let (chunks, body) = slow();
    let sending = async {
        loop {
            chunks.send(" ".into()).await.unwrap();
            tokio::time::sleep(Duration::from_secs(9)).await;
        }
    };
    let answer = app.oneshot(request("/device", &token, body));
    let answer = tokio::select! { answer = answer => answer.unwrap(), () = sending => panic!() };
    assert_eq!(refused(answer).await, code(408, "body_timeout"));
}

/// Bodies that are not whole yet, and those of calls that are not answered yet,
/// take of what their sender may take, and of what all may.
#[tokio::test]
async fn bodies_in_flight_take_so_much_memory() {
    let settings =
        [("limits.bodies_per_user_bytes", "131072"), ("limits.bodies_total_bytes", "196608")];
    let house = Gatehouse::new(&settings).await;
    let app = house.router();
    let large = || format!("{{\"a\":\"{}\"}}", "x".repeat(60_000));
    let (one, other) =
        (house.token("u1", Role::Device, None), house.token("u2", Role::Device, None));
    let mut answers = JoinSet::new();
    let mut begin = |path: &str, token: &str| {
        let (chunks, body) = slow();
        chunks.try_send(large().into()).unwrap();
        answers.spawn(app.clone().oneshot(request(path, token, body)));
        chunks
    };
    let held = async |bytes: usize| {
        while house.held() < bytes {
            tokio::task::yield_now().await;
        }
    };
    let first = begin("/device", &one);
    held(60_000).await;
    drop(begin("/wait", &one));
    held(120_000).await;
    let refusal = app.clone().oneshot(request("/device", &one, Body::from(large()))).await;
    let refusal = refusal.unwrap();
    assert_eq!(refusal.headers()["retry-after"], "1");
    assert_eq!(refused(refusal).await, code(429, "too_many_bodies"));

    let third = begin("/device", &other);
    held(180_000).await;
    let refusal = app.clone().oneshot(request("/device", &other, Body::from(large()))).await;
    let refusal = refusal.unwrap();
    assert_eq!(refusal.headers()["retry-after"], "1");
    assert_eq!(refused(refusal).await, code(503, "unavailable"));
    assert_eq!(house.intake.metrics.bodies_refused.get(), 2);

    drop((first, third));
    house.go_on.notify_one();
    for answer in answers.join_all().await {
        assert_eq!(answer.unwrap().status(), StatusCode::OK);
    }
    assert_eq!((house.held(), house.intake.metrics.body_bytes.get()), (0, 0));
}

#[tokio::test]
async fn a_bound_token_is_refused_for_another_device_before_all_else() {
    let house = Gatehouse::new(&[]).await;
    let app = house.router();
    let (own, another) = (DeviceId::generate(), DeviceId::generate());
    let token = house.token("u1", Role::Device, Some(&own));
    let send = async |body: Value| {
        let body = Body::from(body.to_string());
        app.clone().oneshot(request("/device", &token, body)).await.unwrap()
    };
    for body in [json!({}), json!({ "device_id": null }), json!({ "device_id": own })] {
        assert_eq!(send(body).await.status(), StatusCode::OK);
    }
    let answer = send(json!({ "device_id": another })).await;
    assert_eq!(refused(answer).await, code(403, "device_mismatch"));
}
