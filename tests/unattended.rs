//! What a run does for whoever is not there to watch it: commands at its end, and figures for a collector.

#[expect(
    dead_code,
    reason = "every test binary compiles all of this and uses a part"
)]
mod recorded;
mod support;

use std::fs;
use std::path::Path;

use pgconvoy::cli::hooks::Hooks;
use pgconvoy::cli::output::{Output, OutputOptions};
use pgconvoy::event::{Emit as _, What};
use pgconvoy::model::{ExitStatus, Verdict, VerifyLevel};
use pgconvoy::progress::{DisplayOptions, Size, Verbosity};
use pgconvoy::report::{Ending, Report, conclude, metrics};
use recorded::Run;
use support::binary::{Finished, Pgconvoy};
use support::moving::prepare;
use support::server::Server;

const SECRET: &str = "s3cr3t-and-l0ng";

fn proven() -> Run {
    recorded::verified(VerifyLevel::Content, Verdict::Identical, Verdict::Identical)
}

/// Runs through an output with these options, as a session does.
async fn tell(dir: &Path, run: &Run, change: impl FnOnce(&mut OutputOptions)) -> ExitStatus {
    let mut options = OutputOptions {
        run_dir: dir.join("run"),
        display: DisplayOptions {
            json: false,
            verbosity: Verbosity::Quiet,
            color: false,
            stderr_is_terminal: false,
            size: || Size {
                columns: 80,
                rows: 24,
            },
            zone: chrono::FixedOffset::east_opt(0).expect("a zone"),
        },
        hooks: Hooks::default(),
        metrics_file: None,
    };
    change(&mut options);
    let output = Output::start(&options).expect("the run directory is new");
    let emitter = output.emitter();
    for event in &run.events {
        emitter.emit(event.what.clone());
    }
    output.finish(Ending::Complete).await
}

/// A command that writes down what it was told.
fn notes_into(file: &Path) -> std::ffi::OsString {
    let file = file.display();
    format!("echo \"$PGCONVOY_STATUS $PGCONVOY_VERDICT $PGCONVOY_RUN_DIR $PGCONVOY_REPORT\" > {file}; test -s \"$PGCONVOY_REPORT\"").into()
}

#[tokio::test]
async fn the_commands_are_told_how_it_ended() {
    for (run, status, words) in [
        (proven(), ExitStatus::Proven, "0 proven"),
        (recorded::failed(), ExitStatus::Failed, "1 failed"),
    ] {
        let dir = tempfile::tempdir().expect("a directory");
        let (finish, fail) = (dir.path().join("finish"), dir.path().join("fail"));
        let ended = tell(dir.path(), &run, |options| {
            options.hooks.on_finish = Some(notes_into(&finish));
            options.hooks.on_fail = Some(notes_into(&fail));
        })
        .await;
        assert_eq!(ended, status);
        let run_dir = dir.path().join("run").display().to_string();
        let expected = format!("{words} {run_dir} {run_dir}/report.json\n");
        assert_eq!(fs::read_to_string(&finish).expect("it ran"), expected);
        assert_eq!(fail.exists(), status == ExitStatus::Failed);
    }
}

#[tokio::test]
async fn a_command_that_fails_changes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let ended = tell(dir.path(), &proven(), |options| {
        options.hooks.on_finish = Some("exit 1".into());
    })
    .await;
    assert_eq!(ended, ExitStatus::Proven);
}

/// A move that reaches nobody; `-o` is what it is given besides.
fn unreachable(args: &[&str]) -> Finished {
    let source = format!("host=/nonexistent dbname=a user=u password={SECRET}");
    let ends = [
        "move",
        "--source",
        &source,
        "--target",
        "host=/nonexistent dbname=b",
    ];
    Pgconvoy::new([&ends[..], args].concat())
        .env("PGPASSWORD", SECRET)
        .env("PGCONVOY_TARGET_PASSWORD", SECRET)
        // As of a run that was started with --detach.
        .env("PGCONVOY_DETACHED", "1")
        .run()
}

#[test]
fn a_run_that_could_not_begin_is_told_of_and_no_password_is_passed_on() {
    let run = unreachable(&["--on-fail", "env > environment"]);
    assert_eq!(run.status, 2, "{run}");
    let environment = fs::read_to_string(run.path("environment")).expect("it ran");
    assert!(environment.contains("PGCONVOY_STATUS=2\n"), "{environment}");
    assert!(
        environment.contains("PGCONVOY_VERDICT=usage\n"),
        "{environment}"
    );
    assert!(
        environment.contains("PGCONVOY_RUN_DIR=\n"),
        "no directory is left: {environment}"
    );
    assert!(!environment.contains(SECRET), "{environment}");
    assert!(
        !environment.contains("PGCONVOY_DETACHED"),
        "a pgconvoy in it would be quiet, and leave its process group: {environment}"
    );
}

