//! Rows alone, objects dropped first, databases created, a live source, and what is said of large objects.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use pgconvoy::toc::{RestoreOptions, Toc, drops};

use crate::scene::{anew, archives, assert_ends, pg_dump, prepare, restore, rules, scene, scratch};
use crate::support::binary::{Finished, Pgconvoy};
use crate::support::moving::{RUN_DIR, assert_equal, assert_no_ledger, assert_proven, report};
use crate::support::server::Server;
use crate::support::template::Holding;

fn sentence(run: &Finished) -> String {
    let sentence = report(run)["sentence"].as_str().map(str::to_owned);
    sentence.unwrap_or_default()
}

#[test]
fn rows_alone_go_into_tables_that_are_there() {
    let Some(server) = scene(18) else { return };
    let dir = scratch();
    let from = server.conninfo("scene");
    for archive in archives(&server, dir.path()) {
        let to = anew(&server, "rows");
        let nothing = restore(&archive, &to, &["--data-only"]);
        assert_ends(
            &nothing,
            4,
            &["tables-missing", "app.child", "sequences-missing"],
        );
        assert_proven(&restore(&archive, &to, &["--schema-only"]));
        assert_eq!(server.psql("rows", "select count(*) from app.child"), "0");
        let run = restore(&archive, &to, &["--data-only"]);
        assert_proven(&run);
        assert!(sentence(&run).contains("--data-only"), "{run}");
        assert_eq!(rules(&run), [""; 0], "{run}");
        assert_no_ledger(&server, "rows");
        assert_equal("rows alone", &from, &to, &[]);
        let again = restore(&archive, &to, &["--data-only"]);
        assert_ends(
            &again,
            4,
            &["tables-not-empty", "app.child", "large object 70001"],
        );
        server.psql("rows", "update app.child set body = 'mine'");
        let overwritten = restore(&archive, &to, &["--data-only", "--overwrite", "rows"]);
        assert_proven(&overwritten);
        assert_eq!(rules(&overwritten), ["tables-emptied"], "{overwritten}");
        assert_ends(&overwritten, 0, &["warning: what app.child, app.parent, "]);
        assert_equal("rows alone, again", &from, &to, &[]);
        // A part of them.
        server.psql("rows", "truncate app.self");
        let part = restore(&archive, &to, &["--data-only", "-n", "app", "-t", "self"]);
        assert_proven(&part);
        assert_equal("rows of one table", &from, &to, &[]);
        // A part of the large objects: the others stay as they are.
        server.psql(
            "rows",
            "select lo_put(70001, 0, 'mine'), lo_put(70002, 0, 'mine')",
        );
        let list = Pgconvoy::new(["list".as_ref(), archive.as_os_str()]).run();
        let of_one = |line: &&str| !line.starts_with(';') && line.contains("70001");
        let of_one: Vec<&str> = list.stdout.lines().filter(of_one).collect();
        assert!(of_one.iter().any(|line| line.contains(" BLOBS ")), "{list}");
        let chosen = dir.path().join("chosen");
        fs::write(&chosen, of_one.join("\n")).expect("written");
        let chosen = chosen.to_str().expect("UTF-8");
        let overwrite = ["--data-only", "--overwrite", "rows", "-L", chosen];
        assert_proven(&restore(&archive, &to, &overwrite));
        let begin = "select string_agg(encode(lo_get(oid, 0, 4), 'hex'), ' ' order by oid) from pg_largeobject_metadata";
        assert_eq!(server.psql("rows", begin), "00ff00ff 6d696e65 ");
    }
}

