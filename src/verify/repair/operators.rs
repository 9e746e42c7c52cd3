//! Operators: their estimators can be changed in place. Anything else means a new operator, with another oid, which values of
//! type `regoperator` and whatever else knows the old one by its oid would not follow.

use crate::toc::Entry;

use super::build::drop_statement;
use super::draft::Draft;
use super::graph::comes_with_its_object;
use super::step::{Phase, Statement};
use super::text::{around_parentheses, at_commas, joined};

/// What `ALTER OPERATOR … SET` has always been able to change.
const ESTIMATORS: [&str; 2] = ["RESTRICT", "JOIN"];

impl<'a> Draft<'a> {
    /// Sets the estimators, if only these differ. Returns what is not covered.
    pub(super) fn alter_operator(
        &mut self,
        ours: &'a Entry,
        theirs: &'a Entry,
        about: &str,
    ) -> Vec<String> {
        let settings = estimators(ours.defn_bytes(), theirs.defn_bytes());
        let dropped = drop_statement(theirs).map(|statement| statement.sql);
        let name = dropped
            .as_deref()
            .and_then(|sql| sql.strip_prefix(b"DROP OPERATOR "));
        if let (Some(settings), Some(name)) = (settings, name) {
            let sql = joined(&[b"ALTER OPERATOR ", name, b" SET (", &settings, b")"]);
            let place = self.source.place(ours);
            self.step(Phase::Define, place, about, vec![Statement::of_dump(sql)]);
            return Vec::new();
        }
        let there = self.target.place(theirs);
        let dependents = self.target.dependents(there).into_iter();
        let mut dependents = dependents.filter_map(|place| self.target.at(place));
        if let Some(entry) = dependents.find(|entry| !comes_with_its_object(entry)) {
            return vec![format!(
                "it would have to be dropped and made again, and {} {} needs it",
                entry.desc.to_lowercase(),
                entry.tag_lossy()
            )];
        }
        self.recreate(ours, theirs, about)
    }
}

/// `RESTRICT = f, JOIN = NONE`: what makes the target's estimators the source's, if nothing else differs.
fn estimators(source: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    let ((ours, mut left), (theirs, mut right)) = (parts(source)?, parts(target)?);
    if ours != theirs {
        return None;
    }
    let mut settings = Vec::new();
    for name in ESTIMATORS {
        let (wanted, found) = (take(&mut left, name), take(&mut right, name));
        if wanted != found {
            let value = wanted.unwrap_or(b"NONE");
            settings.push(joined(&[name.as_bytes(), b" = ", value]));
        }
    }
    (left == right && !settings.is_empty()).then(|| settings.join(&b", "[..]))
}

/// `CREATE OPERATOR name`, and what stands between the parentheses.
fn parts(definition: &[u8]) -> Option<(&[u8], Vec<&[u8]>)> {
    let (head, list, _) = around_parentheses(definition)?;
    Some((head, at_commas(list)))
}

/// Takes the value of `name = value` out of a list.
fn take<'s>(list: &mut Vec<&'s [u8]>, name: &str) -> Option<&'s [u8]> {
    let value = |item: &'s [u8]| {
        let rest = item.strip_prefix(name.as_bytes())?.trim_ascii_start();
        Some(rest.strip_prefix(b"=")?.trim_ascii())
    };
    let at = list.iter().position(|item| value(item).is_some())?;
    value(list.remove(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(source: &str, target: &str) -> Option<String> {
        let create = |list: &str| format!("CREATE OPERATOR s.<= (\n    {list}\n);\n");
        let settings = estimators(create(source).as_bytes(), create(target).as_bytes());
        settings.map(|text| String::from_utf8_lossy(&text).into_owned())
    }

    #[test]
    fn only_estimators_are_set() {
        let whole = "FUNCTION = s.le,\n    LEFTARG = int,\n    RESTRICT = scalarlesel,\n    JOIN = s.\"a,b\"";
        let bare = "FUNCTION = s.le,\n    LEFTARG = int";
        assert_eq!(
            compared(whole, bare).as_deref(),
            Some("RESTRICT = scalarlesel, JOIN = s.\"a,b\"")
        );
        assert_eq!(
            compared(bare, whole).as_deref(),
            Some("RESTRICT = NONE, JOIN = NONE")
        );
        assert_eq!(compared(whole, &whole.replace("s.le", "s.lt")), None);
        assert_eq!(compared(whole, &format!("{bare},\n    HASHES")), None);
        assert_eq!(compared(whole, whole), None);
    }
}
