//! Everything that is looked at, one thing after the other, and what it comes to.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::measure;
use crate::catalog::{
    self, BarringLock, Circumstances, Counts, DatabaseFacts, Disks, Orphans, Pulse, SourceFacts,
    Unreadable,
};
use crate::cli::inspect::{Inspection, Road, Server};
use crate::cli::prove::SAID_BEFORE;
use crate::cli::requested::{Requested, Sizes};
use crate::failure::{Failure, FailureKind};
use crate::model::{Bytes, Finding, QualifiedName, Side, quote_ident, rule};
use crate::pg::{PgError, Session};
use crate::plan::{Left, Plan};
use crate::preflight::{self, CheckFacts, Measured, PreflightFacts};
use crate::report::check::{Between, Check, Forecast};
use crate::salvage::{self, WrongFile};
use crate::verify::{self, Hidden, Readiness};

/// Rows are counted by the server with a delay of up to a second.
const BETWEEN_PULSES: Duration = Duration::from_millis(1500);

/// A lock that is only taken for a statement is gone by then.
const BETWEEN_LOCKS: Duration = Duration::from_millis(500);

/// How long orphans are looked for, and tables are counted against their keys at the same time.
const FOR_ROWS: Duration = Duration::from_secs(3);

/// What was asked for besides source, target and selection.
pub struct Asked {
    /// The time there is for the move.
    pub window: Option<Duration>,
    /// Measure the road, and look at rows.
    pub measure: bool,
    /// Sizes that were named.
    pub sizes: Sizes,
}

/// What was asked before the source's schema was read.
struct Before {
    pulse: Pulse,
    source: Circumstances,
    target: Circumstances,
    source_database: DatabaseFacts,
    target_database: Option<DatabaseFacts>,
    disks: Option<Disks>,
    packed: BTreeMap<QualifiedName, Bytes>,
    /// Of whichever relation: what takes part is known later.
    wrong_files: Vec<WrongFile>,
}

/// What reading rows has shown, and writing some.
#[derive(Default)]
struct Looked {
    orphans: Option<Orphans>,
    counts: Option<Counts>,
    measured: Option<Measured>,
}

/// Looks at both ends, and at what the source holds.
pub async fn look(requested: Requested, asked: &Asked) -> Result<Check, Failure> {
    let road = Road::connect(&requested).await?;
    let between = Between {
        source: road.source.endpoint.clone(),
        target: road.target_endpoint(),
        pg_dump: road.pg_dump.to_string(),
    };
    let unsupported = road.unsupported();
    if !unsupported.is_empty() {
        return Ok(Check::new(between, unsupported));
    }
    let mut before = Before::ask(&road, &requested).await?;
    let mut findings = before.refused();
    before.wrong_files = look_at_files(&road.source, &mut findings).await;
    let target_facts = road.view_target(&requested).await?;
    let began = Instant::now();
    let seen = Box::pin(road.see(&requested, None)).await;
    // A move reads the schemas before its first job, and compares them after the last.
    let seeing = began.elapsed() * 2;
    let (inspection, plan) = match seen {
        Ok(seen) => {
            let inspection = road.inspected(requested, target_facts, seen);
            before.add_left_behind(&inspection.view.hidden, &mut findings);
            let plan = inspection.plan(asked.sizes, Left::default())?;
            (inspection, plan)
        }
        Err(failure) if failure.kind == FailureKind::Usage => return Err(failure),
        Err(failure) => {
            // What kept pg_dump from reading the schema may be among what is known already.
            let large_objects = !requested.filters.selects();
            let unreadable = Unreadable::read(&road.source.session, large_objects).await?;
            let nothing = SourceFacts::default();
            let basis = road.first_facts(&requested, &target_facts, (&unreadable, &nothing));
            findings.extend(preflight::findings(&basis));
            preflight::pass_over(&mut findings, &requested.skip_checks);
            let plan = Plan::of_nothing(requested.jobs);
            before.look_at_locks_again(&road.source.session).await?;
            let looked = Looked::default();
            let facts = before.facts(basis, (&plan, before.pulse, &looked));
            findings.extend(preflight::further_findings(&facts));
            findings.push(not_looked_at("the source's schema", &failure.to_string()));
            return Ok(Check::new(between, findings));
        }
    };
    let looked = if asked.measure {
        let rows = look_at_rows(&inspection, &mut findings).await;
        Looked {
            measured: measure_road(&inspection, &plan, &mut findings).await,
            ..rows
        }
    } else {
        Looked::default()
    };
    let measured = looked.measured;
    let forecast = predict((&plan, seeing), measured.as_ref(), asked, &mut findings)?;
    // What the outlook says of these is more: what they are set to, as far as that cannot be a secret.
    let said_after = |finding: &Finding| {
        [rule::DATABASE_SETTINGS, rule::NOT_LOOKED_AT].contains(&finding.rule.as_str())
    };
    let basis = inspection.findings().into_iter();
    findings.extend(basis.filter(|finding| !said_after(finding)));
    findings.extend(outlook(&inspection).await?);
    let pulse = second_pulse(&inspection, before.pulse).await?;
    let source = &inspection.road.source.session;
    before.look_at_locks_again(source).await?;
    let facts = before.facts(inspection.preflight_facts(), (&plan, pulse, &looked));
    findings.extend(preflight::further_findings(&facts));
    Ok(Check::new(between, findings).with_forecast(forecast, measured))
}

