//! Names of ICU's locales, of which there are two forms: whether two names mean one locale.
//!
//! Up to version 15 a server keeps the name that it was given: a language tag (`de-u-co-phonebk`), or a name in ICU's older form
//! (`de@collation=phonebook`, `de_DE.UTF-8`), which the manuals of 10 to 15 show beside each tag. From 16 on it makes a tag of
//! either (`icu_language_tag` in `pg_locale.c`). What the parts of a collation's name are called in both forms is
//! in Unicode's `common/bcp47/collation.xml`.
//!
//! ICU knows more forms than these: names of variants (`de__PHONEBOOK`), codes of three letters, languages and regions that have
//! another code by now (`iw`), currencies (`de_DE@euro`). Of these nothing is said, rather than something wrong.

/// What two names of locales are to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IcuLocales {
    /// They mean one locale.
    Same,
    /// They mean two.
    Different,
    /// Only ICU knows.
    Unknown,
}

/// A setting: what a tag and what a name in the older form call it, and the same for its values. Without values, it takes any.
type Setting = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const YES_OR_NO: &[(&str, &str)] = &[("true", "yes"), ("false", "no")];

const SETTINGS: [Setting; 9] = [
    (
        "co",
        "collation",
        &[
            ("big5han", "big5han"),
            ("compat", "compat"),
            ("dict", "dictionary"),
            ("ducet", "ducet"),
            ("emoji", "emoji"),
            ("eor", "eor"),
            ("gb2312", "gb2312han"),
            ("phonebk", "phonebook"),
            ("phonetic", "phonetic"),
            ("pinyin", "pinyin"),
            ("reformed", "reformed"),
            ("search", "search"),
            ("searchjl", "searchjl"),
            ("standard", "standard"),
            ("stroke", "stroke"),
            ("trad", "traditional"),
            ("unihan", "unihan"),
            ("zhuyin", "zhuyin"),
        ],
    ),
    (
        "ka",
        "colalternate",
        &[("noignore", "non-ignorable"), ("shifted", "shifted")],
    ),
    ("kb", "colbackwards", YES_OR_NO),
    ("kc", "colcaselevel", YES_OR_NO),
    (
        "kf",
        "colcasefirst",
        &[("upper", "upper"), ("lower", "lower"), ("false", "no")],
    ),
    ("kk", "colnormalization", YES_OR_NO),
    ("kn", "colnumeric", YES_OR_NO),
    ("kr", "colreorder", &[]),
    (
        "ks",
        "colstrength",
        &[
            ("level1", "primary"),
            ("level2", "secondary"),
            ("level3", "tertiary"),
            ("level4", "quaternary"),
            ("identic", "identical"),
        ],
    ),
];

/// Languages that ICU may call otherwise.
const RENAMED_LANGUAGES: [&str; 8] = ["in", "iw", "ji", "jw", "mo", "no", "sh", "tl"];

/// And regions.
const RENAMED_REGIONS: [&str; 14] = [
    "an", "bu", "cs", "dd", "fx", "nt", "qu", "su", "tp", "uk", "vd", "yd", "yu", "zr",
];

/// A name, taken to pieces, all in lower case.
#[derive(Debug, Default, PartialEq, Eq)]
struct Pieces {
    language: String,
    script: Option<String>,
    region: Option<String>,
    /// As a tag calls them, in order.
    settings: Vec<(&'static str, String)>,
}

impl IcuLocales {
    /// What two names are to each other.
    pub fn of(one: &str, other: &str) -> Self {
        if one == other {
            return Self::Same;
        }
        match (Pieces::of(one), Pieces::of(other)) {
            (Some(one), Some(other)) if one == other => Self::Same,
            (Some(one), Some(other)) if one.is_well_known() && other.is_well_known() => {
                Self::Different
            }
            _ => Self::Unknown,
        }
    }
}

impl Pieces {
    /// `None` if there is anything in it that is not known here.
    fn of(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let (base, keywords) = name.split_once('@').unwrap_or((&name, ""));
        // An encoding means nothing to ICU.
        let base = base.split_once('.').map_or(base, |(language, _)| language);
        let mut subtags = base.split(['-', '_']);
        let language = match subtags.next()? {
            "" => "und",
            language => language,
        };
        let mut pieces = Self {
            language: language.to_owned(),
            ..Self::default()
        };
        let is_code = is_letters(language) && matches!(language.len(), 2 | 3);
        while let Some(subtag) = subtags.next().filter(|_| is_code) {
            match subtag.len() {
                1 if subtag == "u" => {
                    pieces.settings = of_tag(subtags)?;
                    break;
                }
                4 if is_letters(subtag) && pieces.script.is_none() && pieces.region.is_none() => {
                    pieces.script = Some(subtag.to_owned());
                }
                2 | 3 if is_region(subtag) && pieces.region.is_none() => {
                    pieces.region = Some(subtag.to_owned());
                }
                _ => return None,
            }
        }
        if !keywords.is_empty() {
            // Nobody says both.
            if !pieces.settings.is_empty() {
                return None;
            }
            pieces.settings = of_keywords(keywords)?;
        }
        pieces.settings.sort();
        let is_twice =
            |two: &[(&str, String)]| matches!(two, [(one, _), (other, _)] if one == other);
        let says_once = !pieces.settings.windows(2).any(is_twice);
        (is_code && says_once).then_some(pieces)
    }

    /// Whether nothing in it could be called otherwise.
    fn is_well_known(&self) -> bool {
        let language = self.language.as_str();
        let of_two_letters = language.len() == 2 && !RENAMED_LANGUAGES.contains(&language);
        let region_may_change = self
            .region
            .as_deref()
            .is_some_and(|region| RENAMED_REGIONS.contains(&region));
        (of_two_letters || language == "und") && !region_may_change
    }
}

fn is_letters(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphabetic())
}

