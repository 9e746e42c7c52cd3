//! Holds what `cargo bench --bench schedule` shows: the real plan and the real ready queue keep many workers busy; and a plan
//! is no longer than its database is large.

#[path = "../benches/schedule/course.rs"]
mod course;
#[path = "../benches/schedule/database.rs"]
mod database;
#[path = "../benches/schedule/dice.rs"]
mod dice;
#[path = "../benches/schedule/scenarios.rs"]
mod scenarios;

use pgconvoy::plan::Plan;

/// The benchmark shows those between as well.
const WORKERS: [u32; 4] = [4, 8, 32, 128];

/// How far above its floor a schedule may be.
const MOST: f64 = 1.10;

/// Where it is more, and why.
const ABOVE: [(&str, f64, &str); 2] = [
    (
        "star",
        1.32,
        "reading the fact table back holds up its primary key, which wants the table for itself, and twelve foreign keys behind that",
    ),
    (
        "many, crowded",
        1.27,
        "comments are made last of all, and batch after batch, in the archive's order",
    ),
];

/// Up to so many workers, a social network's database is above the plain floor by no more than [`MOST`] either. With more of
/// them, what is left is the foreign keys of its largest table, which exclude each other.
const PLAIN: ([&str; 2], u32) = (["mastodon", "mastodon x 100"], 8);

#[test]
fn no_schedule_is_far_above_its_floor() {
    let mut said = Vec::new();
    for scenario in scenarios::all() {
        let name = scenario.name;
        let above = ABOVE.iter().find(|(scenario, ..)| *scenario == name);
        let most = above.map_or(MOST, |(_, most, _)| *most);
        for workers in WORKERS {
            let course = course::run(&scenario.database.plan(workers));
            let ratio = course.strict_ratio();
            assert!(ratio >= 1.0, "{name} on {workers}: below its floor");
            if ratio > most {
                said.push(format!(
                    "{name} on {workers}: {ratio:.3} of the strict floor"
                ));
            }
            let plain = PLAIN.0.contains(&name) && workers <= PLAIN.1;
            if plain && course.ratio() > MOST {
                said.push(format!(
                    "{name} on {workers}: {:.3} of the floor",
                    course.ratio()
                ));
            }
        }
    }
    assert!(said.is_empty(), "{}", said.join("\n"));
}

#[test]
fn a_plan_grows_with_its_database_and_not_faster() {
    let small = measure(&scenarios::crowded(1000).plan(4));
    let large = measure(&scenarios::crowded(4000).plan(4));
    // Four times the tables, and a little for the numbers that get longer.
    assert!(large.waits * 10 <= small.waits * 45, "{small:?} {large:?}");
    assert!(large.locks * 10 <= small.locks * 45, "{small:?} {large:?}");
    assert!(large.json * 10 <= small.json * 45, "{small:?} {large:?}");
    // Each of these tables has a key, an index, a foreign key and a comment.
    assert!(large.json / 4000 <= 3_500, "{large:?}");
}

/// What a plan consists of.
#[derive(Debug)]
struct Size {
    /// How often a job waits for another.
    waits: usize,
    /// How often a job locks a table.
    locks: usize,
    /// Bytes of JSON.
    json: usize,
}

fn measure(plan: &Plan) -> Size {
    Size {
        waits: plan.jobs.iter().map(|job| job.after.len()).sum(),
        locks: plan.jobs.iter().map(|job| job.locks.len()).sum(),
        json: serde_json::to_string(plan).expect("is JSON").len(),
    }
}
