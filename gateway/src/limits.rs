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

/// Longest time that a provider's `Retry-After` is heeded.
pub const PROVIDER_PATIENCE_MAX: Duration = Duration::from_hours(24);

/// How long nothing is asked of a provider after a rate window's boundary: its
/// clock and ours differ a little.
pub const PROVIDER_BOUNDARY: Duration = Duration::from_secs(2);

/// Users whose turns with providers are taken at once.
pub const PROVIDER_TURNS: usize = 16;

/// Users that one look finds for a provider: a second's work.
pub const PROVIDER_LOOK_USERS: u64 = 256;

/// Pages of one listing of a user: an answer that always leads on is an error.
pub const PROVIDER_PAGES: u32 = 10_000;

/// Authorizations of one user and provider under way.
pub const OAUTH_STATES: u64 = 5;

/// How long an authorization may take.
pub const OAUTH_STATE_LIFE: Duration = Duration::from_mins(10);

/// Bytes of a webhook's body.
pub const WEBHOOK_BODY_BYTES: usize = 64 * 1024;

/// Memory that bodies of webhooks take together: nobody is known who could be made
/// to wait for his own.
pub const WEBHOOK_BODIES_BYTES: usize = 4 * 1024 * 1024;

/// How long a webhook is answered: providers give up after two seconds.
pub const WEBHOOK_ANSWER: Duration = Duration::from_millis(1_800);

/// Events of one webhook call that are looked at.
pub const WEBHOOK_EVENTS: usize = 256;

/// Events of one user that wait, and of all users; beyond that a run reads what is
/// new.
pub const WEBHOOK_EVENTS_PER_USER: u64 = 50;

/// See [`WEBHOOK_EVENTS_PER_USER`].
pub const WEBHOOK_EVENTS_TOTAL: u64 = 100_000;

/// Users that one account of a provider may be connected by.
pub const WEBHOOK_USERS: u64 = 10;

/// Looks at an event that may fail; runs read what it told of later.
pub const WEBHOOK_ATTEMPTS: i64 = 8;

/// How long events are remembered, so that none is looked at twice.
pub const WEBHOOK_MEMORY_D: u32 = 7;
