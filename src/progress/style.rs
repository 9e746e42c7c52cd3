//! Colour, or none. Whether there is any is decided outside (`--no-color`, `NO_COLOR`, no terminal).

/// How to set words off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// Use ANSI sequences.
    pub color: bool,
}

impl Style {
    /// For what went wrong.
    pub fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// For what may go wrong.
    pub fn warning(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// For what is proven.
    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// For headings.
    pub fn strong(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// For what can be skipped in reading.
    pub fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.color && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }
}