/// Whatever option a password is in.
#[test]
fn no_password_of_any_connection_is_passed_on() {
    let back = format!("--source-from-target=host=/nonexistent user=u password={SECRET}");
    let run = unreachable(&["--follow", &back, "--on-fail", "env > environment"]);
    let environment = fs::read_to_string(run.path("environment"));
    let environment = environment.unwrap_or_else(|error| panic!("{error}: {run}"));
    assert!(!environment.contains(SECRET), "{environment}");
}

/// The line that people copy, with a mail program that writes down what it is given.
#[test]
fn the_command_of_the_readme_wakes_somebody_up_whatever_failed() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"));
    let readme = readme.expect("the README");
    let mut lines = readme.lines();
    let line = lines.find(|line| line.starts_with("pgconvoy move … --on-fail '"));
    let command = line.and_then(|line| line.split_once("--on-fail '"));
    let command = command.and_then(|(_, rest)| rest.strip_suffix('\''));
    let command = command.expect("a command");
    let with_mail = format!("mail() {{ echo \"$*\" > mailed; cat >> mailed; }}; {command}");
    let run = unreachable(&["--on-fail", &with_mail]);
    let mailed = fs::read_to_string(run.path("mailed"));
    let mailed = mailed.unwrap_or_else(|error| panic!("{error}: {run}"));
    assert_eq!(mailed, "-s pgconvoy: usage oncall@example.org\n");
}

#[test]
fn a_command_that_fails_is_a_warning_with_what_it_said() {
    let run = unreachable(&["--on-finish", "echo no such pager >&2; exit 3"]);
    assert_eq!(run.status, 2, "{run}");
    for says in ["warning: --on-finish", "exit status: 3", "  no such pager"] {
        assert!(run.stderr.contains(says), "{says}: {run}");
    }
    assert_eq!(run.stdout, "", "{run}");
}

/// Whoever goes on with a run needs its directory and its target.
#[test]
fn what_the_last_sentence_advises_can_be_done_from_within_a_command() {
    let Some(server) = Server::start(15) else {
        return;
    };
    let (from, to) = (server.database("source"), server.database("target"));
    server.psql(
        "source",
        "create function picky(i int) returns int language plpgsql immutable as $$ begin
             if current_setting('app.ready', true) is distinct from 'yes' then raise exception 'not ready'; end if;
             return i;
         end $$;
         create table fish (id int primary key, size int);
         set app.ready = 'yes';
         insert into fish select i, i from generate_series(1, 100) i;
         create index by_size on fish (picky(size))",
    );
    let command = format!(
        "'{}' resume --retry-failed \"$PGCONVOY_RUN_DIR\" > told 2>&1; echo $? > status",
        env!("CARGO_BIN_EXE_pgconvoy")
    );
    let run = prepare(&from, &to, &["--on-fail", &command]).run();
    assert_eq!(run.status, 1, "{run}");
    let told = fs::read_to_string(run.path("told"));
    let told = told.unwrap_or_else(|error| panic!("{error}: {run}"));
    let status = fs::read_to_string(run.path("status")).expect("it ran");
    // It was tried again, and the cause is still there.
    assert_eq!(status, "1\n", "{told}");
    assert!(told.contains("not ready"), "{told}");
    assert!(!told.contains("another run of pgconvoy"), "{told}");
}

