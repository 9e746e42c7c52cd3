//! What a comparison comes to: its report and its last sentence, for each way it can end.

#[expect(
    dead_code,
    reason = "every test binary compiles all of this and uses a part"
)]
mod recorded;

use std::fmt::Write as _;

use pgconvoy::event::What;
use pgconvoy::model::{
    DifferenceKind, ExitStatus, Finding, QualifiedName, RepairFile, Rows, Severity, Verdict,
    VerifyLevel,
};
use pgconvoy::progress::Style;
use pgconvoy::report::terminal::{View, render};
use pgconvoy::report::{Conclusion, Ending, Report, conclude};
use proptest::prelude::*;
use recorded::{Run, comparison};

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

/// The report at the end, and its status; nothing in it is wider than the terminal but what cannot be broken.
fn shown(run: Run, columns: u16) -> (ExitStatus, String) {
    let run = close(run);
    let view = View {
        columns,
        style: Style { color: false },
        // The wide one is of a record: whoever reads that has not seen the notes of the run.
        whole_failures: columns > 80,
    };
    let report = Report::from_events(&run.events);
    let lines = render(&report, view);
    for line in &lines {
        assert!(
            line.chars().count() <= usize::from(columns).max(40),
            "too wide: {line}"
        );
        assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
    }
    (report.status.expect("it has ended"), lines.join("\n"))
}

fn quiet(mut run: Run) -> Run {
    run.push(What::SourceUnchanged);
    run
}

#[test]
fn a_proof_says_what_is_proven_and_that_the_source_was_quiet() {
    let (status, text) = shown(quiet(comparison::same()), 80);
    assert_eq!(status, ExitStatus::Proven);
    insta::assert_snapshot!(text);
}

#[test]
fn what_differs_is_told_worst_first_with_its_rows() {
    let (status, text) = shown(comparison::different(), 80);
    assert_eq!(status, ExitStatus::Different);
    insta::assert_snapshot!("verify_different_80", text);
    insta::assert_snapshot!(
        "verify_different_120",
        shown(comparison::different(), 120).1
    );
}

#[test]
fn what_could_not_be_verified_is_named_with_why() {
    let mut run = comparison::judged(
        VerifyLevel::Content,
        Verdict::Identical,
        Verdict::NotVerified,
    );
    comparison::unverified(&mut run);
    let (status, text) = shown(quiet(run), 80);
    assert_eq!(status, ExitStatus::Failed);
    insta::assert_snapshot!(text);
}

#[test]
fn what_was_in_flux_is_not_proven() {
    let mut run = comparison::same();
    comparison::in_flux(&mut run);
    let (status, text) = shown(run, 80);
    assert_eq!(status, ExitStatus::Failed);
    insta::assert_snapshot!(text);
}

#[test]
fn what_was_waived_takes_the_word_proven_away() {
    let mut run = comparison::same();
    comparison::waived(&mut run);
    let (status, text) = shown(quiet(run), 80);
    assert_eq!(status, ExitStatus::Waived);
    assert!(!text.contains("Proven"), "{text}");
    insta::assert_snapshot!(text);
}

#[test]
fn the_schema_alone_is_no_proof() {
    let (status, text) = shown(quiet(schema_only()), 80);
    assert_eq!(status, ExitStatus::Waived);
    assert!(!text.contains("Proven"), "{text}");
    insta::assert_snapshot!(text);
}

fn schema_only() -> Run {
    let mut run = Run::default();
    let whole = comparison::under_way(VerifyLevel::Schema);
    let taken = |what: &What| matches!(what, What::RunStarted { .. } | What::SnapshotTaken { .. });
    let events = whole.events.into_iter().filter(|event| taken(&event.what));
    run.events.extend(events);
    comparison::checked(&mut run);
    run
}

#[test]
fn a_wrong_database_does_not_flood_the_terminal() {
    let (status, text) = shown(comparison::wrong_database(), 80);
    assert_eq!(status, ExitStatus::Different);
    assert!(text.lines().count() < 800, "{}", text.lines().count());
    // Nothing is dropped without being counted.
    for counted in [
        "… and 155 more tables: 150 DIFFERENT, 5 NOT VERIFIED",
        "… and 125 more tables, all identical",
        "… and 200 more tables have rows that differ",
        "… and 200 more differences; report.json has them all:",
        "    200 × missing: comment",
    ] {
        assert!(text.contains(counted), "{counted}\n{text}");
    }
    insta::assert_snapshot!(text);
}

#[test]
fn sql_is_promised_only_where_there_can_be_some() {
    let next = |classes: &[&str]| {
        let mut run = comparison::same();
        for class in classes {
            let found = comparison::difference(DifferenceKind::Missing, class, "s.o", "");
            run.push(What::Difference(found));
        }
        concluded(&run).next.unwrap_or_default()
    };
    let promise = "With --repair FILE you get the SQL";
    for (classes, is_promised) in [
        (&["system object", "extension object"][..], false),
        (&["system object", "view"][..], true),
        (&["table data"][..], true),
    ] {
        let said = next(classes);
        assert_eq!(said.contains(promise), is_promised, "{said}");
        let is_refused = said.contains("--repair has no SQL for it");
        assert_eq!(is_refused, !is_promised, "{said}");
    }
}

