//! Which rows have values with parts on certain pages of TOAST, from the bytes of both.
//!
//! The server looks at the checksum of a page of TOAST when it reads it from disk, and never again. Once somebody has let it pass, it
//! shows the values that have parts on it as if they were sound. Which they are, the pages tell: a part begins with the number of its value, and
//! a row holds a pointer with that number. Layouts: `varatt.h`, `toast_internals.c`.

use std::collections::BTreeSet;

use super::page::{PageState, Pointer, pointer, pointers, state, u32_at};

/// `VARTAG_ONDISK`.
const ON_DISK: u8 = 18;
/// Where the number of the value is in a pointer to it: behind its tag and two lengths.
const NUMBER: usize = 2 + 4 + 4;

/// The numbers of the values that have parts on a page of TOAST.
pub fn values_on(page: &[u8]) -> BTreeSet<u32> {
    let number = |tuple: &[u8]| u32_at(tuple, usize::from(*tuple.get(22)?));
    tuples(page)
        .filter_map(|(_, tuple)| number(tuple))
        .collect()
}

/// A value of a row that is out of line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfLine {
    /// The row's line pointer.
    pub offset: u16,
    /// The number of its attribute, from 0.
    pub attribute: usize,
    /// The number of the value.
    pub value: u32,
}

/// The number of the value that a pointer to TOAST leads to, if it is one.
pub fn number_of(pointer: &[u8]) -> Option<u32> {
    let is_pointer = pointer.first() == Some(&1) && pointer.get(1) == Some(&ON_DISK);
    u32_at(pointer, NUMBER).filter(|_| is_pointer)
}

fn tuples(page: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let last = match state(page) {
        PageState::Sane => pointers(page),
        PageState::Zeros | PageState::Invalid => 0,
    };
    (1..=last).filter_map(|offset| match pointer(page, offset) {
        Pointer::Normal(tuple) => Some((offset, tuple)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::page::BLOCK;
    use super::super::testing::page;
    use super::*;

    #[test]
    fn parts_and_pointers_have_the_number_of_the_value() {
        // An `int4` and a text: the part's number, and its bytes.
        assert_eq!(values_on(&page(&["one", "two"])), BTreeSet::from([0, 1]));
        assert_eq!(values_on(&[0; BLOCK]), BTreeSet::new());
        // Its header, its tag, two lengths, its number, and that of the table.
        let mut bytes = [0; 18];
        (bytes[0], bytes[1]) = (1, ON_DISK);
        bytes[NUMBER..NUMBER + 4].copy_from_slice(&4711u32.to_le_bytes());
        assert_eq!(number_of(&bytes), Some(4711));
        assert_eq!(number_of(&bytes[..10]), None);
        bytes[1] = 1;
        assert_eq!(number_of(&bytes), None);
    }

    proptest! {
        #[test]
        fn no_bytes_bring_it_down(noise in proptest::collection::vec((0..BLOCK, any::<u8>()), 0..64)) {
            let mut bytes = page(&["abcdefghijklmnopq", "two", "three"]);
            for (at, byte) in noise {
                bytes[at] = byte;
            }
            values_on(&bytes);
            number_of(&bytes);
        }
    }
}
