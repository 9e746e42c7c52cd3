//! Without the run directory, after the source has changed, two at a time.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use pgconvoy::pg::cluster::StopMode;

use crate::case::{Before, Case};
use crate::figures::Figures;
use crate::lab::{Fixture, Lab};
use crate::matrix::comes;
use crate::support::binary::{Finished, Pgconvoy};

/// All is copied, and not all is built.
const LATE: &str = "kill@job-started[validate foreign key]";

fn killed(case: &Case, fault: &str) {
    let run = case.move_it().env("PGCONVOY_FAULT", fault).run();
    assert_eq!(run.status, -1, "{run}");
}

/// The run directory that a run has made where it was started.
fn its_own_run_dir(run: &Finished) -> PathBuf {
    let entries = fs::read_dir(run.path(".")).expect("it ran somewhere");
    let names = entries.flatten().map(|entry| entry.path());
    let is_one = |path: &PathBuf| path.join("events.jsonl").exists();
    let found: Vec<PathBuf> = names.filter(is_one).collect();
    let [one] = found.as_slice() else {
        panic!("run directories: {found:?}\n{run}");
    };
    one.clone()
}

#[track_caller]
fn assert_looks_well(case: &Case, lab: &Lab, run: &Finished) {
    case.look(lab)
        .unwrap_or_else(|said| panic!("{said}\n{run}"));
}

/// Another machine has nothing but the names of both servers, or of the target alone.
#[test]
fn faults_that_take_the_run_directory_along() {
    let Some(mut lab) = Lab::start(&[Fixture::Mastodon]) else {
        return;
    };
    let mut figures = Figures::default();
    for (fault, names_source) in [
        ("kill@announced", true),
        ("kill@chunk-committed:4", false),
        (LATE, true),
        ("kill@report-kept", false),
    ] {
        let title = format!("{fault}, and no run directory");
        let mut case = Case::new(&mut lab, Fixture::Mastodon, &title, Before::Empty);
        killed(&case, fault);
        fs::remove_dir_all(&case.run_dir).expect("it had a run directory");
        let (from, to) = (lab.from(case.fixture), lab.to(&case.database));
        let mut arguments = vec!["resume", "--target", &to];
        if names_source {
            arguments.extend(["--source", &from]);
        }
        let run = case.tagged(Pgconvoy::new(arguments)).run();
        assert_eq!(run.status, 0, "{}", case.said(&title, &run));
        case.run_dir = its_own_run_dir(&run);
        assert_looks_well(&case, &lab, &run);
        case.clean_up(&lab);
        figures.faults += 1;
        figures.resumed += 1;
    }
    figures.conclude();
}

/// Rows that were ever inserted into each table, and the file that they are in.
fn loads(lab: &Lab, database: &str) -> BTreeMap<String, String> {
    let said = lab.target.psql(
        database,
        "select c.relname, s.n_tup_ins, pg_catalog.pg_relation_filenode(c.oid)
         from pg_catalog.pg_class c join pg_catalog.pg_stat_all_tables s on s.relid = c.oid
         where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace",
    );
    let lines = said.lines().filter_map(|line| line.split_once('|'));
    lines
        .map(|(table, loads)| (table.to_owned(), loads.to_owned()))
        .collect()
}

/// The supervisor and whoever holds the snapshot are gone.
fn without_snapshot(lab: &Lab, case: &Case, fault: &str) {
    killed(case, fault);
    for server in [&lab.source, &lab.target] {
        server.psql(
            "postgres",
            "select pg_catalog.pg_terminate_backend(pid) from pg_catalog.pg_stat_activity
             where backend_type = 'client backend' and pid <> pg_catalog.pg_backend_pid()",
        );
    }
    case.nobody_is_left(lab)
        .unwrap_or_else(|said| panic!("{said}"));
}

const WRITES: &str = "
    update statuses set text = text || ' (edited)' where id in (select id from statuses order by id limit 3);
    delete from mentions where id in (select id from mentions order by id desc limit 2);
    insert into conversations (id, uri, created_at, updated_at)
        select max(id) + 1, 'tag:new:' || max(id), now(), now() from conversations;
    select nextval('conversations_id_seq');
";
const WRITTEN: [&str; 3] = ["conversations", "mentions", "statuses"];

