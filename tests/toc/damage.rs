//! Archives that somebody or something has damaged: refused or read, but never a panic, and never much memory or time.

use std::io::Read;
use std::time::{Duration, Instant};

use pgconvoy::toc::{
    CompareOptions, RestoreOptions, Toc, TocError, compare, restore_statements, split_statements,
};

use super::archives;

/// A small generator, so that a failure can be repeated (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).expect("fits")
    }
}

/// Reads it, and if it can be read does everything with it that one does.
fn survive(bytes: &[u8], whole: &Toc) -> bool {
    let begun = Instant::now();
    let read = Toc::parse(bytes);
    if let Ok(toc) = &read {
        for entry in &toc.entries {
            let _ = restore_statements(toc, entry, &RestoreOptions::default());
            let _ = split_statements(entry.defn_bytes(), false);
        }
        if toc != whole {
            let _ = compare(whole, toc, &CompareOptions::default());
        }
        // What is accepted can be written back as it was.
        let written = toc.to_bytes().expect("writes");
        assert!(bytes.starts_with(&written));
    }
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "took {:?}",
        begun.elapsed()
    );
    read.is_ok()
}

#[test]
fn cut_off_anywhere() {
    for file in [
        "18-latin1.dir/toc.dat",
        "15-ascii.dir/toc.dat",
        "16-latin1.dump",
    ] {
        let bytes = archives::bytes(file);
        let toc = Toc::parse(&bytes).expect("reads");
        let length = toc.to_bytes().expect("writes").len();
        for cut in 0..length {
            match Toc::parse(&bytes[..cut]) {
                Err(TocError::Truncated { place }) => assert!(place.position <= cut as u64),
                Err(TocError::NotAnArchive { .. }) if cut < 5 => {}
                other => panic!("{file} cut at {cut}: {other:?}"),
            }
        }
    }
}

#[test]
fn bytes_flipped_by_the_ten_thousand() {
    let mut random = Random(1);
    let mut accepted = 0;
    for (file, rounds) in [
        ("18-ascii.dir/toc.dat", 12_000),
        ("15-latin1.dump", 12_000),
        ("18-nasty.dir/toc.dat", 300),
    ] {
        let bytes = archives::bytes(file);
        let whole = Toc::parse(&bytes).expect("reads");
        for _ in 0..rounds {
            let mut damaged = bytes.clone();
            for _ in 0..=random.below(4) {
                let at = random.below(damaged.len());
                damaged[at] = match random.below(3) {
                    0 => damaged[at] ^ (1 << random.below(8)),
                    1 => [0, 1, 0x7f, 0x80, 0xff, b'\'', b'"', b'$'][random.below(8)],
                    _ => u8::try_from(random.below(256)).expect("a byte"),
                };
            }
            accepted += usize::from(survive(&damaged, &whole));
        }
    }
    // Most of an archive is text, in which any byte is as good as another: else this would test little.
    assert!(accepted > 1000, "{accepted}");
}

#[test]
fn pieces_moved_about() {
    let mut random = Random(2);
    let bytes = archives::bytes("16-ascii.dir/toc.dat");
    let whole = Toc::parse(&bytes).expect("reads");
    for _ in 0..10_000 {
        let mut damaged = bytes.clone();
        let from = random.below(damaged.len());
        let to = (from + random.below(64)).min(damaged.len());
        match random.below(3) {
            0 => drop(damaged.drain(from..to)),
            1 => {
                let piece = damaged[from..to].to_vec();
                let at = random.below(damaged.len());
                damaged.splice(at..at, piece);
            }
            _ => damaged[from..to].fill(0),
        }
        survive(&damaged, &whole);
    }
}

/// Every length and number in the file becomes as large as it can be: a length is not believed before the bytes are there.
#[test]
fn lengths_blown_up() {
    let bytes = archives::bytes("18-latin1.dir/toc.dat");
    let whole = Toc::parse(&bytes).expect("reads");
    for at in 11..bytes.len() - 5 {
        for (sign, magnitude) in [
            (0, 0x7fff_ffff_u32),
            (1, 0x8000_0000),
            (0, 0xffff_ffff),
            (2, 1),
        ] {
            let mut damaged = bytes.clone();
            damaged[at] = sign;
            damaged[at + 1..at + 5].copy_from_slice(&magnitude.to_le_bytes());
            survive(&damaged, &whole);
        }
    }
}

/// A source that counts what is asked of it at once: a buffer of the size of a false length would show here.
struct Measured<'a> {
    bytes: &'a [u8],
    largest_request: usize,
}

impl Read for Measured<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.largest_request = self.largest_request.max(buffer.len());
        self.bytes.read(buffer)
    }
}

#[test]
fn memory_follows_the_bytes_that_are_there() {
    let mut bytes = archives::bytes("15-ascii.dir/toc.dat");
    // The length of the database's name: behind magic, version, sizes, format, compression and seven integers of 5 bytes.
    let at = 5 + 3 + 2 + 1 + 5 + 7 * 5;
    assert_eq!(
        bytes[at..at + 5],
        [0, 5, 0, 0, 0],
        "the length of \"ascii\""
    );
    bytes[at + 1..at + 5].copy_from_slice(&0x7fff_ffff_u32.to_le_bytes());
    let mut source = Measured {
        bytes: &bytes,
        largest_request: 0,
    };
    let error = Toc::read(&mut source).expect_err("is cut off");
    assert_eq!(
        error.to_string(),
        format!("the archive is cut off: it ends at byte {at}, field database of the header")
    );
    assert!(
        source.largest_request <= 64 * 1024,
        "{}",
        source.largest_request
    );
}

#[test]
fn what_is_no_archive_is_called_by_its_name() {
    let refused = |bytes: &[u8]| Toc::parse(bytes).expect_err("refused").to_string();
    let script = archives::bytes("15-ascii.sql");
    assert!(refused(&script).starts_with("this is a plain SQL dump"));
    let mut tar = vec![0; 512];
    tar[257..262].copy_from_slice(b"ustar");
    assert!(refused(&tar).starts_with("this is a tar archive"));
    assert!(refused(b"\x1f\x8b\x08more").contains("gzip"));
    assert!(refused(b"").contains("begins with \"\""));
    assert!(refused(b"hello").contains("\"hello\""));

    let mut bytes = archives::bytes("18-ascii.dir/toc.dat");
    let mut with_version = |minor: u8, revision: u8| {
        bytes[6] = minor;
        bytes[7] = revision;
        Toc::parse(&bytes).map_err(|error| error.to_string())
    };
    assert!(with_version(16, 9).is_ok(), "as pg_restore does");
    let too_new = with_version(17, 0).expect_err("refused");
    assert!(too_new.contains("1.17.0") && too_new.contains("up to 1.16"));
    let too_old = with_version(11, 0).expect_err("refused");
    assert!(too_old.contains("1.11.0") && too_old.contains("before 1.12"));
}

#[test]
fn a_toc_dat_ends_with_its_last_entry() {
    let mut bytes = archives::bytes("18-ascii.dir/toc.dat");
    let length = bytes.len() as u64;
    bytes.push(0);
    let error = Toc::parse(&bytes).expect_err("refused");
    assert!(matches!(error, TocError::TrailingBytes { position } if position == length));
}
