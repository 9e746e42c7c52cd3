//! Damaged pages and files of tables: every row that can be read arrives, and every other one is accounted for by its key.

use std::collections::BTreeMap;
use std::fs;

use pgconvoy::plan::Around;

use crate::lab::{Case, Expected, Files, Lab, PAGE, loses, losses};
use crate::support::binary::Pgconvoy;

/// A page of which nothing is left, in all the ways in which that can be.
fn pages() -> Vec<Case> {
    vec![
        loses(
            "zeros",
            "accounts",
            |files| files.write("accounts", 3 * PAGE, &[0; 8192]),
            |(block, _)| block == 3,
        ),
        loses(
            "random",
            "accounts",
            |files| files.scramble("accounts", 5),
            |(block, _)| block == 5,
        ),
        // Where the free space begins: behind where it ends.
        loses(
            "header",
            "accounts",
            |files| files.write("accounts", 7 * PAGE + 12, &[0xff, 0x1f]),
            |(block, _)| block == 7,
        ),
        loses(
            "two_pages",
            "posts",
            |files| {
                files.scramble("posts", 0);
                files.write("posts", 4 * PAGE, &[0; 8192]);
            },
            |(block, _)| block == 0 || block == 4,
        ),
        loses(
            "log_page",
            "log",
            |files| files.scramble("log", 2),
            |(block, _)| block == 2,
        ),
        loses(
            "log_zeros",
            "log",
            |files| files.write("log", PAGE, &[0; 8192]),
            |(block, _)| block == 1,
        ),
    ]
}

/// Pages that are pages of a table, and not the ones that were there.
fn others() -> Vec<Case> {
    let bounded = |name: &'static str, damage: fn(&Files), block: u64| Case {
        name,
        damage: Box::new(damage),
        expected: Box::new(move |before| Expected {
            status: 6,
            lost: BTreeMap::from([("accounts", before.at("accounts", |(at, _)| at == block))]),
            bounded: true,
            ..Expected::default()
        }),
    };
    vec![
        // The rows of the fifth are there twice, and those of the seventh are gone.
        bounded(
            "of_itself",
            |files| {
                let page = files.read("accounts", 5 * PAGE, 8192);
                files.write("accounts", 7 * PAGE, &page);
            },
            7,
        ),
        // Of another table, whose rows have other columns.
        bounded(
            "of_another",
            |files| {
                let page = files.read("posts", 2 * PAGE, 8192);
                files.write("accounts", 3 * PAGE, &page);
            },
            3,
        ),
    ]
}

/// Without checksums, nothing but the keys of an index tells that rows are those of another page.
#[test]
fn pages_in_the_place_of_others() {
    let cases = others();
    let Some(mut lab) = Lab::start(18, false, &cases) else {
        return;
    };
    let run = lab.salvage("of_itself", &[]);
    let said = losses(&run)["tables"][0]["causes"].to_string();
    assert!(
        said.contains("do not have the keys that the index"),
        "{said}\n{run}"
    );
    lab.target.psql("postgres", "drop database of_itself");
    lab.check(&cases);
}

/// Files that are cut off or not there.
fn whole_files() -> Vec<Case> {
    vec![
        loses(
            "cut",
            "accounts",
            |files| files.truncate("accounts", 6 * PAGE + 100),
            |(block, _)| block >= 6,
        ),
        loses(
            "missing",
            "accounts",
            |files| files.remove("accounts"),
            |_| true,
        ),
        loses(
            "emptied",
            "posts",
            |files| files.truncate("posts", 0),
            |_| true,
        ),
        loses(
            "log_cut",
            "log",
            |files| files.truncate("log", 3 * PAGE),
            |(block, _)| block >= 3,
        ),
        loses("log_missing", "log", |files| files.remove("log"), |_| true),
        // The last page, of zeros: a new one would look the same, but for what the map says of it.
        Case {
            name: "log_last",
            damage: Box::new(|files| {
                let length = fs::metadata(files.path("log")).expect("it is there").len();
                files.write("log", length - PAGE, &[0; 8192]);
            }),
            expected: Box::new(|before| {
                let places = before.places["log"].values();
                let end = places.map(|(block, _)| *block).max();
                let lost = before.at("log", |(block, _)| Some(block) == end);
                Expected {
                    status: 6,
                    lost: BTreeMap::from([("log", lost)]),
                    bounded: true,
                    ..Expected::default()
                }
            }),
        },
        // A page of zeros, and of the index that knows what was in it only the first page is left, which is in order.
        Case {
            name: "page_and_index",
            damage: Box::new(|files| {
                files.write("accounts", 3 * PAGE, &[0; 8192]);
                files.truncate("accounts_pkey", PAGE);
            }),
            expected: Box::new(|before| Expected {
                status: 6,
                lost: BTreeMap::from([(
                    "accounts",
                    before.at("accounts", |(block, _)| block == 3),
                )]),
                bounded: true,
                ..Expected::default()
            }),
        },
        // A page of zeros, and the leaf that knows what was in it says that it is none.
        Case {
            name: "page_and_flags",
            damage: Box::new(|files| {
                files.write("accounts", 3 * PAGE, &[0; 8192]);
                let flags = files.read("accounts_pkey", 2 * PAGE - 4, 1)[0];
                files.write("accounts_pkey", 2 * PAGE - 4, &[flags | 8]);
            }),
            expected: Box::new(|before| Expected {
                status: 6,
                lost: BTreeMap::from([(
                    "accounts",
                    before.at("accounts", |(block, _)| block == 3),
                )]),
                bounded: true,
                ..Expected::default()
            }),
        },
    ]
}

