//! A side is closed to writers, and whoever was there before is ended.
//!
//! The setting counts for sessions that begin after it, so all others must go: those that are there, and those that were just being
//! opened and have read the setting before it was changed ([`Steps::await_those_who_come`]). What was prepared
//! meanwhile (two-phase) could still be committed, and is no session: then the side is opened again.
//!
//! **Whose fence it is** is written down with it. Whoever goes back opens the side only if nobody else has closed it since: a run that
//! has lost its claim, and does not know, must not open a side while another turns away from it.

use chrono::Utc;
use tokio::time::{Instant, sleep};

use super::ends::{self, run};
use super::steps::{ENDS_WITHIN, PAUSE, Steps, asking};
use crate::cli::inspect::Server;
use crate::failure::Failure;
use crate::follow::{self, FollowError, OursKind, SideRecord, Writer};
use crate::model::Happening;

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
        let close = follow::fence(&name, &database, &record);
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
        self.await_those_who_come().await?;
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
    async fn await_those_who_come(&self) -> Result<(), Failure> {
        let session = &self.from().session;
        let doing = || asking("looking for sessions that are being opened");
        let mut coming = follow::connecting(session).await.map_err(doing())?;
        let deadline = Instant::now() + ENDS_WITHIN;
        while !coming.is_empty() {
            if Instant::now() >= deadline {
                return Err(FollowError::Writers {
                    server: self.from().endpoint.to_string(),
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
    pub async fn open_again(&self) -> Result<(), Failure> {
        let (from, ahead) = (self.from(), self.ahead());
        let record = self.record_of_from().await?;
        let objects = [("publication", &ahead)];
        let is_closed = record.fence.is_some();
        let guard = is_closed.then(|| follow::still_fenced_by(&ahead, &self.fences));
        let sql = follow::open(&objects, &from.facts.database, &record, guard.as_deref());
        run(&from.session, &sql, "opening the database to writers").await
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

    async fn end_writers(&self) -> Result<(), Failure> {
        let session = &self.from().session;
        let doing = || asking("looking for sessions that may still write");
        let moment = session
            .texts("select pg_catalog.clock_timestamp()::text")
            .await
            .map_err(doing())?
            .pop()
            .unwrap_or_default();
        let began = Instant::now();
        let mut told = false;
        loop {
            let writers = follow::writers(session, &moment).await.map_err(doing())?;
            if writers.is_empty() {
                return Ok(());
            }
            let out_of_grace = began.elapsed() >= self.args.grace;
            let at_work: Vec<&Writer> = writers.iter().filter(|writer| !writer.idle).collect();
            if !at_work.is_empty() && !told {
                told = true;
                let named: Vec<String> = at_work.iter().map(|writer| shown(writer)).collect();
                self.note(format!(
                    "waiting for transactions that are open: {}",
                    named.join("; ")
                ));
            }
            for writer in writers.iter().filter(|writer| writer.idle || out_of_grace) {
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

fn shown(writer: &Writer) -> String {
    let since = writer.transaction_s.map_or_else(String::new, |seconds| {
        format!(", transaction open for {seconds:.0} s")
    });
    format!(
        "pid {} ({}), role {}{since}",
        writer.pid, writer.application, writer.role
    )
}
