//! A small shop: everything that makes a database hard to bring over, between two servers of one version.

use serde_json::Value;

use crate::scene::{Scene, figures, is_nothing, prepare, quiet};
use crate::support::moving::{assert_equal, assert_proven, independent_check, move_with, report};
use crate::support::server::Server;

pub const SHOP: &str = include_str!("shop.sql");
pub const CHANGES: &str = include_str!("shop-changes.sql");

fn count(server: &Server, database: &str, what: &str) -> String {
    server.psql(database, &format!("select count(*) from {what}"))
}

#[test]
fn what_differs_is_changed_and_nothing_else() {
    let (Some(source), Some(target)) = (quiet(16), quiet(16)) else {
        return;
    };
    let scene = Scene {
        source: &source,
        target: &target,
        database: "shop",
    };
    let (from, to) = (source.database("shop"), target.database("shop"));
    source.psql("shop", SHOP);
    assert_proven(&move_with(&from, &to, &[]));

    source.psql("shop", CHANGES);
    let done = scene.bring_over_as_foretold();
    let again = scene.bring_over();
    assert!(is_nothing(&again), "{again}");
    assert_eq!(figures(&done, "slots"), Some((0, 5, 0, false)));
    assert_eq!(figures(&done, "docs"), Some((1, 1, 1, false)));
    assert_eq!(figures(&done, "tags"), Some((1, 1, 2, false)));
    assert_eq!(figures(&done, "nothing"), Some((1, 0, 0, false)));
    assert_eq!(figures(&done, "child"), Some((0, 1, 0, false)));
    assert_eq!(figures(&done, "parent"), Some((0, 0, 1, false)));
    assert!(figures(&done, "moods").is_some_and(|(.., anew)| anew));
    // Eight gone or come, one of them with another sign of zero.
    assert_eq!(figures(&done, "log"), Some((6, 0, 4, false)));
    assert_eq!(done["large_objects_added"], 1);
    assert_eq!(done["large_objects_changed"], 3);
    assert_eq!(done["large_objects_removed"], 1);
    let views = done["materialized_views"].as_array().expect("a list");
    assert!(
        views.iter().all(|view| view["name"] != "untouched"),
        "{views:?}"
    );

    // Triggers of the target have not fired: what they write is what the source's have written.
    let audit = |server: &Server| count(server, "shop", "shop.audit");
    assert_eq!(audit(&target), audit(&source));
    let state = "select tgenabled from pg_trigger where tgname = 'always_noted'";
    assert_eq!(target.psql("shop", state), "A");

    what_was_written_to_the_target_goes(&scene);
    what_would_write_along_stops_it(&scene);
    a_tree_of_which_a_part_is_left_out_stops_it(&scene);
    another_schema_stops_it(&scene);
    a_foreign_key_that_would_not_hold_stops_it(&scene);
}

/// Somebody has tried the target out.
fn what_was_written_to_the_target_goes(scene: &Scene<'_>) {
    scene.target.psql(
        scene.database,
        "delete from shop.customers where id = 50; update shop.slots set label = 'tried' where id = 5;
         insert into shop.log values ('tried', 1, 1), ('tried', 1, 1), ('tried', 1, 1);
         update shop.orders set total = total + 1;
         truncate shop.tags; select nextval('shop.audit_id_seq'), lo_unlink(700002), lo_create(42);
         refresh materialized view shop.totals with no data",
    );
    let done = scene.bring_over_as_foretold();
    assert!(figures(&done, "orders").is_some_and(|(_, updated, _, anew)| anew && updated > 19_000));
    assert!(figures(&done, "tags").is_some_and(|(inserted, _, _, anew)| anew && inserted > 11_000));
    assert_eq!(figures(&done, "log"), Some((0, 0, 3, false)));
}

