//! What both servers offer for replication, what they hold of it, and what it is doing.

use super::error::FollowError;
use super::left::NAMED;
use super::state::{FORMAT, State};
use super::tables::TABLES;
use super::work::AT_WORK;
use crate::catalog::VersionedQuery;
use crate::model::{Bytes, FollowName, QualifiedName};
use crate::pg::{Answer, PgError, Query, Session};

macro_rules! queries {
    ($($name:ident = $file:literal;)*) => {
        $(const $name: Query = Query::new(
            concat!("follow/", $file),
            include_str!(concat!("../../sql/follow/", $file)),
        );)*
    };
}

queries! {
    SERVER = "server.sql";
    ORIGINS = "origins.sql";
    ORIGINS_UNSEEN = "origins_unseen.sql";
    UNCARRIED = "uncarried.sql";
    FIRING = "firing.sql";
    OURS = "ours.sql";
    PUBLISHED = "published.sql";
    SLOT = "slot.sql";
    CONFIRMED = "confirmed.sql";
    WORKER = "worker.sql";
    WORKER_14 = "worker.14.sql";
    CONNECTING = "connecting.sql";
    SESSIONS = "sessions.sql";
    IN_THE_WAY = "in_the_way.sql";
    UNFINISHED = "unfinished.sql";
    END = "end.sql";
    ROLES = "roles.sql";
    HAS_STATE = "has_state.sql";
    STATE = "state.sql";
}

const fn on_all(query: Query) -> VersionedQuery {
    VersionedQuery {
        newest: query,
        older: None,
    }
}

const WORKERS: VersionedQuery = VersionedQuery {
    newest: WORKER,
    older: Some((14, WORKER_14)),
};

/// All queries that every server can be asked, for the test that does so.
pub const QUERIES: &[VersionedQuery] = &[
    on_all(TABLES),
    on_all(SERVER),
    on_all(ORIGINS),
    on_all(ORIGINS_UNSEEN),
    on_all(UNCARRIED),
    on_all(FIRING),
    on_all(OURS),
    on_all(PUBLISHED),
    on_all(SLOT),
    on_all(CONFIRMED),
    WORKERS,
    on_all(CONNECTING),
    on_all(SESSIONS),
    on_all(IN_THE_WAY),
    on_all(UNFINISHED),
    on_all(END),
    on_all(AT_WORK),
    on_all(NAMED),
    on_all(ROLES),
    on_all(HAS_STATE),
];

/// What a server offers, and what the connected role may do there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offers {
    /// `wal_level`.
    pub wal_level: String,
    /// Whether it is a standby.
    pub in_recovery: bool,
    /// Replication slots that are still free.
    pub free_slots: i64,
    /// WAL senders that are still free.
    pub free_senders: i64,
    /// Logical replication workers that no subscription takes.
    pub free_workers: i64,
    /// Further subscriptions whose progress the server has room to track.
    pub free_origins: i64,
    /// Follows whose progress it tracks already.
    pub placed_follows: Vec<String>,
    /// The role may see which origins take a place; otherwise all of them count.
    pub sees_origins: bool,
    /// `max_slot_wal_keep_size`, from 13 on.
    pub slot_limit: Option<String>,
    /// The role is a superuser.
    pub superuser: bool,
    /// The role may create replication slots.
    pub may_replicate: bool,
    /// The role may create subscriptions.
    pub may_subscribe: bool,
    /// The role may change the database's settings.
    pub owns_database: bool,
    /// The role may create publications.
    pub may_create: bool,
    /// Prepared transactions of the database.
    pub prepared: i64,
    /// Prepared transactions of all databases of the server.
    pub prepared_anywhere: i64,
    /// Sessions of other roles in the database that we may not even identify.
    pub unseen_sessions: i64,
    /// Roles that would write although the database is closed.
    pub unfenced_roles: Option<String>,
    /// Subscriptions of others, which write although the database is closed.
    pub other_subscriptions: Option<String>,
    /// Enabled subscriptions of follows.
    pub enabled_follows: Vec<String>,
    /// Event triggers that would fire for what the role does to publications, subscriptions and tables.
    pub event_triggers: Vec<String>,
    /// Event triggers that fire when anybody logs in, and do not look whether the session may write.
    pub login_triggers: Vec<String>,
    /// Whether there are large objects.
    pub large_objects: bool,
    /// The database's own setting of `default_transaction_read_only`.
    pub read_only_setting: Option<String>,
}

