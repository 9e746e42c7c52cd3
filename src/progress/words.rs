//! How quantities are worded for people, in one place: durations, counts, names on one line.

use std::fmt::Write as _;

use super::estimate::Speed;
use crate::event::Phase;
use crate::model::{Bytes, how_long};

pub use crate::model::count;

/// A measured time: `0.4 s`, `12.3 s`, `1 min 20 s`, `2 h 05 min`.
pub fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..60 => format!("{}.{} s", seconds, ms % 1000 / 100),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// An estimated time, no more exact than an estimate can be: `a few seconds`, `about 1 min 20 s`, `about 2 h 05 min`.
pub fn about(ms: u64) -> String {
    let seconds = ms.div_ceil(1000);
    match seconds {
        0..10 => "a few seconds".to_owned(),
        10..55 => format!("about {} s", seconds.div_ceil(5) * 5),
        55..600 => {
            let rounded = seconds.div_ceil(10) * 10;
            match rounded % 60 {
                0 => format!("about {} min", rounded / 60),
                rest => format!("about {} min {rest} s", rounded / 60),
            }
        }
        600..3600 => format!("about {} min", seconds.div_ceil(60)),
        _ => {
            let minutes = seconds.div_ceil(60);
            format!("about {} h {:02} min", minutes / 60, minutes % 60)
        }
    }
}

/// Time that goes by while one looks: `0:07`, `12:03`, `1:02:03`.
pub fn clock(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds / 3600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

/// `88.1 MB/s`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from float saturates, and no rate is negative"
)]
pub fn rate(bytes_per_second: f64) -> String {
    format!("{}/s", Bytes(bytes_per_second as u64))
}

/// `88.1 MB/s`, `nothing for 12 s`.
pub fn speed(speed: Speed) -> String {
    match speed {
        Speed::PerSecond(bytes) => rate(bytes),
        Speed::Still(ms) => format!("nothing for {}", how_long(ms / 1000)),
    }
}

/// What a comparison counts, each kind of it as it is called where there are several, and where there is one.
const COMPARED: [(&str, &str); 10] = [
    ("columns ", "column "),
    ("constraints", "constraint"),
    ("definitions", "definition"),
    ("entries ", "entry "),
    ("foreign keys", "foreign key"),
    ("indexes", "index"),
    ("large objects", "large object"),
    ("plans ", "plan "),
    ("sequences", "sequence"),
    ("tables ", "table "),
];

/// `40 indexes`, `1 index`: so many of what a comparison counts.
pub fn compared(number: u64, kind: &str) -> String {
    let one = COMPARED.iter().find_map(|(many, one)| {
        let rest = kind.strip_prefix(many).filter(|_| number == 1)?;
        Some(format!("{one}{rest}"))
    });
    count(number, one.as_deref().unwrap_or(kind), kind)
}

/// What is not seen written out, so that a name with a newline, or with an escape sequence, is still one harmless line.
pub fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for char in text.chars() {
        if is_unseen(char) {
            let _ = write!(line, "{}", char.escape_default());
        } else {
            line.push(char);
        }
    }
    line
}

/// What is not seen written out, except what lays a text out: line ends and tabs.
pub fn harmless(text: &str) -> String {
    let mut harmless = String::with_capacity(text.len());
    for char in text.chars() {
        if is_unseen(char) && char != '\n' && char != '\t' {
            let _ = write!(harmless, "{}", char.escape_default());
        } else {
            harmless.push(char);
        }
    }
    harmless
}

/// Characters that a reader does not see, and that HTML forbids or that make a name look like another one: controls, marks
/// that turn the direction of the text around them, line ends of other kinds, spaces of no width, and noncharacters.
pub fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fdd0}'..='\u{fdef}' | '\u{e0000}'..='\u{e007f}'
        )
        || u32::from(c) & 0xfffe == 0xfffe
}

/// A file of the run directory, so that it can be opened from where one stands.
pub fn in_dir(run_dir: &str, file: &str) -> String {
    match run_dir.trim_end_matches('/') {
        "" => one_line(file),
        dir => one_line(&format!("{dir}/{file}")),
    }
}

