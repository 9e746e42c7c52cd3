//! Definitions that the target's server words otherwise than the source's, and that are the same: proven, also for whoever compares again
//! or brings the target over. What only looks alike is told apart.

use crate::support::binary::{Finished, Pgconvoy};
use crate::support::moving::{assert_proven, move_with};
use crate::support::server::Server;

/// Floating-point constants wherever a schema has some.
const FLOATS: &str = "
    create table fl (id int primary key, a float8 default '0.1', r real default '0.1', c float8 default '1e300' check (c > '0.3'::float8),
        d point default '(0.1,0.2)', l float8[] default '{0.1,0.2}', b box default '(0.1,0.2),(0.3,0.4)');
    create index on fl (a) where a > '0.1'::float8;
    create view flv as select a * '0.1'::float8 as x from fl where r < '0.7'::real;
    create function f(a float8 default '0.1') returns float8 language sql as 'select a';
    create function t() returns trigger language plpgsql as 'begin return new; end';
    create trigger t before update on fl for each row when (new.a > '0.7'::float8) execute procedure t();
    create domain share as float8 check (value between '0.1'::float8 and '0.9'::float8);
    create table p (a float8, t text) partition by range (a);
    create table p1 partition of p for values from ('0.1') to ('0.3');
    create table w (a float8, t text) partition by range (t, a);
    create table w1 partition of w for values from ('0.100000000000000006', '0.1') to ('b', '0.3');
    insert into fl (id) select generate_series(1, 100);
    insert into p values (0.1, 'first'), (0.2, 'second');
    insert into w values ('0.2', '0.2');
";

/// What the defaults and the bounds are, to the last bit.
const FLOATS_BY_BITS: &str = "
    insert into fl (id) values (1000);
    select float8send(a), float4send(r), float8send(c), point_send(d), array_send(l), box_send(b), float8send(f()) from fl where id = 1000;
    select tableoid::regclass, t from p order by t";

fn sides(command: &str, from: &str, to: &str) -> Finished {
    Pgconvoy::new([command, "--source", from, "--target", to]).run()
}

/// Changes the target, and has both compared: exit status 3, and what differs is named.
#[track_caller]
fn assert_told_apart((from, to): (&str, &str), target: &Server, change: &str, named: &str) {
    target.psql("db", change);
    let compared = sides("verify", from, to);
    assert_eq!(compared.status, 3, "{change}: {compared}");
    let named = format!("differs: {named}\n");
    assert!(compared.stderr.contains(&named), "{change}: {compared}");
    let count = compared.stderr.matches("differs: ").count();
    assert_eq!(count, 1, "{change}: {compared}");
}

#[test]
fn floats_of_11_are_the_same_on_18_in_fewer_digits() {
    let (Some(source), Some(target)) = (Server::start(11), Server::start(18)) else {
        return;
    };
    let (from, to) = (source.database("db"), target.database("db"));
    source.psql("db", FLOATS);
    assert_proven(&move_with(&from, &to, &[]));
    let compared = sides("verify", &from, &to);
    assert_eq!(compared.status, 0, "{compared}");

    let bits = source.psql("db", FLOATS_BY_BITS);
    assert_eq!(target.psql("db", FLOATS_BY_BITS), bits);
    source.psql(
        "db",
        "insert into fl (id) values (1001); delete from p where t = 'first'",
    );
    let synced = sides("sync", &from, &to);
    assert_eq!(synced.status, 0, "{synced}");
    let rows = "select count(*), max(id) from fl; select count(*) from p";
    assert_eq!(target.psql("db", rows), source.psql("db", rows), "{synced}");

    // The next number there is.
    assert_told_apart(
        (&from, &to),
        &target,
        "alter table fl alter a set default '0.10000000000000002'",
        "table public.fl",
    );
    target.psql("db", "alter table fl alter a set default '0.1'");
    // A text is what it says.
    assert_told_apart(
        (&from, &to),
        &target,
        "alter table w detach partition w1;
         alter table w attach partition w1 for values from ('0.1', '0.1') to ('b', '0.3')",
        "table attach public.w1",
    );
}

