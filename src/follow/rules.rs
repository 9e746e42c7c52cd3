//! What speaks against following, each finding with its remedy; and what is worth knowing beforehand. Pure.

mod identity;
mod turn;

pub use identity::identities;
pub use turn::{TurnFacts, before_turn};

use std::collections::BTreeSet;

use self::identity::{Publisher, no_way_back, unfound};
use super::facts::{Firing, NotReplicated, Offers};
use super::state::Wanted;
use super::statements::knows_truncate;
use super::tables::Table;
use crate::model::{Finding, QualifiedName, ServerVersion, Side, some_of};

/// At most this many names are given in a sentence.
const MOST: usize = 10;

/// What is looked at before a move that is to be followed.
pub struct Facts<'a> {
    /// What the source offers.
    pub source: &'a Offers,
    /// What the target's server offers.
    pub target: &'a Offers,
    /// Versions of source and target.
    pub versions: [ServerVersion; 2],
    /// The source's tables.
    pub tables: &'a [Table],
    /// Triggers of the source that would fire on the target.
    pub firing: &'a [Firing],
    /// What replication does not carry.
    pub uncarried: &'a [NotReplicated],
    /// What was asked for.
    pub wanted: &'a Wanted,
    /// Slot and publication are there already, from an earlier session.
    pub is_made: bool,
    /// The copy's tables have the same owners as the source's.
    pub keeps_owners: bool,
}

/// From this version on, replicated rows are written as the table's owner, who may be subject to row-level security.
const APPLIES_AS_OWNER: u32 = 16;

/// All findings.
pub fn findings(facts: &Facts<'_>) -> Vec<Finding> {
    let mut found = publisher(facts.source, "source", facts.is_made);
    found.extend(fed_from_elsewhere(facts.source));
    found.extend(event_triggers(facts.source, "source"));
    found.extend(login_triggers(facts.source, "source"));
    found.extend(subscriber(facts));
    found.extend(event_triggers(facts.target, "target"));
    found.extend(unfound(
        facts.tables,
        &Publisher {
            rule: "follow-replica-identity",
            version: facts.versions[0],
            side: Side::Source,
            named: Some(&facts.wanted.replica_identity_full),
        },
    ));
    found.extend(firing_triggers(facts.firing));
    found.extend(forced_rls(facts));
    found.extend(scattered(facts));
    found.extend(objects(facts));
    found.push(not_carried(facts));
    found.extend(kept_log(facts));
    found.extend(way_back(facts));
    found
}

/// Closed or not, the source would go on taking changes from others: a turn away from it would be refused, so none is prepared.
fn fed_from_elsewhere(source: &Offers) -> Option<Finding> {
    let others = source.other_subscriptions.iter();
    let names: Vec<String> = others.chain(&source.enabled_follows).cloned().collect();
    if names.is_empty() {
        return None;
    }
    Some(Finding::blocker(
        "follow-subscriptions",
        format!(
            "the source takes changes from elsewhere, and would do so although it is closed at the cut-over: subscriptions {}",
            names.join(", ")
        ),
        format!(
            "On the source: ALTER SUBSCRIPTION … DISABLE, for as long as it is followed; its publisher keeps its log meanwhile. Once the target is in \
         service, let it go there with its slot. {hand_on} One that is called pgconvoy_… is that of a follow in which this database is not in \
         service: turn back in that one, or part the two (pgconvoy unfollow).",
            hand_on = hand_on("source", "target")
        ),
    ))
}

/// How a subscription goes from one side to the other. What its publisher was not told that it has arrived would come once more: how far it
/// has come is known here alone, and gone with the subscription.
fn hand_on(from: &str, to: &str) -> String {
    format!(
        "On the {from}, ask how far it has come: SELECT remote_lsn FROM pg_replication_origin_status JOIN pg_subscription ON external_id = 'pg_' \
         || pg_subscription.oid WHERE subname = '…'. On its publisher, have the slot stand there (from 11 on): SELECT \
         pg_replication_slot_advance('…', that LSN), or what was written last may arrive twice (if that says that the minimum is a later one, or \
         there is no LSN, it stands there already). Then, on the {from}: ALTER SUBSCRIPTION … SET (slot_name = NONE); DROP SUBSCRIPTION …; and on the {to}: CREATE SUBSCRIPTION … WITH (slot_name = '…', create_slot = false, copy_data = \
         false)."
    )
}

