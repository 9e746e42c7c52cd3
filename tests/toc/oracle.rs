//! What we read and would execute, against `pg_restore -l`, `pg_restore -v -f -`, and the crate `libpgdump`.

use std::collections::{BTreeMap, BTreeSet};

use pgconvoy::toc::{
    DataPlace, Entry, RestoreOptions, Section, Toc, restore_statements, split_statements,
};
use regex::bytes::Regex;

use super::archives;

/// What a script says of one entry.
#[derive(Debug, Default)]
struct Scripted {
    dependencies: Vec<i32>,
    data_position: u64,
    statements: Vec<Vec<u8>>,
    tablespace: Option<Vec<u8>>,
    table_am: Option<Vec<u8>>,
}

/// Takes `pg_restore -v -f -` apart at its `-- TOC entry` lines.
fn script(text: &[u8]) -> BTreeMap<i32, Scripted> {
    let head = Regex::new(
        r"(?-u)--\n-- TOC entry (\d+) \(class \d+ OID \d+\)\n(?:-- Dependencies:([ \d]*)\n)?-- [^\n]*\n-- Data Pos: (\d+)\n--\n",
    )
    .expect("compiles");
    let mut entries = BTreeMap::new();
    let (mut tablespace, mut table_am) = (None, None);
    let heads: Vec<_> = head.captures_iter(text).collect();
    for (index, found) in heads.iter().enumerate() {
        let number = |group: usize| -> u64 {
            let digits = found.get(group).map_or(&b"0"[..], |group| group.as_bytes());
            String::from_utf8_lossy(digits).parse().expect("a number")
        };
        let dependencies = found.get(2).map_or(&b""[..], |group| group.as_bytes());
        let begin = found.get(0).expect("matched").end();
        let end = heads
            .get(index + 1)
            .map_or(text.len(), |next| next.get(0).expect("matched").start());
        let before = (tablespace.clone(), table_am.clone());
        let mut statements = Vec::new();
        for statement in split_statements(&without_data(&text[begin..end]), true).expect("splits") {
            if let Some(value) = statement.strip_prefix(b"SET default_tablespace = ") {
                tablespace = Some(value.to_vec());
            } else if let Some(value) =
                statement.strip_prefix(b"SET default_table_access_method = ")
            {
                table_am = Some(value.to_vec());
            } else if !is_large_object_data(statement) {
                statements.push(unquote(statement));
            }
        }
        let scripted = Scripted {
            dependencies: String::from_utf8_lossy(dependencies)
                .split_whitespace()
                .map(|id| id.parse().expect("a dump id"))
                .collect(),
            data_position: number(3),
            statements,
            tablespace: before.0,
            table_am: before.1,
        };
        let id = i32::try_from(number(1)).expect("a dump id");
        assert!(
            entries.insert(id, scripted).is_none(),
            "{id} is there twice"
        );
    }
    entries
}

/// The text without the rows behind `COPY … FROM stdin;`.
fn without_data(text: &[u8]) -> Vec<u8> {
    Regex::new(r"(?s-u)\nCOPY .*? FROM stdin;\n.*?\\\.\n")
        .expect("compiles")
        .replace_all(text, &b"\n"[..])
        .into_owned()
}

fn is_large_object_data(statement: &[u8]) -> bool {
    statement == b"BEGIN"
        || statement == b"COMMIT"
        || statement.starts_with(b"SELECT pg_catalog.lo_open(")
        || statement.starts_with(b"SELECT pg_catalog.lowrite(")
        || statement.starts_with(b"SELECT pg_catalog.lo_close(")
}

