//! Goes through the table: each fault at its moment, then the resumption, then the look at what is left.
//!
//! By default a sample of it, in which each kind of fault and each phase of a run occurs; every moment, and most of the pairs of fault
//! and moment, are left to `make test-faults`.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use pgconvoy::pg::cluster::StopMode;

use crate::case::Case;
use crate::figures::{Figures, whole};
use crate::lab::{Fixture, Lab};
use crate::support::binary::{Finished, Running};
use crate::support::proxy::{Around, Proxy};
use crate::support::server::Server;
use crate::table::{Fault, Row, Side, wanted};

/// How long nothing passes on a frozen road; shorter where time is short.
const FROST: Duration = Duration::from_secs(60);
const SHORT_FROST: Duration = Duration::from_secs(3);
/// Bytes that pass in a second on a slow road, of each connection.
const SLOW: u64 = 200_000;
/// A frozen or slow run needs longer than others.
const LONGEST_RUN: Duration = Duration::from_secs(240);

/// How long a moment may take to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a row came to, before it was resumed.
enum Struck {
    /// Nothing runs any more.
    Stopped,
    /// The run went on, and is proven.
    Survived,
}

impl Row {
    fn crashes_source(&self) -> bool {
        matches!(
            self.fault,
            Fault::Restart {
                side: Side::Source | Side::Both,
                mode: StopMode::Immediate
            }
        )
    }

    fn perform(&self, lab: &mut Lab, figures: &mut Figures) -> Result<(), String> {
        let mut case = Case::new(lab, self.fixture, &self.title, self.before);
        let roads = self.fault.is_on_the_road().then(|| Roads::of(lab));
        if let Some(roads) = &roads {
            case = roads.lead(case);
        }
        let struck = match (&self.fault, &roads) {
            (Fault::CutAtCommit(around), Some(roads)) => self.cut(&case, roads, *around)?,
            (Fault::Terminate { .. } | Fault::Restart { .. }, _) | (_, Some(_)) => {
                self.hold(lab, &case, roads.as_ref())?
            }
            _ => self.kill(lab, &case)?,
        };
        figures.faults += 1;
        if let Some(moment) = &self.then {
            kill_again(&case, moment)?;
            figures.faults += 1;
        }
        match struck {
            Struck::Stopped => drop(case.finish(lab, figures)?),
            Struck::Survived => figures.survived += 1,
        }
        case.look(lab)?;
        case.clean_up(lab);
        Ok(())
    }

    fn kill(&self, lab: &mut Lab, case: &Case) -> Result<Struck, String> {
        let fault = format!("kill@{}", self.moment);
        let run = case.move_it().env("PGCONVOY_FAULT", fault).run();
        if run.status != -1 {
            return Err(case.said("it was not killed: the moment never came", &run));
        }
        match self.fault {
            Fault::KillWithBackends => end_sessions(lab, Side::Target),
            Fault::KillWithSnapshot => end_sessions(lab, Side::Both),
            Fault::KillAndTear => tear(case).map_err(|said| case.said(&said, &run))?,
            _ => {}
        }
        Ok(Struck::Stopped)
    }

    /// All connections to the target end around a COMMIT.
    fn cut(&self, case: &Case, roads: &Roads, around: Around) -> Result<Struck, String> {
        roads.target.cut_at_commit(around, &self.moment);
        let run = case.move_it().run();
        if roads.target.has_cut_at_commit() {
            stopped_or_survived(case, &run)
        } else {
            Err(case.said("it was not cut: the COMMIT never came", &run))
        }
    }

    /// The run waits at its moment while something is done to a server, or to the road.
    fn hold(&self, lab: &mut Lab, case: &Case, roads: Option<&Roads>) -> Result<Struck, String> {
        let run = case.move_it().timeout(LONGEST_RUN);
        let file = run.dir().join("held");
        let run = run
            .env("PGCONVOY_FAULT", format!("hold@{}", self.moment))
            .env("PGCONVOY_FAULT_FILE", &file);
        let mut running = run.start();
        if !comes(&file, &mut running) {
            return Err(case.said("it was not held: the moment never came", &running.finish()));
        }
        let done = match roads {
            None => self.strike(lab),
            Some(roads) => roads.disturb(&self.fault),
        };
        // It goes on when the file is gone.
        fs::remove_file(&file).map_err(|error| case.said_of(&error.to_string()))?;
        if let (Fault::Freeze(side), Some(roads)) = (&self.fault, roads) {
            std::thread::sleep(if whole() { FROST } else { SHORT_FROST });
            roads.on(*side).for_each(Proxy::thaw);
        }
        let run = running.finish();
        done.map_err(|said| case.said(&said, &run))?;
        stopped_or_survived(case, &run)
    }

