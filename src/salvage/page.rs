//! Pages of heaps, B-trees and visibility maps as they lie on disk, as far as it takes to say what should be in a block.
//!
//! The server says nothing about a page of zeros, or about a line pointer that was bent to "unused": it returns fewer rows. So
//! the indexes are asked which rows there must be, and the heap's page, if there is one, whether a row that is not shown was
//! deleted or is lost (`standing`). Layouts: `bufpage.h`, `itemid.h`, `htup_details.h`, `itup.h`, `nbtree.h`, `visibilitymap.c`;
//! little-endian servers with pages of 8 kB.
//!
//! Nothing here trusts a length or an offset: what does not fit is damage.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::Place;

/// `BLCKSZ`, the only one that is understood.
pub const BLOCK: usize = 8192;
/// `SizeOfPageHeaderData`.
const HEADER: usize = 24;
/// `SizeofHeapTupleHeader`.
pub(super) const TUPLE_HEADER: usize = 23;
/// `sizeof(BTPageOpaqueData)`.
const BTREE_SPECIAL: usize = 16;
const BTREE_LEAF: u16 = 1;
const BTREE_DELETED: u16 = 4;
const BTREE_META: u16 = 8;
const BTREE_HALF_DEAD: u16 = 16;
/// `PD_ALL_VISIBLE`.
pub(super) const ALL_VISIBLE: u16 = 4;
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

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes(bytes.try_into().ok()?))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
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
pub(super) enum Pointer<'a> {
    /// There is none of that number, or it is not in use.
    Unused,
    Redirect(u16),
    Dead,
    Normal(&'a [u8]),
    /// It leads out of the page.
    Bent,
}

pub(super) fn pointers(page: &[u8]) -> u16 {
    let lower = u16_at(page, 12).unwrap_or(0);
    lower.saturating_sub(24) / 4
}

pub(super) fn pointer(page: &[u8], offset: u16) -> Pointer<'_> {
    if offset == 0 || offset > pointers(page) {
        return Pointer::Unused;
    }
    let Some(item) = u32_at(page, HEADER + 4 * (usize::from(offset) - 1)) else {
        return Pointer::Bent;
    };
    match (item >> 15) & 3 {
        0 => Pointer::Unused,
        2 => Pointer::Redirect(u16::try_from(item & 0x7fff).unwrap_or(0)),
        3 => Pointer::Dead,
        _ => stored(page, offset).map_or(Pointer::Bent, Pointer::Normal),
    }
}

/// What a line pointer leads to, whatever it says of it, if that is within the page.
fn stored(page: &[u8], offset: u16) -> Option<&[u8]> {
    let item = u32_at(page, HEADER + 4 * usize::from(offset.checked_sub(1)?))?;
    let [at, length] = [item & 0x7fff, item >> 17].map(|part| usize::try_from(part).unwrap_or(0));
    page.get(at..at + length).filter(|_| at >= HEADER)
}

/// Whether a line pointer has storage. One that is not in use, or dead, has none, unless it was in use before it was bent.
pub(super) fn has_storage(page: &[u8], offset: u16) -> bool {
    let at = HEADER + 4 * usize::from(offset.saturating_sub(1));
    offset <= pointers(page) && u32_at(page, at).is_some_and(|item| item >> 17 != 0)
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
    /// The server has noted that it leads to nothing: also because there were zeros where it leads to.
    pub is_dead: bool,
}

