//! What a watcher sees of a run: bars, lines, JSON, failures. Recorded runs are replayed and the output is reviewed.

#[expect(dead_code, reason = "the test of the report uses the rest")]
mod recorded;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use chrono::FixedOffset;
use pgconvoy::event::{AtWork, Bound, Event, Expected, ExpectedJob, Phase, PlannedJob, What};
use pgconvoy::model::{Bytes, JobId, Rows, Verdict, VerifyLevel};
use pgconvoy::progress::{
    Display, DisplayOptions, Estimate, Grounds, Size, Speed, State, Style, Verbosity,
    failure_lines, picture,
};
use proptest::prelude::*;
use recorded::{MB, Run, at};

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    fn text(&self) -> String {
        let bytes = self.0.lock().expect("is not poisoned").clone();
        String::from_utf8(bytes).expect("is UTF-8")
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("is not poisoned").extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Full;

impl Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn size() -> Size {
    Size {
        columns: 80,
        rows: 24,
    }
}

fn options() -> DisplayOptions {
    DisplayOptions {
        json: false,
        verbosity: Verbosity::Normal,
        color: false,
        stderr_is_terminal: false,
        size,
        zone: FixedOffset::east_opt(2 * 3600).expect("is a zone"),
    }
}

/// What goes to stdout and what to stderr.
fn replay(options: DisplayOptions, events: &[Event]) -> (String, String) {
    let (stdout, stderr) = (Buffer::default(), Buffer::default());
    let mut display = Display::choose(options, Box::new(stdout.clone()), Box::new(stderr.clone()));
    for event in events {
        display.event(event);
    }
    assert_eq!(display.write_error(), None);
    (stdout.text(), stderr.text())
}

fn state(run: &Run) -> State {
    let mut state = State::default();
    for event in &run.events {
        state.apply(event);
    }
    state
}

#[test]
fn plain_lines_tell_the_whole_story_on_stderr() {
    let mut run = recorded::failed();
    recorded::different(&mut run);
    recorded::unverified(&mut run);
    recorded::moved_on(&mut run);
    let (stdout, stderr) = replay(options(), &run.events);
    assert_eq!(stdout, "");
    insta::assert_snapshot!(stderr);
}

/// What a session that is stopped tells, and the one that goes on after it.
#[test]
fn a_session_that_stops_and_one_that_goes_on() {
    let run = recorded::resumed();
    let told = run
        .events
        .iter()
        .position(|event| matches!(event.what, What::JobRetried { .. }));
    let since = &run.events[told.expect("is there")..];
    let options = DisplayOptions {
        verbosity: Verbosity::Verbose,
        ..options()
    };
    let mut events = recorded::under_way().events;
    let before = replay(options, &events).1;
    events.extend_from_slice(since);
    let (_, whole) = replay(options, &events);
    insta::assert_snapshot!(whole.strip_prefix(&*before).expect("goes on"));
    let look = |run: &Run| picture(&state(run), size(), Style { color: false }).join("\n");
    insta::assert_snapshot!("picture_of_a_stop", look(&recorded::stopped()));
    insta::assert_snapshot!("picture_of_a_resumed_run", look(&run));
    assert_eq!(state(&recorded::stopped()).retries, 1);
    assert_eq!(
        state(&run).retries,
        0,
        "a later session tells everything anew"
    );
}

#[test]
fn verbose_names_each_job_and_quiet_only_what_went_wrong() {
    let run = recorded::failed();
    let (_, verbose) = replay(
        DisplayOptions {
            verbosity: Verbosity::Verbose,
            ..options()
        },
        &run.events,
    );
    assert!(verbose.contains("done: copy public.accounts · 902,110 rows · 290.0 MB · 8.9 s"));
    assert!(verbose.contains("skipped: verify public.statuses, because of foreign key"));
    let (_, quiet) = replay(
        DisplayOptions {
            verbosity: Verbosity::Quiet,
            stderr_is_terminal: true,
            ..options()
        },
        &run.events,
    );
    assert!(
        quiet.starts_with("14:00:21  failed: foreign key fk_statuses_account\n"),
        "{quiet}"
    );
    assert!(!quiet.contains("copying"), "{quiet}");
}

#[test]
fn json_is_every_event_on_stdout_and_nothing_else() {
    let mut run = recorded::failed();
    recorded::different(&mut run);
    let (stdout, stderr) = replay(
        DisplayOptions {
            json: true,
            stderr_is_terminal: true,
            ..options()
        },
        &run.events,
    );
    assert_eq!(stderr, "");
    let events: Vec<Event> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("is an event"))
        .collect();
    assert_eq!(events, run.events);
}

