//! The file: settings, sections, comments, statements, in encodings that the server is told of.

use std::io::{self, Write};

use crate::model::quote_literal;

use super::TargetIdentity;
use super::step::Statement;
use super::text::one_line;

/// What a session must be set to for the statements to mean what they say, and for values to be read as they were printed.
const SETTINGS: [(&str, &str); 15] = [
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("check_function_bodies", "off"),
    ("row_security", "off"),
    ("xmloption", "content"),
    ("bytea_output", "hex"),
    ("DateStyle", "ISO, YMD"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "3"),
    ("lc_monetary", "C"),
    ("array_nulls", "on"),
    ("transform_null_equals", "off"),
    ("default_tablespace", ""),
];

/// Writes the parts of the file.
pub(super) struct Script<'w> {
    out: &'w mut dyn Write,
    encodings: Encodings,
}

/// Which encodings the file has text in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Encodings {
    /// Of what comes from a table of contents.
    pub dump: String,
    /// Of names and values that sessions told us.
    pub session: String,
    /// Whether a backslash in `'…'` is just a backslash, in what comes from a table of contents.
    pub std_strings: bool,
}

impl Encodings {
    /// A database without an encoding has bytes that only travel as they are.
    pub fn of(toc: &crate::toc::Toc) -> Self {
        let dump = toc.encoding().unwrap_or_else(|| "UTF8".to_owned());
        let session = if dump == "SQL_ASCII" {
            "SQL_ASCII"
        } else {
            "UTF8"
        };
        Self {
            session: session.to_owned(),
            dump,
            std_strings: toc.std_strings(),
        }
    }
}

impl<'w> Script<'w> {
    pub fn new(out: &'w mut dyn Write, encodings: Encodings) -> Self {
        Self { out, encodings }
    }

    /// One or more lines for people; each line break of `text` begins a new comment.
    pub fn comment(&mut self, text: &str) -> io::Result<()> {
        for line in text.split('\n') {
            let line = one_line(line);
            let space = if line.is_empty() { "" } else { " " };
            writeln!(self.out, "--{space}{line}")?;
        }
        Ok(())
    }

    /// A title.
    pub fn section(&mut self, title: &str) -> io::Result<()> {
        writeln!(self.out)?;
        self.comment(&format!("\n{title}\n"))
    }

    pub fn blank(&mut self) -> io::Result<()> {
        writeln!(self.out)
    }

    /// A statement, with its semicolon.
    pub fn statement(&mut self, statement: &Statement) -> io::Result<()> {
        let differs = statement.of_dump
            && self.encodings.dump != self.encodings.session
            && !statement.sql.is_ascii();
        if differs {
            self.encoding(self.encodings.dump.clone().as_str())?;
        }
        self.out.write_all(statement.sql.trim_ascii())?;
        self.out.write_all(b";\n")?;
        if differs {
            self.encoding(self.encodings.session.clone().as_str())?;
        }
        Ok(())
    }

    /// A statement that we wrote.
    pub fn say(&mut self, sql: &str) -> io::Result<()> {
        writeln!(self.out, "{sql};")
    }

    /// The same, with values in the session's encoding.
    pub fn say_bytes(&mut self, sql: &[u8]) -> io::Result<()> {
        self.out.write_all(sql)?;
        self.out.write_all(b";\n")
    }

    /// A statement that is not to be run unless somebody takes away the marks.
    pub fn suggestion(&mut self, statement: &Statement) -> io::Result<()> {
        self.comment(&format!("{};", statement.to_string_lossy().trim()))
    }

    /// What makes psql stop at an error, the settings, and that it is the right database, which is called so: the source is, too.
    pub fn preamble(&mut self, database: &str, identity: TargetIdentity) -> io::Result<()> {
        writeln!(self.out, "\\set ON_ERROR_STOP on")?;
        let session = self.encodings.session.clone();
        self.encoding(&session)?;
        let std_strings = if self.encodings.std_strings {
            "on"
        } else {
            "off"
        };
        self.say(&format!("set standard_conforming_strings = {std_strings}"))?;
        for (name, value) in SETTINGS {
            self.say(&format!("set {name} = {}", quote_literal(value)))?;
        }
        self.say("set search_path = ''")?;
        let message = format!("this repair is for the database {database}, and this is ");
        let is_another = format!(
            "pg_catalog.current_database() <> {}",
            quote_literal(database)
        );
        self.refuse_if(&is_another, &message)?;
        let of_database = format!(
            "(select oid from pg_catalog.pg_database where datname = pg_catalog.current_database()) <> {}",
            identity.database_oid
        );
        let of_server = identity.system_identifier.map(|system| {
            format!("(select system_identifier from pg_catalog.pg_control_system()) <> {system}")
        });
        let is_another: Vec<String> = std::iter::once(of_database).chain(of_server).collect();
        self.refuse_if(
            &is_another.join(" or "),
            "this repair was written for another database of this name, on another server or dropped since: verify this one with --repair: ",
        )
    }

    /// Without PL/pgSQL, which may be what is missing: what is no number is an error that says it.
    fn refuse_if(&mut self, condition: &str, message: &str) -> io::Result<()> {
        writeln!(
            self.out,
            "select case when {condition} then ({} || pg_catalog.current_database()::text)::int4 end as another \\gset",
            quote_literal(message)
        )
    }

    fn encoding(&mut self, name: &str) -> io::Result<()> {
        self.say(&format!("set client_encoding = {}", quote_literal(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Script) -> io::Result<()>, dump: &str) -> String {
        let mut out = Vec::new();
        let encodings = Encodings {
            dump: dump.to_owned(),
            session: "UTF8".to_owned(),
            std_strings: true,
        };
        write(&mut Script::new(&mut out, encodings)).expect("memory takes all");
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn every_line_of_a_comment_is_one() {
        let text = written(
            |script| script.comment("missing table s.\"a\r\nb\";\u{2028}\\!"),
            "UTF8",
        );
        assert_eq!(text, "-- missing table s.\"a\\r\n-- b\";\\u{2028}\\!\n");
        let drop = Statement::ours("drop table \"a\nb\"");
        let text = written(|script| script.suggestion(&drop), "UTF8");
        assert_eq!(text, "-- drop table \"a\n-- b\";\n");
    }

    #[test]
    fn the_server_is_told_of_another_encoding() {
        let statement = Statement::of_dump(b"comment on table t is '\xe9'".to_vec());
        let text = written(|script| script.statement(&statement), "LATIN1");
        assert_eq!(
            text,
            "set client_encoding = 'LATIN1';\ncomment on table t is '\u{fffd}';\nset client_encoding = 'UTF8';\n"
        );
        let plain = Statement::of_dump("select 1");
        assert_eq!(
            written(|script| script.statement(&plain), "LATIN1"),
            "select 1;\n"
        );
    }
}
