//! Both ends of a follow: how they are reached, and how what was made on them is removed.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::cli::arguments::resolve_connection;
use crate::cli::inspect::Server;
use crate::cli::requested::reached_again;
use crate::cli::say::say;
use crate::cli::secrets::{SOURCE_PASSWORD, TARGET_PASSWORD};
use crate::failure::{Failure, FailureKind};
use crate::follow::{self, FollowError, Ours, OursKind, SideRecord, State};
use crate::model::{FollowEnd, FollowName, Side};
use crate::pg::claim::Claim;
use crate::pg::conninfo::Environment;
use crate::pg::{Connector, PgError, Session};

/// How long a WAL sender may take to end once nobody reads from it.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a server may take to come back.
pub(super) const COMES_BACK_WITHIN: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(200);

/// A session that may write, on a server that is otherwise only read.
pub(super) async fn writer(server: &Connector) -> Result<Session, Failure> {
    let connector = Connector::new(server.conninfo().clone(), Side::Target)?;
    Ok(connector.session("follow").await?)
}

/// Runs a transaction, and leaves no failed one behind.
pub(super) async fn run(session: &Session, sql: &str, doing: &str) -> Result<(), Failure> {
    let done = session.execute(sql).await;
    if done.is_err() {
        // If this fails as well, the session is gone, and the transaction with it.
        let _ = session.execute("rollback").await;
    }
    Ok(done
        .map_err(PgError::of_guarded)
        .map_err(FollowError::step(doing))?)
}

/// Source and target, both with sessions that may write, and the state found on the target.
pub(super) struct Ends {
    pub source: Server,
    pub target: Server,
    pub state: Option<State>,
    /// A statement that fails on the target if we may not write the state.
    pub guard: Option<String>,
}

impl Ends {
    /// Connects to the target, and to the source that it names; a source that is given takes precedence.
    pub async fn connect(source: Option<&str>, target: &str) -> Result<Self, Failure> {
        let environment = Environment::of_process();
        let target = connect_to(target, ("--target", TARGET_PASSWORD), &environment).await?;
        let state = follow::read_state(&target.session).await?;
        let given = source
            .map(|text| resolve_connection(text, &environment, ("--source", SOURCE_PASSWORD)))
            .transpose()?;
        let record = state.as_ref().map(|state| &state.source);
        let source = match (given, record) {
            (None, None) => {
                return Err(FollowError::NoState {
                    target: target.endpoint.to_string(),
                }
                .into());
            }
            (Some(given), None) => given,
            (given, Some(record)) => reached_again(given, record, &environment, Side::Source)?,
        };
        let source = Server::connect(source.even_if_closed(), Side::Target).await;
        let source = source.map_err(|failure| failure.while_doing("the source"))?;
        let ends = Self {
            source,
            target,
            state,
            guard: None,
        };
        ends.check_names()?;
        Ok(ends)
    }

    /// The state found on the target; an error if it follows nobody.
    pub fn state(&self) -> Result<&State, Failure> {
        self.state.as_ref().ok_or_else(|| {
            FollowError::NoState {
                target: self.target.endpoint.to_string(),
            }
            .into()
        })
    }

    /// One side.
    pub fn side(&self, side: Side) -> &Server {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }

