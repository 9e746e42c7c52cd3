//! What was measured of the road, and how long a move's load takes at those rates.
//!
//! From it, rules work out what a setting costs on these servers, where that can be measured at all. What was not measured is not given in
//! figures.

use serde::Serialize;

use crate::model::{Bytes, how_long};

/// What was measured of the road. Rates are of one session, while as many do the same as are named; that of the log is of the
/// server.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Measured {
    /// Sessions that worked at once, on either side.
    pub sessions: u32,
    /// Rows read from the source by one session alone, in bytes a second; `None` where there is too little to be read.
    pub read_bytes_per_second: Option<f64>,
    /// Rows from the source into temporary tables on the target, in bytes a second; `None` where there is too little to be read.
    pub copy_bytes_per_second: Option<f64>,
    /// Rows written on the target, in bytes a second.
    pub write_bytes_per_second: f64,
    /// Indexes built on the target, in bytes a second.
    pub index_bytes_per_second: f64,
    /// There and back to the source, in microseconds.
    pub source_round_trip_us: u64,
    /// There and back to the target, in microseconds.
    pub target_round_trip_us: u64,
    /// The target's write-ahead log; `None` where that was not to be measured.
    pub log: Option<MeasuredLog>,
}

/// What was measured of a server's write-ahead log.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MeasuredLog {
    /// Written, and on disk, in bytes a second.
    pub bytes_per_second: f64,
    /// How long a commit of next to nothing waits until it is on disk, in microseconds.
    pub commit_us: u64,
}

impl Measured {
    /// How long the target writes at so much of its log: a clause.
    pub(super) fn logging(&self, bytes: Bytes) -> Option<String> {
        let rate = self.log?.bytes_per_second;
        Some(format!(
            "measured just now: the target writes its log at {}; at that rate {bytes} take {}",
            per_second(rate),
            time(bytes.0 as f64 / rate.max(1.0))
        ))
    }

    /// How soon all sessions together have copied so much: a clause.
    pub(super) fn copying(&self, bytes: Bytes) -> Option<String> {
        let rate = self.copy_bytes_per_second? * f64::from(self.sessions);
        Some(format!(
            "measured just now: rows are copied at {}; at that rate {bytes} take {}",
            per_second(rate),
            time(bytes.0 as f64 / rate.max(1.0))
        ))
    }

    /// How long a session builds an index of this size, if it has the memory: a clause.
    pub(super) fn indexing(&self, bytes: Bytes) -> String {
        let rate = self.index_bytes_per_second;
        format!(
            "measured just now: a session sorts and writes an index in memory at {}; at that rate this one takes {}",
            per_second(rate),
            time(bytes.0 as f64 / rate.max(1.0))
        )
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from float saturates, and no rate is negative"
)]
fn per_second(rate: f64) -> String {
    format!("{}/s", Bytes(rate as u64))
}

/// A time that may be short: `less than a second`, `3.2 s`, `41 min`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from float saturates, and no time is negative"
)]
fn time(seconds: f64) -> String {
    match seconds {
        ..1.0 => "less than a second".to_owned(),
        1.0..10.0 => format!("{seconds:.1} s"),
        _ => how_long(seconds.round() as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: f64 = 1_048_576.0;

    #[test]
    fn what_a_load_comes_to_is_told_by_what_was_measured() {
        let measured = Measured {
            sessions: 2,
            read_bytes_per_second: None,
            copy_bytes_per_second: Some(8.0 * MB),
            write_bytes_per_second: 1.0,
            index_bytes_per_second: MB,
            source_round_trip_us: 0,
            target_round_trip_us: 0,
            log: Some(MeasuredLog {
                bytes_per_second: 64.0 * MB,
                commit_us: 900,
            }),
        };
        let logging = measured.logging(Bytes(2 << 30)).expect("measured");
        assert!(
            logging.ends_with("64.0 MB/s; at that rate 2.0 GB take 32 s"),
            "{logging}"
        );
        let copying = measured.copying(Bytes(40 << 20)).expect("measured");
        assert!(
            copying.ends_with("16.0 MB/s; at that rate 40.0 MB take 2.5 s"),
            "{copying}"
        );
        let soon = measured.copying(Bytes(1 << 20)).expect("measured");
        assert!(soon.ends_with("1.0 MB take less than a second"), "{soon}");
        let indexing = measured.indexing(Bytes(600 << 20));
        assert!(indexing.ends_with("this one takes 10 min"), "{indexing}");
        let nothing = Measured {
            copy_bytes_per_second: None,
            log: None,
            ..measured
        };
        assert_eq!(nothing.logging(Bytes(1)), None);
        assert_eq!(nothing.copying(Bytes(1)), None);
    }
}
