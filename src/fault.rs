//! Fault points for the test suite, named by moment.
//!
//! ```text
//!   PGCONVOY_FAULT=kill@copy-ended              SIGKILL of ourselves, nothing flushed, the first time that we are there
//!   PGCONVOY_FAULT=kill@copy-ended:3            the third time
//!   PGCONVOY_FAULT=kill@job-ended[validate ]    the first time for a job whose label has this in it
//!   PGCONVOY_FAULT=hold@copy-ended              writes the file PGCONVOY_FAULT_FILE, and waits until that is gone
//!   PGCONVOY_FAULT=hole-between-chunks          a mistake that the verification has to find
//!   PGCONVOY_FAULT=impatient                    a sync waits for a lock half a second
//!   PGCONVOY_FAULT=hasty-readers                not so much time is waited for a lock; hasty-store, hasty-watchdog likewise
//! ```
//!
//! Only in builds with the feature `faults`, which no release has. In every other build a point costs nothing, and is
//! not there.
//!
//! Statements that are sent all at once have moments between them that pass on the server and not here. There the server
//! is made to wait ([`stall`]), and the fault strikes while it does. A server does not notice that its client was killed: it
//! goes on, and commits when it is done. That is so on purpose, because it is so with every long CREATE INDEX.

/// Whether the mistake with this name is to be made.
#[cfg(feature = "faults")]
pub fn strikes(name: &str) -> bool {
    std::env::var("PGCONVOY_FAULT").is_ok_and(|wanted| wanted == name)
}

/// Whether the mistake with this name is to be made: never, in this build.
#[cfg(not(feature = "faults"))]
pub const fn strikes(_name: &str) -> bool {
    false
}

/// The moment with this name is now.
#[cfg(feature = "faults")]
pub fn point(name: &str) {
    point_of(name, || "");
}

/// The moment with this name is now; nobody asks, in this build.
#[cfg(not(feature = "faults"))]
pub const fn point(_name: &str) {}

/// The moment with this name is now, for what `subject` says: a job's label, or a statement.
#[cfg(feature = "faults")]
pub fn point_of<S: AsRef<str>>(name: &str, subject: impl FnOnce() -> S) {
    if let Some(armed) = armed::armed().filter(|armed| armed.is_at(name, subject)) {
        armed.strike();
    }
}

/// The moment with this name is now; nobody asks, in this build.
#[cfg(not(feature = "faults"))]
pub fn point_of<S: AsRef<str>>(_name: &str, _subject: impl FnOnce() -> S) {}

/// A statement that makes the server wait at this moment, and the fault strikes while it does. Otherwise nothing.
#[cfg(feature = "faults")]
pub fn stall(name: &str, subject: &str) -> Option<&'static str> {
    let armed = armed::armed().filter(|armed| armed.is_at(name, || subject))?;
    std::thread::spawn(|| {
        std::thread::sleep(armed::UNTIL_STALLED);
        armed.strike();
    });
    Some(armed::STALL)
}

/// Nothing, in this build.
#[cfg(not(feature = "faults"))]
pub const fn stall(_name: &str, _subject: &str) -> Option<&'static str> {
    None
}

/// A moment with a name.
#[cfg(feature = "faults")]
#[derive(Debug)]
pub struct Point {
    /// Its name.
    pub name: &'static str,
    /// The file, below `src`, that it is in.
    pub file: &'static str,
    /// When it is.
    pub moment: &'static str,
}

#[cfg(feature = "faults")]
macro_rules! points {
    ($($file:literal: { $($name:literal: $moment:literal,)* })*) => {
        /// All of them, in the order of a run.
        pub const POINTS: &[Point] = &[$($(Point { name: $name, file: $file, moment: $moment },)*)*];
    };
}

