//! The bodies in which apps and exporters send health data, read into facts.
//!
//! A body is read from its text without a tree of it: items are looked at where
//! they stand and folded into facts at once, so that the largest export takes
//! little memory beside its own text.

use crate::health::fact::{Context, Facts, Refusal};

mod days;
mod entry;
mod external;
mod hc_webhook;
mod health_auto_export;
mod lists;
mod names;
mod open_wearables;
mod profile;
pub(super) mod sent;
mod sleep;
mod stages;
mod steps;
mod taken;
#[cfg(test)]
mod tests;
pub(super) mod units;
mod workouts;
mod zuralog;

/// A kind of body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Steps of days.
    Steps,
    /// Nights.
    Sleep,
    /// Workouts, and ids of those that are gone.
    Workouts,
    /// Measurements of a body.
    Profile,
    /// One entry of a day, or several.
    Entry,
    /// All kinds at once, as Zuralog's apps send them.
    Zuralog,
    /// An export of Health Auto Export.
    HealthAutoExport,
    /// Records of Health Connect from HC Webhook.
    HcWebhook,
    /// Records from the mobile SDK of Open Wearables.
    OpenWearables,
}

/// Reads a body: the text of a JSON object.
///
/// # Errors
/// Where nothing of it may be looked at.
pub fn read(format: Format, body: &str, context: &Context) -> Result<Facts, Refusal> {
    match format {
        Format::Steps => steps::read(body, context),
        Format::Sleep => sleep::read(body, context),
        Format::Workouts => workouts::read(body, context),
        Format::Profile => profile::read(body, context),
        Format::Entry => entry::read(body, context),
        Format::Zuralog => zuralog::read(body, context),
        Format::HealthAutoExport => health_auto_export::read(body, context),
        Format::HcWebhook => hc_webhook::read(body, context),
        Format::OpenWearables => open_wearables::read(body, context),
    }
}
