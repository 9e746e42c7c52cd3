//! Who was busy and who waited: samples of `pg_stat_activity` on both servers while a tool runs.
//!
//! A session that is active and waits for nothing is on a core, or wants to be. Sampling costs the servers about a
//! millisecond five times a second.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio_postgres::{NoTls, SimpleQueryMessage};

use crate::pair::Pair;

const INTERVAL: Duration = Duration::from_millis(200);

/// Lines of the table with less than this share of the samples are left out.
const SMALLEST_SHARE: f64 = 0.01;

const SAMPLE: &str = "
    select case when backend_type = 'client backend' then coalesce(nullif(application_name, ''), '-') else backend_type end,
           state,
           case when state = 'active' or wait_event_type <> 'Client' then coalesce(wait_event_type || ' ' || wait_event, 'busy') else 'waits for its client' end,
           case when state = 'active' then coalesce(regexp_replace(substring(regexp_replace(query, '^(\\s*--[^\\n]*\\n)+', '') from '^\\s*(\\S+(?:\\s+\\S+){0,1})'), '\\s+', ' ', 'g'), '') else '' end
    from pg_catalog.pg_stat_activity
    where state is not null and pid <> pg_catalog.pg_backend_pid()";

/// Sampling that goes on.
pub struct Profile {
    sides: Vec<(&'static str, Sender<()>, JoinHandle<Samples>)>,
}

/// What was seen, and how often.
#[derive(Debug, Default)]
struct Samples {
    taken: u32,
    seen: BTreeMap<Sight, u32>,
    /// What went wrong, if something did.
    error: Option<String>,
}

/// A session in a sample.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Sight {
    who: String,
    state: String,
    wait: String,
    statement: String,
}

/// The table of a finished profile.
pub struct Profiled(Vec<(&'static str, Samples)>);

impl Profile {
    /// Begins to sample both servers.
    pub fn begin(pair: &Pair) -> Self {
        let sides = [("source", &pair.source), ("target", &pair.target)];
        let sides = sides.map(|(side, server)| {
            let conninfo = server.conninfo("postgres");
            let (stop, stopped) = channel();
            let thread = std::thread::spawn(move || sample_until(&stopped, &conninfo));
            (side, stop, thread)
        });
        Self {
            sides: sides.into(),
        }
    }

    /// Ends it.
    pub fn end(self) -> Profiled {
        let end = |(side, stop, thread): (&'static str, Sender<()>, JoinHandle<Samples>)| {
            drop(stop);
            (side, thread.join().unwrap_or_default())
        };
        Profiled(self.sides.into_iter().map(end).collect())
    }
}

fn sample_until(stopped: &Receiver<()>, conninfo: &str) -> Samples {
    let mut samples = Samples::default();
    if let Err(error) = samples.take(stopped, conninfo) {
        samples.error = Some(error);
    }
    samples
}

impl Samples {
    fn take(&mut self, stopped: &Receiver<()>, conninfo: &str) -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let (client, connection) = runtime
            .block_on(tokio_postgres::connect(conninfo, NoTls))
            .map_err(|error| error.to_string())?;
        runtime.spawn(connection);
        while stopped.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
            let rows = runtime
                .block_on(client.simple_query(SAMPLE))
                .map_err(|error| error.to_string())?;
            self.taken += 1;
            for row in rows {
                if let SimpleQueryMessage::Row(row) = row {
                    let text = |at: usize| row.get(at).unwrap_or("").to_owned();
                    let sight = Sight {
                        who: text(0),
                        state: text(1),
                        wait: text(2),
                        statement: text(3),
                    };
                    *self.seen.entry(sight).or_default() += 1;
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Profiled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (side, samples) in &self.0 {
            writeln!(
                f,
                "  {side}, {} samples: sessions on average, who, state, what it waits for, statement",
                samples.taken
            )?;
            if let Some(error) = &samples.error {
                writeln!(f, "    sampling ended early: {error}")?;
            }
            let mut seen: Vec<_> = samples.seen.iter().collect();
            seen.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
            for (sight, count) in seen {
                let average = f64::from(*count) / f64::from(samples.taken.max(1));
                if average >= SMALLEST_SHARE {
                    writeln!(
                        f,
                        "    {average:>5.2}  {:<28} {:<20} {:<28} {}",
                        sight.who, sight.state, sight.wait, sight.statement
                    )?;
                }
            }
        }
        Ok(())
    }
}
