//! The push tier in the simulation: what is due is sent to a fake that takes
//! it, is away, or knows the token no more.

use rand::Rng as _;
use serde_json::{Value, json};
use tidegate_fakes::fcm::answer::Answer;
use tidegate_protocol::id::{CommandId, UserId};

use crate::simulation::world::World;

/// Looks, an hour apart, within which every device is woken.
const LOOKS: usize = 12;

impl World {
    /// Sends what is due.
    pub(super) async fn wake(&mut self) {
        let answer = match self.rng.random_range(0..10) {
            0 => Some(Answer::Unavailable { retry_after: None }),
            1 => Some(Answer::Unregistered),
            2 => Some(Answer::SentThenDrop),
            _ => None,
        };
        let tokens = self.tokens();
        let at = self.rng.random_range(0..tokens.len());
        self.around.fcm.answer_always(&tokens[at].1, answer);
        self.send_wakes().await;
        self.around.fcm.answer_always(&tokens[at].1, None);
    }

    /// Every request is for a device of this history, and tells it of nothing
    /// that is another user's.
    async fn send_wakes(&mut self) {
        self.node.dispatcher.finish_due().await.unwrap();
        let tokens = self.tokens();
        for request in self.around.fcm.requests_after(self.requests) {
            self.requests += 1;
            let known = tokens.iter().find(|(_, token)| *token == request.token);
            let (user, _) = known.expect("a token of this history");
            let data = &request.body["message"]["data"];
            let stream = data["stream"].as_str().unwrap();
            let is_own = stream == format!("user:{user}") || !stream.starts_with("user:");
            assert!(is_own, "{user} was told of {stream}");
            if let Some(id) = data["command_id"].as_str() {
                let id = CommandId::parse(id).unwrap();
                let asked = self.asked.iter().find(|asked| asked.id == id);
                assert_eq!(&asked.expect("it was asked for").user, user, "another user's command");
            }
        }
    }

    /// Users and their tokens.
    fn tokens(&self) -> Vec<(UserId, String)> {
        let token = |device: &crate::simulation::connection::Device| {
            Some((device.user.clone(), device.token.clone()?))
        };
        self.devices.iter().filter_map(token).collect()
    }

    /// Everybody registers anew and leaves; then a command comes for each user:
    /// every device that can be woken is.
    pub(super) async fn wake_everybody(&mut self) {
        let now = self.now();
        for device in &mut self.devices {
            device.connect(&self.node, now).await;
            device.session = None;
        }
        // Buckets are full, and nothing holds back any more.
        self.pass_days(2);
        let before: Vec<usize> = self.delivered();
        for user in ["u1", "u2", "u3"] {
            let body = json!({ "user_id": user, "data_type": "steps", "value": { "n": 1 } });
            self.make(UserId::parse(user).unwrap(), body).await;
        }
        for _ in 0..LOOKS {
            self.send_wakes().await;
            let after = self.delivered();
            if before.iter().zip(&after).all(|(before, after)| before < after) {
                return;
            }
            self.pass_hours(1);
        }
        panic!("not woken: {:?} messages before, {:?} after", before, self.delivered());
    }

    fn delivered(&self) -> Vec<usize> {
        let tokens = self.tokens();
        let messages =
            |(_, token): &(UserId, String)| -> Vec<Value> { self.around.fcm.delivered(token) };
        tokens.iter().map(|token| messages(token).len()).collect()
    }
}
