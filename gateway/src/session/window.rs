//! What was delivered of a stream and not acked: bounded, so that a slow
//! device holds back only itself.

use std::collections::VecDeque;

use tidegate_protocol::id::Seq;
use tidegate_protocol::limits::{WINDOW_BYTES, WINDOW_ENTRIES};

use crate::journal::read::Room;

/// Entries delivered and not acked, oldest first. Takes no memory while
/// everything is acked.
#[derive(Debug, Default)]
pub struct Window {
    unacked: VecDeque<(Seq, u32)>,
    bytes: usize,
    /// `None` until the first ack: one of position 0, after the snapshot of an
    /// empty stream, says that the device follows it.
    acked: Option<Seq>,
    unbounded: bool,
}

/// Memory for more entries than this is given back once all are acked.
const KEPT_CAPACITY: usize = 4;

impl Window {
    /// Nothing delivered; everything up to `acked` is held.
    pub const fn from(acked: Seq) -> Self {
        Self { unacked: VecDeque::new(), bytes: 0, acked: Some(acked), unbounded: false }
    }

    /// Nothing delivered, and nothing is held.
    pub const fn new() -> Self {
        Self { unacked: VecDeque::new(), bytes: 0, acked: None, unbounded: false }
    }

    /// For polls: each answer is bounded by itself.
    pub const fn unbounded() -> Self {
        Self { unacked: VecDeque::new(), bytes: 0, acked: None, unbounded: true }
    }

    /// How much a page may deliver; `None` while the window is full.
    pub fn room(&self) -> Option<Room> {
        if self.unbounded {
            return Some(Room::PAGE);
        }
        let entries = WINDOW_ENTRIES.checked_sub(self.unacked.len()).filter(|left| *left > 0)?;
        let bytes = WINDOW_BYTES.checked_sub(self.bytes).filter(|left| *left > 0)?;
        Some(Room::of_window(entries, bytes))
    }

    /// Entries were delivered.
    pub fn delivered(&mut self, entries: &[(Seq, u32)]) {
        if self.unbounded {
            return;
        }
        self.bytes += entries.iter().map(|(_, bytes)| *bytes as usize).sum::<usize>();
        self.unacked.extend(entries);
    }

    /// Everything up to `upto` is held; whether that is more than before.
    pub fn ack(&mut self, upto: Seq) -> bool {
        if self.acked.is_some_and(|acked| upto <= acked) {
            return false;
        }
        self.acked = Some(upto);
        while let Some((_, bytes)) = self.unacked.pop_front_if(|(seq, _)| *seq <= upto) {
            self.bytes -= bytes as usize;
        }
        if self.unacked.is_empty() && self.unacked.capacity() > KEPT_CAPACITY {
            self.unacked = VecDeque::new();
        }
        true
    }

    /// The highest position acked in this session.
    pub fn acked(&self) -> Seq {
        self.acked.unwrap_or(Seq::ZERO)
    }

    /// How many entries are delivered and not acked.
    pub fn unacked(&self) -> usize {
        self.unacked.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_counts_entries_and_bytes_exactly() {
        let mut window = Window::from(Seq::ZERO);
        let entries: Vec<_> = (1..=500).map(|seq| (Seq::new(seq), 10)).collect();
        window.delivered(&entries[..499]);
        assert_eq!(window.room().unwrap().entries, 1);
        window.delivered(&entries[499..]);
        assert_eq!(window.room(), None);
        assert!(window.ack(Seq::new(50)));
        assert_eq!(window.room().unwrap().entries, 50);
        assert!(!window.ack(Seq::new(50)), "the same ack again is not new");
        assert!(window.ack(Seq::new(500)));
        assert_eq!(window.bytes, 0);
        window.delivered(&[(Seq::new(501), 1024 * 1024)]);
        assert_eq!(window.room(), None, "a mebibyte fills it too");
    }

    #[test]
    fn the_first_ack_counts_at_any_position() {
        let mut window = Window::new();
        assert!(window.ack(Seq::ZERO));
        assert!(!window.ack(Seq::ZERO));
        assert!(!Window::from(Seq::ZERO).ack(Seq::ZERO), "held before");
    }
}
