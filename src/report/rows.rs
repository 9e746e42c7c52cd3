//! Rows that differ, for people: a line for each table, and a few rows of each in full.
//!
//! Two values are shown so that what differs can be seen: of two long ones, the part around the first character that is
//! not the same. Two that a reader would take for one are shown with the numbers of their characters.

use std::borrow::Cow;

use crate::model::{ColumnDifference, RowDifference, RowKind, Rows, RowsDiffer, ShownValue};
use crate::progress::{Style, words};

use super::Report;
use super::terminal::{View, head, width};

/// Most rows that the terminal is given in full, over all tables; `report.json` has as many as were asked for.
const MOST_ROWS: usize = 100;

/// Most tables that are told of.
const MOST_TABLES: usize = 50;

/// What is shown of a value before the first character that differs.
const BEFORE: usize = 10;

/// A number of rows, on its own.
pub(super) fn of(rows: Rows) -> String {
    words::count(rows.0, "row", "rows")
}

/// `3 missing, 1 changed`, or `at least …`.
pub(super) fn counts(differ: &RowsDiffer) -> String {
    let parts: Vec<String> = [
        (differ.missing, "missing"),
        (differ.extra, "extra"),
        (differ.changed, "changed"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > Rows(0))
    .map(|(count, word)| format!("{count} {word}"))
    .collect();
    let least = if differ.exact { "" } else { "at least " };
    format!("{least}{}", parts.join(", "))
}

/// Whether the values of any row are told.
pub(super) fn shows_values(differ: &RowsDiffer) -> bool {
    let mut columns = differ.examples.iter().flat_map(|row| &row.columns);
    columns.any(|column| column.source.is_some() || column.target.is_some())
}

/// Adds the tables whose rows differ, that with the most of them first.
pub(super) fn add(lines: &mut Vec<String>, report: &Report, view: View) {
    let mut tables: Vec<&RowsDiffer> = report
        .rows
        .iter()
        .filter(|rows| rows.total() > Rows(0))
        .collect();
    tables.sort_by_key(|rows| (std::cmp::Reverse(rows.total()), &rows.table));
    let mut room = MOST_ROWS;
    for differ in tables.iter().take(MOST_TABLES) {
        head(
            lines,
            ("differs:", Style::bad),
            &heading(report, differ),
            view,
        );
        if differ.key.is_empty() && !differ.examples.is_empty() {
            let text = "it has no key: a changed row is one missing and one extra; (page,line) says where it is";
            lines.extend(words::hang(text, "    ", width(view)));
        }
        let shown = differ.examples.len().min(room);
        room -= shown;
        for row in &differ.examples[..shown] {
            self::row(lines, &differ.key, row, width(view));
        }
        lines.extend(more(report, differ, shown, view));
        lines.push(String::new());
    }
    if tables.len() > MOST_TABLES {
        let more = words::count(
            (tables.len() - MOST_TABLES) as u64,
            "more table has",
            "more tables have",
        );
        lines.push(format!(
            "… and {more} rows that differ: report.json has them"
        ));
        lines.push(String::new());
    }
}

/// `public.statuses, rows: 3 missing, 1 changed (of 4,211,300 on the source)`.
fn heading(report: &Report, differ: &RowsDiffer) -> String {
    let verdict = report
        .tables
        .iter()
        .find(|table| table.table == differ.table);
    let source = verdict.and_then(|table| {
        let read = table.read.map(|digest| digest.rows);
        table.source_count.or(read)
    });
    let of_all = source.map_or_else(String::new, |rows| format!(" (of {rows} on the source)"));
    let flux = match differ.in_flux {
        Rows(0) => String::new(),
        rows => format!("; {} in flux", of(rows)),
    };
    format!(
        "{}, rows: {}{of_all}{flux}",
        words::one_line(&differ.table.shown()),
        counts(differ),
    )
}

/// What is not told of a table's rows, and where it is.
fn more(report: &Report, differ: &RowsDiffer, shown: usize, view: View) -> Vec<String> {
    let kept = differ.examples.len() - shown;
    let total = differ.total().0;
    let untold = total.saturating_sub(differ.examples.len() as u64);
    let mut text = Vec::new();
    if kept > 0 {
        let file = words::in_dir(&report.run_dir, "report.json");
        text.push(format!("{} more in {file}", Rows(kept as u64)));
    }
    if untold > 0 {
        text.push(format!(
            "{} more only counted: --max-rows N names as many",
            Rows(untold)
        ));
    }
    if text.is_empty() {
        return Vec::new();
    }
    words::hang(
        &format!("… and {}", text.join(", and ")),
        "    ",
        width(view),
    )
}

fn row(lines: &mut Vec<String>, key: &[String], row: &RowDifference, width: usize) {
    let kind = match row.kind {
        RowKind::Missing => "missing",
        RowKind::Extra => "extra",
        RowKind::Changed => "changed",
    };
    let copies = match row.copies {
        0 | 1 => String::new(),
        copies => format!(" × {}", Rows(copies)),
    };
    let head = format!("{kind:<8} {}{copies}", identity(key, row));
    let names: Vec<String> = row
        .columns
        .iter()
        .map(|column| words::one_line(&column.column))
        .collect();
    let told = row
        .columns
        .iter()
        .any(|column| column.source.is_some() || column.target.is_some());
    if !told {
        let columns = match names.len() {
            0 => String::new(),
            _ => format!(": {}", names.join(", ")),
        };
        lines.extend(words::hang(&format!("{head}{columns}"), "    ", width));
        return;
    }
    lines.extend(words::hang(&head, "    ", width));
    for (column, name) in row.columns.iter().zip(&names) {
        // The key's values are there already.
        if !key.contains(&column.column) {
            lines.extend(values(column, name, width));
        }
    }
}

/// `id=42`, `account=1, tag='a b'`, or where it is.
pub(super) fn identity(key: &[String], row: &RowDifference) -> String {
    if key.is_empty() {
        let side = match row.kind {
            RowKind::Extra => "target",
            _ => "source",
        };
        return format!("{} on the {side}", words::one_line(&row.key.join(", ")));
    }
    let pairs: Vec<String> = key
        .iter()
        .zip(&row.key)
        .map(|(column, value)| format!("{}={}", words::one_line(column), key_value(value)))
        .collect();
    pairs.join(", ")
}

/// In quotes only where it would be misread without.
fn key_value(value: &str) -> String {
    let plain = !value.is_empty()
        && value
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-_.:".contains(c));
    if plain {
        value.to_owned()
    } else {
        quoted(value)
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", words::one_line(text))
}

/// One column's value on each side that has one.
fn values(column: &ColumnDifference, name: &str, width: usize) -> Vec<String> {
    let sides = [("source", &column.source), ("target", &column.target)];
    let told: Vec<(&str, &ShownValue)> = sides
        .into_iter()
        .filter_map(|(side, value)| Some((side, value.as_ref()?)))
        .collect();
    let alike = match told.as_slice() {
        [(_, source), (_, target)] => common(source, target),
        _ => 0,
    };
    let shown_as = if look_alike(column) {
        escaped
    } else {
        unescaped
    };
    let short = |room: usize| -> Vec<String> {
        told.iter()
            .map(|(_, value)| excerpt(value, (alike, room), shown_as))
            .collect()
    };
    let whole = short(usize::MAX);
    let line = match (told.as_slice(), whole.as_slice()) {
        ([_], [one]) => format!("{name}: {one}"),
        (_, both) => {
            let both: Vec<String> = told
                .iter()
                .zip(both)
                .map(|((side, _), text)| format!("{side} {text}"))
                .collect();
            format!("{name}: {}", both.join(", "))
        }
    };
    let mut lines = Vec::new();
    if console::measure_text_width(&line) + 8 <= width {
        lines.push(format!("        {line}"));
    } else {
        lines.extend(words::hang(&format!("{name}:"), "        ", width));
        for ((side, _), text) in told.iter().zip(short(width.saturating_sub(48))) {
            lines.extend(words::hang(&format!("{side} {text}"), "          ", width));
        }
    }
    if let [(_, source), (_, target)] = told.as_slice()
        && source == target
    {
        lines.push("          (they differ after what is shown here)".into());
    }
    lines
}

/// How many characters two values begin with alike.
fn common(source: &ShownValue, target: &ShownValue) -> usize {
    match (&source.text, &target.text) {
        (Some(source), Some(target)) => {
            let pairs = source.chars().zip(target.chars());
            pairs.take_while(|(one, other)| one == other).count()
        }
        _ => 0,
    }
}

/// A text of a column as a person can tell it from the other side's.
pub(super) fn told_apart<'a>(column: &ColumnDifference, text: &'a str) -> Cow<'a, str> {
    if look_alike(column) {
        Cow::Owned(escaped(text))
    } else {
        Cow::Borrowed(text)
    }
}

