//! Other ways to read what has been read: by the text of values that may differ in what no text tells, and as their database has
//! it, where text is no text elsewhere.

use super::comparand::Comparand;
use crate::model::{ColumnForm, quote_literal};

impl Comparand {
    /// The same by the text of those values that may differ although their text does not; `None` if there are none.
    pub fn by_text(&self) -> Option<Self> {
        let mut by_text = self.clone();
        let mut forms = Vec::new();
        for column in &mut by_text.columns {
            let Some(because) = column.differs_untold.take() else {
                continue;
            };
            if column.expression != column.text {
                column.expression.clone_from(&column.text);
                column.is_array = false;
                forms.push(as_text(&column.name, because));
            }
        }
        (!forms.is_empty()).then(|| by_text.told_anew(forms))
    }

    /// The same as text, in which whatever is not ASCII stands as the number of its byte in `encoding`, which is that of both databases: not
    /// every byte of it is text in UTF-8. The number that rows are sorted by stays one.
    #[must_use]
    pub fn in_own_encoding(&self, encoding: &str) -> Self {
        let encoding = quote_literal(encoding);
        let bytes = |text: &str| {
            format!("pg_catalog.encode(pg_catalog.convert_to({text}, {encoding}), 'escape')")
        };
        let key = self.key.as_ref().filter(|key| key.number.is_some());
        let number = key.and_then(|key| key.columns.first());
        let mut own = self.clone();
        let mut forms = Vec::new();
        for column in &mut own.columns {
            column.text = bytes(&column.text);
            column.shown = bytes(&column.shown);
            if Some(&column.name) == number {
                continue;
            }
            column.expression.clone_from(&column.text);
            column.is_array = false;
            let is_told = self.forms.iter().any(|form| form.column == column.name);
            match column.differs_untold.take() {
                Some(because) => forms.push(as_text(&column.name, because)),
                None if is_told => {}
                None => forms.push(as_text(
                    &column.name,
                    "the table holds bytes of the databases' encoding that are no text in UTF-8",
                )),
            }
        }
        own.told_anew(forms)
    }

    /// These take the place of what was told of their columns.
    fn told_anew(mut self, forms: Vec<ColumnForm>) -> Self {
        let is_other = |form: &ColumnForm| forms.iter().all(|new| new.column != form.column);
        self.forms.retain(is_other);
        self.forms.extend(forms);
        self
    }
}

fn as_text(column: &str, because: &str) -> ColumnForm {
    ColumnForm {
        column: column.to_owned(),
        form: "as text".to_owned(),
        because: because.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::comparand::ReadColumn;
    use super::super::key::Key;
    use super::*;
    use crate::model::QualifiedName;

    fn column(name: &str, differs_untold: Option<&'static str>) -> ReadColumn {
        ReadColumn {
            name: name.to_owned(),
            expression: name.to_owned(),
            text: format!("text of {name}"),
            differs_untold,
            shown: format!("shown {name}"),
            generated: false,
            is_array: true,
        }
    }

    fn comparand() -> Comparand {
        Comparand {
            columns: vec![column("id", None), column("f", Some("of a NaN"))],
            key: Some(Key {
                columns: vec!["id".to_owned()],
                number: Some(false),
                literals: Vec::new(),
            }),
            ..Comparand::named(&QualifiedName::new("s", "t"))
        }
    }

    #[test]
    fn only_what_text_does_not_tell_is_read_by_it() {
        let by_text = comparand().by_text().expect("there is a float");
        let read = by_text.columns.iter();
        let read: Vec<&str> = read.map(|column| column.expression.as_str()).collect();
        assert_eq!(read, ["id", "text of f"]);
        assert!(!by_text.columns[1].is_array);
        assert_eq!(by_text.forms, [as_text("f", "of a NaN")]);
        assert!(by_text.by_text().is_none());
    }

    #[test]
    fn rows_are_sorted_by_the_same_number_in_any_encoding() {
        let own = comparand().in_own_encoding("WIN1252");
        let bytes = |text: &str| {
            format!("pg_catalog.encode(pg_catalog.convert_to({text}, 'WIN1252'), 'escape')")
        };
        let [id, f] = own.columns.as_slice() else {
            panic!("{own:?}");
        };
        assert_eq!(
            (&*id.expression, &*f.expression),
            ("id", &*bytes("text of f"))
        );
        assert_eq!((&f.text, &f.shown), (&f.expression, &bytes("shown f")));
        assert_eq!(own.forms, [as_text("f", "of a NaN")]);
        assert!(own.by_text().is_none());
    }
}
