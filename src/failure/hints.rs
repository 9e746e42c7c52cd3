//! What to do next: one sentence for each error that a person can do something about. Those of a server, by SQLSTATE, are in
//! [`crate::model`].

use std::io;

use crate::model::{ExitStatus, FilterError, ServerError, WHERE_PASSWORDS_ARE, remedy};
use crate::pg::client_tools::{BIN_VARIABLE, ClientToolError};
use crate::pg::cluster::ClusterError;
use crate::pg::connect_error::ConnectError;
use crate::pg::conninfo::ConninfoError;
use crate::pg::{PASSING_OVER_DAMAGE, PgError};
use crate::plan::PlanError;

pub(super) const DEFECT: &str = "This should not happen whatever the databases hold: it is a defect of pgconvoy, please report it.";
pub(super) const TLS: &str = "Check sslmode, sslrootcert, sslcert and sslkey in the connection string (or PGSSLMODE, …) against \
                              what the server offers.";
pub(super) const KEEPER: &str = "Give --no-keeper to do without it: a move that is killed must then be resumed in a new snapshot.";
pub(super) const ARCHIVE: &str = "The schema was written by pg_dump just now: if another, newer pg_dump is installed, name its \
                                  directory in PGCONVOY_PG_BIN; if not, please report this.";
pub(super) const HELD: &str = "One run at a time fills a database: wait for the other one to end, or stop it first. Nothing was \
     touched.";
pub(super) const LEFTOVER: &str = "End it yourself, as its own role or as a superuser: select pg_terminate_backend(PID). Until \
     then it may still write to the target.";
const UNREACHABLE: &str = "Check host and port, that the server runs and listens there (listen_addresses), and that no firewall is in \
     between.";
const TOO_SLOW: &str =
    "Check that no firewall is in between, or give it more time with connect_timeout.";
const AWAY: &str = "It answered before: see whether that server still runs (its log says why not), and whether the network between does.";
pub(super) const PATTERN: &str =
    "Patterns are those of pg_dump -n and -t: see \"Patterns\" in the manual page of psql.";

/// For an error of a job, or of any session that was open.
pub fn for_job_error(error: &PgError) -> Option<String> {
    if error.is_lost_connection() {
        return Some(
            "Look in that server's log for the cause: a restart, a crash, or a connection cut by its network or a pooler."
                .to_owned(),
        );
    }
    match error {
        PgError::Connect(error) => for_connect(error),
        PgError::Server { error, .. } => remedy(&error.code).map(str::to_owned),
        PgError::PasswordMissing { .. }
        | PgError::AuthenticationMethod { .. }
        | PgError::Unbound { .. } => for_authentication(error),
        PgError::Protocol { .. } | PgError::Scan(_) => Some(
            "If there is a pooler or proxy in between, connect to the server itself; if not, please report this."
                .to_owned(),
        ),
        PgError::CountMismatch { .. } => Some(
            "Rows were lost or added on the way; nothing of this table was kept. Please report this."
                .to_owned(),
        ),
        PgError::Answer { .. } => Some(DEFECT.to_owned()),
        PgError::WorkLost { .. } => Some(
            "Look in the target's log for why it crashed, then resume: what is missing is done again."
                .to_owned(),
        ),
        PgError::ClaimLost => Some(
            "Look in the target's log for which of these it was, then resume (or sync again): what was committed stays."
                .to_owned(),
        ),
        PgError::SnapshotLost { .. } => Some(
            "Resume the run: it takes a new snapshot of the source and brings everything to it; what has not changed stays."
                .to_owned(),
        ),
        PgError::Supply { .. } => Some(
            "Use another copy of the archive, or dump again; nothing of this table was kept."
                .to_owned(),
        ),
        PgError::Unread { .. } => Some(
            "Nothing is known to be wrong with what it holds: see that it can be read (permissions, open files; of a store, that it answers and \
             takes the credentials), then resume."
                .to_owned(),
        ),
        PgError::Io { .. } | PgError::Closed { .. } => None,
    }
}

