//! The final check, on real servers: what the stock tools moved is the same, and what they leave out or change is found. What
//! else can be wrong with a copy is the matter of `verify`.

mod support;

use std::path::Path;

use pgconvoy::catalog::source_facts;
use pgconvoy::model::QualifiedName;
use pgconvoy::pg::conninfo::{Conninfo, Environment};
use pgconvoy::pg::{Connector, Session, Side};
use pgconvoy::toc::{CompareOptions, RestoreOptions, Toc};
use pgconvoy::verify::{
    Hidden, Observed, Outcome, Scope, compare_catalogs, compare_schemas, excluded_are_empty,
    nested_arrays,
};
use support::server::Server;
use support::template::Holding;

async fn session(server: &Server, database: &str) -> Session {
    let conninfo = Conninfo::resolve(&server.conninfo(database), &Environment::of_process())
        .expect("a connection string");
    let connector = Connector::new(conninfo, Side::Source).expect("no TLS");
    connector.session("test").await.expect("a session")
}

/// By way of `\i`, because the fixture includes others beside it. The variables say where the zoo will go.
fn build(server: &Server, database: &str, fixture: &str, variables: &str) {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/schemas");
    let file = directory.join(fixture);
    let script = format!("{variables}\n\\i '{}'\n", file.display());
    server.psql(database, &script);
}

fn schema(server: &Server, database: &str, selection: &[&str]) -> Toc {
    let dump = server
        .tool("pg_dump")
        .args(selection)
        .args(["-Fc", "--schema-only", "-d"])
        .arg(server.conninfo(database))
        .output()
        .expect("pg_dump runs");
    let said = String::from_utf8_lossy(&dump.stderr);
    assert!(dump.status.success(), "pg_dump: {said}");
    Toc::parse(&dump.stdout).expect("a table of contents")
}

/// Two databases, of which one is to be what the other is.
struct Move<'a> {
    source: (&'a Server, &'a str),
    target: (&'a Server, &'a str),
    restore: RestoreOptions,
    /// Options of `pg_dump` that select a part of the source.
    selection: &'static [&'static str],
}

impl Move<'_> {
    /// Moves everything with the stock tools.
    fn run(&self, arguments: &[&str]) {
        self.target.0.database(self.target.1);
        self.run_into_existing(arguments);
    }

    fn run_into_existing(&self, arguments: &[&str]) {
        let ((source, from), (target, to)) = (self.source, self.target);
        let archive = source.cluster.dir().join(format!("{from}.dump"));
        let dump = source
            .tool("pg_dump")
            .args(self.selection)
            .args(["-Fc", "-Z0", "-f"])
            .arg(&archive)
            .arg("-d")
            .arg(source.conninfo(from))
            .output()
            .expect("pg_dump runs");
        let said = String::from_utf8_lossy(&dump.stderr);
        assert!(dump.status.success(), "pg_dump: {said}");
        let restore = target
            .tool("pg_restore")
            .args(arguments)
            .arg("-d")
            .arg(target.conninfo(to))
            .arg(&archive)
            .output()
            .expect("pg_restore runs");
        let said = String::from_utf8_lossy(&restore.stderr);
        // What a new pg_restore sets that an old server does not know is no error of the move.
        let errors = said
            .lines()
            .filter(|line| line.contains("ERROR:") && !line.contains("transaction_timeout"));
        assert_eq!(errors.collect::<Vec<_>>(), [""; 0], "pg_restore: {said}");
    }

    async fn verify(&self) -> Outcome {
        let (source, target) = (
            session(self.source.0, self.source.1).await,
            session(self.target.0, self.target.1).await,
        );
        let (left, right) = (
            schema(self.source.0, self.source.1, self.selection),
            schema(self.target.0, self.target.1, self.selection),
        );
        let facts = source_facts(&source).await.expect("facts");
        let hidden = Hidden::read(&source).await.expect("settings");
        let ours = Observed::in_snapshot(facts, hidden);
        let theirs = Observed::read(&target).await.expect("facts");
        let options = CompareOptions {
            restore: self.restore,
            source_major: source.version().major(),
            target_major: target.version().major(),
            nested_arrays: nested_arrays(&ours, &theirs),
            ..CompareOptions::default()
        };
        let mut outcome = compare_schemas(&left, &right, &options);
        let mut scope = Scope::of(&left);
        scope.large_objects = self.selection.is_empty();
        outcome.extend(compare_catalogs(&ours, &theirs, &scope, &self.restore));
        outcome
    }
}

