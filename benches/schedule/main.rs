//! How good the schedule is, on more cores than the machine at hand has: the real plan and the real ready queue, jobs that
//! take what a recorded run says they take, give or take 30 %, and no server.
//!
//! ```text
//!   cargo bench --bench schedule
//! ```
//!
//! Each line is a database, each column a number of workers; the first figure is the time against the larger of work / workers
//! and the longest chain, the second against the strict floor, which knows of table locks as well. `tests/schedule.rs` holds them.

mod course;
mod database;
mod dice;
mod scenarios;

use std::time::Instant;

const WORKERS: [u32; 6] = [4, 8, 16, 32, 64, 128];

fn main() {
    let began = Instant::now();
    let heads: Vec<String> = WORKERS.iter().map(|count| format!("{count:>13}")).collect();
    println!("{:18}{}", "workers", heads.concat());
    for scenario in scenarios::all() {
        let cells: Vec<String> = WORKERS
            .iter()
            .map(|&workers| {
                let course = course::run(&scenario.database.plan(workers));
                format!("{:>7.2} {:>5.2}", course.ratio(), course.strict_ratio())
            })
            .collect();
        println!("{:18}{}", scenario.name, cells.concat());
    }
    println!("in {:.1} s", began.elapsed().as_secs_f64());
}
