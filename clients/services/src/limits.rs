//! Bounds of everything that is sent, read, kept or waited for, with reasons.

use std::time::Duration;

/// How long one request may take, from connecting to the last byte of the
/// answer. Google asks for at least 10 s before giving up.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long connecting may take: leaves time for the request itself.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an idle connection is kept: shorter than the idle time-outs of
/// common front ends, so that requests seldom meet a closing connection.
pub const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(50);

/// Idle connections kept per host: HTTP/2 needs one, HTTP/1.1 fakes and small
/// push services a few.
pub const POOL_IDLE_PER_HOST: usize = 8;

/// Most bytes of an answer that are read. Real ones have less than 2 KiB; a
/// longer one is cut and then classified by its status alone.
pub const ANSWER_BYTES: usize = 64 * 1024;

/// Longest wait a `Retry-After` can ask for: Google's advice is to give up
/// after 60 min, and a wrong header must not silence a device for years.
pub const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// Wait after 429 without `Retry-After`: Google asks for 60 s.
pub const QUOTA_FLOOR: Duration = Duration::from_mins(1);

/// Wait after Google's HTML page for 502: the page asks for 30 s.
pub const BAD_GATEWAY_FLOOR: Duration = Duration::from_secs(30);

/// Longest life of a push message in seconds: four weeks (FCM's maximum).
pub const TTL_MAX_S: u32 = 2_419_200;

/// Most bytes of keys and values in the data of one FCM message; of title,
/// body and image too when it is a visible one.
pub const FCM_DATA_BYTES: usize = 4096;

/// Longest FCM registration token in bytes: what devices may register.
pub const FCM_TOKEN_BYTES: usize = tidegate_protocol::limits::PUSH_TOKEN_BYTES;

/// Life of an assertion in seconds: the most that Google accepts.
pub const ASSERTION_LIFE_S: i64 = 3600;

/// How long before its end an access token is renewed: one caller renews
/// while the others still use it.
pub const TOKEN_RENEW_EARLY: Duration = Duration::from_mins(5);

/// How long before its end an access token is used no more: covers the
/// request under way and a small difference between the clocks.
pub const TOKEN_UNUSABLE_EARLY: Duration = Duration::from_secs(30);

/// Pause between failed early renewals, while the old token still works.
pub const TOKEN_RENEW_PAUSE: Duration = Duration::from_secs(30);

/// Longest life of an access token that is believed: Google gives 1 h.
pub const TOKEN_LIFE_MAX: Duration = Duration::from_hours(24);

/// Largest Web Push body in bytes that every push service must accept
/// (RFC 8030 section 7.2).
pub const WEBPUSH_BODY_BYTES: usize = 4096;

/// Largest plaintext of one Web Push message in bytes: the body without the
/// header (86), the tag (16) and the delimiter (1) of RFC 8188.
pub const WEBPUSH_PLAIN_BYTES: usize = WEBPUSH_BODY_BYTES - 86 - 16 - 1;

/// Life of a VAPID token in seconds: half of the 24 h that RFC 8292 allows,
/// so that a clock a few hours off does no harm.
pub const VAPID_LIFE_S: i64 = 12 * 3600;

/// How long before its end a VAPID token is replaced, in seconds.
pub const VAPID_RENEW_EARLY_S: i64 = 3600;

/// Most origins whose VAPID token is kept. There are a handful of push
/// services; devices choose their endpoints, so the number must be bounded.
pub const VAPID_ORIGINS: usize = 256;

/// Longest `Topic` in characters (RFC 8030 section 5.4).
pub const TOPIC_CHARS: usize = 32;

/// Longest word taken over from an error answer, in bytes.
pub const ERROR_WORD_BYTES: usize = 64;

/// Most bytes of the reasons that a refusal is shown with: a line of a
/// timeline, which every attempt adds.
pub const REASON_BYTES: usize = 200;

/// Longest word of a reason that is shown, in bytes: the words of APNs and the
/// names of headers have less, tokens and their like more.
pub const REASON_WORD_BYTES: usize = 32;

/// How long one request to the `Atom SaaS` marketplace may take when the
/// settings name nothing else: what its requirements v1.0.0 ask for, since a
/// page of 1,000 skills carries their code.
pub const ATOM_TIMEOUT: Duration = Duration::from_secs(30);

/// Largest listing of the marketplace in bytes: 1,000 skills, the largest
/// page, of 16 KiB each.
pub const ATOM_PAGE_BYTES: usize = 16 * 1024 * 1024;

/// Largest single skill in bytes: four times what its socket may send of one,
/// for the skill's ratings come with it.
pub const ATOM_SKILL_BYTES: usize = 4 * ATOM_MESSAGE_BYTES;

