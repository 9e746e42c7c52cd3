//! Creating the target's database like the source's, and emptying the one that is there, on real servers.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;

use pgconvoy::catalog;
use pgconvoy::catalog::{DatabaseFacts, LedgerSchema, LocaleProvider};
use pgconvoy::event::{Emit, Emptying, What};
use pgconvoy::execute::prepare::{
    self, Emptied, PrepareError, apply_properties, create_database, database_exists,
};
use pgconvoy::ledger;
use pgconvoy::pg::conninfo::{Conninfo, Environment};
use pgconvoy::pg::{Connector, Session, Side};
use pgconvoy::plan::{DatabaseError, NewDatabase};
use pgconvoy::toc::RestoreOptions;
use support::server::{Server, servers};

/// Rows of every catalog that belongs to one database: what is left over shows as a higher count, also where `pg_dump`
/// does not look; and the privileges on what initdb made.
const CATALOG_COUNTS: &str = r"
    select format('select %L, count(*) from pg_catalog.%I', c.relname, c.relname)
    from pg_catalog.pg_class c
    where c.relnamespace = 'pg_catalog'::regnamespace and c.relkind = 'r' and not c.relisshared
      and c.relname not in ('pg_statistic', 'pg_statistic_ext_data', 'pg_namespace')
    order by c.relname
    \gexec
    select nspname from pg_catalog.pg_namespace where nspname !~ '^pg_(toast_)?temp_' order by nspname;
    select oid::regclass, acl.* from pg_catalog.pg_class, aclexplode(coalesce(relacl, acldefault('r', relowner))) acl where oid < 16384 order by 1, 2, 3, 4;
    select oid::regprocedure, acl.* from pg_catalog.pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner))) acl where oid < 16384 order by 1, 2, 3, 4;
    select 'pg_shdepend', count(*) from pg_catalog.pg_shdepend where dbid = (select oid from pg_catalog.pg_database where datname = current_database())";

async fn session(conninfo: &str, side: Side) -> Session {
    let environment = Environment::new(std::iter::empty::<(&str, &str)>());
    let conninfo = Conninfo::resolve(conninfo, &environment).expect("a conninfo");
    let connector = Connector::new(conninfo, side).expect("no TLS asked for");
    connector.session("test").await.expect("it connects")
}

/// Of the servers that there are.
fn majors() -> Vec<u32> {
    let mut majors: Vec<u32> = servers()
        .iter()
        .map(|install| install.version.major())
        .collect();
    majors.dedup();
    majors
}

fn as_role(conninfo: &str, role: &str) -> String {
    // The last of two equal keywords wins, as in libpq.
    format!("{conninfo} user={role}")
}

