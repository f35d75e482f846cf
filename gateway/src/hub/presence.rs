//! Which devices have a live session here. The newest session of a device
//! wins; a session that was replaced cannot unregister its successor.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use dashmap::mapref::multiple::RefMulti;
use tidegate_protocol::code::CloseReason;
use tidegate_protocol::id::{DeviceId, UserId};
use tokio::time::{Duration, Instant};

use crate::hub::signal::Signal;
use crate::hub::{Hub, SessionKey};

/// The live sessions of one user: a handful, so a list.
pub(crate) type UserSessions = Vec<LiveSession>;

/// A live session.
#[derive(Debug)]
pub(crate) struct LiveSession {
    number: u64,
    device_id: DeviceId,
    signal: Arc<Signal>,
    entered: Instant,
}

/// Presence of a device until dropped.
#[derive(Debug)]
pub struct Presence {
    hub: Arc<Hub>,
    key: SessionKey,
    number: u64,
}

/// The user has the most sessions allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManySessions;

impl Hub {
    /// Makes `signal` the session of the device; an older one is told to close.
    pub fn enter(
        self: &Arc<Self>,
        key: SessionKey,
        signal: &Arc<Signal>,
        sessions_max: usize,
    ) -> Result<Presence, TooManySessions> {
        let number = self.next_session.fetch_add(1, Ordering::Relaxed);
        let mut sessions =
            self.sessions.entry(key.user_id.clone()).or_insert_with(|| Vec::with_capacity(1));
        let older = sessions.iter_mut().find(|session| session.device_id == key.device_id);
        if let Some(session) = older {
            session.number = number;
            session.entered = Instant::now();
            std::mem::replace(&mut session.signal, Arc::clone(signal)).close(CloseReason::Replaced);
        } else if sessions.len() >= sessions_max {
            return Err(TooManySessions);
        } else {
            sessions.push(LiveSession {
                number,
                device_id: key.device_id.clone(),
                signal: Arc::clone(signal),
                entered: Instant::now(),
            });
        }
        drop(sessions);
        Ok(Presence { hub: Arc::clone(self), key, number })
    }

    /// Whether the device has a live session here.
    pub fn is_online(&self, user_id: &str, device_id: &str) -> bool {
        self.online_for(user_id, device_id).is_some()
    }

    /// How long the device has had its live session here.
    pub fn online_for(&self, user_id: &str, device_id: &str) -> Option<Duration> {
        let sessions = self.sessions.get(user_id)?;
        let session = sessions.iter().find(|live| live.device_id.as_str() == device_id)?;
        Some(session.entered.elapsed())
    }

    /// Tells the device's session to close; false if it has none here.
    pub fn close_device(&self, key: &SessionKey, reason: CloseReason) -> bool {
        let Some(sessions) = self.sessions.get(&key.user_id) else { return false };
        let session = sessions.iter().find(|session| session.device_id == key.device_id);
        session.inspect(|session| session.signal.close(reason)).is_some()
    }

    /// Tells all sessions of a user to close; how many there were.
    pub fn close_user(&self, user_id: &UserId, reason: CloseReason) -> usize {
        let Some(sessions) = self.sessions.get(user_id) else { return 0 };
        sessions.iter().for_each(|session| session.signal.close(reason));
        sessions.len()
    }

    /// The devices that have a live session here.
    pub fn online_devices(&self) -> Vec<SessionKey> {
        let key = |user_id: &UserId, session: &LiveSession| SessionKey {
            user_id: user_id.clone(),
            device_id: session.device_id.clone(),
        };
        let keys = |entry: RefMulti<'_, UserId, UserSessions>| -> Vec<SessionKey> {
            entry.value().iter().map(|session| key(entry.key(), session)).collect()
        };
        self.sessions.iter().flat_map(keys).collect()
    }

    /// The signals of all sessions, for a drain.
    pub fn all_sessions(&self) -> Vec<Arc<Signal>> {
        let signals = |sessions: &UserSessions| -> Vec<_> {
            sessions.iter().map(|session| Arc::clone(&session.signal)).collect()
        };
        self.sessions.iter().flat_map(|sessions| signals(sessions.value())).collect()
    }
}

impl Presence {
    /// Whose session it is.
    pub const fn key(&self) -> &SessionKey {
        &self.key
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if let Some(mut sessions) = self.hub.sessions.get_mut(&self.key.user_id) {
            sessions.retain(|session| session.number != self.number);
        }
        self.hub.sessions.remove_if(&self.key.user_id, |_, sessions| sessions.is_empty());
    }
}
