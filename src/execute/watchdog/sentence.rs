//! What a server says about one of our sessions, as a sentence. Pure.

use std::time::Duration;

use crate::catalog::Holder;
use crate::event::AtWork;
use crate::model::{QualifiedName, Rows, how_long};

/// What the server's process of a session is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Doing {
    /// `active`, `idle`, `idle in transaction`, …
    pub state: String,
    /// Type and name of what it waits for: `IO`, `DataFileRead`.
    pub wait: Option<(String, String)>,
    /// Since its statement began.
    pub seconds: u64,
    /// How far it is, where the server's version shows that for this kind of statement.
    pub progress: Option<Progress>,
    /// The locks that it waits for, one for each session that is in the way.
    pub locks: Vec<LockWait>,
    /// What it has used of a core since the last look, where that can be seen.
    pub used: Option<Used>,
}

/// CPU time of a process, user and system, within some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Used {
    pub cpu: Duration,
    pub within: Duration,
}

/// A row of one of the `pg_stat_progress_…` views.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Progress {
    pub phase: String,
    pub done: u64,
    /// 0: nobody knows.
    pub total: u64,
    /// `blocks`, `rows`.
    pub unit: String,
}

/// A lock that somebody else has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LockWait {
    /// `relation`, `transactionid`, …
    pub lock_type: String,
    pub mode: String,
    pub relation: Option<QualifiedName>,
    pub holder: Holder,
}

impl Doing {
    /// Whether the server has nothing to do but wait for us: then the other server is the one to be looked at.
    pub fn waits_for_us(&self) -> bool {
        self.state != "active" || matches!(&self.wait, Some((kind, _)) if kind == "Client")
    }

    /// Whether it is at work. Who waits for a disk or a core is; who waits for anything else is if it has used CPU time meanwhile.
    pub fn at_work(&self) -> AtWork {
        if self.waits_for_us() || !self.locks.is_empty() {
            return AtWork::Unknown;
        }
        let is_at_it = match self.wait.as_ref().map(|(kind, _)| kind.as_str()) {
            None | Some("IO" | "LWLock") => true,
            Some("Lock") => false,
            Some(_) => self.used.is_some_and(|used| !used.cpu.is_zero()),
        };
        match &self.progress {
            _ if !is_at_it => AtWork::Unknown,
            Some(progress) if !progress.is_all() => AtWork::Shown,
            _ => AtWork::Unshown,
        }
    }

    /// For a person.
    pub fn sentence(&self) -> String {
        if self.state.starts_with("idle") {
            return "the server has nothing to do: it waits for our next statement".to_owned();
        }
        if !self.locks.is_empty() {
            return locked(&self.locks);
        }
        let waits = match &self.wait {
            None => None,
            Some((kind, name)) => match (kind.as_str(), name.as_str()) {
                ("Client", "ClientRead") => Some("waits for more rows from us".to_owned()),
                ("Client", "ClientWrite") => Some("waits until we take more rows".to_owned()),
                ("IO", name) => Some(format!("waits for I/O ({name})")),
                // Between two looks, whoever held it went away.
                ("Lock", name) => Some(format!("waits for a lock ({name})")),
                (kind, name) => Some(format!("waits ({kind}: {name})")),
            },
        };
        match (&self.progress, waits) {
            (Some(progress), Some(waits)) => format!("{}, {waits}", far(progress)),
            (Some(progress), None) => far(progress),
            (None, Some(waits)) => format!(
                "the statement has been running for {}, and {waits}{}",
                how_long(self.seconds),
                self.used_words()
            ),
            (None, None) => format!(
                "the server has been working for {}; it shows no progress for this kind of statement{}",
                how_long(self.seconds),
                self.used_words()
            ),
        }
    }

    /// `; in the last 10 s it used 9.8 s of CPU time`.
    fn used_words(&self) -> String {
        let Some(Used { cpu, within }) = self.used else {
            return String::new();
        };
        let within = how_long(within.as_secs().max(1));
        if cpu.is_zero() {
            return format!("; in the last {within} it used no CPU time");
        }
        let seconds = cpu.as_secs_f64();
        format!("; in the last {within} it used {seconds:.1} s of CPU time")
    }
}

impl Progress {
    /// Whether all that is shown is done, and it goes on with what is not: building an index is followed by checking an exclusion
    /// constraint, and an estimate may be exceeded.
    fn is_all(&self) -> bool {
        self.total > 0 && self.done >= self.total
    }
}

/// `building index: scanning table, 43 % (12,000 of 28,000 blocks)`.
fn far(progress: &Progress) -> String {
    let Progress {
        phase,
        done,
        total,
        unit,
    } = progress;
    if *total == 0 {
        return if *done == 0 {
            phase.clone()
        } else {
            format!("{phase}, {} {unit} so far", Rows(*done))
        };
    }
    if progress.is_all() {
        return format!(
            "{phase}, all {} {unit}; what comes next is not shown",
            Rows(*done)
        );
    }
    let percent = u128::from(*done) * 100 / u128::from(*total);
    format!(
        "{phase}, {percent} % ({} of {} {unit})",
        Rows(*done),
        Rows(*total)
    )
}

fn locked(locks: &[LockWait]) -> String {
    let first = &locks[0];
    let mode = first.mode.trim_end_matches("Lock");
    let what = match (&first.relation, first.lock_type.as_str()) {
        (Some(relation), _) => format!("a lock on {} ({mode})", relation.shown()),
        (None, "transactionid" | "virtualxid") => {
            let whose: Vec<String> = locks.iter().map(|lock| lock.holder.to_string()).collect();
            return format!(
                "waits for the end of a transaction of {}",
                whose.join(", and ")
            );
        }
        (None, kind) => format!("a lock ({kind}, {mode})"),
    };
    let holders: Vec<String> = locks
        .iter()
        .map(|lock| match &lock.holder.held {
            None if lock.relation.is_some() => format!("{} asked for earlier", lock.holder),
            _ => format!("{} holds", lock.holder),
        })
        .collect();
    format!("waits for {what} that {}", holders.join(", and "))
}

