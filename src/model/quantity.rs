//! Counts with a unit, and how they are worded.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

use serde::{Deserialize, Serialize};

macro_rules! quantity {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl Add for $name {
            type Output = Self;
            fn add(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                *self = *self + other;
            }
        }

        impl Sum for $name {
            fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
                iter.fold(Self::default(), Add::add)
            }
        }
    };
}

quantity!(
    /// A number of bytes. `Display`: `512 B`, `64.0 kB`, `1.3 GB` (powers of 1024, as Postgres prints sizes).
    Bytes
);
quantity!(
    /// A number of rows. `Display`: `1,234,567`.
    Rows
);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
        if self.0 < 1024 {
            return f.pad(&format!("{} B", self.0));
        }
        let mut value = self.0 as f64 / 1024.0;
        let mut unit = 0;
        while value >= 999.95 && unit + 1 < UNITS.len() {
            value /= 1024.0;
            unit += 1;
        }
        f.pad(&format!("{value:.1} {}", UNITS[unit]))
    }
}

impl fmt::Display for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        f.pad(&grouped)
    }
}

/// `1 table`, `14 tables`, `5,123 tables`.
pub fn count(number: u64, one: &str, many: &str) -> String {
    let noun = if number == 1 { one } else { many };
    format!("{} {noun}", Rows(number))
}

/// A length of time in its largest unit, of which a part matters: `40 s`, `12 min`, `3 h`, `3 h 05 min`.
pub fn how_long(seconds: u64) -> String {
    match (seconds, seconds / 60 % 60) {
        (0..120, _) => format!("{seconds} s"),
        (120..7200, _) => format!("{} min", seconds / 60),
        (_, 0) => format!("{} h", seconds / 3600),
        (_, minutes) => format!("{} h {minutes:02} min", seconds / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_grouped_by_thousands() {
        assert_eq!(Rows(0).to_string(), "0");
        assert_eq!(Rows(999).to_string(), "999");
        assert_eq!(Rows(1_234_567).to_string(), "1,234,567");
    }

    #[test]
    fn of_hours_the_minutes_are_told_as_well() {
        for (seconds, told) in [
            (119, "119 s"),
            (7_199, "119 min"),
            (7_200, "2 h"),
            (10_740, "2 h 59 min"),
            (10_805, "3 h"),
            (11_100, "3 h 05 min"),
        ] {
            assert_eq!(how_long(seconds), told);
        }
    }

    #[test]
    fn bytes_never_show_four_digits_before_the_point() {
        assert_eq!(Bytes(1023).to_string(), "1023 B");
        assert_eq!(Bytes(1024).to_string(), "1.0 kB");
        assert_eq!(Bytes(1_048_575).to_string(), "1.0 MB");
        assert_eq!(Bytes(1_395_864_371).to_string(), "1.3 GB");
    }
}
