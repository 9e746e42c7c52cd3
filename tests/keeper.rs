//! The process that holds the source's snapshot: what it survives, what ends it, and that nothing of it stays behind.

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pgconvoy::pg::client_tools::ChildEnvironment;
use pgconvoy::pg::conninfo::{Conninfo, Environment};
use pgconvoy::pg::keeper::{Keeper, KeeperError, Kept};
use pgconvoy::pg::{Connector, PgError, Side, Snapshot};
use support::binary::{Pgconvoy, Running};
use support::moving::{RUN_DIR, assert_no_ledger, assert_proven, prepare};
use support::server::Server;

const SECRET: &str = "kP7-hush-w3X";
const HOUR: Duration = Duration::from_secs(3600);

/// A table that takes a while to be filled by us, and by nobody else.
const SLOW: &str = "
    create function slow(id int) returns boolean language plpgsql as $$
    begin
        perform pg_catalog.pg_sleep(case when pg_catalog.current_setting('application_name') like 'pgconvoy:%' then 0.02 else 0 end);
        return true;
    end $$;
    create table slow (id int primary key, check (public.slow(id)));
    insert into slow select generate_series(1, 100);
    create table quick (id int primary key);
    insert into quick select generate_series(1, 1000);
";

/// Processes that are keepers, started by one process or by anybody.
fn keepers(parent: Option<u32>) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let arguments = command_line(pid);
        let program = env!("CARGO_BIN_EXE_pgconvoy");
        if arguments.starts_with(&format!("{program} keeper"))
            && parent.is_none_or(|parent| parent_of(pid) == Some(parent))
        {
            found.push(pid);
        }
    }
    found
}

fn command_line(pid: i32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

fn parent_of(pid: i32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, behind) = stat.rsplit_once(')')?;
    behind.split_whitespace().nth(1)?.parse().ok()
}