/// An event trigger that fires even for who replicates, and keeps a log: nobody would look at that table again.
fn what_would_write_along_stops_it(scene: &Scene<'_>) {
    let (source, target, database) = (scene.source, scene.target, scene.database);
    for server in [source, target] {
        server.psql(
            database,
            "create table shop.ddl (tag text);
             create function shop.log_ddl() returns event_trigger language plpgsql as
                 $$ begin insert into shop.ddl values (tg_tag); end $$;
             create event trigger log_ddl on ddl_command_end execute function shop.log_ddl();
             alter event trigger log_ddl enable always",
        );
    }
    source.psql(
        database,
        "update shop.customers set name = 'another' where id = 11",
    );
    let run = scene.sync(&[]);
    assert_eq!(run.status, 1, "{run}");
    assert!(
        run.stderr.contains("write to other tables as well") && run.stderr.contains("shop.ddl"),
        "{run}"
    );
    let unchanged = "select count(*) from shop.customers where name = 'another'";
    assert_eq!(target.psql(database, unchanged), "0");
    for server in [source, target] {
        server.psql(
            database,
            "drop event trigger log_ddl; drop function shop.log_ddl; drop table shop.ddl",
        );
    }
}

/// In which partition a row is depends on numbers that differ between servers: the tree is brought over as a whole, or not at all.
fn a_tree_of_which_a_part_is_left_out_stops_it(scene: &Scene<'_>) {
    let moods = || count(scene.target, scene.database, "shop.moods");
    let before = moods();
    scene.source.psql(
        scene.database,
        "insert into shop.moods select m, 999 from unnest(enum_range(null::shop.mood)) m",
    );
    let run = scene.sync(&["-T", "shop.moods_1"]);
    assert_eq!(run.status, 4, "{run}");
    let said = "partition shop.moods_1 is to take no part";
    assert!(run.stderr.contains(said), "{run}");
    assert_eq!(moods(), before);
}

fn another_schema_stops_it(scene: &Scene<'_>) {
    let (source, database) = (scene.source, scene.database);
    source.psql(
        database,
        "alter table shop.slots add column extra int; create index docs_body on shop.docs (body); insert into shop.slots values (-1, -1, 'x')",
    );
    for more in [&[][..], &["--dry-run"]] {
        let run = scene.sync(more);
        assert_eq!(run.status, 4, "{run}");
        for named in ["table shop.slots", "index shop.docs_body"] {
            assert!(run.stderr.contains(named), "{named}: {run}");
        }
        assert!(report(&run)["synced"].is_null(), "{run}");
    }
    assert_eq!(
        count(scene.target, database, "shop.slots where id = -1"),
        "0"
    );
    source.psql(
        database,
        "alter table shop.slots drop column extra; drop index shop.docs_body; delete from shop.slots where id = -1",
    );
}

/// Only one of two tables is brought over.
fn a_foreign_key_that_would_not_hold_stops_it(scene: &Scene<'_>) {
    scene.source.psql(
        scene.database,
        "insert into shop.customers (id, email) values (300000, 'x'); insert into shop.orders (customer) values (300000)",
    );
    let run = scene.sync(&["-t", "shop.orders"]);
    assert_eq!(run.status, 1, "{run}");
    assert!(
        run.stderr.contains("foreign key orders_customer_fkey"),
        "{run}"
    );
    assert_eq!(
        count(
            scene.target,
            scene.database,
            "shop.orders where customer = 300000"
        ),
        "0"
    );
    let run = scene.sync(&["-t", "shop.customers", "-t", "shop.orders"]);
    assert_eq!(run.status, 0, "{run}");
    scene.bring_over();
}

/// An owner who is no superuser, as on a managed server.
#[test]
fn an_ordinary_owner_does_it_as_well() {
    let (Some(source), Some(target)) = (quiet(16), quiet(16)) else {
        return;
    };
    let from = source.database("shop");
    source.psql("shop", SHOP);
    // For all tables it takes a superuser to publish.
    source.psql("shop", "drop publication everything");
    target.psql("postgres", "create role owner login");
    target.psql(
        "postgres",
        "create database shop owner owner template template0",
    );
    let to = format!("{} user=owner", target.conninfo("shop"));
    assert_proven(&move_with(&from, &to, &["--no-owner"]));
    source.psql("shop", CHANGES);
    target.psql("shop", "set role owner; update shop.orders set note = 'tried' where id = 9; delete from shop.customers where id = 70");
    let run = prepare(&from, &to, &["--no-owner"]).run();
    assert_eq!(run.status, 0, "{run}");
    assert_equal(
        &run.to_string(),
        &from,
        &target.conninfo("shop"),
        &["--no-owner", "--no-acl"],
    );
    let key = "select count(*) from pg_constraint where contype = 'f' and not convalidated";
    assert_eq!(target.psql("shop", key), "0", "{run}");
    let again = prepare(&from, &to, &["--no-owner"]).run();
    assert_eq!(again.status, 0, "{again}");
    assert!(is_nothing(&report(&again)["synced"]), "{again}");

    // A key that is made again checks what comes from then on: on neither side it is to.
    for server in [&source, &target] {
        server.psql("shop", "alter table shop.orders disable trigger all");
    }
    source.psql(
        "shop",
        "update shop.orders set note = 'later' where id = 11",
    );
    let refused = prepare(&from, &to, &["--no-owner"]).run();
    assert_eq!(refused.status, 4, "{refused}");
    let said = "foreign key orders_customer_fkey of shop.orders are not in their usual state";
    assert!(refused.stderr.contains(said), "{refused}");
    let unchanged = "shop.orders where note = 'later'";
    assert_eq!(count(&target, "shop", unchanged), "0", "{refused}");
}

