//! Large objects as they come: rows of a binary COPY, in parts of a megabyte, taken apart without holding a part.
//!
//! A row is OID, number of the part, bytes; the parts of an object are in order, and every object has a part 0.

use std::io::{self, Write};

use super::BINARY_HEADER;
use crate::model::Oid;

/// Takes large objects in.
pub trait ObjectSink {
    /// An object begins; the one before it is whole.
    fn begin(&mut self, oid: Oid) -> io::Result<()>;
    /// More of its content.
    fn content(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// There are no more.
    fn end(&mut self) -> io::Result<()>;
}

const HEADER: usize = BINARY_HEADER.len();
/// Number of fields; length and value of the OID and of the part's number; length of the content.
const ROW: usize = 2 + 8 + 8 + 4;

/// Where a binary COPY stream is.
enum At {
    /// In the header of the file.
    Header,
    /// Before a row, or the trailer.
    Row,
    /// In the content of a part: so many bytes are still to come.
    Content(usize),
    /// Behind the trailer.
    End,
}

/// Takes the rows apart.
pub struct ObjectRows<S> {
    sink: S,
    at: At,
    /// What is too short to be understood yet.
    pending: Vec<u8>,
    /// The object that is coming, and which part of it comes next.
    current: Option<(Oid, u32)>,
}

impl<S: ObjectSink> ObjectRows<S> {
    /// For a stream that has not started.
    pub fn new(sink: S) -> Self {
        Self {
            sink,
            at: At::Header,
            pending: Vec::new(),
            current: None,
        }
    }

    /// The stream has ended; an error if that is not how it ends.
    pub fn finish(mut self) -> io::Result<S> {
        if !matches!(self.at, At::End) {
            let what = "large objects ended in the middle";
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
        }
        self.sink.end()?;
        Ok(self.sink)
    }

    /// What takes them in.
    pub fn sink(&self) -> &S {
        &self.sink
    }

    fn row(&mut self, row: [u8; ROW]) -> io::Result<()> {
        let int = |at: usize| u32::from_be_bytes([row[at], row[at + 1], row[at + 2], row[at + 3]]);
        if row[..2] != [0, 3] || int(2) != 4 || int(10) != 4 {
            return Err(io::Error::other("a large object came as no such row"));
        }
        let (oid, part) = (Oid(int(6)), int(14));
        let length = usize::try_from(int(18)).unwrap_or(usize::MAX);
        if part == 0 {
            self.sink.begin(oid)?;
        } else if self.current != Some((oid, part)) {
            let what = format!("the parts of large object {oid} are not in order");
            return Err(io::Error::other(what));
        }
        self.current = Some((oid, part.saturating_add(1)));
        self.at = after(length);
        Ok(())
    }

    /// Collects as many bytes as are wanted; `None` if more have to come.
    fn collect<const N: usize>(&mut self, bytes: &mut &[u8]) -> Option<[u8; N]> {
        let (piece, rest) = bytes.split_at(bytes.len().min(N - self.pending.len()));
        self.pending.extend_from_slice(piece);
        *bytes = rest;
        let whole = self.pending.first_chunk::<N>().copied()?;
        self.pending.clear();
        Some(whole)
    }
}

fn after(left: usize) -> At {
    if left == 0 {
        At::Row
    } else {
        At::Content(left)
    }
}

impl<S: ObjectSink> Write for ObjectRows<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.at {
                At::Header => {
                    if self.collect::<HEADER>(&mut rest).is_some() {
                        self.at = At::Row;
                    }
                }
                At::Row => {
                    let mut first = self.pending.iter().chain(rest).take(2);
                    if first.all(|&byte| byte == 0xff) {
                        (self.at, rest) = (At::End, &[]);
                    } else if let Some(row) = self.collect::<ROW>(&mut rest) {
                        self.row(row)?;
                    }
                }
                At::Content(left) => {
                    let (piece, later) = rest.split_at(rest.len().min(left));
                    self.sink.content(piece)?;
                    rest = later;
                    self.at = after(left - piece.len());
                }
                At::End => rest = &[],
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Heard(Vec<(u32, Vec<u8>)>);

    impl ObjectSink for Heard {
        fn begin(&mut self, oid: Oid) -> io::Result<()> {
            self.0.push((oid.0, Vec::new()));
            Ok(())
        }
        fn content(&mut self, bytes: &[u8]) -> io::Result<()> {
            let (_, content) = self.0.last_mut().expect("it has begun");
            content.extend_from_slice(bytes);
            Ok(())
        }
        fn end(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn row(oid: u32, part: u32, content: &[u8]) -> Vec<u8> {
        let mut row = vec![0, 3];
        for (length, value) in [(4, oid), (4, part)] {
            row.extend(u32::to_be_bytes(length));
            row.extend(value.to_be_bytes());
        }
        row.extend(u32::try_from(content.len()).expect("short").to_be_bytes());
        row.extend(content);
        row
    }

    #[test]
    fn objects_are_put_together_wherever_the_stream_is_cut() {
        let stream = [
            b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec(),
            row(7, 0, b"one"),
            row(7, 1, b"two"),
            row(255, 0, b""),
            row(0xffff_0000, 0, b"\xff\xff"),
            vec![0xff, 0xff],
        ]
        .concat();
        for cut in 0..=stream.len() {
            let mut rows = ObjectRows::new(Heard::default());
            rows.write_all(&stream[..cut]).expect("taken");
            rows.write_all(&stream[cut..]).expect("taken");
            let heard = rows.finish().expect("ended").0;
            let expected = [
                (7, b"onetwo".to_vec()),
                (255, vec![]),
                (0xffff_0000, vec![0xff, 0xff]),
            ];
            assert_eq!(heard, expected, "cut at {cut}");
        }
        // The first part, or one in between, is missing.
        for odd in [
            vec![row(7, 1, b"x")],
            vec![row(7, 0, b"x"), row(7, 2, b"x")],
        ] {
            let odd = [&stream[..HEADER], &odd.concat()].concat();
            let mut rows = ObjectRows::new(Heard::default());
            assert!(rows.write_all(&odd).is_err());
        }
        for cut in 0..stream.len() - 1 {
            let mut rows = ObjectRows::new(Heard::default());
            rows.write_all(&stream[..cut]).expect("taken");
            assert!(rows.finish().is_err(), "cut at {cut}");
        }
    }
}
