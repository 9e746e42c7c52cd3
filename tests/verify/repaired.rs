//! What a repair leaves alone, what it must not lay open on its way, and rows that are not named or written as others are.

use std::os::unix::fs::PermissionsExt as _;

use pgconvoy::model::Difference;

use crate::support::server::Server;
use crate::verified::{REPAIR, Verified, verify};

/// What is done to two databases that begin as the same.
fn repaired(source_sql: &str, on_source: &str, on_copy: &str) -> Option<(Server, Verified)> {
    let server = Server::start(18)?;
    let source = server.database("source");
    server.psql("source", source_sql);
    server.psql("postgres", "create database copy template source");
    server.psql("source", on_source);
    server.psql("copy", on_copy);
    let verified = verify(&source, &server.conninfo("copy"), &[]);
    assert_eq!(verified.run.status, 3, "{}", verified.run);
    Some((server, verified))
}

fn again(server: &Server) -> Verified {
    verify(&server.conninfo("source"), &server.conninfo("copy"), &[])
}

/// Between two statements of a script, the second behind the first, no transaction ends.
fn assert_together(script: &str, first: &str, second: &str) {
    let from = script
        .find(first)
        .unwrap_or_else(|| panic!("{first}: {script}"));
    let rest = &script[from..];
    let upto = rest
        .find(second)
        .unwrap_or_else(|| panic!("{second}: {script}"));
    assert!(!rest[..upto].contains("\ncommit;"), "{script}");
}

const SECURED: &str = "
    create table t1 (id int primary key, c int);
    insert into t1 values (1, 1);
    create table t2 (id int primary key, v text);
    create index i2 on t2 (v);
    alter table t2 enable row level security;
    create policy everybody on t2 using (true);
    create policy only_own on t2 as restrictive using (id < 3);
    create table made (id int primary key, g int generated always as (id * 2) stored);
    insert into made values (1);";

/// Rows that their table would not take end a file that writes them, and whatever was dropped before is gone until somebody sees it.
#[test]
fn rows_wait_for_their_table_and_nothing_is_gone_meanwhile() {
    let on_source = "
        alter table t1 alter c type text;
        update t1 set c = 'abc';
        drop index i2;
        create index i2 on t2 (lower(v));
        alter policy only_own on t2 using (id < 2);
        alter table made drop column g;
        alter table made add g int generated always as (id * 3) stored;";
    let Some((server, verified)) = repaired(SECURED, on_source, "") else {
        return;
    };
    let repair = verified.repair();
    for said in [
        "Of 6 differences this file covers 2.",
        "its rows wait for what is not covered: different table public.t1",
        "its rows wait for what is not covered: different table public.made",
    ] {
        assert!(repair.contains(said), "{said}: {repair}");
    }
    assert_together(&repair, "DROP POLICY only_own", "CREATE POLICY only_own");
    assert_together(&repair, "DROP INDEX public.i2", "CREATE INDEX i2");
    let by_hand = "(psql -X -d TARGET -f repair.sql). It covers 2 of 6 differences: the others are named at its head, with why, and are \
                   left for you to do by hand. Then verify again.";
    assert!(verified.what_to_do().ends_with(by_hand), "{}", verified.run);
    let file = verified.run.path(REPAIR);
    let mode = std::fs::metadata(&file)
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600, "it holds rows");

    server.psql("copy", &repair);
    let left = [
        "Different table data public.made",
        "Different table data public.t1",
        "Different table public.made",
        "Different table public.t1",
    ];
    assert_eq!(again(&server).named(), left, "{repair}");
    assert_eq!(server.psql("copy", "select * from t1"), "1|1");
}

/// Whatever ends the file before all is made that it makes.
#[test]
fn of_a_file_that_fails_no_policy_is_gone() {
    let on_source = "
        alter policy only_own on t2 using (id < 2);
        create view stands as select 1 as one;";
    let Some((server, verified)) = repaired(SECURED, on_source, "") else {
        return;
    };
    server.psql("copy", "create table stands ()");
    let policies = "select policyname, qual from pg_policies order by 1";
    let before = server.psql("copy", policies);
    let said = server.try_psql("copy", &verified.repair());
    let said = said.expect_err("the view's name is taken");
    assert!(said.contains("\"stands\" already exists"), "{said}");
    assert_eq!(server.psql("copy", policies), before);
}

