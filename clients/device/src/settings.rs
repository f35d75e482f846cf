//! Every bound and wait of the device, with its reason.
//!
//! Never reads the environment or files: the app fills it, or takes the
//! defaults.

use std::time::Duration;

/// How a device reaches the gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    /// A socket; long polling while no socket can be had.
    #[default]
    SocketThenPoll,
    /// A socket or nothing.
    SocketOnly,
    /// Long polling only, for platforms that forbid sockets.
    PollOnly,
}

/// Waits and bounds. `Settings::default()` suits a phone.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How to reach the gateway.
    pub transport: Transport,
    /// Heartbeat interval to ask for, seconds; `None` leaves it to the gateway.
    pub heartbeat_s: Option<i64>,
    /// TCP, TLS and the upgrade together, and then the wait for `welcome`.
    pub connect_timeout: Duration,
    /// A write that makes no progress for this long means the path is dead.
    pub write_timeout: Duration,
    /// How long an ack may wait for more to acknowledge with it.
    pub ack_delay: Duration,
    /// So many applied entries are acked at once: well below the gateway's
    /// window of 500, so that it never has to stop for us.
    pub ack_entries: usize,
    /// Results that are not confirmed by then are sent again.
    pub results_timeout: Duration,
    /// A push brought what the socket should have: how long the socket must
    /// have been silent to be given up. One just opened may be overtaken.
    pub doubt_after: Duration,
    /// Failed attempts in a row before polling begins.
    pub socket_attempts: u32,
    /// While polling, how often to try for a socket again.
    pub socket_interval: Duration,
    /// After another session of this device took over (4409): how long to
    /// stay away. `None`: until the app calls `Device::wake`.
    pub replaced_wait: Option<Duration>,
    /// A token that was refused, or that ended, is not shown again before this
    /// has passed; another one is shown at once.
    pub refused_token_wait: Duration,
    /// How long a gateway or a proxy may ask to stay away (`Retry-After`,
    /// `retry_after_ms`): longer waits are cut to this. What is waited is up to a
    /// quarter more, so that not all devices come back at once.
    pub retry_after_longest: Duration,
    /// A session that lived this long counts as good: the delays begin anew.
    pub stable_after: Duration,
    /// First delay between attempts.
    pub retry_initial: Duration,
    /// Longest delay between attempts.
    pub retry_longest: Duration,
    /// How long the gateway may hold a poll, seconds, at most 55.
    pub poll_wait_s: u32,
    /// Entries and items to ask for in one poll, at most 500.
    pub poll_limit: usize,
    /// Read buffer of the socket; it is allocated at once and never shrinks.
    pub read_buffer_bytes: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            transport: Transport::default(),
            heartbeat_s: None,
            connect_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(10),
            ack_delay: Duration::from_millis(50),
            ack_entries: 100,
            results_timeout: Duration::from_secs(15),
            doubt_after: Duration::from_secs(1),
            socket_attempts: 3,
            socket_interval: Duration::from_mins(1),
            replaced_wait: Some(Duration::from_mins(1)),
            refused_token_wait: Duration::from_mins(1),
            retry_after_longest: Duration::from_mins(10),
            stable_after: Duration::from_secs(5),
            retry_initial: Duration::from_millis(300),
            retry_longest: Duration::from_mins(1),
            poll_wait_s: 25,
            poll_limit: tidegate_protocol::limits::POLL_LIMIT_DEFAULT,
            read_buffer_bytes: 4 * 1024,
        }
    }
}
