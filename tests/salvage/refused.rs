//! Values that damage has made and that a server shows, but no other takes: a text with a character that none can hold, one that is too
//! long, a NULL where none may be, a value that a domain does not allow; and rows that exclude each other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use pgconvoy::pg::cluster::StopMode;
use serde_json::Value;

use crate::lab::{losses, salvaging};
use crate::support::binary::Finished;
use crate::support::server::Server;

/// Rows of one page each table; everything visible to everybody.
const SCHEMA: &str = "
create domain amount as int constraint honest check (value >= 0);
create table texts (id int primary key, code varchar(3), body text not null);
insert into texts select i, 'abc', 'E' || repeat('x', 39) from generate_series(1, 20) i;
create table amounts (id int primary key, a amount, n int not null);
insert into amounts select i, i, i from generate_series(1, 20) i;
create table bookings (id int primary key, room int, exclude (room with =), during int, exclude ((during + 0) with =) where (id > 1));
insert into bookings select i, i, i from generate_series(1, 20) i;
";

/// Keys of which `=` by name, in a session without a search path, says something else than the server: on a type of an extension, over several
/// columns of which none or all are given, over periods of time, where NULL is a value as any other, between columns of other collations;
/// and one that nobody enforces.
const KEYS: &str = "
create extension citext;
create table people (name citext primary key, n int unique nulls not distinct);
insert into people select 'Name ' || i, nullif(i, 20) from generate_series(1, 20) i;
create table letters (id int primary key, who citext references people);
insert into letters select i, 'NAME ' || i from generate_series(1, 20) i;
create table pairs (a int, b int, primary key (a, b));
insert into pairs select i, i from generate_series(1, 20) i;
create table halves (id int primary key, a int, b int, constraint halves_fkey foreign key (b, a) references pairs (b, a) match full);
insert into halves select i, i, i from generate_series(1, 20) i;
create table stays (room int4range, during daterange, primary key (room, during without overlaps));
insert into stays select int4range(i, i + 1), daterange(date '2020-01-01' + half * 10, date '2020-01-11' + half * 10)
  from generate_series(1, 20) i, generate_series(0, 1) half;
create table guests (id int primary key, room int4range, during daterange,
  constraint guests_fkey foreign key (room, period during) references stays (room, period during));