/// An extension ships rows of its configuration tables, and only those count that its condition names.
#[test]
fn of_an_extensions_table_only_rows_of_ones_own_are_written() {
    let schema = "
        create extension hstore;
        create table conf (id int, v text);
        create table keyed (id int primary key, v text);
        insert into conf values (1, 'shipped'), (2, 'shipped');
        insert into keyed select * from conf;
        alter extension hstore add table conf;
        alter extension hstore add table keyed;
        update pg_extension
        set extconfig = array['conf'::regclass::oid, 'keyed'::regclass::oid], extcondition = array['where id >= 100', 'WHERE id >= 100']
        where extname = 'hstore';";
    let on_source = "
        insert into conf values (100, 'own');
        insert into keyed values (100, 'own');";
    let Some((server, verified)) = repaired(schema, on_source, "") else {
        return;
    };
    assert_eq!(
        verified.named(),
        [
            "Missing table data public.conf",
            "Missing table data public.keyed"
        ]
    );
    server.psql("copy", &verified.repair());
    assert_eq!(again(&server).is_clean(), Ok(()));
    let rows = "select string_agg(id::text, ' ' order by id) from";
    for table in ["conf", "keyed"] {
        let found = server.psql("copy", &format!("{rows} {table}"));
        assert_eq!(found, "1 2 100", "{table}");
    }
}

/// A literal that is compared with a composite value, or with the name of a table, has to say what it is. And the least number that a
/// sequence can stand at is none without quotes.
#[test]
fn composite_values_and_names_of_tables_are_keys_as_others_are() {
    let schema = "
        create type pair as (a int, b text);
        create table by_pair (k pair primary key, v text);
        insert into by_pair values (row(1, ''), 'a'), (row(2, 'it''s'), 'b'), (row(3, null), 'c');
        create table by_name (tab regclass, n int, v text, primary key (tab, n));
        insert into by_name values ('by_pair', 1, 'a'), ('by_pair', 2, 'b'), ('pg_class', 1, 'c');
        create table only_name (tab regclass primary key, audited boolean);
        insert into only_name values ('by_pair', true), ('pg_class', true), ('by_name', true);
        create sequence lowest minvalue -9223372036854775808;";
    let on_source = "select setval('lowest', '-9223372036854775808')";
    let on_copy = "
        update by_pair set v = 'x' where (k).a = 1;
        delete from by_pair where (k).a = 2;
        insert into by_pair values (row(4, 'extra'), 'd');
        update by_name set v = 'x' where n = 2;
        delete from by_name where tab = 'pg_class'::regclass;
        insert into by_name values ('by_name', 1, 'd');
        update only_name set audited = false where tab = 'by_pair'::regclass;
        delete from only_name where tab = 'pg_class'::regclass;
        insert into only_name values ('pg_type', true);";
    let Some((server, verified)) = repaired(schema, on_source, on_copy) else {
        return;
    };
    let repair = verified.repair();
    assert!(
        repair.contains("Of 4 differences this file covers 4."),
        "{repair}"
    );
    let to_do = "(psql -X -d TARGET -f repair.sql). Then verify again.";
    assert!(verified.what_to_do().ends_with(to_do), "{}", verified.run);
    server.psql("copy", &repair);
    assert_eq!(again(&server).is_clean(), Ok(()));
}

/// No `UPDATE` sets an identity that is always generated. Of most of these rows nobody knows in which columns they differ.
#[test]
fn rows_that_differ_in_an_identity_are_written_anew() {
    let schema = "
        create table numbered (k text primary key, v text, n int generated always as identity);
        insert into numbered (k, v) select 'k' || i, 'v' from generate_series(1, 40) i;";
    let on_copy = "
        create temp table kept as select k, v from numbered order by k desc;
        truncate numbered;
        insert into numbered (k, v, n) overriding system value
        select k, v, row_number() over () + 100 from kept;";
    let Some((server, verified)) = repaired(schema, "", on_copy) else {
        return;
    };
    server.psql("copy", &verified.repair());
    assert_eq!(again(&server).is_clean(), Ok(()));
}

