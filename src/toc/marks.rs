//! What a server notes of its columns for itself, and an older `pg_dump` takes for options of theirs.
//!
//! From 15.20 on a server keeps with each column when it got its type, as `pg_attver` among
//! `pg_attribute.attoptions`. Its own `pg_dump` knows that. An older one writes `ALTER TABLE ONLY … ALTER COLUMN … SET (pg_attver=1)`, which
//! no other server takes, and which is another number on each.

use memchr::memmem;

/// How the number is called there.
const MARK: &[u8] = b"pg_attver=";
/// How the statements begin that set options of columns, each in a line of its own.
const STATEMENTS: [&[u8]; 2] = [b"ALTER TABLE ONLY ", b"ALTER FOREIGN TABLE ONLY "];
const SET: &[u8] = b" SET (";
const END: &[u8] = b");";
const BETWEEN: &[u8] = b", ";

/// A definition of a table without such numbers; `None` if it has none.
pub(super) fn without_marks(defn: &[u8]) -> Option<Vec<u8>> {
    memmem::find(defn, MARK)?;
    let mut rest = Vec::with_capacity(defn.len());
    for line in defn.split_inclusive(|&byte| byte == b'\n') {
        match unmarked(line) {
            Some(line) => rest.extend(line),
            None => rest.extend_from_slice(line),
        }
    }
    Some(rest)
}

/// A statement without them, and nothing if it sets nothing else; `None` if it is another one.
fn unmarked(line: &[u8]) -> Option<Vec<u8>> {
    let sets_options = STATEMENTS.iter().any(|begins| line.starts_with(begins));
    let start = memmem::rfind(line, SET).filter(|_| sets_options)? + SET.len();
    let end = memmem::rfind(line, END)?;
    let options = split(line.get(start..end)?);
    let is_mark = |option: &&[u8]| option.starts_with(MARK);
    if !options.iter().all(|option| is_number(option)) || !options.iter().any(is_mark) {
        return None;
    }
    let others: Vec<&[u8]> = options.into_iter().filter(|one| !is_mark(one)).collect();
    if others.is_empty() {
        return Some(Vec::new());
    }
    let (head, tail) = (line.get(..start)?, line.get(end..)?);
    Some([head, &others.join(BETWEEN), tail].concat())
}

/// `name=1.5`, as all options of columns are.
fn is_number(option: &[u8]) -> bool {
    let mut parts = option.splitn(2, |&byte| byte == b'=');
    let is_name = |name: &[u8]| {
        name.iter()
            .all(|byte| byte.is_ascii_lowercase() || *byte == b'_')
    };
    let is_value = |value: &[u8]| {
        value
            .iter()
            .all(|byte| byte.is_ascii_digit() || b".eE+-".contains(byte))
    };
    parts.next().is_some_and(is_name) && parts.next().is_some_and(is_value)
}

fn split(mut options: &[u8]) -> Vec<&[u8]> {
    let mut all = Vec::new();
    while let Some(at) = memmem::find(options, BETWEEN) {
        all.push(&options[..at]);
        options = &options[at + BETWEEN.len()..];
    }
    all.push(options);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str =
        "CREATE TABLE public.t (\n    a integer,\n    b text DEFAULT 'pg_attver=1'::text\n);\n";

    fn without(defn: &str) -> Option<String> {
        without_marks(defn.as_bytes()).map(|rest| String::from_utf8(rest).expect("it is text"))
    }

    #[test]
    fn marks_go_and_options_stay() {
        let defn = format!(
            "{TABLE}ALTER TABLE ONLY public.t ALTER COLUMN a SET (pg_attver=22158952);\n\
             ALTER TABLE ONLY public.t ALTER COLUMN b SET (pg_attver=22158952, n_distinct=-0.5, n_distinct_inherited=5);\n"
        );
        let expected = format!(
            "{TABLE}ALTER TABLE ONLY public.t ALTER COLUMN b SET (n_distinct=-0.5, n_distinct_inherited=5);\n"
        );
        assert_eq!(without(&defn), Some(expected));
    }

    #[test]
    fn what_only_looks_like_one_stays() {
        assert_eq!(
            without("CREATE TABLE public.t (\n    a integer\n);\n"),
            None
        );
        for defn in [
            TABLE.to_owned(),
            format!("{TABLE}ALTER TABLE ONLY public.t ALTER COLUMN a SET (pg_attver='x');\n"),
            "ALTER TABLE ONLY public.t ALTER COLUMN \" SET (pg_attver=1\" SET STATISTICS 5;\n"
                .to_owned(),
        ] {
            assert_eq!(without(&defn), Some(defn));
        }
    }
}
