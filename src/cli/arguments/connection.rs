//! `--source` and `--target`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::secrets::{SOURCE_PASSWORD, TARGET_PASSWORD};
use crate::failure::Failure;
use crate::model::Side;
use crate::pg::conninfo::{Conninfo, Environment, Password, has_password};

/// Where from and where to.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connections")]
pub struct ConnectionArgs {
    /// The database to read: a URI or keyword=value pairs, as for psql
    ///
    /// What it leaves open is taken from a service file and the PG* variables. Put passwords into ~/.pgpass: one that is
    /// given here is taken out of the process list at once, but has been there for a moment, and stays in the
    /// shell's history.
    #[arg(
        long,
        value_name = "CONNINFO",
        env = "PGCONVOY_SOURCE",
        hide_env_values = true
    )]
    pub source: String,

    /// The other database: a URI or keyword=value pairs, as for psql
    ///
    /// A move fills it: it must exist, unless --create is given, and be empty, unless --overwrite names it. A comparison only
    /// reads it.
    #[arg(
        long,
        value_name = "CONNINFO",
        env = "PGCONVOY_TARGET",
        hide_env_values = true
    )]
    pub target: String,
}

/// Where from, for a command that has no other server.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connections")]
pub struct SourceArgs {
    /// The database to read: a URI or keyword=value pairs, as for psql
    ///
    /// What it leaves open is taken from a service file and the PG* variables. Put passwords into ~/.pgpass: one that is
    /// given here is taken out of the process list at once, but has been there for a moment, and stays in the
    /// shell's history.
    #[arg(
        long,
        value_name = "CONNINFO",
        env = "PGCONVOY_SOURCE",
        hide_env_values = true
    )]
    pub source: String,
}

impl SourceArgs {
    /// The source, resolved, with what else the environment says.
    pub fn resolve(&self, environment: &Environment) -> Result<Conninfo, Failure> {
        resolve_connection(&self.source, environment, ("--source", SOURCE_PASSWORD))
    }
}

/// Where to, for a command that reads no server.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connections")]
pub struct TargetArgs {
    /// The database to fill: a URI or keyword=value pairs, as for psql; it must be empty, unless --overwrite names it
    ///
    /// What it leaves open is taken from a service file and the PG* variables. Put passwords into ~/.pgpass: one that is
    /// given here is taken out of the process list at once, but has been there for a moment, and stays in the
    /// shell's history.
    #[arg(
        long,
        value_name = "CONNINFO",
        env = "PGCONVOY_TARGET",
        hide_env_values = true
    )]
    pub target: String,
}

impl TargetArgs {
    /// The target, resolved.
    pub fn resolve(&self) -> Result<Conninfo, Failure> {
        let environment = Environment::of_process();
        resolve_connection(&self.target, &environment, ("--target", TARGET_PASSWORD))
    }
}

/// What is compared: two servers, or an archive with its own manifest.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connections")]
pub struct ComparedArgs {
    /// The database that was copied: a URI or keyword=value pairs, as for psql
    ///
    /// What it leaves open is taken from a service file and the PG* variables. Put passwords into ~/.pgpass: one that is
    /// given here is taken out of the process list at once, but has been there for a moment, and stays in the
    /// shell's history.
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

    /// An archive that pgconvoy dump has written: compares its files with its manifest, or what it holds with --source or --target
    #[arg(long, value_name = "DIR")]
    pub archive: Option<PathBuf>,
}

impl ComparedArgs {
    /// The two servers.
    pub fn servers(&self) -> Result<ConnectionArgs, Failure> {
        match (&self.source, &self.target) {
            (Some(source), Some(target)) => Ok(ConnectionArgs {
                source: source.clone(),
                target: target.clone(),
            }),
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

impl ConnectionArgs {
    /// Source and target, resolved, with what else the environment says.
    pub fn resolve(&self, environment: &Environment) -> Result<(Conninfo, Conninfo), Failure> {
        Ok((
            resolve_connection(&self.source, environment, ("--source", SOURCE_PASSWORD))?,
            resolve_connection(&self.target, environment, ("--target", TARGET_PASSWORD))?,
        ))
    }
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

    #[test]
    fn each_side_gets_its_own_password() {
        let environment = Environment::new([
            (SOURCE_PASSWORD, "one"),
            (TARGET_PASSWORD, "two"),
            ("PGPASSWORD", "three"),
        ])
        .with_home("/nonexistent")
        .with_os_user("me");
        let args = ConnectionArgs {
            source: "host=a".into(),
            target: "host=b password=four".into(),
        };
        let (source, target) = args.resolve(&environment).expect("resolves");
        let password = |conninfo: &Conninfo| conninfo.hosts[0].password.clone();
        assert_eq!(password(&source), Some(Password::new("one")));
        assert_eq!(password(&target), Some(Password::new("four")));
    }

    #[test]
    fn a_bad_string_is_usage_and_says_which() {
        let args = ConnectionArgs {
            source: "host=a".into(),
            target: "hots=b".into(),
        };
        let environment = Environment::default().with_os_user("me");
        let failure = args.resolve(&environment).expect_err("no such keyword");
        assert_eq!(failure.status.code(), 2);
        assert!(failure.message.starts_with("--target: "), "{failure}");
    }
}
