//! Makes one server take another's changes; and the first time that happens, after a move.

use std::time::Duration;

use chrono::Utc;
use tokio::time::{Instant, sleep};

use super::ends::{self, Ends, run};
use super::steps::PAUSE;
use crate::cli::inspect::{Inspection, Server};
use crate::cli::secrets::SOURCE_FROM_TARGET_PASSWORD;
use crate::event::{Emit, What};
use crate::failure::Failure;
use crate::fault;
use crate::follow::{
    self, FollowError, OursKind, Phase, Reserved, SideRecord, State, Stranger, Subscribing, Wanted,
};
use crate::model::{FollowMoment, FollowName, FollowedBy, Happening, Side, SqlText, quote_literal};
use crate::pg::conninfo::{Conninfo, Environment, Password};
use crate::pg::{Connector, PgError};

/// How long a worker may take to start: the server starts one every few seconds at most.
const BEGINS_WITHIN: Duration = Duration::from_secs(45);
/// How long sessions from before a target was closed may go on working.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);

/// What a proven move hands over to the follow.
pub(in crate::cli) struct Handover {
    /// What is written down in the transaction that drops the ledger.
    pub state: State,
    source: Connector,
}

impl Handover {
    /// For a move that is to be followed; `None` for any other.
    pub fn of(inspection: &Inspection) -> Result<Option<Self>, Failure> {
        let Some(wanted) = &inspection.requested.follow else {
            return Ok(None);
        };
        let Some(slot) = &inspection.view.snapshot.slot else {
            return Err(Failure::defect("a move is to be followed, and has no slot"));
        };
        let source = &inspection.road.source;
        Ok(Some(Self {
            state: State {
                wanted: wanted.clone(),
                source: inspection
                    .requested
                    .source
                    .record(&source.session.peer().host),
                restore: inspection.requested.restore,
                consistent_point: slot.consistent_point.clone(),
                serving: Side::Source,
                phase: Phase::Copied,
                with_reverse: true,
                closed_at: None,
                left: Vec::new(),
                unproven: Vec::new(),
                reserving: Reserved::default(),
                reserved: Reserved::default(),
                history: vec![moment(Happening::Copying, Side::Target)],
            },
            source: source.connector.clone(),
        }))
    }

    /// Says that the move will be followed, and by what.
    pub fn told(&self) -> What {
        What::WillFollow(FollowedBy {
            name: self.state.wanted.forward.to_string(),
            lsn: self.state.consistent_point.clone(),
        })
    }

    /// The target begins to follow, and says so.
    pub async fn begin(self, target: &Connector, emit: &dyn Emit) -> Result<(), Failure> {
        let begun = self.connect_and_begin(target, emit).await;
        begun.map_err(Failure::broken_off)
    }

    async fn connect_and_begin(self, target: &Connector, emit: &dyn Emit) -> Result<(), Failure> {
        let connect =
            |connector: &Connector| Server::connect(connector.conninfo().clone(), Side::Target);
        let mut ends = Ends {
            source: connect(&self.source).await?,
            target: connect(target).await?,
            state: Some(self.state),
            guard: None,
        };
        begin(&mut ends, emit).await
    }
}

/// Makes a target whose copy is proven follow its source. May be run again, or given up, at any point.
pub(super) async fn begin(ends: &mut Ends, emit: &dyn Emit) -> Result<(), Failure> {
    let note = |text| emit.emit(What::Note { text });
    let state = ends.state()?.clone();
    let name = &state.wanted.forward;
    let failed = || FollowError::step("looking at the replication slot");
    let slot = follow::slot(&ends.source.session, name)
        .await
        .map_err(failed())?;
    if slot.is_none_or(|slot| slot.wal_status == "lost") {
        return Err(lost(&ends.source, name).into());
    }
    let there = ends::find(&ends.target.session, OursKind::Subscription, name).await?;
    if there.is_none() {
        let reach = of_source(&ends.source, &state.wanted)?;
        let on_source = ends::record_on(&ends.source.session, OursKind::Publication, name).await?;
        let offers = follow::offers(&ends.target.session)
            .await
            .map_err(failed())?;
        let record = SideRecord {
            // The copy has what the source has.
            identities: on_source.map_or_else(Vec::new, |record| record.identities),
            ..SideRecord::new(ends.source.endpoint.to_string())
        };
        let record = record.closed(offers.read_only_setting, "follow");
        make(&ends.target, (name, &reach), &record, true).await?;
        fault::point("follow-subscribed");
        note(format!(
            "made on the target: subscription {name}; until the cut-over, {} is closed to writers (default_transaction_read_only)",
            ends.target.endpoint
        ));
        if let Some(text) = where_the_password_is(&ends.target, &reach) {
            note(text);
        }
        let stayed = see_off(&ends.target).await;
        if !stayed.is_empty() {
            note(format!(
                "sessions of the target were there before it was closed to writers, and can write to it until they end: {}",
                stayed.join("; ")
            ));
        }
    }
    enable(&ends.target, name).await?;
    await_reader(&ends.source, name).await?;
    fault::point("follow-enabled");
    let mut following = state.in_phase(Phase::Following);
    let begun = moment(Happening::Following, Side::Target);
    following.remember(begun.clone());
    ends.write(following).await?;
    fault::point("follow-begun");
    emit.emit(What::FollowMoment(Box::new(begun)));
    Ok(())
}

