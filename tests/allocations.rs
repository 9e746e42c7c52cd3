//! What a row costs on its way through our hands, in counted allocations: none. Seconds depend on the machine; this does not.

use std::io::BufReader;

use pgconvoy::archive::{DATA_END, RowPieces};
use pgconvoy::model::RowLayout;
use pgconvoy::pg::wire::RowScanner;

/// Of each stream.
const ROWS: usize = 100_000;

/// As much as a buffer of the relay holds.
const BUFFER: usize = 256 << 10;

/// For the streams' beginning: nothing that grows with them.
const MOST: u64 = 64;

fn message(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len() + 4).expect("short");
    [b"d".as_slice(), &length.to_be_bytes(), payload].concat()
}

fn assert_few(what: &str, work: impl FnOnce()) {
    let counted = allocation_counter::measure(work);
    let total = counted.count_total;
    assert!(total <= MOST, "{what}: {total} allocations for {ROWS} rows");
    let peak = counted.bytes_max;
    assert!(peak <= 4 * BUFFER as u64, "{what}: {peak} bytes at once");
}

fn scan(layout: RowLayout<'_>, stream: &[u8]) {
    let mut scanner = RowScanner::new(layout, ());
    let mut rest = stream;
    while !rest.is_empty() {
        let buffer = &rest[..rest.len().min(BUFFER)];
        let taken = scanner.scan(buffer, BUFFER).expect("a stream");
        assert!(taken > 0, "it gets no further");
        rest = &rest[taken..];
    }
    assert_eq!(usize::try_from(scanner.digest().rows.0), Ok(ROWS));
}

#[test]
fn rows_are_counted_and_hashed_where_they_lie() {
    let text: Vec<u8> = (0..ROWS)
        .flat_map(|row| message(format!("{row}\tsome text\t\\N\n").as_bytes()))
        .collect();
    assert_few("text", || scan(RowLayout::Text, &text));
}

#[test]
fn arrays_in_rows_cost_no_allocation_either() {
    let header = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    // Two fields: a number, and an array of one number: dimensions, flags, element type, length, lower bound, the element.
    let row = |number: u32| {
        let array = [1_u32, 0, 23, 1, 1, 4, number]
            .map(u32::to_be_bytes)
            .concat();
        let length = u32::try_from(array.len()).expect("short").to_be_bytes();
        [
            &[0, 2, 0, 0, 0, 4][..],
            &number.to_be_bytes(),
            &length,
            &array,
        ]
        .concat()
    };
    let mut binary = Vec::new();
    for number in 0..ROWS {
        let row = row(u32::try_from(number).expect("few"));
        let first = if number == 0 { header.as_slice() } else { &[] };
        binary.extend(message(&[first, &row].concat()));
    }
    binary.extend(message(&[0xff, 0xff]));
    assert_few("binary", || {
        scan(RowLayout::Binary { arrays: &[1] }, &binary);
    });
}

#[test]
fn rows_of_an_archive_are_passed_on_by_the_buffer() {
    let mut file: Vec<u8> = (0..ROWS)
        .flat_map(|row| format!("{row}\tsome text\t\\N\n").into_bytes())
        .collect();
    file.extend_from_slice(DATA_END);
    assert_few("an archive", || {
        let mut rows = RowPieces::new(BufReader::with_capacity(BUFFER, file.as_slice()));
        let mut piece = Vec::with_capacity(2 * BUFFER);
        while rows.next(&mut piece).expect("memory") {
            piece.clear();
        }
        let content = rows.finish().expect("whole");
        assert_eq!(usize::try_from(content.digest.rows.0), Ok(ROWS));
    });
}
