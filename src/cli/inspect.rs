//! The first steps of every command that has a source and a target: who they are, what they hold, what is to be moved.
//!
//! ```text
//!   Requested ─► Road (both ends connected) ─► Inspection (the source in one snapshot) ─► Plan
//! ```
//!
//! Nothing here changes either of them, except [`Inspection::ready_target`].

use std::sync::Arc;

use super::join::at_once;
use super::output::Emitter;
use super::prove::Proof;
use super::requested::{Requested, Sizes};
use super::source_view::SourceView;
use crate::catalog::{self, OwnerWithoutCreate, ServerFacts, SourceFacts, TargetFacts, Unreadable};
use crate::event::{Emit as _, What};
use crate::execute::prepare::{self, PrepareError};
use crate::failure::Failure;
use crate::fault;
use crate::ledger::{self, Memory};
use crate::model::{Bytes, Endpoint, Finding, QualifiedName, VerifyLevel};
use crate::pg::client_tools::{ChildEnvironment, ClientTool, Search};
use crate::pg::conninfo::Conninfo;
use crate::pg::{Connector, Session, Side, Snapshot};
use crate::plan::{Inputs, Left, NewDatabase, Plan, PlanOptions};
use crate::preflight::{self, PreflightFacts};
use crate::salvage::DamageMap;
use crate::toc::{RestoreOptions, Toc};
use crate::verify::{Observed, SettingsLacking};

/// The database that every cluster has, to be connected to while the target does not exist yet.
pub(super) const MAINTENANCE_DATABASE: &str = "postgres";

/// What index builds may use of a target if nobody says anything else.
pub(super) fn memory_for_indexes(target: &ServerFacts) -> Bytes {
    const LEAST: Bytes = Bytes(512 << 20);
    LEAST
        .max(Bytes(target.shared_buffers.0 / 2))
        .max(target.maintenance_work_mem)
}

/// One end of the road, connected.
pub struct Server {
    /// Opens further sessions on the same server.
    pub connector: Connector,
    /// A session for questions.
    pub session: Session,
    /// Who it is.
    pub facts: ServerFacts,
    /// What people are shown.
    pub endpoint: Endpoint,
}

/// Both ends.
pub struct Road {
    /// Where from.
    pub source: Server,
    /// Where to; with `--create`, the maintenance database of that server.
    pub target: Server,
    /// The database that will be filled.
    target_conninfo: Conninfo,
    /// The `pg_dump` for this pair.
    pub pg_dump: ClientTool,
}

/// What was seen of the source, and of the target as far as it does not matter what that holds.
pub struct Seen {
    view: SourceView,
    unreadable: Unreadable,
    out_of_reach: Vec<QualifiedName>,
    database_settings: SettingsLacking,
    assumable_roles: Vec<String>,
    owners_without_create: Vec<OwnerWithoutCreate>,
    new_database: Option<NewDatabase>,
}

/// What the source's role may not read and a standby does not have, what is set on the source alone, what the target's role may become,
/// and what is to be created.
type Rest = (
    Unreadable,
    Vec<QualifiedName>,
    SettingsLacking,
    Vec<String>,
    Option<NewDatabase>,
);

/// Everything there is to know before a plan is made.
pub struct Inspection {
    /// Both ends.
    pub road: Road,
    /// The source.
    pub view: SourceView,
    pub(super) requested: Requested,
    target_facts: TargetFacts,
    unreadable: Unreadable,
    out_of_reach: Vec<QualifiedName>,
    database_settings: SettingsLacking,
    assumable_roles: Vec<String>,
    owners_without_create: Vec<OwnerWithoutCreate>,
    /// The target database, if it is to be created.
    new_database: Option<NewDatabase>,
}

impl Server {
    /// Connects, and asks who it is.
    pub async fn connect(conninfo: Conninfo, side: Side) -> Result<Self, Failure> {
        let connector = Connector::new(conninfo, side)?;
        let session = connector.session("questions").await?;
        let connector = connector.pinned_to(session.peer());
        let facts = catalog::server_facts(&session).await?;
        let endpoint = connector.endpoint(session.peer(), Some(facts.version));
        Ok(Self {
            connector,
            session,
            facts,
            endpoint,
        })
    }

