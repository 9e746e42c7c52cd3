//! Recorded comparisons, made up.

use pgconvoy::event::{Phase, What};
use pgconvoy::model::{
    Bytes, ColumnDifference, ColumnForm, CopyFormat, Difference, DifferenceKind, Finding,
    FollowMoment, Happening, LeftSize, MultisetDigest, QualifiedName, RowDifference, RowKind, Rows,
    RowsDiffer, RunCommand, Severity, ShownValue, Side, Synced, TableVerdict, TurnStep, Unverified,
    Verdict, VerifyLevel, Waiver,
};

use super::{MB, Run, TABLES, job};

fn digest(rows: u64, sum: u128) -> MultisetDigest {
    MultisetDigest {
        rows: Rows(rows),
        sum,
    }
}

/// A verdict whose digests say the same as it does.
pub fn verdict(table: &str, rows: u64, verdict: Verdict) -> TableVerdict {
    let read = |sum| Some(digest(rows, sum));
    let (source, target) = match verdict {
        Verdict::Identical => (read(7), read(7)),
        Verdict::SameCount => (None, read(0)),
        Verdict::Excluded => (None, Some(digest(0, 0))),
        Verdict::NotVerified => (read(7), None),
        Verdict::Different => (read(7), Some(digest(rows - 3, 8))),
    };
    TableVerdict {
        table: QualifiedName::new("public", table),
        format: CopyFormat::Binary,
        read: source,
        source_count: (verdict != Verdict::Excluded).then_some(Rows(rows)),
        target,
        bytes: Bytes(rows * 120),
        copy_ms: 0,
        verdict,
        forms: Vec::new(),
    }
}

fn snapshots(run: &mut Run) {
    for (side, lsn) in [(Side::Source, "0/1A2B3C4D"), (Side::Target, "0/9F00A8")] {
        run.push(What::SnapshotTaken {
            side,
            snapshot: "00000003-0000001B-1".to_owned(),
            lsn: lsn.to_owned(),
        });
    }
}

/// Up to the middle of reading: two reads for each table, those of `statuses` in two pieces each.
pub fn under_way(level: VerifyLevel) -> Run {
    let mut run = Run::begin_comparison(level);
    run.wait(300);
    run.push(What::StepStarted {
        step: "looking at source and target".to_owned(),
    });
    run.wait(200);
    snapshots(&mut run);
    let mut jobs = Vec::new();
    for (table, rows, bytes) in TABLES {
        let name = QualifiedName::new("public", table).shown();
        let pieces = if bytes > 500 * MB { 2 } else { 1 };
        for side in [Side::Source, Side::Target] {
            for piece in 1..=pieces {
                let label = match pieces {
                    1 => format!("read {name} on the {side}"),
                    _ => format!("read {name} {piece}/{pieces} on the {side}"),
                };
                let id = u32::try_from(jobs.len()).expect("few jobs");
                jobs.push(job(
                    id,
                    Phase::Verify,
                    &label,
                    bytes / pieces,
                    rows / pieces,
                ));
            }
        }
    }
    run.push(What::Planned {
        jobs,
        tables: 4,
        bytes: Bytes(1122 * MB),
    });
    run.push(What::StepStarted {
        step: "reading both sides".to_owned(),
    });
    run.start(0).start(1).start(2).start(3);
    for second in 1..=7_u64 {
        run.wait(1000);
        for read in 0..4 {
            run.advance(read, second * 160_000, second * (30 + u64::from(read)) * MB);
        }
    }
    run
}

/// Everything is read, and nothing is said of it yet.
pub fn read(level: VerifyLevel) -> Run {
    let mut run = under_way(level);
    for read in 0..4 {
        run.wait(900).finish(read, 2_105_650, 390 * MB, 11_000);
    }
    run.start(4).start(5).start(6).start(7).start(8).start(9);
    for read in 4..10 {
        run.wait(600).finish(read, 902_110, 280 * MB, 3000);
    }
    run.push(What::SnapshotReleased);
    run
}

pub fn checked(run: &mut Run) {
    for (what, count) in [("indexes", 40), ("foreign keys", 17), ("sequences", 12)] {
        run.push(What::Checked {
            what: what.to_owned(),
            count,
        });
    }
}

