//! The compressions that `pg_dump` knows.
//!
//! Each of them has frames, and a file may be several frames one after the other, which is how several readers can write
//! one file. A file that ends in the middle of a frame is an error, also where the stock readers do not mind (lz4, zstd).

use std::fmt;
use std::io::{self, BufRead, BufWriter, IntoInnerError, Read, Write};
use std::str::FromStr;

use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};

/// How much is asked of a file at once, and given to one.
const BUFFER: usize = 128 << 10;

/// A kind of compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// None.
    None,
    /// `.gz`
    Gzip,
    /// `.lz4`
    Lz4,
    /// `.zst`
    Zstd,
}

impl Algorithm {
    /// All of them, in the order in which a reader looks for their files.
    pub const ALL: [Self; 4] = [Self::None, Self::Gzip, Self::Lz4, Self::Zstd];

    /// What is added to a file's name.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ".gz",
            Self::Lz4 => ".lz4",
            Self::Zstd => ".zst",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The levels that its library knows; the default is the library's own.
    fn levels(self) -> std::ops::RangeInclusive<i32> {
        match self {
            Self::None => 0..=0,
            Self::Gzip => 1..=9,
            Self::Lz4 => 1..=12,
            Self::Zstd => -7..=22,
        }
    }
}

/// A kind of compression and how hard it tries. Prints and reads as `pg_dump -Z` has it: `zstd`, `gzip:9`, `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Codec {
    /// Which.
    pub algorithm: Algorithm,
    /// `None` is the library's default.
    pub level: Option<i32>,
}

/// A compression that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// No such name.
    #[error("\"{0}\" is not a compression; use none, gzip, lz4 or zstd")]
    Name(String),
    /// No such level.
    #[error("{algorithm} has no level {level}; it has {from} to {to}")]
    Level {
        /// Of which.
        algorithm: &'static str,
        /// What was asked for.
        level: String,
        /// The smallest.
        from: i32,
        /// The largest.
        to: i32,
    },
    /// It has no levels at all.
    #[error("what is not compressed has no level")]
    NoLevel,
    /// A detail that `pg_dump` may know.
    #[error(
        "\"{0}\" is not supported: the level is the only detail of a compression that may be given (zstd:3, zstd:level=3)"
    )]
    Detail(String),
}

impl FromStr for Codec {
    type Err = CodecError;

    /// `METHOD`, `METHOD:LEVEL`, `METHOD:level=LEVEL`; a number alone is a level of gzip, and 0 is none.
    fn from_str(text: &str) -> Result<Self, CodecError> {
        if text.parse::<u32>() == Ok(0) {
            return Ok(Self::from(Algorithm::None));
        }
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let (name, detail) = match text.split_once(':') {
            _ if is_number => ("gzip", Some(text)),
            Some((name, detail)) => (name, Some(detail)),
            None => (text, None),
        };
        let known = Algorithm::ALL.into_iter();
        let algorithm = known
            .clone()
            .find(|algorithm| algorithm.name() == name)
            .ok_or_else(|| CodecError::Name(name.to_owned()))?;
        let Some(detail) = detail else {
            return Ok(Self::from(algorithm));
        };
        let level = match detail.split_once('=') {
            Some(("level", level)) => level,
            None if detail.parse::<i64>().is_ok() => detail,
            _ => return Err(CodecError::Detail(detail.to_owned())),
        };
        if algorithm == Algorithm::None {
            return Err(CodecError::NoLevel);
        }
        let levels = algorithm.levels();
        let level = level.parse().ok().filter(|level| levels.contains(level));
        let level = level.ok_or_else(|| CodecError::Level {
            algorithm: algorithm.name(),
            level: detail.trim_start_matches("level=").to_owned(),
            from: *levels.start(),
            to: *levels.end(),
        })?;
        Ok(Self {
            algorithm,
            level: Some(level),
        })
    }
}

impl From<Algorithm> for Codec {
    fn from(algorithm: Algorithm) -> Self {
        Self {
            algorithm,
            level: None,
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level {
            Some(level) => write!(f, "{}:{level}", self.algorithm.name()),
            None => f.write_str(self.algorithm.name()),
        }
    }
}

/// Compresses what is written to it, as one frame. Rows come one by one, and are gathered: neither the libraries nor the
/// operating system like to be called for each of them.
pub struct Encoder<W: Write>(BufWriter<Frame<W>>);

enum Frame<W: Write> {
    Plain(W),
    Gzip(GzEncoder<W>),
    Lz4(lz4::Encoder<W>),
    Zstd(zstd::Encoder<'static, W>),
}

impl<W: Write> Encoder<W> {
    /// Begins a frame.
    pub fn new(codec: Codec, into: W) -> io::Result<Self> {
        let frame = Frame::new(codec, into)?;
        Ok(Self(BufWriter::with_capacity(BUFFER, frame)))
    }