    /// Of a target: roles that are to own something in a schema where they may create nothing. A superuser gives it to them all the
    /// same. `stays`: what it holds is there still by then.
    pub(super) async fn owners_without_create(
        &self,
        described: (&Toc, &RestoreOptions),
        stays: bool,
    ) -> Result<Vec<OwnerWithoutCreate>, Failure> {
        if self.facts.superuser {
            return Ok(Vec::new());
        }
        let owners = preflight::new_owners(described, stays);
        Ok(catalog::owners_without_create(&self.session, (&owners, stays)).await?)
    }

    /// For a program that must reach the same server.
    pub fn child_environment(&self) -> ChildEnvironment {
        ChildEnvironment::new(self.connector.conninfo(), self.session.peer())
            .switching_off(&self.facts.passing_over_damage)
    }
}

impl Road {
    /// Connects to both ends, and finds the `pg_dump` for them.
    pub async fn connect(requested: &Requested) -> Result<Self, Failure> {
        let source = async {
            let source = Server::connect(requested.source.clone(), Side::Source).await;
            source.map_err(|failure| failure.while_doing("the source"))
        };
        let target = async {
            let target = Server::connect(requested.first_database(), requested.target_side()).await;
            target.map_err(|failure| failure.while_doing("the target"))
        };
        let search = async { Ok(Search::run("pg_dump", &requested.environment).await) };
        let servers = Box::pin(at_once(source, target));
        let ((source, target), search) = at_once(servers, search).await?;
        if !requested.create && preflight::same_database(&source.facts, &target.facts) {
            return Err(Failure::same_database(&target.endpoint));
        }
        let needed = source.facts.version.max(target.facts.version);
        Ok(Self {
            source,
            target,
            target_conninfo: requested.target.clone(),
            pg_dump: search.closest_for(needed)?,
        })
    }

    /// What forbids to ask either of them any more.
    pub fn unsupported(&self) -> Vec<Finding> {
        preflight::unsupported(&self.source.facts, &self.target.facts)
    }

    /// The database that will be filled, as people are shown it.
    pub fn target_endpoint(&self) -> Endpoint {
        Endpoint {
            database: self.target_conninfo.database.clone(),
            ..self.target.endpoint.clone()
        }
    }

    /// What the target holds and offers. A database that is yet to be created holds nothing.
    pub async fn view_target(&self, requested: &Requested) -> Result<TargetFacts, Failure> {
        let mut facts = catalog::target_facts(&self.target.session).await?;
        if requested.create {
            facts.holdings.clear();
            facts.ledger_schema = None;
        }
        Ok(facts)
    }

    /// What can be found without reading the source's schema; also what would keep `pg_dump` from reading it.
    pub async fn first_findings(
        &self,
        requested: &Requested,
        target_facts: &TargetFacts,
    ) -> Result<Vec<Finding>, Failure> {
        let large_objects = !requested.filters.selects();
        let unreadable = Unreadable::read(&self.source.session, large_objects).await?;
        let nothing = SourceFacts::default();
        let facts = self.first_facts(requested, target_facts, (&unreadable, &nothing));
        let mut findings = preflight::findings(&facts);
        preflight::pass_over(&mut findings, &requested.skip_checks);
        if requested.salvage.is_some() {
            preflight::for_salvage(&mut findings);
        }
        Ok(findings)
    }

