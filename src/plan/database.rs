//! How the target database is created like the source's, and what is set on it when.
//!
//! Not everything can be there from the start. A setting such as `default_transaction_read_only` or `role`, a connection
//! limit, or a privilege that the owner took from itself would bite the run's own sessions: these are set last. What
//! is only known to the target (settings, roles, locales) is found out at the start all the same, because
//! `execute::prepare` rehearses the last statements in a transaction that is rolled back.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::catalog::{DatabaseFacts, DatabaseGrant, DatabaseSetting, LocaleProvider};
use crate::model::{ServerVersion, SqlText, quote_ident, quote_literal};
use crate::toc::RestoreOptions;

/// Settings whose value is a list that the catalog stores with its elements quoted: `variable_is_guc_list_quote` in
/// `dumputils.c`. No server tells which they are.
const QUOTED_LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// What an owner and `PUBLIC` may do with a database that has no privileges of its own (`acldefault` in `acl.c`).
const OWNERS_DEFAULT: [&str; 3] = ["CREATE", "TEMPORARY", "CONNECT"];
const PUBLIC_DEFAULT: [&str; 2] = ["TEMPORARY", "CONNECT"];

/// Why the target cannot have such a database.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DatabaseError {
    /// Another version would compare and sort text in another way.
    #[error(
        "creating database \"{database}\": its locale provider {provider} needs PostgreSQL {needs} or newer, and the target is {target}"
    )]
    Provider {
        /// The database.
        database: String,
        /// `icu` or `builtin`.
        provider: &'static str,
        /// The first major version that has it.
        needs: u32,
        /// The target's version.
        target: ServerVersion,
    },
    /// ICU rules came later than ICU.
    #[error(
        "creating database \"{database}\": its ICU rules need PostgreSQL 16 or newer, and the target is {target}"
    )]
    IcuRules {
        /// The database.
        database: String,
        /// The target's version.
        target: ServerVersion,
    },
    /// An archive of a part of a database, perhaps.
    #[error("creating database \"{database}\": the archive does not say how its own was made")]
    NotInArchive {
        /// The database.
        database: String,
    },
    /// A list in the catalog is not one.
    #[error("creating database \"{database}\": setting {setting} is not a list: {value}")]
    List {
        /// The database.
        database: String,
        /// The setting.
        setting: String,
        /// What the catalog says.
        value: String,
    },
}

/// Statements that give the database one of its properties.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Property {
    /// What it is, for a person: `setting work_mem`.
    pub what: String,
    /// One statement or several.
    pub sql: SqlText,
}

/// A database to be created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewDatabase {
    /// Its name on the target.
    pub name: String,
    /// `CREATE DATABASE`, which must not be in a transaction.
    pub create: SqlText,
    /// What it is given at once: comment, security labels.
    pub early: Vec<Property>,
    /// What it is given when everything else is done: privileges, connection limit, settings.
    pub late: Vec<Property>,
}

impl NewDatabase {
    /// Like the source's, under a name of its own. `target` is the version of the server that it is made on.
    pub fn like(
        source: &DatabaseFacts,
        name: &str,
        target: ServerVersion,
        options: &RestoreOptions,
    ) -> Result<Self, DatabaseError> {
        let mut late = privileges(source, name, options);
        if source.connection_limit != -1 {
            let limit = source.connection_limit;
            late.push(Property {
                what: format!("connection limit {limit}"),
                sql: format!(
                    "alter database {} connection limit {limit}",
                    quote_ident(name)
                )
                .into(),
            });
        }
        for setting in &source.settings {
            late.push(set(setting, name)?);
        }
        Ok(Self {
            name: name.to_owned(),
            create: create(source, name, target, options)?,
            early: described(source, name, options),
            late,
        })
    }
}

