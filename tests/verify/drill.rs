//! Of many rows, exactly those that differ are named: one, ten, ten thousand; with a key and without. Keys of other kinds are
//! tried with fewer rows. There are a million when the whole matrix is asked for (`make test-matrix`), and a tenth of them
//! otherwise.

use std::collections::BTreeSet;

use pgconvoy::model::{RowKind, Rows, RowsDiffer};

use crate::list::whole;
use crate::support::server::Server;
use crate::verified::{Verified, verify};

/// A table, each of whose rows has its number, a value, and a key made of the number.
struct Table {
    name: &'static str,
    /// How many, when everything is asked for.
    whole: u64,
    /// Columns of the key.
    columns: &'static str,
    /// Their values, of the row with number `n`.
    values: &'static str,
    /// The name of the columns, in the order of the key; empty without one.
    key: &'static str,
    /// The key as text, its parts joined by `/`.
    shown: &'static str,
}

const TABLES: [Table; 5] = [
    Table {
        name: "by_number",
        whole: 1_000_000,
        columns: "id int8, ",
        values: "n * 3 - 1500000, ",
        key: "id",
        shown: "n * 3 - 1500000",
    },
    Table {
        name: "by_text",
        whole: 200_000,
        columns: "id text, ",
        values: "'Kö ' || md5(n::text), ",
        key: "id",
        shown: "'Kö ' || md5(n::text)",
    },
    Table {
        name: "by_uuid",
        whole: 200_000,
        columns: "id uuid, ",
        values: "md5(n::text)::uuid, ",
        key: "id",
        shown: "md5(n::text)::uuid",
    },
    // The key's columns are not in the table's order, and few values of its first are shared by all.
    Table {
        name: "by_pair",
        whole: 200_000,
        columns: "b text, a int2, ",
        values: "'b' || n, n % 7, ",
        key: "a, b",
        shown: "n % 7 || '/b' || n",
    },
    Table {
        name: "by_nothing",
        whole: 1_000_000,
        columns: "",
        values: "",
        key: "",
        shown: "n",
    },
];

impl Table {
    /// Eight for each that is to differ, at least.
    fn rows(&self) -> u64 {
        if whole() {
            self.whole
        } else {
            (self.whole / 10).max(80_000)
        }
    }

    fn create(&self) -> String {
        let key = match self.key {
            "" => String::new(),
            key => format!("alter table {} add primary key ({key});", self.name),
        };
        format!(
            "create table {0} ({1} n int, v int);
             insert into {0} select {2} n, n % 1000 from generate_series(1, {3}) n;
             {key} analyze {0};",
            self.name,
            self.columns,
            self.values,
            self.rows()
        )
    }

    /// Changes rows, removes some, and adds some.
    fn damage(&self, changes: &Changes) -> String {
        format!(
            "update {0} set v = v + 1 where n = any ('{{{1}}}');
             delete from {0} where n = any ('{{{2}}}');
             insert into {0} select {3} n, 0 from unnest('{{{4}}}'::int[]) n;",
            self.name,
            joined(&changes.changed),
            joined(&changes.missing),
            self.values,
            joined(&changes.extra),
        )
    }

    /// What the report must say of rows, given by their numbers.
    fn keys(&self, server: &Server, numbers: &[u64]) -> BTreeSet<String> {
        let sql = format!(
            "select {} from unnest('{{{}}}'::int[]) n",
            self.shown,
            joined(numbers)
        );
        lines(&server.psql("postgres", &sql))
    }
}

/// The numbers of the rows that differ.
#[derive(Default)]
struct Changes {
    changed: Vec<u64>,
    missing: Vec<u64>,
    extra: Vec<u64>,
}

impl Changes {
    /// So many, all over the table.
    fn of(count: u64, table: &Table) -> Self {
        let mut changes = Self::default();
        for at in 0..count {
            let number = at * (table.rows() / count) + 7;
            match at % 10 {
                3 => changes.missing.push(number),
                6 => changes.extra.push(table.rows() + number),
                _ => changes.changed.push(number),
            }
        }
        changes
    }
}

