//! Groups of options that several commands have, and what they come to.
//!
//! Names and meanings are those of `pg_dump` wherever it has them.
//!
//! | file | options |
//! |---|---|
//! | `move_options` | all that decide what a move comes to: for `move`, `check`, `plan` |
//! | `connection` | `--source`, `--target` |
//! | `selection`, `leave_out` | which objects; what is left out of each |
//! | `database` | what becomes of the target database before it is filled |
//! | `follow` | whether the target then follows the source |
//! | `speed`, `retry` | workers, chunks and memory; what is tried again |
//! | `running`, `keeper` | how a run is started and stopped; who holds its snapshot |
//! | `reporting` | what is proven, and how a run is told about |
//! | `skip` | which rules of `check` are passed over |
//! | `duration`, `size` | how their values are written |

mod connection;
mod database;
pub mod duration;
mod follow;
mod keeper;
mod leave_out;
mod move_options;
mod reporting;
mod retry;
mod running;
mod selection;
pub mod size;
mod skip;
mod speed;

pub use connection::{
    ComparedArgs, ConnectionArgs, SourceArgs, TargetArgs, explained, resolve_connection,
    resolve_source, resolve_target,
};
pub use database::DatabaseArgs;
pub use follow::FollowArgs;
pub use keeper::KeeperOptions;
pub use leave_out::LeaveOutArgs;
pub use move_options::IntendedArgs;
pub use reporting::{DisplayArgs, OutputArgs, VerifyArgs};
pub use retry::RetryArgs;
pub use running::RunningArgs;
pub use selection::SelectionArgs;
pub use skip::SkipArgs;
pub use speed::SpeedArgs;
