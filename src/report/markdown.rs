//! The report for a ticket or a chat: Markdown, as GitHub and others read it.
//!
//! Shorter than the page: of tables, those that need a look and the largest; of the rest, how many. What failed is whole here,
//! too. Nothing from outside is markup: names stand in code, texts have their signs escaped, and statements are fenced by more
//! backquotes than they have.

use std::fmt::Write as _;

use super::outline::{
    Headline, Record, Tables, Tone, exit_status, labels, level, not_verified, phase, sentence,
    slowest, time, verdicts,
};
use super::terminal::next_step;
use super::{Report, differences, rows, salvaged, turned};
use crate::event::JobFailure;
use crate::model::{Rows, Severity, TableVerdict};
use crate::progress::words::{self, is_unseen};

/// Most entries of a list.
const MOST: usize = 50;

/// Of tables that need no look, as many of the largest.
const LARGEST: usize = 10;

/// How many of the slowest jobs.
const SLOWEST: usize = 5;

/// The text, with a line end.
pub fn text(record: Record<'_>) -> String {
    let mut out = Markdown::default();
    let report = record.report;
    heading(&mut out, record);
    facts(&mut out, record);
    turn(&mut out, report);
    failures(&mut out, report);
    differing(&mut out, report);
    lost(&mut out, report);
    tables(&mut out, report);
    gaps(&mut out, report);
    findings(&mut out, report);
    course(&mut out, report);
    retries(&mut out, report);
    notes(&mut out, report);
    out.text
}

#[derive(Default)]
struct Markdown {
    text: String,
}

impl Markdown {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    fn paragraph(&mut self, text: &str) {
        self.line(text);
        self.line("");
    }

    fn heading(&mut self, text: &str) {
        self.paragraph(&format!("## {text}"));
    }

    /// Between fences longer than any in it.
    fn fenced(&mut self, text: &str) {
        self.fenced_within("", text);
        self.line("");
    }

    /// The same as a part of a list's item, which is indented so far.
    fn fenced_within(&mut self, indent: &str, text: &str) {
        let fence = "`".repeat(longest_run(text).max(2) + 1);
        self.line(&format!("{indent}{fence}"));
        for line in visible(text.trim_end(), true).split('\n') {
            let indent = if line.is_empty() { "" } else { indent };
            self.line(&format!("{indent}{line}"));
        }
        self.line(&format!("{indent}{fence}"));
    }

    /// A sentence as an item of a list within one, and as it stands what comes below it.
    fn sub_item(&mut self, text: &str) {
        let (sentence, rest) = text.split_once('\n').unwrap_or((text, ""));
        self.line(&format!("  - {}", plain(sentence)));
        if !rest.is_empty() {
            self.fenced_within("    ", rest);
        }
    }

    fn table(&mut self, heads: &[&str], rows: impl Iterator<Item = Vec<String>>) {
        self.line(&format!("| {} |", heads.join(" | ")));
        self.line(&format!("|{}", "---|".repeat(heads.len())));
        for row in rows {
            self.line(&format!("| {} |", row.join(" | ")));
        }
        self.line("");
    }

    fn and_more(&mut self, all: usize, shown: usize, what: &str) {
        let more = all.saturating_sub(shown);
        if more > 0 {
            let more = Rows(more as u64);
            self.paragraph(&format!("… and {more} more {what}, in report.json"));
        }
    }
}

/// What cannot be seen, written out; line ends only where they may stand.
fn visible(text: &str, lines: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' if lines => out.push(c),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if is_unseen(c) => {
                let _infallible = write!(out, "{}", c.escape_unicode());
            }
            c => out.push(c),
        }
    }
    out
}

fn longest_run(text: &str) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

/// A text in which no sign means anything.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in visible(text, false).chars() {
        if matches!(
            c,
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '~' | '#' | '&' | '$'
        ) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// A name on one line.
fn code(name: &str) -> String {
    // A bar ends a cell, even within code.
    let name = visible(name, false).replace('|', "\\|");
    let fence = "`".repeat(longest_run(&name) + 1);
    let space = if name.starts_with('`') || name.ends_with('`') || name.is_empty() {
        " "
    } else {
        ""
    };
    format!("{fence}{space}{name}{space}{fence}")
}

