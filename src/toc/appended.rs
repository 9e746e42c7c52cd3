//! The table of contents that `pg_dump` appends to a custom archive, behind the data.
//!
//! ```text
//!   header, entries     data …     the entries once more
//!           nowhere a place        each with the place of its data
//! ```
//!
//! When all data is written, `pg_dump` goes back and writes the entries again where they are, now with places. A file that takes nothing but
//! at its end (`pg_dump -Fc >> file`, and since version 16 also `> file`: it opens its output for appending) has them twice then. The second
//! ones are the first, byte for byte, but for two things: what has data has its place, and the definitions of statistics (18), which are
//! made only once, are passed over. What is different in anything else is not this.
//!
//! Facts are from `_CloseArchive` in `pg_backup_custom.c` and `WriteToc` in `pg_backup_archiver.c` of Postgres 15 to 18.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read};

use crate::model::DumpId;

use super::{DataPlace, Entry, OffsetState, Toc, TocError};

/// How an entry says that it knows where its data is.
const IS_SET: u8 = 2;

impl Toc {
    /// How many bytes would be appended to this archive.
    pub fn appended_bytes(&self) -> Result<u64, TocError> {
        let place = 1 + u64::from(self.header.offset_size);
        let mut bytes = self.count_to_bytes()?.len() as u64;
        for entry in &self.entries {
            bytes += self.entry_again(entry)?.len() as u64;
            if entry.lacks_place() {
                bytes += place;
            }
        }
        Ok(bytes)
    }

    /// Where the data of each entry is, by what is appended to this archive; `None` if all that there is to read is something else.
    pub fn read_appended(&self, mut from: impl Read) -> io::Result<Option<HashMap<DumpId, u64>>> {
        let mut places = HashMap::new();
        let count = self.count_to_bytes().map_err(io::Error::other)?;
        if !goes_on(&mut from, &count)? {
            return Ok(None);
        }
        for entry in &self.entries {
            let again = self.entry_again(entry).map_err(io::Error::other)?;
            if !goes_on(&mut from, &again)? {
                return Ok(None);
            }
            if entry.lacks_place() {
                let Some(place) = next_place(&mut from, self.header.offset_size)? else {
                    return Ok(None);
                };
                places.insert(entry.dump_id, place);
            }
        }
        let is_its_end = from.read(&mut [0_u8; 1])? == 0;
        Ok(is_its_end.then_some(places))
    }
}

impl Entry {
    /// It has data, and does not say where.
    pub(super) fn lacks_place(&self) -> bool {
        matches!(
            self.data,
            DataPlace::Offset {
                state: OffsetState::NotSet,
                ..
            }
        )
    }
}

/// Whether these bytes come next.
fn goes_on(from: &mut impl Read, bytes: &[u8]) -> io::Result<bool> {
    let mut next = vec![0; bytes.len()];
    Ok(is_there(from.read_exact(&mut next))? && next == bytes)
}

fn next_place(from: &mut impl Read, size: u8) -> io::Result<Option<u64>> {
    let (mut state, mut place) = ([0_u8; 1], [0_u8; 8]);
    let size = usize::from(size).min(place.len());
    let (low, _) = place.split_at_mut(size);
    let is_whole = is_there(from.read_exact(&mut state))? && is_there(from.read_exact(low))?;
    Ok((is_whole && state == [IS_SET]).then(|| u64::from_le_bytes(place)))
}

fn is_there(read: io::Result<()>) -> io::Result<bool> {
    match read {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{entry, toc};
    use super::super::{ArchiveFormat, ArchiveVersion, Compression};
    use super::*;
    use crate::model::SqlText;

    const STATISTICS: &str = "SELECT * FROM pg_catalog.pg_restore_relation_stats();\n";

    /// A table, its rows, their statistics, and large objects; the places of rows and objects, if they are known.
    fn custom(places: Option<[u64; 2]>) -> Toc {
        let known = |at: usize| match places {
            Some(places) => (OffsetState::Set, places[at]),
            None => (OffsetState::NotSet, 0),
        };
        let kinds = [
            ("TABLE", (OffsetState::NoData, 0)),
            ("TABLE DATA", known(0)),
            ("STATISTICS DATA", (OffsetState::NoData, 0)),
            ("BLOBS", known(1)),
        ];
        let numbered = (1..).map(DumpId).zip(kinds);
        let entries = numbered.map(|(dump_id, (desc, (state, position)))| Entry {
            dump_id,
            defn: (desc == "STATISTICS DATA").then(|| SqlText::from(STATISTICS)),
            data: DataPlace::Offset { state, position },
            ..entry(desc)
        });
        let mut custom = toc(entries.collect());
        custom.header.version = ArchiveVersion(1, 16, 0);
        custom.header.format = ArchiveFormat::Custom;
        custom.header.compression = Compression::Gzip;
        custom
    }

    /// Made out of what would be there without: the header is not there again, nor is what is made only once.
    fn appended(places: Option<[u64; 2]>) -> Vec<u8> {
        let toc = custom(places);
        let bytes = toc.to_bytes().expect("writable");
        let header = Toc {
            entries: Vec::new(),
            ..toc
        };
        let header = header.to_bytes().expect("writable").len() - 5;
        let mut bytes = bytes[header..].to_vec();
        let at = bytes
            .windows(STATISTICS.len())
            .position(|bytes| bytes == STATISTICS.as_bytes())
            .expect("it is there");
        bytes.drain(at - 5..at + STATISTICS.len());
        bytes
    }

    fn read(bytes: &[u8]) -> Option<HashMap<DumpId, u64>> {
        custom(None).read_appended(bytes).expect("no file")
    }

    #[test]
    fn it_says_where_everything_is() {
        let bytes = appended(Some([700, 1 << 40]));
        let length = custom(None).appended_bytes().expect("writable");
        assert_eq!(length, bytes.len() as u64);
        let places = HashMap::from([(DumpId(2), 700), (DumpId(4), 1 << 40)]);
        assert_eq!(read(&bytes), Some(places));
        let none = toc(Vec::new()).read_appended([0_u8; 5].as_slice());
        assert_eq!(none.expect("no file"), Some(HashMap::new()));
    }

    #[test]
    fn anything_else_is_something_else() {
        let bytes = appended(Some([700, 800]));
        for cut in 0..bytes.len() {
            assert_eq!(read(&bytes[..cut]), None, "cut at {cut}");
        }
        assert_eq!(read(&[bytes.as_slice(), b"\0"].concat()), None, "longer");
        let of_places = bytes.len() - 8..bytes.len();
        for at in (0..bytes.len()).filter(|at| !of_places.contains(at)) {
            let mut changed = bytes.clone();
            changed[at] ^= 4;
            let found = read(&changed);
            let is_place = found.is_some_and(|places| places[&DumpId(2)] != 700);
            assert!(is_place || read(&changed).is_none(), "changed at {at}");
        }
        assert_eq!(read(&appended(None)), None, "without places");
    }
}
