//! Frames on their way out. They come framed and are handed to the system as
//! they are, several in one write: a frame shared by a thousand sessions is
//! never copied, and a session that is idle has no write buffer.
//!
//! Our own, because libraries write through a buffer of each connection: that
//! costs a copy of each frame for each receiver, and memory while nothing is
//! said.

use std::collections::VecDeque;
use std::io::{Error, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::AsyncWrite;

/// Frames not yet written. Takes no memory while there are none.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// What is left of each.
    frames: VecDeque<Bytes>,
    /// Bytes of all of them.
    bytes: usize,
    /// Whether what was written may wait in the connection: TLS keeps records
    /// that the system did not take.
    is_unflushed: bool,
}

/// Frames that one write takes.
const SLICES: usize = 32;

impl Queue {
    /// Appends a frame.
    pub(super) fn push(&mut self, frame: Bytes) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    /// Bytes that wait.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Writes what waits. After an error the connection is of no use.
    pub(super) fn poll_write<W: AsyncWrite>(
        &mut self,
        mut io: Pin<&mut W>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        while let Some(first) = self.frames.front() {
            let written = if self.frames.len() == 1 {
                // The system takes one piece for less than a list of one.
                io.as_mut().poll_write(context, first)
            } else {
                let mut slices = [IoSlice::new(&[]); SLICES];
                for (slice, frame) in slices.iter_mut().zip(&self.frames) {
                    *slice = IoSlice::new(frame);
                }
                let filled = self.frames.len().min(SLICES);
                io.as_mut().poll_write_vectored(context, &slices[..filled])
            };
            let count = ready!(written)?;
            if count == 0 {
                return Poll::Ready(Err(ErrorKind::WriteZero.into()));
            }
            self.advance(count);
            self.is_unflushed = true;
        }
        self.frames = VecDeque::new();
        if self.is_unflushed {
            ready!(io.poll_flush(context))?;
            self.is_unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// So many bytes are written: forgets the frames that are finished.
    fn advance(&mut self, mut count: usize) {
        self.bytes -= count;
        while let Some(done) = self.frames.pop_front_if(|first| first.len() <= count) {
            count -= done.len();
        }
        if let Some(first) = self.frames.front_mut() {
            first.advance(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes at most so many bytes at a time.
    #[derive(Default)]
    struct Narrow {
        most: usize,
        taken: Vec<u8>,
        /// Does not let go of it so often.
        keeps: usize,
        flushed: usize,
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

        fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
            if self.keeps > 0 {
                self.keeps -= 1;
                return Poll::Pending;
            }
            self.flushed += 1;
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
            Poll::Ready(Ok(()))
        }
    }

    fn written(sizes: &[usize], most: usize) -> Vec<u8> {
        let mut queue = Queue::default();
        for size in sizes {
            queue.push(vec![7; *size].into());
        }
        let mut io = Narrow { most, ..Narrow::default() };
        let mut context = Context::from_waker(std::task::Waker::noop());
        let done = queue.poll_write(Pin::new(&mut io), &mut context);
        assert!(matches!(done, Poll::Ready(Ok(()))));
        assert_eq!((queue.bytes(), queue.frames.capacity()), (0, 0));
        io.taken
    }

    #[test]
    fn short_writes_change_nothing() {
        let sizes: Vec<usize> = (0..40).map(|index| 2 + index * 7).collect();
        let whole = written(&sizes, usize::MAX);
        assert_eq!(whole.len(), sizes.iter().sum::<usize>());
        for most in [1, 2, 3, 64, 1000] {
            assert_eq!(written(&sizes, most), whole);
        }
    }

    #[test]
    fn what_was_written_is_flushed_once_until_it_has_left() {
        let mut queue = Queue::default();
        queue.push(vec![7; 10].into());
        let mut io = Narrow { most: 99, keeps: 2, ..Narrow::default() };
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut write = || queue.poll_write(Pin::new(&mut io), &mut context).is_ready();
        assert_eq!([(); 4].map(|()| write()), [false, false, true, true]);
        assert_eq!((io.taken.len(), io.flushed), (10, 1));
    }
}
