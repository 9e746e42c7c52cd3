//! Counts and hashes the rows of a COPY stream as it passes by.
//!
//! COPY TO sends exactly one row per `CopyData` message (manual, "COPY Operations"). In the binary format the 19-byte
//! file header stands in front of the first row, in the same message, and the trailer is a message of two bytes,
//! `0xFFFF`. So a row's bytes are its message's payload, and its hash is xxh3-128 of that payload. Header and trailer
//! are checked and not hashed; a binary stream without its trailer was cut short. Of a row with arrays, what is not the value's
//! own is left out of the hash as well (see [`ArrayRows`]).
//!
//! A message that does not fit into the caller's buffer is hashed piece by piece, so that a row of 1 GB costs no memory.
//! Whoever wants to look at the rows themselves gives a [`RowSink`], which is shown the beginning of each.

use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::arrays::ArrayRows;
use super::{BINARY_HEADER, MESSAGE_HEADER};
use crate::model::{MultisetDigest, RowLayout};

/// The field count that ends a binary stream.
const BINARY_TRAILER: &[u8; 2] = b"\xff\xff";

/// How much of a row is shown to a [`RowSink`] at least, if the row has as much: more than any key can be long, because an
/// index entry fits into a third of a page.
pub const HEAD: usize = 64 << 10;

/// Looks at the rows of a COPY stream as they pass by.
pub trait RowSink {
    /// One row: its hash, and its first 64 kB, or all of it.
    fn row(&mut self, hash: u128, head: &[u8]);

    /// A piece of a row that does not fit into the buffer: all of it comes so, piece by piece, before the row itself.
    fn piece(&mut self, _piece: &[u8]) {}

    /// How many of a row's first bytes are left out of its hash.
    fn unhashed(&self) -> usize {
        0
    }
}

/// For who only counts and hashes.
impl RowSink for () {
    fn row(&mut self, _hash: u128, _head: &[u8]) {}
}

/// A COPY stream that is not what the protocol promises.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ScanError {
    /// A length field smaller than itself.
    #[error("a CopyData message announces the impossible length {length}")]
    ImpossibleLength {
        /// The length field.
        length: i32,
    },
    /// A binary stream starts with something else.
    #[error("the binary COPY stream does not start with the header that PostgreSQL documents")]
    NoBinaryHeader,
    /// Fields that do not add up to the row.
    #[error("a row of the binary COPY stream does not consist of the fields that it announces")]
    MalformedRow,
    /// A field that was to be an array.
    #[error("a field of the binary COPY stream is no array, although its column is")]
    NoArray,
    /// Rows after the end.
    #[error("the binary COPY stream goes on after its trailer")]
    DataAfterTrailer,
    /// The stream ended early.
    #[error("the COPY stream was cut short: it ended {missing}")]
    CutShort {
        /// What had not arrived.
        missing: &'static str,
    },
}

/// The state between two buffers of one COPY stream.
pub struct RowScanner<S = ()> {
    sink: S,
    binary: bool,
    header_seen: bool,
    trailer_seen: bool,
    digest: MultisetDigest,
    large_message: Option<LargeMessage>,
    hasher: Box<Xxh3>,
    /// For rows that hold arrays.
    arrays: Option<ArrayRows>,
}

/// A message that is longer than the caller's buffer, under way.
struct LargeMessage {
    /// Payload bytes still to come.
    remaining: usize,
    /// The row's first bytes.
    head: Vec<u8>,
}

impl<S: RowSink> RowScanner<S> {
    /// For a stream of this layout that has not started.
    pub fn new(layout: RowLayout<'_>, sink: S) -> Self {
        let (binary, arrays) = match layout {
            RowLayout::Text => (false, None),
            RowLayout::Binary { arrays } => (true, ArrayRows::new(arrays)),
        };
        Self {
            sink,
            binary,
            header_seen: !binary,
            trailer_seen: !binary,
            digest: MultisetDigest::default(),
            large_message: None,
            hasher: Box::new(Xxh3::new()),
            arrays,
        }
    }