/// Who logs in to a closed side may only read there: a trigger that writes refuses everybody, pgconvoy and superusers as well.
fn login_triggers(offers: &Offers, side: &str) -> Option<Finding> {
    if offers.login_triggers.is_empty() {
        return None;
    }
    Some(Finding::blocker(
        "follow-login-triggers",
        format!(
            "event triggers of the {side} fire when anybody logs in, and if one of them writes, nobody can log in to a database that is closed \
             to writers, not even pgconvoy: {}",
            some_of(&offers.login_triggers, MOST)
        ),
        "Have their functions do nothing where current_setting('transaction_read_only') is on (a function that names that setting, if only in a \
         comment, is taken to have looked at it); or ALTER EVENT TRIGGER … DISABLE until they are parted. From outside, a superuser gets in with \
         options='-c event_triggers=off'.",
    ))
}

/// What event triggers write when we make and change what a follow needs would be replicated, and be there twice.
fn event_triggers(offers: &Offers, side: &str) -> Option<Finding> {
    if offers.event_triggers.is_empty() {
        return None;
    }
    let remedy = if offers.superuser {
        "ALTER EVENT TRIGGER … ENABLE (without ALWAYS and REPLICA), or DISABLE it; otherwise it fires for whatever pgconvoy does."
    } else {
        "Connect as a superuser, who can keep them from firing; or, as their owner, ALTER EVENT TRIGGER … DISABLE until they are parted."
    };
    Some(Finding::blocker(
        "follow-event-triggers",
        format!(
            "event triggers of the {side} would fire for what pgconvoy makes and changes there, and what they write, replication would bring \
             to a side that has it by itself: {}",
            some_of(&offers.event_triggers, MOST)
        ),
        remedy,
    ))
}

/// What speaks against a server as a publisher. `side` is where it is.
fn publisher(offers: &Offers, side: &str, is_made: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    if offers.in_recovery {
        found.push(Finding::blocker(
            "follow-standby",
            format!("the {side} is a standby, on which no publication can be made"),
            "Lead the connection to its primary.",
        ));
    }
    if offers.wal_level != "logical" {
        found.push(Finding::blocker(
            "follow-wal-level",
            format!(
                "wal_level of the {side} is {}, and must be logical",
                offers.wal_level
            ),
            format!("On the {side}: ALTER SYSTEM SET wal_level = logical; then restart it."),
        ));
    }
    if !is_made && offers.free_slots < 1 {
        found.push(Finding::blocker(
            "follow-slots",
            format!("the {side} has no replication slot left"),
            format!("Drop one that nobody needs, or raise max_replication_slots of the {side} and restart it."),
        ));
    }
    // One for the slot's snapshot, and later for the subscription.
    if offers.free_senders < 1 {
        found.push(Finding::blocker(
            "follow-senders",
            format!("the {side} has no sender of its log left"),
            format!("Raise max_wal_senders of the {side} and restart it."),
        ));
    }
    if !offers.may_replicate {
        found.push(Finding::blocker(
            "follow-may-replicate",
            format!("the role that is connected to the {side} may not make replication slots"),
            "As a superuser: ALTER ROLE … REPLICATION; or connect as another role.",
        ));
    }
    if !offers.may_create || !offers.owns_database {
        found.push(Finding::blocker(
            "follow-may-publish",
            format!("the role that is connected to the {side} does not own its database: it could neither publish its tables nor close it to writers"),
            "Connect as the owner of the database and of its tables, or as a superuser.",
        ));
    }
    if !is_made && offers.prepared_anywhere > 0 {
        found.push(Finding::blocker(
            "follow-prepared",
            format!(
                "the {side} has {} prepared transactions in its databases, and a slot waits for each of them",
                offers.prepared_anywhere
            ),
            "Commit them or roll them back (pg_prepared_xacts).",
        ));
    }
    found
}

