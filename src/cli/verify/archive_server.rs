//! `pgconvoy verify --archive --source|--target`: what a server holds against an archive's manifest.

use std::collections::HashMap;
use std::sync::Arc;

use super::VerifyArgs;
use super::look::common_encoding;
use crate::archive::{Manifest, Narrowed, Store};
use crate::catalog::{self, SourceFacts};
use crate::cli::arguments::SpeedArgs;
use crate::cli::inspect::Server;
use crate::cli::output::Output;
use crate::cli::prove::tell;
use crate::cli::schema::{describe, in_two_encodings, in_utf8};
use crate::cli::session::step;
use crate::cli::signals;
use crate::event::{Emit, What};
use crate::failure::Failure;
use crate::model::{Endpoint, ExitStatus, Oid, RunCommand, Side, Unverified, VerifyLevel, Waiver};
use crate::pg::client_tools::{ClientTool, Search};
use crate::pg::conninfo::{Conninfo, Environment};
use crate::pg::{Pool, Session, Snapshot};
use crate::report::Ending;
use crate::toc::{CompareOptions, Text, Toc};
use crate::verify::archived::{self, Archived};
use crate::verify::left_behind::{is_lacked, of_extensions, takes_part};
use crate::verify::{self, LeftBehind, Outcome, Scope, in_force};

/// Compares.
pub(super) async fn verify(
    (archive, manifest): (Store, Manifest),
    (side, conninfo): (Side, Conninfo),
    args: &VerifyArgs,
) -> Result<ExitStatus, Failure> {
    refuse_what_is_for_two_servers(args)?;
    let toc = archive.toc_of(&manifest);
    let toc = toc.map_err(Failure::refused_archive)?;
    let narrowed = manifest.narrowed();
    let output = Output::start(&args.output.options())?;
    let stop = signals::watch(&output);
    let path = archive.shown().display().to_string();
    let jobs = args.jobs.unwrap_or_else(SpeedArgs::cores);
    let comparing = Comparing {
        endpoint: Endpoint::archive(path, manifest.source.database.clone()),
        manifest,
        narrowed,
        toc,
        side,
        jobs,
        args,
    };
    let emit: Arc<dyn Emit> = Arc::new(output.emitter());
    let ended = tokio::select! {
        ended = Box::pin(comparing.compare(conninfo, &output, &emit)) => ended,
        failure = signals::stopped(stop) => Err(failure),
    };
    Ok(match ended {
        Ok(()) => output.finish(Ending::Complete).await,
        Err(failure) => output.fail(failure).await,
    })
}

/// What two servers can be asked for, and an archive cannot.
fn refuse_what_is_for_two_servers(args: &VerifyArgs) -> Result<(), Failure> {
    let is_given = [
        (args.recheck > 0, "--recheck"),
        (!args.ignore.is_empty(), "--ignore"),
        (args.repair.is_some(), "--repair"),
        (args.show_values, "--show-values"),
        (args.after.after, "--after"),
        (
            !args.selection.filters()?.is_empty(),
            "the selection of objects",
        ),
        (args.level != super::Level::Content, "--level"),
    ];
    match is_given.into_iter().find(|(given, _)| *given) {
        None => Ok(()),
        Some((_, option)) => Err(Failure::usage(
            format!("{option} is not supported in a comparison with an archive"),
            "Leave it out; everything that is in the archive is compared.",
        )),
    }
}

struct Comparing<'a> {
    manifest: Manifest,
    /// What of the database is not in the archive, and is not missed in it.
    narrowed: Narrowed,
    toc: Toc,
    endpoint: Endpoint,
    side: Side,
    jobs: u32,
    args: &'a VerifyArgs,
}

