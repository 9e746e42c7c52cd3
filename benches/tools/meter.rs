//! The meter: runs a line of shell in a process of its own, so that what the kernel counts is the tool's alone.
//!
//! This executable starts itself once more for each run:
//!
//! ```text
//!   benchmark ──▶ meter (this executable) ──▶ bash ──▶ the tool, and whatever it starts
//! ```
//!
//! CPU time and peak memory are what the kernel reports of the meter's children (`getrusage`). A process that its parent
//! left behind, as pgconvoy leaves its keeper, becomes the meter's child and is waited for: its CPU counts, its time doesn't.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::prctl::set_child_subreaper;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use serde::{Deserialize, Serialize};

/// The first word of our own command line when we are the meter.
const WORD: &str = "meter";

const POLL: Duration = Duration::from_millis(5);

/// How long a process may outlive the tool that started it.
const LONGEST_AFTERMATH: Duration = Duration::from_secs(30);

/// What a run of a tool cost its client.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Metered {
    /// Its exit status; `None` if a signal ended it.
    pub status: Option<i32>,
    pub wall_s: f64,
    /// Of the tool and of everything that it started.
    pub cpu_s: f64,
    /// The largest resident set of a single process among them.
    pub peak_bytes: u64,
}

/// Where the meter writes what it measured, and what it runs.
#[derive(Debug)]
pub struct Arguments {
    figures: PathBuf,
    script: String,
}

/// The meter's arguments, if we have been started as the meter.
pub fn arguments_in(words: &[String]) -> Option<Arguments> {
    match words {
        [first, figures, script] if first == WORD => Some(Arguments {
            figures: figures.into(),
            script: script.clone(),
        }),
        _ => None,
    }
}

/// Runs a script under the meter, with the environment given and no other. Its output, stdout and stderr, goes to a file.
pub fn run(
    script: &str,
    environment: &[(&str, String)],
    directory: &Path,
    output: &Path,
) -> Result<Metered, String> {
    let explain = |error: std::io::Error| format!("the meter: {error}");
    let figures = directory.join("metered.json");
    let log = File::create(output).map_err(explain)?;
    let status = Command::new(std::env::current_exe().map_err(explain)?)
        .args([WORD.as_ref(), figures.as_os_str(), script.as_ref()])
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(log.try_clone().map_err(explain)?)
        .stderr(log)
        .status()
        .map_err(explain)?;
    if !status.success() {
        return Err(format!("the meter failed: {status}"));
    }
    let text = fs::read(&figures).map_err(explain)?;
    serde_json::from_slice(&text).map_err(|error| format!("the meter's figures: {error}"))
}

/// The meter itself. Its exit status says whether it could measure, not whether the tool succeeded.
pub fn main(arguments: &Arguments) -> ExitCode {
    match measure(&arguments.script).and_then(|metered| write(&arguments.figures, &metered)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the meter: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(script: &str) -> std::io::Result<Metered> {
    set_child_subreaper(true)?;
    let began = Instant::now();
    let status = Command::new("bash")
        .args(["-e", "-u", "-o", "pipefail", "-c", script])
        .status()?;
    let wall = began.elapsed();
    wait_for_the_rest();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu = usage.user_time() + usage.system_time();
    Ok(Metered {
        status: status.code(),
        wall_s: wall.as_secs_f64(),
        cpu_s: cpu.num_microseconds() as f64 / 1e6,
        // Linux counts it in kB.
        peak_bytes: u64::try_from(usage.max_rss()).unwrap_or(0) * 1024,
    })
}

/// Waits for what the tool left behind. What lasts longer than that is left alone, and does not count.
fn wait_for_the_rest() {
    let began = Instant::now();
    while began.elapsed() < LONGEST_AFTERMATH {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => sleep(POLL),
            Ok(_) => {}
            // There is no child any more.
            Err(_) => return,
        }
    }
}

fn write(figures: &Path, metered: &Metered) -> std::io::Result<()> {
    fs::write(figures, serde_json::to_vec(metered)?)
}