fn joined(numbers: &[u64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
    numbers.join(",")
}

fn lines(text: &str) -> BTreeSet<String> {
    text.lines().map(str::to_owned).collect()
}

fn keys(differ: &RowsDiffer, kind: RowKind) -> BTreeSet<String> {
    let rows = differ.examples.iter().filter(|row| row.kind == kind);
    rows.map(|row| row.key.join("/")).collect()
}

fn length<T>(of: &[T]) -> Rows {
    Rows(u64::try_from(of.len()).expect("few"))
}

fn differ<'a>(found: &'a Verified, table: &Table) -> &'a RowsDiffer {
    let mut rows = found.report.rows.iter();
    rows.find(|one| one.table.name == table.name)
        .unwrap_or_else(|| panic!("nothing is said of {}: {}", table.name, found.run))
}

#[track_caller]
fn assert_keys(server: &Server, table: &Table, differ: &RowsDiffer, changes: &Changes) {
    assert!(differ.exact, "{}", table.name);
    assert_eq!(differ.key.join(", "), table.key);
    for (kind, total, numbers) in [
        (RowKind::Changed, differ.changed, &changes.changed),
        (RowKind::Missing, differ.missing, &changes.missing),
        (RowKind::Extra, differ.extra, &changes.extra),
    ] {
        let what = format!("{kind:?} rows of {}", table.name);
        assert_eq!(total, length(numbers), "{what}");
        let (found, expected) = (keys(differ, kind), table.keys(server, numbers));
        assert!(
            found == expected,
            "{what}: {} keys, some not those",
            found.len()
        );
    }
    let columns = |row: &pgconvoy::model::RowDifference| -> Vec<String> {
        row.columns.iter().map(|one| one.column.clone()).collect()
    };
    let rows = differ
        .examples
        .iter()
        .filter(|row| row.kind == RowKind::Changed);
    assert!(
        rows.into_iter().all(|row| columns(row) == ["v"]),
        "{}",
        table.name
    );
}

/// Without a key a rows row is one missing and one extra, and their places say which.
#[track_caller]
fn assert_places(server: &Server, table: &Table, differ: &RowsDiffer, changes: &Changes) {
    assert!(differ.exact && differ.key.is_empty(), "{}", table.name);
    assert_eq!(differ.changed, Rows(0));
    for (kind, database, others) in [
        (RowKind::Missing, "source", &changes.missing),
        (RowKind::Extra, "target", &changes.extra),
    ] {
        let places: Vec<String> = keys(differ, kind).into_iter().collect();
        let sql = format!(
            "select n from {} where ctid = any (array['{}']::tid[])",
            table.name,
            places.join("','")
        );
        let expected = [changes.changed.as_slice(), others].concat();
        let expected = expected.iter().map(u64::to_string).collect();
        let found = lines(&server.psql(database, &sql));
        assert!(found == expected, "{kind:?} rows of {}", table.name);
    }
}

#[test]
fn drill_down_names_exactly_the_rows_that_differ() {
    let Some(server) = Server::start(15) else {
        return;
    };
    server.database("source");
    for table in &TABLES {
        server.psql("source", &table.create());
    }
    for count in [1, 10, 10_000] {
        let copy = "create database target template source strategy file_copy";
        server.psql("postgres", copy);
        let tables = TABLES.map(|table| (Changes::of(count, &table), table));
        let damages = tables.iter().map(|(changes, table)| table.damage(changes));
        server.psql("target", &damages.collect::<String>());
        let (source, target) = (server.conninfo("source"), server.conninfo("target"));
        let found = verify(&source, &target, &["--max-rows", "20000"]);
        assert_eq!(found.run.status, 3, "{}", found.run);
        for (changes, table) in &tables {
            let differ = differ(&found, table);
            match table.key {
                "" => assert_places(&server, table, differ, changes),
                _ => assert_keys(&server, table, differ, changes),
            }
        }
        assert_eq!(found.named().len(), TABLES.len(), "{}", found.run);
        server.psql("postgres", "drop database target with (force)");
    }
}
