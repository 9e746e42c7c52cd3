//! Pages for tests.

use super::page::{Attribute, BLOCK};

/// Of the header of a page.
const HEADER: usize = 24;

/// Those of the rows of [`page`].
pub const COLUMNS: [Attribute; 2] = [
    Attribute {
        length: 4,
        align: 4,
    },
    Attribute {
        length: -1,
        align: 4,
    },
];

/// A page with rows, each an `int4` and a `text` of up to 100 bytes; all visible.
pub fn page(texts: &[&str]) -> Vec<u8> {
    let mut page = vec![0; BLOCK];
    let mut upper = BLOCK;
    for (number, text) in texts.iter().enumerate() {
        let mut tuple = vec![0; 24];
        tuple[0] = 100;
        tuple[18] = 2;
        tuple[21] = 0x03 | 0x08;
        tuple[22] = 24;
        tuple.extend(u32::try_from(number).expect("few").to_le_bytes());
        tuple.push(u8::try_from((text.len() + 1) << 1 | 1).expect("short"));
        tuple.extend(text.as_bytes());
        upper -= tuple.len().next_multiple_of(8);
        page[upper..upper + tuple.len()].copy_from_slice(&tuple);
        let item = u32::try_from(upper | 1 << 15 | tuple.len() << 17).expect("fits");
        page[HEADER + 4 * number..HEADER + 4 * number + 4].copy_from_slice(&item.to_le_bytes());
    }
    let lower = HEADER + 4 * texts.len();
    let header = [
        (10, 4),
        (12, lower),
        (14, upper),
        (16, BLOCK),
        (18, BLOCK | 4),
    ];
    for (at, value) in header {
        let value = u16::try_from(value).expect("fits");
        page[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    page
}