/// Whether a process lives; one that has ended and that nobody waited for does not.
fn lives(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_some_and(|(_, behind)| !behind.trim_start().starts_with('Z'))
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Sessions of ours on a server.
fn sessions(server: &Server) -> String {
    server.psql(
        "postgres",
        "select coalesce(string_agg(application_name, ' ' order by application_name), '')
         from pg_stat_activity where application_name like 'pgconvoy:%'",
    )
}

fn keeper_backend(server: &Server) -> (i32, String) {
    let said = server.psql(
        "postgres",
        "set timezone = 'UTC'; set datestyle = 'ISO, YMD';
         select pid, backend_start from pg_stat_activity where application_name = 'pgconvoy:keeper'",
    );
    let (pid, start) = said.split_once('|').expect("one keeper");
    (pid.parse().expect("a number"), start.to_owned())
}

fn connector(conninfo: &str) -> Connector {
    let environment = Environment::default().with_os_user("nobody");
    let conninfo = Conninfo::resolve(conninfo, &environment).expect("a connection string");
    Connector::new(conninfo, Side::Source).expect("no TLS")
}

async fn spawn(connector: &Connector, keep_for: Duration) -> Result<Keeper, KeeperError> {
    let session = connector.session("test").await.expect("a session");
    let environment = ChildEnvironment::new(connector.conninfo(), session.peer());
    let program = Path::new(env!("CARGO_BIN_EXE_pgconvoy"));
    Keeper::spawn(program, &environment, (keep_for, None)).await
}

/// A move that has come so far that rows are being copied.
fn in_mid_run(source: &Server, target: &Server, more: &[&str]) -> Running {
    let conninfo = format!("{} password={SECRET}", source.conninfo("shop"));
    let mut run = prepare(&conninfo, &target.conninfo("shop"), more).start();
    let events = run.dir().join(RUN_DIR).join("events.jsonl");
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let told = std::fs::read_to_string(&events).unwrap_or_default();
        let writes = "select count(*) from pg_stat_activity where application_name like 'pgconvoy:copy %' and wait_event = 'PgSleep'";
        if told.contains("job_started") && target.psql("postgres", writes) != "0" {
            return run;
        }
        let in_time = run.is_running() && Instant::now() < deadline;
        assert!(in_time, "no rows are copied: {}", run.finish());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn shop(major: u32) -> Option<(Server, Server)> {
    let (source, target) = (Server::start(major)?, Server::start(18)?);
    source.database("shop");
    source.psql("shop", SLOW);
    target.database("shop");
    Some((source, target))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_snapshot_survives_a_killed_move() {
    for major in [10, 18] {
        let Some((source, target)) = shop(major) else {
            continue;
        };
        let mut run = in_mid_run(&source, &target, &[]);
        let [keeper] = keepers(Some(run.pid()))[..] else {
            panic!("one keeper");
        };
        assert!(!command_line(keeper).contains(SECRET));
        let events = run.dir().join(RUN_DIR).join("events.jsonl");
        let told = std::fs::read_to_string(events).expect("read");
        run.kill();
        let finished = run.finish();
        assert_eq!(finished.status, -1, "{finished}");
        source.psql("shop", "insert into quick values (0)");
        for signal in [Signal::SIGINT, Signal::SIGHUP] {
            kill(Pid::from_raw(keeper), signal).expect("sent");
        }
        wait_until("only the keeper is left", || {
            sessions(&source) == "pgconvoy:keeper"
        });
        std::thread::sleep(Duration::from_millis(1500));
        assert!(lives(keeper), "{major}");

        let snapshot = told
            .split_once("\"snapshot\":\"")
            .and_then(|(_, behind)| Some(behind.split_once('"')?.0))
            .expect("a snapshot was told");
        let seen = source.psql(
            "shop",
            &format!(
                "begin transaction isolation level repeatable read; set transaction snapshot '{snapshot}';
                 select count(*), txid_current_snapshot() from quick; commit"
            ),
        );
        let (count, transactions) = seen.split_once('|').expect("two columns");
        assert_eq!(count, "1000", "{major}");

        let connector = connector(&source.conninfo("shop"));
        let (backend_pid, backend_start) = keeper_backend(&source);
        let kept = Kept {
            snapshot: snapshot.to_owned(),
            lsn: String::new(),
            transactions: transactions.to_owned(),
            backend_pid,
            backend_start,
            slot: None,
        };
        let others = [
            Kept {
                transactions: "3:3:".to_owned(),
                ..kept.clone()
            },
            Kept {
                backend_start: "2001-01-01 00:00:00+00".to_owned(),
                ..kept.clone()
            },
            Kept {
                snapshot: "00000001-00000001-1".to_owned(),
                ..kept.clone()
            },
            Kept {
                snapshot: "../nonsense".to_owned(),
                ..kept.clone()
            },
        ];
        for other in others {
            let resumed = Snapshot::resume(&connector, &other).await.expect("asked");
            assert!(resumed.is_none(), "{major}: {other:?}");
        }
        let resumed = Snapshot::resume(&connector, &kept).await.expect("asked");
        let mut resumed = resumed.expect("the keeper holds it");
        assert_eq!(resumed.kept_by(), Some(kept.clone()));
        resumed.release().await.expect("released");
        drop(resumed);
        wait_until("the keeper ends", || !lives(keeper));
        wait_until("its backend ends", || sessions(&source).is_empty());
        let lost = Snapshot::resume(&connector, &kept).await.expect("asked");
        assert!(lost.is_none());
    }
}

#[test]
fn nothing_is_left_of_a_keeper_after_a_move() {
    let Some((source, target)) = shop(15) else {
        return;
    };
    let run = in_mid_run(&source, &target, &[]);
    let keepers = keepers(Some(run.pid()));
    assert_eq!(keepers.len(), 1);
    let finished = run.finish();
    assert_proven(&finished);
    assert_no_ledger(&target, "shop");
    assert!(!lives(keepers[0]));
    wait_until("its backend ends", || sessions(&source).is_empty());

    let (from, to) = (source.conninfo("shop"), target.conninfo("shop"));
    let verified = Pgconvoy::new(["verify", "--source", &from, "--target", &to]).run();
    assert_eq!(verified.status, 0, "{verified}");
    wait_until("verify leaves nobody", || sessions(&source).is_empty());
}

#[test]
fn a_move_can_do_without() {
    let Some((source, target)) = shop(15) else {
        return;
    };
    let run = in_mid_run(&source, &target, &["--no-keeper"]);
    assert_eq!(keepers(Some(run.pid())), [0; 0]);
    assert!(!sessions(&source).contains("keeper"));
    assert_proven(&run.finish());
}

/// Whoever watches over a server ends sessions that stand idle in a transaction, as ours with the snapshot does. Nothing hangs on
/// it if a keeper holds the snapshot; without one, what was read last may be empty without having been.
#[test]
fn the_session_that_sees_the_snapshot_may_be_ended_as_long_as_a_keeper_holds_it() {
    for (more, is_kept) in [(&[][..], true), (&["--no-keeper"][..], false)] {
        let Some((source, target)) = shop(16) else {
            return;
        };
        let run = in_mid_run(&source, &target, more);
        let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'pgconvoy:snapshot'";
        assert_eq!(source.psql("postgres", end), "1");
        let finished = run.finish();
        if is_kept {
            assert_proven(&finished);
            wait_until("nobody is left", || sessions(&source).is_empty());
        } else {
            assert_eq!(finished.status, 5, "{finished}");
            assert!(finished.stderr.contains("snapshot"), "{finished}");
        }
    }
}

/// What fails before the target was touched leaves nobody behind.
#[test]
fn a_move_that_is_refused_leaves_no_keeper() {
    let Some((source, target)) = shop(18) else {
        return;
    };
    target.psql("shop", "create table slow (id int)");
    let run = prepare(&source.conninfo("shop"), &target.conninfo("shop"), &[]).run();
    assert_eq!(run.status, 4, "{run}");
    wait_until("nobody is left", || sessions(&source).is_empty());
}

/// A keeper's error is the same as our own would be.
#[test]
fn a_lock_on_the_source_is_told_as_without_a_keeper() {
    let Some((source, target)) = shop(18) else {
        return;
    };
    target.database("other");
    let begin = Instant::now();
    let lock = std::thread::scope(|scope| {
        let lock =
            scope.spawn(|| source.try_psql("shop", "begin; lock table quick; select pg_sleep(60)"));
        wait_until("the lock is held", || {
            source.psql("shop", "select count(*) from pg_locks where mode = 'AccessExclusiveLock' and granted and relation = 'quick'::regclass") == "1"
        });
        let start = |into: &str, more: &[&str]| {
            let run = prepare(&source.conninfo("shop"), &target.conninfo(into), more);
            // A reader gives way after two seconds instead of ten.
            run.env("PGCONVOY_FAULT", "hasty-readers").start()
        };
        let runs = [start("shop", &[]), start("other", &["--no-keeper"])];
        let said = runs.map(Running::finish);
        for run in &said {
            assert_eq!(run.status, 1, "{run}");
            assert!(run.stderr.contains("55P03"), "{run}");
            assert!(run.stderr.contains("lock table"), "{run}");
        }
        // But for how long it has been held by now.
        let words = |text: &str| {
            let error = &text[text.find("error:").expect("an error")..];
            error.replace(|c: char| c.is_ascii_digit(), "")
        };
        assert_eq!(words(&said[0].stderr), words(&said[1].stderr));
        for holder in [
            "psql, role postgres, active for",
            "has locked public.quick against everybody",
        ] {
            assert!(said[0].stderr.contains(holder), "{}", said[0]);
        }
        let end = "select pg_terminate_backend(pid) from pg_stat_activity
                   where query like '%pg_sleep(60)' and pid <> pg_backend_pid()";
        assert_eq!(source.psql("postgres", end), "t", "the lock was held");
        lock.join()
    });
    let lock = lock.expect("no panic");
    assert!(lock.is_err(), "it was held until it was ended: {lock:?}");
    assert!(begin.elapsed() < Duration::from_secs(60));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_a_keeper() {
    let Some(source) = Server::start(17) else {
        return;
    };
    source.database("shop");
    let connector = connector(&source.conninfo("shop"));
    let pid = |keeper: &Keeper| {
        let pid = keeper.process_id().expect("it runs");
        i32::try_from(pid).expect("a process id")
    };

    // Dropped before there was anything to keep it for.
    let keeper = spawn(&connector, HOUR).await.expect("a keeper");
    let process = pid(&keeper);
    assert!(lives(process));
    drop(keeper);
    wait_until("it ends with its supervisor", || !lives(process));

    // Released by whoever started it.
    let mut keeper = spawn(&connector, HOUR).await.expect("a keeper");
    let process = pid(&keeper);
    keeper.keep().await.expect("told");
    let session = connector.session("snapshot").await.expect("a session");
    let mut snapshot = Snapshot::kept(session, keeper).await.expect("imported");
    snapshot.release().await.expect("released");
    drop(snapshot);
    assert!(!lives(process));

    // An operator's way, and the server's.
    for ends in ["signal", "server"] {
        let mut keeper = spawn(&connector, HOUR).await.expect("a keeper");
        keeper.keep().await.expect("told");
        let process = pid(&keeper);
        if ends == "signal" {
            kill(Pid::from_raw(process), Signal::SIGTERM).expect("sent");
        } else {
            let (backend, _) = keeper_backend(&source);
            source.psql("shop", &format!("select pg_terminate_backend({backend})"));
        }
        wait_until(ends, || !lives(process));
        wait_until("a keeper that is gone is noticed", || {
            let told = tokio::task::block_in_place(|| {
                tokio::runtime::Handle::current().block_on(keeper.keep())
            });
            matches!(told, Err(KeeperError::Gone { .. }))
        });
    }

    // Left alone: as long as somebody of ours is there, and then for a while.
    let mut keeper = spawn(&connector, Duration::from_secs(2))
        .await
        .expect("a keeper");
    keeper.keep().await.expect("told");
    let process = pid(&keeper);
    let user = connector.session("read").await.expect("a session");
    let session = connector.session("snapshot").await.expect("a session");
    Snapshot::kept(session, keeper)
        .await
        .expect("imported")
        .leave();
    std::thread::sleep(Duration::from_secs(5));
    assert!(lives(process), "it is used");
    drop(user);
    wait_until("it gives up", || !lives(process));
    wait_until("nobody is left", || sessions(&source).is_empty());
}

#[tokio::test]
async fn errors_of_a_keeper_arrive_with_every_field() {
    let Some(source) = Server::start(16) else {
        return;
    };
    source.database("shop");
    source.psql(
        "shop",
        "create role asker login; alter role asker connection limit 1",
    );
    let asker = connector(&format!("{} user=asker", source.conninfo("shop")));
    let refused = spawn(&asker, HOUR).await;
    match refused {
        Err(KeeperError::Session(PgError::Server { error, .. })) => {
            assert_eq!(error.code, "53300", "{error}");
        }
        other => panic!("{other:?}"),
    }
}

/// Without its keeper, what a run has begun can only be gone on with in another snapshot: it says so before it copies anything.
#[cfg(feature = "faults")]
#[test]
fn a_run_whose_keeper_is_gone_before_it_copies_is_resumed() {
    let Some((source, target)) = shop(18) else {
        return;
    };
    let run = prepare(&source.conninfo("shop"), &target.conninfo("shop"), &[]);
    let held = run.dir().join("held");
    let mut run = run
        .env("PGCONVOY_FAULT", "hold@ledger-made")
        .env("PGCONVOY_FAULT_FILE", &held)
        .start();
    wait_until("the ledger was made", || held.exists());
    let [keeper] = keepers(Some(run.pid()))[..] else {
        panic!("one keeper");
    };
    kill(Pid::from_raw(keeper), Signal::SIGKILL).expect("sent");
    wait_until("it has ended", || !lives(keeper));
    assert!(run.is_running());
    std::fs::remove_file(&held).expect("it is there");
    let stopped = run.finish();
    assert_eq!(stopped.status, 5, "{stopped}");
    let gone = "the process that holds the snapshot has ended";
    assert!(stopped.stderr.contains(gone), "{stopped}");
    let last = stopped.stderr.lines().last();
    assert_eq!(last, Some("pgconvoy resume run"), "{stopped}");
    let run_dir = stopped.path(RUN_DIR);
    let resumed = Pgconvoy::new(["resume".as_ref(), run_dir.as_os_str()]).run();
    assert_eq!(resumed.status, 0, "{resumed}");
}
