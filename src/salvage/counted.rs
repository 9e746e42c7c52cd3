//! Whether the pages of a table hold all rows that they once had, where no index tells which these were.
//!
//! Pages of zeros at the end are no damage by themselves: from 16 on, a server makes a table longer by many pages at once, `COPY` leaves those
//! that it has not needed as they are, and `ANALYZE` counts them as pages. But a row that was counted leaves a trace until it is counted again:
//! its line pointer stays in use when it is deleted or updated, and is given up by `VACUUM`, which counts the rows as well, but only at its
//! end: one that was cancelled has given up some, and counted none. These have left their pointers behind, out of use, or their space
//! (`PageTruncateLinePointerArray`). And where a page's free space ends, its last row begins (`PageAddItem`, `PageRepairFragmentation`).

use super::page::{PageState, pointers, state, u16_at, u32_at};

/// As far as every page is looked at to count rows (`ANALYZE` takes 300 pages for each of 100 values that it keeps); of more, it estimates.
const COUNTED_ONE_BY_ONE: u32 = 30_000;
/// One in so many rows that were estimated may never have been.
const ESTIMATE: u64 = 100;
/// A line pointer; with it, the smallest row that there is.
const POINTER: u32 = 4;
const SMALLEST_ROW: u32 = 24 + POINTER;

/// What `pg_class` says that a table had.
#[derive(Debug, Clone, Copy)]
pub struct Counted {
    /// Its pages.
    pub pages: u32,
    /// The rows on them.
    pub rows: u64,
}

/// The rows that the pages of a table have a trace of.
#[derive(Debug)]
pub struct Traces {
    counted: Counted,
    rows: u64,
    /// How many more may have been on the same pages, and were given up.
    given_up: u64,
}

/// A line pointer of a page that is in use.
struct Item {
    flags: u32,
    /// Where it leads to, and how long what is there is; nothing, if it has no storage.
    stored: Option<(u16, u32)>,
}

/// Line pointers of a page that are in use.
fn in_use(page: &[u8]) -> impl Iterator<Item = Item> {
    let item = |number: u16| u32_at(page, 24 + 4 * usize::from(number));
    let items = (0..pointers(page)).map_while(item);
    items.filter(|item| *item != 0).map(|item| {
        let (place, length) = (u16::try_from(item & 0x7fff).ok(), item >> 17);
        Item {
            flags: (item >> 15) & 3,
            stored: place.filter(|_| length != 0).map(|place| (place, length)),
        }
    })
}

/// How many rows a page may have given up: its pointers that are out of use, and as many as its free space has room for, each as large
/// as the smallest that is still there.
fn given_up(page: &[u8]) -> u64 {
    let out_of_use = usize::from(pointers(page)).saturating_sub(in_use(page).count());
    let rows = in_use(page).filter_map(|item| item.stored);
    let smallest = rows.map(|(_, length)| length.next_multiple_of(8) + POINTER);
    let smallest = smallest.min().unwrap_or(SMALLEST_ROW).max(SMALLEST_ROW);
    let free = u16_at(page, 14).zip(u16_at(page, 12));
    let free = free.map_or(0, |(upper, lower)| upper.saturating_sub(lower));
    u64::try_from(out_of_use).unwrap_or(0) + u64::from(u32::from(free) / smallest)
}

impl Traces {
    /// None yet, of what was counted.
    pub fn of(counted: Counted) -> Self {
        Self {
            counted,
            rows: 0,
            given_up: 0,
        }
    }

    /// Takes in a page.
    pub fn add(&mut self, number: u32, page: &[u8]) {
        if state(page) != PageState::Sane {
            return;
        }
        let rows = in_use(page).filter(|item| item.flags != 0).count();
        self.rows += u64::try_from(rows).unwrap_or(0);
        if number < self.counted.pages {
            self.given_up += given_up(page);
        }
    }

    /// How many rows there were once, and have left no trace; nothing, if they may never have been, or may have been given up.
    pub fn lacks(&self) -> Option<u64> {
        let Counted { pages, rows } = self.counted;
        let lacks = rows.saturating_sub(self.rows);
        let is_exact = pages <= COUNTED_ONE_BY_ONE;
        let uncertain = if is_exact { 0 } else { rows / ESTIMATE };
        (lacks > uncertain + self.given_up).then_some(lacks)
    }
}

