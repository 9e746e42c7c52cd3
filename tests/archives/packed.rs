//! Archives as a `pg_dump` would write them that was built with lz4 and zstd, made out of uncompressed ones: those at hand know neither.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use pgconvoy::toc::{Compression, DataPlace, OffsetState, Toc};

use crate::scene::{anew, copy_of, pg_dump, restore, scene, scratch};
use crate::support::moving::{assert_equal, assert_no_ledger, assert_proven};

/// What the tools at hand don't know, as `-Z` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packed {
    Lz4,
    Zstd,
}

impl Packed {
    fn suffix(self) -> &'static str {
        match self {
            Self::Lz4 => "lz4",
            Self::Zstd => "zst",
        }
    }

    fn in_header(self) -> Compression {
        match self {
            Self::Lz4 => Compression::Lz4,
            Self::Zstd => Compression::Zstd,
        }
    }

    /// A frame without a checksum, as `pg_dump` writes them.
    fn frame(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Lz4 => {
                let builder = &mut lz4::EncoderBuilder::new();
                let builder = builder.checksum(lz4::ContentChecksum::NoChecksum);
                let mut encoder = builder.build(Vec::new()).expect("an encoder");
                encoder.write_all(bytes).expect("memory");
                let (packed, ended) = encoder.finish();
                ended.expect("memory");
                packed
            }
            Self::Zstd => zstd::encode_all(bytes, 1).expect("memory"),
        }
    }
}

/// A directory, made out of an uncompressed one.
pub fn directory(plain: &Path, packed: Packed, to: &Path) {
    copy_of(plain, to);
    for entry in fs::read_dir(plain).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name");
        let name = name.to_str().expect("UTF-8");
        let bytes = fs::read(&path).expect("read");
        let is_list = path.extension().is_some_and(|ending| ending == "toc");
        if name == "toc.dat" {
            let mut toc = Toc::parse(&bytes).expect("whole");
            toc.header.compression = packed.in_header();
            fs::write(to.join(name), toc.to_bytes().expect("writable")).expect("written");
        } else if !is_list {
            fs::remove_file(to.join(name)).expect("removed");
            let name = format!("{name}.{}", packed.suffix());
            fs::write(to.join(name), packed.frame(&bytes)).expect("written");
        }
    }
}

/// A custom file, made out of an uncompressed one: as if written into a pipe, so that its table of contents doesn't say where
/// things are.
pub fn custom(plain: &Path, packed: Packed, to: &Path) {
    let bytes = fs::read(plain).expect("read");
    let mut rest = bytes.as_slice();
    let mut toc = Toc::read(&mut rest).expect("whole");
    toc.header.compression = packed.in_header();
    for entry in &mut toc.entries {
        if let DataPlace::Offset { state, position } = &mut entry.data
            && *state == OffsetState::Set
        {
            (*state, *position) = (OffsetState::NotSet, 0);
        }
    }
    let mut made = toc.to_bytes().expect("writable");
    while let Some(&kind) = rest.first() {
        made.push(kind);
        rest = &rest[1..];
        // The entry's number.
        made.extend_from_slice(&take_number(&mut rest).0);
        if kind == 1 {
            repack(&mut rest, packed, &mut made);
            continue;
        }
        assert_eq!(kind, 3, "a block of large objects");
        loop {
            let (oid, number) = take_number(&mut rest);
            made.extend_from_slice(&oid);
            if number == 0 {
                break;
            }
            repack(&mut rest, packed, &mut made);
        }
    }
    fs::write(to, made).expect("written");
}

/// A sign, and four bytes, the lowest first.
fn take_number(rest: &mut &[u8]) -> ([u8; 5], u32) {
    let (number, others) = rest.split_first_chunk::<5>().expect("a number");
    *rest = others;
    let [_, bytes @ ..] = *number;
    (*number, u32::from_le_bytes(bytes))
}

/// Chunks, packed as a whole into chunks of another length.
fn repack(rest: &mut &[u8], packed: Packed, made: &mut Vec<u8>) {
    let mut whole = Vec::new();
    loop {
        let length = take_number(rest).1 as usize;
        if length == 0 {
            break;
        }
        let (chunk, others) = rest.split_at(length);
        whole.extend_from_slice(chunk);
        *rest = others;
    }
    for chunk in packed.frame(&whole).chunks(1000) {
        let length = u32::try_from(chunk.len()).expect("at most a thousand");
        made.push(0);
        made.extend_from_slice(&length.to_le_bytes());
        made.extend_from_slice(chunk);
    }
    made.extend_from_slice(&[0; 5]);
}

#[test]
fn archives_with_compressions_that_few_builds_know_are_restored() {
    let Some(server) = scene(18) else { return };
    let dir = scratch();
    let from = server.conninfo("scene");
    let (plain_dir, plain_file) = (dir.path().join("dir"), dir.path().join("file"));
    let formats = [("-Fd", &plain_dir), ("-Fc", &plain_file)];
    for (format, path) in formats {
        let is_known = pg_dump(&server, "scene", (&[format, "-Z", "none"], path));
        assert!(is_known, "{format} is in every build");
    }
    for packed in [Packed::Lz4, Packed::Zstd] {
        let archive = dir.path().join("packed");
        for is_file in [false, true] {
            if is_file {
                custom(&plain_file, packed, &archive);
            } else {
                directory(&plain_dir, packed, &archive);
            }
            let to = anew(&server, "copy");
            assert_proven(&restore(&archive, &to, &[]));
            assert_no_ledger(&server, "copy");
            assert_equal(&format!("{packed:?}, {is_file}"), &from, &to, &[]);
            if is_file {
                fs::remove_file(&archive).expect("removed");
            } else {
                fs::remove_dir_all(&archive).expect("removed");
            }
        }
    }
}
