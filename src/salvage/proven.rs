//! Of which blocks of a table the bytes prove everything, and what is left to be asked of the others. A search keeps it of every table, so
//! it has to be small: for a block two bits, two bytes of [`Seen`], and four of the sum of its keys.

use std::collections::{BTreeMap, BTreeSet};

use super::seen::{Offsets, Seen};
use crate::plan::Place;

/// Numbers whose bits are kept together.
const BITS: u32 = 64;
/// Blocks whose sums are kept together.
const SUMS: u32 = 1024;
const SUMS_PLACES: usize = 1024;

/// What bytes prove of a table.
#[derive(Debug, Default)]
pub struct Proven {
    /// Blocks of which everything is.
    blocks: Numbers,
    /// Where they have rows.
    rows: Seen,
    /// Blocks of which it is told where they have rows, whatever these are.
    told: Numbers,
    /// Attributes, from 0, of which values are not proven on other blocks.
    unproven: BTreeSet<usize>,
    sums: Sums,
    /// Blocks that have keys which are not plain to see.
    unclear: Numbers,
}

/// A set of numbers that are near to each other, such as those of blocks.
#[derive(Debug, Clone, Default)]
pub struct Numbers(BTreeMap<u32, u64>);

impl Numbers {
    /// Whether one is in it.
    pub fn has(&self, number: u32) -> bool {
        let bits = self.0.get(&(number / BITS));
        bits.is_some_and(|bits| bits >> (number % BITS) & 1 == 1)
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.0.values().all(|bits| *bits == 0)
    }

    /// The first from one on, and before another.
    pub fn first_of(&self, (from, to): (u32, u32)) -> Option<u32> {
        let mut some = self.0.range(from / BITS..=to / BITS);
        some.find_map(|(place, bits)| {
            let numbers = (0..BITS).filter(|bit| bits >> bit & 1 == 1);
            let mut numbers = numbers.map(|bit| place * BITS + bit);
            numbers.find(|number| (from..to).contains(number))
        })
    }

    /// Puts one in, or takes it out.
    pub fn set(&mut self, number: u32, is_in: bool) {
        if is_in != self.has(number) {
            *self.0.entry(number / BITS).or_default() ^= 1 << (number % BITS);
        }
    }

    /// Puts in all that are in another.
    pub fn extend(&mut self, more: &Self) {
        for (place, bits) in &more.0 {
            *self.0.entry(*place).or_default() |= bits;
        }
    }
}

/// A number for each block.
#[derive(Debug, Default)]
pub struct Sums(BTreeMap<u32, Box<[u32; SUMS_PLACES]>>);

impl Sums {
    /// That of a block; 0 where there is none.
    pub fn of(&mut self, block: u32) -> &mut u32 {
        let sums = self.0.entry(block / SUMS);
        let sums = sums.or_insert_with(|| Box::new([0; SUMS_PLACES]));
        let place = usize::try_from(block % SUMS).unwrap_or(0);
        &mut sums[place % SUMS_PLACES]
    }

    fn get(&self, block: u32) -> u32 {
        let place = usize::try_from(block % SUMS).unwrap_or(0);
        let sums = self.0.get(&(block / SUMS));
        sums.map_or(0, |sums| sums[place % SUMS_PLACES])
    }

    /// Those that are not 0, by block.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u32)> {
        let all = self.0.iter();
        all.flat_map(|(number, sums)| {
            let first = number * SUMS;
            let blocks = (0..SUMS).zip(sums.iter());
            blocks
                .filter(|(_, sum)| **sum != 0)
                .map(move |(block, sum)| (first + block, *sum))
        })
    }
}

/// What is known of a run of blocks, and what of it is left to be asked.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// The blocks that have to be asked for: the first, and the one behind the last.
    pub blocks: (u32, u32),
    /// Attributes, from 0, that have to be.
    pub attributes: BTreeSet<usize>,
    /// Values that are lost: they are not asked for.
    pub without: Vec<(Place, usize)>,
}

impl Proven {
    /// Of a block, everything is; its rows are there.
    pub fn insert(&mut self, block: u32, rows: Offsets) {
        self.blocks.set(block, true);
        self.rows.put(block, rows);
    }

    /// Of a block, not everything is: these attributes are not, and perhaps not where its rows are.
    pub fn remove(&mut self, block: u32, unproven: impl IntoIterator<Item = usize>) {
        self.unproven.extend(unproven);
        self.blocks.set(block, false);
        self.rows.put(block, Offsets::default());
    }

    /// Notes whether a block itself tells where it has rows.
    pub fn note_rows(&mut self, block: u32, is_told: bool) {
        self.told.set(block, is_told);
    }

    /// Whether all blocks of a run tell where they have rows.
    pub fn tells_rows(&self, (from, to): (u32, u32)) -> bool {
        (from..to).all(|block| self.told.has(block))
    }

