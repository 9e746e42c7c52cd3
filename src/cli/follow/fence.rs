//! A side is closed to writers, and the sessions that were there before are ended.
//!
//! The setting applies to sessions that begin after it, so all others must go: those that are there, and those that were just
//! being opened and read the setting before it was changed ([`Steps::await_those_who_come`]). A transaction that was prepared
//! meanwhile (two-phase commit) belongs to no session, and could still be committed: then the side is opened again.
//!
//! Sessions are known one by one, by process ID and start time, and never by whether they began before some moment: a server's
//! clock may be set back meanwhile.
//!
//! **Whoever connects while a side is closed** can only read for as long as the session lasts, even once the side is open again. A
//! connection pool does not know that. So these sessions are ended when the side is opened: idle ones at once, others as they become idle.
//!
//! **The side that takes over** was closed when it began to follow, and has the same to fear: sessions from before, and clients
//! that make their transactions READ WRITE themselves. Its sessions are ended before the other side is closed, except those
//! that have been at work for long, have not written, and are not in the way of what is brought over. What was written to it
//! all the same is found when both are compared, and overruled by name; from then on its tables are locked until it is open.
//!
//! **Whose fence it is** is recorded with it. A run that goes back opens the side only if nobody else has closed it since: one
//! that has lost its claim without knowing it must not open a side that another run is turning away from.

use std::time::Duration;

use chrono::Utc;
use tokio::time::{Instant, sleep};

use super::ends::{self, run};
use super::steps::{ENDS_WITHIN, PAUSE, Steps, asking};
use crate::cli::inspect::Server;
use crate::failure::Failure;
use crate::follow::{self, FollowError, OursKind, SideRecord, Stranger};
use crate::model::{Happening, Side};
use crate::progress::words;

/// How long a session that was idle when it was ended may take to be gone.
const LEAVES_WITHIN: Duration = Duration::from_secs(2);

