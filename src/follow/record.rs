//! What a side was before we changed it: written on the publication or subscription that we made there, as its comment. Pure.

use serde::{Deserialize, Serialize};

use crate::model::{QualifiedName, ascii_json};

const FORMAT: u32 = 1;

/// What is to be set back on one side, and who is at the other end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideRecord {
    /// Of this record.
    pub format: u32,
    /// The other end, for people.
    pub other: String,
    /// By what replication found the rows of tables whose replica identity we made full.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identities: Vec<IdentityBefore>,
    /// What `default_transaction_read_only` of the database was before we closed it; `None` as long as we have not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<FenceBefore>,
}

/// A table's replica identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityBefore {
    /// The table.
    pub table: QualifiedName,
    /// As ALTER TABLE takes it: `default`, `nothing`, `using index "x"`.
    pub before: String,
}

/// What is set back when a database is opened again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceBefore {
    /// What `default_transaction_read_only` of the database was; `None` is that it was not set.
    pub value: Option<String>,
    /// Which run has closed it, the last that did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Roles that could log in, and cannot any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
}

impl SideRecord {
    /// Nothing was changed yet.
    pub fn new(other: impl Into<String>) -> Self {
        Self {
            format: FORMAT,
            other: other.into(),
            identities: Vec::new(),
            fence: None,
        }
    }

    /// The same once the database is closed by this run, which it may have been before.
    #[must_use]
    pub fn closed(mut self, setting: Option<String>, by: &str) -> Self {
        // What we have set ourselves is not what was before.
        let fence = self.fence.get_or_insert(FenceBefore {
            value: setting,
            by: None,
            roles: Vec::new(),
        });
        fence.by = Some(by.to_owned());
        self
    }

    /// The same with roles that cannot log in any more while it is closed.
    #[must_use]
    pub fn without_logins(mut self, roles: Vec<String>) -> Self {
        if let Some(fence) = &mut self.fence {
            fence.roles.extend(roles);
        }
        self
    }

    /// As it is written.
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

    #[test]
    fn what_was_before_is_read_again_and_kept() {
        let mut record = SideRecord::new("shop at db:5432");
        record.identities.push(IdentityBefore {
            table: QualifiedName::new("a", "it's {b}"),
            before: "default".to_owned(),
        });
        let record = record.closed(None, "me");
        assert_eq!(SideRecord::parse(&record.text()), Some(record.clone()));
        // Closed once more: what we have set ourselves does not count.
        let again = record.clone().closed(Some("on".to_owned()), "me");
        assert_eq!(again, record);
        let roles = again.without_logins(vec!["app".to_owned()]);
        assert_eq!(SideRecord::parse(&roles.text()), Some(roles));
        assert_eq!(SideRecord::parse("somebody's {words}"), None);
        assert_eq!(SideRecord::parse("somebody's words"), None);
    }
}
