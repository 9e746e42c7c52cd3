//! Noise over pages of a database, by dice that fall the same way each time; and what is held against what comes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::lab::{PAGE, losses};
use crate::support::binary::Finished;
use crate::support::server::Server;

/// A number that the environment has, if it has one of that name.
pub fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
    Some(value.parse().expect("a number"))
}

/// Whether all of it is to be done.
pub fn is_whole() -> bool {
    std::env::var("PGCONVOY_SALVAGE").is_ok_and(|value| value == "whole")
}

/// Pages from `PGCONVOY_SALVAGE_FROM` on, as many as `PGCONVOY_SALVAGE_ROUNDS`; otherwise a thousand.
pub fn pages() -> Range<u64> {
    let from = number("PGCONVOY_SALVAGE_FROM").unwrap_or(0);
    from..from + number("PGCONVOY_SALVAGE_ROUNDS").unwrap_or(1000)
}

/// What all dice begin with.
pub fn seed() -> u64 {
    number("PGCONVOY_SALVAGE_SEED").unwrap_or(0x5eed_5a17)
}

pub struct Dice(u64);

impl Dice {
    /// Those of a round.
    pub fn of(seed: u64, round: u64) -> Self {
        let mut dice = Self((seed ^ round.wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1);
        for _ in 0..8 {
            dice.roll(2);
        }
        dice
    }

    pub fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        let number = self.roll(all.len() as u64);
        all[usize::try_from(number).expect("small")]
    }

    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

/// The files of tables, of their TOAST, and of indexes of users, within the data directory.
pub fn relations(source: &Server, database: &str) -> Vec<String> {
    let paths = source.psql(
        database,
        "select pg_relation_filepath(c.oid) from pg_class c left join pg_class p on p.reltoastrelid = c.oid \
         where c.relkind in ('r', 't', 'i') and c.oid >= 16384 and pg_relation_size(c.oid) > 0 order by 1",
    );
    paths.lines().map(str::to_owned).collect()
}

/// Overwrites a page of a file: all of it, its beginning, or a few bytes in the midst of it. Says what was done.
pub fn overwrite(path: &Path, block: u64, dice: &mut Dice) -> String {
    let (at, length) = match dice.roll(3) {
        0 => (0, PAGE),
        1 => (0, 24 + dice.roll(200)),
        _ => (dice.roll(PAGE - 64), 1 + dice.roll(63)),
    };
    let noise: Vec<u8> = (0..length)
        .map(|_| dice.roll(256).to_le_bytes()[0])
        .collect();
    let file = fs::OpenOptions::new().write(true).open(path);
    let file = file.expect("opened");
    file.write_all_at(&noise, block * PAGE + at)
        .expect("written");
    format!(
        "{length} bytes at {at} of block {block} of {}",
        path.display()
    )
}

/// How many pages a file has.
pub fn blocks(path: &Path) -> u64 {
    fs::metadata(path).expect("it is there").len() / PAGE
}

/// The files of a database as they are. A round writes noise into some, and the server notes in others what it has come upon: all of it is
/// taken back, so that each round is what it is, whichever were before.
pub struct Kept(BTreeMap<PathBuf, (Vec<u8>, SystemTime)>);

impl Kept {
    /// Those in a directory, of a server that is stopped.
    pub fn of(directory: &Path) -> Self {
        let entries = fs::read_dir(directory).expect("it can be read").flatten();
        let files = entries.filter_map(|entry| {
            let path = entry.path();
            let name = entry.file_name();
            let is_a_relation = name.to_str()?.starts_with(|c: char| c.is_ascii_digit());
            is_a_relation.then(|| {
                let bytes = fs::read(&path).expect("read");
                let written = written(&path);
                (path, (bytes, written))
            })
        });
        Self(files.collect())
    }

    /// Takes back what was written.
    pub fn put_back(&mut self) {
        for (path, (bytes, when)) in &mut self.0 {
            if written(path) != *when {
                fs::write(path, &*bytes).expect("written");
                *when = written(path);
            }
        }
    }
}

/// When a file was written last.
fn written(path: &Path) -> SystemTime {
    let facts = fs::metadata(path).expect("it is there");
    facts.modified().expect("it is known")
}

/// What came of all rounds.
#[derive(Default)]
pub struct Figures {
    pub statuses: BTreeMap<i32, u64>,
    /// Rows that are in what `pg_dump` gets out, which is nothing if it fails.
    pub dumped: u64,
    pub dumps: u64,
    pub salvaged: u64,
    pub there: u64,
}

impl Figures {
    /// Printed, and appended to a file that `make test-salvage` shows. `what` says of what, and how often.
    pub fn keep(&self, what: &str) {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("salvage-figures.txt");
        let count = |status| self.statuses.get(&status).copied().unwrap_or(0);
        let line = format!(
            "{what}: {} with 0, {} with 6, {} with 3, {} with 1; of {} rows salvaged {}; pg_dump succeeded {} times and got {}\n",
            count(0),
            count(6),
            count(3),
            count(1),
            self.there,
            self.salvaged,
            self.dumps,
            self.dumped
        );
        print!("{line}");
        let file = fs::OpenOptions::new().append(true).create(true).open(&path);
        file.and_then(|mut file| file.write_all(line.as_bytes()))
            .expect("the figures are kept");
    }
}

/// Whether `pg_dump` gets anything out of it: it gives up at the first error.
pub fn pg_dump(source: &Server, database: &str) -> bool {
    let dump = source
        .tool("pg_dump")
        .args(["-Fc", "-Z", "0", "--no-sync", "-f", "/dev/null", "-d"])
        .arg(source.conninfo(database))
        .output();
    dump.expect("pg_dump runs").status.success()
}

/// What `pg_dump` read may have crashed the server: one that recovers does not stop.
pub fn wait_for(server: &Server, what: &str) {
    let mut tries = 0..300;
    while server.try_psql("postgres", "select 1").is_err() {
        assert!(
            tries.next().is_some(),
            "{what}: the server does not come back"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What is missing of each table is in the account: how many rows are not. Noise within a value cannot be told from a value, so that rows
/// may differ, but not in number.
pub fn check(
    tables: &[(&str, &BTreeSet<String>, BTreeSet<String>)],
    what: &str,
    run: &Finished,
) -> u64 {
    let account = losses(run);
    let listed = account["tables"].as_array().expect("a list");
    let accounts: BTreeMap<&str, &Value> = listed
        .iter()
        .map(|table| (table["table"]["name"].as_str().expect("a name"), table))
        .collect();
    let mut salvaged = 0;
    for (table, before, there) in tables {
        let missing = before.difference(there).count() as u64;
        salvaged += before.len() as u64 - missing;
        if missing == 0 {
            continue;
        }
        let rows = accounts.get(table).map(|account| &account["lost_rows"]);
        let covered = rows.is_some_and(|rows| {
            let bound = rows["certain"].as_u64().zip(rows["perhaps"].as_u64());
            rows["unknown"] == true
                || bound.is_some_and(|(certain, perhaps)| certain + perhaps >= missing)
        });
        // A key that the noise has made another is one missing and one extra.
        let changed = there.difference(before).count() as u64;
        assert!(
            covered || missing <= changed,
            "{what}: {missing} rows of {table} are missing: {account:#}\n{run}"
        );
        assert!(run.status == 6 || missing <= changed, "{what}\n{run}");
    }
    salvaged
}
