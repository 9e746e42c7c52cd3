//! What is done, by job and part.

use std::collections::BTreeMap;

use super::{Mark, WHOLE};
use crate::model::JobId;

/// How the mark of a statement begins that the operator has edited; the file follows.
pub const EDITED: &str = "edited: ";

/// What the ledger says of a job, or of a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoneMark {
    /// What was done, for a person.
    pub what: String,
    /// What came of it.
    pub mark: Mark,
}

/// Done-marks by job and part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marks(BTreeMap<(JobId, u32), DoneMark>);

impl Marks {
    /// Adds one.
    pub fn add(&mut self, job: JobId, part: u32, mark: DoneMark) {
        self.0.insert((job, part), mark);
    }

    /// Whether a job is done as a whole.
    pub fn whole(&self, job: JobId) -> bool {
        self.part(job, WHOLE).is_some()
    }

    /// The mark of a part of a job.
    pub fn part(&self, job: JobId, part: u32) -> Option<&DoneMark> {
        self.0.get(&(job, part))
    }

    /// Whether a part is done, by itself or with the whole.
    pub fn has(&self, job: JobId, part: u32) -> bool {
        self.whole(job) || self.part(job, part).is_some()
    }

    /// How many parts of a job are done by themselves.
    pub fn parts(&self, job: JobId) -> usize {
        let parts = self.0.range((job, 0)..=(job, u32::MAX));
        parts.filter(|((_, part), _)| *part != WHOLE).count()
    }

    /// Takes the mark of a part back, and that of the whole.
    pub fn take_back(&mut self, job: JobId, part: u32) {
        self.0.remove(&(job, part));
        self.0.remove(&(job, WHOLE));
    }

    /// All marks, job by job.
    pub fn by_job(&self) -> BTreeMap<JobId, Vec<(u32, &DoneMark)>> {
        let mut jobs: BTreeMap<JobId, Vec<(u32, &DoneMark)>> = BTreeMap::new();
        for ((job, part), mark) in &self.0 {
            jobs.entry(*job).or_default().push((*part, mark));
        }
        jobs
    }

    /// Parts that were done otherwise than planned, and what the ledger calls that.
    pub fn edited(&self) -> impl Iterator<Item = (JobId, u32, &str)> {
        let marks = self.0.iter();
        marks.filter_map(|((job, part), mark)| Some((*job, *part, mark.what.strip_prefix(EDITED)?)))
    }

    /// Takes in what another has.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Jobs and parts that this has and another has not: `(job, part, what)`.
    pub fn missing_from<'a>(
        &'a self,
        other: &'a Self,
    ) -> impl Iterator<Item = (JobId, u32, &'a str)> {
        let missing = self
            .0
            .iter()
            .filter(|(place, _)| !other.0.contains_key(place));
        missing.map(|((job, part), mark)| (*job, *part, mark.what.as_str()))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
