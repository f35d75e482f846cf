//! How many requests a provider allows: windows on the clock's own quarters,
//! hours and days.

use std::collections::HashMap;

/// A window and what it allows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub(crate) name: &'static str,
    pub(crate) length_ms: i64,
    pub(crate) limit: u64,
    /// Whether each user has one.
    pub(crate) is_per_user: bool,
    /// Whether only reading counts.
    pub(crate) is_for_reads: bool,
}

/// A window as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its name.
    pub name: &'static str,
    /// What it allows.
    pub limit: u64,
    /// What was used, refused requests included.
    pub used: u64,
    /// Milliseconds until it begins anew.
    pub resets_in_ms: i64,
}

impl Window {
    pub(crate) const fn is_over(&self) -> bool {
        self.used > self.limit
    }

    /// Whole seconds until it begins anew, one at least.
    pub(crate) fn resets_in_s(&self) -> u64 {
        u64::try_from(self.resets_in_ms).unwrap_or_default().div_ceil(1000).max(1)
    }
}

/// All windows of a provider.
#[derive(Debug)]
pub(crate) struct Windows {
    rules: Vec<Rule>,
    is_off: bool,
    used: HashMap<(&'static str, String), (i64, u64)>,
}

impl Windows {
    pub(crate) fn new(rules: &[Rule]) -> Self {
        Self { rules: rules.to_vec(), is_off: false, used: HashMap::new() }
    }

    /// Whether requests are refused; they count in any case.
    pub(crate) fn switch(&mut self, is_on: bool) {
        self.is_off = !is_on;
    }

    pub(crate) fn set_limit(&mut self, name: &str, limit: u64) {
        let rule = self.rules.iter_mut().find(|rule| rule.name == name);
        rule.unwrap_or_else(|| panic!("there is no window `{name}`")).limit = limit;
    }

    /// Counts requests, and says how the windows stand and whether one of them
    /// is over.
    pub(crate) fn take(
        &mut self,
        user: &str,
        is_read: bool,
        count: u64,
        now_ms: i64,
    ) -> (Vec<Window>, bool) {
        let mut windows = Vec::with_capacity(self.rules.len());
        for rule in &self.rules {
            let counts = is_read || !rule.is_for_reads;
            let who = if rule.is_per_user { user } else { "" };
            let begin_ms = now_ms - now_ms.rem_euclid(rule.length_ms);
            let slot = self.used.entry((rule.name, who.to_owned())).or_insert((begin_ms, 0));
            if slot.0 != begin_ms {
                *slot = (begin_ms, 0);
            }
            if counts {
                slot.1 += count;
            }
            windows.push(Window {
                name: rule.name,
                limit: rule.limit,
                used: slot.1,
                resets_in_ms: begin_ms + rule.length_ms - now_ms,
            });
        }
        let mut over = self.rules.iter().zip(&windows);
        let is_over =
            over.any(|(rule, window)| window.is_over() && (is_read || !rule.is_for_reads));
        (windows, is_over && !self.is_off)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUARTER_MS: i64 = 15 * 60_000;

    fn rule(name: &'static str, is_per_user: bool, is_for_reads: bool) -> Rule {
        Rule { name, length_ms: QUARTER_MS, limit: 2, is_per_user, is_for_reads }
    }

    #[test]
    fn windows_begin_with_the_clocks_quarters() {
        let mut windows = Windows::new(&[rule("quarter", false, false)]);
        let mut is_over = |now_ms| windows.take("", true, 1, now_ms).1;
        assert!(!is_over(QUARTER_MS - 2) && !is_over(QUARTER_MS - 2));
        assert!(is_over(QUARTER_MS - 1), "the third");
        assert!(!is_over(QUARTER_MS), "a new quarter");
        let (stand, _) = windows.take("", true, 0, QUARTER_MS + 1);
        assert_eq!((stand[0].used, stand[0].resets_in_ms), (1, QUARTER_MS - 1));
    }

    #[test]
    fn users_and_reads_are_counted_apart() {
        let mut windows = Windows::new(&[rule("user", true, false), rule("read", false, true)]);
        windows.set_limit("read", 3);
        assert!(!windows.take("a", true, 2, 0).1);
        assert!(windows.take("a", false, 1, 0).1, "a has used its own");
        assert!(!windows.take("b", true, 1, 0).1);
        assert!(windows.take("b", true, 1, 0).1, "reads are over for all");
        windows.set_limit("user", 9);
        assert!(!windows.take("b", false, 1, 0).1, "but other calls are not");
        windows.switch(false);
        assert!(!windows.take("b", true, 1, 0).1);
    }
}
