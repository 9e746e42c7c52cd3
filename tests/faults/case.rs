//! One move with its resumptions, and the look at what is left of them.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::figures::{Figures, kept};
use crate::lab::{Fixture, Lab, SMALL_CHUNKS, entries};
use crate::support::binary::{Finished, Pgconvoy};
use crate::support::moving::{Untouched, independent_check};

/// Is in the environment of every process of a case, and of those that it leaves behind.
const TAG: &str = "PGCONVOY_TEST_CASE";

/// How often a run may be interrupted before we no longer believe that it ever ends.
const RESUMPTIONS: u32 = 5;

/// How long what is ending may take to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// The target database, before the move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// Is there, and empty.
    Empty,
    /// Is not there.
    Missing,
    /// Holds something, and is to be emptied.
    Full,
}

/// A move.
pub struct Case {
    /// What is moved.
    pub fixture: Fixture,
    /// The target's database.
    pub database: String,
    /// The run directory; another one if the run was begun anew.
    pub run_dir: PathBuf,
    /// What happens to it, for a person.
    title: String,
    from: String,
    to: String,
    more: Vec<String>,
    /// What the independent check is to pass over.
    passed_over: &'static [&'static str],
    before: Before,
    tag: String,
}

impl Case {
    /// A case to be; its target database is made as `before` says.
    pub fn new(lab: &mut Lab, fixture: Fixture, title: &str, before: Before) -> Self {
        let number = lab.next_number();
        let database = format!("case {number}");
        let tag = format!("{}-{number}", std::process::id());
        let mut more: Vec<String> = SMALL_CHUNKS.map(str::to_owned).to_vec();
        match before {
            Before::Empty => drop(lab.target.database(&database)),
            Before::Missing => more.push("--create".to_owned()),
            Before::Full => {
                lab.target.database(&database);
                lab.target.psql(&database, FULL);
                more.extend(["--overwrite".to_owned(), database.clone()]);
            }
        }
        Self {
            from: lab.from(fixture),
            to: lab.to(&database),
            run_dir: kept().join(&tag),
            title: title.to_owned(),
            fixture,
            database,
            more,
            passed_over: &[],
            before,
            tag,
        }
    }

    /// The same by another road, such as a proxy's.
    #[must_use]
    pub fn by_way_of(mut self, from: String, to: String) -> Self {
        (self.from, self.to) = (from, to);
        self
    }

    /// The same by ordinary roles, without owners and grants.
    #[must_use]
    pub fn by_roles(mut self, source: &str, target: &str) -> Self {
        let from = format!("{} user={source}", self.from);
        let to = format!("{} user={target}", self.to);
        self.passed_over = &["--no-owner", "--no-acl"];
        self.by_way_of(from, to).with(&["--no-owner", "-x"])
    }

    /// The same with further arguments of the move.
    #[must_use]
    pub fn with(mut self, more: &[&str]) -> Self {
        self.more.extend(more.iter().map(|&one| one.to_owned()));
        self
    }

    /// The move.
    pub fn move_it(&self) -> Pgconvoy {
        fs::create_dir_all(kept()).expect("a directory for what is kept");
        let run_dir = self.run_dir.display().to_string();
        let fixed = ["move", "--source", &self.from, "--target", &self.to];
        let fixed = fixed.iter().copied().chain(["--run-dir", &run_dir]);
        let arguments = fixed.chain(self.more.iter().map(String::as_str));
        self.tagged(Pgconvoy::new(arguments))
    }

    /// A run whose processes are known to be of this case.
    pub fn tagged(&self, run: Pgconvoy) -> Pgconvoy {
        run.env(TAG, &self.tag)
    }

    /// Its resumption.
    pub fn resume(&self) -> Pgconvoy {
        self.tagged(Pgconvoy::new([
            "resume".into(),
            self.run_dir.clone().into_os_string(),
        ]))
    }

