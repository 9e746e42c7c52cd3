//! What is in a data file once it is decompressed.
//!
//! A table's file is what COPY sends in its text format, a row a line: within a row a line feed is written as `\n`. After the
//! rows comes a line `\.`, which no row can be, and two empty ones. `pg_dump` writes that before it has seen that COPY ended
//! well, so it proves nothing; but a file without it is not whole.

use std::io::{self, BufRead, Write};

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::{Content, FileFacts};
use crate::model::{MultisetDigest, Rows};

/// What `pg_dump` writes behind the rows of a table.
pub const DATA_END: &[u8] = b"\\.\n\n\n";

/// The line that ends the rows.
const LAST_LINE: &[u8] = b"\\.\n";

/// Reads the rows of a table to the end of what there is, and hashes each as the server sends it, with its line feed.
pub struct DataReader {
    content: Content,
    /// The beginning of a row that is not whole yet.
    head: Vec<u8>,
    /// The whole of it.
    hash: Box<Xxh3>,
    /// How many of its bytes are there.
    pending: u64,
    ended: bool,
    behind: Vec<u8>,
}

impl Default for DataReader {
    fn default() -> Self {
        Self {
            content: Content::default(),
            head: Vec::new(),
            hash: Box::new(Xxh3::new()),
            pending: 0,
            ended: false,
            behind: Vec::new(),
        }
    }
}

impl DataReader {
    /// Takes in what comes next.
    pub fn take(&mut self, bytes: &[u8]) {
        let mut at = 0;
        while at < bytes.len() && !self.ended {
            let rest = &bytes[at..];
            let Some(end) = memchr::memchr(b'\n', rest) else {
                self.begin(rest);
                return;
            };
            let line = &rest[..=end];
            if self.pending == 0 {
                if line == LAST_LINE {
                    self.ended = true;
                } else {
                    self.row(xxh3_128(line), line.len() as u64);
                }
            } else {
                self.begin(line);
                if self.head == LAST_LINE {
                    self.ended = true;
                } else {
                    self.row(self.hash.digest128(), self.pending);
                }
                self.pending = 0;
                self.head.clear();
            }
            if self.ended {
                self.behind.extend_from_slice(LAST_LINE);
            }
            at += line.len();
        }
        if self.ended {
            self.rest(&bytes[at..]);
        }
    }

    /// How many of the bytes that were taken in are rows for certain: the beginning of a line may be that of the end.
    fn certain(&self) -> u64 {
        let may_be_the_end = LAST_LINE.starts_with(&self.head);
        self.content.bytes
            + if may_be_the_end || self.ended {
                0
            } else {
                self.pending
            }
    }

    /// What the rows were, if they ended as they should: with `\.`, or, if this is only a part of a file, without.
    pub fn finish(self, is_part: bool) -> Result<Content, String> {
        if self.pending > 0 {
            return Err(format!(
                "it ends in the middle of a row, after {} whole rows",
                self.content.digest.rows
            ));
        }
        match (is_part, self.ended, self.behind == DATA_END) {
            (true, false, _) | (false, true, true) => Ok(self.content),
            (true, true, _) => Err("there is an end of rows where none belongs".to_owned()),
            (false, false, _) => Err(format!(
                "it ends after {} rows, without the line \\. after them",
                self.content.digest.rows
            )),
            (false, true, false) => Err(format!(
                "something other than two empty lines follows the end of its {} rows",
                self.content.digest.rows
            )),
        }
    }

