//! Recorded runs, made up: sequences of events as a move or a comparison would emit them, for displays and reports to replay.

pub mod comparison;

use chrono::{DateTime, Utc};
use pgconvoy::event::{
    AtWork, Bound, EntryRef, Event, JobFailure, Phase, PlannedJob, Standing, StandingState, What,
};
use pgconvoy::model::{
    Bytes, CopyFormat, Difference, DifferenceKind, DumpId, Endpoint, ExitStatus, Finding, JobId,
    MultisetDigest, QualifiedName, Rows, RunCommand, ServerError, ServerVersion, Severity, Side,
    TableVerdict, Unverified, Verdict, VerifyLevel, Waiver,
};

pub const MB: u64 = 1024 * 1024;

/// So many milliseconds after noon.
pub fn at(ms: i64) -> DateTime<Utc> {
    let noon = DateTime::from_timestamp(1_790_337_600, 0).expect("is a time");
    noon + chrono::TimeDelta::milliseconds(ms)
}

/// Collects events; time only goes on when told.
#[derive(Default)]
pub struct Run {
    pub events: Vec<Event>,
    pub now_ms: i64,
}

impl Run {
    pub fn push(&mut self, what: What) -> &mut Self {
        self.events.push(Event {
            at: at(self.now_ms),
            what,
        });
        self
    }

    pub fn wait(&mut self, ms: i64) -> &mut Self {
        self.now_ms += ms;
        self
    }

    pub fn begin(verify: VerifyLevel) -> Self {
        let mut run = Self::default();
        let endpoint = |host: &str, version| Endpoint {
            archive: None,
            host: host.to_owned(),
            port: 5432,
            database: "mastodon".to_owned(),
            user: "mastodon".to_owned(),
            version: Some(ServerVersion(version)),
        };
        run.push(What::RunStarted {
            version: "0.1.0".to_owned(),
            command: RunCommand::Move,
            source: endpoint("db1.example.org", 150_018),
            target: endpoint("db2.example.org", 180_001),
            jobs: 4,
            verify,
            run_dir: "pgconvoy-20260925-120000".to_owned(),
            narrowed_by: Vec::new(),
        });
        run
    }

    /// The same, for a comparison.
    pub fn begin_comparison(level: VerifyLevel) -> Self {
        let mut run = Self::begin(level);
        if let What::RunStarted { command, .. } = &mut run.events[0].what {
            *command = RunCommand::Verify;
        }
        run
    }

    pub fn snapshot(&mut self) -> &mut Self {
        self.push(What::SnapshotTaken {
            side: Side::Source,
            snapshot: "00000003-0000001B-1".to_owned(),
            lsn: "0/1A2B3C4D".to_owned(),
        })
    }

    pub fn start(&mut self, job: u32) -> &mut Self {
        self.push(What::JobStarted {
            job: JobId(job),
            worker: job % 4,
        })
    }

    pub fn advance(&mut self, job: u32, rows: u64, bytes: u64) -> &mut Self {
        self.push(What::JobAdvanced {
            job: JobId(job),
            rows: Rows(rows),
            bytes: Bytes(bytes),
        })
    }

    pub fn bound(&mut self, job: u32, bound: Bound) -> &mut Self {
        let job = JobId(job);
        self.push(What::JobBound { job, bound })
    }

    pub fn stands_still(&mut self, job: u32, what: &str, at_work: AtWork) -> &mut Self {
        self.push(What::JobWaits {
            job: JobId(job),
            side: Side::Target,
            what: what.to_owned(),
            at_work,
        })
    }

    pub fn finish(&mut self, job: u32, rows: u64, bytes: u64, duration_ms: u64) -> &mut Self {
        self.push(What::JobFinished {
            job: JobId(job),
            rows: Rows(rows),
            bytes: Bytes(bytes),
            duration_ms,
        })
    }

    pub fn verdict(&mut self, table: &str, rows: u64, bytes: u64, verdict: Verdict) -> &mut Self {
        self.push(What::TableVerified(table_verdict(
            QualifiedName::new("public", table),
            rows,
            bytes,
            verdict,
        )))
    }
}

