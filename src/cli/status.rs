//! `pgconvoy status`: one screen about a run, while it runs or afterwards, and that is all.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;

use chrono::Utc;
use clap::Args;
use serde::Serialize;

use super::follow::tell_standing;
use super::output::color_wanted;
use super::record::RecordReader;
use super::run_dir::{Holder, Look};
use super::watch::{self, LastWords};
use crate::failure::Failure;
use crate::model::ExitStatus;
use crate::progress::{Ended, Size, State, Style, picture, words};
use crate::report::terminal::{View, closing};
use crate::report::{Report, ReportBuilder, SessionBoundary, recorded};

/// Of retries and failures, as many are told as fit beside the rest; the report has them all.
const MOST: usize = 5;

/// Show on one screen how a run stands, while it runs or afterwards
///
/// Shows what is done, what is running and for how long, what waits, what failed or was retried, and how long it will take. The
/// exit status is 0 if that could be shown, and says nothing about the run.
#[derive(Debug, Clone, Args)]
#[command(name = "status")]
pub struct StatusArgs {
    /// The run's directory [default: the ./pgconvoy-* that was written to last]
    #[arg(value_name = "RUN_DIR")]
    run_dir: Option<PathBuf>,

    /// For a target that follows its source (move --follow): how far it is behind, what is wrong, and what comes next
    #[arg(long, value_name = "CONNINFO", conflicts_with_all = ["run_dir", "json"])]
    target: Option<String>,

    /// Its source, if it is reached differently than in the move
    #[arg(long, value_name = "CONNINFO", requires = "target")]
    source: Option<String>,

    /// Print one JSON object on stdout: the report so far, and which process works on the run
    #[arg(long)]
    json: bool,

    /// Use no colours, as if the variable `NO_COLOR` were set
    #[arg(long)]
    no_color: bool,
}

/// How a run stands.
struct Standing {
    state: State,
    report: Report,
    /// Who works on it.
    running: Option<Holder>,
    /// That its record has what is not known here.
    unknown: Option<String>,
}

/// The same for programs.
#[derive(Serialize)]
struct Told<'a> {
    running: Option<Holder>,
    #[serde(flatten)]
    report: &'a Report,
}

impl StatusArgs {
    /// Tells it.
    pub(super) async fn start(self) -> Result<ExitStatus, Failure> {
        if let Some(target) = &self.target {
            return tell_standing(self.source.as_deref(), target).await;
        }
        let look = watch::find(self.run_dir.clone())?;
        let standing = Standing::read(&look)?;
        let text = if self.json {
            if let Some(unknown) = &standing.unknown {
                // Nobody is left to tell if stderr is gone.
                let _ = writeln!(io::stderr(), "{unknown}");
            }
            let told = Told {
                running: standing.running,
                report: &standing.report,
            };
            serde_json::to_string_pretty(&told)
                .map_err(|error| Failure::defect(format!("putting it into JSON: {error}")))?
        } else {
            let style = Style {
                color: !self.no_color && io::stdout().is_terminal() && color_wanted(),
            };
            standing.lines(style).join("\n")
        };
        writeln!(io::stdout(), "{text}")
            .map_err(|error| Failure::file("writing", "stdout".as_ref(), &error))?;
        Ok(ExitStatus::Proven)
    }
}

