//! The connection keywords of libpq, the environment variable of each, and what becomes of each here.
//!
//! The list is that of libpq in Postgres 18 (`PQconninfoOptions` in `src/interfaces/libpq/fe-connect.c`). A keyword
//! that libpq knows and we cannot honour is refused by name: a connection that is quietly less safe than the one that was
//! asked for would be worse than none.

/// What becomes of a keyword's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Support {
    /// It is honoured.
    Used,
    /// It changes nothing that matters here, whatever its value.
    Ignored,
    /// These values (and the empty one) ask for nothing that we don't do; every other is refused, for the reason given.
    Only(&'static [&'static str], &'static str),
}

/// One keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Keyword {
    /// As written in a connection string.
    pub(super) name: &'static str,
    /// The environment variable that gives its default.
    pub(super) variable: Option<&'static str>,
    /// What we do with it.
    pub(super) support: Support,
}

const fn used(name: &'static str, variable: &'static str) -> Keyword {
    Keyword {
        name,
        variable: Some(variable),
        support: Support::Used,
    }
}

const fn used_without_variable(name: &'static str) -> Keyword {
    Keyword {
        name,
        variable: None,
        support: Support::Used,
    }
}

const fn ignored(name: &'static str, variable: Option<&'static str>) -> Keyword {
    Keyword {
        name,
        variable,
        support: Support::Ignored,
    }
}

const fn only(
    name: &'static str,
    variable: Option<&'static str>,
    harmless: &'static [&'static str],
    because: &'static str,
) -> Keyword {
    Keyword {
        name,
        variable,
        support: Support::Only(harmless, because),
    }
}

const NO_GSS: &str = "GSSAPI is not supported";
const NO_OAUTH: &str = "OAuth is not supported";
const NO_SCRAM_KEYS: &str = "SCRAM keys are not supported; give the password";
const NO_KEY_LOG: &str = "the keys of a connection are never written to a file";

/// Every keyword, in libpq's order.
pub(super) const KEYWORDS: &[Keyword] = &[
    used("service", "PGSERVICE"),
    used("servicefile", "PGSERVICEFILE"),
    used("user", "PGUSER"),
    used("password", "PGPASSWORD"),
    used("passfile", "PGPASSFILE"),
    used("channel_binding", "PGCHANNELBINDING"),
    used("connect_timeout", "PGCONNECT_TIMEOUT"),
    used("dbname", "PGDATABASE"),
    used("host", "PGHOST"),
    used("hostaddr", "PGHOSTADDR"),
    used("port", "PGPORT"),
    // Sessions pin the encoding to the source's.
    ignored("client_encoding", Some("PGCLIENTENCODING")),
    used("options", "PGOPTIONS"),
    used("application_name", "PGAPPNAME"),
    used_without_variable("fallback_application_name"),
    used_without_variable("keepalives"),
    used_without_variable("keepalives_idle"),
    used_without_variable("keepalives_interval"),
    used_without_variable("keepalives_count"),
    used_without_variable("tcp_user_timeout"),
    used("sslmode", "PGSSLMODE"),
    used("sslnegotiation", "PGSSLNEGOTIATION"),
    // No current server compresses TLS.
    ignored("sslcompression", Some("PGSSLCOMPRESSION")),
    used("sslcert", "PGSSLCERT"),
    used("sslkey", "PGSSLKEY"),
    only(
        "sslcertmode",
        Some("PGSSLCERTMODE"),
        &["allow", "disable"],
        "whether the server asked for the client certificate is not checked",
    ),
    only(
        "sslpassword",
        None,
        &[],
        "encrypted client keys are not supported; decrypt the key with openssl pkey",
    ),
    used("sslrootcert", "PGSSLROOTCERT"),
    used("sslcrl", "PGSSLCRL"),
    used("sslcrldir", "PGSSLCRLDIR"),
    used("sslsni", "PGSSLSNI"),
    used("requirepeer", "PGREQUIREPEER"),
    only(
        "require_auth",
        Some("PGREQUIREAUTH"),
        &[],
        "restricting the authentication method is not supported",
    ),
    only(
        "min_protocol_version",
        Some("PGMINPROTOCOLVERSION"),
        &["3.0"],
        "protocol 3.0 is what is spoken",
    ),
    ignored("max_protocol_version", Some("PGMAXPROTOCOLVERSION")),
    used("ssl_min_protocol_version", "PGSSLMINPROTOCOLVERSION"),
    used("ssl_max_protocol_version", "PGSSLMAXPROTOCOLVERSION"),
    only(
        "gssencmode",
        Some("PGGSSENCMODE"),
        &["disable", "prefer"],
        NO_GSS,
    ),
    // These three only say how to do what is not done without gssencmode or a server that insists.
    ignored("krbsrvname", Some("PGKRBSRVNAME")),
    ignored("gsslib", Some("PGGSSLIB")),
    only("gssdelegation", Some("PGGSSDELEGATION"), &["0"], NO_GSS),
    only(
        "replication",
        None,
        &["false", "off", "no", "0"],
        "ordinary sessions are needed",
    ),
    used("target_session_attrs", "PGTARGETSESSIONATTRS"),
    used("load_balance_hosts", "PGLOADBALANCEHOSTS"),
    only("scram_client_key", None, &[], NO_SCRAM_KEYS),
    only("scram_server_key", None, &[], NO_SCRAM_KEYS),
    only("oauth_issuer", None, &[], NO_OAUTH),
    only("oauth_client_id", None, &[], NO_OAUTH),
    only("oauth_client_secret", None, &[], NO_OAUTH),
    only("oauth_scope", None, &[], NO_OAUTH),
    only("sslkeylogfile", None, &[], NO_KEY_LOG),
];

/// Finds a keyword by its exact name.
pub(super) fn find(name: &str) -> Option<&'static Keyword> {
    KEYWORDS.iter().find(|keyword| keyword.name == name)
}

/// Names that other drivers have for a keyword.
const ELSEWHERE: &[(&str, &str)] = &[
    ("database", "dbname"),
    ("db", "dbname"),
    ("username", "user"),
    ("pass", "password"),
    ("pwd", "password"),
    ("server", "host"),
    ("hostname", "host"),
    ("ssl", "sslmode"),
    ("timeout", "connect_timeout"),
];

/// The keyword that an unknown one was probably meant to be, if any is close.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    KEYWORDS
        .iter()
        .map(|keyword| (keyword.name, keyword.name))
        .chain(ELSEWHERE.iter().copied())
        .map(|(known, meant)| (edit_distance(&name, known), known, meant))
        .filter(|(distance, known, _)| {
            *distance < known.len() && *distance <= (known.len() / 3).max(2)
        })
        .min()
        .map(|(_, _, meant)| meant)
}

/// Levenshtein distance, in characters.
fn edit_distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, from) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in right.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_keyword_is_found() {
        for (written, meant) in [
            ("hots", Some("host")),
            ("pasword", Some("password")),
            ("ssl_mode", Some("sslmode")),
            ("SSLMODE", Some("sslmode")),
            ("database", Some("dbname")),
            ("target_session_attr", Some("target_session_attrs")),
            ("zzz", None),
            ("", None),
        ] {
            assert_eq!(nearest(written), meant, "{written}");
        }
    }

    #[test]
    fn no_keyword_is_listed_twice() {
        for (i, keyword) in KEYWORDS.iter().enumerate() {
            let first = KEYWORDS
                .iter()
                .position(|other| other.name == keyword.name)
                .expect("it is in the list");
            assert_eq!(first, i, "{}", keyword.name);
        }
    }
}
