//! How the target database is created as the one was that an archive is of, under a name of its own.
//!
//! The statements are the archive's. As with a database that is created like a server's, what would get in the way of the
//! run's own sessions comes last: privileges, connection limit, settings.

use super::database::{DatabaseError, NewDatabase, Property};
use crate::toc::{Entry, RestoreOptions, Toc, owner_statement};

impl NewDatabase {
    /// As the archive describes it.
    pub fn of_archive(
        toc: &Toc,
        name: &str,
        options: &RestoreOptions,
    ) -> Result<Self, DatabaseError> {
        let not_said = || DatabaseError::NotInArchive {
            database: name.to_owned(),
        };
        let entries = toc.database_entries().ok_or_else(not_said)?;
        let from = &entries.database.tag;
        let renamed = |sql: &[u8]| toc.for_database(sql, (from, name), options.no_tablespaces);
        let property = |what: &str, sql: &[u8]| Property {
            what: what.to_owned(),
            sql: renamed(sql),
        };
        let mut early = Vec::new();
        if !options.no_owner
            && let Some(owner) = owner_statement(entries.database).map_err(|_| not_said())?
        {
            early.push(property("owner", owner.as_bytes()));
        }
        let mut late = Vec::new();
        for entry in &entries.attached {
            let (into, what) = match entry.desc.as_str() {
                "ACL" if options.no_acl => continue,
                "COMMENT" if options.no_comments => continue,
                "SECURITY LABEL" if options.no_security_labels => continue,
                "ACL" => (&mut late, "privileges"),
                "COMMENT" => (&mut early, "comment"),
                _ => (&mut early, "security label"),
            };
            into.push(property(what, entry.defn_bytes()));
        }
        let properties = entries.properties.map(Entry::defn_bytes);
        late.extend(properties.map(|sql| property("settings", sql)));
        let create = renamed(entries.database.defn_bytes());
        if create.as_bytes().trim_ascii().is_empty() {
            return Err(not_said());
        }
        Ok(Self {
            name: name.to_owned(),
            create,
            early,
            late,
        })
    }
}
