//! What a test says on the sockets, and does to them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use crate::atom::Marketplace;
use crate::atom::filling::{mix, skill_id};
use crate::atom::socket::Spoken;

/// How long a test waits for sockets before it fails.
const PATIENCE: Duration = Duration::from_secs(10);

impl Marketplace {
    /// Says this to all sockets.
    #[expect(clippy::needless_pass_by_value, reason = "messages are made where they are said")]
    pub fn broadcast(&self, message: Value) {
        self.broadcast_text(message.to_string());
    }

    /// Says this to all sockets, as it is.
    pub fn broadcast_text(&self, text: String) {
        self.shared.sockets.say(Spoken::Text(text));
    }

    /// Says `skill_update` with the skill as it is now. Panics without it.
    pub fn announce_skill(&self, id: &str) {
        let skill = self.skill(id).unwrap_or_else(|| panic!("there is no skill `{id}`"));
        self.announce("skill_update", &skill);
    }

    /// Says `skill_delete`. Does not remove the skill.
    pub fn announce_delete(&self, id: &str) {
        self.announce("skill_delete", &json!({"skill_id": id, "deleted_at": self.stamp()}));
    }

    /// Says `category_update` with the category as it is now: with
    /// `updated_at` and without `created_at`, other than in the list. Panics
    /// without it.
    pub fn announce_category(&self, name: &str) {
        let category = self.category(name);
        let mut category = category.unwrap_or_else(|| panic!("there is no category `{name}`"));
        if let Some(fields) = category.as_object_mut() {
            fields.shift_remove("created_at");
            fields.entry("updated_at").or_insert_with(|| self.stamp().into());
        }
        self.announce("category_update", &category);
    }

    /// Counts a rating into the skill's average, and says `rating_update`.
    /// The skill's `updated_at` stays. Panics without the skill.
    pub fn announce_rating(&self, id: &str, rating: u8) {
        self.with_catalogue(|catalogue| catalogue.count_rating(id, rating));
        let skill = self.skill(id).unwrap_or_else(|| panic!("there is no skill `{id}`"));
        self.tell_rating(&skill, id, rating);
    }

    /// Whether a rating that is taken by HTTP is said on the sockets too; at
    /// first not.
    pub fn echo_ratings(&self, is_on: bool) {
        self.shared.echoes_ratings.store(is_on, Ordering::SeqCst);
    }

    pub(crate) fn echo_rating(&self, taken: &Value, rating: u8) {
        if self.shared.echoes_ratings.load(Ordering::SeqCst) {
            self.tell_rating(taken, taken["skill_id"].as_str().unwrap_or_default(), rating);
        }
    }

    fn tell_rating(&self, counted: &Value, id: &str, rating: u8) {
        let data = json!({
            "skill_id": id,
            "rating": rating,
            "average_rating": counted["average_rating"],
            "rating_count": counted["rating_count"],
            "updated_at": self.stamp(),
        });
        self.announce("rating_update", &data);
    }

    fn announce(&self, kind: &str, data: &Value) {
        self.broadcast(json!({"type": kind, "data": data, "timestamp": self.stamp()}));
    }

    /// Changes one of the skills of [`Marketplace::fill`], and says so: a new
    /// version or, every fifth turn, a rating. Returns the skill's id.
    pub fn stir(&self, turn: usize) -> String {
        let index = mix(turn as u64) % self.len().max(1) as u64;
        let id = skill_id(usize::try_from(index).unwrap_or_default());
        if self.skill(&id).is_none() {
            return id;
        }
        if turn % 5 == 4 {
            self.announce_rating(&id, 1 + u8::try_from(index % 5).unwrap_or_default());
            return id;
        }
        self.edit_skill(&id, |skill| {
            let version = skill["version"].as_str().unwrap_or("1.0.0");
            let (line, patch) = version.rsplit_once('.').unwrap_or((version, "0"));
            let patch = patch.parse::<u64>().unwrap_or_default() + 1;
            skill["version"] = format!("{line}.{patch}").into();
        });
        self.announce_skill(&id);
        id
    }

    /// Whether pings of instances stay without an answer.
    pub fn mute_pongs(&self, is_mute: bool) {
        self.shared.sockets.are_pongs_mute.store(is_mute, Ordering::SeqCst);
    }

    /// Pings all sockets this often, and closes those that do not answer
    /// within 10 s. The real one pings every 30 s; at first there are none.
    pub fn send_pings(&self, period: Duration) {
        self.shared.sockets.pings.send_replace(Some(period));
    }

    /// Makes all sockets dead without closing them: nothing is read, and
    /// nothing is sent, not even what the WebSocket does by itself. What is
    /// said meanwhile follows when they thaw.
    pub fn freeze_sockets(&self, are_frozen: bool) {
        self.shared.sockets.frozen.send_replace(are_frozen);
    }

    /// Cuts all sockets without a close. What was said just before may be lost
    /// with them.
    pub fn drop_sockets(&self) {
        self.shared.sockets.cut();
    }

    /// Closes all sockets with this code, after what was said so far.
    pub fn close_sockets(&self, code: u16) {
        self.shared.sockets.say(Spoken::Close(code));
    }

    /// Answers the next `count` attempts to open a socket with 503.
    pub fn refuse_sockets(&self, count: usize) {
        self.shared.sockets.refusals.store(count, Ordering::SeqCst);
    }

    /// How many sockets are up.
    pub fn sockets(&self) -> usize {
        *self.shared.sockets.count().borrow()
    }

    /// Waits until a socket is up. Panics after 10 s.
    pub async fn socket_connected(&self) {
        self.wait_for_sockets(|count| count > 0).await;
    }

    /// Waits until no socket is up. Panics after 10 s.
    pub async fn sockets_gone(&self) {
        self.wait_for_sockets(|count| count == 0).await;
    }

    async fn wait_for_sockets(&self, is_enough: impl Fn(usize) -> bool) {
        let mut count = self.shared.sockets.count();
        let enough = count.wait_for(|count| is_enough(*count));
        let in_time = tokio::time::timeout(PATIENCE, enough).await.is_ok();
        assert!(in_time, "there are {} sockets after 10 s", self.sockets());
    }

    /// All that instances said on sockets; what was not JSON, as text.
    pub fn heard(&self) -> Vec<Value> {
        self.shared.sockets.heard.all()
    }

    /// Waits until instances said `count` things in all. Panics after 10 s.
    pub async fn heard_at_least(&self, count: usize) -> Vec<Value> {
        self.shared.sockets.heard.wait_for(count).await
    }
}
