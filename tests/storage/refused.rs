//! Credentials, buckets and networks that are not as they should be: one sentence, a hint, and nothing touched.

use std::time::{Duration, Instant};

use crate::store::{SECRET, Store, address, assert_no_secret};
use crate::support::binary::{Finished, Pgconvoy};
use crate::support::server::Server;

/// A port where nobody listens.
fn nobody() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it has an address").port()
}

#[track_caller]
fn assert_refused(run: &Finished, words: &[&str]) {
    assert_no_secret(run);
    assert_eq!(run.status, 2, "{run}");
    for word in words {
        assert!(run.stderr.contains(word), "{word}: {run}");
    }
    assert!(run.stderr.contains("hint: "), "{run}");
    assert!(!run.path("run").exists(), "something was kept: {run}");
}

#[test]
fn what_keeps_a_store_from_being_used_is_said() {
    let Some(source) = Server::start(18) else {
        return;
    };
    let store = Store::start();
    let from = source.conninfo("postgres");
    let dump = |archive: &str| {
        let fixed = ["dump", "--source", &from, "--archive", archive];
        Pgconvoy::new(fixed.iter().chain(&["--run-dir", "run"]))
    };
    let verify = |archive: &str| Pgconvoy::new(["verify", "--archive", archive]);
    let here = store.port();

    let no_bucket = "s3://no-such-bucket/shop";
    let run = Store::tell(dump(no_bucket), here).run();
    assert_refused(&run, &["there is no bucket s3://no-such-bucket"]);
    let run = Store::tell(verify(no_bucket), here).run();
    assert_refused(&run, &["there is no bucket s3://no-such-bucket"]);

    let archive = address("shop");
    let run = Store::tell(verify(&archive), here).run();
    assert_refused(&run, &["there is no archive s3://backups/shop"]);

    for (name, value, code) in [
        (
            "AWS_SECRET_ACCESS_KEY",
            "another-s3cret",
            "SignatureDoesNotMatch",
        ),
        ("AWS_ACCESS_KEY_ID", "NOBODY", "NotSignedUp"),
    ] {
        for run in [dump(&archive), verify(&archive)] {
            let run = Store::tell(run, here).env(name, value).run();
            assert!(!run.stderr.contains("another-s3cret"), "{run}");
            assert_refused(
                &run,
                &["s3://backups refuses it", code, "AWS_ACCESS_KEY_ID"],
            );
        }
    }

    // No endless tries.
    let began = Instant::now();
    for run in [dump(&archive), verify(&archive)] {
        let run = Store::tell(run, nobody()).run();
        assert_refused(
            &run,
            &["cannot be reached, after 6 retries", "AWS_ENDPOINT"],
        );
    }
    let run = Store::tell(dump(&archive), here)
        .without_env("AWS_ACCESS_KEY_ID")
        .without_env("AWS_SECRET_ACCESS_KEY")
        .env(
            "AWS_METADATA_ENDPOINT",
            format!("http://127.0.0.1:{}", nobody()),
        )
        .run();
    assert_refused(
        &run,
        &[
            "there are no credentials for s3://backups",
            "AWS_ACCESS_KEY_ID",
        ],
    );
    assert!(
        began.elapsed() < Duration::from_secs(100),
        "{:?}",
        began.elapsed()
    );

    for (archive, word) in [
        (
            format!("s3://key:{SECRET}@backups/shop"),
            "come from the environment",
        ),
        (
            format!("az://c/shop?sig={SECRET}"),
            "come from the environment",
        ),
        (
            "http://127.0.0.1/shop".to_owned(),
            "s3://, gs://, az:// and file://",
        ),
        ("s3:///shop".to_owned(), "names no bucket"),
    ] {
        assert_refused(&Store::tell(dump(&archive), here).run(), &[word]);
        assert_refused(&Store::tell(verify(&archive), here).run(), &[word]);
    }
    // An address of a directory is that directory.
    let directory = tempfile::tempdir().expect("a directory");
    let archive = format!("file://{}/shop", directory.path().display());
    let run = dump(&archive).run();
    assert_eq!(run.status, 0, "{run}");
    assert!(
        directory
            .path()
            .join("shop/pgconvoy.manifest.json")
            .exists()
    );
    let run = verify(&archive).run();
    assert_eq!(run.status, 0, "{run}");
}

#[test]
fn where_nothing_may_be_removed_an_archive_is_complete_all_the_same() {
    let Some(source) = Server::start(18) else {
        return;
    };
    source.psql(
        "postgres",
        "create table kept as select generate_series(1, 100) id",
    );
    let store = Store::start();
    store.keeps();
    let archive = address("shop");
    let from = source.conninfo("postgres");
    let dump = [
        "dump",
        "--source",
        &from,
        "--archive",
        &archive,
        "--run-dir",
        "run",
    ];
    let run = Store::tell(Pgconvoy::new(dump), store.port()).run();
    assert_eq!(run.status, 0, "{run}");
    let told = "the archive is complete; what only an unfinished one needs could not be removed";
    assert!(
        run.stderr.contains(told) || run.stdout.contains(told),
        "{run}"
    );
    let mark = "pgconvoy.unfinished.json";
    assert!(store.objects("shop").join(mark).exists(), "{run}");

    let verify = Pgconvoy::new(["verify", "--archive", &archive]);
    let verified = Store::tell(verify, store.port()).run();
    assert_eq!(verified.status, 0, "{verified}");

    let resume = Pgconvoy::new(["resume".as_ref(), run.path("run").as_os_str()]);
    let resumed = Store::tell(resume, store.port()).run();
    assert_eq!(resumed.status, 0, "{resumed}");
    assert!(
        resumed.stderr.contains("this dump was finished"),
        "{resumed}"
    );
    assert!(resumed.stderr.contains(told), "{resumed}");
}

/// A key that expires in the middle, or objects in cold storage: that says nothing of what is in them.
#[test]
fn what_a_store_does_not_give_away_is_not_damaged() {
    let Some(source) = Server::start(18) else {
        return;
    };
    let store = Store::start();
    let from = source.database("shop");
    source.psql(
        "shop",
        "create table fish (id int primary key); insert into fish select generate_series(1, 1000)",
    );
    let archive = address("shop");
    let dumped = store.run([
        "dump",
        "--source",
        &from,
        "--archive",
        &archive,
        "-Z",
        "none",
    ]);
    assert_eq!(dumped.status, 0, "{dumped}");

    store.withhold_rows(true);
    let verified = store.run(["verify", "--archive", &archive]);
    assert_ne!(verified.status, 3, "{verified}");
    assert!(verified.stderr.contains("AccessDenied"), "{verified}");
    assert!(!verified.stderr.contains("Do not restore"), "{verified}");
    let to = source.database("copy");
    let fixed = ["restore", "--archive", &archive, "--target", &to];
    let restored = store.run(
        fixed
            .into_iter()
            .chain(["--max-retries", "0", "--run-dir", "run"]),
    );
    assert_eq!(restored.status, 5, "{restored}");

    store.withhold_rows(false);
    let run_dir = restored.path("run");
    let resumed = store.run(["resume", run_dir.to_str().expect("UTF-8")]);
    assert_eq!(resumed.status, 0, "{resumed}");
    assert_eq!(source.psql("copy", "select count(*) from fish"), "1000");
}
