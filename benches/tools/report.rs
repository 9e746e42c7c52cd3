//! What a scenario came to: a table for people, and the same as JSON. `benches/README.md` says what each figure is.

use std::fmt::{self, Write as _};
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::options::Options;
use crate::pair::Pair;
use crate::run::{Figures, Outcome};
use crate::scenario::{Scenario, Setting};
use crate::tool::Tool;

/// A figure of a run: its name in the JSON, its head in the table, and how it is taken and shown.
struct Column {
    name: &'static str,
    head: &'static str,
    of: fn(&Figures) -> Option<f64>,
    show: fn(f64) -> String,
}

const COLUMNS: [Column; 8] = [
    Column {
        name: "wall_s",
        head: "wall",
        of: |figures| Some(figures.wall_s),
        show: seconds,
    },
    Column {
        name: "client_cpu_s",
        head: "client CPU",
        of: |figures| Some(figures.client_cpu_s),
        show: seconds,
    },
    Column {
        name: "source_cpu_s",
        head: "source CPU",
        of: |figures| Some(figures.source_cpu_s),
        show: seconds,
    },
    Column {
        name: "target_cpu_s",
        head: "target CPU",
        of: |figures| Some(figures.target_cpu_s),
        show: seconds,
    },
    Column {
        name: "wal_bytes",
        head: "WAL",
        of: |figures| Some(figures.wal_bytes as f64),
        show: megabytes,
    },
    Column {
        name: "written_bytes",
        head: "written",
        of: |figures| figures.written_bytes.map(|bytes| bytes as f64),
        show: megabytes,
    },
    Column {
        name: "peak_bytes",
        head: "client peak",
        of: |figures| Some(figures.peak_bytes as f64),
        show: megabytes,
    },
    Column {
        name: "checkpoint_s",
        head: "checkpoint",
        of: |figures| Some(figures.checkpoint_s),
        show: seconds,
    },
];

/// The wall time is the first column.
const WALL: &Column = &COLUMNS[0];

/// All runs of one scenario with one setting.
pub struct Report {
    title: String,
    file_name: String,
    facts: Map<String, Value>,
    tools: Vec<Series>,
}

/// The runs of one tool.
struct Series {
    tool: &'static str,
    /// The tool that it is measured against.
    against: &'static str,
    /// Round and figures.
    counted: Vec<(usize, Figures)>,
    failed: Vec<(usize, String)>,
}

