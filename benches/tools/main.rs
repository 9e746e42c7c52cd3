//! The benchmark of tools: pgconvoy and what people use today take turns on the same pair of servers.
//!
//! ```text
//!   for each scenario and setting:        a pair of fresh clusters; the source is filled once
//!     for each round:
//!       for each tool, in another order:  a fresh target ─▶ the tool, under the meter ─▶ the independent check
//! ```
//!
//! A run whose result the independent check does not find equal has no time: it is listed as failed. `benches/README.md`
//! says how to run it and what each figure is. `make bench` hands its variables on as they are:
//!
//! ```text
//! cargo bench --bench tools -- SCENARIO="mix giant" TOOLS="move stock" SETTING=tuned ROUNDS=5 SCALE=1 FROM=18 TO=18
//! ```

#[path = "../../tests/support/mod.rs"]
mod support;

mod check;
mod foretold;
mod meter;
mod options;
mod pair;
mod profile;
mod report;
mod road;
mod run;
mod scenario;
mod tool;
mod usage;

use std::process::ExitCode;

use options::Options;
use pair::Pair;
use report::Report;
use run::{Conditions, Outcome};
use scenario::{Scenario, Setting};
use tool::Tool;

fn main() -> ExitCode {
    // cargo adds --bench of its own accord.
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    if let Some(arguments) = meter::arguments_in(&words) {
        return meter::main(&arguments);
    }
    match Options::parse(&words) {
        Ok(options) => run_all(&options),
        Err(said) => {
            eprintln!("{said}\n\n{}", options::usage());
            ExitCode::from(2)
        }
    }
}

/// Everything that was asked for. What cannot be run is said and left out; failed runs make the exit status 1.
fn run_all(options: &Options) -> ExitCode {
    let tools: Vec<Tool> = options
        .tools
        .iter()
        .filter(|tool| match tool.missing(options) {
            None => true,
            Some(reason) => {
                println!("{}: left out, {reason}", tool.name);
                false
            }
        })
        .copied()
        .collect();
    let mut all_well = true;
    for scenario in &options.scenarios {
        for setting in &options.settings {
            match run_scenario(options, scenario, *setting, &tools) {
                Ok(report) => all_well &= report.failures() == 0,
                Err(said) => {
                    all_well = false;
                    println!("{}, {}: {said}", scenario.name, setting.name());
                }
            }
        }
    }
    if all_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// All rounds of one scenario on one pair of servers. What there is so far is written after each round.
fn run_scenario(
    options: &Options,
    scenario: &Scenario,
    setting: Setting,
    tools: &[Tool],
) -> Result<Report, String> {
    eprintln!(
        "{}, {}: making two clusters and filling the source",
        scenario.name,
        setting.name()
    );
    let pair = Pair::start(options, scenario, setting)?;
    pair.fill(scenario, options)?;
    let mut report = Report::new(options, scenario, setting, &pair);
    let mut conditions = Conditions::new(options, &pair)?;
    for round in 0..options.rounds {
        for tool in in_turn(tools, round) {
            let outcome = conditions.run(&tool);
            eprintln!(
                "{}, {}, round {} of {}: {:<16} {}",
                scenario.name,
                setting.name(),
                round + 1,
                options.rounds,
                tool.name,
                said_of(&outcome)
            );
            report.add(round, &tool, outcome);
        }
        report.write(&options.output_dir)?;
    }
    println!("{report}");
    Ok(report)
}

/// Nobody always comes first, and nobody always comes after the same other: the order is turned on, and every second
/// time it is turned round.
fn in_turn(tools: &[Tool], round: usize) -> Vec<Tool> {
    let mut order = tools.to_vec();
    if !order.is_empty() {
        order.rotate_left(round % tools.len());
    }
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

fn said_of(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Equal(figures) => format!(
            "{:>8.2} s, client {:.2} s of CPU, equal",
            figures.wall_s, figures.client_cpu_s
        ),
        Outcome::Failed(reason) => format!("does not count: {reason}"),
    }
}
