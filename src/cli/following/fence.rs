//! A side is closed to writers, and whoever was there before is ended.
//!
//! The setting counts for sessions that begin after it, so all others must go: those that are there, and those that were just being
//! opened and have read the setting before it was changed ([`Steps::await_those_who_come`]). What was prepared
//! meanwhile (two-phase) could still be committed, and is no session: then the side is opened again.
//!
//! Sessions are known one by one, by their process and when they began, and never by whether they began before some moment: a server's
//! clock may be set back meanwhile.
//!
//! **Who comes while a side is closed** can only read, for as long as his session lasts, also once the side is open again. A pool of
//! connections does not know that. So these sessions are ended when it is opened: idle ones at once, others as they become idle.
//!
//! **Whose fence it is** is written down with it. Whoever goes back opens the side only if nobody else has closed it since: a run that
//! has lost its claim, and does not know, must not open a side while another turns away from it.

use std::time::Duration;

use chrono::Utc;
use tokio::time::{Instant, sleep};

use super::ends::{self, run};
use super::steps::{ENDS_WITHIN, PAUSE, Steps, asking};
use crate::cli::inspect::Server;
use crate::failure::Failure;
use crate::follow::{self, FollowError, OursKind, SideRecord, Stranger};
use crate::model::{Happening, Side};

/// How long a session may take to be gone that was idle when it was ended.
const LEAVES_WITHIN: Duration = Duration::from_secs(2);

impl Steps<'_> {
    /// Who has closed the side that hands over, if somebody has: what is done from here on is about this fence.
    pub async fn learn_fence(&mut self) -> Result<(), Failure> {
        let record = self.record_of_from().await?;
        self.fences.extend(record.fence.and_then(|fence| fence.by));
        Ok(())
    }

    /// Nobody writes any more to the side that hands over.
    pub async fn fence(&mut self) -> Result<(), Failure> {
        // Should the answer to the first statement be lost, it may be ours or not.
        self.fences.push(self.mark.clone());
        let from = self.from();
        let (name, database) = (self.ahead(), from.facts.database.clone());
        let offers = follow::offers(&from.session)
            .await
            .map_err(asking("reading what the database is set to"))?;
        let record = self
            .record_of_from()
            .await?
            .closed(offers.read_only_setting, &self.mark)
            .without_logins(self.roles_to_keep_out().await?);
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
        // What others have committed without waiting for it is on disk with this.
        run(
            &self.from().session,
            &close,
            "closing the database to writers",
        )
        .await
    }

    /// Sessions that are just being opened: they may have read the settings before they were changed, and the server lists them only
    /// once they have.
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

    /// What was prepared before everybody was gone can be committed by whoever likes, also while the database is closed.
    async fn refuse_prepared(&self) -> Result<(), Failure> {
        let offers = follow::offers(&self.from().session)
            .await
            .map_err(asking("looking for prepared transactions"))?;
        if offers.prepared == 0 {
            return Ok(());
        }
        Err(FollowError::NotNow {
            what: format!(
                "{} transactions were prepared on the {} while it was being closed to writers, and could be committed at any time",
                offers.prepared, self.turn.from
            ),
            remedy: "Commit them or roll them back (pg_prepared_xacts), and run the same again."
                .to_owned(),
        }
        .into())
    }

    /// Opens the side that was in service again, unless somebody else has closed it meanwhile: nothing was written to the other one.
    pub async fn open_again(&mut self) -> Result<(), Failure> {
        let (from, ahead) = (self.from(), self.ahead());
        let record = self.record_of_from().await?;
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

    /// A side has been opened: sessions that began while it was closed are ended if they are idle. Best effort: what is open is open.
    pub async fn free_readers(&mut self, side: Side) {
        let known = async {
            self.await_those_who_come(side).await?;
            let there = follow::strangers(&self.ends.side(side).session).await;
            Ok::<_, Failure>(there.map_err(asking("listing sessions"))?)
        };
        match known.await {
            Ok(mut readers) => {
                // Whoever was there before the closing can write.
                readers.retain(|one| side == self.turn.to || !one.is_among(&self.writers));
                self.readers = self.end_idle(side, readers).await;
            }
            Err(failure) => self.note(format!(
                "sessions of the {side} that began while it was closed to writers can only read until they are opened anew; which these \
                 are could not be found out: {failure}"
            )),
        }
    }

    /// The same of those that were at work, as they become idle; those that do not are named.
    pub async fn free_last_readers(&mut self, side: Side) {
        let deadline = Instant::now() + self.args.grace.max(LEAVES_WITHIN);
        let mut readers = std::mem::take(&mut self.readers);
        // Of one that we may not look at, nobody could tell when it becomes idle.
        while readers.iter().any(|one| one.began.is_some()) && Instant::now() < deadline {
            sleep(PAUSE).await;
            readers = self.end_idle(side, readers).await;
        }
        if !readers.is_empty() {
            let named: Vec<String> = readers.iter().map(shown).collect();
            self.note(format!(
                "sessions of the {side} began while it was closed to writers, and can only read until they are opened anew: {}",
                named.join("; ")
            ));
        }
    }

    /// Ends those of the sessions that are idle, and says which are still there. One that may not be ended stays among them.
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

    /// What is written down of the side that hands over: on what it publishes.
    pub async fn record_of_from(&self) -> Result<SideRecord, Failure> {
        let (from, ahead) = (self.from(), self.ahead());
        let record = ends::record_on(&from.session, OursKind::Publication, &ahead).await?;
        Ok(record.unwrap_or_else(|| SideRecord::new(self.to().endpoint.to_string())))
    }

    /// Roles that were named and may still log in.
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

    /// A role that is not there, or whose login is needed, is wrong usage.
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
        let doing = || asking("looking for sessions that may still write");
        // Whoever comes later can only read.
        let there = follow::strangers(&self.from().session).await;
        self.writers = there.map_err(doing())?;
        let session = &self.from().session;
        let began = Instant::now();
        let mut told = false;
        loop {
            let mut writers = follow::strangers(session).await.map_err(doing())?;
            writers.retain(|one| one.is_among(&self.writers));
            if writers.is_empty() {
                return Ok(());
            }
            let out_of_grace = began.elapsed() >= self.args.grace;
            let at_work: Vec<&Stranger> = writers.iter().filter(|one| !one.idle).collect();
            if !at_work.is_empty() && !told {
                told = true;
                let named: Vec<String> = at_work.iter().map(|one| shown(one)).collect();
                self.note(format!(
                    "waiting for transactions that are open: {}",
                    named.join("; ")
                ));
            }
            for writer in writers.iter().filter(|one| one.idle || out_of_grace) {
                follow::end_session(session, writer.pid)
                    .await
                    .map_err(asking(&format!("ending a session: {}", shown(writer))))?;
            }
            if began.elapsed() >= self.args.grace + ENDS_WITHIN {
                return Err(FollowError::Writers {
                    server: self.from().endpoint.to_string(),
                    sessions: writers.iter().map(shown).collect(),
                }
                .into());
            }
            sleep(PAUSE).await;
        }
    }
}

fn shown(session: &Stranger) -> String {
    let since = session.transaction_s.map_or_else(String::new, |seconds| {
        format!(", transaction open for {seconds:.0} s")
    });
    format!(
        "pid {} ({}), role {}{since}",
        session.pid, session.application, session.role
    )
}
