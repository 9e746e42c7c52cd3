//! The page and the Markdown about a run: that they say what matters, lose nothing silently, and let nothing in that is markup.

#[expect(
    dead_code,
    reason = "every test binary compiles all of this and uses a part"
)]
mod recorded;
mod support;

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use pgconvoy::event::{Event, Phase, PlannedJob, What};
use pgconvoy::model::{
    Bytes, ExitStatus, JobId, QualifiedName, Rows, TableVerdict, Verdict, VerifyLevel,
};
use pgconvoy::report::course::{Course, SpanEnd};
use pgconvoy::report::{
    Conclusion, Ending, Record, Report, Running, conclude, html, json, markdown,
};
use proptest::prelude::*;
use recorded::{MB, Run, comparison};
use serde_json::Value;
use support::binary::{Finished, Pgconvoy};

/// Hostile in every way at once: a script, both quotes, an entity, a turned direction, controls, Markdown.
const HOSTILE: &str = "</code></title></style>-->\"'><script>alert(1)</script>&lt;\u{202e}\u{0}\u{1b}[31m`|\n# pwned\n";

fn close(run: Run) -> Run {
    let report = Report::from_events(&run.events);
    let Conclusion {
        status,
        sentence,
        next,
    } = conclude(&report, &Ending::Complete);
    recorded::finished(run, status, sentence, next)
}

fn page_of(events: &[Event]) -> String {
    with_record(events, html::page)
}

