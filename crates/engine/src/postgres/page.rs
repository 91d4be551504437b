//! A page of a relation: its checksum and its place in the log.
//!
//! The algorithm is PostgreSQL's `pg_checksum_page`: 32 FNV-1a-like sums over interleaved words.
/// Bytes of a page.
pub const PAGE_BYTES: usize = 8192;

const SUMS: usize = 32;
const FNV_PRIME: u32 = 16_777_619;
const OFFSETS: [u32; SUMS] = [
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

/// The checksum that a page at this block of its relation must carry. Ten times as fast where the
/// processor multiplies many words at once, which is found out when it runs.
pub fn checksum(page: &[u8; PAGE_BYTES], block: u32) -> u16 {
    pulp::Arch::new().dispatch(Checksum { page, block })
}

struct Checksum<'a> {
    page: &'a [u8; PAGE_BYTES],
    block: u32,
}

impl pulp::WithSimd for Checksum<'_> {
    type Output = u16;

    // Everything below must be inlined, or it is compiled for the oldest processors.
    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> u16 {
        let mut sums = OFFSETS;
        for (row, bytes) in self.page.as_chunks::<{ SUMS * 4 }>().0.iter().enumerate() {
            let mut words = [0_u32; SUMS];
            for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
                *word = u32::from_ne_bytes(*bytes);
            }
            if row == 0 {
                // The checksum's own field (bytes 8 and 9) counts as zero.
                words[2] = u32::from_ne_bytes([0, 0, self.page[10], self.page[11]]);
            }
            mix(&mut sums, &words);
        }
        mix(&mut sums, &[0; SUMS]);
        mix(&mut sums, &[0; SUMS]);
        let folded = sums.iter().fold(0, |all, sum| all ^ sum) ^ self.block;
        u16::try_from(folded % 65_535 + 1).expect("at most 65535")
    }
}

#[inline(always)]
fn mix(sums: &mut [u32; SUMS], words: &[u32; SUMS]) {
    for (sum, word) in sums.iter_mut().zip(words) {
        let mixed = *sum ^ word;
        *sum = mixed.wrapping_mul(FNV_PRIME) ^ (mixed >> 17);
    }
}

/// What the bytes of a page say about themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The checksum holds, or the page was never written.
    Good,
    /// The checksum does not hold; the page says it was last changed at this place in the log.
    Bad { lsn: u64 },
}

/// Judges a page that was read from this block of its relation.
pub(super) fn judge(page: &[u8; PAGE_BYTES], block: u32) -> Verdict {
    let upper = u16::from_ne_bytes([page[14], page[15]]);
    if upper == 0 && page.iter().all(|byte| *byte == 0) {
        return Verdict::Good;
    }
    if u16::from_ne_bytes([page[8], page[9]]) == checksum(page, block) {
        return Verdict::Good;
    }
    let half = |at: usize| {
        u64::from(u32::from_ne_bytes([
            page[at],
            page[at + 1],
            page[at + 2],
            page[at + 3],
        ]))
    };
    Verdict::Bad {
        lsn: half(0) << 32 | half(4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unwritten_page_is_good_and_a_stray_bit_is_not() {
        let mut page = [0; PAGE_BYTES];
        assert_eq!(judge(&page, 3), Verdict::Good);
        page[5000] = 1;
        assert_eq!(judge(&page, 3), Verdict::Bad { lsn: 0 });
    }

    #[test]
    fn the_checksum_covers_every_bit_but_its_own_field() {
        let mut page: [u8; PAGE_BYTES] = std::array::from_fn(|at| (at * 7 % 251) as u8);
        let sum = checksum(&page, 77);
        page[8..10].copy_from_slice(&sum.to_ne_bytes());
        assert_eq!(judge(&page, 77), Verdict::Good);
        assert!(
            matches!(judge(&page, 78), Verdict::Bad { .. }),
            "another block"
        );
        for at in (0..PAGE_BYTES).step_by(61) {
            let mut broken = page;
            broken[at] ^= 0x10;
            assert!(
                matches!(judge(&broken, 77), Verdict::Bad { .. }),
                "byte {at}"
            );
        }
    }

    #[test]
    fn the_place_in_the_log_has_its_high_half_first() {
        let mut page = [1; PAGE_BYTES];
        page[0..4].copy_from_slice(&2_u32.to_ne_bytes());
        page[4..8].copy_from_slice(&3_u32.to_ne_bytes());
        assert_eq!(judge(&page, 0), Verdict::Bad { lsn: 2 << 32 | 3 });
    }
}
