//! A look before the leap, for people and for machines: everything that was found, the worst first, and what it comes to.

use std::time::Duration;

use serde::Serialize;

use crate::model::{Endpoint, Finding, Severity};
use crate::plan::{Ground, Prediction};
use crate::preflight::{Measured, Verdict};
use crate::progress::Style;
use crate::progress::words;

/// Version of the JSON form: it grows when a field changes its meaning or goes away.
pub const FORMAT: u32 = 1;

/// What `pgconvoy check` has to say.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// Version of this form.
    pub format: u32,
    /// Where from.
    pub source: Endpoint,
    /// Where to.
    pub target: Endpoint,
    /// The `pg_dump` that a move would use: its version and path.
    pub pg_dump: String,
    /// What it comes to.
    pub verdict: Verdict,
    /// The exit status, as a number.
    pub exit_status: u8,
    /// How many findings there are of each severity.
    pub counts: Counts,
    /// How long a move may take; absent if nobody could tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Forecast>,
    /// What was measured of the road, if anything was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
    /// Everything that was found, the worst first.
    pub findings: Vec<Finding>,
    /// What to do next.
    pub next: String,
}

/// How long a move may take, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Forecast {
    /// It will hardly be less.
    pub least_s: u64,
    /// What the rates say.
    pub likely_s: u64,
    /// It should not be more.
    pub most_s: u64,
    /// Whether by what was measured just now.
    pub measured: bool,
    /// The time there is, if it was said.
    pub window_s: Option<u64>,
}

impl Forecast {
    /// Of a prediction.
    pub fn new(prediction: &Prediction, window: Option<Duration>) -> Self {
        let seconds = |us: u64| us.div_ceil(1_000_000);
        Self {
            least_s: seconds(prediction.least_us),
            likely_s: seconds(prediction.likely_us),
            most_s: seconds(prediction.most_us),
            measured: prediction.ground > Ground::Rates,
            window_s: window.map(|window| window.as_secs()),
        }
    }
}

/// How many findings there are of each severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Blockers.
    pub blockers: u64,
    /// Warnings.
    pub warnings: u64,
    /// Notes.
    pub notes: u64,
}

/// Both ends, and the program between them.
#[derive(Debug, Clone)]
pub struct Between {
    /// Where from.
    pub source: Endpoint,
    /// Where to.
    pub target: Endpoint,
    /// The `pg_dump` that a move would use: its version and path.
    pub pg_dump: String,
}

impl Check {
    /// Of what was found, in any order.
    pub fn new(between: Between, mut findings: Vec<Finding>) -> Self {
        // Within a severity, they stay in the order in which they were looked for.
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        let count = |severity| {
            let found = findings.iter().filter(|one| one.severity == severity);
            found.count() as u64
        };
        let verdict = Verdict::of(&findings);
        Self {
            format: FORMAT,
            source: between.source,
            target: between.target,
            pg_dump: between.pg_dump,
            verdict,
            exit_status: verdict.status().code(),
            counts: Counts {
                blockers: count(Severity::Blocker),
                warnings: count(Severity::Warning),
                notes: count(Severity::Note),
            },
            forecast: None,
            measured: None,
            next: verdict.next().to_owned(),
            findings,
        }
    }

    /// The same with how long a move may take, and by what that is known.
    #[must_use]
    pub fn with_forecast(self, forecast: Forecast, measured: Option<Measured>) -> Self {
        Self {
            forecast: Some(forecast),
            measured,
            ..self
        }
    }
}

/// As lines of text for a terminal that is so wide.
pub fn render(check: &Check, (width, style): (usize, Style)) -> Vec<String> {
    let mut lines = vec![
        format!("from  {}", words::one_line(&check.source.to_string())),
        format!("to    {}", words::one_line(&check.target.to_string())),
        format!("with  {}", words::one_line(&check.pg_dump)),
    ];
    for line in forecast(check) {
        lines.extend(words::hang(&line, "", width));
    }
    for severity in [Severity::Blocker, Severity::Warning, Severity::Note] {
        group(check, severity, (width, style), &mut lines);
    }
    lines.push(String::new());
    let ends = format!("{}: {}.", verdict(check.verdict, style), summary(check));
    lines.extend(words::hang(&ends, "", width));
    lines.extend(words::hang(&format!("Next: {}", check.next), "", width));
    lines
}

