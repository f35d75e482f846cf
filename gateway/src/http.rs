//! HTTP: what routes take and answer, and what every request passes through.

pub mod extract;
pub mod layers;
