//! Writes HTML that is always well-formed, and in which nothing from outside is ever markup.
//!
//! Names of elements and of attributes are constants of this program; everything else goes through [`Html::text`] or an
//! attribute's value, and is escaped there. There is no way around that but [`Html::stylesheet`], which takes a constant.

use std::fmt::Write as _;

use crate::progress::words::is_unseen;

/// Attributes of an element.
pub(super) type Attributes<'a> = &'a [(&'static str, &'a str)];

/// Elements that end their line, so that the source of a page can be read, and compared line by line.
const LINES: [&str; 22] = [
    "html", "head", "title", "body", "header", "main", "footer", "section", "h1", "h2", "h3", "p",
    "dl", "dd", "ul", "li", "table", "tr", "pre", "figure", "details", "div",
];

/// A page that is being written.
pub(super) struct Html {
    out: String,
}

impl Html {
    /// An empty page.
    pub fn new() -> Self {
        Self {
            out: "<!DOCTYPE html>\n".to_owned(),
        }
    }

    /// An image, which stands alone; it is written like a page, and is as well-formed.
    pub fn image() -> Self {
        Self {
            out: "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned(),
        }
    }

    /// What was written.
    pub fn finish(self) -> String {
        self.out
    }

    /// An element with what is inside it.
    pub fn element(
        &mut self,
        tag: &'static str,
        attributes: Attributes<'_>,
        inside: impl FnOnce(&mut Self),
    ) {
        self.open(tag, attributes);
        inside(self);
        let _infallible = write!(self.out, "</{tag}>");
        self.end_line(tag);
    }

    /// An element with a text in it.
    pub fn leaf(&mut self, tag: &'static str, attributes: Attributes<'_>, text: &str) {
        self.element(tag, attributes, |html| html.text(text));
    }

    /// An element that has no end: `meta`, `link`.
    pub fn void(&mut self, tag: &'static str, attributes: Attributes<'_>) {
        self.open(tag, attributes);
        self.out.push('\n');
    }

    /// Text. What would be markup is escaped; what cannot be seen, or would turn the text around it, is written out.
    pub fn text(&mut self, text: &str) {
        escape(&mut self.out, text);
    }

    /// Rules for the looks, which nothing from outside has a part in.
    pub fn stylesheet(&mut self, rules: &'static str) {
        let _infallible = writeln!(self.out, "<style>\n{rules}</style>");
    }

    fn open(&mut self, tag: &'static str, attributes: Attributes<'_>) {
        let _infallible = write!(self.out, "<{tag}");
        for (name, value) in attributes {
            let _infallible = write!(self.out, " {name}=\"");
            escape(&mut self.out, value);
            self.out.push('"');
        }
        self.out.push('>');
    }

    fn end_line(&mut self, tag: &str) {
        if LINES.contains(&tag) {
            self.out.push('\n');
        }
    }
}

fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c if is_unseen(c) => {
                let _infallible = write!(out, "{}", c.escape_unicode());
            }
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_is_markup() {
        let mut html = Html::new();
        html.element("p", &[("title", "\"><b onclick='x'>")], |html| {
            html.leaf("code", &[], "</code><script>alert(1)</script>&amp;");
        });
        assert_eq!(
            html.finish(),
            "<!DOCTYPE html>\n<p title=\"&quot;&gt;&lt;b onclick=&#39;x&#39;&gt;\">\
             <code>&lt;/code&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;</code></p>\n"
        );
    }

    #[test]
    fn what_cannot_be_seen_is_written_out() {
        let mut out = String::new();
        escape(
            &mut out,
            "a\0\u{202e}b\u{feff}\u{ffff}\u{1b}[31m\tשלום\u{85}",
        );
        assert_eq!(
            out,
            "a\\u{0}\\u{202e}b\\u{feff}\\u{ffff}\\u{1b}[31m\tשלום\\u{85}"
        );
    }
}
