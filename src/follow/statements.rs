//! The statements that make, change and remove what one database needs to follow another. Pure.
//!
//! Each text is one transaction, waits for its commit, and may be run again after it was committed. A change to a side is in
//! the same transaction as the record of what was there before.

use super::record::{FenceBefore, SideRecord};
use super::state::{FORMAT, SCHEMA, State};
use crate::model::{
    FollowName, QualifiedName, ServerVersion, ascii_json, quote_ident, quote_literal,
};

const CREATE: &str = include_str!("../../sql/follow/create.sql");

/// A lock that we cannot get is no reason to keep others queueing behind us. The application's event triggers have nothing to
/// do with what we make: what they write would be replicated, and be there twice. A superuser keeps them from firing.
const BEGIN: &str = "begin isolation level read committed; set local synchronous_commit = on; set local lock_timeout = '10s'; \
    set local client_min_messages = warning; \
    select pg_catalog.set_config('session_replication_role', 'replica', true) where pg_catalog.current_setting('is_superuser') = 'on'";

/// The settings that make a server write statements to its log, or elsewhere, and the values that keep it from doing so.
const TALKATIVE: &str = "(values ('log_statement', 'none'), ('log_min_error_statement', 'panic'), ('log_min_duration_statement', '-1'), \
    ('log_min_duration_sample', '-1'), ('log_transaction_sample_rate', '0'), ('pg_stat_statements.track', 'none')) w (name, value)";

/// Whoever closes or opens a side waits for others doing the same: `pgco` and `fenc` as two numbers.
const ONE_AT_A_TIME: &str = "select pg_catalog.pg_advisory_xact_lock(1885823855, 1717923427)";

fn transaction(statements: &[String]) -> String {
    let mut sql = BEGIN.to_owned();
    for statement in statements {
        sql.push_str(";\n");
        sql.push_str(statement);
    }
    sql.push_str(";\ncommit");
    sql
}

/// Whether a server can apply a replicated TRUNCATE; the worker of an older one stops at it for good.
pub fn knows_truncate(version: ServerVersion) -> bool {
    version.major() >= 11
}

/// Whether a transaction that may only read cannot write large objects either.
pub fn knows_read_only_objects(version: ServerVersion) -> bool {
    version.major() >= 16
}

/// What is published.
pub struct Publishing<'a> {
    /// The publication's name.
    pub name: &'a FollowName,
    /// The tables.
    pub tables: &'a [QualifiedName],
    /// Those of them that get a full replica identity.
    pub full: &'a [QualifiedName],
    /// What was there before.
    pub record: &'a SideRecord,
    /// Version of the server that will subscribe.
    pub subscriber: ServerVersion,
}

/// Publishes tables. The publication records what those had before that get a full replica identity.
pub fn publish(publishing: &Publishing<'_>) -> String {
    let Publishing { name, tables, .. } = publishing;
    let mut statements = vec![format!("drop publication if exists {name}")];
    let full = publishing.full.iter();
    statements.extend(full.map(|table| format!("alter table only {table} replica identity full")));
    let listed: Vec<String> = tables.iter().map(|table| format!("only {table}")).collect();
    let these = if listed.is_empty() {
        String::new()
    } else {
        format!(" for table {}", listed.join(", "))
    };
    let kinds = if knows_truncate(publishing.subscriber) {
        ""
    } else {
        " with (publish = 'insert, update, delete')"
    };
    statements.push(format!("create publication {name}{these}{kinds}"));
    statements.push(comment("publication", name, publishing.record));
    transaction(&statements)
}

fn comment(kind: &str, name: &FollowName, record: &SideRecord) -> String {
    let text = quote_literal(&record.text());
    format!("comment on {kind} {name} is {text}")
}

/// Writes another record on a publication.
pub fn note(name: &FollowName, record: &SideRecord) -> String {
    transaction(&[comment("publication", name, record)])
}

/// Drops a publication, and puts back what `record` says, if there is one: only the last of our objects on a side does so.
pub fn unpublish(name: &FollowName, database: &str, record: Option<&SideRecord>) -> String {
    let mut statements = record.map_or_else(Vec::new, |record| set_back(database, record));
    statements.push(format!("drop publication if exists {name}"));
    transaction(&statements)
}

/// Tables that were dropped meanwhile have nothing to put back.
fn set_back(database: &str, record: &SideRecord) -> Vec<String> {
    let mut statements: Vec<String> = record
        .identities
        .iter()
        .map(|one| {
            format!(
                "alter table if exists only {} replica identity {}",
                one.table, one.before
            )
        })
        .collect();
    let fence = record.fence.as_ref();
    statements.extend(fence.map_or_else(Vec::new, |fence| unfence(database, fence)));
    statements
}