#[test]
fn faults_after_which_the_source_is_written_to() {
    let Some(mut lab) = Lab::bare(&[Fixture::Mastodon]) else {
        return;
    };
    let mut figures = Figures::default();
    let title = "the source is written to before the resumption";
    let case = Case::new(&mut lab, Fixture::Mastodon, title, Before::Empty);
    without_snapshot(&lab, &case, LATE);
    lab.source.psql("mastodon", WRITES);
    let before = loads(&lab, &case.database);
    let run = case.resume().run();
    assert_eq!(run.status, 0, "{}", case.said(title, &run));
    let well = case.is_equal(&lab).and_then(|()| case.nobody_is_left(&lab));
    well.unwrap_or_else(|said| panic!("{said}\n{run}"));
    let after = loads(&lab, &case.database);
    let again: Vec<&str> = before
        .iter()
        .filter(|(table, loads)| after.get(*table) != Some(loads))
        .map(|(table, _)| table.as_str())
        .collect();
    assert_eq!(again, WRITTEN, "copied again, of {}: {run}", before.len());
    println!("{} tables stayed", before.len() - again.len());
    case.clean_up(&lab);
    figures.faults += 1;
    figures.resumed += 1;
    figures.conclude();
}

#[test]
fn faults_after_which_the_schema_is_another() {
    let Some(mut lab) = Lab::bare(&[Fixture::Mastodon]) else {
        return;
    };
    let mut figures = Figures::default();
    let title = "the source's schema is changed before the resumption";
    let case = Case::new(&mut lab, Fixture::Mastodon, title, Before::Empty);
    without_snapshot(&lab, &case, LATE);
    let add = "alter table polls add column added_meanwhile int";
    lab.source.psql("mastodon", add);
    let run = case.resume().run();
    assert!(matches!(run.status, 1 | 2 | 4), "{run}");
    assert!(run.stderr.contains("polls"), "{run}");
    let undo = "alter table polls drop column added_meanwhile";
    lab.source.psql("mastodon", undo);
    let run = case.resume().run();
    // A dropped column leaves no trace in a schema dump: there is nothing in the way any more.
    assert_eq!(run.status, 0, "{}", case.said(title, &run));
    case.is_equal(&lab).unwrap_or_else(|said| panic!("{said}"));
    case.clean_up(&lab);
    figures.faults += 1;
    figures.resumed += 1;
    figures.conclude();
}

/// What an unlogged table held is gone after a crash: without a transaction, and on the source as well.
#[test]
fn faults_after_which_unlogged_rows_of_the_source_are_gone() {
    let Some(mut lab) = Lab::bare(&[Fixture::Zoo]) else {
        return;
    };
    let mut figures = Figures::default();
    let title = "the source crashes after its unlogged tables were copied";
    let mut case = Case::new(&mut lab, Fixture::Zoo, title, Before::Empty);
    killed(&case, "kill@jobs-done");
    assert_eq!(
        lab.source.psql("zoo", "select count(*) from zoo.unlogged"),
        "30"
    );
    let restarted = lab.source.cluster.restart(StopMode::Immediate);
    restarted.expect("the source can be restarted");
    assert_eq!(
        lab.source.psql("zoo", "select count(*) from zoo.unlogged"),
        "0"
    );
    figures.faults += 1;
    let run = case.finish(&lab, &mut figures);
    let run = run.unwrap_or_else(|said| panic!("{said}"));
    let well = case.is_equal(&lab).and_then(|()| case.nobody_is_left(&lab));
    well.unwrap_or_else(|said| panic!("{said}\n{run}"));
    case.clean_up(&lab);
    figures.conclude();
}

/// Who is no superuser cannot switch triggers off for a session, and owns no event trigger.
#[test]
fn faults_of_ordinary_roles() {
    let Some(mut lab) = Lab::bare(&[Fixture::Mastodon]) else {
        return;
    };
    let reader = "create role reader login; grant pg_read_all_data to reader";
    lab.source.psql("postgres", reader);
    lab.target.psql("postgres", "create role owner login");
    let mut figures = Figures::default();
    for (fault, snapshot_is_lost) in [
        ("kill@copy-uncommitted[statuses 2/]", false),
        ("kill@chunk-committed:7", true),
        (LATE, false),
        (LATE, true),
        ("kill@report-kept", true),
    ] {
        let title = format!("{fault} by ordinary roles");
        let case = Case::new(&mut lab, Fixture::Mastodon, &title, Before::Empty);
        let give = format!("alter database \"{}\" owner to owner", case.database);
        lab.target.psql("postgres", &give);
        let mut case = case.by_roles("reader", "owner");
        if snapshot_is_lost {
            without_snapshot(&lab, &case, fault);
            lab.source.psql("mastodon", WRITES);
        } else {
            killed(&case, fault);
        }
        figures.faults += 1;
        let run = case.finish(&lab, &mut figures);
        let run = run.unwrap_or_else(|said| panic!("{said}"));
        let well = case.is_equal(&lab).and_then(|()| case.nobody_is_left(&lab));
        well.unwrap_or_else(|said| panic!("{title}: {said}\n{run}"));
        case.clean_up(&lab);
    }
    figures.conclude();
}

