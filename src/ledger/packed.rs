//! What is large in a ledger: compressed (zstd), and written and read in a stream. A plan of many thousand tables is hundreds of
//! megabytes of JSON that says the same again and again; nobody holds all of it.

use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// zstd's own default.
const LEVEL: i32 = zstd::DEFAULT_COMPRESSION_LEVEL;

/// Puts a value into JSON, compressed.
pub fn pack(value: &impl Serialize) -> io::Result<Vec<u8>> {
    compressed(|into| {
        let mut into = BufWriter::new(into);
        serde_json::to_writer(&mut into, value)?;
        into.flush()
    })
}

/// Reads what [`pack`] has written.
pub fn unpack<T: DeserializeOwned>(packed: &[u8]) -> Result<T, serde_json::Error> {
    let json = zstd::Decoder::with_buffer(packed).map_err(serde_json::Error::io)?;
    serde_json::from_reader(BufReader::new(json))
}

/// Bytes, compressed.
#[derive(Debug, Clone)]
pub struct Packed(Vec<u8>);

impl Packed {
    /// Compresses them.
    pub fn of(bytes: &[u8]) -> io::Result<Self> {
        compressed(|into| into.write_all(bytes)).map(Self)
    }

    /// As the ledger has kept them.
    pub(super) fn kept(packed: &[u8]) -> Self {
        Self(packed.to_owned())
    }

    /// What the ledger keeps.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Reads them as they were.
    pub fn open(&self) -> io::Result<impl BufRead> {
        let bytes = zstd::Decoder::with_buffer(self.0.as_slice())?;
        Ok(BufReader::new(bytes))
    }
}

/// Packs what is read through it.
pub struct Packing<R> {
    from: R,
    into: zstd::Encoder<'static, Vec<u8>>,
}

impl<R: Read> Packing<R> {
    /// From here on.
    pub fn new(from: R) -> io::Result<Self> {
        let into = zstd::Encoder::new(Vec::new(), LEVEL)?;
        Ok(Self { from, into })
    }

    /// All that was read, and what nobody has read.
    pub fn finish(mut self) -> io::Result<Packed> {
        io::copy(&mut self, &mut io::sink())?;
        self.into.finish().map(Packed)
    }
}

impl<R: Read> Read for Packing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.from.read(buffer)?;
        self.into
            .write_all(buffer.get(..length).unwrap_or_default())?;
        Ok(length)
    }
}

fn compressed(
    write: impl FnOnce(&mut zstd::Encoder<'static, Vec<u8>>) -> io::Result<()>,
) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL)?;
    write(&mut encoder)?;
    let mut packed = encoder.finish()?;
    packed.shrink_to_fit();
    Ok(packed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out_again() {
        let value = vec!["ö\u{0}'\\".to_owned(); 10_000];
        let packed = pack(&value).expect("packs");
        assert!(packed.len() < 1_000, "{} bytes", packed.len());
        assert_eq!(unpack::<Vec<String>>(&packed).expect("unpacks"), value);
        let bytes: Vec<u8> = (0..=255).collect();
        let packed = Packed::of(&bytes).expect("packs");
        assert_eq!(opened(&packed).expect("unpacks"), bytes);
    }

    #[test]
    fn what_is_read_is_packed_on_the_way_and_so_is_what_is_left() {
        let bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut reading = Packing::new(bytes.as_slice()).expect("begins");
        let mut read = [0; 1000];
        reading.read_exact(&mut read).expect("reads");
        assert_eq!(read, bytes[..1000]);
        let packed = reading.finish().expect("packs");
        assert_eq!(opened(&packed).expect("unpacks"), bytes);
        let again = Packed::kept(packed.as_bytes());
        assert_eq!(opened(&again).expect("unpacks"), bytes);
    }

    #[test]
    fn half_of_it_is_an_error() {
        let packed = pack(&vec![7; 10_000]).expect("packs");
        let half = &packed[..packed.len() / 2];
        assert!(unpack::<Vec<u32>>(half).is_err());
        assert!(opened(&Packed::kept(half)).is_err());
    }

    fn opened(packed: &Packed) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        packed.open()?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}
