//! Two servers with a road of its own to each, and what can befall them and whoever turns from one to the other.
#![cfg(feature = "faults")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::scene::{DATABASE, SCHEMA, Scene, start_with};
use crate::support::binary::{Finished, Pgconvoy, Running};
use crate::support::moving::RUN_DIR;
use crate::support::proxy::Proxy;
use crate::support::server::Server;

/// For so long a server is down, or a road is cut: whoever is at work notices.
const GONE_FOR: Duration = Duration::from_millis(400);
const LONGEST: Duration = Duration::from_secs(60);

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL of pgconvoy.
    Pgconvoy,
    /// SIGKILL of all processes of the source's server, which is then started again.
    Source,
    /// The same of the target's.
    Target,
    /// All three at once.
    Everything,
    /// Nobody reaches the source for a while, neither pgconvoy nor the target's server.
    SourceCut,
    /// Nobody reaches the target for a while.
    TargetCut,
}

impl Fault {
    pub const ALL: [Self; 6] = [
        Self::Pgconvoy,
        Self::Source,
        Self::Target,
        Self::Everything,
        Self::SourceCut,
        Self::TargetCut,
    ];

    pub fn words(self) -> &'static str {
        match self {
            Self::Pgconvoy => "pgconvoy killed",
            Self::Source => "source killed",
            Self::Target => "target killed",
            Self::Everything => "everything killed",
            Self::SourceCut => "source cut off",
            Self::TargetCut => "target cut off",
        }
    }

    pub fn kills_pgconvoy(self) -> bool {
        matches!(self, Self::Pgconvoy | Self::Everything)
    }

    fn servers(self) -> &'static [usize] {
        match self {
            Self::Source => &[0],
            Self::Target => &[1],
            Self::Everything => &[0, 1],
            Self::Pgconvoy | Self::SourceCut | Self::TargetCut => &[],
        }
    }

    fn road(self) -> Option<usize> {
        match self {
            Self::SourceCut => Some(0),
            Self::TargetCut => Some(1),
            _ => None,
        }
    }
}

pub struct Lab {
    pub servers: [Server; 2],
    roads: [Proxy; 2],
    /// What an ordinary client has written and was acknowledged.
    written: Vec<i64>,
    next: i64,
}

impl Lab {
    /// With the database on the source, and an empty one on the target.
    pub fn start() -> Option<Self> {
        let listening = || {
            start_with(18, |mut options| {
                options.listen_tcp = true;
                options
            })
        };
        let servers = [listening()?, listening()?];
        for server in &servers {
            server.psql("postgres", "create role app login");
            server.database(DATABASE);
        }
        servers[0].psql(DATABASE, SCHEMA);
        servers[0].psql(
            DATABASE,
            "grant select, insert, update, delete on all tables in schema public to app;
             grant usage on sequence public.numbers to app; checkpoint",
        );
        servers[1].psql("postgres", "checkpoint");
        let roads = [0, 1].map(|side: usize| Proxy::start(servers[side].cluster.port()));
        Some(Self {
            servers,
            roads,
            written: Vec::new(),
            next: 0,
        })
    }

    /// The road to a side.
    pub fn road(&self, side: usize) -> &Proxy {
        &self.roads[side]
    }

    /// How a side is reached, by way of its road.
    pub fn to(&self, side: usize) -> String {
        format!(
            "host=127.0.0.1 port={} user=postgres dbname={DATABASE}",
            self.roads[side].port()
        )
    }

    /// How the application reaches both.
    pub fn direct(&self) -> [String; 2] {
        [0, 1].map(|side: usize| self.servers[side].conninfo(DATABASE))
    }

    /// A move that is to be followed.
    pub fn follow(&self) -> Pgconvoy {
        let (from, to) = (self.to(0), self.to(1));
        Pgconvoy::new([
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
        ])
    }

    /// A command that finds everything by the target.
    pub fn command(&self, command: &str, more: &[&str]) -> Pgconvoy {
        let to = self.to(1);
        Pgconvoy::new([command, "--target", &to].iter().chain(more))
    }

    /// The same, which ends with status 0.
    #[track_caller]
    pub fn run(&self, command: &str, more: &[&str]) -> Finished {
        let run = self.command(command, more).run();
        assert_eq!(run.status, 0, "{run}");
        run
    }

