//! What a run comes to: if its record is not whole, and, of a copy that is followed, before its end can be told.
//!
//! ```text
//!   keep ─► the ledger goes, a follow's state comes ─► the target follows ─► finish
//!     └── report.json as it is true until then            └── not_following
//! ```

use tokio::sync::oneshot;

use super::{Listener, Message, Output};
use crate::failure::{Failure, FailureKind};
use crate::model::{ExitStatus, run_command};
use crate::report::{Conclusion, Ending, conclude, go_on, json};

/// What the target does not do before it is told that it does.
const NOT_YET: &str = "the target does not follow the source yet";

impl Output {
    /// Of a copy that is to be followed: keeps the report as it is to be found if nothing comes after it, and says what the copy comes to.
    /// Nothing that is told afterwards adds to what is proven.
    pub(in crate::cli) async fn keep(&self) -> ExitStatus {
        let (reply, status) = oneshot::channel();
        // A listener that is gone gives no reply either.
        let _ = self.emitter.sender.send(Message::Keep(reply));
        status.await.unwrap_or(ExitStatus::Failed)
    }

    /// Concludes a run whose copy is what it was to be, and whose target does not follow.
    pub(in crate::cli) async fn not_following(
        self,
        failure: Failure,
        ledger_is_left: bool,
    ) -> ExitStatus {
        let failure = failure.while_doing(NOT_YET);
        let ending = Ending::NotFollowing {
            status: failure.status,
            why: failure.message.clone(),
            ledger_is_left,
        };
        self.end(ending, Some(failure)).await
    }
}

impl Listener {
    /// The report comes before the ledger goes. Whoever finds this one knows that the run has not come to its end.
    pub(super) fn keep(&mut self) -> ExitStatus {
        let copy = conclude(&self.report.clone().build(), &Ending::Complete);
        if self.trouble.is_none() && matches!(copy.status, ExitStatus::Proven | ExitStatus::Waived)
        {
            let ending = Ending::NotFollowing {
                status: ExitStatus::Interrupted,
                why: NOT_YET.to_owned(),
                ledger_is_left: true,
            };
            let so_far = conclude(&self.report.clone().build(), &ending);
            let report = self.report_with(&so_far);
            if let Err(error) = json::write(&report, &self.run_dir.report_path()) {
                let failure = Failure::from(error);
                self.cannot_write("report.json", &failure.details.join(": "));
            } else if let Err(error) = self.events.sync_all() {
                self.cannot_write("events.jsonl", &error.to_string());
            }
        }
        self.conclude(copy).status
    }

    /// What leads on from a failure. Of a resumption that was refused as it was asked for, and of a run that cannot go on, the failure says
    /// so itself: to ask for the same again leads nowhere. A run that was broken off can be gone on with, even if it had no plan yet: what
    /// is kept of it says what was asked for.
    pub(super) fn leading_on(
        &self,
        mut conclusion: Conclusion,
        failure: Option<&Failure>,
    ) -> Conclusion {
        let Some(failure) = failure else {
            return conclusion;
        };
        let report = self.report.so_far();
        let is_broken_off = failure.status == ExitStatus::Interrupted && !report.compares();
        match failure.kind {
            FailureKind::Usage if failure.status == ExitStatus::Usage && report.is_resumed() => {
                conclusion.next.clone_from(&failure.hint);
            }
            FailureKind::NotOurs => conclusion.next.clone_from(&failure.hint),
            _ if is_broken_off && conclusion.next.is_none() => {
                conclusion.next = Some(go_on(&report.run_dir));
            }
            _ => {}
        }
        conclusion
    }

    /// The conclusion, unless the record of the run is not whole: then nobody could check it later.
    pub(super) fn conclude(&self, conclusion: Conclusion) -> Conclusion {
        let Some(trouble) = &self.trouble else {
            return conclusion;
        };
        let report = self.report.clone().build();
        let compares = report.compares();
        let begins_anew =
            report.planned_tables.is_none() && report.emptying.is_none() && !report.is_resumed();
        let next = if begins_anew || compares {
            "Make room, or name a directory elsewhere with --run-dir, and begin again.".to_owned()
        } else {
            let dir = self.run_dir.path().display().to_string();
            let resume = run_command("resume", &dir);
            format!("Make room, then go on where it stopped: {resume}")
        };
        let left = if compares {
            "What was found is shown, but the record of this comparison is incomplete."
        } else {
            "What was committed stays, but the record of this run is incomplete."
        };
        let sentence = match conclusion.status {
            ExitStatus::Proven | ExitStatus::Waived => format!("Failed: {trouble}. {left}"),
            // Whatever else it came to is worth more than that.
            ExitStatus::Different | ExitStatus::NoGo | ExitStatus::Usage => return conclusion,
            ExitStatus::Failed | ExitStatus::Interrupted => conclusion.sentence,
        };
        Conclusion {
            status: ExitStatus::Failed,
            sentence,
            next: Some(next),
        }
    }
}