pub fn table_verdict(
    table: QualifiedName,
    rows: u64,
    bytes: u64,
    verdict: Verdict,
) -> TableVerdict {
    let digest = |rows: u64| MultisetDigest {
        rows: Rows(rows),
        sum: u128::from(rows) << 64,
    };
    let missing = u64::from(verdict == Verdict::Different);
    TableVerdict {
        table,
        format: CopyFormat::Binary,
        read: (verdict != Verdict::Excluded).then(|| digest(rows)),
        source_count: Some(Rows(rows)),
        target: (verdict != Verdict::NotVerified).then(|| {
            digest(if verdict == Verdict::Excluded {
                0
            } else {
                rows - missing
            })
        }),
        bytes: Bytes(bytes),
        copy_ms: bytes / 90_000,
        verdict,
        forms: Vec::new(),
    }
}

fn job(id: u32, phase: Phase, label: &str, bytes: u64, rows: u64) -> PlannedJob {
    PlannedJob {
        id: JobId(id),
        phase,
        label: label.to_owned(),
        bytes: Bytes(bytes),
        rows: Rows(rows),
    }
}

/// The tables of the made-up database: name, rows, bytes.
pub const TABLES: [(&str, u64, u64); 4] = [
    ("statuses", 4_211_300, 812 * MB),
    ("accounts", 902_110, 301 * MB),
    ("media_attachments", 10_046, 9 * MB),
    ("Odd \"name\"\nhere", 0, 0),
];

pub fn plan(run: &mut Run) -> &mut Run {
    run.push(What::Planned {
        jobs: vec![
            job(0, Phase::Schema, "schema, 41 statements", 0, 0),
            job(
                1,
                Phase::Data,
                "copy public.statuses 1/2",
                406 * MB,
                2_105_650,
            ),
            job(
                2,
                Phase::Data,
                "copy public.statuses 2/2",
                406 * MB,
                2_105_650,
            ),
            job(3, Phase::Data, "copy public.accounts", 301 * MB, 902_110),
            job(4, Phase::Data, "copy 2 small tables", 9 * MB, 10_046),
            job(5, Phase::Indexes, "index statuses_pkey", 812 * MB, 0),
            job(
                6,
                Phase::Indexes,
                "index index_accounts_on_uri",
                301 * MB,
                0,
            ),
            job(
                7,
                Phase::ForeignKeys,
                "foreign key fk_statuses_account",
                812 * MB,
                0,
            ),
            job(8, Phase::Finish, "analyze public.statuses", 812 * MB, 0),
            job(
                9,
                Phase::Verify,
                "verify public.statuses",
                812 * MB,
                4_211_300,
            ),
            job(
                10,
                Phase::Verify,
                "verify public.accounts",
                301 * MB,
                902_110,
            ),
        ],
        tables: 4,
        bytes: Bytes(1122 * MB),
    })
}

/// Up to the middle of the copying.
pub fn under_way() -> Run {
    let mut run = Run::begin(VerifyLevel::Content);
    run.wait(300);
    run.push(What::StepStarted {
        step: "looking at source and target".to_owned(),
    });
    run.push(What::Finding(Finding {
        severity: Severity::Warning,
        rule: "collation-version".to_owned(),
        what: "collation \"de-x-icu\" has version 153.14 on the source and 153.120 on the target."
            .to_owned(),
        evidence: Vec::new(),
        remedy: "none needed: every index is built anew on the target".to_owned(),
    }));
    run.wait(200).snapshot();
    plan(&mut run);
    run.push(What::StepStarted {
        step: "copying and building".to_owned(),
    });
    run.start(0).wait(400).finish(0, 0, 0, 400);
    run.start(1).start(2).start(3).start(4);
    run.wait(900).finish(4, 10_046, 8 * MB, 900);
    for second in 1..=6_u64 {
        run.wait(1000);
        run.advance(1, second * 160_000, second * 30 * MB);
        run.advance(2, second * 150_000, second * 28 * MB);
        run.advance(3, second * 140_000, second * 40 * MB);
    }
    run.bound(1, Bound::Target).bound(2, Bound::Nobody);
    run
}

/// Copied, with the three tables' and the rest's jobs finished; nothing verified yet.
pub fn copied(verify: VerifyLevel) -> Run {
    let mut run = under_way();
    if let What::RunStarted { verify: wanted, .. } = &mut run.events[0].what {
        *wanted = verify;
    }
    run.wait(2000).finish(3, 902_110, 290 * MB, 8900);
    run.start(6).wait(4000);
    run.finish(1, 2_105_650, 390 * MB, 12_900);
    run.finish(2, 2_105_650, 395 * MB, 12_900);
    run.push(What::SnapshotReleased);
    run.start(5).wait(3000).finish(6, 0, 301 * MB, 7000);
    run.start(10).wait(2000).finish(10, 902_110, 290 * MB, 2000);
    run.wait(1000).finish(5, 0, 812 * MB, 6000);
    run.start(8).wait(500).finish(8, 0, 0, 500);
    run
}

