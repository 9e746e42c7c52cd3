//! The independent check after each run, with the source's facts collected once: nothing changes there.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::support::server::newest_tools;

/// Asks `tests/support/independent_check`.
#[derive(Debug)]
pub struct Check {
    source: String,
    target: String,
    /// What the first check has found out about the source.
    facts: TempDir,
    has_facts: bool,
}

impl Check {
    /// Of two databases, by their conninfos.
    pub fn new(source: String, target: String) -> Result<Self, String> {
        let facts = tempfile::Builder::new()
            .prefix("pgconvoy-bench-facts-")
            .tempdir()
            .map_err(|error| format!("a directory for the source's facts: {error}"))?;
        Ok(Self {
            source,
            target,
            facts,
            has_facts: false,
        })
    }

    /// Whether both are equal; what the check said, if they are not.
    pub fn ask(&mut self) -> Result<(), String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/independent_check");
        let option = if self.has_facts {
            "--source-from"
        } else {
            "--keep"
        };
        let output = Command::new(script)
            .arg(option)
            .arg(self.facts.path())
            .args([&self.source, &self.target])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("PGCONVOY_PG_BIN", newest_tools())
            .output()
            .map_err(|error| format!("the independent check: {error}"))?;
        // Equal or different: it has read both sides.
        self.has_facts |= matches!(output.status.code(), Some(0 | 1));
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        if output.status.success() && said.starts_with("EQUAL") {
            Ok(())
        } else {
            Err(said)
        }
    }
}