impl Before {
    async fn ask(road: &Road, requested: &Requested) -> Result<Self, Failure> {
        let (here, there) = (&road.source.session, &road.target.session);
        let pulse = Pulse::read(here).await?;
        let ours =
            async { tokio::try_join!(Circumstances::read(here), catalog::database_facts(here)) };
        let theirs =
            async { tokio::try_join!(Circumstances::read(there), catalog::database_facts(there)) };
        let ((source, source_database), (target, target_database)) =
            tokio::try_join!(ours, theirs)?;
        // Who is refused either of these does not know how much room there is, like most.
        let identifier = road.target.facts.system_identifier;
        let disks = Disks::look(there, identifier).await.unwrap_or_default();
        let packed = match &disks {
            Some(_) => catalog::packed_rows(here).await.unwrap_or_default(),
            None => BTreeMap::new(),
        };
        Ok(Self {
            pulse,
            source,
            target,
            source_database,
            target_database: (!requested.create).then_some(target_database),
            disks,
            packed,
            wrong_files: Vec::new(),
        })
    }

    /// Locks come and go, and one that goes is only waited for: those that are there still are what keeps everybody out.
    async fn look_at_locks_again(&mut self, source: &Session) -> Result<(), Failure> {
        if self.source.locks.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(BETWEEN_LOCKS).await;
        let now = catalog::barring_locks(source).await?;
        self.source.locks.retain(|lock| {
            let same = |other: &BarringLock| {
                other.relation == lock.relation && other.holder.pid == lock.holder.pid
            };
            now.iter().any(same)
        });
        Ok(())
    }

    /// What is in no dump, as the final check will see it.
    fn add_left_behind(&mut self, source: &Hidden, findings: &mut Vec<Finding>) {
        self.source.uncarried.extend(source.left_behind());
        let not_asked = source.not_asked();
        findings.extend(
            not_asked.map(|(what, why)| not_looked_at(&format!("{what} on the source"), why)),
        );
    }

    fn refused(&self) -> Vec<Finding> {
        let sides = [(Side::Source, &self.source), (Side::Target, &self.target)];
        let refused = sides.iter().flat_map(|(side, now)| {
            let refused = now.refused.iter();
            refused.map(move |(what, why)| not_looked_at(&format!("{what} on the {side}"), why))
        });
        refused.collect()
    }

    fn facts<'a>(
        &'a self,
        basis: PreflightFacts<'a>,
        (plan, pulse, looked): (&'a Plan, Pulse, &'a Looked),
    ) -> CheckFacts<'a> {
        CheckFacts {
            basis,
            source: &self.source,
            target: &self.target,
            pulses: (self.pulse, pulse),
            source_database: &self.source_database,
            target_database: self.target_database.as_ref(),
            wrong_files: &self.wrong_files,
            orphans: looked.orphans.as_ref(),
            counts: looked.counts.as_ref(),
            disks: self.disks.as_ref(),
            packed: &self.packed,
            plan,
            measured: looked.measured.as_ref(),
        }
    }
}

