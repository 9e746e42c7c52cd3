//! Lag and trouble, in sentences. Pure.

use std::collections::BTreeMap;

use super::facts::{SlotStanding, Worker};
use super::tables::Table;
use crate::model::{Bytes, QualifiedName};

/// Both ends of the direction in use.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Standing {
    /// The slot; `None` if it is gone.
    pub slot: Option<SlotStanding>,
    /// The subscription; `None` if it is gone.
    pub worker: Option<Worker>,
    /// Tables whose columns are not the same on both sides.
    pub changed: Vec<String>,
    /// The most WAL that the publisher may retain.
    pub limit: Option<Bytes>,
    /// A turn has begun that disables the subscription itself.
    pub hands_over: bool,
}

impl Standing {
    /// Whether the slot, or the WAL that it needs, is gone, and why.
    pub fn lost(&self) -> Option<&'static str> {
        match &self.slot {
            None => Some("it is not there any more"),
            Some(slot) if slot.wal_status == "lost" => {
                Some("the log that it needs was removed: max_slot_wal_keep_size")
            }
            Some(_) => None,
        }
    }

    /// Whether more WAL is retained than allowed.
    pub fn is_over_limit(&self) -> bool {
        let retained = self.slot.as_ref().map_or(0, |slot| slot.retained.0);
        self.limit.is_some_and(|limit| retained > limit.0)
    }

    /// Whether the other side is lost, or holds back more WAL than allowed.
    pub fn is_to_be_let_go(&self) -> bool {
        self.lost().is_some() || self.is_over_limit()
    }

    /// One line: how far behind it is, and how much WAL is retained.
    pub fn line(&self) -> String {
        let Some(slot) = &self.slot else {
            return "the slot is gone".to_owned();
        };
        let lag = slot
            .lag_s
            .map_or_else(String::new, |seconds| format!(", {seconds:.1} s"));
        let limit = self
            .limit
            .map_or_else(String::new, |limit| format!(" of at most {limit}"));
        format!(
            "{} behind{lag}; {} of the log kept{limit}",
            slot.behind, slot.retained
        )
    }

    /// What is wrong and what to do about it, in one sentence each.
    pub fn trouble(&self) -> Vec<String> {
        let mut found = Vec::new();
        if let Some(because) = self.lost() {
            found.push(format!(
                "the slot is lost: {because}. The other side can only be moved anew."
            ));
        }
        match &self.worker {
            None => found.push("the subscription is gone.".to_owned()),
            Some(worker) if !worker.enabled && self.hands_over => {}
            Some(worker) if !worker.enabled => found.push(
                "the subscription is disabled (by somebody, or by an error with disable_on_error): the subscriber's log says why."
                    .to_owned(),
            ),
            Some(worker) if !worker.running => {
                let times = match worker.errors {
                    0 => String::new(),
                    errors => format!(" (it has failed {errors} times)"),
                };
                found.push(format!(
                    "the apply worker does not run{times}: a row is in conflict with one that is there already, the schema differs, a table has \
                     no key and a column whose type has no equality, so that its rows are not found, or the publisher cannot be reached. The \
                     subscriber's log has the error whole; it goes on by itself once the cause is gone."
                ));
            }
            Some(_) => {}
        }
        if !self.changed.is_empty() {
            found.push(format!(
                "the columns of tables are not the same on both sides (replication carries no change of a schema): {}. Make the same change \
                 on the other side.",
                self.changed.join(", ")
            ));
        }
        if let (Some(slot), Some(limit)) = (&self.slot, self.limit) {
            if slot.retained > limit {
                found.push(format!(
                    "the log kept is more than may be: {} of {limit}.",
                    slot.retained
                ));
            } else if slot.retained.0.saturating_mul(2) > limit.0 {
                found.push(format!(
                    "the log kept is more than half of what may be: {} of {limit}.",
                    slot.retained
                ));
            }
        }
        found
    }
}

/// A worker seen not running this often in a row is not waited for: it restarts every few seconds.
const MOST_IDLE: u32 = 3;
/// Nor is one that fails this often meanwhile: a single failure may have been a lost connection.
const MOST_ERRORS: i64 = 2;

/// Whether a subscription may be expected to go on, for a caller that waits for it and looks every few seconds. A worker that
/// has lost its publisher is soon back; one that fails on a row fails again and again.
#[derive(Debug, Default)]
pub struct Hope {
    errors: i64,
    idle: u32,
}

