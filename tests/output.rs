//! What stands between a run and the world: the record that a run leaves, and the status that comes of it.

#[expect(
    dead_code,
    reason = "every test binary compiles all of this and uses a part"
)]
mod recorded;

use std::fs;
use std::path::Path;

use pgconvoy::cli::hooks::Hooks;
use pgconvoy::cli::output::{Output, OutputOptions};
use pgconvoy::event::{Emit as _, Event, What};
use pgconvoy::model::{ExitStatus, Verdict, VerifyLevel};
use pgconvoy::progress::{DisplayOptions, Size, Verbosity};
use pgconvoy::report::Ending;

fn output_into(run_dir: &Path) -> Output {
    Output::start(&OutputOptions {
        run_dir: run_dir.to_owned(),
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
    })
    .expect("the run directory is new")
}

fn emit_all(output: &Output, events: &[Event]) {
    let emitter = output.emitter();
    for event in events {
        if !matches!(event.what, What::RunFinished { .. }) {
            emitter.emit(event.what.clone());
        }
    }
}

#[tokio::test]
async fn a_proven_run_leaves_its_record_and_a_failed_one_its_statements() {
    let dir = tempfile::tempdir().expect("a directory");
    let proven = output_into(&dir.path().join("proven"));
    let run = recorded::verified(VerifyLevel::Content, Verdict::Identical, Verdict::Identical);
    emit_all(&proven, &run.events);
    assert_eq!(proven.finish(Ending::Complete).await, ExitStatus::Proven);
    let report = fs::read_to_string(dir.path().join("proven/report.json")).expect("a report");
    assert!(report.contains("\"status\": \"proven\""), "{report}");
    let page = fs::read_to_string(dir.path().join("proven/report.html")).expect("a page");
    assert!(page.contains("Proven"), "{page}");
    assert!(page.contains("Who worked when"), "{page}");

    let failed = output_into(&dir.path().join("failed"));
    emit_all(&failed, &recorded::failed().events);
    assert_eq!(failed.finish(Ending::Complete).await, ExitStatus::Failed);
    let record = fs::read_to_string(dir.path().join("failed/events.jsonl")).expect("a record");
    let events: Vec<Event> = record
        .lines()
        .map(|line| serde_json::from_str(line).expect("an event"))
        .collect();
    assert!(matches!(
        events.last().expect("events").what,
        What::RunFinished {
            status: ExitStatus::Failed,
            ..
        }
    ));
    let kept: Vec<_> = events
        .iter()
        .filter_map(|event| match &event.what {
            What::JobFailed { failure, .. } => Some(failure),
            _ => None,
        })
        .collect();
    assert!(!kept.is_empty());
    for failure in kept {
        let file = failure.file.as_ref().expect("it is kept");
        let script = fs::read_to_string(dir.path().join("failed").join(file)).expect("it exists");
        if let Some(statement) = &failure.statement {
            assert!(script.contains(statement.as_str()), "{script}");
        }
    }
}

/// A job that stands still says so twice a second; the record does not grow by that.
#[tokio::test]
async fn what_says_nothing_new_is_not_recorded_again_and_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("run");
    let output = output_into(&path);
    let run = recorded::verified(VerifyLevel::Content, Verdict::Identical, Verdict::Identical);
    let is_advance = |event: &Event| matches!(event.what, What::JobAdvanced { .. });
    let advances = run.events.iter().filter(|event| is_advance(event)).count();
    for event in &run.events {
        let times = if is_advance(event) { 20 } else { 1 };
        emit_all(&output, &vec![event.clone(); times]);
    }
    assert_eq!(output.finish(Ending::Complete).await, ExitStatus::Proven);
    let record = fs::read_to_string(path.join("events.jsonl")).expect("a record");
    assert!(advances > 0);
    assert_eq!(record.matches("\"job_advanced\"").count(), advances);
}

#[tokio::test]
async fn a_run_whose_report_cannot_be_written_is_not_proven() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("run");
    let output = output_into(&path);
    let run = recorded::verified(VerifyLevel::Content, Verdict::Identical, Verdict::Identical);
    emit_all(&output, &run.events);
    fs::remove_dir_all(&path).expect("removed under its feet");
    assert_eq!(output.finish(Ending::Complete).await, ExitStatus::Failed);
}

#[tokio::test]
async fn a_page_that_cannot_be_written_makes_no_run_fail() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("run");
    let output = output_into(&path);
    let run = recorded::verified(VerifyLevel::Content, Verdict::Identical, Verdict::Identical);
    emit_all(&output, &run.events);
    fs::create_dir(path.join("report.html")).expect("something is in its place");
    assert_eq!(output.finish(Ending::Complete).await, ExitStatus::Proven);
}
