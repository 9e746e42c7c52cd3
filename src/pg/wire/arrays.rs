//! The bytes of a row that are its own, when some of its columns are arrays.
//!
//! The binary form of an array (`array_send` in arrayfuncs.c) says more than its value:
//!
//! ```text
//!   length │ dimensions │ flags │ element type │ size and lower bound │ length and bytes │ …
//!          │            │       │              │  of each dimension   │ of each element  │
//! ```
//!
//! The flags say whether there is room for NULLs, which an array keeps when its last NULL is gone, and a copy of it does not
//! have: they are left out. And an array without elements may have dimensions, of size zero, as functions of old servers made
//! them; whoever receives one drops them, and so it counts as one without dimensions. All the rest is the value's own.
//!
//! A row may come in pieces that are cut anywhere; what there is to look at is then held until all of it is there.

use xxhash_rust::xxh3::xxh3_128;

use super::scanner::ScanError;

/// More dimensions no array has (`MAXDIM` in array.h).
const MAX_DIMENSIONS: u32 = 6;

/// Dimensions, flags and element type.
const ARRAY_HEADER: usize = 12;

/// The length of an array without dimensions: nothing but the header.
const EMPTY_ARRAY: i32 = 12;

/// Size and lower bound of a dimension.
const DIMENSION: usize = 8;

/// Goes through the fields of rows, and says what of them is to be hashed.
pub(super) struct ArrayRows {
    /// Places of the arrays among the fields, in ascending order.
    arrays: Box<[u16]>,
    /// What of a whole row is to be hashed; kept only for its memory.
    row: Vec<u8>,
    step: Step,
    /// Fields of the row.
    fields: u16,
    /// The field that is next, and the array that is.
    next: (u16, usize),
    /// Bytes at the front that are still to be left out.
    unhashed: usize,
    /// The first bytes of a number, or of an array's header, of which the rest is in the next piece.
    held: [u8; ARRAY_HEADER],
    held_bytes: usize,
}

/// What comes next in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The number of its fields.
    FieldCount,
    /// The length of a field that is no array.
    Length,
    /// So many bytes that are taken as they are.
    Value(usize),
    /// The length of an array.
    ArrayLength,
    /// Its header.
    ArrayHeader { length: i32, behind: usize },
    /// So many bytes of dimensions without elements.
    NoElements(usize),
    /// Nothing.
    End,
}

impl ArrayRows {
    /// For rows with arrays at these places; `None` if there are none, and rows can be taken as they are.
    pub fn new(arrays: &[u16]) -> Option<Self> {
        (!arrays.is_empty()).then(|| Self {
            arrays: arrays.into(),
            row: Vec::new(),
            step: Step::End,
            fields: 0,
            next: (0, 0),
            unhashed: 0,
            held: [0; ARRAY_HEADER],
            held_bytes: 0,
        })
    }

    /// The hash of a whole row, without so many of its first bytes.
    pub fn hash(&mut self, row: &[u8], unhashed: usize) -> Result<u128, ScanError> {
        let mut own = std::mem::take(&mut self.row);
        own.clear();
        self.begin(unhashed);
        let taken = self.feed(row, |bytes| own.extend_from_slice(bytes));
        let hash = xxh3_128(&own);
        self.row = own;
        taken.and_then(|()| self.end()).map(|()| hash)
    }

    /// A row begins.
    pub fn begin(&mut self, unhashed: usize) {
        self.step = Step::FieldCount;
        self.next = (0, 0);
        self.unhashed = unhashed;
        self.held_bytes = 0;
    }

    /// Takes in the next piece of the row. What `hash` is given, all of it together, does not depend on where it is cut.
    pub fn feed(&mut self, piece: &[u8], mut hash: impl FnMut(&[u8])) -> Result<(), ScanError> {
        // From `run` up to `rest` are bytes that are taken as they are, in one go.
        let (mut run, mut rest) = (piece, piece);
        loop {
            let step = self.step;
            match step {
                Step::FieldCount => {
                    let Some(count) = self.take(&mut rest) else {
                        break;
                    };
                    self.fields = u16::from_be_bytes(count);
                    self.step = self.next_field();
                }
                Step::Length if self.skip_whole_fields(&mut rest) => {
                    self.step = self.next_field();
                }
                Step::Length => {
                    let Some(length) = self.take(&mut rest) else {
                        break;
                    };
                    let length = length_of(i32::from_be_bytes(length))?;
                    self.step = Step::Value(length.unwrap_or(0));
                }
                Step::Value(left) => match left.checked_sub(rest.len()) {
                    None | Some(0) => {
                        rest = &rest[left..];
                        self.step = self.next_field();
                    }
                    Some(left) => {
                        rest = &[];
                        self.step = Step::Value(left);
                        break;
                    }
                },
                Step::ArrayLength | Step::ArrayHeader { .. } | Step::NoElements(_) => {
                    self.pass(&run[..run.len() - rest.len()], &mut hash);
                    let goes_on = self.array(&mut rest, &mut hash)?;
                    run = rest;
                    if !goes_on {
                        break;
                    }
                }
                Step::End if rest.is_empty() => break,
                Step::End => return Err(ScanError::MalformedRow),
            }
        }
        self.pass(&run[..run.len() - rest.len()], &mut hash);
        Ok(())
    }

