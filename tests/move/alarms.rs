//! When something goes wrong it is said, whole and by name, and never with exit status 0.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pgconvoy::pg::cluster::StopMode;
use serde_json::Value;

use crate::support::binary::{Finished, Pgconvoy, Running};
use crate::support::moving::{
    RUN_DIR, assert_equal, assert_no_ledger, assert_proven, move_with, prepare, report,
};
use crate::support::server::Server;

/// Large enough for several chunks and several buffers.
const LARGE: &str = "
    create table large (id int primary key, filling text);
    insert into large select i, repeat(md5(i::text), 20) from generate_series(1, 10000) i;
    create table small as select i from generate_series(1, 10) i;
    analyze;
";

fn named(report: &Value) -> Vec<String> {
    let differences = report["differences"].as_array().expect("a list");
    let objects = differences.iter().map(|difference| &difference["object"]);
    objects
        .map(|object| object.as_str().expect("a name").replace('"', ""))
        .collect()
}

#[test]
fn a_copy_with_a_hole_is_found_and_one_that_is_cut_short_fails() {
    let (Some(source), Some(target)) = (Server::start(15), Server::start(15)) else {
        return;
    };
    let from = source.database("db");
    source.psql("db", LARGE);

    let to = target.database("hole");
    let hole = prepare(&from, &to, &["--chunk-size", "1MB"])
        .env("PGCONVOY_FAULT", "hole-between-chunks")
        .run();
    assert_eq!(hole.status, 3, "{hole}");
    assert_eq!(named(&report(&hole)), ["public.large"; 2], "{hole}");
    assert!(hole.stderr.contains("-10,000 rows"), "{hole}");

    let to = target.database("cut");
    for (attempt, arguments) in [["-j", "1"], ["--chunk-size", "1MB"]].iter().enumerate() {
        let to = if attempt == 0 {
            to.clone()
        } else {
            target.database("cut again")
        };
        let cut = prepare(&from, &to, arguments)
            .env("PGCONVOY_FAULT", "relay-cut-short")
            .run();
        assert_eq!(cut.status, 1, "{cut}");
        assert!(
            cut.stderr.replace('"', "").contains("public.large"),
            "{cut}"
        );
    }
    // Half a table would be worse than none.
    assert_eq!(target.psql("cut", "select count(*) from large"), "0");

    let to = target.database("whole");
    assert_proven(&move_with(&from, &to, &["--chunk-size", "1MB"]));
}

/// What can be wrong with a source: each statement that fails, and the SQLSTATE with which.
const BROKEN: [(&str, &str); 6] = [
    (
        "ADD CONSTRAINT children_parent_fkey FOREIGN KEY (parent) REFERENCES public.parents(id)",
        "23503",
    ),
    (
        "CREATE UNIQUE INDEX twice_a_key ON public.twice USING btree (a)",
        "23505",
    ),
    // Of a key that is made in two steps; the second is none that fails, and so it is not told.
    (
        "CREATE UNIQUE INDEX doubled_a_key ON public.doubled USING btree (a)",
        "23505",
    ),
    (
        "CREATE INDEX named_shout ON public.named USING btree (public.shout(a))",
        "42883",
    ),
    ("refresh materialized view \"public\".\"seen\"", "42P01"),
    ("refresh materialized view \"public\".\"noted\"", "22P02"),
];