impl Offers {
    /// Whether a follow's progress has a place: a free one, or its own, left by an earlier attempt.
    pub fn has_origin_for(&self, name: &FollowName) -> bool {
        self.free_origins > 0 || self.placed_follows.iter().any(|one| one == name.as_str())
    }
}

/// Objects of one kind that replication does not carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotReplicated {
    /// `sequence`, `large object`, …
    pub kind: String,
    /// How many.
    pub count: i64,
    /// A few names.
    pub examples: Vec<String>,
}

/// A trigger that fires for replicated rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firing {
    /// Its table.
    pub table: QualifiedName,
    /// Its name.
    pub trigger: String,
}

/// The kind of an object that we made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OursKind {
    /// Offers changes.
    Publication,
    /// Takes them.
    Subscription,
    /// Keeps them.
    Slot,
}

/// An object that we made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ours {
    /// Its kind.
    pub kind: OursKind,
    /// Its name.
    pub name: FollowName,
    /// Its comment.
    pub record: Option<String>,
}

/// The state of a slot.
#[derive(Debug, Clone, PartialEq)]
pub struct SlotStanding {
    /// Somebody reads from it.
    pub active: bool,
    /// `lost` and `unreserved` are bad.
    pub wal_status: String,
    /// How much WAL it retains.
    pub retained: Bytes,
    /// How far its reader is behind.
    pub behind: Bytes,
    /// The same in seconds, as the WAL sender measures it while it sends anything.
    pub lag_s: Option<f64>,
}

/// The state of a subscription.
#[derive(Debug, Clone, PartialEq)]
pub struct Worker {
    /// It is meant to run.
    pub enabled: bool,
    /// It does run.
    pub running: bool,
    /// How often it has failed; 0 before 15.
    pub errors: i64,
    /// For how long it has received nothing, in seconds.
    pub silent_s: Option<f64>,
}

/// A role that is to be kept out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptOut {
    /// Its name.
    pub name: String,
    /// Whether it may log in.
    pub may_log_in: bool,
    /// It is the role that we connect as.
    pub is_ours: bool,
}

/// Somebody else's session.
#[derive(Debug, Clone, PartialEq)]
pub struct Stranger {
    /// ID of its server process.
    pub pid: i32,
    /// When it began, as the server writes it; `None` if we may not know.
    pub began: Option<String>,
    /// Its application name.
    pub application: String,
    /// Its role.
    pub role: String,
    /// It is doing nothing.
    pub idle: bool,
    /// For how long its transaction has been open, in seconds.
    pub transaction_s: Option<f64>,
    /// Its transaction has written something.
    pub has_written: bool,
    /// We may end it.
    pub may_end: bool,
}

impl Stranger {
    /// In words.
    pub fn shown(&self) -> String {
        let since = self.transaction_s.map_or_else(String::new, |seconds| {
            format!(", transaction open for {seconds:.0} s")
        });
        let Self {
            pid,
            application,
            role,
            ..
        } = self;
        format!("pid {pid} ({application}), role {role}{since}")
    }

    /// Whether it is one of those, and not a later session whose process has the same ID.
    pub fn is_among(&self, those: &[Self]) -> bool {
        those
            .iter()
            .any(|one| one.pid == self.pid && one.began == self.began)
    }
}

pub(super) fn name(row: &Answer) -> Result<QualifiedName, PgError> {
    Ok(QualifiedName::new(
        row.get::<&str>("schema")?,
        row.get::<&str>("name")?,
    ))
}

fn bytes(row: &Answer, column: &str) -> Result<Bytes, PgError> {
    Ok(Bytes(u64::try_from(row.get::<i64>(column)?).unwrap_or(0)))
}

fn only<T>(query: &Query, mut rows: Vec<T>) -> Result<T, PgError> {
    rows.pop().ok_or_else(|| PgError::Answer {
        query: query.name,
        what: "no row".to_owned(),
    })
}

