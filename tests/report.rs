//! What a run comes to: the report, its last sentence, its table, and reading a record back.

#[expect(
    dead_code,
    reason = "every test binary compiles all of this and uses a part"
)]
mod recorded;

use std::fmt::Write as _;

use pgconvoy::event::{Emptying, Event, Expected, Standing, StandingState, What};
use pgconvoy::model::{
    ExitStatus, FILE_DAMAGED, Finding, FollowMoment, FollowedBy, Happening, JobId, QualifiedName,
    RunCommand, Severity, Side, Verdict, VerifyLevel,
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

/// What is wrong with a file is not a statement's cause that somebody could remove.
#[test]
fn a_damaged_archive_is_to_be_taken_from_another_copy() {
    let mut run = recorded::failed();
    let next = |run: &Run| concluded(run).next.expect("something is to be done");
    let of_statement = next(&run);
    assert!(of_statement.contains("Remove its cause"), "{of_statement}");
    for event in &mut run.events {
        if let What::JobFailed { failure, .. } = &mut event.what {
            failure.message = format!("{FILE_DAMAGED}/shop/7.dat: it holds no rows");
        }
    }
    let of_file = next(&run);
    for words in [
        "another copy of the archive",
        "dump again",
        "--retry-failed",
    ] {
        assert!(of_file.contains(words), "{of_file}");
    }
    assert!(!of_file.contains("Remove its cause"), "{of_file}");

    run.push(What::JobFailed {
        job: JobId(9),
        failure: recorded::failure().into(),
    });
    let of_both = next(&run);
    for words in ["another copy of the archive", "Remove its cause"] {
        assert!(of_both.contains(words), "{of_both}");
    }
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

fn follows() -> What {
    What::FollowMoment(Box::new(FollowMoment {
        happened_at: recorded::at(60_000),
        happening: Happening::Following,
        side: Side::Target,
        without_writers_ms: None,
        left: None,
    }))
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

/// Of a database with nothing in it there is a plan to do nothing.
#[test]
fn with_nothing_to_do_everything_is_done() {
    let mut run = Run::begin(VerifyLevel::Content);
    run.snapshot().push(What::Planned {
        jobs: Vec::new(),
        tables: 0,
        bytes: pgconvoy::model::Bytes(0),
    });
    assert_eq!(
        concluded(&run).status,
        ExitStatus::Failed,
        "nothing was compared"
    );
    run.push(What::Checked {
        what: "definitions".to_owned(),
        count: 0,
    });
    let copied = concluded(&run);
    assert_eq!(copied.status, ExitStatus::Proven, "{copied:?}");
    assert!(copied.sentence.contains("no rows to copy"), "{copied:?}");
    if let What::RunStarted { source, .. } = &mut run.events[0].what {
        *source = pgconvoy::model::Endpoint::archive("shop.dump".into(), "shop".into());
    }
    let restored = concluded(&run);
    assert_eq!(restored.status, ExitStatus::Proven, "{restored:?}");
    let nothing = "Proven: there is nothing to restore, which is what its database held";
    assert!(restored.sentence.starts_with(nothing), "{restored:?}");
}

/// The copy is proven in each of them; whether all is well depends on the follow.
#[test]
fn a_target_that_does_not_follow_as_it_was_to_is_not_well() {
    let mut run = proven();
    run.push(will_follow());
    let with = |status, ledger_is_left| Ending::NotFollowing {
        status,
        why: "the target does not follow the source yet: cannot connect to the source".to_owned(),
        ledger_is_left,
    };
    let before = Report::from_events(&run.events);
    for (told, status) in [
        (ExitStatus::Interrupted, ExitStatus::Interrupted),
        (ExitStatus::Failed, ExitStatus::Failed),
        // Something was touched.
        (ExitStatus::Usage, ExitStatus::Failed),
        (ExitStatus::Waived, ExitStatus::Failed),
    ] {
        let conclusion = conclude(&before, &with(told, false));
        assert_eq!(conclusion.status, status);
        let begins = "the target does not follow the source yet: cannot connect to the source. Proven: 4 tables, ";
        assert!(conclusion.sentence.contains(begins), "{conclusion:?}");
        let next = conclusion.next.expect("something is to be done");
        assert!(next.contains("pgconvoy follow"), "{next}");
        assert!(
            next.contains("slot pgconvoy_0c4f on the source keeps its WAL"),
            "{next}"
        );
    }
    let next = conclude(&before, &with(ExitStatus::Failed, true)).next;
    assert!(next.is_some_and(|next| next.contains("pgconvoy resume ")));

    run.push(follows());
    let report = Report::from_events(&run.events);
    assert_eq!(report.following_since, Some(recorded::at(60_000)));
    assert_eq!(report.turn, None, "it is no turn");
    let conclusion = concluded(&run);
    assert_eq!(conclusion.status, ExitStatus::Proven);
    let next = conclusion.next.unwrap_or_default();
    assert!(
        next.starts_with("The target follows the source, by "),
        "{next}"
    );
}

/// Whoever is told to remove what a target follows by must be certain that it does not.
#[test]
fn a_followed_run_that_was_killed_at_its_end_is_not_told_as_one_that_failed() {
    let killed = Ending::Stopped {
        status: ExitStatus::Interrupted,
        why: "no process works on it any more".to_owned(),
    };
    let mut run = proven();
    run.push(will_follow());
    let told = conclude(&Report::from_events(&run.events), &killed);
    assert_eq!(told.status, ExitStatus::Interrupted);
    let says = "whether the target is a copy of the source was not concluded";
    assert!(told.sentence.contains(says), "{told:?}");
    let next = told.next.expect("something is to be done");
    assert!(
        next.starts_with("Whether the target follows the source by now is not on record."),
        "{next}"
    );
    assert!(next.contains("pgconvoy resume "), "{next}");
    assert!(!next.contains("unfollow"), "{next}");

    run.push(follows());
    let told = conclude(&Report::from_events(&run.events), &killed);
    assert_eq!(told.status, ExitStatus::Interrupted);
    let begins = "Interrupted: no process works on it any more. Proven: 4 tables, ";
    assert!(told.sentence.starts_with(begins), "{told:?}");
    let next = told.next.expect("something is to be done");
    assert!(
        next.starts_with("The target follows the source, by "),
        "{next}"
    );

    // With jobs left, it is certain that it does not.
    let mut run = recorded::under_way();
    run.push(will_follow());
    let told = conclude(&Report::from_events(&run.events), &killed);
    let says = "the target is not a copy of the source";
    assert!(told.sentence.contains(says), "{told:?}");
    let next = told.next.unwrap_or_default();
    assert!(
        next.starts_with("The target does not follow the source yet."),
        "{next}"
    );
}

/// Until there is a plan for it, nothing else says that some of what the target held is gone.
#[test]
fn a_target_that_was_being_emptied_is_not_called_untouched() {
    let stopped = Ending::Stopped {
        status: ExitStatus::Interrupted,
        why: "interrupted by SIGINT".to_owned(),
    };
    for (dropped, says) in [
        (
            0,
            "The target was being emptied: of 150 objects that it held, none is known to be gone.",
        ),
        (
            100,
            "The target was being emptied: of 150 objects that it held, at least 100 are gone.",
        ),
        (
            150,
            "The target was emptied: what it held is gone (150 objects).",
        ),
    ] {
        let mut run = Run::begin(VerifyLevel::Content);
        for dropped in [0, dropped] {
            run.push(What::EmptyingTarget(Emptying {
                objects: 150,
                dropped,
            }));
        }
        let conclusion = conclude(&Report::from_events(&run.events), &stopped);
        assert_eq!(
            conclusion.sentence,
            format!("Interrupted by SIGINT. {says} No job had begun; nothing is proven.")
        );
        let next = conclusion.next.unwrap_or_default();
        assert!(next.contains("pgconvoy resume "), "{next}");
        recorded::plan(&mut run);
        let planned = conclude(&Report::from_events(&run.events), &stopped);
        assert!(!planned.sentence.contains("emptied"), "{planned:?}");
    }
}

/// What is gone is gone, whichever session did it, and whether it came to say so or not.
#[test]
fn what_is_gone_of_the_target_adds_up_over_the_sessions() {
    let stopped = Ending::Stopped {
        status: ExitStatus::Interrupted,
        why: "interrupted by SIGINT".to_owned(),
    };
    let so_far = |run: &Run| conclude(&Report::from_events(&run.events), &stopped).sentence;
    for (second, says) in [
        (
            (101, 0),
            "The target was being emptied: of 301 objects that it held, at least 200 are gone.",
        ),
        (
            (1, 0),
            "The target was being emptied: of 301 objects that it held, at least 300 are gone.",
        ),
        (
            (101, 101),
            "The target was emptied: what it held is gone (301 objects).",
        ),
        // Somebody has put some there.
        (
            (151, 0),
            "The target was being emptied: of 351 objects that it held, at least 200 are gone.",
        ),
    ] {
        let mut run = Run::begin(VerifyLevel::Content);
        let begins = run.events[0].what.clone();
        run.push(What::EmptyingTarget(Emptying {
            objects: 301,
            dropped: 200,
        }));
        run.push(begins.clone());
        run.push(What::EmptyingTarget(Emptying {
            objects: second.0,
            dropped: second.1,
        }));
        let expected =
            format!("Interrupted by SIGINT. {says} No job had begun; nothing is proven.");
        assert_eq!(so_far(&run), expected);
        // One that did not come so far.
        run.push(begins.clone());
        assert_eq!(so_far(&run), expected);
        recorded::plan(&mut run);
        run.push(begins);
        let after_a_plan = so_far(&run);
        assert!(!after_a_plan.contains("emptied"), "{after_a_plan}");
    }
}

/// What is said of sessions that go on with a run, or cannot.
fn later_sessions(stopped: &Ending) -> [(&'static str, Conclusion); 3] {
    let away = Ending::Stopped {
        status: ExitStatus::Usage,
        why: "cannot connect to the target".to_owned(),
    };
    let mut later = ReportBuilder::default();
    for event in &recorded::under_way().events {
        later.apply(event);
    }
    later.next_session();
    let later = later.build();
    let mut rehearsal = proven();
    let mut first = rehearsal.events[0].clone();
    called(&mut first, RunCommand::Rehearse);
    called(&mut rehearsal.events[0], RunCommand::Resume);
    rehearsal.events.insert(0, first);
    [
        ("not resumed", conclude(&later, &away)),
        ("resumed, and interrupted early", conclude(&later, stopped)),
        ("a resumed rehearsal", concluded(&rehearsal)),
    ]
}

fn called(first: &mut Event, name: RunCommand) {
    match &mut first.what {
        What::RunStarted { command, .. } => *command = name,
        other => panic!("{other:?}"),
    }
}

/// Of a run of several sessions, the report is about the last; what an earlier one did counts, and no verdict of it does.
#[test]
fn a_resumed_run_is_judged_by_its_last_session() {
    let report = Report::from_events(&recorded::resumed().events);
    assert_eq!(report.command, RunCommand::Resume);
    assert_eq!(report.tables, [], "verdicts are found anew");
    let sessions: Vec<(&str, Option<ExitStatus>, i64)> = report
        .sessions
        .iter()
        .map(|session| {
            let length = session.ended_at - session.started_at;
            let command = session.command.word();
            (command, session.status, length.num_milliseconds())
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
    let whole = read(&text);
    assert_eq!(whole, (run.events.clone(), Vec::new()));

    let foreign = r#"{"at":"2026-09-25T12:00:00Z","event":"from_the_future","x":1}"#;
    let torn = format!("{foreign}\nnot json\n\n{}", &text[..text.len() - 20]);
    let (events, remarks) = read(&torn);
    assert_eq!(events, run.events[..run.events.len() - 1]);
    assert_eq!(
        remarks,
        [
            "the record ends in the middle of a line: the run was killed, or still goes on",
            "1 event is of a kind this version does not know: from_the_future",
            "no event can be read in line 2: the record is damaged"
        ]
    );
    // Nor is it damage where a session was killed and another one began behind it.
    let two = format!("{}\n{text}", &text[..text.len() - 20]);
    let (events, remarks) = read(&two);
    assert_eq!(events.len(), 2 * run.events.len() - 1);
    assert_eq!(remarks, [""; 0]);
    // A last line that lacks nothing but its line end is whole.
    assert_eq!(read(text.trim_end()), whole);
}

/// What was expected is of the whole run, and so is what it took: not that of a session that was stopped, or did the rest.
#[test]
fn what_it_took_is_that_of_all_sessions() {
    let expected = || {
        What::Expected(Box::new(Expected {
            by: Some("rehearsal".to_owned()),
            total_ms: Some(41_000),
            ..Expected::default()
        }))
    };
    let took = |run: &Run| {
        let expected = Report::from_events(&run.events).expected;
        expected.expect("it was told").took_ms
    };
    let end = |run, status| recorded::finished(run, status, "x".to_owned(), None);
    let mut run = recorded::stopped();
    run.push(expected());
    let mut run = end(run, ExitStatus::Interrupted);
    assert_eq!(took(&run), None);
    assert!(!shown(&run, 200, false).contains("it took"));

    run.now_ms = 3_600_000;
    run.push(What::StepStarted {
        step: "connecting".to_owned(),
    });
    let later = proven();
    run.now_ms += later.now_ms;
    let later = later.events.into_iter().map(|event| Event {
        at: event.at + chrono::TimeDelta::hours(1),
        ..event
    });
    run.events.extend(later);
    run.push(expected());
    let run = end(run, ExitStatus::Proven);
    // 10.8 s of the one, and 24.3 s of the other; nobody's is the hour in between.
    assert_eq!(took(&run), Some(10_800 + 24_300));
    let says = "expected by the rehearsal: 41.0 s; it took 35.1 s, in 2 sessions";
    let text = shown(&run, 200, false);
    assert!(text.contains(says), "{text}");
    let failed = end(run, ExitStatus::Failed);
    assert_eq!(took(&failed), None, "not all of it was done");
}

/// Who resumes a run is at work before the record says so; if nobody is, the words of the session before are the last ones.
#[test]
fn what_comes_after_the_end_of_a_session_is_another_one() {
    let said = "Interrupted by SIGTERM.".to_owned();
    let mut run = recorded::finished(recorded::stopped(), ExitStatus::Interrupted, said, None);
    let builder = |run: &Run| {
        let mut builder = ReportBuilder::default();
        run.events.iter().for_each(|event| builder.apply(event));
        builder
    };
    let over = builder(&run).at_work().build();
    assert_eq!(over.status, Some(ExitStatus::Interrupted), "nothing came");
    run.wait(3_600_000).push(What::StepStarted {
        step: "connecting".to_owned(),
    });
    let killed = builder(&run).build();
    assert_eq!(killed.status, Some(ExitStatus::Interrupted));
    let report = builder(&run).at_work().build();
    assert_eq!((report.status, &*report.sentence), (None, ""));
    assert_eq!(report.source, killed.source);
    let sessions = report.sessions.iter();
    let sessions: Vec<_> = sessions
        .map(|session| {
            let length = session.ended_at - session.started_at;
            let command = session.command.word();
            (command, session.status, length.num_milliseconds())
        })
        .collect();
    let interrupted = Some(ExitStatus::Interrupted);
    assert_eq!(
        sessions,
        [("move", interrupted, 11_300), ("resume", None, 0)]
    );
}

/// The events of a record, and what is said of the rest.
fn read(text: &str) -> (Vec<Event>, Vec<String>) {
    let mut events = Vec::new();
    let rest = record::read(text.as_bytes(), |event| events.push(event));
    (events, rest.expect("memory can be read").remarks())
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
        let _ = record::read(&*bytes, drop);
    }
}