/// We quote every name that we add ourselves, `pg_restore` only those that need it.
fn unquote(statement: &[u8]) -> Vec<u8> {
    Regex::new(r#"(?-u)"([a-z_][a-z0-9_]*)""#)
        .expect("compiles")
        .replace_all(statement, &b"$1"[..])
        .into_owned()
}

fn check_against_script(name: &str, suffix: &str, options: &RestoreOptions) {
    let toc = archives::custom(name);
    let script = script(&archives::bytes(&format!("{name}{suffix}")));
    assert!(script.len() > 1, "{name}: the script was understood");
    let mut ours = BTreeSet::new();
    for entry in &toc.entries {
        let restore = restore_statements(&toc, entry, options).expect("statements");
        let Some(theirs) = script.get(&entry.dump_id.0) else {
            assert!(
                restore.statements.is_empty(),
                "{name}: {entry}: {restore:?}"
            );
            continue;
        };
        ours.insert(entry.dump_id.0);
        assert_eq!(restore.left_out, None, "{name}: {entry}");
        assert_eq!(restore.search_path, None, "{name}: {entry}");
        let statements: Vec<Vec<u8>> = restore
            .statements
            .iter()
            .flat_map(|text| split_statements(text.as_bytes(), true).expect("splits"))
            .map(unquote)
            .collect();
        let theirs_here: Vec<Vec<u8>> = theirs
            .statements
            .iter()
            .map(|statement| as_newer_pg_restore(entry, statement))
            .collect();
        assert_eq!(
            show(&statements),
            show(&theirs_here),
            "{name}{suffix}: {entry}"
        );
        let in_force = |setting: Option<&Vec<u8>>| setting.map(|value| unquote(value));
        if let Some(tablespace) = &restore.tablespace {
            let expected = if tablespace.is_empty() {
                b"''".to_vec()
            } else {
                unquote(&tablespace.quoted())
            };
            assert_eq!(
                in_force(theirs.tablespace.as_ref()),
                Some(expected),
                "{entry}"
            );
        }
        if let Some(table_am) = &restore.table_access_method {
            let expected = unquote(&table_am.quoted());
            assert_eq!(
                in_force(theirs.table_am.as_ref()),
                Some(expected),
                "{entry}"
            );
        }
        check_header_lines(name, entry, theirs);
    }
    let theirs: BTreeSet<i32> = script.keys().copied().collect();
    assert_eq!(ours, theirs, "{name}{suffix}");
}

/// Before 16, `pg_restore` said `ALTER TABLE` of everything that is like a table.
fn as_newer_pg_restore(entry: &Entry, statement: &[u8]) -> Vec<u8> {
    let like_a_table = ["VIEW", "SEQUENCE", "MATERIALIZED VIEW"];
    let object = statement.strip_prefix(b"ALTER TABLE ");
    match object {
        Some(object)
            if like_a_table.contains(&entry.desc.as_str())
                && String::from_utf8_lossy(object).contains(" OWNER TO ") =>
        {
            [b"ALTER ", entry.desc.as_bytes(), b" ", object].concat()
        }
        _ => statement.to_vec(),
    }
}

fn check_header_lines(name: &str, entry: &Entry, theirs: &Scripted) {
    let dependencies: Vec<i32> = entry.dependencies.iter().map(|id| id.0).collect();
    assert_eq!(dependencies, theirs.dependencies, "{name}: {entry}");
    match entry.data {
        DataPlace::Offset { position, .. } => assert_eq!(position, theirs.data_position),
        DataPlace::File(_) => panic!("{name}: a file name in a custom archive"),
    }
}

fn show(statements: &[Vec<u8>]) -> String {
    let shown: Vec<_> = statements
        .iter()
        .map(|statement| statement.escape_ascii().to_string().replace("\\n", "\n"))
        .collect();
    shown.join(";\n")
}

#[test]
fn statements_are_those_of_pg_restore() {
    for name in archives::NAMES {
        check_against_script(name, ".sql", &RestoreOptions::default());
        check_against_script(name, ".bare.sql", &archives::bare(name));
    }
}

#[test]
fn entries_are_those_that_pg_restore_lists() {
    for name in archives::NAMES {
        let toc = archives::custom(name);
        let listed = archives::bytes(&format!("{name}.list"));
        let lines: Vec<String> = listed
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty() && !line.starts_with(b";"))
            .map(|line| line.escape_ascii().to_string())
            .collect();
        let ours: Vec<String> = toc
            .entries
            .iter()
            .filter(|entry| {
                !matches!(
                    entry.desc.as_str(),
                    "ENCODING" | "STDSTRINGS" | "SEARCHPATH"
                )
            })
            .map(list_line)
            .collect();
        // pg_restore leaves out what has neither definition nor data.
        let shown: Vec<&String> = ours.iter().filter(|line| lines.contains(line)).collect();
        assert_eq!(
            shown.len(),
            lines.len(),
            "{name}: every listed entry was read"
        );
        assert_eq!(
            shown,
            lines.iter().collect::<Vec<_>>(),
            "{name}: in this order"
        );
        let total = format!("TOC Entries: {}\n", toc.entries.len());
        assert!(
            String::from_utf8_lossy(&listed).contains(&total),
            "{name}: {total}"
        );
    }
}

fn list_line(entry: &Entry) -> String {
    let one_line = |text: &[u8]| -> String {
        let spaced: Vec<u8> = text
            .iter()
            .map(|&byte| {
                if matches!(byte, b'\n' | b'\r') {
                    b' '
                } else {
                    byte
                }
            })
            .collect();
        spaced.escape_ascii().to_string()
    };
    let or_dash = |text: Option<&pgconvoy::toc::Text>| match text {
        Some(text) if !text.is_empty() => one_line(text),
        _ => "-".to_owned(),
    };
    let owner = entry
        .owner
        .as_ref()
        .map_or_else(String::new, |owner| one_line(owner));
    format!(
        "{}; {} {} {} {} {} {}",
        entry.dump_id,
        entry.table_oid,
        entry.oid,
        entry.desc,
        or_dash(entry.namespace.as_ref()),
        one_line(&entry.tag),
        owner
    )
}

