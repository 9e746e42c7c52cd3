//! The repair, on real servers: damage, the file, psql, and a second look that finds nothing but what the file says it leaves.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use pgconvoy::model::{
    Difference, DifferenceKind, Endpoint, Oid, QualifiedName, RowKind, quote_literal,
};
use pgconvoy::pg::conninfo::{Conninfo, Environment};
use pgconvoy::pg::wire::Wire;
use pgconvoy::pg::{Connector, Session, Side};
use pgconvoy::toc::{CompareOptions, Toc};
use pgconvoy::verify::repair::{
    self, RepairColumn, RepairInput, RepairRow, RepairSide, TableRepair, TargetIdentity,
};
use pgconvoy::verify::{Observed, Outcome, Scope, compare_catalogs, compare_schemas};
use support::server::Server;
use support::template::Holding;

fn connector(server: &Server, database: &str) -> Connector {
    let conninfo = Conninfo::resolve(&server.conninfo(database), &Environment::of_process())
        .expect("a connection string");
    Connector::new(conninfo, Side::Source).expect("no TLS")
}

async fn session(server: &Server, database: &str) -> Session {
    let connector = connector(server, database);
    connector.session("test").await.expect("a session")
}

/// A connection with a snapshot open.
async fn wire(server: &Server, database: &str) -> Wire {
    let mut wire = connector(server, database)
        .wire("test")
        .await
        .expect("a connection");
    let begin = "begin transaction isolation level repeatable read, read only";
    wire.execute(&begin.into()).await.expect("a transaction");
    wire
}

fn schema(server: &Server, database: &str) -> Toc {
    let dump = server
        .tool("pg_dump")
        .args(["-Fc", "--schema-only", "-d"])
        .arg(server.conninfo(database))
        .output()
        .expect("pg_dump runs");
    let said = String::from_utf8_lossy(&dump.stderr);
    assert!(dump.status.success(), "pg_dump: {said}");
    Toc::parse(&dump.stdout).expect("a table of contents")
}

/// All there is to know about one database.
struct Known {
    toc: Toc,
    observed: Observed,
    endpoint: Endpoint,
}

impl Known {
    async fn of(server: &Server, database: &str) -> Self {
        let session = session(server, database).await;
        Self {
            toc: schema(server, database),
            observed: Observed::read(&session).await.expect("facts"),
            endpoint: Endpoint {
                archive: None,
                host: "/tmp\ndrop everything;".to_owned(),
                port: 5432,
                database: database.to_owned(),
                user: "me".to_owned(),
                version: None,
            },
        }
    }

    fn side(&self) -> RepairSide<'_> {
        RepairSide {
            endpoint: &self.endpoint,
            toc: &self.toc,
            observed: &self.observed,
        }
    }
}

fn compare(source: &Known, target: &Known, options: &CompareOptions) -> Outcome {
    let mut outcome = compare_schemas(&source.toc, &target.toc, options);
    let scope = Scope::of(&source.toc);
    let (ours, theirs) = (&source.observed, &target.observed);
    outcome.extend(compare_catalogs(ours, theirs, &scope, &options.restore));
    outcome
}

fn named(differences: &[Difference]) -> Vec<String> {
    let mut found: Vec<String> = differences
        .iter()
        .map(|one| format!("{:?} {} {}", one.kind, one.class, one.object))
        .collect();
    found.sort();
    found
}

/// What was written, and what it says it leaves.
struct Written {
    text: String,
    found: Vec<String>,
    left: Vec<(String, String)>,
}

fn identity(server: &Server, database: &str) -> TargetIdentity {
    let number = |sql: &str| server.psql(database, sql).trim().to_owned();
    let system = number("select system_identifier from pg_control_system()");
    let oid = number("select oid from pg_database where datname = current_database()");
    TargetIdentity {
        system_identifier: Some(system.parse().expect("a number")),
        database_oid: Oid(oid.parse().expect("a number")),
    }
}

