//! What can be wrong with a connection string and what it refers to. No message repeats a secret.

use std::path::PathBuf;

use super::keywords;

/// A connection string that cannot be taken apart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// `keyword=value` without the `=`.
    #[error("missing \"=\" after {} at character {position} (a value with spaces must be in single quotes)", quoted(.word.as_deref()))]
    MissingEquals {
        /// The word, unless it may be part of a secret.
        word: Option<String>,
        /// Where it starts, in bytes, from 1.
        position: usize,
    },
    /// A quote that is never closed.
    #[error("the quoted value of \"{keyword}\" is never closed")]
    UnclosedQuote {
        /// The keyword before it.
        keyword: &'static str,
    },
    /// A keyword that libpq doesn't have.
    #[error("unknown keyword {}{}", quoted(.word.as_deref()), did_you_mean(*.nearest))]
    UnknownKeyword {
        /// The word, unless it may be part of a secret.
        word: Option<String>,
        /// What was probably meant.
        nearest: Option<&'static str>,
    },
    /// A percent sign without two hexadecimal digits.
    #[error(
        "{part} has a \"%\" that is not followed by two hexadecimal digits; write a plain \"%\" as %25"
    )]
    PercentEncoding {
        /// Which part of the URI.
        part: &'static str,
    },
    /// `%00`.
    #[error("{part} contains %00, which no value may")]
    EncodedNull {
        /// Which part of the URI.
        part: &'static str,
    },
    /// A null character.
    #[error("the value of \"{keyword}\" contains a null character")]
    Null {
        /// The keyword.
        keyword: &'static str,
    },
    /// Percent-encoded bytes that are not UTF-8.
    #[error("{part} is not UTF-8 once its percent-encoding is undone")]
    NotUtf8 {
        /// Which part of the URI.
        part: &'static str,
    },
    /// A second `@`, or one after the first `/`.
    #[error(
        "there is an \"@\" in the {place} of the URI; inside a user name or password write @ as %40 and / as %2F, inside a database name write @ as %40"
    )]
    StrayAt {
        /// `host` or `path`.
        place: &'static str,
    },
    /// `[::1`.
    #[error("an IPv6 address in the URI has no closing \"]\"")]
    UnclosedBracket,
    /// `[]`.
    #[error("an IPv6 address in the URI is empty")]
    EmptyBrackets,
    /// `[::1]x`.
    #[error(
        "after an IPv6 address the URI must go on with \":\", \"/\", \"?\" or \",\" (character {position})"
    )]
    AfterBracket {
        /// Where, in bytes, from 1.
        position: usize,
    },
    /// `?keyword` without a value.
    #[error("missing \"=\" after the URI parameter {}", quoted(.word.as_deref()))]
    ParameterWithoutValue {
        /// The parameter, unless it may be part of a secret.
        word: Option<String>,
    },
    /// `?a=b=c`.
    #[error("the URI parameter \"{keyword}\" has a second \"=\"; inside a value write it as %3D")]
    ParameterWithTwoValues {
        /// The parameter.
        keyword: &'static str,
    },
}

impl ParseError {
    pub(super) fn unknown(name: &str, may_be_secret: bool) -> Self {
        Self::UnknownKeyword {
            word: Some(name.to_owned()).filter(|_| !may_be_secret),
            nearest: keywords::nearest(name),
        }
    }
}

fn quoted(word: Option<&str>) -> String {
    word.map_or_else(
        || "a word that is not shown because a password is before it".to_owned(),
        |word| format!("\"{word}\""),
    )
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| {
        format!("; did you mean \"{nearest}\"?")
    })
}

/// Connection settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConninfoError {
    /// The connection string cannot be taken apart.
    #[error("the connection string cannot be read: {0}")]
    Parse(#[from] ParseError),
    /// A value that its keyword does not take.
    #[error("{setting} is \"{value}\", but must be {expected}")]
    Value {
        /// The keyword and where its value came from.
        setting: Origin,
        /// The value.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
    /// Something that is not supported.
    #[error("{setting} is \"{value}\", which cannot be honoured: {because}")]
    Unsupported {
        /// The keyword and where its value came from.
        setting: Origin,
        /// The value, or `[hidden]`.
        value: String,
        /// Why.
        because: &'static str,
    },
    /// A port that is not one. The value is not shown: it may be a piece of an unescaped password.
    #[error(
        "the port of host {number} in {setting} is not a number from 1 to 65535 (if the password contains a \"/\", write it as %2F)"
    )]
    Port {
        /// The host's number in the list, from 1.
        number: usize,
        /// Where the ports came from.
        setting: Origin,
    },
    /// Lists of different lengths.
    #[error("{counted} {what} cannot be matched to {hosts} hosts")]
    ListLengths {
        /// How many.
        counted: usize,
        /// Of what.
        what: &'static str,
        /// How many hosts.
        hosts: usize,
    },
    /// A `hostaddr` that is not an address.
    #[error("hostaddr \"{value}\" is not an IP address")]
    HostAddress {
        /// The value.
        value: String,
    },
    /// Two settings that exclude each other.
    #[error("{0}")]
    Conflict(String),
    /// Nobody knows who is to connect.
    #[error("there is no user name: give user=, or PGUSER")]
    NoUser,
    /// A service file that does not exist or cannot be read.
    #[error("the service file \"{}\" cannot be read", path.display())]
    ServiceFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A line of a service file that makes no sense.
    #[error("line {line} of the service file \"{}\": {problem}", path.display())]
    ServiceLine {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A service that is defined nowhere.
    #[error("service \"{service}\" is not defined in {}", .looked_in.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" or "))]
    NoService {
        /// Its name.
        service: String,
        /// The files that were considered, whether they exist or not.
        looked_in: Vec<PathBuf>,
    },
}

/// A keyword, and where its value came from: so that a message can say which of four places to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The keyword.
    pub keyword: &'static str,
    /// Where the value came from.
    pub layer: Layer,
}

/// Where a value came from, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// The connection string itself.
    Explicit,
    /// The service file.
    Service,
    /// A `PG*` environment variable.
    Variable,
    /// Nowhere: libpq's default, or ours.
    Default,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keyword = self.keyword;
        match self.layer {
            Layer::Explicit => write!(f, "{keyword} in the connection string"),
            Layer::Service => write!(f, "{keyword} in the service file"),
            Layer::Variable => match keywords::find(keyword).and_then(|keyword| keyword.variable) {
                Some(variable) => write!(f, "{variable} in the environment"),
                None => write!(f, "{keyword} in the environment"),
            },
            Layer::Default => write!(f, "{keyword}"),
        }
    }
}
