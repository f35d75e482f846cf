//! Integrations with cloud providers, against fakes of them on the gateway's clock.

mod connect;
mod crowd;
mod keys;
mod many;
mod nodes;
mod rates;
mod refresh;
mod runs;
mod secrets;
mod told;
mod webhooks;
mod world;