#[test]
fn bits_and_xml_of_10_are_the_same_on_18() {
    let (Some(source), Some(target)) = (Server::start(10), Server::start(18)) else {
        return;
    };
    let (from, to) = (source.database("db"), target.database("db"));
    source.psql(
        "db",
        "create table b (id int primary key, a bit(3) default B'101', v bit varying(5) default B'1', x xml, check (a <> B'111'));
         create index on b ((a & B'101'));
         create view bv as select B'1'::bit(1) as one, a = B'101' as is_it from b where a in (B'101', B'110');
         create table bp (a bit(3)) partition by list (a);
         create table bp1 partition of bp for values in ('101', '111');
         create view bx as select id, xmlserialize(content x as text) as x, v from b;
         create table flags (id int primary key, f bit varying(8) default '0', g bit varying(3) default '10', check (f <> '111' and f <> ''));
         create index on flags (id) where f > '1';
         create view fv as select id, f = '101' as is_it, '1'::bit varying as one from flags where f in ('0', '101');
         create function ff(a bit varying default '11') returns bit varying language sql as 'select a';
         insert into b (id) select generate_series(1, 10); insert into bp values ('111'); insert into flags (id) values (1);",
    );
    assert_proven(&move_with(&from, &to, &[]));
    let synced = sides("sync", &from, &to);
    assert_eq!(synced.status, 0, "{synced}");
    let default = "insert into b (id) values (11) returning a, v; select * from bv; select tableoid::regclass, a from bp;
         insert into flags (id) values (2) returning f, g, ff(); select * from fv order by id";
    assert_eq!(target.psql("db", default), source.psql("db", default));

    assert_told_apart(
        (&from, &to),
        &target,
        "alter table flags alter f set default '1'",
        "table public.flags",
    );
    target.psql("db", "alter table flags alter f set default '0'");
    assert_told_apart(
        (&from, &to),
        &target,
        "create or replace view bx as select id, xmlserialize(content x as text indent) as x, v from b",
        "view public.bx",
    );
    target.psql(
        "db",
        "create or replace view bx as select id, xmlserialize(content x as text) as x, v from b",
    );
    assert_told_apart(
        (&from, &to),
        &target,
        "alter table b alter v set default B'0'",
        "table public.b",
    );
}

/// A table and a view with arrays that are cast as a whole, which a server spells otherwise when it has read them again.
const CAST_ARRAYS: &str = "
    create domain list as varchar[];
    create table a (id int primary key, t text, v varchar, va varchar[], n int);
    insert into a values (1, null, 'x', '{p,q}', 5), (2, null, 'y', '{r,s}', 6);
    alter table a add constraint in_some check (v in ('x', 'y'));";

const CHECK_OF_ROWS: &str = "alter table a add constraint rows_of_two
    check (t = any ((array[array['a'::varchar, 'b'::varchar]])::varchar[]::text[]));";

fn view_of_arrays(more: &str) -> String {
    format!(
        "create or replace view av as select id, {more} as more,
            array[array[v, 'z'], array[v, 'z']]::varchar[]::text[] as of_rows, array[array[v]::list, '{{x}}'::list]::text[] as lists,
            array[1, n]::int[]::bigint[] as numbers, array[array[n, 1]]::int[]::bigint[] as of_numbers from a;"
    )
}

