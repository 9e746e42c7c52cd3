//! Starts this program again in the same process, with other arguments: so that a secret leaves the process list.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::conninfo::Password;

/// Replaces this process by a new run of the same program. `arguments` begins with the program's name; `secrets` are added
/// to the environment. Returns only if that failed.
pub fn replace_process(arguments: &[OsString], secrets: &[(&str, Password)]) -> io::Error {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error,
    };
    let mut command = Command::new(program);
    if let Some((name, rest)) = arguments.split_first() {
        command.arg0(name).args(rest);
    }
    for (variable, password) in secrets {
        command.env(variable, password.expose());
    }
    command.exec()
}
