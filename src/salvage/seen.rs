//! Where rows were read: block by block, which line pointers. A search keeps it of every table, so it has to be small.
//!
//! Nearly every page holds rows at its line pointers 1 to n, and nothing else: then n is all there is to remember, two bytes a
//! page. Of the others, each line pointer is kept.

use std::collections::BTreeMap;

use crate::plan::Place;

/// Blocks whose numbers are kept together.
const TOGETHER: u32 = 1024;
const TOGETHER_PLACES: usize = 1024;

/// Line pointers of a block, of which a page of 8 kB has at most 291.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Offsets([u64; 5]);

impl Offsets {
    /// The first so many.
    fn up_to(last: u16) -> Self {
        (1..=last).collect()
    }

    /// Adds one; `false` if there is no such line pointer.
    pub fn insert(&mut self, offset: u16) -> bool {
        let Some(word) = self.0.get_mut(usize::from(offset / 64)) else {
            return false;
        };
        *word |= 1 << (offset % 64);
        true
    }

    /// Whether it is among them.
    pub fn has(&self, offset: u16) -> bool {
        let word = self.0.get(usize::from(offset / 64));
        word.is_some_and(|word| word >> (offset % 64) & 1 == 1)
    }

    /// All of them.
    pub fn iter(self) -> impl Iterator<Item = u16> {
        (1..320).filter(move |&offset| self.has(offset))
    }

    /// How many.
    pub fn count(self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }
}

impl FromIterator<u16> for Offsets {
    fn from_iter<I: IntoIterator<Item = u16>>(all: I) -> Self {
        let mut offsets = Self::default();
        all.into_iter()
            .for_each(|offset| _ = offsets.insert(offset));
        offsets
    }
}

/// The last line pointer of which it can be kept whether it is among them; no page has so many.
const LAST: u16 = 319;

/// A line pointer, or the last of all.
fn nearest(offset: u16) -> u16 {
    offset.clamp(1, LAST)
}

/// Rows that were read, by block.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Of pages with rows at 1 to n: n.
    plain: BTreeMap<u32, Box<[u16; TOGETHER_PLACES]>>,
    /// Of others: where.
    others: BTreeMap<u32, Offsets>,
    rows: u64,
}

impl Seen {
    /// Adds one; `false` if no page has such a line pointer.
    pub fn insert(&mut self, block: u32, offset: u16) -> bool {
        if offset == 0 || !Offsets::default().insert(offset) {
            return false;
        }
        if let Some(offsets) = self.others.get_mut(&block) {
            self.rows += u64::from(!offsets.has(offset));
            return offsets.insert(offset);
        }
        let last = self.last(block);
        if offset <= last {
            return true;
        }
        self.rows += 1;
        if offset == last + 1 {
            self.set(block, offset);
            return true;
        }
        let mut offsets = Offsets::up_to(last);
        offsets.insert(offset);
        if last > 0 {
            self.set(block, 0);
        }
        self.others.insert(block, offsets);
        true
    }

    /// Adds what a page says that it has at a line pointer, whatever that is: those that no page has count as one, its last.
    pub fn insert_nearest(&mut self, (block, offset): Place) {
        self.insert(block, nearest(offset));
    }

    /// Whether it is among them.
    pub fn has_nearest(&self, (block, offset): Place) -> bool {
        self.has(block, nearest(offset))
    }

