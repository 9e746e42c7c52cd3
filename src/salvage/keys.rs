//! The key of a row from the bytes that an index holds of it: what a lost row was called.
//!
//! Only types whose bytes mean the same everywhere are read: integers, text, `uuid`, dates and times, `bool`. Of any other
//! key, the row's place is all there is. Layouts: `indextuple.c`, `varatt.h`, `date.h`, `timestamp.h`.

use chrono::{DateTime, Days, NaiveDate, TimeDelta};

use super::page::IndexEntry;
use super::sound::Key;

/// A column of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyColumn {
    /// Its name in the table.
    pub name: String,
    /// `pg_attribute.atttypid`, of the index.
    pub type_oid: u32,
    /// `attlen`.
    pub length: i16,
    /// `attalign`.
    pub align: char,
}

/// The values of a key, as text; `None` is NULL. Nothing, if one of its columns cannot be understood.
pub fn decode(entry: &IndexEntry<'_>, columns: &[KeyColumn]) -> Option<Vec<Option<String>>> {
    let parts = parts(entry, columns)?;
    let shown = parts
        .into_iter()
        .zip(columns)
        .map(|(part, column)| match part {
            None => Some(None),
            Some(bytes) => value(column.type_oid, bytes).map(Some),
        });
    shown.collect()
}

/// The bytes of the values of a key, without their headers; `None` is NULL. Nothing, if one of its columns cannot be understood.
pub fn parts<'a>(entry: &IndexEntry<'a>, columns: &[KeyColumn]) -> Option<Key<'a>> {
    let mut at = 0;
    let mut values = Key::new();
    for (number, column) in columns.iter().enumerate() {
        // In the map of NULLs, a bit that is set is a value.
        if entry
            .nulls
            .is_some_and(|map| number < 32 && map >> number & 1 == 0)
        {
            values.push(None);
            continue;
        }
        values.push(Some(take(entry.key, &mut at, column)?));
    }
    Some(values)
}

fn take<'a>(key: &'a [u8], at: &mut usize, column: &KeyColumn) -> Option<&'a [u8]> {
    let align = match column.align {
        's' => 2,
        'i' => 4,
        'd' => 8,
        _ => 1,
    };
    if let Ok(length) = usize::try_from(column.length) {
        *at = at.next_multiple_of(align);
        let bytes = key.get(*at..at.checked_add(length)?)?;
        *at += length;
        return Some(bytes);
    }
    if column.length != -1 {
        return None;
    }
    // What begins with a zero is padding: a short header never is zero.
    if key.get(*at).copied()? == 0 {
        *at = at.next_multiple_of(align);
    }
    let head = key.get(*at).copied()?;
    let (header, whole) = if head & 1 == 1 {
        (1, usize::from(head >> 1))
    } else if head.trailing_zeros() >= 2 {
        let length: [u8; 4] = key.get(*at..*at + 4)?.try_into().ok()?;
        (4, usize::try_from(u32::from_le_bytes(length) >> 2).ok()?)
    } else {
        // Compressed.
        return None;
    };
    let bytes = key.get(at.checked_add(header)?..at.checked_add(whole)?)?;
    *at += whole;
    Some(bytes)
}

fn value(type_oid: u32, bytes: &[u8]) -> Option<String> {
    let four = || Some(i32::from_le_bytes(bytes.try_into().ok()?));
    let eight = || Some(i64::from_le_bytes(bytes.try_into().ok()?));
    match type_oid {
        16 => Some(if bytes == [1] { "t" } else { "f" }.to_owned()),
        20 => eight().map(|value| value.to_string()),
        21 => Some(i16::from_le_bytes(bytes.try_into().ok()?).to_string()),
        23 => four().map(|value| value.to_string()),
        26 => Some(u32::from_le_bytes(bytes.try_into().ok()?).to_string()),
        25 | 1042 | 1043 => String::from_utf8(bytes.to_vec()).ok(),
        1082 => date(four()?),
        1114 => timestamp(eight()?, ""),
        1184 => timestamp(eight()?, "+00"),
        2950 => uuid(bytes),
        _ => None,
    }
}

fn date(days: i32) -> Option<String> {
    let start = NaiveDate::from_ymd_opt(2000, 1, 1)?;
    let distance = Days::new(u64::from(days.unsigned_abs()));
    let date = if days < 0 {
        start.checked_sub_days(distance)
    } else {
        start.checked_add_days(distance)
    };
    Some(date?.format("%Y-%m-%d").to_string())
}

fn timestamp(micros: i64, zone: &str) -> Option<String> {
    /// The first second of 2000.
    const EPOCH: i64 = 946_684_800;
    let start = DateTime::from_timestamp(EPOCH, 0)?;
    let time = start.checked_add_signed(TimeDelta::microseconds(micros))?;
    let fraction = if micros % 1_000_000 == 0 { "" } else { "%.6f" };
    let form = format!("%Y-%m-%d %H:%M:%S{fraction}{zone}");
    Some(time.format(&form).to_string())
}