fn break_source(source: &Server) {
    source.psql(
        "db",
        "
        create table parents (id int primary key);
        create table children (id int primary key, parent int);
        insert into parents values (1), (2);
        alter table children add constraint children_parent_fkey foreign key (parent) references parents;
        set session_replication_role = replica;
        insert into children values (1, 1), (2, 3);
        set session_replication_role = origin;

        create table twice (a int not null, note text);
        create unique index twice_a_key on twice (a);
        update pg_index set indisready = false where indexrelid = 'twice_a_key'::regclass;
        insert into twice values (7, 'one'), (7, 'two'), (8, 'three');
        update pg_index set indisready = true where indexrelid = 'twice_a_key'::regclass;

        create table doubled (a int unique, filling text);
        update pg_index set indisready = false where indexrelid = 'doubled_a_key'::regclass;
        insert into doubled select i / 2, repeat(md5(i::text), 20) from generate_series(1, 5000) i;
        update pg_index set indisready = true where indexrelid = 'doubled_a_key'::regclass;

        -- Both find what they use by a search_path that pg_dump does not have.
        create table named (a text);
        insert into named values ('x'), ('y');
        create function loud(text) returns text language sql immutable as 'select upper($1)';
        create function shout(a text) returns text language plpgsql immutable as 'begin return loud(a); end';
        create index named_shout on named (shout(a));
        create function names() returns setof text language plpgsql as 'begin return query select a from named; end';
        create materialized view seen as select a from names() a;
        create index seen_a on seen (a);

        -- Once it has been read back, nobody would see what is added to it.
        create table notes (what text);
        create function note() returns int language plpgsql as 'begin insert into public.notes values (''noted''); return 1; end';
        create materialized view noted as select note();

        create table fine (id int primary key, parent int references parents);
        insert into fine values (1, 1), (2, 2);
        create index fine_parent on fine (parent);
        create view nice as select * from fine;
        comment on view nice is 'nice';
        ",
    );
}

#[test]
fn what_fails_is_shown_whole_and_kept_and_all_else_goes_on() {
    let (Some(source), Some(target)) = (Server::start(15), Server::start(15)) else {
        return;
    };
    let from = source.database("db");
    break_source(&source);
    let to = target.database("db");
    let run = move_with(&from, &to, &[]);
    assert_eq!(run.status, 1, "{run}");
    assert_eq!(report(&run)["status"], "failed", "{run}");
    let kept = kept_files(&run);
    assert_eq!(kept.len(), BROKEN.len(), "{kept:#?}\n{run}");
    for (statement, code) in BROKEN {
        assert!(
            run.stderr.contains(statement),
            "{statement} is not shown: {run}"
        );
        let file = kept.iter().find(|text| text.contains(statement));
        let file = file.unwrap_or_else(|| panic!("{statement} is not kept: {kept:#?}"));
        for part in [code, "-- what to do: "] {
            assert!(file.contains(part), "no {part:?} in {file}");
        }
    }
    assert!(
        run.stderr
            .contains("Key (parent)=(3) is not present in table \"parents\"."),
        "{run}"
    );
    assert!(run.stderr.contains("Key (a)=(7) is duplicated."), "{run}");
    assert!(run.stderr.contains("search_path"), "{run}");
    assert!(
        run.stderr
            .contains("a function that it calls has written to public.notes"),
        "{run}"
    );

    // Everything else is there.
    for (table, rows) in [
        ("parents", "2"),
        ("children", "2"),
        ("twice", "3"),
        ("doubled", "5000"),
        ("named", "2"),
        ("fine", "2"),
        ("nice", "2"),
        ("notes", "1"),
    ] {
        assert_eq!(
            target.psql("db", &format!("select count(*) from {table}")),
            rows,
            "{table}"
        );
    }
    let there = target.psql(
        "db",
        "select to_regclass('fine_parent'), to_regclass('fine_pkey'), obj_description('nice'::regclass),
                (select convalidated from pg_constraint where conname = 'fine_parent_fkey')",
    );
    assert_eq!(there, "fine_parent|fine_pkey|nice|t");
}

/// What is under `failed/`.
fn kept_files(run: &Finished) -> Vec<String> {
    let entries = fs::read_dir(run.path(RUN_DIR).join("failed"))
        .unwrap_or_else(|error| panic!("nothing was kept: {error}: {run}"));
    entries
        .map(|entry| fs::read_to_string(entry.expect("an entry").path()).expect("text"))
        .collect()
}