/// Whether a page has rows that none of its line pointers leads to: the first begin where its free space ends.
pub fn has_loose_rows(page: &[u8]) -> bool {
    if state(page) != PageState::Sane {
        return false;
    }
    let (Some(upper), Some(special)) = (u16_at(page, 14), u16_at(page, 16)) else {
        return false;
    };
    let rows = in_use(page).filter_map(|item| item.stored);
    rows.map(|(place, _)| place).min().unwrap_or(special) > upper
}

#[cfg(test)]
mod tests {
    use super::super::page::BLOCK;
    use super::super::testing::page;
    use super::*;

    /// What so many pages lack, of which so many rows were counted.
    fn lacks(pages: &[&[u8]], counted: u64) -> Option<u64> {
        let all = u32::try_from(pages.len()).expect("few");
        let mut traces = Traces::of(Counted {
            pages: all,
            rows: counted,
        });
        for (number, page) in (0..).zip(pages) {
            traces.add(number, page);
        }
        traces.lacks()
    }

    /// So many rows of 32 bytes fill a page.
    fn full() -> Vec<u8> {
        page(&["row"; 226])
    }

    #[test]
    fn rows_that_were_counted_have_left_a_trace_unless_they_are_lost() {
        let (sound, zeros) = (full(), [0u8; BLOCK]);
        assert_eq!(lacks(&[&sound, &zeros], 226), None);
        assert_eq!(lacks(&[&sound, &zeros], 228), Some(2));
        // More rows have come since.
        assert_eq!(lacks(&[&sound, &zeros], 200), None);
        // One was deleted, and cleared away: dead. One was updated: a redirection.
        let mut later = sound;
        later[24..28].copy_from_slice(&(3u32 << 15).to_le_bytes());
        later[28..32].copy_from_slice(&(3 | 2u32 << 15).to_le_bytes());
        assert_eq!(lacks(&[&later, &zeros], 226), None);
        assert_eq!(lacks(&[&later, &zeros], 227), Some(1));
    }

    #[test]
    fn rows_that_a_vacuum_has_given_up_are_not_lost() {
        let zeros = [0u8; BLOCK];
        // One pointer is out of use.
        let mut later = full();
        later[24..28].fill(0);
        assert_eq!(lacks(&[&later, &zeros], 226), None);
        assert_eq!(lacks(&[&later, &zeros], 227), Some(2));
        // The last were taken away, with their rows.
        let cut = page(&["row"; 200]);
        assert_eq!(lacks(&[&cut, &zeros], 226), None);
        assert_eq!(lacks(&[&cut, &zeros], 228), Some(28));
        // All were; of what size nobody knows.
        let empty = page(&[]);
        assert_eq!(lacks(&[&empty, &zeros], 291), None);
        assert_eq!(lacks(&[&empty, &zeros], 292), Some(292));
        // Nothing was counted on this one, so it has given up nothing.
        let mut traces = Traces::of(Counted { pages: 1, rows: 5 });
        traces.add(1, &empty);
        assert_eq!(traces.lacks(), Some(5));
    }

    #[test]
    fn an_estimate_may_be_a_little_too_high() {
        let lacks = |pages, counted| {
            let of = Counted {
                pages,
                rows: counted,
            };
            let traces = Traces {
                rows: 995_000,
                ..Traces::of(of)
            };
            traces.lacks()
        };
        assert_eq!(lacks(40_000, 1_000_000), None);
        assert_eq!(lacks(40_000, 1_010_000), Some(15_000));
        assert_eq!(lacks(30_000, 1_000_000), Some(5000));
    }

    #[test]
    fn rows_without_line_pointers_are_seen() {
        let sound = page(&["one", "two", "three"]);
        assert!(!has_loose_rows(&sound));
        assert!(!has_loose_rows(&[0; BLOCK]));
        assert!(!has_loose_rows(&page(&[])));
        // It ends after two, after none; or the last is not in use any more.
        for lower in [24 + 4 * 2, 24] {
            let mut cut = sound.clone();
            cut[12] = lower;
            assert!(has_loose_rows(&cut), "{lower}");
        }
        let mut unused = sound.clone();
        unused[24 + 4 * 2..24 + 4 * 3].fill(0);
        assert!(has_loose_rows(&unused));
        // Of a row that was bent to be none the place is known still.
        let mut bent = sound;
        let item = 24 + 4 * 2;
        let known = u32_at(&bent, item).expect("four bytes") & !(3 << 15);
        bent[item..item + 4].copy_from_slice(&known.to_le_bytes());
        assert!(!has_loose_rows(&bent));
    }
}