/// Two databases on one server.
struct Pair<'a> {
    server: &'a Server,
    source: &'a str,
    target: &'a str,
    options: CompareOptions,
    superuser: bool,
    /// What is known to be the same.
    same: BTreeSet<QualifiedName>,
}

impl Pair<'_> {
    fn new<'a>(server: &'a Server, source: &'a str, target: &'a str) -> Pair<'a> {
        Pair {
            server,
            source,
            target,
            options: CompareOptions::default(),
            superuser: true,
            same: BTreeSet::new(),
        }
    }

    async fn written(&self, more: &[Difference], tables: &[TableRepair]) -> Written {
        let source = Known::of(self.server, self.source).await;
        let target = Known::of(self.server, self.target).await;
        let mut differences = compare(&source, &target, &self.options).differences;
        differences.extend_from_slice(more);
        let input = RepairInput {
            differences: &differences,
            source: source.side(),
            target: target.side(),
            options: &self.options,
            tables,
            no_rows: &BTreeMap::new(),
            same: &self.same,
            target_identity: identity(self.server, self.target),
            target_superuser: self.superuser,
            made_at: "2026-01-01 00:00:00Z",
        };
        let repair = repair::plan(&input);
        let mut text = Vec::new();
        let mut left = wire(self.server, self.source).await;
        let mut right = wire(self.server, self.target).await;
        repair
            .write(&mut left, &mut right, &mut text)
            .await
            .expect("a file");
        assert_eq!(
            repair.covered() + repair.not_covered().len(),
            differences.len()
        );
        let not_covered = repair.not_covered().iter();
        Written {
            text: String::from_utf8(text).expect("UTF-8"),
            found: named(&differences),
            left: not_covered
                .map(|one| {
                    let name = named(std::slice::from_ref(&one.difference)).remove(0);
                    (name, one.because.clone())
                })
                .collect(),
        }
    }

    async fn differences(&self) -> Vec<String> {
        let source = Known::of(self.server, self.source).await;
        let target = Known::of(self.server, self.target).await;
        named(&compare(&source, &target, &self.options).differences)
    }
}

/// A copy of the zoo, by the stock tools.
fn copied_zoo(server: &Server) {
    server.database("copy");
    let archive = server.cluster.dir().join("zoo.dump");
    let dump = server
        .tool("pg_dump")
        .args(["-Fc", "-Z0", "-f"])
        .arg(&archive)
        .arg("-d")
        .arg(server.conninfo("zoo"))
        .status();
    assert!(dump.expect("pg_dump runs").success());
    let restore = server
        .tool("pg_restore")
        .arg("-d")
        .arg(server.conninfo("copy"))
        .arg(&archive)
        .output();
    let said = restore.expect("pg_restore runs");
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    let errors = said
        .lines()
        .filter(|line| line.contains("ERROR:") && !line.contains("transaction_timeout"));
    assert_eq!(errors.count(), 0, "{said}");
}

/// What a file may leave of the damages of `verify_damage.sql`, and no other.
const LEFT: [&str; 7] = [
    "Different domain zoo.labels",
    "Different table zoo.adopted",
    "Different table zoo.nulls",
    "Different type zoo.empty_enum",
    "Extra schema more",
    "Extra table zoo.one_more",
    "Missing table zoo.no_columns_no_rows",
];

