//! The two ways to write a connection string, taken apart: a URI and `keyword=value`.
//!
//! The rules, down to the odd ones, are libpq's (`conninfo_parse` and `conninfo_uri_parse_options` in
//! `src/interfaces/libpq/fe-connect.c`): `host= port=1` has the host `port=1`, and a `@` is looked for only up to the
//! first `/`. Two things are refused that libpq lets through, because they are what an unescaped password looks like, and
//! would make a piece of it a host or a database name, to be shown in messages: a `@` in the host or in the path.
//!
//! Every setting remembers which stretch of the text it came from, so that the password can be cut out.

use std::ops::Range;

use super::error::ParseError;
use super::keywords::{self, Keyword};

/// One `keyword=value` found in the text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) keyword: &'static Keyword,
    pub(super) value: String,
    /// Cutting this range out of the text leaves a valid text without the setting.
    pub(super) span: Range<usize>,
}

const SCHEMES: [&str; 2] = ["postgresql://", "postgres://"];

/// Takes a connection string apart. A text that is neither a URI nor contains a `=` is a database name.
pub(super) fn parse(text: &str) -> Result<Vec<Found>, ParseError> {
    let found = if let Some(scheme) = SCHEMES.iter().find(|scheme| text.starts_with(**scheme)) {
        Uri { text }.parse(scheme.len())?
    } else if text.contains('=') {
        parse_keywords(text)?
    } else {
        return Ok(parse_database_name(text));
    };
    match found.iter().find(|found| found.value.contains('\0')) {
        Some(found) => Err(ParseError::Null {
            keyword: found.keyword.name,
        }),
        None => Ok(found),
    }
}

fn parse_database_name(text: &str) -> Vec<Found> {
    match keywords::find("dbname") {
        Some(keyword) if !text.is_empty() => vec![Found {
            keyword,
            value: text.to_owned(),
            span: 0..text.len(),
        }],
        _ => Vec::new(),
    }
}

/// Whether a value that was not closed or escaped may have spilled into what follows.
fn is_secret(keyword: &Keyword) -> bool {
    keyword.name.contains("password") || keyword.name.contains("secret")
}

/// What libpq's `isspace` takes for white space.
fn is_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

fn parse_keywords(text: &str) -> Result<Vec<Found>, ParseError> {
    let bytes = text.as_bytes();
    let skip_spaces = |mut at: usize| {
        while at < bytes.len() && is_space(bytes[at]) {
            at += 1;
        }
        at
    };
    let mut found: Vec<Found> = Vec::new();
    let mut at = skip_spaces(0);
    while at < bytes.len() {
        let start = at;
        while at < bytes.len() && bytes[at] != b'=' && !is_space(bytes[at]) {
            at += 1;
        }
        let name = &text[start..at];
        at = skip_spaces(at);
        let after_secret = found.iter().any(|found| is_secret(found.keyword));
        if bytes.get(at) != Some(&b'=') {
            return Err(ParseError::MissingEquals {
                word: Some(name.to_owned()).filter(|_| !after_secret),
                position: start + 1,
            });
        }
        let keyword =
            keywords::find(name).ok_or_else(|| ParseError::unknown(name, after_secret))?;
        at = skip_spaces(at + 1);
        let (value, end) = parse_value(text, at, keyword)?;
        at = skip_spaces(end);
        found.push(Found {
            keyword,
            value,
            span: start..at,
        });
    }
    Ok(found)
}

/// Reads one value that starts at `at`; returns it and where it ends. A backslash takes the next character as it is.
fn parse_value(text: &str, at: usize, keyword: &Keyword) -> Result<(String, usize), ParseError> {
    let quoted = text[at..].starts_with('\'');
    let mut value = String::new();
    let begin = at + usize::from(quoted);
    let mut chars = text[begin..].char_indices();
    while let Some((offset, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            '\'' if quoted => return Ok((value, begin + offset + 1)),
            c if !quoted && u8::try_from(c).is_ok_and(is_space) => {
                return Ok((value, begin + offset));
            }
            c => value.push(c),
        }
    }
    if quoted {
        return Err(ParseError::UnclosedQuote {
            keyword: keyword.name,
        });
    }
    Ok((value, text.len()))
}

struct Uri<'a> {
    text: &'a str,
}

