//! Everything that talks to a server: connection strings, TLS, sessions, the COPY relay, client tools.
//!
//! Only this module opens connections and starts processes.

mod certificate;
pub mod client_tools;
pub mod connect_error;
pub mod conninfo;
pub mod dial;
mod pgpass;
mod service;
pub mod stream;
pub mod tls;
mod transport;
