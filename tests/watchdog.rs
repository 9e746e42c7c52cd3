//! How a run watches over its connections and its jobs, on real servers.

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use pgconvoy::event::{Bound, What};
use pgconvoy::model::SqlText;
use pgconvoy::pg::cluster::ClusterOptions;
use pgconvoy::pg::conninfo::{Conninfo, Environment};
use pgconvoy::pg::{Connector, Query, Side};
use support::binary::{Finished, Pgconvoy, Running};
use support::moving::{RUN_DIR, assert_proven, prepare};
use support::proxy::Proxy;
use support::record;
use support::server::{Server, servers};

/// The watchdog looks ten times as often, and takes a server for dead after six seconds.
const HASTY: (&str, &str) = ("PGCONVOY_FAULT", "hasty-watchdog");

/// A table that takes a while to be filled by us, and by nobody else, and whose index does as well.
const SLOW: &str = "
    create function slow(id int) returns int immutable language plpgsql as $$
    begin
        perform pg_catalog.pg_sleep(case when pg_catalog.current_setting('application_name') like 'pgconvoy:%' then 0.03 else 0 end);
        return id;
    end $$;
    create table slow (id int, check (public.slow(id) >= 0));
    insert into slow select generate_series(1, 100);
    create index slow_index on slow (public.slow(id));
";

fn majors() -> Vec<u32> {
    let mut majors: Vec<u32> = servers()
        .iter()
        .map(|install| install.version.major())
        .collect();
    majors.dedup();
    majors
}

fn over_tcp(major: u32) -> Option<Server> {
    Server::start_with(major, |options| ClusterOptions {
        listen_tcp: true,
        ..options
    })
}

fn connector(conninfo: &str, side: Side) -> Connector {
    let environment = Environment::default().with_os_user("nobody");
    let conninfo = Conninfo::resolve(conninfo, &environment).expect("a connection string");
    Connector::new(conninfo, side).expect("no TLS")
}

/// What the server's end of a session's socket is set to; the limit for unacknowledged data from 12 on.
async fn watched(conninfo: &str) -> [String; 4] {
    const QUERY: Query = Query::new(
        "settings",
        "select current_setting('tcp_keepalives_idle') as idle, current_setting('tcp_keepalives_interval') as interval,
                current_setting('tcp_keepalives_count') as count,
                coalesce(current_setting('tcp_user_timeout', true), '-') as limit",
    );
    let connector = connector(conninfo, Side::Target);
    let session = connector.session("test").await.expect("a session");
    let rows = session.query(&QUERY, &[]).await.expect("an answer");
    let of_session = ["idle", "interval", "count", "limit"]
        .map(|name| rows[0].get::<String>(name).expect("a setting"));
    let mut wire = connector.wire("test").await.expect("a wire");
    let rows = wire.query(&SqlText::from(QUERY.sql)).await.expect("rows");
    let of_wire: Vec<String> = rows[0]
        .iter()
        .flatten()
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .collect();
    assert_eq!(of_wire, of_session, "sessions of both kinds are the same");
    of_session
}

#[tokio::test]
async fn every_server_watches_over_its_end_of_a_connection() {
    for major in majors() {
        let Some(server) = over_tcp(major) else {
            continue;
        };
        let conninfo = server.cluster.tcp_conninfo("postgres");
        let limit = |value: &str| if major < 12 { "-" } else { value }.to_owned();
        let found = watched(&conninfo).await;
        assert_eq!(found[..3], ["30", "10", "9"], "{major}");
        assert_eq!(found[3], limit("120000"), "{major}");

        let said = format!(
            "{conninfo} keepalives_idle=41 keepalives_interval=7 keepalives_count=5 tcp_user_timeout=9000"
        );
        let found = watched(&said).await;
        assert_eq!(found[..3], ["41", "7", "5"], "{major}");
        assert_eq!(found[3], limit("9000"), "{major}");

        let none = watched(&format!("{conninfo} keepalives=0")).await;
        assert_ne!(none[0], "30", "{major}: the system's");
        let socket = watched(&server.conninfo("postgres")).await;
        assert_eq!(socket[..3], ["0", "0", "0"], "{major}");
    }
}

