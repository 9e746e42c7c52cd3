//! Other people's sessions, as far as they are in our way: who holds a lock, and who has all the connections.

use std::collections::BTreeSet;
use std::fmt;

use super::queries::{CONNECTIONS, LOCK_TABLE, LOCKS};
use crate::model::{QualifiedName, Rows, how_long};
use crate::pg::{Answer, PgError, Session};

/// Whoever is in the way, as far as we may see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holder {
    /// The server's process; 0 is a prepared transaction, which has none.
    pub pid: i32,
    /// `application_name`.
    pub application: Option<String>,
    /// Its role.
    pub role: Option<String>,
    /// Where it connects from; `None` over a Unix socket.
    pub address: Option<String>,
    /// `client backend`, `autovacuum worker`, …
    pub kind: Option<String>,
    /// `active`, `idle in transaction`, …
    pub state: Option<String>,
    /// For how long it has been in that state.
    pub seconds: u64,
    /// The statement it runs, or ran last, whole.
    pub query: Option<String>,
    /// The locks that it holds where we wait.
    pub held: Option<String>,
}

impl Holder {
    /// From a row of `waits.sql` or `locks.sql`.
    pub fn from_row(row: &Answer) -> Result<Self, PgError> {
        let text = |column| {
            let found = row.get::<Option<String>>(column)?;
            Ok::<_, PgError>(found.filter(|text| !text.trim().is_empty()))
        };
        Ok(Self {
            pid: row.get::<Option<i32>>("holder")?.unwrap_or_default(),
            application: text("application")?,
            role: text("role")?,
            address: text("address")?,
            kind: text("kind")?,
            state: text("state")?,
            seconds: row.count("seconds")?,
            query: text("query")?.map(without_password),
            held: text("held")?,
        })
    }
}

/// Other people's statements are shown whole, and kept; not those that set a password.
fn without_password(query: String) -> String {
    let lower = query.to_lowercase();
    let has = |word: &str| {
        lower
            .split(|c: char| !c.is_alphanumeric())
            .any(|one| one == word)
    };
    let sets = has("password") && (has("create") || has("alter"));
    let of_somebody = ["role", "user", "group", "subscription", "server"];
    if sets && of_somebody.into_iter().any(has) {
        "(a statement with a password)".to_owned()
    } else {
        query
    }
}

/// `pid 123 (psql, role bob, from 10.0.0.5, idle in transaction for 12 min; its last statement: …)`.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pid == 0 {
            return f.write_str("a prepared transaction (see pg_prepared_xacts)");
        }
        write!(f, "pid {}", self.pid)?;
        let is_client = self
            .kind
            .as_deref()
            .is_none_or(|kind| kind == "client backend");
        let mut known: Vec<String> = Vec::new();
        known.extend(self.application.clone());
        known.extend(self.kind.clone().filter(|_| !is_client));
        known.extend(self.role.as_ref().map(|role| format!("role {role}")));
        known.extend(
            self.address
                .as_ref()
                .map(|address| format!("from {address}")),
        );
        known.extend(
            self.state
                .as_ref()
                .map(|state| format!("{state} for {}", how_long(self.seconds))),
        );
        if known.is_empty() && self.query.is_none() {
            return Ok(());
        }
        write!(f, " ({}", known.join(", "))?;
        if let Some(query) = &self.query {
            let which = match self.state.as_deref() {
                Some("active") => "its statement",
                _ => "its last statement",
            };
            write!(f, "; {which}: {}", query.trim())?;
        }
        f.write_str(")")
    }
}

/// A lock on a relation that keeps everybody out who wants to read it: one that somebody has, or waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BarringLock {
    /// On what.
    pub relation: QualifiedName,
    /// Whether it is there already; those who come later wait also behind one that is only waited for.
    pub granted: bool,
    /// Whose.
    pub holder: Holder,
}

impl fmt::Display for BarringLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has = if self.granted {
            "has locked"
        } else {
            "waits to lock"
        };
        let relation = self.relation.shown();
        write!(f, "{} {has} {relation} against everybody", self.holder)
    }
}

/// Everybody else's locks in this database that even readers wait for.
pub async fn barring_locks(session: &Session) -> Result<Vec<BarringLock>, PgError> {
    locks(session, &["AccessExclusiveLock"]).await
}

/// Those that somebody has, and that keep a table from being locked against writers (`SHARE ROW EXCLUSIVE`), as sentences.
pub async fn writing_locks(session: &Session) -> Result<Vec<String>, PgError> {
    let modes = [
        "RowExclusiveLock",
        "ShareUpdateExclusiveLock",
        "ShareLock",
        "ShareRowExclusiveLock",
        "ExclusiveLock",
        "AccessExclusiveLock",
    ];
    Ok(held(&locks(session, &modes).await?, |_| true))
}

/// Those that somebody has on some relations, be it only to read them, as sentences.
pub async fn locks_on(
    session: &Session,
    relations: &BTreeSet<&QualifiedName>,
) -> Result<Vec<String>, PgError> {
    let modes = [
        "AccessShareLock",
        "RowShareLock",
        "RowExclusiveLock",
        "ShareUpdateExclusiveLock",
        "ShareLock",
        "ShareRowExclusiveLock",
        "ExclusiveLock",
        "AccessExclusiveLock",
    ];
    let locks = locks(session, &modes).await?;
    Ok(held(&locks, |relation| relations.contains(relation)))
}

fn held(locks: &[BarringLock], is_meant: impl Fn(&QualifiedName) -> bool) -> Vec<String> {
    let told = |lock: &BarringLock| {
        let mode = lock.holder.held.as_deref().unwrap_or("a lock");
        format!("{} has {mode} on {}", lock.holder, lock.relation.shown())
    };
    let held = locks
        .iter()
        .filter(|lock| lock.granted && is_meant(&lock.relation));
    held.map(told).take(MOST_TOLD).collect()
}

