//! The table of states and faults: in every state of a follow either server is killed or cut off, or pgconvoy is killed, or everything.
//!
//! After each, with both servers up again, and before anything else is run, an ordinary client writes to whichever side lets it:
//! at most one does. Then the same command goes on, if the turn has not gone back by itself or by `--undo`. What any client
//! was told is written is there at the end, once; and once they are parted, both servers are as they were.
//!
//! All of it is done by `make test-follow`, which prints the table; a few of them are done always.
#![cfg(feature = "faults")]

use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::application::Application;
use crate::lab::{Fault, Held, Lab};
use crate::scene::DATABASE;
use crate::support::binary::{Finished, Pgconvoy};
use crate::support::moving::RUN_DIR;
use crate::support::proxy::Around;

/// Those of a turn.
const STEPS: [&str; 7] = [
    "Check",
    "Fence",
    "Drain",
    "BringOver",
    "Reverse",
    "Open",
    "Clear",
];

/// Before and after every step.
fn moments() -> Vec<String> {
    let of =
        |step: &&str| ["follow-step", "follow-step-taken"].map(|point| format!("{point}[{step}]"));
    STEPS.iter().flat_map(of).collect()
}

/// Moments of `move --follow`: publication made, slot and snapshot made, copy under way, proven and told, subscription made, enabled.
const OF_THE_MOVE: [&str; 6] = [
    "follow-published",
    "planned",
    "announced",
    "report-kept",
    "follow-subscribed",
    "follow-enabled",
];

/// A pair of servers of which one follows the other, while an application writes.
struct Turning {
    lab: Lab,
    application: Application,
    /// What following leaves on a side, before there is any.
    before: String,
    /// The side that is in service.
    serving: usize,
    turns: usize,
}

impl Turning {
    fn start() -> Option<Self> {
        let lab = Lab::start()?;
        let before = lab.traces(0);
        let moved = lab.follow().run();
        assert_eq!(moved.status, 0, "{moved}");
        let application = Application::start_at(&lab.direct(), 2, 40);
        Some(Self {
            lab,
            application,
            before,
            serving: 0,
            turns: 0,
        })
    }

    /// One turn from the side that is in service to the other, with a fault at a moment of it.
    fn turn(&mut self, fault: Fault, moment: &str) {
        let (from, to) = (self.serving, 1 - self.serving);
        let command = ["cutover", "fallback"][from];
        let when = format!("{command} {moment} × {}", fault.words());
        let began = Instant::now();
        assert!(self.lab.open(&when)[from], "{when}");
        self.lab.await_well(&when);
        let prepared = self.lab.command(command, &["--grace", "1s"]);
        let struck = self.lab.strike(fault, moment, prepared);
        let open = self.lab.open(&when);
        let mut became = self.judge(fault, moment, (&struck, open));
        self.turns += 1;
        // Of those that have left everything as it was in that moment, half go back first.
        if fault.kills_pgconvoy() && goes_back(moment) && self.turns.is_multiple_of(2) {
            let undone = self.lab.run(command, &["--undo"]);
            assert!(self.lab.open(&when)[from], "{when}: {undone}");
            became.push_str("; undone");
        }
        if open[to] && struck.status == 0 {
            became.push_str("; turned");
        } else {
            let run = self.lab.run(command, &["--grace", "1s"]);
            assert!(self.lab.open(&when)[to], "{when}: {run}");
            became.push_str("; resumed");
        }
        self.lab.assert_nothing_lost(to, &when);
        println!("{when}: {became} ({:.1} s)", began.elapsed().as_secs_f64());
        self.serving = to;
    }

    /// Somebody runs the same again while it is still at work, and waits for its claim: it has become done meanwhile.
    fn turn_twice(&mut self) {
        let (from, to) = (self.serving, 1 - self.serving);
        let command = ["cutover", "fallback"][from];
        let prepared = self.lab.command(command, &["--grace", "1s"]);
        let held = Held::at("follow-step-taken[Reverse]", prepared);
        let again = self.lab.command(command, &["--grace", "1s"]).start();
        let claims =
            "select count(*) from pg_stat_activity where application_name = 'pgconvoy:claim'";
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.lab.servers[1].psql(DATABASE, claims) != "2" {
            assert!(Instant::now() < deadline, "the other one never came");
            std::thread::sleep(Duration::from_millis(10));
        }
        held.let_go();
        let run = held.run.finish();
        assert_eq!(run.status, 0, "{run}");
        let again = again.finish();
        let when = format!("the same again: {again}");
        assert!(self.lab.open(&when)[to], "{when}");
        // If it has waited for too long, it was refused.
        if !again.stderr.contains("is being filled by another run") {
            assert!(again.stderr.contains("nothing is to be done"), "{when}");
        }
        self.serving = to;
        self.turns += 1;
    }

