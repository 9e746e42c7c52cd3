//! Lengths of time as people write them.

use std::time::Duration;

const UNITS: [(&str, u64); 4] = [("s", 1), ("min", 60), ("h", 3600), ("d", 86_400)];

/// A year; nothing that is waited for takes longer.
const LONGEST: Duration = Duration::from_secs(366 * 86_400);

/// `8h`, `30 min`, `90s`, `2d`: a whole number and a unit, as Postgres writes them in its settings.
pub fn parse(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let form =
        || "a length of time is a whole number and a unit, for example 8h or 30min".to_owned();
    let number: u64 = number.parse().map_err(|_| form())?;
    let unit = unit.trim();
    if unit.is_empty() {
        return Err(form());
    }
    let seconds = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .map(|(_, seconds)| *seconds)
        .ok_or_else(|| format!("\"{unit}\" is no unit of time; there are s, min, h and d"))?;
    let length = number.checked_mul(seconds).map(Duration::from_secs);
    match length {
        Some(Duration::ZERO) => Err("it must be more than nothing".to_owned()),
        Some(length) if length <= LONGEST => Ok(length),
        _ => Err("it is more than a year".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_as_people_write_them() {
        for (text, seconds) in [
            ("8h", 28_800),
            ("30 min", 1800),
            ("90s", 90),
            (" 2d ", 172_800),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            "8",
            "h",
            "0s",
            "-1h",
            "1.5h",
            "8 hours",
            "400d",
            "99999999999999999999h",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