/// What the server offers.
pub async fn offers(session: &Session) -> Result<Offers, PgError> {
    let rows = session.query(&SERVER, &[]).await?;
    let row = only(&SERVER, rows)?;
    let sees_origins: bool = row.get("sees_origins")?;
    let origins = if sees_origins {
        &ORIGINS
    } else {
        &ORIGINS_UNSEEN
    };
    let placed = only(origins, session.query(origins, &[]).await?)?;
    let most_origins: i64 = row.get("most_origins")?;
    Ok(Offers {
        wal_level: row.get("wal_level")?,
        in_recovery: row.get("in_recovery")?,
        free_slots: row.get("free_slots")?,
        free_senders: row.get("free_senders")?,
        free_workers: row.get("free_workers")?,
        free_origins: most_origins.saturating_sub(placed.get("taken")?),
        placed_follows: placed.get("follows")?,
        sees_origins,
        slot_limit: row.get("slot_limit")?,
        superuser: row.get("superuser")?,
        may_replicate: row.get("may_replicate")?,
        may_subscribe: row.get("may_subscribe")?,
        owns_database: row.get("owns_database")?,
        may_create: row.get("may_create")?,
        prepared: row.get("prepared")?,
        prepared_anywhere: row.get("prepared_anywhere")?,
        unseen_sessions: row.get("unseen_sessions")?,
        unfenced_roles: row.get("unfenced_roles")?,
        other_subscriptions: row.get("other_subscriptions")?,
        enabled_follows: row.get("enabled_follows")?,
        event_triggers: row.get("event_triggers")?,
        login_triggers: row.get("login_triggers")?,
        large_objects: row.get("large_objects")?,
        read_only_setting: row.get("read_only_setting")?,
    })
}

/// What replication does not carry.
pub async fn uncarried(session: &Session) -> Result<Vec<NotReplicated>, PgError> {
    let rows = session.query(&UNCARRIED, &[]).await?;
    let kind = |row: &Answer| {
        Ok(NotReplicated {
            kind: row.get("kind")?,
            count: row.get("count")?,
            examples: row.get("examples")?,
        })
    };
    rows.iter().map(kind).collect()
}

/// Triggers that fire for replicated rows.
pub async fn firing(session: &Session) -> Result<Vec<Firing>, PgError> {
    let rows = session.query(&FIRING, &[]).await?;
    let trigger = |row: &Answer| {
        Ok(Firing {
            table: name(row)?,
            trigger: row.get("trigger_name")?,
        })
    };
    rows.iter().map(trigger).collect()
}

/// What we made in the connected database, whatever the other end.
pub async fn ours(session: &Session) -> Result<Vec<Ours>, PgError> {
    let rows = session.query(&OURS, &[]).await?;
    let mut found = Vec::new();
    for row in &rows {
        // Somebody else's name may begin like ours.
        let Some(name) = FollowName::parse(row.get("name")?) else {
            continue;
        };
        let kind = match row.get::<&str>("kind")? {
            "publication" => OursKind::Publication,
            "subscription" => OursKind::Subscription,
            _ => OursKind::Slot,
        };
        found.push(Ours {
            kind,
            name,
            record: row.get("record")?,
        });
    }
    Ok(found)
}

/// The tables of a publication.
pub async fn published(session: &Session, of: &FollowName) -> Result<Vec<QualifiedName>, PgError> {
    let rows = session.query(&PUBLISHED, &[&of.as_str()]).await?;
    rows.iter().map(name).collect()
}

/// The state of a slot; `None` if there is no such slot.
pub async fn slot(session: &Session, of: &FollowName) -> Result<Option<SlotStanding>, PgError> {
    let rows = session.query(&SLOT, &[&of.as_str()]).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    Ok(Some(SlotStanding {
        active: row.get("active")?,
        wal_status: row.get("wal_status")?,
        retained: bytes(row, "retained_bytes")?,
        behind: bytes(row, "behind_bytes")?,
        lag_s: row.get("replay_lag_s")?,
    }))
}