/// `de`, `419`.
fn is_region(subtag: &str) -> bool {
    match subtag.len() {
        2 => is_letters(subtag),
        _ => subtag.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

/// `co-phonebk-kn-kr-grek-latn`: a key has two letters, and without a value it is true.
fn of_tag<'a>(subtags: impl Iterator<Item = &'a str>) -> Option<Vec<(&'static str, String)>> {
    let mut said: Vec<(&str, Vec<&str>)> = Vec::new();
    for subtag in subtags {
        match (subtag.len(), said.last_mut()) {
            (2, _) => said.push((subtag, Vec::new())),
            (3..=8, Some((_, values))) => values.push(subtag),
            _ => return None,
        }
    }
    let known = |(key, values): (&str, Vec<&str>)| {
        let value = match values.join("-") {
            value if value.is_empty() => "true".to_owned(),
            value => value,
        };
        let (key, _, values) = SETTINGS.iter().find(|(name, ..)| *name == key)?;
        let is_known = values.is_empty() || values.iter().any(|(name, _)| *name == value);
        is_known.then_some((*key, value))
    };
    said.into_iter().map(known).collect()
}

/// `collation=phonebook;colnumeric=yes`.
fn of_keywords(keywords: &str) -> Option<Vec<(&'static str, String)>> {
    let known = |keyword: &str| {
        let (name, value) = keyword.split_once('=')?;
        let (key, _, values) = SETTINGS.iter().find(|(_, old, _)| *old == name)?;
        if values.is_empty() {
            return Some((*key, value.to_owned()));
        }
        let (value, _) = values.iter().find(|(_, old)| *old == value)?;
        Some((*key, (*value).to_owned()))
    };
    keywords.split(';').map(known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What servers of version 16 and later make of names. `tests/verify_servers.rs` asks them.
    #[test]
    fn a_name_in_the_older_form_is_the_tag_that_a_newer_server_makes_of_it() {
        for (name, tag) in [
            ("de_DE", "de-DE"),
            ("EN_us", "en-US"),
            ("en-us", "en-US"),
            ("en_US.UTF-8", "en-US"),
            ("", "und"),
            ("sr_Latn", "sr-Latn"),
            ("en_001", "en-001"),
            ("de@collation=phonebook", "de-u-co-phonebk"),
            ("de_AT.utf8@collation=phonebook", "de-AT-u-co-phonebk"),
            ("@collation=emoji", "und-u-co-emoji"),
            ("@colStrength=secondary", "und-u-ks-level2"),
            (
                "@colStrength=primary;colCaseLevel=yes",
                "und-u-kc-true-ks-level1",
            ),
            (
                "en@colCaseFirst=upper;colReorder=grek-latn",
                "en-u-kf-upper-kr-grek-latn",
            ),
            ("en-u-kr-latn-kf-upper", "en-u-kf-upper-kr-latn"),
            ("@colAlternate=non-ignorable", "und-u-ka-noignore"),
            ("en@colNumeric=yes", "en-u-kn-true"),
            ("en-u-kn", "en-u-kn-true"),
            ("es@collation=traditional", "es-u-co-trad"),
            ("zh@collation=gb2312han", "zh-u-co-gb2312"),
            // It need not be a name that is known.
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(IcuLocales::of(name, tag), IcuLocales::Same, "{name}");
            assert_eq!(IcuLocales::of(tag, name), IcuLocales::Same, "{name}");
        }
    }

    #[test]
    fn another_locale_is_another_one() {
        for (one, other) in [
            ("de_DE", "de-AT"),
            ("de_DE", "de"),
            ("de_DE", "fr-FR"),
            ("sr_Latn", "sr-Cyrl"),
            ("", "en"),
            ("cs_CZ", "uk-UA"),
            ("hi_IN", "hi-NO"),
            ("de@collation=phonebook", "de"),
            ("de@collation=phonebook", "de-u-co-search"),
            ("@colStrength=secondary", "und-u-ks-level1"),
            ("@colStrength=secondary", "und-u-kc-true-ks-level2"),
            ("en@colNumeric=no", "en-u-kn"),
            ("en@colReorder=grek-latn", "en-u-kr-latn-grek"),
        ] {
            assert_eq!(IcuLocales::of(one, other), IcuLocales::Different, "{one}");
            assert_eq!(IcuLocales::of(other, one), IcuLocales::Different, "{one}");
        }
    }

    #[test]
    fn of_what_is_not_known_nothing_is_said() {
        for (one, other) in [
            // These are one to a newer server,
            ("de__PHONEBOOK", "de-u-co-phonebk"),
            ("iw", "he"),
            ("deu", "de"),
            ("de_DEU", "de-DE"),
            ("de_DD", "de-DE"),
            ("de_DE@euro", "de-DE-u-cu-eur"),
            ("en-u-co-phonebook", "en-u-co-yes"),
            ("en_US_POSIX", "en-US-u-va-posix"),
            // and these it makes one, although they order text otherwise.
            ("C", "en-US-u-va-posix"),
            ("root", "und"),
            ("german", "de"),
            ("de@collation", "de"),
            (
                "de@collation=phonebook;collation=phonebook",
                "de-u-co-phonebk",
            ),
            ("de-u-co-phonebk@collation=phonebook", "de-u-co-phonebk"),
            ("x'; drop", "de"),
        ] {
            assert_eq!(IcuLocales::of(one, other), IcuLocales::Unknown, "{one}");
            assert_eq!(IcuLocales::of(other, one), IcuLocales::Unknown, "{one}");
        }
    }
}