/// Single rows.
fn rows() -> Vec<Case> {
    vec![
        loses(
            "pointer",
            "accounts",
            |files| {
                let (pointer, _) = files.tuple("accounts", (2, 5));
                // To the last bytes of the page, and beyond.
                files.write(
                    "accounts",
                    pointer,
                    &(0x1ff8_u32 | 1 << 15 | 60 << 17).to_le_bytes(),
                );
            },
            |place| place == (2, 5),
        ),
        loses(
            "unused",
            "accounts",
            |files| {
                let (pointer, _) = files.tuple("accounts", (2, 6));
                files.write("accounts", pointer, &[0; 4]);
            },
            |place| place == (2, 6),
        ),
        loses(
            "dead",
            "accounts",
            |files| {
                let (pointer, _) = files.tuple("accounts", (2, 7));
                files.write("accounts", pointer, &(3u32 << 15).to_le_bytes());
            },
            |place| place == (2, 7),
        ),
        // Not in use, but still with a place and a length; and no index that knows of it.
        loses(
            "log_unused",
            "log",
            |files| {
                let (pointer, _) = files.tuple("log", (2, 6));
                let item = files.read("log", pointer, 4);
                let item = u32::from_le_bytes(item.try_into().expect("four bytes"));
                files.write("log", pointer, &(item & !(3 << 15)).to_le_bytes());
            },
            |place| place == (2, 6),
        ),
        loses(
            "length",
            "accounts",
            |files| {
                // The name's length, behind 24 bytes of header and an id: 1 GB less a byte.
                let (_, tuple) = files.tuple("accounts", (4, 3));
                files.write("accounts", tuple + 28, &0xffff_fffcu32.to_le_bytes());
            },
            |place| place == (4, 3),
        ),
        loses(
            "attributes",
            "accounts",
            |files| {
                let (_, tuple) = files.tuple("accounts", (4, 4));
                files.write("accounts", tuple + 18, &[0xff, 0x03]);
            },
            |place| place == (4, 4),
        ),
    ]
}

#[test]
fn pages_that_are_gone() {
    let cases = pages();
    let Some(mut lab) = Lab::start(18, false, &cases) else {
        return;
    };
    lab.check(&cases);
}

#[test]
fn pages_that_are_gone_on_an_old_server_and_with_checksums() {
    let cases: Vec<Case> = pages().into_iter().take(3).collect();
    let Some(mut lab) = Lab::start(13, false, &cases) else {
        return;
    };
    reads_block_by_block(&lab, 13);
    lab.check(&cases);
    drop(lab);
    let Some(mut lab) = Lab::start(16, true, &cases) else {
        return;
    };
    lab.check(&cases);
}

/// A server that scans no ranges looks for the line pointers of one block after the other, and never through the whole table.
fn reads_block_by_block(lab: &Lab, major: u32) {
    let runs = [(0, 3), (4, 9)];
    let around = Around {
        major,
        blocks: runs.to_vec(),
        ..Around::default()
    };
    let query = around.query(
        "public.accounts",
        &["id".to_owned(), "name".to_owned()],
        None,
    );
    let alone = "set enable_seqscan = off";
    let explain = format!("{alone}; explain (analyze, costs off, timing off) {query}");
    let plan = lab.source.psql("template", &explain);
    let scans = plan
        .lines()
        .filter(|line| line.contains("Tid Scan on accounts"));
    let loops: Vec<&str> = scans
        .filter_map(|line| Some(line.rsplit_once("loops=")?.1))
        .collect();
    assert_eq!(loops, ["3)", "5)"], "{plan}");
    assert!(!plan.contains("Seq Scan"), "{plan}");
    let count = format!("{alone}; select count(*), count(distinct id) from ({query}) as found");
    let found = lab.source.psql("template", &count);
    let is_in = |block: u64| {
        runs.iter()
            .any(|&(from, to)| (u64::from(from)..u64::from(to)).contains(&block))
    };
    let there = lab.before.at("accounts", |(block, _)| is_in(block)).len();
    assert!(found.ends_with(&format!("{there}|{there}")), "{found}");
}

#[test]
fn files_that_are_cut_or_gone() {
    let cases = whole_files();
    let Some(mut lab) = Lab::start(18, false, &cases) else {
        return;
    };
    // A check sees as much without reading a row.
    let (source, target) = (
        lab.source.conninfo("missing"),
        lab.target.database("checked"),
    );
    let ends = [
        "check",
        "--no-measure",
        "--source",
        &source,
        "--target",
        &target,
    ];
    let run = Pgconvoy::new(ends).run();
    assert_eq!(run.status, 4, "{run}");
    assert!(run.stdout.contains("public.accounts: the file"), "{run}");
    lab.check(&cases);
}

#[test]
fn single_rows() {
    let cases = rows();
    let Some(mut lab) = Lab::start(18, false, &cases) else {
        return;
    };
    lab.check(&cases);
}