fn unfence(database: &str, fence: &FenceBefore) -> Vec<String> {
    let database = quote_ident(database);
    let setting = match &fence.value {
        Some(value) => format!(
            "alter database {database} set default_transaction_read_only = {}",
            quote_literal(value)
        ),
        None => format!("alter database {database} reset default_transaction_read_only"),
    };
    let log_in = |role: &String| format!("alter role {} login", quote_ident(role));
    let mut statements = vec![setting];
    statements.extend(fence.roles.iter().map(log_in));
    statements
}

/// The statements that keep writers out.
fn close_to(database: &str, record: &SideRecord) -> Vec<String> {
    let roles = record.fence.iter().flat_map(|fence| &fence.roles);
    let keep_out = |role: &String| format!("alter role {} nologin", quote_ident(role));
    let mut statements = vec![close_database(database)];
    statements.extend(roles.map(keep_out));
    statements
}

fn close_database(database: &str) -> String {
    format!(
        "alter database {} set default_transaction_read_only = on",
        quote_ident(database)
    )
}

/// Closes a side to writers, and records what was there before on its publication. Fails if another follow has closed it: then another
/// database is in service in its place, and what is set here now is not what was there before. `back`: this follow's way back.
pub fn fence(
    (name, back): (&FollowName, &FollowName),
    database: &str,
    record: &SideRecord,
) -> String {
    let mut statements = vec![
        ONE_AT_A_TIME.to_owned(),
        closed_by_no_other(name, back),
        comment("publication", name, record),
    ];
    statements.extend(close_to(database, record));
    transaction(&statements)
}

/// A cast that fails only when it is reached.
fn closed_by_no_other(name: &FollowName, back: &FollowName) -> String {
    format!(
        "select case when count(*) = 0 then 0 \
         else ('another follow has closed this database: ' || pg_catalog.min(o.name))::int4 end \
         from (select p.pubname::text as name, pg_catalog.obj_description(p.oid, 'pg_publication') as record \
         from pg_catalog.pg_publication p \
         union all select s.subname::text, pg_catalog.obj_description(s.oid, 'pg_subscription') \
         from pg_catalog.pg_subscription s \
         join pg_catalog.pg_database d on d.oid = s.subdbid and d.datname = pg_catalog.current_database()) o \
         where pg_catalog.left(o.name, 9) = 'pgconvoy_' and o.name not in ('{name}', '{back}') \
         and pg_catalog.strpos(o.record, '\"fence\":') > 0"
    )
}

/// Fails if the publishing side was closed by a run that is not among those known; passes if nothing says by whom. Again a cast
/// that fails only when it is reached.
pub fn still_fenced_by(name: &FollowName, known: &[String]) -> String {
    let of = |mark: &String| {
        let written = quote_literal(&format!("\"by\":\"{mark}\""));
        format!(" or pg_catalog.strpos(f.record, {written}) > 0")
    };
    let known: String = known.iter().map(of).collect();
    format!(
        "select case when pg_catalog.strpos(f.record, '\"by\":\"') = 0{known} then 0 \
         else ('another run of pgconvoy has closed this database since' || pg_catalog.left(f.record, 0))::int4 end \
         from (select coalesce(pg_catalog.obj_description(p.oid, 'pg_publication'), '') as record \
         from pg_catalog.pg_publication p where p.pubname = '{name}') f"
    )
}

/// Opens a side again: it is as it was before it was closed, and nothing else is put back. `objects` are those that carry the
/// record. `guard`: a statement that fails if the side must not be opened.
pub fn open(
    objects: &[(&str, &FollowName)],
    database: &str,
    record: &SideRecord,
    guard: Option<&str>,
) -> String {
    let Some(fence) = &record.fence else {
        return transaction(&[]);
    };
    let opened = SideRecord {
        fence: None,
        ..record.clone()
    };
    let mut statements = vec![ONE_AT_A_TIME.to_owned()];
    statements.extend(guard.map(str::to_owned));
    statements.extend(unfence(database, fence));
    statements.extend(
        objects
            .iter()
            .map(|(kind, name)| comment(kind, name, &opened)),
    );
    transaction(&statements)
}

/// A subscription that is not enabled yet.
pub struct Subscribing<'a> {
    /// Name of the subscription, publication and slot.
    pub name: &'a FollowName,
    /// How the server reaches the publisher, with the password if it needs one.
    pub conninfo: &'a str,
    /// The database that subscribes.
    pub database: &'a str,
    /// What was there before.
    pub record: &'a SideRecord,
    /// The side is also closed to everybody else.
    pub closes: bool,
}