fn heading(out: &mut Markdown, record: Record<'_>) {
    let headline = Headline::of(record);
    let sign = match headline.tone {
        Tone::Good => "✅",
        Tone::Careful => "⚠️",
        Tone::Bad => "❌",
    };
    out.paragraph(&format!("# {sign} {}", headline.word));
    out.paragraph(&format!("**{}**", headline.meaning));
    out.paragraph(&plain(&sentence(record)));
    let (next, command) = next_step(record.report);
    if next.is_some() || command.is_some() {
        let next = next.unwrap_or_default();
        out.paragraph(&format!("**Next:** {}", plain(next.trim_end())));
    }
    if let Some(command) = command {
        out.fenced(&command);
    }
}

fn facts(out: &mut Markdown, record: Record<'_>) {
    let report = record.report;
    let mut facts: Vec<(&str, String)> = Vec::new();
    for (name, end) in [("source", &report.source), ("target", &report.target)] {
        facts.extend(end.iter().map(|end| (name, code(&end.to_string()))));
    }
    facts.extend(exit_status(report).map(|status| ("exit status", status)));
    if let (Some(from), Some(to)) = (report.started_at, report.ended_at) {
        let took = words::duration(report.elapsed_ms());
        facts.push(("time", format!("{} to {} ({took})", time(from), time(to))));
    }
    if report.sessions.len() > 1 {
        facts.push(("sessions", report.sessions.len().to_string()));
    }
    facts.extend(
        report
            .verify
            .map(|of| ("to be proven", level(of).to_owned())),
    );
    if !report.narrowed_by.is_empty() {
        facts.push(("left out by", code(&report.narrowed_by.join(" "))));
    }
    facts.extend(report.snapshot.as_ref().map(|snapshot| {
        let text = format!("{} at LSN {}", snapshot.name, snapshot.lsn);
        ("snapshot", code(&text))
    }));
    facts.extend(report.follow.as_ref().map(|follow| {
        let text = format!("{}, from LSN {} on", follow.name, follow.lsn);
        ("to follow it", code(&text))
    }));
    facts.push(("command", code(&format!("pgconvoy {}", report.command))));
    facts.push(("version", plain(&report.version)));
    facts.push(("run directory", code(&report.run_dir)));
    let remarks = record.remarks.iter();
    facts.extend(remarks.map(|remark| ("read with care", plain(remark))));
    let rows = facts.into_iter();
    out.table(
        &["", ""],
        rows.map(|(name, value)| vec![name.to_owned(), value]),
    );
}

/// How one side took over from the other.
fn turn(out: &mut Markdown, report: &Report) {
    let Some(turn) = &report.turn else {
        return;
    };
    out.heading("The turn");
    let steps = turned::steps(report).into_iter();
    out.table(&["step", "begun", "took"], steps.map(Vec::from));
    for moment in turn.moments.iter().take(MOST) {
        out.line(&format!("- {}", plain(&turned::told(moment))));
    }
    out.line("");
    out.and_more(turn.moments.len(), MOST, "moments");
}

fn failures(out: &mut Markdown, report: &Report) {
    let skipped = report.skipped();
    for (job, failure) in report.failures() {
        out.heading(&format!("Failed: {}", code(&job.plan.label)));
        one_failure(out, failure, report);
        let left_out = skipped.get(&job.plan.id).map_or(&[][..], Vec::as_slice);
        if !left_out.is_empty() {
            let names = left_out.iter().take(MOST);
            let names: Vec<String> = names.map(|job| code(&job.plan.label)).collect();
            let count = words::count(left_out.len() as u64, "job", "jobs");
            out.paragraph(&format!(
                "Left out because of it, {count}: {}",
                names.join(", ")
            ));
            out.and_more(left_out.len(), MOST, "jobs");
        }
    }
}