impl Standing {
    fn read(look: &Look) -> Result<Self, Failure> {
        // First who, then what: a run that ends in between is told of as ended.
        let running = look.holder()?;
        let mut unknown: BTreeMap<String, u64> = BTreeMap::new();
        let mut report = ReportBuilder::default();
        let (mut boundary, mut state) = (SessionBoundary::default(), State::default());
        RecordReader::new(look).each(|line| {
            if let Some(kind) = line.unknown {
                *unknown.entry(kind).or_default() += 1;
            }
            if let Some(event) = line.event {
                report.apply(&event);
                if boundary.falls_before(&event) {
                    state = State::default();
                }
                state.apply(&event);
            }
            Ok(())
        })?;
        if running.is_some() {
            report = report.at_work();
        }
        let mut report = report.build();
        let run_dir = look.path().display().to_string();
        if running.is_some() && state.ended.is_none() {
            state.tick(Utc::now());
            report.run_dir = run_dir;
        } else {
            let killed = state.ended.is_none();
            let last_words = if killed {
                LastWords::Killed
            } else {
                LastWords::Own
            };
            watch::settle(&mut report, &run_dir, last_words);
            // Nothing is to come any more.
            state.ended = report.status.map(|status| Ended {
                status,
                sentence: report.sentence.clone(),
                next: report.next.clone(),
            });
        }
        Ok(Self {
            state,
            report,
            running,
            unknown: recorded::unknown_kinds(&unknown),
        })
    }

    fn lines(&self, style: Style) -> Vec<String> {
        let size = Size::of_stdout();
        let mut lines = self.heading(style);
        let picture = picture(&self.state, size, style);
        if !picture.is_empty() {
            lines.push(String::new());
            lines.extend(picture);
        }
        let trouble = self.trouble(style);
        if !trouble.is_empty() {
            lines.push(String::new());
            lines.extend(trouble);
        }
        if self.report.status.is_some() {
            let view = View {
                columns: size.columns,
                style,
                whole_failures: false,
            };
            lines.push(String::new());
            lines.extend(closing(&self.report, view));
        }
        lines
    }

    /// What it is, whether it runs, and what it is doing.
    fn heading(&self, style: Style) -> Vec<String> {
        let report = &self.report;
        let mut lines = Vec::new();
        if let (Some(source), Some(target)) = (&report.source, &report.target) {
            let ends = format!("{}: {source} → {target}", report.command);
            lines.push(style.strong(&words::one_line(&ends)));
        }
        let ended = report.status.is_some();
        let mut parts = vec![match (&self.running, ended) {
            (Some(holder), false) => format!("running: {holder}"),
            (_, true) | (None, false) => match report.ended_at {
                Some(at) => format!("not running since {}", at.format("%Y-%m-%d %H:%M UTC")),
                None => "not running".to_owned(),
            },
        }];
        if report.sessions.len() > 1 {
            parts.push(format!("session {}", report.sessions.len()));
        }
        parts.push(words::one_line(&report.run_dir));
        lines.push(parts.join(" · "));
        if !ended {
            lines.extend(self.state.step.as_deref().map(words::one_line));
        }
        lines.extend(self.unknown.as_deref().map(|text| style.warning(text)));
        lines
    }

    /// What was tried again, and what failed: the latest of each.
    fn trouble(&self, style: Style) -> Vec<String> {
        let report = &self.report;
        let mut lines = Vec::new();
        let more = |all: usize| (all > MOST).then(|| format!("… and {} more before", all - MOST));
        let retries = report.retries.iter().rev().take(MOST);
        lines.extend(retries.map(|retry| {
            let text = format!(
                "{}: attempt {} was broken off: {}",
                report.label(retry.job),
                retry.attempt,
                retry.because
            );
            format!(
                "{} {}",
                style.warning("tried again:"),
                words::one_line(&text)
            )
        }));
        lines.extend(more(report.retries.len()));
        let failures: Vec<_> = report.failures().collect();
        lines.extend(failures.iter().rev().take(MOST).map(|(job, failure)| {
            let text = format!("{}: {}", job.plan.label, failure.message);
            let kept = failure.file.as_ref().map_or_else(String::new, |file| {
                format!(" (whole in {})", words::in_dir(&report.run_dir, file))
            });
            format!("{} {}{kept}", style.bad("failed:"), words::one_line(&text))
        }));
        lines.extend(more(failures.len()));
        let differences = report.differences.len() as u64;
        if differences > 0 {
            let count = words::count(differences, "difference", "differences");
            lines.push(style.bad(&format!("{count} found")));
        }
        lines
    }
}
