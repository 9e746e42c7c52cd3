//! A move that can be caught in the act: one of its indexes takes as long as is wanted, on the target only.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::binary::{Pgconvoy, Running};
use crate::support::moving::RUN_DIR;
use crate::support::server::Server;

/// What `--detach` says once the first job has begun, and never before.
pub const GOES_ON: &str = "The run goes on without this terminal: pid ";

/// What a run has written down so far.
pub fn events(run_dir: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(run_dir.join("events.jsonl")).expect("a record");
    let event = |line: &str| serde_json::from_str(line).expect("an event");
    text.lines().map(event).collect()
}

/// Where in a record an event of a kind is first.
#[track_caller]
pub fn position(events: &[Value], kind: &str) -> usize {
    let found = events.iter().position(|event| event["event"] == kind);
    found.unwrap_or_else(|| panic!("no {kind} in {events:#?}"))
}

/// Sends a signal.
pub fn send(run: &Running, signal: Signal) {
    let pid = i32::try_from(run.pid()).expect("a process id");
    kill(Pid::from_raw(pid), signal).expect("it is there");
}

/// One server with the databases `src` and `dst`.
pub struct Scene {
    pub server: Server,
}

impl Scene {
    /// The index on table `slow` takes so many seconds.
    pub fn set(major: u32, seconds: u32) -> Option<Self> {
        let server = Server::start(major)?;
        server.database("src");
        server.database("dst");
        server.psql(
            "src",
            &format!(
                "create table quick (id int primary key, what text);
                 insert into quick select i, 'row ' || i from generate_series(1, 1000) as i;
                 create table slow (id int);
                 create function public.take_time(id int) returns int language plpgsql immutable as $$
                 begin
                     if pg_catalog.current_database() = 'dst' then
                         perform pg_catalog.pg_sleep({seconds});
                     end if;
                     return id;
                 end $$;
                 insert into slow values (1);
                 create index slow_index on slow (public.take_time(id));
                 create table late (id int primary key);"
            ),
        );
        Some(Self { server })
    }

    /// A move to be.
    pub fn moving(&self, more: &[&str]) -> Pgconvoy {
        self.moving_in(RUN_DIR, more)
    }

    /// The same in a certain run directory.
    pub fn moving_in(&self, run_dir: &str, more: &[&str]) -> Pgconvoy {
        let (source, target) = (self.server.conninfo("src"), self.server.conninfo("dst"));
        let fixed = [
            "move",
            "--source",
            &source,
            "--target",
            &target,
            "--run-dir",
            run_dir,
        ];
        Pgconvoy::new(fixed.iter().chain(more))
    }

    /// Waits until the slow index is being built.
    #[track_caller]
    pub fn wait_for_slow_index(&self, run: &mut Running) {
        let began = Instant::now();
        while self
            .backends("query ilike '%slow_index%' and state = 'active'")
            .is_empty()
        {
            assert!(run.is_running(), "it ended before it was caught");
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "the slow index was never begun"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sessions of ours for which a condition holds, by name.
    pub fn backends(&self, condition: &str) -> String {
        self.server.psql(
            "postgres",
            &format!(
                "select string_agg(application_name, ' ' order by 1) from pg_stat_activity
                 where application_name like 'pgconvoy:%' and {condition}"
            ),
        )
    }

    /// Asserts that nothing of ours is left on the server, but for whoever keeps the source's snapshot for a later session.
    #[track_caller]
    pub fn assert_no_backends(&self) {
        // A socket that was closed a moment ago may still be news to its backend.
        let began = Instant::now();
        loop {
            let left = self.backends("application_name <> 'pgconvoy:keeper'");
            if left.is_empty() {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(10), "left: {left}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
