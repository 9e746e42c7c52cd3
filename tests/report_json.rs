//! Holds the description of `report.json` and `events.jsonl` to what is written: every field of a report and of events that
//! have everything is described, with its type, and nothing is described that is not there.

#[expect(
    dead_code,
    reason = "every test binary compiles all of this and uses a part"
)]
mod recorded;

use std::collections::{BTreeMap, BTreeSet};

use chrono::DateTime;
use pgconvoy::event::{AtWork, Bound, Emptying, Event, Expected, ExpectedJob, What};
use pgconvoy::model::{
    Bytes, ColumnForm, CopyFormat, DifferenceKind, Endpoint, ExitStatus, Finding, FollowMoment,
    FollowedBy, Happening, JobId, QualifiedName, RepairFile, Rows, RunCommand, Severity,
    ShownValue, Side, Synced, SyncedTable, Verdict, VerifyLevel,
};
use pgconvoy::report::{Ending, Report, conclude};
use recorded::{MB, Run, comparison};
use serde_json::{Map, Value};

const DOCUMENT: &str = include_str!("../src/report/report-json.md");

type Fields = BTreeMap<String, String>;

/// What the document says.
#[derive(Default)]
struct Format {
    objects: BTreeMap<String, Fields>,
    values: BTreeMap<String, BTreeSet<String>>,
    events: BTreeMap<String, Fields>,
    /// What of it was met.
    seen: BTreeSet<String>,
}

/// What stands between backquotes.
fn quoted(text: &str) -> Vec<String> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

impl Format {
    fn read() -> Self {
        let mut format = Self::default();
        let mut section = String::new();
        for line in DOCUMENT.lines() {
            if let Some(heading) = line.strip_prefix("## ") {
                heading.clone_into(&mut section);
            }
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let ["", name, second, ..] = cells.as_slice() else {
                continue;
            };
            match (section.as_str(), quoted(name).as_slice()) {
                ("Values", []) => {
                    let values = quoted(second).into_iter().collect();
                    format.values.insert((*name).to_owned(), values);
                }
                ("Events", [event]) => {
                    let fields = format.fields_of_event(second);
                    format.events.insert(event.clone(), fields);
                }
                (object, [field]) => {
                    let object = format.objects.entry(object.to_owned()).or_default();
                    let told = object.insert(field.clone(), (*second).to_owned());
                    assert_eq!(told, None, "{field} is described twice");
                }
                _ => {}
            }
        }
        // A job is a planned job with more.
        let planned = format.objects["PlannedJob"].clone();
        format
            .objects
            .get_mut("Job")
            .expect("is described")
            .extend(planned);
        format
    }

    /// Of a list of fields and their types, or of the words `those of a Finding`.
    fn fields_of_event(&self, text: &str) -> Fields {
        if let Some(object) = text.strip_prefix("those of a") {
            return self.objects[object.trim_start_matches('n').trim()].clone();
        }
        let fields = text.split(", ").filter(|field| !field.is_empty());
        let pair = |field: &str| {
            let mut parts = field.split('`').skip(1);
            let (name, kind) = (parts.next(), parts.next());
            let kind = kind.expect("a field has a type").trim();
            (
                name.expect("a field has a name").to_owned(),
                kind.to_owned(),
            )
        };
        fields.map(pair).collect()
    }

    fn meet_object(&mut self, name: &str, fields: &Fields, object: &Map<String, Value>) {
        for (field, value) in object {
            let Some(kind) = fields.get(field) else {
                panic!("{name} has {field}, which is not described: {value}");
            };
            self.seen.insert(format!("{name}.{field}"));
            self.meet(&format!("{name}.{field}"), kind, value);
        }
    }

