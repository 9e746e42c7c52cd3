//! Everything that talks to a server: connection strings, TLS, sessions, the COPY relay, client tools.
//!
//! ```text
//!   conninfo ─► dial ─► stream ─┬─► session   questions with answers (tokio-postgres)
//!                               └─► wire      statements as bytes, and COPY
//! ```
//!
//! Only this module opens connections and starts processes.
//!
//! | file | from a connection string to a session |
//! |---|---|
//! | `conninfo` | what it says, with libpq's conventions |
//! | `service`, `pgpass` | the service file and the password file |
//! | `dial` | which hosts are tried, and in which order |
//! | `transport`, `stream` | sockets, and one connection over whichever of them |
//! | `tls`, `certificate` | encryption; whose certificate is believed |
//! | `connect_error`, `error` | why there is no session; what can go wrong with one |
//!
//! | file | what is done with one |
//! |---|---|
//! | `session` | questions with answers, and all that is pinned on a session |
//! | `wire` | statements as bytes, and COPY |
//! | `connector`, `pool` | more sessions of one side, and those that can be used again |
//! | `snapshot` | the snapshot that all reads of the source share |
//! | `replication` | a slot that is made together with a snapshot |
//! | `claim` | one run at a time for a target database |
//!
//! | file | processes |
//! |---|---|
//! | `client_tools`, `beginning` | `pg_dump` and its kin; a program of which only the first output is needed |
//! | `keeper` | a process of its own that holds the source's snapshot |
//! | `detached`, `reexec` | this program again: apart from the terminal, or with other arguments |
//! | `hook` | a command of the operator's |
//! | `cluster` | throw-away servers, for the demonstration and for tests |

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
    Answer, BEGIN_DURABLY, PASSING_OVER_DAMAGE, Parameter, Query, Session, VALUE_SETTINGS,
    pin_values, set_values,
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
