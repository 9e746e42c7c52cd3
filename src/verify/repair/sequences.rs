//! Sequences that are defined otherwise, identity columns' among them.

use crate::toc::Entry;

use super::definitions::name_of;
use super::draft::Draft;
use super::step::{Phase, Statement};
use super::text::{around_parentheses, before, between, joined, pieces};

impl<'a> Draft<'a> {
    pub(super) fn alter_sequence(
        &mut self,
        ours: &'a Entry,
        theirs: &'a Entry,
        about: &str,
    ) -> Vec<String> {
        let place = self.source.place(ours);
        let (left, right) = (self.split(ours), self.split(theirs));
        let (Some(create), Some(created)) = (left.first(), right.first()) else {
            return vec!["its definition could not be taken apart".to_owned()];
        };
        let is_plain = |sql: &[u8]| sql.starts_with(b"CREATE ");
        if is_plain(create) != is_plain(created) {
            return vec![
                "it belongs to an identity column on one side only: use ALTER TABLE … ALTER COLUMN … ADD or DROP IDENTITY".to_owned(),
            ];
        }
        let mut statements = Vec::new();
        statements.extend(set_generated(create).filter(|_| !is_plain(create)));
        let (Some(mut options), Some(theirs)) =
            (sequence_options(create), sequence_options(created))
        else {
            return vec!["its definition could not be taken apart".to_owned()];
        };
        if is_plain(create) && options == theirs {
            // It is logged or not, which is among its settings.
            return Vec::new();
        }
        let has = |word: &str| {
            pieces(create)
                .iter()
                .any(|piece| piece.text.eq_ignore_ascii_case(word.as_bytes()))
        };
        if !has("CYCLE") {
            options.extend(b"\n    NO CYCLE");
        }
        let data_type: &[u8] = if has("AS") || !is_plain(create) {
            b""
        } else {
            b" AS bigint"
        };
        let sql = joined(&[
            b"ALTER SEQUENCE ",
            &name_of(ours),
            data_type,
            b"\n    ",
            &options,
        ]);
        statements.push(Statement::of_dump(sql));
        self.step(Phase::Define, place, about, statements);
        // A new minimum moves where the sequence stands, and who compares it says so only when it has been elsewhere before.
        self.set_value(ours.qualified_name().as_ref(), about);
        Vec::new()
    }
}

/// What follows `s.name`.
fn skip_name(sql: &[u8]) -> &[u8] {
    let tokens = pieces(sql);
    let is_dot = tokens.get(1).is_some_and(|piece| piece.text == b".");
    let last = tokens.get(if is_dot { 2 } else { 0 });
    last.map_or(sql, |piece| sql[piece.end..].trim_ascii())
}

/// `SET GENERATED ALWAYS` or `BY DEFAULT`, from `ALTER TABLE t ALTER COLUMN c ADD GENERATED … AS IDENTITY (…)`.
fn set_generated(create: &[u8]) -> Option<Statement> {
    let alter = before(create, &["ADD"])?;
    let how = between(create, "GENERATED", &["AS"])?;
    Some(Statement::of_dump(joined(&[
        alter,
        b" SET GENERATED ",
        how,
    ])))
}

/// `START WITH 1 INCREMENT BY 1 …`, of a sequence or an identity column's.
fn sequence_options(create: &[u8]) -> Option<Vec<u8>> {
    if create.starts_with(b"CREATE ") {
        return between(create, "SEQUENCE", &[]).map(|rest| skip_name(rest).to_vec());
    }
    let (_, options, _) = around_parentheses(create)?;
    Some(without_sequence_name(options))
}

fn without_sequence_name(options: &[u8]) -> Vec<u8> {
    match between(options, "NAME", &[]) {
        Some(rest) => skip_name(rest).to_vec(),
        None => options.to_vec(),
    }
}
