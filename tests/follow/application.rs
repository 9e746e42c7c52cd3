//! An application that writes all the time, from several sessions, to whichever server lets it; and remembers what was acknowledged.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio_postgres::{Client, NoTls};

use crate::scene::DATABASE;
use crate::support::server::Server;

/// Rows of the table without a key that are left of a writer's last ones.
const KEPT: i64 = 5;

/// `read_only_sql_transaction`: this is not the side that is in service.
const READ_ONLY: &str = "25006";

/// What one writer knows.
#[derive(Default)]
struct Written {
    acknowledged: BTreeSet<i64>,
    /// The answer to COMMIT never came.
    perhaps: BTreeSet<i64>,
    /// Errors that no application should see.
    odd: Vec<String>,
}

pub struct Application {
    stop: Arc<AtomicBool>,
    writers: Vec<(i32, JoinHandle<Written>)>,
}

impl Application {
    /// Begins to write; `sides` are tried one after the other whenever a session has ended or was refused.
    pub fn start(sides: &[String; 2], writers: i32) -> Self {
        Self::start_at(sides, writers, 3)
    }

    /// The same with so many milliseconds between two transactions.
    pub fn start_at(sides: &[String; 2], writers: i32, pause_ms: u64) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let begin = |writer| {
            let (stop, sides) = (Arc::clone(&stop), sides.clone());
            let run = move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                runtime
                    .expect("a runtime")
                    .block_on(write((writer, pause_ms), &sides, &stop))
            };
            (writer, std::thread::spawn(run))
        };
        Self {
            writers: (1..=writers).map(begin).collect(),
            stop,
        }
    }

    /// Stops, and holds what was written against what is there.
    #[track_caller]
    pub fn finish(self, server: &Server) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = 0;
        for (writer, thread) in self.writers {
            let memory = thread.join().expect("a writer does not panic");
            assert_eq!(memory.odd, [""; 0], "writer {writer}");
            assert!(
                memory.acknowledged.len() > 20,
                "writer {writer}: {}",
                memory.acknowledged.len()
            );
            all += memory.acknowledged.len();
            let numbers = |sql: &str| -> BTreeSet<i64> {
                let text = server.psql(DATABASE, sql);
                text.lines()
                    .map(|line| line.parse().expect("a number"))
                    .collect()
            };
            let found = numbers(&format!(
                "select n from public.events where writer = {writer}"
            ));
            let lost: Vec<_> = memory.acknowledged.difference(&found).collect();
            assert!(lost.is_empty(), "writer {writer} has lost {lost:?}");
            let attempted: BTreeSet<i64> = memory
                .acknowledged
                .union(&memory.perhaps)
                .copied()
                .collect();
            let invented: Vec<_> = found.difference(&attempted).collect();
            assert!(
                invented.is_empty(),
                "nobody wrote {invented:?} of writer {writer}"
            );
            // Each of these was changed in the same transactions: nothing was applied by halves, or twice.
            let count = server.psql(
                DATABASE,
                &format!("select n from public.counters where writer = {writer}"),
            );
            assert_eq!(count, found.len().to_string(), "writer {writer}");
            let parts = numbers(&format!(
                "select n from public.parts where writer = {writer}"
            ));
            assert_eq!(parts, found, "writer {writer}");
            let bare = server.psql(
                DATABASE,
                &format!("select coalesce(string_agg(n::text, ' ' order by n), '') from public.bare where writer = {writer}"),
            );
            let newest: Vec<String> = found
                .iter()
                .rev()
                .take(5)
                .rev()
                .map(ToString::to_string)
                .collect();
            assert_eq!(bare, newest.join(" "), "writer {writer}");
        }
        all
    }
}

async fn connect(side: &str) -> Option<Client> {
    let (client, connection) = tokio_postgres::connect(side, NoTls).await.ok()?;
    tokio::spawn(connection);
    Some(client)
}

async fn write((writer, pause_ms): (i32, u64), sides: &[String; 2], stop: &AtomicBool) -> Written {
    let mut written = Written::default();
    let mut side = 0;
    let mut client: Option<Client> = None;
    let mut n = 0;
    while !stop.load(Ordering::Relaxed) {
        let Some(connected) = &client else {
            client = connect(&sides[side]).await;
            if client.is_none() {
                side = 1 - side;
                pause(20).await;
            }
            continue;
        };
        n += 1;
        let statements = format!(
            "begin; set local synchronous_commit = on; insert into public.events (writer, n, said) values ({writer}, {n}, 'é'); \
             update public.counters set n = n + 1 where writer = {writer}; \
             insert into public.parts values ({writer}, {n}); \
             insert into public.bare values ({writer}, {n}); \
             delete from public.bare where writer = {writer} and n not in \
             (select n from public.bare where writer = {writer} order by n desc limit {KEPT})"
        );
        let refused = match connected.batch_execute(&statements).await {
            Ok(()) => match connected.batch_execute("commit").await {
                Ok(()) => {
                    written.acknowledged.insert(n);
                    pause(pause_ms).await;
                    continue;
                }
                Err(error) => {
                    written.perhaps.insert(n);
                    error
                }
            },
            Err(error) => error,
        };
        let code = refused.code().map(|code| code.code().to_owned());
        match code.as_deref() {
            // Closed to writers, or ended by an administrator.
            Some(READ_ONLY | "57P01") | None => {}
            Some(code) => written.odd.push(format!("{code}: {refused:?}")),
        }
        side = 1 - side;
        client = None;
        pause(10).await;
    }
    written
}

async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}