    /// A value where one of this type is expected; types of an `or` are tried one after the other.
    fn meet(&mut self, place: &str, kind: &str, value: &Value) {
        for kind in kind.split(" or ") {
            match (kind, value) {
                ("null", Value::Null) => {
                    self.seen.insert(format!("{place} null"));
                    return;
                }
                ("string", Value::String(_)) | ("boolean", Value::Bool(_)) => return,
                ("integer", Value::Number(number)) if number.is_u64() || number.is_i64() => return,
                ("time", Value::String(text)) if DateTime::parse_from_rfc3339(text).is_ok() => {
                    return;
                }
                ("Written", Value::Array(pair)) => {
                    assert!(pair.len() == 2 && pair[0].is_string() && pair[1].is_u64());
                    return;
                }
                (list, Value::Array(values)) if list.ends_with("[]") => {
                    for value in values {
                        self.meet(place, list.trim_end_matches("[]"), value);
                    }
                    return;
                }
                (literal, Value::String(text)) if quoted(literal) == [format!("\"{text}\"")] => {
                    return;
                }
                (name, Value::String(text)) if self.values.contains_key(name) => {
                    assert!(self.values[name].contains(text), "{place}: {text}");
                    self.seen.insert(format!("{name}: {text}"));
                    return;
                }
                (name, Value::Object(object)) if self.objects.contains_key(name) => {
                    let fields = self.objects[name].clone();
                    self.meet_object(name, &fields, object);
                    return;
                }
                _ => {}
            }
        }
        panic!("{place} is described as {kind}, and is {value}");
    }

    /// What is described and was not met.
    fn unmet(&self) -> Vec<String> {
        let mut described = BTreeSet::new();
        let inherited = &self.objects["PlannedJob"];
        for (object, fields) in &self.objects {
            for (field, kind) in fields {
                let place = format!("{object}.{field}");
                if object != "Job" || !inherited.contains_key(field) {
                    let nullable = kind.ends_with("or null").then(|| format!("{place} null"));
                    described.extend(nullable);
                }
                described.insert(place);
            }
        }
        for (event, fields) in &self.events {
            described.extend(fields.keys().map(|field| format!("{event}.{field}")));
        }
        for (name, values) in &self.values {
            described.extend(values.iter().map(|value| format!("{name}: {value}")));
        }
        described.difference(&self.seen).cloned().collect()
    }
}

/// That every job takes an hour.
fn expected() -> Expected {
    let job = |number| ExpectedJob {
        job: JobId(number),
        duration_ms: 3_600_000,
        then_ms: 60_000,
    };
    Expected {
        by: Some("rehearsal".to_owned()),
        baseline: Some("x".to_owned()),
        total_ms: Some(3_600_000),
        after_ms: 1000,
        window_ms: Some(3_600_000),
        jobs: (0..8).map(job).collect(),
    }
}