/// Whether a reader may take one side's value for the other's: what differs in them looks like something else, or like nothing.
fn look_alike(column: &ColumnDifference) -> bool {
    let (source, target) = (column.source.as_ref(), column.target.as_ref());
    let (Some(source), Some(target)) = (text_of(source), text_of(target)) else {
        return false;
    };
    if source == target {
        return false;
    }
    let (source, target) = (quoted(source), quoted(target));
    let (one, other) = without_common(&source, &target);
    let deceives = |part: &str, other: &str| {
        let beside_ascii = other.is_ascii() && !other.is_empty();
        let mut chars = part.chars();
        chars.any(|c| {
            is_deceptive(c)
                || (beside_ascii && has_twins_in_ascii(c))
                || twin_in_ascii(c).is_some_and(|twin| other.contains(&*twin))
        })
    };
    source == target || deceives(one, other) || deceives(other, one)
}

fn text_of(value: Option<&ShownValue>) -> Option<&str> {
    value?.text.as_deref()
}

/// Both without what they begin and end with alike.
fn without_common<'a>(one: &'a str, other: &'a str) -> (&'a str, &'a str) {
    let head = common_bytes(one.chars().zip(other.chars()));
    let rest = |text: &'a str| text.get(head..).unwrap_or_default();
    let (one, other) = (rest(one), rest(other));
    let tail = common_bytes(one.chars().rev().zip(other.chars().rev()));
    let middle = |text: &'a str| text.get(..text.len() - tail).unwrap_or_default();
    (middle(one), middle(other))
}

