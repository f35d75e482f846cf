//! The closed sets that label values come from, and how the gateway's own
//! words map to them.
//!
//! Nothing here is read from the wire: an unknown word becomes `other` or
//! `unknown`, so that no client can make a new time series.

use tidegate_durable::Fault;
use tidegate_protocol::client::ClientMessage;
use tidegate_protocol::code::CloseReason;
use tidegate_protocol::command::{Channel, CommandStatus, Outcome};
use tidegate_protocol::server::ServerMessage;

use crate::resolve::conflict::ConflictType;
use crate::resolve::rules::Strategy;

/// A closed set of label values.
pub trait Label: Copy + 'static {
    /// Every value, in the order of [`Label::index`].
    const VALUES: &'static [Self];

    /// Where this value stands in [`Label::VALUES`].
    fn index(self) -> usize;

    /// The value as it is rendered.
    fn word(self) -> &'static str;
}

/// Fieldless enums number their variants from 0 in the order of `ALL`.
macro_rules! label_of_words {
    ($($name:ident),+) => {$(
        impl Label for $name {
            const VALUES: &'static [Self] = Self::ALL;

            fn index(self) -> usize {
                self as usize
            }

            fn word(self) -> &'static str {
                self.as_str()
            }
        }
    )+};
}

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal;)+ })+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        label_of_words!($name);
    )+};
}

mod entry;
pub mod health;
pub mod provider;

label_of_words!(Channel, Outcome, ConflictType, Strategy, Fault);

labels! {
    /// The type of a frame a client sent.
    FrameIn {
        /// `hello`.
        Hello = "hello";
        /// `ack`.
        Ack = "ack";
        /// `results`.
        Results = "results";
        /// `mutate`.
        Mutate = "mutate";
        /// `subscribe`.
        Subscribe = "subscribe";
        /// `unsubscribe`.
        Unsubscribe = "unsubscribe";
        /// `auth`.
        Auth = "auth";
        /// `pong`.
        Pong = "pong";
        /// A type this version does not know.
        Unknown = "unknown";
        /// Not a frame at all.
        Invalid = "invalid";
    }

    /// The type of a frame the gateway sent.
    FrameOut {
        /// `welcome`.
        Welcome = "welcome";
        /// `streams`.
        Streams = "streams";
        /// `snapshot`.
        Snapshot = "snapshot";
        /// `events`.
        Events = "events";
        /// `results_ok`.
        ResultsOk = "results_ok";
        /// `mutated`.
        Mutated = "mutated";
        /// `auth_ok`.
        AuthOk = "auth_ok";
        /// `auth_expiring`.
        AuthExpiring = "auth_expiring";
        /// `ping`.
        Ping = "ping";
        /// `drain`.
        Drain = "drain";
        /// `error`.
        Error = "error";
    }

    /// How a write transaction ended.
    CommitResult {
        /// Durable.
        Committed = "committed";
        /// Rolled back: nothing was written.
        RolledBack = "rolled_back";
        /// The answer to COMMIT was lost.
        Unknown = "unknown";
    }

    /// The kind of a journal entry.
    EntryKind {
        /// A command.
        Command = "command";
        /// A command's end.
        CommandClosed = "command_closed";
        /// A record's change.
        Record = "record";
        /// A marketplace skill's change.
        Skill = "skill";
        /// A marketplace category's change.
        Category = "category";
        /// A skill's rating.
        Rating = "rating";
        /// A conflict opened or resolved.
        Conflict = "conflict";
        /// A day of a user.
        DailyEntry = "daily_entry";
        /// A night of a user.
        Sleep = "sleep";
        /// A workout of a user.
        Activity = "activity";
        /// A user's connection with a provider.
        Integration = "integration";
        /// Any other.
        Other = "other";
    }

    /// How a synchronisation with the marketplace's upstream ended.
    SyncResult {
        /// Everything was read.
        Done = "done";
        /// Something could not be read or stored.
        Failed = "failed";
    }

    /// What became of a message of the upstream socket.
    UpstreamMessage {
        /// It was taken in.
        Taken = "taken";
        /// It needed nothing to be done: pings, pongs, unknown types.
        Passed = "passed";
        /// It was not a valid message.
        Invalid = "invalid";
        /// There were too many within a second.
        Limited = "limited";
    }

    /// How the upload of a rating ended.
    UploadResult {
        /// Upstream has it.
        Uploaded = "uploaded";
        /// It will be tried again.
        Postponed = "postponed";
        /// It is a dead letter.
        Failed = "failed";
    }

    /// A final command status.
    FinalStatus {
        /// A device carried it out.
        Applied = "applied";
        /// The last eligible device refused it.
        Rejected = "rejected";
        /// The last eligible device could not carry it out.
        Failed = "failed";
        /// Its life ended first.
        Expired = "expired";
        /// The backend took it back.
        Cancelled = "cancelled";
    }

    /// What a push provider answered.
    PushOutcome {
        /// It took the wake-up.
        Ok = "ok";
        /// Not now.
        Retry = "retry";
        /// The token is dead.
        TokenDead = "token_dead";
        /// The token belongs to other credentials.
        TokenForeign = "token_foreign";
        /// This token was refused; it may be taken another time.
        TokenRefused = "token_refused";
        /// The token's platform was refused.
        PlatformRefused = "platform_refused";
        /// An operator must mend something.
        OperatorAlert = "operator_alert";
        /// The message is invalid.
        MessageInvalid = "message_invalid";
    }

    /// What answered a read of the journal.
    JournalSource {
        /// Entries kept ready in memory.
        Ring = "ring";
        /// The database.
        Database = "database";
    }

    /// Why a token was refused.
    AuthFailure {
        /// None came where one is required.
        Missing = "missing";
        /// Not a token, or its signature is wrong.
        Invalid = "invalid";
        /// Its time is over, or has not come.
        Expired = "expired";
        /// Its issuer, audience, key or algorithm is not one configured.
        NotAccepted = "not_accepted";
    }

    /// Why a connection was turned away before a request was read.
    ConnectionRefusal {
        /// `limits.connections_total`.
        Total = "total";
        /// `limits.connections_per_address`.
        PerAddress = "per_address";
        /// No first byte in time.
        Silent = "silent";
        /// The TLS handshake failed or took too long.
        Tls = "tls";
    }
}