/// Runs that have, all together, everything that can be.
#[expect(clippy::too_many_lines, reason = "a list")]
fn runs() -> Vec<Run> {
    let mut moved = recorded::failed();
    recorded::different(&mut moved);
    recorded::moved_on(&mut moved);
    for verdict in [Verdict::Excluded, Verdict::SameCount, Verdict::NotVerified] {
        moved.verdict("other", 1, MB, verdict);
    }
    let mut unread = recorded::table_verdict(
        QualifiedName::new("public", "unread"),
        1,
        0,
        Verdict::NotVerified,
    );
    (unread.read, unread.source_count) = (None, None);
    unread.format = CopyFormat::Text {
        because: "an array of a user-defined type".to_owned(),
    };
    unread.forms = vec![ColumnForm {
        column: "tags".to_owned(),
        form: "as text".to_owned(),
        because: "equal arrays may differ".to_owned(),
    }];
    moved.push(What::TableVerified(unread));
    moved.push(What::Finding(Finding {
        severity: Severity::Blocker,
        rule: "x".to_owned(),
        what: "x".to_owned(),
        evidence: vec!["a fact".into()],
        remedy: String::new(),
    }));
    moved.push(What::Finding(Finding {
        severity: Severity::Note,
        rule: "x".to_owned(),
        what: "x".to_owned(),
        evidence: Vec::new(),
        remedy: String::new(),
    }));
    let mut bare = recorded::failure();
    (bare.entry, bare.statement, bare.server_error) = (None, None, None);
    (bare.hint, bare.file) = (None, None);
    let mut whole = recorded::failure();
    let error = whole.server_error.as_mut().expect("has one");
    for field in [
        &mut error.hint,
        &mut error.context,
        &mut error.column,
        &mut error.data_type,
    ] {
        *field = Some("x".to_owned());
    }
    for (job, failure) in [(7, whole), (8, bare)] {
        moved.push(What::JobFailed {
            job: JobId(job),
            failure: failure.into(),
        });
    }

    let all = recorded::verified(VerifyLevel::Content, Verdict::Identical, Verdict::Identical);
    let mut measured = recorded::finished(all, ExitStatus::Proven, "x".to_owned(), None);
    let mut without = recorded::under_way();
    without.bound(1, Bound::Source).bound(3, Bound::Client);
    for at_work in [AtWork::Shown, AtWork::Unshown] {
        without.stands_still(1, "the server works", at_work);
    }
    for run in [&mut measured, &mut without] {
        let planned = run
            .events
            .iter()
            .position(|event| matches!(event.what, What::Planned { .. }));
        let planned = planned.expect("has a plan");
        let expected = Event {
            at: run.events[planned].at,
            what: What::Expected(Box::new(expected())),
        };
        run.events.insert(planned + 1, expected);
    }
    without.push(What::Expected(Box::default()));

    let mut compared = comparison::different();
    let mut rows = comparison::rows_with_values();
    let cut = ShownValue {
        text: Some("x".to_owned()),
        cut_from: Some(9),
    };
    rows.examples[0].columns[0].source = Some(cut);
    comparison::rows(&mut compared, rows);
    comparison::unverified(&mut compared);
    comparison::in_flux(&mut compared);
    comparison::waived(&mut compared);
    compared.push(What::SourceUnchanged);
    compared.push(What::RepairWritten(RepairFile {
        file: "repair.sql".to_owned(),
        covered: 1,
        differences: 2,
    }));
    compared.push(What::Difference(comparison::difference(
        DifferenceKind::Missing,
        "large object",
        "16385",
        "x",
    )));
    moved.push(What::WillFollow(FollowedBy {
        name: "pgconvoy_1".to_owned(),
        lsn: "0/16B3748".to_owned(),
    }));
    for happening in [Happening::Following, Happening::Dropped] {
        moved.push(What::FollowMoment(Box::new(FollowMoment {
            happened_at: recorded::at(moved.now_ms),
            happening,
            side: Side::Target,
            without_writers_ms: None,
            left: None,
        })));
    }
    moved.push(What::EmptyingTarget(Emptying {
        objects: 2,
        dropped: 1,
    }));
    let mut unreached = Run::begin_comparison(VerifyLevel::Schema);
    if let What::RunStarted {
        source,
        target,
        narrowed_by,
        ..
    } = &mut unreached.events[0].what
    {
        narrowed_by.push("--no-owner".to_owned());
        (source.version, target.version) = (None, None);
    }
    let mut runs = vec![
        moved,
        recorded::resumed(),
        recorded::under_way(),
        measured,
        without,
        compared,
        unreached,
        Run::begin(VerifyLevel::Counts),
        Run::begin(VerifyLevel::None),
        Run::default(),
    ];
    for status in [
        ExitStatus::Proven,
        ExitStatus::Failed,
        ExitStatus::Usage,
        ExitStatus::Different,
        ExitStatus::NoGo,
        ExitStatus::Interrupted,
        ExitStatus::Waived,
    ] {
        let run = Run::begin(VerifyLevel::Content);
        let report = Report::from_events(&run.events);
        let next = (status == ExitStatus::Failed).then(|| "again".to_owned());
        let sentence = conclude(&report, &Ending::Complete).sentence;
        runs.push(recorded::finished(run, status, sentence, next));
    }
    // Every phase has a job.
    let mut phases = Run::begin(VerifyLevel::Content);
    recorded::plan(&mut phases);
    runs.push(phases);
    let mut dump = Run::begin(VerifyLevel::Content);
    if let What::RunStarted { target, .. } = &mut dump.events[0].what {
        *target = Endpoint::archive("/backup/shop".to_owned(), "shop".to_owned());
    }
    runs.push(dump);
    runs.push(synced());
    runs.push(comparison::turned());
    let mut reserved = comparison::turned();
    let what = What::Reserved {
        reserved: "x".to_owned(),
    };
    let at = reserved.events[0].at;
    reserved.events.insert(1, Event { at, what });
    runs.push(reserved);
    runs
}