/// Largest page the marketplace gives (its requirements v1.0.0).
pub const ATOM_PAGE_ITEMS: u32 = 1000;

/// Longest comment of a rating in characters (requirements v1.0.0).
pub const ATOM_COMMENT_CHARS: usize = 1000;

/// Longest id of a skill and name of a category, in bytes: both are keys of
/// the cache and of journal entries. Real ids are UUIDs.
pub const ATOM_KEY_BYTES: usize = 200;

/// Longest `ETag` kept: it goes back in a header, and into a database.
pub const ATOM_VALIDATOR_BYTES: usize = 256;

/// Largest message of the marketplace's socket in bytes (requirements v1.0.0:
/// 1 MiB of UTF-8).
pub const ATOM_MESSAGE_BYTES: usize = 1024 * 1024;

/// How many times [`ATOM_MESSAGE_BYTES`] the socket itself takes in: a message
/// in between is dropped and the connection kept; a larger one ends it, for
/// the WebSocket library cannot skip a frame.
pub const ATOM_FRAME_FACTOR: usize = 4;

/// How often the client pings the marketplace's socket (requirements v1.0.0).
pub const ATOM_HEARTBEAT: Duration = Duration::from_secs(30);

/// How long it waits for the pong (requirements v1.0.0).
pub const ATOM_PONG_TIMEOUT: Duration = Duration::from_secs(10);

/// How many messages may still come before a late pong, when their reader was
/// slow and they had arrived in time: what a server that keeps to
/// [`ATOM_WINDOW_MESSAGES`] can send within [`ATOM_PONG_TIMEOUT`].
pub const ATOM_PONG_BEHIND: usize = 1000;

/// Messages of the socket that are taken in per [`ATOM_WINDOW`]
/// (requirements v1.0.0: 100 per second).
pub const ATOM_WINDOW_MESSAGES: usize = 100;

/// See [`ATOM_WINDOW_MESSAGES`].
pub const ATOM_WINDOW: Duration = Duration::from_secs(1);

/// How long to wait for the socket to take the closing frame and answer it.
pub const ATOM_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Read buffer of the socket in bytes: the library's default of 128 KiB is
/// filled with zeros on every read, for messages that mostly have a few KiB.
pub const ATOM_READ_BUFFER_BYTES: usize = 16 * 1024;

/// From how many bytes the socket writes without being flushed. It sends
/// nothing but pings, pongs and a close, each flushed at once.
pub const ATOM_WRITE_BUFFER_BYTES: usize = 1024;

/// Most bytes waiting to be written: many times what can be owed at once.
pub const ATOM_WRITE_BUFFER_MAX_BYTES: usize = 16 * 1024;

/// Largest page of a provider of health data in bytes: 10,000 points of Google,
/// the most it gives, of some 700 bytes each.
pub const PROVIDER_PAGE_BYTES: usize = 8 * 1024 * 1024;

/// Activities of Strava on a page: the most it gives.
pub const STRAVA_PAGE_ITEMS: u32 = 200;

/// Exercises or nights of Google on a page: the most it gives.
pub const GOOGLE_SESSIONS: u32 = 25;

/// Other points of Google on a page: half of the most it gives, which leaves
/// room in [`PROVIDER_PAGE_BYTES`].
pub const GOOGLE_POINTS: u32 = 5000;

/// Activities of Fitbit on a page: the most it gives.
pub const FITBIT_PAGE_ITEMS: u32 = 100;

/// Days that Fitbit gives nights of at once.
pub const FITBIT_DAYS: u64 = 100;

/// Longest position of a page in bytes: it is stored, and goes back in an
/// address.
pub const PROVIDER_POSITION_BYTES: usize = 2048;

/// Longest id of an item or of a user in bytes: both become keys. Real ones
/// have at most 36.
pub const PROVIDER_ID_BYTES: usize = 128;

/// Longest token of a provider in bytes: it is stored, and goes back in a
/// header. Google reserves 2,048.
pub const PROVIDER_TOKEN_BYTES: usize = 4096;

/// Life of an access token that names no end: the shortest of the four.
pub const PROVIDER_TOKEN_LIFE: Duration = Duration::from_hours(1);

/// Longest life of an access token that is believed.
pub const PROVIDER_TOKEN_LIFE_MAX: Duration = Duration::from_hours(90 * 24);

/// Longest wait that a provider's `Retry-After` or window can ask for: the
/// longest windows are days.
pub const PROVIDER_WAIT_MAX: Duration = Duration::from_hours(24);

/// How old a signed event may be, and how far ahead its clock.
pub const SIGNATURE_TOLERANCE: Duration = Duration::from_mins(5);
