//! A user with a phone and a coach.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Caller, Gateway, Setup, Token};

/// The user.
pub(super) const USER: &str = "u1";

pub(super) struct World {
    pub(super) gateway: Gateway,
    /// The user's phone.
    pub(super) phone: Caller,
    /// A backend, in whose name a coach works.
    pub(super) coach: Caller,
}

impl World {
    pub(super) async fn start() -> Self {
        Self::with(Setup::new()).await
    }

    /// It is noon in UTC on the 26th of November 2026.
    pub(super) async fn with(setup: Setup) -> Self {
        let gateway = setup.clock_at("2026-11-26T12:00:00Z").start().await;
        let phone = gateway.caller("phone", &Token::device(USER).sign()).quiet();
        let coach = gateway.caller("coach", &Token::service("coach").sign()).quiet();
        Self { gateway, phone, coach }
    }

    /// Another user's phone.
    pub(super) fn phone_of(&self, user: &str) -> Caller {
        self.gateway.caller(user, &Token::device(user).sign()).quiet()
    }

    /// Brings something in from the phone; everything is taken.
    pub(super) async fn ingest(&self, what: &str, body: Value) -> Value {
        self.phone.post(&format!("/api/v1/ingest/{what}"), &body).await.expect(200)
    }

    /// Steps of a day, from the phone.
    pub(super) async fn steps(&self, date: &str, steps: u32) -> Value {
        self.ingest("steps", json!({ "steps": [{ "date": date, "total_steps": steps }] })).await
    }

    /// A day as it stands.
    pub(super) async fn day(&self, date: &str) -> Value {
        self.phone.get(&format!("/api/v1/entries/{date}")).await.expect(200)
    }

    /// Starts the gateway anew on the same data.
    pub(super) async fn restart(&mut self) {
        self.gateway.restart().await;
        self.phone = self.gateway.caller("phone", &Token::device(USER).sign()).quiet();
        self.coach = self.gateway.caller("coach", &Token::service("coach").sign()).quiet();
    }

    /// All items of a list, page by page.
    pub(super) async fn pages(&self, path: &str) -> Vec<Value> {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        let joint = if path.contains('?') { '&' } else { '?' };
        loop {
            let path = format!("/api/v1/{path}{joint}limit=7{cursor}");
            let page = self.phone.get(&path).await.expect(200);
            items.extend(page["items"].as_array().unwrap().iter().cloned());
            let Some(next) = page["next_cursor"].as_str() else { return items };
            cursor = format!("&cursor={next}");
        }
    }

    /// Corrects a day by hand.
    pub(super) async fn correct(&self, date: &str, fields: Value) -> Answer {
        patch(&self.phone, &format!("/api/v1/entries/{date}"), &fields).await
    }

    /// Items of a list.
    pub(super) async fn list(&self, path: &str) -> Vec<Value> {
        let page = self.phone.get(&format!("/api/v1/{path}")).await.expect(200);
        assert_eq!(page["next_cursor"], Value::Null, "{page}");
        page["items"].as_array().unwrap().clone()
    }
}

pub(super) async fn patch(caller: &Caller, path: &str, body: &Value) -> Answer {
    caller.call(Method::PATCH, path, Some(&body.to_string())).await
}

/// A run of half an hour as the phone's own health store tells of it.
pub(super) fn run(start: &str, end: &str) -> Value {
    json!({ "workout_type": "running", "start_time": start, "end_time": end })
}
