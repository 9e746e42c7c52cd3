//! Two servers, a database on one of them, and what is asked of both.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use pgconvoy::pg::cluster::ClusterOptions;

use crate::support::binary::{Finished, Pgconvoy};
use crate::support::moving::RUN_DIR;
use crate::support::server::Server;

pub const DATABASE: &str = "shop";

/// What the application writes to, and what replication does not carry. The first of all tables is in a schema of its own.
pub const SCHEMA: &str = "
    create schema aside;
    create table aside.few (id int4 primary key, what text);
    insert into aside.few values (1, 'one');
    create sequence public.numbers;
    create table public.events (
        writer int4 not null, n int8 not null, number int8 not null unique default nextval('public.numbers'), said text,
        twice int8 generated always as (n * 2) stored, primary key (writer, n));
    create table public.counters (writer int4 primary key, n int8 not null);
    create table public.bare (writer int4 not null, n int8 not null);
    create table public.parts (writer int4 not null, n int8 not null, primary key (writer, n)) partition by range (n);
    create table public.parts_old partition of public.parts for values from (minvalue) to (50);
    create table public.parts_new partition of public.parts for values from (50) to (maxvalue);
    create unlogged table public.scratch (id int4 primary key, what text);
    create materialized view public.sums as select writer, count(*) as events from public.events group by writer;
    insert into public.counters select w, 0 from generate_series(1, 8) as w;
    insert into public.events (writer, n, said) select 0, n, 'before' from generate_series(1, 2000) as n;
    insert into public.scratch select i, 'old' from generate_series(1, 10) as i;
    select lo_from_bytea(424242, 'before');
";

/// The same for a server that knows no generated columns, and no keys of partitioned tables.
pub fn schema(major: u32) -> String {
    let mut schema = SCHEMA.to_owned();
    if major < 12 {
        schema = schema.replace("twice int8 generated always as (n * 2) stored, ", "");
    }
    if major < 11 {
        schema = schema.replace(
            "n int8 not null, primary key (writer, n)) partition",
            "n int8 not null) partition",
        );
        schema.push_str(
            "alter table public.parts_old add primary key (writer, n); alter table public.parts_new add primary key (writer, n);",
        );
    }
    schema
}

/// Allowed to follow and to be followed, and quick to begin anew.
pub fn start(major: u32) -> Option<Server> {
    start_with(major, |options| options)
}

/// The same with more options.
pub fn start_with(
    major: u32,
    change: impl FnOnce(ClusterOptions) -> ClusterOptions,
) -> Option<Server> {
    Server::start_with(major, |options| {
        change(options)
            .setting("wal_level", "logical")
            .setting("max_replication_slots", "20")
            .setting("max_wal_senders", "20")
            .setting("max_worker_processes", "24")
            .setting("max_logical_replication_workers", "12")
            .setting("wal_retrieve_retry_interval", "500ms")
            .setting("autovacuum", "off")
    })
}

/// The rules of follows and turns that are named, in the order in which they are.
pub fn named(said: &str) -> Vec<&str> {
    said.lines()
        .filter_map(|line| line.strip_suffix(']')?.rsplit_once(" ["))
        .map(|(_, rule)| rule)
        .filter(|rule| rule.starts_with("follow-") || rule.starts_with("turn-"))
        .collect()
}

pub struct Scene<'a> {
    pub source: &'a Server,
    pub target: &'a Server,
}

impl<'a> Scene<'a> {
    /// A database on both, filled on the source.
    pub fn filled(source: &'a Server, target: &'a Server, schema: &str) -> Self {
        source.database(DATABASE);
        target.database(DATABASE);
        source.psql(DATABASE, schema);
        Self { source, target }
    }
}

/// Asks for a server that can be written to, as an operator does who has several hosts: a side that is closed is still the one.
fn read_write(conninfo: &str) -> String {
    format!("{conninfo} target_session_attrs=read-write")
}

impl Scene<'_> {
    pub fn from(&self) -> String {
        self.source.conninfo(DATABASE)
    }

    pub fn to(&self) -> String {
        self.target.conninfo(DATABASE)
    }

    /// A move that is to be followed.
    pub fn follow(&self, more: &[&str]) -> Pgconvoy {
        let (from, to) = (read_write(&self.from()), read_write(&self.to()));
        let fixed = [
            "move",
            "--source",
            &from,
            "--target",
            &to,
            "--run-dir",
            RUN_DIR,
            "--follow",
            "--allow-source-objects",
            "--replica-identity-full",
            "public.bare",
        ];
        Pgconvoy::new(fixed.iter().chain(more))
    }

    /// A command that finds everything by the target.
    pub fn command(&self, command: &str, more: &[&str]) -> Pgconvoy {
        let to = match command {
            // They know nothing of sides that are closed.
            "verify" | "sync" => self.to(),
            _ => read_write(&self.to()),
        };
        Pgconvoy::new([command, "--target", &to].iter().chain(more))
    }

    /// The same, which ends with status 0.
    #[track_caller]
    pub fn run(&self, command: &str, more: &[&str]) -> Finished {
        let run = self.command(command, more).run();
        assert_eq!(run.status, 0, "{run}");
        run
    }

    /// Waits until what was written on one side is on the other, by what a query says there.
    #[track_caller]
    pub fn await_same(&self, query: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let here = self.source.psql(DATABASE, query);
            let there = self.target.psql(DATABASE, query);
            if here == there {
                return;
            }
            assert!(Instant::now() < deadline, "{query}: {here} and {there}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Which sides can be written to: what an application would find that connects now.
    pub fn open(&self) -> (bool, bool) {
        let is_open = |server: &Server| {
            let sql = "begin; update public.counters set n = n where writer = 8; rollback;";
            match server.try_psql(DATABASE, sql) {
                Ok(_) => true,
                Err(said) if said.contains("read-only transaction") => false,
                Err(said) => panic!("{said}"),
            }
        };
        (is_open(self.source), is_open(self.target))
    }

    /// All that following makes or changes on a server.
    pub fn traces(server: &Server) -> String {
        server.psql(
            DATABASE,
            "select 'publication', pubname from pg_publication
             union all select 'subscription', subname from pg_subscription
             union all select 'slot', slot_name from pg_replication_slots
             union all select 'origin', roname from pg_replication_origin
             union all select 'schema', nspname from pg_namespace where nspname like 'pgconvoy%'
             union all select 'setting', setconfig::text from pg_db_role_setting
             union all select 'identity', relname::text || relreplident::text from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace
             order by 1, 2",
        )
    }
}

/// A session that somebody keeps open, and idle, as a pool does.
pub struct Pooled(Child);

impl Pooled {
    /// Begins one of a name, and waits until the server has it.
    #[track_caller]
    pub fn start(server: &Server, name: &str) -> Self {
        Self::start_as(server, name, "")
    }

    /// The same with more of a connection string.
    #[track_caller]
    pub fn start_as(server: &Server, name: &str, more: &str) -> Self {
        let pooled = server
            .tool("psql")
            .args(["-X", "-q", "-d"])
            .arg(format!(
                "{} application_name={name} {more}",
                server.conninfo(DATABASE)
            ))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("psql starts");
        let deadline = Instant::now() + Duration::from_secs(30);
        while !Self::is_there(server, name) {
            assert!(Instant::now() < deadline, "it does not connect");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self(pooled)
    }

    /// Whether the server still has a session of that name.
    pub fn is_there(server: &Server, name: &str) -> bool {
        let sql = format!(
            "select count(*) from pg_stat_activity where application_name = '{name}' and state = 'idle'"
        );
        server.psql(DATABASE, &sql) != "0"
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
