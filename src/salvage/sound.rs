//! What the bytes of a page prove: which of its rows the server shows, and that each of their values is one that it can show and any
//! other takes back.
//!
//! To have the server read a row costs many times as much as to look at its bytes. Where nobody uses the source, what is on disk is
//! what the server has; and of the usual types there is nothing that only it could tell. So a page that proves itself is not asked for
//! until it is copied, and of any other only what is not proven. Layouts and rules: `htup_details.h`, `heapam_visibility.c`, `varatt.h`,
//! `date.h`, `timestamp.h`.
//!
//! What is not proven is not damaged: a value that is compressed, a type that is not known here, a transaction that only its record
//! tells of. In doubt, the server is asked.

use std::collections::BTreeSet;

use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64;

use super::numeric::{Precision, is_numeric};
use super::page::{
    ALL_VISIBLE, Attribute, PageState, Pointer, is_bent, pointer, pointers, state, u16_at, u32_at,
    walk,
};
use super::seen::Offsets;
use super::standing::{
    HEAP_ONLY, XMAX_COMMITTED, XMAX_INVALID, XMAX_IS_MULTI, XMIN_COMMITTED, XMIN_INVALID,
    is_locked_only,
};
use super::toast::{OutOfLine, number_of};

const HAS_NULL: u16 = 1;
const ATTRIBUTES: u16 = 0x07ff;

/// Which bytes are a value of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// It is not copied, whatever it is.
    Ignored,
    /// Any of its length.
    Any,
    /// A little-endian number between these, both included; or the least and the greatest of its width, if they stand for infinity.
    Within {
        /// The least.
        low: i64,
        /// The greatest.
        high: i64,
        /// Whether there is infinity.
        infinite: bool,
    },
    /// Text of so many characters at most; or of exactly as many.
    Text {
        /// How many.
        most: Option<usize>,
        /// It is filled up with blanks.
        padded: bool,
    },
    /// Bytes of any length.
    Bytes,
    /// Numbers of any length, or of so many digits.
    Numeric(Option<Precision>),
    /// Only the server knows.
    Unknown,
}

impl Values {
    /// Of a type of the server's own, by its OID and modifier.
    pub fn of(type_oid: u32, modifier: i32) -> Self {
        const LEAST_TIME: i64 = -211_813_488_000_000_000;
        const TIMES_END: i64 = 9_223_371_331_200_000_000;
        let within = |low, high, infinite| Self::Within {
            low,
            high,
            infinite,
        };
        // The four bytes of its own header are in it.
        let most = usize::try_from(modifier.saturating_sub(4)).ok();
        match (type_oid, modifier) {
            // Numbers, `bool`, `oid`, `uuid`.
            (16 | 20 | 21 | 23 | 26 | 700 | 701 | 2950, _) => Self::Any,
            (17, _) => Self::Bytes,
            (1700, _) => Self::Numeric(Precision::of(modifier)),
            (25, _) => Self::Text {
                most: None,
                padded: false,
            },
            (1043, _) | (1042, -1) => Self::Text {
                most,
                padded: false,
            },
            (1042, _) => Self::Text { most, padded: true },
            (1082, _) => within(-2_451_545, 2_145_031_948, true),
            (1083, -1) => within(0, 86_400_000_000, false),
            (1114 | 1184, -1) => within(LEAST_TIME, TIMES_END - 1, true),
            _ => Self::Unknown,
        }
    }
}

/// What an attribute of a table demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Demand {
    /// Which values there are.
    pub values: Values,
    /// It is never NULL.
    pub not_null: bool,
    /// What rows have that were there before it was added.
    pub has_default: bool,
}

impl Demand {
    /// Of what is not copied.
    pub const NONE: Self = Self {
        values: Values::Ignored,
        not_null: false,
        has_default: false,
    };
}

/// What rows of a table look like.
#[derive(Debug, Clone, Copy)]
pub struct Layout<'a> {
    /// How its attributes are stored.
    pub attributes: &'a [Attribute],
    /// What they demand, as many.
    pub demands: &'a [Demand],
    /// Those of the index that its rows are held against, from 0; none, if they cannot be.
    pub key: &'a [usize],
}

