//! What looks the same and is not, and what looks different and is the same.

use pgconvoy::pg::cluster::StopMode;

use crate::support::moving::{assert_proven, move_with};
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
