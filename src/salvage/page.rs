//! Pages of heaps, B-trees and visibility maps as they lie on disk, as far as it takes to say what should be in a block.
//!
//! The server says nothing about a page of zeros, or about a line pointer that was bent to "unused": it returns fewer rows. So
//! the indexes are asked which rows there must be, and the heap's page, if there is one, whether a row that is not shown was
//! deleted or is lost. Layouts: `bufpage.h`, `itemid.h`, `htup_details.h`, `itup.h`, `nbtree.h`, `visibilitymap.c`; little-endian
//! servers with pages of 8 kB.
//!
//! Nothing here trusts a length or an offset: what does not fit is damage.

use std::collections::BTreeSet;

use crate::plan::Place;

/// `BLCKSZ`, the only one that is understood.
pub const BLOCK: usize = 8192;
/// `SizeOfPageHeaderData`.
const HEADER: usize = 24;
/// `SizeofHeapTupleHeader`.
const TUPLE_HEADER: usize = 23;
/// `sizeof(BTPageOpaqueData)`.
const BTREE_SPECIAL: usize = 16;
const BTREE_LEAF: u16 = 1;
const BTREE_DELETED: u16 = 4;
const BTREE_META: u16 = 8;
const BTREE_HALF_DEAD: u16 = 16;
/// `PD_ALL_VISIBLE`.
const ALL_VISIBLE: u16 = 4;
/// `INDEX_ALT_TID_MASK`, `INDEX_NULL_MASK`, `INDEX_SIZE_MASK`.
const ALTERNATIVE: u16 = 0x2000;
const HAS_NULLS: u16 = 0x8000;
const SIZE: u16 = 0x1fff;
/// `BT_IS_POSTING`, and the bits that count then.
const POSTING: u16 = 0x2000;
const POSTINGS: u16 = 0x0fff;
/// Two bits for each block; so many blocks on a page of the map.
const BLOCKS_PER_MAP_PAGE: usize = (BLOCK - HEADER) * 4;

/// What a page looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PageState {
    /// Nothing but zeros: a new page, to the server.
    Zeros,
    /// A header that the server would refuse, or half a page.
    Invalid,
    /// A header that holds together.
    Sane,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes(bytes.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

/// What a page looks like, by the server's own rule (`PageIsVerified`) and the page size in its header.
pub fn state(page: &[u8]) -> PageState {
    if page.len() == BLOCK && page.iter().all(|&byte| byte == 0) {
        return PageState::Zeros;
    }
    let sane = || {
        let (flags, lower) = (u16_at(page, 10)?, usize::from(u16_at(page, 12)?));
        let (upper, special) = (
            usize::from(u16_at(page, 14)?),
            usize::from(u16_at(page, 16)?),
        );
        let size = usize::from(u16_at(page, 18)? & 0xff00);
        Some(
            page.len() == BLOCK
                && flags & !7 == 0
                && size == BLOCK
                && lower >= HEADER
                && lower <= upper
                && upper <= special
                && special <= BLOCK
                && special % 8 == 0,
        )
    };
    if sane().unwrap_or(false) {
        PageState::Sane
    } else {
        PageState::Invalid
    }
}

/// What a line pointer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pointer<'a> {
    /// There is none of that number, or it is not in use.
    Unused,
    Redirect(u16),
    Dead,
    Normal(&'a [u8]),
    /// It leads out of the page.
    Bent,
}

fn pointers(page: &[u8]) -> u16 {
    let lower = u16_at(page, 12).unwrap_or(0);
    lower.saturating_sub(24) / 4
}

fn pointer(page: &[u8], offset: u16) -> Pointer<'_> {
    if offset == 0 || offset > pointers(page) {
        return Pointer::Unused;
    }
    let Some(item) = u32_at(page, HEADER + 4 * (usize::from(offset) - 1)) else {
        return Pointer::Bent;
    };
    let [at, length] = [item & 0x7fff, item >> 17].map(|part| usize::try_from(part).unwrap_or(0));
    match (item >> 15) & 3 {
        0 => Pointer::Unused,
        2 => Pointer::Redirect(u16::try_from(at).unwrap_or(0)),
        3 => Pointer::Dead,
        _ => match page.get(at..at + length) {
            Some(item) if at >= HEADER => Pointer::Normal(item),
            _ => Pointer::Bent,
        },
    }
}

