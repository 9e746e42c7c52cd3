//! `pgconvoy keeper`: started by a move, not by people; holds the snapshot of the source (see [`crate::pg::keeper`]).

use std::io::{self, Write as _};
use std::time::Duration;

use clap::Args;

use super::arguments::duration;
use super::explain::explained;
use super::inspect::Server;
use super::join::at_once;
use crate::catalog;
use crate::failure::Failure;
use crate::model::{ExitStatus, FollowName, Side};
use crate::pg::conninfo::{Conninfo, Environment};
use crate::pg::keeper::{self, Holding, Keeper};
use crate::pg::{Connector, Snapshot, client_tools};

/// Hold a snapshot of the source for a move
#[derive(Debug, Clone, Args)]
pub struct KeeperArgs {
    /// How long to hold it without anybody who uses it
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    keep_snapshot: Duration,

    /// A replication slot that is to begin with it
    #[arg(long, value_name = "NAME", value_parser = slot_name)]
    slot: Option<FollowName>,
}

fn slot_name(text: &str) -> Result<FollowName, String> {
    FollowName::parse(text).ok_or_else(|| "it is not a name that pgconvoy gives".to_owned())
}

impl KeeperArgs {
    /// From the command line; where to connect is in the environment.
    pub(super) async fn start(self) -> Result<ExitStatus, Failure> {
        // Away from the terminal and from the supervisor's process group. It fails for the leader of a group, who was
        // started by hand.
        let _ = nix::unistd::setsid();
        let mut say = |line: &str| {
            let mut stdout = io::stdout().lock();
            writeln!(stdout, "{line}")?;
            stdout.flush()
        };
        let connector = match connector() {
            Ok(connector) => connector,
            Err(failure) => {
                // If nobody listens any more, nobody needs to know.
                let _ = say(&keeper::refusal(&failure.to_string()));
                return Err(failure);
            }
        };
        let holding = Holding {
            connector: &connector,
            keep_for: self.keep_snapshot,
            slot: self.slot.as_ref(),
            say: &mut say,
        };
        keeper::hold(holding, catalog::readable_tables).await?;
        Ok(ExitStatus::Proven)
    }
}

/// Where our supervisor is connected.
fn connector() -> Result<Connector, Failure> {
    let environment = Environment::of_process();
    let settings = environment.variable(client_tools::TCP_VARIABLE);
    let conninfo = Conninfo::resolve(settings.unwrap_or_default(), &environment)?;
    Ok(Connector::new(conninfo, Side::Source)?)
}

/// Takes the snapshot of a source, held by a keeper, or without one by a session of our own.
pub async fn snapshot(source: &Server, keep_for: Option<Duration>) -> Result<Snapshot, Failure> {
    snapshot_for(source, (keep_for, None)).await
}

/// The same; if a replication slot is named, it is made, and begins with the snapshot.
pub async fn snapshot_for(
    source: &Server,
    how: (Option<Duration>, Option<&FollowName>),
) -> Result<Snapshot, Failure> {
    match take(source, how).await {
        Ok(snapshot) => Ok(snapshot),
        Err(failure) => Err(explained(failure, source).await),
    }
}

async fn take(
    source: &Server,
    (keep_for, slot): (Option<Duration>, Option<&FollowName>),
) -> Result<Snapshot, Failure> {
    let Some(keep_for) = keep_for else {
        let list = catalog::readable_tables;
        return Ok(Snapshot::take_for(&source.connector, list, slot).await?);
    };
    let environment = source.child_environment();
    // The session that imports it is opened while the keeper opens its own.
    let keeper =
        Box::pin(async { Ok(Keeper::spawn_ourselves(&environment, keep_for, slot).await?) });
    let session = Box::pin(async { Ok(source.connector.session("snapshot").await?) });
    let (keeper, session) = at_once(keeper, session).await?;
    Ok(Snapshot::kept(session, keeper).await?)
}
