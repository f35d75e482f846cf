//! How many wake-ups a device may get: a token bucket that is stored with the
//! device's wake-up, so that a restart does not refill it.

use tidegate_entity::push_wake;

/// Size and refill.
#[derive(Clone, Copy, Debug)]
pub struct DeviceBucket {
    /// Wake-ups at once.
    pub burst: u32,
    /// Milliseconds after which one comes back.
    pub refill_ms: i64,
}

impl DeviceBucket {
    /// A full bucket, in thousandths.
    pub fn full_milli(self) -> i64 {
        i64::from(self.burst) * 1000
    }

    /// Takes one wake-up, or says when there will be one.
    pub fn take(self, wake: &mut push_wake::Model, now_ms: i64) -> Result<(), i64> {
        // Counted under a clock that was wrong, it may lie ahead.
        wake.bucket_at = wake.bucket_at.min(now_ms);
        let elapsed_ms = now_ms.saturating_sub(wake.bucket_at);
        let refilled = elapsed_ms.saturating_mul(1000) / self.refill_ms;
        let filled = wake.bucket_milli.saturating_add(refilled).min(self.full_milli());
        if filled < 1000 {
            let missing_ms = ((1000 - wake.bucket_milli) * self.refill_ms + 999) / 1000;
            return Err(wake.bucket_at.saturating_add(missing_ms));
        }
        wake.bucket_milli = filled - 1000;
        wake.bucket_at = now_ms;
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn wake() -> push_wake::Model {
        push_wake::Model {
            user_id: "u".to_owned(),
            device_id: "d".to_owned(),
            due_at: 0,
            not_before: 0,
            wanted: 1,
            failures: 0,
            refusals: 0,
            repeats: 0,
            delta_sent_at: None,
            bucket_milli: 20_000,
            bucket_at: 0,
            claimed_by: None,
            claimed_until: 0,
            claim: 1,
        }
    }

    #[test]
    fn twenty_pass_and_then_one_every_three_minutes() {
        let bucket = DeviceBucket { burst: 20, refill_ms: 180_000 };
        let mut wake = wake();
        for _ in 0..20 {
            assert_eq!(bucket.take(&mut wake, 0), Ok(()));
        }
        assert_eq!(bucket.take(&mut wake, 0), Err(180_000));
        assert_eq!(bucket.take(&mut wake, 179_999), Err(180_000));
        assert_eq!(bucket.take(&mut wake, 180_000), Ok(()));
        assert_eq!(bucket.take(&mut wake, 180_000), Err(360_000));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_stop_the_refill() {
        let bucket = DeviceBucket { burst: 1, refill_ms: 1_000 };
        let mut wake = push_wake::Model { bucket_milli: 0, bucket_at: 1_000_000_000, ..wake() };
        assert_eq!(bucket.take(&mut wake, 500), Err(1_500));
        assert_eq!(bucket.take(&mut wake, 1_500), Ok(()));
    }
}
