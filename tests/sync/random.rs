//! Random tables with random types and values, of which some rows are changed on either side: brought over, they are the same.
//!
//! `PGCONVOY_SYNC=whole` takes many more; `PGCONVOY_RANDOM_SEED` other ones.

use crate::random_tables::damage::Plan;
use crate::random_tables::dice::Dice;
use crate::random_tables::tables::Database;
use crate::scene::{Scene, figures, quiet};
use crate::support::moving::{assert_proven, move_with};

const TABLES: u64 = 30;
const ROUNDS: u64 = 2;

#[test]
fn whatever_is_changed_on_either_side_is_brought_over() {
    let (Some(source), Some(target)) = (quiet(15), quiet(18)) else {
        return;
    };
    let seed = std::env::var("PGCONVOY_RANDOM_SEED").ok();
    let seed = seed.map_or(20_270, |seed| seed.parse().expect("a number"));
    println!("to see this again: PGCONVOY_RANDOM_SEED={seed}");
    let is_whole = std::env::var("PGCONVOY_SYNC").is_ok_and(|wanted| wanted == "whole");
    let databases = if is_whole { 8 } else { 1 };
    for number in 0..databases {
        let mut dice = Dice::of_part(seed, number);
        let database = Database::random(dice.next(), TABLES, 15);
        let name = format!("random {number}");
        let (from, to) = (source.database(&name), target.database(&name));
        source.psql(&name, &database.script);
        assert_proven(&move_with(&from, &to, &[]));
        let scene = Scene {
            source: &source,
            target: &target,
            database: &name,
        };
        let mut changed = 0;
        for round in 0..ROUNDS {
            for server in [&source, &target] {
                let victims = database.tables.iter().filter(|_| dice.below(5) < 2);
                let victims: Vec<_> = victims.collect();
                let plan = Plan::new(victims, &database.pool, &mut dice);
                changed += plan.done(&server.psql(&name, &plan.script)).len();
            }
            let done = scene.bring_over();
            println!("{name}, round {round}: {changed} changes so far, {done}");
            assert!(figures(&done, "no such table").is_none());
        }
        assert!(changed > 20, "{changed}");
    }
}