/// Whoever has the SQL is told what to do with it, and not how to get it.
#[test]
fn of_sql_that_is_there_it_is_said_what_to_do_with_it() {
    let written = |covered| {
        What::RepairWritten(RepairFile {
            file: "my repair.sql".to_owned(),
            covered,
            differences: 6,
        })
    };
    let next = |covered| {
        let mut run = comparison::different();
        run.push(written(covered));
        concluded(&run).next.unwrap_or_default()
    };
    let (whole, in_part) = (next(6), next(5));
    for said in [&whole, &in_part] {
        assert!(
            said.contains("The repair is in my repair.sql: read it"),
            "{said}"
        );
        assert!(
            said.contains("(psql -X -d TARGET -f 'my repair.sql')"),
            "{said}"
        );
        assert!(said.ends_with("Then verify again."), "{said}");
        assert!(!said.contains("--repair"), "{said}");
    }
    assert!(!whole.contains("It covers"), "{whole}");
    let by_hand = "It covers 5 of 6 differences: the others are named at its head";
    assert!(in_part.contains(by_hand), "{in_part}");

    // A file without a statement in it is not to be run.
    let mut run = comparison::same();
    let found = comparison::difference(DifferenceKind::Missing, "system object", "s.o", "");
    run.push(What::Difference(found));
    run.push(written(0));
    let said = concluded(&run).next.unwrap_or_default();
    assert!(said.contains("--repair has no SQL for it"), "{said}");
    assert!(!said.contains("psql"), "{said}");
}

/// Each sentence, with its status and what to do next, to be read as an operator would.
#[test]
#[expect(clippy::too_many_lines, reason = "a list")]
fn the_sentences_of_a_comparison() {
    let with = |add: fn(&mut Run)| {
        let mut run = comparison::same();
        add(&mut run);
        run
    };
    let cases: Vec<(&str, Run)> = vec![
        (
            "proven, whether the source was quiet is not known",
            comparison::same(),
        ),
        (
            "proven, of a source that is written to",
            with(recorded::moved_on),
        ),
        (
            "proven, of a server that is busy elsewhere",
            with(|run| {
                run.push(What::SourceMovedOn { tables: vec![] });
            }),
        ),
        (
            "proven, with a table left out",
            with(|run| {
                let left_out = comparison::verdict("cache", 812, Verdict::Excluded);
                run.push(What::TableVerified(left_out));
            }),
        ),
        (
            "counts",
            comparison::judged(VerifyLevel::Counts, Verdict::SameCount, Verdict::SameCount),
        ),
        ("counts, and something passed over", {
            let mut run =
                comparison::judged(VerifyLevel::Counts, Verdict::SameCount, Verdict::SameCount);
            comparison::waived(&mut run);
            run
        }),
        (
            "with an archive that is an account of losses",
            with(recorded::lost),
        ),
        ("different while the source is written to", {
            let mut run = comparison::different();
            recorded::moved_on(&mut run);
            run
        }),
        ("different in schema only", with(comparison::schema_differs)),
        ("different, unverified, in flux and passed over", {
            let mut run = comparison::judged(
                VerifyLevel::Content,
                Verdict::NotVerified,
                Verdict::Different,
            );
            comparison::unverified(&mut run);
            comparison::in_flux(&mut run);
            comparison::waived(&mut run);
            run
        }),
        ("unverified and in flux", {
            let mut run = with(comparison::unverified);
            comparison::in_flux(&mut run);
            run
        }),
        ("only rows in flux", {
            let mut run = comparison::same();
            let mut rows = comparison::rows_of_statuses();
            (rows.missing, rows.changed, rows.in_flux) = (Rows(0), Rows(0), Rows(5));
            rows.examples.clear();
            comparison::rows(&mut run, rows);
            run
        }),
        ("nothing verified", comparison::read(VerifyLevel::Content)),
        ("reads cut off", comparison::under_way(VerifyLevel::Content)),
        (
            "nothing at all",
            Run::begin_comparison(VerifyLevel::Content),
        ),
        ("no-go", {
            let mut run = Run::begin_comparison(VerifyLevel::Content);
            run.push(What::Finding(Finding {
                severity: Severity::Blocker,
                rule: "same-database".to_owned(),
                what: "source and target are one database".to_owned(),
                evidence: Vec::new(),
                remedy: "name two".to_owned(),
            }));
            run
        }),
    ];
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
    for (name, run) in &cases {
        describe(name, concluded(run));
    }
    let stopped = Ending::Stopped {
        status: ExitStatus::Interrupted,
        why: "stopped by SIGINT".to_owned(),
    };
    for (name, mut run) in [
        ("interrupted", comparison::under_way(VerifyLevel::Content)),
        (
            "interrupted early",
            Run::begin_comparison(VerifyLevel::Content),
        ),
    ] {
        describe(name, conclude(&Report::from_events(&run.events), &stopped));
        comparison::data_differs(&mut run, "statuses");
        let name = format!("{name}, with a difference");
        describe(&name, conclude(&Report::from_events(&run.events), &stopped));
    }
    insta::assert_snapshot!(text);
}