    /// What rules look at as long as the schema has not been read.
    pub fn first_facts<'a>(
        &'a self,
        requested: &'a Requested,
        target_facts: &'a TargetFacts,
        (unreadable, nothing): (&'a Unreadable, &'a SourceFacts),
    ) -> PreflightFacts<'a> {
        PreflightFacts {
            source: &self.source.facts,
            target: &self.target.facts,
            source_facts: nothing,
            target_facts,
            toc: None,
            restore: &requested.restore,
            overwrite: requested.overwrite.as_deref(),
            create: requested.create,
            selective: !requested.filters.is_empty(),
            unreadable,
            // As long as nobody knows which of it is to be left out.
            out_of_reach: &[],
            database_settings: &[],
            assumable_roles: &[],
            owners_without_create: &[],
        }
    }

    /// Takes the snapshot and reads everything about the source in it.
    pub async fn inspect(
        self,
        requested: Requested,
        target_facts: TargetFacts,
    ) -> Result<Inspection, Failure> {
        Box::pin(self.inspect_in(None, requested, target_facts)).await
    }

    /// The same in a snapshot that is held already.
    pub async fn inspect_in(
        self,
        held: Option<Snapshot>,
        requested: Requested,
        target_facts: TargetFacts,
    ) -> Result<Inspection, Failure> {
        let seen = self.see(&requested, held).await?;
        Ok(self.inspected(requested, target_facts, seen))
    }

    /// Everything there is to know that does not depend on the target: while `pg_dump` reads the schema, the rest is asked.
    pub async fn see(
        &self,
        requested: &Requested,
        held: Option<Snapshot>,
    ) -> Result<Seen, Failure> {
        let view = Box::pin(SourceView::take(self, requested, held));
        let rest = Box::pin(self.ask_the_rest(requested));
        let (view, rest) = at_once(view, rest).await?;
        let (unreadable, mut out_of_reach, database_settings, assumable_roles, new_database) = rest;
        out_of_reach.retain(|name| !view.exclude_data.contains(name));
        let stays = !requested.create && requested.overwrite.is_none();
        let described = (view.toc(), &requested.restore);
        let owners_without_create = self.target.owners_without_create(described, stays).await?;
        Ok(Seen {
            view,
            unreadable,
            out_of_reach,
            database_settings,
            assumable_roles,
            owners_without_create,
            new_database,
        })
    }

    /// What was seen, put together.
    pub fn inspected(
        self,
        requested: Requested,
        target_facts: TargetFacts,
        seen: Seen,
    ) -> Inspection {
        Inspection {
            unreadable: seen.unreadable,
            out_of_reach: seen.out_of_reach,
            database_settings: seen.database_settings,
            assumable_roles: seen.assumable_roles,
            owners_without_create: seen.owners_without_create,
            new_database: seen.new_database,
            road: self,
            view: seen.view,
            requested,
            target_facts,
        }
    }

    async fn ask_the_rest(&self, requested: &Requested) -> Result<Rest, Failure> {
        let source = &self.source.session;
        let settings = async {
            // A database that is to be created gets the source's.
            if requested.create {
                return Ok(SettingsLacking::default());
            }
            SettingsLacking::read(source, &self.target.session).await
        };
        let (unreadable, out_of_reach, settings, roles) = tokio::try_join!(
            biased;
            Unreadable::read(source, !requested.filters.selects()),
            catalog::out_of_reach(source),
            settings,
            catalog::assumable_roles(&self.target.session),
        )?;
        let new_database = self.new_database(requested).await?;
        Ok((unreadable, out_of_reach, settings, roles, new_database))
    }

    /// What is to be created, if anything is; an error if it is there already, or cannot be made on that server.
    async fn new_database(&self, requested: &Requested) -> Result<Option<NewDatabase>, Failure> {
        if !requested.create && !requested.adopt {
            return Ok(None);
        }
        let name = &self.target_conninfo.database;
        if requested.create && prepare::database_exists(&self.target.session, name).await? {
            let database = name.clone();
            return Err(PrepareError::Exists { database }.into());
        }
        let source = catalog::database_facts(&self.source.session).await?;
        let version = self.target.facts.version;
        Ok(Some(NewDatabase::like(
            &source,
            name,
            version,
            &requested.restore,
        )?))
    }
}