/// A side that is closed to writers is closed only to roles that are not set otherwise.
fn unfenced_roles(rule: &str, offers: &Offers, side: &str) -> Option<Finding> {
    let roles = offers.unfenced_roles.as_ref()?;
    Some(Finding::blocker(
        rule,
        format!(
            "roles of the {side} are set to write even if the database is closed (default_transaction_read_only = off): {roles}"
        ),
        format!(
            "On the {side}: ALTER ROLE … RESET default_transaction_read_only; where it is for this database alone: ALTER ROLE … IN DATABASE … \
             RESET default_transaction_read_only."
        ),
    ))
}

fn subscriber(facts: &Facts<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    let target = facts.target;
    found.extend(unfenced_roles("follow-unfenced-roles", target, "target"));
    if !may_subscribe(target, facts.versions[1]) {
        found.push(Finding::blocker(
            "follow-may-subscribe",
            "the role that is connected to the target may not make a subscription",
            subscribe_remedy(facts.versions[1]),
        ));
    }
    if target.free_workers < 1 {
        found.push(Finding::blocker(
            "follow-workers",
            "the target's server has no worker of logical replication left",
            "Raise max_logical_replication_workers of the target (and max_worker_processes) and restart it.",
        ));
    }
    if !target.has_origin_for(&facts.wanted.forward) {
        found.push(Finding::blocker(
            "follow-origins",
            "the target's server keeps no place for the progress of another subscription",
            origins_remedy(target, "target"),
        ));
    }
    found
}

/// An origin that was used once keeps its place, whether it is still used or not.
fn origins_remedy(offers: &Offers, side: &str) -> String {
    let doubt = if offers.sees_origins {
        ""
    } else {
        " The connected role may not see which origins take a place, and every one was counted: connect as a superuser; or, from 14 on, GRANT \
         EXECUTE ON FUNCTION pg_show_replication_origin_status() TO the role."
    };
    format!(
        "On the {side}: drop an origin that nobody needs and that is of no subscription (those of subscriptions are called pg_ and a number; \
         pg_replication_origin_status has those that take a place): SELECT pg_replication_origin_drop('…'); or raise max_replication_slots \
         (from 18 on it is max_active_replication_origins) and restart it.{doubt}"
    )
}

fn may_subscribe(offers: &Offers, version: ServerVersion) -> bool {
    // Before 16, only a superuser may.
    offers.superuser || (version.major() >= 16 && offers.may_subscribe)
}

fn subscribe_remedy(version: ServerVersion) -> String {
    if version.major() >= 16 {
        "As a superuser: GRANT pg_create_subscription TO the role; or connect as a superuser."
            .to_owned()
    } else {
        format!("Connect as a superuser: PostgreSQL {version} lets nobody else do so.")
    }
}

/// The tables of a publication: all that leave anything in the WAL.
pub fn carried(tables: &[Table]) -> Vec<QualifiedName> {
    let carried = tables.iter().filter(|table| table.is_logged);
    carried.map(|table| table.name.clone()).collect()
}

/// What such triggers write, replication would bring a second time; and on a target that is closed to writers, they fail.
fn firing_triggers(firing: &[Firing]) -> Option<Finding> {
    let names = named_triggers(firing)?;
    Some(Finding::blocker(
        "follow-firing-triggers",
        format!(
            "triggers are enabled ALWAYS or for a REPLICA: they would fire for every row that replication brings: {names}"
        ),
        "On the source: ALTER TABLE … ENABLE TRIGGER … (it then fires where applications write, and nowhere else), or DISABLE it.",
    ))
}

/// Their names; `None` if there are none.
fn named_triggers(firing: &[Firing]) -> Option<String> {
    let names: Vec<String> = firing
        .iter()
        .map(|one| format!("{} on {}", one.trigger, one.table.shown()))
        .collect();
    (!names.is_empty()).then(|| some_of(&names, MOST))
}

fn names_of<'a>(tables: impl Iterator<Item = &'a Table>) -> Vec<String> {
    tables.map(|table| table.name.shown()).collect()
}