/// What would fire, or stands in a circle, is refused by name; what was set aside is looked at afterwards.
#[test]
fn triggers_and_foreign_keys_are_set_aside_only_if_that_is_asked_for() {
    let Some(server) = scene(18) else { return };
    let dir = scratch();
    let [archive, _] = archives(&server, dir.path());
    let to = anew(&server, "rows");
    assert_proven(&restore(&archive, &to, &["--schema-only"]));
    server.psql(
        "rows",
        "create table public.log (a int);
         create function public.note() returns trigger language plpgsql as $$ begin insert into public.log values (1); return new; end $$;
         create trigger noting after insert on app.child for each row execute function public.note();
         alter table app.parent add favourite int references app.child",
    );
    let refused = restore(&archive, &to, &["--data-only"]);
    assert_ends(
        &refused,
        4,
        &[
            "triggers-fire",
            "noting on app.child",
            "foreign-keys-in-a-circle",
        ],
    );
    let aside = restore(&archive, &to, &["--data-only", "--disable-triggers"]);
    assert_proven(&aside);
    assert_ends(&aside, 0, &["columns-beyond", "app.parent.favourite"]);
    assert!(
        sentence(&aside).contains("foreign keys checked again"),
        "{aside}"
    );
    assert_eq!(server.psql("rows", "select count(*) from public.log"), "0");
    assert_eq!(
        server.psql(
            "rows",
            "select count(*) from app.child, app.parent where parent.id = 1"
        ),
        "900"
    );
    server.psql("rows", "alter table app.child enable always trigger noting");
    let always = ["--data-only", "--disable-triggers", "--overwrite", "rows"];
    assert_ends(
        &restore(&archive, &to, &always),
        4,
        &["triggers-fire", "ALWAYS"],
    );
    // A key that the archive's rows do not keep.
    server.psql(
        "rows",
        "drop trigger noting on app.child; truncate app.child, app.parent, app.self;
         alter table app.self add constraint odd foreign key (id) references app.child",
    );
    let broken = restore(&archive, &to, &always);
    assert_ends(&broken, 3, &["odd", "rows point to nothing"]);
    server.psql(
        "rows",
        "drop schema pgconvoy cascade; alter table app.self drop constraint odd",
    );
    server.psql(
        "rows",
        "create role mortal login; alter database rows owner to mortal; grant all on schema app to mortal;
         grant all on all tables in schema app to mortal; grant all on all sequences in schema app to mortal",
    );
    let mortal = to.replace("user='postgres'", "user=mortal");
    let refused = restore(&archive, &mortal, &always);
    assert_ends(&refused, 4, &["disable-triggers", "only a superuser"]);
    server.psql("rows", "alter table app.parent drop favourite; create table public.other (a int references app.parent)");
    let refused = restore(&archive, &to, &["--data-only", "--overwrite", "rows"]);
    assert_ends(&refused, 4, &["referenced-by-others", "public.other"]);
}

/// A row whose period nothing covers as a whole is an orphan, and one that two rows cover together is none.
#[test]
fn foreign_keys_over_periods_of_time_are_looked_at_as_well() {
    let Some(server) = scene(18) else { return };
    let dir = scratch();
    server.psql(
        "scene",
        "create table app.price (item int4range, valid daterange, primary key (item, valid without overlaps));
         create table app.sale (item int4range, during daterange, foreign key (item, period during) references app.price (item, period valid));
         insert into app.price values ('[1,2)', '[2024-01-01,2024-07-01)'), ('[1,2)', '[2024-07-01,2025-01-01)');
         insert into app.sale values ('[1,2)', '[2024-06-01,2024-08-01)'), (null, '[1999-01-01,2000-01-01)')",
    );
    let [archive, _] = archives(&server, dir.path());
    let to = anew(&server, "rows");
    assert_proven(&restore(&archive, &to, &["--schema-only"]));
    let aside = ["--data-only", "--disable-triggers", "--overwrite", "rows"];
    assert_proven(&restore(&archive, &to, &aside));
    server.psql(
        "rows",
        "set session_replication_role = replica; delete from app.price where lower(valid) = '2024-07-01'",
    );
    let broken = restore(&archive, &to, &[&aside[..], &["-t", "sale"]].concat());
    assert_ends(
        &broken,
        3,
        &["sale_item_during_fkey", "rows point to nothing"],
    );
}