    fn begin(&mut self, piece: &[u8]) {
        if self.pending == 0 {
            self.hash.reset();
        }
        self.hash.update(piece);
        self.pending += piece.len() as u64;
        let room = (LAST_LINE.len() + 1).saturating_sub(self.head.len());
        self.head.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    fn row(&mut self, hash: u128, bytes: u64) {
        self.content.digest.add_row(hash);
        self.content.bytes += bytes;
    }

    /// Behind the end; no more of it is kept than tells that it is wrong.
    fn rest(&mut self, bytes: &[u8]) {
        let room = (DATA_END.len() + 1).saturating_sub(self.behind.len());
        self.behind
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// Reads rows to the end of what there is. The outer error is the file's, the inner one that of its content.
pub fn read_rows(from: &mut impl BufRead, is_part: bool) -> io::Result<Result<Content, String>> {
    let mut reader = DataReader::default();
    loop {
        let bytes = from.fill_buf()?;
        if bytes.is_empty() {
            return Ok(reader.finish(is_part));
        }
        let count = bytes.len();
        reader.take(bytes);
        from.consume(count);
    }
}

/// The rows of a table's file, piece by piece, without what stands behind them.
pub struct RowPieces<R> {
    from: R,
    reader: DataReader,
    /// Taken in, and not given out yet: it may be the beginning of the end.
    held: Vec<u8>,
    given: u64,
    /// How much of a stripe was taken in.
    of_stripe: u64,
}

/// A piece of a stripe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stretch {
    /// There is none: the file is at its end.
    Nothing,
    /// More of the stripe follows.
    Within,
    /// The stripe ends with it, and with a row.
    Last,
}

impl<R: BufRead> RowPieces<R> {
    /// From the beginning of a file.
    pub fn new(from: R) -> Self {
        Self {
            from,
            reader: DataReader::default(),
            held: Vec::new(),
            given: 0,
            of_stripe: 0,
        }
    }

    /// Appends the next piece to `into`; `false` if there is none. It may end in the middle of a row.
    pub fn next(&mut self, into: &mut Vec<u8>) -> io::Result<bool> {
        Ok(self.take(u64::MAX, into)? > 0)
    }

    /// The same, but no more than to the end of a stripe: of the row with which it has this length.
    pub fn next_in_stripe(&mut self, length: u64, into: &mut Vec<u8>) -> io::Result<Stretch> {
        let count = self.take(length.saturating_sub(self.of_stripe), into)?;
        self.of_stripe += count;
        Ok(if count == 0 {
            Stretch::Nothing
        } else if self.of_stripe >= length && self.reader.pending == 0 {
            self.of_stripe = 0;
            Stretch::Last
        } else {
            Stretch::Within
        })
    }

    /// Takes in what is there, but nothing behind the row with which it is `enough`. Returns how much that was.
    fn take(&mut self, enough: u64, into: &mut Vec<u8>) -> io::Result<u64> {
        let there = self.from.fill_buf()?;
        let piece = &there[..end_of_row(there, enough)];
        let count = piece.len();
        self.reader.take(piece);
        let certain = self.reader.certain().saturating_sub(self.given);
        let mut left = usize::try_from(certain).unwrap_or(usize::MAX);
        let of_held = left.min(self.held.len());
        into.extend(self.held.drain(..of_held));
        left = (left - of_held).min(count);
        into.extend_from_slice(&piece[..left]);
        // No more than the two characters that the end begins with; what follows the end is nobody's.
        if self.reader.ended {
            self.held.clear();
        } else {
            self.held.extend_from_slice(&piece[left..]);
        }
        self.given += certain;
        self.from.consume(count);
        Ok(count as u64)
    }

    /// What the rows were; the error is what is wrong with the file.
    pub fn finish(self) -> Result<Content, String> {
        self.reader.finish(false)
    }

    /// How many rows there have been so far.
    pub fn rows(&self) -> Rows {
        self.reader.content.digest.rows
    }

    /// What the rows have been so far, as far as they are whole.
    pub fn content(&self) -> Content {
        self.reader.content
    }
}

/// Where the row ends with which there are so many bytes, or at least one; all of it, if that does not end here.
fn end_of_row(piece: &[u8], enough: u64) -> usize {
    let least = usize::try_from(enough.saturating_sub(1)).unwrap_or(usize::MAX);
    let rest = piece.get(least..).unwrap_or_default();
    memchr::memchr(b'\n', rest).map_or(piece.len(), |at| least + at + 1)
}

/// Reads a large object to its end.
pub fn read_large_object(from: &mut impl BufRead) -> io::Result<FileFacts> {
    let mut summed = super::Summed::new(io::sink());
    loop {
        let bytes = from.fill_buf()?;
        if bytes.is_empty() {
            return Ok(summed.facts());
        }
        let count = bytes.len();
        summed.write_all(bytes)?;
        from.consume(count);
    }
}

impl Content {
    /// Two parts of one table.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            digest: self.digest + other.digest,
            bytes: self.bytes + other.bytes,
        }
    }