impl Layout<'_> {
    /// Whether an attribute begins with its length.
    fn is_long(&self, attribute: usize) -> bool {
        let stored = self.attributes.get(attribute);
        stored.is_some_and(|stored| stored.length == -1)
    }
}

/// What holds for a whole server.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Text is UTF-8. Otherwise only ASCII is known to be text.
    pub utf8: bool,
    /// The next transaction, without its epoch.
    pub next_transaction: u32,
}

/// What a page's bytes tell.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// Rows that cannot be what they claim: the server would read past their end, or past that of the page, and show what it finds there.
    pub suspects: Vec<u16>,
    /// Where the server shows rows, if the page tells.
    pub rows: Option<Offsets>,
    /// Attributes, from 0, of which a value is proven by the server alone.
    pub unproven: BTreeSet<usize>,
    /// Values that the server shows and no other takes back: line pointer, attribute, and why not.
    pub refused: Vec<(u16, usize, &'static str)>,
    /// Values that are elsewhere.
    pub out_of_line: Vec<OutOfLine>,
    /// The keys of the rows that an index leads to, as one number ([`key_of`]), if the server shows all of which only it knows whether it
    /// does; nothing, if one of them is not plain to see.
    pub keys: Option<u32>,
}

/// The values of a key, without their headers; NULL is nothing. Of most keys, it needs no memory of its own: it is made for each row.
pub type Key<'a> = SmallVec<[Option<&'a [u8]>; 4]>;

/// What is known of a value.
enum Verdict {
    Proven,
    Unproven,
    Refused(&'static str),
    OutOfLine(u32),
}

/// Looks at a page.
pub fn judge(page: &[u8], layout: Layout<'_>, rules: Rules) -> Judged {
    let mut judged = Judged::default();
    match state(page) {
        PageState::Sane => {}
        PageState::Zeros => {
            judged.rows = Some(Offsets::default());
            judged.keys = Some(0);
            return judged;
        }
        // The server may read it all the same: its own look at the header is not as strict.
        PageState::Invalid => {
            judged.unproven = (0..layout.attributes.len()).collect();
            return judged;
        }
    }
    let all_visible = u16_at(page, 10).unwrap_or(0) & ALL_VISIBLE != 0;
    let (mut rows, mut is_told) = (Offsets::default(), true);
    let mut keys = (!layout.key.is_empty()).then_some(0u32);
    let mut values = Vec::with_capacity(layout.attributes.len());
    for offset in 1..=pointers(page) {
        let found = pointer(page, offset);
        if is_bent(page, offset, found) {
            judged.suspects.push(offset);
            continue;
        }
        let Pointer::Normal(tuple) = found else {
            continue;
        };
        values.clear();
        let each = |attribute, bytes| values.push((attribute, bytes));
        if walk(tuple, layout.attributes, each) != Some(true) {
            judged.suspects.push(offset);
            continue;
        }
        match is_shown(tuple, all_visible, rules.next_transaction) {
            Some(false) => continue,
            Some(true) => is_told &= rows.insert(offset),
            // Nearly always it does. If not, the keys are held against each other one by one, and nothing is wrong with them.
            None => is_told = false,
        }
        let row = Row {
            tuple,
            values: &values,
        };
        judged.judge_row((offset, row), layout, rules);
        if let Some(sum) = keys.filter(|_| !row.is_heap_only()) {
            let key = row.key(layout);
            keys = key.map(|key| sum.wrapping_add(key_of(offset, &key)));
        }
    }
    let is_told = is_told && judged.suspects.is_empty();
    judged.rows = is_told.then_some(rows);
    judged.keys = keys;
    judged
}

/// Whether the server shows a row, if the row itself tells: to everybody, since nobody is at work.
fn is_shown(tuple: &[u8], all_visible: bool, next: u32) -> Option<bool> {
    let (xmin, xmax, mask) = (u32_at(tuple, 0)?, u32_at(tuple, 4)?, u16_at(tuple, 20)?);
    let is_past = |xid: u32| match xid {
        0 => false,
        // Older than all others.
        1 | 2 => true,
        _ => (1..=1 << 31).contains(&next.wrapping_sub(xid)),
    };
    let is_inserted = match mask & (XMIN_COMMITTED | XMIN_INVALID) {
        0 => return None,
        XMIN_INVALID => false,
        XMIN_COMMITTED if !is_past(xmin) => return None,
        // Frozen, if both are set.
        _ => true,
    };
    let is_deleted = if mask & XMAX_INVALID != 0 || is_locked_only(mask) {
        false
    } else if mask & XMAX_IS_MULTI != 0 || mask & XMAX_COMMITTED == 0 || !is_past(xmax) {
        return None;
    } else {
        true
    };
    let is_shown = is_inserted && !is_deleted;
    // What the page says of all its rows counts for the server.
    (is_shown || !all_visible).then_some(is_shown)
}

/// A row, taken apart.
#[derive(Clone, Copy)]
struct Row<'r, 'a> {
    tuple: &'a [u8],
    /// Its values that are not NULL: the attribute, and the bytes.
    values: &'r [(usize, &'a [u8])],
}

