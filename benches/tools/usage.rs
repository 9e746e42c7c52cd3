//! What a server has used so far, as `/proc` tells it of the postmaster and its children.
//!
//! When a backend has ended and the postmaster has waited for it, the kernel adds what it used to the postmaster's own account
//! of its children: CPU time in `stat`, bytes in `io`. So the sum of the postmaster, its ended children and its living
//! ones never loses anything.

use std::fs;
use std::ops::Sub;

/// `USER_HZ`: what `/proc` counts CPU time in, whatever the kernel's own clock does.
const TICKS_PER_SECOND: f64 = 100.0;

/// Readings during which the postmaster waited for a child may count that child twice or not at all.
const READINGS: usize = 20;

/// The sum over a server's processes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    pub cpu_s: f64,
    /// `write_bytes`: what was made dirty in the page cache, of data, WAL and temporary files alike. `None` where the kernel
    /// does not count it, or not for us.
    pub written_bytes: Option<u64>,
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            cpu_s: self.cpu_s - earlier.cpu_s,
            written_bytes: self
                .written_bytes
                .zip(earlier.written_bytes)
                .map(|(now, then)| now.saturating_sub(then)),
        }
    }
}

/// Reads what a server has used since it was started.
pub fn of_server(postmaster: u32) -> Result<Usage, String> {
    let mut latest = None;
    for _ in 0..READINGS {
        let before = stat(postmaster)?;
        let sum = sum_with_children(postmaster, &before);
        let undisturbed = stat(postmaster)?.ended_children_ticks == before.ended_children_ticks;
        latest = Some(sum);
        if undisturbed {
            break;
        }
    }
    latest.ok_or_else(|| "nothing was read".to_owned())
}

fn sum_with_children(postmaster: u32, its_stat: &Stat) -> Usage {
    let mut ticks = its_stat.own_ticks + its_stat.ended_children_ticks;
    let mut written = written_bytes(postmaster);
    for pid in processes() {
        let Ok(child) = stat(pid) else {
            continue;
        };
        if child.parent == postmaster {
            ticks += child.own_ticks + child.ended_children_ticks;
            written = written.map(|sum| sum + written_bytes(pid).unwrap_or(0));
        }
    }
    Usage {
        cpu_s: ticks as f64 / TICKS_PER_SECOND,
        written_bytes: written,
    }
}

fn processes() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// What of `/proc/PID/stat` is of use here (proc(5)).
struct Stat {
    parent: u32,
    own_ticks: u64,
    /// Of children that have ended and been waited for, and theirs.
    ended_children_ticks: u64,
}

fn stat(pid: u32) -> Result<Stat, String> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    parse_stat(&text).ok_or_else(|| format!("{path} is not as expected: {text}"))
}

/// The second field is the command in parentheses, and may hold anything, parentheses and blanks as well.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(Stat {
        parent: fields.get(1)?.parse().ok()?,
        own_ticks: ticks(11)? + ticks(12)?,
        ended_children_ticks: ticks(13)? + ticks(14)?,
    })
}

fn written_bytes(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "))?;
    line.trim().parse().ok()
}
