//! Health data, from what a sender brings to what devices hold.

mod activities;
mod commands;
mod day;
mod docs;
mod exporters;
mod ingest;
mod nights;
mod profile;
mod random;
mod reads;
mod stream;
mod world;