insert into guests select i, int4range(i, i + 1), daterange('2020-01-05', '2020-01-15') from generate_series(1, 20) i;
create table codes (code text collate \"C\" primary key);
insert into codes select 'code ' || i from generate_series(1, 20) i;
create table uses (id int primary key, code text collate \"POSIX\" references codes);
insert into uses select i, 'code ' || i from generate_series(1, 20) i;
create table claims (id int primary key, a int, b int, foreign key (a, b) references pairs not enforced);
insert into claims select i, -i, -i from generate_series(1, 20) i;
";

/// Tables in which a key is broken.
const BROKEN: [&str; 4] = ["people", "halves", "guests", "uses"];

/// Breaks a row for each of them, and with some a second one; by the key's file, the rows that must be in it.
fn break_keys(files: &BTreeMap<&str, PathBuf>) -> [(&'static str, &'static [&'static str]); 6] {
    // Behind a header of 24 bytes, the length of the name and its letters.
    change(&files["people"], 6, &[(25, b"X")]);
    change(&files["people"], 9, &[(25, b"NAME 8")]);
    // There are NULLs, and the second attribute is one; of the halves, the third.
    change(&files["people"], 19, &[(20, &[0x03]), (23, &[0b01])]);
    change(&files["halves"], 7, &[(20, &[0x01]), (23, &[0b011])]);
    // The id, the room with its length, type, two bounds and flags, and the time with its length and type.
    let since = 24 + 4 + (1 + 4 + 4 + 4 + 1) + (1 + 4);
    let time = [9_000_i32.to_le_bytes(), 10_000_i32.to_le_bytes()].concat();
    change(&files["guests"], 7, &[(since, &time)]);
    // The id, the length of the code, and its letters.
    change(&files["uses"], 5, &[(24 + 4 + 1, b"X")]);
    [
        ("people.people_pkey", &["name", "NAME 8", "Name 8"]),
        ("people.people_n_key", &["name,n", "Name 19,", "Name 20,"]),
        (
            "letters.letters_who_fkey",
            &["id,who", "6,NAME 6", "9,NAME 9"],
        ),
        ("halves.halves_fkey", &["id,b,a", "7,,7"]),
        (
            "guests.guests_fkey",
            &["id,room,during", "7,\"[7,8)\",\"[2024-08-22,2027-05-19)\""],
        ),
        ("uses.uses_code_fkey", &["id,code", "5,Xode 5"]),
    ]
}

struct Shop {
    source: Server,
    from: String,
    target: Server,
    to: String,
}

impl Shop {
    fn start(schema: &str) -> Option<Self> {
        let source = Server::start_with(18, |options| {
            options
                .setting("autovacuum", "off")
                .setting("synchronous_commit", "on")
        })?;
        let target = Server::start(18)?;
        let (from, to) = (source.database("shop"), target.database("shop"));
        source.psql("shop", schema);
        source.psql("shop", "vacuum (freeze, analyze)");
        Some(Self {
            source,
            from,
            target,
            to,
        })
    }

    fn path(&self, relation: &str) -> PathBuf {
        let query = format!("select pg_relation_filepath('{relation}')");
        let path = self.source.psql("shop", &query);
        self.source.cluster.data_dir().join(path)
    }

    fn salvage(&self) -> Finished {
        salvaging(&self.from, &self.to, &[]).run()
    }
}

/// Changes the bytes of a row on the first page, from where it begins.
fn change(path: &Path, row: usize, changed: &[(usize, &[u8])]) {
    let mut bytes = fs::read(path).expect("read");
    let at = 24 + 4 * (row - 1);
    let item = u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let tuple = (item & 0x7fff) as usize;
    for (from, new) in changed {
        bytes[tuple + from..tuple + from + new.len()].copy_from_slice(new);
    }
    fs::write(path, bytes).expect("written");
}

fn lost_columns(account: &Value, table: &str) -> BTreeSet<(String, String)> {
    let tables = account["tables"].as_array().expect("a list");
    let of_table = tables.iter().find(|one| one["table"]["name"] == table);
    let columns = of_table.and_then(|one| one["lost_columns"].as_array());
    let columns = columns.expect("the table is in the account").iter();
    columns
        .map(|one| {
            let text = |value: &Value| value.as_str().expect("text").to_owned();
            (text(&one["key"]["id"]), text(&one["column"]))
        })
        .collect()
}

fn set(pairs: &[(&str, &str)]) -> BTreeSet<(String, String)> {
    let pairs = pairs.iter();
    pairs
        .map(|(key, column)| ((*key).to_owned(), (*column).to_owned()))
        .collect()
}

#[test]
fn what_no_target_takes_is_lost_by_name() {
    let Some(mut shop) = Shop::start(SCHEMA) else {
        return;
    };
    let (texts, amounts) = (shop.path("texts"), shop.path("amounts"));
    shop.source.cluster.stop(StopMode::Fast).expect("it stops");
    // Behind a header of 24 bytes the id, the code with its header, the body with its header.
    let (code, body) = (24 + 4, 24 + 4 + 4);
    // One letter more, which is the body's header; the body then begins with `E`, which is a header as well.
    change(&texts, 2, &[(code, &[5 << 1 | 1])]);
    change(&texts, 3, &[(code + 2, &[0])]);
    change(&texts, 4, &[(body + 7, &[0xff])]);
    // There are NULLs, and the third attribute is one.
    change(&texts, 5, &[(20, &[0x03]), (23, &[0b011])]);
    change(&amounts, 6, &[(28, &(-1i32).to_le_bytes())]);
    change(&amounts, 7, &[(20, &[0x01]), (23, &[0b011])]);
    shop.source.cluster.resume().expect("it starts");

    let run = shop.salvage();
    assert_eq!(run.status, 6, "{run}");
    let there = "select string_agg(id || coalesce(code, '-') || left(body, 2), ' ' order by id) from texts where id < 7";
    assert_eq!(
        shop.target.psql("shop", there),
        "1abcEx 2-xx 3-Ex 4abc 5abc 6abcEx",
        "{run}"
    );
    let account = losses(&run);
    assert_eq!(
        lost_columns(&account, "texts"),
        set(&[("2", "code"), ("3", "code"), ("4", "body"), ("5", "body")]),
        "{account:#}"
    );
    assert_eq!(
        lost_columns(&account, "amounts"),
        set(&[("6", "a")]),
        "{account:#}"
    );
    // A number that must not be NULL has nothing that could stand in its place: its row is lost, by its key.
    let missing = "select string_agg(i::text, ' ') from generate_series(1, 20) i where not exists (select from amounts where id = i)";
    assert_eq!(shop.target.psql("shop", missing), "7", "{run}");
    let keys = fs::read_to_string(run.path("run/lost/public.amounts.csv")).expect("keys");
    assert_eq!(keys.lines().skip(1).collect::<Vec<_>>(), ["0,7,certain,7"]);
}

#[test]
fn rows_that_violate_keys_are_there_without_these_and_are_told() {
    let Some(mut shop) = Shop::start(&format!("{SCHEMA}{KEYS}")) else {
        return;
    };
    let bookings = shop.path("bookings");
    let files = BROKEN.into_iter().map(|table| (table, shop.path(table)));
    let files = files.collect();
    shop.source.cluster.stop(StopMode::Fast).expect("it stops");
    // The rooms of two, and the days of two others.
    change(&bookings, 6, &[(28, &5i32.to_le_bytes())]);
    change(&bookings, 9, &[(32, &8i32.to_le_bytes())]);
    let broken = break_keys(&files);
    shop.source.cluster.resume().expect("it starts");
    let run = shop.salvage();
    assert_eq!(run.status, 6, "{run}");
    assert_eq!(
        shop.target.psql("shop", "select count(*) from bookings"),
        "20"
    );
    let account = losses(&run);
    let constraints = account["constraints"].as_array().expect("a list");
    assert_eq!(constraints.len(), 2 + broken.len(), "{account:#}");
    let rows = |constraint: &str| {
        let path = run.path(&format!("run/violations/public.{constraint}.csv"));
        let text =
            fs::read_to_string(path).unwrap_or_else(|error| panic!("{constraint}: {error}\n{run}"));
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines[1..].sort_unstable();
        lines
    };
    assert_eq!(
        rows("bookings.bookings_room_excl"),
        ["id,room", "5,5", "6,5"]
    );
    assert_eq!(rows("bookings.bookings_expr_excl"), ["id", "8", "9"]);
    for (constraint, violations) in broken {
        assert_eq!(rows(constraint), violations, "{constraint}");
    }
    // The SQL of the account does what it says, once the rows are gone.
    shop.target.psql(
        "shop",
        "delete from bookings where id in (6, 9); delete from letters where id in (6, 9); delete from halves where id = 7; \
         delete from guests where id = 7; delete from uses where id = 5; delete from people where name::text = 'NAME 8'; \
         update people set n = 19 where name = 'Name 19'",
    );
    for constraint in constraints {
        let sql = constraint["sql"].as_str().expect("SQL");
        shop.target.psql("shop", sql);
    }
    let query = "select count(*) from pg_constraint where contype = 'x'";
    assert_eq!(shop.target.psql("shop", query), "2", "{run}");
}

/// A sound table that consists of nothing but what its bytes prove is not read before it is copied; a value that is compressed is.
#[test]
fn what_bytes_prove_is_not_asked_for() {
    let Some(mut shop) = Shop::start(
        "create table plain (id int primary key, at timestamptz not null default now(), line text, code char(4)); \
         insert into plain (id, line, code) select i, repeat('line ', 20), 'abcd' from generate_series(1, 5000) i; \
         create table packed (id int primary key, line text); \
         insert into packed select i, repeat('line ', 2000) from generate_series(1, 50) i; \
         create table bare (at int, line text); \
         insert into bare select i, 'line' from generate_series(1, 5000) i",
    ) else {
        return;
    };
    // Copies that nobody uses begin so.
    shop.source.cluster.stop(StopMode::Fast).expect("it stops");
    shop.source.cluster.resume().expect("it starts");
    let run = shop.salvage();
    assert_eq!(run.status, 0, "{run}");
    for (table, rows) in [("plain", "5000"), ("packed", "50"), ("bare", "5000")] {
        let query = format!("select count(*) from {table}");
        assert_eq!(shop.target.psql("shop", &query), rows);
    }
    let journal = fs::read_to_string(run.path("run/salvage.journal")).expect("a journal");
    let asked = |table: &str| {
        let oid = shop
            .source
            .psql("shop", &format!("select '{table}'::regclass::oid"));
        let of_table = format!("\"table\":{oid},");
        let lines = journal.lines().filter(|line| line.contains("\"asked\""));
        let probes = lines.filter(|line| line.contains(&of_table));
        probes
            .map(|line| {
                let line: Value = serde_json::from_str(line).expect("JSON");
                line["probe"]["read"].as_str().expect("a kind").to_owned()
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(asked("plain"), ["open"], "{journal}");
    assert_eq!(asked("bare"), ["open"], "{journal}");
    assert_eq!(asked("packed"), ["blocks"], "{journal}");
}