fn events(dir: &Path) -> Vec<What> {
    record::told(&dir.join(RUN_DIR))
}

fn retries(dir: &Path) -> usize {
    record::retries(&dir.join(RUN_DIR))
}

/// What was said of jobs that did not move.
fn waits(run_dir: &Path) -> Vec<(Side, String)> {
    let events = events(run_dir).into_iter();
    events
        .filter_map(|what| match what {
            What::JobWaits { side, what, .. } => Some((side, what)),
            _ => None,
        })
        .collect()
}

#[track_caller]
fn assert_said(waits: &[(Side, String)], side: Side, words: &[&str]) {
    let is_it = |(whose, said): &(Side, String)| {
        *whose == side && words.iter().all(|word| said.contains(word))
    };
    assert!(waits.iter().any(is_it), "{words:?} in {waits:#?}");
}

/// Waits until rows of the slow table are on their way.
fn until_it_copies(run: &mut Running, target: &Server) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let sleeps = "select count(*) from pg_stat_activity where application_name like 'pgconvoy:copy %' and wait_event = 'PgSleep'";
    while target.psql("postgres", sleeps) == "0" {
        assert!(
            run.is_running() && Instant::now() < deadline,
            "no rows are copied"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_job_that_is_slow_says_what_its_server_does() {
    for (major, words) in [
        (18, ["building index: scanning table", "PgSleep"]),
        (11, ["the statement has been running", "PgSleep"]),
    ] {
        let (Some(source), Some(target)) = (Server::start(11), Server::start(major)) else {
            continue;
        };
        source.database("shop");
        source.psql("shop", SLOW);
        let run = prepare(&source.conninfo("shop"), &target.database("shop"), &[])
            .env(HASTY.0, HASTY.1)
            .run();
        assert_proven(&run);
        let waits = waits(&run.path(""));
        assert_said(&waits, Side::Target, &words);
        assert!(
            waits.iter().all(|(side, _)| *side == Side::Target),
            "the source waits for us: {waits:?}"
        );
        assert_eq!(retries(&run.path("")), 0);
        assert!(run.stderr.contains(words[0]), "{run}");
        assert_eq!(
            target.psql(
                "postgres",
                "select count(*) from pg_stat_activity where application_name like 'pgconvoy%'"
            ),
            "0"
        );
    }
}

/// Keys for which comparing two of them is preceded by `PAUSE`, for us and for nobody else: an index, and then a foreign key, of which no server
/// shows how far it is.
const SLOW_KEYS: &str = "
    create function slow_compare(a int, b int) returns int immutable language plpgsql as $$
    begin
        if pg_catalog.current_setting('application_name') like 'pgconvoy:%' then
            perform PAUSE;
        end if;
        return pg_catalog.btint4cmp(a, b);
    end $$;
    create function slow_equal(a int, b int) returns boolean immutable language plpgsql as $$
    begin
        return public.slow_compare(a, b) = 0;
    end $$;
    create operator === (leftarg = int, rightarg = int, function = slow_equal, commutator = ===);
    create operator class slow_keys for type int using btree as
        operator 1 <, operator 2 <=, operator 3 ===, operator 4 >=, operator 5 >, function 1 slow_compare(int, int);
    create table owner (id int not null);
    insert into owner select generate_series(1, 16);
    create unique index owner_id on owner (id slow_keys);
    create table pet (id int primary key, owner int);
    insert into pet select i, 1 + i % 16 from generate_series(1, 40) i;
    alter table pet add constraint pet_owner foreign key (owner) references owner (id);
";

const SLEEPS: &str = "pg_catalog.pg_sleep(0.03)";
const COMPUTES: &str = "pg_catalog.count(*) from pg_catalog.generate_series(1, 250000)";

/// What was said of a job whose label has these words.
fn said_of(run_dir: &Path, words: &str) -> Vec<String> {
    let events = events(run_dir);
    let planned = events.iter().filter_map(|what| match what {
        What::Planned { jobs, .. } => Some(jobs),
        _ => None,
    });
    let jobs = planned.flatten().filter(|job| job.label.contains(words));
    let jobs: Vec<_> = jobs.map(|job| job.id).collect();
    let said = events.into_iter().filter_map(|what| match what {
        What::JobWaits { job, what, .. } if jobs.contains(&job) => Some(what),
        _ => None,
    });
    said.collect()
}

/// The key that seemed stalled: nothing shows how far it is, so it is said that the server is at it, and what it does.
#[test]
fn a_foreign_key_that_takes_long_is_not_taken_for_stalled() {
    let (Some(source), Some(target)) = (Server::start(16), Server::start(18)) else {
        return;
    };
    source.database("shop");
    source.psql("shop", &SLOW_KEYS.replace("PAUSE", SLEEPS));
    let run = prepare(&source.conninfo("shop"), &target.database("shop"), &[])
        .env(HASTY.0, HASTY.1)
        .run();
    assert_proven(&run);
    let said = said_of(&run.path(""), "foreign key");
    let at_it = |said: &String| {
        said.starts_with("the statement has been running for ") && said.contains("PgSleep")
    };
    assert!(said.iter().any(at_it), "{said:?}: {run}");
    assert_eq!(retries(&run.path("")), 0);
}

/// A text without its figures, for whoever reviews it.
fn without_figures(text: &str) -> String {
    let mut shape = String::new();
    for char in text.chars() {
        if !char.is_ascii_digit() {
            shape.push(char);
        } else if !shape.ends_with('N') {
            shape.push('N');
        }
    }
    shape.replace("N.N", "N")
}

/// The same key, whose comparisons keep a core busy: first nothing but the plan's rough rates say how long that takes, then a rehearsal
/// does. What is said to the operator is right: it works, it is not over, and it is not to be cancelled.
#[test]
fn how_far_a_long_validation_is_is_guessed_by_what_is_known() {
    let (Some(source), Some(target)) = (Server::start(16), Server::start(18)) else {
        return;
    };
    source.database("shop");
    source.psql("shop", &SLOW_KEYS.replace("PAUSE", COMPUTES));
    let from = source.conninfo("shop");
    let scratch = target.database("scratch");
    let fixed = [
        "--source",
        &from,
        "--target",
        &scratch,
        "--run-dir",
        RUN_DIR,
    ];
    let rehearsal = Pgconvoy::new([&["rehearse"], &fixed[..]].concat())
        .env(HASTY.0, HASTY.1)
        .run();
    assert_proven(&rehearsal);
    let measure = rehearsal.path(RUN_DIR);
    let baseline = ["--baseline", measure.to_str().expect("UTF-8")];
    let run = prepare(&from, &target.database("shop"), &baseline)
        .env(HASTY.0, HASTY.1)
        .run();
    assert_proven(&run);
    let first_told = |run: &Finished, words: &[&str]| {
        let is_it = |line: &&str| words.iter().all(|word| line.contains(word));
        let line = run.stderr.lines().find(is_it);
        let line = line.unwrap_or_else(|| panic!("{words:?}: {run}"));
        // After the time of day.
        without_figures(&line[10..])
    };
    let of_the_key = ["foreign key", "do not cancel", " s of CPU time"];
    let told = [
        first_told(&rehearsal, &of_the_key),
        first_told(&run, &of_the_key),
    ];
    insta::assert_snapshot!(told.join("\n"));
    assert!(!run.stderr.contains("100 %"), "{run}");
}

#[test]
fn a_foreign_lock_is_named_with_its_holder_and_waited_for() {
    let (Some(source), Some(target)) = (Server::start(16), Server::start(16)) else {
        return;
    };
    source.database("shop");
    source.psql("shop", SLOW);
    let into = target.database("shop");
    let mut run = prepare(&source.conninfo("shop"), &into, &[])
        .env(HASTY.0, HASTY.1)
        .start();
    until_it_copies(&mut run, &target);
    std::thread::scope(|scope| {
        // It gets the lock when the rows are committed, before anybody of ours asks for the next.
        let lock =
            "begin; lock table slow in access exclusive mode; select 'mine' from pg_sleep(4)";
        scope.spawn(|| target.psql("shop", lock));
        let finished = run.finish();
        assert_proven(&finished);
        let words = [
            "waits for a lock on public.slow",
            "psql, role postgres",
            "pg_sleep(4)",
            "holds",
        ];
        assert_said(&waits(&finished.path("")), Side::Target, &words);
    });
}

/// Rows that come no faster than the way to the target lets them: that is said, and that it is nobody else.
#[test]
fn a_narrow_road_sets_the_pace() {
    let (Some(source), Some(target)) = (Server::start(18), over_tcp(18)) else {
        return;
    };
    source.database("shop");
    source.psql(
        "shop",
        "create table wide as select i, repeat(md5(i::text), 30) as body from generate_series(1, 30000) i",
    );
    target.database("shop");
    let proxy = Proxy::start(target.cluster.port());
    // 29 MB in 14 s. Some are still in buffers when the relay is rid of its last row, and it is looked at for 5 s at least.
    proxy.slow_down(2 << 20);
    let into = format!(
        "{} port={}",
        target.cluster.tcp_conninfo("shop"),
        proxy.port()
    );
    let run = prepare(&source.conninfo("shop"), &into, &["--verify", "counts"]).run();
    assert_eq!(run.status, 6, "{run}");
    let bounds: Vec<Bound> = events(&run.path(""))
        .into_iter()
        .filter_map(|what| match what {
            What::JobBound { bound, .. } => Some(bound),
            _ => None,
        })
        .collect();
    let (first, later) = bounds.split_first().unwrap_or_else(|| panic!("{run}"));
    assert_eq!(*first, Bound::Target);
    let is_of_the_road = |bound: &Bound| matches!(bound, Bound::Target | Bound::Nobody);
    assert!(later.iter().all(is_of_the_road), "{later:?}");
}

/// A road that becomes narrow while rows travel on it: that is said once, with both figures and whose fault it is.
#[test]
fn a_road_that_becomes_narrow_is_told_of_once() {
    let (Some(source), Some(target)) = (Server::start(18), over_tcp(18)) else {
        return;
    };
    source.database("shop");
    source.psql(
        "shop",
        "create table wide as select i, repeat(md5(i::text), 30) as body from generate_series(1, 110000) i",
    );
    target.database("shop");
    let proxy = Proxy::start(target.cluster.port());
    proxy.slow_down(4 << 20);
    let into = format!(
        "{} port={}",
        target.cluster.tcp_conninfo("shop"),
        proxy.port()
    );
    let more = ["--verify", "counts", "-j", "1"];
    let run = prepare(&source.conninfo("shop"), &into, &more).start();
    let run_dir = run.dir().to_owned();
    let advanced = |what: &What| matches!(what, What::JobAdvanced { .. });
    until("it writes down what happens", || {
        run_dir.join(RUN_DIR).join("events.jsonl").exists()
    });
    until("rows are copied", || events(&run_dir).iter().any(advanced));
    // Two windows of five seconds are known by then. Two are slow after that; or three, where the machine is so busy that nobody can be
    // said to set the pace; and one of them may have begun before.
    std::thread::sleep(Duration::from_secs(11));
    proxy.slow_down(512 << 10);
    std::thread::sleep(Duration::from_secs(21));
    proxy.slow_down(0);
    let finished = run.finish();
    assert_eq!(finished.status, 6, "{finished}");
    let lines = finished.stderr.lines();
    let told: Vec<&str> = lines.filter(|line| line.contains("copying s")).collect();
    assert_eq!(told.len(), 1, "{told:?} {finished}");
    let (_, rates) = told[0].split_once("copying slows down: ").expect(told[0]);
    // On a machine that is busy with other things, nobody may be waited for most of the time; but never anybody else.
    let (rates, by) = rates.split_once("; ").unwrap_or((rates, ""));
    let is_of_the_road = by.is_empty() || by == "the target, or the way to it, sets the pace";
    assert!(is_of_the_road, "{told:?}");
    let (before, now) = rates.split_once(", then ").expect(told[0]);
    let kb_per_second = |rate: &str| {
        let (number, unit) = rate.split_once(' ').expect(told[0]);
        let number: f64 = number.parse().expect(told[0]);
        match unit {
            "MB/s" => number * 1000.0,
            "kB/s" => number,
            other => panic!("{other}"),
        }
    };
    let (before, now) = (kb_per_second(before), kb_per_second(now));
    assert!((1500.0..6000.0).contains(&before), "{told:?}");
    assert!((200.0..600.0).contains(&now), "{told:?}");
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Frozen for less than it takes to be dead, a network costs nothing but time; for longer, the job is tried again.
#[test]
fn a_frozen_network_is_waited_for_until_the_server_counts_as_dead() {
    for (frozen_s, retried) in [(3, false), (10, true)] {
        let (Some(source), Some(target)) = (Server::start(17), over_tcp(17)) else {
            return;
        };
        source.database("shop");
        source.psql("shop", SLOW);
        target.database("shop");
        let proxy = Proxy::start(target.cluster.port());
        let into = format!(
            "{} port={}",
            target.cluster.tcp_conninfo("shop"),
            proxy.port()
        );
        let mut run = prepare(&source.conninfo("shop"), &into, &[])
            .env(HASTY.0, HASTY.1)
            .start();
        until_it_copies(&mut run, &target);
        proxy.freeze();
        std::thread::sleep(Duration::from_secs(frozen_s));
        proxy.thaw();
        let finished = run.finish();
        assert_proven(&finished);
        let waits = waits(&finished.path(""));
        assert_said(
            &waits,
            Side::Target,
            &["no answer for", "the connection is given up"],
        );
        assert_eq!(retries(&finished.path("")) > 0, retried, "{waits:#?}");
        if retried {
            assert_said(&waits, Side::Target, &["6 s: the connection is given up"]);
        }
    }
}

/// The same of a dump, which has one server: it is no more waited for than another.
#[test]
fn a_dump_gives_up_a_source_that_does_not_answer() {
    let Some(source) = over_tcp(17) else {
        return;
    };
    source.database("shop");
    source.psql(
        "shop",
        "create table wide as select i, repeat(md5(i::text), 30) as body from generate_series(1, 8000) i",
    );
    let proxy = Proxy::start(source.cluster.port());
    // 8 MB in 4 s.
    proxy.slow_down(2 << 20);
    let from = format!(
        "{} port={}",
        source.cluster.tcp_conninfo("shop"),
        proxy.port()
    );
    let arguments = [
        "dump",
        "--source",
        &from,
        "--archive",
        "archive",
        "--run-dir",
        RUN_DIR,
    ];
    let mut run = Pgconvoy::new(arguments).env(HASTY.0, HASTY.1).start();
    let reads = "select count(*) from pg_stat_activity where application_name like 'pgconvoy:%' and query ilike 'copy%wide%' and state = 'active'";
    let deadline = Instant::now() + Duration::from_secs(20);
    while source.psql("postgres", reads) == "0" {
        assert!(
            run.is_running() && Instant::now() < deadline,
            "no rows are read"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    proxy.freeze();
    std::thread::sleep(Duration::from_secs(10));
    proxy.thaw();
    let finished = run.finish();
    assert_eq!(finished.status, 0, "{finished}");
    let waits = waits(&finished.path(""));
    assert_said(&waits, Side::Source, &["6 s: the connection is given up"]);
    assert!(retries(&finished.path("")) > 0, "{waits:#?}");
}
