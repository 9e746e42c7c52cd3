//! What a resumed run may do to the target that it finds: anything at all only to the very one that it began with, and empty only what
//! it was emptying.
//!
//! ```text
//!   another server, or another database of that name ─► refused
//!   a ledger ─► begun: nothing is emptied any more
//!   none ─► told to empty it? ─┬─ its sign is up ─► it was at that: goes on
//!                              ├─ it holds nothing ─► goes on, and empties nothing
//!                              └─ no sign ─► refused, unless --overwrite names the database once more
//! ```
//!
//! Consent is to what was there when it was given. Days later somebody else may have filled the database, and be using it.

use super::inspect::Server;
use crate::catalog;
use crate::failure::Failure;
use crate::ledger::{self, Identity, Request};
use crate::model::{Endpoint, shell_word};

/// The target must be the one that the run began with. What earlier versions wrote down does not say which that was.
pub(super) fn refuse_another_target(
    request: &Request,
    found: &Identity,
    target: &Endpoint,
) -> Result<(), Failure> {
    let then = request.target_identity.as_ref();
    if then.is_none_or(|then| then.may_be(found)) {
        return Ok(());
    }
    Err(Failure::usage(
        format!(
            "{target} is not the target that the run began with (another server, or another database of that name)"
        ),
        "Nothing was touched. Point --target at the database that the run began with; to fill this one, start another run.",
    ))
}

/// Consent that is given now must be to what the run was begun for.
pub(super) fn refuse_new_consent(request: &Request, given: Option<&str>) -> Result<(), Failure> {
    if given.is_none() || request.overwrite.is_some() {
        return Ok(());
    }
    Err(Failure::usage(
        "the run was not started with --overwrite, so it empties nothing",
        "Leave --overwrite out, or start another run with it.",
    ))
}

/// A run that has begun empties nothing any more.
pub(super) fn refuse_late_consent(given: Option<&str>, target: &Endpoint) -> Result<(), Failure> {
    if given.is_none() {
        return Ok(());
    }
    Err(Failure::usage(
        format!("the run has already emptied {target} and begun to fill it"),
        "Leave --overwrite out to go on with it; to begin again, start another run.",
    ))
}

/// What of the target may go.
#[derive(Default)]
pub(super) struct MayGo {
    /// Everything in the database of this name (`--overwrite`).
    pub overwrite: Option<String>,
    /// What the archive has (`--clean`).
    pub clean: bool,
}

/// What may go for a run that has no ledger: nothing, if the run was not to empty anything, or if the target holds nothing; the look at
/// the target then refuses what comes there in between. An error if the run was to empty it, and others may be using it by now.
pub(super) async fn to_empty(
    target: &Server,
    request: &Request,
    given: Option<&str>,
) -> Result<MayGo, Failure> {
    let archive = request.archive.as_ref();
    let clean = archive.is_some_and(|archive| archive.clean);
    if let Some(given) = given {
        let overwrite = Some(given.to_owned());
        return Ok(MayGo { overwrite, clean });
    }
    if request.overwrite.is_none() && !clean {
        return Ok(MayGo::default());
    }
    if ledger::has_sign(&target.session, &request.run).await? {
        let overwrite = request.overwrite.clone();
        return Ok(MayGo { overwrite, clean });
    }
    if catalog::holdings(&target.session).await?.is_empty() {
        return Ok(MayGo::default());
    }
    let hint = match &request.overwrite {
        Some(name) => format!(
            "Nothing was touched. If everything that it holds now may go, give --overwrite {} again.",
            shell_word(name)
        ),
        None => format!(
            "Nothing was touched, and nothing of the run was done: start it again, with --clean {}.",
            shell_word(&request.target_database)
        ),
    };
    let endpoint = &target.endpoint;
    Err(Failure::usage(
        format!(
            "{endpoint} may be in use by now: the run was interrupted before it began to empty it, or the database has been taken over since"
        ),
        hint,
    ))
}