fn with_record(events: &[Event], render: fn(Record<'_>) -> String) -> String {
    render(Record {
        report: &Report::from_events(events),
        course: &Course::from_events(events),
        running: None,
        remarks: &[],
    })
}

/// The page without its style, which is looked at and not read.
fn body(page: &str) -> String {
    let (before, rest) = page.split_once("<style>").expect("has a style");
    let (_, after) = rest.split_once("</style>").expect("it ends");
    format!("{before}{after}")
}

fn proven() -> Run {
    let mut run = recorded::verified(VerifyLevel::Content, Verdict::Identical, Verdict::Identical);
    recorded::moved_on(&mut run);
    close(run)
}

fn failed() -> Run {
    close(recorded::failed())
}

fn compared() -> Run {
    let mut run = comparison::different();
    comparison::warnings(&mut run);
    comparison::unverified(&mut run);
    comparison::in_flux(&mut run);
    comparison::waived(&mut run);
    close(run)
}

fn salvaged() -> Run {
    let mut run = recorded::salvaged();
    recorded::edited(&mut run);
    close(run)
}

fn turned() -> Run {
    close(comparison::turned())
}

fn everything() -> Vec<(&'static str, Run)> {
    vec![
        ("proven", proven()),
        ("failed", failed()),
        ("compared", compared()),
        ("salvaged", salvaged()),
        ("turned", turned()),
        ("resumed", recorded::resumed()),
        ("stopped", recorded::stopped()),
        ("many tables", close(recorded::many_tables())),
        ("wrong database", close(comparison::wrong_database())),
        ("nothing", Run::default()),
    ]
}

#[test]
fn a_proven_run_as_a_page() {
    insta::assert_snapshot!("page_proven", body(&page_of(&proven().events)));
}

#[test]
fn a_failed_run_as_a_page() {
    insta::assert_snapshot!("page_failed", body(&page_of(&failed().events)));
}

#[test]
fn a_comparison_as_a_page() {
    insta::assert_snapshot!("page_compared", body(&page_of(&compared().events)));
}

#[test]
fn a_turn_as_a_page() {
    insta::assert_snapshot!("page_turned", body(&page_of(&turned().events)));
}

#[test]
fn a_salvage_as_a_page() {
    insta::assert_snapshot!("page_salvaged", body(&page_of(&salvaged().events)));
}

#[test]
fn runs_as_markdown() {
    for (name, run) in [
        ("markdown_proven", proven()),
        ("markdown_failed", failed()),
        ("markdown_compared", compared()),
        ("markdown_salvaged", salvaged()),
        ("markdown_turned", turned()),
    ] {
        insta::assert_snapshot!(name, with_record(&run.events, markdown::text));
    }
}

/// Nobody asked for what is lost: it is not among what was passed over on request, and neither is it what was not to be proven.
#[test]
fn what_is_lost_is_not_called_a_request() {
    for render in [html::page, markdown::text] {
        let text = with_record(&close(recorded::salvaged()).events, render);
        for says in [
            "Salvaged, with losses",
            "what could be read of a damaged database",
            "finished, but not everything could be read)",
            "3 of 40 blocks",
        ] {
            assert!(text.contains(says), "{says}: {text}");
        }
        for never in ["on request:", "Passed over", "waived by", "salvage:"] {
            assert!(!text.contains(never), "{never}: {text}");
        }
        // One that leaves something out on request besides says so.
        let text = with_record(&salvaged().events, render);
        for says in [
            "Passed over on request",
            "edited:failed/3412",
            "and not everything was to be proven)",
        ] {
            assert!(text.contains(says), "{says}: {text}");
        }
    }
    // An archive that is the account of a damaged database, and a server that was filled from it.
    let mut run = comparison::same();
    recorded::lost(&mut run);
    let page = page_of(&close(run).events);
    assert!(page.contains("not all that the database once held"));
    assert!(!page.contains("on request") && !page.contains("--ignore"));
}

/// The elements of a page, in order; fails where one does not end, or where there is something that may not be.
fn elements(page: &str) -> Vec<String> {
    const VOID: [&str; 2] = ["meta", "link"];
    let rest = page.strip_prefix("<!DOCTYPE html>\n").expect("a doctype");
    // Its rules have signs that are markup elsewhere.
    let rest = body(rest);
    let mut open: Vec<&str> = Vec::new();
    let mut all = Vec::new();
    let mut ids = Vec::new();
    for piece in rest.split('<').skip(1) {
        let (tag, text) = piece.split_once('>').expect("every tag ends");
        assert!(!text.contains('>'), "a sign that is not escaped: {text}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "in {piece}");
            continue;
        }
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        assert!(
            name.chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()),
            "{name}"
        );
        let quotes = attributes.matches('"').count();
        assert_eq!(quotes % 2, 0, "{attributes}");
        for attribute in attributes.split("\" ").filter(|text| !text.is_empty()) {
            let (key, value) = attribute.split_once("=\"").expect("a value in quotes");
            assert!(!key.starts_with("on") && key != "src", "{key}");
            assert!(key != "href" || value.starts_with("data:,"), "{value}");
            if key == "id" {
                ids.push(value.to_owned());
            }
        }
        if !VOID.contains(&name) {
            open.push(name);
        }
        all.push(name.to_owned());
    }
    assert_eq!(open, [""; 0], "everything ends");
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "each id once");
    all
}

#[test]
fn every_page_is_whole_and_needs_nothing_besides() {
    for (name, run) in everything() {
        let page = page_of(&run.events);
        let elements = elements(&page);
        for absent in ["script", "img", "iframe", "object", "form", "base"] {
            assert!(
                !elements.iter().any(|element| element == absent),
                "{name}: {absent}"
            );
        }
        for absent in ["@import", "url(", "http://", "https://"] {
            assert!(!page.contains(absent), "{name}: {absent}");
        }
        assert!(page.contains("default-src &#39;none&#39;"), "{name}");
        assert!(elements.iter().any(|element| element == "h1"), "{name}");
    }
}

/// Replaces every text of an event that comes from outside.
fn poison(value: &mut Value, key: &str) {
    const OURS: [&str; 19] = [
        "event",
        "at",
        "phase",
        "verdict",
        "kind",
        "severity",
        "state",
        "side",
        "status",
        "format",
        "sum",
        "verify",
        "level",
        "command",
        "bound",
        "at_work",
        "turn_step",
        "happening",
        "happened_at",
    ];
    match value {
        Value::String(text) if !OURS.contains(&key) => {
            text.push_str(HOSTILE);
        }
        Value::Array(items) => items.iter_mut().for_each(|item| poison(item, key)),
        Value::Object(fields) => fields
            .iter_mut()
            .for_each(|(key, value)| poison(value, key)),
        _ => {}
    }
}

