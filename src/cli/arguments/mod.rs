//! Groups of options that several commands have, and what they come to.
//!
//! Names and meanings are those of `pg_dump` wherever it has them.

mod connection;
mod database;
pub mod duration;
mod follow;
mod keeper;
mod leave_out;
mod reporting;
mod retry;
mod running;
mod selection;
pub mod size;
mod skip;
mod speed;

pub use connection::{ComparedArgs, ConnectionArgs, SourceArgs, TargetArgs, resolve_connection};
pub use database::DatabaseArgs;
pub use follow::FollowArgs;
pub use keeper::KeeperOptions;
pub use leave_out::LeaveOutArgs;
pub use reporting::{DisplayArgs, OutputArgs, VerifyArgs};
pub use retry::RetryArgs;
pub use running::RunningArgs;
pub use selection::SelectionArgs;
pub use skip::SkipArgs;
pub use speed::SpeedArgs;