impl<'a> Row<'_, 'a> {
    fn attributes(&self) -> usize {
        usize::from(u16_at(self.tuple, 18).unwrap_or(0) & ATTRIBUTES)
    }

    /// No index leads to it.
    fn is_heap_only(&self) -> bool {
        u16_at(self.tuple, 18).unwrap_or(0) & HEAP_ONLY != 0
    }

    fn value(&self, attribute: usize) -> Option<&'a [u8]> {
        let found = self.values.iter().find(|(number, _)| *number == attribute);
        found.map(|(_, bytes)| *bytes)
    }

    /// Attributes that are NULL and must not be.
    fn missing(&self, demands: &[Demand]) -> Vec<usize> {
        let there = self.attributes();
        let has_null = u16_at(self.tuple, 20).unwrap_or(0) & HAS_NULL != 0;
        if !has_null && there == demands.len() {
            return Vec::new();
        }
        let is_missing = |&(number, demand): &(usize, &Demand)| {
            let has_default = number >= there && demand.has_default;
            demand.not_null && !has_default && self.value(number).is_none()
        };
        let missing = demands.iter().enumerate().filter(is_missing);
        missing.map(|(number, _)| number).collect()
    }

    /// The bytes of its key, without headers; nothing, if the index may have others for the same value.
    fn key(&self, layout: Layout<'_>) -> Option<Key<'a>> {
        let part = |&attribute: &usize| {
            let Some(bytes) = self.value(attribute) else {
                // What a row has that was there before the attribute was, is not in it.
                return (attribute < self.attributes()).then_some(None);
            };
            let plain = if layout.is_long(attribute) {
                content(bytes)?
            } else {
                bytes
            };
            Some(Some(plain))
        };
        layout.key.iter().map(part).collect()
    }
}

impl Judged {
    fn judge_row(&mut self, (offset, row): (u16, Row<'_, '_>), layout: Layout<'_>, rules: Rules) {
        for &(attribute, bytes) in row.values {
            let demand = layout.demands.get(attribute).unwrap_or(&Demand::NONE);
            let is_long = layout.is_long(attribute);
            match verdict(demand.values, (bytes, is_long), rules) {
                Verdict::Proven => {}
                Verdict::Unproven => _ = self.unproven.insert(attribute),
                Verdict::Refused(why) => self.refused.push((offset, attribute, why)),
                Verdict::OutOfLine(value) => self.out_of_line.push(OutOfLine {
                    offset,
                    attribute,
                    value,
                }),
            }
        }
        for attribute in row.missing(layout.demands) {
            let why = "it is NULL, which the column does not allow";
            self.refused.push((offset, attribute, why));
        }
    }
}

