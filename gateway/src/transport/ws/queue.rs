//! Frames on their way out. They are framed here and handed to the system as
//! they are, several in one write: a frame shared by a thousand sessions is
//! never copied, and a session that is idle has no write buffer.

use std::collections::VecDeque;
use std::io::{Error, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::AsyncWrite;

use crate::journal::frame::Wire;

/// Frames not yet written. Takes no memory while there are none.
#[derive(Debug, Default)]
pub(super) struct Queue {
    frames: VecDeque<Framed>,
    /// Bytes of all of them, heads included.
    bytes: usize,
    /// Bytes of the first that are written already.
    written: usize,
}

/// A frame with its head.
#[derive(Debug)]
struct Framed {
    head: [u8; HEAD_BYTES_MAX],
    head_len: u8,
    payload: Bytes,
}

/// Two bytes, and up to eight for the length. What a server sends is not
/// masked.
const HEAD_BYTES_MAX: usize = 10;

/// The only frame of its message.
const FINAL: u8 = 0x80;

const TEXT: u8 = 1;
const BINARY: u8 = 2;

/// Slices that one write takes: two for each frame.
const SLICES: usize = 32;

impl Framed {
    fn new(wire: Wire) -> Self {
        let (kind, payload) = match wire {
            Wire::Text(text) => (TEXT, Bytes::from(text)),
            Wire::Binary(bytes) => (BINARY, bytes),
        };
        let mut head = [0; HEAD_BYTES_MAX];
        head[0] = FINAL | kind;
        let length = (payload.len() as u64).to_be_bytes();
        let head_len = match payload.len() {
            0..=125 => {
                head[1] = length[7];
                2
            }
            126..=0xFFFF => {
                head[1] = 126;
                head[2..4].copy_from_slice(&length[6..]);
                4
            }
            _ => {
                head[1] = 127;
                head[2..].copy_from_slice(&length);
                10
            }
        };
        Self { head, head_len, payload }
    }

    fn head(&self) -> &[u8] {
        &self.head[..usize::from(self.head_len)]
    }

    fn len(&self) -> usize {
        usize::from(self.head_len) + self.payload.len()
    }
}

impl Queue {
    /// Appends a frame; its size without the head.
    pub(super) fn push(&mut self, wire: Wire) -> usize {
        let framed = Framed::new(wire);
        let bytes = framed.payload.len();
        self.bytes += framed.len();
        self.frames.push_back(framed);
        bytes
    }

    /// Bytes that wait.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes - self.written
    }

    /// Writes what waits. After an error the connection is of no use.
    pub(super) fn poll_write<W: AsyncWrite>(
        &mut self,
        mut io: Pin<&mut W>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        while !self.frames.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let filled = self.fill(&mut slices);
            let count = ready!(io.as_mut().poll_write_vectored(context, &slices[..filled]))?;
            if count == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            self.advance(count);
        }
        self.frames = VecDeque::new();
        Poll::Ready(Ok(()))
    }

    /// Points at what waits, as much as fits.
    fn fill<'a>(&'a self, slices: &mut [IoSlice<'a>; SLICES]) -> usize {
        let mut filled = 0;
        let mut skip = self.written;
        for part in self.frames.iter().flat_map(|frame| [frame.head(), &frame.payload[..]]) {
            if filled == SLICES {
                break;
            }
            let rest = &part[skip.min(part.len())..];
            skip -= part.len() - rest.len();
            if !rest.is_empty() {
                slices[filled] = IoSlice::new(rest);
                filled += 1;
            }
        }
        filled
    }

    /// So many bytes are written: forgets the frames that are finished.
    fn advance(&mut self, count: usize) {
        self.written += count;
        while let Some(done) = self.frames.pop_front_if(|first| first.len() <= self.written) {
            self.written -= done.len();
            self.bytes -= done.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes at most so many bytes at a time.
    struct Narrow {
        most: usize,
        taken: Vec<u8>,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<Result<usize, Error>> {
            let count = bytes.len().min(self.most);
            self.taken.extend_from_slice(&bytes[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            slices: &[IoSlice<'_>],
        ) -> Poll<Result<usize, Error>> {
            let before = self.taken.len();
            let most = self.most;
            for byte in slices.iter().flat_map(|slice| slice.iter()).take(most) {
                self.taken.push(*byte);
            }
            Poll::Ready(Ok(self.taken.len() - before))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
            Poll::Ready(Ok(()))
        }
    }

    fn written(sizes: &[usize], most: usize) -> Vec<u8> {
        let mut queue = Queue::default();
        for size in sizes {
            assert_eq!(queue.push(Wire::Binary(vec![7; *size].into())), *size);
        }
        let mut io = Narrow { most, taken: Vec::new() };
        let mut context = Context::from_waker(std::task::Waker::noop());
        let done = queue.poll_write(Pin::new(&mut io), &mut context);
        assert!(matches!(done, Poll::Ready(Ok(()))));
        assert_eq!((queue.bytes(), queue.frames.capacity()), (0, 0));
        io.taken
    }

    #[test]
    fn heads_name_the_length_in_the_shortest_form() {
        assert_eq!(written(&[0], 99), [0x82, 0]);
        assert_eq!(written(&[125], 999)[..3], [0x82, 125, 7]);
        assert_eq!(written(&[126], 999)[..5], [0x82, 126, 0, 126, 7]);
        assert_eq!(written(&[65_535], 99_999)[..5], [0x82, 126, 255, 255, 7]);
        let longest = written(&[65_536], 99_999);
        assert_eq!(longest[..11], [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0, 7]);
        let mut queue = Queue::default();
        queue.push(Wire::Text("{}".into()));
        assert_eq!(queue.frames[0].head(), [0x81, 2]);
    }

    #[test]
    fn short_writes_change_nothing() {
        let sizes: Vec<usize> = (0..40).map(|index| index * 7).collect();
        let whole = written(&sizes, usize::MAX);
        assert_eq!(whole.len(), sizes.iter().sum::<usize>() + 2 * 18 + 4 * 22);
        for most in [1, 2, 3, 64, 1000] {
            assert_eq!(written(&sizes, most), whole);
        }
    }
}
