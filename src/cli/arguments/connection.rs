//! `--source` and `--target`.

use std::path::PathBuf;

use clap::{Arg, Args};

use crate::cli::secrets::{SOURCE_PASSWORD, TARGET_PASSWORD};
use crate::failure::Failure;
use crate::model::Side;
use crate::pg::conninfo::{Conninfo, Environment, Password, has_password};

/// What holds for every connection string.
const EVERY_CONNINFO: &str = "What it leaves out is taken from a service file and the PG* variables. Put passwords in ~/.pgpass: one given here is \
                              removed from the process list at once, but has been there for a moment, and stays in the shell's history.";

/// Adds to the help of a command's first connection string what holds for all of them.
pub fn explained(conninfo: Arg) -> Arg {
    let what = conninfo.get_long_help().or(conninfo.get_help());
    let what = what.map(ToString::to_string).unwrap_or_default();
    conninfo.long_help(format!("{what}\n\n{EVERY_CONNINFO}"))
}

/// The same among others, whose order stays.
fn explained_source(argument: Arg) -> Arg {
    if argument.get_id() == "source" {
        explained(argument)
    } else {
        argument
    }
}

/// Where from and where to.
#[derive(Debug, Clone, Args)]
pub struct ConnectionArgs {
    /// Where from.
    #[command(flatten)]
    pub source: SourceArgs,

    /// Where to.
    #[command(flatten)]
    pub target: TargetArgs,
}

impl ConnectionArgs {
    /// Source and target, resolved, with what else the environment says.
    pub fn resolve(&self, environment: &Environment) -> Result<(Conninfo, Conninfo), Failure> {
        Ok((
            self.source.resolve(environment)?,
            self.target.resolve(environment)?,
        ))
    }
}

/// Where from.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connections", mut_arg("source", explained))]
pub struct SourceArgs {
    /// The database to read: a URI or keyword=value pairs, as for psql
    #[arg(
        long,
        value_name = "CONNINFO",
        env = "PGCONVOY_SOURCE",
        hide_env_values = true
    )]
    source: String,
}

impl SourceArgs {
    /// The source, resolved, with what else the environment says.
    pub fn resolve(&self, environment: &Environment) -> Result<Conninfo, Failure> {
        resolve_source(&self.source, environment)
    }
}

/// Where to.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connections")]
pub struct TargetArgs {
    /// The database to fill: a URI or keyword=value pairs, as for psql
    ///
    /// It must exist, unless --create is given, and be empty, unless --overwrite names it.
    #[arg(
        long,
        value_name = "CONNINFO",
        env = "PGCONVOY_TARGET",
        hide_env_values = true
    )]
    target: String,
}

impl TargetArgs {
    /// The target, resolved, with what else the environment says.
    pub fn resolve(&self, environment: &Environment) -> Result<Conninfo, Failure> {
        resolve_target(&self.target, environment)
    }
}

/// What is compared: two servers, or an archive with its own manifest.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connections", mut_args(explained_source))]
pub struct ComparedArgs {
    /// The database that was copied: a URI or keyword=value pairs, as for psql
    #[arg(
        long,
        value_name = "CONNINFO",
        env = "PGCONVOY_SOURCE",
        hide_env_values = true,
        required_unless_present = "archive"
    )]
    source: Option<String>,

    /// The copy, likewise; it is only read
    #[arg(
        long,
        value_name = "CONNINFO",
        env = "PGCONVOY_TARGET",
        hide_env_values = true,
        required_unless_present = "archive"
    )]
    target: Option<String>,

    /// An archive: compares its files with its manifest, or what it holds with --source or --target; one by `pg_dump`, without a manifest,
    /// is read to its end
    #[arg(long, value_name = "DIR")]
    pub archive: Option<PathBuf>,
}

impl ComparedArgs {
    /// The two servers, resolved, with what else the environment says.
    pub fn servers(&self, environment: &Environment) -> Result<(Conninfo, Conninfo), Failure> {
        match (&self.source, &self.target) {
            (Some(source), Some(target)) => Ok((
                resolve_source(source, environment)?,
                resolve_target(target, environment)?,
            )),
            _ => Err(Failure::usage(
                "there are not two databases to compare",
                "Name them with --source and --target.",
            )),
        }
    }

    /// The server that is compared with an archive, and whether it is the one that was dumped: what the environment says is
    /// about two servers, and does not count.
    pub fn server_of_archive(&self) -> Result<Option<(Side, Conninfo)>, Failure> {
        let environment = Environment::of_process();
        let given = |value: &Option<String>, variable| {
            let value = value.clone();
            value.filter(|value| environment.variable(variable) != Some(value.as_str()))
        };
        let source = given(&self.source, "PGCONVOY_SOURCE");
        let target = given(&self.target, "PGCONVOY_TARGET");
        let (side, text, names) = match (source, target) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => {
                return Err(Failure::usage(
                    "an archive is compared with one server, not with two",
                    "Leave out --source or --target; or --archive, to compare the two with each other.",
                ));
            }
            (Some(text), None) => (Side::Source, text, ("--source", SOURCE_PASSWORD)),
            (None, Some(text)) => (Side::Target, text, ("--target", TARGET_PASSWORD)),
        };
        let conninfo = resolve_connection(&text, &environment, names)?;
        Ok(Some((side, conninfo)))
    }
}

/// The source's connection string, with what else the environment says.
pub fn resolve_source(text: &str, environment: &Environment) -> Result<Conninfo, Failure> {
    resolve_connection(text, environment, ("--source", SOURCE_PASSWORD))
}

/// The target's.
pub fn resolve_target(text: &str, environment: &Environment) -> Result<Conninfo, Failure> {
    resolve_connection(text, environment, ("--target", TARGET_PASSWORD))
}

/// One connection string, with what else the environment says; `side` is the option's name and the variable of its password.
pub fn resolve_connection(
    text: &str,
    environment: &Environment,
    (side, variable): (&str, &str),
) -> Result<Conninfo, Failure> {
    let found = Conninfo::resolve(text, environment)
        .map_err(|error| Failure::from(error).while_doing(side))?;
    Ok(match environment.variable(variable) {
        // What stands in the connection string itself is stronger.
        Some(password) if !has_password(text) => found.with_password(&Password::new(password)),
        _ => found,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(source: &str, target: &str) -> ConnectionArgs {
        ConnectionArgs {
            source: SourceArgs {
                source: source.to_owned(),
            },
            target: TargetArgs {
                target: target.to_owned(),
            },
        }
    }

    #[test]
    fn each_side_gets_its_own_password() {
        let environment = Environment::new([
            (SOURCE_PASSWORD, "one"),
            (TARGET_PASSWORD, "two"),
            ("PGPASSWORD", "three"),
        ])
        .with_home("/nonexistent")
        .with_os_user("me");
        let args = ends("host=a", "host=b password=four");
        let (source, target) = args.resolve(&environment).expect("resolves");
        let password = |conninfo: &Conninfo| conninfo.hosts[0].password.clone();
        assert_eq!(password(&source), Some(Password::new("one")));
        assert_eq!(password(&target), Some(Password::new("four")));
    }

    #[test]
    fn a_bad_string_is_usage_and_says_which() {
        let args = ends("host=a", "hots=b");
        let environment = Environment::default().with_os_user("me");
        let failure = args.resolve(&environment).expect_err("no such keyword");
        assert_eq!(failure.status.code(), 2);
        assert!(failure.message.starts_with("--target: "), "{failure}");
    }
}
