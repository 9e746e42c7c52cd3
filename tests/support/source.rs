//! Reads Rust source as far as rules about imports and lengths need it: code without comments, strings and tests, the
//! paths it names (resolved through `use`, `crate`, `self` and `super`), and where its functions begin and end.
//!
//! It is not a parser. It does not see what a macro expands to, nor a method of a type whose name it cannot resolve.

use std::collections::HashMap;

use regex::Regex;

/// One source file.
pub struct Source {
    /// Path below `src`, with slashes.
    pub path: String,
    /// What the file holds.
    pub text: String,
    /// The same without comments, the insides of literals and items under `#[cfg(test)]`; line for line.
    pub code: String,
}

/// A path that the code names.
#[derive(Debug, PartialEq, Eq)]
pub struct Named {
    /// From `crate`, or from an external crate.
    pub path: String,
    /// Counted from 1.
    pub line: usize,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    pub name: String,
    /// Counted from 1.
    pub line: usize,
    pub length_lines: usize,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code: without_tests(&without_comments_and_literals(text)),
        }
    }

    /// Whether the whole file is a test module.
    pub fn is_test(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }

    /// Number of lines in front of the tests.
    pub fn length_lines(&self) -> usize {
        let stripped = without_comments_and_literals(&self.text);
        match stripped.find("#[cfg(test)]\nmod tests {") {
            Some(start) => line_of(&stripped, start) - 1,
            None => self.text.lines().count(),
        }
    }

    /// The modules that the file declares and that its table of files, if it has one, does not name; each with its line.
    pub fn modules_missing_in_table(&self) -> Vec<(usize, String)> {
        let rows = self.text.lines().filter(|line| line.starts_with("//! |"));
        let table = rows.collect::<Vec<_>>().join("\n");
        if !table.starts_with("//! | file ") && !table.starts_with("//! | module ") {
            return Vec::new();
        }
        let declaration =
            Regex::new(r"(?m)^\s*(?:pub(?:\([^)]*\))?\s+)?mod\s+(\w+);").expect("valid");
        let found = declaration.captures_iter(&self.code).filter_map(|found| {
            let module = found.get(1)?;
            let is_named = table.contains(&format!("`{}`", module.as_str()));
            let line = line_of(&self.code, module.start());
            (!is_named).then(|| (line, module.as_str().to_owned()))
        });
        found.collect()
    }

    /// Every path in the code, those of `use` declarations first.
    pub fn named(&self) -> Vec<Named> {
        let declaration = Regex::new(r"\buse\s+([^;]+);").expect("valid");
        let mut named = Vec::new();
        let mut aliases = HashMap::new();
        for found in declaration.captures_iter(&self.code) {
            let tree = found.get(1).expect("group 1");
            let line = line_of(&self.code, tree.start());
            for (path, alias) in expand(tree.as_str()) {
                let path = self.resolve(&path, &HashMap::new());
                aliases.insert(alias, path.clone());
                named.push(Named { path, line });
            }
        }
        let inline = Regex::new(r"\b[A-Za-z_]\w*(?:\s*::\s*[A-Za-z_]\w*)+").expect("valid");
        let rest =
            declaration.replace_all(&self.code, |found: &regex::Captures<'_>| blank(&found[0]));
        for found in inline.find_iter(&rest) {
            named.push(Named {
                path: self.resolve(&without_space(found.as_str()), &aliases),
                line: line_of(&rest, found.start()),
            });
        }
        named
    }

    fn resolve(&self, path: &str, aliases: &HashMap<String, String>) -> String {
        let mut segments: Vec<&str> = path
            .split("::")
            .filter(|segment| !segment.is_empty())
            .collect();
        let mut module = self.module();
        match segments.first().copied() {
            Some("self" | "super") => {
                while let Some(step @ ("self" | "super")) = segments.first().copied() {
                    if step == "super" {
                        module.pop();
                    }
                    segments.remove(0);
                }
                module.extend(segments.into_iter().map(str::to_owned));
                module.join("::")
            }
            Some(first) => match aliases.get(first) {
                Some(full) => std::iter::once(full.as_str())
                    .chain(segments.into_iter().skip(1))
                    .collect::<Vec<_>>()
                    .join("::"),
                None => segments.join("::"),
            },
            None => String::new(),
        }
    }

    /// `execute/copy.rs` → `crate`, `execute`, `copy`.
    fn module(&self) -> Vec<String> {
        let stem = self.path.trim_end_matches(".rs");
        let names = stem
            .split('/')
            .filter(|name| !matches!(*name, "mod" | "lib" | "main"));
        std::iter::once("crate")
            .chain(names)
            .map(str::to_owned)
            .collect()
    }

    /// Every function that has a body, tests aside.
    pub fn functions(&self) -> Vec<Function> {
        let heading = Regex::new(r"\bfn\s+(\w+)").expect("valid");
        heading
            .captures_iter(&self.code)
            .filter_map(|found| {
                let start = found.get(0).expect("group 0").start();
                let end = item_end(&self.code, start)?;
                self.code[..end].ends_with('}').then(|| {
                    let line = line_of(&self.code, start);
                    Function {
                        name: found[1].to_owned(),
                        line,
                        length_lines: line_of(&self.code, end - 1) - line + 1,
                    }
                })
            })
            .collect()
    }

    /// Lines on which a pattern is found in the code, counted from 1.
    pub fn lines_matching(&self, pattern: &str) -> Vec<usize> {
        let pattern = Regex::new(pattern).expect("valid");
        pattern
            .find_iter(&self.code)
            .map(|found| line_of(&self.code, found.start()))
            .collect()
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    // Counted for every path that is named, and not by this code, which nobody optimizes.
    memchr::memchr_iter(b'\n', &text.as_bytes()[..offset]).count() + 1
}

fn without_space(text: &str) -> String {
    text.chars()
        .filter(|character| !character.is_whitespace())
        .collect()
}

/// The same number of bytes and lines, and nothing on them.
fn blank(text: &str) -> String {
    text.bytes()
        .map(|byte| if byte == b'\n' { '\n' } else { ' ' })
        .collect()
}

fn without_comments_and_literals(text: &str) -> String {
    let quiet = Regex::new(concat!(
        r"(?s)//[^\n]*",
        r"|/\*.*?\*/",
        r#"|\b(?:b|c)?r"[^"]*""#,
        r##"|\b(?:b|c)?r#".*?"#"##,
        r###"|\b(?:b|c)?r##".*?"##"###,
        r#"|"(?:[^"\\]|\\.)*""#,
        r"|'(?:[^'\\\n]|\\[^\n])[^'\n]{0,9}'",
    ))
    .expect("valid");
    let character =
        Regex::new(r"^'(?:[^'\\]|\\(?:[^ux]|x[0-9A-Fa-f]{2}|u\{[0-9A-Fa-f_]+\}))'").expect("valid");
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(found) = quiet.find(rest) {
        let quoted = &rest[found.start()..];
        let end = if quoted.starts_with('\'') {
            // A lifetime also begins with an apostrophe: 'a, 'b.
            character.find(quoted).map_or(1, |literal| literal.end())
        } else {
            found.len()
        };
        kept.push_str(&rest[..found.start()]);
        kept.push_str(&blank(&quoted[..end]));
        rest = &quoted[end..];
    }
    kept + rest
}

fn without_tests(code: &str) -> String {
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some(start) = rest.find("#[cfg(test)]") {
        let end = item_end(rest, start).unwrap_or(rest.len());
        kept.push_str(&rest[..start]);
        kept.push_str(&blank(&rest[start..end]));
        rest = &rest[end..];
    }
    kept + rest
}

/// Where the item that begins at `start` ends: behind its body's brace, or behind its semicolon.
fn item_end(code: &str, start: usize) -> Option<usize> {
    let mut braces = 0_usize;
    let mut brackets = 0_usize;
    for (offset, character) in code[start..].char_indices() {
        match character {
            '(' | '[' => brackets += 1,
            ')' | ']' => brackets = brackets.saturating_sub(1),
            '{' => braces += 1,
            '}' => {
                braces = braces.saturating_sub(1);
                if braces == 0 && brackets == 0 {
                    return Some(start + offset + 1);
                }
            }
            ';' if braces == 0 && brackets == 0 => return Some(start + offset + 1),
            _ => {}
        }
    }
    None
}

/// `a::{b, c as d}` → (`a::b`, `b`), (`a::c`, `d`).
fn expand(tree: &str) -> Vec<(String, String)> {
    let tree = tree.trim();
    if let Some((prefix, inside)) = tree.split_once('{') {
        let inside = inside.trim_end().trim_end_matches('}');
        return split_top_level(inside)
            .into_iter()
            .flat_map(expand)
            .map(|(path, alias)| match path.strip_suffix("self") {
                Some("") => {
                    let whole = without_space(prefix).trim_end_matches("::").to_owned();
                    let last = whole.rsplit("::").next().unwrap_or_default().to_owned();
                    (whole, if alias == "self" { last } else { alias })
                }
                _ => (without_space(prefix) + &path, alias),
            })
            .collect();
    }
    let (path, alias) = tree.split_once(" as ").unwrap_or((tree, ""));
    let path = without_space(path);
    let last = path.rsplit("::").next().unwrap_or_default();
    let alias = if alias.is_empty() { last } else { alias.trim() }.to_owned();
    vec![(path, alias)]
}

fn split_top_level(inside: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for (offset, character) in inside.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&inside[start..offset]);
                start = offset + 1;
            }
            _ => {}
        }
    }
    parts.push(&inside[start..]);
    parts.retain(|part| !part.trim().is_empty());
    parts
}