#[test]
fn what_failed_can_be_repeated_alone_when_its_cause_is_gone() {
    let (Some(source), Some(target)) = (Server::start(15), Server::start(18)) else {
        return;
    };
    let from = source.database("db");
    source.psql(
        "db",
        "create table parents (id int primary key); create table children (parent int);
         insert into parents values (1);
         alter table children add foreign key (parent) references parents on delete cascade;
         set session_replication_role = replica; insert into children values (1), (3)",
    );
    let to = target.database("db");
    let run = move_with(&from, &to, &[]);
    assert_eq!(run.status, 1, "{run}");
    let kept = kept_files(&run);
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(target.try_psql("db", &kept[0]).is_err(), "it still fails");
    target.psql("db", "delete from children where parent = 3");
    target.psql("db", &kept[0]);
    let key = "select conname, convalidated, confdeltype from pg_constraint where contype = 'f'";
    assert_eq!(target.psql("db", key), "children_parent_fkey|t|c");
}

/// Roles, databases and server settings may have any of these; a session of ours has none.
const HOSTILE: [&str; 21] = [
    "default_transaction_read_only = on",
    "statement_timeout = '1ms'",
    "lock_timeout = '1ms'",
    "idle_in_transaction_session_timeout = '1ms'",
    "search_path = hostile",
    "\"DateStyle\" = 'SQL, DMY'",
    "\"IntervalStyle\" = 'sql_standard'",
    "\"TimeZone\" = 'Asia/Kathmandu'",
    "extra_float_digits = -15",
    "bytea_output = 'escape'",
    "lc_monetary = 'C'",
    "client_encoding = 'LATIN1'",
    "standard_conforming_strings = off",
    "quote_all_identifiers = on",
    "array_nulls = off",
    "xmloption = 'document'",
    "transform_null_equals = on",
    "check_function_bodies = on",
    "default_transaction_isolation = 'serializable'",
    "default_transaction_deferrable = on",
    "row_security = off",
];

const VALUES: &str = r"
    create table v (id int primary key, f float8, d timestamptz, i interval, b bytea, x xml, a int[], t text default E'back\\slash', m money);
    insert into v values
        (1, 0.1::float8 + 0.2::float8, '2001-02-03 04:05:06.789+00', '1 mon -2 days 03:04:05.6', '\x00ff5c', 'a<b/>c', '{1,NULL,3}', 'it''s \ ü', 12.34),
        (2, '-0', 'infinity', '-1 year', '', '<a/>', '{NULL}', E'\n\t\\N', -5),
        (3, 'NaN', '0044-03-15 12:00:00+00 BC', '0', null, null, null, null, null);
    create table moments (at date primary key, check (at > '03/02/2001'));
    insert into moments values ('2001-03-04');
    create index on v (d) where t = E'\\';
    create function backslash() returns text language sql as $$ select '\' $$;
    create table hostile_to_null (a int, check (a is null or a > 0));
    insert into hostile_to_null values (null), (1);
    -- Its keys are made in two steps.
    create table large (id int primary key, filling text, unique (filling, id));
    insert into large select i, repeat(md5(i::text), 20) from generate_series(1, 10000) i;
";

#[test]
fn settings_of_the_role_do_not_reach_our_sessions() {
    let (Some(source), Some(target)) = (Server::start(15), Server::start(18)) else {
        return;
    };
    let from = source.database("db");
    source.psql("db", VALUES);
    let to = target.database("db");
    for server in [&source, &target] {
        server.psql("postgres", "create role mover superuser login");
        for setting in HOSTILE {
            server.psql("postgres", &format!("alter role mover set {setting}"));
        }
    }
    target.psql(
        "postgres",
        "alter role mover set transaction_timeout = '20ms'",
    );
    let dir = target.cluster.create_dir("elsewhere").expect("a directory");
    for sql in [
        format!("create tablespace elsewhere location '{}'", dir.display()),
        "alter role mover set default_tablespace = elsewhere".to_owned(),
    ] {
        target.psql("postgres", &sql);
    }
    let run = move_with(
        &format!("{from} user=mover"),
        &format!("{to} user=mover"),
        &["--no-owner"],
    );
    assert_proven(&run);
    assert_no_ledger(&target, "db");
    assert_equal("db", &from, &to, &["--no-owner"]);
}

