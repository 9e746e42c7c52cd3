//! Groups of options that several commands have, and what they come to.
//!
//! Names and meanings are those of `pg_dump` wherever it has them.

mod connection;
mod leave_out;
mod reporting;
mod running;
mod selection;
mod size;
mod speed;

pub use connection::ConnectionArgs;
pub use leave_out::LeaveOutArgs;
pub use reporting::{DisplayArgs, OutputArgs, VerifyArgs};
pub use running::RunningArgs;
pub use selection::SelectionArgs;
pub use speed::SpeedArgs;
