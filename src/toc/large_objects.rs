//! Who may use large objects, and what is said of them, as the statements of an archive have it.
//!
//! A `pg_dump` that describes definitions alone does not say this of a target: it is compared with what the target's catalog has.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{DumpId, Oid, SqlText};

use super::described::unquoted;
use super::tokens::{Kind, Tokens};
use super::{Entry, RestoreOptions, Text, Toc, archive, restore_statements, split_statements};

/// Who (`None` is everybody) may do what, and whether they may grant it on.
pub type Granted = BTreeMap<(Option<String>, String), bool>;

/// What an archive says of its large objects besides their content.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LargeObjectNotes {
    /// Owners, where they are said.
    pub owners: BTreeMap<Oid, String>,
    /// Privileges, of those that have others than by default.
    pub grants: BTreeMap<Oid, Granted>,
    /// Comments, as bytes of the archive's encoding.
    pub comments: BTreeMap<Oid, Text>,
    /// Objects of which something is said that was not understood; 0 if it is not even clear of which.
    pub not_understood: BTreeSet<Oid>,
}

/// The kind of an entry that describes several.
const METADATA: &str = "BLOB METADATA";
/// All that can be granted on a large object.
const ALL: [&str; 2] = ["SELECT", "UPDATE"];

impl Toc {
    /// Reads the statements about large objects.
    pub fn large_object_notes(&self) -> LargeObjectNotes {
        let mut notes = LargeObjectNotes::default();
        for entry in &self.entries {
            match entry.desc.as_str() {
                "BLOB" => own(entry, &entry.tag, &mut notes),
                "BLOB METADATA" => own(entry, entry.defn_bytes(), &mut notes),
                _ => {}
            }
        }
        for entry in self
            .entries
            .iter()
            .filter(|entry| entry.is_of_large_object())
        {
            match entry.desc.as_str() {
                "ACL" => self.grants(entry, &mut notes),
                "COMMENT" => self.comment(entry, &mut notes),
                _ => {}
            }
        }
        notes
    }

    /// The same without some of them, and without what is said of these.
    #[must_use]
    pub fn without_large_objects(mut self, left_out: &BTreeSet<Oid>) -> Self {
        if left_out.is_empty() {
            return self;
        }
        let is_left_out = |text: &str| {
            let oid = text.parse().map(Oid);
            oid.is_ok_and(|oid| left_out.contains(&oid))
        };
        // Since 17 an entry is about many, one number a line. Of which none is left, nothing else may depend.
        let mut gone: BTreeSet<DumpId> = BTreeSet::new();
        for entry in self.entries.iter_mut().filter(|one| one.is(METADATA)) {
            let text = String::from_utf8_lossy(entry.defn_bytes()).into_owned();
            let lines = text.split_inclusive('\n');
            let rest: String = lines.filter(|line| !is_left_out(line.trim_end())).collect();
            if rest.is_empty() {
                gone.insert(entry.dump_id);
            } else {
                entry.defn = Some(SqlText::from(rest));
            }
        }
        let is_gone = |entry: &Entry| match entry.desc.as_str() {
            "BLOB" => is_left_out(&entry.tag_lossy()),
            METADATA => gone.contains(&entry.dump_id),
            "BLOBS" => entry.dependencies.iter().any(|id| gone.contains(id)),
            _ if entry.is_of_large_object() => {
                named(entry).is_some_and(|oid| left_out.contains(&oid))
                    || entry.dependencies.iter().any(|id| gone.contains(id))
            }
            _ => false,
        };
        self.entries.retain(|entry| !is_gone(entry));
        self
    }

    fn grants(&self, entry: &Entry, notes: &mut LargeObjectNotes) {
        let named = named(entry);
        let restored = restore_statements(self, entry, &RestoreOptions::default());
        let statements = restored
            .map(|restored| restored.statements)
            .unwrap_or_default();
        if statements.is_empty() {
            notes.not_understood.insert(named.unwrap_or(Oid(0)));
            return;
        }
        for sql in &statements {
            let parts = split_statements(sql.as_bytes(), self.std_strings()).unwrap_or_default();
            for part in parts {
                let words = Words::of(part, self.std_strings());
                if words.apply(notes).is_none() && !words.is_about_the_session() {
                    let object = words.object().or(named);
                    notes.not_understood.insert(object.unwrap_or(Oid(0)));
                }
            }
        }
    }

