//! What makes a good copy slow or wrong after cut-over, although every row is the same: planner statistics that are missing,
//! settings that were not brought along, another locale; and what goes on writing into it.
//!
//! None of it is a difference between what the databases hold, so none of it is one in the report: each is a finding with its
//! remedy. Reading needs no rights that an owner has not; what a server refuses to tell is named, and the rest still told.
//!
//! | file | what is compared |
//! |---|---|
//! | `settings` | what sessions begin with, and what the server loads and does |
//! | `groups` | settings that are only compared, and what it means that they differ |
//! | `sessions` | what is set for the database and for roles |
//! | `spelling` | whether two values of a setting mean the same |
//! | `locale` | encodings, locales, versions of collations |
//! | `statistics` | the planner's statistics |
//! | `subscriptions` | those that are enabled |

mod groups;
mod locale;
mod sessions;
mod settings;
mod spelling;
mod statistics;
mod subscriptions;

use crate::catalog::{self, VersionedQuery};
use crate::model::{Finding, rule};
use crate::pg::{Answer, PgError, Query, Session};

use super::attempt::{attempt, attempt_outside};
use super::{Scope, some_of};

pub use locale::Locale;
pub use sessions::RoleSetting;
pub use settings::Setting;
pub use statistics::{ExtendedStatistics, Statistics};
pub use subscriptions::Subscription;

use subscriptions::Replicated;

macro_rules! queries {
    ($($name:ident = $file:literal $(, up to $last:literal = $older:literal)?;)*) => {
        $(pub(super) const $name: VersionedQuery = VersionedQuery {
            newest: Query::new($file, include_str!(concat!("../../../sql/verify/", $file))),
            older: queries!(@older $($last, $older)?),
        };)*
    };
    (@older) => { None };
    (@older $last:literal, $older:literal) => {
        Some(($last, Query::new($older, include_str!(concat!("../../../sql/verify/", $older)))))
    };
}

queries! {
    RECOVERY = "recovery.sql";
    LOCALES = "locales.sql", up to 14 = "locales.14.sql";
    SETTINGS = "settings.sql";
    ROLE_SETTINGS = "role_settings.sql";
    REPLICATION = "replication.sql";
    STATISTICS = "statistics.sql";
    EXTENDED_STATISTICS = "extended_statistics.sql", up to 11 = "extended_statistics.11.sql";
}

/// What is looked at on one side.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Readiness {
    /// The major version of the server.
    pub major: u32,
    /// Whether it is a standby.
    pub in_recovery: bool,
    /// Locales: the database's own, and those of the collations in use.
    pub locales: Vec<Locale>,
    /// What a session begins with.
    pub settings: Vec<Setting>,
    /// What is set on the database, and on roles.
    pub role_settings: Vec<RoleSetting>,
    /// The roles that there are.
    pub roles: Vec<String>,
    /// The application's subscriptions.
    pub subscriptions: Vec<Subscription>,
    /// Whether pgconvoy has made it follow another database, or be followed.
    pub in_follow: bool,
    /// Planner statistics.
    pub statistics: Vec<Statistics>,
    /// Extended statistics.
    pub extended: Vec<ExtendedStatistics>,
    /// What the server refused to tell, and why.
    pub refused: Vec<(String, String)>,
}

impl Readiness {
    /// Reads it. Only a lost connection is an error.
    pub async fn read(session: &Session) -> Result<Self, PgError> {
        Self::read_all(session, true).await
    }

    /// The same on a session that is in no transaction.
    pub async fn read_outside(session: &Session) -> Result<Self, PgError> {
        Self::read_all(session, false).await
    }

    async fn read_all(session: &Session, may_be_in_transaction: bool) -> Result<Self, PgError> {
        let mut begins = Self::read_settings(session, may_be_in_transaction).await?;
        let mut reading = Reading {
            session,
            may_be_in_transaction,
            refused: &mut begins.refused,
        };
        let in_recovery = reading
            .of("whether it is a standby", &RECOVERY, |row| {
                row.get::<bool>("in_recovery")
            })
            .await?;
        let locales = reading
            .of("the locales", &LOCALES, Locale::from_answer)
            .await?;
        let statistics = reading
            .of("planner statistics", &STATISTICS, Statistics::from_answer)
            .await?;
        let extended = reading
            .of(
                "extended statistics",
                &EXTENDED_STATISTICS,
                ExtendedStatistics::from_answer,
            )
            .await?;
        Ok(Self {
            in_recovery: in_recovery.contains(&true),
            locales,
            statistics,
            extended,
            ..begins
        })
    }