/// Sessions from before a target was closed can write to it for as long as they last: idle ones are ended at once, others as
/// they become idle. Returns those that stay. Best effort: a turn does it once more.
async fn see_off(target: &Server) -> Vec<String> {
    let session = &target.session;
    let Ok(mut there) = follow::strangers(session).await else {
        return Vec::new();
    };
    let deadline = Instant::now() + LEAVE_WITHIN;
    loop {
        for idle in there.iter().filter(|one| one.idle) {
            // One that may not be ended stays.
            let _ = follow::end_session(session, idle.pid).await;
        }
        let Ok(mut now) = follow::strangers(session).await else {
            return there.iter().map(Stranger::shown).collect();
        };
        now.retain(|one| one.is_among(&there));
        there = now;
        if there.is_empty() || Instant::now() >= deadline {
            return there.iter().map(Stranger::shown).collect();
        }
        sleep(PAUSE).await;
    }
}

/// Something that has just happened.
pub(super) fn moment(happening: Happening, side: Side) -> FollowMoment {
    FollowMoment {
        happened_at: Utc::now(),
        happening,
        side,
        without_writers_ms: None,
        left: None,
    }
}

pub(super) fn lost(publisher: &Server, name: &FollowName) -> FollowError {
    FollowError::SlotLost {
        slot: name.to_string(),
        publisher: publisher.endpoint.to_string(),
        because: "it is not there, or the log that it needs was removed".to_owned(),
    }
}

/// The end of the WAL that a server has on disk by now.
pub(super) async fn flushed(publisher: &Server) -> Result<String, Failure> {
    let asked = "select pg_catalog.pg_current_wal_flush_lsn()::text";
    let texts = publisher.session.texts(asked).await;
    let mut texts = texts.map_err(FollowError::step("asking how far the log is on disk"))?;
    Ok(texts.pop().unwrap_or_default())
}

/// Waits until the other side has applied everything up to a position of this one's WAL; returns whether it did in time.
pub(super) async fn is_applied(
    publisher: &Server,
    (name, position): (&FollowName, &str),
    within: Duration,
) -> Result<bool, Failure> {
    let session = &publisher.session;
    let doing = || FollowError::step("waiting until everything is applied".to_owned());
    let began = Instant::now();
    loop {
        let confirmed = follow::confirmed(session, name, position).await;
        match confirmed.map_err(doing())? {
            None => return Err(lost(publisher, name).into()),
            Some(true) => return Ok(true),
            Some(false) if began.elapsed() >= within => return Ok(false),
            Some(false) => sleep(PAUSE).await,
        }
    }
}

/// How a server reaches a publisher: as given, or as we do.
pub(super) fn reach(
    publisher: &Server,
    given: Option<&str>,
    (option, variable): (&str, &str),
) -> Result<String, Failure> {
    let Some(text) = given else {
        let conninfo = publisher.connector.conninfo();
        return Ok(conninfo.for_another_server(&publisher.session.peer().host));
    };
    // It is for another machine: nothing of this one's environment counts.
    let nothing = Environment::default().with_os_user(&publisher.facts.role);
    let mut conninfo = Conninfo::resolve(text, &nothing)
        .map_err(|error| Failure::from(error).while_doing(option))?;
    let environment = Environment::of_process();
    if let Some(password) = environment.variable(variable) {
        conninfo = conninfo.with_password(&Password::new(password));
    }
    if conninfo.database != publisher.facts.database {
        return Err(Failure::usage(
            format!(
                "{option} leads to another database than {}",
                publisher.endpoint
            ),
            "Name the database in it (dbname=), and one host only.",
        ));
    }
    let host = conninfo
        .hosts
        .first()
        .ok_or_else(|| Failure::defect("no host"))?;
    Ok(conninfo.for_another_server(host))
}

/// Makes a subscription, not enabled yet, and closes its database to writers if `closes`; its server connects to the publisher for it.
pub(super) async fn make(
    subscriber: &Server,
    (name, reach): (&FollowName, &str),
    record: &SideRecord,
    closes: bool,
) -> Result<(), Failure> {
    let sql = follow::subscribe(&Subscribing {
        name,
        conninfo: reach,
        database: &subscriber.facts.database,
        record,
        closes,
    });
    hushed(subscriber, &sql, reach).await
}

/// Makes sure that the target's server reaches the source: makes a subscription to a publication that does not exist, and rolls it back.
pub(super) async fn rehearse(
    source: &Server,
    target: &Server,
    wanted: &Wanted,
) -> Result<(), Failure> {
    let there = ends::find(&target.session, OursKind::Subscription, &wanted.forward).await?;
    if there.is_some() {
        return Err(FollowError::Follows {
            target: target.endpoint.to_string(),
            subscription: wanted.forward.to_string(),
        }
        .into());
    }
    let reach = of_source(source, wanted)?;
    hushed(target, &follow::rehearse(&wanted.forward, &reach), &reach).await
}