/// VACUUM and ANALYZE would rest for a tenth of a second after every page: four minutes for this table.
#[test]
fn a_vacuum_that_is_to_rest_does_not_hold_up_a_move() {
    let (Some(source), Some(target)) = (Server::start(16), Server::start(16)) else {
        return;
    };
    let (from, to) = (source.database("db"), target.database("db"));
    source.psql(
        "db",
        "create table t (id int primary key, what text);
         insert into t select i, repeat('x', 300) from generate_series(1, 60000) i; analyze",
    );
    target.psql("postgres", "alter system set vacuum_cost_delay = '100ms'");
    target.psql("postgres", "alter system set vacuum_cost_limit = 1");
    target.cluster.reload().expect("reloaded");
    let began = Instant::now();
    assert_proven(&move_with(&from, &to, &[]));
    let took = began.elapsed();
    assert!(took < Duration::from_secs(60), "{took:?}");
    let analyzed = "select count(*) from pg_stats where tablename = 't'";
    assert_eq!(target.psql("db", analyzed), "2");
}

#[test]
fn writes_to_the_source_meanwhile_are_told_by_table() {
    let (Some(source), Some(target)) = (Server::start(15), Server::start(15)) else {
        return;
    };
    let from = source.database("db");
    source.psql("db", LARGE);
    source.psql(
        "db",
        "create table busy (i int, at timestamptz default now()); create table quiet (i int)",
    );
    let to = target.database("db");
    let mut run = prepare(&from, &to, &["-j", "1", "--chunk-size", "1MB"]).start();
    let mut written = 0;
    while run.is_running() {
        source.psql("db", "insert into busy select generate_series(1, 100)");
        written += 100;
    }
    let run = run.finish();
    let report = assert_proven(&run);
    let tables = report["source_moved_on"]["tables"]
        .as_array()
        .expect("it was noticed");
    assert_eq!(tables.len(), 1, "{tables:?}");
    assert_eq!(
        tables[0][0].to_string().replace(['"', '\\'], ""),
        "public.busy"
    );
    assert!(run.stderr.replace('"', "").contains("public.busy"), "{run}");
    // One moment of it has arrived, whole inserts and no more.
    let arrived: u64 = target
        .psql("db", "select count(*) from busy")
        .parse()
        .expect("a number");
    assert!(
        arrived.is_multiple_of(100) && arrived < written,
        "{arrived} of {written}"
    );
}

#[test]
fn a_materialized_view_that_was_stale_is_a_note() {
    let (Some(source), Some(target)) = (Server::start(15), Server::start(15)) else {
        return;
    };
    let from = source.database("db");
    source.psql(
        "db",
        "create table t (a int); insert into t values (1), (2); create materialized view stale as select a from t;
         create materialized view fresh as select max(a) from t; insert into t values (1)",
    );
    let to = target.database("db");
    let run = move_with(&from, &to, &[]);
    let report = assert_proven(&run);
    let notes = report["notes"].to_string().replace(['"', '\\'], "");
    assert!(
        notes.contains("public.stale") && !notes.contains("public.fresh"),
        "{notes}\n{run}"
    );
}