/// The apply worker refuses every row of such a table, and gets no further.
fn forced_rls(facts: &Facts<'_>) -> Option<Finding> {
    if facts.versions[1].major() < APPLIES_AS_OWNER {
        return None;
    }
    let is_subject = |table: &&Table| {
        let bypasses = if facts.keeps_owners {
            table.owner_bypasses_rls
        } else {
            facts.target.superuser
        };
        table.is_logged && table.forced_rls && !bypasses
    };
    let names = names_of(facts.tables.iter().filter(is_subject));
    (!names.is_empty()).then(|| {
        Finding::blocker(
            "follow-forced-row-security",
            format!(
                "tables force row-level security on their owner as well, and replication writes as the owner: {}",
                some_of(&names, MOST)
            ),
            "On the source: ALTER TABLE … NO FORCE ROW LEVEL SECURITY until they are parted, or ALTER ROLE of the owner … BYPASSRLS (there \
             and on the target).",
        )
    })
}

/// Replication applies a row to the partition that it was in, but on another server it may belong in a different one: there an
/// INSERT fails, and an UPDATE or DELETE skips the row that it does not find.
fn scattered(facts: &Facts<'_>) -> Option<Finding> {
    let names = scattered_names(facts.tables);
    (!names.is_empty()).then(|| {
        Finding::blocker(
            "follow-partitions",
            format!(
                "tables are partitioned by the hash of an enum, which is not the same in another database: a row may belong into another \
                 partition there, where replication does not find it: {}",
                some_of(&names, MOST)
            ),
            "Move without --follow, and bring the target up to date with pgconvoy sync when nobody writes any more; or partition them by \
             something else.",
        )
    })
}

fn scattered_names(tables: &[Table]) -> Vec<String> {
    let carried = tables.iter().filter(|table| table.is_logged);
    let roots = carried.filter_map(|table| table.scattered_below.as_ref());
    let roots: BTreeSet<String> = roots.map(QualifiedName::shown).collect();
    roots.into_iter().collect()
}

/// Names exactly what would be made on the source.
fn objects(facts: &Facts<'_>) -> Option<Finding> {
    if facts.wanted.allow_source_objects {
        return None;
    }
    let name = &facts.wanted.forward;
    let count = facts.tables.iter().filter(|table| table.is_logged).count();
    let mut made = vec![
        format!("publication {name} of {count} tables"),
        format!("replication slot {name}, which keeps the log that the target has not got yet"),
    ];
    made.extend(
        facts
            .wanted
            .replica_identity_full
            .iter()
            .map(|table| format!("replica identity FULL of {table}")),
    );
    Some(Finding::blocker(
        "follow-source-objects",
        format!("to be followed, the source needs: {}", made.join("; ")),
        "Give --allow-source-objects to have them made; pgconvoy unfollow removes all of them.",
    ))
}

fn not_carried(facts: &Facts<'_>) -> Finding {
    let mut kinds: Vec<String> = facts
        .uncarried
        .iter()
        .map(|one| {
            format!(
                "{} of kind {} ({})",
                one.count,
                one.kind,
                one.examples.join(", ")
            )
        })
        .collect();
    let [source, target] = facts.versions.map(knows_truncate);
    if !source {
        kinds.push("TRUNCATE (the source is older than 11)".to_owned());
    } else if !target {
        kinds.push("TRUNCATE (the target is older than 11)".to_owned());
    }
    kinds.push(
        "changes of the schema, which stop the replication of the table concerned".to_owned(),
    );
    Finding::note(
        "follow-not-carried",
        format!("replication does not carry: {}", kinds.join("; ")),
        "pgconvoy cutover brings sequences, large objects, materialized views, unlogged tables and configuration tables of extensions over; \
         change no schema until then.",
    )
}

fn kept_log(facts: &Facts<'_>) -> Option<Finding> {
    let limit = facts.source.slot_limit.as_deref().unwrap_or("-1");
    if facts.wanted.max_wal_retained.is_some() || limit != "-1" {
        return None;
    }
    Some(Finding::warning(
        "follow-log-kept",
        "nothing limits what the source keeps of its log for the target (max_slot_wal_keep_size is -1): if the target stands still, the \
         source's disk fills up"
            .to_owned(),
        "Give --max-wal-retained SIZE and let pgconvoy follow watch it, or set max_slot_wal_keep_size on the source (13 and later).",
    ))
}