/// Creates it. It takes whatever the publisher holds, including what replication brought there (`origin`, from 16 on, stays
/// `any`): a target is to have that as well, and a filter would drop it silently. Nor is a filter, which older servers lack
/// anyway, needed to keep changes from going round in a circle: only one direction works at a time, and the slot of a way back
/// begins when nothing more comes by the old direction.
pub fn subscribe(subscribing: &Subscribing<'_>) -> String {
    let Subscribing {
        name,
        conninfo,
        database,
        record,
        closes,
    } = subscribing;
    let conninfo = quote_literal(conninfo);
    let mut statements = vec![
        format!(
            "create subscription {name} connection {conninfo} publication {name} with (copy_data = false, create_slot = false, \
             enabled = false, slot_name = '{name}')"
        ),
        comment("subscription", name, record),
    ];
    statements.extend(closes.then(|| close_database(database)));
    transaction(&statements)
}

/// Creates a subscription to see whether the publisher can be reached, and rolls it back. Its publication does not exist: the
/// tables of an existing one would have to be on the subscriber already.
pub fn rehearse(name: &FollowName, conninfo: &str) -> String {
    format!(
        "{BEGIN}; set local client_min_messages = error; create subscription {name} connection {} publication {name}_rehearsed \
         with (copy_data = false, create_slot = false, enabled = false, slot_name = '{name}'); rollback",
        quote_literal(conninfo)
    )
}

/// Keeps a superuser's session out of the server's log from here on: its next statement holds a password. Does nothing for other roles.
pub fn hush() -> String {
    set_talkative("w.value")
}

/// Undoes [`hush`].
pub fn speak() -> String {
    set_talkative("s.reset_val")
}

fn set_talkative(value: &str) -> String {
    format!(
        "select pg_catalog.set_config(s.name, {value}, false) from {TALKATIVE} join pg_catalog.pg_settings s on s.name = w.name \
         where pg_catalog.current_setting('is_superuser') = 'on'"
    )
}

/// Enables or disables a subscription; it may be so already.
pub fn enable(name: &FollowName, enabled: bool) -> String {
    let word = if enabled { "enable" } else { "disable" };
    transaction(&[format!("alter subscription {name} {word}")])
}

/// Closes a side whose record is on its subscription.
pub fn close(name: &FollowName, database: &str, record: &SideRecord) -> String {
    let mut statements = vec![comment("subscription", name, record)];
    statements.extend(close_to(database, record));
    transaction(&statements)
}

/// Drops an existing subscription without contacting the publisher, where its slot is dropped separately. Puts back what
/// `record` says, if there is one.
pub fn drop_subscription(name: &FollowName, database: &str, record: Option<&SideRecord>) -> String {
    let mut statements = vec![
        format!("alter subscription {name} disable"),
        format!("alter subscription {name} set (slot_name = none)"),
        format!("drop subscription {name}"),
    ];
    statements.extend(record.map_or_else(Vec::new, |record| set_back(database, record)));
    transaction(&statements)
}

/// Limits each of the next statements to so many milliseconds; 0 is no limit.
pub fn limit(timeout_ms: u128) -> String {
    format!("set statement_timeout = {timeout_ms}")
}

/// A slot without a snapshot: both sides stand still. It begins once all transactions that write to any database of the server have ended.
pub fn make_slot(name: &FollowName) -> String {
    format!(
        "select pg_catalog.pg_create_logical_replication_slot('{name}', 'pgoutput') \
         where not exists (select from pg_catalog.pg_replication_slots s where s.slot_name = '{name}')"
    )
}

/// Drops a slot that nobody reads from. If somebody still does, that reader is ended, and the statement must be run again.
pub fn drop_slot(name: &FollowName) -> String {
    format!(
        "select case when s.active then pg_catalog.pg_terminate_backend(s.active_pid)::text \
         else pg_catalog.pg_drop_replication_slot(s.slot_name)::text end \
         from pg_catalog.pg_replication_slots s \
         where s.slot_name = '{name}' and s.database = pg_catalog.current_database()"
    )
}

fn value(state: &State) -> String {
    // Strings always fit into JSON.
    let json = serde_json::to_string(state).unwrap_or_default();
    quote_literal(&ascii_json(&json))
}

/// Creates the state, in the transaction that drops the ledger: statements without its begin and commit.
pub fn create_state(state: &State) -> String {
    format!(
        "drop schema if exists {SCHEMA} cascade;\n{CREATE};\ninsert into {SCHEMA}.state (format, state) values ({FORMAT}, {})",
        value(state)
    )
}

