//! Single pages overwritten at random: nothing brings the salvage down, nothing arrives that was not there, and it never says that all
//! is well if rows are missing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::FileExt as _;

use pgconvoy::pg::cluster::StopMode;

use crate::lab::{Lab, PAGE, TABLES, harmless, losses, rows_of};
use crate::support::binary::Pgconvoy;

/// How many; `PGCONVOY_SALVAGE=whole` is a thousand.
fn rounds() -> u64 {
    let whole = std::env::var("PGCONVOY_SALVAGE").is_ok_and(|value| value == "whole");
    if whole { 1000 } else { 10 }
}

struct Dice(u64);

impl Dice {
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
fn heavy_pages_overwritten_at_random() {
    let cases = [harmless("shop", |_| {})];
    let Some(mut lab) = Lab::start(18, false, &cases) else {
        return;
    };
    let seed = std::env::var("PGCONVOY_SALVAGE_SEED")
        .ok()
        .map_or(0x5eed_5a17, |seed| seed.parse().expect("a number"));
    let mut dice = Dice(seed);
    let source = lab.source.conninfo("shop");
    let target = lab.target.database("there");
    let relations = lab.source.psql(
        "shop",
        "select pg_relation_filepath(c.oid) from pg_class c left join pg_class p on p.reltoastrelid = c.oid \
         where c.relkind in ('r', 't', 'i') and c.oid >= 16384 and pg_relation_size(c.oid) > 0 order by 1",
    );
    let relations: Vec<&str> = relations.lines().collect();
    for round in 0..rounds() {
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
        assert!(!run.stderr.contains("panicked"), "{what}\n{run}");
        if matches!(run.status, 0 | 6) {
            check(&lab, &what, &run);
        }
        lab.source.cluster.stop(StopMode::Fast).expect("it stops");
        fs::write(&path, &before).expect("written");
        lab.source.cluster.resume().expect("it starts");
    }
}

/// What is missing is in the account. Noise within a value cannot be told from a value, so that rows may differ, but not in number.
fn check(lab: &Lab, what: &str, run: &crate::support::binary::Finished) {
    let account = losses(run);
    let tables = account["tables"].as_array().expect("a list");
    let accounts: BTreeMap<&str, &serde_json::Value> = tables
        .iter()
        .map(|table| (table["table"]["name"].as_str().expect("a name"), table))
        .collect();
    for table in TABLES {
        let before: BTreeSet<String> = lab.before.rows[table.0].keys().cloned().collect();
        let there: BTreeSet<String> = rows_of(&lab.target, "there", table).into_keys().collect();
        let missing = before.difference(&there).count() as u64;
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
}
