//! What the load generator must know of the gateway's frames.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::rc::Rc;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::value::RawValue;

/// A frame of the gateway.
#[derive(Debug)]
pub(crate) enum Message {
    /// How the streams begin.
    Welcome(Welcome),
    /// A page of current state.
    Snapshot(Snapshot),
    /// Entries.
    Events(Rc<Events>),
    /// A message of the hand-made outbox, as an entry.
    Stored(Rc<Events>),
    /// `ping`: it is answered.
    Ping,
    /// The answer to reported results.
    ResultsOk,
}

/// The parts of `welcome` that matter here.
#[derive(Debug, Deserialize)]
pub(crate) struct Welcome {
    /// Each stream with its epoch and verdict.
    pub(crate) streams: BTreeMap<String, StreamStatus>,
}

/// How a stream begins.
#[derive(Debug, Deserialize)]
pub(crate) struct StreamStatus {
    /// Its epoch.
    pub(crate) epoch: String,
    /// `resumed` or `reset`.
    pub(crate) verdict: String,
}

/// The parts of `snapshot` that matter here.
#[derive(Debug, Deserialize)]
pub(crate) struct Snapshot {
    /// The stream.
    pub(crate) stream: String,
    /// The position it stands for.
    pub(crate) seq: i64,
    /// Whether it is the last page.
    pub(crate) last: bool,
}

/// An `events` frame.
#[derive(Debug)]
pub(crate) struct Events {
    /// The stream.
    pub(crate) stream: String,
    /// The position before it.
    pub(crate) prev: i64,
    /// The position it reaches.
    pub(crate) seq: i64,
    /// What it carries.
    pub(crate) entries: Vec<Entry>,
}

/// An entry.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its position.
    pub(crate) seq: i64,
    /// The number that the load generator put into its payload; `None` for
    /// entries the gateway makes by itself.
    pub(crate) number: Option<usize>,
    /// The command it carries, as reported back.
    pub(crate) command_id: Option<String>,
}

/// Reads frames. Frames of a shared stream come to a thousand sessions with
/// the same bytes: the last one is kept, compared and not parsed again.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    last_text: Vec<u8>,
    last: Option<Rc<Events>>,
}

impl Reader {
    /// Reads a frame.
    pub(crate) fn read(&mut self, text: &[u8]) -> anyhow::Result<Message> {
        if let Some(last) = self.last.as_ref().filter(|_| self.last_text == text) {
            return Ok(Message::Events(Rc::clone(last)));
        }
        let frame = std::str::from_utf8(text).context("a frame is not text")?;
        let message = if frame.starts_with(r#"{"type":"events""#) {
            let events = Rc::new(events(frame)?);
            if events.entries.len() > 1 || !events.stream.starts_with("user:") {
                self.last_text.clear();
                self.last_text.extend_from_slice(text);
                self.last = Some(Rc::clone(&events));
            }
            Message::Events(events)
        } else if frame.starts_with(r#"{"type":"message""#) {
            Message::Stored(Rc::new(stored(frame)?))
        } else if frame.starts_with(r#"{"type":"snapshot""#) {
            Message::Snapshot(serde_json::from_str(frame)?)
        } else if frame.starts_with(r#"{"type":"welcome""#) {
            Message::Welcome(serde_json::from_str(frame)?)
        } else if frame.starts_with(r#"{"type":"ping""#) {
            Message::Ping
        } else if frame.starts_with(r#"{"type":"results_ok""#) {
            Message::ResultsOk
        } else {
            anyhow::bail!("the gateway sent a frame that was not expected: {frame}")
        };
        Ok(message)
    }
}

fn events(frame: &str) -> anyhow::Result<Events> {
    #[derive(Deserialize)]
    struct Raw<'a> {
        #[serde(borrow)]
        stream: Cow<'a, str>,
        prev: i64,
        seq: i64,
        #[serde(borrow)]
        entries: Vec<RawEntry<'a>>,
    }
    #[derive(Deserialize)]
    struct RawEntry<'a> {
        seq: i64,
        #[serde(borrow)]
        body: &'a RawValue,
    }
    let raw: Raw<'_> = serde_json::from_str(frame).context("an events frame cannot be read")?;
    let entries = raw.entries.iter().map(|entry| read_entry(entry.seq, entry.body));
    Ok(Events {
        stream: raw.stream.into_owned(),
        prev: raw.prev,
        seq: raw.seq,
        entries: entries.collect::<anyhow::Result<_>>()?,
    })
}

/// A message of the outbox: its id is a position, and nothing is before it but
/// what came.
fn stored(frame: &str) -> anyhow::Result<Events> {
    #[derive(Deserialize)]
    struct Raw {
        id: i64,
        body: Payload,
    }
    let raw: Raw = serde_json::from_str(frame).context("a message cannot be read")?;
    let entry = Entry { seq: raw.id, number: Some(raw.body.number), command_id: None };
    Ok(Events { stream: String::new(), prev: raw.id - 1, seq: raw.id, entries: vec![entry] })
}

/// What the load generator put into a command.
#[derive(Deserialize)]
struct Payload {
    number: usize,
}

fn read_entry(seq: i64, body: &RawValue) -> anyhow::Result<Entry> {
    #[derive(Deserialize)]
    struct Body {
        command_id: Option<String>,
        value: Option<Payload>,
        data: Option<Payload>,
    }
    let body: Body = serde_json::from_str(body.get()).context("a body cannot be read")?;
    let number = body.value.or(body.data).map(|payload| payload.number);
    Ok(Entry { seq, number, command_id: body.command_id.filter(|_| number.is_some()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_and_the_same_frame_is_not_read_twice() {
        let text = br#"{"type":"events","stream":"news","epoch":"a","prev":4,"seq":6,"entries":[
            {"seq":5,"kind":"record","at":"t","body":{"data":{"number":7}}},
            {"seq":6,"kind":"command","at":"t","body":{"command_id":"c","value":{"number":8}}}]}"#;
        let mut reader = Reader::default();
        let Message::Events(first) = reader.read(text).unwrap() else { panic!() };
        let Message::Events(second) = reader.read(text).unwrap() else { panic!() };
        assert!(Rc::ptr_eq(&first, &second));
        let numbers: Vec<_> = first.entries.iter().map(|entry| entry.number).collect();
        assert_eq!((first.prev, first.seq, numbers), (4, 6, vec![Some(7), Some(8)]));
    }

    #[test]
    fn messages_of_the_outbox_are_entries() {
        let text = br#"{"type":"message","id":41,"body":{"number":7,"text":"x"}}"#;
        let Message::Stored(stored) = Reader::default().read(text).unwrap() else { panic!() };
        let numbers: Vec<_> = stored.entries.iter().map(|entry| entry.number).collect();
        assert_eq!((stored.prev, stored.seq, numbers), (40, 41, vec![Some(7)]));
    }
}
