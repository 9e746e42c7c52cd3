//! From a connection string to everything that is needed to connect, with libpq's conventions.
//!
//! ```text
//!   text ──parse──► settings ┐
//!   service file ────────────┤
//!   PG* variables ───────────┼─► layers ──► Conninfo { hosts, user, database, tls, … }
//!   password file ───────────┘
//! ```
//!
//! The process's environment comes in as a value ([`Environment`]). Only the service file and the password file are
//! read here; certificates are read when TLS is prepared. What libpq knows and we cannot honour is refused by name.
//!
//! | file | |
//! |---|---|
//! | `parse` | text → settings: a URI, or `keyword=value` |
//! | `keywords` | those that libpq knows, and what becomes of each |
//! | `environment`, `layers` | what the process inherits; where a setting comes from, and what it goes before |
//! | `values`, `hosts` | settings that are one of a few words; the hosts, one by one |
//! | `password` | a secret that cannot be printed by accident |
//! | `record` | a connection string as it is written down for a later session |
//! | `error` | what can be wrong with one |

mod environment;
mod error;
mod hosts;
mod keywords;
mod layers;
mod parse;
mod password;
mod record;
mod values;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

pub use environment::Environment;
pub use error::{ConninfoError, Layer, Origin, ParseError};
pub use hosts::{HostTarget, Place};
pub use password::Password;
pub use values::{
    ChannelBinding, LoadBalance, ServerState, SslMode, SslNegotiation, TargetSessionAttrs,
    TlsVersion,
};

use crate::model::Endpoint;
use layers::Layers;

/// How long one host may take to answer and to let us in, unless `connect_timeout` says otherwise. libpq waits for ever;
/// a run that is started and left alone must not.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Which of several hosts will do, as a variable.
const SESSION_ATTRS: &str = "PGTARGETSESSIONATTRS";

/// A connection string, resolved: nothing is left to look up but names and certificates.
#[derive(Debug, Clone)]
pub struct Conninfo {
    /// Where to connect, in the order to try; never empty.
    pub hosts: Vec<HostTarget>,
    /// Role.
    pub user: String,
    /// Database.
    pub database: String,
    /// How long one host may take; `None` is without limit.
    pub connect_timeout: Option<Duration>,
    /// `application_name`, or `fallback_application_name`.
    pub application_name: Option<String>,
    /// `options`: command-line options for the server process, such as `-c work_mem=64MB`.
    pub options: Option<String>,
    /// TCP's own watch over the connection.
    pub tcp: TcpSettings,
    /// Encryption.
    pub tls: TlsSettings,
    /// Whether SCRAM is bound to the server's certificate.
    pub channel_binding: ChannelBinding,
    /// Which of several hosts will do.
    pub target_session_attrs: TargetSessionAttrs,
    /// In which order hosts are tried.
    pub load_balance: LoadBalance,
    /// The operating system's user that the server must run as, on a Unix socket.
    pub require_peer: Option<String>,
    /// What a client program must be told in its environment besides host, port, user, database, sslmode, time limit
    /// and password: `PG*` variables and their values.
    pub(super) child_settings: Vec<(&'static str, String)>,
    /// What only a later session of ours must be told: `PG*` variables, or keywords, and their values.
    later_settings: Vec<(&'static str, String)>,
    /// What a person should be told, such as a password file that was ignored.
    pub warnings: Vec<String>,
}

/// How TCP watches over a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpSettings {
    /// Whether keepalives are sent.
    pub keepalives: bool,
    /// Silence before the first keepalive; `None` is the system's default.
    pub idle: Option<Duration>,
    /// Time between keepalives; `None` is the system's default.
    pub interval: Option<Duration>,
    /// Unanswered keepalives before the connection is given up; `None` is the system's default.
    pub count: Option<u32>,
    /// How long sent data may stay unacknowledged; `None` is the system's default.
    pub user_timeout: Option<Duration>,
}

/// What holds where nothing is said, on both ends of a connection: whoever does not answer for two minutes is gone. libpq
/// and the server leave it to the system, which waits for two hours. Not much less, because a network that freezes for a
/// minute is a nuisance, and a snapshot that is lost is hours of work.
impl Default for TcpSettings {
    fn default() -> Self {
        Self {
            keepalives: true,
            idle: Some(Duration::from_secs(30)),
            interval: Some(Duration::from_secs(10)),
            count: Some(9),
            user_timeout: Some(Duration::from_secs(120)),
        }
    }
}

/// As a connection string says it.
impl fmt::Display for TcpSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 0 is the system's default.
        let seconds = |length: Option<Duration>| length.unwrap_or_default().as_secs();
        write!(
            f,
            "keepalives={} keepalives_idle={} keepalives_interval={} keepalives_count={} tcp_user_timeout={}",
            u8::from(self.keepalives),
            seconds(self.idle),
            seconds(self.interval),
            self.count.unwrap_or_default(),
            self.user_timeout.unwrap_or_default().as_millis()
        )
    }
}