/// What a query gives that reads the clock, casts dice or asks which server it is on is not the same twice, or not on both sides: that is
/// no difference, and it is told. What such a view gives alike each time is compared all the same.
#[test]
fn views_that_no_query_gives_twice_are_compared_as_far_as_that_goes() {
    let (Some(source), Some(target)) = (Server::start(16), Server::start(17)) else {
        return;
    };
    let from = source.database("db");
    source.psql(
        "db",
        "create table t (id int primary key, note text);
         insert into t select i, md5(i::text) from generate_series(1, 500) i;
         create materialized view stamped as select id, note, now() as refreshed_at from t;
         create materialized view here as select count(*), current_setting('unix_socket_directories') as directory from t;
         create materialized view plain as select max(note) from t",
    );
    let to = target.database("db");
    let ends = ["--source", &from, "--target", &to];
    let compare = |command: &str| {
        let run = [command, "--run-dir", RUN_DIR];
        Pgconvoy::new(run.iter().chain(&ends)).run()
    };
    let moved = move_with(&from, &to, &[]);
    for run in [moved, compare("verify"), compare("sync")] {
        let report = assert_proven(&run);
        let notes = report["notes"].to_string();
        for words in [
            "public.stamped cannot be compared as a whole, because its query is not deterministic on either server: its 500 \
             rows were compared by columns id, note, and not by column refreshed_at",
            "public.here holds on the target what its query gives there",
        ] {
            assert!(notes.contains(words), "{words}: {run}");
        }
        assert!(!notes.contains("public.plain"), "{run}");
        let checked = &report["checked"];
        let counted = |what: &str| {
            let mut all = checked.as_array().expect("a list").iter();
            all.find(|one| one["what"] == what)
                .map(|one| one["count"].clone())
        };
        assert_eq!(counted("materialized views"), Some(2.into()), "{run}");
        let partly = "materialized views as far as their queries give the same twice";
        assert_eq!(counted(partly), Some(1.into()), "{run}");
    }

    // Too early, as if not all rows had been there.
    target.psql("db", "delete from t where id = 7");
    target.psql("db", "refresh materialized view stamped");
    target.psql("db", "insert into t values (7, md5('7'))");
    let stale = compare("verify");
    assert_eq!(stale.status, 3, "{stale}");
    assert_eq!(named(&report(&stale)), ["public.stamped"], "{stale}");
    assert_proven(&compare("sync"));
    assert_eq!(target.psql("db", "select count(*) from stamped"), "500");

    // Nothing of this one is the same twice.
    let drawn = "create materialized view drawn as select i from generate_series(1, 100000) i where random() < 0.5";
    for server in [&source, &target] {
        server.psql("db", drawn);
    }
    let drawn = compare("verify");
    assert_eq!(drawn.status, 1, "{drawn}");
    let unverified = report(&drawn)["unverified"].to_string();
    assert!(unverified.contains("public.drawn"), "{drawn}");

    // Where nobody compares the table, what the target makes of its own proves nothing.
    target.psql("db", "insert into t values (501, 'zzz')");
    target.psql("db", "refresh materialized view plain");
    let alone = ["verify", "--run-dir", RUN_DIR, "-t", "public.plain"];
    let alone = Pgconvoy::new(alone.iter().chain(&ends)).run();
    assert_eq!(alone.status, 3, "{alone}");
    assert_eq!(named(&report(&alone)), ["public.plain"], "{alone}");
}

/// Takes a minute wherever one of our sessions evaluates it.
const SLOW: &str = "
    create function slow(a int) returns int language plpgsql immutable as $$
    begin
        if current_setting('application_name') like 'pgconvoy%' then
            perform pg_catalog.pg_sleep(60);
        end if;
        return a;
    end $$;
    create table t (a int);
    insert into t values (1);
";

/// What a run can be in the middle of.
const IN_THE_MIDDLE: [(&str, &str); 3] = [
    ("a COPY", "alter table t add check (public.slow(a) > 0)"),
    ("an index build", "create index on t (public.slow(a))"),
    (
        "reading the source",
        // A view that is out of date: then its query is run there. No function of ours: those are not run with a superuser's rights.
        "create table here as select current_setting('unix_socket_directories') as directory;
         create materialized view m as
         select a, case when current_setting('application_name') like 'pgconvoy%'
                         and current_setting('unix_socket_directories') = (select directory from here)
                        then pg_sleep(60) is null end as slept from t;
         insert into t values (2)",
    ),
];

