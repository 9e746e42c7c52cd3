//! Encodings, locales and versions of collations: what decides which text comes first, and which index can be believed.

use std::collections::BTreeMap;

use crate::model::{
    Finding, IcuLocales, QualifiedName, Rebuild, canonical_locale, quote_ident, rule, to_paste,
};
use crate::pg::{Answer, PgError};

use super::{Readiness, some_of};

/// A locale: the database's own, or a collation's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Locale {
    /// The collation's schema; none for the database's own locale.
    pub schema: Option<String>,
    /// Name of the collation, or of the database.
    pub name: String,
    /// Encoding of the database.
    pub encoding: Option<String>,
    /// `c` for libc, `i` for ICU, `b` for the server itself.
    pub provider: String,
    /// The provider's own locale; none for libc.
    pub own: Option<String>,
    /// `LC_COLLATE`.
    pub lc_collate: Option<String>,
    /// `LC_CTYPE`.
    pub lc_ctype: Option<String>,
    /// The version with which indexes were made, as the catalog has it.
    pub recorded: Option<String>,
    /// The version that there is now.
    pub actual: Option<String>,
}

impl Locale {
    pub(super) fn from_answer(row: &Answer) -> Result<Self, PgError> {
        Ok(Self {
            schema: row.get("schema")?,
            name: row.get("name")?,
            encoding: row.get("encoding")?,
            provider: row.get("provider")?,
            own: row.get("locale")?,
            lc_collate: row.get("lc_collate")?,
            lc_ctype: row.get("lc_ctype")?,
            recorded: row.get("recorded")?,
            actual: row.get("actual")?,
        })
    }

    fn shown(&self) -> String {
        match &self.schema {
            Some(schema) => {
                let name = QualifiedName::new(schema.clone(), self.name.clone());
                format!("the collation {}", name.shown())
            }
            None => "the database's own collation".to_owned(),
        }
    }

    fn refresh(&self) -> String {
        match &self.schema {
            Some(schema) => {
                let name = QualifiedName::new(schema.clone(), self.name.clone());
                format!("ALTER COLLATION {name} REFRESH VERSION;")
            }
            None => format!(
                "ALTER DATABASE {} REFRESH COLLATION VERSION;",
                quote_ident(&self.name)
            ),
        }
    }

    /// Who compares text, and by which rules, in words that are the same wherever the rules are.
    fn rules(&self) -> String {
        let provider = match self.provider.as_str() {
            "i" => "ICU",
            "b" => "built in",
            _ => "libc",
        };
        let locale =
            |name: &Option<String>| name.as_deref().map(canonical_locale).unwrap_or_default();
        let own = match self.own_name() {
            Some(own) => format!(" {own}"),
            None => String::new(),
        };
        // Of a database, the operating system's ctype says what a letter is even where it orders nothing.
        let ctype = locale(&self.lc_ctype);
        match provider {
            "libc" => format!(
                "{provider}{own}, collate {}, ctype {ctype}",
                locale(&self.lc_collate)
            ),
            _ if self.schema.is_none() => format!("{provider}{own}, ctype {ctype}"),
            _ => format!("{provider}{own}"),
        }
    }

    /// Up to version 14 the name of a collation's ICU locale is where the operating system's would be.
    fn own_name(&self) -> Option<&str> {
        let icu = self.lc_collate.as_deref().filter(|_| self.provider == "i");
        self.own.as_deref().or(icu)
    }

    /// Whether both compare text by the same rules. From version 16 on a server has its own spelling of the name of an ICU locale.
    fn likeness(&self, other: &Self) -> IcuLocales {
        let (ours, theirs) = (self.own_name(), other.own_name());
        let renamed = Self {
            own: theirs.map(str::to_owned),
            ..self.clone()
        };
        if self.rules() == other.rules() {
            IcuLocales::Same
        } else if self.provider == "i" && renamed.rules() == other.rules() {
            IcuLocales::of(ours.unwrap_or_default(), theirs.unwrap_or_default())
        } else {
            IcuLocales::Different
        }
    }
}