    /// What sessions begin with, where that is set, and what decides whether it is meant; nothing else.
    async fn read_settings(
        session: &Session,
        may_be_in_transaction: bool,
    ) -> Result<Self, PgError> {
        let mut refused = Vec::new();
        let mut reading = Reading {
            session,
            may_be_in_transaction,
            refused: &mut refused,
        };
        let replication = reading
            .of("subscriptions", &REPLICATION, Replicated::from_answer)
            .await?;
        Ok(Self {
            major: session.version().major(),
            settings: reading
                .of("the settings", &SETTINGS, Setting::from_answer)
                .await?,
            role_settings: reading
                .of(
                    "settings of the database and of roles",
                    &ROLE_SETTINGS,
                    RoleSetting::from_answer,
                )
                .await?,
            roles: catalog::roles(session).await?,
            in_follow: replication.iter().any(Replicated::is_ours),
            subscriptions: replication
                .into_iter()
                .filter_map(Replicated::subscription)
                .collect(),
            refused,
            ..Self::default()
        })
    }
}

/// What is set for the source's database, and for roles in it, and not on the target, so that sessions begin otherwise there: the list
/// of `database-settings`. Values are there only of settings that cannot hold a secret.
#[derive(Debug, Clone, Default)]
pub struct SettingsLacking {
    /// Each, as it is told.
    pub settings: Vec<String>,
    /// That a server did not tell all of it.
    pub refused: Vec<Finding>,
}

impl SettingsLacking {
    /// Reads them, on sessions that are in no transaction.
    pub async fn read(source: &Session, target: &Session) -> Result<Self, PgError> {
        let (source, target) = tokio::try_join!(
            biased;
            Readiness::read_settings(source, false),
            Readiness::read_settings(target, false),
        )?;
        Ok(Self {
            settings: sessions::lacking_in_database(&source, &target),
            refused: refusals(&source, &target),
        })
    }
}

struct Reading<'a> {
    session: &'a Session,
    may_be_in_transaction: bool,
    refused: &'a mut Vec<(String, String)>,
}

impl Reading<'_> {
    async fn of<T>(
        &mut self,
        what: &str,
        query: &VersionedQuery,
        read: impl Fn(&Answer) -> Result<T, PgError>,
    ) -> Result<Vec<T>, PgError> {
        let answer = if self.may_be_in_transaction {
            attempt(self.session, query).await?
        } else {
            attempt_outside(self.session, query).await?
        };
        match answer {
            Ok(rows) => rows.iter().map(read).collect(),
            Err(error) => {
                self.refused.push((what.to_owned(), error.to_string()));
                Ok(Vec::new())
            }
        }
    }
}

/// What a person should know before the application is pointed to the target; warnings first.
pub fn findings(source: &Readiness, target: &Readiness, scope: &Scope) -> Vec<Finding> {
    let mut findings = statistics::findings(source, target, scope);
    findings.extend(locale::findings(source, target));
    findings.extend(settings::findings(source, target));
    findings.extend(subscriptions::findings(source, target));
    findings.extend(refusals(source, target));
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

/// What can be told of both servers before there is a copy: everything but statistics. A database that is yet to be created gets the
/// source's encoding, locale and settings.
pub fn outlook(source: &Readiness, target: &Readiness, to_be_created: bool) -> Vec<Finding> {
    // Of the source's own health, because the copy is made from it.
    let mut findings: Vec<Finding> = locale::outdated_on_source(source).into_iter().collect();
    if to_be_created {
        let [source, target] = sessions::without_databases(source, target);
        findings.extend(settings::findings(&source, &target));
    } else {
        findings.extend(locale::findings(source, target));
        findings.extend(settings::findings(source, target));
    }
    findings.extend(settings::libraries_unknown(source, target));
    findings.extend(refusals(source, target));
    findings
}

fn refusals(source: &Readiness, target: &Readiness) -> Vec<Finding> {
    let said = |side: &str, readiness: &Readiness| {
        let refused = readiness.refused.iter();
        let said = refused.map(|(what, why)| format!("{what} on the {side} ({why})"));
        said.collect::<Vec<_>>()
    };
    let refused = [said("source", source), said("target", target)].concat();
    if refused.is_empty() {
        return Vec::new();
    }
    vec![Finding::note(
        rule::NOT_LOOKED_AT,
        format!("could not be looked at: {}", some_of(&refused)),
        "These were not checked. To check them, run `pgconvoy verify` as a role that may read them.",
    )]
}