impl Uri<'_> {
    fn parse(&self, start: usize) -> Result<Vec<Found>, ParseError> {
        let mut found = Vec::new();
        let hosts_at = self.user_info(start, &mut found)?;
        let mut at = self.hosts(hosts_at, &mut found)?;
        if self.byte(at) == Some(b'/') {
            let end = self.until(at + 1, b"?");
            let path = &self.text[at + 1..end];
            if path.contains('@') {
                return Err(ParseError::StrayAt { place: "path" });
            }
            self.store("dbname", at + 1..end, "the database name", &mut found)?;
            at = end;
        }
        if self.byte(at) == Some(b'?') {
            self.parameters(at + 1, &mut found)?;
        }
        Ok(found)
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    /// Where the first of `stops` is at or after `at`, or the end of the text.
    fn until(&self, at: usize, stops: &[u8]) -> usize {
        self.text.as_bytes()[at..]
            .iter()
            .position(|byte| stops.contains(byte))
            .map_or(self.text.len(), |offset| at + offset)
    }

    /// Decodes a stretch of the text as a keyword's value; an empty one leaves the keyword unset.
    fn store(
        &self,
        name: &str,
        span: Range<usize>,
        part: &'static str,
        found: &mut Vec<Found>,
    ) -> Result<(), ParseError> {
        let value = decode(&self.text[span.clone()], part)?;
        store_decoded(name, value, span, found);
        Ok(())
    }

    /// `user:password@`, if there is one; returns where the hosts begin.
    fn user_info(&self, start: usize, found: &mut Vec<Found>) -> Result<usize, ParseError> {
        let at_sign = self.until(start, b"@/");
        if self.byte(at_sign) != Some(b'@') {
            return Ok(start);
        }
        let colon = self.until(start, b":@");
        self.store("user", start..colon, "the user name", found)?;
        if self.byte(colon) == Some(b':') {
            let value = decode(&self.text[colon + 1..at_sign], "the password")?;
            // The colon goes with it.
            store_decoded("password", value, colon..at_sign, found);
        }
        Ok(at_sign + 1)
    }

    /// `host:port,host:port`; returns where they end. Both lists keep their empty elements.
    fn hosts(&self, start: usize, found: &mut Vec<Found>) -> Result<usize, ParseError> {
        let (mut hosts, mut ports) = (String::new(), String::new());
        let mut at = start;
        loop {
            let host_end = if self.byte(at) == Some(b'[') {
                self.bracketed(at, &mut hosts)?
            } else {
                let end = self.until(at, b":/?,");
                hosts.push_str(&self.text[at..end]);
                end
            };
            at = host_end;
            if self.byte(at) == Some(b':') {
                let end = self.until(at + 1, b"/?,");
                ports.push_str(&self.text[at + 1..end]);
                at = end;
            }
            if self.byte(at) != Some(b',') {
                break;
            }
            hosts.push(',');
            ports.push(',');
            at += 1;
        }
        if hosts.contains('@') || ports.contains('@') {
            return Err(ParseError::StrayAt { place: "host" });
        }
        let hosts = decode(&hosts, "the host")?;
        let ports = decode(&ports, "the port")?;
        store_decoded("host", hosts, start..at, found);
        store_decoded("port", ports, start..at, found);
        Ok(at)
    }

    /// An IPv6 address in brackets; returns where it ends.
    fn bracketed(&self, at: usize, hosts: &mut String) -> Result<usize, ParseError> {
        let close = self.until(at, b"]");
        if close == self.text.len() {
            return Err(ParseError::UnclosedBracket);
        }
        if close == at + 1 {
            return Err(ParseError::EmptyBrackets);
        }
        hosts.push_str(&self.text[at + 1..close]);
        match self.byte(close + 1) {
            None | Some(b':' | b'/' | b'?' | b',') => Ok(close + 1),
            Some(_) => Err(ParseError::AfterBracket {
                position: close + 2,
            }),
        }
    }

    fn parameters(&self, start: usize, found: &mut Vec<Found>) -> Result<(), ParseError> {
        let before = found.len();
        let mut at = start;
        while at < self.text.len() {
            let end = self.until(at, b"&");
            let parameter = &self.text[at..end];
            // A password among the parameters with an unescaped "&"; one in front of the host cannot spill over.
            let after_secret = found[before..].iter().any(|found| is_secret(found.keyword));
            let Some((name, value)) = parameter.split_once('=') else {
                return Err(ParseError::ParameterWithoutValue {
                    word: Some(parameter.to_owned()).filter(|_| !after_secret),
                });
            };
            let name = decode(name, "the name of a parameter")?;
            // What JDBC users write.
            let (name, value) = if name == "ssl" && value == "true" {
                ("sslmode".to_owned(), "require")
            } else {
                (name, value)
            };
            let keyword =
                keywords::find(&name).ok_or_else(|| ParseError::unknown(&name, after_secret))?;
            if value.contains('=') {
                return Err(ParseError::ParameterWithTwoValues {
                    keyword: keyword.name,
                });
            }
            let value = decode(value, keyword.name)?;
            let next = (end + 1).min(self.text.len());
            found.push(Found {
                keyword,
                value,
                span: at..next,
            });
            at = next;
        }
        Ok(())
    }
}

/// An empty value in front of the parameters leaves the keyword unset.
fn store_decoded(name: &str, value: String, span: Range<usize>, found: &mut Vec<Found>) {
    if let Some(keyword) = keywords::find(name).filter(|_| !value.is_empty()) {
        found.push(Found {
            keyword,
            value,
            span,
        });
    }
}

/// Undoes percent-encoding. `part` says where, for the message: the text itself may be secret.
fn decode(text: &str, part: &'static str) -> Result<String, ParseError> {
    let nibble = |byte: Option<&u8>| {
        byte.and_then(|byte| char::from(*byte).to_digit(16))
            .and_then(|digit| u8::try_from(digit).ok())
            .ok_or(ParseError::PercentEncoding { part })
    };
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            let byte = nibble(bytes.get(at + 1))? << 4 | nibble(bytes.get(at + 2))?;
            if byte == 0 {
                return Err(ParseError::EncodedNull { part });
            }
            decoded.push(byte);
            at += 3;
        } else {
            decoded.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(decoded).map_err(|_| ParseError::NotUtf8 { part })
}
