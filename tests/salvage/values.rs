//! Damaged values: what is out of line and cannot be read becomes NULL, and the row arrives without it; what a row says of
//! transactions is no reason to lose it, unless the server does not show it.

use std::collections::{BTreeMap, BTreeSet};

use pgconvoy::pg::cluster::StopMode;
use serde_json::json;

use crate::lab::{Case, Expected, Lab, PAGE, loses_bodies, losses};
use crate::support::binary::Pgconvoy;
use crate::support::server::Server;

fn toast() -> Vec<Case> {
    vec![
        loses_bodies(
            "part_zeros",
            |files| files.write("posts toast", 2 * PAGE, &[0; 8192]),
            |(block, _)| block == 2,
        ),
        loses_bodies(
            "part_random",
            |files| files.scramble("posts toast", 7),
            |(block, _)| block == 7,
        ),
        loses_bodies(
            "part_unused",
            |files| {
                let (pointer, _) = files.tuple("posts toast", (3, 2));
                files.write("posts toast", pointer, &[0; 4]);
            },
            |place| place == (3, 2),
        ),
        // Its number is that of the part before: there are two of one, and none of the other.
        loses_bodies(
            "part_doubled",
            |files| {
                let (_, before) = files.tuple("posts toast", (3, 1));
                let (_, tuple) = files.tuple("posts toast", (3, 2));
                let number = files.read("posts toast", before + 28, 4);
                files.write("posts toast", tuple + 28, &number);
            },
            |place| place == (3, 2),
        ),
        loses_bodies(
            "toast_cut",
            |files| files.truncate("posts toast", 20 * PAGE),
            |(block, _)| block >= 20,
        ),
        loses_bodies(
            "toast_missing",
            |files| files.remove("posts toast"),
            |_| true,
        ),
        loses_bodies(
            "toast_index",
            |files| files.scramble("posts toast index", 0),
            |_| true,
        ),
        // The page says of a row that it was deleted, and the map that there are none such.
        Case {
            name: "infomask",
            damage: Box::new(|files| {
                let (_, tuple) = files.tuple("accounts", (5, 4));
                let page = 5 * PAGE;
                let flags = files.read("accounts", page + 10, 1)[0];
                files.write("accounts", page + 10, &[flags & !4]);
                files.write("accounts", tuple + 4, &3u32.to_le_bytes());
                let mask = files.read("accounts", tuple + 21, 1)[0];
                files.write("accounts", tuple + 21, &[mask & !0x08 | 0x04]);
            }),
            expected: Box::new(|before| Expected {
                status: 6,
                lost: BTreeMap::from([(
                    "accounts",
                    before.at("accounts", |place| place == (5, 4)),
                )]),
                bounded: true,
                ..Expected::default()
            }),
        },
        Case {
            name: "not_text",
            damage: Box::new(|files| {
                // 24 bytes of header, an id, `name 1` with its length, the length of the bio, and two of its letters.
                let (_, tuple) = files.tuple("accounts", (0, 1));
                files.write("accounts", tuple + 24 + 4 + 7 + 1 + 2, &[0xff]);
            }),
            expected: Box::new(|_| Expected {
                status: 6,
                columns: BTreeSet::from([("accounts", "1".to_owned(), "bio")]),
                ..Expected::default()
            }),
        },
    ]
}

#[test]
fn values_out_of_line() {
    let cases = toast();
    let Some(mut lab) = Lab::start(18, false, &cases) else {
        return;
    };
    lab.check(&cases);
}

/// Rows whose inserting transaction has been made one that is yet to come are not shown, and there is no error. They are found by the
/// index, and told from rows that were deleted, of which the index knows as well.
#[test]
fn rows_of_transactions_to_come_are_told_from_deleted_ones() {
    let options = |options: pgconvoy::pg::cluster::ClusterOptions| {
        options
            .setting("autovacuum", "off")
            .setting("synchronous_commit", "on")
    };
    let (Some(mut source), Some(target)) = (Server::start_with(18, options), Server::start(18))
    else {
        return;
    };
    let conninfo = source.database("shop");
    source.psql(
        "shop",
        "create table t (id int primary key, v text); insert into t select i, 'v' || i from generate_series(1, 500) i",
    );
    source.psql("shop", "delete from t where id between 100 and 119");
    source.psql(
        "shop",
        "update t set v = 'new' where id between 200 and 229",
    );
    source.psql(
        "shop",
        "begin; insert into t values (9000, 'never'); rollback",
    );
    let path = source.psql("shop", "select pg_relation_filepath('t')");
    source.cluster.stop(StopMode::Fast).expect("it stops");
    let file = source.cluster.data_dir().join(path);
    let mut bytes = std::fs::read(&file).expect("read");
    // The tuples of ids 7 and 8: line pointers 7 and 8 of the first page.
    for offset in [7usize, 8] {
        let at = 24 + 4 * (offset - 1);
        let item = u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let tuple = (item & 0x7fff) as usize;
        bytes[tuple..tuple + 4].copy_from_slice(&2_000_000_000u32.to_le_bytes());
        // No hint that it has committed.
        bytes[tuple + 21] &= !0x03;
    }
    std::fs::write(&file, bytes).expect("written");
    source.cluster.resume().expect("it starts");
    let to = target.database("shop");
    let run = Pgconvoy::new([
        "salvage",
        "--source",
        &conninfo,
        "--target",
        &to,
        "--run-dir",
        "run",
    ])
    .run();
    assert_eq!(run.status, 6, "{run}");
    let there = target.psql(
        "shop",
        "select count(*), min(v) filter (where id = 210) from t",
    );
    assert_eq!(there, "478|new", "{run}");
    let account = losses(&run);
    // The server may also say that it does not know the transaction: then the rows cannot be read.
    let table = &account["tables"][0];
    let lost = table["lost_rows"]["certain"].as_u64().unwrap_or(0)
        + table["lost_rows"]["perhaps"].as_u64().unwrap_or(0);
    assert_eq!(lost, 2, "{account:#}\n{run}");
    assert_eq!(table["key"], json!(["id"]));
    let keys = std::fs::read_to_string(run.path("run/lost/public.t.csv")).expect("keys");
    let ids: Vec<&str> = keys
        .lines()
        .skip(1)
        .filter_map(|line| line.split(',').nth(3))
        .collect();
    assert_eq!(ids, ["7", "8"], "{keys}");
}