fn uuid(bytes: &[u8]) -> Option<String> {
    if bytes.len() != 16 {
        return None;
    }
    let mut text = String::with_capacity(36);
    for (number, byte) in bytes.iter().enumerate() {
        if matches!(number, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push(char::from_digit(u32::from(byte >> 4), 16)?);
        text.push(char::from_digit(u32::from(byte & 15), 16)?);
    }
    Some(text)
}

/// A line of CSV, quoted as COPY quotes it; NULL is an empty field.
pub fn csv_line<'a>(fields: impl IntoIterator<Item = Option<&'a str>>) -> String {
    let quoted: Vec<String> = fields
        .into_iter()
        .map(|field| match field {
            None => String::new(),
            Some("") => "\"\"".to_owned(),
            Some(text) if text.contains(['"', ',', '\n', '\r']) => {
                format!("\"{}\"", text.replace('"', "\"\""))
            }
            Some(text) => text.to_owned(),
        })
        .collect();
    quoted.join(",") + "\n"
}

/// A file name made of an object's: whatever might lead elsewhere is replaced, and then the whole of it is told apart by a
/// number made of it.
pub fn file_name(object: &str) -> String {
    const MOST: usize = 100;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if object.len() <= MOST && object.chars().all(is_plain) && !object.starts_with('.') {
        return object.to_owned();
    }
    let plain: String = object
        .chars()
        .map(|c| if is_plain(c) { c } else { '_' })
        .take(MOST)
        .collect();
    let number = xxhash_rust::xxh3::xxh3_64(object.as_bytes());
    format!("_{plain}-{number:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(type_oid: u32, length: i16, align: char) -> KeyColumn {
        KeyColumn {
            name: "c".into(),
            type_oid,
            length,
            align,
        }
    }

    fn decoded(
        key: &[u8],
        nulls: Option<u32>,
        columns: &[KeyColumn],
    ) -> Option<Vec<Option<String>>> {
        let place = (0, 1);
        let entry = IndexEntry {
            place,
            key,
            nulls,
            is_dead: false,
        };
        decode(&entry, columns)
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "it is compared with what is wrapped"
    )]
    fn texts(values: &[Option<&str>]) -> Option<Vec<Option<String>>> {
        Some(
            values
                .iter()
                .map(|value| value.map(str::to_owned))
                .collect(),
        )
    }

    #[test]
    fn keys_are_read_with_their_padding() {
        let int4 = column(23, 4, 'i');
        let int8 = column(20, 8, 'd');
        let text = column(25, -1, 'i');
        let mut key = 7i32.to_le_bytes().to_vec();
        key.extend([0; 4]);
        key.extend((-9i64).to_le_bytes());
        assert_eq!(
            decoded(&key, None, &[int4.clone(), int8]),
            texts(&[Some("7"), Some("-9")])
        );
        // A short text (its length with its header, doubled, and one), then padding, then a number.
        let mut key = vec![3 << 1 | 1, b'a', b'b', 0];
        key.extend(5i32.to_le_bytes());
        assert_eq!(
            decoded(&key, None, &[text.clone(), int4.clone()]),
            texts(&[Some("ab"), Some("5")])
        );
        assert_eq!(
            decoded(&5i32.to_le_bytes(), Some(0b10), &[text, int4]),
            texts(&[None, Some("5")])
        );
    }

    #[test]
    fn what_is_not_understood_or_too_short_is_no_key() {
        assert_eq!(decoded(&[1, 2], None, &[column(23, 4, 'i')]), None);
        assert_eq!(decoded(&[1; 8], None, &[column(701, 8, 'd')]), None);
        assert_eq!(decoded(&[255, b'a'], None, &[column(25, -1, 'i')]), None);
        assert_eq!(decoded(&[], None, &[column(25, -1, 'i')]), None);
    }

    #[test]
    fn times_are_counted_from_2000() {
        assert_eq!(
            value(1114, &0i64.to_le_bytes()).as_deref(),
            Some("2000-01-01 00:00:00")
        );
        assert_eq!(
            value(1184, &(-1i64).to_le_bytes()).as_deref(),
            Some("1999-12-31 23:59:59.999999+00")
        );
        assert_eq!(
            value(1082, &(-1i32).to_le_bytes()).as_deref(),
            Some("1999-12-31")
        );
    }

    #[test]
    fn names_of_files_lead_nowhere_else_and_differ() {
        assert_eq!(file_name("public.users"), "public.users");
        let strange = file_name("public.\"../../etc/x y\"");
        assert!(
            !strange.contains('/') && strange.starts_with('_'),
            "{strange}"
        );
        assert_ne!(file_name("a b"), file_name("a/b"));
    }

    #[test]
    fn fields_are_quoted_where_they_must_be() {
        assert_eq!(
            csv_line([Some("a,b"), None, Some(""), Some("say \"x\"")]),
            "\"a,b\",,\"\",\"say \"\"x\"\"\"\n"
        );
    }
}
