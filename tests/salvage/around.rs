//! What stands around the rows: indexes and maps, constraints, a server that crashes, a run that is interrupted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use pgconvoy::pg::cluster::{ClusterOptions, StopMode};
use serde_json::Value;

use crate::lab::{Case, Expected, Lab, PAGE, harmless, loses, losses, salvaging};
use crate::support::binary::Pgconvoy;
#[cfg(feature = "faults")]
use crate::support::proxy::Proxy;
use crate::support::server::Server;

fn indexes_and_maps() -> Vec<Case> {
    vec![
        harmless("untouched", |_| {}),
        harmless("key_missing", |files| files.remove("accounts_pkey")),
        harmless("key_meta", |files| files.scramble("accounts_pkey", 0)),
        harmless("key_leaf", |files| files.scramble("accounts_pkey", 1)),
        // One leaf is there twice, and another is not.
        harmless("key_twice", |files| {
            let leaf = files.read("accounts_pkey", PAGE, 8192);
            files.write("accounts_pkey", 2 * PAGE, &leaf);
        }),
        harmless("other_index", |files| files.remove("tags_tag_key")),
        harmless("maps", |files| {
            files.scramble("accounts_vm", 0);
            files.scramble("posts_fsm", 0);
        }),
        Case {
            name: "page_and_leaf",
            damage: Box::new(|files| {
                files.scramble("posts", 6);
                files.scramble("posts_pkey", 1);
            }),
            // What was in the page is known to nobody any more.
            expected: Box::new(|before| Expected {
                status: 6,
                lost: BTreeMap::from([("posts", before.at("posts", |(block, _)| block == 6))]),
                bounded: true,
                ..Expected::default()
            }),
        },
    ]
}

#[test]
fn indexes_and_maps_lose_nothing() {
    let cases = indexes_and_maps();
    let Some(mut lab) = Lab::start(18, false, &cases) else {
        return;
    };
    lab.check(&cases);
}

/// An entry leads to where no row ever was. Every row is there; but of what an index says that has no entry for one of them, nothing is certain.
#[test]
fn an_entry_that_is_bent_makes_nothing_certain() {
    let cases = [harmless("bent", |files| {
        let (_, entry) = files.tuple("accounts_pkey", (1, 5));
        files.write("accounts_pkey", entry + 4, &999u16.to_le_bytes());
    })];
    let Some(lab) = Lab::start(18, false, &cases) else {
        return;
    };
    let run = lab.salvage("bent", &[]);
    assert_eq!(run.status, 6, "{run}");
    let account = losses(&run);
    let rows = &account["tables"][0]["lost_rows"];
    assert_eq!(
        (rows["certain"].as_u64(), rows["perhaps"].as_u64()),
        (Some(0), Some(1)),
        "{account:#}"
    );
    assert!(
        account["notes"]
            .to_string()
            .contains("no entries for 1 row that is there"),
        "{account:#}"
    );
    assert_eq!(
        lab.target.psql("bent", "select count(*) from accounts"),
        "2000"
    );
}

