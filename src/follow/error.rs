//! Why one database does not follow another, or does not any more.

use crate::pg::PgError;

/// Each variant says what was being done, and to what.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// A query was not answered, or a statement failed.
    #[error("{doing}")]
    Step {
        /// What was being done.
        doing: String,
        /// Why it failed.
        #[source]
        source: PgError,
    },
    /// The stored state cannot be understood.
    #[error("the state of the follow (schema pgconvoy_follow) cannot be understood: {because}")]
    State {
        /// Why.
        because: String,
    },
    /// The target follows nobody.
    #[error("{target} follows no source: there is no schema pgconvoy_follow")]
    NoState {
        /// The target.
        target: String,
    },
    /// The target follows the source already, since an earlier move.
    #[error("{target} follows the source already: subscription {subscription}")]
    Follows {
        /// The target.
        target: String,
        /// Its subscription.
        subscription: String,
    },
    /// A named table does not exist.
    #[error("--replica-identity-full {table}: there is no such table on the source")]
    NoTable {
        /// The table, as it was written.
        table: String,
    },
    /// A table was created or dropped while publication and snapshot were being made.
    #[error(
        "tables were made or dropped on the source while it was made ready to be followed: {}",
        tables.join(", ")
    )]
    Tables {
        /// The tables.
        tables: Vec<String>,
    },
    /// The copy is there, but not proven.
    #[error("the copy is not proven, so nothing follows it")]
    NotProven,
    /// The subscription does not read from the slot.
    #[error(
        "the target's server does not read from slot {slot} of {publisher}: after {seconds} s nobody has asked for it"
    )]
    NotRead {
        /// The slot.
        slot: String,
        /// The server that it is on.
        publisher: String,
        /// How long we waited.
        seconds: u64,
    },
    /// A slot is gone, or its WAL is.
    #[error(
        "slot {slot} of {publisher} is lost ({because}): changes are missing on the other side, which can only be moved anew"
    )]
    SlotLost {
        /// The slot.
        slot: String,
        /// The server that it was on.
        publisher: String,
        /// How it was lost.
        because: String,
    },
    /// The other side has not confirmed a position in time.
    #[error("{subscriber} has not applied everything within {seconds} s: {because}")]
    NotApplied {
        /// The subscriber.
        subscriber: String,
        /// How long we waited.
        seconds: u64,
        /// What its worker does.
        because: String,
    },
    /// What was to be done does not fit the present state.
    #[error("{what}")]
    NotNow {
        /// What does not fit.
        what: String,
        /// What to do about it.
        remedy: String,
    },
    /// Sessions do not end.
    #[error("sessions on {server} that may still write have not ended: {}", sessions.join("; "))]
    Writers {
        /// The server.
        server: String,
        /// The sessions.
        sessions: Vec<String>,
    },
    /// A fenced side and the other one do not hold the same data.
    #[error(
        "what was compared is not the same on both sides: {differences} differences, {unverified} things that could not be compared"
    )]
    Differs {
        /// How many differences there are.
        differences: u64,
        /// How many things could not be compared.
        unverified: u64,
    },
}

impl FollowError {
    /// The error of a step that failed.
    pub fn step(doing: impl Into<String>) -> impl FnOnce(PgError) -> Self {
        let doing = doing.into();
        move |source| Self::Step { doing, source }
    }
}
