//! What a registration changes in a device's capabilities.

use tidegate_entity::device;

/// How a known device's capabilities change.
#[derive(Debug, Default)]
pub(crate) struct Shift {
    /// Those it did not name before.
    pub(crate) gained: Vec<String>,
    /// Those it no longer names.
    pub(crate) lost: Vec<String>,
}

impl Shift {
    /// From what is stored to what it names now.
    pub(crate) fn between(row: &device::Model, now: &[String]) -> Self {
        let had = &row.capabilities;
        let gained = now.iter().filter(|name| !had.contains(name)).cloned().collect();
        let lost = had.iter().filter(|name| !now.contains(name)).cloned().collect();
        Self { gained, lost }
    }
}