/// The whole of it; all verdicts are as given, that of `statuses` excepted.
pub fn judged(level: VerifyLevel, all: Verdict, statuses: Verdict) -> Run {
    let mut run = read(level);
    for (table, rows, _) in TABLES {
        let of = if table == "statuses" { statuses } else { all };
        run.push(What::TableVerified(verdict(table, rows, of)));
    }
    checked(&mut run);
    run
}

pub fn same() -> Run {
    judged(VerifyLevel::Content, Verdict::Identical, Verdict::Identical)
}

pub fn difference(kind: DifferenceKind, class: &str, object: &str, detail: &str) -> Difference {
    Difference {
        kind,
        class: class.to_owned(),
        object: object.to_owned(),
        detail: detail.to_owned(),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "a value of a side that has one")]
fn shown(text: &str) -> Option<ShownValue> {
    Some(ShownValue {
        text: Some(text.to_owned()),
        cut_from: None,
    })
}

fn column(
    column: &str,
    source: Option<ShownValue>,
    target: Option<ShownValue>,
) -> ColumnDifference {
    ColumnDifference {
        column: column.to_owned(),
        source,
        target,
    }
}

fn row(kind: RowKind, key: &[&str], columns: Vec<ColumnDifference>) -> RowDifference {
    RowDifference {
        kind,
        key: key.iter().map(|&value| value.to_owned()).collect(),
        copies: 1,
        columns,
    }
}

/// The rows of `statuses` that differ, without their values.
pub fn rows_of_statuses() -> RowsDiffer {
    RowsDiffer {
        table: QualifiedName::new("public", "statuses"),
        key: vec!["id".to_owned()],
        missing: Rows(3),
        extra: Rows(0),
        changed: Rows(9_981),
        exact: true,
        examples: vec![
            row(RowKind::Missing, &["17"], vec![]),
            row(RowKind::Changed, &["42"], vec![column("text", None, None)]),
            row(
                RowKind::Changed,
                &["43"],
                vec![column("text", None, None), column("updated_at", None, None)],
            ),
        ],
        in_flux: Rows(0),
    }
}

/// Rows with their values, long ones and such as a terminal must not see.
pub fn rows_with_values() -> RowsDiffer {
    let long = |middle: &str| format!("{}{middle}{}", "la ".repeat(200), "li ".repeat(200));
    RowsDiffer {
        table: QualifiedName::new("public", "accounts"),
        key: vec!["tenant".to_owned(), "name".to_owned()],
        missing: Rows(1),
        extra: Rows(1),
        changed: Rows(3),
        exact: true,
        examples: vec![
            row(
                RowKind::Missing,
                &["1", "anna b"],
                vec![
                    column("tenant", shown("1"), None),
                    column("bio", shown("likes \u{1b}[31mred"), None),
                ],
            ),
            row(
                RowKind::Extra,
                &["2", "zoe"],
                vec![
                    column("tenant", None, shown("2")),
                    column(
                        "bio",
                        None,
                        Some(ShownValue {
                            text: None,
                            cut_from: None,
                        }),
                    ),
                ],
            ),
            row(
                RowKind::Changed,
                &["1", "ben"],
                vec![column("balance", shown("1.0"), shown("1.00"))],
            ),
            row(
                RowKind::Changed,
                &["1", "cleo"],
                vec![column("bio", shown(&long("lo")), shown(&long("lu")))],
            ),
            row(
                RowKind::Changed,
                &["1", "dora"],
                vec![column(
                    "note",
                    Some(ShownValue {
                        text: None,
                        cut_from: None,
                    }),
                    shown(""),
                )],
            ),
        ],
        in_flux: Rows(0),
    }
}

/// Rows of a table without a key.
pub fn rows_without_key() -> RowsDiffer {
    let mut doubled = row(RowKind::Extra, &["(12,4)"], vec![]);
    doubled.copies = 2;
    RowsDiffer {
        table: QualifiedName::new("public", "media_attachments"),
        key: vec![],
        missing: Rows(1),
        extra: Rows(2),
        changed: Rows(0),
        exact: false,
        examples: vec![row(RowKind::Missing, &["(0,17)"], vec![]), doubled],
        in_flux: Rows(1),
    }
}

pub fn rows(run: &mut Run, rows: RowsDiffer) {
    run.push(What::RowsDiffer(Box::new(rows)));
}