pub(super) fn findings(source: &Readiness, target: &Readiness) -> Vec<Finding> {
    let of_database = |side: &'_ Readiness| {
        side.locales
            .iter()
            .find(|one| one.schema.is_none())
            .cloned()
    };
    let (ours, theirs) = (of_database(source), of_database(target));
    let mut findings = Vec::new();
    if let (Some(ours), Some(theirs)) = (&ours, &theirs) {
        findings.extend(encoding(ours, theirs));
        findings.extend(rules(ours, theirs));
    }
    findings.extend(outdated(target));
    findings.extend(other_versions(source, target));
    findings
}

fn encoding(ours: &Locale, theirs: &Locale) -> Option<Finding> {
    let (source, target) = (ours.encoding.as_deref()?, theirs.encoding.as_deref()?);
    (source != target).then(|| {
        Finding::note(
            rule::ENCODING_DIFFERS,
            format!("the source is in {source}, the target in {target}"),
            format!(
                "Text was compared after conversion. If the application relies on {source} (lengths in bytes, what can be \
                 stored), create the target database with ENCODING '{source}' and move again."
            ),
        )
    })
}

fn rules(ours: &Locale, theirs: &Locale) -> Option<Finding> {
    let is = match ours.likeness(theirs) {
        IcuLocales::Same => return None,
        IcuLocales::Different => "is",
        IcuLocales::Unknown => "may be",
    };
    let (source, target) = (ours.rules(), theirs.rules());
    Some(Finding::warning(
        "locale-differs",
        format!("text {is} compared differently: {source} on the source, {target} on the target"),
        "ORDER BY, comparisons, upper() and lower() may give other results than before. Indexes are fine, because they \
         were built there. If that matters, create the target database with the source's locale, as move --create does.",
    ))
}

/// Of the source: what was found by such an index may be wrong, and unique ones may hold duplicates.
pub(super) fn outdated_on_source(source: &Readiness) -> Option<Finding> {
    let names = outdated_names(source);
    (!names.is_empty()).then(|| {
        Finding::warning(
            "source-collations-outdated",
            format!(
                "the operating system's collations have changed since the source's were recorded: {}",
                some_of(&names)
            ),
            anew(
                source,
                "Unique indexes on text may hold duplicates, which the target will refuse, and foreign keys may miss their rows. To know \
                 before the move, bt_index_check of the extension amcheck only reads; REINDEX also repairs.",
                "source",
            ),
        )
    })
}

fn outdated(target: &Readiness) -> Option<Finding> {
    let names = outdated_names(target);
    (!names.is_empty()).then(|| {
        Finding::warning(
            "collation-version-outdated",
            format!(
                "the operating system's collations have changed since the target's were recorded: {}",
                some_of(&names)
            ),
            anew(
                target,
                "Indexes on text that are older than the change may miss rows.",
                "target",
            ),
        )
    })
}

/// Collations whose version is not the recorded one.
fn outdated_locales(side: &Readiness) -> impl Iterator<Item = &Locale> {
    let locales = side.locales.iter();
    locales.filter(|one| match (&one.recorded, &one.actual) {
        (Some(recorded), Some(actual)) => recorded != actual,
        _ => false,
    })
}

fn outdated_names(side: &Readiness) -> Vec<String> {
    let shown = |one: &Locale| {
        let version = |version: &Option<String>| version.clone().unwrap_or_default();
        let (recorded, actual) = (version(&one.recorded), version(&one.actual));
        format!("{} (made with {recorded}, now {actual})", one.shown())
    };
    outdated_locales(side).map(shown).collect()
}

/// How to build the indexes anew, and then record it.
fn anew(side: &Readiness, why: &str, name: &str) -> String {
    let Some(rebuild) = Rebuild::on(side.major, side.in_recovery) else {
        return format!(
            "{why} {} Only after that, ALTER COLLATION … REFRESH VERSION and, from version 15 on, ALTER DATABASE … REFRESH COLLATION \
             VERSION, which record that it was done.",
            Rebuild::ON_STANDBY
        );
    };
    let mut locales = side.locales.iter();
    let database = locales.find(|one| one.schema.is_none());
    // Without a name it is understood from version 16 on.
    let indexes = database.map(|one| rebuild.statement("DATABASE", quote_ident(&one.name)));
    // Nothing is recorded as done of which some was passed over.
    let passed_over = indexes.as_ref().and_then(|_| rebuild.passed_over());
    let refresh = outdated_locales(side).map(Locale::refresh);
    let meanwhile = rebuild.meanwhile();
    let and_these = match &passed_over {
        Some(_) => ", and DO, which builds the indexes that REINDEX passes over",
        None => "",
    };
    to_paste(
        &format!(
            "{why} {meanwhile} On the {name}; only if REINDEX succeeds{and_these}, run the rest, which records that it did:"
        ),
        indexes.into_iter().chain(passed_over).chain(refresh),
    )
}

