//! The connection service file: named sets of connection settings.
//!
//! Looked for as libpq does (`parseServiceInfo` in `src/interfaces/libpq/fe-connect.c`): the file that `servicefile=` or
//! `PGSERVICEFILE` names, otherwise `~/.pg_service.conf`; and if the service is not in it, `pg_service.conf` in
//! `PGSYSCONFDIR` or where distributions keep it. LDAP look-ups are not supported and are refused.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::conninfo::{ConninfoError, Environment};

/// Where packages keep the system-wide file: the value of `pg_config --sysconfdir` in each.
const SYSTEM_DIRECTORIES: [&str; 3] = [
    "/etc/postgresql-common",
    "/etc/sysconfig/pgsql",
    "/etc/postgresql",
];

/// Reads a service's settings, by keyword, unchecked. `file` is the value of `servicefile=` or `PGSERVICEFILE`.
pub(super) fn settings(
    service: &str,
    file: Option<&str>,
    environment: &Environment,
) -> Result<BTreeMap<String, String>, ConninfoError> {
    let mut looked_in = Vec::new();
    for (path, must_exist) in candidates(file, environment) {
        match std::fs::read(&path) {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                if let Some(settings) = parse(&text, service, &path)? {
                    return Ok(settings);
                }
            }
            Err(source) if must_exist || source.kind() != std::io::ErrorKind::NotFound => {
                return Err(ConninfoError::ServiceFile { path, source });
            }
            Err(_) => {}
        }
        looked_in.push(path);
    }
    Err(ConninfoError::NoService {
        service: service.to_owned(),
        looked_in,
    })
}

/// The files to look in, in order, and whether it is an error if one does not exist.
fn candidates(file: Option<&str>, environment: &Environment) -> Vec<(PathBuf, bool)> {
    let own = match file.filter(|file| !file.is_empty()) {
        Some(file) => Some((PathBuf::from(file), true)),
        None => environment
            .home()
            .map(|home| (home.join(".pg_service.conf"), false)),
    };
    let system: Vec<&str> = match environment.non_empty("PGSYSCONFDIR") {
        Some(directory) => vec![directory],
        None => SYSTEM_DIRECTORIES.to_vec(),
    };
    own.into_iter()
        .chain(
            system
                .into_iter()
                .map(|directory| (Path::new(directory).join("pg_service.conf"), false)),
        )
        .collect()
}

/// The settings of one service, or `None` if the text doesn't define it. The first line for a keyword wins, and nothing
/// is trimmed around the `=`, as in libpq.
fn parse(
    text: &str,
    service: &str,
    path: &Path,
) -> Result<Option<BTreeMap<String, String>>, ConninfoError> {
    let problem = |line: usize, problem: String| ConninfoError::ServiceLine {
        path: path.to_owned(),
        line,
        problem,
    };
    let mut settings: Option<BTreeMap<String, String>> = None;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix('[') {
            if settings.is_some() {
                break;
            }
            // Like libpq, only the beginning counts: "[name] whatever" is the group "name".
            if name
                .strip_prefix(service)
                .is_some_and(|rest| rest.starts_with(']'))
            {
                settings = Some(BTreeMap::new());
            }
            continue;
        }
        let Some(settings) = settings.as_mut() else {
            continue;
        };
        if line.starts_with("ldap") {
            return Err(problem(number, "LDAP is not supported".to_owned()));
        }
        match line.split_once('=') {
            Some(("service" | "servicefile", _)) => {
                return Err(problem(
                    number,
                    "a service cannot name another service".to_owned(),
                ));
            }
            Some((keyword, value)) if keyword == keyword.trim_end() => {
                settings
                    .entry(keyword.to_owned())
                    .or_insert_with(|| value.to_owned());
            }
            Some(_) => {
                return Err(problem(
                    number,
                    "there must be no space before the \"=\"".to_owned(),
                ));
            }
            None => {
                return Err(problem(number, "\"keyword=value\" is expected".to_owned()));
            }
        }
    }
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# a comment
[other]
host=wrong

[moving]   
host=db.example.com
  port=5433  
host=second-is-ignored
password= with space
[after]
host=wrong
";

    fn moving(text: &str) -> Result<Option<BTreeMap<String, String>>, ConninfoError> {
        parse(text, "moving", Path::new("f"))
    }

    #[test]
    fn a_group_is_found_and_its_first_values_win() {
        let settings = moving(FILE).expect("parses").expect("defined");
        let settings: Vec<_> = settings
            .iter()
            .map(|(keyword, value)| (keyword.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            settings,
            [
                ("host", "db.example.com"),
                ("password", " with space"),
                ("port", "5433")
            ]
        );
        assert_eq!(parse(FILE, "mov", Path::new("f")).expect("parses"), None);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_line() {
        for (text, line, words) in [
            ("[moving]\nhost = x", 2, "no space"),
            ("[moving]\n\nhost", 3, "keyword=value"),
            ("[moving]\nservice=other", 2, "another service"),
            ("[moving]\nldap://ldap.example.com/dc=x", 2, "LDAP"),
        ] {
            match moving(text).expect_err("is refused") {
                ConninfoError::ServiceLine {
                    line: found,
                    problem,
                    ..
                } => {
                    assert_eq!(found, line, "{text}");
                    assert!(problem.contains(words), "{text}: {problem}");
                }
                other => panic!("{text}: {other}"),
            }
        }
        // Other groups are not looked at.
        assert!(moving("[other]\nnonsense\n[moving]\nhost=x").is_ok());
    }

    #[test]
    fn files_are_looked_for_where_libpq_does() {
        let environment = Environment::new([("PGSYSCONFDIR", "/etc/x")]).with_home("/home/me");
        let paths = |file| -> Vec<String> {
            candidates(file, &environment)
                .into_iter()
                .map(|(path, _)| path.display().to_string())
                .collect()
        };
        assert_eq!(
            paths(None),
            ["/home/me/.pg_service.conf", "/etc/x/pg_service.conf"]
        );
        assert_eq!(
            paths(Some("/srv/own.conf")),
            ["/srv/own.conf", "/etc/x/pg_service.conf"]
        );
        let missing = settings("s", Some("/nonexistent/file"), &environment);
        assert!(matches!(missing, Err(ConninfoError::ServiceFile { .. })));
        let nowhere = settings("s", None, &environment).expect_err("is not defined");
        assert_eq!(
            nowhere.to_string(),
            "service \"s\" is not defined in /home/me/.pg_service.conf or /etc/x/pg_service.conf"
        );
    }
}
