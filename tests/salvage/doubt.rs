//! Pages with a wrong checksum, read all the same because somebody has asked for it: what comes of them is marked row by row.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::{Case, Expected, Files, Lab, PAGE, TABLES, harmless, losses, rows_of};
use crate::support::binary::{Finished, Pgconvoy};
use crate::support::server::Server;

/// Blocks that are left of a file that is cut off.
const LEFT: u64 = 20;

/// A letter of a row's name becomes another: the page is as it was otherwise.
fn bend_a_letter(files: &Files, place: (u64, u64)) {
    let (_, tuple) = files.tuple("accounts", place);
    files.write("accounts", tuple + 24 + 4 + 1, b"N");
}

fn cases() -> Vec<Case> {
    let case = |name, damage: Box<dyn Fn(&Files)>| Case {
        name,
        damage,
        expected: Box::new(|_| Expected::default()),
    };
    vec![
        case("letter", Box::new(|files| bend_a_letter(files, (2, 3)))),
        case(
            "pointer",
            Box::new(|files| {
                let (pointer, _) = files.tuple("accounts", (3, 5));
                let bent = (0x1ff8_u32 | 1 << 15 | 60 << 17).to_le_bytes();
                files.write("accounts", pointer, &bent);
            }),
        ),
        case(
            "part",
            Box::new(|files| {
                let (_, tuple) = files.tuple("posts toast", (3, 2));
                files.write("posts toast", tuple + 100, b"X");
            }),
        ),
        // The same, and most of the others are gone.
        case(
            "rest",
            Box::new(|files| {
                let (_, tuple) = files.tuple("posts toast", (3, 2));
                files.write("posts toast", tuple + 100, b"X");
                files.truncate("posts toast", LEFT * PAGE);
            }),
        ),
        case(
            "header",
            Box::new(|files| files.write("accounts", PAGE + 12, &[0xff, 0x1f])),
        ),
    ]
}

fn account(run: &Finished) -> Value {
    losses(run)["tables"][0].clone()
}

/// The places in `suspect/<table>.csv`.
fn suspects(run: &Finished, account: &Value) -> BTreeSet<String> {
    let file = account["suspect_file"].as_str().expect("suspect rows");
    let csv = fs::read_to_string(run.path("run").join(file)).expect("the file is there");
    let mut lines = csv.lines();
    assert!(lines.next().is_some_and(|head| head.starts_with("ctid,")));
    let place = |line: &str| line.split('"').nth(1).expect("a place").to_owned();
    lines.map(place).collect()
}

fn places(lab: &Lab, is_it: impl Fn((u64, u64)) -> bool) -> BTreeSet<String> {
    let places = lab.before.places["accounts"].values();
    let found = places.filter(|place| is_it(**place));
    found
        .map(|(block, offset)| format!("({block},{offset})"))
        .collect()
}

/// The keys of the rows of which values are lost.
fn lost_values(account: &Value) -> BTreeSet<String> {
    let columns = account["lost_columns"].as_array().expect("a list");
    columns
        .iter()
        .filter_map(|column| Some(column["key"]["id"].as_str()?.to_owned()))
        .collect()
}

/// How many rows of a table are there, and are what they were.
fn same_rows(lab: &Lab, database: &str, table: (&str, &str)) -> (usize, usize) {
    let before = &lab.before.rows[table.0];
    let there = rows_of(&lab.target, database, table);
    let same = there
        .iter()
        .filter(|(key, row)| before.get(*key) == Some(row));
    (there.len(), same.count())
}