/// An entry of a leaf of a B-tree: which row it leads to, and the bytes of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexEntry<'a> {
    /// Where the row is, or the first of its versions.
    pub place: Place,
    /// The key, behind the header of the tuple.
    pub key: &'a [u8],
    /// It is followed by a map of NULLs.
    pub nulls: Option<u32>,
}

/// What a page of a B-tree says.
#[derive(Debug, PartialEq, Eq)]
pub enum BtreePage<'a> {
    /// Nothing about rows: an inner page, the meta page, a page that is not in use.
    Other,
    /// A leaf: its entries, and the next leaf, if there is one.
    Leaf {
        /// Its entries, but for those that the server knows to be dead.
        entries: Vec<IndexEntry<'a>>,
        /// The block to the right.
        next: Option<u32>,
    },
    /// It is no page of a B-tree.
    Damaged,
}

/// Takes a page of a B-tree apart.
pub fn btree(page: &[u8]) -> BtreePage<'_> {
    if state(page) != PageState::Sane
        || u16_at(page, 16).map(usize::from) != Some(BLOCK - BTREE_SPECIAL)
    {
        return BtreePage::Damaged;
    }
    let special = BLOCK - BTREE_SPECIAL;
    let (Some(next), Some(flags)) = (u32_at(page, special + 4), u16_at(page, special + 12)) else {
        return BtreePage::Damaged;
    };
    if flags & (BTREE_META | BTREE_DELETED | BTREE_HALF_DEAD) != 0 || flags & BTREE_LEAF == 0 {
        return BtreePage::Other;
    }
    // A page that has one to its right begins with the highest key that it may hold.
    let first = if next == 0 { 1 } else { 2 };
    let mut entries = Vec::new();
    for offset in first..=pointers(page) {
        match pointer(page, offset) {
            Pointer::Normal(tuple) => {
                let before = entries.len();
                if index_tuple(tuple, &mut entries).is_none() {
                    entries.truncate(before);
                    return BtreePage::Damaged;
                }
            }
            Pointer::Dead => {}
            _ => return BtreePage::Damaged,
        }
    }
    BtreePage::Leaf {
        entries,
        next: (next != 0).then_some(next),
    }
}

fn place(bytes: &[u8], at: usize) -> Option<Place> {
    let high = u32::from(u16_at(bytes, at)?);
    let low = u32::from(u16_at(bytes, at + 2)?);
    Some((high << 16 | low, u16_at(bytes, at + 4)?))
}

fn index_tuple<'a>(tuple: &'a [u8], entries: &mut Vec<IndexEntry<'a>>) -> Option<()> {
    let (first, info) = (place(tuple, 0)?, u16_at(tuple, 6)?);
    let size = usize::from(info & SIZE);
    let has_nulls = info & HAS_NULLS != 0;
    let tuple = tuple.get(..size)?;
    let posting = info & ALTERNATIVE != 0 && first.1 & POSTING != 0;
    let end = if posting {
        usize::try_from(first.0).ok()?
    } else {
        size
    };
    let key = tuple.get(if has_nulls { 16 } else { 8 }..end)?;
    let nulls = if has_nulls {
        Some(u32_at(tuple, 8)?)
    } else {
        None
    };
    if !posting {
        let place = first;
        entries.push(IndexEntry { place, key, nulls });
        return Some(());
    }
    for number in 0..usize::from(first.1 & POSTINGS) {
        let place = place(tuple, end + 6 * number)?;
        entries.push(IndexEntry { place, key, nulls });
    }
    Some(())
}

/// Whether the map says that all rows of a block are visible to everybody. `None`: the map does not reach so far, or is damaged.
pub fn all_visible(map: &[u8], block: u32) -> Option<bool> {
    let block = usize::try_from(block).ok()?;
    let start = (block / BLOCKS_PER_MAP_PAGE).checked_mul(BLOCK)?;
    let page = map.get(start..start + BLOCK)?;
    if state(page) != PageState::Sane {
        return None;
    }
    let bit = (block % BLOCKS_PER_MAP_PAGE) * 2;
    let byte = page.get(HEADER + bit / 8)?;
    Some(byte >> (bit % 8) & 1 == 1)
}

/// How an attribute is stored: `attlen`, and `attalign` in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute {
    /// Bytes; -1 for what begins with its length, -2 for what ends with a zero.
    pub length: i32,
    /// Where it may begin.
    pub align: usize,
}