/// Other rules under the same name. Versions of different providers cannot be compared.
fn other_versions(source: &Readiness, target: &Readiness) -> Option<Finding> {
    let there: BTreeMap<_, &Locale> = source.locales.iter().map(|one| (key(one), one)).collect();
    let mut different = Vec::new();
    for found in &target.locales {
        let Some(ours) = there.get(&key(found)) else {
            continue;
        };
        if let (Some(source), Some(target)) = (&ours.actual, &found.actual)
            && source != target
            && ours.likeness(found) == IcuLocales::Same
        {
            different.push(format!(
                "{} ({source} on the source, {target} on the target)",
                found.shown()
            ));
        }
    }
    (!different.is_empty()).then(|| {
        Finding::note(
            "collation-versions-differ",
            format!(
                "the same collation has different versions on the two machines: {}",
                some_of(&different)
            ),
            "Text may sort slightly differently from before. Indexes are fine, because they were built there; do not copy the target's \
             files to the source's machine or back.",
        )
    })
}

/// The database's own locale is the same one whatever the database is called.
fn key(locale: &Locale) -> (Option<&str>, &str) {
    let name = match &locale.schema {
        Some(_) => locale.name.as_str(),
        None => "",
    };
    (locale.schema.as_deref(), name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Severity;

    fn database(change: impl FnOnce(&mut Locale)) -> Readiness {
        let mut locale = Locale {
            name: "shop".into(),
            encoding: Some("UTF8".into()),
            provider: "c".into(),
            lc_collate: Some("en_US.UTF-8".into()),
            lc_ctype: Some("en_US.UTF-8".into()),
            actual: Some("2.36".into()),
            ..Locale::default()
        };
        change(&mut locale);
        Readiness {
            locales: vec![locale],
            ..Readiness::default()
        }
    }

    fn rules(source: &Readiness, target: &Readiness) -> Vec<(Severity, String)> {
        let found = findings(source, target).into_iter();
        found.map(|one| (one.severity, one.rule)).collect()
    }

    #[test]
    fn each_kind_of_difference_is_told_and_spelling_is_none() {
        let source = database(|_| ());
        let spelled = database(|locale| {
            locale.name = "other".into();
            locale.lc_collate = Some("en_US.utf8".into());
        });
        assert_eq!(rules(&source, &spelled), []);
        let one = |severity, rule: &str| vec![(severity, rule.to_owned())];
        assert_eq!(
            rules(&source, &database(|it| it.encoding = Some("LATIN1".into()))),
            one(Severity::Note, "encoding-differs")
        );
        for change in [
            (|it: &mut Locale| it.lc_collate = Some("C".into())) as fn(&mut Locale),
            |it| it.lc_ctype = Some("de_DE.utf8".into()),
            |it| it.provider = "i".into(),
            |it| it.own = Some("en-US".into()),
        ] {
            assert_eq!(
                rules(&source, &database(change)),
                one(Severity::Warning, "locale-differs")
            );
        }
        assert_eq!(
            rules(&source, &database(|it| it.actual = Some("2.31".into()))),
            one(Severity::Note, "collation-versions-differ")
        );
        let outdated = database(|it| it.recorded = Some("2.31".into()));
        assert_eq!(
            rules(&source, &outdated),
            one(Severity::Warning, "collation-version-outdated")
        );
        assert_eq!(rules(&outdated, &source), []);
        let of_source = outdated_on_source(&outdated).expect("a finding");
        assert_eq!(of_source.rule, "source-collations-outdated");
        assert_eq!(outdated_on_source(&source), None);
    }

    #[test]
    fn what_orders_nothing_and_another_spelling_are_no_difference() {
        let of = |provider: &str, own: &str, collate: &str| {
            database(|it| {
                it.provider = provider.into();
                it.own = Some(own.into());
                it.lc_collate = Some(collate.into());
            })
        };
        let source = of("i", "en_US", "en_US.UTF-8");
        for same in ["en_US", "en-US"] {
            assert_eq!(rules(&source, &of("i", same, "C")), [], "{same}");
        }
        assert_eq!(
            rules(&of("b", "C.UTF-8", "C"), &of("b", "C.UTF-8", "x")),
            []
        );
        for (target, begins) in [
            (
                of("i", "en-GB", "C"),
                "text is compared differently: ICU en_US, ",
            ),
            (
                of("b", "en_US", "C"),
                "text is compared differently: ICU en_US, ",
            ),
            (
                of("i", "en-US-u-va-posix", "C"),
                "text may be compared differently: ICU en_US, ",
            ),
        ] {
            let found = findings(&source, &target);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].what.starts_with(begins), "{found:?}");
        }
    }

    #[test]
    fn a_collation_of_an_old_server_is_known_by_its_locale() {
        let side = |locale: Locale| Readiness {
            locales: vec![locale],
            ..Readiness::default()
        };
        let german = |version: &str| Locale {
            schema: Some("s".into()),
            name: "german".into(),
            provider: "i".into(),
            actual: Some(version.into()),
            ..Locale::default()
        };
        let old = side(Locale {
            lc_collate: Some("de@collation=phonebook".into()),
            lc_ctype: Some("de@collation=phonebook".into()),
            ..german("153.64")
        });
        let of = |own: &str| {
            side(Locale {
                own: Some(own.into()),
                ..german("153.120")
            })
        };
        let versions_differ = vec![(Severity::Note, "collation-versions-differ".to_owned())];
        assert_eq!(rules(&old, &of("de-u-co-phonebk")), versions_differ);
        assert_eq!(rules(&old, &of("de")), []);
    }

    #[test]
    fn of_many_collations_each_has_its_statement() {
        let mut outdated = database(|it| it.recorded = Some("2.31".into()));
        let dutch = |number: usize| Locale {
            schema: Some("public".into()),
            name: format!("dutch {number}"),
            recorded: Some("1".into()),
            actual: Some("2".into()),
            ..Locale::default()
        };
        outdated.locales.extend((0..9).map(dutch));
        outdated.major = 12;
        let source = database(|_| ());
        let found = findings(&source, &outdated);
        let on_source = outdated_on_source(&outdated);
        for finding in found.iter().chain(&on_source) {
            let lines: Vec<&str> = finding.remedy.lines().skip(1).collect();
            assert_eq!(lines.len(), 12, "{lines:#?}");
            assert!(lines[1].contains("WHERE i.indisexclusion"), "{lines:#?}");
            assert_eq!(
                [lines[0], lines[2], lines[3]],
                [
                    "REINDEX DATABASE CONCURRENTLY \"shop\";",
                    "ALTER DATABASE \"shop\" REFRESH COLLATION VERSION;",
                    "ALTER COLLATION \"public\".\"dutch 0\" REFRESH VERSION;",
                ]
            );
        }
    }

    #[test]
    fn what_builds_indexes_anew_says_who_waits_and_a_standby_is_not_told_to() {
        let mut outdated = database(|it| it.recorded = Some("2.31".into()));
        let source = database(|_| ());
        let mut remedies = |major, in_recovery| {
            outdated.major = major;
            outdated.in_recovery = in_recovery;
            let mut found = findings(&source, &outdated);
            found.extend(outdated_on_source(&outdated));
            let remedies = found.into_iter().map(|one| one.remedy);
            let remedies: Vec<String> = remedies.collect();
            assert_eq!(remedies.len(), 2, "{remedies:#?}");
            assert!(remedies[1].contains("amcheck only reads"), "{remedies:#?}");
            remedies
        };
        for remedy in remedies(11, false) {
            assert!(remedy.contains("wait while its indexes are"), "{remedy}");
            assert!(remedy.contains("\nREINDEX DATABASE \"shop\";"), "{remedy}");
            assert!(!remedy.contains("\nDO "), "{remedy}");
        }
        for remedy in remedies(18, false) {
            assert!(remedy.contains("others go on writing"), "{remedy}");
        }
        for remedy in remedies(18, true) {
            assert!(
                remedy.contains("on its primary") && !remedy.contains('\n'),
                "{remedy}"
            );
        }
    }
}