fn one_failure(out: &mut Markdown, failure: &JobFailure, report: &Report) {
    out.paragraph(&plain(&failure.message));
    if let Some(statement) = &failure.statement {
        out.fenced(statement);
    }
    if let Some(error) = &failure.server_error {
        out.fenced(&error.to_string());
    }
    if let Some(hint) = &failure.hint {
        out.paragraph(&format!("**What to do:** {}", plain(hint)));
    }
    if let Some(file) = &failure.file {
        let file = words::in_dir(&report.run_dir, file);
        out.paragraph(&format!("Kept whole in {}", code(&file)));
    }
}

fn differing(out: &mut Markdown, report: &Report) {
    let all = differences::ordered(report.differences.iter());
    if !all.is_empty() {
        out.heading(&words::count(all.len() as u64, "difference", "differences"));
        for difference in all.iter().take(MOST) {
            let word = differences::word(difference.kind);
            let object = code(&difference.object);
            out.paragraph(&format!("- {word} {} {object}", plain(&difference.class)));
            out.fenced(&difference.detail);
        }
        out.and_more(all.len(), MOST, "differences");
    }
    let tables: Vec<_> = report
        .rows
        .iter()
        .filter(|rows| rows.total() > Rows(0))
        .collect();
    if tables.is_empty() {
        return;
    }
    out.heading("Rows that differ");
    for differ in tables.iter().take(MOST) {
        let table = code(&differ.table.shown());
        out.line(&format!("- {table}: {}", rows::counts(differ)));
        for row in differ.examples.iter().take(3) {
            let kind = format!("{:?}", row.kind).to_lowercase();
            let identity = rows::identity(&differ.key, row);
            out.line(&format!("  - {kind} {}", code(&identity)));
        }
    }
    out.line("");
    out.and_more(tables.len(), MOST, "tables");
}

/// What could not be read of a damaged source, and what is not as it was because of that.
fn lost(out: &mut Markdown, report: &Report) {
    let lost = salvaged::lost(report);
    if lost.is_empty() {
        return;
    }
    out.heading("Lost");
    for (object, waiver) in lost.iter().take(MOST) {
        let what = match waiver.not_compared.as_slice() {
            [] => "not as on the source, because of what is lost".to_owned(),
            clauses => plain(&clauses.join("; ")),
        };
        out.line(&format!("- {}: {what}", code(object)));
        for difference in waiver.differences.iter().take(MOST) {
            let word = differences::word(difference.kind);
            let class = plain(&difference.class);
            let object = code(&difference.object);
            out.line(&format!("  - {word} {class} {object}"));
        }
    }
    out.line("");
    out.and_more(lost.len(), MOST, "losses");
}

fn tables(out: &mut Markdown, report: &Report) {
    if report.tables.is_empty() {
        return;
    }
    let tables = Tables::of(report);
    let all: Vec<&TableVerdict> = tables.urgent.iter().chain(&tables.calm).copied().collect();
    let count = words::count(all.len() as u64, "table", "tables");
    out.heading(&format!("{count}: {}", verdicts(&all)));
    let urgent = &tables.urgent[..tables.urgent.len().min(MOST)];
    let calm = &tables.calm[..tables.calm.len().min(LARGEST)];
    let shown = urgent.iter().chain(calm).map(|table| {
        let count =
            |rows: Option<Rows>| rows.map_or_else(|| "?".to_owned(), |rows| rows.to_string());
        let source = table.source_count.or(table.read.map(|digest| digest.rows));
        let word = tables.word(table);
        let word = if urgent.contains(table) {
            format!("**{word}**")
        } else {
            word.to_owned()
        };
        vec![
            code(&table.table.shown()),
            count(source),
            count(table.target.map(|digest| digest.rows)),
            table.bytes.to_string(),
            word,
        ]
    });
    let heads = ["table", "source rows", "target rows", "bytes", "verdict"];
    out.table(&heads, shown);
    let rest = [&tables.urgent[urgent.len()..], &tables.calm[calm.len()..]].concat();
    if !rest.is_empty() {
        let more = words::count(rest.len() as u64, "more table", "more tables");
        let of = verdicts(&rest);
        out.paragraph(&format!("… and {more} ({of}), in report.json"));
    }
}

