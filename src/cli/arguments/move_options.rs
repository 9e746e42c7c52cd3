//! A move, as it is asked for: what `move`, `check` and `plan` are told of it.

use clap::Args;

use super::{
    ConnectionArgs, DatabaseArgs, LeaveOutArgs, SelectionArgs, SkipArgs, SpeedArgs, VerifyArgs,
};
use crate::cli::requested::Requested;
use crate::failure::Failure;
use crate::pg::conninfo::Environment;

/// The options of `move` that decide what it comes to.
#[derive(Debug, Clone, Args)]
pub struct IntendedArgs {
    /// Source and target.
    #[command(flatten)]
    pub connection: ConnectionArgs,

    /// What is done to the target first.
    #[command(flatten)]
    pub database: DatabaseArgs,

    /// What is passed over.
    #[command(flatten)]
    pub skip: SkipArgs,

    /// Which objects.
    #[command(flatten)]
    pub selection: SelectionArgs,

    /// What to leave out of them.
    #[command(flatten)]
    pub leave_out: LeaveOutArgs,

    /// How to go about it.
    #[command(flatten)]
    pub speed: SpeedArgs,

    /// What to prove.
    #[command(flatten)]
    pub verify: VerifyArgs,
}

impl IntendedArgs {
    /// What it comes to.
    pub(in crate::cli) fn requested(&self) -> Result<Requested, Failure> {
        let environment = Environment::of_process();
        let ends = self.connection.resolve(&environment)?;
        let mut requested = Requested::new(environment, ends, &self.selection, &self.leave_out)?;
        requested.create = self.database.create;
        requested.overwrite.clone_from(&self.database.overwrite);
        requested.skip_checks.clone_from(&self.skip.skip_check);
        requested.jobs = self.speed.jobs();
        requested.verify = self.verify.level();
        Ok(requested)
    }

    /// The same of a move that is looked into, and not made: nothing is written.
    pub(in crate::cli) fn looked_into(&self) -> Result<Requested, Failure> {
        let mut requested = self.requested()?;
        requested.only_reads = true;
        Ok(requested)
    }
}
