//! The load: devices on sockets and callers of the HTTP API, all in one event
//! loop on one core.

pub(crate) mod caller;
pub(crate) mod device;
pub(crate) mod link;
pub(crate) mod world;
