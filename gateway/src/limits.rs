//! Bounds that are not settings, each with its reason. Those on the wire are
//! in `tidegate_protocol::limits`; those an operator may choose are in
//! `config::Limits`.

use std::time::Duration;

/// Live entries a shared stream keeps ready for its local sessions: covers
/// what piles up while a thousand sockets are written once.
pub const RING_ENTRIES_SHARED: usize = 1_024;

/// Followers of a shared stream that are woken before everybody else gets a
/// turn: a few hundred microseconds of writing to sockets.
pub const WAKE_SLICE: usize = 64;

/// Live entries a user's stream keeps ready: a burst to one user.
pub const RING_ENTRIES_USER: usize = 64;

/// Bytes the ring of one stream keeps at most.
pub const RING_BYTES_SHARED: usize = 1024 * 1024;

/// See [`RING_BYTES_SHARED`]; there are many user streams.
pub const RING_BYTES_USER: usize = 64 * 1024;

/// Timeline rows waiting to be written behind. More are dropped and counted:
/// they are hints for people.
pub const BEHIND_EVENTS: usize = 100_000;

/// Cursors waiting to be written behind, one for each device and stream.
pub const BEHIND_CURSORS: usize = 200_000;

/// Rows written behind in one transaction where not many wait: a few
/// milliseconds, which a commit may have to wait for.
pub const BEHIND_SLICE_ROWS: usize = 64;

/// Where many wait, a transaction takes this part of them.
pub const BEHIND_SLICES: usize = 16;

/// Due commands one sweep takes; the next follows at once while more wait.
pub const SWEEP_COMMANDS: u64 = 500;

/// Positions one trim step removes, so that it holds the write lock briefly.
pub const TRIM_POSITIONS: i64 = 5_000;

/// Heads of an embedded database that are remembered: some 10 MB.
pub const HEADS_KNOWN: usize = 100_000;

/// Streams looked at by one step of a sweep over all streams.
pub const STREAMS_PER_STEP: u64 = 500;

/// Bytes of frames in one poll answer; the rest follows with `more`.
pub const POLL_ANSWER_BYTES: usize = 1024 * 1024;

/// How often a transaction is run that others' locks break each time.
pub const WRITE_ATTEMPTS: u32 = 5;

/// Longest pause before such a transaction is run again: about as long as the
/// one takes that broke it.
pub const WRITE_RETRY_PAUSE_MAX: Duration = Duration::from_millis(20);

/// What a push attempt says in a timeline, in bytes: a message id, or a refusal
/// with its reasons.
pub const PUSH_DETAIL_BYTES: usize = 400;

/// Tokens that must meet the same refusal, with no success in between, before
/// it is taken for the service's fault: two may be one person's devices.
pub const PUSH_SEVERAL_TOKENS: usize = 3;

/// Devices remembered per circuit as refused: who is forgotten only counts as
/// evidence once more.
pub const PUSH_SUSPECTS: usize = 64;

/// Circuits remembered. There are a handful of push services, but devices
/// could name any number.
pub const PUSH_CIRCUITS: usize = 1_000;

/// How long the one send that tries an open circuit is waited for: as long as
/// its claim holds.
pub const PUSH_PROBE_TIME: Duration = Duration::from_secs(10);

/// How soon those that wait for that send ask again.
pub const PUSH_PROBE_WAIT: Duration = Duration::from_secs(1);

/// How long an open circuit that nobody tries is shown to operators.
pub const PUSH_CIRCUIT_FORGOTTEN: Duration = Duration::from_hours(1);

/// How much farther than possible a time in a row may lie ahead before it is
/// taken for one of a clock that was wrong: clocks of nodes differ a little.
pub const CLOCK_SKEW: Duration = Duration::from_secs(10);
