//! What an archive's name means: a path, or the address of objects.
//!
//! An address has no credentials in it, as it is written down in many places: they come from the environment.

use std::io;
use std::path::{Path, PathBuf};

use super::StoreError;
use crate::archive::ArchiveError;

/// Whose storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Provider {
    S3,
    Google,
    Azure,
}

/// Where objects are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub provider: Provider,
    /// Of the bucket: `s3://bucket`.
    pub root: String,
    /// What the objects' names begin with; nothing, if the bucket is the archive.
    pub prefix: String,
}

/// What a name means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Path(PathBuf),
    Objects(Address),
}

/// The name of an archive in full: that of a path does not depend on the working directory any more, and has no slash at its end.
pub fn absolute(name: &Path) -> Result<PathBuf, ArchiveError> {
    match meaning(name).map_err(|error| refused(name, error))? {
        Meaning::Path(path) => {
            let absolute = std::path::absolute(&path);
            let absolute = absolute.map_err(ArchiveError::file("finding", &path))?;
            Ok(absolute.components().collect())
        }
        Meaning::Objects(address) => Ok(address.shown()),
    }
}

/// Whether a name is that of objects.
pub(in crate::archive) fn is_of_objects(name: &Path) -> bool {
    matches!(meaning(name), Ok(Meaning::Objects(_)))
}

/// The path, of a name that is none of objects.
pub(super) fn local(name: &Path) -> Result<PathBuf, ArchiveError> {
    match meaning(name).map_err(|error| refused(name, error))? {
        Meaning::Path(path) => Ok(path),
        Meaning::Objects(address) => Ok(address.shown()),
    }
}

/// There may be a secret in a name that is none.
pub(super) fn refused(name: &Path, error: StoreError) -> ArchiveError {
    let shown = match &error {
        StoreError::Name { .. } => Path::new("the archive"),
        _ => name,
    };
    ArchiveError::file("finding", shown)(error.into())
}

impl Address {
    /// As people write it.
    pub fn shown(&self) -> PathBuf {
        if self.prefix.is_empty() {
            return PathBuf::from(&self.root);
        }
        PathBuf::from(format!("{}/{}", self.root, self.prefix))
    }
}

/// What a name means.
pub(super) fn meaning(name: &Path) -> Result<Meaning, StoreError> {
    let Some((scheme, rest)) = name.to_str().and_then(scheme) else {
        return Ok(Meaning::Path(name.to_owned()));
    };
    let because = |why: &str| StoreError::Name {
        scheme: scheme.clone(),
        why: why.to_owned(),
    };
    let provider = match scheme.as_str() {
        "file" => return file(rest).map(Meaning::Path).map_err(because),
        "s3" => Provider::S3,
        "gs" => Provider::Google,
        "az" => Provider::Azure,
        _ => return Err(because("there are s3://, gs://, az:// and file://")),
    };
    if rest.contains(['?', '#', '@']) {
        return Err(because(
            "it has a character of ?, # and @; credentials and settings come from the environment",
        ));
    }
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.trim_end_matches('/');
    if bucket.is_empty() {
        return Err(because("it names no bucket"));
    }
    // A segment that is empty or leads upwards is no part of a name.
    let is_plain = |segment: &str| !matches!(segment, "" | "." | "..");
    if !prefix.is_empty() && !prefix.split('/').all(is_plain) {
        return Err(because(
            "a part of it between two slashes is empty, . or ..",
        ));
    }
    Ok(Meaning::Objects(Address {
        provider,
        root: format!("{scheme}://{bucket}"),
        prefix: prefix.to_owned(),
    }))
}

/// `s3` and what follows it, of a name that begins with `s3://`.
fn scheme(name: &str) -> Option<(String, &str)> {
    let (scheme, rest) = name.split_once("://")?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|other| other.is_ascii_alphanumeric() || "+.-".contains(other));
    is_scheme.then(|| (scheme.to_ascii_lowercase(), rest))
}

fn file(rest: &str) -> Result<PathBuf, &'static str> {
    let path = rest.strip_prefix("localhost").unwrap_or(rest);
    if !path.starts_with('/') {
        return Err("file:// is followed by an absolute path, with three slashes in all");
    }
    if path.contains('%') {
        return Err("% stands for other characters in it: give the path alone");
    }
    Ok(PathBuf::from(path))
}

impl From<StoreError> for io::Error {
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::Missing => io::ErrorKind::NotFound,
            StoreError::Unreachable { .. } => io::ErrorKind::NotConnected,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(name: &str) -> (Provider, String, String) {
        match meaning(Path::new(name)).expect(name) {
            Meaning::Objects(address) => (address.provider, address.root, address.prefix),
            Meaning::Path(path) => panic!("{name} is {}", path.display()),
        }
    }

    #[test]
    fn an_address_is_a_bucket_and_what_names_begin_with() {
        let s3 = |root: &str, prefix: &str| (Provider::S3, root.to_owned(), prefix.to_owned());
        assert_eq!(objects("s3://b/a/shop"), s3("s3://b", "a/shop"));
        assert_eq!(objects("S3://b/shop/"), s3("s3://b", "shop"));
        assert_eq!(objects("s3://b"), s3("s3://b", ""));
        assert_eq!(objects("gs://b/x").0, Provider::Google);
        assert_eq!(objects("az://b/x").0, Provider::Azure);
        let shown = absolute(Path::new("s3://b/a/shop/")).expect("a name");
        assert_eq!(shown, Path::new("s3://b/a/shop"));
        assert_eq!(
            shown.join("toc.dat").display().to_string(),
            "s3://b/a/shop/toc.dat"
        );
    }

    #[test]
    fn everything_else_is_a_path() {
        for name in ["shop", "/backup/shop", "./s3:/b", "a b://c", "://x", "s3:b"] {
            let path = PathBuf::from(name);
            assert_eq!(meaning(&path).expect(name), Meaning::Path(path));
        }
        let file = meaning(Path::new("file:///backup/shop")).expect("a name");
        assert_eq!(file, Meaning::Path("/backup/shop".into()));
        // Paths that differ in nothing else are equal; as text they are not.
        for name in ["/backup/shop/", "file:///backup//shop/"] {
            let full = absolute(Path::new(name)).expect("a name");
            assert_eq!(full.to_str(), Some("/backup/shop"));
        }
    }

    #[test]
    fn what_has_no_meaning_is_refused_without_repeating_it() {
        for name in [
            "http://host/secret",
            "s3:///secret",
            "s3://key:secret@b/x",
            "az://c/x?sig=secret",
            "s3://b/a//secret",
            "s3://b/../secret",
            "file://secret",
            "file:///a%20secret",
        ] {
            let said = meaning(Path::new(name)).expect_err(name).to_string();
            assert!(!said.contains("secret"), "{name}: {said}");
        }
    }
}
