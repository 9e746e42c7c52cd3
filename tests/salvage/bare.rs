//! Tables that no index tells of: which of their blocks are lost is known from what was counted on them, and from the pages themselves.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use pgconvoy::pg::cluster::StopMode;
use serde_json::{Value, json};

use crate::lab::{PAGE, losses, salvaging};
use crate::support::binary::Pgconvoy;
use crate::support::server::Server;

/// What a server leaves at the end of `loaded` are pages of zeros, which are counted as its pages; it was not vacuumed, so that no map says that
/// there was something to see. `vacuumed` is as `VACUUM` leaves it when it is cancelled before it has written down what it counted.
const SCHEMA: &str = "
create table ended (at int, line text);
insert into ended select i, repeat('line ' || i, 10) from generate_series(1, 500) i;
create table cut as table ended;
create table uncounted as table ended;
create table loaded as select i as at, repeat('line ' || i, 10) as line from generate_series(1, 5000) i;
create table vacuumed as table loaded;
analyze ended, loaded, vacuumed;
delete from loaded where at % 3 = 0;
delete from vacuumed where at <= 2000;
vacuum (truncate off) vacuumed;
update pg_class set reltuples = 5000 where relname = 'vacuumed';
checkpoint;
";

fn path(server: &Server, table: &str) -> PathBuf {
    let query = format!("select pg_relation_filepath('{table}')");
    let path = server.psql("shop", &query);
    server.cluster.data_dir().join(path)
}

fn pages(path: &Path) -> u64 {
    fs::metadata(path).expect("it is there").len() / PAGE
}

fn overwrite(path: &Path, at: u64, bytes: &[u8]) {
    let file = fs::OpenOptions::new().write(true).open(path);
    let file = file.expect("opened");
    file.write_all_at(bytes, at).expect("written");
}

/// Rows on a block.
fn rows_on(server: &Server, table: &str, block: u64) -> u64 {
    let query = format!(
        "select count(*) from {table} where ctid >= '({block},0)' and ctid < '({},0)'",
        block + 1
    );
    server.psql("shop", &query).parse().expect("a number")
}

fn of<'a>(account: &'a Value, table: &str) -> Option<&'a Value> {
    let tables = account["tables"].as_array().expect("a list");
    tables.iter().find(|one| one["table"]["name"] == table)
}

/// The last page with rows of one is zeros, and from the first page of another most line pointers are cut off. Pages of zeros that a sound
/// table ends with are none of these.
fn what_was_counted(major: u32) -> Option<()> {
    let mut source = Server::start_with(major, |options| {
        options
            .setting("autovacuum", "off")
            .setting("synchronous_commit", "on")
    })?;
    let target = Server::start(18)?;
    let (from, to) = (source.database("shop"), target.database("shop"));
    source.psql("shop", SCHEMA);
    let [ended, cut] = ["ended", "cut"].map(|table| path(&source, table));
    let query = "select (max((ctid::text::point)[0]) + 1)::int from";
    let filled = |table: &str| -> u64 {
        let pages = source.psql("shop", &format!("{query} {table}"));
        pages.parse().expect("a number")
    };
    let last = filled("ended") - 1;
    for table in ["loaded", "vacuumed"] {
        let all = pages(&path(&source, table));
        assert!(all > filled(table), "{major} has left no page of zeros");
    }
    let gone = rows_on(&source, "ended", last);
    let left = [
        ("ended", 500 - gone),
        ("cut", 500 - rows_on(&source, "cut", 0) + 10),
    ];
    assert!(gone > 0, "a page without rows is no loss");
    source.cluster.stop(StopMode::Fast).expect("it stops");
    overwrite(&ended, last * PAGE, &[0; 8192]);
    // Where its line pointers end (`pd_lower`).
    overwrite(&cut, 12, &(24u16 + 4 * 10).to_le_bytes());
    source.cluster.resume().expect("it starts");

    let run = salvaging(&from, &to, &[]).run();
    assert_eq!(run.status, 6, "{run}");
    let account = losses(&run);
    for (table, block) in [("ended", last), ("cut", 0)] {
        let account = of(&account, table).unwrap_or_else(|| panic!("no word of {table}\n{run}"));
        let blocks = json!([[block, block + 1]]);
        assert_eq!(account["lost_blocks"], blocks, "{account:#}");
        assert_eq!(account["lost_rows"]["unknown"], true, "{account:#}");
    }
    let why = of(&account, "ended").map(|table| table["causes"].to_string());
    let said = format!("{gone} of 500 rows that were counted there once");
    assert!(why.is_some_and(|why| why.contains(&said)), "{account:#}");
    for (table, rows) in left {
        let query = format!("select count(*) from {table}");
        assert_eq!(target.psql("shop", &query), rows.to_string(), "{run}");
    }
    for table in ["loaded", "vacuumed", "uncounted"] {
        assert_eq!(of(&account, table), None, "{account:#}");
    }
    Some(())
}

#[test]
fn blocks_of_zeros_at_the_end_and_rows_without_line_pointers() {
    for major in [16, 18] {
        what_was_counted(major);
    }
}

/// The same of a sound source.
#[test]
fn pages_that_a_server_has_not_needed_yet_are_no_damage() {
    let Some(mut source) = Server::start_with(18, |options| options.setting("autovacuum", "off"))
    else {
        return;
    };
    let from = source.database("shop");
    source.psql("shop", SCHEMA);
    source.cluster.stop(StopMode::Fast).expect("it stops");
    source.cluster.resume().expect("it starts");
    let run = Pgconvoy::new(["salvage", "--survey", "--source", &from]).run();
    assert_eq!(run.status, 0, "{run}");
    assert!(run.stdout.contains("no damage was found"), "{run}");
}
