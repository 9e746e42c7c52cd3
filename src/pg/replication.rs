//! A logical replication slot that is made together with a snapshot: what the snapshot does not see, the slot delivers.
//!
//! Only the replication protocol has that (`CREATE_REPLICATION_SLOT … EXPORT_SNAPSHOT`). The server exports the snapshot until the
//! next command on that connection, or its end: whoever is to read in it takes it over before. From then on, slot and snapshot
//! belong together by nothing but what is written down of them: the slot's consistent point, where nobody has read on
//! yet. A slot of the same name that was made later stands elsewhere, and is another one.

use serde::{Deserialize, Serialize};

use super::wire::Wire;
use super::{Connector, PgError, Query, Session};
use crate::model::{FollowName, SqlText, quote_ident, quote_literal};

/// What its connection is called: `pgconvoy:slot` in `pg_stat_activity`.
const PURPOSE: &str = "slot";

/// A slot begins when all transactions that were running have ended. Should one of them wait for a lock that the snapshot's
/// tables have, neither would ever end: so one that does not end in a while ends the attempt.
const PATIENCE: &str = "set lock_timeout = '60s'";

pub(super) const STANDS: Query = Query::new(
    "replication/stands.sql",
    include_str!("../../sql/replication/stands.sql"),
);

/// A slot, and where it began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Its name.
    pub name: FollowName,
    /// The position in the write-ahead log from which on it delivers; what was committed before is in the snapshot.
    pub consistent_point: String,
}

/// A slot whose snapshot can be taken over as long as this lives.
pub(super) struct FreshSlot {
    pub slot: Slot,
    /// As `SET TRANSACTION SNAPSHOT` takes it.
    pub snapshot: String,
    _exports: Wire,
}

impl FreshSlot {
    /// Makes it. One that an earlier attempt has left is dropped before: it belongs to a snapshot that is lost.
    pub async fn make(source: &Connector, name: &FollowName) -> Result<Self, PgError> {
        let mut wire = source.replication_wire(PURPOSE).await?;
        let earlier = format!(
            "select pg_catalog.pg_drop_replication_slot(s.slot_name) from pg_catalog.pg_replication_slots s \
             where s.slot_name = {} and s.database = pg_catalog.current_database()",
            quote_literal(name.as_str())
        );
        wire.execute(&SqlText::from(PATIENCE)).await?;
        wire.execute(&SqlText::from(earlier)).await?;
        let make = format!(
            "CREATE_REPLICATION_SLOT {} LOGICAL pgoutput EXPORT_SNAPSHOT",
            quote_ident(name.as_str())
        );
        let rows = wire.query(&SqlText::from(make)).await?;
        let column = |index: usize| {
            let value = rows.first().and_then(|row| row.get(index)?.as_deref());
            let text = value.and_then(|value| std::str::from_utf8(value).ok());
            text.map(str::to_owned).ok_or_else(|| PgError::Answer {
                query: "CREATE_REPLICATION_SLOT",
                what: format!("no column {index}"),
            })
        };
        Ok(Self {
            slot: Slot {
                name: name.clone(),
                consistent_point: column(1)?,
            },
            snapshot: column(2)?,
            _exports: wire,
        })
    }
}

impl Slot {
    /// Whether it is there as it was made: nobody has read from it, and it still keeps the log that it needs.
    pub async fn stands(&self, source: &Session) -> Result<bool, PgError> {
        let rows = source
            .query(
                &STANDS,
                &[&self.name.as_str(), &self.consistent_point.as_str()],
            )
            .await?;
        Ok(!rows.is_empty())
    }
}
