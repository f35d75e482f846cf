//! What health data means: sources and their ranks, the fields of a day, local
//! days, activities and which of them are the same workout.
//!
//! Pure: no database, no clock, no settings. What senders and providers say is
//! read by [`format`] and [`provider`] into [`fact`]s, one way for all of them;
//! the writer merges facts into rows by [`day`], [`night`] and [`walk`].

pub mod activity;
pub mod command;
pub mod date;
pub mod day;
pub mod fact;
pub mod field;
pub mod format;
pub mod item;
pub mod night;
pub mod provider;
pub mod source;
pub mod walk;