/// What a page of a B-tree says.
#[derive(Debug, PartialEq, Eq)]
pub enum BtreePage<'a> {
    /// Nothing about rows: an inner page, the meta page, a page that is not in use.
    Other,
    /// A leaf: its entries, and its neighbours, if there are any.
    Leaf {
        /// Its entries, also those that the server has marked as dead.
        entries: Vec<IndexEntry<'a>>,
        /// The block to the left.
        before: Option<u32>,
        /// The block to the right.
        next: Option<u32>,
    },
    /// A leaf that is about to be taken out: it has no entries, and its neighbours know it still.
    HalfDead,
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
    let (Some(before), Some(next)) = (u32_at(page, special), u32_at(page, special + 4)) else {
        return BtreePage::Damaged;
    };
    let flags = u16_at(page, special + 12).unwrap_or(0);
    if flags & (BTREE_META | BTREE_DELETED) != 0 || flags & BTREE_LEAF == 0 {
        return BtreePage::Other;
    }
    if flags & BTREE_HALF_DEAD != 0 {
        return BtreePage::HalfDead;
    }
    // A page that has one to its right begins with the highest key that it may hold.
    let first = if next == 0 { 1 } else { 2 };
    let mut entries = Vec::new();
    for offset in first..=pointers(page) {
        let (tuple, is_dead) = match pointer(page, offset) {
            Pointer::Normal(tuple) => (Some(tuple), false),
            Pointer::Dead => (stored(page, offset), true),
            _ => (None, false),
        };
        let read = tuple.and_then(|tuple| index_tuple((tuple, is_dead), &mut entries));
        if read.is_none() {
            return BtreePage::Damaged;
        }
    }
    BtreePage::Leaf {
        entries,
        before: (before != 0).then_some(before),
        next: (next != 0).then_some(next),
    }
}

/// The leaves of a B-tree, which are a chain: each knows its neighbours.
#[derive(Debug, Default)]
pub struct Leaves {
    neighbours: BTreeMap<u32, (Option<u32>, Option<u32>)>,
    /// They are about to be taken out of it.
    half_dead: BTreeSet<u32>,
    /// The page from which they can be reached.
    root: Option<u32>,
}

impl Leaves {
    /// Takes in the page that the B-tree begins with.
    pub fn begin(&mut self, meta: &[u8]) {
        self.root = root(meta);
    }

    /// Adds one: the block to its left, and the one to its right.
    pub fn add(&mut self, block: u32, neighbours: (Option<u32>, Option<u32>)) {
        self.neighbours.insert(block, neighbours);
    }

    /// Adds one that has no entries.
    pub fn add_half_dead(&mut self, block: u32) {
        self.half_dead.insert(block);
    }

    /// What is wrong with the chain, if anything is: a leaf that looks like something else has entries that were not looked at, and so
    /// has one that another has taken the place of.
    pub fn wrong(&self) -> Option<String> {
        let of = |block: Option<u32>| block.and_then(|block| self.neighbours.get(&block));
        for (&block, &(before, next)) in &self.neighbours {
            let is_leaf =
                |other: &u32| self.neighbours.contains_key(other) || self.half_dead.contains(other);
            let mut both = before.into_iter().chain(next);
            if let Some(other) = both.find(|other| !is_leaf(other)) {
                return Some(format!(
                    "block {other} has leaves beside it, but is not one"
                ));
            }
            let back = [of(before).map(|one| one.1), of(next).map(|one| one.0)];
            if back.into_iter().flatten().any(|back| back != Some(block)) {
                return Some(format!(
                    "block {block} has neighbours that do not point back to it"
                ));
            }
        }
        let root = self.root.filter(|_| self.neighbours.is_empty());
        root.map(|root| format!("its root is block {root}, but none of its leaves is there"))
    }
}

/// Whether it is the page that a B-tree begins with, as far as a server looks at it.
pub fn is_meta(page: &[u8]) -> bool {
    /// `BTREE_MAGIC`.
    const MAGIC: u32 = 0x05_31_62;
    let flags = u16_at(page, BLOCK - BTREE_SPECIAL + 12).unwrap_or(0);
    state(page) == PageState::Sane && flags & BTREE_META != 0 && u32_at(page, HEADER) == Some(MAGIC)
}

/// The root of a B-tree, by the page that it begins with (`btm_root`), if there ever was an entry in it.
fn root(meta: &[u8]) -> Option<u32> {
    let root = u32_at(meta, HEADER + 8).filter(|_| is_meta(meta));
    root.filter(|&root| root != 0)
}

pub(super) fn place(bytes: &[u8], at: usize) -> Option<Place> {
    let high = u32::from(u16_at(bytes, at)?);
    let low = u32::from(u16_at(bytes, at + 2)?);
    Some((high << 16 | low, u16_at(bytes, at + 4)?))
}

