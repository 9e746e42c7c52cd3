//! The last sentence of a sync: what was changed, and whether the target is proven to hold now what the source held.
//!
//! The proof is that of a comparison, and rests on the same evidence; a dry run that would change nothing is one.

use crate::model::{ExitStatus, QualifiedName, RunCommand, Synced};
use crate::progress::words;

use super::facts::{Facts, listed, stop_word};
use super::{Conclusion, Ending, Report, comparison, turned as turns};

impl Report {
    /// Whether it is about two servers that were compared, be it after one was brought to what the other holds.
    pub fn compares(&self) -> bool {
        self.command.compares()
    }

    /// Whether it is about a later session of a run.
    pub fn is_resumed(&self) -> bool {
        self.command == RunCommand::Resume
    }
}

/// What the end means for whoever has to decide; `None` for another command, and for an end that means the same for all.
pub(super) fn meaning(report: &Report) -> Option<&'static str> {
    if report.command.is_turn() {
        return meaning_of_turn(report);
    }
    if report.command != RunCommand::Sync {
        return None;
    }
    Some(match (report.status?, committed(report)) {
        (ExitStatus::Different, Some(false)) => "Nothing was changed: this was a dry run.",
        (ExitStatus::Interrupted | ExitStatus::Failed, None) => {
            "The target is either unchanged or fully changed, and neither is proven: run the same again."
        }
        (ExitStatus::Interrupted | ExitStatus::Failed, Some(_)) => {
            "What differed is changed, but not all of it is proven; run the same again."
        }
        _ => return None,
    })
}

/// The same for a turn from one side to the other.
fn meaning_of_turn(report: &Report) -> Option<&'static str> {
    Some(match report.status? {
        ExitStatus::Proven => {
            "The side that took over held what the other one held while nobody could write, and is in service."
        }
        ExitStatus::Waived
            if report
                .synced
                .as_ref()
                .is_some_and(|one| !one.overruled.is_empty()) =>
        {
            "The side that took over is in service. Rows that somebody had written to it while it was closed, or that replication had not \
             carried, were changed or deleted there: decide whether what is listed as such matters."
        }
        ExitStatus::Waived => {
            "The side that took over is in service; not everything was to be compared: decide whether what is listed as such matters."
        }
        ExitStatus::Different | ExitStatus::Failed | ExitStatus::Interrupted => {
            "pgconvoy status --target says which side is in service, and what comes next."
        }
        ExitStatus::NoGo | ExitStatus::Usage => return None,
    })
}

fn committed(report: &Report) -> Option<bool> {
    report.synced.as_ref().map(|synced| synced.committed)
}

/// Concludes from a report of everything but the last event.
pub(super) fn conclude(facts: &Facts<'_>, ending: &Ending) -> Conclusion {
    let synced = facts.report.synced.as_ref();
    if let Ending::Stopped { status, why } = ending {
        return stopped(facts.report, *status, why);
    }
    if let Some(concluded) = turns::conclude_rest(facts) {
        return concluded;
    }
    let proof = comparison::conclude(facts, ending);
    let Some(synced) = synced else {
        return Conclusion {
            status: ExitStatus::Failed,
            sentence: "Nothing is proven: the run never said what it changed.".to_owned(),
            next: None,
        };
    };
    if !synced.committed && !synced.is_nothing() {
        return would_change(facts, synced);
    }
    let next = match proof.status {
        ExitStatus::Different if facts.report.command.is_turn() => {
            turns::after_difference(facts.report)
        }
        ExitStatus::Different => Some(format!(
            "Run the same again: whatever was written to the target since is taken for a difference. If a difference remains, see what \
             differs in {}, and let pgconvoy verify --repair FILE write the SQL for it.",
            facts.in_run_dir("report.json")
        )),
        ExitStatus::Proven | ExitStatus::Waived => turned(facts.report).or(proof.next),
        _ => proof.next,
    };
    let concluded = Conclusion {
        sentence: format!("{} {}", done(synced), proof.sentence),
        next,
        ..proof
    };
    if synced.overruled.is_empty() {
        return concluded;
    }
    overruled(&synced.overruled, concluded)
}

/// Both sides hold the same in the end, and what one of them held is gone that nobody had reckoned with.
fn overruled(tables: &[QualifiedName], concluded: Conclusion) -> Conclusion {
    let names: Vec<String> = tables.iter().map(QualifiedName::shown).collect();
    Conclusion {
        status: match concluded.status {
            ExitStatus::Proven => ExitStatus::Waived,
            other => other,
        },
        sentence: format!(
            "{} Except for what was overruled: replication carries {}, and yet rows differed; those of the side that took over were changed or \
             deleted, and are named above, or were by an earlier attempt.",
            concluded.sentence,
            listed(&names)
        ),
        ..concluded
    }
}

/// What comes after a turn from one side to the other.
fn turned(report: &Report) -> Option<String> {
    let back = match report.command {
        RunCommand::Cutover => {
            "pgconvoy fallback switches back with everything that is written until then"
        }
        RunCommand::Fallback => "pgconvoy cutover switches over again",
        _ => return None,
    };
    let to = report.target.as_ref()?;
    Some(format!(
        "{to} is in service. Sessions that were opened before stay read-only: have applications reconnect. {back}; pgconvoy unfollow ends \
         the replication between the two."
    ))
}

