//! What no dump says, or says only in part, and what happens when all is proven: a copy without it is no copy.

use crate::support::binary::{Finished, Pgconvoy};
use crate::support::moving::{assert_equal, assert_no_ledger, assert_proven, move_with, report};
use crate::support::server::Server;

/// An event trigger that fires whatever a session says, and keeps a log: when the ledger goes, nobody looks at that log any more.
#[test]
fn who_fires_always_does_not_answer_to_the_end_of_the_ledger() {
    let (Some(source), Some(target)) = (Server::start(15), Server::start(18)) else {
        return;
    };
    let from = source.database("db");
    source.psql(
        "db",
        "create table ddl (tag text); \
         create function log_ddl() returns event_trigger language plpgsql as $$begin insert into public.ddl values (tg_tag); end$$; \
         create event trigger always on ddl_command_end execute function log_ddl(); \
         create event trigger \"On replicas\" on sql_drop execute function log_ddl(); \
         alter event trigger always enable always; alter event trigger \"On replicas\" enable replica; \
         truncate ddl",
    );
    let to = target.database("db");
    let run = move_with(&from, &to, &[]);
    assert_proven(&run);
    assert_no_ledger(&target, "db");
    assert_equal("the copy", &from, &to, &[]);
    assert_eq!(target.psql("db", "select count(*) from ddl"), "0");
    let enabled = "select string_agg(evtname || ' ' || evtenabled::text, ', ' order by evtname) from pg_event_trigger";
    assert_eq!(target.psql("db", enabled), source.psql("db", enabled));
}

/// A right that was granted on by somebody goes when he loses his.
#[test]
fn large_objects_are_granted_by_whoever_did() {
    let (Some(source), Some(target)) = (Server::start(10), Server::start(16)) else {
        return;
    };
    for server in [&source, &target] {
        server.psql(
            "postgres",
            "create role anna; create role bert; create role carl",
        );
    }
    let from = source.database("db");
    source.psql(
        "db",
        "select lo_from_bytea(4711, 'x'); alter large object 4711 owner to anna; \
         select lo_from_bytea(4712, 'y'); revoke all on large object 4712 from postgres; \
         set role anna; grant select on large object 4711 to bert with grant option; \
         set role bert; grant select on large object 4711 to carl",
    );
    let to = target.database("db");
    assert_proven(&move_with(&from, &to, &[]));
    assert_equal("the copy", &from, &to, &[]);
    target.psql(
        "db",
        "set role anna; revoke select on large object 4711 from bert cascade",
    );
    let carl = "select count(*) from pg_largeobject_metadata, aclexplode(lomacl) where grantee = 'carl'::regrole";
    assert_eq!(target.psql("db", carl), "0");

    target.psql(
        "db",
        "set role anna; grant select on large object 4711 to carl; \
         grant select on large object 4711 to bert with grant option",
    );
    let run = verified(&from, &to);
    assert_eq!(run.status, 3, "{run}");
    let detail = report(&run)["differences"].to_string();
    assert!(detail.contains("SELECT to carl by bert"), "{detail}");
}

fn verified(from: &str, to: &str) -> Finished {
    Pgconvoy::new([
        "verify",
        "--source",
        from,
        "--target",
        to,
        "--run-dir",
        "run",
    ])
    .run()
}

/// None of it has an entry in a dump.
#[test]
fn what_has_no_entry_is_missed() {
    let (Some(source), Some(target)) = (Server::start(16), Server::start(16)) else {
        return;
    };
    let from = source.database("db");
    let to = target.database("db");
    let both = "
        drop schema public;
        create schema app;
        create extension hstore schema app;
        create table app.of_extension (i int default 1);
        create policy p on app.of_extension using (true);
        alter extension hstore add table app.of_extension;
        create function app.f() returns trigger language plpgsql as 'begin return new; end';
        create table app.parent (a int) partition by range (a);
        create table app.child partition of app.parent for values from (0) to (9);
        create trigger t after insert on app.parent for each row execute function app.f();
        create constraint trigger c after insert on app.child for each row execute function app.f();
        create view app.v as select 1 as i;
    ";
    for server in [&source, &target] {
        server.psql("db", both);
    }
    let run = verified(&from, &to);
    assert_eq!(run.status, 0, "{run}");
    source.psql("postgres", "create role reader");
    target.psql("postgres", "create role reader");
    source.psql(
        "db",
        "alter table app.of_extension enable row level security;
         alter table app.of_extension alter i set default 2;
         alter policy p on app.of_extension to reader;
         comment on trigger t on app.child is 'one';
         comment on constraint c on app.child is 'two';
         comment on rule \"_RETURN\" on app.v is 'three'",
    );
    target.psql("db", "create schema public");
    let run = verified(&from, &to);
    assert_eq!(run.status, 3, "{run}");
    // It is what every target begins with.
    assert!(
        report(&run)["notes"].to_string().contains("DROP SCHEMA"),
        "{run}"
    );
    let found = report(&run)["differences"].to_string();
    assert!(!found.contains("presence"), "{found}");
    target.psql("db", "drop schema public");
    source.psql("db", "create schema public");
    let run = verified(&from, &to);
    assert_eq!(run.status, 3, "{run}");
    let found = report(&run)["differences"].to_string();
    for expected in [
        "row security: enabled on the source, the default on the target",
        "table column app.of_extension.i",
        "policy p on app.of_extension",
        "presence: the default on the source, gone on the target",
        "its trigger t from its parent",
        "the constraint of its trigger c",
        "its rule \\\"_RETURN\\\"",
    ] {
        assert!(found.contains(expected), "{expected} is not in {found}");
    }
}
