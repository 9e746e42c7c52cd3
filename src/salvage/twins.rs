//! Pages of a table that are there twice, to the last byte, and say of all their rows that these are gone.
//!
//! Of a page in the place of another, the keys of its rows tell, which an index has others for. Of one that holds nothing but line pointers of
//! rows that were cleared away, nothing does; and of each row that should be there it says that it is gone. But it holds what is left of those
//! that were there, which is nowhere else as well.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_64;

use super::page::{PageState, Pointer, pointer, pointers, state, u16_at};
use super::proven::Numbers;

/// Pages that are compared, of one table: of more, the others are believed.
const MOST: usize = 1 << 20;

/// What there is of them.
#[derive(Debug, Default)]
pub struct Twins {
    /// The first block with such a page, by its bytes.
    first: HashMap<u64, u32>,
    found: Numbers,
}

impl Twins {
    /// Takes in a page.
    pub fn add(&mut self, block: u32, page: &[u8]) {
        if !has_nothing_but_remains(page) {
            return;
        }
        let bytes = xxh3_64(page);
        match self.first.get(&bytes) {
            Some(&first) if first != block => {
                self.found.set(first, true);
                self.found.set(block, true);
            }
            None if self.first.len() < MOST => _ = self.first.insert(bytes, block),
            _ => {}
        }
    }

    /// Whether the page of a block is somewhere else as well.
    pub fn has(&self, block: u32) -> bool {
        self.found.has(block)
    }
}

/// Whether all rows of a page were cleared away, and something is left of them.
fn has_nothing_but_remains(page: &[u8]) -> bool {
    let is_dead = |offset| matches!(pointer(page, offset), Pointer::Dead);
    let is_free = |offset| matches!(pointer(page, offset), Pointer::Dead | Pointer::Unused);
    let all = 1..=pointers(page);
    if state(page) != PageState::Sane || !all.clone().all(is_free) || !all.clone().any(is_dead) {
        return false;
    }
    let [from, to] = [12, 14].map(|at| usize::from(u16_at(page, at).unwrap_or(0)));
    let free = page.get(from..to).unwrap_or_default();
    free.iter().any(|&byte| byte != 0)
}

#[cfg(test)]
mod tests {
    use super::super::page::BLOCK;
    use super::super::testing::page;
    use super::*;

    /// All rows are gone, and their bytes are still there.
    fn cleared(texts: &[&str]) -> Vec<u8> {
        let mut page = page(texts);
        for number in 0..texts.len() {
            let at = 24 + 4 * number;
            page[at..at + 4].copy_from_slice(&(3u32 << 15).to_le_bytes());
        }
        page[14..16].copy_from_slice(&u16::try_from(BLOCK).expect("it fits").to_le_bytes());
        page
    }

    #[test]
    fn what_is_left_of_rows_is_there_once() {
        let mut twins = Twins::default();
        let (one, other) = (cleared(&["one", "two"]), cleared(&["one", "six"]));
        twins.add(0, &one);
        twins.add(7, &other);
        // It is looked at once more.
        twins.add(0, &one);
        assert!(!twins.has(0) && !twins.has(7));
        twins.add(9, &one);
        assert!(twins.has(0) && twins.has(9) && !twins.has(7));
    }

    #[test]
    fn pages_without_remains_are_all_alike() {
        let mut twins = Twins::default();
        let mut bare = cleared(&["one"]);
        bare[28..BLOCK].fill(0);
        // One with a row has a key; one that nothing was ever in, and one that is none, say nothing.
        let empty = cleared(&[]);
        for page in [&bare, &page(&["one"]), &empty, &vec![7; BLOCK]] {
            twins.add(1, page);
            twins.add(2, page);
            assert!(!twins.has(1) && !twins.has(2));
        }
    }
}
