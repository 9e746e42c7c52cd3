//! An archive that is one file, by `pg_dump -Fc`: where the block of each entry is, and that nothing lies between them.
//!
//! | how it was written | what says where the blocks are |
//! |---|---|
//! | `-f file`; `> file` before version 16 | the table of contents |
//! | `>> file`, `> file` | the table of contents that is appended behind them |
//! | into a pipe | nothing: they are looked for, one behind the other |
//!
//! Anything else behind the last block is refused.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, BufReader, ErrorKind, Read, Seek as _, SeekFrom};
use std::path::Path;

use super::super::blocks::{Block, Blocks, Holds, Packing};
use super::super::{Algorithm, ArchiveError};
use super::{BUFFER, Form, Place, Stored, has_data};
use crate::model::{Bytes, DumpId};
use crate::toc::{Compression, DataPlace, Entry, Header, OffsetState, Toc};

/// Where the data of each entry begins.
type Places = HashMap<DumpId, u64>;

/// Opens one.
pub(super) fn open(path: &Path) -> Result<Stored, ArchiveError> {
    let file = File::open(path).map_err(ArchiveError::file("opening", path))?;
    let mut counted = Counted {
        from: BufReader::with_capacity(BUFFER, file),
        bytes: 0,
    };
    let toc = Toc::read(&mut counted)?;
    let length = fs::metadata(path).map_err(ArchiveError::file("reading", path))?;
    let (begins, length) = (counted.bytes, length.len());
    let custom = Custom {
        path,
        int_size: toc.header.int_size,
        packing: packing(&toc.header),
    };
    let wanted: Vec<&Entry> = toc.entries.iter().filter(|entry| has_data(entry)).collect();
    let (places, end) = custom.places(&toc, (begins, length))?;
    let known = wanted
        .iter()
        .map(|&entry| Some((entry, *places.get(&entry.dump_id)?)));
    let mut found = match known.collect::<Option<Vec<(&Entry, u64)>>>() {
        Some(known) => custom.blocks_at(&known)?,
        None => custom.look_through(&toc, begins)?,
    };
    custom.refuse_a_cut((&toc, &found), end)?;
    let ends = custom.without_gaps(&found, (begins, end))?;
    let mut rows = HashMap::new();
    let mut objects = BTreeMap::new();
    for entry in wanted {
        let end = ends.get(&entry.dump_id).copied();
        let block = found.remove(&entry.dump_id);
        match block.map(|block| block.holds).zip(end) {
            Some((Holds::Rows(at), end)) => {
                let name = format!("the rows of {entry}");
                let place = Place {
                    stored: Some(Bytes(end.saturating_sub(at))),
                    ..custom.place((at, Some(end)), name)
                };
                rows.insert(entry.dump_id, place);
            }
            Some((Holds::Objects(list), _)) => {
                for (oid, at) in list {
                    let name = format!("large object {oid}");
                    let listed = (entry.dump_id, custom.place((at, None), name));
                    if objects.insert(oid, listed).is_some() {
                        let what = format!("large object {oid} is in two blocks");
                        return Err(custom.broken(what));
                    }
                }
            }
            None => return Err(custom.broken(format!("it ends before the data of {entry}"))),
        }
    }
    match found.into_keys().next() {
        None => Ok(Stored { toc, rows, objects }),
        Some(id) => Err(custom.broken(format!(
            "it has the data of entry {id}, which is in no table of contents"
        ))),
    }
}

fn packing(header: &Header) -> Packing {
    match header.compression {
        Compression::None | Compression::Level(0) => Packing::As(Algorithm::None),
        Compression::Gzip | Compression::Level(_) => Packing::Zlib,
        Compression::Lz4 => Packing::As(Algorithm::Lz4),
        Compression::Zstd => Packing::As(Algorithm::Zstd),
    }
}

/// A custom file.
struct Custom<'a> {
    path: &'a Path,
    int_size: u8,
    packing: Packing,
}