#[test]
fn what_is_read_only_in_doubt_is_marked_row_by_row() {
    let cases = cases();
    let Some(lab) = Lab::start(18, true, &cases) else {
        return;
    };
    let all = lab.before.rows["accounts"].len();
    let in_doubt = ["--ignore-checksum-failure"];

    // Without it, the page is lost.
    let block = places(&lab, |(block, _)| block == 2);
    let run = lab.salvage("letter", &[]);
    assert_eq!(run.status, 6, "{run}");
    assert_eq!(account(&run)["lost_rows"]["certain"], block.len(), "{run}");
    lab.target.psql("postgres", "drop database letter");
    // With it, all of it is there, and one row is another.
    let run = lab.salvage("letter", &in_doubt);
    assert_eq!(run.status, 6, "{run}");
    let said = account(&run);
    assert_eq!(said["lost_rows"]["certain"], 0, "{said:#}");
    assert_eq!(said["suspect_rows"], block.len(), "{said:#}");
    assert_eq!(suspects(&run, &said), block);
    assert_eq!(same_rows(&lab, "letter", TABLES[0]), (all, all - 1));
    assert!(run.stderr.contains("are suspect"), "{run}");
    // By now the page is in the server's memory, where nobody looks at its checksum; and still it is not taken for sound.
    lab.target.psql("postgres", "drop database letter");
    let run = lab.salvage("letter", &[]);
    assert_eq!(run.status, 6, "{run}");
    assert_eq!(account(&run)["lost_rows"]["certain"], block.len(), "{run}");

    // A row that is bent is lost all the same, and alone.
    let run = lab.salvage("pointer", &in_doubt);
    assert_eq!(run.status, 6, "{run}");
    let said = account(&run);
    assert_eq!(said["lost_rows"]["certain"], 1, "{said:#}");
    let others = places(&lab, |(block, offset)| block == 3 && offset != 5);
    assert_eq!(suspects(&run, &said), others, "{said:#}");
    assert_eq!(same_rows(&lab, "pointer", TABLES[0]), (all - 1, all - 1));

    // A long value of which one part is in such a page.
    let hurt = lab.before.toasted_at(|(block, _)| block == 3);
    let run = lab.salvage("part", &in_doubt);
    assert_eq!(run.status, 6, "{run}");
    let said = account(&run);
    assert_eq!(
        said["lost_columns"].as_array().map(Vec::len),
        Some(0),
        "{said:#}"
    );
    assert_eq!(said["suspect_rows"], hurt.len(), "{said:#}");
    let posts = lab.before.rows["posts"].len();
    assert_eq!(same_rows(&lab, "part", TABLES[1]), (posts, posts - 1));
    // The same of TOAST: whoever does not ask for it does not get what somebody else has let pass.
    lab.target.psql("postgres", "drop database part");
    let run = lab.salvage("part", &[]);
    assert_eq!(run.status, 6, "{run}");
    let said = account(&run);
    assert_eq!(lost_values(&said), hurt, "{said:#}");
    let why = said["lost_columns"][0]["cause"]["message"].as_str();
    assert!(
        why.is_some_and(|why| why.contains("its checksum is wrong")),
        "{said:#}"
    );
    assert_eq!(
        lab.target
            .psql("part", "select count(*) from posts where body is null"),
        hurt.len().to_string()
    );

    // Values of which nothing is left are lost as they are without it, and nobody asks for each once more.
    let gone = lab.before.toasted_at(|(block, _)| block >= LEFT);
    let run = lab.salvage("rest", &in_doubt);
    assert_eq!(run.status, 6, "{run}");
    let said = account(&run);
    assert_eq!(lost_values(&said), gone, "{said:#}");
    assert_eq!(said["suspect_rows"], hurt.len(), "{said:#}");
    assert_eq!(
        same_rows(&lab, "rest", TABLES[1]),
        (posts, posts - 1 - gone.len())
    );
    let journal = fs::read_to_string(run.path("run/salvage.journal")).expect("a journal");
    let in_doubt = journal
        .lines()
        .filter(|line| line.contains("\"what\":\"asked\"") && line.contains("\"doubtful\":true"));
    assert_eq!(in_doubt.count(), hurt.len(), "{journal}");
}

/// Somebody else's session on the server, which ends with this value.
struct Visitor(Child);

impl Visitor {
    fn of(server: &Server) -> Self {
        let mut psql = server.tool("psql");
        psql.args(["-X", "-d", &server.conninfo("postgres")])
            .args(["-c", "select pg_sleep(120)"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let visitor = Self(psql.spawn().expect("psql starts"));
        let began = Instant::now();
        let is_there = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'";
        while server.psql("postgres", is_there) != "1" {
            assert!(began.elapsed() < Duration::from_secs(20), "nobody comes");
            sleep(Duration::from_millis(50));
        }
        visitor
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn pages_taken_for_empty_are_lost_and_a_server_in_use_is_refused() {
    let header = cases().into_iter().filter(|case| case.name == "header");
    let cases: Vec<Case> = header.chain([harmless("sound", |_| {})]).collect();
    let Some(lab) = Lab::start(16, true, &cases) else {
        return;
    };
    let block = places(&lab, |(block, _)| block == 1);
    let both = ["--ignore-checksum-failure", "--zero-damaged-pages"];
    let run = lab.salvage("header", &both);
    assert_eq!(run.status, 6, "{run}");
    let said = account(&run);
    assert_eq!(said["lost_rows"]["certain"], block.len(), "{said:#}");
    assert_eq!(said["suspect_file"], Value::Null, "{said:#}");
    assert!(!run.stderr.contains("source-in-use"), "{run}");

    lab.source
        .psql("postgres", "alter system set autovacuum = on");
    lab.source
        .psql("postgres", "select pg_reload_conf(), pg_sleep(0.2)");
    let source = lab.source.conninfo("header");
    let run = Pgconvoy::new(["salvage", "--survey", "--source", &source, both[1]]).run();
    assert_eq!(run.status, 2, "{run}");
    assert!(run.stderr.contains("the source is in use"), "{run}");

    // Where no damage is read all the same, that is only told.
    let _visitor = Visitor::of(&lab.source);
    let run = lab.salvage("sound", &[]);
    assert_eq!(run.status, 0, "{run}");
    for told in ["1 other sessions are connected to it", "autovacuum is on"] {
        let told = format!("warning: the source is in use: {told} [source-in-use]");
        assert!(run.stderr.contains(&told), "{run}");
    }
}