/// Line pointers of rows that cannot be what their page says: the server would read past their end, or past that of the page, and
/// show what it finds there. Of a page that the server refuses as a whole, none.
pub fn suspects(page: &[u8], attributes: &[Attribute]) -> Vec<u16> {
    if state(page) != PageState::Sane {
        return Vec::new();
    }
    let upper = usize::from(u16_at(page, 14).unwrap_or(0));
    let is_suspect = |offset: &u16| match pointer(page, *offset) {
        Pointer::Bent => true,
        Pointer::Redirect(to) => to == 0 || to > pointers(page),
        Pointer::Normal(tuple) => {
            let item = u32_at(page, HEADER + 4 * (usize::from(*offset) - 1)).unwrap_or(0);
            let at = usize::try_from(item & 0x7fff).unwrap_or(0);
            at < upper || at % 8 != 0 || !holds_together(tuple, attributes).unwrap_or(false)
        }
        Pointer::Unused | Pointer::Dead => false,
    };
    (1..=pointers(page)).filter(is_suspect).collect()
}

/// Whether a row's attributes are within it.
fn holds_together(tuple: &[u8], attributes: &[Attribute]) -> Option<bool> {
    const HAS_NULL: u16 = 1;
    const NUMBER: u16 = 0x07ff;
    let number = usize::from(u16_at(tuple, 18)? & NUMBER);
    let has_null = u16_at(tuple, 20)? & HAS_NULL != 0;
    let head = usize::from(*tuple.get(22)?);
    let map = if has_null { number.div_ceil(8) } else { 0 };
    if number > attributes.len()
        || head != (TUPLE_HEADER + map).next_multiple_of(8) && !has_oid(tuple, head, map)
    {
        return Some(false);
    }
    let nulls = tuple.get(TUPLE_HEADER..TUPLE_HEADER + map)?;
    let values = tuple.get(head..)?;
    let mut at = 0;
    for (number, attribute) in attributes.iter().take(number).enumerate() {
        if has_null && nulls.get(number / 8)? >> (number % 8) & 1 == 0 {
            continue;
        }
        at = after(values, at, *attribute)?;
    }
    Some(at <= values.len())
}

/// Servers before 12 may put an OID behind the map.
fn has_oid(tuple: &[u8], head: usize, map: usize) -> bool {
    const HAS_OID: u16 = 8;
    u16_at(tuple, 20).unwrap_or(0) & HAS_OID != 0
        && head == (TUPLE_HEADER + map + 4).next_multiple_of(8)
}

/// Where an attribute ends.
fn after(values: &[u8], at: usize, attribute: Attribute) -> Option<usize> {
    /// `VARHDRSZ_EXTERNAL` and `sizeof(varatt_external)`: a pointer to TOAST.
    const EXTERNAL: usize = 18;
    if let Ok(length) = usize::try_from(attribute.length) {
        let end = at
            .next_multiple_of(attribute.align.max(1))
            .checked_add(length)?;
        return (end <= values.len()).then_some(end);
    }
    if attribute.length == -2 {
        let length = values.get(at..)?.iter().position(|&byte| byte == 0)?;
        return Some(at + length + 1);
    }
    let mut at = at;
    if *values.get(at)? == 0 {
        at = at.next_multiple_of(attribute.align.max(1));
    }
    let head = *values.get(at)?;
    let length = if head == 1 {
        EXTERNAL
    } else if head & 1 == 1 {
        usize::from(head >> 1)
    } else {
        let length = usize::try_from(u32_at(values, at)? >> 2).ok()?;
        (length >= 4).then_some(length)?
    };
    let end = at.checked_add(length)?;
    (length > 0 && end <= values.len()).then_some(end)
}

/// What became of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It committed.
    Committed,
    /// It did not, or has not yet.
    Aborted,
    /// There has been none of that number: the number is damaged.
    Impossible,
    /// Nobody knows any more.
    Unknown,
}

/// What became of a row that an index leads to, and that was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// One of its versions was read.
    Read,
    /// It was deleted, or never committed: the index has not been cleaned up yet.
    Gone,
    /// Nothing tells whether it was deleted before it was lost.
    Perhaps,
    /// It is lost.
    Lost,
}

/// A block, and what is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    /// Its page, if there is one.
    pub page: Option<&'a [u8]>,
    /// What the visibility map says.
    pub all_visible: Option<bool>,
    /// Its line pointers whose rows were read.
    pub read: &'a BTreeSet<u16>,
}