/// Writes another state. `guard`: a statement that fails if it must not be written.
pub fn write_state(state: &State, guard: Option<&str>) -> String {
    let mut statements: Vec<String> = guard.map(str::to_owned).into_iter().collect();
    statements.push(format!(
        "update {SCHEMA}.state set state = {}, changed_at = pg_catalog.clock_timestamp()",
        value(state)
    ));
    transaction(&statements)
}

/// Drops the state, which goes last.
pub fn drop_state() -> String {
    transaction(&[format!("drop schema if exists {SCHEMA} cascade")])
}

#[cfg(test)]
mod tests {
    use super::super::record::IdentityBefore;
    use super::*;

    fn name() -> FollowName {
        FollowName::parse("pgconvoy_0123456789abcdef").expect("a name")
    }

    fn record() -> SideRecord {
        let mut record = SideRecord::new("there");
        record.identities.push(IdentityBefore {
            table: QualifiedName::new("s", "bare"),
            before: "nothing".to_owned(),
        });
        record
    }

    #[test]
    fn what_is_changed_is_written_down_in_the_same_transaction() {
        let tables = [
            QualifiedName::new("s", "a"),
            QualifiedName::new("s", "bare"),
        ];
        let publishing = Publishing {
            name: &name(),
            tables: &tables,
            full: &tables[1..],
            record: &record(),
            subscriber: ServerVersion(110_000),
        };
        let sql = publish(&publishing);
        assert!(
            sql.starts_with("begin ") && sql.ends_with(";\ncommit"),
            "{sql}"
        );
        for part in [
            "alter table only \"s\".\"bare\" replica identity full",
            "create publication pgconvoy_0123456789abcdef for table only \"s\".\"a\", only \"s\".\"bare\"",
            "comment on publication pgconvoy_0123456789abcdef is 'Made by pgconvoy",
        ] {
            assert!(sql.contains(part), "{part} in {sql}");
        }
        assert!(!sql.contains("publish ="), "{sql}");
        let sql = publish(&Publishing {
            full: &[],
            subscriber: ServerVersion(100_023),
            ..publishing
        });
        let without = "only \"s\".\"bare\" with (publish = 'insert, update, delete')";
        assert!(sql.contains(without), "{sql}");
        // The record of what was before is kept, even for a table that is full by now, or gone.
        assert!(
            !sql.contains("alter table") && sql.contains("nothing"),
            "{sql}"
        );
    }

    #[test]
    fn a_side_is_set_back_to_what_it_was() {
        let closed = record().closed(Some("off".to_owned()), "me");
        let sql = unpublish(&name(), "it's", Some(&closed));
        for part in [
            "alter table if exists only \"s\".\"bare\" replica identity nothing",
            "alter database \"it's\" set default_transaction_read_only = 'off'",
            "drop publication if exists pgconvoy_0123456789abcdef",
        ] {
            assert!(sql.contains(part), "{part} in {sql}");
        }
        let fenced = record()
            .closed(None, "me")
            .without_logins(vec!["app".to_owned()]);
        let sql = fence((&name(), &name()), "d", &fenced);
        assert!(sql.contains("alter role \"app\" nologin"), "{sql}");
        let opened = open(&[("publication", &name())], "d", &fenced, None);
        assert!(opened.contains("alter role \"app\" login"), "{opened}");
        let never = record().closed(None, "me");
        let sql = drop_subscription(&name(), "d", Some(&never));
        assert!(
            sql.contains("alter database \"d\" reset default_transaction_read_only"),
            "{sql}"
        );
        assert!(!unpublish(&name(), "d", None).contains("alter"));
    }

    #[test]
    fn a_side_is_opened_by_whoever_knows_its_fence() {
        let guard = still_fenced_by(&name(), &["me".to_owned()]);
        assert!(guard.contains(r#"'"by":"me"'"#), "{guard}");
        let fenced = record().closed(None, "me");
        assert!(fenced.text().contains(r#""by":"me""#));
        let opened = open(&[], "d", &fenced, Some(&guard));
        let at = |part: &str| opened.find(part).expect(part);
        assert!(at("pg_advisory_xact_lock") < at("case when") && at("case when") < at("alter"));
    }

    #[test]
    fn a_subscription_copies_nothing_and_makes_no_slot() {
        let record = record();
        let subscribing = Subscribing {
            name: &name(),
            conninfo: "host=a password='it''s'",
            database: "d",
            record: &record,
            closes: true,
        };
        let sql = subscribe(&subscribing);
        assert!(
            sql.contains("copy_data = false, create_slot = false, enabled = false"),
            "{sql}"
        );
    }
}
