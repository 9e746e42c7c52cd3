//! A connection string as it is written down for a later session, without a secret: as `PG*` variables, and as keywords where libpq has
//! no variable.
//!
//! Variables, because they say all that was resolved (also from a service file, and from the environment of that day), and
//! because what reads them is there already.

use std::collections::BTreeMap;
use std::path::{self, Path};

use super::keywords::KEYWORDS;
use super::{Conninfo, ConninfoError, Environment, HostTarget, Place, SESSION_ATTRS};
use crate::pg::pgpass;

const PASSFILE: &str = "PGPASSFILE";
/// Where passwords come from, on the day.
const SECRETS: [&str; 2] = ["PGPASSWORD", PASSFILE];
/// What a password file may be recorded as; there are records that have the keyword.
const PASSWORD_FILES: [&str; 2] = [PASSFILE, "passfile"];

/// Files and directories of this machine, which a later session may look for from elsewhere.
const PATHS: [&str; 6] = [
    PASSFILE,
    "PGSSLCERT",
    "PGSSLCRL",
    "PGSSLCRLDIR",
    "PGSSLKEY",
    "PGSSLROOTCERT",
];
/// `sslrootcert=system` is no file.
const NO_FILE: &str = "system";

impl Conninfo {
    /// What a later session needs to find the same database on the same host, and to connect to it in the same way. No password: that is
    /// looked up anew, in the file that was named; and nothing by which one of several hosts is chosen: it may be a database that is closed to
    /// writers by then.
    pub fn record(&self, host: &HostTarget) -> BTreeMap<String, String> {
        let mut record = self.place(host);
        let later = self.later_settings.iter();
        record.extend(later.map(|(name, value)| ((*name).to_owned(), value.clone())));
        for (name, value) in &mut record {
            if PATHS.contains(&name.as_str())
                && value.as_str() != NO_FILE
                && let Ok(absolute) = path::absolute(&*value)
            {
                *value = absolute.display().to_string();
            }
        }
        record
    }

    /// Where the database is, and what is asked of the connection, as variables.
    fn place(&self, host: &HostTarget) -> BTreeMap<String, String> {
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
            // An address that was given says where to connect, and the name whose certificate it must be. A name alone may lead elsewhere by
            // then, as it should.
            Place::Tcp { host, address } => {
                if let Some(host) = host {
                    set("PGHOST", host.clone());
                }
                if let Some(address) = address {
                    set("PGHOSTADDR", address.to_string());
                }
            }
        }
        set("PGPORT", host.port.to_string());
        set("PGUSER", self.user.clone());
        set("PGDATABASE", self.database.clone());
        set("PGSSLMODE", self.tls.mode.to_string());
        record
    }

    /// For another server that is to connect to the same by itself: keyword=value pairs as libpq takes them, with the password.
    pub fn for_another_server(&self, host: &HostTarget) -> String {
        let record = self.place(host);
        let known = KEYWORDS.iter().filter_map(|keyword| {
            let value = record.get(keyword.variable?)?;
            // Its own name says more.
            (keyword.name != "application_name").then(|| pair(keyword.name, value))
        });
        let password = host.password.as_ref();
        let password = password.map(|password| pair("password", password.expose()));
        known.chain(password).collect::<Vec<_>>().join(" ")
    }

    /// From what [`Conninfo::record`] wrote down, with the passwords and the home directory of this day. The password file of then is the
    /// one if no other is named now and it can be used here: on another machine, or for another user, `~/.pgpass` has what it had.
    pub fn from_record(
        record: &BTreeMap<String, String>,
        environment: &Environment,
    ) -> Result<Self, ConninfoError> {
        let other = environment.non_empty(PASSFILE);
        let mut record = record.clone();
        record.retain(|name, value| {
            let is_passfile = PASSWORD_FILES.contains(&name.as_str());
            !is_passfile || (other.is_none() && pgpass::is_usable(Path::new(value.as_str())))
        });
        let keywords = KEYWORDS.iter();
        let keywords =
            keywords.filter_map(|keyword| Some(pair(keyword.name, record.get(keyword.name)?)));
        let keywords: Vec<String> = keywords.collect();
        let secrets = SECRETS
            .iter()
            .filter_map(|name| Some((*name, environment.non_empty(name)?)));
        let secrets = secrets.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut then = Environment::new(record.into_iter().chain(secrets));
        if let Some(home) = environment.home() {
            then = then.with_home(home);
        }
        if let Some(user) = environment.os_user() {
            then = then.with_os_user(user);
        }
        Self::resolve(&keywords.join(" "), &then)
    }
}