#[cfg(feature = "faults")]
points! {
    "cli/output.rs": {
        "run-directory-made": "the run directory is there, with nothing in it",
        "event-written": "a line was added to events.jsonl",
        "report-written": "report.json is written, the last event is not",
        "last-event-written": "the record is complete, nobody has been told",
    }
    "cli/move_database.rs": {
        "connected": "both servers answer",
        "request-written": "run.json is written, neither server has been looked at",
    }
    "cli/session.rs": {
        "claimed": "the target is claimed, and rid of what an earlier session left",
        "go": "nothing speaks against the move",
        "planned": "there is a plan, nothing of it is written down",
        "schema-archive-written": "schema/source.dump is written, plan.json is not",
        "plan-written": "plan.json is written, the target is as it was",
        "target-ready": "the target is empty, there is no ledger yet",
        "ledger-made": "the ledger is made, nobody has been told to keep the snapshot",
        "snapshot-kept": "the snapshot will be kept if we die, no job has begun",
        "announced": "displays know the jobs, none has begun",
        "jobs-done": "the last job has ended",
        "properties-applied": "settings and privileges of a database that was created are set",
        "schemas-compared": "everything but rows is compared",
        "readiness-told": "settings and statistics are compared",
        "writes-told": "it is known what was written to the source since",
        "flushed": "everything is on the target's disk",
    }
    "cli/session/conclude.rs": {
        "report-kept": "the report is written, the ledger is still there",
        "ledger-dropped": "the ledger is gone, the process has not ended",
    }
    "cli/take_up.rs": {
        "changes-known": "it is known which tables have changed since the lost snapshot",
        "cleared": "what does not hold in the new snapshot is cleared away",
        "plan-replaced": "plan.json is that of the new snapshot, the ledger is not",
        "ledger-rebased": "the ledger is that of the new snapshot",
        "taken-up": "a resumed session knows what is left, and has done nothing of it",
    }
    "execute/rebase.rs": {
        "constraints-dropped": "constraints in the way of a new snapshot are gone, the rows are still there",
        "tables-emptied": "tables that have changed since the lost snapshot are empty, and not marked",
        "large-objects-removed": "some large objects of the lost snapshot are gone, others are not",
    }
    "cli/inspect.rs": {
        "target-created": "the target database is created, we are not connected to it",
        "target-emptied": "the target database is emptied, as was asked for",
    }
    "cli/source_view.rs": {
        "snapshot-taken": "the snapshot is taken, nothing is read in it",
        "schema-dumped": "pg_dump has read the schema",
    }
    "cli/prove.rs": {
        "target-schema-dumped": "pg_dump has read the schema of the target",
        "target-observed": "the target's catalog is read, and compared with nothing",
    }
    "execute/prepare.rs": {
        "database-bare": "the database is created and has none of its properties",
        "target-signed": "it is written down on the target who empties it, and nothing is dropped but event triggers",
        "target-half-empty": "some objects of the target are dropped, others are not",
        "defaults-missing": "all objects of the target are dropped, schema public is not made anew",
    }
    "execute/clear.rs": {
        "target-uncleaned": "what the archive has is dropped on the target, and that is not committed",
    }
    "ledger/mod.rs": {
        "ledger-half-made": "the ledger is made and not committed",
        "ledger-half-rebased": "another plan is written in the place of the old one, and not committed",
    }
    "ledger/end.rs": {
        "ledger-half-dropped": "the ledger is dropped, and that is not committed",
    }
    "execute/supervisor.rs": {
        "job-started": "a job is given to a worker",
        "job-ended": "a job has ended and is committed, nobody has been told",
        "job-told": "it is written down that a job has ended",
        "snapshot-unused": "the last reader of the source has ended, the snapshot is still held",
    }
    "execute/release.rs": {
        "snapshot-released": "the snapshot is given back, nobody has been told",
    }
    "execute/statements.rs": {
        "statements-begun": "a job's transaction has begun, and has done nothing (the server waits)",
        "statements-unmarked": "a job's statements are done, its mark is not made (the server waits)",
        "statements-uncommitted": "a job's statements and mark are made and not committed (the server waits)",
        "statements-done": "a job's statements are committed, and their session is still with the job",
        "alone-unmarked": "a statement that must not be in a transaction is done, and has no mark",
        "alone-marked": "a statement that must not be in a transaction is done and marked",
    }
    "execute/copy.rs": {
        "copy-opened": "a copy's transaction has begun, and its table is truncated if it is a large one",
        "copy-between-tables": "the target has all of a table of a bundle, and not yet all of the next one",
        "copy-ended": "all rows have arrived, there is no mark",
        "copy-uncommitted": "rows and mark are there and not committed (the server waits)",
        "copy-committed": "rows and mark are committed, the session is still with the job",
        "chunk-opened": "a chunk's transaction has begun",
        "chunk-ended": "a chunk's rows have arrived, there is no mark",
        "chunk-committed": "a chunk's rows and mark are committed",
        "copy-read-again": "what an earlier session copied was read on the source once more",
        "counted": "a table that is copied in chunks was counted on the source",
    }
    "sync/writer.rs": {
        "sync-uncommitted": "everything is changed that differed, and nothing of it is committed",
        "sync-committed": "all that differed is changed and committed but for sequences that go back, nothing is proven",
    }
    "cli/sync/carry_out.rs": {
        "sync-locked": "the tables of a target that is to be brought over are locked, nothing is read",
        "sync-compared": "it is known which rows differ, none is changed",
    }
    "sync/apply.rs": {
        "sync-deleted": "rows that the source has not are deleted, none has come, nothing is committed",
        "sync-copied": "the rows of all tables are as on the source, nothing is committed",
    }
    "cli/follow/prepare.rs": {
        "follow-published": "the publication is made on a source that is to be followed, the slot is not",
    }
    "cli/follow/subscribe.rs": {
        "follow-subscribed": "the subscription is made, and does not work yet",
        "follow-enabled": "the subscription works, and the target does not say yet that it follows",
        "follow-begun": "the target follows the source",
    }
    "cli/follow/turn.rs": {
        "follow-step": "the step of a turn is written down, and not taken",
        "follow-step-taken": "the step of a turn is taken, the next one is not written down",
    }
    "cli/follow/rest.rs": {
        "follow-rest-held": "a side is open, and what there was no time to compare before is held in snapshots",
    }
    "cli/follow/unfollow.rs": {
        "follow-unsubscribed": "no subscription of a follow is left, slots and publications are",
        "follow-unpublished": "nothing of a follow is left but its state",
    }
    "execute/large_objects.rs": {
        "large-objects-opened": "the stage for large objects is made, and is empty",
        "large-objects-staged": "large objects have arrived on their stage, and do not exist",
        "large-objects-made": "large objects are made, without owners and grants (the server waits)",
        "large-objects-uncommitted": "large objects are complete and marked, and not committed (the server waits)",
        "large-objects-committed": "large objects are committed",
    }
    "execute/compare.rs": {
        "source-read-again": "the source is read for a comparison",
        "views-read": "a materialized view is read on both sides, and not compared",
        "target-read": "the target is read for a comparison, and not compared",
    }
    "pg/wire/answers.rs": {
        "rows-relayed": "rows of a COPY were read and passed on, more are to come",
        "rows-read": "rows of a COPY were read to be compared, more are to come",
    }
    "pg/wire/relay.rs": {
        "copy-done-sent": "the target is being sent the end of a COPY, and has not answered",
    }
    "pg/wire/connection.rs": {
        "query-sent": "a statement is sent, and not answered",
        "batch-sent": "all statements of a batch are sent, its COMMIT among them, and none is answered",
    }
    "cli/dump/write.rs": {
        "whole-noted": "all of an archive is written, and that is noted; the snapshot is still held",
    }
    "cli/restore/carry.rs": {
        "planned": "there is a plan, nothing of it is written down",
        "target-created": "the target database is created, we are not connected to it",
        "target-emptied": "the target database is emptied, as was asked for",
        "target-ready": "the target is empty, there is no ledger yet",
        "announced": "displays know the jobs, none has begun",
        "jobs-done": "the last job has ended",
        "properties-applied": "settings and privileges of a database that was created are set",
    }
    "cli/restore/prove.rs": {
        "schemas-compared": "everything but rows is compared",
        "source-compared": "the target is compared with the live source as well",
        "flushed": "everything is on the target's disk",
    }
    "cli/restore/resume.rs": {
        "taken-up": "a resumed session knows what is left, and has done nothing of it",
    }
    "execute/load.rs": {
        "copy-opened": "a copy's transaction has begun, and its table is truncated if it is a large one",
        "copy-between-tables": "the target has all of a table of a bundle, and not yet all of the next one",
        "copy-ended": "all rows have arrived, there is no mark",
        "copy-committed": "rows and mark are committed, the session is still with the job",
    }
    "execute/load/chunk.rs": {
        "chunk-opened": "a chunk's transaction has begun",
        "chunk-ended": "a chunk's rows have arrived, there is no mark",
        "chunk-committed": "a chunk's rows and mark are committed",
    }
    "execute/load/large_objects.rs": {
        "large-objects-opened": "the stage for large objects is made, and is empty",
        "large-objects-staged": "large objects have arrived on their stage, and do not exist",
        "large-objects-committed": "large objects are committed",
    }
}

