//! Disks that are full, broken, read-only, stuck or damaged under the real
//! program: what it then answers, and that nothing it accepted is lost. The
//! files of SQLite fail; what PostgreSQL's files do is PostgreSQL's matter.

mod bounds;
mod calls;
mod damaged;
mod fails;
mod stuck;
mod world;
