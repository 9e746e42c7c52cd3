//! The directory that keeps what happened in a run, readable for its owner alone.
//!
//! ```text
//!   lock            who works in it; locked for as long as that process lives
//!   run.json        what was asked for, for a session that resumes it
//!   plan.json       what was planned, immutable once written
//!   events.jsonl    everything that happened, one event a line; sessions follow one another
//!   schema/         the schema archive that was used
//!   failed/         one .sql for each failed entry, with the error as a comment
//!   report.json     what it came to
//!   report.html     the same for people, as one page
//! ```
//!
//! [`RunDir`] is for whoever writes, one process at a time. [`Look`] is for whoever only reads, as many as like; the page is made
//! of what can be read, so whoever looks may write it anew.

mod files;
mod lock;

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::event::JobFailure;
use crate::failure::Failure;
use crate::ledger::Packed;
use crate::model::run_command;
use files::{new_file, write_json, write_packed, write_whole};
use lock::{LockError, RunLock};

pub use lock::Holder;

/// A file name may have 255 bytes; this leaves room and can still be read in a listing.
const LONGEST_LABEL: usize = 80;

const EVENTS: &str = "events.jsonl";
const REQUEST: &str = "run.json";
const PAGE: &str = "report.html";

/// Whether the run in a directory is a dump or a restore, as far as can be read without having the directory.
pub(super) fn is_about_archive(path: &Path) -> bool {
    #[derive(Deserialize)]
    struct Any {
        #[serde(default)]
        archive: Option<IgnoredAny>,
    }
    let request = fs::read(path.join(REQUEST)).unwrap_or_default();
    serde_json::from_slice::<Any>(&request).is_ok_and(|any| any.archive.is_some())
}

/// A run's directory, for the one process that writes to it; locked until the last clone is dropped.
#[derive(Debug, Clone)]
pub struct RunDir {
    path: PathBuf,
    before: Before,
    _lock: Arc<RunLock>,
}

/// What was there before us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    EmptyDirectory,
    /// Earlier sessions of the run, with a record of so many bytes.
    Sessions {
        events_bytes: u64,
    },
}

/// A run's directory, for those who only read.
#[derive(Debug, Clone)]
pub struct Look {
    path: PathBuf,
}

/// `./pgconvoy-20260102T030405Z-0c4f`: the time, and enough of the process id and the clock that two runs which start in
/// the same second do not meet.
pub fn default_path(now: DateTime<Utc>, process_id: u32) -> PathBuf {
    let id = (process_id ^ (now.timestamp_subsec_micros() << 3)) & 0xffff;
    PathBuf::from(format!(
        "./pgconvoy-{}-{id:04x}",
        now.format("%Y%m%dT%H%M%SZ")
    ))
}

