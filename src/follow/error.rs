//! Why one database does not follow another, or does not any more.

use crate::pg::PgError;

/// Each variant says what was being done, and to what.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// A question was not answered, or a statement failed.
    #[error("{doing}")]
    Step {
        /// What was being done.
        doing: String,
        /// Why it failed.
        #[source]
        source: PgError,
    },
    /// What the state says cannot be understood.
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
    /// The target follows the source by an earlier move.
    #[error("{target} follows the source already: subscription {subscription}")]
    Follows {
        /// The target.
        target: String,
        /// By what.
        subscription: String,
    },
    /// A table was named that there is not.
    #[error("--replica-identity-full {table}: there is no such table on the source")]
    NoTable {
        /// As it was written.
        table: String,
    },
    /// A table came or went while publication and snapshot were made.
    #[error(
        "tables were made or dropped on the source while it was made ready to be followed: {}",
        tables.join(", ")
    )]
    Tables {
        /// Which.
        tables: Vec<String>,
    },
    /// The copy is there, and not proven.
    #[error("the copy is not proven, so nothing follows it")]
    NotProven,
    /// The subscription does not read from the slot.
    #[error(
        "the target's server does not read from slot {slot} of {publisher}: after {seconds} s nobody has asked for it"
    )]
    NotRead {
        /// The slot.
        slot: String,
        /// Where it is.
        publisher: String,
        /// How long was waited.
        seconds: u64,
    },
    /// A slot is gone, or its log is.
    #[error(
        "slot {slot} of {publisher} is lost ({because}): changes are missing on the other side, which can only be moved anew"
    )]
    SlotLost {
        /// The slot.
        slot: String,
        /// Where it was.
        publisher: String,
        /// How.
        because: String,
    },
    /// The other side has not confirmed a position in time.
    #[error("{subscriber} has not applied everything within {seconds} s: {because}")]
    NotApplied {
        /// Who.
        subscriber: String,
        /// How long was waited.
        seconds: u64,
        /// What its worker does.
        because: String,
    },
    /// Something does not fit to what was to be done.
    #[error("{what}")]
    NotNow {
        /// What.
        what: String,
        /// What to do.
        remedy: String,
    },
    /// Sessions do not end.
    #[error("sessions on {server} that may still write have not ended: {}", sessions.join("; "))]
    Writers {
        /// Where.
        server: String,
        /// Which.
        sessions: Vec<String>,
    },
    /// A fenced side and the other one do not hold the same.
    #[error(
        "what was compared is not the same on both sides: {differences} differences, {unverified} things that could not be compared"
    )]
    Differs {
        /// Differences.
        differences: u64,
        /// What could not be compared.
        unverified: u64,
    },
}

impl FollowError {
    /// A step that failed.
    pub fn step(doing: impl Into<String>) -> impl FnOnce(PgError) -> Self {
        let doing = doing.into();
        move |source| Self::Step { doing, source }
    }
}