#[test]
fn faults_of_servers_that_stay_away() {
    let Some(mut lab) = Lab::start(&[Fixture::Mastodon]) else {
        return;
    };
    let mut figures = Figures::default();
    for (side, mode) in [("target", StopMode::Immediate), ("source", StopMode::Fast)] {
        let title = format!("the {side} goes away, and comes back after the run has given up");
        let case = Case::new(&mut lab, Fixture::Mastodon, &title, Before::Empty);
        let mut case = case.with(&["--max-retries", "2"]);
        let run = case.move_it();
        let file = run.dir().join("held");
        let run = run
            .env("PGCONVOY_FAULT", "hold@chunk-ended:4")
            .env("PGCONVOY_FAULT_FILE", &file);
        let mut running = run.start();
        assert!(comes(&file, &mut running), "{}", running.finish());
        let server = if side == "target" {
            &mut lab.target
        } else {
            &mut lab.source
        };
        server.cluster.stop(mode).expect("it can be stopped");
        remove(&file);
        let run = running.finish();
        assert_eq!(run.status, 5, "{}", case.said(&title, &run));
        let last = run.stderr.lines().last().unwrap_or_default();
        assert!(last.contains("pgconvoy resume "), "{run}");
        let still = case.resume().run();
        assert_eq!(still.status, 2, "{}", case.said(&title, &still));
        assert!(
            still.stderr.contains("what earlier ones committed stays"),
            "{still}"
        );
        let last = still.stderr.lines().last().unwrap_or_default();
        assert!(last.contains("pgconvoy resume "), "{still}");
        let server = if side == "target" {
            &mut lab.target
        } else {
            &mut lab.source
        };
        server.cluster.resume().expect("it can be started");
        figures.faults += 1;
        let run = case.finish(&lab, &mut figures);
        let run = run.unwrap_or_else(|said| panic!("{said}"));
        assert_looks_well(&case, &lab, &run);
        case.clean_up(&lab);
    }
    figures.conclude();
}

fn assert_refused(run: &Finished, words: &str) {
    assert!(matches!(run.status, 1 | 2 | 4), "{run}");
    assert!(run.stderr.contains(words), "{words}: {run}");
}

#[test]
fn faults_of_those_who_start_two_at_a_time() {
    let Some(mut lab) = Lab::start(&[Fixture::Mastodon]) else {
        return;
    };
    let title = "two at a time";
    let case = Case::new(&mut lab, Fixture::Mastodon, title, Before::Empty);
    let run = case.move_it();
    let file = run.dir().join("held");
    let run = run
        .env("PGCONVOY_FAULT", "hold@chunk-ended:4")
        .env("PGCONVOY_FAULT_FILE", &file);
    let mut running = run.start();
    assert!(comes(&file, &mut running), "{}", running.finish());

    // Each of them waits for a while: they do so together.
    let (from, to) = (lab.from(case.fixture), lab.to(&case.database));
    let both = ["move", "--source", &from, "--target", &to];
    let emptied = ["--overwrite", &case.database];
    let run_dir = case.run_dir.display().to_string();
    let others = [
        (Pgconvoy::new(both), &case.database),
        (Pgconvoy::new(both.iter().chain(&emptied)), &case.database),
        (case.resume(), &run_dir),
        (
            Pgconvoy::new(["resume", "--source", &from, "--target", &to]),
            &case.database,
        ),
    ];
    let others = others.map(|(run, words)| (run.start(), words));
    for (run, words) in others {
        assert_refused(&run.finish(), words);
    }

    remove(&file);
    let run = running.finish();
    assert_eq!(run.status, 0, "{run}");
    assert_looks_well(&case, &lab, &run);

    // What is finished is left alone.
    let again = case.resume().run();
    assert_eq!(again.status, 0, "{again}");
    assert_looks_well(&case, &lab, &again);
    case.clean_up(&lab);
}

fn remove(file: &Path) {
    fs::remove_file(file).expect("it is held");
}