#[test]
fn the_picture_fits_its_terminal() {
    let state = state(&recorded::under_way());
    for (columns, rows) in [(80, 24), (200, 50), (40, 24), (80, 9)] {
        let lines = picture(&state, Size { columns, rows }, Style { color: false });
        assert!(lines.len() < usize::from(rows));
        for line in &lines {
            assert!(line.chars().count() < usize::from(columns), "{line}");
        }
        insta::assert_snapshot!(format!("picture_{columns}x{rows}"), lines.join("\n"));
    }
}

#[test]
fn the_picture_of_the_end_has_no_full_bar_for_what_was_lost() {
    let state = state(&recorded::failed());
    let lines = picture(&state, size(), Style { color: false });
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_comparison_tells_what_is_read_and_says_nothing_of_copying() {
    let mut run = recorded::comparison::different();
    recorded::moved_on(&mut run);
    let (stdout, stderr) = replay(options(), &run.events);
    assert_eq!(stdout, "");
    for word in ["cop", "move"] {
        assert!(!stderr.contains(word), "{word}: {stderr}");
    }
    // What differs stands in the report, in order; said here, it would be said twice.
    assert!(!stderr.contains("differs"), "{stderr}");
    insta::assert_snapshot!("comparison_plain", stderr);

    let reading = state(&recorded::comparison::under_way(VerifyLevel::Content));
    assert!(matches!(reading.estimate(), Estimate::Left(_)));
    let lines = picture(&reading, size(), Style { color: false });
    insta::assert_snapshot!("comparison_picture", lines.join("\n"));
    let read = state(&recorded::comparison::same());
    let lines = picture(&read, size(), Style { color: false });
    insta::assert_snapshot!("comparison_picture_at_the_end", lines.join("\n"));
}

/// What a terminal of 80 columns shows after these bytes; it knows the few sequences that are used.
fn screen(bytes: &str) -> String {
    let mut lines: Vec<Vec<char>> = vec![Vec::new()];
    let (mut row, mut column) = (0_usize, 0_usize);
    let mut chars = bytes.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\x1b' => {
                chars.next();
                let mut digits = String::new();
                while let Some(digit) = chars.next_if(|c| c.is_ascii_digit() || *c == ';') {
                    digits.push(digit);
                }
                let number = digits.parse().unwrap_or(1);
                match chars.next() {
                    Some('A') => row -= number,
                    Some('B') => row += number,
                    Some('K') => lines[row].truncate(column),
                    Some('J') => {
                        lines[row].truncate(column);
                        lines.truncate(row + 1);
                    }
                    Some('m') => {}
                    other => panic!("unknown sequence {digits}{other:?}"),
                }
            }
            '\r' => column = 0,
            '\n' => (row, column) = (row + 1, 0),
            '\t' => column = (column / 8 + 1) * 8,
            _ => {
                if column >= 80 {
                    (row, column) = (row + 1, 0);
                    lines.resize(lines.len().max(row + 1), Vec::new());
                }
                let length = lines[row].len().max(column + 1);
                lines[row].resize(length, ' ');
                lines[row][column] = char;
                column += 1;
            }
        }
        lines.resize(lines.len().max(row + 1), Vec::new());
    }
    let lines = lines.iter().map(|line| line.iter().collect::<String>());
    let trimmed: Vec<String> = lines.map(|line| line.trim_end().to_owned()).collect();
    trimmed.join("\n")
}