/// Splits into lines at spaces, none longer than `width` unless a single word is.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let length = console::measure_text_width(&line) + 1 + console::measure_text_width(word);
        if !line.is_empty() && length > width {
            lines.push(std::mem::take(&mut line));
        } else if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines
}

/// One line of a text, in lines of at most `width` that all begin with `indent`; what its own indentation is stays so, and
/// what does not fit on its first line hangs below it.
pub fn hang(line: &str, indent: &str, width: usize) -> Vec<String> {
    let text = line.trim_start_matches([' ', '\t']);
    let own = &line[..line.len() - text.len()];
    // A tab is as wide as the terminal likes: eight columns at most.
    let taken = console::measure_text_width(indent)
        + own
            .chars()
            .map(|c| if c == '\t' { 8 } else { 1 })
            .sum::<usize>();
    let room = width.saturating_sub(taken + 2).max(20);
    let mut lines = wrap(text, room).into_iter();
    let first = lines.next().unwrap_or_default();
    std::iter::once(format!("{indent}{own}{first}"))
        .chain(lines.map(|line| format!("{indent}{own}  {line}")))
        .collect()
}

/// What to do about something: the sentence is wrapped, and what is to be pasted below it stays as it is.
pub fn remedy(remedy: &str, indent: &str, width: usize) -> Vec<String> {
    let text = harmless(remedy);
    let mut lines = text.trim_end().split('\n');
    let sentence = format!("what to do: {}", lines.next().unwrap_or_default());
    let mut all = hang(&sentence, indent, width);
    all.extend(lines.map(|line| format!("{indent}{line}")));
    all
}

/// A phase while it goes on.
pub fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Schema => "schema",
        Phase::Data => "copying",
        Phase::Indexes => "indexes",
        Phase::ForeignKeys => "foreign keys",
        Phase::Finish => "finishing",
        Phase::Verify => "verify",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_kind_is_called_as_one() {
        for (kind, one) in [
            ("constraints", "1 constraint"),
            ("foreign keys of partitions", "1 foreign key of partitions"),
            (
                "tables against the live source",
                "1 table against the live source",
            ),
            (
                "owners and grants of large objects",
                "1 owners and grants of large objects",
            ),
        ] {
            assert_eq!(compared(1, kind), one);
            assert_eq!(compared(1_200, kind), format!("1,200 {kind}"));
        }
    }

    #[test]
    fn durations_are_worded_by_their_size() {
        let cases = [
            (0, "0.0 s", "a few seconds", "0:00"),
            (9_950, "9.9 s", "about 10 s", "0:09"),
            (42_000, "42.0 s", "about 45 s", "0:42"),
            (56_000, "56.0 s", "about 1 min", "0:56"),
            (80_000, "1 min 20 s", "about 1 min 20 s", "1:20"),
            (605_000, "10 min 5 s", "about 11 min", "10:05"),
            (7_500_000, "2 h 05 min", "about 2 h 05 min", "2:05:00"),
        ];
        for (ms, exact, rough, ticking) in cases {
            assert_eq!(
                (&*duration(ms), &*about(ms), &*clock(ms)),
                (exact, rough, ticking)
            );
        }
    }

    #[test]
    fn control_characters_are_written_out() {
        assert_eq!(one_line("a\nb\x1b[31m"), "a\\nb\\u{1b}[31m");
        assert_eq!(harmless("a\n\tb\x1b[31m"), "a\n\tb\\u{1b}[31m");
        // What would have it read from right to left, too.
        assert_eq!(one_line("a\u{202e}b ä"), "a\\u{202e}b ä");
    }

    #[test]
    fn wrapping_loses_nothing() {
        let text = "one two three averyveryverylongword four";
        let lines = wrap(text, 10);
        assert_eq!(lines, ["one two", "three", "averyveryverylongword", "four"]);
        assert_eq!(lines.join(" "), text);
    }
}
