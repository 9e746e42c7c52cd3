//! The tools, each a line of shell that can be typed by hand.
//!
//! What the lines name: `SOURCE` and `TARGET` are conninfos of the database `DATABASE`, `JOBS` is a number, `SCRATCH` an empty directory that
//! is removed afterwards, on the same disk as the servers' data, `COMPRESSION` is what `-Z` takes, `CHECKOUT` is where this
//! repository is. The newest client tools are first in `PATH`.

use std::process::{Command, Stdio};

use crate::options::Options;

/// One way to bring a database from one server to another, or a part of that way: into an archive, or out of one.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    pub name: &'static str,
    pub about: &'static str,
    /// For bash, which ends at the first command that fails.
    pub script: &'static str,
    /// What has to be done before, and is not measured.
    pub before: &'static str,
    /// What has to be done before source and target can be compared, and is not measured.
    pub after: &'static str,
    /// The tool that it is measured against.
    pub against: &'static str,
    /// Whether it is run if no tools are named.
    pub is_usual: bool,
    needs: Need,
}

/// What has to be there for a tool.
#[derive(Debug, Clone, Copy)]
enum Need {
    Nothing,
    Base,
    /// A command that succeeds where the tool can be run.
    Command(&'static [&'static str]),
}

const USUAL: Tool = Tool {
    name: "",
    about: "",
    script: "",
    before: "",
    after: "",
    against: STOCK,
    is_usual: true,
    needs: Need::Nothing,
};

/// The tool that most others are measured against.
const STOCK: &str = "stock";

/// An archive by the stock tool, in a directory.
const STOCK_DUMP: &str =
    r#"pg_dump -Fd -Z "$COMPRESSION" -j "$JOBS" -f "$SCRATCH/dump" -d "$SOURCE""#;

/// The stock tool takes it.
const STOCK_RESTORE: &str = r#"pg_restore -j "$JOBS" -d "$TARGET" "$SCRATCH/dump""#;

/// How long it will take, by the measured road.
const ASK_CHECK: &str = r#"pgconvoy check --source "$SOURCE" --target "$TARGET" -j "$JOBS" --json > "$SCRATCH/check.json""#;

/// The same, and how long it took just before. What `check` has written to measure the target is on disk before the rehearsal begins, as it is
/// before the move. The rehearsal's rows are still there when the move begins, and go first.
const REHEARSE: &str = r#"pgconvoy check --source "$SOURCE" --target "$TARGET" -j "$JOBS" --json > "$SCRATCH/check.json"
            psql -X -q -d "$TARGET" -c checkpoint
            sync
            pgconvoy rehearse --source "$SOURCE" --target "$TARGET" --run-dir "$SCRATCH/rehearsal" -j "$JOBS""#;

/// Half of the way: into an archive. Whether it holds everything is seen when it is restored.
const INTO_ARCHIVE: Tool = Tool {
    after: STOCK_RESTORE,
    against: "dump-stock",
    is_usual: false,
    ..USUAL
};

/// The other half. All restore what the stock tool has dumped.
const OUT_OF_ARCHIVE: Tool = Tool {
    before: STOCK_DUMP,
    against: "restore-stock",
    is_usual: false,
    ..USUAL
};

