//! Parts of the checked-in archives: chosen by us, and by `pg_restore -l` with the same options.

use std::collections::BTreeSet;
use std::process::Command;

use pgconvoy::model::DumpId;
use pgconvoy::toc::{Entry, Section, SelectError, Selection, Text, Toc};

use crate::archives;
use crate::support::server::newest_tools;

/// The entries that it lists.
fn listed(name: &str, options: &[String]) -> BTreeSet<DumpId> {
    let output = Command::new(newest_tools().join("pg_restore"))
        .arg("-l")
        .args(options)
        .arg(archives::path(&format!("{name}.dump")))
        .output()
        .expect("pg_restore starts");
    assert!(output.status.success(), "{name} {options:?}: {output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let ids = text.lines().filter_map(|line| line.split_once(';'));
    let ids = ids.filter_map(|(id, _)| id.parse().ok());
    ids.map(DumpId).collect()
}

fn is_large_object(entry: &Entry) -> bool {
    entry.is_of_large_object() || matches!(entry.desc.as_str(), "BLOB" | "BLOBS" | "BLOB METADATA")
}

/// What is chosen otherwise on purpose: `pg_restore` would fail there.
fn is_ours_to_choose(entry: &Entry, selection: &Selection) -> bool {
    let unpublished = entry.desc.starts_with("PUBLICATION TABLE") && !selection.schemas.is_empty();
    let before_data = is_large_object(entry) && selection.sections == [Section::PreData];
    // Nobody restores them: tables are analyzed.
    unpublished || before_data || entry.is("STATISTICS DATA")
}

/// Of data alone, definitions stay with us, and nobody makes them.
fn is_taken(entry: &Entry, selection: &Selection) -> bool {
    let is_data = is_large_object(entry) || entry.is("TABLE DATA") || entry.is("SEQUENCE SET");
    !selection.data_only || is_data
}

fn names<'a>(texts: impl Iterator<Item = Option<&'a Text>>) -> BTreeSet<String> {
    let texts = texts.flatten().filter(|text| !text.is_empty());
    texts
        .filter_map(|text| text.to_str().map(str::to_owned))
        .collect()
}

/// Every option alone, with every name that it could be given, and some of them together.
fn selections(toc: &Toc) -> Vec<Selection> {
    let relations = ["TABLE", "VIEW", "MATERIALIZED VIEW", "SEQUENCE"];
    let is_relation = |entry: &&Entry| relations.contains(&entry.desc.as_str());
    let schemas = names(toc.entries.iter().map(|entry| entry.namespace.as_ref()));
    let tables = toc.entries.iter().filter(is_relation);
    let tables = names(tables.map(|entry| Some(&entry.tag)));
    let (whole, mut made) = (Selection::default, Vec::new());
    for schema in schemas {
        let only = Selection {
            schemas: vec![schema.clone()],
            ..whole()
        };
        let others = Selection {
            exclude_schemas: vec![schema],
            ..whole()
        };
        for part in [only, others] {
            made.push(Selection {
                data_only: true,
                ..part.clone()
            });
            made.push(Selection {
                schema_only: true,
                ..part.clone()
            });
            made.push(Selection {
                sections: vec![Section::PreData],
                ..part.clone()
            });
            made.push(part);
        }
    }
    for table in tables {
        let part = Selection {
            tables: vec![table],
            ..whole()
        };
        made.push(Selection {
            data_only: true,
            ..part.clone()
        });
        made.push(part);
    }
    let sections = [Section::PreData, Section::Data, Section::PostData];
    made.extend((1..=3).map(|count| Selection {
        sections: sections[..count].to_vec(),
        ..whole()
    }));
    for (schema_only, data_only) in [(true, false), (false, true), (false, false)] {
        made.push(Selection {
            schema_only,
            data_only,
            ..whole()
        });
    }
    made
}

#[test]
fn a_part_is_what_pg_restore_lists() {
    for name in archives::NAMES {
        let toc = archives::custom(name);
        // It lists neither what says how the archive is to be read, nor what has neither definition nor data.
        let shown = listed(name, &[]);
        for selection in selections(&toc) {
            let options = selection.options();
            let theirs = listed(name, &options);
            let mut part = toc.clone();
            selection
                .narrow(&mut part)
                .unwrap_or_else(|error| panic!("{name} {options:?}: {error}"));
            let ours = part.entries.iter();
            let ours: BTreeSet<DumpId> = ours
                .filter(|entry| is_taken(entry, &selection))
                .map(|entry| entry.dump_id)
                .collect();
            let differing = toc.entries.iter().filter(|entry| {
                let id = &entry.dump_id;
                shown.contains(id)
                    && ours.contains(id) != theirs.contains(id)
                    && !is_ours_to_choose(entry, &selection)
            });
            let differing: Vec<String> = differing.map(ToString::to_string).collect();
            assert_eq!(differing, Vec::<String>::new(), "{name} {options:?}");
        }
    }
}

/// In archives of 15 and 16 each object has an entry and all have one content; since 17 there are pairs.
#[test]
fn large_objects_come_with_their_content_or_not_at_all() {
    for name in ["15-nasty", "16-nasty", "18-nasty"] {
        let toc = archives::custom(name);
        let parts = toc.entries.iter();
        let parts: Vec<&Entry> = parts
            .filter(|entry| matches!(entry.desc.as_str(), "BLOB" | "BLOBS" | "BLOB METADATA"))
            .collect();
        assert!(parts.len() > 1, "{name}");
        let without = |left_out: &[DumpId]| {
            let ids = toc.entries.iter().map(|entry| entry.dump_id);
            let selection = Selection {
                list: Some(ids.filter(|id| !left_out.contains(id)).collect()),
                ..Selection::default()
            };
            selection.narrow(&mut toc.clone())
        };
        for part in &parts {
            let refused = without(&[part.dump_id]);
            let error = refused.expect_err("one of them is nothing");
            assert!(
                matches!(error, SelectError::Parted { .. }),
                "{name}: {error}"
            );
            let words = format!("is chosen without {part}: ");
            assert!(error.to_string().contains(&words), "{name}: {error}");
        }
        let all: Vec<DumpId> = parts.iter().map(|part| part.dump_id).collect();
        assert_eq!(without(&all), Ok(Vec::new()), "{name}");
    }
}