/// `libpgdump` reads UTF-8 only, and keeps an empty string as it does a NULL in places.
#[test]
fn fields_are_those_of_another_reader() {
    for name in ["15-nasty", "16-nasty", "18-nasty"] {
        let ours = archives::custom(name);
        let theirs = libpgdump::load(archives::path(&format!("{name}.dump"))).expect("loads");
        let by_id: BTreeMap<i32, _> = theirs.entries().iter().map(|e| (e.dump_id, e)).collect();
        assert_eq!(by_id.len(), ours.entries.len());
        for entry in &ours.entries {
            let other = by_id[&entry.dump_id.0];
            let text = |text: &Option<pgconvoy::toc::Text>| {
                text.as_ref()
                    .map(pgconvoy::toc::Text::to_string_lossy)
                    .unwrap_or_default()
            };
            let sql = |text: &Option<pgconvoy::model::SqlText>| {
                text.as_ref()
                    .map(pgconvoy::model::SqlText::to_string_lossy)
                    .unwrap_or_default()
            };
            let given = |text: &Option<String>| text.clone().unwrap_or_default();
            assert_eq!(entry.had_dumper, other.had_dumper, "{entry}");
            assert_eq!(entry.table_oid.to_string(), other.table_oid, "{entry}");
            assert_eq!(entry.oid.to_string(), other.oid, "{entry}");
            assert_eq!(entry.tag_lossy(), given(&other.tag), "{entry}");
            assert_eq!(entry.desc, other.desc.as_str(), "{entry}");
            assert_eq!(sql(&entry.defn), given(&other.defn), "{entry}");
            assert_eq!(sql(&entry.drop_stmt), given(&other.drop_stmt), "{entry}");
            assert_eq!(sql(&entry.copy_stmt), given(&other.copy_stmt), "{entry}");
            assert_eq!(text(&entry.namespace), given(&other.namespace), "{entry}");
            assert_eq!(text(&entry.tablespace), given(&other.tablespace), "{entry}");
            assert_eq!(text(&entry.table_am), given(&other.tableam), "{entry}");
            assert_eq!(text(&entry.owner), given(&other.owner), "{entry}");
            assert_eq!(entry.relkind.map(char::from), other.relkind, "{entry}");
            assert_eq!(entry.with_oids, other.with_oids, "{entry}");
        }
    }
}

#[test]
fn the_header_and_the_settings_are_read() {
    let toc = archives::custom("18-nasty");
    assert_eq!(toc.header.version.to_string(), "1.16.0");
    assert_eq!(toc.header.database.as_deref(), Some(&b"nasty"[..]));
    assert_eq!(toc.header.server_version.as_deref(), Some(&b"18.4"[..]));
    assert_eq!(toc.encoding().as_deref(), Some("UTF8"));
    assert!(toc.std_strings() && toc.qualifies_names());
    assert_eq!(
        archives::custom("15-latin1").encoding().as_deref(),
        Some("LATIN1")
    );
    assert_eq!(
        archives::directory("16-ascii").encoding().as_deref(),
        Some("SQL_ASCII")
    );
    assert_eq!(
        archives::directory("16-ascii").header.version.to_string(),
        "1.15.0"
    );
    assert_eq!(
        archives::directory("15-ascii").header.version.to_string(),
        "1.14.0"
    );
}

#[test]
fn null_and_empty_are_kept_apart() {
    let toc = archives::directory("18-nasty");
    let table = archives::entry(&toc, "TABLE", "parent");
    assert_eq!(table.tablespace.as_deref(), Some(&b""[..]));
    assert_eq!(table.copy_stmt, None);
    assert_eq!(table.section, Section::PreData);
    assert_eq!(archives::entry(&toc, "VIEW", "v").tablespace, None);
    let placed = archives::entry(&toc, "TABLE", "placed");
    assert_eq!(placed.tablespace.as_deref(), Some(&b"ts 1"[..]));
    let data = archives::entry(&toc, "TABLE DATA", "parent");
    assert_eq!(
        data.data_file(),
        Some(format!("{}.dat", data.dump_id).as_str())
    );
    assert!(data.had_dumper && table.data_file().is_none());
    let name = archives::entry(&toc, "TABLE", "tab\nle").qualified_name();
    assert_eq!(
        name.expect("UTF-8").to_string(),
        "\"Quoted \"\"Schema\"\"; -- x\".\"tab\nle\""
    );
}

#[test]
fn custom_and_directory_hold_the_same() {
    for name in archives::NAMES {
        let strip = |toc: Toc| -> Vec<Entry> {
            let entries = toc.entries.into_iter();
            entries
                .map(|entry| Entry {
                    data: DataPlace::File("".into()),
                    ..entry
                })
                .collect()
        };
        assert_eq!(
            strip(archives::custom(name)),
            strip(archives::directory(name)),
            "{name}"
        );
    }
}

#[test]
fn large_objects_in_batches_come_apart() {
    let toc = archives::custom("18-nasty");
    let mut granted = Vec::new();
    for entry in &toc.entries {
        if entry.is("ACL") && entry.tag.starts_with(b"LARGE OBJECTS") {
            let restore = restore_statements(&toc, entry, &RestoreOptions::default());
            granted.extend(restore.expect("statements").statements);
        }
    }
    let granted: Vec<String> = granted.iter().map(ToString::to_string).collect();
    for oid in [4002, 4003] {
        let grant = format!("GRANT SELECT ON LARGE OBJECT {oid} TO \"Bob \"\"the\"\" builder\"");
        assert!(granted.contains(&grant), "{granted:#?}");
    }
}
