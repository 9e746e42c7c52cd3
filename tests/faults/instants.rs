//! Kills at random instants, and what resumes as well.

use std::time::{Duration, Instant};

use crate::case::{Before, Case};
use crate::figures::{Figures, whole};
use crate::lab::{Fixture, Lab};
use crate::support::binary::{Finished, Pgconvoy};

/// Instants in all, when everything is asked for.
const INSTANTS: u64 = 100;
const PARTS: u64 = 5;
/// By default.
const SELECTED: u64 = 4;
/// Of three runs, one is killed once, one twice, one three times.
const MOST_KILLS: u64 = 3;

/// The same every time, unless somebody asks for other ones.
fn seed() -> u64 {
    let seed = std::env::var("PGCONVOY_FAULTS_SEED").ok();
    seed.map_or(20_261_123, |seed| {
        seed.parse().expect("PGCONVOY_FAULTS_SEED is a number")
    })
}

/// splitmix64, of Steele, Lea and Flood.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

/// Runs it, and kills it after a while unless it ends before.
fn killed_after(run: Pgconvoy, after: Duration) -> Finished {
    let mut running = run.start();
    let began = Instant::now();
    while running.is_running() && began.elapsed() < after {
        std::thread::sleep(Duration::from_millis(1));
    }
    if running.is_running() {
        running.kill();
    }
    running.finish()
}

fn one(
    lab: &mut Lab,
    dice: &mut Dice,
    figures: &mut Figures,
    fixture: Fixture,
) -> Result<(), String> {
    let took = lab.reference(fixture).took;
    let longest = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let kills = 1 + dice.roll(MOST_KILLS);
    let instants: Vec<Duration> = (0..kills)
        .map(|_| Duration::from_micros(dice.roll(longest)))
        .collect();
    let title = format!("{} killed after {instants:?}", fixture.name());
    println!("{title}");
    let mut case = Case::new(lab, fixture, &title, Before::Empty);
    let mut run = case.move_it();
    for &instant in &instants {
        let ended = killed_after(run, instant);
        match ended.status {
            -1 => figures.faults += 1,
            // Done before its instant came; or killed before there was anything to go on with, which is then said.
            0 | 2 => break,
            _ => return Err(case.said("it was not killed, and did not end well", &ended)),
        }
        run = case.resume();
    }
    let finished = case.finish(lab, figures)?;
    case.look(lab).map_err(|said| case.said(&said, &finished))?;
    case.clean_up(lab);
    Ok(())
}

fn part(number: u64) {
    let count = if whole() { INSTANTS / PARTS } else { SELECTED };
    let fixtures = [Fixture::Zoo, Fixture::Mastodon];
    let Some(mut lab) = Lab::start(&fixtures) else {
        return;
    };
    let seed = seed() + number;
    println!("seed {seed}: PGCONVOY_FAULTS_SEED={}", seed - number);
    let mut dice = Dice(seed);
    let mut figures = Figures::default();
    for index in 0..count {
        let fixture = if index % 2 == 0 {
            Fixture::Zoo
        } else {
            Fixture::Mastodon
        };
        if let Err(said) = one(&mut lab, &mut dice, &mut figures, fixture) {
            println!("not as it should be");
            figures.failures.push(format!("seed {seed}\n{said}"));
        }
    }
    figures.conclude();
}

#[test]
fn faults_at_random_instants_0() {
    part(0);
}

#[test]
#[ignore = "more of them: make test-faults"]
fn faults_at_random_instants_1() {
    part(1);
}

#[test]
#[ignore = "more of them: make test-faults"]
fn faults_at_random_instants_2() {
    part(2);
}

#[test]
#[ignore = "more of them: make test-faults"]
fn faults_at_random_instants_3() {
    part(3);
}

#[test]
#[ignore = "more of them: make test-faults"]
fn faults_at_random_instants_4() {
    part(4);
}