/// Runs a transaction that holds a password. By default a server writes every failed statement to its log.
async fn hushed(subscriber: &Server, sql: &str, reach: &str) -> Result<(), Failure> {
    let session = &subscriber.session;
    let failed = || FollowError::step("keeping a password out of the server's log");
    session.execute(&follow::hush()).await.map_err(failed())?;
    let made = session.execute(sql).await;
    if made.is_err() {
        // If this fails as well, the session is gone, and the transaction with it.
        let _ = session.execute("rollback").await;
    }
    let spoken = session.execute(&follow::speak()).await;
    made.map_err(|error| unreached(error, subscriber, reach))?;
    Ok(spoken.map_err(failed())?)
}

/// What to know about a password with which one server reaches the other; `None` if there is none.
pub(super) fn where_the_password_is(subscriber: &Server, reach: &str) -> Option<String> {
    let side = &subscriber.endpoint;
    reach.contains("password=").then(|| {
        if subscriber.facts.superuser {
            format!("the password is now in the catalog of {side} (pg_subscription), which superusers can read")
        } else {
            format!(
                "the password is now in the catalog of {side} (pg_subscription), which superusers can read; it is in its log as well if that \
                 has statements (log_statement, log_min_duration_statement), which only a superuser could keep it out of"
            )
        }
    })
}

fn of_source(source: &Server, wanted: &Wanted) -> Result<String, Failure> {
    let option = ("--source-from-target", SOURCE_FROM_TARGET_PASSWORD);
    reach(source, wanted.source_from_target.as_deref(), option)
}

fn unreached(error: PgError, subscriber: &Server, reach: &str) -> Failure {
    let doing = format!(
        "making a subscription on {}, whose server connects for it by itself",
        subscriber.endpoint
    );
    let is_logged = matches!(error, PgError::Server { .. })
        && reach.contains("password=")
        && !subscriber.facts.superuser;
    let failure = Failure::from(FollowError::Step {
        doing,
        source: without_secret(error, reach),
    });
    let mut details = failure.details;
    if is_logged {
        details.push(
            "The statement holds a password, and by default a server writes a statement that fails into its log: it is there now, unless \
             log_min_error_statement of that server says otherwise. Only a superuser could keep it out."
                .to_owned(),
        );
    }
    Failure {
        details,
        hint: Some(
            "If that server does not reach the other one as pgconvoy does, say how it does: --source-from-target (of move and fallback), \
             --target-from-source (of cutover). Then run the same again; after a move: pgconvoy follow."
                .to_owned(),
        ),
        ..failure
    }
}

/// Removes the password that the statement holds.
fn without_secret(error: PgError, conninfo: &str) -> PgError {
    let doing = || "making a subscription".to_owned();
    match error {
        PgError::Server { statement, error } => {
            let text = statement.to_string_lossy();
            let text = text.replace(quote_literal(conninfo).trim(), "'[hidden]'");
            PgError::server(&SqlText::from(text), *error)
        }
        PgError::Io { source, .. } => PgError::Io {
            doing: doing(),
            source,
        },
        PgError::Closed { .. } => PgError::Closed { doing: doing() },
        other => other,
    }
}

pub(super) async fn enable(subscriber: &Server, name: &FollowName) -> Result<(), Failure> {
    let doing = format!("enabling subscription {name} on {}", subscriber.endpoint);
    run(&subscriber.session, &follow::enable(name, true), &doing).await
}

/// Waits until somebody reads from a slot, which shows that the subscription leads there.
pub(super) async fn await_reader(publisher: &Server, name: &FollowName) -> Result<(), Failure> {
    let deadline = Instant::now() + BEGINS_WITHIN;
    loop {
        let slot = follow::slot(&publisher.session, name)
            .await
            .map_err(FollowError::step("looking at the replication slot"))?;
        match slot {
            None => return Err(lost(publisher, name).into()),
            Some(slot) if slot.active => return Ok(()),
            Some(_) if Instant::now() >= deadline => {
                return Err(FollowError::NotRead {
                    slot: name.to_string(),
                    publisher: publisher.endpoint.to_string(),
                    seconds: BEGINS_WITHIN.as_secs(),
                }
                .into());
            }
            Some(_) => sleep(PAUSE).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ServerError;

    #[test]
    fn no_error_repeats_a_password() {
        let reach = r"host='a' password='it\\'s s3cret'";
        let sql = format!(
            "create subscription x connection {} publication x",
            quote_literal(reach)
        );
        let error = PgError::server(&SqlText::from(sql.as_str()), ServerError::default());
        let failure = Failure::from(without_secret(error, reach)).to_string();
        assert!(
            failure.contains("[hidden]") && !failure.contains("s3cret"),
            "{failure}"
        );
        let closed = PgError::Closed { doing: sql };
        let failure = Failure::from(without_secret(closed, reach)).to_string();
        assert!(!failure.contains("s3cret"), "{failure}");
    }
}
