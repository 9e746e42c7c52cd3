//! Large objects, without their content: that each is there, whose it is, who may use it, and what is said of it. The other side
//! may be an archive.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalog::{LargeObject, LargeObjectGrant, in_full};
use crate::model::{DifferenceKind, Oid, Unverified, shown_ident};
use crate::toc::{LargeObjectNotes, RestoreOptions, Toc};

use super::Outcome;

/// Who (`None` is everybody) may do what by whose leave (`None` is the owner's), and whether they may grant it on.
type Privileges<'a> = BTreeMap<Privilege<'a>, bool>;

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Privilege<'a> {
    grantee: Option<&'a str>,
    name: &'a str,
    grantor: Option<&'a str>,
}

/// Compares the large objects of both sides; what the options leave out is not missed.
pub fn compare(
    source: &[LargeObject],
    target: &[LargeObject],
    options: &RestoreOptions,
) -> Outcome {
    let mut outcome = Outcome::default();
    let mut there: BTreeMap<Oid, &LargeObject> =
        target.iter().map(|object| (object.oid, object)).collect();
    for object in source {
        match there.remove(&object.oid) {
            None => {
                let detail = "it is on the source, and not on the target".into();
                outcome.differ(DifferenceKind::Missing, named(object.oid), detail);
            }
            Some(found) => {
                let details = details(object, found, options);
                if !details.is_empty() {
                    let detail = details.join("\n");
                    outcome.differ(DifferenceKind::Different, named(object.oid), detail);
                }
            }
        }
    }
    for oid in there.into_keys() {
        let detail = "it is on the target, and not on the source".into();
        outcome.differ(DifferenceKind::Extra, named(oid), detail);
    }
    outcome.count("owners and grants of large objects", source.len());
    outcome
}

/// Compares owners, grants and comments of the large objects of an archive, whose table of contents is in UTF-8, with those of a
/// server. That one is missing, or there besides, is found by whoever compares their content.
pub fn compare_archived(
    (toc, archived): (&Toc, &[Oid]),
    there: &[LargeObject],
    options: &RestoreOptions,
) -> Outcome {
    let archived: BTreeSet<Oid> = archived.iter().copied().collect();
    let there = there.iter().filter(|object| archived.contains(&object.oid));
    let notes = toc.large_object_notes();
    let mut outcome = Outcome::default();
    let (mut wanted, mut found) = (Vec::new(), Vec::new());
    for object in there {
        let ours = noted(object.oid, &notes);
        found.push(as_far_as_noted(object, &ours.owner, options));
        wanted.push(ours);
    }
    if wanted.is_empty() {
        return outcome;
    }
    outcome.extend(compare(&wanted, &found, options));
    let unclear = notes.not_understood.iter();
    let unclear = unclear.filter(|oid| oid.0 == 0 || archived.contains(oid));
    outcome.unverified.extend(unclear.map(|oid| Unverified {
        class: "large object".to_owned(),
        object: oid.to_string(),
        because: "what the archive says of its grants or its comment is not understood".to_owned(),
    }));
    outcome
}

/// What an archive says of an object.
fn noted(oid: Oid, notes: &LargeObjectNotes) -> LargeObject {
    let granted = notes.grants.get(&oid);
    let grant =
        |((grantee, privilege), grantable): (&(Option<String>, String), &bool)| LargeObjectGrant {
            grantor: None,
            grantee: grantee.clone(),
            privilege: privilege.clone(),
            grantable: *grantable,
        };
    LargeObject {
        oid,
        owner: notes.owners.get(&oid).cloned().unwrap_or_default(),
        comment: notes.comments.get(&oid).map(|text| in_full(text)),
        grants: granted.map(|granted| granted.iter().map(grant).collect()),
    }
}

/// What a server has, without that which an archive by these options does not say.
fn as_far_as_noted(object: &LargeObject, owner: &str, options: &RestoreOptions) -> LargeObject {
    let mut object = object.clone();
    // An archive without owners, whose objects are whose they may be.
    if owner.is_empty() {
        object.owner.clear();
    }
    // Nor does it say who granted a privilege on.
    let grants = object.grants.iter_mut().flatten();
    grants.for_each(|grant| grant.grantor = None);
    // What the owner then may do is nothing that is compared without owners.
    if options.no_owner
        && let Some(grants) = &mut object.grants
    {
        grants.retain(|grant| grant.grantee.as_deref() != Some(owner));
    }
    object
}

fn named(oid: Oid) -> (&'static str, String) {
    ("large object", oid.to_string())
}

fn details(source: &LargeObject, target: &LargeObject, options: &RestoreOptions) -> Vec<String> {
    let mut details = Vec::new();
    let mut property = |name: &str, ours: String, theirs: String| {
        if ours != theirs {
            details.push(format!(
                "{name}: {ours} on the source, {theirs} on the target"
            ));
        }
    };
    if !options.no_owner {
        property("owner", source.owner.clone(), target.owner.clone());
    }
    if !options.no_acl {
        let privileges = |object| in_words(&privileges(object, !options.no_owner));
        property("grants", privileges(source), privileges(target));
    }
    if !options.no_comments {
        let comment = |object: &LargeObject| match &object.comment {
            Some(text) => format!("{text:?}"),
            None => "none".to_owned(),
        };
        property("comment", comment(source), comment(target));
    }
    details
}

