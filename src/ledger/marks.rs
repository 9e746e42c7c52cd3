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
pub struct Marks(BTreeMap<JobId, BTreeMap<u32, DoneMark>>);

impl Marks {
    /// Adds one.
    pub fn add(&mut self, job: JobId, part: u32, mark: DoneMark) {
        self.0.entry(job).or_default().insert(part, mark);
    }

    /// Whether a job is done as a whole.
    pub fn whole(&self, job: JobId) -> bool {
        self.part(job, WHOLE).is_some()
    }

    /// The mark of a part of a job.
    pub fn part(&self, job: JobId, part: u32) -> Option<&DoneMark> {
        self.0.get(&job)?.get(&part)
    }

    /// Whether a part is done, by itself or with the whole.
    pub fn has(&self, job: JobId, part: u32) -> bool {
        self.whole(job) || self.part(job, part).is_some()
    }

    /// How many parts of a job are done by themselves.
    pub fn parts(&self, job: JobId) -> usize {
        self.0.get(&job).map_or(0, |parts| {
            parts.keys().filter(|&&part| part != WHOLE).count()
        })
    }

    /// Takes the mark of a part back, and that of the whole.
    pub fn take_back(&mut self, job: JobId, part: u32) {
        if let Some(parts) = self.0.get_mut(&job) {
            parts.remove(&part);
            parts.remove(&WHOLE);
        }
    }

    /// All marks, job by job.
    pub fn by_job(&self) -> impl Iterator<Item = (JobId, &BTreeMap<u32, DoneMark>)> {
        self.0.iter().map(|(job, parts)| (*job, parts))
    }

    /// Parts that were done otherwise than planned, and what the ledger calls that.
    pub fn edited(&self) -> impl Iterator<Item = (JobId, u32, &str)> {
        self.0.iter().flat_map(|(job, parts)| {
            let edited = parts
                .iter()
                .filter_map(|(part, mark)| Some((*part, mark.what.strip_prefix(EDITED)?)));
            edited.map(|(part, file)| (*job, part, file))
        })
    }

    /// Takes in what another has.
    pub fn extend(&mut self, other: Self) {
        for (job, parts) in other.0 {
            self.0.entry(job).or_default().extend(parts);
        }
    }

    /// Jobs and parts that this has and another has not: `(job, part, what)`.
    pub fn missing_from<'a>(
        &'a self,
        other: &'a Self,
    ) -> impl Iterator<Item = (JobId, u32, &'a str)> {
        self.0.iter().flat_map(move |(job, parts)| {
            parts
                .iter()
                .filter(move |(part, _)| other.part(*job, **part).is_none())
                .map(move |(part, mark)| (*job, *part, mark.what.as_str()))
        })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