/// More locks than these tell no more.
const MOST_TOLD: usize = 20;

async fn locks(session: &Session, modes: &[&str]) -> Result<Vec<BarringLock>, PgError> {
    let modes: Vec<String> = modes.iter().copied().map(str::to_owned).collect();
    let rows = session
        .query(LOCKS.for_server(session.version()), &[&modes])
        .await?;
    rows.iter()
        .map(|row| {
            Ok(BarringLock {
                relation: row.name("schema", "relation")?,
                granted: row.get("granted")?,
                holder: Holder::from_row(row)?,
            })
        })
        .collect()
}

/// How many sessions there are, and whose: as a sentence.
pub async fn connections(session: &Session) -> Result<String, PgError> {
    let rows = session
        .query(CONNECTIONS.for_server(session.version()), &[])
        .await?;
    let mut whose = Vec::new();
    let (mut all, mut limit) = (0, String::new());
    for row in &rows {
        let sessions = row.count("sessions")?;
        all += sessions;
        limit = row.get("max_connections")?;
        let text = |column| row.get::<Option<String>>(column);
        let database = text("database")?.map(|name| format!(" in {name}"));
        whose.push(format!(
            "{sessions} of role {}{} ({})",
            text("role")?.unwrap_or_default(),
            database.unwrap_or_default(),
            text("application")?
                .filter(|name| !name.is_empty())
                .unwrap_or_else(|| "without a name".to_owned()),
        ));
    }
    Ok(format!(
        "{all} connections are open, max_connections is {limit}: {}",
        whose.join(", ")
    ))
}

/// The room that a server has for locks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockTable {
    /// `max_locks_per_transaction`.
    pub per_session: u64,
    /// Sessions and prepared transactions that there may be.
    pub sessions: u64,
    /// Tables of the database.
    pub tables: u64,
}

impl LockTable {
    /// Asks a server.
    pub async fn read(session: &Session) -> Result<Option<Self>, PgError> {
        let query = LOCK_TABLE.for_server(session.version());
        let rows = session.query(query, &[]).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        Ok(Some(Self {
            per_session: row.count("per_session")?,
            sessions: row.count("sessions")?,
            tables: row.count("tables")?,
        }))
    }

    /// What `max_locks_per_transaction` has to be for so many locks at a time; never less than the default.
    pub fn setting_for(&self, locks: u64) -> u64 {
        locks.div_ceil(self.sessions.max(1)).max(64)
    }
}

/// `max_locks_per_transaction is 10, which is room for about 200 locks of all sessions together`.
impl fmt::Display for LockTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "max_locks_per_transaction is {}, which is room for about {} locks of all sessions together",
            self.per_session,
            Rows(self.per_session * self.sessions)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_that_sets_a_password_is_not_shown() {
        for (query, shown) in [
            ("ALTER ROLE bob PASSWORD 'hunter2'", false),
            ("create user\nbob with encrypted password 'hunter2'", false),
            (
                "create user mapping for bob server far options (password 'hunter2')",
                false,
            ),
            (
                "create subscription s connection 'password=hunter2' publication p",
                false,
            ),
            ("update users set password = null", true),
            ("alter table users drop column name", true),
        ] {
            let said = without_password(query.to_owned());
            assert_eq!(said == query, shown, "{said}");
            assert!(shown || !said.contains("hunter2"), "{said}");
        }
    }

    #[test]
    fn the_room_for_locks_is_worded_with_what_is_needed() {
        let table = LockTable {
            per_session: 10,
            sessions: 120,
            tables: 3000,
        };
        assert_eq!(
            table.to_string(),
            "max_locks_per_transaction is 10, which is room for about 1,200 locks of all sessions together"
        );
        assert_eq!(table.setting_for(12_001), 101);
        assert_eq!(table.setting_for(10), 64);
    }

    #[test]
    fn whoever_is_in_the_way_is_named_as_far_as_we_may_see() {
        let holder = Holder {
            pid: 123,
            application: Some("psql".to_owned()),
            role: Some("bob".to_owned()),
            address: Some("10.0.0.5".to_owned()),
            kind: Some("client backend".to_owned()),
            state: Some("idle in transaction".to_owned()),
            seconds: 720,
            query: Some("lock table users\n".to_owned()),
            held: Some("AccessExclusiveLock".to_owned()),
        };
        assert_eq!(
            holder.to_string(),
            "pid 123 (psql, role bob, from 10.0.0.5, idle in transaction for 12 min; its last statement: lock table users)"
        );
        let vacuum = Holder {
            pid: 9,
            kind: Some("autovacuum worker".to_owned()),
            state: Some("active".to_owned()),
            seconds: 4,
            query: Some("autovacuum: VACUUM public.a".to_owned()),
            ..Holder::default()
        };
        assert_eq!(
            vacuum.to_string(),
            "pid 9 (autovacuum worker, active for 4 s; its statement: autovacuum: VACUUM public.a)"
        );
        let hidden = Holder {
            pid: 7,
            ..Holder::default()
        };
        assert_eq!(hidden.to_string(), "pid 7");
        let prepared = Holder::default().to_string();
        assert!(prepared.contains("prepared transaction"), "{prepared}");
        let lock = BarringLock {
            relation: QualifiedName::new("public", "a"),
            granted: false,
            holder: hidden,
        };
        assert_eq!(
            lock.to_string(),
            "pid 7 waits to lock public.a against everybody"
        );
    }
}
