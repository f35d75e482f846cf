//! Frames on their way in (RFC 6455): messages put together, whatever breaks
//! the rules named.
//!
//! Our own, because libraries keep a read buffer and the state of both
//! directions for each connection: more than all else that an idle session
//! takes. Here bytes are read into a buffer that all sessions of a thread share,
//! and only what is not whole yet is kept.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tidegate_protocol::limits::FRAME_BYTES;
use tokio::io::{AsyncRead, ReadBuf};

use crate::journal::frame::{BINARY, CLOSE, PONG, TEXT};

/// What a client sent, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Text(String),
    Binary(Vec<u8>),
    /// With what its answer repeats.
    Ping(Vec<u8>),
    Pong,
    /// With its code, if it has one.
    Close(Option<u16>),
}

/// Why nothing can be read any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Framing against the rules.
    Protocol,
    /// More than a message may have.
    TooLarge,
    /// A text that is none.
    Utf8,
    /// The connection is gone.
    Gone,
}

/// Reads messages. Takes no memory between them.
#[derive(Debug, Default)]
pub(super) struct Reader {
    partial: Option<Box<Partial>>,
    fault: Option<Fault>,
}

/// What is not whole yet.
#[derive(Debug, Default)]
struct Partial {
    /// As it came; frames before `at` are done with.
    raw: Vec<u8>,
    at: usize,
    /// The fragments of a message so far, and its kind.
    message: Vec<u8>,
    kind: Option<u8>,
    /// Bytes of a text known to be one.
    checked: usize,
}

/// The head of a frame.
struct Head {
    is_final: bool,
    opcode: u8,
    mask: [u8; 4],
    /// Bytes of the head itself.
    bytes: usize,
    /// Bytes of what follows it.
    length: usize,
}

const CONTINUATION: u8 = 0;
const PING: u8 = 9;

/// Longest payload of a ping, pong or close.
const CONTROL_BYTES: usize = 125;

/// One read of the system takes so much at most.
const LENT_BYTES: usize = 16 * 1024;

thread_local! {
    /// Lent to whoever reads.
    static LENT: RefCell<Box<[u8]>> = RefCell::new(vec![0; LENT_BYTES].into());
}

