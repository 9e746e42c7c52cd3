//! What has an entry of its own on one side only, and is there on both.
//!
//! A constraint that is not validated is an entry, because it must be added after the rows; once it is validated it is a
//! line of its table's, or its domain's. A trigger that a partition has from its parent is an entry if it fires otherwise than the
//! parent's, and goes without saying if not. In either case an entry that the other side lacks is a difference of state:
//! who calls it missing sends a person to look for what is there.

use super::tokens::Tokens;
use super::{Entry, Toc};

/// Whether the other side has what this entry, which it lacks, is about.
pub(super) fn is_there_as_well(entry: &Entry, other: &Toc) -> bool {
    let mut holders = other
        .entries
        .iter()
        .filter(|one| is_holder(one) && holds(one, entry));
    match entry.desc.as_str() {
        "TRIGGER" => says_only_a_state(entry) && holders.next().is_some(),
        "CHECK CONSTRAINT" | "CONSTRAINT" => {
            holders.any(|there| says_inline(entry, there, other.std_strings()))
        }
        _ => false,
    }
}

/// Whether the entry of a trigger does not make it, and only says when it fires.
fn says_only_a_state(trigger: &Entry) -> bool {
    let definition = trigger.defn_bytes().trim_ascii_start();
    definition.starts_with(b"ALTER TABLE ")
}

fn is_holder(entry: &Entry) -> bool {
    entry.is("TABLE") || entry.is("FOREIGN TABLE") || entry.is("DOMAIN")
}

/// The tag of what is on a table is the table's, and behind it its own name.
fn holds(holder: &Entry, entry: &Entry) -> bool {
    let behind = entry.tag.strip_prefix(&*holder.tag);
    holder.namespace == entry.namespace && behind.is_some_and(|rest| rest.starts_with(b" "))
}

/// Whether `… ADD CONSTRAINT a CHECK (…) NOT VALID` is `CONSTRAINT a CHECK (…)` within the definition of the table, whatever
/// it is that it checks.
fn says_inline(entry: &Entry, there: &Entry, std_strings: bool) -> bool {
    let added = words(entry, std_strings);
    let ends_in = |tail: &[&[u8]]| added.ends_with(tail);
    if !ends_in(&[b"NOT", b"VALID", b";"]) {
        return false;
    }
    let Some(at) = added.iter().position(|&word| word == b"CONSTRAINT") else {
        return false;
    };
    // CONSTRAINT, its name, and CHECK or NOT.
    let Some(head) = added.get(at..at + 3) else {
        return false;
    };
    words(there, std_strings)
        .windows(3)
        .any(|three| three == head)
}

fn words(entry: &Entry, std_strings: bool) -> Vec<&[u8]> {
    let sql = entry.defn_bytes();
    Tokens::new(sql, std_strings)
        .map_while(Result::ok)
        .filter_map(|token| sql.get(token.start..token.end))
        .collect()
}