#[tokio::test]
async fn every_damage_is_repaired_or_said_to_be_left() {
    let zoo = Holding::zoo("pg_dump=18");
    let Some(server) = Server::start_holding(15, Some(&zoo), |options| options) else {
        return;
    };
    copied_zoo(&server);
    let script = include_str!("verify_damage.sql");
    for damage in script.split("\n-- damage: ").skip(1) {
        server.psql("copy", &format!("-- {damage}"));
    }
    let pair = Pair::new(&server, "zoo", "copy");
    let written = pair.written(&[], &[]).await;
    assert_eq!(written.found.len(), 62, "{:#?}", written.found);
    let breaks_out = |line: &str| line.starts_with("drop everything");
    assert!(!written.text.lines().any(breaks_out), "{}", written.text);
    server.psql("copy", &written.text);
    let left: Vec<&str> = written.left.iter().map(|(name, _)| name.as_str()).collect();
    let found = pair.differences().await;
    let unexpected: Vec<&String> = found
        .iter()
        .filter(|one| !left.contains(&one.as_str()))
        // The domain that is left has its constraint, but not validated.
        .filter(|one| *one != "Different check constraint zoo.labels labels_check")
        .collect();
    assert!(
        unexpected.is_empty(),
        "still there: {unexpected:#?}\nleft: {left:#?}"
    );
    for one in left {
        assert!(LEFT.contains(&one), "not covered: {one}");
    }
}

/// What a file may leave of the damages of `repair_damage.sql`.
const LEFT_OF_KINDS: [&str; 2] = ["Different server srv", "Different table r.daughter"];

#[tokio::test]
async fn every_kind_of_object_is_repaired() {
    kinds_are_repaired_on(15).await;
}

/// Where constraints that are not null have names.
#[tokio::test]
async fn every_kind_of_object_is_repaired_on_18() {
    kinds_are_repaired_on(18).await;
}

async fn kinds_are_repaired_on(major: u32) {
    let Some(server) = Server::start(major) else {
        return;
    };
    server.database("source");
    let script = include_str!("repair_damage.sql");
    let (before, damage) = script.split_once("\n-----").expect("two parts");
    server.psql("source", before);
    server.psql("postgres", "create database target template source");
    server.psql("target", damage.trim_start_matches('-'));
    let content = Difference {
        kind: DifferenceKind::Different,
        class: "large object".to_owned(),
        object: "502".to_owned(),
        detail: "content: 7 bytes on the source, 3 on the target".to_owned(),
    };
    let pair = Pair::new(&server, "source", "target");
    let written = pair.written(&[content], &[]).await;
    server.psql("target", &written.text);
    let mut left: Vec<&str> = written.left.iter().map(|(name, _)| name.as_str()).collect();
    left.sort_unstable();
    let found = pair.differences().await;
    assert_eq!(found, left, "{:#?}", written.left);
    assert_eq!(left, LEFT_OF_KINDS);
    let objects = "select oid, md5(lo_get(oid)) from pg_largeobject_metadata order by 1";
    assert_eq!(
        server.psql("target", objects),
        server.psql("source", objects)
    );
}

fn column(name: &str) -> RepairColumn {
    RepairColumn {
        name: name.to_owned(),
        generated: name == "generated",
        compared: true,
        identity_always: name == "identity",
        equals_in: None,
        literal_type: None,
    }
}

fn table(name: &str, columns: &[&str], key: &[&str], rows: Vec<RepairRow>) -> TableRepair {
    TableRepair {
        table: QualifiedName::new("s", name),
        columns: columns.iter().map(|name| column(name)).collect(),
        key: key.iter().map(|&name| name.to_owned()).collect(),
        rows,
        more: 0,
        whole: false,
        condition: None,
        is_root: false,
        has_own_values: false,
    }
}

fn differs(table: &str) -> Difference {
    Difference {
        kind: DifferenceKind::Different,
        class: "table data".to_owned(),
        object: table.to_owned(),
        detail: String::new(),
    }
}

fn row(kind: RowKind, key: &[&str]) -> RepairRow {
    RepairRow {
        kind,
        key: key.iter().map(|&value| value.to_owned()).collect(),
        copies: 1,
        columns: Vec::new(),
    }
}

/// Every row of every table, with the settings under which nothing is rounded.
fn content(server: &Server, database: &str, tables: &[TableRepair]) -> Vec<String> {
    let select = |table: &TableRepair| {
        let sql = format!(
            "set extra_float_digits = 3; select {}, x.*::text from only {} x order by 2",
            quote_literal(&table.table.name),
            table.table
        );
        server.psql(database, &sql)
    };
    tables.iter().map(select).collect()
}