/// What is granted. No entry in the catalog means what the owner has by default, and is the same as that spelled out. Where
/// owners may differ, what the owner has is not compared.
fn privileges(object: &LargeObject, with_owner: bool) -> Privileges<'_> {
    let mut privileges = Privileges::new();
    match &object.grants {
        None => {
            for name in ["SELECT", "UPDATE"] {
                let implied = Privilege {
                    grantee: Some(&object.owner),
                    name,
                    grantor: None,
                };
                privileges.insert(implied, false);
            }
        }
        Some(grants) => {
            for grant in grants {
                let one = Privilege {
                    grantee: grant.grantee.as_deref(),
                    name: &grant.privilege,
                    grantor: grant.grantor.as_deref(),
                };
                *privileges.entry(one).or_default() |= grant.grantable;
            }
        }
    }
    if !with_owner {
        privileges.retain(|one, _| one.grantee != Some(object.owner.as_str()));
    }
    privileges
}

fn in_words(privileges: &Privileges) -> String {
    let words: Vec<String> = privileges
        .iter()
        .map(|(one, grantable)| {
            let to = one.grantee.map_or_else(|| "public".to_owned(), shown_ident);
            let option = if *grantable { " with grant option" } else { "" };
            let by = one
                .grantor
                .map(|grantor| format!(" by {}", shown_ident(grantor)));
            format!("{} to {to}{option}{}", one.name, by.unwrap_or_default())
        })
        .collect();
    if words.is_empty() {
        "none".to_owned()
    } else {
        words.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toc::Entry;
    use crate::toc::testing::{entry, toc};

    fn object(oid: u32, owner: &str, grants: Option<&[(Option<&str>, &str)]>) -> LargeObject {
        let grant = |&(grantee, privilege): &(Option<&str>, &str)| LargeObjectGrant {
            grantor: None,
            grantee: grantee.map(str::to_owned),
            privilege: privilege.to_owned(),
            grantable: false,
        };
        LargeObject {
            oid: Oid(oid),
            owner: owner.to_owned(),
            comment: None,
            grants: grants.map(|grants| grants.iter().map(grant).collect()),
        }
    }

    fn found(source: &LargeObject, target: &LargeObject, options: RestoreOptions) -> Vec<String> {
        let outcome = compare(
            std::slice::from_ref(source),
            std::slice::from_ref(target),
            &options,
        );
        outcome
            .differences
            .into_iter()
            .map(|one| format!("{:?} {} {}", one.kind, one.object, one.detail))
            .collect()
    }

    #[test]
    fn no_grants_are_what_the_owner_has_by_default() {
        let implied = object(1, "ann", None);
        let spelled: &[_] = &[(Some("ann"), "SELECT"), (Some("ann"), "UPDATE")];
        let all = RestoreOptions::default();
        assert_eq!(
            found(&implied, &object(1, "ann", Some(spelled)), all),
            [""; 0]
        );
        assert_eq!(
            found(&implied, &object(1, "ann", Some(&[])), all),
            ["Different 1 grants: SELECT to ann, UPDATE to ann on the source, none on the target"]
        );
    }

    #[test]
    fn owners_and_grants_count_unless_they_were_left_out() {
        let source = object(1, "ann", Some(&[(Some("ann"), "SELECT"), (None, "SELECT")]));
        let target = object(1, "bob", Some(&[(None, "SELECT")]));
        let no_owner = RestoreOptions {
            no_owner: true,
            ..RestoreOptions::default()
        };
        assert_eq!(found(&source, &target, no_owner), [""; 0]);
        assert_eq!(found(&source, &target, RestoreOptions::default()).len(), 1);
        let ungranted = object(1, "bob", None);
        assert_eq!(
            found(&source, &ungranted, no_owner),
            ["Different 1 grants: SELECT to public on the source, none on the target"]
        );
        let no_acl = RestoreOptions {
            no_acl: true,
            ..no_owner
        };
        assert_eq!(found(&source, &ungranted, no_acl), [""; 0]);
    }

    #[test]
    fn what_an_archive_says_counts_and_what_was_left_out_of_it_is_not_missed() {
        let blob = Entry {
            tag: "7".into(),
            owner: Some("ann".into()),
            ..entry("BLOB")
        };
        let archive = toc(vec![blob]);
        let granted: &[_] = &[(Some("ann"), "SELECT"), (Some("bob"), "SELECT")];
        let there = [
            LargeObject {
                comment: Some("a word".to_owned()),
                ..object(7, "ann", Some(granted))
            },
            object(8, "bob", None),
        ];
        let all = RestoreOptions::default();
        let found = |there: &[LargeObject], options: &RestoreOptions| {
            compare_archived((&archive, &[Oid(7)]), there, options).differences
        };
        let [one] = &found(&there, &all)[..] else {
            panic!("a difference of the one that is in the archive")
        };
        assert!(one.detail.contains("bob"), "{}", one.detail);
        assert!(one.detail.contains("a word"), "{}", one.detail);
        let other_owner = [object(7, "bob", None)];
        assert_eq!(found(&other_owner, &all).len(), 1);
        let left_out = ["--no-acl", "--no-comments", "--schema=s"].map(str::to_owned);
        assert_eq!(found(&there, &all.and(&left_out)), []);
        assert_eq!(found(&other_owner, &all.and(&left_out)).len(), 1);
    }

    #[test]
    fn each_must_be_there_and_no_other() {
        let (one, two) = (object(1, "ann", None), object(2, "ann", None));
        assert_eq!(
            found(&one, &two, RestoreOptions::default()),
            [
                "Missing 1 it is on the source, and not on the target",
                "Extra 2 it is on the target, and not on the source"
            ]
        );
    }
}
