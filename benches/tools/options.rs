//! What is asked for: words of the form `NAME=value`, the same as after `make bench`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::scenario::{SCENARIOS, Scenario, Setting};
use crate::tool::{TOOLS, Tool};

/// What is run, and how.
#[derive(Debug)]
pub struct Options {
    pub scenarios: Vec<Scenario>,
    pub settings: Vec<Setting>,
    pub tools: Vec<Tool>,
    pub rounds: usize,
    /// What the scenarios' sizes are multiplied by.
    pub scale: f64,
    /// Major version of the source.
    pub from: u32,
    /// Major version of the target.
    pub to: u32,
    /// What every tool is told with `-j`.
    pub jobs: usize,
    /// Whether sessions are sampled while the tools run.
    pub profile: bool,
    /// What archives are compressed with, as `-Z` has it.
    pub compression: String,
    /// Another build of pgconvoy, for the tool `base`.
    pub base: Option<PathBuf>,
    /// Where the JSON goes.
    pub output_dir: PathBuf,
}

impl Options {
    /// Reads the words; what is wrong with them, if something is. An empty value is the default.
    pub fn parse(words: &[String]) -> Result<Self, String> {
        let mut options = Self::usual();
        for word in words {
            let (name, value) = word
                .split_once('=')
                .ok_or_else(|| format!("{word} is not of the form NAME=value"))?;
            if !value.trim().is_empty() {
                options.set(name, value.trim())?;
            }
        }
        Ok(options)
    }

    fn usual() -> Self {
        let target_dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
        Self {
            scenarios: SCENARIOS.to_vec(),
            settings: Setting::ALL.to_vec(),
            tools: TOOLS.iter().filter(|tool| tool.is_usual).copied().collect(),
            rounds: 5,
            scale: 1.0,
            from: 18,
            to: 18,
            jobs: std::thread::available_parallelism().map_or(1, usize::from),
            profile: false,
            compression: "none".to_owned(),
            base: None,
            output_dir: target_dir.parent().unwrap_or(target_dir).join("bench"),
        }
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let number = |what: &str| format!("{name}={value} is not {what}");
        match name {
            "SCENARIO" => {
                self.scenarios = listed(value, |word| find(word, &SCENARIOS, |s| s.name))?;
            }
            "SETTING" => {
                self.settings = listed(value, |word| find(word, &Setting::ALL, |s| s.name()))?;
            }
            "TOOLS" => self.tools = listed(value, |word| find(word, &TOOLS, |tool| tool.name))?,
            "ROUNDS" => self.rounds = value.parse().map_err(|_| number("a number of rounds"))?,
            "SCALE" => {
                self.scale = value.parse().map_err(|_| number("a number"))?;
                if !(self.scale > 0.0 && self.scale.is_finite()) {
                    return Err(number("a scale"));
                }
            }
            "FROM" => self.from = value.parse().map_err(|_| number("a major version"))?,
            "TO" => self.to = value.parse().map_err(|_| number("a major version"))?,
            "JOBS" => self.jobs = value.parse().map_err(|_| number("a number of jobs"))?,
            "PROFILE" => self.profile = !matches!(value, "0" | "no" | "off"),
            "COMPRESSION" => value.clone_into(&mut self.compression),
            "BASE" => self.base = Some(PathBuf::from(value)),
            _ => return Err(format!("there is no {name}")),
        }
        Ok(())
    }
}

/// What there is to ask for.
pub fn usage() -> String {
    let mut text = String::from(
        "NAME=value, each with its default if left out:\n\
         \x20 SCENARIO  some of those below (default: all)\n\
         \x20 SETTING   some of: tuned default (default: both)\n\
         \x20 TOOLS     some of those below (default: those marked *)\n\
         \x20 ROUNDS    how often each tool has its turn (5)\n\
         \x20 SCALE     what the sizes are multiplied by (1)\n\
         \x20 FROM, TO  major versions of the two servers (18)\n\
         \x20 JOBS      what every tool is told with -j (all cores)\n\
         \x20 PROFILE   1: sample the sessions of both servers while a tool runs\n\
         \x20 COMPRESSION  of archives: none, gzip, lz4, zstd, each with a level or without (none)\n\
         \x20 BASE      another build of pgconvoy, for the tool base\n\
         scenarios:\n",
    );
    for scenario in &SCENARIOS {
        let _infallible = writeln!(text, "  {:<17} {}", scenario.name, scenario.about);
    }
    text.push_str("tools:\n");
    for tool in &TOOLS {
        let mark = if tool.is_usual { '*' } else { ' ' };
        let _infallible = writeln!(text, "{mark} {:<17} {}", tool.name, tool.about);
    }
    text
}

fn listed<T>(value: &str, find: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    value.split_whitespace().map(find).collect()
}

fn find<T: Clone>(word: &str, among: &[T], name: impl Fn(&T) -> &'static str) -> Result<T, String> {
    among
        .iter()
        .find(|one| name(one) == word)
        .cloned()
        .ok_or_else(|| format!("there is no {word}"))
}
