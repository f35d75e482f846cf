//! A device's copy of a shared stream, beside the truth that it must equal.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{Caller, Device, Gateway, Socket, cursor};

/// Something that happens.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Changes of a record each: which one, what, and a number.
    Publish(Vec<(u8, u8, u8)>),
    /// Connects from the cursor.
    Connect,
    /// The connection is gone, whatever was under way.
    Cut,
    /// Reads up to the head.
    Read,
    /// Polls, with this limit.
    Poll(u8),
    /// Acks what is held.
    Ack,
    /// Falls back to a state held before, as after a restored backup.
    GoBack(u8),
    /// Loses everything.
    Forget,
}

/// What is held: records with their versions, and up to where.
#[derive(Clone, Debug, Default, PartialEq)]
struct Copy {
    cursor: Option<(Value, i64)>,
    records: BTreeMap<String, (i64, Value)>,
    /// Pages of a snapshot that has not ended.
    pages: BTreeMap<String, (i64, Value)>,
}

/// A gateway, a backend that knows the truth, and a device with its copy.
pub(super) struct History {
    device: Device,
    calls: Caller,
    backend: Caller,
    socket: Option<Socket>,
    copy: Copy,
    before: Vec<Copy>,
    poll_cursor: Option<String>,
    versions: BTreeMap<String, i64>,
    truth: BTreeMap<String, (i64, Value)>,
    head: i64,
    acked: i64,
    _gateway: Gateway,
}

impl History {
    pub(super) async fn begin() -> Self {
        let gateway = Gateway::start().await;
        let device = gateway.device("phone", "u1");
        let (calls, backend) = (gateway.calls_of(&device).quiet(), gateway.backend().quiet());
        calls.register(&device).await;
        Self {
            device,
            calls,
            backend,
            socket: None,
            copy: Copy::default(),
            before: vec![Copy::default()],
            poll_cursor: None,
            versions: BTreeMap::new(),
            truth: BTreeMap::new(),
            head: 0,
            acked: 0,
            _gateway: gateway,
        }
    }

    pub(super) async fn take(&mut self, step: Step) {
        match step {
            Step::Publish(changes) => self.publish(&changes).await,
            Step::Connect => self.connect().await,
            Step::Cut => self.cut(),
            Step::Read => self.read().await,
            Step::Poll(limit) => self.poll(limit).await,
            Step::Ack => self.ack().await,
            Step::GoBack(which) => {
                self.cut();
                self.copy = self.before[usize::from(which) % self.before.len()].clone();
                self.poll_cursor = None;
            }
            Step::Forget => {
                self.cut();
                self.copy = Copy::default();
                self.poll_cursor = None;
            }
        }
    }

    /// Catches up and compares.
    pub(super) async fn finish(mut self) {
        self.connect().await;
        self.read().await;
        assert_eq!(self.copy.records, self.truth);
        self.check_stored().await;
    }

    async fn publish(&mut self, changes: &[(u8, u8, u8)]) {
        let mut records = Vec::new();
        for (which, what, n) in changes {
            let id = format!("r{which}");
            let mut change = json!({ "collection": "c", "id": id, "op": "put" });
            let version = self.versions.get(&id).copied().unwrap_or(0) + 1;
            let standing = self.truth.get(&id).map(|(_, data)| data.clone());
            match (what, standing) {
                (0, Some(_)) => {
                    change["op"] = json!("delete");
                    self.truth.remove(&id);
                }
                (1, Some(mut data)) => {
                    change["op"] = json!("patch");
                    change["patch"] = json!({ "n": n });
                    data["n"] = json!(n);
                    self.truth.insert(id.clone(), (version, data));
                }
                _ => {
                    let data = json!({ "n": n, "text": "x".repeat(usize::from(*n) * 8) });
                    change["data"] = data.clone();
                    self.truth.insert(id.clone(), (version, data));
                }
            }
            self.versions.insert(id, version);
            records.push(change);
        }
        self.head += i64::try_from(records.len()).unwrap();
        let published = self.backend.publish("news", json!(records)).await;
        assert_eq!(published["seq"], self.head);
    }

    async fn connect(&mut self) {
        self.cut();
        let mut hello = self.device.hello();
        hello["subscribe"] = json!(["news"]);
        if let Some((epoch, seq)) = &self.copy.cursor {
            hello["cursors"] = cursor("news", epoch, *seq);
            self.acked = self.acked.max(*seq);
        }
        let (mut socket, welcome) = self.device.open_with(&hello).await;
        let status = &welcome["streams"]["news"];
        assert_eq!(status["head"], self.head);
        let verdict = if self.copy.cursor.is_some() { "resumed" } else { "reset" };
        assert_eq!(status["verdict"], verdict);
        // The user's own stream is empty: one page.
        socket.snapshot().await;
        self.socket = Some(socket);
    }