/// As libpq reads it, whatever the value is.
fn pair(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('\'', "\\'");
    format!("{name}='{value}'")
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::Password;
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

    /// A path as the later session needs it: it may be started from anywhere.
    #[test]
    fn a_record_holds_what_the_line_needs_and_where_the_files_are() {
        let environment = Environment::new([("PGSSLROOTCERT", "system")])
            .with_home("/nonexistent")
            .with_os_user("me");
        let text = "host=db.example hostaddr=192.0.2.7 sslmode=verify-full passfile=secret/pass sslcert=me.crt connect_timeout=60 \
                    keepalives=0 keepalives_idle=7 keepalives_interval=8 keepalives_count=9 tcp_user_timeout=900000 load_balance_hosts=random";
        let conninfo = Conninfo::resolve(text, &environment).expect("resolves");
        let record = conninfo.record(&conninfo.hosts[0]);
        let here = std::env::current_dir().expect("a directory");
        let path = |name: &str| here.join(name).display().to_string();
        assert_eq!(record["PGPASSFILE"], path("secret/pass"));
        assert_eq!(record["PGSSLCERT"], path("me.crt"));
        assert_eq!(record["PGSSLROOTCERT"], "system");
        let other = Environment::new([("PGPASSFILE", "/of/another/day"), ("PGHOSTADDR", "::1")])
            .with_home("/nonexistent")
            .with_os_user("you");
        let again = Conninfo::from_record(&record, &other).expect("resolves");
        assert_eq!(again.hosts[0].place, conninfo.hosts[0].place);
        assert_eq!(again.connect_timeout, conninfo.connect_timeout);
        assert_eq!(again.tcp, conninfo.tcp);
        assert_eq!(again.load_balance, conninfo.load_balance);
        let mut later = again.record(&again.hosts[0]);
        let named = later.insert("PGPASSFILE".to_owned(), path("secret/pass"));
        assert_eq!(named.as_deref(), Some("/of/another/day"));
        assert_eq!(later, record);
    }

    /// Somebody else may go on with it, elsewhere, with passwords of their own.
    #[test]
    fn the_password_file_of_then_counts_if_no_other_is_named_and_it_can_be_used() {
        let dir = tempfile::tempdir().expect("a directory");
        let write = |name: &str, mode| {
            let path = dir.path().join(name);
            fs::write(&path, format!("*:*:*:*:{name}\n")).expect("written");
            fs::set_permissions(&path, Permissions::from_mode(mode)).expect("permitted");
            path.display().to_string()
        };
        let (then, now) = (write("then", 0o600), write("now", 0o600));
        let open = write("open", 0o644);
        write(".pgpass", 0o600);
        let gone = dir.path().join("gone").display().to_string();
        let none = Environment::default()
            .with_home(dir.path())
            .with_os_user("me");
        let named = Environment::new([("PGPASSFILE", now)])
            .with_home(dir.path())
            .with_os_user("me");
        for (file, day, found) in [
            (then.as_str(), &none, Some("then")),
            (then.as_str(), &named, Some("now")),
            (open.as_str(), &none, Some(".pgpass")),
            (gone.as_str(), &none, Some(".pgpass")),
            (gone.as_str(), &named, Some("now")),
            ("/dev/null", &none, None),
        ] {
            let text = format!("host=db passfile='{file}'");
            let conninfo = Conninfo::resolve(&text, &none).expect("resolves");
            let record = conninfo.record(&conninfo.hosts[0]);
            let mut by_keyword = record.clone();
            let path = by_keyword.remove("PGPASSFILE").expect("it is recorded");
            by_keyword.insert("passfile".to_owned(), path);
            for record in [record, by_keyword] {
                let again = Conninfo::from_record(&record, day).expect("resolves");
                let password = again.hosts[0].password.as_ref();
                assert_eq!(password.map(Password::expose), found, "{record:?}");
            }
        }
    }

    /// The name may lead it to another machine.
    #[test]
    fn another_server_is_told_the_address_and_no_file_of_ours() {
        let environment = Environment::default().with_os_user("me");
        let text = "host=db.example hostaddr=192.0.2.7 passfile=/ours sslrootcert=theirs.crt tcp_user_timeout=5000 connect_timeout=60";
        let conninfo = Conninfo::resolve(text, &environment).expect("resolves");
        let text = conninfo.for_another_server(&conninfo.hosts[0]);
        assert!(
            text.contains("host='db.example' hostaddr='192.0.2.7'"),
            "{text}"
        );
        assert!(text.contains("sslrootcert='theirs.crt'"), "{text}");
        // An older server's libpq does not know all of them.
        for left_out in ["passfile", "tcp_user_timeout", "connect_timeout"] {
            assert!(!text.contains(left_out), "{text}");
        }
    }
}
