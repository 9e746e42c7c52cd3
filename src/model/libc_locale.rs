//! Whether two names mean one locale of the C library.

/// `en_US.UTF-8` and `en_US.utf8` are one locale, `POSIX` is `C`: the spelling that all names of one have in common.
pub fn canonical_locale(locale: &str) -> String {
    if locale == "POSIX" {
        return "C".to_owned();
    }
    match locale.split_once('.') {
        Some((language, encoding)) => {
            let (encoding, modifier) = encoding.split_once('@').unwrap_or((encoding, ""));
            let encoding = encoding.to_lowercase().replace('-', "");
            let at = if modifier.is_empty() { "" } else { "@" };
            format!("{language}.{encoding}{at}{modifier}")
        }
        None => locale.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::canonical_locale;

    #[test]
    fn names_of_locales_have_many_spellings() {
        for (name, same) in [
            ("en_US.UTF-8", "en_US.utf8"),
            ("de_DE.UTF-8@euro", "de_DE.utf8@euro"),
            ("POSIX", "C"),
            ("C.UTF-8", "C.utf8"),
        ] {
            assert_eq!(canonical_locale(name), canonical_locale(same));
        }
        assert_ne!(canonical_locale("C.UTF-8"), canonical_locale("C"));
        assert_ne!(
            canonical_locale("de_DE.UTF-8@euro"),
            canonical_locale("de_DE.UTF-8")
        );
    }
}
