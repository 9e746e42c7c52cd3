//! A line diff: what a person needs in order to see how two definitions differ, nothing left out of either.

use std::fmt::Write;

/// More cells than this are not compared one by one: what lies between the common beginning and the common end is then shown as
/// replaced.
const CELLS_MAX: usize = 4_000_000;

/// All lines of both texts: `  ` before what they share, `- ` before the first one's own, `+ ` before the second one's.
pub(super) fn diff(source: &str, target: &str) -> String {
    let left: Vec<&str> = source.lines().collect();
    let right: Vec<&str> = target.lines().collect();
    let prefix = common(left.iter(), right.iter());
    let most = left.len().min(right.len()) - prefix;
    let suffix = common(left.iter().rev(), right.iter().rev()).min(most);
    let mut out = String::new();
    let mut line = |mark: &str, text: &str| {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{mark}{text}");
    };
    left[..prefix].iter().for_each(|text| line("  ", text));
    let middle = (
        &left[prefix..left.len() - suffix],
        &right[prefix..right.len() - suffix],
    );
    for (mark, text) in middle_lines(middle.0, middle.1) {
        line(mark, text);
    }
    left[left.len() - suffix..]
        .iter()
        .for_each(|text| line("  ", text));
    out.truncate(out.trim_end_matches('\n').len());
    out
}

fn common<'a>(
    left: impl Iterator<Item = &'a &'a str>,
    right: impl Iterator<Item = &'a &'a str>,
) -> usize {
    left.zip(right).take_while(|(a, b)| a == b).count()
}

/// Longest common subsequence, by the table of lengths.
fn middle_lines<'a>(left: &[&'a str], right: &[&'a str]) -> Vec<(&'static str, &'a str)> {
    let columns = right.len() + 1;
    if (left.len() + 1).saturating_mul(columns) > CELLS_MAX {
        let removed = left.iter().map(|&text| ("- ", text));
        return removed
            .chain(right.iter().map(|&text| ("+ ", text)))
            .collect();
    }
    // lengths[i * columns + j]: of the longest common subsequence of left[i..] and right[j..].
    let mut lengths = vec![0_u32; (left.len() + 1) * columns];
    for i in (0..left.len()).rev() {
        for j in (0..right.len()).rev() {
            lengths[i * columns + j] = if left[i] == right[j] {
                lengths[(i + 1) * columns + j + 1] + 1
            } else {
                lengths[(i + 1) * columns + j].max(lengths[i * columns + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut lines = Vec::new();
    while i < left.len() || j < right.len() {
        if i < left.len() && j < right.len() && left[i] == right[j] {
            lines.push(("  ", left[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == right.len()
            || (i < left.len() && lengths[(i + 1) * columns + j] >= lengths[i * columns + j + 1])
        {
            lines.push(("- ", left[i]));
            i += 1;
        } else {
            lines.push(("+ ", right[j]));
            j += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_both_sides_whole() {
        assert_eq!(
            diff("a\nb\nc\nd\ne", "a\nc\nX\nd\ne\nf"),
            "  a\n- b\n  c\n+ X\n  d\n  e\n+ f"
        );
        assert_eq!(diff("", "a"), "+ a");
        assert_eq!(diff("a\na", "a"), "  a\n- a");
        assert_eq!(diff("a", "b"), "- a\n+ b");
    }

    #[test]
    fn enormous_texts_are_not_compared_line_by_line() {
        let numbered = |from: u32| -> String {
            let lines: Vec<String> = (from..from + 3000).map(|n| n.to_string()).collect();
            lines.join("\n")
        };
        let shown = diff(&numbered(0), &numbered(10_000));
        assert_eq!(shown.lines().count(), 6000);
    }
}
