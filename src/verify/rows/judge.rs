//! What two sides that were read come to.

use super::comparand::{Comparand, Subject};
use super::readers::{SideRead, Sides};
use crate::model::{
    Bytes, CopyFormat, MultisetDigest, TableVerdict, Unverified, Verdict, VerifyLevel,
};

/// What is known of a comparand once both sides are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// The same rows, as far as they were looked at.
    Same,
    /// Not the same.
    Differs,
    /// One side could not be read.
    Unknown,
}

/// Judges. Whatever is missing makes it unknown, never the same.
pub fn judge(sides: &Sides) -> Judgement {
    match sides {
        [Ok(source), Ok(target)] if source.digest() == target.digest() => Judgement::Same,
        [Ok(_), Ok(_)] => Judgement::Differs,
        _ => Judgement::Unknown,
    }
}

/// The line of the report for a table.
pub fn verdict(comparand: &Comparand, sides: &Sides, level: VerifyLevel) -> TableVerdict {
    let verdict = match judge(sides) {
        Judgement::Same if level == VerifyLevel::Content => Verdict::Identical,
        Judgement::Same => Verdict::SameCount,
        Judgement::Differs => Verdict::Different,
        Judgement::Unknown => Verdict::NotVerified,
    };
    let digest =
        |side: usize| -> Option<MultisetDigest> { sides[side].as_ref().ok().map(SideRead::digest) };
    let of_both = |what: fn(&SideRead) -> u64| sides.iter().flatten().map(what).sum::<u64>();
    TableVerdict {
        table: comparand.name.clone(),
        format: CopyFormat::Binary,
        read: digest(0),
        source_count: digest(0).map(|digest| digest.rows),
        target: digest(1),
        bytes: Bytes(of_both(|side| side.bytes.0)),
        copy_ms: of_both(|side| side.duration_ms),
        verdict,
        forms: comparand.forms.clone(),
    }
}

/// Why a comparand could not be verified; nothing if it could.
pub fn unverified(comparand: &Comparand, sides: &Sides) -> Option<Unverified> {
    let because: Vec<&str> = sides
        .iter()
        .filter_map(|side| side.as_ref().err())
        .map(String::as_str)
        .collect();
    (!because.is_empty()).then(|| Unverified {
        class: class(comparand).to_owned(),
        object: object(comparand),
        because: because.join("; "),
    })
}

/// The class of differences that a comparand has.
pub fn class(comparand: &Comparand) -> &'static str {
    match comparand.subject {
        Subject::Table => "table data",
        Subject::Matview { .. } => "materialized view",
        Subject::LargeObjects(_) => "large object",
    }
}

/// Its name, as differences have it.
pub fn object(comparand: &Comparand) -> String {
    match &comparand.subject {
        Subject::LargeObjects(oids) => match oids.as_slice() {
            [one] => one.to_string(),
            _ => format!("{} and those after it", comparand.name.name),
        },
        _ => comparand.name.shown(),
    }
}
