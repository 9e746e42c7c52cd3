//! Whether a materialized view of the target holds what it should.
//!
//! ```text
//!   it holds what the source's view holds ─────────────► the same
//!   … what its query gives on the source ──────────────► fresh, and the source's view is out of date
//!   … what its query gives on the target ──────────────► fresh, if all tables there are proven; named apart, if some were counted only
//!   … something else, and so does its query each time ─► compared as far as that goes
//!   … something else ──────────────────────────────────► different
//! ```
//!
//! What a query gives may depend on the time, on chance, or on the order in which rows are found: text or floats that are added
//! up come out otherwise where the rows are stored otherwise, or where several processes share them. Nothing in the catalog tells for
//! certain which queries do, so each is run twice on either server, in transactions that have begun at different times. Of one that does
//! not give the same twice no proof can ask that it do so on another server: what it gives alike each time is compared, the number of rows
//! and the columns that do not vary, and the rest is named. That each of these columns holds the same values does not say that the same ones
//! stand in a row together: they are read once more, and nothing but them, as rows. Where these do not come out alike each time, although
//! each column does, nobody can say what the view should hold.
//!
//! Whoever reads is told what to read next. Deliberately absent: how that is done.

use crate::model::{MultisetDigest, Side};

/// How often a query is run on one server, at most.
const RUNS: usize = 2;

/// As what views are counted of which all was compared.
const COMPARED: &str = "materialized views";
/// And those of which not everything could be.
const PARTLY: &str = "materialized views as far as their queries give the same twice";
/// And those that are what they should be if the tables are.
const OVER_COUNTED: &str = "materialized views by what their queries give on the target alone";

/// What is known of the tables of both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tables {
    /// All of them hold the same: what a query gives on the target, over these, is as good as what it gives on the source.
    Proven,
    /// All of them hold as many rows, and of some no more is known: what a query gives on the target is as good as that.
    Counted,
    /// Not all were compared: what a query gives on the target says nothing.
    NotAllCompared,
    /// Some differ: then a view that is not as on the source is different, too.
    Differ,
}

/// What one read of a view, or of its query, gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ViewRead {
    /// All rows; without their sum if they were only counted.
    pub all: MultisetDigest,
    /// Each column by itself; `None` if that is not known.
    pub columns: Option<Vec<MultisetDigest>>,
}

impl ViewRead {
    fn column(&self, place: usize) -> Option<&MultisetDigest> {
        self.columns.as_ref()?.get(place)
    }
}

/// What is known of a view so far.
#[derive(Debug)]
pub struct ViewCase {
    name: String,
    columns: Vec<String>,
    source: Known,
    target: Known,
    runs: usize,
    over_counted: bool,
    narrowed: Option<Narrowed>,
}

/// Only columns that every run has given alike are read any more, together.
#[derive(Debug)]
struct Narrowed {
    /// Which.
    compared: String,
    /// And which are not.
    left_out: String,
    /// Where the query does not give the same twice.
    varies: &'static str,
}

#[derive(Debug)]
struct Known {
    /// What the view holds.
    held: ViewRead,
    /// What its query has given, each time that it was run.
    given: Vec<ViewRead>,
    may_ask: bool,
}

impl Known {
    fn new(held: ViewRead) -> Self {
        Self {
            held,
            given: Vec::new(),
            may_ask: true,
        }
    }

    fn begin_anew(&mut self, held: ViewRead) {
        self.held = held;
        self.given.clear();
    }

    fn varies(&self) -> bool {
        self.given.windows(2).any(|two| two[0].all != two[1].all)
    }
}

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Run the view's query.
    Ask {
        /// Where.
        side: Side,
        /// In a transaction that begins now: it was run there before.
        again: bool,
    },
    /// What the view holds, anew on both sides, and from then on of it and of its query only the columns in these places.
    Narrow(Vec<usize>),
    /// Nothing: this is what the view is.
    Judged(ViewVerdict),
}

