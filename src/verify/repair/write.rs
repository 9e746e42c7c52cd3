//! Writes the file; values are read from the two servers while it is written, a batch at a time, so that memory stays flat.

use std::io::{self, Write};

use bytes::Bytes;

use crate::model::{Oid, SqlText};
use crate::pg::PgError;
use crate::pg::wire::Wire;

use super::script::{Encodings, Script};
use super::step::{Phase, Step};
use super::{Content, Repair, draft};

/// Bytes of a large object in one statement.
const PART: i64 = 512 << 10;

/// `INV_READ | INV_WRITE`.
const READ_AND_WRITE: u32 = 0x0006_0000;

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// A question to a server failed.
    #[error("could not read the values of {what} for the repair")]
    Read {
        /// A table, or `large object 7`.
        what: String,
        /// Why.
        #[source]
        source: PgError,
    },
    /// In the snapshot in which the difference was found, the row must be there.
    #[error(
        "could not write the repair of {table}: of {asked} rows that differ, only {found} were found again"
    )]
    Gone {
        /// The table.
        table: String,
        /// How many were asked for.
        asked: usize,
        /// How many came.
        found: usize,
    },
    /// The disk is full, or the like.
    #[error("could not write the repair file")]
    Write(#[from] io::Error),
}

/// The two servers, each on a connection with the snapshot open in which the differences were found.
pub(super) struct Servers<'w> {
    pub source: &'w mut Wire,
    pub target: &'w mut Wire,
}

impl Repair<'_> {
    /// Writes the file. Both connections must be in an open transaction, with the snapshot that was compared; their client
    /// encoding is set for the rest of it.
    pub async fn write(
        &self,
        source: &mut Wire,
        target: &mut Wire,
        out: &mut dyn Write,
    ) -> Result<(), RepairError> {
        let encodings = Encodings::of(self.input.source.toc);
        let mut servers = Servers { source, target };
        servers.speak(&encodings.session).await?;
        let mut script = Script::new(out, encodings);
        self.head(&mut script)?;
        let database = &self.input.target.endpoint.database;
        script.preamble(database, self.input.target_identity)?;
        let phases = [
            Phase::Enums,
            Phase::Drop,
            Phase::Define,
            Phase::Rows,
            Phase::Values,
            Phase::Finish,
            Phase::Comments,
            Phase::Grants,
            Phase::Last,
            Phase::Spare,
        ];
        for phase in phases {
            if phase == Phase::Rows {
                self.rows(&mut script, &mut servers).await?;
                continue;
            }
            let steps: Vec<&Step> = self
                .steps
                .iter()
                .filter(|step| step.phase == phase)
                .collect();
            let contents = if phase == Phase::Values {
                self.contents.as_slice()
            } else {
                &[]
            };
            if steps.is_empty() && contents.is_empty() {
                continue;
            }
            script.section(phase.title())?;
            section(&mut script, (phase, self.bounds(phase)), &steps)?;
            for content in contents {
                large_object(&mut script, &mut servers, content).await?;
            }
        }
        script.section("The end")?;
        script
            .comment("Verify again: only that tells whether source and target are the same now.")?;
        Ok(())
    }

    /// Whether a transaction begins with a phase, and whether it ends with it. What is dropped and what is made instead are one: of what
    /// fails on the way, nothing is gone, nor laid open for want of a policy.
    fn bounds(&self, phase: Phase) -> (bool, bool) {
        let has = |phase: Phase| self.steps.iter().any(|step| step.phase == phase);
        match phase {
            Phase::Drop => (true, !has(Phase::Define)),
            Phase::Define => (!has(Phase::Drop), true),
            _ => (phase.is_one_transaction(), phase.is_one_transaction()),
        }
    }

    fn head(&self, script: &mut Script) -> io::Result<()> {
        let (source, target) = (self.input.source.endpoint, self.input.target.endpoint);
        script.comment(&format!(
            "What would bring the target in line with the source, as pgconvoy verify saw them at {}.\n\n  source: {source}\n  target: {target}\n",
            self.input.made_at
        ))?;
        script.comment(
            "Read it before you run it, on the target, while nobody writes to either side:\n\n  \
             psql -X -d TARGET -f THIS_FILE\n\n\
             It stops at the first error. Definitions, rows and grants are transactions of their own; indexes, constraints and\n\
             settings are done one by one, so that none that is finished is lost. After an error, verify again with --repair:\n\
             the new file holds what is left to do. When it has run, verify again.\n",
        )?;
        script.comment(&format!(
            "Of {} differences this file covers {}.",
            self.input.differences.len(),
            self.covered()
        ))?;
        if !self.not_covered.is_empty() {
            script.comment("\nIt does not, or not wholly, cover:\n")?;
        }
        for one in &self.not_covered {
            script.comment(&format!("  {}", one_difference(one)))?;
            script.comment(&format!("    {}", one.because.replace('\n', " ")))?;
            for statement in &one.suggestions {
                script.suggestion(statement)?;
            }
        }
        script.blank()
    }
}

