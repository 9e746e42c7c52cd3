//! What a run comes to: the report, its last sentence, its table, and reading a record back.

#[expect(
    dead_code,
    reason = "every test binary compiles all of this and uses a part"
)]
mod recorded;

use std::fmt::Write as _;

use pgconvoy::event::{Event, Standing, StandingState, What};
use pgconvoy::model::{
    ExitStatus, Finding, FollowedBy, JobId, QualifiedName, Severity, Verdict, VerifyLevel,
};
use pgconvoy::progress::Style;
use pgconvoy::report::terminal::{View, render};
use pgconvoy::report::{
    Conclusion, Ending, Report, ReportBuilder, conclude, json, recorded as record,
};
use proptest::prelude::*;
use recorded::{MB, Run};

fn concluded(run: &Run) -> Conclusion {
    conclude(&Report::from_events(&run.events), &Ending::Complete)
}

fn close(run: Run) -> Run {
    let Conclusion {
        status,
        sentence,
        next,
    } = concluded(&run);
    recorded::finished(run, status, sentence, next)
}

fn shown(run: &Run, columns: u16, whole_failures: bool) -> String {
    let view = View {
        columns,
        style: Style { color: false },
        whole_failures,
    };
    render(&Report::from_events(&run.events), view).join("\n")
}

fn proven() -> Run {
    recorded::verified(VerifyLevel::Content, Verdict::Identical, Verdict::Identical)
}

#[test]
fn a_proven_run_says_what_is_proven_and_what_is_not_included() {
    let mut run = proven();
    recorded::moved_on(&mut run);
    let run = close(run);
    assert_eq!(
        Report::from_events(&run.events).status,
        Some(ExitStatus::Proven)
    );
    insta::assert_snapshot!("proven_80", shown(&run, 80, false));
    insta::assert_snapshot!("proven_200", shown(&run, 200, false));
}

#[test]
fn a_run_with_differences_is_not_proven() {
    let mut run = recorded::verified(VerifyLevel::Content, Verdict::Identical, Verdict::Different);
    recorded::different(&mut run);
    let run = close(run);
    assert_eq!(
        Report::from_events(&run.events).status,
        Some(ExitStatus::Different)
    );
    insta::assert_snapshot!(shown(&run, 80, false));
}

#[test]
fn a_failed_run_says_what_failed_and_what_was_left_out() {
    let run = close(recorded::failed());
    assert_eq!(
        Report::from_events(&run.events).status,
        Some(ExitStatus::Failed)
    );
    insta::assert_snapshot!("failed_live", shown(&run, 80, false));
    insta::assert_snapshot!("failed_recorded", shown(&run, 80, true));
}

#[test]
fn of_many_tables_those_that_need_a_look_are_all_there() {
    let text = shown(&close(recorded::many_tables()), 80, false);
    assert!(text.contains("… and 2,977 more tables, all identical"));
    insta::assert_snapshot!(text);
}

#[test]
fn a_killed_run_is_not_mistaken_for_a_proven_one() {
    insta::assert_snapshot!(shown(&proven(), 80, false));
}

#[test]
fn a_name_too_long_for_its_column_is_never_cut() {
    let mut run = proven();
    let name = "x".repeat(63);
    run.push(What::TableVerified(recorded::table_verdict(
        QualifiedName::new(&*name, &*name),
        1,
        MB,
        Verdict::Identical,
    )));
    let text = shown(&close(run), 60, false);
    assert!(text.contains(&format!("{name}.{name}\n")), "{text}");
    for line in text.lines().filter(|line| !line.contains(&name)) {
        assert!(line.chars().count() <= 60, "{line}");
    }
}

fn will_follow() -> What {
    What::WillFollow(FollowedBy {
        name: "pgconvoy_0c4f".to_owned(),
        lsn: "0/16B3748".to_owned(),
    })
}