impl Block<'_> {
    /// What became of the row whose first version is at a line pointer.
    pub fn standing(&self, root: u16, fate: &impl Fn(u32) -> Fate) -> Standing {
        let sane = self.page.filter(|page| state(page) == PageState::Sane);
        let Some(page) = sane else {
            return if self.all_visible == Some(true) {
                Standing::Lost
            } else {
                Standing::Perhaps
            };
        };
        let chain = chain(page, root);
        if self.read.contains(&root) || chain.iter().any(|(at, _)| self.read.contains(at)) {
            return Standing::Read;
        }
        // A page of which everything is visible to everybody holds nothing that was deleted.
        if u16_at(page, 10).unwrap_or(0) & ALL_VISIBLE != 0 {
            return Standing::Lost;
        }
        let standing = match (pointer(page, root), chain.last()) {
            (Pointer::Dead, _) => Standing::Gone,
            (_, Some((_, tuple))) => version(tuple, fate),
            // An index is cleaned before a line pointer is given up.
            (_, None) => Standing::Lost,
        };
        // The map never says so of a page that does not say it itself: one of them is damaged, and nobody knows which.
        match standing {
            Standing::Gone if self.all_visible == Some(true) => Standing::Perhaps,
            standing => standing,
        }
    }

    /// The transactions whose fate decides it.
    pub fn transactions(&self, root: u16) -> BTreeSet<u32> {
        let sane = self.page.filter(|page| state(page) == PageState::Sane);
        let chain = sane.map(|page| chain(page, root)).unwrap_or_default();
        let heads = chain.iter().flat_map(|(_, tuple)| {
            let xid = |at| u32_at(tuple, at).filter(|&xid| xid > 2);
            [xid(0), xid(4)]
        });
        heads.flatten().collect()
    }
}

/// The versions of a row within its page, from the first on (heap-only tuples).
fn chain(page: &[u8], root: u16) -> Vec<(u16, &[u8])> {
    const HOT_UPDATED: u16 = 0x4000;
    let mut chain: Vec<(u16, &[u8])> = Vec::new();
    let mut at = match pointer(page, root) {
        Pointer::Redirect(to) => to,
        _ => root,
    };
    while let Pointer::Normal(tuple) = pointer(page, at) {
        if tuple.len() < TUPLE_HEADER || chain.iter().any(|&(seen, _)| seen == at) {
            break;
        }
        chain.push((at, tuple));
        let updated = u16_at(tuple, 18).unwrap_or(0) & HOT_UPDATED != 0;
        match place(tuple, 12) {
            Some((_, next)) if updated => at = next,
            _ => break,
        }
    }
    chain
}

