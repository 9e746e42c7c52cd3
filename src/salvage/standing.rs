//! What became of a row that was not read: it was deleted, or it is lost.
//!
//! The server says nothing of a row that it takes for deleted, or for never committed, and damage can make any row such a one. So what a
//! page notes of transactions is held against what became of them, where that is known; and where a row was updated within its page,
//! the version that took its place has to be there. What contradicts itself is lost. Layouts: `htup_details.h`, `README.HOT`.
//!
//! Nobody is asked here: what became of transactions is somebody else's to find out (`fates`).

use std::collections::BTreeSet;

use super::page::{
    ALL_VISIBLE, PageState, Pointer, TUPLE_HEADER, has_storage, place, pointer, pointers, state,
    u16_at, u32_at,
};
use super::seen::Offsets;

const KEY_SHARED: u16 = 0x0010;
const EXCLUSIVE: u16 = 0x0040;
const LOCK_ONLY: u16 = 0x0080;
pub(super) const XMIN_COMMITTED: u16 = 0x0100;
pub(super) const XMIN_INVALID: u16 = 0x0200;
pub(super) const XMAX_COMMITTED: u16 = 0x0400;
pub(super) const XMAX_INVALID: u16 = 0x0800;
pub(super) const XMAX_IS_MULTI: u16 = 0x1000;
const HOT_UPDATED: u16 = 0x4000;
pub(super) const HEAP_ONLY: u16 = 0x8000;
/// `FrozenTransactionId`, and the one before it: both are older than anything else.
const FROZEN: u32 = 2;

/// Who wrote a row, or deleted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Writer {
    /// A transaction.
    One(u32),
    /// Several at once, of which one at most did more than to lock it (a `MultiXactId`).
    Several(u32),
}

/// What became of a transaction; or of what several did to a row.
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
    /// Nothing is written down of it, or of many others beside it: the server takes them all for such that did not commit.
    Unrecorded,
}

/// What became of a row that was not read.
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
    pub read: Offsets,
    /// The page may say what became of rows: the server would take it from disk, and it is nowhere else.
    pub is_trusted: bool,
}

impl<'a> Block<'a> {
    fn sane(&self) -> Option<&'a [u8]> {
        self.page.filter(|page| state(page) == PageState::Sane)
    }

    /// What became of a row of which its page tells nothing: of what was visible to everybody, nothing was deleted.
    fn by_map(&self) -> Standing {
        if self.all_visible == Some(true) {
            Standing::Lost
        } else {
            Standing::Perhaps
        }
    }

    /// What became of the row whose first version is at a line pointer.
    pub fn standing(&self, root: u16, fate: &impl Fn(Writer) -> Fate) -> Standing {
        let Some(page) = self.sane() else {
            return self.by_map();
        };
        let chain = Chain::of(page, root);
        if self.read.has(root) || chain.places().any(|at| self.read.has(at)) {
            return Standing::Read;
        }
        if !self.is_trusted {
            return self.by_map();
        }
        if is_all_visible(page) {
            return Standing::Lost;
        }
        let standing = match (pointer(page, root), chain.versions.last()) {
            (Pointer::Dead, _) if !has_storage(page, root) => Standing::Gone,
            (_, Some((_, tuple))) => {
                // What took its place is not there, and may have been deleted in its turn.
                let is_updated = chain.is_broken && inserted(tuple, fate) == Fate::Committed;
                match version(tuple, fate) {
                    Standing::Gone if is_updated => Standing::Perhaps,
                    standing => standing,
                }
            }
            // An index is cleaned before a line pointer is given up: the page is damaged. Until then its entry also leads to a row that
            // was deleted.
            (_, None) => return self.by_map(),
        };
        // The map never says so of a page that does not say it itself: one of them is damaged, and nobody knows which.
        match standing {
            Standing::Gone if self.all_visible == Some(true) => Standing::Perhaps,
            standing => standing,
        }
    }

    /// Line pointers of its versions, from the first on.
    pub fn versions(&self, root: u16) -> Vec<u16> {
        let chain = self.sane().map(|page| Chain::of(page, root));
        chain.map_or_else(Vec::new, |chain| chain.places().collect())
    }

    /// Whose fate decides it.
    pub fn writers(&self, root: u16) -> BTreeSet<Writer> {
        let chain = self.sane().map(|page| Chain::of(page, root));
        let versions = chain.map(|chain| chain.versions).unwrap_or_default();
        versions
            .iter()
            .flat_map(|(_, tuple)| writers(tuple))
            .collect()
    }

    /// Line pointers of versions of rows that were not read: where no index tells which rows there must be.
    pub fn unread(&self) -> Vec<u16> {
        let Some(page) = self.sane() else {
            return Vec::new();
        };
        let is_unread = |offset: &u16| {
            !self.read.has(*offset) && matches!(pointer(page, *offset), Pointer::Normal(_))
        };
        (1..=pointers(page)).filter(is_unread).collect()
    }

    /// What became of one of them, taken by itself.
    pub fn by_itself(&self, offset: u16, fate: &impl Fn(Writer) -> Fate) -> Standing {
        match self.sane().map(|page| (page, pointer(page, offset))) {
            Some((_, Pointer::Normal(_))) if !self.is_trusted => Standing::Perhaps,
            Some((page, Pointer::Normal(_))) if is_all_visible(page) => Standing::Lost,
            Some((_, Pointer::Normal(tuple))) => version(tuple, fate),
            _ => Standing::Gone,
        }
    }

    /// Whose fate decides that.
    pub fn writers_of(&self, offset: u16) -> BTreeSet<Writer> {
        match self.sane().map(|page| pointer(page, offset)) {
            Some(Pointer::Normal(tuple)) => writers(tuple).collect(),
            _ => BTreeSet::new(),
        }
    }
}

