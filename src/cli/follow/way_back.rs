//! The way back of a turn: made beforehand as far as possible, begun while both sides are closed, and removed if the turn goes back.

use std::time::Duration;

use super::ends::{self, run};
use super::steps::{Steps, asking};
use super::subscribe::{await_reader, enable, make, reach, where_the_password_is};
use crate::cli::secrets::{SOURCE_FROM_TARGET_PASSWORD, TARGET_FROM_SOURCE_PASSWORD};
use crate::failure::Failure;
use crate::follow::{self, FollowError, OursKind, Publishing, SideRecord};
use crate::model::Side;

/// How long the slot of the way back may take to begin: nobody can write meanwhile.
const SLOT_WITHIN: Duration = Duration::from_secs(30);
const SLOT_AT_LEAST: Duration = Duration::from_secs(1);
/// `query_canceled`.
const CANCELLED: &str = "57014";

impl Steps<'_> {
    /// Begins anew: what an earlier attempt left of the way back is removed, as it would deliver what is brought over from here
    /// on; and the old direction works.
    pub async fn begin_again(&self) -> Result<(), Failure> {
        self.remove_way_back().await?;
        enable(self.to(), &self.ahead()).await?;
        await_reader(self.from(), &self.ahead()).await
    }

    /// Removes the way back. Its objects record the same as those of the old direction. If the latter are gone, nothing else
    /// holds that record, and the removal would open the side that handed over.
    pub async fn remove_way_back(&self) -> Result<(), Failure> {
        let (from, to, ahead, back) = (self.from(), self.to(), self.ahead(), self.back());
        let there = ends::find(&from.session, OursKind::Publication, &ahead).await?;
        if there.is_none() {
            return Err(FollowError::NotNow {
                what: format!(
                    "publication {ahead} is not on the {} any more: another run has gone on with it, or somebody has dropped it",
                    self.turn.from
                ),
                remedy: "pgconvoy status --target says how it stands.".to_owned(),
            }
            .into());
        }
        let database = &from.facts.database;
        ends::clear_subscriber(&from.session, database, (&back, &ahead)).await?;
        ends::drop_slot(&to.session, &back).await?;
        let sql = follow::unpublish(&back, &to.facts.database, None);
        run(&to.session, &sql, &format!("removing publication {back}")).await
    }

    /// Makes what the way back needs and can be made while everything goes on: the publication, and the subscription, which
    /// shows that the server can be reached.
    pub async fn prepare_way_back(&self) -> Result<(), Failure> {
        if !self.with_reverse() {
            return Ok(());
        }
        let (from, to, back) = (self.from(), self.to(), self.back());
        let there = ends::find(&to.session, OursKind::Publication, &back).await?;
        if there.is_none() {
            let tables = follow::tables(&to.session)
                .await
                .map_err(asking("listing tables"))?;
            let record =
                ends::record_on(&to.session, OursKind::Subscription, &self.ahead()).await?;
            let record = record.unwrap_or_else(|| SideRecord::new(from.endpoint.to_string()));
            let sql = follow::publish(&Publishing {
                name: &back,
                tables: &follow::carried(&tables),
                // The rows of each table can be found by something, or the turn would have been refused. What the record names may be gone.
                full: &[],
                record: &record,
                subscriber: from.facts.version,
            });
            run(&to.session, &sql, "making the publication of the way back").await?;
            self.tell_of_truncate();
        }
        let there = ends::find(&from.session, OursKind::Subscription, &back).await?;
        if there.is_none() {
            let (given, how) = match self.turn.to {
                Side::Target => (
                    self.args.target_from_source.clone(),
                    ("--target-from-source", TARGET_FROM_SOURCE_PASSWORD),
                ),
                Side::Source => {
                    let before = self.ends.state()?.wanted.source_from_target.clone();
                    (
                        self.args.source_from_target.clone().or(before),
                        ("--source-from-target", SOURCE_FROM_TARGET_PASSWORD),
                    )
                }
            };
            let reach = reach(to, given.as_deref(), how)?;
            let record = self.record_of_from().await?;
            make(from, (&back, &reach), &record, false).await?;
            if let Some(text) = where_the_password_is(from, &reach) {
                self.note(text);
            }
        }
        Ok(())
    }

    fn tell_of_truncate(&self) {
        let from = self.from();
        if !follow::knows_truncate(from.facts.version) {
            self.note(format!(
                "{} is PostgreSQL {}, which takes no TRUNCATE by replication: rows that are truncated stay there, and one that is inserted \
                 again with the same key stops the way back (until BEGIN READ WRITE; TRUNCATE …; COMMIT on the {}); DELETE comes back like \
                 everything else",
                from.endpoint, from.facts.version, self.turn.from
            ));
        }
    }

    /// Makes the way back work before the first write: somebody reads from its slot.
    pub async fn reverse(&self) -> Result<(), Failure> {
        let (from, to, ahead, back) = (self.from(), self.to(), self.ahead(), self.back());
        let doing = format!("disabling subscription {ahead}");
        run(&to.session, &follow::enable(&ahead, false), &doing).await?;
        if !self.with_reverse() {
            return Ok(());
        }
        self.make_slot().await?;
        enable(from, &back).await?;
        await_reader(to, &back).await
    }

    /// A slot begins once all transactions that write to any database of the server have ended, and only one of these databases is closed.
    async fn make_slot(&self) -> Result<(), Failure> {
        let (to, back) = (self.to(), self.back());
        let within = self.args.patience.clamp(SLOT_AT_LEAST, SLOT_WITHIN);
        let doing = "making the slot of the way back";
        run(&to.session, &follow::limit(within.as_millis()), doing).await?;
        let made = to.session.execute(&follow::make_slot(&back)).await;
        let unlimited = to.session.execute(&follow::limit(0)).await;
        match made {
            Err(error) if error.code() == Some(CANCELLED) => {}
            made => {
                made.and(unlimited).map_err(FollowError::step(doing))?;
                return Ok(());
            }
        }
        let holding = follow::unfinished(&to.session, 0).await;
        let holding = holding.map_err(asking("looking for transactions that are open"))?;
        Err(FollowError::NotNow {
            what: format!(
                "the slot of the way back has not begun within {:.0} s: it waits for every transaction that writes to any database of the \
                 {}'s server: {}",
                within.as_secs_f64(),
                self.turn.to,
                holding.join("; ")
            ),
            remedy: "Have them end, and run the same again; or give --no-fallback, to do without a way back.".to_owned(),
        }
        .into())
    }
}
