//! Whether bytes are a `numeric`, as a server writes it and any other takes it back. Layout: `numeric.c`.
//!
//! Digits are of base 10,000, without zeros before the first or behind the last. What is written otherwise is not known to be damaged.

/// What a column allows: how many digits, and how many of them behind the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Precision {
    digits: i32,
    scale: i32,
}

impl Precision {
    /// Of a type's modifier; nothing, if the column allows any.
    pub fn of(modifier: i32) -> Option<Self> {
        let packed = modifier.checked_sub(4).filter(|packed| *packed >= 0)?;
        Some(Self {
            digits: packed >> 16 & 0xffff,
            // Eleven bits with a sign; before 15, only those that are not negative.
            scale: ((packed & 0x7ff) ^ 0x400) - 0x400,
        })
    }
}

const SHORT: u16 = 0x8000;
const SPECIAL: u16 = 0xc000;
/// Decimal digits of one of theirs.
const EACH: i32 = 4;

/// Whether these bytes, without their header, are one.
pub fn is_numeric(bytes: &[u8], allowed: Option<Precision>) -> bool {
    known(bytes, allowed).unwrap_or(false)
}

fn known(bytes: &[u8], allowed: Option<Precision>) -> Option<bool> {
    let word = |at: usize| {
        let pair = bytes.get(at..at.checked_add(2)?)?;
        Some(u16::from_le_bytes([pair[0], pair[1]]))
    };
    let head = word(0)?;
    let (scale, weight, digits) = match head & SPECIAL {
        // Not a number. What is infinite is known to some servers only.
        SPECIAL => return Some(head == SPECIAL && bytes.len() == 2),
        SHORT => {
            // Seven bits with a sign.
            let weight = i32::from((head & 0x7f) ^ 0x40) - 0x40;
            (i32::from(head >> 7 & 0x3f), weight, bytes.get(2..)?)
        }
        _ => {
            let weight = i32::from(i16::from_le_bytes(word(2)?.to_le_bytes()));
            (i32::from(head & 0x3fff), weight, bytes.get(4..)?)
        }
    };
    if digits.len() % 2 != 0 {
        return Some(false);
    }
    let digits: Vec<u16> = digits
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    let (Some(&first), Some(&last)) = (digits.first(), digits.last()) else {
        // Zero.
        return Some(weight == 0 && allowed.is_none_or(|allowed| allowed.scale == scale));
    };
    if first == 0 || last == 0 || digits.iter().any(|digit| *digit > 9999) {
        return Some(false);
    }
    let count = i32::try_from(digits.len()).ok()?;
    let behind = (count - weight - 1) * EACH - zeros_behind(last);
    let before = weight * EACH + decimals(first);
    let is_allowed = allowed
        .is_none_or(|allowed| allowed.scale == scale && before <= allowed.digits - allowed.scale);
    Some(behind <= scale && is_allowed)
}

/// How many decimal digits one of theirs has.
fn decimals(digit: u16) -> i32 {
    [1, 10, 100, 1000]
        .iter()
        .map(|least| i32::from(digit >= *least))
        .sum()
}

/// How many of its four are zeros at the end.
fn zeros_behind(digit: u16) -> i32 {
    [10, 100, 1000]
        .iter()
        .map(|of| i32::from(digit.is_multiple_of(*of)))
        .sum()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn short(scale: u16, weight: u16, digits: &[u16]) -> Vec<u8> {
        let head = SHORT | scale << 7 | weight & 0x7f;
        let words = [&[head][..], digits].concat();
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// `numeric(10, 2)`.
    const MODIFIER: i32 = (10 << 16 | 2) + 4;

    #[test]
    fn what_a_server_writes_is_known_and_other_digits_are_not() {
        let is = |bytes: &[u8]| is_numeric(bytes, None);
        // 12345.67, 0.0005, 0, not a number, -1 in the longer form.
        assert!(is(&short(2, 1, &[1, 2345, 6700])));
        assert!(is(&short(4, 0x7f, &[5])));
        assert!(is(&short(0, 0, &[])));
        assert!(is(&SPECIAL.to_le_bytes()));
        assert!(is(&[0x00, 0x40, 0, 0, 1, 0]));
        // Digits beyond the scale, of another base, before the first and behind the last; half of one; infinity; nothing.
        assert!(!is(&short(1, 1, &[1, 2345, 6700])));
        assert!(!is(&short(2, 1, &[1, 10_000, 6700])));
        assert!(!is(&short(2, 1, &[0, 2345, 6700])));
        assert!(!is(&short(2, 1, &[1, 2345, 0])));
        assert!(!is(&short(2, 1, &[1, 2345, 6700])[..7]));
        assert!(!is(&[0x00, 0xd0]) && !is(&[]) && !is(&[0x00, 0x40, 0]));
    }

    #[test]
    fn a_column_allows_so_many_digits() {
        let allowed = Precision::of(MODIFIER);
        assert_eq!(
            allowed,
            Some(Precision {
                digits: 10,
                scale: 2
            })
        );
        assert_eq!(Precision::of(-1), None);
        let is = |bytes: &[u8]| is_numeric(bytes, allowed);
        assert!(is(&short(2, 1, &[9999, 9999, 9900])) && is(&short(2, 0, &[])));
        assert!(!is(&short(2, 2, &[1, 9999, 9999, 9900])));
        assert!(!is(&short(3, 1, &[1, 2345, 6700])) && !is(&short(0, 0, &[])));
    }

    proptest! {
        #[test]
        fn no_bytes_bring_it_down(bytes in proptest::collection::vec(any::<u8>(), 0..24), modifier in any::<i32>()) {
            is_numeric(&bytes, Precision::of(modifier));
        }
    }
}