fn poisoned(events: &[Event]) -> Vec<Event> {
    let poison_one = |event: &Event| {
        let mut value = serde_json::to_value(event).expect("is JSON");
        let severity = value.get("severity").cloned();
        poison(&mut value, "");
        if let Some(severity) = severity {
            value["severity"] = severity;
        }
        serde_json::from_value(value).expect("is still an event")
    };
    events.iter().map(poison_one).collect()
}

#[test]
fn nothing_from_outside_is_markup() {
    let ours: BTreeSet<String> = everything()
        .iter()
        .flat_map(|(_, run)| elements(&page_of(&run.events)))
        .collect();
    for (name, run) in everything() {
        let page = page_of(&poisoned(&run.events));
        // Whole, and made of nothing but what we put there.
        for element in elements(&page) {
            assert!(ours.contains(&element), "{name}: {element}");
        }
        assert!(!page.contains("<script"), "{name}");
        let unseen = |c: char| (c.is_control() && c != '\n' && c != '\t') || c == '\u{202e}';
        assert!(!page.contains(unseen), "{name}");
        if !run.events.is_empty() {
            assert!(
                page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"),
                "{name}"
            );
            assert!(page.contains("\\u{202e}"), "{name}");
        }
    }
}

#[test]
fn nothing_from_outside_is_markdown() {
    for (name, run) in everything() {
        let text = with_record(&poisoned(&run.events), markdown::text);
        let mut fence: Option<&str> = None;
        for line in text.lines() {
            match fence {
                Some(open) if line == open => fence = None,
                Some(_) => {}
                None if line.starts_with("```") && line.chars().all(|c| c == '`') => {
                    fence = Some(line);
                }
                None => {
                    assert!(!line.starts_with("# pwned"), "{name}: {line}");
                    let outside = without_code(line);
                    assert!(!outside.replace("\\<", "").contains('<'), "{name}: {line}");
                }
            }
        }
        assert_eq!(fence, None, "{name}: every fence ends");
        assert!(!text.contains(['\u{202e}', '\u{1b}', '\u{0}']), "{name}");
    }
}

/// A line without what stands between backquotes, of which a code has as many before as after it.
fn without_code(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line.replace("\\`", "");
    while let Some(at) = rest.find('`') {
        out.push_str(&rest[..at]);
        let run = rest[at..].chars().take_while(|c| *c == '`').count();
        let inside = rest[at + run..].to_owned();
        let fence = "`".repeat(run);
        let end = (0..inside.len())
            .filter(|end| inside.is_char_boundary(*end))
            .find(|end| {
                inside[*end..].starts_with(&fence)
                    && !inside[end + run..].starts_with('`')
                    && !inside[..*end].ends_with('`')
            });
        let Some(end) = end else {
            out.push_str(&inside);
            return out;
        };
        inside[end + run..].clone_into(&mut rest);
    }
    out.push_str(&rest);
    out
}

#[test]
fn the_verdict_comes_first_and_says_what_it_means() {
    for (run, word, meaning, status) in [
        (
            proven(),
            "Proven",
            "Do not switch over yet",
            "Exit status 0",
        ),
        (
            failed(),
            "Failed",
            "Do not switch over to this target",
            "Exit status 1",
        ),
        (
            compared(),
            "Different",
            "it is not what the source was",
            "Exit status 3",
        ),
    ] {
        let page = page_of(&run.events);
        let header = page.split_once("<header").expect("a header").1;
        let header = header.split_once("</header>").expect("it ends").0;
        for says in [word, meaning, status] {
            assert!(header.contains(says), "{says}: {header}");
        }
    }
}