#[test]
fn on_a_terminal_bars_stay_below_what_lasts_and_are_taken_down() {
    let stderr = Buffer::default();
    let options = DisplayOptions {
        stderr_is_terminal: true,
        color: true,
        ..options()
    };
    let mut display = Display::choose(options, Box::new(Full), Box::new(stderr.clone()));
    let mut with_bars = String::new();
    for event in &recorded::failed().events {
        if matches!(event.what, What::JobFailed { .. } | What::SnapshotReleased) {
            // A picture is drawn now, so that there is one to be taken away and put back.
            std::thread::sleep(std::time::Duration::from_millis(150));
            display.tick(event.at);
            with_bars = screen(&stderr.text());
        }
        display.event(event);
    }
    assert_eq!(
        with_bars.matches("copying       ██").count(),
        1,
        "{with_bars}"
    );
    assert_eq!(display.write_error(), None);
    display.clear();
    assert!(stderr.text().contains("\x1b[1;31mfailed:\x1b[0m"));
    let after = screen(&stderr.text());
    assert!(!after.contains('█'), "{after}");
    insta::assert_snapshot!(after);
}

#[test]
fn a_failure_is_shown_whole() {
    let lines = failure_lines(
        "foreign key fk_statuses_account",
        &recorded::failure(),
        "run",
        Style { color: false },
    );
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_full_disk_or_closed_pipe_does_not_stop_the_run() {
    for json in [true, false] {
        let options = DisplayOptions { json, ..options() };
        let mut display = Display::choose(options, Box::new(Full), Box::new(Full));
        for event in &recorded::under_way().events {
            display.event(event);
        }
        let error = display.write_error().expect("nothing can be written");
        assert!(error.contains("storage"), "{error}");
    }
}

#[test]
fn no_time_is_named_before_there_is_evidence() {
    let mut run = Run::begin(VerifyLevel::Content);
    assert_eq!(state(&run).estimate(), Estimate::None);
    recorded::plan(&mut run);
    assert_eq!(state(&run).estimate(), Estimate::Estimating);
    run.start(1).start(2).start(3);
    run.wait(2000).advance(1, 1, 20 * MB);
    assert_eq!(state(&run).estimate(), Estimate::Estimating);
    run.wait(2000).advance(1, 1, 40 * MB);
    assert!(matches!(state(&run).estimate(), Estimate::Left(_)));
}

/// 1,000 jobs of equal size on four workers: half-way through, the other half is to come.
#[test]
fn the_estimate_is_right_where_the_future_is_like_the_past() {
    let mut run = Run::begin(VerifyLevel::None);
    let jobs = (0..1000).map(|id| PlannedJob {
        id: JobId(id),
        phase: Phase::Data,
        label: format!("copy {id}"),
        bytes: Bytes(MB),
        rows: Rows(1),
    });
    run.push(What::Planned {
        jobs: jobs.collect(),
        tables: 1000,
        bytes: Bytes(1000 * MB),
    });
    for round in 0..125 {
        for worker in 0..4 {
            run.start(round * 4 + worker);
        }
        run.wait(100);
        for worker in 0..4 {
            run.finish(round * 4 + worker, 1, MB, 100);
        }
    }
    let state = state(&run);
    let Estimate::Left(ms) = state.estimate() else {
        panic!("no estimate");
    };
    assert!(
        (12_000..13_000).contains(&ms),
        "{ms} ms; 12,500 would be exact"
    );
    let rate = rate(&state) / MB as f64;
    assert!(
        (36.0..44.0).contains(&rate),
        "{rate} MB/s; 40 would be exact"
    );
}

fn rate(state: &State) -> f64 {
    match state.speed() {
        Some(Speed::PerSecond(bytes)) => bytes,
        other => panic!("no rate: {other:?}"),
    }
}

#[test]
fn a_stalled_run_shows_a_sinking_rate_and_then_for_how_long() {
    let mut state = state(&recorded::under_way());
    let before = rate(&state);
    state.tick(at(10_000));
    assert!(rate(&state) < before);
    for second in 11..60 {
        state.tick(at(second * 1000));
    }
    assert!(
        matches!(state.speed(), Some(Speed::Still(45_000..))),
        "{:?}",
        state.speed()
    );
}

/// An hour less on the clock is no hour in which nothing happens, nor one that a job has taken.
#[test]
fn a_clock_that_is_set_back_stops_nothing() {
    let mut state = state(&recorded::under_way());
    let now = state.now().expect("it has begun");
    let (elapsed, before) = (state.elapsed_ms(), rate(&state));
    let back = now - chrono::TimeDelta::hours(1);
    state.tick(back);
    assert_eq!((state.now(), state.elapsed_ms()), (Some(back), elapsed));
    state.tick(back + chrono::TimeDelta::seconds(2));
    assert_eq!(state.elapsed_ms(), elapsed + 2000);
    assert!(rate(&state) < before, "nothing has come since");
    for job in state.running() {
        assert!(state.running_ms(job) <= state.elapsed_ms());
    }
    // A little disorder is none.
    state.tick(back);
    assert_eq!(state.elapsed_ms(), elapsed + 2000);
}

#[test]
fn a_hundred_thousand_jobs_are_folded_quickly() {
    let mut run = Run::begin(VerifyLevel::None);
    let jobs = (0..100_000).map(|id| PlannedJob {
        id: JobId(id),
        phase: Phase::Data,
        label: format!("copy {id}"),
        bytes: Bytes(MB),
        rows: Rows(1),
    });
    run.push(What::Planned {
        jobs: jobs.collect(),
        tables: 1,
        bytes: Bytes(MB),
    });
    for id in 0..100_000 {
        run.start(id).wait(10).finish(id, 1, MB, 10);
    }
    let began = std::time::Instant::now();
    let (_, stderr) = replay(options(), &run.events);
    assert!(stderr.contains("copied 97.7 GB"), "{stderr}");
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
}

proptest! {
    /// Any part of a record, in any order: displays are shown what there is.
    #[test]
    fn no_order_of_events_makes_a_display_panic(
        picks in prop::collection::vec(any::<prop::sample::Index>(), 0..80),
        columns in 0_u16..200,
        rows in 0_u16..60,
    ) {
        let mut whole = recorded::failed();
        recorded::different(&mut whole);
        recorded::moved_on(&mut whole);
        whole.verdict("x", 1, 1, Verdict::NotVerified);
        let mut state = State::default();
        for pick in picks {
            let event = pick.get(&whole.events);
            state.apply(event);
            let _ = picture(&state, Size { columns, rows }, Style { color: true });
            let _ = pgconvoy::progress::plain_line(&state);
            for (_, progress) in state.phases() {
                prop_assert!(progress.done <= progress.bytes);
            }
        }
    }
}

/// The plan of the recorded runs, of which every job is to take ten seconds, and all of it half a minute with four workers.
fn measured(window_ms: Option<u64>) -> Run {
    expecting(Some("rehearsal"), window_ms)
}

fn expecting(by: Option<&str>, window_ms: Option<u64>) -> Run {
    let mut run = Run::begin(VerifyLevel::Content);
    recorded::plan(&mut run);
    let job = |number| ExpectedJob {
        job: JobId(number),
        duration_ms: 10_000,
        then_ms: 0,
    };
    run.push(What::Expected(Box::new(Expected {
        by: by.map(str::to_owned),
        baseline: by.map(|_| "pgconvoy-20260918-120000".to_owned()),
        total_ms: Some(30_000),
        after_ms: 0,
        window_ms,
        jobs: (0..=10).map(job).collect(),
    })));
    run
}

fn left(run: &Run) -> String {
    let line = pgconvoy::progress::plain_line(&state(run)).expect("there is a plan");
    let left = line
        .split(" · ")
        .skip_while(|part| !part.ends_with(" in all"));
    left.collect::<Vec<_>>().join(" · ")
}

#[test]
fn an_earlier_run_tells_the_time_left() {
    let mut run = measured(Some(60_000));
    // It knows before anything has been done.
    assert_eq!(
        left(&run),
        "0% in all · about 30 s left (rehearsal: about 30 s) · within the window by 30 s"
    );
    run.start(0).wait(10_000).finish(0, 0, 0, 10_000);
    run.start(1).start(2).wait(10_000);
    run.finish(1, 0, 0, 10_000).finish(2, 0, 0, 10_000);
    // As then: three of eleven jobs in 20 s.
    assert_eq!(
        left(&run),
        "27% in all · about 20 s left (rehearsal: about 20 s) · within the window by 20 s"
    );
    // What takes three times as long makes what is like it take longer, too.
    run.start(3).start(4).wait(30_000);
    run.finish(3, 0, 0, 30_000).finish(4, 0, 0, 30_000);
    assert_eq!(
        left(&run),
        "45% in all · about 25 s left (rehearsal: about 15 s) · BEYOND THE WINDOW by 10 s"
    );
    let (_, stderr) = replay(options(), &run.events);
    insta::assert_snapshot!(stderr);
}

/// The jobs of a schema come one after the other, and what comes after the last job is there until it is.
#[test]
fn what_is_not_shared_by_the_workers_is_left_to_the_end() {
    let left_with = |after_ms| {
        let mut run = Run::begin(VerifyLevel::Content);
        recorded::plan(&mut run);
        let job = |number| ExpectedJob {
            job: JobId(number),
            duration_ms: 10_000,
            then_ms: 0,
        };
        run.push(What::Expected(Box::new(Expected {
            by: Some("rehearsal".to_owned()),
            total_ms: Some(45_000),
            after_ms,
            jobs: (0..=10).map(job).collect(),
            ..Expected::default()
        })));
        let mut left = Vec::new();
        for number in 0..=9 {
            if let Estimate::Left(ms) = state(&run).estimate() {
                left.push(ms / 1000);
            }
            run.start(number).wait(10_000).finish(number, 0, 0, 10_000);
        }
        left
    };
    // The schema is a tenth of the work, and ten of 35 seconds of it.
    assert_eq!(left_with(10_000)[..3], [45, 35, 32]);
    // Two of ten seconds each are left, at once, and what comes after them.
    assert_eq!(left_with(10_000).last(), Some(&20));
    assert_eq!(left_with(0)[..2], [45, 32]);
}

/// Jobs that wait for each other keep one worker busy, however many there are.
#[test]
fn a_chain_of_jobs_is_not_shared_by_the_workers() {
    let mut run = Run::begin(VerifyLevel::Content);
    recorded::plan(&mut run);
    // The last three wait for each other.
    let job = |number: u32| ExpectedJob {
        job: JobId(number),
        duration_ms: 10_000,
        then_ms: u64::from(10 - number.max(8)) * 10_000,
    };
    run.push(What::Expected(Box::new(Expected {
        by: Some("rehearsal".to_owned()),
        total_ms: Some(35_000),
        jobs: (0..=10).map(job).collect(),
        ..Expected::default()
    })));
    for number in 0..8 {
        run.start(number);
    }
    run.wait(10_000);
    for number in 0..8 {
        run.finish(number, 0, 0, 10_000);
    }
    assert_eq!(state(&run).estimate(), Estimate::Left(30_000));
    run.start(8).wait(4_000);
    run.push(What::StepStarted {
        step: "waiting".to_owned(),
    });
    assert_eq!(state(&run).estimate(), Estimate::Left(26_000));
}

#[test]
fn a_window_alone_is_told_of_as_well() {
    let mut run = recorded::under_way();
    let window = Expected {
        window_ms: Some(3_600_000),
        ..Expected::default()
    };
    run.push(What::Expected(Box::new(window)));
    let line = pgconvoy::progress::plain_line(&state(&run)).expect("there is a plan");
    assert!(line.contains(" left · within the window by "), "{line}");
    assert!(
        !line.contains("in all") && !line.contains("rehearsal"),
        "{line}"
    );
}

/// Without an earlier run there are the rates of the plan, which say nothing until it is seen how far they are off.
#[test]
fn rough_rates_tell_the_time_left_once_they_are_corrected() {
    let mut run = expecting(None, None);
    run.start(0);
    assert_eq!(state(&run).estimate(), Estimate::Estimating);
    run.wait(30_000).finish(0, 0, 0, 30_000);
    // Ten jobs of ten seconds, each of which takes three times as long, by four workers, who waited for the schema.
    match state(&run).estimate() {
        Estimate::Left(ms) => assert!((58_000..66_000).contains(&ms), "{ms}"),
        other => panic!("{other:?}"),
    }
    let line = pgconvoy::progress::plain_line(&state(&run)).expect("there is a plan");
    assert!(line.contains("9% in all"), "{line}");
    // That is no reason to warn of a job.
    let (_, stderr) = replay(options(), &run.events);
    assert!(!stderr.contains("times as long"), "{stderr}");
}

/// What matters most is seen on a narrow screen as well.
#[test]
fn on_80_columns_the_window_and_what_failed_are_seen() {
    let mut run = expecting(Some("earlier restore"), Some(1_800_000));
    run.start(0).wait(2_467_000).finish(0, 0, 0, 2_467_000);
    run.push(What::JobFailed {
        job: JobId(7),
        failure: recorded::failure().into(),
    });
    run.start(1);
    let lines = picture(&state(&run), size(), Style { color: false });
    for (line, part) in lines.iter().zip(lines.iter().skip(1)) {
        assert!(line.chars().count() < 80 && part.chars().count() < 80);
    }
    let drawn = lines.join("\n");
    for seen in ["1 failed", "BEYOND THE WINDOW by ", "(earlier restore: "] {
        assert!(drawn.contains(seen), "{seen}: {drawn}");
    }
    insta::assert_snapshot!(drawn);
}

/// A job that goes on and on is not over, and one that is expected of nobody does no harm.
#[test]
fn what_outlives_its_time_is_still_to_come() {
    let mut run = measured(None);
    for job in 0..=9 {
        run.start(job).wait(10_000).finish(job, 0, 0, 10_000);
    }
    run.start(10).wait(60_000);
    run.push(What::StepStarted {
        step: "waiting".to_owned(),
    });
    let drawn = picture(&state(&run), size(), Style { color: false }).join("\n");
    assert!(drawn.contains("6.0 × the rehearsal"), "{drawn}");
    match state(&run).estimate() {
        Estimate::Left(ms) => assert!((6_000..10_000).contains(&ms), "{ms}"),
        other => panic!("{other:?}"),
    }
    // Two hours later it is no nearer to its end than it has shown.
    run.wait(7_200_000);
    run.push(What::StepStarted {
        step: "waiting".to_owned(),
    });
    assert_eq!(
        left(&run),
        "99% in all · about 13 min left (rehearsal: a few seconds)"
    );
    let mut strange = measured(None);
    strange.push(What::Expected(Box::new(Expected {
        total_ms: Some(0),
        jobs: vec![ExpectedJob {
            job: JobId(99),
            duration_ms: u64::MAX,
            then_ms: u64::MAX,
        }],
        ..Expected::default()
    })));
    strange.start(0).wait(10).finish(0, 0, 0, 10);
    let _ = state(&strange).outlook();
}

/// What costs nothing by all that is known may take an hour all the same: as long as it does, not all is done.
#[test]
fn it_is_not_all_done_while_a_job_is_left() {
    for (each_ms, percent) in [(10_000, "99%"), (1, "90%")] {
        let mut run = Run::begin(VerifyLevel::Content);
        recorded::plan(&mut run);
        let job = |number| ExpectedJob {
            job: JobId(number),
            duration_ms: if number < 9 { each_ms } else { 0 },
            then_ms: 0,
        };
        run.push(What::Expected(Box::new(Expected {
            total_ms: Some(9 * each_ms),
            jobs: (0..=10).map(job).collect(),
            ..Expected::default()
        })));
        for number in 0..9 {
            run.start(number).wait(10_000).finish(number, 0, 0, 10_000);
        }
        run.start(9).wait(3_600_000);
        run.push(What::StepStarted {
            step: "waiting".to_owned(),
        });
        let said = left(&run);
        assert!(said.starts_with(&format!("{percent} in all · ")), "{said}");
        // Nor while one is that nobody has begun.
        run.finish(9, 0, 0, 3_600_000);
        let done = |run: &Run| state(run).outlook().and_then(|outlook| outlook.done);
        assert!(done(&run).is_some_and(|done| done < 1.0));
        run.start(10).finish(10, 0, 0, 0);
        assert!(done(&run).is_some_and(|done| done >= 1.0));
    }
}

/// The key that seemed stalled. Its server works, and shows no progress: how far it may be is told by what is known, and that it is
/// not over.
#[test]
fn how_far_a_job_is_that_shows_no_progress_is_guessed() {
    let at_work = |run: &mut Run, seconds: i64| {
        let what = "the statement has been running for 35 s, and waits for I/O (DataFileRead)";
        run.wait(seconds * 1000);
        run.stands_still(7, what, AtWork::Unshown);
    };
    let said = |run: &Run| {
        let (_, stderr) = replay(options(), &run.events);
        let mut lines = stderr.lines().filter(|line| line.contains(" (target): "));
        let last = lines.next_back().expect("it is said").to_owned();
        last.split_once("; ").expect("and guessed").1.to_owned()
    };
    let mut by_rates = expecting(None, None);
    by_rates.start(7);
    at_work(&mut by_rates, 4);
    assert_eq!(
        said(&by_rates),
        "perhaps 40 %, by rough rates: do not cancel"
    );
    let mut measured = measured(None);
    measured.start(7);
    at_work(&mut measured, 4);
    assert_eq!(
        said(&measured),
        "about 40 %, by the rehearsal: do not cancel"
    );
    let before = match state(&measured).estimate() {
        Estimate::Left(ms) => ms,
        other => panic!("{other:?}"),
    };
    at_work(&mut measured, 31);
    assert_eq!(
        said(&measured),
        "longer than expected by the rehearsal (35.0 s, not about 10 s), and still running: do not cancel"
    );
    // What it shows of its kind is in the time left, although it has not ended: nothing has been done, and 31 s have passed.
    match state(&measured).estimate() {
        Estimate::Left(ms) => assert!(ms + 1000 > before, "{ms} of {before}"),
        other => panic!("{other:?}"),
    }
    let drawn = picture(
        &state(&measured),
        Size {
            columns: 200,
            rows: 50,
        },
        Style { color: false },
    );
    insta::assert_snapshot!(drawn.last().expect("the job"));

    // Who waits for somebody is neither guessed at nor taken as a measure.
    let mut locked = expecting(Some("rehearsal"), None);
    locked.start(7).wait(35_000);
    locked.stands_still(7, "waits for a lock", AtWork::Unknown);
    let state = state(&locked);
    let job = state.running().next().expect("it runs");
    assert_eq!(state.guess(job), None);
}

/// Of a copy that stands still no rate is shown that sinks to nothing, as if a little were coming: but for how long nothing has.
#[test]
fn a_copy_that_stands_still_has_no_pace() {
    let copying = |still_ms: i64| {
        let mut run = Run::begin(VerifyLevel::Content);
        recorded::plan(&mut run);
        run.start(1).bound(1, Bound::Target);
        for second in 1..=4 {
            run.wait(1000).advance(1, second * 10_000, second * 20 * MB);
        }
        let mut state = state(&run);
        state.tick(at(run.wait(300).now_ms));
        state.tick(at(run.wait(still_ms).now_ms));
        let drawn = picture(&state, size(), Style { color: false }).into_iter();
        let lines: Vec<String> = drawn.filter(|line| line.contains("cop")).collect();
        assert_eq!(lines.len(), 2, "the bar and the job: {lines:#?}");
        lines
    };
    for line in copying(2000) {
        assert!(line.contains("MB/s"), "{line}");
    }
    for line in copying(45_000) {
        assert!(line.contains(" · nothing for 45 s"), "{line}");
        assert!(!line.contains("B/s") && !line.contains("pace"), "{line}");
    }
}

/// What the jobs of its kind have taken in this run corrects what the plan says of it.
#[test]
fn a_guess_is_corrected_by_what_others_of_its_kind_took() {
    let mut run = expecting(None, None);
    run.start(5).wait(60_000).finish(5, 0, 0, 60_000);
    run.start(6).wait(29_000);
    run.stands_still(6, "the server works", AtWork::Unshown);
    let state = state(&run);
    let guess = state.guess(state.running().next().expect("it runs"));
    let guess = guess.expect("there is one");
    assert_eq!(guess.grounds, Grounds::Others);
    assert_eq!(guess.percent(), Some(45), "{guess:?}");
}

/// Rows that come four times as slowly as before, for more than a moment: that is said, once, and with whoever sets the pace now.
#[test]
fn another_pace_is_told_once() {
    let mut run = recorded::under_way();
    let told = |run: &Run| {
        let (_, stderr) = replay(options(), &run.events);
        let lines = stderr.lines().filter(|line| line.contains("copying s"));
        lines.map(|line| line[10..].to_owned()).collect::<Vec<_>>()
    };
    let mut moved = [180, 168];
    let mut on = |run: &mut Run, seconds: u64, mb: [u64; 2]| {
        for _ in 0..seconds {
            run.wait(1000);
            for (job, (moved, mb)) in moved.iter_mut().zip(mb).enumerate() {
                *moved += mb;
                let job = u32::try_from(job).expect("is small") + 1;
                run.advance(job, *moved * 5000, *moved * MB);
            }
        }
    };
    run.finish(3, 902_110, 301 * MB, 8900);
    on(&mut run, 20, [60, 40]);
    // A moment, in which nearly nothing comes.
    on(&mut run, 5, [1, 1]);
    on(&mut run, 15, [60, 40]);
    assert_eq!(told(&run), [""; 0]);
    run.bound(1, Bound::Target).bound(2, Bound::Target);
    on(&mut run, 30, [15, 10]);
    let slower = told(&run);
    assert_eq!(slower.len(), 1, "{slower:?}");
    assert!(
        slower[0].starts_with("copying slows down: ")
            && slower[0].ends_with(", then 25.0 MB/s; the target, or the way to it, sets the pace"),
        "{slower:?}"
    );
    // It stays like that; and then it is as before, which is a change again.
    on(&mut run, 60, [15, 10]);
    assert_eq!(told(&run), slower);
    run.bound(1, Bound::Nobody).bound(2, Bound::Client);
    on(&mut run, 40, [60, 40]);
    let faster = told(&run);
    assert_eq!(faster.len(), 2, "{faster:?}");
    assert!(
        faster[1].starts_with("copying speeds up: 2")
            && faster[1].ends_with(" MB/s, then 100.0 MB/s"),
        "{faster:?}"
    );
    // What stands still does not slow down: its server is asked why.
    run.wait(60_000);
    on(&mut run, 1, [1, 1]);
    assert_eq!(told(&run), faster);
}

/// Another table may have another pace: that is no change. A piece of the same table is.
#[test]
fn a_table_is_compared_with_itself() {
    let mut run = Run::begin(VerifyLevel::Content);
    let labels = ["copy public.a 1/2", "copy public.b", "copy public.a 2/2"];
    let jobs = (0..).zip(labels).map(|(id, label)| PlannedJob {
        id: JobId(id),
        phase: Phase::Data,
        label: label.to_owned(),
        bytes: Bytes(3000 * MB),
        rows: Rows(1),
    });
    run.push(What::Planned {
        jobs: jobs.collect(),
        tables: 2,
        bytes: Bytes(9000 * MB),
    });
    let copy = |run: &mut Run, job, mb_per_second| {
        run.start(job);
        for second in 1..=30 {
            run.wait(1000)
                .advance(job, second, second * mb_per_second * MB);
        }
        run.finish(job, 30, 30 * mb_per_second * MB, 30_000);
        let (_, stderr) = replay(options(), &run.events);
        stderr.contains("copying slows down: 100.0 MB/s, then 10.0 MB/s")
    };
    assert!(!copy(&mut run, 0, 100));
    assert!(!copy(&mut run, 1, 10));
    assert!(copy(&mut run, 2, 10));
}