/// Worth knowing long before the cut-over.
fn way_back(facts: &Facts<'_>) -> Option<Finding> {
    let target = facts.target;
    let mut lacks = Vec::new();
    if target.wal_level != "logical" {
        lacks.push(format!("wal_level of the target is {}", target.wal_level));
    }
    if target.free_slots < 1 {
        lacks.push("the target has no replication slot left".to_owned());
    }
    if !may_subscribe(facts.source, facts.versions[0]) {
        lacks.push(
            "the role that is connected to the source may not make a subscription".to_owned(),
        );
    }
    let unpublished = no_way_back(facts);
    if !unpublished.is_empty() {
        lacks.push(format!(
            "PostgreSQL {} publishes no tables with a full replica identity and generated columns: {}",
            facts.versions[1],
            some_of(&unpublished, MOST)
        ));
    }
    if lacks.is_empty() {
        return None;
    }
    Some(Finding::warning(
        "follow-no-way-back",
        format!(
            "there could be no fallback after the cut-over: {}",
            lacks.join("; ")
        ),
        "Set wal_level = logical on the target, leave it a slot (max_replication_slots), and restart it while nobody uses it; connect to the \
         source as a role that may subscribe; give such tables a primary key, and no full replica identity.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::follow::{Key, Keys, Ours, OursKind, SideRecord, Stranger, Turn};
    use crate::model::FollowName;

    fn offers() -> Offers {
        Offers {
            wal_level: "logical".to_owned(),
            in_recovery: false,
            free_slots: 1,
            free_senders: 1,
            free_workers: 1,
            free_origins: 1,
            placed_follows: Vec::new(),
            sees_origins: true,
            slot_limit: Some("10GB".to_owned()),
            superuser: true,
            may_replicate: true,
            may_subscribe: true,
            owns_database: true,
            may_create: true,
            prepared: 0,
            prepared_anywhere: 0,
            enabled_follows: Vec::new(),
            event_triggers: Vec::new(),
            login_triggers: Vec::new(),
            large_objects: true,
            unseen_sessions: 0,
            unfenced_roles: None,
            other_subscriptions: None,
            read_only_setting: None,
        }
    }

    fn table(name: &str, has_key: bool) -> Table {
        let key = has_key.then_some(Key::Sound);
        Table {
            name: QualifiedName::new("public", name),
            is_logged: true,
            identity: "default".to_owned(),
            keys: Keys {
                identity: key,
                primary: key,
                ..Keys::default()
            },
            forced_rls: false,
            owner_bypasses_rls: false,
            scattered_below: None,
            columns: String::new(),
        }
    }

    fn rules(source: &Offers, target: &Offers, named: &[&str], allowed: bool) -> Vec<String> {
        let name = FollowName::parse("pgconvoy_0123456789abcdef").expect("a name");
        let wanted = Wanted {
            allow_source_objects: allowed,
            forward: name.clone(),
            backward: name,
            replica_identity_full: named.iter().map(|&name| name.to_owned()).collect(),
            source_from_target: None,
            max_wal_retained: None,
        };
        let facts = Facts {
            source,
            target,
            versions: [ServerVersion(150_000), ServerVersion(180_000)],
            tables: &[table("keyed", true), table("bare", false)],
            firing: &[],
            uncarried: &[],
            wanted: &wanted,
            is_made: false,
            keeps_owners: true,
        };
        findings(&facts)
            .into_iter()
            .map(|finding| finding.rule)
            .collect()
    }

    #[test]
    fn each_rule_names_what_is_missing() {
        let good = offers();
        assert_eq!(rules(&good, &good, &["bare"], true), ["follow-not-carried"]);
        assert_eq!(
            rules(&good, &good, &[], false),
            [
                "follow-replica-identity",
                "follow-source-objects",
                "follow-not-carried"
            ]
        );
        let poor = Offers {
            wal_level: "replica".to_owned(),
            free_slots: 0,
            free_senders: 0,
            free_workers: 0,
            free_origins: 0,
            slot_limit: Some("-1".to_owned()),
            superuser: false,
            may_replicate: false,
            may_subscribe: false,
            owns_database: false,
            prepared_anywhere: 1,
            event_triggers: vec!["audit".to_owned()],
            login_triggers: vec!["greet".to_owned()],
            other_subscriptions: Some("theirs".to_owned()),
            in_recovery: true,
            ..offers()
        };
        assert_eq!(
            rules(&poor, &poor, &["public.bare"], true),
            [
                "follow-standby",
                "follow-wal-level",
                "follow-slots",
                "follow-senders",
                "follow-may-replicate",
                "follow-may-publish",
                "follow-prepared",
                "follow-subscriptions",
                "follow-event-triggers",
                "follow-login-triggers",
                "follow-may-subscribe",
                "follow-workers",
                "follow-origins",
                "follow-event-triggers",
                "follow-not-carried",
                "follow-log-kept",
                "follow-no-way-back",
            ]
        );
    }

    #[test]
    fn an_owner_who_is_subject_to_row_level_security_stops_the_worker() {
        let offers = offers();
        let of = |bypasses, keeps_owners, major| {
            let mut table = table("strict", true);
            table.forced_rls = true;
            table.owner_bypasses_rls = bypasses;
            let name = FollowName::parse("pgconvoy_0123456789abcdef").expect("a name");
            let wanted = Wanted {
                allow_source_objects: true,
                forward: name.clone(),
                backward: name,
                replica_identity_full: Vec::new(),
                source_from_target: None,
                max_wal_retained: None,
            };
            forced_rls(&Facts {
                source: &offers,
                target: &offers,
                versions: [ServerVersion(150_000), ServerVersion(major)],
                tables: &[table],
                firing: &[],
                uncarried: &[],
                wanted: &wanted,
                is_made: false,
                keeps_owners,
            })
        };
        assert!(of(false, true, 160_000).is_some());
        assert_eq!(of(true, true, 160_000), None);
        assert_eq!(of(false, false, 160_000), None, "a superuser owns the copy");
        assert_eq!(
            of(false, true, 150_000),
            None,
            "the subscriber is superuser"
        );
    }

    #[test]
    fn a_table_whose_rows_are_elsewhere_on_another_server_is_named_once_by_its_root() {
        let part = |name: &str, is_logged| Table {
            is_logged,
            scattered_below: Some(QualifiedName::new("public", "moods")),
            ..table(name, true)
        };
        let tables = [part("a", true), table("keyed", true), part("b", true)];
        assert_eq!(scattered_names(&tables), ["public.moods"]);
        // A turn brings it over as a whole.
        assert_eq!(scattered_names(&[part("a", false)]), [""; 0]);
    }

    #[test]
    fn what_a_table_had_is_remembered_and_a_table_that_is_not_there_is_an_error() {
        let tables = [table("keyed", true), table("bare", false)];
        let found = identities(&tables, &["bare".to_owned()]).expect("it is there");
        assert_eq!((found.len(), found[0].before.as_str()), (1, "default"));
        assert!(identities(&tables, &["other".to_owned()]).is_err());
    }

    #[test]
    fn a_turn_without_a_way_back_asks_for_less() {
        let poor = Offers {
            wal_level: "replica".to_owned(),
            unseen_sessions: 2,
            unfenced_roles: Some("batch".to_owned()),
            other_subscriptions: Some("theirs".to_owned()),
            prepared: 1,
            free_workers: 0,
            free_origins: 0,
            superuser: false,
            may_subscribe: false,
            ..offers()
        };
        let rules = |with_reverse| -> Vec<String> {
            let turn = Turn::away_from(Side::Source);
            let mut strict = table("strict", true);
            strict.forced_rls = true;
            let mut bare = table("bare", false);
            bare.scattered_below = Some(QualifiedName::new("public", "moods"));
            let firing = [Firing {
                table: QualifiedName::new("public", "bare"),
                trigger: "loud".to_owned(),
            }];
            let found = before_turn(&TurnFacts {
                turn,
                offers: (&poor, &poor),
                sessions: &[stranger(true), stranger(false)],
                tables: (&[strict], &[bare]),
                versions: [ServerVersion(160_000); 2],
                firing: &firing,
                with_reverse,
                ours: &[],
                names: (&name('1'), &name('2')),
            });
            found.into_iter().map(|finding| finding.rule).collect()
        };
        assert_eq!(
            rules(false),
            [
                "turn-unfenced-roles",
                "turn-unfenced-roles",
                "turn-unseen-sessions",
                "turn-sessions-that-stay",
                "turn-subscriptions",
                "turn-prepared",
            ]
        );
        assert_eq!(
            rules(true),
            [
                "turn-unfenced-roles",
                "turn-unfenced-roles",
                "turn-unseen-sessions",
                "turn-sessions-that-stay",
                "turn-subscriptions",
                "turn-prepared",
                "follow-wal-level",
                "turn-may-subscribe",
                "turn-workers",
                "turn-origins",
                "turn-firing-triggers",
                "turn-replica-identity",
                "turn-partitions",
                "turn-forced-row-security",
            ]
        );
    }

    fn stranger(may_end: bool) -> Stranger {
        Stranger {
            pid: 1,
            began: Some("today".to_owned()),
            application: String::new(),
            role: "cron".to_owned(),
            idle: true,
            transaction_s: None,
            has_written: false,
            may_end,
        }
    }

    fn name(digit: char) -> FollowName {
        let text = format!("pgconvoy_{}", String::from(digit).repeat(16));
        FollowName::parse(&text).expect("a name")
    }

    /// What an earlier attempt at a turn left of the way back is removed first, which frees its place; another follow's place stays taken.
    #[test]
    fn what_is_left_of_the_way_back_has_its_place() {
        let (ahead, back) = (name('1'), name('2'));
        let found = |placed: &FollowName, sees_origins| {
            let from = Offers {
                free_origins: 0,
                placed_follows: vec![placed.to_string()],
                sees_origins,
                ..offers()
            };
            before_turn(&TurnFacts {
                turn: Turn::away_from(Side::Source),
                offers: (&from, &offers()),
                sessions: &[],
                tables: (&[], &[]),
                versions: [ServerVersion(180_000); 2],
                firing: &[],
                with_reverse: true,
                ours: &[],
                names: (&ahead, &back),
            })
        };
        assert_eq!(found(&back, true), []);
        for sees_origins in [true, false] {
            let found = found(&name('3'), sees_origins);
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(found[0].rule, "turn-origins");
            let remedy = &found[0].remedy;
            assert!(remedy.contains("pg_replication_origin_drop"), "{remedy}");
            assert_eq!(remedy.contains("GRANT"), !sees_origins, "{remedy}");
        }
    }

    /// A database whose place another one has taken, or that takes changes from another one, is not the one to turn away from.
    #[test]
    fn another_follow_of_the_same_database_is_seen() {
        let (ahead, back, other) = (name('1'), name('2'), name('3'));
        let rules = |enabled: &FollowName, closed: &FollowName| -> Vec<String> {
            let from = Offers {
                enabled_follows: vec![enabled.to_string()],
                ..offers()
            };
            let record = SideRecord::new("shop at there:5432").closed(None, "me");
            let ours = [Ours {
                kind: OursKind::Publication,
                name: closed.clone(),
                record: Some(record.text()),
            }];
            let found = before_turn(&TurnFacts {
                turn: Turn::away_from(Side::Source),
                offers: (&from, &offers()),
                sessions: &[],
                tables: (&[], &[]),
                versions: [ServerVersion(180_000); 2],
                firing: &[],
                with_reverse: true,
                ours: &ours,
                names: (&ahead, &back),
            });
            found.into_iter().map(|finding| finding.rule).collect()
        };
        assert_eq!(rules(&back, &ahead), [""; 0]);
        assert_eq!(rules(&other, &ahead), ["turn-other-follow"]);
        assert_eq!(rules(&back, &other), ["turn-closed-already"]);
    }
}
