//! `--after`: before the doors open again. What no comparison of contents shows, and the first users would.
//!
//! Findings with remedies, none of which is a difference: the exit status stays what the comparison makes it. If a planner
//! cannot be asked, that is a finding as well.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use super::look::{Both, Look};
use crate::event::{Emit, What};
use crate::failure::Failure;
use crate::model::{Finding, Severity, rule};
use crate::pg::PgError;
use crate::verify::before_opening;
use crate::verify::statements::{self, Compared, Counted, Sampled};

/// What to look at besides what is compared.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Before the doors open again")]
pub struct AfterArgs {
    /// Also look for what would make the target slow or wrong in use: above all, the plans of the application's statements
    ///
    /// Both servers plan the statements on which the source spends most time (from `pg_stat_statements`, if it is installed
    /// there), with unknown parameters, and never run them. A plan that is much more expensive on the target is a warning, with
    /// both plans side by side. So are sequences that are behind their columns, and materialized views that hold nothing;
    /// planner statistics and settings are checked in any case. All of these are warnings: they do not change the exit status.
    /// With --level schema, no row is read, and it takes some seconds.
    #[arg(long)]
    pub after: bool,

    /// Plan the statements in a file instead of those that the source has counted; - is standard input
    ///
    /// Separated by semicolons; select, insert, update, delete, merge or with; parameters as $1, $2, …
    #[arg(long, value_name = "FILE", requires = "after")]
    pub statements: Option<PathBuf>,

    /// How many of the statements that the source has counted to plan [default: 20]
    #[arg(
        long,
        value_name = "N",
        requires = "after",
        conflicts_with = "statements",
        value_parser = clap::value_parser!(u16).range(1..=1000)
    )]
    pub top: Option<u16>,
}

/// How many statements are planned if nobody says anything else.
const TOP: u16 = 20;

/// So many times as many are asked about until there are enough: of the others, only the catalogs are read.
const CANDIDATES: usize = 10;

/// What was asked for, resolved.
pub struct After {
    /// The statements of a file; `None` for those that the source has counted.
    given: Option<Vec<Sampled>>,
    top: usize,
}

impl AfterArgs {
    /// Reads the file, if there is one; `None` if nothing of this was asked for.
    pub fn resolve(&self) -> Result<Option<After>, Failure> {
        if !self.after {
            return Ok(None);
        }
        let given = match &self.statements {
            Some(file) => Some(read(file)?),
            None => None,
        };
        Ok(Some(After {
            given,
            top: usize::from(self.top.unwrap_or(TOP)),
        }))
    }
}

fn read(file: &Path) -> Result<Vec<Sampled>, Failure> {
    let text = if file == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(file)
    };
    let text = text.map_err(|error| {
        Failure::usage(
            format!(
                "the statements in {} cannot be read: {error}",
                file.display()
            ),
            "Name a file of UTF-8 text that may be read, or - for standard input.",
        )
    })?;
    statements::parse(&text).map_err(|error| {
        Failure::from(error).while_doing(&format!("--statements {}", file.display()))
    })
}

/// Looks, and tells.
pub(super) async fn tell((both, look): (&Both, &Look), after: &After, emit: &Arc<dyn Emit>) {
    for finding in before_opening(&look.target.observed, &look.scope) {
        emit.emit(What::Finding(finding));
    }
    match plans(both, after, emit).await {
        Ok(compared) => {
            for finding in compared.findings {
                emit.emit(What::Finding(finding));
            }
            if compared.alike > 0 {
                emit.emit(What::Checked {
                    what: "plans of statements".to_owned(),
                    count: compared.alike,
                });
            }
        }
        Err(error) => emit.emit(What::Finding(not_compared(
            Severity::Warning,
            &error.to_string(),
            "Run the same again.",
        ))),
    }
}

async fn plans(both: &Both, after: &After, emit: &Arc<dyn Emit>) -> Result<Compared, PgError> {
    // Sessions of their own: whatever a statement does to one while it is planned, nothing else rests on it.
    let (source, target) = tokio::try_join!(
        both.source.connector.session("plans"),
        both.target.connector.session("plans"),
    )?;
    let sampled = match &after.given {
        Some(given) => given.clone(),
        None => match statements::counted(&source, after.top.saturating_mul(CANDIDATES)).await? {
            Counted::Statements(sampled) => sampled,
            Counted::Nothing(because) => {
                let remedy = "Install pg_stat_statements on the source (shared_preload_libraries, then CREATE EXTENSION) in time, or \
                              put the application's most important statements into a file: --statements FILE.";
                return Ok(Compared {
                    alike: 0,
                    findings: vec![not_compared(Severity::Note, &because, remedy)],
                });
            }
        },
    };
    let most = after.given.as_ref().map_or(after.top, Vec::len);
    emit.emit(What::StepStarted {
        step: "asking both planners about the application's statements; none is run".to_owned(),
    });
    let asked = statements::ask((&source, &target), sampled, most).await?;
    if asked.is_empty() {
        let because = "pg_stat_statements on the source has counted only statements that read nothing but catalogs";
        let remedy =
            "Put the application's most important statements into a file: --statements FILE.";
        return Ok(Compared {
            alike: 0,
            findings: vec![not_compared(Severity::Note, because, remedy)],
        });
    }
    Ok(statements::compare(&asked))
}

fn not_compared(severity: Severity, because: &str, remedy: &str) -> Finding {
    Finding::new(
        severity,
        rule::PLANS_NOT_COMPARED,
        format!("no plans were compared: {because}"),
        remedy,
    )
}