fn index_tuple<'a>(
    (tuple, is_dead): (&'a [u8], bool),
    entries: &mut Vec<IndexEntry<'a>>,
) -> Option<()> {
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
    let entry = |place| IndexEntry {
        place,
        key,
        nulls,
        is_dead,
    };
    if !posting {
        entries.push(entry(first));
        return Some(());
    }
    for number in 0..usize::from(first.1 & POSTINGS) {
        entries.push(entry(place(tuple, end + 6 * number)?));
    }
    Some(())
}

/// How many pages the map of so many blocks has.
pub fn pages_of_map(blocks: u32) -> u32 {
    let of_a_page = u32::try_from(BLOCKS_PER_MAP_PAGE).unwrap_or(1);
    blocks.div_ceil(of_a_page)
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

/// Whether a line pointer cannot be what it says: what it leads to is not within the rows of its page.
pub(super) fn is_bent(page: &[u8], offset: u16, found: Pointer<'_>) -> bool {
    let upper = usize::from(u16_at(page, 14).unwrap_or(0));
    match found {
        Pointer::Bent => true,
        Pointer::Redirect(to) => to == 0 || to > pointers(page),
        Pointer::Normal(_) => {
            let item = u32_at(page, HEADER + 4 * (usize::from(offset) - 1)).unwrap_or(0);
            let at = usize::try_from(item & 0x7fff).unwrap_or(0);
            at < upper || at % 8 != 0
        }
        Pointer::Unused | Pointer::Dead => has_storage(page, offset),
    }
}

/// Goes through a row's attributes: shows each that is there, by its number from 0, with its bytes, as far as they are within the row.
/// Whether all of them are: if not, the server would read past its end.
pub(super) fn walk<'a>(
    tuple: &'a [u8],
    attributes: &[Attribute],
    mut each: impl FnMut(usize, &'a [u8]),
) -> Option<bool> {
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
        let (start, end) = extent(values, at, *attribute)?;
        each(number, values.get(start..end)?);
        at = end;
    }
    Some(at <= values.len())
}

/// Servers before 12 may put an OID behind the map.
fn has_oid(tuple: &[u8], head: usize, map: usize) -> bool {
    const HAS_OID: u16 = 8;
    u16_at(tuple, 20).unwrap_or(0) & HAS_OID != 0
        && head == (TUPLE_HEADER + map + 4).next_multiple_of(8)
}

/// The length of a pointer to TOAST (`VARHDRSZ_EXTERNAL` and `sizeof(varatt_external)`).
const EXTERNAL: usize = 18;

