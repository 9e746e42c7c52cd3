//! Where rows are that a server shows, each with its place in front; and whether they are text.

use super::seen::Seen;
use crate::pg::wire::RowSink;
use crate::plan::Place;

/// Takes note of where rows are, by their first column, and of text that is none.
#[derive(Debug, Default)]
pub struct Places {
    /// Where rows were read.
    pub seen: Seen,
    /// How many.
    pub rows: u64,
    /// Whether text is looked at: it is UTF-8, if it is text.
    utf8: bool,
    /// What has come of a row that comes piece by piece.
    pieces: Option<Text>,
    /// A row that holds something else.
    not_text: Option<Place>,
    /// A row without a place: nobody else's.
    strange: bool,
}

impl Places {
    /// Of rows in UTF-8, or in an encoding that is not looked at.
    pub fn new(utf8: bool) -> Self {
        Self {
            utf8,
            ..Self::default()
        }
    }

    /// Of rows that were found elsewhere.
    pub fn of(seen: Seen) -> Self {
        Self {
            rows: seen.rows(),
            seen,
            ..Self::default()
        }
    }

    /// And those besides.
    #[must_use]
    pub fn and(mut self, more: Seen) -> Self {
        self.seen.extend(more);
        self
    }

    /// So many rows, of which nobody knows where they are.
    pub fn without_places(rows: u64) -> Self {
        Self {
            rows,
            ..Self::default()
        }
    }

    /// Whether there are rows where none can be.
    pub fn are_strange(&self) -> bool {
        self.strange
    }

    /// A row that holds something else than text.
    pub fn not_text(&self) -> Option<Place> {
        self.not_text
    }
}

impl RowSink for Places {
    fn row(&mut self, _hash: u128, head: &[u8]) {
        self.rows += 1;
        let Some(place) = place_of(head) else {
            self.strange = true;
            return;
        };
        if !self.seen.insert(place.0, place.1) {
            self.strange = true;
        }
        if self.utf8 {
            let is_text = match self.pieces.take() {
                Some(text) => text.is_whole(),
                None => std::str::from_utf8(head).is_ok(),
            };
            if !is_text {
                self.not_text.get_or_insert(place);
            }
        }
    }

    fn piece(&mut self, piece: &[u8]) {
        if self.utf8 {
            self.pieces.get_or_insert_default().take_in(piece);
        }
    }
}

/// Text that comes piece by piece.
#[derive(Debug, Default)]
struct Text {
    /// A character that is not whole yet.
    rest: Vec<u8>,
    is_none: bool,
}

impl Text {
    fn take_in(&mut self, piece: &[u8]) {
        let mut text = std::mem::take(&mut self.rest);
        text.extend_from_slice(piece);
        if let Err(error) = std::str::from_utf8(&text) {
            self.is_none |= error.error_len().is_some();
            self.rest = text.split_off(error.valid_up_to());
            // What is no text need not be kept.
            self.rest.truncate(4);
        }
    }

    fn is_whole(&self) -> bool {
        !self.is_none && self.rest.is_empty()
    }
}

/// `(12,3)`, at the beginning of a line.
pub(super) fn place_of(line: &[u8]) -> Option<Place> {
    let line = line.strip_prefix(b"(")?;
    let end = line.iter().position(|&byte| byte == b')')?;
    let text = std::str::from_utf8(&line[..end]).ok()?;
    let (block, offset) = text.split_once(',')?;
    Some((block.parse().ok()?, offset.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_from_the_first_column() {
        assert_eq!(place_of(b"(12,3)\tx\n"), Some((12, 3)));
        assert_eq!(
            place_of(b"(4294967295,65535)\n"),
            Some((u32::MAX, u16::MAX))
        );
        assert_eq!(place_of(b"12,3)\n"), None);
        let mut places = Places::new(true);
        places.row(0, b"(1,2)\tgood\n");
        places.row(0, b"(1,291)\tbad \xff\n");
        assert_eq!(places.not_text, Some((1, 291)));
        assert_eq!(places.seen.of(1).iter().collect::<Vec<_>>(), [2, 291]);
        assert_eq!(places.seen.rows(), 2);
        assert!(!places.strange);
    }

    #[test]
    fn a_long_row_is_text_to_its_end() {
        let of = |pieces: &[&[u8]]| {
            let mut places = Places::new(true);
            for piece in pieces {
                places.piece(piece);
            }
            places.row(
                0,
                b"(1,2)\tthe beginning, which may end within a character \xc3",
            );
            places.not_text
        };
        assert_eq!(of(&[b"(1,2)\t\xc3", b"\xa4 and on", b" and on\n"]), None);
        assert_eq!(
            of(&[b"(1,2)\tgood ", b"bad \xff", b" good\n"]),
            Some((1, 2))
        );
        assert_eq!(of(&[b"(1,2)\t", b"half \xc3"]), Some((1, 2)));
        // The next row begins anew.
        let mut places = Places::new(true);
        places.piece(b"(1,1)\tlong\n");
        places.row(0, b"(1,1)\tlong\n");
        places.row(0, b"(1,3)\tshort \xff\n");
        assert_eq!(places.not_text, Some((1, 3)));
    }
}