fn verdict(values: Values, (bytes, is_long): (&[u8], bool), rules: Rules) -> Verdict {
    match values {
        Values::Ignored | Values::Any => Verdict::Proven,
        Values::Unknown => match number_of(bytes).filter(|_| is_long) {
            Some(value) => Verdict::OutOfLine(value),
            None => Verdict::Unproven,
        },
        Values::Within {
            low,
            high,
            infinite,
        } => {
            let (value, extremes) = match (<[u8; 4]>::try_from(bytes), <[u8; 8]>::try_from(bytes)) {
                (Ok(four), _) => (
                    i64::from(i32::from_le_bytes(four)),
                    [i32::MIN, i32::MAX].map(i64::from),
                ),
                (_, Ok(eight)) => (i64::from_le_bytes(eight), [i64::MIN, i64::MAX]),
                _ => return Verdict::Unproven,
            };
            if (low..=high).contains(&value) || infinite && extremes.contains(&value) {
                Verdict::Proven
            } else {
                Verdict::Refused("there is no such date or time")
            }
        }
        Values::Text { .. } | Values::Bytes | Values::Numeric(_) => {
            match (content(bytes), number_of(bytes)) {
                (Some(content), _) => match values {
                    Values::Text { most, padded } => text_verdict(content, (most, padded), rules),
                    Values::Numeric(allowed) if !is_numeric(content, allowed) => Verdict::Unproven,
                    _ => Verdict::Proven,
                },
                (None, Some(value)) => Verdict::OutOfLine(value),
                (None, None) => Verdict::Unproven,
            }
        }
    }
}

fn text_verdict(text: &[u8], (most, padded): (Option<usize>, bool), rules: Rules) -> Verdict {
    if memchr::memchr(0, text).is_some() {
        return Verdict::Refused("it holds a character that no text can hold (NUL)");
    }
    let text = match std::str::from_utf8(text) {
        Ok(text) if rules.utf8 || text.is_ascii() => text,
        Err(_) if rules.utf8 => return Verdict::Refused("it holds text that is not valid UTF-8"),
        _ => return Verdict::Unproven,
    };
    let Some(most) = most else {
        return Verdict::Proven;
    };
    let length = text.chars().count();
    if length == most || length < most && !padded {
        Verdict::Proven
    } else if text.trim_end_matches(' ').chars().count() > most {
        Verdict::Refused("it is longer than the column allows")
    } else {
        Verdict::Unproven
    }
}

/// What a value of varying length holds, if it is in the row and not compressed.
fn content(bytes: &[u8]) -> Option<&[u8]> {
    match bytes.first()? {
        1 => None,
        head if head & 1 == 1 => bytes.get(1..),
        head if head.is_multiple_of(4) => bytes.get(4..),
        _ => None,
    }
}

