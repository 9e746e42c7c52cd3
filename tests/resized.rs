//! A run is watched in a real terminal whose window changes its size: nothing is left standing on the screen that is not so any more.

#[expect(
    dead_code,
    reason = "every test binary compiles all of this and uses a part"
)]
mod recorded;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use chrono::Utc;
use nix::fcntl::{Flock, FlockArg};

/// A window of tmux, with a server of its own, and `watch` in it. Its lines are broken anew when its size changes, as those of most terminals.
struct Window<'a> {
    dir: &'a Path,
}

impl<'a> Window<'a> {
    fn open(dir: &'a Path, columns: u16, rows: u16) -> Self {
        let window = Self { dir };
        let watch = format!("{} watch run", env!("CARGO_BIN_EXE_pgconvoy"));
        let (columns, rows) = (columns.to_string(), rows.to_string());
        let size = ["-x", &columns, "-y", &rows];
        window.tmux(
            &[
                &["-f", "/dev/null", "new-session", "-d"],
                &size[..],
                &[&watch],
            ]
            .concat(),
        );
        window
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(self.dir.join("tmux")).args(args);
        command.current_dir(self.dir).env("LC_ALL", "C.UTF-8");
        command.env_remove("TMUX").env_remove("NO_COLOR");
        command
    }

    fn tmux(&self, args: &[&str]) -> String {
        let output = self.command(args).output();
        let output = output.expect("tmux is there: make test installs it");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(output.status.success(), "{args:?}: {said}");
        said
    }

    fn resize(&self, columns: u16, rows: u16) {
        let (columns, rows) = (columns.to_string(), rows.to_string());
        self.tmux(&["resize-window", "-x", &columns, "-y", &rows]);
    }

    /// What is to be seen, once it has been the same for a while but for its figures.
    fn settled(&self) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut seen = (String::new(), Instant::now());
        loop {
            std::thread::sleep(Duration::from_millis(100));
            let screen = without_figures(self.tmux(&["capture-pane", "-p"]).trim_end());
            if screen != seen.0 {
                seen = (screen, Instant::now());
            } else if seen.1.elapsed() > Duration::from_secs(1) && seen.0.contains(" gone") {
                return seen.0;
            }
            assert!(Instant::now() < deadline, "it does not settle: {}", seen.0);
        }
    }
}

impl Drop for Window<'_> {
    fn drop(&mut self) {
        // A test that fails has other things to say.
        let _ = self.command(&["kill-server"]).output();
    }
}

/// Figures change by themselves, and what stands behind them as well.
fn without_figures(screen: &str) -> String {
    let figures = regex::Regex::new(r"\d[\d.,:]*").expect("valid");
    let lines = screen.lines().map(|line| {
        let line = figures.replace_all(line, "N");
        let line = line.split_inclusive(" gone").next().unwrap_or_default();
        let head: String = line.chars().take(40).collect();
        head.trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A run that goes on as long as the lock is held, in the middle of its copying.
fn under_way(dir: &Path) -> Flock<File> {
    let run = dir.join("run");
    fs::create_dir(&run).expect("made");
    let mut record = String::new();
    let mut events = recorded::under_way().events;
    let ago = Utc::now() - events.last().expect("has events").at;
    for event in &mut events {
        event.at += ago;
        let line = serde_json::to_string(event).expect("JSON");
        let _infallible = writeln!(record, "{line}");
    }
    fs::write(run.join("events.jsonl"), record).expect("written");
    let lock = File::create(run.join("lock")).expect("made");
    Flock::lock(lock, FlockArg::LockExclusiveNonblock).expect("free")
}

#[test]
fn nothing_is_left_standing_when_a_window_changes_its_size() {
    let dir = tempfile::tempdir().expect("a directory");
    let _lock = under_way(dir.path());
    let (small, large) = ((80, 24), (200, 50));
    let window = Window::open(dir.path(), small.0, small.1);
    let before = window.settled();
    for (part, times) in [
        ("copying  ", 1),
        ("foreign keys ", 1),
        ("copy public.accounts", 1),
    ] {
        assert_eq!(before.matches(part).count(), times, "{part}: {before}");
    }
    window.resize(large.0, large.1);
    let wide = window.settled();
    window.resize(small.0, small.1);
    let after = window.settled();
    // What lasts may have been pushed out of the smaller window; the picture is as it was.
    let picture = |screen: &str| {
        let at = screen
            .find("  schema ")
            .unwrap_or_else(|| panic!("no picture: {screen}"));
        screen[at..].to_owned()
    };
    assert_eq!(picture(&after), picture(&before), "{after}");
    // Beside it there is nothing but what lasts, each line of it once.
    for screen in [&wide, &after] {
        let at = screen.find("  schema ").expect("a picture");
        let lasting = &screen[..at];
        for part in [
            "copying  ",
            "foreign keys ",
            "copy public",
            " gone",
            "█",
            "░",
        ] {
            assert!(!lasting.contains(part), "{part}: {screen}");
        }
        for line in ["looking at source and target", "planned: N jobs"] {
            assert!(screen.matches(line).count() <= 1, "{line}: {screen}");
        }
        assert!(screen.contains("copying and building"), "{screen}");
    }
    // Grown and shrunk again in one direction only, many times, faster than it is drawn.
    for (columns, rows) in [(60, 24), (200, 24), (61, 12), (100, 50), (80, 24)].repeat(3) {
        window.resize(columns, rows);
        std::thread::sleep(Duration::from_millis(30));
    }
    let again = window.settled();
    assert_eq!(picture(&again), picture(&before), "{again}");
    assert_eq!(again.matches("  schema ").count(), 1, "{again}");
}
