//! Everything that talks to a server: connection strings, TLS, sessions, the COPY relay, client tools.
//!
//! ```text
//!   conninfo ─► dial ─► stream ─┬─► session   questions with answers (tokio-postgres)
//!                               └─► wire      statements as bytes, and COPY
//! ```
//!
//! Only this module opens connections and starts processes.

mod beginning;
mod certificate;
pub mod claim;
pub mod client_tools;
pub mod cluster;
pub mod connect_error;
mod connector;
pub mod conninfo;
pub mod detached;
pub mod dial;
mod error;
pub mod hook;
pub mod keeper;
mod pgpass;
mod pool;
mod reexec;
mod replication;
mod service;
mod session;
mod snapshot;
pub mod stream;
pub mod tls;
mod transport;
pub mod wire;

pub use crate::model::Side;
pub use connector::Connector;
pub use error::PgError;
pub use pool::{Lent, Pool, serving};
pub use reexec::replace_process;
pub use replication::Slot;
pub use session::{
    Answer, PASSING_OVER_DAMAGE, Parameter, Query, Session, VALUE_SETTINGS, pin_values, set_values,
};
pub use snapshot::{Snapshot, current_transactions};

/// What is asked about sessions themselves, for the test that shows every query to every server.
pub const QUERIES: &[Query] = &[
    claim::TAKE,
    claim::HOLDERS,
    claim::TERMINATE,
    pool::STILL_THERE,
    replication::STANDS,
];
