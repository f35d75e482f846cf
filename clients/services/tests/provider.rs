//! The clients of health providers against their fakes, and against answers of
//! which none was promised.

mod faults;
mod grants;
mod hostile;
mod lists;
mod stage;
mod subscriptions;