#[test]
fn what_the_archive_has_is_dropped_first_and_everything_else_stays() {
    let Some(server) = scene(18) else { return };
    let dir = scratch();
    let from = server.conninfo("scene");
    for archive in archives(&server, dir.path()) {
        let to = anew(&server, "kept");
        let plain = restore(&archive, &to, &[]);
        assert_proven(&plain);
        assert_eq!(rules(&plain), [""; 0], "{plain}");
        server.psql(
            "kept",
            "create table public.mine (a int); insert into mine values (7); select lo_from_bytea(80001, 'mine');
             update app.child set body = 'changed'; create index on app.child (parent)",
        );
        let unconfirmed = restore(&archive, &to, &["--clean"]);
        assert_ends(
            &unconfirmed,
            4,
            &["clean-not-confirmed", "app.child", "--clean kept"],
        );
        assert_ends(
            &restore(&archive, &to, &["--clean", "other"]),
            4,
            &["clean-name"],
        );
        assert_eq!(
            server.psql(
                "kept",
                "select count(*) from app.child where body = 'changed'"
            ),
            "900"
        );
        let run = restore(&archive, &to, &["--clean", "kept"]);
        assert_proven(&run);
        assert_ends(&run, 0, &["target-cleaned"]);
        assert_eq!(server.psql("kept", "select a from mine"), "7");
        server.psql("kept", "drop table app.self");
        let missing = restore(&archive, &to, &["--clean", "kept"]);
        assert_ends(&missing, 1, &["app.self", "--if-exists"]);
        assert_eq!(server.psql("kept", "select count(*) from app.child"), "900");
        let run = restore(&archive, &to, &["--clean", "kept", "--if-exists"]);
        assert_proven(&run);
        server.psql(
            "kept",
            "create view public.needs as select * from app.child",
        );
        let needed = restore(&archive, &to, &["--clean", "kept", "--if-exists"]);
        assert_ends(&needed, 1, &["public.needs", "Nothing was dropped"]);
        assert_eq!(server.psql("kept", "select count(*) from needs"), "900");
        server.psql("kept", "drop view needs");
        // Killed when everything is dropped: before the commit nothing is, and nobody knows what the objects are needed for by now.
        let cleans = || prepare(&archive, &to, &["--clean", "kept"]);
        let undone = killed_and_resumed(cleans(), "target-uncleaned");
        assert_ends(&undone, 2, &["--clean kept"]);
        assert_eq!(server.psql("kept", "select count(*) from app.child"), "900");
        // After it, what was dropped is not missed.
        let resumed = killed_and_resumed(cleans(), "target-ready");
        assert_eq!(resumed.status, 0, "{resumed}");
        server.psql("kept", "drop table mine; select lo_unlink(80001)");
        assert_equal("cleaned", &from, &to, &[]);
    }
    let to = server.conninfo("kept");
    let wrong: [&[&str]; 4] = [
        &["--clean", "kept", "--overwrite", "kept"],
        &["--clean", "kept", "--create"],
        &["--clean", "kept", "--data-only"],
        &["--if-exists"],
    ];
    for more in wrong {
        assert_eq!(
            restore(&dir.path().join("stock"), &to, more).status,
            2,
            "{more:?}"
        );
    }
}

/// A base type with its functions, a domain's constraint, keys, indexes and triggers of partitions, a view that needs a key.
const TOGETHER: &str = "
    create type app.label;
    create function app.label_in(cstring) returns app.label language internal immutable strict as 'textin';
    create function app.label_out(app.label) returns cstring language internal immutable strict as 'textout';
    create type app.label (input = app.label_in, output = app.label_out, like = text);
    create domain app.loose as int;
    alter domain app.loose add constraint short check (value < 1000) not valid;
    create function app.noted() returns trigger language plpgsql as $$ begin return new; end $$;
    create table app.sales (id int references app.parent, day date, label app.label, n app.loose, primary key (id, day), unique (day, id, n))
        partition by range (day);
    create table app.sales_old partition of app.sales for values from (minvalue) to ('2024-01-01') partition by list (id);
    create table app.\"sales old 1\" partition of app.sales_old for values in (1, 2);
    create table app.sales_new partition of app.sales default;
    create index on app.sales (n);
    create trigger noted before insert on app.sales for each row execute function app.noted();
    alter table app.sales_new disable trigger noted;
    insert into app.sales select 1 + i % 2, date '2023-12-01' + i, 'a label', i from generate_series(1, 200) i;
    create table app.of_sales (id int, day date, foreign key (id, day) references app.sales);
    insert into app.of_sales select id, day from app.sales;
    create view app.needs_key as select p.id, p.note, count(*) as n from app.parent p group by p.id;
