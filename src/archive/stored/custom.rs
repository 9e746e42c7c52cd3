//! An archive that is one file, by `pg_dump -Fc`: where the block of each entry is, and that nothing lies between them.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;

use super::super::blocks::{Block, Blocks, Holds, Packing};
use super::super::{Algorithm, ArchiveError};
use super::{BUFFER, Form, Place, Stored, has_data};
use crate::model::{Bytes, DumpId};
use crate::toc::{Compression, DataPlace, Entry, Header, OffsetState, Toc};

/// Opens one.
pub(super) fn open(path: &Path) -> Result<Stored, ArchiveError> {
    let reading = || ArchiveError::file("reading", path);
    let file = File::open(path).map_err(ArchiveError::file("opening", path))?;
    let mut counted = Counted {
        from: BufReader::with_capacity(BUFFER, file),
        bytes: 0,
    };
    let toc = Toc::read(&mut counted)?;
    let (begins, length) = (counted.bytes, fs::metadata(path).map_err(reading())?.len());
    let custom = Custom {
        path,
        int_size: toc.header.int_size,
        packing: packing(&toc.header),
    };
    let wanted: Vec<&Entry> = toc.entries.iter().filter(|entry| has_data(entry)).collect();
    let mut found: HashMap<DumpId, Block> = HashMap::new();
    let unknown = |entry: &&&Entry| Custom::block_at_place(entry, length).is_none();
    if wanted.iter().any(|entry| unknown(&entry)) {
        // It was written into a pipe: nobody could go back to say where things are.
        custom.look_through(begins, &mut found).map_err(reading())?;
    } else {
        for entry in &wanted {
            let block = custom.block_of(entry, length)?;
            found.insert(entry.dump_id, block);
        }
    }
    let ends = custom.without_gaps(&found, (begins, length))?;
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

    /// Where the table of contents says that an entry's block is; `None` if it does not say.
    fn block_at_place(entry: &Entry, length: u64) -> Option<u64> {
        match entry.data {
            DataPlace::Offset {
                state: OffsetState::Set,
                position,
            } => Some(position.min(length)),
            _ => None,
        }
    }

    fn block_of(&self, entry: &Entry, length: u64) -> Result<Block, ArchiveError> {
        let at = Self::block_at_place(entry, length).unwrap_or(length);
        let reading = || ArchiveError::file("reading", self.path);
        let block = Blocks::open(self.path, self.int_size, at)
            .and_then(|mut blocks| blocks.next(false))
            .map_err(reading())?;
        match block {
            Some(block) if block.entry == i64::from(entry.dump_id.0) => Ok(block),
            Some(_) => Err(self.broken(format!("at byte {at} there is not the data of {entry}"))),
            None => Err(self.broken(format!("it ends before the data of {entry}"))),
        }
    }

    fn look_through(&self, begins: u64, found: &mut HashMap<DumpId, Block>) -> io::Result<()> {
        let mut blocks = Blocks::open(self.path, self.int_size, begins)?;
        while let Some(block) = blocks.next(true)? {
            let id = i32::try_from(block.entry).map(DumpId);
            let id = id.map_err(|_| io::Error::other("a block of no entry"))?;
            if found.insert(id, block).is_some() {
                return Err(io::Error::other(format!("entry {id} has two blocks")));
            }
        }
        Ok(())
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
