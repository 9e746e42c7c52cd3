//! A terminal behind any writer, so that what the bars draw can be captured.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use indicatif::TermLike;

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

/// What indicatif draws on. Clones share the writer.
#[derive(Clone)]
pub(super) struct Screen {
    output: Arc<Mutex<(Output, String)>>,
    size: fn() -> Size,
}

impl Screen {
    pub(super) fn new(writer: Writer, size: fn() -> Size) -> Self {
        Self {
            output: Arc::new(Mutex::new((Output::new(writer), String::new()))),
            size,
        }
    }

    pub(super) fn error(&self) -> Option<String> {
        let output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        output.0.error.as_ref().map(ToString::to_string)
    }

    /// Writes lines that last, at once.
    pub(super) fn print(&self, lines: &[String]) {
        for line in lines {
            self.draw(line);
            self.draw("\n");
        }
        self.flush_pending();
    }

    /// Collects until the next flush, so that a picture appears at once.
    fn draw(&self, text: &str) {
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        output.1.push_str(text);
    }

    fn flush_pending(&self) {
        let mut output = self.output.lock().unwrap_or_else(PoisonError::into_inner);
        let (output, pending) = &mut *output;
        if output.error.is_none() {
            let written = io::Write::write_all(&mut output.writer, pending.as_bytes())
                .and_then(|()| io::Write::flush(&mut output.writer));
            output.error = written.err();
        }
        pending.clear();
    }
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Screen")
    }
}

impl TermLike for Screen {
    fn width(&self) -> u16 {
        (self.size)().columns
    }

    fn height(&self) -> u16 {
        (self.size)().rows
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        if n > 0 {
            self.draw(&format!("\x1b[{n}A"));
        }
        Ok(())
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        if n > 0 {
            self.draw(&format!("\x1b[{n}B"));
        }
        Ok(())
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        if n > 0 {
            self.draw(&format!("\x1b[{n}C"));
        }
        Ok(())
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        if n > 0 {
            self.draw(&format!("\x1b[{n}D"));
        }
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.draw(text);
        self.draw("\n");
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.draw(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.draw("\r\x1b[2K");
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        self.flush_pending();
        Ok(())
    }
}