    /// The first from a place on, and before another.
    pub fn first_of(&self, (from, to): (Place, Place)) -> Option<Place> {
        let is_within = |place: &Place| (from..to).contains(place);
        let numbers = from.0 / TOGETHER..=to.0 / TOGETHER;
        let plain = self.plain.range(numbers).flat_map(|(number, lasts)| {
            // Of as many as there may be, only those that are meant are looked at.
            let start = number * TOGETHER;
            let skipped = from.0.saturating_sub(start);
            let end = to.0.min(start + (TOGETHER - 1));
            let lasts = lasts.iter().skip(usize::try_from(skipped).unwrap_or(0));
            let blocks = (start + skipped..=end).zip(lasts);
            blocks.filter_map(move |(block, &last)| {
                let first = if block == from.0 { from.1.max(1) } else { 1 };
                (first <= last).then_some((block, first))
            })
        });
        let others = self.others.range(from.0..=to.0);
        let others =
            others.flat_map(|(block, offsets)| offsets.iter().map(move |one| (*block, one)));
        let (mut plain, mut others) = (plain.filter(is_within), others.filter(is_within));
        match (plain.next(), others.next()) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// Whether a row was read there.
    pub fn has(&self, block: u32, offset: u16) -> bool {
        if let Some(offsets) = self.others.get(&block) {
            return offsets.has(offset);
        }
        (1..=self.last(block)).contains(&offset)
    }

    /// Where rows of a block were read.
    pub fn of(&self, block: u32) -> Offsets {
        let others = self.others.get(&block).copied();
        others.unwrap_or_else(|| Offsets::up_to(self.last(block)))
    }

    /// How many rows were read.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Blocks of which rows were read.
    pub fn blocks(&self) -> impl Iterator<Item = u32> {
        let plain = self.plain.iter().flat_map(|(first, lasts)| {
            let first = first * TOGETHER;
            let blocks = (0..TOGETHER).zip(lasts.iter());
            blocks
                .filter(|(_, last)| **last > 0)
                .map(move |(block, _)| first + block)
        });
        plain.chain(self.others.keys().copied())
    }

    /// The same, in order.
    pub fn sorted_blocks(&self) -> Vec<u32> {
        let mut blocks: Vec<u32> = self.blocks().collect();
        blocks.sort_unstable();
        blocks
    }

    /// All of them, in order.
    pub fn places(&self) -> Vec<Place> {
        let blocks = self.sorted_blocks().into_iter();
        let places = blocks.flat_map(|block| self.of(block).iter().map(move |one| (block, one)));
        places.collect()
    }

    /// The last of all.
    pub fn last_of_all(&self) -> Option<Place> {
        let block = self.blocks().max()?;
        Some((block, self.of(block).iter().last()?))
    }

    /// Takes some blocks out of it.
    pub fn split_off(&mut self, blocks: impl IntoIterator<Item = u32>) -> Self {
        let mut others = Self::default();
        for block in blocks {
            let offsets = self.of(block);
            if offsets != Offsets::default() {
                others.put(block, offsets);
                self.put(block, Offsets::default());
            }
        }
        others
    }

    /// Takes the place of what was known of a block.
    pub fn put(&mut self, block: u32, offsets: Offsets) {
        self.rows -= self.of(block).count();
        self.others.remove(&block);
        let count = u16::try_from(offsets.count()).unwrap_or(u16::MAX);
        let is_plain = offsets == Offsets::up_to(count);
        let last = if is_plain { count } else { 0 };
        if last != self.last(block) {
            self.set(block, last);
        }
        if !is_plain {
            self.others.insert(block, offsets);
        }
        self.rows += offsets.count();
    }

    /// Takes one away.
    pub fn remove(&mut self, (block, offset): Place) {
        let offsets = self.of(block);
        if offsets.has(offset) {
            self.put(block, offsets.iter().filter(|one| *one != offset).collect());
        }
    }

    /// What of it is within a run of blocks.
    pub fn within(&self, (from, to): (u32, u32)) -> Self {
        let mut some = Self::default();
        if from >= to {
            return some;
        }
        let (first, last) = (from / TOGETHER, (to - 1) / TOGETHER);
        for (number, lasts) in self.plain.range(first..=last) {
            let start = number * TOGETHER;
            for (block, &last) in (0..TOGETHER).zip(lasts.iter()) {
                let block = start + block;
                if last > 0 && (from..to).contains(&block) {
                    some.set(block, last);
                    some.rows += u64::from(last);
                }
            }
        }
        for (&block, &offsets) in self.others.range(from..to) {
            some.others.insert(block, offsets);
            some.rows += offsets.count();
        }
        some
    }

    /// Adds what was read elsewhere.
    pub fn extend(&mut self, mut more: Self) {
        for (number, lasts) in std::mem::take(&mut more.plain) {
            let first = number * TOGETHER;
            let is_new = !self.plain.contains_key(&number)
                && self
                    .others
                    .range(first..first.saturating_add(TOGETHER))
                    .next()
                    .is_none();
            if is_new {
                self.rows += lasts.iter().map(|last| u64::from(*last)).sum::<u64>();
                self.plain.insert(number, lasts);
                continue;
            }
            for (block, last) in (0..TOGETHER).zip(lasts.iter()) {
                (1..=*last).for_each(|offset| _ = self.insert(first + block, offset));
            }
        }
        for (block, offsets) in more.others {
            offsets
                .iter()
                .for_each(|offset| _ = self.insert(block, offset));
        }
    }

    fn last(&self, block: u32) -> u16 {
        let lasts = self.plain.get(&(block / TOGETHER));
        let place = usize::try_from(block % TOGETHER).unwrap_or(0);
        lasts
            .and_then(|lasts| lasts.get(place))
            .copied()
            .unwrap_or(0)
    }

    fn set(&mut self, block: u32, last: u16) {
        let lasts = self.plain.entry(block / TOGETHER);
        let lasts = lasts.or_insert_with(|| Box::new([0; TOGETHER_PLACES]));
        let place = usize::try_from(block % TOGETHER).unwrap_or(0);
        if let Some(kept) = lasts.get_mut(place) {
            *kept = last;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn places() -> impl Strategy<Value = Vec<(u32, u16)>> {
        vec((0..3000u32, 1..12u16), 0..200)
    }

    proptest! {
        #[test]
        fn what_was_put_in_is_there_and_nothing_else(one in places(), other in places()) {
            let (mut seen, mut more) = (Seen::default(), Seen::default());
            for &(block, offset) in &one {
                assert!(seen.insert(block, offset));
            }
            for &(block, offset) in &other {
                assert!(more.insert(block, offset));
            }
            seen.extend(more);
            let all: BTreeSet<(u32, u16)> = one.into_iter().chain(other).collect();
            let found: BTreeSet<(u32, u16)> = seen
                .blocks()
                .flat_map(|block| seen.of(block).iter().map(move |offset| (block, offset)))
                .collect();
            prop_assert_eq!(&found, &all);
            prop_assert_eq!(seen.rows(), all.len() as u64);
            let mut some = seen.within((1000, 2100));
            let of_some = all.range((1000, 0)..(2100, 0));
            prop_assert_eq!(some.rows(), of_some.clone().count() as u64);
            for place in of_some {
                prop_assert!(some.has(place.0, place.1));
                some.remove(*place);
                prop_assert!(!some.has(place.0, place.1));
            }
            prop_assert_eq!(some.rows(), 0);
            for (from, to) in [((0, 0), (u32::MAX, 0)), ((1000, 4), (1003, 7)), ((7, 3), (7, 9)), ((9, 9), (9, 9))] {
                let first = all.range(from..to).next().copied();
                prop_assert_eq!(seen.first_of((from, to)), first);
            }
            let mut put = Seen::default();
            for block in seen.blocks() {
                put.insert(block, 9);
                put.put(block, seen.of(block));
                prop_assert_eq!(put.of(block), seen.of(block));
            }
            prop_assert_eq!(put.rows(), seen.rows());
            for block in 0..3000 {
                for offset in 0..13 {
                    prop_assert_eq!(seen.has(block, offset), all.contains(&(block, offset)));
                }
            }
        }
    }

    #[test]
    fn pages_in_order_take_two_bytes_each() {
        let mut seen = Seen::default();
        for block in 0..10_000 {
            for offset in 1..=50 {
                assert!(seen.insert(block, offset));
            }
        }
        assert_eq!((seen.plain.len(), seen.others.len()), (10, 0));
        assert_eq!(seen.rows(), 500_000);
        assert!(seen.insert(u32::MAX, 291) && !seen.insert(1, 320) && !seen.insert(1, 0));
        assert_eq!(seen.of(u32::MAX).iter().collect::<Vec<_>>(), [291]);
        seen.insert_nearest((7_000_000, 2042));
        assert!(seen.has_nearest((7_000_000, 400)) && !seen.has_nearest((7_000_000, 291)));
        let first = seen.first_of(((7_000_000, 0), (7_000_001, 0)));
        assert_eq!(first, Some((7_000_000, LAST)));
    }
}
