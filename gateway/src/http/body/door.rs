//! Who may send a body, and how large it may be: a [`Door`] each.

use tidegate_protocol::limits::FRAME_BYTES;

use crate::auth::Role;
use crate::config::health::Health;
use crate::config::{Config, Limits};

/// Who may send a body, and how large it may be.
pub trait Door {
    /// What the caller must be; `None`: whoever has a token.
    const ROLE: Option<Role>;

    /// Most bytes of the body.
    fn most(sizes: &Sizes) -> usize;
}

macro_rules! doors {
    ($($(#[$doc:meta])* $name:ident: $role:expr, $most:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub enum $name {}

        impl Door for $name {
            const ROLE: Option<Role> = $role;

            fn most(sizes: &Sizes) -> usize {
                let most: fn(&Sizes) -> usize = $most;
                most(sizes)
            }
        }
    )+};
}

/// What doors are measured by.
#[derive(Clone, Debug)]
pub struct Sizes {
    pub(super) limits: Limits,
    health: Health,
}

impl Sizes {
    /// As configured.
    pub(super) fn of(config: &Config) -> Self {
        Self { limits: config.limits.clone(), health: config.health.clone() }
    }

    /// So many bytes, but never more than any body may have.
    fn within(&self, most: usize) -> usize {
        most.min(self.limits.body_bytes)
    }
}

/// One command or item, with the JSON around it: what a frame holds.
const ONE_BYTES: usize = FRAME_BYTES;

doors! {
    /// A device.
    Device: Some(Role::Device), |sizes| sizes.within(sizes.limits.device_body_bytes);
    /// A device that sends what a frame of its socket may hold.
    DeviceFrame: Some(Role::Device), |sizes| {
        sizes.within(sizes.limits.device_body_bytes.max(FRAME_BYTES))
    };
    /// Whoever has a token.
    Anyone: None, |sizes| sizes.within(sizes.limits.device_body_bytes);
    /// A device or a backend that sends health data.
    HealthData: None, |sizes| sizes.health.body_bytes;
    /// A device or a backend that sends health data in an exporter's format.
    HealthExport: None, |sizes| sizes.health.format_body_bytes;
    /// A backend that sends one thing.
    Service: Some(Role::Service), |sizes| sizes.within(ONE_BYTES);
    /// A backend that sends many.
    ServiceBatch: Some(Role::Service), |sizes| sizes.limits.body_bytes;
    /// An operator that sends one thing.
    Admin: Some(Role::Admin), |sizes| sizes.within(ONE_BYTES);
    /// An operator that sends many.
    AdminBatch: Some(Role::Admin), |sizes| sizes.limits.body_bytes;
}
