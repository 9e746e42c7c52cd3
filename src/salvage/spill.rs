//! Entries of indexes that have to be kept, however many there are: beyond a few megabytes they are put aside in a file of the run
//! directory, and come back in the order in which they were put there ([`Spool`]), or in that of their places ([`Sorter`], an external
//! merge sort). Pages that may contradict what is read later are put aside as they were ([`Pages`]).
//!
//! ```text
//!   entries ─► sorted in memory, 4 MB at a time ─► runs in the file ─► merged: by block and line pointer, a window at a time
//! ```
//!
//! The file has no name by the time that anything is in it, so that it goes away with whoever holds it, however that ends.

use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::SalvageError;
use super::on_disk::PAGES;
use super::page::{BLOCK, IndexEntry, u16_at, u32_at};
use super::survey::held;
use crate::plan::Place;

/// Bytes that are sorted in memory.
const SORTED_AT_ONCE: usize = 4 << 20;
/// Bytes of a spool that wait in memory.
const SPOOLED_AT_ONCE: usize = 256 << 10;
/// Bytes that are read ahead while runs are merged, of all together; and of one of them, at least and at most.
const READ_AHEAD: usize = 16 << 20;
const LEAST_OF_A_RUN: usize = 4 << 10;
const MOST_OF_A_RUN: usize = 64 << 10;
/// Entries of a window.
const WINDOW: usize = 20_000;
/// What is in front of the bytes of a key: block, line pointer, flags, the map of its NULLs, its length.
const HEAD: usize = 4 + 2 + 1 + 4 + 2;
const IS_CERTAIN: u8 = 1;
const HAS_NULLS: u8 = 2;
const IS_DEAD: u8 = 4;

/// A file for what memory should not hold.
#[derive(Debug)]
pub struct Scratch {
    directory: PathBuf,
    path: PathBuf,
    file: File,
    end: AtomicU64,
}

impl Scratch {
    /// A new one in a directory.
    pub fn new(directory: &Path) -> Result<Self, SalvageError> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = directory.join(format!("salvage.scratch-{number}"));
        let make = || -> io::Result<File> {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(true);
            let file = options.mode(0o600).open(&path)?;
            fs::remove_file(&path)?;
            Ok(file)
        };
        let file = make().map_err(|source| SalvageError::File {
            doing: "making",
            path: path.clone(),
            source,
        })?;
        Ok(Self {
            directory: directory.to_owned(),
            path,
            file,
            end: AtomicU64::new(0),
        })
    }

    /// Adds bytes; where they are.
    fn append(&self, bytes: &[u8]) -> Result<Range<u64>, SalvageError> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let start = self.end.fetch_add(length, Ordering::Relaxed);
        let written = self.file.write_all_at(bytes, start);
        written.map_err(|source| self.failed("writing", source))?;
        Ok(start..start.saturating_add(length))
    }

    fn read(&self, bytes: &mut [u8], start: u64) -> Result<(), SalvageError> {
        let read = self.file.read_exact_at(bytes, start);
        read.map_err(|source| self.failed("reading", source))
    }

    fn failed(&self, doing: &'static str, source: io::Error) -> SalvageError {
        SalvageError::File {
            doing,
            path: self.path.clone(),
            source,
        }
    }
}

/// Pages of relations as they were when they were kept for the first time. In memory is only where they are.
#[derive(Debug)]
pub struct Pages {
    scratch: Arc<Scratch>,
    /// By the relation's OID and the block.
    kept: Mutex<BTreeMap<(u32, u32), u64>>,
}

impl Pages {
    /// Without any.
    pub fn new(scratch: &Arc<Scratch>) -> Self {
        Self {
            scratch: Arc::clone(scratch),
            kept: Mutex::default(),
        }
    }

    /// Keeps one, unless it was kept before.
    pub fn keep(&self, at: (u32, u32), page: &[u8; BLOCK]) -> Result<(), SalvageError> {
        let mut kept = held(&self.kept);
        if let Entry::Vacant(place) = kept.entry(at) {
            place.insert(self.scratch.append(page)?.start);
        }
        Ok(())
    }

    /// As it was kept, if it was.
    pub fn get(&self, at: (u32, u32)) -> Result<Option<Vec<u8>>, SalvageError> {
        let Some(start) = held(&self.kept).get(&at).copied() else {
            return Ok(None);
        };
        let mut page = vec![0; BLOCK];
        self.scratch.read(&mut page, start)?;
        Ok(Some(page))
    }
}

/// An entry of an index that was kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kept {
    /// The row that it leads to, or its first version.
    pub place: Place,
    /// What it was kept as.
    pub is_certain: bool,
    /// It was marked as dead in the index.
    pub is_dead: bool,
    nulls: Option<u32>,
    key: Vec<u8>,
}