/// How runs end, each in another way.
fn endings() -> Vec<(&'static str, Run)> {
    vec![
        ("proven", proven()),
        (
            "counts",
            recorded::verified(VerifyLevel::Counts, Verdict::SameCount, Verdict::SameCount),
        ),
        ("none", recorded::copied_and_keyed(VerifyLevel::None)),
        ("excluded", {
            let mut run = proven();
            run.verdict("cache", 812, MB, Verdict::Excluded);
            run
        }),
        ("moved on, unknown where", {
            let mut run = proven();
            run.push(What::SourceMovedOn { tables: vec![] });
            run
        }),
        ("followed, and moved on", {
            let mut run = proven();
            run.push(will_follow());
            run.push(What::SourceMovedOn { tables: vec![] });
            run
        }),
        ("followed, and counted", {
            let mut run =
                recorded::verified(VerifyLevel::Counts, Verdict::SameCount, Verdict::SameCount);
            run.push(will_follow());
            run
        }),
        ("to be followed, and different", {
            let mut run =
                recorded::verified(VerifyLevel::Content, Verdict::Identical, Verdict::Different);
            run.push(will_follow());
            run
        }),
        ("different and unverified", {
            let mut run =
                recorded::verified(VerifyLevel::Content, Verdict::Identical, Verdict::Different);
            recorded::unverified(&mut run);
            run
        }),
        ("unverified", {
            let mut run = recorded::verified(
                VerifyLevel::Content,
                Verdict::Identical,
                Verdict::NotVerified,
            );
            recorded::unverified(&mut run);
            run
        }),
        (
            "nothing verified",
            recorded::copied_and_keyed(VerifyLevel::Content),
        ),
        ("salvaged", recorded::salvaged()),
        ("salvaged, with a statement that was edited", {
            let mut run = recorded::salvaged();
            recorded::edited(&mut run);
            run
        }),
        ("counted, with a statement that was edited", {
            let mut run =
                recorded::verified(VerifyLevel::Counts, Verdict::SameCount, Verdict::SameCount);
            recorded::edited(&mut run);
            run
        }),
        ("failed", recorded::failed()),
        ("cut off", recorded::under_way()),
        ("no plan", Run::begin(VerifyLevel::Content)),
        ("no-go", {
            let mut run = Run::begin(VerifyLevel::Content);
            run.push(What::Finding(Finding {
                severity: Severity::Blocker,
                rule: "target-not-empty".to_owned(),
                what: "the target has 12 tables".to_owned(),
                evidence: Vec::new(),
                remedy: "--overwrite mastodon".to_owned(),
            }));
            run
        }),
    ]
}

/// Each sentence, with its status and what to do next, to be read as an operator would.
#[test]
fn the_sentences() {
    let mut text = String::new();
    let mut describe = |name: &str, conclusion: Conclusion| {
        let _ = write!(
            text,
            "## {name}: {:?}\n{}\n{}\n\n",
            conclusion.status,
            conclusion.sentence,
            conclusion.next.unwrap_or_default()
        );
    };
    for (name, run) in &endings() {
        describe(name, concluded(run));
    }
    let stopped = Ending::Stopped {
        status: ExitStatus::Interrupted,
        why: "the connection to db2.example.org was lost".to_owned(),
    };
    let under_way = Report::from_events(&recorded::under_way().events);
    describe("interrupted", conclude(&under_way, &stopped));
    let begun = Report::from_events(&Run::begin(VerifyLevel::Content).events);
    describe("interrupted early", conclude(&begun, &stopped));
    for (name, conclusion) in later_sessions(&stopped) {
        describe(name, conclusion);
    }
    insta::assert_snapshot!(text);
}