fn one_difference(one: &super::NotCovered) -> String {
    draft::about(&one.difference)
}

fn section(
    script: &mut Script,
    (phase, (begins, ends)): (Phase, (bool, bool)),
    steps: &[&Step],
) -> io::Result<()> {
    let together = phase.is_one_transaction() && !steps.is_empty();
    if together && begins {
        script.say("begin")?;
    }
    let mut before = "";
    for step in steps {
        if step.about != before {
            script.comment(&step.about)?;
        }
        before = &step.about;
        let alone = step.transaction && !together;
        if alone {
            script.say("begin")?;
        }
        for statement in &step.statements {
            script.statement(statement)?;
        }
        if alone {
            script.say("commit")?;
        }
    }
    if together && ends {
        script.say("commit")?;
    }
    Ok(())
}

/// Creates or empties it, and writes it in parts.
async fn large_object(
    script: &mut Script<'_>,
    servers: &mut Servers<'_>,
    content: &Content,
) -> Result<(), RepairError> {
    let oid = content.oid;
    script.comment(&content.about)?;
    script.say("begin")?;
    script.say(&if content.exists {
        format!("select pg_catalog.lo_truncate64(pg_catalog.lo_open({oid}, {READ_AND_WRITE}), 0)")
    } else {
        format!("select pg_catalog.lo_create({oid})")
    })?;
    let mut offset = 0;
    loop {
        let part = servers.large_object(oid, offset).await?;
        let bytes = i64::try_from(part.len() / 2).unwrap_or(0);
        if bytes == 0 {
            break;
        }
        let hex = String::from_utf8_lossy(&part).into_owned();
        script.say(&format!(
            "select pg_catalog.lo_put({oid}, {offset}, pg_catalog.decode('{hex}', 'hex'))"
        ))?;
        offset += bytes;
        if bytes < PART {
            break;
        }
    }
    script.say("commit")?;
    Ok(())
}

impl Servers<'_> {
    async fn speak(&mut self, encoding: &str) -> Result<(), RepairError> {
        let sql = SqlText::from(format!("set local client_encoding = '{encoding}'"));
        for wire in [&mut *self.source, &mut *self.target] {
            let set = wire.execute(&sql).await;
            set.map_err(|source| RepairError::Read {
                what: "both sides".to_owned(),
                source,
            })?;
        }
        Ok(())
    }

    /// A part of it, as hexadecimal digits.
    async fn large_object(&mut self, oid: Oid, offset: i64) -> Result<Bytes, RepairError> {
        let sql =
            format!("select pg_catalog.encode(pg_catalog.lo_get({oid}, {offset}, {PART}), 'hex')");
        let rows = self
            .source
            .query(&SqlText::from(sql))
            .await
            .map_err(|source| RepairError::Read {
                what: format!("large object {oid}"),
                source,
            })?;
        let value = rows
            .into_iter()
            .next()
            .and_then(|row| row.into_iter().next());
        Ok(value.flatten().unwrap_or_default())
    }
}