/// Take any single piece of evidence away, and nothing is proven any more.
#[test]
fn proven_needs_every_piece_of_evidence_of_both_sides() {
    let whole = comparison::same();
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
        assert_eq!(
            concluded(&run).status,
            ExitStatus::Failed,
            "without {what:?}"
        );
    }
    assert_eq!(tried, 4 + 10 + 1 + 2);
    let mut unchecked = Run::default();
    let events = whole.events.iter();
    let rest = events.filter(|event| !matches!(event.what, What::Checked { .. }));
    unchecked.events.extend(rest.cloned());
    assert_eq!(concluded(&unchecked).status, ExitStatus::Failed);
}

/// A verdict is believed only as far as its digests go.
#[test]
fn a_verdict_without_equal_digests_proves_nothing() {
    let twist = |level, verdict, twist: fn(&mut pgconvoy::model::TableVerdict)| {
        let mut run = comparison::judged(level, verdict, verdict);
        assert_ne!(concluded(&run).status, ExitStatus::Failed);
        let tables = run
            .events
            .iter_mut()
            .filter_map(|event| match &mut event.what {
                What::TableVerified(table) => Some(table),
                _ => None,
            });
        twist(tables.last().expect("there are verdicts"));
        concluded(&run).status
    };
    let (content, counts) = (VerifyLevel::Content, VerifyLevel::Counts);
    for (name, status) in [
        (
            "no source",
            twist(content, Verdict::Identical, |table| table.read = None),
        ),
        (
            "no target",
            twist(content, Verdict::Identical, |table| table.target = None),
        ),
        (
            "another hash",
            twist(content, Verdict::Identical, |table| {
                table.target.as_mut().expect("was read").sum += 1;
            }),
        ),
        (
            "only counted",
            twist(content, Verdict::Identical, |table| {
                table.verdict = Verdict::SameCount;
            }),
        ),
        (
            "another count",
            twist(counts, Verdict::SameCount, |table| {
                table.source_count = Some(Rows(77));
            }),
        ),
        (
            "a second verdict on one table, none on another",
            twist(content, Verdict::Identical, |table| {
                table.table = QualifiedName::new("public", "statuses");
            }),
        ),
    ] {
        assert_eq!(status, ExitStatus::Failed, "{name}");
    }
}

#[test]
fn a_column_that_was_not_compared_is_named_in_the_same_breath() {
    let mut run = comparison::same();
    let mut table = comparison::verdict("statuses", 1, Verdict::Identical);
    table.forms = vec![pgconvoy::model::ColumnForm {
        column: "odd".to_owned(),
        form: "not at all".to_owned(),
        because: "the target has no such column".to_owned(),
    }];
    run.push(What::TableVerified(table));
    let sentence = concluded(&run).sentence;
    let named = "Not compared: column public.statuses.odd (the target has no such column); roles";
    assert!(sentence.contains(named), "{sentence}");
}

/// What takes a proof away, whatever else is there.
#[test]
fn anything_found_takes_the_proof_away() {
    type Add = fn(&mut Run);
    let cases: [(Add, ExitStatus); 6] = [
        (comparison::schema_differs, ExitStatus::Different),
        (
            |run| comparison::rows(run, comparison::rows_of_statuses()),
            ExitStatus::Different,
        ),
        (comparison::unverified, ExitStatus::Failed),
        (comparison::in_flux, ExitStatus::Failed),
        (comparison::waived, ExitStatus::Waived),
        (
            |run| {
                recorded::moved_on(run);
            },
            ExitStatus::Proven,
        ),
    ];
    for (number, (add, status)) in cases.into_iter().enumerate() {
        let mut run = comparison::same();
        add(&mut run);
        assert_eq!(concluded(&run).status, status, "case {number}");
    }
}

proptest! {
    #[test]
    fn any_part_of_a_record_gives_a_report_that_fits(
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
        columns in 0_u16..250,
    ) {
        let mut all = comparison::different();
        comparison::unverified(&mut all);
        comparison::in_flux(&mut all);
        comparison::waived(&mut all);
        let report = Report::from_events(picks.iter().map(|pick| pick.get(&all.events)));
        let view = View { columns, style: Style { color: true }, whole_failures: true };
        let _ = render(&report, view);
        let conclusion = conclude(&report, &Ending::Complete);
        prop_assert_ne!(conclusion.status, ExitStatus::Proven);
    }
}
