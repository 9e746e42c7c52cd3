//! Asks a question: what it is in SQL; that it is written down before it is sent; and that nothing is asked for that is in quarantine, or
//! that the bytes of pages tell.

use std::io;
use std::path::PathBuf;
use std::sync::Mutex;

use super::SalvageError;
use super::account::{Cause, DamageClass};
use super::facts::{ColumnFacts, TableFacts};
use super::places::Places;
use super::probe::Probe;
use super::proven::Left;
use super::quarantine::{Quarantine, Question};
use super::sight::{Sight, Unexplained};
use super::survey::{Shared, TID_RANGE_SCANS, held};
use crate::model::{SqlText, quote_ident};
use crate::plan::{Part, Place, at, in_blocks};

/// A line pointer that no page has: reading it reads the page, and finds nothing.
const NO_ROW: u16 = 60_000;
/// A block that no table has: reading it opens the table, and finds nothing.
const NO_BLOCK: u32 = u32::MAX - 1;

/// A question that was written down. Unless an answer is written down as well, it is taken back when whoever waits for the answer goes
/// away: then it was not the question that brought anything down. If it may have been, because the session that asked it has ended
/// without a word and the server has not been heard of since, the question stands: then it is asked once more, in the next session.
struct Asked<'a> {
    journal: &'a Mutex<Quarantine>,
    question: Question,
    unexplained: Unexplained,
    is_answered: bool,
}

impl<'a> Asked<'a> {
    /// Written down; it is on disk by now.
    fn new(
        journal: &'a Mutex<Quarantine>,
        question: Question,
        unexplained: Unexplained,
    ) -> Result<Self, SalvageError> {
        held(journal).asks(question).map_err(noted)?;
        Ok(Self {
            journal,
            question,
            unexplained,
            is_answered: false,
        })
    }

    /// Writes down what came of it, and hands it on. What is not the last word is taken back.
    fn answered<T>(
        mut self,
        answer: Result<Result<T, Cause>, SalvageError>,
        is_alone: bool,
    ) -> Result<Result<T, Cause>, SalvageError> {
        let written = match &answer {
            Ok(Ok(_)) => held(self.journal).read(self.question),
            Ok(Err(cause)) if is_last_word(self.question.probe, cause.class, is_alone) => {
                held(self.journal).failed(self.question, cause)
            }
            Ok(Err(_)) | Err(_) => return answer,
        };
        self.is_answered = true;
        written.map_err(noted)?;
        answer
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if !self.is_answered && !self.unexplained.is_so() {
            // If it cannot be, a session that goes on asks once more.
            let _ = held(self.journal).takes_back(self.question);
        }
    }
}

/// Whether what failed is not asked again. If it has halves, nothing is lost with it; rows depend on all others.
fn is_last_word(probe: Probe, class: DamageClass, is_alone: bool) -> bool {
    match (probe, class) {
        // Another one that was out at the same time may have brought the server down.
        (_, DamageClass::Crash) => is_alone || probe.has_halves(),
        // All of a table depends on how much patience there is; the next session may have more.
        (Probe::Plain, DamageClass::Timeout) => false,
        _ => true,
    }
}

impl Shared {
    /// Why something is not asked for, if it is not: it is in quarantine, or its page tells enough.
    pub fn verdict(&self, table: &TableFacts, question: Question) -> Option<Cause> {
        let known = held(&self.journal).verdict(question).cloned();
        let forbidden = || {
            let asked = (question.probe, question.doubtful);
            self.beforehand.forbids(table, asked)
        };
        known.or_else(forbidden)
    }

    /// Asks for one thing, unless it is in quarantine; it is written down before. What the bytes of pages tell is not asked for.
    pub async fn ask(
        &self,
        sight: &mut Sight,
        table: &TableFacts,
        probe: Probe,
    ) -> Result<Result<Places, Cause>, SalvageError> {
        let question = Question {
            table: table.oid.0,
            probe,
            doubtful: sight.is_doubtful(),
        };
        if let Some(cause) = self.verdict(table, question) {
            return Ok(Err(cause));
        }
        match self.beforehand.answer((&self.facts, table), question) {
            None => self.ask_for(sight, (table, question), None).await,
            Some((proven, None)) if !begins(probe) => Ok(Ok(Places::of(proven))),
            Some((proven, None)) => {
                // Whether the server can open it, and plan a query, is another matter.
                let probe = Probe::Open;
                let question = Question { probe, ..question };
                if let Some(cause) = self.verdict(table, question) {
                    return Ok(Err(cause));
                }
                let opened = self.ask_for(sight, (table, question), None).await?;
                Ok(opened.map(|_| Places::of(proven)))
            }
            Some((proven, left)) => {
                let read = self.ask_for(sight, (table, question), left).await?;
                Ok(read.map(|places| places.and(proven)))
            }
        }
    }