/// A page of which everything is visible to everybody holds nothing that was deleted.
fn is_all_visible(page: &[u8]) -> bool {
    u16_at(page, 10).unwrap_or(0) & ALL_VISIBLE != 0
}

/// Whether a page has what may contradict the record: a version that came to nothing, or one whose next is not where it should be. The
/// server takes such rows for deleted, and clears them away as soon as it reads the page.
pub fn may_contradict(page: &[u8]) -> bool {
    if state(page) != PageState::Sane || is_all_visible(page) {
        return false;
    }
    let is_strange = |offset| {
        let Pointer::Normal(tuple) = pointer(page, offset) else {
            return false;
        };
        let mask = u16_at(tuple, 20).unwrap_or(0);
        let is_never = mask & (XMIN_COMMITTED | XMIN_INVALID) == XMIN_INVALID;
        is_never || successor(tuple).is_some() && Chain::of(page, offset).is_broken
    };
    (1..=pointers(page)).any(is_strange)
}

/// Whether a page has a version of which it does not say that its inserter committed, and whose inserter is one of some. The server may take
/// it for one that came to nothing, and clear it away.
pub fn depends_on(page: &[u8], is_one: impl Fn(u32) -> bool) -> bool {
    if state(page) != PageState::Sane || is_all_visible(page) {
        return false;
    }
    (1..=pointers(page)).any(|offset| {
        let Pointer::Normal(tuple) = pointer(page, offset) else {
            return false;
        };
        let is_noted = u16_at(tuple, 20).unwrap_or(0) & XMIN_COMMITTED != 0;
        !is_noted && u32_at(tuple, 0).is_some_and(&is_one)
    })
}

/// The versions of a row within its page, from the first on (heap-only tuples).
struct Chain<'a> {
    versions: Vec<(u16, &'a [u8])>,
    /// The last of them says that there is another, which is not where it should be.
    is_broken: bool,
}

/// What must be at the next place of a chain.
#[derive(Clone, Copy)]
enum Expected {
    /// Any row.
    First,
    /// A version that no index leads to; and by whom, if that is one transaction.
    HeapOnly(Option<u32>),
}

impl<'a> Chain<'a> {
    fn of(page: &'a [u8], root: u16) -> Self {
        let mut chain = Self {
            versions: Vec::new(),
            is_broken: false,
        };
        let (mut at, mut expected) = match pointer(page, root) {
            Pointer::Redirect(to) => (to, Expected::HeapOnly(None)),
            _ => (root, Expected::First),
        };
        loop {
            let tuple = match pointer(page, at) {
                Pointer::Normal(tuple) if tuple.len() >= TUPLE_HEADER => Some(tuple),
                _ => None,
            };
            let tuple = tuple.filter(|tuple| expected.is_met_by(tuple));
            let is_new = !chain.places().any(|seen| seen == at);
            let Some(tuple) = tuple.filter(|_| is_new) else {
                chain.is_broken = !chain.versions.is_empty();
                return chain;
            };
            chain.versions.push((at, tuple));
            let Some((by, next)) = successor(tuple) else {
                return chain;
            };
            (at, expected) = (next, Expected::HeapOnly(by));
        }
    }

