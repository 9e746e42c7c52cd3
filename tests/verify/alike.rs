//! What looks the same and is not, and what looks different and is the same.

use pgconvoy::pg::cluster::StopMode;

use crate::support::moving::{RUN_DIR, assert_proven, move_with, report};
use crate::support::server::Server;
use crate::verified::verify;

/// Functions and operators of the same names, and values that are printed by these alone.
const TWINS: &str = "
    create function twin(int) returns int language sql as 'select 1';
    create function twin(text) returns int language sql as 'select 2';
    create operator <~> (procedure = int4pl, leftarg = int, rightarg = int);
    create operator <~> (procedure = textcat, leftarg = text, rightarg = text);
    create table kept (id int primary key, f regproc, o regoper, fs regproc[]);
    insert into kept
    select id, 'twin(int)'::regprocedure, '<~>(int,int)'::regoperator, array['twin(int)'::regprocedure::regproc, 0::oid::regproc, null]
    from generate_series(1, 4) id;
    insert into kept values (5, '-', '0', null), (6, null, null, '{}');";

#[test]
fn functions_and_operators_of_one_name_are_told_apart() {
    let Some(server) = Server::start(10) else {
        return;
    };
    let source = server.database("source");
    server.psql("source", TWINS);
    server.psql("postgres", "create database copy template source");
    let copy = server.conninfo("copy");
    let verified = verify(&source, &copy, &[]);
    assert_eq!(verified.is_clean(), Ok(()));

    server.psql(
        "copy",
        "update kept set f = 'twin(text)'::regprocedure where id = 1;
         update kept set o = '<~>(text,text)'::regoperator where id = 2;
         update kept set fs[1] = 'twin(text)'::regprocedure where id = 3;",
    );
    let verified = verify(&source, &copy, &["--show-values"]);
    let run = &verified.run;
    assert_eq!(run.status, 3, "{run}");
    assert_eq!(verified.named(), ["Different table data public.kept"]);
    let [rows] = verified.report.rows.as_slice() else {
        panic!("{run}");
    };
    let mut changed: Vec<(&str, &str)> = Vec::new();
    for row in &rows.examples {
        let columns = row.columns.iter().map(|one| one.column.as_str());
        changed.extend(columns.map(|column| (row.key[0].as_str(), column)));
    }
    changed.sort_unstable();
    assert_eq!(changed, [("1", "f"), ("2", "o"), ("3", "fs")], "{run}");
    let shown = |row: usize| {
        let found = rows
            .examples
            .iter()
            .find(|one| one.key[0] == row.to_string());
        let value = found.and_then(|one| one.columns.first()?.target.clone());
        value.and_then(|value| value.text).unwrap_or_default()
    };
    assert_eq!(shown(1), "public.twin(text)", "{run}");
    assert_eq!(shown(2), "public.<~>(text,text)", "{run}");
}

/// Inside of a composite value, of an array of these, of a domain over one, and of an array in one.
#[test]
fn functions_of_one_name_are_told_apart_inside_of_other_values() {
    let Some(server) = Server::start(11) else {
        return;
    };
    let source = server.database("source");
    server.psql(
        "source",
        "create function twin(int) returns int language sql as 'select 1';
         create function twin(text) returns int language sql as 'select 2';
         create type invoked as (id int, f regproc, more regproc[]);
         create domain checked as invoked;
         create table kept (id int primary key, one invoked, many invoked[], ruled checked);
         insert into kept
         select id, c, array[c, null], c
         from generate_series(1, 4) id
         cross join lateral (select row(id, 'twin(int)'::regprocedure::regproc, array['twin(int)'::regprocedure::regproc])::invoked as c) it;
         insert into kept values (5, null, '{}', null), (6, row(null, null, null)::invoked, null, row(null, null, '{}')::invoked);",
    );
    server.psql("postgres", "create database copy template source");
    let copy = server.conninfo("copy");
    assert_eq!(verify(&source, &copy, &[]).is_clean(), Ok(()));

    server.psql(
        "copy",
        "update kept set one.f = 'twin(text)'::regprocedure::regproc where id = 1;
         update kept set many[1].f = 'twin(text)'::regprocedure::regproc where id = 2;
         update kept set one.more[1] = 'twin(text)'::regprocedure::regproc where id = 3;
         update kept set ruled = row(4, 'twin(text)'::regprocedure::regproc, (one).more)::invoked where id = 4;",
    );
    let verified = verify(&source, &copy, &[]);
    let run = &verified.run;
    assert_eq!(run.status, 3, "{run}");
    let [rows] = verified.report.rows.as_slice() else {
        panic!("{run}");
    };
    let mut changed: Vec<(&str, &str)> = Vec::new();
    for row in &rows.examples {
        let columns = row.columns.iter().map(|one| one.column.as_str());
        changed.extend(columns.map(|column| (row.key[0].as_str(), column)));
    }
    changed.sort_unstable();
    let expected = [("1", "one"), ("2", "many"), ("3", "one"), ("4", "ruled")];
    assert_eq!(changed, expected, "{run}");
}