    /// What has come since it was this.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            digest: self.digest.since(earlier.digest),
            bytes: self.bytes.wrapping_sub(earlier.bytes),
        }
    }

    /// Of rows that were counted and hashed.
    pub fn new(digest: MultisetDigest, bytes: u64) -> Self {
        Self { digest, bytes }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pieces: &[&[u8]], is_part: bool) -> Result<Content, String> {
        let mut reader = DataReader::default();
        for piece in pieces {
            reader.take(piece);
        }
        reader.finish(is_part)
    }

    #[test]
    fn a_file_ends_as_pg_dump_ends_it() {
        let content = read(&[b"1\ta\n2\t\\\\.\n\\.\n\n\n"], false).expect("whole");
        assert_eq!(content.digest.rows.0, 2);
        assert_eq!(content.bytes, 10);
        let none = read(&[b"\\.\n\n\n"], false).expect("whole");
        assert_eq!(none, Content::default());
        for (file, why) in [
            (&b"1\n2"[..], "in the middle of a row"),
            (b"1\n", "without the line"),
            (b"", "without the line"),
            (b"1\n\\.\n", "something other"),
            (b"1\n\\.\n\n", "something other"),
            (b"1\n\\.\n\n\n\n", "something other"),
            (b"1\n\\.\n1\n\n", "something other"),
        ] {
            let complaint = read(&[file], false).expect_err(why);
            assert!(complaint.contains(why), "{complaint}");
        }
        assert!(read(&[b"1\n"], true).is_ok());
        assert!(read(&[b"1\n\\.\n\n\n"], true).is_err());
    }

    /// What a reader gets in these pieces.
    struct Cut<'a>(std::collections::VecDeque<&'a [u8]>);

    impl io::Read for Cut<'_> {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            unreachable!("it is read as a buffer")
        }
    }

    impl BufRead for Cut<'_> {
        fn fill_buf(&mut self) -> io::Result<&[u8]> {
            Ok(self.0.front().copied().unwrap_or_default())
        }

        fn consume(&mut self, count: usize) {
            let piece = self.0.pop_front().unwrap_or_default();
            let rest = &piece[count..];
            if !rest.is_empty() {
                self.0.push_front(rest);
            }
        }
    }

    /// A file of these rows, in these pieces.
    fn file(rows: &[String]) -> Vec<u8> {
        [rows.concat().into_bytes(), DATA_END.to_vec()].concat()
    }

    fn in_pieces(file: &[u8], mut cuts: Vec<usize>) -> Vec<&[u8]> {
        for cut in &mut cuts {
            *cut %= file.len() + 1;
        }
        cuts.extend([0, file.len()]);
        cuts.sort_unstable();
        let pieces = cuts.windows(2).map(|pair| &file[pair[0]..pair[1]]);
        pieces.filter(|piece| !piece.is_empty()).collect()
    }

    fn escaped(rows: &[String]) -> Vec<String> {
        let escaped = rows.iter().map(|row| row.replace('\\', "\\\\") + "\n");
        escaped.collect()
    }

    /// Rows, each stripe up to the one with which it is so long.
    fn in_stripes(rows: &[String], length: u64) -> Vec<String> {
        let mut stripes: Vec<String> = Vec::new();
        for row in rows {
            match stripes
                .last_mut()
                .filter(|last| (last.len() as u64) < length)
            {
                Some(stripe) => stripe.push_str(row),
                None => stripes.push(row.clone()),
            }
        }
        stripes
    }

    proptest! {
        #[test]
        fn it_does_not_matter_where_the_pieces_are_cut(
            rows in proptest::collection::vec("[a-z\\\\.]{0,6}", 0..8),
            cuts in proptest::collection::vec(0..80_usize, 0..6),
        ) {
            let rows = escaped(&rows);
            let file = file(&rows);
            let pieces = in_pieces(&file, cuts);
            let mut expected = MultisetDigest::default();
            for row in &rows {
                expected.add_row(xxh3_128(row.as_bytes()));
            }
            let content = read(&pieces, false).expect("whole");
            prop_assert_eq!(content.digest, expected);
            let mut rows = RowPieces::new(Cut(pieces.into_iter().collect()));
            let mut given = Vec::new();
            while rows.next(&mut given).expect("no file that could fail") {}
            prop_assert_eq!(rows.finish().expect("whole"), content);
            prop_assert_eq!(given, &file[..file.len() - DATA_END.len()]);
        }

        #[test]
        fn nor_do_stripes_depend_on_it(
            rows in proptest::collection::vec("[a-z\\\\.]{0,6}", 0..8),
            cuts in proptest::collection::vec(0..80_usize, 0..6),
            length in 1..15_u64,
        ) {
            let rows = escaped(&rows);
            let file = file(&rows);
            let mut read = RowPieces::new(Cut(in_pieces(&file, cuts).into_iter().collect()));
            let (mut stripes, mut sum) = (Vec::new(), Content::default());
            loop {
                let (mut stripe, before) = (Vec::new(), read.content());
                let stretch = loop {
                    let stretch = read.next_in_stripe(length, &mut stripe).expect("no file that could fail");
                    if stretch != Stretch::Within {
                        break stretch;
                    }
                };
                let part = read.content().since(before);
                prop_assert_eq!(part.bytes, stripe.len() as u64);
                sum = sum.and(part);
                // The end of the file has lines, too, and no rows.
                if !stripe.is_empty() {
                    stripes.push(String::from_utf8(stripe).expect("text"));
                }
                if stretch == Stretch::Nothing {
                    break;
                }
            }
            prop_assert_eq!(sum, read.finish().expect("whole"));
            prop_assert_eq!(stripes, in_stripes(&rows, length));
        }
    }
}
