//! Wakes one session or poll, and tells it to end.

use std::sync::atomic::{AtomicU16, Ordering};

use tidegate_protocol::code::CloseReason;
use tokio::sync::Notify;

/// Wakes one session or poll. A wake-up that comes before the wait is kept.
#[derive(Debug, Default)]
pub struct Signal {
    notify: Notify,
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
        self.notify.notify_one();
    }

    /// Tells the session to close. Only the first order counts.
    pub fn close(&self, reason: CloseReason) {
        let index = CloseReason::ALL.iter().position(|known| *known == reason);
        let code = u16::try_from(index.unwrap_or_default() + 1).unwrap_or(1);
        let _ = self.order.compare_exchange(0, code, Ordering::AcqRel, Ordering::Acquire);
        self.notify.notify_one();
    }

    /// The order given, if any.
    pub fn order(&self) -> Option<Order> {
        let code = usize::from(self.order.load(Ordering::Acquire));
        CloseReason::ALL.get(code.checked_sub(1)?).copied().map(Order::Close)
    }

    /// Waits for the next wake-up or order.
    pub async fn woken(&self) {
        self.notify.notified().await;
    }
}