    async fn ask_for(
        &self,
        sight: &mut Sight,
        (table, question): (&TableFacts, Question),
        left: Option<Left>,
    ) -> Result<Result<Places, Cause>, SalvageError> {
        let asked = Asked::new(&self.journal, question, sight.unexplained())?;
        let options = (self.encoding.as_str(), self.utf8);
        let read = if question.probe == Probe::Plain {
            let sql = format!("copy {} to stdout ({})", plain(table), self.encoding);
            let rows = sight.whole(&SqlText::from(sql)).await;
            rows.map(|rows| rows.map(Places::without_places))
        } else {
            let (query, scans) = self.query(table, question.probe, left.as_ref());
            sight.places((&query, scans), options).await
        };
        asked.answered(read, sight.is_alone())
    }

    /// Reads a column of a row, whatever is known of it.
    pub async fn read_column(
        &self,
        sight: &mut Sight,
        table: &TableFacts,
        probe: Probe,
    ) -> Result<Result<Places, Cause>, SalvageError> {
        let (query, scans) = self.query(table, probe, None);
        let options = (self.encoding.as_str(), self.utf8);
        sight.places((&query, scans), options).await
    }

    /// Asks for something else than rows of a table, in the same way; nothing else is asked meanwhile. The session that asks tells whether
    /// it has ended without a word.
    pub async fn ask_once<T>(
        &self,
        (question, unexplained): (Question, Unexplained),
        asking: impl Future<Output = Result<Result<T, Cause>, SalvageError>>,
    ) -> Result<Result<T, Cause>, SalvageError> {
        let verdict = held(&self.journal).verdict(question).cloned();
        if let Some(cause) = verdict {
            return Ok(Err(cause));
        }
        let asked = Asked::new(&self.journal, question, unexplained)?;
        asked.answered(asking.await, true)
    }

    /// The query of a probe: the place of each row, and what is to be read of it; and whether that is the whole table. `left` is what the
    /// bytes of its blocks have left to be asked.
    fn query(&self, table: &TableFacts, probe: Probe, left: Option<&Left>) -> (String, bool) {
        let all = || table.columns.iter().map(shown).collect::<Vec<_>>();
        let at = |places: &[Place]| Part::Where(at(places));
        let (columns, part) = match (probe, left) {
            (Probe::Blocks { from, to } | Probe::Rest { from, to }, Some(left)) => {
                // Without scans of ranges, a part of a table takes longer than the whole of it.
                let is_whole = self.major < TID_RANGE_SCANS && left.without.is_empty();
                let blocks = if is_whole { (from, to) } else { left.blocks };
                (columns_left(table, left), self.among(table, blocks, false))
            }
            (Probe::Blocks { from, to } | Probe::Rest { from, to }, None) => {
                (all(), self.among(table, (from, to), true))
            }
            (Probe::Rows { block, from, to }, _) => {
                let suspects = self.beforehand.suspects_of(table, block);
                let places: Vec<Place> = (from..to)
                    .filter(|offset| !suspects.has(*offset))
                    .map(|offset| (block, offset))
                    .collect();
                (all(), at(&places))
            }
            (Probe::Open | Probe::Plain, _) => (Vec::new(), at(&[(NO_BLOCK, 1)])),
            (Probe::Page { block }, _) => (Vec::new(), at(&[(block, NO_ROW)])),
            (Probe::Row { place }, _) => (Vec::new(), at(&[place])),
            (Probe::Column { place, column }, _) => {
                let column = table.columns.get(usize::from(column)).map(shown);
                (column.into_iter().collect(), at(&[place]))
            }
        };
        let columns: Vec<String> = ["ctid".to_owned()].into_iter().chain(columns).collect();
        let query = part.select((&columns.join(", "), &table.name.to_string()), None);
        (query, part == Part::Whole)
    }

