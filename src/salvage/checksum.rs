//! The checksum of a page (`checksum_impl.h`): FNV-1a in 32 lanes, with the block's number in it.
//!
//! The server looks at it when it reads a page from disk, and never again while that is in memory. Who has let a wrong one pass once has
//! it pass for everybody after him. So it is computed here as well, from the bytes that are on disk.

use super::page::{BLOCK, PageState, state};

const LANES: usize = 32;
const PRIME: u32 = 16_777_619;
/// Where the checksum is in a page.
const PLACE: usize = 8;
const OFFSETS: [u32; LANES] = [
    0x5B1F_36E9,
    0xB852_5960,
    0x02AB_50AA,
    0x1DE6_6D2A,
    0x79FF_467A,
    0x9BB9_F8A3,
    0x217E_7CD2,
    0x83E1_3D2C,
    0xF8D4_474F,
    0xE39E_B970,
    0x42C6_AE16,
    0x9932_16FA,
    0x7B09_3B5D,
    0x98DA_FF3C,
    0xF718_902A,
    0x0B1C_9CDB,
    0xE58F_764B,
    0x1876_36BC,
    0x5D7B_3BB1,
    0xE73D_E7DE,
    0x92BE_C979,
    0xCCA6_C0B2,
    0x304A_0979,
    0x85AA_43D4,
    0x7831_25BB,
    0x6CA8_EAA2,
    0xE407_EAC6,
    0x4B5C_FC3E,
    0x9FBF_8C76,
    0x15CA_20BE,
    0xF2CA_9FD3,
    0x959B_D756,
];

/// The checksum that a page should have.
pub fn checksum(page: &[u8], block: u32) -> u16 {
    let mix = |sum: u32, value: u32| {
        let mixed = sum ^ value;
        mixed.wrapping_mul(PRIME) ^ (mixed >> 17)
    };
    let mut sums = OFFSETS;
    for (row, bytes) in page.chunks_exact(4 * LANES).enumerate() {
        for (lane, (sum, bytes)) in sums.iter_mut().zip(bytes.chunks_exact(4)).enumerate() {
            let mut value = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            if row == 0 && lane == PLACE / 4 {
                // The checksum itself counts as zero.
                value &= 0xffff_0000;
            }
            *sum = mix(*sum, value);
        }
    }
    for _ in 0..2 {
        for sum in &mut sums {
            *sum = mix(*sum, 0);
        }
    }
    let folded = sums.iter().fold(0, |folded, sum| folded ^ sum) ^ block;
    u16::try_from(folded % 65_535 + 1).unwrap_or(u16::MAX)
}

/// Why the server would not take a page from disk, if it would not.
pub fn refused(page: &[u8], block: u32, checksums: bool) -> Option<&'static str> {
    match state(page) {
        PageState::Zeros => None,
        _ if page.len() != BLOCK => Some("it is not whole"),
        _ if checksums && stored(page) != checksum(page, block) => Some("its checksum is wrong"),
        PageState::Invalid if !is_header(page) => Some("its header is invalid"),
        PageState::Invalid | PageState::Sane => None,
    }
}

/// As `PageIsVerified` has it, which is less than what is asked for elsewhere here.
fn is_header(page: &[u8]) -> bool {
    let at = |place: usize| usize::from(u16::from_le_bytes([page[place], page[place + 1]]));
    let (flags, lower, upper, special) = (at(10), at(12), at(14), at(16));
    flags & !7 == 0
        && lower <= upper
        && upper <= special
        && special <= BLOCK
        && special.is_multiple_of(8)
}

fn stored(page: &[u8]) -> u16 {
    u16::from_le_bytes([page[PLACE], page[PLACE + 1]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_and_the_place_of_a_page_count() {
        let mut page: Vec<u8> = (0..BLOCK)
            .map(|at| u8::try_from(at * 7 % 251).unwrap_or(0))
            .collect();
        let was = checksum(&page, 7);
        assert_ne!(was, checksum(&page, 8));
        for at in (0..BLOCK).step_by(97) {
            page[at] ^= 1;
            let is_itself = at == PLACE || at == PLACE + 1;
            assert_eq!(checksum(&page, 7) == was, is_itself, "{at}");
            page[at] ^= 1;
        }
    }

    #[test]
    fn zeros_are_a_new_page() {
        assert_eq!(refused(&[0; BLOCK], 3, true), None);
        assert_eq!(
            refused(&[1; BLOCK], 3, false),
            Some("its header is invalid")
        );
        assert_eq!(refused(&[1; BLOCK], 3, true), Some("its checksum is wrong"));
        assert_eq!(refused(&[1; 100], 3, true), Some("it is not whole"));
    }
}