impl RunDir {
    /// Creates it, mode 0700. A directory that is there already must be empty.
    pub fn create(path: &Path) -> Result<Self, Failure> {
        let failed = |error: &dyn std::fmt::Display| cannot_be_used(path, error);
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        let before = match builder.create(path) {
            Ok(()) => Before::Nothing,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let mut entries = fs::read_dir(path).map_err(|error| failed(&error))?;
                if entries.next().is_some() {
                    return Err(occupied(path));
                }
                Before::EmptyDirectory
            }
            Err(error) => return Err(failed(&error)),
        };
        let lock = RunLock::take(path).map_err(|error| locked(path, &error))?;
        let run_dir = Self {
            path: path.to_owned(),
            before,
            _lock: Arc::new(lock),
        };
        // What cannot be written to is found now, and not when there is something to write.
        run_dir.open_events().map_err(|error| failed(&error))?;
        Ok(run_dir)
    }

    /// Opens the directory of a run that has had its sessions, to go on in it.
    pub fn open_existing(path: &Path) -> Result<Self, Failure> {
        let failed = |error: io::Error| cannot_be_used(path, &error);
        Look::at(path)?;
        let lock = RunLock::take(path).map_err(|error| locked(path, &error))?;
        let mut run_dir = Self {
            path: path.to_owned(),
            before: Before::Nothing,
            _lock: Arc::new(lock),
        };
        let events_bytes = run_dir.end_torn_line().map_err(failed)?;
        run_dir.before = Before::Sessions { events_bytes };
        Ok(run_dir)
    }

    /// A session that was killed may have left half a line behind: the next one begins on a line of its own. Returns the
    /// length of the record.
    fn end_torn_line(&self) -> io::Result<u64> {
        let mut events = OpenOptions::new()
            .read(true)
            .append(true)
            .open(self.path.join(EVENTS))?;
        let length = events.metadata()?.len();
        let mut last = [b'\n'];
        if length > 0 {
            events.seek(SeekFrom::Start(length - 1))?;
            events.read_exact(&mut last)?;
        }
        if last == [b'\n'] {
            return Ok(length);
        }
        events.write_all(b"\n")?;
        Ok(length + 1)
    }

    /// Its path, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The same for reading.
    pub fn look(&self) -> Look {
        Look {
            path: self.path.clone(),
        }
    }

    /// Keeps the schema archive that `pg_dump -Fc` wrote, as `schema/source.dump`; that of a later session in another
    /// snapshot as `source-2.dump`, and so on.
    pub fn write_schema(&self, archive: &Packed) -> Result<(), Failure> {
        let dir = self.path.join("schema");
        match DirBuilder::new().mode(0o700).create(&dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(Failure::file("making", &dir, &error));
            }
            _ => {}
        }
        write_packed(&unused(&dir, "source", "dump"), archive)
    }

    /// Where the report goes.
    pub fn report_path(&self) -> PathBuf {
        self.path.join("report.json")
    }

    /// Writes `plan.json`, which is never written over: the plan of a later session in another snapshot becomes
    /// `plan-2.json`, and so on.
    pub fn write_plan(&self, plan: &impl Serialize) -> Result<(), Failure> {
        write_json(&unused(&self.path, "plan", "json"), "the plan", plan)
    }

    /// Writes `run.json`: what was asked for. The first session's stays.
    pub fn write_request(&self, request: &impl Serialize) -> Result<(), Failure> {
        let path = self.path.join(REQUEST);
        if path.exists() {
            return Ok(());
        }
        write_json(&path, "what was asked for", request)
    }

    /// Reads `run.json`; `None` if the run ended before it was written.
    pub fn read_request<T: DeserializeOwned>(&self) -> Result<Option<T>, Failure> {
        let path = self.path.join(REQUEST);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Failure::file("reading", &path, &error)),
        };
        serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| Failure::file("understanding", &path, &io::Error::from(error)))
    }

    /// `events.jsonl`, to be appended to.
    pub(super) fn open_events(&self) -> io::Result<File> {
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(self.path.join(EVENTS))
    }

    /// How many failed entries it keeps already: the next one is given the number after the highest.
    pub(super) fn failed_so_far(&self) -> usize {
        let Ok(entries) = fs::read_dir(self.path.join("failed")) else {
            // Not there, in the first place.
            return 0;
        };
        let numbers = entries.flatten().filter_map(|entry| {
            let name = entry.file_name();
            let (number, _) = name.to_str()?.split_once('-')?;
            number.parse().ok()
        });
        numbers.max().unwrap_or(0)
    }

    /// Whether a failed entry has its file already: since an earlier session.
    pub(super) fn keeps(&self, failure: &JobFailure) -> bool {
        let file = failure.file.as_ref();
        file.is_some_and(|file| self.path.join(file).exists())
    }

    /// Keeps a failed entry in a file of its own, and says its name relative to this directory. `number` counts failures
    /// from 1.
    pub(super) fn keep_failed(
        &self,
        number: usize,
        label: &str,
        failure: &JobFailure,
    ) -> io::Result<String> {
        let dir = self.path.join("failed");
        match DirBuilder::new().mode(0o700).create(&dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let name = format!("failed/{number:03}-{}.sql", file_name(label));
        let mut file = new_file(&self.path.join(&name))?;
        file.write_all(failed_script(label, failure).as_bytes())?;
        Ok(name)
    }

    /// Takes back what was made, for a session that touched nothing: only files of ours, and the directory only if it was
    /// not there before. Of a run that has had sessions, nothing but what this one has added to the record.
    pub(super) fn remove(self) {
        // Best effort: what stays behind does no harm.
        if let Before::Sessions { events_bytes } = self.before {
            let _ = self
                .open_events()
                .and_then(|events| events.set_len(events_bytes));
            return;
        }
        let made = ["plan.json", "report.json", "schema-from.dump"];
        for file in [REQUEST, EVENTS, PAGE].into_iter().chain(made) {
            let _ = fs::remove_file(self.path.join(file));
        }
        let _ = fs::remove_dir_all(self.path.join("schema"));
        // Last of the files: while it is locked, nobody else begins.
        let _ = fs::remove_file(self.path.join(lock::FILE));
        if self.before == Before::Nothing {
            let _ = fs::remove_dir(&self.path);
        }
    }
}

