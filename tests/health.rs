//! Health data, from what a sender brings to what devices hold.

mod activities;
mod day;
mod ingest;
mod nights;
mod profile;
mod random;
mod reads;
mod stream;
mod world;