/// A sentence without its numbers: what has changed if two of these differ is more than that time has passed.
pub(super) fn shape(sentence: &str) -> String {
    let is_number = |c: char| c.is_ascii_digit() || c == ',';
    sentence.chars().filter(|c| !is_number(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn active(wait: Option<(&str, &str)>) -> Doing {
        Doing {
            state: "active".to_owned(),
            wait: wait.map(|(kind, name)| (kind.to_owned(), name.to_owned())),
            seconds: 200,
            ..Doing::default()
        }
    }

    #[test]
    fn progress_is_worded_with_what_is_waited_for() {
        let mut doing = active(Some(("IO", "DataFileRead")));
        doing.progress = Some(Progress {
            phase: "building index: scanning table".to_owned(),
            done: 12_000,
            total: 28_000,
            unit: "blocks".to_owned(),
        });
        assert_eq!(
            doing.sentence(),
            "building index: scanning table, 42 % (12,000 of 28,000 blocks), waits for I/O (DataFileRead)"
        );
        let earlier = doing.sentence();
        doing.progress.as_mut().expect("there").done = 20_000;
        assert_ne!(doing.sentence(), earlier);
        assert_eq!(shape(&doing.sentence()), shape(&earlier));
        doing.wait = None;
        assert_ne!(shape(&doing.sentence()), shape(&earlier));

        doing.progress = Some(Progress {
            phase: "copying".to_owned(),
            done: 1_500,
            total: 0,
            unit: "rows".to_owned(),
        });
        assert_eq!(doing.sentence(), "copying, 1,500 rows so far");
        // An estimate may be exceeded: what still runs is not at 100 %.
        doing.progress.as_mut().expect("there").total = 1_000;
        assert_eq!(
            doing.sentence(),
            "copying, all 1,500 rows; what comes next is not shown"
        );
    }

    #[test]
    fn without_progress_it_is_said_that_the_server_works() {
        assert_eq!(
            active(None).sentence(),
            "the server has been working for 3 min; it shows no progress for this kind of statement"
        );
        let reads = active(Some(("IO", "DataFileRead"))).sentence();
        assert_eq!(
            reads,
            "the statement has been running for 3 min, and waits for I/O (DataFileRead)"
        );
        assert!(!active(None).waits_for_us());
        assert!(active(Some(("Client", "ClientWrite"))).waits_for_us());
        let idle = Doing {
            state: "idle in transaction".to_owned(),
            ..Doing::default()
        };
        assert!(idle.waits_for_us() && idle.sentence().contains("our next statement"));
    }

    #[test]
    fn what_it_uses_tells_work_from_waiting() {
        let used = |ms| {
            Some(Used {
                cpu: Duration::from_millis(ms),
                within: Duration::from_millis(10_020),
            })
        };
        let mut doing = active(Some(("Timeout", "PgSleep")));
        assert_eq!(doing.at_work(), AtWork::Unknown);
        doing.used = used(0);
        assert_eq!(doing.at_work(), AtWork::Unknown);
        assert!(
            doing
                .sentence()
                .ends_with("; in the last 10 s it used no CPU time")
        );
        doing.used = used(9_840);
        assert_eq!(doing.at_work(), AtWork::Unshown);
        assert_eq!(
            doing.sentence(),
            "the statement has been running for 3 min, and waits (Timeout: PgSleep); in the last 10 s it used 9.8 s of CPU time"
        );
        for wait in [None, Some(("IO", "DataFileRead"))] {
            assert_eq!(active(wait).at_work(), AtWork::Unshown, "{wait:?}");
        }
        for wait in [("Client", "ClientRead"), ("Lock", "relation")] {
            assert_eq!(active(Some(wait)).at_work(), AtWork::Unknown, "{wait:?}");
        }
        let mut building = active(None);
        building.progress = Some(Progress {
            phase: "building index: scanning table".to_owned(),
            done: 9,
            total: 10,
            unit: "blocks".to_owned(),
        });
        assert_eq!(building.at_work(), AtWork::Shown);
        building.progress.as_mut().expect("there").done = 10;
        assert_eq!(building.at_work(), AtWork::Unshown);
    }

    #[test]
    fn a_lock_is_named_with_its_holder() {
        let mut doing = active(Some(("Lock", "relation")));
        assert!(doing.sentence().contains("waits for a lock (relation)"));
        let wait = |pid, held: Option<&str>| LockWait {
            lock_type: "relation".to_owned(),
            mode: "RowExclusiveLock".to_owned(),
            relation: Some(QualifiedName::new("public", "users")),
            holder: Holder {
                pid,
                held: held.map(str::to_owned),
                ..Holder::default()
            },
        };
        doing.locks = vec![wait(12, Some("ShareLock")), wait(13, None)];
        assert_eq!(
            doing.sentence(),
            "waits for a lock on public.users (RowExclusive) that pid 12 holds, and pid 13 asked for earlier"
        );
        doing.locks = vec![LockWait {
            lock_type: "transactionid".to_owned(),
            mode: "ShareLock".to_owned(),
            relation: None,
            holder: Holder {
                pid: 5,
                ..Holder::default()
            },
        }];
        assert_eq!(
            doing.sentence(),
            "waits for the end of a transaction of pid 5"
        );
    }
}