/// What the environment asks for.
#[cfg(feature = "faults")]
mod armed {
    use std::path::{Path, PathBuf};
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;
    use tokio::runtime::{Handle, RuntimeFlavor};

    /// Long enough for a test to do something meanwhile, short enough for hundreds of them.
    pub(super) const STALL: &str = "select pg_catalog.pg_sleep(1)";
    /// By then the server has done what comes before.
    pub(super) const UNTIL_STALLED: Duration = Duration::from_millis(300);

    const POLL: Duration = Duration::from_millis(2);

    #[derive(Debug, PartialEq, Eq)]
    enum Fault {
        Kill,
        Hold,
    }

    /// A fault that waits for its moment.
    #[derive(Debug)]
    pub(super) struct Armed {
        fault: Fault,
        name: String,
        subject: String,
        /// How many times the moment is to come.
        left: AtomicU32,
        /// Is there while we hold.
        file: Option<PathBuf>,
    }

    pub(super) fn armed() -> Option<&'static Armed> {
        static ARMED: OnceLock<Option<Armed>> = OnceLock::new();
        ARMED.get_or_init(of_environment).as_ref()
    }

    fn of_environment() -> Option<Armed> {
        let wanted = std::env::var("PGCONVOY_FAULT").ok()?;
        // Without an @ it is a mistake to be made, and no moment.
        let (fault, moment) = wanted.split_once('@')?;
        let armed = parse(fault, moment);
        let armed = armed.unwrap_or_else(|| panic!("PGCONVOY_FAULT={wanted} is no fault"));
        let file = std::env::var_os("PGCONVOY_FAULT_FILE").map(PathBuf::from);
        assert!(
            file.is_some() || armed.fault == Fault::Kill,
            "PGCONVOY_FAULT={wanted} without PGCONVOY_FAULT_FILE"
        );
        Some(Armed { file, ..armed })
    }

    /// `kill` and `copy-ended[public.users]:3`.
    fn parse(fault: &str, moment: &str) -> Option<Armed> {
        let fault = match fault {
            "kill" => Fault::Kill,
            "hold" => Fault::Hold,
            _ => return None,
        };
        let times = moment.rsplit_once(':').filter(|(_, times)| {
            !times.is_empty() && times.bytes().all(|byte| byte.is_ascii_digit())
        });
        let (moment, times) = times.unwrap_or((moment, "1"));
        let (name, subject) = match moment.split_once('[') {
            Some((name, rest)) => (name, rest.strip_suffix(']')?),
            None => (moment, ""),
        };
        super::POINTS.iter().find(|point| point.name == name)?;
        Some(Armed {
            fault,
            name: name.to_owned(),
            subject: subject.to_owned(),
            left: AtomicU32::new(times.parse().ok().filter(|&times| times > 0)?),
            file: None,
        })
    }

    impl Armed {
        /// Whether this is the moment.
        pub(super) fn is_at<S: AsRef<str>>(&self, name: &str, subject: impl FnOnce() -> S) -> bool {
            let is_here = self.name == name
                && (self.subject.is_empty() || subject().as_ref().contains(&self.subject));
            let one_less = |left: u32| left.checked_sub(1);
            let relaxed = Ordering::Relaxed;
            is_here && self.left.fetch_update(relaxed, relaxed, one_less) == Ok(1)
        }

        pub(super) fn strike(&self) {
            match (&self.fault, &self.file) {
                (Fault::Hold, Some(file)) => hold(file),
                _ => die(),
            }
        }
    }

    fn die() -> ! {
        // SIGKILL cannot fail to reach ourselves, and nothing of ours runs once it has.
        let _ = kill(Pid::this(), Signal::SIGKILL);
        loop {
            std::thread::sleep(POLL);
        }
    }

    /// Waits in this thread; on a runtime, its other tasks go on in another one.
    fn hold(file: &Path) {
        let wait = || {
            std::fs::write(file, "").unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            while file.exists() {
                std::thread::sleep(POLL);
            }
        };
        let flavor = Handle::try_current().map(|handle| handle.runtime_flavor());
        if flavor.is_ok_and(|flavor| flavor == RuntimeFlavor::MultiThread) {
            tokio::task::block_in_place(wait);
        } else {
            wait();
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_fault_has_a_moment_a_subject_and_a_number() {
            let armed = parse("kill", "job-ended[validate a: b]:2").expect("a fault");
            assert_eq!(armed.subject, "validate a: b");
            let is_at = |name: &str, subject: &str| armed.is_at(name, || subject.to_owned());
            assert!(!is_at("job-told", "validate a: b"));
            assert!(!is_at("job-ended", "index i"));
            assert!(!is_at("job-ended", "validate a: b"));
            assert!(is_at("job-ended", "validate a: b"));
            assert!(!is_at("job-ended", "validate a: b"));
        }

        #[test]
        fn what_is_no_fault_is_refused() {
            for (fault, moment) in [
                ("kill", "no-such-moment"),
                ("kill", "job-ended[x"),
                ("kill", "job-ended:0"),
                ("crash", "job-ended"),
            ] {
                assert!(parse(fault, moment).is_none(), "{fault}@{moment}");
            }
        }
    }
}

