//! What speaks against a turn from one side to the other. Pure.

use super::identity::{Publisher, unfound};
use super::{
    APPLIES_AS_OWNER, Firing, MOST, Offers, Table, event_triggers, hand_on, login_triggers,
    may_subscribe, named_triggers, names_of, origins_remedy, publisher, scattered_names,
    subscribe_remedy, unfenced_roles,
};
use crate::follow::{Ours, SideRecord, Stranger, Turn};
use crate::model::{Finding, FollowName, ServerVersion, some_of};

/// The other remedy for whatever speaks against a way back.
const NO_WAY_BACK: &str = "Or give --no-fallback, to do without a way back.";

/// What is looked at before a turn.
pub struct TurnFacts<'a> {
    /// From which side to which.
    pub turn: Turn,
    /// What the side that hands over offers, and what the one that takes over does.
    pub offers: (&'a Offers, &'a Offers),
    /// Sessions of others on the side that hands over.
    pub sessions: &'a [Stranger],
    /// Their tables.
    pub tables: (&'a [Table], &'a [Table]),
    /// Their versions.
    pub versions: [ServerVersion; 2],
    /// Triggers on the side that hands over that would fire for what comes back.
    pub firing: &'a [Firing],
    /// A way back is to be made.
    pub with_reverse: bool,
    /// What follows have made on the side that hands over.
    pub ours: &'a [Ours],
    /// What carries changes away from it now, and what will carry them back.
    pub names: (&'a FollowName, &'a FollowName),
}

/// What speaks against a turn, given what both sides offer.
pub fn before_turn(facts: &TurnFacts<'_>) -> Vec<Finding> {
    let TurnFacts {
        turn,
        offers: (from, to),
        with_reverse,
        ..
    } = *facts;
    let mut found = Vec::new();
    for (side, offers) in [(turn.from, from), (turn.to, to)] {
        found.extend(unfenced_roles(
            "turn-unfenced-roles",
            offers,
            &side.to_string(),
        ));
    }
    if from.unseen_sessions > 0 {
        found.push(Finding::blocker(
            "turn-unseen-sessions",
            format!(
                "{} sessions of other roles are connected to the {}, and the role that pgconvoy is connected as may not see what they are: \
                 they could go on writing",
                from.unseen_sessions, turn.from
            ),
            format!(
                "On the {}, as a superuser: GRANT pg_read_all_stats, pg_signal_backend TO the role; or connect as a superuser.",
                turn.from
            ),
        ));
    }
    found.extend(sessions_that_stay(facts));
    if let Some(names) = &from.other_subscriptions {
        found.push(Finding::blocker(
            "turn-subscriptions",
            format!(
                "the {} takes changes from elsewhere, and would do so although it is closed: subscriptions {names}",
                turn.from
            ),
            format!(
                "Disable them (ALTER SUBSCRIPTION … DISABLE). Once the other side is in service, let them go there with their slots. {}",
                hand_on(&turn.from.to_string(), &turn.to.to_string())
            ),
        ));
    }
    if from.prepared > 0 {
        found.push(Finding::blocker(
            "turn-prepared",
            format!(
                "the {} has {} prepared transactions, which could be committed at any time",
                turn.from, from.prepared
            ),
            "Commit them or roll them back (pg_prepared_xacts).",
        ));
    }
    found.extend(other_follows(facts));
    for (side, offers) in [(turn.from, from), (turn.to, to)] {
        found.extend(event_triggers(offers, &side.to_string()));
        found.extend(login_triggers(offers, &side.to_string()));
    }
    if with_reverse {
        found.extend(before_way_back(facts));
    }
    found
}

/// A session that cannot be ended goes on writing. Those that may not even be seen have a rule of their own.
fn sessions_that_stay(facts: &TurnFacts<'_>) -> Option<Finding> {
    let from = facts.turn.from;
    let stays = |one: &&Stranger| one.began.is_some() && !one.may_end;
    let stay: Vec<String> = facts
        .sessions
        .iter()
        .filter(stays)
        .map(Stranger::shown)
        .collect();
    (!stay.is_empty()).then(|| {
        Finding::blocker(
            "turn-sessions-that-stay",
            format!(
                "the role that is connected to the {from} may not end sessions there, which could go on writing: {}",
                some_of(&stay, MOST)
            ),
            format!(
                "Have them end: an extension's worker by what the extension has for that. Or give a role that may: on the {from}, GRANT \
                 pg_signal_backend TO it; what is a superuser's, or nobody's, only a superuser may end."
            ),
        )
    })
}