    /// Rows and hashes so far.
    pub fn digest(&self) -> MultisetDigest {
        self.digest
    }

    /// Takes in `CopyData` messages from the front of `buffer` and says how many bytes they were.
    ///
    /// Stops at the first message that is not `CopyData` (see [`Self::between_messages`]), and at one that is
    /// incomplete but could still fit into `capacity` bytes; a longer one is taken in piece by piece.
    pub fn scan(&mut self, buffer: &[u8], capacity: usize) -> Result<usize, ScanError> {
        let mut at = 0;
        if let Some(large) = &mut self.large_message {
            let piece = large.remaining.min(buffer.len());
            large.remaining -= piece;
            let is_whole = large.remaining == 0;
            self.hash_piece(&buffer[..piece])?;
            self.sink.piece(&buffer[..piece]);
            if !is_whole {
                return Ok(piece);
            }
            if let Some(arrays) = &self.arrays {
                arrays.end()?;
            }
            at = piece;
            if let Some(large) = self.large_message.take() {
                let hash = self.hasher.digest128();
                self.digest.add_row(hash);
                self.sink.row(hash, &large.head);
            }
        }
        while let Some(&[tag, a, b, c, d]) = buffer[at..].first_chunk::<MESSAGE_HEADER>() {
            if tag != b'd' {
                break;
            }
            let length = i32::from_be_bytes([a, b, c, d]);
            let payload = usize::try_from(length)
                .ok()
                .and_then(|length| length.checked_sub(4))
                .ok_or(ScanError::ImpossibleLength { length })?;
            let start = at + MESSAGE_HEADER;
            if let Some(message) = buffer[start..].get(..payload) {
                self.whole_message(message)?;
                at = start + payload;
            } else if MESSAGE_HEADER + payload > capacity
                && buffer.len() - start >= self.beginning(payload, capacity)
            {
                self.begin_large_message(&buffer[start..], payload)?;
                return Ok(buffer.len());
            } else {
                break;
            }
        }
        Ok(at)
    }

    /// What looked at the rows.
    pub fn into_sink(self) -> S {
        self.sink
    }

    /// Whether the last byte taken in was the last of a message: only then may another message follow.
    pub fn between_messages(&self) -> bool {
        self.large_message.is_none()
    }

    /// The digest of the whole stream, once the server has said `CopyDone`.
    pub fn finish(&self) -> Result<MultisetDigest, ScanError> {
        if !self.between_messages() {
            return Err(ScanError::CutShort {
                missing: "in the middle of a row",
            });
        }
        if !self.header_seen || !self.trailer_seen {
            return Err(ScanError::CutShort {
                missing: "without its trailer",
            });
        }
        Ok(self.digest)
    }

    fn whole_message(&mut self, message: &[u8]) -> Result<(), ScanError> {
        if !self.binary {
            return self.add_row(message);
        }
        let row = self.after_header(message)?;
        if row.is_empty() {
            return Ok(());
        }
        if self.trailer_seen {
            return Err(ScanError::DataAfterTrailer);
        }
        if row == BINARY_TRAILER {
            self.trailer_seen = true;
            return Ok(());
        }
        self.add_row(row)
    }

    fn add_row(&mut self, row: &[u8]) -> Result<(), ScanError> {
        let unhashed = self.sink.unhashed();
        let hash = match &mut self.arrays {
            None => xxh3_128(row.get(unhashed..).unwrap_or_default()),
            Some(arrays) => arrays.hash(row, unhashed)?,
        };
        self.digest.add_row(hash);
        self.sink.row(hash, row);
        Ok(())
    }

