//! What a person reads when something fails.

use super::*;
use crate::archive::ArchiveError;
use crate::model::{FilterKind, Filters, ServerError, SqlText};

fn server_error(code: &str) -> PgError {
    let error = ServerError {
        severity: "ERROR".into(),
        code: code.into(),
        message: "permission denied for table t".into(),
        detail: Some("first\nsecond".into()),
        ..ServerError::default()
    };
    PgError::server(&SqlText::from("select 1\nfrom t"), error)
}

#[test]
fn a_server_error_is_shown_with_every_field_the_statement_and_a_hint() {
    let failure = Failure::from(server_error("42501")).while_doing("counting rows");
    assert_eq!(failure.status, ExitStatus::Failed);
    let text = failure.to_string();
    assert!(
        text.starts_with(
            "counting rows: ERROR:  42501: permission denied for table t\n  DETAIL:  first\n  second\n  \
             STATEMENT:  select 1\n  from t\nhint: "
        ),
        "{text}"
    );
}

/// A server lets nobody in.
fn refused(code: &str, message: &str) -> Failure {
    Failure::from(PgError::Connect(ConnectError::Refused {
        host: "db:5432".into(),
        user: "u".into(),
        database: "d".into(),
        encrypted: false,
        error: Box::new(ServerError {
            code: code.into(),
            message: message.into(),
            ..ServerError::default()
        }),
    }))
}

/// Whoever has had a server's answers knows its host and port.
#[test]
fn a_server_that_goes_away_in_the_middle_is_not_looked_for_at_another_port() {
    let unreachable = || {
        Failure::from(PgError::Connect(ConnectError::Unreachable {
            host: "db:5432".into(),
            tried: Vec::new(),
        }))
    };
    let hint = |failure: Failure| failure.hint.expect("a hint");
    assert!(hint(unreachable()).starts_with("Check host and port"));
    let begun = unreachable().once_begun();
    assert_eq!(begun.status, ExitStatus::Interrupted);
    assert!(hint(begun).starts_with("It answered before"));
    let refused = refused("28P01", "password authentication failed for user \"u\"");
    assert!(hint(refused.once_begun()).contains(".pgpass"));
}

#[test]
fn what_cannot_be_retried_without_a_change_is_usage_and_what_was_cut_off_is_interrupted() {
    let closed = PgError::Closed {
        doing: "copying".into(),
    };
    assert_eq!(Failure::from(closed).status, ExitStatus::Interrupted);
    assert_eq!(
        Failure::from(server_error("57P01")).status,
        ExitStatus::Interrupted
    );
    let failure = refused("28P01", "password authentication failed for user \"u\"");
    assert_eq!(failure.status, ExitStatus::Usage);
    assert!(failure.hint.expect("a hint").contains(".pgpass"));
}

#[test]
fn a_role_that_may_not_switch_off_what_passes_over_damage_is_told_what_to_do() {
    let hint = |message: &str| refused("42501", message).hint;
    let told = hint("permission denied to set parameter \"ignore_checksum_failure\"");
    let told = told.expect("a hint");
    assert!(
        told.starts_with("The server has ignore_checksum_failure enabled"),
        "{told}"
    );
    let other = hint("permission denied for database \"d\"").expect("a hint");
    assert!(!other.contains("damage"), "{other}");
}

#[test]
fn a_pattern_that_matches_nothing_is_named() {
    let mut filters = Filters::default();
    filters
        .add(FilterKind::Table, "acounts")
        .expect("a pattern");
    let all: Vec<&Filter> = filters.iter().collect();
    let failure = Failure::unmatched(&all, "shop");
    assert_eq!(
        failure.message,
        "--table acounts matches nothing in database \"shop\""
    );
    assert_eq!(failure.status, ExitStatus::Usage);
}

#[test]
fn a_no_go_names_each_blocker_with_its_remedy() {
    let finding = |severity, rule: &str| {
        let (what, remedy) = (format!("what of {rule}"), format!("remedy of {rule}"));
        Finding::new(severity, rule, what, remedy)
    };
    let failure = Failure::no_go(&[
        finding(Severity::Warning, "a"),
        finding(Severity::Blocker, "b"),
    ]);
    assert_eq!(failure.status, ExitStatus::NoGo);
    assert_eq!(
        failure.to_string(),
        "no-go: 1 finding forbids this run; nothing was touched\n  what of b [b]\n    what to do: remedy of b"
    );
}

#[test]
fn a_full_disk_is_that_of_the_archive_or_that_of_the_run() {
    for (path, elsewhere) in [
        ("/backups/shop.unfinished/7.dat", "--archive"),
        ("shop.unfinished.journal", "--archive"),
        ("s3://backups/shop/7.dat", "--run-dir"),
        ("/runs/1/archive.journal", "--run-dir"),
    ] {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let failure = Failure::from(ArchiveError::file("writing", Path::new(path))(full));
        assert_eq!(failure.status, ExitStatus::Failed);
        let hint = failure.hint.expect("a hint");
        let flags = ["--archive", "--run-dir"].map(|flag| hint.contains(flag));
        let expected = ["--archive", "--run-dir"].map(|flag| flag == elsewhere);
        assert_eq!(flags, expected, "{path}: {hint}");
    }
}