";

#[test]
fn what_can_only_go_together_is_dropped_together() {
    let Some(server) = scene(18) else { return };
    server.psql("scene", TOGETHER);
    let dir = scratch();
    let from = server.conninfo("scene");
    for archive in archives(&server, dir.path()) {
        // Where not even the schema is there, and where everything is.
        let to = anew(&server, "kept");
        let passing_over = ["--clean", "kept", "--if-exists"];
        assert_proven(&restore(&archive, &to, &passing_over));
        assert_proven(&restore(&archive, &to, &["--clean", "kept"]));
        assert_proven(&restore(&archive, &to, &passing_over));
        assert_equal("cleaned", &from, &to, &[]);
        // The type's own statement has CASCADE, and would take the column along.
        server.psql(
            "kept",
            "create table public.mine (a app.label); insert into mine values ('kept')",
        );
        let needed = restore(&archive, &to, &["--clean", "kept"]);
        assert_ends(&needed, 1, &["app.label", "mine", "Nothing was dropped"]);
        assert_eq!(server.psql("kept", "select a from mine"), "kept");
        // A constraint that calls a function of the type needs that, and not the type.
        server.psql(
            "kept",
            "drop table public.mine;
             create table public.mine (v text constraint reads check (app.label_in(v::cstring) is not null))",
        );
        let needed = restore(&archive, &to, &["--clean", "kept"]);
        assert_ends(&needed, 1, &["app.label", "reads", "Nothing was dropped"]);
        let constraints = "select count(*) from pg_constraint where conname = 'reads'";
        assert_eq!(server.psql("kept", constraints), "1");
        assert_eq!(server.psql("kept", "select count(*) from app.sales"), "200");
    }
}

/// Each statement must succeed, since all are one transaction.
#[test]
fn whatever_pg_dump_can_describe_can_be_dropped() {
    let zoo = Holding::zoo("subscription=off");
    let server = Server::start_holding(18, Some(&zoo), |options| options);
    let Some(server) = server else { return };
    let dir = scratch();
    let archive = dir.path().join("zoo");
    assert!(pg_dump(&server, "zoo", (&["-Fc"], &archive)));
    let toc = Toc::open(&archive).expect("a table of contents");
    let dropped = |database: &str, if_exists: bool| {
        let drops = drops(&toc, &RestoreOptions::default(), if_exists);
        let sql: Vec<String> = drops.iter().map(|drop| drop.sql.to_string()).collect();
        assert!(sql.len() > 1000, "{}", sql.len());
        let sql = format!("begin;\n{}\n;\ncommit", sql.join("\n;\n"));
        let done = server.try_psql(database, &sql);
        assert!(done.is_ok(), "{database}, if exists {if_exists}: {done:?}");
    };
    let left = "select count(*) from pg_class where oid >= 16384";
    assert_ne!(server.psql("zoo", left), "0");
    dropped("zoo", false);
    assert_eq!(server.psql("zoo", left), "0");
    dropped("zoo", true);
    server.database("empty");
    dropped("empty", true);
}