#[test]
fn keys_to_lost_rows_are_left_not_valid_with_the_rows_that_violate_them() {
    let cases = [loses(
        "lost_page",
        "accounts",
        |files| files.scramble("accounts", 1),
        |(block, _)| block == 1,
    )];
    let Some(lab) = Lab::start(18, false, &cases) else {
        return;
    };
    let run = lab.salvage("lost_page", &[]);
    assert_eq!(run.status, 6, "{run}");
    let lost = lab.before.at("accounts", |(block, _)| block == 1);
    let account = losses(&run);
    let constraint = &account["constraints"][0];
    assert_eq!(
        constraint["constraint"], "posts_account_id_fkey",
        "{account:#}"
    );
    let csv = fs::read_to_string(run.path("run/violations/public.posts.posts_account_id_fkey.csv"))
        .expect("a file");
    let mut lines = csv.lines();
    assert_eq!(lines.next(), Some("id,account_id"));
    let pointed: BTreeSet<String> = lines
        .filter_map(|line| line.split(',').nth(1))
        .map(str::to_owned)
        .collect();
    assert_eq!(pointed, lost, "{csv}");
    let query = "select convalidated from pg_constraint where conname = 'posts_account_id_fkey'";
    assert_eq!(lab.target.psql("lost_page", query), "f");
    // The SQL of the account does what it says, once the rows are gone.
    lab.target.psql(
        "lost_page",
        "delete from posts where account_id not in (select id from accounts)",
    );
    lab.target
        .psql("lost_page", constraint["sql"].as_str().expect("SQL"));
    assert_eq!(lab.target.psql("lost_page", query), "t");
    assert!(run.stderr.contains("Salvaged, with losses"), "{run}");
    assert!(run.stderr.contains("losses.json"), "{run}");
}

/// A foreign key of a partitioned table is one of each of its partitions as well, under a name of the server's: what is said of the first is
/// said of all. Servers before 18 cannot have it not valid, and it is left out.
#[test]
fn keys_of_partitions_to_lost_rows_are_explained_with_that_of_their_table() {
    let Some(mut source) = Server::start_with(16, |options| {
        options
            .setting("autovacuum", "off")
            .setting("synchronous_commit", "on")
    }) else {
        return;
    };
    let from = source.database("shop");
    source.psql(
        "shop",
        "create table accounts (id int primary key, name text); \
         insert into accounts select i, repeat('name ' || i, 5) from generate_series(1, 600) i; \
         create table bills (id int, account int references accounts, primary key (id)) partition by hash (id); \
         create table bills_0 partition of bills for values with (modulus 2, remainder 0); \
         create table bills_1 partition of bills for values with (modulus 2, remainder 1) partition by hash (id); \
         create table bills_10 partition of bills_1 for values with (modulus 1, remainder 0); \
         insert into bills select i, i from generate_series(1, 600) i; vacuum (freeze)",
    );
    let path = source.psql("shop", "select pg_relation_filepath('accounts')");
    let lost = source.psql(
        "shop",
        "select count(*) from accounts where ctid >= '(1,0)' and ctid < '(2,0)'",
    );
    source.cluster.stop(StopMode::Fast).expect("it stops");
    let file = source.cluster.data_dir().join(path);
    let mut bytes = fs::read(&file).expect("read");
    bytes[8192..2 * 8192].fill(0);
    fs::write(&file, bytes).expect("written");
    source.cluster.resume().expect("it starts");
    for (major, standing) in [(18, "f"), (16, "")] {
        let Some(target) = Server::start(major) else {
            continue;
        };
        let run = salvaging(&from, &target.database("shop"), &[]).run();
        assert_eq!(run.status, 6, "{major}: {run}");
        assert!(!run.stderr.contains("differs:"), "{major}: {run}");
        let account = losses(&run);
        let constraints = account["constraints"].as_array().expect("a list");
        assert_eq!(constraints.len(), 1, "{account:#}");
        assert_eq!(constraints[0]["constraint"], "bills_account_fkey");
        assert_eq!(
            constraints[0]["violations"].to_string(),
            lost,
            "{account:#}"
        );
        let query = "select convalidated from pg_constraint where conname = 'bills_account_fkey' and conrelid = 'bills'::regclass";
        assert_eq!(target.psql("shop", query), standing, "{major}: {run}");
        // The SQL of the account does what it says, once the rows are gone.
        target.psql(
            "shop",
            "delete from bills where account not in (select id from accounts)",
        );
        target.psql("shop", constraints[0]["sql"].as_str().expect("SQL"));
        assert_eq!(target.psql("shop", query), "t", "{major}");
    }
}

