//! The password file: `host:port:database:user:password`, one entry a line, the first that matches wins.
//!
//! As `passwordFromFile` in libpq's `fe-connect.c`: `*` matches anything, `\:` and `\\` are escapes, a line that begins
//! with `#` is a comment, and a file that others may read is ignored, with a warning.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::conninfo::Password;

/// What is looked up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// Host name, address, or socket directory, as written; `localhost` for the default socket directory.
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) database: &'a str,
    pub(super) user: &'a str,
}

/// The usable text of a password file, or `None`; and a warning if the file is there but cannot be used.
pub(super) fn read(path: &Path) -> (Option<String>, Option<String>) {
    let unusable = |why: &str| {
        let warning = format!("the password file \"{}\" is ignored: {why}", path.display());
        (None, Some(warning))
    };
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return (None, None),
        Err(error) => return unusable(&error.to_string()),
    };
    if !metadata.is_file() {
        // `passfile=/dev/null` is the usual way to say "none".
        return if path == Path::new("/dev/null") {
            (None, None)
        } else {
            unusable("it is not a plain file")
        };
    }
    if metadata.permissions().mode() & 0o077 != 0 {
        return unusable("its group or others may read it; chmod 0600 it");
    }
    match std::fs::read(path) {
        Ok(bytes) => (Some(String::from_utf8_lossy(&bytes).into_owned()), None),
        Err(error) => unusable(&error.to_string()),
    }
}

/// Whether a password file is there, and its entries count. `/dev/null` is one: it has none.
pub(super) fn is_usable(path: &Path) -> bool {
    path == Path::new("/dev/null") || read(path).0.is_some()
}

/// The password of the first entry that matches.
pub(super) fn find(text: &str, wanted: &Wanted<'_>) -> Option<Password> {
    let port = wanted.port.to_string();
    let fields = [wanted.host, &port, wanted.database, wanted.user];
    text.split('\n')
        .map(|line| line.trim_end_matches('\r'))
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .find_map(|line| {
            let mut rest = line;
            for field in fields {
                rest = strip_field(rest, field)?;
            }
            Some(Password::new(unescape(rest)))
        })
}

/// What follows a field and its colon, if the field matches.
fn strip_field<'a>(line: &'a str, wanted: &str) -> Option<&'a str> {
    if let Some(rest) = line.strip_prefix("*:") {
        return Some(rest);
    }
    let mut wanted = wanted.chars();
    let mut chars = line.chars();
    loop {
        match chars.next()? {
            ':' => return wanted.next().is_none().then_some(chars.as_str()),
            '\\' => {
                if wanted.next() != chars.next() {
                    return None;
                }
            }
            c => {
                if wanted.next() != Some(c) {
                    return None;
                }
            }
        }
    }
}

/// The last field ends at an unescaped colon or at the end of the line.
fn unescape(field: &str) -> String {
    let mut password = String::new();
    let mut chars = field.chars();
    while let Some(c) = chars.next() {
        match c {
            ':' => break,
            '\\' => password.push(chars.next().unwrap_or('\\')),
            c => password.push(c),
        }
    }
    password
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, host: &str) -> Option<String> {
        let wanted = Wanted {
            host,
            port: 5432,
            database: "shop",
            user: "anna",
        };
        find(text, &wanted).map(|password| password.expose().to_owned())
    }

    #[test]
    fn entries_match_field_by_field() {
        for (text, host, password) in [
            ("db:5432:shop:anna:secret", "db", Some("secret")),
            ("db:5432:shop:anna:secret", "other", None),
            ("d:5432:shop:anna:secret", "db", None),
            ("dbx:5432:shop:anna:secret", "db", None),
            ("db:5433:shop:anna:secret", "db", None),
            ("db:5432:shop:bert:secret", "db", None),
            ("*:*:*:*:any", "db", Some("any")),
            ("*x:*:*:*:any", "db", None),
            ("*:*:*:*:any", "*", Some("any")),
            (
                "#db:5432:shop:anna:no\n\ndb:5432:shop:anna:yes",
                "db",
                Some("yes"),
            ),
            ("db:*:*:*:first\ndb:*:*:*:second", "db", Some("first")),
            ("db:*:*:*:crlf\r\n", "db", Some("crlf")),
            (r"\:\:1:*:*:*:six", "::1", Some("six")),
            ("::1:*:*:*:six", "::1", None),
            (r"db:*:*:*:a\:b\\c", "db", Some(r"a:b\c")),
            (r"db:*:*:*:ends\", "db", Some(r"ends\")),
            ("db:*:*:*:to the colon:ignored", "db", Some("to the colon")),
            ("db:*:*:*:", "db", Some("")),
            ("db:*:*:*", "db", None),
            (r"a\\b:*:*:*:x", r"a\b", Some("x")),
            ("/tmp:*:*:*:socket", "/tmp", Some("socket")),
            ("", "db", None),
        ] {
            assert_eq!(found(text, host).as_deref(), password, "{text:?} {host}");
        }
    }

    #[test]
    fn a_file_that_others_may_read_is_ignored_with_a_warning() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "*:*:*:*:x").expect("written");
        for (mode, usable) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode))
                .expect("changed");
            let (text, warning) = read(file.path());
            assert_eq!(text.is_some(), usable, "{mode:o}");
            assert_eq!(warning.is_none(), usable, "{mode:o}");
        }
    }

    #[test]
    fn what_is_not_there_is_no_trouble() {
        assert_eq!(read(Path::new("/nonexistent/pgpass")), (None, None));
        assert_eq!(read(Path::new("/dev/null")), (None, None));
        let directory = tempfile::tempdir().expect("a directory");
        assert!(read(directory.path()).1.is_some());
    }
}
