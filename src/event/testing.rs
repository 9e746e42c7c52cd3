//! Events for tests.

use super::What;
use crate::model::{Endpoint, RunCommand, VerifyLevel};

/// The start of a session with two workers, between sides that nothing is known of.
pub fn started(command: RunCommand, verify: VerifyLevel) -> What {
    let nothing = Endpoint::archive(String::new(), String::new());
    What::RunStarted {
        version: "1".to_owned(),
        command,
        source: nothing.clone(),
        target: nothing,
        jobs: 2,
        verify,
        run_dir: String::new(),
        narrowed_by: Vec::new(),
    }
}