fn named(outcome: &Outcome) -> Vec<String> {
    let mut found: Vec<String> = outcome
        .differences
        .iter()
        .map(|one| format!("{:?} {} {}", one.kind, one.class, one.object))
        .collect();
    found.sort();
    found
}

fn assert_same(outcome: &Outcome, what: &str) {
    assert!(outcome.is_same(), "{what}: {outcome:#?}");
    let count = |name: &str| {
        let found = outcome.checked.iter().find(|(what, _)| what == name);
        found.map_or(0, |(_, count)| *count)
    };
    for name in ["definitions", "indexes", "constraints", "sequences"] {
        assert!(count(name) > 5, "{what}: {name}: {:?}", outcome.checked);
    }
}

async fn a_move_is_the_same(from: u32, to: u32) {
    let (Some(source), Some(target)) = (Server::start(from), Server::start(to)) else {
        return;
    };
    for fixture in ["zoo", "mastodon"] {
        source.database(fixture);
        let file = format!("{fixture}.sql");
        let variables = match fixture {
            "zoo" => format!("\\set target {to}\n\\set pg_dump 18\n\\set xml off\n\\set icu off"),
            _ => "\\set scale 0.001".to_owned(),
        };
        build(&source, fixture, &file, &variables);
        if fixture == "zoo" {
            build(&source, fixture, "zoo-invalid-index.sql", "");
            build(&target, "postgres", "zoo-roles.sql", "");
        }
        let moved = Move {
            source: (&source, fixture),
            target: (&target, fixture),
            restore: RestoreOptions::default(),
            selection: &[],
        };
        moved.run(&[]);
        let mut outcome = moved.verify().await;
        if fixture == "zoo" && from < 15 && to < 15 {
            public_is_open_again(&mut outcome);
        }
        assert_same(&outcome, &format!("{fixture} {from} to {to}"));
        if fixture == "zoo" {
            let about = |note: &&String| note.contains("zoo.invalid_index_id");
            assert_eq!(outcome.notes.iter().filter(about).count(), 1);
        }
    }
}

/// A difference that the stock tools make: everybody may create tables in the schema public of an old server, and a newer
/// `pg_dump`, whose own servers don't allow it, writes nothing to take that away.
fn public_is_open_again(outcome: &mut Outcome) {
    assert_eq!(named(outcome), ["Different acl SCHEMA public"]);
    outcome.differences.clear();
}

