//! `--on-finish` and `--on-fail`: commands that are run when a run has ended, such as one that wakes somebody up.
//!
//! They come last, when the record is whole, and the run directory and the target are free. What becomes of them changes nothing about the run: a
//! command that fails is a warning.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::Duration;

use super::output::style_of_stderr;
use super::secrets::OPTIONS;
use crate::model::ExitStatus;
use crate::pg::detached;
use crate::pg::hook::Hook;
use crate::progress::words;

/// How long a command may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Variables that hold a password, or may: a connection string can have one in it.
const CONNECTIONS: [&str; 4] = [
    "PGPASSWORD",
    "PGSSLPASSWORD",
    "PGCONVOY_SOURCE",
    "PGCONVOY_TARGET",
];

/// What is to be run when a run has ended.
#[derive(Debug, Clone, Default)]
pub struct Hooks {
    /// In any case.
    pub on_finish: Option<OsString>,
    /// Unless it ended with 0 or 6.
    pub on_fail: Option<OsString>,
}

impl Hooks {
    /// Runs those that are due. `run_dir` is `None` if the run left none behind.
    pub(super) async fn run(&self, status: ExitStatus, run_dir: Option<&Path>) {
        let failed = !matches!(status, ExitStatus::Proven | ExitStatus::Waived);
        let on_fail = self.on_fail.as_ref().filter(|_| failed);
        let due = [
            ("--on-finish", self.on_finish.as_ref()),
            ("--on-fail", on_fail),
        ];
        let withheld = withheld();
        for (option, command) in due {
            if let Some(command) = command {
                let variables = variables(status, run_dir);
                let hook = Hook {
                    command,
                    variables: &variables,
                    withheld: &withheld,
                    limit: LIMIT,
                };
                if let Err(error) = hook.run().await {
                    let word = style_of_stderr().warning("warning:");
                    let text = format!("{option} {}: {error}", command.display());
                    // Nobody is left to tell if stderr is gone.
                    let _ = writeln!(io::stderr(), "{word} {}", words::harmless(&text));
                }
            }
        }
    }
}

fn withheld() -> Vec<&'static str> {
    let hidden = OPTIONS.map(|(_, variable)| variable);
    // A pgconvoy in the command is not one that was started apart from a terminal.
    [&CONNECTIONS[..], &hidden, &[detached::VARIABLE]].concat()
}

fn variables(status: ExitStatus, run_dir: Option<&Path>) -> [(&'static str, OsString); 4] {
    let absolute = run_dir.map(|dir| std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned()));
    let report = absolute.as_ref().map(|dir| dir.join("report.json"));
    // On a disk that is full there may be none.
    let report = report.filter(|report| report.exists());
    [
        ("PGCONVOY_STATUS", status.code().to_string().into()),
        ("PGCONVOY_VERDICT", status.word().into()),
        ("PGCONVOY_RUN_DIR", absolute.unwrap_or_default().into()),
        ("PGCONVOY_REPORT", report.unwrap_or_default().into()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_knows_how_long_a_command_may_take() {
        assert_eq!(LIMIT, Duration::from_secs(60));
        let says = "A command runs through `sh -c`, last of all, for at most a minute";
        assert!(crate::readme_says(says));
    }

    /// Of an option that is new as well.
    #[test]
    fn no_variable_of_a_connection_is_handed_on() {
        let withheld = withheld();
        for (option, variable) in OPTIONS {
            assert!(withheld.contains(&variable), "{option}");
        }
        assert!(withheld.contains(&"PGPASSWORD"));
        assert!(withheld.contains(&"PGCONVOY_DETACHED"));
    }
}