#[cfg(all(test, feature = "faults"))]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::POINTS;

    /// `(file, name)` of every point in the sources.
    fn used(dir: &Path, root: &Path, found: &mut Vec<(String, String)>) {
        let call = regex::Regex::new(r#"\b(?:point|point_of|stall)\(\s*"([^"]+)""#);
        let call = call.expect("a regular expression");
        for entry in std::fs::read_dir(dir).expect("src can be read") {
            let path = entry.expect("src can be read").path();
            if path.is_dir() {
                used(&path, root, found);
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("sources are UTF-8");
            let file = path.strip_prefix(root).expect("below src");
            let names = call.captures_iter(&text).map(|found| found[1].to_owned());
            found.extend(names.map(|name| (file.display().to_string(), name)));
        }
    }

    #[test]
    fn every_point_is_where_the_table_says_and_no_other_is_anywhere() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut found = Vec::new();
        used(&root, &root, &mut found);
        let found: BTreeSet<(String, String)> = found.into_iter().collect();
        let said = POINTS.iter();
        let said: BTreeSet<(String, String)> = said
            .map(|point| (point.file.to_owned(), point.name.to_owned()))
            .collect();
        let nowhere: Vec<_> = said.difference(&found).collect();
        let unsaid: Vec<_> = found.difference(&said).collect();
        assert!(
            nowhere.is_empty() && unsaid.is_empty(),
            "{nowhere:?} {unsaid:?}"
        );
        assert_eq!(said.len(), POINTS.len(), "a point is in the table twice");
    }
}
