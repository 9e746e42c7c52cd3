//! Blockers that the operator passes over, by name.

use crate::model::{Finding, Severity, rule};

/// The rules that may be passed over: they predict that something will fail, and it then does, by name. What keeps a target from
/// being written over, or a run from meaning something else than was asked for, is not among them.
pub const SKIPPABLE: [&str; 9] = [
    rule::EXTENSIONS_MISSING,
    rule::LARGE_OBJECTS_UNREADABLE,
    rule::NEEDS_SUPERUSER,
    rule::OWNERS_NOT_ASSUMABLE,
    rule::OWNERS_WITHOUT_CREATE,
    rule::ROLES_MISSING,
    rule::SOURCE_UNREADABLE,
    rule::TABLESPACES_MISSING,
    rule::TARGET_PRIVILEGES,
];

/// Makes warnings of the blockers that are to be passed over, and says so in each.
pub fn pass_over(findings: &mut [Finding], rules: &[String]) {
    let passed_over = findings.iter_mut().filter(|finding| {
        finding.severity == Severity::Blocker
            && SKIPPABLE.contains(&finding.rule.as_str())
            && rules.contains(&finding.rule)
    });
    for finding in passed_over {
        finding.severity = Severity::Warning;
        let said = format!("passed over: --skip-check {}", finding.rule);
        finding.evidence.push(said);
    }
}

#[cfg(test)]
mod tests {
    use super::super::is_go;
    use super::*;

    #[test]
    fn only_what_is_named_and_may_be_is_passed_over() {
        let both =
            || ["roles-missing", "target-not-empty"].map(|rule| Finding::blocker(rule, "", ""));
        let mut findings = both();
        pass_over(&mut findings, &["tablespaces-missing".into()]);
        assert_eq!(findings, both());
        pass_over(
            &mut findings,
            &["roles-missing".into(), "target-not-empty".into()],
        );
        assert_eq!(findings[0].severity, Severity::Warning);
        assert_eq!(
            findings[0].evidence,
            ["passed over: --skip-check roles-missing"]
        );
        assert!(!is_go(&findings), "it would be written over");
    }
}