/// Median, smallest and largest of some numbers.
#[derive(Clone, Copy)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Report {
    pub fn new(options: &Options, scenario: &Scenario, setting: Setting, pair: &Pair) -> Self {
        let source_bytes = pair.source_bytes();
        let (from, to) = (
            pair.source.cluster.version().to_string(),
            pair.target.cluster.version().to_string(),
        );
        let (name, setting) = (scenario.name, setting.name());
        let title = format!(
            "{name}, {setting}: {from} to {to}, scale {}, {} of database, {} rounds, {} jobs",
            options.scale,
            megabytes(source_bytes as f64),
            options.rounds,
            options.jobs
        );
        let facts = json!({
            "scenario": name,
            "setting": setting,
            "from": from,
            "to": to,
            "scale": options.scale,
            "rounds": options.rounds,
            "jobs": options.jobs,
            "cores": std::thread::available_parallelism().map_or(0, usize::from),
            "source_bytes": source_bytes,
            "compression": options.compression,
        });
        Self {
            title,
            file_name: format!("{name}-{setting}-{}-{}.json", options.from, options.to),
            facts: facts.as_object().cloned().unwrap_or_default(),
            tools: Vec::new(),
        }
    }

    pub fn add(&mut self, round: usize, tool: &Tool, outcome: Outcome) {
        let known = self
            .tools
            .iter()
            .position(|series| series.tool == tool.name);
        let at = known.unwrap_or_else(|| {
            self.tools.push(Series {
                tool: tool.name,
                against: tool.against,
                counted: Vec::new(),
                failed: Vec::new(),
            });
            self.tools.len() - 1
        });
        match outcome {
            Outcome::Equal(figures) => self.tools[at].counted.push((round, figures)),
            Outcome::Failed(reason) => self.tools[at].failed.push((round, reason)),
        }
    }

    /// How many runs do not count.
    pub fn failures(&self) -> usize {
        self.tools.iter().map(|series| series.failed.len()).sum()
    }

    /// Writes the JSON.
    pub fn write(&self, dir: &Path) -> Result<(), String> {
        let path = dir.join(&self.file_name);
        let explain = |error: std::io::Error| format!("{}: {error}", path.display());
        let text = serde_json::to_string_pretty(&self.json()).map_err(|error| error.to_string())?;
        fs::create_dir_all(dir).map_err(explain)?;
        fs::write(&path, text + "\n").map_err(explain)
    }

    fn json(&self) -> Value {
        let mut whole = self.facts.clone();
        let tools = self.tools.iter().map(|series| {
            let per_column = |of: &dyn Fn(&Column) -> Option<Value>| -> Map<String, Value> {
                COLUMNS
                    .iter()
                    .filter_map(|column| Some((column.name.to_owned(), of(column)?)))
                    .collect()
            };
            let spreads = per_column(&|column| {
                let Spread { median, min, max } = series.spread(column)?;
                Some(json!({ "median": median, "min": min, "max": max }))
            });
            let ratios = per_column(&|column| Some(json!(self.ratio(series, column)?)));
            let runs: Vec<Value> = series
                .counted
                .iter()
                .map(|(round, figures)| json!({ "round": round + 1, "figures": figures }))
                .collect();
            let failed: Vec<Value> = series
                .failed
                .iter()
                .map(|(round, reason)| json!({ "round": round + 1, "reason": reason }))
                .collect();
            let by_round = self.by_round(series).map(
                |Spread { median, min, max }| json!({ "median": median, "min": min, "max": max }),
            );
            let value = json!({
                "spreads": spreads,
                "ratios_to_stock": ratios,
                "wall_ratio_by_round": by_round,
                "runs": runs,
                "failed": failed,
            });
            (series.tool.to_owned(), value)
        });
        let tools: Map<String, Value> = tools.collect();
        whole.insert("tools".to_owned(), Value::Object(tools));
        Value::Object(whole)
    }

    /// The runs of the stock tools for the same work.
    fn stock(&self, series: &Series) -> Option<&Series> {
        self.tools.iter().find(|other| other.tool == series.against)
    }

    /// A median as a part of the stock tools' median.
    fn ratio(&self, series: &Series, column: &Column) -> Option<f64> {
        let stock = self.stock(series)?.spread(column)?.median;
        (stock > 0.0).then_some(series.spread(column)?.median / stock)
    }

    /// The wall time as a part of the stock tools' in the same round: what the machine did meanwhile falls out.
    fn by_round(&self, series: &Series) -> Option<Spread> {
        let stock = &self.stock(series)?.counted;
        let ratios = series.counted.iter().filter_map(|(round, figures)| {
            let (_, theirs) = stock.iter().find(|(other, _)| other == round)?;
            Some(figures.wall_s / theirs.wall_s)
        });
        Spread::of(ratios.collect())
    }

    fn write_figures(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {:<17}{:>28}", "median", "wall (min to max)")?;
        for column in &COLUMNS[1..] {
            write!(f, "{:>13}", column.head)?;
        }
        writeln!(f)?;
        for series in self
            .tools
            .iter()
            .filter(|series| !series.counted.is_empty())
        {
            write!(f, "  {:<17}", series.tool)?;
            let wall = series.spread(WALL).map_or_else(String::new, |spread| {
                format!(
                    "{} ({:.2} to {:.2})",
                    seconds(spread.median),
                    spread.min,
                    spread.max
                )
            });
            write!(f, "{wall:>28}")?;
            for column in &COLUMNS[1..] {
                let shown = series
                    .spread(column)
                    .map_or_else(|| "?".to_owned(), |spread| (column.show)(spread.median));
                write!(f, "{shown:>13}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }

    fn write_ratios(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "  {:<17}{:>28}",
            "as part of stock", "wall (in the same round)"
        )?;
        for column in &COLUMNS[1..] {
            write!(f, "{:>13}", column.head)?;
        }
        writeln!(f)?;
        for series in self
            .tools
            .iter()
            .filter(|series| !series.counted.is_empty())
        {
            let shown =
                |ratio: Option<f64>| ratio.map_or_else(|| "?".to_owned(), |r| format!("{r:.2}"));
            let mut wall = shown(self.ratio(series, WALL));
            if let Some(Spread { median, min, max }) = self.by_round(series) {
                let _infallible = write!(wall, " ({median:.2}, {min:.2} to {max:.2})");
            }
            write!(f, "  {:<17}{wall:>28}", series.tool)?;
            for column in &COLUMNS[1..] {
                write!(f, "{:>13}", shown(self.ratio(series, column)))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{}", self.title)?;
        self.write_figures(f)?;
        let is_measured = |series| self.ratio(series, WALL).is_some();
        if self.tools.iter().any(is_measured) {
            writeln!(f)?;
            self.write_ratios(f)?;
        }
        for series in &self.tools {
            series.write_foretold(f)?;
            for (round, reason) in &series.failed {
                let reason = reason.replace('\n', "\n      ");
                writeln!(
                    f,
                    "  {}, round {}, does not count:\n      {reason}",
                    series.tool,
                    round + 1
                )?;
            }
        }
        Ok(())
    }
}

impl Series {
    fn spread(&self, column: &Column) -> Option<Spread> {
        let values: Option<Vec<f64>> = self
            .counted
            .iter()
            .map(|(_, figures)| (column.of)(figures))
            .collect();
        Spread::of(values?)
    }

    /// What was foretold, as a part of what it came to.
    fn write_foretold(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let foretold = |place: usize| {
            let told = self
                .counted
                .iter()
                .filter_map(|(_, figures)| figures.foretold);
            let values = told.filter_map(|told| told.named()[place].1);
            Spread::of(values.collect())
        };
        let Some(first) = self
            .counted
            .iter()
            .find_map(|(_, figures)| figures.foretold)
        else {
            return Ok(());
        };
        writeln!(f, "\n  {}: foretold, as part of what it took", self.tool)?;
        for (place, (name, _)) in first.named().iter().enumerate() {
            if let Some(Spread { median, min, max }) = foretold(place) {
                writeln!(f, "    {name:<16}{median:.2} ({min:.2} to {max:.2})")?;
            }
        }
        Ok(())
    }
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Self { median, min, max })
    }
}

fn seconds(value: f64) -> String {
    format!("{value:.2} s")
}

fn megabytes(bytes: f64) -> String {
    format!("{:.1} MB", bytes / 1e6)
}
