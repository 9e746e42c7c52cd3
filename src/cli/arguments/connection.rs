//! `--source` and `--target`.

use clap::Args;

use crate::cli::secrets::{SOURCE_PASSWORD, TARGET_PASSWORD};
use crate::failure::Failure;
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
