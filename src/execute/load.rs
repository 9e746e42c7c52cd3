//! Tables and large objects out of an archive: read by a thread, sent to the target as they are.
//!
//! What the manifest says of them must come out of the files, or the transaction is not committed. What came out is kept: of
//! an archive without a manifest it is all that is known, and the target is compared with it in the end. So is what the target has
//! answered when tables were read back as soon as all of their rows were there.
//!
//! | file | |
//! |---|---|
//! | `chunk` | a chunk of a large table |
//! | `dealer` | the reader of a file that several chunks are loaded from |
//! | `large_objects` | large objects |

mod chunk;
mod dealer;
mod large_objects;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::attempt::Attempt;
use super::copy::{Load, commit, line, opening};
use super::outcome::Outcome;
use super::supervisor::Context;
use crate::archive::{Content, FileFacts, Place, RowPieces, Stored, is_of_the_road};
use crate::fault;
use crate::ledger::WHOLE;
use crate::model::{DumpId, FILE_DAMAGED, MultisetDigest, Oid, Rows, SqlText};
use crate::pg::PgError;
use crate::pg::wire::{Feed, Moment, Piece, Relayed, Supply, Wire, feed, supply};
use crate::plan::CopyUnit;
use dealer::Dealers;

pub(super) use chunk::chunk;
pub(super) use large_objects::large_objects;

/// How much is sent at once.
const PIECE: usize = 64 << 10;

/// An archive that is loaded.
pub struct Loading {
    /// Where everything is.
    pub stored: Stored,
    /// What its manifest says, if it has one.
    pub expected: Option<Loaded>,
    loaded: Mutex<Loaded>,
    read_back: Mutex<HashMap<SqlText, MultisetDigest>>,
    dealers: Dealers,
}

/// What the files of an archive hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// By `TABLE DATA` entry.
    pub tables: HashMap<DumpId, Content>,
    /// By OID.
    pub objects: HashMap<Oid, FileFacts>,
}

impl Loading {
    /// Nothing of it so far.
    pub fn new(stored: Stored, expected: Option<Loaded>) -> Self {
        Self {
            stored,
            expected,
            loaded: Mutex::default(),
            read_back: Mutex::default(),
            dealers: Dealers::default(),
        }
    }

    /// What has been read and committed.
    pub fn loaded(&self) -> Loaded {
        self.noted().clone()
    }

    fn noted(&self) -> MutexGuard<'_, Loaded> {
        // Nothing panics while it holds the lock; if something did, what is noted would still be true.
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the target has answered when tables were read back, by what it was asked.
    pub fn read_back(&self) -> HashMap<SqlText, MultisetDigest> {
        self.answers().clone()
    }

    /// The target has answered: all rows that it will have of this are there.
    pub(super) fn answered(&self, question: SqlText, digest: MultisetDigest) {
        self.answers().insert(question, digest);
    }

    fn answers(&self) -> MutexGuard<'_, HashMap<SqlText, MultisetDigest>> {
        self.read_back
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the rows of a table are, and what the manifest says of them, if there is one.
    fn rows_of(&self, unit: &CopyUnit) -> Result<File, PgError> {
        let missing = || PgError::Supply {
            what: format!("the rows of {} are not in the archive", unit.table.shown()),
        };
        let entry = unit.rows_in.ok_or_else(missing)?;
        let place = self.stored.rows(entry).ok_or_else(missing)?.clone();
        let said = self.expected.as_ref().map(|all| all.tables.get(&entry));
        let expected = match said {
            None => None,
            Some(Some(expected)) => Some(*expected),
            Some(None) => {
                return Err(Broken::file(&place, "the manifest does not know it").into());
            }
        };
        Ok(File {
            entry,
            place,
            expected,
        })
    }
}

/// The rows of a table.
struct File {
    entry: DumpId,
    place: Place,
    /// What they must be, if anybody has said so.
    expected: Option<Content>,
}

impl File {
    /// Whether what came out of it is what must.
    fn judge(&self, read: Result<Content, String>) -> Result<Content, Broken> {
        let content = read.map_err(|what| Broken::file(&self.place, &what))?;
        match self.expected {
            Some(expected) if expected != content => Err(Broken::file(
                &self.place,
                &format!(
                    "it holds {}, the manifest says {}",
                    content.digest, expected.digest
                ),
            )),
            _ => Ok(content),
        }
    }
}

/// Why rows or objects do not come out of an archive as they must.
#[derive(Debug, Clone)]
enum Broken {
    /// There is something wrong with a file.
    File(String),
    /// What could not be read may be so another time. Chunks that share a file share its error.
    Road {
        doing: String,
        source: Arc<io::Error>,
    },
}

