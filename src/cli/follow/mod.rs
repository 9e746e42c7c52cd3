//! The commands of following: what `move --follow` begins, `pgconvoy follow`, `unfollow`, `cutover` and `fallback`.
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
//! | `ends` | both ends, and how what was made there goes again |
//! | `standing` | `pgconvoy follow` and `status --target`: how it stands, and letting go |
//! | `unfollow` | removes everything |
//! | `turn` | `cutover` and `fallback`: the steps, and how a turn goes back |
//! | `steps` | what each of them does |
//! | `foresee` | before any of them: what they could only fail of once nobody can write |
//! | `way_back` | those of them that make the way back, and how it goes again |
//! | `rest` | one of them: what there was no time to compare is compared when the other side is open |
//! | `fence` | one of them: the side that hands over is closed to writers |
//! | `drain` | one of them: the other side has applied everything |
//!
//! What is done here, and why in this order, is in [`crate::follow`].

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
