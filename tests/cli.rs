//! The command line, by the real binary: help, wrong usage, passwords, servers that cannot be reached, run directories.

mod support;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use pgconvoy::pg::cluster::ClusterOptions;
use support::binary::{Finished, Pgconvoy};
use support::server::Server;

const SECRET: &str = "s3cr3t-and-l0ng";

fn pgconvoy(args: &[&str]) -> Finished {
    Pgconvoy::new(args).run()
}

/// A move between servers that nobody needs to reach.
fn move_with(args: &[&str]) -> Finished {
    let ends = [
        "move",
        "--source",
        "host=/nonexistent dbname=a",
        "--target",
        "host=/nonexistent dbname=b",
    ];
    pgconvoy(&[&ends[..], args].concat())
}

#[test]
fn the_help_is_what_was_reviewed() {
    for (name, args) in [
        ("help", &["--help"][..]),
        ("help_move", &["move", "--help"]),
        ("help_move_short", &["move", "-h"]),
        ("help_check", &["check", "--help"]),
        ("help_plan", &["plan", "--help"]),
        ("help_rehearse_short", &["rehearse", "-h"]),
        ("help_dump", &["dump", "--help"]),
        ("help_restore", &["restore", "--help"]),
        ("help_list", &["list", "--help"]),
        ("help_verify", &["verify", "--help"]),
        ("help_sync", &["sync", "--help"]),
        ("help_follow", &["follow", "--help"]),
        ("help_cutover", &["cutover", "--help"]),
        ("help_fallback_short", &["fallback", "-h"]),
        ("help_unfollow", &["unfollow", "--help"]),
        ("help_watch", &["watch", "--help"]),
        ("help_status", &["status", "--help"]),
        ("help_report", &["report", "--help"]),
        ("help_resume", &["resume", "--help"]),
        ("help_salvage", &["salvage", "--help"]),
        ("help_demo", &["demo", "--help"]),
    ] {
        let run = pgconvoy(args);
        assert_eq!(run.status, 0, "{run}");
        assert_eq!(run.stderr, "", "{run}");
        insta::assert_snapshot!(name, run.stdout);
    }
}

#[test]
fn the_help_offers_nothing_that_does_not_exist() {
    let help = pgconvoy(&["--help"]).stdout;
    for absent in ["switchover", "refollow"] {
        assert!(
            !help.contains(&format!("\n  {absent} ")),
            "{absent}: {help}"
        );
        assert_eq!(pgconvoy(&[absent]).status, 2, "{absent}");
    }
    let compress = move_with(&["-Z", "zstd"]);
    assert_eq!(compress.status, 2, "-Z belongs to dump: {compress}");
}

#[test]
fn the_help_never_shows_what_is_in_the_environment() {
    let run = Pgconvoy::new(["move", "--help"])
        .env("PGCONVOY_SOURCE", format!("postgres://u:{SECRET}@h/d"))
        .run();
    assert!(!run.stdout.contains(SECRET), "{run}");
    assert!(run.stdout.contains("PGCONVOY_SOURCE"), "{run}");
}

#[test]
fn each_shell_is_told_every_command_and_option() {
    for (shell, starts) in [
        ("bash", "_pgconvoy()"),
        ("zsh", "#compdef pgconvoy"),
        ("fish", ""),
    ] {
        let run = Pgconvoy::new(["completions", shell])
            .env("PGCONVOY_SOURCE", format!("postgres://u:{SECRET}@h/d"))
            .run();
        assert_eq!(run.status, 0, "{run}");
        assert!(run.stdout.starts_with(starts), "{run}");
        for word in [
            "move",
            "report",
            "drain-seconds",
            "exclude-table-data",
            "markdown",
        ] {
            assert!(run.stdout.contains(word), "{shell}: {word}");
        }
        // It is for the program itself; an option is called after it.
        let others = run.stdout.replace("no-keeper", "");
        assert!(!others.contains("keeper"), "{shell}");
        assert!(!run.stdout.contains(SECRET), "{shell}");
    }
    assert_eq!(pgconvoy(&["completions", "tcsh"]).status, 2);
    // What the shell makes of it.
    let run = pgconvoy(&["completions", "bash"]);
    let script = run.path("script");
    fs::write(&script, &run.stdout).expect("written");
    let parsed = Command::new("bash").arg("-n").arg(&script).status();
    assert!(parsed.expect("bash runs").success());
}