impl Steps<'_> {
    /// Learns who has closed the side that hands over, if anybody has: what is done from here on is about this fence.
    pub async fn learn_fence(&mut self) -> Result<(), Failure> {
        let record = self.record_of_from().await?;
        self.fences.extend(record.fence.and_then(|fence| fence.by));
        Ok(())
    }

    /// Closes the side that hands over, until nobody writes to it any more.
    pub async fn fence(&mut self) -> Result<(), Failure> {
        // If the answer to the first statement is lost, the fence may be ours or not.
        self.fences.push(self.mark.clone());
        let from = self.from();
        let (name, database) = (self.ahead(), from.facts.database.clone());
        let offers = follow::offers(&from.session)
            .await
            .map_err(asking("reading what the database is set to"))?;
        let mut record = self
            .record_of_from()
            .await?
            .closed(offers.read_only_setting, &self.mark)
            .without_logins(self.roles_to_keep_out().await?);
        ends::forget_gone_roles(&from.session, &mut record).await?;
        let close = follow::fence((&name, &self.back()), &database, &record);
        run(&from.session, &close, "closing the database to writers").await?;
        if self.with_reverse() {
            let close = follow::close(&self.back(), &database, &record);
            run(&from.session, &close, "closing the database to writers").await?;
        }
        if self.ends.state()?.closed_at.is_none() {
            self.remember(Happening::Closed, self.turn.from, (None, None))?;
            let mut state = self.ends.state()?.clone();
            state.closed_at = Some(Utc::now());
            self.ends.write(state).await?;
        }
        self.await_those_who_come(self.turn.from).await?;
        self.end_writers().await?;
        self.refuse_prepared().await?;
        // This also brings to disk what others committed without waiting for it.
        run(
            &self.from().session,
            &close,
            "closing the database to writers",
        )
        .await
    }

    /// Waits for sessions that are just being opened: they may have read the settings before the change, and the server lists
    /// them only once they have.
    async fn await_those_who_come(&self, side: Side) -> Result<(), Failure> {
        let server = self.ends.side(side);
        let session = &server.session;
        let doing = || asking("looking for sessions that are being opened");
        let mut coming = follow::connecting(session).await.map_err(doing())?;
        let deadline = Instant::now() + ENDS_WITHIN;
        while !coming.is_empty() {
            if Instant::now() >= deadline {
                return Err(FollowError::Writers {
                    server: server.endpoint.to_string(),
                    sessions: coming.iter().map(|pid| format!("pid {pid}")).collect(),
                }
                .into());
            }
            sleep(PAUSE).await;
            let now = follow::connecting(session).await.map_err(doing())?;
            coming.retain(|pid| now.contains(pid));
        }
        Ok(())
    }

    /// A transaction that was prepared before everybody was gone can be committed by anyone, even while the database is closed.
    async fn refuse_prepared(&self) -> Result<(), Failure> {
        let offers = follow::offers(&self.from().session)
            .await
            .map_err(asking("looking for prepared transactions"))?;
        if offers.prepared == 0 {
            return Ok(());
        }
        Err(FollowError::NotNow {
            what: format!(
                "{} prepared on the {} while it was being closed to writers, and could be committed at any time",
                words::count(offers.prepared.unsigned_abs(), "transaction was", "transactions were"),
                self.turn.from
            ),
            remedy: "Commit them or roll them back (pg_prepared_xacts), and run the same again."
                .to_owned(),
        }
        .into())
    }

    /// Opens the side that was in service again, unless somebody else has closed it meanwhile: nothing was written to the other one.
    pub async fn open_again(&mut self) -> Result<(), Failure> {
        let (from, ahead) = (self.from(), self.ahead());
        let mut record = self.record_of_from().await?;
        if let Some(text) = ends::forget_gone_roles(&from.session, &mut record).await? {
            self.note(text);
        }
        let objects = [("publication", &ahead)];
        let is_closed = record.fence.is_some();
        let guard = is_closed.then(|| follow::still_fenced_by(&ahead, &self.fences));
        let sql = follow::open(&objects, &from.facts.database, &record, guard.as_deref());
        run(&from.session, &sql, "opening the database to writers").await?;
        if is_closed {
            self.free_readers(self.turn.from).await;
        }
        Ok(())
    }

    /// Once a side is open, ends the idle ones among the sessions that began while it was closed. Best effort: what is open is open.
    pub async fn free_readers(&mut self, side: Side) {
        let known = async {
            self.await_those_who_come(side).await?;
            let there = follow::strangers(&self.ends.side(side).session).await;
            Ok::<_, Failure>(there.map_err(asking("listing sessions"))?)
        };
        match known.await {
            Ok(mut readers) => {
                // Sessions from before the closing can write.
                readers.retain(|one| side == self.turn.to || !one.is_among(&self.writers));
                self.readers = self.end_idle(side, readers).await;
            }
            Err(failure) => self.note(format!(
                "sessions of the {side} that began while it was closed to writers can only read until they are opened anew; which these \
                 are could not be found out: {failure}"
            )),
        }
    }

    /// The same for those that were at work, as they become idle; those that do not are named.
    pub async fn free_last_readers(&mut self, side: Side) {
        let deadline = Instant::now() + self.args.grace.max(LEAVES_WITHIN);
        let mut readers = std::mem::take(&mut self.readers);
        // When one that we may not look at becomes idle, nobody could tell.
        while readers.iter().any(|one| one.began.is_some()) && Instant::now() < deadline {
            sleep(PAUSE).await;
            readers = self.end_idle(side, readers).await;
        }
        if !readers.is_empty() {
            let named: Vec<String> = readers.iter().map(Stranger::shown).collect();
            self.note(format!(
                "sessions of the {side} began while it was closed to writers, and can only read until they are opened anew: {}",
                named.join("; ")
            ));
        }
    }

    /// Ends those of the sessions that are idle, and returns those still there. One that may not be ended stays among them.
    async fn end_idle(&self, side: Side, those: Vec<Stranger>) -> Vec<Stranger> {
        let session = &self.ends.side(side).session;
        let Ok(mut there) = follow::strangers(session).await else {
            return those;
        };
        there.retain(|one| one.is_among(&those));
        for idle in there.iter().filter(|one| one.idle) {
            let _ = follow::end_session(session, idle.pid).await;
        }
        there
    }

    /// The record of the side that hands over, which is on its publication.
    pub async fn record_of_from(&self) -> Result<SideRecord, Failure> {
        let (from, ahead) = (self.from(), self.ahead());
        let record = ends::record_on(&from.session, OursKind::Publication, &ahead).await?;
        Ok(record.unwrap_or_else(|| SideRecord::new(self.to().endpoint.to_string())))
    }

    /// The named roles that may still log in.
    async fn roles_to_keep_out(&self) -> Result<Vec<String>, Failure> {
        let named = &self.args.fence_role;
        let found = follow::roles(&self.from().session, named)
            .await
            .map_err(asking("looking for roles"))?;
        Ok(found
            .into_iter()
            .filter(|role| role.may_log_in)
            .map(|role| role.name)
            .collect())
    }

    /// Says what closing a side does not keep others from.
    pub async fn tell_of_large_objects(&self) -> Result<(), Failure> {
        let from = self.from();
        if follow::knows_read_only_objects(from.facts.version) || !self.args.fence_role.is_empty() {
            return Ok(());
        }
        let offers = follow::offers(&from.session)
            .await
            .map_err(asking("looking for large objects"))?;
        if offers.large_objects {
            self.note(format!(
                "large objects of the {} can be written in transactions that may only read, as on every server before 16: what is written to \
                 one after both sides are compared is lost. With --fence-role, the application's roles are kept out of the server",
                self.turn.from
            ));
        }
        Ok(())
    }

    /// A role that does not exist, or whose login is needed, is a usage error.
    pub async fn check_roles(&self) -> Result<(), Failure> {
        let named = &self.args.fence_role;
        let found = follow::roles(&self.from().session, named)
            .await
            .map_err(asking("looking for roles"))?;
        let missing = named
            .iter()
            .find(|name| !found.iter().any(|role| role.name == **name));
        let ours = found.iter().find(|role| role.is_ours);
        let what = match (missing, ours) {
            (Some(name), _) => format!("--fence-role {name}: there is no such role"),
            (_, Some(role)) => {
                format!("--fence-role {}: pgconvoy itself connects as it", role.name)
            }
            _ if !named.is_empty() && self.is_one_cluster() => {
                "--fence-role: both databases are on one server, and would be closed to it"
                    .to_owned()
            }
            _ => return Ok(()),
        };
        Err(Failure::usage(
            what,
            "Name the roles of the application, or leave it out.",
        ))
    }

    fn is_one_cluster(&self) -> bool {
        let system = |server: &Server| server.facts.system_identifier;
        system(self.from()).is_some() && system(self.from()) == system(self.to())
    }

    async fn end_writers(&mut self) -> Result<(), Failure> {
        // Sessions that begin later can only read.
        let there = follow::strangers(&self.from().session).await;
        self.writers = there.map_err(asking("looking for sessions that may still write"))?;
        self.end_all((self.turn.from, self.args.grace), &self.writers)
            .await
    }

    /// Ends sessions of the side that takes over, while the other one is still in service. Those from before it was closed can
    /// write to it; the others could not, even once it is open. A session that cannot be ended stays, and so does one that only
    /// reads: what it writes before both sides are compared is found then, and from there on nobody can write until the
    /// opening. Nobody is waited for if the other side is closed already, by a turn that was killed.
    pub async fn empty_other_side(&self) -> Result<(), Failure> {
        let side = self.turn.to;
        let there = follow::strangers(&self.to().session).await;
        let there = there.map_err(asking("listing sessions"))?;
        let is_closed = self.ends.state()?.closed_at.is_some();
        let grace = if is_closed {
            Duration::ZERO
        } else {
            self.args.grace
        };
        match self.end_all((side, grace), &there).await {
            Err(failure) if !ends::is_away(&failure) => {
                self.note(format!(
                    "not all sessions of the {side} could be ended, and some may write to it although it is closed: {failure}"
                ));
                Ok(())
            }
            ended => ended,
        }
    }

    /// Ends sessions: idle ones at once, others as they become idle, and when their time is up in any case or, on the side that
    /// takes over, only if they have written or are in the way. There, one that may not be ended does not save the others, and
    /// the first such failure is returned.
    async fn end_all(
        &self,
        (side, grace): (Side, Duration),
        those: &[Stranger],
    ) -> Result<(), Failure> {
        let session = &self.ends.side(side).session;
        let hands_over = side == self.turn.from;
        let began = Instant::now();
        let mut told = false;
        let (mut refused, mut why): (Vec<Stranger>, Option<Failure>) = (Vec::new(), None);
        loop {
            let there = follow::strangers(session).await;
            let mut there = there.map_err(asking("looking for sessions that may still write"))?;
            there.retain(|one| one.is_among(those) && !one.is_among(&refused));
            // Sessions that we may not end come first, so that none is ended in vain before that is known.
            there.sort_by_key(|one| one.may_end);
            let out_of_grace = began.elapsed() >= grace;
            let only_some = !hands_over && out_of_grace;
            // Best effort: a session that is in the way can be waited for.
            let in_the_way = if only_some {
                follow::in_the_way(session).await.unwrap_or_default()
            } else {
                Vec::new()
            };
            let may_go_on = |one: &Stranger| {
                only_some && !one.idle && !one.has_written && !in_the_way.contains(&one.pid)
            };
            if there.iter().all(may_go_on) {
                self.name(
                    "sessions that only read are still at work",
                    side,
                    there.iter(),
                );
                return why.map_or(Ok(()), Err);
            }
            if !told && there.iter().any(|one| !one.idle) {
                told = true;
                let at_work = there.iter().filter(|one| !one.idle);
                self.name("waiting for transactions that are open", side, at_work);
            }
            for one in &there {
                if may_go_on(one) || !one.idle && !out_of_grace {
                    continue;
                }
                if let Err(error) = follow::end_session(session, one.pid).await {
                    let doing = format!("ending a session: {}", one.shown());
                    let failure = Failure::from(asking(&doing)(error));
                    // By then nobody can write to either side.
                    if hands_over {
                        return Err(failure);
                    }
                    why.get_or_insert(failure);
                    refused.push(one.clone());
                }
            }
            if began.elapsed() >= grace + ENDS_WITHIN {
                return Err(FollowError::Writers {
                    server: self.ends.side(side).endpoint.to_string(),
                    sessions: there.iter().map(Stranger::shown).collect(),
                }
                .into());
            }
            sleep(PAUSE).await;
        }
    }

    /// Names sessions of a side in a note; says nothing if there are none.
    fn name<'a>(&self, what: &str, side: Side, those: impl Iterator<Item = &'a Stranger>) {
        let named: Vec<String> = those.map(Stranger::shown).collect();
        if !named.is_empty() {
            self.note(format!("{what} on the {side}: {}", named.join("; ")));
        }
    }
}