    /// Ends the frame.
    pub fn finish(self) -> io::Result<W> {
        let frame = self.0.into_inner();
        frame.map_err(IntoInnerError::into_error)?.finish()
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<W: Write> Frame<W> {
    fn new(codec: Codec, into: W) -> io::Result<Self> {
        Ok(match codec.algorithm {
            Algorithm::None => Self::Plain(into),
            Algorithm::Gzip => {
                let level = codec.level.and_then(|level| u32::try_from(level).ok());
                let level = level.map_or(flate2::Compression::default(), flate2::Compression::new);
                Self::Gzip(GzEncoder::new(into, level))
            }
            Algorithm::Lz4 => {
                let level = codec.level.and_then(|level| u32::try_from(level).ok());
                let builder = &mut lz4::EncoderBuilder::new();
                let builder = builder.level(level.unwrap_or(0)).auto_flush(false);
                Self::Lz4(
                    builder
                        .checksum(lz4::ContentChecksum::ChecksumEnabled)
                        .build(into)?,
                )
            }
            Algorithm::Zstd => {
                let level = codec.level.unwrap_or(zstd::DEFAULT_COMPRESSION_LEVEL);
                let mut encoder = zstd::Encoder::new(into, level)?;
                encoder.include_checksum(true)?;
                Self::Zstd(encoder)
            }
        })
    }

    fn finish(self) -> io::Result<W> {
        match self {
            Self::Plain(into) => Ok(into),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Lz4(encoder) => {
                let (into, ended) = encoder.finish();
                ended.map(|()| into)
            }
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Frame<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(into) => into.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Lz4(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(into) => into.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Lz4(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}

/// Decompresses all frames of a file.
pub enum Decoder<R: BufRead> {
    /// As it is.
    Plain(R),
    /// gzip
    Gzip(Box<MultiGzDecoder<R>>),
    /// lz4
    Lz4(Lz4Frames<R>),
    /// zstd
    Zstd(zstd::Decoder<'static, R>),
}

impl<R: BufRead> Decoder<R> {
    /// From the beginning of a frame.
    pub fn new(algorithm: Algorithm, from: R) -> io::Result<Self> {
        Ok(match algorithm {
            Algorithm::None => Self::Plain(from),
            Algorithm::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(from))),
            Algorithm::Lz4 => Self::Lz4(Lz4Frames::Between(Some(from))),
            Algorithm::Zstd => Self::Zstd(zstd::Decoder::with_buffer(from)?),
        })
    }

    /// With a buffer for whoever looks for lines.
    pub fn buffered(algorithm: Algorithm, from: R) -> io::Result<io::BufReader<Self>> {
        Ok(io::BufReader::with_capacity(
            BUFFER,
            Self::new(algorithm, from)?,
        ))
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(from) => from.read(into),
            Self::Gzip(decoder) => decoder.read(into),
            Self::Lz4(frames) => frames.read(into),
            Self::Zstd(decoder) => decoder.read(into),
        }
    }
}

/// lz4's library reads one frame, takes no more than that from what it reads, and says only when asked whether the frame
/// had an end.
pub enum Lz4Frames<R: BufRead> {
    /// Before a frame, or at the end.
    Between(Option<R>),
    /// In one.
    Within(Box<lz4::Decoder<R>>),
}

impl<R: BufRead> Read for Lz4Frames<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            match std::mem::replace(self, Self::Between(None)) {
                Self::Between(None) => return Ok(0),
                Self::Between(Some(mut from)) => {
                    if from.fill_buf()?.is_empty() {
                        return Ok(0);
                    }
                    *self = Self::Within(Box::new(lz4::Decoder::new(from)?));
                }
                Self::Within(mut decoder) => {
                    let read = decoder.read(into)?;
                    if read > 0 {
                        *self = Self::Within(decoder);
                        return Ok(read);
                    }
                    let (from, ended) = decoder.finish();
                    ended.map_err(|_| {
                        let what = "it ends in the middle of an lz4 frame";
                        io::Error::new(io::ErrorKind::UnexpectedEof, what)
                    })?;
                    *self = Self::Between(Some(from));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compressions_are_named_as_pg_dump_names_them() {
        for (text, shown) in [
            ("none", "none"),
            ("0", "none"),
            ("6", "gzip:6"),
            ("gzip", "gzip"),
            ("zstd:3", "zstd:3"),
            ("zstd:level=-5", "zstd:-5"),
            ("lz4:12", "lz4:12"),
        ] {
            let codec: Codec = text.parse().expect(text);
            assert_eq!(codec.to_string(), shown, "{text}");
        }
        for text in [
            "",
            "bzip2",
            "gzip:0",
            "gzip:10",
            "10",
            "none:1",
            "zstd:long",
            "zstd:3,workers=2",
            "zstd:99999999999999999999",
            "lz4:",
            "level=3",
        ] {
            assert!(text.parse::<Codec>().is_err(), "{text}");
        }
    }

    fn compressed(codec: Codec, parts: &[&[u8]]) -> Vec<u8> {
        let mut file = Vec::new();
        for part in parts {
            let mut encoder = Encoder::new(codec, &mut file).expect("an encoder");
            encoder.write_all(part).expect("written");
            encoder.finish().expect("ended");
        }
        file
    }

    fn read(algorithm: Algorithm, file: &[u8]) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        Decoder::new(algorithm, file)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    #[test]
    fn frames_may_follow_each_other_and_must_have_an_end() {
        let long: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
        let parts: [&[u8]; 4] = [b"one", b"", &long, b"two"];
        for algorithm in Algorithm::ALL {
            let file = compressed(Codec::from(algorithm), &parts);
            let back = read(algorithm, &file).expect("reads");
            assert!(back == parts.concat(), "{algorithm:?}");
            let nothing = matches!(algorithm, Algorithm::None | Algorithm::Lz4);
            assert_eq!(read(algorithm, &[]).is_ok(), nothing, "{algorithm:?}");
            if algorithm == Algorithm::None {
                continue;
            }
            // Anywhere but between two frames.
            let ends: Vec<usize> = (0..=parts.len())
                .map(|count| compressed(Codec::from(algorithm), &parts[..count]).len())
                .collect();
            let cuts = (1..file.len()).step_by(file.len() / 500 + 1);
            for cut in cuts.chain(file.len() - 10..file.len()) {
                let whole = read(algorithm, &file[..cut]).is_ok();
                assert_eq!(whole, ends.contains(&cut), "{algorithm:?} cut at {cut}");
            }
        }
    }
}