    /// Whether all of these rows are on blocks of which everything is proven.
    pub fn proves(&self, seen: &Seen) -> bool {
        seen.blocks().all(|block| self.blocks.has(block))
    }

    /// Rows that are proven in a run of blocks, but for those that are among what is left to be asked.
    pub fn of(&self, (from, to): (u32, u32)) -> (Seen, Option<Left>) {
        let unproven = |block: &u32| !self.blocks.has(*block);
        let first = (from..to).find(unproven);
        let last = (from..to).rev().find(unproven);
        let Some((first, last)) = first.zip(last) else {
            return (self.rows.within((from, to)), None);
        };
        let blocks = (first, last.saturating_add(1));
        let mut seen = self.rows.within((from, blocks.0));
        seen.extend(self.rows.within((blocks.1, to)));
        let left = Left {
            blocks,
            attributes: self.unproven.clone(),
            without: Vec::new(),
        };
        (seen, Some(left))
    }

    /// Notes the sum of the keys of a block's rows, if they can be compared as one.
    pub fn note_keys(&mut self, block: u32, sum: Option<u32>) {
        self.unclear.set(block, sum.is_none());
        if sum.is_some() || self.sums.get(block) != 0 {
            *self.sums.of(block) = sum.map_or(0, |sum| sum | 1);
        }
    }

    /// Whether the keys of a block's rows may be others than those of an index: they make another sum, which would be the same, or none.
    pub fn may_have_other_keys(&self, block: u32, sum: u32) -> bool {
        let kept = self.sums.get(block);
        self.unclear.has(block) || kept != 0 && kept != sum | 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(mut seen: Seen, (block, offset): Place) -> Seen {
        seen.insert(block, offset);
        seen
    }

    fn offsets(last: u16) -> Offsets {
        (1..=last).collect()
    }

    #[test]
    fn what_is_proven_is_not_left() {
        let mut proven = Proven::default();
        for block in 0..200 {
            proven.insert(block, offsets(3));
        }
        let (seen, left) = proven.of((0, 200));
        assert_eq!((seen.rows(), left), (600, None));
        proven.remove(70, [1]);
        proven.remove(130, [4]);
        proven.remove(300, []);
        let (seen, left) = proven.of((60, 200));
        let left = left.expect("two blocks");
        assert_eq!(left.blocks, (70, 131));
        assert_eq!(left.attributes, BTreeSet::from([1, 4]));
        assert_eq!(seen.rows(), 3 * (10 + 69));
        assert!(!seen.has(100, 1) && seen.has(69, 1) && seen.has(131, 1));
        // Nobody has looked there.
        let (seen, left) = proven.of((199, 202));
        assert_eq!(
            (seen.rows(), left.map(|left| left.blocks)),
            (3, Some((200, 202)))
        );
        proven.note_rows(70, true);
        assert!(proven.tells_rows((70, 71)) && !proven.tells_rows((70, 72)));
        assert!(!proven.proves(&[(70, 1)].into_iter().fold(Seen::default(), put)));
        assert!(proven.proves(&[(69, 1)].into_iter().fold(Seen::default(), put)));
        let (seen, left) = proven.of((5, 5));
        assert_eq!((seen.rows(), left), (0, None));
    }

    #[test]
    fn numbers_are_found_in_order() {
        let mut numbers = Numbers::default();
        assert!(numbers.is_empty() && numbers.first_of((0, u32::MAX)).is_none());
        for number in [70, 71, 300, u32::MAX - 1] {
            numbers.set(number, true);
        }
        assert_eq!(numbers.first_of((0, u32::MAX)), Some(70));
        assert_eq!(numbers.first_of((71, 72)), Some(71));
        assert_eq!(numbers.first_of((72, 300)), None);
        assert_eq!(numbers.first_of((301, u32::MAX)), Some(u32::MAX - 1));
        let mut more = Numbers::default();
        more.set(5, true);
        more.extend(&numbers);
        more.set(70, false);
        assert_eq!(more.first_of((0, 100)), Some(5));
        assert!(more.has(300) && !more.has(70));
    }

    #[test]
    fn sums_are_compared_where_there_are_any() {
        let mut proven = Proven::default();
        proven.note_keys(5, Some(8));
        proven.note_keys(5000, None);
        let others = |proven: &Proven, block, sum| proven.may_have_other_keys(block, sum);
        assert!(!others(&proven, 5, 8) && others(&proven, 5, 10));
        // Nobody has looked there; and what is not plain to see is looked at one by one.
        assert!(!others(&proven, 6, 10) && others(&proven, 5000, 1));
        proven.note_keys(5, None);
        assert!(others(&proven, 5, 8));
        proven.note_keys(5, Some(10));
        assert!(!others(&proven, 5, 10));
        let mut sums = Sums::default();
        *sums.of(3000) += 7;
        *sums.of(2) += 1;
        assert_eq!(sums.iter().collect::<Vec<_>>(), [(2, 1), (3000, 7)]);
    }
}