/// The same in the middle of a run: the way to a server that has answered is known.
pub(super) fn once_begun(hint: String) -> String {
    match hint.as_str() {
        UNREACHABLE | TOO_SLOW => AWAY.to_owned(),
        _ => hint,
    }
}

pub(super) fn for_connect(error: &ConnectError) -> Option<String> {
    if let Some(server_error) = error.server_error() {
        if let Some(hint) = for_damage_passed_over(server_error) {
            return Some(hint);
        }
        return remedy(&server_error.code).map(str::to_owned);
    }
    error.each().iter().find_map(for_one_host)
}

/// A role that may not switch off what every session of ours does without.
fn for_damage_passed_over(error: &ServerError) -> Option<String> {
    const INSUFFICIENT_PRIVILEGE: &str = "42501";
    let names = |name: &&&str| error.message.contains(**name);
    let name = PASSING_OVER_DAMAGE.iter().find(names)?;
    (error.code == INSUFFICIENT_PRIVILEGE).then(|| {
        format!(
            "The server has {name} enabled and so passes over damage without an error, and this role may not switch it off for itself. Switch \
             it off in the server's configuration (or where it is set for the role or the database) and restart the server, or connect as a \
             superuser."
        )
    })
}

fn for_one_host(error: &ConnectError) -> Option<String> {
    let hint = match error {
        ConnectError::Unreachable { .. } => UNREACHABLE,
        ConnectError::UnknownHost { .. } => {
            "Check the host's name, or give its address with hostaddr."
        }
        ConnectError::TimedOut { .. } => TOO_SLOW,
        ConnectError::NoTls { .. } => {
            "Switch TLS on at the server, or use sslmode=prefer or disable if the network between can be trusted."
        }
        ConnectError::OddAnswer { .. } => {
            "Check host and port: something else may be listening there."
        }
        ConnectError::Tls { .. } => TLS,
        ConnectError::WrongPeer { .. } => {
            "Make sure that the socket belongs to the server you mean, or change requirepeer."
        }
        ConnectError::Unsuitable { .. } => "Name the right host, or change target_session_attrs.",
        ConnectError::Login { why, .. } => return for_authentication(why),
        ConnectError::Broken { .. } => "Look at that server's log for the reason.",
        ConnectError::Refused { .. } | ConnectError::All(_) | ConnectError::OfSide { .. } => {
            return None;
        }
    };
    Some(hint.to_owned())
}