/// Where an attribute begins and ends.
fn extent(values: &[u8], at: usize, attribute: Attribute) -> Option<(usize, usize)> {
    if let Ok(length) = usize::try_from(attribute.length) {
        let start = at.next_multiple_of(attribute.align.max(1));
        let end = start.checked_add(length)?;
        return (end <= values.len()).then_some((start, end));
    }
    if attribute.length == -2 {
        let length = values.get(at..)?.iter().position(|&byte| byte == 0)?;
        return Some((at, at + length + 1));
    }
    let mut start = at;
    if *values.get(start)? == 0 {
        start = start.next_multiple_of(attribute.align.max(1));
    }
    let head = *values.get(start)?;
    let length = if head == 1 {
        EXTERNAL
    } else if head & 1 == 1 {
        usize::from(head >> 1)
    } else {
        let length = usize::try_from(u32_at(values, start)? >> 2).ok()?;
        (length >= 4).then_some(length)?
    };
    let end = start.checked_add(length)?;
    (length > 0 && end <= values.len()).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::page;
    use super::*;

    #[test]
    fn leaves_are_a_chain() {
        let leaves = |all: &[(u32, u32, u32)]| {
            let mut leaves = Leaves::default();
            for &(block, before, next) in all {
                let known = |block: u32| (block != 0).then_some(block);
                leaves.add(block, (known(before), known(next)));
            }
            leaves
        };
        assert_eq!(leaves(&[(1, 0, 0)]).wrong(), None);
        assert_eq!(leaves(&[(1, 0, 2), (2, 1, 4), (4, 2, 0)]).wrong(), None);
        let wrong = leaves(&[(1, 0, 2), (2, 1, 4)])
            .wrong()
            .expect("one is missing");
        assert!(wrong.starts_with("block 4 has leaves"), "{wrong}");
        let mut dying = leaves(&[(1, 0, 2), (2, 1, 4)]);
        dying.add_half_dead(4);
        assert_eq!(dying.wrong(), None);
        // The first has taken the place of the second.
        let wrong = leaves(&[(1, 0, 2), (2, 0, 2), (4, 2, 0)])
            .wrong()
            .expect("one is another");
        assert!(wrong.ends_with("do not point back to it"), "{wrong}");
    }

    #[test]
    fn a_tree_with_a_root_has_leaves() {
        let mut meta = vec![0; BLOCK];
        let numbers = [(12, 72), (14, 8176), (16, 8176), (18, 8192 | 4)];
        for (at, number) in numbers {
            meta[at..at + 2].copy_from_slice(&u16::to_le_bytes(number));
        }
        meta[HEADER..HEADER + 4].copy_from_slice(&0x05_31_62_u32.to_le_bytes());
        meta[BLOCK - 4] = 8;
        assert!(is_meta(&meta));
        let wrong = |meta: &[u8], leaf: Option<u32>| {
            let mut leaves = Leaves::default();
            leaves.begin(meta);
            if let Some(leaf) = leaf {
                leaves.add(leaf, (None, None));
            }
            leaves.wrong()
        };
        // Nothing was ever in it.
        assert_eq!(wrong(&meta, None), None);
        meta[HEADER + 8] = 3;
        assert_eq!(wrong(&meta, Some(1)), None);
        let said = wrong(&meta, None).expect("its leaves are gone");
        assert!(said.starts_with("its root is block 3"), "{said}");
        // Whoever is no such page says nothing.
        meta[HEADER] = 0;
        assert_eq!(wrong(&meta, None), None);
    }

    #[test]
    fn an_entry_that_is_marked_dead_keeps_its_row_and_its_key() {
        // Two entries of a leaf without a right neighbour: each with its place, its length, and a number.
        let mut leaf = page(&["", ""]);
        leaf[16..18].copy_from_slice(&8176u16.to_le_bytes());
        leaf[BLOCK - 16..].fill(0);
        leaf[BLOCK - 4] = 1;
        for (number, is_dead) in [(1u8, false), (2, true)] {
            let at = 4000 + 16 * usize::from(number);
            leaf[at..at + 16].fill(0);
            leaf[at + 4] = number;
            leaf[at + 6] = 16;
            leaf[at + 8] = 70 + number;
            let flags = if is_dead { 3 } else { 1 };
            let item = u32::try_from(at | flags << 15 | 16 << 17).expect("fits");
            let pointer = HEADER + 4 * (usize::from(number) - 1);
            leaf[pointer..pointer + 4].copy_from_slice(&item.to_le_bytes());
        }
        let told = |leaf: &[u8]| match btree(leaf) {
            BtreePage::Leaf { entries, .. } => {
                let entries = entries.iter();
                let told = entries.map(|one| (one.place, one.key[0], one.is_dead));
                Some(told.collect::<Vec<_>>())
            }
            _ => None,
        };
        let both = vec![((0, 1), 71, false), ((0, 2), 72, true)];
        assert_eq!(told(&leaf), Some(both));
        // One that is dead has its place all the same.
        leaf[HEADER + 4..HEADER + 8].copy_from_slice(&(3u32 << 15).to_le_bytes());
        assert_eq!(told(&leaf), None);
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
            for offset in [0, 1, 2, 3, 291, u16::MAX] {
                has_storage(&bytes, offset);
            }
            btree(&bytes);
            is_meta(&bytes);
            all_visible(&bytes, 7);
        }
    }
}
