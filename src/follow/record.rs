//! What a side was before we changed it: recorded in the comment of the publication or subscription that we made there. Pure.

use serde::{Deserialize, Serialize};

use super::tables::Table;
use crate::model::{QualifiedName, ascii_json};

const FORMAT: u32 = 1;

/// What is to be put back on one side, and who is at the other end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideRecord {
    /// Version of the record's format.
    pub format: u32,
    /// The other end, for people.
    pub other: String,
    /// The previous identities of tables whose replica identity we made full.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identities: Vec<IdentityBefore>,
    /// The database's `default_transaction_read_only` before we closed it; `None` until we do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<FenceBefore>,
}

/// A table's previous replica identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityBefore {
    /// The table.
    pub table: QualifiedName,
    /// As ALTER TABLE takes it: `default`, `nothing`, `using index "x"`.
    pub before: String,
}

/// What is put back when a database is opened again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceBefore {
    /// The database's previous `default_transaction_read_only`; `None` if it was not set.
    pub value: Option<String>,
    /// The run that closed it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Roles that could log in before, and now cannot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
}

impl IdentityBefore {
    /// The index that it names.
    fn index(&self) -> Option<String> {
        let named = self.before.strip_prefix("using index ")?;
        let quoted = named
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        Some(quoted.map_or_else(|| named.to_owned(), |inside| inside.replace("\"\"", "\"")))
    }
}

impl SideRecord {
    /// A record of a side on which nothing was changed yet.
    pub fn new(other: impl Into<String>) -> Self {
        Self {
            format: FORMAT,
            other: other.into(),
            identities: Vec::new(),
            fence: None,
        }
    }

    /// The same, with the database closed by this run; it may have been closed before.
    #[must_use]
    pub fn closed(mut self, setting: Option<String>, by: &str) -> Self {
        // What we set ourselves is not what was there before.
        let fence = self.fence.get_or_insert(FenceBefore {
            value: setting,
            by: None,
            roles: Vec::new(),
        });
        fence.by = Some(by.to_owned());
        self
    }

    /// The same, with roles that cannot log in while it is closed.
    #[must_use]
    pub fn without_logins(mut self, roles: Vec<String>) -> Self {
        if let Some(fence) = &mut self.fence {
            fence.roles.extend(roles);
        }
        self
    }

    /// What is gone cannot be put back: a table is dropped from the record, and an index gives way to the default. Returns what
    /// there is to say about them.
    pub fn forget_gone_identities(&mut self, tables: &[Table]) -> Vec<String> {
        let mut said = Vec::new();
        self.identities.retain_mut(|one| {
            let Some(table) = tables.iter().find(|table| table.name == one.table) else {
                said.push(format!(
                    "{} is not there any more: if it has another name now, ALTER TABLE … REPLICA IDENTITY sets back there what it had ({})",
                    one.table.shown(),
                    one.before
                ));
                return false;
            };
            if let Some(index) = one.index().filter(|index| !table.keys.indexes.contains(index)) {
                said.push(format!(
                    "{}: index {index}, its replica identity before, is not there any more, or not fit for it; it has REPLICA IDENTITY \
                     DEFAULT now",
                    one.table.shown()
                ));
                "default".clone_into(&mut one.before);
            }
            true
        });
        said
    }

    /// The comment's text.
    pub fn text(&self) -> String {
        // Strings always fit into JSON.
        let json = serde_json::to_string(self).unwrap_or_default();
        format!(
            "Made by pgconvoy; remove it with pgconvoy unfollow. {}",
            ascii_json(&json)
        )
    }

    /// From a comment; `None` if it is not ours.
    pub fn parse(text: &str) -> Option<Self> {
        let json = &text[text.find('{')?..];
        let record: Self = serde_json::from_str(json).ok()?;
        (record.format == FORMAT).then_some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::follow::Keys;

    #[test]
    fn what_is_gone_is_left_out_and_said() {
        let identity = |table: &str, before: &str| IdentityBefore {
            table: QualifiedName::new("s", table),
            before: before.to_owned(),
        };
        let table = |name: &str, index: &str| Table {
            name: QualifiedName::new("s", name),
            is_logged: true,
            identity: "full".to_owned(),
            keys: Keys {
                indexes: vec![index.to_owned()],
                ..Keys::default()
            },
            forced_rls: false,
            owner_bypasses_rls: false,
            scattered_below: None,
            columns: String::new(),
        };
        let mut record = SideRecord::new("there");
        record.identities = vec![
            identity("plain", "nothing"),
            identity("dropped", "default"),
            // Quoted as a server does it, and as we do.
            identity("a", "using index one"),
            identity("b", "using index \"the \"\"index\""),
            identity("c", "using index gone"),
        ];
        let tables = [
            table("plain", "one"),
            table("a", "one"),
            table("b", "the \"index"),
            table("c", "one"),
        ];
        let said = record.forget_gone_identities(&tables);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].contains("s.dropped"), "{said:?}");
        assert!(said[1].contains("index gone"), "{said:?}");
        let kept: Vec<&str> = record
            .identities
            .iter()
            .map(|one| one.before.as_str())
            .collect();
        assert_eq!(
            kept,
            [
                "nothing",
                "using index one",
                "using index \"the \"\"index\"",
                "default"
            ]
        );
    }

    #[test]
    fn what_was_before_is_read_again_and_kept() {
        let mut record = SideRecord::new("shop at db:5432");
        record.identities.push(IdentityBefore {
            table: QualifiedName::new("a", "it's {b}"),
            before: "default".to_owned(),
        });
        let record = record.closed(None, "me");
        assert_eq!(SideRecord::parse(&record.text()), Some(record.clone()));
        // Closed once more: our own setting does not count.
        let again = record.clone().closed(Some("on".to_owned()), "me");
        assert_eq!(again, record);
        let roles = again.without_logins(vec!["app".to_owned()]);
        assert_eq!(SideRecord::parse(&roles.text()), Some(roles));
        assert_eq!(SideRecord::parse("somebody's {words}"), None);
        assert_eq!(SideRecord::parse("somebody's words"), None);
    }
}