/// Nobody knows whether it should be otherwise: a column that is passed over, and one that only the target has.
#[test]
fn what_was_not_compared_is_not_written_over() {
    let schema = "
        create table seen (id int primary key, mail text unique, last_seen int);
        insert into seen select i, 'mail ' || i, 1 from generate_series(1, 40) i;
        create table noted (id int primary key, mail text unique);
        insert into noted select id, mail from seen;";
    let on_source = "
        update seen set mail = 'new ' || id where id <= 30;
        update noted set mail = 'new ' || id where id <= 30;
        insert into seen values (41, 'late', 2);";
    let on_copy = "
        update seen set last_seen = 7;
        alter table noted add note text;
        update noted set note = 'kept';";
    let Some((server, _)) = repaired(schema, on_source, on_copy) else {
        return;
    };
    let rules = [
        "--ignore",
        "column:public.seen.last_seen",
        "--ignore",
        "class:table",
    ];
    let ends = (server.conninfo("source"), server.conninfo("copy"));
    let verified = verify(&ends.0, &ends.1, &rules);
    let differing = [
        "Different table data public.noted",
        "Different table data public.seen",
    ];
    assert_eq!(verified.named(), differing, "{}", verified.run);
    let repair = verified.repair();
    server.psql("copy", &repair);
    let kept = "select count(*) from seen where mail like 'new %' and last_seen = 7
                union all select count(*) from noted where mail like 'new %' and note = 'kept'
                union all select last_seen from seen where id = 41";
    assert_eq!(server.psql("copy", kept), "30\n30\n2", "{repair}");
    let verified = verify(&ends.0, &ends.1, &rules);
    assert_eq!(verified.named(), [""; 0], "{}", verified.run);
}

/// Each of the two finds both, where the server is asked for many of them at a time.
#[test]
fn keys_that_are_equal_and_written_otherwise_are_found_once() {
    let schema = "
        create table priced (k numeric primary key, v text);
        insert into priced select i, 'v' from generate_series(1, 12000) i;";
    let on_source = "update priced set k = (k || '.0')::numeric where k <= 700";
    let Some((server, verified)) = repaired(schema, on_source, "") else {
        return;
    };
    let differ = &verified.report.rows[0];
    let totals = [differ.missing, differ.extra, differ.changed].map(|rows| rows.0);
    assert_eq!(totals, [700, 700, 0], "{}", verified.run);
    server.psql("copy", &verified.repair());
    assert_eq!(again(&server).is_clean(), Ok(()));
}