pub(super) fn for_authentication(error: &PgError) -> Option<String> {
    let hint = match error {
        PgError::PasswordMissing { .. } => WHERE_PASSWORDS_ARE,
        PgError::AuthenticationMethod { .. } => {
            "Add a line with scram-sha-256, md5, cert, peer or trust to the server's pg_hba.conf for this role and host."
        }
        PgError::Unbound { .. } => {
            "Add a line hostssl … scram-sha-256 to the server's pg_hba.conf for this role and host, and use sslmode=require or stronger. If \
             that is already so, what answers there is not that server: find out what is in between."
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

pub(super) fn for_conninfo(error: &ConninfoError) -> String {
    let hint = match error {
        ConninfoError::ServiceFile { .. }
        | ConninfoError::ServiceLine { .. }
        | ConninfoError::NoService { .. } => {
            "Service files are those of libpq: ~/.pg_service.conf, or the one that PGSERVICEFILE names."
        }
        ConninfoError::NoUser => "Give user= in the connection string.",
        _ => {
            "A connection string is a URI (postgresql://user@host:5432/database) or keyword=value pairs (\"host=… \
             dbname=… user=…\"), as for psql."
        }
    };
    hint.to_owned()
}

pub(super) fn for_client_tool(error: &ClientToolError) -> (ExitStatus, Option<String>) {
    match error {
        ClientToolError::NoneSuits { needed, .. } => (
            ExitStatus::Usage,
            Some(format!(
                "Install postgresql-client-{}, or name the directory of a newer pg_dump in {BIN_VARIABLE}.",
                needed.major()
            )),
        ),
        ClientToolError::Start { .. } => (
            ExitStatus::Usage,
            Some(format!(
                "Check the file's permissions, or name another directory in {BIN_VARIABLE}."
            )),
        ),
        ClientToolError::CannotBind { .. } => (
            ExitStatus::Usage,
            Some(format!(
                "Name the directory of a newer pg_dump in {BIN_VARIABLE}: each reads every older server."
            )),
        ),
        ClientToolError::Failed { stderr, .. } => {
            let hint = if stderr.contains("permission denied") {
                "pg_dump needs to read every object it describes: connect to the source as a role that may (for example a \
                 member of pg_read_all_data), or leave those out with -N and -T."
            } else {
                "What it said is above, whole; the same command can be run by hand."
            };
            (ExitStatus::Failed, Some(hint.to_owned()))
        }
    }
}

pub(super) fn for_plan(error: &PlanError) -> String {
    match error {
        PlanError::Entry { .. } => ARCHIVE.to_owned(),
        PlanError::ArchivedEntry { .. } => {
            "Only archives that use COPY, and that hold the definition of every table whose rows they hold, can be restored; for others use \
             pg_restore."
                .to_owned()
        }
        PlanError::ForeignPartitions { .. } => {
            "Leave it out with -T, all of it or its foreign partitions; these can be attached afterwards.".to_owned()
        }
        PlanError::ForeignRows { .. } => {
            "Leave these rows out: let pgconvoy list write what is in the archive, put a ; before the TABLE DATA line of each of these tables, and \
             give that file with -L."
                .to_owned()
        }
        PlanError::NameNotUtf8 { .. } => {
            "Rename it on the source, or leave it out with -T or -N.".to_owned()
        }
        PlanError::TableNotVisible { table, role } => format!(
            "On the source: GRANT SELECT ON {table} TO \"{}\"; (or leave the table out with -T).",
            role.replace('"', "\"\"")
        ),
    }
}

pub(super) fn for_filter(error: &FilterError) -> String {
    match error {
        FilterError::Line { .. } => {
            "A line of a filter file is \"include\" or \"exclude\", then schema, table, table_data, extension, …, then a \
             pattern: as for pg_dump --filter."
                .to_owned()
        }
        FilterError::Option { .. } => PATTERN.to_owned(),
        FilterError::OtherDatabase { connected, .. } => {
            format!("Leave the database out of the pattern, or write {connected}.")
        }
        FilterError::OldPgDump { needs, .. } => {
            format!("Install postgresql-client-{needs} or newer.")
        }
    }
}

pub(super) fn for_cluster(error: &ClusterError) -> Option<String> {
    let hint = match error {
        ClusterError::Install { .. } => {
            "Install a PostgreSQL server (Debian: apt-get install postgresql), or name the directory of its programs in \
             PGCONVOY_PG_BIN."
        }
        ClusterError::NoUnprivilegedUser => "Run it as a user other than root.",
        ClusterError::File { source, .. } => return for_io(source),
        ClusterError::SocketPath { .. } | ClusterError::Port(_) => return None,
        ClusterError::Spawn { .. }
        | ClusterError::Initdb { .. }
        | ClusterError::Ended { .. }
        | ClusterError::Late { .. }
        | ClusterError::Signal { .. } => {
            "The whole command is above; it can be run by hand to see more."
        }
    };
    Some(hint.to_owned())
}

/// For a file of an archive that is not in object storage.
pub(super) fn for_archive(error: &io::Error) -> Option<String> {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "The disk of the archive is full: make room there and go on, or start again with --archive elsewhere."
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "Check who may read and write there, or name another place with --archive."
        }
        _ => return for_io(error),
    };
    Some(hint.to_owned())
}

pub(super) fn for_io(error: &io::Error) -> Option<String> {
    let hint = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "The disk is full: make room, or name a directory elsewhere with --run-dir."
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "Name a directory that may be written to with --run-dir."
        }
        io::ErrorKind::NotFound => "Check that the path exists.",
        _ => return None,
    };
    Some(hint.to_owned())
}
