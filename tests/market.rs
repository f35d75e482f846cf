//! The marketplace from outside: what is read of it, edits and their conflicts
//! with upstream, ratings, and what operators can ask. A fake of upstream
//! shares the gateway's clock.

mod bulk;
mod convergence;
mod deletes;
mod detection;
mod edits;
mod health;
mod listing;
mod manual;
mod merging;
mod operators;
mod rated_elsewhere;
mod ratings;
mod reads;
mod resolving;
mod retention;
mod rules;
mod shown;
mod told;
mod winners;
mod world;
