//! A server with a database for each damage. All of them are made from one template, damaged together while the server is stopped,
//! and salvaged one after the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use pgconvoy::pg::cluster::{ClusterOptions, StopMode};
use serde_json::Value;

use crate::support::binary::{Finished, Pgconvoy};
use crate::support::server::Server;

pub const PAGE: u64 = 8192;

/// Accounts with a primary key, posts that point to them and whose bodies are out of line, a log without any index, tags.
/// Everything frozen: what a page shows is known without the record of transactions.
const TEMPLATE: &str = "
create table accounts (id int primary key, name text not null, bio text);
insert into accounts select i, 'name ' || i, case when i % 3 = 0 then null else repeat('bio ' || i || ' ', 20) end
  from generate_series(1, 2000) i;
create table posts (id bigint primary key, account_id int references accounts, title text not null, body text);
alter table posts alter body set storage external;
insert into posts select i, 1 + i % 2000, 'title ' || i, case when i % 20 = 0 then repeat(md5(i::text), 200) else md5(i::text) end
  from generate_series(1, 3000) i;
create table log (at int, line text);
insert into log select i, repeat('line ' || i || ' ', 10) from generate_series(1, 2000) i;
create table tags (id int primary key, tag text unique);
insert into tags select i, 'tag ' || i from generate_series(1, 300) i;
create view authors as select name, count(*) from accounts join posts on account_id = accounts.id group by name;
";

/// The tables, with what their rows are sorted by.
pub const TABLES: [(&str, &str); 4] = [
    ("accounts", "id"),
    ("posts", "id"),
    ("log", "at"),
    ("tags", "id"),
];

/// What is damaged.
pub struct Files {
    base: PathBuf,
    filenodes: BTreeMap<String, String>,
}

impl Files {
    /// The file of a relation: `accounts`, `accounts_pkey`, `accounts_vm`, `posts toast`, `posts toast index`.
    pub fn path(&self, relation: &str) -> PathBuf {
        let (relation, fork) = match relation.strip_suffix("_vm") {
            Some(relation) => (relation, "_vm"),
            None => match relation.strip_suffix("_fsm") {
                Some(relation) => (relation, "_fsm"),
                None => (relation, ""),
            },
        };
        self.base
            .join(format!("{}{fork}", self.filenodes[relation]))
    }

    /// Writes bytes at an offset.
    pub fn write(&self, relation: &str, at: u64, bytes: &[u8]) {
        let file = fs::OpenOptions::new().write(true).open(self.path(relation));
        let file = file.expect("the file is there");
        file.write_all_at(bytes, at).expect("written");
    }

    /// Reads bytes at an offset.
    pub fn read(&self, relation: &str, at: u64, length: usize) -> Vec<u8> {
        let file = fs::File::open(self.path(relation)).expect("the file is there");
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, at).expect("read");
        bytes
    }

    /// Random bytes in the place of a page.
    pub fn scramble(&self, relation: &str, block: u64) {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ block;
        let bytes: Vec<u8> = (0..PAGE)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state.to_le_bytes()[3]
            })
            .collect();
        self.write(relation, block * PAGE, &bytes);
    }

    /// Where a row is in its page: its line pointer's place, and the tuple's.
    pub fn tuple(&self, relation: &str, (block, offset): (u64, u64)) -> (u64, u64) {
        let pointer = block * PAGE + 24 + 4 * (offset - 1);
        let item = self.read(relation, pointer, 4);
        let item = u32::from_le_bytes(item.try_into().expect("four bytes"));
        (pointer, block * PAGE + u64::from(item & 0x7fff))
    }

    pub fn truncate(&self, relation: &str, length: u64) {
        let file = fs::OpenOptions::new().write(true).open(self.path(relation));
        file.expect("the file is there")
            .set_len(length)
            .expect("cut");
    }

    pub fn remove(&self, relation: &str) {
        fs::remove_file(self.path(relation)).expect("removed");
    }
}

/// What must come of a damage.
#[derive(Default)]
pub struct Expected {
    pub status: i32,
    /// Rows that are not on the target, by table: those whose places are in these blocks, or these keys.
    pub lost: BTreeMap<&'static str, BTreeSet<String>>,
    /// Values that are not on the target: table, key, column.
    pub columns: BTreeSet<(&'static str, String, &'static str)>,
    /// The number of lost rows is an upper bound, or unknown, for a table.
    pub bounded: bool,
}

