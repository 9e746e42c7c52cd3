//! The members of a tar archive (`pg_dump -Ft`): where each begins, and how long it is.
//!
//! `pg_dump` writes plain POSIX headers, and sizes beyond 8 GB in base 256 (`tarCreateHeader` in `port/tar.c`). It knows no other
//! kind of member than files, and neither do we.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::Path;

/// Headers and contents are made up to this.
const BLOCK: u64 = 512;

/// A file within the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    pub offset: u64,
    pub bytes: u64,
}

/// Whether a file is a tar archive, by its first header.
pub(super) fn is_tar(begins: &[u8]) -> bool {
    begins.get(257..262) == Some(b"ustar")
}

/// All members, by name. A member of which not all is there is an error.
pub(super) fn members(path: &Path) -> io::Result<HashMap<String, Member>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut members = HashMap::new();
    let mut at = 0;
    loop {
        let mut header = [0; 512];
        let begins = at;
        let broken = |what: &str| {
            let what = format!("the tar header at byte {begins} {what}");
            io::Error::new(io::ErrorKind::InvalidData, what)
        };
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut header)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => broken("is missing: the file is cut off"),
                _ => error,
            })?;
        if header.iter().all(|&byte| byte == 0) {
            return if is_the_end(&mut file)? {
                Ok(members)
            } else {
                Err(broken(
                    "is empty, and not followed by one that is, and nothing else",
                ))
            };
        }
        if !is_tar(&header) || !is_whole(&header) {
            return Err(broken("is damaged"));
        }
        let name = header[..100].split(|&byte| byte == 0).next();
        let name = name.and_then(|name| std::str::from_utf8(name).ok());
        let name = name.ok_or_else(|| broken("has no name"))?.to_owned();
        let bytes = size(&header[124..136]).ok_or_else(|| broken("has no size"))?;
        let offset = at + BLOCK;
        let end = offset.checked_add(bytes).filter(|end| *end <= length);
        let end = end.ok_or_else(|| broken(&format!("is of {name}, of which not all is there")))?;
        at = end.next_multiple_of(BLOCK);
        if members
            .insert(name.clone(), Member { offset, bytes })
            .is_some()
        {
            return Err(broken(&format!("is the second one of {name}")));
        }
    }
}

/// Behind an empty header: another, and nothing but what fills up.
fn is_the_end(file: &mut File) -> io::Result<bool> {
    let mut buffer = [0; 4096];
    let mut behind = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(behind >= BLOCK),
            count if buffer[..count].iter().any(|&byte| byte != 0) => return Ok(false),
            count => behind += count as u64,
        }
    }
}

/// The checksum is the sum of all bytes, with spaces in its own place.
fn is_whole(header: &[u8; 512]) -> bool {
    let own = 148..156;
    let sum: u64 = header
        .iter()
        .enumerate()
        .map(|(place, &byte)| u64::from(if own.contains(&place) { b' ' } else { byte }))
        .sum();
    size(&header[148..156]) == Some(sum)
}

/// Octal digits, or, if the first bit is set, base 256.
fn size(field: &[u8]) -> Option<u64> {
    if field.first()? & 0x80 != 0 {
        let low = field.get(field.len().checked_sub(8)?..)?;
        return Some(u64::from_be_bytes(low.try_into().ok()?));
    }
    let digits = std::str::from_utf8(field).ok()?;
    let digits = digits.trim_matches(|c: char| c == ' ' || c == '\0');
    u64::from_str_radix(digits, 8).ok()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn header(name: &str, size: &[u8]) -> Vec<u8> {
        let mut header = vec![0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..124 + size.len()].copy_from_slice(size);
        header[148..156].fill(b' ');
        header[257..263].copy_from_slice(b"ustar\0");
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        header
    }

    fn archive(size: &[u8]) -> Vec<u8> {
        let mut first = b"hello".to_vec();
        first.resize(512, 0);
        [
            header("toc.dat", size),
            first,
            header("7.dat", b"00000000000\0"),
            vec![0; 1024],
        ]
        .concat()
    }

    fn read(bytes: &[u8]) -> io::Result<HashMap<String, Member>> {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(bytes).expect("written");
        members(file.path())
    }

    #[test]
    fn members_are_found_by_name() {
        for size in [&b"00000000005\0"[..], b"\x80\0\0\0\0\0\0\0\0\0\0\x05"] {
            let found = read(&archive(size)).expect("an archive");
            assert_eq!(
                found["toc.dat"],
                Member {
                    offset: 512,
                    bytes: 5
                }
            );
            assert_eq!(
                found["7.dat"],
                Member {
                    offset: 1536,
                    bytes: 0
                }
            );
            assert_eq!(found.len(), 2);
        }
    }

    #[test]
    fn damage_is_an_error() {
        let whole = archive(b"00000000005\0");
        for cut in [0, 100, 512, 700, 1024, 1100, 1536, 1600, 2048, 2500] {
            assert!(read(&whole[..cut]).is_err(), "cut at {cut}");
        }
        for place in [0, 50, 125, 150, 260, 1030, 1600, 2200] {
            let mut changed = whole.clone();
            changed[place] ^= 4;
            assert!(read(&changed).is_err(), "changed at {place}");
        }
    }
}
