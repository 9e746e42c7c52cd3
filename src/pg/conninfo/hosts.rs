//! The hosts of a connection string, one by one, each with its port and password.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use super::environment::Environment;
use super::error::ConninfoError;
use super::layers::Layers;
use super::password::Password;
use crate::pg::pgpass;

const DEFAULT_PORT: u16 = 5432;

/// Where servers put their sockets unless told otherwise: Debian's and Red Hat's directory, then upstream's.
const SOCKET_DIRECTORIES: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// What a password file calls the server behind the default socket (`DefaultHost` in libpq).
const LOCALHOST: &str = "localhost";

/// One server to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostTarget {
    /// How to get there.
    pub place: Place,
    /// Port; of a Unix socket, the number in its file name.
    pub port: u16,
    /// The password, from the connection string, the environment or the password file.
    pub password: Option<Password>,
}

/// How to get to a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// Over TCP.
    Tcp {
        /// Name, or address as written: looked up unless `address` is given, and what a certificate must be for.
        host: Option<String>,
        /// Address to connect to, instead of looking the name up (`hostaddr`).
        address: Option<IpAddr>,
    },
    /// Over a socket in this directory; a name that begins with `@` is abstract.
    Unix {
        /// The directory.
        directory: PathBuf,
    },
}

impl HostTarget {
    /// The name a person knows the server by: name, address or directory.
    pub fn name(&self) -> String {
        match &self.place {
            Place::Tcp {
                host: Some(host), ..
            } => host.clone(),
            Place::Tcp {
                address: Some(address),
                ..
            } => address.to_string(),
            Place::Tcp { .. } => LOCALHOST.to_owned(),
            Place::Unix { directory } => directory.display().to_string(),
        }
    }

    /// The path of the socket, if it is a Unix socket.
    pub fn socket_path(&self) -> Option<PathBuf> {
        match &self.place {
            Place::Unix { directory } => Some(directory.join(format!(".s.PGSQL.{}", self.port))),
            Place::Tcp { .. } => None,
        }
    }

    pub(super) fn is_nameless_address(&self) -> bool {
        matches!(self.place, Place::Tcp { host: None, .. })
    }
}

impl fmt::Display for HostTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = self.socket_path() {
            return write!(f, "socket \"{}\"", path.display());
        }
        let name = self.name();
        if name.contains(':') {
            write!(f, "[{name}]:{}", self.port)
        } else {
            write!(f, "{name}:{}", self.port)
        }
    }
}

/// Pairs `host`, `hostaddr` and `port` up (`connectOptions2` in `fe-connect.c`).
pub(super) fn resolve(layers: &Layers) -> Result<Vec<HostTarget>, ConninfoError> {
    let list = |keyword| -> Vec<&str> {
        layers
            .text(keyword)
            .map(|value| value.split(',').collect())
            .unwrap_or_default()
    };
    let (names, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
    let count = names.len().max(addresses.len()).max(1);
    let fits = |what, list: &Vec<&str>, one_for_all| {
        let fits = list.is_empty() || list.len() == count || (one_for_all && list.len() == 1);
        if fits {
            Ok(())
        } else {
            Err(ConninfoError::ListLengths {
                counted: list.len(),
                what,
                hosts: count,
            })
        }
    };
    fits("host names", &names, false)?;
    fits("hostaddr values", &addresses, false)?;
    fits("port numbers", &ports, true)?;

    let mut hosts = Vec::new();
    for number in 0..count {
        let port = match ports.get(number).or(ports.first()) {
            None => DEFAULT_PORT,
            Some(port) if port.trim().is_empty() => DEFAULT_PORT,
            Some(port) => port
                .trim()
                .parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or_else(|| ConninfoError::Port {
                    number: number + 1,
                    setting: layers.origin("port"),
                })?,
        };
        let name = names.get(number).filter(|name| !name.is_empty());
        let address = addresses.get(number).filter(|address| !address.is_empty());
        for place in places(name.copied(), address.copied())? {
            hosts.push(HostTarget {
                place,
                port,
                password: None,
            });
        }
    }
    Ok(hosts)
}

/// One place, or for no host at all the places a local server may be found.
fn places(name: Option<&str>, address: Option<&str>) -> Result<Vec<Place>, ConninfoError> {
    if let Some(address) = address {
        let address = address.parse().map_err(|_| ConninfoError::HostAddress {
            value: address.to_owned(),
        })?;
        return Ok(vec![Place::Tcp {
            host: name.map(str::to_owned),
            address: Some(address),
        }]);
    }
    Ok(match name {
        Some(name) if name.starts_with(['/', '@']) => vec![Place::Unix {
            directory: PathBuf::from(name),
        }],
        Some(name) => vec![Place::Tcp {
            host: Some(name.to_owned()),
            address: None,
        }],
        None => SOCKET_DIRECTORIES
            .iter()
            .map(|directory| Place::Unix {
                directory: PathBuf::from(directory),
            })
            .chain([Place::Tcp {
                host: Some(LOCALHOST.to_owned()),
                address: None,
            }])
            .collect(),
    })
}

/// Who logs in where: the other half of what a password file is asked for.
#[derive(Clone, Copy)]
pub(super) struct Login<'a> {
    pub(super) user: &'a str,
    pub(super) database: &'a str,
}

/// Gives every host its password; returns warnings.
pub(super) fn find_passwords(
    hosts: &mut [HostTarget],
    login: Login<'_>,
    layers: &Layers,
    environment: &Environment,
) -> Vec<String> {
    if let Some(password) = layers.text("password") {
        for host in hosts {
            host.password = Some(Password::new(password));
        }
        return Vec::new();
    }
    let (path, named) = match layers.text("passfile") {
        Some(path) => (PathBuf::from(path), true),
        None => match environment.home() {
            Some(home) => (home.join(".pgpass"), false),
            None => return Vec::new(),
        },
    };
    let (text, mut warning) = pgpass::read(&path);
    if named && text.is_none() && warning.is_none() && path.as_os_str() != "/dev/null" {
        warning = Some(format!(
            "the password file \"{}\" does not exist",
            path.display()
        ));
    }
    for host in hosts.iter_mut() {
        let name = host.name();
        let is_default_socket =
            matches!(host.place, Place::Unix { .. }) && SOCKET_DIRECTORIES.contains(&name.as_str());
        let wanted = |host_name| pgpass::Wanted {
            host: host_name,
            port: host.port,
            database: login.database,
            user: login.user,
        };
        let find = |host_name| {
            text.as_deref()
                .and_then(|text| pgpass::find(text, &wanted(host_name)))
        };
        // libpq looks for "localhost" where its own default directory is meant and for the directory otherwise; there are
        // two default directories here, so both names are tried.
        let found = if is_default_socket {
            find(LOCALHOST).or_else(|| find(&name))
        } else {
            find(&name)
        };
        host.password = found;
    }
    warning.into_iter().collect()
}
