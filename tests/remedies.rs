//! What findings say to do, done: each condition is made on real servers and told by its rule; then its remedy is pasted as it stands, or
//! done as it says in words, and the rule says nothing any more.
//!
//! Servers and looks are what takes time: many conditions stand side by side in one database, and go away together.

mod support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pgconvoy::pg::cluster::{ClusterOptions, StopMode};
use serde_json::Value;
use support::age::give_out_from;
use support::binary::Pgconvoy;
use support::moving::{RUN_DIR, report};
use support::server::Server;

const SOURCE: usize = 0;
const TARGET: usize = 1;

/// How a condition goes away.
enum Way {
    /// By what the remedy has to be pasted, on this side.
    Pasted(usize),
    /// The remedy says it in words; this is it.
    ByHand(usize, &'static str),
    /// With another one, or by more than SQL.
    Otherwise,
}

struct Case {
    rule: &'static str,
    severity: &'static str,
    /// What makes it on the source, and on the target.
    made: [&'static str; 2],
    way: Way,
}

const fn case(
    (severity, rule): (&'static str, &'static str),
    made: [&'static str; 2],
    way: Way,
) -> Case {
    Case {
        rule,
        severity,
        made,
        way,
    }
}

use Way::{ByHand, Otherwise, Pasted};

/// What the conditions are made of.
const TABLES: &str = "create table parent (id int primary key);
             create table child (id int primary key, parent int references parent);
             insert into parent select generate_series(1, 5000);
             insert into child select i, i from generate_series(1, 5000) i;
             create table log (i int);
             create table open (i int)";

/// Mended in this order, and made in the opposite one: a slot waits for whoever is in a transaction, and so does an index.
const SIDE_BY_SIDE: [Case; 25] = [
    case(
        ("blocker", "source-files"),
        ["create table gone as select 1 as i", ""],
        Otherwise,
    ),
    case(
        ("warning", "source-prepared"),
        [
            "begin; insert into log values (1); prepare transaction 'half'",
            "",
        ],
        Pasted(SOURCE),
    ),
    case(("warning", "source-transactions"), ["", ""], Pasted(SOURCE)),
    case(
        ("blocker", "source-has-ledger"),
        ["create schema pgconvoy", ""],
        Pasted(SOURCE),
    ),
    case(
        ("warning", "source-snapshot-expires"),
        ["", ""],
        Pasted(SOURCE),
    ),
    case(
        ("warning", "source-index-files"),
        ["create index lost on child (parent)", ""],
        Pasted(SOURCE),
    ),
    case(
        ("warning", "indexes-invalid"),
        [
            "create index \"not good\" on parent (id);
             update pg_index set indisvalid = false where indexrelid = '\"not good\"'::regclass",
            "",
        ],
        Pasted(SOURCE),
    ),
    case(
        ("note", "constraints-not-valid"),
        [
            "alter table parent add constraint positive check (id > 0) not valid",
            "",
        ],
        Pasted(SOURCE),
    ),
    case(
        ("note", "orphans-unknown"),
        [
            "create table word (w text collate \"C\" primary key);
             create table used (w text collate \"POSIX\" references word);
             insert into word values ('a'); insert into used values ('a')",
            "",
        ],
        ByHand(SOURCE, "alter table used alter w type text collate \"C\""),
    ),
    case(
        ("warning", "source-collations-outdated"),
        [
            "create collation aging (provider = icu, locale = 'de');
             create collation \"aging too\" (provider = icu, locale = 'nl');
             create table aged (a text collate aging, b text collate \"aging too\");
             update pg_collation set collversion = '1' where collname ~ '^aging'",
            "",
        ],
        Pasted(SOURCE),
    ),
    case(
        ("warning", "slots-left-behind"),
        [
            "select pg_create_logical_replication_slot('cdc', 'pgoutput')",
            "",
        ],
        // Its reader may only be down for the moment: pasted as it stands, nothing happens to it before the switch.
        ByHand(SOURCE, "select pg_drop_replication_slot('cdc')"),
    ),
    case(
        ("blocker", "roles-missing"),
        ["grant select on parent to clerk", ""],
        Pasted(TARGET),
    ),
    case(
        ("warning", "database-privileges"),
        [
            "create role clerk; grant create on database shop to clerk",
            "",
        ],
        // Before there is such a role, its grants cannot be pasted.
        ByHand(TARGET, "grant create on database shop to clerk"),
    ),
    case(
        ("warning", "extension-versions"),
        ["create extension hstore version '1.7'", ""],
        ByHand(SOURCE, "alter extension hstore update"),
    ),
    case(
        ("warning", "database-settings"),
        [
            "alter database shop set work_mem = '64MB'; alter database shop set app.jwt_secret = 'hunter2'",
            "",
        ],
        ByHand(
            TARGET,
            "alter database shop set work_mem = '64MB'; alter database shop set app.jwt_secret = 'hunter2'",
        ),
    ),
    case(
        ("warning", "target-log-kept"),
        [
            "",
            "select pg_create_physical_replication_slot('idle', true)",
        ],
        // A standby may only be down for the moment.
        ByHand(TARGET, "select pg_drop_replication_slot('idle')"),
    ),
    case(
        ("warning", "target-temp-limit"),
        [
            "",
            "alter system set temp_file_limit = '64kB'; select pg_reload_conf()",
        ],
        Pasted(TARGET),
    ),
    // Off in postgresql.conf, where a RESET changes nothing.
    case(("warning", "autovacuum-off"), ["", ""], Pasted(TARGET)),
    case(("warning", "not-crash-safe"), ["", ""], Pasted(TARGET)),
    case(
        ("warning", "target-checkpoints"),
        ["create table wide as select 1 as i", ""],
        Pasted(TARGET),
    ),
    case(("note", "target-archiver"), ["", ""], Pasted(TARGET)),
    case(
        ("warning", "capacity-settings"),
        ["", ""],
        ByHand(
            TARGET,
            "alter system set max_prepared_transactions = 5; alter system set wal_level = logical",
        ),
    ),
    // Enough for the move is not yet as much as on the source.
    case(
        ("warning", "io-settings"),
        ["", ""],
        ByHand(TARGET, "alter system set max_wal_size = '4GB'"),
    ),
    case(
        ("warning", "libraries-not-loaded"),
        ["", ""],
        ByHand(
            TARGET,
            "alter system set shared_preload_libraries = 'auto_explain'",
        ),
    ),
    case(("warning", "source-age"), ["", ""], Pasted(SOURCE)),
];

/// What is set for the time of the move: where, by which rule, and what it was, wherever that had been set.
const FOR_THE_MOVE: [(usize, &str, &str, &str); 5] = [
    (
        SOURCE,
        "source-snapshot-expires",
        "old_snapshot_threshold",
        "60min",
    ),
    (TARGET, "target-temp-limit", "temp_file_limit", "64kB"),
    (TARGET, "target-checkpoints", "max_wal_size", "32MB"),
    (TARGET, "target-checkpoints", "checkpoint_timeout", "300s"),
    (TARGET, "target-archiver", "archive_mode", "on"),
];

/// As roles that may do little, and become what they have to be.
const OF_ROLES: [Case; 7] = [
    case(("note", "sessions-hidden"), ["", ""], Pasted(SOURCE)),
    case(
        ("blocker", "large-objects-unreadable"),
        ["select lo_from_bytea(77, 'secret')", ""],
        Pasted(SOURCE),
    ),
    case(
        ("blocker", "needs-superuser"),
        [
            "create extension dblink;
             create function told() returns event_trigger language plpgsql as $$ begin end $$;
             create event trigger watch on sql_drop execute function told()",
            "",
        ],
        ByHand(SOURCE, "drop event trigger watch; drop extension dblink"),
    ),
    case(("warning", "target-privileges"), ["", ""], Pasted(TARGET)),
    case(
        ("note", "road-not-measured"),
        ["", "revoke temporary on database shop from public"],
        ByHand(TARGET, "grant temporary on database shop to mover"),
    ),
    case(
        ("blocker", "owners-not-assumable"),
        [
            "create table item (id int primary key); alter table item owner to shopkeeper;
             create table part (item int references item)",
            "",
        ],
        Pasted(TARGET),
    ),
    // Of the same owner, in public.
    case(
        ("blocker", "owners-without-create"),
        ["", ""],
        Pasted(TARGET),
    ),
];

struct Pair([Server; 2]);

impl Pair {
    /// Source and target, by version and settings.
    fn start(majors: [u32; 2], settings: [&[(&str, &str)]; 2]) -> Option<Self> {
        let start = |side: usize| {
            Server::start_with(majors[side], |options| {
                let set = |options: ClusterOptions, (name, value): &(&str, &str)| {
                    options.setting(name, value)
                };
                settings[side].iter().fold(options, set)
            })
        };
        Some(Self([start(SOURCE)?, start(TARGET)?]))
    }

    fn make(&self, cases: &[Case]) {
        for case in cases.iter().rev() {
            for side in [SOURCE, TARGET] {
                self.0[side].psql("shop", case.made[side]);
            }
        }
    }

    /// Does what is said, as it is said.
    fn mend(&self, cases: &[Case], check: &Value) {
        for case in cases {
            match case.way {
                Pasted(side) => self.0[side].psql("shop", &to_paste(check, case.rule)),
                ByHand(side, sql) => self.0[side].psql("shop", sql),
                Otherwise => String::new(),
            };
        }
    }
}

/// Looks, and returns what it says to machines. A remedy is a sentence, and below it is nothing that could not be pasted.
#[track_caller]
fn look((from, to): (&str, &str), more: &[&str]) -> Value {
    let ends = [
        "check", "--json", "-j", "2", "--source", from, "--target", to,
    ];
    let run = Pgconvoy::new([&ends[..], more].concat()).run();
    let check: Value =
        serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"));
    for finding in check["findings"].as_array().expect("a list") {
        let remedy = finding["remedy"].as_str().expect("text");
        for line in remedy.lines().skip(1) {
            let is_sql = line.ends_with(';') || line.starts_with("-- ");
            assert!(is_sql || line.starts_with("df "), "{finding:#}");
        }
    }
    check
}

fn found<'a>(check: &'a Value, rule: &str) -> Option<&'a Value> {
    let findings = check["findings"].as_array().expect("a list");
    findings.iter().find(|one| one["rule"] == rule)
}

#[track_caller]
fn assert_told(check: &Value, cases: &[Case]) {
    for case in cases {
        let told = found(check, case.rule);
        let told = told.unwrap_or_else(|| panic!("no {} in {check:#}", case.rule));
        assert_eq!(told["severity"], case.severity, "{told:#}");
    }
}

#[track_caller]
fn assert_silent(check: &Value, rules: impl IntoIterator<Item = &'static str>) {
    for rule in rules {
        assert_eq!(found(check, rule), None);
    }
}

fn names(cases: &'static [Case]) -> impl Iterator<Item = &'static str> {
    cases.iter().map(|case| case.rule)
}

/// What a remedy has to be pasted.
#[track_caller]
fn to_paste(check: &Value, rule: &str) -> String {
    let remedy = found(check, rule).and_then(|told| told["remedy"].as_str());
    let statements = remedy.and_then(|remedy| remedy.split_once('\n'));
    let (_, statements) = statements.unwrap_or_else(|| panic!("{rule}: {remedy:?}"));
    statements.to_owned()
}

/// What takes a setting back after the move, which is in the last comment below a remedy.
#[track_caller]
fn way_back(check: &Value, rule: &str) -> String {
    let pasted = to_paste(check, rule);
    let last = pasted.lines().next_back().unwrap_or_default();
    let back = last.strip_prefix("-- after the move, as it was: ");
    back.unwrap_or_else(|| panic!("{rule}: {pasted}"))
        .to_owned()
}

/// What the server's files say that a setting is.
fn in_files(server: &Server, setting: &str) -> String {
    let last = format!(
        "select setting from pg_file_settings where name = '{setting}' order by seqno desc limit 1"
    );
    server.psql("postgres", &last)
}

/// Somebody else's session, which ends with this value, if not before.
struct Visitor(Child);

impl Visitor {
    fn run(server: &Server, sql: &str) -> Self {
        let mut psql: Command = server.tool("psql");
        psql.args(["-X", "-q", "-d", &server.conninfo("shop"), "-c", sql])
            .env("PGAPPNAME", "visitor")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let visitor = Self(psql.spawn().expect("psql starts"));
        let began = Instant::now();
        let at_work = "select count(*) from pg_stat_activity where application_name = 'visitor' and wait_event = 'PgSleep'";
        while server.psql("postgres", at_work) != "1" {
            assert!(began.elapsed() < Duration::from_secs(20), "{sql}");
            std::thread::sleep(Duration::from_millis(20));
        }
        visitor
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The file of a relation that is on disk.
fn file_of(server: &Server, relation: &str) -> PathBuf {
    let path = format!("checkpoint; select pg_relation_filepath('{relation}')");
    let path = server.psql("shop", &path);
    server.cluster.data_dir().join(path.trim())
}

/// As a table that is large, and is not: only its size is asked for.
fn enlarge(file: &Path) {
    let file = File::options().write(true).open(file).expect("a file");
    file.set_len(100 << 20).expect("longer");
}

const OLD_SOURCE: [(&str, &str); 9] = [
    ("full_page_writes", "on"),
    ("synchronous_commit", "on"),
    ("wal_level", "logical"),
    ("max_prepared_transactions", "5"),
    ("max_connections", "20"),
    ("max_locks_per_transaction", "10"),
    ("shared_preload_libraries", "auto_explain"),
    ("old_snapshot_threshold", "1h"),
    ("autovacuum_freeze_max_age", "2000000000"),
];

const NEW_TARGET: [(&str, &str); 5] = [
    ("autovacuum", "off"),
    ("archive_mode", "on"),
    ("archive_command", "true"),
    ("max_wal_size", "32MB"),
    ("min_wal_size", "32MB"),
];

#[test]
fn what_is_said_to_do_works() {
    let Some(mut pair) = Pair::start([15, 16], [&OLD_SOURCE, &NEW_TARGET]) else {
        return;
    };
    // The first of a page of their states, which is made then.
    give_out_from(&mut pair.0[SOURCE], 1_199_603_712);
    let ends = [SOURCE, TARGET].map(|side| pair.0[side].database("shop"));
    let ends = (&*ends[SOURCE], &*ends[TARGET]);
    pair.0[SOURCE].psql("shop", TABLES);
    pair.make(&SIDE_BY_SIDE);
    let wide = file_of(&pair.0[SOURCE], "wide");
    enlarge(&wide);
    // What vacuum leaves behind a table that was larger once.
    File::create(wide.with_extension("1")).expect("made");
    let visitor = Visitor::run(
        &pair.0[SOURCE],
        "begin; insert into open values (1); select pg_sleep(300)",
    );
    let files = ["gone", "lost"].map(|relation| file_of(&pair.0[SOURCE], relation));
    let aside = files.each_ref().map(|file| file.with_extension("aside"));
    for (file, aside) in files.iter().zip(&aside) {
        fs::rename(file, aside).expect("moved");
    }
    let check = look(ends, &[]);
    assert_told(&check, &SIDE_BY_SIDE);
    assert_eq!(check["verdict"], "no_go");
    let text = check.to_string();
    assert!(!text.contains("hunter2"), "{text}");

    fs::rename(&aside[0], &files[0]).expect("moved back");
    pair.mend(&SIDE_BY_SIDE, &check);
    let unsynced = found(&check, "not-crash-safe").and_then(|told| told["remedy"].as_str());
    assert!(unsynced.is_some_and(|remedy| remedy.contains("`sync` in a shell on its machine")));
    let back = FOR_THE_MOVE.map(|(side, rule, ..)| (side, way_back(&check, rule)));
    drop(visitor);
    enlarge(&wide);
    for server in &mut pair.0 {
        server.cluster.restart(StopMode::Fast).expect("restarted");
    }
    let check = look(ends, &[]);
    assert_silent(&check, names(&SIDE_BY_SIDE));
    assert_eq!(found(&check, "not-looked-at"), None);
    assert_ne!(check["verdict"], "no_go", "{check:#}");

    the_other_way_round(&mut pair, ends);
    for (side, statements) in back {
        pair.0[side].psql("postgres", &statements);
    }
    for (side, _, setting, value) in FOR_THE_MOVE {
        assert_eq!(in_files(&pair.0[side], setting), value, "{setting}");
    }
    standbys(&mut pair, ends);
}

/// What no statement changes: the servers' versions, encodings, and what there is of each.
fn the_other_way_round(pair: &mut Pair, ends: (&str, &str)) {
    let [source, target] = &pair.0;
    target.psql(
        "postgres",
        "create database latin encoding 'LATIN1' lc_collate 'C' lc_ctype 'C' template template0",
    );
    let latin = target.conninfo("latin");
    let check = look((&latin, ends.0), &["--no-measure", "--overwrite", "shop"]);
    for (rule, severity) in [
        ("target-older", "warning"),
        ("encoding-differs", "warning"),
        ("target-emptied", "note"),
    ] {
        let told = found(&check, rule).unwrap_or_else(|| panic!("no {rule} in {check:#}"));
        assert_eq!(told["severity"], severity, "{told:#}");
    }
    let from = source.database("many");
    let tables = (1..=126).map(|number| format!("create table t{number} (i int);"));
    source.psql("many", &tables.collect::<String>());
    let to = target.database("empty");
    let check = look((&from, &to), &["--no-measure"]);
    let told = found(&check, "source-locks").unwrap_or_else(|| panic!("{check:#}"));
    assert_eq!(told["severity"], "warning", "{told:#}");
    assert_silent(
        &check,
        ["target-older", "encoding-differs", "target-emptied"],
    );
    source.psql("many", &to_paste(&check, "source-locks"));
    let restarted = pair.0[SOURCE].cluster.restart(StopMode::Fast);
    restarted.expect("restarted");
    assert_silent(&look((&from, &to), &["--no-measure"]), ["source-locks"]);
}

fn standbys(pair: &mut Pair, ends: (&str, &str)) {
    let unlogged =
        "create unlogged table cache (id serial, what text); insert into cache (what) values ('x')";
    pair.0[SOURCE].psql("shop", unlogged);
    for server in &mut pair.0 {
        server.cluster.stop(StopMode::Fast).expect("stopped");
        let signal = server.cluster.write_data_file("standby.signal", b"");
        signal.expect("written");
        server.cluster.resume().expect("started");
    }
    let cases = [
        case(("warning", "source-standby"), ["", ""], Pasted(SOURCE)),
        case(("blocker", "source-unlogged"), ["", ""], Otherwise),
        case(
            ("blocker", "target-read-only"),
            ["", ""],
            ByHand(TARGET, "select pg_promote()"),
        ),
    ];
    let check = look(ends, &["--no-measure"]);
    assert_told(&check, &cases);
    pair.mend(&cases, &check);
    let back = way_back(&check, "source-standby");
    let remedy = found(&check, "source-unlogged").and_then(|told| told["remedy"].as_str());
    let options = remedy.and_then(|remedy| remedy.split_once("leave them out: "));
    let (_, options) = options.unwrap_or_else(|| panic!("{remedy:?}"));
    let left_out: Vec<&str> = options.split(' ').collect();
    let check = look(ends, &[&["--no-measure"], &left_out[..]].concat());
    assert_silent(
        &check,
        ["source-standby", "source-unlogged", "target-read-only"],
    );
    pair.0[SOURCE].psql("postgres", &back);
    let waits = in_files(&pair.0[SOURCE], "max_standby_streaming_delay");
    assert_eq!(waits, "30s");
}

#[test]
fn what_is_said_to_other_roles_and_before_the_doors_open_works() {
    let Some(pair) = Pair::start([15, 16], [&[], &[]]) else {
        return;
    };
    let [source, target] = &pair.0;
    let roles = "create role reader login; create role mover login; create role shopkeeper;";
    source.psql("postgres", roles);
    source.psql("postgres", "grant pg_read_all_data to reader");
    target.psql("postgres", roles);
    let as_role = |server: &Server, role: &str| {
        server
            .database("shop")
            .replace("user='postgres'", &format!("user={role}"))
    };
    let (from, to) = (as_role(source, "reader"), as_role(target, "mover"));
    target.psql("shop", "grant create on database shop to mover");
    pair.make(&OF_ROLES);
    let _visitor = Visitor::run(source, "select pg_sleep(300)");
    let check = look((&from, &to), &[]);
    assert_told(&check, &OF_ROLES);
    // What such roles are not told is told of them.
    for rule in ["files-not-looked-at", "libraries-unknown"] {
        let told = found(&check, rule).unwrap_or_else(|| panic!("no {rule} in {check:#}"));
        assert_eq!(told["severity"], "note");
    }
    pair.mend(&OF_ROLES, &check);
    let check = look((&from, &to), &[]);
    assert_silent(&check, names(&OF_ROLES).chain(["references-left-out"]));
    let (from, to) = (source.conninfo("shop"), target.conninfo("shop"));
    let left_out = ["--no-measure", "--exclude-table-data", "item"];
    let check = look((&from, &to), &left_out);
    assert_silent(&check, ["files-not-looked-at", "libraries-unknown"]);
    let told = found(&check, "references-left-out").unwrap_or_else(|| panic!("{check:#}"));
    assert_eq!(told["severity"], "warning", "{told:#}");

    before_the_doors_open(&pair);
}

/// Rows that are far beyond their sequences: of one that stands where it should, of those that stand behind, upwards and downwards; rows
/// after a gap, with nearly all values left beyond them; and a sequence that is at its end.
const FAR_BEYOND: &str = "
    create table good (id serial primary key, n int);
    insert into good (n) select generate_series(1, 500);
    insert into good (id) values (2147483647);
    create table late (id serial primary key, n int);
    insert into late (id) select generate_series(1, 6000);
    insert into late (id) values (1999999999), (2147483647);
    create table purged (id bigserial primary key, n int);
    insert into purged (id) select generate_series(5000, 9000);
    create table dense (id serial primary key, n int);
    insert into dense (id) values (1);
    insert into dense (id) select generate_series(700001, 701000);
    create sequence down increment -1;
    create table below (id int primary key default nextval('down'), n int);
    insert into below (id) select -i from generate_series(1, 50) i;
    insert into below (id) values (-2147483648);
    create table whole (id bigserial, n int, primary key (id)) partition by range (id);
    create table part_1 partition of whole for values from (1) to (100);
    create table part_2 partition of whole for values from (100) to (9223372036854775807);
    insert into whole (id) select generate_series(1, 150);
    insert into whole (id) values (9223372036854775806);
    create table small (id smallserial primary key);
    insert into small select generate_series(32700, 32767);
    select setval('small_id_seq', 32750);
";

/// What is pasted lets every next insert in that can be let in, and takes next to nothing from a sequence.
fn no_sequence_is_poisoned(pair: &Pair, told: &Value) {
    let behind = found(told, "sequence-behind").expect("told");
    let remedy = behind["remedy"].as_str().expect("text");
    assert!(remedy.contains("larger type"), "{remedy}");
    assert!(!remedy.contains("small_id_seq"), "{remedy}");
    for (table, next) in [
        ("good", "501"),
        ("late", "6001"),
        ("below", "-51"),
        ("whole", "151"),
        ("purged", "9001"),
        ("dense", "701001"),
    ] {
        let insert = format!("insert into {table} (n) values (0), (0)");
        pair.0[TARGET].psql("copy", &insert);
        let first = format!("select id from {table} where n = 0 order by abs(id) limit 1");
        assert_eq!(pair.0[TARGET].psql("copy", &first), next, "{table}");
    }
    let far = found(told, "row-far-beyond-sequence").expect("told");
    assert_eq!(far["severity"], "note", "{far:#}");
    let what = far["what"].as_str().expect("text");
    for said in [
        "good_id_seq (501 is next, public.good.id is at 2147483647)",
        "late_id_seq (1 is next, public.late.id is at 1999999999)",
        "down (-1 is next, public.below.id is at -2147483648)",
        "whole_id_seq (1 is next, public.whole.id is at 9223372036854775806)",
    ] {
        assert!(what.contains(said), "{what}");
    }
    for near in ["small_id_seq", "purged_id_seq", "dense_id_seq"] {
        assert!(!what.contains(near), "{what}");
    }
    assert_eq!(far["remedy"].as_str().expect("text").lines().count(), 1);
}

/// A copy that is the same, and what hurts its first users.
fn before_the_doors_open(pair: &Pair) {
    let ends = [SOURCE, TARGET].map(|side| pair.0[side].database("copy"));
    for server in &pair.0 {
        server.psql(
            "copy",
            "create table t (id serial primary key);
             create table u (id int primary key default nextval('t_id_seq'));
             insert into t select generate_series(1, 100);
             insert into u select generate_series(1, 50);
             create materialized view \"most read\" as select 1 as one with no data;
             create extension hstore version '1.7';",
        );
        server.psql("copy", FAR_BEYOND);
        server.psql("copy", "analyze");
    }
    let after = || {
        let run = Pgconvoy::new([
            "verify",
            "--source",
            &ends[SOURCE],
            "--target",
            &ends[TARGET],
            "--run-dir",
            RUN_DIR,
            "--after",
        ]);
        report(&run.run())
    };
    let rules = [
        ("warning", "sequence-behind"),
        ("warning", "matview-not-populated"),
        ("note", "extension-outdated"),
    ];
    let told = after();
    assert_told(&told, &rules.map(|rule| case(rule, ["", ""], Otherwise)));
    for (_, rule) in rules {
        pair.0[TARGET].psql("copy", &to_paste(&told, rule));
    }
    no_sequence_is_poisoned(pair, &told);
    // Its range is no larger for having been told of.
    let told = after();
    let behind = found(&told, "sequence-behind").expect("told");
    let what = behind["what"].as_str().expect("text");
    assert!(
        what.ends_with(": public.small_id_seq (32751 is next, public.small.id is at 32767)"),
        "{what}"
    );
    assert_silent(&told, ["matview-not-populated", "extension-outdated"]);
}