fn common_bytes(pairs: impl Iterator<Item = (char, char)>) -> usize {
    let same = pairs.take_while(|(one, other)| one == other);
    same.map(|(c, _)| c.len_utf8()).sum()
}

/// White space that is none of ASCII's, marks that are drawn onto the character before them or join it, and characters that Unicode has
/// twice.
fn is_deceptive(c: char) -> bool {
    let is_space = c.is_whitespace() && !c.is_ascii();
    is_space
        || matches!(
            c,
            '\u{300}'..='\u{36f}' | '\u{1160}'..='\u{11ff}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}'
                | '\u{200c}' | '\u{200d}' | '\u{20d0}'..='\u{20ff}' | '\u{2100}'..='\u{214f}' | '\u{3099}' | '\u{309a}'
                | '\u{f900}'..='\u{faff}' | '\u{fe00}'..='\u{fe0f}'
        )
}

/// Greek and Cyrillic, of which some letters are drawn like Latin ones.
fn has_twins_in_ascii(c: char) -> bool {
    matches!(c, '\u{370}'..='\u{52f}')
}

/// What in ASCII something is taken for that is no letter of a language: what an editor puts in place of what was typed, and full-width letters.
fn twin_in_ascii(c: char) -> Option<Cow<'static, str>> {
    let twin = match c {
        '\u{2010}'..='\u{2015}' | '\u{2043}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' => "-",
        '\u{b4}'
        | '\u{2b9}'
        | '\u{2bb}'..='\u{2bd}'
        | '\u{2018}'
        | '\u{2019}'
        | '\u{201b}'
        | '\u{2032}'
        | '\u{2035}' => "'",
        '\u{2ba}' | '\u{201c}'..='\u{201f}' | '\u{2033}' | '\u{2036}' => "\"",
        '\u{201a}' => ",",
        '\u{2024}' => ".",
        '\u{2025}' => "..",
        '\u{2026}' => "...",
        '\u{2039}' => "<",
        '\u{203a}' => ">",
        '\u{2044}' | '\u{2215}' => "/",
        '\u{2217}' => "*",
        '\u{2223}' => "|",
        '\u{2236}' => ":",
        '\u{2c6}' => "^",
        '\u{2dc}' | '\u{223c}' => "~",
        '\u{d7}' => "x",
        '\u{fb00}' => "ff",
        '\u{fb01}' => "fi",
        '\u{fb02}' => "fl",
        '\u{fb03}' => "ffi",
        '\u{fb04}' => "ffl",
        '\u{fb05}' | '\u{fb06}' => "st",
        // In the order of ASCII's own.
        '\u{ff01}'..='\u{ff5e}' => {
            let plain = char::from_u32(u32::from(c) - 0xff01 + u32::from('!'))?;
            return Some(Cow::Owned(plain.to_string()));
        }
        _ => return None,
    };
    Some(Cow::Borrowed(twin))
}

/// All but what is printed in ASCII by its number, as in `\u{a0}`.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\\' || c.is_control() || !c.is_ascii() {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    escaped
}

fn unescaped(text: &str) -> String {
    text.to_owned()
}