/// Whether the reader of a slot has confirmed a position; `None` if there is no such slot.
pub async fn confirmed(
    session: &Session,
    of: &FollowName,
    position: &str,
) -> Result<Option<bool>, PgError> {
    let rows = session
        .query(&CONFIRMED, &[&of.as_str(), &position])
        .await?;
    let confirmed = rows.first().map(|row| row.get::<Option<bool>>("confirmed"));
    Ok(confirmed.transpose()?.map(|known| known.unwrap_or(false)))
}

/// The state of a subscription; `None` if there is no such subscription.
pub async fn worker(session: &Session, of: &FollowName) -> Result<Option<Worker>, PgError> {
    let query = WORKERS.for_server(session.version());
    let rows = session.query(query, &[&of.as_str()]).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    Ok(Some(Worker {
        enabled: row.get("enabled")?,
        running: row.get("running")?,
        errors: row.get("errors")?,
        silent_s: row.get("silent_s")?,
    }))
}

/// Process IDs of sessions that are just being opened.
pub async fn connecting(session: &Session) -> Result<Vec<i32>, PgError> {
    let rows = session.query(&CONNECTING, &[]).await?;
    rows.iter().map(|row| row.get("pid")).collect()
}

/// Open transactions in any database of the server that have begun to write, and have been open for at least so many seconds:
/// in words.
pub async fn unfinished(session: &Session, open_s: i32) -> Result<Vec<String>, PgError> {
    let rows = session.query(&UNFINISHED, &[&open_s]).await?;
    rows.iter().map(|row| row.get("what")).collect()
}

/// Sessions of others in the connected database.
pub async fn strangers(session: &Session) -> Result<Vec<Stranger>, PgError> {
    let rows = session.query(&SESSIONS, &[]).await?;
    let stranger = |row: &Answer| {
        Ok(Stranger {
            pid: row.get("pid")?,
            began: row.get("began")?,
            application: row.get("application")?,
            role: row.get("role")?,
            idle: row.get("idle")?,
            transaction_s: row.get("transaction_s")?,
            has_written: row.get("has_written")?,
            may_end: row.get("may_end")?,
        })
    };
    rows.iter().map(stranger).collect()
}

/// Process IDs of sessions that are in the way of what a turn locks and rebuilds, whether they have written or not.
pub async fn in_the_way(session: &Session) -> Result<Vec<i32>, PgError> {
    let rows = session.query(&IN_THE_WAY, &[]).await?;
    rows.iter().map(|row| row.get("pid")).collect()
}

/// Those of the named roles that exist.
pub async fn roles(session: &Session, named: &[String]) -> Result<Vec<KeptOut>, PgError> {
    let rows = session.query(&ROLES, &[&named.to_vec()]).await?;
    let role = |row: &Answer| {
        Ok(KeptOut {
            name: row.get("name")?,
            may_log_in: row.get("may_log_in")?,
            is_ours: row.get("is_ours")?,
        })
    };
    rows.iter().map(role).collect()
}

/// Ends a session.
pub async fn end_session(session: &Session, pid: i32) -> Result<(), PgError> {
    session.query(&END, &[&pid]).await.map(drop)
}

/// Whether the connected database is a target with a state.
pub async fn has_state(session: &Session) -> Result<bool, PgError> {
    let rows = session.query(&HAS_STATE, &[]).await?;
    only(&HAS_STATE, rows)?.get("found")
}

/// The state of the connected target; `None` if it follows nobody.
pub async fn read_state(session: &Session) -> Result<Option<State>, FollowError> {
    let failed = || FollowError::step("reading the state of the follow");
    if !has_state(session).await.map_err(failed())? {
        return Ok(None);
    }
    let rows = session.query(&STATE, &[]).await.map_err(failed())?;
    let row = only(&STATE, rows).map_err(failed())?;
    let format: i32 = row.get("format").map_err(failed())?;
    if format != FORMAT {
        let because = format!("its format is {format}, and this version knows {FORMAT}");
        return Err(FollowError::State { because });
    }
    let text: String = row.get("state").map_err(failed())?;
    let state = serde_json::from_str(&text).map_err(|error| FollowError::State {
        because: error.to_string(),
    })?;
    Ok(Some(state))
}
