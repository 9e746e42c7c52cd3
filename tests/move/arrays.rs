//! Arrays travel in the binary format: equal ones are never taken for different ones, nor different ones for equal.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::binary::{Finished, Pgconvoy};
use crate::support::moving::{RUN_DIR, assert_equal, assert_proven, move_with, report};
use crate::support::server::Server;

/// In every table some arrays whose last NULL is gone, which they remember and a copy does not. `tsvector_to_array` of nothing
/// has a dimension of size zero on servers before 13 or so, which a copy does not have either; and text has no sign of a NaN.
const LISTS: &str = "
    create domain numbers as int[] check (array_length(value, 1) < 1000000);
    create table lists (
        id int primary key, v int[], words varchar[], n numbers, f float8[], j jsonb[], r int4range[], t timestamptz[]
    );
    insert into lists
    select i, array[i, null], array['a' || i, null], array[null, i], array[i / 7.0::float8, 'NaN', '-0'], array['{\"a\": 1.00}'::jsonb, null],
           array['[1,5)'::int4range, 'empty'], array['infinity'::timestamptz, '2000-01-01']
    from generate_series(1, 12000) i;
    update lists set v[2] = 5, words[2] = 'b', n[1] = 7 where id % 2 = 0;
    insert into lists (id, v, words) values
        (-1, '[2:3]={1,2}', '{}'), (-2, '{{1,2},{3,4}}', tsvector_to_array('')), (-3, '{}', '{NULL}'), (-4, null, '{\"NULL\"}'),
        (-5, '[-1:0][5:6]={{1,2},{3,4}}', array[repeat('long ', 100000), null]);
    update lists set words[2] = 'no longer null' where id = -5;
    create table keyless (v int[], front text, w text[]);
    insert into keyless select v, 'row ' || id, words from lists where id <= 200;
    create table by_list (v int[] primary key, front text);
    insert into by_list select distinct v, md5(v::text) from lists where v is not null;
    create table mixed (v float4[], c regclass);
    insert into mixed values (array[1.1, null], 'pg_class'), (array[-'NaN'::float4], null);
    update mixed set v[2] = 0.1 where c is not null;
    create table parts (id int, v int[]) partition by hash (id);
    create table part_1 partition of parts for values with (modulus 2, remainder 0);
    create table part_2 (v int[], id int);
    alter table parts attach partition part_2 for values with (modulus 2, remainder 1);
    insert into parts select id, v from lists;
    create materialized view seen as select words, id, v from lists where id % 100 = 0;
    analyze;
";

/// One change to a row each, and all of them to rows of `lists`.
const DAMAGES: [(i32, &str); 12] = [
    (-1, "v = '{1,2}'"),
    (-2, "v = '{1,2,3,4}'"),
    (-3, "words = '{}'"),
    (-4, "words = '{NULL}'"),
    (-5, "words[2] = 'null again'"),
    (100, "v[2] = 6"),
    (101, "v[2] = 0"),
    (102, "n[1] = null"),
    (103, "f[3] = 0"),
    (104, "v = null"),
    (105, "v = '{}'"),
    (106, "j[2] = 'null'::jsonb"),
];

fn verify(source: &str, target: &str) -> Finished {
    let fixed = ["verify", "--source", source, "--target", target];
    let more = ["--run-dir", RUN_DIR, "--max-rows", "50"];
    Pgconvoy::new(fixed.iter().chain(&more)).run()
}

/// Names of the tables that were read in the binary format.
fn in_binary(report: &Value) -> BTreeSet<&str> {
    let tables = report["tables"].as_array().expect("a list").iter();
    let binary = tables.filter(|table| table["format"] == "binary");
    binary
        .map(|table| table["table"]["name"].as_str().expect("a name"))
        .collect()
}

fn keys(report: &Value, name: &str) -> BTreeSet<String> {
    let rows = report["rows"].as_array().expect("a list").iter();
    let of_table = rows.filter(|rows| rows["table"]["name"] == name);
    let examples = of_table.flat_map(|rows| rows["examples"].as_array().expect("a list"));
    examples
        .map(|row| row["key"][0].as_str().expect("a key").to_owned())
        .collect()
}

fn travel(from: u32, to: u32) {
    let (Some(source), Some(target)) = (Server::start(from), Server::start(to)) else {
        return;
    };
    let (from, to) = (source.database("db"), target.database("db"));
    if source.cluster.version().major() < 11 {
        let by_range = LISTS
            .replace("by hash (id)", "by range (id)")
            .replace("with (modulus 2, remainder 0)", "from (minvalue) to (0)")
            .replace("with (modulus 2, remainder 1)", "from (0) to (maxvalue)");
        source.psql("db", &by_range);
    } else {
        source.psql("db", LISTS);
    }
    let run = move_with(&from, &to, &["--chunk-size", "1MB"]);
    let moved = assert_proven(&run);
    let tables = in_binary(&moved);
    for table in ["lists", "keyless", "by_list", "part_1", "part_2"] {
        assert!(tables.contains(table), "{table}\n{run}");
    }
    assert!(!tables.contains("mixed"), "{run}");
    assert_equal("arrays", &from, &to, &[]);
    let run = verify(&from, &to);
    assert_proven(&run);

    for (id, change) in DAMAGES {
        target.psql("db", &format!("update lists set {change} where id = {id}"));
    }
    target.psql(
        "db",
        "update keyless set v = '[0:1]={2,5}' where v = '{2,5}';
         update by_list set v = '[0:1]={4,5}' where v = '{4,5}'; update parts set v[1] = 0 where v[1] = 21",
    );
    let run = verify(&from, &to);
    assert_eq!(run.status, 3, "{run}");
    let found = report(&run);
    let damaged: BTreeSet<String> = DAMAGES.iter().map(|(id, _)| id.to_string()).collect();
    assert_eq!(keys(&found, "lists"), damaged, "{run}");
    let lists = ["{4,5}", "[0:1]={4,5}"].map(str::to_owned);
    assert_eq!(keys(&found, "by_list"), BTreeSet::from(lists), "{run}");
    assert_eq!(keys(&found, "keyless").len(), 2, "{run}");
    let differences = found["differences"].as_array().expect("a list");
    assert!(differences.len() >= 4, "{run}");
}

#[test]
fn arrays_from_an_old_server_to_a_new_one() {
    travel(10, 18);
}

#[test]
fn arrays_from_a_new_server_to_an_older_one() {
    travel(18, 15);
}