/// What a view of the target is. The texts are whole sentences, or clauses for a difference's detail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ViewVerdict {
    /// What the source's is.
    Same,
    /// What it should be, and the source's is not: a note.
    Fresh(String),
    /// What it should be, as far as its query gives the same twice: a note on what that is.
    Partly(String),
    /// What its query gives on the target, over tables of which some were only counted: a note.
    OverCounted(String),
    /// Something else: what.
    Different(String),
    /// Its query gives other rows each time, and not only other values in some columns: it cannot be compared. Why that is so.
    Incomparable(String),
    /// Something else than the source's, and its query, which would tell, may be run on neither side.
    Unknown,
}

impl ViewVerdict {
    /// As what it is counted among what is as it should be; `None` if it is not.
    pub fn counted_as(&self) -> Option<&'static str> {
        match self {
            Self::Same | Self::Fresh(_) => Some(COMPARED),
            Self::Partly(_) => Some(PARTLY),
            Self::OverCounted(_) => Some(OVER_COUNTED),
            Self::Different(_) | Self::Incomparable(_) | Self::Unknown => None,
        }
    }

    /// What is worth a line, of one that is as it should be.
    pub fn note(self) -> Option<String> {
        match self {
            Self::Fresh(note) | Self::Partly(note) | Self::OverCounted(note) => Some(note),
            Self::Same | Self::Different(_) | Self::Incomparable(_) | Self::Unknown => None,
        }
    }
}

impl ViewCase {
    /// What the view holds on the source and on the target, and the names of its columns.
    pub fn new(name: String, columns: Vec<String>, [source, target]: [ViewRead; 2]) -> Self {
        Self {
            name,
            columns,
            source: Known::new(source),
            target: Known::new(target),
            runs: RUNS,
            over_counted: false,
            narrowed: None,
        }
    }

    /// Its query may not be run there, or cannot be.
    pub fn may_not_ask(&mut self, side: Side) {
        self.known(side).may_ask = false;
    }

    /// Its query failed there. What it gives on the source says most: without that, what it gives on the target says nothing.
    pub fn failed(&mut self, side: Side) {
        self.may_not_ask(side);
        if self.source.given.is_empty() {
            self.may_not_ask(Side::Target);
        }
    }

    /// What it is over.
    pub fn over(&mut self, tables: Tables) {
        if !matches!(tables, Tables::Proven | Tables::Counted) {
            self.may_not_ask(Side::Target);
        }
        self.over_counted = tables == Tables::Counted;
        if tables == Tables::Differ {
            self.runs = 1;
        }
    }

    /// What its query has given there.
    pub fn add(&mut self, side: Side, given: ViewRead) {
        self.known(side).given.push(given);
    }

    /// What was wanted by [`Next::Narrow`]: of the view's columns in these places, what it holds on the source and on the target.
    pub fn narrow(&mut self, places: &[usize], [source, target]: [ViewRead; 2]) {
        let others: Vec<usize> = (0..self.columns.len())
            .filter(|place| !places.contains(place))
            .collect();
        self.narrowed = Some(Narrowed {
            compared: self.of_columns(places),
            left_out: self.of_columns(&others),
            varies: self.varies(),
        });
        self.source.begin_anew(source);
        self.target.begin_anew(target);
    }

    fn known(&mut self, side: Side) -> &mut Known {
        match side {
            Side::Source => &mut self.source,
            Side::Target => &mut self.target,
        }
    }

    fn sides(&self) -> [(Side, &Known); 2] {
        [(Side::Source, &self.source), (Side::Target, &self.target)]
    }

    /// What is to be read next, if anything is.
    pub fn next(&self) -> Next {
        let held = self.target.held.all;
        if held == self.source.held.all {
            return Next::Judged(match &self.narrowed {
                None => ViewVerdict::Same,
                Some(narrowed) => self.held_as(Side::Source, narrowed),
            });
        }
        let gives_it = |known: &Known| known.given.iter().any(|given| given.all == held);
        let fresh = self.sides().into_iter().find(|(_, known)| gives_it(known));
        if let Some((side, _)) = fresh {
            return Next::Judged(match &self.narrowed {
                None => self.held_to(side, ViewVerdict::Fresh, self.fresh(side)),
                Some(narrowed) => self.held_as(side, narrowed),
            });
        }
        for run in 0..self.runs {
            for (side, known) in self.sides() {
                if known.may_ask && known.given.len() <= run {
                    let again = run > 0;
                    return Next::Ask { side, again };
                }
            }
        }
        self.judged()
    }