impl From<&ClientMessage> for FrameIn {
    fn from(message: &ClientMessage) -> Self {
        match message {
            ClientMessage::Hello(_) => Self::Hello,
            ClientMessage::Ack(_) => Self::Ack,
            ClientMessage::Results(_) => Self::Results,
            ClientMessage::Mutate => Self::Mutate,
            ClientMessage::Subscribe(_) => Self::Subscribe,
            ClientMessage::Unsubscribe(_) => Self::Unsubscribe,
            ClientMessage::Auth(_) => Self::Auth,
            ClientMessage::Pong => Self::Pong,
            ClientMessage::Unknown => Self::Unknown,
        }
    }
}

impl From<&ServerMessage> for FrameOut {
    fn from(message: &ServerMessage) -> Self {
        match message {
            ServerMessage::Welcome(_) => Self::Welcome,
            ServerMessage::Streams(_) => Self::Streams,
            ServerMessage::Snapshot(_) => Self::Snapshot,
            ServerMessage::Events(_) => Self::Events,
            ServerMessage::ResultsOk(_) => Self::ResultsOk,
            ServerMessage::AuthOk(_) => Self::AuthOk,
            ServerMessage::AuthExpiring(_) => Self::AuthExpiring,
            ServerMessage::Ping(_) => Self::Ping,
            ServerMessage::Drain(_) => Self::Drain,
            ServerMessage::Error(_) | ServerMessage::Unknown => Self::Error,
        }
    }
}

impl FinalStatus {
    /// `None` for a status that is not final.
    pub const fn of(status: CommandStatus) -> Option<Self> {
        match status {
            CommandStatus::Pending | CommandStatus::Sent => None,
            CommandStatus::Applied => Some(Self::Applied),
            CommandStatus::Rejected => Some(Self::Rejected),
            CommandStatus::Failed => Some(Self::Failed),
            CommandStatus::Expired => Some(Self::Expired),
            CommandStatus::Cancelled => Some(Self::Cancelled),
        }
    }
}

/// How a socket ended: a close reason of ours, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketEnd {
    /// The gateway closed it with this reason.
    Closed(CloseReason),
    /// The client closed it.
    Peer,
    /// The connection broke, or a write made no progress.
    Lost,
}

/// [`SocketEnd`]'s values: ours in their own order, then the other two.
const SOCKET_ENDS: &[SocketEnd] = &{
    let mut all = [SocketEnd::Lost; CloseReason::ALL.len() + 2];
    let mut at = 0;
    while at < CloseReason::ALL.len() {
        all[at] = SocketEnd::Closed(CloseReason::ALL[at]);
        at += 1;
    }
    all[at] = SocketEnd::Peer;
    all
};

impl Label for SocketEnd {
    const VALUES: &'static [Self] = SOCKET_ENDS;

    fn index(self) -> usize {
        match self {
            Self::Closed(reason) => reason as usize,
            Self::Peer => CloseReason::ALL.len(),
            Self::Lost => CloseReason::ALL.len() + 1,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Closed(reason) => reason.as_str(),
            Self::Peer => "peer",
            Self::Lost => "lost",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tidegate_protocol::server::Ping;

    use super::*;

    fn assert_indexes<L: Label>() {
        for (index, value) in L::VALUES.iter().enumerate() {
            assert_eq!(value.index(), index, "{}", value.word());
        }
    }

    #[test]
    fn every_value_stands_where_its_index_says() {
        assert_indexes::<FrameIn>();
        assert_indexes::<FrameOut>();
        assert_indexes::<CommitResult>();
        assert_indexes::<EntryKind>();
        assert_indexes::<FinalStatus>();
        assert_indexes::<JournalSource>();
        assert_indexes::<AuthFailure>();
        assert_indexes::<ConnectionRefusal>();
        assert_indexes::<SocketEnd>();
        assert_indexes::<Channel>();
        assert_indexes::<Outcome>();
    }

    #[test]
    fn frame_labels_are_the_words_of_the_wire() {
        let ping = ServerMessage::Ping(Ping { heads: BTreeMap::new() });
        assert_eq!(FrameOut::from(&ping).word(), ping.frame_type());
        assert_eq!(FrameIn::from(&ClientMessage::Pong).word(), "pong");
    }
}
