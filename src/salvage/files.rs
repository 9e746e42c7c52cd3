//! The files of a relation against what there should be: what the server does not reach without saying so.
//!
//! A relation is cut into files of 1 GB. The server counts them until one is missing or short, and takes that for the end
//! (`mdnblocks`): of a relation whose second file is gone it shows the first, and no error.

use std::collections::BTreeMap;

use super::page::BLOCK;

/// Blocks of a file (`RELSEG_SIZE`).
pub const BLOCKS_PER_FILE: u32 = 131_072;
const PAGE: u64 = BLOCK as u64;
/// Files of a relation, of as many blocks as have a number.
const MOST_FILES: u32 = u32::MAX / BLOCKS_PER_FILE + 1;

/// Sizes of files in bytes, by name within their directory.
pub type Listing = BTreeMap<String, u64>;

/// What the files of a relation hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shape {
    /// Sizes by number.
    pub files: BTreeMap<u32, u64>,
    /// Blocks that the server reaches.
    pub reached: u32,
    /// Runs of blocks that are in files which it does not reach.
    pub cut_off: Vec<(u32, u32)>,
    /// What is wrong, a clause each.
    pub wrong: Vec<String>,
}

/// Of the relation whose first file has this name.
pub fn shape(listing: &Listing, first: &str) -> Shape {
    let mut files = BTreeMap::new();
    for (name, &size) in listing.range(first.to_owned()..) {
        let Some(rest) = name.strip_prefix(first) else {
            break;
        };
        let number = match rest.strip_prefix('.') {
            _ if rest.is_empty() => Some(0),
            // There are no files behind the last block that there can be.
            Some(number) => number.parse().ok().filter(|&number| number < MOST_FILES),
            None => None,
        };
        if let Some(number) = number {
            files.insert(number, size);
        }
    }
    let mut shape = Shape {
        files,
        ..Shape::default()
    };
    shape.judge(first);
    shape
}

impl Shape {
    fn judge(&mut self, first: &str) {
        let file = |number: u32| match number {
            0 => first.to_owned(),
            number => format!("{first}.{number}"),
        };
        let whole = u64::from(BLOCKS_PER_FILE) * PAGE;
        let mut ended = None;
        let last = self.files.keys().next_back().copied();
        // A table that was truncated by vacuum keeps the files that it does not need any more, empty (`md.c`).
        let filled = self.files.iter().rev().find(|(_, size)| **size > 0);
        let last_filled = filled.map(|(number, _)| *number);
        for number in 0..=last.unwrap_or(0) {
            let size = self.files.get(&number).copied();
            let start = number.saturating_mul(BLOCKS_PER_FILE);
            let blocks = size.map_or(0, |size| u32::try_from(size / PAGE).unwrap_or(0));
            if size.is_some_and(|size| size % PAGE != 0) {
                self.wrong.push(format!(
                    "the file {} ends in the middle of a page",
                    file(number)
                ));
            }
            if ended.is_some() {
                if size.is_some_and(|size| size > 0) {
                    self.cut_off.push((start, start.saturating_add(blocks)));
                }
                continue;
            }
            self.reached = start.saturating_add(blocks);
            if size != Some(whole) {
                ended = Some(number);
            }
            if size.is_none() {
                self.wrong
                    .push(format!("the file {} is missing", file(number)));
            } else if size != Some(whole) && last_filled.is_some_and(|last| last > number) {
                self.wrong.push(format!(
                    "the file {} is shorter than 1 GB, and there are others behind it",
                    file(number)
                ));
            }
        }
        // What comes after the end need not be known by a name, but by a number.
        self.wrong.dedup();
    }

    /// The file of a block, by number, and where the block is in it, if it is whole.
    pub fn place(&self, block: u32) -> Option<(u32, u64)> {
        let number = block / BLOCKS_PER_FILE;
        let start = u64::from(block % BLOCKS_PER_FILE) * PAGE;
        let size = self.files.get(&number)?;
        (start + PAGE <= *size).then_some((number, start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: u64 = 1 << 30;

    fn of(files: &[(&str, u64)]) -> Shape {
        let listing = files
            .iter()
            .map(|(name, size)| ((*name).to_owned(), *size))
            .collect();
        shape(&listing, "23")
    }

    #[test]
    fn a_whole_relation_has_nothing_wrong() {
        let shape = of(&[
            ("2", 8192),
            ("23", WHOLE),
            ("23.1", 16384),
            ("230", 8192),
            ("23_vm", 8192),
        ]);
        assert_eq!(shape.reached, BLOCKS_PER_FILE + 2);
        assert_eq!((shape.wrong.len(), shape.cut_off.len()), (0, 0));
        assert_eq!(shape.place(BLOCKS_PER_FILE + 1), Some((1, 8192)));
        assert_eq!(shape.place(BLOCKS_PER_FILE + 2), None);
    }

    #[test]
    fn what_is_behind_a_missing_or_short_file_is_not_reached() {
        let shape = of(&[("23", WHOLE), ("23.2", 8192)]);
        assert_eq!(shape.reached, BLOCKS_PER_FILE);
        assert_eq!(
            shape.cut_off,
            [(2 * BLOCKS_PER_FILE, 2 * BLOCKS_PER_FILE + 1)]
        );
        assert_eq!(shape.wrong, ["the file 23.1 is missing"]);
        let shape = of(&[("23", 8192), ("23.1", 8192)]);
        assert_eq!(shape.reached, 1);
        assert!(shape.wrong[0].contains("shorter than 1 GB"), "{shape:?}");
        let shape = of(&[]);
        assert_eq!(shape.wrong, ["the file 23 is missing"]);
        assert_eq!(shape.reached, 0);
    }

    #[test]
    fn a_file_that_no_relation_has_is_none_of_its_files() {
        let shape = of(&[("23", 8192), ("23.4000000000", 8192)]);
        assert_eq!((shape.reached, shape.files.len()), (1, 1));
        assert_eq!((shape.wrong.len(), shape.cut_off.len()), (0, 0));
    }

    #[test]
    fn empty_files_behind_the_end_are_what_vacuum_leaves() {
        for sizes in [[8192, 0, 0], [0, 0, 0], [WHOLE, 8192, 0], [WHOLE, 0, 0]] {
            let [first, second, third] = sizes;
            let shape = of(&[("23", first), ("23.1", second), ("23.2", third)]);
            assert_eq!(
                (shape.wrong.len(), shape.cut_off.len()),
                (0, 0),
                "{shape:?}"
            );
        }
        // But not if something is behind them again, or if they are not all there.
        let shape = of(&[("23", WHOLE), ("23.1", 0), ("23.2", 8192)]);
        assert!(shape.wrong[0].contains("23.1 is shorter"), "{shape:?}");
        assert_eq!(shape.cut_off.len(), 1);
        let shape = of(&[("23", WHOLE), ("23.2", 0)]);
        assert_eq!(shape.wrong, ["the file 23.1 is missing"]);
    }

    #[test]
    fn a_file_that_ends_in_a_page_is_damaged() {
        let shape = of(&[("23", 8192 + 100)]);
        assert_eq!(shape.reached, 1);
        assert!(shape.wrong[0].contains("middle of a page"), "{shape:?}");
    }
}