    /// It holds what its query gives there, which is no more than what is known of the tables there.
    fn held_to(&self, side: Side, verdict: fn(String) -> ViewVerdict, note: String) -> ViewVerdict {
        if side == Side::Target && self.over_counted {
            ViewVerdict::OverCounted(format!(
                "{note}; rows of tables that it may read had only been counted by then"
            ))
        } else {
            verdict(note)
        }
    }

    /// The same of what is compared of it.
    fn held_as(&self, side: Side, narrowed: &Narrowed) -> ViewVerdict {
        let rows = self.target.held.all.rows;
        let Narrowed {
            compared,
            left_out,
            varies,
        } = narrowed;
        let compared =
            format!("its {rows} rows were compared by {compared}, and not by {left_out}");
        self.held_to(side, ViewVerdict::Partly, self.part(varies, &compared))
    }

    fn part(&self, varies: &str, compared: &str) -> String {
        let name = &self.name;
        format!(
            "materialized view {name} cannot be compared as a whole, because its query is not deterministic {varies}: {compared}"
        )
    }

    fn fresh(&self, side: Side) -> String {
        let (name, held) = (&self.name, self.target.held.all);
        let theirs = self.source.held.all;
        match side {
            Side::Source => format!(
                "materialized view {name} was out of date on the source ({theirs}); on the target it is fresh ({held})"
            ),
            Side::Target => format!(
                "materialized view {name} holds on the target what its query gives there ({held}), and neither what the source's view holds \
                 ({theirs}) nor what the query gives there: as where that depends on the server, on the order in which rows are \
                 stored, or on a view that is out of date"
            ),
        }
    }

    fn judged(&self) -> Next {
        let sides = self.sides();
        let is_unknown = sides.iter().all(|(_, known)| known.given.is_empty());
        let varies = sides.iter().any(|(_, known)| known.varies());
        Next::Judged(match &self.narrowed {
            Some(narrowed) => apart(narrowed, (is_unknown, varies)),
            None if is_unknown => ViewVerdict::Unknown,
            None if varies => return self.partly(),
            None => ViewVerdict::Different(self.difference()),
        })
    }

    fn difference(&self) -> String {
        let given = |known: &Known| {
            let given = known.given.first().map(|given| given.all);
            given.map_or("nothing that is known".to_owned(), |all| all.to_string())
        };
        let mut detail = format!(
            "the target holds {}; the view's query gives {} on the source, whose own view holds {}",
            self.target.held.all,
            given(&self.source),
            self.source.held.all
        );
        if !self.target.given.is_empty() {
            let more = format!(
                "; on the target it gives {}. If what it gives changes with time, refresh it on the target, and compare again with \
                 pgconvoy verify",
                given(&self.target)
            );
            detail.push_str(&more);
        }
        detail
    }