/// What became of the last version of a row, that was not read.
fn version(tuple: &[u8], fate: &impl Fn(u32) -> Fate) -> Standing {
    const XMIN_COMMITTED: u16 = 0x0100;
    const XMIN_INVALID: u16 = 0x0200;
    const XMAX_COMMITTED: u16 = 0x0400;
    const XMAX_INVALID: u16 = 0x0800;
    const XMAX_IS_MULTI: u16 = 0x1000;
    const LOCK_ONLY: u16 = 0x0080;
    let (Some(xmin), Some(xmax), Some(mask)) =
        (u32_at(tuple, 0), u32_at(tuple, 4), u16_at(tuple, 20))
    else {
        return Standing::Lost;
    };
    let inserted = match mask & (XMIN_COMMITTED | XMIN_INVALID) {
        XMIN_INVALID => Fate::Aborted,
        0 => fate(xmin),
        // Frozen, if both are set.
        _ => Fate::Committed,
    };
    match inserted {
        Fate::Aborted => return Standing::Gone,
        Fate::Impossible => return Standing::Lost,
        Fate::Unknown => return Standing::Perhaps,
        Fate::Committed => {}
    }
    if xmax == 0 || mask & (XMAX_INVALID | LOCK_ONLY) != 0 {
        return Standing::Lost;
    }
    if mask & XMAX_IS_MULTI != 0 {
        return Standing::Perhaps;
    }
    if mask & XMAX_COMMITTED != 0 {
        return Standing::Gone;
    }
    match fate(xmax) {
        Fate::Committed => Standing::Gone,
        Fate::Aborted | Fate::Impossible => Standing::Lost,
        Fate::Unknown => Standing::Perhaps,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A page with rows, each an `int4` and a `text` of up to 100 bytes; all visible.
    fn page(texts: &[&str]) -> Vec<u8> {
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

    const COLUMNS: [Attribute; 2] = [
        Attribute {
            length: 4,
            align: 4,
        },
        Attribute {
            length: -1,
            align: 4,
        },
    ];

    #[test]
    fn a_sound_page_has_no_suspects_and_bent_rows_are_some() {
        let sound = page(&["one", "two", ""]);
        assert_eq!(state(&sound), PageState::Sane);
        assert_eq!(suspects(&sound, &COLUMNS), Vec::<u16>::new());
        // More attributes than the table has.
        assert_eq!(suspects(&sound, &COLUMNS[..1]), [1, 2, 3]);
        let mut bent = sound.clone();
        // The second line pointer leads to the last bytes of the page.
        bent[HEADER + 4..HEADER + 8]
            .copy_from_slice(&(0x1ff8_u32 | 1 << 15 | 40 << 17).to_le_bytes());
        assert_eq!(suspects(&bent, &COLUMNS), [2]);
        let mut long = sound.clone();
        let at = BLOCK - 32 + 28;
        // The length of the first text is that of the page.
        long[at..at + 4].copy_from_slice(&(8192u32 << 2).to_le_bytes());
        assert_eq!(suspects(&long, &COLUMNS), [1]);
    }

    #[test]
    fn what_was_not_read_is_lost_unless_it_was_deleted() {
        let page = page(&["one", "two"]);
        let read = BTreeSet::from([1]);
        let block = |page| Block {
            page,
            all_visible: Some(true),
            read: &read,
        };
        let fate = |_| Fate::Unknown;
        assert_eq!(block(Some(&page)).standing(1, &fate), Standing::Read);
        assert_eq!(block(Some(&page)).standing(2, &fate), Standing::Lost);
        assert_eq!(block(Some(&page)).standing(3, &fate), Standing::Lost);
        assert_eq!(block(None).standing(2, &fate), Standing::Lost);
        let unknown = Block {
            all_visible: None,
            ..block(None)
        };
        assert_eq!(unknown.standing(2, &fate), Standing::Perhaps);

        let mut deleted = page.clone();
        deleted[10] = 0;
        let tuple = BLOCK - 32 - 32;
        deleted[tuple + 4] = 200;
        deleted[tuple + 21] = 0x01;
        let by = |fate| move |_| fate;
        // What the map says is not what the page says.
        assert_eq!(
            block(Some(&deleted)).standing(2, &by(Fate::Committed)),
            Standing::Perhaps
        );
        let block = |page| Block {
            all_visible: None,
            ..block(page)
        };
        for (fate, standing) in [
            (Fate::Committed, Standing::Gone),
            (Fate::Aborted, Standing::Lost),
            (Fate::Impossible, Standing::Lost),
            (Fate::Unknown, Standing::Perhaps),
        ] {
            assert_eq!(
                block(Some(&deleted)).standing(2, &by(fate)),
                standing,
                "{fate:?}"
            );
        }
        assert_eq!(
            block(Some(&deleted)).transactions(2),
            BTreeSet::from([100, 200])
        );
    }

    proptest! {
        #[test]
        fn no_bytes_bring_it_down(seed in any::<u64>(), noise in proptest::collection::vec((0..BLOCK, any::<u8>()), 0..64), kind in 0..3u8) {
            let mut bytes = match kind {
                0 => page(&["one", "two", "three"]),
                1 => {
                    let mut leaf = page(&["one"]);
                    leaf[16..18].copy_from_slice(&8176u16.to_le_bytes());
                    leaf[BLOCK - 4] = 1;
                    leaf
                }
                _ => (0..BLOCK as u64).map(|at| seed.wrapping_mul(at + 1).to_le_bytes()[4]).collect(),
            };
            for (at, byte) in noise {
                bytes[at] = byte;
            }
            let read = BTreeSet::new();
            let block = Block { page: Some(&bytes), all_visible: None, read: &read };
            for offset in [0, 1, 2, 3, 291, u16::MAX] {
                block.standing(offset, &|_| Fate::Unknown);
                block.transactions(offset);
            }
            suspects(&bytes, &COLUMNS);
            btree(&bytes);
            all_visible(&bytes, 7);
        }
    }
}