/// All jobs finished, and no verdict on anything.
pub fn copied_and_keyed(verify: VerifyLevel) -> Run {
    let mut run = copied(verify);
    run.start(7).start(9).wait(1500).finish(7, 0, 0, 1500);
    run.wait(3000).finish(9, 4_211_300, 785 * MB, 4500);
    run
}

/// The whole of it; all verdicts are as given, that of `statuses` excepted.
pub fn verified(verify: VerifyLevel, all: Verdict, statuses: Verdict) -> Run {
    let mut run = copied_and_keyed(verify);
    for (table, rows, bytes) in TABLES {
        let verdict = if table == "statuses" { statuses } else { all };
        run.verdict(table, rows, bytes, verdict);
    }
    for (what, count) in [("indexes", 40), ("foreign keys", 17), ("sequences", 12)] {
        run.push(What::Checked {
            what: what.to_owned(),
            count,
        });
    }
    run
}

pub fn moved_on(run: &mut Run) {
    run.push(What::SourceMovedOn {
        tables: vec![
            ("public.statuses".to_owned(), 212),
            ("public.accounts".to_owned(), 1),
        ],
    });
}

pub fn different(run: &mut Run) {
    run.push(What::Difference(Difference {
        kind: DifferenceKind::Different,
        class: "table data".to_owned(),
        object: "public.statuses".to_owned(),
        detail: "source: 4,211,300 rows, hash 0a\ntarget: 4,211,299 rows, hash 0b".to_owned(),
    }));
    run.push(What::Difference(Difference {
        kind: DifferenceKind::Invalid,
        class: "index".to_owned(),
        object: "public.index_accounts_on_uri".to_owned(),
        detail: "it exists on the target, but is not valid".to_owned(),
    }));
}

/// What a damaged source has lost: rows of a table, and a foreign key with them.
pub fn lost(run: &mut Run) {
    run.push(What::Waived(Waiver {
        rule: "salvage:public.accounts".to_owned(),
        not_compared: vec![
            "1234 rows, 3 of 40 blocks".to_owned(),
            "their keys are in lost/public.accounts.csv".to_owned(),
        ],
        differences: Vec::new(),
    }));
    run.push(What::Waived(Waiver {
        rule: "salvage:constraint public.statuses fk_statuses_account".to_owned(),
        not_compared: Vec::new(),
        differences: vec![Difference {
            kind: DifferenceKind::Invalid,
            class: "constraint".to_owned(),
            object: "public.statuses fk_statuses_account".to_owned(),
            detail: "it is valid on the source, and NOT VALID on the target".to_owned(),
        }],
    }));
}

/// A statement that was run as the operator had edited it.
pub fn edited(run: &mut Run) {
    run.push(What::Waived(Waiver {
        rule: "edited:failed/3412-fk_statuses_account.sql".to_owned(),
        not_compared: Vec::new(),
        differences: Vec::new(),
    }));
}

/// A part of a damaged source, brought to another server.
pub fn salvaged() -> Run {
    let mut run = verified(VerifyLevel::Content, Verdict::Identical, Verdict::Identical);
    if let What::RunStarted {
        command,
        narrowed_by,
        ..
    } = &mut run.events[0].what
    {
        *command = RunCommand::Salvage;
        narrowed_by.push("-T 'log*'".to_owned());
    }
    run.verdict("events", 812, MB, Verdict::Excluded);
    lost(&mut run);
    run
}

pub fn unverified(run: &mut Run) {
    run.push(What::Unverified(Unverified {
        class: "table data".to_owned(),
        object: "public.media_attachments".to_owned(),
        because: "the target refused to read it: permission denied".to_owned(),
    }));
}

