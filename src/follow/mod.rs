//! One database follows another, by Postgres's own logical replication: after a move until the cut-over, and in reverse after it.
//!
//! ```text
//!   publication ─► slot + snapshot ─► the move, proven ─► state on the target ─► subscription ─► following
//!                                                                                                │
//!        following, the other way round ◄─ open ◄─ reverse ◄─ prove ◄─ bring over ◄─ drain ◄─ fence
//! ```
//!
//! | file | |
//! |---|---|
//! | `facts` | what both servers offer, hold and do |
//! | `tables` | the tables: which of them replication carries, and how it could find their rows |
//! | `rules` | what speaks against following, and what is worth knowing beforehand (pure) |
//! | `left` | what has become of a table that a turn left to be compared later |
//! | `record` | what a side was before we changed it, recorded on what we made there (pure) |
//! | `state` | the state of a target that follows (pure) |
//! | `turn` | the steps from one side to the other (pure) |
//! | `statements` | the statements that make, change and remove what is needed (pure) |
//! | `work` | which sessions carry out a turn |
//! | `tell` | lag and trouble, in sentences (pure) |
//! | `error` | what can go wrong |
//!
//! **Three things that must not come apart.** A slot delivers what its snapshot does not see, and nothing else makes a copy and
//! its changes fit together; so a copy that goes on in another snapshot gets another slot. The state is on the target, in a
//! schema of its own that outlives the ledger, and is created in the transaction that drops the ledger. What was changed on a
//! side (a replica identity, a setting) is recorded there, on the publication or subscription, in the transaction that changes
//! it: so a side can be put back even if the other one is gone.
//!
//! **A direction is a value** ([`turn::Turn`]): cut-over and fallback are the same steps, from source to target and from target to
//! source. At most one side is open to writers at any moment, and none while its changes could be lost.
//!
//! Deliberately absent: an engine of our own that carries changes; and anything about what replication does not carry beyond
//! naming it: a turn brings it over with [`sync`](crate::sync).

mod error;
mod facts;
mod left;
mod record;
mod rules;
mod state;
mod statements;
mod tables;
mod tell;
mod turn;
mod work;

pub use error::FollowError;
pub use facts::{
    Firing, KeptOut, NotReplicated, Offers, Ours, OursKind, QUERIES, SlotStanding, Stranger,
    Worker, confirmed, connecting, end_session, firing, has_state, in_the_way, offers, ours,
    published, read_state, roles, slot, strangers, uncarried, unfinished, worker,
};
pub use left::{Fate, Names, fate};
pub use record::{FenceBefore, IdentityBefore, SideRecord};
pub use rules::{Facts, TurnFacts, before_turn, carried, findings, identities};
pub use state::{Phase, Reserved, SCHEMA, State, Wanted};
pub use statements::{
    Publishing, Subscribing, close, create_state, drop_slot, drop_state, drop_subscription, enable,
    fence, hush, knows_read_only_objects, knows_truncate, limit, make_slot, note, open, publish,
    rehearse, speak, still_fenced_by, subscribe, unpublish, write_state,
};
pub use tables::{Key, Keys, Table, tables};
pub use tell::{Hope, Standing, changed_tables};
pub use turn::{Step, Turn};
pub use work::{at_work, works_for};