macro_rules! moves {
    ($($(#[$ignored:meta])? $test:ident: $from:literal to $to:literal;)*) => {
        $(#[tokio::test]
        $(#[$ignored])?
        async fn $test() {
            a_move_is_the_same($from, $to).await;
        })*
    };
}

// Each version is a source, and most are a target: every change in wording lies between some two of these. Those that are not
// done each time are moves by the same tools that tests/verify_agrees.rs looks at, or between versions between which pgconvoy
// itself moves the same in tests/move, and compares in the same way.
moves! {
    a_move_from_10_to_15_is_the_same: 10 to 15;
    #[ignore = "make test-versions"]
    a_move_from_10_to_18_is_the_same: 10 to 18;
    a_move_from_11_to_12_is_the_same: 11 to 12;
    #[ignore = "make test-versions"]
    a_move_from_11_to_18_is_the_same: 11 to 18;
    #[ignore = "make test-versions"]
    a_move_from_12_to_17_is_the_same: 12 to 17;
    a_move_from_13_to_14_is_the_same: 13 to 14;
    #[ignore = "make test-versions"]
    a_move_from_13_to_18_is_the_same: 13 to 18;
    a_move_from_14_to_16_is_the_same: 14 to 16;
    #[ignore = "make test-versions"]
    a_move_from_15_to_15_is_the_same: 15 to 15;
    #[ignore = "make test-versions"]
    a_move_from_15_to_18_is_the_same: 15 to 18;
    a_move_from_16_to_17_is_the_same: 16 to 17;
    #[ignore = "make test-versions"]
    a_move_from_17_to_18_is_the_same: 17 to 18;
    #[ignore = "make test-versions"]
    a_move_from_18_to_18_is_the_same: 18 to 18;
}

fn zoo_on_15() -> Option<Server> {
    Server::start_holding(15, Some(&Holding::zoo("pg_dump=18")), |options| options)
}

/// A zoo and its copy, on one server of version 15.
fn copied_zoo(server: &Server) -> Move<'_> {
    let copied = Move {
        source: (server, "zoo"),
        target: (server, "copy"),
        restore: RestoreOptions::default(),
        selection: &[],
    };
    copied.run(&[]);
    copied
}

#[tokio::test]
async fn what_was_left_out_on_request_is_not_missed() {
    let Some(server) = zoo_on_15() else {
        return;
    };
    let mut copied = copied_zoo(&server);
    copied.target.1 = "bare";
    let options = [
        "--no-owner",
        "--no-acl",
        "--no-comments",
        "--no-publications",
    ];
    copied.run(&options);
    copied.restore = RestoreOptions {
        no_owner: true,
        no_acl: true,
        no_comments: true,
        no_publications: true,
        ..RestoreOptions::default()
    };
    assert_same(&copied.verify().await, "without owners and grants");
    copied.restore = RestoreOptions::default();
    let found = named(&copied.verify().await);
    for missed in [
        "Different large object 990001",
        "Different table zoo.chicken",
        "Missing acl TABLE egg in schema zoo",
        "Missing comment VIEW plain in schema zoo",
        "Missing publication zoo_some",
    ] {
        assert!(
            found.iter().any(|one| one == missed),
            "{missed}: {found:#?}"
        );
    }
}

#[tokio::test]
async fn excluded_tables_must_be_empty() {
    let Some(server) = Server::start(15) else {
        return;
    };
    server.database("shop");
    server.psql(
        "shop",
        "create table \"Full\" (a int); insert into \"Full\" values (1);
         create table empty (a int); create table child () inherits (empty); insert into child values (1);",
    );
    let session = session(&server, "shop").await;
    let name = |table: &str| QualifiedName::new("public", table);
    let outcome = excluded_are_empty(&session, &[name("empty")]).await;
    assert!(outcome.is_same(), "{outcome:?}");
    assert_eq!(outcome.checked, [("tables left empty".to_owned(), 1)]);
    let all = [name("empty"), name("Full"), name("child"), name("gone")];
    let found = named(&excluded_are_empty(&session, &all).await);
    assert_eq!(
        found,
        [
            "Extra table data public.\"Full\"",
            "Extra table data public.child",
            "Missing table public.gone"
        ]
    );
}

#[tokio::test]
async fn only_the_selected_part_is_compared() {
    let Some(server) = Server::start(15) else {
        return;
    };
    server.database("m");
    build(&server, "m", "mastodon.sql", "\\set scale 0.001");
    server.psql("m", "select lo_create(7)");
    let part = Move {
        source: (&server, "m"),
        target: (&server, "part"),
        restore: RestoreOptions::default(),
        selection: &["-t", "public.tags"],
    };
    server.database("part");
    server.psql(
        "part",
        "create table elsewhere (id int primary key); create sequence alone; select setval('alone', 9)",
    );
    part.run_into_existing(&[]);
    let outcome = part.verify().await;
    assert!(outcome.is_same(), "{outcome:#?}");
    let checked = |name: &str| {
        outcome
            .checked
            .iter()
            .any(|(what, n)| what == name && *n > 0)
    };
    assert!(
        checked("indexes")
            && checked("sequences")
            && !checked("owners and grants of large objects")
    );
    server.psql(
        "part",
        "drop index index_tags_on_name_lower_btree; select setval('tags_id_seq', 3);",
    );
    assert_eq!(
        named(&part.verify().await),
        [
            "Different sequence public.tags_id_seq",
            "Missing index public.index_tags_on_name_lower_btree"
        ]
    );
}

/// Asked for the schema public, `pg_dump` says of it what it else passes over. The target is dumped whole.
#[tokio::test]
async fn a_move_of_the_schema_public_is_the_same() {
    let Some(server) = Server::start(15) else {
        return;
    };
    server.database("m");
    build(&server, "m", "mastodon.sql", "\\set scale 0.001");
    server.database("whole");
    let dump = |database: &str, selection: &[&str]| schema(&server, database, selection);
    let options = CompareOptions::default();
    let compare = |source: &Toc, target: &Toc| compare_schemas(source, target, &options);
    let empty = dump("whole", &[]);
    assert!(
        compare(&dump("whole", &["-n", "public"]), &empty).is_same(),
        "an empty schema"
    );
    let asked = dump("m", &["-n", "public"]);
    assert!(compare(&asked, &dump("m", &[])).is_same(), "a full one");

    server.psql(
        "whole",
        "comment on schema public is 'ours'; alter schema public owner to pg_monitor",
    );
    let changed = dump("whole", &["-n", "public"]);
    let expected = ["comment SCHEMA public", "schema public"];
    for (source, target) in [(&changed, &empty), (&empty, &changed)] {
        let found = named(&compare(source, target));
        assert_eq!(found.len(), 2, "{found:?}");
        let is_found = |name: &str| found.iter().any(|found| found.ends_with(name));
        assert!(expected.into_iter().all(is_found), "{found:?}");
    }
    let whole = dump("whole", &[]);
    assert!(compare(&changed, &whole).is_same(), "changed on both sides");
}

/// What the stock tools bring over otherwise than it was, and what they can bring over but with extensions.
#[tokio::test]
async fn traps_are_found_and_extensions_are_not_in_the_way() {
    let Some(server) = zoo_on_15() else {
        return;
    };
    build(&server, "zoo", "zoo-contrib.sql", "");
    build(&server, "zoo", "zoo-foreign-trees.sql", "");
    let copied = Move {
        source: (&server, "zoo"),
        target: (&server, "copy"),
        restore: RestoreOptions::default(),
        selection: &[],
    };
    copied.run(&[]);
    assert_same(&copied.verify().await, "with extensions and foreign trees");
    build(&server, "zoo", "zoo-traps.sql", "");
    let trapped = Move {
        target: (&server, "trapped"),
        ..copied
    };
    trapped.run(&[]);
    assert_eq!(
        named(&trapped.verify().await),
        ["Extra default zoo.trap_grandchild born"]
    );
}

/// Names that only the newer server quotes, in all that is compared.
async fn a_name_that_has_become_a_keyword_is_the_same(from: u32, to: u32) {
    let (Some(source), Some(target)) = (Server::start(from), Server::start(to)) else {
        return;
    };
    source.database("words");
    source.psql("words", include_str!("verify_keywords.sql"));
    let moved = Move {
        source: (&source, "words"),
        target: (&target, "words"),
        restore: RestoreOptions::default(),
        selection: &[],
    };
    moved.run(&[]);
    // What is added to an extension is in no dump.
    target.psql(
        "words",
        "create table added (json int, normalize \"json_value\"); alter extension citext add table added",
    );
    let outcome = moved.verify().await;
    assert!(outcome.is_same(), "{from} to {to}: {outcome:#?}");
    // What differs is still found, and only that.
    target.psql(
        "words",
        "drop index plain; create index plain on events (\"normalize\");
         alter table events alter \"normalize\" set statistics 60",
    );
    assert_eq!(
        named(&moved.verify().await),
        [
            "Different index public.plain",
            "Different table public.events"
        ]
    );
}

#[tokio::test]
async fn names_that_are_keywords_on_18_are_the_same_as_on_12() {
    a_name_that_has_become_a_keyword_is_the_same(12, 18).await;
}

#[tokio::test]
async fn names_that_are_keywords_on_17_are_the_same_as_on_16() {
    a_name_that_has_become_a_keyword_is_the_same(16, 17).await;
}

/// A column becomes a function where its name is reserved by the newer server, and nobody has quoted it.
#[tokio::test]
async fn a_column_that_has_become_the_function_system_user_is_a_difference() {
    let (Some(source), Some(target)) = (Server::start(12), Server::start(18)) else {
        return;
    };
    source.database("s");
    source.psql(
        "s",
        "create table t (id int primary key, system_user text, check (system_user <> 'x'));
         alter table t enable row level security;
         create policy p on t using (system_user = current_user);
         create view v as select t.system_user from t",
    );
    let moved = Move {
        source: (&source, "s"),
        target: (&target, "s"),
        restore: RestoreOptions::default(),
        selection: &[],
    };
    moved.run(&[]);
    // Behind the name of its table it is a column still.
    assert_eq!(
        named(&moved.verify().await),
        ["Different policy public.t p", "Different table public.t"]
    );
}

/// Names of locales, and whether it can be told that a newer server's tag means the same.
const ICU_LOCALES: [(&str, bool); 18] = [
    ("de", true),
    ("de_DE", true),
    ("EN_us", true),
    ("en_US.UTF-8", true),
    ("en_001", true),
    ("sr_Latn", true),
    ("de-u-co-phonebk", true),
    ("de@collation=phonebook", true),
    ("@collation=emoji", true),
    ("@colStrength=secondary", true),
    ("@colStrength=primary;colCaseLevel=yes", true),
    ("en@colCaseFirst=upper;colReorder=grek-latn", true),
    ("@colAlternate=non-ignorable", true),
    ("en@colNumeric=yes", true),
    ("nonsense", true),
    ("iw", false),
    ("de__PHONEBOOK", false),
    ("C", false),
];

async fn locales_of_icu_are_the_same_or_not_known(from: u32, to: u32) {
    let (Some(source), Some(target)) = (Server::start(from), Server::start(to)) else {
        return;
    };
    source.database("icu");
    let name = |place: usize| format!("c{place:02}");
    for (place, (locale, _)) in ICU_LOCALES.iter().enumerate() {
        let name = name(place);
        let made = format!("create collation {name} (provider = icu, locale = '{locale}')");
        source.psql("icu", &made);
    }
    let moved = Move {
        source: (&source, "icu"),
        target: (&target, "icu"),
        restore: RestoreOptions::default(),
        selection: &[],
    };
    moved.run(&[]);
    let outcome = moved.verify().await;
    assert_eq!(named(&outcome), [""; 0], "{outcome:#?}");
    let unknown = ICU_LOCALES
        .iter()
        .enumerate()
        .filter(|(_, (_, known))| !known);
    let unknown: Vec<String> = unknown
        .map(|(place, _)| format!("collation public.{}", name(place)))
        .collect();
    let found = outcome.unverified.iter();
    let found: Vec<String> = found
        .map(|one| format!("{} {}", one.class, one.object))
        .collect();
    assert_eq!(found, unknown, "{outcome:#?}");
    target.psql(
        "icu",
        "drop collation c01; create collation c01 (provider = icu, locale = 'de-AT')",
    );
    let other = moved.verify().await;
    assert_eq!(named(&other), ["Different collation public.c01"]);
}

#[tokio::test]
async fn locales_of_icu_from_12_are_the_same_on_18() {
    locales_of_icu_are_the_same_or_not_known(12, 18).await;
}

#[tokio::test]
async fn locales_of_icu_from_15_are_the_same_on_16() {
    locales_of_icu_are_the_same_or_not_known(15, 16).await;
}

/// Two databases that were made by hand: the schema is there on both, and up to 14 it is somebody else's, and open to all.
#[tokio::test]
async fn whose_the_schema_public_is_is_not_told_as_a_missing_schema() {
    let (Some(source), Some(target)) = (Server::start(12), Server::start(18)) else {
        return;
    };
    for server in [&source, &target] {
        server.database("d");
        server.psql("d", "create table t (id int primary key)");
    }
    let by_hand = Move {
        source: (&source, "d"),
        target: (&target, "d"),
        restore: RestoreOptions::default(),
        selection: &[],
    };
    let outcome = by_hand.verify().await;
    assert_eq!(
        named(&outcome),
        ["Different acl SCHEMA public", "Different schema public"]
    );
    let said = |class: &str| {
        let mut found = outcome.differences.iter();
        let found = found.find(|one| one.class == class);
        found.expect("found before").detail.as_str()
    };
    assert!(
        said("schema").starts_with("owner: \""),
        "{}",
        said("schema")
    );
    assert!(said("acl").starts_with("grants: "), "{}", said("acl"));
    assert!(said("acl").contains("GRANT ALL ON SCHEMA public TO PUBLIC"));
}

/// What no dump carries: what it is about, what makes it, and what a copy then lacks.
const UNCARRIED: [(&str, &str, &[&str]); 3] = [
    (
        "create extension earthdistance cascade",
        "create table plain (id int, v text); alter extension earthdistance add table plain; insert into plain values (1, 'x');
         create index plain_v on plain (v); alter table plain add constraint ck check (id > 0);
         create function member() returns int language sql as 'select 1'; alter extension earthdistance add function member();
         create or replace function earth() returns float8 language sql immutable parallel safe as 'select 1::float8'",
        &[
            "Different extension object function public.earth()",
            "Missing extension object function public.member()",
            "Missing extension object index public.plain_v",
            "Missing extension object table column public.plain.id",
            "Missing extension object table column public.plain.v",
            "Missing extension object table constraint ck on public.plain",
            "Missing extension object table public.plain",
        ],
    ),
    (
        "create table plain (id int)",
        "create function pg_catalog.mine() returns int language sql as 'select 1'; create table information_schema.mine (a int);
         insert into information_schema.mine values (1); revoke select on information_schema.tables from public",
        &[
            "Different system object view information_schema.tables",
            "Missing system object function pg_catalog.mine()",
            "Missing system object table information_schema.mine",
        ],
    ),
    (
        "create table p (a int constraint pos check (a > 0)); create table c () inherits (p);
         create table k (a int primary key); create table l (a int references k) partition by list (a);
         create table l1 partition of l for values in (1)",
        "comment on constraint pos on c is 'c'; comment on constraint l_a_fkey on l1 is 'k';
         comment on type p is 'row'; revoke usage on type p from public",
        &[
            "Different acl public.p its row type",
            "Different comment public.c its inherited constraint pos",
            "Different comment public.l1 its foreign key from its parent, to public.k",
            "Different comment public.p its row type",
        ],
    ),
];

#[tokio::test]
async fn what_no_dump_carries_is_missed_and_nothing_else() {
    let Some(server) = Server::start(15) else {
        return;
    };
    for (place, (about, made, lacking)) in UNCARRIED.into_iter().enumerate() {
        let (from, to) = (format!("u{place}"), format!("copy{place}"));
        server.database(&from);
        server.psql(&from, &format!("{about}; {made}"));
        let copied = Move {
            source: (&server, from.as_str()),
            target: (&server, to.as_str()),
            restore: RestoreOptions::default(),
            selection: &[],
        };
        copied.run(&[]);
        assert_eq!(named(&copied.verify().await), lacking, "{made}");
        server.psql(&to, made);
        let outcome = copied.verify().await;
        assert!(outcome.is_same(), "{made}: {outcome:#?}");
    }
    for (database, table) in [
        ("copy0", "public.plain"),
        ("copy1", "information_schema.mine"),
    ] {
        server.psql(database, &format!("delete from {table}"));
    }
    for (place, found) in [
        (0, None),
        (
            1,
            Some("Different system object rows of information_schema.mine"),
        ),
    ] {
        let (from, to) = (format!("u{place}"), format!("copy{place}"));
        let emptied = Move {
            source: (&server, from.as_str()),
            target: (&server, to.as_str()),
            restore: RestoreOptions::default(),
            selection: &[],
        };
        let found: Vec<&str> = found.into_iter().collect();
        assert_eq!(named(&emptied.verify().await), found);
    }
}

/// What can be changed about what a server brings, and what is then found on the side that lacks it.
const BROUGHT: &str = "alter text search configuration pg_catalog.english alter mapping for word with public.own, english_stem;
    alter text search dictionary pg_catalog.english_stem (stopwords = german);
    alter operator family pg_catalog.integer_ops using btree add operator 1 public.<<< (int, text);
    create text search configuration pg_catalog.mine (copy = pg_catalog.simple);
    create collation pg_catalog.moon (locale = 'C'); create collation if not exists pg_catalog.\"C.UTF-8\" (locale = 'C.UTF-8')";

/// What that refers to.
const OF_OUR_OWN: &str = "create text search dictionary public.own (template = pg_catalog.simple);
         create function lower_than(int, text) returns bool language sql immutable as 'select true';
         create operator <<< (procedure = lower_than, leftarg = int, rightarg = text);
         create function lower_than(text, text) returns bool language sql immutable as 'select false';
         create operator <<< (procedure = lower_than, leftarg = text, rightarg = text);
         create operator class public.own for type text using btree family pg_catalog.float_ops
             as operator 1 <<<, function 1 bttextcmp(text, text)";

async fn what_was_changed_about_what_servers_bring_is_found(source: &Server, target: &Server) {
    for database in ["plain", "changed"] {
        source.database(database);
        source.psql(database, OF_OUR_OWN);
    }
    let plain = Move {
        source: (source, "plain"),
        target: (target, "copy"),
        restore: RestoreOptions::default(),
        selection: &[],
    };
    plain.run(&[]);
    assert_eq!(named(&plain.verify().await), [""; 0]);
    let changed = Move {
        source: (source, "changed"),
        target: (target, "copy_changed"),
        restore: RestoreOptions::default(),
        selection: &[],
    };
    changed.run(&[]);
    source.psql("changed", BROUGHT);
    let found = |lacking: &str| {
        let altered = [
            "operator family pg_catalog.integer_ops USING btree",
            "text search configuration pg_catalog.english",
            "text search dictionary pg_catalog.english_stem",
        ];
        let made = [
            "collation pg_catalog.moon",
            "text search configuration pg_catalog.mine",
        ];
        let altered = altered.map(|object| format!("Different system object {object}"));
        let made = made.map(|object| format!("{lacking} system object {object}"));
        [&altered[..], &made[..]].concat()
    };
    assert_eq!(named(&changed.verify().await), found("Missing"));
    target.psql("copy_changed", BROUGHT);
    assert_eq!(named(&changed.verify().await), [""; 0]);
    let on_the_target = Move {
        source: (source, "plain"),
        target: (target, "copy_changed"),
        restore: RestoreOptions::default(),
        selection: &[],
    };
    assert_eq!(named(&on_the_target.verify().await), found("Extra"));
}

#[tokio::test]
async fn what_was_changed_about_what_a_server_brings_is_found() {
    if let Some(server) = Server::start(16) {
        what_was_changed_about_what_servers_bring_is_found(&server, &server).await;
    }
}

#[tokio::test]
async fn what_was_changed_about_what_a_server_brings_is_found_on_a_newer_one() {
    if let (Some(source), Some(target)) = (Server::start(10), Server::start(18)) {
        what_was_changed_about_what_servers_bring_is_found(&source, &target).await;
    }
}

/// No dump says of an extension's functions and views what was changed about them since.
#[tokio::test]
async fn what_was_changed_about_an_extensions_functions_and_views_is_found() {
    let Some(server) = Server::start(16) else {
        return;
    };
    server.psql("postgres", "create role joe");
    for database in ["plain", "changed"] {
        server.database(database);
        server.psql(
            database,
            "create extension citext; create view member as select 1 as a; alter extension citext add view member",
        );
    }
    let between = |source, target| Move {
        source: (&server, source),
        target: (&server, target),
        restore: RestoreOptions::default(),
        selection: &[],
    };
    let (lost, extra) = (between("changed", "plain"), between("plain", "changed"));
    assert_eq!(named(&lost.verify().await), [""; 0]);
    let change = "alter function citext_eq(citext, citext) set search_path = public;
        alter function citext_cmp(citext, citext) security definer; alter function citext_hash(citext) volatile;
        alter function citext_lt(citext, citext) leakproof; alter function citext_ne(citext, citext) owner to joe;
        create or replace view member as select 2 as a";
    server.psql("changed", change);
    let functions = [
        "citext_cmp(public.citext,public.citext)",
        "citext_eq(public.citext,public.citext)",
        "citext_hash(public.citext)",
        "citext_lt(public.citext,public.citext)",
    ];
    let mut expected = functions
        .map(|function| format!("Different extension object function public.{function}"))
        .to_vec();
    expected.push("Different extension object view public.member".to_owned());
    let outcome = lost.verify().await;
    assert_eq!(named(&outcome), expected);
    let owner = "function public.citext_ne(public.citext,public.citext) of citext (joe on the source, a superuser or the extension's owner";
    let notes = outcome.notes.iter().filter(|note| note.contains(owner));
    assert_eq!(notes.count(), 1, "{outcome:#?}");
    assert_eq!(named(&extra.verify().await), expected);
    server.psql("plain", change);
    assert_eq!(named(&lost.verify().await), [""; 0]);
}

/// What an extension writes down for itself is another matter on each side.
#[tokio::test]
async fn whose_an_extension_is_is_said_and_its_rows_are_its_own() {
    let Some(server) = Server::start(15) else {
        return;
    };
    let copied = Move {
        source: (&server, "c"),
        target: (&server, "copy"),
        restore: RestoreOptions::default(),
        selection: &[],
    };
    let kept = "create table kept (id int, v float8); alter extension citext add table kept; insert into kept values (1, 0.5)";
    server.psql("postgres", "create role joe");
    for database in ["c", "copy"] {
        server.database(database);
        let create = if database == "c" {
            "grant create on database c to joe; set role joe; create extension citext; reset role"
        } else {
            "create extension citext"
        };
        server.psql(database, &format!("{create}; {kept}"));
    }
    server.psql(
        "c",
        "update kept set v = 0.1; insert into kept values (2, 1)",
    );
    let outcome = copied.verify().await;
    assert!(outcome.is_same(), "{outcome:#?}");
    let owner = "citext (joe on the source, a superuser on the target)";
    let notes = outcome.notes.iter().filter(|note| note.contains(owner));
    assert_eq!(notes.count(), 1, "{outcome:#?}");
}

/// Each of the types was held against all of the others once, which took many seconds.
#[test]
fn what_is_in_the_systems_schemas_is_found_at_once_among_many_types() {
    let Some(server) = Server::start(11) else {
        return;
    };
    server.database("types");
    server.psql(
        "types",
        "do $$ begin for i in 1..8000 loop execute format('create type e%s as enum ()', i); end loop; end $$;
         create function pg_catalog.mine() returns int language sql as 'select 1'",
    );
    let query = include_str!("../sql/verify/in_system_schemas.sql");
    let found = server.psql("types", &format!("set statement_timeout = '3s'; {query}"));
    assert!(found.contains("function pg_catalog.mine()"), "{found}");
}

/// One object of `verify_forgotten.sql`: what makes it, what is then done to its copy, and what is to be found.
struct Forgotten<'a> {
    made: &'a str,
    damage: &'a str,
    since: u32,
}

fn forgotten() -> Vec<Forgotten<'static>> {
    let script = include_str!("verify_forgotten.sql");
    let objects = script.split("\n-- object: ").skip(1);
    let object = |text: &'static str| {
        let (made, damage) = text.split_once("\n-- damage\n").expect("a damage");
        let since = made
            .lines()
            .find_map(|line| line.strip_prefix("-- since: "));
        Forgotten {
            made,
            damage,
            since: since.map_or(0, |version| version.parse().expect("a version")),
        }
    };
    objects.map(object).collect()
}