fn gaps(out: &mut Markdown, report: &Report) {
    let gaps = not_verified(report);
    out.heading("Not verified");
    for (what, why) in gaps.iter().take(MOST) {
        out.line(&format!("- {}: {}", plain(what), plain(why)));
    }
    out.line("");
    out.and_more(gaps.len(), MOST, "not verified");
    let waivers = salvaged::passed_over(report);
    if !waivers.is_empty() {
        out.heading("Passed over on request");
        for waiver in waivers.iter().take(MOST) {
            let count = waiver.differences.len() as u64;
            let count = words::count(count, "difference", "differences");
            out.line(&format!("- {}: {count}", code(&waiver.rule)));
        }
        out.line("");
        out.and_more(waivers.len(), MOST, "rules");
    }
}

fn findings(out: &mut Markdown, report: &Report) {
    let findings: Vec<_> = report
        .findings
        .iter()
        .filter(|finding| finding.severity > Severity::Note)
        .collect();
    if findings.is_empty() {
        return;
    }
    out.heading("Warnings");
    for finding in findings.iter().take(MOST) {
        let word = match finding.severity {
            Severity::Blocker => "**blocker** ",
            _ => "",
        };
        let what = plain(finding.what.trim_end());
        out.line(&format!("- {word}{what} ({})", code(&finding.rule)));
        for fact in &finding.evidence {
            out.sub_item(fact.trim_end());
        }
        if !finding.remedy.is_empty() {
            out.sub_item(&format!("what to do: {}", finding.remedy.trim_end()));
        }
    }
    out.line("");
    out.and_more(findings.len(), MOST, "warnings");
}

fn course(out: &mut Markdown, report: &Report) {
    if report.phases.is_empty() {
        return;
    }
    out.heading("Where the time went");
    let phases = report.phases.iter().map(|of| {
        vec![
            phase(of.phase).to_owned(),
            format!("{} of {}", Rows(of.finished), Rows(of.jobs)),
            words::duration(of.busy_ms),
        ]
    });
    out.table(&["phase", "jobs finished", "work of all workers"], phases);
    let slowest = slowest(report, SLOWEST);
    if !slowest.is_empty() {
        out.paragraph("The slowest jobs:");
        for job in slowest {
            let took = words::duration(job.duration_ms);
            out.line(&format!("- {}: {took}", code(&job.plan.label)));
        }
        out.line("");
    }
}

fn retries(out: &mut Markdown, report: &Report) {
    if report.retries.is_empty() {
        return;
    }
    let labels = labels(report);
    out.heading("Tried again");
    for retry in report.retries.iter().take(MOST) {
        let label = labels.get(&retry.job).copied().unwrap_or_default();
        let because = plain(&retry.because);
        let attempt = retry.attempt;
        out.line(&format!("- {}, attempt {attempt}: {because}", code(label)));
    }
    out.line("");
    out.and_more(report.retries.len(), MOST, "retries");
}

fn notes(out: &mut Markdown, report: &Report) {
    if report.notes.is_empty() {
        return;
    }
    out.heading("Notes");
    for note in report.notes.iter().take(MOST) {
        out.line(&format!("- {}", plain(note.trim_end())));
    }
    out.line("");
    out.and_more(report.notes.len(), MOST, "notes");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_is_markup() {
        assert_eq!(
            plain("a_b *c* <d> \u{202e}"),
            "a\\_b \\*c\\* \\<d\\> \\\\u{202e}"
        );
        assert_eq!(code("a|b"), "`a\\|b`");
        assert_eq!(code("`x``y"), "``` `x``y ```");
        let mut out = Markdown::default();
        out.fenced("```\n# not a heading");
        assert!(out.text.starts_with("````\n```\n"), "{}", out.text);
    }

    #[test]
    fn what_is_to_be_pasted_can_be_copied() {
        let mut out = Markdown::default();
        out.sub_item("what to do: On the *target*:\nselect 'a||b';\nselect '`';");
        assert_eq!(
            out.text,
            "  - what to do: On the \\*target\\*:\n    ```\n    select 'a||b';\n    select '`';\n    ```\n"
        );
    }
}