/// While the tables are locked, readers go on, and a writer waits.
#[test]
#[cfg(feature = "faults")]
fn readers_go_on_and_writers_wait() {
    let (Some(source), Some(target)) = (quiet(16), quiet(16)) else {
        return;
    };
    let (from, to) = (source.database("shop"), target.database("shop"));
    source.psql("shop", "create table t (id int primary key, v text); insert into t select g, 'x' from generate_series(1, 100) g");
    assert_proven(&move_with(&from, &to, &[]));
    source.psql("shop", "update t set v = 'y' where id = 7");
    let run = prepare(&from, &to, &[]);
    let held = run.dir().join("held");
    let run = run
        .env("PGCONVOY_FAULT", "hold@sync-compared")
        .env("PGCONVOY_FAULT_FILE", &held);
    let running = run.start();
    while !held.exists() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(count(&target, "shop", "t"), "100");
    let refused = target.try_psql(
        "shop",
        "set lock_timeout = '200ms'; update t set v = 'z' where id = 8",
    );
    assert!(refused.is_err_and(|said| said.contains("lock timeout")));
    // What is written to the source meanwhile is not in the snapshot.
    source.psql("shop", "update t set v = 'later' where id = 9");
    let second = prepare(&from, &to, &[]).run();
    assert_eq!(second.status, 4, "{second}");
    std::fs::remove_file(&held).expect("it is there");
    let run = running.finish();
    assert_eq!(run.status, 0, "{run}");
    assert_eq!(
        target.psql("shop", "select v from t where id in (7, 9) order by id"),
        "y\nx"
    );
    let moved_on = &report(&run)["source_moved_on"];
    assert_ne!(*moved_on, Value::Null, "{run}");
    let (equal, said) = independent_check(&from, &to, &[]);
    assert!(!equal, "{said}");
    what_the_readme_shows(&source, &target);
}

fn what_the_readme_shows(source: &Server, target: &Server) {
    let (from, to) = (source.database("readme"), target.database("readme"));
    source.psql(
        "readme",
        "create table customers (id serial primary key, name text);
         create table orders (id serial primary key, customer int references customers, note text);
         insert into customers (name) select 'customer ' || g from generate_series(1, 5000) g;
         insert into orders (customer, note) select 1 + g % 5000, 'order ' || g from generate_series(1, 20000) g",
    );
    assert_proven(&move_with(&from, &to, &[]));
    source.psql(
        "readme",
        "insert into customers (name) values ('late');
         insert into orders (customer, note) select 5001, 'late ' || g from generate_series(1, 120) g;
         update orders set note = 'changed' where id % 1200 = 0 or id = 7;
         delete from orders where id in (1, 2, 3)",
    );
    let run = prepare(&from, &to, &["--dry-run"]).run();
    assert_eq!(run.status, 3, "{run}");
    assert!(
        run.stderr.contains("would be changed on the target:"),
        "{run}"
    );
    let run = prepare(&from, &to, &[]).run();
    assert_eq!(run.status, 0, "{run}");
    println!("{}", run.stderr);
    for line in [
        "changed on the target, and committed:",
        "  public.customers: 1 row inserted, 0 updated, 0 deleted, ",
        "  public.orders: 120 rows inserted, 17 updated, 3 deleted, ",
        "  sequences: public.customers_id_seq, public.orders_id_seq",
        "Changed: 121 rows inserted, 17 updated and 3 deleted in 2 tables; 2 sequences.",
    ] {
        assert!(run.stderr.contains(line), "{line}: {run}");
    }
}