/// Types whose values are easily lost, and what can be in the way of writing them.
const NASTY: &str = r#"
create schema s;
create type s.mood as enum ('sad', 'it''s', 'a,b "c"');
create domain s.short as text check (length(value) < 40);
create type s.pair as (a int, b text);
create table s."Nasty ""t""" (
    identity int generated always as identity primary key,
    "Quo""ted" text, b bytea, f4 float4, f8 float8, n numeric, m s.mood, ms s.mood[], d s.short,
    p s.pair, ps s.pair[], j json, jb jsonb, x XML, r int4range, rs tsrange[], t timestamptz, i interval, c char(5),
    bits varbit, net inet, "char" "char", money money, vector tsvector, point point, flag boolean,
    generated int generated always as (length("Quo""ted")) stored
);
insert into s."Nasty ""t""" ("Quo""ted", b, f4, f8, n, m, ms, d, p, ps, j, jb, x, r, rs, t, i, c, bits, net, "char", money, vector, point, flag) values
    (E'\\ '' :x :''x'' $$ ; \n\t -- /* ü', '\x00ff5c27', '-0', 'NaN', '1.2300', 'it''s', array['a,b "c"', null]::s.mood[], 'x',
     row(null, null), array[row(1, E'a"b\\'), null]::s.pair[], '{"a" :  1, "a": "\u0001"}', '{"b": [1.00]}', 'text', '[1,5)',
     array['[2000-01-01,)', 'empty']::tsrange[], '1999-12-31 23:59:59.999999-11', '-1 year 2 days -00:00:01', 'a', B'0101', '10.0.0.1/8', E'\\', '12.34',
     'a:1A ''b c''', '(1e-300,-0)', true),
    ('', '', '1.17549435e-38', '-Infinity', 'NaN', null, '{}', null, row('1', ''), '{}', 'null', 'null', '', 'empty', '{}', 'infinity', '0', '', '', '::1', '', '-1', '', '(0,0)', false),
    (null, null, null, 0.1, 1e-30, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null, null),
    ('same', null, null, 4.9e-324, -0.00, null, '[0:1]={sad,sad}', null, row(null, ''), null, null, null, null, null, null, '4713-01-01 BC', null, null, null, null, null, null, null, null, null);
create table s.keyless (a int, b text);
insert into s.keyless values (1, 'one'), (1, 'one'), (2, null), (2, null), (2, null), (3, E'it''s \\'), (4, 'four');
create table s.two (a text, b int, c text default 'd', d text, primary key (a, b), unique (d));
insert into s.two values ('x', 1, 'c', 'p'), ('x', 2, 'c', 'q'), ('it''s', 1, 'c', 'r'), (E'\\', 1, null, 's');
create table s.parent (id int primary key, v text);
create table s.child (id int primary key, parent int references s.parent on delete cascade, v text);
insert into s.parent values (1, 'a'), (2, 'b'), (3, 'c');
insert into s.child values (1, 1, 'x'), (2, 2, 'y'), (3, 3, 'z');
create table s.bare ();
insert into s.bare default values;
insert into s.bare default values;
create function s.meddle() returns trigger language plpgsql as $$ begin if tg_op = 'DELETE' then return null; end if; new.v = 'meddled'; return new; end $$;
create trigger plain before insert or update or delete on s.parent for each row execute function s.meddle();
create trigger always before insert or update on s.child for each row execute function s.meddle();
alter table s.child enable always trigger always;
create trigger off before insert or update on s.child for each row execute function s.meddle();
alter table s.child disable trigger off;
create rule elsewhere as on insert to s.child where new.id = 1 do instead nothing;
create rule always as on insert to s.child where new.id = 2 do instead nothing;
alter table s.child enable always rule always;
"#;