/// `Changed: 12 rows inserted, 3 updated and 1 deleted in 2 tables; 1 sequence.`
fn done(synced: &Synced) -> String {
    if synced.is_nothing() {
        return "Nothing had to be changed.".to_owned();
    }
    format!("Changed: {}.", counted(synced))
}

fn counted(synced: &Synced) -> String {
    let mut parts = Vec::new();
    if !synced.tables.is_empty() {
        let [inserted, updated, deleted] = synced.rows();
        parts.push(format!(
            "{} inserted, {updated} updated and {deleted} deleted in {}",
            words::count(inserted.0, "row", "rows"),
            words::count(synced.tables.len() as u64, "table", "tables"),
        ));
    }
    for (count, one, many) in [
        (synced.sequences.len() as u64, "sequence", "sequences"),
        (synced.large_objects(), "large object", "large objects"),
        (
            synced.materialized_views.len() as u64,
            "materialized view",
            "materialized views",
        ),
    ] {
        if count > 0 {
            parts.push(words::count(count, one, many));
        }
    }
    parts.join("; ")
}

fn would_change(facts: &Facts<'_>, synced: &Synced) -> Conclusion {
    Conclusion {
        status: ExitStatus::Different,
        sentence: format!(
            "Dry run, nothing was changed. Would be changed: {}. {} the same already.",
            counted(synced),
            match facts.identical {
                0 => "No table is".to_owned(),
                count => format!(
                    "{} with {} {}",
                    words::count(count, "table", "tables"),
                    words::count(facts.identical_rows.0, "row", "rows"),
                    if count == 1 { "is" } else { "are" }
                ),
            }
        ),
        next: Some("To change it, run the same without --dry-run.".to_owned()),
    }
}

fn stopped(report: &Report, status: ExitStatus, why: &str) -> Conclusion {
    let why = why.trim_end_matches('.');
    let word = stop_word(status);
    let of_turn = turns::stopped(report);
    let (left, next) = of_turn.unwrap_or_else(|| match committed(report) {
        Some(true) => (
            " What differed is changed on the target and committed, and not yet proven.",
            "Run the same again: it finds nothing left to change, and proves it.",
        ),
        Some(false) => (" Nothing was changed.", "Run the same again."),
        // Why says it, if the end of a transaction is not known.
        None => (
            " Nothing is proven.",
            "When that is settled, run the same again: it starts over, and does what is left.",
        ),
    });
    Conclusion {
        // Whoever stops must not be told that all is well.
        status: match status {
            ExitStatus::Proven | ExitStatus::Waived => ExitStatus::Failed,
            other => other,
        },
        sentence: format!("{word}: {why}.{left}"),
        next: Some(next.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Bytes, Rows, SyncedTable};

    fn synced(committed: bool) -> Synced {
        Synced {
            committed,
            tables: vec![SyncedTable {
                table: QualifiedName::new("s", "t"),
                inserted: Rows(1),
                updated: Rows(2_000),
                deleted: Rows(0),
                anew: None,
                bytes: Bytes(9),
            }],
            sequences: vec![QualifiedName::new("s", "q")],
            ..Synced::default()
        }
    }

    fn concluded(synced: Option<Synced>, ending: &Ending) -> Conclusion {
        let report = Report {
            command: RunCommand::Sync,
            synced,
            ..Report::default()
        };
        conclude(&Facts::new(&report), ending)
    }

    #[test]
    fn what_was_overruled_is_named_and_takes_the_word_proven_away() {
        let proven = || Conclusion {
            status: ExitStatus::Proven,
            sentence: "Proven.".to_owned(),
            next: None,
        };
        let names = [QualifiedName::new("s", "k")];
        let concluded = overruled(&names, proven());
        assert_eq!(concluded.status, ExitStatus::Waived);
        assert!(
            concluded.sentence.contains("carries s.k, and yet"),
            "{}",
            concluded.sentence
        );
        let differs = Conclusion {
            status: ExitStatus::Different,
            ..proven()
        };
        assert_eq!(overruled(&names, differs).status, ExitStatus::Different);
    }

    #[test]
    fn nothing_is_called_proven_without_a_proof() {
        let changed = concluded(Some(synced(true)), &Ending::Complete);
        assert_ne!(changed.status, ExitStatus::Proven);
        assert!(
            changed.sentence.starts_with(
                "Changed: 1 row inserted, 2,000 updated and 0 deleted in 1 table; 1 sequence. "
            ),
            "{}",
            changed.sentence
        );
        assert_eq!(
            concluded(None, &Ending::Complete).status,
            ExitStatus::Failed
        );
    }

    #[test]
    fn a_dry_run_that_would_change_something_says_so_with_its_status() {
        let would = concluded(Some(synced(false)), &Ending::Complete);
        assert_eq!(would.status, ExitStatus::Different);
        assert!(would.sentence.starts_with("Dry run, nothing was changed."));
    }

    #[test]
    fn what_stops_it_is_told_with_what_has_become_of_the_target() {
        let ending = Ending::Stopped {
            status: ExitStatus::Interrupted,
            why: "interrupted by SIGINT".to_owned(),
        };
        let after = concluded(Some(synced(true)), &ending);
        assert!(after.sentence.contains("committed"), "{}", after.sentence);
        let before = concluded(None, &ending);
        assert_eq!(
            before.sentence,
            "Interrupted: interrupted by SIGINT. Nothing is proven."
        );
        assert_eq!(before.status, ExitStatus::Interrupted);
    }
}