fn forecast(check: &Check) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(forecast) = &check.forecast {
        let words = |seconds: u64| words::about(seconds.saturating_mul(1000));
        let ground = if forecast.measured {
            Ground::Road
        } else {
            Ground::Rates
        };
        let (least, most) = (words(forecast.least_s), words(forecast.most_s));
        let range = if least == most {
            String::new()
        } else {
            format!(" (between {least} and {most})")
        };
        lines.push(format!(
            "time  {}{range}, {}",
            words(forecast.likely_s),
            ground.words()
        ));
    }
    if let Some(measured) = &check.measured {
        let copies = match (
            measured.read_bytes_per_second,
            measured.copy_bytes_per_second,
        ) {
            (Some(read), Some(copied)) => format!(
                "one session reads {} from the source; each of {} at once copies {}",
                words::rate(read),
                words::count(u64::from(measured.sessions), "session", "sessions"),
                words::rate(copied)
            ),
            _ => format!(
                "too little on the source to measure reading; each of {} at once",
                words::count(u64::from(measured.sessions), "session", "sessions")
            ),
        };
        lines.push(format!(
            "road  {copies}, writes {} and builds indexes at {} on the target (in temporary tables, which are gone again); round trips \
             {} µs and {} µs",
            words::rate(measured.write_bytes_per_second),
            words::rate(measured.index_bytes_per_second),
            measured.source_round_trip_us,
            measured.target_round_trip_us
        ));
        lines.extend(measured.log.map(|log| {
            format!(
                "log   the target writes its write-ahead log at {}; a commit waits {:.1} ms until it is on disk",
                words::rate(log.bytes_per_second),
                log.commit_us as f64 / 1000.0
            )
        }));
    }
    lines
}

fn verdict(verdict: Verdict, style: Style) -> String {
    let text = verdict.to_string();
    match verdict {
        Verdict::Go => style.good(&text),
        Verdict::GoWithWarnings | Verdict::Undecided => style.warning(&text),
        Verdict::NoGo => style.bad(&text),
    }
}

fn summary(check: &Check) -> String {
    let Counts {
        blockers,
        warnings,
        notes,
    } = check.counts;
    let counts = [
        (blockers, "blocker", "blockers"),
        (warnings, "warning", "warnings"),
        (notes, "note", "notes"),
    ];
    let counted: Vec<String> = counts
        .iter()
        .map(|(number, one, many)| words::count(*number, one, many))
        .collect();
    let meaning = match check.verdict {
        Verdict::Go => "nothing stands in the way of a move",
        Verdict::GoWithWarnings => {
            "nothing forbids a move, but something is likely to hurt; the exit status is 0"
        }
        Verdict::Undecided => {
            "something could not be looked at, so it is not known whether a move would go through"
        }
        Verdict::NoGo => "a move would be refused, or is bound to fail",
    };
    format!("{meaning} ({}); nothing was changed", counted.join(", "))
}

