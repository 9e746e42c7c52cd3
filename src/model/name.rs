//! Names and numbers that identify things.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Word, quote_ident};

/// A schema-qualified name. `Display` quotes it the way `pg_dump` does, so it can be pasted into psql.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QualifiedName {
    /// Schema, unquoted.
    pub schema: Word,
    /// Object name, unquoted.
    pub name: Word,
}

impl QualifiedName {
    /// From two unquoted names.
    pub fn new(schema: impl Into<Word>, name: impl Into<Word>) -> Self {
        Self {
            schema: schema.into(),
            name: name.into(),
        }
    }

    /// For people: quoted only where it must be. `Display` is for SQL.
    pub fn shown(&self) -> String {
        format!("{}.{}", shown_ident(&self.schema), shown_ident(&self.name))
    }
}

impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}.{}",
            quote_ident(&self.schema),
            quote_ident(&self.name)
        )
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number!(
    /// A Postgres object identifier. Only meaningful on the server it was read from.
    Oid(u32)
);
number!(
    /// A job's number within one plan, counted from 0.
    JobId(u32)
);
number!(
    /// The identifier that `pg_dump` gave an entry of its table of contents.
    DumpId(i32)
);

/// An identifier for people: in quotes only where SQL would ask for them (keywords apart).
pub fn shown_ident(name: &str) -> String {
    let first = name.chars().next();
    let plain = first.is_some_and(|first| first.is_ascii_lowercase() || first == '_')
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '$'));
    if plain {
        name.to_owned()
    } else {
        quote_ident(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_for_people_are_quoted_only_where_they_must_be() {
        assert_eq!(QualifiedName::new("public", "a_1$").shown(), "public.a_1$");
        assert_eq!(QualifiedName::new("1", "A b").shown(), "\"1\".\"A b\"");
        assert_eq!(
            QualifiedName::new("s", "a\"b").to_string(),
            "\"s\".\"a\"\"b\""
        );
    }
}
