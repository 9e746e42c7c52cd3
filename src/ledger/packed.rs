//! What is large in a ledger: compressed (zstd), and written and read in a stream. A plan of many thousand tables is hundreds of
//! megabytes of JSON that says the same again and again; nobody holds all of it.

use std::io::{self, BufReader, BufWriter, Read, Write};

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

/// Compresses bytes.
pub fn pack_bytes(bytes: &[u8]) -> io::Result<Vec<u8>> {
    compressed(|into| into.write_all(bytes))
}

/// Reads what [`pack`] has written.
pub fn unpack<T: DeserializeOwned>(packed: &[u8]) -> Result<T, serde_json::Error> {
    let json = zstd::Decoder::with_buffer(packed).map_err(serde_json::Error::io)?;
    serde_json::from_reader(BufReader::new(json))
}

/// Reads what [`pack_bytes`] has written.
pub fn unpack_bytes(packed: &[u8]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    zstd::Decoder::with_buffer(packed)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn compressed(
    write: impl FnOnce(&mut zstd::Encoder<'static, Vec<u8>>) -> io::Result<()>,
) -> io::Result<Vec<u8>> {
    let mut encoder = zstd::Encoder::new(Vec::new(), LEVEL)?;
    write(&mut encoder)?;
    encoder.finish()
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
        let packed = pack_bytes(&bytes).expect("packs");
        assert_eq!(unpack_bytes(&packed).expect("unpacks"), bytes);
    }

    #[test]
    fn half_of_it_is_an_error() {
        let packed = pack(&vec![7; 10_000]).expect("packs");
        let half = &packed[..packed.len() / 2];
        assert!(unpack::<Vec<u32>>(half).is_err());
        assert!(unpack_bytes(half).is_err());
    }
}
