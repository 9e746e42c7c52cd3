//! What of extensions is said and is no difference: whose they are, and what another version of a server has otherwise.

use crate::model::shown_ident;

use super::super::some_of;
use super::Values;

/// What is no difference, and said all the same.
#[derive(Default)]
pub(super) struct Said {
    /// What of extensions is not the same on another major version.
    pub(super) scripts: Vec<String>,
    /// Extensions of other owners.
    owners: Vec<String>,
    /// Functions of extensions of other owners.
    function_owners: Vec<String>,
}

impl Said {
    pub(super) fn owner(&mut self, extension: &str, values: Values<'_>) {
        let nobody = "a superuser";
        self.owners.push(owner_in_words(extension, nobody, values));
    }

    pub(super) fn function_owner(&mut self, function: &str, values: Values<'_>) {
        let nobody = "a superuser or the extension's owner";
        let words = owner_in_words(function, nobody, values);
        self.function_owners.push(words);
    }

    pub(super) fn in_words(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if !self.scripts.is_empty() {
            notes.push(format!(
                "Not the same on the target: {}. It cannot be known whether this was changed by hand, which no dump carries, or the \
                 extension defines it differently on that version of the server.",
                some_of(&self.scripts)
            ));
        }
        if !self.owners.is_empty() {
            notes.push(format!(
                "Extensions belong to other roles on the target than on the source, because no dump says whose they are: {}. Only their \
                 owners and superusers can update or drop them.",
                some_of(&self.owners)
            ));
        }
        if !self.function_owners.is_empty() {
            notes.push(format!(
                "Functions of extensions belong to other roles on the target than on the source, because no dump says whose they are: {}. \
                 One with SECURITY DEFINER runs as its owner; ALTER FUNCTION … OWNER TO gives it the same.",
                some_of(&self.function_owners)
            ));
        }
        notes
    }
}

fn owner_in_words(object: &str, nobody: &str, (ours, theirs): Values<'_>) -> String {
    let shown = |owner: Option<&str>| owner.map_or_else(|| nobody.to_owned(), shown_ident);
    format!(
        "{object} ({} on the source, {} on the target)",
        shown(ours),
        shown(theirs)
    )
}