#[test]
fn a_cast_of_an_array_is_the_same_as_one_of_its_elements() {
    let (Some(source), Some(target)) = (Server::start(11), Server::start(18)) else {
        return;
    };
    let (from, to) = (source.database("db"), target.database("db"));
    let view = view_of_arrays("array[va, '{x,y}']::varchar[]::text[]");
    source.psql("db", &[CAST_ARRAYS, CHECK_OF_ROWS, &view].concat());
    assert_proven(&move_with(&from, &to, &[]));
    let compared = sides("verify", &from, &to);
    assert_eq!(compared.status, 0, "{compared}");
    let rows = "select * from av order by id";
    assert_eq!(target.psql("db", rows), source.psql("db", rows));

    // One text of an array, which no row is.
    assert_told_apart(
        (&from, &to),
        &target,
        "alter table a drop constraint rows_of_two;
         alter table a add constraint rows_of_two
             check (t = any (array[(array['a'::varchar, 'b'::varchar])::text]))",
        "table public.a",
    );
    target.psql("db", "alter table a drop constraint rows_of_two");
    target.psql("db", CHECK_OF_ROWS);
    assert_told_apart(
        (&from, &to),
        &target,
        &view_of_arrays("array[va::text, '{x,y}'::varchar[]::text]"),
        "view public.av",
    );
}

/// Arrays that are cast as a whole, of elements that do not say whether they are arrays themselves. None is.
const OF_SINGLE_VALUES: &str = "
    create type ty as (a varchar, b varchar);
    create table of_type of ty;
    create table other (a text[]);
    create table t (id int primary key, a varchar, b varchar, c varchar[], n text);
    insert into t values (1, 'x', 'x', '{x,y}', 'x');
    create function fv(varchar) returns varchar language sql immutable as 'select $1';
    create function any_of(text[]) returns bigint language sql immutable as 'select count(*) from unnest($1)';
    create function ft() returns table (aa varchar, bb varchar) language sql as $$select 'x'::varchar, 'y'::varchar$$;
    alter table t add check (a = any (array[coalesce(a, b), b])), add check (b = any (array[c[1], c[2]])),
        add check (n = any (array[case when id > 0 then a else b end, fv(b)]));
    create view of_expressions as select id, a = any (array[coalesce(a, b), b]) as c, a = any (array[greatest(a, b), fv(a)]) as g,
        a = any (array[case when id > 1 then a else b end, b]) as w, a = any (array[(select x.b from t x limit 1), b]) as s,
        a = any (array[c[1], c[2]]) as e from t;
    create view of_columns as select any_of(array[a, b]) as n from t;
    create view texts as select array[c::text] as of_lists from t;
    create view inner_view as select a as va, b as vb from t;
    create view of_view as select any_of(array[va, vb]) as n from inner_view;
    create materialized view m as select a as ma, b as mb from t;
    create view of_matview as select any_of(array[ma, mb]) as n from m;
    create view of_query as select any_of(array[x.aa, x.bb]) as n from (select a as aa, b as bb from t) x;
    create view of_with as with q (m, n) as (select a, b from t) select any_of(array[q.m, q.n]) as n from q;
    create view of_function as select any_of(array[aa, bb]) as n from ft();";

/// Conditions in a condition of the same kind: made as they are kept, and read again as one.
const OF_CONDITIONS: &str = "
    create table t (a int, b int, c int, s text,
        check (a between 1 and 5 and b > 0), check (s in (s || '', s || 'x', s || 'y') or a = 1 or b = 2));
    create index on t (a) where a between 1 and 5 and b > 0 and c > 0;
    create view v as select 1 as one from t x join t y on x.a between 1 and 5 and x.b = y.b
        where (x.a, x.b) = (y.a, y.b) and x.c > 0 and not (x.a = 1 and x.b = 2 and x.c between 1 and 2 and y.c > 0);
    create policy p on t using (a between 1 and 5 and b > 0);
    insert into t values (1, 1, 1, 'x');";

#[test]
fn conditions_that_become_one_when_they_are_read_again_are_the_same() {
    for (old, new) in [(10, 18), (18, 18)] {
        let (Some(source), Some(target)) = (Server::start(old), Server::start(new)) else {
            return;
        };
        let (from, to) = (source.database("db"), target.database("db"));
        source.psql("db", OF_CONDITIONS);
        assert_proven(&move_with(&from, &to, &[]));
        assert_told_apart(
            (&from, &to),
            &target,
            "create or replace view v as select 1 as one from t x join t y on x.a between 1 and 5 or x.b = y.b
                where (x.a, x.b) = (y.a, y.b) and x.c > 0 and not (x.a = 1 and x.b = 2 and x.c between 1 and 2 and y.c > 0)",
            "view public.v",
        );
    }
}

