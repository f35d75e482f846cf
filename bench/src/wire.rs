//! The bytes between the load generator and the gateway, made and read with as
//! little work as possible: the client must not be what is measured.

pub(crate) mod facts;
pub(crate) mod http;
pub(crate) mod ws;