#[test]
fn a_survey_touches_nothing_and_says_the_same() {
    let cases = [
        loses(
            "hurt",
            "accounts",
            |files| files.scramble("accounts", 1),
            |(block, _)| block == 1,
        ),
        harmless("sound", |_| {}),
        // Two entries have changed places: every row can be read, and amcheck alone knows.
        harmless("disorder", |files| {
            let at = PAGE + 24 + 4 * 4;
            let pointers = files.read("accounts_pkey", at, 8);
            files.write(
                "accounts_pkey",
                at,
                &[&pointers[4..], &pointers[..4]].concat(),
            );
        }),
    ];
    let Some(lab) = Lab::start(18, false, &cases) else {
        return;
    };
    lab.source
        .psql("disorder", "create extension amcheck; checkpoint");
    for (database, status) in [("hurt", 6), ("sound", 0), ("disorder", 0)] {
        let source = lab.source.conninfo(database);
        let run = Pgconvoy::new([
            "salvage",
            "--survey",
            "--source",
            &source,
            "--run-dir",
            "run",
            "--ignore-checksum-failure",
        ])
        .run();
        assert_eq!(run.status, status, "{run}");
        assert!(
            run.stderr
                .contains("--ignore-checksum-failure does nothing"),
            "{run}"
        );
        let word = match database {
            "hurt" => "public.accounts: lost: ",
            "disorder" => "the index public.accounts_pkey, by amcheck: ",
            _ => "no damage was found",
        };
        assert!(run.stdout.contains(word), "{run}");
        let count = lab.before.at("accounts", |(block, _)| block == 1).len();
        assert_eq!(
            run.stdout.contains(&format!("lost: {count} rows, 1 of ")),
            status == 6,
            "{run}"
        );
    }
}

/// A path with an absurd number of points brings the server process down that prints it. It is asked for again, by halves, until it is
/// closed in on; and never again after that, not even by a run that begins anew in the same directory.
#[test]
fn a_row_that_crashes_the_server_is_lost_alone() {
    let options = |options: ClusterOptions| {
        options
            .setting("autovacuum", "off")
            .setting("synchronous_commit", "on")
            .setting("shared_buffers", "1MB")
    };
    let (Some(mut source), Some(target)) = (Server::start_with(18, options), Server::start(18))
    else {
        return;
    };
    let conninfo = source.database("shop");
    source.psql(
        "shop",
        "create table shapes (id int primary key, shape path); \
         insert into shapes select i, ('[' || repeat('(1,2),', 20) || '(3,' || i || ')]')::path from generate_series(1, 5) i; \
         create table others as select i from generate_series(1, 1000) i; vacuum (freeze) shapes; vacuum (freeze) others",
    );
    let path = source.psql("shop", "select pg_relation_filepath('shapes')");
    let shapes: u64 = source
        .psql("shop", "select 'shapes'::regclass::oid")
        .parse()
        .expect("a number");
    source.cluster.stop(StopMode::Fast).expect("it stops");
    let file = source.cluster.data_dir().join(path);
    let mut bytes = fs::read(&file).expect("read");
    let item = u32::from_le_bytes(bytes[28..32].try_into().expect("four bytes"));
    let tuple = (item & 0x7fff) as usize;
    // Behind the header, the id, padding, and the value's length: the number of points. A path is aligned to 8 bytes.
    bytes[tuple + 24 + 8 + 4..tuple + 24 + 8 + 8].copy_from_slice(&i32::MAX.to_le_bytes());
    fs::write(&file, bytes).expect("written");
    source.cluster.resume().expect("it starts");
    let to = target.database("shop");
    let run = Pgconvoy::new([
        "salvage",
        "--source",
        &conninfo,
        "--target",
        &to,
        "--run-dir",
        "run",
    ])
    .run();
    assert_eq!(run.status, 6, "{run}");
    let there = target.psql("shop", "select string_agg(id || coalesce(right(shape::text, 5), '-'), ' ' order by id) from shapes");
    assert_eq!(there, "13,1)] 2- 33,3)] 43,4)] 53,5)]", "{run}");
    assert_eq!(target.psql("shop", "select count(*) from others"), "1000");
    let column = &losses(&run)["tables"][0]["lost_columns"][0];
    assert_eq!(column["column"], "shape", "{column:#}");
    assert_eq!(column["key"]["id"], "2", "{column:#}");
    assert_eq!(column["cause"]["class"], "crash", "{column:#}");
    // What brought the server down was asked once; and no table that was only opened is blamed for it.
    let journal = fs::read_to_string(run.path("run/salvage.journal")).expect("a journal");
    let lines = journal
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let lines: Vec<Value> = lines.collect();
    let of_shapes = || lines.iter().filter(|line| line["table"] == shapes);
    let crashes = of_shapes().filter(|line| line["cause"]["class"] == "crash");
    let crashes: Vec<&Value> = crashes.map(|line| &line["probe"]).collect();
    assert!(crashes.len() > 2, "{journal}");
    let asked = of_shapes().filter(|line| line["what"] == "asked");
    let asked = asked.filter(|line| crashes.contains(&&line["probe"]));
    assert_eq!(asked.count(), crashes.len(), "{journal}");
    let mut opened = lines.iter().filter(|line| line["probe"]["read"] == "open");
    assert!(opened.all(|line| line["what"] != "failed"), "{journal}");
}

