//! Asks one server what it is doing for us, on a session of its own.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::sentence::{Doing, LockWait, Progress};
use crate::catalog::Holder;
use crate::model::QualifiedName;
use crate::pg::{Answer, PgError, Pool, Query, Session};

macro_rules! query {
    ($file:literal) => {
        Query::new(
            $file,
            include_str!(concat!("../../../sql/progress/", $file)),
        )
    };
}

const ACTIVITY: Query = query!("activity.sql");
const WAITS: Query = query!("waits.sql");

/// Which view of progress there is from which major version on.
const PROGRESS: [(u32, Query); 5] = [
    (10, query!("vacuum.sql")),
    (12, query!("create_index.sql")),
    (12, query!("cluster.sql")),
    (13, query!("analyze.sql")),
    (14, query!("copy.sql")),
];

/// All of them with the first major version that they are for, for the test that prepares each.
pub fn queries() -> Vec<(u32, Query)> {
    [vec![(10, ACTIVITY), (10, WAITS)], PROGRESS.to_vec()].concat()
}

/// Why there is no answer.
pub(super) enum Unanswered {
    /// The server is there, and says no.
    Refused(String),
    /// Nobody has answered since then.
    Silent(Instant),
}

/// One server, and the session that it is asked on.
pub(super) struct Probe<'a> {
    pool: &'a Pool,
    session: Option<Session>,
    silent_since: Option<Instant>,
}

impl<'a> Probe<'a> {
    pub fn new(pool: &'a Pool) -> Self {
        Self {
            pool,
            session: None,
            silent_since: None,
        }
    }

    /// The sessions that it asks about.
    pub fn pool(&self) -> &'a Pool {
        self.pool
    }

    /// Nothing is to be asked: a session would only take a slot.
    pub fn rest(&mut self) {
        self.session = None;
        self.silent_since = None;
    }

    /// What the server does for each of our sessions, by process id; with so much patience.
    pub async fn ask(&mut self, patience: Duration) -> Result<HashMap<i32, Doing>, Unanswered> {
        let began = Instant::now();
        let error = match tokio::time::timeout(patience, self.answer()).await {
            Ok(Ok(found)) => {
                self.silent_since = None;
                return Ok(found);
            }
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        match error.filter(is_answer) {
            Some(error) => {
                self.silent_since = None;
                Err(Unanswered::Refused(error.to_string()))
            }
            None => Err(Unanswered::Silent(*self.silent_since.get_or_insert(began))),
        }
    }

    async fn answer(&mut self) -> Result<HashMap<i32, Doing>, PgError> {
        // It comes back only if all goes well: a session that was given up in the middle of an answer is spoilt.
        let session = match self.session.take() {
            Some(session) => session,
            None => self.pool.session("watchdog").await?,
        };
        let found = ask(&session).await?;
        self.session = Some(session);
        Ok(found)
    }
}

/// Whether an error is the server's: then it is not dead.
fn is_answer(error: &PgError) -> bool {
    match error {
        PgError::Server { .. } | PgError::Answer { .. } => true,
        PgError::Connect(error) => error.server_error().is_some(),
        _ => false,
    }
}

async fn ask(session: &Session) -> Result<HashMap<i32, Doing>, PgError> {
    let mut found = HashMap::new();
    for row in session.query(&ACTIVITY, &[]).await? {
        let wait = row
            .get::<Option<String>>("wait_type")?
            .zip(row.get("wait_event")?);
        let doing = Doing {
            state: row.get("state")?,
            wait,
            seconds: row.count("seconds")?,
            ..Doing::default()
        };
        found.insert(row.get::<i32>("pid")?, doing);
    }
    let is_locked = |doing: &Doing| matches!(&doing.wait, Some((kind, _)) if kind == "Lock");
    if found.values().any(is_locked) {
        for row in session.query(&WAITS, &[]).await? {
            if let Some(doing) = found.get_mut(&row.get::<i32>("pid")?) {
                doing.locks.push(lock_wait(&row)?);
            }
        }
    }
    let major = session.version().major();
    for (_, query) in PROGRESS.iter().filter(|(since, _)| *since <= major) {
        for row in session.query(query, &[]).await? {
            if let Some(doing) = found.get_mut(&row.get::<i32>("pid")?) {
                doing.progress = progress(&row)?;
            }
        }
    }
    Ok(found)
}

fn lock_wait(row: &Answer) -> Result<LockWait, PgError> {
    let text = |column| row.get::<Option<String>>(column);
    let relation = text("schema")?.zip(text("relation")?);
    Ok(LockWait {
        lock_type: text("lock_type")?.unwrap_or_default(),
        mode: text("mode")?.unwrap_or_default(),
        relation: relation.map(|(schema, name)| QualifiedName::new(schema, name)),
        holder: Holder::from_row(row)?,
    })
}

/// NULL in all columns but the first is another role's.
fn progress(row: &Answer) -> Result<Option<Progress>, PgError> {
    let number = |column| {
        let number = row.get::<Option<i64>>(column)?.unwrap_or_default();
        Ok::<_, PgError>(u64::try_from(number).unwrap_or_default())
    };
    let Some(phase) = row.get::<Option<String>>("phase")? else {
        return Ok(None);
    };
    Ok(Some(Progress {
        phase,
        done: number("done")?,
        total: number("total")?,
        unit: row.get("unit")?,
    }))
}