#[test]
fn a_database_is_created_as_the_archive_has_it() {
    let Some(server) = scene(18) else { return };
    server.psql(
        "postgres",
        "alter database scene owner to scene_owner; alter database scene connection limit 17;
         alter database scene set work_mem = '5MB'; alter role scene_reader in database scene set work_mem = '6MB';
         comment on database scene is 'a scene'; revoke connect on database scene from public;
         grant connect on database scene to scene_reader",
    );
    let dir = scratch();
    let from = server.conninfo("scene");
    let properties = |database: &str| {
        let of = format!("d.datname = '{database}'");
        server.psql(
            "postgres",
            &format!(
                "select pg_get_userbyid(datdba), datconnlimit, encoding, (select array_agg(a::text order by a::text) from unnest(datacl) a), datcollate, shobj_description(d.oid, 'pg_database'),
                        (select array_agg(setrole::regrole::text || setconfig::text order by 1) from pg_db_role_setting where setdatabase = d.oid)
                 from pg_database d where {of}"
            ),
        )
    };
    for archive in archives(&server, dir.path()) {
        let to = server
            .conninfo("scene")
            .replace("dbname='scene'", "dbname='made \"anew\"'");
        let made = "made \"anew\"";
        let drop = || {
            let sql = "drop database if exists \"made \"\"anew\"\"\" with (force)";
            server.psql("postgres", sql);
        };
        drop();
        let run = restore(&archive, &to, &["--create"]);
        assert_proven(&run);
        assert_eq!(properties(made), properties("scene"));
        assert_equal("created", &from, &to, &[]);
        let exists = restore(&archive, &to, &["--create"]);
        assert_ends(&exists, 4, &["already exists"]);
        // Once is enough: from here on it does not matter who wrote the archive.
        let is_ours = archive.is_dir();
        let moments = ["target-created", "target-ready", "copy-committed:1"];
        for moment in moments.iter().filter(|_| is_ours) {
            drop();
            let run = prepare(&archive, &to, &["--create"]);
            let killed = run.env("PGCONVOY_FAULT", format!("kill@{moment}")).run();
            assert_eq!(killed.status, -1, "{moment}: {killed}");
            let resumed = Pgconvoy::new(["resume".as_ref(), killed.path(RUN_DIR).as_os_str()]);
            let resumed = resumed.run();
            assert_eq!(resumed.status, 0, "{moment}: {resumed}");
            assert_eq!(properties(made), properties("scene"), "{moment}");
        }
    }
}

#[test]
fn the_live_source_is_compared_as_well() {
    let Some(server) = scene(18) else { return };
    let dir = scratch();
    let from = server.conninfo("scene");
    let [ours, stock] = archives(&server, dir.path());
    for archive in [&ours, &stock] {
        let to = anew(&server, "copy");
        let run = restore(archive, &to, &["--source", &from]);
        assert_proven(&run);
        assert!(
            sentence(&run).contains("tables against the live source"),
            "{run}"
        );
    }
    server.psql(
        "scene",
        "insert into app.empty values (1); create table app.later (a int)",
    );
    let to = server.conninfo("copy");
    let moved_on = ["--overwrite", "copy", "--source", &from];
    let run = restore(&ours, &to, &moved_on);
    assert_ends(
        &run,
        3,
        &[
            "app.empty",
            "app.later",
            "since the dump",
            "the target holds exactly what",
        ],
    );
    let part = restore(&ours, &to, &["--source", &from, "-n", "app"]);
    assert_ends(&part, 2, &["--schema=app"]);
    let itself = restore(&ours, &to, &["--overwrite", "copy", "--source", &to]);
    assert_ends(&itself, 2, &["the same database"]);
    // A resumption compares it, too.
    for moment in ["jobs-done", "source-compared"] {
        let to = anew(&server, "copy");
        let resumed = killed_and_resumed(prepare(&ours, &to, &["--source", &from]), moment);
        assert_ends(&resumed, 3, &["app.later", "since the dump"]);
    }
}

fn killed_and_resumed(run: Pgconvoy, moment: &str) -> Finished {
    let killed = run.env("PGCONVOY_FAULT", format!("kill@{moment}")).run();
    assert_eq!(killed.status, -1, "{moment}: {killed}");
    Pgconvoy::new(["resume".as_ref(), killed.path(RUN_DIR).as_os_str()]).run()
}