/// What is asked of TLS. Files are named here and read by [`super::tls`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// Whether to encrypt, and what to check.
    pub mode: SslMode,
    /// How encryption begins.
    pub negotiation: SslNegotiation,
    /// The roots that the server's certificate must lead to.
    pub root: RootSource,
    /// Client certificate chain; `None` is none.
    pub certificate: Option<OwnFile>,
    /// Key of the client certificate.
    pub key: Option<OwnFile>,
    /// Revoked certificates.
    pub crl: Option<OwnFile>,
    /// A directory of files with revoked certificates.
    pub crl_dir: Option<PathBuf>,
    /// Whether the host's name is sent in clear when the handshake begins.
    pub sni: bool,
    /// Oldest version of TLS.
    pub min_version: TlsVersion,
    /// Newest version of TLS.
    pub max_version: TlsVersion,
}

/// Where root certificates come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootSource {
    /// The operating system's (`sslrootcert=system`).
    System,
    /// A file.
    File(OwnFile),
    /// Nowhere: there is no home directory to look in.
    None,
}

/// A file that was named, or one that is used if it is in `~/.postgresql`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnFile {
    /// Its path.
    pub path: PathBuf,
    /// Whether somebody asked for it: then it is an error if it does not exist.
    pub named: bool,
}

impl Conninfo {
    /// Resolves a connection string: URI, `keyword=value`, or a plain database name; empty for the defaults.
    pub fn resolve(text: &str, environment: &Environment) -> Result<Self, ConninfoError> {
        let layers = Layers::new(parse::parse(text)?, environment)?;
        let user = layers
            .text("user")
            .or(environment.os_user())
            .ok_or(ConninfoError::NoUser)?
            .to_owned();
        let database = layers.text("dbname").unwrap_or(&user).to_owned();
        let mut hosts = hosts::resolve(&layers)?;
        let warnings = hosts::find_passwords(
            &mut hosts,
            hosts::Login {
                user: &user,
                database: &database,
            },
            &layers,
            environment,
        );
        let tls = tls_settings(&layers, environment)?;
        if tls.mode == SslMode::VerifyFull
            && let Some(host) = hosts.iter().find(|host| host.is_nameless_address())
        {
            return Err(ConninfoError::Conflict(format!(
                "sslmode verify-full checks the host's name, but only hostaddr is given ({host}): give host as well"
            )));
        }
        Ok(Self {
            hosts,
            user,
            database,
            connect_timeout: layers.duration(
                "connect_timeout",
                Duration::from_secs(1),
                Some(DEFAULT_CONNECT_TIMEOUT),
            )?,
            application_name: layers
                .text("application_name")
                .or(layers.text("fallback_application_name"))
                .map(str::to_owned),
            options: layers.text("options").map(str::to_owned),
            tcp: tcp_settings(&layers)?,
            tls,
            channel_binding: layers
                .word(
                    "channel_binding",
                    ChannelBinding::from_word,
                    values::CHANNEL_BINDINGS,
                )?
                .unwrap_or(ChannelBinding::Prefer),
            target_session_attrs: layers
                .word(
                    "target_session_attrs",
                    TargetSessionAttrs::from_word,
                    values::SESSION_ATTRS,
                )?
                .unwrap_or(TargetSessionAttrs::Any),
            load_balance: layers
                .word(
                    "load_balance_hosts",
                    LoadBalance::from_word,
                    values::LOAD_BALANCE,
                )?
                .unwrap_or(LoadBalance::Disable),
            require_peer: layers.text("requirepeer").map(str::to_owned),
            child_settings: layers.child_settings(),
            later_settings: layers.later_settings(),
            warnings,
        })
    }

