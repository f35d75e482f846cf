//! The marketplace from outside: what is read of it, edits and their conflicts
//! with upstream, ratings, and what operators can ask. A fake of upstream
//! shares the gateway's clock.

mod detection;
mod edits;
mod merging;
mod reads;
mod shown;
mod winners;
mod world;