    /// A piece of a large message, behind its first.
    fn hash_piece(&mut self, piece: &[u8]) -> Result<(), ScanError> {
        let hasher = &mut self.hasher;
        match &mut self.arrays {
            None => hasher.update(piece),
            Some(arrays) => arrays.feed(piece, |bytes| hasher.update(bytes))?,
        }
        Ok(())
    }

    fn begin_large_message(&mut self, so_far: &[u8], payload: usize) -> Result<(), ScanError> {
        let mut row = so_far;
        if self.binary {
            if self.trailer_seen {
                return Err(ScanError::DataAfterTrailer);
            }
            row = self.after_header(so_far)?;
        }
        self.sink.piece(row);
        self.hasher.reset();
        let unhashed = self.sink.unhashed();
        match &mut self.arrays {
            None => self.hash_piece(row.get(unhashed..).unwrap_or_default())?,
            Some(arrays) => {
                arrays.begin(unhashed);
                self.hash_piece(row)?;
            }
        }
        self.large_message = Some(LargeMessage {
            remaining: payload - so_far.len(),
            head: row[..row.len().min(HEAD)].to_vec(),
        });
        Ok(())
    }

    /// How much of a message must be there before it is taken in piece by piece: the file header, if it is still to come,
    /// and the head that a sink is shown. A small buffer, as tests have, holds no such head.
    fn beginning(&self, payload: usize, capacity: usize) -> usize {
        let header = if self.header_seen {
            0
        } else {
            BINARY_HEADER.len()
        };
        (header + HEAD)
            .min(payload)
            .min((capacity - MESSAGE_HEADER).max(header))
    }