/// A schema that differs in each of the four ways.
pub fn schema_differs(run: &mut Run) {
    use DifferenceKind::{Different, Extra, Invalid, Missing};
    for found in [
        difference(
            Different,
            "view",
            "public.active_accounts",
            "  SELECT a.id,\n-    a.uri\n+    lower(a.uri) AS uri\n   FROM public.accounts a\n- WHERE (a.suspended_at IS NULL);\n+ WHERE ((a.suspended_at IS NULL) AND (a.moved_to_account_id IS NULL) AND (a.silenced_at IS NULL));",
        ),
        difference(Extra, "table", "public.scratch", "it is on the target only"),
        difference(
            Missing,
            "fk constraint",
            "public.statuses fk_statuses_account",
            "FOREIGN KEY (account_id) REFERENCES public.accounts(id) ON DELETE CASCADE",
        ),
        difference(
            Invalid,
            "index",
            "public.index_accounts_on_uri",
            "it exists on the target, but is not valid",
        ),
        difference(
            Different,
            "sequence",
            "public.statuses_id_seq",
            "source: last value 4211300, called\ntarget: last value 1, not called",
        ),
    ] {
        run.push(What::Difference(found));
    }
}

pub fn data_differs(run: &mut Run, table: &str) {
    run.push(What::Difference(difference(
        DifferenceKind::Different,
        "table data",
        &format!("public.{table}"),
        "source: 4,211,300 rows, hash 0a\ntarget: 4,211,297 rows, hash 0b",
    )));
}

/// Source and target differ, in rows and in schema, with something to look after besides.
pub fn different() -> Run {
    let mut run = read(VerifyLevel::Content);
    let mut statuses = verdict("statuses", 4_211_300, Verdict::Different);
    statuses.forms = vec![ColumnForm {
        column: "tags".to_owned(),
        form: "as text".to_owned(),
        because: "equal arrays may have different binary forms".to_owned(),
    }];
    run.push(What::TableVerified(statuses));
    data_differs(&mut run, "statuses");
    rows(&mut run, rows_of_statuses());
    run.push(What::TableVerified(verdict(
        "accounts",
        902_110,
        Verdict::Different,
    )));
    data_differs(&mut run, "accounts");
    rows(&mut run, rows_with_values());
    run.push(What::TableVerified(verdict(
        "media_attachments",
        10_046,
        Verdict::Different,
    )));
    data_differs(&mut run, "media_attachments");
    rows(&mut run, rows_without_key());
    run.push(What::TableVerified(verdict(
        "Odd \"name\"\nhere",
        0,
        Verdict::Identical,
    )));
    checked(&mut run);
    schema_differs(&mut run);
    warnings(&mut run);
    run
}

pub fn warnings(run: &mut Run) {
    run.push(What::Finding(Finding {
        severity: Severity::Warning,
        rule: "no-statistics".to_owned(),
        what:
            "2 tables of the target have no planner statistics: public.statuses, public.accounts."
                .to_owned(),
        evidence: Vec::new(),
        remedy: "VACUUM (ANALYZE) public.statuses, public.accounts;".to_owned(),
    }));
    run.push(What::Note {
        text: "materialized view public.trends is not compared: its query reads a table whose rows were left out".to_owned(),
    });
}

pub fn unverified(run: &mut Run) {
    run.push(What::Unverified(Unverified {
        class: "table data".to_owned(),
        object: "public.statuses".to_owned(),
        because: "the target refused to read it: permission denied for table statuses".to_owned(),
    }));
}

pub fn in_flux(run: &mut Run) {
    run.push(What::InFlux {
        differences: vec![
            difference(
                DifferenceKind::Different,
                "table data",
                "public.statuses",
                "3 rows",
            ),
            difference(
                DifferenceKind::Different,
                "sequence",
                "public.statuses_id_seq",
                "1 behind",
            ),
        ],
    });
    run.push(What::SourceMovedOn {
        tables: vec![("public.statuses".to_owned(), 212)],
    });
}

pub fn waived(run: &mut Run) {
    run.push(What::Waived(Waiver {
        rule: "table:public.sessions".to_owned(),
        not_compared: vec!["the rows of public.sessions".to_owned()],
        differences: vec![],
    }));
    run.push(What::Waived(Waiver {
        rule: "class:comment".to_owned(),
        not_compared: vec![],
        differences: vec![difference(
            DifferenceKind::Missing,
            "comment",
            "table public.statuses",
            "'all toots'",
        )],
    }));
}

