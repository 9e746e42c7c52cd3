//! A large table in chunks, so that all readers have something to do until the end.

use crate::model::{Bytes, ServerVersion};

/// TID range scans (`TidRangeScan`) came with 14; before, a range of blocks costs a scan of the whole table.
const TID_RANGE_SCANS: u32 = 14;
/// No chunk is smaller: each costs a round trip.
const SMALLEST_CHUNK: u64 = 64 << 20;
/// More chunks than this for a reader do not even out the work any better.
const CHUNKS_PER_READER: u64 = 4;

/// What decides how a table is cut on one side.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub version: ServerVersion,
    /// The heap alone, which is what ranges of blocks cut.
    pub heap: Bytes,
    /// With TOAST: what there is to read.
    pub total: Bytes,
    pub block_bytes: u64,
    pub readers: u32,
}

/// The conditions of the chunks; a single empty one if the table is read whole. They meet without a gap, and the last is
/// open-ended: a table may have grown since it was measured.
pub(super) fn conditions(size: Size) -> Vec<String> {
    let readers = u64::from(size.readers.max(1));
    let blocks = size.heap.0 / size.block_bytes.max(1);
    let wanted = (size.total.0 / SMALLEST_CHUNK).min(readers * CHUNKS_PER_READER);
    let count = wanted.min(blocks);
    if size.version.major() < TID_RANGE_SCANS || readers < 2 || count < 2 {
        return vec![String::new()];
    }
    let edges: Vec<u64> = (0..count).map(|index| blocks * index / count).collect();
    let chunk = |index: usize| {
        let from = edges[index];
        let open = format!("ctid >= '({from},0)'::pg_catalog.tid");
        match edges.get(index + 1) {
            Some(to) => format!("{open} and ctid < '({to},0)'::pg_catalog.tid"),
            None => open,
        }
    };
    (0..edges.len()).map(chunk).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(total: u64) -> Size {
        Size {
            version: ServerVersion(150_000),
            heap: Bytes(total),
            total: Bytes(total),
            block_bytes: 8192,
            readers: 2,
        }
    }

    #[test]
    fn chunks_meet_and_the_last_is_open() {
        let chunks = conditions(size(200 << 20));
        assert_eq!(
            chunks,
            [
                "ctid >= '(0,0)'::pg_catalog.tid and ctid < '(8533,0)'::pg_catalog.tid",
                "ctid >= '(8533,0)'::pg_catalog.tid and ctid < '(17066,0)'::pg_catalog.tid",
                "ctid >= '(17066,0)'::pg_catalog.tid",
            ]
        );
        assert_eq!(conditions(size(100 << 30)).len(), 8);
    }

    #[test]
    fn what_gains_nothing_is_read_whole() {
        let whole = vec![String::new()];
        assert_eq!(conditions(size(100 << 20)), whole);
        let old = Size {
            version: ServerVersion(130_000),
            ..size(1 << 30)
        };
        assert_eq!(conditions(old), whole);
        let alone = Size {
            readers: 1,
            ..size(1 << 30)
        };
        assert_eq!(conditions(alone), whole);
        // A small heap that hangs on much TOAST.
        let toasted = Size {
            heap: Bytes(8192),
            ..size(1 << 30)
        };
        assert_eq!(conditions(toasted), whole);
    }
}