    fn places(&self) -> impl Iterator<Item = u16> {
        self.versions.iter().map(|(at, _)| *at)
    }
}

impl Expected {
    fn is_met_by(self, tuple: &[u8]) -> bool {
        let Self::HeapOnly(by) = self else {
            return true;
        };
        let is_heap_only = u16_at(tuple, 18).unwrap_or(0) & HEAP_ONLY != 0;
        let xmin = u32_at(tuple, 0);
        is_heap_only && by.is_none_or(|by| xmin == Some(by) || xmin == Some(FROZEN))
    }
}

/// Who has updated a version within the page, if that is one transaction, and where the next one is (`HeapTupleHeaderIsHotUpdated`).
fn successor(tuple: &[u8]) -> Option<(Option<u32>, u16)> {
    let (other, mask) = (u16_at(tuple, 18)?, u16_at(tuple, 20)?);
    let is_never = mask & (XMIN_COMMITTED | XMIN_INVALID) == XMIN_INVALID;
    if other & HOT_UPDATED == 0 || mask & XMAX_INVALID != 0 || is_never {
        return None;
    }
    let by = (mask & XMAX_IS_MULTI == 0).then(|| u32_at(tuple, 4));
    Some((by.flatten(), place(tuple, 12)?.1))
}

/// Who inserted a version, and who deleted it.
fn writers(tuple: &[u8]) -> impl Iterator<Item = Writer> {
    let mask = u16_at(tuple, 20).unwrap_or(0);
    let inserted = u32_at(tuple, 0).map(Writer::One);
    let deleted = u32_at(tuple, 4).map(|xmax| deleter(mask, xmax));
    let can_be_asked = |writer: &Writer| match writer {
        Writer::One(xid) => *xid > FROZEN,
        Writer::Several(number) => *number > 0,
    };
    inserted.into_iter().chain(deleted).filter(can_be_asked)
}

fn deleter(mask: u16, xmax: u32) -> Writer {
    if mask & XMAX_IS_MULTI != 0 {
        Writer::Several(xmax)
    } else {
        Writer::One(xmax)
    }
}

/// What became of the transaction that inserted a version. If the page says that it came to nothing, and the record that it committed, one
/// of them is damaged.
fn inserted(tuple: &[u8], fate: &impl Fn(Writer) -> Fate) -> Fate {
    let (Some(xmin), Some(mask)) = (u32_at(tuple, 0), u16_at(tuple, 20)) else {
        return Fate::Impossible;
    };
    let known = match xmin {
        0 => Fate::Aborted,
        1..=FROZEN => Fate::Committed,
        _ => fate(Writer::One(xmin)),
    };
    match mask & (XMIN_COMMITTED | XMIN_INVALID) {
        0 => known,
        XMIN_INVALID if known == Fate::Committed => Fate::Impossible,
        // Whoever noted it knew no more.
        XMIN_INVALID if known == Fate::Unrecorded => Fate::Unrecorded,
        XMIN_INVALID => Fate::Aborted,
        // Frozen, if both are set.
        _ => Fate::Committed,
    }
}

/// As `HEAP_XMAX_IS_LOCKED_ONLY` has it, also of rows that were locked before 9.3.
pub(super) fn is_locked_only(mask: u16) -> bool {
    let kinds = XMAX_IS_MULTI | EXCLUSIVE | KEY_SHARED;
    mask & LOCK_ONLY != 0 || mask & kinds == EXCLUSIVE
}