    /// The row has ended: was it whole, and were the arrays in it?
    pub fn end(&self) -> Result<(), ScanError> {
        if self.step == Step::End && self.next.1 == self.arrays.len() {
            Ok(())
        } else {
            Err(ScanError::MalformedRow)
        }
    }

    /// What of an array is not taken as it is. Says whether there was enough to get a step further.
    fn array(&mut self, rest: &mut &[u8], hash: &mut impl FnMut(&[u8])) -> Result<bool, ScanError> {
        match self.step {
            Step::ArrayLength => {
                let Some(bytes) = self.take(rest) else {
                    return Ok(false);
                };
                let length = i32::from_be_bytes(bytes);
                self.step = if let Some(bytes) = length_of(length)? {
                    let behind = bytes.checked_sub(ARRAY_HEADER);
                    let behind = behind.ok_or(ScanError::NoArray)?;
                    Step::ArrayHeader { length, behind }
                } else {
                    self.pass(&bytes, hash);
                    self.next_field()
                };
            }
            Step::ArrayHeader { length, behind } => {
                let Some(header) = self.take::<ARRAY_HEADER>(rest) else {
                    return Ok(false);
                };
                self.step = self.header(header, (length, behind), hash)?;
            }
            Step::NoElements(left) => {
                let here = left.min(rest.len());
                *rest = &rest[here..];
                if here < left {
                    self.step = Step::NoElements(left - here);
                    return Ok(false);
                }
                self.step = self.next_field();
            }
            _ => {}
        }
        Ok(true)
    }

    /// Length, dimensions and element type of an array, in this order.
    fn header(
        &mut self,
        header: [u8; ARRAY_HEADER],
        (length, behind): (i32, usize),
        hash: &mut impl FnMut(&[u8]),
    ) -> Result<Step, ScanError> {
        let word = |at: usize| {
            let bytes = header[at..].first_chunk();
            bytes.map_or(u32::MAX, |bytes| u32::from_be_bytes(*bytes))
        };
        let (dimensions, flags) = (word(0), word(4));
        if dimensions > MAX_DIMENSIONS || flags > 1 {
            return Err(ScanError::NoArray);
        }
        let has_no_elements = dimensions > 0 && behind == DIMENSION * dimensions as usize;
        let (length, dimensions, step) = if has_no_elements {
            (EMPTY_ARRAY, 0, Step::NoElements(behind))
        } else {
            (length, dimensions, Step::Value(behind))
        };
        let mut own = [0; ARRAY_HEADER];
        own[..4].copy_from_slice(&length.to_be_bytes());
        own[4..8].copy_from_slice(&dimensions.to_be_bytes());
        own[8..].copy_from_slice(&header[8..]);
        self.pass(&own, hash);
        Ok(step)
    }

    fn next_field(&mut self) -> Step {
        let (field, array) = self.next;
        if field == self.fields {
            return Step::End;
        }
        let is_array = self.arrays.get(array) == Some(&field);
        self.next = (field + 1, array + usize::from(is_array));
        if is_array {
            Step::ArrayLength
        } else {
            Step::Length
        }
    }

    /// Goes over fields that are here whole and are no arrays, which most are, without a step for each. Says whether it got
    /// to the next array or to the end.
    fn skip_whole_fields(&mut self, rest: &mut &[u8]) -> bool {
        if self.held_bytes > 0 {
            return false;
        }
        let (next, array) = self.next;
        let stop = self.arrays.get(array).map_or(self.fields, |&place| place);
        let stop = stop.min(self.fields);
        // The one before the next is where we stand.
        let mut field = next - 1;
        while field < stop {
            let Some((length, behind)) = rest.split_first_chunk() else {
                break;
            };
            let length = i32::from_be_bytes(*length);
            let bytes = if length == -1 { 0 } else { length };
            let Some(behind) = usize::try_from(bytes)
                .ok()
                .and_then(|bytes| behind.get(bytes..))
            else {
                break;
            };
            *rest = behind;
            field += 1;
        }
        let is_there = field == stop;
        self.next.0 = if is_there { stop } else { field + 1 };
        is_there
    }

    /// The next bytes, if all of them are there; if not, they are held until they are.
    fn take<const N: usize>(&mut self, rest: &mut &[u8]) -> Option<[u8; N]> {
        if self.held_bytes == 0
            && let Some((whole, behind)) = rest.split_first_chunk::<N>()
        {
            *rest = behind;
            return Some(*whole);
        }
        let here = (N - self.held_bytes).min(rest.len());
        self.held[self.held_bytes..][..here].copy_from_slice(&rest[..here]);
        *rest = &rest[here..];
        self.held_bytes += here;
        if self.held_bytes < N {
            return None;
        }
        self.held_bytes = 0;
        self.held.first_chunk().copied()
    }

    fn pass(&mut self, bytes: &[u8], hash: &mut impl FnMut(&[u8])) {
        let left_out = self.unhashed.min(bytes.len());
        self.unhashed -= left_out;
        if left_out < bytes.len() {
            hash(&bytes[left_out..]);
        }
    }
}

/// `None` for NULL, whose length is -1.
fn length_of(length: i32) -> Result<Option<usize>, ScanError> {
    match usize::try_from(length) {
        Ok(length) => Ok(Some(length)),
        Err(_) if length == -1 => Ok(None),
        Err(_) => Err(ScanError::MalformedRow),
    }
}