impl Reader {
    /// The next message. After a fault there is none.
    pub(super) fn poll_next<R: AsyncRead>(
        &mut self,
        mut io: Pin<&mut R>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Message, Fault>> {
        loop {
            if let Some(fault) = self.fault {
                return Poll::Ready(Err(fault));
            }
            match self.whole() {
                Ok(Some(message)) => return Poll::Ready(Ok(message)),
                Ok(None) => ready!(self.poll_more(io.as_mut(), context)),
                Err(fault) => self.fail(fault),
            }
        }
    }

    fn fail(&mut self, fault: Fault) {
        *self = Self { partial: None, fault: Some(fault) };
    }

    /// Reads what has come.
    fn poll_more<R: AsyncRead>(&mut self, io: Pin<&mut R>, context: &mut Context<'_>) -> Poll<()> {
        LENT.with_borrow_mut(|lent| {
            let mut buffer = ReadBuf::new(lent);
            let read = ready!(io.poll_read(context, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                self.fail(Fault::Gone);
            } else {
                let partial = self.partial.get_or_insert_default();
                partial.raw.extend_from_slice(buffer.filled());
            }
            Poll::Ready(())
        })
    }

    /// Takes a message out of what came, if there is one.
    fn whole(&mut self) -> Result<Option<Message>, Fault> {
        let Some(partial) = &mut self.partial else { return Ok(None) };
        let message = partial.next()?;
        if partial.at == partial.raw.len() && partial.kind.is_none() {
            self.partial = None;
        } else if message.is_none() {
            partial.raw.drain(..partial.at);
            partial.at = 0;
        }
        Ok(message)
    }
}

impl Partial {
    fn next(&mut self) -> Result<Option<Message>, Fault> {
        while let Some(head) = Head::parse(&self.raw[self.at..])? {
            self.check(&head)?;
            let begin = self.at + head.bytes;
            let Some(payload) = self.raw.get_mut(begin..begin + head.length) else { break };
            for (index, byte) in payload.iter_mut().enumerate() {
                *byte ^= head.mask[index % 4];
            }
            let payload = &self.raw[begin..begin + head.length];
            self.at = begin + head.length;
            match head.opcode {
                PING => return Ok(Some(Message::Ping(payload.to_vec()))),
                PONG => return Ok(Some(Message::Pong)),
                CLOSE => return close(payload).map(Some),
                kind => {
                    self.message.extend_from_slice(payload);
                    let kind = *self.kind.get_or_insert(kind);
                    if kind == TEXT {
                        self.check_text(head.is_final)?;
                    }
                    if head.is_final {
                        return self.finish(kind).map(Some);
                    }
                }
            }
        }
        Ok(None)
    }

    /// Whether a frame may come here. Looked at before its payload has come.
    fn check(&self, head: &Head) -> Result<(), Fault> {
        let may_come = match head.opcode {
            CONTINUATION => self.kind.is_some(),
            TEXT | BINARY => self.kind.is_none(),
            CLOSE | PING | PONG => head.is_final && head.length <= CONTROL_BYTES,
            _ => false,
        };
        if !may_come {
            return Err(Fault::Protocol);
        }
        if self.message.len().saturating_add(head.length) > FRAME_BYTES {
            return Err(Fault::TooLarge);
        }
        Ok(())
    }

    /// A text is refused as soon as it cannot become one.
    fn check_text(&mut self, is_final: bool) -> Result<(), Fault> {
        match std::str::from_utf8(&self.message[self.checked..]) {
            Ok(_) => self.checked = self.message.len(),
            Err(error) if error.error_len().is_none() && !is_final => {
                self.checked += error.valid_up_to();
            }
            Err(_) => return Err(Fault::Utf8),
        }
        Ok(())
    }

    fn finish(&mut self, kind: u8) -> Result<Message, Fault> {
        let message = std::mem::take(&mut self.message);
        (self.kind, self.checked) = (None, 0);
        if kind == BINARY {
            return Ok(Message::Binary(message));
        }
        String::from_utf8(message).map(Message::Text).map_err(|_| Fault::Utf8)
    }
}

impl Head {
    /// `None` where it has not all come.
    fn parse(bytes: &[u8]) -> Result<Option<Self>, Fault> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        // No extension was agreed, and a client masks what it sends.
        if first & 0x70 != 0 || second & 0x80 == 0 {
            return Err(Fault::Protocol);
        }
        let (length, rest) = match second & 0x7F {
            126 => match rest.split_first_chunk::<2>() {
                Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest),
                None => return Ok(None),
            },
            127 => match rest.split_first_chunk::<8>() {
                Some((length, rest)) => (u64::from_be_bytes(*length), rest),
                None => return Ok(None),
            },
            length => (u64::from(length), rest),
        };
        let Some((mask, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        Ok(Some(Self {
            is_final: first & 0x80 != 0,
            opcode: first & 0x0F,
            mask: *mask,
            bytes: bytes.len() - rest.len(),
            length: usize::try_from(length).unwrap_or(usize::MAX),
        }))
    }
}

/// Reads the payload of a close frame (RFC 6455, 5.5.1 and 7.4).
fn close(payload: &[u8]) -> Result<Message, Fault> {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() { Ok(Message::Close(None)) } else { Err(Fault::Protocol) };
    };
    let code = u16::from_be_bytes(*code);
    let is_allowed = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
    if std::str::from_utf8(reason).is_err() {
        return Err(Fault::Utf8);
    }
    if is_allowed { Ok(Message::Close(Some(code))) } else { Err(Fault::Protocol) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        assert!(length < 126);
        let mask = [7, 1, 200, 99];
        let mut bytes = vec![first, 0x80 | length];
        bytes.extend_from_slice(&mask);
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }

    /// Everything that is read of these bytes when they come in such pieces.
    fn read(bytes: &[u8], piece: usize) -> (Vec<Message>, Fault) {
        let mut reader = Reader::default();
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut messages = Vec::new();
        let mut pieces = bytes.chunks(piece);
        loop {
            let mut io = pieces.next().unwrap_or_default();
            loop {
                match reader.whole() {
                    Ok(Some(message)) => messages.push(message),
                    Ok(None) => break,
                    Err(fault) => return (messages, fault),
                }
            }
            let polled = reader.poll_more(Pin::new(&mut io), &mut context);
            assert!(polled.is_ready());
            if let Some(fault) = reader.fault {
                return (messages, fault);
            }
        }
    }

    #[test]
    fn messages_are_put_together_however_they_come() {
        let mut bytes = frame(0x01, "grü".as_bytes().split_last().unwrap().1);
        bytes.extend(frame(0x89, b"here?"));
        bytes.extend(frame(0x00, &"ü".as_bytes()[1..]));
        bytes.extend(frame(0x80, b"n"));
        bytes.extend(frame(0x82, &[]));
        bytes.extend(frame(0x8A, &[]));
        bytes.extend([0x82, 0xFE, 1, 0, 0, 0, 0, 0]);
        bytes.extend([5; 256]);
        bytes.extend(frame(0x88, &[0x03, 0xE8, b'x']));
        let expected = [
            Message::Ping(b"here?".to_vec()),
            Message::Text("grün".to_owned()),
            Message::Binary(Vec::new()),
            Message::Pong,
            Message::Binary(vec![5; 256]),
            Message::Close(Some(1000)),
        ];
        for piece in [1, 2, 3, 7, 100, 10_000] {
            assert_eq!(read(&bytes, piece), (expected.clone().into(), Fault::Gone), "{piece}");
        }
    }

    #[test]
    fn what_breaks_the_rules_is_named() {
        let too_long = {
            let mut bytes = vec![0x82, 0xFF];
            bytes.extend((FRAME_BYTES as u64 + 1).to_be_bytes());
            bytes.extend([0; 4]);
            bytes
        };
        let cases: Vec<(&str, Vec<u8>, Fault)> = vec![
            ("not masked", vec![0x81, 0], Fault::Protocol),
            ("a reserved bit", frame(0xC1, b"x"), Fault::Protocol),
            ("a reserved opcode", frame(0x83, b"x"), Fault::Protocol),
            ("nothing to continue", frame(0x80, b"x"), Fault::Protocol),
            (
                "a message in a message",
                [frame(0x01, b"x"), frame(0x81, b"x")].concat(),
                Fault::Protocol,
            ),
            ("a ping in pieces", frame(0x09, b"x"), Fault::Protocol),
            ("a long ping", vec![0x89, 0xFE, 0, 126, 0, 0, 0, 0], Fault::Protocol),
            ("half a code", frame(0x88, &[3]), Fault::Protocol),
            ("a code that is none", frame(0x88, &[0x03, 0xED]), Fault::Protocol),
            ("no text", frame(0x81, &[0xFF]), Fault::Utf8),
            ("no text, in a piece", frame(0x01, &[0xFF]), Fault::Utf8),
            ("half a character", frame(0x81, &[0xC3]), Fault::Utf8),
            ("a reason that is no text", frame(0x88, &[0x03, 0xE8, 0xFF]), Fault::Utf8),
            ("too large", too_long, Fault::TooLarge),
        ];
        for (what, bytes, fault) in cases {
            assert_eq!(read(&bytes, 1), (Vec::new(), fault), "{what}");
        }
    }

    #[test]
    fn nothing_is_kept_between_messages() {
        let mut reader = Reader::default();
        let mut context = Context::from_waker(std::task::Waker::noop());
        let bytes = frame(0x81, b"hello");
        let mut io = &bytes[..];
        let next = reader.poll_next(Pin::new(&mut io), &mut context);
        assert_eq!(next, Poll::Ready(Ok(Message::Text("hello".to_owned()))));
        assert!(reader.partial.is_none());
    }
}