impl Kept {
    /// As it is in the index.
    pub fn entry(&self) -> IndexEntry<'_> {
        IndexEntry {
            place: self.place,
            key: &self.key,
            nulls: self.nulls,
            is_dead: self.is_dead,
        }
    }

    /// The first of these bytes, and how many they are; nothing, if not all of it is among them.
    fn of(bytes: &[u8]) -> Option<(Self, usize)> {
        let flags = *bytes.get(6)?;
        let length = HEAD + usize::from(u16_at(bytes, 11)?);
        let kept = Self {
            place: (u32_at(bytes, 0)?, u16_at(bytes, 4)?),
            is_certain: flags & IS_CERTAIN != 0,
            is_dead: flags & IS_DEAD != 0,
            nulls: u32_at(bytes, 7).filter(|_| flags & HAS_NULLS != 0),
            key: bytes.get(HEAD..length)?.to_vec(),
        };
        Some((kept, length))
    }
}

fn encode(entry: &IndexEntry<'_>, is_certain: bool, into: &mut Vec<u8>) {
    let (block, offset) = entry.place;
    let mut flags = if is_certain { IS_CERTAIN } else { 0 };
    flags |= if entry.nulls.is_some() { HAS_NULLS } else { 0 };
    flags |= if entry.is_dead { IS_DEAD } else { 0 };
    // A key is within a page.
    let length = u16::try_from(entry.key.len()).unwrap_or(u16::MAX);
    into.extend(block.to_le_bytes());
    into.extend(offset.to_le_bytes());
    into.push(flags);
    into.extend(entry.nulls.unwrap_or(0).to_le_bytes());
    into.extend(length.to_le_bytes());
    into.extend(entry.key.iter().take(usize::from(length)));
}

/// Entries that come back.
#[derive(Debug, Default)]
pub struct Records {
    scratch: Option<Arc<Scratch>>,
    /// Where the rest of them are.
    left: VecDeque<Range<u64>>,
    at_once: usize,
    buffer: Vec<u8>,
    used: usize,
}

impl Records {
    fn of(
        scratch: &Arc<Scratch>,
        left: impl IntoIterator<Item = Range<u64>>,
        at_once: usize,
    ) -> Self {
        Self {
            scratch: Some(Arc::clone(scratch)),
            left: left.into_iter().collect(),
            at_once,
            ..Self::default()
        }
    }

    fn in_memory(buffer: Vec<u8>) -> Self {
        Self {
            buffer,
            ..Self::default()
        }
    }

    fn read_next(&mut self) -> Result<Option<Kept>, SalvageError> {
        loop {
            let ahead = self.buffer.get(self.used..).unwrap_or_default();
            if let Some((kept, length)) = Kept::of(ahead) {
                self.used += length;
                return Ok(Some(kept));
            }
            if !self.read_ahead()? {
                return Ok(None);
            }
        }
    }

    /// Whether there was anything left.
    fn read_ahead(&mut self) -> Result<bool, SalvageError> {
        let (Some(scratch), Some(left)) = (&self.scratch, self.left.front_mut()) else {
            return Ok(false);
        };
        self.buffer.drain(..self.used.min(self.buffer.len()));
        self.used = 0;
        let length = usize::try_from(left.end - left.start).unwrap_or(usize::MAX);
        let length = length.min(self.at_once);
        let old = self.buffer.len();
        self.buffer.resize(old + length, 0);
        scratch.read(&mut self.buffer[old..], left.start)?;
        left.start += u64::try_from(length).unwrap_or(0);
        if left.is_empty() {
            self.left.pop_front();
        }
        Ok(true)
    }
}

impl Iterator for Records {
    type Item = Result<Kept, SalvageError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read_next().transpose()
    }
}

/// Entries in the order in which they come. At rest it holds nothing but where they are.
#[derive(Debug)]
pub struct Spool {
    scratch: Arc<Scratch>,
    waiting: Vec<u8>,
    written: Vec<Range<u64>>,
}

impl Spool {
    /// Without any.
    pub fn new(scratch: &Arc<Scratch>) -> Self {
        Self {
            scratch: Arc::clone(scratch),
            waiting: Vec::new(),
            written: Vec::new(),
        }
    }

    /// Adds one.
    pub fn push(&mut self, entry: &IndexEntry<'_>, is_certain: bool) -> Result<(), SalvageError> {
        encode(entry, is_certain, &mut self.waiting);
        if self.waiting.len() >= SPOOLED_AT_ONCE {
            self.rest()?;
        }
        Ok(())
    }

    /// No more come for now.
    pub fn rest(&mut self) -> Result<(), SalvageError> {
        let waiting = std::mem::take(&mut self.waiting);
        if !waiting.is_empty() {
            self.written.push(self.scratch.append(&waiting)?);
        }
        Ok(())
    }