/// As `dumpDatabase` in `pg_dump.c` writes it, and with the owner. The collation's version is the target's own business: it
/// is that of the library there.
fn create(
    source: &DatabaseFacts,
    name: &str,
    target: ServerVersion,
    options: &RestoreOptions,
) -> Result<SqlText, DatabaseError> {
    let (provider, needs, locale_word) = match source.provider {
        LocaleProvider::Libc => ("libc", 0, None),
        LocaleProvider::Icu => ("icu", 15, Some("icu_locale")),
        LocaleProvider::Builtin => ("builtin", 17, Some("builtin_locale")),
    };
    if target.major() < needs {
        return Err(DatabaseError::Provider {
            database: name.to_owned(),
            provider,
            needs,
            target,
        });
    }
    if source.icu_rules.is_some() && target.major() < 16 {
        return Err(DatabaseError::IcuRules {
            database: name.to_owned(),
            target,
        });
    }
    let mut clauses = vec!["template = template0".to_owned()];
    if !options.no_owner {
        clauses.push(format!("owner = {}", quote_ident(&source.owner)));
    }
    let mut with = |word: &str, value: &str| {
        clauses.push(format!("{word} = {}", quote_literal(value)));
    };
    with("encoding", &source.encoding);
    if target.major() >= 15 {
        with("locale_provider", provider);
    }
    with("lc_collate", &source.lc_collate);
    with("lc_ctype", &source.lc_ctype);
    if let (Some(word), Some(locale)) = (locale_word, &source.locale) {
        with(word, locale);
    }
    if let Some(rules) = &source.icu_rules {
        with("icu_rules", rules);
    }
    if !options.no_tablespaces && source.tablespace != "pg_default" {
        clauses.push(format!("tablespace = {}", quote_ident(&source.tablespace)));
    }
    let clauses = clauses.join(" ");
    Ok(format!("create database {} with {clauses}", quote_ident(name)).into())
}

fn described(source: &DatabaseFacts, name: &str, options: &RestoreOptions) -> Vec<Property> {
    let comment = source.comment.as_ref().filter(|_| !options.no_comments);
    let comment = comment.map(|comment| Property {
        what: "comment".to_owned(),
        sql: format!(
            "comment on database {} is {}",
            quote_ident(name),
            quote_literal(comment)
        )
        .into(),
    });
    let labels = source
        .labels
        .iter()
        .filter(|_| !options.no_security_labels)
        .map(|(provider, label)| Property {
            what: format!("security label of provider {provider}"),
            sql: format!(
                "security label for {} on database {} is {}",
                quote_ident(provider),
                quote_ident(name),
                quote_literal(label)
            )
            .into(),
        });
    comment.into_iter().chain(labels).collect()
}

/// What differs from the default, as `buildACLCommands` in `dumputils.c` does it: first revoked, then granted, in the order
/// of the list, each by whoever granted it.
fn privileges(source: &DatabaseFacts, name: &str, options: &RestoreOptions) -> Vec<Property> {
    let Some(grants) = source.grants.as_ref().filter(|_| !options.no_acl) else {
        return Vec::new();
    };
    let database = quote_ident(name);
    let owner = (!options.no_owner).then_some(source.owner.as_str());
    let is_there = |grantee: Option<&str>, privilege: &str| {
        let same = |grant: &DatabaseGrant| {
            grant.grantee.as_deref() == grantee && grant.privilege == privilege
        };
        grants.iter().any(same)
    };
    let mut sql = String::new();
    for privilege in PUBLIC_DEFAULT {
        if !is_there(None, privilege) {
            let _ = writeln!(
                sql,
                "revoke {privilege} on database {database} from public;"
            );
        }
    }
    // Without the source's owner there is nobody to take the owner's privileges from.
    for privilege in OWNERS_DEFAULT {
        if let Some(owner) = owner
            && !is_there(Some(owner), privilege)
        {
            let owner = quote_ident(owner);
            let _ = writeln!(
                sql,
                "revoke {privilege} on database {database} from {owner};"
            );
        }
    }
    for grant in grants.iter().filter(|grant| !is_default(grant, owner)) {
        sql.push_str(&granted(grant, &source.owner, &database));
    }
    if sql.is_empty() {
        return Vec::new();
    }
    vec![Property {
        what: "privileges".to_owned(),
        sql: sql.into(),
    }]
}

fn is_default(grant: &DatabaseGrant, owner: Option<&str>) -> bool {
    let privilege = grant.privilege.as_str();
    match grant.grantee.as_deref() {
        None => PUBLIC_DEFAULT.contains(&privilege),
        grantee => owner.is_some() && grantee == owner && OWNERS_DEFAULT.contains(&privilege),
    }
}

fn granted(grant: &DatabaseGrant, owner: &str, database: &str) -> String {
    let grantee = grant.grantee.as_deref().map(quote_ident);
    let grantee = grantee.as_deref().unwrap_or("public");
    let option = if grant.grantable {
        " with grant option"
    } else {
        ""
    };
    let privilege = &grant.privilege;
    let statement = format!("grant {privilege} on database {database} to {grantee}{option};\n");
    if grant.grantor == owner {
        statement
    } else {
        let grantor = quote_ident(&grant.grantor);
        format!("set local role {grantor};\n{statement}reset role;\n")
    }
}