#[test]
fn a_failed_statement_is_whole_however_long() {
    let statement = format!("SELECT '{}' AS \"größe\";", "x".repeat(200_000));
    let mut run = recorded::copied(VerifyLevel::Content);
    let mut failure = recorded::failure();
    failure.statement = Some(statement.clone());
    run.start(7).wait(700).push(What::JobFailed {
        job: JobId(7),
        failure: failure.into(),
    });
    let run = close(run);
    let unmarked = |page: String| page.replace("<mark>", "").replace("</mark>", "");
    let whole = statement.replace('\'', "&#39;").replace('"', "&quot;");
    assert!(unmarked(page_of(&run.events)).contains(&whole));
    assert!(with_record(&run.events, markdown::text).contains(&statement));
}

/// Five thousand tables, copied in pieces, indexed and read back by eight workers; one of them fails.
fn five_thousand_tables() -> Run {
    let mut run = Run::begin(VerifyLevel::Content);
    run.snapshot();
    let phases = [
        Phase::Data,
        Phase::Indexes,
        Phase::ForeignKeys,
        Phase::Verify,
    ];
    let jobs: Vec<PlannedJob> = (0..20_000)
        .map(|number: u32| PlannedJob {
            id: JobId(number),
            phase: phases[number as usize / 5000],
            label: format!(
                "job {number} of public.a_table_with_a_name_{}",
                number % 5000
            ),
            bytes: Bytes(MB),
            rows: Rows(10_000),
        })
        .collect();
    run.push(What::Planned {
        jobs,
        tables: 5000,
        bytes: Bytes(5000 * MB),
    });
    for first in (0..20_000_u32).step_by(8) {
        for job in first..first + 8 {
            run.push(What::JobStarted {
                job: JobId(job),
                worker: job % 8,
            });
        }
        run.wait(i64::from(first % 7) * 30 + 20);
        for job in first..first + 8 {
            if job == 14_007 {
                run.push(What::JobFailed {
                    job: JobId(job),
                    failure: recorded::failure().into(),
                });
            } else {
                run.finish(job, 10_000, MB, 40);
            }
        }
    }
    for number in 0..5000_u64 {
        let verdict = match number {
            17 => Verdict::Different,
            _ => Verdict::Identical,
        };
        let name = format!("a_table_with_a_name_{number}");
        run.push(What::TableVerified(TableVerdict {
            ..recorded::table_verdict(
                QualifiedName::new("public", name),
                4_000_000 + number,
                number * MB,
                verdict,
            )
        }));
    }
    close(run)
}

#[test]
fn five_thousand_tables_are_all_there_in_two_megabytes() {
    let run = five_thousand_tables();
    let page = page_of(&run.events);
    elements(&page);
    assert!(page.len() <= 2_000_000, "{} bytes", page.len());
    let cells = page
        .split("<td>")
        .filter_map(|cell| cell.split_once("</td>"));
    let cells: HashSet<&str> = cells.map(|(cell, _)| cell).collect();
    for number in 0..5000 {
        let cell = format!("public.a_table_with_a_name_{number}");
        assert!(cells.contains(cell.as_str()), "table {number}");
    }
    let tables = page.split_once("id=\"tables\"").expect("tables").1;
    let first = tables.find("a_table_with_a_name_17<").expect("it is there");
    assert!(first < 2000, "what differs comes first, and not at {first}");
    // Every job is in some bar of the picture, and the one that failed is seen as such.
    let course = Course::from_events(&run.events);
    assert_eq!(course.legs[0].spans.len(), 20_000);
    assert_eq!(
        page.matches("<rect class=\"failed\"").count(),
        2,
        "a bar and its key"
    );
    assert!(page.contains("violates foreign key constraint"));
    let text = with_record(&run.events, markdown::text);
    assert!(text.len() < 60_000, "{} bytes", text.len());
    assert!(
        text.contains("… and 4,989 more tables (4,989 identical), in report.json"),
        "{text}"
    );
}