/// A comparison with a wrong database: hundreds of everything.
pub fn wrong_database() -> Run {
    let mut run = Run::begin_comparison(VerifyLevel::Content);
    snapshots(&mut run);
    run.push(What::Planned {
        jobs: vec![job(0, Phase::Verify, "read 400 small tables", 99 * MB, 0)],
        tables: 400,
        bytes: Bytes(99 * MB),
    });
    run.start(0).wait(9000).finish(0, 3000, 99 * MB, 9000);
    for number in 0..400_u64 {
        let table = format!("table_{number:03}");
        let rows = 10 + (number * 7919) % 3000;
        let of = match number {
            0..250 => Verdict::Different,
            250..255 => Verdict::NotVerified,
            _ => Verdict::Identical,
        };
        run.push(What::TableVerified(verdict(&table, rows, of)));
        if of == Verdict::NotVerified {
            run.push(What::Unverified(Unverified {
                class: "table data".to_owned(),
                object: format!("public.{table}"),
                because: "the target has no such table".to_owned(),
            }));
        }
        if of == Verdict::Different {
            data_differs(&mut run, &table);
            let examples = (0..20).map(|id| row(RowKind::Missing, &[&id.to_string()], vec![]));
            let differ = RowsDiffer {
                table: QualifiedName::new("public", &*table),
                key: vec!["id".to_owned()],
                missing: Rows(1000 + number),
                examples: examples.collect(),
                ..rows_without_key()
            };
            self::rows(&mut run, differ);
        }
    }
    for number in 0..300 {
        let class = if number % 3 == 0 { "index" } else { "comment" };
        run.push(What::Difference(difference(
            DifferenceKind::Missing,
            class,
            &format!("public.thing_{number:03}"),
            "it is on the source only",
        )));
    }
    checked(&mut run);
    run
}

/// A cut-over with everything that can happen in a follow, and a table that there was no time to compare before the opening.
pub fn turned() -> Run {
    let mut run = Run::begin_comparison(VerifyLevel::Content);
    if let What::RunStarted { command, .. } = &mut run.events[0].what {
        *command = RunCommand::Cutover;
    }
    let happened = |run: &mut Run, happening, side| {
        let is_opening = happening == Happening::Opened;
        run.push(What::FollowMoment(Box::new(FollowMoment {
            happened_at: super::at(run.now_ms),
            happening,
            side,
            without_writers_ms: is_opening.then_some(4_100),
            left: is_opening.then_some(LeftSize {
                tables: 1,
                bytes: Bytes(800 * MB),
            }),
        })));
    };
    for (happening, side) in [
        (Happening::Copying, Side::Target),
        (Happening::Following, Side::Target),
        (Happening::Closed, Side::Source),
        (Happening::WentBack, Side::Source),
        (Happening::Differed, Side::Target),
        (Happening::LetGo, Side::Target),
    ] {
        happened(&mut run, happening, side);
    }
    for turn_step in TurnStep::ALL {
        run.wait(700).push(What::TurnStep { turn_step });
        match turn_step {
            TurnStep::Fence => happened(&mut run, Happening::Closed, Side::Source),
            TurnStep::BringOver => {
                snapshots(&mut run);
                run.push(What::Planned {
                    jobs: Vec::new(),
                    tables: 2,
                    bytes: Bytes(801 * MB),
                });
                for table in ["accounts", "statuses"] {
                    run.push(What::TableVerified(verdict(table, 9, Verdict::SameCount)));
                }
                run.push(What::TableVerified(verdict(
                    "accounts",
                    9,
                    Verdict::Identical,
                )));
                checked(&mut run);
                run.push(What::Synced(Box::new(Synced {
                    committed: true,
                    ..Synced::default()
                })));
            }
            TurnStep::Open => happened(&mut run, Happening::Opened, Side::Target),
            TurnStep::Rest => {
                run.push(What::TableVerified(verdict(
                    "statuses",
                    9,
                    Verdict::Identical,
                )));
                happened(&mut run, Happening::Compared, Side::Target);
            }
            _ => {}
        }
    }
    run
}