    /// The same with this password for every host, as if it had been in the connection string.
    #[must_use]
    pub fn with_password(mut self, password: &Password) -> Self {
        for host in &mut self.hosts {
            host.password = Some(password.clone());
        }
        self
    }

    /// The same with one more option for the server process, also where client programs connect: `-c name=value`.
    #[must_use]
    pub fn with_option(mut self, option: &str) -> Self {
        let added = |before: &str| format!("{before} {option}").trim_start().to_owned();
        self.options = Some(added(self.options.as_deref().unwrap_or_default()));
        let of_programs = self.child_settings.iter_mut();
        match of_programs
            .into_iter()
            .find(|(name, _)| *name == "PGOPTIONS")
        {
            Some((_, options)) => *options = added(options),
            None => self.child_settings.push(("PGOPTIONS", option.to_owned())),
        }
        self
    }

    /// The same, but with another database: for `--create`, which connects to `postgres` first.
    ///
    /// Passwords that came from a password file are kept, although its entries may name a database.
    #[must_use]
    pub fn with_database(mut self, database: impl Into<String>) -> Self {
        self.database = database.into();
        self
    }

    /// The same, but with one host only: sessions of one run must all be on the server that the first one found. It was chosen, and
    /// stays the one as a database that is closed to writers meanwhile, too; but not as a server that has become a standby.
    #[must_use]
    pub fn pinned_to(mut self, host: &HostTarget) -> Self {
        self.hosts = vec![host.clone()];
        let attrs = match self.target_session_attrs {
            TargetSessionAttrs::ReadWrite => TargetSessionAttrs::Primary,
            TargetSessionAttrs::PreferStandby => TargetSessionAttrs::Any,
            same => same,
        };
        self.with_session_attrs(attrs)
    }

    /// The same for a database that may be closed to writers: who asks for a server that can be written to gets the primary.
    #[must_use]
    pub fn even_if_closed(self) -> Self {
        match self.target_session_attrs {
            TargetSessionAttrs::ReadWrite => self.with_session_attrs(TargetSessionAttrs::Primary),
            _ => self,
        }
    }

    /// Client programs are told none: they are given the host that was found.
    fn with_session_attrs(mut self, attrs: TargetSessionAttrs) -> Self {
        self.target_session_attrs = attrs;
        self.child_settings
            .retain(|(name, _)| *name != SESSION_ATTRS);
        self
    }

    /// What a person is shown of a connection that goes to one of the hosts.
    pub fn endpoint(&self, host: &HostTarget) -> Endpoint {
        Endpoint {
            archive: None,
            host: host.name(),
            port: host.port,
            database: self.database.clone(),
            user: self.user.clone(),
            version: None,
        }
    }
}

/// For messages: who, where, which database; no secret.
impl fmt::Display for Conninfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "database \"{}\" at ", self.database)?;
        for (i, host) in self.hosts.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            write!(f, "{comma}{host}")?;
        }
        write!(f, " as \"{}\"", self.user)
    }
}

/// Whether a connection string carries a password. A text that cannot be parsed carries one if it looks like it.
pub fn has_password(text: &str) -> bool {
    match parse::parse(text) {
        Ok(found) => found.iter().any(|found| found.keyword.name == "password"),
        Err(_) => true,
    }
}

/// A connection string without its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WithoutPassword {
    /// Everything else, as it was written.
    pub text: String,
    /// The password, if there was one.
    pub password: Option<Password>,
}

/// Cuts the password out of a connection string and leaves every other byte as it was.
pub fn take_password(text: &str) -> Result<WithoutPassword, ParseError> {
    let mut rest = text.to_owned();
    let mut password = None;
    // From the end, so that what was cut doesn't move what is still to be cut.
    for found in parse::parse(text)?.into_iter().rev() {
        if found.keyword.name == "password" {
            rest.replace_range(found.span, "");
            // The last one counts.
            password.get_or_insert_with(|| Password::new(found.value));
        }
    }
    // Without its only setting "password=x" would be the empty string, which is fine; "x" alone would not be.
    Ok(WithoutPassword {
        text: rest,
        password,
    })
}