async fn what_is_forgotten_is_found(major: u32) {
    let Some(server) = Server::start(major) else {
        return;
    };
    server.database("f");
    server.psql("f", "create role forgetful; create schema f");
    let objects: Vec<Forgotten> = forgotten()
        .into_iter()
        .filter(|object| object.since <= major)
        .collect();
    assert!(objects.len() > 55);
    for object in &objects {
        server.psql("f", &format!("-- {}", object.made));
    }
    let copied = Move {
        source: (&server, "f"),
        target: (&server, "copy"),
        restore: RestoreOptions::default(),
        selection: &[],
    };
    server.database("copy");
    // Made again from its default version otherwise.
    server.psql("copy", "create extension hstore version '1.4'");
    copied.run_into_existing(&[]);
    let outcome = copied.verify().await;
    assert!(outcome.is_same(), "{outcome:#?}");
    let mut expected = Vec::new();
    for object in &objects {
        server.psql("copy", object.damage);
        let said = object
            .damage
            .lines()
            .filter_map(|line| line.strip_prefix("-- expect: "));
        expected.extend(said.map(str::to_owned));
    }
    expected.sort();
    let found = named(&copied.verify().await);
    let only = |these: &[String], those: &[String]| -> Vec<String> {
        let these = these.iter().filter(|one| !those.contains(one));
        these.cloned().collect()
    };
    let (unexpected, not_found) = (only(&found, &expected), only(&expected, &found));
    assert!(
        found == expected,
        "not found: {not_found:#?}\nnot expected: {unexpected:#?}"
    );
}

#[tokio::test]
async fn what_moves_forget_is_found_on_15() {
    what_is_forgotten_is_found(15).await;
}

#[tokio::test]
async fn what_moves_forget_is_found_on_18() {
    what_is_forgotten_is_found(18).await;
}