impl Look {
    /// Looks at a run's directory, whether anybody works in it or not. What is none is refused.
    pub fn at(path: &Path) -> Result<Self, Failure> {
        match fs::metadata(path.join(EVENTS)) {
            Ok(events) if events.is_file() => Ok(Self {
                path: path.to_owned(),
            }),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                Err(cannot_be_used(path, &error))
            }
            _ if path.exists() => Err(Failure::usage(
                format!(
                    "{} is not a run directory: it has no {EVENTS}",
                    path.display()
                ),
                NAME_A_RUN,
            )),
            _ => Err(Failure::usage(
                format!("there is no run directory {}", path.display()),
                NAME_A_RUN,
            )),
        }
    }

    /// The same for a directory that somebody is about to make.
    pub fn ahead(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// The run here that was at work last, of those with the names that runs have by default.
    pub fn newest_here() -> Result<Self, Failure> {
        let entries = fs::read_dir(".");
        let entries = entries.map_err(|error| Failure::file("reading", Path::new("."), &error))?;
        let runs = entries.flatten().filter_map(|entry| {
            let name = entry.file_name();
            let path = Path::new(".").join(&name);
            let is_one = name.to_str()?.starts_with("pgconvoy-");
            let look = Self::at(&path).ok().filter(|_| is_one)?;
            let written = fs::metadata(look.events_path()).and_then(|events| events.modified());
            Some((written.ok()?, look))
        });
        let newest = runs.max_by_key(|(written, _)| *written);
        newest.map(|(_, look)| look).ok_or_else(|| {
            Failure::usage("there is no run directory ./pgconvoy-* here", NAME_A_RUN)
        })
    }

    /// Its path, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everything that happened.
    pub fn events_path(&self) -> PathBuf {
        self.path.join(EVENTS)
    }

    /// Writes `report.html`, in the place of an earlier one, and says where that is.
    pub fn write_page(&self, page: &str) -> Result<PathBuf, Failure> {
        let path = self.path.join(PAGE);
        write_whole(&path, page.as_bytes())?;
        Ok(path)
    }

    /// Who works in it now, if anybody does. Disturbs nobody.
    pub fn holder(&self) -> Result<Option<Holder>, Failure> {
        lock::holder(&self.path)
            .map_err(|error| Failure::file("looking at", &self.path.join(lock::FILE), &error))
    }
}

const NAME_A_RUN: &str = "Name the directory that was given with --run-dir, or that the run named at its start: ./pgconvoy-TIME-ID.";

fn cannot_be_used(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::usage(
        format!(
            "the run directory {} cannot be used: {error}",
            path.display()
        ),
        "With --run-dir, name a new or empty directory that you may write to.",
    )
}

fn locked(path: &Path, error: &LockError) -> Failure {
    match error {
        LockError::Held(_) => Failure::usage(
            format!(
                "the run directory {} cannot be used: {error}",
                path.display()
            ),
            format!(
                "Only one process at a time can work in it. To see its progress: {}",
                run_command("watch", &path.display().to_string())
            ),
        ),
        LockError::File(error) => cannot_be_used(path, error),
    }
}

/// A directory that is not empty: somebody works in it, it keeps an earlier run, or it is something else.
fn occupied(path: &Path) -> Failure {
    if let Ok(Some(holder)) = lock::holder(path) {
        return locked(path, &LockError::Held(holder));
    }
    let failure = cannot_be_used(path, &"it is not empty");
    match Look::at(path) {
        Ok(_) => Failure::usage(
            failure.message,
            format!(
                "It holds an earlier run, which {} goes on with. For a new run, name a new directory with --run-dir.",
                run_command("resume", &path.display().to_string())
            ),
        ),
        Err(_) => failure,
    }
}

/// `plan.json`, or the first of `plan-2.json`, `plan-3.json`, … that does not exist.
fn unused(dir: &Path, stem: &str, extension: &str) -> PathBuf {
    let first = dir.join(format!("{stem}.{extension}"));
    if !first.exists() {
        return first;
    }
    let mut number = 2;
    loop {
        let path = dir.join(format!("{stem}-{number}.{extension}"));
        if !path.exists() {
            return path;
        }
        number += 1;
    }
}

/// Letters, digits and a few signs, so that no shell needs quotes.
fn file_name(label: &str) -> String {
    let mut name = String::new();
    for c in label.chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '_' | '.') {
            name.push(c);
        } else if !name.ends_with('-') {
            name.push('-');
        }
    }
    name.truncate(LONGEST_LABEL);
    name.trim_matches(['-', '.']).to_owned()
}