const DAMAGE: &str = r#"
alter table s.child disable trigger always;
set session_replication_role = replica;
delete from s."Nasty ""t""" where identity = 1;
update s."Nasty ""t""" set n = 'NaN', f8 = 1, c = 'zz', "Quo""ted" = 'longer' where identity in (2, 3);
insert into s."Nasty ""t""" (identity, n) overriding system value values (99, 1);
delete from s.keyless where a in (1, 3);
insert into s.keyless values (2, null), (2, null), (5, 'five');
update s.two set d = 'z' where a = 'x' and b = 1;
update s.two set d = 'p' where a = 'x' and b = 2;
update s.two set d = 'q' where a = 'x' and b = 1;
delete from s.two where b = 1 and a <> 'x';
delete from s.parent where id = 2;
delete from s.child where id in (1, 2);
insert into s.parent values (7, 'extra');
insert into s.child values (7, 7, 'extra');
update s.parent set v = 'changed' where id = 3;
update s.child set v = 'changed' where id = 3;
delete from s.bare;
set session_replication_role = origin;
alter table s.child enable always trigger always;
"#;

/// Where a row without a key is.
fn place(server: &Server, database: &str, condition: &str) -> String {
    let sql = format!("select ctid from s.keyless where {condition} limit 1");
    server.psql(database, &sql)
}

fn all_columns(server: &Server, name: &str) -> Vec<String> {
    let table = quote_literal(&QualifiedName::new("s", name).to_string());
    let sql = format!(
        "select attname from pg_attribute where attrelid = {table}::regclass and attnum > 0 order by attnum"
    );
    let names = server.psql("source", &sql);
    names.lines().map(str::to_owned).collect()
}

fn damaged_tables(server: &Server) -> Vec<TableRepair> {
    use RowKind::{Changed, Extra, Missing};
    let name = "Nasty \"t\"";
    let columns = all_columns(server, name);
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut changed = row(Changed, &["2"]);
    changed.columns = ["n", "f8", "c", "Quo\"ted", "generated"]
        .map(str::to_owned)
        .to_vec();
    let nasty = vec![
        row(Missing, &["1"]),
        changed,
        row(Changed, &["3"]),
        row(Extra, &["99"]),
    ];
    let times = |copies, kind, place: String| RepairRow {
        copies,
        ..row(kind, &[place.as_str()])
    };
    let keyless = vec![
        times(2, Missing, place(server, "source", "a = 1")),
        times(1, Missing, place(server, "source", "a = 3")),
        times(2, Extra, place(server, "target", "a = 2")),
        times(1, Extra, place(server, "target", "a = 5")),
    ];
    let two = vec![
        row(Changed, &["x", "1"]),
        row(Changed, &["x", "2"]),
        row(Missing, &["it's", "1"]),
        row(Missing, &["\\", "1"]),
    ];
    let whole = TableRepair {
        whole: true,
        ..table("bare", &[], &[], Vec::new())
    };
    let child = vec![
        row(Missing, &["1"]),
        row(Missing, &["2"]),
        row(Extra, &["7"]),
        row(Changed, &["3"]),
    ];
    let parent = vec![
        row(Missing, &["2"]),
        row(Extra, &["7"]),
        row(Changed, &["3"]),
    ];
    vec![
        table("child", &["id", "parent", "v"], &["id"], child),
        table(name, &columns, &["identity"], nasty),
        table("keyless", &["a", "b"], &[], keyless),
        table("two", &["a", "b", "c", "d"], &["a", "b"], two),
        table("parent", &["id", "v"], &["id"], parent),
        whole,
    ]
}