impl Inspection {
    /// What speaks against the move.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = preflight::findings(&self.preflight_facts());
        findings.extend(preflight::pg_dump_warned(&self.view.warnings));
        findings.extend(self.database_settings.refused.iter().cloned());
        preflight::pass_over(&mut findings, &self.requested.skip_checks);
        if self.requested.salvage.is_some() {
            preflight::for_salvage(&mut findings);
        }
        findings
    }

    /// What rules look at.
    pub fn preflight_facts(&self) -> PreflightFacts<'_> {
        PreflightFacts {
            source: &self.road.source.facts,
            target: &self.road.target.facts,
            source_facts: &self.view.facts,
            target_facts: &self.target_facts,
            toc: Some(&self.view.toc),
            restore: &self.requested.restore,
            overwrite: self.requested.overwrite.as_deref(),
            create: self.requested.create,
            selective: !self.requested.filters.is_empty(),
            unreadable: &self.unreadable,
            out_of_reach: &self.out_of_reach,
            database_settings: &self.database_settings.settings,
            assumable_roles: &self.assumable_roles,
            owners_without_create: &self.owners_without_create,
        }
    }

    /// The plan, for a target on which an earlier session may have left something. Sizes that nobody named are chosen.
    pub fn plan(&self, sizes: Sizes, left: Left) -> Result<Plan, Failure> {
        let by_default = memory_for_indexes(&self.road.target.facts);
        let mut salvaged = DamageMap::for_plan(self.requested.salvage.as_deref());
        if self.requested.schema.is_some() {
            // Definitions from elsewhere have checks of their own.
            salvaged.checks.clear();
        }
        let options = PlanOptions {
            jobs: sizes.workers.unwrap_or(self.requested.jobs),
            verify: self.requested.verify,
            restore: self.requested.restore,
            exclude_data: self.view.exclude_data.clone(),
            chunk_size: sizes.chunk_size,
            memory: sizes.memory.unwrap_or(by_default),
            left,
            salvaged,
        };
        Ok(Plan::make(&Inputs {
            toc: &self.view.toc,
            source: &self.road.source.facts,
            facts: &self.view.facts,
            target: &self.road.target.facts,
            archive: None,
            options: &options,
        })?)
    }

    /// What was seen and cannot be seen again.
    pub fn memory(&self) -> Memory {
        Memory {
            installed: self.target_facts.installed.clone(),
            sequences: self.view.facts.sequences.clone(),
            activity: self.view.activity.clone(),
        }
    }

    /// Puts what the first session saw in the place of what is seen now. Sequences only if the snapshot is still that
    /// session's: they do not follow snapshots.
    pub fn recall(&mut self, memory: Memory, same_snapshot: bool) {
        self.target_facts.installed = memory.installed;
        if same_snapshot {
            self.view.facts.sequences = memory.sequences;
            self.view.activity = memory.activity;
        }
    }

    /// What an earlier session may not have set on a database that it created.
    pub async fn recall_database(&mut self, created: bool) -> Result<(), Failure> {
        self.requested.adopt = created;
        self.new_database = self.road.new_database(&self.requested).await?;
        Ok(())
    }

    /// Something was asked for that changes the target before the run has written itself into it. Otherwise, it is as it was looked at.
    pub fn is_to_change_target(&self) -> bool {
        self.new_database.is_some() || self.requested.overwrite.is_some()
    }

    /// Empties or creates the target where that was asked for. A target that is emptied says for which run.
    pub async fn ready_target(mut self, emitter: &Emitter, run: &str) -> Result<Self, Failure> {
        if let Some(new) = self.new_database.as_ref().filter(|_| self.requested.adopt) {
            prepare::adopt_database(&self.road.target.session, new).await?;
        } else if let Some(new) = &self.new_database {
            prepare::create_database(&self.road.target.session, new).await?;
            fault::point("target-created");
            let conninfo = self.road.target_conninfo.clone();
            self.road.target = Server::connect(conninfo, Side::Target).await?;
            let text = format!("created database {} on the target", new.name);
            emitter.emit(What::Note { text });
        } else if self.requested.overwrite.is_some() {
            let sign = ledger::put_up_sign(run);
            let emptied = prepare::empty(&self.road.target.session, Some(&sign), emitter).await?;
            fault::point("target-emptied");
            for text in emptied.notes() {
                emitter.emit(What::Note { text });
            }
        }
        self.target_facts.installed =
            catalog::installed_extensions(&self.road.target.session).await?;
        Ok(self)
    }

    /// The snapshot for those who copy, and what is needed afterwards to prove that they did; among it, the catalogs as they were.
    pub fn split(self, plan: Arc<Plan>) -> (Snapshot, Proof, Observed) {
        let Self {
            road,
            view,
            requested,
            target_facts,
            new_database,
            ..
        } = self;
        let Road {
            source,
            target,
            pg_dump,
            ..
        } = road;
        let transactions = view.snapshot.transactions.clone();
        let observed = Observed::in_snapshot(view.facts, view.hidden);
        let proof = Proof {
            source,
            target,
            pg_dump,
            plan,
            sequences: observed.sequences.clone(),
            source_toc: view.toc,
            restore: requested.restore,
            target_facts,
            new_database,
            large_objects: !requested.filters.selects(),
            exclude_data: view.exclude_data,
            activity: view.activity,
            transactions,
            salvage: requested.salvage,
        };
        (view.snapshot, proof, observed)
    }
}

/// How many tables must get a verdict before anything is proven.
pub fn tables_to_judge(plan: &Plan) -> u32 {
    let tables = if plan.verify == VerifyLevel::None {
        plan.tables.len()
    } else {
        let is_table = |comparison: &&crate::plan::Comparison| !comparison.matview;
        plan.comparisons.iter().filter(is_table).count()
    };
    u32::try_from(tables).unwrap_or(u32::MAX)
}
