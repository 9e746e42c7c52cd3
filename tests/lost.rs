//! What a run makes of a connection, a server or a session that is lost: work that was done is not done again, and what need not be
//! lost with it comes to its end.

mod support;

use std::time::{Duration, Instant};

use pgconvoy::model::Side;
use pgconvoy::pg::cluster::{ClusterOptions, StopMode};
use support::binary::{Finished, Pgconvoy, Running};
use support::moving::{RUN_DIR, assert_equal, assert_no_ledger, assert_proven, prepare, report};
use support::proxy::Proxy;
use support::record::retries;
use support::server::Server;

fn over_tcp(major: u32) -> Option<Server> {
    Server::start_with(major, |options| ClusterOptions {
        listen_tcp: true,
        ..options
    })
}

/// A server's database by another road.
fn by_way_of(proxy: &Proxy, server: &Server, database: &str) -> String {
    let conninfo = server.cluster.tcp_conninfo(database);
    format!("{conninfo} port={}", proxy.port())
}

#[track_caller]
fn wait_until(what: &str, run: &mut Running, mut is_so: impl FnMut(&Running) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so(run) {
        assert!(run.is_running(), "it ended before: {what}");
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A standby that the target's commits wait for is away. Everything is brought over all the same; that the last commit waits for it is
/// said, and the run ends when that is over.
#[test]
fn a_standby_that_is_away_keeps_nobody_from_copying() {
    let (Some(source), Some(target)) = (Server::start(16), Server::start(17)) else {
        return;
    };
    let from = source.database("shop");
    source.psql(
        "shop",
        "create table fish (id int primary key, what text); insert into fish values (1, 'cod')",
    );
    let to = target.database("shop");
    target.psql(
        "postgres",
        "alter system set synchronous_standby_names = 'gone'",
    );
    target.cluster.reload().expect("reloaded");
    let mut run = prepare(&from, &to, &[]).start();
    wait_until("the wait is told", &mut run, |run| {
        let events = std::fs::read_to_string(run.dir().join(RUN_DIR).join("events.jsonl"));
        events.is_ok_and(|events| events.contains("has not confirmed the last commit for 10 s"))
    });
    let there = "set synchronous_commit = off; select count(*) from fish";
    assert_eq!(target.psql("shop", there), "1");
    target.psql(
        "postgres",
        "set synchronous_commit = off; alter system reset synchronous_standby_names",
    );
    target.cluster.reload().expect("reloaded");
    assert_proven(&run.finish());
    assert_no_ledger(&target, "shop");
}

/// The target commits, the answer is lost, and then nobody is let in for a while: what is done is asked for as soon as that can be
/// asked, and not forgotten because it could not be at first.
#[test]
fn what_was_committed_is_known_however_late_the_ledger_can_be_asked() {
    let (Some(source), Some(target)) = (Server::start(16), over_tcp(17)) else {
        return;
    };
    let from = source.database("shop");
    source.psql(
        "shop",
        "create table fish (id int primary key, what text); insert into fish values (1, 'cod')",
    );
    let to = target.database("shop");
    let proxy = Proxy::start(target.cluster.port());
    proxy.block_after_commit("CREATE TABLE public.fish");
    let mut run = prepare(&from, &by_way_of(&proxy, &target, "shop"), &[]).start();
    // The job itself, and the question what of it is done.
    wait_until("it was asked in vain", &mut run, |run| {
        retries(&run.dir().join(RUN_DIR)) >= 2
    });
    proxy.mend();
    let finished = run.finish();
    assert!(proxy.has_cut_at_commit(), "{finished}");
    assert_proven(&finished);
    assert_equal("after the answer was lost", &from, &to, &[]);
}

/// Two jobs lose their connections at the same moment, and both servers' processes go on, and commit. Each of the two asks the ledger
/// when both have ended, whoever of them waited for that.
#[test]
fn nobody_asks_the_ledger_before_the_old_backends_are_gone() {
    let (Some(source), Some(target)) = (Server::start(16), over_tcp(17)) else {
        return;
    };
    let from = source.database("shop");
    source.psql(
        "shop",
        "create function nap(id int) returns int immutable language plpgsql as $$
         begin
             if id = 1 and pg_catalog.current_setting('application_name') like 'pgconvoy:%' then
                 perform pg_catalog.pg_sleep(4);
             end if;
             return id;
         end $$;
         create table many as select i as id, repeat('x', 400) as body from generate_series(1, 20000) i;
         create index one_slow on many (public.nap(id));
         create index two_slow on many (public.nap(id), body);",
    );
    let to = target.database("shop");
    let proxy = Proxy::start(target.cluster.port());
    proxy.remember("CREATE INDEX");
    let mut run = prepare(&from, &by_way_of(&proxy, &target, "shop"), &["-j", "4"]).start();
    let at_work = "select count(*) from pg_stat_activity where query ilike '%create index%_slow%' and wait_event = 'PgSleep'";
    wait_until("both indexes are being built", &mut run, |_| {
        target.psql("postgres", at_work) == "2"
    });
    proxy.cut_remembered();
    let finished = run.finish();
    assert_proven(&finished);
    assert_eq!(retries(&finished.path(RUN_DIR)), 2, "{finished}");
    assert_equal("after both were lost", &from, &to, &[]);
}

/// An index that takes a while, and rows that take nearly as long, by us and by nobody else. They are so wide that few of them are on
/// their way at a time.
const SLOW: &str = "
    create function nap(id int, seconds float) returns int immutable language plpgsql as $$
    begin
        perform pg_catalog.pg_sleep(case when pg_catalog.current_setting('application_name') like 'pgconvoy:%' then seconds else 0 end);
        return id;
    end $$;
    create table one (id int);
    insert into one values (1);
    create index one_slow on one (public.nap(id, 8));
    create table many (id int, body text, check (public.nap(id, 0.1) > 0));
    alter table many alter column body set storage external;
    insert into many select i, repeat('x', 100000) from generate_series(1, 100) i;
";

/// The source is gone for longer than is waited for it. An index that is being built needs it for nothing.
#[test]
fn an_index_is_built_to_its_end_when_the_source_is_lost() {
    let (Some(source), Some(target)) = (over_tcp(16), Server::start(17)) else {
        return;
    };
    source.database("shop");
    source.psql("shop", SLOW);
    let to = target.database("shop");
    let proxy = Proxy::start(source.cluster.port());
    let from = by_way_of(&proxy, &source, "shop");
    let more = ["-j", "4", "--max-retries", "1"];
    let mut run = prepare(&from, &to, &more).start();
    let is_built = "select count(*) from pg_stat_activity where query ilike '%one_slow%' and wait_event = 'PgSleep'";
    wait_until("the index is being built", &mut run, |_| {
        target.psql("postgres", is_built) != "0"
    });
    proxy.block();
    let stopped = run.finish();
    assert_eq!(stopped.status, 5, "{stopped}");
    let says = "no new job starts; 1 running job that needs only the target may finish";
    assert!(stopped.stderr.contains(says), "{stopped}");
    let is_there = "select indisvalid from pg_index where indexrelid = 'one_slow'::regclass";
    assert_eq!(target.psql("shop", is_there), "t", "{stopped}");
    let busy = "select count(*) from pg_stat_activity where application_name like 'pgconvoy:%'";
    assert_eq!(target.psql("postgres", busy), "0", "{stopped}");

    proxy.mend();
    let resumed = Pgconvoy::new(["resume".as_ref(), stopped.path(RUN_DIR).as_os_str()]).run();
    assert_eq!(resumed.status, 0, "{resumed}");
}

/// A target that is gone is waited for by nobody: there is nothing that could still come to its end.
#[test]
fn nothing_is_waited_for_when_the_target_is_lost() {
    let (Some(source), Some(target)) = (Server::start(16), over_tcp(17)) else {
        return;
    };
    let from = source.database("shop");
    source.psql("shop", SLOW);
    target.database("shop");
    let proxy = Proxy::start(target.cluster.port());
    let more = ["-j", "4", "--max-retries", "1"];
    let to = by_way_of(&proxy, &target, "shop");
    let mut run = prepare(&from, &to, &more).start();
    let is_built = "select count(*) from pg_stat_activity where query ilike '%one_slow%' and wait_event = 'PgSleep'";
    wait_until("the index is being built", &mut run, |_| {
        target.psql("postgres", is_built) != "0"
    });
    proxy.block();
    let stopped = run.finish();
    assert_eq!(stopped.status, 5, "{stopped}");
    assert!(!stopped.stderr.contains("may finish"), "{stopped}");
}

/// Whoever ends idle sessions ends all of them. A job that has met a dead one does not go on to the next with every retry that it has.
#[test]
fn sessions_that_died_while_they_were_idle_do_not_use_up_the_retries() {
    let (Some(source), Some(target)) = (Server::start(16), Server::start(17)) else {
        return;
    };
    let from = source.database("shop");
    source.psql(
        "shop",
        "create function nap(id int, seconds float) returns int immutable language plpgsql as $$
         begin
             if id = 1 and pg_catalog.current_setting('application_name') like 'pgconvoy:%'
                 and pg_catalog.current_query() ilike '%create index%' then
                 perform pg_catalog.pg_sleep(seconds);
             end if;
             return id;
         end $$;
         create table wide as select i as id, repeat('x', 400) as body from generate_series(1, 10000) i;
         create index slow on wide (public.nap(id, 8));",
    );
    for number in 1..=14 {
        let index = format!("create index quick_{number} on wide (public.nap(id, 2.{number:02}))");
        source.psql("shop", &index);
    }
    let to = target.database("shop");
    let more = ["-j", "20", "--memory", "1GB", "--max-retries", "1"];
    let mut run = prepare(&from, &to, &more).start();
    // A session is called after its job while it has one.
    let of_jobs = "from pg_stat_activity where application_name = 'pgconvoy:write' or application_name like 'pgconvoy:index %'";
    let one_works = format!(
        "select count(*) filter (where state = 'idle') >= 12 and \
         count(*) filter (where state = 'active' and query ilike '%create index slow%') = 1 and \
         count(*) filter (where state <> 'idle') = 1 {of_jobs}"
    );
    wait_until("all indexes but one are built", &mut run, |_| {
        target.psql("postgres", &one_works) == "t"
    });
    let ended = format!("select count(pg_terminate_backend(pid)) {of_jobs}");
    let ended: u32 = target.psql("postgres", &ended).parse().expect("a number");
    assert!(ended >= 13, "{ended}");
    let finished = run.finish();
    assert_proven(&finished);
    assert_eq!(retries(&finished.path(RUN_DIR)), 1, "{finished}");
    assert_equal("after all were ended", &from, &to, &[]);
}

/// All sessions of a target end, that which keeps other runs out among them, while an index is being built. The run says so, and is
/// resumed.
#[track_caller]
fn when_all_sessions_of_the_target_end(end: impl FnOnce(&mut Server)) {
    let (Some(source), Some(mut target)) = (Server::start(16), Server::start(17)) else {
        return;
    };
    let from = source.database("shop");
    source.psql(
        "shop",
        "create function nap(id int) returns int immutable language plpgsql as $$
         begin
             if pg_catalog.current_setting('application_name') like 'pgconvoy:%' then
                 perform pg_catalog.pg_sleep(3);
             end if;
             return id;
         end $$;
         create table one (id int);
         insert into one values (1);
         create index one_slow on one (public.nap(id));",
    );
    let to = target.database("shop");
    let mut run = prepare(&from, &to, &[]).start();
    wait_until("the index is being built", &mut run, |_| {
        !target.psql("shop", BUILDERS).is_empty()
    });
    end(&mut target);
    let stopped = run.finish();
    assert_eq!(stopped.status, 5, "{stopped}");
    for says in [
        "the target was restarted or has crashed, or it could not reach us for a minute, or the session that keeps other runs out of it \
         (pgconvoy:claim) was ended",
        "Look in the target's log for which of these it was",
        "pgconvoy resume",
    ] {
        assert!(stopped.stderr.contains(says), "{says}: {stopped}");
    }
    assert!(!stopped.stderr.contains("invalid input"), "{stopped}");
    let resumed = Pgconvoy::new(["resume".as_ref(), stopped.path(RUN_DIR).as_os_str()]).run();
    assert_eq!(resumed.status, 0, "{resumed}");
    assert_equal("after all sessions ended", &from, &to, &[]);
}

/// The server's process that builds the index; nothing if none does.
const BUILDERS: &str = "select pid from pg_stat_activity where query ilike '%create index one_slow%' and wait_event = 'PgSleep'";

#[test]
fn a_restart_of_the_target_is_named_and_the_run_is_resumed() {
    when_all_sessions_of_the_target_end(|target| {
        let restarted = target.cluster.restart(StopMode::Fast);
        restarted.expect("it starts again");
    });
}

/// As when its machine has no memory left.
#[test]
fn the_crash_of_one_backend_of_the_target_is_named_and_the_run_is_resumed() {
    when_all_sessions_of_the_target_end(|target| {
        let pid = target.psql("shop", BUILDERS);
        let killed = std::process::Command::new("kill")
            .args(["-KILL", &pid])
            .status();
        assert!(killed.expect("it can be killed").success(), "{pid}");
    });
}

/// No snapshot outlives its server, whoever holds it.
#[test]
fn a_restart_of_the_source_while_it_is_read_takes_the_snapshot_and_the_run_is_resumed() {
    let (Some(mut source), Some(target)) = (Server::start(16), Server::start(17)) else {
        return;
    };
    let from = source.database("shop");
    source.psql(
        "shop",
        "create function nap(id int) returns int immutable language plpgsql as $$
         begin
             if pg_catalog.current_setting('application_name') like 'pgconvoy:%' then
                 perform pg_catalog.pg_sleep(0.1);
             end if;
             return id;
         end $$;
         create table many (id int, body text, check (public.nap(id) > 0));
         alter table many alter column body set storage external;
         insert into many select i, repeat('x', 100000) from generate_series(1, 40) i;",
    );
    let to = target.database("shop");
    let mut run = prepare(&from, &to, &[]).start();
    let copies = "select count(*) from pg_stat_activity where query ilike '%copy%many%' and wait_event = 'PgSleep'";
    wait_until("rows are copied", &mut run, |_| {
        target.psql("postgres", copies) != "0"
    });
    let restarted = source.cluster.restart(StopMode::Fast);
    restarted.expect("it starts again");
    let stopped = run.finish();
    assert_eq!(stopped.status, 5, "{stopped}");
    let is_named =
        stopped.stderr.contains("the source's snapshot ") && stopped.stderr.contains(" is gone");
    assert!(is_named, "{stopped}");
    let resumed = Pgconvoy::new(["resume".as_ref(), stopped.path(RUN_DIR).as_os_str()]).run();
    assert_eq!(resumed.status, 0, "{resumed}");
    assert_equal("after the source was restarted", &from, &to, &[]);
}

/// Two servers, and a slow line to one of them.
struct SlowLine {
    source: Server,
    target: Server,
    side: Side,
    proxy: Proxy,
}

/// Rows that are on such a line for eight seconds.
const LONG: &str = "
    create table many (id int primary key, body text);
    insert into many select i, repeat('x', 100000) from generate_series(1, 160) i;
    create index many_body on many (md5(body));
";

impl SlowLine {
    fn to(side: Side) -> Option<Self> {
        let (source, target) = (over_tcp(16)?, over_tcp(17)?);
        source.database("shop");
        source.psql("shop", LONG);
        target.database("shop");
        let proxy = Proxy::start(match side {
            Side::Source => source.cluster.port(),
            Side::Target => target.cluster.port(),
        });
        proxy.slow_down(2 << 20);
        Some(Self {
            source,
            target,
            side,
            proxy,
        })
    }

    /// A move that is in the middle of the copy: some rows have arrived.
    #[track_caller]
    fn in_mid_copy(&self, more: &[&str]) -> Running {
        let [mut from, mut to] = [&self.source, &self.target].map(|server| server.conninfo("shop"));
        match self.side {
            Side::Source => from = by_way_of(&self.proxy, &self.source, "shop"),
            Side::Target => to = by_way_of(&self.proxy, &self.target, "shop"),
        }
        let mut run = prepare(&from, &to, more).start();
        let arrived = "select count(*) from pg_stat_progress_copy where bytes_processed > 0";
        wait_until("rows arrive", &mut run, |_| {
            self.target.psql("postgres", arrived) != "0"
        });
        run
    }

    /// The line is as good as new, and the run goes on to its proof.
    #[track_caller]
    fn assert_resumes(&self, stopped: &Finished) {
        self.proxy.slow_down(0);
        self.proxy.mend();
        let run_dir = stopped.path(RUN_DIR);
        let resumed = Pgconvoy::new(["resume".as_ref(), run_dir.as_os_str()]).run();
        assert_eq!(resumed.status, 0, "{resumed}");
        assert_eq!(report(stopped)["status"], "proven", "{resumed}");
        let [from, to] = [&self.source, &self.target].map(|server| server.conninfo("shop"));
        assert_equal("after the line was down", &from, &to, &[]);
        assert_no_ledger(&self.target, "shop");
    }
}

/// A line goes down in the middle of the copy, and is still down when a job has been tried again as often as it may. The run says which
/// server it cannot reach, and how to go on.
#[track_caller]
fn when_a_line_stays_down(side: Side) {
    let Some(line) = SlowLine::to(side) else {
        return;
    };
    let run = line.in_mid_copy(&["--max-retries", "2"]);
    line.proxy.block();
    let stopped = run.finish();
    assert_eq!(stopped.status, 5, "{stopped}");
    assert!(retries(&stopped.path(RUN_DIR)) >= 2, "{stopped}");
    let told = report(&stopped);
    assert_eq!(told["status"], "interrupted", "{stopped}");
    let sentence = told["sentence"].as_str().unwrap_or_default();
    let address = format!("127.0.0.1:{}", line.proxy.port());
    for says in ["Interrupted: ", &format!(": the {side}: "), &address] {
        assert!(sentence.contains(says), "{says}: {stopped}");
    }
    let next = "Go on where it stopped: pgconvoy resume run";
    assert_eq!(told["next"], next, "{stopped}");
    let last = stopped.stderr.lines().last();
    assert_eq!(last, Some("pgconvoy resume run"), "{stopped}");
    line.assert_resumes(&stopped);
}

#[test]
fn a_line_to_the_target_that_stays_down_is_named_and_the_run_is_resumed() {
    when_a_line_stays_down(Side::Target);
}

#[test]
fn a_line_to_the_source_that_stays_down_is_named_and_the_run_is_resumed() {
    when_a_line_stays_down(Side::Source);
}

/// A line to the target comes back while jobs are still tried again, but the session that keeps other runs out has gone with it: whoever
/// came in between may be at work there.
#[test]
fn a_line_to_the_target_that_was_down_for_too_long_ends_the_run_when_it_comes_back() {
    let Some(line) = SlowLine::to(Side::Target) else {
        return;
    };
    let mut run = line.in_mid_copy(&[]);
    line.proxy.block();
    let claims = "select count(*) from pg_stat_activity where application_name = 'pgconvoy:claim'";
    wait_until("the target has noticed", &mut run, |_| {
        line.target.psql("postgres", claims) == "0"
    });
    line.proxy.mend();
    let stopped = run.finish();
    assert_eq!(stopped.status, 5, "{stopped}");
    for says in ["it could not reach us for a minute", "pgconvoy resume run"] {
        assert!(stopped.stderr.contains(says), "{says}: {stopped}");
    }
    line.assert_resumes(&stopped);
}

/// When all is copied, the source is asked once more, by a session of its own. If it cannot be reached then, nobody is told that nothing was
/// touched.
#[cfg(feature = "faults")]
#[test]
fn a_source_that_is_away_once_all_is_copied_is_no_wrong_usage() {
    let (Some(source), Some(target)) = (over_tcp(16), Server::start(17)) else {
        return;
    };
    source.database("shop");
    source.psql("shop", "create table fish (id int primary key)");
    let to = target.database("shop");
    let proxy = Proxy::start(source.cluster.port());
    let run = prepare(&by_way_of(&proxy, &source, "shop"), &to, &[]);
    let held = run.dir().join("held");
    let mut run = run
        .env("PGCONVOY_FAULT", "hold@jobs-done")
        .env("PGCONVOY_FAULT_FILE", &held)
        .start();
    wait_until("all jobs are done", &mut run, |_| held.exists());
    proxy.block();
    std::fs::remove_file(&held).expect("it is there");
    let stopped = run.finish();
    assert_eq!(stopped.status, 5, "{stopped}");
    let told = report(&stopped);
    let sentence = told["sentence"].as_str().unwrap_or_default();
    assert!(
        sentence.starts_with("Interrupted: the source: "),
        "{stopped}"
    );
    assert!(!stopped.stderr.contains("Nothing was touched"), "{stopped}");
    proxy.mend();
    let run_dir = stopped.path(RUN_DIR);
    let resumed = Pgconvoy::new(["resume".as_ref(), run_dir.as_os_str()]).run();
    assert_eq!(resumed.status, 0, "{resumed}");
    assert_eq!(report(&stopped)["status"], "proven", "{resumed}");
    assert_no_ledger(&target, "shop");
}

/// A database that was created is there, whatever could not be done in it afterwards: nobody is told that nothing was touched.
#[cfg(feature = "faults")]
#[test]
fn a_target_that_is_away_once_it_was_created_is_no_wrong_usage() {
    let (Some(source), Some(target)) = (Server::start(16), over_tcp(17)) else {
        return;
    };
    source.database("shop");
    source.psql("shop", "create table fish (id int primary key)");
    let proxy = Proxy::start(target.cluster.port());
    let to = by_way_of(&proxy, &target, "shop");
    let run = prepare(&source.conninfo("shop"), &to, &["--create"]);
    let held = run.dir().join("held");
    let mut run = run
        .env("PGCONVOY_FAULT", "hold@target-ready")
        .env("PGCONVOY_FAULT_FILE", &held)
        .start();
    wait_until("it was created", &mut run, |_| held.exists());
    proxy.block();
    std::fs::remove_file(&held).expect("it is there");
    let stopped = run.finish();
    assert_eq!(stopped.status, 5, "{stopped}");
    assert!(!stopped.stderr.contains("othing was touched"), "{stopped}");
    let last = stopped.stderr.lines().last();
    assert_eq!(last, Some("pgconvoy resume run"), "{stopped}");
    proxy.mend();
    let run_dir = stopped.path(RUN_DIR);
    let resumed = Pgconvoy::new(["resume".as_ref(), run_dir.as_os_str()]).run();
    assert_eq!(resumed.status, 0, "{resumed}");
    assert_no_ledger(&target, "shop");
}