/// All is proven by then, and yet the run has not ended well.
#[cfg(feature = "faults")]
#[test]
fn whoever_waits_is_told_of_a_ledger_that_could_not_be_dropped() {
    let Some(server) = Server::start(18) else {
        return;
    };
    let (from, to) = (server.database("source"), server.database("target"));
    server.psql("source", "create table fish (id int primary key)");
    let command = "echo \"$PGCONVOY_STATUS $PGCONVOY_VERDICT\" > told";
    let prepared = prepare(
        &from,
        &to,
        &["--on-finish", command, "--on-fail", "touch failed"],
    );
    let held = prepared.dir().join("held");
    let mut run = prepared
        .env("PGCONVOY_FAULT", "hold@report-kept")
        .env("PGCONVOY_FAULT_FILE", &held)
        .start();
    let began = std::time::Instant::now();
    while !held.exists() {
        let waits = run.is_running() && began.elapsed() < std::time::Duration::from_secs(60);
        assert!(waits, "it was never held: {}", run.finish());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(!run.dir().join("told").exists(), "the ledger is there");
    server.psql(
        "postgres",
        "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name like 'pgconvoy:%'",
    );
    fs::remove_file(&held).expect("it is there");
    let run = run.finish();
    assert_eq!(run.status, 5, "{run}");
    let told = fs::read_to_string(run.path("told")).expect("it ran");
    assert_eq!(told, "5 interrupted\n", "{run}");
    assert!(run.path("failed").exists(), "{run}");
}

/// The samples of a text, by name and labels; fails where it is not what a collector takes.
fn samples(text: &str) -> Vec<(String, f64)> {
    let sample = regex::Regex::new(
        r#"^(pgconvoy_[a-z_]+)(\{[a-z_]+="(?:[^"\\\n]|\\[\\"n])*"(?:,[a-z_]+="(?:[^"\\\n]|\\[\\"n])*")*\})? (\S+)$"#,
    )
    .expect("a pattern");
    let mut typed = "";
    let mut all = Vec::new();
    for line in text.lines() {
        if let Some(kind) = line.strip_prefix("# TYPE ") {
            typed = kind.split(' ').next().expect("a name");
        } else if !line.starts_with("# HELP ") {
            let parts = sample
                .captures(line)
                .unwrap_or_else(|| panic!("no sample: {line}"));
            assert_eq!(&parts[1], typed, "{line}");
            let labels = parts.get(2).map_or("", |labels| labels.as_str());
            let value = parts[3].parse().expect("a number");
            all.push((format!("{}{labels}", &parts[1]), value));
        }
    }
    let mut names: Vec<&String> = all.iter().map(|(name, _)| name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all.len(), "each once");
    all
}

#[test]
fn the_figures_of_a_run() {
    let mut run = recorded::stopped();
    let report = Report::from_events(&run.events);
    let text = metrics::text(&report, recorded::at(20_000));
    samples(&text);
    insta::assert_snapshot!("metrics_running", text);

    run = recorded::failed();
    let conclusion = conclude(&Report::from_events(&run.events), &Ending::Complete);
    let run = recorded::finished(run, conclusion.status, conclusion.sentence, None);
    let report = Report::from_events(&run.events);
    let text = metrics::text(&report, recorded::at(99_000));
    samples(&text);
    insta::assert_snapshot!("metrics_failed", text);
}

#[test]
fn a_hostile_name_breaks_no_line_of_the_figures() {
    let mut run = proven();
    if let What::RunStarted {
        source, run_dir, ..
    } = &mut run.events[0].what
    {
        "a\"} 1\nevil 2\\".clone_into(&mut source.database);
        "{x=\"\n".clone_into(run_dir);
    }
    let text = metrics::text(&Report::from_events(&run.events), recorded::at(0));
    assert!(
        samples(&text)
            .iter()
            .all(|(name, _)| name.starts_with("pgconvoy_"))
    );
}

#[tokio::test]
async fn the_file_is_whole_at_the_end_and_nothing_is_beside_it() {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("pgconvoy.prom");
    let ended = tell(dir.path(), &proven(), |options| {
        options.metrics_file = Some(file.clone());
    })
    .await;
    assert_eq!(ended, ExitStatus::Proven);
    let samples = samples(&fs::read_to_string(&file).expect("written"));
    let value = |wanted: &str| {
        samples
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| *value)
    };
    assert_eq!(value("pgconvoy_running"), Some(0.0));
    assert_eq!(value("pgconvoy_exit_status"), Some(0.0));
    assert_eq!(value("pgconvoy_verdict{verdict=\"proven\"}"), Some(1.0));
    assert_eq!(value("pgconvoy_verdict{verdict=\"failed\"}"), Some(0.0));
    assert_eq!(value("pgconvoy_tables{verdict=\"identical\"}"), Some(4.0));
    let left = fs::read_dir(dir.path()).expect("exists").count();
    assert_eq!(left, 2, "the run directory and the file");
}

#[tokio::test]
async fn a_file_that_cannot_be_written_makes_no_run_fail() {
    let dir = tempfile::tempdir().expect("a directory");
    let ended = tell(dir.path(), &proven(), |options| {
        options.metrics_file = Some(dir.path().join("no/such/place.prom"));
    })
    .await;
    assert_eq!(ended, ExitStatus::Proven);
}