impl Broken {
    fn file(place: &Place, what: &str) -> Self {
        Self::File(place.broken(what).to_string())
    }

    /// An error that is not the file's, if it is the road to it.
    fn road(place: &Place, error: io::Error) -> Result<Self, io::Error> {
        if !is_of_the_road(&error) {
            return Err(error);
        }
        Ok(Self::Road {
            doing: format!("reading {}", place.name()),
            source: Arc::new(error),
        })
    }

    /// What is wrong if rows cannot be read.
    fn reading(place: &Place, error: io::Error) -> Self {
        let of_file = |error| Self::file(place, &format!("it cannot be read: {error}"));
        Self::road(place, error).unwrap_or_else(of_file)
    }
}

impl From<Broken> for PgError {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::File(what) => Self::Supply {
                what: format!("{FILE_DAMAGED}{what}"),
            },
            Broken::Road { doing, source } => Self::Unread {
                doing,
                source: io::Error::new(source.kind(), source),
            },
        }
    }
}

/// Loads tables whole, in one transaction.
pub(super) async fn tables(
    context: &Context,
    attempt: &Attempt<'_>,
    load: &Load<'_>,
    archive: &Arc<Loading>,
) -> Result<Outcome, PgError> {
    let mut target = context.target.lend().await?;
    let outcome = load_tables(context, attempt, (load, archive), &mut target).await?;
    context.remark(attempt.job, &mut target);
    target.give_back();
    Ok(outcome)
}

async fn load_tables(
    context: &Context,
    attempt: &Attempt<'_>,
    (load, archive): (&Load<'_>, &Arc<Loading>),
    target: &mut Wire,
) -> Result<Outcome, PgError> {
    let job = attempt.job;
    let units = || {
        let parts = load.parts.iter();
        parts.map(|part| &context.plan.tables[part.table])
    };
    let mut read = Vec::with_capacity(load.parts.len());
    let mut copies = Vec::with_capacity(load.parts.len());
    for unit in units() {
        let file = archive.rows_of(unit)?;
        let noted: Arc<OnceLock<Content>> = Arc::default();
        read.push((file.entry, Arc::clone(&noted)));
        copies.push((unit.copy_in(), rows(file, noted)));
    }
    let feeding = Feed {
        opening: &opening(context, job, load.parts),
        copies,
        tell: &|moment| match moment {
            Moment::Opened => fault::point_of("copy-opened", || &job.label),
            Moment::BetweenLegs => fault::point_of("copy-between-tables", || &job.label),
        },
    };
    let sent = feed(target, feeding, attempt.gauge).await?;
    let mut outcome = Outcome::default();
    let mut lines = Vec::new();
    let mut total = Relayed::default();
    let mut contents = Vec::new();
    for ((part, unit), ((entry, noted), (_, bytes))) in load
        .parts
        .iter()
        .zip(units())
        .zip(read.into_iter().zip(sent))
    {
        let held = noted.get().copied().unwrap_or_default();
        let relayed = Relayed {
            digest: held.digest,
            bytes,
        };
        lines.push(line(part.number, &unit.table.name, &relayed));
        total = [total, relayed].into_iter().sum();
        contents.push((entry, held));
    }
    if load.whole {
        lines.push(line(WHOLE, &job.label, &total));
    }
    (outcome.rows, outcome.bytes) = (total.digest.rows, total.bytes);
    let shielded = units().flat_map(|unit| unit.shield.after.clone()).collect();
    fault::point_of("copy-ended", || &job.label);
    commit(target, attempt, shielded, (&lines, &mut outcome)).await?;
    archive.noted().tables.extend(contents);
    fault::point_of("copy-committed", || &job.label);
    Ok(outcome)
}

/// The rows of a table, which must be what is expected, if anything is.
fn rows(file: File, noted: Arc<OnceLock<Content>>) -> Supply {
    supply(move |hand_out| {
        let place = &file.place;
        let unreadable = |error| Broken::reading(place, error);
        let mut rows = RowPieces::new(place.open().map_err(unreadable)?);
        let mut told = Rows(0);
        let mut is_more = true;
        while is_more {
            let mut piece = Piece::with_capacity(3 * PIECE);
            while is_more && piece.size() < PIECE {
                is_more = rows.next(piece.content()).map_err(unreadable)?;
            }
            piece.count(Rows(rows.rows().0 - told.0));
            told = rows.rows();
            if piece.size() > 0 && !hand_out(piece) {
                return Err(not_taken());
            }
        }
        let content = file.judge(rows.finish())?;
        let _ = noted.set(content);
        Ok(content.digest.rows)
    })
}

/// Whoever was to take it has another error to tell.
fn not_taken() -> PgError {
    PgError::Supply {
        what: "the target takes no more".to_owned(),
    }
}