fn load(server: &Server, conninfo: &str, script: &str, variables: &[&str]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/schemas")
        .join(script);
    let mut psql = server.tool("psql");
    psql.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", conninfo]);
    for variable in variables {
        psql.args(["-v", variable]);
    }
    let done = psql.arg("-f").arg(path).output().expect("psql runs");
    assert!(
        done.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

/// Everything that `pg_dump` says about a database's schema, without its name and random keys.
fn dump(server: &Server, database: &str) -> String {
    let mut pg_dump = server.tool("pg_dump");
    pg_dump.args(["-s", "-d", &server.conninfo(database)]);
    let done = pg_dump.output().expect("pg_dump runs");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    let text = String::from_utf8(done.stdout).expect("UTF-8");
    let kept = text
        .lines()
        .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"));
    kept.collect::<Vec<_>>().join("\n")
}

fn assert_as_new(server: &Server, database: &str) {
    if server.psql(
        "postgres",
        "select count(*) from pg_database where datname = 'as new'",
    ) == "0"
    {
        server.database("as new");
    }
    assert_eq!(dump(server, database), dump(server, "as new"));
    let (found, expected) = (
        server.psql(database, CATALOG_COUNTS),
        server.psql("as new", CATALOG_COUNTS),
    );
    // There are thousands of them.
    let known: BTreeSet<&str> = expected.lines().collect();
    let unexpected: Vec<_> = found.lines().filter(|line| !known.contains(line)).collect();
    assert_eq!(unexpected, Vec::<&str>::new());
    assert_eq!(found, expected);
    let public = "select r.rolname, n.nspacl, n.oid, obj_description(n.oid)
        from pg_namespace n join pg_roles r on r.oid = n.nspowner where n.nspname = 'public'";
    assert_eq!(server.psql(database, public), server.psql("as new", public));
}

/// How far each told that it is.
#[derive(Default)]
struct Told(Mutex<Vec<Emptying>>);

impl Emit for Told {
    fn emit(&self, what: What) {
        let What::EmptyingTarget(emptying) = what else {
            panic!("{what:?}");
        };
        self.0.lock().expect("nobody panics").push(emptying);
    }
}

async fn empty(conninfo: &str) -> Result<Emptied, PrepareError> {
    let session = session(conninfo, Side::Target).await;
    prepare::empty(&session, None, &Told::default()).await
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        said = format!("{said}: {error}");
        source = error.source();
    }
    said
}

async fn empty_a_zoo(major: u32) {
    let Some(server) = Server::start(major) else {
        return;
    };
    let conninfo = server.database("zoo \"x\"");
    load(&server, &conninfo, "zoo.sql", &["subscription=off"]);
    if major == 15 {
        load(&server, &conninfo, "zoo-contrib.sql", &[]);
    }
    load(&server, &conninfo, "mastodon.sql", &["scale=0.001"]);
    server.psql(
        "zoo \"x\"",
        "create schema pgconvoy; create table pgconvoy.done (job int);
         create table pgconvoy.run (run text, format int, started_at timestamptz, pgconvoy_version text, request text, snapshot text,
             memory bytea, plan bytea, archive bytea)",
    );
    let target = session(&conninfo, Side::Target).await;
    let held = catalog::holdings(&target).await.expect("it answers");
    let of_kind = |kind: &str| held.iter().find(|holding| holding.kind == kind);
    let ledger = of_kind("ledger of an unfinished run").expect("it is shown as what it is");
    assert_eq!(ledger.examples, ["pgconvoy"]);
    let tables = of_kind("table").expect("there are tables");
    assert!(
        !tables
            .examples
            .iter()
            .any(|name| name.starts_with("pgconvoy"))
    );

    let told = Told::default();
    let emptied = prepare::empty(&target, None, &told)
        .await
        .unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!(emptied.left, Vec::<String>::new());
    let notes = emptied.notes();
    for expected in [
        "× table: ",
        "× event trigger: ",
        "1 × ledger of an unfinished run: pgconvoy",
        "× default privileges: ",
    ] {
        assert!(
            notes.iter().any(|note| note.contains(expected)),
            "{expected} in {notes:#?}"
        );
    }
    assert_as_new(&server, "zoo \"x\"");

    let told = told.0.into_inner().expect("nobody panics");
    let objects = told[0].objects;
    assert!(objects > 100, "several transactions: {told:?}");
    let so_far: Vec<u64> = told.iter().map(|emptying| emptying.dropped).collect();
    assert!(so_far.is_sorted(), "{told:?}");
    assert_eq!((so_far[0], so_far.last()), (0, Some(&objects)), "{told:?}");

    let told = Told::default();
    let again = prepare::empty(&target, None, &told).await;
    assert_eq!(again.expect("it may be run again"), Emptied::default());
    assert_eq!(told.0.into_inner().expect("nobody panics"), []);
}

#[tokio::test]
async fn a_zoo_is_emptied_down_to_a_new_database_10() {
    empty_a_zoo(10).await;
}

#[tokio::test]
async fn a_zoo_is_emptied_down_to_a_new_database_13() {
    empty_a_zoo(13).await;
}

#[tokio::test]
async fn a_zoo_is_emptied_down_to_a_new_database_15() {
    empty_a_zoo(15).await;
}

#[tokio::test]
async fn a_zoo_is_emptied_down_to_a_new_database_18() {
    empty_a_zoo(18).await;
}

/// What an ordinary owner can have besides tables: nothing here needs a superuser.
const AN_OWNERS_THINGS: &str = r#"
    set session authorization keeper;
    create schema "My ""schema""";
    create type "My ""schema""".mood as enum ('a');
    create type "My ""schema""".pair as (a int, b "My ""schema""".mood);
    create type "My ""schema""".span as range (subtype = int4);
    create domain public.email as text;
    create function public.f(variadic int[]) returns int language sql as 'select 1';
    create function public."My ""schema"""() returns int language sql as 'select 1';
    create aggregate public.nothing(*) (sfunc = int8inc, stype = int8, initcond = '0');
    create function public.step(float8, float8) returns float8 language sql as 'select $2';
    create aggregate public.some(float8 order by float8) (sfunc = public.step, stype = float8, finalfunc = public.step);
    create operator public.@@@ (procedure = int4pl, leftarg = int, rightarg = int);
    create collation public.posix (locale = 'POSIX');
    create text search dictionary public.d (template = simple);
    create text search configuration public.c (copy = simple);
    create cast ("My ""schema""".mood as "My ""schema""".pair) with inout;
    create table public.parted (id int generated always as identity, m "My ""schema""".mood) partition by list (m);
    create table public.part partition of public.parted for values in ('a');
    create table public.base (id serial primary key, note text);
    create table public.child () inherits (public.base);
    create statistics public.stats on id, note from public.base;
    create view public.v as select * from public.base;
    create materialized view public.mv as select * from public.v;
    alter default privileges grant select on tables to public;
    alter default privileges revoke all on functions from public, keeper;
    alter default privileges in schema public grant all on tables to other with grant option;
    create publication p for table public.base;
    select lo_from_bytea(0, 'x') from generate_series(1, 700);
"#;

#[tokio::test]
async fn an_ordinary_owner_empties_what_is_theirs() {
    for major in [10, 15, 18] {
        let Some(server) = Server::start(major) else {
            continue;
        };
        server.psql(
            "postgres",
            "create role keeper login; create role other login",
        );
        server.psql(
            "postgres",
            "create database theirs owner keeper template template0",
        );
        let theirs = as_role(&server.conninfo("theirs"), "keeper");
        load(&server, &theirs, "mastodon.sql", &["scale=0.001"]);
        server.psql("theirs", AN_OWNERS_THINGS);
        let emptied = empty(&theirs)
            .await
            .unwrap_or_else(|error| panic!("{major}: {}", chain(&error)));
        assert_eq!(emptied.left, Vec::<String>::new(), "{major}");
        assert_as_new(&server, "theirs");
    }
}

#[tokio::test]
async fn what_belongs_to_others_is_refused_before_anything_is_dropped() {
    let Some(server) = Server::start(15) else {
        return;
    };
    server.psql("postgres", "create role keeper login; create role other");
    server.psql(
        "postgres",
        "create database theirs owner keeper template template0",
    );
    let theirs = as_role(&server.conninfo("theirs"), "keeper");
    server.psql(
        "theirs",
        r#"create schema "others'"; alter schema "others'" owner to other; create table "others'".t ();
           create schema mine; alter schema mine owner to keeper; create table mine.t ();"#,
    );
    let before = dump(&server, "theirs");
    let said = empty(&theirs).await.expect_err("not theirs");
    assert!(
        matches!(&said, PrepareError::NotYours { role, objects, .. }
            if role == "keeper" && objects == &["table \"others'\".t", "schema \"others'\""]),
        "{said}"
    );
    assert_eq!(dump(&server, "theirs"), before);

    // Somebody else's table in a schema of their own is theirs to drop, as DROP has it; an extension is not.
    server.psql(
        "theirs",
        r#"drop schema "others'" cascade; alter table mine.t owner to other;
           create schema extensions; alter schema extensions owner to keeper; create extension hstore schema extensions;
           create table extensions.t (h extensions.hstore); create extension citext schema public"#,
    );
    let emptied = empty(&theirs)
        .await
        .unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!(
        emptied.left,
        [
            "extension hstore, which belongs to another role",
            "extension citext, which belongs to another role"
        ]
        .into_iter()
        .rev()
        .collect::<Vec<_>>()
    );
    assert_eq!(
        server.psql("theirs", "select extname from pg_extension order by 1"),
        "citext\nhstore\nplpgsql"
    );
    assert_eq!(
        server.psql(
            "theirs",
            "select count(*) from pg_class where relname = 't'"
        ),
        "0"
    );

    // A superuser drops these as well, and the schema, and makes public anew.
    server.psql("theirs", "drop schema public cascade");
    empty(&server.conninfo("theirs"))
        .await
        .unwrap_or_else(|error| panic!("{}", chain(&error)));
    let names = "select nspname from pg_namespace where nspname !~ '^pg_' order by 1";
    assert_eq!(server.psql("theirs", names), "information_schema\npublic");
    server.database("as new");
    assert_eq!(dump(&server, "theirs"), dump(&server, "as new"));
}

/// Whose a schema of the ledger's name is, each version says in the same way, and everybody who asks goes by that.
#[tokio::test]
async fn a_schema_of_somebodys_own_is_not_dropped_for_what_it_is_called() {
    for major in majors() {
        let Some(server) = Server::start(major) else {
            continue;
        };
        let conninfo = server.database("theirs");
        let target = session(&conninfo, Side::Target).await;
        for (made, whose) in [
            ("", LedgerSchema::Another),
            (
                "comment on schema pgconvoy is 'mine'; grant usage on schema pgconvoy to public",
                LedgerSchema::Another,
            ),
            (
                "comment on schema pgconvoy is 'This database was being emptied for an unfinished pgconvoy run: /runs/other'",
                LedgerSchema::Sign,
            ),
            (
                "comment on schema pgconvoy is 'This database was being emptied for an unfinished pgconvoy run: /runs/other';
                 create table pgconvoy.kept (i int)",
                LedgerSchema::Another,
            ),
            (
                "create function pgconvoy.f() returns int language sql as 'select 1'",
                LedgerSchema::Another,
            ),
            (
                "create table pgconvoy.run (run text, distance int)",
                LedgerSchema::Another,
            ),
            (
                "create view pgconvoy.run as select ''::text as run, ''::text as pgconvoy_version",
                LedgerSchema::Another,
            ),
            (
                "create table pgconvoy.run (run text, pgconvoy_version text)",
                LedgerSchema::Ledger,
            ),
        ] {
            server.psql("theirs", &format!("create schema pgconvoy; {made}"));
            let found = catalog::ledger_schema(&target).await.expect("it answers");
            assert_eq!(found, Some(whose), "{major}: {made}");
            let held = catalog::holdings(&target).await.expect("it answers");
            let is_held = held.iter().any(|one| one.kind == whose.kind());
            assert!(is_held, "{major}: {made}: {held:?}");
            let drops = catalog::droppable(&target).await.expect("it answers");
            let is_dropped = drops.iter().any(|one| one.statement.contains("pgconvoy"));
            let is_ours = whose != LedgerSchema::Another;
            assert_eq!(is_dropped, is_ours, "{major}: {made}: {drops:?}");
            let sign = ledger::put_up_sign("/runs/this");
            let emptied = prepare::empty(&target, Some(&sign), &Told::default()).await;
            match emptied {
                Ok(_) => assert!(is_ours, "{major}: {made}"),
                Err(PrepareError::Taken { .. }) => assert!(!is_ours, "{major}: {made}"),
                Err(error) => panic!("{major}: {made}: {}", chain(&error)),
            }
            server.psql("theirs", "drop schema pgconvoy cascade");
        }
        let found = catalog::ledger_schema(&target).await.expect("it answers");
        assert_eq!(found, None, "{major}");
    }
}

/// In a database with a ledger of somebody else's run; and where nobody may define anything as long as an event trigger is there.
#[tokio::test]
async fn who_empties_a_database_says_so_first_and_until_the_end() {
    for major in [10, 18] {
        let Some(server) = Server::start(major) else {
            continue;
        };
        server.psql("postgres", "create role keeper login");
        server.psql(
            "postgres",
            "create database theirs owner keeper template template0",
        );
        server.psql(
            "theirs",
            "set session authorization keeper; create table t (); create schema pgconvoy;
             create table pgconvoy.run (run text, pgconvoy_version text)",
        );
        let guarded = server.database("guarded");
        server.psql(
            "guarded",
            "create function no_ddl() returns event_trigger language plpgsql as $$ begin raise exception 'no DDL here'; end $$;
             create event trigger strict on ddl_command_start execute procedure no_ddl()",
        );
        let theirs = as_role(&server.conninfo("theirs"), "keeper");
        for (database, conninfo) in [("theirs", theirs), ("guarded", guarded)] {
            let target = session(&conninfo, Side::Target).await;
            let sign = ledger::put_up_sign("/runs/it's");
            let emptied = prepare::empty(&target, Some(&sign), &Told::default())
                .await
                .unwrap_or_else(|error| panic!("{database}: {}", chain(&error)));
            assert_ne!(emptied.dropped, [], "{database}");
            for (run, is_up) in [("/runs/it's", true), ("/runs/it", false)] {
                let found = ledger::has_sign(&target, run).await;
                assert_eq!(found.expect("it answers"), is_up, "{database}: {run}");
            }
            let names = "select nspname from pg_namespace where nspname !~ '^pg_' order by 1";
            let names = server.psql(database, names);
            assert_eq!(names, "information_schema\npgconvoy\npublic", "{database}");
            let again = prepare::empty(&target, Some(&sign), &Told::default()).await;
            assert_eq!(again.expect("it may be run again"), Emptied::default());
        }
    }
}

#[tokio::test]
async fn an_owner_makes_public_anew_as_far_as_the_server_lets_them() {
    for major in [10, 15] {
        let Some(server) = Server::start(major) else {
            continue;
        };
        server.psql("postgres", "create role keeper login");
        server.psql(
            "postgres",
            "create database theirs owner keeper template template0",
        );
        server.psql("theirs", "drop schema public");
        let theirs = as_role(&server.conninfo("theirs"), "keeper");
        let emptied = empty(&theirs)
            .await
            .unwrap_or_else(|error| panic!("{}", chain(&error)));
        let acl = "select nspacl from pg_namespace where nspname = 'public'";
        if major >= 15 {
            assert_eq!(emptied.left, Vec::<String>::new());
            server.database("as new");
            assert_eq!(dump(&server, "theirs"), dump(&server, "as new"));
            assert_eq!(server.psql("theirs", acl), server.psql("as new", acl));
        } else {
            // It belonged to the bootstrap superuser, and nobody gives a schema away to a role that they are not in.
            assert_eq!(emptied.left.len(), 1, "{:?}", emptied.left);
            assert!(emptied.left[0].starts_with("the owner of the schema public as it was"));
            let said = server.psql("theirs", acl);
            assert!(said.contains(",=UC/keeper"), "{said}");
        }
    }
}

#[tokio::test]
async fn every_server_is_asked_in_words_that_it_understands() {
    for major in majors() {
        let Some(server) = Server::start(major) else {
            continue;
        };
        let conninfo = server.database("plain");
        server.psql("plain", "create table t (); drop extension plpgsql");
        let emptied = empty(&conninfo)
            .await
            .unwrap_or_else(|error| panic!("{major}: {}", chain(&error)));
        assert_eq!(emptied.notes(), ["dropped 1 × table: public.t"]);
        let extensions = "select extname from pg_extension";
        assert_eq!(server.psql("plain", extensions), "plpgsql");
        let plain = facts(&conninfo).await;
        assert_eq!((plain.provider, plain.locale), (LocaleProvider::Libc, None));
    }
}

#[tokio::test]
async fn a_subscription_is_refused_by_name() {
    let Some(server) = Server::start(15) else {
        return;
    };
    let conninfo = server.database("subscribed");
    server.psql(
        "subscribed",
        "create table kept (); create subscription \"a Sub\" connection 'host=nowhere.invalid' publication p with (connect = false, slot_name = none, enabled = false)",
    );
    let said = empty(&conninfo).await.expect_err("it has a subscription");
    assert!(
        said.to_string().ends_with("on other servers: a Sub"),
        "{said}"
    );
    assert_eq!(
        server.psql(
            "subscribed",
            "select count(*) from pg_class where relname = 'kept'"
        ),
        "1"
    );
    server.psql("subscribed", "drop subscription \"a Sub\"");
}

#[tokio::test]
async fn a_small_lock_table_only_makes_smaller_batches() {
    let Some(server) = Server::start_with(15, |options| {
        options
            .setting("max_locks_per_transaction", "10")
            .setting("max_connections", "10")
    }) else {
        return;
    };
    let conninfo = server.database("many");
    for from in [1, 101, 201, 301] {
        for from in (from..from + 100).step_by(20) {
            let make = format!(
                "do $$ begin for i in {from}..{} loop
                     execute format('create table t%s (id serial primary key, a text unique, b text unique, c int check (c > 0))', i);
                 end loop; end $$", from + 19
            );
            server.psql("many", &make);
        }
    }
    server.psql(
        "many",
        "select lo_from_bytea(0, 'x') from generate_series(1, 90)",
    );
    server.psql("many", "do $$ begin for i in 1..8 loop perform lo_from_bytea(0, 'x') from generate_series(1, 90); commit; end loop; end $$");
    let emptied = empty(&conninfo)
        .await
        .unwrap_or_else(|error| panic!("{}", chain(&error)));
    let tables = emptied
        .dropped
        .iter()
        .find(|holding| holding.kind == "table")
        .expect("tables");
    assert_eq!(tables.count, 400);
    assert_as_new(&server, "many");
}

#[tokio::test]
async fn a_view_of_what_the_server_says_when_a_drop_fails_is_about_one_object() {
    let Some(server) = Server::start(15) else {
        return;
    };
    let conninfo = server.database("guarded");
    server.psql(
        "guarded",
        "create table a (); create table b (); create table c ();
         create extension hstore; create function f() returns event_trigger language plpgsql as
         $$ begin if tg_tag = 'DROP TABLE' and current_query() like '%public.b%' then raise 'not b'; end if; end $$;
         create event trigger guard on ddl_command_start execute function f();
         alter extension hstore add function f(); alter extension hstore add event trigger guard",
    );
    let said = empty(&conninfo).await.expect_err("b is guarded");
    let said = chain(&said);
    let expected = "emptying database \"guarded\": table public.b: ERROR:  P0001: not b";
    assert!(said.starts_with(expected), "{said}");
    assert_eq!(
        server.psql(
            "guarded",
            "select count(*) from pg_class where relname = 'b'"
        ),
        "1"
    );
}

/// The source's facts, as the source's side reads them.
async fn facts(conninfo: &str) -> DatabaseFacts {
    let source = session(conninfo, Side::Source).await;
    catalog::database_facts(&source).await.expect("it answers")
}

/// Creates `name` on the target like the source's, sets everything, and compares the facts.
async fn recreate(source: &str, target: &Server, name: &str) -> (DatabaseFacts, DatabaseFacts) {
    let source = facts(source).await;
    let maintenance = session(&target.conninfo("postgres"), Side::Target).await;
    let new = NewDatabase::like(
        &source,
        name,
        maintenance.version(),
        &RestoreOptions::default(),
    )
    .unwrap_or_else(|error| panic!("{error}"));
    create_database(&maintenance, &new)
        .await
        .unwrap_or_else(|error| panic!("{}", chain(&error)));
    let early = facts(&target.conninfo(name)).await;
    assert_eq!(early.comment, source.comment);
    assert!(early.settings.is_empty() && early.grants.is_none() && early.connection_limit == -1);
    apply_properties(&maintenance, &new)
        .await
        .unwrap_or_else(|error| panic!("{}", chain(&error)));
    (source, facts(&target.conninfo(name)).await)
}

fn under(name: &str, facts: DatabaseFacts) -> DatabaseFacts {
    let mut facts = DatabaseFacts {
        name: name.to_owned(),
        ..facts
    };
    // The order of a list of privileges is the server's business.
    if let Some(grants) = &mut facts.grants {
        grants.sort_by(|a, b| {
            (&a.grantor, &a.grantee, &a.privilege).cmp(&(&b.grantor, &b.grantee, &b.privilege))
        });
    }
    facts
}

const ROLES: &str = "create role \"o \"\"w\"\" é\"; create role \"g r\"; create role visitor;";

const PROPERTIES: &str = r#"
    alter database :"DBNAME" owner to "o ""w"" é";
    alter database :"DBNAME" set work_mem = '7MB';
    alter database :"DBNAME" set search_path = 'a, "b"', "$user", public, '';
    alter database :"DBNAME" set temp_tablespaces = '';
    alter role "g r" in database :"DBNAME" set session_preload_libraries = 'nowhere/a b', "C,d";
    alter database :"DBNAME" set default_transaction_read_only = on;
    alter database :"DBNAME" set "my.setting" = 'it''s \ "x", y=z';
    alter database :"DBNAME" set datestyle = 'german';
    alter database :"DBNAME" set role = visitor;
    alter role "g r" in database :"DBNAME" set search_path = '';
    alter role "g r" in database :"DBNAME" set statement_timeout = '3min';
    alter role visitor in database :"DBNAME" set timezone = 'Europe/Berlin';
    alter database :"DBNAME" connection limit 3;
    comment on database :"DBNAME" is 'it''s a \ "comment"';
    revoke all on database :"DBNAME" from public;
    revoke temporary on database :"DBNAME" from "o ""w"" é";
    grant temporary on database :"DBNAME" to public;
    grant connect on database :"DBNAME" to "g r" with grant option;
    set role "g r";
    grant connect on database :"DBNAME" to visitor;
"#;

#[tokio::test]
async fn a_database_is_created_like_the_source_with_everything_set_on_it() {
    for (from, to) in [(15, 15), (10, 18), (18, 18), (10, 10)] {
        let (Some(source), Some(target)) = (Server::start(from), Server::start(to)) else {
            continue;
        };
        source.psql("postgres", ROLES);
        target.psql("postgres", ROLES);
        source.database("a \"b\" é");
        source.psql("a \"b\" é", PROPERTIES);
        for name in ["another 'name'", "a \"b\" é"] {
            let (wanted, made) = recreate(&source.conninfo("a \"b\" é"), &target, name).await;
            assert!(
                wanted.settings.len() == 11 && wanted.grants.is_some(),
                "{wanted:#?}"
            );
            assert_eq!(under(name, made), under(name, wanted), "{from} to {to}");
        }
    }
}

#[tokio::test]
async fn encodings_locales_and_providers_are_the_sources() {
    let clauses = [
        (10, 18, "encoding 'LATIN1' lc_collate 'C' lc_ctype 'C'"),
        (
            15,
            18,
            "encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'POSIX'",
        ),
        (
            15,
            18,
            "locale_provider icu icu_locale 'de-u-co-phonebk' lc_ctype 'C.UTF-8'",
        ),
        (15, 15, "locale_provider icu icu_locale 'und'"),
        (
            18,
            18,
            "locale_provider icu icu_locale 'und' icu_rules '&a < b'",
        ),
        (
            18,
            18,
            "locale_provider builtin builtin_locale 'C.UTF-8' lc_ctype 'C.UTF-8'",
        ),
        (18, 17, "locale_provider libc locale 'C.UTF-8'"),
    ];
    let (mut sources, mut targets) = (BTreeMap::new(), BTreeMap::new());
    for (number, (from, to, clause)) in clauses.into_iter().enumerate() {
        let source = sources.entry(from).or_insert_with(|| Server::start(from));
        let target = targets.entry(to).or_insert_with(|| Server::start(to));
        let (Some(source), Some(target)) = (source, target) else {
            continue;
        };
        let name = format!("d{number}");
        source.psql(
            "postgres",
            &format!("create database {name} template template0 {clause}"),
        );
        let (wanted, made) = recreate(&source.conninfo(&name), target, &name).await;
        assert_eq!(made, wanted, "{from} to {to}: {clause}");
    }
}

#[tokio::test]
async fn a_target_that_cannot_have_it_says_what_and_keeps_nothing() {
    let (Some(source), Some(target)) = (Server::start(18), Server::start(15)) else {
        return;
    };
    source.psql(
        "postgres",
        "create database b template template0 locale_provider builtin builtin_locale 'C'",
    );
    let builtin = facts(&source.conninfo("b")).await;
    assert_eq!(builtin.provider, LocaleProvider::Builtin);
    let maintenance = session(&target.conninfo("postgres"), Side::Target).await;
    let options = RestoreOptions::default();
    let refused = NewDatabase::like(&builtin, "b", maintenance.version(), &options);
    assert!(matches!(
        refused,
        Err(DatabaseError::Provider { needs: 17, .. })
    ));

    source.psql("postgres", "create role absent");
    for (set, about) in [
        (
            "alter database d set transaction_timeout = '1h'",
            "setting transaction_timeout cannot be set on the target: unrecognized configuration parameter \"transaction_timeout\"",
        ),
        (
            "alter role absent in database d set work_mem = '1MB'",
            "setting work_mem of role absent cannot be set on the target: role \"absent\" does not exist",
        ),
        (
            "grant create on database d to absent",
            "privileges cannot be set on the target: role \"absent\" does not exist",
        ),
    ] {
        source.database("d");
        source.psql("postgres", set);
        let source_facts = facts(&source.conninfo("d")).await;
        let new =
            NewDatabase::like(&source_facts, "d", maintenance.version(), &options).expect("so far");
        let said = create_database(&maintenance, &new).await.expect_err(set);
        let said = chain(&said).replace("ERROR:  42704: ", "");
        assert!(
            said.starts_with(&format!("database \"d\": {about}")),
            "{said}"
        );
        assert!(
            !database_exists(&maintenance, "d")
                .await
                .expect("it answers")
        );
        source.psql("postgres", "drop database d");
    }

    source.psql(
        "postgres",
        "create database o owner absent template template0",
    );
    let owned = facts(&source.conninfo("o")).await;
    let new = NewDatabase::like(&owned, "o", maintenance.version(), &options).expect("so far");
    let said = create_database(&maintenance, &new)
        .await
        .expect_err("no owner");
    let said = chain(&said);
    let expected = "creating database \"o\": ERROR:  42704: role \"absent\" does not exist";
    assert!(said.starts_with(expected), "{said}");

    let no_owner = RestoreOptions {
        no_owner: true,
        ..options
    };
    let new = NewDatabase::like(&owned, "o", maintenance.version(), &no_owner).expect("so far");
    create_database(&maintenance, &new)
        .await
        .expect("it is nobody's");
    let said = create_database(&maintenance, &new)
        .await
        .expect_err("it is there now");
    assert!(
        matches!(&said, PrepareError::Exists { database } if database == "o"),
        "{said}"
    );
    assert_eq!(
        target.psql(
            "postgres",
            "select count(*) from pg_database where datname = 'o'"
        ),
        "1"
    );
}
