//! What helps against the errors of a server that a person can do something about, by SQLSTATE (manual, "Error Codes").

/// What helps against some errors.
struct Remedy {
    codes: &'static [&'static str],
    /// Whatever the statement was, on either side.
    helps: &'static str,
    /// If it is a statement of a job, where more is known of it.
    in_job: Option<&'static str>,
}

/// Where passwords are looked for, for somebody whose password was not found or is wrong.
pub const WHERE_PASSWORDS_ARE: &str = "The password is looked for in the connection string, PGCONVOY_SOURCE_PASSWORD or PGCONVOY_TARGET_PASSWORD, PGPASSWORD, and \
     ~/.pgpass (or PGPASSFILE), which must be readable for its owner alone (chmod 600).";

const EMPTY_SEARCH_PATH: &str = "A function or table was not found. Statements run with an empty search_path: qualify the name inside the \
                                 function, or give the function a SET search_path.";
const NOT_IN_A_DUMP: &str = "Something that this statement names does not exist on the target: create it there first. Roles, tablespaces and \
                             extensions' files are in no dump.";

const MISSING: &str = "Something it refers to does not exist on that server: it was left out, failed earlier, or is not part of a \
                       database (roles, tablespaces, extensions' files).";

const REMEDIES: &[Remedy] = &[
    Remedy {
        codes: &["28P01"],
        helps: WHERE_PASSWORDS_ARE,
        in_job: None,
    },
    Remedy {
        codes: &["28000"],
        helps: "The server's pg_hba.conf has no rule that lets this role in from here, or the role may not log in: ask for a \
            line there, or try another sslmode, host or user.",
        in_job: None,
    },
    Remedy {
        codes: &["3D000"],
        helps: "Give --create to have the target database created like the source, or create it first; if it is the \
            source, check the name.",
        in_job: None,
    },
    Remedy {
        codes: &["53300"],
        helps: "The server has no connection slots left: use fewer workers (-j), or raise max_connections.",
        in_job: None,
    },
    Remedy {
        codes: &["53200"],
        helps: "If it says \"out of shared memory\", raise max_locks_per_transaction on that server and restart it; otherwise \
            use less --memory or fewer workers (-j).",
        in_job: None,
    },
    Remedy {
        codes: &["53100"],
        helps: "The server's disk is full: make room there first.",
        in_job: None,
    },
    Remedy {
        codes: &["42501"],
        helps: "Have a superuser or the owner grant what the message names to the role that is connected, or connect as \
            another role; for owners and grants on the target, --no-owner and -x leave them out.",
        in_job: None,
    },
    Remedy {
        codes: &["55000"],
        helps: "The object is not in a state in which this works: DETAIL and HINT above say which; a setting of the server \
            may have to be changed.",
        in_job: None,
    },
    Remedy {
        codes: &["55006", "55P03"],
        helps: "Another session is using the object: find it in pg_stat_activity, end it, and try again.",
        in_job: None,
    },
    Remedy {
        codes: &["0A000"],
        helps: "The server cannot do this, most often because it is older than the source or lacks an extension: leave the \
            object out (-T, -N), or move to a newer server.",
        in_job: None,
    },
    Remedy {
        codes: &["42704"],
        helps: MISSING,
        in_job: Some(NOT_IN_A_DUMP),
    },
    Remedy {
        codes: &["42883", "42P01"],
        helps: MISSING,
        in_job: Some(EMPTY_SEARCH_PATH),
    },
    Remedy {
        codes: &["3F000"],
        helps: MISSING,
        in_job: None,
    },
    Remedy {
        codes: &["42710", "42P07", "42723", "42P06"],
        helps: "It exists on the target already: move into an empty database, or give --overwrite.",
        in_job: None,
    },
    Remedy {
        codes: &["58P01", "58030", "XX001", "XX002"],
        helps: "The server cannot read its own files: stop writing to it, make a copy of its data directory, and look at its \
            log before anything else.",
        in_job: None,
    },
    Remedy {
        codes: &["25006"],
        helps: "The server only allows reading: it is a standby, or default_transaction_read_only is on.",
        in_job: None,
    },
    Remedy {
        codes: &["40001"],
        helps: "On a standby, a query was cancelled by recovery: set hot_standby_feedback = on there, or read from the primary.",
        in_job: None,
    },
    Remedy {
        codes: &["57014"],
        helps: "A timeout or another session cancelled the statement: look for statement_timeout in the role's or a pooler's settings.",
        in_job: None,
    },
    Remedy {
        codes: &["57P03"],
        helps: "The server is starting up, shutting down or recovering: wait until it accepts connections.",
        in_job: None,
    },
    Remedy {
        codes: &["23503"],
        helps: "The source itself breaks this foreign key: find the rows on the source with the query that the message implies, and fix them, \
                or mark the constraint NOT VALID there.",
        in_job: None,
    },
    Remedy {
        codes: &["23505", "23514", "23P01", "23502"],
        helps: "The source itself breaks this constraint, or sorts text differently (a newer collation): look at the rows on the source; \
                REINDEX shows whether its index agrees.",
        in_job: None,
    },
    Remedy {
        codes: &["22P05", "22021"],
        helps: "Source and target databases have different encodings: create the target with the source's (--create does).",
        in_job: None,
    },
];

/// What helps, whatever the statement was: one sentence or two.
pub fn remedy(code: &str) -> Option<&'static str> {
    of(code).map(|remedy| remedy.helps)
}

/// What helps if the statement is one of a job.
pub fn remedy_in_job(code: &str) -> Option<&'static str> {
    of(code).map(|remedy| remedy.in_job.unwrap_or(remedy.helps))
}

fn of(code: &str) -> Option<&'static Remedy> {
    REMEDIES.iter().find(|remedy| remedy.codes.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_there_once_and_every_remedy_is_a_sentence() {
        let mut seen = std::collections::BTreeSet::new();
        for remedy in REMEDIES {
            for code in remedy.codes {
                assert!(code.len() == 5 && seen.insert(code), "{code}");
            }
            for text in [Some(remedy.helps), remedy.in_job].into_iter().flatten() {
                assert!(text.ends_with('.'), "{text}");
            }
        }
    }

    #[test]
    fn a_job_knows_more_of_some_and_as_much_of_the_others() {
        assert_eq!(remedy_in_job("42P01"), Some(EMPTY_SEARCH_PATH));
        assert_ne!(remedy("42P01"), remedy_in_job("42P01"));
        assert_eq!(remedy("42501"), remedy_in_job("42501"));
        assert_eq!(remedy_in_job("00000"), None);
    }
}
