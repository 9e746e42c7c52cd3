//! Whether the target is to follow the source once the copy is proven.

use clap::Args;

use super::size;
use crate::cli::requested::Requested;
use crate::failure::Failure;
use crate::model::{Bytes, RunCommand, VerifyLevel};

/// What comes after the copy.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Following")]
pub struct FollowArgs {
    /// Once the copy is proven, have the target follow the source until pgconvoy cutover
    ///
    /// Uses Postgres's own logical replication: the copy is made in the snapshot at which a replication slot begins, so nothing
    /// that is written meanwhile is lost or duplicated. Until the cut-over the target is closed to writers. The target's server
    /// must be able to reach the source; the connection string, with its password, is then in the target's catalog
    /// (`pg_subscription`, which superusers can read). pgconvoy status --target says how it stands, and pgconvoy unfollow
    /// undoes all of it.
    #[arg(long)]
    pub follow: bool,

    /// Allow what following needs on the source: a publication, a replication slot, and what --replica-identity-full names
    #[arg(long, requires = "follow")]
    allow_source_objects: bool,

    /// Give a table without a primary key a full replica identity, until pgconvoy unfollow; may be given several times
    #[arg(long, value_name = "TABLE", requires = "follow")]
    replica_identity_full: Vec<String>,

    /// How the target's server reaches the source, if not as pgconvoy does
    #[arg(long, value_name = "CONNINFO", requires = "follow")]
    pub source_from_target: Option<String>,

    /// How much WAL the source may keep for the target: pgconvoy follow warns at half of it, and drops the slot beyond it
    #[arg(long, value_name = "SIZE", requires = "follow", value_parser = size::parse)]
    max_wal_retained: Option<Bytes>,
}

/// The same, as it goes into what is written down.
pub struct Follow {
    /// Objects may be made on the source.
    pub allow_source_objects: bool,
    /// Tables that get a full replica identity.
    pub replica_identity_full: Vec<String>,
    /// How the target's server reaches the source.
    pub source_from_target: Option<String>,
    /// What the source may keep of its log.
    pub max_wal_retained: Option<Bytes>,
}

impl FollowArgs {
    /// What was asked for, if it was.
    pub fn wanted(&self) -> Option<Follow> {
        self.follow.then(|| Follow {
            allow_source_objects: self.allow_source_objects,
            replica_identity_full: self.replica_identity_full.clone(),
            source_from_target: self.source_from_target.clone(),
            max_wal_retained: self.max_wal_retained,
        })
    }

    /// A part of a database cannot be followed, nor what was not compared.
    pub fn check(&self, command: &RunCommand, requested: &Requested) -> Result<(), Failure> {
        if !self.follow {
            return Ok(());
        }
        if *command != RunCommand::Move {
            return Err(Failure::usage(
                format!("--follow does not go with {command}"),
                "Nobody needs what a rehearsal makes: leave --follow to the move.",
            ));
        }
        if !requested.filters.is_empty() {
            return Err(Failure::usage(
                format!(
                    "--follow is for whole databases, and does not go with {}",
                    requested.filters.pg_dump_args().join(" ")
                ),
                "Leave the patterns out, or --follow: pgconvoy sync brings a part of a database to the source's present.",
            ));
        }
        if requested.verify != VerifyLevel::Content {
            return Err(Failure::usage(
                "--follow needs a proven copy, and does not go with --verify counts or none",
                "Leave --verify out.",
            ));
        }
        Ok(())
    }
}
