//! Types that can grow: values of an enum, constraints of a domain.

use super::step::Statement;
use super::text::{around_parentheses, at_commas, before, between, joined, pieces};

/// The `ALTER TYPE … ADD VALUE` that make the target's values the source's; `None` if the two are not both enums, and why not if
/// the target has a value that the source has not, or another order.
pub(super) fn additions(
    name: &[u8],
    source: &[u8],
    target: &[u8],
) -> Option<Result<Vec<Statement>, String>> {
    let (ours, theirs) = (values(source)?, values(target)?);
    let kept: Vec<&[u8]> = ours
        .iter()
        .copied()
        .filter(|value| theirs.contains(value))
        .collect();
    if kept != theirs {
        return Some(Err(
            "a value cannot be taken from an enum, and its order cannot be changed: make a new type and change the columns to it".to_owned(),
        ));
    }
    let mut statements = Vec::new();
    let mut previous: Option<&[u8]> = None;
    for value in ours {
        if !theirs.contains(&value) {
            let alter = joined(&[b"ALTER TYPE ", name, b" ADD VALUE ", value]);
            // Without a place it is the last one, which is right for the first of an empty enum only.
            let place = match (previous, theirs.first()) {
                (Some(previous), _) => joined(&[b" AFTER ", previous]),
                (None, Some(first)) => joined(&[b" BEFORE ", first]),
                (None, None) => Vec::new(),
            };
            statements.push(Statement::of_dump(joined(&[&alter, &place])));
        }
        previous = Some(value);
    }
    Some(Ok(statements))
}

fn values(definition: &[u8]) -> Option<Vec<&[u8]>> {
    let (head, list, _) = around_parentheses(definition)?;
    pieces(head).last().filter(|piece| piece.is_word("ENUM"))?;
    Some(at_commas(list))
}

/// A `CREATE DOMAIN`, taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Domain<'a> {
    /// Type and collation.
    pub data_type: &'a [u8],
    pub not_null: bool,
    pub default: Option<&'a [u8]>,
    /// Name and whole text.
    pub constraints: Vec<(&'a [u8], &'a [u8])>,
}

/// `CREATE DOMAIN d AS type [COLLATE c] [NOT NULL] [DEFAULT e] [CONSTRAINT n CHECK (…)] …`, as `pg_dump` writes it.
pub(super) fn domain(definition: &[u8]) -> Option<Domain<'_>> {
    const CLAUSES: [&str; 4] = ["NOT", "DEFAULT", "CONSTRAINT", "CHECK"];
    let definition = definition.trim_ascii();
    let definition = definition.strip_suffix(b";").unwrap_or(definition);
    let rest = between(definition, "AS", &[])?;
    let tokens = pieces(rest);
    let mut starts: Vec<usize> = tokens
        .iter()
        .filter(|piece| piece.is_word("CONSTRAINT"))
        .map(|piece| piece.start)
        .collect();
    starts.push(rest.len());
    let constraint = |window: &[usize]| {
        let text = rest.get(*window.first()?..*window.last()?)?.trim_ascii();
        Some((pieces(text).get(1)?.text, text))
    };
    let head = &rest[..starts[0]];
    Some(Domain {
        data_type: before(head, &CLAUSES).unwrap_or_else(|| head.trim_ascii()),
        not_null: between(head, "NOT", &[]).is_some(),
        default: between(head, "DEFAULT", &[]),
        constraints: starts.windows(2).filter_map(constraint).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_added_in_their_places() {
        let source = b"CREATE TYPE s.e AS ENUM (\n    'a',\n    'b',\n    'c,'\n);\n";
        let target = b"CREATE TYPE s.e AS ENUM (\n    'b'\n);\n";
        let added = additions(b"s.e", source, target)
            .expect("enums")
            .expect("possible");
        let texts: Vec<String> = added.iter().map(Statement::to_string_lossy).collect();
        assert_eq!(
            texts,
            [
                "ALTER TYPE s.e ADD VALUE 'a' BEFORE 'b'",
                "ALTER TYPE s.e ADD VALUE 'c,' AFTER 'b'"
            ]
        );
        assert!(additions(b"s.e", target, source).is_some_and(|found| found.is_err()));
        assert!(additions(b"s.e", b"CREATE TYPE s.e AS (a int)", target).is_none());
    }

    #[test]
    fn a_domain_comes_apart() {
        let found = domain(
            b"CREATE DOMAIN s.d AS text COLLATE x NOT NULL DEFAULT 'a'::text\n\tCONSTRAINT c CHECK ((VALUE <> ''::text))\n\tCONSTRAINT e CHECK (true);\n",
        )
        .expect("a domain");
        assert_eq!(found.data_type, b"text COLLATE x");
        assert!(found.not_null);
        assert_eq!(found.default, Some(&b"'a'::text"[..]));
        let names: Vec<&[u8]> = found.constraints.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, [b"c", b"e"]);
    }
}
