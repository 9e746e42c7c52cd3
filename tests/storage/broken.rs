//! Uploads that break off: there is no archive, and the run goes on to one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use pgconvoy::pg::cluster::StopMode;

use crate::store::{Store, address, assert_no_secret};
use crate::support::binary::{Finished, Pgconvoy, Running};
use crate::support::moving::{RUN_DIR, report};
use crate::support::server::Server;
use crate::whole::{assert_no_copy, dump, mixed};

fn start(source: &Server, store: &Store, prefix: &str) -> Running {
    let run = dump(source, prefix, &["-Z", "none", "-j2"]);
    // Its pauses are a fortieth of what they are.
    let run = run.env("PGCONVOY_FAULT", "hasty-store");
    Store::tell(run, store.port()).start()
}

/// Until something is finished, and an upload of several parts is on its way.
fn wait_for_the_middle(run: &mut Running, store: &Store) {
    let journal = run.dir().join(RUN_DIR).join("archive.journal");
    let lines = |path: &Path| fs::read_to_string(path).map_or(0, |text| text.lines().count());
    let is_part = |path: &std::path::PathBuf| path.display().to_string().contains(".part-");
    while run.is_running() && (lines(&journal) < 2 || !store.of_uploads().iter().any(is_part)) {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(run.is_running(), "it was over before it could be broken");
}

fn resume(run: &Finished, store: &Store) -> Finished {
    let resumed = Pgconvoy::new(["resume".as_ref(), run.path(RUN_DIR).as_os_str()]);
    let resumed = Store::tell(resumed, store.port()).run();
    assert_no_secret(&resumed);
    resumed
}

/// It is whole, and nothing is left of what was begun before.
fn assert_whole(store: &Store, prefix: &str) {
    assert_eq!(store.of_uploads(), Vec::<std::path::PathBuf>::new());
    let objects = store.objects(prefix);
    assert!(!objects.join("pgconvoy.unfinished.json").exists());
    let archive = address(prefix);
    let intact = store.run(["verify", "--archive", &archive]);
    assert_eq!(intact.status, 0, "{intact}");
}

fn assert_holds(store: &Store, prefix: &str, source: &Server) {
    let (archive, source) = (address(prefix), source.conninfo("mixed"));
    let same = store.run(["verify", "--archive", &archive, "--source", &source]);
    assert_eq!(same.status, 0, "{same}");
}

#[test]
fn an_upload_that_breaks_off_is_gone_on_with() {
    let Some(source) = mixed() else { return };
    let store = Store::start();
    // The store goes away, and with it what was to be given up.
    let mut run = start(&source, &store, "broken");
    wait_for_the_middle(&mut run, &store);
    store.go_away();
    let broken = run.finish();
    assert_no_secret(&broken);
    assert_eq!(broken.status, 5, "{broken}");
    assert!(broken.stderr.contains("cannot be reached"), "{broken}");
    assert!(broken.stderr.contains("pgconvoy resume"), "{broken}");
    assert_no_copy(&broken);
    let objects = store.objects("broken");
    assert!(!objects.join("pgconvoy.manifest.json").exists());
    store.come_back();
    assert!(!store.of_uploads().is_empty(), "nothing was on its way");
    let whole = resume(&broken, &store);
    assert_eq!(whole.status, 0, "{whole}");
    assert!(whole.stderr.contains("are intact and stay"), "{whole}");
    assert_whole(&store, "broken");
    assert_holds(&store, "broken", &source);
    let over = resume(&broken, &store);
    assert_eq!(over.status, 0, "{over}");
    assert!(over.stderr.contains("nothing to resume"), "{over}");

    // Killed, and nobody there who could give up anything; in the meantime the place is nobody else's.
    let mut run = start(&source, &store, "killed");
    wait_for_the_middle(&mut run, &store);
    run.kill();
    let killed = run.finish();
    assert!(
        !store
            .objects("killed")
            .join("pgconvoy.manifest.json")
            .exists()
    );
    let other = Store::tell(dump(&source, "killed", &[]), store.port()).run();
    assert_eq!(other.status, 2, "{other}");
    assert!(other.stderr.contains("exists already"), "{other}");
    let mark = store.objects("killed").join("pgconvoy.unfinished.json");
    let ours = fs::read(&mark).expect("a mark");
    fs::write(&mark, r#"{"run":"/another"}"#).expect("written");
    let refused = resume(&killed, &store);
    assert_eq!(refused.status, 2, "{refused}");
    assert!(
        refused.stderr.contains("belongs to another dump"),
        "{refused}"
    );
    fs::write(&mark, ours).expect("written");
    // What is finished and was changed is not kept.
    let journal = fs::read_to_string(killed.path(RUN_DIR).join("archive.journal")).expect("read");
    let line = journal.lines().nth(1).expect("something is finished");
    let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
    let file = line["facts"]["file"]
        .as_str()
        .or(line["facts"][0]["file"].as_str());
    let path = store.objects("killed").join(file.expect("a name"));
    let mut bytes = fs::read(&path).expect("read");
    if let Some(first) = bytes.first_mut() {
        *first ^= 1;
    }
    fs::write(&path, bytes).expect("written");
    let whole = resume(&killed, &store);
    assert_eq!(whole.status, 0, "{whole}");
    assert_whole(&store, "killed");

    // Its snapshot gone as well: it begins anew, in the same place.
    let mut run = start(&source, &store, "anew");
    wait_for_the_middle(&mut run, &store);
    run.kill();
    let killed = run.finish();
    source.psql(
        "mixed",
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'pgconvoy:keeper'",
    );
    let anew = resume(&killed, &store);
    assert_eq!(anew.status, 0, "{anew}");
    assert!(anew.stderr.contains("the dump begins again"), "{anew}");
    assert_whole(&store, "anew");
    assert_holds(&store, "anew", &source);
}

/// The store takes everything but the manifest. When it takes that as well, nothing is sent again, and the source may be gone.
#[test]
fn what_lacks_its_manifest_alone_is_finished_without_the_source() {
    let Some(mut source) = mixed() else { return };
    let store = Store::start();
    store.take_manifests(false);
    let run = dump(&source, "whole", &["-Z", "none", "-j2"]);
    let broken = Store::tell(run, store.port()).run();
    assert_no_secret(&broken);
    assert_eq!(broken.status, 5, "{broken}");
    assert!(broken.stderr.contains("pgconvoy resume"), "{broken}");
    let objects = store.objects("whole");
    let written = || -> BTreeMap<String, SystemTime> {
        let entries = fs::read_dir(&objects).expect("a directory");
        let entries = entries.map(|entry| entry.expect("an entry"));
        let named = entries.map(|entry| {
            let at = entry.metadata().expect("there").modified();
            (
                entry.file_name().to_string_lossy().into_owned(),
                at.expect("a time"),
            )
        });
        named
            .filter(|(name, _)| !name.starts_with("pgconvoy."))
            .collect()
    };
    let before = written();
    assert!(before.contains_key("toc.dat"), "{before:?}");
    let stopped = source.cluster.stop(StopMode::Fast);
    stopped.expect("nobody holds a snapshot");
    store.take_manifests(true);
    let whole = resume(&broken, &store);
    assert_eq!(whole.status, 0, "{whole}");
    assert!(
        whole.stderr.contains("is finished without the source"),
        "{whole}"
    );
    assert_eq!(written(), before);
    assert_eq!(report(&broken)["status"], "proven", "{whole}");
    assert_whole(&store, "whole");
}

/// A rule of the bucket, or whoever clears up there, may take away what was looked at when it was complete.
#[test]
fn what_is_lost_before_the_manifest_is_named_and_dumped_again() {
    let Some(source) = mixed() else { return };
    let store = Store::start();
    store.loses("lost", ".dat");
    let run = dump(&source, "lost", &["-Z", "none", "-j2"]);
    let lost = Store::tell(run, store.port()).run();
    assert_no_secret(&lost);
    assert_eq!(lost.status, 1, "{lost}");
    for words in [
        "has lost some of what was written",
        "wide",
        "it is missing",
        "pgconvoy resume",
    ] {
        assert!(lost.stderr.contains(words), "{words}: {lost}");
    }
    let objects = store.objects("lost");
    assert!(!objects.join("pgconvoy.manifest.json").exists(), "{lost}");
    let whole = resume(&lost, &store);
    assert_eq!(whole.status, 0, "{whole}");
    assert!(whole.stderr.contains("are intact and stay"), "{whole}");
    assert_whole(&store, "lost");
    assert_holds(&store, "lost", &source);
}

/// Nobody can tell any more whose objects these are: the run does not go on, and says what does.
#[test]
fn a_mark_that_is_lost_is_no_archive_that_exists_already() {
    let Some(source) = mixed() else { return };
    let store = Store::start();
    store.loses("mark", "pgconvoy.unfinished.json");
    let run = dump(&source, "mark", &["-Z", "none", "-t", "other"]);
    let lost = Store::tell(run, store.port()).run();
    assert_no_secret(&lost);
    assert_eq!(lost.status, 1, "{lost}");
    for words in ["pgconvoy.unfinished.json", "is gone", "dump again"] {
        assert!(lost.stderr.contains(words), "{words}: {lost}");
    }
    for words in ["exists already", "Not started", "pgconvoy resume"] {
        assert!(!lost.stderr.contains(words), "{words}: {lost}");
    }
    let objects = store.objects("mark");
    assert!(!objects.join("pgconvoy.manifest.json").exists(), "{lost}");
    let refused = resume(&lost, &store);
    assert_eq!(refused.status, 2, "{refused}");
    let words = "the file that says whose it is has been removed";
    assert!(refused.stderr.contains(words), "{refused}");
}

/// Which requests were sent again is said once, and counted.
#[test]
fn a_store_that_is_busy_is_asked_again_and_that_is_said() {
    let Some(source) = mixed() else { return };
    let store = Store::start();
    store.is_busy_for(4);
    let run = dump(&source, "busy", &["-Z", "none", "-j2"]);
    let run = run.env("PGCONVOY_FAULT", "hasty-store");
    let run = Store::tell(run, store.port()).run();
    assert_no_secret(&run);
    assert_eq!(run.status, 0, "{run}");
    for words in [
        "s3://backups did not answer 1 request as it should, and is asked again",
        "503",
    ] {
        assert!(run.stderr.contains(words), "{words}: {run}");
    }
    let events = fs::read_to_string(run.path(RUN_DIR).join("events.jsonl")).expect("kept");
    let told = events.lines().filter(|line| line.contains("store_retried"));
    let counts = told.map(|line| {
        let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
        event["requests"].as_u64().expect("a number")
    });
    let counts: Vec<u64> = counts.collect();
    assert_eq!(counts.iter().sum::<u64>(), 4, "{counts:?}: {run}");
    assert!(counts.len() <= 2, "{counts:?}");
    let notes = report(&run)["notes"].to_string();
    assert!(notes.contains("did not answer 4 requests"), "{notes}");
    assert_whole(&store, "busy");
}
