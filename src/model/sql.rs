//! SQL text, and the one place that quotes identifiers and literals.
//!
//! Statements from a table of contents are bytes in the dump's encoding and need not be UTF-8 (a `SQL_ASCII`
//! database stores what it was given), so [`SqlText`] is bytes; it prints and serialises as text whenever it can.

use std::borrow::Borrow;
use std::fmt::{self, Write as _};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A statement, or several separated by `;`, in the client encoding of the session that will run it. Copies share the bytes: a table of
/// contents and the plan that is made from it hold each statement once.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct SqlText(Arc<[u8]>);

impl SqlText {
    /// The bytes to send.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// For people: invalid UTF-8 is shown as `\u{FFFD}`.
    pub fn to_string_lossy(&self) -> String {
        String::from_utf8_lossy(&self.0).into_owned()
    }
}

impl Borrow<[u8]> for SqlText {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl From<&str> for SqlText {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().into())
    }
}

impl From<String> for SqlText {
    fn from(text: String) -> Self {
        Self(text.into_bytes().into())
    }
}

impl From<Vec<u8>> for SqlText {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for SqlText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string_lossy())
    }
}

impl fmt::Display for SqlText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_string_lossy())
    }
}

/// On disk: a string where the bytes are UTF-8, otherwise `{"hex": "…"}`, so that nothing is lost.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum OnDisk {
    Text(String),
    Hex { hex: String },
}

impl Serialize for SqlText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let on_disk = match std::str::from_utf8(&self.0) {
            Ok(text) => OnDisk::Text(text.to_owned()),
            Err(_) => OnDisk::Hex {
                hex: self.0.iter().fold(String::new(), |mut hex, byte| {
                    let _ = write!(hex, "{byte:02x}");
                    hex
                }),
            },
        };
        on_disk.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SqlText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match OnDisk::deserialize(deserializer)? {
            OnDisk::Text(text) => Ok(Self::from(text)),
            OnDisk::Hex { hex } => decode_hex(&hex).map(Self::from).ok_or_else(|| {
                serde::de::Error::custom("SQL text is not a string of hexadecimal bytes")
            }),
        }
    }
}

fn decode_hex(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let nibble = |digit: u8| {
        char::from(digit)
            .to_digit(16)
            .and_then(|value| u8::try_from(value).ok())
    };
    digits
        .chunks_exact(2)
        .map(|pair| Some(nibble(pair[0])? << 4 | nibble(pair[1])?))
        .collect()
}

/// Quotes an identifier, always: a keyword of the next major version is then no trouble.
pub fn quote_ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a literal for any setting of `standard_conforming_strings` (as `PQescapeLiteral` does).
pub fn quote_literal(value: &str) -> String {
    let doubled = value.replace('\'', "''");
    if value.contains('\\') {
        format!(" E'{}'", doubled.replace('\\', "\\\\"))
    } else {
        format!("'{doubled}'")
    }
}

/// JSON that a database of any encoding can hold: within its strings, other characters are escaped.
pub fn ascii_json(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c.is_ascii() {
            text.push(c);
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _infallible = write!(text, "\\u{unit:04x}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_and_literals_are_quoted() {
        assert_eq!(quote_ident(r#"a"b"#), r#""a""b""#);
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal(r"a\'b"), r" E'a\\''b'");
    }

    #[test]
    fn sql_text_survives_serialisation_in_any_encoding() {
        for bytes in [&b"select 1"[..], b"select '\xe9'", b""] {
            let text = SqlText::from(bytes.to_vec());
            let json = serde_json::to_string(&text).expect("serialises");
            assert_eq!(
                serde_json::from_str::<SqlText>(&json).expect("parses"),
                text
            );
        }
        assert!(serde_json::from_str::<SqlText>(r#"{"hex":"0g"}"#).is_err());
    }
}
