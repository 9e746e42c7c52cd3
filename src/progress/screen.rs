//! A terminal behind any writer: lines that last, and below them a picture that is drawn over and over again.
//!
//! Each line of the picture ends with a line end, so that a window that grows wider joins none of them. When it has shrunk, some terminals have broken
//! lines that were too long, others have cut them off, and nobody can say where the picture begins. Then everything is pushed out of sight,
//! up to where one can scroll back to, and the last of what lasts is shown again.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io;

use super::{Output, Writer};

/// Columns and rows of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Characters in a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}

impl Size {
    /// The size of the terminal that stderr is connected to; 80 × 24 if it is none.
    pub fn of_stderr() -> Self {
        let (rows, columns) = console::Term::stderr().size();
        Self { columns, rows }
    }

    /// That of the terminal that stdout is connected to, likewise.
    pub fn of_stdout() -> Self {
        let (rows, columns) = console::Term::stdout().size();
        Self { columns, rows }
    }
}

/// Lines that are kept to be shown again: as many as a tall window has.
const KEPT: usize = 200;

/// What is on the screen.
pub(super) struct Screen {
    output: Output,
    size: fn() -> Size,
    /// The size when it was drawn last.
    drawn_for: Option<Size>,
    lasting: VecDeque<String>,
    picture: Vec<String>,
}

impl Screen {
    pub(super) fn new(writer: Writer, size: fn() -> Size) -> Self {
        Self {
            output: Output::new(writer),
            size,
            drawn_for: None,
            lasting: VecDeque::new(),
            picture: Vec::new(),
        }
    }

    /// The first error of writing, if there was one.
    pub(super) fn error(&self) -> Option<String> {
        self.output.error.as_ref().map(ToString::to_string)
    }

    /// Shows another picture.
    pub(super) fn show(&mut self, picture: Vec<String>) {
        self.draw(&[], picture);
    }

    /// Takes the picture down.
    pub(super) fn clear(&mut self) {
        self.draw(&[], Vec::new());
    }

    /// Adds lines that last, above the picture.
    pub(super) fn print(&mut self, lines: &[String]) {
        let lines: Vec<&str> = lines.iter().flat_map(|line| line.split('\n')).collect();
        let picture = self.picture.clone();
        self.draw(&lines, picture);
    }

    /// All of it in one write, so that nobody sees half of it.
    fn draw(&mut self, lasting: &[&str], picture: Vec<String>) {
        let size = (self.size)();
        let picture = fitting(picture, size);
        let before = self.drawn_for.replace(size);
        let has_shrunk =
            before.is_some_and(|before| size.columns < before.columns || size.rows < before.rows);
        if lasting.is_empty() && picture == self.picture && !has_shrunk {
            return;
        }
        let mut text = String::new();
        if has_shrunk {
            text.push_str(&push_out(size));
            let room = usize::from(size.rows).saturating_sub(picture.len() + lasting.len() + 1);
            text.extend(self.last_of(room, size).map(|line| format!("{line}\n")));
        } else if !self.picture.is_empty() {
            let _infallible = write!(text, "\x1b[{}A\r", self.picture.len());
        }
        if !lasting.is_empty() {
            text.push_str(CLEAR_BELOW);
        }
        for line in lasting {
            let _infallible = writeln!(text, "{line}");
        }
        for line in &picture {
            let _infallible = writeln!(text, "{line}\x1b[K");
        }
        text.push_str(CLEAR_BELOW);
        self.lasting.extend(lasting.iter().map(ToString::to_string));
        let too_many = self.lasting.len().saturating_sub(KEPT);
        self.lasting.drain(..too_many);
        self.picture = picture;
        self.write(&text);
    }

    /// The last lines that fit into so many rows.
    fn last_of(&self, mut room: usize, size: Size) -> impl Iterator<Item = &str> {
        let lines = self.lasting.iter().rev();
        let fit = lines.take_while(|line| {
            let rows = rows(line, size.columns);
            let fits = rows <= room;
            room = room.saturating_sub(rows);
            fits
        });
        let skipped = self.lasting.len() - fit.count();
        self.lasting.iter().skip(skipped).map(String::as_str)
    }

    fn write(&mut self, text: &str) {
        let output = &mut self.output;
        if output.error.is_none() {
            let written = io::Write::write_all(&mut output.writer, text.as_bytes())
                .and_then(|()| io::Write::flush(&mut output.writer));
            output.error = written.err();
        }
    }
}

/// What was drawn for a larger window is cut off: a line that is broken in two would be counted as one.
fn fitting(picture: Vec<String>, size: Size) -> Vec<String> {
    let columns = usize::from(size.columns).saturating_sub(1).max(1);
    let rows = usize::from(size.rows).saturating_sub(1);
    let lines = picture.into_iter().take(rows);
    lines
        .map(|line| console::truncate_str(&line, columns, "…").into_owned())
        .collect()
}

const CLEAR_BELOW: &str = "\x1b[J";

/// From the last row, as many line ends as there are rows; then back to the first.
fn push_out(size: Size) -> String {
    let rows = usize::from(size.rows.max(1));
    format!("\x1b[{rows};1H{}\x1b[H", "\n".repeat(rows))
}

/// How many rows a line takes, at most: a tab is as wide as eight columns.
fn rows(line: &str, columns: u16) -> usize {
    let tabs = line.matches('\t').count();
    let width = console::measure_text_width(line) + 8 * tabs;
    width.div_ceil(usize::from(columns.max(1))).max(1)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU16, Ordering};
    use std::sync::{Arc, Mutex};

    use super::*;

    static COLUMNS: AtomicU16 = AtomicU16::new(40);

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("is not poisoned").extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Written {
        fn take(&self) -> String {
            let bytes = std::mem::take(&mut *self.0.lock().expect("is not poisoned"));
            String::from_utf8(bytes).expect("UTF-8")
        }
    }

    #[test]
    fn a_smaller_window_begins_anew_with_the_last_of_what_lasts() {
        let size = || Size {
            columns: COLUMNS.load(Ordering::Relaxed),
            rows: 6,
        };
        let written = Written::default();
        let mut screen = Screen::new(Box::new(written.clone()), size);
        screen.print(&[
            "first".to_owned(),
            "second, which is longer\nthird".to_owned(),
        ]);
        let picture = || vec!["one".to_owned(), "two, of which much is cut off".to_owned()];
        screen.show(picture());
        assert_eq!(
            written.take(),
            "\x1b[Jfirst\nsecond, which is longer\nthird\n\x1b[Jone\x1b[K\ntwo, of which much is cut off\x1b[K\n\x1b[J"
        );
        screen.show(picture());
        assert_eq!(written.take(), "", "nothing has changed");
        COLUMNS.store(20, Ordering::Relaxed);
        screen.show(picture());
        // Of the three rows that are left, `second` takes two.
        assert_eq!(
            written.take(),
            "\x1b[6;1H\n\n\n\n\n\n\x1b[Hsecond, which is longer\nthird\none\x1b[K\ntwo, of which much…\x1b[K\n\x1b[J"
        );
        screen.print(&["fourth".to_owned()]);
        assert_eq!(
            written.take(),
            "\x1b[2A\r\x1b[Jfourth\none\x1b[K\ntwo, of which much…\x1b[K\n\x1b[J"
        );
        screen.clear();
        assert_eq!(written.take(), "\x1b[2A\r\x1b[J");
    }
}