    /// A run of blocks; the last may be longer by now, if the table may grow.
    fn among(&self, table: &TableFacts, (from, to): (u32, u32), grows: bool) -> Part {
        let blocks = table.shape.reached;
        if from == 0 && to >= blocks {
            return Part::Whole;
        }
        let open = grows && self.major >= TID_RANGE_SCANS && to >= blocks;
        in_blocks(self.major, from, (!open).then_some(to))
    }
}

/// Whether it is about the first block of a table.
fn begins(probe: Probe) -> bool {
    matches!(
        probe,
        Probe::Blocks { from: 0, .. } | Probe::Rest { from: 0, .. }
    )
}

/// A column, as it is read.
fn shown(column: &ColumnFacts) -> String {
    let name = quote_ident(&column.name);
    match &column.taken_back {
        Some((by_way_of, of)) => format!("({name}::{by_way_of})::{of}"),
        None => name,
    }
}

/// The columns that are left to be asked for, without the values that are lost.
fn columns_left(table: &TableFacts, left: &Left) -> Vec<String> {
    let columns = table.columns.iter();
    let asked = columns.filter(|column| left.attributes.contains(&column.attribute));
    asked
        .map(|column| {
            let lost = left.without.iter();
            let lost = lost.filter(|(_, attribute)| *attribute == column.attribute);
            let places: Vec<Place> = lost.map(|(place, _)| *place).collect();
            if places.is_empty() {
                return shown(column);
            }
            let (lost, read) = (at(&places), shown(column));
            format!("case when {lost} then null else {read} end")
        })
        .collect()
}

/// The journal cannot be written.
fn noted(source: io::Error) -> SalvageError {
    SalvageError::File {
        doing: "writing",
        path: PathBuf::from("salvage.journal"),
        source,
    }
}

/// The table and its columns, for COPY without a query.
fn plain(table: &TableFacts) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| quote_ident(&column.name))
        .collect();
    match columns.as_slice() {
        [] => table.name.to_string(),
        columns => format!("{} ({})", table.name, columns.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pg::PgError;

    const OPEN: Question = Question {
        table: 1,
        probe: Probe::Open,
        doubtful: false,
    };
    const PLAIN: Question = Question {
        probe: Probe::Plain,
        ..OPEN
    };
    const BLOCKS: Question = Question {
        probe: Probe::Blocks { from: 0, to: 8 },
        ..OPEN
    };

    fn failed(class: DamageClass) -> Result<(), Cause> {
        Err(Cause {
            class,
            ..Cause::interrupted()
        })
    }

    #[test]
    fn what_may_have_been_another_is_asked_again_and_alone_never() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("journal");
        let open = || Mutex::new(Quarantine::open(&path).expect("opened"));
        let is_known = |question| held(&open()).verdict(question).is_some();
        let unexplained = Unexplained::default();
        let ask = |question, answer, is_alone| {
            let journal = open();
            let asked = Asked::new(&journal, question, unexplained.clone()).expect("written");
            let handed_on = asked.answered(answer, is_alone);
            assert!(!matches!(handed_on, Ok(Ok(()))));
        };
        // Others were out: what is asked by halves is blamed, and a table that was only opened is not.
        ask(OPEN, Ok(failed(DamageClass::Crash)), false);
        ask(BLOCKS, Ok(failed(DamageClass::Crash)), false);
        assert!(is_known(BLOCKS) && !is_known(OPEN));
        ask(OPEN, Ok(failed(DamageClass::Crash)), true);
        assert!(is_known(OPEN));
        // However often there was not enough patience for all of a table.
        for _ in 0..3 {
            ask(PLAIN, Ok(failed(DamageClass::Timeout)), true);
            assert!(!is_known(PLAIN));
        }
        let gone = || {
            let doing = "reading rows".to_owned();
            Err(SalvageError::NotBack(PgError::Closed { doing }))
        };
        // Whoever waits for an answer that others keep from coming knows that it was not the question.
        ask(PLAIN, gone(), true);
        ask(PLAIN, gone(), true);
        assert!(!is_known(PLAIN));
        // A session that ended without a word, and a server that is not back: that is asked once more, whether it is waited for to the end …
        unexplained.set(true);
        ask(PLAIN, gone(), true);
        assert!(!is_known(PLAIN));
        // … or not.
        let journal = open();
        drop(Asked::new(&journal, PLAIN, unexplained.clone()).expect("written"));
        drop(journal);
        assert!(is_known(PLAIN));
    }
}
