//! The marketplace from outside: an upstream that fails in every way it is
//! known to fail, and a gateway whose devices must never see that.

mod clocks;
mod contracts;
mod deltas;
mod denied;
mod devices;
mod faults;
mod fresh;
mod heard;
mod killed;
mod link;
mod listing;
mod nodes;
mod outage;
mod phone;
mod restored;
mod shown;
mod sweep;
mod waits;
mod world;