/// Does something to the target when all is loaded, and before it is compared.
fn restored_and_then(
    archive: &Path,
    to: &str,
    (server, database): (&Server, &str),
    sql: &str,
) -> Finished {
    let run = prepare(archive, to, &[]);
    let file = run.dir().join("held");
    let run = run
        .env("PGCONVOY_FAULT", "hold@jobs-done")
        .env("PGCONVOY_FAULT_FILE", &file);
    let mut running = run.start();
    let began = Instant::now();
    while !file.exists() {
        assert!(
            running.is_running() && began.elapsed() < Duration::from_secs(60),
            "it was not held"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    server.psql(database, sql);
    fs::remove_file(&file).expect("it is there");
    running.finish()
}

#[test]
fn owners_grants_and_comments_of_large_objects_are_part_of_the_proof() {
    // Until 16 each is described by an entry of its own.
    for major in [15, 18] {
        let Some(server) = scene(major) else { continue };
        let dir = scratch();
        for archive in archives(&server, dir.path()) {
            let to = anew(&server, "copy");
            let damages = "alter large object 70001 owner to scene_reader;
                 revoke grant option for update on large object 70002 from scene_reader;
                 comment on large object 70003 is 'full'";
            let run = restored_and_then(&archive, &to, (&server, "copy"), damages);
            assert_ends(
                &run,
                3,
                &["70001", "70002", "70003", "comment", "grants", "owner"],
            );
            let to = anew(&server, "copy");
            assert_proven(&restore(
                &archive,
                &to,
                &["--no-owner", "--no-acl", "--no-comments"],
            ));
        }
    }
}

/// What ran as edited is not what the archive has: it is passed over by name, as a move does.
#[test]
fn an_edited_statement_ends_with_reservations() {
    let Some(server) = scene(18) else { return };
    let dir = scratch();
    let [archive, _] = archives(&server, dir.path());
    server.psql("scene", "drop owned by ghost; drop role ghost");
    let to = anew(&server, "copy");
    let failed = restore(&archive, &to, &["--skip-check", "roles-missing"]);
    assert_ends(&failed, 1, &["ghost"]);
    let files = fs::read_dir(failed.path(RUN_DIR).join("failed")).expect("kept");
    for file in files {
        let path = file.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("text");
        fs::write(&path, text.replace("TO ghost", "TO scene_reader")).expect("edited");
    }
    let run_dir = failed.path(RUN_DIR);
    let run_dir = run_dir.to_str().expect("UTF-8");
    let resumed = Pgconvoy::new(["resume", run_dir, "--retry-failed"]).run();
    assert_ends(&resumed, 6, &["run as edited"]);
    assert_eq!(
        server.psql(
            "copy",
            "select has_table_privilege('scene_reader', 'app.parent', 'select')"
        ),
        "t"
    );
}

/// A list may leave a line out that looks like mere data: what it names would be made empty, or not at all.
#[test]
fn a_list_has_large_objects_with_their_content_or_not_at_all() {
    let Some(server) = scene(18) else { return };
    let dir = scratch();
    let chosen = dir.path().join("chosen");
    for archive in archives(&server, dir.path()) {
        let to = anew(&server, "listed");
        let list = Pgconvoy::new(["list".as_ref(), archive.as_os_str()]).run();
        let without = |kinds: &[&str]| {
            let is_in = |line: &&str| !kinds.iter().any(|kind| line.contains(kind));
            let kept: Vec<&str> = list.stdout.lines().filter(is_in).collect();
            assert!(kept.len() < list.stdout.lines().count(), "{list}");
            fs::write(&chosen, kept.join("\n")).expect("written");
            restore(&archive, &to, &["-L", chosen.to_str().expect("UTF-8")])
        };
        for (kind, words) in [
            (" BLOBS ", "BLOB METADATA 70001 is chosen without"),
            (" BLOB METADATA ", "BLOBS 70001 is chosen without"),
        ] {
            let refused = without(&[kind]);
            assert_ends(&refused, 2, &[words, "choose both or neither"]);
            assert!(!refused.stderr.contains("roles-missing"), "{refused}");
        }
        assert_eq!(server.psql("listed", "select to_regclass('app.child')"), "");
        assert_proven(&without(&[" BLOBS ", " BLOB METADATA ", " LARGE OBJECT"]));
        let objects = "select count(*) from pg_largeobject_metadata";
        assert_eq!(server.psql("listed", objects), "0");
    }
}