/// What a script under `failed/` executes, without what only psql needs around it: the comments at its head, and a transaction.
/// Carriage returns in it stay: in the body of a function they are part of its value.
fn statements_of_script(script: &str) -> String {
    let is_head = |line: &&str| line.starts_with("--") || line.trim().is_empty();
    let lines = script.split_inclusive('\n').skip_while(is_head);
    let mut body = lines.collect::<String>().trim().to_owned();
    // As failed_script writes it: what the session says, then perhaps the transaction.
    let mut begins = ["\nbegin;\n", "\nbegin;\r\n"].into_iter();
    if let Some((before, rest)) = begins.find_map(|begin| body.split_once(begin))
        && before.lines().count() <= 2
        && let Some(inside) = rest.strip_suffix("\ncommit;")
    {
        body = format!("{before}\n{inside}");
    }
    body.trim().to_owned()
}

/// What such a script executes, if that is not what it did when it was written.
pub(super) fn edited_statements(script: &str, failure: &JobFailure) -> Option<String> {
    let written = statements_of_script(&failed_script("", failure));
    let mut found = statements_of_script(script);
    // The head was written without: it was an editor that put them at the end of every line.
    let at_every_end = script.lines().count() == script.matches("\r\n").count();
    if at_every_end && !written.contains('\r') {
        found = found.replace("\r\n", "\n");
    }
    (found != written).then_some(found)
}