/// A run that has changed one table row by row, and another one as a whole.
fn synced() -> Run {
    let table = |name: &str, anew: Option<&str>| SyncedTable {
        table: QualifiedName::new("public", name),
        inserted: Rows(1),
        updated: Rows(2),
        deleted: Rows(3),
        anew: anew.map(str::to_owned),
        bytes: Bytes(4),
    };
    let mut run = Run::begin_comparison(VerifyLevel::Content);
    run.push(What::Synced(Box::new(Synced {
        committed: true,
        tables: vec![table("a", None), table("b", Some("x"))],
        sequences: vec![QualifiedName::new("public", "a_id_seq")],
        materialized_views: vec![QualifiedName::new("public", "v")],
        overruled: vec![QualifiedName::new("public", "a")],
        ..Synced::default()
    })));
    run
}

#[test]
fn the_format_is_described_field_by_field() {
    let mut format = Format::read();
    assert!(DOCUMENT.contains(&format!("`format` is {}.", Report::from_events([]).format)));
    for run in runs() {
        let report = serde_json::to_value(Report::from_events(&run.events)).expect("serialises");
        format.meet("the report", "Report", &report);
        for event in &run.events {
            let Value::Object(mut event) = serde_json::to_value(event).expect("serialises") else {
                panic!("an event is an object");
            };
            let at = event.remove("at").expect("has a time");
            format.meet("at", "time", &at);
            let kind = event.remove("event").expect("has a kind");
            let kind = kind.as_str().expect("is a word");
            let fields = format.events.get(kind).cloned();
            let fields = fields.unwrap_or_else(|| panic!("{kind} is not described"));
            format.meet_object(kind, &fields, &event);
            format.seen.insert(format!("event {kind}"));
        }
    }
    assert_eq!(format.unmet(), [""; 0], "described, and not there");
    let kinds: Vec<&String> = format.events.keys().collect();
    for kind in kinds {
        assert!(format.seen.contains(&format!("event {kind}")), "{kind}");
    }
}

/// Scripts tell runs apart by these words.
#[test]
fn every_command_is_described() {
    let mut rows = DOCUMENT.lines();
    let row = rows.find(|line| line.starts_with("| `command` | string |"));
    let words = row.and_then(|row| row.split('|').nth(3)).map(quoted);
    let described: BTreeSet<String> = words.expect("is described").into_iter().collect();
    assert_eq!(described, BTreeSet::from(RunCommand::ALL.map(String::from)));
}

/// The record of a newer version is read, and both it and its report name the command that it names.
#[test]
fn a_command_that_is_not_known_stays_as_it_is() {
    let run = Run::begin(VerifyLevel::Content);
    let known = serde_json::to_string(&run.events[0]).expect("serialises");
    let newer = known.replace(r#""command":"move""#, r#""command":"weather""#);
    assert_ne!(newer, known);
    let event: Event = serde_json::from_str(&newer).expect("it is read");
    let written = serde_json::to_string(&event).expect("serialises");
    assert_eq!(written, newer);
    let report = serde_json::to_value(Report::from_events([&event])).expect("serialises");
    assert_eq!(report["command"], "weather");
    assert_eq!(report["sessions"][0]["command"], "weather");
    let unsaid = serde_json::to_value(Report::from_events([])).expect("serialises");
    assert_eq!(unsaid["command"], "");
}
