//! The commands for following: what `move --follow` begins, and `pgconvoy follow`, `unfollow`, `cutover` and `fallback`.
//!
//! ```text
//!   move --follow: prepare ─► (slot, copy, proof) ─► subscribe ─► following ─► turn ─► following, the other way round
//!                     └── take back                     │             │          └─ undo, until the other side is opened
//!                                                       └─ standing ──┴─► unfollow, at any time
//! ```
//!
//! | file | |
//! |---|---|
//! | `prepare` | before the copy: refusals, and the publication |
//! | `subscribe` | after its proof: the subscription |
//! | `ends` | both ends, and how what was made there is removed |
//! | `standing` | `pgconvoy follow` and `status --target`: how a follow stands, and letting go |
//! | `unfollow` | removes everything |
//! | `turn` | `cutover` and `fallback`: the steps, and how a turn goes back |
//! | `steps` | what each step does |
//! | `foresee` | before any step: what would make one fail once nobody can write |
//! | `way_back` | the steps that make the way back, and how it is removed |
//! | `rest` | one step: what there was no time to compare is compared when the other side is open |
//! | `fence` | one step: the side that hands over is closed to writers |
//! | `drain` | one step: the other side applies everything |
//!
//! What is done here, and why in this order, is described in [`crate::follow`].

mod drain;
mod ends;
mod fence;
mod foresee;
mod prepare;
mod rest;
mod standing;
mod steps;
mod subscribe;
mod turn;
mod unfollow;
mod way_back;

pub(super) use prepare::{Made, prepare, same_tables, take_back, wanted};
pub(super) use standing::{FollowingArgs, tell_after_move, tell_standing};
pub(super) use subscribe::Handover;
pub(super) use turn::TurnArgs;
pub(super) use unfollow::UnfollowArgs;