/// Who has a subscriber check its keys has their triggers enabled always: these would cascade from a row that is deleted to be written
/// again.
#[test]
fn keys_that_are_always_checked_do_not_cascade() {
    let schema = "
        create table parent (id int primary key, v text unique);
        create table child (id int primary key, parent int references parent on delete cascade);
        insert into parent values (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd');
        insert into child select i, i % 4 + 1 from generate_series(1, 10) i;
        do $$ declare one record; begin
            for one in select tgname, tgrelid::regclass as on_table from pg_trigger where tgisinternal loop
                execute format('alter table %s enable %s trigger %I', one.on_table,
                               case when one.on_table = 'parent'::regclass then 'always' else 'replica' end, one.tgname);
            end loop;
        end $$;";
    let on_copy = "
        update parent set v = 'x' where id = 3;
        update parent set v = 'c' where id = 4;
        update parent set v = 'd' where id = 3;";
    let Some((server, verified)) = repaired(schema, "", on_copy) else {
        return;
    };
    assert_eq!(verified.named(), ["Different table data public.parent"]);
    server.psql("copy", &verified.repair());
    assert_eq!(server.psql("copy", "select count(*) from child"), "10");
    let states =
        "select tgrelid::regclass, tgenabled, count(*) from pg_trigger group by 1, 2 order by 1, 2";
    let as_they_were = server.psql("source", states);
    assert_eq!(server.psql("copy", states), as_they_were);
    assert_eq!(again(&server).is_clean(), Ok(()));
}

const PUBLISHED: &str = "
    create table by_index (a int not null, v text);
    create unique index by_index_a on by_index (a);
    alter table by_index replica identity using index by_index_a;
    create table by_key (id int constraint by_key_pkey primary key, v text);
    insert into by_index select i, 'v' from generate_series(1, 5) i;
    insert into by_key select i, 'v' from generate_series(1, 5) i;
    create publication everything for all tables;";

/// What identifies rows is dropped before they are written, and made again behind them, if the file comes so far.
#[test]
fn published_rows_are_identified_at_every_moment() {
    let on_source = "
        drop index by_index_a;
        create unique index by_index_a on by_index (a) with (fillfactor = 50);
        alter table by_index replica identity using index by_index_a;
        alter table by_key drop constraint by_key_pkey;
        alter table by_key add constraint by_key_pkey primary key (id) with (fillfactor = 50);";
    let on_copy = "
        update by_index set v = 'x' where a = 1;
        insert into by_index values (9, 'extra');
        update by_key set v = 'x' where id = 1;
        insert into by_key values (9, 'extra');";
    let Some((server, verified)) = repaired(PUBLISHED, on_source, on_copy) else {
        return;
    };
    let repair = verified.repair();
    assert!(
        repair.contains("Of 4 differences this file covers 4."),
        "{repair}"
    );
    // The rows stop it.
    let late = "alter table by_key add constraint late check (v = 'x' or v = 'extra') not valid";
    server.psql("copy", late);
    let said = server.try_psql("copy", &repair).expect_err("a check");
    assert!(said.contains("\"late\""), "{said}");
    server.psql(
        "copy",
        "alter table by_key drop constraint late;
         update by_index set v = 'y' where a = 2;
         delete from by_key where id = 3;",
    );
    server.psql("copy", &again(&server).repair());
    assert_eq!(again(&server).is_clean(), Ok(()));
    let identities = "select relname, relreplident from pg_class where relname in ('by_index', 'by_key') order by 1";
    assert_eq!(server.psql("copy", identities), "by_index|i\nby_key|d");
}

const ENTANGLED: &str = "
    create table m (v int, w int) partition by range (v);
    create table m1 partition of m for values from (0) to (10);
    create index m_idx on m (v);
    create function df() returns int language sql as 'select 1';
    create table defaulted (a int, b int default df());
    create table ordered (a int primary key, b text, c int);
    insert into ordered values (1, 'a', 1), (2, 'b', 2);
    create table calls (id int primary key, f regproc);
    insert into calls values (1, 'upper(text)'::regprocedure);
    create table by_call (f regproc primary key, v int);
    insert into by_call values ('upper(text)'::regprocedure, 1);
    create table owners (id int constraint owners_pkey primary key, v text);
    create table closed (id int primary key);
    alter table closed enable row level security;
    create policy everybody on closed using (true);
    create policy few on closed as restrictive
        using ((select count(*) from (select o.id, o.v from owners o group by o.id) it) > 100);";

/// What is left to a person, and what needs it, is not begun; and all else is done.
#[test]
fn what_cannot_be_done_keeps_nothing_else_from_being_done() {
    let on_source = "
        drop index m_idx;
        create index m_idx on m (v, w);
        create function df(int) returns int language sql as 'select 2';
        alter table defaulted alter b set default df(1);
        drop function df();
        drop policy few on closed;
        alter table owners drop constraint owners_pkey;
        alter table owners add constraint owners_pkey primary key (id) with (fillfactor = 50);
        create policy few on closed as restrictive
            using ((select count(*) from (select o.id, o.v from owners o group by o.id) it) > 100);
        comment on table owners is 'the last step';";
    let on_copy = "
        drop table ordered;
        create table ordered (b text, a int primary key, c int);
        insert into ordered values ('x', 1, 1), ('extra', 3, 3);
        update calls set f = 'lower(text)'::regprocedure;
        update by_call set v = 2;";
    let Some((server, verified)) = repaired(ENTANGLED, on_source, on_copy) else {
        return;
    };
    // By a name that several functions have, no row can be asked for.
    let unasked = |one: &Difference| one.detail.contains("could not be determined");
    assert!(
        !verified.report.differences.iter().any(unasked),
        "{}",
        verified.run
    );
    let repair = verified.repair();
    for said in [
        "it waits for what is not covered: different index public.m_idx",
        "its columns are in another order, which cannot be changed",
        "policy closed few needs it",
        "its column f holds names of functions or operators, which may be those of several",
    ] {
        assert!(repair.contains(said), "{said}: {repair}");
    }
    assert!(!repair.contains("DROP POLICY"), "{repair}");
    server.psql("copy", &repair);
    let found = again(&server).named();
    for left in [
        "Different constraint public.owners owners_pkey",
        "Different index public.m_idx",
        "Different table data public.by_call",
        "Different table data public.calls",
        "Different table public.ordered",
    ] {
        assert!(found.iter().any(|one| one == left), "{left}: {found:?}");
    }
    for done in [
        "df",
        "defaulted",
        "data public.ordered",
        "comment",
        "policy",
    ] {
        assert!(
            !found.iter().any(|one| one.contains(done)),
            "{done}: {found:?}"
        );
    }
    let rows = "select string_agg(a || b || c, ' ' order by a) from ordered";
    assert_eq!(server.psql("copy", rows), "1a1 2b2");
}

const KEPT: &str = "
    create table swapped (id int primary key, u text unique, v text);
    insert into swapped values (1, 'a', 'x'), (2, 'b', 'y');
    create table keyless (a int, b text);
    insert into keyless values (1, 'x'), (2, 'y');
    create table parts (id int, v text) partition by range (id);
    create table part1 partition of parts for values from (0) to (10);
    create table other (id int primary key, v text);
    insert into other values (1, 'x');";

/// The source has no value for it, and a row that is deleted and inserted would have none either.
#[test]
fn values_of_a_column_that_only_the_target_has_are_kept() {
    let on_source = "
        create table part2 partition of parts for values from (10) to (20);
        insert into parts values (11, 'x');";
    let on_copy = "
        alter table swapped add z text;
        update swapped set v = 'changed', z = 'precious' where id = 1;
        alter table keyless add z text;
        update keyless set b = 'changed', z = 'precious' where a = 1;
        alter table parts add z text;
        update other set v = 'changed';";
    let Some((server, verified)) = repaired(KEPT, on_source, on_copy) else {
        return;
    };
    let repair = verified.repair();
    for said in [
        "its column z is not on the source: dropping it would drop its values",
        "its rows wait for what is not covered: different table public.swapped",
        "its rows wait for what is not covered: different table public.keyless",
        "it waits for what is not covered: different table public.parts",
    ] {
        assert!(repair.contains(said), "{said}: {repair}");
    }
    server.psql("copy", &repair);
    for table in ["swapped", "keyless"] {
        let kept = format!("select z from {table} where z is not null");
        assert_eq!(server.psql("copy", &kept), "precious", "{table}");
    }
    assert_eq!(server.psql("copy", "select v from other"), "x");
}

const SPARED: &str = "
    create table asks (id int primary key);
    create function twice(int) returns int immutable language sql as 'select $1 * 2';
    create table made (id int primary key, g int generated always as (twice(id)) stored);
    create function spare() returns int language sql as 'select 1';
    create table otherwise (a int, b int default spare());
    create table other (id int primary key);
    create materialized view behind as select count(*) from other;";

/// What only the target has stays while something needs it that stays as it is, and goes when all else is done.
#[test]
fn what_is_needed_by_what_is_not_covered_is_not_dropped() {
    let on_source = "
        create function spare(int) returns int language sql as 'select 2';
        alter table otherwise alter b set default spare(1);
        drop function spare();
        insert into other select generate_series(1, 3);
        refresh materialized view behind;";
    let on_copy = "
        create function own() returns int language sql as 'select 1';
        alter table asks add z int default own();
        create function twice(int, int) returns int immutable language sql as 'select $1 * 2';
        alter table made drop column g;
        alter table made add g int generated always as (twice(id, 1)) stored;";
    let Some((server, verified)) = repaired(SPARED, on_source, on_copy) else {
        return;
    };
    let repair = verified.repair();
    for said in [
        "it waits for what is not covered: different table public.asks",
        "it waits for what is not covered: different table public.made",
    ] {
        assert!(repair.contains(said), "{said}: {repair}");
    }
    let (_, behind_it) = repair
        .split_once("refresh materialized view")
        .expect("a materialized view");
    assert!(
        behind_it.contains("DROP FUNCTION public.spare()"),
        "{repair}"
    );
    server.psql("copy", &repair);
    let left = [
        "Different table public.asks",
        "Different table public.made",
        "Extra function public.own()",
        "Extra function public.twice(integer, integer)",
    ];
    assert_eq!(again(&server).named(), left, "{repair}");
}

/// An identity's sequence cannot be given to another column, and what has no identity yet keeps its default.
#[test]
fn a_default_is_not_exchanged_for_an_identity_by_halves() {
    let schema = "
        create table given (id serial primary key, v text);
        create table asked (id int generated by default as identity primary key, v text);
        create table other (id int primary key);";
    let on_source = "insert into other values (1)";
    let on_copy = "
        drop table given, asked;
        create table given (id int generated by default as identity primary key, v text);
        create table asked (id serial primary key, v text);";
    let Some((server, verified)) = repaired(schema, on_source, on_copy) else {
        return;
    };
    let repair = verified.repair();
    for table in ["given", "asked"] {
        let said =
            format!("it waits for what is not covered: different sequence public.{table}_id_seq");
        assert!(repair.contains(&said), "{said}: {repair}");
    }
    for done in ["OWNED BY", "SET DEFAULT", "DROP DEFAULT"] {
        let mut statements = repair.lines().filter(|line| !line.starts_with("--"));
        assert!(!statements.any(|line| line.contains(done)), "{repair}");
    }
    server.psql("copy", &repair);
    assert_eq!(server.psql("copy", "select * from other"), "1");
    for table in ["given", "asked"] {
        server.psql("copy", &format!("insert into {table} (v) values ('x')"));
        let numbered = format!("select id from {table}");
        assert_eq!(server.psql("copy", &numbered), "1", "{table}");
    }
}

/// The server asks for the identity of a row only where it publishes it.
#[test]
fn an_identity_that_is_gone_harms_where_the_table_is_published() {
    let schema = "
        create table lost (id int not null, v text);
        create unique index identity on lost (id);
        insert into lost values (1, 'x'), (2, 'x');
        alter table lost replica identity using index identity;
        drop index identity;
        create table other (id int primary key);
        create publication another for table other;";
    let on_copy = "delete from lost where id = 1; insert into lost values (3, 'extra')";
    let Some((server, verified)) = repaired(schema, "", on_copy) else {
        return;
    };
    let repair = verified.repair();
    let left = "and the index that was it is gone";
    assert!(!repair.contains(left), "{repair}");
    for of in ["all tables", "table lost", "tables in schema public"] {
        for database in ["source", "copy"] {
            server.psql(database, &format!("create publication whole for {of}"));
        }
        let file = again(&server).repair();
        assert!(file.contains(left), "{of}: {file}");
        for database in ["source", "copy"] {
            server.psql(database, "drop publication whole");
        }
    }
    server.psql("copy", &repair);
    assert_eq!(again(&server).is_clean(), Ok(()));
    let identity = "select relreplident from pg_class where oid = 'lost'::regclass";
    assert_eq!(server.psql("copy", identity), "i");
}