/// A key at a line pointer, as a number. Of all keys of a page, the sum is kept.
pub fn key_of(offset: u16, key: &[Option<&[u8]>]) -> u32 {
    // One run of bytes: no two keys make the same.
    let mut bytes: SmallVec<[u8; 64]> = SmallVec::new();
    for part in key {
        bytes.push(u8::from(part.is_some()));
        let part = part.unwrap_or_default();
        let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(part);
    }
    bytes.extend_from_slice(&offset.to_le_bytes());
    let [a, b, c, d, ..] = xxh3_64(&bytes).to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// The bytes of a row's key, as [`key_of`] takes them; nothing, if there is no such row, or if its key is not plain to see.
pub fn key_at<'a>(page: &'a [u8], offset: u16, layout: Layout<'_>) -> Option<Key<'a>> {
    let Pointer::Normal(tuple) = pointer(page, offset) else {
        return None;
    };
    let mut values: Vec<(usize, &'a [u8])> = Vec::new();
    let each = |attribute, bytes| values.push((attribute, bytes));
    if walk(tuple, layout.attributes, each) != Some(true) {
        return None;
    }
    let row = Row {
        tuple,
        values: &values,
    };
    row.key(layout)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::page::BLOCK;
    use super::super::testing::{COLUMNS, page};
    use super::*;

    /// Of the header of a page, and of a row.
    const HEADER: usize = 24;
    const RULES: Rules = Rules {
        utf8: true,
        next_transaction: 1000,
    };
    const DEMANDS: [Demand; 2] = [
        Demand {
            values: Values::Any,
            not_null: true,
            has_default: false,
        },
        Demand {
            values: Values::Text {
                most: Some(5),
                padded: false,
            },
            not_null: false,
            has_default: false,
        },
    ];

    const fn layout() -> Layout<'static> {
        Layout {
            attributes: &COLUMNS,
            demands: &DEMANDS,
            key: &[0],
        }
    }

    /// Where a row of [`page`] begins, if its text is that short.
    const fn tuple_at(offset: usize) -> usize {
        BLOCK - 40 * offset
    }

    fn judged(bytes: &[u8]) -> Judged {
        judge(bytes, layout(), RULES)
    }

    fn offsets(some: &[u16]) -> Offsets {
        some.iter().copied().collect()
    }

    #[test]
    fn a_sound_page_proves_itself_and_bent_rows_are_suspects() {
        let sound = page(&["one", "two", ""]);
        let whole = judged(&sound);
        assert_eq!(whole.rows, Some(offsets(&[1, 2, 3])));
        assert!(whole.suspects.is_empty() && whole.unproven.is_empty());
        assert!(whole.refused.is_empty() && whole.keys.is_some());
        // More attributes than the table has.
        let narrow = Layout {
            attributes: &COLUMNS[..1],
            ..layout()
        };
        let of_less = judge(&sound, narrow, RULES);
        assert_eq!((of_less.suspects, of_less.rows), (vec![1, 2, 3], None));
        let mut bent = sound.clone();
        // The second line pointer leads to the last bytes of the page.
        bent[HEADER + 4..HEADER + 8]
            .copy_from_slice(&(0x1ff8_u32 | 1 << 15 | 40 << 17).to_le_bytes());
        assert_eq!(judged(&bent).suspects, [2]);
        let mut long = sound.clone();
        let at = BLOCK - 32 + 28;
        // The length of the first text is that of the page.
        long[at..at + 4].copy_from_slice(&(8192u32 << 2).to_le_bytes());
        assert_eq!(judged(&long).suspects, [1]);
        assert_eq!(judged(&[0; BLOCK]).rows, Some(offsets(&[])));
        // Whether the server reads it, its bytes do not tell: every attribute is asked for.
        let nonsense = Judged {
            unproven: (0..layout().attributes.len()).collect(),
            ..Judged::default()
        };
        assert_eq!(judged(&[1; BLOCK]), nonsense);
    }

    #[test]
    fn values_that_nobody_takes_are_refused() {
        // Each row of 40 bytes.
        let sound = page(&["12345", "ab\u{e4}cd", "1234567"]);
        let why = |bytes: &[u8]| judged(bytes).refused;
        assert_eq!(why(&sound), [(3, 1, "it is longer than the column allows")]);
        let text = tuple_at(1) + 24 + 5;
        let mut bent = sound.clone();
        bent[text + 1] = 0;
        assert!(why(&bent)[0].2.contains("NUL"), "{bent:?}");
        bent[text + 1] = 0xff;
        assert!(why(&bent)[0].2.contains("UTF-8"));
        let other = Rules {
            utf8: false,
            ..RULES
        };
        assert!(judge(&bent, layout(), other).unproven.contains(&1));
        // Compressed, of six bytes: only the server knows what it holds.
        let mut compressed = sound.clone();
        compressed[text - 1..text + 3].copy_from_slice(&(6u32 << 2 | 2).to_le_bytes());
        assert_eq!(judged(&compressed).unproven, BTreeSet::from([1]));
        // The first attribute is NULL, and must not be; the second is empty.
        let mut null = sound.clone();
        null[tuple_at(1) + 20] |= 1;
        null[tuple_at(1) + 23] = 0b10;
        null[tuple_at(1) + 24] = 3;
        assert_eq!((why(&null)[0].0, why(&null)[0].1), (1, 0));
    }

    #[test]
    fn times_beyond_all_calendars_are_none() {
        let of = |type_oid, bytes: &[u8]| {
            let values = Values::of(type_oid, -1);
            matches!(verdict(values, (bytes, false), RULES), Verdict::Proven)
        };
        assert!(of(1082, &0i32.to_le_bytes()) && of(1082, &i32::MAX.to_le_bytes()));
        assert!(!of(1082, &(-2_451_546i32).to_le_bytes()));
        assert!(!of(1082, &2_145_031_949i32.to_le_bytes()));
        assert!(of(1184, &i64::MIN.to_le_bytes()) && of(1184, &0i64.to_le_bytes()));
        assert!(!of(1184, &(i64::MAX - 1).to_le_bytes()));
        assert!(of(1083, &86_400_000_000i64.to_le_bytes()));
        assert!(!of(1083, &(-1i64).to_le_bytes()));
        // What is rounded where it arrives, and what is not known here.
        assert_eq!(Values::of(1184, 3), Values::Unknown);
        assert_eq!(Values::of(3802, -1), Values::Unknown);
    }

    #[test]
    fn only_the_record_tells_of_some_transactions() {
        let sound = page(&["one", "two"]);
        let with = |xmin: u32, xmax: u32, mask: u8, all_visible: bool| {
            let mut bytes = sound.clone();
            let at = BLOCK - 32;
            bytes[10] = if all_visible { 4 } else { 0 };
            bytes[at..at + 4].copy_from_slice(&xmin.to_le_bytes());
            bytes[at + 4..at + 8].copy_from_slice(&xmax.to_le_bytes());
            bytes[at + 21] = mask;
            judged(&bytes).rows
        };
        let (both, second) = (Some(offsets(&[1, 2])), Some(offsets(&[2])));
        // Committed and not deleted; frozen; never committed; deleted.
        assert_eq!(with(100, 0, 0x09, false), both);
        assert_eq!(with(5000, 0, 0x0b, false), both);
        assert_eq!(with(100, 0, 0x0a, false), second);
        assert_eq!(with(100, 200, 0x05, false), second);
        // Nothing is noted; by one to come; deleted by one to come; by several; and what is deleted on a page that has nothing such.
        for (xmin, xmax, mask, all_visible) in [
            (100, 0, 0x08, false),
            (5000, 0, 0x09, false),
            (100, 5000, 0x05, false),
            (100, 200, 0x11, false),
            (100, 200, 0x05, true),
        ] {
            assert_eq!(with(xmin, xmax, mask, all_visible), None, "{mask:x}");
        }
    }

    #[test]
    fn another_key_makes_another_sum() {
        let one = page(&["one", "two"]);
        let mut other = one.clone();
        other[BLOCK - 32 + 24] ^= 1;
        assert_ne!(judged(&one).keys, judged(&other).keys);
        let key = key_at(&one, 2, layout()).expect("a row");
        assert_eq!(key.as_slice(), [Some(1u32.to_le_bytes().as_slice())]);
        assert_eq!(key_at(&one, 3, layout()), None);
        let sum = [1, 2].map(|offset| {
            let key = key_at(&one, offset, layout()).expect("a row");
            key_of(offset, &key)
        });
        let both = Some(sum[0].wrapping_add(sum[1]));
        assert_eq!(judged(&one).keys, both);
        // Whether the first was committed, only the record tells; the second is bent, and not shown.
        let mut unsure = one.clone();
        unsure[10] = 0;
        unsure[BLOCK - 32 + 21] = 0x08;
        assert_eq!((judged(&unsure).rows, judged(&unsure).keys), (None, both));
        unsure[BLOCK - 64 + 18] = 0xff;
        assert_eq!(judged(&unsure).keys, Some(sum[0]));
        // Nothing leads to a heap-only version but the first of its row.
        unsure[BLOCK - 32 + 19] |= 0x80;
        assert_eq!(judged(&unsure).keys, Some(0));
    }

    proptest! {
        #[test]
        fn no_bytes_bring_it_down(noise in proptest::collection::vec((0..BLOCK, any::<u8>()), 0..64)) {
            let mut bytes = page(&["one", "two", "three"]);
            for (at, byte) in noise {
                bytes[at] = byte;
            }
            let judged = judged(&bytes);
            for offset in [0, 1, 2, 3, 291, u16::MAX] {
                key_at(&bytes, offset, layout());
            }
            prop_assert!(judged.rows.is_none() || judged.suspects.is_empty());
        }
    }
}
