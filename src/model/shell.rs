//! Words as a shell takes them, so that a command that is shown can be copied and run.

/// A word, in quotes where it needs them.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:,+@%=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// What goes on with a run, or shows it: `pgconvoy resume ./pgconvoy-20260102T030405Z-0c4f`.
pub fn run_command(command: &str, run_dir: &str) -> String {
    // A directory that looks like an option would be taken for one.
    let here = if run_dir.starts_with('-') { "./" } else { "" };
    format!(
        "pgconvoy {command} {}",
        shell_word(&format!("{here}{run_dir}"))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_there_where_a_shell_needs_them() {
        for (text, word) in [
            ("./pgconvoy-1", "./pgconvoy-1"),
            ("my run", "'my run'"),
            ("it's", r"'it'\''s'"),
            ("", "''"),
            ("$HOME", "'$HOME'"),
        ] {
            assert_eq!(shell_word(text), word);
        }
        assert_eq!(run_command("resume", "-r x"), "pgconvoy resume './-r x'");
    }
}