    fn cut(&mut self) {
        self.socket = None;
        self.copy.pages.clear();
    }

    async fn read(&mut self) {
        let Some(mut socket) = self.socket.take() else { return };
        while self.copy.cursor.as_ref().is_none_or(|(_, seq)| *seq < self.head) {
            let frame = socket.receive().await;
            self.apply(&frame);
        }
        self.socket = Some(socket);
    }

    async fn poll(&mut self, limit: u8) {
        self.cut();
        let base =
            format!("/api/v1/sync/poll?device_id={}&subscribe=news&limit={limit}", self.device.id);
        let path = match (&self.poll_cursor, &self.copy.cursor) {
            (Some(cursor), _) => format!("{base}&cursor={cursor}"),
            (None, Some((epoch, seq))) => {
                let epoch = epoch.as_str().unwrap();
                format!(
                    "{base}&cursors=%7B%22news%22:%7B%22epoch%22:%22{epoch}%22,%22seq%22:{seq}%7D%7D"
                )
            }
            (None, None) => base,
        };
        let answer = self.calls.get(&path).await.expect(200);
        if let Some((_, seq)) = &self.copy.cursor {
            self.acked = self.acked.max(*seq);
        }
        for frame in answer["frames"].as_array().unwrap() {
            if frame["stream"] == "news" {
                self.apply(frame);
            }
        }
        // Progress of a snapshot counts only while its pages are kept.
        let is_whole = self.copy.pages.is_empty() && self.copy.cursor.is_some();
        self.poll_cursor = is_whole.then(|| answer["cursor"].as_str().unwrap().to_owned());
    }

    async fn ack(&mut self) {
        let (Some(socket), Some((epoch, seq))) = (&mut self.socket, &self.copy.cursor) else {
            return;
        };
        let cursors = cursor("news", epoch, *seq);
        socket.send(&json!({ "type": "ack", "cursors": cursors })).await;
        self.acked = self.acked.max(*seq);
    }

    /// What is stored as acked was held once.
    async fn check_stored(&self) {
        let Some((epoch, _)) = &self.copy.cursor else { return };
        let cursors = cursor("news", epoch, 0);
        let body = json!({ "device_id": self.device.id, "cursors": cursors });
        let answer = self.calls.post("/api/v1/sync/ack", &body).await.expect(200);
        let stored = answer["cursors"]["news"]["seq"].as_i64().unwrap();
        assert!(stored <= self.acked && self.acked <= self.head, "{stored} {}", self.acked);
    }

    /// Applies a frame as the protocol tells a device to.
    fn apply(&mut self, frame: &Value) {
        let seq = frame["seq"].as_i64().unwrap();
        assert!(seq <= self.head);
        // The cursor of a poll stands for what was held at that time.
        self.poll_cursor = None;
        match frame["type"].as_str().unwrap() {
            "snapshot" => {
                for item in frame["items"].as_array().unwrap() {
                    keep(&mut self.copy.pages, &item["body"]);
                }
                if frame["last"] == true {
                    self.copy.records = std::mem::take(&mut self.copy.pages);
                    self.copy.cursor = Some((frame["epoch"].clone(), seq));
                }
            }
            "events" => {
                let (epoch, at) = self.copy.cursor.clone().expect("events follow a snapshot");
                assert_eq!((&frame["epoch"], &frame["prev"]), (&epoch, &json!(at)));
                let mut last = at;
                for entry in frame["entries"].as_array().unwrap() {
                    let entry_seq = entry["seq"].as_i64().unwrap();
                    assert!(last < entry_seq && entry_seq <= seq, "{frame}");
                    last = entry_seq;
                    keep(&mut self.copy.records, &entry["body"]);
                }
                self.copy.cursor = Some((epoch, seq));
            }
            other => panic!("unexpected `{other}`"),
        }
        if self.copy.pages.is_empty() {
            self.before.push(self.copy.clone());
        }
    }
}

/// Applies a record's change, unless the copy is newer.
fn keep(records: &mut BTreeMap<String, (i64, Value)>, body: &Value) {
    let (id, version) = (body["id"].as_str().unwrap(), body["version"].as_i64().unwrap());
    let own = records.get(id).map_or(0, |(own, _)| *own);
    if version <= own {
        return;
    }
    match body["op"].as_str().unwrap() {
        "put" => {
            records.insert(id.to_owned(), (version, body["data"].clone()));
        }
        "patch" => {
            assert_eq!(body["base_version"], own, "a patch follows on what is held");
            let (_, mut data) = records.remove(id).unwrap();
            data["n"] = body["patch"]["n"].clone();
            records.insert(id.to_owned(), (version, data));
        }
        "delete" => {
            records.remove(id);
        }
        other => panic!("unexpected op `{other}`"),
    }
}