/// What a reader would take for the same is shown so that it is not.
#[test]
fn values_that_look_the_same_are_shown_by_their_characters() {
    let Some(server) = Server::start(17) else {
        return;
    };
    let source = server.database("source");
    server.psql(
        "source",
        "create table code (id int primary key, v char(5));
         insert into code values (1, 'ab'), (2, 'cd'), (3, 'a-5');",
    );
    server.psql("postgres", "create database copy template source");
    let copy = server.conninfo("copy");
    server.psql(
        "copy",
        "update code set v = 'ab' || chr(160) where id = 1; update code set v = 'ce' where id = 2;
         update code set v = 'a' || chr(8722) || '5' where id = 3",
    );
    let verified = verify(&source, &copy, &["--show-values"]);
    let run = &verified.run;
    assert_eq!(run.status, 3, "{run}");
    let said = format!("{}{}", run.stdout, run.stderr);
    for told in [
        r"source 'ab   ', target 'ab\u{a0}  '",
        "source 'cd   ', target 'ce   '",
        r"source 'a-5  ', target 'a\u{2212}5  '",
    ] {
        assert!(said.contains(told), "{told}: {run}");
    }
    let page = std::fs::read_to_string(run.path(RUN_DIR).join("report.html")).expect("a page");
    assert!(page.contains(r"ab\u{a0}  "), "{run}");
}

/// No dump speaks of the extension that every database has, nor is anything in a schema compared that is called as ours is.
#[test]
fn what_no_dump_brings_and_what_is_passed_over_is_said() {
    let Some(server) = Server::start(18) else {
        return;
    };
    let source = server.database("source");
    server.psql("source", "create table t (id int primary key)");
    server.psql("postgres", "create database copy template source");
    let copy = server.conninfo("copy");
    assert_eq!(verify(&source, &copy, &[]).is_clean(), Ok(()));

    server.psql("copy", "drop extension plpgsql");
    let verified = verify(&source, &copy, &[]);
    assert_eq!(verified.run.status, 3, "{}", verified.run);
    assert_eq!(verified.named(), ["Missing extension plpgsql"]);
    // Every target begins with it, whatever the source has dropped.
    assert_eq!(verify(&copy, &source, &[]).is_clean(), Ok(()));
    server.psql("copy", &verified.repair());
    assert_eq!(verify(&source, &copy, &[]).is_clean(), Ok(()));

    for (database, rows) in [("source", 1), ("copy", 2)] {
        let theirs = format!(
            "create schema pgconvoy; create table pgconvoy.mine as select from generate_series(1, {rows})"
        );
        server.psql(database, &theirs);
    }
    let verified = verify(&source, &copy, &[]);
    let run = &verified.run;
    assert_eq!(run.status, 1, "{run}");
    let unverified = verified.report.unverified.iter();
    let unverified: Vec<(&str, &str, bool)> = unverified
        .map(|one| {
            let names_it = one.because.contains("table mine");
            (one.class.as_str(), one.object.as_str(), names_it)
        })
        .collect();
    assert_eq!(unverified, [("schema", "pgconvoy", true); 2], "{run}");
}

/// Of the other one, whose name a move takes as well. What stands beside a ledger is none of it, whoever has left that.
#[test]
fn a_schema_that_is_called_as_ours_is_refused_or_named_by_a_move() {
    let Some(server) = Server::start(16) else {
        return;
    };
    let source = server.database("source");
    server.psql(
        "source",
        "create table t (id int primary key); insert into t values (1);
         create schema pgconvoy; create schema pgconvoy_follow;
         create table pgconvoy_follow.done (id int); create type pgconvoy_follow.mine as (a int)",
    );
    let target = server.database("target");
    let run = move_with(&source, &target, &[]);
    assert_eq!(run.status, 4, "{run}");
    assert!(run.stderr.contains("[source-has-ledger]"), "{run}");
    server.psql("source", "drop schema pgconvoy");
    let run = move_with(&source, &target, &[]);
    assert_eq!(run.status, 1, "{run}");
    let report = report(&run);
    let [one] = report["unverified"].as_array().expect("a list").as_slice() else {
        panic!("{run}");
    };
    assert_eq!(one["object"], "pgconvoy_follow", "{run}");
    let because = one["because"].as_str().unwrap_or_default();
    let told = "on the source there is something else in it: table done, type mine.";
    assert!(because.contains(told), "{run}");

    server.psql("source", "drop schema pgconvoy_follow cascade");
    let ledger = "select count(*) from pg_tables where schemaname = 'pgconvoy'";
    assert_eq!(server.psql("target", ledger), "3", "it is not proven");
    assert_eq!(verify(&source, &target, &[]).is_clean(), Ok(()));
    server.psql("target", "create view pgconvoy.\"V\" as select 1 as one");
    let verified = verify(&source, &target, &[]);
    let [one] = verified.report.unverified.as_slice() else {
        panic!("{}", verified.run);
    };
    let told = "on the target there is something else in it: view \"V\".";
    assert!(one.because.contains(told), "{one:?}");
    // Whoever names a table does not mean it.
    assert_eq!(verify(&source, &target, &["-t", "t"]).is_clean(), Ok(()));
}

