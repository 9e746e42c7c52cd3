//! Single pages overwritten at random: nothing brings the salvage down, nothing arrives that was not there, and it never says that all
//! is well if rows are missing.

use std::collections::BTreeSet;

use pgconvoy::pg::cluster::StopMode;

use crate::lab::{Lab, TABLES, harmless, rows_of};
use crate::noise::{
    self, Dice, Figures, Kept, blocks, is_whole, overwrite, pg_dump, relations, seed, wait_for,
};
use crate::support::binary::{Finished, Pgconvoy};

/// Which rounds: a few; with `PGCONVOY_SALVAGE=whole` a page each of those that are asked for.
fn rounds() -> std::ops::Range<u64> {
    if is_whole() { noise::pages() } else { 0..6 }
}

#[test]
fn pages_overwritten_at_random() {
    let cases = [harmless("shop", |_| {})];
    let Some(mut lab) = Lab::start(18, false, &cases) else {
        return;
    };
    let mut figures = Figures::default();
    let all: u64 = TABLES
        .iter()
        .map(|(table, _)| lab.before.rows[table].len() as u64)
        .sum();
    let source = lab.source.conninfo("shop");
    let target = lab.target.database("there");
    let relations = relations(&lab.source, "shop");
    let relations: Vec<&str> = relations.iter().map(String::as_str).collect();
    lab.source.cluster.stop(StopMode::Fast).expect("it stops");
    let data = lab.source.cluster.data_dir();
    let directory = data.join(relations[0]);
    let mut kept = Kept::of(directory.parent().expect("a directory"));
    for round in rounds() {
        // Each round is what it is, whichever were before.
        let mut dice = Dice::of(seed(), round);
        let path = data.join(dice.one_of(&relations));
        let block = dice.roll(blocks(&path));
        let done = overwrite(&path, block, &mut dice);
        lab.source.cluster.resume().expect("it starts");
        let what = format!("seed {}, round {round}: {done}", seed());
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
        if is_whole() && pg_dump(&lab.source, "shop") {
            figures.dumps += 1;
            figures.dumped += all;
        }
        wait_for(&lab.source, &what);
        lab.source.cluster.stop(StopMode::Fast).expect("it stops");
        kept.put_back();
    }
    let rounds = rounds();
    figures.keep(&format!("rounds {} to {}", rounds.start, rounds.end));
}

fn check(lab: &Lab, what: &str, run: &Finished) -> u64 {
    let before: Vec<BTreeSet<String>> = TABLES
        .iter()
        .map(|(table, _)| lab.before.rows[table].keys().cloned().collect())
        .collect();
    let tables = TABLES.iter().zip(&before).map(|(table, before)| {
        let there = rows_of(&lab.target, "there", *table);
        let there: BTreeSet<String> = there.into_keys().collect();
        (table.0, before, there)
    });
    noise::check(&tables.collect::<Vec<_>>(), what, run)
}