#[test]
fn a_run_that_goes_on_is_not_called_finished() {
    let run = recorded::under_way();
    let running = Running {
        by: "pgconvoy, pid 4711, since 03:04 UTC".to_owned(),
        at: recorded::at(20_000),
    };
    let report = Report::from_events(&run.events);
    let course = Course::from_events(&run.events);
    let record = Record {
        report: &report,
        course: &course,
        running: Some(&running),
        remarks: &["line 7 cannot be read".to_owned()],
    };
    let page = html::page(record);
    elements(&page);
    for says in [
        "Still running",
        "nothing is proven until it has ended",
        "pid 4711",
        "line 7 cannot be read",
    ] {
        assert!(page.contains(says), "{says}");
    }
    assert!(!page.contains("Exit status"));
}

/// What an earlier session copied is not told as the pace of the last one, which copied nothing.
#[test]
fn how_fast_rows_travelled_is_of_the_session_that_copied_them() {
    let rate = |run: &Run| {
        let page = page_of(&run.events);
        let figure = page.split_once(" copied</strong><span>");
        let (_, figure) = figure.expect("it is told");
        figure.split_once("</span>").expect("it ends").0.to_owned()
    };
    let once = proven();
    let mut again = proven();
    let start = again.events[0].what.clone();
    again.wait(3_600_000).push(start).snapshot();
    recorded::plan(&mut again).wait(1000);
    for (table, rows, bytes) in recorded::TABLES {
        again.verdict(table, rows, bytes, Verdict::Identical);
    }
    assert_eq!(rate(&once), "81.7 MB/s while rows travelled");
    assert_eq!(rate(&again), rate(&once));
}

#[test]
fn the_course_knows_who_worked_when() {
    let course = Course::from_events(&recorded::resumed().events);
    assert_eq!(course.legs.len(), 2);
    let first = &course.legs[0];
    assert_eq!(first.workers, 4);
    let ends: Vec<(u32, SpanEnd)> = first
        .spans
        .iter()
        .map(|span| (span.job.0, span.end))
        .collect();
    assert_eq!(
        ends,
        [
            (0, SpanEnd::Finished),
            (1, SpanEnd::Running),
            (2, SpanEnd::Running),
            (3, SpanEnd::BrokenOff),
            (4, SpanEnd::Finished),
            (3, SpanEnd::Running),
        ]
    );
    // 8 MB of the small tables, and what the large ones had advanced.
    let (bytes, _) = first.copied.total();
    assert_eq!(bytes, Bytes((8 + 222 + 168 + 240) * MB));
    assert!(first.compared.is_empty());
}

#[test]
fn a_job_that_is_tried_again_by_its_worker_has_two_attempts() {
    let mut run = Run::begin(VerifyLevel::Content);
    recorded::plan(&mut run);
    run.start(1).wait(1000).advance(1, 10, 100);
    run.push(What::JobRetried {
        job: JobId(1),
        attempt: 1,
        because: "the connection was lost".to_owned(),
        wait_ms: 500,
    });
    run.wait(2000)
        .advance(1, 10, 60)
        .wait(500)
        .finish(1, 20, 160, 3500);
    let course = Course::from_events(&run.events);
    let spans: Vec<_> = course.legs[0]
        .spans
        .iter()
        .map(|span| (span.duration_ms(), span.end))
        .collect();
    assert_eq!(
        spans,
        [(1000, SpanEnd::BrokenOff), (2000, SpanEnd::Finished)]
    );
    assert_eq!(course.legs[0].copied.total().0, Bytes(260));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// A record may begin or end anywhere, and be out of order.
    #[test]
    fn no_order_of_events_breaks_a_page(
        events in Just([proven(), failed(), compared(), recorded::resumed()].into_iter().flat_map(|run| run.events).collect::<Vec<_>>()).prop_shuffle(),
        length in 0..200_usize,
    ) {
        let events = &events[..length.min(events.len())];
        elements(&page_of(events));
        with_record(events, markdown::text);
    }
}

/// A run directory with the record of a run, as a run leaves it.
fn run_dir(parent: &Path, events: &[Event]) {
    let dir = parent.join("run");
    fs::create_dir(&dir).expect("made");
    let mut text = String::new();
    for event in events {
        text.push_str(&serde_json::to_string(event).expect("is JSON"));
        text.push('\n');
    }
    fs::write(dir.join("events.jsonl"), text).expect("written");
}

