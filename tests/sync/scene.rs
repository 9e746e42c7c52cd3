//! Runs of `pgconvoy sync`, and what is expected of all of them.

use serde_json::Value;

use crate::support::binary::{Finished, Pgconvoy};
use crate::support::moving::{RUN_DIR, Untouched, assert_equal, report};
use crate::support::server::Server;

/// A sync to be, with further arguments.
pub fn prepare(from: &str, to: &str, more: &[&str]) -> Pgconvoy {
    let fixed = [
        "sync",
        "--source",
        from,
        "--target",
        to,
        "--run-dir",
        RUN_DIR,
    ];
    Pgconvoy::new(fixed.iter().chain(more))
}

/// A server on which nothing happens unless somebody asks for it.
pub fn quiet(major: u32) -> Option<Server> {
    Server::start_with(major, |options| {
        options
            .setting("autovacuum", "off")
            .setting("wal_level", "logical")
    })
}

/// A database on two servers.
pub struct Scene<'a> {
    pub source: &'a Server,
    pub target: &'a Server,
    pub database: &'a str,
}

impl Scene<'_> {
    pub fn from(&self) -> String {
        self.source.conninfo(self.database)
    }

    pub fn to(&self) -> String {
        self.target.conninfo(self.database)
    }

    pub fn sync(&self, more: &[&str]) -> Finished {
        prepare(&self.from(), &self.to(), more).run()
    }

    /// Says what would be changed, and looks whether anything was.
    #[track_caller]
    pub fn dry_run(&self) -> Value {
        let before = self.content();
        let run = self.sync(&["--dry-run"]);
        assert_eq!(self.content(), before, "{run}");
        let synced = report(&run)["synced"].clone();
        assert_eq!(synced["committed"], false, "{run}");
        assert_eq!(run.status, if is_nothing(&synced) { 0 } else { 3 }, "{run}");
        synced
    }

    /// Brings the target over; proven, by another check as well, and the source was only read. Says what was changed.
    #[track_caller]
    pub fn bring_over(&self) -> Value {
        let before = Untouched::of(self.source, self.database);
        let run = self.sync(&[]);
        assert_eq!(run.status, 0, "{run}");
        assert_eq!(Untouched::of(self.source, self.database), before, "{run}");
        let report = report(&run);
        assert_eq!(report["status"], "proven", "{run}");
        assert_equal(&run.to_string(), &self.from(), &self.to(), &[]);
        let synced = report["synced"].clone();
        assert_eq!(synced["committed"], true, "{run}");
        synced
    }

    /// The dry run says what is done then.
    #[track_caller]
    pub fn bring_over_as_foretold(&self) -> Value {
        let foretold = self.dry_run();
        assert!(!is_nothing(&foretold), "{foretold}");
        let done = self.bring_over();
        assert_eq!(without_bytes(&done), without_bytes(&foretold));
        done
    }

    /// What the target would have more or less of if anybody had written to it.
    fn content(&self) -> String {
        self.target.psql(
            self.database,
            "select pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())",
        )
    }
}

/// Whether a `synced` says that nothing was to be changed.
pub fn is_nothing(synced: &Value) -> bool {
    let object = synced.as_object().expect("an object");
    object
        .iter()
        .filter(|(name, _)| *name != "committed")
        .all(|(_, value)| *value == 0 || value.as_array().is_some_and(Vec::is_empty))
}

fn without_bytes(synced: &Value) -> Value {
    let mut synced = synced.clone();
    synced["committed"] = Value::Null;
    for table in synced["tables"].as_array_mut().into_iter().flatten() {
        table["bytes"] = Value::Null;
    }
    synced
}

/// Inserted, updated and deleted rows of a table, and whether all were copied anew.
pub fn figures(synced: &Value, table: &str) -> Option<(u64, u64, u64, bool)> {
    let tables = synced["tables"].as_array()?;
    let found = tables.iter().find(|one| one["table"]["name"] == table)?;
    let number = |name: &str| found[name].as_u64().expect("a number");
    Some((
        number("inserted"),
        number("updated"),
        number("deleted"),
        !found["anew"].is_null(),
    ))
}