/// Without the file of an index, a table is read by COPY alone: however long that takes, and once more if its session is ended meanwhile, or
/// all roads are cut, of which a server has no time to say anything.
#[cfg(feature = "faults")]
#[test]
fn a_table_that_is_read_as_a_whole_is_given_time_and_another_session() {
    let Some(mut source) = Server::start_with(18, |options| {
        ClusterOptions {
            listen_tcp: true,
            ..options
        }
        .setting("autovacuum", "off")
        .setting("synchronous_commit", "on")
    }) else {
        return;
    };
    let by_itself = source.database("shop");
    // More than is on its way while nobody takes it.
    source.psql(
        "shop",
        "create table wide (id int primary key, line text); \
         insert into wide select i, repeat(md5(i::text), 30) from generate_series(1, 8000) i; vacuum (freeze) wide",
    );
    let key = source.psql("shop", "select pg_relation_filepath('wide_pkey')");
    source.cluster.stop(StopMode::Fast).expect("it stops");
    fs::remove_file(source.cluster.data_dir().join(key)).expect("removed");
    source.cluster.resume().expect("it starts");
    let scratch = tempfile::tempdir().expect("a directory");
    let held = scratch.path().join("held");
    let surveyed_while = |conninfo: &str, meanwhile: &dyn Fn()| {
        let survey = ["salvage", "--survey", "--run-dir", "run", "--source"];
        let mut run = Pgconvoy::new(survey.into_iter().chain([conninfo]))
            .env("PGCONVOY_PROBE_TIMEOUT_MS", "1000")
            .env(
                "PGCONVOY_FAULT",
                "hold@rows-read[copy \"public\".\"wide\" (]",
            )
            .env("PGCONVOY_FAULT_FILE", &held)
            .start();
        while !held.exists() {
            assert!(run.is_running(), "it was not held: {}", run.finish());
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        meanwhile();
        fs::remove_file(&held).expect("it is there");
        let run = run.finish();
        assert_eq!(run.status, 0, "{run}");
        let table = &losses(&run)["tables"][0];
        assert_eq!(table["rows_read"], 8000, "{table:#}\n{run}");
        assert_eq!(table["lost_rows"]["unknown"], false, "{table:#}\n{run}");
    };
    surveyed_while(&by_itself, &|| {
        std::thread::sleep(std::time::Duration::from_millis(2500));
    });
    surveyed_while(&by_itself, &|| {
        let ended = source.psql(
            "shop",
            "select count(pg_terminate_backend(pid)) from pg_stat_activity where query like 'copy \"public\".\"wide\" (%'",
        );
        assert_eq!(ended, "1");
    });
    let proxy = Proxy::start(source.cluster.port());
    let conninfo = source.cluster.tcp_conninfo("shop");
    let by_a_road = format!("{conninfo} port={}", proxy.port());
    surveyed_while(&by_a_road, &|| proxy.cut());
}

#[cfg(feature = "faults")]
#[test]
fn a_run_that_is_killed_goes_on_without_searching_again() {
    let cases = [
        loses(
            "begun",
            "accounts",
            |files| files.scramble("accounts", 1),
            |(block, _)| block == 1,
        ),
        loses(
            "copied",
            "accounts",
            |files| files.write("accounts", 2 * PAGE, &[0; 8192]),
            |(block, _)| block == 2,
        ),
    ];
    let Some(lab) = Lab::start(18, false, &cases) else {
        return;
    };
    for (case, point) in cases.iter().zip(["planned", "copy-committed"]) {
        let killed = lab
            .prepare(case.name, &[])
            .env("PGCONVOY_FAULT", format!("kill@{point}"))
            .run();
        assert_eq!(killed.status, -1, "{killed}");
        let run_dir = killed.path("run").display().to_string();
        let journal = fs::read(killed.path("run/salvage.journal")).expect("a journal");
        let run = Pgconvoy::new(["resume", &run_dir]).run();
        assert_eq!(run.status, 6, "{run}");
        assert_eq!(
            fs::read(killed.path("run/salvage.journal")).expect("a journal"),
            journal
        );
        let expected = (case.expected)(&lab.before);
        lab.check_case(case.name, (&run, &killed.path("run")), &expected);
    }
}

/// What is on the target must be what the search has read: salvaged and lost together are all that there was.
#[cfg(feature = "faults")]
#[test]
fn a_difference_that_is_not_in_the_account_is_one() {
    let cases = [loses(
        "hurt",
        "accounts",
        |files| files.scramble("accounts", 1),
        |(block, _)| block == 1,
    )];
    let Some(lab) = Lab::start(18, false, &cases) else {
        return;
    };
    let killed = lab
        .prepare("hurt", &[])
        .env("PGCONVOY_FAULT", "kill@planned")
        .run();
    assert_eq!(killed.status, -1, "{killed}");
    let path = killed.path("run/salvage.json");
    let text = fs::read_to_string(&path).expect("the map");
    let mut map: Value = serde_json::from_str(&text).expect("JSON");
    let rows = map["rows"].as_array_mut().expect("a list");
    let of_accounts = rows.iter_mut().find(|one| one[0]["name"] == "accounts");
    let count = &mut of_accounts.expect("it is damaged")[1];
    *count = (count.as_u64().expect("a number") + 1).into();
    fs::write(&path, map.to_string()).expect("written");
    let run_dir = killed.path("run").display().to_string();
    let run = Pgconvoy::new(["resume", &run_dir]).run();
    assert_eq!(run.status, 3, "{run}");
    assert!(
        run.stderr
            .contains("more or less is lost than the account says"),
        "{run}"
    );
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let to = [
        "salvage",
        "--source",
        "host=/nowhere",
        "--archive",
        "somewhere",
    ];
    for more in [
        ["--target", "host=/nowhere"],
        ["--overwrite", "shop"],
        ["--schema-from", "elsewhere"],
    ] {
        let run = Pgconvoy::new(to.iter().chain(&more)).run();
        assert_eq!(run.status, 2, "{run}");
        assert!(run.stderr.contains("cannot be used with"), "{run}");
    }
    let Some(source) = Server::start(18) else {
        return;
    };
    source.psql("postgres", "create role reader login");
    let conninfo = source
        .database("shop")
        .replace("user='postgres'", "user='reader'");
    let run = Pgconvoy::new(["salvage", "--survey", "--source", &conninfo]).run();
    assert_eq!(run.status, 2, "{run}");
    assert!(run.stderr.contains("superuser"), "{run}");
}