#[test]
fn what_does_not_say_that_it_is_an_array_is_none_where_no_array_has_others() {
    let (Some(source), Some(target)) = (Server::start(11), Server::start(18)) else {
        return;
    };
    let (from, to) = (source.database("db"), target.database("db"));
    source.psql("db", OF_SINGLE_VALUES);
    assert_proven(&move_with(&from, &to, &[]));
    for (one, other) in [(&from, &to), (&to, &from)] {
        let compared = sides("verify", one, other);
        assert_eq!(compared.status, 0, "{compared}");
    }
    assert_told_apart(
        (&from, &to),
        &target,
        "create or replace view of_query as
             select any_of(array[x.bb, x.aa]) as n from (select a as aa, b as bb from t) x",
        "view public.of_query",
    );
    target.psql(
        "db",
        "create or replace view of_query as
             select any_of(array[x.aa, x.bb]) as n from (select a as aa, b as bb from t) x",
    );
    // Two rows of texts instead of two texts of lists. Now that some array has others, what does not tell is not known any more.
    target.psql(
        "db",
        "create or replace view texts as select array[c]::text[] as of_lists from t",
    );
    for (one, other) in [(&from, &to), (&to, &from)] {
        let compared = sides("verify", one, other);
        assert_eq!(compared.status, 3, "{compared}");
        for named in [
            "differs: view public.texts",
            "not verified: view public.of_columns",
        ] {
            assert!(compared.stderr.contains(named), "{compared}");
        }
    }
}

/// A query in which a name stands for lists of names, and for names everywhere else. Which is in which column is said by the casts.
fn view_of_lists(casts: [&str; 2]) -> String {
    let [lists, names] = casts.map(|cast| format!("array[x.name{cast}, x.name{cast}]"));
    let names = names.replace("x.name", "x.one");
    format!(
        "create or replace view lists as select any_of({lists}) as of_lists, any_of({names}) as of_names
         from (select grp, array_agg(name) as name, (array_agg(name))[1] as one from person group by grp) x;"
    )
}

#[test]
fn what_does_not_say_that_it_is_an_array_is_not_proven_where_some_array_has_others() {
    let (Some(source), Some(target)) = (Server::start(11), Server::start(18)) else {
        return;
    };
    let (from, to) = (source.database("db"), target.database("db"));
    let tables = "create table person (id int primary key, name varchar, grp int);
        insert into person values (1, 'a', 1), (2, 'b', 1);
        create function any_of(text[]) returns text language sql immutable as 'select $1::text';
        create view names as select any_of(array[name, coalesce(name, 'x')]) as n from person;";
    source.psql("db", &[tables, &view_of_lists(["", ""])].concat());
    let moved = move_with(&from, &to, &[]);
    assert_eq!(moved.status, 1, "{moved}");
    let compare = |expected: &[i32]| {
        for (one, other) in [(&from, &to), (&to, &from)] {
            let compared = sides("verify", one, other);
            assert!(expected.contains(&compared.status), "{compared}");
            let told = compared.stderr.contains("pg_typeof(x)");
            assert!(told || compared.status == 3, "{compared}");
        }
    };
    compare(&[1]);
    let rows = "select * from lists; select * from names order by n";
    assert_eq!(target.psql("db", rows), source.psql("db", rows));

    // A row of two texts of lists each, instead of two rows.
    target.psql("db", &view_of_lists(["::text", ""]));
    assert_ne!(target.psql("db", rows), source.psql("db", rows));
    compare(&[1, 3]);
    // What is another expression whatever the elements are is told apart.
    target.psql("db", &view_of_lists(["", ""]));
    assert_told_apart(
        (&from, &to),
        &target,
        "create or replace view names as select any_of(array[coalesce(name, 'x'), name]) as n from person",
        "view public.names",
    );
}