    fn strike(&self, lab: &mut Lab) -> Result<(), String> {
        match &self.fault {
            Fault::Terminate { name, side } => {
                for server in servers(lab, *side) {
                    let ended = server.psql("postgres", &terminate(name));
                    if ended == "0" {
                        let there = server.psql("postgres", WHO_IS_THERE);
                        return Err(format!("nobody there is {name}, but: {there}"));
                    }
                }
            }
            Fault::Restart { side, mode } => {
                for server in servers(lab, *side) {
                    let restarted = server.cluster.restart(*mode);
                    restarted.map_err(|error| error.to_string())?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn end_sessions(lab: &mut Lab, side: Side) {
    for server in servers(lab, side) {
        server.psql("postgres", &terminate(""));
    }
}

fn servers(lab: &mut Lab, side: Side) -> Vec<&mut Server> {
    match side {
        Side::Source => vec![&mut lab.source],
        Side::Target => vec![&mut lab.target],
        Side::Both => vec![&mut lab.source, &mut lab.target],
    }
}

/// The roads to both servers.
struct Roads {
    source: Proxy,
    target: Proxy,
}

impl Roads {
    fn of(lab: &Lab) -> Self {
        Self {
            source: Proxy::start(lab.source.cluster.port()),
            target: Proxy::start(lab.target.cluster.port()),
        }
    }

    /// Has a case go by them.
    fn lead(&self, case: Case) -> Case {
        let by = |proxy: &Proxy, database: &str| {
            let port = proxy.port();
            format!("host=127.0.0.1 port={port} user=postgres dbname='{database}'")
        };
        let from = by(&self.source, case.fixture.name());
        let to = by(&self.target, &case.database);
        case.by_way_of(from, to)
    }

    fn on(&self, side: Side) -> impl Iterator<Item = &Proxy> {
        let source = (side != Side::Target).then_some(&self.source);
        let target = (side != Side::Source).then_some(&self.target);
        source.into_iter().chain(target)
    }

    fn disturb(&self, fault: &Fault) -> Result<(), String> {
        match fault {
            Fault::Cut(side) => self.on(*side).for_each(Proxy::cut),
            Fault::Freeze(side) => self.on(*side).for_each(Proxy::freeze),
            Fault::Slow(side) => self.on(*side).for_each(|proxy| proxy.slow_down(SLOW)),
            _ => return Err("nothing that is done to a road".to_owned()),
        }
        Ok(())
    }
}

const WHO_IS_THERE: &str = "
    select application_name from pg_catalog.pg_stat_activity where pid <> pg_catalog.pg_backend_pid()";

/// The resumption, too.
fn kill_again(case: &Case, moment: &str) -> Result<(), String> {
    let run = case
        .resume()
        .env("PGCONVOY_FAULT", format!("kill@{moment}"))
        .run();
    if run.status == -1 {
        Ok(())
    } else {
        Err(case.said("the resumption was not killed: the moment never came", &run))
    }
}

/// Ends our sessions by the beginning of their name, and says how many.
fn terminate(name: &str) -> String {
    let pattern = name.replace('\'', "''");
    format!(
        "select count(pg_catalog.pg_terminate_backend(pid)) from pg_catalog.pg_stat_activity
         where application_name like 'pgconvoy:{pattern}%' and pid <> pg_catalog.pg_backend_pid()"
    )
}

/// A run that something was done to: it may be interrupted, or have found a way.
fn stopped_or_survived(case: &Case, run: &Finished) -> Result<Struck, String> {
    match run.status {
        0 => Ok(Struck::Survived),
        5 => Ok(Struck::Stopped),
        _ => Err(case.said("neither proven nor interrupted", run)),
    }
}

/// Waits until a file is there, unless the run ends before.
pub fn comes(file: &Path, running: &mut Running) -> bool {
    let began = Instant::now();
    while !file.exists() {
        if !running.is_running() || began.elapsed() > PATIENCE {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

/// As after a power cut: the last line has no end.
fn tear(case: &Case) -> Result<(), String> {
    let path = case.run_dir.join("events.jsonl");
    let torn =
        fs::read(&path).and_then(|bytes| fs::write(&path, &bytes[..bytes.len().saturating_sub(9)]));
    torn.map_err(|error| format!("{}: {error}", path.display()))
}

/// Every `of`th row, beginning with `number`.
fn every(of: usize, number: usize) {
    // To begin takes as long as some faults do: the selection is done in fewer parts, and the others are ignored.
    let of = if whole() { of } else { 2 };
    let mut rows = wanted();
    rows.retain(|row| !row.crashes_source());
    perform(rows.iter().skip(number).step_by(of).collect());
}

/// On servers of their own: the source of all others keeps its unlogged rows.
#[test]
#[ignore = "none of the selection does: make test-faults"]
fn faults_of_the_table_that_crash_the_source() {
    let mut rows = wanted();
    rows.retain(Row::crashes_source);
    perform(rows.iter().collect());
}

fn perform(mine: Vec<&Row>) {
    if mine.is_empty() {
        return;
    }
    let fixtures = [Fixture::Zoo, Fixture::Mastodon];
    let fixtures = fixtures
        .into_iter()
        .filter(|fixture| mine.iter().any(|row| row.fixture == *fixture));
    let fixtures: Vec<Fixture> = fixtures.collect();
    let Some(mut lab) = Lab::start(&fixtures) else {
        return;
    };
    let mut figures = Figures::default();
    for row in mine {
        let began = Instant::now();
        if let Err(said) = row.perform(&mut lab, &mut figures) {
            println!("not as it should be: {}", row.title);
            // Whatever it left running is not to be held against the next one.
            for server in servers(&mut lab, Side::Both) {
                server.psql("postgres", &terminate(""));
            }
            figures.failures.push(format!("== {}\n{said}", row.phase));
        }
        println!("{:?} {}", began.elapsed(), row.title);
    }
    figures.conclude();
}

macro_rules! shards {
    ($($(#[$ignored:meta])? $test:ident: $number:literal of $of:literal;)*) => {
        $(#[test]
        $(#[$ignored])?
        fn $test() {
            every($of, $number);
        })*
    };
}

// As many parts as keep each below the time that one test may take.
shards! {
    faults_of_the_table_0: 0 of 20;
    faults_of_the_table_1: 1 of 20;
    #[ignore = "make test-faults"]
    faults_of_the_table_2: 2 of 20;
    #[ignore = "make test-faults"]
    faults_of_the_table_3: 3 of 20;
    #[ignore = "make test-faults"]
    faults_of_the_table_4: 4 of 20;
    #[ignore = "make test-faults"]
    faults_of_the_table_5: 5 of 20;
    #[ignore = "make test-faults"]
    faults_of_the_table_6: 6 of 20;
    #[ignore = "make test-faults"]
    faults_of_the_table_7: 7 of 20;
    #[ignore = "make test-faults"]
    faults_of_the_table_8: 8 of 20;
    #[ignore = "make test-faults"]
    faults_of_the_table_9: 9 of 20;
    #[ignore = "make test-faults"]
    faults_of_the_table_10: 10 of 20;
    #[ignore = "make test-faults"]
    faults_of_the_table_11: 11 of 20;
    #[ignore = "make test-faults"]
    faults_of_the_table_12: 12 of 20;
    #[ignore = "make test-faults"]
    faults_of_the_table_13: 13 of 20;
    #[ignore = "make test-faults"]
    faults_of_the_table_14: 14 of 20;
    #[ignore = "make test-faults"]
    faults_of_the_table_15: 15 of 20;
    #[ignore = "make test-faults"]
    faults_of_the_table_16: 16 of 20;
    #[ignore = "make test-faults"]
    faults_of_the_table_17: 17 of 20;
    #[ignore = "make test-faults"]
    faults_of_the_table_18: 18 of 20;
    #[ignore = "make test-faults"]
    faults_of_the_table_19: 19 of 20;
}
