//! The target against the live source, after it was compared with the archive (`--source`).
//!
//! Both are read as `pgconvoy verify` reads them. What differs is told as a difference of its own class: the archive is as old as the
//! dump, and what was written to the source since then is on one side only. That the target holds what the archive does
//! is proven by itself, and stays so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::look::Wanted;
use super::opened::Opened;
use crate::cli::inspect::Server;
use crate::cli::session::Session;
use crate::cli::verify;
use crate::event::{Emit, What};
use crate::failure::Failure;
use crate::model::{Difference, OF_LIVE_SOURCE, Side, TableVerdict, Unverified, Verdict};
use crate::pg::conninfo::Conninfo;
use crate::preflight;

/// A part of a database is not compared with all of another.
pub(super) fn refuse_a_part(wanted: &Wanted, opened: &Opened) -> Result<(), Failure> {
    if wanted.source.is_none() {
        return Ok(());
    }
    let refused = |what: String| {
        Err(Failure::usage(
            format!("--source compares everything, but {what}"),
            "Leave --source out; after the restore, compare with pgconvoy verify --source --target and the same selection.",
        ))
    };
    let parts = [opened.narrowed_by(), wanted.selection.options()].concat();
    if !parts.is_empty() {
        return refused(format!("a part was left out by {}", parts.join(" ")));
    }
    if wanted.clean.is_some() {
        return refused("--clean leaves others' objects in the target".to_owned());
    }
    Ok(())
}

/// Looks whether the source can be reached, and how later sessions reach it; nothing if it was not asked for.
pub(super) async fn record(
    wanted: &Wanted,
    target: &Server,
) -> Result<BTreeMap<String, String>, Failure> {
    let Some(conninfo) = &wanted.source else {
        return Ok(BTreeMap::new());
    };
    let source = connect(conninfo.clone()).await?;
    if !wanted.is_missing && preflight::same_database(&source.facts, &target.facts) {
        return Err(Failure::usage(
            format!(
                "source and target are the same database: {}",
                source.endpoint
            ),
            "Give --target another database; nothing was touched.",
        ));
    }
    Ok(conninfo.record(&source.session.peer().host))
}

async fn connect(conninfo: Conninfo) -> Result<Server, Failure> {
    let source = Server::connect(conninfo, Side::Source).await;
    source.map_err(|failure| failure.while_doing("the source"))
}

/// Compares, and tells.
pub(super) async fn compare(
    session: &Session<'_>,
    (wanted, target): (&Wanted, &Server),
    emit: &Arc<dyn Emit>,
) -> Result<(), Failure> {
    let Some(conninfo) = &wanted.source else {
        return Ok(());
    };
    session.step("comparing the target with the live source");
    let source = connect(conninfo.clone()).await?;
    let reader = Server::connect(target.connector.conninfo().clone(), Side::Source).await;
    let reader = reader.map_err(|failure| failure.while_doing("the target"))?;
    let telling = Arc::new(Telling {
        emit: Arc::clone(emit),
        tables: Mutex::default(),
    });
    let told: Arc<dyn Emit> = telling.clone();
    let options = (wanted.restore, wanted.jobs);
    Box::pin(verify::compare_all((source, reader), options, &told)).await?;
    telling.conclude();
    Ok(())
}

/// What a comparison of two servers tells, as a part of a restore's report.
struct Telling {
    emit: Arc<dyn Emit>,
    tables: Mutex<Tables>,
}

#[derive(Default)]
struct Tables {
    identical: u64,
    /// Tables with another verdict, of which it is still to be said why.
    open: BTreeSet<String>,
}

impl Telling {
    fn with_tables<T>(&self, change: impl FnOnce(&mut Tables) -> T) -> T {
        // Nothing panics while it holds the lock; if something did, the counts would still be true.
        change(&mut self.tables.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn judged(&self, verdict: &TableVerdict) {
        self.with_tables(|tables| match verdict.verdict {
            Verdict::Identical => tables.identical += 1,
            Verdict::Excluded => {}
            Verdict::SameCount | Verdict::NotVerified | Verdict::Different => {
                tables.open.insert(verdict.table.shown());
            }
        });
    }

    /// Tables with a verdict, and no word about it, are no proof.
    fn conclude(&self) {
        let (identical, open) =
            self.with_tables(|tables| (tables.identical, std::mem::take(&mut tables.open)));
        for object in open {
            self.emit.emit(What::Unverified(Unverified {
                class: of_source("table data"),
                object,
                because: "the comparison reported nothing about it".to_owned(),
            }));
        }
        self.emit.emit(What::Checked {
            what: "tables against the live source".to_owned(),
            count: identical,
        });
    }

    fn said(&self, object: &str) {
        self.with_tables(|tables| tables.open.retain(|one| !is_about(object, one)));
    }
}

/// Names are quoted in different ways.
fn is_about(object: &str, table: &str) -> bool {
    object.replace('"', "") == table.replace('"', "")
}

fn of_source(class: &str) -> String {
    format!("{OF_LIVE_SOURCE}{class}")
}

impl Emit for Telling {
    fn emit(&self, what: What) {
        let told = match what {
            What::TableVerified(verdict) => return self.judged(&verdict),
            What::Difference(one) => {
                self.said(&one.object);
                What::Difference(Difference {
                    class: of_source(&one.class),
                    ..one
                })
            }
            What::Unverified(one) => {
                self.said(&one.object);
                What::Unverified(Unverified {
                    class: of_source(&one.class),
                    ..one
                })
            }
            What::Checked { what, count } => What::Checked {
                what: format!("{what} against the live source"),
                count,
            },
            // The report's snapshot is that of the dump, and its plan that of the restore.
            What::SnapshotTaken { .. }
            | What::SnapshotReleased
            | What::Planned { .. }
            | What::SourceMovedOn { .. }
            | What::SourceUnchanged
            | What::JobStarted { .. }
            | What::JobAdvanced { .. }
            | What::JobBound { .. }
            | What::JobFinished { .. } => return,
            other => other,
        };
        self.emit.emit(told);
    }
}