/// A damage: its name, which is that of its database, what is done to it, and what must come of it.
pub struct Case {
    pub name: &'static str,
    pub damage: Box<dyn Fn(&Files)>,
    pub expected: Box<dyn Fn(&Before) -> Expected>,
}

/// What was there before.
pub struct Before {
    /// Rows as text by table, by key.
    pub rows: BTreeMap<&'static str, BTreeMap<String, Vec<String>>>,
    /// Where each was.
    pub places: BTreeMap<&'static str, BTreeMap<String, (u64, u64)>>,
    /// Posts whose bodies are out of line, by the places of their parts.
    pub toasted: BTreeMap<(u64, u64), String>,
}

impl Before {
    fn of(server: &Server, database: &str) -> Self {
        let mut before = Self {
            rows: BTreeMap::new(),
            places: BTreeMap::new(),
            toasted: BTreeMap::new(),
        };
        for (table, key) in TABLES {
            before
                .rows
                .insert(table, rows_of(server, database, (table, key)));
            let places = server.psql(database, &format!("select {key}, ctid from {table}"));
            let place = |line: &str| {
                let (key, place) = line.split_once('|').expect("two columns");
                (key.to_owned(), place_of(place))
            };
            before
                .places
                .insert(table, places.lines().map(place).collect());
        }
        // Which value a part belongs to can be asked from 17 on.
        if server.cluster.version().major() >= 17 {
            let toast = server.psql(
                database,
                "select reltoastrelid::regclass from pg_class where relname = 'posts'",
            );
            let parts = server.psql(
                database,
                &format!(
                    "select c.ctid, p.id from {toast} c join posts p on pg_column_toast_chunk_id(p.body) = c.chunk_id"
                ),
            );
            let part = |line: &str| {
                let (place, key) = line.split_once('|').expect("two columns");
                (place_of(place), key.to_owned())
            };
            before.toasted = parts.lines().map(part).collect();
        }
        before
    }

    /// Posts with a part in such a place.
    pub fn toasted_at(&self, is_it: impl Fn((u64, u64)) -> bool) -> BTreeSet<String> {
        let parts = self.toasted.iter();
        let found = parts.filter(|(place, _)| is_it(**place));
        found.map(|(_, key)| key.clone()).collect()
    }

    /// The keys of the rows of a table whose place is such.
    pub fn at(&self, table: &'static str, is_it: impl Fn((u64, u64)) -> bool) -> BTreeSet<String> {
        let places = self.places[table].iter();
        let found = places.filter(|(_, place)| is_it(**place));
        found.map(|(key, _)| key.clone()).collect()
    }
}

/// `(1,2)`.
fn place_of(text: &str) -> (u64, u64) {
    let (block, offset) = text
        .trim_matches(['(', ')'])
        .split_once(',')
        .expect("a place");
    let number = |text: &str| text.parse().expect("a number");
    (number(block), number(offset))
}

/// Rows as text: the columns' values hashed where they are long, by key.
pub fn rows_of(
    server: &Server,
    database: &str,
    (table, key): (&str, &str),
) -> BTreeMap<String, Vec<String>> {
    let columns = server.psql(
        database,
        &format!(
            "select string_agg(format('coalesce(md5(%I::text), ''NULL'')', attname), ', ' order by attnum) \
             from pg_attribute where attrelid = '{table}'::regclass and attnum > 0 and not attisdropped"
        ),
    );
    let rows = server.psql(database, &format!("select {key}, {columns} from {table}"));
    let row = |line: &str| {
        let mut fields = line.split('|').map(str::to_owned);
        let key = fields.next().expect("a key");
        (key, fields.collect())
    };
    rows.lines().map(row).collect()
}

pub struct Lab {
    pub source: Server,
    pub target: Server,
    pub before: Before,
    /// Of each case's database.
    files: Vec<Files>,
}

impl Lab {
    /// A lab with a database for each case, damaged.
    pub fn start(major: u32, checksums: bool, cases: &[Case]) -> Option<Self> {
        let mut source = Server::start_with(major, |options| {
            ClusterOptions {
                data_checksums: checksums,
                ..options
            }
            .setting("autovacuum", "off")
            // What is not on disk yet would not be frozen.
            .setting("synchronous_commit", "on")
        })?;
        let target = Server::start(18)?;
        source.database("template");
        source.psql("template", TEMPLATE);

        source.psql("template", "vacuum (freeze, analyze)");
        let before = Before::of(&source, "template");
        for case in cases {
            source.psql(
                "postgres",
                &format!("create database {} template template", case.name),
            );
        }
        let files: Vec<Files> = cases.iter().map(|case| files(&source, case.name)).collect();
        source.cluster.stop(StopMode::Fast).expect("it stops");
        for (case, files) in cases.iter().zip(&files) {
            (case.damage)(files);
        }
        source.cluster.resume().expect("it starts");
        Some(Self {
            source,
            target,
            before,
            files,
        })
    }

