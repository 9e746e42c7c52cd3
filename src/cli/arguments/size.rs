//! Sizes as people write them.

use crate::model::Bytes;

const UNITS: [(&str, u32); 5] = [("b", 0), ("kb", 1), ("mb", 2), ("gb", 3), ("tb", 4)];

/// `512MB`, `2 GB`, `64k`, `1.5GB`, `1048576`: powers of 1024, as Postgres reads them; any case.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "checked to be within the range of sizes"
)]
pub fn parse(text: &str) -> Result<Bytes, String> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: f64 = number
        .parse()
        .map_err(|_| "a size is a number and a unit, for example 512MB".to_owned())?;
    let unit = unit.trim().to_ascii_lowercase();
    let power = UNITS
        .iter()
        .find(|(name, _)| {
            unit.is_empty() && *name == "b"
                || unit == *name
                || (!unit.is_empty() && *name == format!("{unit}b"))
        })
        .map(|(_, power)| *power)
        .ok_or_else(|| format!("\"{unit}\" is no unit of size; there are kB, MB, GB and TB"))?;
    let bytes = number * 1024f64.powi(power.cast_signed());
    if bytes < 1.0 {
        return Err("it must be more than nothing".to_owned());
    }
    if bytes > 1e18 {
        return Err("it is more than any machine has".to_owned());
    }
    Ok(Bytes(bytes as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("1048576", 1 << 20),
            ("512MB", 512 << 20),
            ("2 gb", 2 << 30),
            ("64k", 64 << 10),
            ("1.5GB", 3 << 29),
            ("10B", 10),
        ] {
            assert_eq!(parse(text), Ok(Bytes(bytes)), "{text}");
        }
        for text in [
            "",
            "MB",
            "12 parsecs",
            "-1MB",
            "0",
            "1e3",
            "99999999TB",
            "1..2MB",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