fn report(events: &[Event], args: &[&str]) -> Finished {
    let run = Pgconvoy::new([&["report", "run"], args].concat());
    run_dir(run.dir(), events);
    run.run()
}

#[test]
fn the_page_is_written_into_the_run_directory() {
    let run = report(&proven().events, &[]);
    assert_eq!(run.status, 0, "{run}");
    assert_eq!(run.stdout, "run/report.html\n", "{run}");
    let path = run.path("run/report.html");
    let page = fs::read_to_string(&path).expect("a page");
    elements(&page);
    assert!(
        page.contains("<dd>run</dd>"),
        "the directory as it was named"
    );
    let mode = fs::metadata(&path).expect("exists").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "readable for its owner alone");
    let left: Vec<_> = fs::read_dir(run.path("run")).expect("exists").collect();
    assert_eq!(left.len(), 2, "nothing unfinished stays: {left:?}");
}

#[test]
fn the_page_can_go_elsewhere() {
    let run = report(&proven().events, &["-o", "-"]);
    assert_eq!(run.status, 0, "{run}");
    elements(&run.stdout);
    assert!(!run.path("run/report.html").exists());
    let run = report(&proven().events, &["-o", "here.html"]);
    assert_eq!(run.status, 0, "{run}");
    assert_eq!(run.stdout, "");
    elements(&fs::read_to_string(run.path("here.html")).expect("a page"));
    let run = report(&proven().events, &["-o", "no/such/place.html"]);
    assert_eq!(run.status, 1, "{run}");
    assert!(
        run.stderr.contains("writing no/such/place.html failed"),
        "{run}"
    );
}

#[test]
fn programs_and_tickets_have_theirs_on_stdout() {
    let run = report(&failed().events, &["--markdown"]);
    assert_eq!(run.status, 0, "{run}");
    assert!(run.stdout.starts_with("# ❌ Failed\n"), "{run}");
    let run = report(&proven().events, &["--json"]);
    assert_eq!(run.status, 0, "{run}");
    let mut expected = Report::from_events(&proven().events);
    "run".clone_into(&mut expected.run_dir);
    let expected = json::bytes(&expected).expect("is JSON");
    assert_eq!(run.stdout.as_bytes(), expected);
    assert_eq!(report(&[], &["--json", "--markdown"]).status, 2);
}

#[test]
fn a_run_that_was_killed_has_a_report_too() {
    let run = report(&recorded::stopped().events, &["--json"]);
    assert_eq!(run.status, 0, "{run}");
    let told: Report = serde_json::from_str(&run.stdout).expect("a report");
    assert_eq!(told.status, Some(ExitStatus::Interrupted));
    let run = report(&recorded::stopped().events, &["-o", "-"]);
    assert!(run.stdout.contains("pgconvoy resume run"), "{run}");
}

#[test]
fn what_cannot_be_read_of_a_record_is_said() {
    let run = Pgconvoy::new(["report", "run", "-o", "-"]);
    run_dir(run.dir(), &proven().events);
    let events = run.dir().join("run/events.jsonl");
    let text = fs::read_to_string(&events).expect("there");
    let text = text.replacen('\n', "\nnot an event\n{\"event\":\"unheard_of\"}\n", 1);
    fs::write(&events, text).expect("written");
    let run = run.run();
    assert_eq!(run.status, 0, "{run}");
    assert!(
        run.stdout.contains("no event can be read in line 2"),
        "{run}"
    );
    assert!(run.stdout.contains("unheard_of"), "{run}");
}

#[test]
fn what_is_no_run_directory_is_refused() {
    let run = Pgconvoy::new(["report", "nowhere"]).run();
    assert_eq!(run.status, 2, "{run}");
    assert!(
        run.stderr.contains("there is no run directory nowhere"),
        "{run}"
    );
    let run = Pgconvoy::new(["report"]).run();
    assert_eq!(run.status, 2, "{run}");
}