fn tcp_settings(layers: &Layers) -> Result<TcpSettings, ConninfoError> {
    let default = TcpSettings::default();
    let seconds = |keyword, default| layers.duration(keyword, Duration::from_secs(1), default);
    Ok(TcpSettings {
        keepalives: layers.integer("keepalives")?.is_none_or(|value| value != 0),
        idle: seconds("keepalives_idle", default.idle)?,
        interval: seconds("keepalives_interval", default.interval)?,
        count: match layers.integer("keepalives_count")? {
            None => default.count,
            Some(count) => u32::try_from(count).ok().filter(|count| *count > 0),
        },
        user_timeout: layers.duration(
            "tcp_user_timeout",
            Duration::from_millis(1),
            default.user_timeout,
        )?,
    })
}

fn tls_settings(layers: &Layers, environment: &Environment) -> Result<TlsSettings, ConninfoError> {
    let own_file = |keyword, default: &str| match layers.text(keyword) {
        Some(path) => Some(OwnFile {
            path: PathBuf::from(path),
            named: true,
        }),
        None => environment.home().map(|home| OwnFile {
            path: home.join(".postgresql").join(default),
            named: false,
        }),
    };
    let system = layers.text("sslrootcert") == Some("system");
    let mode = layers
        .word("sslmode", SslMode::from_word, values::SSL_MODES)?
        .unwrap_or(if system {
            SslMode::VerifyFull
        } else {
            SslMode::Prefer
        });
    let negotiation = layers
        .word(
            "sslnegotiation",
            SslNegotiation::from_word,
            values::SSL_NEGOTIATIONS,
        )?
        .unwrap_or(SslNegotiation::Postgres);
    // With sslmode=disable the roots are not used, and libpq lets it pass.
    if system && mode != SslMode::VerifyFull && mode != SslMode::Disable {
        return Err(ConninfoError::Conflict(format!(
            "sslmode {mode} is too weak for sslrootcert=system: anybody can get a certificate from a public authority; use verify-full"
        )));
    }
    if negotiation == SslNegotiation::Direct && mode < SslMode::Require {
        return Err(ConninfoError::Conflict(format!(
            "sslmode {mode} is too weak for sslnegotiation=direct; use require or stronger"
        )));
    }
    let (min_version, max_version) = tls_versions(layers)?;
    let offers_certificate = layers.text("sslcertmode") != Some("disable");
    Ok(TlsSettings {
        mode,
        negotiation,
        root: if system {
            RootSource::System
        } else {
            own_file("sslrootcert", "root.crt").map_or(RootSource::None, RootSource::File)
        },
        certificate: own_file("sslcert", "postgresql.crt").filter(|_| offers_certificate),
        key: own_file("sslkey", "postgresql.key").filter(|_| offers_certificate),
        // As in libpq, a directory alone switches the default file off.
        crl: own_file("sslcrl", "root.crl")
            .filter(|file| file.named || layers.text("sslcrldir").is_none()),
        crl_dir: layers.text("sslcrldir").map(PathBuf::from),
        sni: layers.switch("sslsni")?.unwrap_or(true),
        min_version,
        max_version,
    })
}

fn tls_versions(layers: &Layers) -> Result<(TlsVersion, TlsVersion), ConninfoError> {
    let version = |keyword| layers.word(keyword, TlsVersion::from_word, values::TLS_VERSIONS);
    let min = version("ssl_min_protocol_version")?.unwrap_or(TlsVersion::V1_2);
    let max = version("ssl_max_protocol_version")?.unwrap_or(TlsVersion::V1_3);
    if max < TlsVersion::V1_2 {
        return Err(ConninfoError::Unsupported {
            setting: layers.origin("ssl_max_protocol_version"),
            value: max.to_string(),
            because: "TLS before 1.2 is not spoken",
        });
    }
    if min > max {
        return Err(ConninfoError::Conflict(format!(
            "ssl_min_protocol_version {min} is newer than ssl_max_protocol_version {max}"
        )));
    }
    Ok((min.max(TlsVersion::V1_2), max))
}

#[cfg(test)]
mod tests;
