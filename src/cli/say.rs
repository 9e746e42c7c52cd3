//! What a command says outside of a run's record, a line at a time, on standard error; and whether it could say what was asked for, on
//! standard output.
//!
//! Whoever reads it may be gone: a terminal that was closed, a pipe to a program that has ended. Nobody is left to tell then, and what is being
//! done is worth more than what is said of it, so it is no error. `println!` and `eprintln!` would end the program; `lib.rs` has clippy look for them.

use std::io::{self, ErrorKind, Write as _};

use crate::failure::Failure;

/// A line on standard error.
pub(super) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// What came of writing on standard output. Whoever closes it has read as much as it wanted (`pgconvoy list shop | head`).
pub(super) fn said(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| Failure::file("writing to", "stdout".as_ref(), &error)),
    }
}