#[tokio::test]
async fn rows_come_back_as_they_were() {
    let Some(server) = Server::start(15) else {
        return;
    };
    server.database("source");
    // Not every server is built with libxml.
    let has_xml = server.try_psql("source", "select '<a/>'::xml").is_ok();
    let nasty = NASTY.replace("XML", if has_xml { "xml" } else { "text" });
    server.psql("source", &nasty);
    server.psql("postgres", "create database target template source");
    server.psql("target", DAMAGE);
    let tables = damaged_tables(&server);
    let wanted = content(&server, "source", &tables);
    assert_ne!(content(&server, "target", &tables), wanted);
    let pair = Pair::new(&server, "source", "target");
    let written = pair.written(&[], &tables).await;
    server.psql("target", &written.text);
    let found = content(&server, "target", &tables);
    assert_eq!(found, wanted, "{}", written.text);
    assert_eq!(pair.differences().await, [""; 0], "triggers are as before");
    assert_eq!(content(&server, "source", &tables), wanted);
}

/// A role that is no superuser runs a repair.
fn as_owner(server: &Server, text: &str) {
    let text = format!("set session authorization owner;\n{text}");
    server.psql("target", &text);
}

/// Makes a source of such a role's tables, and a target that is the same.
fn copied_of_owner(server: &Server, tables: &str) {
    server.psql("postgres", "create role owner login");
    server.database("source");
    let begins = "create schema s authorization owner; set session authorization owner;";
    server.psql("source", &format!("{begins}\n{tables}"));
    server.psql("postgres", "create database target template source");
}

/// A role that owns the tables but is no superuser: foreign keys hold, so the order must be right.
#[tokio::test]
async fn who_is_no_superuser_writes_in_the_order_of_foreign_keys() {
    let Some(server) = Server::start(15) else {
        return;
    };
    server.psql("postgres", "create role owner login");
    server.database("source");
    server.psql("source", &NASTY.replace("XML", "text"));
    server.psql(
        "source",
        "do $$ declare one record; begin
           for one in select c.oid::regclass as name from pg_class c where relnamespace = 's'::regnamespace and relkind = 'r' loop
             execute format('alter table %s owner to owner', one.name);
           end loop; end $$;
         grant usage on schema s to owner;",
    );
    server.psql("postgres", "create database target template source");
    server.psql("target", DAMAGE);
    let mut tables = damaged_tables(&server);
    // Swapped values of a unique column need a superuser.
    tables.retain(|table| table.table.name != "two");
    let wanted = content(&server, "source", &tables);
    let mut pair = Pair::new(&server, "source", "target");
    pair.superuser = false;
    let written = pair.written(&[], &tables).await;
    as_owner(&server, &written.text);
    // With a parent goes whatever points to it, and a child that is changed may have done so.
    let kept = "select id from s.parent where id = 7";
    assert_eq!(server.psql("target", kept), "7", "{}", written.text);
    let rest = row(RowKind::Extra, &["7"]);
    let rest = [table("parent", &["id", "v"], &["id"], vec![rest])];
    pair.same = BTreeSet::from([QualifiedName::new("s", "child")]);
    let written = pair.written(&[], &rest).await;
    as_owner(&server, &written.text);
    let found = content(&server, "target", &tables);
    assert_eq!(found, wanted, "{}", written.text);
    assert_eq!(pair.differences().await, [""; 0], "triggers are as before");
}

