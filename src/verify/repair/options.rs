//! `OPTIONS (…)` of foreign tables and their columns: what changes one list into another. A list that is there is not replaced by
//! a new one, but each option is dropped, set or added.

use super::text::{around_parentheses, at_commas, before, joined, pieces};

/// What stands before `OPTIONS (…)`, if a statement ends with that.
pub(super) fn head(statement: &[u8]) -> Option<&[u8]> {
    taken_apart(statement).map(|(head, _)| head)
}

/// What changes the options at the end of `CREATE FOREIGN TABLE`, if nothing else behind the list of columns differs.
pub(super) fn of_server(source: &[u8], target: &[u8]) -> Option<Vec<u8>> {
    let apart = |tail| taken_apart(tail).unwrap_or((tail, b""));
    let ((ours, wanted), (theirs, found)) = (apart(source), apart(target));
    let is_server = ours.starts_with(b"SERVER ") && ours == theirs;
    is_server.then(|| change(wanted, found)).flatten()
}

/// The same for each statement that sets options, of which there is one for each column.
pub(super) fn of_statements(source: &[&[u8]], target: &[&[u8]]) -> Vec<Vec<u8>> {
    let apart = |statements: &[&'_ [u8]], wanted: &[u8]| -> Vec<u8> {
        let all = statements.iter().filter_map(|one| taken_apart(one));
        let mut of_it = all.filter(|(head, _)| *head == wanted);
        of_it
            .next()
            .map_or_else(Vec::new, |(_, list)| list.to_vec())
    };
    let mut heads: Vec<&[u8]> = Vec::new();
    for statement in source.iter().chain(target).skip(1) {
        heads.extend(
            head(statement).filter(|one| one.starts_with(b"ALTER ") && !heads.contains(one)),
        );
    }
    heads
        .into_iter()
        .filter_map(|head| {
            let change = change(&apart(source, head), &apart(target, head))?;
            Some(joined(&[head, b" ", &change]))
        })
        .collect()
}

/// `OPTIONS (DROP a, SET b 'x', ADD c 'y')`, if the lists differ.
fn change(wanted: &[u8], found: &[u8]) -> Option<Vec<u8>> {
    let (wanted, found) = (list(wanted)?, list(found)?);
    let mut parts = Vec::new();
    for (name, _) in &found {
        if !wanted.iter().any(|(other, _)| other == name) {
            parts.push(joined(&[b"DROP ", name]));
        }
    }
    for (name, value) in &wanted {
        let verb: &[u8] = match found.iter().find(|(other, _)| other == name) {
            None => b"ADD ",
            Some((_, there)) if there != value => b"SET ",
            Some(_) => continue,
        };
        parts.push(joined(&[verb, name, b" ", value]));
    }
    (!parts.is_empty()).then(|| joined(&[b"OPTIONS (", &parts.join(&b", "[..]), b")"]))
}

/// Names and values.
fn list(options: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    let options = at_commas(options).into_iter();
    options
        .map(|option| {
            let name = pieces(option).first()?.end;
            Some((&option[..name], option[name..].trim_ascii()))
        })
        .collect()
}

/// What stands before `OPTIONS`, and what stands between its parentheses.
fn taken_apart(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let head = before(text, &["OPTIONS"])?;
    let (word, list, rest) = around_parentheses(text.get(head.len()..)?)?;
    (word.eq_ignore_ascii_case(b"OPTIONS") && rest.is_empty()).then_some((head, list))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(source: &[&str], target: &[&str]) -> Vec<String> {
        let left: Vec<&[u8]> = source.iter().map(|one| one.as_bytes()).collect();
        let right: Vec<&[u8]> = target.iter().map(|one| one.as_bytes()).collect();
        let all = of_statements(&left, &right).into_iter();
        all.map(|one| String::from_utf8_lossy(&one).into_owned())
            .collect()
    }

    #[test]
    fn a_column_keeps_the_options_that_are_right() {
        let id = "ALTER FOREIGN TABLE ONLY t ALTER COLUMN id OPTIONS (\n    a '1',\n    \"B c\" 'x,''y'\n)";
        let other =
            "ALTER FOREIGN TABLE ONLY t ALTER COLUMN id OPTIONS (\n    a '1',\n    \"B c\" 'z'\n)";
        let create = "CREATE FOREIGN TABLE t";
        assert_eq!(
            changed(&[create, id], &[create, other]),
            ["ALTER FOREIGN TABLE ONLY t ALTER COLUMN id OPTIONS (SET \"B c\" 'x,''y')"]
        );
        assert_eq!(
            changed(&[create], &[create, id]),
            ["ALTER FOREIGN TABLE ONLY t ALTER COLUMN id OPTIONS (DROP a, DROP \"B c\")"]
        );
        assert_eq!(
            changed(&[create, id], &[create]),
            ["ALTER FOREIGN TABLE ONLY t ALTER COLUMN id OPTIONS (ADD a '1', ADD \"B c\" 'x,''y')"]
        );
        assert!(changed(&[create, id], &[create, id]).is_empty());
    }

    #[test]
    fn another_server_is_no_matter_of_options() {
        assert_eq!(of_server(b"SERVER a\nOPTIONS (x '1')", b"SERVER b"), None);
        assert_eq!(
            of_server(b"SERVER a\nOPTIONS (x '1')", b"SERVER a"),
            Some(b"OPTIONS (ADD x '1')".to_vec())
        );
    }
}
