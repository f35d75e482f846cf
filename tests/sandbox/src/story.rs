//! What happens in the sandbox: the same kind of command by every way there is.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use tidegate_fakes::fcm::Delivered;
use tidegate_fakes::fcm::answer::Answer;
use tidegate_fakes::webpush::browser::Pushed;
use tidegate_protocol::command::{
    Channel, CommandStatus, Platform, PushProvider, PushRegistration, TimelineEvent,
};
use tidegate_protocol::id::{CommandId, DeviceId, UserId};
use tidegate_protocol::rest::history::{CommandView, TimelineRow};

use crate::backend::{Backend, Mark};
use crate::gateway::{Fakes, Gateway, USER};
use crate::health::Person;
use crate::install::{Install, Profile};
use crate::screen::Screen;

/// The registration token of the phone at the fake FCM, which takes any.
const PHONE_TOKEN: &str = "sandbox-token-of-the-phone";

/// The actors, and the commands sent so far.
pub(crate) struct Story {
    screen: Screen,
    backend: Backend,
    phone: Install,
    browser: Install,
    person: Person,
    sent: Vec<Sent>,
}

/// A command that was sent, and by what its timeline shows the way it took.
struct Sent {
    id: CommandId,
    to: &'static str,
    way: &'static str,
    mark: Mark,
}

/// A command to send.
struct Order {
    data_type: &'static str,
    value: &'static str,
    way: &'static str,
    mark: Mark,
}

impl Story {
    /// Installs the app on a phone and in a browser of the same user.
    pub(crate) async fn begin(
        screen: Screen,
        fakes: &Fakes,
        gateway: &Gateway,
    ) -> anyhow::Result<Self> {
        let user = UserId::parse(USER)?;
        let token = gateway.token(&user, "device").await?;
        let service = gateway.token(&UserId::parse("backend")?, "service").await?;
        let push = PushRegistration { provider: PushProvider::Fcm, token: PHONE_TOKEN.to_owned() };
        let profile = Profile { name: "phone", platform: Platform::Android, push };
        let mut phone = Install::new(&screen, gateway.url(), &token, profile).await?;
        phone.listen("FCM", fakes.fcm.deliveries(PHONE_TOKEN), data_of_message);
        let subscription = fakes.webpush.subscribe(None);
        let push =
            PushRegistration { provider: PushProvider::Webpush, token: subscription.json.clone() };
        let profile = Profile { name: "browser", platform: Platform::Web, push };
        let mut browser = Install::new(&screen, gateway.url(), &token, profile).await?;
        let feed = fakes.webpush.deliveries(&subscription.id);
        browser.listen("Web Push", feed, data_of_payload);
        let person = Person::new(gateway.url(), token)?;
        let backend = Backend::new(gateway.url(), service, user)?;
        Ok(Self { screen, backend, phone, browser, person, sent: Vec::new() })
    }

    /// Plays all scenes.
    pub(crate) async fn play(&mut self, fakes: &Fakes) -> anyhow::Result<()> {
        self.by_socket().await?;
        self.by_marketplace(fakes).await?;
        self.person.run_twice(&self.screen, fakes).await?;
        self.by_fcm().await?;
        self.by_web_push().await?;
        self.by_poll(fakes).await
    }

    pub(crate) async fn connect_all(&mut self) -> anyhow::Result<()> {
        self.screen.title("The devices come back");
        self.phone.connect().await?;
        self.browser.connect().await
    }