    /// A session has read what the database is set to before it was closed, and is in no list yet: it must not write afterwards.
    fn turn_while_somebody_comes(&mut self) {
        let (from, to) = (self.serving, 1 - self.serving);
        let prepared = self
            .lab
            .command(["cutover", "fallback"][from], &["--grace", "1s"]);
        let held = Held::at("follow-step[Fence]", prepared);
        let server = &self.lab.servers[from];
        let mut late = server
            .tool("psql")
            .args([
                "-X",
                "-q",
                "-c",
                "insert into public.events (writer, n) values (10, 1)",
                "-d",
            ])
            .arg(format!(
                "{} options='-c post_auth_delay=2'",
                server.conninfo(DATABASE)
            ))
            .stderr(Stdio::null())
            .spawn()
            .expect("psql starts");
        let coming = "select count(*) from pg_locks where locktype = 'object' and classid = 'pg_database'::regclass
                      and mode = 'RowExclusiveLock' and pid <> pg_backend_pid()";
        let deadline = Instant::now() + Duration::from_secs(30);
        while server.psql(DATABASE, coming) == "0" {
            assert!(Instant::now() < deadline, "nobody comes");
            std::thread::sleep(Duration::from_millis(20));
        }
        held.let_go();
        let run = held.run.finish();
        assert_eq!(run.status, 0, "{run}");
        let is_acknowledged = late.wait().expect("it ends").success();
        let found = "select count(*) from public.events where writer = 10";
        let found = self.lab.servers[to].psql(DATABASE, found);
        assert_eq!(found, if is_acknowledged { "1" } else { "0" }, "{run}");
        self.serving = to;
        self.turns += 1;
    }

    /// In what state a fault has left both, and whether that may be.
    #[track_caller]
    fn judge(&self, fault: Fault, moment: &str, (run, open): (&Finished, [bool; 2])) -> String {
        let (from, to) = (self.serving, 1 - self.serving);
        let when = format!("{moment} × {}: {run}", fault.words());
        if ["taken[Open]", "[Clear]"]
            .iter()
            .any(|late| moment.contains(late))
        {
            assert!(!open[from], "it was opened: {when}");
        }
        if fault.kills_pgconvoy() {
            assert_eq!(run.status, -1, "{when}");
        } else if goes_back(moment) && !moment.contains("taken[Reverse]") {
            // It is alive, and both servers are there again: nobody needs to help.
            assert!(run.status != 0 && open[from], "{when}");
            assert!(run.stderr.contains("gone back"), "{when}");
        }
        // Who was told that a side is in service has to be right.
        if run.stderr.contains("is in service as before") {
            assert!(open[from], "{when}");
        }
        let left = match (open[from], open[to]) {
            (true, _) if run.stderr.contains("gone back") => "gone back by itself",
            (true, _) => "not closed yet",
            (_, true) => "opened",
            _ => "closed",
        };
        left.to_owned()
    }

    /// Nothing is lost, and nothing stays behind.
    fn part(self) {
        let Self {
            lab,
            application,
            before,
            serving,
            turns,
        } = self;
        let writes = application.finish(&lab.servers[serving]);
        lab.await_everything(1 - serving, "at the end");
        let parted = lab.run("unfollow", &[]);
        for side in [0, 1] {
            assert_eq!(lab.traces(side), before, "{parted}");
        }
        println!(
            "{turns} turns, {writes} acknowledged writes of the application, none lost, none doubled"
        );
    }
}

/// Whether a turn that is killed at that moment can still go back.
fn goes_back(moment: &str) -> bool {
    !["[Open]", "[Clear]"]
        .iter()
        .any(|late| moment.contains(late))
}

/// Every moment of both turns.
fn whole(faults: &[Fault]) {
    let Some(mut turning) = Turning::start() else {
        return;
    };
    for fault in faults {
        for moment in moments() {
            turning.turn(*fault, &moment);
            turning.turn(*fault, &moment);
        }
    }
    turning.part();
}

#[test]
fn a_sample_of_states_and_faults() {
    let Some(mut turning) = Turning::start() else {
        return;
    };
    turning.turn(Fault::Source, "follow-step[Drain]");
    turning.turn(Fault::Everything, "follow-step-taken[Fence]");
    turning.turn(Fault::Target, "follow-step[Open]");
    turning.turn(Fault::TargetCut, "follow-step[BringOver]");
    turning.turn_while_somebody_comes();
    turning.turn_twice();
    turning.part();
}

#[test]
#[ignore = "the whole table: make test-follow"]
fn whole_table_of_turns_that_are_killed() {
    whole(&[Fault::Pgconvoy, Fault::Everything]);
}

