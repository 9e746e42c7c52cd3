//! The checked-in archives.

use std::path::PathBuf;

use pgconvoy::toc::{Entry, RestoreOptions, Toc};

/// Every archive: `MAJOR-nasty`, `MAJOR-latin1`, `MAJOR-ascii`.
pub const NAMES: [&str; 9] = [
    "15-nasty",
    "15-latin1",
    "15-ascii",
    "16-nasty",
    "16-latin1",
    "16-ascii",
    "18-nasty",
    "18-latin1",
    "18-ascii",
];

pub fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures/archives")
        .join(file)
}

pub fn bytes(file: &str) -> Vec<u8> {
    let path = path(file);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub fn custom(name: &str) -> Toc {
    Toc::open(&path(&format!("{name}.dump"))).unwrap_or_else(|error| panic!("{name}: {error}"))
}

pub fn directory(name: &str) -> Toc {
    Toc::open(&path(&format!("{name}.dir"))).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The options with which `make.sh` wrote `NAME.bare.sql`.
pub fn bare(name: &str) -> RestoreOptions {
    RestoreOptions {
        no_owner: true,
        no_acl: true,
        no_tablespaces: true,
        no_table_access_method: true,
        no_comments: true,
        no_security_labels: true,
        no_publications: true,
        no_subscriptions: true,
        no_policies: name.starts_with("18"),
        no_statistics: name.starts_with("18"),
        create_database: false,
    }
}

pub fn entry<'a>(toc: &'a Toc, desc: &str, tag: &str) -> &'a Entry {
    toc.entries
        .iter()
        .find(|entry| entry.is(desc) && entry.tag == tag)
        .unwrap_or_else(|| panic!("no {desc} {tag}"))
}