impl Hope {
    /// Starts here: what made it fail before may be over.
    pub fn of(worker: Option<&Worker>) -> Self {
        Self {
            errors: worker.map_or(0, |worker| worker.errors),
            idle: 0,
        }
    }

    /// Takes in another look; returns whether it is in vain to wait any longer.
    pub fn is_vain(&mut self, worker: Option<&Worker>) -> bool {
        let runs = worker.is_some_and(|worker| worker.enabled && worker.running);
        self.idle = if runs { 0 } else { self.idle + 1 };
        let errors = worker.map_or(0, |worker| worker.errors - self.errors);
        self.idle >= MOST_IDLE || errors >= MOST_ERRORS
    }
}

/// Tables that are not on both sides, or whose columns differ.
pub fn changed_tables(one: &[Table], other: &[Table]) -> Vec<String> {
    let columns = |tables: &[Table]| -> BTreeMap<QualifiedName, String> {
        let pairs = tables
            .iter()
            .map(|table| (table.name.clone(), table.columns.clone()));
        pairs.collect()
    };
    let (one, other) = (columns(one), columns(other));
    let mut changed: Vec<String> = one
        .iter()
        .filter(|(name, columns)| other.get(*name) != Some(columns))
        .map(|(name, _)| name.shown())
        .collect();
    let new = other.keys().filter(|name| !one.contains_key(*name));
    changed.extend(new.map(QualifiedName::shown));
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(retained: u64, running: bool) -> Standing {
        Standing {
            slot: Some(SlotStanding {
                active: running,
                wal_status: "reserved".to_owned(),
                retained: Bytes(retained),
                behind: Bytes(0),
                lag_s: None,
            }),
            worker: Some(Worker {
                enabled: true,
                running,
                errors: 2,
                silent_s: None,
            }),
            changed: Vec::new(),
            limit: Some(Bytes(100)),
            hands_over: false,
        }
    }

    #[test]
    fn trouble_is_told_and_its_absence_is_not() {
        assert_eq!(standing(50, true).trouble(), [""; 0]);
        let told = standing(51, false).trouble();
        assert!(told[0].contains("it has failed 2 times"), "{told:?}");
        assert!(told[1].contains("more than half"), "{told:?}");
        assert!(!standing(100, true).is_over_limit() && standing(101, true).is_over_limit());
        let mut disabled = standing(1, true);
        disabled.worker.as_mut().expect("there is one").enabled = false;
        assert!(disabled.trouble()[0].contains("the subscription is disabled"));
        disabled.hands_over = true;
        assert_eq!(disabled.trouble(), [""; 0]);
        let gone = Standing::default().trouble();
        assert!(gone[0].contains("slot is lost") && gone[1].contains("subscription is gone"));
    }

    #[test]
    fn a_worker_that_fails_again_and_again_is_not_waited_for() {
        let worker = |running, errors| Worker {
            enabled: true,
            running,
            errors,
            silent_s: None,
        };
        let looks = |seen: &[(bool, i64)]| {
            let mut hope = Hope::of(Some(&worker(true, 7)));
            let vain = seen.iter();
            vain.map(|(running, errors)| hope.is_vain(Some(&worker(*running, *errors))))
                .collect::<Vec<bool>>()
        };
        // A lost connection, which comes back.
        assert_eq!(
            looks(&[(false, 8), (false, 8), (true, 8), (false, 8)]),
            [false; 4]
        );
        assert_eq!(looks(&[(true, 8), (true, 9)]), [false, true]);
        // Before 15, failures are not counted.
        assert_eq!(
            looks(&[(false, 7), (false, 7), (false, 7)]),
            [false, false, true]
        );
        let mut gone = Hope::of(None);
        let vain: Vec<bool> = (0..3).map(|_| gone.is_vain(None)).collect();
        assert_eq!(vain, [false, false, true]);
    }

    #[test]
    fn a_table_with_other_columns_is_named() {
        let table = |name: &str, columns: &str| Table {
            name: QualifiedName::new("public", name),
            is_logged: true,
            identity: "default".to_owned(),
            keys: crate::follow::Keys::default(),
            forced_rls: false,
            owner_bypasses_rls: false,
            scattered_below: None,
            columns: columns.to_owned(),
        };
        let one = [table("a", "1"), table("b", "1"), table("c", "1")];
        let other = [table("a", "1"), table("b", "2"), table("d", "1")];
        assert_eq!(
            changed_tables(&one, &other),
            ["public.b", "public.c", "public.d"]
        );
        assert_eq!(changed_tables(&one, &one), [""; 0]);
    }
}