#[test]
#[ignore = "the whole table: make test-follow"]
fn whole_table_of_servers_that_are_killed() {
    whole(&[Fault::Source, Fault::Target]);
}

#[test]
#[ignore = "the whole table: make test-follow"]
fn whole_table_of_roads_that_are_cut() {
    whole(&[Fault::SourceCut, Fault::TargetCut]);
}

#[test]
#[ignore = "the whole table: make test-follow"]
fn whole_table_of_a_move_that_is_to_be_followed() {
    let Some(mut lab) = Lab::start() else {
        return;
    };
    let before = lab.traces(0);
    for moment in OF_THE_MOVE {
        for fault in Fault::ALL {
            let when = format!("move --follow {moment} × {}", fault.words());
            let began = Instant::now();
            lab.empty_target();
            let prepared = lab.follow();
            let struck = lab.strike(fault, moment, prepared);
            // As long as nothing is closed on the target, it is an empty database, or half a copy: nobody writes to that.
            let probed = lab.servers[0].try_psql(
                "shop",
                "set session authorization app; begin; update public.counters set n = n; rollback",
            );
            assert!(
                probed.is_ok(),
                "the source stays in service: {when}: {probed:?}"
            );
            let became = begin_anyhow(&lab, &struck);
            assert_eq!(lab.open(&when), [true, false], "{when}");
            lab.await_everything(1, &when);
            let parted = lab.run("unfollow", &[]);
            assert_eq!(lab.traces(0), before, "{when}: {parted}");
            assert_eq!(lab.traces(1), before, "{when}: {parted}");
            println!("{when}: {became} ({:.1} s)", began.elapsed().as_secs_f64());
        }
    }
}

/// What an operator does who finds a move that has not come to its end: begins the follow, resumes the move, or moves again.
#[track_caller]
fn begin_anyhow(lab: &Lab, struck: &Finished) -> String {
    let mut told = match struck.status {
        0 => "went on by itself".to_owned(),
        -1 => "killed".to_owned(),
        status => format!("ended with status {status}"),
    };
    let is_copied = "select to_regclass('pgconvoy_follow.state') is not null";
    if lab.servers[1].psql("shop", is_copied) == "f" {
        let directory = struck.path(RUN_DIR);
        let has_plan = directory.join("plan.json").exists();
        let again = if has_plan {
            Pgconvoy::new(["resume", &directory.display().to_string()]).run()
        } else {
            lab.follow().run()
        };
        assert_eq!(again.status, 0, "{struck}\n{again}");
        told.push_str(if has_plan {
            "; resumed"
        } else {
            "; moved again"
        });
    }
    lab.await_well(&struck.to_string());
    told.push_str("; follows");
    told
}

/// What is lost of the connections by which a turn goes back keeps it from that only for a moment, and nobody is told that a side is
/// closed which is open again.
#[test]
fn going_back_outlives_its_connections() {
    let Some(mut lab) = Lab::start() else {
        return;
    };
    let moved = lab.follow().run();
    assert_eq!(moved.status, 0, "{moved}");
    lab.run("cutover", &["--grace", "1s"]);

    let fallback = lab.command("fallback", &["--grace", "1s"]);
    let held = Held::at("follow-step-taken[Fence]", fallback);
    lab.road(0).cut_at_commit(Around::Before, " enable");
    let pid = Pid::from_raw(i32::try_from(held.run.pid()).expect("a process"));
    kill(pid, Signal::SIGINT).expect("it is there");
    let began = Instant::now();
    held.let_go();
    let run = held.run.finish();
    assert!(lab.road(0).has_cut_at_commit(), "{run}");
    assert_eq!(run.status, 5, "{run}");
    let said: Vec<&str> = run.stderr.split_whitespace().collect();
    let said = said.join(" ");
    assert!(
        said.contains("target is in service as before; source follows it"),
        "{run}"
    );
    assert!(began.elapsed() < Duration::from_secs(30), "{run}");
    assert_eq!(lab.open("gone back"), [false, true], "{run}");
    lab.await_well("gone back");

    let killed = lab.command("fallback", &["--grace", "1s"]);
    let killed = killed
        .env("PGCONVOY_FAULT", "kill@follow-step-taken[Fence]")
        .run();
    assert_eq!(killed.status, -1, "{killed}");
    lab.road(0).cut_at_commit(Around::Before, " enable");
    let undone = lab.command("fallback", &["--undo"]).run();
    assert_eq!(undone.status, 5, "{undone}");
    assert_eq!(lab.open("half undone"), [false, true], "{undone}");
    let status = lab.run("status", &[]);
    assert!(!status.stdout.contains("nobody can write"), "{status}");
    let stands = "target is in service, and a fallback has begun";
    assert!(status.stdout.contains(stands), "{status}");
    lab.run("fallback", &["--undo"]);
    lab.await_well("undone");
}
