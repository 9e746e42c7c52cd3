//! A failed job, shown whole: the entry, the statement with a caret under the place, every field of the server's error,
//! what to do next, and where it is kept. Nothing is ever cut.

use crate::event::JobFailure;
use crate::model::ServerError;

use super::style::Style;
use super::words;

/// The lines that show a failure; `run_dir` is what the name of its file is relative to.
pub fn lines(label: &str, failure: &JobFailure, run_dir: &str, style: Style) -> Vec<String> {
    let mut lines = vec![format!(
        "{} {}",
        style.bad("failed:"),
        style.strong(&words::one_line(label))
    )];
    if let Some(entry) = &failure.entry {
        lines.push(format!(
            "  entry {}; {} {} {}",
            entry.dump_id,
            words::one_line(&entry.desc),
            words::one_line(&entry.tag),
            words::one_line(&entry.owner)
        ));
    }
    push_block(&mut lines, "  ", &failure.message);
    if let Some(statement) = &failure.statement {
        lines.push("  statement:".to_owned());
        let position = failure
            .server_error
            .as_ref()
            .and_then(|error| error.position);
        push_statement(&mut lines, statement, position);
    }
    if let Some(error) = &failure.server_error {
        push_server_error(&mut lines, error);
    }
    if let Some(hint) = &failure.hint {
        let hint = words::harmless(hint).replace('\n', "\n    ");
        lines.push(format!("  {} {hint}", style.strong("what to do:")));
    }
    if let Some(file) = &failure.file {
        lines.push(format!("  kept whole in {}", words::in_dir(run_dir, file)));
    }
    lines
}

/// All fields in the layout of psql's `\errverbose`; the query of a function gets its caret too.
fn push_server_error(lines: &mut Vec<String>, error: &ServerError) {
    let without_query = ServerError {
        internal_query: None,
        ..error.clone()
    };
    push_block(lines, "  ", &without_query.to_string());
    if let Some(query) = &error.internal_query {
        lines.push("  QUERY:".to_owned());
        push_statement(lines, query, error.internal_position);
    }
    if let Some(position) = error.internal_position {
        lines.push(format!("  INTERNAL POSITION:  character {position}"));
    }
}

fn push_block(lines: &mut Vec<String>, indent: &str, text: &str) {
    lines.extend(
        words::harmless(text)
            .lines()
            .map(|line| format!("{indent}{line}")),
    );
}

/// The statement, with a caret under the character at `position` (from 1, in characters, as the server counts).
fn push_statement(lines: &mut Vec<String>, statement: &str, position: Option<u32>) {
    let mut before = position.and_then(|position| usize::try_from(position).ok()?.checked_sub(1));
    for line in statement.split('\n') {
        lines.push(format!("    {}", words::harmless(line)));
        let length = line.chars().count();
        match before {
            Some(column) if column <= length => {
                let lead: String = line.chars().take(column).collect();
                lines.push(format!("    {}^", blank(&words::harmless(&lead))));
                before = None;
            }
            // The line end counts as a character too.
            Some(column) => before = Some(column - length - 1),
            None => {}
        }
    }
}

/// As wide as the text on any terminal: tabs stay tabs, a wide character becomes two spaces.
fn blank(text: &str) -> String {
    text.split('\t')
        .map(|part| " ".repeat(console::measure_text_width(part)))
        .collect::<Vec<_>>()
        .join("\t")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EntryRef;
    use crate::model::DumpId;

    fn failure(statement: &str, position: u32) -> JobFailure {
        JobFailure {
            entry: Some(EntryRef {
                dump_id: DumpId(3412),
                desc: "FK CONSTRAINT".into(),
                tag: "public statuses fk_rails_94a6f70399".to_owned(),
                owner: "mastodon".into(),
            }),
            statement: Some(statement.to_owned()),
            message: "the foreign key could not be validated".to_owned(),
            server_error: Some(ServerError {
                severity: "ERROR".to_owned(),
                code: "23503".to_owned(),
                message: "insert or update violates foreign key".to_owned(),
                detail: Some("Key (a)=(1) is not\npresent.".to_owned()),
                position: Some(position),
                internal_query: Some("SELECT boom".to_owned()),
                internal_position: Some(8),
                context: Some("SQL function \"f\"".to_owned()),
                ..ServerError::default()
            }),
            hint: Some("Delete the row, then run again.".to_owned()),
            file: Some("failed/3412.sql".to_owned()),
        }
    }

    #[test]
    fn a_position_anywhere_is_survived() {
        for position in [0, 1, 9, 10, 11, 12, 4_000_000] {
            let shown = lines(
                "x",
                &failure("SELECT 1;\n", position),
                "",
                Style { color: true },
            );
            let carets = shown.iter().filter(|line| line.trim() == "^").count();
            // One is the internal query's; the other is there if the position is in the statement.
            assert_eq!(
                carets,
                if (1..=11).contains(&position) { 2 } else { 1 },
                "{position}"
            );
        }
    }

    #[test]
    fn a_statement_of_any_length_is_whole() {
        let statement = format!("SELECT '{}'", "x".repeat(100_000));
        let shown = lines("x", &failure(&statement, 1), "", Style { color: false });
        assert!(shown.contains(&format!("    {statement}")));
    }
}