    /// Resumes until the run is proven, or until nothing more is to be hoped for.
    pub fn finish(&mut self, lab: &Lab, figures: &mut Figures) -> Result<Finished, String> {
        let mut again = self.resume();
        for _ in 0..RESUMPTIONS {
            let run = again.run();
            match run.status {
                0 => {
                    figures.resumed += 1;
                    return Ok(run);
                }
                5 => {
                    figures.resumed += 1;
                    again = self.resume();
                }
                // There was nothing to go on with: then nothing may have happened either.
                2 => {
                    self.is_as_before(lab)
                        .map_err(|said| self.said(&said, &run))?;
                    figures.anew += 1;
                    self.run_dir.set_extension("anew");
                    again = self.move_it();
                }
                _ => return Err(self.said("it is not proven after it was resumed", &run)),
            }
        }
        Err(self.said_of("it was interrupted again and again"))
    }

    /// A run that had touched nothing.
    fn is_as_before(&self, lab: &Lab) -> Result<(), String> {
        let sql = format!(
            "select count(*) from pg_catalog.pg_database where datname = '{}'",
            self.database
        );
        let is_there = lab.target.psql("postgres", &sql) == "1";
        if is_there != (self.before != Before::Missing) {
            return Err("it can't be resumed, although it made the database".to_owned());
        }
        if !is_there {
            return Ok(());
        }
        let holds = lab.target.psql(
            &self.database,
            "select count(*) from pg_catalog.pg_class where relnamespace >= 16384 or relnamespace = 'public'::regnamespace",
        );
        if holds
            == if self.before == Before::Full {
                FULL_HOLDS
            } else {
                "0"
            }
        {
            Ok(())
        } else {
            Err(format!(
                "it can't be resumed, although the target has been changed: it holds {holds} relations"
            ))
        }
    }

    /// Looks at everything that a proven move must have left behind, and must not.
    pub fn look(&self, lab: &Lab) -> Result<(), String> {
        self.look_at_source(lab)?;
        let said = |what: String| self.said_of(&what);
        self.look_at_target(lab).map_err(said)?;
        self.nobody_is_left(lab).map_err(said)
    }

    fn look_at_source(&self, lab: &Lab) -> Result<(), String> {
        let now = Untouched::of(&lab.source, self.fixture.name());
        if now == lab.reference(self.fixture).untouched {
            Ok(())
        } else {
            Err(self.said_of("the source is not as it was"))
        }
    }

    /// Content, schema and statistics; then that nothing of ours is there.
    fn look_at_target(&self, lab: &Lab) -> Result<(), String> {
        let reference = lab.reference(self.fixture);
        let mut dump = String::new();
        // The source is as it was: what was read of it then is still true.
        self.is_equal_by(lab, |from, to| {
            let (said, target) = reference.read.check_and_dump(from, to);
            dump = target;
            said
        })?;
        same_lines("the schema", &reference.schema, &entries(&dump))?;
        let statistics = lab.statistics(&self.database);
        same_lines("planner statistics", &reference.statistics, &statistics)
    }

    /// Said to be proven, and equal; and nothing of ours is there.
    pub fn is_equal(&self, lab: &Lab) -> Result<(), String> {
        self.is_equal_by(lab, |from, to| {
            independent_check(from, to, self.passed_over)
        })
    }

    fn is_equal_by(
        &self,
        lab: &Lab,
        check: impl FnOnce(&str, &str) -> (bool, String),
    ) -> Result<(), String> {
        self.proven()?;
        let from = lab.source.conninfo(self.fixture.name());
        let to = lab.target.conninfo(&self.database);
        let (equal, said) = check(&from, &to);
        if !equal {
            return Err(format!("source and target differ: {said}"));
        }
        let left = lab.target.psql(&self.database, LEFT_BEHIND);
        if left.is_empty() {
            Ok(())
        } else {
            Err(format!("left behind on the target: {left}"))
        }
    }

    /// Nobody works for it any more, anywhere.
    pub fn nobody_is_left(&self, lab: &Lab) -> Result<(), String> {
        for (side, server) in [("source", &lab.source), ("target", &lab.target)] {
            until_none_is_left(|| server.psql("postgres", SESSIONS))
                .map_err(|left| format!("sessions on the {side}: {left}"))?;
        }
        until_none_is_left(|| processes(&self.tag)).map_err(|left| format!("processes: {left}"))
    }

    /// Whether the report says so.
    fn proven(&self) -> Result<(), String> {
        let path = self.run_dir.join("report.json");
        let text = fs::read_to_string(&path).map_err(|error| format!("no report: {error}"))?;
        let report: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        if report["status"] == "proven" {
            Ok(())
        } else {
            Err(format!("the report says {}", report["status"]))
        }
    }