    /// All that were there when it last came to rest.
    pub fn records(&self) -> Records {
        Records::of(&self.scratch, self.written.iter().cloned(), SPOOLED_AT_ONCE)
    }
}

/// Sorts entries by their places.
#[derive(Debug)]
pub struct Sorter {
    directory: PathBuf,
    /// Made when there are more than memory should hold.
    scratch: Option<Arc<Scratch>>,
    runs: Vec<Range<u64>>,
    bytes: Vec<u8>,
    /// The places of entries among the bytes, and where each of them begins.
    order: Vec<(Place, usize)>,
    at_once: usize,
}

impl Sorter {
    /// Without any entries; those that are too many are put aside where others are.
    pub fn beside(scratch: &Scratch) -> Self {
        Self {
            directory: scratch.directory.clone(),
            scratch: None,
            runs: Vec::new(),
            bytes: Vec::new(),
            order: Vec::new(),
            at_once: SORTED_AT_ONCE,
        }
    }

    /// Adds one.
    pub fn push(&mut self, entry: &IndexEntry<'_>) -> Result<(), SalvageError> {
        self.order.push((entry.place, self.bytes.len()));
        encode(entry, false, &mut self.bytes);
        if self.bytes.len() < self.at_once {
            return Ok(());
        }
        let run = self.sorted();
        let scratch = match self.scratch.take() {
            Some(scratch) => scratch,
            None => Arc::new(Scratch::new(&self.directory)?),
        };
        self.runs.push(scratch.append(&run)?);
        self.scratch = Some(scratch);
        Ok(())
    }

    /// What is in memory, in order.
    fn sorted(&mut self) -> Vec<u8> {
        let bytes = std::mem::take(&mut self.bytes);
        let mut order = std::mem::take(&mut self.order);
        order.sort_unstable();
        let mut sorted = Vec::with_capacity(bytes.len());
        for (_, start) in order {
            let from = bytes.get(start..).unwrap_or_default();
            let of_key = u16_at(from, HEAD - 2).unwrap_or(0);
            let length = HEAD + usize::from(of_key);
            sorted.extend_from_slice(from.get(..length).unwrap_or_default());
        }
        sorted
    }

    /// All of them, in order.
    pub fn merged(mut self) -> Result<Merged, SalvageError> {
        let last = self.sorted();
        let of_each = READ_AHEAD / (self.runs.len() + 1);
        let of_each = of_each.clamp(LEAST_OF_A_RUN, MOST_OF_A_RUN);
        let mut runs = vec![Records::in_memory(last)];
        if let Some(scratch) = &self.scratch {
            let more = self.runs.into_iter();
            runs.extend(more.map(|run| Records::of(scratch, [run], of_each)));
        }
        let mut merged = Merged {
            next: BinaryHeap::with_capacity(runs.len()),
            runs,
        };
        for number in 0..merged.runs.len() {
            merged.refill(number)?;
        }
        Ok(merged)
    }
}

/// Entries in the order of their places.
#[derive(Debug)]
pub struct Merged {
    runs: Vec<Records>,
    /// The next of each run.
    next: BinaryHeap<Reverse<(Kept, usize)>>,
}

/// Entries that lead to neighbouring blocks: not so many that they, or the pages, would be too many.
#[derive(Debug)]
pub struct Window {
    /// The first of these blocks.
    pub first: u32,
    /// How many they are: one at least, [`PAGES`] at most.
    pub count: u32,
    /// In order; of each block one at least.
    pub entries: Vec<Kept>,
}

impl Window {
    /// Which of its blocks a place is in, from 0.
    pub fn number_of(&self, place: Place) -> usize {
        usize::try_from(place.0.saturating_sub(self.first)).unwrap_or(usize::MAX)
    }
}

impl Merged {
    fn refill(&mut self, number: usize) -> Result<(), SalvageError> {
        let run = self.runs.get_mut(number).and_then(Iterator::next);
        if let Some(kept) = run.transpose()? {
            self.next.push(Reverse((kept, number)));
        }
        Ok(())
    }

    /// The next.
    fn pop(&mut self) -> Result<Option<Kept>, SalvageError> {
        let Some(Reverse((kept, number))) = self.next.pop() else {
            return Ok(None);
        };
        self.refill(number)?;
        Ok(Some(kept))
    }