    fn comment(&self, entry: &Entry, notes: &mut LargeObjectNotes) {
        let text = split_statements(entry.defn_bytes(), self.std_strings())
            .ok()
            .and_then(|parts| parts.first().map(|part| part.to_vec()));
        let words = text
            .as_deref()
            .map(|text| Words::of(text, self.std_strings()));
        let Some(object) = words.as_ref().and_then(Words::object).or(named(entry)) else {
            return;
        };
        let last = words.as_ref().and_then(|words| words.0.last().cloned());
        match last
            .as_ref()
            .map(|(kind, text)| (kind, archive::literal(text)))
        {
            Some((Kind::Literal, Some(comment))) => {
                notes.comments.insert(object, comment);
            }
            _ => {
                notes.not_understood.insert(object);
            }
        }
    }
}

fn own(entry: &Entry, oids: &[u8], notes: &mut LargeObjectNotes) {
    let Some(owner) = entry.owner.as_ref().filter(|owner| !owner.is_empty()) else {
        return;
    };
    let oids = String::from_utf8_lossy(oids).into_owned();
    let oids = oids
        .split_ascii_whitespace()
        .filter_map(|oid| oid.parse().ok());
    let owner = owner.to_string_lossy();
    notes
        .owners
        .extend(oids.map(|oid| (Oid(oid), owner.clone())));
}

/// `LARGE OBJECT 16411`.
fn named(entry: &Entry) -> Option<Oid> {
    let oid = entry.tag.strip_prefix(b"LARGE OBJECT ")?;
    std::str::from_utf8(oid).ok()?.parse().ok().map(Oid)
}

/// What stands where a role should.
struct NoRole;

/// A statement, cut up.
struct Words(Vec<(Kind, Vec<u8>)>);

impl Words {
    fn of(sql: &[u8], std_strings: bool) -> Self {
        let tokens = Tokens::new(sql, std_strings).map_while(Result::ok);
        let words = tokens.filter(|token| token.kind != Kind::Comment);
        Self(
            words
                .map(|token| {
                    let text = sql.get(token.start..token.end).unwrap_or_default();
                    (token.kind, text.to_vec())
                })
                .collect(),
        )
    }

    fn is(&self, at: usize, word: &str) -> bool {
        self.0.get(at).is_some_and(|(kind, text)| {
            *kind != Kind::QuotedName && text.eq_ignore_ascii_case(word.as_bytes())
        })
    }

    fn find(&self, word: &str) -> Option<usize> {
        (0..self.0.len()).find(|&at| self.is(at, word))
    }

    /// The large object that it names.
    fn object(&self) -> Option<Oid> {
        let at = self.find("LARGE").filter(|at| self.is(at + 1, "OBJECT"))?;
        let (_, oid) = self.0.get(at + 2)?;
        std::str::from_utf8(oid).ok()?.parse().ok().map(Oid)
    }

    /// Who grants does not matter.
    fn is_about_the_session(&self) -> bool {
        self.is(0, "SET") || self.is(0, "RESET")
    }

    /// `None` is everybody.
    fn role(&self, at: usize) -> Result<Option<String>, NoRole> {
        let (kind, text) = self.0.get(at).ok_or(NoRole)?;
        match kind {
            Kind::QuotedName => Ok(Some(unquoted(text).ok_or(NoRole)?.to_string_lossy())),
            Kind::Word if text.eq_ignore_ascii_case(b"PUBLIC") => Ok(None),
            Kind::Word => Ok(Some(String::from_utf8_lossy(text).into_owned())),
            _ => Err(NoRole),
        }
    }

