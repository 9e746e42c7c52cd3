//! Spellings of settings that mean the same, as the server reads them. What it would not take is left as it is: nobody has set that.

use crate::model::quote_ident;

/// A switch in words: any beginning of one that is no other's (`parse_bool` in `bool.c`). In small letters.
pub(super) fn switch(word: &str) -> Option<&'static str> {
    // The word, how much of it there must be, and what it means.
    const WORDS: [(&str, usize, &str); 8] = [
        ("true", 1, "on"),
        ("yes", 1, "on"),
        ("on", 2, "on"),
        ("1", 1, "on"),
        ("false", 1, "off"),
        ("no", 1, "off"),
        ("off", 2, "off"),
        ("0", 1, "off"),
    ];
    let mut words = WORDS.iter();
    let meant = words.find(|(whole, least, _)| word.len() >= *least && whole.starts_with(word));
    meant.map(|(_, _, value)| *value)
}

/// A time zone. Capital letters mean nothing in its name (`pg_open_tzfile` in `pgtz.c`).
pub(super) fn zone(name: &str) -> String {
    let name = name.to_lowercase();
    let zone = name.strip_prefix("etc/").unwrap_or(&name);
    match zone {
        "gmt" | "gmt0" | "gmt+0" | "gmt-0" | "greenwich" | "uct" | "universal" | "zulu" => {
            "utc".to_owned()
        }
        other => other.to_owned(),
    }
}

/// How dates are written, and in which order they are read: `ISO, MDY`. What is not said stays as it was before (`check_datestyle` in
/// `variable.c`).
pub(super) fn date_style(text: &str, before: &str) -> String {
    let (style, order) = style_and_order(text);
    let (style_before, order_before) = style_and_order(before);
    let parts = [style.or(style_before), order.or(order_before)];
    let parts: Vec<&str> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        return text.to_owned();
    }
    parts.join(", ")
}

fn style_and_order(text: &str) -> (Option<&'static str>, Option<&'static str>) {
    let (mut style, mut order) = (None, None);
    for word in text.split(',') {
        match word.trim().to_uppercase().as_str() {
            "ISO" => style = Some("ISO"),
            "SQL" => style = Some("SQL"),
            "GERMAN" => {
                style = Some("German");
                order = order.or(Some("DMY"));
            }
            "YMD" => order = Some("YMD"),
            "DMY" => order = Some("DMY"),
            "MDY" | "US" => order = Some("MDY"),
            word if word.starts_with("POSTGRES") => style = Some("Postgres"),
            word if word.starts_with("EURO") => order = Some("DMY"),
            word if word.starts_with("NONEURO") => order = Some("MDY"),
            _ => {}
        }
    }
    (style, order)
}

/// Names separated by commas: of schemas, or of tablespaces.
pub(super) fn list(text: &str) -> String {
    let Some(mut names) = names(text, ',') else {
        return text.to_owned();
    };
    // `""`, which names nothing.
    names.retain(|name| !name.is_empty());
    quoted(&names, ",")
}

/// A text search configuration, which the server names with its schema.
pub(super) fn configuration(text: &str) -> String {
    let Some(names) = names(text, '.') else {
        return text.to_owned();
    };
    match names.as_slice() {
        [schema, name] if schema == "pg_catalog" => quote_ident(name),
        names => quoted(names, "."),
    }
}

/// What a server does not show, as far as that is known.
pub(super) fn of_text(name: &str, text: &str) -> String {
    match name {
        // `clean_encoding_name` in `encnames.c`: `UTF-8` is `utf8`.
        "client_encoding" => {
            let letters = text.chars().filter(char::is_ascii_alphanumeric);
            letters.map(|char| char.to_ascii_lowercase()).collect()
        }
        _ => text.to_owned(),
    }
}

fn quoted(names: &[String], separator: &str) -> String {
    let quoted = names.iter().map(|name| quote_ident(name));
    quoted.collect::<Vec<_>>().join(separator)
}

/// As `SplitIdentifierString` in `varlena.c` reads them: in small letters if they are not in quotes.
fn names(text: &str, separator: char) -> Option<Vec<String>> {
    let mut names = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, after) = first_name(rest, separator)?;
        names.push(name);
        let after = after.trim_start();
        if after.is_empty() {
            break;
        }
        rest = after.strip_prefix(separator)?.trim_start();
        if rest.is_empty() {
            return None;
        }
    }
    Some(names)
}

fn first_name(text: &str, separator: char) -> Option<(String, &str)> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let ends = |char: char| char == separator || char.is_whitespace();
        let (name, after) = text.split_at(text.find(ends).unwrap_or(text.len()));
        return (!name.is_empty()).then(|| (name.to_ascii_lowercase(), after));
    };
    let mut name = String::new();
    loop {
        let (part, after) = rest.split_once('"')?;
        name.push_str(part);
        // Two of them are one.
        match after.strip_prefix('"') {
            Some(after) => rest = after,
            None => return Some((name, after)),
        }
        name.push('"');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_switch_is_any_beginning_of_a_word() {
        for word in ["on", "t", "tr", "true", "y", "yes", "1"] {
            assert_eq!(switch(word), Some("on"), "{word}");
        }
        for word in ["of", "off", "f", "false", "n", "no", "0"] {
            assert_eq!(switch(word), Some("off"), "{word}");
        }
        for word in ["", "o", "try", "auto", "local", "2"] {
            assert_eq!(switch(word), None, "{word}");
        }
    }

    #[test]
    fn names_are_read_as_the_server_reads_them() {
        let same = |one: &str, other: &str| assert_eq!(list(one), list(other), "{one}");
        same("App, public", "app,\"public\"");
        same(" a ,b", "a,  b");
        same("\"\"", "");
        let other = |one: &str, other: &str| assert_ne!(list(one), list(other), "{one}");
        other("\"App\"", "app");
        other("\"a b\"", "\"ab\"");
        other("\"a\"\"b\"", "\"ab\"");
        other("\"a, b\"", "a, b");
        other("a, b", "b, a");
        assert_eq!(list("a,"), "a,", "the server does not take it");
        assert_eq!(
            configuration("pg_catalog.English"),
            configuration("english")
        );
        assert_ne!(configuration("app.english"), configuration("english"));
    }

    #[test]
    fn what_a_date_style_does_not_say_stays_as_it_was() {
        for (text, before, expected) in [
            ("iso, mdy", "SQL, DMY", "ISO, MDY"),
            ("iso", "SQL, DMY", "ISO, DMY"),
            ("euro", "ISO, MDY", "ISO, DMY"),
            ("german", "ISO, MDY", "German, DMY"),
            ("MDY,German", "", "German, MDY"),
            ("PostgreSQL, US", "", "Postgres, MDY"),
            ("unheard of", "", "unheard of"),
        ] {
            assert_eq!(date_style(text, before), expected, "{text}");
        }
    }

    #[test]
    fn capital_letters_of_zones_and_encodings_mean_nothing() {
        for name in ["utc", "Etc/UTC", "GMT", "etc/greenwich", "ZULU"] {
            assert_eq!(zone(name), "utc", "{name}");
        }
        assert_eq!(zone("europe/berlin"), zone("Europe/Berlin"));
        assert_ne!(zone("Europe/Paris"), zone("Europe/Berlin"));
        let encoding = |text| of_text("client_encoding", text);
        assert_eq!(encoding("UTF-8"), encoding("utf8"));
        assert_ne!(of_text("role", "App"), of_text("role", "app"));
    }
}