impl Custom<'_> {
    fn broken(&self, what: String) -> ArchiveError {
        ArchiveError::Data {
            path: self.path.to_owned(),
            what,
        }
    }

    /// Where each block ends: where the next begins. `pg_dump` leaves nothing in between, and neither before the first.
    fn without_gaps(
        &self,
        found: &HashMap<DumpId, Block>,
        (begins, length): (u64, u64),
    ) -> Result<HashMap<DumpId, u64>, ArchiveError> {
        let mut starts: Vec<u64> = found.values().map(|block| block.start).collect();
        starts.push(length);
        starts.sort_unstable();
        let gap = |from: u64, to: u64| {
            self.broken(format!(
                "from byte {from} to byte {to} there is something that belongs to nothing"
            ))
        };
        if let Some(first) = starts.first().filter(|first| **first != begins) {
            return Err(gap(begins, *first));
        }
        let mut ends = HashMap::new();
        for (&id, block) in found {
            let next = starts.partition_point(|start| *start <= block.start);
            let next = starts.get(next).copied().unwrap_or(length);
            if let Some(end) = block.end.filter(|end| *end != next) {
                return Err(gap(end, next));
            }
            ends.insert(id, next);
        }
        Ok(ends)
    }

    fn place(&self, (at, end): (u64, Option<u64>), name: String) -> Place {
        Place {
            path: self.path.to_owned(),
            name,
            form: Form::Chunks {
                int_size: self.int_size,
                at,
                end,
                packing: self.packing,
            },
            stored: None,
        }
    }

    /// Where the data of each entry is, if the archive says it, and where all of it ends.
    fn places(
        &self,
        toc: &Toc,
        (begins, length): (u64, u64),
    ) -> Result<(Places, u64), ArchiveError> {
        let entries = toc.entries.iter();
        let said = entries.filter_map(|entry| Some((entry.dump_id, said_place(entry)?)));
        let mut said: Places = said.collect();
        let mut end = length;
        if said.is_empty()
            && let Some((appended, at)) = self.appended(toc, (begins, length))?
        {
            (said, end) = (appended, at);
        }
        // Beyond the end there is nothing to be found, and it is said of which entry.
        for at in said.values_mut() {
            *at = (*at).min(end);
        }
        Ok((said, end))
    }

    /// Where the data is by the table of contents that is appended, and where that begins.
    fn appended(
        &self,
        toc: &Toc,
        (begins, length): (u64, u64),
    ) -> Result<Option<(Places, u64)>, ArchiveError> {
        let at = length.checked_sub(toc.appended_bytes()?);
        let Some(at) = at.filter(|at| *at >= begins) else {
            return Ok(None);
        };
        let places = self.read_from(at).and_then(|from| toc.read_appended(from));
        let places = places.map_err(ArchiveError::file("reading", self.path))?;
        Ok(places.map(|places| (places, at)))
    }

    fn read_from(&self, at: u64) -> io::Result<BufReader<File>> {
        let mut file = File::open(self.path)?;
        file.seek(SeekFrom::Start(at))?;
        Ok(BufReader::with_capacity(BUFFER, file))
    }

    fn blocks_at(&self, placed: &[(&Entry, u64)]) -> Result<HashMap<DumpId, Block>, ArchiveError> {
        let blocks = placed.iter();
        let blocks = blocks.map(|&(entry, at)| Ok((entry.dump_id, self.block_of(entry, at)?)));
        blocks.collect()
    }

    fn block_of(&self, entry: &Entry, at: u64) -> Result<Block, ArchiveError> {
        let block = Blocks::open(self.path, self.int_size, at)
            .and_then(|mut blocks| blocks.next(false))
            .map_err(|error| self.unreadable(error, Some(entry)))?;
        match block {
            Some(block) if block.entry == i64::from(entry.dump_id.0) => Ok(block),
            Some(_) => Err(self.broken(format!("at byte {at} there is not the data of {entry}"))),
            None => Err(self.broken(format!("it ends before the data of {entry}"))),
        }
    }

    fn look_through(&self, toc: &Toc, begins: u64) -> Result<HashMap<DumpId, Block>, ArchiveError> {
        let blocks = Blocks::open(self.path, self.int_size, begins);
        let mut blocks = blocks.map_err(ArchiveError::file("reading", self.path))?;
        let number = |entry: i64| i32::try_from(entry).ok().map(DumpId);
        let mut found = HashMap::new();
        loop {
            let next = blocks.next(true).map_err(|error| {
                let of = blocks.entry().and_then(number);
                self.unreadable(error, of.and_then(|id| toc.by_id(id)))
            });
            let Some(block) = next? else {
                return Ok(found);
            };
            let id = number(block.entry);
            let id = id.ok_or_else(|| self.broken("it has a block of no entry".to_owned()))?;
            if found.insert(id, block).is_some() {
                return Err(self.broken(format!("entry {id} has two blocks")));
            }
        }
    }

    /// The length of nothing is what each block ends with: whatever does not, is known not to be whole before any of it is read.
    fn refuse_a_cut(
        &self,
        (toc, found): (&Toc, &HashMap<DumpId, Block>),
        end: u64,
    ) -> Result<(), ArchiveError> {
        let Some((&last, _)) = found.iter().max_by_key(|(_, block)| block.start) else {
            return Ok(());
        };
        let length = u64::from(self.int_size) + 1;
        let mut bytes = Vec::new();
        let read = self.read_from(end.saturating_sub(length));
        let read = read.and_then(|from| from.take(length).read_to_end(&mut bytes));
        read.map_err(ArchiveError::file("reading", self.path))?;
        if bytes.iter().all(|&byte| byte == 0) {
            return Ok(());
        }
        let last = toc.by_id(last);
        let last = last.map_or("the last entry".to_owned(), ToString::to_string);
        Err(self.broken(format!(
            "it is cut off in the data of {last}, or something else follows that"
        )))
    }

    /// What keeps data from being read: what is in the file, or whoever keeps the file.
    fn unreadable(&self, error: io::Error, of: Option<&Entry>) -> ArchiveError {
        let what = match (error.kind(), of) {
            (ErrorKind::UnexpectedEof, Some(entry)) => {
                format!("it is cut off in the data of {entry}")
            }
            (ErrorKind::UnexpectedEof, None) => {
                "it is cut off where the data of an entry begins".to_owned()
            }
            (ErrorKind::InvalidData, Some(entry)) => format!("the data of {entry}: {error}"),
            _ => return ArchiveError::content(self.path)(error),
        };
        self.broken(what)
    }
}

/// Where the table of contents says that an entry's block is; `None` if it does not say.
fn said_place(entry: &Entry) -> Option<u64> {
    match entry.data {
        DataPlace::Offset {
            state: OffsetState::Set,
            position,
        } => Some(position),
        _ => None,
    }
}

/// Counts what is read.
struct Counted<R> {
    from: R,
    bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(into)?;
        self.bytes += read as u64;
        Ok(read)
    }
}