/// Two customers have become one: who deletes the other one first deletes its orders.
#[tokio::test]
async fn what_is_deleted_takes_nothing_along_that_is_to_stay() {
    let Some(server) = Server::start(15) else {
        return;
    };
    copied_of_owner(
        &server,
        "create table s.customer (id int primary key, v text);
         create table s.orders (id int primary key, customer int references s.customer on delete cascade);
         create table s.items (id int primary key, of_order int references s.orders on delete set null);
         insert into s.customer values (1, 'a'), (2, 'a');
         insert into s.orders values (10, 2), (11, 1);
         insert into s.items values (100, 10)",
    );
    let merged = "insert into s.customer values (3, 'new');
        update s.orders set customer = 3 where id = 11;
        update s.orders set customer = 1 where id = 10;
        delete from s.customer where id = 2";
    server.psql("source", merged);
    let customer = |rows| table("customer", &["id", "v"], &["id"], rows);
    let of_orders = ["10", "11"].map(|id| row(RowKind::Changed, &[id])).to_vec();
    let tables = [
        customer(vec![
            row(RowKind::Missing, &["3"]),
            row(RowKind::Extra, &["2"]),
        ]),
        table("orders", &["id", "customer"], &["id"], of_orders),
    ];
    let mut pair = Pair::new(&server, "source", "target");
    pair.superuser = false;
    let differences = [differs("s.customer"), differs("s.orders")];
    let written = pair.written(&differences, &tables).await;
    let [(name, because)] = written.left.as_slice() else {
        panic!("{:#?}", written.left);
    };
    assert_eq!(name, "Different table data s.customer");
    let told = "1 row that only the target has cannot be deleted yet, since rows of s.orders that differ could go along: run the file";
    assert!(because.starts_with(told), "{because}");
    as_owner(&server, &written.text);
    let orders = "select string_agg(id || ' ' || customer, ', ' order by id) from s.orders";
    assert_eq!(server.psql("target", orders), "10 1, 11 3");

    // Nobody has looked at who points to it by now.
    let rest = [customer(vec![row(RowKind::Extra, &["2"])])];
    let written = pair.written(&differences[..1], &rest).await;
    let because = &written.left[0].1;
    assert!(
        because.contains("that are not known to be the same"),
        "{because}"
    );
    pair.same = BTreeSet::from([QualifiedName::new("s", "orders")]);
    let written = pair.written(&differences[..1], &rest).await;
    assert!(written.left.is_empty(), "{:#?}", written.left);
    as_owner(&server, &written.text);
    let all = ["customer", "orders", "items"].map(|name| table(name, &[], &[], Vec::new()));
    let wanted = content(&server, "source", &all);
    assert_eq!(content(&server, "target", &all), wanted);
}

/// A new row of the same table is there before another one points to it.
#[tokio::test]
async fn who_is_no_superuser_adds_rows_before_others_of_their_table_point_to_them() {
    let Some(server) = Server::start(15) else {
        return;
    };
    copied_of_owner(
        &server,
        "create table s.category (id int primary key, parent int references s.category);
         insert into s.category values (1, null), (3, 1)",
    );
    let moved =
        "insert into s.category values (9, 1); update s.category set parent = 9 where id = 3";
    server.psql("source", moved);
    let rows = vec![row(RowKind::Changed, &["3"]), row(RowKind::Missing, &["9"])];
    let tables = [table("category", &["id", "parent"], &["id"], rows)];
    let mut pair = Pair::new(&server, "source", "target");
    pair.superuser = false;
    let written = pair.written(&[], &tables).await;
    as_owner(&server, &written.text);
    let wanted = content(&server, "source", &tables);
    assert_eq!(content(&server, "target", &tables), wanted);
}

/// A source has the target's name as a rule.
#[tokio::test]
async fn a_file_is_for_one_database_and_not_for_its_name() {
    let Some(server) = Server::start(15) else {
        return;
    };
    server.database("source");
    let schema = "create schema s; create table s.keyless (a int, b text)";
    server.psql("source", schema);
    server.psql("postgres", "create database target template source");
    server.psql("source", "insert into s.keyless values (1, 'one')");
    let missing = row(RowKind::Missing, &[&place(&server, "source", "a = 1")]);
    let tables = [table("keyless", &["a", "b"], &[], vec![missing])];
    let pair = Pair::new(&server, "source", "target");
    let written = pair.written(&[], &tables).await;
    let refused = |text: &str| {
        let said = server.try_psql("target", text).expect_err("another one");
        let told = "this repair was written for another database of this name";
        assert!(said.contains(told), "{said}");
    };
    let exchange = |one: &str, other: &str| {
        let renamed = format!(
            "alter database target rename to {one}; alter database {other} rename to target"
        );
        server.psql("postgres", &renamed);
    };
    exchange("aside", "source");
    refused(&written.text);
    exchange("source", "aside");
    let of_server = "pg_control_system()) <> ";
    refused(&written.text.replace(of_server, &format!("{of_server}1")));
    let count = "select count(*) from s.keyless";
    assert_eq!(server.psql("target", count), "0");
    server.psql("target", &written.text);
    assert_eq!(server.psql("target", count), "1");
}