/// Waits until one of our sessions sleeps.
fn wait_for_sleep(run: &mut Running, servers: [&Server; 2]) {
    let sleeping = "select count(*) from pg_stat_activity where wait_event = 'PgSleep' and application_name like 'pgconvoy%'";
    let began = Instant::now();
    while servers
        .iter()
        .all(|server| server.psql("postgres", sleeping) == "0")
    {
        assert!(run.is_running(), "it ended before it slept");
        assert!(began.elapsed() < Duration::from_secs(40), "it never slept");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// But for the keeper of an interrupted run, which stays on purpose.
fn assert_nobody_left(server: &Server) {
    let ours = "select coalesce(string_agg(application_name || ': ' || query, E'\\n'), '') from pg_stat_activity
                where application_name like 'pgconvoy%' and application_name <> 'pgconvoy:keeper'
                   or application_name = 'pg_dump'";
    let began = Instant::now();
    loop {
        let left = server.psql("postgres", ours);
        if left.is_empty() {
            return;
        }
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "still there: {left}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn send(run: &Running, signal: Signal) {
    let pid = i32::try_from(run.pid()).expect("a process id");
    kill(Pid::from_raw(pid), signal).expect("it is there");
}

#[test]
fn a_signal_ends_everything_on_both_servers() {
    let (Some(source), Some(target)) = (Server::start(15), Server::start(18)) else {
        return;
    };
    let signals = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGINT];
    for (number, ((what, sql), signal)) in IN_THE_MIDDLE.into_iter().zip(signals).enumerate() {
        let database = format!("db{number}");
        let from = source.database(&database);
        source.psql(&database, &format!("{SLOW}; {sql}"));
        let to = target.database(&database);
        let mut run = prepare(&from, &to, &["--drain-seconds=0"]).start();
        wait_for_sleep(&mut run, [&source, &target]);
        let asked = Instant::now();
        send(&run, signal);
        let run = run.finish();
        assert!(asked.elapsed() < Duration::from_secs(30), "{what}: {run}");
        assert_eq!(run.status, 5, "{what}: {run}");
        assert!(run.stderr.contains(signal.as_str()), "{what}: {run}");
        assert_eq!(report(&run)["status"], "interrupted", "{what}: {run}");
        assert_nobody_left(&source);
        assert_nobody_left(&target);
        let ledger = target.psql(
            &database,
            "select count(*) from pg_namespace where nspname = 'pgconvoy'",
        );
        assert_eq!(ledger, "1", "{what}: {run}");
    }
}

#[test]
fn a_server_that_goes_away_is_an_interruption() {
    let (Some(mut source), Some(mut target)) = (Server::start(15), Server::start(15)) else {
        return;
    };
    for (database, (_, sql), is_source) in [
        ("one", IN_THE_MIDDLE[0], false),
        ("two", IN_THE_MIDDLE[2], true),
    ] {
        let from = source.database(database);
        source.psql(database, &format!("{SLOW}; {sql}"));
        let to = target.database(database);
        let mut run = prepare(&from, &to, &["--max-retries=0"]).start();
        wait_for_sleep(&mut run, [&source, &target]);
        let (gone, stays) = if is_source {
            (&mut source, &mut target)
        } else {
            (&mut target, &mut source)
        };
        gone.cluster.stop(StopMode::Immediate).expect("stopped");
        let asked = Instant::now();
        let run = run.finish();
        assert!(asked.elapsed() < Duration::from_secs(40), "{run}");
        assert_eq!(run.status, 5, "{run}");
        assert!(run.stderr.contains("connection"), "{run}");
        assert_nobody_left(stays);
        gone.cluster.resume().expect("started again");
    }
}

#[test]
fn a_killed_run_leaves_no_session() {
    let (Some(source), Some(target)) = (Server::start(15), Server::start(18)) else {
        return;
    };
    let from = source.database("db");
    source.psql("db", &format!("{SLOW}; {}", IN_THE_MIDDLE[1].1));
    let mut run = prepare(&from, &target.database("db"), &[]).start();
    wait_for_sleep(&mut run, [&source, &target]);
    run.kill();
    assert_eq!(run.finish().status, -1);
    assert_nobody_left(&source);
    assert_nobody_left(&target);
}

/// Whoever of us waits for a lock on the source must not go on waiting.
#[test]
fn a_signal_before_anything_was_touched_leaves_nothing() {
    let (Some(source), Some(target)) = (Server::start(15), Server::start(15)) else {
        return;
    };
    let from = source.database("db");
    source.psql("db", "create table t (a int)");
    let to = target.database("db");
    let waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'";
    std::thread::scope(|scope| {
        // Until it is cancelled.
        let holder =
            scope.spawn(|| source.try_psql("db", "begin; lock table t; select pg_sleep(20)"));
        let mut run = prepare(&from, &to, &[]).start();
        let began = Instant::now();
        while source.psql("postgres", waiting) == "0" {
            assert!(
                run.is_running() && began.elapsed() < Duration::from_secs(30),
                "nobody waits"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        send(&run, Signal::SIGTERM);
        let run = run.finish();
        assert_eq!(run.status, 5, "{run}");
        assert!(!run.path(RUN_DIR).exists(), "{run}");
        assert_nobody_left(&source);
        assert_nobody_left(&target);
        source.psql(
            "postgres",
            "select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'PgSleep'",
        );
        assert!(holder.join().expect("it ends").is_err());
    });
    let objects = target.psql("db", "select count(*) from pg_class where oid >= 16384");
    assert_eq!(objects, "0");
}

/// An administrator, a pooler or a firewall ends one session of many.
#[test]
fn a_session_that_is_ended_is_an_interruption_if_nothing_is_to_be_retried() {
    let (Some(source), Some(target)) = (Server::start(15), Server::start(18)) else {
        return;
    };
    for (number, (what, sql)) in IN_THE_MIDDLE.into_iter().enumerate() {
        let database = format!("db{number}");
        let from = source.database(&database);
        source.psql(&database, &format!("{SLOW}; {sql}"));
        let to = target.database(&database);
        let mut run = prepare(&from, &to, &["--max-retries=0"]).start();
        wait_for_sleep(&mut run, [&source, &target]);
        for server in [&source, &target] {
            server.psql(
                "postgres",
                "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep' and application_name like 'pgconvoy%'",
            );
        }
        let run = run.finish();
        assert_eq!(run.status, 5, "{what}: {run}");
        assert_nobody_left(&source);
        assert_nobody_left(&target);
    }
}

#[test]
fn with_too_few_connections_workers_wait_for_each_other() {
    let (Some(source), Some(target)) = (Server::start(15), Server::start(18)) else {
        return;
    };
    let from = source.database("db");
    source.psql("db", LARGE);
    source.psql(
        "postgres",
        "create role few login connection limit 5; grant pg_read_all_data to few",
    );
    target.psql("postgres", "create role few login connection limit 5");
    for (database, source_role, target_role) in
        [("one", "few", "postgres"), ("two", "postgres", "few")]
    {
        let to = target.database(database);
        target.psql(
            "postgres",
            &format!("alter database {database} owner to few"),
        );
        let run = move_with(
            &format!("{from} user={source_role}"),
            &format!("{to} user={target_role}"),
            &["-j", "8", "--chunk-size", "256kB", "--no-owner"],
        );
        assert_eq!(run.status, 0, "{run}");
        assert_equal(database, &from, &to, &["--no-owner"]);
        assert!(
            run.stderr.contains("does not allow as many connections"),
            "{run}"
        );
    }
}
