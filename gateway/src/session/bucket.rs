//! A token bucket: how often a client may speak.
//!
//! Our own: it has no clock, as nothing in the session machine has, and is all
//! of sixteen bytes in every session.

/// Thousandths of a token, and when they were counted.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    milli_tokens: u32,
    counted_ms: u64,
}

impl Bucket {
    /// A full bucket of `burst` tokens.
    pub const fn full(burst: u32, now_ms: u64) -> Self {
        Self { milli_tokens: burst.saturating_mul(1000), counted_ms: now_ms }
    }

    /// Takes a token; false when there is none. `per_second` tokens come back
    /// every second, up to `burst`.
    pub fn take(&mut self, now_ms: u64, per_second: u32, burst: u32) -> bool {
        let elapsed_ms = now_ms.saturating_sub(self.counted_ms);
        let refill = u32::try_from(elapsed_ms.saturating_mul(u64::from(per_second)));
        self.counted_ms = now_ms;
        self.milli_tokens = self
            .milli_tokens
            .saturating_add(refill.unwrap_or(u32::MAX))
            .min(burst.saturating_mul(1000));
        if self.milli_tokens < 1000 {
            return false;
        }
        self.milli_tokens -= 1000;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let mut bucket = Bucket::full(200, 0);
        assert_eq!((0..300).filter(|_| bucket.take(0, 100, 200)).count(), 200);
        assert_eq!((0..300).filter(|_| bucket.take(1_000, 100, 200)).count(), 100);
        assert_eq!((0..300).filter(|_| bucket.take(60_000, 100, 200)).count(), 200);
    }
}