    /// Salvages a case's database.
    pub fn salvage(&self, database: &str, more: &[&str]) -> Finished {
        self.prepare(database, more).run()
    }

    pub fn prepare(&self, database: &str, more: &[&str]) -> Pgconvoy {
        let source = self.source.conninfo(database);
        let target = self.target.database(database);
        salvaging(&source, &target, &[&["-j", "2"][..], more].concat())
    }

    /// Salvages every case, and holds what arrives and what is said against what must come of it.
    pub fn check(&mut self, cases: &[Case]) {
        let watched = self.user_files(cases);
        for case in cases {
            let run = self.salvage(case.name, &[]);
            let expected = (case.expected)(&self.before);
            self.check_case(case.name, (&run, &run.path("run")), &expected);
        }
        self.source.cluster.stop(StopMode::Fast).expect("it stops");
        let now = self.user_files(cases);
        let changed: Vec<&PathBuf> = watched
            .keys()
            .chain(now.keys())
            .filter(|path| watched.get(*path) != now.get(*path))
            .collect();
        assert!(
            changed.is_empty(),
            "files of the source were changed: {changed:?}"
        );
    }

    /// Holds a run, whose directory may be that of an earlier one, against what must come of it.
    pub fn check_case(
        &self,
        name: &str,
        (run, directory): (&Finished, &Path),
        expected: &Expected,
    ) {
        assert_eq!(run.status, expected.status, "{name}: {run}");
        let losses = losses_in(directory);
        for (table, key) in TABLES {
            let mut should = self.before.rows[table].clone();
            let lost = expected.lost.get(table).cloned().unwrap_or_default();
            should.retain(|key, _| !lost.contains(key));
            let columns = expected.columns.iter().filter(|(of, ..)| *of == table);
            for (_, key, column) in columns {
                let number = match *column {
                    "body" => 3,
                    "bio" => 2,
                    other => panic!("which column is {other}?"),
                };
                let row = should.get_mut(key).expect("the row is there");
                "NULL".clone_into(&mut row[number]);
            }
            let there = rows_of(&self.target, name, (table, key));
            let missing: Vec<_> = should
                .keys()
                .filter(|key| !there.contains_key(*key))
                .collect();
            let extra: Vec<_> = there
                .keys()
                .filter(|key| !should.contains_key(*key))
                .collect();
            assert!(
                missing.is_empty() && extra.is_empty(),
                "{name}, {table}: missing {missing:?}, extra {extra:?}\n{run}"
            );
            assert!(should == there, "{name}: {table} has other values\n{run}");
            check_account((name, table), (&losses, &lost, expected), (run, directory));
        }
    }

    /// The files of user tables and what is in them. The server itself notes in an index of TOAST, whoever reads, which entries lead
    /// to nothing.
    fn user_files(&self, cases: &[Case]) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let notes_by_itself: BTreeSet<PathBuf> = self
            .files
            .iter()
            .take(cases.len())
            .map(|files| files.path("posts toast index"))
            .collect();
        let base = self.source.cluster.data_dir().join("base");
        for database in fs::read_dir(base).expect("it can be read").flatten() {
            let entries = fs::read_dir(database.path()).expect("it can be read");
            for file in entries.flatten() {
                let name = file.file_name().into_string().expect("ASCII");
                let number: String = name.chars().take_while(char::is_ascii_digit).collect();
                let is_of_a_user = number.parse::<u32>().is_ok_and(|number| number >= 16_384);
                if is_of_a_user && !notes_by_itself.contains(&file.path()) {
                    let content = fs::read(file.path()).expect("it can be read");
                    files.insert(file.path(), content);
                }
            }
        }
        files
    }
}