    /// Its query does not give the same twice: what it gives alike each time is compared with what it gives on either server, or
    /// with what the source's view holds; each column by itself first, and then those that are alike together.
    fn partly(&self) -> Next {
        let held = &self.target.held;
        let varies = self.varies();
        let given = || self.source.given.iter().chain(&self.target.given);
        if held.all.rows.0 == 0 && given().all(|given| given.all.rows.0 > 0) {
            return Next::Judged(ViewVerdict::Different(format!(
                "its query is not deterministic {varies}, but always gives rows, and the target's view is empty"
            )));
        }
        if !self.is_alike(|given| Some(given.all.rows)) {
            return incomparable(format!(
                "its query gives a different number of rows each time it is run {varies}"
            ));
        }
        let mut reads = given().chain([held, &self.source.held]);
        if reads.any(|read| read.columns.is_none()) {
            return incomparable(format!(
                "its query is not deterministic {varies}, and a row of it is too large to be taken apart into its columns"
            ));
        }
        let (alike, others): (Vec<usize>, Vec<usize>) =
            (0..self.columns.len()).partition(|&place| self.is_alike(|given| given.column(place)));
        let Some(side) = self.agrees_by(&alike) else {
            let besides = match alike.as_slice() {
                [] => String::new(),
                alike => format!(" and {}", self.of_columns(alike)),
            };
            return Next::Judged(ViewVerdict::Different(format!(
                "its query is not deterministic {varies}; still, the target's view holds nothing that it gives, by the number of \
                 rows{besides}"
            )));
        };
        let rows = held.all.rows;
        let compared = match (alike.as_slice(), others.as_slice()) {
            (_, []) => {
                return incomparable(format!(
                    "its query gives the same values in each column, but combines them into rows differently each time {varies}"
                ));
            }
            ([], _) => format!("its {rows} rows were counted, and nothing in them was compared"),
            ([_], others) => format!(
                "its {rows} rows were compared by {}, and not by {}",
                self.of_columns(&alike),
                self.of_columns(others)
            ),
            _ => return Next::Narrow(alike),
        };
        Next::Judged(self.held_to(side, ViewVerdict::Partly, self.part(varies, &compared)))
    }

    /// Where there are as many rows as in the target's view, with the same values in each of these columns.
    fn agrees_by(&self, columns: &[usize]) -> Option<Side> {
        let held = &self.target.held;
        let agrees = |other: &ViewRead| {
            let mut columns = columns.iter();
            other.all.rows == held.all.rows
                && columns.all(|&place| other.column(place) == held.column(place))
        };
        let mut source = self.source.given.iter().chain([&self.source.held]);
        if source.any(agrees) {
            Some(Side::Source)
        } else {
            let mut target = self.target.given.iter();
            target.any(agrees).then_some(Side::Target)
        }
    }

    /// Whether something is known of every run, and the same in those of one server.
    fn is_alike<'a, T: PartialEq>(&'a self, of: impl Fn(&'a ViewRead) -> Option<T>) -> bool {
        self.sides().iter().all(|(_, known)| {
            let known: Vec<Option<T>> = known.given.iter().map(&of).collect();
            known.iter().all(Option::is_some) && known.windows(2).all(|two| two[0] == two[1])
        })
    }

    fn varies(&self) -> &'static str {
        match (self.source.varies(), self.target.varies()) {
            (true, true) => "on either server",
            (true, false) => "on the source",
            _ => "on the target",
        }
    }

    fn of_columns(&self, places: &[usize]) -> String {
        let names = places.iter().filter_map(|&place| self.columns.get(place));
        let names: Vec<&str> = names.map(String::as_str).collect();
        match names.as_slice() {
            [one] => format!("column {one}"),
            names => format!("columns {}", names.join(", ")),
        }
    }
}

fn incomparable(because: String) -> Next {
    Next::Judged(ViewVerdict::Incomparable(because))
}