    fn end(&self, side: Side) -> FollowEnd<'_> {
        let facts = &self.side(side).facts;
        FollowEnd {
            system_identifier: facts.system_identifier,
            database: &facts.database,
        }
    }

    /// The name under which a side publishes.
    pub fn outward(&self, side: Side) -> FollowName {
        if let Some(state) = &self.state {
            return state.outward(side).clone();
        }
        let other = match side {
            Side::Source => Side::Target,
            Side::Target => Side::Source,
        };
        FollowName::of(self.end(side), self.end(other))
    }

    /// Names are derived from both ends: with another server, they would be different.
    fn check_names(&self) -> Result<(), Failure> {
        let Some(state) = &self.state else {
            return Ok(());
        };
        let known = self.source.facts.system_identifier.is_some()
            && self.target.facts.system_identifier.is_some();
        let made = FollowName::of(self.end(Side::Source), self.end(Side::Target));
        if !known || made == state.wanted.forward {
            return Ok(());
        }
        Err(Failure::usage(
            format!(
                "{} is not the database that {} follows (another server, or another database)",
                self.source.endpoint, self.target.endpoint
            ),
            "Lead --source to the database that the move began with.",
        ))
    }

    /// Opens the session of a side anew, for a turn: the old one may have ended, but not what it was told to do.
    pub async fn reconnect(&mut self, side: Side) -> Result<(), Failure> {
        self.connect_anew(side).await?;
        self.take_over(side).await.map(drop)
    }

    /// The same for a command that only looks, and ends nobody's session. A server that was restarted takes a while.
    pub async fn connect_anew(&mut self, side: Side) -> Result<(), Failure> {
        let deadline = Instant::now() + COMES_BACK_WITHIN;
        let conninfo = self.side(side).connector.conninfo().clone();
        let server = loop {
            match Server::connect(conninfo.clone(), Side::Target).await {
                Err(failure) if is_away(&failure) && Instant::now() < deadline => {
                    sleep(PAUSE).await;
                }
                connected => break connected?,
            }
        };
        match side {
            Side::Source => self.source = server,
            Side::Target => self.target = server,
        }
        Ok(())
    }

    /// Makes the session of a side the only one that changes anything there for this follow. Others, which an earlier run left
    /// or we lost sight of, may be waiting for a lock, and would go on once they have it: they are ended, and we wait until
    /// they are gone. Returns which these were.
    pub async fn take_over(&self, side: Side) -> Result<Vec<String>, Failure> {
        let (session, name) = (&self.side(side).session, &self.state()?.wanted.forward);
        let doing = || FollowError::step("ending sessions that an earlier run has left");
        session
            .execute(&follow::works_for(name))
            .await
            .map_err(doing())?;
        let deadline = Instant::now() + PATIENCE;
        let mut ended = Vec::new();
        loop {
            let there = follow::at_work(session, name).await.map_err(doing())?;
            if there.is_empty() {
                return Ok(ended);
            }
            if Instant::now() >= deadline {
                return Err(FollowError::Writers {
                    server: self.side(side).endpoint.to_string(),
                    sessions: there.into_iter().map(|(_, what)| what).collect(),
                }
                .into());
            }
            for (pid, what) in there {
                follow::end_session(session, pid).await.map_err(doing())?;
                if !ended.contains(&what) {
                    ended.push(what);
                }
            }
            sleep(PAUSE).await;
        }
    }

    /// The target is claimed: from here on nobody else changes its state, and what it said before may be outdated.
    pub async fn claimed_by(&mut self, claim: &Claim) -> Result<(), Failure> {
        self.guard = Some(claim.guard());
        self.state = follow::read_state(&self.target.session).await?;
        Ok(())
    }

    /// Writes down another state, which counts from here on.
    pub async fn write(&mut self, state: State) -> Result<(), Failure> {
        self.write_down(&state).await?;
        self.state = Some(state);
        Ok(())
    }

    /// The same, for a caller that has only borrowed it.
    pub async fn write_down(&self, state: &State) -> Result<(), Failure> {
        let sql = follow::write_state(state, self.guard.as_deref());
        run(&self.target.session, &sql, "writing down how far it is").await
    }
}

/// The server cannot be reached, or not for long enough: while it goes down or comes up, connections break at any point.
pub(super) fn is_away(failure: &Failure) -> bool {
    matches!(
        failure.kind,
        FailureKind::Connection | FailureKind::LostConnection
    )
}

/// Connects to one server, as the command line names it.
pub(super) async fn connect_to(
    text: &str,
    (option, variable): (&str, &str),
    environment: &Environment,
) -> Result<Server, Failure> {
    let conninfo = resolve_connection(text, environment, (option, variable))?;
    let server = Server::connect(conninfo.even_if_closed(), Side::Target).await;
    server
        .map_err(|failure| failure.while_doing(&format!("the {}", option.trim_start_matches('-'))))
}

/// What we made on a side, of this kind and under this name.
pub(super) async fn find(
    session: &Session,
    kind: OursKind,
    name: &FollowName,
) -> Result<Option<Ours>, Failure> {
    let found = follow::ours(session)
        .await
        .map_err(FollowError::step("looking for what was made there"))?;
    Ok(found
        .into_iter()
        .find(|one| one.kind == kind && one.name == *name))
}

/// The record on an object that we made.
pub(super) async fn record_on(
    session: &Session,
    kind: OursKind,
    name: &FollowName,
) -> Result<Option<SideRecord>, Failure> {
    let found = find(session, kind, name).await?;
    Ok(found.and_then(|one| SideRecord::parse(&one.record?)))
}

/// A role that was dropped or renamed since it was kept out must not keep the side closed: it is removed from the record.
/// Returns what there is to say about it.
pub(super) async fn forget_gone_roles(
    session: &Session,
    record: &mut SideRecord,
) -> Result<Option<String>, Failure> {
    let gone = gone_roles(session, record).await?;
    if let Some(fence) = &mut record.fence {
        fence.roles.retain(|role| !gone.contains(role));
    }
    Ok((!gone.is_empty()).then(|| {
        format!(
            "roles that were kept out (--fence-role) are not there any more: {}. One that was renamed still may not log in: ALTER ROLE … LOGIN",
            gone.join(", ")
        )
    }))
}