    /// What a GRANT or REVOKE does to the privileges; `None` if it is neither, or has more than `pg_dump` writes.
    fn apply(&self, notes: &mut LargeObjectNotes) -> Option<()> {
        let grants = self.is(0, "GRANT");
        if !grants && !self.is(0, "REVOKE") {
            return None;
        }
        let object = self.object()?;
        let on = self.find("ON")?;
        let mut privileges: Vec<String> = Vec::new();
        for (kind, text) in self.0.get(1..on)? {
            match kind {
                Kind::Word if text.eq_ignore_ascii_case(b"ALL") => {
                    privileges.extend(ALL.map(str::to_owned));
                }
                Kind::Word if text.eq_ignore_ascii_case(b"PRIVILEGES") => {}
                Kind::Word => privileges.push(String::from_utf8_lossy(text).to_ascii_uppercase()),
                Kind::Symbol if text == b"," => {}
                _ => return None,
            }
        }
        let to = self.find(if grants { "TO" } else { "FROM" })?;
        let role = self.role(to + 1).ok()?;
        let rest = self.0.len() - (to + 2);
        let grantable = self.is(to + 2, "WITH") && self.is(to + 3, "GRANT") && rest == 3;
        if rest > 0 && !grantable {
            return None;
        }
        let owner = notes.owners.get(&object).cloned();
        let held = notes.grants.entry(object).or_insert_with(|| {
            let of_owner = |privilege: &str| ((owner.clone(), privilege.to_owned()), false);
            ALL.iter()
                .filter(|_| owner.is_some())
                .map(|privilege| of_owner(privilege))
                .collect()
        });
        for privilege in privileges {
            if grants {
                *held.entry((role.clone(), privilege)).or_default() |= grantable;
            } else {
                held.remove(&(role.clone(), privilege));
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{entry, toc};
    use super::*;

    #[test]
    fn grants_are_what_the_statements_come_to() {
        let mut notes = LargeObjectNotes::default();
        notes.owners.insert(Oid(7), "ann".to_owned());
        for sql in [
            "REVOKE ALL ON LARGE OBJECT 7 FROM ann",
            "GRANT SELECT ON LARGE OBJECT 7 TO ann",
            "GRANT SELECT,UPDATE ON LARGE OBJECT 7 TO \"Bob B\" WITH GRANT OPTION",
            "GRANT SELECT ON LARGE OBJECT 7 TO PUBLIC",
        ] {
            let understood = Words::of(sql.as_bytes(), true).apply(&mut notes);
            assert_eq!(understood, Some(()), "{sql}");
        }
        let role = |name: &str| Some(name.to_owned());
        let expected = Granted::from([
            ((role("ann"), "SELECT".to_owned()), false),
            ((role("Bob B"), "SELECT".to_owned()), true),
            ((role("Bob B"), "UPDATE".to_owned()), true),
            ((None, "SELECT".to_owned()), false),
        ]);
        assert_eq!(notes.grants[&Oid(7)], expected);
    }

    #[test]
    fn some_are_left_out_with_what_is_said_of_them() {
        let of = |id: i32, desc: &str, tag: &str| Entry {
            dump_id: DumpId(id),
            tag: tag.into(),
            ..entry(desc)
        };
        let many = |id: i32, oids: &str| Entry {
            defn: Some(SqlText::from(oids)),
            ..of(id, METADATA, "LARGE OBJECTS 7..9")
        };
        let on = |id: i32, on: i32, desc: &str, tag: &str| Entry {
            dependencies: Box::new([DumpId(on)]),
            ..of(id, desc, tag)
        };
        let all = toc(vec![
            many(1, "7\n8\n9\n"),
            on(2, 1, "BLOBS", "BLOBS"),
            on(3, 1, "COMMENT", "LARGE OBJECT 7"),
            on(4, 1, "COMMENT", "LARGE OBJECT 8"),
            on(5, 1, "ACL", "LARGE OBJECTS 7..9"),
            many(11, "77\n"),
            on(12, 11, "BLOBS", "BLOBS"),
            on(13, 11, "ACL", "LARGE OBJECT 77"),
        ]);
        let rest = all.without_large_objects(&BTreeSet::from([Oid(7), Oid(77)]));
        let ids: Vec<i32> = rest.entries.iter().map(|entry| entry.dump_id.0).collect();
        assert_eq!(ids, [1, 2, 4, 5]);
        assert_eq!(rest.entries[0].defn_bytes(), b"8\n9\n");
        // Before 17 there was an entry for each.
        let all = toc(vec![
            of(1, "BLOB", "7"),
            of(2, "BLOB", "8"),
            of(3, "BLOBS", "BLOBS"),
        ]);
        let rest = all.without_large_objects(&BTreeSet::from([Oid(7)]));
        let ids: Vec<i32> = rest.entries.iter().map(|entry| entry.dump_id.0).collect();
        assert_eq!(ids, [2, 3]);
    }

    #[test]
    fn what_is_said_of_them_is_found_in_their_entries() {
        let object = Entry {
            tag: "7".into(),
            owner: Some("ann".into()),
            ..entry("BLOB")
        };
        let said = |desc: &str, sql: &str| Entry {
            tag: "LARGE OBJECT 7".into(),
            defn: Some(SqlText::from(sql)),
            ..entry(desc)
        };
        let comment = said("COMMENT", "COMMENT ON LARGE OBJECT 7 IS 'it''s';\n");
        let odd = said("ACL", "GRANT SELECT ON LARGE OBJECT 7 TO a GRANTED BY b;\n");
        let notes = toc(vec![object.clone(), comment]).large_object_notes();
        assert_eq!(notes.comments[&Oid(7)], Text::from("it's"));
        assert_eq!(notes.owners[&Oid(7)], "ann");
        let notes = toc(vec![object, odd]).large_object_notes();
        assert!(notes.not_understood.contains(&Oid(7)));
    }
}