/// What became of a version that was not read, and that nothing has taken the place of.
fn version(tuple: &[u8], fate: &impl Fn(Writer) -> Fate) -> Standing {
    match inserted(tuple, fate) {
        Fate::Aborted => return Standing::Gone,
        Fate::Impossible => return Standing::Lost,
        Fate::Unknown | Fate::Unrecorded => return Standing::Perhaps,
        Fate::Committed => {}
    }
    let (Some(xmax), Some(mask)) = (u32_at(tuple, 4), u16_at(tuple, 20)) else {
        return Standing::Lost;
    };
    if xmax == 0 || mask & XMAX_INVALID != 0 || is_locked_only(mask) {
        return Standing::Lost;
    }
    let is_noted = mask & XMAX_COMMITTED != 0;
    match fate(deleter(mask, xmax)) {
        Fate::Committed => Standing::Gone,
        Fate::Aborted | Fate::Impossible => Standing::Lost,
        Fate::Unknown | Fate::Unrecorded if is_noted => Standing::Gone,
        Fate::Unknown | Fate::Unrecorded => Standing::Perhaps,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::page::BLOCK;
    use super::super::testing::page;
    use super::*;

    /// Where the tuple of a line pointer of [`page`] begins: they are of 32 bytes each, the first is the last.
    const fn tuple_at(offset: usize) -> usize {
        BLOCK - 32 * offset
    }

    /// Not all of it is visible to everybody.
    fn changed(texts: &[&str]) -> Vec<u8> {
        let mut page = page(texts);
        page[10] = 0;
        page
    }

    fn block<'a>(page: &'a [u8], read: &[u16]) -> Block<'a> {
        Block {
            page: Some(page),
            all_visible: None,
            read: read.iter().copied().collect(),
            is_trusted: true,
        }
    }

    /// Updates the row at a line pointer within the page: the next version is at another.
    fn update(page: &mut [u8], (from, to): (usize, u8), by: u8) {
        let (old, new) = (tuple_at(from), tuple_at(usize::from(to)));
        page[old + 4] = by;
        page[old + 16] = to;
        page[old + 19] |= 0x40;
        // Inserted by one that committed; by whom it was deleted is to be asked.
        page[old + 21] = 0x01;
        page[new] = by;
        page[new + 19] |= 0x80;
    }

    fn by(fate: Fate) -> impl Fn(Writer) -> Fate {
        move |_| fate
    }

    #[test]
    fn what_was_not_read_is_lost_unless_it_was_deleted() {
        let sound = page(&["one", "two"]);
        let block = |page| Block {
            page,
            all_visible: Some(true),
            read: [1].into_iter().collect(),
            is_trusted: true,
        };
        let fate = by(Fate::Unknown);
        assert_eq!(block(Some(&sound)).standing(1, &fate), Standing::Read);
        assert_eq!(block(Some(&sound)).standing(2, &fate), Standing::Lost);
        assert_eq!(block(Some(&sound)).standing(3, &fate), Standing::Lost);
        assert_eq!(block(None).standing(2, &fate), Standing::Lost);
        let unknown = Block {
            all_visible: None,
            ..block(None)
        };
        assert_eq!(unknown.standing(2, &fate), Standing::Perhaps);

        let mut deleted = changed(&["one", "two"]);
        deleted[tuple_at(2) + 4] = 200;
        deleted[tuple_at(2) + 21] = 0x01;
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
            (Fate::Unrecorded, Standing::Perhaps),
        ] {
            assert_eq!(
                block(Some(&deleted)).standing(2, &by(fate)),
                standing,
                "{fate:?}"
            );
        }
        assert_eq!(
            block(Some(&deleted)).writers(2),
            BTreeSet::from([Writer::One(100), Writer::One(200)])
        );
    }

    #[test]
    fn who_of_several_has_deleted_it_is_asked() {
        let mut page = changed(&["one"]);
        page[tuple_at(1) + 4] = 200;
        page[tuple_at(1) + 21] = 0x11;
        let block = block(&page, &[]);
        assert_eq!(
            block.writers(1),
            BTreeSet::from([Writer::One(100), Writer::Several(200)])
        );
        let fate = |writer| match writer {
            Writer::Several(200) => Fate::Committed,
            _ => Fate::Unknown,
        };
        assert_eq!(block.standing(1, &fate), Standing::Gone);
    }

    #[test]
    fn what_a_page_notes_is_held_against_the_record() {
        let mut page = changed(&["one"]);
        let mask = tuple_at(1) + 21;
        // It came to nothing.
        page[mask] = 0x02 | 0x08;
        let standing = |page: &[u8], fate| block(page, &[]).standing(1, &by(fate));
        assert_eq!(standing(&page, Fate::Aborted), Standing::Gone);
        assert_eq!(standing(&page, Fate::Unknown), Standing::Gone);
        assert_eq!(standing(&page, Fate::Committed), Standing::Lost);
        // The server notes it of whatever is not written down.
        assert_eq!(standing(&page, Fate::Unrecorded), Standing::Perhaps);
        let depends = |page: &[u8], on| depends_on(page, |xid| xid == on);
        assert!(depends(&page, 100) && !depends(&page, 99));
        page[mask] = 0x01 | 0x08;
        assert!(!depends(&page, 100));
        // It was deleted.
        page[mask] = 0x01 | 0x04;
        page[tuple_at(1) + 4] = 200;
        assert_eq!(standing(&page, Fate::Committed), Standing::Gone);
        assert_eq!(standing(&page, Fate::Unknown), Standing::Gone);
        assert_eq!(standing(&page, Fate::Aborted), Standing::Lost);
        assert_eq!(standing(&page, Fate::Impossible), Standing::Lost);
        // The same where no index leads to it.
        assert_eq!(block(&page, &[]).unread(), [1]);
        let alone = block(&page, &[]).by_itself(1, &by(Fate::Impossible));
        assert_eq!(alone, Standing::Lost);
    }

    #[test]
    fn of_a_row_that_was_updated_the_next_version_has_to_be_there() {
        let committed = by(Fate::Committed);
        let mut page = changed(&["old", "new", "other"]);
        update(&mut page, (1, 2), 200);
        assert!(!may_contradict(&page));
        assert_eq!(block(&page, &[2]).standing(1, &committed), Standing::Read);
        // The next version is there, and was not read: it should have been.
        assert_eq!(block(&page, &[]).standing(1, &committed), Standing::Lost);
        // Its line pointer is not in use any more.
        let mut gone = page.clone();
        gone[24 + 4..24 + 8].fill(0);
        assert!(may_contradict(&gone));
        assert_eq!(block(&gone, &[]).standing(1, &committed), Standing::Perhaps);
        // It leads to a row that has nothing to do with it, which was read.
        let mut bent = page.clone();
        bent[tuple_at(1) + 16] = 3;
        assert_eq!(
            block(&bent, &[3]).standing(1, &committed),
            Standing::Perhaps
        );
        // An update that came to nothing.
        assert_eq!(
            block(&gone, &[]).standing(1, &by(Fate::Aborted)),
            Standing::Lost
        );
    }

    #[test]
    fn a_line_pointer_that_is_dead_has_no_storage() {
        let mut page = changed(&["one"]);
        let standing = |page: &[u8]| block(page, &[]).standing(1, &by(Fate::Unknown));
        page[24..28].copy_from_slice(&(3u32 << 15).to_le_bytes());
        assert_eq!(standing(&page), Standing::Gone);
        page[24..28].copy_from_slice(&(3u32 << 15 | 29 << 17).to_le_bytes());
        assert_eq!(standing(&page), Standing::Perhaps);
    }

    /// Rows that were deleted have entries until the next vacuum.
    #[test]
    fn what_a_page_lost_may_have_been_deleted_unless_all_of_it_was_visible() {
        let mut page = changed(&["one", "two"]);
        page[24 + 4..24 + 8].fill(0);
        let standing = |page: &[u8], offset, all_visible| {
            let block = Block {
                all_visible,
                ..block(page, &[])
            };
            block.standing(offset, &by(Fate::Committed))
        };
        for offset in [2, 3] {
            assert_eq!(standing(&page, offset, None), Standing::Perhaps);
            assert_eq!(standing(&page, offset, Some(true)), Standing::Lost);
        }
        page[10] = 4;
        assert_eq!(standing(&page, 2, None), Standing::Lost);
    }

    #[test]
    fn what_the_server_does_not_take_testifies_to_nothing() {
        let mut page = changed(&["one", "two"]);
        page[tuple_at(2) + 4] = 200;
        page[tuple_at(2) + 21] = 0x01 | 0x04;
        let refused = |all_visible| Block {
            is_trusted: false,
            all_visible,
            ..block(&page, &[1])
        };
        let standing = |block: Block<'_>, offset| block.standing(offset, &by(Fate::Committed));
        assert_eq!(standing(block(&page, &[1]), 2), Standing::Gone);
        assert_eq!(standing(refused(None), 2), Standing::Perhaps);
        assert_eq!(standing(refused(Some(true)), 2), Standing::Lost);
        assert_eq!(standing(refused(None), 1), Standing::Read);
        let alone = refused(None).by_itself(2, &by(Fate::Committed));
        assert_eq!(alone, Standing::Perhaps);
    }

    proptest! {
        #[test]
        fn no_bytes_bring_it_down(noise in proptest::collection::vec((0..BLOCK, any::<u8>()), 0..64)) {
            let mut bytes = changed(&["one", "two", "three"]);
            update(&mut bytes, (1, 2), 200);
            for (at, byte) in noise {
                bytes[at] = byte;
            }
            let block = block(&bytes, &[]);
            for offset in [0, 1, 2, 3, 291, u16::MAX] {
                block.standing(offset, &by(Fate::Unknown));
                block.writers(offset);
            }
            for offset in block.unread() {
                block.by_itself(offset, &by(Fate::Committed));
                block.writers_of(offset);
            }
        }
    }
}