    /// A worker that has lost its server takes a moment to come back.
    #[track_caller]
    pub fn await_well(&self, when: &str) {
        let deadline = Instant::now() + LONGEST;
        loop {
            let run = self.command("follow", &["--once"]).run();
            if run.status == 0 {
                return;
            }
            assert!(Instant::now() < deadline, "{when}\n{run}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// All that following leaves on a side.
    pub fn traces(&self, side: usize) -> String {
        Scene::traces(&self.servers[side])
    }

    /// Lets a fault happen at a moment, and has everything up again before the command ends by itself.
    pub fn strike(&mut self, fault: Fault, moment: &str, command: Pgconvoy) -> Finished {
        let mut held = Held::at(moment, command);
        if fault.kills_pgconvoy() {
            held.run.kill();
        }
        for side in fault.servers() {
            self.servers[*side].crash();
        }
        let road = fault.road().map(|side| &self.roads[side]);
        road.into_iter().for_each(Proxy::block);
        held.let_go();
        if !fault.kills_pgconvoy() {
            std::thread::sleep(GONE_FOR);
        }
        road.into_iter().for_each(Proxy::mend);
        for side in fault.servers() {
            self.servers[*side].cluster.resume().expect("it recovers");
        }
        held.run.finish()
    }

    /// Which sides an ordinary client can write to that connects now. It does write, and what is acknowledged has to stay.
    #[track_caller]
    pub fn open(&mut self, when: &str) -> [bool; 2] {
        let mut open = [false; 2];
        for (server, is_open) in self.servers.iter().zip(&mut open) {
            self.next += 1;
            let sql = format!(
                "set session authorization app; set synchronous_commit = on; insert into public.events (writer, n) values (9, {})",
                self.next
            );
            match server.try_psql(DATABASE, &sql) {
                Ok(_) => {
                    self.written.push(self.next);
                    *is_open = true;
                }
                Err(said) => assert!(said.contains("read-only transaction"), "{when}: {said}"),
            }
        }
        assert_ne!(open, [true, true], "two writable sides: {when}");
        open
    }

    /// Everything that was acknowledged is on a side, once, and nothing else is.
    #[track_caller]
    pub fn assert_nothing_lost(&self, side: usize, when: &str) {
        let sql = "select coalesce(string_agg(n::text, ' ' order by n), '') from public.events where writer = 9";
        let found = self.servers[side].psql(DATABASE, sql);
        let written: Vec<String> = self.written.iter().map(ToString::to_string).collect();
        assert_eq!(found, written.join(" "), "{when}");
    }

    /// The same of a side that follows.
    #[track_caller]
    pub fn await_everything(&self, side: usize, when: &str) {
        let deadline = Instant::now() + LONGEST;
        let sql = "select count(*) from public.events where writer = 9";
        while self.servers[side].psql(DATABASE, sql) != self.written.len().to_string() {
            assert!(Instant::now() < deadline, "{when}");
            std::thread::sleep(Duration::from_millis(100));
        }
        self.assert_nothing_lost(side, when);
    }

    /// The target as it was before the move.
    pub fn empty_target(&self) {
        self.servers[1].psql("postgres", "drop database shop with (force)");
        self.servers[1].database(DATABASE);
        self.servers[1].psql("postgres", "checkpoint");
    }
}

/// A command that stands still at a moment.
pub struct Held {
    pub run: Running,
    file: PathBuf,
}

impl Held {
    /// Starts it, and waits for the moment.
    #[track_caller]
    pub fn at(moment: &str, command: Pgconvoy) -> Self {
        let file = command.dir().join("held");
        let mut run = command
            .env("PGCONVOY_FAULT", format!("hold@{moment}"))
            .env("PGCONVOY_FAULT_FILE", &file)
            .start();
        let deadline = Instant::now() + LONGEST;
        while !file.exists() {
            assert!(
                run.is_running() && Instant::now() < deadline,
                "{moment} never came: {}",
                run.finish()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { run, file }
    }

    /// It goes on.
    pub fn let_go(&self) {
        std::fs::remove_file(&self.file).expect("it is there");
    }
}
