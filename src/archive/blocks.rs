//! The blocks of a custom archive (`pg_dump -Fc`): the data of its entries, behind the table of contents.
//!
//! ```text
//!   block    1, the entry's number, chunks                      the rows of a table
//!            3, the entry's number, (OID, chunks) …, 0          large objects
//!   chunks   (length, bytes) …, 0                               compressed as a whole
//!   number   a sign, and four bytes, the lowest first
//! ```
//!
//! Facts are from `pg_backup_custom.c` of Postgres 9.1 to 18. A length is never believed: nothing is reserved for it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::ZlibDecoder;

use super::{Algorithm, Decoder};
use crate::model::Oid;

/// How much of the file is read at once.
const BUFFER: usize = 128 << 10;

/// A block of the rows of a table.
const DATA: u8 = 1;
/// A block of large objects.
const OBJECTS: u8 = 3;

/// How the chunks of a block are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    /// zlib, without gzip's header.
    Zlib,
    /// As in a file.
    As(Algorithm),
}

/// What a block holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Holds {
    /// Chunks from here on.
    Rows(u64),
    /// Objects, each with where its chunks begin.
    Objects(Vec<(Oid, u64)>),
}

/// A block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// The number of its entry.
    pub entry: i64,
    /// Where it begins.
    pub start: u64,
    /// Where it ends; known if all of it was passed over.
    pub end: Option<u64>,
    /// What it holds.
    pub holds: Holds,
}

/// What is in the file is not what `pg_dump` writes.
fn wrong(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "it is cut off")
}

/// Reads a custom archive from some byte on.
pub(super) struct Blocks {
    file: BufReader<File>,
    int_size: u8,
    at: u64,
    /// The entry of the block that is being read, or was last; `None` as long as that is not known.
    entry: Option<i64>,
}

impl Blocks {
    pub fn open(path: &Path, int_size: u8, at: u64) -> io::Result<Self> {
        let mut file = BufReader::with_capacity(BUFFER, File::open(path)?);
        let distance = i64::try_from(at).map_err(io::Error::other)?;
        file.seek_relative(distance)?;
        Ok(Self {
            file,
            int_size,
            at,
            entry: None,
        })
    }

    /// Whose data could not be read, if the next block could not.
    pub fn entry(&self) -> Option<i64> {
        self.entry
    }

    /// The next block. The chunks of rows are passed over only if that is asked for. `None` at the end of the file.
    pub fn next(&mut self, to_the_end: bool) -> io::Result<Option<Block>> {
        if self.file.fill_buf()?.is_empty() {
            return Ok(None);
        }
        self.entry = None;
        let start = self.at;
        let kind = self.byte()?;
        if ![DATA, OBJECTS].contains(&kind) {
            return Err(wrong(format!(
                "from byte {start} on there is neither the data of an entry nor the same table of contents again, whole, as pg_dump may \
                 append it"
            )));
        }
        let entry = self.number()?;
        self.entry = Some(entry);
        let is_passed = kind == OBJECTS || to_the_end;
        let holds = if kind == OBJECTS {
            Holds::Objects(self.objects()?)
        } else {
            let begins = self.at;
            if to_the_end {
                self.pass_over_chunks()?;
            }
            Holds::Rows(begins)
        };
        Ok(Some(Block {
            entry,
            start,
            end: is_passed.then_some(self.at),
            holds,
        }))
    }

    fn objects(&mut self) -> io::Result<Vec<(Oid, u64)>> {
        let mut objects = Vec::new();
        loop {
            // As pg_dump writes an OID: above 2^31 it looks negative.
            let oid = self.number()?;
            if oid == 0 {
                return Ok(objects);
            }
            let oid = i32::try_from(oid).map(i32::cast_unsigned);
            let oid = oid.map_err(|_| wrong("a large object without an OID"))?;
            objects.push((Oid(oid), self.at));
            self.pass_over_chunks()?;
        }
    }

    fn pass_over_chunks(&mut self) -> io::Result<()> {
        while let Some(length) = self.chunk()? {
            let distance = i64::try_from(length).map_err(io::Error::other)?;
            self.file.seek_relative(distance)?;
            self.at = self.at.saturating_add(length);
        }
        Ok(())
    }

    /// The length of the next chunk; `None` behind the last.
    fn chunk(&mut self) -> io::Result<Option<u64>> {
        match self.number()? {
            0 => Ok(None),
            length => u64::try_from(length)
                .map(Some)
                .map_err(|_| wrong("a piece of it has a negative length")),
        }
    }

    fn number(&mut self) -> io::Result<i64> {
        let negative = self.byte()? != 0;
        let mut value: i64 = 0;
        for place in 0..u32::from(self.int_size) {
            let byte = i64::from(self.byte()?);
            let shifted = byte
                .checked_shl(8 * place)
                .filter(|_| byte == 0 || place < 7);
            value |= shifted.ok_or_else(|| wrong("a number is too large"))?;
        }
        Ok(if negative { -value } else { value })
    }

    fn byte(&mut self) -> io::Result<u8> {
        let mut byte = [0];
        let read = self.file.read_exact(&mut byte);
        read.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => cut_off(),
            _ => error,
        })?;
        self.at += 1;
        Ok(byte[0])
    }
}

/// The chunks of one block or object, as if they were one file.
struct Chunks {
    blocks: Blocks,
    left: u64,
    ended: bool,
    /// Where they must end, if that is known: there the next block begins.
    end: Option<u64>,
}