/// A script for psql: the error as comments, then the statement, whole.
fn failed_script(label: &str, failure: &JobFailure) -> String {
    let mut script = String::new();
    let mut comment = |text: &str| {
        // Both end a comment in psql.
        for line in text.split(['\n', '\r']) {
            let _infallible = writeln!(script, "-- {line}");
        }
    };
    comment(&format!("failed: {label}"));
    if let Some(entry) = &failure.entry {
        comment(&format!(
            "entry {}; {} {} {}",
            entry.dump_id, entry.desc, entry.tag, entry.owner
        ));
    }
    comment(&failure.message);
    if let Some(error) = &failure.server_error {
        comment(&error.to_string());
    }
    if let Some(hint) = &failure.hint {
        comment(&format!("what to do: {hint}"));
    }
    match &failure.statement {
        Some(statement) => {
            comment("");
            // What pg_dump writes names every object with its schema, and expects this.
            script.push_str("set search_path = '';\n\n");
            // What is set for one transaction only needs one.
            let in_transaction = statement.starts_with("set local ");
            if in_transaction {
                script.push_str("begin;\n");
            }
            script.push_str(statement);
            if !statement.trim_end().ends_with(';') {
                script.push_str("\n;");
            }
            script.push('\n');
            if in_transaction {
                script.push_str("commit;\n");
            }
        }
        None => comment("It has no statement of its own that could be run again."),
    }
    script
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::model::ServerError;

    fn failure() -> JobFailure {
        JobFailure {
            entry: None,
            statement: Some("create index i on t (a)\n  where 'x' <> ''".into()),
            message: "it\rdrop table t".into(),
            server_error: Some(ServerError {
                severity: "ERROR".into(),
                code: "23505".into(),
                message: "first\nsecond".into(),
                ..ServerError::default()
            }),
            hint: None,
            file: None,
        }
    }

    #[test]
    fn a_failed_statement_is_kept_whole_and_nothing_else_in_the_file_is_executed() {
        let script = failed_script("index \"i\n;\"", &failure());
        let executed: Vec<&str> = script
            .lines()
            .filter(|line| !line.starts_with("--"))
            .collect();
        assert_eq!(
            executed,
            [
                "set search_path = '';",
                "",
                "create index i on t (a)",
                "  where 'x' <> ''",
                ";"
            ]
        );
        assert!(
            script.contains("-- ERROR:  23505: first\n-- second\n"),
            "{script}"
        );
        assert!(!script.contains('\r'));
    }

    #[test]
    fn a_statement_that_is_edited_in_one_place_keeps_its_carriage_returns() {
        let sql = "create function f() returns text language plpgsql as $$\r\nbegin\r\n  return 'a\rb';\r\nend $$";
        for set in ["", "set local role app;\n"] {
            let failure = JobFailure {
                statement: Some(format!("{set}{sql}")),
                ..failure()
            };
            let script = failed_script("function f", &failure);
            assert_eq!(edited_statements(&script, &failure), None);
            let edited = script.replace("return 'a", "return 'c");
            let expected = format!("set search_path = '';\n\n{set}{sql}\n;");
            assert_eq!(
                edited_statements(&edited, &failure),
                Some(expected.replace("'a", "'c"))
            );
            // One that makes all lines end alike leaves none of the body's out.
            let alike = edited.replace("\r\n", "\n").replace('\n', "\r\n");
            let alike = edited_statements(&alike, &failure).expect("edited");
            let body = sql.replace("'a", "'c");
            assert!(alike.contains(&body), "{alike:?}");
            assert!(
                !alike.contains("begin;") && !alike.contains("commit;"),
                "{alike:?}"
            );
        }
    }

    #[test]
    fn an_editor_that_ends_all_lines_with_carriage_returns_changes_nothing() {
        for set in ["", "set local role app;\n"] {
            let plain = failure().statement.unwrap_or_default();
            let failure = JobFailure {
                statement: Some(format!("{set}{plain}")),
                ..failure()
            };
            let script = failed_script("x", &failure).replace('\n', "\r\n");
            assert_eq!(edited_statements(&script, &failure), None);
            let edited = edited_statements(&script.replace("(a)", "(b)"), &failure);
            let edited = edited.expect("edited");
            assert!(edited.contains("(b)\n"), "{edited:?}");
            assert!(!edited.contains("commit;"), "{edited:?}");
        }
    }

    #[test]
    fn the_directory_is_private_new_or_empty_and_can_be_taken_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("run");
        let run_dir = RunDir::create(&path).expect("created");
        let mode = fs::metadata(&path).expect("exists").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let again = RunDir::create(&path).expect_err("not empty");
        assert_eq!(again.status.code(), 2);
        let name = run_dir
            .keep_failed(3, "index public.\"a b/c\"", &failure())
            .expect("kept");
        assert_eq!(name, "failed/003-index-public.-a-b-c.sql");
        assert!(path.join(name).exists());
        fs::remove_dir_all(path.join("failed")).expect("removed");
        run_dir.remove();
        assert!(!path.exists());
    }

    #[test]
    fn a_later_session_adds_to_the_record_and_begins_on_a_line_of_its_own() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("run");
        let none = RunDir::open_existing(&path).expect_err("nothing there");
        assert_eq!(none.status.code(), 2);
        let first = RunDir::create(&path).expect("created");
        first.keep_failed(41, "x", &failure()).expect("kept");
        let write = |run_dir: &RunDir, text: &str| {
            let mut events = run_dir.open_events().expect("opened");
            events.write_all(text.as_bytes()).expect("written");
        };
        write(&first, "one\ntwo, torn");
        let busy = RunDir::open_existing(&path).expect_err("in use");
        assert!(
            busy.message.contains("is in use by pgconvoy, pid "),
            "{busy}"
        );
        drop(first);
        let second = RunDir::open_existing(&path).expect("free");
        assert_eq!(second.failed_so_far(), 41);
        write(&second, "three\n");
        let record = || fs::read_to_string(path.join(EVENTS)).expect("read");
        assert_eq!(record(), "one\ntwo, torn\nthree\n");
        second.remove();
        assert_eq!(record(), "one\ntwo, torn\n", "as if it had not been");
        let kept = RunDir::create(&path).expect_err("an earlier run is never written over");
        let hint = kept.hint.unwrap_or_default();
        assert!(hint.contains("pgconvoy resume "), "{hint}");
    }

    #[test]
    fn a_plan_is_never_written_over() {
        let dir = tempfile::tempdir().expect("a directory");
        let run_dir = RunDir::create(dir.path()).expect("empty");
        run_dir.write_plan(&[1, 2]).expect("written");
        let schema = Packed::of(b"PGDMP").expect("packed");
        run_dir.write_schema(&schema).expect("written");
        run_dir.write_plan(&[3]).expect("written elsewhere");
        let plan = |name| fs::read_to_string(dir.path().join(name)).expect("is there");
        let squeezed = |text: String| text.split_whitespace().collect::<String>();
        assert_eq!(squeezed(plan("plan.json")), "[1,2]");
        assert_eq!(squeezed(plan("plan-2.json")), "[3]");
        fs::remove_file(dir.path().join("plan-2.json")).expect("removed");
        run_dir.remove();
        let left = fs::read_dir(dir.path()).expect("it was there before");
        assert_eq!(left.count(), 0);
    }
}