    /// Removes what is kept of a case that went well.
    pub fn clean_up(self, lab: &Lab) {
        let sql = format!("drop database \"{}\" with (force)", self.database);
        lab.target.psql("postgres", &sql);
        self.forget();
    }

    /// Removes the run directories.
    pub fn forget(mut self) {
        // Best effort: what stays behind does no harm.
        let _ = fs::remove_dir_all(&self.run_dir);
        self.run_dir.set_extension("");
        let _ = fs::remove_dir_all(&self.run_dir);
    }

    /// What is wrong, with the run that shows it.
    pub fn said(&self, what: &str, run: &Finished) -> String {
        // A statement may be as long as a schema.
        let cut = |line: &str| line.chars().take(300).collect::<String>();
        let mut tail: Vec<String> = run.stderr.lines().rev().take(40).map(cut).collect();
        tail.reverse();
        format!(
            "{}\n{}\nended with status {}\n--- the end of stderr\n{}",
            self.said_of(what),
            run.command(),
            run.status,
            tail.join("\n")
        )
    }

    /// What is wrong.
    pub fn said_of(&self, what: &str) -> String {
        format!("# {}\n{what}\nkept: {}", self.title, self.run_dir.display())
    }
}

/// More objects than are dropped in one transaction.
const FULL: &str = "do $$ begin
        for i in 1 .. 130 loop execute format('create table old%s (id int primary key)', i); end loop;
        for i in 1 .. 130 loop execute format('select lo_from_bytea(%s, %L)', 50000 + i, 'old'); end loop;
    end $$";
/// Tables and their keys.
const FULL_HOLDS: &str = "260";

/// One line for each thing that no finished move leaves behind.
const LEFT_BEHIND: &str = "
    select 'schema ' || nspname from pg_catalog.pg_namespace where nspname like 'pgconvoy%'
    union all
    select 'temporary ' || relname from pg_catalog.pg_class where relpersistence = 't'
    union all
    select 'invalid index ' || indexrelid::regclass from pg_catalog.pg_index i
    join pg_catalog.pg_class c on c.oid = indexrelid
    where not (indisvalid and indisready and indislive) and c.relkind = 'i'
    union all
    select 'prepared transaction ' || gid from pg_catalog.pg_prepared_xacts
    union all
    select 'advisory lock ' || pid from pg_catalog.pg_locks where locktype = 'advisory'";

/// Sessions that are not the question's own.
const SESSIONS: &str = "
    select pid, application_name, state, query from pg_catalog.pg_stat_activity
    where backend_type = 'client backend' and pid <> pg_catalog.pg_backend_pid()";

/// What is ending is given a moment.
fn until_none_is_left(look: impl Fn() -> String) -> Result<(), String> {
    let began = Instant::now();
    loop {
        let left = look();
        if left.is_empty() {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            return Err(left);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Processes that were started by a run of a case, one a line.
fn processes(tag: &str) -> String {
    let tag = format!("{TAG}={tag}\0");
    let is_of_case = |dir: &PathBuf| {
        let environment = fs::read(dir.join("environ")).unwrap_or_default();
        environment
            .windows(tag.len())
            .any(|at| at == tag.as_bytes())
    };
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ours = all.map(|entry| entry.path()).filter(is_of_case);
    let shown = ours.map(|dir| {
        let command = fs::read(dir.join("cmdline")).unwrap_or_default();
        let command = String::from_utf8_lossy(&command).replace('\0', " ");
        format!("{}: {command}", dir.display())
    });
    shown.collect::<Vec<_>>().join("\n")
}

fn same_lines(what: &str, expected: &str, found: &str) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    let only = |these: &str, those: &str, sign: char| -> Vec<String> {
        let those: std::collections::HashSet<&str> = those.lines().collect();
        let lines = these.lines().filter(|line| !those.contains(line));
        lines.map(|line| format!("{sign} {line}")).collect()
    };
    let lines = [only(expected, found, '-'), only(found, expected, '+')].concat();
    Err(format!(
        "{what} is not that of an undisturbed move:\n{}",
        lines.join("\n")
    ))
}
