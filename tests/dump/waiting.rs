//! Whoever waits for the snapshot that a dump has left with its keeper keeps the dump itself from going on.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::support::server::Server;
use crate::{ARCHIVE, SEVERAL, killed_in_the_middle, large, resume, verify};

/// A statement that waits for a lock, by the name of its session.
struct Waiting(Child);

impl Waiting {
    fn begin(server: &Server, sql: &str) -> Self {
        let mut psql = server.tool("psql");
        psql.args(["-X", "-q", "-d", &server.conninfo("large"), "-c", sql])
            .env("PGAPPNAME", "altering")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let waiting = Self(psql.spawn().expect("psql starts"));
        let began = Instant::now();
        while pid_of(server).is_empty() {
            assert!(began.elapsed() < Duration::from_secs(20), "{sql}");
            std::thread::sleep(Duration::from_millis(20));
        }
        waiting
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn pid_of(server: &Server) -> String {
    let waits = "select pid from pg_stat_activity where application_name = 'altering' and wait_event_type = 'Lock'";
    server.psql("large", waits)
}

#[test]
fn who_waits_for_the_keeper_is_named_with_the_way_past() {
    let Some(source) = large(18, SEVERAL) else {
        return;
    };
    let killed = killed_in_the_middle(&source, "gzip:9");
    let _waiting = Waiting::begin(&source, "alter table empty add b int");
    let pid = pid_of(&source);
    let stuck = resume(&killed);
    assert_eq!(stuck.status, 1, "{stuck}");
    let cancel = format!("select pg_cancel_backend({pid});");
    for words in [
        "waits to lock public.empty against everybody",
        "pgconvoy:keeper",
        cancel.as_str(),
    ] {
        assert!(stuck.stderr.contains(words), "{words}: {stuck}");
    }
    source.psql("large", &cancel);
    let resumed = resume(&killed);
    assert_eq!(resumed.status, 0, "{resumed}");
    assert!(!resumed.stderr.contains("begins again"), "{resumed}");
    assert_eq!(verify(&killed.path(ARCHIVE)).status, 0);
}
