//! Takes a password out of the process list, and out of complaints about the command line.
//!
//! Everybody on a machine can read the arguments of every process. A password in `--source` or `--target` is therefore
//! moved into the environment, which only the same user can read, and the program starts itself anew without it. `pg_dump`
//! does not inherit it: no `PG*` variable of ours reaches a client program.

use std::ffi::OsString;
use std::io::{self, Write as _};

use crate::failure::Failure;
use crate::pg::conninfo::{Password, take_password};
use crate::pg::replace_process;

/// Where a password from `--source` goes.
pub const SOURCE_PASSWORD: &str = "PGCONVOY_SOURCE_PASSWORD";
/// Where a password from `--target` goes.
pub const TARGET_PASSWORD: &str = "PGCONVOY_TARGET_PASSWORD";
/// Where a password from `--schema-from` goes.
pub const SCHEMA_PASSWORD: &str = "PGCONVOY_SCHEMA_PASSWORD";

/// Where a password from `--source-from-target` goes.
pub const SOURCE_FROM_TARGET_PASSWORD: &str = "PGCONVOY_SOURCE_FROM_TARGET_PASSWORD";
/// Where a password from `--target-from-source` goes.
pub const TARGET_FROM_SOURCE_PASSWORD: &str = "PGCONVOY_TARGET_FROM_SOURCE_PASSWORD";

/// Options that take a connection string, and where a password goes that is in one.
pub const OPTIONS: [(&str, &str); 5] = [
    ("--source", SOURCE_PASSWORD),
    ("--target", TARGET_PASSWORD),
    ("--schema-from", SCHEMA_PASSWORD),
    ("--source-from-target", SOURCE_FROM_TARGET_PASSWORD),
    ("--target-from-source", TARGET_FROM_SOURCE_PASSWORD),
];

/// Arguments without passwords, and the passwords by variable.
#[derive(Debug, PartialEq, Eq)]
struct Hidden {
    arguments: Vec<OsString>,
    secrets: Vec<(&'static str, Password)>,
}

/// Starts the program anew if its arguments hold a password; returns if they don't.
pub fn hide(arguments: &[OsString]) -> Result<(), Failure> {
    let hidden = hidden(arguments);
    if hidden.secrets.is_empty() {
        return Ok(());
    }
    // Only comes back if it did not work.
    let error = replace_process(&hidden.arguments, &hidden.secrets);
    Err(Failure::usage(
        format!(
            "a password in the arguments is visible to every user of this machine, and removing it failed: {error}"
        ),
        "Put the password into ~/.pgpass.",
    ))
}

fn hidden(arguments: &[OsString]) -> Hidden {
    let mut hidden = Hidden {
        arguments: Vec::with_capacity(arguments.len()),
        secrets: Vec::new(),
    };
    let mut value_of: Option<&'static str> = None;
    for argument in arguments {
        let text = argument.to_str();
        let mut kept = argument.clone();
        if let (Some(variable), Some(text)) = (value_of.take(), text) {
            kept = strip(text, "", variable, &mut hidden.secrets).unwrap_or(kept);
        } else if let Some(text) = text {
            for (option, variable) in OPTIONS {
                match text.strip_prefix(option) {
                    Some("") => value_of = Some(variable),
                    Some(rest) => {
                        if let Some(value) = rest.strip_prefix('=') {
                            let begin = format!("{option}=");
                            kept =
                                strip(value, &begin, variable, &mut hidden.secrets).unwrap_or(kept);
                        }
                    }
                    None => {}
                }
            }
        }
        hidden.arguments.push(kept);
    }
    hidden
}

/// The argument without its password, if it has one.
fn strip(
    value: &str,
    begin: &str,
    variable: &'static str,
    secrets: &mut Vec<(&'static str, Password)>,
) -> Option<OsString> {
    let without = take_password(value).ok()?;
    secrets.push((variable, without.password?));
    Some(OsString::from(format!("{begin}{}", without.text)))
}

/// Prints a complaint about the command line, which repeats arguments, without their passwords.
pub fn print_usage_error(error: &clap::Error, arguments: &[OsString]) {
    // Nobody is left to tell if stderr cannot be written to.
    let text = error.render().to_string();
    let without = without_passwords(&text, arguments);
    if without == text {
        // With clap's colours.
        let _ = error.print();
    } else {
        let _ = write!(io::stderr(), "{without}");
    }
}

fn without_passwords(text: &str, arguments: &[OsString]) -> String {
    let mut text = text.to_owned();
    for argument in arguments.iter().filter_map(|argument| argument.to_str()) {
        let value = argument
            .split_once('=')
            .map_or(argument, |(option, value)| {
                if option.starts_with("--") {
                    value
                } else {
                    argument
                }
            });
        if !value.contains('=') && !value.contains("://") {
            continue;
        }
        match take_password(value) {
            Ok(without) if without.password.is_some() => text = text.replace(value, &without.text),
            Ok(_) => {}
            Err(_) => text = text.replace(value, "[hidden]"),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn passwords_move_from_the_arguments_to_the_environment() {
        let given = [
            "pgconvoy",
            "move",
            "--source",
            "postgres://u:s3cret@a/b",
            "--target=host=c password='t 2' dbname=d",
            "-t",
            "password=x",
        ];
        let hidden = hidden(&arguments(&given));
        assert_eq!(
            hidden.secrets,
            [
                (SOURCE_PASSWORD, Password::new("s3cret")),
                (TARGET_PASSWORD, Password::new("t 2"))
            ]
        );
        let kept: Vec<&str> = hidden
            .arguments
            .iter()
            .map(|argument| argument.to_str().expect("text"))
            .collect();
        assert!(
            kept.iter()
                .all(|word| !word.contains("s3cret") && !word.contains("t 2"))
        );
        // What is left alone is left alone, also where it looks like one.
        assert_eq!(kept[5..], ["-t", "password=x"]);
        assert_eq!(
            super::hidden(&hidden.arguments).secrets,
            [],
            "the second start finds nothing"
        );
    }

    #[test]
    fn a_complaint_does_not_repeat_a_password() {
        let given = arguments(&["pgconvoy", "move", "postgres://u:s3cret@a/b"]);
        let text = without_passwords(
            "unexpected argument 'postgres://u:s3cret@a/b' found",
            &given,
        );
        assert!(
            !text.contains("s3cret") && text.contains("unexpected argument"),
            "{text}"
        );
    }
}
