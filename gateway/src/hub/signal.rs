//! Wakes one session or poll, and tells it to end.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use tidegate_protocol::code::CloseReason;

/// Wakes one session or poll: one waits at a time. A wake-up that comes before
/// the wait is kept.
#[derive(Debug, Default)]
pub struct Signal {
    waker: AtomicWaker,
    is_woken: AtomicBool,
    /// 0, or 1 + the index of the [`Order`] given. The first order stands.
    order: AtomicU16,
}

/// What a session is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Close for this reason.
    Close(CloseReason),
}

impl Signal {
    /// Something may be new.
    pub fn wake(&self) {
        // Who set it first wakes the session, which then finds all there is.
        if !self.is_woken.swap(true, Ordering::AcqRel) {
            self.waker.wake();
        }
    }

    /// Tells the session to close. Only the first order counts.
    pub fn close(&self, reason: CloseReason) {
        let index = CloseReason::ALL.iter().position(|known| *known == reason);
        let code = u16::try_from(index.unwrap_or_default() + 1).unwrap_or(1);
        let _ = self.order.compare_exchange(0, code, Ordering::AcqRel, Ordering::Acquire);
        self.wake();
    }

    /// The order given, if any.
    pub fn order(&self) -> Option<Order> {
        let code = usize::from(self.order.load(Ordering::Acquire));
        CloseReason::ALL.get(code.checked_sub(1)?).copied().map(Order::Close)
    }

    /// Waits for the next wake-up or order.
    pub async fn woken(&self) {
        poll_fn(|context| self.poll_woken(context)).await;
    }

    /// Ready at the next wake-up or order.
    pub fn poll_woken(&self, context: &Context<'_>) -> Poll<()> {
        if !self.is_woken.load(Ordering::Acquire) {
            self.waker.register(context.waker());
        }
        // Looked at after the waker is in its place: no wake-up falls between.
        if self.is_woken.swap(false, Ordering::AcqRel) { Poll::Ready(()) } else { Poll::Pending }
    }
}