/// Roles that were kept out and no longer exist.
pub(super) async fn gone_roles(
    session: &Session,
    record: &SideRecord,
) -> Result<Vec<String>, Failure> {
    let named = record.fence.iter().flat_map(|fence| fence.roles.clone());
    let mut named: Vec<String> = named.collect();
    if named.is_empty() {
        return Ok(named);
    }
    let there = follow::roles(session, &named)
        .await
        .map_err(FollowError::step("looking for roles"))?;
    named.retain(|role| !there.iter().any(|one| one.name == *role));
    Ok(named)
}

/// Removes a subscription. What was changed on the side is put back if nothing else of ours that records it is left there.
pub(super) async fn clear_subscriber(
    session: &Session,
    database: &str,
    (inward, outward): (&FollowName, &FollowName),
) -> Result<(), Failure> {
    let Some(one) = find(session, OursKind::Subscription, inward).await? else {
        return Ok(());
    };
    let mut record = one.record.as_deref().and_then(SideRecord::parse);
    if let Some(record) = &mut record
        && let Some(text) = forget_gone_roles(session, record).await?
    {
        say(&text);
    }
    let elsewhere = record_on(session, OursKind::Publication, outward).await?;
    let mut set_back = record.filter(|_| elsewhere.is_none());
    if let Some(record) = &mut set_back {
        hand_on(session, outward, record).await?;
        forget_what_is_gone(session, record).await?;
    }
    let sql = follow::drop_subscription(inward, database, set_back.as_ref());
    run(session, &sql, &format!("removing subscription {inward}")).await
}

/// Removes slot and publication, and puts back what was changed on the side.
pub(super) async fn clear_publisher(
    session: &Session,
    database: &str,
    name: &FollowName,
) -> Result<(), Failure> {
    drop_slot(session, name).await?;
    if let Some(one) = find(session, OursKind::Publication, name).await? {
        let mut record = one.record.as_deref().and_then(SideRecord::parse);
        if let Some(record) = &mut record {
            if let Some(text) = forget_gone_roles(session, record).await? {
                say(&text);
            }
            hand_on(session, name, record).await?;
            forget_what_is_gone(session, record).await?;
        }
        let sql = follow::unpublish(name, database, record.as_ref());
        run(session, &sql, &format!("removing publication {name}")).await?;
    }
    Ok(())
}

/// A table that another follow publishes as well must keep its replica identity: UPDATE and DELETE would fail at once. Putting
/// back what it had before is then up to that follow.
async fn hand_on(
    session: &Session,
    name: &FollowName,
    record: &mut SideRecord,
) -> Result<(), Failure> {
    if record.identities.is_empty() {
        return Ok(());
    }
    let failed = || FollowError::step("looking for others who follow the same");
    for other in follow::ours(session).await.map_err(failed())? {
        let theirs = other.record.as_deref().and_then(SideRecord::parse);
        let Some(mut theirs) =
            theirs.filter(|_| other.kind == OursKind::Publication && other.name != *name)
        else {
            continue;
        };
        let published = follow::published(session, &other.name)
            .await
            .map_err(failed())?;
        let (handed_on, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut record.identities)
            .into_iter()
            .partition(|one| published.contains(&one.table));
        record.identities = kept;
        if handed_on.is_empty() {
            continue;
        }
        for one in handed_on {
            if !theirs.identities.contains(&one) {
                theirs.identities.push(one);
            }
        }
        let doing = format!("writing down on publication {} what was before", other.name);
        run(session, &follow::note(&other.name, &theirs), &doing).await?;
    }
    Ok(())
}

/// A table or an index that is gone must not keep everything else from being put back.
async fn forget_what_is_gone(session: &Session, record: &mut SideRecord) -> Result<(), Failure> {
    if record.identities.is_empty() {
        return Ok(());
    }
    let tables = follow::tables(session).await.map_err(FollowError::step(
        "looking for tables whose replica identity is to be set back",
    ))?;
    for text in record.forget_gone_identities(&tables) {
        say(&text);
    }
    Ok(())
}

/// Drops a slot; whoever still reads from it is ended.
pub(super) async fn drop_slot(session: &Session, name: &FollowName) -> Result<(), Failure> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let dropped = session.execute(&follow::drop_slot(name)).await;
        if find(session, OursKind::Slot, name).await?.is_none() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            dropped.map_err(FollowError::step(format!("dropping slot {name}")))?;
            return Err(FollowError::NotNow {
                what: format!("slot {name} is still being read from"),
                remedy: "End its sender (pg_replication_slots.active_pid), and run the same again."
                    .to_owned(),
            }
            .into());
        }
        sleep(PAUSE).await;
    }
}