pub const TOOLS: [Tool; 17] = [
    Tool {
        name: "move",
        about: "pgconvoy move, proven by content (its default)",
        script: r#"pgconvoy move --source "$SOURCE" --target "$TARGET" --run-dir "$SCRATCH/run" -j "$JOBS""#,
        ..USUAL
    },
    Tool {
        name: "move-foretold",
        about: "move, and how right check and the display were about its time",
        script: r#"pgconvoy move --source "$SOURCE" --target "$TARGET" --run-dir "$SCRATCH/run" -j "$JOBS""#,
        before: ASK_CHECK,
        is_usual: false,
        ..USUAL
    },
    Tool {
        name: "move-measured",
        about: "move after a rehearsal, and how right that and the display were about its time",
        script: r#"pgconvoy move --source "$SOURCE" --target "$TARGET" --run-dir "$SCRATCH/run" -j "$JOBS" --baseline "$SCRATCH/rehearsal" --overwrite "$DATABASE""#,
        before: REHEARSE,
        is_usual: false,
        ..USUAL
    },
    Tool {
        name: "move-counts",
        about: "pgconvoy move --verify counts (not proven, which its exit status says)",
        script: r#"pgconvoy move --source "$SOURCE" --target "$TARGET" --run-dir "$SCRATCH/run" -j "$JOBS" --verify counts || [ $? -eq 6 ]"#,
        ..USUAL
    },
    Tool {
        name: "move-none",
        about: "pgconvoy move --verify none (the same)",
        script: r#"pgconvoy move --source "$SOURCE" --target "$TARGET" --run-dir "$SCRATCH/run" -j "$JOBS" --verify none || [ $? -eq 6 ]"#,
        ..USUAL
    },
    Tool {
        name: STOCK,
        about: "pg_dump -Fd -Z0, then pg_restore, in parallel both: unverified, no statistics",
        script: r#"pg_dump -Fd -Z0 -j "$JOBS" -f "$SCRATCH/dump" -d "$SOURCE"
            pg_restore -j "$JOBS" -d "$TARGET" "$SCRATCH/dump""#,
        ..USUAL
    },
    Tool {
        name: "stock-analyze",
        about: "stock, then vacuumdb --analyze-only",
        script: r#"pg_dump -Fd -Z0 -j "$JOBS" -f "$SCRATCH/dump" -d "$SOURCE"
            pg_restore -j "$JOBS" -d "$TARGET" "$SCRATCH/dump"
            vacuumdb --quiet --analyze-only -j "$JOBS" -d "$TARGET""#,
        ..USUAL
    },
    Tool {
        name: "pipe",
        about: "pg_dump | psql",
        script: r#"pg_dump -d "$SOURCE" | psql -X -q -v ON_ERROR_STOP=1 -o /dev/null -d "$TARGET""#,
        ..USUAL
    },
    Tool {
        name: "pgcopydb",
        about: "pgcopydb clone, whichever version is installed",
        script: r#"pgcopydb clone --source "$SOURCE" --target "$TARGET" --dir "$SCRATCH/pgcopydb" --table-jobs "$JOBS" --index-jobs "$JOBS""#,
        needs: Need::Command(&["pgcopydb", "--version"]),
        ..USUAL
    },
    Tool {
        name: "pgcopydb-compare",
        about: "pgcopydb clone, then pgcopydb compare data",
        script: r#"pgcopydb clone --source "$SOURCE" --target "$TARGET" --dir "$SCRATCH/pgcopydb" --table-jobs "$JOBS" --index-jobs "$JOBS"
            pgcopydb compare data --source "$SOURCE" --target "$TARGET" --dir "$SCRATCH/pgcopydb""#,
        needs: Need::Command(&["pgcopydb", "compare", "data", "--help"]),
        ..USUAL
    },
    Tool {
        name: "dump",
        about: "pgconvoy dump, proven by content; COMPRESSION=",
        script: r#"pgconvoy dump --source "$SOURCE" --archive "$SCRATCH/dump" -Z "$COMPRESSION" --run-dir "$SCRATCH/run" -j "$JOBS""#,
        ..INTO_ARCHIVE
    },
    Tool {
        name: "dump-stock",
        about: "pg_dump -Fd, in parallel: unverified",
        script: STOCK_DUMP,
        ..INTO_ARCHIVE
    },
    Tool {
        name: "restore",
        about: "pgconvoy restore of an archive by pg_dump, proven by content",
        script: r#"pgconvoy restore --archive "$SCRATCH/dump" --target "$TARGET" --run-dir "$SCRATCH/run" -j "$JOBS""#,
        ..OUT_OF_ARCHIVE
    },
    Tool {
        name: "restore-stock",
        about: "pg_restore of the same, in parallel: unverified, no statistics",
        script: STOCK_RESTORE,
        ..OUT_OF_ARCHIVE
    },
    Tool {
        name: "floor",
        about: "the same work by psql, rows straight from server to server: unverified, no large objects",
        script: r#""$CHECKOUT/benches/tools/floor""#,
        is_usual: false,
        ..USUAL
    },
    Tool {
        name: "floor-read",
        about: "floor, and every table read back from the target, into nothing",
        script: r#"READ_BACK=1 "$CHECKOUT/benches/tools/floor""#,
        is_usual: false,
        ..USUAL
    },
    Tool {
        name: "base",
        about: "move by another build of pgconvoy, BASE=path",
        script: r#""$BASE" move --source "$SOURCE" --target "$TARGET" --run-dir "$SCRATCH/run" -j "$JOBS""#,
        is_usual: false,
        needs: Need::Base,
        ..USUAL
    },
];

impl Tool {
    /// Why it cannot be run here, if it can't.
    pub fn missing(&self, options: &Options) -> Option<String> {
        match self.needs {
            Need::Nothing => None,
            Need::Base => options
                .base
                .is_none()
                .then(|| "no BASE=path is given".to_owned()),
            Need::Command(words) => {
                let output = Command::new(words[0])
                    .args(&words[1..])
                    .stdin(Stdio::null())
                    .output();
                match output {
                    Err(_) => Some(format!("{} is not installed", words[0])),
                    Ok(output) if output.status.success() => None,
                    Ok(_) => Some(format!("the installed {} has no {}", words[0], words[1])),
                }
            }
        }
    }
}
