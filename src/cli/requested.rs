//! What was asked for: from the command line, or from what an earlier session wrote down.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::arguments::{LeaveOutArgs, SelectionArgs};
use super::inspect::{MAINTENANCE_DATABASE, Road, Server};
use super::secrets::{SOURCE_PASSWORD, TARGET_PASSWORD};
use crate::execute::prepare;
use crate::failure::Failure;
use crate::follow::Wanted;
use crate::ledger::{Identity, Request};
use crate::model::{Bytes, Filters, FollowName, VerifyLevel};
use crate::pg::Side;
use crate::pg::conninfo::{Conninfo, Environment, Password};
use crate::plan::Doubtful;
use crate::salvage::DamageMap;
use crate::toc::RestoreOptions;

/// What was asked for, resolved.
pub struct Requested {
    pub(super) environment: Environment,
    pub(super) source: Conninfo,
    pub(super) target: Conninfo,
    pub(super) filters: Filters,
    pub(super) restore: RestoreOptions,
    /// Create the target database.
    pub create: bool,
    /// It was to be created by a session that was interrupted, and is there: it gets the properties that are still missing.
    pub adopt: bool,
    /// Empty the target database of this name.
    pub overwrite: Option<String>,
    /// Number of workers.
    pub jobs: u32,
    /// What to prove.
    pub verify: VerifyLevel,
    /// Neither side is written to.
    pub only_reads: bool,
    /// Rules whose blockers are passed over.
    pub skip_checks: Vec<String>,
    /// How long a process of its own holds the snapshot without us; `None` is no such process.
    pub keep_snapshot: Option<Duration>,
    /// What of a damaged source can be read.
    pub salvage: Option<Arc<DamageMap>>,
    /// The target is to follow the source once the copy is proven.
    pub follow: Option<Wanted>,
    /// The definitions, as an archive from elsewhere.
    pub schema: Option<Arc<Vec<u8>>>,
}

/// Sizes that the operator may name.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sizes {
    /// Memory on the target for all index builds together.
    pub memory: Option<Bytes>,
    /// Tables larger than this are copied in chunks.
    pub chunk_size: Option<Bytes>,
    /// As many workers, in place of those that were asked for: to see what other numbers would come to.
    pub workers: Option<u32>,
}

impl Sizes {
    /// Those that were named when the run began.
    pub fn of(request: &Request) -> Self {
        Self {
            memory: request.memory,
            chunk_size: request.chunk_size,
            workers: None,
        }
    }
}

impl Requested {
    /// From both ends, in this environment, and the arguments that all commands share.
    pub fn new(
        environment: Environment,
        (source, target): (Conninfo, Conninfo),
        selection: &SelectionArgs,
        leave_out: &LeaveOutArgs,
    ) -> Result<Self, Failure> {
        Ok(Self {
            source,
            target,
            environment,
            filters: selection.filters()?,
            restore: leave_out.restore_options(false),
            create: false,
            adopt: false,
            overwrite: None,
            jobs: 1,
            verify: VerifyLevel::Content,
            only_reads: false,
            skip_checks: Vec::new(),
            keep_snapshot: None,
            salvage: None,
            follow: None,
            schema: None,
        })
    }
}

impl Requested {
    /// The options that leave a part of the database out.
    pub fn narrowed_by(&self) -> Vec<String> {
        let mut options = self.filters.pg_dump_args();
        options.extend(self.restore.options().map(str::to_owned));
        options
    }
}

impl Requested {
    /// How the source's snapshot is taken: for how long it is held without us, and which replication slot begins with it.
    pub fn snapshot(&self) -> (Option<Duration>, Option<&FollowName>) {
        let slot = self.follow.as_ref().map(|wanted| &wanted.forward);
        (self.keep_snapshot, slot)
    }

    /// Where to.
    pub fn target(&self) -> &Conninfo {
        &self.target
    }

    /// Where the first session on the target's side is opened: a database that is yet to be created cannot be connected to.
    pub fn first_database(&self) -> Conninfo {
        if self.create {
            self.target.clone().with_database(MAINTENANCE_DATABASE)
        } else {
            self.target.clone()
        }
    }

    /// How its sessions are set: a target that is only compared is only read.
    pub fn target_side(&self) -> Side {
        if self.only_reads {
            Side::Source
        } else {
            Side::Target
        }
    }

    /// Whether the target database is there: one that was to be created may or may not be.
    pub async fn target_exists(&self) -> Result<bool, Failure> {
        let maintenance = self.target.clone().with_database(MAINTENANCE_DATABASE);
        let server = Server::connect(maintenance, Side::Target).await;
        let server = server.map_err(|failure| failure.while_doing("the target"))?;
        Ok(prepare::database_exists(&server.session, &self.target.database).await?)
    }

    /// Who the target is: a database that is yet to be created is known by its server.
    pub fn identity_of(&self, target: &Server) -> Identity {
        if self.create {
            Identity::of_new(&target.facts, &self.target.database)
        } else {
            Identity::of(&target.facts)
        }
    }

    /// The same as it is written down for later sessions, once it is known where it leads.
    pub fn record(&self, road: &Road, run: &str, sizes: Sizes) -> Request {
        let target = road.target.session.peer();
        Request {
            run: run.to_owned(),
            source: self.source.record(&road.source.session.peer().host),
            target: self.target.record(&target.host),
            source_identity: Identity::of(&road.source.facts),
            target_identity: Some(self.identity_of(&road.target)),
            archive: None,
            target_database: self.target.database.clone(),
            filters: self.filters.clone(),
            restore: self.restore,
            create: self.create,
            overwrite: self.overwrite.clone(),
            jobs: self.jobs,
            verify: self.verify,
            memory: sizes.memory,
            chunk_size: sizes.chunk_size,
            keep_snapshot_s: self.keep_snapshot.map(|keep_for| keep_for.as_secs()),
            salvage: false,
            follow: self.follow.clone(),
            doubtful: Doubtful::default(),
        }
    }

    /// From what was written down. A connection string that is given now counts instead of the recorded one.
    pub fn recorded(
        request: &Request,
        (source, target): (Option<Conninfo>, Option<Conninfo>),
        environment: Environment,
    ) -> Result<Self, Failure> {
        Ok(Self {
            source: reached_again(source, &request.source, &environment, Side::Source)?,
            target: reached_again(target, &request.target, &environment, Side::Target)?,
            filters: request.filters.clone(),
            restore: request.restore,
            create: false,
            adopt: false,
            overwrite: None,
            jobs: request.jobs,
            verify: request.verify,
            keep_snapshot: request.keep_snapshot_s.map(Duration::from_secs),
            salvage: None,
            follow: request.follow.clone(),
            schema: None,
            only_reads: false,
            skip_checks: Vec::new(),
            environment,
        })
    }
}

/// How an end is reached that an earlier session has recorded. A connection string that is given now counts instead of that.
pub(super) fn reached_again(
    given: Option<Conninfo>,
    record: &BTreeMap<String, String>,
    environment: &Environment,
    side: Side,
) -> Result<Conninfo, Failure> {
    if let Some(given) = given {
        return Ok(given);
    }
    let found = Conninfo::from_record(record, environment)
        .map_err(|error| Failure::from(error).while_doing(&format!("the {side}")))?;
    let variable = match side {
        Side::Source => SOURCE_PASSWORD,
        Side::Target => TARGET_PASSWORD,
    };
    Ok(match environment.variable(variable) {
        Some(password) => found.with_password(&Password::new(password)),
        None => found,
    })
}