impl Read for Chunks {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.ended || into.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            let Some(length) = self.blocks.chunk()? else {
                self.ended = true;
                return match self.end.filter(|end| *end != self.blocks.at) {
                    None => Ok(0),
                    Some(end) => Err(wrong(format!(
                        "it ends at byte {}, and up to byte {end} there is something that belongs to nothing",
                        self.blocks.at
                    ))),
                };
            };
            self.left = length;
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let most = most.min(into.len());
        match self.blocks.file.read(&mut into[..most])? {
            0 => Err(cut_off()),
            read => {
                self.left -= read as u64;
                self.blocks.at += read as u64;
                Ok(read)
            }
        }
    }
}

/// zlib, which must end where the chunks do.
struct Zlib(ZlibDecoder<BufReader<Chunks>>);

impl Read for Zlib {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(into)?;
        if read == 0 && !into.is_empty() && !self.0.get_mut().fill_buf()?.is_empty() {
            return Err(wrong("something follows the end of what is compressed"));
        }
        Ok(read)
    }
}

/// What the chunks hold that begin at this byte, and end at that, if it is known.
pub(super) fn unpacked(
    path: &Path,
    (int_size, at, end): (u8, u64, Option<u64>),
    packing: Packing,
) -> io::Result<Box<dyn BufRead + Send>> {
    let chunks = Chunks {
        blocks: Blocks::open(path, int_size, at)?,
        left: 0,
        ended: false,
        end,
    };
    let mut chunks = BufReader::with_capacity(BUFFER, chunks);
    // Of an empty table or object there may be nothing at all, not even the frame of a compression.
    if chunks.fill_buf()?.is_empty() {
        return Ok(Box::new(io::empty()));
    }
    Ok(match packing {
        Packing::Zlib => Box::new(BufReader::with_capacity(
            BUFFER,
            Zlib(ZlibDecoder::new(chunks)),
        )),
        Packing::As(algorithm) => Box::new(Decoder::buffered(algorithm, chunks)?),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::write::ZlibEncoder;

    use super::*;

    fn number(value: i64) -> Vec<u8> {
        let low = u32::try_from(value.unsigned_abs()).expect("four bytes");
        [&[u8::from(value < 0)][..], &low.to_le_bytes()].concat()
    }

    fn chunks(content: &[&[u8]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for chunk in content {
            bytes.extend(number(i64::try_from(chunk.len()).expect("short")));
            bytes.extend_from_slice(chunk);
        }
        bytes.extend(number(0));
        bytes
    }

    fn zlib(content: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(content).expect("memory");
        encoder.finish().expect("memory")
    }

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(bytes).expect("written");
        file
    }

    fn content(path: &Path, at: u64, packing: Packing) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        unpacked(path, (4, at, None), packing)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn blocks_are_found_one_after_the_other() {
        let packed = zlib(b"1\n2\n\\.\n\n\n");
        let rows = [vec![DATA], number(7), chunks(&[&packed[..3], &packed[3..]])].concat();
        let objects = [
            vec![OBJECTS],
            number(8),
            number(-1),
            chunks(&[b"one"]),
            number(16_400),
            chunks(&[]),
            number(0),
        ]
        .concat();
        let all = [rows.clone(), objects].concat();
        let whole = file(&all);
        let mut blocks = Blocks::open(whole.path(), 4, 0).expect("it is there");
        let first = blocks.next(true).expect("reads").expect("rows");
        let end = rows.len() as u64;
        let expected = Block {
            entry: 7,
            start: 0,
            end: Some(end),
            holds: Holds::Rows(6),
        };
        assert_eq!(first, expected);
        let block = blocks.next(true).expect("reads").expect("objects");
        let Holds::Objects(found) = block.holds else {
            panic!("{block:?}");
        };
        assert_eq!((block.entry, block.start), (8, end));
        assert_eq!(block.end, Some(all.len() as u64));
        assert_eq!(blocks.next(true).expect("reads"), None);
        let oids: Vec<u32> = found.iter().map(|(oid, _)| oid.0).collect();
        assert_eq!(oids, [u32::MAX, 16_400]);
        let read = content(whole.path(), 6, Packing::Zlib).expect("reads");
        assert_eq!(read, b"1\n2\n\\.\n\n\n");
        for (end, fits) in [(end, true), (end + 1, false)] {
            let read = unpacked(whole.path(), (4, 6, Some(end)), Packing::Zlib)
                .and_then(|mut from| from.read_to_end(&mut Vec::new()));
            assert_eq!(read.is_ok(), fits, "{end}");
        }
        let plain = Packing::As(Algorithm::None);
        assert_eq!(
            content(whole.path(), found[0].1, plain).expect("reads"),
            b"one"
        );
        assert_eq!(
            content(whole.path(), found[1].1, plain).expect("reads"),
            b""
        );
    }

    #[test]
    fn what_is_cut_or_followed_by_something_is_an_error() {
        let packed = zlib(b"rows");
        let whole = chunks(&[&packed]);
        for cut in 0..whole.len() {
            let file = file(&whole[..cut]);
            assert!(
                content(file.path(), 0, Packing::Zlib).is_err(),
                "cut at {cut}"
            );
        }
        let more = file(&chunks(&[&packed, b"x"]));
        assert!(content(more.path(), 0, Packing::Zlib).is_err());
        let less = file(&chunks(&[&packed[..packed.len() - 1]]));
        assert!(content(less.path(), 0, Packing::Zlib).is_err());
        let negative = file(&[number(-5), vec![0; 20]].concat());
        assert!(content(negative.path(), 0, Packing::As(Algorithm::None)).is_err());
        let none = file(&[9, 0, 0, 0, 0, 0]);
        let mut blocks = Blocks::open(none.path(), 4, 0).expect("it is there");
        assert!(blocks.next(true).is_err());
    }
}