/// As `makeAlterConfigCommand` in `dumputils.c` writes it.
fn set(setting: &DatabaseSetting, database: &str) -> Result<Property, DatabaseError> {
    let DatabaseSetting { role, name, value } = setting;
    let value = if QUOTED_LISTS.contains(&name.to_ascii_lowercase().as_str()) {
        let elements = list_elements(value).ok_or_else(|| DatabaseError::List {
            database: database.to_owned(),
            setting: name.clone(),
            value: value.clone(),
        })?;
        if elements.is_empty() {
            "''".to_owned()
        } else {
            let quoted: Vec<String> = elements.iter().map(|one| quote_literal(one)).collect();
            quoted.join(", ")
        }
    } else {
        quote_literal(value)
    };
    let set = format!("set {} to {value}", quote_ident(name));
    let database = quote_ident(database);
    Ok(match role {
        None => Property {
            what: format!("setting {name}"),
            sql: format!("alter database {database} {set}").into(),
        },
        Some(role) => Property {
            what: format!("setting {name} of role {role}"),
            sql: format!(
                "alter role {} in database {database} {set}",
                quote_ident(role)
            )
            .into(),
        },
    })
}

/// The elements of a list as the catalog stores it: separated by commas, some of them in double quotes (`SplitGUCList`
/// in `dumputils.c`). `None` if it is not a list.
fn list_elements(list: &str) -> Option<Vec<String>> {
    let mut elements = Vec::new();
    let mut rest = list.trim_start();
    if rest.is_empty() {
        return Some(elements);
    }
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut element = String::new();
            rest = quoted;
            loop {
                let end = rest.find('"')?;
                element.push_str(&rest[..end]);
                rest = &rest[end + 1..];
                match rest.strip_prefix('"') {
                    Some(more) => {
                        element.push('"');
                        rest = more;
                    }
                    None => break,
                }
            }
            elements.push(element);
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            let element = rest[..end].trim_end();
            if element.is_empty() {
                return None;
            }
            elements.push(element.to_owned());
            rest = &rest[end..];
        }
        rest = rest.trim_start();
        if rest.is_empty() {
            return Some(elements);
        }
        rest = rest.strip_prefix(',')?.trim_start();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> DatabaseFacts {
        DatabaseFacts {
            name: "shop".into(),
            owner: "o \"x\"".into(),
            encoding: "UTF8".into(),
            lc_collate: "C".into(),
            lc_ctype: "en_US.UTF-8".into(),
            provider: LocaleProvider::Libc,
            locale: None,
            icu_rules: None,
            tablespace: "fast disk".into(),
            connection_limit: -1,
            comment: Some("it's".into()),
            grants: None,
            settings: Vec::new(),
            labels: vec![("dummy".into(), "secret".into())],
        }
    }

    fn like(facts: &DatabaseFacts, major: u32, options: RestoreOptions) -> NewDatabase {
        NewDatabase::like(facts, "a \"b\"", ServerVersion(major * 10_000), &options)
            .expect("it can be created")
    }

    fn text(properties: &[Property]) -> Vec<String> {
        let text = |property: &Property| property.sql.to_string();
        properties.iter().map(text).collect()
    }

    #[test]
    fn the_statement_is_one_that_the_target_understands() {
        assert_eq!(
            like(&facts(), 14, RestoreOptions::default())
                .create
                .to_string(),
            "create database \"a \"\"b\"\"\" with template = template0 owner = \"o \"\"x\"\"\" encoding = 'UTF8' \
             lc_collate = 'C' lc_ctype = 'en_US.UTF-8' tablespace = \"fast disk\""
        );
        let bare = RestoreOptions {
            no_owner: true,
            no_tablespaces: true,
            no_comments: true,
            no_security_labels: true,
            ..RestoreOptions::default()
        };
        let made = like(&facts(), 15, bare);
        assert_eq!(
            made.create.to_string(),
            "create database \"a \"\"b\"\"\" with template = template0 encoding = 'UTF8' locale_provider = 'libc' \
             lc_collate = 'C' lc_ctype = 'en_US.UTF-8'"
        );
        assert!(made.early.is_empty() && made.late.is_empty());
    }

    #[test]
    fn a_provider_that_the_target_does_not_have_is_refused_by_name() {
        let icu = DatabaseFacts {
            provider: LocaleProvider::Icu,
            locale: Some("de".into()),
            icu_rules: Some("&a < b".into()),
            ..facts()
        };
        let on = |facts: &DatabaseFacts, major: u32| {
            NewDatabase::like(
                facts,
                "t",
                ServerVersion(major * 10_000),
                &RestoreOptions::default(),
            )
            .map(|made| made.create.to_string())
            .map_err(|error| error.to_string())
        };
        let said = on(&icu, 14).expect_err("14 has no providers");
        assert!(said.contains("icu needs PostgreSQL 15"), "{said}");
        let said = on(&icu, 15).expect_err("15 has no rules");
        assert!(said.contains("ICU rules"), "{said}");
        let made = on(&icu, 16).expect("16 has both");
        assert!(
            made.contains("icu_locale = 'de' icu_rules = '&a < b'"),
            "{made}"
        );
        let builtin = DatabaseFacts {
            provider: LocaleProvider::Builtin,
            locale: Some("C.UTF-8".into()),
            ..facts()
        };
        assert!(on(&builtin, 16).is_err());
        let made = on(&builtin, 17).expect("17 has it");
        assert!(made.contains("builtin_locale = 'C.UTF-8'"), "{made}");
    }

    #[test]
    fn lists_are_taken_apart_as_the_server_quoted_them() {
        let elements = |list: &str| list_elements(list);
        let some = |all: &[&str]| Some(all.iter().map(|&one| one.to_owned()).collect::<Vec<_>>());
        assert_eq!(
            elements(r#"zoo, "$user", "a, ""b""" ,c"#),
            some(&["zoo", "$user", "a, \"b\"", "c"])
        );
        assert_eq!(elements(r#""""#), some(&[""]));
        assert_eq!(elements(" "), some(&[]));
        for broken in ["a,", ",a", "\"a", "\"a\"b"] {
            assert_eq!(elements(broken), None, "{broken}");
        }
    }

    #[test]
    fn settings_come_last_and_are_quoted_for_what_they_are() {
        let setting = |role: Option<&str>, name: &str, value: &str| DatabaseSetting {
            role: role.map(str::to_owned),
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let source = DatabaseFacts {
            connection_limit: 7,
            settings: vec![
                setting(None, "search_path", r#"zoo, "$user""#),
                setting(None, "temp_tablespaces", ""),
                setting(Some("r s"), "x.y z", r"a, 'b' \"),
            ],
            ..facts()
        };
        let made = like(&source, 18, RestoreOptions::default());
        assert_eq!(
            text(&made.late),
            [
                r#"alter database "a ""b""" connection limit 7"#,
                r#"alter database "a ""b""" set "search_path" to 'zoo', '$user'"#,
                r#"alter database "a ""b""" set "temp_tablespaces" to ''"#,
                r#"alter role "r s" in database "a ""b""" set "x.y z" to  E'a, ''b'' \\'"#,
            ]
        );
        assert_eq!(made.late[3].what, "setting x.y z of role r s");
        assert_eq!(
            text(&made.early),
            [
                r#"comment on database "a ""b""" is 'it''s'"#,
                r#"security label for "dummy" on database "a ""b""" is 'secret'"#,
            ]
        );
    }

    #[test]
    fn only_what_differs_from_the_default_is_revoked_and_granted() {
        let grant = |grantor: &str, grantee: Option<&str>, privilege: &str| DatabaseGrant {
            grantor: grantor.to_owned(),
            grantee: grantee.map(str::to_owned),
            privilege: privilege.to_owned(),
            grantable: grantee == Some("v"),
        };
        let source = DatabaseFacts {
            owner: "o".into(),
            grants: Some(vec![
                grant("o", Some("o"), "CREATE"),
                grant("o", Some("o"), "CONNECT"),
                grant("o", None, "TEMPORARY"),
                grant("o", Some("v"), "CONNECT"),
                grant("v", Some("w"), "CONNECT"),
            ]),
            ..facts()
        };
        let made = like(&source, 18, RestoreOptions::default());
        let database = r#"on database "a ""b""""#;
        assert_eq!(
            text(&made.late),
            [format!(
                "revoke CONNECT {database} from public;\nrevoke TEMPORARY {database} from \"o\";\n\
                 grant CONNECT {database} to \"v\" with grant option;\n\
                 set local role \"v\";\ngrant CONNECT {database} to \"w\";\nreset role;\n"
            )]
        );
        let no_acl = RestoreOptions {
            no_acl: true,
            ..RestoreOptions::default()
        };
        assert!(like(&source, 18, no_acl).late.is_empty());
        let no_owner = RestoreOptions {
            no_owner: true,
            ..RestoreOptions::default()
        };
        let made = text(&like(&source, 18, no_owner).late).concat();
        assert!(
            !made.contains("from \"o\"")
                && made.contains("grant CREATE")
                && made.contains("to \"o\""),
            "{made}"
        );
    }
}