impl Comparing<'_> {
    async fn compare(
        &self,
        conninfo: Conninfo,
        output: &Output,
        emit: &Arc<dyn Emit>,
    ) -> Result<(), Failure> {
        let emitter = output.emitter();
        step(&emitter, "connecting");
        let server = Server::connect(conninfo, Side::Source).await;
        let server =
            server.map_err(|failure| failure.while_doing(&format!("the {}", self.side)))?;
        self.tell_start(&server, output, emit.as_ref());
        let pg_dump = Search::run("pg_dump", &Environment::of_process()).await;
        let pg_dump = pg_dump.closest_for(server.facts.version)?;
        let mut snapshot = Snapshot::take(&server.connector, catalog::readable_tables).await?;
        emit.emit(What::SnapshotTaken {
            side: Side::Target,
            snapshot: snapshot.id.clone(),
            lsn: snapshot.lsn.clone(),
        });
        step(&emitter, "reading and comparing the schema");
        let outcome = self.schema(&server, &pg_dump, &snapshot).await?;
        let facts = catalog::source_facts(snapshot.session()).await?;
        let mut outcome = self.beside(outcome, &facts, snapshot.session()).await?;
        let encoding = common_encoding(&self.manifest.source.encoding, &server.facts.encoding);
        let connector = server.connector.with_encoding(encoding);
        let pool = Pool::in_snapshot(connector, snapshot.id.clone());
        let archived = Archived {
            manifest: &self.manifest,
            pool: &pool,
            facts: &facts,
            version: server.facts.version,
            readers: usize::try_from(self.jobs).unwrap_or(1),
            beside_others: self.narrowed.leaves_out_large_objects(),
            answered: HashMap::new(),
        };
        let subjects = archived.subjects();
        emit.emit(What::Planned {
            jobs: Vec::new(),
            tables: u32::try_from(subjects.len()).unwrap_or(u32::MAX),
            bytes: facts.tables.iter().map(|table| table.total).sum(),
        });
        step(&emitter, "reading the rows");
        outcome.extend(Box::pin(archived::compare(&archived, subjects, emit)).await);
        pool.drain().await;
        if let Err(error) = snapshot.release().await {
            outcome.unverified.push(Unverified {
                class: "snapshot".into(),
                object: self.side.to_string(),
                because: format!("the session that held it has ended too early: {error}"),
            });
        }
        self.waive_what_was_lost(emit.as_ref());
        outcome.notes.push(
            "an archive does not hold the rows of materialized views: they were not compared"
                .to_owned(),
        );
        outcome
            .notes
            .extend(in_two_encodings(&self.manifest, &self.toc));
        tell(outcome, emit.as_ref());
        Ok(())
    }

    /// What the salvage that wrote the archive could not read cannot be compared.
    fn waive_what_was_lost(&self, emit: &dyn Emit) {
        let losses = self.manifest.losses.iter();
        for (object, what) in losses.flat_map(|losses| &losses.lost) {
            emit.emit(What::Waived(Waiver {
                rule: format!("salvage:{object}"),
                not_compared: vec![what.clone()],
                differences: Vec::new(),
            }));
        }
    }

    fn tell_start(&self, server: &Server, output: &Output, emit: &dyn Emit) {
        emit.emit(What::RunStarted {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            command: RunCommand::Verify,
            source: self.endpoint.clone(),
            target: server.endpoint.clone(),
            jobs: self.jobs,
            verify: VerifyLevel::Content,
            run_dir: output.run_dir().path().display().to_string(),
            narrowed_by: self.narrowed.options(),
        });
        emit.emit(What::SnapshotTaken {
            side: Side::Source,
            snapshot: self.manifest.source.snapshot.clone(),
            lsn: self.manifest.source.lsn.clone(),
        });
    }

    /// Adds to the definitions what is not among them: whether constraints are in force and materialized views populated, what is said
    /// of large objects, and what nobody can compare.
    async fn beside(
        &self,
        mut outcome: Outcome,
        facts: &SourceFacts,
        session: &Session,
    ) -> Result<Outcome, Failure> {
        let toc = in_utf8(self.toc.clone(), session).await?;
        let contents = in_force::Contents {
            toc: &toc,
            lacks_data: self.narrowed.leaves_out_data(),
        };
        outcome.extend(in_force::compare(contents, (self.side, facts), session).await?);
        outcome.extend(self.large_objects(&toc, facts));
        self.set_apart((&mut outcome, facts), session).await?;
        Ok(outcome)
    }

    /// What the server keeps from the role is no difference, nor is what was kept from the one that dumped; and what no archive holds, or
    /// this one could not, is not the same: none of it could be verified. What is not in the archive cannot be whoever asks, and is told
    /// from what another role could see.
    async fn set_apart(
        &self,
        (outcome, facts): (&mut Outcome, &SourceFacts),
        session: &Session,
    ) -> Result<(), Failure> {
        let left_behind = LeftBehind::read(session).await?;
        let differences = &mut outcome.differences;
        differences.retain(|difference| {
            !left_behind.is_unseen(difference) && !is_lacked(difference, &self.manifest.lacks)
        });
        let mut scope = Scope::of(&self.toc);
        scope.large_objects = !self.narrowed.leaves_out_large_objects();
        let options = self.args.leave_out.restore_options(false);
        let options = options.and(&self.narrowed.options());
        let there = left_behind.unverified(self.side, &scope, &options);
        let lacks = self.manifest.lacks.iter();
        let lacks = lacks.filter(|one| takes_part(one, &options));
        let lacks = lacks.map(|one| Unverified {
            because: format!("when it was dumped: {}", one.because),
            ..one.clone()
        });
        outcome
            .unverified
            .extend(lacks.map(Unverified::not_in_archive));
        let is_told = |one: &Unverified| {
            let mut lacks = self.manifest.lacks.iter();
            lacks.any(|other| (&other.class, &other.object) == (&one.class, &one.object))
        };
        let there = there.into_iter().filter(|one| !is_told(one));
        outcome.unverified.extend(there.map(|one| {
            if one.is_kept_from_role() {
                one
            } else {
                one.not_in_archive()
            }
        }));
        outcome
            .notes
            .extend(of_extensions(&facts.extensions, &scope));
        Ok(())
    }

    /// Owners, grants and comments of large objects.
    fn large_objects(&self, toc: &Toc, facts: &SourceFacts) -> Outcome {
        let objects = self.manifest.large_objects.iter();
        let objects: Vec<Oid> = objects.map(|object| object.oid).collect();
        if objects.is_empty() {
            return Outcome::default();
        }
        let options = self.args.leave_out.restore_options(false);
        verify::compare_archived_large_objects(
            (toc, &objects),
            &facts.large_objects,
            // What was left out of the archive is not missed in it.
            &options.and(&self.narrowed.options()),
        )
    }

    /// Definitions can be compared if the same `pg_dump` describes both.
    async fn schema(
        &self,
        server: &Server,
        pg_dump: &ClientTool,
        snapshot: &Snapshot,
    ) -> Result<Outcome, Failure> {
        let then = self
            .toc
            .header
            .dump_version
            .as_ref()
            .map(Text::to_string_lossy);
        let then = then.unwrap_or_default();
        let major = then
            .split(['.', ' '])
            .next()
            .and_then(|major| major.parse::<u32>().ok());
        if major != Some(pg_dump.version.major()) {
            let mut outcome = Outcome::default();
            outcome.unverified.push(Unverified {
                class: "schema".into(),
                object: server.facts.database.clone(),
                because: format!(
                    "the archive was described by pg_dump {then}, and the server can only be described by {pg_dump}, which words definitions \
                     differently"
                ),
            });
            return Ok(outcome);
        }
        let encoding = self.toc.encoding();
        let options = self.narrowed.options();
        let dumped = describe(
            server,
            pg_dump,
            (Some(&snapshot.id), encoding.as_deref(), options),
        );
        let there = dumped.await?;
        let options = CompareOptions {
            restore: self.args.leave_out.restore_options(false),
            source_major: self.manifest.source.server_version_num / 10_000,
            target_major: server.facts.version.major(),
            nested_arrays: verify::has_nested_arrays(snapshot.session()).await?,
            ..CompareOptions::default()
        };
        Ok(verify::compare_schemas(&self.toc, &there, &options))
    }
}
