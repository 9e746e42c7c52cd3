//! The one vocabulary for what verification finds.

use serde::{Deserialize, Serialize};

use super::{Bytes, ColumnForm, CopyFormat, MultisetDigest, QualifiedName, Rows};

/// In what way the target is not what the source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// On the source, not on the target.
    Missing,
    /// On the target, not on the source.
    Extra,
    /// On both, not the same.
    Different,
    /// There, but not in force: an invalid index, a constraint that is not validated.
    Invalid,
}

/// One difference between source and target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// In what way.
    pub kind: DifferenceKind,
    /// The kind of object, in `pg_dump`'s words in lower case: `table data`, `index`, `fk constraint`, `sequence`, …
    pub class: String,
    /// The object's name, quoted where needed, with its schema.
    pub object: String,
    /// What differs, for a person: both values, or a short diff.
    pub detail: String,
}

/// Kinds of what no dump carries, whatever is done with it: nobody knows the statements that made it.
const IN_NO_DUMP: [&str; 2] = ["extension object", "system object"];

impl Difference {
    /// Whether there can be no SQL for it.
    pub fn is_in_no_dump(&self) -> bool {
        IN_NO_DUMP.contains(&self.class.as_str())
    }
}

/// How the class of a difference begins that is not between an archive and the target, but between the target and the source as it is
/// now.
pub const OF_LIVE_SOURCE: &str = "against the live source: ";

/// How a note of a restore begins that says what of its database the archive lacks; what that is stands behind it.
pub const ARCHIVE_LACKS: &str =
    "the archive does not hold all of its database; not in it, or not in full: ";

/// How it is said why something is not verified of which the archive's file cannot be read.
pub const FILE_UNREAD: &str = "its file cannot be read";

/// How it is said why a job failed that what a file of an archive holds is not what it must be; what is wrong stands behind it.
pub const FILE_DAMAGED: &str = "a file of the archive is damaged, or cannot be read: ";

/// How it is said why something is not verified that an archive cannot be asked for: it does not hold it, or not in full.
const NOT_IN_ARCHIVE: &str = "it is not in the archive, or not in full";

/// What is said to be checked of a database that was made as an archive has it.
pub const DATABASE_PROPERTIES: &str = "databases' properties";

/// Something that verification could not decide. Never the same as "no difference": the run cannot exit 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unverified {
    /// The kind of object, as in [`Difference::class`].
    pub class: String,
    /// The object's name.
    pub object: String,
    /// Why it could not be verified.
    pub because: String,
}

/// Kinds of what `pg_dump` does not write, because of its role or whoever runs it: an archive lacks it, and is whole otherwise.
const NOT_DUMPED: [&str; 8] = [
    "acl",
    "comment",
    "schema",
    "schemas of pgconvoy",
    "subscription",
    "subscriptions and user mappings",
    "system object",
    "user mapping",
];

/// Those of them that a superuser is shown.
const KEPT_FROM_ROLES: [&str; 3] = [
    "subscription",
    "subscriptions and user mappings",
    "user mapping",
];

impl Unverified {
    /// Of a dump: whether it is not in the archive, and no doubt about what is.
    pub fn is_not_dumped(&self) -> bool {
        NOT_DUMPED.contains(&self.class.as_str())
    }

    /// Whether it is kept from a role that is no superuser, and others see it.
    pub fn is_kept_from_role(&self) -> bool {
        KEPT_FROM_ROLES.contains(&self.class.as_str())
    }

    /// Of a comparison with an archive: whether no such comparison can tell, whoever asks.
    pub fn is_not_in_archive(&self) -> bool {
        self.because.starts_with(NOT_IN_ARCHIVE)
    }

    /// The same of what a comparison with an archive cannot tell, because of what that holds.
    #[must_use]
    pub fn not_in_archive(self) -> Self {
        Self {
            because: format!("{NOT_IN_ARCHIVE}: {}", self.because),
            ..self
        }
    }
}

/// What verification says of one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Same rows, same content, counted independently on both sides.
    Identical,
    /// Same number of rows on both sides; the content was not compared, because only counts were asked for.
    SameCount,
    /// The rows were left out on request; the target table is empty, as it should be.
    Excluded,
    /// Not verified, because nothing was asked for or because it could not be done.
    NotVerified,
    /// Source and target differ.
    Different,
}

/// What was read, written and found for one table: a line of the final table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableVerdict {
    /// The table, on both sides.
    pub table: QualifiedName,
    /// Text or binary, and why.
    pub format: CopyFormat,
    /// What the copier read from the source; `None` if it never got that far.
    pub read: Option<MultisetDigest>,
    /// `count(*)` on the source, in the same snapshot, independent of how the table was cut into chunks.
    pub source_count: Option<Rows>,
    /// What a fresh read of the target found; only its rows are meaningful when counts were asked for.
    pub target: Option<MultisetDigest>,
    /// Bytes that went over the wire.
    pub bytes: Bytes,
    /// Time spent copying, summed over the table's chunks, in milliseconds.
    pub copy_ms: u64,
    /// The conclusion.
    pub verdict: Verdict,
    /// Columns that were compared otherwise than by the bytes that the server sends, or not at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forms: Vec<ColumnForm>,
}

impl TableVerdict {
    /// Of a table whose rows were left out on request.
    pub fn excluded(table: &QualifiedName) -> Self {
        Self {
            table: table.clone(),
            format: CopyFormat::Binary,
            read: None,
            source_count: None,
            target: Some(MultisetDigest::default()),
            bytes: Bytes(0),
            copy_ms: 0,
            verdict: Verdict::Excluded,
            forms: Vec::new(),
        }
    }
}

/// Something that the operator wanted to be passed over, or that a damaged source has lost, by name. It is told, and takes away the
/// word "proven".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiver {
    /// As it was asked for: `table:public.sessions`; `edited:` and the file of a statement that was run as edited; `salvage:` and that
    /// of which something is lost.
    pub rule: String,
    /// What was not compared because of it, a clause each: `the rows of public.sessions`; or what is lost.
    pub not_compared: Vec<String>,
    /// The differences that were found and are passed over.
    pub differences: Vec<Difference>,
}

impl Waiver {
    /// Of what something is lost, if nobody asked for this, but it could not be read of a damaged source.
    pub fn lost(&self) -> Option<&str> {
        self.rule.strip_prefix("salvage:")
    }
}
