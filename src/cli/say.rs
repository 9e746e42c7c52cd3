//! What a command says outside of a run's record, a line at a time, on standard error.
//!
//! Whoever reads it may be gone: a terminal that was closed, a pipe to a program that has ended. Nobody is left to tell then, and what is being
//! done is worth more than what is said of it, so it is no error. `println!` and `eprintln!` would end the program; `lib.rs` has clippy look for them.

use std::io::{self, Write as _};

/// A line on standard error.
pub(super) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
