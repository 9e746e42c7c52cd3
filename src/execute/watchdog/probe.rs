//! Asks one server what it is doing for us, on a session of its own.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::sentence::{Doing, LockWait, Progress, Used};
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
/// From 11 on: before, no role could read a file outside of the data directory.
const SEES_CPU: Query = query!("sees_cpu.sql");
const CPU: Query = query!("cpu.sql");
const CPU_SINCE: u32 = 11;

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
    let cpu = vec![(CPU_SINCE, SEES_CPU), (CPU_SINCE, CPU)];
    [vec![(10, ACTIVITY), (10, WAITS)], cpu, PROGRESS.to_vec()].concat()
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
    cpu: Cpu,
}

impl<'a> Probe<'a> {
    pub fn new(pool: &'a Pool) -> Self {
        Self {
            pool,
            session: None,
            silent_since: None,
            cpu: Cpu::default(),
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
        self.cpu.before.clear();
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
        let mut found = ask(&session).await?;
        self.cpu.look(&session, &mut found).await?;
        self.session = Some(session);
        Ok(found)
    }
}

/// The CPU time of the server's processes, as its operating system counts it: evidence of work where no view shows any. A server
/// lets a superuser see it, if it runs on Linux. Its own counters (`pg_stat_get_backend_io`, from 18 on, and those of tables) do not move
/// before the statement has ended (`pgstat_report_stat` in `pgstat.c`).
#[derive(Default)]
struct Cpu {
    /// Whether it may be seen; not known before it was asked.
    seen: Option<bool>,
    /// What each process had used, and when.
    before: HashMap<i32, (Duration, Instant)>,
}

impl Cpu {
    async fn look(
        &mut self,
        session: &Session,
        found: &mut HashMap<i32, Doing>,
    ) -> Result<(), PgError> {
        let seen = match self.seen {
            Some(seen) => seen,
            None => *self.seen.insert(sees_cpu(session).await?),
        };
        // Who has a view of its own, or is waited for, needs no evidence.
        let is_unshown = |doing: &Doing| doing.progress.is_none() && !doing.waits_for_us();
        if !seen || !found.values().any(is_unshown) {
            return Ok(());
        }
        let now = Instant::now();
        let rows = match session.query(&CPU, &[]).await {
            // The operating system says no; asked again and again, it would fill the server's log.
            Err(PgError::Server { .. }) => {
                self.seen = Some(false);
                return Ok(());
            }
            rows => rows?,
        };
        for row in rows {
            let pid = row.get::<i32>("pid")?;
            let stat = row.get::<Option<String>>("stat")?;
            let Some(total) = stat.as_deref().and_then(cpu_time) else {
                continue;
            };
            let before = self.before.insert(pid, (total, now));
            if let (Some(doing), Some((then, at))) = (found.get_mut(&pid), before) {
                doing.used = Some(Used {
                    cpu: total.saturating_sub(then),
                    within: now.saturating_duration_since(at),
                });
            }
        }
        Ok(())
    }
}

async fn sees_cpu(session: &Session) -> Result<bool, PgError> {
    if session.version().major() < CPU_SINCE {
        return Ok(false);
    }
    let rows = session.query(&SEES_CPU, &[]).await?;
    rows.first().map_or(Ok(false), |row| row.get("seen"))
}

/// User and system time of a process, out of Linux's `/proc/PID/stat`: fields 14 and 15, in hundredths of a second (`proc(5)`). The second field, a
/// name in parentheses, may hold anything.
fn cpu_time(stat: &str) -> Option<Duration> {
    const TICK_MS: u64 = 10;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(11);
    let mut ticks = || times.next()?.parse::<u64>().ok();
    let total = ticks()?.checked_add(ticks()?)?;
    Some(Duration::from_millis(total.checked_mul(TICK_MS)?))
}

/// Whether an error is the server's: then it is not dead.
fn is_answer(error: &PgError) -> bool {
    match error {
        PgError::Server { .. } | PgError::Answer { .. } | PgError::ClaimLost => true,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_time_of_a_process_is_read() {
        let stat =
            "4711 (postgres: a) b) R 1 4711 4711 0 -1 4194560 50 0 3 0 150 25 7 8 20 0 1 0 99 1 2";
        assert_eq!(cpu_time(stat), Some(Duration::from_millis(1750)));
        for torn in [
            "",
            "4711 (postgres",
            "4711 (p) R 1 2 3 4 5 6 7 8 9 10 11",
            "1 (p) R 1 2 3 4 5 6 7 8 9 10 x 2",
        ] {
            assert_eq!(cpu_time(torn), None, "{torn}");
        }
    }
}