/// What a script of completions offers behind a command.
fn offered_behind(command: &str, shell: &str, script: &str) -> String {
    let (label, end) = match shell {
        "bash" => (format!("__subcmd__{command})\n"), "if [["),
        "zsh" => (format!("({command})\n"), "&& ret=0"),
        // Each option has a line of its own.
        _ => {
            let condition = format!("_using_subcommand {command}\"");
            let lines = script.lines().filter(|line| line.contains(&condition));
            return lines.collect::<Vec<_>>().join("\n");
        }
    };
    let (_, behind) = script.split_once(&label).expect("it has the command");
    let (options, _) = behind.split_once(end).expect("they end");
    options.to_owned()
}

#[test]
fn no_shell_is_told_of_an_option_that_the_help_hides() {
    for shell in ["bash", "zsh", "fish"] {
        let script = pgconvoy(&["completions", shell]).stdout;
        let [dump, restore] =
            ["dump", "restore"].map(|command| offered_behind(command, shell, &script));
        assert!(dump.contains("no-comments"), "{shell}: {dump}");
        for hidden in ["no-owner", "no-tablespaces"] {
            assert!(restore.contains(hidden), "{shell}: {restore}");
            assert!(!dump.contains(hidden), "{shell}: {dump}");
        }
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let run = Pgconvoy::new(["man", "pages"]).env("PGCONVOY_TARGET", SECRET);
    fs::create_dir(run.dir().join("pages")).expect("made");
    let run = run.run();
    assert_eq!(run.status, 0, "{run}");
    let mut names: Vec<String> = fs::read_dir(run.path("pages"))
        .expect("exists")
        .map(|entry| {
            entry
                .expect("readable")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort_unstable();
    let commands = [
        "check",
        "completions",
        "cutover",
        "demo",
        "dump",
        "fallback",
        "follow",
        "list",
        "man",
        "move",
        "plan",
        "rehearse",
        "report",
        "restore",
        "resume",
        "salvage",
        "status",
        "sync",
        "unfollow",
        "verify",
        "watch",
    ];
    let mut pages = commands
        .map(|command| format!("pgconvoy-{command}.1"))
        .to_vec();
    pages.push("pgconvoy.1".to_owned());
    assert_eq!(names, pages);
    let page = fs::read_to_string(run.path("pages/pgconvoy-move.1")).expect("a page");
    assert!(
        page.contains("pgconvoy\\-move") && page.contains("drain\\-seconds"),
        "{page}"
    );
    assert!(!page.contains(SECRET), "{page}");
    let whole = pgconvoy(&["man"]);
    assert!(whole.stdout.contains(".TH pgconvoy 1"), "{whole}");
    assert!(whole.stdout.contains("Exit status"), "{whole}");
    let nowhere = pgconvoy(&["man", "nowhere"]);
    assert_eq!(nowhere.status, 2, "{nowhere}");
    assert!(
        nowhere.stderr.contains("nowhere is not a directory"),
        "{nowhere}"
    );
}

#[test]
fn the_version_is_the_crates() {
    let run = pgconvoy(&["--version"]);
    assert_eq!(
        run.stdout,
        format!("pgconvoy {}\n", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(run.status, 0);
}

#[test]
fn wrong_usage_is_status_2_and_says_what_to_do() {
    let mut all = String::new();
    let mut push = |what: &str, run: &Finished| {
        assert_eq!(run.status, 2, "{run}");
        assert_eq!(run.stdout, "", "{run}");
        let _infallible = writeln!(all, "$ {what}\n{}", run.stderr);
    };
    push("pgconvoy", &pgconvoy(&[]));
    for args in [
        &["move"][..],
        &["move", "--source", "dbname=a"],
        &["mvoe"],
        &["plan", "--detach"],
        &["salvage", "--source", "dbname=a", "--survey", "--detach"],
        &[
            "verify", "--source", "dbname=a", "--target", "dbname=b", "-j", "0",
        ],
    ] {
        push(&args.join(" "), &pgconvoy(args));
    }
    for args in [
        &["-j", "0"][..],
        &["-j", "many"],
        &["--verify", "maybe"],
        &["--chunk-size", "12 parsecs"],
        &["--memory", "0"],
        &["-q", "-v"],
        &["--create", "--overwrite", "b"],
        &["-t", "a.b.c.d"],
        &["-t", "a[["],
        &["--filter", "does-not-exist"],
        &["--frobnicate"],
    ] {
        push(&format!("move … {}", args.join(" ")), &move_with(args));
    }
    for ends in [
        ["hots=x", "dbname=b"],
        ["dbname=a", "host=a,b,c port=1,2"],
        ["postgres://h:port/d", "dbname=b"],
        ["service=nowhere", "dbname=b"],
    ] {
        let args = ["move", "--source", ends[0], "--target", ends[1]];
        push(&args.join(" "), &pgconvoy(&args));
    }
    let places = regex::Regex::new("/[^ ]*/pgconvoy-test-run-[^/]+").expect("a pattern");
    insta::assert_snapshot!("wrong_usage", places.replace_all(&all, "[HOME]"));
}

#[test]
fn a_bad_line_of_a_filter_file_is_named() {
    let run = Pgconvoy::new([
        "move", "--source", "host=/x", "--target", "host=/y", "--filter", "f",
    ]);
    fs::write(
        run.dir().join("f"),
        "# fine\ninclude table a\nexclude tabel b\n",
    )
    .expect("written");
    let run = run.run();
    assert_eq!(run.status, 2, "{run}");
    assert!(run.stderr.contains("filter file f, line 3"), "{run}");
}

#[test]
fn wrong_usage_leaves_no_run_directory_behind() {
    let run = move_with(&["-t", "a.b.c.d"]);
    let left: Vec<_> = fs::read_dir(run.path(".")).expect("exists").collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_run_directory_that_holds_something_is_refused_and_kept() {
    let run = Pgconvoy::new([
        "move",
        "--source",
        "host=/x",
        "--target",
        "host=/y",
        "--run-dir",
        "run",
    ]);
    fs::create_dir(run.dir().join("run")).expect("created");
    fs::write(run.dir().join("run/mine"), "mine").expect("written");
    let run = run.run();
    assert_eq!(run.status, 2, "{run}");
    assert!(run.stderr.contains("not empty"), "{run}");
    assert_eq!(
        fs::read_to_string(run.path("run/mine")).expect("kept"),
        "mine"
    );
}

#[test]
fn a_list_that_is_not_read_to_its_end_is_no_error() {
    let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/archives/18-ascii.dir");
    let list = || Pgconvoy::new(["list".as_ref(), archive.as_os_str()]);
    let whole = list().run();
    assert_eq!(whole.status, 0, "{whole}");
    assert!(whole.stdout.lines().count() > 5, "{whole}");
    let run = list().unread().run();
    assert_eq!(run.status, 0, "{run}");
    assert_eq!(run.stderr, "", "{run}");
}

/// The arguments of a process, as everybody on the machine can read them.
fn process_list(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

#[test]
fn a_password_in_the_arguments_leaves_the_process_list() {
    let source = format!("postgres://u:{SECRET}@localhost/a");
    let target = format!("--target=host=localhost dbname=b password='{SECRET}'");
    // Whoever reads a pipe that nobody writes to has time to be looked at.
    let run = Pgconvoy::new(["move", "--source", &source, &target, "--filter", "pipe"]);
    let made = Command::new("mkfifo").arg(run.dir().join("pipe")).status();
    assert!(made.expect("mkfifo runs").success());
    let mut run = run.start();
    let environment = format!("/proc/{}/environ", run.pid());
    let variable = format!("PGCONVOY_SOURCE_PASSWORD={SECRET}");
    let began = Instant::now();
    loop {
        let environment = fs::read(&environment).unwrap_or_default();
        if String::from_utf8_lossy(&environment).contains(&variable) {
            break;
        }
        assert!(run.is_running(), "{}", run.finish());
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "{}",
            process_list(run.pid())
        );
        std::thread::sleep(Duration::from_millis(2));
    }
    let listed = process_list(run.pid());
    assert!(!listed.contains(SECRET), "{listed}");
    assert!(
        listed.contains("postgres://u@localhost/a") || listed.contains("postgres://u:@localhost/a"),
        "{listed}"
    );
    run.kill();
    let run = run.finish();
    assert!(!run.stderr.contains(SECRET) && !run.stdout.contains(SECRET));
}

#[test]
fn no_message_repeats_a_password() {
    let uri = format!("postgres://u:{SECRET}@localhost:1/a");
    let broken = format!("postgres://u:{SECRET}@localhost:1/a?nonsense=1");
    for args in [
        // Not where it belongs.
        vec!["move", &uri],
        vec!["move", &format!("--sauce={uri}")],
        vec!["move", "--source", &broken, "--target", &uri],
        vec!["move", "--source", &uri, "--target", &uri],
        vec!["move", "--source", &uri, "--target", &uri, "-j", "0"],
    ] {
        let run = pgconvoy(&args);
        assert_eq!(run.status, 2, "{run}");
        assert!(
            !run.stderr.contains(SECRET) && !run.stdout.contains(SECRET),
            "{}",
            run.stderr
        );
    }
}

#[test]
fn a_server_that_does_not_answer_is_given_up_in_time() {
    // It accepts connections, in the kernel, and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("bound").port();
    let source = format!("host=127.0.0.1 port={port} dbname=a user=u connect_timeout=2");
    let began = Instant::now();
    let run = pgconvoy(&["move", "--source", &source, "--target", "host=/nonexistent"]);
    assert_eq!(run.status, 2, "{run}");
    assert!(began.elapsed() < Duration::from_secs(10), "{run}");
    assert!(run.stderr.contains("did not answer within 2 s"), "{run}");
    assert!(run.stderr.contains("hint: "), "{run}");
}

#[test]
fn nobody_there_is_status_2_with_a_hint() {
    let run = pgconvoy(&[
        "move",
        "--source",
        "host=127.0.0.1 port=1 user=u",
        "--target",
        "dbname=b",
    ]);
    assert_eq!(run.status, 2, "{run}");
    assert!(run.stderr.contains("cannot reach 127.0.0.1:1"), "{run}");
    assert!(run.stderr.contains("hint: Check host and port"), "{run}");
    let unknown = pgconvoy(&[
        "move",
        "--source",
        "host=no-such-host.invalid user=u",
        "--target",
        "dbname=b",
    ]);
    assert_eq!(unknown.status, 2, "{unknown}");
    assert!(unknown.stderr.contains("no-such-host.invalid"), "{unknown}");
}

#[test]
fn a_wrong_or_missing_password_is_status_2_and_says_where_it_is_looked_for() {
    let Some(server) = Server::start_with(15, |options| ClusterOptions {
        auth_method: "scram-sha-256".into(),
        password: Some(SECRET.into()),
        ..options
    }) else {
        return;
    };
    let conninfo = server.conninfo("postgres");
    let target = "host=/nonexistent dbname=b";
    for (source, said) in [
        (
            format!("{conninfo} password=wrong"),
            "password authentication failed",
        ),
        (conninfo.clone(), "the server asks for a password for role"),
    ] {
        let run = pgconvoy(&["move", "--source", &source, "--target", target]);
        assert_eq!(run.status, 2, "{run}");
        for said in [said, ".pgpass"] {
            assert!(run.stderr.contains(said), "not said: {said}\n{run}");
        }
        assert!(!run.stderr.contains("the connection was lost"), "{run}");
        let left: Vec<_> = fs::read_dir(run.path(".")).expect("exists").collect();
        assert!(left.is_empty(), "{left:?}");
    }
    // In the arguments, in a variable of ours, and in .pgpass: each lets us in, so that the target is what fails.
    let given = format!("{conninfo} password={SECRET}");
    let in_arguments = pgconvoy(&["move", "--source", &given, "--target", target]);
    let args = ["move", "--source", &conninfo, "--target", target];
    let in_variable = Pgconvoy::new(args)
        .env("PGCONVOY_SOURCE_PASSWORD", SECRET)
        .run();
    let with_file = Pgconvoy::new(args);
    password_file(with_file.dir(), &format!("*:*:*:*:{SECRET}\n"));
    for run in [in_arguments, in_variable, with_file.run()] {
        assert_eq!(run.status, 2, "{run}");
        assert!(run.stderr.contains("/nonexistent"), "{run}");
        assert!(!run.stderr.contains(SECRET), "{run}");
    }
}

fn password_file(home: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let path = home.join(".pgpass");
    fs::write(&path, text).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("permitted");
}

#[test]
fn a_database_that_does_not_exist_is_status_2_and_names_create() {
    let Some(server) = Server::start(15) else {
        return;
    };
    let source = server.conninfo("postgres");
    let target = server.conninfo("nowhere");
    let run = pgconvoy(&["move", "--source", &source, "--target", &target]);
    assert_eq!(run.status, 2, "{run}");
    assert!(
        run.stderr.contains("nowhere") && run.stderr.contains("--create"),
        "{run}"
    );
}
