//! The name of the locale of an ICU collation, of which a server makes a language tag from 16 on.

use super::super::tokens::Kind;
use super::{Versions, Word, is_symbol, is_word, same_words, words};
use crate::model::IcuLocales;

/// `locale = 'de_DE'` → `locale = 'de-DE'`, where the newer one has that and it means the same.
pub(super) fn with_tag_of_locale<'a>(older: &[Word<'a>], newer: &[Word<'a>]) -> Vec<Word<'a>> {
    with_locale_if(older, newer, IcuLocales::Same)
}

/// Whether two definitions that are not the same would be if two names of an ICU locale meant the same, of which only ICU knows whether
/// they do: one is what a newer server may have made of the other.
pub(in super::super) fn is_same_if_locales_are(
    desc: &str,
    (source, target): (&[u8], &[u8]),
    versions: Versions,
    std_strings: bool,
) -> bool {
    let sides = (words(source, std_strings), words(target, std_strings));
    let (Some(source), Some(target)) = sides else {
        return false;
    };
    let (older, newer) = versions.in_order(source, target);
    let if_it_were = with_locale_if(&older, &newer, IcuLocales::Unknown);
    desc == "COLLATION"
        && versions.straddle(16)
        && if_it_were != older
        && same_words(desc, versions.in_order(if_it_were, newer), versions)
}

/// The older one's words with the newer one's locale, if the two names are this to each other; unchanged if not.
fn with_locale_if<'a>(
    older: &[Word<'a>],
    newer: &[Word<'a>],
    likeness: IcuLocales,
) -> Vec<Word<'a>> {
    let mut with_tag = older.to_vec();
    let places = locale_of(older).zip(locale_of(newer));
    let Some(((place, ours), (there, theirs))) = places else {
        return with_tag;
    };
    if IcuLocales::of(ours, theirs) == likeness
        && let (Some(word), Some(tag)) = (with_tag.get_mut(place), newer.get(there))
    {
        *word = *tag;
    }
    with_tag
}

/// Where `CREATE COLLATION c (provider = icu, …, locale = '…')` says its locale, and which.
fn locale_of<'a>(words: &[Word<'a>]) -> Option<(usize, &'a str)> {
    let option = |name: &[u8]| {
        let is_it = |two: &[Word]| is_word(two.first(), name) && is_symbol(two.get(1), b"=");
        let at = words.windows(2).position(is_it)? + 2;
        words.get(at).map(|word| (at, *word))
    };
    let (_, provider) = option(b"provider")?;
    let (place, (kind, text)) = option(b"locale")?;
    let name = text.strip_prefix(b"'")?.strip_suffix(b"'")?;
    let is_named = kind == Kind::Literal && is_word(Some(&provider), b"icu");
    let name = std::str::from_utf8(name).ok()?;
    is_named.then_some((place, name))
}

#[cfg(test)]
mod tests {
    use super::super::{Versions, is_same_if_locales_are, same_definition};

    /// Whether they are the same, and whether nobody can tell.
    fn compared(older: &str, newer: &str, majors: (u32, u32)) -> (bool, bool) {
        let of = |source: &str, target: &str, (from, to): (u32, u32)| {
            let (sides, versions) = (
                (source.as_bytes(), target.as_bytes()),
                Versions::of(from, to),
            );
            (
                same_definition("COLLATION", sides, versions, true),
                is_same_if_locales_are("COLLATION", sides, versions, true),
            )
        };
        let forth = of(older, newer, majors);
        assert_eq!(forth, of(newer, older, (majors.1, majors.0)), "{older}");
        forth
    }

    fn icu(options: &str) -> String {
        format!("CREATE COLLATION public.german (provider = icu, {options});")
    }

    #[test]
    fn a_locale_is_the_same_in_both_forms_where_a_server_makes_one_of_the_other() {
        let (older, newer) = (icu("locale = 'de_DE'"), icu("locale = 'de-DE'"));
        assert_eq!(compared(&older, &newer, (15, 16)), (true, false));
        assert_eq!(compared(&older, &newer, (10, 18)), (true, false));
        // Between these no server changes it.
        assert_eq!(compared(&older, &newer, (10, 15)), (false, false));
        assert_eq!(compared(&older, &newer, (16, 18)), (false, false));
        assert_eq!(compared(&older, &newer, (0, 18)), (false, false));
        let strict = "deterministic = false, locale = '@colStrength=secondary'";
        let newer = icu("deterministic = false, locale = 'und-u-ks-level2'");
        assert_eq!(compared(&icu(strict), &newer, (12, 18)), (true, false));
        let newer = icu("locale = 'und-u-ks-level2'");
        assert_eq!(compared(&icu(strict), &newer, (12, 18)), (false, false));
        let newer = icu("deterministic = false, locale = 'und-u-ks-level1'");
        assert_eq!(compared(&icu(strict), &newer, (12, 18)), (false, false));
    }

    #[test]
    fn what_only_icu_knows_is_in_doubt() {
        let (older, newer) = (icu("locale = 'iw'"), icu("locale = 'he'"));
        assert_eq!(compared(&older, &newer, (15, 16)), (false, true));
        assert_eq!(compared(&older, &newer, (15, 15)), (false, false));
        // Whatever the locale means, this is another collation.
        let other = icu("deterministic = false, locale = 'he'");
        assert_eq!(compared(&older, &other, (15, 16)), (false, false));
    }

    #[test]
    fn the_operating_systems_locales_are_called_as_they_are() {
        let libc = |name: &str| {
            format!("CREATE COLLATION public.german (provider = libc, locale = '{name}');")
        };
        let (older, newer) = (libc("de_DE"), libc("de-DE"));
        assert_eq!(compared(&older, &newer, (15, 16)), (false, false));
        let newer = icu("locale = 'de-DE'");
        assert_eq!(compared(&older, &newer, (15, 16)), (false, false));
    }
}