/// The account names every lost row, and no other.
fn check_account(
    (name, table): (&str, &str),
    (losses, lost, expected): (&Value, &BTreeSet<String>, &Expected),
    (run, directory): (&Finished, &Path),
) {
    let tables = losses["tables"].as_array().expect("a list");
    let of_table = tables.iter().find(|one| one["table"]["name"] == table);
    let Some(account) = of_table else {
        assert!(
            lost.is_empty(),
            "{name}: {table} is not in the account\n{run}"
        );
        return;
    };
    let rows = &account["lost_rows"];
    let number = lost.len() as u64;
    let (certain, perhaps) = (rows["certain"].as_u64(), rows["perhaps"].as_u64());
    let at_most = certain
        .zip(perhaps)
        .map(|(certain, perhaps)| certain + perhaps);
    if expected.bounded {
        assert!(
            rows["unknown"] == true || at_most >= Some(number),
            "{name}: {account:#}"
        );
    } else {
        assert_eq!(
            (certain, perhaps),
            (Some(number), Some(0)),
            "{name}: {account:#}\n{run}"
        );
        assert_eq!(rows["unknown"], false, "{name}: {account:#}");
    }
    if let Some(file) = account["keys_file"].as_str() {
        let csv = fs::read_to_string(directory.join(file)).expect("the file is there");
        let keys = csv
            .lines()
            .skip(1)
            .filter_map(|line| line.split(',').nth(3));
        let keys: BTreeSet<String> = keys.map(str::to_owned).collect();
        assert!(lost.is_subset(&keys), "{name}: {csv}");
        assert!(expected.bounded || keys == *lost, "{name}: {csv}");
    } else {
        assert!(lost.is_empty() || expected.bounded, "{name}: {account:#}");
    }
}

/// `losses.json` of a run.
pub fn losses(run: &Finished) -> Value {
    losses_in(&run.path("run"))
}

/// Salvages one database into another, with a run directory `run`.
pub fn salvaging(source: &str, target: &str, more: &[&str]) -> Pgconvoy {
    let fixed = [
        "salvage",
        "--source",
        source,
        "--target",
        target,
        "--run-dir",
        "run",
    ];
    Pgconvoy::new(fixed.iter().chain(more))
}

fn losses_in(directory: &Path) -> Value {
    let path = directory.join("losses.json");
    let text =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("it is JSON")
}

/// Where the relations of a database are.
fn files(server: &Server, database: &str) -> Files {
    let rows = server.psql(
        database,
        "select c.relname, pg_relation_filepath(c.oid), '' from pg_class c \
           where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'i') \
         union all select c.relname || ' toast', pg_relation_filepath(t.oid), pg_relation_filepath(i.indexrelid) \
           from pg_class c join pg_class t on t.oid = c.reltoastrelid join pg_index i on i.indrelid = t.oid \
           where c.relnamespace = 'public'::regnamespace",
    );
    let mut filenodes = BTreeMap::new();
    let mut base = PathBuf::new();
    for row in rows.lines() {
        let fields: Vec<&str> = row.split('|').collect();
        let path = server.cluster.data_dir().join(fields[1]);
        let name = |path: &Path| {
            path.file_name()
                .expect("a name")
                .to_str()
                .expect("ASCII")
                .to_owned()
        };
        path.parent().expect("a directory").clone_into(&mut base);
        filenodes.insert(fields[0].to_owned(), name(&path));
        if !fields[2].is_empty() {
            filenodes.insert(format!("{} index", fields[0]), name(Path::new(fields[2])));
        }
    }
    Files { base, filenodes }
}

/// A damage of which rows of one table are lost.
pub fn loses(
    name: &'static str,
    table: &'static str,
    damage: impl Fn(&Files) + 'static,
    lost: impl Fn((u64, u64)) -> bool + 'static,
) -> Case {
    Case {
        name,
        damage: Box::new(damage),
        expected: Box::new(move |before| Expected {
            status: 6,
            lost: BTreeMap::from([(table, before.at(table, &lost))]),
            // A table without an index tells nothing about what was in it.
            bounded: table == "log",
            ..Expected::default()
        }),
    }
}

/// A damage of which nothing is lost.
pub fn harmless(name: &'static str, damage: impl Fn(&Files) + 'static) -> Case {
    Case {
        name,
        damage: Box::new(damage),
        expected: Box::new(|_| Expected::default()),
    }
}

/// A damage of which values of the bodies of posts are lost.
pub fn loses_bodies(
    name: &'static str,
    damage: impl Fn(&Files) + 'static,
    lost: impl Fn((u64, u64)) -> bool + 'static,
) -> Case {
    Case {
        name,
        damage: Box::new(damage),
        expected: Box::new(move |before| Expected {
            status: 6,
            columns: before
                .toasted_at(&lost)
                .into_iter()
                .map(|key| ("posts", key, "body"))
                .collect(),
            ..Expected::default()
        }),
    }
}