/// Where there can be no SQL, none is promised.
#[test]
fn for_what_no_dump_carries_there_is_no_sql() {
    let Some(server) = Server::start(18) else {
        return;
    };
    let source = server.database("source");
    let copy = server.database("copy");
    server.psql(
        "source",
        "set allow_system_table_mods = on;
         create function pg_catalog.mine() returns int language sql as 'select 1'",
    );
    let verified = verify(&source, &copy, &[]);
    let run = &verified.run;
    assert_eq!(run.status, 3, "{run}");
    let told = "so --repair has no SQL for it";
    assert!(verified.what_to_do().contains(told), "{run}");
    let by_hand = "so it is not known how it was made: make it the same by hand";
    assert_eq!(verified.repair_says(by_hand), Ok(()));

    server.psql("source", "create table t (id int primary key)");
    let verified = verify(&source, &copy, &[]);
    let there_is_some = "The repair is in repair.sql: read it, and run it with psql";
    assert!(
        verified.what_to_do().contains(there_is_some),
        "{}",
        verified.run
    );
}

/// A clock beside two columns that do not change, and a die that decides which of their values stand together.
const MIXED: &str = "
    create table a (v int primary key, t text);
    insert into a select i, 't' || i from generate_series(1, 9) i;
    create materialized view timed as select v, t, clock_timestamp() as at from a;
    create materialized view drawn as
    select v, row_number() over (order by random()) as place, clock_timestamp() as at from a;";

/// That each column holds the same values does not make the rows the same.
#[test]
fn columns_of_a_view_that_do_not_change_are_compared_row_by_row() {
    let Some(server) = Server::start(16) else {
        return;
    };
    let source = server.database("source");
    server.psql("source", MIXED);
    server.psql("source", "drop materialized view drawn");
    server.psql("postgres", "create database copy template source");
    let copy = server.conninfo("copy");
    server.psql("copy", "refresh materialized view timed");
    let verified = verify(&source, &copy, &[]);
    assert_eq!(verified.is_clean(), Ok(()));
    let told = "its 9 rows were compared by columns v, t, and not by column at";
    let notes = &verified.report.notes;
    assert!(notes.iter().any(|note| note.ends_with(told)), "{notes:?}");

    // Refreshed while the texts of two rows were exchanged.
    let exchange = "update a set t = 't' || 3 - v where v < 3";
    server.psql(
        "copy",
        &format!("{exchange}; refresh materialized view timed"),
    );
    server.psql("copy", "update a set t = 't' || v where v < 3");
    let verified = verify(&source, &copy, &[]);
    let run = &verified.run;
    assert_eq!(run.status, 3, "{run}");
    assert_eq!(
        verified.named(),
        ["Different materialized view public.timed"]
    );
    let detail = &verified.report.differences[0].detail;
    assert!(detail.contains("by columns v, t together"), "{run}");
}

/// Where nobody can say which values stand together it is no proof that each column has them: not of a comparison, nor of a move.
#[test]
fn a_view_whose_rows_are_drawn_is_not_proven_by_its_columns() {
    let Some(server) = Server::start(16) else {
        return;
    };
    let (source, moved) = (server.database("source"), server.database("moved"));
    server.psql("source", MIXED);
    let run = move_with(&source, &moved, &[]);
    assert_eq!(run.status, 1, "{run}");
    let said = report(&run)["unverified"].to_string();
    let verified = verify(&source, &moved, &[]);
    let run = &verified.run;
    assert_eq!(run.status, 1, "{run}");
    let [one] = verified.report.unverified.as_slice() else {
        panic!("{run}");
    };
    assert_eq!(one.object, "public.drawn", "{run}");
    let told = "columns v, place were compared one by one";
    assert!(one.because.contains(told), "{run}");
    assert!(
        said.contains("public.drawn") && said.contains(told),
        "{said}"
    );
    let notes = verified.report.notes.iter();
    assert_eq!(
        notes.filter(|note| note.contains("public.timed")).count(),
        1,
        "{run}"
    );
}

