//! `pgconvoy unfollow`: removes everything that was made for one database to follow another, and puts back what was changed.

use std::io::Write as _;

use clap::Args;

use super::ends::{self, Ends, run};
use crate::cli::inspect::Server;
use crate::cli::say::say;
use crate::cli::secrets::{SOURCE_PASSWORD, TARGET_PASSWORD};
use crate::failure::Failure;
use crate::fault;
use crate::follow::{self, FollowError, OursKind, Phase, SideRecord, State};
use crate::model::{ExitStatus, FollowName, Side};
use crate::pg::claim::Claim;
use crate::pg::conninfo::Environment;

/// Remove everything that was made for one database to follow another
///
/// Removes the subscription, publication and slot of both directions, and the schema `pgconvoy_follow`; sets back replica
/// identities that were changed; and opens a database that was closed to writers. Afterwards both sides are as they were. It
/// may be run at any time, also after a crash, and more than once; only a turn that may have opened the other side already must
/// be finished first. After a cut-over, both sides are open to writers again, and nothing connects them any more. If one of the
/// servers no longer exists, name only the other: what is there is listed, and --drop removes it.
#[derive(Debug, Clone, Args)]
#[command(name = "unfollow")]
pub struct UnfollowArgs {
    /// The target, which knows its source
    #[arg(
        long,
        value_name = "CONNINFO",
        env = "PGCONVOY_TARGET",
        hide_env_values = true
    )]
    target: Option<String>,

    /// The source, if it is reached differently than in the move, if the move was interrupted, or if the target is gone
    #[arg(
        long,
        value_name = "CONNINFO",
        env = "PGCONVOY_SOURCE",
        hide_env_values = true
    )]
    source: Option<String>,

    /// The other server is gone: remove what has this name from the server that is given
    #[arg(long, value_name = "NAME", value_parser = a_name)]
    drop: Vec<FollowName>,

    /// The other server is gone: look only at the server that is given
    #[arg(long)]
    alone: bool,
}

fn a_name(text: &str) -> Result<FollowName, String> {
    FollowName::parse(text)
        .ok_or_else(|| "names of what pgconvoy made are listed without --drop".to_owned())
}

impl UnfollowArgs {
    /// From the command line.
    pub(in crate::cli) async fn start(self) -> Result<ExitStatus, Failure> {
        let alone = self.alone || !self.drop.is_empty();
        match (&self.source, &self.target) {
            (source, Some(target)) if !alone => both(source.as_deref(), target).await,
            (Some(_), Some(_)) => Err(Failure::usage(
                "with --alone and --drop, one server is named, and not two",
                "Leave the one out that is gone (and its variable PGCONVOY_SOURCE or PGCONVOY_TARGET).",
            )),
            (Some(source), None) => self.one(source, ("--source", SOURCE_PASSWORD)).await,
            (None, Some(target)) => self.one(target, ("--target", TARGET_PASSWORD)).await,
            (None, None) => Err(Failure::usage(
                "what is to be removed?",
                "Name the target with --target; if it is gone, the source with --source.",
            )),
        }
    }

    /// One side alone: lists what is there, and removes what was named.
    async fn one(&self, text: &str, side: (&str, &str)) -> Result<ExitStatus, Failure> {
        let server = ends::connect_to(text, side, &Environment::of_process()).await?;
        let there = follow::ours(&server.session)
            .await
            .map_err(FollowError::step("looking for what was made there"))?;
        if self.drop.is_empty() {
            return list(&server, &there);
        }
        for name in &self.drop {
            if !there.iter().any(|one| one.name == *name) {
                say(&format!(
                    "{}: there is nothing called {name}",
                    server.endpoint
                ));
                continue;
            }
            let database = &server.facts.database;
            // For a given direction, changes either come from here or go here.
            ends::clear_subscriber(&server.session, database, (name, name)).await?;
            ends::clear_publisher(&server.session, database, name).await?;
            say(&format!("{}: removed {name}", server.endpoint));
        }
        let left = follow::ours(&server.session)
            .await
            .map_err(FollowError::step("looking for what was made there"))?;
        if left.is_empty() {
            let doing = "dropping the schema pgconvoy_follow";
            run(&server.session, &follow::drop_state(), doing).await?;
        }
        Ok(ExitStatus::Proven)
    }
}