    /// Takes the file header off the first message of a binary stream.
    fn after_header<'a>(&mut self, message: &'a [u8]) -> Result<&'a [u8], ScanError> {
        if self.header_seen {
            return Ok(message);
        }
        self.header_seen = true;
        message
            .strip_prefix(BINARY_HEADER)
            .ok_or(ScanError::NoBinaryHeader)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(payload: &[u8]) -> Vec<u8> {
        let length = i32::try_from(payload.len() + 4)
            .expect("short")
            .to_be_bytes();
        [b"d".as_slice(), &length, payload].concat()
    }

    const BINARY: RowLayout<'_> = RowLayout::Binary { arrays: &[] };

    /// Feeds the stream through a buffer of `capacity`, `step` bytes at a time, the way the relay does.
    fn scan_in_steps(
        layout: RowLayout<'_>,
        stream: &[u8],
        capacity: usize,
        step: usize,
    ) -> Result<MultisetDigest, ScanError> {
        let mut scanner = RowScanner::new(layout, ());
        let mut buffer: Vec<u8> = Vec::new();
        let mut rest = stream;
        while !rest.is_empty() {
            let room = capacity - buffer.len();
            let (piece, later) = rest.split_at(step.min(room).min(rest.len()));
            assert!(!piece.is_empty(), "the scanner left no room");
            buffer.extend_from_slice(piece);
            rest = later;
            let taken = scanner.scan(&buffer, capacity)?;
            buffer.drain(..taken);
        }
        assert!(
            buffer.is_empty(),
            "{} bytes were not taken in",
            buffer.len()
        );
        scanner.finish()
    }

    #[test]
    fn binary_header_and_trailer_are_not_rows() {
        let empty = [message(
            &[BINARY_HEADER.as_slice(), BINARY_TRAILER].concat(),
        )]
        .concat();
        assert_eq!(
            scan_in_steps(BINARY, &empty, 64, 64).expect("scans").rows.0,
            0
        );
        let one = [
            message(&[BINARY_HEADER.as_slice(), b"\0\x01row"].concat()),
            message(BINARY_TRAILER),
        ]
        .concat();
        let digest = scan_in_steps(BINARY, &one, 64, 64).expect("scans");
        assert_eq!((digest.rows.0, digest.sum), (1, xxh3_128(b"\0\x01row")));
    }

    #[test]
    fn a_binary_stream_without_trailer_is_cut_short() {
        let stream = message(&[BINARY_HEADER.as_slice(), b"\0\x01row"].concat());
        let error = scan_in_steps(BINARY, &stream, 64, 64).expect_err("cut");
        assert_eq!(
            error,
            ScanError::CutShort {
                missing: "without its trailer"
            }
        );
        assert!(scan_in_steps(BINARY, &[], 64, 64).is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        assert_eq!(
            RowScanner::new(RowLayout::Text, ()).scan(b"d\0\0\0\x03", 64),
            Err(ScanError::ImpossibleLength { length: 3 })
        );
        assert_eq!(
            RowScanner::new(BINARY, ()).scan(&message(b"PGCOPY\r\n"), 64),
            Err(ScanError::NoBinaryHeader)
        );
        let late = [
            message(&[BINARY_HEADER.as_slice(), BINARY_TRAILER].concat()),
            message(b"\0\x01row"),
        ]
        .concat();
        assert_eq!(
            RowScanner::new(BINARY, ()).scan(&late, 128),
            Err(ScanError::DataAfterTrailer)
        );
    }

    #[test]
    fn it_stops_at_the_first_other_message() {
        let stream = [message(b"row\n"), b"c\0\0\0\x04".to_vec()].concat();
        let mut scanner = RowScanner::new(RowLayout::Text, ());
        assert_eq!(scanner.scan(&stream, 64), Ok(9));
        assert!(scanner.between_messages());
    }

    proptest! {
        /// However the stream is cut into reads, and whether or not a row fits the buffer, the digest is the same.
        #[test]
        fn the_digest_does_not_depend_on_the_cuts(
            rows in prop::collection::vec(prop::collection::vec(any::<u8>(), 3..200), 0..40),
            step in 1_usize..70,
            binary: bool,
        ) {
            let mut expected = MultisetDigest::default();
            for row in &rows {
                expected.add_row(xxh3_128(row));
            }
            let (layout, stream) = if binary {
                let mut payloads = rows.clone();
                payloads.push(BINARY_TRAILER.to_vec());
                payloads[0] = [BINARY_HEADER.as_slice(), &payloads[0]].concat();
                (BINARY, payloads.iter().flat_map(|row| message(row)).collect::<Vec<u8>>())
            } else {
                (RowLayout::Text, rows.iter().flat_map(|row| message(row)).collect())
            };
            // 64 bytes: most rows do not fit, and are taken in piece by piece.
            prop_assert_eq!(scan_in_steps(layout, &stream, 64, step), Ok(expected));
            prop_assert_eq!(scan_in_steps(layout, &stream, 4096, step), Ok(expected));
        }
    }

    /// A field as `array_send` makes it, of strings or NULLs.
    #[derive(Debug, Clone)]
    struct Array {
        flags: u32,
        dimensions: Vec<(u32, i32)>,
        elements: Vec<Option<Vec<u8>>>,
    }

    impl Array {
        /// What is sent, or with `own` only that which belongs to the value.
        fn bytes(&self, own: bool) -> Vec<u8> {
            let dimensions = if own && self.elements.is_empty() {
                &[]
            } else {
                self.dimensions.as_slice()
            };
            let count = u32::try_from(dimensions.len()).expect("few");
            let mut bytes = count.to_be_bytes().to_vec();
            if !own {
                bytes.extend(self.flags.to_be_bytes());
            }
            bytes.extend(25_u32.to_be_bytes());
            for (size, bound) in dimensions {
                bytes.extend(size.to_be_bytes());
                bytes.extend(bound.to_be_bytes());
            }
            for element in &self.elements {
                bytes.extend(field(element.as_deref()));
            }
            bytes
        }

        /// With its length, which is that of what arrives.
        fn field(&self, own: bool) -> Vec<u8> {
            let mut bytes = self.bytes(own);
            let left_out = if own { 4 } else { 0 };
            let length = i32::try_from(bytes.len() + left_out).expect("short");
            bytes.splice(0..0, length.to_be_bytes());
            bytes
        }
    }

    fn field(value: Option<&[u8]>) -> Vec<u8> {
        let length = value.map_or(-1, |value| i32::try_from(value.len()).expect("short"));
        [&length.to_be_bytes(), value.unwrap_or_default()].concat()
    }

    #[derive(Debug, Clone)]
    enum Value {
        Plain(Option<Vec<u8>>),
        Array(Option<Array>),
    }

    /// A row of these fields: as it is sent, or what of it is to be hashed.
    fn row(values: &[Value], own: bool) -> Vec<u8> {
        let count = u16::try_from(values.len()).expect("few");
        let mut row = count.to_be_bytes().to_vec();
        for value in values {
            row.extend(match value {
                Value::Plain(value) => field(value.as_deref()),
                Value::Array(Some(array)) => array.field(own),
                Value::Array(None) => field(None),
            });
        }
        row
    }

    fn some_array() -> impl Strategy<Value = Array> {
        let element = prop::option::of(prop::collection::vec(any::<u8>(), 0..12));
        let dimension = (0_u32..4, any::<i32>());
        let parts = (
            0_u32..2,
            prop::collection::vec(dimension, 0..4),
            prop::collection::vec(element, 0..9),
        );
        parts.prop_map(|(flags, mut dimensions, elements)| {
            if !elements.is_empty() {
                dimensions.push((1, 1));
            }
            Array {
                flags,
                dimensions,
                elements,
            }
        })
    }

    fn some_value(is_array: bool) -> BoxedStrategy<Value> {
        if is_array {
            prop::option::weighted(0.8, some_array())
                .prop_map(Value::Array)
                .boxed()
        } else {
            let bytes = prop::collection::vec(any::<u8>(), 0..40);
            prop::option::weighted(0.8, bytes)
                .prop_map(Value::Plain)
                .boxed()
        }
    }

    /// Which columns are arrays, and rows of such columns.
    fn some_rows() -> impl Strategy<Value = (Vec<bool>, Vec<Vec<Value>>)> {
        prop::collection::vec(any::<bool>(), 1..6).prop_flat_map(|columns| {
            let row: Vec<_> = columns.iter().copied().map(some_value).collect();
            (Just(columns), prop::collection::vec(row, 1..20))
        })
    }

    fn places(columns: &[bool]) -> Vec<u16> {
        let places = (0..).zip(columns).filter(|(_, is_array)| **is_array);
        places.map(|(place, _)| place).collect()
    }

    fn stream(rows: &[Vec<Value>]) -> Vec<u8> {
        let mut payloads: Vec<Vec<u8>> = rows.iter().map(|values| row(values, false)).collect();
        payloads.push(BINARY_TRAILER.to_vec());
        payloads[0].splice(0..0, *BINARY_HEADER);
        payloads
            .iter()
            .flat_map(|payload| message(payload))
            .collect()
    }

    /// Keeps what it is shown, and leaves out the field count and the first field, which has two bytes.
    #[derive(Default)]
    struct BehindTheFirst(Vec<u128>);

    impl RowSink for BehindTheFirst {
        fn row(&mut self, hash: u128, _head: &[u8]) {
            self.0.push(hash);
        }

        fn unhashed(&self) -> usize {
            2 + 4 + 2
        }
    }

    proptest! {
        /// Flags and dimensions without elements do not count, and everything else does, wherever the stream is cut.
        #[test]
        fn of_arrays_only_the_values_own_bytes_are_hashed(
            (columns, rows) in some_rows(),
            step in 1_usize..70,
        ) {
            let mut expected = MultisetDigest::default();
            for values in &rows {
                expected.add_row(xxh3_128(&row(values, true)));
            }
            let (arrays, stream) = (places(&columns), stream(&rows));
            let layout = RowLayout::Binary { arrays: &arrays };
            prop_assert_eq!(scan_in_steps(layout, &stream, 64, step), Ok(expected));
            prop_assert_eq!(scan_in_steps(layout, &stream, 4096, step), Ok(expected));
        }

        /// What is in front of a row does not count, with arrays as without.
        #[test]
        fn the_front_is_left_out_of_rows_with_arrays((columns, rows) in some_rows()) {
            let behind = |rows: &[Vec<Value>], columns: &[bool], front: [u8; 2]| {
                let front = Value::Plain(Some(front.to_vec()));
                let rows: Vec<Vec<Value>> = rows
                    .iter()
                    .map(|values| [std::slice::from_ref(&front), values].concat())
                    .collect();
                let arrays = places(&[&[false], columns].concat());
                let layout = RowLayout::Binary { arrays: &arrays };
                let mut scanner = RowScanner::new(layout, BehindTheFirst::default());
                let stream = stream(&rows);
                assert_eq!(scanner.scan(&stream, 1 << 20), Ok(stream.len()));
                scanner.into_sink().0
            };
            let hashes = behind(&rows, &columns, *b"ab");
            prop_assert_eq!(&hashes, &behind(&rows, &columns, *b"cd"));
            let own = rows.iter().map(|values| xxh3_128(&row(values, true)[2..]));
            prop_assert_eq!(hashes, own.collect::<Vec<_>>());
        }

        /// What is no row is told, not taken for one; and whatever it is, nobody panics.
        #[test]
        fn nonsense_in_place_of_a_row_is_refused(
            bytes in prop::collection::vec(prop_oneof![Just(0_u8), 0..4_u8, any::<u8>()], 3..60),
            (columns, rows) in some_rows(),
            cut in any::<prop::sample::Index>(),
            step in 1_usize..70,
        ) {
            let layout = RowLayout::Binary { arrays: &[0, 2] };
            let stream = [BINARY_HEADER.as_slice(), &bytes].concat();
            let _ = scan_in_steps(layout, &message(&stream), 4096, step);
            let _ = scan_in_steps(layout, &message(&stream), 64, step);

            let arrays = places(&columns);
            prop_assume!(!arrays.is_empty());
            let layout = RowLayout::Binary { arrays: &arrays };
            let whole = row(&rows[0], false);
            let short = &whole[..cut.index(whole.len())];
            let long = [whole.as_slice(), b"\0"].concat();
            for row in [short, &long].into_iter().filter(|row| !row.is_empty()) {
                let stream = message(&[BINARY_HEADER.as_slice(), row].concat());
                for capacity in [64, 4096] {
                    let refused = scan_in_steps(layout, &stream, capacity, step);
                    prop_assert!(matches!(
                        refused,
                        Err(ScanError::MalformedRow | ScanError::NoArray)
                    ), "{:?}", refused);
                }
            }
        }
    }

    #[test]
    fn what_is_no_array_is_not_taken_for_one() {
        let one = |value: &[u8]| {
            let row = [&[0, 1], field(Some(value)).as_slice()].concat();
            let stream = message(&[BINARY_HEADER.as_slice(), &row].concat());
            scan_in_steps(RowLayout::Binary { arrays: &[0] }, &stream, 4096, 4096)
        };
        assert_eq!(one(b"eleven byte"), Err(ScanError::NoArray));
        assert_eq!(one(b"twelve bytes"), Err(ScanError::NoArray));
        assert_eq!(
            one(b"\0\0\0\x01\0\0\0\x02\0\0\0\x19"),
            Err(ScanError::NoArray)
        );
        // There are fewer columns than there should be.
        let stream = message(&[BINARY_HEADER.as_slice(), b"\0\x01\0\0\0\x01x"].concat());
        let layout = RowLayout::Binary { arrays: &[1] };
        assert_eq!(
            scan_in_steps(layout, &stream, 4096, 4096),
            Err(ScanError::MalformedRow)
        );
    }
}