    async fn by_socket(&mut self) -> anyhow::Result<()> {
        self.screen.title("By socket: both devices are live, the first tier is enough");
        self.phone.connect().await?;
        self.browser.connect().await?;
        let mark = Mark { event: TimelineEvent::Sent, channel: Channel::Socket };
        let order =
            Order { data_type: "steps", value: r#"{"count":5000}"#, way: "by socket", mark };
        self.send_to_end(order).await
    }

    async fn by_marketplace(&mut self, fakes: &Fakes) -> anyhow::Result<()> {
        self.screen.title("The marketplace: a skill changes upstream, every live device has it");
        fakes.atom.socket_connected().await;
        let id = fakes.atom.stir(0);
        self.screen.say("upstream", &format!("changes the skill {id}"));
        self.phone.until_holds(&id).await?;
        self.browser.until_holds(&id).await
    }

    async fn by_fcm(&mut self) -> anyhow::Result<()> {
        self.screen.title("By push: the phone is cut, FCM wakes it with the command inside");
        self.phone.cut().await;
        let mark = Mark { event: TimelineEvent::PushOk, channel: Channel::Fcm };
        let order = Order { data_type: "weight", value: r#"{"kg":71.5}"#, way: "by FCM", mark };
        self.send_to_end(order).await
    }

    async fn by_web_push(&mut self) -> anyhow::Result<()> {
        self.screen.title("By push: the browser is cut, Web Push wakes it");
        self.browser.cut().await;
        let mark = Mark { event: TimelineEvent::PushOk, channel: Channel::Webpush };
        let order =
            Order { data_type: "note", value: r#"{"text":"hi"}"#, way: "by Web Push", mark };
        let id = self.send(&self.browser, order).await?;
        self.end(id).await
    }

    async fn by_poll(&mut self, fakes: &Fakes) -> anyhow::Result<()> {
        self.screen.title("By poll: FCM knows the phone's token no more, the stream remains");
        fakes.fcm.script(PHONE_TOKEN, [Answer::Unregistered]);
        let mark = Mark { event: TimelineEvent::Sent, channel: Channel::Poll };
        let order =
            Order { data_type: "nutrition", value: r#"{"kcal":640}"#, way: "by poll", mark };
        let sent = self.send(&self.phone, order).await?;
        let refused = Mark { event: TimelineEvent::PushFailed, channel: Channel::Fcm };
        self.backend.until_marked(&sent.id, refused).await?;
        self.screen.say("FCM", "refuses the push: UNREGISTERED");
        let state = self.backend.push_state(self.phone.id()).await?;
        self.screen.say("gateway", &format!("has the phone's token as `{}`", state.as_str()));
        self.phone.poll().await?;
        self.end(sent).await
    }

    async fn send_to_end(&mut self, order: Order) -> anyhow::Result<()> {
        let sent = self.send(&self.phone, order).await?;
        self.end(sent).await
    }

    async fn send(&self, to: &Install, order: Order) -> anyhow::Result<Sent> {
        let Order { data_type, value, way, mark } = order;
        self.screen.say("backend", &format!("sends {data_type} {value} to the {}", to.name()));
        let id = self.backend.send(to.id(), data_type, value).await?;
        Ok(Sent { id, to: to.name(), way, mark })
    }

    async fn end(&mut self, sent: Sent) -> anyhow::Result<()> {
        let status = self.backend.until_final(&sent.id).await?;
        self.screen.say("backend", &format!("sees it {}", status.as_str()));
        self.sent.push(sent);
        Ok(())
    }

    /// Shows every command's timeline; whether all were applied by the way
    /// they were meant to take.
    pub(crate) async fn tell_timelines(&self) -> anyhow::Result<bool> {
        self.screen.title("Timelines");
        let mut is_well = true;
        for sent in &self.sent {
            // What lies between beginning and end is written a little later.
            let marked = self.backend.until_marked(&sent.id, sent.mark).await;
            let view = self.backend.command(&sent.id).await?;
            self.screen.line(&self.timeline(&view, sent));
            is_well &= marked.is_ok() && view.status == CommandStatus::Applied;
        }
        self.screen.line(if is_well {
            "\nEvery command was applied, each by its own way."
        } else {
            "\nA command was not applied, or took another way than it was meant to."
        });
        Ok(is_well)
    }

    fn timeline(&self, view: &CommandView, sent: &Sent) -> String {
        let mut text = format!(
            "  {} to the {} {}: {}",
            view.data_type,
            sent.to,
            sent.way,
            view.status.as_str()
        );
        for row in &view.timeline {
            let after_ms = row.at.millis() - view.created_at.millis();
            let _ = write!(text, "\n  {after_ms:>8} ms  {}", self.row(row));
        }
        text
    }

    fn row(&self, row: &TimelineRow) -> String {
        let channel = row.channel.map_or("", Channel::as_str);
        let device = row.device_id.as_ref().map_or("", |id| self.name(id));
        let status = row.status.map_or("", CommandStatus::as_str);
        let detail = row.detail.as_deref().unwrap_or_default();
        let event = row.event.as_str();
        let text = format!("{event:<12}{channel:<9}{device:<9}{status} {detail}");
        text.trim_end().to_owned()
    }

    fn name(&self, id: &DeviceId) -> &'static str {
        let mut installs = [&self.phone, &self.browser].into_iter();
        installs.find(|install| install.id() == id).map_or("?", Install::name)
    }
}

fn data_of_message(message: &Delivered) -> BTreeMap<String, String> {
    message.data.clone()
}

/// A payload that is no map of texts is an empty one: the device ignores it.
fn data_of_payload(message: &Pushed) -> BTreeMap<String, String> {
    serde_json::from_slice(&message.payload).unwrap_or_default()
}
