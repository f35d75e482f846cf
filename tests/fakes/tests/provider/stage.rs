//! A standing clock, and a caller that says what came back.

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::Value;
use tidegate_clock::{Clock, Hands};
use tidegate_fakes::provider::{CLIENT_ID, CLIENT_SECRET};
use tidegate_protocol::time::Timestamp;

/// 2026-11-18T11:06:40Z.
pub(crate) const START_MS: i64 = 1_795_000_000_000;

pub(crate) const DAY_MS: i64 = 86_400_000;

pub(crate) const USER: &str = "1513";

pub(crate) fn clock() -> (Clock, Hands) {
    Clock::standing(Timestamp::from_millis(START_MS))
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

fn caller() -> reqwest::Client {
    let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10));
    client.redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

async fn reply(request: reqwest::RequestBuilder) -> Reply {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Reply { status, headers, text: response.text().await.unwrap() }
}

/// A GET, with a token unless it is empty.
pub(crate) async fn get(url: &str, token: &str) -> Reply {
    let mut request = caller().get(url);
    if !token.is_empty() {
        request = request.bearer_auth(token);
    }
    reply(request).await
}

/// A POST of a form, as the application or as nobody.
pub(crate) async fn post(url: &str, is_basic: bool, form: &[(&str, &str)]) -> Reply {
    let mut body = url::form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(form);
    let mut request = caller().post(url).body(body.finish());
    if is_basic {
        request = request.basic_auth(CLIENT_ID, Some(CLIENT_SECRET));
    }
    reply(request).await
}

/// A form of the application's own, as most token endpoints want it.
pub(crate) fn own<'a>(rest: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut form = vec![("client_id", CLIENT_ID), ("client_secret", CLIENT_SECRET)];
    form.extend_from_slice(rest);
    form
}

/// The `id`s of a list.
pub(crate) fn ids(list: &Value) -> Vec<u64> {
    list.as_array().unwrap().iter().map(|item| item["id"].as_u64().unwrap()).collect()
}