/// A value in quotes; of one longer than `room`, the part from shortly before the character `differs_at`.
fn excerpt(
    value: &ShownValue,
    (differs_at, room): (usize, usize),
    shown_as: fn(&str) -> String,
) -> String {
    let Some(text) = &value.text else {
        return "NULL".to_owned();
    };
    let length = text.chars().count();
    let cut_from = value.cut_from.unwrap_or(length as u64);
    let whole = length <= room;
    let skip = if whole || differs_at < room.saturating_sub(BEFORE) {
        0
    } else {
        differs_at.saturating_sub(BEFORE)
    };
    let part: String = text.chars().skip(skip).take(room).collect();
    let before = if skip > 0 { "…" } else { "" };
    let is_end = skip.saturating_add(room) >= length && value.cut_from.is_none();
    let after = if is_end { "" } else { "…" };
    let size = if skip > 0 || !is_end {
        format!(" ({} characters)", Rows(cut_from))
    } else {
        String::new()
    };
    let part = quoted(&shown_as(&part));
    format!("{before}{part}{after}{size}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> ShownValue {
        ShownValue {
            text: Some(text.to_owned()),
            cut_from: None,
        }
    }

    #[test]
    fn of_two_long_values_the_part_that_differs_is_seen() {
        let source = format!("{}x{}", "a".repeat(500), "b".repeat(500));
        let target = format!("{}y{}", "a".repeat(500), "b".repeat(500));
        let alike = common(&value(&source), &value(&target));
        assert_eq!(alike, 500);
        let shown = [
            excerpt(&value(&source), (alike, 40), unescaped),
            excerpt(&value(&target), (alike, 40), unescaped),
        ];
        assert_eq!(
            shown,
            [
                "…'aaaaaaaaaaxbbbbbbbbbbbbbbbbbbbbbbbbbbbbb'… (1,001 characters)",
                "…'aaaaaaaaaaybbbbbbbbbbbbbbbbbbbbbbbbbbbbb'… (1,001 characters)"
            ]
        );
    }

    #[test]
    fn a_value_that_fits_is_shown_whole() {
        assert_eq!(excerpt(&value("it's"), (0, 40), unescaped), "'it's'");
        assert_eq!(excerpt(&value("a\nb"), (0, 40), unescaped), "'a\\nb'");
        assert_eq!(
            excerpt(
                &ShownValue {
                    text: None,
                    cut_from: None
                },
                (0, 40),
                unescaped
            ),
            "NULL"
        );
        let cut = ShownValue {
            text: Some("abc".to_owned()),
            cut_from: Some(10_240),
        };
        assert_eq!(
            excerpt(&cut, (0, 40), unescaped),
            "'abc'… (10,240 characters)"
        );
    }

    #[test]
    fn values_that_look_the_same_are_told_apart() {
        let shown = |source: &str, target: &str| {
            let column = ColumnDifference {
                column: "v".to_owned(),
                source: Some(value(source)),
                target: Some(value(target)),
            };
            values(&column, "v", 200).concat().trim().to_owned()
        };
        for (source, target, told) in [
            ("ab ", "ab\u{a0}", "v: source 'ab ', target 'ab\\u{a0}'"),
            (
                "caf\u{e9}",
                "cafe\u{301}",
                "v: source 'caf\\u{e9}', target 'cafe\\u{301}'",
            ),
            (
                "\u{212b}",
                "\u{c5}",
                "v: source '\\u{212b}', target '\\u{c5}'",
            ),
            ("c", "\u{441}", "v: source 'c', target '\\u{441}'"),
            ("a\nb", "a\\nb", "v: source 'a\\nb', target 'a\\\\nb'"),
            ("a-5", "a\u{2212}5", "v: source 'a-5', target 'a\\u{2212}5'"),
            (
                "Müller-Ott",
                "Müller\u{2010}Ott",
                "v: source 'M\\u{fc}ller-Ott', target 'M\\u{fc}ller\\u{2010}Ott'",
            ),
            (
                "it's",
                "it\u{2019}s",
                "v: source 'it's', target 'it\\u{2019}s'",
            ),
            (
                "\"Ö\"",
                "\u{201c}Ö\u{201d}",
                "v: source '\"\\u{d6}\"', target '\\u{201c}\\u{d6}\\u{201d}'",
            ),
            ("...", "\u{2026}", "v: source '...', target '\\u{2026}'"),
            ("\u{ff21}", "A", "v: source '\\u{ff21}', target 'A'"),
            (
                "ofﬁce",
                "office",
                "v: source 'of\\u{fb01}ce', target 'office'",
            ),
            // Nobody would take these for one another.
            (
                "10 – 12",
                "10 bis 12",
                "v: source '10 – 12', target '10 bis 12'",
            ),
            ("Zürich", "Zurich", "v: source 'Zürich', target 'Zurich'"),
            ("à la", "à lá", "v: source 'à la', target 'à lá'"),
            ("мир", "миф", "v: source 'мир', target 'миф'"),
        ] {
            assert_eq!(shown(source, target), told);
        }
    }

    #[test]
    fn keys_are_quoted_only_where_they_must_be() {
        let shown: Vec<String> = ["42", "-1.5", "a b", "", "2026-01-01"]
            .map(key_value)
            .into();
        assert_eq!(shown, ["42", "-1.5", "'a b'", "''", "2026-01-01"]);
    }
}