fn group(
    check: &Check,
    severity: Severity,
    (width, style): (usize, Style),
    lines: &mut Vec<String>,
) {
    let found = check.findings.iter();
    let found: Vec<&Finding> = found.filter(|one| one.severity == severity).collect();
    if found.is_empty() {
        return;
    }
    let heading = match severity {
        Severity::Blocker => style.bad("no-go"),
        Severity::Warning => style.warning("warnings"),
        Severity::Note => style.strong("notes"),
    };
    lines.push(String::new());
    lines.push(heading);
    for finding in found {
        let what = format!("{} [{}]", words::harmless(&finding.what), finding.rule);
        let mut indent = "  ";
        for paragraph in what.split('\n') {
            lines.extend(words::hang(paragraph, indent, width));
            indent = "    ";
        }
        for fact in &finding.evidence {
            for line in words::harmless(fact).trim_end().split('\n') {
                lines.extend(words::hang(line, "    ", width));
            }
        }
        if !finding.remedy.is_empty() {
            lines.extend(words::remedy(&finding.remedy, "    ", width));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::MeasuredLog;

    fn found(severity: Severity, rule: &str) -> Finding {
        let what = format!("the sentence of {rule}");
        let remedy = "Run on the target:\nALTER SYSTEM RESET something;";
        Finding::new(severity, rule, what, remedy).with_evidence(["a fact".to_owned()])
    }

    fn check(findings: Vec<Finding>) -> Check {
        let end = |database: &str| Endpoint {
            archive: None,
            host: "host".into(),
            port: 5432,
            database: database.into(),
            user: "me".into(),
            version: None,
        };
        let between = Between {
            source: end("a"),
            target: end("b"),
            pg_dump: "pg_dump 18.1".into(),
        };
        Check::new(between, findings)
    }

    #[test]
    fn the_worst_comes_first_each_with_evidence_and_remedy() {
        let check = check(vec![
            found(Severity::Note, "one"),
            found(Severity::Blocker, "two"),
        ]);
        let lines = render(&check, (100, Style { color: false }));
        assert_eq!(
            lines.join("\n"),
            "from  a at host:5432\n\
             to    b at host:5432\n\
             with  pg_dump 18.1\n\
             \n\
             no-go\n  \
               the sentence of two [two]\n    \
                 a fact\n    \
                 what to do: Run on the target:\n    \
                 ALTER SYSTEM RESET something;\n\
             \n\
             notes\n  \
               the sentence of one [one]\n    \
                 a fact\n    \
                 what to do: Run on the target:\n    \
                 ALTER SYSTEM RESET something;\n\
             \n\
             NO-GO: a move would be refused, or is bound to fail (1 blocker, 0 warnings, 1 note); nothing was\n  \
               changed.\n\
             Next: Fix what is listed under \"no-go\", then check again."
        );
    }

    /// A line that is broken where a comment is, or within a name, is another statement.
    #[test]
    fn what_is_to_be_pasted_is_not_wrapped() {
        let long = "REINDEX INDEX CONCURRENTLY \"public\".\"index_statuses on_account_id_and_more\"; -- not DROP INDEX";
        let check = check(vec![Finding {
            remedy: format!("A sentence that is too long for one line, and so is wrapped:\n{long}"),
            ..found(Severity::Warning, "one")
        }]);
        let lines = render(&check, (50, Style { color: false }));
        assert!(lines.contains(&format!("    {long}")), "{lines:#?}");
        let sentence = lines.iter().position(|line| line.contains("what to do"));
        let wrapped = sentence.and_then(|at| lines.get(at + 1));
        assert!(
            wrapped.is_some_and(|line| line.starts_with("      ")),
            "{lines:#?}"
        );
    }

    #[test]
    fn what_was_measured_of_the_log_is_told() {
        let measured = |log| Measured {
            sessions: 2,
            read_bytes_per_second: None,
            copy_bytes_per_second: None,
            write_bytes_per_second: 1024.0,
            index_bytes_per_second: 1024.0,
            source_round_trip_us: 1,
            target_round_trip_us: 1,
            log,
        };
        let text = |log| {
            let check = Check {
                measured: Some(measured(log)),
                ..check(Vec::new())
            };
            render(&check, (200, Style { color: false })).join("\n")
        };
        let log = MeasuredLog {
            bytes_per_second: 65_536.0,
            commit_us: 940,
        };
        assert!(
            text(Some(log)).contains(
                "\nlog   the target writes its write-ahead log at 64.0 kB/s; a commit waits 0.9 ms until it is on disk"
            ),
            "{}",
            text(Some(log))
        );
        assert!(!text(None).contains("\nlog "), "{}", text(None));
    }

    #[test]
    fn warnings_are_said_plainly_to_leave_the_status_at_0() {
        let check = check(vec![found(Severity::Warning, "one")]);
        assert_eq!(check.exit_status, 0);
        let text = render(&check, (200, Style { color: false })).join("\n");
        assert!(text.contains("GO, WITH WARNINGS: "), "{text}");
        assert!(text.contains("the exit status is 0"), "{text}");
    }
}
