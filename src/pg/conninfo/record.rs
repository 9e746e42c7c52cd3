//! A connection string as it is written down for a later session, without a secret: as `PG*` variables.
//!
//! Variables, because they say all that was resolved (also from a service file, and from the environment of that day), and
//! because what reads them is there already.

use std::collections::BTreeMap;

use super::keywords::KEYWORDS;
use super::{Conninfo, ConninfoError, Environment, HostTarget, Place, SESSION_ATTRS};

/// Where passwords come from, on the day.
const SECRETS: [&str; 2] = ["PGPASSWORD", "PGPASSFILE"];

impl Conninfo {
    /// What a later session needs to find the same database on the same host. No password: that is looked up anew; and nothing by
    /// which a host is chosen: it may be a database that is closed to writers by then.
    pub fn record(&self, host: &HostTarget) -> BTreeMap<String, String> {
        let mut record: BTreeMap<String, String> = self
            .child_settings
            .iter()
            .filter(|(name, _)| !SECRETS.contains(name) && *name != SESSION_ATTRS)
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect();
        let mut set = |name: &str, value: String| record.insert(name.to_owned(), value);
        match &host.place {
            Place::Unix { directory } => {
                set("PGHOST", directory.display().to_string());
            }
            // An address may have been given instead of a name; a name may lead elsewhere by then, as it should.
            Place::Tcp {
                host: Some(host), ..
            } => {
                set("PGHOST", host.clone());
            }
            Place::Tcp {
                address: Some(address),
                ..
            } => {
                set("PGHOSTADDR", address.to_string());
            }
            Place::Tcp { .. } => {}
        }
        set("PGPORT", host.port.to_string());
        set("PGUSER", self.user.clone());
        set("PGDATABASE", self.database.clone());
        set("PGSSLMODE", self.tls.mode.to_string());
        record
    }

    /// For another server that is to connect to the same by itself: keyword=value pairs as libpq takes them, with the password.
    pub fn for_another_server(&self, host: &HostTarget) -> String {
        let record = self.record(host);
        let pair = |name: &str, value: &str| {
            let value = value.replace('\\', "\\\\").replace('\'', "\\'");
            format!("{name}='{value}'")
        };
        let known = KEYWORDS.iter().filter_map(|keyword| {
            let value = record.get(keyword.variable?)?;
            // Its own name says more.
            (keyword.name != "application_name").then(|| pair(keyword.name, value))
        });
        let password = host.password.as_ref();
        let password = password.map(|password| pair("password", password.expose()));
        known.chain(password).collect::<Vec<_>>().join(" ")
    }

    /// From what [`Conninfo::record`] wrote down, with the passwords and the home directory of this day.
    pub fn from_record(
        record: &BTreeMap<String, String>,
        environment: &Environment,
    ) -> Result<Self, ConninfoError> {
        let secrets = SECRETS
            .iter()
            .filter_map(|name| Some((*name, environment.non_empty(name)?)));
        let secrets = secrets.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut then = Environment::new(record.clone().into_iter().chain(secrets));
        if let Some(home) = environment.home() {
            then = then.with_home(home);
        }
        if let Some(user) = environment.os_user() {
            then = then.with_os_user(user);
        }
        Self::resolve("", &then)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_server_is_told_all_that_it_needs() {
        let environment = Environment::default().with_os_user("me");
        let text = r"host=db port=5433 dbname='my shop' user=app password='it\'s' sslmode=require application_name=x target_session_attrs=read-write";
        let conninfo = Conninfo::resolve(text, &environment).expect("resolves");
        let text = conninfo.for_another_server(&conninfo.hosts[0]);
        for left_out in ["application_name", "target_session_attrs"] {
            assert!(!text.contains(left_out), "{text}");
        }
        let nothing = Environment::default().with_os_user("postgres");
        let again = Conninfo::resolve(&text, &nothing).expect("resolves");
        assert_eq!(again.to_string(), conninfo.to_string());
        assert_eq!(again.hosts[0].password, conninfo.hosts[0].password);
        assert_eq!(again.tls.mode, conninfo.tls.mode);
    }

    #[test]
    fn a_record_leads_to_the_same_place_and_holds_no_password() {
        let environment = Environment::new([("PGSSLROOTCERT", "/ca.pem"), ("PGUSER", "app")])
            .with_home("/nonexistent")
            .with_os_user("me");
        let text = "host=db.example port=5433 dbname=shop password=secret sslmode=verify-full options='-c geqo=off'";
        let conninfo = Conninfo::resolve(text, &environment).expect("resolves");
        let record = conninfo.record(&conninfo.hosts[0]);
        assert!(
            !record.values().any(|value| value.contains("secret")),
            "{record:?}"
        );
        let elsewhere = Environment::new([("PGPASSWORD", "other"), ("PGHOST", "wrong")])
            .with_home("/nonexistent")
            .with_os_user("you");
        let again = Conninfo::from_record(&record, &elsewhere).expect("resolves");
        assert_eq!(again.to_string(), conninfo.to_string());
        assert_eq!(again.tls, conninfo.tls);
        assert_eq!(again.options, conninfo.options);
        assert!(again.hosts[0].password.is_some());
    }
}
