//! Single pages overwritten at random: nothing brings the salvage down, nothing arrives that was not there, and it never says that all
//! is well if rows are missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use pgconvoy::pg::cluster::StopMode;

use crate::lab::{Lab, PAGE, TABLES, harmless, losses, rows_of};
use crate::support::binary::Pgconvoy;

/// Whether all of it is to be done.
fn is_whole() -> bool {
    std::env::var("PGCONVOY_SALVAGE").is_ok_and(|value| value == "whole")
}

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
    Some(value.parse().expect("a number"))
}

/// Which rounds: a few; with `PGCONVOY_SALVAGE=whole` a thousand, or those from `PGCONVOY_SALVAGE_FROM` on, as many as
/// `PGCONVOY_SALVAGE_ROUNDS`.
fn rounds() -> std::ops::Range<u64> {
    if !is_whole() {
        return 0..6;
    }
    let from = number("PGCONVOY_SALVAGE_FROM").unwrap_or(0);
    from..from + number("PGCONVOY_SALVAGE_ROUNDS").unwrap_or(1000)
}

/// What came of all rounds.
#[derive(Default)]
struct Figures {
    statuses: BTreeMap<i32, u64>,
    /// Rows that are in what `pg_dump` gets out, which is nothing if it fails.
    dumped: u64,
    dumps: u64,
    salvaged: u64,
    there: u64,
}

impl Figures {
    /// Appended to a file that `make test-salvage` adds up.
    fn keep(&self, rounds: &std::ops::Range<u64>) {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("salvage-figures.txt");
        let count = |status| self.statuses.get(&status).copied().unwrap_or(0);
        let line = format!(
            "rounds {} to {}: {} with 0, {} with 6, {} with 3, {} with 1; of {} rows salvaged {}; pg_dump succeeded {} times and got {}\n",
            rounds.start,
            rounds.end,
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

struct Dice(u64);

impl Dice {
    /// Those of a round.
    fn of(seed: u64, round: u64) -> Self {
        let mut dice = Self((seed ^ round.wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1);
        for _ in 0..8 {
            dice.roll(2);
        }
        dice
    }

    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        let number = self.roll(all.len() as u64);
        all[usize::try_from(number).expect("small")]
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

#[test]
fn pages_overwritten_at_random() {
    let cases = [harmless("shop", |_| {})];
    let Some(mut lab) = Lab::start(18, false, &cases) else {
        return;
    };
    let seed = number("PGCONVOY_SALVAGE_SEED").unwrap_or(0x5eed_5a17);
    let mut figures = Figures::default();
    let all: u64 = TABLES
        .iter()
        .map(|(table, _)| lab.before.rows[table].len() as u64)
        .sum();
    let source = lab.source.conninfo("shop");
    let target = lab.target.database("there");
    let relations = lab.source.psql(
        "shop",
        "select pg_relation_filepath(c.oid) from pg_class c left join pg_class p on p.reltoastrelid = c.oid \
         where c.relkind in ('r', 't', 'i') and c.oid >= 16384 and pg_relation_size(c.oid) > 0 order by 1",
    );
    let relations: Vec<&str> = relations.lines().collect();
    for round in rounds() {
        // Each round is what it is, whichever were before.
        let mut dice = Dice::of(seed, round);
        let path = lab.source.cluster.data_dir().join(dice.one_of(&relations));
        lab.source.cluster.stop(StopMode::Fast).expect("it stops");
        let before = fs::read(&path).expect("read");
        let block = dice.roll(before.len() as u64 / PAGE);
        let file = fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .expect("opened");
        // All of the page, or a few bytes in the midst of it.
        let (at, length) = match dice.roll(3) {
            0 => (0, PAGE),
            1 => (0, 24 + dice.roll(200)),
            _ => (dice.roll(PAGE - 64), 1 + dice.roll(63)),
        };
        let noise: Vec<u8> = (0..length)
            .map(|_| dice.roll(256).to_le_bytes()[0])
            .collect();
        file.write_all_at(&noise, block * PAGE + at)
            .expect("written");
        drop(file);
        lab.source.cluster.resume().expect("it starts");
        let what = format!(
            "seed {seed}, round {round}: {} bytes at {at} of block {block} of {}",
            length,
            path.display()
        );
        let run = Pgconvoy::new([
            "salvage",
            "--source",
            &source,
            "--target",
            &target,
            "--overwrite",
            "there",
            "--run-dir",
            "run",
        ])
        .run();
        assert!(matches!(run.status, 0 | 1 | 3 | 6), "{what}\n{run}");
        *figures.statuses.entry(run.status).or_default() += 1;
        figures.there += all;
        assert!(!run.stderr.contains("panicked"), "{what}\n{run}");
        if matches!(run.status, 0 | 6) {
            figures.salvaged += check(&lab, &what, &run);
        }
        if is_whole() && pg_dump(&lab) {
            figures.dumps += 1;
            figures.dumped += all;
        }
        // What pg_dump read may have crashed the server: one that recovers does not stop.
        let mut tries = 0..300;
        while lab.source.try_psql("postgres", "select 1").is_err() {
            assert!(
                tries.next().is_some(),
                "{what}: the server does not come back"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        lab.source.cluster.stop(StopMode::Fast).expect("it stops");
        fs::write(&path, &before).expect("written");
        lab.source.cluster.resume().expect("it starts");
    }
    figures.keep(&rounds());
}

/// Whether `pg_dump` gets anything out of it: it gives up at the first error.
fn pg_dump(lab: &Lab) -> bool {
    let dump = lab
        .source
        .tool("pg_dump")
        .args(["-Fc", "--no-sync", "-f", "/dev/null", "-d"])
        .arg(lab.source.conninfo("shop"))
        .output();
    dump.expect("pg_dump runs").status.success()
}

/// What is missing is in the account. Noise within a value cannot be told from a value, so that rows may differ, but not in number.
fn check(lab: &Lab, what: &str, run: &crate::support::binary::Finished) -> u64 {
    let account = losses(run);
    let tables = account["tables"].as_array().expect("a list");
    let accounts: BTreeMap<&str, &serde_json::Value> = tables
        .iter()
        .map(|table| (table["table"]["name"].as_str().expect("a name"), table))
        .collect();
    let mut salvaged = 0;
    for table in TABLES {
        let before: BTreeSet<String> = lab.before.rows[table.0].keys().cloned().collect();
        let there: BTreeSet<String> = rows_of(&lab.target, "there", table).into_keys().collect();
        let missing = before.difference(&there).count() as u64;
        salvaged += before.len() as u64 - missing;
        if missing == 0 {
            continue;
        }
        let rows = accounts.get(table.0).map(|account| &account["lost_rows"]);
        let covered = rows.is_some_and(|rows| {
            let bound = rows["certain"].as_u64().zip(rows["perhaps"].as_u64());
            rows["unknown"] == true
                || bound.is_some_and(|(certain, perhaps)| certain + perhaps >= missing)
        });
        // A key that the noise has made another is one missing and one extra.
        let changed = there.difference(&before).count() as u64;
        assert!(
            covered || missing <= changed,
            "{what}: {missing} rows of {} are missing: {account:#}\n{run}",
            table.0
        );
        assert!(run.status == 6 || missing <= changed, "{what}\n{run}");
    }
    salvaged
}
