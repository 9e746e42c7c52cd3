//! For programs: every event as it is, one a line, on stdout.

use crate::event::Event;

use super::{Output, Writer};

/// Events as JSON lines.
pub struct Json {
    pub(super) output: Output,
}

impl Json {
    pub(super) fn new(stdout: Writer) -> Self {
        Self {
            output: Output::new(stdout),
        }
    }

    pub(super) fn event(&mut self, event: &Event) {
        match serde_json::to_string(event) {
            Ok(line) => self.output.line(&line),
            Err(error) => self.output.error = Some(error.into()),
        }
    }
}