/// What is said of sessions that go on with a run, or cannot.
fn later_sessions(stopped: &Ending) -> [(&'static str, Conclusion); 3] {
    let away = Ending::Stopped {
        status: ExitStatus::Usage,
        why: "cannot connect to the target".to_owned(),
    };
    let later = ReportBuilder::after(&recorded::under_way().events).build();
    let mut rehearsal = proven();
    let mut first = rehearsal.events[0].clone();
    called(&mut first, "rehearse");
    called(&mut rehearsal.events[0], "resume");
    rehearsal.events.insert(0, first);
    [
        ("not resumed", conclude(&later, &away)),
        ("resumed, and interrupted early", conclude(&later, stopped)),
        ("a resumed rehearsal", concluded(&rehearsal)),
    ]
}

fn called(first: &mut Event, name: &str) {
    match &mut first.what {
        What::RunStarted { command, .. } => name.clone_into(command),
        other => panic!("{other:?}"),
    }
}

/// Of a run of several sessions, the report is about the last; what an earlier one did counts, and no verdict of it does.
#[test]
fn a_resumed_run_is_judged_by_its_last_session() {
    let report = Report::from_events(&recorded::resumed().events);
    assert_eq!(report.command, "resume");
    assert_eq!(report.tables, [], "verdicts are found anew");
    let sessions: Vec<(&str, Option<ExitStatus>, i64)> = report
        .sessions
        .iter()
        .map(|session| {
            let length = session.ended_at - session.started_at;
            (&*session.command, session.status, length.num_milliseconds())
        })
        .collect();
    assert_eq!(sessions, [("move", None, 11_300), ("resume", None, 1000)]);
    let resumed = report.resumed.expect("it was");
    assert_eq!(
        (resumed.done, resumed.redo, resumed.left, resumed.failed),
        (2, 1, 7, 1)
    );
    assert_eq!(report.retries.len(), 1, "those of all sessions");
    assert_eq!(report.failures().count(), 1);

    // A proof of an earlier session is none of a later one.
    let mut run = proven();
    let start = run.events[0].what.clone();
    run.push(start).snapshot();
    let again = recorded::plan(&mut run);
    assert_eq!(concluded(again).status, ExitStatus::Failed);

    // But what it did is done.
    let mut run = recorded::stopped();
    let mut whole = proven().events;
    let jobs = (0..11).map(|job| Standing {
        job: JobId(job),
        state: StandingState::Done,
        why: "the ledger has it".to_owned(),
    });
    let planned = whole
        .iter()
        .position(|event| matches!(event.what, What::Planned { .. }))
        .expect("is there");
    whole.retain(|event| {
        !matches!(
            event.what,
            What::JobStarted { .. } | What::JobFinished { .. }
        )
    });
    let resumed = What::Resumed {
        standing: jobs.collect(),
    };
    whole.insert(
        planned + 1,
        Event {
            at: whole[planned].at,
            what: resumed,
        },
    );
    run.events.extend(whole);
    assert_eq!(concluded(&run).status, ExitStatus::Proven);
}

#[test]
fn the_last_line_of_a_run_that_was_stopped_goes_on_with_it() {
    let mut run = recorded::stopped();
    if let What::RunStarted { run_dir, .. } = &mut run.events[0].what {
        "./Bob's run".clone_into(run_dir);
    }
    let ending = Ending::Stopped {
        status: ExitStatus::Interrupted,
        why: "interrupted by SIGTERM".to_owned(),
    };
    let Conclusion {
        status,
        sentence,
        next,
    } = conclude(&Report::from_events(&run.events), &ending);
    let run = recorded::finished(run, status, sentence, next);
    insta::assert_snapshot!(shown(&run, 80, false));
}

/// Take any single piece of evidence away, and the run is not proven any more.
#[test]
fn proven_needs_every_piece_of_evidence() {
    let whole = proven();
    assert_eq!(concluded(&whole).status, ExitStatus::Proven);
    let mut tried = 0;
    for missing in 0..whole.events.len() {
        let what = &whole.events[missing].what;
        let is_evidence = matches!(
            what,
            What::TableVerified(_)
                | What::JobFinished { .. }
                | What::Planned { .. }
                | What::SnapshotTaken { .. }
        );
        if !is_evidence {
            continue;
        }
        tried += 1;
        let mut run = Run::default();
        run.events.extend_from_slice(&whole.events[..missing]);
        run.events.extend_from_slice(&whole.events[missing + 1..]);
        let status = concluded(&run).status;
        assert_eq!(status, ExitStatus::Failed, "without {what:?}");
    }
    assert_eq!(tried, 4 + 11 + 2);
    let mut unchecked = Run::default();
    let events = whole.events.iter();
    let rest = events.filter(|event| !matches!(event.what, What::Checked { .. }));
    unchecked.events.extend(rest.cloned());
    assert_eq!(concluded(&unchecked).status, ExitStatus::Failed);
}

#[test]
fn a_report_survives_its_file() {
    let directory = tempfile::tempdir().expect("can be made");
    let path = directory.path().join("report.json");
    let mut run = recorded::failed();
    recorded::different(&mut run);
    recorded::moved_on(&mut run);
    let report = Report::from_events(&close(run).events);
    json::write(&report, &path).expect("can be written");
    json::write(&report, &path).expect("can be written over");
    let bytes = std::fs::read(&path).expect("is there");
    assert_eq!(
        serde_json::from_slice::<Report>(&bytes).expect("is a report"),
        report
    );
    assert_eq!(
        std::fs::read_dir(directory.path())
            .expect("is there")
            .count(),
        1,
        "nothing is left beside it"
    );
    let missing = json::write(&report, &directory.path().join("no/report.json"));
    let error = missing.expect_err("has no directory").to_string();
    assert!(error.starts_with("writing the report to "), "{error}");
}

#[test]
fn a_record_is_read_as_far_as_it_goes() {
    let run = close(proven());
    let mut text = String::new();
    for event in &run.events {
        text.push_str(&serde_json::to_string(event).expect("serialises"));
        text.push('\n');
    }
    let whole = record::read(text.as_bytes()).expect("memory can be read");
    assert_eq!(whole.events, run.events);
    assert_eq!(whole.remarks(), [""; 0]);

    let foreign = r#"{"at":"2026-09-25T12:00:00Z","event":"from_the_future","x":1}"#;
    let torn = format!("{foreign}\nnot json\n\n{}", &text[..text.len() - 20]);
    let torn = record::read(torn.as_bytes()).expect("memory can be read");
    assert_eq!(torn.events, run.events[..run.events.len() - 1]);
    assert_eq!(
        torn.remarks(),
        [
            "the record ends in the middle of a line: the run was killed, or still goes on",
            "1 event is of a kind this version does not know: from_the_future",
            "no event can be read in line 2: the record is damaged"
        ]
    );
    // Nor is it damage where a session was killed and another one began behind it.
    let two = format!("{}\n{text}", &text[..text.len() - 20]);
    let two = record::read(two.as_bytes()).expect("memory can be read");
    assert_eq!(two.events.len(), 2 * run.events.len() - 1);
    assert_eq!(two.remarks(), [""; 0]);
    // A last line that lacks nothing but its line end is whole.
    let trimmed = record::read(text.trim_end().as_bytes()).expect("memory can be read");
    assert_eq!(trimmed, whole);
}

proptest! {
    #[test]
    fn any_part_of_a_record_gives_a_report(
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..80),
        columns in 0_u16..250,
        whole_failures in any::<bool>(),
    ) {
        let mut all = recorded::failed();
        recorded::different(&mut all);
        recorded::moved_on(&mut all);
        recorded::unverified(&mut all);
        all.verdict("x", 1, 1, Verdict::NotVerified);
        let all = close(all);
        let report = Report::from_events(picks.iter().map(|pick| pick.get(&all.events)));
        let view = View { columns, style: Style { color: true }, whole_failures };
        let _ = render(&report, view);
        let conclusion = conclude(&report, &Ending::Complete);
        prop_assert_ne!(conclusion.status, ExitStatus::Proven);
    }

    #[test]
    fn any_prefix_of_a_record_gives_a_report_and_only_the_whole_is_proven(length in 0_usize..200) {
        let run = proven();
        let length = length.min(run.events.len());
        let report = Report::from_events(&run.events[..length]);
        let conclusion = conclude(&report, &Ending::Complete);
        let last_verdict = run.events.iter().rposition(|event| matches!(event.what, What::TableVerified(_)));
        // The counts of what else was checked come last.
        let enough = length > last_verdict.expect("there are verdicts") + 1;
        prop_assert_eq!(conclusion.status == ExitStatus::Proven, enough);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = record::read(&*bytes);
    }
}
