//! Salvage from data directories that are really damaged: the server is stopped, files are changed, the server is started, and
//! what arrives elsewhere is compared, row by row, with what was there before.
//!
//! | file | |
//! |---|---|
//! | `lab` | a server with a database for each damage, and what must come of it |
//! | `heaps` | damaged pages and files of tables |
//! | `values` | damaged TOAST, values and transactions |
//! | `around` | damaged indexes and maps; a server that crashes; constraints; resuming |
//! | `chance` | pages overwritten at random |
//! | `story` | a relation file that is missing, as an operator meets it |

#[path = "../support/mod.rs"]
mod support;

mod around;
mod chance;
mod heaps;
mod lab;
mod story;
mod values;
