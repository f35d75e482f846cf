//! The push tier from outside: what providers are sent, when, and what follows
//! from their answers. Fakes of the providers check every request as the real
//! ones do.

mod answers;
mod browsers;
mod buckets;
mod circuit;
mod clocks;
mod deltas;
mod errors;
mod killed;
mod neighbours;
mod refusals;
mod registration;
mod requests;
mod scene;
mod shown;
mod thousand;
mod tiers;
mod timeline;
mod tokens;
mod world;