/// Rows are updated one after the other, by their keys, and no `UPDATE` sets an identity that is always generated.
#[tokio::test]
async fn who_is_no_superuser_is_told_what_may_not_be_written() {
    let Some(server) = Server::start(15) else {
        return;
    };
    server.database("source");
    server.psql(
        "source",
        "create schema s;
         create table s.two (a text primary key, d text unique);
         insert into s.two values ('x', 'p'), ('y', 'q');
         create table s.numbered (k text primary key, v text, identity int generated always as identity);
         insert into s.numbered (k, v) values ('x', 'a'), ('y', 'b'), ('z', 'c');",
    );
    server.psql("postgres", "create database target template source");
    let changed = |key: &str, columns: &[&str]| RepairRow {
        columns: columns.iter().map(|&name| name.to_owned()).collect(),
        ..row(RowKind::Changed, &[key])
    };
    let numbered = vec![changed("x", &["identity", "v"]), changed("y", &["v"])];
    let columns = ["k", "v", "identity"];
    let tables = [
        table(
            "two",
            &["a", "d"],
            &["a"],
            vec![changed("x", &["d"]), changed("y", &["d"])],
        ),
        table("numbered", &columns, &["k"], numbered),
    ];
    let differences = [differs("s.two"), differs("s.numbered")];
    let mut pair = Pair::new(&server, "source", "target");
    pair.superuser = false;
    let written = pair.written(&differences, &tables).await;
    let [(name, because)] = written.left.as_slice() else {
        panic!("{:#?}", written.left);
    };
    assert_eq!(name, "Different table data s.numbered");
    assert!(
        because.contains("1 row differs, or may, in an identity"),
        "{because}"
    );
    let exchanged = "s.two: where two rows have exchanged the values of a unique index";
    assert!(written.text.contains(exchanged), "{}", written.text);
    let of_x = r#"update only "s"."numbered" set "v" = 'a' where "k" = 'x'"#;
    let of_y = r#"update only "s"."numbered" set "v" = 'b' where "k" = 'y'"#;
    assert!(written.text.contains(of_y), "{}", written.text);
    assert!(!written.text.contains(of_x) && !written.text.contains("set \"identity\""));

    pair.superuser = true;
    let written = pair.written(&differences, &tables).await;
    assert!(written.left.is_empty(), "{:#?}", written.left);
    let deleted = r#"delete from only "s"."numbered" where "k" in ('x')"#;
    assert!(written.text.contains(deleted), "{}", written.text);
}

#[tokio::test]
async fn a_row_that_has_moved_is_left_alone() {
    let Some(server) = Server::start(15) else {
        return;
    };
    server.database("source");
    server.psql(
        "source",
        "create schema s; create table s.keyless (a int, b text); insert into s.keyless values (1, 'one')",
    );
    server.psql("postgres", "create database target template source");
    server.psql("target", "insert into s.keyless values (2, 'two')");
    let extra = row(
        RowKind::Extra,
        &[place(&server, "target", "a = 2").as_str()],
    );
    let tables = [table("keyless", &["a", "b"], &[], vec![extra])];
    let pair = Pair::new(&server, "source", "target");
    let written = pair.written(&[], &tables).await;
    server.psql(
        "target",
        "truncate s.keyless; insert into s.keyless values (3, 'three'), (4, 'four')",
    );
    server.psql("target", &written.text);
    let left = server.psql("target", "select count(*) from s.keyless");
    assert_eq!(left, "2");
}