pub fn failure() -> JobFailure {
    JobFailure {
        entry: Some(EntryRef {
            dump_id: DumpId(3412),
            desc: "FK CONSTRAINT".into(),
            tag: "public statuses fk_statuses_account".to_owned(),
            owner: "mastodon".into(),
        }),
        statement: Some(
            "ALTER TABLE ONLY public.\"größe\"\n\tADD CONSTRAINT fk_statuses_account FOREIGN KEY (account_id) REFERENCES \
             public.accounts(id) ON DELETE CASCADE NOT VALID;"
                .to_owned(),
        ),
        message: "the foreign key could not be added".to_owned(),
        server_error: Some(ServerError {
            severity: "ERROR".to_owned(),
            code: "23503".to_owned(),
            message: "insert or update on table \"statuses\" violates foreign key constraint \
                      \"fk_statuses_account\""
                .to_owned(),
            detail: Some("Key (account_id)=(815) is not present in table \"accounts\".".to_owned()),
            position: Some(49),
            schema: Some("public".to_owned()),
            table: Some("statuses".to_owned()),
            constraint: Some("fk_statuses_account".to_owned()),
            internal_query: Some("SELECT 1 FROM ONLY boom".to_owned()),
            internal_position: Some(20),
            routine: Some("ri_triggers.c:2599, ri_ReportViolation".to_owned()),
            ..ServerError::default()
        }),
        hint: Some(
            "Delete or correct the rows that refer to nothing, then resume with --retry-failed."
                .to_owned(),
        ),
        file: Some("failed/3412-fk_statuses_account.sql".to_owned()),
    }
}

/// A foreign key fails, what needs it is skipped.
pub fn failed() -> Run {
    let mut run = copied(VerifyLevel::Content);
    run.start(7).wait(700);
    run.push(What::JobFailed {
        job: JobId(7),
        failure: failure().into(),
    });
    run.push(What::JobSkipped {
        job: JobId(9),
        because_of: JobId(7),
    });
    run.verdict("accounts", 902_110, 301 * MB, Verdict::Identical);
    run
}

/// A session that was asked to stop, and was killed before it could.
pub fn stopped() -> Run {
    let mut run = under_way();
    run.push(What::JobRetried {
        job: JobId(3),
        attempt: 1,
        because: "the connection to the source was lost".to_owned(),
        wait_ms: 2000,
    });
    run.wait(2000).start(3).wait(500);
    run.push(What::StoreRetried {
        store: "s3://backups".to_owned(),
        because: "PUT /backups/shop/3541.dat.gz: 503 Service Unavailable".to_owned(),
        requests: 12,
    });
    let lock = "waits for a lock on public.accounts that pid 4711 (psql, role bob) holds";
    run.stands_still(3, lock, AtWork::Unknown);
    run.push(What::Draining {
        signal: "SIGTERM".to_owned(),
        jobs: 3,
        seconds: 30,
    });
    run.wait(1000).advance(1, 1_200_000, 222 * MB);
    run
}

/// What a later session begins with: the schema and the small tables are done, one half of `statuses` is done again.
pub fn resumed() -> Run {
    let mut run = stopped();
    run.wait(3_600_000);
    run.push(What::StepStarted {
        step: "connecting".to_owned(),
    });
    let mut start = run.events[0].what.clone();
    if let What::RunStarted { command, .. } = &mut start {
        *command = RunCommand::Resume;
    }
    run.wait(100).push(start);
    run.snapshot();
    plan(&mut run);
    let standing = |job, state, why: &str| Standing {
        job: JobId(job),
        state,
        why: why.to_owned(),
    };
    let mut standings = vec![
        standing(0, StandingState::Done, "the ledger has it"),
        standing(1, StandingState::Redo, "the source was written to since"),
        standing(4, StandingState::Done, "the ledger has it"),
        standing(
            6,
            StandingState::Failed,
            "it failed, and was not asked for again",
        ),
    ];
    let left = [2, 3, 5, 7, 8, 9, 10];
    standings
        .extend(left.map(|job| standing(job, StandingState::Left, "the ledger does not have it")));
    run.push(What::Resumed {
        standing: standings,
    });
    run.start(1).start(2).wait(1000);
    run.advance(1, 160_000, 30 * MB);
    run
}

/// A database of three thousand small tables.
pub fn many_tables() -> Run {
    let mut run = Run::begin(VerifyLevel::Content);
    run.snapshot();
    run.push(What::Planned {
        jobs: vec![job(0, Phase::Data, "copy 3,000 small tables", 99 * MB, 0)],
        tables: 3000,
        bytes: Bytes(99 * MB),
    });
    run.start(0).wait(9000).finish(0, 3000, 99 * MB, 9000);
    for number in 0..3000 {
        let verdict = match number {
            700 | 701 => Verdict::Different,
            900 => Verdict::NotVerified,
            _ => Verdict::Identical,
        };
        let rows = 10 + (number * 7919) % 3000;
        run.verdict(&format!("table_{number}"), rows, rows * 1000, verdict);
    }
    run
}

pub fn finished(mut run: Run, status: ExitStatus, sentence: String, next: Option<String>) -> Run {
    run.push(What::RunFinished {
        status,
        sentence,
        next,
    });
    run
}
