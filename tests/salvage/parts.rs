//! Long values of which there are many, and whose files are gone, or a part of one: it is known at once which of them are, and nobody is
//! asked for each.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use pgconvoy::pg::cluster::StopMode;
use serde_json::Value;

use crate::lab::{PAGE, losses};
use crate::support::binary::{Finished, Pgconvoy};
use crate::support::server::Server;

/// Nearly all values of the one are out of line, some in line and compressed; a hundred rows were changed since. Of the other, a few of each
/// page or two.
const SCHEMA: &str = "
create table dense (id int primary key, v text, n numeric);
alter table dense alter v set storage external;
insert into dense select i, repeat(md5(i::text), 100), i / 7.0 from generate_series(1, 6000) i;
alter table dense alter v set storage main;
insert into dense select i, repeat('in line ', 500), i from generate_series(6001, 6200) i;
create table sparse (id int primary key, v text);
alter table sparse alter v set storage external;
insert into sparse select i, case when i % 90 = 0 then repeat(md5(i::text), 100) else repeat('x', 200) end from generate_series(1, 40000) i;
vacuum (freeze) dense;
vacuum (freeze) sparse;
update dense set v = 'short' where id <= 100;
";
const TOAST: &str = "reltoastrelid";
const INDEX: &str = "(select indexrelid from pg_index where indrelid = reltoastrelid)";
/// Lost values that an account lists.
const LISTED: usize = 5000;
/// Blocks that are left of a file that is cut off.
const LEFT: u64 = 100;

fn path(source: &Server, database: &str, (table, relation): (&str, &str)) -> PathBuf {
    let query =
        format!("select pg_relation_filepath({relation}) from pg_class where relname = '{table}'");
    let path = source.psql(database, &query);
    source.cluster.data_dir().join(path)
}

/// The keys of the rows whose values have a part from a block on.
fn from_block_on(source: &Server, database: &str) -> String {
    let toast = source.psql(
        database,
        "select reltoastrelid::regclass from pg_class where relname = 'dense'",
    );
    let query = format!(
        "select string_agg(id::text, ' ' order by id) from dense where pg_column_toast_chunk_id(v) in \
         (select chunk_id from {toast} where ctid >= '({LEFT},0)')"
    );
    source.psql(database, &query)
}

fn keys(first: u32, last: u32, step: usize) -> String {
    let keys = (first..=last).step_by(step);
    let keys: Vec<String> = keys.map(|key| key.to_string()).collect();
    keys.join(" ")
}

/// What is on the target, and in the account, is what must be: the values of these rows are lost, and nothing else.
fn check(target: &Server, (database, table): (&str, &str), lost: &str, run: &Finished) {
    let query =
        format!("select string_agg(id::text, ' ' order by id) from {table} where v is null");
    assert_eq!(
        target.psql(database, &query),
        lost,
        "{database}, {table}\n{run}"
    );
    let account = losses(run);
    let tables = account["tables"].as_array().expect("a list");
    let of_table = tables.iter().find(|one| one["table"]["name"] == table);
    let Some(of_table) = of_table else {
        assert!(lost.is_empty(), "{account:#}");
        return;
    };
    let columns = of_table["lost_columns"].as_array().expect("a list").iter();
    let keys: BTreeSet<&str> = columns
        .filter_map(|column| column["key"]["id"].as_str())
        .collect();
    let lost: BTreeSet<&str> = lost.split(' ').collect();
    assert_eq!(of_table["lost_values"], lost.len(), "{database}, {table}");
    if lost.len() <= LISTED {
        assert_eq!(of_table["values_file"], Value::Null, "{database}, {table}");
        assert_eq!(keys, lost, "{database}, {table}");
    } else {
        assert_eq!(keys.len(), LISTED, "{database}, {table}");
        let file = of_table["values_file"].as_str().expect("a file");
        let csv = fs::read_to_string(run.path("run").join(file)).expect("it is there");
        let keys: Vec<&str> = csv
            .lines()
            .filter_map(|line| line.rsplit(',').next())
            .collect();
        assert_eq!(keys.first(), Some(&"id"));
        assert_eq!(keys.len(), lost.len() + 1, "{database}, {table}");
        let keys: BTreeSet<&str> = keys.into_iter().skip(1).collect();
        assert_eq!(keys, lost, "{database}, {table}");
    }
    assert_eq!(of_table["lost_rows"]["certain"], 0, "{database}, {table}");
    assert_eq!(of_table["lost_rows"]["perhaps"], 0, "{database}, {table}");
}

#[test]
fn many_values_that_are_gone_are_accounted_for_at_one_stroke() {
    let source = Server::start_with(18, |options| {
        options
            .setting("autovacuum", "off")
            .setting("synchronous_commit", "on")
    });
    let (Some(mut source), Some(target)) = (source, Server::start(18)) else {
        return;
    };
    source.database("template");
    source.psql("template", SCHEMA);
    for database in ["whole", "half", "no_index"] {
        let sql = format!("create database {database} template template");
        source.psql("postgres", &sql);
    }
    let gone = [
        path(&source, "whole", ("dense", TOAST)),
        path(&source, "whole", ("sparse", TOAST)),
        path(&source, "no_index", ("dense", INDEX)),
    ];
    let half = path(&source, "half", ("dense", TOAST));
    let hurt = from_block_on(&source, "half");
    source.cluster.stop(StopMode::Fast).expect("it stops");
    for file in gone {
        fs::remove_file(file).expect("removed");
    }
    let file = fs::OpenOptions::new().write(true).open(half);
    file.expect("opened").set_len(LEFT * PAGE).expect("cut");
    source.cluster.resume().expect("it starts");

    let (all, some) = (keys(101, 6000, 1), keys(90, 40_000, 90));
    for (database, dense, sparse) in [
        ("whole", all.as_str(), some.as_str()),
        ("half", hurt.as_str(), ""),
        ("no_index", all.as_str(), ""),
    ] {
        let (from, to) = (source.conninfo(database), target.database(database));
        let run = Pgconvoy::new([
            "salvage",
            "--source",
            &from,
            "--target",
            &to,
            "--run-dir",
            "run",
        ])
        .run();
        assert_eq!(run.status, 6, "{run}");
        check(&target, (database, "dense"), dense, &run);
        check(&target, (database, "sparse"), sparse, &run);
        let rest = "select count(*), sum(id), count(n), sum(length(v)) filter (where id <= 100 or id > 6000) from dense";
        assert_eq!(target.psql(database, rest), "6200|19223100|6200|800500");
        let rest =
            "select count(*), sum(id), sum(length(v)) filter (where id % 90 <> 0) from sparse";
        assert_eq!(target.psql(database, rest), "40000|800020000|7911200");
        let journal = fs::read_to_string(run.path("run/salvage.journal")).expect("a journal");
        let questions = journal.lines().filter(|line| line.contains("\"asked\""));
        let questions = questions.count();
        assert!(questions < 200, "{database}: {questions} questions");
    }
}