/// Another follow of the same database, because of which it is not in service, or not on its own.
fn other_follows(facts: &TurnFacts<'_>) -> Vec<Finding> {
    let TurnFacts {
        turn,
        offers: (from, _),
        ours,
        names: (ahead, back),
        ..
    } = *facts;
    let mut found = Vec::new();
    let mut enabled = from.enabled_follows.clone();
    // An earlier attempt may have left it; it is removed first of all.
    enabled.retain(|name| name != back.as_str());
    if !enabled.is_empty() {
        found.push(Finding::blocker(
            "turn-other-follow",
            format!(
                "the {} follows another database as well, and would take its changes although it is closed: subscriptions {}",
                turn.from,
                some_of(&enabled, MOST)
            ),
            "Turn that one over first, or part the two (pgconvoy unfollow).",
        ));
    }
    let closed = ours
        .iter()
        .filter(|one| one.name != *ahead && one.name != *back)
        .filter_map(|one| SideRecord::parse(one.record.as_deref()?))
        .find(|record| record.fence.is_some());
    if let Some(record) = closed {
        found.push(Finding::blocker(
            "turn-closed-already",
            format!(
                "another follow of the {} has closed it to writers: it is not in service (the other end of that: {})",
                turn.from, record.other
            ),
            "Turn back in that one first, or part the two (pgconvoy unfollow).",
        ));
    }
    found
}

/// What speaks against the way back.
fn before_way_back(facts: &TurnFacts<'_>) -> Vec<Finding> {
    let TurnFacts {
        turn,
        offers: (from, to),
        versions: [from_version, _],
        names: (_, back),
        ..
    } = *facts;
    let mut found = Vec::new();
    let no_way_back = NO_WAY_BACK;
    for mut one in publisher(to, &turn.to.to_string(), false) {
        one.remedy = format!("{} {no_way_back}", one.remedy);
        found.push(one);
    }
    if !may_subscribe(from, from_version) {
        found.push(Finding::blocker(
            "turn-may-subscribe",
            format!("the role that is connected to the {} may not make the subscription of the way back", turn.from),
            format!("{} {no_way_back}", subscribe_remedy(from_version)),
        ));
    }
    if from.free_workers < 1 {
        found.push(Finding::blocker(
            "turn-workers",
            format!(
                "the {} has no worker of logical replication left for the way back",
                turn.from
            ),
            format!(
                "Raise max_logical_replication_workers of the {} and restart it. {no_way_back}",
                turn.from
            ),
        ));
    }
    if !from.has_origin_for(back) {
        found.push(Finding::blocker(
            "turn-origins",
            format!(
                "the {} keeps no place for the progress of the way back's subscription",
                turn.from
            ),
            format!(
                "{} {no_way_back}",
                origins_remedy(from, &turn.from.to_string())
            ),
        ));
    }
    found.extend(tables_before_way_back(facts));
    found
}

fn tables_before_way_back(facts: &TurnFacts<'_>) -> Vec<Finding> {
    let TurnFacts {
        turn,
        tables: (from_tables, to_tables),
        versions: [from_version, to_version],
        ..
    } = *facts;
    let mut found = Vec::new();
    if let Some(names) = named_triggers(facts.firing) {
        found.push(Finding::blocker(
            "turn-firing-triggers",
            format!(
                "triggers of the {} are enabled ALWAYS or for a REPLICA: they would fire for every row that comes back: {names}",
                turn.from
            ),
            format!(
                "On both sides: ALTER TABLE … ENABLE TRIGGER … (it then fires where applications write, and nowhere else), or DISABLE it. \
                 {NO_WAY_BACK}"
            ),
        ));
    }
    let back = Publisher {
        rule: "turn-replica-identity",
        version: to_version,
        side: turn.to,
        named: None,
    };
    for mut one in unfound(to_tables, &back) {
        one.remedy = format!("{} {NO_WAY_BACK}", one.remedy);
        found.push(one);
    }
    let scattered = scattered_names(to_tables);
    if !scattered.is_empty() {
        found.push(Finding::blocker(
            "turn-partitions",
            format!(
                "tables are partitioned by the hash of an enum, which is not the same in another database: a row may belong into another \
                 partition on the {}, where replication would not find it: {}",
                turn.from,
                some_of(&scattered, MOST)
            ),
            format!("Partition them by something else, on both sides. {NO_WAY_BACK}"),
        ));
    }
    let is_subject =
        |table: &&Table| table.is_logged && table.forced_rls && !table.owner_bypasses_rls;
    let subject = names_of(from_tables.iter().filter(is_subject));
    if from_version.major() >= APPLIES_AS_OWNER && !subject.is_empty() {
        found.push(Finding::blocker(
            "turn-forced-row-security",
            format!(
                "tables of the {} force row-level security on their owner as well, and replication writes as the owner: {}",
                turn.from,
                some_of(&subject, MOST)
            ),
            format!(
                "ALTER TABLE … NO FORCE ROW LEVEL SECURITY until they are parted. {NO_WAY_BACK}"
            ),
        ));
    }
    found
}
