//! Rows that are read once more, in another way: those that could not be read, if text that is not valid in UTF-8 may be the reason; and
//! those that differ, if the difference may be only in what their text does not show, and so no dump carries.

use std::sync::Arc;

use super::Asked;
use super::compare_rows::{RowsLook, Searched, find, searched, table_differs};
use crate::event::{Emit, What};
use crate::model::VerifyLevel;
use crate::pg::PgError;
use crate::verify::drill::Limits;
use crate::verify::rows::{
    self, Bucketing, Comparand, Ends, Judgement, Reading, SideRead, Sides, Subject,
};

/// Who reads, and how.
pub(super) struct Again<'a> {
    pub ends: &'a Arc<Ends>,
    pub asked: &'a Asked,
    pub emit: &'a Arc<dyn Emit>,
}

/// What differs by its bytes, and in no row that could be found by what text tells of it.
pub(super) struct Undecided {
    /// As it was read first.
    comparand: Comparand,
    sides: Sides,
    /// As it is read now.
    by_text: Comparand,
}

impl Again<'_> {
    async fn read(
        &self,
        comparands: Vec<Comparand>,
        judge: &mut (dyn FnMut(&Comparand, &Sides) + Send),
    ) -> Vec<(Comparand, Sides)> {
        let reading = Reading {
            comparands,
            level: VerifyLevel::Content,
            readers: self.asked.jobs,
            judged_without: 0,
            is_first: false,
        };
        rows::read(reading, self.ends, self.emit, judge).await
    }

    /// Reads what could not be read as its database has it. `judge` is told of it, as of all else.
    pub async fn unread(
        &self,
        read: Vec<(Comparand, Sides)>,
        encoding: &str,
        judge: &mut (dyn FnMut(&Comparand, &Sides) + Send),
    ) -> Vec<(Comparand, Sides)> {
        let is_unread = |(comparand, sides): &(Comparand, Sides)| {
            let is_text = !matches!(comparand.subject, Subject::LargeObjects(_));
            is_text && rows::judge(sides) == Judgement::Unknown
        };
        let (unread, mut all): (Vec<_>, Vec<_>) = read.into_iter().partition(is_unread);
        if unread.is_empty() {
            return all;
        }
        let own = unread.iter();
        let own = own.map(|(comparand, _)| comparand.in_own_encoding(encoding));
        all.extend(self.read(own.collect(), judge).await);
        all
    }

    /// Looks for the rows that differ by what text tells of them. If there are none, the whole has to be read for that to be
    /// certain.
    pub async fn search(
        &self,
        (comparand, sides): (&Comparand, &Sides),
        by_text: Comparand,
        limits: Limits,
    ) -> Searched {
        // Rows that nothing but their content tells apart are in other buckets by text.
        let by_content = |side: &SideRead| matches!(side.buckets.by(), Bucketing::ByContent { .. });
        if !sides.iter().flatten().any(by_content) {
            let found = find(&by_text, sides, self.ends, limits).await;
            if !matches!(&found, Ok((found, _)) if found.total() == 0 && !found.cut_off) {
                return searched(table_differs(
                    comparand,
                    sides,
                    found.map(Some),
                    VerifyLevel::Content,
                ));
            }
        }
        Searched::Undecided(Box::new(Undecided {
            comparand: comparand.clone(),
            sides: sides.clone(),
            by_text,
        }))
    }

    /// Decides by what text tells, of all rows.
    pub async fn decide(&self, undecided: Vec<Undecided>, limits: Limits, found: &mut RowsLook) {
        if undecided.is_empty() {
            return;
        }
        let comparands = undecided.iter().map(|one| one.by_text.clone()).collect();
        let read = self.read(comparands, &mut |_, _| {}).await;
        for (one, (by_text, sides)) in undecided.into_iter().zip(read) {
            let rows = match rows::judge(&sides) {
                Judgement::Same => {
                    self.tell_same(&one, &sides, found);
                    continue;
                }
                Judgement::Differs => find(&by_text, &sides, self.ends, limits).await.map(Some),
                Judgement::Unknown => {
                    let unverified = rows::unverified(&by_text, &sides);
                    found.unverified.extend(unverified);
                    Ok::<_, PgError>(None)
                }
            };
            let differs = table_differs(&one.comparand, &one.sides, rows, VerifyLevel::Content);
            found.add(searched(differs));
        }
    }

    /// It is the same, and what of it is not is said.
    fn tell_same(&self, one: &Undecided, sides: &Sides, found: &mut RowsLook) {
        let by_text = &one.by_text;
        if by_text.subject == Subject::Table {
            let verdict = rows::verdict(by_text, sides, VerifyLevel::Content);
            self.emit.emit(What::TableVerified(verdict));
        } else {
            found.same(by_text, VerifyLevel::Content);
        }
        let new = by_text.forms.iter();
        let new = new.filter(|form| !one.comparand.forms.contains(form));
        let reasons: Vec<String> = new
            .map(|form| format!("{} ({})", form.column, form.because))
            .collect();
        self.emit.emit(What::Note {
            text: format!(
                "{} is the same as text, but not byte for byte. What differs is in {}",
                by_text.name.shown(),
                reasons.join(" or in ")
            ),
        });
    }
}