fn list(server: &Server, there: &[follow::Ours]) -> Result<ExitStatus, Failure> {
    let mut lines: Vec<String> = there
        .iter()
        .map(|one| {
            let kind = match one.kind {
                OursKind::Publication => "publication",
                OursKind::Subscription => "subscription",
                OursKind::Slot => "slot",
            };
            let record = one.record.as_deref().and_then(SideRecord::parse);
            let other = record.map_or_else(String::new, |record| {
                format!(" (the other end: {})", record.other)
            });
            format!("{kind} {}{other}", one.name)
        })
        .collect();
    if lines.is_empty() {
        lines.push(format!(
            "{}: nothing of pgconvoy's is there",
            server.endpoint
        ));
    } else {
        lines.push("To remove it, add --drop NAME.".to_owned());
    }
    writeln!(std::io::stdout(), "{}", lines.join("\n"))
        .map_err(|error| Failure::file("writing", "stdout".as_ref(), &error))?;
    Ok(ExitStatus::Proven)
}

/// Whether a target that does not say what it follows has nothing of ours.
async fn is_bare(target: &str) -> Result<bool, Failure> {
    let side = ("--target", TARGET_PASSWORD);
    let server = ends::connect_to(target, side, &Environment::of_process()).await?;
    let failed = || FollowError::step("looking for what was made there");
    let has_state = follow::has_state(&server.session).await.map_err(failed())?;
    let there = follow::ours(&server.session).await.map_err(failed())?;
    let is_bare = !has_state && there.is_empty();
    if is_bare {
        say(&format!(
            "{}: nothing of pgconvoy's is there; for what an interrupted move has made on a source, name it with --source",
            server.endpoint
        ));
    }
    Ok(is_bare)
}

/// The side that takes over may already be open and written to: opening the other one as well would make two of them.
fn refuse_half_open(state: Option<&State>) -> Result<(), Failure> {
    let Some(state) = state else {
        return Ok(());
    };
    match state.phase {
        Phase::Turning(step) if !step.goes_back() => Err(FollowError::NotNow {
            what: state.words(),
            remedy: format!(
                "First: {}. If one of the servers is gone for good: pgconvoy unfollow --alone with the other one.",
                state.next()
            ),
        }
        .into()),
        _ => Ok(()),
    }
}

/// Sessions that an earlier run left at work may hold locks on tables, or still close a side.
async fn end_what_is_left(ends: &Ends, claim: &Claim) -> Result<(), Failure> {
    for ended in claim.end_leftovers().await? {
        say(&format!(
            "ended a session that an earlier run left on the target: {ended}"
        ));
    }
    if ends.state.is_none() {
        return Ok(());
    }
    for side in [Side::Source, Side::Target] {
        for ended in ends.take_over(side).await? {
            say(&format!(
                "ended a session that an earlier run left on the {side}: {ended}"
            ));
        }
    }
    Ok(())
}

/// Both sides: first what takes changes, then what offers them, and the state last: as long as it is there, the same can be run
/// again.
async fn both(source: Option<&str>, target: &str) -> Result<ExitStatus, Failure> {
    if source.is_none() && is_bare(target).await? {
        return Ok(ExitStatus::Proven);
    }
    let mut ends = Ends::connect(source, target).await?;
    // No move and no turn is under way, nor will one begin meanwhile.
    let claim = Claim::take(&ends.target.connector).await?;
    ends.claimed_by(&claim).await?;
    refuse_half_open(ends.state.as_ref())?;
    end_what_is_left(&ends, &claim).await?;
    let names = (ends.outward(Side::Source), ends.outward(Side::Target));
    let (forward, backward) = (&names.0, &names.1);
    for (side, inward, outward) in [
        (Side::Target, forward, backward),
        (Side::Source, backward, forward),
    ] {
        let server = ends.side(side);
        let database = &server.facts.database;
        ends::clear_subscriber(&server.session, database, (inward, outward)).await?;
    }
    fault::point("follow-unsubscribed");
    for (side, name) in [(Side::Source, forward), (Side::Target, backward)] {
        let server = ends.side(side);
        ends::clear_publisher(&server.session, &server.facts.database, name).await?;
    }
    fault::point("follow-unpublished");
    let doing = "dropping the schema pgconvoy_follow";
    run(&ends.target.session, &follow::drop_state(), doing).await?;
    let in_service = ends.state.as_ref().map(|state| state.serving);
    say(&format!(
        "removed: {} does not follow {} any more, and both are as they were",
        ends.target.endpoint, ends.source.endpoint
    ));
    if in_service == Some(Side::Target) {
        say(&format!(
            "{} is open to writers again: nobody who has been turned over to {} must write to it",
            ends.source.endpoint, ends.target.endpoint
        ));
    }
    Ok(ExitStatus::Proven)
}