/// A virtual column may have no value, where nobody has asked for it yet: it is neither read nor a reason to doubt.
#[test]
fn a_virtual_column_is_as_it_is_defined() {
    let Some(server) = Server::start(18) else {
        return;
    };
    let (source, moved) = (server.database("source"), server.database("moved"));
    server.psql(
        "source",
        "create table ratio (a int primary key, made int generated always as (a + 1) stored,
                             b int generated always as (1 / a) virtual);
         create table constant (one int generated always as (1) virtual);
         insert into ratio (a) values (0), (1), (2);
         insert into constant default values;",
    );
    assert_proven(&move_with(&source, &moved, &[]));
    let verified = verify(&source, &moved, &[]);
    assert_eq!(verified.is_clean(), Ok(()));
    let tables = verified.report.tables.iter();
    let forms: Vec<String> = tables
        .flat_map(|table| table.forms.iter())
        .map(|form| format!("{}: {}", form.column, form.form))
        .collect();
    for told in ["b: not at all", "one: not at all"] {
        assert!(forms.iter().any(|form| form == told), "{forms:?}");
    }

    server.psql(
        "moved",
        "delete from ratio where a = 0;
         alter table constant alter one set expression as (2);",
    );
    let verified = verify(&source, &moved, &[]);
    let run = &verified.run;
    assert_eq!(run.status, 3, "{run}");
    let expected = [
        "Different table public.constant",
        "Missing table data public.ratio",
    ];
    assert_eq!(verified.named(), expected, "{run}");
}

/// Servers validate only that the periods meet, and not that they are covered.
#[test]
fn a_key_over_periods_of_time_is_added_anew() {
    let Some(server) = Server::start(18) else {
        return;
    };
    let source = server.database("source");
    server.psql(
        "source",
        "create table parent (id int4range, valid daterange, primary key (id, valid without overlaps));
         create table child (id int4range, valid daterange,
                             constraint k foreign key (id, period valid) references parent (id, period valid));
         insert into parent values ('[1,2)', '[2020-01-01,2021-01-01)'), ('[1,2)', '[2021-01-01,2022-01-01)');
         insert into child values ('[1,2)', '[2020-06-01,2021-06-01)');",
    );
    server.psql("postgres", "create database copy template source");
    let copy = server.conninfo("copy");
    server.psql(
        "copy",
        "alter table child drop constraint k;
         alter table child add constraint k foreign key (id, period valid) references parent (id, period valid) not valid;",
    );
    let verified = verify(&source, &copy, &[]);
    assert_eq!(verified.named(), ["Invalid fk constraint public.child k"]);
    let repair = verified.repair();
    let added = "drop constraint \"k\", add constraint \"k\" FOREIGN KEY (id, PERIOD valid) \
                 REFERENCES public.parent(id, PERIOD valid)";
    assert!(repair.contains(added), "{repair}");
    server.psql("copy", &repair);
    assert_eq!(verify(&source, &copy, &[]).is_clean(), Ok(()));
}

/// A standby has what its primary has logged of a sequence, and the primary logs more than it gives out.
#[test]
fn a_sequence_of_a_standby_stands_ahead_of_its_primary_s() {
    let (Some(mut source), Some(target)) = (Server::start(16), Server::start(17)) else {
        return;
    };
    let (from, to) = (source.database("shop"), target.database("shop"));
    source.psql(
        "shop",
        "create table item (id bigint generated always as identity primary key, what text);
         set synchronous_commit = on;
         insert into item (what) values ('a'), ('b');",
    );
    assert_proven(&move_with(&from, &to, &[]));
    // It comes back with what is in its log, and waits for more.
    source.cluster.stop(StopMode::Immediate).expect("stopped");
    let signal = source.cluster.write_data_file("standby.signal", b"");
    signal.expect("written");
    source.cluster.resume().expect("started");
    let stands = |server: &Server| server.psql("shop", "select last_value from item_id_seq");
    let (ahead, given_out) = (stands(&source), stands(&target));
    assert_eq!((ahead.as_str(), given_out.as_str()), ("33", "2"));

    let verified = verify(&from, &to, &[]);
    assert_eq!(verified.is_clean(), Ok(()));
    let notes = &verified.report.notes;
    let told = "public.item_id_seq (it stands at 33 on the source, and at 2 on the target)";
    assert!(notes.iter().any(|note| note.contains(told)), "{notes:?}");

    // A copy of the standby has it as it is there.
    let again = target.database("again");
    assert_proven(&move_with(&from, &again, &[]));
    let copied = target.psql("again", "select last_value from item_id_seq");
    assert_eq!(copied, "33");

    // Nobody can have a value from the source that is not on it.
    target.psql("shop", "select setval('item_id_seq', 34)");
    let verified = verify(&from, &to, &[]);
    let run = &verified.run;
    assert_eq!(run.status, 3, "{run}");
    assert_eq!(verified.named(), ["Different sequence public.item_id_seq"]);
}