    /// The next window, as long as there is one.
    pub fn window(&mut self) -> Result<Option<Window>, SalvageError> {
        let Some(entry) = self.pop()? else {
            return Ok(None);
        };
        let first = entry.place.0;
        let mut window = Window {
            first,
            count: 1,
            entries: vec![entry],
        };
        while window.entries.len() < WINDOW {
            let Some(Reverse((next, _))) = self.next.peek() else {
                break;
            };
            let number = next.place.0.saturating_sub(first);
            let is_near = number < window.count || number == window.count && number < PAGES;
            if !is_near {
                break;
            }
            window.count = number.saturating_add(1);
            window.entries.extend(self.pop()?);
        }
        Ok(Some(window))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    type Plain = (Place, Option<u32>, Vec<u8>);

    /// Every other one is dead.
    fn is_dead(place: Place) -> bool {
        place.1.is_multiple_of(2)
    }

    fn entry((place, nulls, key): &Plain) -> IndexEntry<'_> {
        IndexEntry {
            place: *place,
            key,
            nulls: *nulls,
            is_dead: is_dead(*place),
        }
    }

    fn plain(kept: &Kept) -> Plain {
        assert_eq!(kept.is_dead, is_dead(kept.place));
        assert_eq!(kept.entry().is_dead, kept.is_dead);
        (kept.place, kept.nulls, kept.key.clone())
    }

    fn entries() -> impl Strategy<Value = Vec<Plain>> {
        let place = prop_oneof![
            (0..9u32, 1..9u16),
            (0..2000u32, 1..300u16),
            (u32::MAX - 2..=u32::MAX, 1..3u16)
        ];
        let key = vec(any::<u8>(), 0..40);
        vec((place, proptest::option::of(any::<u32>()), key), 0..300)
    }

    proptest! {
        #[test]
        fn all_come_back_in_the_order_of_their_places(all in entries(), at_once in 1..3000usize) {
            let dir = tempfile::tempdir().expect("a directory");
            let scratch = Scratch::new(dir.path()).expect("made");
            let mut sorter = Sorter::beside(&scratch);
            sorter.at_once = at_once;
            for one in &all {
                sorter.push(&entry(one)).expect("kept");
                prop_assert!(sorter.bytes.len() < at_once);
            }
            let mut merged = sorter.merged().expect("sorted");
            let mut found = Vec::new();
            while let Some(window) = merged.window().expect("read") {
                let mut blocks: Vec<u32> = window.entries.iter().map(|one| one.place.0).collect();
                blocks.dedup();
                let expected: Vec<u32> = (0..window.count).map(|number| window.first + number).collect();
                prop_assert_eq!(blocks, expected);
                prop_assert!(window.count <= PAGES && window.entries.len() <= WINDOW);
                found.extend(window.entries.iter().map(plain));
            }
            prop_assert!(found.is_sorted_by_key(|one: &Plain| one.0));
            let mut all = all;
            all.sort();
            found.sort();
            prop_assert_eq!(found, all);
        }
    }

    #[test]
    fn a_page_is_what_it_was_at_first_however_many_are_kept() {
        let dir = tempfile::tempdir().expect("a directory");
        let pages = Pages::new(&Arc::new(Scratch::new(dir.path()).expect("made")));
        let of = |block: u32, byte| {
            let mut page = [byte; BLOCK];
            page[..4].copy_from_slice(&block.to_le_bytes());
            page
        };
        for block in 0..6000 {
            pages.keep((1, block), &of(block, 1)).expect("kept");
        }
        // The server has read it meanwhile.
        for block in (0..6000).step_by(5) {
            pages.keep((1, block), &of(block, 2)).expect("kept before");
        }
        for block in 0..6000 {
            let page = pages.get((1, block)).expect("read");
            assert!(page.is_some_and(|page| page == of(block, 1)), "{block}");
        }
        assert!(pages.get((2, 0)).expect("read").is_none());
    }

    #[test]
    fn a_spool_keeps_the_order_and_holds_nothing_at_rest() {
        let dir = tempfile::tempdir().expect("a directory");
        let scratch = Arc::new(Scratch::new(dir.path()).expect("made"));
        let count = fs::read_dir(dir.path()).expect("it can be read").count();
        assert_eq!(count, 0, "it has no name");
        let mut spools = [Spool::new(&scratch), Spool::new(&scratch)];
        let all: Vec<Plain> = (0..60_000u32)
            .map(|number| {
                let place = (60_000 - number, 7);
                (place, number.checked_sub(5), vec![3; 20])
            })
            .collect();
        for (number, one) in all.iter().enumerate() {
            let is_even = number % 2 == 0;
            let spool = &mut spools[usize::from(!is_even)];
            spool.push(&entry(one), is_even).expect("kept");
            assert!(spool.waiting.len() < SPOOLED_AT_ONCE);
        }
        for (number, mut spool) in spools.into_iter().enumerate() {
            spool.rest().expect("written");
            assert_eq!(spool.waiting.capacity(), 0);
            assert!(spool.written.len() < 10);
            let records: Result<Vec<Kept>, _> = spool.records().collect();
            let records = records.expect("read");
            assert!(records.iter().all(|one| one.is_certain == (number == 0)));
            let half = all.iter().skip(number).step_by(2);
            assert!(records.iter().map(plain).eq(half.cloned()));
        }
    }
}