/// What both servers are set to, as far as it makes the new one slower than the old, or text compare otherwise.
async fn outlook(inspection: &Inspection) -> Result<Vec<Finding>, Failure> {
    let (source, target) = (&inspection.road.source, &inspection.road.target);
    let (ours, theirs) = tokio::try_join!(
        Readiness::read_outside(&source.session),
        Readiness::read_outside(&target.session)
    )?;
    let to_be_created = inspection.preflight_facts().create;
    let mut findings = verify::outlook(&ours, &theirs, to_be_created);
    findings.retain(|finding| match finding.rule.as_str() {
        // Another database is connected to than will be there.
        rule::DATABASE_SETTINGS => !to_be_created,
        name => !SAID_BEFORE.contains(&name),
    });
    Ok(findings)
}

async fn second_pulse(inspection: &Inspection, first: Pulse) -> Result<Pulse, Failure> {
    let session = &inspection.road.source.session;
    let pulse = Pulse::read(session).await?;
    let since = Duration::from_millis(pulse.at_ms.saturating_sub(first.at_ms));
    if since >= BETWEEN_PULSES {
        return Ok(pulse);
    }
    tokio::time::sleep(BETWEEN_PULSES.saturating_sub(since)).await;
    Ok(Pulse::read(session).await?)
}

/// Whether the files of all tables are there, where the role may look: the cheap part of what `salvage --survey` looks at.
async fn look_at_files(source: &Server, findings: &mut Vec<Finding>) -> Vec<WrongFile> {
    if !source.facts.superuser {
        findings.push(files_not_looked_at(&source.facts.role));
        return Vec::new();
    }
    let wrong = salvage::wrong_files(&source.session).await;
    wrong.unwrap_or_else(|error| {
        findings.push(not_looked_at("files on the source", &error.to_string()));
        Vec::new()
    })
}

/// Each in a session of its own, because it is cut off. What it may not read, or if there is no room for it, it says.
async fn look_at_rows(inspection: &Inspection, findings: &mut Vec<Finding>) -> Looked {
    let connector = &inspection.road.source.connector;
    let orphans = async {
        let session = connector.session("orphans").await?;
        Orphans::look(&session, FOR_ROWS).await
    };
    let counts = async {
        let session = connector.session("counts").await?;
        Counts::look(&session, FOR_ROWS).await
    };
    let (orphans, counts) = tokio::join!(orphans, counts);
    let mut said = |what: &str, error: &PgError| {
        findings.push(not_looked_at(what, &error.to_string()));
    };
    Looked {
        orphans: orphans
            .map_err(|error| said("orphans on the source", &error))
            .ok(),
        counts: counts
            .map_err(|error| said("rows of the source against their keys", &error))
            .ok(),
        measured: None,
    }
}

/// That it cannot be measured is told, and forbids nothing.
async fn measure_road(
    inspection: &Inspection,
    plan: &Plan,
    findings: &mut Vec<Finding>,
) -> Option<Measured> {
    let measured = Box::pin(measure::measure(inspection, plan)).await;
    measured
        .map_err(|error| findings.push(measure::not_measured(&error)))
        .ok()
}

/// How long it may take, besides what is known already, by what was measured if anything was.
fn predict(
    (plan, besides): (&Plan, Duration),
    measured: Option<&Measured>,
    asked: &Asked,
    findings: &mut Vec<Finding>,
) -> Result<Forecast, Failure> {
    let pace = measured.map(measure::pace);
    let besides = u64::try_from(besides.as_micros()).unwrap_or(u64::MAX);
    let prediction = plan.predict(pace.as_ref())?.besides(besides);
    let window = asked.window;
    findings.extend(window.map(|window| preflight::window_finding(window, &prediction)));
    Ok(Forecast::new(&prediction, window))
}

/// Hardly anybody moves as a superuser: that is no reason to decide nothing.
fn files_not_looked_at(role: &str) -> Finding {
    Finding::note(
        "files-not-looked-at",
        format!(
            "the files of the source's tables were not checked for missing or cut-off ones: role {} is not a superuser there",
            quote_ident(role)
        ),
        "To check them, run this once as a superuser of the source.",
    )
}

/// What could not be looked at: nothing is said about it, and so nobody may rely on it.
fn not_looked_at(what: &str, because: &str) -> Finding {
    Finding::warning(
        rule::NOT_LOOKED_AT,
        format!("could not be looked at: {what}"),
        "Fix the cause above and check again; what depends on it was not checked.",
    )
    .with_evidence([because.to_owned()])
}