/// Each of the columns holds the values that it should, and nothing has them together as the target's view does.
fn apart(narrowed: &Narrowed, (is_unknown, varies): (bool, bool)) -> ViewVerdict {
    let compared = &narrowed.compared;
    let first = format!("its query is not deterministic {}", narrowed.varies);
    if is_unknown {
        ViewVerdict::Incomparable(format!(
            "{first}; {compared} were compared one by one, because it could not be run once more to compare them together, row by row"
        ))
    } else if varies {
        ViewVerdict::Incomparable(format!(
            "{first}; {compared} were compared one by one, because which of their values stand in one row is not deterministic either"
        ))
    } else {
        ViewVerdict::Different(format!(
            "{first}; still, the target's view has none of the rows that it gives, by {compared} together, although each of these holds \
             the values that it should"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Rows;

    /// So many rows, with a digest of each column.
    fn read(rows: u64, columns: &[u128]) -> ViewRead {
        let digest = |sum: u128| MultisetDigest {
            rows: Rows(rows),
            sum,
        };
        ViewRead {
            all: digest(columns.iter().sum()),
            columns: Some(columns.iter().map(|sum| digest(*sum)).collect()),
        }
    }

    /// What becomes of a view that holds this on both sides, if its query gives that each time. Every answer is asked for.
    fn judged<'a>(
        held: [ViewRead; 2],
        mut source: &'a [ViewRead],
        mut target: &'a [ViewRead],
    ) -> ViewVerdict {
        let names = ["id", "at"].map(str::to_owned).to_vec();
        let mut case = ViewCase::new("public.v".to_owned(), names, held);
        loop {
            let (side, again) = match case.next() {
                Next::Ask { side, again } => (side, again),
                Next::Narrow(places) => panic!("there is one column: {places:?}"),
                Next::Judged(verdict) => {
                    assert!(source.is_empty() && target.is_empty(), "not asked for");
                    return verdict;
                }
            };
            let left = match side {
                Side::Source => &mut source,
                Side::Target => &mut target,
            };
            assert_eq!(again, !case.known(side).given.is_empty());
            match left.split_first() {
                Some((first, rest)) => {
                    case.add(side, first.clone());
                    *left = rest;
                }
                None => case.may_not_ask(side),
            }
        }
    }

    #[test]
    fn what_its_query_gives_on_either_server_is_fresh_and_no_more_is_asked() {
        let [old, new, here] = [read(1, &[1, 1]), read(2, &[3, 3]), read(2, &[3, 4])];
        let same = judged([old.clone(), old.clone()], &[], &[]);
        assert_eq!(same, ViewVerdict::Same);
        let stale = judged([old.clone(), new.clone()], std::slice::from_ref(&new), &[]);
        let ViewVerdict::Fresh(note) = &stale else {
            panic!("{stale:?}");
        };
        assert!(
            note.contains("public.v was out of date on the source"),
            "{note}"
        );
        let on_target = judged([old, here.clone()], &[new], &[here]);
        let ViewVerdict::Fresh(note) = &on_target else {
            panic!("{on_target:?}");
        };
        assert!(note.contains("what its query gives there"), "{note}");
    }

    #[test]
    fn what_no_query_gives_is_different_if_they_give_the_same_twice() {
        let [old, new, wrong] = [read(1, &[1, 1]), read(2, &[3, 3]), read(2, &[3, 9])];
        let twice = [new.clone(), new];
        let different = judged([old.clone(), wrong.clone()], &twice, &twice);
        assert!(
            matches!(different, ViewVerdict::Different(_)),
            "{different:?}"
        );
        assert_eq!(different.counted_as(), None);
        // Nor is anything else known.
        let unknown = judged([old, wrong], &[], &[]);
        assert_eq!(unknown, ViewVerdict::Unknown);
    }

    #[test]
    fn a_column_that_changes_is_left_out_and_the_others_are_compared() {
        let source = [read(2, &[3, 10]), read(2, &[3, 11])];
        let target = [read(2, &[3, 20]), read(2, &[3, 21])];
        let held = |first: u128, rows: u64| [read(2, &[3, 1]), read(rows, &[first, 7])];
        let partly = judged(held(3, 2), &source, &target);
        let ViewVerdict::Partly(note) = &partly else {
            panic!("{partly:?}");
        };
        assert!(
            note.ends_with("its 2 rows were compared by column id, and not by column at"),
            "{note}"
        );
        assert_ne!(partly.counted_as(), Some(COMPARED));
        for (first, rows) in [(4, 2), (3, 1)] {
            let different = judged(held(first, rows), &source, &target);
            assert!(
                matches!(different, ViewVerdict::Different(_)),
                "{different:?}"
            );
        }
    }

    #[test]
    fn a_query_that_changes_on_one_server_alone_is_not_held_against_the_view() {
        let source = [read(2, &[3, 10]), read(2, &[3, 10])];
        let target = [read(2, &[3, 20]), read(2, &[3, 21])];
        let held = [read(2, &[3, 1]), read(2, &[3, 7])];
        let partly = judged(held, &source, &target);
        assert!(matches!(partly, ViewVerdict::Partly(_)), "{partly:?}");
    }

    /// A case of three columns, of which the last is another one each time, as it is when the others are to be read together.
    fn narrowed(tables: Tables, joint: [u128; 2]) -> ViewCase {
        let names = ["id", "note", "at"].map(str::to_owned).to_vec();
        let held = [read(2, &[3, 5, 1]), read(2, &[3, 5, 2])];
        let mut case = ViewCase::new("public.v".to_owned(), names, held);
        case.over(tables);
        let mut at = 10;
        while let Next::Ask { side, .. } = case.next() {
            at += 1;
            case.add(side, read(2, &[3, 5, at]));
        }
        assert_eq!(case.next(), Next::Narrow(vec![0, 1]));
        case.narrow(&[0, 1], joint.map(together));
        case
    }

    /// Two columns that hold the same by themselves each time, and this together.
    fn together(sum: u128) -> ViewRead {
        let mut read = read(2, &[3, 5]);
        read.all.sum = sum;
        read
    }

    /// What becomes of a case if its query gives the next of these each time that it is asked.
    fn answered(mut case: ViewCase, source: &[u128], target: &[u128]) -> ViewVerdict {
        let (mut source, mut target) = (source.iter(), target.iter());
        loop {
            let side = match case.next() {
                Next::Ask { side, .. } => side,
                Next::Judged(verdict) => {
                    assert_eq!((source.next(), target.next()), (None, None));
                    return verdict;
                }
                Next::Narrow(places) => panic!("{places:?} for a second time"),
            };
            let sums = match side {
                Side::Source => &mut source,
                Side::Target => &mut target,
            };
            match sums.next() {
                Some(sum) => case.add(side, together(*sum)),
                None => case.failed(side),
            }
        }
    }

    #[test]
    fn columns_that_do_not_change_are_compared_row_by_row() {
        let judged = |joint, source: &[u128], target: &[u128]| {
            answered(narrowed(Tables::Proven, joint), source, target)
        };
        for (joint, source, target) in [
            ([7, 7], &[][..], &[][..]),
            ([7, 8], &[8], &[]),
            ([7, 8], &[7], &[8]),
        ] {
            let partly = judged(joint, source, target);
            let ViewVerdict::Partly(note) = &partly else {
                panic!("{partly:?}");
            };
            let told = "its 2 rows were compared by columns id, note, and not by column at";
            assert!(note.ends_with(told), "{note}");
        }
        // The same values in each column, and none of the rows.
        let different = judged([7, 8], &[7, 7], &[7, 7]);
        let ViewVerdict::Different(detail) = &different else {
            panic!("{different:?}");
        };
        assert!(detail.contains("by columns id, note together"), "{detail}");
        // What nobody can tell is not called the same, nor different.
        for (source, target) in [(&[7, 9][..], &[7, 7][..]), (&[], &[])] {
            let unknown = judged([7, 8], source, target);
            let ViewVerdict::Incomparable(because) = &unknown else {
                panic!("{unknown:?}");
            };
            let told = "columns id, note were compared one by one";
            assert!(because.contains(told), "{because}");
        }
        // What the target gives is as good as the tables there.
        let counted = answered(narrowed(Tables::Counted, [7, 8]), &[7], &[8]);
        assert_eq!(counted.counted_as(), Some(OVER_COUNTED), "{counted:?}");
    }

    #[test]
    fn of_rows_that_change_as_a_whole_or_are_too_large_nothing_is_proven() {
        let whole = |sum: u128| {
            let mut read = read(2, &[3, 5]);
            read.all.sum = sum;
            read
        };
        let large = |sum: u128| ViewRead {
            columns: None,
            ..whole(sum)
        };
        for (read, told) in [
            (
                &whole as &dyn Fn(u128) -> ViewRead,
                "combines them into rows differently",
            ),
            (
                &large as &dyn Fn(u128) -> ViewRead,
                "too large to be taken apart",
            ),
        ] {
            let (source, target) = ([read(3), read(4)], [read(5), read(6)]);
            let unknown = judged([read(1), read(2)], &source, &target);
            let ViewVerdict::Incomparable(because) = &unknown else {
                panic!("{unknown:?}");
            };
            assert!(because.contains(told), "{because}");
            assert_eq!(unknown.counted_as(), None);
        }
    }

    #[test]
    fn where_the_number_of_rows_changes_nothing_is_proven() {
        let source = [read(5, &[5, 10]), read(4, &[4, 11])];
        let of = |rows: u64| judged([read(9, &[9, 9]), read(rows, &[1, 1])], &source, &source);
        let some = of(3);
        assert!(matches!(some, ViewVerdict::Incomparable(_)), "{some:?}");
        assert_eq!(some.counted_as(), None);
        assert!(matches!(of(0), ViewVerdict::Different(_)));
    }

    #[test]
    fn over_tables_that_differ_it_is_asked_once_and_on_the_source_alone() {
        let held = [read(1, &[1, 1]), read(1, &[2, 2])];
        let mut case = ViewCase::new("v".to_owned(), Vec::new(), held);
        case.over(Tables::Differ);
        let once = Next::Ask {
            side: Side::Source,
            again: false,
        };
        assert_eq!(case.next(), once);
        case.add(Side::Source, read(1, &[3, 3]));
        let next = case.next();
        assert!(
            matches!(next, Next::Judged(ViewVerdict::Different(_))),
            "{next:?}"
        );
    }

    #[test]
    fn over_tables_that_were_only_counted_what_the_target_gives_is_no_proof() {
        let case = |source: &ViewRead, target: &ViewRead| {
            let names = ["id", "at"].map(str::to_owned).to_vec();
            let mut case = ViewCase::new("v".to_owned(), names, [source.clone(), target.clone()]);
            case.over(Tables::Counted);
            case
        };
        let verdict = |case: &ViewCase| match case.next() {
            Next::Judged(verdict) => verdict,
            other => panic!("{other:?}"),
        };
        let [old, new, here] = [read(1, &[1, 1]), read(2, &[3, 3]), read(2, &[3, 4])];
        let mut over = case(&old, &here);
        over.add(Side::Source, new.clone());
        over.add(Side::Target, here.clone());
        let counted = verdict(&over);
        assert_eq!(counted.counted_as(), Some(OVER_COUNTED), "{counted:?}");
        let note = counted.note().expect("a note");
        assert!(note.ends_with("had only been counted by then"), "{note}");
        // What the source gives is as good as ever.
        let mut over = case(&old, &new);
        over.add(Side::Source, new.clone());
        assert!(matches!(verdict(&over), ViewVerdict::Fresh(_)));
        // So it is of a query that does not give the same twice: only the target's gives that first column.
        for (first, is_proof) in [(3, true), (5, false)] {
            let mut over = case(&old, &read(2, &[first, 90]));
            for at in [10, 11] {
                over.add(Side::Source, read(2, &[3, at]));
                over.add(Side::Target, read(2, &[first, at + 10]));
            }
            let partly = verdict(&over);
            let is_partly = matches!(partly, ViewVerdict::Partly(_));
            assert_eq!(is_partly, is_proof, "{partly:?}");
            assert!(partly.counted_as().is_some(), "{partly:?}");
        }
    }

    #[test]
    fn over_tables_that_were_not_compared_the_target_is_not_asked() {
        let held = || [read(1, &[1, 1]), read(1, &[2, 2])];
        let ask = |again| Next::Ask {
            side: Side::Source,
            again,
        };
        let mut case = ViewCase::new("v".to_owned(), Vec::new(), held());
        case.over(Tables::NotAllCompared);
        for again in [false, true] {
            assert_eq!(case.next(), ask(again));
            case.add(Side::Source, read(1, &[3, 3]));
        }
        assert!(matches!(
            case.next(),
            Next::Judged(ViewVerdict::Different(_))
        ));
        // Nor is it where the query fails on the source.
        let mut case = ViewCase::new("v".to_owned(), Vec::new(), held());
        assert_eq!(case.next(), ask(false));
        case.failed(Side::Source);
        assert_eq!(case.next(), Next::Judged(ViewVerdict::Unknown));
    }
}
